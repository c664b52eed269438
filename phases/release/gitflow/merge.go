package gitflow

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/hold"
	"github.com/imrightguy/slipway/pipeline"
)

// Merge returns the step release/merge: a merge commit, never a mere moving forward, of the version commit into the
// branch that people work on, as it is by then. A version that the branch holds is not merged: see package hold.
func Merge(c Config, o Options, needs ...string) pipeline.Step {
	s := &mergeStep{newFlow(c, o, MergeID, needs)}
	s.spec.Effect, s.spec.Target = pipeline.Permanent, c.Remote+" "+s.mergeRef()
	s.params(nil)
	return s
}

type mergeStep struct{ flow }

var _ pipeline.Prober = (*mergeStep)(nil)

// tries is how often the branch may move between looking at it and pushing to it.
const tries = 5

// Probe looks for the version commit in the branch: ours by the merge's trailer, adopted where a person has merged it.
func (s *mergeStep) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	a, objects, commit, err := s.begin(ctx, ws)
	if err != nil {
		return nil, err
	}
	_, r, err := s.look(ctx, ws, a, objects, commit)
	return r, err
}

func (s *mergeStep) begin(ctx context.Context, ws *pipeline.Workspace) (a gitremote.Access, objects *store, commit plumbing.Hash, err error) {
	id, err := s.commit(ws)
	if err != nil {
		return a, nil, commit, err
	}
	if s.c.MergeInto == "" {
		return a, nil, commit, errors.New("there is nothing to merge into")
	}
	if a, err = s.open(ctx, ws); err != nil {
		return a, nil, commit, err
	}
	objects, err = s.workshop(ws)
	return a, objects, plumbing.NewHash(id), err
}

// look fetches the branch and looks for the commit in it. The receipt is nil where it is not there.
func (f *flow) look(ctx context.Context, ws *pipeline.Workspace, a gitremote.Access, s *store, commit plumbing.Hash) (tip plumbing.Hash, r pipeline.Receipt, err error) {
	haves, err := s.haves(ws)
	if err != nil {
		return tip, nil, err
	}
	if err := a.Get(ctx, s, gitremote.Wanted{Refs: []string{f.mergeRef()}, Haves: haves}); err != nil {
		return tip, nil, err
	}
	ref, err := s.Reference(plumbing.ReferenceName(f.mergeRef()))
	if err != nil {
		return tip, nil, err
	}
	tip = ref.Hash()
	// The version commit comes after the base, so what comes before that need not be looked at.
	list, err := gitremote.Ahead(s, tip, []plumbing.Hash{plumbing.NewHash(ws.Env.Commit)})
	if err != nil {
		return tip, nil, err
	}
	if !slices.ContainsFunc(list, func(c *object.Commit) bool { return c.Hash == commit }) {
		return tip, nil, nil
	}
	r = pipeline.Receipt{"branch": f.c.MergeInto, "commit": commit.String()}
	for _, c := range list {
		if len(c.ParentHashes) > 1 && slices.Contains(c.ParentHashes[1:], commit) {
			r["merge"] = c.Hash.String()
			if run := marker(c.Message); run != "" {
				r[pipeline.Marker] = run
				break
			}
		}
	}
	return tip, r, nil
}

// Run merges and pushes. Where the branch moves in the meantime it looks again, a few times.
func (s *mergeStep) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	a, objects, commit, err := s.begin(ctx, ws)
	if err != nil {
		return nil, err
	}
	who, err := s.person(ws)
	if err != nil {
		return nil, err
	}
	for range tries {
		tip, there, err := s.look(ctx, ws, a, objects, commit)
		if err != nil || there != nil {
			return there, err
		}
		if err := s.unheld(objects, tip); err != nil {
			return nil, err
		}
		tree, err := objects.mergeTree(ctx, tip, commit)
		if err != nil {
			return nil, s.advise(err)
		}
		c := &object.Commit{
			Author: who, Committer: who, TreeHash: tree, ParentHashes: []plumbing.Hash{tip, commit},
			Message: "Merge release " + s.tag + "\n\n" + trailer + ws.Run + "\n",
		}
		if c.PGPSignature, err = s.sign(ctx, ws, c.EncodeWithoutSignature); err != nil {
			return nil, fmt.Errorf("cannot merge into %s: %w", s.c.MergeInto, err)
		}
		made, err := objects.add(c.Encode)
		if err != nil {
			return nil, fmt.Errorf("cannot merge into %s: %w", s.c.MergeInto, err)
		}
		err = push(ctx, ws, a, objects, made, s.mergeRef(), tip)
		if err == nil {
			return pipeline.Receipt{pipeline.Marker: ws.Run, "branch": s.c.MergeInto, "commit": commit.String(), "merge": made.String()}, nil
		}
		if !errors.Is(err, gitremote.ErrNotFastForward) {
			return nil, err
		}
		ws.Logf("%s has moved on, merging again", s.c.MergeInto)
	}
	return nil, fmt.Errorf("cannot merge into %s: it has moved %d times in the meantime; run again when it is calm", s.c.MergeInto, tries)
}

// unheld refuses to go on from a tip that holds the version. A hold that comes after it moves the branch, which is looked
// at again then.
func (f *flow) unheld(s *store, tip plumbing.Hash) error {
	c, err := object.GetCommit(s, tip)
	if err == nil {
		err = hold.RefuseOn(f.o.Version, func(path string) ([]byte, error) { return fileAt(s, c.TreeHash, path) })
	}
	if err != nil {
		return fmt.Errorf("%w (%w)", err, pipeline.ErrUntouched)
	}
	return nil
}

// advise says what a person can do about a merge that git cannot make.
func (f *flow) advise(err error) error {
	if _, ok := errors.AsType[*conflict](err); ok {
		return fmt.Errorf("cannot merge into %s: %w; merge tag %s by hand, push it and run again", f.c.MergeInto, err, f.tag)
	}
	return fmt.Errorf("cannot merge into %s: %w", f.c.MergeInto, err)
}
