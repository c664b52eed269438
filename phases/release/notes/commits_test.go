package notes

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/imrightguy/slipway/phases/internal/repo"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]change{
		"feat: one":               {kind: "feat", text: "one"},
		"FEAT(ui): one":           {kind: "feat", scope: "ui", text: "one"},
		"fix(a b)!: one (#12)":    {kind: "fix", scope: "a b", text: "one", breaking: true, pull: "12"},
		"feat:one":                {text: "feat:one"},
		"feat : one":              {text: "feat : one"},
		"feat(: one":              {text: "feat(: one"},
		"feat: ":                  {text: "feat:"},
		"Note: one":               {text: "Note: one"},
		"deps!: drop x":           {kind: "deps", text: "drop x", breaking: true},
		"whatever!: drop x":       {text: "whatever!: drop x", breaking: true},
		"plain subject (#1) (#2)": {text: "plain subject (#1)", pull: "2"},
		"x (#0)":                  {text: "x (#0)"},
		"x (octo/cat#1)":          {text: "x (octo/cat#1)"},
		"fix: a\n\nBREAKING CHANGE: the\nnew way\n\nmore":                             {kind: "fix", text: "a", breaking: true, note: "the new way"},
		"fix: a\n\nbody\n\nReviewed-by: Z\nBREAKING-CHANGE: x\nRefs: #1":              {kind: "fix", text: "a", breaking: true, note: "x"},
		"fix: a\n\nBREAKING CHANGE #x\nBREAKING CHANGE: y":                            {kind: "fix", text: "a", breaking: true, note: "x; y"},
		"fix: a\n\nbreaking change: x\nThis is no BREAKING CHANGE: y":                 {kind: "fix", text: "a"},
		"Revert \"feat: x\"\n\nThis reverts commit " + strings.Repeat("ab", 20) + ".": {kind: "revert", text: `Revert "feat: x"`, reverts: strings.Repeat("ab", 20)},
		"fix: y\n\nThis reverts commit " + strings.Repeat("ab", 20) + ".":             {kind: "fix", text: "y"},
		"": {},
	} {
		subject, body, _ := strings.Cut(in, "\n\n")
		got := parse(repo.Change{Subject: strings.TrimSpace(subject), Body: body})
		got.subject = ""
		if got != want {
			t.Errorf("%q:\n%+v, want\n%+v", in, got, want)
		}
	}
	merge := repo.Change{Subject: "Merge pull request #12 from octo/branch", Body: "feat(ui)!: one\n\nbody", Parents: 2}
	if got := parse(merge); got != (change{subject: "feat(ui)!: one", kind: "feat", scope: "ui", text: "one", breaking: true, pull: "12"}) {
		t.Errorf("%+v", got)
	}
}

func TestReleaseCommits(t *testing.T) {
	for _, s := range []string{"Release v3.2.1", "release: 3.2.1", "chore(release): 3.2.1-rc.1", "v3.2.1", "3.2.1+1", "Bump version to 3.2.1", "chore: bump version from 3.2.0 to 3.2.1", "chore: release v3.2.1", "Version 3.2.1", "Prepare release 3.2.1", "chore: release 3.2.1"} {
		if !releaseRE.MatchString(s) {
			t.Errorf("%q is not taken for a release", s)
		}
	}
	for _, s := range []string{"fix: 3.2.1", "Release the lock", "Bump go to 1.26.1", "chore: bump x from 1.2.3 to 1.2.4", "Version 3.2.1 needs a newer libc", "Release 3.2"} {
		if releaseRE.MatchString(s) {
			t.Errorf("%q is taken for a release", s)
		}
	}
}

// sample is a history with everything that notes look at.
func sample(t testing.TB) (dir string, ids []string) {
	return history(t,
		commit{message: "first", tags: []string{"v3.1.0"}},
		commit{message: "Release v3.2.0", tags: []string{"v3.2.0", "v3.2.1-rc.1"}},
		commit{message: "feat(settings): one window for all settings (#41)"},
		commit{message: "fix(tray): follow the theme\n\nCloses #7"},
		commit{message: "fix!: read the new file only\n\nBREAKING CHANGE: settings.ini is not read any more;\nslipway init makes settings.yaml"},
		commit{message: "perf: start in half of the time"},
		commit{message: "docs: how to install"},
		commit{message: "chore: tidy up"},
		commit{message: "chore(api)!: drop v1"},
		commit{message: "Correct the Finnish translation"},
		commit{message: "feat: a bad idea"},
		commit{message: "Revert \"feat: a bad idea\"\n\nThis reverts commit {11}."},
		commit{message: "Revert \"first\"\n\nThis reverts commit {1}."},
		commit{message: "feat: taken back and put back"},
		commit{message: "Revert \"feat: taken back and put back\"\n\nThis reverts commit {14}."},
		commit{message: "Revert \"Revert \"feat: taken back and put back\"\"\n\nThis reverts commit {15}."},
		commit{message: "fixup! feat: taken back and put back"},
		commit{message: "fix(tray): follow the theme"}, // once more
		commit{message: "fix: on a branch", parents: []int{10}},
		commit{message: "Merge branch 'topic'", parents: []int{18, 19}},
		commit{message: "Merge pull request #55 from octo/topic\n\nsecurity: tokens are not logged", parents: []int{20, 19}},
		commit{message: "chore(release): 3.2.1"},
	)
}

func notes(t testing.TB, dir string, c Config, o Options, planned, at string) string {
	t.Helper()
	text, err := Text(t.Context(), open(t, dir), c, o, planned, at)
	must(t, err)
	return text
}

func TestText_Commits(t *testing.T) {
	dir, ids := sample(t)
	head := ids[len(ids)-1]
	golden(t, "commits.md", notes(t, dir, Config{}, options, "3.2.1+4", head))
	golden(t, "commits_excluded.md", notes(t, dir, Config{Exclude: []string{"chore", "docs", "^fix!: read"}}, Options{}, "3.2.1", head))
	golden(t, "commits_first_parent.md", notes(t, dir, Config{FirstParent: true}, Options{}, "3.2.1", head))
	// The notes are the same once the version is tagged.
	before := notes(t, dir, Config{}, options, "3.2.1", head)
	git(t, dir, "", "tag", "-a", "-m", "x", "v3.2.1", head)
	if after := notes(t, dir, Config{}, options, "3.2.1", head); after != before {
		t.Errorf("after the tag:\n%s", after)
	}
}

// TestText_Since: a final release tells of all that came since the final release before, a prerelease since the
// prerelease before; and a newer version of another branch is not the one before.
func TestText_Since(t *testing.T) {
	dir, ids := history(t,
		commit{message: "feat: one", tags: []string{"v1.0.0"}},
		commit{message: "feat: two", tags: []string{"v1.1.0-rc.1"}},
		commit{message: "feat: three", tags: []string{"v1.1.0-rc.2"}},
		commit{message: "feat: four"},
		commit{message: "feat: other", parents: []int{1}, tags: []string{"v1.0.9"}},
		commit{message: "feat: five", parents: []int{4}, tags: []string{"nightly", "v2", "app-v1.0.5"}},
		commit{message: "feat: next", tags: []string{"v9.0.0"}},
	)
	for _, c := range []struct{ version, form, at, want string }{
		{"1.1.0", "", ids[5], "five four three two"},
		{"1.1.0-rc.3", "", ids[5], "five four"},
		{"1.1.0-rc.2", "", ids[2], "three"},
		{"1.0.9", "", ids[4], "other"},
		{"1.0.0", "", ids[0], "one"},
		{"1.2.0", "", ids[6], "next five four three two"},
		{"1.2.0", "app-v{{ .Version }}", ids[6], "next"},
		{"1.2.0", "x-{{ .Version }}", ids[6], "next five four three two one"},
	} {
		text := notes(t, dir, Config{}, Options{TagName: c.form}, c.version, c.at)
		want := "## Features\n\n"
		for word := range strings.FieldsSeq(c.want) {
			i := map[string]int{"one": 0, "two": 1, "three": 2, "four": 3, "other": 4, "five": 5, "next": 6}[word]
			want += fmt.Sprintf("- %s (%s)\n", word, repo.Short(ids[i]))
		}
		if text != want {
			t.Errorf("%s at %s: \n%s, want\n%s", c.version, c.at[:7], text, want)
		}
	}
}

func TestText_Limit(t *testing.T) {
	var in strings.Builder
	dir, _ := history(t, commit{message: "feat: one", tags: []string{"v1.0.0"}})
	for i := range 1000 {
		message := fmt.Sprintf("%s: number %d %s", []string{"feat", "chore"}[i%2], i, strings.Repeat("漢@🟡", 100))
		fmt.Fprintf(&in, "commit refs/heads/main\ncommitter C <c@example.org> %d +0000\ndata %d\n%s\n", 1_800_000_000+i, len(message), message)
		if i == 0 {
			in.WriteString("from refs/heads/main^0\n")
		}
		in.WriteString("\n")
	}
	git(t, dir, in.String(), "fast-import", "--quiet")
	head := git(t, dir, "", "rev-parse", "main")
	text := notes(t, dir, Config{}, options, "1.1.0", head)
	if n := length(text); n > Limit || n < Limit*9/10 {
		t.Errorf("the notes have %d characters", n)
	}
	for _, want := range []string{"## Features\n\n- number 998 ", "and ", " more\n", "## Other changes\n\n- … and 500 more", "## Install", "**All changes since 1.0.0**: https://github.com/octo/cat/compare/v1.0.0...v1.1.0\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the notes lack %q: ...%s", want, text[len(text)-1500:])
		}
	}
	if !utf8.ValidString(text) {
		t.Error("a character is cut")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"feat(a)!: b (#1)", "fix: x", "Revert \"x\"", "!:", "a(b: c", "Merge pull request #1 from x"} {
		f.Add(s, "BREAKING CHANGE: x\ny\n\nThis reverts commit 0123456789012345678901234567890123456789.", 2)
	}
	f.Fuzz(func(t *testing.T, subject, body string, parents int) {
		c := parse(repo.Change{Subject: subject, Body: body, Parents: parents})
		if c.kind != "" && c.kind != "revert" && !strings.Contains(strings.ToLower(c.subject), c.kind) {
			t.Fatalf("%q has kind %q", subject, c.kind)
		}
		if !strings.HasSuffix(c.subject, c.text) || len(c.reverts) != 0 && len(c.reverts) != 40 {
			t.Fatalf("%q: %+v", subject, c)
		}
		if _, known := group(c.kind); c.kind != "" && !known {
			t.Fatalf("%q: kind %q", subject, c.kind)
		}
		if c.note != "" && !c.breaking {
			t.Fatalf("%q, %q: %+v", subject, body, c)
		}
		releaseRE.MatchString(subject)
	})
}
