package sandbox

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/tool"
)

func must(t *testing.T, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, ErrMissing) && os.Getenv("CI") != "true":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

func box(t *testing.T) *Box {
	t.Helper()
	must(t, Need("bash", "setpriv"))
	b, err := New(t.Context())
	must(t, err)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// TestRun tells what a tool answers from what keeps it from answering.
func TestRun(t *testing.T) {
	t.Parallel()
	b := box(t)
	out, err := b.Run(t.Context(), Command{Argv: []string{"bash", "-c", `echo "$1 $X"; echo other >&2`, "bash", "$(touch canary)"}, Dir: "home", Env: []string{"X=`touch canary`"}})
	if err != nil || out.Stdout != "$(touch canary) `touch canary`\n" || !strings.Contains(out.Tail, "other") {
		t.Errorf("%v %+v", err, out)
	}
	_, err = b.Run(t.Context(), Command{Argv: []string{"bash", "-c", "echo no; exit 3"}, Dir: "home"})
	if exit, ok := errors.AsType[*tool.ExitError](err); !ok || exit.Code != 3 || exit.Program != "bash" || exit.Tail != "no\n" {
		t.Errorf("a refusal is %v", err)
	}
	for what, argv := range map[string][]string{
		"a program that is not there": {"slipway-no-such-program"}, "a folder": {"/usr"},
		"one that is killed": {"bash", "-c", "kill -9 $$"}, "one that is terminated": {"bash", "-c", "kill $$"},
	} {
		_, err := b.Run(t.Context(), Command{Argv: argv, Dir: "home"})
		if start, ok := errors.AsType[*StartError](err); !ok || start.Tool != argv[0] {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, os.RemoveAll(b.Outside("tmp"))) // then the script before the program fails
	_, err = b.Run(t.Context(), Command{Argv: []string{"false"}, Dir: "home"})
	if start, ok := errors.AsType[*StartError](err); !ok || start.Tool != "false" {
		t.Errorf("what fails before the program: %v", err)
	}
}

// TestBox: it is where tools see it, belongs to them, and vanishes with folders that cannot be written.
func TestBox(t *testing.T) {
	t.Parallel()
	must(t, Need("bash", "setpriv"))
	b, err := New(t.Context())
	must(t, err)
	dir := b.Outside()
	must(t, os.WriteFile(b.Outside("home", "given"), []byte("x"), 0o600))
	must(t, b.HandOver())
	_, err = b.Run(t.Context(), Command{Argv: []string{"bash", "-ec", `cd "$1"; cat given; mkdir -p a/b; touch a/b/c; chmod 0 a/b a`, "bash", b.Inside("home")}, Dir: "home"})
	must(t, err)
	must(t, b.Close())
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the box is left: %v", err)
	}
}

// TestIsolation_Err: without a sandbox there is a reason.
func TestIsolation_Err(t *testing.T) {
	t.Parallel()
	if err := (Isolation{Sandbox: "bwrap"}).Err(); err != nil {
		t.Error(err)
	}
	err := Isolation{Reason: "bwrap is not installed"}.Err()
	if open, ok := errors.AsType[*OpenError](err); !ok || !strings.Contains(open.Error(), "bwrap is not installed") {
		t.Errorf("got %v", err)
	}
}

// TestLook is not parallel: it changes where tools are looked for. What is no program is not taken for one.
func TestLook(t *testing.T) {
	defer func(old []string) { Path = old }(Path)
	dir := t.TempDir()
	Path = []string{dir}
	must(t, os.Mkdir(filepath.Join(dir, "makepkg"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "pacman"), nil, 0o644))
	for _, name := range []string{"makepkg", "pacman", "bash"} {
		missing, ok := errors.AsType[*MissingError](Need(name))
		if !ok || missing.Tool != name || missing.Package == "" || !strings.Contains(missing.Error(), "install the Debian package "+missing.Package) {
			t.Errorf("%s: %v", name, missing)
		}
	}
	must(t, os.Chmod(filepath.Join(dir, "pacman"), 0o755))
	if err := Need("pacman"); err != nil {
		t.Error(err)
	}
}

// TestCopyTree_Links: nothing that a link leads to is copied.
func TestCopyTree_Links(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), t.TempDir()
	must(t, os.Symlink("/etc/passwd", filepath.Join(from, "users")))
	if err := CopyTree(from, to); err == nil || !strings.Contains(err.Error(), "neither a file nor a folder") {
		t.Errorf("got %v", err)
	}
	if err := CopyFile(filepath.Join(from, "users"), filepath.Join(to, "users"), 0o644); err == nil {
		t.Error("a link was followed")
	}
	entries, err := os.ReadDir(to)
	must(t, err)
	if len(entries) != 0 {
		t.Errorf("copied %v", entries)
	}
}

// TestRun_Scratch: what a program writes is held in memory, has a bound, and only what is asked for comes back.
func TestRun_Scratch(t *testing.T) {
	t.Parallel()
	b := box(t)
	if err := b.Isolation.Err(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	must(t, os.Mkdir(b.Outside("out"), 0o755))
	must(t, os.WriteFile(b.Outside("home", "given"), []byte("x"), 0o644))
	must(t, b.HandOver())
	run := func(script, keep string) (Output, error) {
		return b.Run(t.Context(), Command{Argv: []string{"bash", "-c", script}, Dir: "home", Scratch: 8 << 20, Keep: keep, Timeout: time.Minute})
	}
	out, err := run(`cat given; pwd; touch ../out/a; ls ..; ulimit -u; cat /proc/self/oom_score_adj`, "")
	if err != nil || out.Stdout != "x/slipway/home\nhome\nout\ntmp\n256\n1000\n" {
		t.Errorf("%q, %v", out.Stdout, err)
	}
	out, err = run(`echo said; echo kept > ../out/a; mkdir ../other; touch ../other/b; setsid -f bash -c 'while :; do echo x >> /slipway/out/a; done' </dev/null >/dev/null 2>&1`, "out")
	if err != nil || out.Stdout != "" || !strings.Contains(out.Tail, "said") {
		t.Errorf("%+v, %v", out, err)
	}
	if text, err := os.ReadFile(b.Outside("out", "a")); err != nil || !strings.HasPrefix(string(text), "kept\n") {
		t.Errorf("kept %.20q, %v", text, err)
	}
	if _, err := os.Lstat(b.Outside("other")); err == nil {
		t.Error("what was not asked for came back")
	}
	for script, want := range map[string]string{
		`head -c 20000000 /dev/zero > big`:           "No space left",
		`touch /box/x`:                               "Read-only",
		`touch /usr/x`:                               "Read-only",
		`touch /x`:                                   "Read-only",
		`head -c 100000000 /dev/zero > /tmp/big`:     "No space left",
		`head -c 100000000 /dev/zero > /dev/shm/big`: "No space left",
		`rmdir ../out; ln -s /etc ../out`:            "not a regular file of the folder",
		`ln -s /etc/passwd ../out/x`:                 "not a regular file of the folder",
		`mkdir ../out/x; touch ../out/x/y`:           "not a regular file of the folder",
		`rmdir ../out`:                               "out is gone",
		`while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done`: "it printed more than",
	} {
		keep := ""
		if strings.Contains(script, "../out") {
			keep = "out"
		}
		if _, err := run(script, keep); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", script, err)
		}
	}
	begun := time.Now()
	_, err = b.Run(t.Context(), Command{Argv: []string{"sleep", "600"}, Dir: "home", Scratch: 1 << 20, Timeout: 300 * time.Millisecond})
	if start, ok := errors.AsType[*StartError](err); !ok || !strings.Contains(start.Why, "not done after") || time.Since(begun) > 10*time.Second {
		t.Errorf("%v", err)
	}
	must(t, os.WriteFile(b.Outside("home", "large"), make([]byte, 1<<20), 0o644))
	_, err = b.Run(t.Context(), Command{Argv: []string{"true"}, Dir: "home", Scratch: 1 << 19})
	if start, ok := errors.AsType[*StartError](err); !ok {
		t.Errorf("what has no room does not start: %v, %v", start, err)
	}
}

// TestRun_Root: a program sees a folder of the box in the place of /usr, and what the system has beside it.
func TestRun_Root(t *testing.T) {
	t.Parallel()
	b := box(t)
	if b.Isolation.Err() != nil {
		if _, err := b.Run(t.Context(), Command{Argv: []string{"true"}, Dir: "home", Root: "root"}); err == nil {
			t.Error("it was run without a sandbox")
		}
		t.Skip(b.Isolation.Err())
	}
	must(t, os.MkdirAll(b.Outside("root/usr/bin"), 0o755))
	must(t, os.MkdirAll(b.Outside("root/opt/demo"), 0o755))
	must(t, os.WriteFile(b.Outside("root/usr/bin/mine"), []byte("#!/bin/bash\ncd /opt/demo && readlink -f \"$0\" && ls /usr/bin/mine && env true; touch /usr/bin/x 2>/dev/null || echo kept\n"), 0o755))
	must(t, os.Symlink("/nowhere", b.Outside("root/usr/bin/env2")))
	must(t, b.Merge("root"))
	must(t, b.HandOver())
	out, err := b.Run(t.Context(), Command{Argv: []string{"/usr/bin/mine"}, Dir: "home", Root: "root", Scratch: 1 << 20})
	if err != nil || out.Stdout != "/usr/bin/mine\n/usr/bin/mine\nkept\n" {
		t.Errorf("%+v, %v", out, err)
	}
}

// FuzzTake: whatever stands where the archive of what is kept should be, nothing is laid outside of its folder.
func FuzzTake(f *testing.F) {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, h := range []*tar.Header{{Name: "out/", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "out/a", Size: 1, Mode: 0o644}} {
		must(&testing.T{}, tw.WriteHeader(h))
	}
	_, _ = tw.Write([]byte("x"))
	must(&testing.T{}, tw.Close())
	f.Add(buf.Bytes())
	f.Add(bytes.ReplaceAll(buf.Bytes(), []byte("out/a"), []byte("../ab")))
	f.Fuzz(func(t *testing.T, archive []byte) {
		dir := t.TempDir()
		_ = take(bytes.NewReader(archive), dir, "out", 1<<16)
		entries, err := os.ReadDir(dir)
		must(t, err)
		if len(entries) > 1 || len(entries) == 1 && entries[0].Name() != "out" {
			t.Errorf("%v", entries)
		}
	})
}
