package ui

import (
	"strconv"
	"strings"
	"testing"
)

// screen is a terminal of a fixed width that understands what this package writes, and nothing else.
type screen struct {
	t       testing.TB
	columns int
	lines   []string
	row     int
	raw     strings.Builder
	writes  int
}

func (s *screen) size() (int, int) { return s.columns, 24 }

func (s *screen) Write(b []byte) (int, error) {
	s.writes++
	s.raw.Write(b)
	text := string(b)
	for text != "" {
		switch {
		case text[0] == '\n':
			s.row++
			text = text[1:]
		case text[0] == '\r':
			text = text[1:]
		case strings.HasPrefix(text, "\x1b["):
			end := strings.IndexAny(text, "AJm")
			if end < 0 {
				s.t.Fatalf("an escape sequence of another kind: %q", text)
			}
			n, _ := strconv.Atoi(text[2:end])
			switch text[end] {
			case 'A':
				if s.row -= n; s.row < 0 {
					s.t.Fatalf("the cursor left the screen: %q", s.raw.String())
				}
			case 'J':
				s.lines = s.lines[:min(s.row, len(s.lines))]
			}
			text = text[end+1:]
		case text[0] < ' ':
			s.t.Fatalf("a control character: %q", text)
		default:
			end := strings.IndexAny(text, "\n\r\x1b")
			if end < 0 {
				end = len(text)
			}
			for len(s.lines) <= s.row {
				s.lines = append(s.lines, "")
			}
			s.lines[s.row] += text[:end]
			if w := cells(s.lines[s.row]); w > s.columns {
				s.t.Fatalf("a line of %d columns wraps: %q", w, s.lines[s.row])
			}
			text = text[end:]
		}
	}
	return len(b), nil
}

func (s *screen) String() string {
	lines := append([]string(nil), s.lines...)
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
