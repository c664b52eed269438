package phases

import (
	"slices"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/internal/hold"
	"github.com/imrightguy/slipway/phases/rollback"
	"github.com/imrightguy/slipway/pipeline"
)

// Back is how a rollback stands, by its journal.
type Back struct {
	Name   string // rollback-1
	To     string // the version that users are brought back to; "" where there is none
	Reason string
	Began  time.Time
	Ended  time.Time // zero while it goes on
	Steps  int       // of its plan
	Done   int       // of these
	Levels []BackLevel
}

// BackLevel is how a level of a rollback stands.
type BackLevel struct {
	Level string // of [RollbackLevels]
	State string // one of the constants below
	// What is what was done last, for people: a version in the AUR, what became of the release, a commit; or why it failed.
	What  string
	Acted bool // a step of it has acted, or may have
}

// How a level stands.
const (
	LevelPending = "pending" // nothing of it was begun
	LevelActive  = "active"  // it was begun
	LevelFailed  = "failed"  // a step of it failed
	LevelDone    = "done"
)

// Acted reports whether the release is not to be carried on: whether anything of the rollback was begun. Once it is over,
// a hold alone does not count, which can be lifted.
func (b Back) Acted() bool {
	return slices.ContainsFunc(b.Levels, func(l BackLevel) bool { return l.Acted && (l.Level != rollback.Hold || !b.Over()) })
}

// Over reports whether its last step is done.
func (b Back) Over() bool { return !b.Ended.IsZero() }

// Backs lists the rollbacks of a release, oldest first.
func (r *Released) Backs() (out []Back) {
	for _, j := range r.Beside {
		if j.Kind() != RollbackPhase {
			continue
		}
		asked, _ := RollbackAsked(j.Plan)
		b := Back{Name: j.Name, To: asked.To, Reason: asked.Reason, Began: j.first, Ended: j.ended, Steps: len(j.Plan.Specs)}
		for _, sp := range j.Plan.Specs {
			if _, done := j.Done[sp.ID]; done {
				b.Done++
			}
		}
		for _, level := range RollbackLevels {
			if l, planned := j.level(level); planned {
				b.Levels = append(b.Levels, l)
			}
		}
		out = append(out, b)
	}
	return out
}

// RolledBack is the newest rollback that people may notice; nil where there is none.
func (r *Released) RolledBack() *Back {
	for _, b := range slices.Backward(r.Backs()) {
		if b.Acted() {
			return &b
		}
	}
	return nil
}

// RollbackLevelOf is the level that a step of a rollback, which cannot be taken back, belongs to; "" for every other.
func RollbackLevelOf(step string) string {
	switch step {
	case rollback.WithdrawID, rollback.LatestID, rollback.DeleteID:
		return rollback.GitHub
	case rollback.RevertID, rollback.TagID:
		return rollback.Git
	case rollback.HoldID:
		return rollback.Hold
	}
	if _, ok := pushedBy(step); ok && pipeline.PhaseOf(step) == RollbackPhase {
		return rollback.AUR
	}
	return ""
}

// level sums up the steps of a level.
func (r *Released) level(name string) (l BackLevel, planned bool) {
	steps, done, failed := 0, 0, ""
	var what []string
	for _, sp := range r.Plan.Specs {
		if RollbackLevelOf(sp.ID) != name {
			continue
		}
		steps++
		l.Acted = l.Acted || r.Acted(sp.ID)
		if rec, is := r.Done[sp.ID]; is {
			done++
			what = append(what, said(sp.ID, rec.Receipt)...)
		} else if rec, is := r.Failed[sp.ID]; is {
			failed, _, _ = strings.Cut(strings.TrimSpace(rec.Error), "\n")
		}
	}
	l.Level, l.State, l.What = name, LevelPending, strings.Join(what, ", ")
	switch {
	case failed != "":
		l.State, l.What = LevelFailed, failed
	case done > 0 && done == steps:
		l.State = LevelDone
	case l.Acted:
		l.State = LevelActive
	}
	return l, steps > 0
}

// said are the words of a receipt that say something to people.
func said(step string, receipt pipeline.Receipt) []string {
	short := func(id string) string { return id[:min(12, len(id))] }
	if name, ok := pushedBy(step); ok {
		return []string{name + " " + receipt["version"]}
	}
	switch {
	case receipt["state"] != "" && step == rollback.TagID:
		return []string{"tag " + receipt["state"]}
	case receipt["state"] != "":
		return []string{receipt["state"]}
	case receipt["latest"] != "":
		return []string{"latest " + receipt["latest"]}
	case step == rollback.HoldID:
		return []string{receipt["reason"]}
	case receipt["commit"] != "":
		return []string{"commit " + short(receipt["commit"])}
	}
	return nil
}

// Holding is what the journals of a release say of a hold: that of a rollback, or one of its own. The branch may say more,
// since others can hold a version too.
type Holding struct {
	By     string // rollback-1 or hold-2
	Held   bool   // false: it was lifted
	Reason string
	Since  time.Time // when it was committed, or lifted
}

// Holding is the newest hold that a journal of the release says was committed or lifted; nil where there is none.
func (r *Released) Holding() (out *Holding) {
	var all []Holding
	adopted := map[string]bool{} // by name: it was as it should be already
	for _, j := range r.Beside {
		id, lift, reason := rollback.HoldID, false, ""
		if j.Kind() == HoldPhase {
			id = hold.ChangeID
			lift, reason, _ = HoldAsked(j.Plan)
		} else if asked, ok := RollbackAsked(j.Plan); ok {
			reason = asked.Reason
		}
		rec, done := j.Done[id]
		if !done {
			continue
		}
		if text := rec.Receipt["reason"]; text != "" && !lift {
			reason = text
		}
		adopted[j.Name] = rec.Adopted
		all = append(all, Holding{By: j.Name, Held: !lift, Reason: reason, Since: rec.Time})
	}
	slices.SortStableFunc(all, func(a, b Holding) int { return a.Since.Compare(b.Since) })
	for _, h := range all {
		if out == nil || !adopted[h.By] || out.Held != h.Held {
			out = &h
		}
	}
	return out
}
