package isolate

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/imrightguy/slipway/phases/internal/tool"
)

// TestMain makes the test's own program one that does what its first argument says.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "act" {
		act(os.Args[2], os.Args[3:])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func act(what string, args []string) {
	check := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(7)
		}
	}
	switch what {
	case "dial":
		c, err := net.DialTimeout("tcp", args[0], 3*time.Second)
		check(err)
		_, err = io.Copy(os.Stdout, c)
		check(err)
	case "self":
		l, err := net.Listen("tcp", "127.0.0.1:0")
		check(err)
		c, err := net.Dial("tcp", l.Addr().String())
		check(err)
		check(errors.Join(c.Close(), l.Close()))
		all, err := net.Interfaces()
		check(err)
		for _, i := range all {
			fmt.Print(i.Name, ";")
		}
	case "unix":
		_, err := net.Dial("unix", args[0])
		check(err)
	case "terminal":
		_, err := os.Open("/dev/tty")
		check(err)
	case "leave":
		child := exec.Command(os.Args[0], "act", "linger", args[0])
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		check(child.Start())
		for range 200 {
			if _, err := os.Stat(args[0]); err == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		os.Exit(8)
	case "linger":
		for range 3000 {
			check(os.WriteFile(args[0], []byte(time.Now().String()), 0o600))
			time.Sleep(20 * time.Millisecond)
		}
	case "streams":
		fmt.Print("out ")
		fmt.Fprint(os.Stderr, "err ")
		fmt.Print("out")
	case "write":
		check(os.WriteFile(args[0], nil, 0o600))
	case "sleep":
		time.Sleep(2 * time.Minute)
	}
}

func self(t *testing.T, args ...string) Command {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Command{Argv: append([]string{program, "act"}, args...), Dir: t.TempDir(), Env: append(append(tool.Inherit("PATH"), Quiet()...), "GOCOVERDIR="+t.TempDir()), Timeout: time.Minute}
}

// isolated skips the test where the kernel gives no name spaces; that bwrap is there at all is wanted in CI.
func isolated(t *testing.T) {
	t.Helper()
	_, err := enclose(t.Context(), self(t))
	if not, ok := errors.AsType[*UnavailableError](err); ok {
		if os.Getenv("CI") == "true" && strings.Contains(not.Why, "not installed") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, c Command) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c.Stdout = &out
	_, err := Run(t.Context(), c)
	return out.String(), err
}

// TestRun_Network asks a server of this machine: with the network it answers, without it cannot be reached. Loopback
// works, and is all there is.
func TestRun_Network(t *testing.T) {
	t.Parallel()
	isolated(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
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
	c := self(t, "dial", l.Addr().String())
	if out, err := run(t, c); err == nil || !strings.Contains(out, "refused") {
		t.Errorf("without network: %q, %v", out, err)
	}
	c.Network = true
	if out, err := run(t, c); err != nil || out != "reached" {
		t.Errorf("with network: %q, %v", out, err)
	}
	if out, err := run(t, self(t, "self")); err != nil || out != "lo;" {
		t.Errorf("loopback: %q, %v", out, err)
	}
}

// TestRun_Services: a socket that is a file is no way around.
func TestRun_Services(t *testing.T) {
	t.Parallel()
	isolated(t)
	dir := fmt.Sprintf("/run/slipway-test-%d", os.Getpid())
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Skip(err) // only root may
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := self(t, "unix", dir+"/s")
	if out, err := run(t, c); err == nil {
		t.Errorf("reached: %q", out)
	}
	c.Network = true
	if out, err := run(t, c); err != nil {
		t.Errorf("with network: %q, %v", out, err)
	}
}

// TestRun_Leftovers: what a program started ends with it, even in a session of its own.
func TestRun_Leftovers(t *testing.T) {
	t.Parallel()
	isolated(t)
	c := self(t, "leave", filepath.Join(t.TempDir(), "beat"))
	if out, err := run(t, c); err != nil {
		t.Fatal(out, err)
	}
	beat := func() string {
		b, err := os.ReadFile(c.Argv[3])
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first := beat()
	time.Sleep(300 * time.Millisecond)
	if beat() != first {
		t.Error("something still runs")
	}
}

// TestRun_Terminal runs itself on a terminal of its own, which the program must not get hold of.
func TestRun_Terminal(t *testing.T) {
	const variable = "ISOLATE_TEST_TERMINAL"
	isolated(t)
	if os.Getenv(variable) != "" {
		if f, err := os.Open("/dev/tty"); err != nil {
			t.Fatal("there is no terminal to keep it from:", err)
		} else {
			f.Close()
		}
		if out, err := run(t, self(t, "terminal")); err == nil || !strings.Contains(out, "no such device") {
			t.Errorf("%q, %v", out, err)
		}
		return
	}
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer slave.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRun_Terminal$", "-test.count=1")
	cmd.Env, cmd.Stdin = append(os.Environ(), variable+"=1"), slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestRun_ReadOnly(t *testing.T) {
	t.Parallel()
	isolated(t)
	dir := t.TempDir()
	c := self(t, "write", filepath.Join(dir, "x"))
	c.ReadOnly = []string{dir}
	if out, err := run(t, c); err == nil || !strings.Contains(out, "read-only") {
		t.Errorf("%q, %v", out, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
	c = self(t, "write", "here")
	if out, err := run(t, c); err != nil {
		t.Errorf("where it runs: %q, %v", out, err)
	}
}

func TestRun_Ends(t *testing.T) {
	t.Parallel()
	isolated(t)
	if out, err := run(t, self(t, "streams")); err != nil || out != "out err out" {
		t.Errorf("%q, %v", out, err)
	}
	c := self(t)
	c.Argv = []string{"/bin/sh", "-c", "kill -SEGV $$"}
	_, err := run(t, c)
	var exit *tool.ExitError
	if !errors.As(err, &exit) || Signal(exit.Code) != "SIGSEGV" {
		t.Errorf("%v", err)
	}
	if Signal(0) != "" || Signal(127) != "" || Signal(128) != "" || Signal(255) != "" {
		t.Error("a status is taken for a signal")
	}
	c = self(t, "sleep")
	c.Timeout = 300 * time.Millisecond
	var late *tool.TimeoutError
	if _, err = run(t, c); !errors.As(err, &late) || late.Program != base(c.Argv[0]) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	time.AfterFunc(300*time.Millisecond, func() { cancel(why) })
	if _, err = Run(ctx, self(t, "sleep")); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}

// TestRun_Arguments passes what a shell would act on: it arrives as it is.
func TestRun_Arguments(t *testing.T) {
	t.Parallel()
	isolated(t)
	hostile := []string{"-n", "$(touch canary)", "`touch canary`", "a\nb", `"'\`, "; touch canary", "*", "--", ""}
	c := self(t)
	c.Argv = append([]string{"/usr/bin/printf", `%s\0`}, hostile...)
	if out, err := run(t, c); err != nil || out != strings.Join(hostile, "\x00")+"\x00" {
		t.Errorf("%q, %v", out, err)
	}
	if left, err := os.ReadDir(c.Dir); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// TestRun_Unavailable: without bwrap nothing is run that must not reach the network, or must leave nothing behind.
func TestRun_Unavailable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x")
	c := self(t, "write", file)
	t.Setenv("PATH", t.TempDir())
	for _, contain := range []bool{false, true} {
		c.Network, c.Contain = contain, contain
		var not *UnavailableError
		if _, err := Run(t.Context(), c); !errors.As(err, &not) || !strings.Contains(err.Error(), "bubblewrap") {
			t.Errorf("%v", err)
		}
		if _, err := os.Stat(file); err == nil {
			t.Fatal("it was run")
		}
	}
	c.Network, c.Contain = true, false
	if _, err := Run(t.Context(), c); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error("with network it need not be isolated")
	}
	bad := t.TempDir() // a bwrap that the kernel does not let
	if err := os.WriteFile(filepath.Join(bad, "bwrap"), []byte("#!/bin/sh\necho no name spaces >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bad)
	c.Network = false
	if _, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "no name spaces") {
		t.Errorf("%v", err)
	}
}

// TestDisplay opens a connection as an X client does (X Window System Protocol, chapter 8): with the cookie it is
// accepted, without refused.
func TestDisplay(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("Xvfb"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	d, err := NewDisplay(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var name, file string
	for _, kv := range d.Env() {
		if v, ok := strings.CutPrefix(kv, "DISPLAY=:"); ok {
			name = v
		}
		if v, ok := strings.CutPrefix(kv, "XAUTHORITY="); ok {
			file = v
		}
	}
	auth, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	socket := "/tmp/.X11-unix/X" + name
	greet := func(cookie []byte) byte {
		t.Helper()
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		const protocol = "MIT-MAGIC-COOKIE-1"
		b := []byte{'l', 0, 11, 0, 0, 0}
		b = binary.LittleEndian.AppendUint16(b, uint16(len(protocol)))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(cookie)))
		b = append(b, 0, 0)
		b = append(append(b, protocol...), 0, 0)
		b = append(b, cookie...)
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 1)
		if _, err := io.ReadFull(c, answer); err != nil {
			t.Fatal(err)
		}
		return answer[0]
	}
	if got := greet(auth[len(auth)-16:]); got != 1 {
		t.Errorf("with the cookie: %d", got)
	}
	if got := greet(make([]byte, 16)); got != 0 {
		t.Errorf("with another cookie: %d", got)
	}
	other, err := NewDisplay(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if other.name == d.name {
		t.Error("two displays are one")
	}
	other.Close()
	d.Close()
	if _, err := os.Stat(socket); err == nil {
		t.Error("its socket is still there")
	}
}

func TestDisplay_Fails(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	var missing *tool.MissingError
	if _, err := NewDisplay(t.Context(), t.TempDir()); !errors.As(err, &missing) {
		t.Errorf("%v", err)
	}
	for script, want := range map[string]string{"echo no fonts >&2; exit 1": "no fonts", "echo x >&3": "did not name"} {
		if err := os.WriteFile(filepath.Join(dir, "Xvfb"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		var not *UnavailableError
		if _, err := NewDisplay(t.Context(), t.TempDir()); !errors.As(err, &not) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", script, err)
		}
	}
}
