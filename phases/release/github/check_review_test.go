package github

import (
	"maps"
	"strings"
	"testing"

	twin "github.com/imrightguy/slipway/phases/internal/twins/github"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// TestEvidenceOfAnotherToken: who may see settings and who may not, a person and a workflow, find the same, so an
// approval that one machine has asked for counts on the other.
func TestEvidenceOfAnotherToken(t *testing.T) {
	for _, immutable := range []bool{false, true} {
		var digests []string
		for _, admin := range []twin.Level{twin.Write, twin.None} {
			_, m := stopped(t, func(o *twin.Options) {
				o.Repositories[0].Immutable = immutable
				o.Tokens[0].Rights = maps.Clone(o.Tokens[0].Rights)
				o.Tokens[0].Rights[twin.Administration] = admin
				if admin == twin.None {
					o.Tokens[0].Login = "somebody-else"
				}
			})
			e := m.evidence(Ready)
			if e.Verdict != gate.Pass {
				t.Fatalf("immutable %v, administration %v: %+v", immutable, admin, e)
			}
			digests = append(digests, e.Digest())
		}
		if digests[0] != digests[1] {
			t.Errorf("immutable %v: the evidence depends on what the token may see", immutable)
		}
	}
}

// TestNewerIsLatest: a version that the plan takes for the newest, since the clone lacks a tag, does not take the place
// of one that is newer.
func TestNewerIsLatest(t *testing.T) {
	for _, c := range []struct {
		name, tag    string
		older, fails bool
	}{
		{"newer", "v1.10.0", false, true},
		{"newer, and release.yaml wants it so", "v1.10.0", true, false},
		{"older", "v1.2.2", false, false},
		{"of another kind", "nightly", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t).quick()
			s.person("POST", "/releases", `{"tag_name":"`+c.tag+`","name":"x","make_latest":"true"}`)
			s.script.Older = c.older
			m := s.manager()
			err := m.run()
			e := m.evidence(Ready)
			if c.fails != (e.Verdict == gate.Fail) || c.fails != (err != nil) {
				t.Fatalf("error %v, evidence %+v", err, e)
			}
			if !c.fails {
				return
			}
			if !strings.Contains(e.Found, c.tag) || !strings.Contains(e.Found, "git fetch --tags") {
				t.Errorf("evidence %+v", e)
			}
			for _, r := range s.twin.History(owner, repo).Last().Releases {
				if r.Latest != (r.Tag == c.tag) {
					t.Errorf("%s: latest %v", r.Tag, r.Latest)
				}
			}
		})
	}
}
