// Package frame reads lines of bounded length from a stream.
package frame

import (
	"bytes"
	"errors"
	"io"
)

// ErrTooLong says that a line is longer than allowed. Nothing of it is kept.
var ErrTooLong = errors.New("line too long")

const (
	small = 512       // what a silent reader holds
	large = 128 << 10 // a buffer grown beyond this is given back after its line
)

// Reader cuts a stream into lines. It holds one line at most, whatever the
// other side sends, and cuts between bytes, so a character may come in pieces.
type Reader struct {
	r          io.Reader
	max        int
	buf        []byte
	start, end int
	seen       int // bytes of buf[start:end] known to hold no line break
	err        error
}

// NewReader reads lines of at most max bytes, the line break not counted.
func NewReader(r io.Reader, max int) *Reader { return &Reader{r: r, max: max} }

// Grow makes the buffer at least n bytes, for a stream that is read at full speed.
func (f *Reader) Grow(n int) *Reader {
	if len(f.buf) < n && f.start == f.end {
		f.buf = make([]byte, n)
	}
	return f
}

// SetMax changes the limit from the next line on.
func (f *Reader) SetMax(max int) { f.max = max }

// Next returns the next line that is not blank, without the white space around
// it. It is valid until the next call. At the end of the stream it returns
// io.EOF, and what stands there without a line break is no line: see Rest.
func (f *Reader) Next() ([]byte, error) {
	for {
		if f.seen < f.end-f.start {
			if i := bytes.IndexByte(f.buf[f.start+f.seen:f.end], '\n'); i >= 0 {
				line := f.buf[f.start : f.start+f.seen+i]
				f.start += f.seen + i + 1
				f.seen = 0
				if len(line) > f.max {
					return nil, ErrTooLong
				}
				if line = bytes.TrimSpace(line); len(line) > 0 {
					return line, nil
				}
				continue
			}
			f.seen = f.end - f.start
		}
		if f.seen > f.max {
			f.buf, f.start, f.end, f.seen = nil, 0, 0, 0
			f.err = ErrTooLong
		}
		if f.err != nil {
			return nil, f.err
		}
		f.room()
		n, err := f.r.Read(f.buf[f.end:])
		f.end += n
		f.err = err
		if n > 0 && err != nil {
			continue // what came with the error is looked at first
		}
	}
}

// Buffered reports whether a whole line can be had without reading.
func (f *Reader) Buffered() bool {
	return bytes.IndexByte(f.buf[f.start+f.seen:f.end], '\n') >= 0
}

// Rest returns what the stream ended with after its last line break.
func (f *Reader) Rest() []byte { return bytes.TrimSpace(f.buf[f.start:f.end]) }

// room makes space behind the bytes that are there.
func (f *Reader) room() {
	if f.start == f.end {
		f.start, f.end, f.seen = 0, 0, 0
		if len(f.buf) > large || f.buf == nil {
			f.buf = make([]byte, small)
		}
	}
	if f.end < len(f.buf) {
		return
	}
	if f.start > 0 {
		copy(f.buf, f.buf[f.start:f.end])
		f.end -= f.start
		f.start = 0
		if f.end < len(f.buf) {
			return
		}
	}
	grown := make([]byte, min(2*len(f.buf), max(f.max+2, small)))
	if len(grown) <= f.end {
		grown = make([]byte, f.end+small)
	}
	copy(grown, f.buf[:f.end])
	f.buf = grown
}
