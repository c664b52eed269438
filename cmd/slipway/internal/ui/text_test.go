package ui

import (
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain, with spaces":       "plain, with spaces",
		"grün ✓ 日本":                "grün ✓ 日本",
		"a\nb\r\tc":                `a\nb\r c`,
		"\x1b[31mred\x1b[0m":       `\x1b[31mred\x1b[0m`,
		"\x1b]0;title\a":           `\x1b]0;title\a`,
		"c1 \u009b2J":              `c1 \u009b2J`,
		"abc\u202egnp.exe":         `abc\u202egnp.exe`,
		"bad \xff\xfe utf-8":       `bad \xff\xfe utf-8`,
		"\x00\x7f":                 `\x00\x7f`,
		"zero\u200bwidth\ufeff":    `zero\u200bwidth\ufeff`,
		"\u2028line\u2029par":      `\u2028line\u2029par`,
		"it's \"quoted\" \\ slash": "it's \"quoted\" \\ slash",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b[2J\u009b\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, hostile) {
			t.Errorf("Clean(%q) = %q", s, got)
		}
		if Clean(got) != got {
			t.Errorf("Clean(%q) is not final", got)
		}
		for n := range 12 {
			if cut := fit(got, n); cells(cut) > n {
				t.Errorf("fit(%q, %d) = %q takes %d columns", got, n, cut, cells(cut))
			}
		}
	})
}

// What is shown as a command must be what a shell reads, whatever a title holds.
func FuzzQuote(f *testing.F) {
	shell, err := exec.LookPath("bash")
	if err != nil {
		f.Fatalf("needs bash: %v", err)
	}
	for _, s := range []string{"", "plain", "two words", "it's", `"$(id)" \ ` + "`id`", "-v", "a\nb", "tab\t", "\x1b[31m", "\xff", "é\u202e'x", "!history", "~", "a{b,c}", "$'x'", "#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsRune(s, 0) {
			t.Skip("no argument can hold a zero byte")
		}
		q := Quote(s)
		if Clean(q) != q {
			t.Fatalf("Quote(%q) = %q would not reach the screen as it is", s, q)
		}
		cmd := exec.CommandContext(t.Context(), shell, "-c", "printf %s "+q)
		cmd.Env = []string{"LC_ALL=C.UTF-8"}
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != s {
			t.Errorf("the shell reads %s as %q, want %q: %v", q, out, s, err)
		}
	})
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 1500: "1.5 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 125_000_000: "125.0 MB", 5e12: "5.0 TB", 5e15: "5000.0 TB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{90 * time.Millisecond: "0.1s", 12 * time.Second: "12s", 61 * time.Second: "1m01s", time.Hour: "60m00s"} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	p := &Page{signs: asciiSigns, width: 24}
	p.Table("  ", []Cell{{Text: "+"}, {Text: "a"}, {Text: "short"}}, []Cell{{Text: "+"}, {Text: "日本"}, {Text: "much too long for the line"}},
		[]Cell{{Text: "+"}, {Text: "x\x1b[1m"}, {}})
	want := "  +  a         short\n  +  日本      much too…\n  +  x\\x1b[1m\n"
	if got := p.b.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
