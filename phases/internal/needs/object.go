package needs

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// Object is what the dynamic linker reads of one ELF file.
type Object struct {
	Path    string // in its tree
	Type    elf.Type
	Machine elf.Machine
	Class   elf.Class
	Program bool // it can be started: has a fixed address, says that it is a program, or has an interpreter and no name
	Soname  string
	Needed  []string
	RunPath []string // as written, split at colons
	RPath   []string

	versions []version
}

// version is one symbol version that an object needs of a library.
type version struct{ library, symbol string }

// ErrDamaged is the kind of error for what begins like an ELF file and is none.
var ErrDamaged = errors.New("it is not a valid ELF file")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// Bounds of what is read of one file, however large it says its tables are. Real ones are far below: the longest list
// of needs that a desktop system has holds some hundred entries.
const (
	maxPrograms = 1024    // program headers
	maxDynamic  = 8192    // entries of the dynamic section
	maxVersions = 8192    // symbol versions
	maxNeeded   = 1024    // libraries
	maxFolders  = 256     // of a RUNPATH
	maxName     = 4 << 10 // bytes of a name
)

// Places in an ELF header (elf(5)), for 64 and 32 bits.
const (
	header64, header32                   = 64, 52
	shoff64, shoff32                     = 40, 32
	phentsize64, phentsize32             = 54, 42
	program64, program32                 = 56, 32
	dfPIE                    elf.DynFlag = 0x08000000 // DF_1_PIE, of DT_FLAGS_1
	verneedSize, vernauxSize             = 16, 16
)

// Read reads an ELF file; nil if it is none. What the dynamic linker does not look at, section headers above all, is not
// looked at either. Memory is bounded. Damage is an [ErrDamaged]; other errors are those of r.
func Read(path string, r io.ReaderAt) (*Object, error) {
	src := &source{r: r}
	o, err := read(path, src)
	if src.err != nil {
		return nil, src.err
	}
	return o, err
}

// source remembers an error from below. The end of the file is none: a table that reaches beyond it is damage.
type source struct {
	r   io.ReaderAt
	err error
}

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		s.err = err
	}
	return n, err
}

// head lays the file's header, without section headers, over the file: debug/elf reads these whatever they say.
type head struct {
	io.ReaderAt
	b []byte
}

func (h head) ReadAt(p []byte, off int64) (int, error) {
	n, err := h.ReaderAt.ReadAt(p, off)
	if off < int64(len(h.b)) {
		copy(p[:n], h.b[off:])
	}
	return n, err
}

func read(path string, r io.ReaderAt) (*Object, error) {
	b := make([]byte, header64)
	n, _ := r.ReadAt(b, 0) // source keeps what is wrong
	if n < 4 || string(b[:4]) != elf.ELFMAG {
		return nil, nil
	}
	if n < header32 {
		return nil, damaged("it ends in its header")
	}
	b = b[:n]
	order := binary.ByteOrder(binary.LittleEndian)
	if elf.Data(b[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	at, entry, shoff, word, end := phentsize64, program64, shoff64, 8, header64
	if elf.Class(b[elf.EI_CLASS]) == elf.ELFCLASS32 {
		at, entry, shoff, word, end = phentsize32, program32, shoff32, 4, header32
	}
	if n < end {
		return nil, damaged("it ends in its header")
	}
	if size, count := order.Uint16(b[at:]), order.Uint16(b[at+2:]); count > maxPrograms || count > 0 && int(size) != entry {
		return nil, damaged("it has %d program headers of %d bytes", count, size)
	}
	clear(b[shoff : shoff+word])
	clear(b[at+4 : at+10]) // e_shentsize, e_shnum, e_shstrndx
	f, err := elf.NewFile(head{r, b})
	if err != nil {
		return nil, damaged("%v", err)
	}
	o := &Object{Path: path, Type: f.Type, Machine: f.Machine, Class: f.Class}
	return o, o.dynamic(f, r)
}

// table reads the dynamic section and what it points to.
type table struct {
	r       io.ReaderAt
	f       *elf.File
	strings uint64 // where they begin in the file
	size    uint64
}

func (o *Object) dynamic(f *elf.File, r io.ReaderAt) error {
	interpreter := false
	var dyn *elf.Prog
	for _, p := range f.Progs {
		interpreter = interpreter || p.Type == elf.PT_INTERP
		if p.Type == elf.PT_DYNAMIC {
			dyn = p
		}
	}
	o.Program = f.Type == elf.ET_EXEC
	if dyn == nil || dyn.Filesz == 0 || f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return nil // static, an object file, a core dump, debugging information kept apart
	}
	t := table{r: r, f: f}
	tags, err := t.tags(dyn)
	if err != nil {
		return err
	}
	one := func(tag elf.DynTag) uint64 {
		if v := tags[tag]; len(v) > 0 {
			return v[0]
		}
		return 0
	}
	if o.Program = o.Program || elf.DynFlag(one(elf.DT_FLAGS_1))&dfPIE != 0; len(tags[elf.DT_STRTAB]) == 0 {
		return nil // static, at an address of its choice
	}
	if t.size = one(elf.DT_STRSZ); t.size > math.MaxInt32 {
		return damaged("its names have %d bytes", t.size)
	}
	if t.strings, err = t.offset(one(elf.DT_STRTAB)); err != nil {
		return err
	}
	if len(tags[elf.DT_NEEDED]) > maxNeeded {
		return damaged("it needs more than %d libraries", maxNeeded)
	}
	for _, offset := range tags[elf.DT_NEEDED] {
		name, err := t.name(offset)
		if err != nil {
			return err
		}
		o.Needed = append(o.Needed, name)
	}
	if v := tags[elf.DT_SONAME]; len(v) > 0 {
		if o.Soname, err = t.name(v[0]); err != nil {
			return err
		}
	}
	o.Program = o.Program || interpreter && o.Soname == "" // libc.so.6 and others print their version when started
	for _, list := range []struct {
		tag elf.DynTag
		to  *[]string
	}{{elf.DT_RUNPATH, &o.RunPath}, {elf.DT_RPATH, &o.RPath}} {
		if v := tags[list.tag]; len(v) > 0 {
			text, err := t.name(v[0])
			if err != nil {
				return err
			}
			if *list.to = strings.Split(text, ":"); len(*list.to) > maxFolders {
				return damaged("it looks for libraries in more than %d folders", maxFolders)
			}
		}
	}
	if v := tags[elf.DT_VERNEED]; len(v) > 0 {
		o.versions, err = t.versions(v[0], one(elf.DT_VERNEEDNUM))
	}
	return err
}

// tags reads the dynamic section, which ends with DT_NULL.
func (t *table) tags(p *elf.Prog) (map[elf.DynTag][]uint64, error) {
	word := 8
	if t.f.Class == elf.ELFCLASS32 {
		word = 4
	}
	b := make([]byte, min(p.Filesz, uint64(2*word*maxDynamic)))
	n, _ := t.r.ReadAt(b, int64(min(p.Off, math.MaxInt64))) // likewise
	tags := map[elf.DynTag][]uint64{}
	for b = b[:n]; len(b) >= 2*word; b = b[2*word:] {
		tag, value := t.word(b, word), t.word(b[word:], word)
		if elf.DynTag(tag) == elf.DT_NULL {
			return tags, nil
		}
		tags[elf.DynTag(tag)] = append(tags[elf.DynTag(tag)], value)
	}
	return nil, damaged("its dynamic section has no end")
}

func (t *table) word(b []byte, size int) uint64 {
	if size == 4 {
		return uint64(t.f.ByteOrder.Uint32(b))
	}
	return t.f.ByteOrder.Uint64(b)
}

// offset is where an address of the loaded file lies in the file.
func (t *table) offset(address uint64) (uint64, error) {
	for _, p := range t.f.Progs {
		if p.Type == elf.PT_LOAD && address >= p.Vaddr && address-p.Vaddr < p.Filesz && p.Off < math.MaxInt64/2 && p.Filesz < math.MaxInt64/2 {
			return p.Off + address - p.Vaddr, nil
		}
	}
	return 0, damaged("address %#x is not in the file", address)
}

// name reads a name that ends with a zero byte.
func (t *table) name(offset uint64) (string, error) {
	if offset >= t.size {
		return "", damaged("a name lies outside of its table")
	}
	for _, length := range []uint64{128, maxName} {
		b := make([]byte, min(length, t.size-offset))
		n, _ := t.r.ReadAt(b, int64(t.strings+offset)) // likewise
		if name, _, ok := strings.Cut(string(b[:n]), "\x00"); ok {
			return name, nil
		}
	}
	return "", damaged("a name has no end")
}

// versions reads the chain of needed versions: libraries, and a chain of symbols for each.
func (t *table) versions(address, count uint64) (list []version, err error) {
	offset, err := t.offset(address)
	if err != nil {
		return nil, err
	}
	var b [verneedSize]byte
	at := func(offset uint64) error {
		if n, _ := t.r.ReadAt(b[:], int64(min(offset, math.MaxInt64))); n < len(b) { // likewise
			return damaged("its symbol versions end early")
		}
		return nil
	}
	u32 := func(i int) uint64 { return uint64(t.f.ByteOrder.Uint32(b[i:])) }
	for range min(count, maxVersions) {
		if err := at(offset); err != nil {
			return nil, err
		}
		symbols, aux, next := int(t.f.ByteOrder.Uint16(b[2:])), offset+u32(8), u32(12)
		library, err := t.name(u32(4))
		if err != nil {
			return nil, err
		}
		for range symbols {
			if len(list) == maxVersions {
				return nil, damaged("it needs more than %d symbol versions", maxVersions)
			}
			if err := at(aux); err != nil {
				return nil, err
			}
			step := u32(12)
			symbol, err := t.name(u32(8))
			if err != nil {
				return nil, err
			}
			list = append(list, version{library, symbol})
			if step == 0 {
				break
			}
			aux += step
		}
		if next == 0 {
			return list, nil
		}
		offset += next
	}
	return list, nil
}
