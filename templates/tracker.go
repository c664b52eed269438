package templates

import (
	"fmt"
	"slices"
	"time"
)

// Tracker is the deployment tracker of a release: what was planned, what stands, and what comes next.
//
// It holds facts only. Every box and every status in the text follows from them, so that no box can be ticked by hand:
// a task is ticked when it is [Done] and its Evidence says by what, a gate has passed when each of its criteria has and
// a person approved who may.
type Tracker struct {
	Project string    // name of the product
	From    string    // the version before; empty for a first release
	To      string    // the version that is released
	Type    string    // kind of release, like "minor"
	Summary string    // one sentence on what it brings
	Lead    string    // who is responsible
	Date    time.Time // day of the release; zero where unknown
	Updated time.Time // when this was written; zero leaves it out

	Notes []string // what people have to know and no box says

	Phases []TrackerPhase
	Gates  []TrackerGate
	// Rollback says how the release was taken back, or held; nil where neither is so.
	Rollback *TrackerRollback
	Risks    []TrackerRisk
	Metrics  []TrackerMetrics
	Next     []TrackerAction // what to do now, in order
}

// State says how a task or a criterion stands.
type State int

// The states. The zero value says that nothing is known to have happened.
const (
	Pending State = iota // not begun
	Active               // begun, not finished
	Waiting              // waits for a person
	Done                 // finished; a criterion: passed
	Failed               // did not succeed; a criterion: did not pass
	Unknown              // could not be looked at, which is not a pass
)

// TrackerPhase is one phase of the release.
type TrackerPhase struct {
	Title  string
	Doc    string // where it is documented; empty leaves it out
	Groups []TrackerGroup
}

// TrackerGroup is a group of tasks in a phase.
type TrackerGroup struct {
	Title string
	Tasks []TrackerTask
}

// TrackerTask is one piece of work.
type TrackerTask struct {
	Title    string
	Detail   string // what it does or why it stands as it does
	State    State
	Evidence string // what shows that it is done: without it no box is ticked
}

// TrackerGate is a quality gate.
type TrackerGate struct {
	Title    string
	Criteria []TrackerTask // Detail says why a criterion did not pass
	Role     string        // who approves; empty where nobody is asked
	By       string        // who approved; empty while nobody has
}

// TrackerRisk is something that may go wrong.
type TrackerRisk struct {
	Title       string
	Level       string // high, medium or low
	Impact      string
	Probability string
	Mitigation  []string
}

// TrackerMetrics is a group of figures by which the release is judged afterwards.
type TrackerMetrics struct {
	Title   string
	Metrics []TrackerMetric
}

// TrackerMetric is one such figure.
type TrackerMetric struct{ Name, Target string }

// TrackerAction is a next action.
type TrackerAction struct{ Title, Detail string }

// RenderTracker writes the tracker as Markdown, in UTF-8 and with a final newline.
func RenderTracker(t Tracker) ([]byte, error) { return render("tracker.md.tmpl", t) }

// Ticked reports whether the box is ticked: the task is done and something shows it.
func (t TrackerTask) Ticked() bool { return t.State == Done && line(t.Evidence) != "" }

// Box is the task's box in a list.
func (t TrackerTask) Box() string {
	if t.Ticked() {
		return "[x]"
	}
	return "[ ]"
}

// Note says behind the box what it cannot: what shows that the task is done, or why it is not ticked.
func (t TrackerTask) Note() string {
	switch {
	case t.Ticked():
		return t.Evidence
	case t.State == Done:
		return "no evidence"
	case t.State == Pending:
		return ""
	case t.State == Active:
		return "in progress"
	case t.State == Waiting:
		return "waiting"
	case t.State == Failed:
		return "failed"
	}
	return "unknown"
}

// Status sums up the group.
func (g TrackerGroup) Status() string { return summary(g.Tasks, pending) }

// tasks lists all tasks of the phase.
func (p TrackerPhase) tasks() (tasks []TrackerTask) {
	for _, g := range p.Groups {
		tasks = append(tasks, g.Tasks...)
	}
	return tasks
}

// PhaseStatus sums up phase i, counted from 0.
func (t Tracker) PhaseStatus(i int) string {
	if before := slices.IndexFunc(t.Phases[:i], func(p TrackerPhase) bool { return !all(p.tasks()) }); before >= 0 {
		return summary(t.Phases[i].tasks(), fmt.Sprintf("🔲 Awaiting Phase %d", before+1))
	}
	return summary(t.Phases[i].tasks(), "🟡 Ready to Execute")
}

// Passed reports whether all criteria are ticked and the approval that is asked for is there.
func (g TrackerGate) Passed() bool { return all(g.Criteria) && (g.Role == "" || g.By != "") }

// GateStatus sums up gate i, counted from 0.
func (t Tracker) GateStatus(i int) string {
	g := t.Gates[i]
	if all(g.Criteria) && !g.Passed() {
		return waiting
	}
	if before := slices.IndexFunc(t.Gates[:i], func(g TrackerGate) bool { return !g.Passed() }); before >= 0 {
		return summary(g.Criteria, fmt.Sprintf("🔲 Awaiting Gate %d", before+1))
	}
	return summary(g.Criteria, pending)
}

// Status sums up the release: its rollback, where there is one.
func (t Tracker) Status() string {
	if back := t.Rollback.Status(); back != "" {
		return back
	}
	var tasks []TrackerTask
	for _, p := range t.Phases {
		tasks = append(tasks, p.tasks()...)
	}
	for _, g := range t.Gates {
		tasks = append(tasks, g.Criteria...)
	}
	if all(tasks) && slices.ContainsFunc(t.Gates, func(g TrackerGate) bool { return !g.Passed() }) {
		return waiting
	}
	return summary(tasks, pending)
}

// Day is the release's day.
func (t Tracker) Day() string {
	if t.Date.IsZero() {
		return "not set"
	}
	return t.Date.UTC().Format(time.DateOnly)
}

// Time is when the tracker was written.
func (t Tracker) Time() string {
	if t.Updated.IsZero() {
		return ""
	}
	return t.Updated.UTC().Format(time.DateTime) + " UTC"
}

// RiskLevels groups the risks by level, highest first; a level without risks is left out.
func (t Tracker) RiskLevels() (levels []RiskLevel) {
	for _, l := range []struct{ level, title string }{{"high", "High Priority Risks 🔴"}, {"medium", "Medium Priority Risks 🟡"}, {"low", "Low Priority Risks 🟢"}, {"", "Other Risks"}} {
		out := RiskLevel{Title: l.title}
		for i, r := range t.Risks {
			if r.Level == l.level || l.level == "" && !slices.Contains([]string{"high", "medium", "low"}, r.Level) {
				out.Risks = append(out.Risks, NumberedRisk{i + 1, r})
			}
		}
		if len(out.Risks) > 0 {
			levels = append(levels, out)
		}
	}
	return levels
}

// RiskLevel is the risks of one level.
type RiskLevel struct {
	Title string
	Risks []NumberedRisk
}

// NumberedRisk is a risk with its place in the list.
type NumberedRisk struct {
	Number int
	TrackerRisk
}

func all(tasks []TrackerTask) bool {
	return len(tasks) > 0 && !slices.ContainsFunc(tasks, func(t TrackerTask) bool { return !t.Ticked() })
}

const (
	pending = "🔲 Pending"
	waiting = "🟡 Waiting for approval"
)

// summary takes the worst that there is: Failed, Unknown, then what is under way. Where nothing has begun it says idle.
func summary(tasks []TrackerTask, idle string) string {
	has := func(states ...State) bool {
		return slices.ContainsFunc(tasks, func(t TrackerTask) bool { return slices.Contains(states, t.State) })
	}
	switch {
	case all(tasks):
		return "✅ Completed"
	case has(Failed):
		return "🔴 Failed"
	case has(Unknown):
		return "🔴 Unknown"
	case has(Active, Done):
		return "🟡 In Progress"
	case has(Waiting):
		return "🟡 Waiting"
	}
	return idle
}
