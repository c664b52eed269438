package phases

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/pipeline"
)

// TestCorrection_AsItWas: the older payload comes with what the older release.yaml says of the package: what it needs, what
// pacman runs, and what it installs. Where it is pushed is the newer one's.
func TestCorrection_AsItWas(t *testing.T) {
	t.Parallel()
	s := newShop(t, ", depends: [old-library], optdepends: ['old-tool: for x'], conflicts: [old-rival], keep_build: true, install: arch/demo.install", "demo-bin")
	s.must(os.Mkdir(filepath.Join(s.dir, "arch"), 0o755))
	s.write("arch/demo.install", "post_install() {\n  echo old\n}\n")
	s.release("1.0.0+3")
	was := s.git("rev-parse", "v1.0.0^{commit}")
	s.keys, s.from, s.asks = ", depends: [new-library], provides: [new-name], install: demo.install", "deb:demo", "--new"
	s.write("demo.install", "post_upgrade() {\n  echo new\n}\n")
	s.must(os.RemoveAll(filepath.Join(s.dir, "arch")))
	bad := s.release("1.1.0+4")
	if info := s.inAUR("demo-bin", ".SRCINFO"); !strings.Contains(info, "depends = new-library\n") || !strings.Contains(info, "demo_1.1.0_amd64.deb") {
		t.Fatalf("1.1.0 is\n%s", info)
	}
	done, _, err := s.correct(bad, "1.0.0", false, false)
	s.must(err)
	version := regexp.MustCompile(`(?m)^\t(pkgver = |provides = demo=).*\n`)
	plain := func(commit string) string { return version.ReplaceAllString(s.at("demo-bin", commit, ".SRCINFO"), "") }
	if got, want := plain("master"), plain("master~2"); got != want {
		t.Errorf("the AUR has\n%s\nas 1.0.0 it had\n%s", got, want)
	}
	for _, file := range []string{"demo-bin.install", "LICENSE"} {
		if got, want := s.inAUR("demo-bin", file), s.at("demo-bin", "master~2", file); got != want {
			t.Errorf("%s is\n%s\nand was\n%s", file, got, want)
		}
	}
	if got := s.shown("demo-bin"); got != "1.1.0+really1.0.0+3-1" {
		t.Errorf("the AUR shows %s", got)
	}
	if got := done.param("rollback/pkgbuild/demo-bin", "made from"); got != "the release.yaml of v1.0.0, commit "+was {
		t.Errorf("made from %q", got)
	}
	level, err := aurCorrection(t.Context(), s.fix(bad, "1.0.0"))
	s.must(err)
	for _, st := range level.Before {
		if sp := st.Spec(); strings.Contains(sp.ID, "/judge/") && !strings.Contains(sp.Params["start"], `"--version"`) {
			t.Errorf("its program is started as that of 1.1.0: %s", sp.Params["start"])
		}
	}
}

// TestCorrection_NotAsItWas: where the older release.yaml cannot be had, that of the release is taken, and people are told.
func TestCorrection_NotAsItWas(t *testing.T) {
	t.Parallel()
	s := newShop(t, ", depends: [old-library]", "demo-deb-bin")
	s.commit("0.7.0") // with another package alone
	s.git("tag", "v0.7.0")
	s.keys = ", depends: [x], install: demo.install"
	s.names = []string{"demo-bin"}
	s.commit("0.8.0") // its scriptlet is none
	s.git("tag", "v0.8.0")
	s.keys = ""
	s.commit("0.9.0")
	s.write("release.yaml", "project: demo\nformats: [zip]\n")
	s.git("commit", "-q", "-am", "an older schema")
	s.git("tag", "v0.9.0")
	s.git("rm", "-q", "release.yaml")
	s.git("commit", "-q", "-m", "none")
	s.git("tag", "v0.9.1")
	s.keys = ", depends: [new-library]"
	s.commit("1.1.0")
	bad := &Released{Plan: &pipeline.Plan{Env: s.env()}, Done: map[string]pipeline.Record{"aur/push/demo-bin": {Receipt: pipeline.Receipt{"version": "1.1.0-1"}}}}
	bad.Plan.Specs = []pipeline.Spec{{ID: "aur/push/demo-bin", Effect: pipeline.Permanent}}
	if len(bad.Pushed()) != 1 {
		t.Fatalf("pushed: %+v", bad.Pushed())
	}
	for to, want := range map[string]string{
		"0.5.0": "no tag v0.5.0 is in this clone: git fetch --tags, then the same with --to 0.5.0 --amend",
		"0.7.0": "its release.yaml makes no such AUR package",
		"0.8.0": `cannot read "demo.install" at commit`,
		"0.9.0": "this slipway cannot read the release.yaml of that time",
		"0.9.1": `cannot read "release.yaml" at commit`,
	} {
		level, err := aurCorrection(t.Context(), s.fix(bad, to))
		s.must(err)
		for _, part := range []string{want, "demo-bin gets the older program with the dependencies, conflicts and install scriptlet of 1.1.0", "aur as " + to + " had it: "} {
			if len(level.Unlike) != 1 || !strings.Contains(level.Unlike[0], part) || strings.Contains(level.Unlike[0], "\n") {
				t.Errorf("%s: want %q in %q", to, part, level.Unlike)
			}
		}
		params := renderOf(level).Params
		if !strings.Contains(params["config"], "new-library") || !strings.HasPrefix(params["made from"], "the release.yaml of 1.1.0, with its dependencies: ") || !strings.Contains(params["made from"], want) {
			t.Errorf("%s: %v", to, params)
		}
	}
}

// TestCorrection_MovedTag: who can move a tag does not choose what users of the AUR get: only what belongs to the history of
// the release counts.
func TestCorrection_MovedTag(t *testing.T) {
	t.Parallel()
	s := newShop(t, ", depends: [old-library]", "demo-bin")
	s.release("1.0.0")
	was := s.git("rev-parse", "v1.0.0^{commit}")
	s.keys = ", depends: [new-library]"
	bad := s.release("1.1.0")
	main := s.git("rev-parse", "main")
	evil := func(args ...string) {
		keys, config := s.keys, s.config
		defer func() { s.keys, s.config = keys, config }()
		s.git(append([]string{"checkout", "-q"}, args...)...)
		s.keys = ", depends: [evil-library]"
		s.commit("1.0.0")
		s.git("tag", "-f", "v1.0.0")
		s.git("checkout", "-q", "-f", "main")
	}
	evil(was)
	level, err := aurCorrection(t.Context(), s.fix(bad, "1.0.0"))
	s.must(err)
	if params := renderOf(level).Params; !strings.Contains(params["config"], "old-library") || !strings.HasSuffix(params["made from"], "commit "+was) || len(level.Unlike) > 0 {
		t.Errorf("beside the history: %v, %q", params, level.Unlike)
	}
	evil("--orphan", "own")
	level, err = aurCorrection(t.Context(), s.fix(bad, "1.0.0"))
	s.must(err)
	if params := renderOf(level).Params; !strings.Contains(params["config"], "new-library") || len(level.Unlike) != 1 || !strings.Contains(level.Unlike[0], "tag v1.0.0 is no part of the history of 1.1.0") {
		t.Errorf("an orphan: %v, %q", params, level.Unlike)
	}
	if now := s.git("rev-parse", "main"); now != main {
		t.Fatal("main was moved")
	}
}

// TestRollback_MadeFrom: a rollback goes on with what it was begun with, whatever tags come or go; where that is not here,
// it says how it comes.
func TestRollback_MadeFrom(t *testing.T) {
	t.Parallel()
	s := newShop(t, ", depends: [old-library]", "demo-bin")
	s.release("1.0.0+2")
	was := s.git("rev-parse", "v1.0.0^{commit}")
	s.keys = ", depends: [new-library]"
	bad := s.release("1.1.0+3")
	plan := func(o RollbackOptions) (*pipeline.Plan, *Rollback) {
		t.Helper()
		r, err := NewRollback(t.Context(), s.config, s.repo, bad, o, nil)
		s.must(err)
		p, err := pipeline.NewPlan(t.Context(), r.Env, r.Phase)
		s.must(err)
		return p, r
	}
	asked := func(p *pipeline.Plan) RollbackOptions {
		t.Helper()
		o, ok := RollbackAsked(p)
		if !ok {
			t.Fatal("this is no rollback")
		}
		return o
	}
	with, r := plan(RollbackOptions{To: "1.0.0"})
	if o := asked(with); o.MadeFrom != was || o.Payload != "1.0.0+2" || len(r.LeftOut) > 0 {
		t.Errorf("%+v, left out %q", o, r.LeftOut)
	}
	tag := s.git("rev-parse", "v1.0.0")
	s.git("tag", "-d", "v1.0.0")
	without, r := plan(RollbackOptions{To: "1.0.0"})
	if len(r.LeftOut) != 1 || !strings.Contains(r.LeftOut[0], "no tag v1.0.0 is in this clone") || asked(without).MadeFrom == "" {
		t.Errorf("left out %q", r.LeftOut)
	}
	for _, gone := range []bool{true, false} {
		if !gone {
			s.git("update-ref", "refs/tags/v1.0.0", tag)
		}
		for _, began := range []*pipeline.Plan{with, without} {
			if now, r := plan(asked(began)); now.Digest != began.Digest || len(r.LeftOut) > 0 != (began == without) {
				t.Errorf("tag gone %v: made from %q, and goes on from %q", gone, asked(began).MadeFrom, asked(now).MadeFrom)
			}
		}
	}
	o := asked(with)
	o.MadeFrom = strings.Repeat("ab", 20)
	_, err := NewRollback(t.Context(), s.config, s.repo, bad, o, nil)
	if !errors.Is(err, ErrNotHere) || !strings.Contains(err.Error(), "begun with the release.yaml of v1.0.0 at commit abababababab: this clone does not have it: git fetch --tags") {
		t.Errorf("got %v", err)
	}
	// In a rehearsal the older version is released with the release.yaml of today.
	s.config = RehearsedConfig(s.config)
	_, r = plan(RollbackOptions{To: "1.0.0"})
	steps, err := r.Phase.Plan(t.Context(), &r.Env)
	s.must(err)
	if params := renderOf(aurLevel{Before: steps}).Params; !strings.Contains(params["config"], "new-library") || len(r.LeftOut) > 0 {
		t.Errorf("%v, left out %q", params, r.LeftOut)
	}
}

// renderOf is the step that makes demo-bin's files.
func renderOf(level aurLevel) pipeline.Spec {
	for _, s := range level.Before {
		if sp := s.Spec(); sp.ID == "rollback/pkgbuild/demo-bin" {
			return sp
		}
	}
	return pipeline.Spec{}
}
