package notes

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/templates"
)

// heading is a heading of a Markdown text.
type heading struct {
	level   int
	text    string
	version string // as it is written at its beginning, without v; empty for none
	from    int    // the line it begins in, counted from 0
	to      int    // the line behind it
}

var (
	// atxRE and setextRE are the two kinds of headings (CommonMark 4.2, 4.3).
	atxRE    = regexp.MustCompile(`^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$`)
	setextRE = regexp.MustCompile(`^ {0,3}(=+|-+)[ \t]*$`)
	// notParagraph is a line that cannot be the text of a setext heading: of a list, a quote, a table, code, HTML.
	notParagraph = regexp.MustCompile("^(?: {4}|\t| {0,3}(?:[-+*][ \t]|[0-9]+[.)][ \t]|>|\\||<))")
	// versionRE is a version at the beginning of a heading, in brackets or not, also behind the word Version (Keep a
	// Changelog 1.1.0; the forms of conventional-changelog).
	versionRE = regexp.MustCompile(`^(?:(?:[Vv]ersion|[Rr]elease)[: ]+)?[\[(]?v?(` + versionForm + `)(?:[\])\s,:;/–—-]|$)`)
	// productRE is a version behind the name of a product, with nothing but a date after it.
	productRE = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._/@-]* v?(` + versionForm + `)(?:\s*[-–—(,:/].*)?$`)
	// unreleasedRE is the heading of what is to come.
	unreleasedRE = regexp.MustCompile(`(?i)^\[?(?:unreleased|next|upcoming)\b`)
	// definitionRE defines an address for links (CommonMark 4.7).
	definitionRE = regexp.MustCompile(`^ {0,3}\[([^\]\[]+)\]:[ \t]*\S`)
)

const versionForm = `[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]*[0-9A-Za-z])?(?:\+[0-9A-Za-z.-]+)?`

// headings finds the headings of a text, which is given by its lines; not those in code blocks and comments.
func headings(lines []string) (all []heading) {
	fenced, _ := templates.Fences(lines)
	hidden := comments(lines, fenced)
	add := func(level int, text string, from, to int) {
		text = strings.TrimSpace(text)
		h := heading{level: level, text: text, from: from, to: to}
		text = strings.ReplaceAll(text, "`", "")
		if m := versionRE.FindStringSubmatch(text); m != nil {
			h.version = m[1]
		} else if m := productRE.FindStringSubmatch(text); m != nil && level < 3 {
			h.version = m[1]
		}
		all = append(all, h)
	}
	for i, l := range lines {
		if fenced[i] || hidden[i] {
			continue
		}
		if m := atxRE.FindStringSubmatch(l); m != nil {
			add(len(m[1]), m[2], i, i+1)
			continue
		}
		m := setextRE.FindStringSubmatch(l)
		taken := len(all) > 0 && all[len(all)-1].to >= i // the line above belongs to a heading already
		if m == nil || i == 0 || taken || fenced[i-1] || hidden[i-1] || strings.TrimSpace(lines[i-1]) == "" || atxRE.MatchString(lines[i-1]) || notParagraph.MatchString(lines[i-1]) {
			continue
		}
		level := 1
		if m[1][0] == '-' {
			level = 2
		}
		add(level, lines[i-1], i-1, i+1)
	}
	return all
}

// comments tells which lines lie in an HTML comment that is not closed in its first line.
func comments(lines []string, fenced []bool) []bool {
	in, open := make([]bool, len(lines)), false
	for i, l := range lines {
		in[i] = open
		if open {
			open = !strings.Contains(l, "-->")
		} else if at := strings.LastIndex(l, "<!--"); at >= 0 && !fenced[i] {
			open = !strings.Contains(l[at:], "-->")
		}
	}
	return in
}

var commentRE = regexp.MustCompile(`(?s)<!--.*?(?:-->|$)`)

// withoutComments removes what no reader sees.
func withoutComments(s string) string { return commentRE.ReplaceAllString(s, "") }

// section returns what a changelog says of a version, without the heading, and with the addresses of its links that are
// defined elsewhere. A build number counts only where the changelog writes one.
func section(content string, v version.Version) (string, error) {
	lines := strings.Split(content, "\n")
	all := headings(lines)
	at := -1
	for i, h := range all {
		w, err := version.Parse(h.version)
		if err != nil || w.Release() != v.Release() || w.Build != "" && !version.SameBuild(w.Build, v.Build) {
			continue
		}
		if at >= 0 {
			return "", fmt.Errorf("version %s has two sections, in lines %d and %d", v.Release(), all[at].from+1, h.from+1)
		}
		at = i
	}
	if at < 0 {
		return "", fmt.Errorf("there is no section for version %s; want a heading like ## [%[1]s] - DATE; %s", v.Release(), listed(all))
	}
	to := len(lines)
	for _, h := range all[at+1:] {
		// Where versions have deep headings, those of their parts may be as deep: ### 3.2.1, then ### Bug Fixes.
		own := all[at].level
		if h.version != "" && h.level <= max(own, 3) || h.level < own || h.level == own && own < 3 || unreleasedRE.MatchString(h.text) {
			to = h.from
			break
		}
	}
	body := strings.Trim(strings.Join(lines[all[at].to:to], "\n"), "\n")
	return withDefinitions(body, lines), nil
}

// listed names the headings that were found, the first ones.
func listed(all []heading) string {
	if len(all) == 0 {
		return "there are no headings"
	}
	const most = 10
	var names []string
	for _, h := range all {
		if h.version == "" && !unreleasedRE.MatchString(h.text) {
			continue
		}
		names = append(names, strconv.QuoteToASCII(clip(h.text, 60)))
	}
	if len(names) == 0 { // no versions at all
		for _, h := range all {
			names = append(names, strconv.QuoteToASCII(clip(h.text, 60)))
		}
	}
	rest := ""
	if len(names) > most {
		rest = fmt.Sprintf(" and %d more", len(names)-most)
		names = names[:most]
	}
	return "there are " + strings.Join(names, ", ") + rest
}

// withDefinitions leaves out the definitions of addresses that the body does not use, and appends those that it uses
// and the changelog defines elsewhere.
func withDefinitions(body string, lines []string) string {
	fenced, _ := templates.Fences(lines)
	used := strings.ToLower(strings.Join(strings.Fields(body), " "))
	var kept, appended []string
	in, _ := templates.Fences(strings.Split(body, "\n"))
	for i, l := range strings.Split(body, "\n") {
		if in[i] || !definitionRE.MatchString(l) {
			kept = append(kept, l)
		}
	}
	seen := map[string]bool{}
	for i, l := range lines {
		m := definitionRE.FindStringSubmatch(l)
		if m == nil || fenced[i] {
			continue
		}
		label := strings.ToLower(strings.Join(strings.Fields(m[1]), " "))
		if uses := strings.Count(used, "["+label+"]") - strings.Count(used, "["+label+"]:"); !seen[label] && uses > 0 {
			seen[label] = true
			appended = append(appended, strings.TrimSpace(l))
		}
	}
	body = strings.Trim(strings.Join(kept, "\n"), "\n")
	if len(appended) > 0 {
		body += "\n\n" + strings.Join(appended, "\n")
	}
	return body
}
