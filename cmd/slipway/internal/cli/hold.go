package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
)

func (a *app) hold() *cobra.Command {
	var lift bool
	var reason string
	f := rollbackFlags{jobs: runtime.GOMAXPROCS(0)}
	cmd := &cobra.Command{
		Use:   "hold [VERSION] --reason TEXT",
		Short: "Keep a version from being published, or let it go",
		Long: `Commits a hold on a version, by default that at HEAD, to the main branch of the remote: a file that every release looks
at before it publishes. --lift takes it away.

Where release.yaml names a role under gates.rollback.approve, somebody of it has to sign first, at gate/hold.`,
		Example: "  slipway hold --reason \"the settings do not open\"\n  slipway hold 3.2.1 --lift --reason \"mended in 3.2.2\"",
		Args:    between(0, "a version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.doHold(cmd.Context(), argument(args, 0), lift, strings.TrimSpace(reason), f)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&lift, "lift", false, "let the version go")
	flags.StringVar(&reason, "reason", "", "why, for those who come later")
	flags.BoolVar(&f.yes, "yes", false, "do not ask before the commit")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show the plan, and do nothing")
	flags.BoolVar(&f.amend, "amend", false, "go on with another reason than was begun with")
	return cmd
}

func (a *app) doHold(ctx context.Context, version string, lift bool, reason string, f rollbackFlags) error {
	main, err := a.besidesOf(version)
	if err != nil {
		return err
	}
	n, was, err := a.newestHold(main)
	if err != nil {
		return err
	}
	switch {
	case was.over:
		n++
	case was.begun && was.lift != lift:
		words := []string{"hold", filepath.Base(main.dir)}
		what := "a hold"
		if was.lift {
			words, what = append(words, "--lift"), "the end of a hold"
		}
		return refused(a.command(words...)+" ends it as it was begun; after that, the other way round",
			"%s was begun in %s, with the reason %q, and is not over", what, filepath.Join(filepath.Base(main.dir), fmt.Sprintf("%s-%d", phases.HoldPhase, n)), was.reason)
	case reason == "" && was.begun:
		reason = was.reason // it goes on
	}
	if reason == "" {
		words := []string{"hold", filepath.Base(main.dir), "--reason", "TEXT"}
		if lift {
			words = append(words, "--lift")
		}
		return usage(a.command(words...), "a hold needs a --reason, and so does its end")
	}
	r, err := a.numberedHold(ctx, main, n, lift, reason)
	if err != nil {
		return err
	}
	if f.dryRun {
		return a.ui.Show(ui.Plan{Plan: r.plan})
	}
	ended := func() error {
		if a.ui.JSON { // the records have said it all
			return nil
		}
		return a.ui.Show(held{filepath.Base(main.dir), lift, a.command("hold", filepath.Base(main.dir), "--lift", "--reason", "TEXT")})
	}
	if lift && (was.over || !was.begun) { // what has begun ends, also where somebody else has lifted it since
		switch nobody, err := a.nobodyHolds(ctx, r); {
		case err != nil:
			return fmt.Errorf("cannot find out whether %s is held: %w", filepath.Base(main.dir), err)
		case nobody && was.lift && was.reason == reason: // it was killed before it could say so
			return ended()
		case nobody:
			return refused(a.command("hold", filepath.Base(main.dir), "--reason", "TEXT")+" holds it", "nobody holds %s, so there is no hold to lift", filepath.Base(main.dir))
		}
	}
	a.again = a.goOn(r) + " carries on from here"
	return a.carryOut(ctx, r, f, func(ctx context.Context, _ int) error {
		if over, err := a.isOverIn(r); err != nil || !over {
			return err
		}
		if lift { // one that was killed, and lifted it before, says nothing of what came later
			if nobody, err := a.nobodyHolds(ctx, r); err == nil && !nobody {
				a.ui.Warn("%s was let go, and somebody holds it again since", filepath.Base(main.dir))
				return nil
			}
		}
		return ended()
	})
}

// nobodyHolds reports whether the end of a hold, which has not begun, would find no hold at the remote. Nothing of the look
// stays.
func (a *app) nobodyHolds(ctx context.Context, r *release) (nobody bool, err error) {
	dir, err := os.MkdirTemp("", "slipway-")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o := a.options(r, journal.Read(r.dir))
	o.Dirs.Work = dir
	receipt, seen, err := r.plan.Look(ctx, o, phases.HoldStanding)
	if err == nil && receipt == nil {
		err = errors.New(seen[0].Summary)
	}
	return err == nil && receipt[phases.HoldFile] == "", err
}

// holdAsked is what a hold, or its end, was begun with.
type holdAsked struct {
	begun, lift, over bool
	reason            string
}

// newestHold is the newest hold beside a release, or its end, and its number: 1 where there is none yet.
func (a *app) newestHold(main *release) (n int, was holdAsked, err error) {
	numbers, err := main.beside(phases.HoldPhase)
	if err != nil || len(numbers) == 0 {
		return 1, holdAsked{}, err
	}
	n = numbers[len(numbers)-1]
	was, err = a.holdAsked(main, n)
	return n, was, err
}

// holdAsked is what the n-th hold was begun with.
func (a *app) holdAsked(main *release, n int) (was holdAsked, err error) {
	old := &release{dir: filepath.Join(main.dir, fmt.Sprintf("%s-%d", phases.HoldPhase, n))}
	if err := old.read(journal.Read(old.dir)); err != nil || old.old == nil {
		return was, err
	}
	was.lift, was.reason, was.begun = phases.HoldAsked(old.old)
	was.over, err = old.over("")
	return was, err
}

// numberedHold plans the n-th hold, or its end. It stays with the commit that it was begun on.
func (a *app) numberedHold(ctx context.Context, main *release, n int, lift bool, reason string) (*release, error) {
	env := pipeline.Env{Project: main.config.Project, Version: filepath.Base(main.dir), Commit: main.base.ID, Time: main.base.Time}
	old := &release{}
	if err := old.read(journal.Read(filepath.Join(main.dir, fmt.Sprintf("%s-%d", phases.HoldPhase, n)))); err != nil {
		return nil, err
	}
	if old.old != nil {
		env = old.old.Env
	}
	var r *release
	approval := func() (gate.Statement, bool) { return approvalOf(r, "gate/"+phases.HoldPhase) }
	phase, err := phases.Hold(main.config, main.repo, env, lift, reason, approval)
	if err != nil {
		return nil, usage("", "cannot hold %s: %w", env.Version, err)
	}
	if r, err = a.besides(ctx, main, phases.HoldPhase, n, env, phase); err != nil {
		return nil, err
	}
	r.goOn = []string{"hold", filepath.Base(main.dir), "--reason", reason}
	if lift {
		r.goOn = append(r.goOn, "--lift")
	}
	r.again = func(ctx context.Context) (*release, error) { return a.numberedHold(ctx, main, n, lift, reason) }
	return r, nil
}

// holdAgain plans the n-th hold of a version as it was begun.
func (a *app) holdAgain(ctx context.Context, main *release, n int) (*release, error) {
	was, err := a.holdAsked(main, n)
	if err != nil {
		return nil, err
	}
	if !was.begun {
		return nil, withHint(errNotBegun, "%s", a.command("hold", "--reason", "TEXT"))
	}
	return a.numberedHold(ctx, main, n, was.lift, was.reason)
}

// held closes a hold, or its end.
type held struct {
	version string
	lifted  bool
	lift    string
}

// Show tells what holds now.
func (h held) Show(p *ui.Page) {
	p.Gap()
	if h.lifted {
		p.Printf("%s is not held any more\n", h.version)
		return
	}
	p.Printf("%s is held: no release publishes it until %s\n", h.version, h.lift)
}
