// Package push publishes: one commit on top of the AUR repository's real history, and nothing else. It is permanent,
// since nothing that the AUR has taken can be taken back; what follows can only be another commit.
//
// The commit's tree holds exactly the files that were approved. What else was there is removed, as the diff at the gate
// has shown. The push is refused when the repository is not as it was looked at before the gate: somebody else's work
// is shown, never overwritten. So it is when a source has gone from the public since. Where the files are there already,
// nothing is pushed and nothing is wrong.
package push

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/imrightguy/slipway/phases/aur/history"
	"github.com/imrightguy/slipway/phases/aur/published"
	"github.com/imrightguy/slipway/phases/aur/remote"
	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/pipeline"
)

// The keys of the receipt.
const (
	KeyCommit  = "commit"  // the commit that has the files
	KeyVersion = "version" // [epoch:]pkgver-pkgrel
)

// StepID is the ID of a package's step in the phase aur.
func StepID(name string) string { return ID(subject.Package{Name: name}) }

// ID is the ID of a package's step.
func ID(p subject.Package) string { return p.StepID("push") }

// Step returns the step that publishes a package. It needs the gate, and other steps.
func Step(p subject.Package, gate string, needs ...string) (pipeline.Step, error) {
	who, err := repo.ParsePerson(p.Author)
	return &step{p, append([]string{gate}, needs...), who}, err
}

type step struct {
	subject.Package
	needs []string
	who   repo.Person
}

var _ pipeline.Prober = (*step)(nil)

func (s *step) Spec() pipeline.Spec {
	params := s.Where()
	params["author"] = s.Author
	return pipeline.Spec{
		ID: ID(s.Package), Needs: slices.Concat(s.needs[:1], []string{s.Step, remote.ID(s.Package)}, s.needs[1:]), Effect: pipeline.Permanent, Target: s.Target(),
		Inputs: append(s.Inputs(), "receipt:"+remote.ID(s.Package)+"."+remote.KeyTip), Params: params,
	}
}

// gitTime is how long one look or push may take.
const gitTime = 10 * time.Minute

// scene is the AUR repository as it is now, and the commit that is to be there.
type scene struct {
	access gitremote.Access
	repo   *git.Repository
	tip    plumbing.Hash
	seen   plumbing.Hash // the tip at the gate
	tree   plumbing.Hash // of the wanted files
	change history.Change
	info   *pkgbuild.SRCINFO
}

func (s *step) look(ctx context.Context, ws *pipeline.Workspace) (*scene, error) {
	e, err := endpoint.Of(ws)
	if err != nil {
		return nil, err
	}
	content, err := s.Read(ws)
	if err != nil {
		return nil, err
	}
	if content.Info == nil || len(content.Large) > 0 {
		return nil, fmt.Errorf("cannot publish %s: its files are not fit for it, see the check aur-lint", s.Name)
	}
	was, err := ws.Receipt(remote.ID(s.Package), remote.KeyTip)
	if err != nil {
		return nil, err
	}
	sc := &scene{info: content.Info}
	switch {
	case was == remote.TipNone:
	case plumbing.IsHash(was):
		sc.seen = plumbing.NewHash(was)
	default:
		return nil, fmt.Errorf("cannot publish %s: nobody could look at its repository before the gate", s.Name)
	}
	if sc.access, err = s.Access(ctx, e); err != nil {
		return nil, advise(err)
	}
	ws.Logf("asking %s as %s", s.Remote.URL, sc.access.Identity)
	if sc.repo, sc.tip, err = sc.access.Clone(ctx, subject.Branch); err != nil {
		return nil, advise(err)
	}
	if sc.tree, err = history.Tree(sc.repo.Storer, content.Files); err != nil {
		return nil, err
	}
	sc.change = history.Change{
		Parent: sc.seen, Tree: sc.tree, Name: s.who.Name, Email: s.who.Mail,
		Time: ws.Env.Time, Version: content.Info.Version(), Run: ws.Run,
	}
	return sc, nil
}

// find says what the repository has of the effect: a receipt where the files are there, nil where it is as it was at the
// gate, else a conflict.
func (sc *scene) find() (pipeline.Receipt, error) {
	receipt := pipeline.Receipt{KeyVersion: sc.change.Version}
	mine, err := history.Find(sc.repo, sc.tip, sc.seen, sc.tree, sc.change.Run)
	if err != nil {
		return nil, err
	}
	if !mine.IsZero() {
		receipt[KeyCommit], receipt[pipeline.Marker] = mine.String(), sc.change.Run
		return receipt, nil
	}
	if !sc.tip.IsZero() {
		c, err := sc.repo.CommitObject(sc.tip)
		if err != nil {
			return nil, fmt.Errorf("cannot read commit %s: %w", sc.tip, err)
		}
		if c.TreeHash == sc.tree {
			receipt[KeyCommit] = sc.tip.String()
			if m := history.Marker(c.Message); m != "" {
				receipt[pipeline.Marker] = m
			}
			return receipt, nil
		}
	}
	if sc.tip != sc.seen {
		return nil, sc.conflict()
	}
	return nil, nil
}

// conflict shows what somebody else has done since the gate.
func (sc *scene) conflict() error {
	if sc.tip.IsZero() {
		return fmt.Errorf("%w: the AUR repository is empty now, and had commit %s at the gate", pipeline.ErrConflict, sc.seen)
	}
	shown := "what it had at the gate is no longer in its history"
	if old, err := history.Files(sc.repo, sc.seen); err == nil {
		if now, err := history.Files(sc.repo, sc.tip); err == nil {
			if shown, err = history.Diff(old, now); err != nil {
				shown = err.Error()
			}
		}
	}
	return fmt.Errorf("%w: somebody else has committed to the AUR repository since the gate, %s; look at it, then run again, until "+
		"the gate asks about what is there now; it does not where another package was pushed behind it: raise pkgrel and slipway run --phase aur then\n%s", pipeline.ErrConflict, history.Describe(sc.repo, sc.tip), shown)
}

// Probe looks for the files, or for the commit of this run, in the repository as it is now.
func (s *step) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, gitTime)
	defer cancel()
	sc, err := s.look(ctx, ws)
	if err != nil {
		return nil, err
	}
	return sc.find()
}

// Run makes the commit and pushes it. After an error that leaves the outcome open, the next run looks first.
func (s *step) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, gitTime)
	defer cancel()
	sc, err := s.look(ctx, ws)
	if err != nil {
		return nil, err
	}
	if receipt, err := sc.find(); err != nil || receipt != nil {
		return elses(receipt), err
	}
	e, err := endpoint.Of(ws)
	if err == nil {
		err = published.Ask(ctx, e, ws, sc.info)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot publish %s: %w (%w)", s.Name, err, pipeline.ErrUntouched)
	}
	commit, err := history.Commit(sc.repo.Storer, sc.change)
	if err != nil {
		return nil, err
	}
	said, err := sc.access.Push(ctx, sc.repo.Storer, commit, subject.Ref, sc.seen)
	for _, line := range said {
		ws.Logf("the AUR says: %s", line)
	}
	faster := errors.Is(err, gitremote.ErrNotFastForward) || errors.Is(err, gitremote.ErrExists)
	var refused *gitremote.RefusedError
	nothing := false // is there of anybody, for certain
	if faster || errors.As(err, &refused) {
		// Somebody was faster, or was let have the name. What they did is looked at, and shown.
		if sc, lookErr := s.look(ctx, ws); lookErr == nil {
			if receipt, findErr := sc.find(); findErr != nil || receipt != nil {
				return elses(receipt), findErr
			}
			nothing = true
		}
	}
	if faster {
		return nil, fmt.Errorf("%w: %w", pipeline.ErrConflict, err)
	}
	if err = advise(err); err != nil && nothing {
		err = fmt.Errorf("%w (%w)", err, pipeline.ErrUntouched)
	}
	if err != nil {
		return nil, err
	}
	for _, line := range said {
		if strings.Contains(line, ".SRCINFO unchanged") {
			return nil, fmt.Errorf("commit %s was taken, but its .SRCINFO is that of the commit before, so the AUR goes on showing the old version (%s); "+
				"this should have been refused before the gate: please report it", commit, line)
		}
	}
	return pipeline.Receipt{KeyCommit: commit.String(), KeyVersion: sc.change.Version, pipeline.Marker: ws.Run}, nil
}

// elses marks a receipt for what this run found instead of making it.
func elses(r pipeline.Receipt) pipeline.Receipt {
	if r != nil && r[pipeline.Marker] == "" {
		r[pipeline.Marker] = "made by others"
	}
	return r
}
