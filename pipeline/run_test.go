package pipeline_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/files"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// signers is a verifier for tests of the engine: the signature is the role's name followed by the signer's, and must
// end with the length of the statement, so that a changed statement needs another one.
type signers map[string]string // name to role

func (s signers) Verify(role string, statement, signature []byte) (string, error) {
	name, length, _ := strings.Cut(string(signature), " ")
	if length != fmt.Sprint(len(statement)) {
		return "", errors.New("the signature does not match")
	}
	if s[name] != role {
		return "", fmt.Errorf("%s is not an approver for %s", name, role)
	}
	return name, nil
}

func sign(name string, r gate.Request) gate.Statement {
	return gate.Statement{Signed: r.Bytes(), Signature: fmt.Appendf(nil, "%s %d", name, len(r.Bytes()))}
}

func gateOf(t testing.TB, p *pipeline.Plan, o pipeline.Options, id string) gate.State {
	t.Helper()
	s, err := p.Survey(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, ss := range s.Steps {
		if ss.Spec.ID == id {
			return *ss.Gate
		}
	}
	t.Fatalf("no gate %s", id)
	return gate.State{}
}

func events(rs []pipeline.Record) (out []string) {
	for _, r := range rs {
		out = append(out, strings.TrimSpace(fmt.Sprint(r.Event, " ", r.Step)))
	}
	return out
}

func mustRun(t testing.TB, p *pipeline.Plan, o pipeline.Options) {
	t.Helper()
	if err := p.Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRunToTheEnd(t *testing.T) {
	w, j := newWorld(t), new(pipelinetest.Memory)
	o := options(t, j, w)
	o.Jobs = 1
	p := mustPlan(t, release("")...)
	mustRun(t, p, o)
	want := []string{
		"begin", "started build/a", "done build/a", "started build/c", "done build/c", "started build/b", "done build/b",
		"done build/look", "done gate/build", "started release/draft", "done release/draft", "started release/asset", "done release/asset",
		"done release/inspect", "done gate/release", "started release/publish", "done release/publish", "started release/merge", "done release/merge",
		"done release/public", "done proof/release",
	}
	if got := events(j.All()); !slices.Equal(got, want) {
		t.Errorf("journal\n%q\nwant\n%q", got, want)
	}
	if got := read(t, o.Dirs.Path("b.txt")); got != "bac" {
		t.Errorf("b.txt holds %q", got)
	}
	if left, _ := filepath.Glob(o.Dirs.Work + "/.tmp/*"); len(left) > 0 {
		t.Error("left behind:", left)
	}

	before := snapshot(t, filepath.Dir(o.Dirs.Dist))
	mustRun(t, p, o)
	if got := len(j.All()); got != len(want) {
		t.Errorf("a second run wrote %d records", got-len(want))
	}
	if after := snapshot(t, filepath.Dir(o.Dirs.Dist)); !maps.Equal(before, after) {
		t.Errorf("a second run changed files: %v, were %v", after, before)
	}
	for name, n := range w.created {
		if n != 1 {
			t.Errorf("%s was made %d times", name, n)
		}
	}
}

// snapshot maps every file below dir to what the file system says of it.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || d.IsDir() {
			return err
		}
		out[path] = fmt.Sprint(info.Mode(), info.Size(), info.ModTime().UnixNano())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRunJobs(t *testing.T) {
	var mu sync.Mutex
	now, most, outward := 0, 0, false
	enter := func(d int, alone bool) {
		mu.Lock()
		defer mu.Unlock()
		if now += d; d > 0 && alone && now > 1 || d > 0 && outward {
			t.Error("a step ran beside an outward one")
		}
		most, outward = max(most, now), alone && d > 0
	}
	work := func(alone bool) func(context.Context, *pipeline.Workspace) (pipeline.Receipt, error) {
		return func(context.Context, *pipeline.Workspace) (pipeline.Receipt, error) {
			enter(1, alone)
			time.Sleep(5 * time.Millisecond)
			enter(-1, alone)
			return pipeline.Receipt{}, nil
		}
	}
	steps := []pipeline.Step{look("x/look", "look", nil, nil, passes), pass("gate/x")}
	for i := range 6 {
		steps = append(steps, step{pipeline.Spec{ID: fmt.Sprintf("x/local-%d", i), Effect: pipeline.Local}, work(false)})
	}
	steps = append(steps, acting{step{pipeline.Spec{ID: "x/act", Needs: []string{"gate/x"}, Effect: pipeline.Permanent}, work(true)}})
	for i := range 6 {
		steps = append(steps, step{pipeline.Spec{ID: fmt.Sprintf("x/later-%d", i), Effect: pipeline.Local}, work(false)})
	}
	o := options(t, new(pipelinetest.Memory), nil)
	o.Jobs = 3
	mustRun(t, mustPlan(t, phase{"x", steps}), o)
	var begun []string
	for _, r := range o.Journal.(*pipelinetest.Memory).All() {
		if r.Event == pipeline.Started {
			begun = append(begun, r.Step)
		}
	}
	if k := slices.Index(begun, "x/act"); k != 6 {
		t.Errorf("the outward step was begun as number %d of %v", k, begun)
	}
	if most != 3 {
		t.Errorf("at most %d steps ran together, want 3", most)
	}
}

// acting is an outward step that never finds anything.
type acting struct{ step }

func (acting) Probe(context.Context, *pipeline.Workspace) (pipeline.Receipt, error) { return nil, nil }

func TestRunUntil(t *testing.T) {
	w, j := newWorld(t), new(pipelinetest.Memory)
	o := options(t, j, w)
	p := mustPlan(t, release("")...)
	o.Until = "build"
	mustRun(t, p, o)
	if len(w.things) > 0 {
		t.Error("phase release has acted")
	}
	o.Until = "aur"
	if err := p.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), `no phase "aur"`) {
		t.Error(err)
	}
}

func TestRunConfirm(t *testing.T) {
	w, j := newWorld(t), new(pipelinetest.Memory)
	o := options(t, j, w)
	no := errors.New("not now")
	var asked []string
	o.Confirm = func(_ context.Context, sp pipeline.Spec) error { asked = append(asked, sp.ID); return no }
	p := mustPlan(t, release("")...)
	if err := p.Run(t.Context(), o); !errors.Is(err, no) || len(w.things) > 0 {
		t.Error("the refusal was not heard:", err, w.things)
	}
	o.Confirm = func(_ context.Context, sp pipeline.Spec) error { asked = append(asked, sp.ID); return nil }
	mustRun(t, p, o)
	if want := []string{"release/draft", "release/draft"}; !slices.Equal(asked, want) {
		t.Errorf("asked before %v, want %v", asked, want)
	}
}

func TestLocalReuse(t *testing.T) {
	made := map[string]int{}
	var mu sync.Mutex
	phases := func(text string, unknown bool) phase {
		count := func(s step) step {
			run := s.run
			s.run = func(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
				mu.Lock()
				made[s.sp.ID]++
				mu.Unlock()
				return run(ctx, ws)
			}
			return s
		}
		judge := look("x/judge", "look", []string{"x/b"}, []string{"artifact:b"}, func(context.Context, *pipeline.Workspace) gate.Evidence {
			if unknown {
				return gate.Evidence{Summary: "no such tool"}
			}
			return gate.Evidence{Verdict: gate.Pass}
		})
		judge.sp.Effect = pipeline.Local
		tree := step{
			pipeline.Spec{ID: "x/t", Effect: pipeline.Local, Outputs: []string{"work/t"}, Params: map[string]string{"text": text}},
			func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
				dir, err := ws.Create(pipeline.Artifact{Name: "work/t", Kind: pipeline.KindTree})
				return nil, errors.Join(err, os.Mkdir(dir, 0o777), os.WriteFile(dir+"/t", []byte(text), 0o666))
			},
		}
		a := step{
			pipeline.Spec{ID: "x/a", Effect: pipeline.Local, Needs: []string{"x/t"}, Inputs: []string{"artifact:work/t"}, Outputs: []string{"a"}},
			func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
				path, err := ws.Create(pipeline.Artifact{Name: "a"})
				_, dir, err2 := ws.Input("work/t")
				b, err3 := os.ReadFile(dir + "/t")
				return nil, errors.Join(err, err2, err3, os.WriteFile(path, append([]byte("-"), b...), 0o666))
			},
		}
		return phase{"x", []pipeline.Step{
			count(tree), count(a),
			count(write("x/b", "b", []string{"x/a"}, []string{"artifact:a"}, "+")), count(judge),
			pipeline.NewGate(gate.Gate{ID: "gate/x", Criteria: criteria("look")}, "x/judge", "x/b"),
		}}
	}
	j := new(pipelinetest.Memory)
	o := options(t, j, nil)
	p := mustPlan(t, phases("1", false))
	check := func(what string, p *pipeline.Plan, want string) {
		t.Helper()
		clear(made)
		mustRun(t, p, o)
		if got := fmt.Sprint(made); got != want {
			t.Errorf("%s: made %s, want %s", what, got, want)
		}
		if got := read(t, o.Dirs.Path("b")); got != "+-1" && got != "+-2" {
			t.Errorf("%s: b holds %q", what, got)
		}
	}
	check("first", p, "map[x/a:1 x/b:1 x/judge:1 x/t:1]")
	check("second", p, "map[]")
	if err := os.RemoveAll(o.Dirs.Path("work/t")); err != nil {
		t.Fatal(err)
	}
	check("a work file that nobody needs is gone", p, "map[]")
	if err := os.Remove(o.Dirs.Path("a")); err != nil {
		t.Fatal(err)
	}
	check("a package is gone", p, "map[x/a:1 x/t:1]") // b's inputs are the same again
	if err := os.WriteFile(o.Dirs.Path("b"), []byte("+-3"), 0o666); err != nil {
		t.Fatal(err)
	}
	check("a package was tampered with", p, "map[x/b:1]")
	now := time.Now()
	if err := os.Chtimes(o.Dirs.Path("b"), now, now); err != nil {
		t.Fatal(err)
	}
	check("a package was touched", p, "map[]")
	os.RemoveAll(o.Dirs.Work)
	check("the work folder is gone", p, "map[]")

	// A file changed behind the cache's back, with everything that a stamp sees kept as it was, is found before the gate.
	info, err := os.Stat(o.Dirs.Path("b"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.Dirs.Path("b"), []byte("+-4"), 0o666); err != nil {
		t.Fatal(err)
	}
	os.Chtimes(o.Dirs.Path("b"), info.ModTime(), info.ModTime())
	forgeStamp(t, o.Dirs, "b", "+-1")
	check("a package was forged", p, "map[x/b:1]")

	o.Amend = true
	check("another text", mustPlan(t, phases("2", false)), "map[x/a:1 x/b:1 x/judge:1 x/t:1]")

	p = mustPlan(t, phases("2", true))
	j2 := new(pipelinetest.Memory)
	o.Journal = j2
	for range 2 { // a judge that could not look is asked again on each run
		clear(made)
		var ge *pipeline.GateError
		if err := p.Run(t.Context(), o); !errors.As(err, &ge) || ge.State.Blocks[0].Kind != "unknown" {
			t.Error(err)
		}
		if made["x/judge"] != 1 {
			t.Error("the judge was not asked again")
		}
	}
}

// forgeStamp makes the digest cache believe that artifact name, as it lies there now, holds text.
func forgeStamp(t *testing.T, d pipeline.Dirs, name, text string) {
	t.Helper()
	file := filepath.Join(d.Work, ".digests.json")
	cache := files.OpenCache(file)
	now, err := cache.Read(d.Path(name))
	if err := errors.Join(err, cache.Save()); err != nil {
		t.Fatal(err)
	}
	believed := strings.ReplaceAll(read(t, file), now.SHA256, fmt.Sprintf("%x", sha256.Sum256([]byte(text))))
	if err := os.WriteFile(file, []byte(believed), 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestStepErrors(t *testing.T) {
	create := func(ws *pipeline.Workspace, names ...string) error {
		for _, name := range names {
			path, err := ws.Create(pipeline.Artifact{Name: name})
			if err == nil {
				err = os.WriteFile(path, nil, 0o666)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	for _, tt := range []struct {
		name, want string
		run        func(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error)
	}{
		{"fails", "x/a: no compiler", func(context.Context, *pipeline.Workspace) (pipeline.Receipt, error) {
			return nil, errors.New("no compiler")
		}},
		{"makes nothing", `x/a: cannot find artifact "f": the step did not make it`, func(context.Context, *pipeline.Workspace) (pipeline.Receipt, error) { return nil, nil }},
		{"declares only", `x/a: cannot put artifact "f" in its place`, func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
			_, err := ws.Create(pipeline.Artifact{Name: "f"})
			return nil, err
		}},
		{"makes another", `cannot make artifact "g", which the plan does not name`, func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) { return nil, create(ws, "g") }},
		{"makes twice", `cannot make artifact "f" twice`, func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
			return nil, create(ws, "f", "f")
		}},
		{"a file for a folder", "a file and a folder are not the same kind", func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
			path, err := ws.Create(pipeline.Artifact{Name: "f", Kind: pipeline.KindTree})
			return nil, errors.Join(err, os.WriteFile(path, nil, 0o666))
		}},
		{"reads what it may not", `cannot read artifact "z", which the plan does not name`, func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
			_, _, err := ws.Input("z")
			return nil, err
		}},
		{"reads a receipt it may not", `cannot read receipt "k" of step x/z`, func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
			_, err := ws.Receipt("x/z", "k")
			return nil, err
		}},
		{"reports another check", `check "other" is not in the plan`, func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
			ws.Report(pipeline.Evidence{Check: "other"})
			return nil, create(ws, "f")
		}},
		{"reports an odd verdict", `check "c" has no valid verdict`, func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
			ws.Report(pipeline.Evidence{Check: "c", Verdict: 7})
			return nil, create(ws, "f")
		}},
		{"leaves a receipt that JSON cannot hold", "would not read back the same", func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
			return pipeline.Receipt{"k": "\xff"}, create(ws, "f")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sp := pipeline.Spec{ID: "x/a", Effect: pipeline.Local, Outputs: []string{"f"}, Checks: []string{"c"}}
			o := options(t, new(pipelinetest.Memory), nil)
			err := mustPlan(t, phase{"x", []pipeline.Step{step{sp, tt.run}}}).Run(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if _, err := os.Stat(o.Dirs.Path("f")); err == nil && !strings.Contains(tt.want, "check") && !strings.Contains(tt.want, "JSON") && tt.name != "a file for a folder" && !strings.Contains(tt.name, "receipt that") {
				t.Error("an output stands under its final name")
			}
		})
	}
}

func TestFailureStopsTheRest(t *testing.T) {
	ran := false
	j := new(pipelinetest.Memory)
	o := options(t, j, nil)
	o.Jobs = 1
	p := mustPlan(t, phase{"x", []pipeline.Step{
		step{pipeline.Spec{ID: "x/a", Effect: pipeline.Local}, func(context.Context, *pipeline.Workspace) (pipeline.Receipt, error) {
			return nil, errors.New("bad\xff")
		}},
		step{pipeline.Spec{ID: "x/b", Effect: pipeline.Local}, func(context.Context, *pipeline.Workspace) (pipeline.Receipt, error) { ran = true; return nil, nil }},
	}})
	if err := p.Run(t.Context(), o); err == nil || ran {
		t.Error("went on after a failure:", err)
	}
	if got := events(j.All()); !slices.Equal(got, []string{"begin", "started x/a", "failed x/a"}) {
		t.Error(got)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	j := new(pipelinetest.Memory)
	o := options(t, j, nil)
	p := mustPlan(t, phase{"x", []pipeline.Step{
		step{pipeline.Spec{ID: "x/a", Effect: pipeline.Local}, func(ctx context.Context, _ *pipeline.Workspace) (pipeline.Receipt, error) {
			if ctx.Done() != nil && len(j.All()) == 2 {
				cancel()
				<-ctx.Done()
			}
			return nil, ctx.Err()
		}},
		step{sp: pipeline.Spec{ID: "x/b", Needs: []string{"x/a"}, Effect: pipeline.Local}},
	}})
	if err := p.Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	mustRun(t, p, o)
	if got := events(j.All()); !slices.Equal(got, []string{"begin", "started x/a", "failed x/a", "started x/a", "done x/a", "started x/b", "done x/b"}) {
		t.Error(got)
	}
}

// A result that is made while what it was made from is made again does not count.
func TestArtifactThatKeepsChanging(t *testing.T) {
	o := options(t, new(pipelinetest.Memory), nil)
	p := mustPlan(t, phase{"x", []pipeline.Step{
		write("x/a", "a", nil, nil, "1"),
		look("x/look", "look", []string{"x/a"}, []string{"artifact:a"}, func(_ context.Context, ws *pipeline.Workspace) gate.Evidence {
			os.WriteFile(o.Dirs.Path("a"), []byte(time.Now().String()), 0o666) // a hostile step
			return gate.Evidence{Verdict: gate.Pass}
		}),
		pass("gate/x", "x/a"),
	}})
	if err := p.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), `artifact "a" changes while the release runs`) {
		t.Error(err)
	}
}

func TestObserve(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	o := options(t, new(pipelinetest.Memory), nil)
	o.Now = func() time.Time { return time.Unix(1, 0) }
	o.Observe = func(r pipeline.Record) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprint(r.Event, " ", r.Step, " ", r.Text, " ", r.Bytes, "/", r.Total))
	}
	mustRun(t, mustPlan(t, phase{"x", []pipeline.Step{step{pipeline.Spec{ID: "x/a"}, func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
		if tmp, err := ws.Temp(); err != nil || !strings.HasPrefix(tmp, o.Dirs.Work) || ws.Spec().ID != "x/a" {
			t.Error(tmp, err)
		}
		ws.Logf("step %d", 1)
		ws.Tick(5, 10)
		return nil, nil
	}}}}), o)
	want := []string{"begin   0/0", "progress x/a step 1 0/0", "progress x/a  5/10", "done x/a  0/0"}
	if !slices.Equal(seen, want) {
		t.Errorf("observed %q, want %q", seen, want)
	}
}

// TestLook: what the world has is told without changing it, for a run that has not begun and for one half way.
func TestLook(t *testing.T) {
	w, j := newWorld(t), new(pipelinetest.Memory)
	o := options(t, j, w)
	p := mustPlan(t, release("")...)
	look := func(id string) (pipeline.Receipt, []pipeline.Evidence, error) {
		t.Helper()
		records, things := len(j.All()), len(w.things)
		r, e, err := p.Look(t.Context(), o, id)
		if len(j.All()) != records || len(w.things) != things {
			t.Errorf("looking at %s changed something", id)
		}
		if left, _ := filepath.Glob(o.Dirs.Work + "/.tmp/*"); len(left) > 0 {
			t.Error("left behind:", left)
		}
		return r, e, err
	}
	if _, _, err := look("release/asset"); !errors.Is(err, pipeline.ErrUnmade) {
		t.Errorf("before anything is made: %v", err)
	}
	if r, _, err := look("release/draft"); r != nil || err != nil {
		t.Errorf("an empty world: %v, %v", r, err)
	}
	mustRun(t, p, o)
	if r, _, err := look("release/asset"); r[pipeline.Marker] != j.All()[0].Run || err != nil {
		t.Errorf("after the run: %v, %v", r, err)
	}
	if _, e, err := look("release/public"); len(e) != 1 || err != nil {
		t.Errorf("evidence: %v, %v", e, err)
	}
	w.put("asset", thing{Value: "another", Marker: "x"})
	if _, _, err := look("release/asset"); !errors.Is(err, pipeline.ErrConflict) {
		t.Errorf("something else: %v", err)
	}
}
