package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"github.com/mholt/archiver/v4"
)

// level is gzip's compression level. It decides bytes: changing it makes other archives of the same files.
const level = 6

// WriteTarGz writes the entries of a [Tree] in dir as a gzip-compressed tar archive, below one folder top. All entries
// have owner 0/0 and the time mtime, in whole seconds. The bytes depend on nothing else; compression runs on all
// processors, in blocks whose borders do not depend on their number.
func WriteTarGz(ctx context.Context, w io.Writer, dir, top string, entries []Entry, mtime time.Time) error {
	mtime = mtime.UTC().Truncate(time.Second)
	files := []archiver.FileInfo{headerFor(Entry{Path: top, Mode: fs.ModeDir | 0o755}, "", mtime)}
	for _, e := range entries {
		from := filepath.Join(dir, filepath.FromSlash(e.Path))
		e.Path = path.Join(top, e.Path)
		files = append(files, headerFor(e, from, mtime))
	}
	// archiver.Archive would do both, but it drops the error of closing the compressor: a full disk would go unseen.
	gz, err := NewGzip(w, level)
	if err != nil {
		return err
	}
	return errors.Join(archiver.Tar{}.Archive(ctx, gz, files), gz.Close())
}

// NewGzip compresses what is written to it, at a level of 1 to 9, on all processors. The bytes do not depend on how many
// there are. Close ends the stream and returns the first error of writing to w; w stays open.
func NewGzip(w io.Writer, level int) (io.WriteCloser, error) {
	out := &untimed{w: w}
	gz, err := archiver.Gz{CompressionLevel: level, Multithreaded: true}.OpenWriter(out)
	if err != nil {
		return nil, err
	}
	return &gzipWriter{gz, out}, nil
}

type gzipWriter struct {
	io.WriteCloser
	out *untimed
}

func (g *gzipWriter) Close() error { return errors.Join(g.WriteCloser.Close(), g.out.err) }

// NewXZ compresses what is written to it in the format of xz, on one processor. Close ends the stream; w stays open.
func NewXZ(w io.Writer) (io.WriteCloser, error) { return archiver.Xz{}.OpenWriter(w) }

func headerFor(e Entry, from string, mtime time.Time) archiver.FileInfo {
	name := e.Path
	if e.Mode.IsDir() {
		name += "/"
	}
	return archiver.FileInfo{
		FileInfo:      info{e, mtime},
		NameInArchive: name,
		LinkTarget:    e.Link,
		Open:          func() (fs.File, error) { return Open(from, e) },
	}
}

// Open opens the file at path, which was listed as e. Reading is an error where it no longer has the size of the list.
func Open(path string, e Entry) (fs.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &sized{File: f, entry: e.Path, left: e.Size}, nil
}

// info is an entry as a file of an archive. It has no Sys, so neither owner nor inode of the real file can show.
type info struct {
	e     Entry
	mtime time.Time
}

func (i info) Name() string       { return path.Base(i.e.Path) }
func (i info) Size() int64        { return i.e.Size }
func (i info) Mode() fs.FileMode  { return i.e.Mode }
func (i info) ModTime() time.Time { return i.mtime }
func (i info) IsDir() bool        { return i.e.Mode.IsDir() }
func (i info) Sys() any           { return nil }

// sized is a file that must still have the size it was listed with. Without it a file that shrank would leave the
// archive without its end, and archiver would not say so.
type sized struct {
	*os.File
	entry string
	left  int64
}

func (s *sized) Read(p []byte) (int, error) {
	n, err := s.File.Read(p)
	if int64(n) > s.left || int64(n) < s.left && errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("%q changed while it was read", s.entry)
	}
	s.left -= int64(n)
	return n, err
}

// WriteTo hides the one of *os.File, which would pass Read by.
func (s *sized) WriteTo(w io.Writer) (int64, error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	return io.CopyBuffer(w, struct{ io.Reader }{s}, *buf)
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 1<<18); return &b }}

// untimed clears the time in a gzip header. The compressor writes there what the zero time overflows to, a day in 2042;
// RFC 1952, section 2.3.1, has 0 for "no time stamp is available". It also remembers the first error of writing.
type untimed struct {
	w   io.Writer
	at  int
	err error
}

func (u *untimed) Write(p []byte) (int, error) {
	const from, to = 4, 8 // where MTIME stands
	if u.at < to && u.at+len(p) > from {
		p = append([]byte(nil), p...)
		clear(p[max(from-u.at, 0):min(to-u.at, len(p))])
	}
	n, err := u.w.Write(p)
	u.at += n
	if u.err == nil {
		u.err = err
	}
	return n, err
}
