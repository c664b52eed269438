// Package judge lets the distributions' own tools judge what was built, one step for each tool and package.
//
//	lintian                 Debian packages: no tag of severity error or warning that the package does not override
//	dpkg                    Debian packages: installed into an empty root, verified, upgraded over themselves, removed,
//	                        purged; what is installed is what the package lists, and nothing is left
//	desktop-file-validate   bundles: desktop entries without errors; its warnings and hints are no fault
//	appstreamcli            bundles: AppStream metadata without errors and warnings; infos and pedantic hints are no fault
//	makepkg                 AUR packages: prints .SRCINFO as it was written, verifies the tarballs, builds the package
//	pacman                  AUR packages: what makepkg builds is installed into an empty root, verified, removed; it holds
//	                        the files of the bundle, and nothing is left
//
// A judge never fails a run, it reports evidence. What a tool refuses is fail, with the tool's own words. A tool that is
// missing, does not end in time or cannot be run in this place is unknown, with the reason.
//
// What is judged is not trusted. Texts of it never reach a shell; dpkg, makepkg and pacman run in a box of package
// sandbox, without root rights. A Debian package with maintainer scripts is refused before dpkg sees it.
//
// What is said here of the tools holds for lintian 2.116, dpkg 1.21, desktop-file-utils 0.26, AppStream 0.16, and makepkg
// and pacman 6.0.2.
package judge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/build/aur"
	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/deb"
	"github.com/imrightguy/slipway/phases/internal/check"
	"github.com/imrightguy/slipway/pipeline"
)

// The names of the judges, which are those of the tools, of the evidence, and of the entries of `judges:`.
const (
	Lintian   = "lintian"
	Dpkg      = "dpkg"
	Desktop   = "desktop-file-validate"
	AppStream = "appstreamcli"
	Makepkg   = "makepkg"
	Pacman    = "pacman"
)

// Subject is the kind of thing that a judge judges.
type Subject string

// The subjects, and what makes the step: [Deb], [Bundle], [AUR].
const (
	Debs    Subject = "deb"
	Bundles Subject = "bundle"
	AURs    Subject = "aur"
)

var known = []struct {
	name    string
	subject Subject
	tools   []string // programs that it needs
	open    []string // of these, those that are looked for in PATH rather than where the sandbox has them
}{
	{Lintian, Debs, []string{"lintian"}, []string{"lintian"}},
	{Dpkg, Debs, dpkgTools, nil},
	{Desktop, Bundles, []string{Desktop}, []string{Desktop}},
	{AppStream, Bundles, []string{AppStream}, []string{AppStream}},
	{Makepkg, AURs, makepkgTools, nil},
	{Pacman, AURs, append(slices.Clone(makepkgTools), "pacman"), nil},
}

// Known lists the names of all judges.
func Known() []string {
	var names []string
	for _, k := range known {
		names = append(names, k.name)
	}
	return names
}

// Of says what a judge judges; "" for a name that is not known.
func Of(name string) Subject {
	for _, k := range known {
		if k.name == name {
			return k.subject
		}
	}
	return ""
}

// Validate joins an error for each name of `judges:` that is not known or is there twice.
func Validate(names []string) error {
	var errs []error
	for i, name := range names {
		switch {
		case Of(name) == "":
			hint := ""
			if near := nearest(name); near != "" {
				hint = fmt.Sprintf(" (did you mean %q?)", near)
			}
			errs = append(errs, fmt.Errorf("unknown judge %q%s: there are %s", cut(name, 60), hint, strings.Join(Known(), ", ")))
		case slices.Contains(names[:i], name):
			errs = append(errs, fmt.Errorf("judge %q is listed twice", name))
		}
	}
	return errors.Join(errs...)
}

// nearest is the known name that shares the most pairs of letters with a word; "" where that is less than half of them.
func nearest(word string) string {
	best, most := "", 0.5
	for _, name := range Known() {
		a, b := pairs(strings.ToLower(word)), pairs(name)
		shared := 0
		for p, n := range a {
			shared += min(n, b[p])
		}
		if total := max(len(word)-1, 1) + len(name) - 1; float64(2*shared)/float64(total) >= most {
			best, most = name, float64(2*shared)/float64(total)
		}
	}
	return best
}

func pairs(s string) map[string]int {
	out := map[string]int{}
	for i := range len(s) - 1 {
		out[s[i:i+2]]++
	}
	return out
}

// StepID is the ID of the step in which a judge judges a package's file, NAME/ARCH of a bundle, or an AUR package.
func StepID(name, of string) string { return "build/judge/" + name + "/" + of }

// limit is how long a judge may take. A package of a hundred megabytes takes makepkg some ten seconds.
const limit = 20 * time.Minute

// judge is what the judges share. Look judges; an error means that it could not.
type judge struct {
	name  string
	limit time.Duration
	look  func(ctx context.Context, ws *pipeline.Workspace, r *report) error
}

func (j judge) Name() string { return j.name }

func (j judge) Check(ctx context.Context, ws *pipeline.Workspace) (pipeline.Evidence, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, j.limit, fmt.Errorf("it was not done after %v", j.limit))
	defer cancel()
	r := &report{subjects: map[string]string{}}
	err := j.look(ctx, ws, r)
	if ctx.Err() != nil {
		r.faults, r.total, err = nil, 0, context.Cause(ctx) // a tool that was killed may have said anything
	}
	return r.evidence(err)
}

func step(name, of string, needs, inputs []string, params map[string]string, look func(context.Context, *pipeline.Workspace, *report) error) pipeline.Step {
	for i := range inputs {
		inputs[i] = "artifact:" + inputs[i]
	}
	return check.Step(pipeline.Spec{ID: StepID(name, of), Needs: needs, Effect: pipeline.Local, Inputs: inputs, Params: params}, judge{name, limit, look})
}

// Deb returns the step in which [Lintian] or [Dpkg] judges a Debian package.
func Deb(name string, c deb.Config) pipeline.Step {
	look := map[string]func(context.Context, *pipeline.Workspace, *report) error{Lintian: debJudge{c}.lintian, Dpkg: debJudge{c}.dpkg}[name]
	params := map[string]string{"package": c.Name, "version": c.FullVersion()}
	return step(name, c.File(), []string{c.StepID()}, []string{c.File()}, params, or(look, name))
}

// Bundle returns the step in which [Desktop] or [AppStream] judges a bundle.
func Bundle(name, of, goarch string) pipeline.Step {
	artifact := bundle.Artifact(of, goarch)
	look := map[string]func(context.Context, *pipeline.Workspace, *report) error{Desktop: treeJudge{artifact}.desktop, AppStream: treeJudge{artifact}.appstream}[name]
	return step(name, of+"/"+goarch, []string{bundle.StepID(of, goarch)}, []string{artifact}, nil, or(look, name))
}

// AUR returns the step in which [Makepkg] or [Pacman] judges an AUR package. The tarballs of all its architectures are
// verified; the package is built for one of them, x86_64 where there is that, whatever this machine is: building it only
// unpacks the tarball, and so the evidence is the same everywhere.
func AUR(name string, c aur.Config) pipeline.Step {
	look := map[string]func(context.Context, *pipeline.Workspace, *report) error{Makepkg: aurJudge{c}.makepkg, Pacman: aurJudge{c}.pacman}[name]
	needs, inputs := []string{c.StepID()}, c.Artifacts()
	for _, s := range c.Sources() {
		needs, inputs = append(needs, s.Step), append(inputs, s.Artifact)
	}
	if name == Pacman && len(c.Sources()) > 0 {
		t := aurJudge{c}.target()
		needs, inputs = append(needs, bundle.StepID(t.Bundle, t.Arch)), append(inputs, bundle.Artifact(t.Bundle, t.Arch))
	}
	params := map[string]string{"package": c.Name, "version": c.Version, "pkgrel": c.PkgRel, "epoch": fmt.Sprint(c.Epoch)}
	return step(name, c.Name, needs, inputs, params, or(look, name))
}

// or stands in where a judge is asked for something that it does not judge.
func or(look func(context.Context, *pipeline.Workspace, *report) error, name string) func(context.Context, *pipeline.Workspace, *report) error {
	if look != nil {
		return look
	}
	return func(context.Context, *pipeline.Workspace, *report) error {
		return fmt.Errorf("%s does not judge this", name)
	}
}
