// Package elfsect edits the ELF head of a type-2 AppImage: where the filesystem image begins, and the four sections
// that carry update information, digest and signature.
//
// It parses the few header fields it needs itself, because the runtime links it and a start must be quick.
package elfsect

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"slices"
)

// The sections of a type-2 AppImage.
const (
	Digest        = ".digest_md5" // MD5 of the file with this section and the two below zeroed
	UpdateInfo    = ".upd_info"   // for example "zsync|https://..."
	Signature     = ".sha256_sig" // armored detached signature over the hexadecimal SHA-256 of the file with these two zeroed
	SignatureKey  = ".sig_key"    // armored public key
	magicPosition = 8
)

// Magic are the bytes at position 8 of a type-2 AppImage.
var Magic = []byte{'A', 'I', 2}

// sections lists the sections in file order with their sizes.
var sections = []struct {
	name string
	size int
}{{Digest, 16}, {UpdateInfo, 1024}, {Signature, 1024}, {SignatureKey, 8192}}

// Section is where a section's content lies in the file.
type Section struct{ Offset, Size int64 }

// header holds the fields of the ELF header that matter here.
type header struct {
	wide                       bool // 64 bit
	machine                    uint16
	shoff                      int64
	shentsize, shnum, shstrndx int
	table                      []byte // the section header table
}

const maxStrings = 1 << 20 // bytes of section names that are believed

func readHeader(r io.ReaderAt) (*header, error) {
	var b [64]byte
	if _, err := r.ReadAt(b[:52], 0); err != nil {
		return nil, fmt.Errorf("cannot read the ELF header: %w", err)
	}
	if string(b[:4]) != "\x7fELF" {
		return nil, errors.New("not an ELF file")
	}
	if b[5] != 1 || (b[4] != 1 && b[4] != 2) {
		return nil, errors.New("not a little-endian ELF file of 32 or 64 bits")
	}
	le := binary.LittleEndian
	h := &header{wide: b[4] == 2, machine: le.Uint16(b[18:])}
	tail := b[46:]
	h.shoff = int64(le.Uint32(b[32:]))
	if h.wide {
		if _, err := r.ReadAt(b[:], 0); err != nil {
			return nil, fmt.Errorf("cannot read the ELF header: %w", err)
		}
		h.shoff, tail = int64(le.Uint64(b[40:])), b[58:]
	}
	h.shentsize, h.shnum, h.shstrndx = int(le.Uint16(tail)), int(le.Uint16(tail[2:])), int(le.Uint16(tail[4:]))
	if h.shentsize != h.entrySize() || h.shnum == 0 || h.shoff <= 0 || h.shoff > math.MaxInt64/2 || h.shstrndx >= h.shnum {
		return nil, errors.New("an ELF file without a section header table")
	}
	h.table = make([]byte, h.shentsize*h.shnum)
	if _, err := r.ReadAt(h.table, h.shoff); err != nil {
		return nil, fmt.Errorf("cannot read the section header table: %w", err)
	}
	return h, nil
}

func (h *header) entrySize() int {
	if h.wide {
		return 64
	}
	return 40
}

func (h *header) entry(i int) []byte { return h.table[i*h.shentsize:][:h.shentsize] }

func (h *header) section(i int) (name uint32, s Section, err error) {
	le, e := binary.LittleEndian, h.entry(i)
	name = le.Uint32(e)
	if h.wide {
		s = Section{int64(le.Uint64(e[24:])), int64(le.Uint64(e[32:]))}
	} else {
		s = Section{int64(le.Uint32(e[16:])), int64(le.Uint32(e[20:]))}
	}
	if s.Offset < 0 || s.Size < 0 || s.Offset > math.MaxInt64-s.Size {
		return 0, s, fmt.Errorf("section %d has impossible bounds", i)
	}
	return name, s, nil
}

func (h *header) setSection(i int, s Section) {
	le, e := binary.LittleEndian, h.entry(i)
	if h.wide {
		le.PutUint64(e[24:], uint64(s.Offset))
		le.PutUint64(e[32:], uint64(s.Size))
	} else {
		le.PutUint32(e[16:], uint32(s.Offset))
		le.PutUint32(e[20:], uint32(s.Size))
	}
}

func (h *header) strings(r io.ReaderAt) ([]byte, error) {
	_, s, err := h.section(h.shstrndx)
	if err != nil {
		return nil, err
	}
	if s.Size > maxStrings {
		return nil, fmt.Errorf("section names of %d bytes", s.Size)
	}
	b := make([]byte, s.Size)
	if _, err := r.ReadAt(b, s.Offset); err != nil && s.Size > 0 {
		return nil, fmt.Errorf("cannot read the section names: %w", err)
	}
	return b, nil
}

// ImageOffset returns where the filesystem image begins: behind the section header table or behind the last section
// in it, whichever ends later. Runtimes and tools agree on this rule.
func ImageOffset(r io.ReaderAt) (int64, error) {
	h, err := readHeader(r)
	if err != nil {
		return 0, err
	}
	_, last, err := h.section(h.shnum - 1)
	if err != nil {
		return 0, err
	}
	return max(h.shoff+int64(len(h.table)), last.Offset+last.Size), nil
}

// Find returns the bounds of the section of the given name.
func Find(r io.ReaderAt, name string) (Section, error) {
	h, err := readHeader(r)
	if err != nil {
		return Section{}, err
	}
	names, err := h.strings(r)
	if err != nil {
		return Section{}, err
	}
	for i := range h.shnum {
		at, s, err := h.section(i)
		if err != nil {
			return Section{}, err
		}
		if int64(at) >= int64(len(names)) {
			continue
		}
		if n, _, _ := bytes.Cut(names[at:], []byte{0}); string(n) == name {
			return s, nil
		}
	}
	return Section{}, fmt.Errorf("no section %s", name)
}

// Text returns a section's content up to the first zero byte.
func Text(r io.ReaderAt, name string) (string, error) {
	s, err := Find(r, name)
	if err != nil {
		return "", err
	}
	if s.Size > maxStrings {
		return "", fmt.Errorf("section %s has %d bytes", name, s.Size)
	}
	b := make([]byte, s.Size)
	if _, err := r.ReadAt(b, s.Offset); err != nil && s.Size > 0 {
		return "", fmt.Errorf("cannot read section %s: %w", name, err)
	}
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b), nil
}

// File is what the editing functions work on, for example an *os.File.
type File interface {
	io.ReaderAt
	io.WriterAt
}

// Set fills a section with content and zeros behind it.
func Set(f File, name string, content []byte) error {
	s, err := Find(f, name)
	if err != nil {
		return err
	}
	if int64(len(content)) > s.Size {
		return fmt.Errorf("%d bytes do not fit into section %s of %d bytes", len(content), name, s.Size)
	}
	b := make([]byte, s.Size)
	copy(b, content)
	_, err = f.WriteAt(b, s.Offset)
	return err
}

// Add makes a runtime's head out of an ELF program: the four sections, empty, and the magic. The section header table
// becomes the last thing of the file, so that the image can stand right behind it.
func Add(program []byte) ([]byte, error) {
	h, err := readHeader(bytes.NewReader(program))
	if err != nil {
		return nil, err
	}
	names, err := h.strings(bytes.NewReader(program))
	if err != nil {
		return nil, err
	}
	out := slices.Clone(program)
	if h.shoff+int64(len(h.table)) == int64(len(out)) { // the old table is not needed any more
		out = out[:h.shoff]
	}
	le := binary.LittleEndian
	pad := func(to int) {
		for len(out)%to != 0 {
			out = append(out, 0)
		}
	}
	for _, s := range sections {
		if _, err := Find(bytes.NewReader(program), s.name); err == nil {
			return nil, fmt.Errorf("the program has a section %s already", s.name)
		}
		pad(16)
		e := make([]byte, h.entrySize())
		le.PutUint32(e, uint32(len(names)))
		le.PutUint32(e[4:], 1) // SHT_PROGBITS
		align := 32
		if h.wide {
			align = 48
		}
		le.PutUint32(e[align:], 16)
		h.table = append(h.table, e...)
		h.shnum++
		h.setSection(h.shnum-1, Section{int64(len(out)), int64(s.size)})
		out = append(out, make([]byte, s.size)...)
		names = append(append(names, s.name...), 0)
	}
	h.setSection(h.shstrndx, Section{int64(len(out)), int64(len(names))})
	out = append(out, names...)
	pad(8)
	if h.wide {
		le.PutUint64(out[40:], uint64(len(out)))
		le.PutUint16(out[60:], uint16(h.shnum))
	} else {
		le.PutUint32(out[32:], uint32(len(out)))
		le.PutUint16(out[48:], uint16(h.shnum))
	}
	copy(out[magicPosition:], Magic)
	return append(out, h.table...), nil
}

// Check refuses a file that cannot be the head of a type-2 AppImage for a machine (an e_machine number, as in
// debug/elf).
func Check(r io.ReaderAt, machine uint16) error {
	h, err := readHeader(r)
	if err != nil {
		return err
	}
	if h.machine != machine {
		return fmt.Errorf("it is made for ELF machine %d, not %d", h.machine, machine)
	}
	var b [3]byte
	if _, err := r.ReadAt(b[:], magicPosition); err != nil {
		return err
	}
	if !bytes.Equal(b[:], Magic) {
		return fmt.Errorf("bytes 8 to 10 are %x, not %x: not the head of a type-2 AppImage", b, Magic)
	}
	for _, s := range sections {
		got, err := Find(r, s.name)
		if err != nil {
			return err
		}
		if got.Size < int64(s.size) {
			return fmt.Errorf("section %s has %d bytes, not %d", s.name, got.Size, s.size)
		}
	}
	return nil
}

// HashWithout hashes a file of the given size with some sections taken as zeros. The hash is the caller's, because the
// runtime links this package and should not carry any.
func HashWithout(h hash.Hash, r io.ReaderAt, size int64, names ...string) error {
	var gaps []Section
	for _, n := range names {
		s, err := Find(r, n)
		if err != nil {
			return err
		}
		if s.Offset+s.Size > size {
			return fmt.Errorf("section %s lies outside the file", n)
		}
		gaps = append(gaps, s)
	}
	slices.SortFunc(gaps, func(a, b Section) int { return cmp.Compare(a.Offset, b.Offset) })
	at := int64(0)
	for _, g := range append(gaps, Section{Offset: size}) {
		if g.Offset < at {
			return errors.New("sections overlap")
		}
		if _, err := io.Copy(h, io.NewSectionReader(r, at, g.Offset-at)); err != nil {
			return err
		}
		if _, err := h.Write(make([]byte, g.Size)); err != nil {
			return err
		}
		at = g.Offset + g.Size
	}
	return nil
}
