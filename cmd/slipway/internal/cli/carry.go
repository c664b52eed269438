package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
builds, another approves, a third carries on. Republications, rollbacks and holds of the release travel with it.`,
		Example: "  slipway state save release.slipway\n  slipway state load release.slipway",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usage(cmd.CommandPath()+" --help tells more", "state needs save or load")
		},
	}
	var version string
	save := &cobra.Command{
		Use: "save FILE", Short: "Pack this release into a file", Args: exactly("a file to write"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.save(cmd.Context(), args[0], version) },
	}
	save.Flags().StringVar(&version, "version", "", versionFlag)
	cmd.AddCommand(save, &cobra.Command{
		Use: "load FILE", Short: "Take a packed release in, after checking all of it", Args: exactly("a file to read"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.load(cmd.Context(), args[0]) },
	})
	return cmd
}

// carried is what was packed or taken in.
type carried struct {
	File    string   `json:"file"`
	Version string   `json:"version"`
	Files   int      `json:"files"` // artifacts packed, or put in place
	Size    int64    `json:"size,omitempty"`
	Beside  []string `json:"beside,omitempty"` // plans beside the release's own, such as rollback-1
	Ahead   bool     `json:"ahead,omitempty"`  // the release here was further, or the same
	loaded  bool
	next    string
}

// Show tells what was done.
func (c carried) Show(p *ui.Page) {
	what := "journal, plan and "
	if len(c.Beside) > 0 {
		what = "journal, plan, " + strings.Join(c.Beside, ", ") + " and "
	}
	switch {
	case !c.loaded:
		p.Printf("release %s saved to %s: %s%s, %s\n", c.Version, c.File, what, ui.Count(c.Files, "artifact"), ui.Bytes(c.Size))
	case c.Ahead:
		p.Printf("release %s is as far here as in %s, or further; %s put in place\n", c.Version, c.File, ui.Count(c.Files, "missing artifact"))
	default:
		p.Printf("release %s loaded from %s: %s%s\n", c.Version, c.File, what, ui.Count(c.Files, "artifact"))
	}
	if c.next != "" {
		p.Whole(ui.Cell{Text: "Next: ", Style: ui.Bold}, ui.Cell{Text: c.next})
	}
}

// closers are locks that are held together.
type closers []io.Closer

func (c closers) Close() error {
	var errs []error
	for _, one := range slices.Backward(c) {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

// lockAll locks journals of a release: "" is its own, rollback-1 that of a plan beside it.
func lockAll(r *release, names ...string) (locks closers, err error) {
	for _, name := range names {
		dir, _ := r.at(name)
		j, err := journal.Open(dir)
		if err != nil {
			what := name
			if name == "" {
				what = "the release " + filepath.Base(r.dir)
			}
			return nil, errors.Join(fmt.Errorf("cannot open %s for writing: %w", what, err), locks.Close())
		}
		locks = append(locks, j)
	}
	return locks, nil
}

func (a *app) save(ctx context.Context, file, version string) (err error) {
	var r *release
	if version == "" {
		r, err = a.release(ctx, false)
	} else {
		r, err = a.recorded(ctx, version)
	}
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
	names, err := r.folders()
	if err != nil {
		return err
	}
	locks, err := lockAll(r, names...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, locks.Close()) }()
	var beside []state.Source
	var saved []string
	for _, name := range names {
		dir, dirs := r.at(name)
		var b release
		if err := b.read(journal.Read(dir)); err == nil && b.old == nil { // not begun: there is nothing to save
			continue
		}
		saved = append(saved, name)
		beside = append(beside, state.Source{Name: name, Dir: dir, Dirs: dirs})
	}
	path := a.path(file)
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // gone already when all went well
	plan, n, err := state.Save(f, planBytes, state.Source{Dir: r.dir, Dirs: r.dirs}, beside...)
	info, statErr := f.Stat()
	if err = errors.Join(err, statErr, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return withHint(err, "%s", a.remakes(r, version == ""))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return a.ui.Show(carried{
		File: file, Version: plan.Env.Version, Files: n, Size: info.Size(), Beside: saved,
		next: "elsewhere, in a clone that has commit " + ui.Short(plan.Env.Commit) + ": slipway state load FILE",
	})
}

// remakes says how artifacts of a release come back that are not as they were made.
func (a *app) remakes(r *release, atHead bool) string {
	run := a.command("run") + " makes again what is not as it was"
	since := unmade(r)
	switch {
	case len(since) > 0:
		return "no run makes it again since " + strings.Join(since, ", ") + ": copy it from where it was made"
	case atHead || r.head.ID == r.base.ID:
		return run
	}
	return "git checkout " + ui.Short(r.base.ID) + "; there " + run
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
	r, staged, err := a.unpack(repo, f, stage)
	if err != nil {
		return fmt.Errorf("cannot load %s: %w", file, err)
	}
	if err := staged.Compare(r.at); err != nil { // before anything is made
		return a.forked(r, err)
	}
	shown := carried{File: file, Version: staged.Plan.Env.Version, loaded: true, next: a.command("status")}
	for _, p := range staged.Beside {
		shown.Beside, shown.next = append(shown.Beside, p.Name), a.command("status", "--version", filepath.Base(r.dir))
	}
	locks, err := lockAll(r, append([]string{""}, shown.Beside...)...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, locks.Close()) }()
	if shown.Files, shown.Ahead, err = install(r, staged); err != nil {
		return a.forked(r, fmt.Errorf("cannot load %s: %w", file, err))
	}
	return a.ui.Show(shown)
}

// unpack unpacks an archive into a folder. The release says where in the repository its parts belong.
func (a *app) unpack(repo *phases.Repository, archive io.Reader, stage string) (r *release, staged *state.Staged, err error) {
	r = &release{}
	var main *pipeline.Plan
	staged, err = state.Unpack(archive, stage, planBytes, func(p *state.Part) error {
		if p.Name != "" {
			return a.belongsBeside(repo, main, p)
		}
		v, err := phases.ParseVersion(p.Plan.Env.Version)
		if err != nil {
			return err
		}
		main = p.Plan
		r.dir = filepath.Join(repo.Root(), ".slipway", v.Release())
		r.dirs = pipeline.Dirs{Dist: filepath.Join(repo.Root(), "dist", v.Release()), Work: filepath.Join(r.dir, "work")}
		return a.belongs(repo, p.Plan)
	})
	return r, staged, err
}

// install puts all parts of an archive in place, whose journals are locked: how many artifacts were lacking, and whether
// the journals here were as far before, or further.
func install(r *release, staged *state.Staged) (moved int, ahead bool, err error) {
	if moved, err = staged.Install(r.at); err != nil {
		return moved, false, err
	}
	ahead = true
	for _, p := range staged.Parts() {
		if p.Ahead {
			continue
		}
		ahead = false
		dir, _ := r.at(p.Name)
		text, err := planBytes(p.Plan)
		if err == nil {
			err = writeFile(filepath.Join(dir, "plan.json"), text)
		}
		if err == nil {
			err = p.Adopt(dir)
		}
		if err != nil {
			return moved, false, err
		}
	}
	return moved, ahead, nil
}

// forked adds to the error that two journals went different ways what can be done.
func (a *app) forked(r *release, err error) error {
	fork, is := errors.AsType[*state.ForkError](err)
	if !is {
		return err
	}
	dir, _ := r.at(fork.Part)
	return &coded{fmt.Errorf("%w: %w", pipeline.ErrDiffers, fork), exitDiffers, "a release is carried on in one place at a time; to take the archive's after all, move " + a.shown(dir) + " away"}
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

// belongsBeside refuses a plan beside a release's that is another release's, or not of the kind that its name says.
func (a *app) belongsBeside(repo *phases.Repository, main *pipeline.Plan, p *state.Part) error {
	v, err := phases.ParseVersion(p.Plan.Env.Version)
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	of, err := phases.ParseVersion(main.Env.Version)
	if err != nil {
		return err
	}
	if v.Release() != of.Release() || p.Plan.Env.Project != main.Env.Project {
		return fmt.Errorf("%s is one of %s %s, and lies beside the release of %s %s", p.Name, p.Plan.Env.Project, v.Release(), main.Env.Project, of.Release())
	}
	kind, _, _ := strings.Cut(p.Name, "-")
	for _, sp := range p.Plan.Specs {
		if phase := pipeline.PhaseOf(sp.ID); phase != kind {
			return fmt.Errorf("%s has a step of phase %q, %q, which no such plan has", p.Name, phase, sp.ID)
		}
	}
	return a.belongs(repo, p.Plan)
}
