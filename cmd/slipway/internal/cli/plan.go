package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/files"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// planFlags are how a plan can be shown.
type planFlags struct {
	probe, graph bool
	out          string
}

func (a *app) plan() *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show every step, and do nothing",
		Long: `Shows the exact steps that a run carries out, in order, and changes nothing.

--probe compares them with the world: what a run would make, what is there already and what stands in the way.`,
		Example: "  slipway plan\n  slipway plan --probe\n  slipway plan --out plan.json && slipway run --plan plan.json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := a.release(cmd.Context(), false)
			if err != nil {
				return err
			}
			return a.showPlan(r, f)
		},
	}
	cmd.Flags().BoolVar(&f.probe, "probe", false, "compare with the world: + make, = made already, ! conflict")
	cmd.Flags().BoolVar(&f.graph, "graph", false, "print the plan as a Mermaid flow chart")
	cmd.Flags().StringVar(&f.out, "out", "", "also write the plan to this `file`, for run --plan")
	return cmd
}

func (a *app) showPlan(r *release, f planFlags) error {
	view := ui.Plan{Plan: r.plan}
	if f.probe {
		var err error
		if view.Probes, err = a.probe(r); err != nil {
			return err
		}
	}
	if f.out != "" {
		b, err := planBytes(r.plan)
		if err != nil {
			return err
		}
		if err := writeFile(a.path(f.out), b); err != nil {
			return err
		}
	}
	if f.graph {
		return a.ui.Show(ui.NewGraph(r.plan))
	}
	if r.old != nil && r.old.Digest != r.plan.Digest {
		a.ui.Warn("the journal has another plan: %s", strings.Join(ui.Diff(r.old, r.plan), "; "))
	}
	return a.ui.Show(view)
}

// probe looks at what a run would find. It reads the journal and the files; nothing is written, not even what was
// learnt of the files.
func (a *app) probe(r *release) ([]ui.Probe, error) {
	s, err := a.survey(r)
	if err != nil {
		return nil, err
	}
	store := files.Open(r.dirs)
	var out []ui.Probe
	for _, st := range s.Steps {
		p := ui.Probe{Step: st.Spec.ID, Sign: "+"}
		switch {
		case st.Gate != nil:
			p.Sign = "?"
			if st.Current {
				p.Sign, p.Why = "=", "passed"
			}
		case st.Spec.Effect.Outward() && !st.Current:
			p.Sign, p.Why = "?", "is looked at when the run gets there: "+st.Spec.Target
		case st.Current:
			p.Sign = "="
			for _, art := range st.Last.Artifacts {
				ok, there := store.Intact(art.Name, art.SHA256, art.Size, false)
				if ok || !there && strings.HasPrefix(art.Name, "work/") {
					continue // a work file that is gone is made again only when something reads it
				}
				p.Sign, p.Why = "+", fmt.Sprintf("%s is not as it was made", art.Name)
			}
		}
		out = append(out, p)
	}
	return out, nil
}

// maxPlan bounds a plan file, in bytes.
const maxPlan = 256 << 20

// samePlan refuses any other plan than the one in the file.
func (a *app) samePlan(path string, plan *pipeline.Plan) error {
	b, err := readUpTo(path, maxPlan)
	if err != nil {
		return usage("", "cannot read the plan: %w", err)
	}
	var kept pipeline.Plan
	if err := json.Unmarshal(b, &kept); err != nil {
		return usage(a.command("plan", "--out", path)+" writes one", "cannot read the plan %s: %w", path, err)
	}
	if sum := gate.Sum(kept.Env, kept.Specs); sum != kept.Digest {
		return usage(a.command("plan", "--out", path)+" writes it anew", "cannot use the plan %s: it was changed after it was written", path)
	}
	if kept.Digest != plan.Digest {
		return a.differs(&kept, plan, "look at the differences, then write the plan anew: "+a.command("plan", "--out", path))
	}
	return nil
}
