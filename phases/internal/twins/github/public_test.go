package github

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/twins/github/apicheck"
)

// TestPublicNamesProduction does a whole release with production's URLs: none of the listeners' may show in an answer,
// and redirects lead to GitHub's own hosts.
func TestPublicNamesProduction(t *testing.T) {
	b := start(t, func(o *Options) { o.Public = true })
	var hosts []string
	checker, err := apicheck.New("https://api.github.com/", "https://uploads.github.com/", b.Transport(), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		hosts = append(hosts, r.URL.Host)
		return checker.RoundTrip(r)
	})}
	ask := func(method, to, body string, token bool) (int, string) {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), method, to, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if token {
			q.Header.Set("Authorization", "Bearer maintainer")
		}
		q.Header.Set("Content-Type", "application/json")
		if strings.HasPrefix(to, "https://uploads.") {
			q.Header.Set("Content-Type", "application/octet-stream")
		}
		resp, err := client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range resp.Header {
			got = append(got, name+": "+strings.Join(values, " ")+"\n"...)
		}
		if strings.Contains(string(got), "127.0.0.") || strings.Contains(string(got), "localhost") {
			t.Errorf("%s %s names a listener: %s", method, to, got)
		}
		return resp.StatusCode, string(got)
	}
	const api = "https://api.github.com/repos/octo/app"
	_, made := ask("POST", api+"/releases", `{"tag_name":"v1","draft":true}`, true)
	var rel struct {
		ID        int64  `json:"id"`
		UploadURL string `json:"upload_url"`
	}
	if err := json.NewDecoder(strings.NewReader(made)).Decode(&rel); err != nil {
		t.Fatal(err)
	}
	to, _, _ := strings.Cut(rel.UploadURL, "{")
	if status, text := ask("POST", to+"?name=app.tar.gz", "bytes", true); status != 201 ||
		!strings.Contains(text, `"browser_download_url":"https://github.com/octo/app/releases/download/untagged-`) {
		t.Fatalf("upload to %s: %d %s", to, status, text)
	}
	if status, text := ask("PATCH", api+"/releases/"+itoa(rel.ID), `{"draft":false}`, true); status != 200 {
		t.Fatal(status, text)
	}
	hosts = nil
	status, text := ask("GET", "https://github.com/octo/app/releases/download/v1/app.tar.gz", "", false)
	if status != 200 || !strings.HasPrefix(text, "bytes") {
		t.Errorf("download: %d %s", status, text)
	}
	if got := strings.Join(hosts, " "); got != "github.com objects.githubusercontent.com" {
		t.Errorf("downloaded from %s", got)
	}
	if _, text := ask("GET", api+"/releases?per_page=1&page=2", "", true); !strings.Contains(text, "<https://api.github.com/repos/octo/app/releases?") {
		t.Errorf("no link in %s", text)
	}
	ask("GET", "https://api.github.com/user", "", true)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestTransportReachesNothingElse has a server beside the twin that nothing may arrive at.
func TestTransportReachesNothingElse(t *testing.T) {
	beside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") }))
	defer beside.Close()
	b := start(t, func(o *Options) { o.Public = true })
	for _, to := range []string{
		beside.URL, "https://example.com/", "https://api.github.com.example.com/", "http://api.github.com/",
		"https://api.github.com:8443/", "https://xapi.github.com/", b.URL(), "https://gist.github.com/",
	} {
		q, err := http.NewRequestWithContext(t.Context(), "POST", to, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := b.Transport().RoundTrip(q)
		if err == nil {
			resp.Body.Close()
			t.Errorf("%s: answered", to)
		} else if !strings.Contains(err.Error(), q.URL.Host) {
			t.Errorf("%s: the error does not name the host: %v", to, err)
		}
	}
	if n := len(b.Requests()); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// TestSparse writes holes wherever they can be and reads the same bytes again.
func TestSparse(t *testing.T) {
	blank := strings.Repeat("\x00", 64<<10)
	for name, parts := range map[string][]string{
		"nothing": nil, "text": {"a", "b"}, "hole first": {blank, "a"}, "hole last": {"a", blank}, "holes": {blank, blank},
		"between": {"a", blank, "b", "\x00", "c", "\x00"}, "too large for a hole": {strings.Repeat("\x00", 200<<10), "x", blank},
	} {
		path := filepath.Join(t.TempDir(), "f")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		s := &sparse{file: f}
		for _, p := range parts {
			if n, err := s.Write([]byte(p)); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		}
		if err := s.finish(); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if got, err := os.ReadFile(path); err != nil || string(got) != strings.Join(parts, "") {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}
