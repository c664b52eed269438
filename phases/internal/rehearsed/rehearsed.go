// Package rehearsed knows the receipts that rehearsals leave, and the checks that ask for them.
//
// A receipt counts for the very plan that was rehearsed: when a configuration, a commit or anything else of the plan
// changes, another rehearsal is needed.
package rehearsed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// The kinds of rehearsals, which are also the names of the checks that ask for their receipts.
const (
	Release  = "rehearsal"          // to the end of the plan
	Rollback = "rehearsal-rollback" // and back
)

// Kinds lists them.
var Kinds = []string{Release, Rollback}

// StepID is the ID of the step that reads receipts.
const StepID = "release/check/rehearsal"

// Receipt says what a rehearsal has shown, and what it could not show.
type Receipt struct {
	Kind       string    `json:"kind"`
	Project    string    `json:"project"`
	Version    string    `json:"version"`
	Commit     string    `json:"commit"` // base commit
	Plan       string    `json:"plan"`   // digest
	Time       time.Time `json:"time"`   // when it ended
	Covered    []string  `json:"covered"`
	NotCovered []string  `json:"not_covered"`
}

// Bytes is the receipt as it is kept in a file.
func (r Receipt) Bytes() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(r)
	return b.Bytes(), err
}

// Parse reads a receipt strictly.
func Parse(content []byte) (Receipt, error) {
	var r Receipt
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Receipt{}, fmt.Errorf("cannot read the rehearsal's receipt: %w", err)
	}
	if !slices.Contains(Kinds, r.Kind) || d.More() {
		return Receipt{}, errors.New("cannot read the rehearsal's receipt: it is none")
	}
	return r, nil
}

// Step returns the step that reads the receipts of these kinds.
func Step(kinds []string, needs ...string) pipeline.Step { return step{kinds, needs} }

type step struct{ kinds, needs []string }

func (s step) Spec() pipeline.Spec {
	return pipeline.Spec{ID: StepID, Needs: s.needs, Checks: s.kinds}
}

func (s step) Run(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	e, err := endpoint.Of(ws)
	if err != nil {
		return nil, err
	}
	for _, kind := range s.kinds {
		ws.Report(look(e, kind))
	}
	return nil, nil
}

func look(e *endpoint.Endpoints, kind string) gate.Evidence {
	ev := gate.Evidence{Check: kind, Expected: "a rehearsal of this plan that ended well"}
	hint := "slipway rehearse makes one"
	if kind == Rollback {
		hint = "slipway rehearse --rollback makes one"
	}
	if e.Rehearsed == nil {
		ev.Summary = "this is a rehearsal itself"
		return ev
	}
	content, err := e.Rehearsed(kind)
	if errors.Is(err, fs.ErrNotExist) {
		ev.Verdict, ev.Found, ev.Summary = gate.Fail, "no rehearsal", "there was none: "+hint
		return ev
	}
	var r Receipt
	if err == nil {
		r, err = Parse(content)
	}
	switch {
	case err != nil:
		ev.Summary = err.Error()
	case e.Plan == "":
		ev.Summary = "the run does not say which plan it is of"
	case r.Kind != kind:
		ev.Verdict, ev.Found, ev.Summary = gate.Fail, "a "+r.Kind, "it is the receipt of another kind of rehearsal: "+hint
	case r.Plan != e.Plan:
		ev.Verdict, ev.Found, ev.Summary = gate.Fail, "a rehearsal of another plan", fmt.Sprintf("another plan was rehearsed, %.12s: %s", r.Plan, hint)
	default:
		ev.Verdict, ev.Found = gate.Pass, ev.Expected
		ev.Summary = fmt.Sprintf("this plan was rehearsed at %s; %d things were not covered", r.Time.UTC().Format(time.RFC3339), len(r.NotCovered))
	}
	return ev
}
