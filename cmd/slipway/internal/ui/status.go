package ui

import (
	"fmt"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// Status shows how a release stands, on one screen.
type Status struct {
	Project string               `json:"project"`
	Version string               `json:"version"`
	Commit  string               `json:"commit"`
	Plan    string               `json:"plan"`
	Run     string               `json:"run,omitempty"`
	Differs []string             `json:"differs,omitempty"` // how the journal's plan differs from this one
	Steps   []pipeline.StepState `json:"steps"`
	Blocks  []Block              `json:"blocks,omitempty"`
	Next    []string             `json:"next,omitempty"` // what to do, each a command
	// Recovery is the newest rollback; nil where there is none.
	Recovery *Recovery `json:"recovery,omitempty"`
	// Hold is what the journals say of a hold; nil where they say nothing.
	Hold *Holding `json:"hold,omitempty"`
	// Again is the newest republication in the AUR, aur-1; it supersedes those steps of the release's own.
	Again      string   `json:"again,omitempty"`
	Superseded []string `json:"superseded,omitempty"`
}

// Block is one thing that keeps the release from going on, and what can be done about it.
type Block struct {
	gate.Block
	People  []string `json:"people,omitempty"`  // who has the role
	Command string   `json:"command,omitempty"` // what unblocks it, by the one who can
}

// Show prints phases, steps and gates.
func (v Status) Show(p *Page) {
	p.Line(Cell{v.Project + " " + v.Version, Bold})
	head := "base " + Short(v.Commit) + "  plan " + Short(v.Plan)
	if v.Run != "" {
		head += "  run " + v.Run
	} else {
		head += "  not begun"
	}
	p.Line(Cell{head, Dim})
	if len(v.Differs) > 0 {
		p.Gap()
		p.Line(Cell{"This is not the plan that the journal has:", Yellow})
		for _, d := range v.Differs[:min(5, len(v.Differs))] {
			p.Line(Cell{Text: "  " + d})
		}
		if n := len(v.Differs) - 5; n > 0 {
			p.Printf("  and %d more\n", n)
		}
	}
	if v.Again != "" {
		p.Printf("published in the AUR again: %s\n", v.Again)
	}
	if len(v.Superseded) > 0 {
		p.Printf("superseded by it: %s\n", strings.Join(v.Superseded, ", "))
	}
	folded := !p.all && p.height > 0 && len(v.Steps) > p.height-12
	for steps := range phasesOf(v.Steps) {
		v.phase(p, steps, folded)
	}
	p.Gap()
	v.recovery(p)
	if len(v.Next) > 0 {
		p.Whole(Cell{"Next: ", Bold}, Cell{Text: v.Next[0]})
		for _, n := range v.Next[1:] {
			p.Whole(Cell{Text: "      " + n})
		}
	} else {
		p.Line(Cell{"Nothing is left to do.", Bold})
	}
}

// phasesOf yields the steps phase by phase.
func phasesOf(steps []pipeline.StepState) func(func([]pipeline.StepState) bool) {
	return func(yield func([]pipeline.StepState) bool) {
		for len(steps) > 0 {
			name := pipeline.PhaseOf(steps[0].Spec.ID)
			n := slices.IndexFunc(steps, func(s pipeline.StepState) bool { return pipeline.PhaseOf(s.Spec.ID) != name })
			if n < 0 {
				n = len(steps)
			}
			if !yield(steps[:n]) {
				return
			}
			steps = steps[n:]
		}
	}
}

func (v Status) phase(p *Page, steps []pipeline.StepState, folded bool) {
	name := pipeline.PhaseOf(steps[0].Spec.ID)
	done, all := 0, 0
	var rows [][]Cell
	for _, s := range steps {
		if s.Gate != nil {
			continue
		}
		all++
		if s.Current {
			done++
		}
		if sign, text := standing(s, p.signs); !folded || sign.Text != p.signs.ok {
			rows = append(rows, []Cell{sign, {Text: strings.TrimPrefix(s.Spec.ID, name+"/")}, {text, Dim}})
		}
	}
	p.Gap()
	progress := Cell{Text: fmt.Sprintf("  %d of %s done", done, Count(all, "step"))}
	if all == 0 { // nothing but a gate
		progress = Cell{}
	}
	p.Line(Cell{name, Bold}, progress)
	p.Table("  ", rows...)
	for _, s := range steps {
		if s.Gate != nil {
			showGate(p, *s.Gate)
		}
	}
}

// standing says how a step stands.
func standing(s pipeline.StepState, signs signs) (Cell, string) {
	switch {
	case s.Current:
		return ending(s.Last, signs)
	case s.Last.Event == pipeline.Done:
		return Cell{signs.none, Yellow}, "what it was made of has changed: it is made again"
	case s.Last.Event == pipeline.Failed:
		return Cell{signs.fail, Red}, firstLine(s.Last.Error)
	case s.Last.Event == pipeline.Started:
		return Cell{signs.unknown, Yellow}, "was begun and has not ended"
	case s.Last.Event == pipeline.Undone:
		return Cell{signs.none, Dim}, "taken back"
	}
	return Cell{signs.none, Dim}, "has not run"
}

func verdictSign(v gate.Verdict, s signs) Cell {
	return map[gate.Verdict]Cell{gate.Pass: {s.ok, Green}, gate.Fail: {s.fail, Red}, gate.Unknown: {s.unknown, Yellow}}[v]
}

// GateWord says in a word or two how a gate stands.
func GateWord(g gate.State) string {
	switch {
	case g.Closed:
		return "passed, closed"
	case g.Verdict == gate.Pass:
		return "passed"
	case g.Verdict == gate.Fail:
		return "did not pass"
	case g.Waits():
		return "waits for " + g.Blocks[0].Who
	case slices.ContainsFunc(g.Blocks, func(b gate.Block) bool { return b.Kind == "missing" }):
		return "not reached"
	}
	return "unknown"
}

func showGate(p *Page, g gate.State) {
	p.Gap()
	style := Yellow
	if g.Verdict != gate.Unknown {
		style = verdictSign(g.Verdict, p.signs).Style
	}
	title := ""
	if g.Title != "" {
		title = "  " + g.Title
	}
	p.Line(Cell{g.ID, Bold}, Cell{Text: title + "  "}, Cell{GateWord(g), style})
	var rows [][]Cell
	for _, c := range g.Criteria {
		sign := verdictSign(c.Verdict, p.signs)
		switch {
		case c.Verdict != gate.Unknown:
		case c.Attest != "":
			sign.Text = p.signs.wait
		case len(c.Evidence) == 0:
			sign = Cell{p.signs.none, Dim}
		}
		rows = append(rows, []Cell{sign, {Text: c.Title}, {criterion(c), Dim}})
	}
	p.Table("  ", rows...)
	if g.Approve != "" {
		by := g.By
		if by == "" {
			by = "nobody yet"
		}
		p.Line(Cell{Text: fmt.Sprintf("  approved as %s by: %s", g.Approve, by)})
	}
	for _, r := range g.Refused {
		p.Line(Cell{"  refused: ", Yellow}, Cell{Text: r})
	}
}

// criterion tells what stands behind a criterion.
func criterion(c gate.CriterionState) string {
	switch {
	case c.Waived != "":
		return fmt.Sprintf("waived by %s: %s", c.By, c.Waived)
	case c.By != "":
		return "attested by " + c.By
	case c.Attest != "":
		return c.Why + " (" + c.Attest + ")"
	case c.Verdict != gate.Pass:
		return c.Why
	case len(c.Evidence) == 1:
		return c.Evidence[0].Summary
	}
	return Count(len(c.Evidence), "check") + " passed"
}

// Why shows what keeps a step, a gate or the whole release from going on.
type Why struct {
	Of      string   `json:"of,omitempty"` // the step or gate that was asked about
	Done    bool     `json:"done"`         // nothing does
	Blocks  []Block  `json:"blocks"`
	Refused []string `json:"refused,omitempty"` // statements that do not count, each with the reason
}

var kindStyles = map[string]Style{"failed": Red, "conflict": Red, "missing": Dim}

// Show prints each block with its reason, who can unblock it and how.
func (v Why) Show(p *Page) {
	what := v.Of
	if what == "" {
		what = "the release"
	}
	if v.Done {
		p.Line(Cell{p.signs.ok + " ", Green}, Cell{Text: "nothing blocks " + what + ": it is done"})
	}
	for _, b := range v.Blocks {
		style, ok := kindStyles[b.Kind]
		if !ok {
			style = Yellow
		}
		at := b.Step
		if b.What != "" {
			at += ": " + b.What
		}
		p.Line(Cell{pad(b.Kind, 9), style}, Cell{at, Bold})
		for line := range strings.SplitSeq(strings.TrimSpace(b.Why), "\n") {
			p.Printf("         %s\n", line)
		}
		if b.Who != "" {
			p.Printf("         can be unblocked by %s", b.Who)
			if len(b.People) > 0 {
				p.Printf(": %s", b.People)
			}
			p.Printf("\n")
		}
		if b.Command != "" {
			p.Printf("         %s %s\n", p.signs.arrow, b.Command)
		}
	}
	for _, r := range v.Refused {
		p.Line(Cell{pad("refused", 9), Yellow}, Cell{Text: r})
	}
}

// Request shows what somebody signs, all of it.
type Request struct {
	gate.Request
	Head string `json:"-"`
}

// Show prints the request's fields.
func (v Request) Show(p *Page) {
	p.Line(Cell{v.Head, Bold})
	rows := [][]Cell{{{Text: "kind"}, {Text: v.Kind}}, {{Text: "project"}, {Text: v.Project + " " + v.Version}}, {{Text: "gate"}, {Text: v.Gate}}, {{Text: "as"}, {Text: v.Role}}}
	if v.Criterion != "" {
		rows = append(rows, []Cell{{Text: "criterion"}, {Text: v.Criterion}})
	}
	if v.Reason != "" {
		rows = append(rows, []Cell{{Text: "reason"}, {Text: v.Reason}})
	}
	if !v.Expires.IsZero() {
		rows = append(rows, []Cell{{Text: "until"}, {Text: v.Expires.Format("2006-01-02 15:04 UTC")}})
	}
	rows = append(rows, []Cell{{Text: "run"}, {Text: v.Run + "  plan " + Short(v.Plan)}})
	for _, c := range v.Criteria {
		rows = append(rows, []Cell{{Text: "criterion"}, {Text: c}})
	}
	for _, name := range sortedKeys(v.Artifacts) {
		rows = append(rows, []Cell{{Text: "artifact"}, {Text: Short(v.Artifacts[name]) + "  " + name}})
	}
	wide := *p
	wide.width = 0 // nothing that is signed is cut
	wide.b = strings.Builder{}
	wide.Table("  ", rows...)
	p.b.WriteString(wide.b.String())
}
