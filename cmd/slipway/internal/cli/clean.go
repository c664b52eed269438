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
so does everything in dist/ that no journal speaks of. What was removed is made again when a run needs it.`,
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
}

// Show tells what was removed.
func (c cleaned) Show(p *ui.Page) {
	if len(c.Removed) == 0 {
		p.Printf("nothing to remove\n")
		return
	}
	p.Printf("removed %s:\n", ui.Bytes(c.Size))
	for _, name := range c.Removed {
		p.Printf("  %s\n", name)
	}
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
	keep := ""
	if p, err := a.project(); err == nil {
		if head, err := repo.Head(); err == nil {
			if v, err := phases.VersionAt(p.config, repo, head.ID); err == nil {
				keep = v.Release()
			}
		}
	}
	var c cleaned
	var locks []*journal.Journal
	defer func() {
		for _, l := range locks {
			err = errors.Join(err, l.Close())
		}
	}()
	entries, err := fs.ReadDir(root.FS(), ".slipway")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		name := ".slipway/" + e.Name()
		if info, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), ".load-") && a.now().Sub(info.ModTime()) > time.Hour { // of a load that was killed
			size, _ := sizeOf(root, name)
			c.Removed, c.Size = append(c.Removed, name), c.Size+size
		}
		if _, err := root.Lstat(name + "/" + journal.FileName); !e.IsDir() || err != nil {
			continue
		}
		lock, err := journal.Open(filepath.Join(repo.Root(), name))
		var damaged *journal.DamagedError
		switch {
		case errors.As(err, &damaged): // nobody can be running it
		case err != nil:
			return fmt.Errorf("cannot clean %s: %w", name, err)
		default:
			locks = append(locks, lock)
		}
		targets := []string{name + "/work"}
		if e.Name() != keep && keep != "" {
			targets = append(targets, "dist/"+e.Name())
		}
		for _, t := range targets {
			if size, ok := sizeOf(root, t); ok {
				c.Removed, c.Size = append(c.Removed, t), c.Size+size
			}
		}
	}
	if len(c.Removed) > 0 && !yes {
		a.ui.Note(planned(c))
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
	return a.ui.Show(c)
}

// planned is what would be removed.
type planned cleaned

// Show lists it.
func (c planned) Show(p *ui.Page) {
	p.Printf("%s in:\n", ui.Bytes(c.Size))
	for _, name := range c.Removed {
		p.Printf("  %s\n", name)
	}
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
