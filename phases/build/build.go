// Package build is the first phase of a release: from the version commit to finished, inspected packages and the gate
// that they must pass.
//
//	build/version                      the version commit, and a clean checkout of it
//	build/component/NAME/ARCH          programs
//	build/bundle/NAME/ARCH             the tree of files that packages are made of, as below /usr
//	build/tarball/NAME/ARCH            NAME-VERSION-MACHINE.tar.gz
//	build/deb/NAME/ARCH                NAME_VERSION_ARCH.deb
//	build/aur/NAME                     aur/NAME/PKGBUILD, .SRCINFO and LICENSE
//	build/checksums                    SHA256SUMS and FILE.sha256
//	build/inspect/FILE                 each of them opened again: checks contents, checksums, aur
//	gate/build
//
// Nothing here reaches beyond this machine.
package build

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/imrightguy/slipway/phases/build/aur"
	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/checksum"
	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/build/deb"
	"github.com/imrightguy/slipway/phases/build/inspect"
	"github.com/imrightguy/slipway/phases/build/tarball"
	stepversion "github.com/imrightguy/slipway/phases/build/version"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline"
)

// Name is the phase's name.
const Name = "build"

// GateID is the ID of the phase's gate.
const GateID = "gate/" + Name

// New returns the phase for the repository in repoDir, an absolute path. The error joins one for each fault of the
// configuration.
func New(cfg Config, repoDir string) (pipeline.Phase, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &phase{cfg, func(env *pipeline.Env) ([]pipeline.Step, error) { return stepversion.Steps(cfg.Version, env, repoDir) }}, nil
}

type phase struct {
	cfg    Config
	source func(*pipeline.Env) ([]pipeline.Step, error) // makes the checkout that all is built from
}

var _ pipeline.Phase = (*phase)(nil)

func (*phase) Name() string { return Name }

// Plan lists the steps in the order of the package comment.
func (p *phase) Plan(_ context.Context, env *pipeline.Env) ([]pipeline.Step, error) {
	v, err := version.Parse(env.Version)
	if err != nil {
		return nil, err
	}
	if env.Time.IsZero() {
		return nil, errors.New("the base commit has no time, which is the time in every package")
	}
	steps, err := p.source(env)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(p.cfg.Components)) {
		made, err := component.Steps(name, p.cfg.Components[name], env)
		if err != nil {
			return nil, err
		}
		steps = append(steps, made...)
	}
	for _, name := range slices.Sorted(maps.Keys(p.cfg.Bundles)) {
		made, err := bundle.Steps(name, p.cfg.Bundles[name], p.cfg.Components)
		if err != nil {
			return nil, err
		}
		steps = append(steps, made...)
	}
	made, err := p.packages(env, v)
	if err != nil {
		return nil, err
	}
	steps = append(steps, made...)
	g, err := p.gate(steps)
	return append(steps, g), err
}

// packages plans the packages in the order of release.yaml, then their checksums, then the inspections.
func (p *phase) packages(env *pipeline.Env, v version.Version) ([]pipeline.Step, error) {
	var steps, inspections []pipeline.Step
	var files []checksum.Package
	add := func(step, inspection pipeline.Step, file string) {
		steps, inspections = append(steps, step), append(inspections, inspection)
		if file != "" {
			files = append(files, checksum.Package{Artifact: file, Step: step.Spec().ID})
		}
	}
	var last, lastInspections []pipeline.Step // AUR packages, which are made of the others
	for _, pkg := range p.cfg.Packages {
		if pkg.Format == FormatAUR {
			c, err := p.aur(env, v, pkg)
			if err != nil {
				return nil, err
			}
			last, lastInspections = append(last, aur.Step(c)), append(lastInspections, inspect.AURFiles(c))
			continue
		}
		arches, err := p.cfg.Bundles[pkg.Bundle].Targets(p.cfg.Components)
		if err != nil {
			return nil, err
		}
		for _, goarch := range arches {
			if pkg.Format == FormatDeb {
				c := pkg.deb()
				c.Version, c.Upstream, c.Arch = v.Release(), v.Deb(), goarch
				if err := c.Validate(); err != nil {
					return nil, fmt.Errorf("package %s: %w", pkg.Name, err)
				}
				add(deb.Step(c), inspect.Deb(c), c.File())
				continue
			}
			c := tarball.Config{Name: pkg.Name, Bundle: pkg.Bundle, Version: v.Release(), Arch: goarch}
			add(tarball.Step(c), inspect.Tarball(c), c.File())
		}
	}
	steps = append(steps, last...)
	if len(files) > 0 {
		steps, inspections = append(steps, checksum.Step(files)), append(inspections, inspect.ChecksumFiles(files))
	}
	return slices.Concat(steps, inspections, lastInspections), nil
}

func (p *phase) aur(env *pipeline.Env, v version.Version, pkg Package) (aur.Config, error) {
	c := pkg.aur()
	c.Version, c.Project = v.String(), env.Project
	from, err := p.cfg.from(pkg)
	if err != nil {
		return c, fmt.Errorf("package %s: %w", pkg.Name, err)
	}
	arches, err := p.cfg.Bundles[from.Bundle].Targets(p.cfg.Components)
	if err != nil {
		return c, err
	}
	for _, goarch := range arches {
		c.Tarballs = append(c.Tarballs, tarball.Config{Name: from.Name, Bundle: from.Bundle, Version: v.Release(), Arch: goarch})
	}
	if err := c.Validate(env); err != nil {
		return c, fmt.Errorf("package %s: %w", pkg.Name, err)
	}
	return c, nil
}

// gate reads all that reports a check.
func (p *phase) gate(steps []pipeline.Step) (pipeline.Step, error) {
	var needs, checks []string
	for _, s := range steps {
		sp := s.Spec()
		if len(sp.Checks) == 0 {
			continue
		}
		needs = append(needs, sp.ID)
		for _, c := range sp.Checks {
			if !slices.Contains(checks, c) {
				checks = append(checks, c)
			}
		}
	}
	g, err := p.cfg.Gate.Gate(GateID, "Build Quality", checks)
	if err != nil {
		return nil, fmt.Errorf("gates.build: %w", err)
	}
	return pipeline.NewGate(g, needs...), nil
}
