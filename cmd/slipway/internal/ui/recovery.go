package ui

import (
	"strings"
	"time"
)

// Recovery says how the rollback of a release stands, by the clock.
type Recovery struct {
	Name   string    `json:"name"` // rollback-1
	To     string    `json:"to,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Began  time.Time `json:"began,omitzero"`
	Ended  time.Time `json:"ended,omitzero"`
	State  string    `json:"state"`
	// Horizon is where the clock stands: 0-1 hour, 1-4 hours, 4-24 hours, 1-7 days. Clock says what each is for.
	Horizon string   `json:"horizon,omitempty"`
	Clock   []string `json:"clock,omitempty"`
	// Levels are those of all rollbacks of the release, in the order in which they are taken.
	Levels []RecoveryLevel `json:"levels,omitempty"`
	// Earlier are the rollbacks before this one, oldest first.
	Earlier []Recovery `json:"earlier,omitempty"`
}

// RecoveryLevel is how a level of a rollback stands.
type RecoveryLevel struct {
	Level string `json:"level"`          // aur, github, git or hold
	State string `json:"state"`          // pending, active, failed or done
	What  string `json:"what,omitempty"` // what was done, or why it failed
	By    string `json:"by"`             // rollback-1
	To    string `json:"to,omitempty"`
}

// Holding is what the journals of a release say of a hold.
type Holding struct {
	By     string    `json:"by"` // rollback-1 or hold-2
	Held   bool      `json:"held"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

const minute = "2006-01-02 15:04 UTC"

// Text is the rollback in one line.
func (r Recovery) Text() string {
	text := r.Name
	if r.To != "" {
		text += " to " + r.To
	}
	text += ", began " + r.Began.UTC().Format(minute)
	if !r.Ended.IsZero() {
		return text + ", took " + r.Ended.Sub(r.Began).Round(time.Second).String()
	}
	return text + ", goes on"
}

// Text is the hold in one line.
func (h Holding) Text() string {
	what := "held since "
	if !h.Held {
		what = "lifted "
	}
	return what + h.Since.UTC().Format(minute) + ": " + h.Reason + " (" + h.By + ")"
}

// recovery shows the rollbacks and the hold of a release.
func (v Status) recovery(p *Page) {
	if r := v.Recovery; r != nil {
		p.Line(Cell{"Recovery", Bold}, Cell{Text: "  " + r.Text() + "; " + r.State})
		for _, e := range r.Earlier {
			p.Line(Cell{"  before: " + e.Text() + "; " + e.State, Dim})
		}
		var rows [][]Cell
		for _, l := range r.Levels {
			what := l.What
			if l.By != r.Name {
				what = strings.TrimSpace(what + " (" + l.By + ")")
			}
			rows = append(rows, []Cell{levelSign(l.State, p.signs), {Text: l.Level}, {Text: l.State}, {what, Dim}})
		}
		p.Table("  ", rows...)
		for _, text := range r.Clock {
			cell := Cell{Text: "  " + text, Style: Dim}
			if strings.HasPrefix(text, r.Horizon) {
				cell = Cell{"  " + text + "  <- now", Bold}
			}
			p.Line(cell)
		}
		p.Gap()
	}
	if h := v.Hold; h != nil {
		style := Bold
		if !h.Held {
			style = Dim
		}
		p.Line(Cell{"Hold", style}, Cell{Text: "  " + h.Text()})
		p.Gap()
	}
}

func levelSign(state string, s signs) Cell {
	switch state {
	case "done":
		return Cell{s.ok, Green}
	case "failed":
		return Cell{s.fail, Red}
	case "active":
		return Cell{s.unknown, Yellow}
	}
	return Cell{s.none, Dim}
}
