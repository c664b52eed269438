package aur

import (
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/build/appimage"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
)

func TestPlace(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]string{
		"bin/demo":                           "usr/bin/demo",
		"etc/demo.conf":                      "etc/demo.conf",
		"etc":                                "etc",
		"etcetera":                           "usr/etcetera",
		"share/zsh/vendor-completions/_demo": "usr/share/zsh/site-functions/_demo",
		"share/zsh/vendor-completions":       "usr/share/zsh/vendor-completions",
		"share/zsh/site-functions/_demo":     "usr/share/zsh/site-functions/_demo",
		"share/fish/completions/demo.fish":   "usr/share/fish/vendor_completions.d/demo.fish",
		"etc/bash_completion.d/demo":         "usr/share/bash-completion/completions/demo",
		"share/systemd/user/demo.service":    "usr/lib/systemd/user/demo.service",
		"lib/systemd/user/demo.service":      "usr/lib/systemd/user/demo.service",
	} {
		if got := Place(from); got != want {
			t.Errorf("%s goes to %s, want %s", from, got, want)
		}
	}
}

// TestLook_Twice: two files cannot become one.
func TestLook_Twice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, lay(dir, map[string]string{"bin/demo": "#!", "share/zsh/site-functions/_demo": "a", "share/zsh/vendor-completions/_demo": "b"}))
	c := released()["tarball"]
	if _, err := c.look(0, &testEnv, dir); err == nil || !strings.Contains(err.Error(), `"share/zsh/site-functions/_demo" and "share/zsh/vendor-completions/_demo", which are both`) {
		t.Errorf("got %v", err)
	}
}

// TestAgree: what a PKGBUILD says once has to be the same for all architectures.
func TestAgree(t *testing.T) {
	t.Parallel()
	of := func(c Config, files map[string]string) content {
		t.Helper()
		dir := t.TempDir()
		must(t, lay(dir, files))
		f, err := c.look(0, &testEnv, dir)
		must(t, err)
		return f
	}
	with := func(more ...string) map[string]string {
		files := map[string]string{"bin/demo": "#!/bin/sh\n", "share/doc/demo/LICENSE": "MIT License\n\nCopyright (c) 2026 X\n"}
		for _, name := range more {
			files[name] = "#!x"
		}
		return files
	}
	all := released()
	for _, c := range []struct {
		kind, more, want string
	}{
		{"tarball", "share/licenses/demo/LICENSE", "licences in different places"},
		{"tarball", "etc/x.conf", "different files in /etc"},
		{"tarball", "share/zsh/vendor-completions/_x", "different completions or user units"},
		{"appimage", "bin/more", "differ in programs"},
		{"appimage", "share/applications/x.desktop", "in what the desktop looks for"},
	} {
		plain, more := of(all[c.kind], with()), of(all[c.kind], with(c.more))
		if err := plain.agree(plain); err != nil {
			t.Error(err)
		}
		if err := more.agree(plain); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %s: want %q, got %v", c.kind, c.more, c.want, err)
		}
	}
	d := of(all["deb"], with())
	other := d
	other.foreign = []string{"usr/share/x"}
	if err := other.agree(d); err == nil || !strings.Contains(err.Error(), "only Debian needs") {
		t.Errorf("got %v", err)
	}
}

// TestDebian: what the DEB has and the bundle does not is taken away, topmost folders first.
func TestDebian(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, lay(dir, application(t)))
	c := released()["deb"]
	f, err := c.look(0, &testEnv, dir)
	must(t, err)
	if got := strings.Join(f.foreign, " "); got != "usr/share/doc/demo/changelog.Debian.gz usr/share/doc/demo/copyright usr/share/lintian" {
		t.Errorf("got %s", got)
	}
	// A package under another name has a folder of documents of its own, which goes as a whole.
	c.Debs[0].Name = "demo-app"
	f, err = c.look(0, &testEnv, dir)
	must(t, err)
	if got := strings.Join(f.foreign, " "); got != "usr/share/doc/demo-app usr/share/lintian" {
		t.Errorf("got %s", got)
	}
}

// TestImage_Links: each program of the bundle is one of the package, and FUSE is an optional dependency unless somebody
// says otherwise.
func TestImage_Links(t *testing.T) {
	t.Parallel()
	c := released()["appimage"]
	f := content{}
	f.ofImage("demo", []archive.Entry{{Path: "lib/app", Mode: 0o755}})
	if len(f.links) != 1 || f.links[0] != "demo" {
		t.Errorf("links %q", f.links)
	}
	opt := func(c Config) string {
		t.Helper()
		m, err := c.model(&testEnv, func(Source) string { return strings.Repeat("1", 64) }, f)
		must(t, err)
		must(t, pkgbuild.Validate(m))
		s, err := m.SRCINFO()
		must(t, err)
		return strings.Join(s.Base["optdepends"], "|")
	}
	if got := opt(c); got != fuse {
		t.Errorf("got %q", got)
	}
	c.Depends = []string{"fuse2"}
	if got := opt(c); got != "" {
		t.Errorf("got %q", got)
	}
	c.Depends, c.AppImages = nil, []appimage.Config{c.AppImages[0]}
	c.AppImages[0].Runtime = &appimage.RuntimeConfig{}
	if got := opt(c); got != "" {
		t.Errorf("got %q", got)
	}
}

// TestRelations: all lists reach both files, those of one architecture under its name, and the build number stays where
// it is to be kept.
func TestRelations(t *testing.T) {
	t.Parallel()
	c, env := demo("1.2.3+7")
	c.KeepBuild, c.Groups = true, []string{"demos"}
	c.MakeDepends, c.CheckDepends = []string{"a"}, []string{"b"}
	c.Arches = map[string]Relations{"arm64": {Depends: []string{"mesa"}, OptDepends: []string{"x: y"}, MakeDepends: []string{"c"}, CheckDepends: []string{"d"}}}
	info, pkg := srcinfo(t, c, env, "")
	for _, want := range []string{
		"\tpkgver = 1.2.3+7\n", "\tgroups = demos\n", "\tmakedepends = a\n", "\tcheckdepends = b\n", "\tdepends_aarch64 = mesa\n",
		"\toptdepends_aarch64 = x: y\n", "\tmakedepends_aarch64 = c\n", "\tcheckdepends_aarch64 = d\n",
		"demo-1.2.3-x86_64.tar.gz::https://demo.example/v1.2.3/", "\tprovides = demo=1.2.3+7\n",
	} {
		if !strings.Contains(info, want) {
			t.Errorf("want %q in\n%s", want, info)
		}
	}
	if !strings.Contains(pkg, `'demo-1.2.3-x86_64.tar.gz::https://demo.example/v1.2.3/demo-1.2.3-x86_64.tar.gz'`) {
		t.Errorf("the payload's version is not the package's: %s", pkg)
	}
	c.Arches["riscv64"] = Relations{}
	if err := c.Validate(env); err == nil || !strings.Contains(err.Error(), `arches: it is not made for "riscv64"`) {
		t.Errorf("got %v", err)
	}
}
