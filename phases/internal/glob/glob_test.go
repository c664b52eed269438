package glob

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"bin/*", "bin/a", true},
		{"bin/*", "bin/a/b", false},
		{"bin/*", "bin", false},
		{"**/a", "a", true},
		{"**/a", "x/y/a", true},
		{"**/a", "x/ya", false},
		{"a/**", "a/b/c", true},
		{"a/**", "a", true},
		{"**", "anything/at all", true},
		{"a/**/b/**/c", "a/b/b/x/c", true},
		{"a/**/b", "a/c", false},
		{"[ab]/?", "b/x", true},
		{"*", ".hidden", true},
		{"$(x)", "$(x)", true},
		{"**/*.so*", "lib/x.so.1", true},
	} {
		if got := Match(c.pattern, c.name); got != c.want {
			t.Errorf("%q on %q: got %v", c.pattern, c.name, got)
		}
	}
	// A pattern made to take for ever does not.
	begin := time.Now()
	if Match(strings.Repeat("**/*a*/", 40)+"end", strings.Repeat("aaaaaaaaaa/", 200)+"not") {
		t.Error("matched")
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

// FuzzMatch compares with a regular expression made of the pattern.
func FuzzMatch(f *testing.F) {
	for _, s := range [][2]string{{"**/a*/b", "x/ab/b"}, {"a/**/**/b", "a/b"}, {"*/?", "é/ü"}, {"**", ""}, {"**/**", "a/a"}, {"a/**/**", "a/b"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if Check(pattern) != nil || !fs.ValidPath(name) || name == "." || strings.ContainsAny(pattern, `[]\`) || len(pattern) > 60 || len(name) > 60 {
			t.Skip()
		}
		re := "^"
		segments := slices.CompactFunc(strings.Split(pattern, "/"), func(a, b string) bool { return a == "**" && b == "**" }) // two are one
		for i, s := range segments {
			switch last := i == len(segments)-1; {
			case s == "**" && last && i == 0:
				re += ".*"
			case s == "**" && last:
				re = strings.TrimSuffix(re, "/") + "(?:/.*)?"
			case s == "**":
				re += "(?:[^/]+/)*"
			default:
				q := regexp.QuoteMeta(s)
				re += strings.NewReplacer(`\*`, "[^/]*", `\?`, "[^/]").Replace(q)
				if !last {
					re += "/"
				}
			}
		}
		x, err := regexp.Compile("(?s)" + re + "$")
		if err != nil {
			t.Skip()
		}
		if got := Match(pattern, name); got != x.MatchString(name) {
			t.Errorf("%q on %q: got %v, %s says otherwise", pattern, name, got, x)
		}
	})
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"a", "bin/*", "**/*.so", "**", "a/**/b", "[a-z]?/*", "$(x)", "-a"} {
		if err := Check(p); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
	for _, p := range []string{"", "/a", "a/", "a//b", "./a", "a/../b", "a**", "**a/b", "[", "a/[b", `a\`} {
		if Check(p) == nil {
			t.Errorf("%q is accepted", p)
		}
	}
}

func TestFixed(t *testing.T) {
	t.Parallel()
	for p, want := range map[string]string{"**/a": ".", "lib/*/x": "lib", "lib/a": "lib/a", "a/b?/c": "a", "[a]/b": "."} {
		if got := Fixed(p); got != want {
			t.Errorf("%q: got %q, want %q", p, got, want)
		}
		if HasMeta(p) != strings.ContainsAny(p, "*?[") {
			t.Errorf("%q: HasMeta is %v", p, HasMeta(p))
		}
	}
}
