package inspect

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// report collects differences.
type report struct {
	subjects []input
	name     string // of what was looked at, for the summary; "": the first subject's
	expected string
	passed   string // one line for people
	shown    []string
	total    int
}

// How much evidence shows: the first differences, each cut to a length, and the number of all.
const (
	maxShown = 5
	maxText  = 300
)

func (r *report) differences(list ...string) {
	for _, d := range list {
		if r.total++; len(r.shown) < maxShown {
			r.shown = append(r.shown, line(d))
		}
	}
}

// only makes one difference of all.
func (r *report) only(d string) { r.shown, r.total = []string{line(d)}, 1 }

// evidence is the verdict.
func (r *report) evidence() pipeline.Evidence {
	e := pipeline.Evidence{Verdict: gate.Pass, Expected: r.expected, Found: r.expected, Summary: r.passed, Subjects: map[string]string{}}
	for _, s := range r.subjects {
		e.Subjects[s.artifact.Name] = s.artifact.SHA256
	}
	if r.total > 0 {
		e.Verdict, e.Found = gate.Fail, strings.Join(r.shown, "; ")
		if more := r.total - len(r.shown); more > 0 {
			e.Found += fmt.Sprintf("; and %d more of %d differences", more, r.total)
		}
		name := r.name
		if name == "" {
			name = r.subjects[0].artifact.Name
		}
		e.Summary = fmt.Sprintf("%s: %s", name, e.Found)
	}
	return e
}

// line makes a short line of plain text of what may come out of a stranger's file.
func line(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "..."
	}
	return s
}
