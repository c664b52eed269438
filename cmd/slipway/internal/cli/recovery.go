package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/templates"
)

// recovery is how the rollbacks of a release stand, by their journals, and the newest one as a plan.
type recovery struct {
	ui.Recovery
	r      *release         // nil where it cannot be planned any more
	survey *pipeline.Survey // likewise
}

// recovery finds how a release was rolled back; nil where it was not.
func (a *app) recovery(ctx context.Context, main *release, released *phases.Released) *recovery {
	out := recoveryOf(released, a.now())
	if out == nil {
		return nil
	}
	begun, _, err := a.journalled(filepath.Base(main.dir))
	if err == nil {
		out.r, err = a.rollbackAgain(ctx, begun, numberOf(out.Name))
	}
	if err == nil {
		out.survey, err = a.survey(out.r)
	}
	if err != nil {
		out.r = nil
		a.ui.Warn("cannot tell what %s lacks: %v", out.Name, err)
	}
	return out
}

// recoveryOf is how a release was rolled back, as the journals beside its own say; nil where it was not.
func recoveryOf(released *phases.Released, now time.Time) *recovery {
	backs := released.Backs()
	if len(backs) == 0 {
		return nil
	}
	newest := backs[len(backs)-1]
	out := &recovery{Recovery: ui.Recovery{
		Name: newest.Name, To: newest.To, Reason: newest.Reason, Began: newest.Began, Ended: newest.Ended, State: stateOf(newest),
		Horizon: templates.Horizon(now.Sub(newest.Began)),
		Clock:   []string{"0-1 hour: decision", "1-4 hours: execution", "4-24 hours: users are told", "1-7 days: causes and a fix"},
	}}
	for _, b := range backs[:len(backs)-1] {
		out.Earlier = append(out.Earlier, ui.Recovery{Name: b.Name, To: b.To, Reason: b.Reason, Began: b.Began, Ended: b.Ended, State: stateOf(b)})
	}
	for _, level := range phases.RollbackLevels {
		var shown *ui.RecoveryLevel
		for _, b := range backs { // the newest that has done something of it counts
			i := slices.IndexFunc(b.Levels, func(l phases.BackLevel) bool { return l.Level == level })
			if i >= 0 && (shown == nil || b.Levels[i].Acted || shown.State == phases.LevelPending) {
				l := b.Levels[i]
				shown = &ui.RecoveryLevel{Level: level, State: l.State, What: l.What, By: b.Name, To: b.To}
			}
		}
		if shown != nil {
			out.Levels = append(out.Levels, *shown)
		}
	}
	return out
}

// stateOf says in a few words how a rollback stands.
func stateOf(b phases.Back) string {
	switch {
	case !b.Over():
		return fmt.Sprintf("%d of %s done", b.Done, ui.Count(b.Steps, "step"))
	case !b.Acted():
		return "held"
	case b.To == "":
		return "withdrawn"
	}
	return "rolled back"
}

// numberOf is the number of a folder beside a release's journal.
func numberOf(name string) int {
	_, text, _ := strings.Cut(name, "-")
	n, _ := strconv.Atoi(text) // the folder was found by it
	return n
}

// holding is what the journals say of a hold; nil where they say nothing.
func holding(released *phases.Released) *ui.Holding {
	h := released.Holding()
	if h == nil {
		return nil
	}
	return &ui.Holding{By: h.By, Held: h.Held, Reason: h.Reason, Since: h.Since}
}

// unpublished refuses to carry on, or to look how to carry on, what users were brought back from.
func (a *app) unpublished(r *release) error {
	released, err := releasedOf(r)
	if err == nil {
		err = a.unpublishable(r, released)
	}
	return err
}

// unpublishable refuses to carry on a release that users were brought back from.
func (a *app) unpublishable(main *release, released *phases.Released) error {
	back := released.RolledBack()
	if back == nil {
		return nil
	}
	version := filepath.Base(main.dir)
	what := "is withdrawn"
	if back.To != "" {
		what = "is rolled back to " + back.To
	}
	hint := a.command("status", "--version", version) + " shows how it stands; what users get next is another version: " + a.command("bump", "patch")
	if !back.Over() {
		what = strings.Replace(what, "is ", "is being ", 1)
		hint = a.command("rollback", version) + " goes on with that; " + hint
	}
	return withHint(fmt.Errorf("%s %s (%s), so it is not carried on", version, what, back.Name), "%s", hint)
}
