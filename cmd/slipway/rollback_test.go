package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// What is rolled back here: 0.1.0, with a file that its version commit changed, to 0.0.9, which is out.

const olderTag = "v0.0.9"

// newRollbackTemplate makes the repository and runs its build phase; where it is asked for, the AUR has a package of it.
func newRollbackTemplate(t *testing.T, aur bool) *template {
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
	if aur {
		text = append(text, aurKeys...)
	}
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
	s := stageWith(t, x, change...)
	old := filepath.Join(t.TempDir(), "old.txt")
	if err := os.WriteFile(old, []byte("older"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.publish(made{Tag: olderTag}, []string{old})
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
	s, r := newRollbackTemplate(t, false).out(t)
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
	if code, said := r.run(); code != 1 || !strings.Contains(said, released+" is rolled back to 0.0.9 (rollback-1), so it is not carried on") {
		t.Errorf("a run after it: %d\n%s", code, said)
	}
	s.rolledBack(before)
}

// TestRollback_Immutable: what cannot be a draft again gets a notice; deleting it is refused before anything happens.
func TestRollback_Immutable(t *testing.T) {
	needTools(t, "git")
	s, r := newRollbackTemplate(t, false).out(t, func(o *phases.RehearsalOptions) { o.Twins.Immutable = true })
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
	found := 0
	for _, rel := range s.World().GitHub.History(owner, project).Last().Releases {
		switch rel.Tag {
		case tagName:
			found++
			if rel.Draft || rel.Latest || !strings.HasPrefix(rel.Body, "> [!CAUTION]\n> "+released+" has been withdrawn: use 0.0.9. it  /b   everyone breaks") {
				t.Errorf("draft %v, latest %v: %q", rel.Draft, rel.Latest, rel.Body)
			}
		case olderTag:
			found++
			if !rel.Latest {
				t.Error("the older release is not the latest")
			}
		}
	}
	if found != 2 {
		t.Errorf("%d releases of the two", found)
	}
	if code, said := r.back(); code != 0 {
		t.Errorf("once more: %d\n%s", code, said)
	}
}

// TestRollback_Conflicts: what somebody has changed since is not touched; the refusal says what it is and what can be
// done.
func TestRollback_Conflicts(t *testing.T) {
	needTools(t, "git")
	s, r := newRollbackTemplate(t, false).out(t)
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
