package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// Beside a release's own journal lie those of its rollbacks and holds, in folders of its own: rollback-1, hold-2.

const versionFlag = "the `version` that is meant (default: that at HEAD)"

// recorded is the release of a version as its journal has it, whatever HEAD is by now; without a version, that at HEAD.
func (a *app) recorded(ctx context.Context, name string) (*release, error) {
	r, version, err := a.journalled(name)
	if err != nil {
		return nil, err
	}
	if r.plan, err = r.project.plan(ctx, version, r.base); err != nil {
		return nil, err
	}
	r.again = func(ctx context.Context) (*release, error) { return a.recorded(ctx, version.Release()) }
	r.goOn = []string{"run"}
	return r, nil
}

// journalled finds the journal of a version, and the configuration that it was begun with. Nothing is planned.
func (a *app) journalled(name string) (*release, phases.Version, error) {
	repo, err := a.repository()
	if err != nil {
		return nil, phases.Version{}, err
	}
	var version phases.Version
	if name == "" {
		p, err := a.project()
		if err != nil {
			return nil, version, err
		}
		head, err := repo.Head()
		if err != nil {
			return nil, version, err
		}
		if version, err = phases.VersionAt(p.config, repo, head.ID); err != nil {
			return nil, version, p.withoutVersion(err)
		}
	} else if version, err = phases.ParseVersion(strings.TrimPrefix(name, "v")); err != nil {
		return nil, version, usage("", "%w", err)
	}
	r := &release{project: &project{repo: repo, file: configName}}
	if a.file != "" {
		if r.file, err = below(repo.Root(), a.path(a.file)); err != nil {
			return nil, version, usage("", "cannot use %s: it has to lie in the repository %s", a.file, repo.Root())
		}
	}
	r.dir = filepath.Join(repo.Root(), ".slipway", version.Release())
	r.dirs = pipeline.Dirs{Dist: filepath.Join(repo.Root(), "dist", version.Release()), Work: filepath.Join(r.dir, "work")}
	if err := r.read(journal.Read(r.dir)); err != nil {
		return nil, version, err
	}
	if r.old == nil {
		return nil, version, withHint(fmt.Errorf("%w: there is no journal of %s in %s", errNotBegun, version.Release(), a.shown(r.dir)),
			"where it was released: %s; then here: %s", a.command("state", "save", "FILE"), a.command("state", "load", "FILE"))
	}
	if version, err = phases.ParseVersion(r.old.Env.Version); err != nil { // with its build number
		return nil, version, err
	}
	if r.head, err = repo.Head(); err != nil {
		return nil, version, err
	}
	if r.base, err = repo.Commit(r.old.Env.Commit); err != nil {
		return nil, version, &coded{
			fmt.Errorf("%w: the release was made of a commit that this repository does not have: %w", pipeline.ErrDiffers, err), exitDiffers,
			"git fetch brings it if it was pushed",
		}
	}
	if err := a.begunWith(r); err != nil {
		return nil, version, err
	}
	r.verifier, r.approvers = a.verifier(r)
	return r, version, nil
}

// begunWith reads the configuration that a journal was begun with: that of the base commit, or the one that lies in the
// working tree if it is that.
func (a *app) begunWith(r *release) error {
	committed, err := r.repo.File(r.base.ID, r.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	lying, lyingErr := readUpTo(filepath.Join(r.repo.Root(), filepath.FromSlash(r.file)), maxConfig)
	is := func(text []byte) bool {
		sum := sha256.Sum256(text)
		return hex.EncodeToString(sum[:]) == r.old.Env.Config
	}
	switch {
	case err == nil && is(committed):
		r.text = committed
	case lyingErr == nil && is(lying):
		r.text = lying
	case err == nil:
		r.text = committed
		a.ui.Warn("the release was begun with another %s than its commit has; that of the commit is taken", r.file)
	default:
		return usage("", "cannot find the %s that the release was begun with: neither its commit %s nor the working tree has it", r.file, r.base.ID)
	}
	if r.config, err = phases.Load(r.file, r.text); err == nil {
		err = r.config.Validate()
	}
	return err
}

// beside are the folders of one kind beside a release's journal, by their numbers.
func (r *release) beside(kind string) (numbers []int, err error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		text, ok := strings.CutPrefix(e.Name(), kind+"-")
		if n, err := strconv.Atoi(text); ok && err == nil && n > 0 && strconv.Itoa(n) == text && e.IsDir() {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// kinds are those of the plans beside a release's own, whose folders are KIND-1, KIND-2 and so on.
var kinds = []string{phases.AUR, phases.RollbackPhase, phases.HoldPhase}

// folders are all folders beside a release's journal, by kind and number.
func (r *release) folders() (names []string, err error) {
	for _, kind := range kinds {
		numbers, err := r.beside(kind)
		if err != nil {
			return nil, err
		}
		for _, n := range numbers {
			names = append(names, fmt.Sprintf("%s-%d", kind, n))
		}
	}
	return names, nil
}

// at is where the journal, the artifacts and the work files of a plan beside the release lie.
func (r *release) at(name string) (dir string, dirs pipeline.Dirs) {
	dir = filepath.Join(r.dir, name)
	return dir, pipeline.Dirs{Dist: filepath.Join(r.dirs.Dist, name), Work: filepath.Join(dir, "work")}
}

// releasedOf is what a release's journal says it did, and what those beside it say. A hold's journal that is damaged is left
// out, since holds publish nothing and count on the branch; any other damage is an error.
func releasedOf(main *release) (*phases.Released, error) {
	released, damage, err := readable(main)
	for _, d := range damage {
		if kind, _, _ := strings.Cut(filepath.Base(filepath.Dir(d.Path)), "-"); kind != phases.HoldPhase {
			return nil, d
		}
	}
	return released, err
}

// readable is releasedOf with what can be read, and what cannot.
func readable(main *release) (released *phases.Released, damage []*journal.DamagedError, err error) {
	names, err := main.folders()
	if err != nil {
		return nil, nil, err
	}
	var beside []*phases.Released
	for _, name := range names {
		dir, _ := main.at(name)
		b, err := phases.ReadReleased(journal.Read(dir))
		if d, ok := errors.AsType[*journal.DamagedError](err); ok {
			damage = append(damage, d)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		b.Name = name
		beside = append(beside, b)
	}
	released, err = phases.ReadReleased(journal.Read(main.dir), beside...)
	return released, damage, err
}

// besides is a plan beside a release's own, with its journal.
func (a *app) besides(ctx context.Context, main *release, kind string, n int, env pipeline.Env, phase pipeline.Phase) (*release, error) {
	name := fmt.Sprintf("%s-%d", kind, n)
	r := &release{project: main.project, head: main.head, base: main.base, verifier: main.verifier, approvers: main.approvers}
	r.dir, r.dirs = main.at(name)
	if err := r.read(journal.Read(r.dir)); err != nil {
		return nil, err
	}
	var err error
	if r.plan, err = pipeline.NewPlan(ctx, env, phase); err != nil {
		return nil, usage("", "%w", err)
	}
	return r, nil
}

// over reports whether the last step was done, by the journal of the named plan beside a release, or by its own.
func (r *release) over(name string) (bool, error) {
	dir, _ := r.at(name)
	rel, err := phases.ReadReleased(journal.Read(dir))
	return err == nil && rel.Over(), err
}

// addressed is what a gate or step belongs to: the release, or its newest rollback or hold that is not over. A version
// says which release; without one it is that at HEAD.
func (a *app) addressed(ctx context.Context, of, version string) (*release, error) {
	kind := of
	if strings.Contains(of, "/") {
		kind = pipeline.PhaseOf(of)
	}
	switch {
	case kind == phases.RollbackPhase:
		return a.underWay(ctx, version, kind, a.rollbackAgain)
	case kind == phases.HoldPhase:
		return a.underWay(ctx, version, kind, a.holdAgain)
	case kind == "" || kind == phases.AUR:
		if r, err := a.republishing(ctx, version); r != nil || err != nil {
			return r, err
		}
	}
	if version != "" {
		return a.recorded(ctx, version)
	}
	return a.release(ctx, false)
}

// underWay is the newest rollback or hold, planned as it was begun.
func (a *app) underWay(ctx context.Context, version, kind string, again func(context.Context, *release, int) (*release, error)) (*release, error) {
	main, err := a.besidesOf(version)
	if err != nil {
		return nil, err
	}
	numbers, err := main.beside(kind)
	if err != nil {
		return nil, err
	}
	if len(numbers) == 0 {
		return nil, refused(a.command(kind, "--help")+" tells more", "there is no %s of %s", kind, filepath.Base(main.dir))
	}
	return again(ctx, main, numbers[len(numbers)-1])
}

// besidesOf is the release that something lies beside; one that has not begun can be held, too.
func (a *app) besidesOf(version string) (*release, error) {
	main, _, err := a.journalled(version)
	if errors.Is(err, errNotBegun) {
		return a.unbegun(version)
	}
	return main, err
}

// unbegun is a release that has no journal, of HEAD.
func (a *app) unbegun(name string) (*release, error) {
	p, err := a.project()
	if err != nil {
		return nil, err
	}
	r := &release{project: p}
	if r.head, err = p.repo.Head(); err != nil {
		return nil, err
	}
	r.base = r.head
	version, err := phases.VersionAt(p.config, p.repo, r.head.ID)
	if name != "" {
		version, err = phases.ParseVersion(strings.TrimPrefix(name, "v"))
	}
	if err != nil {
		return nil, p.withoutVersion(err)
	}
	r.dir = filepath.Join(p.repo.Root(), ".slipway", version.Release())
	r.dirs = pipeline.Dirs{Dist: filepath.Join(p.repo.Root(), "dist", version.Release()), Work: filepath.Join(r.dir, "work")}
	r.verifier, r.approvers = a.verifier(r)
	return r, nil
}

// approvalOf finds the newest approval of a gate in a journal that counts for somebody of the role.
func approvalOf(r *release, gateID string) (gate.Statement, bool) {
	var found gate.Statement
	ok := false
	for rec, err := range journal.Read(r.dir).Records() {
		if err != nil {
			break
		}
		if rec.Statement == nil {
			continue
		}
		req, err := gate.ParseRequest(rec.Statement.Signed)
		if err != nil || req.Kind != gate.Approval || req.Gate != gateID || req.Run != rec.Run {
			continue
		}
		if _, err := r.verifier.Verify(req.Role, rec.Statement.Signed, rec.Statement.Signature); err == nil {
			found, ok = *rec.Statement, true
		}
	}
	return found, ok
}
