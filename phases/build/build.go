// Package build is the first phase of a release: from the version commit to finished, inspected packages and the gate
// that they must pass.
//
//	build/requirements                 the programs and the room on the disk that the build needs
//	build/version                      the version commit, and a clean checkout of it
//	build/component/NAME/ARCH          programs
//	build/bundle/NAME/ARCH             the tree of files that packages are made of, as below /usr
//	build/tarball/NAME/ARCH            NAME-VERSION-MACHINE.tar.gz
//	build/deb/NAME/ARCH                NAME_VERSION_ARCH.deb
//	build/appimage/NAME/ARCH           NAME-VERSION-MACHINE.AppImage, and its .zsync
//	build/aur/NAME                     aur/NAME/PKGBUILD, .SRCINFO and LICENSE
//	build/checksums                    SHA256SUMS and FILE.sha256
//	build/inspect/bundle/NAME/ARCH     what release.yaml asks of a bundle
//	build/inspect/FILE                 each package opened again: the same, and that it holds its bundle
//	build/check/NAME                   checks of the source texts, and programs that are run
//	build/judge/JUDGE/FILE             the distributions' own tools
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

	"github.com/imrightguy/slipway/phases/build/appimage"
	"github.com/imrightguy/slipway/phases/build/aur"
	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/checksum"
	"github.com/imrightguy/slipway/phases/build/command"
	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/build/deb"
	"github.com/imrightguy/slipway/phases/build/inspect"
	"github.com/imrightguy/slipway/phases/build/judge"
	"github.com/imrightguy/slipway/phases/build/requirement"
	"github.com/imrightguy/slipway/phases/build/source"
	"github.com/imrightguy/slipway/phases/build/tarball"
	stepversion "github.com/imrightguy/slipway/phases/build/version"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline"
)

// Name is the phase's name.
const Name = "build"

// GateID is the ID of the phase's gate, GateTitle its name where release.yaml gives it none.
const (
	GateID    = "gate/" + Name
	GateTitle = "Build Quality"
)

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
	var ready []string // what has to be done before anything is built
	if len(p.cfg.Requires) > 0 || p.cfg.Disk > 0 {
		steps, ready = append([]pipeline.Step{requirement.Step(p.cfg.Requires, p.cfg.Disk)}, steps...), []string{requirement.ID}
	}
	for _, name := range slices.Sorted(maps.Keys(p.cfg.Components)) {
		made, err := component.Steps(name, p.cfg.Components[name], env, ready...)
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
	if made, err = p.checks(ready); err != nil {
		return nil, err
	}
	steps = append(steps, made...)
	g, err := p.gate(steps)
	return append(steps, g), err
}

// checks plans the project's own checks.
func (p *phase) checks(ready []string) ([]pipeline.Step, error) {
	var steps []pipeline.Step
	for _, name := range slices.Sorted(maps.Keys(p.cfg.Checks)) {
		c := p.cfg.Checks[name]
		if !c.isCommand() {
			steps = append(steps, source.Step(name, c.Texts))
			continue
		}
		arches, err := p.cfg.archesOf(c)
		if err != nil {
			return nil, fmt.Errorf("checks.%s: %w", name, err)
		}
		steps = append(steps, command.Step(name, c.Run, arches, ready...))
	}
	return steps, nil
}

// packages plans the packages in the order of release.yaml, then their checksums, then the inspections, then the judges.
func (p *phase) packages(env *pipeline.Env, v version.Version) ([]pipeline.Step, error) {
	var steps, inspections, judges []pipeline.Step
	var files []checksum.Package
	judged := func(subject judge.Subject, step func(name string) pipeline.Step) {
		for _, name := range p.cfg.Judges {
			if judge.Of(name) == subject {
				judges = append(judges, step(name))
			}
		}
	}
	add := func(step, inspection pipeline.Step, made ...string) {
		steps, inspections = append(steps, step), append(inspections, inspection)
		for _, file := range made {
			files = append(files, checksum.Package{Artifact: file, Step: step.Spec().ID})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.cfg.Bundles)) {
		arches, err := p.cfg.Bundles[name].Targets(p.cfg.Components)
		if err != nil {
			return nil, err
		}
		for _, goarch := range arches {
			inspections = append(inspections, inspect.Bundle(name, goarch, p.cfg.Bundles[name]))
			judged(judge.Bundles, func(tool string) pipeline.Step { return judge.Bundle(tool, name, goarch) })
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
			judged(judge.AURs, func(tool string) pipeline.Step { return judge.AUR(tool, c) })
			continue
		}
		of := p.cfg.Bundles[pkg.Bundle]
		arches, err := of.Targets(p.cfg.Components)
		if err != nil {
			return nil, err
		}
		rules := inspect.Rules{Bundle: of, Size: pkg.Size}
		for _, goarch := range arches {
			switch pkg.Format {
			case FormatTarball:
				c := tarball.Config{Name: pkg.Name, Bundle: pkg.Bundle, Version: v.Release(), Arch: goarch}
				add(tarball.Step(c), inspect.Tarball(c, rules), c.File())
			case FormatDeb:
				c := pkg.deb()
				c.Version, c.Upstream, c.Arch = v.Release(), v.Deb(), goarch
				if err := c.Validate(); err != nil {
					return nil, fmt.Errorf("package %s: %w", pkg.Name, err)
				}
				add(deb.Step(c), inspect.Deb(c, rules), c.File())
				judged(judge.Debs, func(tool string) pipeline.Step { return judge.Deb(tool, c) })
			case FormatAppImage:
				c := pkg.appImage()
				c.Version, c.Arch = v.Release(), goarch
				if err := c.Validate(); err != nil {
					return nil, fmt.Errorf("package %s: %w", pkg.Name, err)
				}
				add(appimage.Step(c), inspect.AppImage(c, rules), c.Outputs()...)
			}
		}
	}
	steps = append(steps, last...)
	if len(files) > 0 {
		steps, inspections = append(steps, checksum.Step(files)), append(inspections, inspect.ChecksumFiles(files))
	}
	return slices.Concat(steps, inspections, lastInspections, judges), nil
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
		switch from.Format {
		case FormatTarball:
			c.Tarballs = append(c.Tarballs, tarball.Config{Name: from.Name, Bundle: from.Bundle, Version: v.Release(), Arch: goarch})
		case FormatDeb:
			of := from.deb()
			of.Version, of.Upstream, of.Arch = v.Release(), v.Deb(), goarch
			c.Debs = append(c.Debs, of)
		case FormatAppImage:
			of := from.appImage()
			of.Version, of.Arch = v.Release(), goarch
			c.AppImages = append(c.AppImages, of)
		}
	}
	if err := c.Validate(env); err != nil {
		return c, fmt.Errorf("package %s: %w", pkg.Name, err)
	}
	return c, nil
}

// gate reads all that reports a check.
func (p *phase) gate(steps []pipeline.Step) (pipeline.Step, error) {
	needs, _ := Reports(steps)
	g, err := p.cfg.Gate.Gate(GateID, GateTitle, p.cfg.Reported())
	if err != nil {
		return nil, fmt.Errorf("gates.build: %w", err)
	}
	return pipeline.NewGate(g, needs...), nil
}

// Reports lists the steps that report checks, and the names of these.
func Reports(steps []pipeline.Step) (ids []string, checks []string) {
	for _, s := range steps {
		if sp := s.Spec(); len(sp.Checks) > 0 {
			ids, checks = append(ids, sp.ID), append(checks, sp.Checks...)
		}
	}
	slices.Sort(checks)
	return ids, slices.Compact(checks)
}
