package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/pipeline"
)

// reports demands what the report of the n-th rollback says and does not say.
func (x *trial) reports(n int, want, not []string) {
	x.t.Helper()
	text := readText(x.t, filepath.Join(x.journalDir(), fmt.Sprintf("rollback-%d", n), "postmortem.md"))
	for _, w := range want {
		if !strings.Contains(text, w) {
			x.t.Errorf("want %q in\n%s", w, text)
		}
	}
	for _, w := range not {
		if strings.Contains(text, w) {
			x.t.Errorf("found %q in\n%s", w, text)
		}
	}
}

// TestReport_CutOff: where the release was killed while it was published, the report says since when users have had it at
// the earliest, once the rollback has found it public; before that it does not say that nobody ever had it.
func TestReport_CutOff(t *testing.T) {
	needTools(t, "git")
	s, r := newRollbackTemplate(t, false).out(t)
	cutBehind(t, r.journalDir(), "release/publish", pipeline.Started)
	began := ""
	for _, rec := range r.records() {
		if rec.Step == "release/publish" {
			began = rec.Time.UTC().Format("2006-01-02 15:04:05") + " UTC"
		}
	}
	code, said := r.back("--to", older, "--level", "hold")
	r.must(code, said)
	r.reports(1, []string{
		"| Published | unknown: it was begun, and no journal says that it arrived |", "| Users had it for | unknown |",
		"| " + began + " |", "release/publish was begun: no record says how it ended", "Nothing: this reaches no user.",
	}, []string{"never", "no user had it", "it has arrived"})
	code, said = r.back("--to", older, "--level", "github")
	if r.must(code, said); !s.isDraft() {
		t.Error("it is public")
	}
	r.reports(2, []string{
		"| Published | at the earliest " + began + " |", "| Users had it for | at most ", "release/publish was begun: no record says when it ended; it has arrived",
	}, []string{"never", "no user had it", "so far"})
}

// TestReport_NobodyMoved: a rollback that leaves users alone does not say that it has moved any. Who was moved by another
// one is sent to the report of that.
func TestReport_NobodyMoved(t *testing.T) {
	needTools(t, "git")
	_, r := newRollbackTemplate(t, false).out(t)
	code, said := r.back("--to", older, "--level", "hold", "--reason", "it is slow")
	r.must(code, said)
	r.reports(1, []string{
		"# hello " + released + ": taken back\n", "**Rolled back**: " + released + "; no user was moved  \n", "| Users had it for | they have it still |",
		"Whoever has it keeps it, and whoever asks for it gets it still", "**Status**: ✅ Completed",
	}, []string{"→", "is replaced", "| Users had it for | 0s", "| Users had it for | 1s"})
	code, said = r.back("--to", older, "--level", "github")
	r.must(code, said)
	r.reports(2, []string{": rolled back\n", "**Rolled back**: " + released + " → " + older + "  \n"}, []string{"still", "no user was moved", "so far"})
	code, said = r.back("--to", older, "--level", "git")
	r.must(code, said)
	r.reports(3, []string{
		": taken back\n", "**Rolled back**: " + released + "; its users were moved by rollback-2  \n", "| Users had it for | see the report of rollback-2 |", "stands in its report.",
	}, []string{"have it still", "gets it still", "is replaced", "no user was moved"})
}
