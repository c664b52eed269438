package component

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/archive"
)

// endpoints is how a test says which client is used.
type endpoints struct{ c *http.Client }

func (e endpoints) HTTPClient() *http.Client { return e.c }

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// fetch builds a component of a URL, with short pauses between tries.
func fetch(t *testing.T, cfg Config, e any, edit func(*download)) (listing string, err error) {
	t.Helper()
	cfg.Builder = Prebuilt
	dirs, err := buildWith(t, t.TempDir(), cfg, nil, e, func(b builder) builder {
		d := b.(download)
		d.pause = time.Millisecond
		if edit != nil {
			edit(&d)
		}
		return d
	})
	if err != nil {
		if _, err := os.Lstat(dirs.Path(Artifact("demo", "amd64"))); err == nil {
			t.Error("something is left under the final name")
		}
		if left, _ := filepath.Glob(filepath.Join(dirs.Work, ".tmp", "*", "*")); len(left) > 0 {
			t.Errorf("left %q", left)
		}
		return "", err
	}
	entries, err := archive.Tree(dirs.Path(Artifact("demo", "amd64")))
	must(t, err)
	must(t, archive.Hash(t.Context(), dirs.Path(Artifact("demo", "amd64")), entries))
	if len(entries) == 1 && entries[0].SHA256 != cfg.SHA256 {
		t.Errorf("made %s", entries[0].SHA256)
	}
	return archive.Listing(entries), nil
}

// TestURL asks a server over TLS that fails twice, redirects to another one, and wants to know too much.
func TestURL(t *testing.T) {
	t.Parallel()
	program := "\x7fELF" + strings.Repeat("x", 1<<20)
	store := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Authorization", "Cookie", "Referer"} {
			if v := r.Header.Get(name); v != "" {
				t.Errorf("%s is sent: %s", name, v)
			}
		}
		if r.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("accepts %q", r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Encoding", "") // an own answer, as it lies there
		fmt.Fprint(w, program)
	}))
	defer store.Close()
	var asked atomic.Int32
	front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
		switch asked.Add(1) {
		case 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.Header().Set("Content-Length", "1000") // and then breaks off
			fmt.Fprint(w, "half")
		default:
			if r.URL.Path != "/v1.2.3/my tool-amd64" || r.URL.RawQuery != "a=b" {
				t.Errorf("asked for %s", r.URL)
			}
			http.Redirect(w, r, store.URL+"/signed?key=hunter22", http.StatusFound)
		}
	}))
	defer front.Close()
	client := front.Client() // trusts both: httptest has one certificate
	jar, err := cookiejar.New(nil)
	must(t, err)
	u, err := url.Parse(store.URL)
	must(t, err)
	jar.SetCookies(u, []*http.Cookie{{Name: "session", Value: "secret"}})
	client.Jar = jar
	got, err := fetch(t, Config{URL: front.URL + "/v{{ .Version }}/my%20tool-{{ .Arch }}?a=b", SHA256: digest(program)}, endpoints{client}, nil)
	if err != nil || got != "file   0755   1048580 my tool-amd64\n" {
		t.Errorf("got %s, %v", got, err)
	}
	if asked.Load() != 3 {
		t.Errorf("asked %d times", asked.Load())
	}
	if client.CheckRedirect != nil || client.Jar == nil {
		t.Error("the given client was changed")
	}
}

func TestURL_Fails(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	mux := http.NewServeMux()
	answer := func(name string, do http.HandlerFunc) {
		mux.HandleFunc("/"+name, func(w http.ResponseWriter, r *http.Request) { do(w, r) })
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); fmt.Fprint(w, "right") }
	}
	for _, code := range []int{204, 206, 401, 403, 404, 410, 418, 429, 500, 503} {
		answer(fmt.Sprint(code), status(code))
	}
	answer("wrong", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/zip")
		fmt.Fprint(w, "wrong")
	})
	answer("page", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "  <!DOCTYPE HTML><p>Log in") })
	answer("truncated", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, "right")
	})
	answer("chunked", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "right")
		must(t, http.NewResponseController(w).Flush())
		panic(http.ErrAbortHandler)
	})
	answer("large", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 101)) })
	answer("endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := fmt.Fprint(w, strings.Repeat("x", 1<<16)); err != nil {
				return
			}
		}
	})
	answer("slow", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "ri")
		must(t, http.NewResponseController(w).Flush())
		<-r.Context().Done()
	})
	answer("circle", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/circle", http.StatusFound) })
	answer("plain", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://example.org/x?key=hunter22", http.StatusFound)
	})
	answer("password", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://user:hunter22@example.org/x", http.StatusFound)
	})
	answer("file", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
	})
	answer("here", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/found", http.StatusFound) })
	answer("found", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "right") })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked.Add(1); mux.ServeHTTP(w, r) }))
	defer server.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	answer("neighbour", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+"/x", http.StatusFound) })
	defer other.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()

	right := digest("right")
	for name, c := range map[string]struct {
		asked int32
		edit  func(*download)
		want  string // empty: it works
	}{
		"found":     {1, nil, ""},
		"here":      {2, nil, ""},
		"404":       {1, nil, "/404: there is no such file (status 404)"},
		"410":       {1, nil, "there is no such file (status 410)"},
		"401":       {1, nil, "the server refuses it (status 401); no credentials are sent"},
		"403":       {1, nil, "status 403"},
		"418":       {1, nil, "the server answered with status 418"},
		"204":       {1, nil, "status 204"},
		"206":       {1, nil, "status 206"},
		"429":       {downloadTries, nil, "tried 5 times: the server is busy (status 429)"},
		"500":       {downloadTries, nil, "tried 5 times: the server failed (status 500)"},
		"wrong":     {1, nil, "it has SHA-256 " + digest("wrong") + ", release.yaml wants " + right},
		"page":      {1, nil, "the server answered with a web page instead of the file"},
		"truncated": {downloadTries, nil, "tried 5 times: the answer broke off after 5 bytes"},
		"chunked":   {downloadTries, nil, "tried 5 times: the answer broke off after 5 bytes"},
		"large":     {1, func(d *download) { d.limit = 100 }, "it has 101 bytes, more than 100"},
		"endless":   {1, func(d *download) { d.limit = 1 << 20 }, "it has more than 1048576 bytes"},
		"slow":      {1, func(d *download) { d.timeout = 200 * time.Millisecond }, "it was not there after 200ms"},
		"circle":    {10, nil, "10 redirections are too many"},
		"plain":     {1, nil, "it is redirected to http://example.org, which is not https"},
		"password":  {1, nil, "it is redirected to an address with a password"},
		"file":      {1, nil, "it is redirected to file://, which is not https"},
		"neighbour": {1, nil, "which is not https"},
	} {
		t.Run(name, func(t *testing.T) {
			asked.Store(0)
			_, err := fetch(t, Config{URL: server.URL + "/" + name + "?key=hunter22", SHA256: right}, nil, c.edit)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && (strings.Contains(err.Error(), "hunter22") || !strings.Contains(err.Error(), "cannot fetch "+server.URL+"/"+name)) {
				t.Errorf("got %v", err)
			}
			if got := asked.Load(); got != c.asked {
				t.Errorf("asked %d times, want %d", got, c.asked)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		if _, err := fetch(t, Config{URL: gone.URL + "/x?key=hunter22", SHA256: right}, nil, nil); err == nil || !strings.Contains(err.Error(), "/x, tried 5 times: dial tcp") || strings.Contains(err.Error(), "hunter22") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("not trusted", func(t *testing.T) {
		tls := httptest.NewTLSServer(http.NotFoundHandler())
		defer tls.Close()
		if _, err := fetch(t, Config{URL: tls.URL + "/x", SHA256: right}, nil, nil); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("got %v", err)
		}
	})
}

// FuzzCheckURL: what is accepted has a host, a scheme without surprises, and a name that can be a file's.
func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"https://example.org/a", "http://127.0.0.1:1/a", "https://a@b/c", "https://example.org/%2e%2e", "https://example.org/{{ .Arch }}", "//x/y", "https:///x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if checkURL(text) != nil || strings.Contains(text, "{{") {
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
			t.Errorf("%q is accepted", text)
		}
		name := u.Path[strings.LastIndex(u.Path, "/")+1:]
		if archive.CheckName(name) != nil {
			t.Errorf("%q has the name %q", text, name)
		}
	})
}
