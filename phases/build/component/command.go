package component

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/internal/tool"
	"github.com/imrightguy/slipway/pipeline"
)

// checkCommand lists the faults of a configuration for builder command.
func (c Config) checkCommand() []error {
	return command{argv: c.Command, output: c.Output, env: c.Env, pass: c.Pass}.check()
}

// command runs a program in a private copy of the checkout and takes what it made there.
type command struct {
	argv    []string
	output  string
	env     map[string]string // fixed values
	pass    []string          // names of variables that are let through
	timeout time.Duration     // zero: the default
}

var (
	variableRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	shells     = []string{"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "fish", "cmd", "cmd.exe", "powershell", "pwsh"}
	fieldRE    = regexp.MustCompile(`\{\{[^{}]*\}\}`)
	scriptRE   = regexp.MustCompile(`^(-[a-zA-Z]*c|-Command|/[cCkK])$`) // the next argument is a script
)

func (m command) check() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(m.argv) == 0 || m.argv[0] == "" {
		bad("command: want a program and its arguments, as in [make, dist]")
	} else if err := checkProgram(m.argv); err != nil {
		bad("command: %w", err)
	}
	for _, a := range m.argv {
		if strings.Contains(a, "\x00") {
			bad("command: want no NUL in %q", a)
		}
	}
	if err := CheckSource(m.output); err != nil {
		bad("output: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(m.env)) {
		switch {
		case !variableRE.MatchString(name):
			bad("env: want the name of a variable, found %q", name)
		case strings.Contains(m.env[name], "\x00"):
			bad("env.%s: want no NUL in it", name)
		}
	}
	for i, name := range m.pass {
		switch _, fixed := m.env[name]; {
		case !variableRE.MatchString(name):
			bad("pass: want the name of a variable, found %q", name)
		case fixed:
			bad("pass: %s has a value under env", name)
		case slices.Index(m.pass, name) != i:
			bad("pass: %s is listed twice", name)
		}
	}
	return errs
}

// unfilled stands for a text whose fields are not filled in yet, to be looked at before there is a plan.
func unfilled(text string) string { return fieldRE.ReplaceAllString(text, "x") }

// checkProgram refuses a program that is named by a place on one machine, and scripts that a shell would read out of
// release.yaml, where nobody looks for programs.
func checkProgram(argv []string) error {
	program := unfilled(argv[0])
	switch {
	case !strings.Contains(program, "/"):
		if strings.HasPrefix(program, "-") || strings.ContainsAny(program, " \t\r\n\\\"'`$;|&<>") {
			return fmt.Errorf("want the name of a program, and each argument as a text of its own, found %q", program)
		}
	default:
		if err := CheckSource(strings.TrimPrefix(program, "./")); err != nil {
			return fmt.Errorf("a program with a slash is one of the repository: %w", err)
		}
	}
	if slices.Contains(shells, path.Base(program)) && slices.ContainsFunc(argv[1:], scriptRE.MatchString) {
		return fmt.Errorf("%s would read a script out of release.yaml: put it into a file of the repository and run that", path.Base(program))
	}
	return nil
}

func (m command) params() map[string]string {
	return map[string]string{"builder": Command, "command": asJSON(m.argv), "output": m.output, "env": asJSON(m.env), "pass": asJSON(m.pass)}
}

// asJSON shows where one text ends and the next begins. Maps come out sorted by key.
func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error() // not of lists and maps of texts
	}
	return string(text)
}

// harmless are variables whose values messages may show though they were passed.
var harmless = slices.Concat(passed, settings, []string{
	"LANG", "LANGUAGE", "LC_ALL", "TERM", "USER", "LOGNAME", "SHELL", "DISPLAY", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "JAVA_HOME", "CARGO_HOME", "RUSTUP_HOME",
})

func (m command) build(ctx context.Context, ws *pipeline.Workspace, source, out string) (pipeline.Receipt, error) {
	p, err := newPrivate(ctx, ws, source, out)
	if err != nil {
		return nil, err
	}
	argv := slices.Clone(m.argv)
	if strings.Contains(argv[0], "/") {
		if argv[0], err = p.program(argv[0]); err != nil {
			return nil, err
		}
	}
	// Later ones count.
	env := append(tool.Inherit("PATH", "SystemRoot", "ComSpec", "PATHEXT"), p.environment()...)
	for _, name := range slices.Sorted(maps.Keys(m.env)) {
		env = append(env, name+"="+m.env[name])
	}
	var secrets []string
	for _, name := range m.pass {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
			if !slices.Contains(harmless, name) {
				secrets = append(secrets, value)
			}
		}
	}
	ws.Logf("runs %s", path.Base(m.argv[0]))
	if err := p.run(ctx, argv, env, secrets, m.timeout); err != nil {
		return nil, err
	}
	if err := p.take(ctx, m.output); err != nil {
		return nil, fmt.Errorf("%s ended well, but %s", path.Base(m.argv[0]), tool.NewRedactor(secrets...).Text(err.Error()))
	}
	return nil, nil
}

// program finds a program of the repository in the copy.
func (p *private) program(name string) (string, error) {
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	info, err := root.Stat(filepath.FromSlash(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("cannot find the program %q in the repository: is it committed?", name)
	case err != nil:
		return "", fmt.Errorf("cannot run %q: %w", name, err)
	case !info.Mode().IsRegular() || info.Mode()&0o100 == 0:
		return "", fmt.Errorf("cannot run %q: it is no executable file in the commit; git update-index --chmod=+x makes it one", name)
	}
	return filepath.Join(p.dir, filepath.FromSlash(name)), nil
}
