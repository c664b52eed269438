package cli

import (
	"context"
	"path"
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

// writePostmortem writes the report on a release that is rolled back, of its journal and of the rollback's. It holds what
// these say and nothing else, so that writing it twice makes the same file.
func (a *app) writePostmortem(ctx context.Context, main, r *release, planned *phases.Rollback) (file string, err error) {
	released, err := releasedOf(main)
	if err != nil {
		return "", err
	}
	back, err := phases.ReadReleased(journal.Read(r.dir))
	if err != nil || back.Plan == nil {
		return "", err
	}
	survey, err := a.survey(r)
	if err != nil {
		return "", err
	}
	asked, _ := phases.RollbackAsked(back.Plan)
	p := templates.Postmortem{
		Project: main.config.Project, Bad: filepath.Base(main.dir), Good: planned.To, Reason: asked.Reason, Lead: main.config.About.Lead,
		Levels: postmortemLevels(survey, planned, released.Holding()), Notices: notices(released, back, planned), Still: leaves(released, planned),
	}
	if !moves(planned) {
		p.Good, p.Notices, p.Unmoved, p.MovedBy = "", nil, true, movedBy(released)
	}
	first := released.Published()
	p.Published, p.Doubt = first.Time, first.Doubt
	if p.Began, p.Ended = back.Bounds(); !atEnd(survey) { // what failed once more is not over
		p.Ended = time.Time{}
	}
	for _, of := range []*release{main, r} {
		events, approvals, err := a.told(of)
		if err != nil {
			return "", err
		}
		p.Timeline, p.Approvals = append(p.Timeline, events...), append(p.Approvals, approvals...)
	}
	p.Timeline = append(append(p.Timeline, inDoubt(released)...), inDoubt(back)...)
	for _, why := range planned.LeftOut {
		p.Timeline = append(p.Timeline, templates.PostmortemEvent{Time: p.Began, What: "left out", Detail: why})
	}
	slices.SortStableFunc(p.Timeline, func(a, b templates.PostmortemEvent) int { return a.Time.Compare(b.Time) })
	if whole, err := a.recorded(ctx, p.Bad); err == nil { // where it cannot be planned any more, its gates are left out
		if s, err := a.survey(whole); err == nil {
			p.Gates = trackerGates(s)
		}
	}
	p.Gates = append(p.Gates, trackerGates(survey)...)
	text, err := templates.RenderPostmortem(p)
	if err != nil {
		return "", err
	}
	file = filepath.Join(r.dir, "postmortem.md")
	return file, writeFile(file, text)
}

func trackerGates(s *pipeline.Survey) (out []templates.TrackerGate) {
	for _, st := range s.Steps {
		if st.Gate != nil {
			g := trackerGate(*st.Gate)
			for i, c := range g.Criteria { // a finding may hold a whole diff
				g.Criteria[i].Detail = firstLine(c.Detail)
			}
			out = append(out, g)
		}
	}
	return out
}

// told are the events of a journal that others have noticed, and what people signed.
func (a *app) told(r *release) (events []templates.PostmortemEvent, approvals []templates.PostmortemApproval, err error) {
	specs := map[string]pipeline.Spec{}
	for rec, err := range journal.Read(r.dir).Records() {
		if err != nil {
			return nil, nil, err
		}
		if rec.Planned != nil {
			for _, sp := range rec.Planned.Specs {
				specs[sp.ID] = sp
			}
		}
		switch sp := specs[rec.Step]; {
		case rec.Event == pipeline.Begin && r.goOn != nil && r.goOn[0] == "rollback":
			events = append(events, templates.PostmortemEvent{Time: rec.Time, What: "rollback began", Detail: "plan " + ui.Short(rec.Plan)})
		case rec.Event == pipeline.Amend:
			events = append(events, templates.PostmortemEvent{Time: rec.Time, What: "the plan was changed", Detail: "plan " + ui.Short(rec.Plan)})
		case rec.Statement != nil:
			if x, ok := signedBy(r, rec); ok {
				approvals = append(approvals, x)
			}
		case rec.Step == "" || rec.Event == pipeline.Started:
		case strings.HasPrefix(rec.Step, "gate/") || strings.HasPrefix(rec.Step, "proof/"):
			what := map[pipeline.Event]string{pipeline.Done: " passed", pipeline.Waiting: " waits", pipeline.Failed: " did not pass"}[rec.Event]
			events = append(events, templates.PostmortemEvent{Time: rec.Time, What: rec.Step + what})
		case !sp.Effect.Outward():
		case rec.Event == pipeline.Failed:
			events = append(events, templates.PostmortemEvent{Time: rec.Time, What: rec.Step + " failed", Detail: firstLine(rec.Error)})
		case rec.Event == pipeline.Undone:
			events = append(events, templates.PostmortemEvent{Time: rec.Time, What: rec.Step + " taken back", Detail: sp.Target})
		default:
			what := rec.Step
			if rec.Adopted {
				what += " (found as wanted)"
			}
			events = append(events, templates.PostmortemEvent{Time: rec.Time, What: what, Detail: sp.Target})
		}
	}
	return events, approvals, nil
}

// inDoubt are the outward steps of a journal that were begun, and of which no record says how they ended.
func inDoubt(j *phases.Released) (events []templates.PostmortemEvent) {
	first := j.Published()
	for _, sp := range j.Plan.Specs {
		if _, failed := j.Failed[sp.ID]; !sp.Effect.Outward() || !j.Begun[sp.ID] || failed { // a failure is told as one
			continue
		}
		e := templates.PostmortemEvent{Time: j.BegunAt(sp.ID), What: sp.ID + " was begun", Detail: "no record says how it ended"}
		if sp.ID == first.Step && !first.Time.IsZero() {
			e.Detail = "no record says when it ended; it has arrived"
		}
		events = append(events, e)
	}
	return events
}

// moves reports whether a level of a rollback reaches users.
func moves(planned *phases.Rollback) bool {
	return slices.Contains(planned.Levels, "aur") || slices.Contains(planned.Levels, "github")
}

// movedBy is the newest rollback of a release that has begun to move users; "" where none has.
func movedBy(released *phases.Released) (name string) {
	for _, b := range released.Backs() {
		if slices.ContainsFunc(b.Levels, func(l phases.BackLevel) bool { return l.Acted && (l.Level == "aur" || l.Level == "github") }) {
			name = b.Name
		}
	}
	return name
}

// withdrawal is what the newest rollback that has withdrawn a release says of that; ok is false where none has.
func withdrawal(released *phases.Released) (rec pipeline.Record, ok bool) {
	for _, j := range released.Beside {
		if now, done := j.Done[phases.RollbackWithdraw]; done && (!ok || now.Time.After(rec.Time)) {
			rec, ok = now, true
		}
	}
	return rec, ok
}

// leftPublic reports whether a release stays as it is on GitHub, since neither this rollback nor another takes it from there.
func leftPublic(released *phases.Released, planned *phases.Rollback) bool {
	_, withdrawn := withdrawal(released)
	return !withdrawn && !slices.Contains(planned.Levels, "github") && released.Acted(phases.PublishID)
}

// leftInAUR says how the AUR's users of a package stand for which a rollback has put nothing there.
func leftInAUR(released *phases.Released, planned *phases.Rollback, name string) string {
	rec, withdrawn := withdrawal(released)
	switch words := strings.Fields(rec.Receipt[phases.RollbackNeededBy]); {
	case slices.Contains(planned.Levels, "aur") && !slices.Contains(planned.Keeps, name): // it has seen it there, and has not come so far
		return templates.LeftThere
	case !withdrawn: // nobody has asked
		return templates.LeftUnknown
	case slices.ContainsFunc(words, func(w string) bool { return strings.TrimRight(w, ",;") == name }):
		return templates.LeftThere
	}
	return templates.LeftOther
}

// leaves reports whether some users get the bad version from where they had it, when the rollback is over.
func leaves(released *phases.Released, planned *phases.Rollback) bool {
	now := putBack(released)
	return leftPublic(released, planned) || slices.ContainsFunc(released.Shipped(), func(p phases.Pushed) bool {
		return now[p.Package] == "" && leftInAUR(released, planned, p.Package) != templates.LeftOther
	})
}

// putBack is what rollbacks have put into the AUR, by package.
func putBack(released *phases.Released) map[string]string {
	now := map[string]string{}
	for _, p := range released.Pushed() {
		if strings.HasPrefix(p.By, phases.RollbackPhase+"-") {
			now[p.Package] = p.Version
		}
	}
	return now
}

// signedBy reads a statement, if it counts for somebody.
func signedBy(r *release, rec pipeline.Record) (x templates.PostmortemApproval, ok bool) {
	req, err := gate.ParseRequest(rec.Statement.Signed)
	if err != nil {
		return x, false
	}
	who, err := r.verifier.Verify(req.Role, rec.Statement.Signed, rec.Statement.Signature)
	if err != nil {
		return x, false
	}
	x = templates.PostmortemApproval{Time: rec.Time, By: who + " (" + req.Role + ")", What: req.Gate, Note: req.Reason}
	x.Kind = map[string]string{gate.Approval: "approved", gate.Attestation: "attested", gate.Waiver: "waived"}[req.Kind]
	if req.Criterion != "" {
		x.What += ", " + req.Criterion
	}
	return x, true
}

// postmortemLevels say how far each planned level has come, and what users have of it. Holding is what the journals say of
// the hold by now.
func postmortemLevels(s *pipeline.Survey, planned *phases.Rollback, holding *phases.Holding) (out []templates.PostmortemLevel) {
	outcomes := map[string]string{
		"aur":    "pacman upgrades to the payload of " + planned.To + ", and installs it anew",
		"github": becameOf(s, planned),
		"git":    "the main branch has the files from before the release's own commit; what was merged before it stays",
		"hold":   "no run publishes it again",
	}
	if holding != nil && !holding.Held {
		outcomes["hold"] = "it is not held any more (" + holding.By + "): " + holding.Reason
	}
	if planned.Asked.DeleteTag {
		outcomes["git"] += "; the tag is gone at the remote, and stays in clones and caches"
	}
	for _, level := range planned.Levels {
		l := templates.PostmortemLevel{Title: level, State: templates.Pending}
		var done []string
		all := true
		for _, st := range s.Steps {
			if phases.RollbackLevelOf(st.Spec.ID) != level {
				continue
			}
			switch {
			case st.Last.Event == pipeline.Done:
				done = append(done, st.Spec.ID+received(st.Last))
			case st.Last.Event == pipeline.Failed:
				l.State, all = templates.Failed, false
			default:
				if all = false; st.Last.Event == pipeline.Started && l.State == templates.Pending {
					l.State = templates.Active
				}
			}
		}
		if level == "git" && !slices.ContainsFunc(s.Steps, func(st pipeline.StepState) bool {
			return st.Spec.ID == "rollback/revert" && st.Last.Receipt["commit"] != ""
		}) {
			outcomes[level] = "nothing of the release's own commit was left to put back on the main branch"
			if planned.Asked.DeleteTag {
				outcomes[level] += "; the tag is gone at the remote, and stays in clones and caches"
			}
		}
		if l.Done = strings.Join(done, "; "); all && len(done) > 0 {
			l.State, l.Outcome = templates.Done, outcomes[level]
		} else if len(done) > 0 && l.State == templates.Pending {
			l.State = templates.Active
		}
		out = append(out, l)
	}
	return out
}

// becameOf is what has become of a release on GitHub, as its receipt says.
func becameOf(s *pipeline.Survey, planned *phases.Rollback) string {
	text, latest := "nobody is offered it", ""
	keeps, _ := keeping(s, planned)
	for _, st := range s.Steps {
		switch state := st.Last.Receipt["state"]; {
		case st.Spec.ID == "rollback/latest": // it may be a newer one, or another product's, which was left alone
			latest = st.Last.Receipt["latest"]
		case st.Spec.ID != "rollback/withdraw" && st.Spec.ID != "rollback/delete":
		case state == "gone":
			text = "it is gone, with its files"
		case state == "notice":
			if text = "it is public, with a notice on its page; its files can be downloaded"; len(keeps) > 0 {
				text += ", since " + strings.Join(keeps, ", ") + " in the AUR needs them"
				keeps = nil
			}
		}
	}
	if len(keeps) > 0 {
		text += "; " + strings.Join(keeps, ", ") + " in the AUR needs its files, and cannot be installed: level aur mends that"
	}
	if latest != "" {
		text += "; the latest release is " + latest
	}
	return text
}

// received are the words of a receipt that say something to people.
func received(rec pipeline.Record) string {
	for _, key := range []string{"state", "version", "latest", "commit", "reason"} {
		if v := rec.Receipt[key]; v != "" {
			if len(v) == 40 {
				v = ui.Short(v)
			}
			return " (" + v + ")"
		}
	}
	return ""
}

// notices are for the users of each package that the release had. A file of the older version is named where the rollback has
// seen it.
func notices(released, back *phases.Released, planned *phases.Rollback) (out []templates.PostmortemNotice) {
	bad, _, _ := strings.Cut(released.Plan.Env.Version, "+")
	now := putBack(released)
	var seen map[string]string // the older release's files
	for _, e := range back.Done["rollback/older"].Evidence {
		seen = e.Subjects
	}
	for _, p := range released.Shipped() {
		n := templates.PostmortemNotice{Format: "aur", Package: p.Package, Bad: p.Version, Version: now[p.Package], URL: "https://aur.archlinux.org/packages/" + p.Package}
		if n.Version == "" {
			n.Left = leftInAUR(released, planned, p.Package)
		}
		out = append(out, n)
	}
	for _, sp := range released.Plan.Specs {
		for _, name := range sp.Outputs {
			file := path.Base(name)
			n := templates.PostmortemNotice{Format: map[string]string{".deb": "deb", ".AppImage": "appimage", ".gz": "tarball", ".xz": "tarball", ".zst": "tarball"}[path.Ext(file)]}
			if n.Format == "" || strings.HasPrefix(name, "work/") || !strings.HasPrefix(sp.ID, "build/"+n.Format+"/") {
				continue
			}
			n.Package = packageOf(sp.ID)
			if n.Format == "deb" {
				n.Bad = sp.Params["version"] // [epoch:]upstream-revision, as apt compares it
			}
			people := map[string]string{"deb": "Debian and Ubuntu", "appimage": "AppImages", "tarball": "Tarballs"}[n.Format]
			if leftPublic(released, planned) {
				n.Format, n.Left = people, templates.LeftPublic
			}
			if planned.To != "" {
				n.File, n.URL = strings.ReplaceAll(file, bad, planned.To), planned.Page
				if _, there := seen[n.File]; !there {
					n.Format, n.Version = people, planned.To
				}
			}
			out = append(out, n)
		}
	}
	return out
}

// packageOf is the package that a step of the build phase makes: build/FORMAT/NAME[/ARCH].
func packageOf(id string) string {
	parts := strings.Split(id, "/")
	return parts[min(2, len(parts)-1)]
}
