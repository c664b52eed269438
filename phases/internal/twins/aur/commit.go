package aur

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// checkCommit is what every new commit must keep, whatever the tip looks like. A gitlink is neither a folder nor a file
// to the server and passes.
func (h *hook) checkCommit(store storer.EncodedObjectStorer, c *object.Commit) error {
	root, err := c.Tree()
	if err != nil {
		return fmt.Errorf("cannot read the tree of %s: %w", c.Hash, err)
	}
	if _, err := root.FindEntry("PKGBUILD"); err != nil {
		return h.dieCommit(c.Hash, "missing PKGBUILD")
	}
	for _, e := range root.Entries {
		if e.Mode == filemode.Dir && e.Name != "keys" && e.Name != "LICENSES" {
			return h.dieCommit(c.Hash, "the repository must not contain subdirectories")
		}
		if err := h.checkSize(store, c, e); err != nil {
			return err
		}
	}
	if err := h.checkKeys(store, c, root); err != nil {
		return err
	}
	return h.checkLicenses(store, c, root)
}

func (h *hook) checkSize(store storer.EncodedObjectStorer, c *object.Commit, e object.TreeEntry) error {
	if !isFile(e) {
		return nil
	}
	size, err := store.EncodedObjectSize(e.Hash)
	if err != nil {
		return fmt.Errorf("cannot read the size of %s: %w", e.Name, err)
	}
	if size > maxBlob {
		return h.dieCommit(c.Hash, "maximum blob size (250.00KiB) exceeded")
	}
	return nil
}

// isFile tells what is a blob: files and symbolic links.
func isFile(e object.TreeEntry) bool { return e.Mode != filemode.Dir && e.Mode != filemode.Submodule }

// folder returns the entries of a folder; none when it is not there.
func (h *hook) folder(store storer.EncodedObjectStorer, t *object.Tree, name string) ([]object.TreeEntry, error) {
	at := slices.IndexFunc(t.Entries, func(e object.TreeEntry) bool { return e.Name == name })
	if at < 0 {
		return nil, nil
	}
	if t.Entries[at].Mode != filemode.Dir {
		return nil, h.crash("TypeError: '_pygit2.Blob' object is not iterable")
	}
	sub, err := object.GetTree(store, t.Entries[at].Hash)
	if err != nil {
		return nil, fmt.Errorf("cannot read folder %s: %w", name, err)
	}
	return sub.Entries, nil
}

func (h *hook) checkKeys(store storer.EncodedObjectStorer, c *object.Commit, root *object.Tree) error {
	keys, err := h.folder(store, root, "keys")
	if err != nil {
		return err
	}
	pgp := plumbing.ZeroHash
	for _, e := range keys {
		if e.Mode != filemode.Dir || e.Name != "pgp" {
			return h.dieCommit(c.Hash, "the keys/ subdir may only contain a pgp/ directory")
		}
		pgp = e.Hash
	}
	if pgp.IsZero() {
		return nil
	}
	t, err := object.GetTree(store, pgp)
	if err != nil {
		return fmt.Errorf("cannot read folder keys/pgp: %w", err)
	}
	for _, e := range t.Entries {
		if !isFile(e) || !strings.HasSuffix(e.Name, ".asc") {
			return h.dieCommit(c.Hash, "the subdir may only contain .asc (PGP pub key) files")
		}
		if err := h.checkSize(store, c, e); err != nil {
			return err
		}
	}
	return nil
}

// checkLicenses is the default validator's reading. The strict one runs `pkgctl license check` in its place, which no
// machine but Arch's has; the twin uses the same rules for both.
func (h *hook) checkLicenses(store storer.EncodedObjectStorer, c *object.Commit, root *object.Tree) error {
	entries, err := h.folder(store, root, "LICENSES")
	if err != nil {
		return err
	}
	for _, e := range entries {
		ext := path.Ext(e.Name)
		if !isFile(e) || ext != ".md" && ext != ".txt" {
			return h.dieCommit(c.Hash, "the subdir may only contain files ending in .md or .txt")
		}
		if name := strings.TrimSuffix(e.Name, ext); !slices.Contains(h.licenses, name) && !strings.HasPrefix(name, "LicenseRef-") {
			return h.dieCommit(c.Hash, "files in this subdir must either be named after an acceptable SPDX license or start with `LicenseRef-`")
		}
	}
	return nil
}
