package templates

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// postmortem is the report on a release that was rolled back at every level, with every text replaced by f.
func postmortem(f func(string) string) Postmortem {
	began := time.Date(2026, 8, 1, 12, 0, 0, 0, time.FixedZone("", 7200))
	at := func(d time.Duration) time.Time { return began.Add(d) }
	return Postmortem{
		Project: f("cloudtolocalllm"), Bad: f("3.2.1"), Good: f("3.2.0"), Reason: f("The settings do not open"), Lead: f("Release team"),
		Published: at(-26 * time.Hour), Began: began, Ended: at(95 * time.Minute),
		Timeline: []PostmortemEvent{
			{at(-26 * time.Hour), f("release/publish"), f("github.com/imrightguy/CloudToLocalLLM release v3.2.1")},
			{at(0), f("rollback began"), ""},
			{at(28 * time.Second), f("AUR corrected"), f("3.2.1+really3.2.0-1")},
			{time.Time{}, f("unknown"), ""},
		},
		Gates: []TrackerGate{
			{f("Rollback"), []TrackerTask{{f("assets of 3.2.0 are there"), f("3 of 3"), Done, f("hashed")}, {f("PKGBUILD"), f("not newer"), Failed, ""}}, f("release-manager"), ""},
			{f("Hold"), nil, "", ""},
		},
		Approvals: []PostmortemApproval{{at(time.Minute), f("Ada (release-manager)"), f("gate/rollback"), f("approved"), ""}, {at(2 * time.Minute), f("Ada"), f("aur-lint"), f("waived"), f("known")}},
		Levels: []PostmortemLevel{
			{f("AUR"), Done, f("commit 0123456"), f("pacman installs 3.2.0 as 3.2.1+really3.2.0")},
			{f("GitHub"), Active, "", f("latest is 3.2.0")},
			{f("git"), Pending, "", ""},
			{f("hold"), Unknown, f("maybe"), ""},
		},
		Notices: []PostmortemNotice{
			{"aur", f("cloudtolocalllm-desktop"), f("3.2.1-1"), f("3.2.1+really3.2.0-1"), "", f("https://aur.archlinux.org/packages/cloudtolocalllm-desktop"), ""},
			{"deb", f("cloudtolocalllm"), f("3.2.1-1"), f("3.2.0-1"), f("cloudtolocalllm_3.2.0-1_amd64.deb"), f("https://github.com/octo/cat/releases/tag/v3.2.0"), ""},
			{"deb", f("cloudtolocalllm"), "", "3.2.1+really3.2.0-1", f("cloudtolocalllm_3.2.1+really3.2.0-1_amd64.deb"), "", ""},
			{"appimage", f("CloudToLocalLLM"), "", "", f("CloudToLocalLLM-3.2.0-x86_64.AppImage"), "", ""},
			{"tarball", f("cloudtolocalllm"), "", "", f("cloudtolocalllm-3.2.0-x86_64.tar.gz"), "", ""},
			{f("flatpak"), f("org.x.App"), "", "", "", "", ""},
		},
	}
}

func renderedPostmortem(t testing.TB, p Postmortem) string {
	t.Helper()
	b, err := RenderPostmortem(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRenderPostmortem(t *testing.T) {
	golden(t, "postmortem.md", []byte(renderedPostmortem(t, postmortem(same))))
	golden(t, "postmortem_empty.md", []byte(renderedPostmortem(t, Postmortem{Project: "x", Bad: "0.1.0"})))
}

// TestRenderPostmortem_Status: only a rollback whose every level is done, and that has ended, is completed.
func TestRenderPostmortem_Status(t *testing.T) {
	end := time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		states []State
		end    time.Time
		want   string
	}{
		{nil, end, "🟡 In Progress"},
		{[]State{Done, Done}, end, "✅ Completed"},
		{[]State{Done, Done}, time.Time{}, "🟡 In Progress"},
		{[]State{Done, Unknown}, end, "🟡 In Progress"},
		{[]State{Done, Pending}, end, "🟡 In Progress"},
		{[]State{Done, Failed}, end, "🔴 Failed"},
	} {
		p := Postmortem{Ended: c.end}
		for _, s := range c.states {
			p.Levels = append(p.Levels, PostmortemLevel{State: s})
		}
		if text := renderedPostmortem(t, p); !strings.Contains(text, "**Status**: "+c.want+"  \n") {
			t.Errorf("%v: not %s", c.states, c.want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0-1 hour", time.Hour - 1: "0-1 hour", time.Hour: "1-4 hours", 4 * time.Hour: "4-24 hours", 24 * time.Hour: "1-7 days", 168 * time.Hour: "more than 7 days"} {
		if got := Horizon(d); got != want {
			t.Errorf("Horizon(%v) = %s, want %s", d, got, want)
		}
	}
}

// TestRenderPostmortem_Judged: whatever a value holds, the report has the same elements; and none is lost.
func TestRenderPostmortem_Judged(t *testing.T) {
	need(t, "cmark-gfm")
	shape := func(f func(string) string) ([]string, string) {
		got, text := tags(t, markdown(t, renderedPostmortem(t, postmortem(f))))
		return slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "a ") }), text
	}
	plain, _ := shape(func(string) string { return "xy" })
	for _, want := range []string{"table", "h3", "pre", "li"} {
		if !slices.Contains(plain, want) {
			t.Errorf("the report has no %s: %v", want, plain)
		}
	}
	for _, h := range slices.Concat(hostile, linking) {
		if line(h) == "" {
			continue
		}
		got, text := shape(func(string) string { return "x" + h + "y" })
		if !slices.Equal(got, plain) {
			t.Errorf("%.60q changes the report:\n%v\n%v", h, got, plain)
		}
		if seen := strings.ReplaceAll(text, gap, ""); strings.Count(seen, line("x"+h+"y")) < 30 && !strings.Contains(h, "{{") {
			t.Errorf("%.60q does not read as it was written, %d times", h, strings.Count(seen, line("x"+h+"y")))
		}
	}
}

// TestShell: a shell reads back what was quoted, as one word, and runs nothing of it.
func TestShell(t *testing.T) {
	need(t, "sh")
	for _, h := range slices.Concat(hostile, []string{"a'b", "'", "$(touch /nonexistent/x)", "-n", "a.deb", "./a.deb", "~root", "a b", "!!", "a;b", "a\\'b"}) {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf '%s|' "+shell(h, "")).Output()
		if err != nil || string(out) != line(h)+"|" {
			t.Errorf("%q reads as %q, %v", h, out, err)
		}
	}
}

func FuzzRenderPostmortem(f *testing.F) {
	for _, h := range hostile {
		f.Add(h)
	}
	count := func(text string) [3]int {
		return [3]int{strings.Count(text, "\n|"), strings.Count(text, "\n#"), strings.Count(text, "\n- [")}
	}
	var plain [3]int
	f.Fuzz(func(t *testing.T, s string) {
		if plain == [3]int{} {
			plain = count(renderedPostmortem(t, postmortem(func(string) string { return "xy" })))
		}
		if got := count(renderedPostmortem(t, postmortem(func(string) string { return "x" + s }))); got != plain {
			t.Fatalf("%q changes the shape of the report: %v, want %v", s, got, plain)
		}
	})
}

// TestRenderPostmortem_NoWayBack: who cannot be brought back is told so, and what to do; nobody reads that no user had a
// release that was public.
func TestRenderPostmortem_NoWayBack(t *testing.T) {
	at := time.Date(2026, 8, 1, 10, 0, 0, 0, time.UTC)
	p := Postmortem{
		Project: "x", Bad: "0.1.0", Published: at, Began: at.Add(time.Hour), Timeline: []PostmortemEvent{{Time: at.Add(2 * time.Hour), What: "withdrawn"}},
		Notices: []PostmortemNotice{{Format: "aur", Package: "x-bin", Bad: "0.1.0-2"}, {Format: "deb", Package: "x", Bad: "0.1.0-1"}, {Format: "appimage", Package: "x"}, {Format: "tarball", Package: "x"}},
	}
	text := renderedPostmortem(t, p)
	for _, want := range []string{
		"x-bin 0.1.0-2 is what the AUR has: nothing replaces it yet", "pacman -U", "sudo apt remove x\n", "can delete it", "can remove that folder", "| Users had it for | 2h0m0s so far |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in\n%s", want, text)
		}
	}
	for _, not := range []string{"is replaced", "an earlier version", "--allow-downgrades", "chmod"} {
		if strings.Contains(text, not) {
			t.Errorf("found %q in\n%s", not, text)
		}
	}
	p.Notices = nil
	if text := renderedPostmortem(t, p); strings.Contains(text, "no user had it") || !strings.Contains(text, "the release had no packages") {
		t.Error(text)
	}
}

// TestRenderPostmortem_Users: the report says who has the bad version still, and no more than is known of since when.
func TestRenderPostmortem_Users(t *testing.T) {
	at := time.Date(2026, 8, 1, 10, 0, 0, 0, time.UTC)
	const moved = "its users were moved by rollback-1"
	for name, c := range map[string]struct {
		change    func(*Postmortem)
		want, not []string
	}{
		"moved":      {func(*Postmortem) {}, []string{": rolled back\n", "0.1.0 → 0.0.9  \n", "| Published | 2026-08-01 10:00:00 UTC |", "| Users had it for | 2h0m0s |", "had no packages"}, []string{"still", "so far"}},
		"still":      {func(p *Postmortem) { p.Still = true }, []string{"| Users had it for | 2h0m0s so far; not all of them were moved |"}, nil},
		"goes on":    {func(p *Postmortem) { p.Ended = time.Time{} }, []string{"| Users had it for | 1h0m0s so far |"}, nil},
		"begun":      {func(p *Postmortem) { p.Doubt = true }, []string{"| Published | at the earliest 2026-08-01 10:00:00 UTC |", "| at most 2h0m0s |"}, nil},
		"in doubt":   {func(p *Postmortem) { p.Doubt, p.Published = true, time.Time{} }, []string{"| Published | unknown: it was begun", "| Users had it for | unknown |", "Nothing: no journal says that a user had it."}, []string{"never"}},
		"never":      {func(p *Postmortem) { p.Published = time.Time{} }, []string{"| Published | never |", "Nothing: no user had it."}, nil},
		"nobody":     {func(p *Postmortem) { p.Unmoved = true }, []string{": taken back\n", "; no user was moved  \n", "| they have it still |", "gets it still."}, []string{moved, "2h"}},
		"by another": {func(p *Postmortem) { p.Unmoved, p.MovedBy = true, "rollback-1" }, []string{": taken back\n", moved, "| see the report of rollback-1 |"}, []string{"have it still", "gets it still"}},
		"AUR": {func(p *Postmortem) {
			p.Notices = []PostmortemNotice{{Format: "aur", Package: "a-bin", Bad: "0.1.0-1", Left: LeftOther}, {Format: "aur", Package: "b-bin", Bad: "0.1.0-2", Left: LeftUnknown}}
		}, []string{"does not give anybody a-bin 0.1.0-1 any more", "b-bin 0.1.0-2 was left as it is in the AUR"}, []string{"nothing replaces it yet", "is replaced"}},
		"public": {func(p *Postmortem) {
			p.Notices = []PostmortemNotice{{Format: "deb", Package: "x", Left: LeftPublic}, {Format: "Tarballs", Package: "y", File: "z", Left: LeftPublic, URL: "https://example.org/"}}
		}, []string{"x 0.1.0 was left public as it is: nothing replaces it.", "y 0.1.0 was left", "takes 0.0.9.", "<https://example.org/>"}, []string{"is replaced", "apt install"}},
	} {
		p := Postmortem{Project: "x", Bad: "0.1.0", Good: "0.0.9", Published: at, Began: at.Add(time.Hour), Ended: at.Add(2 * time.Hour)}
		if c.change(&p); p.Unmoved {
			p.Good = ""
		}
		text := renderedPostmortem(t, p)
		for _, w := range c.want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: want %q in\n%s", name, w, text)
			}
		}
		for _, w := range c.not {
			if strings.Contains(text, w) {
				t.Errorf("%s: found %q in\n%s", name, w, text)
			}
		}
	}
}
