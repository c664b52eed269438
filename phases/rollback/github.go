package rollback

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline"
)

// What can have become of a release.
const (
	asDraft  = "draft"  // nobody sees it
	asNotice = "notice" // it is public, and its notes say that it is withdrawn
	asGone   = "gone"
)

// withdraw is the step rollback/withdraw.
type withdraw struct {
	*phase
	spec pipeline.Spec
}

var _ pipeline.Prober = withdraw{}

func (s withdraw) Spec() pipeline.Spec { return s.spec }

// Probe finds the release withdrawn: ours by this run's marker in its body, adopted where somebody else did it.
func (s withdraw) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	w, err := s.world(ws)
	if err != nil {
		return nil, err
	}
	rel, gone, err := s.find(ctx, w)
	switch {
	case err != nil:
		return nil, err
	case gone:
		return pipeline.Receipt{"state": asGone}, nil
	}
	r := pipeline.Receipt{"id": strconv.FormatInt(rel.ID, 10)}
	if rel.Bears(hub.Marker(ws.Run)) {
		r[pipeline.Marker] = ws.Run
	}
	switch {
	case rel.Draft:
		r["state"] = asDraft
	case r[pipeline.Marker] != "":
		r["state"] = asNotice
	default:
		return nil, nil
	}
	return r, nil
}

// Run makes it a draft again, or says on its page what became of it.
func (s withdraw) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	w, err := s.world(ws)
	if err != nil {
		return nil, err
	}
	rel, gone, err := s.find(ctx, w)
	if err != nil {
		return nil, err
	}
	if gone {
		return pipeline.Receipt{"state": asGone}, nil
	}
	now, err := w.Retract(ctx, rel.ID, hub.Marker(ws.Run))
	if refuses(err) {
		ws.Logf("it cannot be a draft again (%v): its notes say that it is withdrawn", err)
		now, err = w.Demote(ctx, rel.ID, s.o.notice(), hub.Marker(ws.Run))
	}
	if err != nil {
		return nil, err
	}
	state := asNotice
	if now.Draft {
		state = asDraft
	}
	return pipeline.Receipt{pipeline.Marker: ws.Run, "id": strconv.FormatInt(rel.ID, 10), "state": state}, nil
}

// refuses tells that a release stays public whatever is asked: it is immutable, or the server makes no drafts of them.
func refuses(err error) bool {
	var e *hub.Error
	return errors.Is(err, hub.ErrImmutable) || errors.As(err, &e) && e.Status == http.StatusUnprocessableEntity
}

// latest is the step rollback/latest.
type latest struct {
	*phase
	spec pipeline.Spec
}

var _ pipeline.Prober = latest{}

func (s latest) Spec() pipeline.Spec { return s.spec }

// Probe finds the latest release to be the older one, or one newer than what is rolled back. No release can say who made
// it the latest, so that is adopted.
func (s latest) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	w, err := s.world(ws)
	if err != nil {
		return nil, err
	}
	now, err := w.Latest(ctx)
	if errors.Is(err, hub.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot find out which release is the latest: %w", err)
	}
	if !s.o.fine(now) {
		return nil, nil
	}
	return pipeline.Receipt{"latest": now.Tag}, nil
}

// fine tells that nobody who asks for the latest release gets what is rolled back, or something older than wanted.
func (o *Options) fine(now hub.Release) bool {
	return now.Tag == o.OlderTag || now.ID != o.Facts.ReleaseID && newer(now.Tag, o.Facts.Tag)
}

// newer compares the versions in two tags of one form.
func newer(a, b string) bool {
	cut := func(tag string) (version.Version, error) {
		i := 0
		for i < len(tag) && (tag[i] < '0' || tag[i] > '9') {
			i++
		}
		return version.Parse(tag[i:])
	}
	va, errA := cut(a)
	vb, errB := cut(b)
	return errA == nil && errB == nil && va.Compare(vb) > 0
}

// Run makes the older release the latest.
func (s latest) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	w, err := s.world(ws)
	if err != nil {
		return nil, err
	}
	rel, err := w.ByTag(ctx, s.o.OlderTag)
	if err != nil {
		return nil, fmt.Errorf("cannot find release %s: %w", s.o.OlderTag, err)
	}
	if _, err := w.SetLatest(ctx, rel.ID); err != nil {
		return nil, err
	}
	return pipeline.Receipt{pipeline.Marker: ws.Run, "latest": rel.Tag, "id": strconv.FormatInt(rel.ID, 10)}, nil
}

// remove is the step rollback/delete.
type remove struct {
	*phase
	spec pipeline.Spec
}

var _ pipeline.Prober = remove{}

func (s remove) Spec() pipeline.Spec { return s.spec }

// Probe finds the release gone.
func (s remove) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	w, err := s.world(ws)
	if err != nil {
		return nil, err
	}
	if _, gone, err := s.find(ctx, w); err != nil || !gone {
		return nil, err
	}
	return pipeline.Receipt{"state": asGone}, nil
}

// Run deletes the release if it is a draft again.
func (s remove) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	w, err := s.world(ws)
	if err != nil {
		return nil, err
	}
	rel, gone, err := s.find(ctx, w)
	if err != nil {
		return nil, err
	}
	if !gone {
		if rel.Immutable {
			return nil, burns(rel)
		}
		if err := w.DeleteDraft(ctx, rel.ID, w.marker); err != nil {
			return nil, err
		}
	}
	return pipeline.Receipt{pipeline.Marker: ws.Run, "state": asGone}, nil
}

func burns(rel hub.Release) error {
	return &hub.ConflictError{
		What: "release " + rel.Tag + " is immutable: deleting it would burn its tag name for ever, so it stays, with a notice; roll back without --delete",
		IDs:  []int64{rel.ID},
	}
}
