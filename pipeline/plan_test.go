package pipeline_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// undoer is a step with undo and without probe.
type undoer struct{ step }

func (undoer) Undo(context.Context, *pipeline.Workspace, pipeline.Receipt) error { return nil }

func pass(id string, needs ...string) pipeline.Step {
	return pipeline.NewGate(gate.Gate{ID: id, Criteria: criteria("look")}, append([]string{"x/look"}, needs...)...)
}

func TestPlanRules(t *testing.T) {
	lookStep := look("x/look", "look", nil, nil, passes)
	local := func(id string, outputs []string, needs ...string) pipeline.Step {
		return step{sp: pipeline.Spec{ID: id, Needs: needs, Outputs: outputs, Effect: pipeline.Local}}
	}
	reader := func(id, input string, needs ...string) pipeline.Step {
		return step{sp: pipeline.Spec{ID: id, Needs: needs, Inputs: []string{input}}}
	}
	rem := func(id string, needs ...string) pipeline.Step {
		return remote{permanent{sp: pipeline.Spec{ID: id, Needs: needs, Effect: pipeline.Remote}}}
	}
	perm := func(id string, needs ...string) pipeline.Step {
		return permanent{sp: pipeline.Spec{ID: id, Needs: needs, Effect: pipeline.Permanent}}
	}
	g := func(id string, change func(*gate.Gate)) pipeline.Step {
		gg := gate.Gate{ID: id, Criteria: criteria("look")}
		change(&gg)
		return pipeline.NewGate(gg, "x/look")
	}
	list := func(steps ...pipeline.Step) []pipeline.Step { return steps }
	for _, tt := range []struct {
		name  string
		want  string // part of the error, empty for none
		steps []pipeline.Step
	}{
		{"empty", "", nil},
		{"whole", "", list(lookStep, pass("gate/x"), rem("x/r", "gate/x"), perm("x/p", "x/r"), rem("x/after", "x/p"))},
		{"foreign phase", `"y/a" does not belong to phase x`, list(local("y/a", nil))},
		{"bad ID", "is not named phase/name", list(local("x/A b", nil))},
		{"dotted ID", "is not named phase/name", list(local("x/../b", nil))},
		{"same ID", `two steps are named "x/a"`, list(local("x/a", nil), local("x/a", nil))},
		{"later need", `needs "x/b", which is not an earlier step`, list(local("x/a", nil, "x/b"), local("x/b", nil))},
		{"own need", `needs "x/a"`, list(local("x/a", nil, "x/a"))},
		{"named gate, is none", "gates, and only gates", list(local("gate/x", nil))},
		{"gate under another name", "gates, and only gates", list(lookStep, g("x/gate", func(*gate.Gate) {}))},
		{"no probe", "reaches others but has no Probe", list(lookStep, pass("gate/x"), undoer{step{sp: pipeline.Spec{ID: "x/r", Needs: []string{"gate/x"}, Effect: pipeline.Remote}}})},
		{"remote, no undo", "has no Undo", list(lookStep, pass("gate/x"), permanent{sp: pipeline.Spec{ID: "x/r", Needs: []string{"gate/x"}, Effect: pipeline.Remote}})},
		{"permanent with undo", "is permanent but has an Undo", list(lookStep, pass("gate/x"), remote{permanent{sp: pipeline.Spec{ID: "x/p", Needs: []string{"gate/x"}, Effect: pipeline.Permanent}}})},
		{"no such effect", "no valid effect", list(step{sp: pipeline.Spec{ID: "x/a", Effect: 4}})},
		{"no gate", "no gate comes before it", list(lookStep, rem("x/r", "x/look"))},
		{"gate beside", "no gate comes before it", list(lookStep, pass("gate/x"), perm("x/p"))},
		{"gate two steps up", "", list(lookStep, pass("gate/x"), local("x/l", nil, "gate/x"), perm("x/p", "x/l"))},
		{"proof is no gate", "no gate comes before it", list(lookStep, pass("proof/x"), rem("x/r", "proof/x"))},
		{"remote after permanent", "x/r can be undone and comes after x/p, which cannot", list(lookStep, pass("gate/x"), perm("x/p", "gate/x"), rem("x/r", "gate/x"))},
		{"remote needs permanent through others", "", list(lookStep, pass("gate/x"), perm("x/p", "gate/x"), local("x/l", nil, "x/p"), rem("x/r", "x/l"))},
		{"remote needs only the newer permanent", "comes after x/p, which cannot", list(lookStep, pass("gate/x"), perm("x/p", "gate/x"), perm("x/q", "gate/x"), rem("x/r", "x/q"))},
		{"remote needs only the older permanent", "comes after x/q, which cannot", list(lookStep, pass("gate/x"), perm("x/p", "gate/x"), perm("x/q", "gate/x"), rem("x/r", "x/p"))},
		{"remote needs both permanents", "", list(lookStep, pass("gate/x"), perm("x/p", "gate/x"), perm("x/q", "gate/x"), rem("x/r", "x/p", "x/q"))},
		{"outputs of a pure step", "has outputs but is not local", list(step{sp: pipeline.Spec{ID: "x/a", Outputs: []string{"f"}}})},
		{"outputs of an outward step", "has outputs but is not local", list(lookStep, pass("gate/x"), permanent{sp: pipeline.Spec{ID: "x/p", Needs: []string{"gate/x"}, Effect: pipeline.Permanent, Outputs: []string{"f"}}})},
		{"same output", `steps x/a and x/b both make "f"`, list(local("x/a", []string{"f"}), local("x/b", []string{"f"}))},
		{"output inside another", `makes "f/g" inside "f"`, list(local("x/a", []string{"f"}), local("x/b", []string{"f/g"}))},
		{"output around another", `makes "f", which holds "f/g"`, list(local("x/a", []string{"f/g"}), local("x/b", []string{"f"}))},
		{"outputs beside each other", "", list(local("x/a", []string{"f/g"}), local("x/b", []string{"f/h", "ff"}))},
		{"escaping output", "not a valid file name", list(local("x/a", []string{"../f"}))},
		{"absolute output", "not a valid file name", list(local("x/a", []string{"/f"}))},
		{"output with newline", "not a valid file name", list(local("x/a", []string{"f\ng"}))},
		{"output .", "not a valid file name", list(local("x/a", []string{"."}))},
		{"input", "", list(local("x/a", []string{"f"}), reader("x/b", "artifact:f", "x/a"))},
		{"input nobody makes", `refers to "artifact:g"`, list(local("x/a", []string{"f"}), reader("x/b", "artifact:g", "x/a"))},
		{"input not needed", `refers to "artifact:f"`, list(local("x/a", []string{"f"}), reader("x/b", "artifact:f"))},
		{"receipt", "", list(local("x/a.b", nil), reader("x/c", "receipt:x/a.b.key", "x/a.b"), reader("x/d", "receipt:x/a.b", "x/a.b"))},
		{"receipt nobody leaves", `refers to "receipt:x/z.key"`, list(local("x/a", nil), reader("x/c", "receipt:x/z.key", "x/a"))},
		{"reference of no kind", `refers to "f"`, list(local("x/a", []string{"f"}), reader("x/b", "f", "x/a"))},
		{"criterion nobody reports", `reads check "look", which no step that the gate needs reports`, list(lookStep, pipeline.NewGate(gate.Gate{ID: "gate/x", Criteria: criteria("look")}))},
		{"gate without criteria", "needs criteria", list(lookStep, g("gate/x", func(g *gate.Gate) { g.Criteria = nil }))},
		{"criterion left open", "needs a check or a role", list(lookStep, g("gate/x", func(g *gate.Gate) { g.Criteria[0].Check = "" }))},
		{"criterion both ways", "needs a check or a role", list(lookStep, g("gate/x", func(g *gate.Gate) { g.Criteria[0].Attest = "lead" }))},
		{"untitled criterion", "has no title", list(lookStep, g("gate/x", func(g *gate.Gate) { g.Criteria[0].Title = "" }))},
		{"same title", "two criteria are titled", list(lookStep, g("gate/x", func(g *gate.Gate) { g.Criteria = append(g.Criteria, g.Criteria[0]) }))},
		{"proof with approver", "a proof has no approver", list(lookStep, g("proof/x", func(g *gate.Gate) { g.Approve = "lead" }))},
		{"proof attested", "which a proof cannot be", list(lookStep, g("proof/x", func(g *gate.Gate) { g.Criteria[0] = gate.Criterion{Title: "t", Attest: "lead"} }))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pipeline.NewPlan(t.Context(), env, phase{"x", tt.steps})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestPlanDigest(t *testing.T) {
	p := mustPlan(t, release("")...)
	if again := mustPlan(t, release("")...); again.Digest != p.Digest {
		t.Error("the same steps gave another digest")
	}
	if other := mustPlan(t, release("lead")...); other.Digest == p.Digest {
		t.Error("another approver gave the same digest")
	}
	e := env
	e.Commit = "decaf"
	if other, err := pipeline.NewPlan(t.Context(), e, release("")...); err != nil || other.Digest == p.Digest {
		t.Error("another base commit gave the same digest", err)
	}
	e = env
	e.Config = "1234"
	if other, err := pipeline.NewPlan(t.Context(), e, release("")...); err != nil || other.Digest == p.Digest {
		t.Error("another release.yaml gave the same digest", err)
	}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back pipeline.Plan
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if c, _ := json.Marshal(back); string(c) != string(b) {
		t.Errorf("a plan does not survive JSON:\n%s\n%s", b, c)
	}
	if err := back.Run(t.Context(), options(t, nil, nil)); err == nil {
		t.Error("a plan read from a file could be run")
	}
}

func TestPhaseOf(t *testing.T) {
	for id, want := range map[string]string{"build/deb/amd64": "build", "gate/build": "build", "proof/aur": "aur"} {
		if got := pipeline.PhaseOf(id); got != want {
			t.Errorf("PhaseOf(%q) = %q, want %q", id, got, want)
		}
	}
}

func TestPlanError(t *testing.T) {
	_, err := pipeline.NewPlan(t.Context(), env, broken{})
	if err == nil || err.Error() != "cannot plan broken: no such bundle" {
		t.Error(err)
	}
}

type broken struct{}

func (broken) Name() string { return "broken" }
func (broken) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) {
	return nil, fmt.Errorf("no such bundle")
}

// long is a plan of n steps: chains of local steps, with a gate and a permanent step for every hundred.
func long(n int) phase {
	ph := phase{name: "x"}
	last := ""
	for i := 0; len(ph.steps) < n; i++ {
		id := fmt.Sprintf("x/step-%d", i)
		var needs, inputs []string
		if last != "" {
			needs, inputs = []string{last}, []string{fmt.Sprintf("artifact:file-%d", i-1)}
		}
		sp := pipeline.Spec{ID: id, Needs: needs, Inputs: inputs, Outputs: []string{fmt.Sprintf("file-%d", i)}, Checks: []string{"c"}, Effect: pipeline.Local}
		ph.steps = append(ph.steps, step{sp: sp})
		if i%100 == 99 {
			g := fmt.Sprintf("gate/x/%d", i)
			ph.steps = append(ph.steps, pipeline.NewGate(gate.Gate{ID: g, Criteria: criteria("c")}, id),
				permanent{sp: pipeline.Spec{ID: fmt.Sprintf("x/act-%d", i), Needs: []string{g}, Effect: pipeline.Permanent}})
		}
		last = id
	}
	return ph
}

func BenchmarkNewPlan(b *testing.B) {
	for _, n := range []int{200, 2000, 20000} {
		ph := long(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if _, err := pipeline.NewPlan(context.Background(), env, ph); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/step")
		})
	}
}
