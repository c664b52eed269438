// Package requirement is the step build/requirements: it looks for the programs that a release is made with, before
// anything is built.
//
// A program is asked for its version, which has to lie in a range; or for its help, in which flags have to occur: so a
// flag or a sub-command that a newer version of the tool no longer has is noticed now and not in the middle of a build.
// And there has to be room on the disk.
//
// Programs run with nothing to read, no terminal's answers, a deadline, and variables that keep them from asking
// anything.
//
// What is missing fails the step, with all of it in one error: nothing is built then, and the next run looks again. The
// check "requirements" passes otherwise. Versions stand in its summary only, outside the evidence's digest: an approval
// does not depend on which machine looked.
package requirement

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/imrightguy/slipway/phases/internal/size"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// What the step is called.
const (
	ID    = "build/requirements"
	Check = "requirements" // the evidence
)

// Config is one program that has to be there. In release.yaml it is the range of versions that will do, or keys.
type Config struct {
	// Range of versions that will do, like ">=3.24" or "^6 || 7.1.x". Left out: any version.
	Range string `yaml:"range,omitempty"`
	// Command asks the program for its version, or for its help where flags are wanted: a list of program and arguments,
	// never given to a shell. Left out: how the program of that name is known to be asked.
	Command []string `yaml:"command,omitempty"`
	// Pattern is a regular expression that finds the version in the answer, in its first group where it has one. Left out:
	// the first thing that looks like a version.
	Pattern string `yaml:"pattern,omitempty"`
	// Flags have to occur in what the command prints, like "--release".
	Flags []string `yaml:"flags,omitempty"`
}

// UnmarshalText reads the short form, a range. The long form is read as any other mapping.
func (c *Config) UnmarshalText(text []byte) error {
	*c = Config{Range: string(text)}
	if len(text) == 0 {
		return errors.New(`want a range of versions like ">=1.26", or "*" for any`)
	}
	return nil
}

const maxText = 1000 // bytes of a range, an argument, a pattern or a flag

var (
	// nameRE is what a program may be called that is looked for in PATH.
	nameRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$`)
	flagRE = regexp.MustCompile(`^[A-Za-z0-9+@/-][^\s\x00-\x1f\x7f]{0,199}$`)
)

// Validate joins an error for each fault of the entry called name.
func (c Config) Validate(name string) error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !nameRE.MatchString(name) {
		fault("%.100q is not the name of a program: want letters, digits and . _ + -", name)
	}
	if _, err := c.wanted(); err != nil {
		errs = append(errs, err)
	}
	if len(c.Command) > 0 && !nameRE.MatchString(c.Command[0]) && !filepath.IsAbs(c.Command[0]) {
		fault("command: want the name of a program in PATH first, found %.100q", c.Command[0])
	}
	for _, arg := range c.Command {
		if len(arg) > maxText || strings.Contains(arg, "\x00") {
			fault("command: argument %.40q is too long, or holds a NUL byte", arg)
		}
	}
	if _, err := regexp.Compile(c.Pattern); err != nil || len(c.Pattern) > maxText {
		fault("pattern: want a regular expression, found %.100q", c.Pattern)
	}
	for _, flag := range c.Flags {
		if !flagRE.MatchString(flag) {
			fault("flags: want flags like --release, found %.100q", flag)
		}
	}
	switch {
	case len(c.Flags) > 0 && len(c.Command) == 0:
		fault("flags: want a command that prints the help, like [flutter, build, linux, --help]")
	case len(c.Flags) > 0 && (c.Range != "" || c.Pattern != ""):
		fault("flags: they are looked for in a help text, range and pattern in another; make two entries")
	}
	return errors.Join(errs...)
}

func (c Config) wanted() (*semver.Constraints, error) {
	text := c.Range
	if text == "" {
		text = "*"
	}
	if len(text) > maxText {
		return nil, errors.New("range: it is too long")
	}
	r, err := semver.NewConstraint(text)
	if err != nil {
		return nil, fmt.Errorf(`range: want versions like ">=1.26" or "^3.4", found %.100q`, text)
	}
	return r, nil
}

// want describes what is wanted, for people.
func (c Config) want() string {
	switch {
	case len(c.Flags) > 0:
		return strings.Join(c.Flags, " ")
	case c.Range == "*":
		return ""
	}
	return c.Range
}

// A Finding is one thing that was looked at.
type Finding struct {
	Name  string // of the entry
	Found string // a version, or why there is none; one line, without secrets
	Want  string // the range, the flags or the room; empty: it only has to be there
	OK    bool
	Hint  string // what to do, where it is not OK
}

// String tells all of it in one line.
func (f Finding) String() string {
	s := f.Name + ": " + f.Found
	if f.Want != "" && !f.OK {
		s += ", wanted " + f.Want
	}
	if f.Hint != "" {
		s += " (" + f.Hint + ")"
	}
	return s
}

// Step returns the step. Room is what has to be free on the disk where work is done; 0 asks for none.
func Step(requires map[string]Config, room size.Bytes) pipeline.Step {
	params := map[string]string{"disk": room.String()}
	for name, c := range requires {
		b, err := json.Marshal(c)
		if err != nil { // texts only
			panic(err)
		}
		params["requires."+name] = string(b)
	}
	return &step{requires, room, pipeline.Spec{ID: ID, Effect: pipeline.Local, Checks: []string{Check}, Params: params}}
}

type step struct {
	requires map[string]Config
	room     size.Bytes
	spec     pipeline.Spec
}

func (s *step) Spec() pipeline.Spec { return s.spec }

func (s *step) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	tmp, err := ws.Temp()
	if err != nil {
		return nil, err
	}
	var all []Finding
	for _, name := range slices.Sorted(maps.Keys(s.requires)) {
		ws.Logf("looking for %s", name)
		all = append(all, Examine(ctx, name, s.requires[name]))
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	if s.room > 0 {
		all = append(all, Room(tmp, s.room))
	}
	var wanted, found, bad []string
	for _, f := range all {
		if !f.OK {
			bad = append(bad, f.String())
		}
		wanted = append(wanted, strings.TrimSpace(f.Name+" "+f.Want))
		found = append(found, strings.TrimSpace(f.Name+" "+f.Found))
	}
	if len(bad) > 0 {
		return nil, fmt.Errorf("cannot build with what is here: %s", strings.Join(bad, "; "))
	}
	e := pipeline.Evidence{Check: Check, Verdict: gate.Pass, Expected: strings.Join(wanted, ", "), Found: "all of it", Summary: strings.Join(found, ", ")}
	if len(all) == 0 {
		e.Expected, e.Found, e.Summary = "nothing", "nothing", "nothing is required"
	}
	ws.Report(e)
	return nil, nil
}
