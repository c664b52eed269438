package appimage_test

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/imrightguy/slipway/phases/build/appimage"
	"github.com/imrightguy/slipway/phases/build/appimage/runtime"
	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

var env = pipeline.Env{Project: "demo", Version: "3.2.1+7", Commit: "abcdef", Time: fixedTime}

// folder stands for a step that makes a tree: it copies one.
type folder struct{ id, artifact, dir string }

func (f folder) Spec() pipeline.Spec {
	return pipeline.Spec{ID: f.id, Effect: pipeline.Local, Outputs: []string{f.artifact}}
}

func (f folder) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	out, err := ws.Create(pipeline.Artifact{Name: f.artifact, Kind: pipeline.KindTree})
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, err
	}
	entries, err := archive.List(root.FS())
	if err == nil {
		err = errors.Join(os.Mkdir(out, 0o755), archive.CopyTree(ctx, root, out, entries, func(int64) {}))
	}
	return nil, errors.Join(err, root.Close())
}

type phase []pipeline.Step

func (phase) Name() string                                                   { return "build" }
func (p phase) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) { return p, nil }

// writeFiles writes files; "-> x" is a link, and what begins with #! or as ELF files do may be executed.
func writeFiles(t testing.TB, root string, content map[string]string) {
	t.Helper()
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range content {
		p := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(p), 0o755)
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			err = errors.Join(err, os.Symlink(to, p))
		} else {
			mode := os.FileMode(0o644)
			if strings.HasPrefix(text, "#!") || strings.HasPrefix(text, "\x7fELF") {
				mode = 0o755
			}
			err = errors.Join(err, os.WriteFile(p, []byte(text), mode))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// makeStep runs the step on a bundle and a checkout of these files, and returns where the artifacts lie.
func makeStep(t testing.TB, c appimage.Config, bundled, source map[string]string) (pipeline.Dirs, error) {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	// No other test may start a program meanwhile, see build.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	dir := publicDir(t)
	writeFiles(t, filepath.Join(dir, "bundle"), bundled)
	writeFiles(t, filepath.Join(dir, "source"), source)
	plan, err := pipeline.NewPlan(t.Context(), env, phase{
		folder{component.SourceStep, component.Source, filepath.Join(dir, "source")},
		folder{bundle.StepID(c.Bundle, c.Arch), bundle.Artifact(c.Bundle, c.Arch), filepath.Join(dir, "bundle")},
		appimage.Step(c),
	})
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(filepath.Join(dir, "work"))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	dirs := pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work", "work")}
	return dirs, plan.Run(t.Context(), pipeline.Options{Journal: j, Dirs: dirs, Jobs: 2})
}

// lim are generous.
var lim = archive.Limits{Entries: 100_000, Bytes: 1 << 32}

// checkMade compares a finished AppImage with what it was made of.
func checkMade(t *testing.T, c appimage.Config, dirs pipeline.Dirs) []archive.Entry {
	t.Helper()
	f, err := os.Open(dirs.Path(c.File()))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || fi.Mode().Perm() != 0o755 {
		t.Errorf("%v %v", fi, err)
	}
	got, err := appimage.Entries(t.Context(), f, lim)
	if err != nil {
		t.Fatal(err)
	}
	want, err := appimage.Expected(t.Context(), c, &env, dirs.Path(bundle.Artifact(c.Bundle, c.Arch)))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range archive.Diff(want, got) {
		t.Error(d)
	}
	if problems, err := c.CheckHead(f, fi.Size()); err != nil || len(problems) > 0 {
		t.Errorf("%q %v", problems, err)
	}
	return got
}

const cloudDesktop = "[Desktop Entry]\nType=Application\nName=CloudToLocalLLM\nExec=cloudtolocalllm %U\nIcon=cloudtolocalllm\nCategories=Network;\n"

func desktopBundle(t testing.TB) map[string]string {
	t.Helper()
	return map[string]string{
		"bin/cloudtolocalllm":                                          "#!/bin/sh\necho app \"$@\"\n",
		"bin/cloudtolocalllm-tray":                                     "#!/bin/sh\necho tray \"$@\"\n",
		"bin/alias":                                                    "-> cloudtolocalllm",
		"lib/cloudtolocalllm/data/x":                                   strings.Repeat("x", 300_000),
		"share/applications/cloudtolocalllm.desktop":                   cloudDesktop,
		"share/icons/hicolor/256x256/apps/cloudtolocalllm.png":         string(pngOf(t, 256)),
		"share/metainfo/cloudtolocalllm.metainfo.xml":                  "<component/>\n",
		"share/doc/$(touch canary)/`x` 'quoted' \"and\" -rf [a]{b,c}~": "hostile name",
		"etc/xdg/autostart/tray.desktop":                               "autostart",
	}
}

func pngOf(t testing.TB, size int) []byte {
	t.Helper()
	b, err := plainIcon()
	if err != nil || size != 256 {
		t.Fatal(err, size)
	}
	return b
}

func TestStep(t *testing.T) {
	c := appimage.Config{
		Name: "CloudToLocalLLM", Bundle: "desktop", Version: "3.2.1", Arch: "amd64",
		UpdateInformation: "gh-releases-zsync|owner|repo|latest|CloudToLocalLLM-*{{ .Arch }}.AppImage.zsync",
	}
	if c.File() != "CloudToLocalLLM-3.2.1-x86_64.AppImage" || c.StepID() != "build/appimage/CloudToLocalLLM/amd64" {
		t.Error(c.File(), c.StepID())
	}
	dirs, err := makeStep(t, c, desktopBundle(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, e := range checkMade(t, c, dirs) {
		paths = append(paths, e.Path)
	}
	for _, p := range []string{"AppRun", "cloudtolocalllm.desktop", "cloudtolocalllm.png", ".DirIcon", "bin", "usr/bin/cloudtolocalllm-tray", "etc/xdg/autostart/tray.desktop", "usr/share/metainfo/cloudtolocalllm.appdata.xml"} {
		if !slices.Contains(paths, p) {
			t.Errorf("no %s in %q", p, paths)
		}
	}
	f, err := os.Open(dirs.Path(c.File()))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fsys, err := appimage.OpenFS(f)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := fs.ReadFile(fsys, "cloudtolocalllm.desktop"); err != nil || !strings.Contains(string(b), "\nX-AppImage-Version=3.2.1\n") {
		t.Errorf("%s %v", b, err)
	}
	data, err := fsys.Open("usr/lib/cloudtolocalllm/data/x")
	if err != nil {
		t.Fatal(err)
	}
	at := make([]byte, 3)
	if _, err := data.(io.ReaderAt).ReadAt(at, 299_997); err != nil || string(at) != "xxx" {
		t.Errorf("%q %v", at, err)
	}
	h, err := appimage.ReadHead(f)
	rec, recErr := runtime.Recorded()
	if err != nil || recErr != nil || h.Arch != "amd64" || h.UpdateInformation != "gh-releases-zsync|owner|repo|latest|CloudToLocalLLM-*x86_64.AppImage.zsync" || h.RuntimeSHA256 != rec.SHA256["amd64"] {
		t.Errorf("%+v %v", h, err)
	}
	zsync, err := os.ReadFile(dirs.Path(c.ZsyncFile()))
	if err != nil || !bytes.Contains(zsync, []byte("\nURL: CloudToLocalLLM-3.2.1-x86_64.AppImage\n")) {
		t.Errorf("%.300q %v", zsync, err)
	}
	again, err := makeStep(t, c, desktopBundle(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range c.Outputs() {
		if !bytes.Equal(read(t, dirs.Path(name)), read(t, again.Path(name))) {
			t.Errorf("%s has other bytes the second time", name)
		}
	}
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no shell")
	}
	needRuntime(t)
	// The AppImage and links to it with the names of its programs.
	links := t.TempDir()
	for name, want := range map[string]string{"CloudToLocalLLM": "app a b", "cloudtolocalllm-tray": "tray a b", "alias": "app a b", "sh": "app a b", "$(touch canary)": "app a b"} {
		p := filepath.Join(links, name)
		if err := os.Symlink(dirs.Path(c.File()), p); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(p, "a", "b")
		cmd.Dir = links
		// APPDIR of another AppImage, from which this one was started.
		cmd.Env = append(os.Environ(), "APPIMAGE_EXTRACT_AND_RUN=1", "APPDIR=/nonexistent", "XDG_CACHE_HOME="+links)
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != want+"\n" {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
	if _, err := os.Lstat(filepath.Join(links, "canary")); err == nil {
		t.Error("a name was executed")
	}
	out, err := exec.Command(dirs.Path(c.File()), "--appimage-extract-and-run").Output()
	if err != nil || string(out) != "app\n" {
		t.Errorf("%s %v", out, err)
	}
}

// TestStepConsole packs a program that has neither desktop entry nor icon, for both architectures.
func TestStepConsole(t *testing.T) {
	for arch, m := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		program := make([]byte, 64)
		copy(program, "\x7fELF\x02\x01\x01")
		program[16], program[18] = 2, byte(m)
		c := appimage.Config{Name: "slipway", Bundle: "slipway", Version: "1.0.0", Arch: arch, Compression: appimage.Fast, Description: "releases and packages\nMore."}
		dirs, err := makeStep(t, c, map[string]string{"bin/slipway": string(program), "share/man/man1/slipway.1": ".TH"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		checkMade(t, c, dirs)
		f, err := os.Open(dirs.Path(c.File()))
		if err != nil {
			t.Fatal(err)
		}
		fsys, err := appimage.OpenFS(f)
		if err != nil {
			t.Fatal(err)
		}
		const want = "[Desktop Entry]\nType=Application\nName=slipway\nComment=releases and packages\nExec=slipway\nIcon=slipway\nTerminal=true\nNoDisplay=true\nCategories=Utility;ConsoleOnly;\nX-AppImage-Version=1.0.0\n"
		if b, err := fs.ReadFile(fsys, "slipway.desktop"); err != nil || string(b) != want {
			t.Errorf("%s %v", b, err)
		}
		f.Close()
		if !slices.Equal(c.Outputs(), []string{c.File()}) {
			t.Errorf("%q", c.Outputs())
		}
		if _, err := os.Stat(dirs.Path(c.ZsyncFile())); err == nil {
			t.Error("update data without update information")
		}
	}
}

func TestStepRefuses(t *testing.T) {
	base := func(change func(*appimage.Config)) appimage.Config {
		c := appimage.Config{Name: "App", Bundle: "b", Version: "1.0.0", Arch: "amd64"}
		change(&c)
		return c
	}
	with := func(change func(map[string]string)) map[string]string {
		m := desktopBundle(t)
		change(m)
		return m
	}
	same := func(*appimage.Config) {}
	arm := "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x02\x00\xb7\x00" + strings.Repeat("\x00", 44)
	for want, c := range map[string]struct {
		config  func(*appimage.Config)
		bundled map[string]string
	}{
		"say with desktop which one":               {same, with(func(m map[string]string) { m["share/applications/b.desktop"] = cloudDesktop })},
		"starts bin/cloudtolocalllm, which the":    {same, with(func(m map[string]string) { delete(m, "bin/cloudtolocalllm"); delete(m, "bin/alias") })},
		"no desktop entry, no bin/App and 2 progr": {same, map[string]string{"bin/a": "#!", "bin/b": "#!"}},
		"desktop: the bundle has no nothing.deskt": {func(c *appimage.Config) { c.Desktop = "nothing.desktop" }, desktopBundle(t)},
		"icon: the bundle has no x.png":            {func(c *appimage.Config) { c.Icon = "x.png" }, desktopBundle(t)},
		"has no program \"bin/none\" for AppRun":   {func(c *appimage.Config) { c.Program = "bin/none" }, desktopBundle(t)},
		"no icon cloudtolocalllm under":            {same, with(func(m map[string]string) { delete(m, "share/icons/hicolor/256x256/apps/cloudtolocalllm.png") })},
		"it is made for EM_AARCH64":                {same, with(func(m map[string]string) { m["lib/x.so"] = arm })},
		"it has no Categories": {same, with(func(m map[string]string) {
			m["share/applications/cloudtolocalllm.desktop"] = strings.Replace(cloudDesktop, "Categories=Network;\n", "", 1)
		})},
		"cannot read the AppImage runtime": {func(c *appimage.Config) {
			c.Runtime = &appimage.RuntimeConfig{Path: "tools/none", SHA256: strings.Repeat("0", 64)}
		}, desktopBundle(t)},
		"category \"a;b\": want": {func(c *appimage.Config) { c.Categories = []string{"a;b"} }, map[string]string{"bin/App": "#!"}},
		"set SLIPWAY_TEST_NOT_SET to the path of": {func(c *appimage.Config) {
			c.Sign = &appimage.SignConfig{Fingerprint: strings.Repeat("a", 40), KeyFile: "SLIPWAY_TEST_NOT_SET"}
		}, desktopBundle(t)},
	} {
		if _, err := makeStep(t, base(c.config), c.bundled, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, expected %q", err, want)
		}
	}
}

// TestStepOwnRuntime takes a runtime out of the repository, and signs with a key that the environment names.
func TestStepOwnRuntime(t *testing.T) {
	official, err := runtime.For("amd64") // any head will do: what matters is that its bytes come from the repository
	if err != nil {
		t.Fatal(err)
	}
	official = bytes.Replace(official, []byte("slipway 1"), []byte("another 1"), 1)
	key := signingKey(t)
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(key))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.asc")
	if err := os.WriteFile(file, key, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SLIPWAY_TEST_KEY", file)
	c := appimage.Config{
		Name: "App", Bundle: "b", Version: "1.0.0", Arch: "amd64",
		Runtime: &appimage.RuntimeConfig{Path: "tools/runtime x86_64", SHA256: strings.ToUpper(hexSHA256(official))},
		Sign:    &appimage.SignConfig{Fingerprint: strings.ToUpper(hexOf(ring[0].PrimaryKey.Fingerprint)), KeyFile: "SLIPWAY_TEST_KEY"},
	}
	source := map[string]string{"tools/runtime x86_64": string(official)}
	dirs, err := makeStep(t, c, desktopBundle(t), source)
	if err != nil {
		t.Fatal(err)
	}
	checkMade(t, c, dirs)
	f, err := os.Open(dirs.Path(c.File()))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h, err := appimage.ReadHead(f)
	if err != nil || h.RuntimeSHA256 != hexSHA256(official) || !strings.HasPrefix(h.Signature, "-----BEGIN PGP SIGNATURE") || !strings.HasPrefix(h.SignatureKey, "-----BEGIN PGP PUBLIC KEY") {
		t.Errorf("%+v %v", h, err)
	}
	if bytes.Contains(read(t, dirs.Path(c.File())), []byte("PRIVATE KEY")) {
		t.Error("the private key is in the AppImage")
	}
	plain := c
	plain.Sign, plain.Runtime = nil, nil
	if problems, err := plain.CheckHead(f, 0); err == nil {
		t.Errorf("%q", problems)
	}
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	plain.UpdateInformation, plain.Arch = "zsync|x", "arm64"
	problems, err := plain.CheckHead(f, fi.Size())
	if err != nil || len(problems) != 4 {
		t.Errorf("%q %v", problems, err)
	}
	c.Sign = &appimage.SignConfig{Fingerprint: strings.Repeat("0", 40), KeyFile: "SLIPWAY_TEST_KEY"}
	if _, err := makeStep(t, c, desktopBundle(t), source); err == nil || !strings.Contains(err.Error(), "has fingerprint") {
		t.Error(err)
	}
	c.Runtime.SHA256 = strings.Repeat("0", 64)
	c.Sign = nil
	if _, err := makeStep(t, c, desktopBundle(t), source); err == nil || !strings.Contains(err.Error(), "has SHA-256") {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	good := appimage.Config{Name: "App", Bundle: "b", Version: "1.0.0", Arch: "arm64", UpdateInformation: "gh-releases-zsync|o|r|latest|App-*{{ .Arch }}.AppImage.zsync"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*appimage.Config){
		"name: want":                           func(c *appimage.Config) { c.Name = "a b" },
		"bundle: want":                         func(c *appimage.Config) { c.Bundle = "" },
		"cannot be made for \"riscv64\"":       func(c *appimage.Config) { c.Arch = "riscv64" },
		"compression: want":                    func(c *appimage.Config) { c.Compression = "xz" },
		"runtime.path":                         func(c *appimage.Config) { c.Runtime = &appimage.RuntimeConfig{Path: "../x"} },
		"runtime.sha256":                       func(c *appimage.Config) { c.Runtime = &appimage.RuntimeConfig{Path: "x", SHA256: "abc"} },
		"sign.fingerprint":                     func(c *appimage.Config) { c.Sign = &appimage.SignConfig{KeyFile: "X"} },
		"sign.key_file":                        func(c *appimage.Config) { c.Sign = &appimage.SignConfig{KeyFile: "/etc/key"} },
		"sign.passphrase: want the name":       func(c *appimage.Config) { c.Sign = &appimage.SignConfig{KeyFile: "X", Passphrase: "hunter 2"} },
		"desktop: want":                        func(c *appimage.Config) { c.Desktop = "share/x" },
		"desktop: name":                        func(c *appimage.Config) { c.Desktop = "../x.desktop" },
		"icon: want":                           func(c *appimage.Config) { c.Icon = "x.ico" },
		"program: name":                        func(c *appimage.Config) { c.Program = "/bin/sh" },
		"update_information: cannot expand":    func(c *appimage.Config) { c.UpdateInformation = "zsync|{{ .Nothing }}" },
		"begins with none of":                  func(c *appimage.Config) { c.UpdateInformation = "https://example.com" },
		"does not find App-1.0.0-aarch64.AppI": func(c *appimage.Config) { c.UpdateInformation = "gh-releases-zsync|o|r|latest|App-*x86_64*" },
	} {
		c := good
		change(&c)
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, expected %q", err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter") {
			t.Error("a passphrase in an error")
		}
	}
}
