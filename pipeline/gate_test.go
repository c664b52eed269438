package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// gated runs the release up to gate/build, which waits for the lead.
func gated(t *testing.T, w *world) (*pipeline.Plan, pipeline.Options, *pipelinetest.Memory) {
	t.Helper()
	j := new(pipelinetest.Memory)
	o := options(t, j, w)
	o.Verifier = signers{"ada": "lead", "bob": "clerk"}
	p := mustPlan(t, release("lead")...)
	wantBlock(t, p.Run(t.Context(), o), "gate/build", "waiting", "")
	return p, o, j
}

func wantBlock(t *testing.T, err error, id, kind, why string) {
	t.Helper()
	var ge *pipeline.GateError
	if !errors.As(err, &ge) || !errors.Is(err, pipeline.ErrGate) || ge.State.ID != id || ge.State.Blocks[0].Kind != kind || !strings.Contains(err.Error(), why) {
		t.Fatalf("error %v, want %s %s at %s", err, kind, why, id)
	}
}

func TestGateWaitsAndPasses(t *testing.T) {
	w := newWorld(t)
	p, o, j := gated(t, w)
	if len(w.things) > 0 {
		t.Fatal("something left before the gate passed:", w.things)
	}
	n := len(j.All())
	wantBlock(t, p.Run(t.Context(), o), "gate/build", "waiting", "no approval counts yet")
	if len(j.All()) != n {
		t.Error("a second run wrote records though nothing had changed")
	}
	g := gateOf(t, p, o, "gate/build")
	if want := []string{"a.txt", "b.txt", "work/c.txt"}; len(g.Request.Artifacts) != len(want) || g.Request.Artifacts["a.txt"] == "" || g.Request.Role != "lead" || g.Request.Kind != gate.Approval {
		t.Errorf("the request is %s", g.Request.Bytes())
	}
	if err := p.State(o, sign("ada", g.Request)); err != nil {
		t.Fatal(err)
	}
	mustRun(t, p, o)
	if g := gateOf(t, p, o, "gate/build"); !g.Closed || g.By != "ada" || g.Verdict != gate.Pass {
		t.Errorf("the gate stands as %+v", g)
	}
	if len(w.things) != 4 {
		t.Error(w.things)
	}
	o.Verifier = signers{} // what the gate let through stands, whoever approves today
	mustRun(t, p, o)
}

func TestApprovalsThatDoNotCount(t *testing.T) {
	w := newWorld(t)
	p, o, j := gated(t, w)
	want := gateOf(t, p, o, "gate/build").Request
	with := func(change func(*gate.Request)) gate.Statement {
		r, err := gate.ParseRequest(want.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		change(&r)
		return sign("ada", r)
	}
	cut := sign("ada", want)
	cut.Signed = cut.Signed[:len(cut.Signed)-2]
	spaced := sign("ada", want)
	spaced.Signed = append(spaced.Signed, '\n')
	damaged := sign("ada", want)
	damaged.Signature = []byte("ada 1")
	for _, tt := range []struct {
		why string
		s   gate.Statement
	}{
		{"bob is not an approver for lead", sign("bob", want)},
		{"eve is not an approver for lead", sign("eve", want)},
		{"the signature does not match", damaged},
		{"damaged or cut short", cut},
		{"not in the form that was written", spaced},
		{`artifact "b.txt" has changed since it was signed`, with(func(r *gate.Request) { r.Artifacts["b.txt"] = "00" })},
		{"the evidence has changed", with(func(r *gate.Request) { r.Evidence = "00" })},
		{"the evidence has changed", with(func(r *gate.Request) { r.Artifacts["more"] = "00" })},
		{"the evidence has changed", with(func(r *gate.Request) { r.Criteria = nil })},
		{"the plan up to the gate has changed", with(func(r *gate.Request) { r.Steps = "00" })},
		{"a plan that this run never had", with(func(r *gate.Request) { r.Plan = "00" })},
		{`signed for run "00"`, with(func(r *gate.Request) { r.Run = "00" })}, // replayed from another run
		{`signed for version "1.2.2"`, with(func(r *gate.Request) { r.Version = "1.2.2" })},
		{`signed for project "other"`, with(func(r *gate.Request) { r.Project = "other" })},
		{`signed for role "clerk"`, with(func(r *gate.Request) { r.Role = "clerk" })},
	} {
		o.Journal = j.Revive()
		if err := p.State(o, tt.s); err != nil {
			t.Fatal(err)
		}
		wantBlock(t, p.Run(t.Context(), o), "gate/build", "waiting", "")
		if got := gateOf(t, p, o, "gate/build").Refused; len(got) != 1 || !strings.Contains(got[0], tt.why) {
			t.Errorf("refused as %q, want %q", got, tt.why)
		}
	}
	for _, other := range []func(*gate.Request){ // about something else: not even mentioned
		func(r *gate.Request) { r.Gate = "gate/release" }, func(r *gate.Request) { r.Kind = gate.Waiver }, func(r *gate.Request) { r.Criterion = "x" },
	} {
		o.Journal = j.Revive()
		if err := p.State(o, with(other)); err != nil {
			t.Fatal(err)
		}
		wantBlock(t, p.Run(t.Context(), o), "gate/build", "waiting", "")
	}
	o.Journal = j.Revive()
	o.Verifier = nil
	if err := p.State(o, sign("ada", want)); err != nil {
		t.Fatal(err)
	}
	wantBlock(t, p.Run(t.Context(), o), "gate/build", "waiting", "")
	if len(w.things) > 0 {
		t.Error("something left:", w.things)
	}
}

// judged is a plan of one gate with a check of settable outcome and a criterion that people attest.
func judged(see func(context.Context, *pipeline.Workspace) gate.Evidence, text string) []pipeline.Phase {
	return []pipeline.Phase{phase{"x", []pipeline.Step{
		write("x/a", "a", nil, nil, text),
		look("x/look", "look", []string{"x/a"}, []string{"artifact:a"}, see),
		pipeline.NewGate(gate.Gate{ID: "gate/x", Approve: "lead", Criteria: []gate.Criterion{{Title: "looks well", Check: "look"}, {Title: "tried by hand", Attest: "tester"}}}, "x/look"),
		permanent{sp: pipeline.Spec{ID: "x/act", Needs: []string{"gate/x", "x/a"}, Inputs: []string{"artifact:a"}, Effect: pipeline.Permanent, Target: "thing"}},
	}}}
}

func TestAttestationsAndWaivers(t *testing.T) {
	seen := gate.Evidence{Verdict: gate.Fail, Expected: "1", Found: "2"}
	see := func(context.Context, *pipeline.Workspace) gate.Evidence { return seen }
	w, j := newWorld(t), new(pipelinetest.Memory)
	o := options(t, j, w)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	o.Now = func() time.Time { return now }
	o.Verifier = signers{"ada": "lead", "tim": "tester"}
	p := mustPlan(t, judged(see, "1")...)
	wantBlock(t, p.Run(t.Context(), o), "gate/x", "failed", "expected 1, found 2 (and 1 more)")
	state := func(name string, r gate.Request) {
		t.Helper()
		if err := p.State(o, sign(name, r)); err != nil {
			t.Fatal(err)
		}
	}
	g := gateOf(t, p, o, "gate/x")
	if g.Verdict != gate.Fail || g.Waits() {
		t.Errorf("the gate stands as %+v", g)
	}
	state("ada", g.Attested(g.Criteria[1])) // of another role
	state("tim", g.Waived(g.Criteria[0], "known", now.Add(time.Hour)))
	wantBlock(t, p.Run(t.Context(), o), "gate/x", "failed", "")
	if got := strings.Join(gateOf(t, p, o, "gate/x").Refused, "\n"); !strings.Contains(got, "ada is not an approver for tester") {
		t.Error("refused:", got)
	}
	state("tim", g.Attested(g.Criteria[1]))
	state("ada", g.Waived(g.Criteria[0], "", now.Add(time.Hour)))
	wantBlock(t, p.Run(t.Context(), o), "gate/x", "failed", "")
	if got := strings.Join(gateOf(t, p, o, "gate/x").Refused, "\n"); !strings.Contains(got, "needs a reason and an expiry") || !strings.Contains(got, "tim is not an approver for lead") {
		t.Error("refused:", got)
	}
	waiver := g.Waived(g.Criteria[0], "known", now.Add(time.Hour))
	state("ada", waiver)
	wantBlock(t, p.Run(t.Context(), o), "gate/x", "waiting", "")
	g = gateOf(t, p, o, "gate/x")
	if !g.Waits() || !slices.Contains(g.Request.Criteria, "looks well: waived by ada (known)") || !slices.Contains(g.Request.Criteria, "tried by hand: pass") {
		t.Errorf("the request is %s", g.Request.Bytes())
	}
	state("ada", g.Request)

	now = now.Add(2 * time.Hour) // the waiver has expired, and with it the approval
	wantBlock(t, p.Run(t.Context(), o), "gate/x", "failed", "")
	if got := strings.Join(gateOf(t, p, o, "gate/x").Refused, "\n"); !strings.Contains(got, "it expired on 2026-01-01") {
		t.Error("refused:", got)
	}
	now = now.Add(-2 * time.Hour)
	seen.Found = "3" // another failure than the one that was waived
	wantBlock(t, p.Run(t.Context(), o), "gate/x", "failed", "found 3")
	seen.Found = "2"
	mustRun(t, p, o)
	if len(w.things) != 1 {
		t.Error(w.things)
	}
}

// Evidence is collected again on every run until something went through the gate; equal evidence keeps the approval.
func TestEvidenceOverTime(t *testing.T) {
	looks, seen := 0, gate.Evidence{Verdict: gate.Pass, Found: "1"}
	see := func(context.Context, *pipeline.Workspace) gate.Evidence {
		looks++
		seen.Summary = fmt.Sprint("look ", looks)
		return seen
	}
	w, j := newWorld(t), new(pipelinetest.Memory)
	o := options(t, j, w)
	o.Verifier = signers{"ada": "lead", "tim": "tester"}
	p := mustPlan(t, judged(see, "1")...)
	wantBlock(t, p.Run(t.Context(), o), "gate/x", "waiting", "")
	g := gateOf(t, p, o, "gate/x")
	if err := p.State(o, sign("tim", g.Attested(g.Criteria[1]))); err != nil {
		t.Fatal(err)
	}
	approval := gateOf(t, p, o, "gate/x").Request
	if err := p.State(o, sign("ada", approval)); err != nil {
		t.Fatal(err)
	}
	seen.Found = "2"
	wantBlock(t, p.Run(t.Context(), o), "gate/x", "waiting", "")
	if got := gateOf(t, p, o, "gate/x").Refused; len(got) != 1 || !strings.Contains(got[0], "the evidence has changed") {
		t.Error(got)
	}
	seen.Found = "1"
	stop := errors.New("stop")
	o.Confirm = func(context.Context, pipeline.Spec) error { return stop }
	if err := p.Run(t.Context(), o); !errors.Is(err, stop) { // the gate has passed, nothing has gone through it
		t.Fatal(err)
	}
	o.Confirm = nil
	if looks != 3 {
		t.Errorf("looked %d times, want 3", looks)
	}
	mustRun(t, p, o)
	seen.Found = "9"
	mustRun(t, p, o)
	if looks != 4 {
		t.Errorf("looked %d times, want 4: evidence of a closed gate is not collected again", looks)
	}
}

// Unwinding the step behind a gate opens the gate again.
func TestUnwindingReopensTheGate(t *testing.T) {
	looks := 0
	w, j := newWorld(t), new(pipelinetest.Memory)
	o := options(t, j, w)
	p := mustPlan(t, phase{"x", []pipeline.Step{
		look("x/look", "look", nil, nil, func(context.Context, *pipeline.Workspace) gate.Evidence {
			looks++
			return gate.Evidence{Verdict: gate.Pass}
		}),
		pass("gate/x"),
		remote{permanent{sp: pipeline.Spec{ID: "x/r", Needs: []string{"gate/x"}, Effect: pipeline.Remote, Target: "r"}}},
	}})
	mustRun(t, p, o)
	mustRun(t, p, o)
	if err := p.Unwind(t.Context(), o); err != nil || looks != 1 || gateOf(t, p, o, "gate/x").Closed {
		t.Fatal(err, looks)
	}
	mustRun(t, p, o)
	if looks != 2 || w.created["r"] != 2 || w.deleted["r"] != 1 {
		t.Error(looks, w.created, w.deleted)
	}
}

// A proof is evaluated on each run until it passed.
func TestProof(t *testing.T) {
	verdict, looks := gate.Unknown, 0
	o := options(t, new(pipelinetest.Memory), nil)
	p := mustPlan(t, phase{"x", []pipeline.Step{
		look("x/look", "look", nil, nil, func(context.Context, *pipeline.Workspace) gate.Evidence {
			looks++
			return gate.Evidence{Verdict: verdict, Summary: "not visible yet"}
		}),
		pass("proof/x"),
	}})
	wantBlock(t, p.Run(t.Context(), o), "proof/x", "unknown", "not visible yet")
	wantBlock(t, p.Run(t.Context(), o), "proof/x", "unknown", "not visible yet")
	verdict = gate.Pass
	mustRun(t, p, o)
	verdict = gate.Fail
	mustRun(t, p, o)
	if looks != 3 {
		t.Errorf("looked %d times, want 3", looks)
	}
}

// A check that reports nothing is unknown, and one that was planned but never ran is missing.
func TestSilentCheck(t *testing.T) {
	o := options(t, new(pipelinetest.Memory), nil)
	sp := pipeline.Spec{ID: "x/look", Checks: []string{"look"}}
	p := mustPlan(t, phase{"x", []pipeline.Step{step{sp: sp}, pass("gate/x")}})
	if b := gateOf(t, p, o, "gate/x").Blocks[0]; b.Kind != "missing" {
		t.Error(b)
	}
	wantBlock(t, p.Run(t.Context(), o), "gate/x", "unknown", "nothing was reported")
}

func TestAmend(t *testing.T) {
	w := newWorld(t)
	p, o, j := gated(t, w)
	approval := sign("ada", gateOf(t, p, o, "gate/build").Request)
	if err := p.State(o, approval); err != nil {
		t.Fatal(err)
	}
	// A later part of the plan changes: what is done stays done, and the approval counts.
	later := release("lead")
	rel := later[1].(phase)
	merge := rel.steps[5].(permanent)
	merge.sp.Target = "master"
	rel.steps[5] = merge
	p2 := mustPlan(t, later...)
	var pe *pipeline.PlanError
	if err := p2.Run(t.Context(), o); !errors.As(err, &pe) || !errors.Is(err, pipeline.ErrDiffers) || pe.Old.Digest != p.Digest || pe.New != p2 {
		t.Fatal(err)
	}
	if err := p2.Unwind(t.Context(), o); !errors.Is(err, pipeline.ErrDiffers) {
		t.Error(err)
	}
	if err := p2.State(o, approval); !errors.Is(err, pipeline.ErrDiffers) {
		t.Error(err)
	}
	if s, err := p2.Survey(o); err != nil || s.Old == nil || s.Old.Digest != p.Digest {
		t.Error("the survey does not tell of the journal's plan", err)
	}
	o.Amend = true
	n := len(j.All())
	mustRun(t, p2, o)
	got := events(j.All()[n:])
	if got[0] != "amend" || slices.Contains(got, "started build/a") || !slices.Contains(got, "done gate/build") {
		t.Error(got)
	}
	if _, there := w.has("master"); !there {
		t.Error("the amended plan was not carried out")
	}
	// What has acted cannot be amended away.
	for name, change := range map[string]func(rel *phase){
		"gone":  func(rel *phase) { rel.steps = rel.steps[:5] },
		"other": func(rel *phase) { m := rel.steps[5].(permanent); m.sp.Target = "trunk"; rel.steps[5] = m },
	} {
		phases := release("lead")
		rel := phases[1].(phase)
		rel.steps[5] = merge
		change(&rel)
		phases[1] = rel
		if name == "gone" {
			phases[1] = phase{"release", rel.steps}
		}
		err := mustPlan(t, phases...).Run(t.Context(), o)
		if !errors.Is(err, pipeline.ErrDiffers) || !strings.Contains(err.Error(), "release/merge has acted") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An amendment upstream of a gate voids its approval; where the same bytes come out, only the plan has changed.
func TestAmendBeforeTheGate(t *testing.T) {
	see := func(context.Context, *pipeline.Workspace) gate.Evidence { return gate.Evidence{Verdict: gate.Pass} }
	w, j := newWorld(t), new(pipelinetest.Memory)
	o := options(t, j, w)
	o.Verifier, o.Amend = signers{"ada": "lead", "tim": "tester"}, true
	p := mustPlan(t, judged(see, "1")...)
	wantBlock(t, p.Run(t.Context(), o), "gate/x", "waiting", "")
	g := gateOf(t, p, o, "gate/x")
	if err := p.State(o, sign("tim", g.Attested(g.Criteria[1]))); err != nil {
		t.Fatal(err)
	}
	if err := p.State(o, sign("ada", gateOf(t, p, o, "gate/x").Request)); err != nil {
		t.Fatal(err)
	}
	p2 := mustPlan(t, judged(see, "2")...)
	if b := gateOf(t, p2, o, "gate/x").Blocks[0]; b.Kind != "missing" {
		t.Errorf("evidence about what is to be made again counts: %+v", b)
	}
	wantBlock(t, p2.Run(t.Context(), o), "gate/x", "waiting", "")
	if got := strings.Join(gateOf(t, p2, o, "gate/x").Refused, "\n"); !strings.Contains(got, "approval of gate/x does not count: the plan up to the gate has changed") {
		t.Error(got)
	}
	mustRun(t, p, o) // back again: all that was signed is true again
	if err := os.WriteFile(o.Dirs.Path("a"), []byte("3"), 0o666); err != nil {
		t.Fatal(err)
	}
	mustRun(t, p, o)
	if got := read(t, o.Dirs.Path("a")); got != "1" || w.created["thing"] != 1 {
		t.Errorf("a holds %q, thing was made %d times", got, w.created["thing"])
	}
}

// An outward step whose inputs are not what they were is refused, and can go on after unwinding.
func TestOutwardStepIsNotRepeated(t *testing.T) {
	w, j := newWorld(t), new(pipelinetest.Memory)
	o := options(t, j, w)
	text := "1"
	draw := write("x/a", "a", nil, nil, "")
	draw.run = func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
		path, err := ws.Create(pipeline.Artifact{Name: "a"})
		return nil, errors.Join(err, os.WriteFile(path, []byte(text), 0o666))
	}
	p := mustPlan(t, phase{"x", []pipeline.Step{
		draw, look("x/look", "look", nil, nil, passes), pass("gate/x"),
		remote{permanent{sp: pipeline.Spec{ID: "x/r", Needs: []string{"gate/x", "x/a"}, Inputs: []string{"artifact:a"}, Effect: pipeline.Remote, Target: "r"}}},
	}})
	mustRun(t, p, o)
	text = "2"
	os.Remove(o.Dirs.Path("a")) // made again, and it comes out another
	if err := p.Run(t.Context(), o); !errors.Is(err, pipeline.ErrDiffers) || !strings.Contains(err.Error(), "rollback") {
		t.Error(err)
	}
	if err := p.Unwind(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	mustRun(t, p, o)
	if w.created["r"] != 2 || w.deleted["r"] != 1 {
		t.Error(w.created, w.deleted)
	}
}

func TestReceipts(t *testing.T) {
	o := options(t, new(pipelinetest.Memory), nil)
	var got []string
	p := mustPlan(t, phase{"x", []pipeline.Step{
		step{pipeline.Spec{ID: "x/a", Effect: pipeline.Local}, func(context.Context, *pipeline.Workspace) (pipeline.Receipt, error) {
			return pipeline.Receipt{"k": "v", "l": "w"}, nil
		}},
		step{pipeline.Spec{ID: "x/b", Needs: []string{"x/a"}, Inputs: []string{"receipt:x/a.k"}, Effect: pipeline.Local}, func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
			for _, key := range []string{"k", "l", "m"} {
				v, err := ws.Receipt("x/a", key)
				got = append(got, fmt.Sprint(v, err))
			}
			return nil, nil
		}},
		step{pipeline.Spec{ID: "x/c", Needs: []string{"x/a"}, Inputs: []string{"receipt:x/a"}, Effect: pipeline.Local}, func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
			v, err := ws.Receipt("x/a", "l")
			w, missing := ws.Receipt("x/a", "m")
			got = append(got, fmt.Sprint(v, err, w, missing))
			return nil, nil
		}},
	}})
	o.Jobs = 1
	mustRun(t, p, o)
	want := []string{"v<nil>", `cannot read receipt "l" of step x/a, which the plan does not name as an input`, `cannot read receipt "m" of step x/a, which the plan does not name as an input`, `w<nil>step x/a left no "m" in its receipt`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// A journal that holds what a run never writes is refused.
func TestOddJournal(t *testing.T) {
	o := options(t, nil, nil)
	p := mustPlan(t, phase{"x", []pipeline.Step{step{sp: pipeline.Spec{ID: "x/a", Effect: pipeline.Local}}}})
	j := new(pipelinetest.Memory)
	o.Journal = j
	mustRun(t, p, o)
	good := j.All()
	for name, change := range map[string]func([]pipeline.Record) []pipeline.Record{
		"no begin":     func(rs []pipeline.Record) []pipeline.Record { return rs[1:] },
		"two begins":   func(rs []pipeline.Record) []pipeline.Record { return append(rs, rs[0]) },
		"another run":  func(rs []pipeline.Record) []pipeline.Record { rs[2].Run = "00"; return rs },
		"another plan": func(rs []pipeline.Record) []pipeline.Record { rs[2].Plan = "00"; return rs },
		"no plan":      func(rs []pipeline.Record) []pipeline.Record { rs[0].Planned = nil; return rs },
		"changed plan": func(rs []pipeline.Record) []pipeline.Record {
			q := *rs[0].Planned
			q.Env.Version = "9"
			rs[0].Planned = &q
			return rs
		},
		"forged digest": func(rs []pipeline.Record) []pipeline.Record { rs[0].Plan = "00"; return rs },
	} {
		j := new(pipelinetest.Memory)
		for _, r := range change(slices.Clone(good)) {
			j.Append(r)
		}
		o.Journal = j
		if err := p.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "cannot use the journal") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := p.Survey(o); err == nil {
			t.Errorf("%s: surveyed", name)
		}
	}
}
