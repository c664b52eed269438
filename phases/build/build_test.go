//go:build unix

package build

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// TestBuild makes all packages of the fixture: the gate passes, with evidence of each of them, and in them is what
// should be.
func TestBuild(t *testing.T) {
	p, s := demo(t)
	for _, ss := range s.Steps {
		if ss.Last.Event != pipeline.Done {
			t.Errorf("%s: %s %s", ss.Spec.ID, ss.Last.Event, ss.Last.Error)
		}
	}
	var made []string
	must(t, filepath.WalkDir(p.dirs().Dist, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, rerr := filepath.Rel(p.dirs().Dist, path)
			made, err = append(made, filepath.ToSlash(rel)), rerr
		}
		return err
	}))
	golden(t, "files", strings.Join(made, "\n")+"\n")

	f, err := os.Open(p.path("demo-1.2.3-x86_64.tar.gz"))
	must(t, err)
	defer f.Close()
	entries, err := archive.ReadTarGz(t.Context(), f, archive.Limits{Entries: 100, Bytes: 1 << 30}, nil)
	must(t, err)
	golden(t, "tarball", listing(entries))

	d, err := os.Open(p.path("demo_1.2.3_arm64.deb"))
	must(t, err)
	defer d.Close()
	pkg, err := archive.ReadDeb(t.Context(), d, archive.Limits{Entries: 100, Bytes: 1 << 30}, nil)
	must(t, err)
	text := listing(pkg.Members) + listing(pkg.Entries)
	for _, field := range pkg.Control {
		if field.Name == "Installed-Size" {
			field.Value = "KiB"
		}
		text += field.Name + ": " + field.Value + "\n"
	}
	golden(t, "deb", text)

	for _, name := range []string{"PKGBUILD", ".SRCINFO", "LICENSE"} {
		b, err := os.ReadFile(p.path("aur/demo-bin/" + name))
		must(t, err)
		golden(t, strings.TrimPrefix(name, "."), digestRE.ReplaceAllString(string(b), "DIGEST"))
	}
	b, err := os.ReadFile(p.path("SHA256SUMS"))
	must(t, err)
	golden(t, "SHA256SUMS", digestRE.ReplaceAllString(string(b), "DIGEST"))

	for step, want := range map[string]string{
		"build/inspect/demo-1.2.3-x86_64.tar.gz":  "13 files, folders and links with listing ",
		"build/inspect/demo-1.2.3-aarch64.tar.gz": "13 files, folders and links with listing ",
		"build/inspect/demo_1.2.3_amd64.deb":      "demo 1.2.3-1 for amd64, 18 files, folders and links with listing ",
		"build/inspect/demo_1.2.3_arm64.deb":      "demo 1.2.3-1 for arm64, 18 files, folders and links with listing ",
		"build/inspect/SHA256SUMS":                "the SHA-256 of 4 packages, in SHA256SUMS and one file each",
		"build/inspect/demo-bin":                  "demo-bin 1.2.3-1, PKGBUILD and .SRCINFO of one model, with the SHA-256 of 2 packages",
	} {
		e := evidence(t, s, step)
		if e.Verdict != gate.Pass || !strings.HasPrefix(e.Expected, want) || e.Found != e.Expected || len(e.Expected)+len(e.Summary) > 1000 {
			t.Errorf("%s: %+v", step, e)
		}
		for _, ref := range stepOf(s, step).Spec.Inputs {
			name := strings.TrimPrefix(ref, "artifact:")
			if strings.HasPrefix(name, "work/") {
				continue
			}
			if digest, ok := e.Subjects[name]; !ok || digest != artifact(s, name).SHA256 {
				t.Errorf("%s: subject %s is %q", step, name, digest)
			}
		}
	}
}

var digestRE = regexp.MustCompile(`[0-9a-f]{64}`)

// listing leaves out the sizes of what a compiler made, and of what says how large that is.
func listing(entries []archive.Entry) string {
	entries = slices.Clone(entries)
	for i, e := range entries {
		if strings.HasSuffix(e.Path, "bin/demo") || e.Path == "control" {
			entries[i].Size = 0
		}
	}
	return archive.Listing(entries)
}

func stepOf(s *pipeline.Survey, id string) pipeline.StepState {
	return s.Steps[slices.IndexFunc(s.Steps, func(ss pipeline.StepState) bool { return ss.Spec.ID == id })]
}

func artifact(s *pipeline.Survey, name string) (found pipeline.Artifact) {
	for _, ss := range s.Steps {
		for _, a := range ss.Last.Artifacts {
			if a.Name == name {
				found = a
			}
		}
	}
	return found
}

// TestBuild_Again runs once more with nothing changed: nothing is written.
func TestBuild_Again(t *testing.T) {
	p := newProject(t, prebuiltConfig(), sourceFiles)
	_, err := p.run(t.Context())
	must(t, err)
	before, err := os.ReadFile(filepath.Join(p.work, ".slipway", journal.FileName))
	must(t, err)
	info, err := os.Stat(p.path("demo_1.2.3_amd64.deb"))
	must(t, err)
	_, err = p.run(t.Context())
	must(t, err)
	after, err := os.ReadFile(filepath.Join(p.work, ".slipway", journal.FileName))
	must(t, err)
	if string(before) != string(after) {
		t.Errorf("the journal has grown:\n%s", after[min(len(before), len(after)):])
	}
	again, err := os.Stat(p.path("demo_1.2.3_amd64.deb"))
	must(t, err)
	if !os.SameFile(info, again) {
		t.Error("the package was made again")
	}
}

// TestBuild_Interrupted: nothing half-made has a final name, and the next run goes on.
func TestBuild_Interrupted(t *testing.T) {
	p := newProject(t, prebuiltConfig(), sourceFiles)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(p.dirs().Dist); err == nil {
		t.Error("something was left")
	}
	_, err := p.run(t.Context())
	must(t, err)
}

// TestPlan: the plan is data, equal each time, and says nothing of this machine.
func TestPlan(t *testing.T) {
	t.Parallel()
	p := newProject(t, demoConfig(), sourceFiles)
	a, err := p.plan(t.Context())
	must(t, err)
	b, err := p.plan(t.Context())
	must(t, err)
	if a.Digest != b.Digest {
		t.Error("two plans differ")
	}
	text, err := json.Marshal(a)
	must(t, err)
	home, _ := os.UserHomeDir()
	for _, word := range []string{p.repo, p.work, home, os.TempDir()} {
		if word != "/" && word != "" && strings.Contains(string(text), word) {
			t.Errorf("the plan holds %q", word)
		}
	}
	var ids []string
	for _, sp := range a.Specs {
		ids = append(ids, sp.ID)
	}
	golden(t, "plan", strings.Join(ids, "\n")+"\n")
	if left, err := os.ReadDir(p.repo); err != nil || len(left) != len(map[string]bool{"LICENSE": true, "README.md": true, "cmd": true, "docs": true, "go.mod": true, "tool.sh": true}) {
		t.Errorf("planning left something: %v %v", left, err)
	}
	// Whatever decides the bytes is in the digest.
	for name, edit := range map[string]func(*Config, *pipeline.Env){
		"version": func(_ *Config, e *pipeline.Env) { e.Version = "1.2.4" },
		"ldflags": func(c *Config, _ *pipeline.Env) {
			c.Components["demo"] = component.Config{Builder: component.Go, Package: "./cmd/demo", Arch: []string{"amd64", "arm64"}}
		},
		"contents": func(c *Config, _ *pipeline.Env) {
			b := c.Bundles["demo"]
			b.Contents = slices.Clone(b.Contents)
			b.Contents[1].Dst = "share/licenses/demo/COPYING"
			c.Bundles["demo"] = b
		},
		"forbidden":   func(c *Config, _ *pipeline.Env) { b := c.Bundles["demo"]; b.Forbidden = nil; c.Bundles["demo"] = b },
		"section":     func(c *Config, _ *pipeline.Env) { c.Packages[1].Section = "net" },
		"compression": func(c *Config, _ *pipeline.Env) { c.Packages[1].Compression = "gzip:1" },
		"revision":    func(c *Config, _ *pipeline.Env) { c.Packages[1].Revision = 2 },
		"url":         func(c *Config, _ *pipeline.Env) { c.Packages[2].URL = "https://demo.example/other/" },
		"pkgrel":      func(c *Config, _ *pipeline.Env) { c.Packages[2].PkgRel = "2" },
		"gate":        func(c *Config, _ *pipeline.Env) { c.Gate = &GateConfig{Approve: "lead"} },
	} {
		q := newProject(t, demoConfig(), sourceFiles)
		edit(&q.cfg, &q.env)
		c, err := q.plan(t.Context())
		must(t, err)
		if c.Digest == a.Digest {
			t.Errorf("%s is not part of the plan", name)
		}
	}
}

func TestGate(t *testing.T) {
	t.Parallel()
	gateOf := func(c *GateConfig) (gate.State, error) {
		p := newProject(t, demoConfig(), sourceFiles)
		p.cfg.Gate = c
		plan, err := p.plan(t.Context())
		if err != nil {
			return gate.State{}, err
		}
		s, err := plan.Survey(pipeline.Options{Journal: journal.Read(t.TempDir()), Dirs: p.dirs()})
		must(t, err)
		return *s.Steps[len(s.Steps)-1].Gate, nil
	}
	g, err := gateOf(nil)
	must(t, err)
	const all = "version contents checksums paths text modes libraries versions icons desktop aur"
	var titles []string
	for _, c := range g.Criteria {
		titles = append(titles, c.Title)
	}
	if g.ID != "gate/build" || g.Title != "Build Quality" || g.Approve != "" || strings.Join(titles, " ") != all {
		t.Errorf("the default gate is %+v", g.Gate)
	}
	g, err = gateOf(&GateConfig{Title: "T", Approve: "lead", Criteria: []Criterion{{Check: "contents", Title: "C"}, {Attest: "it looks good", By: "tester"}}})
	must(t, err)
	if g.Title != "T" || g.Approve != "lead" || len(g.Criteria) != 2 || g.Criteria[0].Title != "C" || g.Criteria[1].Title != "it looks good" || g.Criteria[1].Attest != "tester" {
		t.Errorf("got %+v", g.Gate)
	}
	for want, c := range map[string]Criterion{
		`nothing in the plan reports check "lintian"; want one of `: {Check: "lintian"},
		"criteria[0]: attest: and by: go together":                  {Attest: "x"},
		"criteria[0]: attest: and by: go together ":                 {By: "x", Check: "contents"},
		"criteria[0]: a statement is its own title":                 {Attest: "x", By: "y", Title: "z"},
		"criteria[0]: want check, or attest and by":                 {Title: "x"},
		"criteria[0]: want check, or attest and by ":                {Check: "contents", Attest: "x", By: "y"},
	} {
		if _, err := gateOf(&GateConfig{Criteria: []Criterion{c}}); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for want, edit := range map[string]func(*Config){
		"packages: want at least one":                                          func(c *Config) { c.Packages = nil },
		`packages[0]: format: want tarball, deb, appimage or aur, found "rpm"`: func(c *Config) { c.Packages[0].Format = "rpm" },
		`packages[0]: section is not a key of format tarball`:                  func(c *Config) { c.Packages[0].Section = "utils" },
		"packages[1]: pkgrel is not a key of format deb":                       func(c *Config) { c.Packages[1].PkgRel = "1" },
		"packages[2]: section is not a key of format aur":                      func(c *Config) { c.Packages[2].Section = "utils" },
		`packages[0]: bundle "nope" is not among the bundles`:                  func(c *Config) { c.Packages[0].Bundle = "nope" },
		"packages[0]: bundle: want the name":                                   func(c *Config) { c.Packages[0].Bundle = "" },
		`packages[0]: name: want letters`:                                      func(c *Config) { c.Packages[0].Name = "a/b" },
		`packages[1]: name: want two or more`:                                  func(c *Config) { c.Packages[1].Name = "Demo" },
		`packages[3]: there is another deb named "demo"`:                       func(c *Config) { c.Packages = append(c.Packages, c.Packages[1]) },
		"packages[2]: from: want tarball":                                      func(c *Config) { c.Packages[2].From = "" },
		`packages[2]: from: there is no tarball package "x"`:                   func(c *Config) { c.Packages[2].From = "x" },
		"packages[2]: from: there are several": func(c *Config) {
			c.Packages = append(c.Packages, Package{Name: "two", Format: "tarball", Bundle: "demo"})
		},
		`components.Demo: name: want a-z`:           func(c *Config) { c.Components["Demo"] = component.Config{Builder: component.Go, Package: "./x"} },
		"components.idle: no bundle takes anything": func(c *Config) { c.Components["idle"] = component.Config{Builder: component.Go, Package: "./x"} },
		"bundles.idle: no package is made of it": func(c *Config) {
			c.Bundles["idle"] = bundle.Config{Arch: []string{"amd64"}, Contents: []bundle.Content{{Src: "x", Dst: "y"}}}
		},
		"bundles.demo: contents[0]: src":               func(c *Config) { c.Bundles["demo"] = bundle.Config{Contents: []bundle.Content{{Src: "/x", Dst: "y"}}} },
		`bundles.demo: contents name component "demo"`: func(c *Config) { c.Components = nil },
		"components.demo: package: want a path":        func(c *Config) { c.Components["demo"] = component.Config{Builder: component.Go} },
	} {
		c := demoConfig()
		edit(&c)
		if _, err := New(c, "/"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	// All faults are told at once.
	c := demoConfig()
	c.Packages[0].Section, c.Packages[1].Maintainer, c.Packages[2].From = "x", "y", "z"
	if _, err := New(c, "/"); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v", err)
	}
	// What depends on the version is told when it is planned.
	p := newProject(t, demoConfig(), nil)
	p.env.Version = "1.2.3-rc.1.2"
	if _, err := p.plan(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot plan build: package demo-bin: cannot make a pkgver") {
		t.Errorf("got %v", err)
	}
	p.env.Version = "v1"
	if _, err := p.plan(t.Context()); err == nil || !strings.Contains(err.Error(), "leave out the leading v") {
		t.Errorf("got %v", err)
	}
	p.env.Version, p.env.Time = "1.2.3", pipeline.Env{}.Time
	if _, err := p.plan(t.Context()); err == nil || !strings.Contains(err.Error(), "no time") {
		t.Errorf("got %v", err)
	}
}
