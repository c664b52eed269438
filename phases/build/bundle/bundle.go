// Package bundle lays out the tree of files that packages are made from: one tree for each bundle of release.yaml and
// each architecture, as it will lie below /usr. Only its top folder etc, which contents for /etc/... make, will be /etc.
//
// What goes where is worked out in full before the first byte is copied: files that are not there, two sources for one
// place and links that lead out all leave nothing behind but their error. Whether the tree holds what it must, and
// nothing that it must not, is for inspection to judge.
package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/pipeline"
)

// Artifact is the name of a bundle's tree.
func Artifact(name, goarch string) string { return "work/bundle/" + name + "/" + goarch }

// Etc is the top folder of a bundle's tree that packages have as /etc.
const Etc = "etc"

// InEtc reports whether a path of a bundle's tree is for /etc; all others are for /usr.
func InEtc(p string) bool { return p == Etc || strings.HasPrefix(p, Etc+"/") }

// StepID is the ID of a bundle's step.
func StepID(name, goarch string) string { return "build/bundle/" + name + "/" + goarch }

// Targets are the architectures of a bundle: its own, or those that its components share.
func (c Config) Targets(components map[string]component.Config) ([]string, error) {
	arches := c.Arch
	for _, name := range c.Components() {
		cc, ok := components[name]
		if !ok {
			return nil, fmt.Errorf("contents name component %q, which is not among the components", name)
		}
		switch has := cc.Targets(); {
		case arches == nil:
			arches = has
		case len(c.Arch) == 0 && !equal(arches, has):
			return nil, fmt.Errorf("its components are built for different architectures (%s has %s, others %s): say arch in the bundle",
				name, strings.Join(has, " "), strings.Join(arches, " "))
		default:
			for _, a := range arches {
				if !slices.Contains(has, a) {
					return nil, fmt.Errorf("arch %s: component %q is not built for it", a, name)
				}
			}
		}
	}
	if len(arches) == 0 {
		return nil, errors.New("it takes nothing from a component, so it must say arch itself")
	}
	return arches, nil
}

func equal(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// Steps plans one step for each architecture.
func Steps(name string, cfg Config, components map[string]component.Config) ([]pipeline.Step, error) {
	arches, err := cfg.Targets(components)
	if err != nil {
		return nil, fmt.Errorf("bundle %s: %w", name, err)
	}
	var steps []pipeline.Step
	for _, goarch := range arches {
		steps = append(steps, &step{name, goarch, cfg})
	}
	return steps, nil
}

type step struct {
	name, goarch string
	cfg          Config
}

func (s *step) Spec() pipeline.Spec {
	sp := pipeline.Spec{
		ID:      StepID(s.name, s.goarch),
		Effect:  pipeline.Local,
		Outputs: []string{Artifact(s.name, s.goarch)},
		Params:  map[string]string{},
	}
	if s.cfg.repository() {
		sp.Needs, sp.Inputs = append(sp.Needs, component.SourceStep), append(sp.Inputs, "artifact:"+component.Source)
	}
	for _, c := range s.cfg.Components() {
		sp.Needs = append(sp.Needs, component.StepID(c, s.goarch))
		sp.Inputs = append(sp.Inputs, "artifact:"+component.Artifact(c, s.goarch))
	}
	if b, err := json.Marshal(s.cfg.Contents); err == nil { // texts and numbers only: there is no error
		sp.Params["contents"] = string(b)
	}
	return sp
}

func (s *step) Run(ctx context.Context, ws *pipeline.Workspace) (_ pipeline.Receipt, err error) {
	l := layout{at: map[string]item{}}
	defer func() { err = errors.Join(err, l.close()) }()
	for i, c := range s.cfg.Contents {
		artifact := component.Source
		name, rel := c.component()
		if name != "" {
			artifact = component.Artifact(name, s.goarch)
		}
		var root *os.Root
		if c.Type != typeSymlink {
			_, dir, err := ws.Input(artifact)
			if err != nil {
				return nil, err
			}
			if root, err = l.open(dir); err != nil {
				return nil, err
			}
		}
		if err := l.add(c, root, rel); err != nil {
			return nil, fmt.Errorf("contents[%d]: %w", i, err)
		}
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	out, err := ws.Create(pipeline.Artifact{Name: Artifact(s.name, s.goarch), Kind: pipeline.KindTree, OS: "linux", Arch: s.goarch})
	if err != nil {
		return nil, err
	}
	return nil, l.copy(ctx, out, ws.Tick)
}

// check looks at the links of the whole layout. Packages have the files of [Etc] in /etc and all others in /usr, so a
// link from one to the other would lead elsewhere than it does in the bundle.
func (l *layout) check() error {
	if err := archive.CheckLinks(l.entries()); err != nil {
		return err
	}
	var etc, usr []archive.Entry
	for _, e := range l.entries() {
		if InEtc(e.Path) {
			etc = append(etc, e)
		} else {
			usr = append(usr, e)
		}
	}
	for i := range etc { // as if /etc were all there is
		etc[i].Path = strings.TrimPrefix(strings.TrimPrefix(etc[i].Path, Etc), "/")
	}
	if err := errors.Join(archive.CheckLinks(usr), archive.CheckLinks(etc)); err != nil {
		return fmt.Errorf("links cannot lead from /etc to /usr or back: %w", err)
	}
	return nil
}
