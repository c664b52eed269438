package notes

import (
	"strings"
	"testing"
	"unicode/utf8"
)

const keep = "# Changelog\n\n<!--\n## [3.2.1] - not this one\n-->\n\n## [Unreleased]\n\n- next\n\n## [3.2.1] - 2026-08-01\n\n### Added\n\n- A `## [9.9.9]` thing, see [the guide][guide] and [3.2.0]\n\n```\n## 3.2.0\n[fake]: x\n```\n\n### Fixed\n\n- b\n\n## [3.2.0] - 2026-07-01 [YANKED]\n\n- old\n\n[unreleased]: https://x.example/compare/v3.2.1...HEAD\n[3.2.1]: https://x.example/compare/v3.2.0...v3.2.1\n[3.2.0]: https://x.example/releases/v3.2.0\n[Guide]: https://x.example/guide\n"

func TestSection(t *testing.T) {
	for name, c := range map[string][3]string{
		"keep a changelog":     {keep, "3.2.1", "### Added\n\n- A `## [9.9.9]` thing, see [the guide][guide] and [3.2.0]\n\n```\n## 3.2.0\n[fake]: x\n```\n\n### Fixed\n\n- b\n\n[3.2.0]: https://x.example/releases/v3.2.0\n[Guide]: https://x.example/guide"},
		"yanked":               {keep, "3.2.0", "- old"},
		"plain":                {"## 3.2.1\n- a\n## 3.2.0\n- b\n", "3.2.1", "- a"},
		"last":                 {"## 3.2.1\n- a\n## 3.2.0\n- b\n", "3.2.0", "- b"},
		"v and date":           {"# v3.2.1 (2026-08-01)\n\na\n\n# v3.2.0 (2026-07-01)\n", "3.2.1", "a"},
		"closed heading":       {"## 3.2.1 ##\na\n## 3.2.0 ##", "3.2.1", "a"},
		"setext":               {"Changes\n=======\n\n3.2.1 / 2026-08-01\n------------------\n\n- a\n\nv3.2.0\n------\n- b\n", "3.2.1", "- a"},
		"setext level 1":       {"3.2.1\n===\na\n3.2.0\n===\n", "3.2.1", "a"},
		"a rule is no heading": {"## 3.2.1\n\na\n\n---\n\n- b\n---\nc\n## 3.2.0\n", "3.2.1", "a\n\n---\n\n- b\n---\nc"},
		"compare link":         {"## [3.2.1](https://x.example/compare/v3.2.0...v3.2.1) (2026-08-01)\na\n## [3.2.0](x)", "3.2.1", "a"},
		"patches are deeper":   {"### [3.2.1](x) (2026-08-01)\n\n### Bug Fixes\n\n- a\n\n## [3.2.0](x)\n\n### Features\n\n- b\n\n### [3.1.9](x)\n- c", "3.2.1", "### Bug Fixes\n\n- a"},
		"before a patch":       {"### [3.2.1](x) (2026-08-01)\n\n- a\n\n## [3.2.0](x)\n\n### Features\n\n- b\n\n### [3.1.9](x)\n- c", "3.2.0", "### Features\n\n- b"},
		"word":                 {"## Version 3.2.1 - now\na\n## Release 3.2.0\nb", "3.2.1", "a"},
		"product":              {"## cloudtolocalllm 3.2.1 (2026-08-01)\na\n## cloudtolocalllm 3.2.0\nb", "3.2.1", "a"},
		"code":                 {"## `3.2.1`\na\n", "3.2.1", "a"},
		"prerelease":           {"## 3.2.1\na\n## 3.2.1-rc.1\nb\n## 3.2.1-rc.10\nc\n", "3.2.1-rc.1", "b"},
		"build":                {"## 3.2.1+7\na\n", "3.2.1+007", "a"},
		"no build":             {"## 3.2.1\na\n", "3.2.1+007", "a"},
		"longer number":        {"## 13.2.1\na\n## 3.2.10\nb\n## 3.2.1\nc", "3.2.1", "c"},
		"text about upgrades":  {"## 3.2.1\n\n### Upgrading from 3.2.0 to 3.2.1\na\n### From 3.1.0\nb\n## 3.2.0", "3.2.1", "### Upgrading from 3.2.0 to 3.2.1\na\n### From 3.1.0\nb"},
		"empty":                {"## 3.2.1\n\n## 3.2.0\n", "3.2.1", ""},
		"other chapter":        {"## 3.2.1\na\n## Contributors\nb\n", "3.2.1", "a"},
		"unreleased behind":    {"### 3.2.1\na\n### Unreleased\nb\n", "3.2.1", "a"},
	} {
		if got, err := section(c[0], ver(t, c[1])); err != nil || got != c[2] {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c[2])
		}
	}
}

func TestSection_Missing(t *testing.T) {
	for in, want := range map[string]string{
		keep:                       `there is no section for version 4.0.0; want a heading like ## [4.0.0] - DATE; there are "[Unreleased]", "[3.2.1] - 2026-08-01", "[3.2.0] - 2026-07-01 [YANKED]"`,
		"":                         "there are no headings",
		"# Notes\n## What's new\n": `there are "Notes", "What's new"`,
		"```\n## 4.0.0\n```\n":     "there are no headings",
		"<!-- \n## 4.0.0\n":        "there are no headings",
		"    ## 4.0.0\n":           "there are no headings",
		"##4.0.0\n":                "there are no headings",
		"## 4.0.0-rc.1\n":          `there are "4.0.0-rc.1"`,
		"## 4.0.0+3\n":             `there are "4.0.0+3"`,
		"## 4.0.0\n## v4.0.0\n":    "version 4.0.0 has two sections, in lines 1 and 2",
		strings.Repeat("## 1.0.0\n## 2.0.0 \x1b[31m"+strings.Repeat("x", 500)+"\n", 50): "and 90 more",
	} {
		got, err := section(in, ver(t, "4.0.0"))
		if err == nil || !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\x1b\n") || len(err.Error()) > 2000 {
			t.Errorf("%.40q: %q, %v; want %s", in, got, err, want)
		}
	}
}

func TestText_Changelog(t *testing.T) {
	dir, ids := history(t,
		commit{message: "one", files: map[string]string{"CHANGELOG.md": "## 3.2.0\n", "docs/NEWS": "\ufeff3.2.1\r\n=====\r\n\r\n* x\r\n", "bad": "## 3.2.1\n\xff", "notes.md": "# Slipway 3.2.1\n\n- by hand @octocat\n"}, tags: []string{"v3.2.0"}},
		commit{message: "two", files: map[string]string{"CHANGELOG.md": keep}},
		commit{message: "three", files: map[string]string{"CHANGELOG.md": "## 3.2.1\n\nlater\n"}},
	)
	golden(t, "changelog.md", notes(t, dir, Config{From: Changelog}, options, "3.2.1", ids[1]))
	if got := notes(t, dir, Config{From: Changelog, Changelog: "docs/NEWS"}, Options{}, "3.2.1", ids[1]); got != "* x\n" {
		t.Errorf("%q", got)
	}
	if got := notes(t, dir, Config{From: "notes.md"}, options, "3.2.1", ids[1]); got != "# Slipway 3.2.1\n\n- by hand @octocat\n" {
		t.Errorf("%q", got)
	}
	for want, c := range map[string]Config{
		`there is no section for version 3.2.2`:   {From: Changelog},
		`cannot read "NEWS"`:                      {From: "NEWS"},
		"bad is not a text in UTF-8":              {From: Changelog, Changelog: "bad"},
		`"../x" is not the path of a file`:        {From: "../x"},
		`changelog: it is read only with`:         {Changelog: "docs/NEWS"},
		`it is a folder, not a file`:              {From: "docs"},
		`cannot read "none.tmpl"`:                 {Template: "none.tmpl"},
		"exclude[1]: want a conventional type or": {Exclude: []string{"chore", "("}},
		"exclude: it is for notes from commits":   {From: Changelog, Exclude: []string{"chore"}},
		"first_parent: it is for notes":           {From: "notes.md", FirstParent: true},
	} {
		got, err := Text(t.Context(), open(t, dir), c, options, "3.2.2", ids[1])
		if err == nil || got != "" || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "cannot write the notes: ") {
			t.Errorf("%+v: %q, %v; want %s", c, got, err, want)
		}
	}
	long := strings.Repeat("漢字🟡 and more words\n", 9000)
	dir, ids = history(t, commit{message: "one", files: map[string]string{"CHANGELOG.md": "## 1.0.0\n```\n" + long + "```\n", "long line": strings.Repeat("🟡", 200_000)}})
	got := notes(t, dir, Config{From: Changelog}, options, "1.0.0", ids[0])
	if n := length(got); n > Limit || n < Limit-1000 || !strings.HasSuffix(got, "words\n```\n\n*The rest is too long for this page:* https://github.com/octo/cat/blob/v1.0.0/CHANGELOG.md\n") {
		t.Errorf("%d characters, ...%s", n, got[len(got)-300:])
	}
	got = notes(t, dir, Config{From: "long line"}, options, "1.0.0", ids[0])
	if n := length(got); n > Limit || n < Limit-1000 || !utf8.ValidString(got) || !strings.HasSuffix(got, "/blob/v1.0.0/long%20line\n") {
		t.Errorf("%d characters, ...%s", n, got[len(got)-300:])
	}
}

func FuzzSection(f *testing.F) {
	for _, s := range []string{keep, "## 1.2.3\na", "1.2.3\n===\n", "1.2.3\n=\n=", "<!--\n# 1.2.3", "```\n# 1.2.3\n", "# [1.2.3](x)\n### 1.2.3\n", "[a]: b\n# 1.2.3\n[a]"} {
		f.Add(s)
	}
	v := ver(f, "1.2.3")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := section(s, v)
		if err != nil {
			if got != "" || strings.ContainsAny(err.Error(), "\n\r\x1b") || len(err.Error()) > 3000 {
				t.Fatalf("%q: %q, %q", s, got, err)
			}
			return
		}
		for l := range strings.Lines(got) { // nothing is made up
			if !strings.Contains(s, strings.TrimSpace(l)) {
				t.Fatalf("%q has %q, which is not in %q", got, l, s)
			}
		}
		// A section in front or behind changes nothing, but for what is left open.
		if strings.Contains(s, "```") || strings.Contains(s, "~~~") || strings.Contains(s, "<!--") {
			return
		}
		if again, err := section("# 9.9.9\n\n"+s, v); err != nil || again != got {
			t.Fatalf("%q behind another section: %q, %v; want %q", s, again, err, got)
		}
	})
}
