package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	twin "github.com/imrightguy/slipway/phases/internal/twins/github"
)

// blind hides the releases of the repository from some listings, as a server that is behind does.
type blind struct {
	http.RoundTripper
	left atomic.Int32
}

func (h *blind) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := h.RoundTripper.RoundTrip(r)
	if err == nil && r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/releases") && h.left.Add(-1) >= 0 {
		resp.Body.Close()
		resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader("[]")), 2
		resp.Header.Del("Content-Length")
	}
	return resp, err
}

// TestDraftLostAndLate loses the answer to making a draft and hides the draft for long: there is never a second one that
// stays.
func TestDraftLostAndLate(t *testing.T) {
	for _, hidden := range []int32{0, 3, 1 + looks, 3 + looks} {
		t.Run(fmt.Sprint(hidden), func(t *testing.T) {
			b := start(t)
			late := &blind{RoundTripper: b.base}
			late.left.Store(hidden)
			b.plan("POST api:/repos/*/*/releases #1: cut though done")
			c := b.client(func(o *Options) { o.Transport = late })
			r := must(c.EnsureDraft(t.Context(), draft))(t)
			late.left.Store(0)
			found, ok, err := must(c.FindByMarker(t.Context(), tag, marker))(t).Release()
			if hidden <= 1+looks {
				if !ok || err != nil || found.ID != r.ID || len(b.releases()) != 1 {
					t.Errorf("found %+v, %v; %d releases", found, err, len(b.releases()))
				}
			} else if len(b.releases()) > 1 && !isConflict(err, b.releases()[0].ID, b.releases()[1].ID) {
				t.Errorf("hidden for longer than anybody looks, and nobody is told: %v", err)
			}
		})
	}
}

func TestFindByMarker(t *testing.T) {
	b := start(t)
	c := b.client()
	ctx := t.Context()
	mk := func(tag, marker string) int64 { return must(c.CreateDraft(ctx, Draft{Tag: tag, Marker: marker}))(t).ID }
	find := func() (Release, bool, error) { return must(c.FindByMarker(ctx, tag, marker))(t).Release() }
	mk("v9", "<!-- slipway other -->")
	if _, ok, err := find(); ok || err != nil {
		t.Errorf("found %v, %v", ok, err)
	}
	one := mk(tag, marker)
	if r, ok, err := find(); !ok || err != nil || r.ID != one {
		t.Errorf("found %v, %v", r, err)
	}
	foreign := mk(tag, "text that quotes "+marker+" is not ours")
	if _, _, err := find(); !isConflict(err, foreign) {
		t.Errorf("foreign: %v", err)
	}
	two := mk(tag, marker)
	if _, _, err := find(); !isConflict(err, one, two) {
		t.Errorf("duplicates: %v", err)
	}
	if _, err := c.EnsureDraft(ctx, draft); !isConflict(err, one, two) {
		t.Errorf("duplicates: %v", err)
	}
	if n := len(b.releases()); n != 4 {
		t.Errorf("%d releases", n)
	}
	for _, bad := range []Draft{{Marker: marker}, {Tag: tag}, {Tag: tag, Marker: "a\nb"}, {Tag: tag, Marker: " a"}} {
		if _, err := c.CreateDraft(ctx, bad); err == nil {
			t.Errorf("made %+v", bad)
		}
	}
}

// TestEveryPage finds what is on the last of many pages, also while the listing changes.
func TestEveryPage(t *testing.T) {
	b := start(t)
	c := b.client()
	c.perPage = 2
	ctx := t.Context()
	ours := must(c.EnsureDraft(ctx, draft))(t)
	var others []Release
	for i := range 6 {
		others = append(others, must(c.CreateDraft(ctx, Draft{Tag: fmt.Sprintf("v0.%d", i), Marker: fmt.Sprint(i)}))(t))
	}
	if all := must(c.ListReleases(ctx))(t); len(all) != 7 || all[6].ID != ours.ID {
		t.Errorf("listed %+v", all)
	}
	// Between two pages a release goes away: what follows moves to a page that was read already.
	second := b.client(func(o *Options) {
		o.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodGet && r.URL.Query().Get("page") == "4" && len(others) == 6 {
				last := others[5]
				others = others[:5]
				if err := c.DeleteDraft(ctx, last.ID, "5"); err != nil {
					t.Error(err)
				}
			}
			return b.base.RoundTrip(r)
		})
	})
	second.perPage = 2
	if r, ok, err := must(second.FindByMarker(ctx, tag, marker))(t).Release(); !ok || err != nil || r.ID != ours.ID {
		t.Errorf("found %+v, %v, %v", r, ok, err)
	}
	if len(others) != 5 {
		t.Error("nothing changed meanwhile")
	}
	for i := range 5 {
		must(c.PutAsset(ctx, ours.ID, b.file(fmt.Sprintf("f%d", i), "x"), nil))(t)
	}
	if list := must(c.ListAssets(ctx, ours.ID))(t); len(list) != 5 {
		t.Errorf("%d assets", len(list))
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestListingThatNeverSettles is an error, not a guess.
func TestListingThatNeverSettles(t *testing.T) {
	n := 0
	c := scripted(t, func(r *http.Request) (int, string, http.Header) {
		n++
		return 200, fmt.Sprintf(`[{"id":%d,"tag_name":"a"},{"id":%d,"tag_name":"b"}]`, n, n+1000), nil
	})
	c.perPage = 2
	if _, err := c.ListReleases(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	c = scripted(t, func(r *http.Request) (int, string, http.Header) {
		return 200, `[]`, http.Header{"Link": {`<https://x.invalid/?page=1>; rel="next"`}}
	})
	if _, err := c.ListReleases(t.Context()); err == nil || !strings.Contains(err.Error(), "page 1 follows page 1") {
		t.Errorf("error %v", err)
	}
}

func TestAssetConflicts(t *testing.T) {
	b := start(t)
	c := b.client()
	ctx := t.Context()
	r := must(c.EnsureDraft(ctx, draft))(t)
	a := must(c.PutAsset(ctx, r.ID, b.file("app.deb", "one"), nil))(t)
	for _, other := range []string{"two", "longer"} {
		_, err := c.PutAsset(ctx, r.ID, b.file("app.deb", other), nil)
		if !isConflict(err, a.ID) {
			t.Errorf("%s: %v", other, err)
		}
	}
	// Without a digest the bytes decide.
	b.plan("POST uploads:/** #1: digest late 100 calls")
	d := must(c.PutAsset(ctx, r.ID, b.file("late", "one"), nil))(t)
	if d.Digest != digest("one") {
		t.Errorf("asset %+v", d)
	}
	if _, err := c.PutAsset(ctx, r.ID, b.file("late", "two"), nil); !isConflict(err, d.ID) {
		t.Errorf("other bytes: %v", err)
	}
	if n := len(b.releases()[0].Assets); n != 2 {
		t.Errorf("%d assets", n)
	}
}

// TestStarterIsReplaced meets what somebody's failed upload left.
func TestStarterIsReplaced(t *testing.T) {
	b := start(t)
	c := b.client(func(o *Options) { o.Tries = 1 })
	ctx := t.Context()
	r := must(c.EnsureDraft(ctx, draft))(t)
	f := b.file("app.deb", strings.Repeat("x", 5000))
	b.plan("POST uploads:/** #1: 502 after 1000 bytes")
	if _, err := c.UploadAsset(ctx, r.ID, f, nil); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "request ") {
		t.Errorf("error %v", err)
	}
	if _, err := c.UploadAsset(ctx, r.ID, f, nil); !errors.Is(err, ErrExists) {
		t.Errorf("error %v", err)
	}
	if a := must(b.client().PutAsset(ctx, r.ID, f, nil))(t); a.State != Uploaded || a.Digest != f.SHA256 {
		t.Errorf("asset %+v", a)
	}
	if list := b.releases()[0].Assets; len(list) != 1 {
		t.Errorf("assets %+v", list)
	}
}

// TestRenamedIsTakenBack leaves nothing under the wrong name.
func TestRenamedIsTakenBack(t *testing.T) {
	b := start(t)
	c := b.client()
	r := must(c.EnsureDraft(t.Context(), draft))(t)
	b.plan("POST uploads:/** #1: renamed other.bin")
	if _, err := c.PutAsset(t.Context(), r.ID, b.file("app.deb", "x"), nil); !errors.Is(err, ErrRenamed) || !strings.Contains(err.Error(), "other.bin") {
		t.Errorf("error %v", err)
	}
	if n := len(b.releases()[0].Assets); n != 0 {
		t.Errorf("%d assets are left", n)
	}
}

// TestChangedFile never arrives: not a longer or shorter one, nor one of the same size.
func TestChangedFile(t *testing.T) {
	b := start(t)
	c := b.client()
	r := must(c.EnsureDraft(t.Context(), draft))(t)
	f := b.file("app.deb", strings.Repeat("x", 200_000))
	for _, now := range []string{strings.Repeat("x", 199_999) + "y", "short", strings.Repeat("x", 200_001)} {
		if err := os.WriteFile(f.Path, []byte(now), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := c.PutAsset(t.Context(), r.ID, f, nil)
		if !errors.Is(err, ErrChanged) || errors.Is(err, ErrUnknown) {
			t.Errorf("%d bytes: %v", len(now), err)
		}
	}
	for _, s := range b.History(owner, repo) {
		for _, r := range s.Releases {
			for _, a := range r.Assets {
				if a.State == Uploaded {
					t.Errorf("arrived: %+v", a)
				}
			}
		}
	}
	for name, bad := range map[string]File{
		"empty": {Name: "a", Path: f.Path, SHA256: f.SHA256}, "big": {Name: "a", Path: f.Path, Size: MaxAsset + 1, SHA256: f.SHA256},
		"no digest": {Name: "a", Path: f.Path, Size: 1}, "name": {Name: "../a", Path: f.Path, Size: 1, SHA256: f.SHA256},
		"folder": {Name: "a", Path: b.dir, Size: 4096, SHA256: f.SHA256}, "missing": {Name: "a", Path: b.dir + "/none", Size: 1, SHA256: f.SHA256},
	} {
		if _, err := c.UploadAsset(t.Context(), r.ID, bad, nil); err == nil {
			t.Errorf("%s: uploaded", name)
		}
	}
}

// TestImmutable knows what can never be undone.
func TestImmutable(t *testing.T) {
	b := start(t, func(o *twin.Options) { o.Repositories[0].Immutable = true })
	c := b.client()
	ctx := t.Context()
	if i := must(c.Immutability(ctx))(t); !i.Known || !i.Enabled || i.ByOwner {
		t.Errorf("setting %+v", i)
	}
	r := must(c.EnsureDraft(ctx, draft))(t)
	if p := must(c.Publish(ctx, r.ID, Publication{Title: "One", Body: marker}))(t); !p.Immutable {
		t.Errorf("published %+v", p)
	}
	if _, err := c.UploadAsset(ctx, r.ID, b.file("a", "x"), nil); !errors.Is(err, ErrImmutable) {
		t.Errorf("upload: %v", err)
	}
	if _, err := c.Withdraw(ctx, r.ID); !errors.Is(err, ErrImmutable) {
		t.Errorf("withdraw: %v", err)
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodDelete, fmt.Sprintf("%srepos/octo/app/releases/%d", b.URL(), r.ID), nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+secret)
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if _, err := c.EnsureDraft(ctx, draft); !errors.Is(err, ErrBurned) {
		t.Errorf("burned: %v", err)
	}
}

// TestRights tells a missing right from other failures, and never calls a hidden draft absent by itself.
func TestRights(t *testing.T) {
	b := start(t, func(o *twin.Options) {
		o.Tokens = []twin.Token{{Value: secret, Login: "eve", Rights: map[twin.Right]twin.Level{twin.Contents: twin.Read}}}
	})
	c := b.client()
	if _, err := c.EnsureDraft(t.Context(), draft); !errors.Is(err, ErrForbidden) {
		t.Errorf("error %v", err)
	}
	if a := must(c.Access(t.Context()))(t); a.Push {
		t.Errorf("access %+v", a)
	}
	b.SetTokens(nil)
	_, err := c.EnsureDraft(t.Context(), draft)
	if !errors.Is(err, ErrUnauthorized) {
		t.Errorf("error %v", err)
	}
	quiet(t, err)
	// A right for workflow files.
	b = start(t, func(o *twin.Options) {
		o.Repositories[0].WorkflowRule = true
		o.Tokens[0].Rights = map[twin.Right]twin.Level{twin.Contents: twin.Write}
	})
	head, err := b.memory.Get(t.Context(), "refs/heads/main")
	if err == nil {
		err = b.memory.Create(t.Context(), "refs/heads/other", head.SHA)
	}
	if err != nil {
		t.Fatal(err)
	}
	commit := b.memory.Add("other", "ci", twin.Signature{Name: "o", Email: "o@example.invalid", When: b.clock.now}, map[string]string{".github/workflows/ci.yml": "on: push\n"})
	d := draft
	d.Commit = commit
	if _, err := b.client().EnsureDraft(t.Context(), d); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "workflows right") {
		t.Errorf("error %v", err)
	}
}

// TestCancelled stops at once and says what is unknown.
func TestCancelled(t *testing.T) {
	b := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	c := b.client(func(o *Options) {
		o.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost {
				cancel()
			}
			return b.base.RoundTrip(r)
		})
	})
	_, err := c.EnsureDraft(ctx, draft)
	if !errors.Is(err, ErrUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := c.EnsureDraft(ctx, draft); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestDownloadStaysWrong reports bytes that are wrong each time, and never reads on for ever.
func TestDownloadStaysWrong(t *testing.T) {
	b := start(t)
	c := b.client()
	ctx := t.Context()
	r := must(c.EnsureDraft(ctx, draft))(t)
	f := b.file("a", strings.Repeat("x", 1000))
	a := must(c.PutAsset(ctx, r.ID, f, nil))(t)
	want := Content{f.Size, f.SHA256}
	b.plan("GET downloads:/**: flipped byte 3")
	got, err := c.Download(ctx, a.ID, want, nil)
	if !errors.Is(err, ErrMismatch) || got.Size != f.Size || got.SHA256 == f.SHA256 {
		t.Errorf("got %+v, %v", got, err)
	}
	quiet(t, err)
	b.plan("GET downloads:/**: truncated after 100 bytes")
	_, err = c.Download(ctx, a.ID, want, nil)
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "after 100 of 1000 bytes") {
		t.Errorf("error %v", err)
	}
	quiet(t, err)
	b.plan()
	if got, err := c.Download(ctx, a.ID, Content{10, f.SHA256}, nil); !errors.Is(err, ErrMismatch) || got.Size != 11 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := c.Download(ctx, a.ID+99, want, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v", err)
	}
	if _, err := c.Download(ctx, a.ID, Content{}, nil); err == nil {
		t.Error("downloaded without knowing what")
	}
	for _, from := range []string{"", "http://example.com/x", "file:///etc/passwd", "https://user:pw@example.com/x", "%zz"} {
		if _, err := c.DownloadPublic(ctx, from, want, nil); err == nil {
			t.Errorf("downloaded %s", from)
		}
	}
	direct := start(t, func(o *twin.Options) { o.DirectDownloads = true })
	c = direct.client()
	r = must(c.EnsureDraft(ctx, draft))(t)
	a = must(c.PutAsset(ctx, r.ID, f, nil))(t)
	must(c.Download(ctx, a.ID, want, nil))(t)
}
