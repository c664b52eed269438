package archive

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Field is one field of a Debian control file. Line breaks in Value stand where continuation lines begin.
type Field struct{ Name, Value string }

// fieldRE is a field name of deb822(5): printable ASCII without colon, not beginning with - or #.
var fieldRE = regexp.MustCompile(`^[!-"$-,.-9;-~][!-9;-~]*$`)

// ParseControl reads a control file of one paragraph, as deb822(5) describes it: "Name: value" lines, and lines that go
// on with a space or tab. A field that is there twice, an empty line and a last line without end are errors.
func ParseControl(text []byte) ([]Field, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("not UTF-8")
	}
	if len(text) == 0 {
		return nil, errors.New("it is empty")
	}
	var fields []Field
	seen := map[string]bool{}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		fail := func(format string, args ...any) ([]Field, error) {
			return nil, fmt.Errorf("line %d: "+format, append([]any{n}, args...)...)
		}
		line, ended := strings.CutSuffix(line, "\n")
		switch {
		case !ended:
			return fail("has no end")
		case strings.ContainsFunc(line, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }):
			return fail("holds a control character")
		case strings.TrimLeft(line, " \t") == "":
			return fail("is empty")
		case line[0] == ' ' || line[0] == '\t':
			if len(fields) == 0 {
				return fail("goes on with nothing before it")
			}
			fields[len(fields)-1].Value += "\n" + line
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		switch key := strings.ToLower(name); {
		case !ok || !fieldRE.MatchString(name):
			return fail("want NAME: VALUE, found %.80q", line)
		case seen[key]:
			return fail("%s is there twice", name)
		default:
			seen[key] = true
			fields = append(fields, Field{name, strings.Trim(value, " \t")})
		}
	}
	return fields, nil
}

// PrintControl writes the fields as [ParseControl] reads them. What it would read in another way is an error.
func PrintControl(fields []Field) ([]byte, error) {
	var b strings.Builder
	for _, f := range fields {
		b.WriteString(f.Name + ": " + f.Value + "\n")
	}
	got, err := ParseControl([]byte(b.String()))
	if err == nil && !slices.Equal(got, fields) {
		err = errors.New("it would not read back the same")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write the control file: %w", err)
	}
	return []byte(b.String()), nil
}
