// Package rollback is the phase that takes a published version back from its users, level by level, forward only:
// pacman does not go back by itself, a tag that others have fetched is never moved, and no branch is forced.
//
//	rollback/standing    the remotes still show what the release's journal says it did
//	rollback/older       the older release is public, with the bytes that its checksums name
//	gate/rollback
//	proof/rollback/aur   aur: no package downloads from the release any more
//	rollback/latest      github: the latest release is the older one
//	rollback/withdraw    github: back to a draft; where that cannot be, a prerelease with a notice
//	rollback/delete      github, only when asked for: the withdrawn release is deleted
//	rollback/revert      git: the files that the version commit changed are as before, in a commit of its own
//	rollback/tag         git, only when asked for: the tag is deleted
//	rollback/hold        hold: nothing publishes the version again; before latest where the release is still under way
//	rollback/outcome     all of it read back
//	proof/rollback
//
// Steps of the AUR's level come before the gate and right behind it ([Options].Before, First and Moved). Each step that
// cannot be taken back comes after the one before it. Users are moved first, the record is put right afterwards.
//
// A release whose files an AUR package still installs is not taken from the public: its users would get an error in the
// place of a program. It becomes a prerelease with a notice then ([Options].Keeps). The AUR is looked at right before that,
// and by rollback/outcome; what somebody pushes there later is not seen.
package rollback

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/hold"
	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/phases/internal/mainline"
	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// Name is the phase's name.
const Name = "rollback"

// The levels, in the order in which they are taken.
const (
	AUR    = "aur"
	GitHub = "github"
	Git    = "git"
	Hold   = "hold"
)

// Levels lists them.
var Levels = []string{AUR, GitHub, Git, Hold}

// NoOlder is what --to says where there is no older version.
const NoOlder = "none"

// The steps, and what those that look report.
const (
	StandingID = "rollback/standing"
	OlderID    = "rollback/older"
	GateID     = "gate/rollback"
	WithdrawID = "rollback/withdraw"
	LatestID   = "rollback/latest"
	DeleteID   = "rollback/delete"
	RevertID   = "rollback/revert"
	TagID      = "rollback/tag"
	HoldID     = "rollback/hold"
	OutcomeID  = "rollback/outcome"
	ProofID    = "proof/rollback"
	MovedID    = "proof/rollback/aur" // a proof, too: see [Options].Moved

	Standing  = "standing"          // of StandingID
	Older     = "older"             // of OlderID
	Withdrawn = "release-withdrawn" // this and those below of OutcomeID
	Latest    = "latest-older"
	Reverted  = "reverted"
	Untagged  = "tag-deleted"
	Held      = "held"

	GateTitle  = "Rollback"
	ProofTitle = "Rolled Back"
	MovedTitle = "Corrected in the AUR"
)

// Facts are what the journal of the release says it did. Empty ones: it did not.
type Facts struct {
	Run       string // the release's run: its marker
	ReleaseID int64  // on GitHub
	Latest    bool   // it became the latest release
	Tag       string // the tag's name
	TagObject string // hexadecimal
	TagOurs   bool   // the release made the tag; otherwise people did
	Commit    string // the version commit
	Merged    bool   // that was merged into the branch for certain
	// Assets are the names of the files that the release has uploaded.
	Assets []string
}

// Options say what is rolled back, and how.
type Options struct {
	Version string // that is rolled back
	Older   string // that users are brought back to; empty: none
	Facts   Facts
	// Owner, Repo and BaseURL say where on GitHub; Page is the repository's page, without https://.
	Owner, Repo, BaseURL, Page string
	OlderTag                   string
	Form                       repo.TagForm    // of tags of versions
	Branch                     mainline.Branch // that the release was merged into; no Name: none
	GitHub, Git, Hold          bool            // levels
	Delete, DeleteTag          bool
	HoldFirst                  bool              // the hold comes before the other levels: somebody may be publishing the version
	Reason                     string            // of the hold and the notice
	Asked                      map[string]string // what was asked for, to stand in the plan
	// Before are steps of the AUR's level that come before the gate, First those right behind it.
	Before, First []pipeline.Step
	// Moved are steps that look, behind First, whether AUR packages download from the release no more. What they report has
	// to pass before the release is taken from the public.
	Moved []pipeline.Step
	// Notes are what people have to know before they approve.
	Notes []string
	// Needed says in words which AUR packages download from the release at that moment, "" where none does. It is asked right
	// before the release is taken from the public, as days may have passed since Moved, and once more behind it. nil: those
	// of Keeps do.
	Needed func(context.Context, *pipeline.Workspace) (string, error)
	// Keeps are the AUR packages that are not corrected: as long as they download from the release it stays public.
	Keeps []string
	// Gate makes gate/rollback as release.yaml has it, given the checks that are reported.
	Gate func(checks []string) (gate.Gate, error)
	// Approval finds the approval of the gate, to stand in the hold; nil, or false: there is none.
	Approval func() (gate.Statement, bool)
}

// New returns the phase.
func New(o Options) (pipeline.Phase, error) {
	switch {
	case o.Gate == nil:
		return nil, errors.New("there is no gate before the rollback")
	case !o.GitHub && !o.Git && !o.Hold && len(o.First) == 0:
		return nil, errors.New("there is nothing to roll back")
	case o.GitHub && (o.Facts.ReleaseID == 0 || o.Facts.Run == "" || o.Facts.Tag == ""):
		return nil, errors.New("nobody says which release is withdrawn")
	case (o.Git || o.Hold) && o.Branch.Name == "":
		return nil, errors.New("nobody says on which branch")
	case o.Delete && !o.GitHub:
		return nil, errors.New("a release that is not withdrawn is not deleted: add level github")
	case o.Delete && len(o.Keeps) > 0:
		return nil, fmt.Errorf("%s, so it cannot be deleted: %s", o.needed(), o.unlessMoved())
	case o.DeleteTag && len(o.Keeps) > 0:
		return nil, fmt.Errorf("%s, and GitHub makes a draft of a release whose tag is deleted: %s", o.needed(), o.unlessMoved())
	case o.DeleteTag && o.Facts.ReleaseID != 0 && !o.GitHub:
		return nil, errors.New("GitHub makes a draft of a release whose tag is deleted, whoever needs its files: add level github, which looks at that first")
	case o.DeleteTag && o.Facts.TagObject == "":
		return nil, errors.New("the release has no tag to delete")
	case o.DeleteTag && !o.Facts.TagOurs:
		return nil, fmt.Errorf("tag %s was made by people, not by the release: they delete it, with git push --delete", o.Facts.Tag)
	case o.Hold || o.Reason != "":
		if err := hold.CheckReason(o.Reason); err != nil {
			return nil, fmt.Errorf("--reason: %w", err)
		}
	}
	return &phase{o}, nil
}

// needed says who needs a release that stays public.
func (o *Options) needed() string {
	return fmt.Sprintf("%s in the AUR downloads the files of release %s", strings.Join(o.Keeps, ", "), o.Facts.Tag)
}

// unlessMoved is what to do where something must not happen to a release that is needed.
func (o *Options) unlessMoved() string {
	return "roll back level aur with it, then nobody needs it; or leave --delete and --delete-tag out: it becomes a prerelease with a notice. " +
		"Where something newer has replaced the package already, delete it on its page at GitHub"
}

type phase struct{ o Options }

var _ pipeline.Phase = (*phase)(nil)

// Name is the phase's name.
func (*phase) Name() string { return Name }

// Plan lists the steps in the order of the package comment.
func (p *phase) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) {
	o := p.o
	steps := []pipeline.Step{standing{p, p.spec(StandingID, nil, o.Asked, Standing)}}
	if o.GitHub && o.OlderTag != "" {
		steps = append(steps, older{p, p.spec(OlderID, nil, map[string]string{"tag": o.OlderTag}, Older)})
	}
	steps = append(steps, o.Before...)
	var looked, checks []string
	for _, s := range steps {
		if sp := s.Spec(); len(sp.Checks) > 0 {
			looked, checks = append(looked, sp.ID), append(checks, sp.Checks...)
		}
	}
	slices.Sort(checks)
	g, err := o.Gate(slices.Compact(checks))
	if err != nil {
		return nil, err
	}
	g.ID = GateID
	steps = append(steps, pipeline.NewGate(g, looked...))
	steps = append(steps, o.First...)
	last, proofNeeds := GateID, []string(nil)
	var criteria []string
	for _, s := range o.First {
		sp := s.Spec()
		if sp.Effect == pipeline.Permanent {
			last = sp.ID
		} else if len(sp.Checks) > 0 {
			proofNeeds, criteria = append(proofNeeds, sp.ID), append(criteria, sp.Checks...)
		}
	}
	var outcome []string
	held := func() { // it is the same step in both places, so that a plan can still be amended when it is done
		steps = append(steps, hold.Set(hold.Options{ID: HoldID, Branch: o.Branch, Version: o.Version, Reason: o.Reason, Approval: o.Approval}, GateID))
		last, outcome = HoldID, append(outcome, Held)
	}
	if o.Hold && o.HoldFirst {
		held()
	}
	moved := []string{GateID} // what the next step needs beside the last
	if o.GitHub && len(o.Moved) > 0 {
		steps, moved = append(append(steps, o.Moved...), o.movedProof()), []string{GateID, MovedID}
	}
	add := func(make func(pipeline.Spec) pipeline.Step, id string, params map[string]string, target, check string) {
		sp := p.spec(id, unique(append(moved, last)...), params)
		sp.Effect, sp.Target, moved = pipeline.Permanent, target, []string{GateID}
		steps, last = append(steps, make(sp)), id
		if check != "" && !slices.Contains(outcome, check) {
			outcome = append(outcome, check)
		}
	}
	hubTarget := func(tag string) string { return o.Page + " release " + tag }
	if o.GitHub {
		// GitHub picks one by itself when the latest release is withdrawn, which may be a nightly one: so the older one is made
		// the latest before that.
		if o.Facts.Latest && o.OlderTag != "" {
			add(func(sp pipeline.Spec) pipeline.Step { return latest{p, sp} }, LatestID, map[string]string{"tag": o.OlderTag}, o.Page+" latest release "+o.OlderTag, Latest)
		}
		add(func(sp pipeline.Spec) pipeline.Step { return withdraw{p, sp} }, WithdrawID, o.withdrawal(), hubTarget(o.Facts.Tag), Withdrawn)
		if o.Delete {
			add(func(sp pipeline.Spec) pipeline.Step { return remove{p, sp} }, DeleteID, nil, hubTarget(o.Facts.Tag), Withdrawn)
		}
	}
	if o.Git {
		add(func(sp pipeline.Spec) pipeline.Step { return revert{p, sp} }, RevertID, o.Branch.Params(), o.Branch.Target(), Reverted)
	}
	if o.DeleteTag {
		add(func(sp pipeline.Spec) pipeline.Step { return untag{p, sp} }, TagID, map[string]string{"object": o.Facts.TagObject}, o.Branch.Remote.URL+" refs/tags/"+o.Facts.Tag, Untagged)
	}
	if o.Hold && !o.HoldFirst {
		held()
	}
	if len(outcome) > 0 {
		steps = append(steps, outcomeStep{p, p.spec(OutcomeID, []string{last}, nil, outcome...)})
		proofNeeds, criteria = append(proofNeeds, OutcomeID), append(criteria, outcome...)
	}
	if len(proofNeeds) == 0 {
		return nil, errors.New("nothing would show that the rollback worked")
	}
	return append(steps, pipeline.NewGate(proof(ProofID, ProofTitle, criteria), proofNeeds...)), nil
}

// proof is one that asks for checks.
func proof(id, title string, checks []string) gate.Gate {
	g := gate.Gate{ID: id, Title: title}
	for _, c := range unique(checks...) {
		g.Criteria = append(g.Criteria, gate.Criterion{Title: cmp.Or(proofTitles[c], c), Check: c})
	}
	return g
}

// movedProof asks for what the steps of Moved report.
func (o *Options) movedProof() pipeline.Step {
	var ids, checks []string
	for _, s := range o.Moved {
		sp := s.Spec()
		ids, checks = append(ids, sp.ID), append(checks, sp.Checks...)
	}
	return pipeline.NewGate(proof(MovedID, MovedTitle, checks), ids...)
}

// withdrawal are the parameters of the step rollback/withdraw.
func (o *Options) withdrawal() map[string]string {
	p := map[string]string{"notice": o.notice()}
	if len(o.Keeps) > 0 {
		p["stays public for"] = strings.Join(o.Keeps, ", ")
	}
	return p
}

// proofTitles are what people read: no more than what the checks have seen.
var proofTitles = map[string]string{
	"aur-moved": "No AUR package downloads from the release", // reported by what stands in Moved
	Withdrawn:   "The release is a draft or gone, or its page says that it is withdrawn",
	Latest:      "The latest release is neither that nor an older one than wanted",
	Reverted:    "The files that the release's own commit changed are on the branch as before it",
	Untagged:    "The tag is gone at the remote",
	Held:        "The branch holds the version",
}

func unique(ids ...string) []string {
	return slices.Compact(slices.Sorted(slices.Values(ids)))
}

// spec is what all steps have. The facts stand in each: a plan says which things it is about.
func (p *phase) spec(id string, needs []string, params map[string]string, checks ...string) pipeline.Spec {
	f, all := p.o.Facts, map[string]string{"rolls back": p.o.Version, "to": p.o.Older}
	if p.o.GitHub || p.o.DeleteTag {
		all["repository"] = p.o.Page
	}
	if f.ReleaseID != 0 {
		all["release"] = strconv.FormatInt(f.ReleaseID, 10)
	}
	for k, v := range map[string]string{"run": f.Run, "release tag": f.Tag, "tag object": f.TagObject, "commit": f.Commit} {
		if v != "" {
			all[k] = v
		}
	}
	maps.Copy(all, params)
	return pipeline.Spec{ID: id, Needs: needs, Params: all, Checks: checks}
}

// notice is what stands above the notes of a release that cannot be a draft again.
func (o *Options) notice() string {
	text := "> [!CAUTION]\n> " + o.Version + " has been withdrawn"
	if o.Older != "" {
		text += ": use " + o.Older
	}
	text += "."
	if o.Reason != "" {
		text += " " + strings.Map(func(r rune) rune {
			if strings.ContainsRune("<>[]`*_\\|&@#", r) || unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
				return ' '
			}
			return r
		}, o.Reason)
	}
	return text
}

// world is what a step acts with at GitHub.
type world struct {
	*hub.Client
	marker string // of the release's own run
}

func (p *phase) world(ws *pipeline.Workspace) (world, error) {
	e, err := endpoint.Of(ws)
	if err != nil {
		return world{}, err
	}
	c, err := e.Hub(p.o.Owner, p.o.Repo, p.o.BaseURL)
	return world{c, hub.Marker(p.o.Facts.Run)}, err
}

// find looks for the release by its id; gone where there is none. One that is not that of the tag any more is a conflict.
// Its marker does not matter: whoever has edited the notes has made no other release of it.
func (p *phase) find(ctx context.Context, w world) (rel hub.Release, gone bool, err error) {
	rel, err = w.Release(ctx, p.o.Facts.ReleaseID)
	if errors.Is(err, hub.ErrNotFound) {
		// GitHub says that too of a draft where the token may not push.
		a, err := w.Access(ctx)
		if err == nil && !a.Push {
			err = fmt.Errorf("the token may not push to %s, and so sees no drafts: %w", a.FullName, hub.ErrForbidden)
		}
		if err == nil {
			err = p.alone(ctx, w)
		}
		return rel, err == nil, err
	}
	if err != nil {
		return rel, false, fmt.Errorf("cannot look at release %s: %w", p.o.Facts.Tag, err)
	}
	if rel.Draft {
		if err := p.alone(ctx, w); err != nil {
			return rel, false, err
		}
	}
	if rel.Tag != p.o.Facts.Tag {
		return rel, false, &hub.ConflictError{
			What: fmt.Sprintf("the release that was published as %s belongs to tag %q now: somebody has made another one of it; put the tag back on its page, or leave level github out", p.o.Facts.Tag, rel.Tag),
			IDs:  []int64{rel.ID},
		}
	}
	return rel, false, nil
}

// alone is a conflict where the release is not public any more, and another one of its tag is: somebody has made it anew.
func (p *phase) alone(ctx context.Context, w world) error {
	other, err := w.ByTag(ctx, p.o.Facts.Tag)
	switch {
	case errors.Is(err, hub.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("cannot find out whether there is another release %s: %w", p.o.Facts.Tag, err)
	case other.ID == p.o.Facts.ReleaseID: // published again a moment ago
		return nil
	}
	return &hub.ConflictError{
		What: fmt.Sprintf("somebody has made release %s anew, and it is public (id %d): look at it and delete it on its page, or leave level github out", p.o.Facts.Tag, other.ID),
		IDs:  []int64{other.ID},
	}
}
