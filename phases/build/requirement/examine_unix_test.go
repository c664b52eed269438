//go:build unix

package requirement

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/size"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// tools writes shell scripts into a folder, which becomes the first of PATH.
func tools(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return dir
}

// flutter answers as the program of version 3.24 does: JSON for --version --machine, help that names flags, status 64
// for a command that it does not know.
const flutter = `case "$*" in
"--version --machine") cat <<'END'
Downloading Material fonts...                                      1.2s
{
  "frameworkVersion": "3.24.3",
  "channel": "stable",
  "dartSdkVersion": "3.5.3",
  "engineRevision": "36335019a8eab588c3c2ea783c618d90505be233"
}
END
;;
"build web --help") cat <<'END'
Build a web application bundle.

Usage: flutter build web [arguments]
-h, --help                       Print this usage information.
    --[no-]tree-shake-icons      Tree shake icon fonts (defaults to on)
    --release                    Build a release version of your app (default mode).
    --wasm                       Compile to WebAssembly.
END
;;
*) echo "Could not find a subcommand named \"$1\" for \"flutter\"." >&2; exit 64;;
esac`

// run runs the step alone.
func run(t *testing.T, requires map[string]Config, room size.Bytes) (pipeline.StepState, error) {
	t.Helper()
	g := gate.Gate{ID: "gate/build", Title: "Build", Criteria: []gate.Criterion{{Title: "tools", Check: Check}}}
	plan, err := pipeline.NewPlan(t.Context(), pipeline.Env{Project: "p", Version: "1.0.0", Time: time.Unix(1, 0)}, phase{Step(requires, room), pipeline.NewGate(g, ID)})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	o := pipeline.Options{Journal: new(pipelinetest.Memory), Dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")}}
	runErr := plan.Run(t.Context(), o)
	s, err := plan.Survey(o)
	if err != nil {
		t.Fatal(err)
	}
	return s.Steps[0], runErr
}

type phase []pipeline.Step

func (phase) Name() string { return "build" }

func (p phase) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) { return p, nil }

// TestStep runs real programs of this machine and stand-ins; the version is in the summary, outside of the digest.
func TestStep(t *testing.T) {
	tools(t, map[string]string{"flutter": flutter})
	s, err := run(t, map[string]Config{"flutter": {Range: ">=3.24 <4"}, "go": {Range: ">=1.20"}}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	e := s.Last.Evidence[0]
	if e.Verdict != gate.Pass || e.Expected != "flutter >=3.24 <4, go >=1.20, disk 1kB free" || e.Found != "all of it" || !strings.HasPrefix(e.Summary, "flutter 3.24.3, go 1.") {
		t.Errorf("%+v", e)
	}
	if s, err = run(t, nil, 0); err != nil || s.Last.Evidence[0].Verdict != gate.Pass {
		t.Errorf("nothing required: %v", err)
	}
}

// TestStep_Contract: planning, running twice, a power cut at each record.
func TestStep_Contract(t *testing.T) {
	g := gate.Gate{ID: "gate/build", Title: "Build", Criteria: []gate.Criterion{{Title: "tools", Check: Check}}}
	pipelinetest.Contract(t, pipelinetest.Subject{
		Env: pipeline.Env{Project: "p", Version: "1.0.0", Time: time.Unix(1, 0)},
		Phases: func() []pipeline.Phase {
			return []pipeline.Phase{phase{Step(map[string]Config{"go": {Range: ">=1.20"}}, 1000), pipeline.NewGate(g, ID)}}
		},
		Options: func() pipeline.Options { return pipeline.Options{} },
		Crashes: 8,
	})
}

// TestStep_Fails: everything that is wrong stands in one error, nothing is reported, and the next run looks again.
func TestStep_Fails(t *testing.T) {
	dir := tools(t, map[string]string{"old": "echo old 1.2.3"})
	requires := map[string]Config{"old": {Range: ">=2"}, "slipway-no-such-tool": {Range: ">=1"}, "sh": {Range: "*", Command: []string{"sh", "-c", "echo 1.0"}}}
	g := gate.Gate{ID: "gate/build", Title: "Build", Criteria: []gate.Criterion{{Title: "tools", Check: Check}}}
	plan, err := pipeline.NewPlan(t.Context(), pipeline.Env{Project: "p", Version: "1.0.0", Time: time.Unix(1, 0)}, phase{Step(requires, 1e18), pipeline.NewGate(g, ID)})
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	o := pipeline.Options{Journal: new(pipelinetest.Memory), Dirs: pipeline.Dirs{Dist: filepath.Join(work, "dist"), Work: filepath.Join(work, "work")}}
	err = plan.Run(t.Context(), o)
	if err == nil || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "sh:") {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{
		"build/requirements: cannot build with what is here: old: 1.2.3, wanted >=2 (install a version in the range; old is the first of that name in PATH)",
		"slipway-no-such-tool: missing, wanted >=1 (install it, or put its folder into PATH)", "disk: ", "wanted 1000000000GB free",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	for _, name := range []string{"old", "slipway-no-such-tool"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho 2.0\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err = plan.Run(t.Context(), o); err == nil || strings.Contains(err.Error(), "old:") || !strings.Contains(err.Error(), "disk") {
		t.Errorf("the next run: %v", err)
	}
}

func TestGate_026_NoSuchSubcommand(t *testing.T) {
	tools(t, map[string]string{"flutter": flutter})
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{Command: []string{"flutter", "update-build-number", "--help"}}, `ended with status 64: Could not find a subcommand named "update-build-number"`},
		{Config{Command: []string{"flutter", "update-build-number", "--help"}, Flags: []string{"flutter"}}, `ended with status 64`},
		{Config{Command: []string{"flutter", "build", "web", "--help"}, Flags: []string{"--release", "--no-tree-shake-fonts"}}, "flutter build web --help does not name --no-tree-shake-fonts, wanted"},
	} {
		if f := Examine(t.Context(), "probe", c.config); f.OK || !strings.Contains(f.String(), c.want) {
			t.Errorf("%+v", f)
		}
		if _, err := run(t, map[string]Config{"probe": c.config}, 0); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("the build begins: %v", err)
		}
	}
	for _, c := range []Config{
		{Command: []string{"flutter", "build", "web", "--help"}},
		{Command: []string{"flutter", "build", "web", "--help"}, Flags: []string{"--release", "--no-tree-shake-icons"}},
	} {
		if f := Examine(t.Context(), "probe", c); !f.OK {
			t.Errorf("%+v", f)
		}
	}
}

func TestGate_027_RemovedFlag(t *testing.T) {
	tools(t, map[string]string{"flutter": flutter})
	probe := Config{Command: []string{"flutter", "build", "web", "--help"}, Flags: []string{"--web-renderer"}}
	_, err := run(t, map[string]Config{"flutter-web": probe}, 0)
	if err == nil || !strings.Contains(err.Error(), "flutter-web: flutter build web --help does not name --web-renderer, wanted --web-renderer (this version does not have it") {
		t.Errorf("%v", err)
	}
	tools(t, map[string]string{"flutter": strings.Replace(flutter, "    --wasm", "    --web-renderer=<auto>    The renderer.\n    --wasm", 1)})
	s, err := run(t, map[string]Config{"flutter-web": probe}, 0)
	if err != nil || s.Last.Evidence[0].Verdict != gate.Pass {
		t.Errorf("%v", err)
	}
	// The pinned version of the tool.
	if f := Examine(t.Context(), "flutter", Config{Range: "3.24.x"}); !f.OK || f.Found != "3.24.3" {
		t.Errorf("%+v", f)
	}
	if f := Examine(t.Context(), "flutter", Config{Range: "3.22.x"}); f.OK || f.String() != "flutter: 3.24.3, wanted 3.22.x (install a version in the range; flutter is the first of that name in PATH)" {
		t.Errorf("%+v", f)
	}
}

// TestGate_047_Interactive: a program that asks gets no answer. One that goes on asking is killed.
func TestGate_047_Interactive(t *testing.T) {
	canary := filepath.Join(t.TempDir(), "canary")
	t.Setenv("SLIPWAY_CANARY", "leaked")
	tools(t, map[string]string{
		"asks":  `if read -r answer; then echo 9.9; else echo "no answer" >&2; exit 1; fi`,
		"waits": `(sleep 30; touch ` + canary + `) & while :; do sleep 1; done`,
		"env": `[ "$CI $DEBIAN_FRONTEND $GIT_TERMINAL_PROMPT" = "true noninteractive 0" ] || exit 3
[ -z "$SLIPWAY_CANARY" ] || exit 4
"$SUDO_ASKPASS" && exit 5
[ ! -t 0 ] && [ ! -t 1 ] && echo 1.0`,
	})
	begun := time.Now()
	if f := Examine(t.Context(), "asks", Config{Range: ">=1"}); f.OK || !strings.Contains(f.Found, "asks --version ended with status 1: no answer") {
		t.Errorf("%+v", f)
	}
	if f := examine(t.Context(), "waits", Config{Range: ">=1"}, 300*time.Millisecond); f.OK || !strings.Contains(f.String(), "waits --version did not answer within 300ms and said nothing, wanted >=1 (run it by hand") {
		t.Errorf("%+v", f)
	}
	if f := Examine(t.Context(), "env", Config{Range: ">=1"}); !f.OK {
		t.Errorf("%+v", f)
	}
	if time.Since(begun) > 20*time.Second {
		t.Error("something was waited for")
	}
	if _, err := os.Stat(canary); err == nil {
		t.Error("what it started was left behind")
	}
}

func TestExamine(t *testing.T) {
	t.Setenv("SLIPWAY_TEST_TOKEN", "s3cr3t-value")
	tools(t, map[string]string{
		"mute":    "exit 0",
		"stderr":  "echo 'tool 1.2.3' >&2",
		"both":    "echo 'warning: library 9.9.9' >&2; echo 'tool 1.2.3'",
		"secret":  "echo s3cr3t-value; exit 1",
		"binary":  `head -c 9000000 /dev/zero; printf '\377\376 1.2.3'`,
		"colour":  `printf '\033[1;32mtool\033[0m \033[1m1.2.3\033[0m\n'`,
		"pattern": "echo 'build 7.7.7, version <2.5>'",
		"pre":     "echo 3.24.0-0.2.pre",
	})
	for _, c := range []struct {
		name   string
		config Config
		ok     bool
		want   string
	}{
		{"mute", Config{}, true, "mute: there"},
		{"mute", Config{Range: "*"}, false, "mute --version does not tell a version and said nothing (say with command and pattern"},
		{"stderr", Config{Range: "1.2.x"}, true, "1.2.3"},
		{"both", Config{Range: "^1"}, true, "1.2.3"},
		{"secret", Config{Range: "^1"}, false, "ended with status 1: [hidden]"},
		{"binary", Config{Range: "^1"}, true, "1.2.3"},
		{"colour", Config{Range: "^1"}, true, "1.2.3"},
		{"pattern", Config{Range: "^2", Pattern: `version <([^>]*)>`}, true, "2.5"},
		{"pattern", Config{Range: "^2", Pattern: `\d\.\d>`}, true, "2.5"},
		{"pattern", Config{Range: "^2", Pattern: `release (.*)`}, false, "does not tell a version: build 7.7.7"},
		{"pre", Config{Range: ">=3.24"}, false, "3.24.0-0.2.pre, wanted >=3.24 (a prerelease comes before its version"},
		{"pre", Config{Range: ">=3.23"}, true, "3.24.0-0.2.pre"},
		{"slipway-no-such-tool", Config{}, false, "missing (install it"},
		{"x/../../bin/sh", Config{}, false, "is not the name"},
		{"echoed", Config{Range: "*", Command: []string{"echo", "1.0 $(touch canary) `touch canary` '; touch canary"}}, true, "1.0"},
	} {
		f := Examine(t.Context(), c.name, c.config)
		if f.OK != c.ok || !strings.Contains(f.String(), c.want) || strings.Contains(f.String(), "s3cr3t") || strings.ContainsAny(f.String(), "\n\x1b\x00") {
			t.Errorf("%s %+v: got %v, %q", c.name, c.config, f.OK, f)
		}
	}
}

// TestExamine_Known asks the programs of this machine as they are known to be asked.
func TestExamine_Known(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"go", "git", "python3", "node", "npm", "gcc", "make", "cargo", "rustc", "dpkg", "dpkg-deb", "openssl", "ssh", "java"} {
		t.Run(name, func(t *testing.T) {
			f := Examine(t.Context(), name, Config{Range: ">=1.0"})
			if f.Found == "missing" {
				t.Skip(f)
			}
			if !f.OK {
				t.Error(f)
			}
		})
	}
}
