package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline/journal"
)

func (a *app) clean() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "clean",
		Short: "Remove work files and old packages, never a journal",
		Long: `Removes the work files of every release, and the packages of those that are not the one of HEAD. Journals stay, and
so does everything in dist/ that no journal speaks of. What was removed is made again when a run needs it; packages of a
release that was rolled back or published in the AUR again stay, since no run makes them any more.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.doClean(cmd.Context(), yes) },
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// cleaned is what was removed.
type cleaned struct {
	Removed []string `json:"removed"` // relative to the repository's root
	Size    int64    `json:"size"`    // bytes
	Kept    []kept   `json:"kept,omitempty"`
}

// kept are packages that nothing makes again.
type kept struct {
	Name  string   `json:"name"`  // of their folder, relative to the repository's root
	Since []string `json:"since"` // the plans beside the release after which no run does
}

// Show tells what was removed.
func (c cleaned) Show(p *ui.Page) {
	if len(c.Removed) == 0 {
		p.Printf("nothing to remove\n")
	} else {
		p.Printf("removed %s:\n", ui.Bytes(c.Size))
	}
	c.list(p)
}

func (c cleaned) list(p *ui.Page) {
	for _, name := range c.Removed {
		p.Printf("  %s\n", name)
	}
	for _, k := range c.Kept {
		p.Printf("kept: %s, which no run makes again since %s\n", k.Name, strings.Join(k.Since, ", "))
	}
}

// planned is what would be removed.
type planned cleaned

// Show lists it.
func (c planned) Show(p *ui.Page) {
	p.Printf("%s in:\n", ui.Bytes(c.Size))
	cleaned(c).list(p)
}

func (a *app) doClean(ctx context.Context, yes bool) (err error) {
	repo, err := a.repository()
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(repo.Root()) // through which no link leads out of the repository
	if err != nil {
		return err
	}
	defer root.Close()
	atHead := ""
	if p, err := a.project(); err == nil {
		if head, err := repo.Head(); err == nil {
			if v, err := phases.VersionAt(p.config, repo, head.ID); err == nil {
				atHead = v.Release()
			}
		}
	}
	c := cleaning{root: root}
	defer func() { err = errors.Join(err, c.locks.Close()) }()
	entries, err := fs.ReadDir(root.FS(), ".slipway")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), ".load-") && a.now().Sub(info.ModTime()) > time.Hour { // of a load that was killed
			size, _ := sizeOf(root, ".slipway/"+e.Name())
			c.Removed, c.Size = append(c.Removed, ".slipway/"+e.Name()), c.Size+size
		}
		if e.IsDir() {
			if err := c.release(e.Name(), atHead != "" && e.Name() != atHead); err != nil {
				return err
			}
		}
	}
	if len(c.Removed) > 0 && !yes {
		a.ui.Note(planned(c.cleaned))
		err := a.ui.Confirm(ctx, "Remove these?")
		if errors.Is(err, ui.ErrNobody) {
			return withHint(fmt.Errorf("cannot remove anything: %w", err), "%s removes without asking", a.command("clean", "--yes"))
		}
		if err != nil {
			return err
		}
	}
	for _, t := range c.Removed {
		if err := root.RemoveAll(t); err != nil {
			return fmt.Errorf("cannot remove %s: %w", t, err)
		}
	}
	return a.ui.Show(c.cleaned)
}

// cleaning finds out what is to be removed. What it has found cannot be worked on before its locks are closed.
type cleaning struct {
	cleaned
	root  *os.Root
	locks closers
}

// release adds the work files of a version and of the plans beside its release, and of an old one its packages.
func (c *cleaning) release(version string, old bool) error {
	dir := ".slipway/" + version
	released, err := c.work(dir)
	if err != nil {
		return err
	}
	r := &release{dir: filepath.Join(c.root.Name(), dir)}
	names, err := r.folders()
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := c.work(dir + "/" + name); err != nil {
			return err
		}
	}
	packages := "dist/" + version
	size, there := sizeOf(c.root, packages)
	if !released || !old || !there {
		return nil
	}
	if since := unmade(r); len(since) > 0 {
		c.Kept = append(c.Kept, kept{packages, since})
	} else {
		c.Removed, c.Size = append(c.Removed, packages), c.Size+size
	}
	return nil
}

// unmade are the plans beside a release since which no run makes its packages again: nothing carries on what users were
// brought back from, or what a republication has taken the place of. A rollback that is not over needs what it has made, and
// one whose journal is damaged may be either. A release whose own journal is damaged has none.
func unmade(r *release) (names []string) {
	released, damage, err := readable(r)
	if err != nil {
		return nil
	}
	for _, d := range damage {
		if name := filepath.Base(filepath.Dir(d.Path)); !strings.HasPrefix(name, phases.HoldPhase+"-") {
			names = append(names, name)
		}
	}
	back := released.RolledBack()
	for _, b := range released.Beside {
		switch b.Kind() {
		case phases.AUR:
			if b.Over() {
				names = append(names, b.Name)
			}
		case phases.RollbackPhase:
			if !b.Over() || back != nil && back.Name == b.Name {
				names = append(names, b.Name)
			}
		}
	}
	return names
}

// work locks the journal in a folder and adds its work files; there is false where there is none.
func (c *cleaning) work(dir string) (there bool, err error) {
	if _, err := c.root.Lstat(dir + "/" + journal.FileName); err != nil {
		return false, nil
	}
	lock, err := journal.Open(filepath.Join(c.root.Name(), dir))
	var damaged *journal.DamagedError
	switch {
	case errors.As(err, &damaged): // nobody can be running it
	case err != nil:
		return true, fmt.Errorf("cannot clean %s: %w", dir, err)
	default:
		c.locks = append(c.locks, lock)
	}
	if size, ok := sizeOf(c.root, dir+"/work"); ok {
		c.Removed, c.Size = append(c.Removed, dir+"/work"), c.Size+size
	}
	return true, nil
}

// sizeOf adds up the files below a folder.
func sizeOf(root *os.Root, dir string) (size int64, there bool) {
	if info, err := root.Lstat(dir); err != nil || !info.IsDir() {
		return 0, false
	}
	_ = fs.WalkDir(root.FS(), dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil // what cannot be read cannot be counted; removing it tells
	})
	return size, true
}
