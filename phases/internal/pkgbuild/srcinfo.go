package pkgbuild

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// SRCINFO is the content of a .SRCINFO file, see SRCINFO(5).
type SRCINFO struct {
	PkgBase  string
	Base     Section
	Packages []Package
}

// Package is the section of one package: what it has otherwise than the base.
type Package struct {
	PkgName string
	Section Section
}

// Section holds the values of each key, in order. In a package's section a key with an
// empty list says that the base's values do not count.
type Section map[string][]string

// First is the first value of a key, or empty.
func (s Section) First(key string) string {
	if values := s[key]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// Version is the full version, [epoch:]pkgver-pkgrel. The epoch 0 is none.
func (s *SRCINFO) Version() string { return versionOf(s).String() }

// The keys, in the order of /usr/share/makepkg/srcinfo.sh of makepkg 6.0.2; SRCINFO(5) says
// what they mean.
var (
	checksums  = []string{"cksums", "md5sums", "sha1sums", "sha224sums", "sha256sums", "sha384sums", "sha512sums", "b2sums"}
	baseSingle = []string{"pkgdesc", "pkgver", "pkgrel", "epoch", "url", "install", "changelog"}
	baseArrays = append([]string{
		"arch", "groups", "license", "checkdepends", "makedepends", "depends", "optdepends", "provides", "conflicts",
		"replaces", "noextract", "options", "backup", "source", "validpgpkeys",
	}, checksums...)
	packageSingle = []string{"pkgdesc", "url", "install", "changelog"}
	packageArrays = []string{
		"arch", "groups", "license", "checkdepends", "depends", "optdepends", "provides", "conflicts", "replaces",
		"options", "backup",
	}
	archArrays = append([]string{
		"source", "provides", "conflicts", "depends", "replaces", "optdepends", "makedepends", "checkdepends",
	}, checksums...)
)

// keys lists, in makepkg's order, every key that a section may have.
func (s *SRCINFO) keys(section Section, single, arrays []string) []string {
	keys := slices.Concat(single, arrays)
	arch := section["arch"]
	if len(arch) == 0 {
		arch = s.Base["arch"]
	}
	for _, a := range arch {
		if a == "any" {
			continue
		}
		for _, key := range archArrays {
			keys = append(keys, key+"_"+a)
		}
	}
	return keys
}

// Print writes the file as makepkg does. Content that makepkg could not have written is
// refused and nothing is written.
func (s *SRCINFO) Print(w io.Writer) error {
	var b bytes.Buffer
	if faults := s.check(); faults != nil {
		return errors.Join(faults...)
	}
	section := func(head, name string, section Section, keys []string) {
		fmt.Fprintf(&b, "%s = %s\n", head, name)
		for _, key := range keys {
			values, set := section[key]
			if set && len(values) == 0 {
				values = []string{""}
			}
			for _, v := range values {
				fmt.Fprintf(&b, "\t%s = %s\n", key, v)
			}
		}
	}
	section("pkgbase", s.PkgBase, s.Base, s.keys(s.Base, baseSingle, baseArrays))
	for _, p := range s.Packages {
		b.WriteByte('\n')
		section("pkgname", p.PkgName, p.Section, s.keys(p.Section, packageSingle, packageArrays))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// A keyError is a fault of one key of one section; the parser adds the line.
type keyError struct {
	section int // -1: the base, else an index of Packages
	key     string
	index   int
	msg     string
}

func (e *keyError) Error() string { return e.key + ": " + e.msg }

// check looks at everything that holds for any .SRCINFO.
func (s *SRCINFO) check() []error {
	var errs []error
	bad := func(section int, key string, index int, format string, args ...any) {
		errs = append(errs, &keyError{section, key, index, fmt.Sprintf(format, args...)})
	}
	look := func(n int, section Section, single, arrays []string) {
		allowed := s.keys(section, single, arrays)
		for _, key := range slices.Sorted(maps.Keys(section)) {
			values := section[key]
			switch {
			case !slices.Contains(allowed, key):
				bad(n, key, 0, "not a key of this section, or of an architecture that is not listed")
				continue
			case len(values) > 1 && slices.Contains(single, key):
				bad(n, key, 1, "want one value, found %d", len(values))
			case len(values) == 0 && n < 0:
				bad(n, key, 0, "has no value")
			}
			for i, v := range values {
				if v == "" {
					bad(n, key, i, "empty value")
				} else if msg := lineProblem(v); msg != "" {
					bad(n, key, i, "%s in %q", msg, v)
				}
			}
		}
		for i, a := range section["arch"] {
			switch {
			case strings.Trim(a, lower+digits+"_") != "":
				bad(n, "arch", i, "invalid architecture %q", a)
			case a == "any" && len(section["arch"]) > 1:
				bad(n, "arch", i, "any stands beside others")
			case slices.Index(section["arch"], a) != i:
				bad(n, "arch", i, "%q is listed twice", a)
			}
		}
	}

	look(-1, s.Base, baseSingle, baseArrays)
	for _, key := range []string{"pkgver", "pkgrel", "arch"} {
		if len(s.Base[key]) == 0 {
			bad(-1, "pkgbase", 0, "missing mandatory field: %s", key)
		}
	}
	for key, rule := range map[string]func(string) string{"pkgver": pkgverProblem, "pkgrel": pkgrelProblem, "epoch": epochProblem} {
		if v := s.Base.First(key); v != "" && rule(v) != "" {
			bad(-1, key, 0, "%s, found %q", rule(v), v)
		}
	}
	if msg := nameProblem(s.PkgBase); msg != "" {
		bad(-1, "pkgbase", 0, "%s, found %q", msg, s.PkgBase)
	}
	if len(s.Packages) == 0 {
		bad(-1, "pkgbase", 0, "missing pkgname entry")
	}
	for i, p := range s.Packages {
		if msg := nameProblem(p.PkgName); msg != "" {
			bad(i, "pkgname", 0, "%s, found %q", msg, p.PkgName)
		}
		if slices.IndexFunc(s.Packages, func(q Package) bool { return q.PkgName == p.PkgName }) != i {
			bad(i, "pkgname", 0, "%q is listed twice", p.PkgName)
		}
		look(i, p.Section, packageSingle, packageArrays)
	}
	return errs
}

// lineProblem says why a value cannot stand in a line of a .SRCINFO.
func lineProblem(v string) string {
	if msg := charProblem(v); msg != "" {
		return msg
	}
	if Fold(v) != v {
		return "white space that makepkg would have folded"
	}
	return ""
}

// Fold normalises white space as makepkg does for .SRCINFO: each run of it becomes one
// space, and none is left at the ends.
func Fold(s string) string {
	return strings.Join(strings.FieldsFunc(s, asciiSpace), " ")
}

func asciiSpace(r rune) bool { return r == ' ' || '\t' <= r && r <= '\r' }

// SRCINFO gives the model as the content of its .SRCINFO.
func (m *Model) SRCINFO() (*SRCINFO, error) {
	if err := Validate(m); err != nil {
		return nil, err
	}
	s := m.unchecked()
	for _, values := range s.Base {
		for i, v := range values {
			values[i] = Fold(v)
		}
	}
	return s, nil
}

// unchecked is SRCINFO with neither checks nor folding.
func (m *Model) unchecked() *SRCINFO {
	s := &SRCINFO{PkgBase: m.pkgBase(), Base: Section{}, Packages: []Package{{PkgName: m.PkgName}}}
	for _, v := range m.variables() {
		if v.key == "pkgbase" || v.key == "pkgname" {
			continue
		}
		for _, t := range v.values {
			s.Base[v.key] = append(s.Base[v.key], m.expand(t, ""))
		}
	}
	return s
}
