package github

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
)

// upload takes an asset. Its name is held from the moment the request is
// accepted, as a starter; only when all bytes have arrived does it become
// uploaded. Whatever goes wrong between leaves the starter.
func (s *Server) upload(w http.ResponseWriter, r *http.Request) {
	c := newCall(s, hostUploads, w, r, docsURL)
	var rel *release
	var a *asset
	bad := c.locked(func() (bad reply) { rel, a, bad = c.begin(); return bad })
	if bad.status != 0 {
		c.send(bad)
		return
	}
	size, sum, err := s.receive(a, r.Body) // fewer bytes than announced are an error
	c.send(c.locked(func() reply {
		if err != nil {
			a.remove(s)
			return c.failure(http.StatusBadRequest, "The body ended early")
		}
		return c.finish(rel, a, size, sum)
	}))
}

// begin checks a request for an upload and makes the starter.
func (c *call) begin() (*release, *asset, reply) {
	if bad := c.enter(Contents, Write); bad != nil {
		return nil, nil, *bad
	}
	rel := c.release()
	if rel == nil {
		return nil, nil, c.notFound()
	}
	// Uploads' errors have a request_id and a plain documentation_url: recorded.
	refuse := func(e fieldError) (*release, *asset, reply) {
		r := c.invalid(e)
		r.value.(map[string]any)["request_id"] = c.id
		return nil, nil, r
	}
	custom := func(field, message string) (*release, *asset, reply) {
		return refuse(fieldError{Resource: "ReleaseAsset", Code: "custom", Field: field, Message: message})
	}
	given := c.r.URL.Query().Get("name")
	name := rename(given)
	if c.fault != nil && c.fault.Effect == Renamed {
		name = rename(c.fault.Name)
	}
	switch n := c.r.ContentLength; {
	case rel.immutable:
		r := c.failureWith("Cannot upload assets to an immutable release")
		return nil, nil, r
	case given == "":
		return refuse(fieldError{Resource: "ReleaseAsset", Code: "missing_field", Field: "name"})
	case n < 0: // chunked; read in public threads
		return nil, nil, reply{status: http.StatusBadRequest, value: map[string]any{"message": "Bad Content-Length: ", "request_id": c.id}}
	case n == 0: // as above
		return custom("size", "size must be greater than or equal to 1")
	case n > maxAssetSize: // as above
		return custom("size", "size must be less than or equal to "+strconv.Itoa(maxAssetSize))
	case rel.assetNamed(name) != nil:
		return refuse(fieldError{Resource: "ReleaseAsset", Code: "already_exists", Field: "name"})
	case len(rel.assets) >= maxAssets:
		return custom("name", fmt.Sprintf("a release has at most %d assets", maxAssets)) // text unconfirmed
	}
	a := &asset{
		id: c.nextID(), name: name, state: starter, contentType: c.r.Header.Get("Content-Type"),
		uploader: c.token.Login, created: c.now(), updated: c.now(),
	}
	if a.contentType == "" {
		a.contentType = "application/octet-stream"
	}
	if label := c.r.URL.Query().Get("label"); label != "" {
		a.label = &label
	} else {
		a.label = new(string) // "" at GitHub after an upload without one (unconfirmed)
	}
	rel.assets = append(rel.assets, a)
	c.record(c.repo, c.cause())
	return rel, a, reply{}
}

// receive streams a body to the asset's file.
func (s *Server) receive(a *asset, body io.Reader) (size int64, sum string, err error) {
	f, err := os.OpenFile(s.file(a), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, "", err
	}
	h := sha256.New()
	file := &sparse{file: f}
	// Reader and writer are hidden: copying must take our buffer, which decides where holes can be.
	size, err = io.CopyBuffer(io.MultiWriter(file, h), struct{ io.Reader }{body}, make([]byte, 128<<10))
	if e := file.finish(); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return size, hex.EncodeToString(h.Sum(nil)), err
}

// finish makes the starter an asset, unless the release changed meanwhile.
func (c *call) finish(rel *release, a *asset, size int64, sum string) reply {
	if !slices.Contains(c.repo.releases, rel) || !slices.Contains(rel.assets, a) {
		a.remove(c.Server)
		return c.notFound()
	}
	if rel.immutable { // published while the bytes came
		a.remove(c.Server)
		rel.assets = slices.DeleteFunc(rel.assets, func(o *asset) bool { return o == a })
		c.record(c.repo, c.cause())
		return c.failureWith("Cannot upload assets to an immutable release")
	}
	a.state, a.size, a.sha256, a.updated = uploaded, size, sum, c.now()
	if f := c.fault; f != nil {
		now := c.clock.Now()
		switch f.Effect {
		case Late:
			a.hidden, a.stale = f.lag(now), f.lag(now)
		case Stale:
			a.stale = f.lag(now)
		case Undigested:
			a.undigested = f.lag(now)
		}
	}
	c.record(c.repo, c.cause())
	return reply{http.StatusCreated, c.assetJSON(rel, a), http.Header{"Cache-Control": {"no-cache"}}}
}
