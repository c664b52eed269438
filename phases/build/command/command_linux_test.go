package command

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/internal/isolate"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// TestMain makes the test's own program one that does what its first argument says: bundles of the tests hold it.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "act" {
		if err := act(os.Args[2], os.Args[3:]); err != nil {
			fmt.Println(err)
			os.Exit(7)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func act(what string, args []string) error {
	switch what {
	case "dial":
		c, err := net.DialTimeout("tcp", args[0], 3*time.Second)
		if err == nil {
			_, err = io.Copy(os.Stdout, c)
		}
		return err
	case "window": // connects as an X client does, then stays
		cookies, err := os.ReadFile(os.Getenv("XAUTHORITY"))
		if err != nil {
			return err
		}
		c, err := net.Dial("unix", "/tmp/.X11-unix/X"+strings.TrimPrefix(os.Getenv("DISPLAY"), ":"))
		if err != nil {
			return err
		}
		const protocol = "MIT-MAGIC-COOKIE-1"
		b := []byte{'l', 0, 11, 0, 0, 0}
		b = binary.LittleEndian.AppendUint16(b, uint16(len(protocol)))
		b = append(binary.LittleEndian.AppendUint16(b, 16), 0, 0)
		b = append(append(b, protocol...), 0, 0)
		if _, err := c.Write(append(b, cookies[len(cookies)-16:]...)); err != nil {
			return err
		}
		answer := make([]byte, 1)
		if _, err := io.ReadFull(c, answer); err != nil || answer[0] != 1 {
			return fmt.Errorf("the display refuses: %v, %w", answer, err)
		}
		fmt.Println("window is open")
		time.Sleep(time.Minute)
	}
	return nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// isolated skips the test where the kernel gives no name spaces; that bwrap is there at all is wanted in CI.
func isolated(t *testing.T) {
	t.Helper()
	_, err := isolate.Run(t.Context(), isolate.Command{Argv: []string{"/bin/true"}, Dir: t.TempDir()})
	if not, ok := errors.AsType[*isolate.UnavailableError](err); ok {
		if os.Getenv("CI") == "true" && strings.Contains(not.Why, "not installed") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	must(t, err)
}

// maker lays out a tree as an earlier step would.
type maker struct {
	id, artifact string
	files        map[string]string
}

func (m maker) Spec() pipeline.Spec {
	return pipeline.Spec{ID: m.id, Effect: pipeline.Local, Outputs: []string{m.artifact}}
}

func (m maker) Run(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	dir, err := ws.Create(pipeline.Artifact{Name: m.artifact, Kind: pipeline.KindTree})
	if err != nil {
		return nil, err
	}
	for name, text := range m.files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if program, ok := strings.CutPrefix(text, "copy:"); ok && err == nil {
			if content, err := os.ReadFile(program); err != nil {
				return nil, err
			} else if err := os.WriteFile(path, content, 0o755); err != nil {
				return nil, err
			}
			continue
		}
		if err = errors.Join(err, os.WriteFile(path, []byte(text), mode)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

type phase []pipeline.Step

func (phase) Name() string { return "build" }

func (p phase) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) { return p, nil }

type outcome struct {
	pipeline.Evidence
	err  error
	log  string
	tree map[string]string // of what it ran in, afterwards
}

// run runs the check on a tree of files.
func run(t *testing.T, c Config, files map[string]string) (o outcome) {
	t.Helper()
	must(t, c.Validate())
	m := maker{component.SourceStep, component.Source, files}
	if c.Bundle != "" {
		arch := c.arch([]string{runtime.GOARCH})
		m.id, m.artifact = bundle.StepID(c.Bundle, arch), bundle.Artifact(c.Bundle, arch)
	}
	g := gate.Gate{ID: "gate/build", Title: "Build", Criteria: []gate.Criterion{{Title: "It works", Check: "works"}}}
	plan, err := pipeline.NewPlan(t.Context(), pipeline.Env{Project: "p", Version: "1.0.0", Time: time.Unix(1, 0)},
		phase{m, Step("works", c, []string{runtime.GOARCH}), pipeline.NewGate(g, ID("works"))})
	must(t, err)
	dir := t.TempDir()
	var log strings.Builder
	options := pipeline.Options{Journal: new(pipelinetest.Memory), Dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")}, Observe: func(r pipeline.Record) {
		if r.Step == ID("works") && r.Text != "" {
			log.WriteString(r.Text + "\n")
		}
	}}
	o.err = plan.Run(t.Context(), options)
	s, err := plan.Survey(options)
	must(t, err)
	if e := s.Steps[1].Last.Evidence; len(e) == 1 {
		o.Evidence = e[0]
	}
	o.log, o.tree = log.String(), pipelinetest.Snapshot(t, options.Dirs.Path(m.artifact))
	for _, claim := range []string{o.Expected, o.Found} {
		if strings.Contains(claim, dir) || strings.Contains(claim, os.TempDir()+"/") || strings.Contains(claim, "\n") {
			t.Errorf("a path or line break in the evidence: %q", claim)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "work", "*", "*", "place")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return o
}

// expect compares the outcome.
func (o outcome) expect(t *testing.T, v gate.Verdict, found string) {
	t.Helper()
	text := o.Found
	if v == gate.Unknown {
		text = o.Summary
	}
	if o.Verdict != v || !strings.Contains(text, found) || (o.err == nil) != (v == gate.Pass) {
		t.Errorf("want %v, %q; got %v (gate: %v), found %q, summary %q\n%s", v, found, o.Verdict, o.err, o.Found, o.Summary, o.log)
	}
}

const (
	short = component.Duration(300 * time.Millisecond)
	long  = component.Duration(20 * time.Second)
)

// TestStep runs in a private copy: the original stays as it was, whatever the program does to what it sees.
func TestStep(t *testing.T) {
	t.Parallel()
	isolated(t)
	files := map[string]string{
		"test.sh": `#!/bin/sh
set -e
[ "$(cat data/x)" = x ] && echo changed >data/x && rm test.sh && mkdir -m 0555 "$HOME/cache" && : >"$TMPDIR/t" && : >"$HOME/h"
[ "$CI $LC_ALL $OWN $SLIPWAY_TEST_NOT_PASSED" = "true C.UTF-8 own " ] && pwd && date +%N && echo "done: $*" >&2`,
		"data/x": "x",
	}
	c := Config{Command: []string{"./test.sh", "$(touch canary)", "a b\n"}, Env: map[string]string{"OWN": "own"}, Output: []string{"done: $(touch canary) a b\n"}}
	o := run(t, c, files)
	o.expect(t, gate.Pass, `./test.sh of the checkout ended with status 0, printed ["done: $(touch canary) a b\n"]`)
	if len(o.tree) != 3 {
		t.Errorf("the original is changed: %v", o.tree)
	}
	// The output differs each time, the evidence does not.
	again := run(t, c, files)
	if o.Digest() != again.Digest() || o.Summary == again.Summary || !strings.Contains(o.Summary, "SHA-256 ") {
		t.Errorf("%+v\n%+v", o.Evidence, again.Evidence)
	}
	if !maps.Equal(o.tree, again.tree) {
		t.Error("the tree is not the same twice")
	}
	files["test.sh"] = "#!/bin/sh\necho done"
	run(t, c, files).expect(t, gate.Fail, "ended with status 0, never printed [")
	files["test.sh"] = "#!/bin/sh\necho why not; exit 3"
	o = run(t, c, files)
	o.expect(t, gate.Fail, `./test.sh of the checkout ended with status 3, never printed [`)
	if !strings.Contains(o.Summary, "; it printed last: why not") || !strings.Contains(o.log, "works | why not") {
		t.Errorf("%q, %q", o.Summary, o.log)
	}
	c = Config{Command: []string{"./test.sh"}, Exit: 3}
	run(t, c, files).expect(t, gate.Pass, "ended with status 3")
	files["test.sh"] = "#!/bin/sh\nexit 0"
	run(t, c, files).expect(t, gate.Fail, "ended with status 0")
}

// TestStep_Network asks a server of this machine: only who may reaches it.
func TestStep_Network(t *testing.T) {
	t.Parallel()
	isolated(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "reached")
			c.Close()
		}
	}()
	self, err := os.Executable()
	must(t, err)
	c := Config{Bundle: "app", Command: []string{"prog", "act", "dial", l.Addr().String()}, Output: []string{"reached"}, Arch: runtime.GOARCH}
	files := map[string]string{"bin/prog": "copy:" + self}
	run(t, c, files).expect(t, gate.Fail, "ended with status 7, never printed")
	c.Network = true
	run(t, c, files).expect(t, gate.Pass, "printed [")
}

// TestStep_Bundle: the bundle is laid out as below /usr, its programs come first, and what it has for /etc lies beside.
func TestStep_Bundle(t *testing.T) {
	t.Parallel()
	isolated(t)
	files := map[string]string{
		"bin/app":           "#!/bin/sh\nset -e\ncd \"$(dirname \"$0\")/..\"; [ \"$(basename \"$PWD\")\" = usr ]; cat ../etc/app.conf; [ ! -e etc ]; exec date",
		"bin/date":          "#!/bin/sh\necho our date",
		"lib/app/app":       "#!/bin/sh\necho inner",
		"lib/app/data.bin":  "data",
		"etc/app.conf":      "setting",
		"share/app/x.const": "x",
	}
	run(t, Config{Bundle: "app", Arch: runtime.GOARCH, Command: []string{"app"}, Output: []string{"setting", "our date"}}, files).
		expect(t, gate.Pass, "bin/app of the bundle ended with status 0, printed")
	run(t, Config{Bundle: "app", Arch: runtime.GOARCH, Command: []string{"lib/app/app"}, Output: []string{"inner"}}, files).
		expect(t, gate.Pass, "lib/app/app of the bundle ended with status 0")
	run(t, Config{Bundle: "app", Arch: runtime.GOARCH, Command: []string{"true"}}, files).expect(t, gate.Pass, "true of the machine ended with status 0")
	for program, want := range map[string]string{
		"lib/app/gone": `the bundle has no "lib/app/gone"`, "lib/app/data.bin": `"lib/app/data.bin" of the bundle is not executable`, "lib/app": `is not a file`,
	} {
		run(t, Config{Bundle: "app", Arch: runtime.GOARCH, Command: []string{program}}, files).expect(t, gate.Fail, want)
	}
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	run(t, Config{Bundle: "app", Arch: other, Command: []string{"app"}}, files).expect(t, gate.Unknown, "a bundle for linux/"+other+" does not run on")
}

// TestStep_Unknown: what could not be looked at is neither good nor bad.
func TestStep_Unknown(t *testing.T) {
	files := map[string]string{"x.sh": "#!/bin/sh\n:"}
	run(t, Config{Command: []string{"slipway-no-such-program"}}, files).expect(t, gate.Unknown, `cannot find the program "slipway-no-such-program"`)
	t.Setenv("PATH", t.TempDir())
	run(t, Config{Command: []string{"./x.sh"}}, files).expect(t, gate.Unknown, "bwrap is not installed")
	run(t, Config{Command: []string{"./x.sh"}, Display: true}, files).expect(t, gate.Unknown, `cannot give it a display: cannot find the program "Xvfb"`)
	run(t, Config{Command: []string{"./x.sh"}, Network: true, RunsFor: short}, files).expect(t, gate.Unknown, "bwrap is not installed")
	run(t, Config{Command: []string{"./x.sh"}, Network: true}, files).expect(t, gate.Pass, "ended with status 0")
}

// TestStep_Contract: planning, running twice, a power cut at each record.
func TestStep_Contract(t *testing.T) {
	t.Parallel()
	isolated(t)
	g := gate.Gate{ID: "gate/build", Title: "Build", Criteria: []gate.Criterion{{Title: "It works", Check: "works"}}}
	c := Config{Command: []string{"./x.sh"}, Output: []string{"fine"}}
	pipelinetest.Contract(t, pipelinetest.Subject{
		Env: pipeline.Env{Project: "p", Version: "1.0.0", Time: time.Unix(1, 0)},
		Phases: func() []pipeline.Phase {
			m := maker{component.SourceStep, component.Source, map[string]string{"x.sh": "#!/bin/sh\necho fine; : >new"}}
			return []pipeline.Phase{phase{m, Step("works", c, nil), pipeline.NewGate(g, ID("works"))}}
		},
		Options: func() pipeline.Options { return pipeline.Options{} },
		Crashes: 8,
	})
}

func TestStep_Secrets(t *testing.T) {
	isolated(t)
	t.Setenv("SLIPWAY_TEST_TOKEN", "s3cr3t-value")
	o := run(t, Config{Command: []string{"./x.sh"}, Pass: []string{"SLIPWAY_TEST_TOKEN"}}, map[string]string{"x.sh": "#!/bin/sh\nprintf 'it is \\033[31m%s\\n' \"$SLIPWAY_TEST_TOKEN\"; exit 1"})
	o.expect(t, gate.Fail, "ended with status 1")
	if all := o.log + o.Summary + o.Found; strings.Contains(all, "s3cr3t") || strings.Contains(all, "\x1b") || !strings.Contains(o.Summary, "[hidden]") {
		t.Errorf("%q", all)
	}
}

func TestStep_Display(t *testing.T) {
	t.Parallel()
	isolated(t)
	if _, err := exec.LookPath("Xvfb"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	self, err := os.Executable()
	must(t, err)
	c := Config{Bundle: "app", Arch: runtime.GOARCH, Command: []string{"lib/app/app", "act", "window"}, Display: true, RunsFor: short, Timeout: long, Output: []string{"window is open"}}
	files := map[string]string{"lib/app/app": "copy:" + self}
	run(t, c, files).expect(t, gate.Pass, "lib/app/app of the bundle went on running for 300ms, printed")
	c.Display = false
	run(t, c, files).expect(t, gate.Fail, "ended with status 7 before 300ms were over, never printed")
}

// TestGate_026_ScriptDryRun: a script that runs into a variable nobody has set.
func TestGate_026_ScriptDryRun(t *testing.T) {
	t.Parallel()
	isolated(t)
	c := Config{Command: []string{"bash", "scripts/build.sh", "--dry-run"}, Output: []string{"would build"}}
	const script = "#!/bin/bash\nset -euo pipefail\n[ \"$1\" = --dry-run ]\necho \"would build $VERSION\"\n"
	o := run(t, c, map[string]string{"scripts/build.sh": script})
	o.expect(t, gate.Fail, `bash of the machine ended with status 1, never printed ["would build"]`)
	if !strings.Contains(o.Summary, "VERSION: unbound variable") {
		t.Errorf("%q", o.Summary)
	}
	c.Env = map[string]string{"VERSION": "3.2.1"}
	run(t, c, map[string]string{"scripts/build.sh": script}).expect(t, gate.Pass, "ended with status 0")
}

// TestGate_028_NotExecutable: such a script has failed; it is not skipped.
func TestGate_028_NotExecutable(t *testing.T) {
	t.Parallel()
	isolated(t)
	c := Config{Command: []string{"scripts/deploy.sh"}}
	run(t, c, map[string]string{"scripts/deploy.sh": "echo up to date\n"}).expect(t, gate.Fail, `"scripts/deploy.sh" of the checkout is not executable`)
	run(t, c, map[string]string{"scripts/deploy.sh": "#!/bin/sh\ndir=$(mktemp -d); : >$dir/x; $dir/x"}).expect(t, gate.Fail, "ended with status 126")
	run(t, c, map[string]string{"scripts/deploy.sh": "#!/bin/sh\n"}).expect(t, gate.Pass, "ended with status 0")
}

// TestGate_035_NeverReady: a program whose start hangs runs on, but does not say that it is ready.
func TestGate_035_NeverReady(t *testing.T) {
	t.Parallel()
	isolated(t)
	c := Config{Bundle: "app", Arch: runtime.GOARCH, Command: []string{"app"}, RunsFor: short, Timeout: component.Duration(1200 * time.Millisecond), Output: []string{"first frame"}}
	run(t, c, map[string]string{"bin/app": "#!/bin/sh\necho initialising tray\nsleep 60\necho first frame"}).
		expect(t, gate.Fail, `bin/app of the bundle was not ready within 1.2s, never printed ["first frame"]`)
	c.Timeout = long
	run(t, c, map[string]string{"bin/app": "#!/bin/sh\nsleep 0.5; printf 'first '; sleep 0.1; echo frame\nsleep 60"}).
		expect(t, gate.Pass, "went on running for 300ms, printed")
	c.RunsFor, c.Timeout = 0, component.Duration(500*time.Millisecond)
	run(t, c, map[string]string{"bin/app": "#!/bin/sh\nsleep 60"}).expect(t, gate.Fail, "did not end within 500ms and was killed, never printed")
}

func TestGate_036_Segfault(t *testing.T) {
	t.Parallel()
	isolated(t)
	c := Config{Bundle: "app", Arch: runtime.GOARCH, Command: []string{"app"}, RunsFor: short, Timeout: long}
	o := run(t, c, map[string]string{"bin/app": "#!/bin/sh\necho loading tray plugin\nkill -SEGV $$"})
	o.expect(t, gate.Fail, "bin/app of the bundle was ended by signal SIGSEGV (status 139) before 300ms were over")
	if !strings.Contains(o.Summary, "; it printed last: loading tray plugin") {
		t.Errorf("%q", o.Summary)
	}
	run(t, c, map[string]string{"bin/app": "#!/bin/sh\nexit 0"}).expect(t, gate.Fail, "ended with status 0 before 300ms were over")
	run(t, c, map[string]string{"bin/app": "#!/bin/sh\n(sleep 60) &\nexit 0"}).expect(t, gate.Fail, "ended with status 0 before 300ms were over")
	run(t, c, map[string]string{"bin/app": "#!/bin/sh\nsleep 60"}).expect(t, gate.Pass, "went on running for 300ms")
	c.RunsFor = 0
	run(t, c, map[string]string{"bin/app": "#!/bin/sh\nkill -ABRT $$"}).expect(t, gate.Fail, "was ended by signal SIGABRT (status 134)")
}

// TestGate_037_LauncherFlag: the packaged launcher passes a flag that the packaged program refuses.
func TestGate_037_LauncherFlag(t *testing.T) {
	t.Parallel()
	isolated(t)
	c := Config{Bundle: "app", Arch: runtime.GOARCH, Command: []string{"bin/tray-launcher"}, RunsFor: short, Timeout: long}
	daemon := "#!/bin/sh\ncase \"$1\" in --port) exec sleep 60;; *) echo \"unknown flag $1\" >&2; exit 2;; esac"
	o := run(t, c, map[string]string{"bin/tray-launcher": "#!/bin/sh\nexec tray --daemon", "bin/tray": daemon})
	o.expect(t, gate.Fail, "ended with status 2 before 300ms were over")
	if !strings.Contains(o.Summary, "unknown flag --daemon") {
		t.Errorf("%q", o.Summary)
	}
	run(t, c, map[string]string{"bin/tray-launcher": "#!/bin/sh\nexec tray --port", "bin/tray": daemon}).expect(t, gate.Pass, "went on running")
}

// TestGate_047_Prompt: nobody answers, on standard input or on a terminal, and what goes on waiting is killed.
func TestGate_047_Prompt(t *testing.T) {
	t.Parallel()
	isolated(t)
	c := Config{Command: []string{"./x.sh"}, Timeout: component.Duration(time.Second)}
	run(t, c, map[string]string{"x.sh": "#!/bin/sh\nread -r answer || { echo nobody; exit 4; }"}).expect(t, gate.Fail, "ended with status 4")
	run(t, c, map[string]string{"x.sh": "#!/bin/sh\nread -r answer </dev/tty || exit 5"}).expect(t, gate.Fail, "ended with status")
	run(t, c, map[string]string{"x.sh": "#!/bin/sh\n$SUDO_ASKPASS || exit 6"}).expect(t, gate.Fail, "ended with status 6")
	begun := time.Now()
	run(t, c, map[string]string{"x.sh": "#!/bin/sh\ntrap '' TERM INT\n(setsid sleep 120) & while :; do sleep 1; done"}).expect(t, gate.Fail, "did not end within 1s and was killed")
	if time.Since(begun) > 30*time.Second {
		t.Error("it was waited for")
	}
	run(t, c, map[string]string{"x.sh": "#!/bin/sh\necho no questions"}).expect(t, gate.Pass, "ended with status 0")
}
