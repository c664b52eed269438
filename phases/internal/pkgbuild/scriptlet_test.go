package pkgbuild

import (
	"slices"
	"strings"
	"testing"
)

func TestReadScriptlet(t *testing.T) {
	for text, want := range map[string][]string{
		"post_install() {\n\t:\n}\n": {"post_install"},
		"# a\n\npost_install () {\n}\n   \npre_remove( )\t{\n\tif :; then\n\t}\n}\n": {"post_install", "pre_remove"},
		"post_upgrade() {\n\tcat <<EOF\n}x\nEOF\n}\n":                                {"post_upgrade"},
	} {
		if got, err := ReadScriptlet(strings.NewReader(text)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                                    "line 1: want at least one of pre_install",
		"# no\n":                              "line 1: want at least one of",
		"touch x":                             "the last line has no end",
		"post_install() {\n\t:\n}\ntouch x\n": `line 4: want nothing but functions, each from a line NAME() { to a line }, found "touch x"`,
		"post_install() { :; }\n":             "line 1: want nothing but functions",
		"build() {\n}\n":                      "line 1: build is not called by pacman",
		"post_install() {\n}\npost_install() {\n}\n":          "line 3: post_install is there twice",
		"post_install() {\n\t:\n":                             "line 1: post_install has no end",
		"post_install() {\n:\npre_remove() {\n:\n}\n":         "line 3: pre_remove begins inside of the function that began in line 1",
		"post_install() {\r\n}\r\n":                           "carriage return",
		"post_install() {\n\techo \x01\n}\n":                  "line 2: control character",
		"post_install() {\n\techo \u202e\n}\n":                "line 2: invisible character",
		"\ufeffpost_install() {\n}\n":                         "byte order mark",
		"post_install() {\n\t: \xff\n}\n":                     "not UTF-8",
		"x=1\npost_install() {\n}\n":                          "line 1: want nothing but functions",
		"post_install() {\n" + strings.Repeat("#\n", MaxFile): "larger than",
	} {
		if got, err := ReadScriptlet(strings.NewReader(text)); err == nil || got != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: want %q, got %q, %v", text, want, got, err)
		}
	}
}

// FuzzReadScriptlet: what is taken holds functions of pacman's, and each line of it that does not stand in one says nothing.
func FuzzReadScriptlet(f *testing.F) {
	f.Add("# a\n\npost_install () {\n}\npre_remove() {\n\tif :; then\n\t}\n}\n")
	f.Add("post_install() {\n:; }; touch x; {\n}\n")
	f.Fuzz(func(t *testing.T, text string) {
		names, err := ReadScriptlet(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, n := range names {
			if !slices.Contains(ScriptletFunctions, n) || !strings.Contains(text, n) {
				t.Errorf("found %q", names)
			}
		}
		if strings.Count(text, "\n}\n") < len(names) {
			t.Errorf("%q are not all ended in %q", names, text)
		}
	})
}
