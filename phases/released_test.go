package phases

import (
	"slices"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/rollback"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// tale tells journals record by record, a minute apart.
type tale struct {
	t   *testing.T
	now time.Time
}

// does is a step with what became of it, in a journal.
type does struct {
	step    string
	event   pipeline.Event // "": done
	receipt pipeline.Receipt
	failure string
}

// journal is that of a plan of these steps, of which those under push, publish and the like cannot be taken back.
func (x *tale) journal(name string, planned []string, events ...does) *Released {
	x.t.Helper()
	m := &pipelinetest.Memory{}
	add := func(r pipeline.Record) {
		x.now = x.now.Add(time.Minute)
		r.Run, r.Time = "run of "+name, x.now
		if err := m.Append(r); err != nil {
			x.t.Fatal(err)
		}
	}
	p := &pipeline.Plan{Env: pipeline.Env{Project: "demo", Version: "1.1.0"}}
	for _, id := range planned {
		effect := pipeline.Permanent
		if id == "build/x" || pipeline.PhaseOf(id) != id[:len(pipeline.PhaseOf(id))] { // gates and proofs
			effect = pipeline.Pure
		}
		sp := pipeline.Spec{ID: id, Effect: effect}
		if id == rollback.StandingID {
			sp.Effect, sp.Params = pipeline.Pure, map[string]string{"to": "1.0.0", "reason": "it is slow"}
		}
		p.Specs = append(p.Specs, sp)
	}
	add(pipeline.Record{Event: pipeline.Begin, Planned: p})
	for _, e := range events {
		if e.event == "" {
			e.event = pipeline.Done
		}
		add(pipeline.Record{Event: e.event, Step: e.step, Receipt: e.receipt, Error: e.failure})
	}
	r, err := ReadReleased(m)
	if err != nil {
		x.t.Fatal(err)
	}
	r.Name = name
	return r
}

func (x *tale) with(main *Released, beside ...*Released) *Released {
	main.Beside = beside
	return main
}

func pushes(version string) pipeline.Receipt {
	return pipeline.Receipt{"version": version, "commit": "c-" + version}
}

// TestReleased_Pushed: what republications and rollbacks have published counts, and the newest of it.
func TestReleased_Pushed(t *testing.T) {
	x := &tale{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	main := x.journal("", []string{"release/publish", "aur/push/a", "aur/push/b"}, does{step: "release/publish"}, does{step: "aur/push/a", receipt: pushes("1.1.0-1")})
	if got := main.pushed(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("alone: %q", got)
	}
	aur1 := x.journal("aur-1", []string{"gate/aur", "aur/push/a", "aur/push/c"}, does{step: "aur/push/a", receipt: pushes("1.1.0-2")}, does{step: "aur/push/c", receipt: pushes("1.1.0-1")})
	aur2 := x.journal("aur-2", []string{"gate/aur", "aur/push/c", "aur/push/d"}, does{step: "aur/push/c", event: pipeline.Started})
	x.with(main, aur1, aur2)
	want := []Pushed{{"a", "aur-1", "1.1.0-2", "c-1.1.0-2"}, {"c", "aur-2", "", ""}}
	if got := main.Pushed(); !slices.Equal(got, want) {
		t.Errorf("republished: %+v", got)
	}
	back := x.journal("rollback-1", []string{rollback.StandingID, "gate/rollback", "rollback/push/a"}, does{step: "rollback/push/a", receipt: pushes("1.1.0+really1.0.0-1")})
	x.with(main, aur1, back)
	want = []Pushed{{"a", "rollback-1", "1.1.0+really1.0.0-1", "c-1.1.0+really1.0.0-1"}, {"c", "aur-1", "1.1.0-1", "c-1.1.0-1"}}
	if got := main.Pushed(); !slices.Equal(got, want) {
		t.Errorf("rolled back: %+v", got)
	}
	want[0] = Pushed{"a", "aur-1", "1.1.0-2", "c-1.1.0-2"}
	if got := main.Shipped(); !slices.Equal(got, want) {
		t.Errorf("shipped: %+v", got)
	}
	// What reached the AUR by a republication alone has reached it.
	none := x.with(x.journal("", []string{"release/publish"}, does{step: "release/publish"}), aur1)
	if got := none.pushed(); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("by a republication alone: %q", got)
	}
}

// TestReleased_Permanent: a plan beside the release that has begun to publish keeps it from being unwound; a hold, or one
// that has only looked, does not.
func TestReleased_Permanent(t *testing.T) {
	x := &tale{t: t}
	unsure := func() *Released {
		return x.journal("", []string{"build/x", "release/publish"}, does{step: "build/x"}, does{step: "release/publish", event: pipeline.Started})
	}
	steps := []string{rollback.StandingID, rollback.GateID, rollback.WithdrawID, rollback.HoldID}
	for name, c := range map[string]struct {
		main   *Released
		beside []*Released
		step   string
		sure   bool
	}{
		"nothing":                 {x.journal("", []string{"build/x", "release/publish"}, does{step: "build/x"}), nil, "", false},
		"unsure":                  {unsure(), nil, "release/publish", false},
		"a rollback has looked":   {unsure(), []*Released{x.journal("rollback-1", steps, does{step: rollback.StandingID})}, "release/publish", false},
		"a rollback has begun":    {unsure(), []*Released{x.journal("rollback-1", steps, does{step: rollback.WithdrawID, event: pipeline.Started})}, rollback.WithdrawID, true},
		"it was withdrawn":        {unsure(), []*Released{x.journal("rollback-1", steps, does{step: rollback.WithdrawID})}, rollback.WithdrawID, true},
		"it is held":              {x.journal("", []string{"release/publish"}), []*Released{x.journal("hold-1", []string{"gate/hold", "hold/change"}, does{step: "hold/change"})}, "", false},
		"a hold alone":            {unsure(), []*Released{x.journal("rollback-1", steps[:2:2], does{step: rollback.GateID}), x.journal("rollback-2", []string{rollback.StandingID, rollback.HoldID}, does{step: rollback.HoldID})}, "release/publish", false},
		"a hold came first":       {unsure(), []*Released{x.journal("rollback-1", []string{rollback.HoldID, rollback.StandingID, rollback.GateID, rollback.WithdrawID}, does{step: rollback.HoldID})}, rollback.HoldID, true},
		"it was published again":  {x.journal("", []string{"release/publish"}, does{step: "release/publish"}), []*Released{x.journal("aur-1", []string{"aur/push/a"}, does{step: "aur/push/a"})}, "aur/push/a", true},
		"only to be published":    {x.journal("", []string{"release/publish"}, does{step: "release/publish"}), []*Released{x.journal("aur-1", []string{"aur/push/a"})}, "release/publish", true},
		"undone, so it is not so": {x.journal("", []string{"release/publish"}, does{step: "release/publish", event: pipeline.Started}, does{step: "release/publish", event: pipeline.Undone}), nil, "", false},
	} {
		if step, sure := x.with(c.main, c.beside...).Permanent(); step != c.step || sure != c.sure {
			t.Errorf("%s: %q %v, want %q %v", name, step, sure, c.step, c.sure)
		}
	}
}

// TestReleased_Done: a look or a gate that fails once more is not done, what others may see still is; and what has ended
// does not go on for that. The newest record says which step it was, however it ended.
func TestReleased_Done(t *testing.T) {
	x := &tale{t: t}
	steps := []string{rollback.StandingID, rollback.GateID, rollback.WithdrawID, rollback.ProofID}
	var events []does
	for _, id := range steps {
		events = append(events, does{step: id})
	}
	for _, e := range []pipeline.Event{pipeline.Failed, pipeline.Waiting} {
		r := x.journal("rollback-1", steps, append(slices.Clone(events), does{step: rollback.GateID, event: e}, does{step: rollback.WithdrawID, event: e}, does{step: rollback.ProofID, event: e})...)
		_, gate := r.Done[rollback.GateID]
		_, proof := r.Done[rollback.ProofID]
		if _, look := r.Done[rollback.StandingID]; gate || proof || !look || !r.Acted(rollback.WithdrawID) || !r.Over() {
			t.Errorf("%s: %v, over %v", e, r.Done, r.Over())
		}
	}
	m := &pipelinetest.Memory{}
	p := &pipeline.Plan{Specs: []pipeline.Spec{{ID: rollback.WithdrawID, Effect: pipeline.Permanent}}}
	for _, rec := range []pipeline.Record{{Event: pipeline.Begin, Planned: p}, {Event: pipeline.Started, Spec: "a"}, {Event: pipeline.Failed, Spec: "b"}} {
		if rec.Step = ""; rec.Planned == nil {
			rec.Step = rollback.WithdrawID
		}
		if err := m.Append(rec); err != nil {
			t.Fatal(err)
		}
		if r, err := ReadReleased(m); err != nil || r.Spec(rollback.WithdrawID) != rec.Spec {
			t.Errorf("%s: %q, %v", rec.Event, r.Spec(rollback.WithdrawID), err)
		}
	}
}

// TestReleased_Backs: how rollbacks and holds stand follows from their records.
func TestReleased_Backs(t *testing.T) {
	x := &tale{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	main := x.journal("", []string{"release/publish"}, does{step: "release/publish"})
	if main.RolledBack() != nil || main.Holding() != nil || len(main.Backs()) > 0 {
		t.Error("nobody has rolled it back")
	}
	all := []string{
		rollback.StandingID, rollback.GateID, "rollback/push/a", "rollback/push/b", rollback.WithdrawID, rollback.LatestID, rollback.RevertID, rollback.HoldID, rollback.ProofID,
	}
	back := func(events ...does) Back {
		t.Helper()
		return x.with(main, x.journal("rollback-1", all, events...)).Backs()[0]
	}
	levels := func(b Back) (out []string) {
		for _, l := range b.Levels {
			out = append(out, l.Level+" "+l.State+" "+l.What)
		}
		return out
	}
	pushed := []does{{step: "rollback/push/a", receipt: pushes("1.1.0+really1.0.0-1")}, {step: "rollback/push/b", receipt: pushes("2-1")}}
	refusal := does{step: "rollback/push/a", event: pipeline.Failed, failure: "somebody else\nand more"}
	for name, c := range map[string]struct {
		events []does
		acted  bool
		want   []string
	}{
		"begun":                   {nil, false, []string{"aur pending ", "github pending ", "git pending ", "hold pending "}},
		"waits at its gate":       {[]does{{step: rollback.StandingID}, {step: rollback.GateID, event: pipeline.Waiting}}, false, []string{"aur pending ", "github pending ", "git pending ", "hold pending "}},
		"one of two pushed":       {pushed[:1], true, []string{"aur active a 1.1.0+really1.0.0-1", "github pending ", "git pending ", "hold pending "}},
		"a push in the dark":      {[]does{{step: "rollback/push/a", event: pipeline.Started}}, true, []string{"aur active ", "github pending ", "git pending ", "hold pending "}},
		"refused before it acted": {[]does{refusal}, false, []string{"aur failed somebody else", "github pending ", "git pending ", "hold pending "}},
		"withdrawn, then failed": {
			append(slices.Clone(pushed), does{step: rollback.WithdrawID, receipt: pipeline.Receipt{"state": "draft"}}, does{step: rollback.LatestID, event: pipeline.Started}, does{step: rollback.LatestID, event: pipeline.Failed, failure: "502"}), true,
			[]string{"aur done a 1.1.0+really1.0.0-1, b 2-1", "github failed 502", "git pending ", "hold pending "},
		},
		"mended": {
			append(slices.Clone(pushed), does{step: rollback.WithdrawID, receipt: pipeline.Receipt{"state": "draft"}}, does{step: rollback.LatestID, event: pipeline.Failed, failure: "502"},
				does{step: rollback.LatestID, receipt: pipeline.Receipt{"latest": "v1.0.0"}}, does{step: rollback.RevertID, receipt: pipeline.Receipt{"commit": "0123456789abcdef"}}), true,
			[]string{"aur done a 1.1.0+really1.0.0-1, b 2-1", "github done draft, latest v1.0.0", "git done commit 0123456789ab", "hold pending "},
		},
	} {
		b := back(c.events...)
		if got := levels(b); !slices.Equal(got, c.want) || b.Acted() != c.acted || b.Over() || b.To != "1.0.0" || b.Reason != "it is slow" {
			t.Errorf("%s: %q, acted %v of %+v", name, got, b.Acted(), b)
		}
		if got := main.RolledBack(); (got != nil) != c.acted {
			t.Errorf("%s: rolled back %+v", name, got)
		}
	}
	// A hold alone is no rollback. The newest of holds counts, wherever it was made.
	held := x.journal("rollback-1", []string{rollback.StandingID, rollback.HoldID}, does{step: rollback.HoldID, receipt: pipeline.Receipt{"reason": "it is slow"}})
	x.with(main, held)
	if b := main.Backs()[0]; b.Acted() || !b.Over() || b.Ended.Before(b.Began) {
		t.Errorf("%+v", b)
	}
	if h := main.Holding(); h == nil || !h.Held || h.By != "rollback-1" || h.Reason != "it is slow" {
		t.Errorf("%+v", h)
	}
	lifted := x.journal("hold-1", []string{"gate/hold", "hold/change"}, does{step: "hold/change"})
	lifted.Plan.Specs[1].Params = map[string]string{"change": "lift", "reason": "mended"}
	x.with(main, lifted, held)
	if h := main.Holding(); h == nil || h.Held || h.By != "hold-1" || h.Reason != "mended" {
		t.Errorf("%+v", h)
	}
	// The second rollback counts, unless it has done nothing yet.
	first := x.journal("rollback-1", all[:5], pushed...)
	second := x.journal("rollback-2", all)
	x.with(main, first, second)
	if b := main.RolledBack(); b == nil || b.Name != "rollback-1" || b.Over() {
		t.Errorf("%+v", b)
	}
	second = x.journal("rollback-2", all, does{step: rollback.RevertID})
	x.with(main, first, second)
	if b := main.RolledBack(); b == nil || b.Name != "rollback-2" {
		t.Errorf("%+v", b)
	}
}

// TestReleased_Published: what was done counts; what was only begun, as soon as a rollback has found it public, and then
// from when it was begun first.
func TestReleased_Published(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	x := &tale{t: t}
	at := func(records int) time.Time { return start.Add(time.Duration(records) * time.Minute) }
	begun, failed := does{step: PublishID, event: pipeline.Started}, does{step: PublishID, event: pipeline.Failed}
	undone := does{step: PublishID, event: pipeline.Undone}
	mark := pipeline.Receipt{pipeline.Marker: "run of rollback-1"}
	for name, c := range map[string]struct {
		events   []does
		withdraw *does
		want     Publication
	}{
		"not yet":             {nil, nil, Publication{}},
		"done":                {[]does{begun, {step: PublishID}, {step: "release/merge"}}, nil, Publication{PublishID, at(3), false}},
		"begun":               {[]does{begun}, nil, Publication{PublishID, time.Time{}, true}},
		"begun and withdrawn": {[]does{begun}, &does{receipt: mark}, Publication{PublishID, at(2), true}},
		"begun twice":         {[]does{begun, failed, begun}, &does{receipt: mark}, Publication{PublishID, at(2), true}},
		"begun anew":          {[]does{begun, undone, begun}, &does{receipt: mark}, Publication{PublishID, at(4), true}},
		"never arrived":       {[]does{begun, undone}, nil, Publication{}},
		"somebody's draft":    {[]does{begun}, &does{receipt: pipeline.Receipt{"state": "draft"}}, Publication{PublishID, time.Time{}, true}},
		"not withdrawn yet":   {[]does{begun}, &does{event: pipeline.Started}, Publication{PublishID, time.Time{}, true}},
		"done and withdrawn":  {[]does{{step: PublishID}}, &does{receipt: mark}, Publication{PublishID, at(2), false}},
	} {
		x.now = start
		main := x.journal("", []string{PublishID, "release/merge"}, c.events...)
		if c.withdraw != nil {
			c.withdraw.step = rollback.WithdrawID
			x.with(main, x.journal("rollback-1", []string{rollback.StandingID, rollback.WithdrawID}, *c.withdraw))
		}
		if got := main.Published(); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if got := (&Released{}).Published(); got != (Publication{}) {
		t.Errorf("an empty journal: %+v", got)
	}
}
