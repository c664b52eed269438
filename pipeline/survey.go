package pipeline

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/imrightguy/slipway/pipeline/gate"
)

// StepState says how a step stands. An empty Last.Event means that it has not begun.
type StepState struct {
	Spec    Spec        `json:"spec"`
	Last    Record      `json:"last"`
	Current bool        `json:"current"`        // done, of the same Spec and inputs as now, and so is all it needs
	Gate    *gate.State `json:"gate,omitempty"` // of a gate or proof
}

// Survey is what a journal says of a plan.
type Survey struct {
	Run     string      `json:"run,omitempty"`
	Old     *Plan       `json:"-"` // the journal's plan where it is another one, else nil
	Steps   []StepState `json:"steps"`
	Refused error       `json:"-"` // why the plan cannot take the place of Old, even by amending
}

// Survey looks at the plan and the journal and changes nothing.
func (p *Plan) Survey(o Options) (*Survey, error) {
	r, err := p.runner(o)
	if err != nil {
		return nil, err
	}
	s := &Survey{Run: r.st.run}
	if r.st.plan != nil && r.st.plan.Digest != p.Digest {
		s.Old, s.Refused = r.st.plan, r.amendable()
	}
	fresh := func(id string) bool { return s.Steps[p.flow.Index[id]].Current }
	for i, sp := range p.Specs {
		ss := StepState{Spec: sp, Last: r.st.last[sp.ID]}
		if ss.Current = r.st.current(p, sp) && !slices.ContainsFunc(sp.Needs, func(n string) bool { return !fresh(n) }); r.isGate(i) {
			g := p.evaluate(r.st, i, r.o, fresh)
			ss.Gate, ss.Current = &g, g.Closed || g.Verdict == gate.Pass
		}
		s.Steps = append(s.Steps, ss)
	}
	return s, nil
}

// ErrUnmade says that what a step reads has not been made.
var ErrUnmade = errors.New("what it reads has not been made yet")

// Look asks what the world has for one step, and changes nothing but temporary files: of an outward step what its Probe
// finds, of a pure one what it reports.
func (p *Plan) Look(ctx context.Context, o Options, id string) (Receipt, []Evidence, error) {
	r, err := p.runner(o)
	if err != nil {
		return nil, nil, err
	}
	i := p.flow.Index[id]
	ws, step := r.workspace(i), p.steps[i].Run
	if _, made := r.st.inputs(p, p.Specs[i]); !made {
		return nil, nil, ErrUnmade
	}
	if probe, outward := p.steps[i].(Prober); outward {
		step = probe.Probe
	}
	receipt, err := step(ctx, ws)
	return receipt, ws.evidence, errors.Join(err, os.RemoveAll(ws.root))
}

// State adds a signed statement to the journal. Whether it counts is decided whenever its gate is evaluated.
func (p *Plan) State(o Options, s gate.Statement) error {
	r, err := p.runner(o)
	if err != nil {
		return err
	}
	if r.st.run == "" || r.st.plan.Digest != p.Digest {
		return &PlanError{Old: r.st.plan, New: p}
	}
	return r.append(Record{Event: Stated, Statement: &s})
}
