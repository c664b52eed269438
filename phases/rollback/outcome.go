package rollback

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/hold"
	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// outcomeStep is the step rollback/outcome.
type outcomeStep struct {
	*phase
	spec pipeline.Spec
}

func (s outcomeStep) Spec() pipeline.Spec { return s.spec }

// Run reads everything back.
func (s outcomeStep) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	o := s.o
	looks := []struct {
		check, expected string
		look            func(context.Context, *pipeline.Workspace, *findings) error
	}{
		{Withdrawn, "release " + o.Facts.Tag + " is a draft or gone, or says that it is withdrawn", s.withdrawn},
		{Latest, "the latest release is " + o.OlderTag + ", one newer than " + o.Facts.Tag + " or another product's", s.latest},
		{Reverted, "branch " + o.Branch.Name + " has no file as the version commit made it", s.reverted},
		{Untagged, "tag " + o.Facts.Tag + " is gone", s.untagged},
		{Held, o.Version + " is held on branch " + o.Branch.Name, s.held},
	}
	for _, l := range looks {
		if !slices.Contains(s.spec.Checks, l.check) {
			continue
		}
		f := findings{}
		err := f.conflict(l.look(ctx, ws, &f))
		if err := report(ctx, ws, gate.Evidence{Check: l.check, Expected: l.expected}, f, err); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (s outcomeStep) withdrawn(ctx context.Context, ws *pipeline.Workspace, f *findings) error {
	w, err := s.world(ws)
	if err != nil {
		return err
	}
	rel, gone, err := s.find(ctx, w)
	if err != nil {
		return err
	}
	by, err := s.neededBy(ctx, ws)
	if err != nil {
		return err
	}
	switch kept := by != "" && len(s.o.Keeps) > 0; {
	case (gone || rel.Draft) && kept: // it was not us
		f.note("somebody has taken it from the public, and %s: nobody can install that now; level aur mends it", by)
	case (gone || rel.Draft) && by != "":
		return s.unneeded(by)
	case gone:
		f.note("it is gone")
	case s.o.Delete:
		f.fault("release %s is still there", rel.Tag)
	case rel.Draft:
		f.note("it is a draft, with its assets")
	case s.o.says(rel, ws.Run, by != "") && kept:
		f.note("it is public, with a notice: %s", by)
	case s.o.says(rel, ws.Run, by != ""):
		f.note("it is public, with a notice: it could not be a draft again")
	default:
		f.fault("release %s is public, and does not say that it is withdrawn", rel.Tag)
	}
	return nil
}

func (s outcomeStep) latest(ctx context.Context, ws *pipeline.Workspace, f *findings) error {
	w, err := s.world(ws)
	if err != nil {
		return err
	}
	now, err := w.Latest(ctx)
	switch {
	case errors.Is(err, hub.ErrNotFound):
		f.fault("there is no latest release")
	case err != nil:
		return err
	case !s.o.fine(now):
		f.fault("the latest release is %s", now.Tag)
	default:
		f.note("it is %s", now.Tag)
	}
	return nil
}

func (s outcomeStep) reverted(ctx context.Context, ws *pipeline.Workspace, f *findings) error {
	t, err := s.o.Branch.Look(ctx, ws)
	if err != nil {
		return err
	}
	made, err := t.Made(ws.Run, s.o.subject(), s.o.Facts.Commit)
	if err != nil {
		return err
	}
	if made != "" { // what people do after it is theirs
		f.note("by commit %s", made)
		return nil
	}
	files, err := s.o.revertible(t)
	switch {
	case err != nil:
		return err
	case len(files) > 0:
		f.fault("branch %s still has the version commit's files: %s", s.o.Branch.Name, strings.Join(slices.Sorted(maps.Keys(files)), ", "))
	default:
		f.note("nothing was left to put back")
	}
	return nil
}

func (s outcomeStep) untagged(ctx context.Context, ws *pipeline.Workspace, f *findings) error {
	a, err := s.o.Branch.Access(ctx, ws)
	if err != nil {
		return err
	}
	refs, err := a.Refs(ctx)
	if err == nil && refs[s.o.tagRef()].Hash != "" {
		f.fault("tag %s is there", s.o.Facts.Tag)
	}
	return err
}

func (s outcomeStep) held(ctx context.Context, ws *pipeline.Workspace, f *findings) error {
	found, err := hold.Look(ctx, ws, s.o.Branch, s.o.Version)
	if err == nil && !found.There {
		f.fault("nobody holds %s", s.o.Version)
	}
	return err
}
