package phases

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/imrightguy/slipway/phases/build/requirement"
	"github.com/rogpeppe/go-internal/txtar"
)

func example(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLoad(t *testing.T) {
	c, err := loaded([]byte(example(t, "app.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	bundle, deb, aur := c.Bundles["desktop"], c.Packages[1], c.Packages[2]
	for _, v := range []struct{ got, want any }{
		{c.Project, "cloudtolocalllm"},
		{c.About, About{"patch", "Unified Flutter settings", "Release team"}},
		{c.Version.Source, "pubspec.yaml"},
		{c.Version.Carriers, []string{"assets/version.json", "lib/config/app_config.dart"}},
		{c.Requires, map[string]requirement.Config{"git": {Range: ">=2.30, <4"}}},
		{c.Components["tray"].Path, "tray/cloudtolocalllm-tray"},
		{bundle.Arch, []string{"amd64"}},
		{bundle.Contents[0].Type, "tree"},
		{uint32(bundle.Contents[2].FileInfo.Mode), uint32(0o755)},
		{bundle.Forbidden, []string{"**/cloudtolocalllm-settings"}},
		{deb.Revision, 2},
		{deb.Description, "Manage and run local language models\nIt talks to a local Ollama or to a cloud proxy. A tray program stands beside it.\n"},
		{deb.Depends, []string{"libgtk-3-0", "libc6 (>= 2.31)"}},
		{aur.PkgRel, "1.1"},
		{aur.URL, "https://example.org/v{{ .Version }}/cloudtolocalllm-{{ .Version }}-{{ .Arch }}.tar.gz"},
		{c.Gates.Build.Approve, "technical-lead"},
		{c.Gates.Build.Criteria[1].By, "technical-lead"},
		{len(c.Approvers["release-manager"]), 2},
		{c.Risks[0].Mitigation, []string{"Size check at each step", "Clean-up"}},
		{c.Metrics[1].Target, "100% success"},
	} {
		if !reflect.DeepEqual(v.got, v.want) {
			t.Errorf("got %#v, want %#v", v.got, v.want)
		}
	}
	tr := c.Tracker()
	if tr.Lead != "Release team" || len(tr.Risks) != 1 || tr.Risks[0].Level != "high" || len(tr.Metrics) != 2 || len(tr.Metrics[0].Metrics) != 2 || tr.Metrics[0].Metrics[1].Name != "Build Success Rate" {
		t.Errorf("tracker is %+v", tr)
	}
}

// TestLoad_SameInEveryForm writes one configuration in the forms that say the same.
func TestLoad_SameInEveryForm(t *testing.T) {
	text := example(t, "slipway.yaml")
	want, err := Load("x", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]string{
		"CRLF":             strings.ReplaceAll(text, "\n", "\r\n"),
		"mixed line ends":  strings.Replace(text, "\n", "\r\n", 9),
		"document marker":  "---\n" + text,
		"no last line end": strings.TrimSuffix(text, "\n"),
		"octal":            strings.ReplaceAll(text, "mode: 0755", "mode: 0o755"),
		"octal in quotes":  strings.ReplaceAll(text, "mode: 0755", "mode: '0755'"),
		"pkgrel in quotes": strings.ReplaceAll(text, "pkgrel: 1", `pkgrel: "1"`),
		"quoted keys":      strings.ReplaceAll(text, "project:", `"project":`),
	} {
		got, err := Load("x", []byte(other))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		w := *want
		got.src, w.src = nil, nil
		if !reflect.DeepEqual(*got, w) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", name, *got, w)
		}
	}
}

// TestLoad_Bytes plants what no text file holds. Each is refused with its place and a remedy where there is one.
func TestLoad_Bytes(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "r: it is empty (slipway init writes one)",
		"\n\n# nothing\n":                "r: it is empty (slipway init writes one)",
		"\ufeffproject: x":               "r:1:1: it begins with a byte order mark (save it as UTF-8 without BOM)",
		"\xff\xfep\x00":                  "r: it is in UTF-16 (save it as UTF-8)",
		"\xfe\xff\x00p":                  "r: it is in UTF-16 (save it as UTF-8)",
		"project: a\xffb":                "r:1:11: byte 0xff is not UTF-8",
		"a: é\nb: \xe9\n":                "r:2:4: byte 0xe9 is not UTF-8",
		"a: \xed\xa0\x80":                "r:1:4: byte 0xed is not UTF-8",
		"é: \x00":                        "r:1:4: character U+0000 is not allowed",
		"a: \x1b[31m":                    "r:1:4: character U+001B is not allowed",
		"a: b\rc: d":                     "r:1:5: character U+000D is not allowed",
		"a: \u0085":                      "r:1:4: character U+0085 is not allowed",
		"a: \u2028":                      "r:1:4: character U+2028 is not allowed",
		"# \u202etxt":                    "r:1:3: character U+202E is not allowed",
		"a: b\ufeff":                     "r:1:5: character U+FEFF is not allowed",
		"project: \"\\0\"":               "r:1:10: project: character U+0000 is not allowed",
		"project: \"\\u202e\"":           "r:1:10: project: character U+202E is not allowed",
		"\"pro\\nject\": x":              "r:1:1: key \"pro\\nject\" is too long, or holds what no name does",
		"\"" + strings.Repeat("k", 300):  "r:1:1: not valid YAML: could not find end character of double-quoted text",
		strings.Repeat("k", 300) + ": x": "r:1:1: key \"" + strings.Repeat("k", 60) + "\"... is too long, or holds what no name does",
		"\tproject: x":                   "r:1:8: not valid YAML: tab character cannot use as a map key directly",
		"project: \ufffd\n":              "", // the replacement character itself is a character
	} {
		_, err := Load("r", []byte(text))
		if want == "" {
			if err != nil {
				t.Errorf("%.60q: %v", text, err)
			}
		} else if err == nil || err.Error() != want {
			t.Errorf("%.60q: %v\nwant %s", text, err, want)
		}
	}
}

// TestLoad_Bounded reads files that were made to exhaust the reader. What is allocated tells them apart best: without
// checks before the library these take gigabytes, and then minutes. The bound on time is wide, since machines are busy.
func TestLoad_Bounded(t *testing.T) {
	r := strings.Repeat
	const few, some = 4 << 20, 64 << 20 // bytes allocated in all, over the time of the call
	numbered := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	bomb := "a: &a [x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'z'; c++ {
		bomb += fmt.Sprintf("%c: &%[1]c [*%[2]c, *%[2]c, *%[2]c, *%[2]c, *%[2]c, *%[2]c, *%[2]c, *%[2]c, *%[2]c]\n", c, c-1)
	}
	for _, c := range []struct {
		name, text, want string
		bytes            uint64
	}{
		{"10 MB", r("# a comment\n", 10<<20/12), "it has 10485756 bytes: at most 1048576 are read", few},
		{"100 kB of [", r("[", 100_000), "1:65: more than 64 brackets are open", few},
		{"100 kB of {", r("{", 100_000), "1:65: more than 64 brackets are open", few},
		{"100 kB of [ and ]", r("[", 50_000) + r("]", 50_000), "1:65: more than 64 brackets are open", few},
		{"100 kB of {a: ", r("{a: ", 25_000), "more than 64 brackets are open", few},
		{"100 kB of - ", r("- ", 50_000) + "a", "it has 50001 words and signs: at most 30000 are read", some},
		{"less of - ", r("- ", 14_000) + "a", "more than 64 levels", some},
		{"28 kB of ? ", r("? ", 14_000) + "a", "keys after a question mark are not accepted", some},
		{"brackets hidden by comments", r("[ #]\n", 10_000), "more than 64 levels", some},
		{"brackets hidden by quotes", r("[']',\n", 10_000), "more than 64 levels", some},
		{"brackets hidden in a key", r("{ ']]]': ", 10_000), "more than 64 levels", some},
		{"indentation", func() (s string) {
			for i := range 400 {
				s += r(" ", i) + "a:\n"
			}
			return s
		}(), "more than 64 levels", few},
		{"100 kB of one key", r("k: v\n", 20_000), "it has 20001 lines: at most 20000 are read", few},
		{"keys", numbered(9_999, "k%d: v\n"), "more than 1000 keys in one mapping", some},
		{"keys in a list", "a:\n" + r("- k: v\n", 5_000), "unknown key \"a\"", some},
		{"keys in brackets", "{" + numbered(9_000, "k%d: v,") + "}", "it has 36002 words and signs: at most 30000 are read", some},
		{"fewer keys in brackets", "{" + numbered(7_000, "k%d: v,") + "}", "and more of this kind", some},
		{"lines", r("#\n", 500_000), "it has 500001 lines: at most 20000 are read", 16 << 20},
		{"empty lines", "a: |\n x" + r("\n", 19_000), "more than 100 empty lines in a row", few},
		{"lines of spaces", "a: |\n x" + r("   \n", 19_000), "more than 100 empty lines in a row", few},
		{"runs of empty lines", "a: |\n" + r(" x"+r("\n", 99), 200), "unknown key \"a\"", some},
		{"signs", "[" + r("a,", 500_000) + "]", "more than 100000 brackets, commas, colons and the like", few},
		{"stars", r("*", 1_000_000), "more than 100000 brackets, commas, colons and the like", few},
		{"1 MiB of a", r("a", maxSize), "the file: want keys with values, found text", some},
		{"1 MiB of a text", "a: \"" + r("ä", maxSize/2-10) + "\"", "unknown key \"a\"", some},
		{"an alias bomb", bomb, "anchors (&) are not accepted", few},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := Load("r", []byte(c.text))
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%.300v\nwant %s", err, c.want)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > c.bytes+uint64(2*len(c.text)) {
				t.Errorf("%d bytes allocated", n)
			}
			if took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
			if err != nil && len(err.Error()) > 32<<10 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

// errorsOf reads a configuration and prints all that is wrong with it, as a user sees it.
func errorsOf(text []byte) string {
	_, err := loaded(text)
	if err == nil {
		return "no errors\n"
	}
	var b strings.Builder
	var all Errors
	if !errors.As(err, &all) {
		return "not an Errors: " + err.Error()
	}
	for _, e := range all {
		b.WriteString(e.Error() + "\n" + e.Context())
	}
	return b.String()
}

// TestErrors compares the errors of each FILE.yaml in an archive with FILE.txt beside it. A file that begins with
// "BASE\n" stands for a whole configuration with the rest put in: see base.
func TestErrors(t *testing.T) {
	for _, name := range []string{"load.txtar", "validate.txtar"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name)
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			out := &txtar.Archive{Comment: a.Comment}
			for _, f := range a.Files {
				if !strings.HasSuffix(f.Name, ".yaml") {
					continue
				}
				want := strings.TrimSuffix(f.Name, ".yaml") + ".txt"
				got := errorsOf(base(t, f.Data))
				if strings.HasPrefix(got, "no errors") && !strings.HasPrefix(f.Name, "right") {
					t.Errorf("%s has no errors", f.Name)
				}
				i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == want })
				if !*update && (i < 0 || string(a.Files[i].Data) != got) {
					t.Errorf("%s: got\n%s", f.Name, got)
				}
				out.Files = append(out.Files, f, txtar.File{Name: want, Data: []byte(got)})
			}
			if *update {
				if err := os.WriteFile(path, txtar.Format(out), 0o666); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// base replaces in the example each "OLD => NEW" line of text, with ⏎ for a line break, where the text begins with BASE.
func base(t *testing.T, text []byte) []byte {
	rest, ok := strings.CutPrefix(string(text), "BASE\n")
	if !ok {
		return text
	}
	whole := example(t, "slipway.yaml")
	for line := range strings.Lines(rest) {
		was, is, ok := strings.Cut(strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "⏎", "\n"), " => ")
		if !ok || !strings.Contains(whole, was) {
			t.Fatalf("cannot replace %q", line)
		}
		whole = strings.ReplaceAll(whole, was, is)
	}
	return []byte(whole)
}

func TestErrors_As(t *testing.T) {
	_, err := Load("release.yaml", []byte("projct: x\nabout: 3\n"))
	err = fmt.Errorf("cannot go on: %w", err)
	var all Errors
	var first *Error
	if !errors.As(err, &all) || len(all) != 2 || !errors.As(err, &first) || first.Line != 1 || first.Column != 1 || first.Hint != `did you mean "project"?` {
		t.Errorf("%v: %+v", err, first)
	}
	if want := "release.yaml:1:1: unknown key \"projct\" (did you mean \"project\"?)"; first.Error() != want {
		t.Errorf("%s, want %s", first, want)
	}
	if err := (&Config{}).Validate(); err == nil || !strings.Contains(err.Error(), "project: want a name") || strings.Contains(err.Error(), ":0:") {
		t.Errorf("a Config without a file: %v", err)
	}
}

func TestError_Context(t *testing.T) {
	long := strings.Repeat("a", 300)
	for _, c := range []struct {
		e    Error
		want string
	}{
		{Error{Msg: "x"}, ""},
		{Error{Line: 12, Column: 3, Excerpt: "  é: b"}, "12 |   é: b\n   |   ^\n"},
		{Error{Line: 1, Column: 99, Excerpt: "ab"}, "1 | ab\n  |   ^\n"},
		{Error{Line: 1, Column: 1, Excerpt: ""}, "1 | \n  | ^\n"},
		{Error{Line: 1, Column: 200, Excerpt: long}, "1 | ..." + long[:100] + "...\n  | " + strings.Repeat(" ", 52) + "^\n"},
	} {
		if got := c.e.Context(); got != c.want {
			t.Errorf("got\n%swant\n%s", got, c.want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	names := []string{"format", "bundle", "from", "name"}
	for word, want := range map[string]string{
		"formt": "format", "fromat": "format", "FORMAT": "format", "frm": "from", "anme": "name", "bundels": "bundle", "from_": "from",
		"x": "", "": "", "zzzzzz": "", "description": "", strings.Repeat("format", 1000): "", "förmat": "format",
	} {
		hint := didYouMean(word, names)
		if want != "" {
			want = fmt.Sprintf("did you mean %q?", want)
		}
		if hint != want {
			t.Errorf("%.20q: %q, want %q", word, hint, want)
		}
	}
	if d := distance("kitten", "sitting"); d != 3 {
		t.Errorf("distance is %d", d)
	}
	if d := distance("ab", "ba"); d != 1 {
		t.Errorf("distance of swapped letters is %d", d)
	}
}

func BenchmarkLoad(b *testing.B) {
	text := []byte(example(b, "app.yaml"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := loaded(text); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, name := range []string{"slipway.yaml", "app.yaml"} {
		f.Add([]byte(example(f, name)))
	}
	for _, name := range []string{"load.txtar", "validate.txtar"} {
		a, err := txtar.ParseFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			f.Add(file.Data)
		}
	}
	for _, s := range []string{"[", "{a: ", "- - a", "? a", "&a *a", "!!int 1", "<<: a", "%YAML 1.2\n---", "a: |\n\n\n", "\"\\x\"", "a: 'b", "{a: b, a: c}", "\xff", "\x00", "a:\r\n- b", "'': ''", "? [a]: b", "a: &b\nc: *b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		start := time.Now()
		c, err := Load("release.yaml", content)
		if err == nil {
			err = c.Validate()
			if err == nil {
				if _, err := Verifier(c); err != nil {
					t.Fatalf("valid, but: %v", err)
				}
			}
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Fatalf("it took %v", took)
		}
		if err == nil {
			return
		}
		var all Errors
		if !errors.As(err, &all) || len(all) == 0 {
			t.Fatalf("%T is no Errors: %v", err, err)
		}
		lines := bytes.Count(content, []byte("\n")) + 1
		for _, e := range all {
			if e.Line < 0 || e.Line > lines || (e.Line > 0) != (e.Column > 0) || e.Column > len(content)+1 {
				t.Fatalf("%d:%d is no place in %d lines", e.Line, e.Column, lines)
			}
			for _, s := range []string{e.Error(), e.Excerpt} {
				if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) && r != ' ' }) {
					t.Fatalf("an error holds %q", s)
				}
			}
			if c := e.Context(); strings.Count(c, "\n")%2 != 0 || len(c) > 2000 {
				t.Fatalf("context is %q", c)
			}
		}
	})
}
