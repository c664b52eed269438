package cli

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/imrightguy/slipway/pipeline/journal"
)

// rollbackFlags are what a rollback can be told.
type rollbackFlags struct {
	phases.RollbackOptions
	asked              bool // any of the options was given
	jobs               int
	amend, yes, dryRun bool
}

func (a *app) rollback() *cobra.Command {
	var f rollbackFlags
	cmd := &cobra.Command{
		Use:   "rollback [VERSION]",
		Short: "Take a release back: unwind what nobody has yet, or bring users back to an older version",
		Long: `Takes back the release of a version, by default that at HEAD.

As long as nothing irrevocable was done, all that the journal says was done is taken back, newest first: what was there
before stays, and in doubt the remotes are asked.

After that users have it, and it goes forward: a plan of its own, behind gate/rollback, brings them back to an older
version. Its levels, in this order:

  aur     a commit that pacman takes for newer, with the older payload
  github  the release is a draft again (an immutable one gets a notice), "latest" is the older one
  git     a commit that puts the files back which the release's commit changed; never a reset, never forced
  hold    a file on the main branch: nothing publishes the version again until slipway hold --lift

A rollback that stopped goes on when the command is run again.`,
		Example: "  slipway rollback\n  slipway rollback 3.2.1 --to 3.2.0 --dry-run\n  slipway rollback 3.2.1 --to 3.2.0 --reason \"the settings do not open\"",
		Args:    between(0, "a version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range []string{"to", "level", "epoch", "delete", "delete-tag", "reason"} {
				f.asked = f.asked || cmd.Flags().Changed(name)
			}
			switch flags := cmd.Flags(); { // an empty variable of a script is not "everything"
			case flags.Changed("level") && len(f.Levels) == 0:
				return usage("", "--level is empty: name some of %s, or leave it out for all", strings.Join(phases.RollbackLevels, ", "))
			case flags.Changed("to") && strings.TrimSpace(f.To) == "":
				return usage("", "--to is empty: name a version, or leave it out for the newest one before")
			}
			return a.doRollback(cmd.Context(), argument(args, 0), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.To, "to", "", "bring users back to this `version` (default: the newest version tag before it)")
	flags.StringSliceVar(&f.Levels, "level", nil, "only these `levels`: "+strings.Join(phases.RollbackLevels, ", ")+" (default: all that the release has reached)")
	flags.BoolVar(&f.Epoch, "epoch", false, "raise the epoch of AUR packages, which they keep for ever, instead of a +really version")
	flags.BoolVar(&f.Delete, "delete", false, "delete the withdrawn release on GitHub")
	flags.BoolVar(&f.DeleteTag, "delete-tag", false, "delete the tag, which clones and caches keep")
	flags.StringVar(&f.Reason, "reason", "", "why, for users and for the hold")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would be done, and do nothing")
	flags.BoolVar(&f.yes, "yes", false, "do not ask before the first step that others see")
	flags.BoolVar(&f.amend, "amend", false, "go on with a rollback whose plan differs from its journal's")
	flags.IntVar(&f.jobs, "jobs", runtime.GOMAXPROCS(0), "steps that run side by side")
	return cmd
}

func (a *app) doRollback(ctx context.Context, version string, f rollbackFlags) error {
	if f.jobs < 1 {
		return usage("", "--jobs %d: at least one step has to run at a time", f.jobs)
	}
	main, v, err := a.journalled(version)
	if err != nil {
		return err
	}
	released, err := releasedOf(main)
	if err != nil {
		return err
	}
	step, sure := released.Permanent()
	switch {
	case step == "" && f.asked:
		return usage(a.command("rollback", v.Release())+" takes back what it did", "%s has done nothing yet that cannot be taken back, so nobody has to be brought back to an older version", v.Release())
	case sure || step != "" && f.asked:
		return a.correct(ctx, main, released, f)
	}
	if main, err = a.recorded(ctx, v.Release()); err != nil {
		return err
	}
	return a.unwind(ctx, main, f)
}

// corrects is the command of the rollback that goes on where unwinding cannot.
func (a *app) corrects(r *release) string {
	return a.command("rollback", r.plan.Env.Version, "--to", "OLDER")
}

// took is what became of an outward step of a release that was unwound.
type took struct {
	Step   string `json:"step"`
	Target string `json:"target"`
	What   string `json:"what"` // back, would, gone, adopted, permanent, left or unsure
	Why    string `json:"why,omitempty"`
}

// unwound is what unwinding has led to.
type unwound struct {
	Version string `json:"version"`
	DryRun  bool   `json:"dry_run,omitempty"`
	Steps   []took `json:"steps"`
	Next    string `json:"next,omitempty"`
}

// Show lists the steps, newest first.
func (u unwound) Show(p *ui.Page) {
	if len(u.Steps) == 0 {
		p.Printf("%s: nothing to take back: the journal has no step that others could see\n", u.Version)
		return
	}
	says := map[string]string{
		"back": "taken back", "would": "would be taken back", "gone": "is gone already", "adopted": "stays: it was there before, or is somebody else's",
		"permanent": "stays: it cannot be taken back", "left": "stays: not taken back yet", "unsure": "nothing of ours is there; what may be there stays",
	}
	var rows [][]ui.Cell
	for _, t := range u.Steps {
		text := says[t.What]
		if t.Why != "" {
			text += " (" + t.Why + ")"
		}
		rows = append(rows, []ui.Cell{p.Sign(t.What == "back" || t.What == "gone" || t.What == "would", t.What == "left"), {Text: t.Step}, {Text: text}, {Text: t.Target, Style: ui.Dim}})
	}
	p.Gap()
	p.Line(ui.Cell{Text: u.Version, Style: ui.Bold})
	p.Table("  ", rows...)
	if u.Next != "" {
		p.Whole(ui.Cell{Text: "Next: ", Style: ui.Bold}, ui.Cell{Text: u.Next})
	}
}

// outwards lists the outward steps of a release that a journal speaks of, newest first.
func outwards(released *phases.Released) (out []pipeline.Spec) {
	for _, sp := range slices.Backward(released.Plan.Specs) {
		if sp.Effect.Outward() && released.Acted(sp.ID) {
			out = append(out, sp)
		}
	}
	return out
}

// unwind takes back what a release did that is not final.
func (a *app) unwind(ctx context.Context, r *release, f rollbackFlags) error {
	before, err := phases.ReadReleased(journal.Read(r.dir))
	if err != nil {
		return err
	}
	steps := outwards(before)
	out := unwound{Version: r.plan.Env.Project + " " + r.plan.Env.Version, DryRun: f.dryRun}
	if r.old.Digest != r.plan.Digest {
		return a.differs(r.old, r.plan, "what it did can be taken back with the configuration and the program that it was done with")
	}
	if f.dryRun {
		for _, sp := range steps {
			out.Steps = append(out.Steps, a.wouldTake(ctx, r, before, sp))
		}
		out.Next = a.command("rollback", r.plan.Env.Version)
		return a.ui.Show(out)
	}
	if len(steps) > 0 && !f.yes {
		var targets []string
		for _, sp := range steps {
			targets = append(targets, sp.ID)
		}
		err := a.ui.Confirm(ctx, "Take back %s of %s: %s?", ui.Count(len(steps), "step"), out.Version, strings.Join(targets, ", "))
		if errors.Is(err, ui.ErrNobody) {
			return withHint(fmt.Errorf("cannot take %s back: %w", out.Version, err), "%s does it without asking; %s shows what", a.command("rollback", r.plan.Env.Version, "--yes"), a.command("rollback", r.plan.Env.Version, "--dry-run"))
		}
		if err != nil {
			return err
		}
	}
	r, lock, j, err := a.open(ctx, r, false)
	if err != nil {
		return err
	}
	defer lock.Close()
	if before, err = phases.ReadReleased(j); err != nil { // another run may have come between
		return err
	}
	steps = outwards(before)
	printer := a.ui.Printer(r.plan)
	o := a.options(r, j)
	undoing := map[string]bool{}
	o.Observe = func(rec pipeline.Record) {
		undoing[rec.Step] = undoing[rec.Step] || rec.Event == pipeline.Started
		printer.Observe(rec)
	}
	err = r.plan.Unwind(ctx, o)
	printer.Close()
	after, readErr := phases.ReadReleased(j)
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	for _, sp := range steps {
		out.Steps = append(out.Steps, taken(before, after, undoing, sp, err))
	}
	switch {
	case err == nil:
		out.Next = "mend it, then: " + a.command("run", "--amend")
	case errors.Is(err, pipeline.ErrPermanent):
		a.ui.Note(out)
		return withHint(err, "users have it: %s brings them back to an older version; --dry-run shows how", a.corrects(r))
	default:
		a.ui.Note(out)
		if ctx.Err() != nil || errors.Is(err, phases.ErrElsewhere) {
			return err
		}
		return withHint(err, "what was taken back stays so; %s goes on unwinding, %s releases it after all", a.command("rollback", r.plan.Env.Version), a.command("run"))
	}
	if a.ui.JSON {
		return nil // the records have said it all
	}
	return a.ui.Show(out)
}

// taken says what became of a step.
func taken(before, after *phases.Released, undoing map[string]bool, sp pipeline.Spec, err error) took {
	t := took{Step: sp.ID, Target: sp.Target}
	switch {
	case !after.Acted(sp.ID) && !undoing[sp.ID]: // it had been begun, and a look at it has found nothing with our marker
		t.What = "unsure"
	case !after.Acted(sp.ID):
		t.What = "back"
	case before.Done[sp.ID].Adopted:
		t.What = "adopted"
	case sp.Effect == pipeline.Permanent:
		t.What = "permanent"
	default:
		t.What = "left"
		if errors.Is(err, pipeline.ErrPermanent) {
			t.Why = "what came after it cannot be taken back"
		}
	}
	return t
}

// wouldTake says what unwinding would do with a step.
func (a *app) wouldTake(ctx context.Context, r *release, released *phases.Released, sp pipeline.Spec) took {
	t := took{Step: sp.ID, Target: sp.Target}
	done := released.Done[sp.ID]
	if done.Adopted {
		t.What = "adopted"
		return t
	}
	receipt, _, err := r.plan.Look(ctx, a.options(r, journal.Read(r.dir)), sp.ID)
	ours := receipt[pipeline.Marker] == released.Run || !released.Begun[sp.ID]
	switch {
	case err != nil && !errors.Is(err, pipeline.ErrConflict):
		t.What, t.Why = "left", err.Error()
	case err != nil:
		t.What, t.Why = "would", err.Error()
	case receipt == nil:
		t.What = "gone"
	case !ours:
		t.What = "adopted"
	case sp.Effect == pipeline.Permanent:
		t.What = "permanent"
	default:
		t.What = "would"
	}
	return t
}

// correct brings users back to an older version.
func (a *app) correct(ctx context.Context, main *release, released *phases.Released, f rollbackFlags) error {
	if !f.dryRun {
		lock, err := journal.Open(main.dir) // one run at a time for each version: a release under way goes on reaching users
		if err != nil {
			return fmt.Errorf("cannot open the release %s: %w", filepath.Base(main.dir), err)
		}
		defer lock.Close()
		if released, err = a.settled(ctx, main, lock); err != nil {
			return err
		}
	}
	r, planned, err := a.correction(ctx, main, released, f)
	if err != nil {
		return err
	}
	if r.old != nil && r.old.Digest != r.plan.Digest && !f.asked && !f.amend && !f.dryRun {
		// It is asked for as it was begun, and what the release has done is another thing by now, or this program.
		done, err := phases.ReadReleased(journal.Read(r.dir))
		if err != nil {
			return err
		}
		if f.amend = amendable(r.plan, done); f.amend {
			a.ui.Warn("the plan of %s is another one by now, so it is made anew", filepath.Base(r.dir))
		}
	}
	if f.dryRun {
		return a.ui.Show(correctionView{Plan: ui.Plan{Plan: r.plan}, To: planned.To, Levels: planned.Levels, LeftOut: planned.LeftOut, Means: means(planned)})
	}
	for _, why := range planned.LeftOut {
		a.ui.Warn("left out: %s", why)
	}
	err = a.carryOut(ctx, r, f, func(ctx context.Context, made int) error {
		report, err := a.writePostmortem(ctx, main, r, planned)
		if err != nil || a.ui.JSON { // the records have said it all
			return err
		}
		over, err := a.isOverIn(r)
		if err != nil {
			return err
		}
		if !over {
			if report != "" {
				a.ui.Warn("the rollback is not over; where each channel stands: %s", a.shown(report))
			}
			return nil
		}
		now, err := releasedOf(main)
		if err != nil {
			return err
		}
		s, err := a.survey(r)
		if err != nil {
			return err
		}
		keeps, state := keeping(s, planned)
		return a.ui.Show(corrected{
			project: main.config.Project, bad: filepath.Base(main.dir), good: planned.To, levels: planned.Levels, keeps: keeps, state: state, made: made,
			report: a.shown(report), holding: now.Holding(), lift: a.command("hold", filepath.Base(main.dir), "--lift", "--reason", "TEXT"),
		})
	})
	return a.waysOut(err, filepath.Base(main.dir), r, planned)
}

// settled is what a release did, after the remotes were asked about what it was cut off in: a package that never reached
// the AUR needs no correction there. What cannot be found out stays in doubt, and counts as done. Another run may have come
// between, so it is read anew.
func (a *app) settled(ctx context.Context, main *release, j *journal.Journal) (*phases.Released, error) {
	released, err := releasedOf(main)
	if err != nil || len(released.Begun) == 0 || released.RolledBack() != nil { // what is gone then, a rollback has taken
		return released, err
	}
	again, err := a.recorded(ctx, filepath.Base(main.dir))
	if err != nil || again.old.Digest != again.plan.Digest {
		return released, nil //nolint:nilerr // made with another program: it stays in doubt
	}
	o := a.options(again, j)
	o.Observe = func(rec pipeline.Record) {
		if rec.Event == pipeline.Undone {
			a.ui.Warn("%s was begun, and nothing of it has arrived", rec.Step)
		}
	}
	if err := again.plan.Settle(ctx, o); err != nil {
		a.ui.Warn("what the release was cut off in stays in doubt: %v", err)
	}
	return releasedOf(main)
}

// isOverIn reports whether the last step of a plan is done and holds by now, unlike over, which asks the journal alone.
func (a *app) isOverIn(r *release) (bool, error) {
	s, err := a.survey(r)
	return err == nil && atEnd(s), err
}

func atEnd(s *pipeline.Survey) bool { return len(s.Steps) > 0 && s.Steps[len(s.Steps)-1].Current }

// correction plans a rollback: the newest one that there is, or the next where that is over and this is another, or can
// never come to its end.
func (a *app) correction(ctx context.Context, main *release, released *phases.Released, f rollbackFlags) (*release, *phases.Rollback, error) {
	numbers, err := main.beside(phases.RollbackPhase)
	if err != nil {
		return nil, nil, err
	}
	n := 1
	for _, number := range numbers {
		if asked, ok := a.askedFor(main, number); ok {
			if n = number; !f.asked {
				f.RollbackOptions = asked
			} else if to := strings.TrimPrefix(f.To, "v"); to == asked.To && !f.amend {
				f.Tag, f.Payload, f.MadeFrom = asked.Tag, asked.Payload, asked.MadeFrom // whatever tags are here
			}
		}
	}
	if f.To == "" {
		f.TakenBack = takenBack(filepath.Dir(main.dir))
	}
	r, planned, err := a.numbered(ctx, main, released, n, f.RollbackOptions)
	if err != nil && f.Begun {
		again := phases.RollbackOptions{To: f.To, Reason: f.Reason}
		return nil, nil, withHint(err, "with other options: %s", a.command(rollbackWords(filepath.Base(main.dir), again, "--amend")...))
	}
	if err != nil {
		return nil, nil, err
	}
	if r.old == nil {
		return r, planned, nil
	}
	over, err := r.over("")
	if err != nil {
		return nil, nil, err
	}
	name, next, why := filepath.Base(r.dir), fmt.Sprintf("%s-%d", phases.RollbackPhase, n+1), ""
	switch {
	case over && r.old.Digest != r.plan.Digest:
		return a.numbered(ctx, main, released, n+1, f.RollbackOptions)
	case over:
		if why, err = a.changed(ctx, r); why != "" && !f.asked {
			return nil, nil, withHint(fmt.Errorf("%w: %s is over, and what it did has been changed since: %s", pipeline.ErrConflict, name, why),
				"%s does it again, as %s", a.command(rollbackWords(filepath.Base(main.dir), planned.Asked)...), next)
		} else if why != "" {
			a.ui.Warn("%s is over, and what it did has been changed since: %s; %s does it again", name, why, next)
		}
	default:
		if why, err = a.stuck(ctx, main, released, n); why != "" {
			a.ui.Warn("%s cannot go on: %s; what it did stays done, and %s takes its place", name, why, next)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	if why != "" {
		return a.numbered(ctx, main, released, n+1, f.RollbackOptions)
	}
	return r, planned, nil
}

// changed says what somebody has undone of a rollback that is over, so that users get the bad version again; "" where they
// do not. What becomes of the branch is people's: a hold that was lifted is no reason to begin again.
func (a *app) changed(ctx context.Context, r *release) (why string, err error) {
	var is []string
	for _, sp := range r.plan.Specs {
		if sp.ID != phases.RollbackOutcome && !phases.RollbackLooksAtAUR(sp.ID) {
			continue
		}
		_, seen, err := r.plan.Look(ctx, a.options(r, journal.Read(r.dir)), sp.ID)
		if err != nil {
			return "", fmt.Errorf("cannot look whether %s still stands: %w", filepath.Base(r.dir), err)
		}
		for _, e := range seen {
			switch hurts := phases.RollbackHurts(e.Check); {
			case e.Verdict == gate.Fail && hurts:
				is = append(is, e.Summary)
			case e.Verdict == gate.Fail:
				a.ui.Warn("%s has been changed since: %s", filepath.Base(r.dir), e.Summary)
			case e.Verdict != gate.Pass:
				a.ui.Warn("cannot look whether %s still stands: %s", filepath.Base(r.dir), e.Summary)
			}
		}
	}
	return strings.Join(is, "; "), nil
}

// takenBack lists the versions that journals here say were rolled back, or are held.
func takenBack(dir string) (versions []string) {
	list, _ := os.ReadDir(dir) // it holds the release that is rolled back
	for _, e := range list {
		released, _, err := readable(&release{dir: filepath.Join(dir, e.Name())})
		if err != nil || released.Plan == nil { // it is not about this version
			continue
		}
		if h := released.Holding(); released.RolledBack() != nil || h != nil && h.Held {
			versions = append(versions, e.Name())
		}
	}
	return versions
}

// stuck says why the n-th rollback, part of which is done, can never come to its end as it was begun; "" where it can.
func (a *app) stuck(ctx context.Context, main *release, released *phases.Released, n int) (why string, err error) {
	dir, _ := main.at(fmt.Sprintf("%s-%d", phases.RollbackPhase, n))
	done, err := phases.ReadReleased(journal.Read(dir))
	if err != nil {
		return "", err
	}
	acted, sure := done.Permanent()
	if acted == "" {
		return "", nil
	}
	o, _ := phases.RollbackAsked(done.Plan)
	r, _, err := a.numbered(ctx, main, released, n, o)
	switch {
	case errors.Is(err, phases.ErrNotHere): // elsewhere it can
		return "", err
	case err != nil:
		return err.Error(), nil
	case !amendable(r.plan, done):
		return "the release has gone on since, or this is another program", nil
	case !sure: // its gate is asked again where that turns out not to be done
		return "", nil
	}
	// The gate has passed, and is not asked again about what others do behind it: the next one's is.
	for _, sp := range r.plan.Specs {
		_, failed := done.Failed[sp.ID]
		rec, looked := done.Done[sp.ID]
		moved := looked && phases.RollbackLooksAtAUR(sp.ID) && !slices.ContainsFunc(rec.Evidence, passes)
		if !moved && (!failed || looked || phases.RollbackLevelOf(sp.ID) == "") {
			continue
		}
		_, seen, err := r.plan.Look(ctx, a.options(r, journal.Read(r.dir)), sp.ID)
		if errors.Is(err, pipeline.ErrConflict) {
			return firstLine(err.Error()), nil
		}
		for _, e := range seen {
			if moved && e.Verdict == gate.Fail {
				return e.Found, nil
			}
		}
	}
	return "", nil
}

func passes(e gate.Evidence) bool { return e.Verdict == gate.Pass }

// askedFor is what the n-th rollback was asked for.
func (a *app) askedFor(main *release, n int) (phases.RollbackOptions, bool) {
	old := &release{}
	if err := old.read(journal.Read(filepath.Join(main.dir, fmt.Sprintf("%s-%d", phases.RollbackPhase, n)))); err != nil || old.old == nil {
		return phases.RollbackOptions{}, false
	}
	return phases.RollbackAsked(old.old)
}

// numbered plans the n-th rollback.
func (a *app) numbered(ctx context.Context, main *release, released *phases.Released, n int, o phases.RollbackOptions) (*release, *phases.Rollback, error) {
	var r *release
	approval := func() (gate.Statement, bool) { return approvalOf(r, "gate/"+phases.RollbackPhase) }
	planned, err := phases.NewRollback(ctx, main.config, main.repo, released, o, approval)
	if err != nil {
		return nil, nil, usage("", "cannot plan the rollback of %s: %w", filepath.Base(main.dir), err)
	}
	if r, err = a.besides(ctx, main, phases.RollbackPhase, n, planned.Env, planned.Phase); err != nil {
		return nil, nil, err
	}
	r.goOn = []string{"rollback", filepath.Base(main.dir)}
	r.again = func(ctx context.Context) (*release, error) {
		again, _, err := a.numbered(ctx, main, released, n, o)
		return again, err
	}
	return r, planned, nil
}

// rollbackAgain plans the n-th rollback of a release as it was begun.
func (a *app) rollbackAgain(ctx context.Context, main *release, n int) (*release, error) {
	o, ok := a.askedFor(main, n)
	if !ok {
		return nil, withHint(errNotBegun, "%s", a.command("rollback", filepath.Base(main.dir)))
	}
	released, err := releasedOf(main)
	if err != nil {
		return nil, err
	}
	r, _, err := a.numbered(ctx, main, released, n, o)
	return r, err
}

// carryOut runs a plan that lies beside a release's own, to its end or to where it stops. Then, in both cases, it is told
// how many steps were done.
func (a *app) carryOut(ctx context.Context, r *release, f rollbackFlags, then func(ctx context.Context, made int) error) error {
	r, lock, j, err := a.open(ctx, r, f.amend)
	if err != nil {
		return err
	}
	defer lock.Close()
	keeper := &planKeeper{Journal: j, path: filepath.Join(r.dir, "plan.json")}
	printer := a.ui.Printer(r.plan)
	made := map[string]bool{}
	o := a.options(r, keeper)
	o.Jobs, o.Amend = f.jobs, f.amend
	o.Observe = func(rec pipeline.Record) {
		if rec.Event == pipeline.Done && rec.Step != "" {
			made[rec.Step] = true
		}
		printer.Observe(rec)
	}
	o.Confirm = func(ctx context.Context, sp pipeline.Spec) error {
		if f.yes {
			return nil
		}
		err := a.ui.Confirm(ctx, "%s is the first step that others see, and it cannot be taken back (%s). Go on?", sp.ID, sp.Target)
		if errors.Is(err, ui.ErrNobody) {
			return withHint(fmt.Errorf("cannot go on to %s, which others see: %w", sp.ID, err), "%s goes on without asking", a.goOn(r, "--yes"))
		}
		return err
	}
	err = r.plan.Run(ctx, o)
	printer.Close()
	thenErr := then(ctx, len(made))
	if err != nil {
		err = a.ended(ctx, r, runFlags{}, len(made), err)
	} else {
		var survey *pipeline.Survey
		if survey, err = a.survey(r); err == nil {
			err = a.writeRequest(r, survey)
		}
	}
	if thenErr != nil {
		err = errors.Join(err, thenErr)
	}
	return err
}
