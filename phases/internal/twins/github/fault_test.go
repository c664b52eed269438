package github

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	gh "github.com/google/go-github/v60/github"
)

const uploads = "POST uploads:/repos/*/*/releases/*/assets "

// plan sets faults.
func (b *bench) plan(lines ...string) {
	b.t.Helper()
	faults, err := ParseFaults(strings.Join(lines, "\n"))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.SetFaults(faults); err != nil {
		b.t.Fatal(err)
	}
}

// state of the only asset of the only release, or "".
func (b *bench) asset() string {
	b.t.Helper()
	rel := b.History(owner, repo).Last().Releases[0]
	if len(rel.Assets) == 0 {
		return ""
	}
	return rel.Assets[0].State
}

func TestFailedUploadLeavesAStarter(t *testing.T) {
	b := start(t)
	id := b.draft("v1")
	b.plan(uploads + "#1: 502 after 1000 bytes")
	a := b.want(b.put(id, "a", strings.Repeat("x", 5000)), 502, "<html>")
	if a.Header.Get("Content-Type") != "text/html" || a.Header.Get("X-GitHub-Request-Id") == "" {
		t.Errorf("headers %v", a.Header)
	}
	list := b.want(b.do("GET", "/releases/"+itoa(id)+"/assets", ""), 200, `"state":"starter"`, `"size":0`, `"digest":null`)
	rel := b.want(b.do("GET", "/releases/"+itoa(id), ""), 200)
	if len(rel.json["assets"].([]any)) != 0 {
		t.Error("the release's own array shows the starter")
	}
	// It holds the name; it has no bytes; it can be deleted.
	b.want(b.put(id, "a", "y"), 422, "already_exists")
	var assets []struct{ ID int64 }
	if err := json.Unmarshal(list.body, &assets); err != nil {
		t.Fatal(err)
	}
	b.want(b.do("GET", "/releases/assets/"+itoa(assets[0].ID), "", "Accept", "application/octet-stream"), 404)
	b.want(b.do("DELETE", "/releases/assets/"+itoa(assets[0].ID), ""), 204)
	b.want(b.put(id, "a", "y"), 201)
	if len(b.Pending()) != 0 {
		t.Error("a fault did not strike")
	}
}

func TestFaultsOfUploads(t *testing.T) {
	for fault, want := range map[string]struct {
		status int // 0: no answer
		asset  string
	}{
		"502":                     {502, ""},
		"500":                     {500, ""},
		"502 after 9999 bytes":    {502, starter},
		"502 after 0 bytes":       {502, starter},
		"503 though done":         {503, uploaded},
		"cut":                     {0, ""},
		"cut after 100 bytes":     {0, starter},
		"cut though done":         {0, uploaded},
		"422 already_exists":      {422, ""},
		"401":                     {401, ""},
		"403 secondary":           {403, ""},
		"429 retry-after 3s":      {429, ""},
		"delay 3s":                {201, uploaded},
		"slow upload 100 bytes/s": {201, uploaded},
	} {
		t.Run(fault, func(t *testing.T) {
			b := start(t)
			id := b.draft("v1")
			began := b.clock.Now()
			b.plan(uploads + "#1: " + fault)
			a := b.put(id, "a", strings.Repeat("x", 1000))
			if want.status == 0 {
				if a.err == nil {
					t.Errorf("status %d, want none", a.StatusCode)
				}
			} else {
				b.want(a, want.status)
			}
			if got := b.asset(); got != want.asset {
				t.Errorf("asset %q, want %q", got, want.asset)
			}
			last := b.Requests()[len(b.Requests())-1]
			if last.Status != want.status || !strings.HasSuffix(last.Fault, fault) {
				t.Errorf("log %+v", last)
			}
			if passed := b.clock.Now().Sub(began); strings.HasPrefix(fault, "delay") && passed != 3*time.Second || strings.HasPrefix(fault, "slow") && passed.Round(time.Second) != 10*time.Second {
				t.Errorf("it took %v", passed)
			}
			if want.asset != "" {
				return
			}
			b.want(b.put(id, "a", "y"), 201) // once only
		})
	}
}

func TestPublishFaults(t *testing.T) {
	for fault, draft := range map[string]bool{"500": true, "500 though done": false, "cut": true, "cut though done": false, "502 after 3 bytes": true} {
		t.Run(fault, func(t *testing.T) {
			b := start(t)
			id := b.draft("v1")
			b.plan("PATCH /repos/*/*/releases/*: " + fault)
			if a := b.do("PATCH", "/releases/"+itoa(id), `{"draft":false}`); a.err == nil && a.StatusCode < 500 {
				t.Errorf("status %d", a.StatusCode)
			}
			if got := b.History(owner, repo).Last().Releases[0].Draft; got != draft {
				t.Errorf("draft %v, want %v", got, draft)
			}
		})
	}
}

func TestLimitFaults(t *testing.T) {
	b := start(t)
	b.plan("GET /repos/** #1: 403 secondary retry-after 7s", "GET /repos/** #2: 403 secondary",
		"GET /repos/** #3: 429 retry-after 7s", "GET /repos/** #4: 429 retry-after date 90s", "GET /repos/** #5: 403 primary reset 60s", "GET /repos/** #6: 429")
	get := func() answer { return b.do("GET", "/releases", "") }
	if a := b.want(get(), 403, "#about-secondary-rate-limits"); a.Header.Get("Retry-After") != "7" {
		t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
	}
	if a := b.want(get(), 403); a.Header.Get("Retry-After") != "" {
		t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
	}
	if a := b.want(get(), 429); a.Header.Get("Retry-After") != "7" {
		t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
	}
	if a := b.want(get(), 429); a.Header.Get("Retry-After") != b.clock.Now().Add(90*time.Second).Format(http.TimeFormat) {
		t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
	}
	_, _, err := b.gh.Repositories.ListReleases(t.Context(), owner, repo, nil)
	if limit := (*gh.RateLimitError)(nil); !errors.As(err, &limit) || limit.Rate.Remaining != 0 || !limit.Rate.Reset.Equal(gh.Timestamp{Time: b.clock.Now().Add(time.Minute)}) {
		t.Errorf("the library's error: %v", err)
	}
	b.want(get(), 429)
	b.want(get(), 200)
}

func TestFaultsOfDownloads(t *testing.T) {
	b := start(t)
	content := strings.Repeat("0123456789", 100)
	id := b.draft("v1")
	b.want(b.put(id, "a", content), 201)
	b.publish(id, "")
	get := func() answer {
		to := b.want(b.do("GET", b.WebURL()+"octo/app/releases/download/v1/a", "", "Authorization", "-"), 302).Header.Get("Location")
		return b.do("GET", to, "", "Authorization", "-")
	}
	b.plan("GET downloads:/** #1: truncated after 10 bytes", "GET downloads:/** #2: flipped byte 3",
		"GET downloads:/** #3: slow download 100 bytes/s", "GET web:/** #4: 502")
	if a := get(); a.err == nil || string(a.body) != content[:10] || a.ContentLength != 1000 {
		t.Errorf("truncated: %q, %v", a.body, a.err)
	}
	if a := get(); a.err != nil || string(a.body) != "0122"+content[4:] {
		t.Errorf("flipped: %.20q, %v", a.body, a.err)
	}
	before := b.clock.Now()
	if a := get(); string(a.body) != content || b.clock.Now().Sub(before).Round(time.Second) != 10*time.Second {
		t.Errorf("slow: %v, %v", b.clock.Now().Sub(before), a.err)
	}
	b.want(b.do("GET", b.WebURL()+"octo/app/releases/download/v1/a", "", "Authorization", "-"), 502)
	if string(get().body) != content {
		t.Error("other bytes without a fault")
	}
}

func TestLateVisibility(t *testing.T) {
	b := start(t)
	b.plan("POST api:/repos/*/*/releases #1: late 2 calls", "POST api:/repos/*/*/releases #2: late 30s",
		uploads+"#1: late 1 calls", uploads+"#2: stale 30s", uploads+"#3: digest late 2 calls", uploads+"#4: renamed other.txt")
	listed := func() int {
		t.Helper()
		var l []any
		if err := json.Unmarshal(b.want(b.do("GET", "/releases", ""), 200).body, &l); err != nil {
			t.Fatal(err)
		}
		return len(l)
	}
	id := b.draft("v1")
	b.want(b.do("GET", "/releases/"+itoa(id), ""), 200) // by id at once
	if got := []int{listed(), listed(), listed()}; got[0] != 0 || got[1] != 0 || got[2] != 1 {
		t.Errorf("listed %v", got)
	}
	b.draft("v2")
	if listed() != 1 {
		t.Error("listed too early")
	}
	b.clock.Sleep(t.Context(), 30*time.Second)
	if listed() != 2 {
		t.Error("not listed in the end")
	}

	list, own := "/releases/"+itoa(id)+"/assets", "/releases/"+itoa(id)
	b.want(b.put(id, "late", "x"), 201, `"digest":"sha256:`)
	if a := b.do("GET", list, ""); string(a.body) != "[]" {
		t.Errorf("listed too early: %s", a.body)
	}
	b.want(b.do("GET", list, ""), 200, `"late"`)
	b.want(b.put(id, "stale", "x"), 201)
	b.want(b.do("GET", list, ""), 200, `"stale"`)
	if a := b.want(b.do("GET", own, ""), 200); strings.Contains(string(a.body), `"stale"`) {
		t.Error("not stale")
	}
	b.clock.Sleep(t.Context(), 30*time.Second)
	b.want(b.do("GET", own, ""), 200, `"stale"`)
	a := b.want(b.put(id, "undigested", "x"), 201, `"digest":null`)
	b.want(b.do("GET", "/releases/assets/"+itoa(a.id()), ""), 200, `"digest":null`)
	b.want(b.do("GET", "/releases/assets/"+itoa(a.id()), ""), 200, `"digest":"sha256:`+sum("x"))
	b.want(b.put(id, "mine.txt", "x"), 201, `"name":"other.txt"`)
	if p := b.Pending(); len(p) != 0 {
		t.Errorf("these did not strike: %v", p)
	}
}

func TestFaultNotation(t *testing.T) {
	for _, line := range []string{
		"POST /repos/*/*/releases/*/assets #2: 502 after 1000 bytes", "POST /x #2-4: 503 though done", "* /** #3+: cut",
		"GET downloads:/**: cut after 0 bytes", "GET /x: 422 already_exists", "GET /x: 403 secondary", "GET /x: 403 secondary retry-after 0s",
		"GET /x: 429", "GET /x: 429 retry-after date 1m30s", "GET /x: 403 primary", "GET /x: 403 primary reset 1m0s", "GET /x: 401",
		"GET /x: truncated after 0 bytes", "GET /x: flipped byte 7", "GET /x: slow upload 1 bytes/s", "GET /x: slow download 9 bytes/s",
		"GET /x: delay 1.5s", "GET /x: late 3 calls", "GET /x: stale 5s", "GET /x: digest late 1 calls", "GET /x: renamed a b: c",
	} {
		f, err := ParseFault(line)
		if err != nil {
			t.Error(err)
			continue
		}
		if f.String() != line {
			t.Errorf("%q became %q", line, f)
		}
		var again []Fault
		if raw, err := json.Marshal([]Fault{f}); err != nil || json.Unmarshal(raw, &again) != nil || again[0] != f {
			t.Errorf("%q through JSON: %v, %v", line, again, err)
		}
	}
	for _, line := range []string{
		"", "POST", "POST /x", "POST /x 502", "POST x: 502", "POST /x #0: 502", "POST /x #a: 502", "POST /x #3-1: 502", "POST /x #1-2+: 502", "POST /x 1: 502",
		"POST /x: ", "POST /x: 200", "POST /x: 502 after", "POST /x: 502 after x bytes", "POST /x: 502 after 3", "POST /x: 502 after -3 bytes", "POST /x: 502 extra",
		"POST nowhere:/x: 502", "POST /[: 502", "POST /x: renamed ", "POST /x: slow upload 0 bytes/s", "POST /x: delay", "POST /x: delay -3s", "POST /x: late", "POST /x: late 3",
		"POST /x: truncated after -1 bytes", "A B C D: 502", "POST /x: 403", "POST /x: 429 retry-after", "POST /x #99999999999999999999: 502",
	} {
		if f, err := ParseFault(line); err == nil {
			t.Errorf("%q was read as %+v", line, f)
		}
	}
	list, err := ParseFaults("# a comment\n\n  GET /x: 401\n")
	if err != nil || len(list) != 1 {
		t.Errorf("plan: %v, %v", list, err)
	}
	if _, err := ParseFaults("GET /x: 401\nnonsense\n"); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("error %v", err)
	}
}

// TestNamedFaults makes one release under each plan: every fault must strike.
func TestNamedFaults(t *testing.T) {
	for _, name := range FaultNames() {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			faults, err := NamedFaults(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.SetFaults(faults); err != nil {
				t.Fatal(err)
			}
			b.do("POST", "/releases", `{"tag_name":"v0","draft":true}`)
			id := b.draft("v1")
			for _, asset := range []string{"a", "b", "a", "c"} {
				b.put(id, asset, strings.Repeat("x", 3000))
			}
			for range 3 {
				b.do("GET", "/releases/"+itoa(id)+"/assets", "")
			}
			for range 2 {
				b.do("PATCH", "/releases/"+itoa(id), `{"draft":false}`)
			}
			for _, asset := range []string{"a", "b", "c", "another-name.bin"} {
				if response, err := http.Get(b.WebURL() + "octo/app/releases/download/v1/" + asset); err == nil {
					io.Copy(io.Discard, response.Body)
					response.Body.Close()
				}
			}
			if p := b.Pending(); len(p) != 0 {
				t.Errorf("did not strike: %v", p)
			}
		})
	}
	if _, err := NamedFaults("nothing"); err == nil || !strings.Contains(err.Error(), "upload-502") {
		t.Errorf("error %v", err)
	}
}

func TestFaultPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"/a/*/c", "/a/b/c", true},
		{"/a/*/c", "/a/b/b/c", false},
		{"/a/**", "/a", true},
		{"/a/**", "/a/b/c", true},
		{"/**/c", "/a/b/c", true},
		{"/**/c", "/a/b/d", false},
		{"/a", "/a/b", false},
		{"/a/b", "/a", false},
		{"/a/v?", "/a/v1", true},
		{"/**", "/", true},
	} {
		if got := segments(strings.Split(c.pattern, "/"), strings.Split(c.path, "/")); got != c.want {
			t.Errorf("%s on %s: %v", c.pattern, c.path, got)
		}
	}
}

func FuzzParseFaults(f *testing.F) {
	f.Add("POST /repos/*/*/releases/*/assets #2: 502 after 1000 bytes")
	f.Add("GET downloads:/** #1-3: truncated after 10 bytes\nGET /x: 429 retry-after date 5s")
	f.Add("* /a: digest late 3 calls")
	f.Fuzz(func(t *testing.T, plan string) {
		list, err := ParseFaults(plan)
		if err != nil {
			return
		}
		for _, fault := range list {
			again, err := ParseFault(fault.String())
			if err != nil || again != fault {
				t.Fatalf("%q became %q (%v)", fault, again, err)
			}
		}
	})
}

func FuzzRename(f *testing.F) {
	f.Add("../../etc/passwd")
	f.Add(".bashrc\x00\n$(id)")
	f.Fuzz(func(t *testing.T, name string) {
		got := rename(name)
		if got == "" || strings.ContainsAny(got, "/\\\x00\n \"'`$") || got[0] == '.' || strings.HasSuffix(got, ".") || rename(got) != got {
			t.Fatalf("rename(%q) = %q", name, got)
		}
	})
}
