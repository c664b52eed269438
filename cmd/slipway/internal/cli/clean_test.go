package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// TestUnmade: no run makes the packages of a release again that was rolled back or has been published in the AUR again, and
// of one that is being rolled back they are needed.
func TestUnmade(t *testing.T) {
	for _, c := range []struct {
		name   string
		beside map[string][]string // by name, the steps that are done; nil is a journal that is damaged
		want   []string
	}{
		{"nothing", nil, nil},
		{"held", map[string][]string{"hold-1": {"hold/change"}}, nil},
		{"a damaged hold", map[string][]string{"hold-1": nil}, nil},
		{"not begun", map[string][]string{"rollback-1": {"empty"}, "aur-1": {"empty"}}, nil},
		{"rolled back", map[string][]string{"rollback-1": {"rollback/withdraw", "proof/end"}}, []string{"rollback-1"}},
		{"held by a rollback", map[string][]string{"rollback-1": {"rollback/hold", "proof/end"}}, nil},
		{"being rolled back", map[string][]string{"rollback-1": {"rollback/standing"}}, []string{"rollback-1"}},
		{"a damaged rollback", map[string][]string{"rollback-1": nil}, []string{"rollback-1"}},
		{"published again", map[string][]string{"aur-1": {"aur/push/x", "proof/end"}, "hold-1": {"hold/change"}}, []string{"aur-1"}},
		{"being published again", map[string][]string{"aur-1": {"aur/push/x"}}, nil},
		{"all of it", map[string][]string{"aur-1": {"proof/end"}, "aur-2": {"proof/end"}, "rollback-1": {"rollback/latest", "proof/end"}, "rollback-2": {"rollback/revert", "proof/end"}}, []string{"aur-1", "aur-2", "rollback-2"}},
	} {
		r := &release{dir: t.TempDir()}
		journalIn(t, r.dir, "release/publish")
		for name, done := range c.beside {
			dir := filepath.Join(r.dir, name)
			if journalIn(t, dir, done...); done == nil {
				if err := os.WriteFile(filepath.Join(dir, journal.FileName), []byte("garbage\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := unmade(r); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// journalIn writes a journal of a plan that has these steps, which are done, and a proof at the end. With the step "empty"
// nothing was begun.
func journalIn(t *testing.T, dir string, done ...string) {
	t.Helper()
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if slices.Contains(done, "empty") {
		return
	}
	env := pipeline.Env{Project: "hello", Version: "3.2.1"}
	var specs []pipeline.Spec
	for _, id := range append(slices.Clone(done), "proof/end") {
		sp := pipeline.Spec{ID: id, Effect: pipeline.Permanent}
		if strings.HasPrefix(id, "proof/") {
			sp.Effect = pipeline.Pure
		}
		specs = append(specs, sp)
	}
	if slices.Contains(done, "proof/end") {
		specs = specs[:len(specs)-1]
	}
	p := &pipeline.Plan{Env: env, Specs: specs, Digest: gate.Sum(env, specs)}
	records := []pipeline.Record{{Event: pipeline.Begin, Planned: p}}
	for _, id := range done {
		records = append(records, pipeline.Record{Event: pipeline.Done, Step: id})
	}
	for _, rec := range records {
		rec.Time, rec.Run, rec.Plan = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "r", p.Digest
		if err := j.Append(rec); err != nil {
			t.Fatal(err)
		}
	}
}
