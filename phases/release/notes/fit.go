package notes

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/imrightguy/slipway/templates"
)

// Limit is how many characters notes have at most. GitHub refuses a body of more than 125,000 ("body is too long
// (maximum is 125000 characters)"); the rest is room for what publishing adds.
const Limit = 124_000

// mostLines is more changes than can ever fit: the shortest line has 19 characters, its commit's ID among them.
const mostLines = 8000

// length counts characters. What lies beyond the first plane counts twice, as it does where texts are UTF-16.
func length(s string) int {
	n := utf8.RuneCountInString(s)
	for _, r := range s {
		if r > 0xffff {
			n++
		}
	}
	return n
}

// fit fills in the template, with as many changes as there is room for, the least important left out first.
func fit(fill func(templates.Notes) (string, error), data templates.Notes, more string) (string, error) {
	all := 0
	for _, g := range data.Groups {
		all += len(g.Changes)
	}
	with := func(n int) templates.Notes {
		short := data
		short.Groups = slices.Clone(data.Groups)
		for i := range short.Groups {
			g := &short.Groups[i]
			keep := min(n, len(g.Changes))
			g.More += len(g.Changes) - keep
			g.Changes = g.Changes[:keep]
			n -= keep
		}
		return short
	}
	if all > mostLines {
		data = with(mostLines)
	}
	text, err := fill(data)
	if err != nil || length(text) <= Limit {
		return text, err
	}
	// The length grows with the number of changes: find the largest number that fits. It is less than the number of those
	// whose texts alone would.
	low, high, room := 0, 0, Limit
	for _, g := range data.Groups {
		for _, c := range g.Changes {
			if room -= length(c.Text); room > 0 {
				high++
			}
		}
	}
	for low < high {
		middle := (low + high + 1) / 2
		t, err := fill(with(middle))
		if err != nil {
			return "", err
		}
		if length(t) <= Limit {
			low = middle
		} else {
			high = middle - 1
		}
	}
	if text, err = fill(with(low)); err != nil {
		return "", err
	}
	if data.Compare != "" {
		more = data.Compare
	}
	return cut(text, more), nil
}

// cut ends a text at a line or, where lines are long, at a word or a character, so that it has no more than Limit
// characters, and says where the rest is.
func cut(text, more string) string {
	if length(text) <= Limit {
		return text
	}
	tail := "\n\n*The rest is too long for this page.*\n"
	if more != "" {
		tail = "\n\n*The rest is too long for this page:* " + more + "\n"
	}
	room := Limit - length(tail) - 100 // 100 for the end of what is left open
	end, n := 0, 0
	for i, r := range text {
		if n++; r > 0xffff {
			n++
		}
		if n > room {
			break
		}
		end = i + utf8.RuneLen(r)
	}
	head := text[:end]
	if at := strings.LastIndexByte(head, '\n'); at > end-4000 && at > 0 {
		head = head[:at]
	} else if at := strings.LastIndexByte(head, ' '); at > end-4000 && at > 0 {
		head = head[:at]
	}
	return strings.TrimRight(templates.Closed(head), "\n") + tail
}
