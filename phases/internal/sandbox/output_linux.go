package sandbox

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// errFlood ends a program that prints without end.
var errFlood = errors.New("it prints too much")

// printed keeps what a program prints, to maxOutput.
type printed struct {
	bytes.Buffer
	flooded func()
}

func (w *printed) Write(p []byte) (int, error) {
	if room := maxOutput - w.Len(); len(p) > room {
		w.Buffer.Write(p[:room])
		w.flooded()
		return len(p), nil
	}
	return w.Buffer.Write(p)
}

// marked passes on what follows the beginning.
type marked struct {
	to   io.Writer
	seen bool
	head []byte
}

func (w *marked) Write(p []byte) (int, error) {
	n := len(p)
	if !w.seen {
		w.head = append(w.head, p...)
		if len(w.head) < len(beginning) {
			return n, nil
		}
		if string(w.head[:len(beginning)]) != beginning {
			return 0, errors.New("something else was started")
		}
		w.seen, p, w.head = true, w.head[len(beginning):], nil
	}
	if len(p) == 0 {
		return n, nil
	}
	if _, err := w.to.Write(p); err != nil {
		return 0, err
	}
	return n, nil
}

// keeper takes the files of c.Keep out of the archive that is written to it. The function waits for the end.
func (b *Box) keeper(c Command) (io.Writer, func() error) {
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := take(r, b.Outside(), c.Keep, c.Scratch)
		_, rest := io.Copy(io.Discard, r) // the program is not held up
		done <- errors.Join(err, rest)
	}()
	return w, func() error {
		return errors.Join(w.Close(), <-done)
	}
}

// take reads an archive that holds one folder of files, and puts these below dir. The archive comes from where anything
// may have been written into it.
func take(r io.Reader, dir, folder string, limit int64) (err error) {
	const most = 10000
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	tr := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && n == 0 { // not before: until the program has begun, the box is being copied
			err = errors.Join(root.RemoveAll(folder), root.Mkdir(folder, 0o755))
		}
		if err != nil {
			return err
		}
		name, inside := strings.CutPrefix(h.Name, folder+"/")
		switch {
		case h.Typeflag == tar.TypeDir && (h.Name == folder+"/" || h.Name == folder):
			continue
		case h.Typeflag != tar.TypeReg || !inside || path.Base(name) != name || !fs.ValidPath(name) || name == ".":
			return fmt.Errorf("%q is not a regular file of the folder %s", h.Name, folder)
		case n > most:
			return fmt.Errorf("there are more than %d files", most)
		case h.Size > limit:
			return fmt.Errorf("%q is too large", name)
		}
		limit -= h.Size
		out, err := root.OpenFile(folder+"/"+name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, tr)
		if err = errors.Join(err, out.Close()); err != nil {
			return err
		}
	}
}
