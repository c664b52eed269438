package phases

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/imrightguy/slipway/phases/aur/correction"
	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/build"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/hold"
	"github.com/imrightguy/slipway/phases/internal/mainline"
	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/phases/rollback"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// RollbackPhase is the name of the phase that a rollback of a published version is.
const RollbackPhase = rollback.Name

// RollbackOutcome is the step of a rollback that reads back what it did.
const RollbackOutcome = rollback.OutcomeID

// RollbackHurts tells that a check of a rollback's proof is about what users get.
func RollbackHurts(check string) bool {
	return check == rollback.Withdrawn || check == rollback.Latest || strings.HasPrefix(check, "aur-")
}

// RollbackLooksAtAUR tells that a step looks whether the AUR gives users the correction, behind the push.
func RollbackLooksAtAUR(step string) bool {
	return strings.HasPrefix(step, rollback.Name+"/moved/") || strings.HasPrefix(step, rollback.Name+"/readback/")
}

// RollbackWithdraw is the step that takes the release from the public. The receipt has RollbackNeededBy where something
// downloads from it all the same.
const (
	RollbackWithdraw = rollback.WithdrawID
	RollbackNeededBy = rollback.NeededBy
)

// CheckHeld is the check of a rollback's proof that the version is held.
const CheckHeld = rollback.Held

// RollbackLevels lists what a rollback can take back, in the order in which it does.
var RollbackLevels = rollback.Levels

// RollbackOptions say what a rollback is asked for.
type RollbackOptions struct {
	// To is the version that users are brought back to; empty: the newest version tag older than it, without prereleases;
	// [NoOlder]: None.
	To        string
	Levels    []string // nil: all that the release has reached
	Without   []string // AUR packages that are not corrected
	Epoch     bool     // of AUR packages: raise the epoch
	Delete    bool     // the withdrawn release on GitHub
	DeleteTag bool
	Reason    string // empty: a sentence that names the versions
	// Tag and Payload are To's tag, and the version with the build number that its files carry, where they are known: a
	// rollback that has begun goes on with them, whatever tags this machine has.
	Tag, Payload string
	// MadeFrom is the commit whose release.yaml says how To's AUR packages are made, that of its tag; or, where there is none
	// or it cannot be used, a sentence that says why: then that of the release says it. A rollback that has begun goes on so.
	MadeFrom string
	// TakenBack are versions that users were taken back from themselves: without To they are passed over.
	TakenBack []string
	// Begun: a plan says so. A level that the release turned out not to have reached since is left out then.
	Begun bool
	// None: there is no older version, or none was known when the rollback began; none is looked for.
	None bool
}

// NoOlder is what [RollbackOptions].To says where there is no older version.
const NoOlder = rollback.NoOlder

// findOlder is what can be done where no older version is known.
func (o RollbackOptions) findOlder() string {
	switch {
	case o.None && o.Begun:
		return "it was begun so; name one with --to"
	case o.None:
		return "--to " + NoOlder + " says so; name one with --to"
	}
	return "git fetch --tags, or name one with --to"
}

// Rollback is the rollback of a published version, planned.
type Rollback struct {
	Env     pipeline.Env
	Phase   pipeline.Phase
	To      string // "" where there is no older version
	Page    string // of that version's release, for people
	Levels  []string
	LeftOut []string        // a sentence for each level that is not planned, or not as one would expect
	Keeps   []string        // AUR packages that go on downloading from the release, so that level github leaves it public
	Latest  bool            // level github makes To the latest release
	Asked   RollbackOptions // To is filled in, Reason is empty where nobody gave one
}

// NewRollback plans the rollback of a release, of which c is the configuration and released what its journal says.
// Approval finds the approval of gate/rollback for the hold; nil for none.
func NewRollback(ctx context.Context, c *Config, r *Repository, released *Released, o RollbackOptions, approval func() (gate.Statement, bool)) (*Rollback, error) {
	if c.Release == nil || released.Plan == nil {
		return nil, errors.New("there is no release to roll back: release.yaml publishes nothing")
	}
	if o.To == NoOlder {
		o.To, o.None = "", true
	}
	env := released.Plan.Env
	out := &Rollback{Env: env}
	var older *Version
	var tag string
	var err error
	if !o.None {
		if older, tag, err = olderThan(c, r, env.Version, o); err != nil {
			return nil, err
		}
	}
	if o.Tag != "" && older != nil {
		tag = o.Tag
	}
	if older != nil {
		out.To, out.Page = older.Release(), c.Release.GitHub.Page()+"/releases/tag/"+(&url.URL{Path: tag}).EscapedPath()
	}
	l := levels{c: c, released: released, asked: o.Levels, begun: o.Begun, findOlder: o.findOlder()}
	if err := l.take(&o, out.To); err != nil {
		return nil, err
	}
	o.Levels, o.Epoch = slices.DeleteFunc(slices.Clone(o.Levels), func(name string) bool { return !l.on[name] }), o.Epoch && l.on[rollback.AUR]
	facts, err := factsOf(c, released)
	if err != nil && l.on[rollback.GitHub] {
		return nil, err
	}
	if l.on[rollback.GitHub] && facts.Latest && older == nil {
		l.leftOut = append(l.leftOut, "latest: no older version is known here, so none becomes the latest release: "+l.findOlder)
	}
	why := reason(env.Version, out.To)
	if !l.on[rollback.AUR] && !l.on[rollback.GitHub] {
		why = env.Version + " was taken back" // no user was moved
	}
	o.Reason, o.Tag = cmp.Or(strings.TrimSpace(o.Reason), why), tag
	var level aurLevel
	if l.on[rollback.AUR] {
		level, err = aurCorrection(ctx, correctionOptions{
			Config: c, Repository: r, Env: env, Released: released, Without: o.Without, Older: *older, OlderTag: tag, Payload: o.Payload, MadeFrom: o.MadeFrom, Epoch: o.Epoch,
		})
		if err != nil {
			return nil, fmt.Errorf("level aur: %w", err)
		}
		o.Payload, o.MadeFrom = level.Payload, level.MadeFrom
		l.leftOut = append(l.leftOut, level.Unlike...)
	}
	ro, err := l.options(r, o, facts, out.To)
	if err != nil {
		return nil, err
	}
	ro.Approval = approval
	if l.on[rollback.AUR] {
		ro.Before, ro.First, ro.Moved, ro.Notes = level.Before, level.First, level.Moved, level.Unlike
	}
	if err := stillNeeded(c, r, l.keeps(o), &ro); err != nil {
		return nil, err
	}
	if err := stopsAUR(c, r, released, &ro); err != nil {
		return nil, err
	}
	if ro.Needed, err = neededBy(c, r, released, ro.Keeps, env.Version); err != nil {
		return nil, err
	}
	if out.Phase, err = rollback.New(ro); err != nil {
		return nil, err
	}
	for _, name := range rollback.Levels {
		if l.on[name] {
			out.Levels = append(out.Levels, name)
		}
	}
	out.LeftOut = l.leftOut
	if l.on[rollback.GitHub] {
		out.Keeps, out.Latest = ro.Keeps, facts.Latest && tag != ""
	}
	out.Asked = o
	if out.Asked.To = out.To; o.None {
		out.Asked.To = NoOlder
	}
	if o.Reason == why {
		out.Asked.Reason = ""
	}
	return out, nil
}

// stillNeeded says which of the packages that are not corrected go on downloading from the release. Those that another
// rollback has corrected are looked at before the gate.
func stillNeeded(c *Config, r *Repository, left []Pushed, o *rollback.Options) error {
	for _, p := range left {
		_, known := c.AUR[p.Package]
		if corrected := strings.HasPrefix(p.By, rollback.Name+"-") && p.Version != ""; !known || !corrected {
			o.Keeps = append(o.Keeps, p.Package)
			continue
		}
		look, err := c.moved(r.Root(), o.Version, correction.Moved{
			Package: subject.Package{Name: p.Package}, Does: "moved", Instead: "roll back level aur with it, or push a PKGBUILD that needs other files, then run again",
		})
		if err != nil {
			return err
		}
		if o.GitHub {
			o.Before = append(o.Before, look)
		}
	}
	return nil
}

// stopsAUR sees to it that a release which is on its way into the AUR does not arrive there after its files are gone: the
// hold, which its run looks for right before it pushes, comes first then, and the AUR is looked at before and after it.
func stopsAUR(c *Config, r *Repository, released *Released, o *rollback.Options) error {
	if !o.GitHub || len(o.Keeps) > 0 {
		return nil
	}
	pushed := released.pushed()
	for _, name := range c.inAUR() {
		if slices.Contains(pushed, name) {
			continue
		}
		under := slices.ContainsFunc(released.Plan.Specs, func(sp pipeline.Spec) bool { return sp.ID == AUR+"/push/"+name })
		if under && !o.Hold && o.Branch.Name != "" {
			return fmt.Errorf("the release is on its way into the AUR (%s), where a run of it would find no files: add level hold, which stops that; or let it arrive, and roll back then", name)
		}
		look := correction.Moved{
			Package: subject.Package{Name: name}, Does: "arrived",
			Instead: "another run has put it there: take its journal with slipway state load FILE and roll back with level aur, or leave level github out",
			Unknown: "where that cannot wait, --without " + name + " leaves the release public, with a notice",
		}
		before, err := c.moved(r.Root(), o.Version, look)
		if err != nil {
			return err
		}
		o.Before = append(o.Before, before)
		if under && o.Hold {
			o.HoldFirst = true
			look.Does, look.Needs = "moved", []string{rollback.HoldID}
			behind, err := c.moved(r.Root(), o.Version, look)
			if err != nil {
				return err
			}
			o.Moved = append(o.Moved, behind)
		}
	}
	return nil
}

// neededBy asks all AUR packages that a release has, or may have by now, what they download from it.
func neededBy(c *Config, r *Repository, released *Released, keeps []string, version string) (func(context.Context, *pipeline.Workspace) (string, error), error) {
	var all []correction.Moved
	var unknown []string
	for _, name := range unique(append(released.pushed(), c.inAUR()...)) {
		if !has(c.AUR, name) { // nobody knows where it is
			unknown = append(unknown, fmt.Sprintf("%s, which release.yaml does not know, came into the AUR with the release", name))
			continue
		}
		o, err := c.movedOf(r.Root(), version, correction.Moved{Package: subject.Package{Name: name}, Wide: slices.Contains(keeps, name)})
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return func(ctx context.Context, ws *pipeline.Workspace) (string, error) {
		by := slices.Clone(unknown)
		for _, o := range all {
			text, err := correction.Needed(ctx, ws, o)
			if err != nil {
				return "", err
			}
			if text != "" {
				by = append(by, text)
			}
		}
		return strings.Join(by, "; "), nil
	}, nil
}

// unique sorts names and drops what is there twice.
func unique(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }

func reason(bad, good string) string {
	if good == "" {
		return bad + " was withdrawn"
	}
	return bad + " was rolled back to " + good
}

// What a plan says of how it was asked for; "to" stands in every step.
const (
	askedLevels, askedWithout, askedEpoch, askedDelete, askedDeleteTag, askedReason = "asked level", "asked without", "asked epoch", "asked delete", "asked delete-tag", "reason"
	askedTag, askedPayload, askedFrom                                               = "older tag", "payload", "made from"
)

func (o RollbackOptions) params() map[string]string {
	p := map[string]string{askedReason: o.Reason}
	for key, value := range map[string]string{askedLevels: strings.Join(o.Levels, ","), askedWithout: strings.Join(o.Without, ","), askedTag: o.Tag, askedPayload: o.Payload, askedFrom: o.MadeFrom} {
		if value != "" {
			p[key] = value
		}
	}
	for key, on := range map[string]bool{askedEpoch: o.Epoch, askedDelete: o.Delete, askedDeleteTag: o.DeleteTag} {
		if on {
			p[key] = "yes"
		}
	}
	return p
}

// RollbackAsked reads out of a rollback's plan what it was asked for, so that it can be planned again; ok is false for
// another kind of plan.
func RollbackAsked(p *pipeline.Plan) (o RollbackOptions, ok bool) {
	i := slices.IndexFunc(p.Specs, func(sp pipeline.Spec) bool { return sp.ID == rollback.StandingID })
	if i < 0 {
		return o, false
	}
	params := p.Specs[i].Params
	o = RollbackOptions{
		To: params["to"], Epoch: params[askedEpoch] != "", Delete: params[askedDelete] != "", DeleteTag: params[askedDeleteTag] != "", Reason: params[askedReason],
		Tag: params[askedTag], Payload: params[askedPayload], MadeFrom: params[askedFrom], None: params["to"] == "", Begun: true,
	}
	for key, list := range map[string]*[]string{askedLevels: &o.Levels, askedWithout: &o.Without} {
		if text := params[key]; text != "" {
			*list = strings.Split(text, ",")
		}
	}
	return o, true
}

// olderThan finds the version that users are brought back to, and its tag. It is nil where there is none.
func olderThan(c *Config, r *Repository, bad string, o RollbackOptions) (*Version, string, error) {
	v, err := ParseVersion(bad)
	if err != nil {
		return nil, "", err
	}
	form, err := repo.ParseTagForm(c.Release.Git.TagForm())
	if err != nil {
		return nil, "", err
	}
	if o.To != "" {
		older, err := ParseVersion(strings.TrimPrefix(o.To, "v"))
		switch {
		case err != nil:
			return nil, "", fmt.Errorf("--to: %w", err)
		case older.Release() == v.Release() || older.Compare(v) >= 0:
			return nil, "", fmt.Errorf("--to %s: it is not older than %s; to bring users something newer, release it", older.Release(), v.Release())
		}
		return &older, form.Name(older), nil
	}
	tags, err := r.VersionTags(form, v)
	if err != nil {
		return nil, "", fmt.Errorf("%w; or say --to VERSION", err)
	}
	for _, t := range tags {
		if !t.Version.Prerelease() && t.Version.Compare(v) < 0 && !slices.Contains(o.TakenBack, t.Version.Release()) {
			return &t.Version, t.Name, nil
		}
	}
	return nil, "", nil
}

// factsOf takes what a rollback acts on from the journal of the release.
func factsOf(c *Config, released *Released) (f rollback.Facts, err error) {
	f = rollback.Facts{
		Run: released.Run, Latest: released.param("release/publish", "latest") == "true", TagObject: released.receipt("release/tag", "object"),
		TagOurs: released.receipt("release/tag", pipeline.Marker) == released.Run,
		Commit:  released.receipt("build/version", "commit"),
		Merged:  released.did("release/merge"),
	}
	for _, sp := range released.Plan.Specs {
		if name, ok := strings.CutPrefix(sp.ID, "release/asset/"); ok && released.Acted(sp.ID) {
			f.Assets = append(f.Assets, name)
		}
	}
	if f.Tag, err = c.Release.Git.TagOf(released.Plan.Env.Version); err != nil {
		return f, err
	}
	id, err := released.need("release/draft", "id")
	if err == nil {
		f.ReleaseID, err = strconv.ParseInt(id, 10, 64)
	}
	return f, err
}

// mainline is the branch that releases are merged into, and where holds lie. It has no name where there is none.
func (c *Config) mainline(repoDir string, env pipeline.Env) mainline.Branch {
	g := c.Release.Git
	remote := gitremote.Remote{URL: cmp.Or(g.Remote, c.Release.GitHub.Page()+".git"), KeyFile: g.KeyFile}
	if g.KnownHosts != "" {
		remote.KnownHosts = filepath.Join(repoDir, filepath.FromSlash(g.KnownHosts))
	}
	return mainline.Branch{Remote: remote, Name: g.MergeInto, RepoDir: repoDir, Base: env.Commit, Author: c.Version.Author, Time: env.Time, Sign: c.Sign}
}

// planned leaves out of a gate's criteria those that read a check of a level which is not planned.
func planned(g *build.GateConfig, checks []string) *build.GateConfig {
	if g == nil {
		return nil
	}
	known := append(aurChecks(), correction.CheckMoved, rollback.Standing, rollback.Older)
	out := *g
	out.Criteria = slices.DeleteFunc(slices.Clone(g.Criteria), func(cr build.Criterion) bool {
		return slices.Contains(known, cr.Check) && !slices.Contains(checks, cr.Check)
	})
	return &out
}

// Hold plans that a version is held, or let go: a plan of its own behind gate/hold. Approval finds the approval of that
// gate for the hold; nil for none.
func Hold(c *Config, r *Repository, env pipeline.Env, lift bool, reason string, approval func() (gate.Statement, bool)) (pipeline.Phase, error) {
	if c.Release == nil || c.Release.Git.MergeInto == "" {
		return nil, errors.New("holds are files on the branch of release.git.merge_into, and release.yaml names none")
	}
	if err := hold.CheckReason(reason); err != nil {
		return nil, err
	}
	role := ""
	if c.Gates.Rollback != nil {
		role = c.Gates.Rollback.Approve
	}
	return hold.Phase(hold.Options{Branch: c.mainline(r.Root(), env), Version: env.Version, Reason: reason, Approval: approval}, lift, role), nil
}

// HoldAsked reads out of a hold's plan what it was asked for; ok is false for another kind of plan.
func HoldAsked(p *pipeline.Plan) (lift bool, reason string, ok bool) {
	i := slices.IndexFunc(p.Specs, func(sp pipeline.Spec) bool { return sp.ID == hold.ChangeID })
	if i < 0 {
		return false, "", false
	}
	return p.Specs[i].Params["change"] == "lift", p.Specs[i].Params["reason"], true
}

// HoldPhase is the name of the phase that holds a version, or lets it go. Its step HoldStanding looks who does: where that
// could look, its receipt has HoldFile, which is empty where nobody does.
const (
	HoldPhase    = hold.Name
	HoldStanding = hold.StandingID
	HoldFile     = hold.KeyFile
)
