package cli

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
)

func (a *app) initialise() *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Write a release.yaml for this repository",
		Long: `Looks at the repository and writes a release.yaml that fits it, and makes git ignore what slipway writes. A
release.yaml that is there is never touched.`,
		Args: exactly(),
		RunE: func(*cobra.Command, []string) error { return a.doInit() },
	}
}

// begun is what init has written.
type begun struct {
	Written []string `json:"written"`
	FillIn  []string `json:"fill_in,omitempty"` // what could not be found out
	next    []string
}

// Show lists it, and what comes next.
func (b begun) Show(p *ui.Page) {
	for _, name := range b.Written {
		p.Printf("wrote %s\n", name)
	}
	for _, what := range b.FillIn {
		p.Whole(ui.Cell{Text: "Fill in: ", Style: ui.Bold}, ui.Cell{Text: what})
	}
	for i, n := range b.next {
		p.Whole(ui.Cell{Text: [2]string{"Next: ", "      "}[min(i, 1)], Style: ui.Bold}, ui.Cell{Text: n})
	}
}

func (a *app) doInit() error {
	repo, err := a.repository()
	if err != nil {
		return err
	}
	path := filepath.Join(repo.Root(), configName)
	if a.file != "" {
		path = a.path(a.file)
	}
	if _, err := os.Lstat(path); err == nil {
		return usage(a.command("check")+" looks whether it is right", "%s is there already", path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, err := phases.Init(repo.Root())
	if err != nil {
		return err
	}
	if err := writeFile(path, text); err != nil {
		return err
	}
	b := begun{Written: []string{a.shown(path)}, FillIn: toFillIn(text)}
	ignored, err := ignore(filepath.Join(repo.Root(), ".gitignore"))
	if err != nil {
		return err
	}
	if ignored {
		b.Written = append(b.Written, a.shown(filepath.Join(repo.Root(), ".gitignore")))
	}
	b.next = []string{"look it over, commit it, then:", a.command("check"), a.command("plan"), a.command("run")}
	return a.ui.Show(b)
}

// toFillIn lists what the head of a configuration says is left to be filled in.
func toFillIn(text []byte) (out []string) {
	for line := range strings.Lines(string(text)) {
		if what, ok := strings.CutPrefix(strings.TrimSpace(line), "# FILL IN "); ok {
			out = append(out, what)
		}
	}
	return out
}

// ignored are the lines that keep what slipway writes out of commits. Holds are for everybody to see.
var ignored = []string{"/dist/", "/.slipway/*", "!/.slipway/holds/"}

// ignore adds the lines that a .gitignore lacks, in the file's own line ends, and reports whether it had to.
func ignore(path string) (bool, error) {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	end := "\n"
	if bytes.Contains(old, []byte("\r\n")) {
		end = "\r\n"
	}
	has := map[string]bool{}
	for line := range strings.Lines(string(old)) {
		has[strings.TrimRight(line, "\r\n")] = true
	}
	out := bytes.Clone(old)
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, end...)
	}
	before := len(out)
	for _, line := range ignored {
		if !has[line] {
			out = append(out, line+end...)
		}
	}
	if len(out) == before {
		return false, nil
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // a link stays one
	}
	return true, writeFile(path, out)
}
