package github

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// signedFor is how long a redirect to a download is good.
const signedFor = 5 * time.Minute

// getAsset is GET /releases/assets/{id}: JSON, or with Accept:
// application/octet-stream the bytes, mostly by a redirect to another host.
func (s *Server) getAsset(w http.ResponseWriter, r *http.Request) {
	c := newCall(s, hostAPI, w, r, docsURL+"/releases/assets#get-a-release-asset")
	var serve *asset
	answer := c.locked(func() reply {
		if bad := c.enter(Contents, Read); bad != nil {
			return *bad
		}
		rel, a := c.asset()
		if a == nil {
			return c.notFound()
		}
		if !strings.Contains(r.Header.Get("Accept"), "application/octet-stream") {
			return reply{http.StatusOK, c.assetJSON(rel, a), nil}
		}
		if a.state != uploaded { // status unconfirmed
			return c.notFound()
		}
		a.downloads++
		if s.options.DirectDownloads {
			copied := *a
			serve = &copied
			return reply{}
		}
		return reply{http.StatusFound, nil, http.Header{"Location": {s.signedURL(c.repo, a)}}}
	})
	if serve == nil {
		c.send(answer)
		return
	}
	s.bytes(w, r, serve)
}

// browserDownload is a browser_download_url: no token is asked for or looked
// at, so drafts and private repositories are 404.
func (s *Server) browserDownload(w http.ResponseWriter, r *http.Request) {
	c := newCall(s, hostWeb, w, r, docsURL)
	to := c.locked(func() reply {
		repo := s.find(r.PathValue("owner"), r.PathValue("repo"))
		if repo == nil || repo.Private {
			return reply{status: http.StatusNotFound}
		}
		s.settle(repo)
		for _, rel := range repo.releases {
			name, ok := strings.CutPrefix(r.PathValue("path"), rel.tag+"/")
			if rel.draft || !ok {
				continue
			}
			if a := rel.assetNamed(name); a != nil && a.state == uploaded {
				a.downloads++ // counted here, not at the end of the transfer (unconfirmed)
				return reply{http.StatusFound, nil, http.Header{"Location": {s.signedURL(repo, a)}, "Cache-Control": {"no-cache"}}}
			}
		}
		return reply{status: http.StatusNotFound}
	})
	if to.status == http.StatusNotFound {
		http.Error(w, "Not Found", http.StatusNotFound)
		return
	}
	c.send(to)
}

// signedURL is good for a while and for one asset. Its shape is that of
// GitHub's; nobody may rely on it.
func (s *Server) signedURL(r *repository, a *asset) string {
	path := fmt.Sprintf("github-production-release-asset/%d/%d", r.id, a.id)
	expires := strconv.FormatInt(s.clock.Now().Add(signedFor).Unix(), 10)
	q := url.Values{"se": {expires}, "sp": {"r"}, "sig": {s.sign(path, expires)}, "rsct": {"application/octet-stream"}}
	return s.shown(hostDownloads) + path + "?" + q.Encode()
}

func (s *Server) sign(path, expires string) string {
	m := hmac.New(sha256.New, s.secret[:])
	fmt.Fprintf(m, "%s\n%s", path, expires)
	return hex.EncodeToString(m.Sum(nil))
}

// signedDownload serves a signed URL. The store behind GitHub takes one proof
// of identity and no more: with an Authorization header it refuses.
func (s *Server) signedDownload(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, code string) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, `<?xml version="1.0" encoding="utf-8"?><Error><Code>%s</Code></Error>`, code)
	}
	if r.Header.Get("Authorization") != "" {
		fail(http.StatusBadRequest, "InvalidAuthenticationInfo")
		return
	}
	q, path := r.URL.Query(), strings.TrimPrefix(r.URL.Path, "/")
	expires, err := strconv.ParseInt(q.Get("se"), 10, 64)
	if err != nil || !hmac.Equal([]byte(q.Get("sig")), []byte(s.sign(path, q.Get("se")))) || s.clock.Now().Unix() > expires {
		fail(http.StatusForbidden, "AuthenticationFailed")
		return
	}
	var found *asset
	s.mu.Lock()
	for _, repo := range s.repos {
		for _, rel := range repo.releases {
			for _, a := range rel.assets {
				if strconv.FormatInt(a.id, 10) == r.PathValue("id") {
					copied := *a
					found = &copied
				}
			}
		}
	}
	s.mu.Unlock()
	if found == nil {
		fail(http.StatusNotFound, "BlobNotFound")
		return
	}
	s.bytes(w, r, found)
}

// bytes serves an asset's content, ranges included.
func (s *Server) bytes(w http.ResponseWriter, r *http.Request, a *asset) {
	f, err := os.Open(s.file(a))
	if err != nil { // deleted meanwhile
		http.Error(w, "Not Found", http.StatusNotFound)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", "attachment; filename="+a.name)
	w.Header().Set("ETag", `"`+a.sha256+`"`)
	http.ServeContent(w, r, "", a.updated, f)
}

// tarball sends to codeload, which has a full ref name in its URL: recorded.
func (c *call) tarball() reply {
	name := c.r.PathValue("ref")
	if name == "" {
		name = c.repo.DefaultBranch
	}
	if _, ok := c.repo.Refs.(Archiver); !ok {
		return c.notFound()
	}
	for _, full := range []string{name, "refs/heads/" + name, "refs/tags/" + name} {
		if _, err := c.repo.Refs.Get(c.ctx(), full); err == nil {
			name = full
			break
		}
	}
	if _, err := resolve(c.ctx(), c.repo.Refs, name); err != nil {
		return c.notFound()
	}
	to := c.web(c.repo, "/legacy.tar.gz/"+escape(name))
	if c.repo.Private { // a token in the URL is the only proof of identity then
		to += "?token=" + c.sign("legacy.tar.gz/"+name, "")
	}
	return reply{http.StatusFound, nil, http.Header{
		"Location": {to}, "Content-Type": {"text/html;charset=utf-8"}, "Content-Length": {"0"},
		"Cache-Control": {"public, must-revalidate, max-age=0"},
	}}
}

// codeload is the source tarball itself.
func (s *Server) codeload(w http.ResponseWriter, r *http.Request) {
	ref := r.PathValue("ref")
	sha, archiver, err := s.archiver(r.Context(), r, ref)
	if err != nil {
		http.Error(w, "404: Not Found", http.StatusNotFound)
		return
	}
	name := r.PathValue("owner") + "-" + r.PathValue("repo") + "-" + sha[:7]
	w.Header().Set("Content-Type", "application/x-gzip")
	w.Header().Set("Content-Disposition", "attachment; filename="+name+".tar.gz")
	w.Header().Set("ETag", `"`+sha+`"`)
	if err := archiver.Archive(r.Context(), w, sha, name+"/"); err != nil {
		panic(http.ErrAbortHandler) // the client must not take it for whole
	}
}

func (s *Server) archiver(ctx context.Context, r *http.Request, ref string) (string, Archiver, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	repo := s.find(r.PathValue("owner"), r.PathValue("repo"))
	if repo == nil || (repo.Private && r.URL.Query().Get("token") != s.sign("legacy.tar.gz/"+ref, "")) {
		return "", nil, ErrNotFound
	}
	a, ok := repo.Refs.(Archiver)
	if !ok {
		return "", nil, ErrNotFound
	}
	sha, err := resolve(ctx, repo.Refs, ref)
	return sha, a, err
}
