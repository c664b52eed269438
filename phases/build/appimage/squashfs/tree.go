package squashfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Entry is one file, directory or symbolic link of the image to be written.
type Entry struct {
	Path   string      // relative, with slashes, as "usr/bin/app"; "." stands for the root
	Mode   fs.FileMode // kind and permission bits; setuid, setgid and sticky are not stored
	Size   int64       // of a regular file
	Target string      // of a symbolic link
	Open   func() (io.ReadCloser, error)
}

// ScanDir lists a folder's content. What an image cannot hold is an error that names the path.
func ScanDir(root string) ([]Entry, error) {
	if fi, err := os.Stat(root); err != nil {
		return nil, err
	} else if !fi.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", root)
	}
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	var list []Entry
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		if err := refuseAttributes(p, fi); err != nil {
			return err
		}
		e := Entry{Path: filepath.ToSlash(rel), Mode: fi.Mode()}
		switch kindOf(fi.Mode()) {
		case typeDir:
		case typeFile:
			e.Size = fi.Size()
			e.Open = func() (io.ReadCloser, error) { return os.Open(p) }
		case typeSymlink:
			if e.Target, err = os.Readlink(p); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s: cannot store a file of type %v", p, fi.Mode().Type())
		}
		list = append(list, e)
		return nil
	})
	return list, err
}

// node is an entry in its place in the tree, with what the writer learns about it.
type node struct {
	name   string
	kind   uint16
	perm   uint16
	size   int64
	target string
	open   func() (io.ReadCloser, error)
	kids   []*node
	given  bool // named by an entry, not only implied by a path below it

	path   func() string
	number uint32
	ref    uint64 // inode reference
	data   *fileData
	list   listing
}

// fileData says where a file's bytes lie; equal files share one.
type fileData struct {
	start    uint64
	words    []uint32
	fragment uint32
	offset   uint32
	sparse   uint64
}

// listing says where a directory's entries lie in the directory table.
type listing struct {
	block  uint32
	offset uint16
	size   uint32 // with dirSizeExtra
	index  []indexEntry
}

type indexEntry struct {
	pos, block uint32
	name       string
}

// buildTree checks the entries and sorts them into a tree. Folders that are only implied get mode 0755.
func buildTree(entries []Entry) (*node, error) {
	root := &node{kind: typeDir, perm: 0o755, path: func() string { return "." }}
	folders := map[string]*node{".": root}
	var folder func(p string) (*node, error)
	folder = func(p string) (*node, error) {
		if n := folders[p]; n != nil {
			return n, nil
		}
		up, err := folder(path.Dir(p))
		if err != nil {
			return nil, err
		}
		n := &node{name: path.Base(p), kind: typeDir, perm: 0o755, path: func() string { return p }}
		folders[p] = n
		up.kids = append(up.kids, n)
		return n, nil
	}
	for i := range entries {
		e := &entries[i]
		if err := checkEntry(e); err != nil {
			return nil, err
		}
		kind := kindOf(e.Mode)
		if kind == typeDir {
			n, err := folder(e.Path)
			if err != nil {
				return nil, err
			}
			if n.given {
				return nil, fmt.Errorf("%s: listed twice", e.Path)
			}
			n.given, n.perm = true, uint16(e.Mode.Perm())
			continue
		}
		up, err := folder(path.Dir(e.Path))
		if err != nil {
			return nil, err
		}
		n := &node{name: path.Base(e.Path), kind: kind, perm: uint16(e.Mode.Perm()), size: e.Size, target: e.Target, open: e.Open}
		n.path = func() string { return e.Path }
		if kind == typeSymlink {
			n.perm = 0o777
		}
		up.kids = append(up.kids, n)
	}
	for p, n := range folders {
		slices.SortFunc(n.kids, func(a, b *node) int { return strings.Compare(a.name, b.name) })
		for i := 1; i < len(n.kids); i++ {
			if n.kids[i].name == n.kids[i-1].name {
				return nil, fmt.Errorf("%s: listed twice", path.Join(p, n.kids[i].name))
			}
		}
	}
	return root, nil
}

func checkEntry(e *Entry) error {
	kind := kindOf(e.Mode)
	if e.Path == "." && kind == typeDir {
		return nil
	}
	for part := range strings.SplitSeq(e.Path, "/") {
		switch {
		case part == "" || part == "." || part == ".." || strings.ContainsRune(part, 0):
			return fmt.Errorf("%q is not a clean relative path", e.Path)
		case len(part) > maxName:
			return fmt.Errorf("%s: a name of %d bytes is longer than %d", e.Path, len(part), maxName)
		}
	}
	switch {
	case kind == 0:
		return fmt.Errorf("%s: cannot store a file of type %v", e.Path, e.Mode.Type())
	case kind == typeFile && e.Size < 0:
		return fmt.Errorf("%s: size %d", e.Path, e.Size)
	case kind == typeFile && e.Size > 0 && e.Open == nil:
		return fmt.Errorf("%s: no content given", e.Path)
	case kind == typeSymlink && e.Target == "":
		return fmt.Errorf("%s: a symbolic link without a target", e.Path)
	case kind == typeSymlink && (len(e.Target) > maxTarget || strings.ContainsRune(e.Target, 0)):
		return fmt.Errorf("%s: a link target of %d bytes cannot be stored", e.Path, len(e.Target))
	}
	return nil
}

// number gives every node its inode number: a folder's children in one piece, behind all that lies below them, the
// root last. The result is in that order.
func numberNodes(root *node) ([]*node, error) {
	var all []*node
	var visit func(n *node)
	visit = func(n *node) {
		for _, k := range n.kids {
			if k.kind == typeDir {
				visit(k)
			}
		}
		all = append(all, n.kids...)
	}
	visit(root)
	all = append(all, root)
	if len(all) >= math.MaxUint32 {
		return nil, errors.New("more files than an image can hold")
	}
	for i, n := range all {
		n.number = uint32(i + 1)
	}
	return all, nil
}
