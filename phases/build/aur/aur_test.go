package aur

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/build/tarball"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/pipeline"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func demo(version string) (Config, *pipeline.Env) {
	release, _, _ := strings.Cut(version, "+")
	return Config{
		Name: "demo-bin", Version: version, Project: "demo", Maintainer: "Demo Team <demo.team@mail.demo.example>",
		Description: "Say the version\nand more", Homepage: "https://demo.example/", License: "MIT", URL: "https://demo.example/v{{ .Version }}/",
		Tarballs: []tarball.Config{{Name: "demo", Bundle: "demo", Version: release, Arch: "amd64"}, {Name: "demo", Bundle: "demo", Version: release, Arch: "arm64"}},
	}, &pipeline.Env{Project: "demo", Version: version, Commit: "abc", Time: time.Date(2026, 12, 31, 23, 30, 0, 0, time.FixedZone("", -3600))}
}

func sum(s Source) string {
	return strings.Repeat(map[string]string{"amd64": "1", "arm64": "2"}[s.Arch], 64)
}

// srcinfo prints the .SRCINFO of a configuration.
func srcinfo(t *testing.T, c Config, env *pipeline.Env, license string) (srcinfo, pkg string) {
	t.Helper()
	m, err := c.model(env, sum, content{license: license})
	must(t, err)
	var a, b bytes.Buffer
	must(t, pkgbuild.PrintSRCINFO(&a, m))
	must(t, pkgbuild.PrintPKGBUILD(&b, m))
	return a.String(), b.String()
}

// TestModel_Prerelease: the package's version is pacman's, that of files and addresses the release's.
func TestModel_Prerelease(t *testing.T) {
	t.Parallel()
	c, env := demo("1.2.3-rc.1+7")
	info, pkg := srcinfo(t, c, env, "usr/share/licenses/demo/LICENSE")
	if info != `pkgbase = demo-bin
	pkgdesc = Say the version
	pkgver = 1.2.3rc1
	pkgrel = 1
	url = https://demo.example/
	arch = x86_64
	arch = aarch64
	license = MIT
	provides = demo=1.2.3rc1
	conflicts = demo
	noextract = demo-1.2.3-rc.1-x86_64.tar.gz
	noextract = demo-1.2.3-rc.1-aarch64.tar.gz
	options = !strip
	options = !debug
	source_x86_64 = demo-1.2.3-rc.1-x86_64.tar.gz::https://demo.example/v1.2.3-rc.1/demo-1.2.3-rc.1-x86_64.tar.gz
	sha256sums_x86_64 = 1111111111111111111111111111111111111111111111111111111111111111
	source_aarch64 = demo-1.2.3-rc.1-aarch64.tar.gz::https://demo.example/v1.2.3-rc.1/demo-1.2.3-rc.1-aarch64.tar.gz
	sha256sums_aarch64 = 2222222222222222222222222222222222222222222222222222222222222222

pkgname = demo-bin
` {
		t.Errorf("got\n%s", info)
	}
	if !strings.HasPrefix(pkg, "# Maintainer: Demo Team <demo.team at mail dot demo dot example>\n") || strings.Contains(pkg, "@") {
		t.Errorf("got\n%s", pkg)
	}
	if !strings.Contains(pkg, `"${pkgdir}/usr/share/licenses/demo/LICENSE" "${pkgdir}/usr/share/licenses/${pkgname}/LICENSE"`) {
		t.Errorf("got\n%s", pkg)
	}
}

// TestModel_Version: ${pkgver} stands where {{ .Version }} does, not where the digits of the version happen to be.
func TestModel_Version(t *testing.T) {
	t.Parallel()
	c, env := demo("1.2.3")
	c.URL = "https://demo.example/1.2.3/{{ .Version }}/{{ .Arch }}/{{ .Project }}-{{.Version}}.tar.gz"
	c.Provides, c.Conflicts, c.Depends, c.OptDepends, c.PkgRel, c.Epoch = []string{"demo", "x=1.2.3"}, []string{}, []string{"glibc>=2.36"}, []string{"git: to fetch"}, "2.1", 3
	_, pkg := srcinfo(t, c, env, "")
	for _, want := range []string{
		`https://demo.example/1.2.3/'"${pkgver}"'/x86_64/demo-'"${pkgver}"'.tar.gz')`, `provides=('demo='"${pkgver}" 'x=1.2.3')`, "pkgrel='2.1'", "epoch='3'",
		"depends=('glibc>=2.36')", "optdepends=('git: to fetch')",
	} {
		if !strings.Contains(pkg, want) {
			t.Errorf("want %s in\n%s", want, pkg)
		}
	}
	if strings.Contains(pkg, "conflicts=") || strings.Contains(pkg, "licenses") {
		t.Errorf("got\n%s", pkg)
	}
	// A licence in the package's own folder is where it should be already.
	if _, pkg := srcinfo(t, c, env, "usr/share/licenses/demo-bin/LICENSE"); strings.Contains(pkg, "licenses") {
		t.Errorf("got\n%s", pkg)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	c, env := demo("1.2.3+4")
	must(t, c.Validate(env))
	for want, edit := range map[string]func(*Config){
		`maintainer: want Name <address@host>`: func(c *Config) { c.Maintainer = "me@x.y" },
		`maintainers[0]`:                       func(c *Config) { c.Maintainer = "A\nB <a@x.y>" },
		`pkgname`:                              func(c *Config) { c.Name = "Demo" },
		`pkgdesc`:                              func(c *Config) { c.Description = "" },
		`url`:                                  func(c *Config) { c.Homepage = "javascript:x" },
		`license`:                              func(c *Config) { c.License = "the usual" },
		`pkgrel`:                               func(c *Config) { c.PkgRel = "0" },
		`epoch`:                                func(c *Config) { c.Epoch = -1 },
		`depends[0]`:                           func(c *Config) { c.Depends = []string{"$(touch x)"} },
		`provides[0]`:                          func(c *Config) { c.Provides = []string{"a b"} },
		`from: there is no package`:            func(c *Config) { c.Tarballs = nil },
		`url: want the address of what it installs`: func(c *Config) { c.URL = "" },
		`url: want no control`:                      func(c *Config) { c.URL = "https://x/\x00/" },
		`{{ .Nope }}`:                               func(c *Config) { c.URL = "https://x/{{ .Nope }}/" },
		`sources[0].url: want an address`:           func(c *Config) { c.URL = "http://x/" },
		`found "https://x/a b/demo-1.2.3-x86_64`:    func(c *Config) { c.URL = "https://x/a b/" },
		`cannot make a pkgver of "1.2.3-rc.1.2"`:    func(c *Config) { c.Version = "1.2.3-rc.1.2" },
	} {
		c, env := demo("1.2.3+4")
		edit(&c)
		if err := c.Validate(env); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestLicense(t *testing.T) {
	t.Parallel()
	_, env := demo("1.2.3")
	text := License(env, "Demo Team <demo at x>")
	if !strings.HasPrefix(text, "Copyright (C) 2027 by Demo Team\n\nPermission to use") { // the commit's time is UTC
		t.Errorf("got %s", text)
	}
	dir := t.TempDir()
	for _, sub := range []string{"share/doc/x", "share/licenses/y", "share/licenses/a/b"} {
		must(t, os.MkdirAll(filepath.Join(dir, sub), 0o755))
	}
	license := func() string {
		t.Helper()
		entries, err := archive.Tree(dir)
		f := read(entries)
		if err != nil || f.etc || f.backup != nil {
			t.Errorf("%+v, %v", f, err)
		}
		return strings.TrimPrefix(f.license, "usr/")
	}
	if got := license(); got != "" {
		t.Errorf("got %q", got)
	}
	for _, step := range []struct{ add, want string }{
		{"share/licenses/a/b/c", ""}, {"share/doc/x/LICENSE.md", "share/doc/x/LICENSE.md"}, {"share/licenses/y/COPYING", "share/licenses/y/COPYING"},
	} {
		must(t, os.WriteFile(filepath.Join(dir, step.add), nil, 0o644))
		if got := license(); got != step.want {
			t.Errorf("got %q, want %q", got, step.want)
		}
	}
}

// TestModel_Etc: what is for /etc goes there and nowhere else, and its files are backup files in PKGBUILD and .SRCINFO.
func TestModel_Etc(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "etc/xdg/autostart"), 0o755))
	must(t, os.MkdirAll(filepath.Join(dir, "share/etc"), 0o755))
	for _, name := range []string{"etc/xdg/autostart/it's $HOME.desktop", "etc/demo.conf", "share/etc/x", "etcetera"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644))
	}
	must(t, os.Symlink("demo.conf", filepath.Join(dir, "etc/link.conf")))
	c, env := demo("1.2.3")
	found, err := c.look(0, env, dir)
	must(t, err)
	if !found.etc || strings.Join(found.backup, "|") != "etc/demo.conf|etc/xdg/autostart/it's $HOME.desktop" {
		t.Errorf("got %+v", found)
	}
	m, err := c.model(env, sum, found)
	must(t, err)
	var info, pkg bytes.Buffer
	must(t, pkgbuild.PrintSRCINFO(&info, m))
	must(t, pkgbuild.PrintPKGBUILD(&pkg, m))
	if want := "\tbackup = etc/demo.conf\n\tbackup = etc/xdg/autostart/it's $HOME.desktop\n"; !strings.Contains(info.String(), want) {
		t.Errorf("want %q in\n%s", want, info.String())
	}
	if want := `	install -dm755 "${pkgdir}/usr"
	bsdtar -xf "${srcdir}/demo-${pkgver}-${CARCH}.tar.gz" -C "${pkgdir}/usr" --no-same-owner --strip-components=1 "demo-${pkgver}-${CARCH}"
	rm -r "${pkgdir}/usr/etc"
	install -dm755 "${pkgdir}/etc"
	bsdtar -xf "${srcdir}/demo-${pkgver}-${CARCH}.tar.gz" -C "${pkgdir}/etc" --no-same-owner --strip-components=2 "demo-${pkgver}-${CARCH}/etc"
`; !strings.Contains(pkg.String(), want) {
		t.Errorf("got\n%s", pkg.String())
	}
	read, err := pkgbuild.ReadPKGBUILD(&pkg)
	must(t, err)
	var b bytes.Buffer
	must(t, read.Print(&b))
	if b.String() != info.String() {
		t.Errorf("PKGBUILD says\n%s.SRCINFO\n%s", b.String(), info.String())
	}
}

// FuzzModel: whatever a configuration says, once it is accepted both files are printed, and say the same when they are
// read back.
func FuzzModel(f *testing.F) {
	f.Add("demo-bin", "Demo Team <a.b@c.example>", "Say it", "https://demo.example/v{{ .Version }}/", "glibc>=2", "git: to fetch")
	f.Add("x", "A' \"$(x)` <a@b.c>", "$(touch x) `y` ' \" \\", "https://h/{{ .Arch }}/{{.Version}}.tar.gz", "a", "b: '${c}'")
	f.Fuzz(func(t *testing.T, name, maintainer, description, url, depends, optdepends string) {
		c, env := demo("1.2.3-rc.1+4")
		c.Name, c.Maintainer, c.Description, c.URL, c.Depends, c.OptDepends = name, maintainer, description, url, []string{depends}, []string{optdepends}
		if c.Validate(env) != nil {
			return
		}
		info, pkg := srcinfo(t, c, env, "usr/share/licenses/demo/LICENSE")
		read, err := pkgbuild.ReadPKGBUILD(strings.NewReader(pkg))
		must(t, err)
		var b bytes.Buffer
		must(t, read.Print(&b))
		if b.String() != info {
			t.Errorf("PKGBUILD says\n%s.SRCINFO\n%s", b.String(), info)
		}
		if len(pkgbuild.Lint(name, map[string][]byte{"PKGBUILD": []byte(pkg), ".SRCINFO": []byte(info), "LICENSE": []byte(License(env, "x"))})) > 0 {
			t.Errorf("lint of\n%s", pkg)
		}
	})
}
