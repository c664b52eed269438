// Package tool runs programs of other people.
//
// A program gets an argument list, never a shell; an environment that is written out in full, never the caller's; a
// time limit; and a process group of its own, which is killed as a whole when the limit is reached or the run is
// interrupted. Of what it prints only the end is kept, and secrets are blotted out of that: see [Redactor].
//
// A program that is not there is a [*MissingError], one that ran and refused is an [*ExitError], one that took too long
// a [*TimeoutError]. A judge must not confuse them: the first verdict is unknown, the second is fail.
package tool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Command is a program to run.
type Command struct {
	Argv    []string      // the program, by name or path, and its arguments
	Dir     string        // where it runs; required
	Env     []string      // the whole environment, "NAME=value"; see [Inherit]
	Stdin   io.Reader     // nil: nothing to read
	Stdout  io.Writer     // also gets its standard output, all of it and as it is; nil: nobody does
	Timeout time.Duration // zero: [DefaultTimeout]
	Secrets []string      // texts that no message may show, beside those that [NewRedactor] finds
}

// DefaultTimeout is how long a program may run when nothing else was said.
const DefaultTimeout = 30 * time.Minute

// grace is how long the output of a killed program is waited for.
const grace = 3 * time.Second

// Result is what a program left behind.
type Result struct {
	Tail string        // the end of what it printed, both streams as they came, without secrets
	Took time.Duration // for people; never evidence
}

// ErrMissing is matched, with errors.Is, by every [*MissingError].
var ErrMissing = errors.New("a program is missing")

// MissingError says that a program is not installed.
type MissingError struct{ Program string }

// Error names the program.
func (e *MissingError) Error() string {
	return fmt.Sprintf("cannot find the program %q: install it, or put its folder into PATH", e.Program)
}

// Is makes errors.Is(err, ErrMissing) true.
func (e *MissingError) Is(target error) bool { return target == ErrMissing }

// ExitError says that a program ran and ended with a failure.
type ExitError struct {
	Program string
	Code    int    // exit status; -1 where a signal ended it
	Tail    string // see [Result]
}

// Error shows the last lines of what the program printed.
func (e *ExitError) Error() string {
	how := fmt.Sprintf("ended with status %d", e.Code)
	if e.Code < 0 {
		how = "was ended by a signal"
	}
	return fmt.Sprintf("%s %s%s", e.Program, how, excerpt(e.Tail))
}

// TimeoutError says that a program was killed because it ran for too long.
type TimeoutError struct {
	Program string
	Limit   time.Duration
	Tail    string // see [Result]
}

// Error names the limit and shows the last lines of what the program printed.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("%s was killed after %v%s", e.Program, e.Limit, excerpt(e.Tail))
}

// Timeout reports true, as errors of package net do.
func (e *TimeoutError) Timeout() bool { return true }

// How much of a program's output an error shows.
const (
	excerptLines = 12
	excerptBytes = 2000
)

func excerpt(tail string) string {
	tail = strings.TrimSpace(tail)
	if tail == "" {
		return " and printed nothing"
	}
	lines := strings.Split(tail, "\n")
	cut := len(lines) > excerptLines
	if cut {
		lines = lines[len(lines)-excerptLines:]
	}
	text := strings.Join(lines, "\n")
	if len(text) > excerptBytes {
		text, cut = strings.ToValidUTF8(text[len(text)-excerptBytes:], ""), true
	}
	if cut {
		text = "[...] " + text
	}
	return ":\n" + text
}

// Look finds a program in PATH. It answers with a [*MissingError] where there is none. A program in the current folder
// does not count.
func Look(program string) (path string, err error) {
	path, err = exec.LookPath(program)
	if err != nil {
		return "", &MissingError{Program: program}
	}
	return filepath.Abs(path)
}

// Inherit picks variables of this process by name, for those who write an environment out. Names that are not set are
// left out.
func Inherit(names ...string) []string {
	var env []string
	for _, name := range names {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// Run runs a program and waits for it. When ctx ends the program is killed and the error is that of ctx.
func Run(ctx context.Context, c Command) (Result, error) {
	if len(c.Argv) == 0 || c.Dir == "" {
		return Result{}, errors.New("cannot run a program without a name and a folder")
	}
	name := filepath.Base(c.Argv[0])
	path, err := Look(c.Argv[0])
	if err != nil {
		return Result{}, err
	}
	limit := c.Timeout
	if limit == 0 {
		limit = DefaultTimeout
	}
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	cmd := exec.CommandContext(timed, path, c.Argv[1:]...)
	cmd.Dir, cmd.Stdin, cmd.WaitDelay = c.Dir, c.Stdin, grace
	if cmd.Env = c.Env; cmd.Env == nil {
		cmd.Env = []string{} // nil would be the caller's
	}
	redact := NewRedactor(append(values(c.Env), c.Secrets...)...)
	tail := &tail{}
	cmd.Stdout, cmd.Stderr = tail, tail
	flush := func() {}
	if c.Stdout != nil { // two pipes, in the place of one
		out, errs := &lines{to: tail}, &lines{to: tail}
		cmd.Stdout, cmd.Stderr = io.MultiWriter(c.Stdout, out), errs
		flush = func() { out.flush(); errs.flush() }
	}
	group(cmd)
	defer bind(cmd)()
	begun := time.Now()
	err = cmd.Run()
	sweep(cmd)
	flush()
	r := Result{Tail: redact.Text(tail.text(redact.longest)), Took: time.Since(begun)}

	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return r, context.Cause(ctx)
	case timed.Err() != nil:
		return r, &TimeoutError{name, limit, r.Tail}
	case errors.As(err, &exit):
		return r, &ExitError{name, exit.ExitCode(), r.Tail}
	case errors.Is(err, exec.ErrWaitDelay):
		return r, fmt.Errorf("%s left another program running that keeps its output open", name)
	case err != nil:
		return r, fmt.Errorf("cannot run %s: %s", name, redact.Text(err.Error()))
	}
	return r, nil
}

// values picks the values of variables whose names say that they are secret.
func values(env []string) []string {
	var out []string
	for _, kv := range env {
		if name, value, _ := strings.Cut(kv, "="); secretName.MatchString(name) {
			out = append(out, value)
		}
	}
	return out
}
