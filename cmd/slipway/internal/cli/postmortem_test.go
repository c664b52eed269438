package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/templates"
)

// stepAt is how a step stands: its ID, its newest event, and what its receipt says as KEY=VALUE.
func stepAt(id string, last pipeline.Event, receipt ...string) pipeline.StepState {
	st := pipeline.StepState{Spec: pipeline.Spec{ID: id, Effect: pipeline.Permanent}, Last: pipeline.Record{Step: id, Event: last}}
	for _, kv := range receipt {
		key, value, _ := strings.Cut(kv, "=")
		if st.Last.Receipt == nil {
			st.Last.Receipt = pipeline.Receipt{}
		}
		st.Last.Receipt[key] = value
	}
	return st
}

// stateNames are the states that a level can have.
var stateNames = map[templates.State]string{templates.Pending: "pending", templates.Active: "active", templates.Done: "done", templates.Failed: "failed"}

// levelLine is a level of the report in one line.
func levelLine(l templates.PostmortemLevel) string {
	return strings.Join([]string{l.Title, stateNames[l.State], l.Done, l.Outcome}, " | ")
}

// TestPostmortemLevels: the report has each planned level, in order, with the steps that are done, and says what users have
// of it when all of them are, and not before.
func TestPostmortemLevels(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	whole := []pipeline.StepState{
		{Spec: pipeline.Spec{ID: "rollback/judge/a-bin"}, Last: pipeline.Record{Event: pipeline.Failed}}, // nobody saw it
		stepAt("rollback/push/a-bin", pipeline.Done, "version=2+really1-1"), stepAt("rollback/push/b-bin", pipeline.Done, "version=2+really1-2"),
		stepAt("rollback/withdraw", pipeline.Done, "state=draft"), stepAt("rollback/latest", pipeline.Done, "latest=v1"), stepAt("rollback/delete", pipeline.Done, "state=gone"),
		stepAt("rollback/revert", pipeline.Done, "commit="+commit), stepAt("rollback/tag", pipeline.Done),
		stepAt("rollback/hold", pipeline.Done, "reason=it is slow", "commit="+commit),
	}
	full := map[string]string{
		"aur":    "aur | done | rollback/push/a-bin (2+really1-1); rollback/push/b-bin (2+really1-2) | pacman upgrades to the payload of 1, and installs it anew",
		"github": "github | done | rollback/withdraw (draft); rollback/latest (v1); rollback/delete (gone) | it is gone, with its files; the latest release is v1",
		"git":    "git | done | rollback/revert (0123456789ab); rollback/tag | the main branch has the files from before the release's own commit; what was merged before it stays",
		"hold":   "hold | done | rollback/hold (" + commit[:12] + ") | no run publishes it again",
	}
	if got, all := len(full), len(phases.RollbackLevels); got != all {
		t.Fatalf("%d levels are looked at, and there are %d", got, all)
	}
	// Whatever levels were asked for: these, all of these, in the order in which they are done, each with its own steps.
	for set := range 1 << len(phases.RollbackLevels) {
		planned, steps := &phases.Rollback{To: "1"}, whole[:1:1]
		var want []string
		for i, level := range phases.RollbackLevels {
			if set&(1<<i) == 0 {
				continue
			}
			planned.Levels, want = append(planned.Levels, level), append(want, full[level])
			for _, st := range whole[1:] {
				if phases.RollbackLevelOf(st.Spec.ID) == level {
					steps = append(steps, st)
				}
			}
		}
		var got []string
		for _, l := range postmortemLevels(&pipeline.Survey{Steps: steps}, planned, nil) {
			got = append(got, levelLine(l))
		}
		if !slices.Equal(got, want) {
			t.Errorf("of %q the report has\n%s\nwant\n%s", planned.Levels, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	// Each step of each level counts: where one is not done, nothing is said of what users get.
	for i, st := range whole {
		level := phases.RollbackLevelOf(st.Spec.ID)
		if level == "" {
			continue
		}
		alone := true
		for k, other := range whole {
			alone = alone && (k == i || phases.RollbackLevelOf(other.Spec.ID) != level)
		}
		for event, want := range map[pipeline.Event]templates.State{
			"": templates.Active, pipeline.Started: templates.Active, pipeline.Undone: templates.Active, pipeline.Failed: templates.Failed,
		} {
			if alone && (event == "" || event == pipeline.Undone) {
				want = templates.Pending
			}
			steps := slices.Clone(whole)
			steps[i] = stepAt(st.Spec.ID, event)
			for _, l := range postmortemLevels(&pipeline.Survey{Steps: steps}, &phases.Rollback{To: "1", Levels: phases.RollbackLevels}, nil) {
				switch {
				case l.Title != level && levelLine(l) != full[l.Title] && !(level == "git" && st.Spec.ID == "rollback/revert"):
					t.Errorf("%s %q changes another level: %s", st.Spec.ID, event, levelLine(l))
				case l.Title == level && (l.State != want || l.Outcome != "" || strings.Contains(l.Done, st.Spec.ID)):
					t.Errorf("%s %q: %s; want %s", st.Spec.ID, event, levelLine(l), stateNames[want])
				}
			}
		}
	}
	// What users have depends on what was done.
	for _, c := range []struct {
		level, want string
		planned     phases.Rollback
		holding     *phases.Holding
		steps       []pipeline.StepState
	}{
		{"aur", "", phases.Rollback{}, nil, nil}, // nothing to be done is not done
		{"github", "nobody is offered it", phases.Rollback{}, nil, []pipeline.StepState{stepAt("rollback/withdraw", pipeline.Done, "state=draft")}},
		{"github", "it is public, with a notice on its page; its files can be downloaded, since a-bin in the AUR needs them", phases.Rollback{Keeps: []string{"a-bin"}}, nil, []pipeline.StepState{stepAt("rollback/withdraw", pipeline.Done, "state=notice", phases.RollbackNeededBy+"=a-bin")}},
		{"github", "it is public, with a notice on its page; its files can be downloaded", phases.Rollback{Keeps: []string{"a-bin"}}, nil, []pipeline.StepState{stepAt("rollback/withdraw", pipeline.Done, "state=notice")}}, // nothing needed it by then
		{"git", "nothing of the release's own commit was left to put back on the main branch", phases.Rollback{}, nil, []pipeline.StepState{stepAt("rollback/revert", pipeline.Done)}},
		{"git", "nothing of the release's own commit was left to put back on the main branch; the tag is gone at the remote, and stays in clones and caches", phases.Rollback{Asked: phases.RollbackOptions{DeleteTag: true}}, nil, []pipeline.StepState{stepAt("rollback/revert", pipeline.Done), stepAt("rollback/tag", pipeline.Done)}},
		{"git", "the main branch has the files from before the release's own commit; what was merged before it stays; the tag is gone at the remote, and stays in clones and caches", phases.Rollback{Asked: phases.RollbackOptions{DeleteTag: true}}, nil, []pipeline.StepState{stepAt("rollback/revert", pipeline.Done, "commit="+commit), stepAt("rollback/tag", pipeline.Done)}},
		{"hold", "no run publishes it again", phases.Rollback{}, &phases.Holding{By: "rollback-1", Held: true}, whole[len(whole)-1:]},
		{"hold", "it is not held any more (hold-1): it was the network", phases.Rollback{}, &phases.Holding{By: "hold-1", Reason: "it was the network"}, whole[len(whole)-1:]},
	} {
		c.planned.Levels = []string{c.level}
		got := postmortemLevels(&pipeline.Survey{Steps: c.steps}, &c.planned, c.holding)
		if len(got) != 1 || got[0].Outcome != c.want || (got[0].State == templates.Done) != (c.want != "") {
			t.Errorf("%s: %+v; want %q", c.level, got, c.want)
		}
	}
}
