// Package appdir lays out an AppDir, the folder inside an AppImage, and finds what is wrong with one.
package appdir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
)

// index finds entries by path.
type index map[string]*squashfs.Entry

func newIndex(entries []squashfs.Entry) index {
	ix := index{".": {Path: ".", Mode: fs.ModeDir | 0o755}}
	for i := range entries {
		e := &entries[i]
		ix[e.Path] = e
		for p := path.Dir(e.Path); p != "." && ix[p] == nil; p = path.Dir(p) {
			ix[p] = &squashfs.Entry{Path: p, Mode: fs.ModeDir | 0o755}
		}
	}
	return ix
}

const maxLinks = 40 // as the kernel has it

// resolve follows symbolic links, also in the folders on the way, and refuses those that lead out.
func (ix index) resolve(p string) (*squashfs.Entry, error) {
	links := 0
	rest := strings.Split(p, "/")
	at := "."
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if at == "." {
				return nil, errors.New("leads out of the AppDir")
			}
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		e := ix[next]
		if e == nil {
			return nil, fmt.Errorf("leads to %s, which is not there", next)
		}
		if e.Mode.Type() != fs.ModeSymlink {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return nil, errors.New("leads in a circle")
		}
		if path.IsAbs(e.Target) {
			return nil, fmt.Errorf("leads out of the AppDir, to %s", e.Target)
		}
		rest = append(strings.Split(e.Target, "/"), rest...)
	}
	return ix[at], nil
}

// read returns a file's content, at most limit bytes of it.
func read(e *squashfs.Entry, limit int64) (b []byte, err error) {
	if e.Size == 0 || e.Open == nil {
		return nil, nil
	}
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return io.ReadAll(io.LimitReader(r, limit))
}

// content makes an entry of bytes.
func content(p string, mode fs.FileMode, b []byte) squashfs.Entry {
	return squashfs.Entry{Path: p, Mode: mode, Size: int64(len(b)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	}}
}
