package rollback

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/mainline"
	"github.com/imrightguy/slipway/pipeline"
)

// revert is the step rollback/revert.
type revert struct {
	*phase
	spec pipeline.Spec
}

var _ pipeline.Prober = revert{}

func (s revert) Spec() pipeline.Spec { return s.spec }

func (o *Options) subject() string { return "Revert release " + o.Facts.Tag }

// Probe finds the version commit reverted: ours by the trailer, adopted where the files are as before.
func (s revert) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	t, err := s.o.Branch.Look(ctx, ws)
	if err != nil {
		return nil, err
	}
	made, err := t.Made(ws.Run, s.o.subject(), s.o.Facts.Commit)
	if err != nil {
		return nil, err
	}
	if made != "" {
		return s.receipt(ws, made), nil
	}
	files, err := s.o.revertible(t)
	if err != nil || len(files) > 0 {
		return nil, err
	}
	return pipeline.Receipt{"branch": s.o.Branch.Name, "tip": t.Commit.Hash.String()}, nil
}

func (s revert) receipt(ws *pipeline.Workspace, made string) pipeline.Receipt {
	return pipeline.Receipt{pipeline.Marker: ws.Run, "branch": s.o.Branch.Name, "commit": made}
}

// Run commits the files as they were.
func (s revert) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	f := s.o.Facts
	message := s.o.subject() + "\n\nThe files that version commit " + f.Commit + " changed are as before it.\nEverything else that was merged stays.\n"
	made, err := s.o.Branch.Commit(ctx, ws, message, s.o.revertible)
	if err != nil {
		return nil, err
	}
	if made == "" { // somebody was faster
		return pipeline.Receipt{pipeline.Marker: "made by others", "branch": s.o.Branch.Name}, nil
	}
	return s.receipt(ws, made), nil
}

// revertible says which files of the branch have to be as before the version commit. Those that are so already are left
// out; none where the branch does not contain the commit. The error is a conflict where a file is neither: somebody has
// changed it since.
func (o *Options) revertible(t *mainline.Tip) (map[string]mainline.File, error) {
	there, err := t.Contains(o.Facts.Commit, o.Branch.Base)
	if err == nil && !there && o.Facts.Merged {
		err = fmt.Errorf("%w: branch %s does not contain the version commit %s any more: somebody has rewritten it; revert by hand what it has of that commit, or leave level git out",
			pipeline.ErrConflict, o.Branch.Name, o.Facts.Commit)
	}
	if err != nil || !there {
		return nil, err
	}
	c, err := object.GetCommit(t.Store, plumbing.NewHash(o.Facts.Commit))
	if err != nil {
		return nil, fmt.Errorf("cannot read the version commit %s: %w", o.Facts.Commit, err)
	}
	if len(c.ParentHashes) != 1 {
		return nil, fmt.Errorf("%w: the version commit %s has %d parents, not one", pipeline.ErrConflict, o.Facts.Commit, len(c.ParentHashes))
	}
	before, err := object.GetCommit(t.Store, c.ParentHashes[0])
	if err != nil {
		return nil, fmt.Errorf("cannot read the commit before the version commit: %w", err)
	}
	changed, err := t.Store.Diff(before.TreeHash, c.TreeHash)
	if err != nil {
		return nil, err
	}
	files := map[string]mainline.File{}
	var foreign []string
	for _, path := range slices.Sorted(maps.Keys(changed)) {
		now, err := t.Store.At(t.Commit.TreeHash, path)
		if err != nil {
			return nil, err
		}
		same := func(f mainline.File) bool { return f.ID == now.ID && f.Mode == now.Mode }
		switch ch := changed[path]; {
		case same(ch.Is):
			files[path] = ch.Was
		case !same(ch.Was):
			foreign = append(foreign, path)
		}
	}
	if len(foreign) > 0 {
		return nil, fmt.Errorf("%w: %s on branch %s is neither as %s has it nor as before: somebody has changed it since; revert it by hand, or leave level git out",
			pipeline.ErrConflict, strings.Join(foreign, ", "), o.Branch.Name, o.Facts.Tag)
	}
	return files, nil
}

// untag is the step rollback/tag.
type untag struct {
	*phase
	spec pipeline.Spec
}

var _ pipeline.Prober = untag{}

func (s untag) Spec() pipeline.Spec { return s.spec }

func (o *Options) tagRef() string { return "refs/tags/" + o.Facts.Tag }

// Probe finds the tag gone; another tag of that name is a conflict.
func (s untag) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	a, err := s.o.Branch.Access(ctx, ws)
	if err != nil {
		return nil, err
	}
	refs, err := a.Refs(ctx)
	if err != nil {
		return nil, err
	}
	switch now := refs[s.o.tagRef()].Hash; now {
	case "":
		return pipeline.Receipt{"tag": s.o.Facts.Tag, "state": asGone}, nil
	case s.o.Facts.TagObject:
		return nil, nil
	default:
		return nil, s.o.otherTag(now)
	}
}

func (o *Options) otherTag(now string) error {
	return fmt.Errorf("%w: tag %s is %s, not the one that the release made, %s: look at who has moved it, or roll back without --delete-tag", pipeline.ErrConflict, o.Facts.Tag, now, o.Facts.TagObject)
}

// caches is what keeps a tag that is deleted.
const caches = "clones and mirrors keep it, and the Go module proxy serves it for ever: the same version with other content breaks them, so release another version instead"

// Run deletes the tag while it is the one of the journal.
func (s untag) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	a, err := s.o.Branch.Access(ctx, ws)
	if err != nil {
		return nil, err
	}
	ws.Logf("deleting tag %s: %s", s.o.Facts.Tag, caches)
	err = a.Delete(ctx, s.o.tagRef(), plumbing.NewHash(s.o.Facts.TagObject))
	if errors.Is(err, gitremote.ErrExists) {
		return nil, fmt.Errorf("%w: %w", pipeline.ErrConflict, err)
	}
	if _, declined := errors.AsType[*gitremote.RefusedError](err); declined {
		return nil, fmt.Errorf("%w (%w)", err, pipeline.ErrUntouched)
	}
	if err != nil {
		return nil, err
	}
	return pipeline.Receipt{pipeline.Marker: ws.Run, "tag": s.o.Facts.Tag, "state": asGone}, nil
}
