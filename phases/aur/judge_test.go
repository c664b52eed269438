package aur

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/aur/judge"
	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// With judges the gate reads what they report, after the sources have been looked at.
func TestPlan(t *testing.T) {
	source := maker{"build/tarball/hello", map[string][]byte{first.tarball(): first.bytes()}}
	rendered, err := first.render("build/aur/" + pkg)
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	phase, err := New(Options{
		RepoDir: "/", Author: author, Judge: true, Needs: []string{"build/tarball/hello"},
		Packages: []Package{{
			Name: pkg, Step: "build/aur/" + pkg, Files: first.artifacts(t), Sources: []judge.Source{{Artifact: first.tarball(), Step: source.id}},
			Config: Config{KnownHosts: "keys/known_hosts", Start: [][]string{{"/usr/bin/hello", "--version"}}},
		}},
		Gate: func(checks []string) (gate.Gate, error) { asked = checks; return anyCheck(checks) },
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := pipeline.NewPlan(t.Context(), first.env(), prepared{source, rendered}, phase)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, sp := range p.Specs {
		ids = append(ids, sp.ID)
		for _, v := range sp.Params {
			if strings.Contains(v, "known_hosts") {
				t.Errorf("%s holds a path of the machine: %q", sp.ID, v)
			}
		}
		if sp.Effect.Outward() && sp.Target != "ssh://aur@aur.archlinux.org/hello-bin.git refs/heads/master" {
			t.Errorf("target %q", sp.Target)
		}
	}
	want := []string{
		"build/tarball/hello", "build/aur/" + pkg, "aur/published/" + pkg, "aur/remote/" + pkg, "aur/lint/" + pkg, "aur/judge/" + pkg,
		"gate/aur", "aur/push/" + pkg, "aur/readback/" + pkg, "proof/aur",
	}
	if !slices.Equal(ids, want) {
		t.Errorf("%q, want %q", ids, want)
	}
	for _, check := range append(judge.Checks(), "published", "newer", "owner", "aur-lint") {
		if !slices.Contains(asked, check) {
			t.Errorf("the gate does not hear of %s: %q", check, asked)
		}
	}
}

// prepared is the phase before, of steps that are there.
type prepared []pipeline.Step

func (prepared) Name() string { return "build" }
func (p prepared) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) {
	return p, nil
}

// asker calls a function as a step would.
type asker struct {
	ask func(context.Context, *pipeline.Workspace) error
}

func (asker) Spec() pipeline.Spec { return pipeline.Spec{ID: "build/ask"} }
func (a asker) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	return nil, a.ask(ctx, ws)
}

// What was published before is found with its sources, for the judge of upgrades.
func TestPrevious(t *testing.T) {
	w := newWorld(t)
	w.publish(first)
	find := previous(subject.Package{Name: pkg, Remote: Config{}.remote(pkg, "/")})
	ask := func(look func(judge.Published)) {
		t.Helper()
		r := w.release(first)
		r.phases = []pipeline.Phase{prepared{asker{func(ctx context.Context, ws *pipeline.Workspace) error {
			p, err := find(ctx, ws)
			if err == nil {
				look(p)
			}
			return err
		}}}}
		r.ends()
	}
	ask(func(p judge.Published) {
		if !p.None {
			t.Errorf("%+v", p)
		}
	})
	w.release(first).ends()
	ask(func(p judge.Published) {
		files, err := first.files()
		if err != nil || p.None || p.Why != "" {
			t.Errorf("%+v %v", p, err)
		}
		for name, want := range files {
			if got, err := os.ReadFile(filepath.Join(p.Files, name)); err != nil || string(got) != string(want) {
				t.Errorf("%s: %q %v", name, got, err)
			}
		}
		if got, err := os.ReadFile(filepath.Join(p.Sources, first.tarball())); err != nil || string(got) != string(first.bytes()) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
	// A hostile tip is laid out as far as it can do no harm.
	files, err := first.files()
	if err != nil {
		t.Fatal(err)
	}
	files["sub/x"], files[".SRCINFO"] = []byte("x"), []byte("pkgbase = hello-bin\n\tpkgver = 1\n\tpkgrel = 1\n\tarch = any\n\tsource = ..::https://example.org/x\n\tsha256sums = "+
		strings.Repeat("a", 64)+"\n\npkgname = hello-bin\n")
	foreign(t, filepath.Join(w.dir, "aur", pkg+".git"), files)
	ask(func(p judge.Published) {
		if _, err := os.Lstat(filepath.Join(p.Files, "sub")); err == nil || !strings.Contains(p.Why, `under the name ".."`) {
			t.Errorf("%+v %v", p, err)
		}
	})
}
