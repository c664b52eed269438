package phases

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/phases/rollback"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// levels are those that are planned.
type levels struct {
	c        *Config
	released *Released
	asked    []string
	begun    bool // they were asked for when the rollback began
	on       map[string]bool
	leftOut  []string
	// findOlder is what can be done where no older version is known.
	findOlder string
}

func (l *levels) out(level, why string) {
	delete(l.on, level)
	l.leftOut = append(l.leftOut, level+": "+why)
}

// take takes the levels that options ask for, and refuses options that do not fit them.
func (l *levels) take(o *RollbackOptions, older string) error {
	if older == "" && len(o.Levels) == 0 && len(l.released.pushed()) > 0 {
		return errors.New("no older version is known here, and without one the AUR's users stay on the bad one: " + l.findOlder + "; --level github,git,hold leaves the AUR as it is")
	}
	if err := l.choose(older); err != nil {
		return err
	}
	switch {
	case o.DeleteTag && len(o.Levels) > 0 && !slices.Contains(o.Levels, rollback.Git):
		return errors.New("--delete-tag belongs to level git: add it to --level, or leave --delete-tag out")
	case o.Epoch && !l.on[rollback.AUR] && !l.begun:
		return errors.New("--epoch belongs to level aur, which is not taken: leave it out, or add the level where the release has reached the AUR")
	}
	return l.without(o)
}

// without leaves packages out of level aur. The AUR is not waited for about one that never got there as far as the
// journal knows: where it cannot be asked, the release stays public for that, too. What a rollback was begun without may turn
// out never to have arrived there.
func (l *levels) without(o *RollbackOptions) error {
	pushed, rest := unique(l.released.pushed()), l.c.inAUR()
	corrected := pushed
	var left []string
	for _, name := range unique(o.Without) {
		there := slices.Contains(pushed, name)
		switch {
		case there && !l.on[rollback.AUR] && !l.begun:
			return fmt.Errorf("--without belongs to level aur, which is not taken: leave out --without %s, or add the level", name)
		case there && l.on[rollback.AUR]:
			corrected = slices.DeleteFunc(slices.Clone(corrected), func(n string) bool { return n == name })
			l.leftOut = append(l.leftOut, fmt.Sprintf("aur, %s: not asked for: its users stay on what the AUR has", name))
		case !there && l.on[rollback.GitHub] && slices.Contains(rest, name):
			l.leftOut = append(l.leftOut, fmt.Sprintf("aur, %s: the AUR is not waited for: unless it says by then that nothing needs the release, that stays public", name))
		case !l.begun:
			return fmt.Errorf("--without %s: the release has no such package in the AUR, only %s", name, strings.Join(unique(append(rest, pushed...)), ", "))
		default:
			continue
		}
		left = append(left, name)
	}
	if l.on[rollback.AUR] && len(corrected) == 0 {
		return errors.New("--without leaves no package to correct: leave level aur out, with --level github,git,hold")
	}
	o.Without = left
	return nil
}

// choose takes the levels that were asked for, or all that the release has reached.
func (l *levels) choose(older string) error {
	l.on = map[string]bool{}
	for _, name := range l.asked {
		if !slices.Contains(rollback.Levels, name) {
			return fmt.Errorf("there is no level %q: want some of %s", name, strings.Join(rollback.Levels, ", "))
		}
	}
	into := l.c.Release.Git.MergeInto
	all := []struct {
		level string
		why   string // it cannot be taken
	}{
		{rollback.AUR, l.aur(older)},
		{rollback.GitHub, when(!l.released.Acted("release/publish"), "the release was never published on GitHub")},
		{rollback.Git, when(into == "" || !l.released.Acted("release/merge"), "the release was never merged into a branch")},
		{rollback.Hold, when(into == "", "holds are files on the branch of release.git.merge_into, and there is none")},
	}
	var can []string
	for _, x := range all {
		if x.why == "" {
			can = append(can, x.level)
		}
	}
	for _, x := range all {
		asked := slices.Contains(l.asked, x.level)
		switch {
		case asked && x.why != "" && l.begun && len(l.asked) > 1:
			l.out(x.level, x.why)
		case asked && x.why != "":
			if len(can) == 0 {
				return fmt.Errorf("cannot roll back level %s: %s; no other level can be taken either", x.level, x.why)
			}
			return fmt.Errorf("cannot roll back level %s: %s; what can be taken: --level %s", x.level, x.why, strings.Join(can, ","))
		case len(l.asked) > 0 && !asked:
			l.out(x.level, "not asked for")
		case x.why != "":
			l.out(x.level, x.why)
		default:
			l.on[x.level] = true
		}
	}
	return nil
}

func (l *levels) aur(older string) string {
	switch {
	case len(l.released.pushed()) == 0:
		return "the release never reached the AUR"
	case older == "":
		return "no older version is known here to give users: " + l.findOlder
	}
	return ""
}

func when(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

// options are what the phase is made of, but for what the AUR adds. The older version's tag is that of o.
func (l *levels) options(r *Repository, o RollbackOptions, facts rollback.Facts, older string) (rollback.Options, error) {
	c, env := l.c, l.released.Plan.Env
	form, err := repo.ParseTagForm(c.Release.Git.TagForm())
	hub := c.Release.GitHub
	return rollback.Options{
		Version: env.Version, Older: older, OlderTag: o.Tag, Facts: facts,
		Owner: hub.Owner, Repo: hub.Repo, BaseURL: hub.BaseURL, Page: strings.TrimPrefix(hub.Page(), "https://"), Form: form, Branch: c.mainline(r.Root(), env),
		GitHub: l.on[rollback.GitHub], Git: l.on[rollback.Git], Hold: l.on[rollback.Hold], Delete: o.Delete, DeleteTag: o.DeleteTag,
		Reason: o.Reason, Asked: o.params(),
		Gate: func(checks []string) (gate.Gate, error) {
			g, err := assemble(planned(c.Gates.Rollback, checks), rollback.Name, rollback.GateTitle, nil)(checks)
			for i, cr := range g.Criteria { // who signs sees the criteria, and nothing else of the plan
				if cr.Check == rollback.Standing {
					g.Criteria[i].Title = strings.TrimPrefix(cr.Title+": ", rollback.Standing+": ") + l.asks(o, older)
				}
			}
			return g, err
		},
	}, err
}

// asks says in one line what is approved.
func (l *levels) asks(o RollbackOptions, older string) string {
	what := l.released.Plan.Env.Version
	if older != "" {
		what += " to " + older
	}
	on := slices.DeleteFunc(slices.Clone(rollback.Levels), func(name string) bool { return !l.on[name] })
	all := append([]string{what, "levels " + strings.Join(on, ", ")},
		when(o.Epoch, "raising the epoch"), when(o.Delete, "deleting the release"), when(o.DeleteTag, "deleting the tag"),
		when(len(o.Without) > 0, "without "+strings.Join(o.Without, ", ")))
	return strings.Join(slices.DeleteFunc(all, func(text string) bool { return text == "" }), ", ")
}

// keeps lists the packages that the release has in the AUR, or may have, and that are not corrected.
func (l *levels) keeps(o RollbackOptions) []Pushed {
	there := l.released.Pushed()
	for _, name := range o.Without {
		if !slices.ContainsFunc(there, func(p Pushed) bool { return p.Package == name }) {
			there = append(there, Pushed{Package: name})
		}
	}
	return slices.DeleteFunc(there, func(p Pushed) bool { return l.on[rollback.AUR] && !slices.Contains(o.Without, p.Package) })
}
