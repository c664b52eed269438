package pkgbuild

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// ScriptletFunctions are the functions of an install scriptlet that pacman calls, see "install" in PKGBUILD(5).
var ScriptletFunctions = []string{"pre_install", "post_install", "pre_upgrade", "post_upgrade", "pre_remove", "post_remove"}

// functionRE is the head of a function of a scriptlet.
var functionRE = regexp.MustCompile(`^([A-Za-z0-9_.:+-]+)[ \t]*\([ \t]*\)[ \t]*\{[ \t]*$`)

// ReadScriptlet reads an install scriptlet, without running anything, and answers with its functions in their order.
//
// pacman reads the whole file each time, as root, before it calls one function of it. So at its top level there may be
// nothing but functions that pacman knows, each of which begins with a line NAME() { and ends with a line }, and comments
// and empty lines. Whether bash can read what is in the functions is not looked at here: bash -n says so.
func ReadScriptlet(r io.Reader) ([]string, error) {
	text, err := readFile(r)
	if err != nil {
		return nil, err
	}
	var names []string
	open, n := 0, 0 // open: the line in which the function began
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSuffix(line, "\n")
		fault := func(format string, args ...any) ([]string, error) {
			return nil, &SyntaxError{n, fmt.Sprintf(format, args...)}
		}
		if msg := charProblem(line); msg != "" {
			return fault("%s", msg)
		}
		head := functionRE.FindStringSubmatch(line)
		switch {
		case open > 0 && line == "}":
			open = 0
		case open > 0 && head != nil:
			return fault("%s begins inside of the function that began in line %d", head[1], open)
		case open > 0:
		case strings.TrimSpace(line) == "" || line[0] == '#':
		case head == nil:
			return fault("want nothing but functions, each from a line NAME() { to a line }, found %q: pacman would run it each time", line)
		case !slices.Contains(ScriptletFunctions, head[1]):
			return fault("%s is not called by pacman: want %s", head[1], strings.Join(ScriptletFunctions, ", "))
		case slices.Contains(names, head[1]):
			return fault("%s is there twice", head[1])
		default:
			names, open = append(names, head[1]), n
		}
	}
	switch {
	case open > 0:
		return nil, &SyntaxError{open, names[len(names)-1] + " has no end: want a line }"}
	case names == nil:
		return nil, &SyntaxError{max(n, 1), "want at least one of " + strings.Join(ScriptletFunctions, ", ")}
	}
	return names, nil
}
