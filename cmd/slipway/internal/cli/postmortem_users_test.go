package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
)

// TestPostmortem_Left: what is told to users whom a rollback leaves alone, and whether there are any, follows from what the
// journals say: of the withdrawal, of what other rollbacks did, and of nothing else.
func TestPostmortem_Left(t *testing.T) {
	specs := []pipeline.Spec{
		{ID: "build/tarball/hello/amd64", Outputs: []string{"hello-3.2.1-x86_64.tar.gz"}},
		{ID: phases.PublishID, Effect: pipeline.Permanent},
		{ID: "aur/push/hello", Effect: pipeline.Permanent},
		{ID: "aur/push/other-bin", Effect: pipeline.Permanent},
	}
	receipts := map[string]pipeline.Receipt{"aur/push/hello": {"version": "3.2.1-1"}, "aur/push/other-bin": {"version": "3.2.1-1"}}
	back := func(n int, receipts map[string]pipeline.Receipt) *phases.Released {
		var specs []pipeline.Spec
		for id := range receipts {
			specs = append(specs, pipeline.Spec{ID: id, Effect: pipeline.Permanent})
		}
		r := made(t, "3.2.1", specs, receipts)
		r.Name = fmt.Sprintf("rollback-%d", n)
		return r
	}
	withdrawn := func(by string) map[string]pipeline.Receipt {
		r := pipeline.Receipt{"state": "draft"}
		if by != "" {
			r = pipeline.Receipt{"state": "notice", phases.RollbackNeededBy: by}
		}
		return map[string]pipeline.Receipt{phases.RollbackWithdraw: r}
	}
	pushed := map[string]pipeline.Receipt{"rollback/push/hello": {"version": "3.2.1+really3.2.0-1"}, "rollback/push/other-bin": {"version": "3.2.1+really3.2.0-1"}}
	const needed = "other-bin 3.2.1-1 in the AUR downloads https://github.com/example/hello/releases/download/v3.2.1/hello-3.2.1-x86_64.tar.gz"
	for name, c := range map[string]struct {
		levels      string
		beside      []*phases.Released
		hello, tar  string // how these users stand
		other       string
		still, move bool
		by          string
	}{
		"all, not begun":         {"aur github git hold", nil, "", "", "", true, true, ""},
		"all, done":              {"aur github git hold", []*phases.Released{back(1, pushed), back(2, withdrawn(""))}, "+really", "", "+really", false, true, "rollback-2"},
		"GitHub, not begun":      {"github", nil, "unknown", "", "unknown", true, true, ""},
		"GitHub, nothing needs":  {"github", []*phases.Released{back(1, withdrawn(""))}, "something", "", "something", false, true, "rollback-1"},
		"GitHub, one needs":      {"github", []*phases.Released{back(1, withdrawn(needed))}, "something", "", "", true, true, "rollback-1"},
		"GitHub, both may":       {"github", []*phases.Released{back(1, withdrawn("hello, other-bin in the AUR downloads the files of release v3.2.1, as far as anybody can tell here"))}, "", "", "", true, true, "rollback-1"},
		"AUR alone":              {"aur", []*phases.Released{back(1, pushed)}, "+really", "public", "+really", true, true, "rollback-1"},
		"AUR, withdrawn before":  {"aur", []*phases.Released{back(1, withdrawn(needed)), back(2, pushed)}, "+really", "", "+really", false, true, "rollback-2"},
		"hold alone":             {"hold", nil, "unknown", "public", "unknown", true, false, ""},
		"hold, withdrawn before": {"git hold", []*phases.Released{back(1, withdrawn("")), back(2, map[string]pipeline.Receipt{"rollback/hold": {}})}, "something", "", "something", false, false, "rollback-1"},
	} {
		released := made(t, "3.2.1", specs, receipts, c.beside...)
		planned := &phases.Rollback{To: "3.2.0", Levels: strings.Fields(c.levels)}
		got := map[string]string{}
		for _, n := range notices(released, made(t, "3.2.1", nil, nil), planned) {
			key := n.Package
			if n.Format != "aur" {
				key = "tar"
			}
			if got[key] = n.Left; n.Format == "aur" && n.Version != "" {
				got[key] = "+really"
			}
		}
		if want := (map[string]string{"hello": c.hello, "other-bin": c.other, "tar": c.tar}); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if still, move, by := leaves(released, planned), moves(planned), movedBy(released); still != c.still || move != c.move || by != c.by {
			t.Errorf("%s: still %v, moves %v, moved by %q; want %v, %v, %q", name, still, move, by, c.still, c.move, c.by)
		}
	}
}
