package appimage_test

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/build/appimage"
	"github.com/imrightguy/slipway/phases/build/appimage/elfsect"
	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
	"github.com/imrightguy/slipway/phases/internal/archive"
)

// smallHead is a head without a program: small enough to fuzz what stands behind it.
func smallHead(t testing.TB) []byte {
	t.Helper()
	const strings, table = 64, 80
	b := make([]byte, table+2*64)
	copy(b, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(b[16:], uint16(elf.ET_EXEC))
	le.PutUint16(b[18:], uint16(elf.EM_X86_64))
	le.PutUint64(b[40:], table)
	le.PutUint16(b[58:], 64)
	le.PutUint16(b[60:], 2) // sections: none, and their names
	le.PutUint16(b[62:], 1)
	copy(b[strings:], "\x00.shstrtab\x00")
	e := b[table+64:]
	le.PutUint32(e, 1)
	le.PutUint32(e[4:], uint32(elf.SHT_STRTAB))
	le.PutUint64(e[24:], strings)
	le.PutUint64(e[32:], 11)
	head, err := elfsect.Add(b)
	if err != nil {
		t.Fatal(err)
	}
	return head
}

type memFile struct{ b []byte }

func (m *memFile) WriteAt(p []byte, off int64) (int, error) {
	if n := int(off) + len(p); n > len(m.b) {
		m.b = append(m.b, make([]byte, n-len(m.b))...)
	}
	return copy(m.b[off:], p), nil
}

func smallAppImage(t testing.TB, entries ...squashfs.Entry) []byte {
	t.Helper()
	head := smallHead(t)
	f := &memFile{bytes.Clone(head)}
	if _, err := squashfs.Write(t.Context(), f, int64(len(head)), entries, squashfs.Options{}); err != nil {
		t.Fatal(err)
	}
	return f.b
}

// refused reads hostile bytes in every way. What is refused must be so with a BadError.
func refused(t testing.TB, b []byte, lim archive.Limits) error {
	t.Helper()
	r := bytes.NewReader(b)
	list, err := appimage.Entries(context.Background(), r, lim)
	for _, e := range list {
		if err == nil && archive.CheckName(e.Path) != nil {
			t.Errorf("accepted name %q", e.Path)
		}
	}
	_, headErr := appimage.ReadHead(r)
	fsys, fsErr := appimage.OpenFS(r)
	if fsErr == nil && len(list) > 0 {
		for _, e := range list {
			if e.Mode.IsRegular() && e.Size < 1<<20 {
				if _, readErr := fs.ReadFile(fsys, e.Path); readErr != nil && err == nil {
					t.Errorf("%q is listed and cannot be read: %v", e.Path, readErr)
				}
			}
		}
	}
	for _, e := range []error{err, headErr, fsErr} {
		if is := (*archive.BadError)(nil); e != nil && !errors.As(e, &is) {
			t.Errorf("%T: %v", e, e)
		}
	}
	return err
}

func TestEntriesRefuses(t *testing.T) {
	good := smallAppImage(t, file("a", 0o644, []byte("a")), file("d/b", 0o755, bytes.Repeat([]byte("b"), 1000)), link("l", "d/b"))
	if err := refused(t, good, lim); err != nil {
		t.Fatal(err)
	}
	cut := func(n int) []byte { return good[:len(good)-n] }
	for want, c := range map[string]struct {
		b   []byte
		lim archive.Limits
	}{
		"cannot read the ELF header":        {nil, lim},
		"not an ELF file":                   {[]byte(strings.Repeat("#!/bin/sh\n", 100)), lim},
		"cannot read the superblock":        {smallHead(t), lim},
		"it ends too early":                 {cut(4096), lim},
		"something follows the filesystem":  {append(bytes.Clone(good), 0), lim},
		"holds more than 3 entries":         {good, archive.Limits{Entries: 3, Bytes: 1 << 20}},
		"files hold more than 1000 bytes":   {good, archive.Limits{Entries: 10, Bytes: 1000}},
		"line break or another control":     {smallAppImage(t, file("a\nb", 0o644, nil)), lim},
		"is not valid UTF-8":                {smallAppImage(t, file("a\xff", 0o644, nil)), lim},
		"which is outside":                  {smallAppImage(t, link("l", "../x")), lim},
		"want a target relative":            {smallAppImage(t, link("l", "/etc/passwd")), lim},
		"which is not there":                {smallAppImage(t, link("l", "x")), lim},
		"goes in a circle":                  {smallAppImage(t, link("a", "b"), link("b", "a")), lim},
		"a letter and its mark as two":      {smallAppImage(t, file("e\u0301", 0o644, nil)), lim},
		"points to \"d/../../x\", which is": {smallAppImage(t, link("l", "d/../../x"), dir("d")), lim},
	} {
		if err := refused(t, c.b, c.lim); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, expected %q", err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := appimage.Entries(ctx, bytes.NewReader(good), lim); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := appimage.Entries(t.Context(), failing{bytes.NewReader(good), int64(len(good)) - 4090}, lim); !errors.Is(err, errDisk) {
		t.Error(err) // which says nothing about the AppImage
	}
}

var errDisk = errors.New("input/output error")

type failing struct {
	r    io.ReaderAt
	from int64
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.from {
		return 0, errDisk
	}
	return f.r.ReadAt(p, off)
}

// TestEntriesForeign reads images that mksquashfs made: owners, setuid bits and attributes show.
func TestEntriesForeign(t *testing.T) {
	tool := need(t, "mksquashfs", "squashfs-tools")
	tree := t.TempDir()
	writeFiles(t, tree, map[string]string{"f": "x", "d/g": "y"})
	if err := os.Chmod(filepath.Join(tree, "f"), 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	make := func(args ...string) []byte {
		t.Helper()
		img := filepath.Join(t.TempDir(), "img")
		if out, err := exec.Command(tool, append([]string{tree, img, "-comp", "zstd", "-quiet", "-no-progress"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return append(smallHead(t), read(t, img)...)
	}
	list, err := appimage.Entries(t.Context(), bytes.NewReader(make("-force-uid", "1000", "-force-gid", "50")), lim)
	if err != nil || len(list) != 3 {
		t.Fatalf("%+v %v", list, err)
	}
	if f := list[2]; f.Path != "f" || f.Mode != 0o755|fs.ModeSetuid || f.UID != 1000 || f.GID != 50 || f.Size != 1 {
		t.Errorf("%+v", f)
	}
	if err := refused(t, make("-p", "dev c 600 0 0 1 3"), lim); err == nil || !strings.Contains(err.Error(), "is not a file, folder or link") && !strings.Contains(err.Error(), "folder entry of type") {
		t.Errorf("a device: %v", err)
	}
	if out, err := exec.Command("setfattr", "-n", "user.x", "-v", "y", filepath.Join(tree, "f")).CombinedOutput(); err != nil {
		t.Logf("no extended attributes here: %v %s", err, out)
		return
	}
	if err := refused(t, make(), lim); err == nil || !strings.Contains(err.Error(), "extended attributes") {
		t.Errorf("attributes: %v", err)
	}
}

func FuzzEntries(f *testing.F) {
	f.Add(smallAppImage(f, file("a", 0o644, []byte("a")), file("d/b", 0o755, bytes.Repeat([]byte("b"), 1000)), link("l", "d/b")))
	f.Add(smallAppImage(f, link("l", "../x"), file("a\nb", 0o644, nil)))
	f.Add(smallHead(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = refused(t, b, archive.Limits{Entries: 1000, Bytes: 1 << 24})
	})
}
