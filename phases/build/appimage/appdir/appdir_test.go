package appdir

import (
	"bytes"
	"debug/elf"
	"image"
	"image/png"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
)

const desktopText = `[Desktop Entry]
Type=Application
Name=Cloud to Local
Exec=cloud %U
Icon=cloud
Categories=Utility;
Actions=New;

[Desktop Action New]
Name=New
Exec=cloud --new
`

const appStreamText = `<?xml version="1.0" encoding="UTF-8"?>
<component type="desktop-application">
  <id>cloud</id>
  <metadata_license>CC0-1.0</metadata_license>
  <project_license>MIT</project_license>
  <name>Cloud to Local</name>
  <summary>Runs language models on this computer</summary>
  <description><p>Talks to models that run here, and keeps what is said here.</p></description>
  <launchable type="desktop-id">cloud.desktop</launchable>
  <url type="homepage">https://example.com/</url>
  <developer id="com.example"><name>Example</name></developer>
  <content_rating type="oars-1.1"/>
  <releases><release version="3.2.1" date="2025-01-01"/></releases>
</component>
`

func icon(t testing.TB, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, w, h))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// program is the head of an ELF file.
func program(m elf.Machine) []byte {
	b := make([]byte, 64)
	copy(b, "\x7fELF\x02\x01\x01")
	b[16], b[18], b[19] = 2, byte(m), byte(m>>8)
	return b
}

func link(p, target string) squashfs.Entry {
	return squashfs.Entry{Path: p, Mode: fs.ModeSymlink | 0o777, Target: target}
}

func bundle(t testing.TB) []squashfs.Entry {
	return []squashfs.Entry{
		content("bin/cloud", 0o755, program(elf.EM_X86_64)),
		content("bin/cloudtolocalllm-tray", 0o755, program(elf.EM_X86_64)),
		content("share/applications/cloud.desktop", 0o644, []byte(desktopText)),
		content("share/icons/hicolor/512x512/apps/cloud.png", 0o644, icon(t, 512, 512)),
		content("share/icons/hicolor/256x256/apps/cloud.png", 0o644, icon(t, 256, 256)),
		content("share/icons/hicolor/48x48/apps/cloud.png", 0o644, icon(t, 48, 48)),
		content("share/metainfo/cloud.metainfo.xml", 0o644, []byte(appStreamText)),
	}
}

func app(t testing.TB) App {
	return App{ID: "cloud", Version: "3.2.1", Bundle: bundle(t), Exec: "bin/cloud", Shortcuts: []string{"bin/cloudtolocalllm-tray", "bin/not-there"}}
}

func assemble(t testing.TB, a App) []squashfs.Entry {
	t.Helper()
	entries, err := Assemble(a)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func text(t testing.TB, entries []squashfs.Entry, p string) string {
	t.Helper()
	e, err := newIndex(entries).resolve(p)
	if err != nil {
		t.Fatalf("%s: %v", p, err)
	}
	b, err := read(e, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAssemble(t *testing.T) {
	entries := assemble(t, app(t))
	problems, err := Check(entries, Rules{Machine: elf.EM_X86_64, RequireAppStream: true})
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	want := strings.Replace(desktopText, "Actions=New;\n", "Actions=New;\nX-AppImage-Version=3.2.1\n", 1)
	if got := text(t, entries, "cloud.desktop"); got != want {
		t.Errorf("desktop entry: %s", got)
	}
	if got := text(t, entries, ".DirIcon"); got != string(icon(t, 256, 256)) {
		t.Error(".DirIcon is not the icon of 256 x 256")
	}
	if got := text(t, entries, "bin/cloudtolocalllm-tray"); got != string(program(elf.EM_X86_64)) {
		t.Error("the daemon is not reachable as bin/cloudtolocalllm-tray")
	}
	if newIndex(entries)["bin/not-there"] != nil {
		t.Error("a shortcut to nothing")
	}
	if got := text(t, entries, "usr/share/metainfo/cloud.appdata.xml"); got != appStreamText {
		t.Error("AppStream metadata not under the name that AppImage tools see")
	}
	var img discard
	if _, err := squashfs.Write(t.Context(), &img, 0, entries, squashfs.Options{}); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*App){
		"no program":                          func(a *App) { a.Exec = "bin/other" },
		"no icon cloud":                       func(a *App) { a.Bundle = slices.Delete(a.Bundle, 3, 6) },
		"no share/applications/cloud.desktop": func(a *App) { a.Bundle = slices.Delete(a.Bundle, 2, 3) },
		"cannot name":                         func(a *App) { a.ID = "a/b" },
		"cannot stand in":                     func(a *App) { a.Exec = "bin/$(x)"; a.Bundle = append(a.Bundle, content("bin/$(x)", 0o755, nil)) },
	} {
		a := app(t)
		change(&a)
		if _, err := Assemble(a); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, expected %q", err, name)
		}
	}
}

type discard struct{}

func (*discard) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// TestAppRun starts the script in a real AppDir, with and without $APPDIR, through a link, with spaces in the path.
func TestAppRun(t *testing.T) {
	a := app(t)
	a.Bundle[0] = content("bin/cloud", 0o755, []byte("#!/bin/sh\necho \"$0 $*\"\necho \"$PATH\" | grep -q \"^$(dirname \"$0\"):\" && echo \"$XDG_DATA_DIRS\"\n"))
	dir := filepath.Join(t.TempDir(), "with space")
	writeTree(t, dir, assemble(t, a))
	shortcut := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(dir, "AppRun"), shortcut); err != nil {
		t.Fatal(err)
	}
	for _, run := range [][]string{{filepath.Join(dir, "AppRun")}, {shortcut}, {filepath.Join(dir, "AppRun"), "APPDIR=" + dir}} {
		c := exec.Command(run[0], "a", "b c")
		c.Env = append([]string{"PATH=/usr/bin:/bin"}, run[1:]...)
		out, err := c.CombinedOutput()
		want := dir + "/usr/bin/cloud a b c\n" + dir + "/usr/share:/usr/local/share:/usr/share\n"
		if err != nil || string(out) != want {
			t.Errorf("%q: %v\n%s, expected\n%s", run, err, out, want)
		}
	}
}

func writeTree(t testing.TB, root string, entries []squashfs.Entry) {
	t.Helper()
	for _, e := range entries {
		p := filepath.Join(root, e.Path)
		err := os.MkdirAll(filepath.Dir(p), 0o755)
		switch {
		case err != nil:
		case e.Mode.IsDir():
			err = os.MkdirAll(p, 0o755)
		case e.Mode&fs.ModeSymlink != 0:
			err = os.Symlink(e.Target, p)
		default:
			var b []byte
			if b, err = read(&e, 1<<20); err == nil {
				err = os.WriteFile(p, b, e.Mode.Perm())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestJudges has the distributions' own tools look at an assembled AppDir.
func TestJudges(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, assemble(t, app(t)))
	for _, judge := range [][]string{
		{"desktop-file-validate", filepath.Join(dir, "cloud.desktop")},
		{"appstreamcli", "validate", "--no-net", filepath.Join(dir, "usr/share/metainfo/cloud.appdata.xml")},
		{"sh", "-n", filepath.Join(dir, "AppRun")},
	} {
		t.Run(judge[0], func(t *testing.T) {
			if _, err := exec.LookPath(judge[0]); err != nil {
				if os.Getenv("CI") == "true" {
					t.Fatalf("%s is not installed: apt-get install desktop-file-utils appstream", judge[0])
				}
				t.Skipf("%s is not installed: apt-get install desktop-file-utils appstream", judge[0])
			}
			if out, err := exec.Command(judge[0], judge[1:]...).CombinedOutput(); (err != nil && judge[0] != "appstreamcli") || strings.Contains(string(out), "E: ") || strings.Contains(string(out), "error:") { // appstreamcli fails on mere warnings
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestCheck plants one fault at a time.
func TestCheck(t *testing.T) {
	replace := func(p string, e ...squashfs.Entry) func([]squashfs.Entry) []squashfs.Entry {
		return func(list []squashfs.Entry) []squashfs.Entry {
			n := len(list)
			list = slices.DeleteFunc(list, func(x squashfs.Entry) bool { return x.Path == p })
			if len(list) == n && p != "" {
				t.Fatalf("%s is not there", p)
			}
			return append(list, e...)
		}
	}
	desktop := func(old, new string) func([]squashfs.Entry) []squashfs.Entry {
		if !strings.Contains(desktopText, old) {
			t.Fatal(old)
		}
		return replace("cloud.desktop", content("cloud.desktop", 0o644, []byte(strings.Replace(desktopText, old, new, 1))))
	}
	for want, change := range map[string]func([]squashfs.Entry) []squashfs.Entry{
		"AppRun: missing: it is what an AppImage starts":                                                                          replace("AppRun"),
		"AppRun: not an executable file":                                                                                          replace("AppRun", content("AppRun", 0o644, []byte("#!/bin/sh\n"))),
		"AppRun: the link leads to usr/bin/none, which is not there":                                                              replace("AppRun", link("AppRun", "usr/bin/none")),
		"no desktop entry at the root of the AppDir":                                                                              replace("cloud.desktop"),
		"more than one desktop entry at the root of the AppDir: b.desktop, cloud.desktop":                                         replace("", content("b.desktop", 0o644, []byte(desktopText))),
		"cloud.desktop: it has no Categories":                                                                                     desktop("Categories=Utility;\n", ""),
		"cloud.desktop: it has no Exec":                                                                                           desktop("Exec=cloud %U\n", ""),
		"cloud.desktop: it has no Icon":                                                                                           desktop("Icon=cloud\n", ""),
		"cloud.desktop: it has no Name":                                                                                           desktop("Name=Cloud to Local\n", ""),
		"cloud.desktop: it has no Type":                                                                                           desktop("Type=Application\n", ""),
		"cloud.desktop: line 3: a second Type":                                                                                    desktop("Type=Application\n", "Type=Application\nType=Application\n"),
		"cloud.desktop: its Type is Link, not Application":                                                                        desktop("Type=Application\n", "Type=Link\n"),
		"cloud.desktop: its Categories \"Utility\" do not end with a semicolon":                                                   desktop("Utility;", "Utility"),
		"cloud.desktop: its Icon \"cloud.png\" has an extension, which a name has not":                                            desktop("Icon=cloud", "Icon=cloud.png"),
		"cloud.desktop: its Icon \"/a/cloud\" is a path, not a name":                                                              desktop("Icon=cloud", "Icon=/a/cloud"),
		"cloud.desktop: line 2: \"nonsense\" is no key=value of a group":                                                          desktop("Type=Application", "nonsense"),
		"cloud.desktop: line 1: the first group is not [Desktop Entry]":                                                           desktop("[Desktop Entry]", "[Entry]"),
		"no icon other.png, .svg or .xpm at the root of the AppDir":                                                               desktop("Icon=cloud", "Icon=other"),
		"cloud.png: not a PNG image":                                                                                              replace("cloud.png", content("cloud.png", 0o644, []byte("GIF89a"))),
		"cloud.png: a damaged PNG image: unexpected EOF":                                                                          replace("cloud.png", content("cloud.png", 0o644, icon(t, 64, 64)[:20])),
		"warning: cloud.png: 64 x 32 pixels, not square":                                                                          replace("cloud.png", content("cloud.png", 0o644, icon(t, 64, 32))),
		".DirIcon: missing: file managers show it":                                                                                replace(".DirIcon"),
		"usr/x: the link leads to usr/y, which is not there":                                                                      replace("", link("usr/x", "y")),
		"usr/x: the link leads out of the AppDir":                                                                                 replace("", link("usr/x", "../../etc/passwd")),
		"usr/x: the link leads out of the AppDir, to /etc/passwd":                                                                 replace("", link("usr/x", "/etc/passwd")),
		"usr/x: the link leads in a circle":                                                                                       replace("", link("usr/x", "x")),
		"usr/bin/s: it is setuid or setgid, which an AppImage cannot carry":                                                       replace("", content("usr/bin/s", fs.ModeSetuid|0o755, []byte("x"))),
		"usr/lib/arm.so: it is made for EM_AARCH64, but the AppImage for EM_X86_64":                                               replace("", content("usr/lib/arm.so", 0o644, program(elf.EM_AARCH64))),
		"warning: usr/share/metainfo/cloud.appdata.xml: missing: AppImage tools do not see usr/share/metainfo/cloud.metainfo.xml": replace("usr/share/metainfo/cloud.appdata.xml"),
		"dev: a file of type Dc--------- cannot be stored":                                                                        replace("", squashfs.Entry{Path: "dev", Mode: fs.ModeDevice | fs.ModeCharDevice}),
	} {
		problems, err := Check(change(assemble(t, app(t))), Rules{Machine: elf.EM_X86_64})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range problems {
			got = append(got, p.String())
		}
		if !slices.Contains(got, want) {
			t.Errorf("found %q, expected %q", got, want)
		}
	}
	mixed := append(assemble(t, app(t)), content("usr/lib/arm.so", 0o644, program(elf.EM_AARCH64)))
	problems, err := Check(mixed, Rules{})
	if err != nil || len(problems) != 1 || problems[0].String() != "usr/lib/arm.so: it is made for EM_AARCH64, but usr/bin/cloud for EM_X86_64" {
		t.Errorf("%v %v", problems, err)
	}
}

func FuzzDesktop(f *testing.F) {
	f.Add([]byte(desktopText), "1.0")
	f.Fuzz(func(t *testing.T, b []byte, version string) {
		d, err := parseDesktop(b)
		if err != nil || strings.ContainsAny(version, "\r\n") || strings.TrimSpace(version) != version || version == "" || !utf8.ValidString(version) {
			return
		}
		_ = d.check()
		again, err := parseDesktop(setVersion(b, version))
		if err != nil {
			t.Fatalf("%q cannot be read any more: %v", setVersion(b, version), err)
		}
		d["X-AppImage-Version"] = version
		for k, v := range d {
			if again[k] != v {
				t.Errorf("%s is %q, was %q", k, again[k], v)
			}
		}
	})
}

var _ io.WriterAt = (*discard)(nil)
