package frame

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func all(r *Reader) (lines []string, err error) {
	for {
		l, err := r.Next()
		if err != nil {
			return lines, err
		}
		lines = append(lines, string(l))
	}
}

func TestLines(t *testing.T) {
	text := "\n\r\n one \r\ntwo\n\n" + strings.Repeat("x", 5000) + "\nä€😀\nno end"
	want := []string{"one", "two", strings.Repeat("x", 5000), "ä€😀"}
	for name, r := range map[string]io.Reader{"whole": strings.NewReader(text), "bytes": iotest.OneByteReader(strings.NewReader(text)), "data with the end": iotest.DataErrReader(strings.NewReader(text))} {
		f := NewReader(r, 5000)
		lines, err := all(f)
		if !errors.Is(err, io.EOF) || strings.Join(lines, "|") != strings.Join(want, "|") {
			t.Errorf("%s: %d lines, %v", name, len(lines), err)
		}
		if string(f.Rest()) != "no end" {
			t.Errorf("%s: rest %q", name, f.Rest())
		}
	}
}

type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.n += len(p)
	return len(p), nil
}

func TestLimit(t *testing.T) {
	e := &endless{}
	f := NewReader(e, 1<<20)
	if _, err := f.Next(); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
	if e.n > 4<<20 {
		t.Errorf("%d bytes were read", e.n)
	}
	if _, err := f.Next(); !errors.Is(err, ErrTooLong) {
		t.Error("it goes on after it")
	}
	if lines, err := all(NewReader(strings.NewReader("12345\n123456\n"), 5)); len(lines) != 1 || !errors.Is(err, ErrTooLong) {
		t.Errorf("%q %v", lines, err)
	}
}

func TestBufferIsGivenBack(t *testing.T) {
	f := NewReader(strings.NewReader(strings.Repeat("x", 1<<20)+"\nshort\n"), 8<<20)
	_, _ = f.Next()
	_, _ = f.Next()
	_, _ = f.Next()
	if len(f.buf) > large {
		t.Errorf("%d bytes are held", len(f.buf))
	}
}

// Whatever the bytes and however they come, the lines are those of a simple split.
func FuzzReader(f *testing.F) {
	f.Add([]byte("a\nb\r\n\n c \nrest"), uint8(3), uint8(1))
	f.Add([]byte("toolong\nx\n"), uint8(4), uint8(7))
	f.Fuzz(func(t *testing.T, data []byte, max, piece uint8) {
		limit := int(max) + 1
		var want []string
		tooLong := false
		parts := bytes.Split(data, []byte("\n"))
		for i, p := range parts {
			if len(p) > limit {
				tooLong = true
				break
			}
			if s := string(bytes.TrimSpace(p)); s != "" && i < len(parts)-1 {
				want = append(want, s)
			}
		}
		got, err := all(NewReader(&pieces{data, int(piece)%7 + 1}, limit))
		if strings.Join(got, "\n") != strings.Join(want, "\n") || errors.Is(err, ErrTooLong) != tooLong {
			t.Errorf("%q %v, want %q %v", got, err, want, tooLong)
		}
	})
}

type pieces struct {
	data []byte
	n    int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.n)], p.data)
	p.data = p.data[n:]
	return n, nil
}
