package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/cmd/slipway/internal/crash"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// What is rolled back here: 0.1.0, with a file that its version commit changed, to 0.0.9, which is out.

const olderTag = "v0.0.9"

func newRollbackTemplate(t *testing.T) *template {
	t.Helper()
	dir := filepath.Join(t.TempDir(), project)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(scripts, "hello"))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "release.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("source: VERSION,"), []byte("source: VERSION, carriers: [app.json],"), 1)
	text = append(bytes.TrimRight(text, "\n"), fmt.Sprintf(releaseKeys, "")...)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("release.yaml", string(text))
	gitIn(t, dir, "init", "-q", "-b", "main")
	for _, v := range []string{"0.0.9", released} {
		write("VERSION", v+"\n")
		write("app.json", fmt.Sprintf("{\"version\": %q, \"git_commit\": \"development\"}\n", v))
		gitIn(t, dir, "add", "-A")
		gitIn(t, dir, "commit", "-q", "-m", "feat: greet "+v)
		if v != released {
			gitIn(t, dir, "tag", "-a", "-m", v, "v"+v)
		}
	}
	out := &template{dir: dir}
	out.open(t)
	if code, said := (&trial{t: t, dir: dir}).slipway("run", "--phase", "build"); code != 0 {
		t.Fatalf("exit code %d: %s", code, said)
	}
	return out
}

// call asks the twin of GitHub with the maintainer's token.
func (s *stage) call(method, url, body string, out any) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.Map.Token)
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := s.Map.Endpoints().HTTP.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s", resp.Status, b)
	}
	if err == nil && out != nil {
		err = json.Unmarshal(b, out)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// out stages a world in which the older release is out, and takes the release to its end.
func (x *template) out(t *testing.T, change ...func(*phases.RehearsalOptions)) (*stage, *trial) {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir(), baseline: x.base}
	o := phases.RehearsalOptions{Config: x.config, Repository: x.repo, Base: x.base, Version: released, Dir: s.dir}
	for _, f := range change {
		f(&o)
	}
	var err error
	if s.Rehearsal, err = phases.Rehearse(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.Map = s.World().Map
	s.file = filepath.Join(s.dir, "twins.json")
	s.tell()
	var made struct {
		ID int64 `json:"id"`
	}
	root := "repos/" + owner + "/" + project + "/releases"
	s.call(http.MethodPost, "https://api.github.com/"+root, `{"tag_name": "`+olderTag+`", "draft": true}`, &made)
	s.call(http.MethodPost, fmt.Sprintf("https://uploads.github.com/%s/%d/assets?name=old.txt", root, made.ID), "older", nil)
	s.call(http.MethodPatch, fmt.Sprintf("https://api.github.com/%s/%d", root, made.ID), `{"draft": false}`, nil)
	r := s.trial(x)
	if code, said := r.run(); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	return s, r
}

// origin runs git in the remote repository.
func (s *stage) origin(args ...string) string {
	s.t.Helper()
	return gitIn(s.t, filepath.Join(s.dir, "origin.git"), args...)
}

// rolledBack demands what must hold of the world in the end; before is where main was.
func (s *stage) rolledBack(before string) {
	s.t.Helper()
	for _, r := range s.World().GitHub.History(owner, project).Last().Releases {
		if r.Tag == tagName && (!r.Draft || len(r.Assets) != 4) || r.Tag == olderTag && (r.Draft || !r.Latest) {
			s.t.Errorf("release %s: draft %v, latest %v, %d assets", r.Tag, r.Draft, r.Latest, len(r.Assets))
		}
	}
	log := s.origin("log", "--format=%s", before+"..main")
	if log != "Hold "+released+"\nRevert release "+tagName {
		s.t.Errorf("main has got %q", log)
	}
	s.origin("merge-base", "--is-ancestor", before, "main")
	if text := s.origin("show", "main:app.json"); !strings.Contains(text, "development") {
		s.t.Errorf("main's app.json is %q", text)
	}
	if kind := s.origin("cat-file", "-t", tagRef); kind != "tag" {
		s.t.Errorf("tag %s is a %s", tagName, kind)
	}
	s.origin("cat-file", "-e", "main:.slipway/holds/"+released+".json")
	s.origin("fsck", "--strict")
}

func backRecords(t *testing.T, r *trial) (list []pipeline.Record) {
	t.Helper()
	for rec, err := range journal.Read(filepath.Join(r.journalDir(), "rollback-1")).Records() {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, rec)
	}
	return list
}

func (x *trial) back(args ...string) (code int, said string) {
	x.t.Helper()
	code, said = x.slipway(append([]string{"rollback", released, "--yes", "--jobs", "2"}, args...)...)
	return code, said
}

// TestFailure_064_RollbackIsAForwardCommit: nothing is reset and nothing forced; what others have pulled stays.
func TestFailure_064_RollbackIsAForwardCommit(t *testing.T) {
	needTools(t, "git")
	s, r := newRollbackTemplate(t).out(t)
	before := s.origin("rev-parse", "main")
	if text := s.origin("show", "main:app.json"); strings.Contains(text, "development") {
		t.Fatalf("the version commit changed nothing: %q", text)
	}
	if code, said := r.back("--to", "0.0.9", "--reason", "it is slow"); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	s.rolledBack(before)
	records := len(backRecords(t, r))
	if code, said := r.back(); code != 0 || !strings.Contains(said, "0 steps done now") {
		t.Errorf("once more: %d\n%s", code, said)
	}
	if n := len(backRecords(t, r)); n != records {
		t.Errorf("once more wrote %d records", n-records)
	}
	// What was rolled back stays so, whatever is run.
	if code, said := r.run(); code == 0 && !strings.Contains(said, "nothing to do") {
		t.Errorf("a run after it: %d\n%s", code, said)
	}
	s.rolledBack(before)
}

// TestCrash_Rollback kills the real program (SIGKILL) after records of a rollback: the next one ends it, and there is
// one of everything.
func TestCrash_Rollback(t *testing.T) {
	needTools(t, "git")
	x := newRollbackTemplate(t)
	s, r := x.out(t)
	before := s.origin("rev-parse", "main")
	if code, said := r.back(); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	s.rolledBack(before)
	var names []string
	for n := range backRecords(t, r) {
		names = append(names, fmt.Sprintf("record %d", n+1))
	}
	most := 3
	if *crashes > 0 {
		most = len(names)
	}
	list, _ := pick(t, names, most)
	trials(t, list, func(t *testing.T, name string) {
		s, r := x.out(t)
		before := s.origin("rev-parse", "main")
		r.env = []string{crash.Variable + "=" + strings.TrimPrefix(name, "record ")}
		if code, said := r.back(); code != -1 {
			t.Fatalf("not killed: %d\n%s", code, said)
		}
		r.env = nil
		if code, said := r.back(); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, said)
		}
		s.rolledBack(before)
		if _, err := os.Stat(filepath.Join(r.journalDir(), "rollback-1", "postmortem.md")); err != nil {
			t.Error(err)
		}
	})
}

// TestRollback_TwoAtOnce: two people roll the same release back from two machines. Both come to an end, and there is one
// of everything.
func TestRollback_TwoAtOnce(t *testing.T) {
	needTools(t, "git")
	s, r := newRollbackTemplate(t).out(t)
	before := s.origin("rev-parse", "main")
	other := &trial{t: t, dir: filepath.Join(t.TempDir(), project), twins: r.twins}
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", r.dir, other.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	one, two := r.start("rollback", released, "--yes"), other.start("rollback", released, "--yes")
	for _, c := range []*child{one, two} {
		if code := c.wait(); code != 0 {
			r.orderly(code, c.out.String())
		}
	}
	for _, x := range []*trial{r, other} {
		if code, said := x.back(); code != 0 {
			t.Errorf("exit code %d:\n%s", code, said)
		}
	}
	s.rolledBack(before)
	// In one folder the second waits its turn.
	j, err := journal.Open(filepath.Join(r.journalDir(), "rollback-1"))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if code, said := r.back(); code != 6 {
		t.Errorf("beside another one: %d\n%s", code, said)
	}
}

// TestRollback_Immutable: what cannot be a draft again gets a notice; deleting it is refused before anything happens.
func TestRollback_Immutable(t *testing.T) {
	needTools(t, "git")
	s, r := newRollbackTemplate(t).out(t, func(o *phases.RehearsalOptions) { o.Twins.Immutable = true })
	before := s.origin("rev-parse", "main")
	for _, flag := range []string{"--delete", "--delete-tag"} {
		if code, said := r.back(flag); code != 3 || !strings.Contains(said, "roll back without "+flag) {
			t.Errorf("%s: %d\n%s", flag, code, said)
		}
		if err := os.RemoveAll(filepath.Join(r.journalDir(), "rollback-1")); err != nil {
			t.Fatal(err)
		}
	}
	if now := s.origin("rev-parse", "main"); now != before {
		t.Error("a refused rollback has moved main")
	}
	if code, said := r.back("--reason", "it </b> @everyone breaks"); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	list := s.World().GitHub.History(owner, project).Last().Releases
	for _, rel := range list {
		switch rel.Tag {
		case tagName:
			if rel.Draft || rel.Latest || !strings.HasPrefix(rel.Body, "> [!CAUTION]\n> "+released+" has been withdrawn: use 0.0.9. it  /b   everyone breaks") {
				t.Errorf("draft %v, latest %v: %q", rel.Draft, rel.Latest, rel.Body)
			}
		case olderTag:
			if !rel.Latest {
				t.Error("the older release is not the latest")
			}
		}
	}
	if code, said := r.back(); code != 0 {
		t.Errorf("once more: %d\n%s", code, said)
	}
}

// TestRollback_Faults: lost answers and failing servers on the way do not do anything twice.
func TestRollback_Faults(t *testing.T) {
	needTools(t, "git")
	x := newRollbackTemplate(t)
	names := []string{
		"github/PATCH /repos/*/*/releases/*: cut though done",
		"github/PATCH /repos/*/*/releases/*: 502",
		"git/receive-pack origin #2: cut though done",
		"git/receive-pack origin #2: cut",
	}
	if *crashes == 0 {
		names = names[:1]
	}
	trials(t, names, func(t *testing.T, name string) {
		s, r := x.out(t)
		before := s.origin("rev-parse", "main")
		s.faults(name)
		code, said := r.back()
		r.orderly(code, said)
		s.faults()
		if code, said := r.back(); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, said)
		}
		s.rolledBack(before)
	})
}

// TestRollback_Conflicts: what somebody has changed since is not touched; the refusal says what it is and what can be
// done.
func TestRollback_Conflicts(t *testing.T) {
	needTools(t, "git")
	s, r := newRollbackTemplate(t).out(t)
	bare := filepath.Join(s.dir, "origin.git")
	clone := filepath.Join(t.TempDir(), "clone")
	gitIn(t, filepath.Dir(clone), "clone", "-q", bare, clone)
	if err := os.WriteFile(filepath.Join(clone, "app.json"), []byte(`{"version": "0.1.1", "git_commit": "x"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	gitIn(t, clone, "commit", "-q", "-am", "feat: on")
	gitIn(t, clone, "push", "-q", "origin", "main")
	before := s.origin("rev-parse", "main")
	code, said := r.back()
	if code != 3 || !strings.Contains(said, "app.json on branch main is neither as v0.1.0 has it nor as before") {
		t.Errorf("%d\n%s", code, said)
	}
	if s.origin("rev-parse", "main") != before {
		t.Error("main has moved")
	}
	// The other levels can do without it.
	if code, said := r.back("--level", "github,hold", "--amend"); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	if log := s.origin("log", "--format=%s", before+"..main"); log != "Hold "+released {
		t.Errorf("main has got %q", log)
	}
	i := slices.IndexFunc(backRecords(t, r), func(rec pipeline.Record) bool { return rec.Step == "rollback/revert" })
	if i >= 0 {
		t.Error("it was reverted all the same")
	}
}
