package judge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/imrightguy/slipway/phases/internal/sandbox"
	"github.com/imrightguy/slipway/phases/internal/tool"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// report collects what a judge says.
type report struct {
	subjects map[string]string // artifact name to digest
	about    string            // what is judged, for people
	tool     string            // name and version
	expected string            // what holds where nothing is found
	paths    []string          // of this machine, which no evidence shows
	faults   []string          // the first of them
	total    int               // number of all
}

// How much evidence shows: the first faults, each cut to a length, and the number of all.
const (
	maxShown = 5
	maxText  = 240
)

// input is an artifact that is judged, or that it is judged by.
func (r *report) input(ws *pipeline.Workspace, name string) (path string, err error) {
	a, path, err := ws.Input(name)
	if err == nil {
		r.subjects[name] = a.SHA256
	}
	return path, err
}

// fault adds one.
func (r *report) fault(format string, args ...any) {
	if r.total++; len(r.faults) < maxShown {
		r.faults = append(r.faults, r.clean(fmt.Sprintf(format, args...)))
	}
}

// lines adds a fault for each line that is wanted, behind a prefix; where there is none, one for the first lines.
func (r *report) lines(prefix, text string, wanted func(string) bool) {
	var some []string
	found := false
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if wanted(line) {
			found = true
			r.fault("%s%s", prefix, line)
		} else if len(some) < maxShown {
			some = append(some, line)
		}
	}
	if !found {
		if len(some) == 0 {
			some = []string{"refused without a word"}
		}
		for _, line := range some {
			r.fault("%s%s", prefix, line)
		}
	}
}

// boxPath is where a box lies, outside and inside of the sandbox.
var boxPath = regexp.MustCompile(`(?:/[^\s:'"]*)?/slipway-box-[0-9]+/|/slipway/`)

// clean makes a short line of plain text, without control and formatting characters and without paths of this machine.
func (r *report) clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	for _, p := range append(r.paths, os.TempDir()) {
		if len(p) > 1 {
			s = strings.ReplaceAll(strings.ReplaceAll(s, p+"/", ""), p, ".")
		}
	}
	s = boxPath.ReplaceAllString(s, "")
	s = strings.Map(func(c rune) rune {
		switch {
		case unicode.IsControl(c), unicode.Is(unicode.Zl, c), unicode.Is(unicode.Zp, c):
			return ' '
		case unicode.Is(unicode.Cf, c): // turns the direction of what follows, or cannot be seen
			return -1
		}
		return c
	}, s)
	return cut(strings.Join(strings.Fields(s), " "), maxText)
}

// cut shortens a text to some bytes.
func cut(s string, to int) string {
	if len(s) <= to {
		return s
	}
	for to > 0 && !utf8.RuneStart(s[to]) {
		to--
	}
	return s[:to] + "..."
}

// evidence is the verdict. An error means that it could not be judged; what was found until then stands in it.
func (r *report) evidence(err error) (pipeline.Evidence, error) {
	e := pipeline.Evidence{Verdict: gate.Pass, Expected: r.expected, Found: r.expected, Subjects: r.subjects, Tool: r.tool}
	e.Summary = r.about + ": " + r.expected
	if r.total > 0 {
		e.Verdict, e.Found = gate.Fail, strings.Join(r.faults, "; ")
		if more := r.total - len(r.faults); more > 0 {
			e.Found += fmt.Sprintf("; and %d more of %d faults", more, r.total)
		}
		e.Summary = r.about + ": " + e.Found
		return e, nil // what was found stands, whatever could not be looked at after it
	}
	if err != nil {
		e.Found = ""
		return e, errors.New(r.clean(err.Error()))
	}
	return e, nil
}

// refused tells a tool's refusal, which is a fault, from an error, which is returned: then the tool did not get to
// judge.
func refused(err error) (tail string, is bool) {
	if exit, ok := errors.AsType[*tool.ExitError](err); ok {
		return exit.Tail, true
	}
	return "", false
}

// run runs a tool of this machine with an environment that holds nothing of the caller's but PATH. Its home is a folder
// that vanishes.
func run(ctx context.Context, ws *pipeline.Workspace, dir string, argv ...string) (tool.Result, error) {
	tmp, err := ws.Temp()
	if err != nil {
		return tool.Result{}, err
	}
	env := append(tool.Inherit("PATH"), "HOME="+tmp, "TMPDIR="+tmp, "LC_ALL=C.UTF-8", "NO_COLOR=1")
	return tool.Run(ctx, tool.Command{Argv: argv, Dir: dir, Env: env})
}

// look finds a tool in PATH and asks for its version.
func (r *report) look(ctx context.Context, ws *pipeline.Workspace, name string) error {
	tmp, err := ws.Temp()
	if err != nil {
		return err
	}
	r.paths, r.tool = append(r.paths, tmp), name
	if _, err := tool.Look(name); err != nil {
		return &sandbox.MissingError{Tool: name, Package: debian(name)}
	}
	r.version(ctx, ws, name, name)
	return nil
}

var versionText = regexp.MustCompile(`\d+(?:\.\d+)+[0-9A-Za-z.+~]*`)

// version notes a tool's version where it tells one; desktop-file-validate 0.26 does not.
func (r *report) version(ctx context.Context, ws *pipeline.Workspace, name, path string) {
	r.tool = name
	if out, err := run(ctx, ws, os.TempDir(), path, "--version"); err == nil {
		if v := versionText.FindString(out.Tail); v != "" {
			r.tool += " " + v
		}
	}
}
