package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// wayBack is a rehearsal in three acts in one world: an older version is released, then the version at HEAD with its own
// plan, and then it is rolled back.
type wayBack struct {
	*app
	r     *release // at HEAD
	dir   string
	flags rehearseFlags

	older  *phases.Older
	world  *phases.Rehearsal
	acts   []*rehearsal // older, release and rollback: each has a folder of that name with its journal
	rolled *phases.Rollback
	ahead  time.Duration // the twins' clock, before the rollback
}

// beside is the folder of the repository that an older version may have to be made in; it is gone in the end.
const besideOlder = ".older"

// rehearseRollback rehearses the release and its rollback.
func (a *app) rehearseRollback(ctx context.Context, f rehearseFlags) (err error) {
	r, err := a.release(ctx, false)
	if err != nil {
		return err
	}
	dir, done, err := a.stage(f.keep)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(filepath.Join(dir, besideOlder)), done()) }()
	a.again = a.command("rehearse", "--rollback") + " begins anew; nothing of this one is left"
	if f.keep != "" {
		a.again = "what there is of it lies in " + f.keep
	}
	a.ui.Note(opening{r.plan.Env.Project + " " + r.plan.Env.Version + " and its rollback", dir})
	a.warnings(ctx, r)
	forms, err := phases.RehearsedOlder(r.config, r.repo, r.base, r.plan.Env.Version, f.to, filepath.Join(dir, besideOlder))
	if err != nil {
		return usage("", "cannot rehearse a rollback: %w", err)
	}
	began := a.now()
	b := &wayBack{app: a, r: r, dir: dir, flags: f}
	defer func() { err = errors.Join(err, b.close()) }()
	var refused error // why the form before could not be released
	for i, form := range forms {
		if refused = b.release(ctx, form); refused == nil {
			break
		}
		if ctx.Err() != nil || i == len(forms)-1 {
			return b.stopped(fmt.Errorf("cannot release an older version to go back to: %w", refused))
		}
		a.ui.Warn("%s cannot be released as its tag has it (%v); the tree of %s is taken, with the older number in its files", b.name(), firstLine(refused.Error()), r.plan.Env.Version)
		if err := errors.Join(b.close(), emptied(dir)); err != nil {
			return err
		}
	}
	if err := b.goThere(ctx); err != nil {
		return b.stopped(err)
	}
	if err := b.goBack(ctx); err != nil {
		return b.stopped(err)
	}
	return b.end(ctx, began)
}

// name is the older version's, for messages.
func (b *wayBack) name() string {
	if b.older == nil {
		return "the older version"
	}
	return b.older.Version.Release()
}

func (b *wayBack) stopped(err error) error {
	if b.flags.keep == "" {
		return withHint(err, "%s leaves all of it to look at", b.command("rehearse", "--rollback", "--keep", "DIR"))
	}
	return withHint(err, "what arrived is in %s", b.flags.keep)
}

// close ends what stands.
func (b *wayBack) close() (err error) {
	for _, on := range b.acts {
		err = errors.Join(err, on.journal.Close())
	}
	if b.world != nil {
		err = errors.Join(err, b.world.Close())
	}
	b.acts, b.world = nil, nil
	return err
}

// emptied removes all that is in a folder.
func emptied(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// act carries one plan out.
func (b *wayBack) act(ctx context.Context, name string, r *release, lenient bool) (*rehearsal, error) {
	j, err := journal.Open(r.dir)
	if err != nil {
		return nil, err
	}
	b.ui.Doing(fmt.Sprintf("%s: %s", name, r.plan.Env.Version))
	on := &rehearsal{app: b.app, r: r, world: b.world, journal: j, dir: r.dir, faults: b.flags.faults, lenient: lenient}
	on.kinds = []string{phases.RehearsalOfRelease, phases.RehearsalOfRollback}
	b.acts = append(b.acts, on)
	return on, on.run(ctx, b.flags.jobs)
}

// part is a release with a journal in a folder of the rehearsal's.
func (b *wayBack) part(name string, p *project, base phases.Commit, plan *pipeline.Plan) *release {
	dir := filepath.Join(b.dir, name)
	return &release{
		project: p, head: base, base: base, plan: plan, verifier: b.world.Verifier(), dir: dir,
		dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")},
	}
}

// release stages the world, and releases the older version in it.
func (b *wayBack) release(ctx context.Context, form func(context.Context) (*phases.Older, error)) (err error) {
	if b.older, err = form(ctx); err != nil {
		return err
	}
	p := &project{repo: b.older.Repository, config: b.older.Config, file: b.r.file, text: b.r.text}
	plan, err := p.plan(ctx, b.older.Version, b.older.Commit)
	if err != nil {
		return err
	}
	b.world, err = phases.Rehearse(ctx, phases.RehearsalOptions{
		Config: phases.RehearsedConfig(b.r.config), Repository: b.older.Repository, Base: b.r.base, Version: b.r.plan.Env.Version, Dir: b.dir, Faults: b.flags.faults,
	})
	if err != nil {
		return err
	}
	if _, err := b.act(ctx, "older", b.part("older", p, b.older.Commit, plan), true); err != nil {
		return err
	}
	return b.world.Install(ctx, phases.HadOlder)
}

// goThere releases the version with the plan that a run has.
func (b *wayBack) goThere(ctx context.Context) error {
	if _, err := b.act(ctx, "release", b.part("release", b.r.project, b.r.base, b.r.plan), false); err != nil {
		return err
	}
	return b.world.Install(ctx, phases.HadBad)
}

// goBack rolls it back.
func (b *wayBack) goBack(ctx context.Context) error {
	released, err := phases.ReadReleased(b.acts[1].journal)
	if err != nil {
		return err
	}
	var r *release
	approval := func() (gate.Statement, bool) { return approvalOf(r, "gate/"+phases.RollbackPhase) }
	b.rolled, err = phases.NewRollback(ctx, phases.RehearsedConfig(b.r.config), b.older.Repository, released, phases.RollbackOptions{To: b.older.Version.Release()}, approval)
	if err != nil {
		return fmt.Errorf("cannot plan the rollback: %w", err)
	}
	plan, err := pipeline.NewPlan(ctx, b.rolled.Env, b.rolled.Phase)
	if err != nil {
		return err
	}
	r = b.part(phases.RollbackPhase, b.r.project, b.r.base, plan)
	b.ahead = b.world.Ahead()
	// Of a made commit not everything says its version, such as programs that lie in the tree as they are.
	_, err = b.act(ctx, phases.RollbackPhase, r, b.older.Made)
	return err
}

// end looks at what users have in the end, and keeps the receipt.
func (b *wayBack) end(ctx context.Context, began time.Time) error {
	arrived, missing, err := b.world.CameBack(ctx, b.r.plan, b.older, b.rolled, b.dir)
	if err != nil {
		return b.stopped(err)
	}
	corrections, err := b.world.Corrections(b.acts[2].journal, b.ahead)
	if err != nil {
		return b.stopped(err)
	}
	tracker, err := b.tracker()
	if err == nil {
		err = writeFile(filepath.Join(b.dir, "tracker.md"), tracker)
	}
	if err != nil {
		return err
	}
	receipt := b.receipt(arrived, missing, corrections)
	shown := rehearsed{
		Receipt: receipt, Arrived: arrived, Corrected: corrections, Kept: b.flags.keep, Took: b.now().Sub(began).Round(time.Second / 10),
		Unstruck: b.world.Unstruck(),
	}
	if bad := shown.bad(); bad > 0 {
		b.ui.Note(shown)
		return &coded{fmt.Errorf("the rehearsal ended, but %s did not come back as planned", ui.Count(bad, "thing")), exitGate, ""}
	}
	text, err := receipt.Bytes()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.r.dir, 0o777); err != nil {
		return fmt.Errorf("cannot keep the receipt: %w", err)
	}
	for _, dir := range []string{b.r.dir, b.dir} {
		if err := writeFile(filepath.Join(dir, receipt.Kind+".json"), text); err != nil {
			return err
		}
	}
	return b.ui.Show(shown)
}

// tracker is the deployment tracker of the release as it is after the rollback.
func (b *wayBack) tracker() ([]byte, error) {
	main, last := b.acts[1], b.acts[2]
	back, err := phases.ReadReleased(last.journal)
	if err != nil {
		return nil, err
	}
	back.Name = phases.RollbackPhase + "-1" // as it is called beside a release
	released, err := phases.ReadReleased(main.journal, back)
	if err != nil {
		return nil, err
	}
	stands := recoveryOf(released, b.now())
	if stands != nil {
		stands.r, stands.survey = last.r, last.survey
	}
	v := b.standing(main.r, main.survey, stands)
	v.Hold = holding(released)
	return b.trackerOf(main.r, v)
}

// receipt says what the three acts have shown.
func (b *wayBack) receipt(arrived []phases.Arrival, missing []string, corrections []phases.Correction) phases.RehearsalReceipt {
	rec := b.acts[1].receipt(phases.RehearsalOfRollback, nil)
	rec.Covered = append([]string{fmt.Sprintf("older version: %s, %s", b.older.Version.Release(), b.older.Form)}, rec.Covered...)
	back := b.acts[2].receipt(phases.RehearsalOfRollback, arrived)
	rec.Covered = append(rec.Covered, back.Covered...)
	for _, c := range corrections {
		rec.Covered = append(rec.Covered, soon(c))
	}
	for _, text := range append([]string{phases.NotOfOlder}, b.acts[0].notCovered...) {
		rec.NotCovered = append(rec.NotCovered, "older version: "+text)
	}
	rec.NotCovered = append(append(rec.NotCovered, back.NotCovered...), missing...)
	for _, text := range b.rolled.LeftOut {
		rec.NotCovered = append(rec.NotCovered, "rollback, level "+text)
	}
	rec.NotCovered = slices.DeleteFunc(rec.NotCovered, func(text string) bool {
		return strings.HasSuffix(text, ": the approval of "+phases.OnlyInRehearsals)
	})
	return rec
}
