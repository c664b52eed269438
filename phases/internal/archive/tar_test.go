//go:build unix

package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing", tool)
		}
		t.Skipf("%s is missing", tool)
	}
}

var stamp = time.Date(2026, 11, 21, 20, 30, 40, 999, time.FixedZone("", 3600))

// payload makes a tree of some megabytes, hostile names among it.
func payload(t testing.TB) (string, []Entry) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "dir"), 0o700))
	rng := rand.NewChaCha8([32]byte{1})
	for i, name := range append(hostile, "dir/big", strings.Repeat("long", 60)) {
		b := make([]byte, 100*i)
		if name == "dir/big" {
			b = make([]byte, 5<<20)
		}
		_, _ = rng.Read(b) // never fails
		must(t, os.WriteFile(filepath.Join(dir, name), append(b, bytes.Repeat([]byte(name), 300)...), 0o755))
	}
	must(t, os.Symlink("../dir/big", filepath.Join(dir, "dir", "ünïlink")))
	must(t, os.WriteFile(filepath.Join(dir, "empty"), nil, 0o644))
	entries, err := Tree(dir)
	must(t, err)
	must(t, Hash(t.Context(), dir, entries))
	return dir, entries
}

func pack(t testing.TB, dir string, entries []Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, WriteTarGz(t.Context(), &b, dir, "top-1.0", entries, stamp))
	return b.Bytes()
}

// packed is what an archive of the entries should hold.
func packed(entries []Entry) []Entry {
	when := stamp.UTC().Truncate(time.Second)
	out := []Entry{{Path: "top-1.0", Mode: fs.ModeDir | 0o755, ModTime: when}}
	for _, e := range entries {
		e.Path, e.ModTime = "top-1.0/"+e.Path, when
		out = append(out, e)
	}
	return out
}

var wide = Limits{Entries: 1000, Bytes: 1 << 30}

// TestTarGz_Same packs with one, two and many processors: the bytes are the same, and hold what they should.
func TestTarGz_Same(t *testing.T) {
	dir, entries := payload(t)
	first := pack(t, dir, entries)
	for _, n := range []int{1, 2, 7} {
		old := runtime.GOMAXPROCS(n)
		again := pack(t, dir, entries)
		runtime.GOMAXPROCS(old)
		if !bytes.Equal(first, again) {
			t.Errorf("other bytes with %d processors", n)
		}
	}
	if !bytes.Equal(first[4:8], make([]byte, 4)) {
		t.Errorf("the gzip header has the time %x", first[4:8])
	}
	got, err := ReadTarGz(t.Context(), bytes.NewReader(first), wide, nil)
	must(t, err)
	for _, d := range Diff(packed(entries), got) {
		t.Error(d)
	}
}

// TestTarGz_Golden pins the bytes of a small archive: another version of a library must not change them unseen.
func TestTarGz_Golden(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "bin"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "bin", "demo"), bytes.Repeat([]byte("demo\n"), 1000), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "README"), []byte("read me\n"), 0o600))
	must(t, os.Symlink("bin/demo", filepath.Join(dir, "run")))
	entries, err := Tree(dir)
	must(t, err)
	b := pack(t, dir, entries)
	zr, err := gzip.NewReader(bytes.NewReader(b))
	must(t, err)
	raw, err := io.ReadAll(zr)
	must(t, err)
	// The compressed bytes may differ by processor architecture, the archive in them may not.
	if got := sha256.Sum256(raw); hex.EncodeToString(got[:]) != "cc2c53c33ae4037f910d92bfb46c204f6e2de67b5dbecd3ea714271232f7994b" {
		t.Errorf("the tar archive has changed: SHA-256 %x", got)
	}
	if got, want := Listing(entries), "file   0644         8 README\nfolder 0755         0 bin\nfile   0755      5000 bin/demo\nlink   0777         0 run -> bin/demo\n"; got != want {
		t.Errorf("got\n%s", got)
	}
}

// TestTarGz_Tools unpacks with GNU tar and with bsdtar: the same tree comes out.
func TestTarGz_Tools(t *testing.T) {
	t.Parallel()
	need(t, "tar", "bsdtar")
	dir, entries := payload(t)
	file := filepath.Join(t.TempDir(), "x.tar.gz")
	must(t, os.WriteFile(file, pack(t, dir, entries), 0o644))
	for _, tool := range []string{"tar", "bsdtar"} {
		to := t.TempDir()
		cmd := exec.Command(tool, "-xf", file, "-C", to, "--strip-components=1")
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", tool, err, out)
		}
		got, err := Tree(to)
		must(t, err)
		must(t, Hash(t.Context(), to, got))
		for _, d := range Diff(entries, got) {
			t.Errorf("%s: %s", tool, d)
		}
	}
}

// TestWriteTarGz_Changed: a file that grows or shrinks after it was listed is an error, the last one too.
func TestWriteTarGz_Changed(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 10, 5000, 300000} {
		for _, name := range []string{"a", "z"} {
			dir := t.TempDir()
			for _, n := range []string{"a", "z"} {
				must(t, os.WriteFile(filepath.Join(dir, n), make([]byte, 4000), 0o644))
			}
			entries, err := Tree(dir)
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o644))
			if err := WriteTarGz(t.Context(), io.Discard, dir, "t", entries, stamp); err == nil || !strings.Contains(err.Error(), `"t/`+name+`" changed`) {
				t.Errorf("%s with %d bytes: got %v", name, size, err)
			}
		}
	}
}

// limitWriter is a disk that is full after n bytes.
type limitWriter struct{ n int }

var errFull = errors.New("no space left")

func (w *limitWriter) Write(p []byte) (int, error) {
	if len(p) > w.n {
		n := w.n
		w.n = 0
		return n, errFull
	}
	w.n -= len(p)
	return len(p), nil
}

// TestWriteTarGz_Full: a disk that is full anywhere, at the very last byte too, is an error.
func TestWriteTarGz_Full(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "a"), []byte("abc"), 0o644))
	entries, err := Tree(dir)
	must(t, err)
	whole := len(pack(t, dir, entries))
	for n := range whole {
		if err := WriteTarGz(t.Context(), &limitWriter{n}, dir, "top-1.0", entries, stamp); !errors.Is(err, errFull) {
			t.Fatalf("full after %d of %d bytes: got %v", n, whole, err)
		}
	}
	if err := WriteTarGz(t.Context(), &limitWriter{whole}, dir, "top-1.0", entries, stamp); err != nil {
		t.Error(err)
	}
}

func TestWriteTarGz_Interrupted(t *testing.T) {
	t.Parallel()
	dir, entries := payload(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := WriteTarGz(ctx, io.Discard, dir, "t", entries, stamp); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// tarGz makes an archive of arbitrary headers. Size and body are those of the header's Size.
func tarGz(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, err := zw.Write(rawTar(t, headers...))
	must(t, errors.Join(err, zw.Close()))
	return b.Bytes()
}

func rawTar(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, h := range headers {
		must(t, tw.WriteHeader(&h))
		if h.Typeflag == tar.TypeReg {
			_, err := tw.Write(make([]byte, h.Size))
			must(t, err)
		}
	}
	must(t, tw.Close())
	return b.Bytes()
}

func file(name string) tar.Header {
	return tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg, Size: 3}
}

func dirHeader(name string) tar.Header {
	return tar.Header{Name: name, Mode: 0o755, Typeflag: tar.TypeDir}
}

func link(name, to string) tar.Header {
	return tar.Header{Name: name, Linkname: to, Mode: 0o777, Typeflag: tar.TypeSymlink}
}

// TestReadTarGz_Hostile: none of these is taken for a package, each for its own reason.
func TestReadTarGz_Hostile(t *testing.T) {
	t.Parallel()
	gz := func(raw []byte) []byte {
		var b bytes.Buffer
		zw := gzip.NewWriter(&b)
		_, err := zw.Write(raw)
		must(t, errors.Join(err, zw.Close()))
		return b.Bytes()
	}
	good := tarGz(t, dirHeader("t/"), file("t/a"))
	wrongSum := bytes.Clone(good)
	wrongSum[len(wrongSum)-6] ^= 1
	many := make([]tar.Header, 60)
	for i := range many {
		many[i] = dirHeader(strings.Repeat("d", i+1))
	}
	// An extended header that stands for the whole archive is no entry, so it is not counted as one.
	global := rawTar(t, tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": strings.Repeat("x", 1000)}})
	global = global[:len(global)-1024]
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"dotdot", tarGz(t, file("../a")), "not a clean relative path"},
		{"dotdot inside", tarGz(t, file("t/../../a")), "not a clean relative path"},
		{"absolute", tarGz(t, file("/etc/passwd")), "not a clean relative path"},
		{"dot slash", tarGz(t, file("./a")), "not a clean relative path"},
		{"root", tarGz(t, dirHeader("./")), "not a clean relative path"},
		{"line break", tarGz(t, file("a\nb")), "line break"},
		{"not UTF-8", tarGz(t, tar.Header{Name: "a\xff", Typeflag: tar.TypeReg, Format: tar.FormatGNU}), "UTF-8"},
		{"link out", tarGz(t, link("t/a", "../../x")), "outside"},
		{"link to root", tarGz(t, link("a", "/etc")), "relative to the link's folder"},
		{"link out by a link", tarGz(t, dirHeader("d/"), link("d/y", "."), link("d/x", "../d/y/../../z"), file("z")), "outside"},
		{"dangling", tarGz(t, link("a", "b")), "not there"},
		{"below a link", tarGz(t, dirHeader("d/"), link("l", "d"), file("l/a")), `"l/a" lies below "l"`},
		{"below a file", tarGz(t, file("l"), file("l/a")), `"l/a" lies below "l"`},
		{"below a later link", tarGz(t, dirHeader("d/"), file("l/a"), link("l", "d")), `"l/a" lies below "l"`},
		{"twice", tarGz(t, file("a"), file("a")), "there twice"},
		{"file and folder", tarGz(t, file("a"), dirHeader("a/")), "there twice"},
		{"hard link", tarGz(t, file("a"), tar.Header{Name: "b", Linkname: "a", Typeflag: tar.TypeLink}), "neither file"},
		{"device", tarGz(t, tar.Header{Name: "a", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}), "neither file"},
		{"fifo", tarGz(t, tar.Header{Name: "a", Typeflag: tar.TypeFifo}), "neither file"},
		{"capability", tarGz(t, tar.Header{Name: "a", Typeflag: tar.TypeReg, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": "x"}}), "extended attribute"},
		{"too many", tarGz(t, many...), "more than 50 entries"},
		{"too large", tarGz(t, tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 2 << 20}), "more than 1048576 bytes"},
		{"large together", tarGz(t, tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 1 << 19}, tar.Header{Name: "b", Typeflag: tar.TypeReg, Size: 1<<19 + 1}), "more than 1048576 bytes"},
		{"bomb after the end", gz(append(rawTar(t, file("a")), make([]byte, 4<<20)...)), "unpacks to more than"},
		{"bomb of headers", gz(bytes.Repeat(global, 4000)), "unpacks to more than"},
		{"after the archive", gz(append(rawTar(t, file("a")), rawTar(t, file("b"))...)), "follows the end"},
		{"after the stream", append(bytes.Clone(good), "trailing"...), "damaged"},
		{"second stream", append(bytes.Clone(good), gz([]byte("more"))...), "follows the end"},
		{"wrong checksum", wrongSum, "damaged"},
		{"not gzip", []byte("PK\x03\x04"), "damaged"},
		{"not tar", gz([]byte(strings.Repeat("text\n", 300))), "damaged"},
		{"empty", nil, "damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := ReadTarGz(t.Context(), bytes.NewReader(c.data), Limits{Entries: 50, Bytes: 1 << 20}, nil)
			var is *BadError
			if !errors.As(err, &is) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	// Special bits and foreign owners are read, and show as differences.
	got, err := ReadTarGz(t.Context(), bytes.NewReader(tarGz(t, tar.Header{Name: "a", Mode: 0o4755, Uid: 1000, Typeflag: tar.TypeReg, ModTime: stamp})), wide, nil)
	must(t, err)
	want := Entry{Path: "a", Mode: 0o755, ModTime: stamp.UTC().Truncate(time.Second), SHA256: got[0].SHA256}
	if d := Diff([]Entry{want}, got); len(d) != 1 || d[0] != `"a": mode 4755, want 0755; owner 1000/0, want 0/0` {
		t.Errorf("got %q", d)
	}
}

// TestReadTarGz_Cut cuts an archive at every length and flips every bit of it in turn: never is anything else read than
// what was written, and never is damage anything else than a BadError.
func TestReadTarGz_Cut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "a"), []byte(strings.Repeat("some text ", 20)), 0o644))
	entries, err := Tree(dir)
	must(t, err)
	must(t, Hash(t.Context(), dir, entries))
	b, want := pack(t, dir, entries), packed(entries)
	look := func(data []byte, what string, at int) {
		got, err := ReadTarGz(t.Context(), bytes.NewReader(data), wide, nil)
		var is *BadError
		if err != nil && !errors.As(err, &is) {
			t.Fatalf("%s at %d: %v", what, at, err)
		}
		if err == nil && len(Diff(want, got)) > 0 {
			t.Fatalf("%s at %d: accepted with %v", what, at, Diff(want, got))
		}
		if err == nil && what == "cut" {
			t.Fatalf("cut at %d: accepted", at)
		}
	}
	for n := range b {
		look(b[:n], "cut", n)
		damaged := bytes.Clone(b)
		damaged[n] ^= 1 << (n % 8)
		look(damaged, "bit", n)
	}
}

type failing struct {
	r   io.Reader
	err error
}

func (f failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if errors.Is(err, io.EOF) {
		err = f.err
	}
	return n, err
}

// TestRead_Disk: a disk that fails says nothing about the archive, and so does an interrupt.
func TestRead_Disk(t *testing.T) {
	t.Parallel()
	dir, entries := payload(t)
	b := pack(t, dir, entries)
	broken := errors.New("input/output error")
	for _, n := range []int{0, 5, 100, len(b) / 2, len(b) - 1} {
		_, err := ReadTarGz(t.Context(), failing{bytes.NewReader(b[:n]), broken}, wide, nil)
		if !errors.Is(err, broken) || errors.As(err, new(*BadError)) {
			t.Errorf("after %d bytes: got %v", n, err)
		}
		if _, err = ReadDeb(t.Context(), failing{strings.NewReader("!<arch>\ndebian-bin"), broken}, wide, nil); !errors.Is(err, broken) || errors.As(err, new(*BadError)) {
			t.Errorf("deb: got %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ReadTarGz(ctx, bytes.NewReader(b), wide, nil); !errors.Is(err, context.Canceled) || errors.As(err, new(*BadError)) {
		t.Errorf("got %v", err)
	}
}

func FuzzReadTarGz(f *testing.F) {
	f.Add(tarGz(f, dirHeader("t/"), file("t/a"), link("t/b", "a")))
	f.Add(tarGz(f, file("../a")))
	f.Add(tarGz(f, tar.Header{Name: strings.Repeat("ü", 100), Typeflag: tar.TypeReg, Size: 1}))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, b []byte) { readSafely(t, b, true) })
}

// FuzzReadTar fuzzes what is inside the compression.
func FuzzReadTar(f *testing.F) {
	f.Add(rawTar(f, dirHeader("t/"), file("t/a"), link("t/b", "a")))
	f.Add(rawTar(f, tar.Header{Name: "s", Typeflag: tar.TypeReg, Size: 1, PAXRecords: map[string]string{"comment": "x"}}))
	f.Fuzz(func(t *testing.T, raw []byte) { readSafely(t, raw, false) })
}

func readSafely(t *testing.T, b []byte, compressed bool) {
	lim := Limits{Entries: 20, Bytes: 1 << 16}
	var entries []Entry
	var err error
	if compressed {
		entries, err = ReadTarGz(t.Context(), bytes.NewReader(b), lim, nil)
	} else {
		src := &source{r: bytes.NewReader(b)}
		entries, _, err = readCompressed(t.Context(), src, nil, lim, tarOptions{})
		err = src.judge(t.Context(), err)
	}
	if err != nil {
		if !errors.As(err, new(*BadError)) {
			t.Errorf("%v is not a BadError", err)
		}
		return
	}
	total := int64(0)
	for i, e := range entries {
		total += e.Size
		if CheckName(e.Path) != nil || i > 0 && entries[i-1].Path >= e.Path || e.Mode.IsRegular() != (e.SHA256 != "") {
			t.Errorf("accepted %+v", e)
		}
	}
	if len(entries) > lim.Entries || total > lim.Bytes || CheckLinks(entries) != nil {
		t.Errorf("accepted\n%s", Listing(entries))
	}
}
