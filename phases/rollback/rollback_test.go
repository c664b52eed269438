package rollback

import (
	"maps"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/phases/internal/mainline"
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
		"the reason has to be one line": func(o *Options) { o.Reason = "a\nb" },
	} {
		o := whole()
		change(&o)
		_, err := New(o)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// Whoever asks for the latest release must get neither what is rolled back nor something older than wanted.
func TestFine(t *testing.T) {
	o := whole()
	for tag, want := range map[string]bool{"v3.2.0": true, "v3.2.2": true, "v3.10.0": true, "v3.2.1": false, "v3.1.9": false, "nightly": false, "": false} {
		id := int64(8)
		if tag == o.Facts.Tag {
			id = 7
		}
		if got := o.fine(hub.Release{ID: id, Tag: tag}); got != want {
			t.Errorf("%q: %v", tag, got)
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
	f.Add("it </b> @everyone #1 `x` [a](b) | c")
	f.Fuzz(func(t *testing.T, reason string) {
		o := whole()
		if o.Reason = reason; strings.ContainsAny(reason, "\r\n") {
			return // refused before
		}
		if n := o.notice(); strings.Count(n, "\n") != 1 || strings.ContainsAny(strings.TrimPrefix(n, "> [!CAUTION]\n> "), "<>[]`@") {
			t.Fatalf("%q", n)
		}
	})
}
