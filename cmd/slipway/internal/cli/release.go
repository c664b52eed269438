package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// configName is the release's configuration at the root of its repository.
const configName = "release.yaml"

// maxConfig bounds what is read of the configuration, in bytes; one more than is accepted, so that package phases says so.
const maxConfig = 1<<20 + 1

// project is a repository with its configuration.
type project struct {
	repo   *phases.Repository
	config *phases.Config
	file   string // of the configuration, slash-separated below the root
	text   []byte // its content in the working tree
}

// repository opens the one that the command was started in.
func (a *app) repository() (*phases.Repository, error) {
	repo, err := phases.OpenRepository(a.dir)
	if err != nil {
		return nil, usage("", "%w", err)
	}
	return repo, nil
}

// project opens the repository and reads the configuration in its working tree.
func (a *app) project() (*project, error) {
	repo, err := a.repository()
	if err != nil {
		return nil, err
	}
	p := &project{repo: repo, file: configName}
	path := filepath.Join(repo.Root(), configName)
	if a.file != "" {
		path = a.path(a.file)
		if p.file, err = below(repo.Root(), path); err != nil {
			return nil, usage("", "cannot use %s: it has to lie in the repository %s, whose commits say who may approve", a.file, repo.Root())
		}
	}
	if p.text, err = readUpTo(path, maxConfig); errors.Is(err, fs.ErrNotExist) {
		return nil, usage(a.command("init")+" writes one", "cannot find %s", path)
	} else if err != nil {
		return nil, usage("", "%w", err)
	}
	p.config, err = phases.Load(p.file, p.text)
	if err == nil {
		err = p.config.Validate()
	}
	return p, err
}

// withoutVersion adds to the error that the version cannot be told what can be done about it.
func (p *project) withoutVersion(err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return withHint(err, "make %s and commit it, or let version.source in %s name the file that says the version", p.config.Version.Source, p.file)
}

// below returns path as a slash-separated path below root, links resolved.
func below(root, path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(dir, filepath.Base(path))
	}
	if real, err := filepath.EvalSymlinks(root); err == nil {
		root = real
	}
	rel, err := filepath.Rel(root, path)
	if err == nil && !filepath.IsLocal(rel) {
		err = fs.ErrInvalid
	}
	return filepath.ToSlash(rel), err
}

// readUpTo reads a file, and no more of it than most bytes.
func readUpTo(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// release is a project's release of one version, with the journal that it may have.
type release struct {
	*project
	head, base phases.Commit
	plan       *pipeline.Plan
	old        *pipeline.Plan // the journal's newest; nil where there is none
	plans      []string       // digests of all that the journal has had
	acted      bool           // an outward step has acted
	approvers  *phases.Approvers
	verifier   gate.Verifier
	dir        string // of the journal
	dirs       pipeline.Dirs

	// Of a release that is not the one at HEAD, and of a plan beside a release's own, such as a rollback:
	again func(context.Context) (*release, error) // plans it anew
	goOn  []string                                // the command that carries it on, where that is not run
}

// release finds out which release this is and plans it. The version is the one of the source of truth at HEAD; the
// base commit is the journal's, where there is one, unless the release is amended and nothing has left the machine.
func (a *app) release(ctx context.Context, amend bool) (*release, error) {
	p, err := a.project()
	if err != nil {
		return nil, err
	}
	r := &release{project: p}
	if r.head, err = p.repo.Head(); err != nil {
		return nil, err
	}
	version, err := phases.VersionAt(p.config, p.repo, r.head.ID)
	if err != nil {
		return nil, p.withoutVersion(err)
	}
	r.dir = filepath.Join(p.repo.Root(), ".slipway", version.Release())
	r.dirs = pipeline.Dirs{Dist: filepath.Join(p.repo.Root(), "dist", version.Release()), Work: filepath.Join(r.dir, "work")}
	if err := r.read(journal.Read(r.dir)); err != nil {
		return nil, err
	}
	r.base = r.head
	if r.old != nil && (!amend || r.acted) && r.old.Env.Commit != r.head.ID {
		if r.base, err = p.repo.Commit(r.old.Env.Commit); err != nil {
			return nil, a.strange(r, err)
		}
		if version, err = phases.VersionAt(p.config, p.repo, r.base.ID); err != nil {
			return nil, err
		}
	}
	if r.plan, err = p.plan(ctx, version, r.base); err != nil {
		return nil, err
	}
	r.verifier, r.approvers = a.verifier(r)
	return r, nil
}

// plan plans the release of a version from a base commit. What is wrong with it is wrong with the configuration.
func (p *project) plan(ctx context.Context, v phases.Version, base phases.Commit) (*pipeline.Plan, error) {
	all, err := phases.All(p.config, p.repo.Root())
	if err != nil {
		return nil, usage("", "%w", err)
	}
	digest := sha256.Sum256(p.text)
	plan, err := pipeline.NewPlan(ctx, pipeline.Env{Project: p.config.Project, Version: v.String(), Commit: base.ID, Config: hex.EncodeToString(digest[:]), Time: base.Time}, all...)
	if err != nil {
		return nil, usage("", "%w", err)
	}
	return plan, nil
}

// read takes from a journal what has to be known before planning.
func (r *release) read(j pipeline.Journal) error {
	r.old, r.plans, r.acted = nil, nil, false
	outward, acted := map[string]bool{}, map[string]bool{}
	for rec, err := range j.Records() {
		if err != nil {
			return err
		}
		if rec.Planned != nil {
			r.old, r.plans = rec.Planned, append(r.plans, rec.Planned.Digest)
			for _, sp := range rec.Planned.Specs {
				outward[sp.ID] = sp.Effect.Outward()
			}
		}
		switch {
		case !outward[rec.Step]:
		case rec.Event == pipeline.Started, rec.Event == pipeline.Done:
			acted[rec.Step] = true
		case rec.Event == pipeline.Undone:
			delete(acted, rec.Step)
		}
	}
	r.acted = len(acted) > 0
	return nil
}

// strange is the error for a journal whose base commit is not in this repository.
func (a *app) strange(r *release, err error) error {
	if r.old.Env.Project != r.config.Project {
		return exitf(exitDiffers, "%w: the journal in %s is that of project %q, this is %q", pipeline.ErrDiffers, r.dir, r.old.Env.Project, r.config.Project)
	}
	return &coded{
		fmt.Errorf("%w: the release was begun on a commit that this repository does not have: %w", pipeline.ErrDiffers, err), exitDiffers,
		"git fetch brings it if it was pushed; " + a.command("run", "--amend") + " goes on from HEAD instead",
	}
}

// verifier takes the approvers from the configuration at the base commit: nobody makes themselves one later.
func (a *app) verifier(r *release) (gate.Verifier, *phases.Approvers) {
	text, err := r.repo.File(r.base.ID, r.file)
	if err != nil {
		return nobody{fmt.Errorf("nobody may sign: there is no %s in the base commit %s", r.file, ui.Short(r.base.ID))}, nil
	}
	config := r.config
	if !bytes.Equal(text, r.text) {
		if config, err = phases.Load(r.file, text); err != nil {
			return nobody{fmt.Errorf("nobody may sign: %s in the base commit %s cannot be used: %w", r.file, ui.Short(r.base.ID), err)}, nil
		}
	}
	v, err := phases.NewApprovers(config.Approvers)
	if err != nil {
		return nobody{err}, nil
	}
	return v, v
}

// nobody is a verifier that refuses everything, for a reason.
type nobody struct{ why error }

func (n nobody) Verify(string, []byte, []byte) (string, error) { return "", n.why }

// people names those who have a role.
func (r *release) people(role string) []string {
	if r.approvers == nil {
		return nil
	}
	return r.approvers.Approvers(role)
}

// options are those of looking at a journal.
func (a *app) options(r *release, j pipeline.Journal) pipeline.Options {
	return pipeline.Options{Journal: j, Dirs: r.dirs, Verifier: r.verifier, Endpoints: r.endpoints(), Now: a.now}
}

// survey looks at the journal.
func (a *app) survey(r *release) (*pipeline.Survey, error) {
	return r.plan.Survey(a.options(r, journal.Read(r.dir)))
}

// open opens the journal for writing, which locks the release. What may have changed since it was planned is looked at
// again.
func (a *app) open(ctx context.Context, r *release, amend bool) (*release, *journal.Journal, pipeline.Journal, error) {
	j, err := journal.Open(r.dir)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("cannot open the release %s for writing: %w", r.plan.Env.Version, err)
	}
	if j.Torn > 0 {
		a.ui.Warn("the journal's last line was cut off in the middle by a crash; its %d bytes are dropped, since nothing relied on them", j.Torn)
	}
	before := r.plans
	if err = r.read(j); err == nil && len(r.plans) != len(before) { // another run has come between
		if r.again != nil {
			r, err = r.again(ctx)
		} else {
			r, err = a.release(ctx, amend)
		}
	}
	if err != nil {
		return nil, nil, nil, errors.Join(err, j.Close())
	}
	return r, j, a.Journal(j), nil
}

// warnings says what of the working tree the release will not have.
func (a *app) warnings(ctx context.Context, r *release) {
	if r.head.ID != r.base.ID {
		a.ui.Warn("HEAD has moved on to %s; this release stays with the commit it was begun on, %s", ui.Short(r.head.ID), ui.Short(r.base.ID))
		if !r.acted {
			a.ui.Hint("%s takes HEAD instead", a.goOn(r, "--amend"))
		}
	}
	if n, ok := r.verifier.(nobody); ok {
		a.ui.Warn("%v", n.why)
	}
	files, err := r.repo.Dirty(ctx)
	if err != nil {
		a.ui.Warn("cannot find out whether files differ from the commit: %v", err)
	}
	if len(files) > 0 {
		most := 3
		list := strings.Join(files[:min(most, len(files))], ", ")
		if n := len(files) - most; n > 0 {
			list += fmt.Sprintf(" and %d more", n)
		}
		a.ui.Warn("not in the release, since not committed: changes to %s", list)
	}
}

// planBytes is a plan as it is kept in a file.
func planBytes(p *pipeline.Plan) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(p)
	return b.Bytes(), err
}

// differs tells how two plans differ.
func (a *app) differs(was, now *pipeline.Plan, hint string) error {
	lines := ui.Diff(was, now)
	const most = 20
	if n := len(lines) - most; n > 0 {
		lines = append(lines[:most:most], fmt.Sprintf("and %d more", n))
	}
	return &coded{fmt.Errorf("%w\n%s", pipeline.ErrDiffers, strings.Join(lines, "\n")), exitDiffers, hint}
}

// writeFile puts a file in place as a whole, and not at all where that is what is there.
func writeFile(path string, content []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}
