package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
