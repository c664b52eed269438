package pkgbuild

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Validate looks for everything that would make the model's files wrong: values that
// makepkg or the AUR refuse, characters that change from one reader to the next, and
// package() taking what is not there. The error joins one error for each fault, with the
// field, what was found and what is wanted.
func Validate(m *Model) error {
	v := validation{m: m}
	v.maintainers()
	v.required()
	v.references()
	v.values()
	v.sources()
	v.actions()
	return errors.Join(v.errs...)
}

type validation struct {
	m    *Model
	errs []error
}

func (v *validation) bad(field, found, want string) {
	v.errs = append(v.errs, problem{field, found, want})
}

func (v *validation) maintainers() {
	if len(v.m.Maintainers) == 0 {
		v.bad("maintainers", "", "want at least one")
	}
	for i, name := range v.m.Maintainers {
		field := index("maintainers", i)
		switch {
		case charProblem(name) != "":
			v.bad(field, name, "want no "+charProblem(name))
		case Fold(name) == "" || Fold(name) != name:
			v.bad(field, name, "want a name with single spaces")
		case strings.Contains(name, "@"):
			v.bad(field, name, "want the address written as: name at example dot org")
		}
	}
}

// required looks at the fields that must be there.
func (v *validation) required() {
	m := v.m
	for _, f := range []struct{ field, value string }{
		{"pkgver", m.PkgVer}, {"pkgrel", m.PkgRel}, {"pkgdesc", Fold(m.PkgDesc)}, {"url", m.URL},
	} {
		if f.value == "" {
			v.bad(f.field, "", "want a value")
		}
	}
	if m.Epoch < 0 {
		v.bad("epoch", strconv.Itoa(m.Epoch), "want zero or more")
	}
	for _, f := range []struct {
		field string
		count int
	}{
		{"arch", len(m.Arch)}, {"license", len(m.License)}, {"sources", len(m.Sources)}, {"package", len(m.Package)},
	} {
		if f.count == 0 {
			v.bad(f.field, "", "want at least one")
		}
	}
	for _, arch := range slices.Sorted(maps.Keys(m.ArchRelations)) {
		if !slices.Contains(m.Arch, arch) || arch == "any" {
			v.bad("relations for "+arch, arch, "want an architecture of the package, and not any")
		}
	}
	if p := m.payloadVer(); p != m.PkgVer && sourceNameProblem(p) != "" {
		v.bad("payload version", p, "want letters, digits and . _ + - only")
	}
}

// references looks at the texts: which references they hold, and that no part is both.
func (v *validation) references() {
	m := v.m
	lists := func(r Relations, arch bool, suffix string) {
		for _, l := range []struct {
			key   string
			texts []Text
		}{
			{"checkdepends", r.CheckDepends},
			{"makedepends", r.MakeDepends},
			{"depends", r.Depends},
			{"optdepends", r.OptDepends},
			{"provides", r.Provides},
			{"conflicts", r.Conflicts},
			{"replaces", r.Replaces},
		} {
			for i, t := range l.texts {
				v.add(m.referenceProblems(index(l.key+suffix, i), t, arch))
			}
		}
	}
	lists(m.Relations, false, "")
	for _, arch := range slices.Sorted(maps.Keys(m.ArchRelations)) {
		lists(m.ArchRelations[arch], true, "_"+arch)
	}
	for i, s := range m.Sources {
		v.add(m.referenceProblems(index("sources", i)+".name", s.Name, s.Arch != ""))
		v.add(m.referenceProblems(index("sources", i)+".url", s.URL, s.Arch != ""))
	}
}

func (v *validation) add(ps []problem) {
	for _, p := range ps {
		v.errs = append(v.errs, p)
	}
}

// referenceProblems looks at one text. An architecture is known only in what belongs to one.
func (m *Model) referenceProblems(field string, t Text, arch bool) []problem {
	var ps []problem
	for _, p := range t {
		switch {
		case p.Ref != "" && p.Literal != "":
			ps = append(ps, problem{field, p.Literal, "want a part to be a literal or a reference, not both"})
		case p.Ref == refArch && (!arch || slices.Contains(m.Arch, "any")):
			ps = append(ps, problem{field, string(p.Ref), "want no architecture where it is not known"})
		case !slices.Contains([]Ref{"", refVersion, refPayload, refArch}, p.Ref):
			ps = append(ps, problem{field, string(p.Ref), "want a known reference"})
		}
	}
	return ps
}

// values applies the rules for single values to the expanded model.
func (v *validation) values() {
	s := v.m.unchecked()
	if msg := nameProblem(v.m.PkgName); msg != "" {
		v.bad("pkgname", v.m.PkgName, msg)
	}
	if msg := nameProblem(s.PkgBase); msg != "" && v.m.PkgBase != "" {
		v.bad("pkgbase", s.PkgBase, msg)
	}
	for _, key := range slices.Sorted(maps.Keys(s.Base)) {
		rule, plain := ruleOf(key)
		for i, value := range s.Base[key] {
			field := key
			if !slices.Contains(baseSingle, key) {
				field = index(key, i)
			}
			if msg := charProblem(value); msg != "" {
				v.bad(field, value, "want no "+msg)
			} else if rule != nil && !slices.Contains([]string{"source", "sha256sums", "noextract"}, plain) {
				// Sources are looked at in the model, where they have better names.
				if msg := rule(value); msg != "" {
					v.bad(field, value, msg)
				}
			}
			if plain != "sha256sums" && slices.Index(s.Base[key], value) != i {
				v.bad(field, value, "want each value once")
			}
		}
	}
	if slices.Contains(v.m.Arch, "any") && len(v.m.Arch) > 1 {
		v.bad("arch", strings.Join(v.m.Arch, " "), "want any alone")
	}
}

func (v *validation) sources() {
	seen := map[string]bool{}
	for i, s := range v.m.Sources {
		name := v.m.expand(s.Name, s.Arch)
		if seen[name] {
			v.bad(index("sources", i)+".name", name, "want another name than each other source has")
		}
		seen[name] = true
		v.source(index("sources", i), name, s)
	}
}

func (v *validation) source(field, name string, s Source) {
	m := v.m
	if s.Arch != "" && (s.Arch == "any" || !slices.Contains(m.Arch, s.Arch)) {
		v.bad(field+".arch", s.Arch, "want an architecture of the package, or none")
	}
	if msg := sourceNameProblem(name); msg != "" {
		v.bad(field+".name", name, msg)
	}
	if len(s.URL) > 0 {
		if msg := urlProblem(m.expand(s.URL, s.Arch), "https"); msg != "" {
			v.bad(field+".url", m.expand(s.URL, s.Arch), msg)
		}
		if !s.Name.has(refPayload) && !s.Name.has(refVersion) {
			v.bad(field+".name", name, "want the version in the name of a download, so that no two versions share it")
		}
	}
	entry := m.expand(s.entry(), s.Arch)
	if tooLong(entry, maxSource) {
		v.bad(field, entry, fmt.Sprintf("want at most %d characters", maxSource))
	}
	if m.payloadVer() != m.PkgVer && (s.Name.has(refVersion) || s.URL.has(refVersion)) {
		v.bad(field, entry, "want the payload's version, which differs from the package's")
	}
	if msg := sha256Problem(s.SHA256); msg != "" {
		v.bad(field+".sha256", s.SHA256, msg)
	}
	if !m.used(s) && !m.signature(name) {
		v.bad(field, name, "want a source that package() takes, or the signature of one")
	}
}

// signature says whether the name is that of a signature of another source.
func (m *Model) signature(name string) bool {
	for _, suffix := range []string{".sig", ".asc", ".sign"} {
		signed, is := strings.CutSuffix(name, suffix)
		if is && slices.ContainsFunc(m.Sources, func(s Source) bool { return m.expand(s.Name, s.Arch) == signed }) {
			return true
		}
	}
	return false
}

func (v *validation) actions() {
	m := v.m
	for i, a := range m.Package {
		field := index("package", i)
		if a == nil {
			v.bad(field, "", "want an action")
			continue
		}
		for _, p := range a.problems(m) {
			v.bad(field+"."+p.field, p.found, p.want)
		}
		if t, takes := a.source(); takes {
			v.actionSource(field+".source", t)
		}
	}
}

// actionSource makes sure that the text names a source, whatever architecture is built.
func (v *validation) actionSource(field string, t Text) {
	v.add(v.m.referenceProblems(field, t, true))
	for _, arch := range v.m.Arch {
		name := v.m.expand(t, arch)
		if !slices.ContainsFunc(v.m.Sources, func(s Source) bool {
			return (s.Arch == "" || s.Arch == arch) && v.m.expand(s.Name, s.Arch) == name
		}) {
			v.bad(field, name, "want the name of a source for "+arch)
		}
	}
}

func index(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }
