package hub

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	twin "github.com/imrightguy/slipway/phases/internal/twins/github"
)

func TestTag(t *testing.T) {
	b := start(t)
	c := b.client()
	by := twin.Signature{Name: "o", Email: "o@example.invalid", When: b.clock.now}
	commit := b.memory.Add("main", "second", by, nil)
	one, err := b.memory.CreateTagObject(t.Context(), twin.Tag{Name: "v1/two", Message: "x", Tagger: by, Target: twin.Object{SHA: commit, Type: "commit"}})
	if err != nil {
		t.Fatal(err)
	}
	two, err := b.memory.CreateTagObject(t.Context(), twin.Tag{Name: "twice", Message: "x", Tagger: by, Target: twin.Object{SHA: one.SHA, Type: "tag"}})
	if err != nil {
		t.Fatal(err)
	}
	for ref, to := range map[string]string{"v1/two": one.SHA, "light": commit, "twice": two.SHA} {
		if err := b.memory.Create(t.Context(), "refs/tags/"+ref, to); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]Tag{"v1/two": {true, one.SHA, commit}, "light": {false, commit, commit}, "twice": {true, two.SHA, commit}} {
		if got, err := c.Tag(t.Context(), name); err != nil || got != want {
			t.Errorf("%s: %+v %v, want %+v", name, got, err, want)
		}
	}
	if _, err := c.Tag(t.Context(), "missing"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a missing tag: %v", err)
	}
	n := len(b.Requests())
	for _, bad := range []string{"", "a//b", "../../x", "a/..", "."} {
		if got, err := c.Tag(t.Context(), bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
	if len(b.Requests()) != n {
		t.Error("a name that git does not allow was asked for")
	}
}

// TestTagThatLeadsNowhere has servers that say nonsense.
func TestTagThatLeadsNowhere(t *testing.T) {
	for name, body := range map[string]string{
		"a tree":   `{"object":{"sha":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","type":"tree"}}`,
		"no name":  `{"object":{"sha":"../../..","type":"tag"}}`,
		"a circle": `{"object":{"sha":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","type":"tag"}}`,
		"nothing":  `{}`,
	} {
		b, _, _ := raw(t)
		c := b.client(func(o *Options) {
			o.Transport = answer(func(r *http.Request) string {
				if strings.Contains(r.URL.Path, "..") {
					t.Errorf("asked for %s", r.URL.Path)
				}
				return body
			})
		})
		if got, err := c.Tag(t.Context(), "v1"); err == nil || !strings.Contains(err.Error(), "leads to no commit") {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

// answer is a server that always says 200.
type answer func(*http.Request) string

func (a answer) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	rec.Body = http.MaxBytesReader(nil, noClose{strings.NewReader(a(r))}, 1<<20)
	return rec, nil
}

type noClose struct{ *strings.Reader }

func (noClose) Close() error { return nil }

func TestLogin(t *testing.T) {
	b := start(t)
	if who, err := b.client().Login(t.Context()); who != "octo" || err != nil {
		t.Errorf("%q %v", who, err)
	}
	b.SetTokens([]twin.Token{{Value: secret, Kind: twin.Installation, Rights: twin.Maintainer()}})
	if who, err := b.client().Login(t.Context()); who != "" || err != nil {
		t.Errorf("an app's token: %q %v", who, err)
	}
	b.SetTokens(nil)
	if who, err := b.client().Login(t.Context()); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("no token: %q %v", who, err)
	}
}

func TestBearsAndMatches(t *testing.T) {
	for body, want := range map[string]bool{
		marker: true, "notes\r\n\r\n" + marker + "\r\n": true, "  " + marker + " ": true,
		"": false, "see " + marker: false, "<!-- slipway run-11 -->": false, marker + marker: false,
	} {
		if got := (Release{Body: body}).Bears(marker); got != want {
			t.Errorf("%q: %v", body, got)
		}
	}
	p := Publication{Title: "T", Body: "a\nb\n"}
	good := Release{Title: "T", Body: "a\r\nb"}
	if !p.Matches(good) {
		t.Error("line ends matter")
	}
	for name, change := range map[string]func(*Release){
		"draft": func(r *Release) { r.Draft = true }, "title": func(r *Release) { r.Title = "t" },
		"body": func(r *Release) { r.Body = "a\nc" }, "kind": func(r *Release) { r.Prerelease = true },
	} {
		r := good
		change(&r)
		if p.Matches(r) {
			t.Errorf("another %s matches", name)
		}
	}
}

func TestSame(t *testing.T) {
	b := start(t)
	c := b.client()
	rel, err := c.CreateDraft(t.Context(), Draft{Tag: tag, Marker: marker})
	if err != nil {
		t.Fatal(err)
	}
	f := b.file("a.txt", "content")
	b.plan("POST uploads:/** #1: digest late 100 calls") // never: the bytes must be fetched
	a, err := c.UploadAsset(t.Context(), rel.ID, f, nil)
	if err != nil || a.Digest != "" {
		t.Fatal(a, err)
	}
	if got, err := c.Same(t.Context(), a, f); err != nil || got.Digest != f.SHA256 {
		t.Errorf("%+v %v", got, err)
	}
	for name, other := range map[string]File{
		"name": {Name: "b.txt", Size: f.Size, SHA256: f.SHA256}, "size": {Name: f.Name, Size: 8, SHA256: f.SHA256},
		"bytes": {Name: f.Name, Size: f.Size, SHA256: digest("CONTENT")},
	} {
		var conflict *ConflictError
		if got, err := c.Same(t.Context(), a, other); !errors.As(err, &conflict) || conflict.IDs[0] != a.ID {
			t.Errorf("another %s: %+v %v", name, got, err)
		}
	}
	a.State = "starter"
	if _, err := c.Same(t.Context(), a, f); err == nil {
		t.Error("a starter is the same")
	}
}
