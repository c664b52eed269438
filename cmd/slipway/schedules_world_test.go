package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// The worlds of TestSchedules: 0.0.9 is out, on GitHub and where there is one in the AUR, and 0.1.0 is built.

const older = "0.0.9"

// kind says what a world is like.
type kind struct{ aur, immutable bool }

func (k kind) String() string {
	name := "github"
	if k.aur {
		name += "+aur"
	}
	if k.immutable {
		name += ", immutable releases"
	}
	return name
}

// grounds is what schedules of a kind begin with, to be copied.
type grounds struct {
	*template
	aur      bool
	assets   map[string]map[string]string // SHA-256 by name of what each release should have, by tag
	older    map[string][]byte            // the older release's
	olderAUR string                       // a clone of what the AUR has of it
	judged   *judgements
}

// newGrounds makes the repository with two versions, both built.
func newGrounds(t *testing.T, aur bool) *grounds {
	t.Helper()
	dir := filepath.Join(t.TempDir(), project)
	out := &grounds{template: &template{dir: dir}, aur: aur, older: map[string][]byte{}, assets: map[string]map[string]string{}, judged: &judgements{}}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(scripts, "hello"))); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "release.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("source: VERSION,"), []byte("source: VERSION, carriers: [app.json],"), 1)
	text = append(bytes.TrimRight(text, "\n"), fmt.Sprintf(releaseKeys, "")...)
	if aur {
		text = append(text, aurKeys...)
	}
	write("release.yaml", string(text))
	gitIn(t, dir, "init", "-q", "-b", "main")
	for _, v := range []string{older, released} {
		write("VERSION", v+"\n")
		write("app.json", fmt.Sprintf("{\"version\": %q, \"git_commit\": \"development\"}\n", v))
		write("hello.sh", "#!/bin/sh\necho hello "+v+"\n")
		gitIn(t, dir, "add", "-A")
		gitIn(t, dir, "commit", "-q", "-m", "feat: greet "+v)
		if v == older {
			gitIn(t, dir, "tag", "-a", "-m", v, olderTag)
		}
		if code, said := (&trial{t: t, dir: dir}).slipway("run", "--phase", "build"); code != 0 {
			t.Fatalf("exit code %d: %s", code, said)
		}
		sums := digests(t, filepath.Join(dir, "dist", v))
		delete(sums, "notes.md")
		sums["LICENSE"] = digests(t, dir)["LICENSE"]
		if out.assets["v"+v] = sums; len(sums) != 4 {
			t.Fatalf("%s: assets %v", v, sums)
		}
		if v == older {
			out.putAside(t, sums)
		}
	}
	out.open(t)
	return out
}

// putAside takes what the older version's build has made out of the repository.
func (x *grounds) putAside(t *testing.T, assets map[string]string) {
	t.Helper()
	dist := filepath.Join(x.dir, "dist", older)
	for name := range assets {
		from := filepath.Join(dist, name)
		if name == "LICENSE" {
			from = filepath.Join(x.dir, name)
		}
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		x.older[name] = b
	}
	if x.aur {
		x.olderAUR = filepath.Join(t.TempDir(), aurName)
		if err := os.CopyFS(x.olderAUR, os.DirFS(filepath.Join(dist, "aur", aurName))); err != nil {
			t.Fatal(err)
		}
		gitIn(t, x.olderAUR, "init", "-q", "-b", "master")
		gitIn(t, x.olderAUR, "add", "-A")
		gitIn(t, x.olderAUR, "commit", "-q", "-m", older)
	}
	for _, dir := range []string{".slipway", "dist"} {
		if err := os.RemoveAll(filepath.Join(x.dir, dir)); err != nil {
			t.Fatal(err)
		}
	}
}

// stage stages a world in which the older version is out.
func (x *grounds) stage(t *testing.T, immutable bool) *stage {
	t.Helper()
	s := stageWith(t, x.template, func(o *phases.RehearsalOptions) { o.Twins.Immutable = immutable })
	var made struct {
		ID int64 `json:"id"`
	}
	root := "repos/" + owner + "/" + project + "/releases"
	s.call(http.MethodPost, "https://api.github.com/"+root, `{"tag_name": "`+olderTag+`", "draft": true}`, &made)
	for name, b := range x.older {
		s.call(http.MethodPost, fmt.Sprintf("https://uploads.github.com/%s/%d/assets?name=%s", root, made.ID, name), string(b), nil)
	}
	s.call(http.MethodPatch, fmt.Sprintf("https://api.github.com/%s/%d", root, made.ID), `{"draft": false}`, nil)
	if x.aur {
		s.pushAUR(x.olderAUR)
	}
	return s
}

// pushAUR pushes a clone to the AUR's twin with the programs that people use.
func (s *stage) pushAUR(clone string) {
	s.t.Helper()
	url := ""
	for name, at := range s.Map.Git {
		if strings.Contains(name, aurName) {
			url = at
		}
	}
	cmd := exec.CommandContext(s.t.Context(), "git", "push", "-q", url, "HEAD:master")
	cmd.Dir = clone
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		fmt.Sprintf("GIT_SSH_COMMAND=ssh -F none -i '%s' -o IdentitiesOnly=yes -o UserKnownHostsFile='%s' -o StrictHostKeyChecking=yes", s.Map.SSHKey, s.Map.KnownHosts),
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("git push: %v: %s", err, out)
	}
}

// judgements are what the AUR's judges said, by what was asked of the program. They take some ten seconds to look at a
// package, and the packages of all schedules are the same bytes: so they look once, and what they said is put into the
// journals where it would come to stand. The program counts it only while it is about the very same files.
type judgements struct {
	mu   sync.Mutex
	said map[string]pipeline.Record
}

// The ways to ask for a package.
const (
	byRun, byRollback, byEpoch = "aur/judge/" + aurName, "rollback/judge/" + aurName, "rollback/judge/" + aurName + " --epoch"
)

// judge lets the judges look at the packages of these ways, by the real program.
func (x *grounds) judge(t *testing.T, ways []string) {
	t.Helper()
	x.judged.said = map[string]pipeline.Record{}
	if !x.aur {
		return
	}
	keep := func(way, dir string) {
		step, _, _ := strings.Cut(way, " ")
		for rec, err := range journal.Read(dir).Records() {
			if err != nil {
				t.Fatal(err)
			}
			if rec.Step == step && rec.Event == pipeline.Done {
				x.judged.said[way] = rec
			}
		}
		if x.judged.said[way].Step == "" {
			t.Fatalf("%s was not judged", way)
		}
	}
	for _, way := range append([]string{byRollback}, ways...) {
		if x.judged.said[way].Step != "" || way == byRun {
			continue
		}
		s := x.stage(t, false)
		r := s.trial(x.template)
		x.judged.seed(t, byRun, r.journalDir(), nil)
		if code, said := r.run(); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, said)
		}
		keep(byRun, r.journalDir())
		if !slices.Contains(ways, way) {
			continue // nobody rolls anything back
		}
		args := []string{"--to", older}
		if way == byEpoch {
			args = append(args, "--epoch")
		}
		if code, said := r.back(args...); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, said)
		}
		keep(way, filepath.Join(r.journalDir(), "rollback-1"))
	}
}

// seed puts what the judges said of a package into a journal that does not have it yet. With a plan the journal is begun.
func (x *judgements) seed(t *testing.T, way, dir string, plan *pipeline.Plan) {
	t.Helper()
	x.mu.Lock()
	said, known := x.said[way]
	x.mu.Unlock()
	if !known {
		return
	}
	begun := false
	for rec, err := range journal.Read(dir).Records() {
		if err != nil || rec.Step == said.Step {
			return
		}
		begun, said.Run, said.Plan = true, rec.Run, rec.Plan
		if rec.Planned != nil {
			plan = rec.Planned
		}
	}
	var add []pipeline.Record
	if !begun {
		said.Run, said.Plan = fmt.Sprintf("%.16s", plan.Digest), plan.Digest
		add = append(add, pipeline.Record{Event: pipeline.Begin, Time: time.Now().UTC(), Run: said.Run, Plan: plan.Digest, Planned: plan})
	}
	i := slices.IndexFunc(plan.Specs, func(sp pipeline.Spec) bool { return sp.ID == said.Step })
	if i < 0 || gate.Sum(plan.Specs[i]) != said.Spec {
		return // it does not go to the AUR, or with other bytes
	}
	j, err := journal.Open(dir)
	if errors.Is(err, journal.ErrLocked) {
		return
	}
	for _, rec := range append(add, said) {
		if err == nil {
			err = j.Append(rec)
		}
	}
	if err == nil {
		err = j.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// seedRollback does that for a rollback that is about to be begun with these arguments.
func (x *judgements) seedRollback(t *testing.T, r *trial, args ...string) {
	t.Helper()
	way := byRollback
	if slices.Contains(args, "--epoch") {
		way = byEpoch
	}
	if _, known := x.said[way]; !known {
		return
	}
	n := newest(r.journalDir(), "rollback")
	c := r.start(append([]string{"rollback", released, "--dry-run", "--json"}, args...)...)
	if code := c.wait(); code != 0 {
		return // what it says, it says again
	}
	var plan *pipeline.Plan
	for lines := json.NewDecoder(&c.out); plan == nil || plan.Digest == ""; { // among warnings
		plan = nil
		if err := lines.Decode(&plan); err != nil {
			return // it would be unwound
		}
	}
	if n > 0 {
		old, over := standing(filepath.Join(r.journalDir(), fmt.Sprintf("rollback-%d", n)))
		if old != nil && (!over || old.Digest == plan.Digest) {
			return // that one goes on
		}
		if old != nil {
			n++
		}
	}
	x.seed(t, way, filepath.Join(r.journalDir(), fmt.Sprintf("rollback-%d", max(n, 1))), plan)
}

// newest is the highest number of the folders of a kind beside a journal.
func newest(dir, kind string) (n int) {
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	for _, e := range list {
		if text, ok := strings.CutPrefix(e.Name(), kind+"-"); ok {
			if i, err := strconv.Atoi(text); err == nil {
				n = max(n, i)
			}
		}
	}
	return n
}

// standing reads a journal: its plan, and whether its last step is done.
func standing(dir string) (plan *pipeline.Plan, over bool) {
	done := map[string]bool{}
	for rec, err := range journal.Read(dir).Records() {
		if err != nil {
			return plan, false
		}
		if rec.Planned != nil {
			plan = rec.Planned
		}
		if rec.Step != "" && rec.Event != pipeline.Stated {
			done[rec.Step] = rec.Event == pipeline.Done
		}
	}
	return plan, plan != nil && len(plan.Specs) > 0 && done[plan.Specs[len(plan.Specs)-1].ID]
}
