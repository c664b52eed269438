package phases

import (
	"fmt"
	"strings"
	"time"

	"github.com/imrightguy/slipway/pipeline"
)

// Released is what a release's journal says it did.
type Released struct {
	Run  string
	Plan *pipeline.Plan             // the newest
	Done map[string]pipeline.Record // by step: those whose newest record says done
	// Begun are outward steps that were begun, and nothing says how they ended.
	Begun map[string]bool
}

// ReadReleased reads the journal of a release. Plan is nil where it is empty.
func ReadReleased(j pipeline.Journal) (*Released, error) {
	r := &Released{Done: map[string]pipeline.Record{}, Begun: map[string]bool{}}
	for rec, err := range j.Records() {
		if err != nil {
			return nil, err
		}
		if rec.Planned != nil {
			r.Run, r.Plan = rec.Run, rec.Planned
		}
		switch rec.Event {
		case pipeline.Done:
			r.Done[rec.Step] = rec
			delete(r.Begun, rec.Step)
		case pipeline.Started:
			r.Begun[rec.Step] = true
			delete(r.Done, rec.Step)
		case pipeline.Undone:
			delete(r.Begun, rec.Step)
			delete(r.Done, rec.Step)
		}
	}
	return r, nil
}

// Acted reports whether a step has acted, or may have.
func (r *Released) Acted(step string) bool {
	_, done := r.Done[step]
	return done || r.Begun[step]
}

// Permanent names the newest step that cannot be taken back and is done; sure is false where it was begun and nobody
// knows how it ended. It is "" where there is none, so that all of the release can be unwound.
func (r *Released) Permanent() (step string, sure bool) {
	if r.Plan == nil {
		return "", false
	}
	for _, sp := range r.Plan.Specs {
		if sp.Effect != pipeline.Permanent {
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

// Published is when the first step that cannot be taken back was done; zero where none was.
func (r *Released) Published() (first time.Time) {
	if r.Plan == nil {
		return first
	}
	for _, sp := range r.Plan.Specs {
		if rec, done := r.Done[sp.ID]; done && sp.Effect == pipeline.Permanent && (first.IsZero() || rec.Time.Before(first)) {
			first = rec.Time
		}
	}
	return first
}

// pushed lists the AUR packages that the release has published, or may have, in plan order.
func (r *Released) pushed() (names []string) {
	for _, sp := range r.Plan.Specs {
		if name, ok := strings.CutPrefix(sp.ID, "aur/push/"); ok && r.Acted(sp.ID) {
			names = append(names, name)
		}
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
