package ui

import (
	"strings"
	"testing"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// A step that looked at several things shows the worst of them, however good the first was, in a run and in a status.
func TestEnding(t *testing.T) {
	e := func(check string, v gate.Verdict, summary string) pipeline.Evidence {
		return pipeline.Evidence{Check: check, Verdict: v, Summary: summary}
	}
	good, bad, unsure := e("text", gate.Pass, "nothing unwanted"), e("modes", gate.Fail, "bin/x is 0644\nand more"), e("icons", gate.Unknown, "no tool")
	for name, c := range map[string]struct {
		evidence   []pipeline.Evidence
		sign, text string
	}{
		"one that passed":      {[]pipeline.Evidence{good}, "✓", "nothing unwanted"},
		"all passed":           {[]pipeline.Evidence{good, good}, "✓", "2 checks passed"},
		"a later one failed":   {[]pipeline.Evidence{good, bad}, "✗", "check modes: failed: bin/x is 0644"},
		"fail before unknown":  {[]pipeline.Evidence{unsure, bad}, "✗", "check modes: failed: bin/x is 0644"},
		"several failed":       {[]pipeline.Evidence{bad, good, bad}, "✗", "check modes: failed: bin/x is 0644 (and 1 more)"},
		"one could not look":   {[]pipeline.Evidence{good, unsure}, "?", "check icons: unknown: no tool"},
		"nothing to be looked": {nil, "✓", ""},
	} {
		last := pipeline.Record{Event: pipeline.Done, Step: "build/inspect/x", Evidence: c.evidence}
		if sign, text := ending(last, unicodeSigns); sign.Text != c.sign || firstLine(text) != c.text {
			t.Errorf("%s: got %s %q, want %s %q", name, sign.Text, text, c.sign, c.text)
		}
		st := pipeline.StepState{Spec: pipeline.Spec{ID: last.Step}, Current: true, Last: last}
		if sign, text := standing(st, unicodeSigns); sign.Text != c.sign || !strings.HasPrefix(text, c.text) {
			t.Errorf("%s, in a status: got %s %q, want %s %q", name, sign.Text, text, c.sign, c.text)
		}
	}
}

// A command that people are to copy is never cut, however narrow the screen.
func TestWhole(t *testing.T) {
	p := &Page{width: 10}
	p.Whole(Cell{"Next: ", Bold}, Cell{Text: "slipway attest gate/x 'a long criterion\x1b[31m'"})
	if got := p.b.String(); !strings.HasPrefix(got, "Next: slipway attest gate/x 'a long criterion") || strings.Contains(got, "\x1b") {
		t.Errorf("got %q", got)
	}
}
