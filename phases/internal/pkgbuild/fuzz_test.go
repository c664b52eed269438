package pkgbuild

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParseSRCINFO: what is taken can be printed, and reads the same again.
func FuzzParseSRCINFO(f *testing.F) {
	f.Add([]byte(split))
	for _, c := range corpus(f) {
		f.Add([]byte(c.srcinfo))
	}
	for _, m := range forms() {
		_, s := print(f, m)
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseSRCINFO(bytes.NewReader(data))
		if err != nil {
			return
		}
		var first, second bytes.Buffer
		must(t, s.Print(&first))
		again, err := ParseSRCINFO(bytes.NewReader(first.Bytes()))
		must(t, err)
		must(t, again.Print(&second))
		if !reflect.DeepEqual(s, again) || first.String() != second.String() {
			t.Errorf("%v reads as %v the second time", s, again)
		}
	})
}

// FuzzReadPKGBUILD: what is taken has a .SRCINFO that the parser takes too.
func FuzzReadPKGBUILD(f *testing.F) {
	for _, c := range corpus(f) {
		f.Add([]byte(c.pkgbuild))
	}
	for _, m := range variants() {
		p, _ := print(f, m)
		f.Add([]byte(p))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ReadPKGBUILD(bytes.NewReader(data))
		if err != nil {
			return
		}
		var b bytes.Buffer
		must(t, s.Print(&b))
		again, err := ParseSRCINFO(&b)
		must(t, err)
		if ds := s.Diff(again); len(ds) > 0 {
			t.Errorf("differs: %v", ds)
		}
	})
}

// FuzzQuote: a real bash reads a quoted string as that string, and so does our reader.
func FuzzQuote(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	e := newEvaluator(f)
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 4096 || strings.Contains(s, "\x00") || !utf8.ValidString(s) {
			t.Skip("bash has no NUL, loses bytes that are not UTF-8 after the byte 1, and takes long for long ones")
		}
		e.check(t, s)
		r := &reader{rest: Quote(s)}
		if got, msg := r.word(); got != s || msg != "" || r.rest != "" {
			t.Errorf("our reader has %q, %s", got, msg)
		}
	})
}

// FuzzValidate: whatever stands in the free texts, either the model is refused or the
// PKGBUILD reads back as the .SRCINFO.
func FuzzValidate(f *testing.F) {
	f.Add("a", "b", "c", "d", "e")
	for i := range len(hostile) - 4 {
		f.Add(hostile[i], hostile[i+1], hostile[i+2], hostile[i+3], hostile[i+4])
	}
	f.Fuzz(func(t *testing.T, desc, optional, maintainer, path, url string) {
		m := desktop()
		m.PkgDesc, m.OptDepends, m.Maintainers = desc, Plains("x: "+optional), []string{maintainer}
		m.Backup, m.Sources[0].URL = []string{"etc/" + path}, Plain("https://example.org/"+url)
		m.Package[1] = InstallLicense{From: "/" + path}
		if Validate(m) != nil {
			return
		}
		p, s := print(t, m)
		read, err := ReadPKGBUILD(strings.NewReader(p))
		must(t, err)
		var b bytes.Buffer
		must(t, read.Print(&b))
		if b.String() != s {
			t.Errorf("%s\nreads as\n%s\nwant\n%s", p, &b, s)
		}
	})
}

// FuzzVercmp: swapping the two turns the answer, and a version equals itself.
func FuzzVercmp(f *testing.F) {
	for _, c := range facts {
		f.Add(c.a, c.b)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if Vercmp(a, b) != -Vercmp(b, a) || Vercmp(a, a) != 0 {
			t.Errorf("%q and %q: %d, %d, %d", a, b, Vercmp(a, b), Vercmp(b, a), Vercmp(a, a))
		}
	})
}
