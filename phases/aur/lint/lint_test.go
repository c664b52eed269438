package lint

import (
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
)

func content(t *testing.T, lists string, files map[string]string) *subject.Content {
	t.Helper()
	info := "pkgbase = x\n\tpkgver = 1\n\tpkgrel = 1\n\tarch = x86_64\n" + lists + "\npkgname = x\n"
	c := &subject.Content{Files: map[string][]byte{"PKGBUILD": nil, ".SRCINFO": []byte(info), "LICENSE": nil}, Large: map[string]int64{}}
	for name, text := range files {
		c.Files[name] = []byte(text)
	}
	var err error
	if c.Info, err = pkgbuild.ParseSRCINFO(strings.NewReader(info)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFind(t *testing.T) {
	big := strings.Repeat("x", maxLocal+1)
	for _, c := range []struct {
		lists string
		files map[string]string
		want  string // "": none of our own rules
	}{
		{"\tdepends = glibc\n\toptdepends = y: for z\n\tconflicts = w\n\tsource = fix.patch\n", map[string]string{"fix.patch": "x", "x.install": "x"}, ""},
		{"\tdepends = x>=1\n", nil, "x depends on itself (dependency-class)"},
		{"\tdepends = y\n\tconflicts = y<2\n", nil, "depends on y and conflicts with it"},
		{"\tdepends = y\n\toptdepends = y: too\n", nil, "y stands in depends and in optdepends"},
		{"\tdepends_x86_64 = y\n\tmakedepends = y\n", nil, "y stands in depends and in makedepends"},
		{"\tmakedepends = base-devel\n", nil, "wherever a package is built"},
		{"", map[string]string{"other.install": ""}, "other.install: only PKGBUILD, .SRCINFO, LICENSE, x.install and"},
		{"", map[string]string{"keys/pgp/a.asc": ""}, "keys/pgp/a.asc: only"},
		{"", map[string]string{"a\x1b[31m.sh": ""}, "a\uFFFD[31m.sh: only PKGBUILD"},
		{"\tsource = fix.patch\n", map[string]string{"fix.patch": big}, "fix.patch: it has 65537 bytes"},
		{"", map[string]string{"PKGBUILD": strings.Repeat("x", 200<<10), "LICENSE": strings.Repeat("x", 200<<10), "x.install": strings.Repeat("x", 200<<10)}, "all files have"},
		{"\tdepends = cmake\n", nil, "(build-tool)"},
	} {
		found := Find("x", content(t, c.lists, c.files))
		ours := func(f string) bool {
			return slices.ContainsFunc([]string{"(dependency-class)", "(file-list)", "(local-size)", "(total-size)", "(build-tool)"}, func(rule string) bool { return strings.HasSuffix(f, rule) })
		}
		if c.want == "" && slices.ContainsFunc(found, ours) || c.want != "" && !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, c.want) }) {
			t.Errorf("%q %q: %q, want %q", c.lists, c.files, found, c.want)
		}
	}
}
