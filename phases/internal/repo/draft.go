package repo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"
)

// Draft is a commit on top of another one, in memory. Its IDs follow from its parent, its changes, its author and its
// message alone: it has the parent's time in UTC, and no signature unless it is signed.
type Draft struct {
	Commit

	repo  *Repo
	order []plumbing.Hash // the new objects: commit, trees from the root down, files
	fresh map[plumbing.Hash]plumbing.EncodedObject
}

// Person is an author and committer.
type Person struct{ Name, Mail string }

var person = regexp.MustCompile(`^([^<>]+) <([^<>\s]+)>$`)

// ParsePerson reads "Name <mail>".
func ParsePerson(s string) (Person, error) {
	m := person.FindStringSubmatch(s)
	if m == nil || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) || strings.TrimSpace(m[1]) != m[1] {
		return Person{}, fmt.Errorf("%q is not an author; want Name <mail>", s)
	}
	return Person{m[1], m[2]}, nil
}

// Draft makes a commit whose tree is that of the base commit with the given files' contents replaced. All of them must
// exist; their modes stay. A draft without changes has the base's tree.
func (r *Repo) Draft(base string, changes map[string][]byte, by Person, message string) (*Draft, error) {
	parent, err := r.Commit(base)
	if err != nil {
		return nil, err
	}
	d := &Draft{repo: r, fresh: map[plumbing.Hash]plumbing.EncodedObject{}}
	blobs := map[string]plumbing.Hash{}
	var trees, files []plumbing.Hash
	for _, path := range slices.Sorted(maps.Keys(changes)) {
		e, err := r.entry(plumbing.NewHash(parent.Tree), path)
		if err != nil {
			return nil, fmt.Errorf("cannot change %q: %w", path, err)
		}
		if id := plumbing.ComputeHash(plumbing.BlobObject, changes[path]); id != e.id {
			blobs[path] = id
			files = append(files, d.add(plumbing.BlobObject, changes[path]))
		}
	}
	tree := plumbing.NewHash(parent.Tree)
	if len(blobs) > 0 {
		if tree, err = d.tree(tree, "", blobs, &trees); err != nil {
			return nil, err
		}
	}
	who := object.Signature{Name: by.Name, Email: by.Mail, When: parent.Time}
	o := &plumbing.MemoryObject{}
	c := object.Commit{Author: who, Committer: who, Message: message, TreeHash: tree, ParentHashes: []plumbing.Hash{plumbing.NewHash(base)}}
	if err := c.Encode(o); err != nil {
		return nil, fmt.Errorf("cannot make a commit: %w", err)
	}
	d.fresh[o.Hash()] = o
	slices.Reverse(trees) // made from the leaves up
	for _, id := range slices.Concat([]plumbing.Hash{o.Hash()}, trees, files) {
		if !slices.Contains(d.order, id) {
			d.order = append(d.order, id)
		}
	}
	d.Commit = Commit{ID: o.Hash().String(), Tree: tree.String(), Time: parent.Time}
	return d, nil
}

// Sign puts a signature into the commit, which gets another ID by that: the armored one that sign returns for the
// commit's bytes as they are without one.
func (d *Draft) Sign(sign func(object []byte) (signature string, err error)) error {
	old := plumbing.NewHash(d.ID)
	c, plain := &object.Commit{}, &plumbing.MemoryObject{}
	if err := c.Decode(d.fresh[old]); err != nil {
		return fmt.Errorf("cannot sign commit %s: %w", Short(d.ID), err)
	}
	if err := c.EncodeWithoutSignature(plain); err != nil {
		return fmt.Errorf("cannot sign commit %s: %w", Short(d.ID), err)
	}
	r, err := plain.Reader()
	if err != nil {
		return err
	}
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if c.PGPSignature, err = sign(content); err != nil {
		return fmt.Errorf("cannot sign commit %s: %w", Short(d.ID), err)
	}
	o := &plumbing.MemoryObject{}
	if err := c.Encode(o); err != nil {
		return fmt.Errorf("cannot sign commit %s: %w", Short(d.ID), err)
	}
	delete(d.fresh, old)
	d.fresh[o.Hash()], d.order[0], d.ID = o, o.Hash(), o.Hash().String()
	return nil
}

func (d *Draft) add(t plumbing.ObjectType, content []byte) plumbing.Hash {
	o := &plumbing.MemoryObject{}
	o.SetType(t)
	_, _ = o.Write(content) // never fails
	d.fresh[o.Hash()] = o
	return o.Hash()
}

// tree makes the tree of a folder with the blobs below it replaced: only IDs change in it, so what else an unusual
// tree object holds stays.
func (d *Draft) tree(old plumbing.Hash, at string, blobs map[string]plumbing.Hash, made *[]plumbing.Hash) (plumbing.Hash, error) {
	content, err := d.repo.read(plumbing.TreeObject, old)
	if err != nil {
		return old, err
	}
	entries, err := parseTree(content)
	if err != nil {
		return old, err
	}
	content = bytes.Clone(content)
	for _, e := range entries {
		name := at + e.name
		id, changed := blobs[name]
		if e.kind == folder && slices.ContainsFunc(slices.Collect(maps.Keys(blobs)), func(p string) bool { return strings.HasPrefix(p, name+"/") }) {
			if id, err = d.tree(e.id, name+"/", blobs, made); err != nil {
				return old, err
			}
			changed = true
		}
		if changed {
			copy(content[e.at:], id[:])
		}
	}
	id := d.add(plumbing.TreeObject, content)
	*made = append(*made, id)
	return id, nil
}

// Pack writes the objects that the draft adds to its parent as one git pack (version 2, no deltas). Whether the
// repository happens to hold some of them already makes no difference to the bytes.
func (d *Draft) Pack(w io.Writer) error {
	s := memory.NewStorage()
	for _, o := range d.fresh {
		if _, err := s.SetEncodedObject(o); err != nil {
			return fmt.Errorf("cannot make a pack: %w", err)
		}
	}
	if _, err := packfile.NewEncoder(w, s, false).Encode(d.order, 0); err != nil {
		return fmt.Errorf("cannot make a pack: %w", err)
	}
	return nil
}

// Export is [Repo.Export] for the draft.
func (d *Draft) Export(ctx context.Context, dir string) error {
	return d.repo.export(ctx, d.fresh, d.Commit, dir)
}

// Short abbreviates a commit's ID to twelve digits: always as many, however many objects a clone has.
func Short(id string) string { return id[:min(len(id), 12)] }
