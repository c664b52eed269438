package squashfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

var fixedTime = time.Unix(1_700_000_000, 0)

// memFile is a file in memory.
type memFile struct{ b []byte }

func (m *memFile) WriteAt(p []byte, off int64) (int, error) {
	if n := int(off) + len(p); n > len(m.b) {
		m.b = append(m.b, make([]byte, n-len(m.b))...)
	}
	return copy(m.b[off:], p), nil
}

func fileEntry(path string, mode fs.FileMode, content []byte) Entry {
	return Entry{Path: path, Mode: mode, Size: int64(len(content)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}}
}

func dirEntry(path string, mode fs.FileMode) Entry {
	return Entry{Path: path, Mode: fs.ModeDir | mode}
}

func linkEntry(path, target string) Entry {
	return Entry{Path: path, Mode: fs.ModeSymlink | 0o777, Target: target}
}

func write(t testing.TB, entries []Entry, o Options) []byte {
	t.Helper()
	if o.Time.IsZero() {
		o.Time = fixedTime
	}
	var m memFile
	st, err := Write(context.Background(), &m, 0, entries, o)
	if err != nil {
		t.Fatal(err)
	}
	if st.Size != int64(len(m.b)) || len(m.b)%imageAlign != 0 {
		t.Fatalf("image of %d bytes, said %d", len(m.b), st.Size)
	}
	return m.b
}

// text is compressible, noise is not; both are the same in every run.
func text(seed, n int) []byte {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	words := strings.Fields("release gate journal phase step plan probe undo adopt artifact evidence the of a to and")
	var b []byte
	for len(b) < n {
		b = append(append(b, words[r.IntN(len(words))]...), " \n\t,."[r.IntN(5)])
	}
	return b[:n]
}

func noise(seed, n int) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed)})
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

// edgeTree holds what is easily got wrong, for a block size of 128 KiB and any other.
func edgeTree(many int) []Entry {
	const block = 128 << 10
	list := []Entry{
		dirEntry(".", 0o755),
		dirEntry("empty folder", 0o700),
		fileEntry("empty file", 0o644, nil),
		fileEntry("exactly a block", 0o644, text(1, block)),
		fileEntry("a block and a byte", 0o644, text(2, block+1)),
		fileEntry("a byte less", 0o644, text(3, block-1)),
		fileEntry("noise", 0o755, noise(4, 3*block+17)),
		fileEntry("small noise", 0o600, noise(5, 4000)),
		fileEntry("zeros", 0o644, make([]byte, 5_000_000)),
		fileEntry("few zeros", 0o644, make([]byte, 100)),
		fileEntry("a hole inside", 0o640, slices.Concat(text(6, 3*block), make([]byte, 4*block), text(7, block), make([]byte, 2*block+5))),
		fileEntry("a hole first", 0o444, slices.Concat(make([]byte, 2<<20), text(8, 100))),
		fileEntry("dup/one", 0o644, text(9, 300_000)),
		fileEntry("dup/two", 0o755, text(9, 300_000)),
		fileEntry("dup/small one", 0o644, text(10, 300)),
		fileEntry("dup/small two", 0o600, text(10, 300)),
		fileEntry("dup/same size", 0o600, text(11, 300)),
		fileEntry(strings.Repeat("n", 255), 0o644, []byte("long name")),
		fileEntry("ünïcödé/☃ with space", 0o644, []byte("snow")),
		fileEntry("ünïcödé/\xff\xfe not utf-8", 0o644, []byte("bytes")),
		fileEntry("new\nline", 0o644, []byte("x")),
		linkEntry("dangling", "/no/such/place"),
		linkEntry("up", "../../.."),
		linkEntry("long link", strings.Repeat("t/", 2000)),
		linkEntry("dup/link", "one"),
		fileEntry("a/b/c/d/e/f/g/h/i/j/deep", 0o111, []byte("#!/bin/sh\n")),
	}
	for i := range many {
		name := fmt.Sprintf("many/entry %05d", i)
		switch i % 50 {
		case 0:
			list = append(list, linkEntry(name, fmt.Sprint("entry ", i+1)))
		case 1:
			list = append(list, dirEntry(name, 0o755))
		default:
			list = append(list, fileEntry(name, 0o644, fmt.Appendf(nil, "content %d", i/3)))
		}
	}
	return list
}

// tree is what a reader sees: a description for each path.
type tree map[string]string

func describe(mode fs.FileMode, target string, content io.Reader) (string, error) {
	s := fmt.Sprintf("%v", mode.Type()|mode.Perm())
	switch {
	case mode&fs.ModeSymlink != 0:
		return "-> " + target, nil
	case mode.IsRegular():
		h := sha256.New()
		n, err := io.Copy(h, content)
		return fmt.Sprintf("%s %d %x", s, n, h.Sum(nil)), err
	}
	return s, nil
}

func treeOfEntries(t testing.TB, entries []Entry) tree {
	t.Helper()
	got := tree{".": fmt.Sprintf("%v", fs.ModeDir|0o755)}
	for _, e := range entries {
		for p := filepath.Dir(e.Path); p != "."; p = filepath.Dir(p) {
			if got[p] == "" {
				got[p] = fmt.Sprintf("%v", fs.ModeDir|0o755)
			}
		}
		r := io.NopCloser(strings.NewReader(""))
		if e.Open != nil {
			var err error
			if r, err = e.Open(); err != nil {
				t.Fatal(err)
			}
		}
		s, err := describe(e.Mode, e.Target, r)
		if err = errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		got[e.Path] = s
	}
	return got
}

func treeOfDir(t testing.TB, root string) tree {
	t.Helper()
	entries, err := ScanDir(root)
	if err != nil {
		t.Fatal(err)
	}
	return treeOfEntries(t, entries)
}

func treeOfImage(r *Reader) (tree, error) {
	got := tree{}
	err := r.Walk(func(p string, n *Inode) error {
		s, err := describe(n.Mode, n.Target, &inodeReader{r: r, n: n})
		got[p] = s
		return err
	})
	return got, err
}

type inodeReader struct {
	r   *Reader
	n   *Inode
	off int64
}

func (i *inodeReader) Read(p []byte) (int, error) {
	k, err := i.r.ReadAt(i.n, p, i.off)
	i.off += int64(k)
	if k > 0 {
		return k, nil
	}
	return 0, err
}

func compare(t *testing.T, who string, got, want tree) {
	t.Helper()
	bad := 0
	for _, p := range slices.Sorted(maps.Keys(want)) {
		if got[p] != want[p] && bad < 10 {
			t.Errorf("%s: %q is %.80q, expected %.80q", who, p, got[p], want[p])
			bad++
		}
	}
	for p := range got {
		if want[p] == "" && bad < 10 {
			t.Errorf("%s: %q should not be there", who, p)
			bad++
		}
	}
}

func need(t testing.TB, tool, debian string) string {
	t.Helper()
	p, err := exec.LookPath(tool)
	if err != nil {
		unavailable(t, "%s is not installed: apt-get install %s", tool, debian)
	}
	return p
}

// unavailable says why a proof cannot be given here: a skip, in CI a failure.
func unavailable(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

var profiles = map[string]Options{
	"zstd 128K best": {BlockSize: 128 << 10},
	"zstd 1M best":   {BlockSize: 1 << 20},
	"zstd 256K fast": {BlockSize: 256 << 10, Level: zstd.SpeedDefault},
	"zstd 4K":        {BlockSize: 4 << 10, Level: zstd.SpeedFastest},
	"gzip 128K":      {BlockSize: 128 << 10, Compression: Gzip},
}

// TestReadersAgree has four readers open the same images.
func TestReadersAgree(t *testing.T) {
	many := edgeTree(22_000)
	for name, o := range profiles {
		t.Run(name, func(t *testing.T) {
			entries := many
			if name != "zstd 128K best" && os.Getenv("SLIPWAY_LONG") != "1" {
				entries = edgeTree(500)
			}
			readersAgree(t, write(t, entries, o), treeOfEntries(t, entries))
		})
	}
}

// TestReadersAgreeOnPayload does the same with the folder in SLIPWAY_PAYLOAD (.ci/payload makes one).
func TestReadersAgreeOnPayload(t *testing.T) {
	dir := os.Getenv("SLIPWAY_PAYLOAD")
	if dir == "" {
		t.Skip("SLIPWAY_PAYLOAD names no folder")
	}
	entries, err := ScanDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range profiles {
		t.Run(name, func(t *testing.T) { readersAgree(t, write(t, entries, o), treeOfEntries(t, entries)) })
	}
}

func readersAgree(t *testing.T, b []byte, want tree) {
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, b, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Run("ours", func(t *testing.T) {
		r, err := NewReader(bytes.NewReader(b), 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := treeOfImage(r)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, "our reader", got, want)
	})
	t.Run("unsquashfs", func(t *testing.T) {
		t.Parallel()
		tool := need(t, "unsquashfs", "squashfs-tools")
		if os.Getuid() != 0 {
			unavailable(t, "unsquashfs keeps all modes for root only")
		}
		dir := filepath.Join(t.TempDir(), "out")
		run(t, tool, "-no-progress", "-dest", dir, image)
		compare(t, "unsquashfs", treeOfDir(t, dir), want)
		if out := run(t, tool, "-stat", image); !strings.Contains(out, "valid SQUASHFS 4:0 superblock") {
			t.Error(out)
		}
	})
	t.Run("squashfuse", func(t *testing.T) {
		t.Parallel()
		tool := need(t, "squashfuse", "squashfuse")
		if _, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil {
			unavailable(t, "cannot use /dev/fuse: %v", err)
		}
		dir := t.TempDir()
		run(t, tool, image, dir)
		defer run(t, "umount", dir)
		compare(t, "squashfuse", treeOfDir(t, dir), want)
	})
	t.Run("kernel", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		if out, err := exec.Command("mount", "-t", "squashfs", "-o", "loop,ro", image, dir).CombinedOutput(); err != nil {
			t.Skipf("no loop mount here: %s", out) // containers and ordinary users may not; the other three stand in
		}
		defer run(t, "umount", dir)
		compare(t, "the kernel", treeOfDir(t, dir), want)
	})
}

// TestFolderIndex looks names up in a large folder through the kernel, which trusts the folder's index.
func TestFolderIndex(t *testing.T) {
	var entries []Entry
	for i := range 22_000 {
		entries = append(entries, fileEntry(fmt.Sprintf("d/%x", sha256.Sum256([]byte{byte(i), byte(i >> 8)}))[:60], 0o644, []byte{byte(i)}))
	}
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := os.WriteFile(image, write(t, entries, Options{}), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "squashfs", "-o", "loop,ro", image, dir).CombinedOutput(); err != nil {
		t.Skipf("no loop mount here: %s", out)
	}
	defer run(t, "umount", dir)
	start := time.Now()
	for i := 0; i < len(entries); i += 37 {
		if _, err := os.Lstat(filepath.Join(dir, entries[i].Path)); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(filepath.Join(dir, entries[i].Path+"-")); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	t.Logf("%d lookups in %v", 2*len(entries)/37, time.Since(start))
}

func TestSameBytes(t *testing.T) {
	entries := edgeTree(300)
	for name, o := range profiles {
		t.Run(name, func(t *testing.T) {
			var first []byte
			for _, workers := range []int{1, 2, 4, 1} {
				o.Workers = workers
				shuffled := slices.Clone(entries)
				rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
				b := write(t, shuffled, o)
				if first == nil {
					first = b
				}
				if !bytes.Equal(b, first) {
					t.Fatalf("%d workers and another order give other bytes", workers)
				}
			}
		})
	}
}

// TestSameBytesFromFolders: folders made in another order, with other times and another umask's leftovers.
func TestSameBytesFromFolders(t *testing.T) {
	entries := edgeTree(50)
	var images [][]byte
	for i := range 2 {
		dir := filepath.Join(t.TempDir(), strings.Repeat("x", i+1))
		list := slices.Clone(entries)
		if i == 1 {
			slices.Reverse(list)
		}
		makeDir(t, dir, list, time.Unix(int64(1000*i+5), 0))
		got, err := ScanDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, write(t, got, Options{}))
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("the same tree in two folders gives two images")
	}
	if !bytes.Equal(images[0], write(t, entries, Options{})) {
		t.Error("a folder and the entries it was made of give two images")
	}
}

func makeDir(t testing.TB, root string, entries []Entry, mtime time.Time) {
	t.Helper()
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.MkdirAll(root, 0o755))
	for _, e := range entries {
		p := filepath.Join(root, e.Path)
		check(os.MkdirAll(filepath.Dir(p), 0o755))
		switch {
		case e.Mode.IsDir():
			check(os.MkdirAll(p, 0o755))
			check(os.Chmod(p, e.Mode.Perm()))
			continue
		case e.Mode&fs.ModeSymlink != 0:
			check(os.Symlink(e.Target, p))
			continue
		}
		var b []byte
		if e.Open != nil {
			r, err := e.Open()
			check(err)
			b, err = io.ReadAll(r)
			check(err)
		}
		check(os.WriteFile(p, b, 0o600))
		check(os.Chmod(p, e.Mode.Perm()))
		check(os.Chtimes(p, mtime, mtime))
	}
}

// TestGolden pins the bytes. They change with the compression module alone: then look at the diff of sizes, and say so
// in the change log.
func TestGolden(t *testing.T) {
	for name, want := range map[string]string{
		"zstd 128K best": "887b7c46eff5c3f401de74b0fdac2d765d3ffbc49e911ffeb04a6fdd2a7b79ca",
		"gzip 128K":      "7ad57a141c024c25f170e67a28378da19f7133b9fac151c9135e22d74be80248",
	} {
		sum := sha256.Sum256(write(t, edgeTree(20), profiles[name]))
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%s: SHA-256 is %s, was %s", name, got, want)
		}
	}
}

func TestAtAnOffset(t *testing.T) {
	m := memFile{b: []byte("head")}
	if _, err := Write(context.Background(), &m, 4, edgeTree(10), Options{Time: fixedTime}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.b[4:], write(t, edgeTree(10), Options{})) || string(m.b[:4]) != "head" {
		t.Error("the offset changes the image")
	}
	r, err := NewReader(bytes.NewReader(m.b), 4)
	if err != nil {
		t.Fatal(err)
	}
	got, err := treeOfImage(r)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "our reader", got, treeOfEntries(t, edgeTree(10)))
}

func TestRefuses(t *testing.T) {
	ok := fileEntry("a", 0o644, []byte("x"))
	short := ok
	short.Size = 5
	tall := ok
	tall.Size = 0
	tall = fileEntry("b", 0o644, text(1, 200_000))
	tall.Size = 150_000
	for name, c := range map[string]struct {
		entries []Entry
		o       Options
		says    string
	}{
		"fifo":         {[]Entry{{Path: "p", Mode: fs.ModeNamedPipe | 0o644}}, Options{}, "cannot store"},
		"device":       {[]Entry{{Path: "p", Mode: fs.ModeDevice | fs.ModeCharDevice}}, Options{}, "cannot store"},
		"long name":    {[]Entry{fileEntry(strings.Repeat("n", 256), 0o644, nil)}, Options{}, "longer than 255"},
		"dot dot":      {[]Entry{fileEntry("a/../b", 0o644, nil)}, Options{}, "not a clean relative path"},
		"absolute":     {[]Entry{fileEntry("/a", 0o644, nil)}, Options{}, "not a clean relative path"},
		"empty path":   {[]Entry{fileEntry("", 0o644, nil)}, Options{}, "not a clean relative path"},
		"zero byte":    {[]Entry{fileEntry("a\x00b", 0o644, nil)}, Options{}, "not a clean relative path"},
		"root a file":  {[]Entry{fileEntry(".", 0o644, nil)}, Options{}, "not a clean relative path"},
		"twice":        {[]Entry{ok, ok}, Options{}, "listed twice"},
		"folder twice": {[]Entry{dirEntry("d", 0o755), dirEntry("d", 0o755)}, Options{}, "listed twice"},
		"file, folder": {[]Entry{ok, fileEntry("a/b", 0o644, nil)}, Options{}, "listed twice"},
		"empty link":   {[]Entry{linkEntry("l", "")}, Options{}, "without a target"},
		"long link":    {[]Entry{linkEntry("l", strings.Repeat("x", 65536))}, Options{}, "cannot be stored"},
		"short file":   {[]Entry{short}, Options{}, "not 5 bytes long any more"},
		"grown file":   {[]Entry{tall}, Options{}, "not 150000 bytes long any more"},
		"no content":   {[]Entry{{Path: "a", Size: 1}}, Options{}, "no content"},
		"block size":   {[]Entry{ok}, Options{BlockSize: 100_000}, "power of two"},
		"time":         {[]Entry{ok}, Options{Time: time.Unix(1<<33, 0)}, "does not fit"},
		"compression":  {[]Entry{ok}, Options{Compression: 4}, "cannot write with compression 4"},
	} {
		_, err := Write(context.Background(), &memFile{}, 0, c.entries, c.o)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, expected %q", name, err, c.says)
		}
	}
	dir := t.TempDir()
	through := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "file"), nil, 0o644), os.Symlink(dir, through)); err != nil {
		t.Fatal(err)
	}
	if list, err := ScanDir(through); err != nil || len(list) != 2 {
		t.Errorf("a folder given as a link: %v %v", list, err)
	}
	if _, err := ScanDir(filepath.Join(dir, "file")); err == nil {
		t.Error("a file is no folder")
	}
	if out, err := exec.Command("mkfifo", filepath.Join(dir, "pipe")).CombinedOutput(); err != nil {
		unavailable(t, "mkfifo: %s", out)
	}
	if _, err := ScanDir(dir); err == nil || !strings.Contains(err.Error(), "pipe: cannot store") {
		t.Error(err)
	}
}

type failingWriter struct{ left int }

func (f *failingWriter) WriteAt(p []byte, _ int64) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

// TestWriteFails: an error of the file, and a cancelled context, end the work and leave no goroutine behind.
func TestWriteFails(t *testing.T) {
	before := runtime.NumGoroutine()
	for n := range 12 {
		if _, err := Write(context.Background(), &failingWriter{n}, 0, edgeTree(5), Options{Workers: 3}); err == nil || err.Error() != "disk full" {
			t.Errorf("after %d writes: %v", n, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Write(ctx, &memFile{}, 0, edgeTree(5), Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

func TestDuplicatesStoredOnce(t *testing.T) {
	big := noise(1, 2_000_000)
	var m memFile
	st, err := Write(context.Background(), &m, 0, []Entry{
		fileEntry("a", 0o644, big), fileEntry("b", 0o755, big), fileEntry("c", 0o600, big), fileEntry("d", 0o600, noise(2, 2_000_000)),
	}, Options{})
	if err != nil || st.Duplicates != 2 || st.Size > 4_050_000 {
		t.Errorf("%+v %v", st, err)
	}
}

// TestLargeFile: positions and sizes above 4 GiB, most of it a hole.
func TestLargeFile(t *testing.T) {
	if os.Getenv("SLIPWAY_LONG") != "1" {
		t.Skip("takes long: SLIPWAY_LONG=1 runs it")
	}
	dir := t.TempDir()
	image := filepath.Join(dir, "image")
	size := int64(4<<30 + 12345)
	sparse := func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(io.LimitReader(zeroReader{}, size-5), strings.NewReader("tail!"))), nil
	}
	random := func() (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(&noiseReader{rand.NewChaCha8([32]byte{1})}, size)), nil
	}
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	entries := []Entry{{Path: "a sparse", Size: size, Open: sparse}, {Path: "b random", Size: size + 1 - 1, Open: random}, fileEntry("c behind", 0o644, text(1, 200_000))}
	if _, err := Write(context.Background(), f, 0, entries, Options{Level: zstd.SpeedFastest, BlockSize: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	f.Close()
	want := treeOfEntries(t, entries)
	f, err = os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := NewReader(f, 0)
	if err != nil {
		t.Fatal(err)
	}
	got, err := treeOfImage(r)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "our reader", got, want)
	mnt := t.TempDir()
	run(t, need(t, "squashfuse", "squashfuse"), image, mnt)
	defer run(t, "umount", mnt)
	compare(t, "squashfuse", treeOfDir(t, mnt), want)
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

type noiseReader struct{ *rand.ChaCha8 }
