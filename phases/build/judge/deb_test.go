package judge

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/sandbox"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

func replace(s, old, with string) string { return strings.ReplaceAll(s, old, with) }

const control = `Package: demo
Version: 1.2.3-1
Architecture: amd64
Maintainer: Demo Release <release@demo.example>
Section: utils
Priority: optional
Depends: libc6 (>= 2.31), nothing-like-it
Description: say the version and end
 This program prints its version to standard output and ends. It is there for
 tests of packaging.
`

// debFiles are those of a package.
var debFiles = map[string]string{
	"DEBIAN/control":               control,
	"usr/share/demo/data":          "data\n",
	"usr/share/doc/demo/copyright": "Copyright (C) 2025 Demo\nLicense: MIT\n",
}

// makeDeb packs files with dpkg-deb. What is nil there is left out.
func makeDeb(t *testing.T, dpkgDeb string, change map[string]string) string {
	t.Helper()
	files := maps.Clone(debFiles)
	for name, text := range change {
		if files[name] = text; text == "" {
			delete(files, name)
		}
	}
	dir := filepath.Join(t.TempDir(), "deb")
	must(t, plant(dir, files))
	if _, ok := change["DEBIAN/md5sums"]; !ok {
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", "find . -path ./DEBIAN -prune -o -type f -print0 | sort -z | xargs -0 -r md5sum | sed 's, [*]\\?\\./,  ,;s,   ,  ,' > DEBIAN/md5sums")
		cmd.Dir, cmd.Env = dir, []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	cmd := exec.CommandContext(t.Context(), dpkgDeb, "-Zgzip", "--root-owner-group", "--nocheck", "-b", dir, dir+".deb")
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(dir + ".deb")
	must(t, err)
	return string(text)
}

func judgeDeb(t *testing.T, name, file string) pipeline.Evidence {
	t.Helper()
	c := debConfig()
	return judged(t, given{id: c.StepID(), files: map[string]string{c.File(): file}}, Deb(name, c))
}

func TestDpkg(t *testing.T) {
	t.Parallel()
	need(t, Dpkg)
	foreign := "arm64"
	for name, c := range map[string]struct {
		change  map[string]string
		verdict gate.Verdict
		want    []string
	}{
		"clean":        {nil, gate.Pass, []string{"nothing left"}},
		"foreign":      {map[string]string{"DEBIAN/control": replace(control, "amd64", foreign)}, gate.Pass, nil},
		"conffile":     {map[string]string{"DEBIAN/conffiles": "/etc/demo/demo.conf\n", "etc/demo/demo.conf": "a=b\n"}, gate.Pass, nil},
		"names":        {map[string]string{"usr/share/demo/$(touch canary)": "x", "usr/share/demo/`touch canary` 'x\"": "y", "usr/share/demo/-rf": "z", "usr/share/demo/star*": "-> -rf"}, gate.Pass, nil},
		"script":       {map[string]string{"DEBIAN/postinst": "#!/bin/sh\ntouch canary /tmp/canary\n"}, gate.Fail, []string{`maintainer script or unknown control file "postinst"`}},
		"config":       {map[string]string{"DEBIAN/config": "#!/bin/sh\ntouch canary /tmp/canary\n"}, gate.Fail, []string{`"config"`}},
		"other sums":   {map[string]string{"DEBIAN/md5sums": strings.Repeat("0", 32) + "  usr/share/demo/data\n" + strings.Repeat("1", 32) + "  usr/share/doc/demo/copyright\n"}, gate.Fail, []string{"md5sums say", "usr/share/demo/data"}},
		"no sums":      {map[string]string{"DEBIAN/md5sums": "\n"}, gate.Fail, []string{"md5sums are malformed"}},
		"out":          {map[string]string{"usr/share/demo/out": "-> ../../../../etc"}, gate.Fail, []string{"out"}},
		"records":      {map[string]string{"var/lib/dpkg/info/other.list": "/.\n"}, gate.Fail, []string{"where dpkg keeps its records"}},
		"essential":    {map[string]string{"DEBIAN/control": replace(control, "Section", "Essential: yes\nSection")}, gate.Fail, []string{"removal: dpkg: error", "essential"}},
		"other name":   {map[string]string{"DEBIAN/control": replace(control, "Package: demo", "Package: other")}, gate.Fail, []string{`Package is "other", want "demo"`}},
		"hostile":      {map[string]string{"DEBIAN/control": replace(control, "Version: 1.2.3-1", "Version: 1.2.3-$(touch canary)")}, gate.Fail, []string{"Version is"}},
		"no sections":  {map[string]string{"DEBIAN/control": replace(control, "Maintainer: Demo Release <release@demo.example>\n", "")}, gate.Pass, nil},    // lintian's matter
		"self":         {map[string]string{"DEBIAN/control": replace(control, "Section", "Conflicts: demo\nBreaks: demo (<< 2)\nSection")}, gate.Pass, nil}, // which concerns others
		"bad relation": {map[string]string{"DEBIAN/control": replace(control, "libc6 (>= 2.31)", "libc6 (=> 2 2)")}, gate.Fail, []string{"installation: ", "Depends"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := judgeDeb(t, Dpkg, makeDeb(t, "/usr/bin/dpkg-deb", c.change))
			wants(t, e, c.verdict, c.want...)
			noCanary(t)
		})
	}
}

// TestDpkg_WithoutBwrap is not parallel: it takes bwrap away. dpkg then runs as an ordinary user, of a package that has
// nothing to run.
func TestDpkg_WithoutBwrap(t *testing.T) {
	need(t, Dpkg)
	dir := t.TempDir()
	for _, name := range dpkgTools {
		must(t, os.Symlink(sandbox.Look(name), filepath.Join(dir, name)))
	}
	defer func(old []string) { sandbox.Path = old }(sandbox.Path)
	sandbox.Path = []string{dir}
	wants(t, judgeDeb(t, Dpkg, makeDeb(t, "/usr/bin/dpkg-deb", map[string]string{"DEBIAN/conffiles": "/etc/demo.conf\n", "etc/demo.conf": "a=b\n"})), gate.Pass)
	wants(t, judgeDeb(t, Dpkg, makeDeb(t, "/usr/bin/dpkg-deb", map[string]string{"DEBIAN/control": replace(control, "Section", "Essential: yes\nSection")})), gate.Fail, "essential")
}

// TestLeft plants what an installation or a removal may leave.
func TestLeft(t *testing.T) {
	t.Parallel()
	need(t, Dpkg)
	b, err := sandbox.New(t.Context())
	must(t, err)
	defer func() { must(t, b.Close()) }()
	must(t, plant(b.Outside("root"), map[string]string{"var/lib/dpkg/status": "", "etc/demo.conf": "", "etc/other/x": "", "var/lib/more": "", "usr/-> x": ""}))
	d := &debRoot{Box: b, r: &report{}, name: "demo"}
	must(t, d.left(map[string]bool{"etc/demo.conf": true}))
	if want := []string{`"etc/other" is there and should not be`, `"usr" is there and should not be`, `"var/lib/more" is there and should not be`}; !slices.Equal(d.r.faults, want) {
		t.Errorf("got %q", d.r.faults)
	}
}

// TestDiffers plants installed files that are not as the package lists them.
func TestDiffers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, plant(dir, map[string]string{"file": "abc", "run": "#!abc", "link": "-> file"}))
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte("abc")))
	for want, e := range map[string]archive.Entry{
		"": {Path: "file", Mode: 0o644, Size: 3, SHA256: sum}, "mode 0644, want 0755": {Path: "file", Mode: 0o755, Size: 3, SHA256: sum},
		"other content": {Path: "file", Mode: 0o644, Size: 3, SHA256: sum[1:] + "0"}, "not installed": {Path: "none", Mode: 0o644},
		"leads to": {Path: "link", Mode: fs.ModeSymlink | 0o777, Link: "run"}, "installed as": {Path: "link", Mode: 0o644},
	} {
		if why, err := differs(root, e); err != nil || (why == "") != (want == "") || !strings.Contains(why, want) {
			t.Errorf("%+v: got %q, %v, want %q", e, why, err, want)
		}
	}
}

func TestDpkg_NoPackage(t *testing.T) {
	t.Parallel()
	need(t, Dpkg)
	wants(t, judgeDeb(t, Dpkg, "garbage"), gate.Fail, "not a Debian package")
	whole := makeDeb(t, "/usr/bin/dpkg-deb", nil)
	wants(t, judgeDeb(t, Dpkg, whole[:len(whole)-100]), gate.Fail, "")
}

func TestLintian(t *testing.T) {
	t.Parallel()
	need(t, Lintian, Dpkg)
	const overrides = "demo: no-changelog\ndemo: copyright-without-copyright-notice\ndemo: no-copyright-file\n"
	clean := map[string]string{
		"DEBIAN/control":                   replace(replace(control, "amd64", "all"), "Depends: libc6 (>= 2.31), nothing-like-it\n", ""),
		"usr/share/lintian/overrides/demo": overrides,
	}
	faulty := maps.Clone(clean)
	faulty["usr/share/doc/demo/copyright"] = ""
	faulty["usr/share/lintian/overrides/demo"] = "demo: no-changelog\n"
	hostile := maps.Clone(faulty)
	hostile["usr/share/demo/$(touch canary)"] = "x"
	hostile["DEBIAN/control"] = replace(hostile["DEBIAN/control"], "say the version", "`touch canary` $(touch canary)")
	for name, c := range map[string]struct {
		file    string
		verdict gate.Verdict
		want    string
	}{
		"overridden": {makeDeb(t, "/usr/bin/dpkg-deb", clean), gate.Pass, "no tags of severity error or warning"},
		"fault":      {makeDeb(t, "/usr/bin/dpkg-deb", faulty), gate.Fail, "E: demo: no-copyright-file"},
		"hostile":    {makeDeb(t, "/usr/bin/dpkg-deb", hostile), gate.Fail, "E: demo: no-copyright-file"},
		"garbage":    {"garbage", gate.Unknown, "lintian ended with status"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := judgeDeb(t, Lintian, c.file)
			wants(t, e, c.verdict, c.want)
			if !strings.HasPrefix(e.Tool, "lintian 2") {
				t.Errorf("tool %q", e.Tool)
			}
			noCanary(t)
		})
	}
}
