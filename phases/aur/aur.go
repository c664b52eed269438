// Package aur is the phase that publishes packages in the Arch User Repository, and proves before and after that users
// receive what was approved.
//
//	aur/published/NAME   every source is there for the public, with the bytes that the PKGBUILD wants
//	aur/remote/NAME      newer for pacman than what is published, and ours to push
//	aur/lint/NAME        the rules of the AUR's validators, and our own
//	aur/judge/NAME       Arch's own tools, in a sandbox
//	gate/aur
//	aur/push/NAME        one commit on the repository's real history
//	aur/readback/NAME    the branch, a fresh clone and the index
//	proof/aur
//
// Other plans have gates of their own around the same steps: see [Steps]. A republication ([Republish]) is the same with
// files that are made anew, for a release that is out already:
//
//	aur/fetch/FILE       a public file of the release, with the bytes that were published
//	aur/pkgbuild/NAME    PKGBUILD, .SRCINFO and LICENSE
package aur

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/imrightguy/slipway/phases/aur/judge"
	"github.com/imrightguy/slipway/phases/aur/lint"
	"github.com/imrightguy/slipway/phases/aur/published"
	"github.com/imrightguy/slipway/phases/aur/push"
	"github.com/imrightguy/slipway/phases/aur/readback"
	"github.com/imrightguy/slipway/phases/aur/remote"
	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// Name is the phase's name.
const Name = subject.Phase

// IDs and titles of the phase's gate and proof. A title of release.yaml counts more.
const (
	GateID     = "gate/" + Name
	GateTitle  = "Publication Quality"
	ProofID    = "proof/" + Name
	ProofTitle = "Published in the AUR"
)

// Options are what the phase is made of.
type Options struct {
	RepoDir  string // of the project, absolute: where known_hosts files lie
	Author   string // of the commits, "Name <address>"
	Packages []Package
	Needs    []string // steps that everything here comes after, and whose checks the gate may read
	Checks   []string // what these report
	Judge    bool     // plan aur/judge/NAME
	Phase    string   // what the steps' IDs begin with, and what follows gate/ and proof/; "": aur
	// Assets are the files that a republication's packages install; the steps that make its packages' files may need
	// [published.Asset.StepID] of them. Their Phase is filled in.
	Assets []published.Asset
	// Gate makes the gate, given the checks that its steps report.
	Gate func(checks []string) (gate.Gate, error)
}

// Package is one package to publish.
type Package struct {
	Name    string
	Config  Config
	Step    string         // the step that makes the Files
	Files   []string       // artifacts aur/NAME/...: all that is published
	Sources []judge.Source // packages of the release that it installs, and the steps that make them
	// Render makes the Files in a republication; its ID is that of [Options.RenderID]. Step is not said then.
	Render pipeline.Step
	// Before are steps that Render needs, beside those that fetch the assets.
	Before []pipeline.Step
	// Payload is the version of what is installed; "": the release's.
	Payload string
}

// RenderID is the ID of the step that makes a package's files in a republication.
func RenderID(name string) string { return Options{}.RenderID(name) }

// RenderID is the ID of the step that makes a package's files.
func (o Options) RenderID(name string) string {
	return subject.Package{Phase: o.Phase, Name: name}.StepID("pkgbuild")
}

func (o Options) phase() string { return cmp.Or(o.Phase, Name) }

// New returns the phase for packages whose files an earlier phase makes.
func New(o Options) (pipeline.Phase, error) {
	for _, p := range o.Packages {
		if p.Render != nil || p.Step == "" {
			return nil, fmt.Errorf("aur.%s: want the step of an earlier phase that makes its files", p.Name)
		}
	}
	if len(o.Assets) > 0 {
		return nil, errors.New("aur: only a republication fetches what is public already")
	}
	return newPhase(o)
}

// Republish returns the phase for packages whose files are made anew for a release that is out, such as for a raised
// pkgrel. It is a plan of its own, so nothing comes before it.
func Republish(o Options) (pipeline.Phase, error) {
	o, err := o.rendered()
	if err != nil {
		return nil, err
	}
	return newPhase(o)
}

// rendered makes the packages' Render their Step.
func (o Options) rendered() (Options, error) {
	o.Packages = slices.Clone(o.Packages)
	for i, p := range o.Packages {
		if p.Render == nil || p.Step != "" {
			return o, fmt.Errorf("aur.%s: its files are made by the plan itself", p.Name)
		}
		sp := p.Render.Spec()
		if id := o.RenderID(p.Name); sp.ID != id || sp.Effect != pipeline.Local || !slices.Equal(sp.Outputs, p.Files) {
			return o, fmt.Errorf("aur.%s: want a local step %s that makes %q, found %s that makes %q", p.Name, id, p.Files, sp.ID, sp.Outputs)
		}
		o.Packages[i].Step = sp.ID
	}
	return o, nil
}

func newPhase(o Options) (pipeline.Phase, error) {
	var errs []error
	if o.Gate == nil {
		errs = append(errs, errors.New("gates.aur: there is no gate"))
	}
	return &phase{o}, errors.Join(append(errs, o.check())...)
}

// check joins the faults of the packages.
func (o Options) check() error {
	var errs []error
	if len(o.Packages) == 0 {
		errs = append(errs, errors.New("aur: there is no package to publish"))
	}
	if _, err := repo.ParsePerson(o.Author); err != nil {
		errs = append(errs, fmt.Errorf("author: %w", err))
	}
	seen := map[string]bool{}
	for _, p := range o.Packages {
		if seen[p.Name] {
			errs = append(errs, fmt.Errorf("aur.%s: it is there twice", p.Name))
		}
		seen[p.Name] = true
		errs = append(errs, p.Config.Validate(p.Name), p.check())
	}
	return errors.Join(errs...)
}

// check refuses packages without which nothing could be published.
func (p Package) check() error {
	at := subject.Package{Name: p.Name}
	for _, file := range []string{"PKGBUILD", ".SRCINFO"} {
		if !slices.Contains(p.Files, "aur/"+p.Name+"/"+file) {
			return fmt.Errorf("aur.%s: nothing makes its %s", p.Name, file)
		}
	}
	for _, f := range p.Files {
		if at.File(f) == f {
			return fmt.Errorf("aur.%s: %q is not one of its files", p.Name, f)
		}
	}
	return nil
}

type phase struct{ o Options }

var _ pipeline.Phase = (*phase)(nil)

func (p *phase) Name() string { return p.o.phase() }

// Steps are those of packages whose files the plan makes itself, for a plan with a gate of its own: what comes before the
// gate, what publishes, one package after the other, and what reads back. The gate needs all that comes before it and
// reports checks.
func Steps(o Options, gateID string) (before, pushes, reads []pipeline.Step, err error) {
	if o, err = o.rendered(); err == nil {
		err = o.check()
	}
	if err != nil {
		return nil, nil, nil, err
	}
	return o.steps(gateID)
}

func (o Options) steps(gateID string) (before, pushes, reads []pipeline.Step, err error) {
	var renders, looks []pipeline.Step
	for _, a := range o.Assets {
		a.Phase = o.Phase
		before = append(before, published.Fetch(a))
	}
	var last []string // each push needs the one before it
	for _, pkg := range o.Packages {
		s := pkg.Config.Subject(pkg.Name, o)
		s.Step, s.Files = pkg.Step, pkg.Files
		if pkg.Render != nil {
			renders = append(append(renders, pkg.Before...), pkg.Render)
		}
		looks = append(looks, published.Step(s, o.Needs...), remote.Step(s, o.Needs...), lint.Step(s))
		if o.Judge {
			looks = append(looks, judge.Step(judge.Options{
				Phase: o.Phase, Name: pkg.Name, Files: pkg.Files, Sources: pkg.Sources, Needs: []string{pkg.Step, remote.ID(s)},
				Versions: pkg.Config.Versions, Start: pkg.Config.Start, Payload: pkg.Payload, Previous: previous(s),
			}))
		}
		pushed, err := push.Step(s, gateID, last...)
		if err != nil {
			return nil, nil, nil, err
		}
		if o.Phase != "" {
			last = []string{push.ID(s)}
		}
		pushes, reads = append(pushes, pushed), append(reads, readback.Step(s))
	}
	return slices.Concat(before, renders, looks), pushes, reads, nil
}

// Plan lists the steps in the order of the package comment.
func (p *phase) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) {
	gateID := "gate/" + p.o.phase()
	before, pushes, reads, err := p.o.steps(gateID)
	if err != nil {
		return nil, err
	}
	needs, checks := slices.Clone(p.o.Needs), slices.Clone(p.o.Checks)
	for _, s := range before {
		if sp := s.Spec(); len(sp.Checks) > 0 {
			needs, checks = append(needs, sp.ID), append(checks, sp.Checks...)
		}
	}
	slices.Sort(checks)
	g, err := p.o.Gate(slices.Compact(checks))
	if err != nil {
		return nil, fmt.Errorf("gates.aur: %w", err)
	}
	proof := gate.Gate{ID: "proof/" + p.o.phase(), Title: ProofTitle}
	for _, c := range readback.Checks {
		proof.Criteria = append(proof.Criteria, gate.Criterion{Title: c, Check: c})
	}
	var back []string
	for _, s := range reads {
		back = append(back, s.Spec().ID)
	}
	return slices.Concat(before, []pipeline.Step{pipeline.NewGate(g, needs...)}, pushes, reads, []pipeline.Step{pipeline.NewGate(proof, back...)}), nil
}
