package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/files"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
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
			return a.showPlan(cmd.Context(), r, f)
		},
	}
	cmd.Flags().BoolVar(&f.probe, "probe", false, "compare with the world: + make, = made already, ! conflict")
	cmd.Flags().BoolVar(&f.graph, "graph", false, "print the plan as a Mermaid flow chart")
	cmd.Flags().StringVar(&f.out, "out", "", "also write the plan to this `file`, for run --plan")
	return cmd
}

func (a *app) showPlan(ctx context.Context, r *release, f planFlags) error {
	view := ui.Plan{Plan: r.plan}
	if f.probe {
		var err error
		if view.Probes, err = a.probe(ctx, r); err != nil {
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

// probe looks at what a run would find: in the journal, in the files, and at the remotes. Nothing is written, not even
// what was learnt of the files.
func (a *app) probe(ctx context.Context, r *release) ([]ui.Probe, error) {
	j := journal.Read(r.dir)
	o := a.options(r, j)
	s, err := r.plan.Survey(o)
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
		case st.Spec.Effect.Outward() || st.Spec.Effect == pipeline.Pure && pipeline.PhaseOf(st.Spec.ID) != phases.First:
			p.Sign, p.Why = a.look(ctx, r, o, st)
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
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// look asks the world about a step: what an outward one would find, what a check sees.
func (a *app) look(ctx context.Context, r *release, o pipeline.Options, st pipeline.StepState) (sign, why string) {
	receipt, evidence, err := r.plan.Look(ctx, o, st.Spec.ID)
	switch {
	case errors.Is(err, pipeline.ErrUnmade):
		return "?", "is looked at once there is something to compare with: " + st.Spec.Target
	case errors.Is(err, pipeline.ErrConflict):
		return "!", err.Error()
	case err != nil:
		return "?", err.Error()
	case !st.Spec.Effect.Outward():
		for _, e := range evidence {
			switch e.Verdict {
			case gate.Fail:
				return "!", e.Check + ": " + e.Summary
			case gate.Unknown:
				sign, why = "?", e.Check+": "+e.Summary
			case gate.Pass:
				if sign == "" {
					why = e.Summary
				}
			}
		}
		return cmp.Or(sign, "="), why
	case receipt == nil && st.Current:
		return "!", "it was made, and is gone: " + st.Spec.Target
	case receipt == nil:
		return "+", st.Spec.Target
	}
	return "=", "there already: " + st.Spec.Target
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
