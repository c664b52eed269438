package component

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/files"
	"github.com/imrightguy/slipway/pipeline/journal"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// source stands for build/version: it copies a folder.
type source struct{ dir string }

func (source) Spec() pipeline.Spec {
	return pipeline.Spec{ID: SourceStep, Effect: pipeline.Local, Outputs: []string{Source}}
}

func (s source) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	out, err := ws.Create(pipeline.Artifact{Name: Source, Kind: pipeline.KindTree})
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, err
	}
	entries, err := archive.List(root.FS())
	if err == nil {
		err = archive.CopyTree(ctx, root, out, entries, func(int64) {})
	}
	return nil, errors.Join(err, root.Close())
}

type phase []pipeline.Step

func (phase) Name() string                                                   { return "build" }
func (p phase) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) { return p, nil }

var env = pipeline.Env{Project: "demo", Version: "1.2.3+4", Commit: "abcdef", Time: time.Unix(1e9, 0)}

// build makes component demo of a repository below dir, and returns where its trees lie.
func build(t *testing.T, dir string, cfg Config, content map[string]string) (pipeline.Dirs, error) {
	t.Helper()
	return buildWith(t, dir, cfg, content, nil, func(builder) builder { return nil })
}

// buildWith is build with endpoints; edit may put another builder in a builder's place.
func buildWith(t *testing.T, dir string, cfg Config, content map[string]string, endpoints any, edit func(builder) builder) (pipeline.Dirs, error) {
	t.Helper()
	repo := filepath.Join(dir, "repo")
	for name, text := range content {
		p := filepath.Join(repo, name)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			must(t, os.Symlink(to, p))
			continue
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o700
		}
		must(t, os.WriteFile(p, []byte(text), mode))
	}
	must(t, cfg.Validate())
	steps, err := Steps("demo", cfg, &env)
	must(t, err)
	for _, s := range steps {
		if b := edit(s.(*step).builder); b != nil {
			s.(*step).builder = b
		}
	}
	must(t, os.MkdirAll(repo, 0o755))
	plan, err := pipeline.NewPlan(t.Context(), env, phase(append([]pipeline.Step{source{repo}}, steps...)))
	must(t, err)
	dirs := pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work", "work")}
	j, err := journal.Open(filepath.Join(dir, "work"))
	must(t, err)
	defer j.Close()
	err = plan.Run(t.Context(), pipeline.Options{Journal: j, Dirs: dirs, Jobs: 2, Endpoints: endpoints})
	if err == nil {
		// Whatever the builder did, the checkout is as it was.
		before, err := files.Path(repo)
		must(t, err)
		after, err := files.Path(dirs.Path(Source))
		must(t, err)
		if before.SHA256 != after.SHA256 {
			t.Error("the checkout was written to")
		}
	}
	return dirs, err
}

var program = map[string]string{
	"go.mod":           "module example.org/demo\n\ngo 1.26.0\n",
	"cmd/demo/main.go": "package main\n\nimport \"os\"\n\nvar version, commit = \"?\", \"?\"\n\nfunc main() { os.Stdout.WriteString(version + \" \" + commit + tag) }\n",
	"cmd/demo/off.go":  "//go:build !extra\n\npackage main\n\nconst tag = \"\\n\"\n",
	"cmd/demo/on.go":   "//go:build extra\n\npackage main\n\nconst tag = \" extra\\n\"\n",
	"lib/lib.go":       "package lib\n",
	"broken/main.go":   "package main\n\nfunc main() { nothing() }\n",
	"leaky/main.go":    "package main\n\nvar n int = \"hunter22hunter22\"\n\nfunc main() {}\n",
	"modless/main.go":  "package main\n\nimport _ \"example.org/not-required\"\n\nfunc main() {}\n",
}

// TestGo builds for two architectures, in two folders, the second time with an environment full of settings that would
// change the bytes or the checkout: the programs are equal, and are what was asked for.
func TestGo(t *testing.T) {
	cfg := Config{
		Builder: Go, Package: "./cmd/demo", Arch: []string{"arm64", "amd64"}, Tags: []string{"extra"},
		Ldflags: []string{"-s", "-w", "-X main.version={{ .Version }}", "-X 'main.commit={{ .Project }} {{.Commit}} {{ .Arch }}'"},
	}
	first, err := build(t, t.TempDir(), cfg, program)
	must(t, err)
	for name, value := range map[string]string{
		"GOFLAGS": "-mod=mod -tags=other -ldflags=-X=main.version=evil", "GOAMD64": "v3", "GOARM64": "v9.0", "CGO_ENABLED": "1", "GOOS": "windows",
		"GOEXPERIMENT": "nosuchexperiment", "GOTOOLCHAIN": "go9.9.9", "GOWORK": "/nowhere/go.work", "SOURCE_DATE_EPOCH": "1", "TZ": "Pacific/Kiritimati", "LANG": "tr_TR.UTF-8",
	} {
		t.Setenv(name, value)
	}
	strange := filepath.Join(t.TempDir(), "a [b] {c} $(d) 'e'")
	must(t, os.Mkdir(strange, 0o755))
	second, err := build(t, strange, cfg, program)
	must(t, err)
	for _, goarch := range cfg.Arch {
		a, err := os.ReadFile(filepath.Join(first.Path(Artifact("demo", goarch)), "demo"))
		must(t, err)
		b, err := os.ReadFile(filepath.Join(second.Path(Artifact("demo", goarch)), "demo"))
		must(t, err)
		if !bytes.Equal(a, b) {
			t.Errorf("%s: two builds differ", goarch)
		}
		e, err := elf.NewFile(bytes.NewReader(a))
		must(t, err)
		want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[goarch]
		if e.Machine != want || e.Section(".symtab") != nil || e.Section(".note.gnu.build-id") != nil {
			t.Errorf("%s: machine %v", goarch, e.Machine)
		}
		if id := e.Section(".note.go.buildid"); id != nil {
			t.Errorf("%s: has a build id", goarch)
		}
		if bytes.Contains(b, []byte(strange)) || bytes.Contains(a, []byte(first.Work)) {
			t.Errorf("%s: holds the path of its folder", goarch)
		}
	}
	if out, err := exec.Command(filepath.Join(first.Path(Artifact("demo", "amd64")), "demo")).Output(); canRun() && (err != nil || string(out) != "1.2.3 demo abcdef amd64 extra\n") {
		t.Errorf("it says %q, %v", out, err)
	}
}

// canRun reports whether programs for linux/amd64 run here.
func canRun() bool {
	out, err := exec.Command("uname", "-sm").Output()
	return err == nil && string(out) == "Linux x86_64\n"
}

// TestGo_Fails: the error is the end of what go said, without the secret that it repeats.
func TestGo_Fails(t *testing.T) {
	t.Setenv("SOME_API_TOKEN", "hunter22hunter22")
	for name, c := range map[string]struct {
		cfg  Config
		want []string
	}{
		"does not compile": {Config{Package: "./broken"}, []string{"build/component/demo/amd64: go ended with status 1", "broken/main.go:3:15: undefined: nothing"}},
		"not a program":    {Config{Package: "./lib"}, []string{"go"}},
		"not there":        {Config{Package: "./nowhere"}, []string{"directory not found"}},
		"needs a module":   {Config{Package: "./modless"}, []string{"no required module provides package example.org/not-required"}},
		"repeats a secret": {Config{Package: "./leaky"}, []string{`cannot use "[hidden]"`}},
		"bad linker flag":  {Config{Package: "./cmd/demo", Ldflags: []string{"-nosuchflag"}}, []string{"[...]"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.Builder = Go
			dirs, err := build(t, t.TempDir(), c.cfg, program)
			if err == nil {
				t.Fatal("it did not fail")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "hunter22") || len(err.Error()) > 3000 {
				t.Errorf("shows too much: %v", err)
			}
			if _, err := os.Stat(dirs.Path(Artifact("demo", "amd64"))); err == nil {
				t.Error("left something under its final name")
			}
		})
	}
}

// TestGo_Missing: no go program in PATH.
func TestGo_Missing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := build(t, t.TempDir(), Config{Builder: Go, Package: "./cmd/demo"}, program)
	if err == nil || !strings.Contains(err.Error(), `cannot find the program "go"`) {
		t.Errorf("got %v", err)
	}
}

func TestPrebuilt(t *testing.T) {
	t.Parallel()
	content := map[string]string{
		"tray/tool-amd64": "#!/bin/sh\n", "tray/tool-arm64": "#!/bin/sh\n# arm", "data/a b/$(c)": "x", "data/run": "#!x", "data/link": "-> a b/$(c)",
		"out": "-> /etc/passwd", "up": "-> ../secret", "in": "-> tray/tool-amd64", "empty/.keep": "",
	}
	sum := sha256.Sum256([]byte("#!/bin/sh\n"))
	digest := hex.EncodeToString(sum[:])
	for name, c := range map[string]struct {
		cfg  Config
		want string // a listing, or part of an error
	}{
		"file for each": {Config{Path: "tray/tool-{{ .Arch }}", Arch: []string{"amd64", "arm64"}}, "file   0755        10 tool-amd64\n"},
		"digest":        {Config{Path: "tray/tool-amd64", SHA256: digest}, "file   0755        10 tool-amd64\n"},
		"wrong digest":  {Config{Path: "tray/tool-amd64", SHA256: strings.Repeat("0", 64)}, "has SHA-256 " + digest + ", release.yaml wants 000"},
		"folder":        {Config{Path: "data"}, "folder 0755         0 a b\nfile   0644         1 a b/$(c)\nlink   0777         0 link -> a b/$(c)\nfile   0755         3 run\n"},
		"folder digest": {Config{Path: "data", SHA256: digest}, "is a folder, which has no sha256"},
		"missing":       {Config{Path: "nowhere"}, `cannot find path "nowhere" in the repository: is it committed?`},
		"link out":      {Config{Path: "out"}, "path escapes from parent"},
		"link up":       {Config{Path: "up"}, "path escapes from parent"},
		"link in":       {Config{Path: "in"}, "file   0755        10 in\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o644))
			c.cfg.Builder = Prebuilt
			dirs, err := build(t, dir, c.cfg, content)
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				return
			}
			entries, err := archive.Tree(dirs.Path(Artifact("demo", "amd64")))
			must(t, err)
			if got := archive.Listing(entries); got != c.want {
				t.Errorf("got\n%s", got)
			}
		})
	}
}

const h1 = "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "builder: want go, flutter, command or prebuilt"},
		{Config{Builder: "make"}, `found "make"`},
		{Config{Builder: Go}, "package: want a path"},
		{Config{Builder: Go, Package: "cmd/x"}, "like ./cmd/NAME"},
		{Config{Builder: Go, Package: "./../x"}, "like ./cmd/NAME"},
		{Config{Builder: Go, Package: "./a/../../x"}, "like ./cmd/NAME"},
		{Config{Builder: Go, Package: "/x"}, "like ./cmd/NAME"},
		{Config{Builder: Go, Package: "-x"}, "like ./cmd/NAME"},
		{Config{Builder: Go, Package: "./..."}, "one package"},
		{Config{Builder: Go, Package: "./a b"}, "one package"},
		{Config{Builder: Go, Package: "./x@v1"}, "one package"},
		{Config{Builder: Go, Package: "./x", Path: "y", SHA256: "z"}, "path is not a key of builder go\nsha256 is not a key"},
		{Config{Builder: Go, Package: "./x", Tags: []string{"a,b"}}, "tags: want a build tag"},
		{Config{Builder: Go, Package: "./x", Tags: []string{"-x"}}, "tags: want a build tag"},
		{Config{Builder: Go, Package: "./x", Ldflags: []string{"-buildid=x"}}, "the build id is always empty"},
		{Config{Builder: Go, Package: "./x", Ldflags: []string{"a\nb"}}, "no line breaks"},
		{Config{Builder: Go, Package: "./x", Arch: []string{"amd64", "mips", "amd64"}}, `found "mips"` + "\narch: \"amd64\" is listed twice"},
		{Config{Builder: Prebuilt}, "path: want a path in the repository"},
		{Config{Builder: Prebuilt, Path: "/etc/passwd"}, "relative to the repository"},
		{Config{Builder: Prebuilt, Path: "a/../../b"}, "stays in the repository"},
		{Config{Builder: Prebuilt, Path: `..\b`}, "with slashes"},
		{Config{Builder: Prebuilt, Path: "c:/x"}, "relative to the repository"},
		{Config{Builder: Prebuilt, Path: "a//b"}, "clean"},
		{Config{Builder: Prebuilt, Path: "x", SHA256: "abc"}, "64 lower-case"},
		{Config{Builder: Prebuilt, Path: "x", SHA256: strings.Repeat("a", 64), Arch: []string{"amd64", "arm64"}}, "one digest cannot hold"},
		{Config{Builder: Prebuilt, Path: "x", Package: "./x", Ldflags: []string{"x"}, Tags: []string{"x"}}, "package is not a key"},
		{Config{Builder: Go, Module: "example.org/m@v1.2.3", Package: "./x"}, "want package or module, not both"},
		{Config{Builder: Go, Package: "./x", Sum: h1}, "sum: want it beside a module only"},
		{Config{Builder: Go, Module: "example.org/m@v1.2.3", Sum: "h1:abc"}, "sum: want h1:"},
		{Config{Builder: Go, Module: "example.org/m"}, "want a whole version like v1.2.3"},
		{Config{Builder: Go, Module: "example.org/m@latest"}, "want a whole version"},
		{Config{Builder: Go, Module: "example.org/m@v1"}, "want a whole version"},
		{Config{Builder: Go, Module: "example.org/m@v01.2.3"}, "want a whole version"},
		{Config{Builder: Go, Module: "m@v1.2.3"}, "want the path of a package"},
		{Config{Builder: Go, Module: "-m.x/y@v1.2.3"}, "want the path of a package"},
		{Config{Builder: Go, Module: "example.org/../m@v1.2.3"}, "want the path of a package"},
		{Config{Builder: Go, Module: "example.org/m/...@v1.2.3"}, "want the path of a package"},
		{Config{Builder: Go, Module: "example.org/m@v1.2.3\n"}, "want a whole version"},
		{Config{Builder: Flutter, Target: "windows"}, `target: want linux, found "windows"`},
		{Config{Builder: Flutter, Flags: []string{"apk"}}, "flags: want a flag with its value in one text"},
		{Config{Builder: Flutter, Flags: []string{"--debug"}}, "debug is set by slipway"},
		{Config{Builder: Flutter, Flags: []string{"--build-number=7"}}, "build-number is set by slipway"},
		{Config{Builder: Flutter, Flags: []string{"--no-release"}}, "set by slipway"},
		{Config{Builder: Flutter, Flags: []string{"--target=a\nb"}}, "no line breaks"},
		{Config{Builder: Flutter, DartDefine: []string{"=x"}}, "dart_define: want NAME=VALUE"},
		{Config{Builder: Flutter, DartDefine: []string{"A"}}, "dart_define: want NAME=VALUE"},
		{Config{Builder: Flutter, Path: "x", Command: []string{"x"}, URL: "x"}, "command is not a key of builder flutter\npath is not a key of builder flutter\nurl is not"},
		{Config{Builder: Command, Output: "x"}, "command: want a program and its arguments"},
		{Config{Builder: Command, Command: []string{""}, Output: "x"}, "command: want a program and its arguments"},
		{Config{Builder: Command, Command: []string{"make dist"}, Output: "x"}, "each argument as a text of its own"},
		{Config{Builder: Command, Command: []string{"-x"}, Output: "x"}, "want the name of a program"},
		{Config{Builder: Command, Command: []string{"$(reboot)"}, Output: "x"}, "want the name of a program"},
		{Config{Builder: Command, Command: []string{"/usr/bin/make"}, Output: "x"}, "one of the repository"},
		{Config{Builder: Command, Command: []string{"../make"}, Output: "x"}, "one of the repository"},
		{Config{Builder: Command, Command: []string{"./a/../../make"}, Output: "x"}, "one of the repository"},
		{Config{Builder: Command, Command: []string{"bash", "-euc", "make"}, Output: "x"}, "would read a script out of release.yaml"},
		{Config{Builder: Command, Command: []string{"make", "a\x00"}, Output: "x"}, "no NUL"},
		{Config{Builder: Command, Command: []string{"make"}}, "output: want a path in the repository"},
		{Config{Builder: Command, Command: []string{"make"}, Output: "/tmp/x"}, "output: want a path relative"},
		{Config{Builder: Command, Command: []string{"make"}, Output: "../x"}, "output: want a path that stays"},
		{Config{Builder: Command, Command: []string{"make"}, Output: "."}, "output: want a clean path"},
		{Config{Builder: Command, Command: []string{"make"}, Output: "x", Env: map[string]string{"A-B": "x"}}, `env: want the name of a variable, found "A-B"`},
		{Config{Builder: Command, Command: []string{"make"}, Output: "x", Env: map[string]string{"A": "x"}, Pass: []string{"A", "B=c", "D", "D"}}, "pass: A has a value under env\npass: want the name of a variable, found \"B=c\"\npass: D is listed twice"},
		{Config{Builder: Command, Command: []string{"make"}, Output: "x", Timeout: -1}, "timeout: want a time above zero"},
		{Config{Builder: Prebuilt, Path: "x", Timeout: 1}, "timeout: copying a path"},
		{Config{Builder: Prebuilt, Path: "x", URL: "https://example.org/x", SHA256: strings.Repeat("a", 64)}, "want path or url, not both"},
		{Config{Builder: Prebuilt, URL: "https://example.org/x"}, "sha256: want the digest of the file at url"},
		{Config{Builder: Prebuilt, URL: "http://example.org/x"}, "begins with https://"},
		{Config{Builder: Prebuilt, URL: "file:///etc/passwd"}, "want an address like https://"},
		{Config{Builder: Prebuilt, URL: "https://u:p@example.org/x"}, "without user and password"},
		{Config{Builder: Prebuilt, URL: "https://example.org/"}, "its path ends in no name"},
		{Config{Builder: Prebuilt, URL: "https://example.org/a/.."}, "not a clean relative path"},
		{Config{Builder: Prebuilt, URL: "https://example.org/a%2F..%2Fb%0A"}, "control character"},
		{Config{Builder: Prebuilt, URL: "https://example.org/a#b"}, "without a fragment"},
		{Config{Builder: Prebuilt, URL: "https://example.org/a b"}, "want an address like"},
		{Config{Builder: Prebuilt, URL: "https://example.org/x-{{ .Arch }}", SHA256: strings.Repeat("a", 64), Arch: []string{"amd64", "arm64"}}, "one digest cannot hold"},
	} {
		if err := c.cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.cfg, err, c.want)
		}
	}
	for _, cfg := range []Config{
		{Builder: Go, Module: "example.org/m/v2/cmd/x@v2.0.0-rc.1", Sum: h1, Tags: []string{"a"}, Ldflags: []string{"-s"}, Timeout: 1},
		{Builder: Go, Module: "example.org@v1.2.3-0.20260101000000-abcdefabcdef"},
		{Builder: Flutter},
		{Builder: Flutter, Target: "linux", Arch: []string{"arm64"}, Flags: []string{"--target=lib/main_desktop.dart", "-v"}, DartDefine: []string{"A=", "B.c={{ .Version }}"}, Timeout: 1},
		{Builder: Command, Command: []string{"./scripts/a b", "$(x)", "-c"}, Output: "dist/{{ .Arch }}/", Env: map[string]string{"A": "$B"}, Pass: []string{"C"}},
		{Builder: Command, Command: []string{"bash", "scripts/build.sh"}, Output: "x"},
		{Builder: Prebuilt, URL: "https://example.org/v{{ .Version }}/x-{{ .Arch }}?a=b", SHA256: strings.Repeat("a", 64), Timeout: 1},
		{Builder: Prebuilt, URL: "http://127.0.0.1:1/x", SHA256: strings.Repeat("a", 64)},
	} {
		if err := cfg.Validate(); err != nil {
			t.Errorf("%+v: %v", cfg, err)
		} else if _, err := Steps("x", cfg, &env); err != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	for _, name := range []string{"", "A", "-x", "a/b", "..", "a b", "é"} {
		if CheckName(name) == nil {
			t.Errorf("name %q is accepted", name)
		}
	}
	for _, text := range []string{"{{ .Nope }}", "{{ .Version | x }}", "{{"} {
		for _, cfg := range []Config{
			{Builder: Prebuilt, Path: text},
			{Builder: Prebuilt, URL: "https://example.org/" + text, SHA256: strings.Repeat("a", 64)},
			{Builder: Go, Package: "./x", Ldflags: []string{text}},
			{Builder: Command, Command: []string{"make", text}, Output: "x"},
			{Builder: Command, Command: []string{"make"}, Output: text},
			{Builder: Command, Command: []string{"make"}, Output: "x", Env: map[string]string{"A": text}},
			{Builder: Flutter, Flags: []string{"--x=" + text}},
			{Builder: Flutter, DartDefine: []string{"A=" + text}},
		} {
			if !slices.ContainsFunc(slices.Collect(maps.Values(cfg.Texts())), func(s string) bool { return strings.HasSuffix(s, text) }) {
				t.Errorf("%+v: texts are %q", cfg, cfg.Texts())
			}
			if _, err := Steps("x", cfg, &env); err == nil || !strings.Contains(err.Error(), "component x: ") || !strings.Contains(err.Error(), "{{ .Version }}") {
				t.Errorf("%q: got %v", text, err)
			}
		}
	}
}

// TestNeeds: every step also needs the steps that it is told to.
func TestNeeds(t *testing.T) {
	t.Parallel()
	steps, err := Steps("demo", Config{Builder: Go, Package: "./x", Arch: []string{"amd64", "arm64"}}, &env, "build/requirements")
	must(t, err)
	for _, s := range steps {
		if got := s.Spec().Needs; !slices.Equal(got, []string{SourceStep, "build/requirements"}) {
			t.Errorf("got %v", got)
		}
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	var d Duration
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "1h30m": 90 * time.Minute} {
		must(t, d.UnmarshalText([]byte(text)))
		again, err := d.MarshalText()
		if d.duration() != want || err != nil || (&d).UnmarshalText(again) != nil || d.duration() != want {
			t.Errorf("%s: %v, %s", text, d, again)
		}
	}
	for _, text := range []string{"", "0s", "-5m", "10", "5 m", "+5m", "1.5h", "5us", "1d", "5m;reboot", "99999999999h"} {
		if err := d.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "want a time like 90s") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestSpec: what decides the bytes stands in the plan, and nothing of this machine.
func TestSpec(t *testing.T) {
	t.Parallel()
	steps, err := Steps("demo", Config{Builder: Go, Package: "./cmd/demo", Ldflags: []string{"-X main.v={{ .Version }}"}}, &env)
	must(t, err)
	sp := steps[0].Spec()
	if got := sp.Params["command"]; got != "go build -trimpath -buildvcs=false -ldflags=-X main.v=1.2.3 -buildid= -o OUT ./cmd/demo" {
		t.Errorf("got %q", got)
	}
	if sp.ID != "build/component/demo/amd64" || !slices.Equal(sp.Needs, []string{SourceStep}) || !slices.Equal(sp.Outputs, []string{"work/component/demo/amd64"}) {
		t.Errorf("got %+v", sp)
	}
}
