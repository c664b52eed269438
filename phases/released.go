package phases

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/rollback"
	"github.com/imrightguy/slipway/pipeline"
)

// Released is what a release's journal says it did, and what those of the plans beside it say.
type Released struct {
	Name string // of a plan beside a release's own, such as rollback-1; "" for the release's own
	Run  string
	Plan *pipeline.Plan // the newest
	// Done is by step: those whose newest record says done, and outward ones that were done and failed since, as nobody has
	// taken them back.
	Done map[string]pipeline.Record
	// Begun are outward steps that were begun, and nothing says how they ended.
	Begun map[string]bool
	// Failed are steps that failed last, with what failed.
	Failed map[string]pipeline.Record
	// Beside are the republications, rollbacks and holds of the release, each kind oldest first; [ReadReleased] leaves out
	// those that have not begun.
	Beside []*Released

	first  time.Time                  // of the first record
	ended  time.Time                  // of the record that says that the newest plan's last step is done; zero: it goes on
	latest map[string]pipeline.Record // by step: the newest one
	began  map[string]time.Time       // of Begun: when
}

// ReadReleased reads the journal of a release. Plan is nil where it is empty. Beside is what the journals of plans beside
// it say, read likewise, with their names.
func ReadReleased(j pipeline.Journal, beside ...*Released) (*Released, error) {
	r := &Released{Done: map[string]pipeline.Record{}, Begun: map[string]bool{}, Failed: map[string]pipeline.Record{}, latest: map[string]pipeline.Record{}, began: map[string]time.Time{}}
	ended := map[string]time.Time{} // what has ended stays so where a later look at it fails
	for rec, err := range j.Records() {
		if err != nil {
			return nil, err
		}
		if r.first.IsZero() {
			r.first = rec.Time
		}
		if rec.Planned != nil {
			r.Run, r.Plan = rec.Run, rec.Planned
		}
		if rec.Step == "" {
			continue
		}
		if rec.Event != pipeline.Stated {
			r.latest[rec.Step] = rec
		}
		switch rec.Event {
		case pipeline.Done:
			r.Done[rec.Step], ended[rec.Step] = rec, rec.Time
			delete(r.Begun, rec.Step)
			delete(r.Failed, rec.Step)
		case pipeline.Started:
			if !r.Begun[rec.Step] {
				r.began[rec.Step] = rec.Time
			}
			r.Begun[rec.Step] = true
			delete(r.Done, rec.Step)
			delete(ended, rec.Step)
			delete(r.Failed, rec.Step)
		case pipeline.Failed:
			r.Failed[rec.Step] = rec
			r.undone(rec.Step)
		case pipeline.Waiting:
			delete(r.Failed, rec.Step)
			r.undone(rec.Step)
		case pipeline.Undone:
			delete(r.Begun, rec.Step)
			delete(r.Done, rec.Step)
			delete(r.Failed, rec.Step)
			delete(ended, rec.Step)
		}
	}
	if r.Plan != nil && len(r.Plan.Specs) > 0 {
		r.ended = ended[r.Plan.Specs[len(r.Plan.Specs)-1].ID]
	}
	for _, b := range beside {
		if b != nil && b.Plan != nil {
			r.Beside = append(r.Beside, b)
		}
	}
	return r, nil
}

// undone forgets that a step was done, unless others may see what it did.
func (r *Released) undone(step string) {
	if r.Plan == nil || !slices.ContainsFunc(r.Plan.Specs, func(sp pipeline.Spec) bool { return sp.ID == step && sp.Effect.Outward() }) {
		delete(r.Done, step)
	}
}

// Spec is the digest of the step that the newest record speaks of, done or not; "" where there is none. An amended plan
// has to hold the same one where the step has acted.
func (r *Released) Spec(step string) string { return r.latest[step].Spec }

// Over reports whether the last step of a journal's plan was done; a proof that fails later does not begin it again.
func (r *Released) Over() bool { return !r.ended.IsZero() }

// Bounds are when the journal began, and when the last step of its plan was done; zero while it goes on.
func (r *Released) Bounds() (began, ended time.Time) { return r.first, r.ended }

// Kind says what kind of plan a journal is of, "" for a release's own: the phase of its steps, such as rollback.
func (r *Released) Kind() string {
	kind, _, _ := strings.Cut(r.Name, "-")
	return kind
}

// Acted reports whether a step has acted, or may have.
func (r *Released) Acted(step string) bool {
	_, done := r.Done[step]
	return done || r.Begun[step]
}

// BegunAt is when a step of Begun was begun.
func (r *Released) BegunAt(step string) time.Time { return r.began[step] }

// Permanent names the newest step that cannot be taken back and is done; sure is false where it was begun and nobody
// knows how it ended. It is "" where there is none, so that all of the release can be unwound. What republications and
// rollbacks have published or only begun to counts as done, whatever the release's own journal has seen: they are carried
// on, and unwinding would take a withdrawn release for one that was never published. A hold publishes nothing, nor does that
// of a rollback which is over, as in [Back.Acted].
func (r *Released) Permanent() (step string, sure bool) {
	step, sure = r.permanent()
	for _, b := range r.Beside {
		if s, _ := b.permanent(); s != "" && b.Kind() != HoldPhase {
			step, sure = s, true
		}
	}
	return step, sure
}

func (r *Released) permanent() (step string, sure bool) {
	if r.Plan == nil {
		return "", false
	}
	for _, sp := range r.Plan.Specs {
		if sp.Effect != pipeline.Permanent || sp.ID == rollback.HoldID && r.Over() {
			continue
		}
		if _, done := r.Done[sp.ID]; done {
			step, sure = sp.ID, true
		} else if r.Begun[sp.ID] && !sure {
			step = sp.ID
		}
	}
	return step, sure
}

// Publication is when a release reached its first users.
type Publication struct {
	Step string    // the first that cannot be taken back and was done, or begun; "" where there is none
	Time time.Time // when it was done; when it was begun, where that is all that is known and it has arrived; else zero
	// Doubt: no record says that the step was done. It has arrived where a rollback has found the release public since.
	Doubt bool
}

// Published says when the release reached its first users.
func (r *Released) Published() (p Publication) {
	if r.Plan == nil {
		return p
	}
	for _, sp := range r.Plan.Specs {
		if sp.Effect != pipeline.Permanent {
			continue
		}
		at, doubt := r.began[sp.ID], r.Begun[sp.ID]
		if rec, done := r.Done[sp.ID]; done {
			at, doubt = rec.Time, false
		} else if !doubt {
			continue
		}
		if doubt && (sp.ID != PublishID || !r.wasPublic()) {
			at = time.Time{}
		}
		if p.Step == "" || !at.IsZero() && (p.Time.IsZero() || at.Before(p.Time)) {
			p = Publication{Step: sp.ID, Time: at, Doubt: doubt}
		}
	}
	return p
}

// wasPublic reports whether a rollback has taken the release from the public itself: only what is public can be.
func (r *Released) wasPublic() bool {
	return slices.ContainsFunc(r.Beside, func(b *Released) bool { return b.receipt(rollback.WithdrawID, pipeline.Marker) != "" })
}

// Pushed is what was published last of a package in the AUR.
type Pushed struct {
	Package string
	By      string // the journal's name: "" for the release's own, else aur-1 or rollback-1
	Version string // as pacman compares it, 3.2.1-2; "" where nobody knows whether it arrived
	Commit  string // hexadecimal; likewise
}

// Pushed lists the AUR packages that the release has published, or may have, in the order in which they first were: by
// its own run, by republications or by rollbacks, whichever came last.
func (r *Released) Pushed() []Pushed { return r.lastPushed(AUR, RollbackPhase) }

// Shipped is Pushed without what rollbacks have done: what of this version users got.
func (r *Released) Shipped() []Pushed { return r.lastPushed(AUR) }

func (r *Released) lastPushed(kinds ...string) (out []Pushed) {
	when := map[string]time.Time{}
	for _, j := range append([]*Released{r}, r.Beside...) {
		kind := j.Kind()
		if j.Plan == nil || kind != "" && !slices.Contains(kinds, kind) {
			continue
		}
		for _, sp := range j.Plan.Specs {
			name, ok := pushedBy(sp.ID)
			if !ok || !j.Acted(sp.ID) {
				continue
			}
			at := j.latest[sp.ID].Time
			p := Pushed{Package: name, By: j.Name, Version: j.receipt(sp.ID, "version"), Commit: j.receipt(sp.ID, "commit")}
			i := slices.IndexFunc(out, func(q Pushed) bool { return q.Package == name })
			switch {
			case i < 0:
				out = append(out, p)
			case !at.Before(when[name]):
				out[i] = p
			default:
				continue
			}
			when[name] = at
		}
	}
	return out
}

// pushedBy is the package that a step publishes in the AUR.
func pushedBy(step string) (name string, ok bool) {
	for _, phase := range []string{AUR, RollbackPhase} {
		if name, ok = strings.CutPrefix(step, phase+"/push/"); ok {
			return name, true
		}
	}
	return "", false
}

// pushed lists the names of [Released.Pushed].
func (r *Released) pushed() (names []string) {
	for _, p := range r.Pushed() {
		names = append(names, p.Package)
	}
	return names
}

// receipt is a value of a step's receipt; "" where it left none.
func (r *Released) receipt(step, key string) string { return r.Done[step].Receipt[key] }

// param is a parameter of a planned step.
func (r *Released) param(step, key string) string {
	for _, sp := range r.Plan.Specs {
		if sp.ID == step {
			return sp.Params[key]
		}
	}
	return ""
}

// need is receipt, where the value is needed.
func (r *Released) need(step, key string) (string, error) {
	if v := r.receipt(step, key); v != "" {
		return v, nil
	}
	return "", fmt.Errorf("the journal does not say what %s did (%s)", step, key)
}
