//go:build linux

package build

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/makepkg"
)

// run runs a tool and returns what it printed.
func run(t *testing.T, argv ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// judged is must for the Arch tools, of which one may be missing.
func judged(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, makepkg.ErrMissing) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	must(t, err)
}

// lintian finds nothing that it calls an error or a warning.
func lintian(t *testing.T, debs ...string) {
	t.Helper()
	need(t, "lintian")
	args := []string{"lintian", "--fail-on", "error,warning"}
	if os.Geteuid() == 0 {
		args = append(args, "--allow-root")
	}
	if out, err := run(t, append(args, debs...)...); err != nil || strings.Contains(out, "E: ") || strings.Contains(out, "W: ") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestLintian(t *testing.T) {
	t.Parallel()
	p, _ := demo(t)
	lintian(t, p.path("demo_1.2.3_amd64.deb"), p.path("demo_1.2.3_arm64.deb"))
}

// TestLintian_Variants: a prerelease, a new revision and an epoch, xz, all relations, and a description of one long line.
func TestLintian_Variants(t *testing.T) {
	t.Parallel()
	cfg := prebuiltConfig()
	d := &cfg.Packages[1]
	d.Revision, d.Epoch, d.Compression, d.Section, d.Priority = 3, 1, "xz", "net", "optional"
	d.Depends, d.Recommends, d.Suggests = []string{"libc6 (>= 2.31) | musl"}, []string{"ca-certificates"}, []string{"git"}
	d.Conflicts, d.Replaces, d.Provides, d.Breaks = []string{"demo-desktop"}, []string{"demo-desktop"}, []string{"demo-desktop"}, []string{"demo-old (<< 1.0)"}
	d.License, d.Copyright = "Apache-2.0", "2026 The Demo Authors"
	d.Description = "say the version and end\n" + strings.Repeat("It prints the version of itself to standard output. ", 8)
	p := newProject(t, cfg, sourceFiles)
	p.env.Version = "1.2.3-rc.1+7"
	_, err := p.run(t.Context())
	must(t, err)
	deb := p.path("demo_1.2.3-rc.1_amd64.deb")
	lintian(t, deb)
	need(t, "dpkg-deb")
	out, err := run(t, "dpkg-deb", "-f", deb, "Version", "Depends", "Breaks", "Provides", "Section")
	if want := "Version: 1:1.2.3~rc.1-3\nDepends: libc6 (>= 2.31) | musl\nBreaks: demo-old (<< 1.0)\nProvides: demo-desktop\nSection: net\n"; err != nil || out != want {
		t.Errorf("%v\n%s", err, out)
	}
}

// dpkgRoot is an empty root for dpkg. It returns dpkg's command line for it.
func dpkgRoot(t *testing.T) (root string, dpkg []string) {
	t.Helper()
	need(t, "dpkg", "dpkg-deb")
	dir := t.TempDir()
	root = filepath.Join(dir, "root")
	for _, name := range []string{"info", "updates", "triggers"} {
		must(t, os.MkdirAll(filepath.Join(root, "var/lib/dpkg", name), 0o755))
	}
	for _, name := range []string{"status", "available"} {
		must(t, os.WriteFile(filepath.Join(root, "var/lib/dpkg", name), nil, 0o644))
	}
	return root, []string{"dpkg", "--root=" + root, "--force-depends", "--force-not-root", "--force-bad-path", "--force-architecture", "--log=" + filepath.Join(dir, "log")}
}

// installRemove installs a package, has every file verified, compares the tree with the bundle, and removes it: nothing
// is left. It runs as whoever runs the test; the packages have no scripts.
func installRemove(t *testing.T, name, deb, bundleDir string) {
	t.Helper()
	root, dpkg := dpkgRoot(t)
	if out, err := run(t, append(dpkg, "-i", deb)...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := run(t, append(dpkg, "--verify", name)...); err != nil || out != "" {
		t.Errorf("verify: %v\n%s", err, out)
	}
	want, err := archive.Tree(bundleDir)
	must(t, err)
	must(t, archive.Hash(t.Context(), bundleDir, want))
	got, err := archive.Tree(filepath.Join(root, "usr"))
	must(t, err)
	must(t, archive.Hash(t.Context(), filepath.Join(root, "usr"), got))
	for _, d := range archive.Diff(want, got) {
		// Beside the bundle there are Debian's own documents, and manual pages are compressed.
		if !strings.Contains(d, `"share/doc"`) && !strings.Contains(d, "share/doc/"+name) && !strings.Contains(d, "share/lintian") && !strings.Contains(d, "share/man/") {
			t.Error(d)
		}
	}
	for _, action := range []string{"-r", "-P"} {
		if out, err := run(t, append(dpkg, action, name)...); err != nil && !strings.Contains(out, "ignoring request to") && !strings.Contains(out, "which isn't installed") {
			t.Errorf("%s: %v\n%s", action, err, out)
		}
	}
	must(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if rel := strings.TrimPrefix(p, root+"/"); err == nil && p != root && rel != "var" && rel != "var/lib" && !strings.HasPrefix(rel, "var/lib/dpkg") {
			t.Errorf("left %s", rel)
		}
		return err
	}))
}

func TestDpkg(t *testing.T) {
	t.Parallel()
	p, _ := demo(t)
	installRemove(t, "demo", p.path("demo_1.2.3_amd64.deb"), p.path("work/bundle/demo/amd64"))
	installRemove(t, "demo", p.path("demo_1.2.3_arm64.deb"), p.path("work/bundle/demo/arm64"))
}

// TestDpkg_Upgrade installs a prerelease, then the release over it; dpkg sees that this is an upgrade, and removes what
// the new one no longer has.
func TestDpkg_Upgrade(t *testing.T) {
	t.Parallel()
	old := newProject(t, prebuiltConfig(), sourceFiles)
	old.cfg.Bundles["demo"] = bundle.Config{Contents: append(slices.Clone(old.cfg.Bundles["demo"].Contents), bundle.Content{Src: "go.mod", Dst: "share/demo/old"})}
	old.env.Version = "1.2.3-rc.1"
	_, err := old.run(t.Context())
	must(t, err)
	p := newProject(t, prebuiltConfig(), sourceFiles)
	_, err = p.run(t.Context())
	must(t, err)
	root, dpkg := dpkgRoot(t)
	for _, deb := range []string{old.path("demo_1.2.3-rc.1_amd64.deb"), p.path("demo_1.2.3_amd64.deb")} {
		if out, err := run(t, append(dpkg, "--refuse-downgrade", "-i", deb)...); err != nil || strings.Contains(out, "will not downgrade") {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if out, err := run(t, append(dpkg, "-s", "demo")...); err != nil || !strings.Contains(out, "Version: 1.2.3-1\n") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := os.Lstat(filepath.Join(root, "usr/share/demo/old")); err == nil {
		t.Error("a file of the old package is left")
	}
}

// TestMakepkg: makepkg reads our PKGBUILD as our .SRCINFO says, builds it from the tarball, and pacman installs and
// removes what it built.
func TestMakepkg(t *testing.T) {
	t.Parallel()
	p, _ := demo(t)
	makepkgInstall(t, p, "demo-bin", "x86_64", p.path("work/bundle/demo/amd64"), "share/licenses/demo-bin")
	if os.Getenv("SLIPWAY_LONG") != "" { // the same commands on the other tarball
		makepkgInstall(t, p, "demo-bin", "aarch64", p.path("work/bundle/demo/arm64"), "share/licenses/demo-bin")
	}
}

func makepkgInstall(t *testing.T, p *project, name, arch, bundleDir, extra string) {
	t.Helper()
	dir := p.path("aur/" + name)
	r, err := makepkg.PrintSRCINFO(t.Context(), dir)
	judged(t, err)
	want, err := os.ReadFile(filepath.Join(dir, ".SRCINFO"))
	must(t, err)
	if r.Stdout != string(want) {
		t.Errorf("makepkg prints\n%s\nwe wrote\n%s", r.Stdout, want)
	}
	sources := t.TempDir()
	tarball := "demo-1.2.3-" + arch + ".tar.gz"
	b, err := os.ReadFile(p.path(tarball))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(sources, tarball), b, 0o644))
	r, err = makepkg.Build(t.Context(), makepkg.Options{Dir: dir, SrcDest: sources, PkgDest: t.TempDir(), Arch: arch})
	judged(t, err)
	if len(r.Packages) != 1 {
		t.Fatalf("made %q", r.Packages)
	}
	report, err := makepkg.InstallRemove(t.Context(), r.Packages[0])
	judged(t, err)
	if !report.Clean() || report.Version != "1.2.3-1" {
		t.Errorf("%+v", report)
	}
	entries, err := archive.Tree(bundleDir)
	must(t, err)
	for _, e := range entries {
		path := "usr/" + e.Path
		if e.Mode.IsDir() {
			path += "/"
		}
		// makepkg compresses manual pages.
		if !slices.Contains(report.Files, path) && !slices.Contains(report.Files, path+".gz") {
			t.Errorf("%s is not in the package", path)
		}
	}
	if !slices.Contains(report.Files, "usr/"+extra+"/LICENSE") {
		t.Errorf("there is no licence in %s: %q", extra, report.Files)
	}
}

// hostileNames are packaged as they are, in all formats.
var hostileNames = []string{
	"with space", "quote'd", `double"d`, "$(touch canary)", "`touch canary`", "-rf", "--checkpoint-action=exec=sh x", "star*", "[a-z]", "{a,b}", "what?", "#hash", "~tilde",
	"ünïcödé", "日本語.txt", "\U0001f6a2", "%s%n", "a;b", "a|b", "a&b", "<a>", "bang!", "a=b", "@at", ".hidden", " leading", "trailing ", "a:b:c/d:e",
}

// TestHostileNames packs files with names that shells, lists and patterns would take for something else; dpkg, tar and
// pacman install every one of them under its name, and nothing is run.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	files := map[string]string{"LICENSE": sourceFiles["LICENSE"], "tool.sh": sourceFiles["tool.sh"], "docs/demo.1": sourceFiles["docs/demo.1"]}
	for i, name := range hostileNames {
		files["data/x"+name] = strings.Repeat("x", i)
		files["data/dir "+strings.ReplaceAll(name, "/", "")+"/"+strings.TrimPrefix(name, "a:")] = "y"
	}
	cfg := prebuiltConfig()
	cfg.Components["data"] = component.Config{Builder: component.Prebuilt, Path: "data"}
	cfg.Bundles["demo"] = bundle.Config{Contents: []bundle.Content{
		{Src: "component:demo/tool.sh", Dst: "bin/demo"},
		{Src: "LICENSE", Dst: "share/licenses/demo/"},
		{Src: "docs/demo.1", Dst: "share/man/man1/demo.1"},
		{Src: "component:data", Dst: "share/demo", Type: "tree"},
		{Src: "data", Dst: "lib/demo/$(touch canary)", Type: "tree"},
		{Src: "../share/demo/x$(touch canary)", Dst: "lib/`touch canary`", Type: "symlink"},
	}}
	p := newProject(t, cfg, files)
	_, err := p.run(t.Context())
	must(t, err)
	tree := p.path("work/bundle/demo/amd64")
	want, err := archive.Tree(tree)
	must(t, err)
	if len(want) < 3*len(hostileNames) {
		t.Errorf("the bundle has %d entries only", len(want))
	}
	t.Run("tar", func(t *testing.T) {
		need(t, "tar")
		to := t.TempDir()
		if out, err := run(t, "tar", "-xf", p.path("demo-1.2.3-x86_64.tar.gz"), "-C", to, "--strip-components=1"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		got, err := archive.Tree(to)
		must(t, err)
		for _, d := range archive.Diff(want, got) {
			t.Error(d)
		}
	})
	t.Run("dpkg", func(t *testing.T) { installRemove(t, "demo", p.path("demo_1.2.3_amd64.deb"), tree) })
	t.Run("lintian", func(t *testing.T) {
		need(t, "lintian")
		args := []string{"lintian", "--fail-on", "error"}
		if os.Geteuid() == 0 {
			args = append(args, "--allow-root")
		}
		if out, err := run(t, append(args, p.path("demo_1.2.3_amd64.deb"))...); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("makepkg", func(t *testing.T) { makepkgInstall(t, p, "demo-bin", "x86_64", tree, "share/licenses/demo-bin") })
	must(t, filepath.WalkDir(filepath.Dir(p.work), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "canary" {
			t.Errorf("%s: something was run", path)
		}
		return err
	}))
	if _, err := os.Lstat("canary"); err == nil {
		t.Error("something was run here")
	}
}

// TestHostileNames_Refused: what the formats or their tools cannot carry is told before anything is packed.
func TestHostileNames_Refused(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"line\nbreak": "line break", "tab\there": "control character", `back\slash`: "backslash", "not\xffutf8": "not valid UTF-8",
		"e\u0301": "form NFC", strings.Repeat("x", 250): "", // fits
	} {
		p := newProject(t, prebuiltConfig(), sourceFiles)
		p.cfg.Bundles["demo"] = bundle.Config{Contents: append(slices.Clone(p.cfg.Bundles["demo"].Contents), bundle.Content{Src: "data", Dst: "share/demo", Type: "tree"})}
		must(t, os.MkdirAll(filepath.Join(p.repo, "data"), 0o755))
		must(t, os.WriteFile(filepath.Join(p.repo, "data", name), nil, 0o644))
		_, err := p.run(t.Context())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got %v, want %q", name, err, want)
		}
	}
}
