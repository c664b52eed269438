package aur

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// ask calls the RPC by its production address.
func ask(t testing.TB, s *Server, path string, header ...string) (*http.Response, string) {
	t.Helper()
	resp, body, err := tryAsk(t, s, path, header...)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

func tryAsk(t testing.TB, s *Server, path string, header ...string) (*http.Response, string, error) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, Root+path, nil)
	if err != nil {
		return nil, "", err
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: s.Transport()}).Do(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// version asks for one package's version; "" when it is absent.
func version(t testing.TB, s *Server, name string) string {
	t.Helper()
	_, body := ask(t, s, "rpc/v5/info/"+name)
	var a struct{ Results []struct{ Version string } }
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatal(err, body)
	}
	if len(a.Results) == 0 {
		return ""
	}
	return a.Results[0].Version
}

// TestInfo compares a whole answer.
func TestInfo(t *testing.T) {
	key := newKey(t)
	clock := newClock()
	s := start(t, Options{Clock: clock}, key)
	if _, err := s.Publish(t.Context(), "me", "pkg", "One", files("pkg", "\tpkgver", "\tepoch = 02\n\tpkgver", "\tarch", "\tgroups = g\n\tarch", "glibc", "glibc\n\tdepends_x86_64 = alsa-lib")); err != nil {
		t.Fatal(err)
	}
	if err := s.SetMaintainer("pkg", "me", "co"); err != nil {
		t.Fatal(err)
	}
	want := `{"resultcount":1,"results":[{"CoMaintainers":["co"],"Depends":["alsa-lib","glibc","gtk3>=3.24"],"Description":"A test",` +
		`"FirstSubmitted":1772366400,"Groups":["g"],"ID":2,"Keywords":[],"LastModified":1772366400,"License":["MIT"],"Maintainer":"me","Name":"pkg","NumVotes":0,` +
		`"OptDepends":["ollama"],"OutOfDate":null,"PackageBase":"pkg","PackageBaseID":1,"PendingRequests":0,"Popularity":0,"Provides":["other=1.2.3"],` +
		`"Submitter":"me","URL":"https://example.org/","URLPath":"/cgit/aur.git/snapshot/pkg.tar.gz","Version":"2:1.2.3-1"}],"type":"multiinfo","version":5}`
	for _, path := range []string{
		"rpc?v=5&type=info&arg[]=pkg", "rpc/?v=5&type=info&arg%5B%5D=pkg", "rpc?v=5&type=multiinfo&arg=pkg", "rpc/v5/info/pkg", "rpc/v5/info?arg[]=pkg",
		"rpc?v=5&type=info&arg[]=none&arg[]=pkg&arg[]=pkg",
	} {
		resp, body := ask(t, s, path)
		if body != want || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s gave %d\n%s\nwant\n%s", path, resp.StatusCode, body, want)
		}
	}
	if err := s.SetMaintainer("pkg", ""); err != nil {
		t.Fatal(err)
	}
	if _, body := ask(t, s, "rpc/v5/info/pkg"); !strings.Contains(body, `"Maintainer":null`) {
		t.Errorf("the orphan is %s", body)
	}
	// A push gives new ids and a new time; the base keeps its own.
	clock.Sleep(t.Context(), time.Hour)
	if _, err := s.Publish(t.Context(), "me", "pkg", "Two", files("pkg", "\tpkgdesc = A test\n", "", "\tpkgrel = 1", "\tpkgrel = 2.1")); err != nil {
		t.Fatal(err)
	}
	if _, body := ask(t, s, "rpc/v5/info/pkg"); !strings.Contains(body, `"Description":null,"FirstSubmitted":1772366400,"ID":3,"Keywords":[],"LastModified":1772370000,`) || !strings.Contains(body, `"Version":"1.2.3-2.1"`) {
		t.Errorf("after the second push: %s", body)
	}
}

// TestRPCErrors: errors come with status 200, an unknown name is no error.
func TestRPCErrors(t *testing.T) {
	s := start(t, Options{}, newKey(t))
	refusal := func(version, text string) string {
		return `{"error":"` + text + `","resultcount":0,"results":[],"type":"error","version":` + version + `}`
	}
	nothing := `{"resultcount":0,"results":[],"type":"multiinfo","version":5}`
	for _, tc := range []struct {
		path   string
		status int
		want   string
	}{
		{"rpc?v=5&type=info&arg[]=none", 200, nothing},
		{"rpc/v5/info/none", 200, nothing},
		{"rpc?type=info&arg[]=x", 200, refusal("null", "Please specify an API version.")},
		{"rpc?v=4&type=info&arg[]=x", 200, refusal("4", "Invalid version specified.")},
		{"rpc/v6/info/x", 200, refusal("6", "Invalid version specified.")},
		{"rpc?v=5&arg[]=x", 200, refusal("5", "No request type/data specified.")},
		{"rpc?v=5&type=info", 200, refusal("5", "No request type/data specified.")},
		{"rpc/v5/info", 200, refusal("5", "No request type/data specified.")},
		{"rpc/v5/info/x?arg=", 200, nothing},
		{"rpc/v5/info/x?a=b", 200, refusal("5", "No request type/data specified.")},
		{"rpc?v=5&type=infos&arg[]=x", 200, refusal("5", "Incorrect request type specified.")},
		{"rpc?v=5&type=info&by=me&arg[]=x", 200, refusal("5", "Incorrect by field specified.")},
		{"rpc?v=5&type=search&arg=xx", 501, "the twin does not know type search\n"},
		{"rpc?v=5&type=info&arg=x&callback=f", 501, "the twin does not know callback\n"},
		{"rpc/v5/nothing/x", 404, `{"detail":"Not Found"}`},
		{"packages/x", 404, "404 page not found\n"},
	} {
		if resp, body := ask(t, s, tc.path); resp.StatusCode != tc.status || body != tc.want {
			t.Errorf("%s gave %d\n%s\nwant %d\n%s", tc.path, resp.StatusCode, body, tc.status, tc.want)
		}
	}
	if resp, _ := ask(t, s, "rpc?v=five&type=info&arg[]=x"); resp.StatusCode != 422 {
		t.Errorf("a version that is no number gave %d", resp.StatusCode)
	}
	if resp, body := ask(t, s, "rpc"); resp.StatusCode != 200 || !strings.HasPrefix(body, "<!DOCTYPE html>") {
		t.Errorf("no query gave %d %s", resp.StatusCode, body)
	}
}

// TestQueryArgs: which of arg and arg[] count.
func TestQueryArgs(t *testing.T) {
	for raw, want := range map[string][]string{
		"":                               nil,
		"v=5":                            nil,
		"arg=a":                          {"a"},
		"arg[]=a&arg[]=b":                {"b", "a"},
		"arg[]=a&arg=b":                  {"b"},
		"arg=a&arg[]=b&arg[]=c":          {"c", "b"},
		"arg[]=a&arg=b&arg[]=c":          {"c"},
		"arg%5B%5D=a&type=info&arg[]=b":  {"b", "a"},
		"arg[]=gtk%2B":                   {"gtk+"},
		"arg[]=a+b":                      {"a+b"},
		"arg[]=a%26arg[]=b":              {"b", "a"}, // unescaped before it is cut
		"arg[]=a%zz":                     {"a%zz"},
		"arg[]=":                         {""},
		"arg":                            nil,
		"args=a&xarg=b&arg[]x=c&arg[0]=": nil,
	} {
		if got := queryArgs(raw); !slices.Equal(got, want) {
			t.Errorf("%q gave %q, want %q", raw, got, want)
		}
	}
}

// TestETag: the same answer is 304 to who has it.
func TestETag(t *testing.T) {
	s := start(t, Options{}, newKey(t))
	if _, err := s.Publish(t.Context(), "me", "pkg", "One", files("pkg")); err != nil {
		t.Fatal(err)
	}
	resp, _ := ask(t, s, "rpc/v5/info/pkg")
	etag := resp.Header.Get("ETag")
	if len(etag) != 34 || etag[0] != '"' {
		t.Fatalf("the ETag is %s", etag)
	}
	if resp, body := ask(t, s, "rpc/v5/info/pkg", "If-None-Match", etag); resp.StatusCode != 304 || body != "" || resp.Header.Get("ETag") != etag {
		t.Errorf("the same gave %d %s", resp.StatusCode, body)
	}
	if _, err := s.Publish(t.Context(), "me", "pkg", "Two", files("pkg", "pkgrel = 1", "pkgrel = 2")); err != nil {
		t.Fatal(err)
	}
	if resp, body := ask(t, s, "rpc/v5/info/pkg", "If-None-Match", etag); resp.StatusCode != 200 || !strings.Contains(body, "1.2.3-2") {
		t.Errorf("another gave %d %s", resp.StatusCode, body)
	}
}

// TestRateLimit: so many calls in a day.
func TestRateLimit(t *testing.T) {
	clock := newClock()
	s := start(t, Options{RPCLimit: 2, Clock: clock}, newKey(t))
	for i, want := range []int{200, 200, 429, 429} {
		resp, body := ask(t, s, "rpc/v5/info/x")
		if resp.StatusCode != want {
			t.Fatalf("call %d gave %d", i+1, resp.StatusCode)
		}
		if want == 429 && body != `{"error":"Rate limit reached","resultcount":0,"results":[],"type":"error","version":5}` {
			t.Errorf("the limit says %s", body)
		}
	}
	clock.Sleep(t.Context(), rateWindow+time.Second)
	if resp, _ := ask(t, s, "rpc/v5/info/x"); resp.StatusCode != 200 {
		t.Errorf("a day later it gave %d", resp.StatusCode)
	}
}

// TestLag: the RPC shows a push late, by calls that ask for it and by time.
func TestLag(t *testing.T) {
	key, clock := newKey(t), newClock()
	s := start(t, Options{Clock: clock}, key)
	c := newClone(t)
	tip := ""
	push := func(rel string) {
		t.Helper()
		tip = c.commit(tip, "next", files("pkg", "pkgrel = 1", "pkgrel = "+rel))
		if o := goPush(t, s, key, c, "pkg", tip, master); !o.accepted {
			t.Fatal(o.text)
		}
		if r, _ := s.Record("pkg"); r.Version != "1.2.3-"+rel {
			t.Errorf("the database has %s", r.Version)
		}
	}
	s.SetLag(Lag{Calls: 2})
	push("1")
	ask(t, s, "rpc/v5/info/other") // does not count
	for i, want := range []string{"", "", "1.2.3-1"} {
		if got := version(t, s, "pkg"); got != want {
			t.Errorf("call %d shows %q", i+1, got)
		}
	}
	s.SetLag(Lag{For: time.Minute})
	push("2")
	clock.Sleep(t.Context(), 59*time.Second)
	if got := version(t, s, "pkg"); got != "1.2.3-1" {
		t.Errorf("after 59 s it shows %q", got)
	}
	clock.Sleep(t.Context(), time.Second)
	if got := version(t, s, "pkg"); got != "1.2.3-2" {
		t.Errorf("after a minute it shows %q", got)
	}
	s.SetLag(Lag{Calls: 1, For: time.Minute})
	push("3")
	s.SetLag(Lag{})
	push("4") // does not overtake
	for i, want := range []string{"1.2.3-2", "1.2.3-2"} {
		if got := version(t, s, "pkg"); got != want {
			t.Errorf("with both, call %d shows %q", i+1, got)
		}
	}
	clock.Sleep(t.Context(), time.Minute)
	if got := version(t, s, "pkg"); got != "1.2.3-4" {
		t.Errorf("in the end it shows %q", got)
	}
}

// TestTransport carries the AUR's own address and nothing else.
func TestTransport(t *testing.T) {
	s := start(t, Options{}, newKey(t))
	for _, url := range []string{"https://example.org/rpc", "http://aur.archlinux.org/rpc", "https://aur.archlinux.org.example.org/", "https://aur.archlinux.org:8443/"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if _, err := s.Transport().RoundTrip(r); err == nil || !strings.Contains(err.Error(), "cannot reach "+strings.TrimSuffix(strings.TrimSuffix(url, "/rpc"), "/")) {
			t.Errorf("%s gave %v", url, err)
		}
	}
	if _, err := s.Publish(t.Context(), "me", "pkg", "One", files("pkg")); err != nil {
		t.Fatal(err)
	}
	// A clone without an account, as git asks first.
	resp, body := ask(t, s, "pkg.git/info/refs?service=git-upload-pack")
	tip, _ := s.tip("pkg")
	if resp.StatusCode != 200 || !strings.Contains(body, tip.String()+" refs/heads/master") && !strings.Contains(body, tip.String()+" HEAD") {
		t.Errorf("reading over https gave %d %q", resp.StatusCode, body)
	}
	if resp, _ := ask(t, s, "pkg.git/info/refs?service=git-receive-pack"); resp.StatusCode/100 != 4 {
		t.Errorf("pushing over https gave %d", resp.StatusCode)
	}
	if s.Listeners()[Root] != s.RPCURL() {
		t.Error("Listeners does not name the listener")
	}
}

// FuzzQuery asks with any path and query: nothing breaks, every answer is one that the RPC gives, and the names in it are
// among those that were asked for.
func FuzzQuery(f *testing.F) {
	for _, q := range [][2]string{{"/rpc", "v=5&type=info&arg[]=pkg"}, {"/rpc/v5/info/pkg", ""}, {"/rpc/v5/info", "arg[]=a&arg=%zz;x&&="}, {"/rpc/v-1/info/", "by=name&v=5"}} {
		f.Add(q[0], q[1])
	}
	s := &Server{clock: newClock(), calls: map[string]*rate{}, options: Options{RPCLimit: -1}}
	text := files("pkg")[".SRCINFO"]
	info, _ := ParseSRCINFO(text, Default)
	s.db.save("pkg", "me", info, s.clock.Now(), Lag{})
	f.Fuzz(func(t *testing.T, path, raw string) {
		q, ok := parseQuery(path, raw)
		if !ok || q.odd != "" {
			return
		}
		content := marshal(s.respond(&q))
		var a struct {
			Type        string
			ResultCount *int
			Error       string
			Results     []struct{ Name string }
		}
		d := json.NewDecoder(bytes.NewReader(content))
		if err := d.Decode(&a); err != nil {
			t.Fatalf("%s: %s", err, content)
		}
		switch {
		case a.ResultCount == nil || *a.ResultCount != len(a.Results):
			t.Errorf("the count is wrong: %s", content)
		case a.Type == "error" && (a.Error == "" || len(a.Results) > 0):
			t.Errorf("an error without a text: %s", content)
		case a.Type != "error" && a.Type != "multiinfo":
			t.Errorf("type %q", a.Type)
		}
		for _, r := range a.Results {
			if !slices.Contains(q.args, r.Name) {
				t.Errorf("%q was not asked for: %q", r.Name, q.args)
			}
		}
	})
}
