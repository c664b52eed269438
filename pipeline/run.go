package pipeline

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/imrightguy/slipway/pipeline/files"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/internal/exact"
)

// Options are what a run works with. Journal and Dirs are required.
type Options struct {
	Journal   Journal
	Dirs      Dirs
	Verifier  gate.Verifier                     // nil: no signature counts
	Endpoints any                               // handed to steps
	Jobs      int                               // pure and local steps at a time; at least 1
	Until     string                            // the last phase to run; empty for all
	Amend     bool                              // go on with a plan that differs from the journal's
	Confirm   func(context.Context, Spec) error // asked once, before the first outward step; nil: go on
	Observe   func(Record)                      // sees every record and progress event, from several goroutines
	Now       func() time.Time                  // nil: time.Now
}

// PlanError is the error of a run whose plan is not the journal's.
type PlanError struct{ Old, New *Plan }

// Error names both plans.
func (e *PlanError) Error() string {
	return fmt.Sprintf("%v: the journal has plan %.12s, this is %.12s", ErrDiffers, e.Old.Digest, e.New.Digest)
}

// Unwrap makes the error an [ErrDiffers].
func (e *PlanError) Unwrap() error { return ErrDiffers }

// runner is one run or unwinding under way. Its fields belong to one goroutine; steps run in others.
type runner struct {
	p      *Plan
	o      Options
	st     *state
	store  *files.Store
	done   []bool
	forced map[int]bool // must be made, whatever the record says
	remade map[int]bool // was forced once
	asked  bool
}

// Run carries the plan out from wherever the journal stands, to the end or to the first gate that does not pass.
func (p *Plan) Run(ctx context.Context, o Options) error {
	r, err := p.runner(o)
	if err != nil {
		return err
	}
	if r.st.run == "" {
		id := make([]byte, 8)
		rand.Read(id) // never fails
		err = r.append(Record{Event: Begin, Run: hex.EncodeToString(id), Planned: p})
	} else if r.st.plan.Digest != p.Digest && !o.Amend {
		err = &PlanError{Old: r.st.plan, New: p}
	} else if r.st.plan.Digest != p.Digest {
		if err = r.amendable(); err == nil {
			err = r.append(Record{Event: Amend, Planned: p})
		}
	}
	if err != nil {
		return err
	}
	if err := r.store.Sweep(); err != nil {
		return fmt.Errorf("cannot remove what an earlier run left: %w", err)
	}
	return errors.Join(r.loop(ctx), r.store.Save(), r.store.Sweep())
}

func (p *Plan) runner(o Options) (*runner, error) {
	if p.steps == nil && len(p.Specs) > 0 {
		return nil, errors.New("cannot run a plan that was read from a file")
	}
	st, err := fold(o.Journal)
	if err != nil {
		return nil, err
	}
	if o.Observe == nil {
		o.Observe = func(Record) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &runner{p: p, o: o, st: st, store: files.Open(o.Dirs), done: make([]bool, len(p.Specs)), forced: map[int]bool{}, remade: map[int]bool{}}, nil
}

// amendable says why the plan cannot take the place of the journal's: an outward step that has acted would be another one
// or have acted on something else, or one that has not would get past a gate that has passed without it.
func (r *runner) amendable() error {
	another := map[int]bool{}
	for i, sp := range r.p.Specs {
		looks := sp.Effect == Pure && r.p.open(r.st, sp.ID) // again, and sees what has been done since
		another[i] = looks || gate.Sum(sp) != r.st.last[sp.ID].Spec || slices.ContainsFunc(sp.Inputs, func(in string) bool {
			from, _, _ := r.p.flow.Source(in)
			return another[from]
		})
	}
	for _, was := range r.st.plan.Specs {
		i, planned := r.p.flow.Index[was.ID]
		if was.Effect.Outward() && r.st.acted[was.ID] && (!planned || another[i]) {
			return fmt.Errorf("%w: step %s has acted and is no longer the same; take it back with rollback first", ErrDiffers, was.ID)
		}
	}
	for i, sp := range r.p.Specs {
		if sp.Effect.Outward() && !r.st.acted[sp.ID] {
			if err := r.p.strays(r.st, i, another); err != nil {
				return err
			}
		}
	}
	return nil
}

// append makes a record durable, folds it in and shows it. What is folded in is what a later process will read.
func (r *runner) append(rec Record) error {
	if rec.Time, rec.Plan = r.o.Now().UTC(), r.p.Digest; rec.Event != Begin {
		rec.Run = r.st.run
	}
	rec.Error = strings.ToValidUTF8(rec.Error, "\uFFFD")
	back, err := exact.Copy(rec)
	if err == nil {
		err = r.o.Journal.Append(rec)
	}
	if err == nil {
		err = r.st.apply(back)
	}
	if err != nil {
		return fmt.Errorf("cannot record %s %s in the journal: %w", rec.Step, rec.Event, err)
	}
	r.o.Observe(back)
	return nil
}

type outcome struct {
	i   int
	rec Record
	err error
}

// loop starts what can start, in plan order, until nothing can. Nothing overtakes a gate or an outward step, and
// nothing runs beside them. After an error nothing new is started.
func (r *runner) loop(ctx context.Context) error {
	end := len(r.p.Specs)
	if r.o.Until != "" {
		for end > 0 && PhaseOf(r.p.Specs[end-1].ID) != r.o.Until {
			end--
		}
		if end == 0 {
			return fmt.Errorf("the plan has no phase %q", r.o.Until)
		}
	}
	results, running, errs := make(chan outcome), map[int]bool{}, make([]error, len(r.p.Specs))
	failed := false
	stop := func(i int, err error) {
		if err != nil && !errors.Is(err, errAgain) {
			errs[i], failed = err, true
		}
	}
again:
	for low := 0; ; low = 0 {
		for low < end && r.done[low] {
			low++
		}
		for i := low; i < end && !failed && ctx.Err() == nil; i++ {
			sp := r.p.Specs[i]
			alone := sp.Effect.Outward() || r.isGate(i)
			switch ready := !slices.ContainsFunc(sp.Needs, func(n string) bool { return !r.done[r.p.flow.Index[n]] }); {
			case r.done[i] || running[i]:
			case alone && (!ready || len(running) > 0):
				i = end // it is waited for
			case alone:
				err := r.alone(ctx, i)
				stop(i, err)
				r.done[i] = err == nil
				continue again
			case ready && len(running) < max(1, r.o.Jobs):
				work, err := r.start(ctx, i)
				if stop(i, err); work != nil {
					running[i] = true
					go func() { results <- work() }()
				} else if err != nil {
					i = -1 // what it reads must be made again first
				}
			}
		}
		if len(running) == 0 {
			break
		}
		out := <-results
		delete(running, out.i)
		delete(r.forced, out.i)
		if out.rec.Event != "" {
			out.err = errors.Join(out.err, r.append(out.rec))
		}
		stop(out.i, out.err)
		r.done[out.i] = out.err == nil && r.st.current(r.p, r.p.Specs[out.i]) // not if its inputs were made again
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return errors.Join(errs...)
}

func (r *runner) isGate(i int) bool { _, is := r.p.steps[i].(gateStep); return is }

// errAgain says that a step which others read must be made again first.
var errAgain = errors.New("made again")

// remake marks the step that made artifact name as not done, and looks again at all that comes after it.
func (r *runner) remake(name string) error {
	k := r.p.flow.Maker[name]
	if r.remade[k] {
		return fmt.Errorf("artifact %q changes while the release runs", name)
	}
	r.remade[k], r.forced[k] = true, true
	clear(r.done[k:])
	r.o.Observe(Record{Event: Progress, Step: r.p.Specs[k].ID, Text: fmt.Sprintf("%s is not as it was made: made again", name)})
	return errAgain
}

// intact reports whether an artifact is as it was made; see [files.Store.Intact].
func (r *runner) intact(name string, full bool) (ok, there bool) {
	a := r.st.artifacts[name]
	return r.store.Intact(name, a.SHA256, a.Size, full)
}
