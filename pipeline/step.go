package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/pipeline/gate"
)

// workspace prepares what step i may touch.
func (r *runner) workspace(i int) *Workspace {
	sp := r.p.Specs[i]
	ws := &Workspace{
		Env: r.p.Env, Run: r.st.run, Endpoints: r.o.Endpoints, spec: sp, dirs: r.o.Dirs, observe: r.o.Observe,
		root: r.store.Temp(sp.ID), inputs: map[string]Artifact{}, receipts: map[string]Receipt{}, made: map[string]Artifact{},
	}
	for _, ref := range sp.Inputs {
		if name, ok := strings.CutPrefix(ref, "artifact:"); ok {
			ws.inputs[name] = r.st.artifacts[name]
		} else if from, _, ok := r.p.flow.Source(ref); ok {
			ws.receipts[r.p.Specs[from].ID] = r.st.last[r.p.Specs[from].ID].Receipt
		}
	}
	return ws
}

// whole finds out whether all that the step reads is as it was made, by reading it in full or by looking at it. What
// is not is made again first.
func (r *runner) whole(ws *Workspace, full bool) error {
	for _, name := range slices.Sorted(maps.Keys(ws.inputs)) {
		if ok, _ := r.intact(name, full); !ok {
			return r.remake(name)
		}
	}
	return nil
}

// fresh reports whether a pure or local step need not run: its record speaks of the same Spec and inputs, no open gate
// wants its checks anew, as those of a pure step and what could not be looked at, and its outputs lie there untouched.
// Behind a gate that something went through, what was seen stays what was seen: steps there act on what was approved.
// Outputs under "work/" may be gone: they are made again when something reads them.
func (r *runner) fresh(i int) bool {
	sp := r.p.Specs[i]
	unknown := slices.ContainsFunc(r.st.last[sp.ID].Evidence, func(e Evidence) bool { return e.Verdict == gate.Unknown })
	if r.forced[i] || !r.st.current(r.p, sp) || (sp.Effect == Pure || unknown) && r.p.open(r.st, sp.ID) {
		return false
	}
	for _, name := range sp.Outputs {
		if ok, there := r.intact(name, false); !ok && (there || !strings.HasPrefix(name, "work/")) {
			r.o.Observe(Record{Event: Progress, Step: sp.ID, Text: fmt.Sprintf("%s is not as it was made: made again", name)})
			return false
		}
	}
	return true
}

// start returns the work of pure or local step i, to be done in a goroutine of its own; nil if there is none.
func (r *runner) start(ctx context.Context, i int) (func() outcome, error) {
	sp := r.p.Specs[i]
	if r.fresh(i) {
		r.done[i] = true
		return nil, nil
	}
	ws := r.workspace(i)
	if err := r.whole(ws, false); err != nil {
		return nil, err
	}
	rec := r.record(i, Done)
	if sp.Effect == Local {
		if err := r.append(r.record(i, Started)); err != nil {
			return nil, err
		}
	}
	was := r.st.last[sp.ID]
	return func() outcome {
		var err error
		rec.Receipt, err = r.p.steps[i].Run(ctx, ws)
		if err == nil {
			rec.Artifacts, err = r.collect(ws)
		}
		if err == nil {
			rec.Evidence, err = gate.Settle(ws.spec.Checks, ws.evidence)
		}
		if rec, err = settle(rec, err); err == nil && sp.Effect == Pure && same(rec, was) {
			rec.Event = "" // nothing new: nothing to write
		}
		return outcome{i, rec, errors.Join(err, os.RemoveAll(ws.root))}
	}, nil
}

// collect hashes the outputs of a step and moves them into place.
func (r *runner) collect(ws *Workspace) (out []Artifact, err error) {
	for _, name := range ws.spec.Outputs {
		a, ok := ws.made[name]
		if !ok {
			return nil, fmt.Errorf("cannot find artifact %q: the step did not make it", name)
		}
		s, err := r.store.Put(name, ws.tempPath(name), filepath.Join(ws.root, "old"))
		if err != nil {
			return nil, fmt.Errorf("cannot put artifact %q in its place: %w", name, err)
		}
		if s.Tree != (a.Kind == KindTree) {
			return nil, fmt.Errorf("cannot keep artifact %q: a file and a folder are not the same kind", name)
		}
		a.SHA256, a.Size = s.SHA256, s.Size
		out = append(out, a)
	}
	return out, nil
}

func (r *runner) record(i int, e Event) Record {
	in, _ := r.st.inputs(r.p, r.p.Specs[i])
	return Record{Event: e, Step: r.p.Specs[i].ID, Spec: gate.Sum(r.p.Specs[i]), Inputs: in}
}

// settle turns a done record into a failed one where there was an error, and names the step in it.
func settle(rec Record, err error) (Record, error) {
	if err != nil {
		rec.Event, rec.Error, rec.Receipt, rec.Artifacts, rec.Evidence = Failed, err.Error(), nil, nil, nil
		err = fmt.Errorf("%s: %w", rec.Step, err)
	}
	return rec, err
}

// same reports whether two records say the same of a step.
func same(a, b Record) bool {
	a.Time, a.Run, a.Plan = b.Time, b.Run, b.Plan
	return gate.Sum(a) == gate.Sum(b)
}

// alone runs a gate or an outward step, with nothing beside it.
func (r *runner) alone(ctx context.Context, i int) error {
	if r.isGate(i) {
		return r.gate(i)
	}
	id, last := r.p.Specs[i].ID, r.st.last[r.p.Specs[i].ID]
	if r.st.current(r.p, r.p.Specs[i]) {
		return nil
	}
	if last.Event == Done {
		return fmt.Errorf("%w: step %s has acted on what has changed since; take it back with rollback, then run --amend", ErrDiffers, id)
	}
	ws := r.workspace(i)
	err := r.whole(ws, true) // these bytes leave the machine
	if err == nil && r.o.Confirm != nil && !r.asked {
		r.asked, err = true, r.o.Confirm(ctx, r.p.Specs[i])
	}
	if err != nil {
		return err
	}
	rec := r.record(i, Done)
	rec.Receipt, err = r.p.steps[i].(Prober).Probe(ctx, ws)
	nothing := errors.Is(err, ErrConflict) && rec.Receipt[Marker] != r.st.run // of ours is there
	if err == nil && rec.Receipt != nil {
		rec.Adopted = rec.Receipt[Marker] != r.st.run
	} else if err == nil {
		if err = r.p.strays(r.st, i, nil); err == nil {
			err = r.append(r.record(i, Started))
		}
		if err != nil {
			return err
		}
		rec.Receipt, err = r.p.steps[i].Run(ctx, ws)
		rec.Adopted = rec.Receipt[Marker] != "" && rec.Receipt[Marker] != r.st.run
		nothing = errors.Is(err, ErrUntouched)
	}
	if nothing && r.st.acted[id] { // its gate is asked about what is there by now
		err = errors.Join(err, r.append(r.record(i, Undone)))
	}
	if err == nil {
		rec.Evidence, err = gate.Settle(ws.spec.Checks, ws.evidence)
	}
	rec, err = settle(rec, err)
	return errors.Join(err, r.append(rec), os.RemoveAll(ws.root))
}

// gate evaluates gate i, after reading all artifacts that it covers in full.
func (r *runner) gate(i int) error {
	if r.p.closed(r.st, i) {
		return nil
	}
	var names []string
	for _, k := range r.p.upstream(i) {
		names = append(names, r.p.Specs[k].Outputs...)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return r.st.artifacts[name].Kind == KindTree })
	wanted := func(name string) (string, int64) { return r.st.artifacts[name].SHA256, r.st.artifacts[name].Size }
	if name := r.store.Damaged(names, wanted); name != "" {
		return r.remake(name)
	}
	s := r.p.evaluate(r.st, i, r.o, func(string) bool { return true }) // all it needs is done
	rec := r.record(i, Done)
	rec.Inputs = gate.Sum(s.Request, s.By)
	for _, c := range s.Criteria {
		rec.Evidence = append(rec.Evidence, c.Line())
	}
	var err error
	if len(s.Blocks) > 0 {
		err = &GateError{s}
		if rec.Event, rec.Error = Failed, err.Error(); s.Waits() {
			rec.Event = Waiting
		}
	}
	rec.Receipt = Receipt{} // what it lets through
	for k, sp := range r.p.Specs {
		if sp.Effect.Outward() && err == nil {
			if by, digest := r.p.before(r.st, k, nil); by == i {
				rec.Receipt[sp.ID] = digest
			}
		}
	}
	if same(rec, r.st.last[rec.Step]) {
		return err
	}
	return errors.Join(err, r.append(rec))
}

// Unwind takes back what the journal's outward steps did, newest first, and stops at the newest permanent one that is
// done. What was adopted stays. In doubt it probes, and takes back only what bears this run's marker.
func (p *Plan) Unwind(ctx context.Context, o Options) error { return p.back(ctx, o, true) }

// Settle probes what is in doubt: steps that were begun, and nobody knows how they ended. Those of which nothing bears
// this run's marker count as not begun. Nothing is taken back.
func (p *Plan) Settle(ctx context.Context, o Options) error { return p.back(ctx, o, false) }

func (p *Plan) back(ctx context.Context, o Options, undoes bool) error {
	r, err := p.runner(o)
	if err != nil {
		return err
	}
	if r.st.run != "" && r.st.plan.Digest != p.Digest {
		return &PlanError{Old: r.st.plan, New: p}
	}
	for _, i := range slices.Backward(r.acted()) {
		id, last := p.Specs[i].ID, r.st.last[p.Specs[i].ID]
		ws := r.workspace(i)
		receipt, ours := last.Receipt, !last.Adopted
		if last.Event != Done && (last.Event != Started || last.Receipt == nil) { // else an unwinding was cut off here
			if receipt, err = p.steps[i].(Prober).Probe(ctx, ws); err != nil && !errors.Is(err, ErrConflict) {
				return fmt.Errorf("cannot find out whether %s has acted: %w", id, err)
			}
			err, ours = nil, receipt[Marker] == r.st.run
		}
		gone := ours && undoes || !ours && last.Event != Done
		if undo, can := p.steps[i].(Undoer); ours && undoes && !can {
			return fmt.Errorf("%s is permanent and done: %w; a corrective rollback goes on from there", id, ErrPermanent)
		} else if ours && undoes {
			intent := r.record(i, Started)
			intent.Receipt = receipt // for whoever goes on where this is cut off
			if err = r.append(intent); err == nil {
				err = undo.Undo(ctx, ws, receipt)
			}
			if errors.Is(err, ErrConflict) {
				err = errors.Join(err, r.append(last)) // it stays as it is
			}
		}
		if err = errors.Join(err, os.RemoveAll(ws.root)); err == nil && gone {
			err = r.append(r.record(i, Undone))
		}
		if err != nil {
			return fmt.Errorf("cannot undo %s: %w", id, err)
		}
	}
	return nil
}

// acted lists the outward steps whose effect stands or may stand, in the order in which they acted.
func (r *runner) acted() (out []int) {
	for i, sp := range r.p.Specs {
		if sp.Effect.Outward() && r.st.acted[sp.ID] {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b int) int { return r.st.seq[r.p.Specs[a].ID] - r.st.seq[r.p.Specs[b].ID] })
	return out
}
