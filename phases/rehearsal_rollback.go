package phases

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/aur/judge"
	"github.com/imrightguy/slipway/phases/build"
	"github.com/imrightguy/slipway/phases/build/version"
	"github.com/imrightguy/slipway/phases/internal/carrier"
	"github.com/imrightguy/slipway/phases/internal/channel"
	"github.com/imrightguy/slipway/phases/internal/hold"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/phases/internal/rehearsal"
	"github.com/imrightguy/slipway/phases/internal/rehearsed"
	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/phases/release/gitflow"
	"github.com/imrightguy/slipway/phases/release/notes"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// Older is a version that a rehearsed rollback brings users back to, as it is released in the twins: with the
// release.yaml of today, of a commit that bears an annotated tag.
type Older struct {
	Version    Version
	Tag        string
	Config     *Config     // release.yaml for it: see [RehearsedOlder]
	Repository *Repository // that has the commit and the tag
	Commit     Commit
	Form       string // what is released, in words
	Made       bool   // the commit was made for the rehearsal
}

// OnlyInRehearsals is the role whose throw-away key waives and approves where release.yaml asks nobody.
const OnlyInRehearsals = "rehearsal"

// RehearsedConfig is the configuration that twins are staged and rolled back with: that of the release, and one more
// throw-away key. It is the older version's own as well, since in the twins that is released with it: see [RehearsedOlder].
func RehearsedConfig(c *Config) *Config {
	out := *c
	out.olderToo = true
	out.Approvers = maps.Clone(c.Approvers)
	if out.Approvers == nil {
		out.Approvers = map[string][]string{}
	}
	out.Approvers[OnlyInRehearsals] = nil
	out.Gates.Rollback = rehearsedGate(c.Gates.Rollback)
	return &out
}

// RehearsedOlder returns the older version in the forms in which it can be released, the truest first: the commit of its
// tag, then the tree that is released with the older number in its files, a commit beside main in a repository of its
// own in folder dir. To names the version; "" is the newest version tag older than it. Where there is no older tag it is
// the lowest version that there can be, and made.
//
// Its configuration is release.yaml with tag: existing. What belongs to another version or proves nothing of a rollback is
// left out: rehearsals, rules of channels, the changelog's section where the commit is made, and what [NotOfOlder] names;
// each gate has a role that can waive what the older commit cannot satisfy. Users build and install its packages all the
// same: see [Rehearsal.Install].
func RehearsedOlder(c *Config, r *Repository, base Commit, bad, to, dir string) ([]func(context.Context) (*Older, error), error) {
	if c.Release == nil {
		return nil, errors.New("there is no release to roll back: release.yaml publishes nothing")
	}
	v, err := ParseVersion(bad)
	if err != nil {
		return nil, err
	}
	form, err := repo.ParseTagForm(c.Release.Git.TagForm())
	if err != nil {
		return nil, err
	}
	older, tag, err := olderThan(c, r, bad, RollbackOptions{To: to})
	if err != nil {
		return nil, err
	}
	if older == nil {
		lowest, err := lowestBelow(v)
		if err != nil {
			return nil, err
		}
		older, tag = &lowest, form.Name(lowest)
	}
	tags, err := r.VersionTags(form, v)
	if err != nil {
		return nil, err
	}
	var forms []func(context.Context) (*Older, error)
	for _, t := range tags {
		if t.Name == tag && t.Annotated {
			forms = append(forms, func(context.Context) (*Older, error) { return olderTagged(c, r, t) })
		}
	}
	return append(forms, func(ctx context.Context) (*Older, error) {
		return olderMade(ctx, c, r, base, v, *older, tag, dir)
	}), nil
}

// lowestBelow is 0.0.1, or 0.0.0 where that is not below the version.
func lowestBelow(v Version) (Version, error) {
	for _, text := range []string{"0.0.1", "0.0.0"} {
		if low, err := ParseVersion(text); err == nil && low.Compare(v) < 0 && low.Release() != v.Release() {
			return low, nil
		}
	}
	return Version{}, fmt.Errorf("there is no version older than %s to go back to", v.Release())
}

// olderTagged is the older version as it was tagged.
func olderTagged(c *Config, r *Repository, t repo.VersionTag) (*Older, error) {
	o := &Older{Tag: t.Name, Config: olderConfig(c, false), Repository: r, Form: "the commit of its tag " + t.Name}
	var err error
	if o.Commit, err = r.Commit(t.Commit); err != nil {
		return nil, err
	}
	if o.Version, err = VersionAt(o.Config, r, t.Commit); err != nil {
		return nil, err
	}
	if o.Version.Release() != t.Version.Release() {
		return nil, fmt.Errorf("%s says %s at the tag %s", c.Version.Source, o.Version, t.Name)
	}
	return o, nil
}

// olderMade is the older version as the tree that is released, with another number in its files.
func olderMade(ctx context.Context, c *Config, r *Repository, base Commit, v, older Version, tag, dir string) (_ *Older, err error) {
	if older.Build == "" {
		older.Build = v.Build
	}
	o := &Older{Version: older, Tag: tag, Config: olderConfig(c, true), Made: true}
	o.Form = fmt.Sprintf("the tree of %s with version %s in its files, a commit made for the rehearsal", v.Release(), older.Release())
	contents := map[string][]byte{}
	write := func(file string, into func(string, []byte, Version, carrier.Stamp) ([]byte, error)) error {
		content, err := r.File(base.ID, file)
		if err == nil {
			contents[file], err = into(file, content, older, carrier.Stamp{})
		}
		return err
	}
	if c.Version.Source != version.Tag {
		if err := write(c.Version.Source, carrier.WriteSource); err != nil {
			return nil, err
		}
	}
	for _, file := range c.Version.Carriers {
		if err := write(file, carrier.Write); err != nil {
			return nil, err
		}
	}
	by, err := repo.ParsePerson(c.Version.Author)
	if err != nil {
		return nil, err
	}
	d, err := r.Draft(base.ID, contents, by, "Version "+older.Release()+", for a rehearsal\n")
	if err != nil {
		return nil, err
	}
	var pack bytes.Buffer // of a commit and a few small files
	if err := d.Pack(&pack); err != nil {
		return nil, err
	}
	person := fmt.Sprintf("%s <%s>", by.Name, by.Mail)
	if err := rehearsal.Beside(ctx, rehearsal.Aside{Dir: dir, Repository: r.Root(), Pack: &pack, Commit: d.ID, Tag: tag, Author: person, Time: d.Time}); err != nil {
		return nil, err
	}
	if o.Repository, err = repo.Open(dir); err != nil {
		return nil, err
	}
	o.Commit, err = o.Repository.Commit(d.ID)
	return o, err
}

// olderConfig is release.yaml for the older version.
func olderConfig(c *Config, made bool) *Config {
	out := *c
	release := *c.Release
	release.Git.Tag, release.Git.Branch, release.Git.MergeInto = gitflow.Existing, "", ""
	if made { // no document knows the version
		release.Notes = notes.Config{Exclude: release.Notes.Exclude, FirstParent: release.Notes.FirstParent}
	}
	out.Release = &release
	everywhere := channel.Rule{AUR: true, Latest: true}
	out.Channels = channel.Config{Prerelease: everywhere, OlderThanLatest: everywhere}
	out.Checks, out.Judges, out.unjudged = nil, nil, true
	out.Gates = Gates{Build: c.olderGate(c.Gates.Build), Release: c.olderGate(c.Gates.Release), Rollback: c.Gates.Rollback}
	if len(c.AUR) > 0 {
		out.Gates.AUR = c.olderGate(c.Gates.AUR)
	}
	return &out
}

// NotOfOlder says what is not asked of an older version in a rehearsal: it was asked when that version was released.
const NotOfOlder = "the project's own checks, the judges of its packages, and what people attest and approve"

// olderGate is a gate of the older version: slipway's own checks.
func (c *Config) olderGate(g *build.GateConfig) *build.GateConfig {
	out := rehearsedGate(g)
	out.Approve = OnlyInRehearsals
	out.Criteria = slices.DeleteFunc(out.Criteria, func(cr build.Criterion) bool {
		_, own := c.Checks[cr.Check]
		return own || cr.Attest != "" || slices.Contains(c.Judges, cr.Check) || slices.Contains(judge.Checks(), cr.Check)
	})
	return out
}

// rehearsedGate is a gate that somebody can waive things at, and which asks for no rehearsal.
func rehearsedGate(g *build.GateConfig) *build.GateConfig {
	out := build.GateConfig{}
	if g != nil {
		out = *g
	}
	out.Approve = cmp.Or(out.Approve, OnlyInRehearsals)
	out.Criteria = slices.DeleteFunc(slices.Clone(out.Criteria), func(cr build.Criterion) bool { return slices.Contains(rehearsed.Kinds, cr.Check) })
	return &out
}

// Install lets users install what the AUR's twin has by now, to be looked at later under that name.
func (r *Rehearsal) Install(ctx context.Context, name string) error {
	return r.world.Users().Install(ctx, name)
}

// The names of what users have installed, one after the other: see [Rehearsal.Install].
const (
	HadOlder = rehearsal.HadOlder
	HadBad   = rehearsal.HadBad
	HasBack  = rehearsal.HasBack
)

// A Correction is an AUR package that users are brought back by.
type Correction struct {
	Package string        `json:"package"`
	After   time.Duration `json:"after"` // from the pass of gate/rollback to when the AUR served it, in nanoseconds
}

// Corrections says how soon after gate/rollback the AUR's twin served each correction: the gate's pass as the rollback's
// journal has it, the push as the twin has it. Ahead is [Rehearsal.Ahead] from before the rollback, so that what the twin
// was to wait for during it counts. A correction that was never pushed is left out.
func (r *Rehearsal) Corrections(j pipeline.Journal, ahead time.Duration) (out []Correction, err error) {
	var passes []time.Time
	pushed := map[string]bool{}
	for rec, err := range j.Records() {
		if err != nil {
			return nil, err
		}
		if rec.Step == "gate/"+RollbackPhase && rec.Event == pipeline.Done {
			passes = append(passes, rec.Time)
		}
		name, is := pushedBy(rec.Step)
		pushed[name] = pushed[name] || is && rec.Event == pipeline.Done
	}
	for _, name := range slices.Sorted(maps.Keys(r.o.Config.AUR)) {
		at, served := r.world.Served(name)
		at = at.Add(-ahead)
		passes := slices.DeleteFunc(slices.Clone(passes), at.Before)
		if pushed[name] && served && len(passes) > 0 {
			out = append(out, Correction{name, at.Sub(passes[len(passes)-1])})
		}
	}
	return out, nil
}

// Ahead is how far the twins' clock is ahead of the system's.
func (r *Rehearsal) Ahead() time.Duration { return r.world.Ahead() }

// CameBack looks, as users of each kind would, at what a rollback has left: plan is that of the release that was rolled
// back. The second result are things that could not be looked at here.
func (r *Rehearsal) CameBack(ctx context.Context, plan *pipeline.Plan, older *Older, rolled *Rollback, dir string) (found []Arrival, notCovered []string, err error) {
	v, err := ParseVersion(plan.Env.Version)
	if err != nil {
		return nil, nil, err
	}
	next, err := v.Bump("patch")
	if err != nil {
		return nil, nil, err
	}
	want := rehearsal.Return{
		Older: older.Version.Release(), OlderTag: older.Tag, Bad: v.Release(), Deb: map[string]string{v.Release(): v.Deb(), older.Version.Release(): older.Version.Deb(), "next": next.Deb()},
		Withdrawn: slices.Contains(rolled.Levels, "github"), AUR: slices.Contains(rolled.Levels, "aur"),
	}
	if want.BadTag, err = r.o.Config.Release.Git.TagOf(v.String()); err != nil {
		return nil, nil, err
	}
	if want.Next, err = pkgbuild.PkgVer(next.Release(), false); err != nil {
		return nil, nil, err
	}
	for _, sp := range plan.Specs {
		want.HasDeb = want.HasDeb || strings.HasPrefix(sp.ID, "build/deb/")
	}
	found, notCovered, err = r.world.CameBack(ctx, want)
	if err == nil && slices.Contains(rolled.Levels, "hold") {
		var again Arrival
		again, err = r.again(ctx, plan.Env, filepath.Join(dir, "again"))
		found = append(found, again)
	}
	return found, notCovered, err
}

// again plans what stands before the version is published, and runs it.
func (r *Rehearsal) again(ctx context.Context, env pipeline.Env, dir string) (out Arrival, err error) {
	out = Arrival{What: "publishing " + env.Version + " again"}
	main := r.o.Config.mainline(r.o.Repository.Root(), env)
	plan, err := pipeline.NewPlan(ctx, env, onlyHeld{[]pipeline.Step{
		hold.Step(hold.CheckID, main, env.Version),
		pipeline.NewGate(gate.Gate{ID: "gate/" + Release, Title: "Release", Criteria: []gate.Criterion{{Title: hold.Check, Check: hold.Check}}}, hold.CheckID),
	}})
	if err != nil {
		return out, err
	}
	j, err := journal.Open(dir)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	o := pipeline.Options{Journal: j, Dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")}, Endpoints: r.Endpoints(plan.Digest)}
	ran := plan.Run(ctx, o)
	if _, stopped := errors.AsType[*pipeline.GateError](ran); !stopped {
		if ran == nil {
			ran = errors.New("gate/release lets it pass")
		}
		out.Found = ran.Error()
		return out, ctx.Err()
	}
	for rec, err := range j.Records() {
		if err != nil {
			return out, err
		}
		for _, e := range rec.Evidence {
			if e.Check == hold.Check && rec.Step == hold.CheckID {
				out.OK, out.Found = e.Verdict == gate.Fail, cmp.Or(e.Summary, e.Found)
			}
		}
	}
	return out, nil
}

// onlyHeld is the phase release up to its gate, of the step that looks for holds.
type onlyHeld struct{ steps []pipeline.Step }

// Name is the phase's name.
func (onlyHeld) Name() string { return Release }

// Plan is the steps.
func (p onlyHeld) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) { return p.steps, nil }
