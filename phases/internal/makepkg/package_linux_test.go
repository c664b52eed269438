package makepkg

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/imrightguy/slipway/phases/internal/archive"
)

const info = "# Generated\npkgname = demo\npkgver = 1-2\ndepend = a\ndepend = b = c\n"

// packed is a package of .PKGINFO and these entries.
func packed(t testing.TB, entries ...tar.Header) string {
	t.Helper()
	var buf bytes.Buffer
	z, err := zstd.NewWriter(&buf)
	if err != nil {
		t.Fatal(err)
	}
	tw := tar.NewWriter(z)
	for _, h := range append([]tar.Header{{Name: ".PKGINFO", Mode: 0o644, Linkname: info}}, entries...) {
		body := ""
		if h.Typeflag == 0 || h.Typeflag == tar.TypeReg {
			body, h.Linkname = h.Linkname, "" // what it holds
			h.Size = int64(len(body))
		}
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "x.pkg.tar.zst")
	if err := os.WriteFile(file, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

var plenty = archive.Limits{Entries: 100, Bytes: 1 << 20}

func TestUnpack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, err := Unpack(t.Context(), packed(t,
		tar.Header{Name: ".INSTALL", Linkname: "x", Mode: 0o644},
		tar.Header{Name: "usr/", Typeflag: tar.TypeDir, Mode: 0o755},
		tar.Header{Name: "usr/bin/demo", Linkname: "program", Mode: 0o755, Uid: 7},
		tar.Header{Name: "usr/bin/also", Typeflag: tar.TypeLink, Linkname: "usr/bin/demo", Mode: 0o755},
		tar.Header{Name: "usr/bin/link", Typeflag: tar.TypeSymlink, Linkname: "demo", Mode: 0o777},
	), dir, plenty)
	must(t, err)
	if p.Info.Get("pkgver") != "1-2" || !slices.Equal(p.Info["depend"], []string{"a", "b = c"}) || p.Info.Get("x") != "" || !p.Install || p.Faults != nil {
		t.Errorf("%+v", p)
	}
	var paths []string
	for _, e := range p.Entries {
		paths = append(paths, e.Path)
		if e.Path == "usr/bin/demo" && (e.UID != 7 || e.Size != 7 || len(e.SHA256) != 64) {
			t.Errorf("%+v", e)
		}
	}
	if !slices.Equal(paths, []string{"usr", "usr/bin/also", "usr/bin/demo", "usr/bin/link"}) {
		t.Errorf("entries %q", paths)
	}
	for _, name := range []string{"also", "demo", "link"} {
		if b, err := os.ReadFile(filepath.Join(dir, "usr/bin", name)); err != nil || string(b) != "program" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "usr/bin/demo")); err != nil || info.Mode() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestUnpack_Hostile: nothing is laid outside of the folder, and nothing that is no file, folder or link inside.
func TestUnpack_Hostile(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir, outside := filepath.Join(top, "dir"), filepath.Join(top, "outside")
	must(t, errors.Join(os.Mkdir(dir, 0o755), os.Mkdir(outside, 0o755)))
	p, err := Unpack(t.Context(), packed(t,
		tar.Header{Name: "usr/ok", Linkname: "x", Mode: 0o644},
		tar.Header{Name: "../outside/canary", Linkname: "x", Mode: 0o644},
		tar.Header{Name: "/canary", Linkname: "x", Mode: 0o644},
		tar.Header{Name: "out", Typeflag: tar.TypeSymlink, Linkname: "../outside", Mode: 0o777},
		tar.Header{Name: "out/canary", Linkname: "x", Mode: 0o644},
		tar.Header{Name: "file", Typeflag: tar.TypeSymlink, Linkname: outside + "/canary", Mode: 0o777},
		tar.Header{Name: "file", Linkname: "x", Mode: 0o644},
		tar.Header{Name: "hard", Typeflag: tar.TypeLink, Linkname: "/etc/passwd", Mode: 0o644},
		tar.Header{Name: "soft", Typeflag: tar.TypeLink, Linkname: "file", Mode: 0o644},
		tar.Header{Name: "pipe", Typeflag: tar.TypeFifo, Mode: 0o644},
		tar.Header{Name: "disk", Typeflag: tar.TypeBlock, Mode: 0o644},
		tar.Header{Name: "su", Linkname: "x", Mode: 0o4755},
		tar.Header{Name: "usr/ok", Linkname: "y", Mode: 0o644},
	), dir, plenty)
	must(t, err)
	if len(p.Faults) != 10 {
		t.Errorf("%d faults: %s", len(p.Faults), strings.Join(p.Faults, "\n"))
	}
	for _, f := range p.Faults {
		if strings.Contains(f, top+"/dir") {
			t.Errorf("shows where it is: %s", f)
		}
	}
	must(t, filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if d.Name() == "canary" || d.Type()&^(fs.ModeDir|fs.ModeSymlink) != 0 {
			t.Errorf("there is %s", path)
		}
		return err
	}))
	if info, err := os.Stat(filepath.Join(dir, "su")); err != nil || info.Mode() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "usr/ok")); err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestUnpack_Bad: what is no package, or too large.
func TestUnpack_Bad(t *testing.T) {
	t.Parallel()
	text := filepath.Join(t.TempDir(), "x")
	must(t, os.WriteFile(text, []byte("no package"), 0o644))
	large := packed(t, tar.Header{Name: "zeros", Linkname: strings.Repeat("\x00", 1<<20), Mode: 0o644})
	whole, err := os.ReadFile(large)
	must(t, err)
	torn := filepath.Join(t.TempDir(), "torn")
	must(t, os.WriteFile(torn, whole[:len(whole)/2], 0o644))
	for file, lim := range map[string]archive.Limits{text: plenty, torn: {Entries: 100, Bytes: 1 << 30}, large: plenty, packed(t, make([]tar.Header, 0)...): {Bytes: 1 << 20}} {
		if _, err := Unpack(t.Context(), file, t.TempDir(), lim); err == nil {
			t.Error("it was taken")
		} else if _, is := errors.AsType[*archive.BadError](err); !is {
			t.Errorf("got %v", err)
		}
	}
}

// FuzzParseInfo: what is read can be printed and is read again as the same.
func FuzzParseInfo(f *testing.F) {
	f.Add(info)
	f.Add("a = \n = b\n")
	f.Add("a=b")
	f.Add("0 = \r\r")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseInfo(strings.NewReader(text))
		if err != nil {
			return
		}
		var b strings.Builder
		for key, values := range got {
			for _, v := range values {
				b.WriteString(key + " = " + v + "\n")
			}
		}
		again, err := ParseInfo(strings.NewReader(b.String()))
		if err != nil {
			t.Fatalf("%q: %v", b.String(), err)
		}
		for key, values := range got {
			if !slices.Equal(values, again[key]) {
				t.Errorf("%q: %q, then %q", key, values, again[key])
			}
		}
	})
}

// FuzzUnpack: whatever a package holds, nothing is laid outside of the folder.
func FuzzUnpack(f *testing.F) {
	f.Add("usr/bin/demo", "../x", byte(tar.TypeSymlink), "usr/bin/demo/y")
	f.Add("a", "/", byte(tar.TypeSymlink), "a/b")
	f.Add("../a", "b", byte(tar.TypeReg), "..")
	f.Fuzz(func(t *testing.T, name, link string, kind byte, second string) {
		var buf bytes.Buffer
		z, err := zstd.NewWriter(&buf)
		must(t, err)
		tw := tar.NewWriter(z)
		for _, h := range []*tar.Header{{Name: ".PKGINFO"}, {Name: name, Linkname: link, Typeflag: kind, Mode: 0o755}, {Name: second, Mode: 0o644}} {
			if tw.WriteHeader(h) != nil {
				t.Skip()
			}
		}
		must(t, errors.Join(tw.Close(), z.Close()))
		top := t.TempDir()
		must(t, os.Mkdir(filepath.Join(top, "dir"), 0o755))
		must(t, os.WriteFile(filepath.Join(top, "package"), buf.Bytes(), 0o644))
		_, _ = Unpack(t.Context(), filepath.Join(top, "package"), filepath.Join(top, "dir"), plenty)
		entries, err := os.ReadDir(top)
		must(t, err)
		if len(entries) != 2 {
			t.Errorf("%v", entries)
		}
	})
}
