package hold

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/mainline"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// Options say which version is held or let go, where and why.
type Options struct {
	ID      string // of the step
	Branch  mainline.Branch
	Version string // X.Y.Z[-pre][+build]
	Reason  string
	// Approval finds the approval that the hold rests on; nil, or false: there is none.
	Approval func() (gate.Statement, bool)
}

// Set returns the step that commits the hold to the branch. A version that is held already stays so: adopted.
func Set(o Options, needs ...string) pipeline.Step { return set{change{o, o.spec("hold", needs)}} }

// Lift returns the step that removes the hold from the branch: the one that the step [StandingID] has seen, and no other.
func Lift(o Options, needs ...string) pipeline.Step {
	sp := o.spec("lift", append(needs, StandingID))
	sp.Inputs = []string{"receipt:" + StandingID + "." + KeyFile}
	return lift{change{o, sp}}
}

func (o Options) spec(what string, needs []string) pipeline.Spec {
	p := o.Branch.Params()
	maps.Copy(p, map[string]string{"version": o.Version, "reason": o.Reason, "change": what})
	return pipeline.Spec{ID: o.ID, Needs: needs, Effect: pipeline.Permanent, Target: o.Branch.Target(), Params: p}
}

type change struct {
	o    Options
	spec pipeline.Spec
}

func (c change) Spec() pipeline.Spec { return c.spec }

func (c change) subject(verb string) string {
	v, err := version.Parse(c.o.Version)
	if err != nil {
		return verb + " " + c.o.Version
	}
	return verb + " " + v.Release()
}

func (c change) message(verb string) string {
	return c.subject(verb) + "\n\n" + strings.TrimSpace(c.o.Reason) + "\n"
}

type set struct{ change }

var _ pipeline.Prober = set{}

// Probe finds the version held: ours by the run in the file.
func (s set) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	t, err := s.o.Branch.Look(ctx, ws)
	if err != nil {
		return nil, err
	}
	return s.there(t)
}

func (s set) there(t *mainline.Tip) (pipeline.Receipt, error) {
	f, err := at(t, s.o.Version)
	switch {
	case err != nil || !f.There:
		return nil, err
	case f.Bad != nil:
		path, _ := Path(s.o.Version)
		return nil, fmt.Errorf("%w: %s on %s cannot be read, and holds the version all the same: %w", pipeline.ErrConflict, path, s.o.Branch.Name, f.Bad)
	}
	return pipeline.Receipt{pipeline.Marker: f.Hold.Run, "branch": s.o.Branch.Name, "tip": t.Commit.Hash.String(), "reason": f.Hold.Reason}, nil
}

// Run commits the file.
func (s set) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	path, err := Path(s.o.Version)
	if err != nil {
		return nil, err
	}
	if err := CheckReason(s.o.Reason); err != nil {
		return nil, err
	}
	h, err := s.hold(ws)
	if err != nil {
		return nil, err
	}
	content, err := h.Bytes()
	if err != nil {
		return nil, err
	}
	if _, err := Parse(content); err != nil {
		return nil, err
	}
	var there pipeline.Receipt
	made, err := s.o.Branch.Commit(ctx, ws, s.message("Hold"), func(t *mainline.Tip) (map[string]mainline.File, error) {
		if there, err = s.there(t); err != nil || there != nil {
			return nil, err
		}
		return map[string]mainline.File{path: {Content: content}}, nil
	})
	if err != nil || there != nil {
		return there, err
	}
	return pipeline.Receipt{pipeline.Marker: ws.Run, "branch": s.o.Branch.Name, "commit": made, "reason": s.o.Reason}, nil
}

func (s set) hold(ws *pipeline.Workspace) (Hold, error) {
	e, err := endpoint.Of(ws)
	if err != nil {
		return Hold{}, err
	}
	since, err := now(ws)
	if err != nil {
		return Hold{}, err
	}
	v, err := version.Parse(s.o.Version)
	if err != nil {
		return Hold{}, err
	}
	h := Hold{Project: ws.Env.Project, Version: v.Release(), Reason: s.o.Reason, Since: since, Run: ws.Run, Plan: e.Plan}
	if s.o.Approval != nil {
		if st, ok := s.o.Approval(); ok {
			h.Signed, h.Signature = st.Signed, st.Signature
		}
	}
	return h, nil
}

type lift struct{ change }

var _ pipeline.Prober = lift{}

// Probe finds the version let go: ours by the commit's trailer, also where somebody has held it anew since.
func (s lift) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	t, err := s.o.Branch.Look(ctx, ws)
	if err != nil {
		return nil, err
	}
	r := pipeline.Receipt{"branch": s.o.Branch.Name, "tip": t.Commit.Hash.String()}
	made, err := t.Made(ws.Run, s.subject("Lift the hold on"), s.o.Branch.Base)
	if err != nil {
		return nil, err
	}
	if made != "" {
		r[pipeline.Marker], r["commit"] = ws.Run, made
		return r, nil
	}
	f, err := at(t, s.o.Version)
	if err != nil || f.There {
		return nil, err
	}
	return r, nil
}

// Run removes the file. Where it is another one than was seen, that is a conflict.
func (s lift) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	path, err := Path(s.o.Version)
	if err != nil {
		return nil, err
	}
	seen, err := ws.Receipt(StandingID, KeyFile)
	if err != nil {
		return nil, err
	}
	made, err := s.o.Branch.Commit(ctx, ws, s.message("Lift the hold on"), func(t *mainline.Tip) (map[string]mainline.File, error) {
		f, err := at(t, s.o.Version)
		if err != nil || !f.There {
			return nil, err
		}
		if f.file() != seen {
			return nil, fmt.Errorf("%w: somebody has held %s anew since the gate was asked about it: %s", pipeline.ErrConflict, s.o.Version, f.Text())
		}
		return map[string]mainline.File{path: {}}, nil
	})
	if err != nil {
		return nil, err
	}
	if made == "" { // somebody was faster
		return pipeline.Receipt{pipeline.Marker: "made by others", "branch": s.o.Branch.Name}, nil
	}
	return pipeline.Receipt{pipeline.Marker: ws.Run, "branch": s.o.Branch.Name, "commit": made}, nil
}
