package templates

import (
	"regexp"
	"strings"
)

// gap is a zero width space. GitHub looks for names and numbers in the text that Markdown has become, so a backslash
// does not keep it from making a link of them; a gap inside does.
const gap = "\u200b"

// links finds where GitHub begins to make a link by itself ("Autolinked references and URLs"; the autolinks extension of
// its dialect, 6.9): people and teams, issues of this repository and of others, addresses. A gap behind each undoes it.
var links = regexp.MustCompile(`(?i)@|#|\bgh-|:/|www`)

// Plain is [Escape] for a text that GitHub shows: it mentions nobody and links nowhere either.
func Plain(s string) string {
	s = links.ReplaceAllStringFunc(line(s), func(m string) string { return m[:len(m)-tail[m]] + gap + m[len(m)-tail[m]:] })
	return strings.ReplaceAll(Escape(s), gap, "&#8203;")
}

// tail is how much of a match stands behind the gap.
var tail = map[string]int{":/": 1}
