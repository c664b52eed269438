//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/rig"
)

// deb makes an older package: names of files, and fields of its control file.
func deb(t *testing.T, name, version string, conffiles []string, paths ...string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(path, text string) {
		path = filepath.Join(dir, path)
		_ = os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("DEBIAN/control", fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: A <a@example.com>\nDescription: the original\n", name, version, runtime.GOARCH))
	if conffiles != nil {
		write("DEBIAN/conffiles", strings.Join(conffiles, "\n")+"\n")
		_ = os.Chmod(filepath.Join(dir, "DEBIAN/conffiles"), 0o644)
	}
	for _, p := range append(slices.Clone(conffiles), paths...) {
		write(p, "the original's\n")
	}
	out := filepath.Join(t.TempDir(), name+".deb")
	if said, code := run(t, "dpkg-deb", "--root-owner-group", "--build", dir, out); code != 0 {
		t.Fatal(said)
	}
	return out
}

// machine is a root directory that dpkg manages, without anything else.
type machine struct {
	t    *testing.T
	root string
}

func newMachine(t *testing.T) machine {
	t.Helper()
	rig.Need(t, "dpkg", "dpkg-deb")
	m := machine{t, t.TempDir()}
	for _, d := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates"} {
		if err := os.MkdirAll(filepath.Join(m.root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(m.root, "var/lib/dpkg/status"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m machine) install(deb string) (string, int) {
	m.t.Helper()
	// Dependencies are not what is looked at, and no script is run as there is none.
	return run(m.t, "dpkg", "--root="+m.root, "--force-not-root,bad-path,depends", "--log=/dev/null", "--install", deb)
}

func (m machine) must(deb string) {
	m.t.Helper()
	if out, code := m.install(deb); code != 0 {
		m.t.Fatal(out)
	}
}

func (m machine) installed(name string) bool {
	m.t.Helper()
	out, _ := run(m.t, "dpkg-query", "--admindir="+filepath.Join(m.root, "var/lib/dpkg"), "-W", "-f", "${db:Status-Status}", name)
	return out == "installed"
}

func (m machine) has(path string) bool {
	_, err := os.Lstat(filepath.Join(m.root, path))
	return err == nil
}

// ours is the DEB that fits this machine: the daemon's own, or the app's.
func ours(t *testing.T, own bool) string {
	t.Helper()
	for _, p := range packages(t, "cloudtolocalllm*.deb") {
		if native(p) && product(p) == own {
			return p
		}
	}
	rig.Missing(t, fmt.Sprintf("no DEB of that kind among the packages (own: %v)", own))
	return ""
}

const (
	oldProgram = "usr/bin/cloudtolocalllm-enhanced-tray"
	oldUnit    = "usr/lib/systemd/user/cloudtolocalllm-enhanced-tray.service"
	oldEntry   = "/etc/xdg/autostart/cloudtolocalllm-enhanced-tray.desktop"
	newProgram = "usr/bin/cloudtolocalllm-tray"
	newUnit    = "usr/lib/systemd/user/cloudtolocalllm-tray.service"
	newEntry   = "etc/xdg/autostart/cloudtolocalllm-tray.desktop"
)

// migrated checks that nothing of the original is installed any more, and ours is.
func (m machine) migrated() {
	m.t.Helper()
	for _, p := range []string{oldProgram, oldUnit, "usr/bin/cloudtolocalllm-settings"} {
		if m.has(p) {
			m.t.Errorf("%s is still there", p)
		}
	}
	for _, p := range []string{newProgram, newUnit, newEntry} {
		if b, err := os.ReadFile(filepath.Join(m.root, p)); err != nil || strings.HasPrefix(string(b), "the original's") {
			m.t.Errorf("%s is not ours: %v", p, err)
		}
	}
}

// An older package of the same name, with the original's names inside: its files go, ours come, and an entry in /etc that
// nobody has edited is replaced where it has our name.
func TestUpgrade_SamePackage(t *testing.T) {
	for _, own := range []bool{true, false} {
		name := map[bool]string{true: "cloudtolocalllm-tray", false: "cloudtolocalllm"}[own]
		t.Run(name, func(t *testing.T) {
			p := ours(t, own)
			m := newMachine(t)
			m.must(deb(t, name, "0.0.9-1", []string{"/" + newEntry}, oldProgram, oldUnit, "usr/bin/cloudtolocalllm-settings", newProgram, newUnit, oldEntry))
			m.must(p)
			m.migrated()
			if m.has(oldEntry) {
				t.Errorf("%s is still there", oldEntry)
			}
		})
	}
}

// The program under its former name, from a package of that name: ours takes its place.
func TestUpgrade_RenamedPackage(t *testing.T) {
	for _, own := range []bool{true, false} {
		t.Run(fmt.Sprintf("own=%v", own), func(t *testing.T) {
			p := ours(t, own)
			m := newMachine(t)
			m.must(deb(t, "cloudtolocalllm-enhanced-tray", "2.1.0-1", nil, oldProgram, oldUnit, oldEntry))
			m.must(p)
			m.migrated()
			if m.installed("cloudtolocalllm-enhanced-tray") || m.has(oldEntry) {
				t.Error("the original's package stays beside ours: two daemons are started")
			}
		})
	}
}

// The app brings the daemon along. Installing the app takes the place of the daemon's own package; that package does not
// come in beside an app that has one, and says so before it touches a file.
func TestUpgrade_AppAndDaemonPackage(t *testing.T) {
	app, own := ours(t, false), ours(t, true)
	m := newMachine(t)
	m.must(own)
	m.must(app)
	m.migrated()
	if m.installed("cloudtolocalllm-tray") || !m.installed("cloudtolocalllm") {
		t.Error("the app has not taken the place of the daemon's package")
	}
	out, code := m.install(own)
	if code == 0 || !strings.Contains(out, "conflict") || strings.Contains(out, "trying to overwrite") || !m.installed("cloudtolocalllm") {
		t.Errorf("the daemon's package beside the app: exit %d\n%s", code, out)
	}

	old := newMachine(t) // an app of the original's days knows nothing of our package
	old.must(deb(t, "cloudtolocalllm", "3.2.0", nil, "usr/bin/cloudtolocalllm", newProgram, newUnit))
	out, code = old.install(own)
	if code == 0 || !strings.Contains(out, "conflict") || !old.installed("cloudtolocalllm") {
		t.Errorf("the daemon's package beside an older app: exit %d\n%s", code, out)
	}
}
