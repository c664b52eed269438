package judge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/imrightguy/slipway/phases/internal/sandbox"
	"github.com/imrightguy/slipway/phases/internal/tool"
)

// finding is what one check saw.
type finding struct {
	expected string
	saw      string   // what was found where nothing is wrong; empty: what was expected
	note     string   // more for people
	faults   []string // the first of them
	total    int      // number of all
	err      error    // why it could not look
}

// How much evidence shows: the first faults, each cut to a length, and the number of all.
const (
	maxShown = 8
	maxText  = 240
)

func (j *judges) fault(check, format string, args ...any) {
	f := j.found[check]
	if f.total++; len(f.faults) < maxShown {
		f.faults = append(f.faults, j.clean(fmt.Sprintf(format, args...)))
	}
}

// lines adds a fault for each line of what a tool printed that is an error, behind a prefix; where there is none, one for
// each of the last lines.
func (j *judges) lines(check, prefix, text string, wanted func(string) bool) {
	var some []string
	found := false
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if some = append(some, line); wanted(line) {
			found = true
			j.fault(check, "%s%s", prefix, line)
		}
	}
	if found {
		return
	}
	if len(some) == 0 {
		some = []string{"refused without a word"}
	}
	for _, line := range some[max(0, len(some)-3):] {
		j.fault(check, "%s%s", prefix, line)
	}
}

// boxPath is where a box lies, outside and inside of the sandbox.
var boxPath = regexp.MustCompile(`(?:/[^\s:'"]*)?/slipway-box-[0-9]+/?|/slipway/`)

// shellPID is the number of a process, which bash puts before what a signal did to it.
var shellPID = regexp.MustCompile(`(: line [0-9]+:)[ \t]+[0-9]+ `)

// clean makes a short line of plain text, without control and formatting characters and without paths of this machine.
func (j *judges) clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = shellPID.ReplaceAllString(boxPath.ReplaceAllString(s, ""), "$1 ")
	for _, p := range append(slices.Clip(j.paths), os.TempDir()) {
		if len(p) > 1 {
			s = strings.ReplaceAll(strings.ReplaceAll(s, p+"/", ""), p, ".")
		}
	}
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

// refused tells a tool's refusal, which is a fault, from an error: then the tool did not get to judge.
func refused(err error) (tail string, is bool) {
	if exit, ok := errors.AsType[*tool.ExitError](err); ok {
		return exit.Tail, true
	}
	return "", false
}

var versionText = regexp.MustCompile(`\d+(?:\.\d+)+[0-9A-Za-z.+~]*`)

// versionOf names makepkg with its version, where it tells one. It runs nothing of the package.
func versionOf(ctx context.Context) string {
	path := sandbox.Look("makepkg")
	if path == "" {
		return "makepkg"
	}
	r, err := tool.Run(ctx, tool.Command{Argv: []string{path, "--version"}, Dir: os.TempDir(), Env: []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "HOME=/nonexistent"}})
	if err != nil {
		return "makepkg"
	}
	return strings.TrimSpace("makepkg " + versionText.FindString(r.Tail))
}
