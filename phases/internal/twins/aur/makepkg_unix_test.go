//go:build unix

package aur

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// TestMakepkgOutput: what makepkg itself prints is read by both parsers, and says the same as the PKGBUILD.
func TestMakepkgOutput(t *testing.T) {
	makepkg := need(t, "makepkg")
	dir, err := os.MkdirTemp("", "aur-makepkg-*") //nolint:usetesting // others may not enter what t.TempDir makes
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	const pkgbuild = `pkgbase=split
pkgname=(one two)
pkgver=1.2.3
pkgrel=2
epoch=1
pkgdesc="It's a \"test\" with \$HOME"
arch=(x86_64 aarch64)
url=https://example.org/
license=('MIT AND LicenseRef-x')
depends=(glibc 'gtk3>=3.24')
optdepends=('ollama: local: models')
source_x86_64=("a-$pkgver.tar.gz::https://example.org/a")
sha256sums_x86_64=(0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef)
package_one() { depends=(); provides=("x=$pkgver"); }
package_two() { pkgdesc='the second'; depends+=(zlib); }
`
	if err := os.WriteFile(filepath.Join(dir, "PKGBUILD"), []byte(pkgbuild), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), makepkg, "--printsrcinfo")
	cmd.Dir, cmd.Env = dir, []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "HOME=" + dir}
	if os.Getuid() == 0 { // makepkg refuses root
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("makepkg: %v\n%s", err, out)
	}
	for _, p := range []Parser{Default, Strict} {
		s, errs := ParseSRCINFO(string(out), p)
		if len(errs) > 0 || len(s.Packages) != 2 {
			t.Fatalf("%s: %v\n%s", p, errs, out)
		}
		one, two := s.Merged(s.Packages[0]), s.Merged(s.Packages[1])
		desc, _ := one.single("pkgdesc")
		second, _ := two.single("pkgdesc")
		if one.version() != "1:1.2.3-2" || desc != `It's a "test" with $HOME` || second != "the second" ||
			len(one["depends"]) != 0 || !slices.Equal(two["depends"], []string{"glibc", "gtk3>=3.24", "zlib"}) ||
			!slices.Equal(one["provides"], []string{"x=1.2.3"}) || !slices.Equal(two.all("source"), []string{"a-1.2.3.tar.gz::https://example.org/a"}) {
			t.Errorf("%s read %v and %v", p, one, two)
		}
	}
}
