package main

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// rest brings the world to rest with plain commands, now that nothing goes wrong any more: what nobody finished is taken
// to its end or taken back, on each machine.
func (h *stagehand) rest() {
	h.s.faults()
	if h.goal == "run" && !h.rollingBack() {
		d := h.act(action{on: h.lastHand, do: "run"})
		if other := 1 - h.lastHand; d.code == 0 && h.machines[other] != nil { // it may be behind, and has to come to the same
			d = h.act(action{on: other, do: "run"})
		}
		if d.code == 0 {
			return
		}
	}
	var last [2]*deed
	for range 3 { // one that is behind may be refused until the other has come to its end
		still := false
		for on, r := range h.machines {
			if r == nil || last[on] != nil && last[on].code == 0 {
				continue
			}
			a := action{on: on, do: "back"}
			if last[on] != nil {
				h.holdAgain(on, last[on].said)
				a.args = advice(last[on].said)
			}
			d := *h.act(a)
			last[on], still = &d, still || d.code != 0
		}
		if !still {
			return
		}
	}
	for _, d := range last {
		if d != nil && d.code == 0 {
			return // the other one's journal is of a release that went on without it
		}
	}
	h.fault("nobody comes to rest")
}

// holdAgain puts a hold back where an error recommends that; a lift that was begun ends first.
func (h *stagehand) holdAgain(on int, said string) {
	hold := action{on: on, do: "hold", args: []string{"--reason", "it is slow"}}
	recommends := func(said, words string) bool {
		_, hint, _ := strings.Cut(said, "slipway: hint: ")
		return strings.Contains(hint, " hold "+released+words)
	}
	if !recommends(said, " --reason TEXT") {
		return
	}
	if d := h.act(hold); d.code != 0 && recommends(d.said, " --lift ends it") {
		h.act(action{on: on, do: "lift"})
		h.act(hold)
	}
}

// hinted finds a rollback in what was said.
var hinted = regexp.MustCompile(`rollback ` + regexp.QuoteMeta(released) + `((?: --(?:amend|epoch|delete-tag|delete|yes)\b| --(?:to|level|without) \S+| --reason (?:'[^']*'|"[^"]*"|\S+))*)`)

// advice are the arguments of the rollback that an error recommends.
func advice(said string) (args []string) {
	_, hint, _ := strings.Cut(said, "slipway: hint: ")
	longest := ""
	for _, m := range hinted.FindAllStringSubmatch(hint, -1) {
		if len(m[1]) > len(longest) {
			longest = m[1]
		}
	}
	for _, f := range regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`).FindAllString(longest, -1) {
		if f = strings.Trim(f, `'"`); f == "OLDER" {
			f = older
		}
		args = append(args, f)
	}
	return args
}

// rollingBack reports whether a rollback of what is out was begun on any machine.
func (h *stagehand) rollingBack() bool {
	for _, r := range h.machines {
		if r != nil && newest(r.journalDir(), "rollback") > 0 {
			return true
		}
	}
	return false
}

// whole demands that the world is at rest: released, rolled back or unwound, each with all that belongs to it.
func (h *stagehand) whole(m moment) {
	rel, _, public := m.public(tagName)
	main := m.refs["refs/heads/main"]
	asked := h.rolledBackLevels()
	drafts := 0
	for _, r := range m.releases {
		if r.tag == tagName && r.draft {
			drafts++
		}
	}
	_, merged := h.git("origin.git", "merge-base", "--is-ancestor", m.refs[tagRef], main)
	switch {
	case len(asked) > 0:
		h.ending = "rolled back"
		h.rolledBack(m, asked)
	case public == 1:
		h.ending = "released"
		if rel.prerelease || drafts > 0 || m.refs["refs/heads/release/"+tagName] == "" || !merged || !rel.latest {
			h.fault("released, and not whole: prerelease %v, latest %v, %d drafts, merged %v, refs\n%v", rel.prerelease, rel.latest, drafts, merged, sorted(m.refs))
		}
		if h.aur() && m.version != released+"-1" {
			h.fault("released, and the AUR has %s", m.version)
		}
	default:
		h.ending = "unwound"
		// A branch bears no marker: whose push lost its answer, whose branch stays.
		doubt := slices.ContainsFunc(h.deeds, func(d deed) bool { return d.killed || strings.Contains(d.trouble, "receive-pack") })
		if drafts > 0 || m.refs[tagRef] != "" || m.refs["refs/heads/release/"+tagName] != "" && !doubt {
			h.fault("unwound, and not whole: %d drafts, refs\n%v", drafts, sorted(m.refs))
		}
		if h.aur() && m.version != older+"-1" {
			h.fault("unwound, and the AUR has %s", m.version)
		}
	}
}

// rolledBackLevels are those of all rollbacks that have come to their end, on whichever machine.
func (h *stagehand) rolledBackLevels() map[string]bool {
	levels := map[string]bool{}
	for _, r := range h.machines {
		if r == nil {
			continue
		}
		for n := newest(r.journalDir(), "rollback"); n > 0; n-- {
			plan, over := standing(r.journalDir() + "/rollback-" + string(rune('0'+n)))
			if !over {
				continue
			}
			for _, sp := range plan.Specs {
				for level, id := range map[string]string{"aur": "rollback/push/", "github": "rollback/withdraw", "git": "rollback/revert", "hold": "rollback/hold"} {
					if strings.HasPrefix(sp.ID, id) {
						levels[level] = true
					}
				}
			}
			if o, ok := phases.RollbackAsked(plan); ok && o.Delete {
				levels["delete"] = true
			}
		}
	}
	return levels
}

// rolledBack demands what each level promises.
func (h *stagehand) rolledBack(m moment, levels map[string]bool) {
	rel, _, public := m.public(tagName)
	main := m.refs["refs/heads/main"]
	if levels["github"] && public > 0 && (rel.latest || !strings.Contains(rel.body, "has been withdrawn")) {
		h.fault("rolled back, and the release is public without a notice: prerelease %v, latest %v", rel.prerelease, rel.latest)
	}
	if r, _, _ := m.public(olderTag); levels["github"] && !r.latest {
		h.fault("rolled back, and the older release is not the latest")
	}
	if text, _ := h.git("origin.git", "show", main+":app.json"); levels["git"] && !strings.Contains(text, "development") {
		h.fault("rolled back, and main has app.json %s", text)
	}
	lifted, held := false, h.lastHeld()
	for _, d := range h.deeds {
		lifted = lifted || d.do == "lift" && d.ended.After(held)
	}
	if levels["hold"] && !lifted && !h.held(main, map[string]bool{}) {
		h.fault("rolled back, and %s is not held", released)
	}
	if levels["aur"] && !strings.Contains(m.version, older) {
		h.fault("rolled back, and the AUR has %s", m.version)
	}
}

// lastHeld is when a rollback or a hold has last made the version held, or found it so.
func (h *stagehand) lastHeld() (at time.Time) {
	for _, d := range h.deeds {
		if d.do == "hold" && d.code == 0 {
			at = d.ended
		}
	}
	for _, r := range h.machines {
		if r == nil {
			continue
		}
		files, err := filepath.Glob(filepath.Join(r.journalDir(), "rollback-*", journal.FileName))
		if err != nil {
			h.t.Fatal(err)
		}
		for _, file := range files {
			for rec, err := range journal.Read(filepath.Dir(file)).Records() {
				if err != nil {
					h.fault("%s: %v", file, err)
				} else if rec.Step == "rollback/hold" && rec.Event == pipeline.Done && rec.Time.After(at) {
					at = rec.Time
				}
			}
		}
	}
	return at
}
