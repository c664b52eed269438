package pipeline

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/internal/flow"
	"github.com/imrightguy/slipway/pipeline/internal/set"
)

// A Plan is an ordered, checked set of steps. Its exported fields are data and survive JSON; only a plan made by
// [NewPlan] can be run.
type Plan struct {
	Env    Env    `json:"env"`
	Specs  []Spec `json:"steps"`
	Digest string `json:"digest"` // SHA-256 of the JSON of Env and Specs

	steps []Step
	gates []int // positions of gates and proofs
	flow  flow.Flow
}

var validID = regexp.MustCompile(`^[a-z][a-z0-9-]*(/[A-Za-z0-9][A-Za-z0-9._+@~-]*)+$`)

// PhaseOf returns the phase of a step ID: "build" for build/deb/amd64, gate/build and proof/build.
func PhaseOf(id string) string {
	first, rest, _ := strings.Cut(id, "/")
	if first == "gate" || first == "proof" {
		first, _, _ = strings.Cut(rest, "/")
	}
	return first
}

// NewPlan asks each phase for its steps and checks the whole: every rule of the package comment that can be
// known beforehand. The error names the step.
func NewPlan(ctx context.Context, env Env, phases ...Phase) (*Plan, error) {
	p := &Plan{Env: env}
	for _, ph := range phases {
		steps, err := ph.Plan(ctx, &env)
		if err != nil {
			return nil, fmt.Errorf("cannot plan %s: %w", ph.Name(), err)
		}
		for _, s := range steps {
			sp := s.Spec()
			if PhaseOf(sp.ID) != ph.Name() {
				return nil, fmt.Errorf("step %q does not belong to phase %s", sp.ID, ph.Name())
			}
			p.steps, p.Specs = append(p.steps, s), append(p.Specs, sp)
		}
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	p.Digest = gate.Sum(p.Env, p.Specs)
	return p, nil
}

// check walks the steps once, in order.
func (p *Plan) check() error {
	gated := make([]bool, len(p.Specs))    // a gate is upstream
	past := make([]set.Ints, len(p.Specs)) // the permanent steps upstream, and the step itself if it is one
	var permanent []string
	for i, s := range p.steps {
		sp := p.Specs[i]
		g, isGate := s.(gateStep)
		_, probes := s.(Prober)
		_, undoes := s.(Undoer)
		if !validID.MatchString(sp.ID) {
			return fmt.Errorf("step %q is not named phase/name[/arch]", sp.ID)
		}
		if p.flow.Has(sp.ID) {
			return fmt.Errorf("two steps are named %q", sp.ID)
		}
		if (strings.HasPrefix(sp.ID, "gate/") || strings.HasPrefix(sp.ID, "proof/")) != isGate {
			return fmt.Errorf("step %q: gates, and only gates, are named gate/PHASE or proof/PHASE", sp.ID)
		}
		for _, n := range sp.Needs { // earlier steps only: no cycles
			k, ok := p.flow.Index[n]
			if !ok {
				return fmt.Errorf("step %s needs %q, which is not an earlier step", sp.ID, n)
			}
			gated[i] = gated[i] || gated[k] || strings.HasPrefix(n, "gate/")
			past[i] = past[i].Union(past[k])
		}
		switch {
		case sp.Effect < Pure || sp.Effect > Permanent:
			return fmt.Errorf("step %s has no valid effect", sp.ID)
		case sp.Effect.Outward() && !probes:
			return fmt.Errorf("step %s reaches others but has no Probe", sp.ID)
		case sp.Effect == Remote && !undoes:
			return fmt.Errorf("step %s is remote but has no Undo; is it permanent?", sp.ID)
		case sp.Effect == Permanent && undoes:
			return fmt.Errorf("step %s is permanent but has an Undo; is it remote?", sp.ID)
		case sp.Effect.Outward() && !gated[i]:
			return fmt.Errorf("step %s reaches others but no gate comes before it", sp.ID)
		case sp.Effect != Local && len(sp.Outputs) > 0:
			return fmt.Errorf("step %s has outputs but is not local", sp.ID)
		case sp.Effect == Remote:
			if k := past[i].Missing(len(permanent)); k >= 0 {
				return fmt.Errorf("step %s can be undone and comes after %s, which cannot, so it must need it", sp.ID, permanent[k])
			}
		case sp.Effect == Permanent:
			past[i] = past[i].With(len(permanent))
			permanent = append(permanent, sp.ID)
		}
		if err := p.flow.Add(sp.ID, sp.Needs, sp.Inputs, sp.Outputs); err != nil {
			return err
		}
		if isGate {
			p.gates = append(p.gates, i)
			var reported []string
			for _, n := range sp.Needs {
				reported = append(reported, p.Specs[p.flow.Index[n]].Checks...)
			}
			if err := g.Validate(reported); err != nil {
				return fmt.Errorf("step %s: %w", sp.ID, err)
			}
		}
	}
	return nil
}

func has[V any](m map[string]V, key string) bool { _, ok := m[key]; return ok }
