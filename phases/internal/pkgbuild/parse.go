package pkgbuild

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// MaxFile is the largest file in bytes that the AUR's update hook takes; larger input is not parsed.
const MaxFile = 256000

// SyntaxError says where a .SRCINFO or PKGBUILD is not what it should be.
type SyntaxError struct {
	Line int
	Msg  string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Msg) }

// readFile reads at most MaxFile bytes of text without carriage returns.
func readFile(r io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return "", err
	}
	if len(data) > MaxFile {
		return "", fmt.Errorf("larger than %d bytes", MaxFile)
	}
	fault := func(at int, msg string) (string, error) {
		return "", &SyntaxError{bytes.Count(data[:at], []byte("\n")) + 1, msg}
	}
	if i := bytes.IndexByte(data, '\r'); i >= 0 {
		return fault(i, "carriage return")
	}
	if bytes.HasPrefix(data, []byte("\ufeff")) {
		return fault(0, "byte order mark")
	}
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return fault(i, "not UTF-8")
		}
		i += n
	}
	if n := len(data); n > 0 && data[n-1] != '\n' {
		return fault(n, "the last line has no end")
	}
	return string(data), nil
}

// ParseSRCINFO reads a .SRCINFO. It takes what makepkg writes, in any order of keys, with
// empty lines and lines of comment wherever they are, and refuses everything else: unknown
// keys, other indentation, a second value of a single field, white space not folded,
// missing mandatory fields, malformed names and versions.
func ParseSRCINFO(r io.Reader) (*SRCINFO, error) {
	text, err := readFile(r)
	if err != nil {
		return nil, err
	}
	p := srcinfoParser{lines: map[place]int{}}
	n := 0
	for line := range strings.Lines(text) {
		n++
		if msg := p.line(strings.TrimSuffix(line, "\n"), n); msg != "" {
			return nil, &SyntaxError{n, msg}
		}
	}
	if p.file == nil {
		return nil, &SyntaxError{max(n, 1), "does not contain a pkgbase (is the file empty?)"}
	}
	return p.finish()
}

// place is a value of a section; its line is remembered for the checks at the end.
type place struct {
	section int
	key     string
	index   int
}

type srcinfoParser struct {
	file  *SRCINFO
	lines map[place]int
}

func (p *srcinfoParser) line(line string, n int) string {
	if line == "" || line[0] == '#' {
		return ""
	}
	body, indented := strings.CutPrefix(line, "\t")
	key, value, found := strings.Cut(body, " = ")
	switch {
	case !found:
		return fmt.Sprintf("want KEY = VALUE, found %q", line)
	case key == "" || strings.Trim(key, lower+digits+"_") != "":
		return fmt.Sprintf("invalid key %q", key)
	case !indented:
		return p.head(key, value, n)
	case p.file == nil:
		return "want pkgbase first"
	}
	i := len(p.file.Packages) - 1
	section := p.file.Base
	if i >= 0 {
		section = p.file.Packages[i].Section
	}
	old, set := section[key]
	if set && len(old) == 0 {
		return key + " has been emptied before"
	}
	p.lines[place{i, key, len(old)}] = n
	if value == "" {
		if i < 0 || set {
			return key + " has an empty value"
		}
		section[key] = []string{}
		return ""
	}
	section[key] = append(old, value)
	return ""
}

// head takes a line that begins a section.
func (p *srcinfoParser) head(key, value string, n int) string {
	switch {
	case key == "pkgbase" && p.file == nil:
		p.file = &SRCINFO{PkgBase: value, Base: Section{}}
	case key == "pkgbase":
		return "a second pkgbase"
	case key != "pkgname":
		return fmt.Sprintf("want a tab before %q", key)
	case p.file == nil:
		return "want pkgbase first"
	default:
		p.file.Packages = append(p.file.Packages, Package{PkgName: value, Section: Section{}})
	}
	p.lines[place{len(p.file.Packages) - 1, key, 0}] = n
	return ""
}

// finish checks the whole and gives each fault its line.
func (p *srcinfoParser) finish() (*SRCINFO, error) {
	faults := p.file.check()
	if faults == nil {
		return p.file, nil
	}
	for i, fault := range faults {
		if e := (*keyError)(nil); errors.As(fault, &e) {
			faults[i] = &SyntaxError{p.lines[place{e.section, e.key, e.index}], e.Error()}
		}
	}
	return nil, errors.Join(faults...)
}
