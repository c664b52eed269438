package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// A release that is public can be published in the AUR again, for a release.yaml in which only that differs: by plans of
// their own in the folders aur-1, aur-2 beside its journal. The first one supersedes what the release's own run has not
// done in the AUR.

// republish carries such a plan on, or begins the next, where run --phase aur means that. It is false where the release's
// own run is meant.
func (a *app) republish(ctx context.Context, f runFlags) (bool, error) {
	main, _, err := a.published("")
	if main == nil || err != nil {
		return false, err
	}
	p, err := a.project()
	if err != nil {
		return true, err
	}
	numbers, err := main.beside(phases.AUR)
	if err != nil {
		return true, err
	}
	if sum := sha256.Sum256(p.text); len(numbers) == 0 && hex.EncodeToString(sum[:]) == main.old.Env.Config {
		return false, nil
	}
	lock, err := journal.Open(main.dir) // one run at a time for each version
	if err != nil {
		return true, fmt.Errorf("cannot open the release %s: %w", main.old.Env.Version, err)
	}
	defer lock.Close()
	released, err := releasedOf(main) // whatever came between
	if err == nil {
		err = a.unpublishable(main, released)
	}
	if err == nil {
		numbers, err = main.beside(phases.AUR)
	}
	if err != nil {
		return true, err
	}
	n := 1
	if len(numbers) > 0 {
		n = numbers[len(numbers)-1]
		if over, err := main.over(fmt.Sprintf("%s-%d", phases.AUR, n)); err != nil {
			return true, err
		} else if over {
			n++
		}
	}
	r, packages, err := a.republication(ctx, main, released, n, f.amend)
	if err == nil && r != nil && f.amend && a.amendable(r) != nil {
		a.ui.Warn("%s-%d has published some of it as it was: that stays done, and %s-%d takes its place, with a gate of its own", phases.AUR, n, phases.AUR, n+1)
		r, packages, err = a.republication(ctx, main, released, n+1, true)
	}
	if err != nil {
		return true, err
	}
	if r == nil {
		return true, a.ui.Show(unchanged{Version: main.old.Env.Project + " " + main.old.Env.Version})
	}
	if f.plan != "" {
		if err := a.samePlan(a.path(f.plan), r.plan); err != nil {
			return true, err
		}
	}
	if f.dryRun {
		return true, a.showPlan(ctx, r, planFlags{probe: true})
	}
	a.warnings(ctx, r)
	a.ui.Warn("%s is public: %s published in the AUR again, by a plan of its own in %s", main.old.Env.Version, are(packages), a.shown(r.dir))
	a.again = a.goOn(r) + " carries on from here"
	return true, a.carryOut(ctx, r, rollbackFlags{jobs: f.jobs, amend: f.amend, yes: f.yes}, func(_ context.Context, made int) error {
		s, err := a.survey(r)
		if err != nil || a.ui.JSON || !s.Steps[len(s.Steps)-1].Current {
			return err
		}
		shown := summary{survey: s, made: made, version: r.plan.Env.Project + " " + r.plan.Env.Version, until: phases.AUR}
		if rel, err := filepath.Rel(r.repo.Root(), r.dirs.Dist); err == nil {
			shown.dist = rel
		}
		return a.ui.Show(shown)
	})
}

func are(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names, ", ") + " are"
}

// published is the release of a version that is public, by default that at HEAD; nil where it is not. Journals beside it
// that are damaged are left out.
func (a *app) published(version string) (*release, *phases.Released, error) {
	main, _, err := a.journalled(version)
	if errors.Is(err, errNotBegun) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	released, _, err := readable(main)
	if err != nil {
		return nil, nil, err
	}
	if _, done := released.Done[phases.PublishID]; !done {
		return nil, nil, nil
	}
	return main, released, nil
}

// ofRepublication is what the journal of the n-th republication says.
func ofRepublication(main *release, n int) (*phases.Released, error) {
	return phases.ReadReleased(journal.Read(filepath.Join(main.dir, fmt.Sprintf("%s-%d", phases.AUR, n))))
}

// republication plans the n-th republication with release.yaml as it is now, and names its packages. One that has begun
// stays with its base commit, unless it is amended and has pushed nothing. It is nil where nothing differs from what is
// published.
func (a *app) republication(ctx context.Context, main *release, released *phases.Released, n int, amend bool) (*release, []string, error) {
	p, err := a.project()
	if err != nil {
		return nil, nil, err
	}
	if keys := p.config.BeyondAUR(main.config); len(keys) > 0 {
		return nil, nil, &coded{
			fmt.Errorf("%w: %s is public, and %s differs from what it was made with in more than the AUR: %s", pipeline.ErrDiffers, main.old.Env.Version, p.file, strings.Join(keys, ", ")), exitDiffers,
			"put that back, or release it as the next version: " + a.command("bump", "patch"),
		}
	}
	now := &release{project: p, head: main.head, base: main.head}
	if err := now.read(journal.Read(filepath.Join(main.dir, fmt.Sprintf("%s-%d", phases.AUR, n)))); err != nil {
		return nil, nil, err
	}
	if now.old != nil && (!amend || now.acted) {
		if now.base, err = p.repo.Commit(now.old.Env.Commit); err != nil {
			return nil, nil, a.strange(now, err)
		}
	}
	now.verifier, now.approvers = a.verifier(now)
	now.dir, now.dirs = main.dir, main.dirs
	var before []*phases.Released
	for i := 1; i < n; i++ {
		b, err := ofRepublication(main, i)
		if err != nil {
			return nil, nil, err
		}
		before = append(before, b)
	}
	sum := sha256.Sum256(p.text)
	again, err := phases.NewRepublication(ctx, p.config, p.repo, now.base, hex.EncodeToString(sum[:]), released, before...)
	if err != nil {
		return nil, nil, usage("", "cannot publish %s in the AUR again: %w", main.old.Env.Version, err)
	}
	if again.Phase == nil {
		if now.acted {
			return nil, nil, exitf(exitDiffers, "%w: %s-%d has begun to publish, and release.yaml says what was published before it: put back what it began with, so that it ends",
				pipeline.ErrDiffers, phases.AUR, n)
		}
		return nil, nil, nil
	}
	r, err := a.besides(ctx, now, phases.AUR, n, again.Env, again.Phase)
	if err != nil {
		return nil, nil, err
	}
	r.goOn = []string{"run", "--phase", phases.AUR}
	r.again = func(ctx context.Context) (*release, error) {
		r, _, err := a.republication(ctx, main, released, n, amend)
		if r == nil && err == nil {
			err = fmt.Errorf("%w: nothing is left to publish in the AUR", pipeline.ErrDiffers)
		}
		return r, err
	}
	return r, again.Packages, nil
}

// republishing is the newest republication of a version, by default that at HEAD, that has begun and is not over; nil
// where there is none.
func (a *app) republishing(ctx context.Context, version string) (*release, error) {
	main, released, err := a.published(version)
	if main == nil || err != nil {
		return nil, err
	}
	numbers, err := main.beside(phases.AUR)
	if err != nil || len(numbers) == 0 {
		return nil, err
	}
	n := slices.Max(numbers)
	if over, err := main.over(fmt.Sprintf("%s-%d", phases.AUR, n)); over || err != nil {
		return nil, err
	}
	r, _, err := a.republication(ctx, main, released, n, false)
	if r == nil || r.old == nil {
		return nil, err
	}
	return r, err
}

// unchanged says that there is nothing to publish again.
type unchanged struct {
	Version string `json:"version"`
}

// Show says it.
func (u unchanged) Show(p *ui.Page) {
	p.Printf("nothing to do: the AUR packages of %s are as they were published\n", u.Version)
	p.Printf("What only the packaging changes needs a higher pkgrel in release.yaml.\n")
}

// shownOf is the release whose status is asked for, as its journal has it, and its newest republication; nil for none.
func (a *app) shownOf(ctx context.Context, version string) (r, again *release, err error) {
	main, released, err := a.published(version)
	if err != nil {
		return nil, nil, err
	}
	var numbers []int
	if main != nil {
		if numbers, err = main.beside(phases.AUR); err != nil {
			return nil, nil, err
		}
	}
	if len(numbers) == 0 {
		r, err = a.addressed(ctx, "", version)
		return r, nil, err
	}
	if r, err = a.recorded(ctx, filepath.Base(main.dir)); err != nil {
		return nil, nil, err
	}
	again, _, err = a.republication(ctx, main, released, slices.Max(numbers), false)
	damaged, is := errors.AsType[*journal.DamagedError](err)
	if is && filepath.Dir(damaged.Path) != main.dir || errors.Is(err, pipeline.ErrDiffers) { // the release itself can be shown all the same
		a.ui.Warn("%v", err)
		err = nil
	}
	return r, again, err
}

// withAgain adds a republication to a release's status. What the release's own run has not done in the AUR is superseded.
func (a *app) withAgain(v ui.Status, again *release) (ui.Status, error) {
	if again == nil {
		return v, nil
	}
	s, err := a.survey(again)
	if err != nil {
		return v, err
	}
	var steps []pipeline.StepState
	for _, st := range v.Steps {
		if pipeline.PhaseOf(st.Spec.ID) == phases.AUR && !st.Current {
			v.Superseded = append(v.Superseded, st.Spec.ID)
			continue
		}
		steps = append(steps, st)
	}
	v.Again, v.Steps = filepath.Base(again.dir), append(steps, s.Steps...)
	v.Blocks = slices.DeleteFunc(slices.Clone(v.Blocks), func(b ui.Block) bool { return slices.Contains(v.Superseded, b.Step) })
	v.Blocks = append(v.Blocks, a.blocks(again, s, "")...)
	v.Next = a.next(again, s, v.Blocks)
	return v, nil
}
