package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	twin "github.com/imrightguy/slipway/phases/internal/twins/github"
	"github.com/imrightguy/slipway/phases/internal/twins/github/apicheck"
	"github.com/imrightguy/slipway/pipeline"
)

// jumpClock stands still but for sleeping, which takes no real time.
type jumpClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *jumpClock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *jumpClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return ctx.Err()
}

const (
	owner = "octo"
	repo  = "app"
	// secret is the planted token.
	secret = "ghp_plantedPLANTEDplanted0123456789abcd"
	tag    = "v1.2.3"
	marker = "<!-- slipway run-1 -->"
)

// sniffer looks at every request that leaves: a token belongs in the header of API and upload hosts and nowhere else.
type sniffer struct {
	t    *testing.T
	base http.RoundTripper
	with map[string]bool // hosts
}

func (s *sniffer) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.String(), secret) || strings.Contains(r.Header.Get("Referer"), secret) {
		s.t.Errorf("the token is in the address %s", r.URL)
	}
	if r.Header.Get("Authorization") != "" && !s.with[r.URL.Host] {
		s.t.Errorf("%s was shown the token", r.URL.Host)
	}
	return s.base.RoundTrip(r)
}

// A bench is a twin and what a client of it needs.
type bench struct {
	*twin.Server
	t      *testing.T
	clock  *jumpClock
	memory *twin.Memory
	base   http.RoundTripper // below the client
	log    *lockedBuffer
	dir    string
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *lockedBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// start runs a twin for a test. Every exchange is checked against GitHub's description.
func start(t *testing.T, change ...func(*twin.Options)) *bench {
	t.Helper()
	b, transport, with := raw(t, change...)
	checker, err := apicheck.New(b.URL(), b.UploadURL(), transport, func(err error) {
		if !b.damaged() {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.base = &sniffer{t, checker, with}
	return b
}

// raw is start without the check, which takes most of the time under the race detector.
func raw(t *testing.T, change ...func(*twin.Options)) (*bench, http.RoundTripper, map[string]bool) {
	t.Helper()
	b := &bench{t: t, clock: &jumpClock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}, memory: twin.NewMemory(), log: &lockedBuffer{}, dir: t.TempDir()}
	b.memory.Add("main", "first", twin.Signature{Name: "octo", Email: "octo@example.invalid", When: b.clock.now}, map[string]string{"README.md": "one\n"})
	o := twin.Options{
		Dir: t.TempDir(), Clock: b.clock,
		Repositories: []twin.Repository{{Owner: owner, Name: repo, Refs: b.memory}},
		Tokens:       []twin.Token{{Value: secret, Login: "octo", Rights: twin.Maintainer()}},
	}
	for _, f := range change {
		f(&o)
	}
	s, err := twin.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	b.Server = s
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if strings.Contains(b.log.String(), secret) {
			t.Error("the token is in the log")
		}
	})
	with := map[string]bool{}
	for _, u := range []string{s.URL(), s.UploadURL()} {
		with[strings.Trim(strings.TrimPrefix(u, "http://"), "/")] = true
	}
	b.base = &sniffer{t, transport, with}
	return b, transport, with
}

// damaged tells whether a fault of this test spoils answers.
func (b *bench) damaged() bool {
	for _, r := range b.Requests() {
		if strings.Contains(r.Fault, "truncated") || strings.Contains(r.Fault, "flipped") {
			return true
		}
	}
	return false
}

// client makes a client with the planted token.
func (b *bench) client(change ...func(*Options)) *Client {
	b.t.Helper()
	token, err := NewToken(secret, "test")
	if err != nil {
		b.t.Fatal(err)
	}
	o := Options{
		Owner: owner, Repo: repo, BaseURL: b.URL(), UploadURL: b.UploadURL(), Token: token, Transport: b.base, Clock: b.clock,
		Log: slog.New(slog.NewTextHandler(b.log, nil)),
	}
	for _, f := range change {
		f(&o)
	}
	c, err := New(o)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// plan sets faults.
func (b *bench) plan(lines ...string) {
	b.t.Helper()
	faults, err := twin.ParseFaults(strings.Join(lines, "\n"))
	if err == nil {
		err = b.SetFaults(faults)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// file makes a file with some content.
func (b *bench) file(name, content string) File {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return File{Name: name, Path: path, Size: int64(len(content)), SHA256: digest(content)}
}

func digest(content string) string {
	h := sha256.Sum256([]byte(content))
	return hex.EncodeToString(h[:])
}

// releases are what the twin holds now.
func (b *bench) releases() []*twin.ReleaseState {
	return b.History(owner, repo).Last().Releases
}

// quiet fails the test when an error, however printed, shows the token, or is not of one line.
func quiet(t *testing.T, err error) {
	t.Helper()
	for _, s := range []string{fmt.Sprint(err), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
		if strings.Contains(s, secret) {
			t.Errorf("the error shows the token: %s", s)
		}
	}
	if s := fmt.Sprint(err); strings.Contains(s, "\n") || strings.Contains(s, "sig=") {
		t.Errorf("error %q", s)
	}
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var draft = Draft{Tag: tag, Title: "One", Marker: marker}

func TestWholeRelease(t *testing.T) {
	b := start(t)
	c := b.client()
	ctx := t.Context()
	if r := must(c.RateLimit(ctx))(t); r.Limit != 5000 || r.Remaining != 5000 || !r.Reset.After(b.clock.Now()) {
		t.Errorf("rate %+v", r)
	}
	if a := must(c.Access(ctx))(t); a.FullName != "octo/app" || !a.Push || a.Private || a.DefaultBranch != "main" {
		t.Errorf("access %+v", a)
	}
	if i := must(c.Immutability(ctx))(t); i.Enabled {
		t.Errorf("immutability %+v", i)
	}
	if _, err := c.Latest(ctx); !errors.Is(err, ErrNotFound) {
		t.Errorf("latest: %v", err)
	}
	r := must(c.EnsureDraft(ctx, draft))(t)
	if !r.Draft || r.Tag != tag || r.Body != marker || r.ID == 0 || r.Title != "One" {
		t.Errorf("draft %+v", r)
	}
	if again := must(c.EnsureDraft(ctx, draft))(t); again.ID != r.ID {
		t.Errorf("a second draft: %d and %d", r.ID, again.ID)
	}
	var steps []int64
	f := b.file("app.tar.gz", strings.Repeat("bytes ", 100_000))
	a := must(c.PutAsset(ctx, r.ID, f, func(n int64) { steps = append(steps, n) }))(t)
	if a.Name != f.Name || a.Size != f.Size || a.Digest != f.SHA256 || a.State != Uploaded {
		t.Errorf("asset %+v", a)
	}
	if len(steps) < 2 || steps[len(steps)-1] != f.Size {
		t.Errorf("progress %v", steps)
	}
	steps = nil
	if again := must(c.PutAsset(ctx, r.ID, f, func(n int64) { steps = append(steps, n) }))(t); again.ID != a.ID || len(steps) != 0 {
		t.Errorf("uploaded again: %+v, %v", again, steps)
	}
	want := Content{f.Size, f.SHA256}
	if got := must(c.Download(ctx, a.ID, want, func(n int64) { steps = append(steps, n) }))(t); got != want || steps[len(steps)-1] != f.Size {
		t.Errorf("downloaded %+v, %v", got, steps)
	}
	if _, err := c.ByTag(ctx, tag); !errors.Is(err, ErrNotFound) {
		t.Errorf("by tag: %v", err)
	}
	p := Publication{Title: "One", Body: "Notes.\n\n" + marker + "\n", Latest: true}
	if r = must(c.Publish(ctx, r.ID, p))(t); r.Draft || r.Published.IsZero() || r.Immutable {
		t.Errorf("published %+v", r)
	}
	must(c.Publish(ctx, r.ID, p))(t)
	if by := must(c.ByTag(ctx, tag))(t); by.ID != r.ID {
		t.Errorf("by tag %+v", by)
	}
	if l := must(c.Latest(ctx))(t); l.ID != r.ID {
		t.Errorf("latest %+v", l)
	}
	public := must(c.ListAssets(ctx, r.ID))(t)
	if got := must(c.DownloadPublic(ctx, public[0].URL, want, nil))(t); got != want {
		t.Errorf("downloaded %+v", got)
	}
	if found := must(c.EnsureDraft(ctx, draft))(t); found.ID != r.ID || found.Draft {
		t.Errorf("found %+v", found)
	}
	if _, err := c.Publish(ctx, r.ID, Publication{Title: "Other"}); !isConflict(err, r.ID) {
		t.Errorf("another title: %v", err)
	}
	if err := c.DeleteDraft(ctx, r.ID, marker); !isConflict(err, r.ID) {
		t.Errorf("deleting a published release: %v", err)
	}
	if w := must(c.Withdraw(ctx, r.ID))(t); !w.Draft {
		t.Errorf("withdrawn %+v", w)
	}
	must(c.Withdraw(ctx, r.ID))(t)
	if err := c.DeleteDraft(ctx, r.ID, "<!-- slipway other -->"); !isConflict(err, r.ID) {
		t.Errorf("deleting another's draft: %v", err)
	}
	for range 2 {
		if err := c.DeleteAsset(ctx, a.ID); err != nil {
			t.Error(err)
		}
		if err := c.DeleteDraft(ctx, r.ID, marker); err != nil {
			t.Error(err)
		}
	}
	if left := b.releases(); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
	// Writes are a second apart, and only the API was shown the token.
	var last time.Time
	for _, q := range b.Requests() {
		if isWrite(q.Method) {
			if !last.IsZero() && q.Time.Sub(last) < time.Second {
				t.Errorf("%s %s after %v", q.Method, q.Path, q.Time.Sub(last))
			}
			last = q.Time
		}
		if api := q.Host == "api" || q.Host == "uploads"; q.Authorized != api {
			t.Errorf("%s %s%s: token %v", q.Method, q.Host, q.Path, q.Authorized)
		}
	}
}

// isConflict tells whether an error is a conflict that names these ids.
func isConflict(err error, ids ...int64) bool {
	var c *ConflictError
	if !errors.As(err, &c) || !errors.Is(err, pipeline.ErrConflict) || len(c.IDs) != len(ids) {
		return false
	}
	for _, id := range ids {
		if !slices.Contains(c.IDs, id) || !strings.Contains(err.Error(), strconv.FormatInt(id, 10)) {
			return false
		}
	}
	return true
}
