package hold

import (
	"context"
	"fmt"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// Name is the name of the phase that holds a version, or lets it go, by itself.
const Name = "hold"

// The phase's steps, and what the first of them reports.
const (
	StandingID = "hold/standing"
	GateID     = "gate/hold"
	ChangeID   = "hold/change"
	Standing   = "standing"
)

// KeyFile is the key of the first step's receipt that names the file which holds the version; empty: nobody does.
const KeyFile = "file"

// Phase holds a version, or lifts the hold, behind gate/hold: an approval of the role, where there is one. The Options'
// ID is filled in.
func Phase(o Options, lifts bool, role string) pipeline.Phase {
	o.ID = ChangeID
	return phase{o, lifts, role}
}

type phase struct {
	o     Options
	lifts bool
	role  string
}

// Name is the phase's name.
func (phase) Name() string { return Name }

// Plan lists a look at what is there, the gate and the change.
func (p phase) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) {
	if err := CheckReason(p.o.Reason); err != nil {
		return nil, err
	}
	title, asks, step := "Hold", "hold %s: %s", Set
	if p.lifts {
		title, asks, step = "Lift of a hold", "let %s go: %s", Lift
	}
	// Who signs sees the criteria, and nothing else of the plan.
	criterion := gate.Criterion{Title: fmt.Sprintf(asks, p.o.Version, p.o.Reason), Check: Standing}
	g := gate.Gate{ID: GateID, Title: title, Approve: p.role, Criteria: []gate.Criterion{criterion}}
	params := map[string]string{"branch": p.o.Branch.Name, "remote": p.o.Branch.Remote.URL, "version": p.o.Version, "reason": p.o.Reason}
	return []pipeline.Step{
		standing{p, pipeline.Spec{ID: StandingID, Checks: []string{Standing}, Params: params}},
		pipeline.NewGate(g, StandingID),
		step(p.o, GateID),
	}, nil
}

type standing struct {
	phase
	spec pipeline.Spec
}

func (s standing) Spec() pipeline.Spec { return s.spec }

// Run says whether the version is held, and by which file: without a receipt nobody could look.
func (s standing) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	e := gate.Evidence{Check: Standing, Expected: "branch " + s.o.Branch.Name + " can be read"}
	f, err := Look(ctx, ws, s.o.Branch, s.o.Version)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		e.Summary = err.Error()
		ws.Report(e)
		return nil, nil
	}
	switch unsigned := s.o.Branch.CanSign(ctx, ws); {
	case unsigned != nil:
		e.Verdict, e.Found, e.Summary = gate.Fail, "it cannot be committed to", unsigned.Error()
	case f.There:
		e.Verdict, e.Found, e.Summary = gate.Pass, f.Text(), f.Text()
	default:
		e.Verdict, e.Found, e.Summary = gate.Pass, "not held", s.o.Version+" is not held"
	}
	ws.Report(e)
	return pipeline.Receipt{KeyFile: f.file()}, nil
}
