package verify

import (
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/pipeline"
)

// Before anything is made, each place where a release would act is free, taken, or not known.
func TestBefore(t *testing.T) {
	specs := []pipeline.Spec{
		{ID: "build/version", Effect: pipeline.Local},
		{ID: "release/branch", Effect: pipeline.Remote, Target: page + ".git refs/heads/release/v1.2.0"},
		{ID: "release/draft", Effect: pipeline.Remote, Target: "github.com/Acme/Hello release v1.2.0"},
		{ID: "release/asset/x", Effect: pipeline.Remote, Target: "github.com/Acme/Hello release v1.2.0 asset x"},
		{ID: "release/tag", Effect: pipeline.Remote, Target: page + ".git refs/tags/v1.2.0"},
		{ID: "release/merge", Effect: pipeline.Permanent, Target: page + ".git refs/heads/main"},
		{ID: "aur/push/hello-bin", Effect: pipeline.Permanent, Target: aurURL + " refs/heads/master"},
	}
	s := newStage(t)
	r := s.release()
	r.Tag = "v1.2.0"
	expect := func(when string, r Release, want ...string) {
		t.Helper()
		got := Before(t.Context(), s.e, r, specs)
		if len(got) != len(specs)-1 {
			t.Errorf("%s: %v", when, got)
		}
		for i, w := range want {
			at := got[specs[i+1].ID]
			if line := at.Sign + " " + at.Why; !strings.HasPrefix(line, w) {
				t.Errorf("%s: %s: %q, want %q", when, specs[i+1].ID, line, w)
			}
		}
	}
	expect("free", r, "+ "+specs[1].Target, "+ "+specs[2].Target, "+ "+specs[3].Target, "+ "+specs[4].Target, "+ "+specs[5].Target, "+ a new package")

	s.push("1.1.0", sha(payload))
	s.origin("tag", "-a", "-m", "x", "v1.2.0", "main")
	s.origin("branch", "release/v1.2.0", "main~1")
	_, err := s.hub.CreateDraft(t.Context(), hub.Draft{Tag: "v1.2.0", Commit: s.origin("rev-parse", "main"), Title: "x", Marker: "x"})
	s.check(err)
	expect("taken", r, "! somebody's branch", "! a draft of tag v1.2.0 is there already, id ", "! a draft", "! somebody's tag", "+ ", "+ the AUR shows 1.1.0-1, of rehearsal")

	adopted := r
	adopted.Commit = s.origin("rev-parse", "main")
	expect("a tag that people make", adopted, "! somebody's branch", "! a draft", "! a draft", "= there already", "+ ")
	adopted.Tag, adopted.Commit = "v1.2.0", s.origin("rev-parse", "main~1")
	expect("at another commit", adopted, "=", "! a draft", "! a draft", "! somebody's tag")
	elsewhere := r
	elsewhere.MergeInto = "stable"
	stable := specs[5]
	specs[5].Target = page + ".git refs/heads/stable"
	expect("no branch to merge into", elsewhere, "! somebody's branch", "! a draft", "! a draft", "! somebody's tag", "! there is no branch stable")
	specs[5] = stable

	r.Remote = gitremote.Remote{URL: "ssh://git@example.org/nowhere.git"}
	expect("one remote is not there", r, "? cannot reach", "! a draft", "! a draft", "? cannot reach", "? cannot reach", "+ the AUR shows")
}
