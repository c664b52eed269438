package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// scripted is an outward step that does what a test says.
type scripted struct {
	effect pipeline.Effect
	probe  func(run string) (pipeline.Receipt, error)
	run    func(run string) (pipeline.Receipt, error)
	undo   func(pipeline.Receipt) error
}

func (s *scripted) Spec() pipeline.Spec {
	return pipeline.Spec{ID: "x/act", Needs: []string{"gate/x"}, Effect: s.effect, Target: "there"}
}

func (s *scripted) Probe(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	return s.probe(ws.Run)
}

func (s *scripted) Run(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	return s.run(ws.Run)
}

// undoable is a scripted step that can be taken back.
type undoable struct{ scripted }

func (s *undoable) Undo(_ context.Context, _ *pipeline.Workspace, r pipeline.Receipt) error {
	return s.undo(r)
}

// behindGate is a plan in which a gate stands before a step.
func behindGate(t *testing.T, s pipeline.Step) *pipeline.Plan {
	t.Helper()
	g := pipeline.NewGate(gate.Gate{ID: "gate/x", Title: "X", Criteria: criteria("seen")}, "x/look")
	return mustPlan(t, phase{"x", []pipeline.Step{look("x/look", "seen", nil, nil, passes), g, s}})
}

func nothingThere(string) (pipeline.Receipt, error) { return nil, nil }

var errLost = errors.New("the answer never came")

// TestConflict_Ours: what a step has made is public, and somebody has edited it since. It is in the way, but it is there, and
// so nothing that came before it is taken back.
func TestConflict_Ours(t *testing.T) {
	edited := fmt.Errorf("%w: with other notes", pipeline.ErrConflict)
	for name, ours := range map[string]bool{"ours": true, "somebody else's": false} {
		s := &scripted{effect: pipeline.Permanent, probe: nothingThere, run: func(string) (pipeline.Receipt, error) { return nil, errLost }}
		o := options(t, new(pipelinetest.Memory), nil)
		p := behindGate(t, s)
		if err := p.Run(t.Context(), o); !errors.Is(err, errLost) {
			t.Fatal(err)
		}
		s.probe = func(run string) (pipeline.Receipt, error) {
			if ours {
				return pipeline.Receipt{pipeline.Marker: run}, edited
			}
			return nil, edited
		}
		for range 2 {
			if err := p.Run(t.Context(), o); !errors.Is(err, pipeline.ErrConflict) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := p.Unwind(t.Context(), o); errors.Is(err, pipeline.ErrPermanent) != ours || err != nil && !ours {
			t.Errorf("%s: unwinding: %v", name, err)
		}
	}
}

// TestUntouched: a step says that it has stopped before anything was sent. Then nobody has to find out what became of it.
func TestUntouched(t *testing.T) {
	asked := 0
	s := &scripted{effect: pipeline.Permanent, run: func(string) (pipeline.Receipt, error) {
		return nil, fmt.Errorf("%w: it is held", pipeline.ErrUntouched)
	}}
	s.probe = func(string) (pipeline.Receipt, error) { asked++; return nil, nil }
	j := new(pipelinetest.Memory)
	o := options(t, j, nil)
	p := behindGate(t, s)
	if err := p.Run(t.Context(), o); !errors.Is(err, pipeline.ErrUntouched) {
		t.Fatal(err)
	}
	if last := j.All()[len(j.All())-1]; last.Event != pipeline.Failed {
		t.Errorf("the last record says %q", last.Event)
	}
	if err := p.Unwind(t.Context(), o); err != nil || asked != 1 {
		t.Errorf("%v, asked %d times", err, asked)
	}
}

// TestUnwind_CutOff: a server fails while something is taken back that bears no marker. The next unwinding knows whose it is
// all the same, and takes it back with the receipt of the one who made it.
func TestUnwind_CutOff(t *testing.T) {
	made := pipeline.Receipt{"id": "7"}
	s := &undoable{scripted{effect: pipeline.Remote, probe: nothingThere, run: func(string) (pipeline.Receipt, error) { return made, nil }}}
	o := options(t, new(pipelinetest.Memory), nil)
	p := behindGate(t, s)
	mustRun(t, p, o)
	s.probe = func(string) (pipeline.Receipt, error) { return made, nil } // whoever made it
	for i, want := range []error{errLost, errLost, nil, nil} {
		undone := false
		s.undo = func(r pipeline.Receipt) error {
			undone = r["id"] == "7"
			return want
		}
		if err := p.Unwind(t.Context(), o); !errors.Is(err, want) || undone != (i < 3) {
			t.Errorf("unwinding %d: %v, undone %v", i, err, undone)
		}
	}
}

// TestSettle: what was begun is asked about. Where nothing of this run's is there it counts as not begun, so that its gate
// is open again; what is there stays in doubt or done, and nothing is taken back.
func TestSettle(t *testing.T) {
	for name, there := range map[string]bool{"arrived": true, "never arrived": false} {
		s := &undoable{scripted{effect: pipeline.Remote, probe: nothingThere, run: func(string) (pipeline.Receipt, error) { return nil, errLost }}}
		s.undo = func(pipeline.Receipt) error { t.Errorf("%s: taken back", name); return nil }
		j := new(pipelinetest.Memory)
		o := options(t, j, nil)
		p := behindGate(t, s)
		if err := p.Run(t.Context(), o); !errors.Is(err, errLost) {
			t.Fatal(err)
		}
		s.probe = func(run string) (pipeline.Receipt, error) {
			if there {
				return pipeline.Receipt{pipeline.Marker: run}, nil
			}
			return nil, nil
		}
		before := len(j.All())
		for range 2 { // twice is harmless
			if err := p.Settle(t.Context(), o); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		var got []pipeline.Event
		for _, rec := range j.All()[before:] {
			got = append(got, rec.Event)
		}
		if want := map[bool]string{true: "[]", false: "[undone]"}[there]; fmt.Sprint(got) != want {
			t.Errorf("%s: %v, want %s", name, got, want)
		}
	}
	// What is done is not asked about.
	s := &scripted{effect: pipeline.Permanent, probe: nothingThere, run: func(run string) (pipeline.Receipt, error) { return pipeline.Receipt{pipeline.Marker: run}, nil }}
	o := options(t, new(pipelinetest.Memory), nil)
	p := behindGate(t, s)
	mustRun(t, p, o)
	s.probe = func(string) (pipeline.Receipt, error) { t.Error("probed"); return nil, nil }
	if err := p.Settle(t.Context(), o); err != nil {
		t.Error(err)
	}
	if err := behindGate(t, &undoable{scripted{effect: pipeline.Remote}}).Settle(t.Context(), o); err == nil {
		t.Error("another plan was settled")
	}
}
