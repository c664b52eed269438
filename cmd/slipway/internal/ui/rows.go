package ui

import (
	"io"
	"strings"

	"github.com/imrightguy/slipway/pipeline/gate"
)

// Row is one finding of several: its sign, what it is about, and what was found.
type Row struct {
	Sign Cell
	Name string
	Text string
	Full bool // the text is wrapped where it does not fit, since people have to read it to its end
}

// Rows adds findings in columns. What is too long for the line is cut, or stands below its name.
func (p *Page) Rows(indent string, rows ...Row) {
	signs, names := 0, 0
	for _, r := range rows {
		signs, names = max(signs, cells(Clean(r.Sign.Text))), max(names, cells(Clean(r.Name)))
	}
	if p.width > 0 {
		names = min(names, max(8, p.width/2))
	}
	for _, r := range rows {
		text, name := Clean(r.Text), Clean(r.Name)
		start := Cell{Text: indent}
		sign := Cell{pad(Clean(r.Sign.Text), signs+2), r.Sign.Style}
		left := p.width - cells(indent) - signs - 2 - names - 2
		style := Dim
		if r.Full {
			style = Plain
		}
		switch {
		case text == "":
			p.Line(start, sign, Cell{Text: name})
		case p.width == 0 || !r.Full || cells(name) <= names && cells(text) <= left:
			if p.width > 0 {
				name = fit(name, names)
			}
			p.Line(start, sign, Cell{Text: pad(name, names+2)}, Cell{text, style})
		default:
			p.Line(start, sign, Cell{Text: name})
			deep := cells(indent) + signs + 4
			for _, line := range wrap(text, p.width-deep) {
				p.Whole(Cell{Text: strings.Repeat(" ", deep)}, Cell{line, style})
			}
		}
	}
}

// wrap breaks clean text into lines of at most n columns, between words where there is a place. Words that are longer,
// such as addresses, stay whole: they are there to be copied.
func wrap(s string, n int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(s) {
		switch {
		case line == "":
			line = word
		case cells(line)+1+cells(word) <= n:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}

// Verdict marks a finding that may be unknown.
func (p *Page) Verdict(v gate.Verdict) Cell { return verdictSign(v, p.signs) }

// Doing shows in a terminal what is being done at the moment, on a line that the next text replaces and "" takes away.
// Elsewhere it shows nothing.
func (u *UI) Doing(text string) {
	if u.JSON || u.err.size == nil {
		return
	}
	columns, _ := u.err.size()
	u.mu.Lock()
	defer u.mu.Unlock()
	line := "\r\x1b[K"
	if text != "" {
		line += paint(fit(u.signs.run+" "+Clean(text), columns-1), Dim, u.err.color)
	}
	_, _ = io.WriteString(u.err.w, line) // nobody is left to tell
}
