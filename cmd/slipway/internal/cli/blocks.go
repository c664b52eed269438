package cli

import (
	"slices"
	"strings"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// blocks finds what keeps the step named of, or the whole release where that is empty, from going on: what is at the
// root, not what merely comes later.
func (a *app) blocks(r *release, s *pipeline.Survey, of string) (out []ui.Block) {
	index := make(map[string]int, len(s.Steps))
	wanted := make([]bool, len(s.Steps))
	for i, st := range s.Steps {
		index[st.Spec.ID] = i
		wanted[i] = of == "" || st.Spec.ID == of
	}
	for i, st := range slices.Backward(s.Steps) {
		for _, n := range st.Spec.Needs {
			wanted[index[n]] = wanted[index[n]] || wanted[i]
		}
	}
	idle := ui.Block{}
	for i, st := range s.Steps {
		ready := !slices.ContainsFunc(st.Spec.Needs, func(n string) bool { return !s.Steps[index[n]].Current })
		switch {
		case !wanted[i] || st.Current:
		case st.Gate != nil && ready:
			for _, b := range st.Gate.Blocks {
				out = append(out, a.gateBlock(r, *st.Gate, b))
			}
		case st.Gate != nil:
		case st.Last.Event == pipeline.Failed:
			kind := "failed"
			if strings.Contains(st.Last.Error, pipeline.ErrConflict.Error()) {
				kind = "conflict"
			}
			out = append(out, a.stepBlock(r, kind, st, st.Last.Error))
		case st.Last.Event == pipeline.Started:
			out = append(out, a.stepBlock(r, "unknown", st, "it was begun, and no record says how it ended"))
		case ready && idle.Kind == "":
			why := "it has not run yet"
			if st.Last.Event == pipeline.Done {
				why = "what it was made of has changed: it will be made again"
			}
			idle = a.stepBlock(r, "missing", st, why)
		}
	}
	if len(out) == 0 && idle.Kind != "" {
		out = append(out, idle)
	}
	return out
}

func (a *app) stepBlock(r *release, kind string, st pipeline.StepState, why string) ui.Block {
	return ui.Block{Block: gate.Block{Kind: kind, Step: st.Spec.ID, Why: why}, Command: a.goOn(r)}
}

// gateBlock adds to what blocks a gate who can unblock it, and how.
func (a *app) gateBlock(r *release, g gate.State, b gate.Block) ui.Block {
	out := ui.Block{Block: b, Command: a.goOn(r)}
	switch {
	case b.Kind == "failed" && asks(g, b, phases.RehearsalOfRelease):
		out.Command = a.command("rehearse")
	case b.Kind == "failed" && asks(g, b, phases.RehearsalOfRollback):
		out.Command = a.command("rehearse", "--rollback")
	case b.Kind == "failed": // what was seen stands until something else is there to be looked at
		out.Command = a.retry(r)
	case b.Kind == "waiting" && b.What != "":
		out.Command = a.signs(r, "attest", b.Step, b.What)
	case b.Kind == "waiting":
		out.Command = a.signs(r, "approve", b.Step)
	}
	if b.Who != "" {
		out.People = r.people(b.Who)
	}
	return out
}

// asks reports whether what blocks a gate is a criterion that asks for a check.
func asks(g gate.State, b gate.Block, check string) bool {
	return slices.ContainsFunc(g.Criteria, func(c gate.CriterionState) bool { return c.Title == b.What && c.Check == check })
}

// next lists what to do now: the commands of the blocks, each once, with who it is for.
func (a *app) next(r *release, s *pipeline.Survey, blocks []ui.Block) (out []string) {
	if s.Old != nil {
		return []string{a.asItIsNow(r) + "  (goes on with the plan as it is now)"}
	}
	for _, b := range blocks {
		line := b.Command
		if b.Who != "" {
			line += "  (" + b.Who + ")"
		}
		if !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	if last := s.Steps[len(s.Steps)-1].Last; len(out) == 0 && last.Event != pipeline.Done { // a gate would pass now
		out = append(out, a.goOn(r))
	}
	return out
}

// waiting returns the gates that only an approval keeps from passing.
func waiting(s *pipeline.Survey) (out []gate.State) {
	for _, st := range s.Steps {
		if st.Gate != nil && wantsApproval(*st.Gate) {
			out = append(out, *st.Gate)
		}
	}
	return out
}

// wantsApproval reports whether all that a gate lacks is its approval, so that its request is final.
func wantsApproval(g gate.State) bool {
	return len(g.Blocks) == 1 && g.Blocks[0].Kind == "waiting" && g.Blocks[0].What == ""
}
