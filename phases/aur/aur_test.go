package aur

import (
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/aur/push"
	"github.com/imrightguy/slipway/phases/aur/readback"
	"github.com/imrightguy/slipway/phases/aur/remote"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

var first = product{Name: pkg, Version: released, PkgRel: "1"}

// A new package is made by its first push; the next release is one commit on top, and what is not ours to keep goes.
func TestRelease(t *testing.T) {
	w := newWorld(t)
	w.publish(first)
	r := w.release(first)
	r.ends()
	w.once(1, first)
	c := w.commits(pkg)[0]
	run := r.last("proof/aur").Run
	if want := "Initial import of 1.2.3-1\n\nSlipway-Run: " + run + "\n"; c.Message != want {
		t.Errorf("message %q, want %q", c.Message, want)
	}
	if who := c.Author.Name + " <" + c.Author.Email + ">"; who != author || c.Author != c.Committer || !c.Author.When.Equal(r.env.Time) {
		t.Errorf("author %v, committer %v", c.Author, c.Committer)
	}
	if got := r.last(push.StepID(pkg)).Receipt; got[push.KeyCommit] != c.Hash.String() || got[pipeline.Marker] != run {
		t.Errorf("receipt %v", got)
	}
	for _, check := range readback.Checks {
		if e := r.evidence(readback.StepID(pkg), check); e.Verdict != gate.Pass {
			t.Errorf("%s: %+v", check, e)
		}
	}
	if e := r.evidence(remote.StepID(pkg), remote.CheckOwner); e.Found != "free" {
		t.Errorf("%+v", e)
	}

	second := product{Name: pkg, Version: "1.3.0", PkgRel: "1"}
	w.publish(second)
	r2 := w.release(second)
	r2.ends()
	w.once(2, second)
	newest := w.commits(pkg)[0]
	if newest.ParentHashes[0] != c.Hash || !strings.HasPrefix(newest.Message, "Update to 1.3.0-1\n") {
		t.Errorf("%v", newest)
	}
	e := r2.evidence(remote.StepID(pkg), remote.CheckNewer)
	if want := "1.3.0-1 over 1.2.3-1 at " + c.Hash.String(); e.Found != want || !strings.Contains(e.Summary, "\n-\tpkgver = 1.2.3") || !strings.Contains(e.Summary, "\n+\tpkgver = 1.3.0") {
		t.Errorf("found %q, want %q; summary\n%s", e.Found, want, e.Summary)
	}
	if e := r2.evidence(remote.StepID(pkg), remote.CheckOwner); e.Found != "this account's" {
		t.Errorf("%+v", e)
	}
	for _, req := range w.hub.Requests() {
		if req.Authorized && (req.Host == "web" || req.Host == "downloads") {
			t.Errorf("a download bore a credential: %+v", req)
		}
	}
}

// Planning touches nothing, a second run makes nothing, and a power cut at each record heals.
func TestContract(t *testing.T) {
	var w *world
	pipelinetest.Contract(t, pipelinetest.Subject{
		Env:    first.env(),
		Phases: func() []pipeline.Phase { return phasesOf(t, first) },
		Reset: func() {
			if w != nil {
				w.once(1, first)
			}
			w = newWorld(t)
			w.publish(first)
		},
		Options: func() pipeline.Options { return pipeline.Options{Jobs: 2, Endpoints: w.endpoints()} },
		Watch:   []string{"."},
	})
	w.once(1, first)
}

// Another machine that publishes the same files finds them there: nothing is pushed, and nothing is wrong.
func TestAlreadyPublished(t *testing.T) {
	w := newWorld(t)
	w.publish(first)
	w.release(first).ends()
	again := w.release(first)
	again.ends()
	w.once(1, first)
	if rec := again.last(push.StepID(pkg)); !rec.Adopted {
		t.Errorf("%+v", rec)
	}
	if e := again.evidence(remote.StepID(pkg), remote.CheckNewer); e.Verdict != gate.Pass || !strings.Contains(e.Found, "is there already") {
		t.Errorf("%+v", e)
	}
}
