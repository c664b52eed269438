package github

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"testing"
)

// A recorded exchange of @octokit/fixtures 23.1.2, normalized-fixture.json.
type recorded struct {
	Scope, Method, Path string
	Body                json.RawMessage
	Status              int
	Response            json.RawMessage
	ReqHeaders          map[string]any
	Headers             map[string]any
	Binary              bool `json:"responseIsBinary"`
}

// TestScenarios replays what GitHub was seen to do, in order, against the twin
// and compares statuses, keys, types of values and some headers. The recordings
// are normalised: ids begin at 1000, commits are 00..01 and 00..02, hosts are
// GitHub's. They are older than digests and immutable releases: keys that the
// twin has beyond them are fine, missing ones are not.
func TestScenarios(t *testing.T) {
	for _, name := range []string{"release-assets", "release-assets-conflict", "git-refs", "errors", "get-archive"} {
		t.Run(name, func(t *testing.T) { replay(t, name) })
	}
}

func replay(t *testing.T, name string) {
	raw, err := os.ReadFile("testdata/scenarios/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var list []recorded
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	const org, secret = "octokit-fixture-org", "0000000000000000000000000000000000000001"
	b := start(t, func(o *Options) {
		o.Repositories[0].Owner, o.Repositories[0].Name = org, name
		o.Tokens = append(o.Tokens, Token{Value: secret, Login: "octokit-fixture-user-a", Kind: Classic, Rights: Maintainer()})
	})
	at := b.URL() + "repos/" + org + "/" + name
	release, asset := int64(0), int64(0)
	if strings.HasPrefix(name, "release-assets") {
		release = b.want(b.do("POST", at+"/releases", `{"tag_name":"v1.0.0","name":"Version 1.0.0","body":"Initial release"}`), 201).id()
		if name == "release-assets-conflict" {
			// The release's own array is empty there, while its listing has the
			// asset, uploaded and whole.
			up := fmt.Sprintf("%srepos/%s/%s/releases/%d/assets?name=test-upload.txt&label=test", b.UploadURL(), org, name, release)
			b.plan(uploads + "#1: stale 1 calls")
			asset = b.want(b.do("POST", up, "old", "Content-Type", "application/octet-stream"), 201).id()
		}
	}
	here := func(s string) string {
		return strings.NewReplacer("https://api.github.com/", b.URL(), "https://codeload.github.com/", b.WebURL(),
			secret, b.commits[1], strings.Replace(secret, "1", "2", 1), b.commits[0]).Replace(s)
	}
	for _, want := range list {
		base := map[string]string{
			"https://api.github.com:443": b.URL(), "https://uploads.github.com:443": b.UploadURL(), "https://codeload.github.com:443": b.WebURL(),
		}[want.Scope]
		path := strings.Replace(want.Path, "/assets/1000", fmt.Sprintf("/assets/%d", asset), 1)
		path = strings.Replace(path, "/releases/1000", fmt.Sprintf("/releases/%d", release), 1)
		body := string(want.Body)
		var text string
		if json.Unmarshal(want.Body, &text) == nil {
			body = text
		}
		q, err := http.NewRequestWithContext(t.Context(), strings.ToUpper(want.Method), base+strings.TrimPrefix(path, "/"), strings.NewReader(here(body)))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range want.ReqHeaders {
			if s, ok := v.(string); ok && k != "host" && k != "accept-encoding" {
				q.Header.Set(k, s)
			}
		}
		response, err := b.http.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		label := want.Method + " " + want.Path
		if response.StatusCode != want.Status {
			t.Fatalf("%s: status %d, recorded %d: %s", label, response.StatusCode, want.Status, got)
		}
		compareHeaders(t, label, response.Header, want.Headers, here)
		if want.Binary {
			var s string
			if err := json.Unmarshal(want.Response, &s); err != nil {
				t.Fatal(err)
			}
			// Any gzip: the tree is another.
			if b, err := hex.DecodeString(s); err != nil || len(got) < 2 || string(got[:2]) != string(b[:2]) {
				t.Errorf("%s: %.20q, %v", label, got, err)
			}
			continue
		}
		var a, r any
		if err := json.Unmarshal(want.Response, &r); err != nil {
			t.Fatal(err)
		}
		if r == "" {
			if len(got) != 0 {
				t.Errorf("%s: body %q, recorded none", label, got)
			}
			continue
		}
		if err := json.Unmarshal(got, &a); err != nil {
			t.Fatalf("%s: %v", label, err)
		}
		for _, d := range differences(label, a, r, want.Status >= 400) {
			t.Error(d)
		}
		if m, ok := a.(map[string]any); ok && strings.Contains(want.Path, "assets?") && want.Status == 201 {
			asset = int64(m["id"].(float64))
		}
	}
}

// differences lists the keys of b that a lacks and the values of another type.
// exact compares the values of strings too, except request ids.
func differences(at string, a, b any, exact bool) (list []string) {
	if fmt.Sprintf("%T", a) != fmt.Sprintf("%T", b) {
		return []string{fmt.Sprintf("%s: %T, recorded %T", at, a, b)}
	}
	switch b := b.(type) {
	case map[string]any:
		for k, v := range b {
			have, ok := a.(map[string]any)[k]
			if !ok {
				list = append(list, at+" lacks "+k)
				continue
			}
			list = append(list, differences(at+"."+k, have, v, exact && k != "request_id")...)
		}
	case []any:
		if len(a.([]any)) != len(b) {
			return []string{fmt.Sprintf("%s: %d entries, recorded %d", at, len(a.([]any)), len(b))}
		}
		for i := range b {
			list = append(list, differences(fmt.Sprintf("%s[%d]", at, i), a.([]any)[i], b[i], exact)...)
		}
	case string:
		if exact && a != b {
			list = append(list, fmt.Sprintf("%s: %q, recorded %q", at, a, b))
		}
	}
	return list
}

func compareHeaders(t *testing.T, label string, got http.Header, want map[string]any, here func(string) string) {
	t.Helper()
	for _, k := range []string{"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-used", "x-ratelimit-resource", "x-github-request-id", "location", "content-disposition"} {
		if _, ok := want[k]; ok != (got.Get(k) != "") {
			t.Errorf("%s: header %s is %q, recorded %v", label, k, got.Get(k), want[k])
		}
	}
	if w, ok := want["location"].(string); ok && got.Get("location") != here(w) {
		t.Errorf("%s: location %s, recorded %s", label, got.Get("location"), w)
	}
	if w, ok := want["content-type"].(string); ok {
		a, _, err1 := mime.ParseMediaType(got.Get("content-type"))
		b, _, err2 := mime.ParseMediaType(w)
		if a != b || err1 != nil || err2 != nil {
			t.Errorf("%s: content-type %q, recorded %q", label, got.Get("content-type"), w)
		}
	}
}

// TestScenariosCompare plants faults in a replay's comparison.
func TestScenariosCompare(t *testing.T) {
	parse := func(s string) (v any) {
		if err := json.Unmarshal([]byte(s), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		twin, recorded string
		exact          bool
		n              int
	}{
		{`{"a":1,"b":2}`, `{"a":7}`, false, 0},
		{`{"a":1}`, `{"a":7,"b":2}`, false, 1},
		{`{"a":"1"}`, `{"a":1}`, false, 1},
		{`{"a":null}`, `{"a":"x"}`, false, 1},
		{`[{"a":1}]`, `[]`, false, 1},
		{`{"message":"x","request_id":"1"}`, `{"message":"y","request_id":"2"}`, true, 1},
	} {
		if got := differences("", parse(c.twin), parse(c.recorded), c.exact); len(got) != c.n {
			t.Errorf("%s against %s: %v", c.twin, c.recorded, got)
		}
	}
}
