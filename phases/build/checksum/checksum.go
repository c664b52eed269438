// Package checksum writes SHA256SUMS and a FILE.sha256 for each package, as sha256sum -c of GNU coreutils reads them,
// and reads such files back strictly: what a user's tool would read in another way than was meant is refused.
package checksum

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/imrightguy/slipway/pipeline"
)

// Kind is the kind of the artifacts.
const Kind = "checksum"

// Names of files and of the step.
const (
	File   = "SHA256SUMS"
	Suffix = ".sha256"
	StepID = "build/checksums"
)

// Sum is one line: a file's digest and name.
type Sum struct {
	SHA256 string // 64 lower-case hexadecimal digits
	Name   string // of a file in the same folder
}

// Print writes the lines in the order of the list. Names that [Parse] would refuse are refused.
func Print(sums []Sum) ([]byte, error) {
	var b strings.Builder
	for _, s := range sums {
		b.WriteString(s.SHA256 + "  " + s.Name + "\n")
	}
	got, err := Parse(strings.NewReader(b.String()))
	if err == nil && !slices.Equal(got, sums) {
		err = errors.New("they would not read back the same")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write checksums: %w", err)
	}
	return []byte(b.String()), nil
}

// maxFile bounds what Parse reads, in bytes.
const maxFile = 4 << 20

// Parse reads a checksum file: 64 lower-case hexadecimal digits, two spaces, the name of a file in the same folder, one
// line feed. Refused, with the line: a byte order mark, carriage returns, paths, other spacing, upper-case digits,
// empty lines, comments, control characters, names that sha256sum would escape, a name that is there twice, a last line
// without end, and an empty file.
func Parse(r io.Reader) ([]Sum, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	if len(b) == 0 {
		return nil, errors.New("it is empty")
	}
	var sums []Sum
	seen := map[string]int{}
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		s, err := parseLine(line)
		if err == nil && seen[s.Name] > 0 {
			err = fmt.Errorf("%q stands in line %d, too", s.Name, seen[s.Name])
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		seen[s.Name] = n
		sums = append(sums, s)
	}
	return sums, nil
}

func parseLine(line string) (Sum, error) {
	line, ended := strings.CutSuffix(line, "\n")
	switch {
	case strings.HasPrefix(line, "\ufeff"):
		return Sum{}, errors.New("it begins with a byte order mark, which sha256sum takes for part of the digest")
	case strings.HasSuffix(line, "\r"):
		return Sum{}, errors.New("it ends with a carriage return, which sha256sum takes for part of the name")
	case !ended:
		return Sum{}, errors.New("the last line has no end")
	case !utf8.ValidString(line):
		return Sum{}, errors.New("it is not UTF-8")
	}
	sum, name, ok := strings.Cut(line, "  ")
	if !ok || len(sum) != 64 || strings.Trim(sum, "0123456789abcdef") != "" {
		return Sum{}, fmt.Errorf("want 64 lower-case hexadecimal digits, two spaces and a file name, found %.100q", line)
	}
	return Sum{sum, name}, CheckName(name)
}

// CheckName refuses what cannot stand in a line as the name of a file in the same folder.
func CheckName(name string) error {
	switch {
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, `/\`):
		return fmt.Errorf("want the plain name of a file, found %.100q", name)
	case strings.HasPrefix(name, " ") || strings.HasPrefix(name, "*") || strings.HasSuffix(name, " "):
		return fmt.Errorf("want a name that begins with neither space nor asterisk, and does not end with a space, found %.100q", name)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("want a name without control characters, found %.100q", name)
	}
	return nil
}

// Package is a file to make checksums of: its artifact and the step that makes it.
type Package struct{ Artifact, Step string }

// Outputs names the artifacts that [Step] makes.
func Outputs(packages []Package) []string {
	out := []string{File}
	for _, p := range packages {
		out = append(out, p.Artifact+Suffix)
	}
	return out
}

// Step returns the step that writes the checksums of the packages.
func Step(packages []Package) pipeline.Step { return step(packages) }

type step []Package

func (s step) Spec() pipeline.Spec {
	sp := pipeline.Spec{ID: StepID, Effect: pipeline.Local, Outputs: Outputs(s)}
	for _, p := range s {
		sp.Needs = append(sp.Needs, p.Step)
		sp.Inputs = append(sp.Inputs, "artifact:"+p.Artifact)
	}
	return sp
}

func (s step) Run(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	var all []Sum
	for _, p := range s {
		a, _, err := ws.Input(p.Artifact)
		if err != nil {
			return nil, err
		}
		sum := Sum{a.SHA256, a.Name}
		all = append(all, sum)
		if err := write(ws, p.Artifact+Suffix, []Sum{sum}); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b Sum) int { return strings.Compare(a.Name, b.Name) })
	return nil, write(ws, File, all)
}

func write(ws *pipeline.Workspace, name string, sums []Sum) error {
	b, err := Print(sums)
	if err != nil {
		return err
	}
	path, err := ws.Create(pipeline.Artifact{Name: name, Kind: Kind})
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o666)
}
