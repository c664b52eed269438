package repo

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
)

// Objects is the folder with the repository's objects, for a program that borrows from it
// (GIT_ALTERNATE_OBJECT_DIRECTORIES, git(1)). That of an added worktree is the one that all of them share.
func (r *Repo) Objects() string { return filepath.Join(r.common, "objects") }

// Has reports whether there is an object of that ID, of whatever type.
func (r *Repo) Has(id plumbing.Hash) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.objects.stores {
		if s.HasEncodedObject(id) == nil {
			return true
		}
	}
	return false
}

// Object returns an object in memory, after comparing it with its ID. The type may be [plumbing.AnyObject]. The error
// wraps [plumbing.ErrObjectNotFound] where there is none of that type.
func (r *Repo) Object(t plumbing.ObjectType, id plumbing.Hash) (plumbing.EncodedObject, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.objects.stores {
		o, err := s.EncodedObject(t, id)
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("object %s is damaged: %w", id, err)
		}
		m := &plumbing.MemoryObject{}
		m.SetType(o.Type())
		if err := r.objects.copy(m, o, id, ""); err != nil {
			return nil, err
		}
		return m, nil
	}
	return nil, r.explain(fmt.Errorf("%s: %w", id, plumbing.ErrObjectNotFound))
}
