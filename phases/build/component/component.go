// Package component makes the parts that packages are put together from: one tree of files for each component of
// release.yaml and each architecture.
//
// Everything is made from the checkout of the version commit, never from the folder that somebody works in, and nothing
// is written into that checkout. The Go builder runs the go program with an environment that is written out here and
// with all settings fixed that would reach the bytes, so that two builds of one commit are equal wherever they are made.
package component

import (
	"context"
	"fmt"
	"os"

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

// Steps plans one step for each architecture of the component. Fields are those of [Expand].
func Steps(name string, cfg Config, env *pipeline.Env) ([]pipeline.Step, error) {
	var steps []pipeline.Step
	for _, goarch := range cfg.Targets() {
		b, err := cfg.builder(env, goarch)
		if err != nil {
			return nil, fmt.Errorf("component %s: %w", name, err)
		}
		steps = append(steps, &step{name, goarch, b})
	}
	return steps, nil
}

// A builder fills an existing, empty folder.
type builder interface {
	params() map[string]string
	build(ctx context.Context, ws *pipeline.Workspace, source, out string) (pipeline.Receipt, error)
}

func (c Config) builder(env *pipeline.Env, goarch string) (builder, error) {
	expand := func(key, text string) (string, error) {
		text, err := Expand(text, env, goarch)
		if err != nil {
			return "", fmt.Errorf("%s: %w", key, err)
		}
		return text, nil
	}
	if c.Builder == Prebuilt {
		p, err := expand("path", c.Path)
		if err == nil {
			err = CheckSource(p)
		}
		return prebuilt{p, c.SHA256}, err
	}
	b := goBuilder{pkg: c.Package, tags: c.Tags, goarch: goarch}
	for _, f := range c.Ldflags {
		f, err := expand("ldflags", f)
		if err != nil {
			return nil, err
		}
		b.ldflags = append(b.ldflags, f)
	}
	return b, nil
}

type step struct {
	name, goarch string
	builder
}

func (s *step) Spec() pipeline.Spec {
	return pipeline.Spec{
		ID:      StepID(s.name, s.goarch),
		Needs:   []string{SourceStep},
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
