package mainline

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/pipeline"
)

// Store is a temporary bare repository. What it does not hold itself it borrows from the user's one, which is only read.
type Store struct {
	*filesystem.Storage
	user *repo.Repo
}

func newStore(temp, repoDir string) (*Store, error) {
	dir, err := os.MkdirTemp(temp, "branch-")
	if err != nil {
		return nil, err
	}
	s := &Store{Storage: filesystem.NewStorage(osfs.New(dir), cache.NewObjectLRUDefault())}
	if _, err := git.Init(s.Storage, nil); err != nil {
		return nil, fmt.Errorf("cannot make a temporary repository: %w", err)
	}
	s.user, err = repo.Open(repoDir)
	return s, err
}

// haves are commits that need not be fetched: the base and some before it, if all that they lead to is here.
func (s *Store) haves(base string) ([]plumbing.Hash, error) {
	shallow, err := s.user.Shallow()
	if err != nil || shallow {
		return nil, err
	}
	var haves []plumbing.Hash
	seen := map[plumbing.Hash]bool{}
	for next := []plumbing.Hash{plumbing.NewHash(base)}; len(next) > 0 && len(haves) < 256; next = next[1:] {
		c, err := object.GetCommit(s, next[0])
		if err != nil {
			return nil, fmt.Errorf("cannot read the history of commit %s: %w", base, err)
		}
		if !seen[c.Hash] {
			seen[c.Hash] = true
			haves = append(haves, c.Hash)
			next = append(next, c.ParentHashes...)
		}
	}
	return haves, nil
}

// EncodedObject finds an object here, or in the user's repository.
func (s *Store) EncodedObject(t plumbing.ObjectType, id plumbing.Hash) (plumbing.EncodedObject, error) {
	o, err := s.Storage.EncodedObject(t, id)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return s.user.Object(t, id)
	}
	return o, err
}

// HasEncodedObject looks for an object here, and in the user's repository.
func (s *Store) HasEncodedObject(id plumbing.Hash) error {
	err := s.Storage.HasEncodedObject(id)
	if err != nil && s.user.Has(id) {
		return nil
	}
	return err
}

// EncodedObjectSize is the size of an object here, or in the user's repository, in bytes.
func (s *Store) EncodedObjectSize(id plumbing.Hash) (int64, error) {
	o, err := s.EncodedObject(plumbing.AnyObject, id)
	if err != nil {
		return 0, err
	}
	return o.Size(), nil
}

func (s *Store) add(encode func(plumbing.EncodedObject) error) (plumbing.Hash, error) {
	o := s.NewEncodedObject()
	if err := encode(o); err != nil {
		return plumbing.ZeroHash, err
	}
	return s.SetEncodedObject(o)
}

func (s *Store) blob(content []byte) (plumbing.Hash, error) {
	return s.add(func(o plumbing.EncodedObject) error {
		o.SetType(plumbing.BlobObject)
		o.SetSize(int64(len(content)))
		w, err := o.Writer()
		if err != nil {
			return err
		}
		_, err = w.Write(content)
		return errors.Join(err, w.Close())
	})
}

// read returns an object's content, if it is not larger than limit bytes.
func read(o plumbing.EncodedObject, limit int64) ([]byte, error) {
	if o.Size() > limit {
		return nil, fmt.Errorf("it is %d bytes large", o.Size())
	}
	r, err := o.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, limit))
}

// At is a file of a commit's tree; the zero File where there is none.
func (s *Store) At(tree plumbing.Hash, path string) (File, error) {
	t, err := object.GetTree(s, tree)
	if err != nil {
		return File{}, fmt.Errorf("cannot read tree %s: %w", tree, err)
	}
	for i, c := range path { // below a file or a submodule there is nothing
		if c != '/' {
			continue
		}
		if e, err := t.FindEntry(path[:i]); err == nil && e.Mode != filemode.Dir {
			return File{}, nil
		}
	}
	e, err := t.FindEntry(path)
	switch {
	case errors.Is(err, object.ErrEntryNotFound), errors.Is(err, object.ErrDirectoryNotFound):
		return File{}, nil
	case err != nil:
		return File{}, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return File{Mode: e.Mode, ID: e.Hash}, nil
}

// Read returns the content of a file of at most limit bytes. The error wraps [fs.ErrNotExist] where there is none.
func (s *Store) Read(tree plumbing.Hash, path string, limit int64) ([]byte, error) {
	f, err := s.At(tree, path)
	if err != nil {
		return nil, err
	}
	if !f.Mode.IsFile() {
		return nil, fmt.Errorf("cannot read %s: %w", path, fs.ErrNotExist)
	}
	o, err := s.EncodedObject(plumbing.BlobObject, f.ID)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	b, err := read(o, limit)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return b, nil
}

// Change is how a file differs between two trees.
type Change struct{ Was, Is File }

// Diff lists the files in which two trees differ, by path.
func (s *Store) Diff(was, is plumbing.Hash) (map[string]Change, error) {
	out := map[string]Change{}
	return out, s.diff(was, is, "", out)
}

func (s *Store) diff(was, is plumbing.Hash, at string, out map[string]Change) error {
	if was == is {
		return nil
	}
	old, err := s.entries(was)
	if err != nil {
		return err
	}
	now, err := s.entries(is)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for n := range old {
		names[n] = true
	}
	for n := range now {
		names[n] = true
	}
	for n := range names {
		a, b := old[n], now[n]
		if a == b {
			continue
		}
		sub := func(e object.TreeEntry) (dir plumbing.Hash, f File) {
			if e.Mode == filemode.Dir {
				return e.Hash, File{}
			}
			return plumbing.ZeroHash, File{Mode: e.Mode, ID: e.Hash}
		}
		da, fa := sub(a)
		db, fb := sub(b)
		if fa.Mode != fb.Mode || fa.ID != fb.ID {
			out[at+n] = Change{fa, fb}
		}
		if err := s.diff(da, db, at+n+"/", out); err != nil {
			return err
		}
	}
	return nil
}

// entries of a tree by name; none of the zero hash.
func (s *Store) entries(tree plumbing.Hash) (map[string]object.TreeEntry, error) {
	out := map[string]object.TreeEntry{}
	if tree.IsZero() {
		return out, nil
	}
	t, err := object.GetTree(s, tree)
	if err != nil {
		return nil, fmt.Errorf("cannot read tree %s: %w", tree, err)
	}
	for _, e := range t.Entries {
		out[e.Name] = e
	}
	return out, nil
}

// replant writes a tree in which some files are others; those that are none are gone, and so are folders that lose their
// last file.
func (s *Store) replant(tree plumbing.Hash, files map[string]File) (plumbing.Hash, error) {
	entries, err := s.entries(tree)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	below := map[string]map[string]File{}
	for _, path := range slices.Sorted(maps.Keys(files)) { // in order: the same file is named each time
		f := files[path]
		name, rest, deeper := strings.Cut(path, "/")
		if name == "" || name == "." || name == ".." || strings.EqualFold(name, ".git") {
			return plumbing.ZeroHash, fmt.Errorf("cannot write %q: git allows no such name", path)
		}
		switch {
		case deeper:
			if below[name] == nil {
				below[name] = map[string]File{}
			}
			below[name][rest] = f
		case f.ID.IsZero():
			delete(entries, name)
		default:
			entries[name] = object.TreeEntry{Name: name, Mode: f.Mode, Hash: f.ID}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(below)) {
		inside := below[name]
		e, there := entries[name]
		if there && e.Mode != filemode.Dir {
			for _, file := range slices.Sorted(maps.Keys(inside)) {
				if !inside[file].ID.IsZero() {
					return plumbing.ZeroHash, fmt.Errorf("%w: %s is there and no folder, so that %s cannot lie in it: put it out of the way, or make a folder of it", pipeline.ErrConflict, name, file)
				}
			}
			continue // what is to be removed is not there
		}
		if !there {
			e = object.TreeEntry{Name: name, Mode: filemode.Dir}
		}
		if e.Hash, err = s.replant(e.Hash, inside); err != nil {
			return plumbing.ZeroHash, err
		}
		if entries[name] = e; e.Hash.IsZero() {
			delete(entries, name)
		}
	}
	if len(entries) == 0 {
		return plumbing.ZeroHash, nil
	}
	t := object.Tree{}
	for _, e := range entries {
		t.Entries = append(t.Entries, e)
	}
	slices.SortFunc(t.Entries, func(a, b object.TreeEntry) int { return cmp.Compare(sortName(a), sortName(b)) })
	return s.add(t.Encode)
}

// sortName is what git sorts a tree by: folders as if their names ended in a slash.
func sortName(e object.TreeEntry) string {
	if e.Mode == filemode.Dir {
		return e.Name + "/"
	}
	return e.Name
}
