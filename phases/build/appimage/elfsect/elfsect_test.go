package elfsect

import (
	"bytes"
	"crypto/md5"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// memFile is a file in memory.
type memFile struct{ b []byte }

func (m *memFile) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.b).ReadAt(p, off)
}

func (m *memFile) WriteAt(p []byte, off int64) (int, error) {
	return copy(m.b[off:], p), nil
}

// program compiles a little program.
func program(t testing.TB) []byte {
	t.Helper()
	dir := t.TempDir()
	src := filepath.Join(dir, "main.go")
	if err := os.WriteFile(src, []byte("package main\nfunc main() { println(\"it runs\") }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	c := exec.Command("go", "build", "-ldflags", "-s -w", "-o", out, src)
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if msg, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, msg)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAdd makes heads of 64 and 32 bits and has debug/elf and readelf read them.
func TestAdd(t *testing.T) {
	for name, c := range map[string]struct {
		plain   []byte
		machine elf.Machine
	}{
		"a program":        {program(t), elf.EM_X86_64},
		"64 bits":          {tinyELF(elf.ELFCLASS64), elf.EM_AARCH64},
		"32 bits":          {tinyELF(elf.ELFCLASS32), elf.EM_ARM},
		"a table in front": {append(tinyELF(elf.ELFCLASS32), "and something behind it"...), elf.EM_ARM},
	} {
		t.Run(name, func(t *testing.T) {
			plain, machine := c.plain, c.machine
			if err := Check(bytes.NewReader(plain), uint16(machine)); err == nil {
				t.Error("a plain program passes for a runtime")
			}
			head, err := Add(plain)
			if err != nil {
				t.Fatal(err)
			}
			if err := Check(bytes.NewReader(head), uint16(machine)); err != nil {
				t.Error(err)
			}
			if err := Check(bytes.NewReader(head), uint16(elf.EM_RISCV)); err == nil {
				t.Error("passes for another machine")
			}
			if off, err := ImageOffset(bytes.NewReader(head)); err != nil || off != int64(len(head)) {
				t.Errorf("the image begins at %d of %d, %v", off, len(head), err)
			}
			if again, err := Add(head); err == nil {
				t.Errorf("adding twice gives %d bytes", len(again))
			}
			f, err := elf.NewFile(bytes.NewReader(head))
			if err != nil {
				t.Fatal(err)
			}
			old, err := elf.NewFile(bytes.NewReader(plain))
			if err != nil {
				t.Fatal(err)
			}
			if len(f.Sections) != len(old.Sections)+4 || f.Section(".shstrtab") == nil {
				t.Errorf("%d sections, %d before", len(f.Sections), len(old.Sections))
			}
			for name, size := range map[string]uint64{Digest: 16, UpdateInfo: 1024, Signature: 1024, SignatureKey: 8192} {
				s := f.Section(name)
				if s == nil || s.Size != size || s.Type != elf.SHT_PROGBITS || s.Flags != 0 || s.Addralign != 16 || s.Offset%16 != 0 {
					t.Errorf("%s: %+v", name, s)
				}
			}
			if readelf, err := exec.LookPath("readelf"); err == nil {
				path := filepath.Join(t.TempDir(), "head")
				if err := os.WriteFile(path, head, 0o755); err != nil {
					t.Fatal(err)
				}
				out, err := exec.Command(readelf, "-hSW", path).CombinedOutput()
				if err != nil || strings.Contains(string(out), "Warning") || !strings.Contains(string(out), ".sig_key") {
					t.Errorf("readelf: %v\n%s", err, out)
				}
			} else if os.Getenv("CI") == "true" {
				t.Error("readelf is not installed: apt-get install binutils")
			}
		})
	}
}

func TestEdit(t *testing.T) {
	head, err := Add(program(t))
	if err != nil {
		t.Fatal(err)
	}
	f := &memFile{append(head, "the image"...)}
	if err := Set(f, UpdateInfo, []byte("zsync|https://example.com/x")); err != nil {
		t.Fatal(err)
	}
	if err := Set(f, UpdateInfo, []byte("zsync|https://short")); err != nil { // nothing of the longer one stays
		t.Fatal(err)
	}
	if s, err := Text(f, UpdateInfo); err != nil || s != "zsync|https://short" {
		t.Errorf("%q %v", s, err)
	}
	if err := Set(f, UpdateInfo, make([]byte, 1025)); err == nil || !strings.Contains(err.Error(), "do not fit") {
		t.Error(err)
	}
	if err := Set(f, ".nothing", nil); err == nil {
		t.Error("sets a section that is not there")
	}
	hash := func() string {
		h := md5.New()
		if err := HashWithout(h, f, int64(len(f.b)), Signature, SignatureKey, Digest); err != nil {
			t.Fatal(err)
		}
		return string(h.Sum(nil))
	}
	before := hash()
	for _, s := range []string{Digest, Signature, SignatureKey} {
		if err := Set(f, s, []byte("changed")); err != nil {
			t.Fatal(err)
		}
	}
	if hash() != before {
		t.Error("the digest covers sections that it should not")
	}
	zeroed := bytes.Clone(f.b)
	for _, n := range []string{Digest, Signature, SignatureKey} {
		s, err := Find(f, n)
		if err != nil {
			t.Fatal(err)
		}
		clear(zeroed[s.Offset:][:s.Size])
	}
	if sum := md5.Sum(zeroed); string(sum[:]) != before {
		t.Error("the digest is not that of the file with zeroed sections")
	}
	f.b[len(f.b)-1]++
	if hash() == before {
		t.Error("the digest does not cover the image")
	}
}

// tinyELF is an ELF file of nothing but its names.
func tinyELF(class elf.Class) []byte {
	var b bytes.Buffer
	names := "\x00.shstrtab\x00"
	ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(class), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)}
	var parts []any
	if class == elf.ELFCLASS64 {
		parts = []any{
			elf.Header64{Ident: ident, Type: 2, Machine: uint16(elf.EM_AARCH64), Version: 1, Shoff: 80, Ehsize: 64, Shentsize: 64, Shnum: 2, Shstrndx: 1},
			[]byte(names), make([]byte, 16-len(names)),
			elf.Section64{},
			elf.Section64{Name: 1, Type: uint32(elf.SHT_STRTAB), Off: 64, Size: uint64(len(names)), Addralign: 1},
		}
	} else {
		parts = []any{
			elf.Header32{Ident: ident, Type: 2, Machine: uint16(elf.EM_ARM), Version: 1, Shoff: 68, Ehsize: 52, Shentsize: 40, Shnum: 2, Shstrndx: 1},
			[]byte(names), make([]byte, 16-len(names)),
			elf.Section32{},
			elf.Section32{Name: 1, Type: uint32(elf.SHT_STRTAB), Off: 52, Size: uint32(len(names)), Addralign: 1},
		}
	}
	for _, p := range parts {
		if err := binary.Write(&b, binary.LittleEndian, p); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func FuzzELF(f *testing.F) {
	for _, c := range []elf.Class{elf.ELFCLASS64, elf.ELFCLASS32} {
		f.Add(tinyELF(c))
		head, err := Add(tinyELF(c))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(head)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		if off, err := ImageOffset(r); err == nil && off < 0 {
			t.Errorf("offset %d", off)
		}
		_, _ = Text(r, UpdateInfo)
		_ = Check(r, 62)
		_ = Set(&memFile{bytes.Clone(b)}, UpdateInfo, []byte("x"))
		if len(b) < 1<<16 {
			if head, err := Add(b); err == nil {
				if off, err := ImageOffset(bytes.NewReader(head)); err != nil || off != int64(len(head)) {
					t.Errorf("a head of %d bytes, image at %d, %v", len(head), off, err)
				}
			}
		}
	})
}
