package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

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

--probe compares them with the world: what a run would make, what is there already and what stands in the way. It
changes nothing either; with a conflict it ends with exit code 5. run --dry-run does the same.`,
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
		if err = a.unpublished(r); err != nil {
			return err
		}
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
	if err := a.ui.Show(view); err != nil {
		return err
	}
	if n := view.Conflicts(); n > 0 {
		return &coded{fmt.Errorf("a run would stop: %s in the way", stand(n)), exitConflict, "look at each of them, and take away what is not wanted; nothing was changed"}
	}
	return nil
}

func stand(n int) string {
	if n == 1 {
		return "1 thing stands"
	}
	return ui.Count(n, "thing") + " stand"
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
	if _, err := os.Lstat(r.dir); errors.Is(err, fs.ErrNotExist) {
		defer removeEmpty(filepath.Dir(r.dir))
	}
	store := files.Open(r.dirs)
	w := &prober{app: a, r: r, o: o, silent: map[string]bool{}}
	var out []ui.Probe
	ahead := map[string]bool{} // steps that are outward and not done, and those that come after one
	for _, st := range s.Steps {
		p := ui.Probe{Step: st.Spec.ID, Sign: "+"}
		after := slices.ContainsFunc(st.Spec.Needs, func(id string) bool { return ahead[id] })
		ahead[st.Spec.ID] = after || st.Spec.Effect.Outward() && !st.Current
		switch {
		case st.Gate != nil:
			p.Sign = "#"
			if st.Current {
				p.Sign, p.Why = "=", "passed"
			}
		case after && st.Spec.Effect == pipeline.Pure:
			p.Why = "looks at what is not done yet"
		case st.Spec.Effect.Outward() || st.Spec.Effect == pipeline.Pure && pipeline.PhaseOf(st.Spec.ID) != phases.First:
			a.ui.Doing(st.Spec.ID)
			p.Sign, p.Why = w.look(ctx, st)
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
			a.ui.Doing("")
			return nil, err
		}
		out = append(out, p)
	}
	a.ui.Doing("")
	return out, nil
}

// removeEmpty removes a folder and those in it as far as they hold no file: what looking has left where there was nothing.
func removeEmpty(dir string) {
	var dirs []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for _, path := range slices.Backward(dirs) {
		_ = os.Remove(path) // which is an error where it holds something
	}
}

// prober asks the world about steps.
type prober struct {
	*app
	r      *release
	o      pipeline.Options
	silent map[string]bool // hosts that have not answered: nobody waits for them twice
	before map[string]phases.Standing
}

// patience is how long a host may take to answer what one step asks.
const patience = 10 * time.Second

// look asks the world about a step: what an outward one would find, what a check sees. An error is an answer too, for
// one step does not keep the others from being looked at.
func (w *prober) look(ctx context.Context, st pipeline.StepState) (sign, why string) {
	host, _, _ := strings.Cut(st.Spec.Target, " ")
	if host != "" && w.silent[host] {
		return "?", "not asked again: " + host + " has not answered"
	}
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	receipt, evidence, err := w.r.plan.Look(within, w.o, st.Spec.ID)
	if errors.Is(err, pipeline.ErrUnmade) {
		if !st.Spec.Effect.Outward() {
			return "+", "looked at once there is something to compare with"
		}
		if w.before == nil {
			w.before, err = phases.Before(within, w.o.Endpoints.(*phases.Endpoints), w.r.config, w.r.repo, w.r.plan)
			if err != nil {
				return "?", err.Error()
			}
		}
		if at, ok := w.before[st.Spec.ID]; ok {
			return at.Sign, at.Why
		}
		return "?", "looked at once there is something to compare with: " + st.Spec.Target
	}
	if within.Err() != nil && ctx.Err() == nil {
		w.silent[host] = true
		return "?", fmt.Sprintf("no answer within %s", patience)
	}
	switch {
	case errors.Is(err, pipeline.ErrConflict):
		return "!", err.Error()
	case err != nil:
		return "?", err.Error()
	case !st.Spec.Effect.Outward():
		return worst(evidence)
	case receipt == nil && st.Current:
		return "!", "it was made, and is gone: " + st.Spec.Target
	case receipt == nil:
		return "+", st.Spec.Target
	}
	return "=", "there already: " + st.Spec.Target
}

// worst is what a check sees: the worst of its evidence counts.
func worst(evidence []gate.Evidence) (sign, why string) {
	for _, e := range evidence {
		text := e.Check + ": " + cmp.Or(e.Summary, e.Found)
		switch e.Verdict {
		case gate.Fail:
			return "!", text
		case gate.Unknown:
			sign, why = "?", text
		case gate.Pass:
			if sign == "" {
				why = e.Summary
			}
		}
	}
	return cmp.Or(sign, "="), why
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
