package needs

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestReadLikeDebugElf compares with what debug/elf finds by way of section headers, in programs of this system.
func TestReadLikeDebugElf(t *testing.T) {
	t.Parallel()
	list, err := filepath.Glob("/usr/bin/[a-l]*")
	if err != nil {
		t.Fatal(err)
	}
	libraries, err := filepath.Glob("/usr/lib/*/*.so*")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range append(list[:min(300, len(list))], libraries[:min(300, len(libraries))]...) {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		o, err := Read(name, f)
		want, werr := elf.NewFile(f)
		if werr != nil {
			if o != nil && err == nil {
				t.Errorf("%s: read, but debug/elf says %v", name, werr)
			}
			f.Close()
			continue
		}
		seen++
		if err != nil {
			t.Errorf("%s: %v", name, err)
			f.Close()
			continue
		}
		needed, _ := want.DynString(elf.DT_NEEDED)
		runpath, _ := want.DynString(elf.DT_RUNPATH)
		soname, _ := want.DynString(elf.DT_SONAME)
		if o.Type != want.Type || o.Machine != want.Machine || o.Class != want.Class || !slices.Equal(o.Needed, needed) ||
			strings.Join(o.RunPath, ":") != strings.Join(runpath, "") || o.Soname != strings.Join(soname, "") {
			t.Errorf("%s: got %+v, want %q %q %q", name, o, needed, runpath, soname)
		}
		var got, all []string
		for _, v := range o.versions {
			got = append(got, v.library+" "+v.symbol)
		}
		if lib, err := want.DynamicVersionNeeds(); err == nil {
			for _, l := range lib {
				for _, n := range l.Needs {
					all = append(all, l.Name+" "+n.Dep)
				}
			}
		}
		slices.Sort(got)
		slices.Sort(all)
		if !slices.Equal(got, all) {
			t.Errorf("%s: got versions %q, want %q", name, got, all)
		}
		f.Close()
	}
	if seen < 20 && runtime.GOOS == "linux" {
		t.Errorf("only %d ELF files were compared", seen)
	}
}

// self is this test's own program, an ELF file on Linux.
func self(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Skip("no /proc")
	}
	return b[:min(len(b), 1<<16)]
}

func TestRead_Hostile(t *testing.T) {
	t.Parallel()
	for _, b := range [][]byte{nil, []byte("x"), []byte("#!/bin/sh\n"), bytes.Repeat([]byte{0}, 100)} {
		if o, err := Read("f", bytes.NewReader(b)); o != nil || err != nil {
			t.Errorf("%q: %v, %v", b, o, err)
		}
	}
	whole := self(t)
	for name, change := range map[string]func([]byte) []byte{
		"magic alone":      func([]byte) []byte { return []byte(elf.ELFMAG) },
		"half a header":    func(b []byte) []byte { return b[:60] },
		"header alone":     func(b []byte) []byte { return b[:64] },
		"program headers":  func(b []byte) []byte { binary.LittleEndian.PutUint16(b[56:], 65535); return b },
		"wide headers":     func(b []byte) []byte { binary.LittleEndian.PutUint16(b[54:], 65535); return b },
		"class":            func(b []byte) []byte { b[elf.EI_CLASS] = 9; return b },
		"headers far away": func(b []byte) []byte { binary.LittleEndian.PutUint64(b[32:], 1<<62); return b },
	} {
		if o, err := Read("f", bytes.NewReader(change(bytes.Clone(whole)))); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v, %v", name, o, err)
		}
	}
	// Section headers that promise gigabytes are not looked at.
	b := bytes.Clone(whole)
	binary.LittleEndian.PutUint64(b[40:], 64)
	binary.LittleEndian.PutUint16(b[58:], 65535)
	binary.LittleEndian.PutUint16(b[60:], 65535)
	if o, err := Read("f", io.NewSectionReader(endless{b}, 0, 4<<30)); err != nil || o == nil {
		t.Errorf("%v, %v", o, err)
	}
	// An error of the disk is not damage.
	if _, err := Read("f", broken{whole}); errors.Is(err, ErrDamaged) || !errors.Is(err, os.ErrPermission) {
		t.Errorf("%v", err)
	}
}

// endless goes on with zeros.
type endless struct{ b []byte }

func (e endless) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(e.b)) {
		copy(p, e.b[off:])
	}
	return len(p), nil
}

// broken can be read up to its header only.
type broken struct{ b []byte }

func (e broken) ReadAt(p []byte, off int64) (int, error) {
	if off > 0 {
		return 0, os.ErrPermission
	}
	return copy(p, e.b), nil
}

func FuzzRead(f *testing.F) {
	f.Add(self(f))
	f.Add([]byte(elf.ELFMAG))
	if names, err := filepath.Glob("/usr/lib/*/lib[a-z]*.so"); err == nil {
		for _, name := range names[:min(5, len(names))] {
			if b, err := os.ReadFile(name); err == nil {
				f.Add(b[:min(len(b), 1<<15)])
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := Read("lib/f", bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("%v", err)
			}
			return
		}
		if o == nil {
			return
		}
		if len(o.Needed) > maxNeeded || len(o.RunPath) > maxFolders || len(o.versions) > maxVersions {
			t.Errorf("%d %d %d", len(o.Needed), len(o.RunPath), len(o.versions))
		}
		if _, err := Closure(t.Context(), []*Object{o}, map[string]string{"lib/l": "l", "lib/m": "../lib/f"}, Limits{}); err != nil {
			t.Error(err)
		}
	})
}
