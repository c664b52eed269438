package phases

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The bounds of a release.yaml. The YAML library needs time and memory with the square of the depth, of the keys of a
// mapping and of the empty lines in a row (goccy/go-yaml v1.19.2: 100 kB of opening brackets take minutes and
// gigabytes, 30 kB of empty lines 2 GB), so it is not asked to read a file beyond them.
const (
	maxSize   = 1 << 20 // bytes
	maxDepth  = 64      // levels of lists and mappings
	maxLines  = 20_000
	maxEmpty  = 100     // empty lines in a row
	maxSigns  = 100_000 // characters that mean something in YAML
	maxTokens = 30_000  // words and signs
	maxKeys   = 1_000   // in one mapping
)

// A source is the text of a release.yaml, and where in it each value stands.
type source struct {
	name  string
	lines []string
	at    map[string]place // by path, like packages[2].format

	shown   int    // the line that excerpt is of
	excerpt string // as it is shown
}

// A place is a line and a column, counted from 1. The zero place is the file as a whole.
type place struct{ line, column int }

func (s *source) error(at place, hint, format string, args ...any) *Error {
	e := &Error{Name: s.name, Line: at.line, Column: at.column, Msg: fmt.Sprintf(format, args...), Hint: hint}
	if at.line > 0 && at.line <= len(s.lines) {
		if s.shown != at.line { // one long line can have many faults
			s.shown, s.excerpt = at.line, excerpt(s.lines[at.line-1])
		}
		e.Excerpt = s.excerpt
		e.Column = max(1, min(at.column, utf8.RuneCountInString(s.lines[at.line-1])+1))
	}
	return e
}

// faults collects what is wrong with a source.
type faults struct {
	*source
	errs Errors
}

// full reports whether there are more faults than will be told.
func (f *faults) full() bool { return len(f.errs) > most }

func (f *faults) fail(at place, hint, format string, args ...any) {
	if !f.full() {
		f.errs = append(f.errs, f.error(at, hint, format, args...))
	}
}

// read checks the text and parses it, for nothing but lists, mappings and scalars: no anchors, aliases, tags, merge
// keys, directives or further documents. The node is nil for a file without content.
func (s *source) read(content []byte) (ast.Node, error) {
	if err := s.check(content); err != nil {
		return nil, err
	}
	tokens := lexer.Tokenize(strings.Join(s.lines, "\n"))
	if err := s.checkTokens(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // we tell of duplicate keys, with both places
	if err != nil {
		return nil, Errors{s.syntax(err)}
	}
	var root ast.Node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case root != nil:
			return nil, Errors{s.error(s.place(doc.Body.GetToken()), "put it into a file of its own", "a second document begins here")}
		default:
			root = doc.Body
		}
	}
	return root, nil
}

// check looks at the bytes before the library sees them, and splits them into lines. A line may end in CR LF.
func (s *source) check(content []byte) error {
	fail := func(at place, hint, format string, args ...any) error {
		return Errors{s.error(at, hint, format, args...)}
	}
	switch {
	case len(content) > maxSize:
		return fail(place{}, "", "it has %d bytes: at most %d are read", len(content), maxSize)
	case bytes.HasPrefix(content, []byte("\ufeff")):
		return fail(place{1, 1}, "save it as UTF-8 without BOM", "it begins with a byte order mark")
	case bytes.HasPrefix(content, []byte("\xff\xfe")), bytes.HasPrefix(content, []byte("\xfe\xff")):
		return fail(place{}, "save it as UTF-8", "it is in UTF-16")
	}
	lines := strings.Split(string(content), "\n")
	if len(lines) > maxLines {
		return fail(place{}, "", "it has %d lines: at most %d are read", len(lines), maxLines)
	}
	depth, empty, signs := 0, 0, 0
	for i, l := range lines {
		l = strings.TrimSuffix(l, "\r")
		lines[i] = l
		s.lines = lines[:i+1]
		if empty++; strings.TrimLeft(l, " \t") != "" {
			empty = 0
		}
		if empty > maxEmpty {
			return fail(place{i + 1, 1}, "", "more than %d empty lines in a row", maxEmpty)
		}
		if strings.Contains(l, privateKey) { // errors would show parts of it
			return fail(place{i + 1, 1}, "take it out, and replace that key everywhere", "a private key stands here")
		}
		if at, what := badRune(l); what != "" {
			return fail(place{i + 1, 1 + utf8.RuneCountInString(l[:at])}, "", "%s", what)
		}
		// Counting brackets in quotes and comments too can be fooled, and spares the library no more than a
		// plain accident or attack; checkTokens counts what the parser would see.
		for k, c := range []byte(l) {
			switch c {
			case '[', '{':
				depth++
			case ']', '}':
				depth = max(0, depth-1)
			}
			if depth > maxDepth {
				return fail(place{i + 1, 1 + utf8.RuneCountInString(l[:k])}, "", "more than %d brackets are open", maxDepth)
			}
			if isSign[c] {
				signs++
			}
		}
		if signs > maxSigns {
			return fail(place{i + 1, 1}, "", "more than %d brackets, commas, colons and the like", maxSigns)
		}
	}
	return nil
}

// privateKey is in the first line of every kind of private key in PEM (RFC 7468, OpenSSH's PROTOCOL.key).
const privateKey = "PRIVATE KEY-----"

// isSign marks the indicator characters of YAML 1.2.2, 5.3.
var isSign = func() (is [256]bool) {
	for _, c := range []byte("-?:,[]{}#&*!|>'\"%@`") {
		is[c] = true
	}
	return is
}()

// badRune finds what a text may not hold: bytes that are not UTF-8, control characters but tabs, and characters that
// show a reader another text than a program reads.
func badRune(s string) (at int, what string) {
	for i, r := range s {
		switch {
		case r >= ' ' && r < 0x7f: // nearly all
		case r == utf8.RuneError && strings.HasPrefix(s[i:], "\ufffd"):
		case r == utf8.RuneError:
			return i, fmt.Sprintf("byte %#02x is not UTF-8", s[i])
		case r == '\t' || r == '\n':
		case unicode.IsControl(r), unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control), r == '\ufeff':
			return i, fmt.Sprintf("character %U is not allowed", r)
		}
	}
	return 0, ""
}

func (s *source) place(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{}
	}
	return place{max(1, min(t.Position.Line, len(s.lines))), t.Position.Column}
}

// refused are the parts of YAML that a release.yaml has no use for.
var refused = map[token.Type]string{
	token.AnchorType: "anchors (&)", token.AliasType: "aliases (*)", token.TagType: "tags (!)", token.MergeKeyType: "merge keys (<<)",
	token.DirectiveType: "directives (%)", token.MappingKeyType: "keys after a question mark",
}

// checkTokens counts words and depth as the parser will see them, and refuses what is not for a release.yaml.
func (s *source) checkTokens(tokens token.Tokens) error {
	f := faults{source: s}
	if len(tokens) > maxTokens {
		f.fail(place{}, "", "it has %d words and signs: at most %d are read", len(tokens), maxTokens)
		return f.errs.or()
	}
	flow := 0
	var open []level // lists and mappings outside of brackets
	for _, t := range tokens {
		at := s.place(t)
		if what, bad := refused[t.Type]; bad {
			f.fail(at, "put it in quotes if it is meant as text", "%s are not accepted", what)
		}
		switch t.Type {
		case token.InvalidType:
			f.fail(at, "", "not valid YAML: %s", message(t.Error))
			return f.errs.or()
		case token.DoubleQuoteType:
			if at, bad := s.badEscape(at); bad != "" {
				f.fail(at, `write \\ for a backslash`, "not valid YAML: %s stands for no character", message(bad))
			}
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow = max(0, flow-1)
		case token.DocumentHeaderType:
			open = nil
		case token.SequenceEntryType, token.MappingValueType:
			column := at.column
			if t.Type == token.MappingValueType && t.Prev != nil {
				column = s.place(t.Prev).column
			}
			if flow > 0 {
				break
			}
			for len(open) > 0 && open[len(open)-1].column > column {
				open = open[:len(open)-1]
			}
			if len(open) == 0 || open[len(open)-1].column < column {
				open = append(open, level{column: column})
			}
			last := &open[len(open)-1]
			if t.Type == token.MappingValueType {
				last.keys++
			}
			if last.keys > maxKeys {
				f.fail(at, "", "more than %d keys in one mapping", maxKeys)
				return f.errs.or()
			}
		}
		if flow+len(open) > maxDepth {
			f.fail(at, "", "more than %d levels of lists and mappings", maxDepth)
			return f.errs.or()
		}
	}
	return f.errs.or()
}

// escape is what may follow in double quotes (YAML 1.2.2, 5.7).
var escape = regexp.MustCompile(`^\\(?:[0abt\tnvfre "/\\N_LP]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|$)`)

// badEscape finds a backslash with what is no escape in the double-quoted text that begins at a place. The library
// makes some character of it, and does not keep what was written.
func (s *source) badEscape(begin place) (at place, what string) {
	column := begin.column + 1
	for i := begin.line; i <= len(s.lines); i++ {
		text := []rune(s.lines[i-1])
		for column <= len(text) {
			rest := string(text[column-1 : min(len(text), column+9)])
			if rest[0] == '"' {
				return place{}, ""
			}
			n := 1
			if rest[0] == '\\' {
				if n = len(escape.FindString(rest)); n == 0 {
					return place{i, column}, string(text[column-1 : column+1])
				}
			}
			column += n
		}
		column = 1
	}
	return place{}, ""
}

// level is a list or mapping by the column that it is indented to, and the keys that it has had.
type level struct{ column, keys int }

// syntax turns an error of the library into ours.
func (s *source) syntax(err error) *Error {
	var ye yaml.Error
	if !errors.As(err, &ye) {
		return s.error(place{}, "", "not valid YAML: %s", message(err.Error()))
	}
	return s.error(s.place(ye.GetToken()), "", "not valid YAML: %s", message(ye.GetMessage()))
}

// message makes one short line of what the library says, which may quote the file.
func message(text string) string {
	text = strings.Join(strings.Fields(excerpt(strings.ReplaceAll(text, "\t", `\t`))), " ")
	if runes := []rune(text); len(runes) > 240 {
		text = string(runes[:240]) + "..."
	}
	if text == "" {
		return "it cannot be read"
	}
	return text
}
