package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

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
