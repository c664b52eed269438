package pkgbuild

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// ReadPKGBUILD reads a PKGBUILD of the grammar that [PrintPKGBUILD] prints, without
// running anything, and answers with what makepkg would print as its .SRCINFO. Whatever is
// outside of the grammar is refused: a PKGBUILD that was edited, or made by others, is not
// understood by half.
func ReadPKGBUILD(r io.Reader) (*SRCINFO, error) {
	text, err := readFile(r)
	if err != nil {
		return nil, err
	}
	rd := &reader{rest: text, line: 1, scalars: map[string]string{}, section: Section{}}
	if msg := rd.file(); msg != "" {
		return nil, &SyntaxError{rd.line, msg}
	}
	s := &SRCINFO{PkgBase: rd.scalars["pkgbase"], Base: rd.section, Packages: []Package{{PkgName: rd.scalars["pkgname"]}}}
	if s.PkgBase == "" {
		s.PkgBase = rd.scalars["pkgname"]
	}
	if faults := s.check(); faults != nil {
		return nil, errors.Join(faults...)
	}
	return s, nil
}

// actionRE is a line of package(): a command of ours, options, and words in double quotes; or an AppImage of the package
// that unpacks a part of itself.
var actionRE = regexp.MustCompile(`^\t(?:(?:install|bsdtar|ln|mv|rm)(?: (?:-[a-zA-Z0-9=-]+|"(?:[a-zA-Z0-9._+@=/-]|\$\{(?:pkgdir|srcdir|pkgname|pkgver|CARCH)\})+"))+` +
	`|"\$\{pkgdir\}/[a-zA-Z0-9._+@=/-]+" --appimage-extract "[a-zA-Z0-9._+@=/-]+")$`)

var assignRE = regexp.MustCompile(`^[a-z0-9_]+=`)

type reader struct {
	rest    string
	line    int
	scalars map[string]string
	section Section
}

// file reads to the end of the text, or to the first fault, which it tells.
func (r *reader) file() string {
	packaged := false
	for r.rest != "" {
		var msg string
		switch {
		case r.take("\n"):
		case r.rest[0] == '#':
			r.takeLine()
		case packaged:
			msg = "want nothing after package()"
		case r.take("package() {\n"):
			msg, packaged = r.body(), true
		default:
			msg = r.assignment()
		}
		if msg != "" {
			return msg
		}
	}
	switch {
	case !packaged:
		return "want package()"
	case r.scalars["pkgname"] == "":
		return "want pkgname"
	}
	return ""
}

func (r *reader) body() string {
	for !r.take("}\n") {
		if !actionRE.MatchString(r.peekLine()) {
			return fmt.Sprintf("want a command of ours in package(), found %q", r.peekLine())
		}
		r.takeLine()
	}
	return ""
}

func (r *reader) assignment() string {
	key := strings.TrimSuffix(assignRE.FindString(r.rest), "=")
	if key == "" {
		return fmt.Sprintf("want an assignment, found %q", r.peekLine())
	}
	r.advance(len(key) + 1)
	_, array := slices.BinarySearch(arrayKeys, plainKey(key))
	if _, set := r.section[key]; set || r.scalars[key] != "" {
		return key + " is assigned twice"
	}
	var values []string
	if array != r.take("(") {
		return fmt.Sprintf("want %s to be a list: %v", key, array)
	}
	for array && !r.take(")") {
		if r.take("\n") || r.take("\t") || r.take(" ") {
			continue
		}
		word, msg := r.word()
		if msg != "" {
			return msg
		}
		values = append(values, word)
	}
	if !array {
		word, msg := r.word()
		if msg != "" {
			return msg
		}
		values = []string{word}
	}
	if !r.take("\n") {
		return fmt.Sprintf("want the line to end after %s, found %q", key, r.peekLine())
	}
	if len(values) == 0 {
		return key + " has no value"
	}
	return r.set(key, values)
}

func (r *reader) set(key string, values []string) string {
	for _, v := range values {
		if msg := charProblem(v); msg != "" {
			return msg + " in " + key
		}
	}
	switch key {
	case "pkgbase", "pkgname":
		r.scalars[key] = values[0]
		return ""
	case "pkgver":
		r.scalars[key] = values[0]
	}
	for i, v := range values {
		values[i] = Fold(v)
	}
	r.section[key] = values
	return ""
}

// word reads single quotes, a quoted quote and ${pkgver}, as many of them as stand together.
func (r *reader) word() (string, string) {
	word, found := "", false
	for {
		switch {
		case r.take("'"):
			end := strings.IndexByte(r.rest, '\'')
			if end < 0 {
				return "", "a quote without end"
			}
			word += r.rest[:end]
			r.advance(end + 1)
		case r.take(`"'"`):
			word += "'"
		case r.take(`"${pkgver}"`):
			if r.scalars["pkgver"] == "" {
				return "", "pkgver is used before it is known"
			}
			word += r.scalars["pkgver"]
		case !found:
			return "", fmt.Sprintf("want a quoted value, found %q", r.peekLine())
		default:
			return word, ""
		}
		found = true
	}
}

func (r *reader) take(prefix string) bool {
	if !strings.HasPrefix(r.rest, prefix) {
		return false
	}
	r.advance(len(prefix))
	return true
}

func (r *reader) advance(n int) {
	r.line += strings.Count(r.rest[:n], "\n")
	r.rest = r.rest[n:]
}

func (r *reader) peekLine() string {
	line, _, _ := strings.Cut(r.rest, "\n")
	return line
}

func (r *reader) takeLine() { r.advance(len(r.peekLine()) + 1) }

// arrayKeys are the keys that hold lists, sorted.
var arrayKeys = slices.Compact(slices.Sorted(slices.Values(slices.Concat(baseArrays, archArrays))))

// plainKey is the key without its architecture.
func plainKey(key string) string {
	_, plain := ruleOf(key)
	return plain
}
