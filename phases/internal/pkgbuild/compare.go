package pkgbuild

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// A Difference is a field in which two .SRCINFO disagree.
type Difference struct {
	Section string // "pkgbase", or "pkgname NAME"
	Field   string // empty where a whole section is there only once
	Want    []string
	Got     []string
}

func (d Difference) String() string {
	if d.Field == "" {
		return fmt.Sprintf("%s: want %q, found %q", d.Section, d.Want, d.Got)
	}
	return fmt.Sprintf("%s: %s: want %q, found %q", d.Section, d.Field, d.Want, d.Got)
}

// Compare lists the fields in which a .SRCINFO differs from the model's, sorted within
// each section.
func Compare(want *Model, got *SRCINFO) ([]Difference, error) {
	s, err := want.SRCINFO()
	if err != nil {
		return nil, err
	}
	return s.Diff(got), nil
}

// Diff lists the fields in which got differs from s.
func (s *SRCINFO) Diff(got *SRCINFO) []Difference {
	var ds []Difference
	if s.PkgBase != got.PkgBase {
		ds = append(ds, Difference{Section: "pkgbase", Want: []string{s.PkgBase}, Got: []string{got.PkgBase}})
	}
	ds = append(ds, diffSection("pkgbase", s.Base, got.Base)...)
	if want, got := s.names(), got.names(); !slices.Equal(want, got) {
		ds = append(ds, Difference{Section: "pkgname", Want: want, Got: got})
	}
	for _, p := range s.Packages {
		if i := slices.Index(got.names(), p.PkgName); i >= 0 {
			ds = append(ds, diffSection("pkgname "+p.PkgName, p.Section, got.Packages[i].Section)...)
		}
	}
	return ds
}

func (s *SRCINFO) names() []string {
	var names []string
	for _, p := range s.Packages {
		names = append(names, p.PkgName)
	}
	return names
}

func diffSection(name string, want, got Section) []Difference {
	keys := slices.Concat(slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(got)))
	slices.Sort(keys)
	var ds []Difference
	for _, key := range slices.Compact(keys) {
		w, wok := want[key]
		g, gok := got[key]
		if wok != gok || !slices.Equal(w, g) {
			ds = append(ds, Difference{Section: name, Field: key, Want: w, Got: g})
		}
	}
	return ds
}

// OldSums lists the sources that have a new address but the checksum of an old one, where the pkgver has changed: the
// sum was left behind when the version was raised. The texts name the key, the sum and both addresses.
func (s *SRCINFO) OldSums(published *SRCINFO) []string {
	if published == nil || s.Base.First("pkgver") == published.Base.First("pkgver") {
		return nil
	}
	old := map[string][]string{} // entries by sum
	for sum, entry := range published.sums() {
		old[sum] = append(old[sum], entry.source)
	}
	var found []string
	for sum, entry := range s.sums() {
		if sources := old[sum]; len(sources) > 0 && !slices.Contains(sources, entry.source) {
			found = append(found, fmt.Sprintf("%s: %q has the sum %s, which is that of the published %q", entry.key, entry.source, sum, sources[0]))
		}
	}
	slices.Sort(found)
	return found
}

// A summed is a source with the key of its checksum.
type summed struct{ key, source string }

// sums goes through the SHA-256 sums and what they belong to.
func (s *SRCINFO) sums() iter.Seq2[string, summed] {
	return func(yield func(string, summed) bool) {
		for key, sums := range s.Base {
			suffix, is := strings.CutPrefix(key, "sha256sums")
			if !is {
				continue
			}
			sources := s.Base["source"+suffix]
			for i, sum := range sums {
				if i < len(sources) && sha256Problem(sum) == "" && !yield(sum, summed{key, sources[i]}) {
					return
				}
			}
		}
	}
}
