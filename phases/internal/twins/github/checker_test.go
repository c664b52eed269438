package github

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/twins/github/apicheck"
)

// altering is a proxy before a twin that changes what the client gets: a twin
// that does not keep to GitHub's shapes.
func altering(t *testing.T, target string, change func([]byte) []byte) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := http.NewRequestWithContext(r.Context(), r.Method, strings.TrimSuffix(target, "/")+r.URL.RequestURI(), r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		q.Header, q.ContentLength = r.Header, r.ContentLength
		response, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Error(err)
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
		w.WriteHeader(response.StatusCode)
		w.Write(change(body))
	}))
	t.Cleanup(s.Close)
	return s.URL + "/"
}

// TestCheckerNotices plants violations; each must be reported.
func TestCheckerNotices(t *testing.T) {
	replace := func(old, with string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(old), []byte(with)) }
	}
	keep := func(b []byte) []byte { return b }
	create := `{"tag_name":"v1","draft":true}`
	for name, c := range map[string]struct {
		method, path, body string
		knowingly          bool
		change             func([]byte) []byte
		want               string // "" for no report
	}{
		"all well":             {"POST", "/releases", create, false, keep, ""},
		"bad make_latest":      {"POST", "/releases", `{"tag_name":"v1","make_latest":"maybe"}`, false, keep, "make_latest"},
		"no tag_name":          {"POST", "/releases", `{"name":"x"}`, false, keep, "tag_name"},
		"knowingly bad":        {"POST", "/releases", `{"tag_name":"v1","make_latest":"maybe"}`, true, keep, ""},
		"knowingly, yet right": {"POST", "/releases", create, true, keep, "allows it"},
		"no digest":            {"GET", "/releases/RELEASE/assets", "", false, replace(`"digest"`, `"digester"`), "digest"},
		"no digest in release": {"GET", "/releases/RELEASE", "", false, replace(`"digest"`, `"digester"`), "digest"},
		"state":                {"GET", "/releases/RELEASE/assets", "", false, replace(`"uploaded"`, `"done"`), "state"},
		"id is text":           {"GET", "/releases/RELEASE", "", false, replace(`"id":`, `"id":"x","n":`), "id"},
		"no date":              {"GET", "/releases/RELEASE", "", false, replace(`"created_at":"2026`, `"created_at":"day 2026`), "created_at"},
		"not JSON":             {"GET", "/releases/RELEASE", "", false, replace(`}`, `]`), "releases"},
		"error without text":   {"GET", "/releases/RELEASE/assets?x", "", false, keep, ""},
		"unknown operation":    {"GET", "/actions/variables", "", false, keep, ""},
		"host":                 {"POST", "/releases/RELEASE/assets?name=x", "x", false, keep, "the other host"},
		"ref":                  {"GET", "/git/ref/heads/main", "", false, replace(`"sha"`, `"hash"`), "sha"},
		"error shape":          {"POST", "/git/refs", `{"ref":"refs/heads/main","sha":"x"}`, false, replace(`"message"`, `"text"`), "message"},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			id := b.published("v0")
			base := altering(t, b.URL(), c.change)
			var mu sync.Mutex
			var reports []string
			checker, err := apicheck.New(base, b.UploadURL(), http.DefaultTransport, func(err error) {
				mu.Lock()
				defer mu.Unlock()
				reports = append(reports, err.Error())
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			if c.knowingly {
				ctx = apicheck.Knowingly(context.WithoutCancel(ctx))
			}
			to := base + "repos/octo/app" + strings.ReplaceAll(c.path, "RELEASE", itoa(id))
			q, err := http.NewRequestWithContext(ctx, c.method, to, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			q.Header.Set("Authorization", "Bearer maintainer")
			q.Header.Set("Content-Type", "application/json")
			response, err := (&http.Client{Transport: checker}).Do(q)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			all := strings.Join(reports, "\n")
			if (c.want == "") != (all == "") || !strings.Contains(all, c.want) {
				t.Errorf("reports %q, want %q", all, c.want)
			}
		})
	}
}
