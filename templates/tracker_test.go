package templates

import (
	"bytes"
	"encoding/xml"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; look at the difference after go test -update\n%s", path, got)
	}
}

// tracker is a release in the middle of its build phase, with every text replaced by f.
func tracker(f func(string) string) Tracker {
	task := func(title, detail string, s State, evidence string) TrackerTask {
		return TrackerTask{f(title), f(detail), s, f(evidence)}
	}
	return Tracker{
		Project: f("cloudtolocalllm"), From: f("3.2.0"), To: f("3.2.1"), Type: f("patch"), Summary: f("Unified Flutter settings"), Lead: f("Release team"),
		Date: time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC), Updated: time.Date(2026, 8, 1, 23, 30, 0, 0, time.FixedZone("", 7200)),
		Phases: []TrackerPhase{
			{f("Application Building"), f("docs/build.md"), []TrackerGroup{
				{f("Build Tasks"), []TrackerTask{
					task("Version Increment", "pubspec.yaml says 3.2.1+1", Done, "version: pass"),
					task("Flutter Build", "linux amd64", Done, "work/component/app/amd64 (sha256 12ab34cd)"),
					task("Tray Daemon Build", "", Active, ""),
					task("Size Validation", "", Pending, ""),
				}},
				{f("Judges"), []TrackerTask{task("lintian", "lintian is not installed", Unknown, ""), task("claimed", "", Done, "")}},
			}},
			{f("Release Management"), "", []TrackerGroup{{f("Git Workflow"), []TrackerTask{task("Release Branch", "release/v3.2.1", Pending, "")}}}},
			{f("AUR Publication"), "", nil},
		},
		Gates: []TrackerGate{
			{f("Build Quality"), []TrackerTask{task("All builds complete", "", Done, "3 of 3"), task("Package size within limits", "expected 120 MB, found 20 MB", Failed, "")}, f("technical-lead"), ""},
			{f("Release Quality"), []TrackerTask{task("Release notes complete", "", Waiting, "")}, f("release-manager"), ""},
			{f("Publication Quality"), nil, "", ""},
		},
		Risks: []TrackerRisk{
			{f("User Migration Confusion"), "medium", f("Support burden"), f("Medium (interface change)"), []string{f("Clear release notes"), f("Migration guide")}},
			{f("External Settings App Still Present"), "high", f("Critical"), f("Low"), []string{f("Automated check")}},
			{f("Something Else"), "", "", "", nil},
		},
		Metrics: []TrackerMetrics{{f("Technical Metrics"), []TrackerMetric{{f("Package Size"), f("120-130MB (within limits)")}, {f("Download Success"), f(">99%")}}}},
		Next:    []TrackerAction{{f("Run the build"), f("slipway run --phase build")}, {f("Ask for approval"), ""}},
	}
}

func same(s string) string { return s }

func rendered(t testing.TB, tr Tracker) string {
	t.Helper()
	b, err := RenderTracker(tr)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRenderTracker(t *testing.T) {
	golden(t, "tracker.md", []byte(rendered(t, tracker(same))))
	golden(t, "tracker_empty.md", []byte(rendered(t, Tracker{Project: "x", To: "0.1.0"})))
}

// TestRenderTracker_TicksNothingUnproven says of every state whether a box is ticked, with and without evidence.
func TestRenderTracker_TicksNothingUnproven(t *testing.T) {
	for s := Pending; s <= Unknown+1; s++ {
		for _, evidence := range []string{"", " \t\n\u200f", "seen"} {
			tr := Tracker{
				Phases: []TrackerPhase{{Title: "p", Groups: []TrackerGroup{{Title: "g", Tasks: []TrackerTask{{Title: "t", State: s, Evidence: evidence}}}}}},
				Gates:  []TrackerGate{{Title: "q", Criteria: []TrackerTask{{Title: "t", State: s, Evidence: evidence}}}},
			}
			proven := s == Done && evidence == "seen"
			text := rendered(t, tr)
			if got := strings.Count(text, "[x]"); got != map[bool]int{true: 2}[proven] {
				t.Errorf("state %d with evidence %q: %d boxes ticked", s, evidence, got)
			}
			if got := strings.Contains(text, "✅"); got != proven {
				t.Errorf("state %d with evidence %q: completed is %v in\n%s", s, evidence, got, text)
			}
		}
	}
	passed := TrackerTask{Title: "t", State: Done, Evidence: "seen"}
	for _, g := range []TrackerGate{{Title: "approval is missing", Criteria: []TrackerTask{passed}, Role: "lead"}, {Title: "no criteria", Role: "lead", By: "x"}, {Title: "one is open", Criteria: []TrackerTask{passed, {}}}} {
		if g.Passed() || strings.Contains(rendered(t, Tracker{Gates: []TrackerGate{g}}), "✅") {
			t.Errorf("%s: the gate has passed", g.Title)
		}
	}
	if g := (TrackerGate{Criteria: []TrackerTask{passed}, Role: "lead", By: "Ada"}); !g.Passed() || !strings.Contains(rendered(t, Tracker{Gates: []TrackerGate{g}}), "✅ Completed") {
		t.Error("a gate with all it asks for has not passed")
	}
}

func TestTracker_Status(t *testing.T) {
	open, done := TrackerTask{}, TrackerTask{State: Done, Evidence: "e"}
	phase := func(ts ...TrackerTask) TrackerPhase { return TrackerPhase{Groups: []TrackerGroup{{Tasks: ts}}} }
	for want, tr := range map[string]Tracker{
		"🔲 Pending":              {Phases: []TrackerPhase{phase(open)}},
		"🟡 In Progress":          {Phases: []TrackerPhase{phase(done), phase(open)}},
		"🟡 Waiting":              {Phases: []TrackerPhase{phase(TrackerTask{State: Waiting}, open)}},
		"🔴 Failed":               {Phases: []TrackerPhase{phase(done, TrackerTask{State: Failed}, TrackerTask{State: Unknown})}},
		"🔴 Unknown":              {Gates: []TrackerGate{{Criteria: []TrackerTask{done, {State: Unknown}}}}},
		"🟡 Waiting for approval": {Phases: []TrackerPhase{phase(done)}, Gates: []TrackerGate{{Criteria: []TrackerTask{done}, Role: "r"}}},
		"✅ Completed":            {Phases: []TrackerPhase{phase(done)}, Gates: []TrackerGate{{Criteria: []TrackerTask{done}, Role: "r", By: "x"}}},
	} {
		if got := tr.Status(); got != want {
			t.Errorf("status is %s, want %s", got, want)
		}
	}
	tr := Tracker{Phases: []TrackerPhase{phase(done), phase(open), phase(open)}, Gates: []TrackerGate{{Criteria: []TrackerTask{open}}, {Criteria: []TrackerTask{open}}, {Criteria: []TrackerTask{done}, Role: "r"}}}
	for i, want := range []string{"✅ Completed", "🟡 Ready to Execute", "🔲 Awaiting Phase 2"} {
		if got := tr.PhaseStatus(i); got != want {
			t.Errorf("phase %d is %s, want %s", i, got, want)
		}
	}
	for i, want := range []string{"🔲 Pending", "🔲 Awaiting Gate 1", "🟡 Waiting for approval"} {
		if got := tr.GateStatus(i); got != want {
			t.Errorf("gate %d is %s, want %s", i, got, want)
		}
	}
}

// hostile texts would each be something else than text in Markdown or HTML.
var hostile = []string{
	"`code`", "``", "**bold**", "__b__", "_", "*", "\\", "\\*", "[link](http://x.example)", "![img](x)", "[x]", "- [x] done", "# heading", "x #", "===", "---", "+ a", "- a", "1. a", "12) a", "> quote",
	"<b>x</b>", "<script>alert(1)</script>", "<!-- x", "<http://x.example>", "&lt;", "&#42;", "a | b", "~~x~~", "```sh", "~~~", "$x$", "$(date +%Y)", "`$(reboot)`",
	"two\nlines", "two\n\n- [x] **paragraphs**", "a\r\nb", "a\u2028b", "tab\there", "\x1b[31mred", "nul\x00", "bidi \u202etxt.exe", "\ufeffbom", "\xff\xfe", "  spaces  ", "é ü 漢字 🟡", "{{ .Project }}", "\"quotes\" 'and' more", ":smile:", "a\\",
}

func TestEscape(t *testing.T) {
	for s, want := range map[string]string{
		"":                     "",
		"slipway 0.1.0":        "slipway 0.1.0",
		"a `b` <c> [d](e)":     "a \\`b\\` \\<c\\> \\[d\\](e)",
		"- a":                  "\\- a",
		"12. a":                "12\\. a",
		"3.2.1":                "3.2.1",
		"3.":                   "3\\.",
		"3.x 1. y":             "3.x 1. y",
		" two \r\n\x00 lines ": "two lines",
		"x\xffy":               "x\ufffdy",
		"\u202eabc":            "abc",
	} {
		if got := Escape(s); got != want {
			t.Errorf("Escape(%q) = %q, want %q", s, got, want)
		}
	}
}

var lineStart = regexp.MustCompile(`^(#+ |- \[[ x]\] \*\*|- |[0-9]+\. |---$|\*\*)`)

// skeleton is what the lines of a text begin with: headings, boxes, list marks.
func skeleton(text string) string {
	var b strings.Builder
	for l := range strings.SplitSeq(text, "\n") {
		b.WriteString(lineStart.FindString(l) + "\n")
	}
	return b.String()
}

// TestRenderTracker_Hostile puts each hostile text in every place: the shape of the tracker stays as it is.
func TestRenderTracker_Hostile(t *testing.T) {
	for _, h := range hostile {
		text := rendered(t, tracker(func(s string) string { return "x" + h }))
		plain := rendered(t, tracker(func(s string) string { return "xy" }))
		if skeleton(text) != skeleton(plain) {
			t.Errorf("%q changes the shape of the tracker", h)
		}
	}
}

// need skips where a tool is missing, and fails in CI, where none may be.
func need(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing", tool)
		}
		t.Skipf("%s is missing", tool)
	}
}

// TestEscape_Judged asks GitHub's own Markdown program (cmark-gfm) whether an escaped text is that text and nothing
// else, at the beginning of a line and in bold type behind a box.
func TestEscape_Judged(t *testing.T) {
	need(t, "cmark-gfm")
	for _, h := range hostile {
		want := line(h)
		for _, in := range []string{Escape(h), "- [ ] **x" + Escape(h) + "y**: z", "### " + Escape(h) + " ✅"} {
			cmd := exec.CommandContext(t.Context(), "cmark-gfm", "-t", "xml", "-e", "table", "-e", "strikethrough", "-e", "tasklist")
			cmd.Stdin = strings.NewReader(in + "\n")
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			text, kinds := readXML(t, out)
			if !strings.Contains(text, want) {
				t.Errorf("%q reads as %q", in, text)
			}
			if bad := strings.Trim(strings.NewReplacer("document", "", "paragraph", "", "heading", "", "text", "", "tasklist", "", "item", "", "list", "", "strong", "", "_", "").Replace(kinds), " "); bad != "" {
				t.Errorf("%q holds %s", in, bad)
			}
			if !strings.HasPrefix(in, "- ") && (strings.Contains(kinds, "strong") || strings.Contains(kinds, "list")) {
				t.Errorf("%q holds %s", in, kinds)
			}
		}
	}
}

// readXML returns the text of a document in cmark's XML, and the kinds of its nodes.
func readXML(t *testing.T, doc []byte) (text, kinds string) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(doc))
	d.Strict = false
	inText := false
	for {
		tok, err := d.Token()
		if err != nil {
			return text, kinds
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			inText = tok.Name.Local == "text"
			kinds += tok.Name.Local + " "
		case xml.EndElement:
			inText = false
		case xml.CharData:
			if inText {
				text += string(tok)
			}
		}
	}
}

func FuzzRenderTracker(f *testing.F) {
	for _, h := range hostile {
		f.Add(h, byte(3))
	}
	plain := map[State]string{}
	f.Fuzz(func(t *testing.T, s string, state byte) {
		st := State(state % 7)
		make := func(text string) string {
			tr := tracker(func(string) string { return text })
			tr.Phases[0].Groups[0].Tasks[0].State, tr.Gates[0].Criteria[0].State = st, st
			return rendered(t, tr)
		}
		if plain[st] == "" {
			plain[st] = skeleton(make("xy"))
		}
		text := make("x" + s)
		if !utf8.ValidString(text) {
			t.Fatal("not UTF-8")
		}
		if got := skeleton(text); got != plain[st] {
			t.Fatalf("%q changes the shape of the tracker", s)
		}
		if got := make(s); strings.Count(got, "[x]") > strings.Count(plain[st], "[x]") {
			t.Fatalf("%q ticks a box", s)
		}
	})
}
