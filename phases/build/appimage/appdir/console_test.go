package appdir

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
)

func TestConsole(t *testing.T) {
	b, err := Console{Name: "tool", Comment: `does \ things`, Program: "tool", Categories: []string{"Development"}}.Entry()
	if want := "[Desktop Entry]\nType=Application\nName=tool\nComment=does \\\\ things\nExec=tool\nIcon=tool\nTerminal=true\nNoDisplay=true\nCategories=Development;ConsoleOnly;\n"; err != nil || string(b) != want {
		t.Errorf("%s %v", b, err)
	}
	for want, c := range map[string]Console{
		"cannot stand in a desktop entry": {Name: "a\nExec=evil", Program: "a"},
		"want a file name":                {Name: "a", Program: "a; touch x"},
		"category \"A\\nB\"":              {Name: "a", Program: "a", Categories: []string{"A\nB"}},
		"named \"\"":                      {Program: "a"},
	} {
		if _, err := c.Entry(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, expected %q", err, want)
		}
	}
}

// FuzzConsole: whatever texts come in, an entry that is made says what was asked for and nothing else.
func FuzzConsole(f *testing.F) {
	f.Add("tool", "does things", "tool", "Utility")
	f.Add("a\\", " $(touch x)", "a", "X-Mine")
	f.Add("[x]", "=\r\n", "-rf", ";")
	f.Fuzz(func(t *testing.T, name, comment, program, category string) {
		b, err := Console{Name: name, Comment: comment, Program: program, Categories: []string{category}}.Entry()
		if err != nil {
			return
		}
		d, err := parseDesktop(b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if d["Exec"] != program || d["Terminal"] != "true" || d["NoDisplay"] != "true" || len(d) > 8 {
			t.Errorf("%q", d)
		}
		if p, err := Program(b); err != nil || p != "bin/"+program {
			t.Errorf("%q %v", p, err)
		}
	})
}

func TestProgram(t *testing.T) {
	for exec, want := range map[string]string{
		"app %U": "bin/app", "app": "bin/app", "/usr/bin/app --x": "bin/app", `"/usr/lib/my app/run" %f`: "lib/my app/run", "/usr/lib/../bin/app": "bin/app",
		"/opt/app": "", "./app": "", "": "", `""`: "",
	} {
		got, err := Program([]byte("[Desktop Entry]\nExec=" + exec + "\n"))
		if (err == nil) != (want != "") || got != want {
			t.Errorf("%q: %q %v", exec, got, err)
		}
	}
}

// TestPlainIcon: a good icon, the same on every machine.
func TestPlainIcon(t *testing.T) {
	b, err := PlainIcon()
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil || img.Bounds().Dx() != 256 || img.Bounds().Dy() != 256 {
		t.Fatalf("%v %v", img.Bounds(), err)
	}
	var pixels []byte
	for y := range 256 {
		for x := range 256 {
			r, g, bl, a := img.At(x, y).RGBA()
			pixels = append(pixels, byte(r>>8), byte(g>>8), byte(bl>>8), byte(a>>8))
		}
	}
	sum := sha256.Sum256(pixels)
	if got := hex.EncodeToString(sum[:]); got != "e0b472610856396460fdb80b2af5147ea29e29dab7241c1344f52d92d6e048cd" {
		t.Errorf("it draws another picture: %s", got)
	}
}

func TestConsoleAppDir(t *testing.T) {
	c := Console{Name: "tool", Program: "tool"}
	desktop, err := c.Entry()
	if err != nil {
		t.Fatal(err)
	}
	a := App{ID: "tool", Console: true, Desktop: desktop, Exec: "bin/tool", Bundle: []squashfs.Entry{content("bin/tool", 0o755, []byte("#!/bin/sh\n"))}, Shortcuts: []string{"bin"}}
	entries := assemble(t, a)
	if problems, err := Check(entries, Rules{}); err != nil || len(problems) != 1 || !problems[0].Warning { // no AppStream file
		t.Errorf("%v %v", problems, err)
	}
	dir := filepath.Join(t.TempDir(), "d")
	writeTree(t, dir, entries)
	if _, err := os.Stat(filepath.Join(dir, "bin", "tool")); err != nil {
		t.Error(err)
	}
	a.Console = false
	if _, err := Assemble(a); err == nil || !strings.Contains(err.Error(), "has no icon") {
		t.Error(err)
	}
}
