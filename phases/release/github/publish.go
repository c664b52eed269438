package github

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/pipeline"
)

// Publish is the step release/publish. It cannot be taken back: people are told, and mirrors copy.
func (r *Release) Publish(needs ...string) pipeline.Step {
	return &publish{r, pipeline.Spec{
		ID:     PublishID,
		Needs:  unique(append(append(append([]string{versionStep, notesStep, DraftID, InspectID}, r.makers(false)...), r.uploads()...), needs...)),
		Effect: pipeline.Permanent, Target: r.target,
		Inputs: append([]string{"receipt:" + versionStep + ".commit", "receipt:" + DraftID + ".id", "artifact:" + notesFile}, r.planned()...),
		Params: map[string]string{
			"title": r.title, "prerelease": strconv.FormatBool(r.o.Prerelease), "latest": strconv.FormatBool(r.o.Latest),
		},
	}}
}

type publish struct {
	*Release
	spec pipeline.Spec
}

var _ pipeline.Prober = (*publish)(nil)

func (p *publish) Spec() pipeline.Spec { return p.spec }

func (p *publish) publication(ws *pipeline.Workspace, w world) (hub.Publication, error) {
	notes, err := readNotes(ws)
	return hub.Publication{Title: p.title, Body: body(notes, w.marker), Prerelease: p.o.Prerelease, Latest: p.o.Latest}, err
}

// Probe finds the release published, as wanted and with every asset. Published otherwise, or withdrawn since, it is a
// conflict, whoever did it, with a receipt: users have or had it, and what came before it is not to be taken back.
func (p *publish) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	w, err := p.world(ws)
	if err != nil {
		return nil, err
	}
	rel, err := p.ours(ctx, ws, w)
	public := rel.ID != 0 && !rel.Draft
	if err == nil && rel.Withdrawn(w.marker) { // users had it
		return p.receipt(ws, rel), w.unwithdrawn(rel)
	}
	if err != nil && public { // whoever edited it, users have it
		return p.receipt(ws, rel), err
	} else if err != nil || !public {
		return nil, err
	}
	want, err := p.publication(ws, w)
	if err != nil {
		return nil, err
	}
	if err := p.complete(ctx, ws, w, rel, "is public, but"); err != nil {
		return p.receipt(ws, rel), err
	}
	if !want.Matches(rel) {
		return p.receipt(ws, rel), &hub.ConflictError{What: "release " + p.o.Tag + " is public with another title, other notes or another kind", IDs: []int64{rel.ID}}
	}
	return p.receipt(ws, rel), nil
}

func (p *publish) receipt(ws *pipeline.Workspace, rel hub.Release) pipeline.Receipt {
	return pipeline.Receipt{pipeline.Marker: ws.Run, "id": strconv.FormatInt(rel.ID, 10), "tag": rel.Tag, "url": rel.URL}
}

// complete is the last look at the assets: they are the planned ones, or it is a conflict.
func (p *publish) complete(ctx context.Context, ws *pipeline.Workspace, w world, rel hub.Release, but string) error {
	want, err := p.plan(ws)
	if err != nil {
		return err
	}
	c, err := w.settled(ctx, rel.ID, want)
	if err != nil {
		return err
	}
	if len(c.wrong) > 0 {
		return &hub.ConflictError{What: fmt.Sprintf("release %s %s %s", p.o.Tag, but, list(c.wrong)), IDs: []int64{rel.ID}}
	}
	return nil
}

// alone tells that nothing else has the tag. A draft that came after this one is waited for a little: its maker takes it
// back.
func (p *publish) alone(ctx context.Context, w world, id int64) (err error) {
	w.await(ctx, settling, func() bool {
		var f hub.Found
		if f, err = w.FindByMarker(ctx, p.o.Tag, w.marker); err != nil {
			err = fmt.Errorf("cannot look for other releases of %s: %w", p.o.Tag, err)
			return false
		}
		if err = w.sweep(ctx, f, id); err != nil {
			return false
		}
		f.Ours = slices.DeleteFunc(f.Ours, func(r hub.Release) bool { return r.ID != id && r.Draft })
		_, _, err = f.Release()
		_, first := mine(f)
		return err != nil && first
	})
	return err
}

// tagged tells that the tag is there, annotated, and leads to the version commit: publishing would make a missing one,
// without a signature and a message.
func (p *publish) tagged(ctx context.Context, ws *pipeline.Workspace, w world) (err error) {
	commit, err := p.commit(ws)
	if err != nil {
		return err
	}
	var tag hub.Tag
	w.await(ctx, settling, func() bool {
		tag, err = w.Tag(ctx, p.o.Tag)
		return errors.Is(err, hub.ErrNotFound) // pushed a moment ago
	})
	switch {
	case errors.Is(err, hub.ErrNotFound):
		return fmt.Errorf("cannot publish %s: GitHub does not show its tag, and would make one of its own: %w", p.o.Tag, err)
	case err != nil:
		return fmt.Errorf("cannot publish %s: %w", p.o.Tag, err)
	case !tag.Annotated:
		return &hub.ConflictError{What: "tag " + p.o.Tag + " is not annotated: somebody else's?"}
	case tag.Commit != commit:
		return &hub.ConflictError{What: fmt.Sprintf("tag %s leads to commit %s, want %s", p.o.Tag, tag.Commit, commit)}
	}
	return nil
}

func (p *publish) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	w, err := p.world(ws)
	if err != nil {
		return nil, err
	}
	want, err := p.publication(ws, w)
	if err != nil {
		return nil, err
	}
	rel, err := p.ours(ctx, ws, w)
	if err != nil {
		return nil, err
	}
	if err := p.alone(ctx, w, rel.ID); err != nil {
		return nil, err
	}
	if err := p.tagged(ctx, ws, w); err != nil {
		return nil, err
	}
	if err := p.complete(ctx, ws, w, rel, "must not be published:"); err != nil {
		return nil, err
	}
	rel, err = w.Publish(ctx, rel.ID, want)
	if err != nil {
		return nil, err
	}
	return p.receipt(ws, rel), nil
}
