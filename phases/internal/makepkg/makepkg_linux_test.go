package makepkg

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/sandbox"
	"github.com/imrightguy/slipway/phases/internal/tool"
)

// must ends the test on an error. A missing tool skips it on a developer's machine and
// fails it where CI is set: a judge that is not there must be noticed.
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

func write(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return dir
}

// tarball packs files, each under its path, and returns the bytes and their SHA-256.
func tarball(t *testing.T, files map[string]string) (string, string) {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range files {
			if !yield(name) {
				return
			}
		}
	}) {
		must(t, tw.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name]))}))
		_, err := tw.Write([]byte(files[name]))
		must(t, err)
	}
	must(t, errors.Join(tw.Close(), zw.Close()))
	return buf.String(), fmt.Sprintf("%x", sha256.Sum256(buf.Bytes()))
}

// project is a folder with a PKGBUILD and a folder with its source.
func project(t *testing.T, packageBody string) (dir, srcDest string) {
	t.Helper()
	data, sum := tarball(t, map[string]string{"demo-1/bin/demo": "#!/bin/sh\necho demo\n", "demo-1/share/doc/demo/README": "read me\n"})
	dir = write(t, t.TempDir(), map[string]string{"PKGBUILD": `pkgname=demo
pkgver=1
pkgrel=2
pkgdesc='A  demo'
arch=('x86_64')
license=('MIT')
source=("demo-1.tar.gz::https://example.org/demo-1.tar.gz")
noextract=('demo-1.tar.gz')
sha256sums=('` + sum + `')
package() {
` + packageBody + `
}
`})
	return dir, write(t, t.TempDir(), map[string]string{"demo-1.tar.gz": data})
}

const unpack = `	install -dm755 "${pkgdir}/usr"
	bsdtar -xf "${srcdir}/demo-1.tar.gz" -C "${pkgdir}/usr" --no-same-owner --strip-components=1`

func TestPrintSRCINFO(t *testing.T) {
	t.Parallel()
	dir, _ := project(t, unpack)
	r, err := PrintSRCINFO(t.Context(), dir)
	must(t, err)
	if !strings.HasPrefix(r.Stdout, "pkgbase = demo\n\tpkgdesc = A demo\n\tpkgver = 1\n") {
		t.Errorf("got %q", r.Stdout)
	}
	if r.Isolation.UID == 0 {
		t.Error("ran as root")
	}
	if (r.Isolation.Sandbox == "") == (r.Isolation.Reason == "") {
		t.Errorf("isolation says neither what nor why: %+v", r.Isolation)
	}
	if got := ls(t, dir); !slices.Equal(got, []string{"PKGBUILD"}) {
		t.Errorf("the caller's folder holds %q", got)
	}
}

func ls(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestBuildInstallRemove builds the same package twice and installs it.
func TestBuildInstallRemove(t *testing.T) {
	t.Parallel()
	dir, src := project(t, unpack)
	var bytesOf [2][]byte
	var last Result
	for i := range bytesOf {
		r, err := Build(t.Context(), Options{Dir: dir, SrcDest: src, PkgDest: t.TempDir()})
		must(t, err)
		if len(r.Packages) != 1 || filepath.Base(r.Packages[0]) != "demo-1-2-x86_64.pkg.tar.zst" {
			t.Fatalf("packages %q", r.Packages)
		}
		bytesOf[i], err = os.ReadFile(r.Packages[0])
		must(t, err)
		last = r
	}
	if last.Isolation.Sandbox != "" && !bytes.Equal(bytesOf[0], bytesOf[1]) {
		t.Error("two builds differ")
	}
	if got := append(ls(t, dir), ls(t, src)...); !slices.Equal(got, []string{"PKGBUILD", "demo-1.tar.gz"}) {
		t.Errorf("the caller's folders hold %q", got)
	}

	report, err := InstallRemove(t.Context(), last.Packages[0])
	must(t, err)
	want := []string{
		"usr/", "usr/bin/", "usr/bin/demo", "usr/share/", "usr/share/doc/",
		"usr/share/doc/demo/", "usr/share/doc/demo/README",
	}
	if !slices.Equal(report.Files, want) {
		t.Errorf("files %q", report.Files)
	}
	if report.Name != "demo" || report.Version != "1-2" || report.Total != len(want) || !report.Clean() {
		t.Errorf("report %+v", report)
	}
}

// TestInstallRemove_Altered plants a package whose record of its files is wrong.
func TestInstallRemove_Altered(t *testing.T) {
	t.Parallel()
	dir, src := project(t, unpack)
	r, err := Build(t.Context(), Options{Dir: dir, SrcDest: src, PkgDest: t.TempDir()})
	must(t, err)
	// Pack the same files again with another README, so that .MTREE does not fit.
	again, err := Script(t.Context(), Options{Dir: filepath.Dir(r.Packages[0]), PkgDest: t.TempDir()}, `
		set -e; mkdir x; cd x; bsdtar -xf ../*.pkg.tar.zst; echo changed > usr/share/doc/demo/README
		bsdtar --zstd -cf "$PKGDEST/demo-1-2-x86_64.pkg.tar.zst" .PKGINFO .BUILDINFO .MTREE usr`)
	must(t, err)
	report, err := InstallRemove(t.Context(), again.Packages[0])
	must(t, err)
	if report.Altered != 1 || report.Clean() {
		t.Errorf("altered %d, output\n%s", report.Altered, report.Output)
	}
}

// TestLeftovers looks at a root in which more than pacman's own bookkeeping is left.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	list := "var\x00var/lib\x00var/lib/pacman\x00var/lib/pacman/local\x00var/lib/pacman/local/x\x00var/log\x00var/log/pacman.log\x00" +
		"var/log/other\x00usr\x00usr/share/left\nover\x00hooks\x00hooks2\x00gnupg\x00var/lib/pacman2\x00"
	want := []string{"hooks2", "usr", "usr/share/left\nover", "var/lib/pacman2", "var/log/other"}
	if got := leftovers(list); !slices.Equal(got, want) {
		t.Errorf("leftovers %q, want %q", got, want)
	}
}

// TestBuild_Refuses plants the classic faults: makepkg itself must see them.
func TestBuild_Refuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		edit func(t *testing.T, dir, src string)
		want string
	}{
		"no source": {
			body: unpack,
			edit: func(t *testing.T, _, src string) { must(t, os.Remove(filepath.Join(src, "demo-1.tar.gz"))) },
			want: "Failure while downloading",
		},
		"other bytes": {
			body: unpack,
			edit: func(t *testing.T, _, src string) { write(t, src, map[string]string{"demo-1.tar.gz": "other"}) },
			want: "did not pass the validity check",
		},
		"wrong layout": {
			body: unpack + ` "other-1"`,
			edit: func(*testing.T, string, string) {},
			want: "Not found in archive",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, src := project(t, c.body)
			c.edit(t, dir, src)
			_, err := Build(t.Context(), Options{Dir: dir, SrcDest: src, PkgDest: t.TempDir()})
			if errors.Is(err, ErrMissing) {
				must(t, err)
			}
			var exit *tool.ExitError
			if !errors.As(err, &exit) || exit.Program != "makepkg" || !strings.Contains(exit.Tail, c.want) {
				t.Errorf("got %v, want %q in the output", err, c.want)
			}
		})
	}
}

// TestBuild_LeadOut: a PKGBUILD that puts a link where the finished packages are does not get files of the host copied.
func TestBuild_LeadOut(t *testing.T) {
	t.Parallel()
	secret := t.TempDir()
	write(t, secret, map[string]string{"x.pkg.tar.zst": "secret"})
	dest := t.TempDir()
	dir, _ := project(t, unpack)
	for name, script := range map[string]string{
		"folder": `rmdir "$PKGDEST"; ln -s "$1" "$PKGDEST"`, "file": `ln -s "$1/x.pkg.tar.zst" "$PKGDEST/"`,
	} {
		_, err := Script(t.Context(), Options{Dir: dir, PkgDest: dest}, script, secret)
		if errors.Is(err, ErrMissing) {
			must(t, err)
		}
		if err == nil || len(ls(t, dest)) != 0 {
			t.Errorf("%s: %v, copied %q", name, err, ls(t, dest))
		}
	}
}

// TestIsolation runs a PKGBUILD that tries to look around and to write.
func TestIsolation(t *testing.T) {
	t.Parallel()
	marker := filepath.Join(t.TempDir(), "canary")
	must(t, os.Chmod(filepath.Dir(marker), 0o777))
	must(t, os.Chmod(filepath.Dir(filepath.Dir(marker)), 0o755))
	dir, _ := project(t, unpack)
	r, err := Script(t.Context(), Options{Dir: dir}, `
		echo "uid $EUID"; env | sort
		: > "$1" && echo wrote; cat /etc/hostname && echo read
		echo devices; ls /sys/class/net 2>/dev/null || awk -F: 'NR > 2 {print $1}' /proc/net/dev | tr -d ' '`, marker)
	must(t, err)
	t.Log(r.Isolation)
	if strings.Contains(r.Stdout, "uid 0\n") {
		t.Error("runs as root")
	}
	for _, name := range []string{"GOPATH", "SSH_AUTH_SOCK", "USER", "OLDPWD"} {
		if strings.Contains(r.Stdout, "\n"+name+"=") {
			t.Errorf("%s came through", name)
		}
	}
	if r.Isolation.Sandbox == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal(r.Isolation)
		}
		t.Skip(r.Isolation)
	}
	if _, err := os.Stat(marker); !errors.Is(err, os.ErrNotExist) || strings.Contains(r.Stdout, "wrote") {
		t.Errorf("wrote to the host: %v", err)
	}
	if strings.Contains(r.Stdout, "read") {
		t.Error("read a file of the host")
	}
	if _, devices, ok := strings.Cut(r.Stdout, "devices\n"); !ok || devices != "lo\n" {
		t.Errorf("want the loopback device alone, found %q", devices)
	}
}

// TestKilled lets a PKGBUILD hang, with a child in the background, until the context ends.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir, _ := project(t, unpack)
	_, err := PrintSRCINFO(t.Context(), dir)
	must(t, err) // also: bwrap has been tried
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = Script(ctx, Options{Dir: dir}, `sleep 4242 & sleep 4242; wait`)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > 4*time.Second {
		t.Errorf("took %v", d)
	}
	deadline := time.Now().Add(3 * time.Second)
	for sleeping(t) {
		if time.Now().After(deadline) {
			t.Fatal("a process of the PKGBUILD is still there")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func sleeping(t *testing.T) bool {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, path := range lines {
		if text, err := os.ReadFile(path); err == nil && string(text) == "sleep\x004242\x00" {
			return true
		}
	}
	return false
}

func TestRefusesLinks(t *testing.T) {
	t.Parallel()
	dir, _ := project(t, unpack)
	must(t, os.Symlink("/etc/passwd", filepath.Join(dir, "users")))
	if _, err := Run(t.Context(), Options{Dir: dir, Args: []string{"--printsrcinfo"}}); err == nil || !strings.Contains(err.Error(), "users: neither a file nor a folder") {
		if errors.Is(err, ErrMissing) {
			must(t, err)
		}
		t.Errorf("got %v", err)
	}
}

// TestMissing is not parallel: it changes where tools are looked for.
func TestMissing(t *testing.T) {
	defer func(old []string) { sandbox.Path = old }(sandbox.Path)
	sandbox.Path = []string{t.TempDir()}
	for tool, run := range map[string]func() error{
		"makepkg":  func() error { _, err := PrintSRCINFO(t.Context(), t.TempDir()); return err },
		"fakeroot": func() error { _, err := Build(t.Context(), Options{Dir: t.TempDir()}); return err },
		"bash":     func() error { _, err := Script(t.Context(), Options{Dir: t.TempDir()}, "true"); return err },
		"pacman":   func() error { _, err := InstallRemove(t.Context(), "x"); return err },
	} {
		err := run()
		var missing *MissingError
		if !errors.As(err, &missing) || missing.Tool != tool || missing.Package == "" || !errors.Is(err, ErrMissing) {
			t.Errorf("%s: got %v", tool, err)
		}
	}
}

// TestWithoutBwrap is not parallel: it takes bwrap away. Everything still works, and the
// result says that there was no sandbox.
func TestWithoutBwrap(t *testing.T) {
	must(t, sandbox.Need("makepkg", "pacman", "fakeroot", "bsdtar"))
	dirs := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dirs), 0o755))
	for _, tool := range []string{
		"bash", "bsdtar", "fakeroot", "file", "find", "gzip", "makepkg", "pacman", "setpriv", "unshare", "zstd",
	} {
		must(t, os.Symlink("/usr/bin/"+tool, filepath.Join(dirs, tool)))
	}
	defer func(old []string) { sandbox.Path = old }(sandbox.Path)
	sandbox.Path = []string{dirs}

	dir, src := project(t, unpack)
	_, err := Build(t.Context(), Options{Dir: dir, SrcDest: src, PkgDest: t.TempDir(), Contained: true})
	if _, ok := errors.AsType[*sandbox.OpenError](err); !ok {
		t.Errorf("ran where there is no sandbox: %v", err)
	}
	r, err := Build(t.Context(), Options{Dir: dir, SrcDest: src, PkgDest: t.TempDir()})
	must(t, err)
	if r.Isolation.Sandbox != "" || !strings.Contains(r.Isolation.Reason, "bubblewrap") || r.Isolation.UID == 0 {
		t.Errorf("isolation %+v", r.Isolation)
	}
	report, err := InstallRemove(t.Context(), r.Packages[0])
	must(t, err)
	if !report.Clean() {
		t.Errorf("report %+v", report)
	}
}
