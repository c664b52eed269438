// Package carrier reads and writes the version in the files that carry it: the source of truth and its copies.
//
// Every form of file has a reader that understands its structure well enough to say where the version's own bytes
// begin and end. Writing replaces these bytes and nothing else, so quotes, comments, order, line ends and a byte order
// mark stay as they were; then the outcome is read again and compared with what was meant. A form that is met in an
// unexpected shape (computed, written twice, inherited) is an error that names the line, never a guess.
//
//	pubspec.yaml                 version: X.Y.Z+BUILD, always with the build number
//	VERSION, VERSION.txt         one line
//	*.json (version.json,        "version", and where they stand there "build_number", "build_date", "git_commit";
//	  package.json)              strict JSON, all of them strings
//	*.dart                       constants appVersion, mainAppVersion, ..., BuildNumber, buildTimestamp, gitCommitHash
//	*.go                         constants or variables Version, BuildNumber, BuildDate, GitCommit (or in lower case)
//	Cargo.toml, pyproject.toml   version in [package], [workspace.package]; in [project], [tool.poetry]
//	PKGBUILD, .SRCINFO           pkgver (neither pkgrel nor checksums: those belong to the package)
//	control                      Version, its upstream part
//	*.iss                        #define MyAppVersion "X.Y.Z"
//
// Apart from pubspec.yaml, a text with a build number keeps having one, and a text without keeps having none.
package carrier

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/imrightguy/slipway/phases/internal/version"
)

// MaxSize is the largest carrier that is read, in bytes.
const MaxSize = 1 << 20

// Found is what a carrier says.
type Found struct {
	Version string // as written; of a Debian version the upstream part
	Line    int    // where it stands, from 1
	Build   string // the build number where it stands apart from the version, as written
	BOM     bool   // the file begins with a UTF-8 byte order mark where it should not
}

// Stamp is what of a version file depends on the commit that is released. Zero fields leave what is written there.
type Stamp struct {
	BuildDate time.Time // written in UTC, RFC 3339, in whole seconds
	Commit    string    // abbreviated ID of the base commit
}

// Drift is one place in a carrier that says something else than it should.
type Drift struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	What   string `json:"what"` // "version", "build number", "build date", "commit" or "byte order mark"
	Found  string `json:"found"`
	Wanted string `json:"wanted"` // empty where there should be nothing
}

// String says it in one line.
func (d Drift) String() string {
	wanted := "nothing"
	if d.Wanted != "" {
		wanted = fmt.Sprintf("%q", d.Wanted)
	}
	return fmt.Sprintf("%s:%d: %s is %q, wanted %s", show(d.File), d.Line, d.What, d.Found, wanted)
}

// kind says what a slot holds, and so what is written there.
type kind int

const (
	full     kind = iota // X.Y.Z[-PRE][+BUILD], with the build number
	plain                // the same, with the build number only if it has one already
	pkgver               // the same, as pacman writes it
	deb                  // the same, as Debian writes it
	build                // build number, as text
	buildInt             // build number, as a decimal integer
	date                 // build date
	commit               // commit
)

func (k kind) what() string {
	return [...]string{"version", "version", "version", "version", "build number", "build number", "build date", "commit"}[k]
}

// slot is the place of one value. The bytes from start to end are exactly the value, quotes left out.
type slot struct {
	kind       kind
	start, end int
	value      string // content[start:end]
	line       int
}

// form is a kind of file.
type form struct {
	names []string                             // base names, or "*.ext"
	bom   bool                                 // a byte order mark is usual
	slots func(content []byte) ([]slot, error) // the places, in order; content has no byte order mark
}

// forms is the list of the package comment.
var forms = []form{
	{names: []string{"pubspec.yaml"}, slots: pubspec},
	{names: []string{"VERSION", "VERSION.txt"}, slots: oneLine},
	{names: []string{"*.json"}, slots: jsonObject},
	{names: []string{"*.dart"}, slots: dart},
	{names: []string{"*.go"}, slots: golang},
	{names: []string{"Cargo.toml"}, slots: toml("package", "workspace.package")},
	{names: []string{"pyproject.toml"}, slots: toml("project", "tool.poetry")},
	{names: []string{"PKGBUILD"}, slots: pkgbuild},
	{names: []string{".SRCINFO"}, slots: srcinfo},
	{names: []string{"control"}, slots: control},
	{names: []string{"*.iss"}, bom: true, slots: innoSetup},
}

func formOf(file string) (form, error) {
	base := path.Base(file)
	for _, f := range forms {
		for _, name := range f.names {
			if name == base || name[0] == '*' && len(base) > len(name)-1 && strings.HasSuffix(base, name[1:]) {
				if base == "package-lock.json" {
					return form{}, fmt.Errorf("cannot read a version from %s: npm writes it; name package.json", show(file))
				}
				return f, nil
			}
		}
	}
	var known []string
	for _, f := range forms {
		known = append(known, f.names...)
	}
	return form{}, fmt.Errorf("cannot read a version from %s: its form is not known; known are %s", show(file), strings.Join(known, ", "))
}

// Known reports whether the form of a file is known by its name, and why not.
func Known(file string) error {
	_, err := formOf(file)
	return err
}

const mark = "\ufeff"

// fault is what is wrong with a carrier, and where.
type fault struct {
	offset int
	text   string
}

func (f *fault) Error() string { return f.text }

func faultf(offset int, format string, args ...any) error {
	text := strings.Map(func(r rune) rune { // the file's own words are in it
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, fmt.Sprintf(format, args...))
	return &fault{offset, text}
}

// errMissing is the error for a file whose form holds no version at all.
var errMissing = errors.New("it holds no version")

// read finds the slots of a carrier, in order of place, the first one that is a version in front.
func read(file string, content []byte) (slots []slot, bom bool, err error) {
	f, err := formOf(file)
	if err != nil {
		return nil, false, err
	}
	fail := func(err error) ([]slot, bool, error) {
		if at, ok := errors.AsType[*fault](err); ok {
			return nil, false, fmt.Errorf("cannot read the version in %s, line %d: %w", show(file), lineAt(content, at.offset), err)
		}
		return nil, false, fmt.Errorf("cannot read the version in %s: %w", show(file), err)
	}
	if len(content) > MaxSize {
		return fail(fmt.Errorf("it is larger than %d bytes", MaxSize))
	}
	body, bom := bytes.CutPrefix(content, []byte(mark))
	skip := len(content) - len(body)
	slots, err = f.slots(body)
	if at, ok := errors.AsType[*fault](err); ok {
		at.offset += skip
	}
	if err != nil {
		return fail(err)
	}
	for i := range slots {
		s := &slots[i]
		s.start, s.end = s.start+skip, s.end+skip
		s.value, s.line = string(content[s.start:s.end]), lineAt(content, s.start)
	}
	slices.SortStableFunc(slots, func(a, b slot) int { return cmp.Compare(a.start, b.start) })
	main := slices.IndexFunc(slots, func(s slot) bool { return s.kind < build })
	if main < 0 {
		return fail(errMissing)
	}
	s := slots[main]
	return slices.Insert(slices.Delete(slots, main, main+1), 0, s), bom && !f.bom, nil
}

// show returns a file's name as it stands in messages: quoted where something in it could be misread.
func show(file string) string {
	if q := strconv.Quote(file); len(q) != len(file)+2 {
		return q
	}
	return file
}

func lineAt(content []byte, offset int) int {
	return 1 + bytes.Count(content[:min(max(offset, 0), len(content))], []byte("\n"))
}

// Read finds the version that a carrier holds, whatever it is. The form follows from the file's name. The error names
// file and line.
func Read(file string, content []byte) (Found, error) {
	slots, bom, err := read(file, content)
	if err != nil {
		return Found{}, err
	}
	found := Found{Version: slots[0].value, Line: slots[0].line, BOM: bom}
	for _, s := range slots {
		if s.kind == build || s.kind == buildInt {
			found.Build = s.value
			break
		}
	}
	return found, nil
}

// Source reads a source of truth: its version with the build number, wherever that stands.
func Source(file string, content []byte) (v version.Version, line int, err error) {
	found, err := Read(file, content)
	if err != nil {
		return v, 0, err
	}
	text := found.Version
	if found.Build != "" {
		if strings.Contains(text, "+") {
			return v, found.Line, fmt.Errorf("%s:%d: the version %q has a build number, and %q stands beside it", show(file), found.Line, text, found.Build)
		}
		text += "+" + found.Build
	}
	if v, err = version.Parse(text); err != nil {
		return v, found.Line, fmt.Errorf("%s:%d: %w", show(file), found.Line, err)
	}
	return v, found.Line, nil
}

// wanted returns what a slot should hold; ok is false where nothing is asked of it. A source holds the build number
// even if it had none before.
func (s slot) wanted(v version.Version, stamp Stamp, source, apart bool) (text string, ok bool) {
	suffix := ""
	if v.Build != "" && !apart && (source || strings.Contains(s.value, "+")) {
		suffix = "+" + v.Build
	}
	switch s.kind {
	case full:
		return v.String(), true
	case plain:
		return v.Release() + suffix, true
	case pkgver:
		return v.Pkgver() + suffix, true
	case deb:
		return v.Deb() + suffix, true
	case build:
		return v.Build, true
	case buildInt:
		if version.SameBuild(s.value, v.Build) {
			return s.value, true // an integer has no width
		}
		if v.Build == "" {
			return "", true
		}
		return cmp.Or(strings.TrimLeft(v.Build, "0"), "0"), true
	case date:
		return stamp.BuildDate.UTC().Format("2006-01-02T15:04:05Z"), !stamp.BuildDate.IsZero()
	case commit:
		return stamp.Commit, stamp.Commit != ""
	}
	return "", false
}

// apart reports whether the build number has a slot of its own.
func apart(slots []slot) bool {
	return slices.ContainsFunc(slots, func(s slot) bool { return s.kind == build || s.kind == buildInt })
}

// Check compares all that a carrier says with what it should say. A file that cannot be read is an error.
func Check(file string, content []byte, v version.Version, stamp Stamp) ([]Drift, error) {
	slots, bom, err := read(file, content)
	if err != nil {
		return nil, err
	}
	var drifts []Drift
	if bom {
		drifts = append(drifts, Drift{file, 1, "byte order mark", mark, ""})
	}
	return append(drifts, differences(file, slots, v, stamp, false)...), nil
}

func differences(file string, slots []slot, v version.Version, stamp Stamp, source bool) (out []Drift) {
	for _, s := range slots {
		if want, ok := s.wanted(v, stamp, source, apart(slots)); ok && want != s.value {
			out = append(out, Drift{file, s.line, s.kind.what(), s.value, want})
		}
	}
	return out
}

// Write returns the carrier's content with the version v and the stamp in it. Everything else is the same, byte for
// byte; what is right already is not touched.
func Write(file string, content []byte, v version.Version, stamp Stamp) ([]byte, error) {
	return write(file, content, v, stamp, false)
}

// WriteSource is Write for a source of truth: the build number is written even where there was none.
func WriteSource(file string, content []byte, v version.Version, stamp Stamp) ([]byte, error) {
	return write(file, content, v, stamp, true)
}

func write(file string, content []byte, v version.Version, stamp Stamp, source bool) ([]byte, error) {
	slots, _, err := read(file, content)
	if err != nil {
		return nil, err
	}
	if strings.Trim(stamp.Commit, "0123456789abcdef") != "" {
		return nil, fmt.Errorf("cannot write %q into %s as a commit: it is not a hexadecimal number", stamp.Commit, show(file))
	}
	places := slices.Clone(slots)
	slices.SortFunc(places, func(a, b slot) int { return cmp.Compare(a.start, b.start) })
	var out []byte
	from := 0
	for _, s := range places {
		want, ok := s.wanted(v, stamp, source, apart(slots))
		if !ok {
			continue
		}
		if want == "" {
			return nil, fmt.Errorf("cannot write %s into %s, line %d: a build number stands there and the version has none; give it one, for example %s+1", v, show(file), s.line, v)
		}
		if s.kind == buildInt && len(want) > 18 {
			return nil, fmt.Errorf("cannot write build number %s into %s, line %d: an integer cannot hold it", want, show(file), s.line)
		}
		out = append(append(out, content[from:s.start]...), want...)
		from = s.end
	}
	out = append(out, content[from:]...)
	return out, confirm(file, slots, out, v, stamp, source)
}

// confirm reads what was written: the same places, now holding what was meant.
func confirm(file string, before []slot, content []byte, v version.Version, stamp Stamp, source bool) error {
	after, _, err := read(file, content)
	if err != nil {
		return fmt.Errorf("cannot write the version: what was written cannot be read again: %w", err)
	}
	if len(after) != len(before) {
		return fmt.Errorf("cannot write the version into %s: read again, it has %d places instead of %d", show(file), len(after), len(before))
	}
	for i := range after {
		// A source without build number has one now, so "keep what is there" asks the same of it as before.
		want, ok := before[i].wanted(v, stamp, source, apart(before))
		if !ok {
			want = before[i].value
		}
		if after[i].kind != before[i].kind || after[i].value != want {
			return fmt.Errorf("cannot write the version into %s, line %d: read again, it is %q instead of %q", show(file), after[i].line, after[i].value, want)
		}
	}
	return nil
}

// Changes lists the places in which two contents of a carrier differ: what stood there as Found, what stands there now
// as Wanted. They must have the same places, as what Write returns has.
func Changes(file string, before, after []byte) ([]Drift, error) {
	olds, _, err := read(file, before)
	if err != nil {
		return nil, err
	}
	news, _, err := read(file, after)
	if err != nil {
		return nil, err
	}
	if len(olds) != len(news) {
		return nil, fmt.Errorf("cannot compare two contents of %s: one has %d places, the other %d", show(file), len(olds), len(news))
	}
	var out []Drift
	for i, s := range olds {
		if s.value != news[i].value {
			out = append(out, Drift{file, s.line, s.kind.what(), s.value, news[i].value})
		}
	}
	return out, nil
}
