package page

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
)

type backend struct{}

func (backend) State() any                             { return map[string]int{"revision": 1} }
func (backend) Patch(uint64, []byte) (uint64, error)   { return 2, nil }
func (backend) Test(context.Context, string) any       { return 1 }
func (backend) SetToken(context.Context, string) error { return nil }
func (backend) RotateKey() (string, error)             { return "", nil }

func newPage() *Server {
	return &Server{Backend: backend{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

func open(t *testing.T, link string) (status int, cookie *http.Cookie) {
	t.Helper()
	base, token, _ := strings.Cut(link, "#")
	r, err := http.Post(base+"session", "application/json", strings.NewReader(fmt.Sprintf(`{"token":%q}`, token)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	for _, c := range r.Cookies() {
		cookie = c
	}
	return r.StatusCode, cookie
}

func TestLinkWorksOnce(t *testing.T) {
	s := newPage()
	defer s.Close()
	link, err := s.Link()
	if err != nil {
		t.Fatal(err)
	}
	status, c := open(t, link)
	if status != 204 || c == nil || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode {
		t.Fatalf("%d %v", status, c)
	}
	if status, c := open(t, link); status != 403 || c != nil {
		t.Errorf("a used link: %d", status)
	}
	base, _, _ := strings.Cut(link, "#")
	ask := func(method, path, kind, body string, with *http.Cookie) int {
		t.Helper()
		req, _ := http.NewRequest(method, base+path, bytes.NewReader([]byte(body)))
		if kind != "" {
			req.Header.Set("Content-Type", kind)
		}
		if with != nil {
			req.AddCookie(with)
		}
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		return r.StatusCode
	}
	bad := &http.Cookie{Name: c.Name, Value: strings.Repeat("0", 64)}
	for _, x := range []struct {
		method, path, kind, body string
		with                     *http.Cookie
		want                     int
	}{
		{"GET", "api/state", "", "", c, 200},
		{"GET", "api/state", "", "", nil, 401},
		{"GET", "api/state", "", "", bad, 401},
		{"POST", "api/settings", "application/json", `{"revision":1,"settings":{}}`, c, 200},
		{"POST", "api/settings", "text/plain", `{"revision":1,"settings":{}}`, c, 415},
		{"POST", "api/settings", "application/json", `{`, c, 400},
		{"POST", "api/settings", "application/json", `{"settings":"` + strings.Repeat("x", maxBody) + `"}`, c, 400},
		{"GET", "api/settings", "", "", c, 404},
		{"GET", "", "", "", nil, 200},
		{"GET", "page.js", "", "", nil, 200},
		{"GET", "../../etc/passwd", "", "", c, 404},
	} {
		if got := ask(x.method, x.path, x.kind, x.body, x.with); got != x.want {
			t.Errorf("%s %s: %d, want %d", x.method, x.path, got, x.want)
		}
	}
}

func TestLinkGrowsOld(t *testing.T) {
	s := newPage()
	s.LinkFor = time.Nanosecond
	defer s.Close()
	link, err := s.Link()
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond)
	if status, _ := open(t, link); status != 403 {
		t.Errorf("%d", status)
	}
}

func TestStopsWhenNobodyLooks(t *testing.T) {
	s := newPage()
	s.Idle = 30 * time.Millisecond
	if _, err := s.Link(); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(20 * time.Second)
	for s.Port() != 0 {
		if time.Now().After(end) {
			t.Fatal("it listens for ever")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if _, err := s.Link(); err != nil || s.Port() == 0 {
		t.Error("it does not come back")
	}
	s.Close()
}
