// Package pkgbuild prints an Arch User Repository package of prebuilt files.
//
// There is one [Model]. [PrintPKGBUILD] and [PrintSRCINFO] both print it, so the two files
// cannot disagree; [PrintSRCINFO] equals `makepkg --printsrcinfo` byte for byte. Both
// refuse a model that [Validate] refuses. [ParseSRCINFO] reads a published .SRCINFO,
// [ReadPKGBUILD] reads back a PKGBUILD of our own grammar without running it, and [Lint]
// applies to the files of a repository the rules of the AUR's server and our own.
//
// # The grammar of a printed PKGBUILD
//
// A PKGBUILD is a bash program, and every value in it is data that came from somewhere. So
// the grammar is narrow: data stands in single quotes, where bash looks at nothing; a
// single quote in it is written '"'"'. Outside of package() double quotes hold a single
// quote or ${pkgver}, nothing else. Inside of package() they hold ${pkgdir}, ${srcdir},
// ${pkgname}, ${pkgver} and characters that mean nothing to bash. A package for several
// architectures also has ${CARCH} there. There are no other expansions, substitutions,
// conditions or functions.
//
// # White space and control characters
//
// A value may hold spaces and tabs. The PKGBUILD keeps them as they are; the .SRCINFO has
// each run of them as one space and none at the ends, as makepkg does ([Fold]). Every other
// control character is refused, line breaks included: what comes from a text block of a
// configuration file should be folded first. White space beyond ASCII is refused too, for
// makepkg folds it in some locales and keeps it in others, and so are characters that
// change the direction of text, which could show a reviewer another PKGBUILD than bash reads.
package pkgbuild

import (
	"strconv"
	"strings"
)

// A Model is a package of prebuilt files, described once.
type Model struct {
	Maintainers []string // "Release Team <release at example dot org>", at least one
	PkgBase     string   // name of the AUR repository; empty: PkgName
	PkgName     string
	PkgVer      string // version of the package; see [PkgVer] for the mapping
	PkgRel      string // "1", or "1.1"
	Epoch       int
	// PayloadVer is the version of what is packed, as it stands in names and addresses of
	// sources. It differs from PkgVer for prereleases (3.2.1-rc.1), and after a rollback
	// that packs an older payload under a higher version. Empty: PkgVer.
	PayloadVer string

	PkgDesc string
	URL     string
	License []string // SPDX expressions
	Arch    []string // x86_64, aarch64, or any alone
	Groups  []string // of packages that are installed together
	Relations
	ArchRelations map[string]Relations // what holds for one architecture only
	Backup        []string             // configuration files, without leading slash
	Options       []string             // for prebuilt files: !strip and !debug
	Install       string               // file name of the install scriptlet, or empty
	ValidPGPKeys  []string             // full fingerprints

	Sources []Source
	Package []Action // what package() does, in order
}

// Relations are the lists of other packages.
type Relations struct {
	CheckDepends []Text
	MakeDepends  []Text // what makepkg needs to build the package
	Depends      []Text // what the programs need to run: no build tool, see [BuildTool]
	OptDepends   []Text // "name: what for"
	Provides     []Text
	Conflicts    []Text
	Replaces     []Text
}

// A Source is a file that the package is made from.
type Source struct {
	Arch string // the architecture it is for; empty: all of them
	Name Text   // its local name; with the payload's version in it where URL is set
	URL  Text   // its address; empty: it lies beside the PKGBUILD
	// SHA256 is the digest of the bytes that users will download. It is never skipped.
	SHA256 string
}

// Text is a value in which versions may stand. Where they stand is said here and never
// found by looking for the version's digits.
type Text []Part

// A Part of a Text is either a literal or a reference.
type Part struct {
	Literal string
	Ref     Ref
}

// Ref is what a part of a text refers to.
type Ref string

const (
	refVersion Ref = "version"
	refPayload Ref = "payload"
	refArch    Ref = "arch"
)

// The references.
var (
	Version = Part{Ref: refVersion} // the package's version, ${pkgver}
	Payload = Part{Ref: refPayload} // the payload's version: ${pkgver} where the two are equal
	Arch    = Part{Ref: refArch}    // the architecture, in what belongs to one
)

// Lit is a literal part.
func Lit(s string) Part { return Part{Literal: s} }

// Plain is a text without references.
func Plain(s string) Text { return Text{Lit(s)} }

// Plains is a list of texts without references.
func Plains(values ...string) []Text {
	texts := make([]Text, len(values))
	for i, v := range values {
		texts[i] = Plain(v)
	}
	return texts
}

// has says whether the text holds a reference.
func (t Text) has(r Ref) bool {
	for _, p := range t {
		if p.Ref == r {
			return true
		}
	}
	return false
}

// A resolved text holds literals and the package's version only.
func (m *Model) resolve(t Text, arch string) Text {
	var out Text
	for _, p := range t {
		switch p.Ref {
		case refPayload:
			p = Version
			if m.payloadVer() != m.PkgVer {
				p = Lit(m.payloadVer())
			}
		case refArch:
			p = Lit(arch)
		}
		if n := len(out); n > 0 && p.Ref == "" && out[n-1].Ref == "" {
			out[n-1].Literal += p.Literal
			continue
		}
		out = append(out, p)
	}
	return out
}

// expand gives the text as it is for one architecture.
func (m *Model) expand(t Text, arch string) string {
	var s strings.Builder
	for _, p := range m.resolve(t, arch) {
		if p.Ref == refVersion {
			s.WriteString(m.PkgVer)
		} else {
			s.WriteString(p.Literal)
		}
	}
	return s.String()
}

func (m *Model) payloadVer() string {
	if m.PayloadVer == "" {
		return m.PkgVer
	}
	return m.PayloadVer
}

func (m *Model) pkgBase() string {
	if m.PkgBase == "" {
		return m.PkgName
	}
	return m.PkgBase
}

// Version is the full version of the package, [epoch:]pkgver-pkgrel.
func (m *Model) Version() string {
	epoch := ""
	if m.Epoch != 0 {
		epoch = strconv.Itoa(m.Epoch)
	}
	return fullVersion(epoch, m.PkgVer, m.PkgRel)
}

func fullVersion(epoch, pkgver, pkgrel string) string {
	if epoch != "" {
		epoch += ":"
	}
	return epoch + pkgver + "-" + pkgrel
}

// entry is the source as makepkg wants it.
func (s Source) entry() Text {
	if len(s.URL) == 0 {
		return s.Name
	}
	t := append(Text{}, s.Name...)
	t = append(t, Lit("::"))
	return append(t, s.URL...)
}

// A variable is one assignment of the PKGBUILD. Both printers work from the same ones.
type variable struct {
	key    string
	array  bool
	values []Text // resolved
}

// variables lists the assignments in the PKGBUILD's order.
func (m *Model) variables() []variable {
	var vars []variable
	scalar := func(key, value string) {
		if value != "" {
			vars = append(vars, variable{key: key, values: Plains(value)})
		}
	}
	array := func(key, arch string, values []Text) {
		if len(values) == 0 {
			return
		}
		v := variable{key: key, array: true, values: make([]Text, len(values))}
		for i, t := range values {
			v.values[i] = m.resolve(t, arch)
		}
		vars = append(vars, v)
	}
	relations := func(suffix, arch string, r Relations) {
		array("checkdepends"+suffix, arch, r.CheckDepends)
		array("makedepends"+suffix, arch, r.MakeDepends)
		array("depends"+suffix, arch, r.Depends)
		array("optdepends"+suffix, arch, r.OptDepends)
		array("provides"+suffix, arch, r.Provides)
		array("conflicts"+suffix, arch, r.Conflicts)
		array("replaces"+suffix, arch, r.Replaces)
	}
	sources := func(suffix, arch string) {
		var entries, sums []Text
		for _, s := range m.Sources {
			if s.Arch == arch {
				entries, sums = append(entries, s.entry()), append(sums, Plain(s.SHA256))
			}
		}
		array("source"+suffix, arch, entries)
		array("sha256sums"+suffix, arch, sums)
	}

	if m.PkgBase != m.PkgName {
		scalar("pkgbase", m.PkgBase)
	}
	scalar("pkgname", m.PkgName)
	scalar("pkgver", m.PkgVer)
	scalar("pkgrel", m.PkgRel)
	if m.Epoch != 0 {
		scalar("epoch", strconv.Itoa(m.Epoch))
	}
	scalar("pkgdesc", m.PkgDesc)
	array("arch", "", Plains(m.Arch...))
	scalar("url", m.URL)
	array("groups", "", Plains(m.Groups...))
	array("license", "", Plains(m.License...))
	relations("", "", m.Relations)
	array("backup", "", Plains(m.Backup...))
	array("options", "", Plains(m.Options...))
	scalar("install", m.Install)
	array("validpgpkeys", "", Plains(m.ValidPGPKeys...))
	vars = append(vars, m.noExtract()...)
	sources("", "")
	for _, arch := range m.Arch {
		relations("_"+arch, arch, m.ArchRelations[arch])
		sources("_"+arch, arch)
	}
	return vars
}

// noExtract lists the sources that package() handles itself: makepkg must leave them alone.
func (m *Model) noExtract() []variable {
	v := variable{key: "noextract", array: true}
	for _, s := range m.Sources {
		if m.used(s) {
			v.values = append(v.values, m.resolve(s.Name, s.Arch))
		}
	}
	if v.values == nil {
		return nil
	}
	return []variable{v}
}

// used says whether an action takes the source.
func (m *Model) used(s Source) bool {
	name := m.expand(s.Name, s.Arch)
	for _, a := range m.Package {
		if a == nil {
			continue
		}
		t, takes := a.source()
		for _, arch := range m.Arch {
			if takes && (s.Arch == "" || s.Arch == arch) && m.expand(t, arch) == name {
				return true
			}
		}
	}
	return false
}
