package rollback

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/phases/internal/mainline"
	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

func everyCheck(checks []string) (gate.Gate, error) {
	g := gate.Gate{Title: GateTitle}
	for _, c := range checks {
		g.Criteria = append(g.Criteria, gate.Criterion{Title: c, Check: c})
	}
	return g, nil
}

func whole() Options {
	return Options{
		Version: "3.2.1", Older: "3.2.0", OlderTag: "v3.2.0", Owner: "o", Repo: "r", GitHub: true, Git: true, Hold: true, Reason: "slow", Gate: everyCheck,
		Facts:  Facts{Run: "r1", ReleaseID: 7, Latest: true, Tag: "v3.2.1", TagObject: strings.Repeat("a", 40), TagOurs: true, Commit: strings.Repeat("b", 40)},
		Branch: mainline.Branch{Name: "main"},
	}
}

// What cannot be meant is refused when it is planned, with the reason.
func TestNew_Refused(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"":                              func(*Options) {},
		"there is no gate":              func(o *Options) { o.Gate = nil },
		"nothing to roll back":          func(o *Options) { o.GitHub, o.Git, o.Hold = false, false, false },
		"which release is withdrawn":    func(o *Options) { o.Facts.ReleaseID = 0 },
		"on which branch":               func(o *Options) { o.Branch.Name = "" },
		"add level github":              func(o *Options) { o.GitHub, o.Delete = false, true },
		"no tag to delete":              func(o *Options) { o.DeleteTag, o.Facts.TagObject = true, "" },
		"was made by people":            func(o *Options) { o.DeleteTag, o.Facts.TagOurs = true, false },
		"the reason has to be one line": func(o *Options) { o.Reason, o.Hold = "a\u202eb", false },
		"so it cannot be deleted: roll back level aur": func(o *Options) { o.Keeps, o.Delete = []string{"x-bin"}, true },
		"makes a draft of a release whose tag":         func(o *Options) { o.Keeps, o.DeleteTag = []string{"x-bin"}, true },
		"which looks at that first":                    func(o *Options) { o.GitHub, o.DeleteTag = false, true },
	} {
		o := whole()
		change(&o)
		_, err := New(o)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// looker is a step that reports a check.
type looker struct{ sp pipeline.Spec }

func (s looker) Spec() pipeline.Spec { return s.sp }

func (looker) Run(context.Context, *pipeline.Workspace) (pipeline.Receipt, error) { return nil, nil }

// A release is withdrawn when the AUR was seen without it; where somebody may be publishing it, the hold comes before that,
// and is the same step. What stays public says so in the plan.
func TestPlan_Order(t *testing.T) {
	plan := func(change func(*Options)) (ids []string, p *pipeline.Plan) {
		t.Helper()
		o := whole()
		change(&o)
		phase, err := New(o)
		if err == nil {
			p, err = pipeline.NewPlan(t.Context(), pipeline.Env{Project: "p", Version: "3.2.1"}, phase)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, sp := range p.Specs {
			if sp.Effect == pipeline.Permanent || sp.ID == MovedID {
				ids = append(ids, sp.ID)
			}
		}
		return ids, p
	}
	spec := func(p *pipeline.Plan, id string) pipeline.Spec {
		return p.Specs[slices.IndexFunc(p.Specs, func(sp pipeline.Spec) bool { return sp.ID == id })]
	}
	moved := []pipeline.Step{looker{pipeline.Spec{ID: "rollback/moved/x-bin", Checks: []string{"aur-moved"}}}}
	last, with := plan(func(o *Options) { o.Moved = moved })
	if want := []string{MovedID, LatestID, WithdrawID, RevertID, HoldID}; !slices.Equal(last, want) {
		t.Errorf("%v, want %v", last, want)
	}
	if needs := spec(with, LatestID).Needs; !slices.Contains(needs, MovedID) || !slices.Contains(needs, GateID) {
		t.Errorf("latest needs %v", needs)
	}
	if needs := spec(with, WithdrawID).Needs; !slices.Contains(needs, LatestID) || !slices.Contains(needs, GateID) {
		t.Errorf("withdraw needs %v", needs)
	}
	first, before := plan(func(o *Options) { o.Moved, o.HoldFirst = moved, true })
	if want := []string{HoldID, MovedID, LatestID, WithdrawID, RevertID}; !slices.Equal(first, want) {
		t.Errorf("%v, want %v", first, want)
	}
	if a, b := gate.Sum(spec(with, HoldID)), gate.Sum(spec(before, HoldID)); a != b {
		t.Error("the hold is another step when it comes first")
	}
	_, kept := plan(func(o *Options) { o.Keeps = []string{"x-bin"} })
	if spec(kept, WithdrawID).Params["stays public for"] != "x-bin" || spec(with, WithdrawID).Params["stays public for"] != "" {
		t.Error("the plan does not say what becomes of the release")
	}
}

// What is public and says that it is withdrawn is left as it is where it may not be a draft, and nowhere else.
func TestSays(t *testing.T) {
	o := whole()
	body := o.notice() + "\n\n" + hub.Marker("other") + "\n\nnotes"
	for _, c := range []struct {
		name string
		rel  hub.Release
		keep bool
		want bool
	}{
		{"ours", hub.Release{Body: o.notice() + "\n\n" + hub.Marker("mine") + "\n\nnotes"}, false, true},
		{"our draft, published again", hub.Release{Body: "notes\n" + hub.Marker("mine")}, false, false},
		{"our draft, published again while the AUR needs it", hub.Release{Body: "notes\n" + hub.Marker("mine"), Prerelease: true}, true, false},
		{"another rollback's, and it can be a draft", hub.Release{Body: body, Prerelease: true}, false, false},
		{"another rollback's, of an immutable one", hub.Release{Body: body, Immutable: true}, false, true},
		{"another rollback's, for the AUR", hub.Release{Body: strings.ReplaceAll(body, "\n", "\r\n"), Prerelease: true}, true, true},
		{"another rollback's, but it is no prerelease", hub.Release{Body: body}, true, false},
		{"nobody's", hub.Release{Body: "notes", Prerelease: true}, true, false},
	} {
		p := o
		p.Reason = "another reason"
		if got := p.says(c.rel, "mine", c.keep); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	o.Older = "3.1.0"
	if o.says(hub.Release{Body: body, Immutable: true}, "mine", false) {
		t.Error("a notice that names another version counts")
	}
}

// Whoever asks for the latest release must get neither what is rolled back nor something older than wanted; another
// product's is left alone.
func TestFine(t *testing.T) {
	for _, c := range []struct {
		form, bad, older string
		latest           map[string]bool
	}{
		{"", "v3.2.1", "v3.2.0", map[string]bool{"v3.2.0": true, "v3.2.2": true, "v3.10.0": true, "v3.2.1": false, "v3.1.9": false, "v3.2.1-rc.1": false, "nightly": true}},
		{"app2-v{{ .Version }}", "app2-v0.1.0", "app2-v0.0.9", map[string]bool{"app2-v0.2.0": true, "app2-v0.1.0": false, "app2-v0.0.8": false, "app2-v0.0.9": true, "app1-v0.0.1": true, "v0.0.1": true}},
		{"v{{ .Version }}_stable", "v0.1.0_stable", "v0.0.9_stable", map[string]bool{"v0.2.0_stable": true, "v0.0.1_stable": false}},
	} {
		form, err := repo.ParseTagForm(c.form)
		if err != nil {
			t.Fatal(err)
		}
		o := whole()
		o.Form, o.Facts.Tag, o.OlderTag = form, c.bad, c.older
		for tag, want := range c.latest {
			id := int64(8)
			if tag == o.Facts.Tag {
				id = 7
			}
			if got := o.fine(hub.Release{ID: id, Tag: tag}); got != want {
				t.Errorf("%q: %v", tag, got)
			}
		}
		if o.fine(hub.Release{ID: 7, Tag: "other"}) {
			t.Error("what is rolled back is fine under another tag")
		}
	}
}

func TestParseSums(t *testing.T) {
	a, b := strings.Repeat("a", 64), strings.Repeat("0", 64)
	got := parseSums([]byte(a + "  one.deb\r\n# no\n" + b + " *dir/two.gz\n" + a[1:] + "  short\n\n"))
	if want := map[string]string{"one.deb": a, "two.gz": b}; !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func FuzzParseSums(f *testing.F) {
	f.Add([]byte(strings.Repeat("a", 64) + "  ../../x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, sum := range parseSums(b) {
			if strings.Contains(name, "/") && name != "/" || len(sum) != 64 {
				t.Fatalf("%q %q", name, sum)
			}
		}
	})
}

// A reason becomes a line of a notice that people read as Markdown: it neither ends the notice nor calls anybody.
func FuzzNotice(f *testing.F) {
	f.Add("a\r\nb\x1b[31m\u202e\u2028")
	f.Add("it </b> @everyone #1 `x` [a](b) | c")
	f.Fuzz(func(t *testing.T, reason string) {
		o := whole()
		o.Reason = reason
		if n := o.notice(); strings.Count(n, "\n") != 1 || strings.ContainsAny(strings.TrimPrefix(n, "> [!CAUTION]\n> "), "<>[]`@\x1b\u202e\u2028") {
			t.Fatalf("%q", n)
		}
	})
}
