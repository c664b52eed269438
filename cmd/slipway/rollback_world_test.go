package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// past is a release that is out, on GitHub and in the AUR, like an older one before it. What is spent on its packages and
// its judges is spent once: the world is kept, and each trial gets one of its own that is the same.
type past struct {
	*template // the clone that has the release's journal
	older     string
	origin    string // bare repository; "" while the release is not out
	aur       string // likewise
	release   made
	assets    []string // files, in the order in which they were uploaded
	// unpublished: the worlds to come have the newer one on GitHub, and not in the AUR.
	unpublished bool
}

// made is what GitHub says of a release.
type made struct {
	ID     int64  `json:"id"`
	Tag    string `json:"tag_name"`
	Target string `json:"target_commitish"`
	Name   string `json:"name"`
	Body   string `json:"body"`
	Assets []struct {
		ID   int64  `json:"id"`
		Name string `json:"name"`
	} `json:"assets"`
}

const releasesURL = "repos/" + owner + "/" + project + "/releases"

// past builds the older version of a template.
func (x *template) past(t *testing.T) *past {
	t.Helper()
	p := &past{template: x, older: filepath.Join(t.TempDir(), project)}
	copyTree(t, x.dir, p.older)
	gitIn(t, p.older, "checkout", "-q", olderTag)
	if code, said := (&trial{t: t, dir: p.older}).slipway("run", "--phase", "build"); code != 0 {
		t.Fatalf("exit code %d: %s", code, said)
	}
	return p
}

// newPast releases both.
func newPast(t *testing.T) *past {
	t.Helper()
	needTools(t, append([]string{"git", "ssh"}, judges...)...)
	x := newRollbackTemplate(t, true)
	p := x.past(t)
	s := p.stage(t)
	r := s.trial(x)
	if code, said := r.run(); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	var list []made
	s.call(http.MethodGet, "https://api.github.com/"+releasesURL, "", &list)
	for _, m := range list {
		if m.Tag == tagName {
			p.release = m
		}
	}
	for _, a := range p.release.Assets {
		file := filepath.Join(r.dir, "dist", released, a.Name)
		if _, err := os.Stat(file); err != nil {
			file = filepath.Join(r.dir, a.Name)
		}
		p.assets = append(p.assets, file)
	}
	if len(p.assets) != 4 {
		t.Fatalf("released: %+v", list)
	}
	kept := t.TempDir()
	p.origin, p.aur = filepath.Join(kept, "origin.git"), filepath.Join(kept, "aur.git")
	copyTree(t, filepath.Join(s.dir, "origin.git"), p.origin)
	copyTree(t, filepath.Join(s.dir, "aur", aurName+".git"), p.aur)
	p.template = &template{dir: r.dir}
	p.open(t)
	p.base, p.repo = x.base, x.repo
	return p
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// stage stages a world in which the older release is out, and the newer one if it ever was.
func (p *past) stage(t *testing.T, change ...func(*phases.RehearsalOptions)) *stage {
	t.Helper()
	s := stageWith(t, p.template, change...)
	older := []string{}
	for name := range digests(t, filepath.Join(p.older, "dist", "0.0.9")) {
		if name != "notes.md" {
			older = append(older, filepath.Join(p.older, "dist", "0.0.9", name))
		}
	}
	s.publish(made{Tag: olderTag}, older)
	if p.origin == "" {
		dir := t.TempDir()
		copyTree(t, filepath.Join(p.older, "dist", "0.0.9", "aur", aurName)+"/.", dir)
		gitIn(t, dir, "init", "-q", "-b", "master")
		gitIn(t, dir, "add", "-A")
		gitIn(t, dir, "commit", "-q", "-m", "0.0.9")
		s.toAUR(dir, "master")
		return s
	}
	s.origin("fetch", "-q", p.origin, "+refs/*:refs/*")
	s.toAUR(p.aur, "master~1")
	if !p.unpublished {
		s.toAUR(p.aur, "master")
	}
	if id := s.publish(p.release, p.assets); id != p.release.ID {
		t.Fatalf("the release has id %d, and had %d", id, p.release.ID)
	}
	return s
}

// publish publishes a release on GitHub.
func (s *stage) publish(m made, files []string) (id int64) {
	s.t.Helper()
	body, err := json.Marshal(map[string]any{"tag_name": m.Tag, "target_commitish": cmp.Or(m.Target, "main"), "name": m.Name, "body": m.Body, "draft": true})
	if err != nil {
		s.t.Fatal(err)
	}
	var got made
	s.call(http.MethodPost, "https://api.github.com/"+releasesURL, string(body), &got)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		s.call(http.MethodPost, fmt.Sprintf("https://uploads.github.com/%s/%d/assets?name=%s", releasesURL, got.ID, filepath.Base(file)), string(b), nil)
	}
	s.call(http.MethodPatch, fmt.Sprintf("https://api.github.com/%s/%d", releasesURL, got.ID), `{"draft": false, "make_latest": "true"}`, nil)
	return got.ID
}

// toAUR pushes a commit of a repository as the package's maintainer.
func (s *stage) toAUR(dir, commit string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "git", "push", "-q", s.Map.Git["ssh://aur@aur.archlinux.org/"+aurName+".git"], commit+":refs/heads/master")
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_SSH_COMMAND=ssh -F /dev/null -o IdentitiesOnly=yes -o GlobalKnownHostsFile=/dev/null -o UserKnownHostsFile=" + s.Map.KnownHosts + " -i " + s.Map.SSHKey,
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("git push to the AUR: %v: %s", err, out)
	}
}

// gated is a rollback that has passed its gate, in a clone.
type gated struct {
	*template
	args     []string
	records  []pipeline.Record // of the whole rollback
	passed   int               // how many of them there are when the gate has passed
	mutating []string          // what it does to the world: see [stage.mutating]
}

// gated rolls the release back in a world of its own, and takes what the judges have cost for all trials: the journal is
// cut behind its gate, as if the program had been killed there.
func (p *past) gated(t *testing.T, w way) *gated {
	t.Helper()
	s := p.stage(t, w.stage)
	r := s.trial(p.template)
	g := &gated{template: &template{dir: r.dir}, args: w.args}
	var served time.Time
	s.on = func(what string, op any) {
		if strings.HasPrefix(what, "aur handled") && reflect.ValueOf(op).FieldByName("Service").String() == "receive-pack" {
			served = time.Now()
		}
	}
	if code, said := r.slipway(g.command()...); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	s.mu.Lock()
	s.on = nil
	s.mu.Unlock()
	s.ended(r, w.want)
	g.records = backRecords(t, r)
	g.inTime(t, served)
	g.passed = 1 + slices.IndexFunc(g.records, func(rec pipeline.Record) bool { return rec.Step == "gate/rollback" && rec.Event == pipeline.Done })
	if g.passed == 0 {
		t.Fatal("gate/rollback has not passed")
	}
	dir := filepath.Join(r.journalDir(), "rollback-1")
	text, err := os.ReadFile(filepath.Join(dir, journal.FileName))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, journal.FileName), bytes.Join(bytes.SplitAfter(text, []byte("\n"))[:g.passed], nil), 0o644)
	}
	if err == nil {
		err = os.Remove(filepath.Join(dir, "postmortem.md"))
	}
	if err != nil {
		t.Fatal(err)
	}
	g.open(t)
	// What it did to the world, without what came before its gate.
	s = p.stage(t, w.stage)
	r = s.trial(g.template)
	from := s.mark()
	if code, said := r.slipway(g.command()...); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	s.ended(r, w.want)
	g.mutating = s.mutating(from)
	return g
}

// inTime demands that whatever takes time has come before the gate, and tells how long users had to wait after it.
func (g *gated) inTime(t *testing.T, served time.Time) {
	t.Helper()
	var passed time.Time
	looked := map[string]bool{}
	for _, rec := range g.records {
		if rec.Event != pipeline.Done {
			continue
		}
		step := strings.Split(rec.Step+"/", "/")[1]
		if looked[step] = true; rec.Step == "gate/rollback" {
			passed = rec.Time
			for _, first := range []string{"standing", "older", "fetch", "published", "remote", "lint", "judge"} {
				if !looked[first] {
					t.Errorf("rollback/%s has not come before the gate", first)
				}
			}
		}
		if acts := slices.Contains([]string{"push", "withdraw", "latest", "revert", "hold"}, step); acts && passed.IsZero() || step == "judge" && !passed.IsZero() {
			t.Errorf("%s is on the wrong side of the gate", rec.Step)
		}
	}
	t.Logf("the AUR served the correction %v after gate/rollback had passed", served.Sub(passed).Round(time.Millisecond))
}

// command is the rollback's.
func (g *gated) command() []string {
	return append([]string{"rollback", released, "--yes", "--jobs", "2"}, g.args...)
}

// mutating are the operations of a stage's twins that change something, from one on, as "TWIN MOMENT +N" with N counted
// from there.
func (s *stage) mutating(from mark) (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, what := range s.seen[from.at:] {
		var n int
		f := strings.Fields(what)
		if _, err := fmt.Sscanf(f[2], "#%d", &n); err != nil {
			s.t.Fatal(err)
		}
		change := f[3] == http.MethodPatch || f[3] == http.MethodPost || f[3] == http.MethodDelete || f[3] == http.MethodPut
		if change || f[0] != "github" && strings.Contains(what, "receive-pack") {
			list = append(list, fmt.Sprintf("%s %s +%d", f[0], f[1], n-from.seq[f[0]]))
		}
	}
	return list
}

// mark is a moment of a stage: how many operations each twin has had.
type mark struct {
	at  int
	seq map[string]int
}

// mark remembers how far the twins are.
func (s *stage) mark() mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := mark{len(s.seen), map[string]int{}}
	for _, what := range s.seen {
		var n int
		f := strings.Fields(what)
		if _, err := fmt.Sscanf(f[2], "#%d", &n); err == nil {
			m.seq[f[0]] = max(n, m.seq[f[0]])
		}
	}
	return m
}
