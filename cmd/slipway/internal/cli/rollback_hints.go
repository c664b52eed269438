package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// rollbackWords are the command of a rollback with all its options.
func rollbackWords(version string, o phases.RollbackOptions, more ...string) []string {
	words := []string{"rollback", version}
	option := func(name, value string) {
		if value != "" {
			words = append(words, name, value)
		}
	}
	option("--to", o.To)
	option("--level", strings.Join(o.Levels, ","))
	option("--without", strings.Join(o.Without, ","))
	for _, flag := range []struct {
		name string
		on   bool
	}{{"--epoch", o.Epoch}, {"--delete", o.Delete}, {"--delete-tag", o.DeleteTag}} {
		if flag.on {
			words = append(words, flag.name)
		}
	}
	option("--reason", o.Reason)
	return append(words, more...)
}

// waysOut adds to the error of a rollback the whole command that does without what stands in its way. The plain one goes
// on as it was begun, and would stop there again.
func (a *app) waysOut(err error, version string, r *release, planned *phases.Rollback) error {
	if err == nil || errors.Is(err, errInterrupted) || errors.Is(err, context.Canceled) {
		return err
	}
	released, readErr := phases.ReadReleased(journal.Read(r.dir))
	if readErr != nil {
		return err
	}
	acted := func(level string) bool { // a level that has acted stays in the plan
		return slices.ContainsFunc(r.plan.Specs, func(sp pipeline.Spec) bool {
			of := phases.RollbackLevelOf(sp.ID)
			return of != "" && (level == "" || of == level) && released.Acted(sp.ID)
		})
	}
	o, plain := planned.Asked, a.command("rollback", version)
	code, hint := exit(err)
	add := func(format string, args ...any) {
		hint = strings.TrimPrefix(hint+"\n"+fmt.Sprintf(format, args...), "\n")
	}
	mended := func() {
		if !strings.Contains(hint, "once that is mended") {
			add("once that is mended: %s", plain)
		}
	}
	stopped, gated := errors.AsType[*pipeline.GateError](err)
	switch {
	case errors.Is(err, pipeline.ErrDiffers) && a.amendable(r) != nil:
		hint = ""
		add("what it did stays done; %s goes on as it was begun", plain)
		add("with the options as they are now, another one takes its place, with a gate of its own: %s", a.command(rollbackWords(version, o, "--amend")...))
	case errors.Is(err, pipeline.ErrDiffers):
		hint = ""
		add("%s goes on as it was begun", plain)
		add("with the options as they are now: %s", a.command(rollbackWords(version, o, "--amend")...))
	case gated && acted("hold") && slices.ContainsFunc(stopped.State.Criteria, func(c gate.CriterionState) bool { return c.Check == phases.CheckHeld && c.Verdict == gate.Fail }):
		hint = ""
		add("somebody has lifted the hold meanwhile: %s puts it back; then %s", a.command("hold", version, "--reason", "TEXT"), plain)
	case gated && (stopped.State.Waits() || acted("")):
		return err
	case gated && leftOut(stopped.State, &o, planned.Levels, corrects(r.plan)):
		add("as it says: %s", a.command(rollbackWords(version, o, "--amend")...))
	case gated:
		if o.Delete || o.DeleteTag { // the command as it is would stop here again
			o.Delete, o.DeleteTag = false, false
			add("without deleting anything: %s", a.command(rollbackWords(version, o, "--amend")...))
			add("or with another version or fewer levels, by --to and --level")
			break
		}
		add("or with other options, such as another version or fewer levels: %s", a.command(rollbackWords(version, o, "--amend")...))
	case errors.Is(err, pipeline.ErrConflict), errors.Is(err, pipeline.ErrUntouched):
		level := phases.RollbackLevelOf(firstWord(err))
		refused := errors.Is(err, pipeline.ErrUntouched) && (level == "git" || level == "hold") // both go to the same branch
		o.Levels = slices.DeleteFunc(slices.Clone(planned.Levels), func(l string) bool {
			return l == level || refused && (l == "git" || l == "hold") && !acted(l)
		})
		if level == phases.AUR && corrects(r.plan) > 1 { // of several, the others can be corrected
			o.Levels, o.Without = planned.Asked.Levels, append(slices.Clone(o.Without), path.Base(firstWord(err)))
			o.Delete, o.DeleteTag = false, false // that downloads from the release
			mended()
			add("or without that package: %s", a.command(rollbackWords(version, o, "--amend")...))
			break
		}
		if level != "" && acted("") && (acted(level) || len(o.Levels) == 0) {
			add("%s goes on once that is mended; before that, another one takes its place, whose gate says what can be left out", plain)
			break
		}
		if level == "" || len(o.Levels) == 0 || len(o.Levels) == len(planned.Levels) {
			return err
		}
		only(&o, planned.Levels, o.Levels)
		mended()
		add("or without that: %s", a.command(rollbackWords(version, o, "--amend")...))
	default:
		step := firstWord(err)
		o.Levels = slices.DeleteFunc(slices.Clone(planned.Levels), func(l string) bool { return l == phases.AUR })
		told := strings.Contains(err.Error(), "brings them back") // it names the commands
		if forAUR := strings.Count(step, "/") == 2; !forAUR || told || acted("") || len(o.Levels) == 0 || len(o.Levels) == len(planned.Levels) {
			return err
		}
		if corrects(r.plan) > 1 { // of several, the others can be corrected
			some := o
			some.Levels, some.Without, some.Delete, some.DeleteTag = planned.Asked.Levels, append(slices.Clone(o.Without), path.Base(step)), false, false
			add("or without that package: %s", a.command(rollbackWords(version, some, "--amend")...))
		}
		only(&o, planned.Levels, o.Levels)
		add("or without level aur: %s", a.command(rollbackWords(version, o, "--amend")...))
	}
	return &coded{err, code, hint}
}

var (
	leaving = regexp.MustCompile(`leave levels? ([a-z]+)(?: and ([a-z]+))? out`)
	without = regexp.MustCompile(`--without ([a-z0-9@_+][a-z0-9@._+-]*)`)
)

// leftOut takes what a gate's faults name as the way without them out of the options: levels, packages, or the older
// version. A package that can be left out is reason for that alone, not for leaving the level out.
func leftOut(s gate.State, o *phases.RollbackOptions, levels []string, packages int) bool {
	out := slices.Clone(levels)
	other, older, before := false, false, len(o.Without)
	for _, b := range s.Blocks {
		if m := without.FindStringSubmatch(b.Why); m != nil {
			if name := strings.TrimRight(m[1], "."); !slices.Contains(o.Without, name) {
				o.Without, other = append(slices.Clone(o.Without), name), true
				o.Delete, o.DeleteTag = false, false // it downloads from the release
			}
			continue
		}
		for _, m := range leaving.FindAllStringSubmatch(b.Why, -1) {
			out = slices.DeleteFunc(out, func(l string) bool { return l == m[1] || l == m[2] })
		}
		older = older || strings.Contains(b.Why, "with --to")
	}
	if packages > 0 && len(o.Without)-before >= packages { // nothing is left of the level
		o.Without, out = nil, slices.DeleteFunc(out, func(l string) bool { return l == phases.AUR })
	}
	if len(out) == 0 || len(out) == len(levels) && !other && !older {
		return false
	}
	if older {
		o.To = "OLDER"
	}
	if len(out) < len(levels) {
		only(o, levels, out)
	}
	return true
}

// corrects is how many AUR packages a plan corrects.
func corrects(p *pipeline.Plan) (n int) {
	for _, sp := range p.Specs {
		if sp.Effect.Outward() && phases.RollbackLevelOf(sp.ID) == phases.AUR {
			n++
		}
	}
	return n
}

// only leaves some of the planned levels, and what belongs to the others out. Without level aur nothing is deleted: the AUR
// may need it.
func only(o *phases.RollbackOptions, planned, levels []string) {
	has := func(level string) bool { return slices.Contains(levels, level) }
	was := slices.Contains(planned, "aur")
	if o.Levels, o.Epoch = levels, o.Epoch && has("aur"); was && !has("aur") || !was && !has("github") {
		o.Without = nil // what they belong to
	}
	o.Delete = o.Delete && has("github") && (has("aur") || !slices.Contains(planned, "aur"))
	o.DeleteTag = o.DeleteTag && has("github") && has("git") && (has("aur") || !slices.Contains(planned, "aur"))
}

// amendable says why a plan cannot take the place of the one in its journal, even by amending; nil where it can.
func (a *app) amendable(r *release) error {
	s, err := a.survey(r)
	if err != nil {
		return err
	}
	return s.Refused
}

// firstWord is the step that an error begins with.
func firstWord(err error) string {
	step, _, _ := strings.Cut(err.Error(), ":")
	return step
}

// own reports whether a release is carried on by run, so that another commit may mend it: what stands beside it is made of
// its journal and of options.
func (r *release) own() bool { return len(r.goOn) == 0 || r.goOn[0] == "run" }
