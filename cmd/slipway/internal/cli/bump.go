package cli

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
)

func (a *app) bump() *cobra.Command {
	return &cobra.Command{
		Use:       "bump major | minor | patch | build | X.Y.Z[+BUILD]",
		Short:     "Write the next version into the source of truth and all carriers",
		Long:      "Raises the version in the source of truth and writes it into all files that carry it, and into nothing if one of them cannot be written. The version that is there is written into carriers that drifted.",
		Example:   "  slipway bump patch\n  slipway bump 3.2.1+1",
		ValidArgs: []string{"major", "minor", "patch", "build"},
		Args:      exactly("major, minor, patch, build or a version"),
		RunE:      func(_ *cobra.Command, args []string) error { return a.doBump(args[0]) },
	}
}

// bumped is what was written.
type bumped struct {
	From    string   `json:"from"`
	To      string   `json:"to"`
	Written []string `json:"written"`
	next    string
}

// Show lists the files.
func (b bumped) Show(p *ui.Page) {
	if len(b.Written) == 0 {
		p.Printf("%s is everywhere already\n", b.To)
		return
	}
	p.Printf("%s %s %s\n", b.From, p.Arrow(), b.To)
	for _, name := range b.Written {
		p.Printf("  %s\n", name)
	}
	p.Line(ui.Cell{Text: "Next: ", Style: ui.Bold}, ui.Cell{Text: b.next})
}

func (a *app) doBump(what string) error {
	p, err := a.project()
	if err != nil {
		return err
	}
	was, err := phases.VersionIn(p.config, p.read)
	if err != nil {
		return err
	}
	to := was
	if what != was.String() { // the version as it is mends drift
		if to, err = was.Bump(what); err != nil {
			return usage("major, minor, patch, build or a version that is newer", "cannot bump %s: %w", was, err)
		}
	}
	contents, err := phases.Raise(p.config, to, p.read)
	if err != nil {
		return err
	}
	b := bumped{From: was.String(), To: to.String(), next: "look at git diff, then commit"}
	for _, name := range slices.Sorted(maps.Keys(contents)) {
		now, err := p.read(name)
		if err != nil {
			return err
		}
		if !bytes.Equal(now, contents[name]) {
			b.Written = append(b.Written, name)
		}
	}
	if err := p.replace(b.Written, contents); err != nil {
		return err
	}
	return a.ui.Show(b)
}

// replace writes new contents of files in the working tree: all of them beside the old ones first, then each takes its
// place. Modes stay as they were.
func (p *project) replace(names []string, contents map[string][]byte) (err error) {
	root, err := os.OpenRoot(p.repo.Root())
	if err != nil {
		return err
	}
	defer root.Close()
	beside := func(name string) string {
		dir, base := filepath.Split(filepath.FromSlash(name))
		return filepath.Join(dir, "."+base+".slipway")
	}
	defer func() {
		for _, name := range names {
			_ = root.Remove(beside(name)) // gone already where all went well
		}
	}()
	for _, name := range names {
		info, err := root.Lstat(filepath.FromSlash(name))
		if err == nil && !info.Mode().IsRegular() {
			err = &fs.PathError{Op: "write", Path: name, Err: fmt.Errorf("is not a regular file")}
		}
		if err == nil {
			err = root.WriteFile(beside(name), contents[name], info.Mode().Perm())
		}
		if err == nil {
			err = root.Chmod(beside(name), info.Mode().Perm())
		}
		if err != nil {
			return fmt.Errorf("cannot write %s: %w; nothing was changed", name, err)
		}
	}
	for _, name := range names {
		if err := root.Rename(beside(name), filepath.FromSlash(name)); err != nil {
			return fmt.Errorf("cannot write %s: %w", name, err)
		}
	}
	return nil
}
