package phases

import (
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/rollback"
	"github.com/imrightguy/slipway/pipeline"
)

// TestRollback_Without: of two packages one cannot be pushed. The other one is corrected all the same, and the release stays
// public for the first one's users, with a notice.
func TestRollback_Without(t *testing.T) {
	t.Parallel()
	s := newShop(t, "", "demo-bin", "demo-deb-bin")
	s.release("1.0.0")
	bad := s.release("1.1.0")
	plan := func(o RollbackOptions) (*Rollback, *pipeline.Plan, error) {
		t.Helper()
		r, err := NewRollback(t.Context(), s.config, s.repo, bad, o, nil)
		if err != nil {
			return nil, nil, err
		}
		p, err := pipeline.NewPlan(t.Context(), r.Env, r.Phase)
		s.must(err)
		return r, p, nil
	}
	for want, o := range map[string]RollbackOptions{
		"--without other-bin: the release has no such package in the AUR, only demo-bin, demo-deb-bin": {Without: []string{"demo-bin", "other-bin"}},
		"leaves no package to correct: leave level aur out, with --level github,git,hold":              {Without: []string{"demo-deb-bin", "demo-bin"}},
		"--without belongs to level aur": {Without: []string{"demo-bin"}, Levels: []string{rollback.GitHub, rollback.Hold}},
		"so it cannot be deleted":        {Without: []string{"demo-bin"}, Delete: true},
	} {
		if _, _, err := plan(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	r, p, err := plan(RollbackOptions{Without: []string{"demo-deb-bin", "demo-deb-bin"}, Epoch: true})
	s.must(err)
	spec := func(id string) pipeline.Spec {
		i := slices.IndexFunc(p.Specs, func(sp pipeline.Spec) bool { return sp.ID == id })
		if i < 0 {
			return pipeline.Spec{}
		}
		return p.Specs[i]
	}
	if spec("rollback/push/demo-bin").ID == "" || spec("rollback/push/demo-deb-bin").ID != "" {
		t.Error("the wrong packages are corrected")
	}
	if spec(rollback.WithdrawID).Params["stays public for"] != "demo-deb-bin" || !slices.Equal(r.Keeps, []string{"demo-deb-bin"}) {
		t.Errorf("it stays public for %v", r.Keeps)
	}
	if !slices.Contains(r.LeftOut, "aur, demo-deb-bin: not asked for: its users stay on what the AUR has") {
		t.Errorf("left out %q", r.LeftOut)
	}
	if sees := spec(rollback.GateID).Params["criteria"]; !strings.Contains(sees, `"1.1.0 to 1.0.0, levels aur, github, git, hold, raising the epoch, without demo-deb-bin"`) {
		t.Errorf("who signs sees %s", sees)
	}
	asked, _ := RollbackAsked(p)
	if _, again, err := plan(asked); err != nil || again.Digest != p.Digest {
		t.Errorf("it goes on as another plan, without %v: %v", asked.Without, err)
	}
	// What it was begun without turns out never to have arrived.
	asked.Without = append(asked.Without, "gone-bin")
	if _, again, err := plan(asked); err != nil || again.Digest != p.Digest {
		t.Errorf("it cannot go on: %v", err)
	}

	r, _, err = plan(RollbackOptions{Without: []string{"demo-deb-bin"}})
	s.must(err)
	steps, err := r.Phase.Plan(t.Context(), &r.Env)
	s.must(err)
	if _, _, err := s.run(r.Env, "rollback-1", fixedPhase{rollback.Name, gated(withoutJudges(steps), rollback.GateID)}); err != nil {
		t.Fatal(err)
	}
	if one, two := s.shown("demo-bin"), s.shown("demo-deb-bin"); one != "1.1.0+really1.0.0-1" || two != "1.1.0-1" {
		t.Errorf("the AUR shows %s and %s", one, two)
	}
	c, err := s.world.Endpoints("x").Hub("acme", "demo", "")
	s.must(err)
	rel, err := c.ByTag(t.Context(), "v1.1.0")
	if err != nil || rel.Draft || !rel.Prerelease || !strings.Contains(rel.Body, "1.1.0 has been withdrawn: use 1.0.0") {
		t.Errorf("%+v, %v", rel, err)
	}
	if latest, err := c.Latest(t.Context()); err != nil || latest.Tag != "v1.0.0" {
		t.Errorf("the latest release is %s, %v", latest.Tag, err)
	}
}
