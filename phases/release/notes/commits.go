package notes

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/templates"
)

// groups are the headings, in order, and the conventional types below them (Conventional Commits 1.0.0, the Angular
// convention, and what people write for them). The first is for breaking changes of any type, the last for all others.
var groups = []struct {
	title string
	types []string
}{
	{"Breaking changes", nil},
	{"Security", []string{"security", "sec"}},
	{"Features", []string{"feat", "feature"}},
	{"Fixes", []string{"fix", "bugfix", "hotfix"}},
	{"Performance", []string{"perf"}},
	{"Reverts", []string{"revert"}},
	{"Documentation", []string{"docs", "doc"}},
	{"Other changes", []string{"refactor", "style", "test", "tests", "build", "ci", "chore", "deps", "i18n", "wip"}},
}

// group is the place of a type in groups; known is false for words that only look like one.
func group(kind string) (at int, known bool) {
	for i, g := range groups {
		if slices.Contains(g.types, kind) {
			return i, true
		}
	}
	return len(groups) - 1, false
}

// change is what a commit's message says.
type change struct {
	subject  string // as it was written, without number
	kind     string // conventional type in lower case; empty where there is none
	scope    string
	text     string // the subject without type, scope and number
	breaking bool
	note     string // what is breaking
	pull     string // number of the pull request
	reverts  string // ID of the commit that it takes back
}

var (
	// conventional is Conventional Commits 1.0.0, 1 to 5 and 13: type, scope in brackets, !, colon and space.
	conventional = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_-]*)(?:\(([^()]*)\))?(!)?:\s+(\S.*)$`)
	// pullRE is what GitHub puts behind the subject of a squashed pull request.
	pullRE = regexp.MustCompile(`\s*\(#([1-9][0-9]{0,8})\)$`)
	// mergedRE is GitHub's subject of a merged pull request, whose title is the body's first line.
	mergedRE = regexp.MustCompile(`^Merge pull request #([1-9][0-9]{0,8}) from \S+$`)
	// breakingRE is the footer of 1.0.0, 8, 9, 12 and 16.
	breakingRE = regexp.MustCompile(`^BREAKING[ -]CHANGE(?:: | #)\s*(.*)$`)
	// footerRE is any footer, where the one before ends (1.0.0, 8 to 10).
	footerRE = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*(?:: | #)\S`)
	// revertRE is the body that git revert writes.
	revertRE = regexp.MustCompile(`(?m)^This reverts commit ([0-9a-f]{40})\b`)
	// releaseRE is a subject that says no more than that a version was made.
	releaseRE = regexp.MustCompile(`(?i)^(?:(?:chore|build|release|ci)(?:\([^()]*\))?: *)?(?:(?:prepare|cut|bump|update|tag|set)(?: the)? )?(?:(?:release|version)(?: (?:to|of|from \S+ to))?:? *)?v?[0-9]+\.[0-9]+\.[0-9]+(?:[-+.][0-9A-Za-z.+-]*)?$`)
	// fixupRE is what was meant to be melted into another commit.
	fixupRE = regexp.MustCompile(`^(?:fixup|squash|amend)! `)
)

// parse reads a commit's message.
func parse(c repo.Change) change {
	subject := c.Subject
	ch := change{}
	if m := mergedRE.FindStringSubmatch(subject); m != nil && c.Parents > 1 {
		title, _, _ := strings.Cut(c.Body, "\n")
		if title = strings.TrimSpace(title); title != "" {
			ch.pull, subject = m[1], title
		}
	}
	if m := pullRE.FindStringSubmatch(subject); m != nil {
		ch.pull = m[1]
		subject = strings.TrimSuffix(subject, m[0])
	}
	ch.subject, ch.text = subject, subject
	if m := conventional.FindStringSubmatch(ch.text); m != nil {
		kind := strings.ToLower(m[1])
		ch.breaking = m[3] != ""
		if _, known := group(kind); known {
			ch.kind, ch.scope, ch.text = kind, strings.TrimSpace(m[2]), m[4]
		}
	}
	if note, ok := breakingNote(c.Body); ok {
		ch.breaking, ch.note = true, note
	}
	if m := revertRE.FindStringSubmatch(c.Body); m != nil && (ch.kind == "revert" || strings.HasPrefix(subject, `Revert "`) || strings.HasPrefix(subject, `Reapply "`)) {
		ch.reverts = m[1]
		ch.kind = "revert"
	}
	return ch
}

// breakingNote reads the footer that says what is breaking: up to an empty line, the next footer, or more than is shown.
func breakingNote(body string) (note string, ok bool) {
	for l := range strings.Lines(body) {
		l = strings.TrimSpace(l)
		switch m := breakingRE.FindStringSubmatch(l); {
		case len(note) > 4*maxNote: // four bytes at most make a character
			return note, ok
		case m != nil && !ok:
			note, ok = m[1], true
		case m != nil:
			note += "; " + m[1]
		case ok && (l == "" || footerRE.MatchString(l)):
			return note, ok
		case ok:
			note += " " + l
		}
	}
	return note, ok
}

const (
	// maxText and maxNote bound what is shown of a subject and of a footer, in characters.
	maxText = 300
	maxNote = 1000
	// maxChanges bounds how many changes a group keeps.
	maxChanges = mostLines
)

// clip shortens a text to most characters.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	n := 0
	for i := range s {
		if n++; n == most {
			return strings.TrimSpace(s[:i]) + "…"
		}
	}
	return s
}

// pending is a change with its commit.
type pending struct {
	change
	id string
}

// fromCommits groups the changes of a range. Left out are merges, commits that make a release or belong into another
// one, what was taken back within the range together with what took it back, and the same change a second time.
func fromCommits(ctx context.Context, r *repo.Repo, c Config, in repo.Range) (all []templates.NotesGroup, count int, err error) {
	excluded, err := excludes(c.Exclude)
	if err != nil {
		return nil, 0, err
	}
	var list []pending
	gone := map[string]bool{}    // commits that a later one takes back
	settled := map[string]bool{} // of these, the ones in the range
	for got, err := range r.History(ctx, in) {
		if err != nil {
			return nil, 0, err
		}
		if gone[got.ID] { // whatever it takes back is there again
			settled[got.ID] = true
			continue
		}
		ch := parse(got)
		merge := got.Parents > 1 && (!c.FirstParent || strings.HasPrefix(ch.subject, "Merge "))
		if merge || releaseRE.MatchString(ch.subject) || fixupRE.MatchString(ch.subject) {
			continue
		}
		if ch.reverts != "" {
			gone[ch.reverts] = true
		}
		if !excluded(ch) {
			ch.subject = ""
			ch.scope, ch.text, ch.note = clip(ch.scope, maxText), clip(ch.text, maxText), clip(ch.note, maxNote)
			list = append(list, pending{ch, got.ID})
		}
	}
	byGroup := make([]templates.NotesGroup, len(groups))
	seen := map[templates.NotesChange]bool{}
	for _, p := range list {
		if p.reverts != "" && settled[p.reverts] {
			continue
		}
		at, _ := group(p.kind)
		if p.breaking {
			at = 0
		}
		out := templates.NotesChange{Scope: p.scope, Text: p.text, Note: p.note}
		if seen[out] {
			continue
		}
		seen[out] = true
		out.Ref = repo.Short(p.id)
		if p.pull != "" {
			out.Ref = "#" + p.pull
		}
		count++
		if g := &byGroup[at]; len(g.Changes) < maxChanges {
			g.Title = groups[at].title
			g.Changes = append(g.Changes, out)
		} else {
			g.More++
		}
	}
	for _, g := range byGroup {
		if len(g.Changes) > 0 {
			all = append(all, g)
		}
	}
	return all, count, nil
}
