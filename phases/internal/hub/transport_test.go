package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	twin "github.com/imrightguy/slipway/phases/internal/twins/github"
)

// scripted makes a client whose server is a function.
func scripted(t *testing.T, answer func(*http.Request) (int, string, http.Header), change ...func(*Options)) *Client {
	t.Helper()
	token, err := NewToken(secret, "test")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Owner: owner, Repo: repo, Token: token, Clock: &jumpClock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)},
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			status, body, header := answer(r)
			if status == 0 {
				return nil, errors.New(body)
			}
			if header == nil {
				header = http.Header{}
			}
			if header.Get("Content-Type") == "" {
				header.Set("Content-Type", "application/json; charset=utf-8")
			}
			return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r, ContentLength: int64(len(body))}, nil
		}),
	}
	for _, f := range change {
		f(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const aRelease = `{"id":7,"tag_name":"v1.2.3","draft":true,"body":"` + marker + `"}`

// TestWaits is the vocabulary: what an answer says, and when the next request comes.
func TestWaits(t *testing.T) {
	zero := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	secondary := `{"message":"slow down","documentation_url":"https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"}`
	h := func(kv ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(kv); i += 2 {
			h.Set(kv[i], kv[i+1])
		}
		return h
	}
	unix := func(d time.Duration) string { return fmt.Sprint(zero.Add(d).Unix()) }
	for name, c := range map[string]struct {
		status   int
		body     string
		header   http.Header
		min, max time.Duration // max 0: no second request
		kind     error
	}{
		"seconds":          {429, `{}`, h("Retry-After", "17"), 17 * time.Second, 17 * time.Second, nil},
		"date":             {429, `{}`, h("Retry-After", zero.Add(40*time.Second).Format(http.TimeFormat)), 40 * time.Second, 40 * time.Second, nil},
		"past date":        {429, `{}`, h("Retry-After", zero.Add(-40*time.Second).Format(http.TimeFormat)), time.Second, time.Second, nil},
		"nonsense":         {429, `{}`, h("Retry-After", "soon"), time.Minute, time.Minute, nil},
		"429 alone":        {429, `<html>`, h("Content-Type", "text/html"), time.Minute, time.Minute, nil},
		"reset":            {403, `{}`, h("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", unix(90*time.Second)), 91 * time.Second, 91 * time.Second, nil},
		"retry wins":       {403, `{}`, h("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", unix(90*time.Second), "Retry-After", "5"), 5 * time.Second, 5 * time.Second, nil},
		"no reset":         {403, `{}`, h("X-RateLimit-Remaining", "0"), time.Minute, time.Minute, nil},
		"odd reset":        {403, `{}`, h("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "999999999999999999"), time.Minute, time.Minute, nil},
		"secondary":        {403, secondary, nil, time.Minute, time.Minute, nil},
		"secondary, timed": {403, secondary, h("Retry-After", "3"), 3 * time.Second, 3 * time.Second, nil},
		"too long":         {429, `{}`, h("Retry-After", "99999999999"), 0, 0, ErrLimited},
		"reset too late":   {403, `{}`, h("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", unix(16*time.Minute)), 0, 0, ErrLimited},
		"a right":          {403, `{"message":"Resource not accessible"}`, h("X-RateLimit-Remaining", "9"), 0, 0, ErrForbidden},
		"408":              {408, `{}`, nil, 800 * time.Millisecond, 1200 * time.Millisecond, nil},
		"500":              {500, `{}`, nil, 800 * time.Millisecond, 1200 * time.Millisecond, nil},
		"503, timed":       {503, `<html>`, h("Retry-After", "20", "Content-Type", "text/html"), 20 * time.Second, 20 * time.Second, nil},
		"html":             {200, `<html>`, h("Content-Type", "text/html"), 800 * time.Millisecond, 1200 * time.Millisecond, nil},
		"damaged":          {200, `{"id":`, nil, 800 * time.Millisecond, 1200 * time.Millisecond, nil},
		"connection":       {0, "connection reset by peer", nil, 800 * time.Millisecond, 1200 * time.Millisecond, nil},
	} {
		t.Run(name, func(t *testing.T) {
			clock := &jumpClock{now: zero}
			var at []time.Time
			client := scripted(t, func(*http.Request) (int, string, http.Header) {
				if at = append(at, clock.Now()); len(at) == 1 {
					return c.status, c.body, c.header.Clone()
				}
				return 200, aRelease, nil
			}, func(o *Options) { o.Clock = clock })
			_, err := client.Release(t.Context(), 7)
			if c.max == 0 {
				if !errors.Is(err, c.kind) || len(at) != 1 {
					t.Errorf("error %v after %d requests", err, len(at))
				}
				return
			}
			if err != nil || len(at) != 2 {
				t.Fatalf("error %v after %d requests", err, len(at))
			}
			if d := at[1].Sub(at[0]); d < c.min || d > c.max {
				t.Errorf("waited %v, want %v to %v", d, c.min, c.max)
			}
		})
	}
}

// TestBounded ends after so many tries or so much time, and says so.
func TestBounded(t *testing.T) {
	n := 0
	failing := func(*http.Request) (int, string, http.Header) { n++; return 502, "<html>no</html>", nil }
	_, err := scripted(t, failing, func(o *Options) { o.Tries = 3 }).Release(t.Context(), 7)
	if e := new(Error); !errors.Is(err, ErrUnavailable) || !errors.As(err, &e) || e.Tries != 3 || n != 3 || strings.Contains(err.Error(), "<") {
		t.Errorf("%d requests, error %v", n, err)
	}
	n = 0
	_, err = scripted(t, failing, func(o *Options) { o.Tries, o.MaxWait = 100, 20*time.Second }).Release(t.Context(), 7)
	if !errors.Is(err, ErrUnavailable) || n < 4 || n > 6 {
		t.Errorf("%d requests, error %v", n, err)
	}
	// A limit that is known holds later requests back, also the first of another call.
	n = 0
	c := scripted(t, func(*http.Request) (int, string, http.Header) {
		n++
		return 429, `{}`, http.Header{"Retry-After": {"3600"}, "X-Github-Request-Id": {"AB:CD"}}
	})
	for range 2 {
		_, err := c.Release(t.Context(), 7)
		if e := new(Error); !errors.Is(err, ErrLimited) || !errors.As(err, &e) || e.Until.IsZero() {
			t.Errorf("error %v", err)
		}
	}
	if n != 1 {
		t.Errorf("%d requests", n)
	}
	// The last request of the hour: the next waits, and the library does not refuse it by the system's clock.
	clock := &jumpClock{now: time.Now()}
	reset := clock.now.Add(5 * time.Minute)
	c = scripted(t, func(*http.Request) (int, string, http.Header) {
		return 200, aRelease, http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {fmt.Sprint(reset.Unix())}}
	}, func(o *Options) { o.Clock = clock })
	must(c.Release(t.Context(), 7))(t)
	if !clock.Now().Before(reset) {
		t.Error("waited for nothing")
	}
	must(c.Release(t.Context(), 7))(t)
	if clock.Now().Before(reset) {
		t.Error("did not wait")
	}
}

// TestWritesAreSentOnce unless the server said no or never saw them.
func TestWritesAreSentOnce(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		err    error
		n      int
	}{
		"502":       {502, "<html>", ErrUnknown, 1},
		"lost":      {0, "connection reset by peer", ErrUnknown, 1},
		"408":       {408, "{}", ErrUnknown, 1},
		"damaged":   {201, `{"id"`, ErrUnknown, 1},
		"no JSON":   {201, ``, ErrUnknown, 1},
		"no id":     {201, `{}`, ErrUnknown, 1},
		"types":     {201, `{"id":"seven"}`, ErrUnknown, 1},
		"limit":     {429, "{}", ErrLimited, 3},
		"forbidden": {403, "{}", ErrForbidden, 1},
		"422":       {422, `{"message":"Validation Failed","errors":[{"code":"already_exists"}]}`, ErrExists, 1},
		"texts":     {422, `{"message":"no","errors":["one","two"]}`, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			client := scripted(t, func(*http.Request) (int, string, http.Header) {
				n++
				return c.status, c.body, http.Header{"X-Github-Request-Id": {"AB:CD:1"}}
			}, func(o *Options) { o.Tries = 3 })
			_, err := client.CreateDraft(t.Context(), draft)
			if err == nil || c.err != nil && !errors.Is(err, c.err) || n != c.n {
				t.Errorf("%d requests, error %v", n, err)
			}
			if c.status != 0 && !strings.Contains(err.Error(), "AB:CD:1") && name != "no id" {
				t.Errorf("no request id: %v", err)
			}
			if errors.Is(err, ErrUnknown) != errors.Is(c.err, ErrUnknown) {
				t.Errorf("error %v", err)
			}
		})
	}
	// A connection that never came about carried nothing.
	n := 0
	c := scripted(t, nil, func(o *Options) {
		o.Tries = 3
		o.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			n++
			return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
		})
	})
	if _, err := c.CreateDraft(t.Context(), draft); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknown) || n != 3 {
		t.Errorf("%d requests, error %v", n, err)
	}
}

// TestSerialWrites lets many write at once.
func TestSerialWrites(t *testing.T) {
	var mu sync.Mutex
	inside, most := 0, 0
	clock := &jumpClock{now: time.Now()}
	var at []time.Time
	c := scripted(t, func(*http.Request) (int, string, http.Header) {
		mu.Lock()
		inside++
		most = max(most, inside)
		at = append(at, clock.Now())
		mu.Unlock()
		time.Sleep(2 * time.Millisecond)
		mu.Lock()
		inside--
		mu.Unlock()
		return 201, aRelease, nil
	}, func(o *Options) { o.Clock = clock })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := c.CreateDraft(t.Context(), draft); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most != 1 {
		t.Errorf("%d writes at once", most)
	}
	for i := 1; i < len(at); i++ {
		if at[i].Sub(at[i-1]) < time.Second {
			t.Errorf("write %d came after %v", i, at[i].Sub(at[i-1]))
		}
	}
}

// TestHostileAnswers lets a server send the token back and try to reach the terminal.
func TestHostileAnswers(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 422, 429, 500} {
		c := scripted(t, func(*http.Request) (int, string, http.Header) {
			return status, `{"message":"bad ` + secret + ` \u001b[31m\nred $(id) ` + strings.Repeat("x", 5000) + `","errors":[{"code":"` + secret + `"}]}`,
				http.Header{"X-Github-Request-Id": {secret}}
		})
		_, err := c.Release(t.Context(), 7)
		quiet(t, err)
		if s := fmt.Sprint(err); len(s) > 900 || strings.ContainsRune(s, 0x1b) {
			t.Errorf("error %q", s)
		}
	}
	c := scripted(t, func(*http.Request) (int, string, http.Header) { return 0, "dial with " + secret, nil })
	_, err := c.Release(t.Context(), 7)
	quiet(t, err)
	for _, tag := range []string{"", "..", "a/../b", "a//b", "/a"} {
		if _, err := c.ByTag(t.Context(), tag); err == nil || errors.Is(err, ErrUnavailable) {
			t.Errorf("asked for tag %q: %v", tag, err)
		}
	}
	c = scripted(t, func(r *http.Request) (int, string, http.Header) {
		if want := "/repos/octo/app/releases/tags/a/b%20%3Fc"; r.URL.EscapedPath() != want || r.URL.RawQuery != "" {
			t.Errorf("asked for %s", r.URL)
		}
		return 200, aRelease, nil
	})
	must(c.ByTag(t.Context(), "a/b ?c"))(t)
}

// TestRedirects follows reads without the token and refuses to send writes elsewhere.
func TestRedirects(t *testing.T) {
	var other []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		other = append(other, r.Method+" "+r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, aRelease)
	}))
	defer elsewhere.Close()
	status, to := 302, elsewhere.URL+"/x?sig=abc"
	var seen []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
		if r.URL.Path == "/moved" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(201)
			fmt.Fprint(w, aRelease)
			return
		}
		http.Redirect(w, r, to, status)
	}))
	defer api.Close()
	token, err := NewToken(secret, "test")
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Options{Owner: owner, Repo: repo, BaseURL: api.URL, Token: token, Clock: &jumpClock{now: time.Now()}})
	if err != nil {
		t.Fatal(err)
	}
	must(c.Release(t.Context(), 7))(t)
	if len(other) != 1 || other[0] != "GET " {
		t.Errorf("the other host saw %q", other)
	}
	for _, s := range []int{301, 302, 303, 307, 308} {
		status = s
		_, err := c.CreateDraft(t.Context(), draft)
		if err == nil || !strings.Contains(err.Error(), "redirect") || strings.Contains(err.Error(), "sig=") {
			t.Errorf("%d: %v", s, err)
		}
	}
	if len(other) != 1 {
		t.Errorf("the other host saw %q", other)
	}
	to = api.URL + "/moved" // a renamed repository
	status = 307
	must(c.CreateDraft(t.Context(), draft))(t)
	if last := seen[len(seen)-1]; last != "POST /moved Bearer "+secret {
		t.Errorf("saw %q", last)
	}
	status = 302
	if _, err := c.CreateDraft(t.Context(), draft); err == nil {
		t.Error("a POST became a GET")
	}
	to, status = api.URL+"/again", 302
	if _, err := c.Release(t.Context(), 7); err == nil || !strings.Contains(err.Error(), "too many redirects") {
		t.Errorf("error %v", err)
	}
}

// TestRedirectToPlainText is not followed.
func TestRedirectToPlainText(t *testing.T) {
	c := scripted(t, func(r *http.Request) (int, string, http.Header) {
		if r.URL.Scheme != "https" {
			t.Errorf("asked %s", r.URL)
		}
		return 302, "", http.Header{"Location": {"http://objects.example.com/x?sig=abc"}}
	})
	_, err := c.Download(t.Context(), 7, Content{1, digest("x")}, nil)
	if err == nil || !strings.Contains(err.Error(), "from https to http") {
		t.Errorf("error %v", err)
	}
	quiet(t, err)
}

// TestDeadlines runs in real time: a call that hangs, an upload and a download that stand still.
func TestDeadlines(t *testing.T) {
	b := start(t, func(o *twin.Options) { o.Clock = nil })
	quick := func(o *Options) {
		o.CallTimeout, o.IdleTimeout, o.Tries, o.WriteInterval = 150*time.Millisecond, 100*time.Millisecond, 2, -1
	}
	ctx := t.Context()
	c := b.client(quick)
	r := must(c.EnsureDraft(ctx, draft))(t)
	b.plan("GET api:/repos/*/*/releases/* #1: delay 5s")
	began := time.Now()
	must(c.Release(ctx, r.ID))(t)
	b.plan("PATCH api:/repos/*/*/releases/* #1: delay 5s")
	must(c.Publish(ctx, r.ID, Publication{Title: "One", Body: marker}))(t)
	must(c.Withdraw(ctx, r.ID))(t)
	f := b.file("big", strings.Repeat("x", 1<<20))
	b.plan("POST uploads:/** #1: delay 5s")
	a := must(c.PutAsset(ctx, r.ID, f, nil))(t)
	want := Content{f.Size, f.SHA256}
	b.plan("GET downloads:/** #1: slow download 1 bytes/s", "GET downloads:/** #2: delay 5s")
	c = b.client(quick, func(o *Options) { o.Tries = 3 })
	must(c.Download(ctx, a.ID, want, nil))(t)
	// Slow is not still: this takes longer than any timeout.
	b.plan("GET downloads:/** #1: slow download 4000000 bytes/s")
	began2 := time.Now()
	must(c.Download(ctx, a.ID, want, nil))(t)
	if d := time.Since(began2); d < 150*time.Millisecond {
		t.Errorf("the slow download took %v only", d)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
}

// TestMemoryIsFlat uploads and downloads 96 MiB, with a failure in the middle.
func TestMemoryIsFlat(t *testing.T) {
	const size = 96 << 20
	b := start(t)
	path := filepath.Join(b.dir, "big")
	part := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	for range size / len(part) {
		if _, err := io.MultiWriter(file, sum).Write(part); err != nil {
			t.Fatal(err)
		}
	}
	file.Close()
	f := File{Name: "big", Path: path, Size: size, SHA256: fmt.Sprintf("%x", sum.Sum(nil))}
	c := b.client()
	r := must(c.EnsureDraft(t.Context(), draft))(t)
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	var most uint64
	look := func(n int64) {
		if n%(8<<20) < 64<<10 {
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
	}
	b.plan("POST uploads:/** #1: cut after 50000000 bytes")
	a := must(c.PutAsset(t.Context(), r.ID, f, look))(t)
	must(c.Download(t.Context(), a.ID, Content{f.Size, f.SHA256}, look))(t)
	runtime.ReadMemStats(&now)
	grown, total := int64(most)-int64(before.HeapAlloc), now.TotalAlloc-before.TotalAlloc
	t.Logf("heap grew by %d KiB at most; %d KiB in all", grown>>10, total>>10)
	if most == 0 || grown > 24<<20 || total > 64<<20 {
		t.Errorf("heap grew by %d KiB at most; %d KiB in all", grown>>10, total>>10)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"0", "7", "-1", "Sun, 01 Mar 2026 12:00:40 GMT", "99999999999999999999", "1e3", ""} {
		f.Add(s)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := retryAfter(s, now); ok && (d < 0 || d > 24*time.Hour) {
			t.Errorf("%q: %v", s, d)
		}
	})
}

// FuzzAnswer lets a server answer anything at all.
func FuzzAnswer(f *testing.F) {
	f.Add(422, `{"message":"Validation Failed","errors":[{"resource":"ReleaseAsset","code":"already_exists","field":"name"}]}`, "application/json", "0", "7", "1772366400")
	f.Add(200, aRelease, "application/json", "", "", "")
	f.Add(403, `{"message":7,"errors":"x"}`, "text/html; charset", "x", "-1", "99999999999999")
	f.Fuzz(func(t *testing.T, status int, body, kind, remaining, after, reset string) {
		if status < 200 || status > 599 || status >= 300 && status < 400 {
			return
		}
		n := 0
		c := scripted(t, func(*http.Request) (int, string, http.Header) {
			n++
			return status, body, http.Header{"Content-Type": {kind}, "X-Ratelimit-Remaining": {remaining}, "Retry-After": {after}, "X-Ratelimit-Reset": {reset}}
		}, func(o *Options) { o.Tries = 3 })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r, err := c.CreateDraft(ctx, draft)
		if (err == nil) != (r.ID > 0) || n > 3 {
			t.Errorf("release %+v, error %v, %d requests", r, err, n)
		}
		if err != nil {
			quiet(t, err)
		}
	})
}
