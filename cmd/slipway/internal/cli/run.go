package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// runFlags are what a run can be told.
type runFlags struct {
	plan, phase        string
	jobs               int
	amend, yes, dryRun bool
}

func (a *app) run() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Carry the plan out, to the next gate that waits or to the end",
		Long: `Carries the plan out from wherever the journal stands, to the next gate that does not pass or to the end.

What is done is not done again: a run that was interrupted or killed carries on. The release is made of the commit that
was HEAD when it began; --amend takes the plan and HEAD as they are now, as long as nothing has left this machine.`,
		Example: "  slipway run\n  slipway run --phase build --jobs 4\n  slipway plan --out plan.json && slipway run --plan plan.json",
		Args:    exactly(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.doRun(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.plan, "plan", "", "refuse to run any other plan than the one in this `file`")
	flags.StringVar(&f.phase, "phase", "", "stop after this phase")
	flags.IntVar(&f.jobs, "jobs", runtime.GOMAXPROCS(0), "steps that run side by side")
	flags.BoolVar(&f.amend, "amend", false, "go on with a plan that differs from the journal's")
	flags.BoolVar(&f.yes, "yes", false, "do not ask before the first step that others see")
	flags.BoolVar(&f.dryRun, "dry-run", false, "change nothing: the same as plan --probe")
	return cmd
}

func (a *app) doRun(ctx context.Context, f runFlags) error {
	if f.jobs < 1 {
		return usage("", "--jobs %d: at least one step has to run at a time", f.jobs)
	}
	if f.phase == phases.AUR {
		if again, err := a.republish(ctx, f); again || err != nil {
			return err
		}
	}
	r, err := a.release(ctx, f.amend)
	if err != nil {
		return err
	}
	if f.phase != "" && !slices.Contains(phaseNames(r.plan), f.phase) {
		return usage("", "the plan has no phase %q: it has %s", f.phase, strings.Join(phaseNames(r.plan), ", "))
	}
	if f.plan != "" {
		if err := a.samePlan(a.path(f.plan), r.plan); err != nil {
			return err
		}
	}
	if f.dryRun {
		return a.showPlan(ctx, r, planFlags{probe: true})
	}
	a.warnings(ctx, r)
	planned := r
	r, lock, j, err := a.open(ctx, r, f.amend)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := a.unpublished(r); err != nil {
		return err
	}
	if f.plan != "" && r != planned {
		if err := a.samePlan(a.path(f.plan), r.plan); err != nil {
			return err
		}
	}
	keeper := &planKeeper{Journal: j, path: filepath.Join(r.dir, "plan.json")}
	if r.old != nil && r.old.Digest == r.plan.Digest {
		if err := keeper.keep(r.plan); err != nil { // a crash may have come between the record and the file
			return err
		}
	}
	printer := a.ui.Printer(r.plan)
	made := map[string]bool{}
	o := a.options(r, keeper)
	o.Jobs, o.Until, o.Amend = f.jobs, f.phase, f.amend
	o.Observe = func(rec pipeline.Record) {
		if rec.Event == pipeline.Done && rec.Step != "" { // records come from one goroutine, progress from several
			made[rec.Step] = true
		}
		printer.Observe(rec)
	}
	o.Confirm = func(ctx context.Context, sp pipeline.Spec) error { return a.confirm(ctx, f.yes, sp) }
	err = r.plan.Run(ctx, o)
	printer.Close()
	return a.ended(ctx, r, f, len(made), err)
}

// confirm asks before the first step that others see.
func (a *app) confirm(ctx context.Context, yes bool, sp pipeline.Spec) error {
	if yes {
		return nil
	}
	err := a.ui.Confirm(ctx, "%s is the first step that others see (%s). Go on?", sp.ID, sp.Target)
	if errors.Is(err, ui.ErrNobody) {
		return withHint(fmt.Errorf("cannot go on to %s, which others see: %w", sp.ID, err), "%s goes on without asking", a.command("run", "--yes"))
	}
	return err
}

// planKeeper keeps plan.json beside the journal in step with it.
type planKeeper struct {
	pipeline.Journal
	path string
}

// Append also writes the plan that the record brings.
func (k *planKeeper) Append(r pipeline.Record) error {
	err := k.Journal.Append(r)
	if err == nil && r.Planned != nil {
		err = k.keep(r.Planned)
	}
	return err
}

func (k *planKeeper) keep(p *pipeline.Plan) error {
	b, err := planBytes(p)
	if err != nil {
		return err
	}
	return writeFile(k.path, b)
}

// ended says what a run has led to, and what comes next.
func (a *app) ended(ctx context.Context, r *release, f runFlags, made int, err error) error {
	if plans, ok := errors.AsType[*pipeline.PlanError](err); ok {
		return a.differs(plans.Old, plans.New, a.goOn(r, "--amend")+" goes on with the plan as it is now")
	}
	survey, lookErr := a.survey(r)
	if lookErr != nil {
		return errors.Join(err, lookErr)
	}
	if writeErr := a.writeRequest(r, survey); writeErr != nil {
		return errors.Join(err, writeErr)
	}
	var stopped *pipeline.GateError
	switch {
	case errors.As(err, &stopped):
		return a.stopped(r, survey, stopped.State, err)
	case errors.Is(err, ui.ErrNobody):
		return err // it says what to do
	case err != nil && context.Cause(ctx) == nil && !errors.Is(err, pipeline.ErrDiffers) && !errors.Is(err, pipeline.ErrConflict):
		hint := fmt.Sprintf("once that is mended, %s carries on; what is done stays done", a.goOn(r))
		if r.own() {
			hint += "\nwhere a new commit mends it: " + a.retry(r)
		}
		return withHint(err, "%s", hint)
	case errors.Is(err, pipeline.ErrConflict) && r.own() && !errors.Is(err, phases.ErrElsewhere):
		return withHint(err, "once that is mended, %s carries on; %s takes back what nobody has yet", a.goOn(r), a.command("rollback", r.plan.Env.Version))
	case err != nil:
		return err
	}
	if a.ui.JSON {
		return nil // the records have said it all
	}
	s := summary{survey: survey, made: made, version: r.plan.Env.Project + " " + r.plan.Env.Version, until: f.phase}
	if rel, relErr := filepath.Rel(r.repo.Root(), r.dirs.Dist); relErr == nil {
		s.dist = rel
	}
	return a.ui.Show(s)
}

// writeRequest leaves beside the journal what an approver signs, and takes away what nobody should sign any more.
func (a *app) writeRequest(r *release, s *pipeline.Survey) error {
	path := filepath.Join(r.dir, "request.json")
	gates := waiting(s)
	if len(gates) == 0 || s.Old != nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove the old request: %w", err)
		}
		return nil
	}
	return writeFile(path, gates[0].Request.Bytes())
}

// stopped is the error of a run that a gate has stopped.
func (a *app) stopped(r *release, s *pipeline.Survey, g gate.State, err error) error {
	blocks := a.blocks(r, s, g.ID)
	var hints []string
	if a.ui.JSON {
		hints = a.next(r, s, blocks)
	} else {
		a.ui.Note(ui.Why{Of: g.ID, Blocks: blocks, Refused: g.Refused}) // it has the commands
	}
	switch {
	case g.Waits():
		hints = append(hints, "the key is taken from ssh-agent, or from a file with --key FILE")
		err = fmt.Errorf("%s waits for %s", g.ID, g.Blocks[0].Who)
		if wantsApproval(g) {
			hints = append(hints, "elsewhere: slipway approve --request request.json --out request.json.sig, with a copy of "+a.shown(filepath.Join(r.dir, "request.json")))
			err = fmt.Errorf("%s waits for %s to approve it", g.ID, g.Approve)
		}
	default:
		mended := "mend it, then: " + a.goOn(r)
		if r.own() && len(blocks) > 0 && blocks[0].Kind == "failed" {
			mended = "mend it and commit, then: " + a.retry(r)
		}
		hints = []string{mended}
		if g.Approve != "" && len(blocks) > 0 && blocks[0].What != "" {
			hints = append(hints, "or as "+g.Approve+": "+a.signs(r, "waive", g.ID, blocks[0].What, "--reason", "TEXT", "--expires", "7d"))
		}
	}
	return &coded{err, exitGate, strings.Join(hints, "\n")}
}

// retry is the command that takes a mended commit into the release, as long as anything can.
func (a *app) retry(r *release) string {
	if r.acted {
		return a.goOn(r)
	}
	return a.goOn(r, "--amend")
}

// goOn is the command that carries a release on, or what stands beside it.
func (a *app) goOn(r *release, flags ...string) string {
	words := r.goOn
	if len(words) == 0 {
		words = []string{"run"}
	}
	return a.command(append(slices.Clone(words), flags...)...)
}

// signs is a command that signs something of a release, which is told where it is not the one at HEAD.
func (a *app) signs(r *release, words ...string) string {
	if r.again != nil {
		words = append(words, "--version", r.plan.Env.Version)
	}
	return a.command(words...)
}

// shown is a path as the user would write it from where they stand.
func (a *app) shown(path string) string {
	if dir, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return path
}

func phaseNames(p *pipeline.Plan) (names []string) {
	for _, sp := range p.Specs {
		if ph := pipeline.PhaseOf(sp.ID); len(names) == 0 || names[len(names)-1] != ph {
			names = append(names, ph)
		}
	}
	return names
}

// summary closes a run that has come to its end.
type summary struct {
	survey        *pipeline.Survey
	made          int
	version, dist string
	until         string
}

// Show tells what was made and where it lies.
func (s summary) Show(p *ui.Page) {
	if s.made == 0 {
		p.Printf("nothing to do: %s of %s are as they were made\n", ui.Count(len(s.survey.Steps), "step"), s.version)
		return
	}
	p.Gap()
	what := "everything is done"
	if s.until != "" {
		what = "phase " + s.until + " is done"
	}
	p.Printf("%s: %s; %d of %s made now\n", s.version, what, s.made, ui.Count(len(s.survey.Steps), "step"))
	var rows [][]ui.Cell
	for _, st := range s.survey.Steps {
		for _, art := range st.Last.Artifacts {
			if !strings.HasPrefix(art.Name, "work/") {
				rows = append(rows, []ui.Cell{{Text: filepath.Join(s.dist, filepath.FromSlash(art.Name))}, {Text: fmt.Sprintf("%9s", ui.Bytes(art.Size))}, {Text: ui.Short(art.SHA256), Style: ui.Dim}})
			}
		}
	}
	p.Table("  ", rows...)
}
