package phases

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/aur"
	"github.com/imrightguy/slipway/phases/aur/published"
	"github.com/imrightguy/slipway/phases/aur/push"
	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/build"
	buildaur "github.com/imrightguy/slipway/phases/build/aur"
	"github.com/imrightguy/slipway/phases/internal/hold"
	"github.com/imrightguy/slipway/phases/internal/mainline"
	"github.com/imrightguy/slipway/pipeline"
)

// PublishID is the step after which a release is public, so that its packages can be published in the AUR again.
const PublishID = "release/publish"

// Republication publishes packages in the AUR again, for a release that is out: a plan of its own, with a journal of its
// own. Its files are made of what the release has published.
type Republication struct {
	Env      pipeline.Env
	Phase    pipeline.Phase // nil where nothing has changed
	Packages []string       // that have changed, sorted
}

// NewRepublication plans a republication of the AUR packages that c, read from a release.yaml with that SHA-256, makes
// other than they were published. Base is the commit that scriptlets and approvers are taken from. Of is what the
// release's own journal says, before what the journals of earlier republications say, oldest first.
func NewRepublication(ctx context.Context, c *Config, r *Repository, base Commit, config string, of *Released, before ...*Released) (*Republication, error) {
	if of.Plan == nil || !of.did(PublishID) {
		return nil, errors.New("the release is not public yet: its packages are published in the AUR by its own run")
	}
	if d, err := decide(c, r.Root(), &of.Plan.Env); err != nil {
		return nil, err
	} else if !d.AUR {
		return nil, fmt.Errorf("version %s is left out of the AUR: channels in release.yaml says so", of.Plan.Env.Version)
	}
	env := of.Plan.Env
	env.Commit, env.Time, env.Config = base.ID, base.Time, config
	made, err := aurConfigs(ctx, c, r, &env)
	if err != nil {
		return nil, err
	}
	out := &Republication{Env: env}
	m := remake{c: c, repo: r, env: &out.Env, sums: of.artifacts()}
	m.o = aur.Options{RepoDir: r.Root(), Author: c.Version.Author, Judge: true}
	m.o.Gate = assemble(aurGate(c.Gates.AUR), AUR, aur.GateTitle, nil)
	main := c.mainline(r.Root(), env)
	if main.Name != "" {
		m.o.Needs, m.o.Checks = []string{aurHoldID}, []string{hold.Check}
	}
	for _, name := range c.inAUR() {
		if err := m.again(ctx, made[name]); err != nil {
			return nil, fmt.Errorf("package %s: %w", name, err)
		}
		last := len(m.o.Packages) - 1
		now := stateOf(m.o.Packages[last], m.subject(name))
		was, err := publishedState(r, name, of, before)
		if err != nil {
			return nil, err
		}
		if now == was {
			m.o.Packages = m.o.Packages[:last]
			continue
		}
		out.Packages = append(out.Packages, name)
	}
	if len(out.Packages) == 0 {
		return out, nil
	}
	m.o.Assets = slices.DeleteFunc(m.o.Assets, func(a published.Asset) bool { return !needs(m.o.Packages, a.StepID()) })
	if out.Phase, err = aur.Republish(m.o); err == nil && main.Name != "" {
		out.Phase = heldBack{out.Phase, main}
	}
	return out, err
}

// heldBack is a phase that publishes nothing of a version that is held.
type heldBack struct {
	pipeline.Phase
	main mainline.Branch
}

// Plan looks for a hold before all else, and right before each push.
func (p heldBack) Plan(ctx context.Context, env *pipeline.Env) ([]pipeline.Step, error) {
	steps, err := p.Phase.Plan(ctx, env)
	if err != nil {
		return nil, err
	}
	return append([]pipeline.Step{hold.Step(aurHoldID, p.main, env.Version)}, guarded(steps, p.main, env.Version)...), nil
}

func needs(packages []aur.Package, id string) bool {
	return slices.ContainsFunc(packages, func(p aur.Package) bool { return slices.Contains(p.Render.Spec().Needs, id) })
}

// aurGate leaves out of gate/aur the criteria that read checks of phases which a republication does not have: they were
// met when the release became public.
func aurGate(g *build.GateConfig) *build.GateConfig {
	if g == nil {
		return nil
	}
	out := *g
	out.Criteria = slices.DeleteFunc(slices.Clone(g.Criteria), func(cr build.Criterion) bool {
		return cr.Check != "" && !slices.Contains(aurChecks(), cr.Check)
	})
	return &out
}

// state is all that decides what users get of a package, and where.
type state struct{ config, scriptlet, remote string }

func stateOf(p aur.Package, s subject.Package) state {
	params := p.Render.Spec().Params
	return state{params["config"], params["scriptlet"], s.Where()["remote"]}
}

// publishedState is the state in which a package was published last; zero where it was not.
func publishedState(r *Repository, name string, of *Released, before []*Released) (s state, err error) {
	at := subject.Package{Name: name}
	for _, j := range slices.Backward(before) {
		if j.Plan != nil && j.did(push.ID(at)) {
			id := aur.RenderID(name)
			return state{j.param(id, "config"), j.param(id, "scriptlet"), j.param(push.ID(at), "remote")}, nil
		}
	}
	if !of.did(push.ID(at)) {
		return state{}, nil
	}
	id := "build/aur/" + name
	s = state{config: of.param(id, "config"), remote: of.param(push.ID(at), "remote")}
	path, err := buildaur.InstallOf(s.config)
	if err != nil || path == "" {
		return s, err
	}
	text, err := r.File(of.Plan.Env.Commit, path)
	sum := sha256.Sum256(text)
	s.scriptlet = hex.EncodeToString(sum[:])
	return s, err
}

// did reports whether a step is done.
func (r *Released) did(step string) bool { _, done := r.Done[step]; return done }

// artifacts are the SHA-256 of what the release's steps have made, by name.
func (r *Released) artifacts() map[string]string {
	out := map[string]string{}
	for _, sp := range r.Plan.Specs {
		for _, a := range r.Done[sp.ID].Artifacts {
			if !strings.HasPrefix(a.Name, "work/") && !strings.HasPrefix(a.Name, "aur/") {
				out[a.Name] = a.SHA256
			}
		}
	}
	return out
}

// BeyondAUR names the keys of release.yaml in which two configurations differ, those left out that a republication in the
// AUR may change: aur, and packages of format aur.
func (c *Config) BeyondAUR(old *Config) (keys []string) {
	a, b := c.withoutAUR(), old.withoutAUR()
	for i := range a.NumField() {
		f := a.Type().Field(i)
		if key, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); key != "" && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			keys = append(keys, key)
		}
	}
	return keys
}

func (c *Config) withoutAUR() reflect.Value {
	out := *c
	out.AUR = nil
	out.Packages = slices.DeleteFunc(slices.Clone(c.Packages), func(p build.Package) bool { return p.Format == build.FormatAUR })
	return reflect.ValueOf(out)
}
