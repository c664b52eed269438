package ui

import (
	"fmt"
	"strings"
)

// Style is how a piece of text looks where colours are shown. It never carries meaning alone.
type Style string

// The styles, as parameters of ECMA-48's SGR sequence.
const (
	Plain  Style = ""
	Bold   Style = "1"
	Dim    Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
	Cyan   Style = "36"
)

// Cell is one piece of a line.
type Cell struct {
	Text  string
	Style Style
}

// Page is what a command shows to people. All text that is put on it is made harmless first.
type Page struct {
	b      strings.Builder
	color  bool
	signs  signs
	width  int // columns; 0 where lines may be of any length
	height int // lines; 0 where there may be any number
	all    bool
}

func paint(s string, style Style, color bool) string {
	if !color || style == Plain || s == "" {
		return s
	}
	return "\x1b[" + string(style) + "m" + s + "\x1b[0m"
}

// Line adds a line of pieces.
func (p *Page) Line(pieces ...Cell) {
	left := p.width
	for _, c := range pieces {
		text := Clean(c.Text)
		if p.width > 0 {
			text = fit(text, left)
			left -= cells(text)
		}
		p.b.WriteString(paint(text, c.Style, p.color))
	}
	p.b.WriteByte('\n')
}

// Whole adds a line of pieces that is never cut, for what people are to read or copy to its end.
func (p *Page) Whole(pieces ...Cell) {
	for _, c := range pieces {
		p.b.WriteString(paint(Clean(c.Text), c.Style, p.color))
	}
	p.b.WriteByte('\n')
}

// Printf adds text; its string arguments are made harmless, its format is trusted. Long lines are not cut.
func (p *Page) Printf(format string, args ...any) { fmt.Fprintf(&p.b, format, clean(args)...) }

// Table adds rows in columns; the last column is cut to what is left of the line.
func (p *Page) Table(indent string, rows ...[]Cell) {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(row)-1 {
				break // what follows nothing needs no width
			}
			for len(widths) <= i {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], cells(Clean(c.Text)))
		}
	}
	if p.width > 0 { // a single long name must not push everything else off the screen
		for i := range widths {
			widths[i] = min(widths[i], max(8, p.width/2))
		}
	}
	for _, row := range rows {
		line := []Cell{{Text: indent}}
		for i, c := range row {
			text := Clean(c.Text)
			if i < len(row)-1 {
				if p.width > 0 {
					text = fit(text, widths[i])
				}
				text = pad(text, widths[i]+2)
			}
			line = append(line, Cell{text, c.Style})
		}
		for len(line) > 1 && strings.TrimSpace(line[len(line)-1].Text) == "" {
			line = line[:len(line)-1]
		}
		last := &line[len(line)-1]
		last.Text = strings.TrimRight(last.Text, " ")
		p.Line(line...)
	}
}

// Gap adds an empty line, unless the page is empty or ends in one.
func (p *Page) Gap() {
	if s := p.b.String(); s != "" && !strings.HasSuffix(s, "\n\n") {
		p.b.WriteByte('\n')
	}
}

// signs are the marks in front of things, in Unicode or in ASCII.
type signs struct{ ok, fail, unknown, none, run, wait, arrow string }

var (
	unicodeSigns = signs{"✓", "✗", "?", "·", "▸", "◦", "→"}
	asciiSigns   = signs{"ok", "!!", "??", "--", ">>", "..", "->"}
)

// All reports whether everything is wanted instead of what fits a screen.
func (p *Page) All() bool { return p.all }

// Sign marks a finding. What is missing and not needed is marked as such.
func (p *Page) Sign(ok, needed bool) Cell {
	switch {
	case ok:
		return Cell{p.signs.ok, Green}
	case needed:
		return Cell{p.signs.fail, Red}
	}
	return Cell{p.signs.none, Yellow}
}

// Arrow points from one thing to another.
func (p *Page) Arrow() string { return p.signs.arrow }
