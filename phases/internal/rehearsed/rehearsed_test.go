package rehearsed

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

type phase struct{}

func (phase) Name() string { return "release" }

func (phase) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) {
	criteria := []gate.Criterion{{Title: "a", Check: Release}, {Title: "b", Check: Rollback}}
	return []pipeline.Step{Step(Kinds), pipeline.NewGate(gate.Gate{ID: "gate/release", Title: "x", Criteria: criteria}, StepID)}, nil
}

// TestStep: only a receipt of the very plan, of the right kind, passes; what cannot be read is unknown.
func TestStep(t *testing.T) {
	t.Parallel()
	p, err := pipeline.NewPlan(t.Context(), pipeline.Env{Project: "p", Version: "1.2.3"}, phase{})
	if err != nil {
		t.Fatal(err)
	}
	receipt := func(change func(*Receipt)) func(string) ([]byte, error) {
		return func(kind string) ([]byte, error) {
			r := Receipt{Kind: kind, Project: "p", Version: "1.2.3", Plan: p.Digest, Time: time.Unix(0, 0)}
			change(&r)
			return r.Bytes()
		}
	}
	answer := func(text string, err error) func(string) ([]byte, error) {
		return func(string) ([]byte, error) { return []byte(text), err }
	}
	for _, tc := range []struct {
		name    string
		read    func(string) ([]byte, error)
		verdict gate.Verdict
		says    string
	}{
		{"right", receipt(func(*Receipt) {}), gate.Pass, "this plan was rehearsed at 1970-01-01T00:00:00Z"},
		{"none", answer("", fs.ErrNotExist), gate.Fail, "slipway rehearse"},
		{"another plan", receipt(func(r *Receipt) { r.Plan = strings.Repeat("0", 64) }), gate.Fail, "another plan was rehearsed, 000000000000"},
		{"another kind", receipt(func(r *Receipt) { r.Kind = map[string]string{Release: Rollback, Rollback: Release}[r.Kind] }), gate.Fail, "another kind"},
		{"no kind", receipt(func(r *Receipt) { r.Kind = "" }), gate.Unknown, "cannot read"},
		{"damaged", answer("{", nil), gate.Unknown, "cannot read"},
		{"unreadable", answer("", errors.New("disk on fire")), gate.Unknown, "disk on fire"},
		{"itself a rehearsal", nil, gate.Unknown, "this is a rehearsal itself"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := pipeline.Options{
				Journal: new(pipelinetest.Memory), Dirs: pipeline.Dirs{Dist: t.TempDir(), Work: t.TempDir()},
				Endpoints: &endpoint.Endpoints{Plan: p.Digest, Rehearsed: tc.read},
			}
			_, evidence, err := p.Look(t.Context(), o, StepID)
			if err != nil || len(evidence) != len(Kinds) {
				t.Fatalf("%v, %v", evidence, err)
			}
			for _, e := range evidence {
				if e.Verdict != tc.verdict || !strings.Contains(e.Summary, tc.says) {
					t.Errorf("%s: %s, %q", e.Check, e.Verdict, e.Summary)
				}
			}
		})
	}
}

// FuzzParse: what is read is what would be written.
func FuzzParse(f *testing.F) {
	b, err := Receipt{Kind: Release, Covered: []string{"x"}, NotCovered: []string{"<y>"}}.Bytes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"kind":"rehearsal"} {}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := Parse(content)
		if err != nil {
			return
		}
		b, err := r.Bytes()
		if err != nil {
			return // a year that JSON has no form for
		}
		again, err := Parse(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if c, err := again.Bytes(); err != nil || string(c) != string(b) {
			t.Errorf("%s\n%s: %v", b, c, err)
		}
	})
}
