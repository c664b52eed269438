package squashfs

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Owner returns the user and group that a file belongs to.
func (r *Reader) Owner(n *Inode) (uid, gid uint32, err error) {
	if uid, err = r.id(n.uid); err == nil {
		gid, err = r.id(n.gid)
	}
	return uid, gid, err
}

// id looks a number up in the two-level id table.
func (r *Reader) id(i uint16) (uint32, error) {
	const size = 4
	if i >= r.sb.IDs {
		return 0, corrupt("owner %d of %d", i, r.sb.IDs)
	}
	var b [8]byte
	if err := r.readAt(b[:], r.sb.IDTable+uint64(i)*size/metaSize*8); err != nil {
		return 0, err
	}
	m, err := r.metaAt(binary.LittleEndian.Uint64(b[:]))
	if err != nil {
		return 0, err
	}
	at := int(uint64(i) * size % metaSize)
	if at+size > len(m.data) {
		return 0, corrupt("id table too short")
	}
	return binary.LittleEndian.Uint32(m.data[at:]), nil
}

// HasAttributes tells whether the image has a table of extended attributes.
func (r *Reader) HasAttributes() bool { return r.sb.XattrTable != noTable }

// ErrLink is what opening a path through a symbolic link gives: [FS] follows none.
var ErrLink = errors.New("a symbolic link, which is not followed")

// FS is an image as a file system. It follows no symbolic link: whoever opens one, or a path through one, gets
// [ErrLink]. Open files are [io.ReaderAt] and [io.Seeker], too.
type FS struct{ r *Reader }

var (
	_ fs.ReadLinkFS = FS{}
	_ fs.ReadDirFS  = FS{}
)

// FS returns the image as a file system.
func (r *Reader) FS() FS { return FS{r} }

// lookup finds the inode at a path.
func (f FS) lookup(op, name string) (*Inode, error) {
	fail := func(err error) (*Inode, error) { return nil, &fs.PathError{Op: op, Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return fail(fs.ErrInvalid)
	}
	n, err := f.r.Root()
	if err != nil {
		return fail(err)
	}
	if name == "." {
		return n, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case n.Mode.Type() == fs.ModeSymlink:
			return fail(ErrLink)
		case !n.Mode.IsDir():
			return fail(fs.ErrNotExist)
		}
		list, err := f.r.ReadDir(n)
		if err != nil {
			return fail(err)
		}
		i, found := slices.BinarySearchFunc(list, part, func(e Dirent, name string) int { return strings.Compare(e.Name, name) })
		if !found {
			return fail(fs.ErrNotExist)
		}
		if n, err = f.r.Inode(list[i].Ref); err != nil {
			return fail(err)
		}
	}
	return n, nil
}

// Open opens a file or folder.
func (f FS) Open(name string) (fs.File, error) {
	n, err := f.lookup("open", name)
	if err != nil {
		return nil, err
	}
	switch {
	case n.Mode.Type() == fs.ModeSymlink:
		return nil, &fs.PathError{Op: "open", Path: name, Err: ErrLink}
	case n.Mode.IsDir():
		list, err := f.ReadDir(name)
		return &openDir{info: info{path.Base(name), n}, rest: list}, err
	}
	return &openFile{io.NewSectionReader(contentAt{f.r, n}, 0, n.Size), info{path.Base(name), n}}, nil
}

// Lstat describes what is at a path.
func (f FS) Lstat(name string) (fs.FileInfo, error) {
	n, err := f.lookup("lstat", name)
	if err != nil {
		return nil, err
	}
	return info{path.Base(name), n}, nil
}

// ReadLink returns a symbolic link's target.
func (f FS) ReadLink(name string) (string, error) {
	n, err := f.lookup("readlink", name)
	if err == nil && n.Mode.Type() != fs.ModeSymlink {
		err = &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	if err != nil {
		return "", err
	}
	return n.Target, nil
}

// ReadDir lists a folder by name.
func (f FS) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := f.lookup("readdir", name)
	if err != nil {
		return nil, err
	}
	list, err := f.r.ReadDir(n)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	entries := make([]fs.DirEntry, len(list))
	for i, e := range list {
		entries[i] = namedEntry{f.r, e}
	}
	return entries, nil
}

type namedEntry struct {
	r *Reader
	e Dirent
}

func (d namedEntry) Name() string      { return d.e.Name }
func (d namedEntry) IsDir() bool       { return d.e.Mode.IsDir() }
func (d namedEntry) Type() fs.FileMode { return d.e.Mode }
func (d namedEntry) String() string    { return fs.FormatDirEntry(d) }

func (d namedEntry) Info() (fs.FileInfo, error) {
	n, err := d.r.Inode(d.e.Ref)
	if err != nil {
		return nil, err
	}
	return info{d.e.Name, n}, nil
}

type info struct {
	name string
	n    *Inode
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.n.Size }
func (i info) Mode() fs.FileMode  { return i.n.Mode }
func (i info) ModTime() time.Time { return time.Unix(int64(i.n.Time), 0) }
func (i info) IsDir() bool        { return i.n.Mode.IsDir() }
func (i info) Sys() any           { return i.n }
func (i info) String() string     { return fs.FormatFileInfo(i) }

type contentAt struct {
	r *Reader
	n *Inode
}

func (c contentAt) ReadAt(p []byte, off int64) (int, error) { return c.r.ReadAt(c.n, p, off) }

type openFile struct {
	*io.SectionReader
	info info
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

type openDir struct {
	info info
	rest []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: errors.New("is a folder")}
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 || n > len(d.rest) {
		if n > 0 && len(d.rest) == 0 {
			return nil, io.EOF
		}
		n = len(d.rest)
	}
	some := d.rest[:n]
	d.rest = d.rest[n:]
	return some, nil
}
