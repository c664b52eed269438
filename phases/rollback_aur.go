package phases

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/aur"
	"github.com/imrightguy/slipway/phases/aur/correction"
	"github.com/imrightguy/slipway/phases/aur/judge"
	"github.com/imrightguy/slipway/phases/aur/published"
	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/build"
	buildaur "github.com/imrightguy/slipway/phases/build/aur"
	"github.com/imrightguy/slipway/phases/build/checksum"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/phases/rollback"
	"github.com/imrightguy/slipway/pipeline"
)

// correctionOptions are what the AUR's level of a rollback is planned of.
type correctionOptions struct {
	Config     *Config
	Repository *Repository
	Env        pipeline.Env // of the release that is rolled back
	Released   *Released    // what it did; pushed lists its packages
	Without    []string     // packages that are left as they are
	Older      Version      // that users are brought back to
	OlderTag   string
	Payload    string // with the build number, where it is known; "": the older version's source of truth says it
	MadeFrom   string // see [RollbackOptions]; "": what is here decides
	Epoch      bool
}

// aurLevel is the AUR's level of a rollback, planned.
type aurLevel struct {
	// Before are the steps before gate/rollback: files fetched, PKGBUILDs made and judged.
	Before []pipeline.Step
	// First are those right behind the gate, which they need: pushes, and what reads them back.
	First []pipeline.Step
	// Moved look whether the AUR gives users the corrections: see [rollback.Options].
	Moved []pipeline.Step
	// Payload and MadeFrom are as they were found.
	Payload, MadeFrom string
	// Unlike has a sentence for each reason why packages are not made as the older version had them.
	Unlike []string
}

// instead is what can be done where the AUR cannot be brought back to the older version.
const instead = "instead: roll back to another version with --to, " + leaveAUR + ", or release the good state as the next version"

const leaveAUR = "leave the AUR as it is with --level github,git,hold (the release stays public then, with a notice, as long as the AUR's package downloads from it)"

// aurCorrection plans the AUR's level: each package that the release has published gets the older payload under a higher
// version, and is made as the older version's own release.yaml says, where that can be had. Where it is published, and by
// whom, is the bad release's.
func aurCorrection(ctx context.Context, o correctionOptions) (aurLevel, error) {
	today, err := aurConfigs(ctx, o.Config, o.Repository, &o.Env)
	if err != nil {
		return aurLevel{}, err
	}
	own, err := o.own(ctx)
	if err != nil {
		return aurLevel{}, err
	}
	r := remake{c: o.Config, repo: o.Repository, env: &o.Env}
	r.o = aur.Options{RepoDir: o.Repository.Root(), Author: o.Config.Version.Author, Judge: true, Phase: rollback.Name}
	unlike := map[string][]string{} // packages by reason
	for _, p := range o.Released.Pushed() {
		name := p.Package
		if slices.Contains(o.Without, name) {
			continue
		}
		of, known := today[name]
		if _, published := o.Config.AUR[name]; !known || !published {
			// The configuration is that of the release's own commit: editing release.yaml changes nothing.
			return aurLevel{}, fmt.Errorf("%[1]s came into the AUR with %[2]s, and the release.yaml that the release was made with does not know it: "+
				"correct it by hand in the AUR and roll back without it, --without %[1]s, or %[3]s; or release the good state as the next version", name, cmp.Or(p.By, "the release"), leaveAUR)
		}
		why := o.MadeFrom
		if own != nil {
			was, err := own.recipe(ctx, o.Repository, name)
			if ctx.Err() != nil {
				return aurLevel{}, ctx.Err()
			}
			if why = ""; err != nil {
				why = firstLine(err)
			} else {
				of = was
			}
		}
		if why == "" {
			err = r.correct(ctx, of, own, fmt.Sprintf("the release.yaml of %s, commit %s", o.OlderTag, o.MadeFrom), o)
		} else {
			unlike[why] = append(unlike[why], name)
			err = r.correct(ctx, of, nil, fmt.Sprintf("the release.yaml of %s, with its dependencies: %s", o.Env.Version, why), o)
		}
		if err != nil {
			return aurLevel{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	before, pushes, reads, err := aur.Steps(r.o, rollback.GateID)
	if err != nil {
		return aurLevel{}, err
	}
	out := aurLevel{Before: before, First: append(pushes, reads...), Payload: o.Payload, MadeFrom: o.MadeFrom}
	for _, why := range slices.Sorted(maps.Keys(unlike)) {
		out.Unlike = append(out.Unlike, fmt.Sprintf("aur as %s had it: %s; %s gets the older program with the dependencies, conflicts and install scriptlet of %s, which may not fit it",
			o.Older.Release(), why, strings.Join(unlike[why], " and "), o.Env.Version))
	}
	for i, pkg := range r.o.Packages { // reads are in their order
		look, err := o.Config.moved(o.Repository.Root(), o.Env.Version, correction.Moved{
			Package: subject.Package{Name: pkg.Name}, Does: "moved", Needs: []string{reads[i].Spec().ID},
			Instead: "somebody has put it back: push a PKGBUILD that needs other files, then run again",
		})
		if err != nil {
			return aurLevel{}, err
		}
		out.Moved = append(out.Moved, look)
	}
	return out, nil
}

// moved looks whether an AUR package downloads from the release of a version no more. Where Package has a name only, it is
// completed.
func (c *Config) moved(repoDir, version string, o correction.Moved) (pipeline.Step, error) {
	o, err := c.movedOf(repoDir, version, o)
	return correction.MovedStep(o), err
}

// movedOf completes what is looked for.
func (c *Config) movedOf(repoDir, version string, o correction.Moved) (correction.Moved, error) {
	tag, err := c.Release.Git.TagOf(version)
	if err != nil {
		return o, err
	}
	o.Package = c.AUR[o.Package.Name].Subject(o.Package.Name, aur.Options{RepoDir: repoDir, Author: c.Version.Author, Phase: rollback.Name})
	o.From = c.Release.GitHub.Page() + "/releases/download/" + tag + "/"
	return o, nil
}

// aurConfigs are the AUR packages of a release, by name.
func aurConfigs(ctx context.Context, c *Config, r *Repository, env *pipeline.Env) (map[string]buildaur.Config, error) {
	b, err := build.New(c.build(), r.Root())
	if err != nil {
		return nil, err
	}
	steps, err := b.Plan(ctx, env)
	if err != nil {
		return nil, err
	}
	out := map[string]buildaur.Config{}
	for _, s := range steps {
		if of, is := buildaur.Of(s); is {
			out[of.Name] = of
		}
	}
	return out, nil
}

// remake collects packages that are made anew of what is public already.
type remake struct {
	c    *Config
	repo *Repository
	env  *pipeline.Env
	o    aur.Options
	sums map[string]string // of released files, where they are known
}

// subject is a package as the steps of the phase see it.
func (r *remake) subject(name string) subject.Package {
	return r.c.AUR[name].Subject(name, r.o)
}

// correct adds a package with the older payload: as the older version had it, or, without its own, as the bad one has it.
// From says what it is made from.
func (r *remake) correct(ctx context.Context, of buildaur.Config, own *own, from string, o correctionOptions) error {
	bad, err := pkgbuild.PkgVer(r.env.Version, false)
	if err != nil {
		return err
	}
	good, err := pkgbuild.PkgVer(o.Payload, of.KeepBuild)
	if err != nil {
		return err
	}
	if !o.Epoch {
		if _, err := pkgbuild.Really(bad, good); err != nil {
			return fmt.Errorf("%w; --epoch outranks every version, for ever; %s", err, instead)
		}
	}
	if of, err = of.At(o.Payload); err != nil {
		return err
	}
	v := correction.Options{Package: r.subject(of.Name), Bad: bad, Good: good, Epoch: o.Epoch, Instead: instead}
	pkg := aur.Package{Payload: o.Payload, Config: r.c.AUR[of.Name]}
	render := buildaur.Render{Config: of, From: correction.StepID(v.Package), MadeFrom: from}
	if own != nil {
		pkg.Config, render.Release = own.judged(of.Name, pkg.Config), &own.release
	}
	if err := r.fetches(&pkg, &render, &v); err != nil {
		return err
	}
	pkg.Before = []pipeline.Step{correction.Step(v)}
	return r.add(ctx, pkg, render)
}

// again adds a package with the payload of its own version.
func (r *remake) again(ctx context.Context, of buildaur.Config) error {
	pkg, render := aur.Package{Config: r.c.AUR[of.Name]}, buildaur.Render{Config: of}
	if err := r.fetches(&pkg, &render, &correction.Options{}); err != nil {
		return err
	}
	return r.add(ctx, pkg, render)
}

// fetches plans the downloads that a package needs.
func (r *remake) fetches(pkg *aur.Package, render *buildaur.Render, v *correction.Options) error {
	for _, s := range render.Sources() {
		url, err := render.URLOf(cmp.Or(render.Release, r.env), s)
		if err != nil {
			return err
		}
		format, _, _ := strings.Cut(strings.TrimPrefix(s.Step, "build/"), "/")
		a := published.Asset{Phase: r.o.Phase, Artifact: s.Artifact, Kind: format, Arch: s.Arch, URL: url, SHA256: r.sums[s.Artifact], Instead: v.Instead, Sums: sumsIn}
		if r.sums != nil && a.SHA256 == "" {
			return fmt.Errorf("the release has not published %s, which the package installs: only a new release can", s.Artifact)
		}
		if !slices.ContainsFunc(r.o.Assets, func(b published.Asset) bool { return b.Artifact == a.Artifact }) {
			r.o.Assets = append(r.o.Assets, a)
		}
		id := a.StepID()
		render.Needs, v.Needs = append(render.Needs, id), append(v.Needs, id)
		pkg.Sources = append(pkg.Sources, judge.Source{Artifact: s.Artifact, Step: id})
		v.Sources = append(v.Sources, correction.Source{Artifact: s.Artifact, URL: url})
	}
	return nil
}

// sumsIn reads a SHA256SUMS.
func sumsIn(r io.Reader) (map[string]string, error) {
	list, err := checksum.Parse(r)
	out := map[string]string{}
	for _, s := range list {
		out[s.Name] = s.SHA256
	}
	return out, err
}

// add completes a package.
func (r *remake) add(ctx context.Context, pkg aur.Package, render buildaur.Render) (err error) {
	render.ID = r.o.RenderID(render.Name)
	if render.Install != "" {
		if render.Scriptlet, err = r.repo.File(cmp.Or(render.Release, r.env).Commit, render.Install); err != nil {
			return fmt.Errorf("install: %w", err)
		}
	}
	pkg.Name, pkg.Files = render.Name, render.Artifacts()
	if pkg.Render, err = buildaur.NewRender(ctx, render); err != nil {
		return err
	}
	r.o.Packages = append(r.o.Packages, pkg)
	return nil
}

// inAUR lists the packages that release.yaml publishes in the AUR, sorted.
func (c *Config) inAUR() []string { return slices.Sorted(maps.Keys(c.AUR)) }
