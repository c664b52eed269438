package phases

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error is one fault of a release.yaml.
type Error struct {
	Name         string // the file, as [Load] was told
	Line, Column int    // counted from 1, the column in characters; 0 where the fault has no place
	Excerpt      string // the line, without what a terminal would act on
	Msg          string // what is wrong
	Hint         string // what to do; may be empty
}

// Error is one line: release.yaml:12:5: unknown key "formt" (did you mean "format"?).
func (e *Error) Error() string {
	s := e.Name
	if e.Line > 0 {
		s += fmt.Sprintf(":%d:%d", e.Line, e.Column)
	}
	if s != "" {
		s += ": "
	}
	s += e.Msg
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Context is the line with its number and a caret below the place, each line with a line feed at its end. It is empty
// where the fault has no place.
func (e *Error) Context() string {
	if e.Line == 0 {
		return ""
	}
	text, column := []rune(e.Excerpt), min(e.Column, utf8.RuneCountInString(e.Excerpt)+1)
	before, after := "", ""
	const width = 100 // of what is shown of a long line
	if len(text) > width {
		from := max(0, min(column-width/2, len(text)-width))
		if from > 0 {
			before = "..."
		}
		if from+width < len(text) {
			after = "..."
		}
		text, column = text[from:from+width], column-from+len(before)
	}
	number := fmt.Sprint(e.Line)
	return fmt.Sprintf("%s | %s%s%s\n%*s | %*s\n", number, before, string(text), after, len(number), "", column, "^")
}

// Errors is all that is wrong with a release.yaml, in the order of the file.
type Errors []*Error

// Error has one line for each fault.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives each fault to [errors.As].
func (es Errors) Unwrap() []error {
	out := make([]error, len(es))
	for i, e := range es {
		out[i] = e
	}
	return out
}

// most bounds how many faults are told of one file.
const most = 50

// or returns nil where there are no faults. Faults are sorted by place, and told once each.
func (es Errors) or() error {
	if len(es) == 0 {
		return nil
	}
	slices.SortStableFunc(es, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	es = slices.CompactFunc(es, func(a, b *Error) bool { return *a == *b })
	if len(es) > most {
		es = append(es[:most:most], &Error{Name: es[0].Name, Msg: "and more of this kind"})
	}
	return es
}

// excerpt makes a line fit to be shown, character for character.
func excerpt(line string) string {
	if strings.Contains(line, privateKey) {
		return "(not shown)"
	}
	return strings.Map(func(r rune) rune {
		if r == '\t' || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(line, "\ufffd"))
}

// quote shows a text that somebody else wrote: short, in one line, and nothing in it can move a cursor.
func quote(s string) string {
	const longest = 60
	if runes := []rune(s); len(runes) > longest {
		return fmt.Sprintf("%q...", string(runes[:longest]))
	}
	return fmt.Sprintf("%q", s)
}

// didYouMean is a hint where one of the names is nearly the word.
func didYouMean(word string, names []string) string {
	best, least := "", 1+min(len(word), 12)/3 // one slip for three letters
	if word = strings.ToLower(word); len(word) > 64 {
		return ""
	}
	for _, name := range slices.Sorted(slices.Values(names)) {
		if d := distance(word, strings.ToLower(name)); d < least {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// distance counts the letters to insert, remove, replace, or swap with their neighbour, that make b of a.
func distance(a, b string) int {
	var before, last []int
	next := make([]int, len(b)+1)
	for k := range next {
		next[k] = k
	}
	for i := range len(a) {
		before, last, next = last, next, make([]int, len(b)+1)
		next[0] = i + 1
		for k := range len(b) {
			cost := 1
			if a[i] == b[k] {
				cost = 0
			}
			next[k+1] = min(last[k+1]+1, next[k]+1, last[k]+cost)
			if i > 0 && k > 0 && a[i] == b[k-1] && a[i-1] == b[k] {
				next[k+1] = min(next[k+1], before[k-1]+1)
			}
		}
	}
	return next[len(b)]
}
