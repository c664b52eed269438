package pkgbuild

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// A Finding is a rule that the files of an AUR repository break. Every finding stands in
// the way of a push: the server would refuse it, or accept something wrong in silence.
type Finding struct {
	Rule    string // stable name of the rule
	File    string
	Line    int    // zero where the finding is about the whole file
	Message string // the server's words where it has some
}

func (f Finding) String() string {
	where := f.File
	if f.Line > 0 {
		where += fmt.Sprintf(":%d", f.Line)
	}
	return where + ": " + f.Message + " (" + f.Rule + ")"
}

// Lint looks at the files that are to be pushed to the AUR repository repo, path to
// content. It applies the rules of both of the server's validators, as far as they show in
// the files, and our own: that the PKGBUILD is of our grammar and says what the .SRCINFO
// says, that checksums are there and look like checksums, and that nothing lies in the
// repository that does not belong. What other packages are called and what was pushed
// before cannot be seen here. No findings means that nothing is wrong.
func Lint(repo string, files map[string][]byte) []Finding {
	l := &linter{repo: repo, files: files}
	l.tree()
	if l.has(srcinfoName) {
		l.srcinfo()
	}
	if l.has(pkgbuildName) {
		l.pkgbuild()
	}
	l.scriptlets()
	l.extraFiles()
	slices.SortStableFunc(l.findings, func(a, b Finding) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
	return l.findings
}

const (
	pkgbuildName = "PKGBUILD"
	srcinfoName  = ".SRCINFO"
	licenseName  = "LICENSE" // of the packaging files themselves
)

type linter struct {
	repo     string
	files    map[string][]byte
	info     *SRCINFO // nil where it cannot be read
	findings []Finding
}

func (l *linter) add(rule, file string, line int, format string, args ...any) {
	l.findings = append(l.findings, Finding{rule, file, line, fmt.Sprintf(format, args...)})
}

func (l *linter) has(name string) bool { _, ok := l.files[name]; return ok }

// tree applies the server's rules for what may lie where.
func (l *linter) tree() {
	for _, name := range []string{srcinfoName, pkgbuildName} {
		if !l.has(name) {
			l.add("missing-file", name, 0, "missing %s", name)
		}
	}
	if !l.has(licenseName) {
		l.add("license-file", licenseName, 0, "the packaging files have no licence of their own: put the 0BSD text there")
	}
	for _, name := range slices.Sorted(maps.Keys(l.files)) {
		if size := len(l.files[name]); size > MaxFile {
			l.add("blob-size", name, 0, "maximum blob size (250.00KiB) exceeded")
		}
		dir, base := path.Split(name)
		switch {
		case dir == "":
		case dir == "keys/pgp/" && strings.HasSuffix(base, ".asc"):
		case dir == "LICENSES/":
			id := strings.TrimSuffix(strings.TrimSuffix(base, ".txt"), ".md")
			if id == base || !licenseIDRE.MatchString(id) {
				l.add("license-file", name, 0, "want the name of a licence with the ending .txt or .md")
			}
		default:
			l.add("subdirectory", name, 0, "the repository must not contain subdirectories")
		}
	}
}

// srcinfo reads the .SRCINFO and applies the rules for its values.
func (l *linter) srcinfo() {
	info, err := ParseSRCINFO(bytes.NewReader(l.files[srcinfoName]))
	if err != nil {
		l.syntax("srcinfo-syntax", srcinfoName, err)
		return
	}
	l.info = info
	var b bytes.Buffer
	if err := info.Print(&b); err != nil {
		l.add("srcinfo-syntax", srcinfoName, 0, "%v", err)
	} else if !bytes.Equal(b.Bytes(), l.files[srcinfoName]) {
		l.add("canonical", srcinfoName, firstDifference(b.Bytes(), l.files[srcinfoName]), "not as makepkg writes it")
	}
	if info.PkgBase != l.repo {
		l.add("pkgbase", srcinfoName, 0, "invalid pkgbase: %s, expected %s", info.PkgBase, l.repo)
	}
	if arch := info.Base["arch"]; !slices.Contains(arch, "x86_64") && !slices.Contains(arch, "any") {
		l.add("x86_64", srcinfoName, 0, "the AUR wants x86_64 supported, found %q", arch)
	}
	l.section(info.Base)
	for _, p := range info.Packages {
		l.section(p.Section)
	}
	l.checksums(info.Base)
}

func (l *linter) section(section Section) {
	for _, key := range slices.Sorted(maps.Keys(section)) {
		rule, plain := ruleOf(key)
		for _, value := range section[key] {
			if rule != nil {
				if msg := rule(value); msg != "" {
					l.add(plain, srcinfoName, 0, "%s: %s, found %q", key, msg, value)
				}
			}
			switch plain {
			case "install", "changelog":
				if !l.has(value) {
					l.add("missing-file", srcinfoName, 0, "missing %s file: %s", plain, value)
				}
			case "depends":
				if BuildTool(value) {
					l.add("build-tool", srcinfoName, 0, "%s names %q, which builds programs and does not run them: want it in makedepends, or nowhere", key, value)
				}
			case "source":
				if !strings.Contains(value, "://") && !strings.Contains(value, "lp:") && !l.has(value) {
					l.add("missing-file", srcinfoName, 0, "missing source file: %s", value)
				}
			}
		}
	}
}

// checksums wants a SHA-256 for each source. Weaker sums beside it would be one more thing
// to be wrong.
func (l *linter) checksums(base Section) {
	for _, key := range slices.Sorted(maps.Keys(base)) {
		_, plain := ruleOf(key)
		suffix := strings.TrimPrefix(key, plain)
		switch {
		case plain == "source":
			if n, sums := len(base[key]), len(base["sha256sums"+suffix]); n != sums {
				l.add("checksum", srcinfoName, 0, "%s has %d entries, sha256sums%s has %d", key, n, suffix, sums)
			}
		case plain == "sha256sums":
			if len(base["source"+suffix]) == 0 {
				l.add("checksum", srcinfoName, 0, "%s without source%s", key, suffix)
			}
		case slices.Contains(checksums, plain):
			l.add("checksum", srcinfoName, 0, "%s: want sha256sums only", key)
		}
	}
}

// pkgbuild reads the PKGBUILD by our grammar and compares what it says with the .SRCINFO.
func (l *linter) pkgbuild() {
	said, err := ReadPKGBUILD(bytes.NewReader(l.files[pkgbuildName]))
	if err != nil {
		l.syntax("pkgbuild-grammar", pkgbuildName, err)
		return
	}
	if !strings.HasPrefix(string(l.files[pkgbuildName]), "# Maintainer: ") {
		l.add("maintainer", pkgbuildName, 1, "want a comment with the maintainer in the first line")
	}
	if l.info == nil {
		return
	}
	for _, d := range said.Diff(l.info) {
		l.add("drift", srcinfoName, 0, "PKGBUILD and .SRCINFO differ: %s", d)
	}
}

// scriptlets reads the install scriptlets: see [ReadScriptlet].
func (l *linter) scriptlets() {
	if l.info == nil {
		return
	}
	for _, section := range l.info.sections() {
		if name := section.First("install"); l.has(name) {
			if _, err := ReadScriptlet(bytes.NewReader(l.files[name])); err != nil {
				l.syntax("scriptlet", name, err)
			}
		}
	}
}

// extraFiles allows what the .SRCINFO asks for, and nothing else.
func (l *linter) extraFiles() {
	if l.info == nil {
		return
	}
	allowed := []string{pkgbuildName, srcinfoName, licenseName}
	for _, section := range l.info.sections() {
		for key, values := range section {
			if _, plain := ruleOf(key); slices.Contains([]string{"install", "changelog", "source"}, plain) {
				allowed = append(allowed, values...)
			}
		}
	}
	signed := len(l.info.Base["validpgpkeys"]) > 0
	for _, name := range slices.Sorted(maps.Keys(l.files)) {
		if !slices.Contains(allowed, name) && !(signed && strings.HasPrefix(name, "keys/pgp/")) {
			l.add("extra-file", name, 0, "nothing in .SRCINFO asks for this file")
		}
	}
}

func (s *SRCINFO) sections() []Section {
	sections := []Section{s.Base}
	for _, p := range s.Packages {
		sections = append(sections, p.Section)
	}
	return sections
}

// syntax adds a finding for each error of a parser.
func (l *linter) syntax(rule, file string, err error) {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, e := range joined.Unwrap() {
			l.syntax(rule, file, e)
		}
		return
	}
	line, msg := 0, err.Error()
	if e := (*SyntaxError)(nil); errors.As(err, &e) {
		line, msg = e.Line, e.Msg
	}
	l.add(rule, file, line, "%s", msg)
}

// firstDifference is the first line in which two texts differ.
func firstDifference(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return bytes.Count(a[:n], []byte("\n")) + 1
}
