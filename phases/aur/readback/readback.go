// Package readback looks at the AUR as users do after a push: the branch is at the commit, a fresh clone has the files
// that were approved, and the index shows the version. The index follows pushes late; what it does not show in time is
// unknown, neither a failure nor a success.
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
	ref, clone := s.git(ctx, e, commit, content)
	rpc := s.index(ctx, e, ws, content)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for i, ev := range []gate.Evidence{ref, clone, rpc} {
		ev.Check, ev.Subjects = Checks[i], content.Digests
		ws.Report(ev)
	}
	return nil, nil
}

// git looks at the branch, and at a clone of its own.
func (s step) git(ctx context.Context, e *endpoint.Endpoints, commit string, c *subject.Content) (ref, clone gate.Evidence) {
	ctx, cancel := context.WithTimeout(ctx, gitTime)
	defer cancel()
	ref = gate.Evidence{Expected: subject.Ref + " is " + commit}
	clone = gate.Evidence{Expected: "a fresh clone has the approved files, and no others"}
	access, err := s.Access(ctx, e)
	var r *git.Repository
	var tip plumbing.Hash
	if err == nil {
		r, tip, err = access.Clone(ctx, subject.Branch)
	}
	if err != nil {
		ref.Summary = "cannot read the branch back: " + err.Error()
		clone.Summary = "cannot clone: " + err.Error()
		return ref, clone
	}
	refs, err := access.Refs(ctx)
	now := refs[subject.Ref].Hash
	switch {
	case err != nil:
		ref.Summary = "cannot read the branch back: " + err.Error()
	case now == commit:
		ref.Verdict, ref.Found = gate.Pass, ref.Expected
		ref.Summary = subject.Ref + " is " + commit
	case now == "":
		ref.Verdict, ref.Found, ref.Summary = gate.Fail, "no branch", subject.Ref+" is not there"
	default:
		ref.Verdict, ref.Found = gate.Fail, subject.Ref+" is "+now
		ref.Summary = fmt.Sprintf("%s is %s, not %s: somebody else has committed since the push", subject.Ref, describe(r, now), commit)
	}
	there, err := history.Files(r, tip)
	if err != nil {
		clone.Summary = "cannot read the clone: " + err.Error()
		return ref, clone
	}
	wanted := history.Wanted(c.Files)
	if differ := differences(wanted, there); len(differ) > 0 {
		clone.Verdict, clone.Found = gate.Fail, strings.Join(differ, ", ")
		clone.Summary = "a fresh clone differs from what was approved: " + clone.Found
		return ref, clone
	}
	clone.Verdict, clone.Found = gate.Pass, clone.Expected
	clone.Summary = fmt.Sprintf("a fresh clone has the %d approved files", len(wanted))
	return ref, clone
}

func describe(r *git.Repository, commit string) string {
	return history.Describe(r, plumbing.NewHash(commit))
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

// index waits until the index shows the version of every package, for as long as the run has patience.
func (s step) index(ctx context.Context, e *endpoint.Endpoints, ws *pipeline.Workspace, c *subject.Content) gate.Evidence {
	want := c.Info.Version()
	ev := gate.Evidence{Expected: "the AUR shows " + want}
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
			case p.Version == want:
				shown = want
			case pkgbuild.Vercmp(p.Version, want) > 0:
				ev.Verdict, ev.Found = gate.Fail, "the AUR shows "+p.Version
				ev.Summary = fmt.Sprintf("the AUR shows %s, which is newer than %s", p.Version, want)
				return ev
			default:
				err = fmt.Errorf("%w: it shows %s", errLate, p.Version)
			}
		}
		if err == nil && shown == want {
			ev.Verdict, ev.Found, ev.Summary = gate.Pass, ev.Expected, ev.Expected
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
