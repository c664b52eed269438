// Package check turns a check into a step of a plan.
//
// A check looks at something and says what it expected and what it found. It never fails a run: a check that cannot
// look leaves [gate.Unknown] with its reason, and the gate decides what that is worth.
package check

import (
	"context"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// A Check collects one kind of evidence.
type Check interface {
	// Name is what a gate's criteria call the evidence.
	Name() string
	// Check looks. An error means that it could not look at all; what it saw, good or bad, is evidence.
	Check(ctx context.Context, ws *pipeline.Workspace) (pipeline.Evidence, error)
}

// Step returns a step that runs one check and reports its evidence. With effect [pipeline.Local] the evidence is kept
// while the inputs are unchanged; with [pipeline.Pure] it is collected again on every run while a gate that needs it is
// open.
func Step(sp pipeline.Spec, c Check) pipeline.Step {
	sp.Checks = []string{c.Name()}
	return step{sp, c}
}

type step struct {
	spec  pipeline.Spec
	check Check
}

func (s step) Spec() pipeline.Spec { return s.spec }

func (s step) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	e, err := s.check.Check(ctx, ws)
	if ctx.Err() != nil {
		return nil, ctx.Err() // interrupted, which says nothing about what was looked at
	}
	if e.Check = s.check.Name(); err != nil {
		e.Verdict, e.Summary = gate.Unknown, err.Error()
	}
	ws.Report(e)
	return nil, nil
}
