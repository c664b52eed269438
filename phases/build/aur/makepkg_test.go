package aur

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/build/appimage"
	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/build/deb"
	"github.com/imrightguy/slipway/phases/build/tarball"
	"github.com/imrightguy/slipway/phases/internal/fixture"
	"github.com/imrightguy/slipway/phases/internal/makepkg"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// tree stands for a step that makes a tree: text by path. What begins with #! may be executed, and "-> x" is a link.
type tree struct {
	id, artifact string
	files        map[string]string
}

func (s tree) Spec() pipeline.Spec {
	return pipeline.Spec{ID: s.id, Effect: pipeline.Local, Outputs: []string{s.artifact}}
}

func (s tree) Run(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	out, err := ws.Create(pipeline.Artifact{Name: s.artifact, Kind: pipeline.KindTree})
	if err != nil {
		return nil, err
	}
	return nil, lay(out, s.files)
}

func lay(dir string, files map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		p, mode := filepath.Join(dir, name), os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		err := os.MkdirAll(filepath.Dir(p), 0o755)
		if to, link := strings.CutPrefix(text, "-> "); link {
			err = errors.Join(err, os.Symlink(to, p))
		} else {
			err = errors.Join(err, os.WriteFile(p, []byte(text), mode))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type phase []pipeline.Step

func (phase) Name() string                                                   { return "build" }
func (p phase) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) { return p, nil }

var testEnv = pipeline.Env{Project: "demo", Version: "1.2.3-rc.1+7", Commit: strings.Repeat("ab", 20), Time: time.Date(2026, 11, 21, 20, 30, 40, 0, time.UTC)}

// run carries steps out.
func run(t *testing.T, steps ...pipeline.Step) (pipeline.Dirs, error) {
	t.Helper()
	plan, err := pipeline.NewPlan(t.Context(), testEnv, phase(steps))
	must(t, err)
	dir := t.TempDir()
	j, err := journal.Open(filepath.Join(dir, "journal"))
	must(t, err)
	defer j.Close()
	o := pipeline.Options{Journal: j, Dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")}}
	return o.Dirs, plan.Run(t.Context(), o)
}

// application is a bundle with one of everything.
func application(t *testing.T) map[string]string {
	t.Helper()
	icon, err := fixture.Icon(48)
	must(t, err)
	return map[string]string{
		"bin/demo":                                   "#!/bin/sh\necho demo\n",
		"bin/demo-tray":                              "#!/bin/sh\necho tray\n",
		"lib/demo/data":                              "data",
		"lib/systemd/user/demo-tray.service":         "[Unit]\nDescription=Demo\n[Service]\nExecStart=/usr/bin/demo-tray\n",
		"share/systemd/user/demo-other.service":      "[Unit]\nDescription=Demo\n[Service]\nExecStart=/usr/bin/demo\n",
		"share/applications/demo.desktop":            "[Desktop Entry]\nType=Application\nName=Demo\nExec=demo\nIcon=demo\nCategories=Utility;\n",
		"share/icons/hicolor/48x48/apps/demo.png":    string(icon),
		"share/man/man1/demo.1":                      ".TH DEMO 1\n",
		"share/bash-completion/completions/demo":     "complete -W x demo\n",
		"share/zsh/vendor-completions/_demo":         "#compdef demo\n",
		"share/fish/vendor_completions.d/demo.fish":  "complete -c demo\n",
		"share/doc/demo/LICENSE":                     "MIT License\n\nCopyright (c) 2026 The Demo Authors\n",
		"share/demo/empty":                           "",
		"etc/demo.conf":                              "a=b\n",
		"etc/bash_completion.d/demo-tray":            "complete -W y demo-tray\n",
		"etc/xdg/autostart/demo-tray.desktop":        "[Desktop Entry]\nType=Application\nName=Demo\nExec=demo-tray\nIcon=demo\n",
		"share/metainfo/org.example.demo.metainfo.x": "left out of the image",
	}
}

// released are the configurations of the three kinds, for the same bundle.
func released() map[string]Config {
	const release = "1.2.3-rc.1"
	base := Config{
		Name: "demo-bin", Version: testEnv.Version, Project: "demo", Maintainer: "Demo Team <demo@mail.demo.example>",
		Description: "Say it", Homepage: "https://demo.example/", License: "MIT", URL: "https://demo.example/v{{ .Version }}/",
	}
	fromTarball, fromDeb, fromXZ, fromImage := base, base, base, base
	fromTarball.Tarballs = []tarball.Config{{Name: "demo", Bundle: "demo", Version: release, Arch: "amd64"}}
	d := deb.Config{
		Name: "demo", Bundle: "demo", Version: release, Upstream: "1.2.3~rc.1", Revision: 1, Arch: "amd64", Section: "utils",
		Maintainer: base.Maintainer, Description: "say it\nThis says it.", Homepage: base.Homepage, License: "MIT",
	}
	fromDeb.Debs = []deb.Config{d}
	d.Compression = "xz"
	fromXZ.Debs = []deb.Config{d}
	fromImage.AppImages = []appimage.Config{{Name: "demo", Bundle: "demo", Version: release, Arch: "amd64"}}
	return map[string]Config{"tarball": fromTarball, "deb": fromDeb, "deb, xz": fromXZ, "appimage": fromImage}
}

// steps makes what a configuration installs, of one bundle.
func (c Config) steps(files, source map[string]string) []pipeline.Step {
	steps := []pipeline.Step{tree{component.SourceStep, component.Source, source}}
	for _, s := range c.Sources() {
		steps = append(steps, tree{bundle.StepID(s.Bundle, s.Arch), bundle.Artifact(s.Bundle, s.Arch), files})
	}
	for _, t := range c.Tarballs {
		steps = append(steps, tarball.Step(t))
	}
	for _, d := range c.Debs {
		steps = append(steps, deb.Step(d))
	}
	for _, a := range c.AppImages {
		steps = append(steps, appimage.Step(a))
	}
	return append(steps, Step(c))
}

// need skips where a tool is missing; in CI that is a failure.
func need(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, makepkg.ErrMissing) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	must(t, err)
}

// repository copies the files of the package's repository to a folder, and what it installs to another.
func (c Config) repository(t *testing.T, dirs pipeline.Dirs) (repo, sources string) {
	t.Helper()
	repo, sources = t.TempDir(), t.TempDir()
	files := map[string][]byte{}
	for _, name := range c.FileNames() {
		b, err := os.ReadFile(dirs.Path(Artifact(c.Name, name)))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(repo, name), b, 0o644))
		files[name] = b
	}
	if found := pkgbuild.Lint(c.Name, files); len(found) > 0 {
		t.Errorf("lint: %v", found)
	}
	for _, s := range c.Sources() {
		b, err := os.ReadFile(dirs.Path(s.Artifact))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(sources, s.Local), b, 0o644))
	}
	return repo, sources
}

// TestMakepkg builds the packages of all kinds with the real makepkg and installs them with pacman: from a tarball and
// from a DEB the same files come to lie in the same places, and from an AppImage what the desktop looks for does too.
func TestMakepkg(t *testing.T) {
	t.Parallel()
	laid := []string{
		"etc/demo.conf", "etc/xdg/autostart/demo-tray.desktop", "usr/bin/demo", "usr/bin/demo-tray", "usr/lib/demo/data",
		"usr/lib/systemd/user/demo-other.service", "usr/lib/systemd/user/demo-tray.service", "usr/share/applications/demo.desktop",
		"usr/share/bash-completion/completions/demo", "usr/share/bash-completion/completions/demo-tray", "usr/share/demo/empty",
		"usr/share/doc/demo/LICENSE", "usr/share/fish/vendor_completions.d/demo.fish", "usr/share/icons/hicolor/48x48/apps/demo.png",
		"usr/share/licenses/demo-bin/LICENSE", "usr/share/man/man1/demo.1.gz", "usr/share/metainfo/org.example.demo.metainfo.x",
		"usr/share/zsh/site-functions/_demo",
	}
	inside := []string{"usr/lib/demo/data", "usr/share/demo/empty", "usr/share/metainfo/org.example.demo.metainfo.x"}
	outside := append(slices.DeleteFunc(slices.Clone(laid), func(p string) bool { return slices.Contains(inside, p) }), "opt/demo/demo.AppImage")
	slices.Sort(outside)
	for name, c := range released() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := laid
			if name == "appimage" {
				want = outside
			}
			dirs, err := run(t, c.steps(application(t), nil)...)
			must(t, err)
			expected, err := c.Installed(&testEnv, "amd64", dirs.Path(bundle.Artifact("demo", "amd64")))
			must(t, err)
			if !slices.Equal(expected, want) {
				t.Errorf("expected are\n%s\nwant\n%s", strings.Join(expected, "\n"), strings.Join(want, "\n"))
			}
			repo, sources := c.repository(t, dirs)
			printed, err := makepkg.PrintSRCINFO(t.Context(), repo)
			need(t, err)
			info, err := os.ReadFile(filepath.Join(repo, ".SRCINFO"))
			must(t, err)
			if printed.Stdout != string(info) {
				t.Errorf("makepkg prints\n%s.SRCINFO is\n%s", printed.Stdout, info)
			}
			if !strings.Contains(string(info), "\tbackup = etc/demo.conf\n\tbackup = etc/xdg/autostart/demo-tray.desktop\n\tsource") {
				t.Errorf("backup files in\n%s", info)
			}
			built, err := makepkg.Build(t.Context(), makepkg.Options{Dir: repo, SrcDest: sources, PkgDest: t.TempDir()})
			need(t, err)
			report, err := makepkg.InstallRemove(t.Context(), built.Packages[0])
			need(t, err)
			files := slices.DeleteFunc(slices.Clone(report.Files), func(p string) bool { return strings.HasSuffix(p, "/") })
			if !slices.Equal(files, want) {
				t.Errorf("installed are\n%s\nwant\n%s", strings.Join(files, "\n"), strings.Join(want, "\n"))
			}
			for _, p := range report.Files { // nothing of Debian's is left, not even folders
				for _, not := range []string{"lintian", "vendor-completions", "bash_completion.d", "share/systemd"} {
					if strings.Contains(p, not) {
						t.Errorf("%s is left", p)
					}
				}
			}
			if !report.Clean() || report.Version != "1.2.3rc1-1" {
				t.Errorf("report %+v", report)
			}
		})
	}
}

// TestStep_Install: the scriptlet of the commit becomes NAME.install, and pacman finds it in the package.
func TestStep_Install(t *testing.T) {
	t.Parallel()
	c := released()["tarball"]
	c.Install = "packaging/arch.install"
	const good = "# says what to do\n\npost_install() {\n\techo 'start demo'\n}\n"
	dirs, err := run(t, c.steps(application(t), map[string]string{c.Install: good})...)
	must(t, err)
	repo, sources := c.repository(t, dirs)
	text, err := os.ReadFile(filepath.Join(repo, "demo-bin.install"))
	must(t, err)
	if string(text) != good {
		t.Errorf("got %s", text)
	}
	built, err := makepkg.Build(t.Context(), makepkg.Options{Dir: repo, SrcDest: sources, PkgDest: t.TempDir()})
	need(t, err)
	report, err := makepkg.InstallRemove(t.Context(), built.Packages[0])
	need(t, err)
	if !report.Scriptlet {
		t.Errorf("report %+v", report)
	}
	for text, want := range map[string]string{
		"post_install() {\n\tif true; then\n}\n": "install: packaging/arch.install: bash cannot read it: ",
		"touch canary\n":                         "install: packaging/arch.install: line 1: want nothing but functions",
		"":                                       "want at least one of pre_install",
		"-> ../../../../../../etc/passwd":        "packaging/arch.install",
		"-> nothing":                             "packaging/arch.install",
		"build() {\n:\n}\n":                      "build is not called by pacman",
	} {
		if _, err := run(t, c.steps(application(t), map[string]string{c.Install: text})...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: want %q, got %v", text, want, err)
		}
	}
	for _, bad := range []string{"/etc/passwd", "../x", "a/../../b", ".", "..", "a//b", "a/"} {
		c.Install = bad
		if err := c.Validate(&testEnv); err == nil || !strings.Contains(err.Error(), "install: want a clean path") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

// TestBashReads: bash parses and runs nothing, whatever the environment says.
func TestBashReads(t *testing.T) {
	dir := t.TempDir()
	canary := filepath.Join(dir, "canary")
	must(t, os.WriteFile(filepath.Join(dir, "env"), []byte("touch "+canary+"\n"), 0o644))
	t.Setenv("BASH_ENV", filepath.Join(dir, "env"))
	must(t, bashReads(t.Context(), []byte("touch "+canary+"\nx=$(touch "+canary+")\n")))
	if _, err := os.Stat(canary); err == nil {
		t.Error("bash has run it")
	}
	if err := bashReads(t.Context(), []byte("f() {\n")); err == nil || !strings.Contains(err.Error(), "bash cannot read it: ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}
