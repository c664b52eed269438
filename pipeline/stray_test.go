package pipeline_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// behind is a plan with two steps behind gate/x, the second of which publishes what the first step makes, more of them
// where names are given, and one behind gate/y.
func behind(t *testing.T, draw step, two, three string, more ...string) *pipeline.Plan {
	t.Helper()
	act := func(id, target string, inputs []string, needs ...string) pipeline.Step {
		return remote{permanent{sp: pipeline.Spec{ID: id, Needs: needs, Inputs: inputs, Effect: pipeline.Remote, Target: target}}}
	}
	x := []pipeline.Step{
		draw, look("x/look", "look", nil, nil, passes), pass("gate/x", "x/a"), act("x/one", "one", nil, "gate/x"),
		act("x/two", two, []string{"artifact:a"}, "x/one", "x/a"),
	}
	needs := []string{"x/two"}
	if two == "" {
		x, needs = x[:4], []string{"x/one"}
	}
	x = append(x, act("x/last", "last", nil, needs...)) // which needs less where a step is left out
	for _, name := range more {
		x = append(x, act("x/"+name, name, nil, "x/one"))
	}
	return mustPlan(t, phase{"x", x}, phase{"y", []pipeline.Step{pass("gate/y", needs...), act("y/three", three, nil, append(needs, "gate/y")...)}})
}

// Nothing gets past a gate that it has not passed for: no step that came later, or has become another one, and no other
// bytes. What stands behind a later gate may change, and steps may be left out.
func TestStrays(t *testing.T) {
	begun := func(t *testing.T) (*world, pipeline.Options, *pipelinetest.Memory, *string, step) {
		t.Helper()
		w, j, text := newWorld(t), new(pipelinetest.Memory), "1"
		o := options(t, j, w)
		draw := write("x/a", "a", nil, nil, "")
		draw.run = func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
			path, err := ws.Create(pipeline.Artifact{Name: "a"})
			return nil, errors.Join(err, os.WriteFile(path, []byte(text), 0o666))
		}
		w.put("two", thing{Value: "somebody's"})
		if err := behind(t, draw, "two", "three").Run(t.Context(), o); !errors.Is(err, pipeline.ErrConflict) {
			t.Fatal(err)
		}
		return w, o, j, &text, draw
	}
	for name, c := range map[string]struct {
		two, three string
		more       []string
		stray      string // the step that is refused
	}{
		"another step":           {"two", "three", []string{"four"}, "x/four"},
		"a step that is another": {"five", "three", nil, "x/two"},
		"a step less":            {"", "three", nil, ""},
		"behind a later gate":    {"", "trois", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, o, j, _, draw := begun(t)
			o.Amend = true
			p, n := behind(t, draw, c.two, c.three, c.more...), len(j.All())
			s, err := p.Survey(o)
			if err != nil || (s.Refused != nil) != (c.stray != "") {
				t.Errorf("the survey says %v, %v", s.Refused, err)
			}
			err = p.Run(t.Context(), o)
			if c.stray == "" {
				if _, there := w.has(c.three); err != nil || !there {
					t.Errorf("%v, done: %v", err, there)
				}
				return
			}
			if !errors.Is(err, pipeline.ErrDiffers) || !strings.Contains(err.Error(), c.stray+", or what it would publish, is not what gate/x has passed for") {
				t.Error(err)
			}
			if more := events(j.All()[n:]); len(more) > 0 {
				t.Errorf("what was refused left %v", more)
			}
		})
	}
	t.Run("bytes that will be others", func(t *testing.T) {
		_, o, j, _, draw := begun(t)
		o.Amend = true
		n := len(j.All())
		draw.sp.Params = map[string]string{"text": "2"}
		if err := behind(t, draw, "two", "three").Run(t.Context(), o); !errors.Is(err, pipeline.ErrDiffers) || !strings.Contains(err.Error(), "x/two, or what it would publish") {
			t.Error(err)
		}
		if more := events(j.All()[n:]); len(more) > 0 {
			t.Errorf("what was refused left %v", more)
		}
	})
	// What has acted was made of something: that does not change under it either.
	t.Run("made of something else", func(t *testing.T) {
		w, o, j, _, draw := begun(t)
		w.mu.Lock()
		delete(w.things, "two")
		w.mu.Unlock()
		w.put("three", thing{Value: "somebody's"})
		if err := behind(t, draw, "two", "three").Run(t.Context(), o); !errors.Is(err, pipeline.ErrConflict) {
			t.Fatal(err)
		}
		o.Amend = true
		n := len(j.All())
		draw.sp.Params = map[string]string{"text": "2"}
		if err := behind(t, draw, "two", "three").Run(t.Context(), o); !errors.Is(err, pipeline.ErrDiffers) || !strings.Contains(err.Error(), "x/two has acted and is no longer the same") {
			t.Error(err)
		}
		if more := events(j.All()[n:]); len(more) > 0 {
			t.Errorf("what was refused left %v", more)
		}
	})
	// A gate that has become another one is asked again, and what it reads is looked at again: by then that is what the step
	// behind it has made.
	t.Run("seen before", func(t *testing.T) {
		w, j := newWorld(t), new(pipelinetest.Memory)
		o := options(t, j, w)
		o.Amend = true
		tip := look("x/look", "look", nil, nil, passes)
		tip.run = func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
			e := passes(t.Context(), ws)
			e.Check = "look"
			ws.Report(e)
			w.mu.Lock()
			defer w.mu.Unlock()
			return pipeline.Receipt{"tip": w.things["one"].Marker}, nil
		}
		plan := func(title string) *pipeline.Plan {
			g := gate.Gate{ID: "gate/x", Title: title, Criteria: criteria("look")}
			one := remote{permanent{sp: pipeline.Spec{ID: "x/one", Needs: []string{"x/look", "gate/x"}, Inputs: []string{"receipt:x/look.tip"}, Effect: pipeline.Remote, Target: "one"}}}
			return mustPlan(t, phase{"x", []pipeline.Step{tip, pipeline.NewGate(g, "x/look"), one}})
		}
		mustRun(t, plan("first"), o)
		n := len(j.All())
		if err := plan("second").Run(t.Context(), o); !errors.Is(err, pipeline.ErrDiffers) || !strings.Contains(err.Error(), "x/one has acted and is no longer the same") {
			t.Error(err)
		}
		if more := events(j.All()[n:]); len(more) > 0 {
			t.Errorf("what was refused left %v", more)
		}
		mustRun(t, plan("first"), o)
	})
	t.Run("other bytes", func(t *testing.T) {
		w, o, j, text, draw := begun(t)
		p := behind(t, draw, "two", "three")
		if err := os.Remove(o.Dirs.Path("a")); err != nil { // made again, and it comes out another
			t.Fatal(err)
		}
		*text = "2"
		w.mu.Lock()
		delete(w.things, "two")
		w.mu.Unlock()
		for range 2 {
			if err := p.Run(t.Context(), o); !errors.Is(err, pipeline.ErrDiffers) || !strings.Contains(err.Error(), "x/two, or what it would publish") {
				t.Error(err)
			}
		}
		if _, there := w.has("two"); there || slices.Contains(events(j.All()), "started x/two") {
			t.Error("bytes that no gate has seen were published")
		}
		// Taken back, the gate is asked about what there is now.
		if err := p.Unwind(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		mustRun(t, p, o)
		if _, there := w.has("two"); !there || w.created["one"] != 2 {
			t.Error(w.created, w.deleted)
		}
	})
	t.Run("the same bytes", func(t *testing.T) {
		w, o, _, _, draw := begun(t)
		if err := os.Remove(o.Dirs.Path("a")); err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		delete(w.things, "two")
		w.mu.Unlock()
		mustRun(t, behind(t, draw, "two", "three"), o)
	})
}
