package ui

import (
	"fmt"
	"strings"

	"github.com/imrightguy/slipway/pipeline"
)

// Graph is the plan as a Mermaid flow chart (mermaid.js.org, "Flowcharts"). A need that follows from others is left
// out, so that the picture stays readable.
type Graph struct {
	Mermaid string `json:"mermaid"`
}

// Show prints the chart as it is.
func (g Graph) Show(p *Page) { p.b.WriteString(g.Mermaid) }

// NewGraph draws a plan.
func NewGraph(plan *pipeline.Plan) Graph {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	index := make(map[string]int, len(plan.Specs))
	above := make([][]uint64, len(plan.Specs)) // bit k: step k is upstream
	phase := ""
	for i, sp := range plan.Specs {
		if ph := pipeline.PhaseOf(sp.ID); ph != phase {
			if phase != "" {
				b.WriteString("  end\n")
			}
			phase = ph
			fmt.Fprintf(&b, "  subgraph phase_%s[%s]\n", strings.ReplaceAll(ph, "-", "_"), ph)
		}
		form := [2]string{`["`, `"]`}
		switch {
		case isGate(sp.ID):
			form = [2]string{`{{"`, `"}}`}
		case sp.Effect.Outward():
			form = [2]string{`(["`, `"])`}
		}
		fmt.Fprintf(&b, "    s%d%s%s%s\n", i, form[0], strings.TrimPrefix(sp.ID, phase+"/"), form[1]) // a valid ID needs no escape
		index[sp.ID] = i
	}
	if phase != "" {
		b.WriteString("  end\n")
	}
	for i, sp := range plan.Specs {
		above[i] = make([]uint64, i/64+1)
		for _, n := range sp.Needs {
			for w, bits := range above[index[n]] {
				above[i][w] |= bits
			}
		}
		for _, n := range sp.Needs {
			k := index[n]
			if above[i][k/64]&(1<<(k%64)) == 0 {
				fmt.Fprintf(&b, "  s%d --> s%d\n", k, i)
			}
		}
		for _, n := range sp.Needs {
			k := index[n]
			above[i][k/64] |= 1 << (k % 64)
		}
	}
	return Graph{b.String()}
}
