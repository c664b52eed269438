package cli

import (
	"slices"
	"strings"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
)

// corrected closes a rollback that has come to its end.
type corrected struct {
	project, bad, good string
	levels, keeps      []string
	state              string // of the release on GitHub: draft, notice or gone
	made               int
	report             string
	holding            *phases.Holding // what the journals say by now
	lift               string          // what ends a hold
}

// Show tells where users are now, and what is left to people.
func (c corrected) Show(p *ui.Page) {
	p.Gap()
	what := "is withdrawn"
	switch {
	case !slices.Contains(c.levels, "aur") && !slices.Contains(c.levels, "github"): // no user was moved
		what = "is taken back"
	case c.good != "":
		what = "is rolled back to " + c.good
	}
	p.Printf("%s %s %s (%s); %s done now\n", c.project, c.bad, what, strings.Join(c.levels, ", "), ui.Count(c.made, "step"))
	switch needs := strings.Join(c.keeps, ", ") + " in the AUR downloads its files"; {
	case len(c.keeps) == 0:
	case c.state == "notice":
		p.Printf("the release is public, with a notice: %s, and gives users %s\n", needs, c.bad)
	default: // it was not us
		p.Printf("the release is %s: %s, so nobody can install that now; level aur mends it\n", strings.Replace(c.state, "draft", "a draft", 1), needs)
	}
	p.Printf("the report, with what each kind of user has to be told: %s\n", c.report)
	switch h := c.holding; {
	case h == nil:
	case !h.Held:
		p.Printf("%s is not held any more (%s): %s\n", c.bad, h.By, h.Reason)
	default:
		p.Printf("%s is held; %s lets it go\n", c.bad, c.lift)
	}
}

// keeping are the AUR packages that download from a release after all, and what became of that.
func keeping(s *pipeline.Survey, planned *phases.Rollback) (keeps []string, state string) {
	for _, st := range s.Steps {
		if st.Spec.ID != phases.RollbackWithdraw {
			continue
		}
		if state = st.Last.Receipt["state"]; st.Last.Receipt[phases.RollbackNeededBy] != "" {
			keeps = planned.Keeps
		}
	}
	return keeps, state
}

// correctionView shows a rollback before it is carried out.
type correctionView struct {
	ui.Plan
	To      string   `json:"to"`
	Levels  []string `json:"levels"`
	LeftOut []string `json:"left_out,omitempty"`
	Means   []mean   `json:"means"`
}

// mean says what a level does in the place of what one would say it does.
type mean struct {
	Level string `json:"level"`
	Said  string `json:"said"`
	Does  string `json:"does"`
	Why   string `json:"why"`
}

// means are those of the planned levels.
func means(r *phases.Rollback) (out []mean) {
	all := map[string]mean{
		"aur":    {Said: "revert the AUR package", Does: "a forward commit with the payload of " + r.To + " and a higher version", Why: "pacman never goes back by itself, and the AUR refuses what is no fast-forward"},
		"github": meansGitHub(r),
		"git":    {Said: "revert git tags and branches", Does: "one commit puts back the files that the release's own commit changed", Why: "others have pulled: nothing is forced or reset; code that was merged before stays; the tag stays, clones and caches keep it"},
		"hold":   {Said: "do not release it again", Does: "a hold on the main branch, which every release asks for", Why: "otherwise the next run publishes it again"},
	}
	if r.Asked.Epoch {
		m := all["aur"]
		m.Does, m.Why = "a forward commit with the payload and the version of "+r.To+", and the epoch raised", m.Why+"; every later release needs that epoch, for ever"
		all["aur"] = m
	}
	if r.Asked.DeleteTag {
		m := all["git"]
		m.Does += ", and the tag is deleted at the remote"
		m.Why = "others have pulled: nothing is forced or reset; code that was merged before stays; clones, mirrors and the Go module proxy keep the tag all the same, so the version is used up"
		all["git"] = m
	}
	for _, level := range r.Levels {
		m := all[level]
		m.Level = level
		out = append(out, m)
	}
	return out
}

func meansGitHub(r *phases.Rollback) mean {
	m := mean{Said: "delete the GitHub release", Does: "it becomes a draft again and keeps its assets (an immutable one: a notice)", Why: "deleting an immutable release burns its tag for ever, and a deleted one cannot be looked into"}
	switch {
	case len(r.Keeps) > 0:
		m.Does = "it stays public, a prerelease with a notice"
		m.Why = strings.Join(r.Keeps, ", ") + " in the AUR downloads its files and is not corrected: whoever installs that would get an error in the place of a program"
	case r.Asked.Delete:
		m.Does, m.Why = "it becomes a draft again, and that is deleted with its assets", "--delete asks for it; nobody can look into it any more. An immutable one is refused at the gate: its tag would be burned for ever"
	}
	if r.Latest {
		m.Does += "; the latest release is " + r.To + ", unless a newer one is"
	}
	return m
}

// Show lists the plan and what it means.
func (v correctionView) Show(p *ui.Page) {
	v.Plan.Show(p)
	p.Gap()
	p.Line(ui.Cell{Text: "What is done, in the place of what one would say", Style: ui.Bold})
	for _, m := range v.Means {
		p.Printf("  %s: \"%s\" -> %s\n", m.Level, m.Said, m.Does)
		p.Printf("      since %s\n", m.Why)
	}
	for _, text := range v.LeftOut {
		p.Printf("  left out: %s\n", text)
	}
}
