package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// world is the outside: a server that keeps things by name. PUT makes one unless it exists (409), GET shows it, DELETE
// removes it. It counts what really happened.
type world struct {
	*httptest.Server
	mu      sync.Mutex
	things  map[string]thing
	created map[string]int // by name
	deleted map[string]int
	log     []string
	// hang, where it returns true, keeps an answer back until the client is gone: the act happened, nobody heard.
	hang func(method, name string) bool
}

type thing struct {
	Value  string `json:"value"`
	Marker string `json:"marker"`
}

func newWorld(t testing.TB) *world {
	w := &world{things: map[string]thing{}, created: map[string]int{}, deleted: map[string]int{}}
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	return w
}

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	th, there := w.things[name]
	code := http.StatusOK
	switch r.Method {
	case http.MethodGet:
		if !there {
			code = http.StatusNotFound
		}
	case http.MethodPut:
		if there {
			code = http.StatusConflict
			break
		}
		json.Unmarshal(body, &th)
		w.things[name] = th
		w.created[name]++
		w.log = append(w.log, "make "+name)
	case http.MethodDelete:
		if there {
			delete(w.things, name)
			w.deleted[name]++
			w.log = append(w.log, "undo "+name)
		}
	}
	hang := w.hang != nil && w.hang(r.Method, name)
	w.mu.Unlock()
	if hang {
		<-r.Context().Done()
		return
	}
	rw.WriteHeader(code)
	json.NewEncoder(rw).Encode(th)
}

// now returns copies of what there is and of how often each was made.
func (w *world) now() (things map[string]thing, created map[string]int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.things), maps.Clone(w.created)
}

func (w *world) has(name string) (thing, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	th, ok := w.things[name]
	return th, ok
}

// hangs sets hang.
func (w *world) hangs(hang func(method, name string) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hang = hang
}

func (w *world) put(name string, th thing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.things[name] = th
}

// permanent is an outward step without undo, remote one with it. Both reach the world through the workspace.
type permanent struct {
	sp       pipeline.Spec
	noMarker bool // the channel cannot carry one
}

type remote struct{ permanent }

var (
	_ pipeline.Prober = permanent{}
	_ pipeline.Undoer = remote{}
)

func (p permanent) Spec() pipeline.Spec { return p.sp }

func ask(ctx context.Context, ws *pipeline.Workspace, method, name string, body any) (thing, int, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return thing{}, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, method, ws.Endpoints.(string)+"/"+name, bytes.NewReader(b))
	if err != nil {
		return thing{}, 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return thing{}, 0, err
	}
	defer resp.Body.Close()
	var th thing
	err = json.NewDecoder(resp.Body).Decode(&th)
	return th, resp.StatusCode, err
}

// value is what the step puts there: its parameter and the digests of its inputs.
func (p permanent) value(ws *pipeline.Workspace) string {
	value := p.sp.Params["value"]
	for _, in := range p.sp.Inputs {
		if name, ok := strings.CutPrefix(in, "artifact:"); ok {
			a, _, err := ws.Input(name)
			value += fmt.Sprint(" ", a.SHA256, err)
		}
	}
	return value
}

func receipt(name string, th thing) pipeline.Receipt {
	r := pipeline.Receipt{"name": name}
	if th.Marker != "" {
		r[pipeline.Marker] = th.Marker
	}
	return r
}

func (p permanent) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	th, code, err := ask(ctx, ws, http.MethodGet, p.sp.Target, nil)
	switch {
	case err != nil:
		return nil, err
	case code == http.StatusNotFound:
		return nil, nil
	case th.Value != p.value(ws):
		return nil, fmt.Errorf("%s holds %q: %w", p.sp.Target, th.Value, pipeline.ErrConflict)
	}
	return receipt(p.sp.Target, th), nil
}

func (p permanent) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	th := thing{Value: p.value(ws), Marker: ws.Run}
	if p.noMarker {
		th.Marker = ""
	}
	_, code, err := ask(ctx, ws, http.MethodPut, p.sp.Target, th)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("cannot make %s: status %d", p.sp.Target, code)
	}
	if err != nil {
		return nil, err
	}
	return receipt(p.sp.Target, th), nil
}

func (r remote) Undo(ctx context.Context, ws *pipeline.Workspace, _ pipeline.Receipt) error {
	_, _, err := ask(ctx, ws, http.MethodDelete, r.sp.Target, nil)
	return err
}

// step is a pure or local step.
type step struct {
	sp  pipeline.Spec
	run func(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error)
}

func (s step) Spec() pipeline.Spec { return s.sp }

func (s step) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	if s.run == nil {
		return nil, nil
	}
	return s.run(ctx, ws)
}

// phase is a fixed list of steps.
type phase struct {
	name  string
	steps []pipeline.Step
}

func (p phase) Name() string                                                 { return p.name }
func (p phase) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) { return p.steps, nil }

// write makes one file from its parameter "text" and its input artifacts.
func write(id, out string, needs, inputs []string, text string) step {
	sp := pipeline.Spec{ID: id, Needs: needs, Inputs: inputs, Outputs: []string{out}, Effect: pipeline.Local, Params: map[string]string{"text": text}}
	return step{sp, func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
		path, err := ws.Create(pipeline.Artifact{Name: out, Kind: "text"})
		if err != nil {
			return nil, err
		}
		text := text
		for _, in := range inputs {
			_, from, err := ws.Input(strings.TrimPrefix(in, "artifact:"))
			if err != nil {
				return nil, err
			}
			b, err := os.ReadFile(from)
			if err != nil {
				return nil, err
			}
			text += string(b)
		}
		return pipeline.Receipt{"length": fmt.Sprint(len(text))}, os.WriteFile(path, []byte(text), 0o666)
	}}
}

// look is a pure step that reports one piece of evidence.
func look(id, check string, needs, inputs []string, see func(ctx context.Context, ws *pipeline.Workspace) gate.Evidence) step {
	sp := pipeline.Spec{ID: id, Needs: needs, Inputs: inputs, Checks: []string{check}}
	return step{sp, func(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
		e := see(ctx, ws)
		e.Check = check
		ws.Report(e)
		return nil, nil
	}}
}

func passes(context.Context, *pipeline.Workspace) gate.Evidence {
	return gate.Evidence{Verdict: gate.Pass, Expected: "well", Found: "well"}
}

func criteria(checks ...string) (out []gate.Criterion) {
	for _, c := range checks {
		out = append(out, gate.Criterion{Title: c + " holds", Check: c})
	}
	return out
}

var env = pipeline.Env{Project: "demo", Version: "1.2.3+4", Commit: "c0ffee"}

// release is a whole release in small: two files, a check and a gate; a draft with an asset, a gate, publication, a
// merge that cannot carry a marker, and a proof.
func release(approve string) []pipeline.Phase {
	public := func(ctx context.Context, ws *pipeline.Workspace) gate.Evidence {
		th, code, err := ask(ctx, ws, http.MethodGet, "public", nil)
		e := gate.Evidence{Verdict: gate.Fail, Expected: "public 200", Found: fmt.Sprintf("%s %d", th.Value, code)}
		if err != nil {
			return gate.Evidence{Summary: err.Error()}
		}
		if e.Found == e.Expected {
			e.Verdict = gate.Pass
		}
		return e
	}
	asset := func(ctx context.Context, ws *pipeline.Workspace) gate.Evidence {
		th, code, err := ask(ctx, ws, http.MethodGet, "asset", nil)
		if err != nil || code != http.StatusOK {
			return gate.Evidence{Summary: fmt.Sprint("cannot see the asset: ", code, err)}
		}
		return gate.Evidence{Verdict: gate.Pass, Found: th.Value}
	}
	return []pipeline.Phase{
		phase{"build", []pipeline.Step{
			write("build/a", "a.txt", nil, nil, "a"),
			write("build/c", "work/c.txt", nil, nil, "c"),
			write("build/b", "b.txt", []string{"build/a", "build/c"}, []string{"artifact:a.txt", "artifact:work/c.txt"}, "b"),
			look("build/look", "look", []string{"build/b"}, []string{"artifact:b.txt"}, passes),
			pipeline.NewGate(gate.Gate{ID: "gate/build", Title: "Build", Criteria: criteria("look"), Approve: approve}, "build/look"),
		}},
		phase{"release", []pipeline.Step{
			remote{permanent{sp: pipeline.Spec{ID: "release/draft", Needs: []string{"gate/build"}, Effect: pipeline.Remote, Target: "draft"}}},
			remote{permanent{sp: pipeline.Spec{ID: "release/asset", Needs: []string{"release/draft", "build/b"}, Effect: pipeline.Remote, Target: "asset", Inputs: []string{"artifact:b.txt"}}}},
			look("release/inspect", "inspect", []string{"release/asset"}, nil, asset),
			pipeline.NewGate(gate.Gate{ID: "gate/release", Title: "Release", Criteria: criteria("inspect")}, "release/inspect"),
			permanent{sp: pipeline.Spec{ID: "release/publish", Needs: []string{"gate/release"}, Effect: pipeline.Permanent, Target: "public", Params: map[string]string{"value": "public"}}},
			permanent{sp: pipeline.Spec{ID: "release/merge", Needs: []string{"release/publish"}, Effect: pipeline.Permanent, Target: "main"}, noMarker: true},
			look("release/public", "public", []string{"release/publish"}, nil, public),
			pipeline.NewGate(gate.Gate{ID: "proof/release", Title: "Public", Criteria: criteria("public")}, "release/public"),
		}},
	}
}

func mustPlan(t testing.TB, phases ...pipeline.Phase) *pipeline.Plan {
	t.Helper()
	p, err := pipeline.NewPlan(t.Context(), env, phases...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func options(t testing.TB, j pipeline.Journal, w *world) pipeline.Options {
	dir := t.TempDir()
	o := pipeline.Options{Journal: j, Jobs: 2, Dirs: pipeline.Dirs{Dist: dir + "/dist", Work: dir + "/work"}}
	if w != nil {
		o.Endpoints = w.URL
	}
	return o
}
