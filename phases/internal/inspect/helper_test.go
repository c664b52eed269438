package inspect

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/version"
)

// file is one file of a tree made for a test; a link where it has a target.
type file struct {
	path, body, link string
	mode             fs.FileMode // 0: 0644
}

// memory is a file's content.
type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

// treeOf makes a tree for amd64, version 3.2.1+1, with the folders that lead to its files.
func treeOf(files ...file) Tree {
	t := Tree{Name: "bundle desktop for amd64", Arch: "amd64", Version: version.Version{Core: "3.2.1", Build: "1"}}
	content := map[string]string{}
	folders := map[string]bool{}
	for _, f := range files {
		for i, c := range f.path {
			if dir := f.path[:i]; c == '/' && !folders[dir] {
				folders[dir] = true
				t.Entries = append(t.Entries, archive.Entry{Path: dir, Mode: fs.ModeDir | 0o755})
			}
		}
		e := archive.Entry{Path: f.path, Mode: f.mode, Size: int64(len(f.body)), Link: f.link}
		switch {
		case f.link != "":
			e.Mode, e.Size = fs.ModeSymlink|0o777, 0
		case f.mode == 0:
			e.Mode = 0o644
		}
		content[f.path] = f.body
		t.Entries = append(t.Entries, e)
	}
	archive.Sort(t.Entries)
	t.Open = func(e archive.Entry) (File, error) {
		body, ok := content[e.Path]
		if !ok {
			return nil, os.ErrNotExist
		}
		return memory{bytes.NewReader([]byte(body))}, nil
	}
	return t
}

// faults inspects a tree and returns what one check found.
func faults(t *testing.T, r Rules, tree Tree, check string) []string {
	t.Helper()
	results, err := Inspect(t.Context(), r, tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, res := range results {
		if res.Expected == "" || res.Passed == "" {
			t.Errorf("%s says nothing: %+v", res.Check, res)
		}
		if res.Check == check {
			return res.Faults
		}
	}
	t.Fatalf("no result of %s", check)
	return nil
}

// planted proves that a check passes on the good tree, and on the bad one says the words in one fault.
func planted(t *testing.T, r Rules, check string, good, bad Tree, words ...string) {
	t.Helper()
	if got := faults(t, r, good, check); len(got) != 0 {
		t.Errorf("without a fault: %q", got)
	}
	got := faults(t, r, bad, check)
	if !slices.ContainsFunc(got, func(s string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(s, w) })
	}) {
		t.Errorf("with the fault: %q, want one with %q", got, words)
	}
	for _, s := range got {
		if strings.ContainsAny(s, "\n\x00") || len(s) > 2000 {
			t.Errorf("not one line: %q", s)
		}
	}
}

// program describes an ELF file for elfFile.
type program struct {
	machine         elf.Machine // 0: x86-64
	soname, runpath string
	needed          []string
	glibc           string // "2.34": needs GLIBC_2.34 of libc.so.6
	library, core   bool
	text            string // somewhere in it
}

// elfFile makes a small ELF file that holds what the dynamic linker reads.
func elfFile(p program) string {
	names := []byte{0}
	name := func(s string) uint64 {
		at := len(names)
		names = append(append(names, s...), 0)
		return uint64(at)
	}
	var dyn []uint64
	if p.glibc != "" && !slices.Contains(p.needed, "libc.so.6") {
		p.needed = append(p.needed, "libc.so.6")
	}
	for _, so := range p.needed {
		dyn = append(dyn, uint64(elf.DT_NEEDED), name(so))
	}
	if p.soname != "" {
		dyn = append(dyn, uint64(elf.DT_SONAME), name(p.soname))
	}
	if p.runpath != "" {
		dyn = append(dyn, uint64(elf.DT_RUNPATH), name(p.runpath))
	}
	le := binary.LittleEndian
	var need []byte
	if p.glibc != "" {
		for _, v := range []any{uint16(1), uint16(1), uint32(name("libc.so.6")), uint32(16), uint32(0)} {
			need, _ = binary.Append(need, le, v)
		}
		for _, v := range []any{uint32(0), uint16(0), uint16(2), uint32(name("GLIBC_" + p.glibc)), uint32(0)} {
			need, _ = binary.Append(need, le, v)
		}
	}
	const head, ph, count = 64, 56, 3
	strs := uint64(head + ph*count)
	needs := strs + uint64(len(names))
	at := needs + uint64(len(need))
	dyn = append(dyn, uint64(elf.DT_STRTAB), strs, uint64(elf.DT_STRSZ), uint64(len(names)))
	if p.glibc != "" {
		dyn = append(dyn, uint64(elf.DT_VERNEED), needs, uint64(elf.DT_VERNEEDNUM), 1)
	}
	dyn = append(dyn, 0, 0)
	end := at + uint64(8*len(dyn))
	if p.machine == 0 {
		p.machine = elf.EM_X86_64
	}
	kind, interp := elf.ET_DYN, elf.PT_INTERP
	if p.library {
		interp = elf.PT_NOTE
	}
	if p.core {
		kind = elf.ET_CORE
	}
	var b bytes.Buffer
	put := func(v any) {
		if err := binary.Write(&b, le, v); err != nil {
			panic(err)
		}
	}
	h := elf.Header64{Type: uint16(kind), Machine: uint16(p.machine), Version: 1, Phoff: head, Ehsize: head, Phentsize: ph, Phnum: count}
	copy(h.Ident[:], elf.ELFMAG+"\x02\x01\x01")
	put(h)
	put(elf.Prog64{Type: uint32(interp), Off: strs, Filesz: 1})
	put(elf.Prog64{Type: uint32(elf.PT_LOAD), Filesz: end, Memsz: end})
	put(elf.Prog64{Type: uint32(elf.PT_DYNAMIC), Off: at, Vaddr: at, Filesz: end - at})
	put(names)
	put(need)
	put(dyn)
	return b.String() + "\x00" + p.text
}

// pngFile makes the head of a picture and its end.
func pngFile(width, height uint32) string {
	ihdr := []byte("IHDR")
	ihdr = binary.BigEndian.AppendUint32(ihdr, width)
	ihdr = binary.BigEndian.AppendUint32(ihdr, height)
	ihdr = append(ihdr, 8, 6, 0, 0, 0)
	b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), ihdr...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(ihdr))
	return string(b) + "\x00\x00\x00\x00IEND\xaeB`\x82"
}

// sparse is a file of zeros, of any size, that begins with some bytes.
type sparse struct {
	head string
	size int64
	at   int64
	read *int64
}

func (s *sparse) Read(p []byte) (int, error) {
	n, err := s.ReadAt(p, s.at)
	s.at += int64(n)
	return n, err
}

func (s *sparse) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), s.size-off))
	clear(p[:n])
	if off < int64(len(s.head)) {
		copy(p[:n], s.head[off:])
	}
	*s.read += int64(n)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (*sparse) Close() error { return nil }
