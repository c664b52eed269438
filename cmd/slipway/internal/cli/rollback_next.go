package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
)

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
		if why, err = a.stuck(ctx, main, released, n); err == nil && why == "" && f.asked && f.amend && r.old.Digest != r.plan.Digest {
			if refused := a.amendable(r); refused != nil {
				why = "it was begun with other options, and others see what it did"
			}
		}
		if why != "" {
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
	case a.amendable(r) != nil:
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
