package appimage_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/build/appimage"
	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
)

const nobody = 65534

// appRun is an application that does what its first argument says.
const appRun = `#!/bin/sh
PATH=/usr/bin:/bin
case "$1" in
env)  printf '%s\n' "APPDIR=$APPDIR" "APPIMAGE=$APPIMAGE" "ARGV0=$ARGV0" "OWD=$OWD" "HOME=$HOME" "XDG_CONFIG_HOME=$XDG_CONFIG_HOME" "pid=$$" "cwd=$(pwd)" ;;
stage) echo "stage=$APPIMAGE_SLIPWAY_STAGE" ;;
kids) read -r kids < /proc/$$/task/$$/children; echo "kids=$kids." ;;
args) shift; for a; do echo "[$a]"; done ;;
exit) exit "$2" ;;
kill) kill -"$2" $$ ;;
wait) echo ready; exec sleep 60 ;;
child) (sleep "$2"; cat "$APPDIR/usr/share/data" > "$3.tmp"; mv "$3.tmp" "$3") >/dev/null 2>&1 </dev/null & ;;
cat)  cat "$APPDIR/$2" ;;
sum)  cd "$APPDIR" && ls -lR . && find . -type f | LC_ALL=C sort | xargs cat | wc -c ;;
write) echo x > "$APPDIR/usr/new" ;;
esac
`

func testAppDir() []squashfs.Entry {
	return []squashfs.Entry{
		file("AppRun", 0o755, []byte(appRun)),
		file("usr/share/data", 0o644, []byte("payload\n")),
		file("usr/share/big", 0o600, bytes.Repeat([]byte("0123456789abcdef"), 100_000)),
		file("usr/share/closed/secret", 0o400, []byte("s")),
		{Path: "usr/share/closed", Mode: os.ModeDir | 0o555},
		link("usr/share/link", "data"),
		link("usr/dangling", "/nowhere/at/all"),
	}
}

// app is an AppImage with a home and a temporary folder of its own to run in.
type app struct {
	path, home, tmp string
	uid             int
	env             []string
	script          string // a shell script to run it in, in a mount namespace of its own; "$@" is the command
}

func newApp(t *testing.T, name string, uid int) *app {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		unavailable(t, "the AppImage made here is for amd64")
	}
	path, _ := build(t, name, appimage.Options{AppDir: testAppDir(), UpdateInformation: "zsync|https://example.com/a.zsync"})
	a := &app{path: path, uid: uid, home: filepath.Join(filepath.Dir(path), "home"), tmp: filepath.Join(filepath.Dir(path), "t m p")}
	for _, d := range []string{a.home, a.tmp} {
		if err := errors.Join(os.Mkdir(d, 0o700), os.Chown(d, uid, uid)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { a.checkClean(t) })
	return a
}

func (a *app) command(args ...string) *exec.Cmd {
	argv := append([]string{a.path}, args...)
	if a.script != "" {
		setpriv := fmt.Sprintf("setpriv --reuid %d --regid %d --clear-groups --inh-caps=-all --bounding-set=+all ", a.uid, a.uid)
		if a.uid == 0 {
			setpriv = ""
		}
		argv = append([]string{"unshare", "-m", "--propagation", "private", "sh", "-c", "set -e\n" + strings.ReplaceAll(a.script, "RUN", setpriv+`"$@"`), "sh"}, argv...)
	}
	c := exec.Command(argv[0], argv[1:]...)
	c.Dir = filepath.Dir(a.path)
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + a.home, "TMPDIR=" + a.tmp}, a.env...)
	if a.script == "" && a.uid != os.Getuid() {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.uid)}}
	}
	return c
}

type outcome struct {
	out, errs string
	code      int
	signal    syscall.Signal
}

func (a *app) run(t *testing.T, args ...string) outcome {
	t.Helper()
	return finish(t, a.command(args...))
}

func finish(t *testing.T, c *exec.Cmd) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	c.WaitDelay = 20 * time.Second
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	hung := time.AfterFunc(60*time.Second, func() { c.Process.Kill() })
	defer hung.Stop()
	err := c.Wait()
	if x := (*exec.ExitError)(nil); err != nil && !errors.As(err, &x) {
		t.Fatal(err)
	}
	o := outcome{out: out.String(), errs: errs.String(), code: c.ProcessState.ExitCode()}
	if ws := c.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
		o.signal = ws.Signal()
	}
	return o
}

// checkClean fails when a mount, a folder or a process is left behind.
func (a *app) checkClean(t *testing.T) {
	t.Helper()
	if left := a.waitClean(10 * time.Second); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func (a *app) waitClean(d time.Duration) (left string) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if left = a.leftovers(); left == "" {
			return ""
		}
	}
	return left
}

func (a *app) leftovers() string {
	var left []string
	for _, d := range []string{a.tmp, a.home, filepath.Join(a.home, ".cache")} {
		list, _ := os.ReadDir(d)
		for _, e := range list {
			if e.Name() != ".cache" {
				left = append(left, filepath.Join(d, e.Name()))
			}
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err.Error()
	}
	if strings.Contains(string(mounts), filepath.Base(filepath.Dir(a.path))) {
		left = append(left, "a mount")
	}
	for _, pid := range a.processes() {
		left = append(left, fmt.Sprintf("process %d", pid))
	}
	return strings.Join(left, ", ")
}

// processes lists those that run the AppImage's runtime.
func (a *app) processes() (pids []int) {
	exes, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, e := range exes {
		if p, err := os.Readlink(e); err == nil && p == a.path {
			pid, _ := strconv.Atoi(strings.Split(e, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		unavailable(t, "needs root: mounting and changing the user")
	}
}

func needFuse(t *testing.T) {
	t.Helper()
	needRoot(t)
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		unavailable(t, "no usable /dev/fuse: %v", err)
	}
	f.Close()
}

// scenario is a way in which an AppImage may find its system.
type scenario struct {
	name   string
	uid    int
	env    []string
	args   []string // before the application's
	script string
	mounts bool   // else it runs from an unpacked copy
	says   string // on stderr; nothing else
}

// privateFuse gives a mount namespace a /dev/fuse that every user may open.
const privateFuse = `d=$(mktemp -d /var/tmp/ns.XXXXXX); mount -t tmpfs -o dev,mode=755 none $d; mknod -m 666 $d/fuse c 10 229; mount --bind $d/fuse /dev/fuse; umount -l $d; rmdir $d
`

// noFuse hides /dev/fuse.
const noFuse = `d=$(mktemp -d /var/tmp/ns.XXXXXX); mount -t tmpfs -o dev,mode=755 none $d; for n in null zero urandom tty; do touch $d/$n; mount --bind /dev/$n $d/$n; done; mount --rbind $d /dev; rmdir $d 2>/dev/null || true
`

// settled waits inside the namespace until nothing is mounted any more, and fails when something stays.
const settled = `
c=0; RUN || c=$?
i=0; while grep -q ' fuse.appimage ' /proc/self/mounts; do i=$((i+1)); [ $i -lt 500 ] || { echo LEFT >&2; exit 99; }; sleep 0.01; done
exit $c`

func scenarios() []scenario {
	return []scenario{
		{name: "root", mounts: true},
		{name: "root extracts", args: []string{"--appimage-extract-and-run"}},
		{name: "root extracts by environment", env: []string{"APPIMAGE_EXTRACT_AND_RUN=1"}},
		{name: "nobody with fusermount3", uid: nobody, script: privateFuse + settled, mounts: true},
		{name: "nobody without rights on fuse", uid: nobody, says: "cannot mount (fusermount3: "},
		{name: "nobody without fusermount3", uid: nobody, env: []string{"PATH=/nonexistent"}, says: "cannot mount (no fusermount3 in the PATH)"},
		{name: "nobody with a broken fusermount", uid: nobody, env: []string{"FUSERMOUNT_PROG=/bin/false"}, says: "cannot mount (false: "},
		{name: "no /dev/fuse", uid: nobody, script: noFuse + "RUN", says: "cannot mount (no /dev/fuse)"},
		{name: "root with no /dev/fuse", script: noFuse + "RUN", says: "cannot mount (no /dev/fuse)"},
		{name: "TMPDIR missing", env: []string{"TMPDIR=/nonexistent/dir"}, says: "cannot mount (no /nonexistent/dir)"},
	}
}

func TestRun(t *testing.T) {
	needFuse(t)
	need(t, "fusermount3", "fuse3")
	need(t, "unshare", "util-linux")
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, "an app.AppImage", s.uid)
			a.env, a.script = s.env, s.script
			do := func(args ...string) outcome {
				t.Helper()
				o := a.run(t, append(slices.Clone(s.args), args...)...)
				if s.script != "" { // the shell around it tells of a death by signal
					for _, word := range []string{"Terminated\n", "Killed\n", "Segmentation fault\n"} {
						o.errs = strings.TrimSuffix(o.errs, word)
					}
				}
				if s.says == "" && o.errs != "" || !strings.Contains(o.errs, s.says) || strings.Count(o.errs, "\n") > 1 {
					t.Errorf("%q says %q, expected one line with %q", args, o.errs, s.says)
				}
				return o
			}
			o := do("env")
			got := map[string]string{}
			for line := range strings.Lines(o.out) {
				k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
				got[k] = v
			}
			want := map[string]string{"APPIMAGE": a.path, "ARGV0": a.path, "OWD": filepath.Dir(a.path), "HOME": a.home, "cwd": filepath.Dir(a.path)}
			for k, v := range want {
				if got[k] != v {
					t.Errorf("%s is %q, expected %q (%+v)", k, got[k], v, o)
				}
			}
			if mounted := strings.HasPrefix(filepath.Base(got["APPDIR"]), ".mount_an app"); mounted != s.mounts {
				t.Errorf("APPDIR is %s", got["APPDIR"])
			}
			if o := do("stage"); o.out != "stage=\n" {
				t.Errorf("the runtime's own variable reaches the application: %s", o.out)
			}
			if o := do("kids"); o.out != "kids=.\n" {
				t.Errorf("the application begins with children: %s", o.out)
			}
			if o := do("args", "a b", "", "--appimage-offset"); o.out != "[a b]\n[]\n[--appimage-offset]\n" {
				t.Errorf("arguments arrive as %s", o.out)
			}
			for _, code := range []int{0, 3, 7, 255} {
				if o := do("exit", strconv.Itoa(code)); o.code != code {
					t.Errorf("exit code %d instead of %d", o.code, code)
				}
			}
			for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGINT, syscall.SIGSEGV} {
				if o := do("kill", strconv.Itoa(int(sig))); o.signal != sig && o.code != 128+int(sig) {
					t.Errorf("death by %v arrives as %+v", sig, o)
				}
			}
			if o := do("cat", "usr/share/link"); o.out != "payload\n" {
				t.Errorf("reads %q", o.out)
			}
			if o := do("sum"); !strings.Contains(o.out, "dangling -> /nowhere/at/all") || !strings.HasSuffix(o.out, fmt.Sprintf("\n%d\n", len(appRun)+8+1_600_000+1)) {
				t.Errorf("the content is %s", o.out)
			}
			if s.mounts && s.script == "" {
				if o := a.run(t, "write"); o.code == 0 || !strings.Contains(o.errs, "Read-only") {
					t.Errorf("writing gives %+v", o)
				}
			}
			if s.script == "" {
				a.checkBackground(t, do)
			}
		})
	}
}

// checkBackground has AppRun end before its child, which still needs the files.
func (a *app) checkBackground(t *testing.T, do func(...string) outcome) {
	t.Helper()
	result := filepath.Join(a.tmp, "..", "result"+strconv.Itoa(a.uid))
	f, err := os.Create(result)
	if err == nil {
		err = errors.Join(f.Close(), os.Chmod(result, 0o666), os.Remove(result), os.Chmod(filepath.Dir(a.tmp), 0o777))
	}
	if err != nil {
		t.Fatal(err)
	}
	do("child", "0.4", result)
	for range 500 {
		if b, err := os.ReadFile(result); err == nil {
			if string(b) != "payload\n" {
				t.Errorf("the child reads %q", b)
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the child did not finish")
}

// TestKill ends the launched process, and then the helper, in the ways a system does.
func TestKill(t *testing.T) {
	needFuse(t)
	for _, args := range [][]string{{"wait"}, {"--appimage-extract-and-run", "wait"}} {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGKILL, syscall.SIGHUP} {
			t.Run(fmt.Sprint(args[0], sig), func(t *testing.T) {
				t.Parallel()
				a := newApp(t, "app", 0)
				c := a.command(args...)
				out, err := c.StdoutPipe()
				if err == nil {
					err = c.Start()
				}
				if err != nil {
					t.Fatal(err)
				}
				if _, err := out.Read(make([]byte, 16)); err != nil {
					t.Fatal(err)
				}
				pids := a.processes()
				if len(pids) != 1 {
					t.Fatalf("%d helpers", len(pids))
				}
				if a.leftovers() == "" {
					t.Fatal("no trace of the AppDir, so this test shows nothing")
				}
				if err := c.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
				c.Wait()
				if ws := c.ProcessState.Sys().(syscall.WaitStatus); ws.Signal() != sig {
					t.Errorf("the caller sees %v", c.ProcessState)
				}
			})
		}
	}
	t.Run("during start", func(t *testing.T) { // wherever the signal falls, nothing stays
		t.Parallel()
		a := newApp(t, "app", 0)
		for i := range 40 {
			args := []string{"exit", "0"}
			if i%2 == 1 {
				args = append([]string{"--appimage-extract-and-run"}, args...)
			}
			c := a.command(args...)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(i) * 400 * time.Microsecond)
			c.Process.Kill()
			c.Wait()
		}
	})
	t.Run("helper terminated", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, "app", 0)
		c := a.command("wait")
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		out.Read(make([]byte, 16))
		for _, pid := range a.processes() {
			syscall.Kill(pid, syscall.SIGTERM)
		}
		if left := a.waitClean(5 * time.Second); left != "" {
			t.Errorf("a helper that was told to end leaves %s", left)
		}
		c.Process.Kill()
		c.Wait()
	})
	t.Run("helper killed", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, "app", 0)
		c := a.command("wait")
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		out.Read(make([]byte, 16))
		for _, pid := range a.processes() {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		c.Process.Kill()
		c.Wait()
		time.Sleep(50 * time.Millisecond)
		if a.leftovers() == "" {
			t.Error("no dead mount, so this test shows nothing")
		}
		a.run(t, "exit", "0") // the next start takes it away
	})
}

// TestManyRuns starts many at once, and many in a row.
func TestManyRuns(t *testing.T) {
	needFuse(t)
	for _, extract := range []bool{false, true} {
		a := newApp(t, "app", 0)
		args := []string{"cat", "usr/share/data"}
		if extract {
			args = append([]string{"--appimage-extract-and-run"}, args...)
		}
		check := func() {
			if o := a.run(t, args...); o.out != "payload\n" || o.code != 0 {
				t.Errorf("%+v", o)
			}
		}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(check)
		}
		wg.Wait()
		a.checkClean(t)
		for range 50 {
			check()
		}
	}
}

func TestMountOption(t *testing.T) {
	needFuse(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		a := newApp(t, "app", 0)
		c := a.command("--appimage-mount")
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		n, err := out.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		mnt := strings.TrimSpace(string(b[:n]))
		if got, err := os.ReadFile(filepath.Join(mnt, "usr/share/data")); err != nil || string(got) != "payload\n" {
			t.Errorf("%q %v", got, err)
		}
		if err := c.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); err != nil {
			t.Errorf("%v ends it with %v", sig, err)
		}
		if left := a.leftovers(); strings.Contains(left, ".mount_") { // at once, not some time later
			t.Error(left)
		}
	}
	a := newApp(t, "app", nobody)
	a.env = []string{"PATH=/nonexistent"}
	if o := a.run(t, "--appimage-mount"); o.code != 127 || !strings.Contains(o.errs, "cannot mount: no fusermount3") {
		t.Errorf("where it cannot mount: %+v", o)
	}
}

func TestNoPlaceToRun(t *testing.T) {
	needRoot(t)
	need(t, "unshare", "util-linux")
	t.Run("no fallback", func(t *testing.T) {
		a := newApp(t, "app", nobody)
		a.env = []string{"PATH=/nonexistent", "APPIMAGE_NO_FALLBACK=1"}
		if o := a.run(t, "exit", "0"); o.code != 127 || !strings.Contains(o.errs, "cannot mount") {
			t.Errorf("%+v", o)
		}
	})
	everywhere := func(opts string) string {
		return `for d in "$TMPDIR" "$HOME" /tmp/.keep /tmp; do :; done
p=$(dirname "$TMPDIR"); k=$(mktemp -d /var/tmp/keep.XXXXXX); mount --bind "$p" $k
mount -t tmpfs -o ` + opts + ` none /tmp; mkdir "$p"; mount --bind $k "$p"; mount -t tmpfs -o ` + opts + ` none "$TMPDIR"; mount -t tmpfs -o ` + opts + ` none "$HOME"; umount $k; rmdir $k
RUN`
	}
	for name, c := range map[string]struct{ opts, says string }{
		"noexec": {"noexec", "mounted noexec"},
		"full":   {"size=300k", "no space left on device"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, "app", 0)
			a.script = everywhere(c.opts)
			o := a.run(t, "--appimage-extract-and-run", "exit", "0")
			if o.code != 127 || strings.Count(o.errs, c.says) < 3 || !strings.Contains(o.errs, "set TMPDIR or XDG_CACHE_HOME") || strings.Count(o.errs, "\n") != 1 {
				t.Errorf("%+v", o)
			}
		})
	}
	t.Run("noexec but fuse", func(t *testing.T) { // a mount point may lie in a noexec folder
		needFuse(t)
		a := newApp(t, "app", 0)
		a.script = everywhere("noexec")
		if o := a.run(t, "exit", "5"); o.code != 5 {
			t.Errorf("%+v", o)
		}
	})
	t.Run("cache noexec, TMPDIR not", func(t *testing.T) { // the next place is tried
		a := newApp(t, "app", 0)
		a.script = `mount -t tmpfs -o noexec none "$HOME"; RUN`
		if o := a.run(t, "--appimage-extract-and-run", "env"); o.code != 0 || !strings.Contains(o.out, "APPDIR="+a.tmp) {
			t.Errorf("%+v", o)
		}
	})
}

// TestPlantedCopy: another user's folder, or an earlier copy, is never used.
func TestPlantedCopy(t *testing.T) {
	a := newApp(t, "app", os.Getuid())
	o := a.run(t, "--appimage-extract-and-run", "env")
	p := a.run(t, "--appimage-extract-and-run", "env")
	first, _, _ := strings.Cut(o.out, "\n")
	second, _, _ := strings.Cut(p.out, "\n")
	if first == second || !strings.HasPrefix(first, "APPDIR="+filepath.Join(a.home, ".cache", "appimage-run-")) {
		t.Errorf("%s, then %s", first, second)
	}
	a.env = []string{"NO_CLEANUP=1"}
	o = a.run(t, "--appimage-extract-and-run", "env")
	dir := strings.TrimPrefix(strings.Split(o.out, "\n")[0], "APPDIR=")
	fi, err := os.Stat(dir)
	if err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("NO_CLEANUP: %v %v", fi, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}
