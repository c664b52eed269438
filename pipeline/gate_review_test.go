package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// acts is an outward step that keeps what it was told by another step's receipt.
type acts struct {
	sp   pipeline.Spec
	told *string
	fail *bool
}

func (a acts) Spec() pipeline.Spec { return a.sp }

func (a acts) Probe(context.Context, *pipeline.Workspace) (pipeline.Receipt, error) { return nil, nil }

func (a acts) Run(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	if *a.fail {
		return nil, errors.New("the line is down")
	}
	tip, err := ws.Receipt("x/look", "tip")
	if len(a.sp.Inputs) == 0 {
		err = nil
	}
	*a.told = tip
	return pipeline.Receipt{pipeline.Marker: ws.Run}, err
}

// TestWhatWasApprovedStands: once something went through a gate, what its checks have seen stays what was seen, also
// where one of them could not look and that was waived. A later look would tell the steps behind the gate of a world that
// nobody has approved.
func TestWhatWasApprovedStands(t *testing.T) {
	tip, told, up, down := "approved", "", false, true
	see := step{pipeline.Spec{ID: "x/look", Checks: []string{"tip", "owner"}}, func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
		ws.Report(gate.Evidence{Check: "tip", Verdict: gate.Pass, Found: tip})
		ws.Report(gate.Evidence{Check: "owner", Summary: "nobody answers"})
		return pipeline.Receipt{"tip": tip}, nil
	}}
	sp := func(id string) pipeline.Spec {
		return pipeline.Spec{ID: id, Needs: []string{"gate/x", "x/look"}, Inputs: []string{"receipt:x/look.tip"}, Effect: pipeline.Permanent, Target: id}
	}
	first := sp("x/first")
	first.Inputs = nil
	p := mustPlan(t, phase{"x", []pipeline.Step{
		see,
		pipeline.NewGate(gate.Gate{ID: "gate/x", Approve: "lead", Criteria: criteria("tip", "owner")}, "x/look"),
		acts{first, new(string), &up},
		acts{sp("x/second"), &told, &down},
	}})
	o := options(t, new(pipelinetest.Memory), nil)
	o.Endpoints = "nowhere"
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	o.Now, o.Verifier = func() time.Time { return now }, signers{"ada": "lead"}
	wantBlock(t, p.Run(t.Context(), o), "gate/x", "unknown", "")
	g := gateOf(t, p, o, "gate/x")
	if err := p.State(o, sign("ada", g.Waived(g.Criteria[1], "the index is down", now.Add(time.Hour)))); err != nil {
		t.Fatal(err)
	}
	wantBlock(t, p.Run(t.Context(), o), "gate/x", "waiting", "")
	if err := p.State(o, sign("ada", gateOf(t, p, o, "gate/x").Request)); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(t.Context(), o); err == nil || errors.Is(err, pipeline.ErrGate) {
		t.Fatalf("error %v, want the second step's", err)
	}
	tip, down = "somebody else's since", false
	if err := p.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if told != "approved" {
		t.Errorf("the second step acted on %q", told)
	}
}
