package command

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/build/component"
)

// Config is a program to run and what it has to do.
type Config struct {
	// Command is the program and its arguments, never given to a shell. A name is looked for in the bundle's bin and in
	// PATH, a path with slashes in the tree that it runs in.
	Command []string `yaml:"command,omitempty"`
	// Timeout is when it is killed and has failed, like 5m or 90s. Left out: 10m.
	Timeout component.Duration `yaml:"timeout,omitempty" jsonschema:"type=string"`
	// Bundle names the bundle that it runs in, laid out as in /usr. Left out: it runs in the checkout of the release's commit.
	Bundle string `yaml:"bundle,omitempty"`
	// Arch is the architecture of that bundle. Left out: amd64, or the only one that the bundle has.
	Arch string `yaml:"arch,omitempty" jsonschema:"enum=amd64,enum=arm64"`
	// Network says that it may reach the network. Left out: it may not, and is not run where it cannot be kept from it.
	Network bool `yaml:"network,omitempty"`
	// Display says that it opens windows; they open on an X server without a screen.
	Display bool `yaml:"display,omitempty"`
	// RunsFor is how long it has to go on running from when it has printed what it should, like 3s; it is killed then. Left
	// out: it has to end by itself.
	RunsFor component.Duration `yaml:"runs_for,omitempty" jsonschema:"type=string"`
	// Exit is the status that it has to end with. Left out: 0.
	Exit int `yaml:"exit,omitempty" jsonschema:"minimum=0,maximum=255"`
	// Output lists texts that it has to print.
	Output []string `yaml:"output,omitempty"`
	// Env are variables that it gets beside those that every program gets.
	Env map[string]string `yaml:"env,omitempty"`
	// Pass lists names of variables of the user's own environment that it gets, like PUB_CACHE.
	Pass []string `yaml:"pass,omitempty"`
}

const (
	defaultTimeout = 10 * time.Minute
	maxTimeout     = 6 * time.Hour
	maxText        = 4000 // bytes of an argument, a text or a value
)

// timeout is when the program is killed.
func (c Config) timeout() time.Duration {
	if c.Timeout == 0 {
		return defaultTimeout
	}
	return time.Duration(c.Timeout)
}

var (
	variableRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,99}$`)
	// own are variables that are made for the run: they lead to the private folders and the display.
	own = []string{"PATH", "HOME", "TMPDIR", "XDG_RUNTIME_DIR", "DISPLAY", "XAUTHORITY", "LD_PRELOAD"}
)

// Validate joins an error for each fault.
func (c Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Command) == 0 {
		fault("command: want a list of program and arguments")
	} else if err := checkProgram(c.Command[0]); err != nil {
		fault("command: %w", err)
	}
	for i, arg := range c.Command {
		if len(arg) > maxText || strings.Contains(arg, "\x00") {
			fault("command[%d]: it is longer than %d bytes, or holds a NUL byte", i, maxText)
		}
	}
	if c.timeout() > maxTimeout || c.timeout() < 0 {
		fault("timeout: want a time of at most %v, found %s", maxTimeout, c.Timeout)
	}
	switch {
	case c.RunsFor < 0 || c.RunsFor > 0 && time.Duration(c.RunsFor) >= c.timeout():
		fault("runs_for: want a time below the timeout of %v, found %s", c.timeout(), c.RunsFor)
	case c.RunsFor > 0 && c.Exit != 0:
		fault("exit: a program that has to go on running is killed, and ends with no status")
	}
	if c.Exit < 0 || c.Exit > 255 {
		fault("exit: want a status from 0 to 255, found %d", c.Exit)
	}
	if c.Arch != "" && c.Bundle == "" {
		fault("arch: want a bundle with it")
	}
	for i, text := range c.Output {
		if text == "" || len(text) > maxText {
			fault("output[%d]: want a text of at most %d bytes", i, maxText)
		} else if slices.Index(c.Output, text) != i {
			fault("output[%d]: %q stands there twice", i, text)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		if value := c.Env[name]; len(value) > maxText || strings.Contains(value, "\x00") {
			fault("env.%s: it is longer than %d bytes, or holds a NUL byte", name, maxText)
		}
		errs = append(errs, checkVariable("env", name))
	}
	for i, name := range c.Pass {
		errs = append(errs, checkVariable("pass", name))
		if _, twice := c.Env[name]; twice || slices.Index(c.Pass, name) != i {
			fault("pass: %s is set twice", name)
		}
	}
	return errors.Join(errs...)
}

func checkVariable(key, name string) error {
	switch {
	case !variableRE.MatchString(name):
		return fmt.Errorf("%s: %.100q is not the name of a variable", key, name)
	case slices.Contains(own, name):
		return fmt.Errorf("%s: %s is made for the run", key, name)
	}
	return nil
}

func checkProgram(program string) error {
	switch {
	case program == "" || strings.HasPrefix(program, "-") || len(program) > maxText || strings.ContainsFunc(program, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }):
		return fmt.Errorf("want the name of a program, or its path in the tree, found %.100q", program)
	case strings.Contains(program, "/") && !filepath.IsLocal(program):
		return fmt.Errorf("want a path that stays in the tree, found %.100q", program)
	}
	return nil
}

// arch is the architecture of the bundle to run, of those that it has; "" for a command in the checkout. It does not
// depend on this machine, for the plan must not.
func (c Config) arch(arches []string) string {
	switch {
	case c.Bundle == "":
		return ""
	case c.Arch != "":
		return c.Arch
	case len(arches) == 0 || slices.Contains(arches, "amd64"):
		return "amd64"
	}
	return arches[0]
}
