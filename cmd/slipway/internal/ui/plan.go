package ui

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/imrightguy/slipway/pipeline"
)

// Plan shows a plan, compared with the world where that was asked for.
type Plan struct {
	*pipeline.Plan
	Probes []Probe `json:"probes,omitempty"` // one for each step
}

// Probe says what a run would find at a step.
type Probe struct {
	Step string `json:"step"`
	Sign string `json:"sign"` // + it would be made, = it is there already, ! something else is there, ? not known, # a gate
	Why  string `json:"why,omitempty"`
}

// effectSigns mark in a plan how far a step reaches.
var effectSigns = map[pipeline.Effect]Cell{
	pipeline.Pure: {Text: "?"}, pipeline.Local: {Text: "+", Style: Green},
	pipeline.Remote: {Text: ">", Style: Yellow}, pipeline.Permanent: {Text: "!", Style: Red},
}

// Show lists the steps by phase.
func (v Plan) Show(p *Page) {
	e := v.Env
	p.Line(Cell{e.Project + " " + e.Version, Bold}, Cell{Text: fmt.Sprintf("  base %s of %s  plan %s", Short(e.Commit), e.Time.Format(time.DateOnly), Short(v.Digest))})
	probes := map[string]Probe{}
	for _, pr := range v.Probes {
		probes[pr.Step] = pr
	}
	var rows []Row
	phase := ""
	flush := func() {
		if len(rows) > 0 {
			p.Gap()
			p.Line(Cell{phase, Bold})
			p.Rows("  ", rows...)
			rows = nil
		}
	}
	effects := map[pipeline.Effect]int{}
	gates := 0
	for _, sp := range v.Specs {
		if ph := pipeline.PhaseOf(sp.ID); ph != phase {
			flush()
			phase = ph
		}
		effect, does := sp.Effect, does(sp)
		if effect == pipeline.Local && len(sp.Outputs) == 0 {
			effect = pipeline.Pure // it keeps what it saw, and makes nothing
		}
		sign := effectSigns[effect]
		if isGate(sp.ID) {
			sign = Cell{"#", Cyan}
			gates++
		} else {
			effects[effect]++
		}
		full := false
		if pr, ok := probes[sp.ID]; ok {
			sign, full = probeSign(pr.Sign), pr.Sign == "!" || pr.Sign == "?"
			if pr.Why != "" {
				does = pr.Why
			}
		}
		rows = append(rows, Row{Sign: sign, Name: strings.TrimPrefix(sp.ID, phase+"/"), Text: does, Full: full})
	}
	flush()
	p.Gap()
	if v.Probes != nil {
		p.Line(Cell{Text: "+ to do   = there already   ! in the way   ? not known   # gate"})
		return
	}
	p.Line(Cell{Text: "+ makes files here   ? looks   # gate   > others see it, can be taken back   ! others see it, permanent"})
	out := fmt.Sprintf("%s: %d to make files, %d to look at them, %s; ", Count(len(v.Specs), "step"), effects[pipeline.Local], effects[pipeline.Pure], Count(gates, "gate"))
	if n := effects[pipeline.Remote] + effects[pipeline.Permanent]; n > 0 {
		out += fmt.Sprintf("%s that others see, %d of them permanent", Count(n, "step"), effects[pipeline.Permanent])
	} else {
		out += "nothing leaves this machine"
	}
	p.Line(Cell{Text: out})
}

// Conflicts counts the steps at which something else is there.
func (v Plan) Conflicts() (n int) {
	for _, pr := range v.Probes {
		if pr.Sign == "!" {
			n++
		}
	}
	return n
}

func probeSign(sign string) Cell {
	return Cell{sign, map[string]Style{"+": Green, "!": Red, "?": Yellow, "#": Cyan}[sign]}
}

// does says what a step is for: what it acts on, makes or checks.
func does(sp pipeline.Spec) string {
	switch {
	case isGate(sp.ID):
		text := sp.Params["title"]
		if text == "" {
			text = fmt.Sprintf("reads %s", Count(len(sp.Needs), "step"))
		}
		if role := sp.Params["approve"]; role != "" {
			text += ", approved by " + role
		}
		return text
	case sp.Target != "":
		return sp.Target
	case len(sp.Outputs) > 0:
		return strings.Join(sp.Outputs, "  ")
	case len(sp.Checks) > 0:
		return "check " + strings.Join(sp.Checks, ", ")
	}
	return ""
}

// Diff says in lines for people how plan b differs from plan a; none if they are the same.
func Diff(a, b *pipeline.Plan) []string {
	var out []string
	say := func(what, from, to string) {
		if from != to {
			out = append(out, fmt.Sprintf("%s: %q, now %q", what, from, to))
		}
	}
	say("project", a.Env.Project, b.Env.Project)
	say("version", a.Env.Version, b.Env.Version)
	say("base commit", Short(a.Env.Commit), Short(b.Env.Commit))
	if a.Env.Config != b.Env.Config {
		out = append(out, "release.yaml has changed")
	}
	before := make(map[string]pipeline.Spec, len(a.Specs))
	for _, sp := range a.Specs {
		before[sp.ID] = sp
	}
	for _, sp := range b.Specs {
		was, ok := before[sp.ID]
		if delete(before, sp.ID); !ok {
			out = append(out, "step "+sp.ID+": new")
			continue
		}
		step := "step " + sp.ID + ": "
		say(step+"effect", was.Effect.String(), sp.Effect.String())
		say(step+"target", was.Target, sp.Target)
		for _, list := range []struct {
			name     string
			from, to []string
		}{{"needs", was.Needs, sp.Needs}, {"inputs", was.Inputs, sp.Inputs}, {"outputs", was.Outputs, sp.Outputs}, {"checks", was.Checks, sp.Checks}} {
			out = append(out, members(step+list.name, list.from, list.to)...)
		}
		keys := slices.AppendSeq(slices.Collect(maps.Keys(was.Params)), maps.Keys(sp.Params))
		slices.Sort(keys)
		for _, k := range slices.Compact(keys) {
			say(step+k, was.Params[k], sp.Params[k])
		}
	}
	for _, sp := range a.Specs {
		if _, gone := before[sp.ID]; gone {
			out = append(out, "step "+sp.ID+": gone")
		}
	}
	if len(out) == 0 && a.Digest != b.Digest {
		out = append(out, "the steps are in another order")
	}
	return out
}

// members tells what entered and left a list.
func members(what string, from, to []string) (out []string) {
	if slices.Equal(from, to) {
		return nil
	}
	for _, s := range from {
		if !slices.Contains(to, s) {
			out = append(out, fmt.Sprintf("%s: %q is gone", what, s))
		}
	}
	for _, s := range to {
		if !slices.Contains(from, s) {
			out = append(out, fmt.Sprintf("%s: %q is new", what, s))
		}
	}
	if out == nil {
		out = append(out, what+": another order")
	}
	return out
}
