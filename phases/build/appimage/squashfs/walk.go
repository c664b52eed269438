package squashfs

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"path"
	"strings"
)

// Dirent is one name in a folder.
type Dirent struct {
	Name   string
	Ref    uint64
	Number uint32
	Mode   fs.FileMode // the kind only
}

// ReadDir lists a folder, sorted by the bytes of the names. An image whose listing is unsorted, repeats a name or
// holds a name such as ".." is corrupt.
func (r *Reader) ReadDir(dir *Inode) ([]Dirent, error) {
	if !dir.Mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: "inode", Err: errors.New("not a folder")}
	}
	le := binary.LittleEndian
	if dir.dirSize <= dirSizeExtra {
		return nil, nil
	}
	c := r.cursor(r.sb.DirTable, r.sb.BytesUsed, uint64(dir.dirBlock), dir.dirOffset)
	left := int64(dir.dirSize) - dirSizeExtra
	var list []Dirent
	for left > 0 {
		b, err := c.read(12)
		if err != nil {
			return nil, err
		}
		left -= 12
		count, block, base := le.Uint32(b), le.Uint32(b[4:]), le.Uint32(b[8:])
		if count >= dirRun {
			return nil, corrupt("a run of %d folder entries", uint64(count)+1)
		}
		for range count + 1 {
			if b, err = c.read(8); err != nil {
				return nil, err
			}
			size := int(le.Uint16(b[6:])) + 1
			if size > maxName+1 {
				return nil, corrupt("a name of %d bytes", size)
			}
			name, err := c.read(size)
			if err != nil {
				return nil, err
			}
			if left -= int64(8 + size); left < 0 {
				return nil, corrupt("a folder's entries run over its size")
			}
			e := Dirent{
				Name:   string(name),
				Ref:    uint64(block)<<16 | uint64(le.Uint16(b)),
				Number: uint32(int64(base) + int64(int16(le.Uint16(b[2:])))),
			}
			if e.Mode, err = direntMode(le.Uint16(b[4:])); err != nil {
				return nil, err
			}
			if !safeName(e.Name) {
				return nil, corrupt("a file named %q", e.Name)
			}
			if n := len(list); n > 0 && list[n-1].Name >= e.Name {
				return nil, corrupt("%q comes after %q", e.Name, list[n-1].Name)
			}
			list = append(list, e)
		}
	}
	return list, nil
}

func direntMode(kind uint16) (fs.FileMode, error) {
	switch kind {
	case typeDir:
		return fs.ModeDir, nil
	case typeFile:
		return 0, nil
	case typeSymlink:
		return fs.ModeSymlink, nil
	}
	return 0, corrupt("a folder entry of type %d", kind)
}

func safeName(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.ContainsAny(s, "/\x00")
}

// Walk calls fn for the root (as ".") and everything below it, folders before their content, in byte order. It ends
// with an error in an image whose folders form a loop or contain one another twice.
func (r *Reader) Walk(fn func(path string, n *Inode) error) error {
	root, err := r.Root()
	if err != nil {
		return err
	}
	seen := map[uint64]bool{}
	entries := uint64(0)
	var visit func(p string, n *Inode) error
	visit = func(p string, n *Inode) error {
		if err := fn(p, n); err != nil || !n.Mode.IsDir() {
			return err
		}
		if seen[n.Ref] {
			return corrupt("%s: a folder inside itself or in two places", p)
		}
		seen[n.Ref] = true
		list, err := r.ReadDir(n)
		if err != nil {
			return err
		}
		for _, e := range list {
			k, err := r.Inode(e.Ref)
			if err != nil {
				return err
			}
			if k.Mode.Type() != e.Mode {
				return corrupt("%s: the folder and the inode disagree about its kind", path.Join(p, e.Name))
			}
			if k.Mode.IsDir() && seen[k.Ref] {
				return corrupt("%s: a folder inside itself or in two places", path.Join(p, e.Name))
			}
			if entries++; entries > maxEntries {
				return corrupt("more than %d files", maxEntries)
			}
			if len(p)+len(e.Name) > maxPath {
				return corrupt("%.60s...: a path of more than %d bytes", p, maxPath)
			}
			if err := visit(path.Join(p, e.Name), k); err != nil {
				return err
			}
		}
		return nil
	}
	return visit(".", root)
}

// Bounds on a walk. Linux cannot open longer paths than 4,096 bytes, and no application has so many files.
const (
	maxPath    = 4 * 4096
	maxEntries = 1 << 22
)
