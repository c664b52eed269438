// Package remote looks at an AUR repository before anything is pushed to it: whether pacman takes what is to be
// published for newer than what is there, what the push will change, and whether the account may push at all.
//
// In a rollback it has to be newer than all that runs of Slipway have published there, too: others may have put something
// lower on top of it, and users keep what they have. And a package that was deleted since is not made anew.
package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/imrightguy/slipway/phases/aur/history"
	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// The names of the evidence.
const (
	CheckNewer = "newer"
	CheckOwner = "owner"
)

// The keys of the receipt.
const (
	KeyTip = "tip" // the commit that the branch is at, or one of the two words below
)

// What the receipt says where there is no commit.
const (
	TipNone    = "none"    // the repository is empty
	TipUnknown = "unknown" // nobody could look
)

// StepID is the ID of a package's step in the phase aur.
func StepID(name string) string { return ID(subject.Package{Name: name}) }

// ID is the ID of a package's step.
func ID(p subject.Package) string { return p.StepID("remote") }

// Step returns the step that looks at a package's repository.
func Step(p subject.Package, needs ...string) pipeline.Step { return step{p, needs} }

type step struct {
	subject.Package
	needs []string
}

func (s step) Spec() pipeline.Spec {
	params := s.Where()
	if s.Account != "" {
		params["maintainer"] = s.Account
	}
	return pipeline.Spec{
		ID: ID(s.Package), Needs: append([]string{s.Step}, s.needs...), Inputs: s.Inputs(),
		Checks: []string{CheckNewer, CheckOwner}, Params: params,
	}
}

// gitTime is how long a look at a repository may take. One of the AUR has some kilobytes.
const gitTime = 5 * time.Minute

func (s step) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	e, err := endpoint.Of(ws)
	if err != nil {
		return nil, err
	}
	content, err := s.Read(ws)
	if err != nil {
		return nil, err
	}
	timed, cancel := context.WithTimeout(ctx, gitTime)
	defer cancel()
	access, err := s.Access(timed, e)
	tip := TipUnknown
	var r *git.Repository
	var at plumbing.Hash
	if err == nil {
		ws.Logf("asking %s as %s", s.Remote.URL, access.Identity)
		r, at, err = access.Clone(timed, subject.Branch)
	}
	newer := gate.Evidence{Expected: "newer for pacman than what is published", Summary: explain(err)}
	if err == nil {
		if tip = at.String(); at.IsZero() {
			tip = TipNone
		}
		newer = s.compare(r, at, content)
	}
	newer.Check, newer.Subjects = CheckNewer, content.Digests
	owner := s.owner(timed, e, access, content, at)
	owner.Check = CheckOwner
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	ws.Report(newer)
	ws.Report(owner)
	return pipeline.Receipt{KeyTip: tip}, nil
}

// explain says why nobody could look.
func explain(err error) string {
	if err == nil {
		return ""
	}
	return "cannot look at the AUR repository: " + err.Error()
}

// compare says whether the candidate is newer than what the tip has, and what the push will change.
func (s step) compare(r *git.Repository, tip plumbing.Hash, c *subject.Content) gate.Evidence {
	ev := gate.Evidence{Expected: "newer for pacman than what is published"}
	if c.Info == nil {
		ev.Verdict, ev.Found, ev.Summary = gate.Fail, "no version", c.Bad.Error()
		return ev
	}
	candidate := c.Info.Version()
	old, err := history.Files(r, tip)
	if err != nil {
		ev.Summary = explain(err)
		return ev
	}
	wanted := history.Wanted(c.Files)
	for path, size := range c.Large { // refused by the linter; here they are only shown
		wanted[path] = history.File{Size: size}
	}
	shown, err := history.Diff(old, wanted)
	if err != nil {
		ev.Summary = explain(err)
		return ev
	}
	if tip.IsZero() {
		ev.Verdict, ev.Found = gate.Pass, candidate+" into an empty repository"
		ev.Summary = fmt.Sprintf("%s is the first version\n%s", candidate, shown)
		return ev
	}
	there, more := same(old, wanted), ""
	if s.goesBack() {
		kept, note, err := outranks(r, tip, candidate, there)
		if err != nil {
			ev.Summary = explain(err)
			return ev
		}
		if kept != "" {
			ev.Verdict, ev.Found, ev.Summary = gate.Fail, kept, fmt.Sprintf("%s, and does not get %s; %s\n%s", kept, candidate, otherwise, shown)
			return ev
		}
		more = note
	}
	if there {
		ev.Verdict, ev.Found = gate.Pass, candidate+" is there already, file for file"
		ev.Summary = fmt.Sprintf("%s is published already, with the same files: there is nothing to push%s", candidate, more)
		return ev
	}
	published, err := s.published(old[".SRCINFO"])
	if err != nil {
		ev.Found = "the published version cannot be read at " + tip.String()
		ev.Summary = fmt.Sprintf("cannot tell the published version: %v; see commit %s", err, history.Describe(r, tip))
		return ev
	}
	ev.Found = fmt.Sprintf("%s over %s at %s", candidate, published.Version(), tip)
	if err := pkgbuild.Newer(c.Info, published); err != nil {
		ev.Verdict, ev.Summary = gate.Fail, fmt.Sprintf("%s\n%s", s.advice(err), shown)
		return ev
	}
	ev.Verdict = gate.Pass
	ev.Summary = fmt.Sprintf("%s is newer than %s, which is published%s\n%s", candidate, published.Version(), more, shown)
	return ev
}

func same(a, b map[string]history.File) bool {
	return maps.EqualFunc(a, b, func(x, y history.File) bool { return x.Hash == y.Hash && x.Mode == y.Mode })
}

// goesBack tells that this is no step of a release or of a republication: the one plan besides these that publishes a
// package is a rollback.
func (s step) goesBack() bool { return cmp.Or(s.Phase, subject.Phase) != subject.Phase }

// otherwise is what can be done in a rollback where a version is not newer.
const otherwise = "roll back to another version with --to, or with --epoch, which outranks every version, for ever"

// advice says why a candidate is not newer, and what to do. The version of a rollback is not release.yaml's.
func (s step) advice(err error) string {
	var e *pkgbuild.NotNewerError
	if s.goesBack() && errors.As(err, &e) {
		return fmt.Sprintf("%s is not newer for pacman than the published %s: %s; %s", e.Candidate, e.Published, e.Why, otherwise)
	}
	return fmt.Sprintf("%v, for package %s in release.yaml", err, s.Name)
}

// outranks says who does not get a candidate: those who have what a run of Slipway has published before the tip. Of those
// who have something of others' it is only noted: what the others have put on top of it does not reach them either.
// There tells that the candidate is what the tip has.
func outranks(r *git.Repository, tip plumbing.Hash, candidate string, there bool) (kept, note string, err error) {
	all, err := All(r, tip)
	if err != nil {
		return "", "", err
	}
	has := func(p Published) string {
		return fmt.Sprintf("who has %s of commit %.12s stays on it", p.Version, p.Commit)
	}
	before := func(p Published) bool { return p.Commit != tip } // the tip itself is compared field by field
	if p := Greatest(all, func(p Published) bool { return p.Ours && before(p) }); p != nil {
		if order := pkgbuild.Vercmp(candidate, p.String()); order < 0 || order == 0 && !there {
			return has(*p), "", nil
		}
	}
	if p := Greatest(all, before); p != nil && pkgbuild.Vercmp(candidate, p.String()) < 0 {
		note = "; " + has(*p) + ", which others have published and taken back"
	}
	return "", note, nil
}

// published reads a published .SRCINFO. Of one that others have written in ways that makepkg would not, only the version
// is read.
func (s step) published(f history.File) (*pkgbuild.SRCINFO, error) {
	if f.Size == 0 {
		return nil, errors.New("there is no .SRCINFO")
	}
	text, err := f.Text(subject.MaxFile)
	if err != nil {
		return nil, err
	}
	if info, err := pkgbuild.ParseSRCINFO(strings.NewReader(text)); err == nil && info.PkgBase == s.Name {
		return info, nil
	}
	v, err := ReadVersion(text)
	return v.info(s.Name), err
}

// ReadVersion reads the version in the base section of a .SRCINFO as leniently as the AUR does: of a field that is there
// twice the last value counts.
func ReadVersion(text string) (Version, error) {
	var v Version
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "pkgname":
			return v.checked()
		case "pkgver":
			v.PkgVer = value
		case "pkgrel":
			v.PkgRel = value
		case "epoch":
			v.Epoch = value
		}
	}
	return v.checked()
}
