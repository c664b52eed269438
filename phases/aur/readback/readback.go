// Package readback looks at the AUR as users do after a push: the branch has the commit, a fresh clone has at that commit
// the files that were approved, and the index shows the version. The index follows pushes late; what it does not show in
// time is unknown, neither a failure nor a success.
//
// The AUR takes commits on top of ours from co-maintainers, and from later runs, and takes nothing back. So these are
// told, and do not undo the proof: what was approved has been published. The index then shows what they have made of it,
// which may be newer.
package readback

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/imrightguy/slipway/phases/aur/history"
	"github.com/imrightguy/slipway/phases/aur/push"
	"github.com/imrightguy/slipway/phases/aur/remote"
	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// The names of the evidence.
const (
	CheckRef   = "aur-ref"
	CheckClone = "aur-clone"
	CheckRPC   = "aur-rpc"
)

// Checks lists them.
var Checks = []string{CheckRef, CheckClone, CheckRPC}

// StepID is the ID of a package's step in the phase aur.
func StepID(name string) string { return ID(subject.Package{Name: name}) }

// ID is the ID of a package's step.
func ID(p subject.Package) string { return p.StepID("readback") }

// Step returns the step that reads a package back.
func Step(p subject.Package) pipeline.Step { return step{p} }

type step struct{ subject.Package }

func (s step) Spec() pipeline.Spec {
	return pipeline.Spec{
		ID: ID(s.Package), Needs: []string{push.ID(s.Package), s.Step}, Checks: Checks, Params: s.Where(),
		Inputs: append(s.Inputs(), "receipt:"+push.ID(s.Package)+"."+push.KeyCommit),
	}
}

const (
	gitTime = 5 * time.Minute
	// The index is asked after so long, then after twice as long, up to the second.
	firstPause, longestPause = 2 * time.Second, 30 * time.Second
)

func (s step) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	e, err := endpoint.Of(ws)
	if err != nil {
		return nil, err
	}
	content, err := s.Read(ws)
	if err != nil {
		return nil, err
	}
	if content.Info == nil {
		return nil, content.Bad
	}
	commit, err := ws.Receipt(push.ID(s.Package), push.KeyCommit)
	if err != nil {
		return nil, err
	}
	seen := s.git(ctx, e, commit, content)
	rpc := s.index(ctx, e, ws, content, seen)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for i, ev := range []gate.Evidence{seen.ref, seen.clone, rpc} {
		ev.Check, ev.Subjects = Checks[i], content.Digests
		ws.Report(ev)
	}
	return nil, nil
}

// seen is what the repository shows.
type seen struct {
	ref, clone gate.Evidence
	above      bool   // others have committed on top of ours
	offers     string // the version that they have put there, where it can be read
}

// git looks at the branch, by a clone of its own.
func (s step) git(ctx context.Context, e *endpoint.Endpoints, commit string, c *subject.Content) seen {
	ctx, cancel := context.WithTimeout(ctx, gitTime)
	defer cancel()
	out := seen{
		ref:   gate.Evidence{Expected: subject.Ref + " has " + commit},
		clone: gate.Evidence{Expected: "a fresh clone has the approved files, and no others"},
	}
	access, err := s.Access(ctx, e)
	var r *git.Repository
	var tip plumbing.Hash
	if err == nil {
		r, tip, err = access.Clone(ctx, subject.Branch)
	}
	if err != nil {
		out.ref.Summary = "cannot read the branch back: " + err.Error()
		out.clone.Summary = "cannot clone: " + err.Error()
		return out
	}
	out.look(r, tip, plumbing.NewHash(commit), history.Wanted(c.Files))
	return out
}

// look judges a clone. What stands on top of the commit is told in the summaries alone, so that the findings hold still.
func (s *seen) look(r *git.Repository, tip, commit plumbing.Hash, wanted map[string]history.File) {
	n, has, err := history.Above(r, tip, commit)
	at := tip
	switch {
	case err != nil:
		s.ref.Summary = "cannot read the branch back: " + err.Error()
	case has:
		at, s.above = commit, n > 0
		s.ref.Verdict, s.ref.Found = gate.Pass, s.ref.Expected
		s.ref.Summary = fmt.Sprintf("%s is %s", subject.Ref, commit)
		if s.above {
			if p, err := remote.At(r, tip); err == nil {
				s.offers = p.String()
			}
			s.ref.Summary = fmt.Sprintf("%s has %s, and %s of others on top of it, the newest %s", subject.Ref, commit, commits(n), history.Describe(r, tip))
		}
	case tip.IsZero():
		s.ref.Verdict, s.ref.Found, s.ref.Summary = gate.Fail, "no branch", subject.Ref+" is not there"
	default:
		s.ref.Verdict, s.ref.Found = gate.Fail, fmt.Sprintf("%s is %s", subject.Ref, tip)
		s.ref.Summary = fmt.Sprintf("%s is %s, and does not have %s in its history: somebody has taken that off the branch", subject.Ref, history.Describe(r, tip), commit)
	}
	there, err := history.Files(r, at)
	if err != nil {
		s.clone.Summary = "cannot read the clone: " + err.Error()
		return
	}
	if differ := differences(wanted, there); len(differ) > 0 {
		s.clone.Verdict, s.clone.Found = gate.Fail, strings.Join(differ, ", ")
		s.clone.Summary = "a fresh clone differs from what was approved: " + s.clone.Found
		return
	}
	s.clone.Verdict, s.clone.Found = gate.Pass, s.clone.Expected
	s.clone.Summary = fmt.Sprintf("a fresh clone has the %d approved files", len(wanted))
	if !s.above {
		return
	}
	s.clone.Summary += fmt.Sprintf(" at commit %.12s", commit)
	if now, err := history.Files(r, tip); err != nil {
		s.clone.Summary += "; what stands on top of it cannot be read: " + err.Error()
	} else if differ := differences(wanted, now); len(differ) > 0 {
		s.clone.Summary += "; what stands on top of it differs: " + strings.Join(differ, ", ")
	}
}

func commits(n int) string {
	if n == 1 {
		return "1 commit"
	}
	return fmt.Sprintf("%d commits", n)
}

// differences names the files that are not the same in both.
func differences(wanted, there map[string]history.File) (names []string) {
	paths := slices.Concat(slices.Collect(maps.Keys(wanted)), slices.Collect(maps.Keys(there)))
	slices.Sort(paths)
	for _, path := range slices.Compact(paths) {
		a, want := wanted[path]
		b, has := there[path]
		switch {
		case !has:
			names = append(names, fmt.Sprintf("%q is missing", path))
		case !want:
			names = append(names, fmt.Sprintf("%q is too many", path))
		case a.Hash != b.Hash || a.Mode != b.Mode:
			names = append(names, fmt.Sprintf("%q is another one", path))
		}
	}
	return names
}

// errLate says that the index does not show the version yet.
var errLate = errors.New("not shown yet")

// index waits until the index shows the version of every package, for as long as the run has patience. Where others have
// committed on top of ours it may be a newer one, since it shows what they have made of it; an older one of theirs is not
// waited for.
func (s step) index(ctx context.Context, e *endpoint.Endpoints, ws *pipeline.Workspace, c *subject.Content, branch seen) gate.Evidence {
	want := c.Info.Version()
	ev := gate.Evidence{Expected: "the AUR shows " + want}
	if branch.above {
		ev.Expected += ", or what others have published on top of it"
	}
	client, err := s.Index(e)
	if err != nil {
		ev.Summary = err.Error()
		return ev
	}
	clock := subject.Clock(e)
	began := clock.Now()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		packages, err := client.Info(ctx, c.Names()...)
		shown := ""
		for _, name := range c.Names() {
			p, known := packages[name]
			switch {
			case err != nil:
			case !known:
				err = fmt.Errorf("%w: it does not know %s", errLate, name)
			case p.PackageBase != s.Name:
				ev.Verdict, ev.Found = gate.Fail, name+" belongs to package base "+p.PackageBase
				ev.Summary = ev.Found
				return ev
			case p.Version == want, branch.above && pkgbuild.Vercmp(p.Version, want) > 0:
				shown = p.Version
			case pkgbuild.Vercmp(p.Version, want) > 0:
				ev.Verdict, ev.Found = gate.Fail, "the AUR shows "+p.Version
				ev.Summary = fmt.Sprintf("the AUR shows %s, which is newer than %s", p.Version, want)
				return ev
			case p.Version == branch.offers:
				ev.Verdict, ev.Found = gate.Fail, "the AUR shows "+p.Version
				ev.Summary = fmt.Sprintf("the AUR shows %s, which others have put on top of %s although it is older: users get that; publish something newer than both", p.Version, want)
				return ev
			default:
				err = fmt.Errorf("%w: it shows %s", errLate, p.Version)
			}
		}
		if err == nil && shown != "" {
			ev.Verdict, ev.Found, ev.Summary = gate.Pass, ev.Expected, "the AUR shows "+shown
			if shown != want {
				ev.Summary += fmt.Sprintf(", which others have published on top of %s", want)
			}
			return ev
		}
		waited := clock.Now().Sub(began)
		if ctx.Err() != nil || waited+pause > e.Patience {
			ev.Summary = fmt.Sprintf("%s is pushed; the AUR does not show it after %v: %v; run again later", want, waited.Round(time.Second), err)
			return ev
		}
		ws.Logf("the AUR does not show %s yet, it is asked again in %v: %v", want, pause, err)
		if err := clock.Sleep(ctx, pause); err != nil {
			ev.Summary = err.Error()
			return ev
		}
	}
}
