package release

import (
	"context"
	"errors"

	"github.com/imrightguy/slipway/phases/release/github"
	"github.com/imrightguy/slipway/pipeline"
)

// kept is a step of gitflow's that is not taken back once people have the release: GitHub makes a draft of a release
// whose tag is deleted, and its files are gone for whoever downloads them. The journal does not always say that they have
// it: another machine with a copy of it may have carried the release on.
type kept struct {
	pipeline.Step
	hub *github.Release
}

var (
	_ pipeline.Prober = kept{}
	_ pipeline.Undoer = kept{}
)

var errKept = errors.New("the step cannot be probed or undone")

// Probe is gitflow's.
func (k kept) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	p, ok := k.Step.(pipeline.Prober)
	if !ok {
		return nil, errKept
	}
	return p.Probe(ctx, ws)
}

// Undo is gitflow's where nobody has the release.
func (k kept) Undo(ctx context.Context, ws *pipeline.Workspace, r pipeline.Receipt) error {
	u, ok := k.Step.(pipeline.Undoer)
	if !ok {
		return errKept
	}
	if err := k.hub.Unreached(ctx, ws); err != nil {
		return err
	}
	return u.Undo(ctx, ws, r)
}

// branch is a kept step that stays where it is while somebody else's release stands on it, too. A branch cannot say who
// made it: of two runs that begin together one pushes it, and the other, whose draft came first, may be the one that
// goes on.
type branch struct{ kept }

// Undo is that of a kept step where nobody else needs the branch.
func (b branch) Undo(ctx context.Context, ws *pipeline.Workspace, r pipeline.Receipt) error {
	id, err := b.hub.Other(ctx, ws)
	if err != nil {
		return err
	}
	if id != 0 {
		ws.Logf("the branch stays: somebody else's release stands on it (id %d)", id)
		return nil
	}
	return b.kept.Undo(ctx, ws, r)
}
