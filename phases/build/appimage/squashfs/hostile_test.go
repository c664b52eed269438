package squashfs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// storing keeps metadata as it is, so that tests can find and change its fields.
type storing struct{}

func (storing) encode(_, src []byte) ([]byte, error) { return append([]byte(nil), src...), nil }

// plainImage is a small image whose metadata lies open.
func plainImage(t testing.TB, entries []Entry) []byte {
	t.Helper()
	o := Options{Time: fixedTime, Workers: 1, BlockSize: 4096}
	if err := o.setDefaults(); err != nil {
		t.Fatal(err)
	}
	root, err := buildTree(entries)
	if err != nil {
		t.Fatal(err)
	}
	all, err := numberNodes(root)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPacker(context.Background(), &o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	var m memFile
	w := &imageWriter{w: &m, pos: superSize, o: &o, all: all, enc: storing{}}
	p.out = w.write
	if err := p.pack(all); err != nil {
		t.Fatal(err)
	}
	w.fragments = p.fragments
	if err := w.writeTables(root); err != nil {
		t.Fatal(err)
	}
	return m.b
}

func smallTree() []Entry {
	return []Entry{
		fileEntry("AppRun", 0o755, text(1, 500)),
		fileEntry("usr/bin/app", 0o755, text(2, 30_000)),
		fileEntry("usr/share/zeros", 0o644, make([]byte, 10_000)),
		fileEntry("usr/share/noise", 0o644, noise(3, 5000)),
		dirEntry("usr/lib", 0o755),
		linkEntry("usr/lib/link", "../bin/app"),
	}
}

var errEnough = errors.New("enough seen")

// consume reads whatever an image offers, up to a bound, and reports what was wrong with it. It fails the test when a
// path would lead out of a target folder.
func consume(t testing.TB, b []byte) error {
	t.Helper()
	r, err := NewReader(bytes.NewReader(b), 0)
	if err != nil {
		return err
	}
	budget := 1 << 20
	buf := make([]byte, 64<<10)
	return r.Walk(func(p string, n *Inode) error {
		if p != "." && (!fs.ValidPath(strings.ToValidUTF8(p, "?")) || strings.Contains(p, "\x00")) {
			t.Fatalf("walks to %q", p)
		}
		if _, _, err := r.Owner(n); err != nil {
			return err
		}
		if budget--; budget <= 0 {
			return errEnough
		}
		if !n.Mode.IsRegular() {
			return nil
		}
		for _, off := range []int64{0, n.Size / 2, n.Size - 10} {
			k, err := r.ReadAt(n, buf, max(off, 0))
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			budget -= k + 100
		}
		_, _ = r.Hole(n, n.Size/2)
		return nil
	})
}

// TestTruncated cuts an image at every length: each cut but those in the padding is an error.
func TestTruncated(t *testing.T) {
	for name, b := range map[string][]byte{"plain": plainImage(t, smallTree()), "zstd": write(t, smallTree(), Options{BlockSize: 4096}), "gzip": write(t, smallTree(), Options{Compression: Gzip})} {
		used := int(binary.LittleEndian.Uint64(b[40:]))
		if err := consume(t, b); err != nil {
			t.Fatal(err)
		}
		tables := int(binary.LittleEndian.Uint64(b[80:])) + 8 // what comes behind the fragment table is not needed to read
		for n := range min(used, tables) {
			if err := consume(t, b[:n]); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s cut to %d of %d bytes: %v", name, n, used, err)
			}
		}
	}
}

// TestBitFlips changes a bit of each byte in turn: data or an error, in no time.
func TestBitFlips(t *testing.T) {
	bits := 1
	if os.Getenv("SLIPWAY_LONG") == "1" {
		bits = 8
	}
	tree := []Entry{
		fileEntry("AppRun", 0o755, text(1, 300)),
		fileEntry("bin/app", 0o755, text(2, 9000)),
		fileEntry("share/zeros", 0o644, make([]byte, 10_000)),
		fileEntry("share/noise", 0o644, noise(3, 200)),
		linkEntry("lib/link", "../bin/app"),
	}
	for _, b := range [][]byte{plainImage(t, tree), write(t, tree, Options{BlockSize: 4096}), write(t, tree, Options{BlockSize: 4096, Compression: Gzip})} {
		for i := range b[:binary.LittleEndian.Uint64(b[40:])] {
			for bit := range bits {
				flip := byte(1) << ((i + bit) % 8)
				b[i] ^= flip
				start := time.Now()
				_ = consume(t, b) // whether it is noticed depends on the place: squashfs has no checksums
				if d := time.Since(start); d > 5*time.Second {
					t.Fatalf("bit %d of byte %d: %v", bit, i, d)
				}
				b[i] ^= flip
			}
		}
	}
}

// find returns the only place of a byte sequence.
func find(t testing.TB, b []byte, seq string) int {
	t.Helper()
	if bytes.Count(b, []byte(seq)) != 1 {
		t.Fatalf("%q is there %d times", seq, bytes.Count(b, []byte(seq)))
	}
	return bytes.Index(b, []byte(seq))
}

// TestCrafted has what an attacker would write.
func TestCrafted(t *testing.T) {
	le := binary.LittleEndian
	tree := []Entry{
		fileEntry("outer/inner/file-one", 0o644, text(1, 9000)),
		fileEntry("outer/inner/file-two", 0o644, text(2, 9000)),
		fileEntry("outer/name-of-small", 0o644, []byte("small")),
		linkEntry("outer/linkname", "target-of-the-link"),
	}
	clean := plainImage(t, tree)
	if err := consume(t, clean); err != nil {
		t.Fatal(err)
	}
	sb, err := decodeSuperblock(clean)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(bytes.NewReader(clean), 0)
	if err != nil {
		t.Fatal(err)
	}
	inodes := map[string]*Inode{}
	if err := r.Walk(func(p string, n *Inode) error { inodes[p] = n; return nil }); err != nil {
		t.Fatal(err)
	}
	// where an inode's bytes lie: all metadata is in one stored block
	at := func(p string) int { return int(sb.InodeTable) + 2 + int(inodes[p].Ref&0xffff) }
	rename := func(from, to string) func([]byte) {
		return func(b []byte) { copy(b[find(t, b, from):], to) }
	}
	u32 := func(pos int, v uint32) func([]byte) { return func(b []byte) { le.PutUint32(b[pos:], v) } }
	u64 := func(pos int, v uint64) func([]byte) { return func(b []byte) { le.PutUint64(b[pos:], v) } }
	u16 := func(pos int, v uint16) func([]byte) { return func(b []byte) { le.PutUint16(b[pos:], v) } }
	entry := func(name string) int { return find(t, clean, name) - 8 }
	const innerName = "\x04\x00inner"
	for name, change := range map[string]func([]byte){
		"a name with a slash":            rename("file-one", "../a/bcd"),
		"a name with a zero":             rename("file-one", "file\x00one"),
		"a name twice":                   rename("file-two", "file-one"),
		"names out of order":             rename("file-two", "aile-two"),
		"a folder that holds itself":     u16(find(t, clean, innerName)-6, uint16(inodes["outer"].Ref)),
		"a folder that holds the root":   u16(find(t, clean, innerName)-6, uint16(sb.Root)),
		"an entry of another kind":       u16(entry("file-one")+4, typeDir),
		"an entry of no kind":            u16(entry("file-one")+4, 77),
		"a name longer than the folder":  u16(entry("file-two")+6, 250),
		"a name of 64 KiB":               u16(entry("file-two")+6, 65535),
		"an inode out of its block":      u16(entry("file-one"), 65000),
		"a run of a billion entries":     u32(entry("file-one")-12, 1<<30),
		"a run in a block far away":      u32(entry("file-one")-8, 1<<31),
		"inode of unknown type":          u16(at("outer/linkname"), 4),
		"a link of no length":            u32(at("outer/linkname")+20, 0),
		"a link of 4 GiB":                u32(at("outer/linkname")+20, math.MaxUint32),
		"a file of 4 GiB":                u32(at("outer/inner/file-one")+28, math.MaxUint32),
		"a file that starts outside":     u32(at("outer/inner/file-one")+16, math.MaxUint32),
		"a block of 16 MiB":              u32(at("outer/inner/file-one")+32, 1<<24-1),
		"a block of another length":      u32(at("outer/inner/file-one")+32, 7|blockRaw),
		"fragment that is not there":     u32(at("outer/name-of-small")+20, 3),
		"fragment offset outside":        u32(at("outer/name-of-small")+24, 1<<31),
		"a folder's listing elsewhere":   u32(at("outer/inner")+16, 1<<30),
		"a folder's offset outside":      u16(at("outer/inner")+26, 8191),
		"a folder longer than it is":     u16(at("outer/inner")+24, 60000),
		"a root that is a file":          u64(32, inodes["outer/name-of-small"].Ref),
		"a root beyond everything":       u64(32, math.MaxUint64),
		"no inodes":                      u32(4, 0),
		"block size 0":                   u32(12, 0),
		"block size 4 GiB":               u32(12, 1<<31),
		"a billion fragments":            u32(16, 1<<30),
		"unknown compression":            u16(20, 4),
		"version 3":                      u16(28, 3),
		"bytes used beyond int64":        u64(40, math.MaxUint64),
		"inode table at the end":         u64(64, uint64(len(clean))),
		"inode table behind directories": u64(64, sb.DirTable+1),
		"directory table far away":       u64(72, 1<<60),
		"fragment table far away":        u64(80, 1<<60),
		"an empty metadata block":        u16(int(sb.InodeTable), metaRaw),
		"a metadata block of 32 KiB":     u16(int(sb.InodeTable), 0x7fff),
	} {
		b := bytes.Clone(clean)
		change(b)
		if bytes.Equal(b, clean) {
			t.Errorf("%s: nothing changed", name)
		}
		err := consume(t, b)
		if err == nil {
			// A count that nothing contradicts is no harm: the reader never believed it.
			if name != "a billion fragments" {
				t.Errorf("%s: no error", name)
			}
			continue
		}
		if !errors.Is(err, ErrCorrupt) && name != "unknown compression" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSmallHugeFile: a little image that claims a file of terabytes costs little memory and no time.
func TestSmallHugeFile(t *testing.T) {
	b := plainImage(t, []Entry{fileEntry("zeros", 0o644, make([]byte, 12_000))})
	r, err := NewReader(bytes.NewReader(b), 0)
	if err != nil {
		t.Fatal(err)
	}
	sb := r.Superblock()
	at := int(sb.InodeTable) + 2 // the first inode is the file's
	if binary.LittleEndian.Uint16(b[at:]) != typeLongFile {
		t.Fatal("another inode than expected")
	}
	for _, size := range []uint64{1 << 33, 1 << 44, 1 << 63, math.MaxUint64} {
		binary.LittleEndian.PutUint64(b[at+24:], size)
		before := allocated()
		if err := consume(t, b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("size %d: %v", size, err)
		}
		if d := allocated() - before; d > 16<<20 {
			t.Errorf("size %d: %d bytes allocated", size, d)
		}
	}
}

// TestDeepFolders: folders in folders beyond any path the system can open.
func TestDeepFolders(t *testing.T) {
	deep := strings.Repeat("d/", 9000) + "d"
	if err := consume(t, write(t, []Entry{dirEntry(deep, 0o755)}, Options{})); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
}

// TestUnpackBombs: blocks that unpack to more than they may.
func TestUnpackBombs(t *testing.T) {
	for _, c := range []Compression{Zstd, Gzip} {
		o := Options{Compression: c, BlockSize: MaxBlockSize}
		if err := o.setDefaults(); err != nil {
			t.Fatal(err)
		}
		e, err := newEncoder(o)
		if err != nil {
			t.Fatal(err)
		}
		bomb, err := e.encode(nil, make([]byte, 50<<20))
		if err != nil {
			t.Fatal(err)
		}
		d, err := newDecoder(c)
		if err != nil {
			t.Fatal(err)
		}
		before := allocated()
		if _, err := d.decode(make([]byte, 0, metaSize), bomb); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%v: %v", c, err)
		}
		if n := allocated() - before; n > 8<<20 {
			t.Errorf("%v: %d bytes allocated", c, n)
		}
	}
}

// FuzzReader wants -fuzzminimizetime 10x: making an image smaller takes long and shows nothing.
func FuzzReader(f *testing.F) {
	tree := []Entry{linkEntry("l", "x"), fileEntry("d/f", 0o644, text(1, 5000)), fileEntry("d/g", 0o644, text(2, 50)), fileEntry("z", 0o644, make([]byte, 9000)), dirEntry("d/e", 0o755)}
	for _, b := range [][]byte{plainImage(f, tree), write(f, tree, Options{BlockSize: 4096}), write(f, tree, Options{Compression: Gzip})} {
		f.Add(b[:binary.LittleEndian.Uint64(b[40:])])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = consume(t, b)
	})
}

// FuzzWriter writes a tree made of the input and reads it back.
func FuzzWriter(f *testing.F) {
	f.Add([]byte("a/b\x00c/d\x00e"), uint16(5000), uint8(1))
	f.Fuzz(func(t *testing.T, names []byte, size uint16, seed uint8) {
		var entries []Entry
		for i, name := range strings.Split(string(names), "\x00") {
			switch (i + int(seed)) % 4 {
			case 0:
				entries = append(entries, dirEntry(name, 0o755))
			case 1:
				entries = append(entries, linkEntry(name, name))
			default:
				entries = append(entries, fileEntry(name, fs.FileMode(seed)<<1, text(i, int(size)/(i+1))))
			}
		}
		var m memFile
		if _, err := Write(context.Background(), &m, 0, entries, Options{Time: fixedTime, BlockSize: 4096, Workers: 2, Level: zstd.SpeedFastest}); err != nil {
			return // refused
		}
		r, err := NewReader(bytes.NewReader(m.b), 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := treeOfImage(r)
		if err != nil {
			t.Fatal(err)
		}
		want := treeOfEntries(t, entries)
		for p, w := range want {
			if got[p] != w {
				t.Errorf("%q is %q, expected %q", p, got[p], w)
			}
		}
	})
}

// TestMemory runs a writer of its own and looks at its peak: with two workers at most 128 MB, whatever the payload.
func TestMemory(t *testing.T) {
	if size, err := strconv.Atoi(os.Getenv("SQUASHFS_TEST_WRITE")); err == nil {
		writeMuch(t, size)
		sayPeak(t)
		return
	}
	if runtime.GOOS != "linux" {
		t.Skip("the peak is read from /proc")
	}
	sizes := []int{16, 48}
	if os.Getenv("SLIPWAY_LONG") == "1" {
		sizes = append(sizes, 1000)
	}
	for _, mb := range sizes {
		c := exec.Command(os.Args[0], "-test.run=^TestMemory$", "-test.count=1")
		c.Env = append(os.Environ(), "SQUASHFS_TEST_WRITE="+strconv.Itoa(mb), "GOMAXPROCS=2")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		// Not the kernel's ru_maxrss: a child inherits its parent's.
		_, after, _ := strings.Cut(string(out), "VmHWM:")
		var kb int
		if _, err := fmt.Sscan(after, &kb); err != nil {
			t.Fatalf("no peak in %s", out)
		}
		peak := kb / 1024
		t.Logf("payload %d MB: peak %d MB", mb, peak)
		if peak > 128 && !raceEnabled {
			t.Errorf("payload %d MB: peak %d MB", mb, peak)
		}
	}
}

// writeMuch writes an image of small and large files with the settings that need the most memory.
func writeMuch(t *testing.T, mb int) {
	var entries []Entry
	content := text(1, 1<<20)
	for i := range mb / 2 {
		entries = append(entries, Entry{Path: fmt.Sprintf("large/%d", i), Size: 1<<20 + int64(i), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(content[i%1000:]), bytes.NewReader(content[:i%1000]), io.LimitReader(&noiseReader{rand.NewChaCha8([32]byte{byte(i)})}, int64(i)))), nil
		}})
		for j := range 100 {
			entries = append(entries, fileEntry(fmt.Sprintf("small/%d/%d", i, j), 0o644, content[(i*977+j*131)%500_000:][:10_000]))
		}
	}
	f, err := os.Create(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Write(context.Background(), nowhere{f}, 0, entries, Options{BlockSize: MaxBlockSize, Workers: 2}); err != nil {
		t.Fatal(err)
	}
}

// sayPeak prints the peak of this process.
func sayPeak(t *testing.T) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), "VmHWM:")
	fmt.Println("VmHWM:", strings.Fields(after)[0])
}

type nowhere struct{ *os.File }

func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
