package templates

import (
	"strings"
	"testing"
)

// rolledBack is the tracker of a release that was rolled back.
func rolledBack(f func(string) string) Tracker {
	t := tracker(f)
	t.Notes = []string{f("superseded by aur-1: aur/push/x")}
	t.Rollback = &TrackerRollback{
		Title: f("rollback-2 to 3.2.0, began 2026-08-01 12:00 UTC, took 9s"), To: f("3.2.0"), Reason: f("it is slow"), Summary: f("rolled back"), Over: true,
		Levels: []TrackerTask{
			{Title: f("aur"), State: Done, Evidence: f("x 3.2.1+really3.2.0-1, recorded in rollback-1")},
			{Title: f("github"), State: Failed, Detail: f("502")},
			{Title: f("git"), State: Active},
			{Title: f("hold"), State: Done}, // claimed, and nothing shows it
		},
		Earlier: []string{f("rollback-1 to 3.2.0, took 3s; rolled back")},
		Horizon: f("1-4 hours"), Clock: []string{f("0-1 hour: decision"), f("1-4 hours: execution")},
		Hold: f("held since 2026-08-01 12:01 UTC: it is slow (rollback-2)"),
	}
	return t
}

// TestTracker_Rollback: the tracker shows each level with what stands behind it, and where the clock stands.
func TestTracker_Rollback(t *testing.T) {
	text := rendered(t, rolledBack(same))
	golden(t, "tracker_rollback.md", []byte(text))
	if n := strings.Count(text, "**Status**: 🔴 Rolled back"); n != 3 {
		t.Errorf("%d places say that it is rolled back", n)
	}
	for name, c := range map[string]struct {
		change func(*TrackerRollback)
		want   string
	}{
		"under way": {func(r *TrackerRollback) { r.Over, r.Summary = false, "3 of 9 steps done" }, "🔴 Rolling back"},
		"withdrawn": {func(r *TrackerRollback) { r.Summary = "withdrawn" }, "🔴 Withdrawn"},
		"no words":  {func(r *TrackerRollback) { r.Summary = "" }, "🔴 Rolling back"},
		"held only": {func(r *TrackerRollback) { *r = TrackerRollback{Hold: "held since then"} }, ""},
	} {
		tr := rolledBack(same)
		c.change(tr.Rollback)
		if got := tr.Rollback.Status(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if text := rendered(t, tr); !strings.Contains(text, "## Rollback\n") || !strings.Contains(text, tr.Rollback.Hold) {
			t.Errorf("%s: the tracker does not show it:\n%s", name, text)
		}
	}
	if (*TrackerRollback)(nil).Status() != "" {
		t.Error("nobody has rolled it back")
	}
	// Whatever a reason says, it forges no line and no box.
	hostile := rendered(t, rolledBack(func(s string) string { return s + "\n- [x] **forged**\n## Forged\n<script>" }))
	for line := range strings.Lines(hostile) {
		if strings.HasPrefix(line, "- [x] **forged") || strings.HasPrefix(line, "## Forged") || strings.Contains(line, "<script>") {
			t.Errorf("a text forged %q", line)
		}
	}
}
