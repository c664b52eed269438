package rehearsed

import (
	"testing"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// TestNoPlan: a receipt of no plan is not one of a run that does not say its plan.
func TestNoPlan(t *testing.T) {
	t.Parallel()
	e := &endpoint.Endpoints{Rehearsed: func(kind string) ([]byte, error) { return Receipt{Kind: kind}.Bytes() }}
	for _, kind := range Kinds {
		if ev := look(e, kind); ev.Verdict != gate.Unknown || ev.Summary == "" {
			t.Errorf("%s: %+v", kind, ev)
		}
	}
}
