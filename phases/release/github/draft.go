package github

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/pipeline"
)

// Draft is the step release/draft. Its body is the marker and nothing else: title and notes come with publishing.
func (r *Release) Draft(needs ...string) pipeline.Step {
	return &draft{r, pipeline.Spec{
		ID: DraftID, Needs: unique(append(needs, versionStep)), Effect: pipeline.Remote, Target: r.target,
		Inputs: []string{"receipt:" + versionStep + ".commit"},
		Params: map[string]string{"prerelease": strconv.FormatBool(r.o.Prerelease), "title": r.title},
	}}
}

type draft struct {
	*Release
	spec pipeline.Spec
}

var (
	_ pipeline.Prober = (*draft)(nil)
	_ pipeline.Undoer = (*draft)(nil)
)

func (d *draft) Spec() pipeline.Spec { return d.spec }

// Probe finds the draft by its marker. Beside a conflict it still says which one is ours, so that unwinding takes it
// back.
func (d *draft) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	w, err := d.world(ws)
	if err != nil {
		return nil, err
	}
	f, err := w.FindByMarker(ctx, d.o.Tag, w.marker)
	if err != nil {
		return nil, fmt.Errorf("cannot look for the draft of %s: %w", d.o.Tag, err)
	}
	if len(f.Ours)+len(f.Foreign) == 0 {
		return nil, w.sees(ctx)
	}
	if rel, ok := mine(f); ok {
		return receipt(ws, rel), nil
	}
	_, _, err = f.Release()
	if len(f.Ours) == 1 {
		return receipt(ws, f.Ours[0]), err
	}
	return nil, err
}

func receipt(ws *pipeline.Workspace, rel hub.Release) pipeline.Receipt {
	return pipeline.Receipt{pipeline.Marker: ws.Run, "id": strconv.FormatInt(rel.ID, 10)}
}

// mine returns this run's release where it came first: ids only rise. Whoever made later drafts of the tag looks too, and
// takes them back. More drafts of this run's own are what a lost answer and a late listing left, see sweep.
func mine(f hub.Found) (rel hub.Release, ok bool) {
	for i, r := range f.Ours {
		if i == 0 || r.ID < rel.ID {
			rel = r
		}
	}
	drafts := !slices.ContainsFunc(f.Ours, func(r hub.Release) bool { return !r.Draft })
	return rel, len(f.Ours) > 0 && (drafts || len(f.Ours) == 1) && !slices.ContainsFunc(f.Foreign, func(r hub.Release) bool {
		return !r.Draft || r.Tag != rel.Tag || r.ID < rel.ID
	})
}

// sweep deletes this run's own drafts other than one, where they hold nothing but assets of these names: a draft whose
// making nobody could confirm may show only after another was made.
func (w world) sweep(ctx context.Context, f hub.Found, keep int64, names ...string) error {
	for _, r := range f.Ours {
		if r.ID == keep || !r.Draft {
			continue
		}
		list, err := w.ListAssets(ctx, r.ID)
		if err == nil && slices.ContainsFunc(list, func(a hub.Asset) bool { return !slices.Contains(names, a.Name) }) {
			err = &hub.ConflictError{What: "there is a second draft of " + r.Tag + " by this run, with assets", IDs: []int64{r.ID}}
		}
		if errors.Is(err, hub.ErrNotFound) {
			continue
		}
		if err == nil {
			err = w.DeleteDraft(ctx, r.ID, w.marker)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *draft) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	w, err := d.world(ws)
	if err != nil {
		return nil, err
	}
	commit, err := d.commit(ws)
	if err != nil {
		return nil, err
	}
	rel, err := w.EnsureDraft(ctx, hub.Draft{Tag: d.o.Tag, Commit: commit, Title: d.title, Marker: w.marker, Prerelease: d.o.Prerelease})
	if err != nil {
		return nil, err
	}
	f, err := w.FindByMarker(ctx, d.o.Tag, w.marker)
	if err != nil {
		return nil, fmt.Errorf("cannot look whether draft %d is the only one of %s: %w", rel.ID, d.o.Tag, err)
	}
	if err := w.sweep(ctx, f, rel.ID); err != nil {
		return receipt(ws, rel), err
	}
	f.Ours = []hub.Release{rel} // it may be missing in the listing for a moment
	if _, ok := mine(f); ok {
		return receipt(ws, rel), nil
	}
	_, _, conflict := f.Release()
	if !rel.Draft {
		return receipt(ws, rel), conflict
	}
	if err := w.DeleteDraft(ctx, rel.ID, w.marker); err != nil {
		return receipt(ws, rel), fmt.Errorf("%w; taking back this run's own draft: %w", conflict, err)
	}
	return nil, conflict
}

// Other returns the id of a release or draft of the tag that is not this run's, 0 where there is none.
func (r *Release) Other(ctx context.Context, ws *pipeline.Workspace) (id int64, err error) {
	w, err := r.world(ws)
	if err != nil {
		return 0, err
	}
	f, err := w.FindByMarker(ctx, r.o.Tag, w.marker)
	if err == nil && len(f.Ours)+len(f.Foreign) == 0 {
		err = w.sees(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("cannot find out whether somebody else releases %s: %w", r.o.Tag, err)
	}
	for _, other := range f.Foreign {
		if other.Tag == r.o.Tag {
			return other.ID, nil
		}
	}
	return 0, nil
}

// ErrElsewhere says that the journal is behind.
var ErrElsewhere = errors.New("the release was carried on elsewhere")

// Unreached is a conflict, and [ErrElsewhere], where people have a release of the tag, or had it until a rollback withdrew it. Whoever takes
// something of it back then has a journal that is behind: another machine has carried the release on.
func (r *Release) Unreached(ctx context.Context, ws *pipeline.Workspace) error {
	w, err := r.world(ws)
	if err != nil {
		return err
	}
	f, err := w.FindByMarker(ctx, r.o.Tag, w.marker)
	if err != nil {
		return fmt.Errorf("cannot find out whether people have %s: %w", r.o.Tag, err)
	}
	for _, rel := range slices.Concat(f.Ours, f.Foreign) {
		switch public := rel.Tag == r.o.Tag && !rel.Draft; {
		case public && rel.Bears(w.marker):
			return fmt.Errorf("%w: %w", ErrElsewhere, &hub.ConflictError{What: "release " + r.o.Tag + " is public", IDs: []int64{rel.ID}})
		case public:
			return &hub.ConflictError{What: "somebody else has published release " + r.o.Tag + ", which stands on this", IDs: []int64{rel.ID}}
		}
	}
	return w.unwithdrawn(f.Ours...)
}

// unwithdrawn is a conflict where a rollback has withdrawn one of this run's releases.
func (w world) unwithdrawn(list ...hub.Release) error {
	for _, rel := range list {
		if rel.Withdrawn(w.marker) {
			return fmt.Errorf("%w: %w", ErrElsewhere, &hub.ConflictError{What: "release " + rel.Tag + " was public, and a rollback has withdrawn it", IDs: []int64{rel.ID}})
		}
	}
	return nil
}

// Undo deletes the draft with what was left of failed uploads. Whole assets that lie in it now are somebody else's:
// this run's own have been taken back before.
func (d *draft) Undo(ctx context.Context, ws *pipeline.Workspace, rec pipeline.Receipt) error {
	w, err := d.world(ws)
	if err != nil {
		return err
	}
	id, err := strconv.ParseInt(rec["id"], 10, 64)
	if err != nil {
		return fmt.Errorf("cannot tell which draft to delete: %w", err)
	}
	f, err := w.FindByMarker(ctx, d.o.Tag, w.marker)
	if err == nil {
		err = w.unwithdrawn(f.Ours...)
	}
	if err == nil {
		err = w.sweep(ctx, f, id, d.names()...) // another machine with a copy of the journal may have made one, too
	}
	if err != nil {
		return fmt.Errorf("cannot look for the draft of %s: %w", d.o.Tag, err)
	}
	list, err := w.ListAssets(ctx, id)
	if err != nil {
		gone, err := w.gone(ctx, err)
		if gone && err == nil {
			return nil
		}
		return fmt.Errorf("cannot look at draft %d: %w", id, err)
	}
	var names []string
	var ids []int64
	for _, a := range list {
		if a.State == hub.Uploaded {
			names, ids = append(names, a.Name), append(ids, a.ID)
		}
	}
	if len(names) > 0 {
		what := fmt.Sprintf("refused to delete the draft of %s: somebody put %s into it", d.o.Tag, strings.Join(names, ", "))
		return &hub.ConflictError{What: what, IDs: ids}
	}
	return w.DeleteDraft(ctx, id, w.marker)
}

// unique drops what is named twice and keeps the order.
func unique(list []string) (out []string) {
	for _, s := range list {
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
