package github

import (
	"context"
	"errors"
	"fmt"

	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// Inspect is the step release/inspect with the check "assets".
func (r *Release) Inspect(needs ...string) pipeline.Step {
	return &inspect{r, pipeline.Spec{
		ID: InspectID, Needs: unique(append(append(append([]string{DraftID}, r.makers(false)...), r.uploads()...), needs...)),
		Inputs: append([]string{"receipt:" + DraftID + ".id"}, r.planned()...), Checks: []string{Assets},
	}}
}

type inspect struct {
	*Release
	spec pipeline.Spec
}

func (s *inspect) Spec() pipeline.Spec { return s.spec }

func (s *inspect) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	want, err := s.plan(ws)
	if err != nil {
		return nil, err
	}
	e := pipeline.Evidence{
		Check: Assets, Subjects: map[string]string{},
		Expected: fmt.Sprintf("%d assets and no other, each whole, with the planned name, size and SHA-256", len(want)),
	}
	unknown := func(err error) (pipeline.Receipt, error) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		e.Summary = err.Error()
		ws.Report(e)
		return nil, nil
	}
	w, err := s.world(ws)
	if err != nil {
		return unknown(err)
	}
	rel, err := s.ours(ctx, ws, w)
	if errors.Is(err, pipeline.ErrConflict) {
		e.Verdict, e.Found, e.Summary = gate.Fail, "no draft of this run", err.Error()
		ws.Report(e)
		return nil, nil
	}
	if err != nil {
		return unknown(err)
	}
	c, err := w.settled(ctx, rel.ID, want)
	if err != nil {
		return unknown(err)
	}
	e.Subjects = c.digests
	if len(c.wrong) == 0 {
		e.Verdict, e.Found = gate.Pass, e.Expected
		e.Summary = fmt.Sprintf("release %d has its %d assets: %s", rel.ID, len(want), ids(c.ids))
	} else {
		e.Verdict, e.Found = gate.Fail, list(c.wrong)
		e.Summary = fmt.Sprintf("release %d: %s", rel.ID, list(c.wrong))
	}
	ws.Report(e)
	return nil, nil
}

func ids(of []int64) (text string) {
	for i, id := range of {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprint(id)
	}
	return text
}

var _ pipeline.Step = (*inspect)(nil)

// total is the sum of the sizes, in bytes.
func total(files []hub.File) (sum int64) {
	for _, f := range files {
		sum += f.Size
	}
	return sum
}
