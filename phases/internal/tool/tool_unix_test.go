//go:build unix

package tool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func sh(t *testing.T, script string, args ...string) Command {
	t.Helper()
	return Command{Argv: append([]string{"sh", "-c", script, "sh"}, args...), Dir: t.TempDir(), Env: Inherit("PATH")}
}

// TestRun_Arguments passes what a shell would act on: it arrives as it is.
func TestRun_Arguments(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hostile := []string{"-n", "$(touch canary)", "`touch canary`", "a\nb", `"'\`, "; touch canary", "*", "--", ""}
	var out bytes.Buffer
	c := sh(t, `printf '%s\0' "$@"`, hostile...)
	c.Dir, c.Stdout = dir, &out
	if _, err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if want := strings.Join(hostile, "\x00") + "\x00"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// TestRun_Environment: nothing of the caller's comes through, with an environment or without.
func TestRun_Environment(t *testing.T) {
	t.Setenv("SLIPWAY_LEAK", "leaked")
	for _, env := range [][]string{nil, {"ONLY=this"}} {
		var out bytes.Buffer
		if _, err := Run(t.Context(), Command{Argv: []string{"env"}, Dir: t.TempDir(), Env: env, Stdout: &out}); err != nil {
			t.Fatal(err)
		}
		// exec.Cmd adds PWD itself, which says no more than Dir does.
		for line := range strings.Lines(out.String()) {
			if !strings.HasPrefix(line, "PWD=") && line != "ONLY=this\n" {
				t.Errorf("env %q: found %q", env, line)
			}
		}
	}
}

func TestRun_Failure(t *testing.T) {
	t.Parallel()
	_, err := Run(t.Context(), sh(t, `seq 1 5000; echo why it failed >&2; exit 7`))
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 7 || exit.Program != "sh" {
		t.Fatalf("got %v", err)
	}
	text := err.Error()
	if !strings.HasPrefix(text, "sh ended with status 7:\n[...] 4990\n") || !strings.HasSuffix(text, "5000\nwhy it failed") {
		t.Errorf("got %q", text)
	}
	if strings.Contains(text, "\n17\n") || len(text) > excerptBytes {
		t.Errorf("shows all of it: %d bytes", len(text))
	}
	if _, err = Run(t.Context(), sh(t, `kill -9 $$`)); !errors.As(err, &exit) || !strings.Contains(err.Error(), "by a signal and printed nothing") {
		t.Errorf("got %v", err)
	}
}

func TestRun_Missing(t *testing.T) {
	t.Parallel()
	_, err := Run(t.Context(), Command{Argv: []string{"no-such-program-here"}, Dir: t.TempDir()})
	var missing *MissingError
	if !errors.Is(err, ErrMissing) || !errors.As(err, &missing) || missing.Program != "no-such-program-here" {
		t.Errorf("got %v", err)
	}
}

// TestRun_NotHere: a program in the folder where it runs is not found by its plain name.
func TestRun_NotHere(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "planted"), []byte("#!/bin/sh\ntouch canary\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	t.Setenv("PATH", "."+string(os.PathListSeparator)+os.Getenv("PATH"))
	if _, err := Run(t.Context(), Command{Argv: []string{"planted"}, Dir: dir}); !errors.Is(err, ErrMissing) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat("canary"); err == nil {
		t.Error("it ran")
	}
}

// TestRun_Killed lets a program hang with a child in the background, which holds the output open: both are gone after
// the limit, and after an interrupt.
func TestRun_Killed(t *testing.T) {
	t.Parallel()
	const hang = `sleep 4711 & echo $!; echo partial; wait`
	gone := func(t *testing.T, out string) {
		t.Helper()
		pid, err := strconv.Atoi(strings.TrimSpace(strings.Split(out, "\n")[0]))
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) || zombie(pid) {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("child %d is still there", pid)
	}
	t.Run("limit", func(t *testing.T) {
		t.Parallel()
		c := sh(t, hang)
		c.Timeout = 300 * time.Millisecond
		r, err := Run(t.Context(), c)
		var timeout *TimeoutError
		if !errors.As(err, &timeout) || timeout.Limit != c.Timeout || !strings.Contains(err.Error(), "sh was killed after 300ms:\n") || !strings.HasSuffix(err.Error(), "partial") {
			t.Errorf("got %v", err)
		}
		gone(t, r.Tail)
	})
	t.Run("interrupt", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(300*time.Millisecond, cancel)
		r, err := Run(ctx, sh(t, hang))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		gone(t, r.Tail)
	})
	t.Run("left behind", func(t *testing.T) {
		t.Parallel()
		r, err := Run(t.Context(), sh(t, `sleep 4711 >/dev/null 2>&1 & echo $!`))
		if err != nil {
			t.Fatal(err)
		}
		gone(t, r.Tail)
	})
}

func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && bytes.Contains(b, []byte(") Z "))
}

// TestRun_Secrets prints secrets in all the ways in which they come: none is in the error.
func TestRun_Secrets(t *testing.T) {
	t.Setenv("DEPLOY_TOKEN", "from-our-environment")
	c := sh(t, `
		echo "token $API_TOKEN"; echo "ours from-our-environment"; echo "explicit hunter22"
		echo "fetch https://user:pa55word@host/x"; echo "Authorization: Bearer abc.def.ghi"
		echo "ghp_abcdefghijklmnopqrstuvwxyz0123456789"; echo "key line-two-of-it"; echo keep this; exit 1`)
	c.Env = append(c.Env, "API_TOKEN=to-the-program")
	c.Secrets = []string{"hunter22", "line-one-of-it\nline-two-of-it\n"}
	_, err := Run(t.Context(), c)
	if err == nil {
		t.Fatal("it did not fail")
	}
	text := err.Error()
	for _, secret := range []string{"to-the-program", "from-our", "hunter22", "pa55word", "abc.def", "ghp_", "line-two"} {
		if strings.Contains(text, secret) {
			t.Errorf("shows %q:\n%s", secret, text)
		}
	}
	if !strings.HasSuffix(text, "keep this") || !strings.Contains(text, "https://"+Blot+"@host/x") {
		t.Errorf("got %s", text)
	}
}

// TestRun_NotAProgram: a program that cannot be started is a plain error.
func TestRun_NotAProgram(t *testing.T) {
	t.Parallel()
	p := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(p, []byte("\x7fELF nonsense"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), Command{Argv: []string{p}, Dir: t.TempDir()})
	if err == nil || !strings.HasPrefix(err.Error(), "cannot run text: ") || errors.As(err, new(*exec.ExitError)) {
		t.Errorf("got %v", err)
	}
}

// TestRun_Lines: a line of one stream is told as a whole, whatever the other one says in the meantime; the last may have no
// end.
func TestRun_Lines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r, err := Run(t.Context(), Command{
		Argv: []string{"sh", "-c", "printf 'sum ... ' >&2; echo other; sleep 0.1; echo FAILED >&2; printf last; printf end >&2"}, Dir: t.TempDir(),
		Env: Inherit("PATH"), Stdout: &out,
	})
	if err != nil || out.String() != "other\nlast" || !strings.HasPrefix(r.Tail, "other\nsum ... FAILED\n") || len(r.Tail) != len("other\nsum ... FAILED\nlastend") {
		t.Errorf("%q, %q, %v", out.String(), r.Tail, err)
	}
}
