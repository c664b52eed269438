package phases

import (
	"context"
	"fmt"
	"slices"

	"github.com/imrightguy/slipway/phases/build"
	"github.com/imrightguy/slipway/pipeline"
)

// gatePhase is a phase of which there is only the gate so far: it reads what the build phase reports, and what people
// sign.
type gatePhase struct {
	phaseGate
	build  pipeline.Phase
	before string // the ID of the gate that comes before it
}

var _ pipeline.Phase = gatePhase{}

// Name is the phase's name.
func (p gatePhase) Name() string { return p.phase }

// Plan is the gate alone.
func (p gatePhase) Plan(ctx context.Context, env *pipeline.Env) ([]pipeline.Step, error) {
	steps, err := p.build.Plan(ctx, env)
	if err != nil {
		return nil, err
	}
	needs, checks := build.Reports(steps)
	if len(p.config.Criteria) == 0 {
		checks = nil // they were gate build's
	}
	g, err := p.config.Gate("gate/"+p.phase, p.title, checks)
	if err != nil {
		return nil, fmt.Errorf("gates.%s: %w", p.phase, err)
	}
	return []pipeline.Step{pipeline.NewGate(g, append(slices.Clone(needs), p.before)...)}, nil
}
