//go:build unix

package build

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// need skips a test whose tool is missing; where CI is set that is a failure, for a judge that is not there must be
// noticed.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing", tool)
		}
		t.Skipf("%s is missing", tool)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sourceFiles is a small project: a Go program, its manual page, its licence.
var sourceFiles = map[string]string{
	"go.mod":           "module example.org/demo\n\ngo 1.26.0\n",
	"cmd/demo/main.go": "// Command demo says its version.\npackage main\n\nimport \"os\"\n\nvar version = \"?\"\n\nfunc main() { os.Stdout.WriteString(version + \"\\n\") }\n",
	"LICENSE":          "MIT License\n\nCopyright (c) 2026 The Demo Authors\n\nPermission is hereby granted, free of charge, to any person obtaining a copy.\n\nTHE SOFTWARE IS PROVIDED \"AS IS\".\n",
	"README.md":        "# demo\n",
	"docs/demo.1": `.TH DEMO 1 "21 November 2026" "demo" "User Commands"
.SH NAME
demo \- say the version
.SH SYNOPSIS
.B demo
.SH DESCRIPTION
Prints its version and ends.
`,
	"tool.sh": "#!/bin/sh\necho tool\n",
}

// repository writes files to a new folder; what begins with #! may be executed.
func repository(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		must(t, os.WriteFile(p, []byte(text), mode))
	}
	return dir
}

// checkout stands for build/version: it copies a folder, links included, and reports the check "version".
type checkout struct{ dir string }

func (checkout) Spec() pipeline.Spec {
	return pipeline.Spec{ID: component.SourceStep, Effect: pipeline.Local, Outputs: []string{component.Source}, Checks: []string{"version"}}
}

func (c checkout) Run(ctx context.Context, ws *pipeline.Workspace) (_ pipeline.Receipt, err error) {
	out, err := ws.Create(pipeline.Artifact{Name: component.Source, Kind: pipeline.KindTree})
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(c.dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	entries, err := archive.List(root.FS())
	if err != nil {
		return nil, err
	}
	ws.Report(pipeline.Evidence{Check: "version", Verdict: gate.Pass})
	return nil, archive.CopyTree(ctx, root, out, entries, func(int64) {})
}

// project is a release of the fixture in a folder of its own.
type project struct {
	repo, work string
	cfg        Config
	env        pipeline.Env
	wrap       func(pipeline.Phase) pipeline.Phase // nil: nothing
	real       bool                                // with the real build/version, of the repository in repo
}

var baseTime = time.Date(2026, 11, 21, 20, 30, 40, 0, time.UTC)

func newProject(t *testing.T, cfg Config, files map[string]string) *project {
	t.Helper()
	return projectIn(t, t.TempDir(), cfg, files)
}

func projectIn(t *testing.T, dir string, cfg Config, files map[string]string) *project {
	t.Helper()
	return &project{
		repo: repository(t, filepath.Join(dir, "repo"), files),
		work: filepath.Join(dir, "out"),
		cfg:  cfg,
		env:  demoEnv(),
	}
}

func demoEnv() pipeline.Env {
	return pipeline.Env{Project: "demo", Version: "1.2.3+4", Commit: strings.Repeat("ab", 20), Config: strings.Repeat("0", 64), Time: baseTime}
}

// plan plans the build phase, with the checkout in place of the real one where that is not wanted.
func (p *project) plan(ctx context.Context) (*pipeline.Plan, error) {
	ph, err := New(p.cfg, p.repo)
	if err != nil {
		return nil, err
	}
	if !p.real {
		ph.(*phase).source = func(*pipeline.Env) ([]pipeline.Step, error) { return []pipeline.Step{checkout{p.repo}}, nil }
	}
	if p.wrap != nil {
		ph = p.wrap(ph)
	}
	return pipeline.NewPlan(ctx, p.env, ph)
}

// run carries the plan out and returns the survey after it.
func (p *project) run(ctx context.Context) (*pipeline.Survey, error) {
	plan, err := p.plan(ctx)
	if err != nil {
		return nil, err
	}
	j, err := journal.Open(filepath.Join(p.work, ".slipway"))
	if err != nil {
		return nil, err
	}
	defer j.Close()
	o := pipeline.Options{Journal: j, Dirs: p.dirs(), Jobs: runtime.GOMAXPROCS(0)} // so builds with another GOMAXPROCS also have another number of jobs
	err = plan.Run(ctx, o)
	s, serr := plan.Survey(o)
	return s, errors.Join(err, serr)
}

func (p *project) dirs() pipeline.Dirs {
	return pipeline.Dirs{Dist: filepath.Join(p.work, "dist"), Work: filepath.Join(p.work, ".slipway", "work")}
}

func (p *project) path(artifact string) string { return p.dirs().Path(artifact) }

// evidence finds what a step reported first.
func evidence(t *testing.T, s *pipeline.Survey, step string) pipeline.Evidence {
	t.Helper()
	i := slices.IndexFunc(s.Steps, func(ss pipeline.StepState) bool { return ss.Spec.ID == step })
	if i < 0 || len(s.Steps[i].Last.Evidence) != len(s.Steps[i].Spec.Checks) {
		t.Fatalf("step %s has no evidence", step)
	}
	return s.Steps[i].Last.Evidence[0]
}

// prebuiltConfig is the fixture with a script in place of the compiled program, for one architecture: it is made in no
// time.
func prebuiltConfig() Config {
	c := demoConfig()
	c.Components = map[string]component.Config{"demo": {Builder: component.Prebuilt, Path: "tool.sh"}}
	c.Bundles["demo"].Contents[0].Src = "component:demo/tool.sh"
	return c
}

// demo makes the packages of the fixture, once for all tests.
func demo(t *testing.T) (*project, *pipeline.Survey) {
	t.Helper()
	shared.once.Do(func() {
		shared.p = projectIn(t, filepath.Join(shared.dir, "demo"), demoConfig(), sourceFiles)
		shared.s, shared.err = shared.p.run(context.Background()) // it outlives this test
	})
	must(t, shared.err)
	return shared.p, shared.s
}

var shared struct {
	dir  string
	once sync.Once
	p    *project
	s    *pipeline.Survey
	err  error
}

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	dir, err := os.MkdirTemp("", "slipway-build-test-")
	if err != nil {
		panic(err)
	}
	shared.dir = dir
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		panic(err)
	}
	os.Exit(code)
}

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with testdata/TEST.NAME.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", strings.ReplaceAll(t.Name(), "/", "_")+"."+name)
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(file, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if string(want) != got {
		t.Errorf("%s has changed (go test -run %s -update, then read the difference); got\n%s", file, t.Name(), got)
	}
}

// demoConfig is the fixture's release.yaml.
func demoConfig() Config {
	return Config{
		Components: map[string]component.Config{"demo": {
			Builder: component.Go, Package: "./cmd/demo", Arch: []string{"amd64", "arm64"},
			Ldflags: []string{"-s", "-w", "-X main.version={{ .Version }}"},
		}},
		Bundles: map[string]bundle.Config{"demo": {
			Contents: []bundle.Content{
				{Src: "component:demo/demo", Dst: "bin/demo", FileInfo: bundle.FileInfo{Mode: 0o755}},
				{Src: "LICENSE", Dst: "share/licenses/demo/LICENSE"},
				{Src: "docs/demo.1", Dst: "share/man/man1/demo.1"},
				{Src: "README.md", Dst: "share/doc/demo/"},
			},
			Required:  []string{"bin/demo"},
			Forbidden: []string{"**/*.go"},
		}},
		Packages: []Package{
			{Name: "demo", Format: FormatTarball, Bundle: "demo"},
			{
				Name: "demo", Format: FormatDeb, Bundle: "demo", Section: "utils", Maintainer: "Demo Release <release@demo.example>",
				Homepage: "https://demo.example/", License: "MIT",
				Description: "say the version and end\nThis program prints its version to standard output and ends. It has no\noptions, reads no files and needs no network.\n\nIt is meant for tests of packaging.",
			},
			{
				Name: "demo-bin", Format: FormatAUR, From: "tarball", Maintainer: "Demo Release <release@demo.example>",
				Homepage: "https://demo.example/", License: "MIT", Description: "Say the version and end",
				URL: "https://demo.example/releases/v{{ .Version }}/",
			},
		},
	}
}
