package pipeline_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// mutations break one rule of the engine each. The tests must notice every one of them.
var mutations = []struct{ rule, file, old, new string }{
	{"a step belongs to its phase", "plan.go", `PhaseOf(sp.ID) != ph.Name()`, `false`},
	{"IDs are well-formed", "plan.go", `!validID.MatchString(sp.ID)`, `false`},
	{"IDs are unique", "plan.go", `if p.flow.Has(sp.ID) {`, `if false {`},
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
	{"references are made by needed steps", "internal/flow/flow.go", `!slices.Contains(needs, f.ids[from])`, `!slices.Contains(needs, f.ids[from]) && false`},
	{"outputs have valid names", "internal/flow/names.go", `!fs.ValidPath(name)`, `!fs.ValidPath(name) && false`},
	{"an output has one maker", "internal/flow/names.go", `by, made := n.makers[name]; made`, `by, made := n.makers[name]; made && false`},
	{"no output lies in another", "internal/flow/names.go", `_, made := n.makers[name[:k]]; made`, `_, made := n.makers[name[:k]]; made && false`},
	{"no output lies around another", "internal/flow/names.go", `inside, nested := n.folders[name]; nested`, `inside, nested := n.folders[name]; nested && false`},
	{"gates are valid", "plan.go", `if err := g.Validate(reported); err != nil`, `if err := g.Validate(reported); err != nil && false`},
	{"the digest covers env", "plan.go", `gate.Sum(p.Env, p.Specs)`, `gate.Sum(Env{}, p.Specs)`},
	{"the digest covers steps", "plan.go", `gate.Sum(p.Env, p.Specs)`, `gate.Sum(p.Env)`},

	{"a journal of another plan is refused", "run.go", `r.st.plan.Digest != p.Digest && !o.Amend {`, `false {`},
	{"what has acted is not amended away", "run.go", `r.st.acted[was.ID] && (!planned`, `false && (!planned`},
	{"nor what it has seen", "run.go", `looks || gate.Sum(sp)`, `looks && false || gate.Sum(sp)`},
	{"nor what it has acted on", "run.go", `return another[from]`, `return another[from] && false`},
	{"what a gate has not passed for is not amended in", "run.go", `if err := r.p.strays(r.st, i, another); err != nil {`, `if err := r.p.strays(r.st, i, another); err != nil && false {`},
	{"nor is it done", "step.go", `if err = r.p.strays(r.st, i, nil); err == nil {`, `if err == nil {`},
	{"a gate passes for steps as they are planned", "gate.go", `parts := []any{sp}`, `parts := []any{}`},
	{"a gate passes for the bytes it has seen", "gate.go", `st.artifacts[name].SHA256, another`, `true, another`},
	{"nor for those that will be others", "run.go", `r.p.strays(r.st, i, another)`, `r.p.strays(r.st, i, nil)`},
	{"a step may be left out behind a gate", "gate.go", `sp.Needs = nil`, ``},
	{"a gate speaks for what is behind no other", "gate.go", `for _, k = range slices.Backward(p.upstream(i)) {`, `for _, k = range p.upstream(i) {`},
	{"nothing overtakes an outward step", "run.go", `case alone && (!ready || len(running) > 0):`, `case alone && (!ready || len(running) > 0) && sp.Params["never"] == "":
				continue
			case alone && (!ready || len(running) > 0):`},
	{"after an error nothing is started", "run.go", `i < end && !failed &&`, `i < end && (!failed || true) &&`},
	{"a record must survive JSON", "internal/exact/exact.go", `!bytes.Equal(again, b)`, `!bytes.Equal(again, b) && false`},
	{"an artifact may change once only", "run.go", `if r.remade[k] {`, `if false {`},
	{"probe comes before run", "step.go", `err == nil && rec.Receipt != nil {`, `err == nil && rec.Receipt != nil && false {`},
	{"started is durable before the act", "step.go", "err = r.append(r.record(i, Started))", ""},
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
	{"unwinding stops at a permanent step", "step.go", `ours && undoes && !can {`, `ours && undoes && !can && false {`},

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
	{"settling takes nothing back", "step.go", `} else if ours && undoes {`, `} else if ours {`},
	{"what is settled and ours stays", "step.go", `gone := ours && undoes ||`, `gone := ours ||`},
	{"what is settled and not ours was never begun", "step.go", `|| !ours && last.Event != Done`, `|| false`},
	{"stale evidence does not count", "gate.go", `e.Check == check && fresh(n)`, `e.Check == check`},
	{"a gate covers all upstream artifacts", "gate.go", `p.upstream(i) {`, `p.upstream(i)[:1] {`},
}

// mutantVar names the environment variable that says, by its number, which mutation a mutant is to be.
const mutantVar = "PIPELINE_TEST_MUTANT"

// rounds are what a mutant's tests are run with, the quick ones first: all, in the end, but for those that look at sources.
var rounds = [][]string{
	{"-test.short", "-test.skip=TestMutations|TestSize|TestImports|TestContract|TestConflict|TestUnreachable|TestTwoAtOnce|TestSameJournalTwice"},
	{"-test.short", "-test.skip=TestMutations|TestSize|TestImports"},
	{"-test.skip=TestMutations|TestSize|TestImports", "-kills=3"},
}

func TestMutations(t *testing.T) {
	if os.Getenv("SLIPWAY_LONG") == "" {
		t.Skip("takes a minute: make mutate runs it")
	}
	program := buildMutants(t)
	// As long as nothing is broken, nothing is to be noticed. A mutant that takes many times as long hangs.
	limits := make([]time.Duration, len(rounds))
	for i, round := range rounds {
		began := time.Now()
		if out, err := runMutant(t, program, -1, time.Minute, round); err != nil {
			t.Fatalf("the tests fail before anything is broken: %s", out)
		}
		limits[i] = 5*time.Second + 8*time.Since(began)
	}
	for k, m := range mutations {
		t.Run(m.rule, func(t *testing.T) {
			t.Parallel()
			var out []byte
			var err error
			for i := 0; i < len(rounds) && err == nil; i++ {
				out, err = runMutant(t, program, k, limits[i], rounds[i])
			}
			if err == nil {
				t.Errorf("no test noticed the mutation %q", m.new)
			} else if !bytes.Contains(out, []byte("--- FAIL")) && !bytes.Contains(out, []byte("panic")) {
				t.Errorf("the mutant failed oddly: %s", out)
			}
		})
	}
}

// buildMutants returns the tests as one program, which is the engine with all mutations: it takes longer to link a program
// than to find out what it breaks. Each function is there once as it is, and once more for every mutation in it, to which
// it hands over when that mutation's turn has come.
func buildMutants(t *testing.T) (program string) {
	dir := t.TempDir()
	overlay := map[string]string{}
	replace := func(name string, text []byte) {
		path, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		if overlay[path] != "" { // a package has one mutant.go, however many of its files are mutated
			return
		}
		overlay[path] = fmt.Sprintf("%s/%d.go", dir, len(overlay))
		if err := os.WriteFile(overlay[path], text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string][]int{}
	for k, m := range mutations {
		files[m.file] = append(files[m.file], k)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		pkg, text := weave(t, name, string(src), files[name])
		replace(name, []byte(text))
		replace(filepath.Dir(name)+"/mutant.go", fmt.Appendf(nil, "package %s\n\nimport \"os\"\n\nvar mutant = os.Getenv(%q)\n", pkg, mutantVar))
	}
	replaced, _ := json.Marshal(map[string]any{"Replace": overlay})
	if err := os.WriteFile(dir+"/overlay.json", replaced, 0o666); err != nil {
		t.Fatal(err)
	}
	program = dir + "/mutants"
	build := exec.Command("go", "test", "-vet=off", "-ldflags=-s -w", "-overlay", dir+"/overlay.json", "-c", "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the mutants do not build: %s", out)
	}
	return program
}

// weave returns a source with the mutations of these numbers in it, and the name of its package.
func weave(t *testing.T, name, src string, numbers []int) (pkg, woven string) {
	tree, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	at := func(p token.Pos) int { return int(p - tree.FileStart) }
	turns := map[*ast.FuncDecl]string{}
	var mutants strings.Builder
	for _, k := range numbers {
		m := mutations[k]
		from := strings.Index(src, m.old)
		if from < 0 {
			t.Fatalf("%s does not hold %q any more", name, m.old)
		}
		to := from + len(m.old)
		d := slices.IndexFunc(tree.Decls, func(d ast.Decl) bool { return at(d.Pos()) < from && to <= at(d.End()) })
		if d < 0 {
			t.Fatalf("%q is not within a function of %s", m.old, name)
		}
		fn, is := tree.Decls[d].(*ast.FuncDecl)
		if !is || from <= at(fn.Body.Lbrace) {
			t.Fatalf("%q is not within the body of a function of %s", m.old, name)
		}
		after := at(fn.Name.End())
		// The line makes the compiler and panics tell which mutation they mean.
		fmt.Fprintf(&mutants, "\n//line %s:1\n%sMutant%d%s%s%s\n", m.rule, src[at(fn.Pos()):after], k, src[after:from], m.new, src[to:at(fn.End())])
		turns[fn] += fmt.Sprintf(" if mutant == \"%d\" { %s };", k, call(t, fn, k))
	}
	done := 0
	var b strings.Builder
	for _, d := range tree.Decls {
		if fn, is := d.(*ast.FuncDecl); is && turns[fn] != "" {
			body := at(fn.Body.Lbrace) + 1
			b.WriteString(src[done:body] + turns[fn])
			done = body
		}
	}
	return tree.Name.Name, b.String() + src[done:] + mutants.String()
}

// call returns the statements by which a function hands over to its mutant of that number.
func call(t *testing.T, fn *ast.FuncDecl, number int) string {
	var args []string
	for _, p := range fn.Type.Params.List {
		for _, name := range p.Names {
			args = append(args, name.Name)
		}
		if _, more := p.Type.(*ast.Ellipsis); more {
			args[len(args)-1] += "..."
		}
		if len(p.Names) == 0 || args[len(args)-1] == "_" {
			t.Fatalf("%s has parameters without names, so that its mutants cannot be called", fn.Name.Name)
		}
	}
	self := ""
	if fn.Recv != nil {
		if len(fn.Recv.List[0].Names) == 0 {
			t.Fatalf("%s has a receiver without a name, so that its mutants cannot be called", fn.Name.Name)
		}
		self = fn.Recv.List[0].Names[0].Name + "."
	}
	hand := fmt.Sprintf("%s%sMutant%d(%s)", self, fn.Name.Name, number, strings.Join(args, ", "))
	if fn.Type.Results == nil {
		return hand + "; return"
	}
	return "return " + hand
}

// runMutant runs the tests as the mutation of that number; a negative one is none.
func runMutant(t *testing.T, program string, number int, limit time.Duration, args []string) ([]byte, error) {
	run := exec.Command(program, slices.Concat(args, []string{"-test.failfast", fmt.Sprintf("-test.timeout=%v", limit)})...)
	run.Env = append(os.Environ(), "SLIPWAY_LONG=", "TMPDIR="+t.TempDir(), fmt.Sprintf("%s=%d", mutantVar, number))
	return run.CombinedOutput()
}
