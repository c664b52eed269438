package phases

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/aur"
	"github.com/imrightguy/slipway/phases/aur/judge"
	"github.com/imrightguy/slipway/phases/aur/lint"
	"github.com/imrightguy/slipway/phases/aur/published"
	"github.com/imrightguy/slipway/phases/aur/remote"
	"github.com/imrightguy/slipway/phases/build"
	"github.com/imrightguy/slipway/phases/internal/channel"
	"github.com/imrightguy/slipway/phases/internal/gitsign"
	"github.com/imrightguy/slipway/phases/internal/hold"
	"github.com/imrightguy/slipway/phases/internal/mainline"
	"github.com/imrightguy/slipway/phases/internal/rehearsed"
	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/phases/release"
	"github.com/imrightguy/slipway/phases/release/gitflow"
	"github.com/imrightguy/slipway/phases/release/github"
	"github.com/imrightguy/slipway/phases/release/notes"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/templates"
)

// The phases' names.
const (
	First   = "build" // the one that reaches nobody
	Release = "release"
	AUR     = "aur"
)

// ErrElsewhere says that a release was carried on by another machine, or by a person, further than the journal knows.
var ErrElsewhere = github.ErrElsewhere

// outward is what the phases that others see are made of: the configuration, and the build phase, whose packages they
// publish and whose checks their gates may read.
type outward struct {
	c       *Config
	build   pipeline.Phase
	repoDir string
}

// releasePhase is the phase release.
type releasePhase struct{ outward }

// aurPhase is the phase aur.
type aurPhase struct{ outward }

var (
	_ pipeline.Phase = releasePhase{}
	_ pipeline.Phase = aurPhase{}
)

// Name is the phase's name.
func (releasePhase) Name() string { return Release }

// Name is the phase's name.
func (aurPhase) Name() string { return AUR }

// Plan is the phase for the packages that the build phase plans.
func (p releasePhase) Plan(ctx context.Context, env *pipeline.Env) ([]pipeline.Step, error) {
	o, err := p.options(ctx, env)
	if err != nil {
		return nil, err
	}
	var steps []pipeline.Step
	if kinds := p.c.rehearsals(); len(kinds) > 0 {
		steps = append(steps, rehearsed.Step(kinds, build.GateID))
	}
	main := p.c.mainline(p.repoDir, *env)
	if main.Name != "" {
		steps = append(steps, hold.Step(hold.CheckID, main, env.Version, build.GateID))
	}
	phase, err := release.New(*p.c.Release, o)
	if err != nil {
		return nil, err
	}
	rest, err := phase.Plan(ctx, env)
	return append(steps, guarded(rest, main, env.Version)...), err
}

// guarded puts a last look for a hold before each step that publishes: where a run stopped behind its gate, the version
// may have been held since.
func guarded(steps []pipeline.Step, main mainline.Branch, version string) []pipeline.Step {
	for i, s := range steps {
		id := s.Spec().ID
		if _, pushes := pushedBy(id); main.Name != "" && (pushes || id == github.PublishID) {
			steps[i] = unheld{s, main, version}
		}
	}
	return steps
}

// unheld is a step that looks for a hold right before it acts.
type unheld struct {
	pipeline.Step
	main    mainline.Branch
	version string
}

var _ pipeline.Prober = unheld{}

// Probe is the step's own.
func (s unheld) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	return s.Step.(pipeline.Prober).Probe(ctx, ws)
}

// Run refuses while the version is held.
func (s unheld) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	if err := hold.Refuse(ctx, ws, s.main, s.version); err != nil {
		return nil, fmt.Errorf("%w (%w)", err, pipeline.ErrUntouched)
	}
	return s.Step.Run(ctx, ws)
}

// options are what the build phase and the tags decide about the phase.
func (p releasePhase) options(ctx context.Context, env *pipeline.Env) (o release.Options, err error) {
	made, err := p.build.Plan(ctx, env)
	if err != nil {
		return o, err
	}
	d, err := decide(p.c, p.repoDir, env)
	if err != nil {
		return o, err
	}
	o = release.Options{
		RepoDir: p.repoDir, VersionSource: p.c.Version.Source, Author: p.c.Version.Author, Sign: p.c.Sign,
		Prerelease: d.Prerelease, Latest: d.Latest, Older: p.c.Channels.OlderThanLatest.Latest,
	}
	o.Needs, o.Checks = build.Reports(made)
	for _, s := range made {
		sp := s.Spec()
		for _, name := range sp.Outputs {
			if !strings.HasPrefix(name, "work/") && !strings.HasPrefix(name, "aur/") {
				o.Assets = append(o.Assets, release.Asset{Artifact: name, Step: sp.ID})
			}
		}
	}
	for _, pkg := range p.c.Packages {
		file := ""
		for _, a := range o.Assets {
			if strings.HasPrefix(a.Step, "build/"+pkg.Format+"/"+pkg.Name+"/") {
				file = a.Artifact
				break
			}
		}
		if pkg.Format == build.FormatAUR && (!d.AUR || !has(p.c.AUR, pkg.Name)) {
			continue
		}
		o.Packages = append(o.Packages, templates.NotesPackage{Format: pkg.Format, Name: pkg.Name, File: file})
	}
	if kinds := p.c.rehearsals(); len(kinds) > 0 {
		o.Needs, o.Checks = append(o.Needs, rehearsed.StepID), append(o.Checks, kinds...)
	}
	o.Gate = assemble(p.c.Gates.Release, Release, release.GateTitle, slices.Clone(o.Checks))
	if p.c.Release.Git.MergeInto != "" {
		o.Needs, o.Checks = append(o.Needs, hold.CheckID), append(o.Checks, hold.Check)
	}
	o.Needs = append(o.Needs, build.GateID)
	return o, nil
}

// Plan is the phase for the AUR packages that the build phase plans; nothing where the version is left out of the AUR.
func (p aurPhase) Plan(ctx context.Context, env *pipeline.Env) ([]pipeline.Step, error) {
	made, err := p.build.Plan(ctx, env)
	if err != nil {
		return nil, err
	}
	if d, err := decide(p.c, p.repoDir, env); err != nil || !d.AUR {
		return nil, err
	}
	o := aur.Options{Author: p.c.Version.Author, RepoDir: p.repoDir, Judge: !p.c.unjudged}
	o.Needs, o.Checks = build.Reports(made)
	o.Needs = append(o.Needs, "proof/"+Release)
	makers := map[string]string{} // by artifact
	for _, s := range made {
		sp := s.Spec()
		for _, name := range sp.Outputs {
			makers[name] = sp.ID
		}
		name, isAUR := strings.CutPrefix(sp.ID, "build/aur/")
		config, published := p.c.AUR[name]
		if !isAUR || !published {
			continue
		}
		pkg := aur.Package{Name: name, Config: config, Step: sp.ID, Files: sp.Outputs}
		for _, in := range sp.Inputs {
			if file, ok := strings.CutPrefix(in, "artifact:"); ok && !strings.HasPrefix(file, "work/") {
				pkg.Sources = append(pkg.Sources, judge.Source{Artifact: file, Step: makers[file]})
			}
		}
		o.Packages = append(o.Packages, pkg)
	}
	o.Gate = assemble(p.c.Gates.AUR, AUR, aur.GateTitle, slices.Clone(o.Checks))
	var steps []pipeline.Step
	main := p.c.mainline(p.repoDir, *env)
	if main.Name != "" {
		steps = append(steps, hold.Step(aurHoldID, main, env.Version, "proof/"+Release))
		o.Needs, o.Checks = append(o.Needs, aurHoldID), append(o.Checks, hold.Check)
	}
	phase, err := aur.New(o)
	if err != nil {
		return nil, err
	}
	rest, err := phase.Plan(ctx, env)
	return append(steps, guarded(rest, main, env.Version)...), err
}

// aurHoldID is the step that looks for a hold once more: between publishing and the AUR there may be days.
const aurHoldID = "aur/check/hold"

// Notes are the release notes of a plan, in Markdown, as the release phase makes them.
func Notes(ctx context.Context, c *Config, r *Repository, env pipeline.Env) (string, error) {
	b, err := build.New(c.build(), r.Root())
	if err != nil {
		return "", err
	}
	o, err := releasePhase{outward{c, b, r.Root()}}.options(ctx, &env)
	if err != nil {
		return "", err
	}
	return notes.Text(ctx, r, c.Release.Notes, c.Release.NotesOptions(o, env.Project), env.Version, env.Commit)
}

// assemble returns what makes a gate of the configuration: its criteria, and every check of the phase itself that they
// do not name. Earlier phases' checks are asked for by name only.
func assemble(g *build.GateConfig, phase, title string, earlier []string) func(checks []string) (gate.Gate, error) {
	return func(checks []string) (gate.Gate, error) {
		own := slices.DeleteFunc(slices.Clone(checks), func(name string) bool { return slices.Contains(earlier, name) })
		if g == nil || len(g.Criteria) == 0 {
			return g.Gate("gate/"+phase, title, own)
		}
		out, err := g.Gate("gate/"+phase, title, checks)
		for _, name := range own {
			if !slices.ContainsFunc(out.Criteria, func(c gate.Criterion) bool { return c.Check == name }) {
				out.Criteria = append(out.Criteria, gate.Criterion{Title: name, Check: name})
			}
		}
		if err != nil {
			err = fmt.Errorf("gates.%s: %w", phase, err)
		}
		return out, err
	}
}

// rehearsals are the kinds of rehearsals that gate release asks for.
func (c *Config) rehearsals() (kinds []string) {
	if c.Gates.Release == nil {
		return nil
	}
	for _, kind := range rehearsed.Kinds {
		if slices.ContainsFunc(c.Gates.Release.Criteria, func(cr build.Criterion) bool { return cr.Check == kind }) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// decide decides on channels by the version tags that were there when the base commit was made, so that those that come
// later, the release's own among them, do not make another plan of it.
func decide(c *Config, repoDir string, env *pipeline.Env) (channel.Decision, error) {
	r, err := repo.Open(repoDir)
	if err != nil {
		return channel.Decision{}, err
	}
	v, err := version.Parse(env.Version)
	if err != nil {
		return channel.Decision{}, err
	}
	form, err := repo.ParseTagForm(c.Release.Git.TagForm())
	if err != nil {
		return channel.Decision{}, err
	}
	tags, err := r.VersionTags(form, v)
	if err != nil {
		return channel.Decision{}, err
	}
	known := tags[:0]
	for _, t := range tags {
		if at, err := r.Commit(t.Commit); err == nil && !at.Time.After(env.Time) {
			known = append(known, t)
		}
	}
	return channel.Decide(c.Channels, env.Version, known)
}

// outward looks at the keys of the phases that others see.
func (v *validation) outward() {
	c := v.c
	if c.Release == nil {
		for _, x := range []struct {
			path string
			set  bool
		}{{"gates.release", c.Gates.Release != nil}, {"gates.aur", c.Gates.AUR != nil}, {"aur", len(c.AUR) > 0}, {"gates.rollback", c.Gates.Rollback != nil}} {
			if x.set {
				v.bad(x.path, "add release, or leave it out", "there is no release phase")
			}
		}
		return
	}
	v.add(c.Release.Validate())
	if s := c.Sign; s != nil {
		key := gitsign.Key{Format: s.Format, Key: s.Key, KeyFile: s.KeyFile, Passphrase: s.Passphrase}
		if err := key.Validate(); err != nil {
			v.bad("sign", "", "%v", err)
		}
	}
	page := c.Release.GitHub.Page() + "/"
	for i, p := range c.Packages {
		host, _, _ := strings.Cut(strings.TrimPrefix(page, "https://"), "/")
		if published := p.Format == build.FormatAUR && has(c.AUR, p.Name); published && strings.HasPrefix(p.URL, "https://"+host+"/") && !strings.HasPrefix(p.URL, page) {
			v.bad(fmt.Sprintf("packages[%d].url", i), "", "it is not in %s, where the release is published", page)
		}
	}
	if len(c.AUR) == 0 && c.Gates.AUR != nil {
		v.bad("gates.aur", "add aur, or leave it out", "there is no AUR phase")
	}
	var names []string
	for _, p := range c.Packages {
		if p.Format == build.FormatAUR {
			names = append(names, p.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.AUR)) {
		if !slices.Contains(names, name) {
			v.bad(join("aur", name), didYouMean(name, names), "there is no package %s of format aur", quote(name))
		}
		v.add(c.AUR[name].Validate(name))
		if strings.HasPrefix(c.AUR[name].Remote, "https://") {
			v.bad(join(join("aur", name), "remote"), "want ssh://aur@HOST/"+name+".git", "the AUR takes pushes over ssh alone, and over https the token for GitHub would be shown to it")
		}
	}
}

// aurChecks are the names of all checks that the AUR phase reports before its gate.
func aurChecks() []string {
	return append(judge.Checks(), hold.Check, published.Check, remote.CheckNewer, remote.CheckOwner, lint.Check)
}

// releaseChecks are the names of all checks that the release phase reports before its gate.
func releaseChecks() []string {
	return append([]string{hold.Check, notes.Check, gitflow.CheckGit, github.Ready, github.Assets}, rehearsed.Kinds...)
}

func has[V any](m map[string]V, key string) bool { _, ok := m[key]; return ok }
