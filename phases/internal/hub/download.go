package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Content is a number of bytes and their SHA-256 in lower-case hex.
type Content struct {
	Size   int64
	SHA256 string
}

// Download fetches an asset by its id with the token, a draft's too, and hashes it. When the content is not the one
// wanted, or breaks off, it is fetched again; what stays wrong is [ErrMismatch], with what was found. progress may be nil.
func (c *Client) Download(ctx context.Context, id int64, want Content, progress func(got int64)) (Content, error) {
	req, err := c.api.NewRequest(http.MethodGet, fmt.Sprintf("%sreleases/assets/%d", c.path, id), nil)
	if err != nil {
		return Content{}, plain(err)
	}
	return c.fetch(ctx, req, &call{stream: true}, want, progress)
}

// DownloadPublic fetches a published asset as anybody does, by [Asset].URL without a token, and hashes it, otherwise
// like [Client.Download]. Where nobody knows the SHA-256, an empty one wants none.
func (c *Client) DownloadPublic(ctx context.Context, from string, want Content, progress func(got int64)) (Content, error) {
	u, err := url.Parse(from)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return Content{}, errors.New("cannot download: want the https URL of an asset")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return Content{}, plain(err)
	}
	req.Header.Set("User-Agent", c.api.UserAgent)
	return c.fetch(ctx, req, &call{stream: true, anonymous: true}, want, progress)
}

// fetch reads and hashes, from the first URL each time: where it redirects to is good for minutes only.
func (c *Client) fetch(ctx context.Context, req *http.Request, k *call, want Content, progress func(int64)) (Content, error) {
	unknown := k.anonymous && want.SHA256 == ""
	if want.Size <= 0 || !unknown && !isSHA256(want.SHA256) {
		return Content{}, errors.New("cannot download: the wanted size and SHA-256 are not known")
	}
	req.Header.Set("Accept", "application/octet-stream")
	req.Header.Set("Accept-Encoding", "identity") // the bytes as they are
	var got Content
	for try := 1; ; try++ {
		var err error
		got, err = c.fetchOnce(ctx, req, k, want.Size, progress)
		if err == nil {
			if got.Size == want.Size && (unknown || got.SHA256 == strings.ToLower(want.SHA256)) {
				return got, nil
			}
			cause := fmt.Errorf("found %d bytes with SHA-256 %s, want %d with %s", got.Size, got.SHA256, want.Size, want.SHA256)
			err = &Error{Op: operation(req), RequestID: k.requestID, Tries: try, kind: ErrMismatch, cause: cause}
		} else if k.err != nil {
			return Content{}, err // the transport gave up
		}
		if try >= c.tries || ctx.Err() != nil || c.pause(ctx, try-1) != nil {
			return got, err
		}
	}
}

func (c *Client) fetchOnce(ctx context.Context, req *http.Request, k *call, size int64, progress func(int64)) (Content, error) {
	k.err = nil
	resp, err := c.http.Do(req.Clone(context.WithValue(ctx, callKey{}, k)))
	if err != nil {
		if k.err != nil {
			return Content{}, k.err
		}
		k.err = &Error{Op: operation(req), RequestID: k.requestID, cause: hidden{plain(err), c.t.token}} // a redirect
		return Content{}, k.err
	}
	defer resp.Body.Close()
	h := sha256.New()
	body := &counted{Reader: io.LimitReader(resp.Body, size+1), progress: progress}
	n, err := io.CopyBuffer(h, body, make([]byte, 128<<10))
	if err != nil {
		cause := fmt.Errorf("the download broke off after %d of %d bytes: %w", n, size, hidden{plain(err), c.t.token})
		return Content{Size: n}, &Error{Op: operation(req), RequestID: k.requestID, kind: ErrUnavailable, cause: cause}
	}
	return Content{Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}

// counted tells how many bytes came.
type counted struct {
	io.Reader
	got      int64
	progress func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.got += int64(n)
	if n > 0 && c.progress != nil {
		c.progress(c.got)
	}
	return n, err
}
