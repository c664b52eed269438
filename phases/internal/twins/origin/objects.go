package origin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/utils/merkletrie"

	"github.com/imrightguy/slipway/phases/internal/twins/github"
)

func unknown(what, sha string, err error) error {
	if err == nil || errors.Is(err, plumbing.ErrObjectNotFound) || errors.Is(err, object.ErrUnsupportedObject) {
		return fmt.Errorf("%s %q: %w", what, sha, github.ErrNotFound)
	}
	return fmt.Errorf("cannot read %s %q: %w", what, sha, err)
}

// Object implements [github.Refs].
func (r *Repository) Object(_ context.Context, sha string) (github.Object, error) {
	if !plumbing.IsHash(sha) {
		return github.Object{}, unknown("object", sha, nil)
	}
	o, err := r.store().EncodedObject(plumbing.AnyObject, plumbing.NewHash(sha))
	if err != nil {
		return github.Object{}, unknown("object", sha, err)
	}
	return github.Object{SHA: o.Hash().String(), Type: o.Type().String()}, nil
}

// Commit implements [github.Refs].
func (r *Repository) Commit(_ context.Context, sha string) (github.Commit, error) {
	c, err := commit(r.store(), sha)
	if err != nil {
		return github.Commit{}, err
	}
	return shown(c), nil
}

func commit(s storer.EncodedObjectStorer, sha string) (*object.Commit, error) {
	if !plumbing.IsHash(sha) {
		return nil, unknown("commit", sha, nil)
	}
	c, err := object.GetCommit(s, plumbing.NewHash(sha))
	if err != nil {
		return nil, unknown("commit", sha, err)
	}
	return c, nil
}

func shown(c *object.Commit) github.Commit {
	out := github.Commit{
		SHA: c.Hash.String(), Tree: c.TreeHash.String(), Message: c.Message,
		Author: signature(c.Author), Committer: signature(c.Committer),
	}
	for _, p := range c.ParentHashes {
		out.Parents = append(out.Parents, p.String())
	}
	return out
}

func signature(s object.Signature) github.Signature {
	return github.Signature{Name: s.Name, Email: s.Email, When: s.When}
}

// TagObject implements [github.Refs].
func (r *Repository) TagObject(_ context.Context, sha string) (github.Tag, error) {
	if !plumbing.IsHash(sha) {
		return github.Tag{}, unknown("tag", sha, nil)
	}
	t, err := object.GetTag(r.store(), plumbing.NewHash(sha))
	if err != nil {
		return github.Tag{}, unknown("tag", sha, err)
	}
	return github.Tag{
		SHA: t.Hash.String(), Name: t.Name, Message: t.Message, Tagger: signature(t.Tagger),
		Target: github.Object{SHA: t.Target.String(), Type: t.TargetType.String()}, PGPSignature: t.PGPSignature,
	}, nil
}

// CreateTagObject implements [github.Refs].
func (r *Repository) CreateTagObject(ctx context.Context, t github.Tag) (github.Tag, error) {
	target, err := r.Object(ctx, t.Target.SHA)
	if err != nil {
		return github.Tag{}, err
	}
	if target.Type != t.Target.Type {
		return github.Tag{}, unknown(t.Target.Type, t.Target.SHA, nil)
	}
	kind, err := plumbing.ParseObjectType(target.Type)
	if err != nil {
		return github.Tag{}, fmt.Errorf("cannot tag %s: %w", target.SHA, err)
	}
	if t.Message != "" && t.Message[len(t.Message)-1] != '\n' {
		t.Message += "\n"
	}
	s := r.store()
	o := s.NewEncodedObject()
	tag := object.Tag{
		Name: t.Name, Message: t.Message, Target: plumbing.NewHash(target.SHA), TargetType: kind, PGPSignature: t.PGPSignature,
		Tagger: object.Signature{Name: t.Tagger.Name, Email: t.Tagger.Email, When: t.Tagger.When},
	}
	if err := tag.Encode(o); err != nil {
		return github.Tag{}, fmt.Errorf("cannot make tag %q: %w", t.Name, err)
	}
	hash, err := s.SetEncodedObject(o)
	if err != nil {
		return github.Tag{}, fmt.Errorf("cannot make tag %q: %w", t.Name, err)
	}
	t.SHA = hash.String()
	return t, nil
}

// ancestors holds a commit and everything before it.
func ancestors(s storer.EncodedObjectStorer, sha string) (map[plumbing.Hash]*object.Commit, error) {
	from, err := commit(s, sha)
	if err != nil {
		return nil, err
	}
	seen := map[plumbing.Hash]*object.Commit{from.Hash: from}
	for queue := []*object.Commit{from}; len(queue) > 0; queue = queue[1:] {
		for _, p := range queue[0].ParentHashes {
			if seen[p] != nil {
				continue
			}
			c, err := object.GetCommit(s, p)
			if err != nil {
				return nil, fmt.Errorf("cannot read the history of %s: %w", sha, err)
			}
			seen[p] = c
			queue = append(queue, c)
		}
	}
	return seen, nil
}

// descends tells whether moving a ref from one object to another loses nothing. What is no commit has no descendants.
func descends(s storer.EncodedObjectStorer, from, to string) (bool, error) {
	if from == to {
		return true, nil
	}
	before, err := object.GetCommit(s, plumbing.NewHash(from))
	if err != nil {
		return false, nil //nolint:nilerr // a tag or a tree
	}
	after, err := object.GetCommit(s, plumbing.NewHash(to))
	if err != nil {
		return false, nil //nolint:nilerr // a tag or a tree
	}
	ok, err := before.IsAncestor(after)
	if err != nil {
		return false, fmt.Errorf("cannot compare %s with %s: %w", from, to, err)
	}
	return ok, nil
}

// Compare implements [github.Refs].
func (r *Repository) Compare(ctx context.Context, base, head string) (github.Comparison, error) {
	s := r.store()
	inBase, err := ancestors(s, base)
	if err != nil {
		return github.Comparison{}, err
	}
	inHead, err := ancestors(s, head)
	if err != nil {
		return github.Comparison{}, err
	}
	from, to := inBase[plumbing.NewHash(base)], inHead[plumbing.NewHash(head)]
	bases, err := from.MergeBase(to)
	if err != nil {
		return github.Comparison{}, fmt.Errorf("cannot compare %s with %s: %w", base, head, err)
	}
	if len(bases) == 0 {
		return github.Comparison{}, github.ErrNoCommonAncestor
	}
	c := github.Comparison{MergeBase: bases[0].Hash.String()}
	ahead, err := oldestFirst(to, inBase)
	if err != nil {
		return github.Comparison{}, err
	}
	for _, a := range ahead {
		c.Ahead = append(c.Ahead, shown(a))
	}
	for h := range inBase {
		if inHead[h] == nil {
			c.Behind++
		}
	}
	c.Files, err = files(ctx, bases[0], to)
	return c, err
}

// oldestFirst lists what leads to a commit and is not in a set, parents before children.
func oldestFirst(to *object.Commit, without map[plumbing.Hash]*object.Commit) (list []*object.Commit, err error) {
	done := map[plumbing.Hash]bool{}
	type visit struct {
		c      *object.Commit
		leaves bool
	}
	for stack := []visit{{c: to}}; len(stack) > 0; {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if v.leaves {
			list = append(list, v.c)
			continue
		}
		if done[v.c.Hash] || without[v.c.Hash] != nil {
			continue
		}
		done[v.c.Hash] = true
		stack = append(stack, visit{v.c, true})
		for i := range slices.Backward(v.c.ParentHashes) { // the first parent's line comes first
			p, err := v.c.Parent(i)
			if err != nil {
				return nil, fmt.Errorf("cannot read the history of %s: %w", to.Hash, err)
			}
			stack = append(stack, visit{c: p})
		}
	}
	return list, nil
}

func files(ctx context.Context, from, to *object.Commit) ([]github.FileChange, error) {
	fail := func(err error) ([]github.FileChange, error) {
		return nil, fmt.Errorf("cannot compare %s with %s: %w", from.Hash, to.Hash, err)
	}
	a, err := from.Tree()
	if err != nil {
		return fail(err)
	}
	b, err := to.Tree()
	if err != nil {
		return fail(err)
	}
	changes, err := object.DiffTreeWithOptions(ctx, a, b, nil)
	if err != nil {
		return fail(err)
	}
	var list []github.FileChange
	for _, c := range changes {
		action, err := c.Action()
		if err != nil {
			return fail(err)
		}
		f := github.FileChange{Name: c.To.Name, SHA: c.To.TreeEntry.Hash.String(), Status: "modified"}
		entry := c.To.TreeEntry
		switch action {
		case merkletrie.Insert:
			f.Status = "added"
		case merkletrie.Delete:
			f.Status, f.Name, f.SHA, entry = "removed", c.From.Name, c.From.TreeEntry.Hash.String(), c.From.TreeEntry
		}
		if entry.Mode != filemode.Submodule {
			patch, err := c.PatchContext(ctx)
			if err != nil {
				return fail(err)
			}
			for _, s := range patch.Stats() {
				f.Additions += s.Addition
				f.Deletions += s.Deletion
			}
		}
		list = append(list, f)
	}
	slices.SortFunc(list, func(x, y github.FileChange) int {
		if x.Name < y.Name {
			return -1
		}
		return 1
	})
	return list, nil
}
