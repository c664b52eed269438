package templates

import (
	"encoding/xml"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// linking are texts that GitHub makes links of, or tells people of, although they hold no markup.
var linking = []string{
	"@octocat", "thanks @octocat!", "@org/team", "a@b.example", "mail me: mailto:a@b.example", "#1", "(#12)", "octo/cat#1", "GH-12", "gh-1", "@@a", "##1", "@", "#", "a@", "octo/cat@0123abc",
	"https://github.com/octo/cat/issues/1", "http://x.example", "ftp://x.example/", "www.x.example", "WWW.X.EXAMPLE", "wwww.x.example", "<https://x.example>", "https://x.example/@octocat#1", "https:https://x.example", "://", "xmpp:a@b.example/c",
	strings.Repeat("@octocat ", 1200), strings.Repeat("<script>", 1300),
}

// notes are notes with every text replaced by f.
func notes(f func(string) string) Notes {
	return Notes{
		Project: f("cloudtolocalllm"), Version: "3.2.1", Previous: "3.2.0", Compare: "https://github.com/octo/cat/compare/v3.2.0...v3.2.1",
		Groups: []NotesGroup{
			{f("Breaking changes"), []NotesChange{{f("api"), f("drop v1"), f("Use v2 instead"), "#12"}}, 0},
			{f("Features"), []NotesChange{{"", f("settings in one place"), "", "0123456789ab"}, {f("tray"), f("follow the theme"), "", ""}}, 0},
			{f("Other changes"), []NotesChange{{"", f("tidy up"), "", f("ref")}}, 1234},
		},
		Packages: []NotesPackage{
			{"tarball", "cloudtolocalllm", "cloudtolocalllm-3.2.1-x86_64.tar.gz"},
			{"deb", "cloudtolocalllm", "cloudtolocalllm_3.2.1-1_amd64.deb"},
			{"deb", "cloudtolocalllm", "cloudtolocalllm_3.2.1-1_arm64.deb"},
			{"appimage", "CloudToLocalLLM", "CloudToLocalLLM-3.2.1-x86_64.AppImage"},
			{"aur", "cloudtolocalllm-desktop", ""},
			{"checksum", "x", "y"},
		},
		Sums: "SHA256SUMS",
	}
}

func renderedNotes(t testing.TB, n Notes) string {
	t.Helper()
	b, err := RenderNotes(n)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRenderNotes(t *testing.T) {
	golden(t, "notes.md", []byte(renderedNotes(t, notes(same))))
	body := Notes{Version: "3.2.1", Body: "### Added\n\n- A `thing`\n", Packages: []NotesPackage{{"deb", "x", "x.deb"}}}
	golden(t, "notes_body.md", []byte(renderedNotes(t, body)))
	if got := renderedNotes(t, Notes{Version: "3.2.1"}); got != "" {
		t.Errorf("empty notes are %q", got)
	}
	if got := renderedNotes(t, Notes{Body: "written\n\nby hand\n\n\n"}); got != "written\n\nby hand\n" {
		t.Errorf("a body alone is %q", got)
	}
}

// TestRenderNotes_Open: what a person left open does not swallow what follows.
func TestRenderNotes_Open(t *testing.T) {
	need(t, "cmark-gfm")
	for _, body := range []string{"```sh\nmake", "~~~~\n```\n~~~", "a <!-- b\nc", "```\n<!--\n```\ntext", "a <!-- b --> c <!-- d"} {
		html := markdown(t, renderedNotes(t, Notes{Body: body, Packages: []NotesPackage{{"deb", "x", "x.deb"}}}))
		if !strings.Contains(html, "<h2>Install</h2>") {
			t.Errorf("%q swallows the rest:\n%s", body, html)
		}
	}
}

func TestRenderNotes_Refused(t *testing.T) {
	for _, bad := range []string{"", "-x", "../x", "a b", "$(id)", "x;y", "a\nb", "`id`", ".x"} {
		for _, n := range []Notes{{Packages: []NotesPackage{{"deb", "x", bad}}}, {Packages: []NotesPackage{{"aur", bad, ""}}}} {
			if _, err := RenderNotes(n); err == nil {
				t.Errorf("a package %q is accepted", bad)
			}
		}
		if bad == "" {
			continue
		}
		if _, err := RenderNotes(Notes{Sums: bad}); err == nil {
			t.Errorf("checksums %q are accepted", bad)
		}
		if _, err := RenderNotes(Notes{Compare: "https://x.example/" + bad + "<>"}); err == nil {
			t.Errorf("an address with %q is accepted", bad)
		}
	}
}

// markdown asks GitHub's own program for HTML, with all that GitHub switches on.
func markdown(t testing.TB, text string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "cmark-gfm", "--unsafe", "-e", "table", "-e", "strikethrough", "-e", "tasklist", "-e", "autolink", "-e", "footnotes")
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// tags lists the elements of HTML in order, with their attributes, and returns its text.
func tags(t testing.TB, html string) (tags []string, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader("<x>" + html + "</x>"))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var b strings.Builder
	for {
		tok, err := d.Token()
		if err != nil {
			return tags, b.String()
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			s := tok.Name.Local
			for _, a := range tok.Attr {
				s += " " + a.Name.Local + "=" + a.Value
			}
			tags = append(tags, s)
		case xml.CharData:
			b.Write(tok)
		case xml.Comment, xml.ProcInst, xml.Directive:
			tags = append(tags, "comment")
		}
	}
}

// TestRenderNotes_Judged: whatever a subject holds, the page has the same elements, with no link of its own, and its
// text neither names anybody nor an issue.
func TestRenderNotes_Judged(t *testing.T) {
	need(t, "cmark-gfm")
	plain, _ := tags(t, markdown(t, renderedNotes(t, notes(func(string) string { return "xy" }))))
	for _, h := range slices.Concat(hostile, linking) {
		html := markdown(t, renderedNotes(t, notes(func(string) string { return h })))
		got, text := tags(t, html)
		want := plain
		if line(h) == "" {
			continue
		}
		if !slices.Equal(got, want) {
			t.Errorf("%.60q changes the page:\n%v\n%v", h, got, want)
		}
		if strings.Contains(text, "@octocat") || strings.Contains(text, "@org") || strings.Contains(text, "cat#1") || strings.Contains(text, "GH-1") || strings.Contains(text, "://x.example") {
			t.Errorf("%.60q mentions somebody:\n%.500s", h, text)
		}
		if seen := strings.ReplaceAll(text, gap, ""); !strings.Contains(seen, line(h)) && !strings.ContainsAny(h, "\u200b") {
			t.Errorf("%.60q does not read as it was written:\n%.500s", h, seen)
		}
	}
}

func TestPlain(t *testing.T) {
	for s, want := range map[string]string{
		"":                     "",
		"plain text":           "plain text",
		"thanks @octocat":      "thanks @&#8203;octocat",
		"octo/cat#12":          `octo/cat\#&#8203;12`,
		"see gh-1 and GH-22":   "see gh-&#8203;1 and GH-&#8203;22",
		"high-1":               "high-1",
		"https://x.example":    "https:&#8203;//x.example",
		"www.x.example":        "www&#8203;.x.example",
		"&#64;octocat":         `\&\#&#8203;64;octocat`,
		"a `b` <c>":            "a \\`b\\` \\<c\\>",
		"std::string, key: v":  "std::string, key: v",
		"@@":                   "@&#8203;@&#8203;",
		"\u200b@\u200boctocat": "&#8203;@&#8203;&#8203;octocat",
	} {
		if got := Plain(s); got != want {
			t.Errorf("Plain(%q) = %q, want %q", s, got, want)
		}
	}
}

func TestRenderNotesWith(t *testing.T) {
	n := notes(same)
	for text, want := range map[string]string{
		"# {{ .Project }} {{ .Version }}\n":                                                          "# cloudtolocalllm 3.2.1\n",
		"{{ range .Groups }}{{ .Title }}:{{ range .Changes }} {{ .Text }}{{ end }};{{ end }}":        "Breaking changes: drop v1;Features: settings in one place follow the theme;Other changes: tidy up;\n",
		"{{ range $i, $g := .Groups }}{{ if $i }}, {{ end }}{{ $g.Title | printf \"%q\" }}{{ end }}": "\"Breaking changes\", \"Features\", \"Other changes\"\n",
		"{{ define \"x\" }}[{{ . }}]{{ end }}{{ template \"x\" .Previous }}":                         "[3.2.0]\n",
	} {
		got, err := RenderNotesWith("t.tmpl", text, n)
		if err != nil || string(got) != want {
			t.Errorf("%q gives %q, %v; want %q", text, got, err, want)
		}
	}
	whole, err := RenderNotesWith("t.tmpl", `{{ template "changes" . }}{{ template "install" . }}{{ with .Compare }}**All changes since {{ $.Previous }}**: {{ . }}{{ end }}`, n)
	if err != nil || string(whole) != renderedNotes(t, n) {
		t.Errorf("the parts give\n%s, %v", whole, err)
	}
	got, err := RenderNotesWith("t.tmpl", "{{ range .Groups }}{{ range .Changes }}{{ .Text }}{{ end }}{{ end }}", notes(func(string) string { return "<script>@octocat" }))
	if err != nil || strings.Contains(string(got), "@o") || strings.Contains(string(got), " <s") {
		t.Errorf("hostile subjects give %s, %v", got, err)
	}
	for text, want := range map[string]string{
		"a\n{{ .Nope }}":                                                      "docs/t.tmpl:2:3: at <.Nope>: can't evaluate field Nope",
		"a\nb\n{{ if }}":                                                      "docs/t.tmpl:3: missing value for if",
		"{{ env \"HOME\" }}":                                                  `docs/t.tmpl:1: function "env" not defined`,
		"{{ readFile \"/etc/passwd\" }}":                                      `function "readFile" not defined`,
		"{{ call .Version }}":                                                 "nothing can be called",
		"{{ range 1000000000000 }}{{ end }}":                                  "line 1: it counts",
		"\n{{ $n := 1000000000000 }}{{ range $n }}{{ end }}":                  "line 2: it counts",
		"{{ define \"x\" }}{{ range 99 }}{{ end }}{{ end }}":                  "it counts",
		"{{ define \"x\" }}{{ template \"x\" }}{{ end }}{{ template \"x\" }}": "exceeded maximum template depth",
		"{{ printf \"%1000000d\" 1 }}{{ printf \"%1000000d\" 1 }}{{ printf \"%1000000d\" 1 }}{{ printf \"%1000000d\" 1 }}{{ printf \"%1000000d\" 1 }}{{ printf \"%1000000d\" 1 }}{{ printf \"%1000000d\" 1 }}{{ printf \"%1000000d\" 1 }}{{ printf \"%1000000d\" 1 }}": "writes more than",
		"{{ template \"tracker.md.tmpl\" . }}": "cannot use the template of the notes",
	} {
		got, err := RenderNotesWith("docs/t.tmpl", text, n)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "notesView") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.80q gives %.80q, %v; want error %s", text, got, err, want)
		}
	}
	// What somebody's template defines stays theirs.
	if _, err := RenderNotesWith("t.tmpl", `{{ define "changes" }}mine{{ end }}`, n); err != nil {
		t.Error(err)
	}
	golden(t, "notes.md", []byte(renderedNotes(t, n)))
}

func FuzzPlain(f *testing.F) {
	for _, h := range slices.Concat(hostile, linking) {
		if len(h) < 100 {
			f.Add(h)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Plain(s)
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r") {
			t.Fatalf("%q is not a line", got)
		}
		for i, r := range got {
			if r == '@' && !strings.HasPrefix(got[i+1:], "&#8203;") {
				t.Fatalf("Plain(%q) = %q has an open @", s, got)
			}
		}
		if read := strings.NewReplacer("&#8203;", "").Replace(got); strings.Count(read, "`") != strings.Count(read, "\\`") {
			t.Fatalf("Plain(%q) = %q has an open code span", s, got)
		}
	})
}

func FuzzRenderNotesWith(f *testing.F) {
	for _, s := range []string{"", "{{ .Version }}", "{{ range .Groups }}{{ .Title }}{{ end }}", "{{", "{{ template \"changes\" . }}", "{{ range 9 }}{{ end }}", "{{ call }}"} {
		f.Add(s)
	}
	n := notes(same)
	f.Fuzz(func(t *testing.T, s string) {
		got, err := RenderNotesWith("t.tmpl", s, n)
		if err != nil && (got != nil || strings.ContainsAny(err.Error(), "\n\r")) {
			t.Fatalf("%q: %q, %q", s, got, err)
		}
		if len(got) > maxNotes+1 {
			t.Fatalf("%d bytes", len(got))
		}
	})
}
