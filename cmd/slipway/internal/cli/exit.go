package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// The exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitGate        = 3
	exitDiffers     = 4
	exitConflict    = 5
	exitLocked      = 6
	exitInterrupted = 130
)

// exits is the table of the exit codes, as the help shows it and the README repeats it.
var exits = []struct {
	code    int
	meaning string
}{
	{exitDone, "done"},
	{exitFailed, "failed"},
	{exitUsage, "wrong usage, or a bad release.yaml"},
	{exitGate, "a gate or proof did not pass, or waits"},
	{exitDiffers, "plan and journal differ"},
	{exitConflict, "conflict at the target"},
	{exitLocked, "another run holds the lock"},
	{exitInterrupted, "interrupted"},
}

func exitTable() string {
	var b strings.Builder
	for _, e := range exits {
		fmt.Fprintf(&b, "  %3d  %s\n", e.code, e.meaning)
	}
	return b.String()
}

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted")

// coded is an error with the exit code it leads to and with what the user can do. A zero code or an empty hint leaves
// that to the error inside.
type coded struct {
	error
	code int
	hint string
}

func (e *coded) Unwrap() error { return e.error }

// usage is an error of the command line or of a file that was given with it.
func usage(hint, format string, args ...any) error {
	return &coded{fmt.Errorf(format, args...), exitUsage, hint}
}

// refused is an error of a signature that would not count, or of a gate that is not in a state to be signed for.
func refused(hint, format string, args ...any) error {
	return &coded{fmt.Errorf(format, args...), exitGate, hint}
}

// withHint adds what the user can do.
func withHint(err error, format string, args ...any) error {
	return &coded{err, 0, fmt.Sprintf(format, args...)}
}

// exit says with which code the process ends, and what to tell the user.
func exit(err error) (code int, hint string) {
	for e := err; e != nil; { // the outermost of each counts
		var c *coded
		if !errors.As(e, &c) {
			break
		}
		if code == 0 {
			code = c.code
		}
		if hint == "" {
			hint = c.hint
		}
		e = c.error
	}
	if code == 0 {
		code = codeOf(err)
	}
	var damaged *journal.DamagedError
	switch {
	case hint != "":
	case errors.As(err, &damaged):
		hint = "nothing is done with a journal that cannot be trusted; move the folder " + filepath.Dir(damaged.Path) + " away, and if another machine has a whole one: slipway state load FILE"
	case errors.Is(err, phases.ErrElsewhere):
		hint = "take the journal of the machine that did it: there slipway state save FILE; here move the folder .slipway/VERSION away, then slipway state load FILE"
	case code == exitLocked:
		hint = "wait for it to end; a process that was killed holds no lock"
	case code == exitInterrupted:
		hint = "slipway run carries on from here"
	}
	return code, hint
}

func codeOf(err error) int {
	var bad *phases.Error
	switch {
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &bad):
		return exitUsage
	case errors.Is(err, pipeline.ErrConflict):
		return exitConflict
	case errors.Is(err, pipeline.ErrDiffers):
		return exitDiffers
	case errors.Is(err, journal.ErrLocked):
		return exitLocked
	case errors.Is(err, pipeline.ErrGate), errors.Is(err, ui.ErrRefused):
		return exitGate
	case errors.Is(err, ui.ErrNobody):
		return exitUsage
	}
	return exitFailed
}

// explained adds to each fault of release.yaml the line that it stands in.
func explained(err error) error {
	var faults phases.Errors
	if !errors.As(err, &faults) {
		return err
	}
	var b strings.Builder
	for _, f := range faults {
		b.WriteString(f.Error() + "\n" + f.Context())
	}
	return errors.New(b.String())
}
