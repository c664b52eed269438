package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
	"github.com/imrightguy/slipway/templates"
)

// phaseTitles are the phases' names in a tracker.
var phaseTitles = map[string]string{"build": "Application Building", "release": "Release Management", "aur": "AUR Publication", "rollback": "Rollback"}

// groupTitles are what kinds of steps are called in a tracker.
var groupTitles = map[string]string{
	"version": "Version", "component": "Components", "bundle": "Bundles", "tarball": "Packages", "deb": "Packages", "aur": "Packages",
	"appimage": "Packages", "checksums": "Packages", "inspect": "Inspection", "requirements": "Requirements", "check": "Checks", "judge": "Judges of the distributions",
	"notes": "Release notes", "branch": "Git", "tag": "Git", "merge": "Git", "draft": "GitHub", "asset": "GitHub", "publish": "GitHub", "download": "GitHub",
	"published": "Sources", "remote": "Repository", "lint": "Repository", "push": "Submission", "readback": "Submission",
	"fetch": "Sources", "pkgbuild": "Packages", "standing": "Checks", "older": "Checks", "moved": "Submission",
	"withdraw": "GitHub", "latest": "GitHub", "delete": "GitHub", "revert": "Git", "hold": "Hold", "outcome": "Outcome",
}

// tracker prints the deployment tracker.
func (a *app) tracker(r *release, v ui.Status) error {
	text, err := a.trackerOf(r, v)
	if err != nil {
		return err
	}
	if a.ui.JSON {
		return a.ui.Object(map[string]string{"markdown": string(text)})
	}
	return a.ui.Raw(text)
}

// trackerText is the tracker of a release and of its rollback; nil for none.
func (a *app) trackerText(r *release, s *pipeline.Survey, back *recovery) ([]byte, error) {
	return a.trackerOf(r, a.standing(r, s, back))
}

// trackerOf is the deployment tracker: every tick follows from a record.
func (a *app) trackerOf(r *release, v ui.Status) ([]byte, error) {
	t := r.config.Tracker()
	t.To, t.Updated = r.plan.Env.Version, a.now()
	t.From = r.before()
	t.Rollback = trackerRollback(v)
	for _, st := range v.Steps {
		if st.Last.Time.After(t.Date) {
			t.Date = st.Last.Time
		}
		if st.Gate != nil {
			t.Gates = append(t.Gates, trackerGate(*st.Gate))
			continue
		}
		phase := pipeline.PhaseOf(st.Spec.ID)
		title := phaseTitles[phase]
		if title == "" {
			title = phase
		}
		if n := len(t.Phases); n == 0 || t.Phases[n-1].Title != title {
			t.Phases = append(t.Phases, templates.TrackerPhase{Title: title})
		}
		p := &t.Phases[len(t.Phases)-1]
		name := strings.TrimPrefix(st.Spec.ID, phase+"/")
		kind, _, _ := strings.Cut(name, "/")
		group := groupTitles[kind]
		if group == "" {
			group = kind
		}
		if n := len(p.Groups); n == 0 || p.Groups[n-1].Title != group {
			p.Groups = append(p.Groups, templates.TrackerGroup{Title: group})
		}
		g := &p.Groups[len(p.Groups)-1]
		g.Tasks = append(g.Tasks, trackerTask(name, st))
	}
	if len(v.Superseded) > 0 {
		t.Notes = append(t.Notes, "superseded by "+v.Again+", so not to be done any more: "+strings.Join(v.Superseded, ", "))
	}
	for _, b := range v.Blocks {
		what := b.Step
		if b.What != "" {
			what += ", " + b.What
		}
		who := ""
		if b.Who != "" {
			who = ", by " + b.Who
		}
		t.Next = append(t.Next, templates.TrackerAction{Title: b.Command, Detail: fmt.Sprintf("%s: %s: %s%s", what, b.Kind, firstLine(b.Why), who)})
	}
	text, err := templates.RenderTracker(t)
	return append(bytes.TrimRight(text, "\n"), '\n'), err
}

// trackerRollback says how the release was taken back, and whether it is held; nil where neither is so.
func trackerRollback(v ui.Status) *templates.TrackerRollback {
	out := &templates.TrackerRollback{}
	if h := v.Hold; h != nil {
		out.Hold = h.Text()
	}
	r := v.Recovery
	if r == nil {
		if out.Hold == "" {
			return nil
		}
		return out
	}
	out.Title, out.To, out.Reason, out.Summary, out.Over, out.Horizon, out.Clock = r.Text(), r.To, r.Reason, r.State, !r.Ended.IsZero(), r.Horizon, r.Clock
	for _, e := range r.Earlier {
		out.Earlier = append(out.Earlier, e.Text()+"; "+e.State)
	}
	states := map[string]templates.State{phases.LevelActive: templates.Active, phases.LevelFailed: templates.Failed, phases.LevelDone: templates.Done}
	for _, l := range r.Levels {
		task := templates.TrackerTask{Title: l.Level, State: states[l.State]}
		if by := l.By; task.State == templates.Done {
			task.Evidence = strings.TrimPrefix(l.What+", recorded in "+by, ", ")
		} else {
			task.Detail = l.What
		}
		out.Levels = append(out.Levels, task)
	}
	return out
}

func trackerTask(title string, st pipeline.StepState) templates.TrackerTask {
	task := templates.TrackerTask{Title: title, Detail: strings.Join(slices.Concat(st.Spec.Outputs, st.Spec.Checks), ", ")}
	switch {
	case st.Current:
		task.State, task.Evidence = templates.Done, shownBy(st.Last)
		for _, e := range st.Last.Evidence {
			if e.Verdict == gate.Fail {
				task.State, task.Detail = templates.Failed, e.Summary
				break
			} else if e.Verdict == gate.Unknown {
				task.State, task.Detail = templates.Unknown, e.Summary
			}
		}
	case st.Last.Event == pipeline.Failed:
		task.State, task.Detail = templates.Failed, firstLine(st.Last.Error)
	case st.Last.Event == pipeline.Started:
		task.State = templates.Active
	}
	return task
}

// shownBy names what stands behind a step that is done.
func shownBy(r pipeline.Record) string {
	var parts []string
	for _, art := range r.Artifacts {
		parts = append(parts, "sha256 "+ui.Short(art.SHA256))
	}
	for _, e := range r.Evidence {
		if e.Verdict != gate.Pass {
			continue
		}
		if len(r.Evidence) > 1 { // the gate says what they found
			e.Summary = ""
		}
		parts = append(parts, seen(e))
	}
	if len(parts) == 0 {
		parts = append(parts, "recorded "+r.Time.UTC().Format(time.DateTime)+" UTC")
	}
	return strings.Join(parts, ", ")
}

// seen names what a check saw, by its digest.
func seen(e pipeline.Evidence) string {
	text := "check " + e.Check + " " + ui.Short(e.Digest())
	if e.Summary != "" {
		text += ": " + e.Summary
	}
	return text
}

// before is the newest older version that was released here, as the journals tell; empty for none.
func (r *release) before() string {
	now, err := phases.ParseVersion(r.plan.Env.Version)
	if err != nil {
		return ""
	}
	entries, err := os.ReadDir(filepath.Dir(r.dir))
	if err != nil {
		return ""
	}
	var last *phases.Version
	for _, e := range entries {
		v, err := phases.ParseVersion(e.Name())
		if err != nil || e.Name() == filepath.Base(r.dir) || v.Compare(now) >= 0 || last != nil && v.Compare(*last) <= 0 {
			continue
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(r.dir), e.Name(), journal.FileName)); err == nil {
			last = &v
		}
	}
	if last == nil {
		return ""
	}
	return last.String()
}

func trackerGate(g gate.State) templates.TrackerGate {
	out := templates.TrackerGate{Title: g.Title, Role: g.Approve, By: g.By}
	if out.Title == "" {
		out.Title = g.ID
	}
	for _, c := range g.Criteria {
		task := templates.TrackerTask{Title: c.Title, Detail: c.Why}
		switch {
		case c.Waived != "":
			task.State, task.Evidence = templates.Done, fmt.Sprintf("waived by %s: %s", c.By, c.Waived)
		case c.By != "":
			task.State, task.Evidence = templates.Done, "attested by "+c.By
		case c.Verdict == gate.Pass:
			task.State = templates.Done
			for _, e := range c.Evidence {
				task.Evidence = strings.TrimPrefix(task.Evidence+"; "+seen(e), "; ")
			}
		case c.Verdict == gate.Fail:
			task.State = templates.Failed
		case c.Attest != "":
			task.State = templates.Waiting
		case len(c.Evidence) > 0:
			task.State = templates.Unknown
		}
		out.Criteria = append(out.Criteria, task)
	}
	return out
}
