package gitflow

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/pipeline"
)

// Branch returns the step release/branch, which pushes the version commit as a branch of its own.
func Branch(c Config, o Options, needs ...string) pipeline.Step {
	s := &branchStep{newFlow(c, o, BranchID, needs)}
	s.spec.Effect, s.spec.Target = pipeline.Remote, c.Remote+" "+s.branchRef()
	s.spec.Params = map[string]string{"branch": s.branch}
	return s
}

type branchStep struct{ flow }

var (
	_ pipeline.Prober = (*branchStep)(nil)
	_ pipeline.Undoer = (*branchStep)(nil)
)

// Probe adopts the branch where it is at the version commit: a branch cannot say who made it.
func (s *branchStep) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	commit, err := s.commit(ws)
	if err != nil {
		return nil, err
	}
	a, err := s.open(ctx, ws)
	if err != nil {
		return nil, err
	}
	refs, err := a.Refs(ctx)
	if err != nil {
		return nil, err
	}
	switch now := refs[s.branchRef()].Hash; now {
	case "":
		return nil, nil
	case commit:
		return pipeline.Receipt{"branch": s.branch, "commit": commit}, nil
	default:
		return nil, fmt.Errorf("%w: branch %s is %s, the version commit is %s; delete the branch there if nobody needs it, or release another version", pipeline.ErrConflict, s.branch, now, commit)
	}
}

// Run pushes the branch.
func (s *branchStep) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	commit, err := s.commit(ws)
	if err != nil {
		return nil, err
	}
	if s.existing() {
		return nil, errors.New("with tag: existing there is no branch")
	}
	a, err := s.open(ctx, ws)
	if err != nil {
		return nil, err
	}
	objects, err := s.workshop(ws)
	if err != nil {
		return nil, err
	}
	if err := s.deepen(ctx, a, objects); err != nil {
		return nil, err
	}
	if err := push(ctx, ws, a, objects, plumbing.NewHash(commit), s.branchRef(), plumbing.ZeroHash); err != nil {
		return nil, err
	}
	return pipeline.Receipt{pipeline.Marker: ws.Run, "branch": s.branch, "commit": commit}, nil
}

// Undo deletes the branch if it is still where it was pushed to.
func (s *branchStep) Undo(ctx context.Context, ws *pipeline.Workspace, r pipeline.Receipt) error {
	return s.remove(ctx, ws, "refs/heads/"+r["branch"], r["commit"])
}

// push pushes one ref and shows what the remote says.
func push(ctx context.Context, ws *pipeline.Workspace, a gitremote.Access, s *store, from plumbing.Hash, ref string, old plumbing.Hash) error {
	lines, err := a.Push(ctx, s, from, ref, old)
	for _, line := range lines {
		ws.Logf("remote: %s", line)
	}
	if errors.Is(err, gitremote.ErrExists) {
		return fmt.Errorf("%w: %w", pipeline.ErrConflict, err)
	}
	return err
}

// remove deletes a ref that still is what a receipt says.
func (f *flow) remove(ctx context.Context, ws *pipeline.Workspace, ref, hash string) error {
	if !plumbing.IsHash(hash) {
		return fmt.Errorf("the receipt does not say what %s was", ref)
	}
	a, err := f.open(ctx, ws)
	if err != nil {
		return err
	}
	if err := a.Delete(ctx, ref, plumbing.NewHash(hash)); errors.Is(err, gitremote.ErrExists) {
		return fmt.Errorf("%w: somebody has moved it, so it is left as it is: %w", pipeline.ErrConflict, err)
	} else if err != nil {
		return err
	}
	return nil
}

// Tag returns the step release/tag: an annotated tag of the version commit, or the one that people have made.
func Tag(c Config, o Options, needs ...string) pipeline.Step {
	s := &tagStep{newFlow(c, o, TagID, needs)}
	s.spec.Effect, s.spec.Target = pipeline.Remote, c.Remote+" "+s.tagRef()
	s.params(nil)
	return s
}

type tagStep struct{ flow }

var (
	_ pipeline.Prober = (*tagStep)(nil)
	_ pipeline.Undoer = (*tagStep)(nil)
)

// Probe looks at the tag: ours by its trailer, adopted where it is an annotated tag of the same commit, else a conflict.
func (s *tagStep) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	commit, err := s.commit(ws)
	if err != nil {
		return nil, err
	}
	a, err := s.open(ctx, ws)
	if err != nil {
		return nil, err
	}
	refs, err := a.Refs(ctx)
	if err != nil {
		return nil, err
	}
	ref, there := refs[s.tagRef()]
	if !there {
		return nil, nil
	}
	if ref.Peeled != commit {
		return nil, fmt.Errorf("%w: tag %s is of commit %s, not of %s; a tag is never moved, so this needs another version", pipeline.ErrConflict, s.tag, ref.Peeled, commit)
	}
	objects, err := newStore(ws, "probe")
	if err != nil {
		return nil, err
	}
	tag, err := s.fetchTag(ctx, a, objects)
	if errors.Is(err, errLightweight) {
		return nil, fmt.Errorf("%w: %w", pipeline.ErrConflict, err)
	} else if err != nil {
		return nil, err
	}
	if tag.Target.String() != commit || tag.TargetType != plumbing.CommitObject || tag.Name != s.tag {
		return nil, fmt.Errorf("%w: tag %s names itself %q and %s %s", pipeline.ErrConflict, s.tag, tag.Name, tag.TargetType, tag.Target)
	}
	r := pipeline.Receipt{"tag": s.tag, "object": tag.Hash.String(), "commit": commit}
	if run := marker(tag.Message); run != "" {
		r[pipeline.Marker] = run
	}
	return r, nil
}

var errLightweight = errors.New("it is lightweight, so nobody knows who made it; want an annotated one")

// fetchTag gets a tag's object and its commit's tree, of files only those that could carry a version.
func (f *flow) fetchTag(ctx context.Context, a gitremote.Access, s *store) (*object.Tag, error) {
	if err := a.Get(ctx, s, gitremote.Wanted{Refs: []string{f.tagRef()}, Depth: 1, Filter: carrierSized}); err != nil {
		return nil, err
	}
	ref, err := s.Reference(plumbing.ReferenceName(f.tagRef()))
	if err != nil {
		return nil, err
	}
	tag, err := object.GetTag(s, ref.Hash())
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, fmt.Errorf("tag %s: %w", f.tag, errLightweight)
	}
	return tag, err
}

// carrierSized leaves out what is too large to carry a version, carrier.MaxSize.
var carrierSized = packp.FilterBlobLimit(1<<20+1, packp.BlobLimitPrefixNone)

// Run makes the tag and pushes it, after a last look at what it would say.
func (s *tagStep) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	commit, err := s.commit(ws)
	if err != nil {
		return nil, err
	}
	if s.existing() {
		return nil, fmt.Errorf("%s has no tag %s, and release.yaml says that people make it: git tag -a %s, then git push origin %s", s.c.Remote, s.tag, s.tag, s.tag)
	}
	a, err := s.open(ctx, ws)
	if err != nil {
		return nil, err
	}
	objects, err := s.workshop(ws)
	if err != nil {
		return nil, err
	}
	hash := plumbing.NewHash(commit)
	if err := s.truth(objects, hash); err != nil {
		return nil, fmt.Errorf("cannot tag %s: %w", s.tag, err)
	}
	refs, err := a.Refs(ctx)
	if err != nil {
		return nil, err
	}
	if err := shared(s.others(refs, commit)); err != nil {
		return nil, fmt.Errorf("cannot tag %s: %w", s.tag, err)
	}
	who, err := s.person(ws)
	if err != nil {
		return nil, err
	}
	tag := &object.Tag{
		Name: s.tag, Tagger: who, TargetType: plumbing.CommitObject, Target: hash,
		Message: "Release " + s.tag + "\n\n" + trailer + ws.Run + "\n",
	}
	// A tag's signature stands behind its message (gitformat-signature(5)).
	if tag.PGPSignature, err = s.sign(ctx, ws, tag.EncodeWithoutSignature); err != nil {
		return nil, fmt.Errorf("cannot tag %s: %w", s.tag, err)
	}
	made, err := objects.add(tag.Encode)
	if err != nil {
		return nil, fmt.Errorf("cannot tag %s: %w", s.tag, err)
	}
	if err := s.deepen(ctx, a, objects); err != nil {
		return nil, err
	}
	if err := push(ctx, ws, a, objects, made, s.tagRef(), plumbing.ZeroHash); err != nil {
		return nil, err
	}
	return pipeline.Receipt{pipeline.Marker: ws.Run, "tag": s.tag, "object": made.String(), "commit": commit}, nil
}

// Undo deletes the tag if it is still the object that was pushed.
func (s *tagStep) Undo(ctx context.Context, ws *pipeline.Workspace, r pipeline.Receipt) error {
	return s.remove(ctx, ws, "refs/tags/"+r["tag"], r["object"])
}
