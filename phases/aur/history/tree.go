// Package history is the git side of an AUR repository: the one commit that publishes a package, how it is known again,
// what stands on top of it, and what it changes, as people read it.
//
// Objects follow from their content, their parent, their author, the base commit's time and the run's ID alone. So a
// run that was killed makes the very same commit again, and finds it where it has arrived.
package history

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// Tree stores a tree that holds exactly these files, path to content, and returns its name. Files cannot be run.
func Tree(s storer.EncodedObjectStorer, files map[string][]byte) (plumbing.Hash, error) {
	var entries []object.TreeEntry
	below := map[string]map[string][]byte{}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		name, rest, nested := strings.Cut(path, "/")
		if name == "" || name == "." || name == ".." || strings.EqualFold(name, ".git") || strings.ContainsAny(name, "\x00\\") || nested && rest == "" {
			return plumbing.ZeroHash, fmt.Errorf("cannot commit a file named %q", path)
		}
		if nested {
			if below[name] == nil {
				below[name] = map[string][]byte{}
			}
			below[name][rest] = files[path]
			continue
		}
		id, err := store(s, plumbing.BlobObject, files[path])
		if err != nil {
			return plumbing.ZeroHash, err
		}
		entries = append(entries, object.TreeEntry{Name: name, Mode: filemode.Regular, Hash: id})
	}
	for _, name := range slices.Sorted(maps.Keys(below)) {
		if _, both := files[name]; both {
			return plumbing.ZeroHash, fmt.Errorf("cannot commit %q as a file and as a folder", name)
		}
		id, err := Tree(s, below[name])
		if err != nil {
			return plumbing.ZeroHash, err
		}
		entries = append(entries, object.TreeEntry{Name: name, Mode: filemode.Dir, Hash: id})
	}
	slices.SortFunc(entries, func(a, b object.TreeEntry) int { return strings.Compare(sortKey(a), sortKey(b)) })
	o := s.NewEncodedObject()
	if err := (&object.Tree{Entries: entries}).Encode(o); err != nil {
		return plumbing.ZeroHash, fmt.Errorf("cannot make a tree: %w", err)
	}
	return s.SetEncodedObject(o)
}

// sortKey is how git orders entries: folders as if their names ended in a slash.
func sortKey(e object.TreeEntry) string {
	if e.Mode == filemode.Dir {
		return e.Name + "/"
	}
	return e.Name
}

func store(s storer.EncodedObjectStorer, kind plumbing.ObjectType, content []byte) (plumbing.Hash, error) {
	o := s.NewEncodedObject()
	o.SetType(kind)
	w, err := o.Writer()
	if err != nil {
		return plumbing.ZeroHash, err
	}
	_, err = w.Write(content)
	if err := errors.Join(err, w.Close()); err != nil {
		return plumbing.ZeroHash, err
	}
	return s.SetEncodedObject(o)
}

// File is one file of a tree. Its content is read when it is asked for.
type File struct {
	Mode filemode.FileMode
	Hash plumbing.Hash // of the blob
	Size int64         // bytes
	read func() (io.ReadCloser, error)
}

// maxFiles bounds the files of a tree that are looked at. An AUR repository has a handful.
const maxFiles = 10000

// Files lists the files of a commit; none of the zero hash. Submodules and folders are not files.
func Files(r *git.Repository, commit plumbing.Hash) (map[string]File, error) {
	files := map[string]File{}
	if commit.IsZero() {
		return files, nil
	}
	c, err := r.CommitObject(commit)
	if err != nil {
		return nil, fmt.Errorf("cannot read commit %s: %w", commit, err)
	}
	tree, err := c.Tree()
	if err != nil {
		return nil, fmt.Errorf("cannot read the tree of %s: %w", commit, err)
	}
	it := tree.Files()
	defer it.Close()
	for {
		f, err := it.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the files of %s: %w", commit, err)
		}
		if len(files) == maxFiles {
			return nil, fmt.Errorf("commit %s has more than %d files", commit, maxFiles)
		}
		files[f.Name] = File{f.Mode, f.Hash, f.Size, f.Reader}
	}
}

// Wanted lists files that are to be committed.
func Wanted(content map[string][]byte) map[string]File {
	files := map[string]File{}
	for path, b := range content {
		files[path] = File{filemode.Regular, plumbing.ComputeHash(plumbing.BlobObject, b), int64(len(b)), func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(string(b))), nil
		}}
	}
	return files
}

// Text reads a file of limited size.
func (f File) Text(limit int64) (string, error) {
	if f.Size > limit {
		return "", fmt.Errorf("it has %d bytes, more than %d", f.Size, limit)
	}
	r, err := f.read()
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit))
	return string(b), err
}
