package pkgbuild

import (
	"fmt"
	"maps"
	"slices"
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
