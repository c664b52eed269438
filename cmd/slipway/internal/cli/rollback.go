package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
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
			for _, name := range []string{"to", "level", "without", "epoch", "delete", "delete-tag", "reason"} {
				f.asked = f.asked || cmd.Flags().Changed(name)
			}
			switch flags := cmd.Flags(); { // an empty variable of a script is not "everything"
			case flags.Changed("level") && len(f.Levels) == 0:
				return usage("", "--level is empty: name some of %s, or leave it out for all", strings.Join(phases.RollbackLevels, ", "))
			case flags.Changed("without") && len(f.Without) == 0:
				return usage("", "--without is empty: name AUR packages")
			case flags.Changed("to") && strings.TrimSpace(f.To) == "":
				return usage("", "--to is empty: name a version, or leave it out for the newest one before")
			}
			return a.doRollback(cmd.Context(), argument(args, 0), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.To, "to", "", "bring users back to this `version` (default: the newest version tag before it; none: there is none)")
	flags.StringSliceVar(&f.Levels, "level", nil, "only these `levels`: "+strings.Join(phases.RollbackLevels, ", ")+" (default: all that the release has reached)")
	flags.StringSliceVar(&f.Without, "without", nil, "do not correct these AUR `packages`; the release stays public for them")
	flags.BoolVar(&f.Epoch, "epoch", false, "raise the epoch of AUR packages, which they keep for ever, instead of a +really version")
	flags.BoolVar(&f.Delete, "delete", false, "delete the withdrawn release on GitHub")
	flags.BoolVar(&f.DeleteTag, "delete-tag", false, "delete the tag, which clones and caches keep")
	flags.StringVar(&f.Reason, "reason", "", "why, for users and for the hold")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would be done, and do nothing")
	flags.BoolVar(&f.yes, "yes", false, "do not ask before the first step that others see")
	flags.BoolVar(&f.amend, "amend", false, "take these options for a rollback that has begun; where it has acted on others, the next one takes its place")
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
	words := rollbackWords(v.Release(), f.RollbackOptions)
	if f.amend {
		words = append(words, "--amend")
	}
	a.again = a.command(words...) + " carries on from here"
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
		if f.amend = a.amendable(r) == nil; f.amend {
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

// isOverIn reports whether the last step of a plan is done and holds by now, unlike over, which asks the journal alone.
func (a *app) isOverIn(r *release) (bool, error) {
	s, err := a.survey(r)
	return err == nil && atEnd(s), err
}

func atEnd(s *pipeline.Survey) bool { return len(s.Steps) > 0 && s.Steps[len(s.Steps)-1].Current }

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
