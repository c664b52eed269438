package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/state"
	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

func (a *app) state() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "state",
		Short: "Carry a release between machines",
		Long: `Packs the journal, the plan and the artifacts of this release into one file, and takes such a file in: one machine
builds, another approves, a third carries on.`,
		Example: "  slipway state save release.slipway\n  slipway state load release.slipway",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usage(cmd.CommandPath()+" --help tells more", "state needs save or load")
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use: "save FILE", Short: "Pack this release into a file", Args: exactly("a file to write"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.save(cmd.Context(), args[0]) },
	}, &cobra.Command{
		Use: "load FILE", Short: "Take a packed release in, after checking all of it", Args: exactly("a file to read"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.load(cmd.Context(), args[0]) },
	})
	return cmd
}

// carried is what was packed or taken in.
type carried struct {
	File    string `json:"file"`
	Version string `json:"version"`
	Files   int    `json:"files"` // artifacts packed, or put in place
	Size    int64  `json:"size,omitempty"`
	Ahead   bool   `json:"ahead,omitempty"` // the release here was further, or the same
	loaded  bool
	next    string
}

// Show tells what was done.
func (c carried) Show(p *ui.Page) {
	switch {
	case !c.loaded:
		p.Printf("release %s saved to %s: journal, plan and %s, %s\n", c.Version, c.File, ui.Count(c.Files, "artifact"), ui.Bytes(c.Size))
	case c.Ahead:
		p.Printf("release %s is as far here as in %s, or further; %s put in place\n", c.Version, c.File, ui.Count(c.Files, "missing artifact"))
	default:
		p.Printf("release %s loaded from %s: journal, plan and %s\n", c.Version, c.File, ui.Count(c.Files, "artifact"))
	}
	if c.next != "" {
		p.Whole(ui.Cell{Text: "Next: ", Style: ui.Bold}, ui.Cell{Text: c.next})
	}
}

func (a *app) save(ctx context.Context, file string) (err error) {
	r, err := a.release(ctx, false)
	if err != nil {
		return err
	}
	if r.old == nil {
		return a.notBegun()
	}
	r, lock, _, err := a.open(ctx, r, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	plan, artifacts, err := state.Contents(journal.Read(r.dir))
	if err != nil {
		return err
	}
	text, err := planBytes(plan)
	if err != nil {
		return err
	}
	path := a.path(file)
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // gone already when all went well
	n, err := state.Save(f, filepath.Join(r.dir, journal.FileName), text, artifacts, r.dirs)
	info, statErr := f.Stat()
	if err = errors.Join(err, statErr, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return withHint(err, "%s makes again what is not as it was", a.command("run"))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return a.ui.Show(carried{File: file, Version: plan.Env.Version, Files: n, Size: info.Size(), next: "elsewhere, in a clone that has commit " + ui.Short(plan.Env.Commit) + ": slipway state load FILE"})
}

func (a *app) load(_ context.Context, file string) (err error) {
	repo, err := a.repository()
	if err != nil {
		return err
	}
	f, err := os.Open(a.path(file))
	if err != nil {
		return usage("", "cannot read the archive: %w", err)
	}
	defer f.Close()
	top := filepath.Join(repo.Root(), ".slipway")
	if err := os.MkdirAll(top, 0o777); err != nil {
		return err
	}
	stage, err := os.MkdirTemp(top, ".load-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()
	var dir string
	var dirs pipeline.Dirs
	staged, err := state.Unpack(f, stage, planBytes, func(p *pipeline.Plan) error {
		v, err := phases.ParseVersion(p.Env.Version)
		if err != nil {
			return err
		}
		dir = filepath.Join(top, v.Release())
		dirs = pipeline.Dirs{Dist: filepath.Join(repo.Root(), "dist", v.Release()), Work: filepath.Join(dir, "work")}
		return a.belongs(repo, p)
	})
	if err != nil {
		return fmt.Errorf("cannot load %s: %w", file, err)
	}
	lock, err := journal.Open(dir)
	if err != nil {
		return fmt.Errorf("cannot open the release %s for writing: %w", staged.Plan.Env.Version, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	moved, ahead, err := staged.Install(dir, dirs)
	if _, fork := errors.AsType[*state.ForkError](err); fork {
		return &coded{fmt.Errorf("%w: %w", pipeline.ErrDiffers, err), exitDiffers, "a release is carried on in one place at a time; to take the archive's after all, move " + a.shown(dir) + " away"}
	}
	if err == nil && !ahead {
		var text []byte
		if text, err = planBytes(staged.Plan); err == nil {
			err = writeFile(filepath.Join(dir, "plan.json"), text)
		}
		if err == nil {
			err = staged.Adopt(dir)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot load %s: %w", file, err)
	}
	return a.ui.Show(carried{File: file, Version: staged.Plan.Env.Version, Files: moved, Ahead: ahead, loaded: true, next: a.command("status")})
}

// belongs refuses a release of something else, and one whose commit is not here.
func (a *app) belongs(repo *phases.Repository, p *pipeline.Plan) error {
	if here, err := a.project(); err == nil && here.config.Project != p.Env.Project {
		return exitf(exitDiffers, "%w: it is a release of project %q, this is %q", pipeline.ErrDiffers, p.Env.Project, here.config.Project)
	}
	if _, err := repo.Commit(p.Env.Commit); err != nil {
		return &coded{fmt.Errorf("%w: its base commit is not in this repository: %w", pipeline.ErrDiffers, err), exitDiffers, "git fetch brings it if it was pushed"}
	}
	return nil
}
