package pipeline_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutations break one rule of the engine each. The tests must notice every one of them.
var mutations = []struct{ rule, file, old, new string }{
	{"a step belongs to its phase", "plan.go", `PhaseOf(sp.ID) != ph.Name()`, `false`},
	{"IDs are well-formed", "plan.go", `!validID.MatchString(sp.ID)`, `false`},
	{"IDs are unique", "plan.go", `if has(p.index, sp.ID) {`, `if false {`},
	{"gates are named as such", "plan.go", `strings.HasPrefix(sp.ID, "proof/")) != isGate`, `strings.HasPrefix(sp.ID, "proof/")) != isGate && false`},
	{"needs are earlier steps", "plan.go", "if !ok {\n\t\t\t\treturn fmt.Errorf(\"step %s needs", "if !ok && false {\n\t\t\t\treturn fmt.Errorf(\"step %s needs"},
	{"effects are valid", "plan.go", `case sp.Effect < Pure || sp.Effect > Permanent:`, `case false:`},
	{"outward steps have Probe", "plan.go", `case sp.Effect.Outward() && !probes:`, `case !probes && false:`},
	{"remote steps have Undo", "plan.go", `case sp.Effect == Remote && !undoes:`, `case false:`},
	{"permanent steps have none", "plan.go", `case sp.Effect == Permanent && undoes:`, `case false:`},
	{"a gate is upstream of outward steps", "plan.go", `case sp.Effect.Outward() && !gated[i]:`, `case false:`},
	{"a proof is no gate", "plan.go", `strings.HasPrefix(n, "gate/")`, `strings.HasPrefix(n, "gate/") || strings.HasPrefix(n, "proof/")`},
	{"a gate counts through others", "plan.go", `gated[i] || gated[k] ||`, `gated[i] ||`},
	{"only local steps have outputs", "plan.go", `case sp.Effect != Local && len(sp.Outputs) > 0:`, `case false:`},
	{"a remote step needs the permanent ones before it", "plan.go", `k := past[i].Missing(len(permanent)); k >= 0`, `k := past[i].Missing(len(permanent)); k >= 0 && false`},
	{"it needs all of them", "plan.go", `Missing(len(permanent))`, `Missing(min(1, len(permanent)))`},
	{"it may need them through others", "plan.go", `past[i] = past[i].Union(past[k])`, `_ = k`},
	{"references are made by needed steps", "plan.go", `!slices.Contains(sp.Needs, p.Specs[from].ID)`, `!slices.Contains(sp.Needs, p.Specs[from].ID) && false`},
	{"outputs have valid names", "internal/outputs/outputs.go", `!fs.ValidPath(name)`, `!fs.ValidPath(name) && false`},
	{"an output has one maker", "internal/outputs/outputs.go", `by, made := n.makers[name]; made`, `by, made := n.makers[name]; made && false`},
	{"no output lies in another", "internal/outputs/outputs.go", `_, made := n.makers[name[:k]]; made`, `_, made := n.makers[name[:k]]; made && false`},
	{"no output lies around another", "internal/outputs/outputs.go", `inside, nested := n.folders[name]; nested`, `inside, nested := n.folders[name]; nested && false`},
	{"gates are valid", "plan.go", `if err := g.Validate(reported); err != nil`, `if err := g.Validate(reported); err != nil && false`},
	{"the digest covers env", "plan.go", `gate.Sum(p.Env, p.Specs)`, `gate.Sum(Env{}, p.Specs)`},
	{"the digest covers steps", "plan.go", `gate.Sum(p.Env, p.Specs)`, `gate.Sum(p.Env)`},

	{"a journal of another plan is refused", "run.go", `if !r.o.Amend {`, `if false {`},
	{"what has acted is not amended away", "run.go", `acted && was.Effect.Outward() &&`, `acted && false && was.Effect.Outward() &&`},
	{"nothing overtakes an outward step", "run.go", `case alone && (!ready || len(running) > 0):`, `case alone && (!ready || len(running) > 0) && sp.Params["never"] == "":
				continue
			case alone && (!ready || len(running) > 0):`},
	{"after an error nothing is started", "run.go", `i < end && !failed &&`, `i < end && (!failed || true) &&`},
	{"a record must survive JSON", "internal/exact/exact.go", `!bytes.Equal(again, b)`, `!bytes.Equal(again, b) && false`},
	{"an artifact may change once only", "run.go", `if r.remade[k] {`, `if false {`},
	{"probe comes before run", "step.go", `err == nil && rec.Receipt != nil {`, `err == nil && rec.Receipt != nil && false {`},
	{"started is durable before the act", "step.go", "} else if err == nil {\n\t\tif err := r.append(r.record(i, Started)); err != nil {\n\t\t\treturn err\n\t\t}", "} else if err == nil {"},
	{"found without our marker is adopted", "step.go", `rec.Adopted = rec.Receipt[Marker] != r.st.run`, `rec.Adopted = false`},
	{"made with a foreign marker is adopted", "step.go", `rec.Receipt[Marker] != "" && rec.Receipt[Marker] != r.st.run`, `false`},
	{"an outward step is not repeated", "step.go", `if last.Event == Done {`, `if last.Event == Done && false {`},
	{"evidence with an unknown is collected again", "step.go", `return e.Verdict == gate.Unknown`, `return false`},
	{"pure evidence is collected while a gate is open", "step.go", `(sp.Effect == Pure || unknown) && r.p.open`, `unknown && r.p.open`},
	{"behind a gate nothing is looked at again", "step.go", `|| unknown) && r.p.open(r.st, sp.ID)`, `&& r.p.open(r.st, sp.ID) || unknown)`},
	{"a tampered output is made again", "step.go", `!ok && (there || !strings.HasPrefix(name, "work/"))`, `!ok && there && false`},
	{"artifacts are read in full before a gate", "step.go", `if name := r.store.Damaged(names, wanted); name != "" {`, `if name := r.store.Damaged(names, wanted); name != "" && false {`},
	{"a closed gate stands", "step.go", "if r.p.closed(r.st, i) {\n\t\treturn nil\n\t}", ""},
	{"an unchanged gate writes nothing", "step.go", `if same(rec, r.st.last[rec.Step]) {`, `if false {`},
	{"unwinding goes newest first", "step.go", `slices.Backward(r.acted())`, `slices.All(r.acted())`},
	{"unwinding leaves what was adopted", "step.go", `receipt, ours := last.Receipt, !last.Adopted`, `receipt, ours := last.Receipt, true`},
	{"unwinding in doubt goes by the marker", "step.go", `err, ours = nil, receipt[Marker] == r.st.run`, `err, ours = nil, receipt != nil`},
	{"unwinding stops at a permanent step", "step.go", `ours && !can {`, `ours && !can && false {`},

	{"a step is done for its spec only", "state.go", `last.Spec == gate.Sum(sp) &&`, ``},
	{"a step is done for its inputs only", "state.go", `&& last.Inputs == in`, `&& (last.Inputs == in || true)`},
	{"records of another run are refused", "state.go", `r.Run != st.run ||`, ``},
	{"the journal's plan matches its digest", "state.go", `gate.Sum(r.Planned.Env, r.Planned.Specs) != r.Plan`, `false`},
	{"unwinding forgets the act", "state.go", `st.acted[r.Step] = r.Event != Undone && (`, `st.acted[r.Step] = (`},
	{"taking back without saying so first", "step.go", `if err = r.append(intent); err == nil {`, `_ = intent; {`},
	{"a conflict keeps its gate closed", "step.go", `nothing := errors.Is(err, ErrConflict) &&`, `nothing := false &&`},
	{"a conflict with what is ours counts as nothing", "step.go", ` && rec.Receipt[Marker] != r.st.run // of ours`, ` // of ours`},
	{"what was not touched stands in doubt", "step.go", `nothing = errors.Is(err, ErrUntouched)`, `nothing = false`},
	{"an unwinding that was cut off forgets whose it was", "step.go", `intent.Receipt = receipt`, `_ = receipt`},
	{"stale evidence does not count", "gate.go", `e.Check == check && fresh(n)`, `e.Check == check`},
	{"a gate covers all upstream artifacts", "gate.go", `p.upstream(i) {`, `p.upstream(i)[:1] {`},
}

func TestMutations(t *testing.T) {
	if os.Getenv("SLIPWAY_LONG") == "" {
		t.Skip("takes minutes: make mutate runs it")
	}
	for _, m := range mutations {
		t.Run(m.rule, func(t *testing.T) {
			t.Parallel()
			src, err := os.ReadFile(m.file)
			if err != nil {
				t.Fatal(err)
			}
			mutant := strings.Replace(string(src), m.old, m.new, 1)
			if mutant == string(src) {
				t.Fatalf("%s does not hold %q any more", m.file, m.old)
			}
			dir := t.TempDir()
			path, err := filepath.Abs(m.file)
			if err != nil {
				t.Fatal(err)
			}
			overlay, _ := json.Marshal(map[string]map[string]string{"Replace": {path: dir + "/mutated.go"}})
			if err := os.WriteFile(dir+"/mutated.go", []byte(mutant), 0o666); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir+"/overlay.json", overlay, 0o666); err != nil {
				t.Fatal(err)
			}
			build := exec.Command("go", "test", "-vet=off", "-ldflags=-s -w", "-overlay", dir+"/overlay.json", "-c", "-o", dir+"/mutant", ".")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("the mutant does not build: %s", out)
			}
			out, err := runMutant(dir, "-test.short") // the quick tests first
			if err == nil {
				out, err = runMutant(dir)
			}
			if err == nil {
				t.Errorf("no test noticed the mutation %q", m.new)
			} else if !strings.Contains(string(out), "--- FAIL") && !strings.Contains(string(out), "panic") {
				t.Errorf("the mutant failed oddly: %s", out)
			}
		})
	}
}

func runMutant(dir string, args ...string) ([]byte, error) {
	run := exec.Command(dir+"/mutant", append(args, "-test.failfast", "-test.timeout=60s", "-test.skip=TestMutations|TestSize|TestImports", "-kills=3")...)
	run.Env = append(os.Environ(), "SLIPWAY_LONG=")
	return run.CombinedOutput()
}
