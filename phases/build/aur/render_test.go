package aur

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/pipeline"
)

// given is a step that makes a file of what is there already, as a download does.
type given struct {
	artifact string
	content  []byte
}

func (s given) Spec() pipeline.Spec {
	return pipeline.Spec{ID: "build/fetch/" + s.artifact, Effect: pipeline.Local, Outputs: []string{s.artifact}}
}

func (s given) Run(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	path, err := ws.Create(pipeline.Artifact{Name: s.artifact, Kind: "tarball"})
	if err != nil {
		return nil, err
	}
	return nil, os.WriteFile(path, s.content, 0o666)
}

// told is a step whose receipt tells a version.
type told pipeline.Receipt

func (told) Spec() pipeline.Spec { return pipeline.Spec{ID: "build/told"} }

func (s told) Run(context.Context, *pipeline.Workspace) (pipeline.Receipt, error) {
	return pipeline.Receipt(s), nil
}

// rendered runs a Render of released packages.
func rendered(t *testing.T, r Render, packages map[string][]byte, more ...pipeline.Step) (pipeline.Dirs, error) {
	t.Helper()
	steps := more
	r.ID = "build/render"
	for _, s := range r.Sources() {
		g := given{s.Artifact, packages[s.Artifact]}
		steps, r.Needs = append(steps, g), append(r.Needs, g.Spec().ID)
	}
	step, err := NewRender(t.Context(), r)
	must(t, err)
	return run(t, append(steps, step)...)
}

func read1(t *testing.T, dirs pipeline.Dirs, artifact string) []byte {
	t.Helper()
	b, err := os.ReadFile(dirs.Path(artifact))
	must(t, err)
	return b
}

// TestRender_Same: what is taken from the released package is what its bundle said, byte for byte, for all kinds.
func TestRender_Same(t *testing.T) {
	t.Parallel()
	const script = "post_install() {\n\techo hello\n}\n"
	for name, c := range released() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.Install = "packaging/arch.install"
			made, err := run(t, c.steps(application(t), map[string]string{c.Install: script})...)
			must(t, err)
			packages := map[string][]byte{}
			for _, s := range c.Sources() {
				packages[s.Artifact] = read1(t, made, s.Artifact)
			}
			dirs, err := rendered(t, Render{Config: c, Scriptlet: []byte(script)}, packages)
			must(t, err)
			for _, f := range c.FileNames() {
				if want, got := read1(t, made, Artifact(c.Name, f)), read1(t, dirs, Artifact(c.Name, f)); !bytes.Equal(got, want) {
					t.Errorf("%s: got\n%s\nwant\n%s", f, got, want)
				}
			}
		})
	}
}

// TestRender_Correction: an older payload under another version: sources and what is said of files are the older
// package's, the version is the one that was told.
func TestRender_Correction(t *testing.T) {
	t.Parallel()
	for name, c := range released() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			older := application(t)
			delete(older, "etc/demo.conf")
			older["etc/older.conf"] = "x=y\n"
			made, err := run(t, c.steps(older, nil)...)
			must(t, err)
			packages := map[string][]byte{}
			for _, s := range c.Sources() {
				packages[s.Artifact] = read1(t, made, s.Artifact)
			}
			newer, err := c.At("1.3.0+9")
			must(t, err)
			if c.payload() != "1.2.3-rc.1" || newer.payload() != "1.3.0" {
				t.Fatalf("At has changed what it was given: %s, %s", c.payload(), newer.payload())
			}
			if name == "deb" { // the compression is the package's own
				newer.Debs[0].Compression = "xz"
			}
			back, err := newer.At("1.2.3-rc.1")
			must(t, err)
			dirs, err := rendered(t, Render{Config: back, From: "build/told"}, packages, told{KeyPkgVer: "1.3.0+really1.2.3rc1", KeyPkgRel: "1", KeyEpoch: "2"})
			must(t, err)
			info, pkg := string(read1(t, dirs, "aur/demo-bin/.SRCINFO")), string(read1(t, dirs, "aur/demo-bin/PKGBUILD"))
			for _, want := range []string{
				"\tpkgver = 1.3.0+really1.2.3rc1\n\tpkgrel = 1\n\tepoch = 2\n", "provides = demo=1.3.0+really1.2.3rc1\n", "https://demo.example/v1.2.3-rc.1/demo", "backup = etc/older.conf\n",
			} {
				if !strings.Contains(info, want) {
					t.Errorf("want %q in\n%s", want, info)
				}
			}
			if strings.Contains(info, "etc/demo.conf") || name == "deb" && !strings.Contains(pkg, "data.tar.gz") {
				t.Errorf("got\n%s\n%s", info, pkg)
			}
			files := map[string][]byte{}
			for _, f := range back.FileNames() {
				files[f] = read1(t, dirs, Artifact(back.Name, f))
			}
			if found := pkgbuild.Lint(back.Name, files); len(found) > 0 {
				t.Errorf("lint: %v", found)
			}
		})
	}
}

// TestRender_OfAnotherRelease: texts that are made of a release are made of the one that published the packages, and plans
// say what they are made from.
func TestRender_OfAnotherRelease(t *testing.T) {
	t.Parallel()
	c := released()["tarball"]
	c.URL = "https://demo.example/{{ .Commit }}/v{{ .Version }}/"
	made, err := run(t, c.steps(application(t), nil)...)
	must(t, err)
	source := c.Sources()[0]
	r := Render{Config: c, MadeFrom: "the release.yaml of v1", Release: &pipeline.Env{
		Project: "demo", Version: c.Version, Commit: strings.Repeat("cd", 20), Time: time.Date(2019, 1, 2, 3, 4, 5, 0, time.UTC),
	}}
	dirs, err := rendered(t, r, map[string][]byte{source.Artifact: read1(t, made, source.Artifact)})
	must(t, err)
	info := string(read1(t, dirs, "aur/demo-bin/.SRCINFO"))
	if want := "::https://demo.example/" + r.Release.Commit + "/v1.2.3-rc.1/demo-1.2.3-rc.1-x86_64.tar.gz\n"; !strings.Contains(info, want) {
		t.Errorf("want %q in\n%s", want, info)
	}
	if text := string(read1(t, dirs, "aur/demo-bin/LICENSE")); !strings.HasPrefix(text, "Copyright (C) 2019 by Demo Team") {
		t.Errorf("got %s", text)
	}
	step, err := NewRender(t.Context(), r)
	must(t, err)
	if p := step.Spec().Params; p["made from"] != r.MadeFrom || p["release"] != r.Release.Commit+" 2019-01-02T03:04:05Z" {
		t.Errorf("%v", p)
	}
}

// targz makes a tarball of empty files.
func targz(t testing.TB, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, n := range names {
		if err := w.WriteHeader(&tar.Header{Name: n, Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestRender_Refused: a package of which no PKGBUILD can be made is refused by name, with the reason.
func TestRender_Refused(t *testing.T) {
	t.Parallel()
	all := released()
	top := "demo-1.2.3-rc.1-x86_64"
	for _, x := range []struct {
		kind    string
		content []byte
		want    string
	}{
		{"tarball", targz(t, "bin/demo"), `everything in it should lie below "` + top},
		{"tarball", targz(t, top+"/bin/demo", "README"), `it holds "README"`},
		{"tarball", targz(t, top+"x/bin/demo"), "everything in it should lie below"},
		{"tarball", targz(t, top), "nothing below"},
		{"tarball", targz(t, top+"/share/systemd/user/a.service", top+"/lib/systemd/user/a.service"), "both"},
		{"tarball", targz(t, "../bin/demo"), ".."},
		{"tarball", []byte("<!doctype html>"), "gzip"},
		{"deb", []byte("<!doctype html>"), "not a Debian package"},
		{"deb", []byte("!<arch>\n"), "no data archive"},
		{"deb", []byte("!<arch>\n" + strings.Repeat("x", 60)), "no data archive"},
		{"appimage", []byte("<!doctype html>"), "cannot make a package of demo-1.2.3-rc.1-x86_64.AppImage"},
	} {
		c := all[x.kind]
		_, err := rendered(t, Render{Config: c}, map[string][]byte{c.Sources()[0].Artifact: x.content})
		if err == nil || !strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), "cannot make a package of "+c.Sources()[0].Artifact) {
			t.Errorf("%s %.40q: want %q, got %v", x.kind, x.content, x.want, err)
		}
	}
	c := all["tarball"]
	c.Install = "x.install"
	if _, err := NewRender(t.Context(), Render{Config: c, ID: "x", Scriptlet: []byte("touch canary\n")}); err == nil || !strings.Contains(err.Error(), "install: x.install: ") {
		t.Errorf("a scriptlet that runs something: %v", err)
	}
}

// TestURLOf: the address is the one that the PKGBUILD has.
func TestURLOf(t *testing.T) {
	t.Parallel()
	c, env := demo("1.2.3+4")
	c, err := c.At("1.1.0")
	must(t, err)
	c.URL = "https://demo.example/1.2.3/{{ .Version }}/"
	for i, want := range []string{"https://demo.example/1.2.3/1.1.0/demo-1.1.0-x86_64.tar.gz", "https://demo.example/1.2.3/1.1.0/demo-1.1.0-aarch64.tar.gz"} {
		if got, err := c.URLOf(env, c.Sources()[i]); err != nil || got != want {
			t.Errorf("got %s %v, want %s", got, err, want)
		}
	}
}

// FuzzOpened: whatever a download holds, it is an error or a tree, and never a panic or a path that leads out.
func FuzzOpened(f *testing.F) {
	f.Add(uint8(0), targz(f, "demo-1.2.3-rc.1-x86_64/bin/demo"))
	f.Add(uint8(1), []byte("!<arch>\ndebian-binary   0           0     0     100644  4         `\n2.0\n"))
	f.Add(uint8(2), []byte("\x7fELF"))
	all := released()
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		c := all[[]string{"tarball", "deb", "appimage"}[kind%3]]
		file := filepath.Join(t.TempDir(), "x")
		must(t, os.WriteFile(file, b, 0o600))
		got, data, err := c.opened(t.Context(), 0, file)
		if err != nil {
			return
		}
		for _, p := range append(append(got.backup, got.foreign...), got.license) {
			if p != "" && archive.CheckName(p) != nil {
				t.Errorf("%q", p)
			}
		}
		if strings.ContainsAny(data, "/\n") {
			t.Errorf("%q", data)
		}
	})
}
