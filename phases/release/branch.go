package release

import (
	"context"
	"errors"

	"github.com/imrightguy/slipway/phases/release/github"
	"github.com/imrightguy/slipway/pipeline"
)

// branch is gitflow's step, which stays where it is while somebody else's release stands on it. A branch cannot say who
// made it: of two runs that begin together one pushes it, and the other, whose draft came first, may be the one that
// goes on.
type branch struct {
	pipeline.Step
	hub *github.Release
}

var (
	_ pipeline.Prober = branch{}
	_ pipeline.Undoer = branch{}
)

var errNoBranch = errors.New("the step of the branch cannot be probed or undone")

// Probe is gitflow's.
func (b branch) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	p, ok := b.Step.(pipeline.Prober)
	if !ok {
		return nil, errNoBranch
	}
	return p.Probe(ctx, ws)
}

// Undo is gitflow's where nobody else needs the branch.
func (b branch) Undo(ctx context.Context, ws *pipeline.Workspace, r pipeline.Receipt) error {
	u, ok := b.Step.(pipeline.Undoer)
	if !ok {
		return errNoBranch
	}
	id, err := b.hub.Other(ctx, ws)
	if err != nil {
		return err
	}
	if id != 0 {
		ws.Logf("the branch stays: somebody else's release stands on it (id %d)", id)
		return nil
	}
	return u.Undo(ctx, ws, r)
}
