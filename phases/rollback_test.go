package phases

import (
	"testing"

	"github.com/imrightguy/slipway/phases/rollback"
	"github.com/imrightguy/slipway/pipeline"
)

// TestRollback_NoOlder: a rollback that began where no older version was known goes on without one, whatever tags have come
// here since; one that named its version goes on to that, and a new one finds the tags.
func TestRollback_NoOlder(t *testing.T) {
	t.Parallel()
	s := newShop(t, "", "demo-bin")
	s.commit("0.9.0")
	first := s.git("rev-parse", "HEAD")
	s.commit("1.0.0")
	second := s.git("rev-parse", "HEAD")
	s.commit("1.1.0")
	released := &Released{Plan: &pipeline.Plan{Env: s.env()}}
	plan := func(o RollbackOptions) *pipeline.Plan {
		t.Helper()
		r, err := NewRollback(t.Context(), s.config, s.repo, released, o, nil)
		s.must(err)
		p, err := pipeline.NewPlan(t.Context(), r.Env, r.Phase)
		s.must(err)
		return p
	}
	resumed := func(began *pipeline.Plan) (*pipeline.Plan, RollbackOptions) {
		t.Helper()
		o, ok := RollbackAsked(began)
		if !ok {
			t.Fatal("this is no rollback")
		}
		return plan(o), o
	}
	o := RollbackOptions{Levels: []string{rollback.Hold}}
	none := plan(o)
	s.git("tag", "v0.9.0", first)
	older := plan(o)
	s.git("tag", "v1.0.0", second)
	for _, c := range []struct {
		began *pipeline.Plan
		to    string
	}{{none, ""}, {older, "0.9.0"}} {
		again, asked := resumed(c.began)
		if again.Digest != c.began.Digest || asked.To != c.to || asked.None != (c.to == "") {
			t.Errorf("%q: it goes on as another plan: %+v", c.to, asked)
		}
	}
	if got, _ := RollbackAsked(plan(o)); got.To != "1.0.0" || got.None {
		t.Errorf("a new one: %+v", got)
	}
	// Somebody says that there is none.
	o.To = NoOlder
	if said := plan(o); said.Digest != none.Digest {
		t.Error("it is another plan than that where none is known")
	}
	if r, err := NewRollback(t.Context(), s.config, s.repo, released, o, nil); err != nil || r.To != "" || r.Asked.To != NoOlder {
		t.Errorf("%+v, %v", r, err)
	}
}
