//go:build linux && !386 && !arm

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
)

func testServer(t testing.TB, image []byte) *server {
	t.Helper()
	r, err := squashfs.NewReader(bytes.NewReader(image), 0)
	if err != nil {
		t.Fatal(err)
	}
	return &server{fs: newFilesystem(r)}
}

// request is what the kernel would send.
func request(op uint32, node uint64, arg ...byte) []byte {
	b := make([]byte, inHeader, inHeader+len(arg))
	le := binary.LittleEndian
	le.PutUint32(b, uint32(inHeader+len(arg)))
	le.PutUint32(b[4:], op)
	le.PutUint64(b[8:], 77)
	le.PutUint64(b[16:], node)
	return append(b, arg...)
}

func numbers(list ...any) []byte {
	var b bytes.Buffer
	for _, v := range list {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

// ask returns the answer's body and its error number.
func (s *server) ask(t testing.TB, req []byte) ([]byte, syscall.Errno) {
	t.Helper()
	out := make([]byte, outHeader+maxRead)
	n := s.answer(req, out)
	if n == 0 {
		return nil, 0
	}
	return out[outHeader:n], syscall.Errno(-int32(binary.LittleEndian.Uint32(out[4:])))
}

// TestAnswers asks what kernels ask rarely, and what none asks; the rest is asked by a real one where AppImages run.
func TestAnswers(t *testing.T) {
	long := strings.Repeat("x", 5000)
	var f memFile
	entries := []squashfs.Entry{
		{Path: "AppRun", Mode: 0o755, Size: 5, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("hello")), nil }},
		{Path: "long", Mode: 0o777 | 1<<27, Target: long},
	}
	for _, name := range []string{"a", "b", "c"} {
		entries = append(entries, squashfs.Entry{Path: "d/" + name + strings.Repeat("n", 200), Mode: 0o755 | 1<<31})
	}
	if _, err := squashfs.Write(t.Context(), &f, 0, entries, squashfs.Options{}); err != nil {
		t.Fatal(err)
	}
	s := testServer(t, f.b)
	s.fs.prefetch()
	lookup := func(dir uint64, name string) uint64 {
		t.Helper()
		b, e := s.ask(t, request(opLookup, dir, append([]byte(name), 0)...))
		if e != 0 || len(b) != 128 {
			t.Fatalf("%s: %v, %d bytes", name, e, len(b))
		}
		return binary.LittleEndian.Uint64(b)
	}
	appRun, d, link := lookup(1, "AppRun"), lookup(1, "d"), lookup(1, "long")
	if lookup(1, "nothing") != 0 {
		t.Error("a node for a name that is not there")
	}
	if b, e := s.ask(t, request(opRead, appRun, numbers(uint64(0), uint64(1), uint32(100))...)); e != 0 || string(b) != "ello" {
		t.Errorf("%q %v", b, e)
	}
	if b, e := s.ask(t, request(opRead, appRun, numbers(uint64(0), uint64(5), uint32(100))...)); e != 0 || len(b) != 0 {
		t.Errorf("behind the end: %q %v", b, e)
	}
	// A listing in pieces of one name.
	var names []string
	for off := uint64(0); ; {
		b, e := s.ask(t, request(opReaddir, d, numbers(uint64(0), off, uint32(300))...))
		if e != 0 || len(b)%8 != 0 {
			t.Fatalf("%d bytes, %v", len(b), e)
		}
		if len(b) == 0 {
			break
		}
		off = binary.LittleEndian.Uint64(b[8:])
		names = append(names, string(b[24:25]))
	}
	if !slices.Equal(names, []string{"a", "b", "c"}) {
		t.Errorf("%q", names)
	}
	for want, req := range map[syscall.Errno][]byte{
		syscall.EIO:          request(opGetattr, 0),
		syscall.ENOTDIR:      request(opLookup, appRun, 'x', 0),
		syscall.ENAMETOOLONG: request(opReadlink, link),
		syscall.ENOSYS:       request(999, 1),
	} {
		if b, e := s.ask(t, req); e != want || len(b) != 0 {
			t.Errorf("%v with %d bytes, expected %v", e, len(b), want)
		}
	}
	for _, req := range [][]byte{
		request(opReadlink, appRun), request(opRead, appRun, 1, 2), request(opRead, d, numbers(uint64(0), uint64(0), uint32(10))...),
		request(opRead, appRun, numbers(uint64(0), uint64(1<<63), uint32(10))...),
	} {
		if b, e := s.ask(t, req); e == 0 || len(b) != 0 {
			t.Errorf("%d bytes, %v", len(b), e)
		}
	}
	for _, op := range []uint32{opForget, opBatchForget, opInterrupt} {
		if n := s.answer(request(op, 1), make([]byte, 100)); n != 0 {
			t.Errorf("operation %d is answered", op)
		}
	}
	for _, no := range []bool{true, false} {
		s.noOpen, s.noOpenD = no, no
		for _, op := range []uint32{opOpen, opOpendir} {
			if b, e := s.ask(t, request(op, 1)); no != (e == syscall.ENOSYS) || !no && len(b) != 16 {
				t.Errorf("operation %d: %v", op, e)
			}
		}
	}
}

// TestInit speaks with kernels of several ages.
func TestInit(t *testing.T) {
	for _, c := range []struct {
		major, minor uint32
		n            int
		again, fails bool
	}{{7, 45, 80, false, false}, {7, 23, 80, false, false}, {7, 22, 40, false, false}, {7, 12, 40, false, false}, {8, 0, 40, true, true}, {7, 11, 0, false, true}, {6, 9, 0, false, true}} {
		s := &server{}
		out := make([]byte, 256)
		n, err := s.init(request(opInit, 0, numbers(c.major, c.minor, uint32(1<<17), uint32(initNoOpen))...), out)
		if n != c.n || (err != nil) != c.fails || errors.Is(err, errAgain) != c.again {
			t.Errorf("%d.%d: %d bytes, %v", c.major, c.minor, n, err)
		}
		if !c.fails && (!s.noOpen || s.noOpenD) {
			t.Errorf("%d.%d: %+v", c.major, c.minor, s)
		}
	}
	for _, req := range [][]byte{request(opInit, 0), request(opLookup, 1, make([]byte, 16)...)} {
		if n, err := (&server{}).init(req, make([]byte, 256)); n != 0 || err == nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
}

// FuzzAnswer asks a server of a damaged image arbitrary things: an answer fits its buffer.
func FuzzAnswer(f *testing.F) {
	good := smallImage(f)
	for op := range uint32(50) {
		f.Add(good, op, uint64(op%5), numbers(uint64(0), uint64(op%3), uint32(4096)))
	}
	f.Add(good, uint32(opLookup), uint64(1), []byte("usr\x00"))
	f.Fuzz(func(t *testing.T, image []byte, op uint32, node uint64, arg []byte) {
		r, err := squashfs.NewReader(bytes.NewReader(image), 0)
		if err != nil {
			return
		}
		s := &server{fs: newFilesystem(r)}
		out := make([]byte, outHeader+maxRead)
		if n := s.answer(request(op, node, arg...), out); n != 0 && (n < outHeader || n > len(out)) {
			t.Errorf("an answer of %d bytes", n)
		}
	})
}
