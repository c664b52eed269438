package check_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/check"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
)

type look struct {
	e   pipeline.Evidence
	err error
	do  func()
}

func (look) Name() string { return "look" }

func (l look) Check(context.Context, *pipeline.Workspace) (pipeline.Evidence, error) {
	if l.do != nil {
		l.do()
	}
	return l.e, l.err
}

type phase []pipeline.Step

func (phase) Name() string { return "build" }

func (p phase) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) { return p, nil }

// run runs one check behind a gate that reads it.
func run(ctx context.Context, t *testing.T, l look) (pipeline.StepState, error) {
	t.Helper()
	g := gate.Gate{ID: "gate/build", Title: "Build", Criteria: []gate.Criterion{{Title: "look", Check: "look"}}}
	plan, err := pipeline.NewPlan(t.Context(), pipeline.Env{Project: "p", Version: "1.0.0", Time: time.Unix(1, 0)}, phase{
		check.Step(pipeline.Spec{ID: "build/look", Effect: pipeline.Local, Checks: []string{"another"}}, l),
		pipeline.NewGate(g, "build/look"),
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	o := pipeline.Options{Journal: j, Dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")}}
	runErr := plan.Run(ctx, o)
	s, err := plan.Survey(o)
	if err != nil {
		t.Fatal(err)
	}
	return s.Steps[0], runErr
}

func TestStep(t *testing.T) {
	for name, c := range map[string]struct {
		look    look
		verdict gate.Verdict
		summary string
		gate    bool
	}{
		"pass":         {look{e: pipeline.Evidence{Verdict: gate.Pass, Summary: "fine"}}, gate.Pass, "fine", true},
		"fail":         {look{e: pipeline.Evidence{Verdict: gate.Fail, Summary: "bad"}}, gate.Fail, "bad", false},
		"nothing":      {look{}, gate.Unknown, "", false},
		"cannot look":  {look{err: errors.New("no tool"), e: pipeline.Evidence{Verdict: gate.Pass}}, gate.Unknown, "no tool", false},
		"its own name": {look{e: pipeline.Evidence{Check: "forged", Verdict: gate.Pass}}, gate.Pass, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := run(t.Context(), t, c.look)
			if (err == nil) != c.gate || err != nil && !errors.Is(err, pipeline.ErrGate) {
				t.Errorf("the gate says %v", err)
			}
			if s.Last.Event != pipeline.Done || len(s.Last.Evidence) != 1 {
				t.Fatalf("the step did not end well: %+v", s.Last)
			}
			if e := s.Last.Evidence[0]; e.Check != "look" || e.Verdict != c.verdict || e.Summary != c.summary {
				t.Errorf("got %+v", e)
			}
		})
	}
}

// TestStep_Interrupted: an interrupt is no evidence.
func TestStep_Interrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := run(ctx, t, look{e: pipeline.Evidence{Verdict: gate.Pass}, do: cancel})
	if !errors.Is(err, context.Canceled) || len(s.Last.Evidence) != 0 || s.Last.Event == pipeline.Done {
		t.Errorf("got %v, %+v", err, s.Last)
	}
}
