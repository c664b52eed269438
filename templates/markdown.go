package templates

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// marks are the characters that can begin markup inside of a line, in CommonMark 0.31 and in GitHub's dialect of it
// (strikethrough, tables, formulas). A backslash before any ASCII punctuation makes it literal (CommonMark 2.4).
const marks = "\\`*_[]<>#|~&$"

// Escape makes Markdown of one line that shows s: no markup, no HTML, no line break in it takes effect, neither inside
// of a line nor at its beginning. White space, control characters and what would change the direction of text become
// spaces, one for each run; bytes that are not UTF-8 become U+FFFD.
func Escape(s string) string {
	text := line(s)
	var b strings.Builder
	for i, r := range text {
		if r < utf8.RuneSelf && strings.ContainsRune(marks, r) || i == 0 && strings.ContainsRune("-+=", r) || i == numbered(text) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// numbered returns where in a text that begins like a numbered list (CommonMark 5.2) its full stop or bracket is, else -1.
func numbered(text string) int {
	i := len(text) - len(strings.TrimLeft(text, "0123456789"))
	if i > 0 && i < len(text) && strings.ContainsRune(".)", rune(text[i])) && (i+1 == len(text) || text[i+1] == ' ') {
		return i
	}
	return -1
}

// line makes one line of clean text.
func line(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp) || r == '\ufeff' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	return strings.Join(strings.Fields(s), " ")
}
