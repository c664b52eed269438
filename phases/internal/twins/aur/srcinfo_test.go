package aur

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestParseSRCINFO compares what both parsers read of valid files.
func TestParseSRCINFO(t *testing.T) {
	text := "# a comment\n\npkgbase = split\n\tpkgdesc = one = two\n  pkgver=1\n\tpkgrel =   1.1  \n\tepoch = 1\n\tarch = x86_64\n\tarch = aarch64\n\tdepends = a\n\tdepends = a\n\tdepends = b>=1\n" +
		"\tdepends_aarch64 = c\n\tsource = x::https://example.org/x\n\tsource_x86_64 = y::https://example.org/y\n\npkgname = one\n\tpkgdesc = the first\n\tdepends = \n\npkgname = two\n"
	for _, p := range []Parser{Default, Strict} {
		s, errs := ParseSRCINFO(text, p)
		if len(errs) > 0 {
			t.Fatalf("%s: %v", p, errs)
		}
		base, ok := s.Name()
		if base != "split" || !ok || len(s.Packages) != 2 || s.Packages[0].Name != "one" || s.Packages[1].Name != "two" {
			t.Fatalf("%s read %+v", p, s)
		}
		one, two := s.Merged(s.Packages[0]), s.Merged(s.Packages[1])
		for _, w := range []struct {
			got  any
			want string
		}{
			{one["pkgdesc"], "the first"},
			{two["pkgdesc"], "one = two"},
			{one.all("depends"), "c"}, // emptied, but for the architecture's
			{two.all("depends"), "a b>=1 c"},
			{two.all("source"), "x::https://example.org/x y::https://example.org/y"},
			{one["pkgname"], "one"},
			{[]string{two.version()}, "1:1-1.1"},
		} {
			if got := strings.Join(w.got.([]string), " "); got != w.want {
				t.Errorf("%s: %q, want %q", p, got, w.want)
			}
		}
	}
}

// TestParsers: what the two parsers take and refuse, with the line and the words.
func TestParsers(t *testing.T) {
	const head = "pkgbase = a\n\tpkgver = 1\n\tpkgrel = 1\n\tarch = any\n"
	sum := func(n int) string { return strings.Repeat("a", n) }
	for _, tc := range []struct{ line, lenient, strict string }{
		{"\tpkgver = 2", "", "line 5: keyword pkgver given twice"},
		{"\tpkgdesc = ", "", "line 5: pkgdesc has no value"},
		{"\tno equals", "line 5: failed to parse line: 'no equals'", "line 5: failed to parse line: 'no equals'"},
		{"\tit's", `line 5: failed to parse line: "it's"`, `line 5: failed to parse line: "it's"`},
		{"= value", "line 5: failed to parse line: '= value'", "line 5: failed to parse line: '= value'"},
		{"pkgbase = b", "line 5: pkgbase declared more than once", "line 5: pkgbase declared more than once"},
		{"\tfoo = bar", "", "line 5: unknown keyword 'foo'"},
		{"\tdepends_x86_64 = a", "", ""},
		{"\tlicense_x86_64 = MIT", "", "line 5: unknown keyword 'license_x86_64'"},
		{"\tepoch = 0", "", "line 5: invalid epoch: 0"},
		{"\tepoch = 1", "", ""},
		{"\turl = example.org", "", "line 5: invalid url: example.org"},
		{"\tarch = x86_64", "", "line 1: architecture any stands with others"},
		{"\tlicense = MIT AND (Apache-2.0 OR GPL-3.0-or-later WITH GCC-exception-3.1)", "", ""},
		{"\tlicense = MIT OR", "", "line 5: invalid license: MIT OR"},
		{"\tlicense = (MIT", "", "line 5: invalid license: (MIT"},
		{"\tlicense = LicenseRef-Own", "", ""},
		{"\tlicense = GPL 3", "", "line 5: invalid license: GPL 3"},
		{"\tdepends = a>=1:2-3.1", "", ""},
		{"\tdepends = libfoo.so=1-64", "", ""},
		{"\tdepends = lib:libfoo.so.1", "", ""},
		{"\tdepends = a>=1-x", "", "line 5: invalid depends: a>=1-x"},
		{"\tdepends = a b", "", "line 5: invalid depends: a b"},
		{"\tdepends = $(id)", "", "line 5: invalid depends: $(id)"},
		{"\toptdepends = a>=1: some: text", "", ""},
		{"\toptdepends = a b: text", "", "line 5: invalid optdepends: a b: text"},
		{"\tprovides = a=1~2", "", "line 5: invalid provides: a=1~2"},
		{"\tmd5sums = " + sum(32), "", ""},
		{"\tmd5sums = " + sum(33), "", "line 5: invalid md5sums: " + sum(33)},
		{"\tsha1sums = SKIP", "", ""},
		{"\tsha512sums_x86_64 = " + sum(128), "", ""},
		{"\tb2sums = " + sum(64), "", "line 5: invalid b2sums: " + sum(64)},
		{"\tcksums = 12x", "", "line 5: invalid cksums: 12x"},
		{"\tvalidpgpkeys = ABAF11C65A2970B130ABE3C479BE3E4300411886", "", ""},
		{"\tvalidpgpkeys = 00411886", "", "line 5: invalid validpgpkeys: 00411886"},
		{"\tbackup = /etc/x", "", "line 5: invalid backup: /etc/x"},
		{"\toptions = !strip", "", ""},
		{"pkgname = a\n\tpkgver = 2", "", "line 6: keyword pkgver does not belong to a package section"},
		{"pkgname = a\n\tsource = x", "", "line 6: keyword source does not belong to a package section"},
		{"pkgname = a\n\tdepends = ", "", ""},
		{"pkgname = a\npkgbase = b", "line 6: pkgbase declared more than once", "line 6: pkgbase declared more than once"},
	} {
		for p, want := range map[Parser]string{Default: tc.lenient, Strict: tc.strict} {
			_, errs := ParseSRCINFO(head+tc.line+"\n", p)
			got := ""
			if len(errs) > 0 {
				got = errs[0].Error()
			}
			if got != want {
				t.Errorf("%s of %q: %q, want %q", p, tc.line, got, want)
			}
		}
	}
	if _, errs := ParseSRCINFO("pkgname = a\npkgbase = b\n", Default); len(errs) != 1 || errs[0].Error() != "line 2: pkgbase declared after pkgname" {
		t.Errorf("pkgbase after pkgname: %v", errs)
	}
	s, _ := ParseSRCINFO(head+"\tpkgver = 2\n\tpkgver = 3\n", Default)
	if v := s.Base.version(); v != "3-1" {
		t.Errorf("of three versions %s is taken", v)
	}
}

// TestSplitLines ends lines where Python does.
func TestSplitLines(t *testing.T) {
	got := splitLines("a\nb\r\nc\rd\ve\ff\x1cg\u0085h\u2028i\u2029\n\nj")
	if !slices.Equal(got, []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "", "", "j"}) {
		t.Errorf("%q", got)
	}
	if got := splitLines(""); len(got) != 0 {
		t.Errorf("nothing gave %q", got)
	}
}

// TestPublishersFiles: what the publishing side prints passes both parsers.
func TestPublishersFiles(t *testing.T) {
	list, err := filepath.Glob("../../pkgbuild/testdata/*.SRCINFO")
	if err != nil || len(list) == 0 {
		t.Fatalf("there are no files: %v", err)
	}
	for _, file := range list {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []Parser{Default, Strict} {
			s, errs := ParseSRCINFO(string(text), p)
			if len(errs) > 0 || len(s.Packages) != 1 {
				t.Errorf("%s: %s: %v", file, p, errs)
			}
		}
	}
}

// FuzzParseSRCINFO: no text breaks a parser; what the strict one takes the other takes and reads alike, and what was read
// survives being written again.
func FuzzParseSRCINFO(f *testing.F) {
	f.Add(files("pkg")[".SRCINFO"])
	f.Add("pkgbase = a\n\tpkgver = 1\r\n\u2028 = x\npkgname = \n\tdepends =\n=\n #\n")
	f.Fuzz(func(t *testing.T, text string) {
		lenient, errs := ParseSRCINFO(text, Default)
		strict, strictErrs := ParseSRCINFO(text, Strict)
		if len(strictErrs) == 0 {
			if len(errs) > 0 {
				t.Fatalf("only the strict parser takes it: %v", errs)
			}
			if len(strict.Packages) != len(lenient.Packages) || len(strict.Base) != len(lenient.Base) {
				t.Error("the parsers read different things")
			}
		}
		for _, e := range append(errs, strictErrs...) {
			if e.Line < 1 || e.Line > len(splitLines(text)) || e.Message == "" {
				t.Errorf("an error at line %d: %q", e.Line, e.Message)
			}
		}
		if len(errs) > 0 {
			return
		}
		again, errs := ParseSRCINFO(lenient.print(), Default)
		if len(errs) > 0 || again.print() != lenient.print() {
			t.Errorf("%q was written as %q: %v", text, lenient.print(), errs)
		}
	})
}

// print writes what was read in a form of its own.
func (s *SRCINFO) print() string {
	var b strings.Builder
	section := func(from Section) {
		var keys []string
		for k := range from {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		if at := slices.Index(keys, "pkgbase"); at > 0 {
			keys = append([]string{"pkgbase"}, slices.Delete(keys, at, at+1)...)
		}
		for _, k := range keys {
			for _, v := range from[k] {
				b.WriteString(k + " = " + v + "\n")
			}
			if len(from[k]) == 0 {
				b.WriteString(k + " = \n")
			}
		}
	}
	section(s.Base)
	for _, p := range s.Packages {
		b.WriteString("pkgname = " + p.Name + "\n")
		section(p.Section)
	}
	return b.String()
}
