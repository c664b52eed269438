//go:build linux

package e2e

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/rig"
)

// packages lists the package files in the folders that CLOUDTOLOCALLLM_TRAY_PACKAGES names, separated by colons, whose
// base names match.
func packages(t *testing.T, pattern string) (found []string) {
	t.Helper()
	list := os.Getenv("CLOUDTOLOCALLLM_TRAY_PACKAGES")
	if list == "" {
		t.Skip("CLOUDTOLOCALLLM_TRAY_PACKAGES names no folder of packages; make demo makes some")
	}
	for _, dir := range filepath.SplitList(list) {
		if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
			t.Fatalf("%s is no folder of packages", dir)
		}
		_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if ok, _ := filepath.Match(pattern, strings.ToLower(filepath.Base(p))); err == nil && ok && d.Type().IsRegular() {
				p, _ = filepath.Abs(p)
				found = append(found, p)
			}
			return nil
		})
	}
	if len(found) == 0 {
		t.Fatalf("no package %s in %s", pattern, list)
	}
	return found
}

// native says whether a package's programs run here.
func native(p string) bool {
	names := map[string][]string{"amd64": {"amd64", "x86_64"}, "arm64": {"arm64", "aarch64"}}[runtime.GOARCH]
	return slices.ContainsFunc(names, func(n string) bool { return strings.Contains(filepath.Base(p), n) })
}

// product says whether it is the daemon's own package, and not the app's that bundles it.
func product(p string) bool { return strings.HasPrefix(filepath.Base(p), "cloudtolocalllm-tray") }

// unpack returns the package's tree, and its folder for programs: a DEB's and an AppImage's have /usr.
func unpack(t *testing.T, p string) (root, usr string) {
	t.Helper()
	root = t.TempDir()
	var argv []string
	switch {
	case strings.HasSuffix(p, ".deb"):
		rig.Need(t, "dpkg-deb")
		argv, usr = []string{"dpkg-deb", "-x", p, root}, "usr"
	case strings.HasSuffix(p, ".AppImage"):
		rig.Need(t, "unsquashfs")
		f, err := elf.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		root = filepath.Join(root, "squashfs-root")
		argv, usr = []string{"unsquashfs", "-no-progress", "-offset", strconv.FormatInt(behind(t, p), 10), "-dest", root, p}, "usr"
	default:
		argv = []string{"tar", "-xzf", p, "-C", root, "--strip-components=1"}
	}
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v %s", argv, err, out)
	}
	return root, filepath.Join(root, usr)
}

// behind is where an AppImage's file system begins: its ELF part ends with the table of sections (AppImage specification, type 2).
func behind(t *testing.T, p string) int64 {
	t.Helper()
	f, err := os.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var h [64]byte
	if _, err := f.ReadAt(h[:], 0); err != nil {
		t.Fatal(err)
	}
	shoff := int64(h[0x28]) | int64(h[0x29])<<8 | int64(h[0x2a])<<16 | int64(h[0x2b])<<24
	return shoff + (int64(h[0x3a])|int64(h[0x3b])<<8)*(int64(h[0x3c])|int64(h[0x3d])<<8)
}

// files lists what lies under a folder, by its path in it.
func files(t *testing.T, root string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(root, p)
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func eachPackage(t *testing.T, f func(t *testing.T, p, root, usr string)) {
	for _, pattern := range []string{"cloudtolocalllm*.tar.gz", "cloudtolocalllm*.deb", "cloudtolocalllm*.appimage"} {
		for _, p := range packages(t, pattern) {
			t.Run(filepath.Base(p), func(t *testing.T) {
				root, usr := unpack(t, p)
				f(t, p, root, usr)
			})
		}
	}
}

// The installed names: one program, one unit, one entry, each under the one name, in every format; nothing of a settings
// program or of the original's other names.
func TestFailure_56_PackagesManifest(t *testing.T) {
	eachPackage(t, func(t *testing.T, p, root, usr string) {
		all := files(t, root)
		for _, want := range []string{"bin/cloudtolocalllm-tray", "lib/systemd/user/cloudtolocalllm-tray.service"} {
			if _, err := os.Stat(filepath.Join(usr, want)); err != nil {
				t.Error(err)
			}
		}
		programs := []string{"cloudtolocalllm-tray"}
		if !product(p) {
			programs = []string{"cloudtolocalllm", "cloudtolocalllm-tray"}
		}
		for dir, want := range map[string][]string{
			filepath.Join(usr, "bin"): programs, filepath.Join(usr, "lib/systemd/user"): {"cloudtolocalllm-tray.service"}, filepath.Join(root, "etc/xdg/autostart"): {"cloudtolocalllm-tray.desktop"},
		} {
			if got := files(t, dir); !slices.Equal(got, want) {
				t.Errorf("%s holds %v, want %v", dir, got, want)
			}
		}
		for _, name := range all {
			base := strings.ToLower(filepath.Base(name))
			for _, bad := range []string{"cloudtolocalllm-settings", "enhanced", "tray_daemon", ".py"} {
				if strings.Contains(base, bad) {
					t.Errorf("%s is one of the original's other names", name)
				}
			}
			if product(p) && strings.Contains(base, "slipway") {
				t.Errorf("%s belongs to the other product", name)
			}
		}
	})
}

// Slipway's own packages carry no daemon.
func TestPackages_SlipwayCarriesNoDaemon(t *testing.T) {
	for _, pattern := range []string{"slipway*.tar.gz", "slipway*.deb", "slipway*.appimage"} {
		for _, p := range packages(t, pattern) {
			root, _ := unpack(t, p)
			for _, name := range files(t, root) {
				if strings.Contains(name, "cloudtolocalllm") {
					t.Errorf("%s holds %s", filepath.Base(p), name)
				}
			}
		}
	}
}

// What the launchers inside start is inside, takes the flags they and older ones pass, and answers: on the program out of
// every package that runs here. The others are static programs of their machine.
func TestFailure_37_PackagedDaemonAnswers(t *testing.T) {
	sums := map[string]string{}
	eachPackage(t, func(t *testing.T, p, root, usr string) {
		bin := filepath.Join(usr, "bin/cloudtolocalllm-tray")
		f, err := elf.Open(bin)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		machine := elf.EM_X86_64
		if strings.Contains(p, "arm64") || strings.Contains(p, "aarch64") {
			machine = elf.EM_AARCH64
		}
		if libs, _ := f.ImportedLibraries(); f.Machine != machine || len(libs) > 0 || f.Section(".interp") != nil {
			t.Errorf("machine %v, libraries %v: not a static program for %v", f.Machine, libs, machine)
		}
		raw, err := os.ReadFile(bin)
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) > 9e6 {
			t.Errorf("%d bytes", len(raw))
		}
		key, sum := fmt.Sprint(product(p), machine), fmt.Sprintf("%x", sha256.Sum256(raw))
		if was := sums[key]; was != "" && was != sum {
			t.Error("another program than in the other formats")
		}
		sums[key] = sum

		unit, entry := filepath.Join(usr, "lib/systemd/user/cloudtolocalllm-tray.service"), filepath.Join(root, "etc/xdg/autostart/cloudtolocalllm-tray.desktop")
		starts := [][]string{nil, {"--daemon"}, {"--port", "0"}, {"--daemon", "--port", "0", "--debug"}}
		for file, key := range map[string]string{unit: "ExecStart=", entry: "Exec="} {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for l := range strings.Lines(string(raw)) {
				if rest, ok := strings.CutPrefix(strings.TrimSpace(l), key); ok {
					w := strings.Fields(rest)
					if w[0] != "/usr/bin/cloudtolocalllm-tray" {
						t.Errorf("%s starts %s", file, w[0])
					}
					starts = append(starts, w[1:])
					n++
				}
			}
			if n != 1 {
				t.Errorf("%d of %s in %s", n, key, file)
			}
		}
		rig.Need(t, "desktop-file-validate", "systemd-analyze")
		if out, err := exec.Command("desktop-file-validate", entry).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v %s", err, out)
		}
		verifyUnit(t, unit, bin)
		if !native(p) {
			return
		}
		out, err := exec.Command(bin, "--version").CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "cloudtolocalllm-tray ") || strings.Contains(string(out), "dev") {
			t.Errorf("%v %s", err, out)
		}
		if v := between(filepath.Base(p)); product(p) && string(out) != "cloudtolocalllm-tray "+v+"\n" {
			t.Errorf("--version says %q in the package of %s", out, v)
		}
		for _, args := range starts {
			d := startProgram(rig.NewHome(t), bin, nil, append(slices.Clone(args), "--headless")...)
			c := d.Dial()
			c.Say(`{"command":"PING"}`)
			if m := c.Reply(); string(m["status"]) != `"pong"` {
				t.Errorf("%v: %v", args, m)
			}
			if code := d.Stop(syscall.SIGTERM); code != 0 {
				t.Errorf("%v: exit %d", args, code)
			}
		}
	})
}

// between is the version in a package's file name: between the first separator and the next.
func between(name string) string {
	rest := strings.TrimLeft(strings.TrimPrefix(strings.ToLower(name), "cloudtolocalllm-tray"), "-_")
	return rest[:strings.IndexAny(rest, "-_")]
}

func verifyUnit(t *testing.T, unit, bin string) {
	t.Helper()
	raw, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	h := rig.NewHome(t)
	path := filepath.Join(h.Dir, "cloudtolocalllm-tray.service")
	if err := os.WriteFile(path, bytes.ReplaceAll(raw, []byte("/usr/bin/cloudtolocalllm-tray"), []byte(bin)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("systemd-analyze", "--user", "verify", path)
	cmd.Env = h.Environ()
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "cloudtolocalllm") {
		t.Errorf("%v %s", err, out)
	}
}

// startProgram starts another program than the rig's own.
func startProgram(h *rig.Home, bin string, env []string, args ...string) *rig.Daemon {
	h.Connections("", "")
	return h.StartAs(func(cmd *exec.Cmd) {
		cmd.Path, cmd.Args[0], cmd.Err = bin, bin, nil
		cmd.Env = append(cmd.Env, env...)
	}, args...)
}

// appImages are the ways to start the daemon out of the AppImages: as what the product is, and out of the app's by its name.
func appImages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, p := range packages(t, "cloudtolocalllm*.appimage") {
		if !native(p) {
			continue
		}
		run := p
		if !product(p) { // the app's starts what its name says
			run = filepath.Join(t.TempDir(), "cloudtolocalllm-tray")
			if err := os.Symlink(p, run); err != nil {
				t.Fatal(err)
			}
		}
		found[filepath.Base(p)] = run
	}
	return found
}

// mounts lists the mounts below a folder.
func mounts(dir string) (found []string) {
	raw, _ := os.ReadFile("/proc/self/mountinfo")
	for l := range strings.Lines(string(raw)) {
		if f := strings.Fields(l); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			found = append(found, f[4])
		}
	}
	return found
}

// canMount says whether programs may mount here, as AppImages do when they can.
func canMount() bool {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err == nil {
		_ = f.Close()
	}
	return err == nil
}

// Out of an AppImage the daemon starts, mounted or unpacked, answers, ends on TERM, and leaves nothing behind.
func TestPackages_AppImageAsDaemon(t *testing.T) {
	for name, app := range appImages(t) {
		for _, unpacked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/unpacked=%v", name, unpacked), func(t *testing.T) {
				if !unpacked && !canMount() {
					rig.Missing(t, "nothing can be mounted: no /dev/fuse")
				}
				h := rig.NewHome(t)
				tmp := t.TempDir()
				env := []string{"TMPDIR=" + tmp}
				if unpacked {
					env = append(env, "APPIMAGE_EXTRACT_AND_RUN=1")
				}
				d := startProgram(h, app, env, "--headless", "--daemon")
				c := d.Dial()
				c.Say(`{"command":"PING"}`)
				c.Reply()
				if got := len(mounts(tmp)); !unpacked && got != 1 {
					t.Errorf("%d mounts while it runs", got)
				}
				again := exec.Command(app, "--headless")
				again.Env = append(h.Environ(), env...)
				if out, err := again.CombinedOutput(); err != nil || !strings.Contains(string(out), "already running") {
					t.Errorf("a second start: %v %s", err, out)
				}
				if code := d.Stop(syscall.SIGTERM); code != 0 {
					t.Errorf("exit %d", code)
				}
				rig.Until(t, "the mounts to be gone", func() bool { return len(mounts(tmp)) == 0 })
				rig.Until(t, "the temporary files to be gone", func() bool {
					left, _ := os.ReadDir(tmp)
					cached, _ := filepath.Glob(filepath.Join(h.Dir, ".cache/appimage-run-*"))
					return len(left)+len(cached) == 0
				})
			})
		}
	}
}

// The app out of its AppImage starts the daemon out of the same mount, and ends first: the daemon goes on, and the mount
// with it, until it ends itself.
func TestPackages_DaemonOutlivesTheAppImage(t *testing.T) {
	if !canMount() {
		rig.Missing(t, "nothing can be mounted: no /dev/fuse")
	}
	for name, app := range appImages(t) {
		t.Run(name, func(t *testing.T) {
			tmp := t.TempDir()
			first := startProgram(rig.NewHome(t), app, []string{"TMPDIR=" + tmp}, "--headless")
			at := mounts(tmp)
			if len(at) != 1 {
				t.Fatalf("mounts: %v", at)
			}
			d := startProgram(rig.NewHome(t), filepath.Join(at[0], "bin/cloudtolocalllm-tray"), nil, "--headless")
			if code := first.Stop(syscall.SIGTERM); code != 0 {
				t.Errorf("exit %d", code)
			}
			time.Sleep(4 * time.Second) // the daemon lets go of its own pages after three
			c := d.Dial()
			c.Say(`{"command":"GET_CONNECTION_STATUS"}`)
			c.Reply()
			h := d.Hello("cli")
			h.Say(`{"command":"GET_DAEMON_STATUS","id":1}`)
			h.Answer("1")
			if code := d.Stop(syscall.SIGTERM); code != 0 {
				t.Errorf("exit %d", code)
			}
			rig.Until(t, "the mount to be gone", func() bool { return len(mounts(tmp)) == 0 })
		})
	}
}

// run runs a tool and returns what it said.
func run(t *testing.T, argv ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}
