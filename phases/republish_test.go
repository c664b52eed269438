package phases

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// raise sets the pkgrel of a package, and commits.
func (s *shop) raise(name, pkgrel string) Commit {
	s.t.Helper()
	for i, p := range s.config.Packages {
		if p.Name == name {
			s.config.Packages[i].PkgRel = pkgrel
		}
	}
	s.git("commit", "-q", "--allow-empty", "-m", "fix: package it again")
	head, err := s.repo.Head()
	s.must(err)
	return head
}

// republish plans a republication.
func (s *shop) republish(base Commit, main *Released, before ...*Released) *Republication {
	s.t.Helper()
	r, err := NewRepublication(s.t.Context(), s.config, s.repo, base, strings.Repeat("1", 64), main, before...)
	s.must(err)
	return r
}

// TestRepublish: a raised pkgrel is one commit of that package alone, once; the next one is another.
func TestRepublish(t *testing.T) {
	t.Parallel()
	s := newShop(t, "", "demo-bin", "demo-deb-bin")
	main := s.release("1.0.0+2")
	head, err := s.repo.Head()
	s.must(err)
	if r := s.republish(head, main); r.Phase != nil || len(r.Packages) > 0 {
		t.Errorf("nothing has changed, and %q would be published", r.Packages)
	}
	r := s.republish(s.raise("demo-deb-bin", "2"), main)
	if !slices.Equal(r.Packages, []string{"demo-deb-bin"}) || r.Env.Version != "1.0.0+2" {
		t.Fatalf("%q of %+v", r.Packages, r.Env)
	}
	before := s.inAUR("demo-deb-bin", "PKGBUILD")
	first, dirs, err := s.run(r.Env, "aur-1", unjudged{r.Phase})
	s.must(err)
	if got := s.shown("demo-deb-bin"); got != "1.0.0-2" || s.commits("demo-deb-bin") != "2" || s.commits("demo-bin") != "1" {
		t.Errorf("the AUR shows %s, %s and %s commits", got, s.commits("demo-deb-bin"), s.commits("demo-bin"))
	}
	if got := s.inAUR("demo-deb-bin", "PKGBUILD"); got != strings.Replace(before, "pkgrel='1'", "pkgrel='2'", 1) {
		t.Errorf("more than pkgrel has changed:\n%s\n%s", before, got)
	}
	if _, err := os.Stat(filepath.Join(dirs.Dist, "demo-1.0.0-x86_64.tar.gz")); err == nil {
		t.Error("what no package needs was fetched")
	}
	if r := s.republish(head, main, first); r.Phase != nil {
		t.Errorf("it was published, and %q would be again", r.Packages)
	}
	r = s.republish(s.raise("demo-deb-bin", "2.1"), main, first)
	second, _, err := s.run(r.Env, "aur-2", unjudged{r.Phase})
	s.must(err)
	if got := s.shown("demo-deb-bin"); got != "1.0.0-2.1" || s.commits("demo-deb-bin") != "3" {
		t.Errorf("the AUR shows %s", got)
	}
	// Back to what was published first: pacman would never take it.
	r = s.republish(s.raise("demo-deb-bin", ""), main, first, second)
	if r.Phase == nil {
		t.Fatal("what was published last is forgotten")
	}
	if _, _, err := s.run(r.Env, "aur-3", unjudged{r.Phase}); err == nil || !strings.Contains(err.Error(), "is not newer for pacman than the published 1.0.0-2.1") {
		t.Errorf("got %v", err)
	}
	// What the release has not published cannot be installed.
	main.Done["build/tarball/demo/amd64"] = pipeline.Record{}
	if _, err := NewRepublication(t.Context(), s.config, s.repo, head, strings.Repeat("1", 64), main); err == nil || !strings.Contains(err.Error(), "has not published demo-1.0.0-x86_64.tar.gz") {
		t.Errorf("got %v", err)
	}
	delete(main.Done, PublishID)
	if _, err := NewRepublication(t.Context(), s.config, s.repo, head, strings.Repeat("1", 64), main); err == nil || !strings.Contains(err.Error(), "not public yet") {
		t.Errorf("got %v", err)
	}
}

// TestRepublish_PowerCut: cut off at any record, before or after it was kept, the next run ends with one commit.
func TestRepublish_PowerCut(t *testing.T) {
	t.Parallel()
	s := newShop(t, "", "demo-bin")
	main := s.release("1.0.0")
	var before []*Released
	for n := 1; ; n++ {
		r := s.republish(s.raise("demo-bin", strconv.Itoa(n+1)), main, before...)
		plan, err := pipeline.NewPlan(t.Context(), r.Env, unjudged{r.Phase})
		s.must(err)
		dir := t.TempDir()
		o := pipeline.Options{Dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")}, Jobs: 1, Endpoints: s.world.Endpoints(plan.Digest)}
		cut := false
		m := &pipelinetest.Memory{Cut: func(at int, _ pipeline.Record) (bool, bool) {
			cut = cut || at == n
			return at == n, n%2 == 0
		}}
		o.Journal = m
		if err := plan.Run(t.Context(), o); (err == nil) == cut {
			t.Fatalf("record %d: cut %v, %v", n, cut, err)
		}
		o.Journal = m.Revive()
		s.must(plan.Run(t.Context(), o))
		done, err := ReadReleased(o.Journal)
		s.must(err)
		if got, want := s.commits("demo-bin"), strconv.Itoa(n+1); got != want {
			t.Errorf("cut off at record %d: %s commits, want %s", n, got, want)
		}
		if rec := done.Done["aur/push/demo-bin"]; rec.Adopted {
			t.Errorf("record %d: our own commit was taken for somebody else's", n)
		}
		before = append(before, done)
		if !cut {
			if n < 10 {
				t.Errorf("a republication has %d records only", n)
			}
			break
		}
	}
}

// hold holds a version, or lets it go, by a plan of its own.
func (s *shop) hold(env pipeline.Env, beside string, lift bool) {
	s.t.Helper()
	phase, err := Hold(s.config, s.repo, env, lift, "it does not start", nil)
	s.must(err)
	_, _, err = s.run(env, beside, phase)
	s.must(err)
}

// TestRepublish_Held: a version that is held is not published again: not when it was held before the gate, and not when
// it was held between the gate and the push. Once let go, the same plan goes on.
func TestRepublish_Held(t *testing.T) {
	t.Parallel()
	s := newShop(t, "", "demo-bin")
	main := s.release("1.0.0")
	s.hold(main.Plan.Env, "hold-1", false)
	r := s.republish(s.raise("demo-bin", "2"), main)
	refused := func(beside, step string) *Released {
		t.Helper()
		done, _, err := s.run(r.Env, beside, unjudged{r.Phase})
		if err == nil || !strings.Contains(err.Error()+done.Failed[step].Error, "it does not start") {
			t.Errorf("got %v, %+v", err, done.Failed)
		}
		if done.Acted("aur/push/demo-bin") || s.commits("demo-bin") != "1" {
			t.Errorf("%s was published all the same", s.shown("demo-bin"))
		}
		return done
	}
	refused("aur-1", "gate/aur")
	s.hold(main.Plan.Env, "hold-2", true)

	// Let go, its gate passes. Cut off there, it is held again.
	plan, err := pipeline.NewPlan(t.Context(), r.Env, unjudged{r.Phase})
	s.must(err)
	dir := t.TempDir()
	m := &pipelinetest.Memory{Cut: func(_ int, rec pipeline.Record) (bool, bool) {
		passed := rec.Step == "gate/aur" && rec.Event == pipeline.Done
		return passed, passed
	}}
	o := pipeline.Options{
		Journal: m, Dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")}, Jobs: 1, Endpoints: s.world.Endpoints(plan.Digest),
	}
	if err := plan.Run(t.Context(), o); err == nil {
		t.Fatal("it was not cut off")
	}
	s.hold(main.Plan.Env, "hold-3", false)
	o.Journal = m.Revive()
	if err := plan.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--lift --reason TEXT lifts it") {
		t.Errorf("got %v", err)
	}
	if n := s.commits("demo-bin"); n != "1" {
		t.Errorf("%s commits", n)
	}
	s.hold(main.Plan.Env, "hold-4", true)
	s.must(plan.Run(t.Context(), o))
	if got := s.shown("demo-bin"); got != "1.0.0-2" || s.commits("demo-bin") != "2" {
		t.Errorf("the AUR shows %s after %s commits", got, s.commits("demo-bin"))
	}
}

// TestRepublish_RolledBack: what reached users by a republication alone is brought back like everything else, from the
// version that is there.
func TestRepublish_RolledBack(t *testing.T) {
	t.Parallel()
	s := newShop(t, "", "demo-bin")
	s.release("1.0.0")
	s.commit("1.1.0")
	s.git("push", "-q", "--force", filepath.Join(s.twins, "origin.git"), "HEAD:refs/heads/main")
	all, err := All(s.config, s.dir)
	s.must(err)
	all = slices.DeleteFunc(all, func(p pipeline.Phase) bool { return p.Name() == AUR })
	main, _, err := s.run(s.env(), "", all...)
	s.must(err)
	if got := main.pushed(); len(got) > 0 {
		t.Fatalf("the release has reached the AUR: %q", got)
	}
	r := s.republish(s.raise("demo-bin", "3"), main)
	again, _, err := s.run(r.Env, "aur-1", unjudged{r.Phase})
	s.must(err)
	again.Name, main.Beside = "aur-1", []*Released{again}
	if got := main.Shipped(); len(got) != 1 || got[0].Version != "1.1.0-3" || got[0].By != "aur-1" || got[0].Commit == "" {
		t.Errorf("%+v", got)
	}
	s.git("fetch", "-q", "--tags", filepath.Join(s.twins, "origin.git"), "main")
	_, _, err = s.correct(main, "1.0.0", false, false)
	s.must(err)
	if got := s.shown("demo-bin"); got != "1.1.0+really1.0.0-1" {
		t.Errorf("the AUR shows %s", got)
	}
}

// TestRepublish_Conflict: somebody else's commit since the gate is shown and never overwritten.
func TestRepublish_Conflict(t *testing.T) {
	t.Parallel()
	s := newShop(t, "", "demo-bin")
	main := s.release("1.0.0")
	r := s.republish(s.raise("demo-bin", "2"), main)
	plan, err := pipeline.NewPlan(t.Context(), r.Env, unjudged{r.Phase})
	s.must(err)
	bare := filepath.Join(s.twins, "aur", "demo-bin.git")
	theirs := func(rec pipeline.Record) {
		if rec.Step == "gate/aur" && rec.Event == pipeline.Done {
			tree := s.git("-C", bare, "rev-parse", "master^{tree}")
			commit := s.git("-C", bare, "commit-tree", tree, "-p", "master", "-m", "theirs")
			s.git("-C", bare, "update-ref", "refs/heads/master", commit)
		}
	}
	dir := t.TempDir()
	err = plan.Run(t.Context(), pipeline.Options{
		Journal: new(pipelinetest.Memory), Dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")}, Jobs: 1,
		Endpoints: s.world.Endpoints(plan.Digest), Observe: theirs,
	})
	if err == nil || !strings.Contains(err.Error(), "somebody else has committed to the AUR repository since the gate") || s.commits("demo-bin") != "2" {
		t.Errorf("%s commits, %v", s.commits("demo-bin"), err)
	}
}

// TestBeyondAUR: packages of format aur and the key aur may differ, nothing else.
func TestBeyondAUR(t *testing.T) {
	t.Parallel()
	s := newShop(t, "", "demo-bin")
	s.commit("1.0.0")
	load := func(old, now string) *Config {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(s.dir, "release.yaml"))
		s.must(err)
		if !strings.Contains(string(text), old) {
			t.Fatalf("no %q", old)
		}
		c, err := Load("release.yaml", []byte(strings.ReplaceAll(string(text), old, now)))
		s.must(err)
		return c
	}
	for _, x := range []struct{ old, now, want string }{
		{"license: MIT, homepage", "pkgrel: 2, license: MIT, homepage", ""},
		{"start: [[/usr/bin/demo, --version]]", "maintainer: ada", ""},
		{"# none", "", ""},
		{"section: utils", "section: misc", "packages"},
		{"github: {owner: acme", "github: {owner: others", "release"},
		{"dst: /etc/demo.conf", "dst: /etc/x.conf", "bundles"},
	} {
		if x.old == "# none" {
			x.old = "project: demo"
			x.now = "# a comment\nproject: demo"
		}
		if got := strings.Join(load(x.old, x.now).BeyondAUR(s.config), " "); got != x.want {
			t.Errorf("%s: %q, want %q", x.now, got, x.want)
		}
	}
}
