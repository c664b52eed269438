package rollback

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/pipeline"
)

// NeededBy is the key of the receipt of rollback/withdraw that says what downloads from the release, whatever became of it.
const NeededBy = "needed by"

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
	if err != nil {
		return nil, err
	}
	by, err := s.neededBy(ctx, ws)
	if err != nil {
		return nil, err
	}
	if gone {
		return become(pipeline.Receipt{}, asGone, by), nil
	}
	r := pipeline.Receipt{"id": strconv.FormatInt(rel.ID, 10)}
	if rel.Bears(hub.Marker(ws.Run)) {
		r[pipeline.Marker] = ws.Run
	}
	switch {
	case rel.Draft:
		return become(r, asDraft, by), nil
	case s.o.says(rel, ws.Run, by != ""):
		return become(r, asNotice, by), nil
	}
	return nil, nil
}

// become completes the receipt of a release with what became of it, and what needs it all the same.
func become(r pipeline.Receipt, state, by string) pipeline.Receipt {
	if r["state"] = state; by != "" {
		r[NeededBy] = by
	}
	return r
}

// says tells that a public release says on its page that it is withdrawn, and that nothing more is to be done to it: the
// words are this run's, or those of another rollback to the same version where it may or has to stay public. A marker
// alone says nothing to people: a draft that somebody publishes again has one.
func (o *Options) says(rel hub.Release, run string, needed bool) bool {
	plain := *o
	plain.Reason = ""
	noticed := strings.Contains(strings.ReplaceAll(rel.Body, "\r\n", "\n"), plain.notice())
	return noticed && (rel.Bears(hub.Marker(run)) || rel.Immutable || rel.Prerelease && needed)
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
	by, err := s.neededBy(ctx, ws)
	if err == nil && len(s.o.Keeps) == 0 {
		err = s.unneeded(by)
	}
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", err, pipeline.ErrUntouched)
	}
	now, kept := rel, by != ""
	if !kept {
		now, err = w.Retract(ctx, rel.ID, hub.Marker(ws.Run))
	}
	if kept || refuses(err) {
		if kept {
			ws.Logf("it stays public: %s", by)
		} else {
			ws.Logf("it cannot be a draft again (%v): its notes say that it is withdrawn", err)
		}
		now, err = w.Demote(ctx, rel.ID, s.o.notice(), hub.Marker(ws.Run))
	}
	if err != nil {
		return nil, err
	}
	state := asNotice
	if now.Draft {
		state = asDraft
	}
	return become(pipeline.Receipt{pipeline.Marker: ws.Run, "id": strconv.FormatInt(rel.ID, 10)}, state, by), nil
}

// neededBy says in words what downloads from the release at this moment; "" where nothing does.
func (p *phase) neededBy(ctx context.Context, ws *pipeline.Workspace) (by string, err error) {
	if p.o.Needed == nil {
		if len(p.o.Keeps) > 0 {
			by = p.o.needed()
		}
		return by, nil
	}
	by, err = p.o.Needed(ctx, ws)
	switch {
	case err == nil || ctx.Err() != nil:
		return by, err
	case len(p.o.Keeps) > 0: // who asks for GitHub alone is not to wait for the AUR
		ws.Logf("cannot ask the AUR what it needs, so nothing is taken from it: %v", err)
		return p.o.needed() + ", as far as anybody can tell here", nil
	}
	return "", fmt.Errorf("cannot find out whether the AUR needs release %s: %w", p.o.Facts.Tag, err)
}

// unneeded is a conflict where something downloads from the release, which is not to be public any more.
func (p *phase) unneeded(by string) error {
	if by == "" {
		return nil
	}
	return &hub.ConflictError{
		What: by + ": nobody can install that once release " + p.o.Facts.Tag + " is withdrawn; take the journal of who pushed it with slipway state load FILE, or push a PKGBUILD that needs other files",
		IDs:  []int64{p.o.Facts.ReleaseID},
	}
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
	none := errors.Is(err, hub.ErrNotFound)
	if err != nil && !none {
		return nil, fmt.Errorf("cannot find out which release is the latest: %w", err)
	}
	if none || !s.o.fine(now) {
		_, err := s.older(ctx, w)
		return nil, err
	}
	return pipeline.Receipt{"latest": now.Tag}, nil
}

// older finds the release that becomes the latest; one that is not public any more is a conflict.
func (s latest) older(ctx context.Context, w world) (hub.Release, error) {
	rel, err := w.ByTag(ctx, s.o.OlderTag)
	if errors.Is(err, hub.ErrNotFound) {
		return rel, fmt.Errorf("%w: release %s is not public any more: name another version with --to", pipeline.ErrConflict, s.o.OlderTag)
	}
	if err != nil {
		return rel, fmt.Errorf("cannot find release %s: %w", s.o.OlderTag, err)
	}
	return rel, nil
}

// fine tells that nobody who asks for the latest release gets what is rolled back, or something older than wanted. A tag of
// another form is that of another product: it is left alone.
func (o *Options) fine(now hub.Release) bool {
	if now.Tag == o.OlderTag || now.ID == o.Facts.ReleaseID || now.Tag == o.Facts.Tag {
		return now.Tag == o.OlderTag
	}
	latest, ours := o.Form.Version(now.Tag)
	bad, known := o.Form.Version(o.Facts.Tag)
	return !ours || known && latest.Compare(bad) > 0
}

// Run makes the older release the latest.
func (s latest) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	w, err := s.world(ws)
	if err != nil {
		return nil, err
	}
	rel, err := s.older(ctx, w)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", err, pipeline.ErrUntouched)
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

// Probe finds the release gone; one that may not be deleted is a conflict.
func (s remove) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
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
	return nil, s.deletable(ctx, w, rel)
}

// deletable is a conflict where deleting the release would burn its tag, or destroy people's files.
func (s remove) deletable(ctx context.Context, w world, rel hub.Release) error {
	if rel.Immutable {
		return burns(rel)
	}
	names, err := s.added(ctx, w, rel.ID)
	if err != nil {
		return err
	}
	return s.spares(rel, names)
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
		if err := s.deletable(ctx, w, rel); err != nil {
			return nil, err
		}
		marker := w.marker
		if !rel.Bears(marker) { // somebody has edited the notes
			marker = hub.Marker(ws.Run)
		}
		if err := w.DeleteDraft(ctx, rel.ID, marker); err != nil {
			return nil, err
		}
	}
	return pipeline.Receipt{pipeline.Marker: ws.Run, "state": asGone}, nil
}

// added are the names of assets that the release did not upload: people's.
func (p *phase) added(ctx context.Context, w world, id int64) (names []string, err error) {
	list, err := w.ListAssets(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("cannot look at the assets of release %s: %w", p.o.Facts.Tag, err)
	}
	for _, a := range list {
		if !slices.Contains(p.o.Facts.Assets, a.Name) {
			names = append(names, a.Name)
		}
	}
	return names, nil
}

// spares is a conflict where deleting the release would destroy people's files.
func (p *phase) spares(rel hub.Release, names []string) error {
	if !p.o.Delete || len(names) == 0 {
		return nil
	}
	return &hub.ConflictError{
		What: fmt.Sprintf("release %s has %s, which the release did not upload and which would be lost: save it and delete it there, or roll back without --delete", rel.Tag, strings.Join(names, ", ")),
		IDs:  []int64{rel.ID},
	}
}

func burns(rel hub.Release) error {
	return &hub.ConflictError{
		What: "release " + rel.Tag + " is immutable: deleting it would burn its tag name for ever, so it stays, with a notice; roll back without --delete",
		IDs:  []int64{rel.ID},
	}
}
