// Package component makes the parts that packages are put together from: one tree of files for each component of
// release.yaml and each architecture.
//
// Everything is made from the checkout of the version commit, never from the folder that somebody works in, and nothing
// is written into that checkout. Every program runs with an argument list, never through a shell, with an environment
// that is written out here, and with a time limit:
//
//	go        go build in the checkout, or go install of a module's package whose sum is known. All settings are fixed that
//	          would reach the bytes, so that two builds of one commit are equal wherever they are made.
//	flutter   flutter build linux in a private copy of the checkout; its bundle is the component.
//	command   a program of the project's own in a private copy of the checkout; the file or folder that it makes is the
//	          component. The copy has the commit's time on every file, and is thrown away.
//	prebuilt  a file or folder of the checkout, or a file from the web whose digest is known.
//
// A private copy keeps a program from writing into the checkout by accident. Nothing keeps one that runs with the rights
// of the user from doing so on purpose; the checkout is read again afterwards, and a change is an error.
package component

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline"
)

// What the steps of this package read: the checkout that step build/version makes.
const (
	Source     = "work/source"
	SourceStep = "build/version"
)

// Artifact is the name of the tree that a component's step makes.
func Artifact(name, goarch string) string { return "work/component/" + name + "/" + goarch }

// StepID is the ID of a component's step.
func StepID(name, goarch string) string { return "build/component/" + name + "/" + goarch }

// Steps plans one step for each architecture of the component. Fields are those of [Expand]. Needs are the IDs of steps
// that have to be done before, beside [SourceStep].
func Steps(name string, cfg Config, env *pipeline.Env, needs ...string) ([]pipeline.Step, error) {
	var steps []pipeline.Step
	for _, goarch := range cfg.Targets() {
		b, err := cfg.builder(env, goarch)
		if err != nil {
			return nil, fmt.Errorf("component %s: %w", name, err)
		}
		steps = append(steps, &step{name, goarch, b, needs})
	}
	return steps, nil
}

// A builder fills an existing, empty folder.
type builder interface {
	params() map[string]string
	build(ctx context.Context, ws *pipeline.Workspace, source, out string) (pipeline.Receipt, error)
}

// builder returns what makes the component, with all fields filled in.
func (c Config) builder(env *pipeline.Env, goarch string) (builder, error) {
	var errs []error
	expand := func(key, text string) string {
		text, err := Expand(text, env, goarch)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
		return text
	}
	all := func(key string, texts []string) (out []string) {
		for _, t := range texts {
			out = append(out, expand(key, t))
		}
		return out
	}
	var b builder
	switch c.Builder {
	case Prebuilt:
		if c.URL != "" {
			d := download{url: expand("url", c.URL), sha256: c.SHA256, timeout: c.Timeout.duration()}
			b, errs = d, append(errs, d.check())
			break
		}
		p := prebuilt{expand("path", c.Path), c.SHA256}
		b, errs = p, append(errs, CheckSource(p.path))
	case Flutter:
		v, err := version.Parse(env.Version)
		f := flutter{goarch: goarch, version: v, flags: all("flags", c.Flags), defines: all("dart_define", c.DartDefine), timeout: c.Timeout.duration()}
		b, errs = f, append(errs, err, f.check())
	case Command:
		m := command{argv: all("command", c.Command), output: expand("output", c.Output), env: map[string]string{}, pass: c.Pass, timeout: c.Timeout.duration()}
		for _, name := range slices.Sorted(maps.Keys(c.Env)) {
			m.env[name] = expand("env."+name, c.Env[name])
		}
		b, errs = m, append(errs, m.check()...)
	default:
		g := goBuilder{pkg: c.Package, sum: c.Sum, tags: c.Tags, ldflags: all("ldflags", c.Ldflags), goarch: goarch, timeout: c.Timeout.duration()}
		if c.Module != "" {
			g.pkg, g.module = c.Module, true
		}
		b = g
	}
	return b, errors.Join(errs...)
}

type step struct {
	name, goarch string
	builder
	needs []string
}

func (s *step) Spec() pipeline.Spec {
	return pipeline.Spec{
		ID:      StepID(s.name, s.goarch),
		Needs:   append([]string{SourceStep}, s.needs...),
		Effect:  pipeline.Local,
		Inputs:  []string{"artifact:" + Source},
		Outputs: []string{Artifact(s.name, s.goarch)},
		Params:  s.params(),
	}
}

func (s *step) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	_, source, err := ws.Input(Source)
	if err != nil {
		return nil, err
	}
	out, err := ws.Create(pipeline.Artifact{Name: Artifact(s.name, s.goarch), Kind: pipeline.KindTree, OS: "linux", Arch: s.goarch})
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		return nil, err
	}
	return s.build(ctx, ws, source, out)
}
