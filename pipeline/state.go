package pipeline

import (
	"fmt"
	"strings"

	"github.com/imrightguy/slipway/pipeline/gate"
)

// state is what a journal says, folded.
type state struct {
	run        string
	plan       *Plan             // the newest plan
	plans      []string          // digests of all plans, oldest first
	last       map[string]Record // the newest of started, done, failed, waiting, undone by step
	seq        map[string]int    // the position of that record in the journal
	artifacts  map[string]Artifact
	statements []gate.Statement
	acted      map[string]bool // outward steps whose effect stands, or may stand
	records    int
}

func fold(j Journal) (*state, error) {
	st := &state{last: map[string]Record{}, seq: map[string]int{}, acted: map[string]bool{}, artifacts: map[string]Artifact{}}
	for r, err := range j.Records() {
		if err != nil {
			return nil, err
		}
		if err := st.apply(r); err != nil {
			return nil, err
		}
	}
	return st, nil
}

func (st *state) apply(r Record) error {
	switch {
	case (r.Event == Begin) != (st.run == ""):
		return fmt.Errorf("cannot use the journal: record %q stands where it cannot", r.Event)
	case r.Event == Begin:
		st.run = r.Run
		fallthrough
	case r.Event == Amend:
		if r.Planned == nil || r.Planned.Digest != r.Plan || gate.Sum(r.Planned.Env, r.Planned.Specs) != r.Plan {
			return fmt.Errorf("cannot use the journal: its plan does not match its digest")
		}
		st.plan, st.plans = r.Planned, append(st.plans, r.Plan)
	}
	if r.Run != st.run || r.Plan != st.plans[len(st.plans)-1] {
		return fmt.Errorf("cannot use the journal: it holds a record of another run")
	}
	switch r.Event {
	case Stated:
		if r.Statement != nil {
			st.statements = append(st.statements, *r.Statement)
		}
	case Started, Done, Failed, Waiting, Undone:
		st.records++
		st.seq[r.Step], st.last[r.Step] = st.records, r
		st.acted[r.Step] = r.Event != Undone && (st.acted[r.Step] || r.Event == Started || r.Event == Done)
		for _, a := range r.Artifacts {
			st.artifacts[a.Name] = a
		}
	}
	return nil
}

// inputs digests everything that the step refers to; ok is false while some of it is not there yet.
func (st *state) inputs(p *Plan, sp Spec) (digest string, ok bool) {
	var parts []string
	for _, ref := range sp.Inputs {
		from, key, _ := p.flow.Source(ref)
		last := st.last[p.Specs[from].ID]
		if last.Event != Done {
			return "", false
		}
		value := gate.Sum(last.Receipt)
		if name, isArtifact := strings.CutPrefix(ref, "artifact:"); isArtifact {
			value = st.artifacts[name].SHA256
		} else if key != "" {
			value = last.Receipt[key]
		}
		parts = append(parts, ref, value)
	}
	return gate.Sum(parts), true
}

// current reports whether the step's newest record says done and still speaks of the same Spec and inputs.
func (st *state) current(p *Plan, sp Spec) bool {
	last := st.last[sp.ID]
	in, ok := st.inputs(p, sp)
	return ok && last.Event == Done && last.Spec == gate.Sum(sp) && last.Inputs == in
}
