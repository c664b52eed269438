package cli

import (
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// Each kind of block comes from what the journal says, the root of it and not what merely comes later.
func TestBlocks(t *testing.T) {
	a := &app{dir: "."}
	step := func(id string, event pipeline.Event, err string, needs ...string) pipeline.StepState {
		return pipeline.StepState{
			Spec: pipeline.Spec{ID: id, Needs: needs}, Last: pipeline.Record{Event: event, Error: err}, Current: event == pipeline.Done && err == "",
		}
	}
	waits := func(needs ...string) pipeline.StepState {
		g := gate.State{Gate: gate.Gate{ID: "gate/x"}, Blocks: []gate.Block{
			{Kind: "waiting", Step: "gate/x", What: "it's good", Who: "lead"}, {Kind: "waiting", Step: "gate/x", Who: "lead"}, {Kind: "failed", Step: "gate/x", What: "c"},
		}}
		return pipeline.StepState{Spec: pipeline.Spec{ID: "gate/x", Needs: needs}, Gate: &g}
	}
	first, second := step("x/a", pipeline.Done, ""), step("x/b", "", "", "x/a")
	conflict := fmt.Sprintf("cannot push: %v: a tag", pipeline.ErrConflict)
	for name, c := range map[string]struct {
		steps []pipeline.StepState
		of    string
		want  []string
	}{
		"nothing has run":      {[]pipeline.StepState{step("x/a", "", ""), second}, "", []string{"missing x/a: slipway run"}},
		"the next":             {[]pipeline.StepState{first, second, waits("x/b")}, "", []string{"missing x/b: slipway run"}},
		"failed":               {[]pipeline.StepState{first, step("x/b", pipeline.Failed, "no", "x/a"), waits("x/b")}, "", []string{"failed x/b: slipway run"}},
		"conflict":             {[]pipeline.StepState{first, step("x/b", pipeline.Failed, conflict, "x/a")}, "x/b", []string{"conflict x/b: slipway run"}},
		"cut off":              {[]pipeline.StepState{first, step("x/b", pipeline.Started, "", "x/a")}, "", []string{"unknown x/b: slipway run"}},
		"made of other things": {[]pipeline.StepState{first, step("x/b", pipeline.Done, "stale", "x/a")}, "", []string{"missing x/b: slipway run"}},
		"asked about another":  {[]pipeline.StepState{first, step("x/b", pipeline.Failed, "no")}, "x/a", nil},
		"asked about a later":  {[]pipeline.StepState{step("x/a", pipeline.Failed, "no"), second, waits("x/b")}, "gate/x", []string{"failed x/a: slipway run"}},
		"a gate": {[]pipeline.StepState{first, waits("x/a")}, "", []string{
			`waiting gate/x: slipway attest gate/x 'it'\''s good'`, "waiting gate/x: slipway approve gate/x", "failed gate/x: slipway run --amend",
		}},
	} {
		var got []string
		for _, b := range a.blocks(&release{}, &pipeline.Survey{Steps: c.steps}, c.of) {
			got = append(got, b.Kind+" "+b.Step+": "+b.Command)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

type records []pipeline.Record

func (r records) Append(pipeline.Record) error { return nil }

func (r records) Records() iter.Seq2[pipeline.Record, error] {
	return func(yield func(pipeline.Record, error) bool) {
		for _, rec := range r {
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// The base commit may change only while nothing that others see stands.
func TestRead_Acted(t *testing.T) {
	plan := &pipeline.Plan{Digest: "d", Specs: []pipeline.Spec{{ID: "x/local", Effect: pipeline.Local}, {ID: "x/push", Effect: pipeline.Remote}, {ID: "x/publish", Effect: pipeline.Permanent}}}
	begin := pipeline.Record{Event: pipeline.Begin, Planned: plan}
	at := func(step string, e pipeline.Event) pipeline.Record { return pipeline.Record{Step: step, Event: e} }
	for name, c := range map[string]struct {
		journal records
		acted   bool
	}{
		"empty":    {nil, false},
		"local":    {records{begin, at("x/local", pipeline.Started), at("x/local", pipeline.Done)}, false},
		"begun":    {records{begin, at("x/push", pipeline.Started)}, true},
		"failed":   {records{begin, at("x/push", pipeline.Started), at("x/push", pipeline.Failed)}, true},
		"adopted":  {records{begin, at("x/push", pipeline.Done)}, true},
		"undone":   {records{begin, at("x/push", pipeline.Done), at("x/push", pipeline.Undone)}, false},
		"one left": {records{begin, at("x/push", pipeline.Done), at("x/publish", pipeline.Done), at("x/push", pipeline.Undone)}, true},
	} {
		r := &release{}
		if err := r.read(c.journal); err != nil || r.acted != c.acted {
			t.Errorf("%s: acted is %v, want %v: %v", name, r.acted, c.acted, err)
		}
	}
}
