package published

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/pipeline/gate"
)

type clock struct{ slept []time.Duration }

func (*clock) Now() time.Time { return time.Time{} }
func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.slept = append(c.slept, d)
	return ctx.Err()
}

// The downloads of a server that does what servers do.
func TestDownload(t *testing.T) {
	content := strings.Repeat("0123456789", 1000)
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
	calls := map[string]int{}
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	defer elsewhere.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls[r.URL.Path]++
		n := calls[r.URL.Path]
		if r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" || r.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("the request is not anybody's: %v", r.Header)
		}
		switch r.URL.Path {
		case "/whole":
			io.WriteString(w, content)
		case "/moved":
			http.Redirect(w, r, "/whole?sig=secret", http.StatusFound)
		case "/circle":
			http.Redirect(w, r, "/circle", http.StatusFound)
		case "/away":
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		case "/page":
			io.WriteString(w, "<!doctype html>")
		case "/short":
			w.Header().Set("Content-Length", "10000")
			if n < 3 {
				io.WriteString(w, content[:100])
				return
			}
			io.WriteString(w, content)
		case "/once-wrong":
			if n == 1 {
				io.WriteString(w, "x"+content[1:])
				return
			}
			io.WriteString(w, content)
		case "/busy":
			w.Header().Set("Retry-After", "17")
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/forbidden":
			w.WriteHeader(http.StatusForbidden)
		case "/private":
			w.WriteHeader(http.StatusUnauthorized)
		case "/huge":
			w.Header().Set("Content-Length", "9999999999")
			io.WriteString(w, "x")
		default:
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	for _, c := range []struct {
		url     string
		verdict gate.Verdict
		says    string
		calls   int
	}{
		{"/whole", gate.Pass, "10000 bytes", 1},
		{"/moved", gate.Pass, "10000 bytes", 1},
		{"/short", gate.Pass, "10000 bytes", 3},
		{"/once-wrong", gate.Pass, "10000 bytes", 2},
		{"/page", gate.Fail, "the PKGBUILD wants " + sum, 2},
		{"/none", gate.Fail, "no such file for the public (status 404)", 1},
		{"/private", gate.Fail, "which users do not have", 1},
		{"/huge", gate.Fail, "more than 4294967296", 1},
		{"/busy", gate.Unknown, "status 503", 5},
		{"/forbidden", gate.Unknown, "status 403", 5},
		{"/circle", gate.Unknown, "10 redirections are too many", 50},
		{"/away", gate.Unknown, "not a public one over https", 5},
		{"http://example.org/x", gate.Fail, "not with https://", 0},
		{"https://u:secret@example.org/x", gate.Fail, "a user or password", 0},
		{"file:///etc/passwd", gate.Fail, "not an address", 0},
		{"https://example.org/a b", gate.Fail, "not an address", 0},
	} {
		k := &clock{}
		d := newDownloader(http.DefaultTransport, k)
		address := c.url
		if strings.HasPrefix(address, "/") {
			address = s.URL + address
		}
		ev, err := d.look(t.Context(), Source{Name: "x", URL: address, SHA256: sum})
		if err != nil || ev.Verdict != c.verdict || !strings.Contains(ev.Summary, c.says) || strings.Contains(ev.Summary, "sig=") || calls[c.url] != c.calls {
			t.Errorf("%s: %+v %v, %d calls", c.url, ev, err, calls[c.url])
		}
		if ev.Verdict == gate.Unknown && ev.Found != "" {
			t.Errorf("%s: what was not seen stands in Found: %q", c.url, ev.Found)
		}
		if c.url == "/busy" && (len(k.slept) != 4 || k.slept[0] != 17*time.Second) {
			t.Errorf("slept %v", k.slept)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newDownloader(http.DefaultTransport, &clock{}).look(ctx, Source{URL: s.URL + "/whole", SHA256: sum}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestSources(t *testing.T) {
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	text := "pkgbase = x\n\tpkgver = 1\n\tpkgrel = 1\n\tarch = x86_64\n\tarch = aarch64\n\tsource = local.patch\n\tsource = n::https://h/f?k=1\n" +
		"\tsha256sums = " + b + "\n\tsha256sums = " + a + "\n\tsource_x86_64 = https://h/g\n\tsha256sums_x86_64 = " + b +
		"\n\tsource_aarch64 = n::https://h/f?k=1\n\tsource_aarch64 = https://h/k\n\tsha256sums_aarch64 = " + a + "\n\tsha256sums_aarch64 = SKIP\n\npkgname = x\n"
	info, err := pkgbuild.ParseSRCINFO(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	sources, faults := Sources(info)
	want := []Source{{"n", "https://h/f?k=1", a}, {"g", "https://h/g", b}}
	if fmt.Sprint(sources) != fmt.Sprint(want) || len(faults) != 1 || !strings.Contains(faults[0], "https://h/k has no SHA-256") {
		t.Errorf("%v %v", sources, faults)
	}
}

func FuzzSources(f *testing.F) {
	f.Add([]byte("pkgbase = x\n\tpkgver = 1\n\tpkgrel = 1\n\tarch = any\n\tsource = n::https://h/f\n\tsha256sums = x\n\npkgname = x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		info, err := pkgbuild.ParseSRCINFO(bytes.NewReader(text))
		if err != nil {
			return
		}
		sources, _ := Sources(info)
		for _, s := range sources {
			if len(s.SHA256) != 64 || !strings.Contains(s.URL, "://") {
				t.Errorf("%+v", s)
			}
		}
	})
}
