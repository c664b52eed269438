// Package version is the step build/version: it turns the base commit into the release's own commit.
//
// Everything is read at the base commit, never from the working tree. The source of truth must say the planned version
// and every carrier must agree with it; the step refuses drift and mends nothing ([Bump] does). What depends on the
// commit, a build date or a commit ID in a version file, is written then, and the outcome is a commit on top of the
// base, made beside the user's repository: as a pack of its new objects, and as a clean checkout that everything else
// is built from. Author, committer, time and message follow from release.yaml and the base commit alone, so every
// machine makes the same commit, the same pack and the same checkout. A commit may be signed, with a key that always
// signs the same text in the same way; others are refused.
//
// The check "version" reads the carriers once more, out of the finished checkout.
package version

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/carrier"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// What the step is called and makes.
const (
	ID     = "build/version"
	Source = "work/source"              // the checkout, a tree
	Pack   = "work/version-commit.pack" // the commit's new objects
	Check  = "version"                  // the evidence
)

// Config says where the version stands and who makes the commit.
type Config struct {
	// Source is the one file that the version is read from, like pubspec.yaml or VERSION; or "tag" for the annotated tag
	// vX.Y.Z of the commit that is released.
	Source string `yaml:"source" jsonschema:"required"`
	// Carriers are files that repeat the version. They are written by bump, and must agree with the source.
	Carriers []string `yaml:"carriers,omitempty"`
	// Author makes the release's commit: "Name <address>". Nothing is taken from the machine's git settings.
	Author string `yaml:"author" jsonschema:"required"`
	// Sign says with what the commit is signed; nil: not at all. release.yaml has it elsewhere, for tags as well.
	Sign *endpoint.Signing `yaml:"-" json:"-" jsonschema:"-"`
	// Tagged says that people have tagged the base commit: it is the release's as it stands, and nothing is written into it.
	Tagged bool `yaml:"-" json:"-" jsonschema:"-"`
}

// Tag as the source of the version stands for the annotated tag of the commit instead of a file.
const Tag = "tag"

// Validate refuses a configuration that no repository could satisfy.
func (c Config) Validate() error {
	seen := map[string]bool{}
	if c.Source == "" {
		return errors.New("the version has no source")
	}
	for _, file := range c.files() {
		switch {
		case file == "":
			return errors.New("a carrier has no name")
		case !fs.ValidPath(file) || file == "." || strings.ContainsAny(file, "\\\x00\n\r"):
			return fmt.Errorf("%q is not the path of a file in the repository", file)
		case slices.ContainsFunc(strings.Split(file, "/"), func(p string) bool { return strings.EqualFold(p, ".git") }):
			return fmt.Errorf("%q lies in git's own folder", file)
		case seen[file]:
			return fmt.Errorf("%q is named twice", file)
		}
		seen[file] = true
		if err := carrier.Known(file); err != nil {
			return err
		}
	}
	_, err := repo.ParsePerson(c.Author)
	return err
}

// files lists the source, where it is a file, then the carriers.
func (c Config) files() []string {
	if c.Source == Tag {
		return slices.Clone(c.Carriers)
	}
	return append([]string{c.Source}, c.Carriers...)
}

// Steps returns the step. RepoDir is the repository's folder, or one inside it.
func Steps(cfg Config, env *pipeline.Env, repoDir string) ([]pipeline.Step, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("cannot plan the version: %w", err)
	}
	if _, err := version.Parse(env.Version); err != nil {
		return nil, fmt.Errorf("cannot plan the version: %w", err)
	}
	carriers, err := json.Marshal(slices.Clone(cfg.Carriers))
	if err != nil {
		return nil, err
	}
	params := map[string]string{"source": cfg.Source, "carriers": string(carriers), "author": cfg.Author, "commit": env.Commit, "version": env.Version}
	if cfg.Sign != nil {
		params["sign"] = strings.TrimSpace(cfg.Sign.Format + " " + cfg.Sign.Key)
	}
	if cfg.Tagged {
		params["tagged"] = "yes"
	}
	spec := pipeline.Spec{
		ID: ID, Effect: pipeline.Local, Outputs: []string{Source, Pack}, Checks: []string{Check},
		// Commit and version stand here too, so that a plan amended to others makes the step again.
		Params: params,
	}
	return []pipeline.Step{&step{cfg, spec, repoDir}}, nil
}

type step struct {
	cfg     Config
	spec    pipeline.Spec
	repoDir string
}

func (s *step) Spec() pipeline.Spec { return s.spec }

func (s *step) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	r, err := repo.Open(s.repoDir)
	if err != nil {
		return nil, err
	}
	base, err := r.Commit(ws.Env.Commit)
	if err != nil {
		return nil, err
	}
	if !base.Time.Equal(ws.Env.Time) {
		return nil, fmt.Errorf("cannot use commit %s: it is of %s, the plan says %s", repo.Short(base.ID), base.Time.Format("2006-01-02T15:04:05Z07:00"), ws.Env.Time.Format("2006-01-02T15:04:05Z07:00"))
	}
	d, stamp, err := s.draft(r, base, ws.Env.Version)
	if err != nil {
		return nil, err
	}
	if err := s.sign(ctx, ws, d); err != nil {
		return nil, err
	}
	pack, err := ws.Create(pipeline.Artifact{Name: Pack, Kind: "pack"})
	if err != nil {
		return nil, err
	}
	if err := writePack(pack, d); err != nil {
		return nil, err
	}
	tree, err := ws.Create(pipeline.Artifact{Name: Source, Kind: pipeline.KindTree})
	if err != nil {
		return nil, err
	}
	made, export := d.Commit, d.Export
	if s.cfg.Tagged { // the pack is nobody's then: there is no pack without an object
		made, export = base, func(ctx context.Context, dir string) error { return r.Export(ctx, base.ID, dir) }
	}
	ws.Logf("laying out commit %s", repo.Short(made.ID))
	if err := export(ctx, tree); err != nil {
		return nil, err
	}
	v, err := version.Parse(ws.Env.Version)
	if err != nil {
		return nil, err
	}
	ws.Report(s.evidence(tree, v, stamp))
	return pipeline.Receipt{"commit": made.ID, "tree": made.Tree, "version": v.String(), "branch": "release/v" + v.Release()}, nil
}

// draft makes the commit: the base's tree with the stamps in it, if its version is everywhere the planned one.
func (s *step) draft(r *repo.Repo, base repo.Commit, planned string) (*repo.Draft, carrier.Stamp, error) {
	stamp := carrier.Stamp{BuildDate: base.Time, Commit: repo.Short(base.ID)}
	contents := map[string][]byte{}
	tree := At(r, base.ID)
	file := tree.File
	tree.File = func(name string) (content []byte, err error) {
		content, err = file(name)
		contents[name] = content
		return content, err
	}
	v, drifts, err := Survey(s.cfg, tree)
	if err != nil {
		return nil, stamp, fmt.Errorf("at commit %s: %w", repo.Short(base.ID), err)
	}
	if v.String() != planned {
		return nil, stamp, fmt.Errorf("%s says version %s at commit %s, the plan is for %s; plan anew", s.cfg.Source, v, repo.Short(base.ID), planned)
	}
	if len(drifts) > 0 {
		return nil, stamp, &DriftError{Commit: base.ID, Version: v, Drifts: drifts}
	}
	for _, file := range slices.Sorted(maps.Keys(contents)) {
		if contents[file], err = writer(s.cfg, file)(file, contents[file], v, stamp); err != nil {
			return nil, stamp, err
		}
	}
	by, err := repo.ParsePerson(s.cfg.Author)
	if err != nil {
		return nil, stamp, err
	}
	d, err := r.Draft(base.ID, contents, by, "Release v"+v.Release()+"\n")
	return d, stamp, err
}

// sign signs the commit where release.yaml wants it. A build that signs nothing needs no endpoints.
func (s *step) sign(ctx context.Context, ws *pipeline.Workspace, d *repo.Draft) error {
	if s.cfg.Sign == nil || s.cfg.Tagged {
		return nil
	}
	e, err := endpoint.Of(ws)
	if err != nil {
		return fmt.Errorf("cannot sign the commit: %w", err)
	}
	signer, err := e.Signer(ctx, *s.cfg.Sign)
	if err != nil {
		return fmt.Errorf("cannot sign the commit: %w", err)
	}
	return d.Sign(func(object []byte) (string, error) {
		signature, err := signer.Sign(ctx, object)
		if err != nil {
			return "", err
		}
		again, err := signer.Sign(ctx, object)
		if err == nil && again != signature {
			err = errRandom
		}
		return signature, err
	})
}

// errRandom refuses keys with which the commit could not be made again, on another machine or here: what was approved
// and uploaded would be that of a commit that nobody has.
var errRandom = errors.New("cannot sign the commit: the key signs the same text in other ways each time, as ECDSA and security keys do, " +
	"so nobody could make the commit again; sign with an Ed25519 or RSA key")

func writePack(path string, d *repo.Draft) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Pack(f), f.Close())
}

// evidence reads source and carriers out of the checkout.
func (s *step) evidence(tree string, v version.Version, stamp carrier.Stamp) pipeline.Evidence {
	e := pipeline.Evidence{
		Check: Check, Verdict: gate.Pass, Subjects: map[string]string{},
		Expected: fmt.Sprintf("%s in %s", v, strings.Join(append([]string{s.cfg.Source}, s.cfg.Carriers...), ", ")),
	}
	e.Found = e.Expected
	if s.cfg.Tagged { // what depends on the commit is not written into it
		stamp = carrier.Stamp{}
	}
	var faults []string
	for _, file := range s.cfg.files() {
		content, err := os.ReadFile(filepath.Join(tree, filepath.FromSlash(file)))
		if err != nil {
			e.Verdict, e.Found, e.Summary = gate.Unknown, "", fmt.Sprintf("%s cannot be read", file)
			return e
		}
		sum := sha256.Sum256(content)
		e.Subjects[path.Join(Source, file)] = hex.EncodeToString(sum[:])
		drifts, err := carrier.Check(file, content, v, stamp)
		if err != nil {
			faults = append(faults, err.Error())
		}
		for _, d := range drifts {
			faults = append(faults, d.String())
		}
	}
	e.Summary = fmt.Sprintf("version %s stands in %s and %d carriers", v, s.cfg.Source, len(s.cfg.Carriers))
	if len(faults) > 0 {
		e.Verdict, e.Found, e.Summary = gate.Fail, strings.Join(faults, "; "), faults[0]
	}
	return e
}

// DriftError is the error for a version that is not the same everywhere.
type DriftError struct {
	Commit  string // where it was looked for
	Version version.Version
	Drifts  []carrier.Drift
}

// Error names each place, what was found and what was wanted there, and the command that mends it.
func (e *DriftError) Error() string {
	var places []string
	for _, d := range e.Drifts {
		places = append(places, d.String())
	}
	return fmt.Sprintf("not everything says version %s at commit %s: %s (slipway check shows it, slipway bump %s mends it; then commit)",
		e.Version, repo.Short(e.Commit), strings.Join(places, "; "), e.Version)
}
