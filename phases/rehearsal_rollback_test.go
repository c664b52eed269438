package phases

import (
	"cmp"
	"os"
	"slices"
	"testing"

	"github.com/imrightguy/slipway/phases/build"
)

// TestLowestBelow: the version to go back to where there is none is below every other one.
func TestLowestBelow(t *testing.T) {
	for of, want := range map[string]string{"3.2.1+1": "0.0.1", "0.0.2": "0.0.1", "0.0.1": "0.0.0", "0.0.1+7": "0.0.0", "0.0.1-rc.1": "0.0.0", "0.0.0": ""} {
		v, err := ParseVersion(of)
		if err != nil {
			t.Fatal(err)
		}
		low, err := lowestBelow(v)
		if got := low.Release(); err == nil && got != want || err != nil && want != "" {
			t.Errorf("%s: %s, %v; want %q", of, got, err, want)
		}
	}
}

// TestRehearsedGate: somebody can waive at every gate of the older version, nothing asks for a rehearsal, and the
// configuration itself stays as it is.
func TestRehearsedGate(t *testing.T) {
	g := &build.GateConfig{Criteria: []build.Criterion{{Check: "documents"}, {Check: "rehearsal"}, {Check: "rehearsal-rollback"}}}
	got := rehearsedGate(g)
	if len(got.Criteria) != 1 || got.Criteria[0].Check != "documents" || got.Approve != OnlyInRehearsals || len(g.Criteria) != 3 || g.Approve != "" {
		t.Errorf("%+v of %+v", got, g)
	}
	if got := rehearsedGate(&build.GateConfig{Approve: "lead"}); got.Approve != "lead" {
		t.Errorf("%+v", got)
	}
	if got := rehearsedGate(nil); got.Approve != OnlyInRehearsals {
		t.Errorf("%+v", got)
	}
	c := &Config{Approvers: map[string][]string{"lead": {"key"}}}
	if r := RehearsedConfig(c); len(c.Approvers) != 1 || len(r.Approvers) != 2 || c.Gates.Rollback != nil || r.Gates.Rollback.Approve != OnlyInRehearsals {
		t.Errorf("%+v of %+v", r, c)
	}
}

// TestOlderConfig: of the older version nothing is asked that belongs to its own release, and the configuration itself
// stays as it is.
func TestOlderConfig(t *testing.T) {
	text, err := os.ReadFile("../testdata/cloudtolocalllm/release.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load("release.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	checks := len(c.Gates.Build.Criteria)
	o := olderConfig(c, true)
	if len(o.Checks) > 0 || len(o.Judges) > 0 || !o.unjudged || len(o.Packages) != len(c.Packages) || o.Release.Git.Tag != "existing" {
		t.Errorf("%+v", o)
	}
	var left []string
	for _, g := range []*build.GateConfig{o.Gates.Build, o.Gates.Release, o.Gates.AUR} {
		if g.Approve != OnlyInRehearsals {
			t.Errorf("%s approves", g.Approve)
		}
		for _, cr := range g.Criteria {
			left = append(left, cmp.Or(cr.Check, cr.Attest))
		}
	}
	want := []string{"contents", "paths", "size", "requirements", "version", "versions", "text", "modes", "libraries", "icons", "desktop", "checksums", "aur"}
	if !slices.Equal(left, want) {
		t.Errorf("the gates ask for %q, want %q", left, want)
	}
	if o.Gates.Rollback.Approve != "release-manager" {
		t.Errorf("gate/rollback: %+v", o.Gates.Rollback)
	}
	if len(c.Checks) == 0 || len(c.Judges) == 0 || c.unjudged || len(c.Gates.Build.Criteria) != checks || c.Gates.Release.Approve != "release-manager" || c.Release.Git.Tag != "" {
		t.Errorf("the configuration itself was changed: %+v", c)
	}
}
