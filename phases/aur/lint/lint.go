// Package lint applies the rules for an AUR repository before anything is pushed: those of the server's two validators,
// as far as they show in the files, and our own. What the server accepts in silence although it is wrong, users would
// find.
package lint

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// Check is the name of the evidence.
const Check = "aur-lint"

// Bounds of our own, in bytes, far below the server's 250 KiB for each file: what is larger is a payload, and belongs
// to the release.
const (
	maxLocal = 64 << 10  // a source that lies beside the PKGBUILD, or a scriptlet
	maxAll   = 512 << 10 // all files
)

// maxTold is how many findings are told.
const maxTold = 20

// StepID is the ID of a package's step in the phase aur.
func StepID(name string) string { return ID(subject.Package{Name: name}) }

// ID is the ID of a package's step.
func ID(p subject.Package) string { return p.StepID("lint") }

// Step returns the step that applies the rules to a package's files.
func Step(p subject.Package) pipeline.Step { return step{p} }

type step struct{ subject.Package }

func (s step) Spec() pipeline.Spec {
	return pipeline.Spec{ID: ID(s.Package), Needs: []string{s.Step}, Inputs: s.Inputs(), Checks: []string{Check}}
}

func (s step) Run(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	c, err := s.Read(ws)
	if err != nil {
		return nil, err
	}
	ev := gate.Evidence{Check: Check, Expected: "nothing to object to", Subjects: c.Digests}
	findings := Find(s.Name, c)
	if len(findings) == 0 {
		ev.Verdict, ev.Found, ev.Summary = gate.Pass, ev.Expected, fmt.Sprintf("%d files, nothing to object to", len(c.Files))
	} else {
		ev.Verdict, ev.Summary = gate.Fail, fmt.Sprintf("%d findings: %s", len(findings), findings[0])
		ev.Found = strings.Join(findings[:min(len(findings), maxTold)], "\n")
		if more := len(findings) - maxTold; more > 0 {
			ev.Found += fmt.Sprintf("\nand %d more", more)
		}
	}
	ws.Report(ev)
	return nil, nil
}

// Find lists what is wrong with the files of a package, one line each.
func Find(name string, c *subject.Content) []string {
	var found []string
	add := func(rule, file, format string, args ...any) {
		found = append(found, fmt.Sprintf("%s: %s (%s)", file, fmt.Sprintf(format, args...), rule))
	}
	sum := int64(0)
	for _, file := range slices.Sorted(maps.Keys(c.Large)) {
		sum += c.Large[file]
		add("blob-size", file, "it has %d bytes, and the AUR takes %d: publish it with the release and name its address in source", c.Large[file], pkgbuild.MaxFile)
	}
	for _, file := range slices.Sorted(maps.Keys(c.Files)) {
		size := int64(len(c.Files[file]))
		sum += size
		if !allowed(name, file, c.Info) {
			add("file-list", file, "only PKGBUILD, .SRCINFO, LICENSE, %s.install and the sources that lie beside the PKGBUILD are published", name)
		}
		if size > maxLocal && file != "PKGBUILD" && file != ".SRCINFO" && file != "LICENSE" {
			add("local-size", file, "it has %d bytes, more than %d: publish it with the release and name its address in source", size, maxLocal)
		}
	}
	if sum > maxAll {
		add("total-size", name, "all files have %d bytes, more than %d", sum, maxAll)
	}
	for _, f := range pkgbuild.Lint(name, c.Files) {
		found = append(found, f.String())
	}
	if c.Info != nil {
		classes(c.Info, func(format string, args ...any) { add("dependency-class", ".SRCINFO", format, args...) })
	}
	for i, f := range found {
		found[i] = visible(f)
	}
	return found
}

// visible replaces what a terminal would obey, or not show.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, s)
}

// allowed reports whether a file may be published at all.
func allowed(name, file string, info *pkgbuild.SRCINFO) bool {
	switch file {
	case "PKGBUILD", ".SRCINFO", "LICENSE", name + ".install":
		return true
	}
	if info == nil || strings.Contains(file, "/") {
		return false
	}
	for key, values := range info.Base {
		if (key == "source" || strings.HasPrefix(key, "source_")) && slices.Contains(values, file) {
			return true
		}
	}
	return false
}

// classes looks at the lists of other packages: each belongs to one class, for a reason. What programs need at runtime
// is depends; what builds them has no place in a package of prebuilt files, which pkgbuild.Lint sees.
func classes(info *pkgbuild.SRCINFO, add func(string, ...any)) {
	of := func(section pkgbuild.Section, class string) []string {
		var list []string
		for key, values := range section {
			if key == class || strings.HasPrefix(key, class+"_") {
				for _, v := range values {
					list = append(list, bare(v))
				}
			}
		}
		slices.Sort(list)
		return slices.Compact(list)
	}
	for _, p := range info.Packages {
		section := maps.Clone(info.Base)
		maps.Copy(section, p.Section)
		depends := of(section, "depends")
		for _, d := range depends {
			if d == p.PkgName {
				add("%s depends on itself", p.PkgName)
			}
			if slices.Contains(of(section, "conflicts"), d) {
				add("%s depends on %s and conflicts with it", p.PkgName, d)
			}
		}
		for _, class := range []string{"makedepends", "optdepends"} {
			for _, d := range of(section, class) {
				if slices.Contains(depends, d) {
					add("%s stands in depends and in %s: one of them says too much", d, class)
				}
			}
		}
		if slices.Contains(of(section, "makedepends"), "base-devel") {
			add("base-devel stands in makedepends, and is there wherever a package is built")
		}
	}
}

// bare is the name in a relation: without version and, of optdepends, without what it is for.
func bare(relation string) string {
	if i := strings.IndexAny(relation, "<>=:"); i >= 0 {
		return relation[:i]
	}
	return relation
}
