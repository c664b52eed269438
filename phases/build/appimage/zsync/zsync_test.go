package zsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var fixedTime = time.Unix(1_700_000_000, 0)

func need(t testing.TB, tool string) string {
	t.Helper()
	p, err := exec.LookPath(tool)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed: apt-get install zsync", tool)
		}
		t.Skipf("%s is not installed: apt-get install zsync", tool)
	}
	return p
}

func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func sumsOf(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Write(context.Background(), &out, bytes.NewReader(b), int64(len(b)), Options{Filename: "file", URL: "file", Time: fixedTime}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestLikeZsyncmake compares with the original, byte by byte but for the file's time.
func TestLikeZsyncmake(t *testing.T) {
	tool := need(t, "zsyncmake")
	sizes := []int{1, 44, 2047, 2048, 2049, 4096, 10_000, 100_001, 1 << 20, 3_000_000, 30_000_000}
	if os.Getenv("SLIPWAY_LONG") == "1" {
		sizes = append(sizes, 99_999_999, 100_000_000, 100_000_001, 250_000_000)
	}
	for _, size := range sizes {
		dir := t.TempDir()
		b := noise(1, size)
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		c := exec.Command(tool, "-u", "file", "-o", "out", "-f", "file", "file")
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		want, err := os.ReadFile(filepath.Join(dir, "out"))
		if err != nil {
			t.Fatal(err)
		}
		if got := sumsOf(t, b); !bytes.Equal(withoutTime(t, got), withoutTime(t, want)) {
			t.Errorf("%d bytes: %.200q, zsyncmake %.200q", size, got, want)
		}
	}
}

func withoutTime(t testing.TB, b []byte) []byte {
	t.Helper()
	before, rest, ok := bytes.Cut(b, []byte("MTime: "))
	_, after, ok2 := bytes.Cut(rest, []byte("\n"))
	if !ok || !ok2 {
		t.Fatalf("no time in %.200q", b)
	}
	return append(bytes.Clone(before), after...)
}

func TestRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		size    int64
		o       Options
	}{
		"empty":      {"", 0, Options{Filename: "a", URL: "a"}},
		"short":      {"abc", 4, Options{Filename: "a", URL: "a"}},
		"long":       {"abc", 2, Options{Filename: "a", URL: "a"}},
		"no name":    {"abc", 3, Options{URL: "a"}},
		"no URL":     {"abc", 3, Options{Filename: "a"}},
		"line break": {"abc", 3, Options{Filename: "a\nURL: b", URL: "a"}},
	} {
		if err := Write(context.Background(), io.Discard, strings.NewReader(c.content), c.size, c.o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Write(ctx, io.Discard, strings.NewReader("abc"), 3, Options{Filename: "a", URL: "a"}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// server serves files by ranges and counts the bytes of their content. zsync 0.6.2 asks for ever again when the body
// of a multipart answer does not begin with an empty line, as net/http's does not: so it is written here.
type server struct {
	files map[string][]byte
	sent  atomic.Int64
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, ok := s.files[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	ranges, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	if !ok {
		s.sent.Add(int64(len(b)))
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		_, _ = w.Write(b)
		return
	}
	type part struct{ from, to int }
	var parts []part
	for f := range strings.SplitSeq(ranges, ",") {
		from, to, _ := strings.Cut(strings.TrimSpace(f), "-")
		x, err1 := strconv.Atoi(from)
		y, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || x > y || x >= len(b) {
			http.Error(w, "bad range", http.StatusRequestedRangeNotSatisfiable)
			return
		}
		p := part{x, min(y+1, len(b))}
		s.sent.Add(int64(p.to - p.from))
		parts = append(parts, p)
	}
	contentRange := func(p part) string { return fmt.Sprintf("bytes %d-%d/%d", p.from, p.to-1, len(b)) }
	if len(parts) == 1 {
		w.Header().Set("Content-Range", contentRange(parts[0]))
		w.Header().Set("Content-Length", strconv.Itoa(parts[0].to-parts[0].from))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(b[parts[0].from:parts[0].to])
		return
	}
	var body bytes.Buffer
	body.WriteString("\r\n")
	mw := multipart.NewWriter(&body)
	for _, p := range parts {
		pw, err := mw.CreatePart(textproto.MIMEHeader{"Content-Range": {contentRange(p)}, "Content-Type": {"application/octet-stream"}})
		if err == nil {
			_, err = pw.Write(b[p.from:p.to])
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	_ = mw.Close()
	w.Header().Set("Content-Type", "multipart/byteranges; boundary="+mw.Boundary())
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(http.StatusPartialContent)
	_, _ = w.Write(body.Bytes())
}

// update runs the real zsync from old to new and returns how many bytes it fetched, the .zsync itself left out.
func update(t *testing.T, old, now []byte) int64 {
	t.Helper()
	tool := need(t, "zsync")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old"), old, 0o644); err != nil {
		t.Fatal(err)
	}
	meta := sumsOf(t, now)
	s := &server{files: map[string][]byte{"file": now, "file.zsync": meta}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go web.Serve(l)
	defer web.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second) // zsync may loop for ever
	defer cancel()
	c := exec.CommandContext(ctx, tool, "-i", "old", "-o", "new", "http://"+l.Addr().String()+"/file.zsync")
	c.Dir = dir
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(strings.ToLower(kv), "http_proxy=") {
			c.Env = append(c.Env, kv)
		}
	}
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("zsync: %v\n%s", err, out)
	}
	got, err := os.ReadFile(filepath.Join(dir, "new"))
	if err != nil || !bytes.Equal(got, now) {
		t.Fatalf("zsync makes another file: %v", err)
	}
	return s.sent.Load() - int64(len(meta))
}

// TestUpdate changes, adds and removes pieces of a file of 30 MB.
func TestUpdate(t *testing.T) {
	old := noise(2, 30_000_000)
	now := bytes.Clone(old[:10_000_000])
	now = append(now, noise(3, 200_000)...)
	now = append(now, old[10_000_000:20_000_000]...)
	now = append(now, old[20_500_000:]...)
	fetched := update(t, old, now)
	t.Logf("%d of %d bytes fetched: %.2f %%", fetched, len(now), 100*float64(fetched)/float64(len(now)))
	if fetched > int64(len(now))/20 {
		t.Errorf("%d of %d bytes fetched", fetched, len(now))
	}
}
