package github

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestRefs(t *testing.T) {
	b := start(t)
	first, second := b.commits[0], b.commits[1]
	b.want(b.do("POST", "/git/refs", `{"ref":"refs/heads/feature/x","sha":"`+first+`"}`), 201, `"refs/heads/feature/x"`)
	b.want(b.do("POST", "/git/refs", `{"ref":"refs/heads/feature/x","sha":"`+first+`"}`), 422, "Reference already exists")
	b.want(b.do("GET", "/git/ref/heads/feature/x", ""), 200, first)
	b.want(b.do("GET", "/git/ref/heads/feature%2Fx", ""), 200, first)
	b.want(b.do("GET", "/git/ref/heads/feature", ""), 404) // a part of a name is none
	b.want(b.do("GET", "/git/matching-refs/heads/fea", ""), 200, `"refs/heads/feature/x"`)
	if a := b.want(b.do("GET", "/git/matching-refs/heads/zzz", ""), 200); string(a.body) != "[]" {
		t.Errorf("matching nothing: %s", a.body)
	}
	b.want(b.do("PATCH", "/git/refs/heads/feature/x", `{"sha":"`+second+`"}`), 200, second)
	b.want(b.do("PATCH", "/git/refs/heads/feature/x", `{"sha":"`+first+`"}`), 422, "not a fast forward")
	b.want(b.do("PATCH", "/git/refs/heads/feature/x", `{"sha":"`+first+`","force":true}`), 200, first)
	b.want(b.do("PATCH", "/git/refs/heads/none", `{"sha":"`+first+`"}`), 422, "Reference does not exist")
	unknown := strings.Repeat("0", 40)
	b.want(b.do("PATCH", "/git/refs/heads/feature/x", `{"sha":"`+unknown+`"}`), 422, "Object does not exist")
	b.want(b.do("POST", "/git/refs", `{"ref":"refs/heads/y","sha":"`+unknown+`"}`), 422, "Object does not exist")
	b.want(b.wrong("POST", "/git/refs", `{"ref":"refs/heads/y"}`), 422)
	b.want(b.wrong("PATCH", "/git/refs/heads/feature/x", `{}`), 422)
	for _, name := range []string{"main", "refs/x", "refs/heads/../x", "refs/heads/a b", "refs/heads/-$(id)\\n", "refs/heads/x.lock", "refs/heads/"} {
		b.want(b.do("POST", "/git/refs", `{"ref":"`+name+`","sha":"`+first+`"}`), 422)
	}
	b.want(b.do("DELETE", "/git/refs/heads/feature/x", ""), 204)
	b.want(b.do("DELETE", "/git/refs/heads/feature/x", ""), 422, "Reference does not exist")
	b.want(b.do("GET", "/git/ref/..%2f..%2fx", ""), 404)
	if n := b.checker.Exceptions()["undescribed status"]; n != 0 {
		t.Errorf("%d statuses of refs are not in the description", n)
	}
}

func TestEmptyRepository(t *testing.T) {
	b := start(t, func(o *Options) { o.Repositories[0].Refs = NewMemory() })
	b.want(b.do("GET", "/git/ref/heads/main", ""), 409, "Git Repository is empty.")
	b.want(b.do("POST", "/git/refs", `{"ref":"refs/heads/main","sha":"x"}`), 409)
	b.want(b.do("POST", "/git/tags", `{"tag":"v1","message":"m","object":"x","type":"commit"}`), 409)
	b.want(b.do("POST", "/releases", `{"tag_name":"v1","draft":true}`), 422)
	if a := b.want(b.do("GET", "/git/matching-refs/heads/", ""), 200); string(a.body) != "[]" {
		t.Errorf("refs %s", a.body)
	}
}

func TestTagObjects(t *testing.T) {
	b := start(t)
	sha := b.annotate("v1", b.commits[1])
	tag := b.want(b.do("GET", "/git/tags/"+sha, ""), 200, `"tag":"v1"`, `"type":"commit"`, b.commits[1])
	if tag.json["message"] != "m" {
		t.Errorf("tag %s", tag.body)
	}
	b.want(b.do("GET", "/git/tags/"+b.commits[1], ""), 404) // a commit is no tag
	b.want(b.do("GET", "/git/ref/tags/v1", ""), 200, sha, `"type":"tag"`)
	b.want(b.do("POST", "/git/tags", `{"tag":"v2","message":"m","object":"`+strings.Repeat("a", 40)+`","type":"commit"}`), 422)
	b.want(b.wrong("POST", "/git/tags", `{"tag":"v2"}`), 422)
	b.want(b.do("POST", "/git/tags", `{"tag":"-v\n","message":"m","object":"`+b.commits[1]+`","type":"commit"}`), 422)
	b.want(b.do("POST", "/git/tags", `{"tag":"v2","message":"m","object":"`+b.commits[1]+`","type":"commit","tagger":{"name":"<x>\n","email":"e"}}`), 422)
	r := b.want(b.do("POST", "/git/tags", `{"tag":"v2","message":"m","object":"`+b.commits[1]+`","type":"commit","tagger":{"name":"N","email":"e@x","date":"2026-01-02T03:04:05Z"}}`), 201, "2026-01-02T03:04:05Z")
	if r.json["verification"].(map[string]any)["verified"] != false {
		t.Error("verified without a key")
	}
	c := b.want(b.do("GET", "/git/commits/"+b.commits[1], ""), 200, b.commits[0])
	if c.json["message"] != "second" {
		t.Errorf("commit %s", c.body)
	}
	b.want(b.do("GET", "/git/commits/"+sha, ""), 404)
}

// TestMemoryHasGitsNames compares object names with the git program's.
func TestMemoryHasGitsNames(t *testing.T) {
	git := need(t, "git")
	dir := t.TempDir()
	run := func(input string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), git, args...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(input)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("git %v: %v %s", args, err, stderr.String())
		}
		return strings.TrimSpace(string(out))
	}
	run("", "init", "-q")
	m := NewMemory()
	files := map[string]string{"a.txt": "a\n", "a/b.txt": "b\n", "a/c/d": "d\n", "a-b": "x\n"}
	first := m.Add("main", "one", by(1), files)
	second := m.Add("main", "two\n\nbody", by(2), map[string]string{"a.txt": "", "z": "z\n"})
	tag, err := m.CreateTagObject(t.Context(), Tag{Name: "v1", Message: "text", Tagger: by(3), Target: Object{SHA: second, Type: "commit"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		run("", "update-index", "--add", "--cacheinfo", "100644,"+run(content, "hash-object", "-w", "--stdin")+","+name)
	}
	c, err := m.Commit(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	if got := run("", "write-tree"); got != c.Tree {
		t.Errorf("tree %s, git says %s", c.Tree, got)
	}
	run("", "update-index", "--force-remove", "a.txt")
	run("", "update-index", "--add", "--cacheinfo", "100644,"+run("z\n", "hash-object", "-w", "--stdin")+",z")
	run("", "write-tree")
	if got := run(commitText(c), "hash-object", "-w", "-t", "commit", "--stdin"); got != first {
		t.Errorf("commit %s, git says %s", first, got)
	}
	c, err = m.Commit(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	if got := run(commitText(c), "hash-object", "-w", "-t", "commit", "--stdin"); got != second {
		t.Errorf("commit %s, git says %s", second, got)
	}
	text := "object " + second + "\ntype commit\ntag v1\ntagger octo <octo@example.invalid> 1770076800 +0000\n\ntext\n"
	if got := run(text, "mktag"); got != tag.SHA {
		t.Errorf("tag %s, git says %s", tag.SHA, got)
	}
}

func TestCompare(t *testing.T) {
	b := start(t)
	if err := b.memory.Create(t.Context(), "refs/heads/side", b.commits[0]); err != nil {
		t.Fatal(err)
	}
	side := b.memory.Add("side", "side", by(3), map[string]string{"new": "1\n2\n"})
	for basehead, want := range map[string][3]any{
		"main...main":            {"identical", 0.0, 0.0},
		b.commits[0] + "...main": {"ahead", 1.0, 0.0},
		"main..." + b.commits[0]: {"behind", 0.0, 1.0},
		"main...refs/heads/side": {"diverged", 1.0, 1.0},
	} {
		a := b.want(b.do("GET", "/compare/"+basehead, ""), 200)
		if got := [3]any{a.json["status"], a.json["ahead_by"], a.json["behind_by"]}; got != want {
			t.Errorf("%s: %v, want %v", basehead, got, want)
		}
	}
	b.want(b.do("GET", "/compare/main...side", ""), 200, side, `"filename":"new"`, `"additions":2`)
	for _, path := range []string{"main...none", "main", "...", "main...", "none...main"} {
		b.want(b.do("GET", "/compare/"+path, ""), 404)
	}
	b.memory.Add("island", "alone", by(4), map[string]string{"x": "y"})
	b.want(b.do("GET", "/compare/main...island", ""), 404, "No common ancestor")
}

func TestTarball(t *testing.T) {
	b := start(t)
	a := b.want(b.do("GET", "/tarball/main", ""), 302)
	if want := b.WebURL() + "octo/app/legacy.tar.gz/refs/heads/main"; a.Header.Get("Location") != want {
		t.Errorf("Location %s, want %s", a.Header.Get("Location"), want)
	}
	r := b.want(b.do("GET", a.Header.Get("Location"), "", "Authorization", "-"), 200)
	if r.Header.Get("Content-Type") != "application/x-gzip" || !bytes.HasPrefix(r.body, []byte("\x1f\x8b")) {
		t.Errorf("tarball %v", r.Header)
	}
	b.want(b.do("GET", "/tarball/none", ""), 404)
	b.want(b.do("GET", b.WebURL()+"octo/app/legacy.tar.gz/none", ""), 404)
}

func TestPrivateTarball(t *testing.T) {
	b := start(t, func(o *Options) { o.Repositories[0].Private = true })
	to := b.want(b.do("GET", "/tarball/main", ""), 302).Header.Get("Location")
	b.want(b.do("GET", to, "", "Authorization", "-"), 200)
	plain, _, _ := strings.Cut(to, "?")
	b.want(b.do("GET", plain, "", "Authorization", "-"), 404)
}

func TestDispatch(t *testing.T) {
	b := start(t)
	b.want(b.do("POST", "/actions/workflows/ci.yml/dispatches", `{"ref":"main"}`), 204)
	a := b.want(b.do("POST", "/actions/workflows/release.yml/dispatches", `{"ref":"main","inputs":{"v":"1"},"return_run_details":true}`), 200)
	id := itoa(int64(a.json["workflow_run_id"].(float64)))
	b.want(b.do("POST", "/actions/workflows/1/dispatches", `{"ref":"main"}`), 204)
	b.want(b.do("POST", "/actions/workflows/none.yml/dispatches", `{"ref":"main"}`), 404)
	b.want(b.do("POST", "/actions/workflows/ci.yml/dispatches", `{"ref":"none"}`), 422, "No ref found")
	b.want(b.wrong("POST", "/actions/workflows/ci.yml/dispatches", `{}`), 422)
	b.want(b.do("POST", "/actions/workflows/ci.yml/dispatches", `{"ref":"main"}`, "Authorization", "Bearer reader"), 403)
	if runs := b.want(b.do("GET", "/actions/runs", ""), 200); runs.json["total_count"] != 3.0 {
		t.Errorf("runs %v", runs.json["total_count"])
	}
	b.want(b.do("GET", "/actions/runs/"+id, ""), 200, `"status":"waiting"`)
	pending := b.want(b.do("GET", "/actions/runs/"+id+"/pending_deployments", ""), 200, `"name":"production"`)
	_, after, _ := strings.Cut(string(pending.body), `"environment":{"html_url":`)
	_, after, _ = strings.Cut(after, `"id":`)
	env, _, _ := strings.Cut(after, ",")
	review := `{"environment_ids":[` + env + `],"state":"approved","comment":"ok"}`
	b.want(b.do("POST", "/actions/runs/"+id+"/pending_deployments", review, "Authorization", "Bearer reader"), 403)
	b.want(b.wrong("POST", "/actions/runs/"+id+"/pending_deployments", `{"environment_ids":[`+env+`],"state":"maybe","comment":""}`), 422)
	b.want(b.do("POST", "/actions/runs/"+id+"/pending_deployments", review), 200, `"environment":"production"`)
	b.want(b.do("POST", "/actions/runs/"+id+"/pending_deployments", review), 422)
	b.want(b.do("GET", "/actions/runs/"+id, ""), 200, `"status":"completed"`, `"conclusion":"success"`)
	b.want(b.do("GET", "/actions/runs/7", ""), 404)
}

func TestAttestations(t *testing.T) {
	b := start(t)
	digest := sum("artifact")
	statement := `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"` + digest + `"}}]}`
	bundle := `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":{"payload":"` + base64.StdEncoding.EncodeToString([]byte(statement)) + `"}}`
	b.want(b.do("POST", "/attestations", `{"bundle":`+bundle+`}`), 201)
	b.want(b.do("GET", "/attestations/sha256:"+digest, ""), 200, "sigstore.bundle")
	b.want(b.do("GET", "/attestations/sha256:"+sum("other"), ""), 404)
	b.want(b.do("POST", "/attestations", `{"bundle":{}}`), 422)
	b.want(b.do("POST", "/attestations", `{"bundle":`+bundle+`}`, "Authorization", "Bearer actions"), 403)
}

func TestLabels(t *testing.T) {
	b := start(t)
	b.want(b.do("POST", "/labels", `{"name":"bug","color":"ff0000"}`), 201)
	b.want(b.do("POST", "/labels", `{"name":"BUG"}`), 422, "already_exists")
	b.want(b.wrong("POST", "/labels", `{}`), 422, "missing_field")
	b.want(b.do("GET", "/labels", ""), 200, `"name":"bug"`)
}

// failing is a git side whose repository is damaged.
type failing struct{ *Memory }

func (failing) Get(context.Context, string) (Object, error) { return Object{}, errors.New("disk") }

func TestBrokenRefs(t *testing.T) {
	b := start(t, func(o *Options) {
		m := NewMemory()
		m.Add("main", "m", by(1), nil)
		o.Repositories[0].Refs = failing{m}
	})
	a := b.want(b.do("GET", "/git/ref/heads/main", ""), 500, "Server Error")
	if strings.Contains(string(a.body), "disk") {
		t.Error("the error's text leaked")
	}
	b.want(b.do("POST", "/releases", `{"tag_name":"v1"}`), 500)
}

func TestArchiveIsReproducible(t *testing.T) {
	b := start(t)
	get := func() []byte {
		var buf bytes.Buffer
		if err := b.memory.Archive(t.Context(), &buf, b.commits[1], "p/"); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	if !bytes.Equal(get(), get()) {
		t.Error("two archives differ")
	}
	if err := b.memory.Archive(t.Context(), io.Discard, "none", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v", err)
	}
}

// need finds a program; without it the test is skipped, and fails in CI.
func need(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing", name)
	}
	t.Skipf("%s is missing", name)
	return ""
}
