package github

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/pipeline"
)

// Assets are the steps release/asset/NAME, one for each file. What the build made is uploaded as it lies there, after
// the engine has read it in full and compared it with its record; documents come out of the version commit's checkout.
func (r *Release) Assets(needs ...string) []pipeline.Step {
	var steps []pipeline.Step
	for _, f := range r.files {
		sp := pipeline.Spec{
			ID: f.id(), Needs: unique(append([]string{DraftID, f.step}, needs...)), Effect: pipeline.Remote, Target: r.target + " asset " + f.name,
			Inputs: []string{"receipt:" + DraftID + ".id"},
		}
		if f.artifact != "" {
			sp.Inputs = append(sp.Inputs, "artifact:"+f.artifact)
		} else {
			sp.Inputs, sp.Params = append(sp.Inputs, "artifact:"+sourceTree), map[string]string{"document": f.document}
		}
		steps = append(steps, &asset{r, f, sp})
	}
	return steps
}

type asset struct {
	*Release
	file file
	spec pipeline.Spec
}

var (
	_ pipeline.Prober = (*asset)(nil)
	_ pipeline.Undoer = (*asset)(nil)
)

func (s *asset) Spec() pipeline.Spec { return s.spec }

// local finds the file to upload.
func (s *asset) local(ws *pipeline.Workspace) (hub.File, error) {
	if s.file.artifact != "" {
		a, path, err := ws.Input(s.file.artifact)
		return hub.File{Name: s.file.name, Path: path, Size: a.Size, SHA256: a.SHA256}, err
	}
	_, tree, err := ws.Input(sourceTree)
	if err != nil {
		return hub.File{}, err
	}
	dir, err := ws.Temp()
	if err != nil {
		return hub.File{}, err
	}
	f, err := document(tree, s.file.document, filepath.Join(dir, "document"))
	if err != nil {
		return hub.File{}, fmt.Errorf("cannot read document %s of the version commit: %w", s.file.document, err)
	}
	f.Name = s.file.name
	return f, nil
}

// document copies a regular file of a tree, which no link can lead out of, and hashes what it copies.
func document(tree, name, to string) (hub.File, error) {
	root, err := os.OpenRoot(tree)
	if err != nil {
		return hub.File{}, err
	}
	defer root.Close()
	info, err := root.Stat(filepath.FromSlash(name))
	if err != nil {
		return hub.File{}, err
	}
	switch {
	case !info.Mode().IsRegular():
		return hub.File{}, errors.New("it is no file")
	case info.Size() == 0:
		return hub.File{}, errors.New("it is empty, which GitHub refuses")
	case info.Size() > hub.MaxAsset:
		return hub.File{}, errors.New("it has more than 2 GiB, which GitHub refuses")
	}
	in, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return hub.File{}, err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return hub.File{}, err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, h), in)
	return hub.File{Path: to, Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, errors.Join(err, out.Close())
}

// found is the receipt of an asset that is there.
func found(ws *pipeline.Workspace, a hub.Asset) pipeline.Receipt {
	return pipeline.Receipt{
		pipeline.Marker: ws.Run, "id": strconv.FormatInt(a.ID, 10), "name": a.Name,
		"size": strconv.FormatInt(a.Size, 10), "sha256": a.Digest,
	}
}

// Probe looks for the asset in this run's draft: there it is ours. What is left of a failed upload counts as nothing.
func (s *asset) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	w, err := s.world(ws)
	if err != nil {
		return nil, err
	}
	rel, err := s.ours(ctx, ws, w)
	if err != nil {
		return nil, err
	}
	f, err := s.local(ws)
	if err != nil {
		return nil, err
	}
	list, err := w.ListAssets(ctx, rel.ID)
	if err != nil {
		return nil, fmt.Errorf("cannot look for asset %s: %w", f.Name, err)
	}
	for _, a := range list {
		if a.Name == f.Name && a.State == hub.Uploaded {
			if a, err = w.Same(ctx, a, f); err != nil {
				return nil, err
			}
			return found(ws, a), nil
		}
	}
	return nil, s.draftOnly(rel, f)
}

// draftOnly refuses to add to what is published.
func (s *asset) draftOnly(rel hub.Release, f hub.File) error {
	if rel.Draft {
		return nil
	}
	return &hub.ConflictError{What: fmt.Sprintf("release %s was published without %s", s.o.Tag, f.Name), IDs: []int64{rel.ID}}
}

func (s *asset) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	w, err := s.world(ws)
	if err != nil {
		return nil, err
	}
	f, err := s.local(ws)
	if err != nil {
		return nil, err
	}
	rel, err := s.ours(ctx, ws, w)
	if err == nil {
		err = s.draftOnly(rel, f)
	}
	if err != nil {
		return nil, err
	}
	ws.Tick(0, f.Size)
	a, err := w.PutAsset(ctx, rel.ID, f, func(sent int64) { ws.Tick(sent, f.Size) })
	if err != nil {
		return nil, err
	}
	return found(ws, a), nil
}

// Undo deletes the asset while it is still the one that was uploaded, in a release that is still this run's draft.
func (s *asset) Undo(ctx context.Context, ws *pipeline.Workspace, rec pipeline.Receipt) error {
	w, err := s.world(ws)
	if err != nil {
		return err
	}
	id, err := strconv.ParseInt(rec["id"], 10, 64)
	if err != nil {
		return fmt.Errorf("cannot tell which asset to delete: %w", err)
	}
	size, err := strconv.ParseInt(rec["size"], 10, 64)
	if err != nil {
		return fmt.Errorf("cannot tell which asset to delete: %w", err)
	}
	a, err := w.Asset(ctx, id)
	if err != nil {
		gone, err := w.gone(ctx, err)
		if gone && err == nil {
			return nil
		}
		return fmt.Errorf("cannot look at asset %s: %w", rec["name"], err)
	}
	rel, err := s.ours(ctx, ws, w)
	if err == nil && !rel.Draft {
		err = fmt.Errorf("%w: %w", ErrElsewhere, &hub.ConflictError{What: "refused to delete " + a.Name + " from the published release " + s.o.Tag, IDs: []int64{rel.ID}})
	}
	if err == nil {
		err = w.unwithdrawn(rel)
	}
	if err == nil {
		_, err = w.Same(ctx, a, hub.File{Name: rec["name"], Size: size, SHA256: rec["sha256"]})
	}
	if err != nil {
		return err
	}
	return w.DeleteAsset(ctx, id)
}
