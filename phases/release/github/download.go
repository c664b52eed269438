package github

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// Download is the step release/download with the checks "public" and "latest": what anybody sees, who has no token.
func (r *Release) Download(needs ...string) pipeline.Step {
	return &download{r, pipeline.Spec{
		ID: DownloadID, Needs: unique(append(append(append([]string{PublishID}, r.makers(false)...), r.uploads()...), needs...)),
		Inputs: append([]string{"receipt:" + PublishID + ".id"}, r.planned()...), Checks: []string{Public, Latest},
		Params: map[string]string{"url": r.URL(""), "latest": strconv.FormatBool(r.o.Latest)},
	}}
}

type download struct {
	*Release
	spec pipeline.Spec
}

func (d *download) Spec() pipeline.Spec { return d.spec }

func (d *download) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	want, err := d.plan(ws)
	if err != nil {
		return nil, err
	}
	text, err := ws.Receipt(PublishID, "id")
	if err != nil {
		return nil, err
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("cannot read the id of the published release: %w", err)
	}
	w, worldErr := d.world(ws)
	for _, look := range []func(context.Context, *pipeline.Workspace, world, int64, []hub.File) pipeline.Evidence{d.public, d.latest} {
		e := look(ctx, ws, w, id, want)
		if worldErr != nil {
			e.Verdict, e.Found, e.Summary = gate.Unknown, "", worldErr.Error()
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		ws.Report(e)
	}
	return nil, nil
}

// seen is what became of one asset's download.
type seen struct {
	digest string
	wrong  string // a difference that is certain
	err    error  // why it is not known
}

// public downloads every asset without a token, by the address that others write into their packages.
func (d *download) public(ctx context.Context, ws *pipeline.Workspace, w world, id int64, want []hub.File) pipeline.Evidence {
	e := pipeline.Evidence{
		Check: Public, Subjects: map[string]string{},
		Expected: fmt.Sprintf("%d assets below %s, for everybody, with the planned bytes", len(want), d.URL("")),
	}
	if w.Client == nil {
		return e
	}
	var rel comparison
	var err error
	w.await(ctx, w.Patience, func() bool {
		rel, err = w.compare(ctx, id, want)
		return err != nil || rel.missing
	})
	if err != nil {
		e.Summary = err.Error()
		return e
	}
	wrong, unsure := rel.wrong, []string(nil)
	var before int64
	for _, f := range want {
		a, ok := rel.assets[f.Name]
		if !ok {
			continue // said already
		}
		s := d.one(ctx, ws, w, f, a, before, total(want))
		before += f.Size
		if s.digest != "" {
			e.Subjects[f.Name] = s.digest
		}
		if s.wrong != "" {
			wrong = append(wrong, s.wrong)
		}
		if s.err != nil {
			unsure = append(unsure, fmt.Sprintf("%s: %v", f.Name, s.err))
		}
	}
	switch {
	case len(wrong) > 0:
		e.Verdict, e.Found, e.Summary = gate.Fail, list(wrong), list(append(wrong, unsure...))
	case len(unsure) > 0:
		e.Summary = list(unsure)
	default:
		e.Verdict, e.Found = gate.Pass, e.Expected
		e.Summary = fmt.Sprintf("%d assets, %d bytes, downloaded from %s without a token", len(want), total(want), d.URL(""))
	}
	return e
}

// one downloads an asset. That it is not there yet is waited for.
func (d *download) one(ctx context.Context, ws *pipeline.Workspace, w world, f hub.File, a hub.Asset, before, all int64) (s seen) {
	at := d.URL(f.Name)
	if !strings.EqualFold(a.URL, at) { // owners and repositories have no case
		s.wrong = fmt.Sprintf("%s is at %.300q, want %s", f.Name, a.URL, at)
		return s
	}
	var got hub.Content
	w.await(ctx, w.Patience, func() bool {
		got, s.err = w.DownloadPublic(ctx, at, hub.Content{Size: f.Size, SHA256: f.SHA256}, func(n int64) { ws.Tick(before+n, all) })
		return errors.Is(s.err, hub.ErrNotFound)
	})
	if errors.Is(s.err, hub.ErrMismatch) {
		s.wrong, s.err = fmt.Sprintf("%s comes with %d bytes and SHA-256 %s, want %d with %s", f.Name, got.Size, got.SHA256, f.Size, f.SHA256), nil
	}
	s.digest = got.SHA256
	return s
}

// latest asks which release is the latest.
func (d *download) latest(ctx context.Context, _ *pipeline.Workspace, w world, id int64, _ []hub.File) pipeline.Evidence {
	e := pipeline.Evidence{Check: Latest, Expected: "it is the latest release"}
	if !d.o.Latest {
		e.Expected = "the latest release is another one, or none"
	}
	if w.Client == nil {
		return e
	}
	var now hub.Release
	var err error
	w.await(ctx, w.Patience, func() bool {
		now, err = w.Latest(ctx)
		if errors.Is(err, hub.ErrNotFound) {
			now, err = hub.Release{}, nil
		}
		return err != nil || (now.ID == id) != d.o.Latest
	})
	switch is := now.ID == id; {
	case err != nil:
		e.Summary = "cannot find out which release is the latest: " + err.Error()
	case is == d.o.Latest:
		e.Verdict, e.Found = gate.Pass, e.Expected
		e.Summary = "the latest release is " + orNone(now.Tag)
	default:
		e.Verdict, e.Found = gate.Fail, "it is the latest release"
		if !is {
			e.Found = "it is not the latest release"
		}
		e.Summary = fmt.Sprintf("the latest release is %s; expected: %s", orNone(now.Tag), e.Expected)
	}
	return e
}

func orNone(tag string) string {
	if tag == "" {
		return "none"
	}
	return fmt.Sprintf("%.100q", tag)
}
