package ui

import (
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/imrightguy/slipway/pipeline"
)

// annotations prints a run as GitHub's workflow commands (docs.github.com, "Workflow commands for GitHub Actions"):
// a group for each step, written when it has ended since steps run side by side, and an annotation for what went wrong.
type annotations struct {
	u     *UI
	mu    sync.Mutex
	tale  *tale
	notes map[string][]string // what running steps have said
}

// maxNotes bounds what is kept of one step's progress.
const maxNotes = 500

// Observe prints what a record has led to.
func (a *annotations) Observe(r pipeline.Record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	took := a.tale.follow(r)
	if r.Event == pipeline.Progress {
		if r.Text != "" && len(a.notes[r.Step]) < maxNotes {
			a.notes[r.Step] = append(a.notes[r.Step], r.Text)
		}
		return
	}
	cells := a.tale.outcome(r, a.u.signs, took)
	if cells == nil {
		return
	}
	title := ""
	for _, c := range cells {
		title += c.Text
	}
	title = strings.Join(strings.Fields(title), " ")
	var out []string
	if notes := a.notes[r.Step]; len(notes) > 0 {
		out = append(out, command("group", nil, title))
		for _, n := range notes {
			out = append(out, logLine(n))
		}
		out = append(out, command("endgroup", nil, ""))
	} else {
		out = append(out, logLine(title))
	}
	delete(a.notes, r.Step)
	switch r.Event {
	case pipeline.Failed:
		out = append(out, command("error", map[string]string{"title": r.Step}, r.Error))
	case pipeline.Waiting:
		out = append(out, command("notice", map[string]string{"title": r.Step}, r.Error))
	}
	a.u.mu.Lock()
	defer a.u.mu.Unlock()
	a.u.annotated = a.u.annotated || r.Event == pipeline.Failed
	_, _ = io.WriteString(a.u.err.w, strings.Join(out, "\n")+"\n")
}

// Close does nothing: a step that has not ended has no group.
func (a *annotations) Close() {}

// command writes a workflow command. The runner decodes %25, %0D and %0A, and in properties also %3A and %2C.
func command(name string, properties map[string]string, text string) string {
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	var out strings.Builder
	out.WriteString("::" + name)
	for i, key := range slices.Sorted(maps.Keys(properties)) {
		out.WriteString(" ,"[min(i, 1):][:1] + key + "=" + property.Replace(Clean(properties[key])))
	}
	lines := strings.Split(strings.TrimRight(text, "\r\n"), "\n")
	for i, line := range lines {
		lines[i] = Clean(strings.TrimRight(line, "\r"))
	}
	return out.String() + "::" + data.Replace(old.Replace(strings.Join(lines, "\n")))
}

// old breaks the older form of a command, which the runner finds anywhere in a line.
var old = strings.NewReplacer("##[", "## [")

// logLine makes a log line of a text, in which the runner finds no command: one begins with "::" after blanks.
func logLine(text string) string {
	return "| " + old.Replace(Clean(text))
}
