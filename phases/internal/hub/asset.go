package hub

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/go-github/v60/github"
)

// Uploaded is the state of an asset that is whole. Others, such as "starter", are begun and hold the name.
const Uploaded = "uploaded"

// An Asset is a file of a release.
type Asset struct {
	ID    int64
	Name  string
	State string // [Uploaded], or what is left of an upload that failed
	Size  int64  // bytes
	// Digest is the SHA-256 in hex, "" where the server gives none: old assets, and new ones for a moment.
	Digest string
	// URL is where anybody fetches the asset of a published release. That of a draft is of no use.
	URL string
}

// wireAsset adds what the library's structure lacks.
type wireAsset struct {
	github.ReleaseAsset
	Digest string `json:"digest"`
}

func (w *wireAsset) asset() (Asset, int64) {
	a := Asset{ID: w.GetID(), Name: w.GetName(), State: w.GetState(), Size: int64(w.GetSize()), URL: w.GetBrowserDownloadURL()}
	if d, ok := strings.CutPrefix(w.Digest, "sha256:"); ok && isSHA256(d) {
		a.Digest = strings.ToLower(d)
	}
	return a, a.ID
}

func isSHA256(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32
}

// ListAssets returns all assets of a release, unfinished ones included.
func (c *Client) ListAssets(ctx context.Context, release int64) ([]Asset, error) {
	return every(ctx, c, fmt.Sprintf("%sreleases/%d/assets", c.path, release), (*wireAsset).asset)
}

// Asset finds an asset by its id: [ErrNotFound].
func (c *Client) Asset(ctx context.Context, id int64) (Asset, error) {
	var w wireAsset
	if _, err := c.do(ctx, http.MethodGet, fmt.Sprintf("%sreleases/assets/%d", c.path, id), nil, &w); err != nil {
		return Asset{}, err
	}
	a, _ := w.asset()
	return a, nil
}

// DeleteAsset deletes an asset. One that is gone is fine.
func (c *Client) DeleteAsset(ctx context.Context, id int64) error {
	return c.settle(ctx, func() (bool, error) {
		_, err := c.Asset(ctx, id)
		if errors.Is(err, ErrNotFound) {
			return true, nil
		}
		return false, err
	}, func() error {
		_, err := c.do(ctx, http.MethodDelete, fmt.Sprintf("%sreleases/assets/%d", c.path, id), nil, nil)
		return err
	}, "delete asset "+strconv.FormatInt(id, 10))
}

// UploadAsset uploads a file, once: after [ErrUnknown] and [ErrExists] see what is there, as [Client.PutAsset] does. The
// file is read as it goes and hashed; when it is not the planned one its last bytes are not sent, and the error is
// [ErrChanged]. progress, which may be nil, is told the bytes sent so far; it begins anew with each try. A file that
// GitHub stored under another name is deleted again: [ErrRenamed].
func (c *Client) UploadAsset(ctx context.Context, release int64, f File, progress func(sent int64)) (Asset, error) {
	fail := func(err error) (Asset, error) {
		return Asset{}, fmt.Errorf("cannot upload %s to release %d: %w", f.Name, release, err)
	}
	if err := f.check(); err != nil {
		return Asset{}, err
	}
	k := &call{upload: true}
	open := f.opener(k, progress)
	body, err := open()
	if err != nil {
		return fail(err)
	}
	path := fmt.Sprintf("%sreleases/%d/assets?name=%s", c.path, release, url.QueryEscape(f.Name))
	req, err := c.api.NewUploadRequest(path, body, f.Size, "application/octet-stream")
	if err != nil {
		body.Close()
		return fail(plain(err))
	}
	req.GetBody = open
	var w wireAsset
	if _, err := c.send(ctx, req, k, &w); err != nil {
		return fail(err)
	}
	a, _ := w.asset()
	if a.ID <= 0 {
		return fail(&Error{Op: operation(req), RequestID: k.requestID, kind: ErrUnknown, cause: errors.New("the answer is no asset")})
	}
	if a.Name != f.Name {
		err := fmt.Errorf("%w: %.100q", ErrRenamed, clean(a.Name, c.t.token))
		if gone := c.DeleteAsset(ctx, a.ID); gone != nil {
			err = fmt.Errorf("%w (id %d, which is still there: %w)", err, a.ID, gone)
		}
		return fail(err)
	}
	return a, nil
}

// PutAsset brings a file to a draft, whatever happened before: an asset of that name with the same bytes is what was
// wanted, what is left of a failed upload is deleted, other bytes are a [*ConflictError]. Every upload that failed or
// whose answer is lost is looked after before it is tried again.
func (c *Client) PutAsset(ctx context.Context, release int64, f File, progress func(sent int64)) (Asset, error) {
	if err := f.check(); err != nil {
		return Asset{}, err
	}
	fail := func(err error) (Asset, error) {
		return Asset{}, fmt.Errorf("cannot bring %s to release %d: %w", f.Name, release, err)
	}
	var last error
	uploads := 0
	for round := range c.tries + looks {
		if round > 0 {
			if err := c.pause(ctx, round-1); err != nil {
				return fail(errors.Join(last, err))
			}
		}
		a, ok, err := c.assetNamed(ctx, release, f.Name)
		if err != nil {
			return fail(err)
		}
		if !ok && uploads < c.tries {
			uploads++
			a, err = c.UploadAsset(ctx, release, f, progress)
			if ok = err == nil; !ok && (!errors.Is(err, ErrUnknown) && !errors.Is(err, ErrExists) || ctx.Err() != nil) {
				return Asset{}, err
			}
			last = err
		}
		switch {
		case !ok: // look again
		case a.State == Uploaded:
			return c.Same(ctx, a, f)
		default:
			if err := c.DeleteAsset(ctx, a.ID); err != nil {
				return fail(err)
			}
			last = fmt.Errorf("an upload of it was left unfinished (id %d): %w", a.ID, ErrUnknown)
		}
	}
	return fail(last)
}

func (c *Client) assetNamed(ctx context.Context, release int64, name string) (Asset, bool, error) {
	list, err := c.ListAssets(ctx, release)
	for _, a := range list {
		if a.Name == name {
			return a, true, err
		}
	}
	return Asset{}, false, err
}

// Same tells whether a whole asset has the file's name and bytes, and returns it with its digest; otherwise the error is a
// [*ConflictError]. A digest that is missing is waited for a little; then the bytes are fetched and hashed. The file
// itself is not read.
func (c *Client) Same(ctx context.Context, a Asset, f File) (Asset, error) {
	conflict := &ConflictError{What: fmt.Sprintf("asset %s is there with other bytes", f.Name), IDs: []int64{a.ID}}
	if a.Name != f.Name || a.State != Uploaded || a.Size != f.Size {
		return Asset{}, conflict
	}
	for look := 0; a.Digest == "" && look < 3; look++ {
		if err := c.pause(ctx, look); err != nil {
			return Asset{}, err
		}
		again, err := c.Asset(ctx, a.ID)
		if err != nil {
			return Asset{}, fmt.Errorf("cannot look at asset %s (id %d): %w", f.Name, a.ID, err)
		}
		a.Digest = again.Digest
	}
	if a.Digest == "" {
		got, err := c.Download(ctx, a.ID, Content{Size: f.Size, SHA256: f.SHA256}, nil)
		if errors.Is(err, ErrMismatch) {
			return Asset{}, conflict
		}
		if err != nil {
			return Asset{}, err
		}
		a.Digest = got.SHA256
	}
	if a.Digest != f.SHA256 {
		return Asset{}, conflict
	}
	return a, nil
}
