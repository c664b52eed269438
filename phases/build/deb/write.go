package deb

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // the format of md5sums in Debian packages; not for security
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/internal/archive"
)

// write writes the package of the files of a [Layout] with one time for all, which must be in whole seconds. The data
// archive goes by way of a file in the folder tmp, since its length and the sums of its files stand before it; so
// memory holds no more than some blocks of it. The bytes depend on the arguments only, not on the number of processors.
func write(ctx context.Context, w io.Writer, c Config, layout []File, mtime time.Time, tmp string) (err error) {
	data, err := os.Create(filepath.Join(tmp, "data"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	name, sums, err := writeData(ctx, data, c.compression(), layout, mtime)
	if err != nil {
		return err
	}
	size, err := data.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = data.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	control, err := c.controlArchive(ctx, layout, sums, mtime)
	if err != nil {
		return err
	}
	const format = "2.0\n"
	return archive.WriteAr(w, mtime,
		archive.Member{Name: "debian-binary", Size: int64(len(format)), Body: strings.NewReader(format)},
		archive.Member{Name: "control.tar.gz", Size: int64(len(control)), Body: bytes.NewReader(control)},
		archive.Member{Name: name, Size: size, Body: data})
}

// writeData writes the data archive. It returns the name of the member that it is, and the content of md5sums.
func writeData(ctx context.Context, w io.Writer, compression string, layout []File, mtime time.Time) (name string, sums []byte, err error) {
	name, z, err := compress(w, compression)
	if err != nil {
		return "", nil, err
	}
	tw := tar.NewWriter(z)
	sums, err = pack(ctx, tw, layout, mtime)
	if err == nil {
		err = tw.Close()
	}
	return name, sums, errors.Join(err, z.Close())
}

// compress starts a data archive in one of the compressions that [Config.Validate] allows.
func compress(w io.Writer, compression string) (name string, z io.WriteCloser, err error) {
	kind, level, _ := strings.Cut(compression, ":")
	if kind == "xz" {
		z, err = archive.NewXZ(w)
		return "data.tar.xz", z, err
	}
	n := 9 // as dpkg-deb, where none is said
	if level != "" {
		if n, err = strconv.Atoi(level); err != nil {
			return "", nil, err
		}
	}
	z, err = archive.NewGzip(w, n)
	return "data.tar.gz", z, err
}

// pack writes the files. It returns the content of md5sums.
func pack(ctx context.Context, tw *tar.Writer, layout []File, mtime time.Time) ([]byte, error) {
	var sums bytes.Buffer
	buf := make([]byte, 1<<18)
	sum := md5.New() //nolint:gosec // see above
	for _, f := range layout {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := tw.WriteHeader(header(f, mtime)); err != nil {
			return nil, fmt.Errorf("cannot pack %q: %w", f.Path, err)
		}
		if !f.Mode.IsRegular() {
			continue
		}
		in, err := f.open()
		if err != nil {
			return nil, err
		}
		sum.Reset()
		_, err = io.CopyBuffer(io.MultiWriter(tw, sum), interruptible{ctx, in}, buf)
		if err = errors.Join(err, in.Close()); err != nil {
			return nil, fmt.Errorf("cannot pack %q: %w", f.Path, err)
		}
		fmt.Fprintf(&sums, "%x  %s\n", sum.Sum(nil), f.Path) // as dpkg and debsums have it, without ./ in front
	}
	return sums.Bytes(), nil
}

// interruptible stops reading when the context ends. It hides WriteTo of what is read.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}

// open opens the content of a file, which must still be as long as it was.
func (f File) open() (io.ReadCloser, error) {
	if f.text != nil {
		return io.NopCloser(bytes.NewReader(f.text)), nil
	}
	return archive.Open(f.source, f.Entry)
}

// header is that of one entry, in the format that deb(5) asks for: GNU's, with ./ in front of names.
func header(f File, mtime time.Time) *tar.Header {
	h := &tar.Header{
		Typeflag: tar.TypeReg, Name: "./" + f.Path, Mode: int64(f.Mode.Perm()), Size: f.Size,
		Uname: "root", Gname: "root", ModTime: mtime, Format: tar.FormatGNU,
	}
	switch {
	case f.Mode.IsDir():
		h.Typeflag, h.Name, h.Size = tar.TypeDir, h.Name+"/", 0
	case f.Mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, f.Link, 0
	}
	return h
}
