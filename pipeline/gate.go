package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/pipeline/gate"
)

// NewGate returns the step for a gate or proof that reads the evidence of the steps it needs.
func NewGate(g gate.Gate, needs ...string) Step { return gateStep{g, needs} }

type gateStep struct {
	gate.Gate
	needs []string
}

func (g gateStep) Spec() Spec {
	b, _ := json.Marshal(g.Criteria) // strings only
	return Spec{ID: g.ID, Needs: g.needs, Params: map[string]string{"title": g.Title, "approve": g.Approve, "criteria": string(b)}}
}

func (g gateStep) Run(context.Context, *Workspace) (Receipt, error) {
	return nil, errors.New("cannot run a gate: the engine evaluates it")
}

// evaluate looks at gate i as the journal has it now. Only evidence of steps that are fresh counts.
func (p *Plan) evaluate(st *state, i int, o Options, fresh func(id string) bool) gate.State {
	g := p.steps[i].(gateStep)
	c := gate.Case{Plans: st.plans, Statements: st.statements, Verifier: o.Verifier, Now: o.Now().UTC()}
	c.Request = gate.Request{Project: p.Env.Project, Version: p.Env.Version, Run: st.run, Plan: p.Digest, Artifacts: map[string]string{}}
	var specs []Spec
	for _, k := range p.upstream(i) {
		specs = append(specs, p.Specs[k])
		for _, name := range p.Specs[k].Outputs {
			if a := st.artifacts[name]; a.Kind != KindTree {
				c.Request.Artifacts[name] = a.SHA256
			}
		}
	}
	c.Request.Steps = gate.Sum(specs)
	c.Evidence = func(check string) (out []Evidence) {
		for _, n := range g.needs {
			for _, e := range st.last[n].Evidence {
				if e.Check == check && fresh(n) {
					out = append(out, e)
				}
			}
		}
		return out
	}
	s := gate.Evaluate(g.Gate, c)
	s.Closed = p.closed(st, i)
	return s
}

// upstream lists step i and all steps it needs, directly or through others, in plan order.
func (p *Plan) upstream(i int) []int {
	seen, todo := map[int]bool{i: true}, []int{i}
	for len(todo) > 0 {
		k := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, n := range p.Specs[k].Needs {
			if j := p.flow.Index[n]; !seen[j] {
				seen[j], todo = true, append(todo, j)
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// closed reports whether gate i stands as recorded: an outward step that needs it directly has acted, or it is a
// proof that passed.
func (p *Plan) closed(st *state, i int) bool {
	id := p.Specs[i].ID
	if last := st.last[id]; last.Event != Done || last.Spec != gate.Sum(p.Specs[i]) {
		return false
	}
	return p.steps[i].(gateStep).Proof() || slices.ContainsFunc(p.Specs[i:], func(sp Spec) bool {
		return sp.Effect.Outward() && st.acted[sp.ID] && slices.Contains(sp.Needs, id)
	})
}

// before returns the last gate before outward step i, and a digest of what that lets through: the step as it is planned,
// whatever it needs, and the artifacts it reads that the gate has seen. Another tells of steps that are not as they were.
func (p *Plan) before(st *state, i int, another map[int]bool) (k int, digest string) {
	for _, k = range slices.Backward(p.upstream(i)) {
		if strings.HasPrefix(p.Specs[k].ID, "gate/") {
			break
		}
	}
	sp, seen := p.Specs[i], p.upstream(k)
	sp.Needs = nil
	parts := []any{sp}
	for _, in := range sp.Inputs {
		if name, is := strings.CutPrefix(in, "artifact:"); is && slices.Contains(seen, p.flow.Maker[name]) {
			parts = append(parts, st.artifacts[name].SHA256, another[p.flow.Maker[name]])
		}
	}
	return k, gate.Sum(parts...)
}

// strays refuses outward step i where it is not what the gate before it has passed for, and that is not asked again.
func (p *Plan) strays(st *state, i int, another map[int]bool) error {
	k, digest := p.before(st, i, another)
	if id := p.Specs[k].ID; p.closed(st, k) && st.last[id].Receipt[p.Specs[i].ID] != digest {
		return fmt.Errorf("%w: step %s, or what it would publish, is not what %s has passed for; put that back, or take back with rollback what was done, and run again", ErrDiffers, p.Specs[i].ID, id)
	}
	return nil
}

// open reports whether a gate that reads the evidence of step id is still evaluated.
func (p *Plan) open(st *state, id string) bool {
	return slices.ContainsFunc(p.gates, func(i int) bool {
		return slices.Contains(p.Specs[i].Needs, id) && !p.closed(st, i)
	})
}

// GateError is the error of a run that stops at a gate or proof.
type GateError struct{ State gate.State }

// Error names the gate and the first thing that blocks it.
func (e *GateError) Error() string { return e.State.Why() }

// Unwrap makes the error an [ErrGate].
func (e *GateError) Unwrap() error { return ErrGate }
