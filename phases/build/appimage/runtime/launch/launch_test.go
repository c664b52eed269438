//go:build linux && !386 && !arm

package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
	"github.com/klauspost/compress/zstd"
)

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"", "anything", true},
		{"usr", "usr", true},
		{"usr", "usr/bin/app", true},
		{"usr/*", "usr/bin/app", true},
		{"usr/bin", "usr", false},
		{"*.png", "icon.png", true},
		{"*.png", "usr/icon.png", false},
		{"*/icon.png", "usr/icon.png", true},
	} {
		if matches(c.pattern, c.path) != c.want {
			t.Errorf("%q, %q", c.pattern, c.path)
		}
	}
}

func TestMountName(t *testing.T) {
	for in, want := range map[string]string{"/a/My App.AppImage": "My App", "x": "x", "./a*b": "a_b", "/": "_", "": "."} {
		if got := mountName(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestEscapes(t *testing.T) {
	if got := unescapeMount(`/tmp/a\040b\134c\011`); got != "/tmp/a b\\c\t" {
		t.Errorf("%q", got)
	}
	dir := filepath.Join(t.TempDir(), "a[b]*?")
	if err := os.MkdirAll(filepath.Join(dir, privatePrefix+"x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got, err := filepath.Glob(filepath.Join(escapeGlob(dir), privatePrefix+"*")); err != nil || len(got) != 1 {
		t.Errorf("%q %v", got, err)
	}
}

type memFile struct{ b []byte }

func (m *memFile) WriteAt(p []byte, off int64) (int, error) {
	if n := int(off) + len(p); n > len(m.b) {
		m.b = append(m.b, make([]byte, n-len(m.b))...)
	}
	return copy(m.b[off:], p), nil
}

// image is small, and names in it are easily changed: its metadata is too short to be compressed well.
func smallImage(t testing.TB) []byte {
	t.Helper()
	file := func(p, s string) squashfs.Entry {
		return squashfs.Entry{Path: p, Mode: 0o755, Size: int64(len(s)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }}
	}
	var m memFile
	_, err := squashfs.Write(t.Context(), &m, 0, []squashfs.Entry{
		file("AppRun", "#!/bin/sh\n"), file("usr/a", strings.Repeat("abc", 3000)), file("usr/zeros", strings.Repeat("\x00", 9000)),
		{Path: "usr/link", Mode: fs.ModeSymlink, Target: "../.."},
		{Path: "usr/d", Mode: fs.ModeDir | 0o500},
	}, squashfs.Options{BlockSize: 4096, Workers: 1, Level: zstd.SpeedFastest})
	if err != nil {
		t.Fatal(err)
	}
	return m.b
}

// FuzzExtract unpacks what it is given: nothing may appear outside of the target.
func FuzzExtract(f *testing.F) {
	f.Add(smallImage(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		top := t.TempDir()
		target := filepath.Join(top, "in", "target")
		if err := os.MkdirAll(target, 0o700); err != nil {
			t.Fatal(err)
		}
		r, err := squashfs.NewReader(bytes.NewReader(b), 0)
		if err != nil {
			return
		}
		_ = (&extractor{r: r, private: true}).into(target)
		for dir, only := range map[string]string{top: "in", filepath.Join(top, "in"): "target"} {
			list, err := os.ReadDir(dir)
			if err != nil || len(list) != 1 || list[0].Name() != only {
				t.Fatalf("in %s: %v %v", dir, list, err)
			}
		}
	})
}

// TestStops: unpacking ends when nobody waits for it any more.
func TestStops(t *testing.T) {
	r, err := squashfs.NewReader(bytes.NewReader(smallImage(t)), 0)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	close(stop)
	if err := (&extractor{r: r, stop: stop}).into(t.TempDir()); !errors.Is(err, errReleased) {
		t.Error(err)
	}
}
