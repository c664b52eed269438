// Package gitflow takes a release's commit into a remote repository: a branch that bears it, an annotated tag of it, and
// in the end a merge into the branch that people work on.
//
// build/version has made the commit beside the user's repository, as a pack of its new objects. These steps add the pack
// to a temporary store that borrows all other objects from the user's repository, and push from there: the user's
// repository, its settings and its working tree are neither needed in a certain state nor written to. Author, committer
// and time of what is made here are release.yaml's author and the base commit's time.
//
// A tag that others can see is never moved; a branch only goes forward. Tag and merge bear the run in a trailer, so that
// a run that was cut off knows them again; a branch cannot bear it, and one that is there already is adopted.
package gitflow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/imrightguy/slipway/phases/internal/carrier"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline"
)

// The steps, and the evidence that they report.
const (
	CheckID   = "release/check/git"
	BranchID  = "release/branch"
	TagID     = "release/tag"
	MergeID   = "release/merge"
	OutcomeID = "release/check/outcome"

	CheckGit    = "git"    // of CheckID
	CheckTag    = "tag"    // of OutcomeID
	CheckMerged = "merged" // of OutcomeID, where there is a merge
)

// What build/version makes.
const (
	versionStep = "build/version"
	versionPack = "work/version-commit.pack"
)

// Options are what a plan decides about the steps.
type Options struct {
	RepoDir string            // the user's repository, or a folder in it; it is only read
	Version string            // X.Y.Z[-pre][+build]
	Source  string            // the file that is the version's source of truth, or "tag"
	Author  string            // "Name <mail>": of the tag and the merge
	Sign    *endpoint.Signing // nil: tag and merge are not signed
	Needs   []string          // steps that every one of these comes after
}

// flow is what the steps share.
type flow struct {
	c    Config
	o    Options
	spec pipeline.Spec
	// The names, and what keeps them from being names.
	branch, tag string
	err         error
}

// tagSource is what Options.Source is where the tag is the source of truth.
const tagSource = "tag"

func newFlow(c Config, o Options, id string, needs []string) flow {
	f := flow{c: c, o: o}
	var errs [3]error
	f.branch, errs[0] = c.branch(o.Version)
	f.tag, errs[1] = c.TagOf(o.Version)
	errs[2] = c.Validate()
	f.err = errors.Join(errs[:]...)
	f.spec = pipeline.Spec{ID: id, Inputs: []string{"receipt:" + versionStep + ".commit", "artifact:" + versionPack}}
	for _, n := range slices.Concat([]string{versionStep}, o.Needs, needs) {
		if !slices.Contains(f.spec.Needs, n) {
			f.spec.Needs = append(f.spec.Needs, n)
		}
	}
	return f
}

// params are the configuration that decides what a step makes.
func (f *flow) params(more map[string]string) {
	f.spec.Params = map[string]string{"author": f.o.Author, "source": f.o.Source, "tag": f.tag}
	if f.existing() {
		f.spec.Params["existing"] = "yes"
	}
	if f.o.Sign != nil {
		f.spec.Params["sign"] = strings.TrimSpace(f.o.Sign.Format + " " + f.o.Sign.Key)
	}
	maps.Copy(f.spec.Params, more)
}

// Spec is the step's Spec.
func (f *flow) Spec() pipeline.Spec { return f.spec }

func (f *flow) existing() bool { return f.c.Tag == Existing }

func (f *flow) branchRef() string { return "refs/heads/" + f.branch }
func (f *flow) tagRef() string    { return "refs/tags/" + f.tag }
func (f *flow) mergeRef() string  { return "refs/heads/" + f.c.MergeInto }

// commit is the one that is released: the version commit, or the base where people have tagged it.
func (f *flow) commit(ws *pipeline.Workspace) (string, error) {
	if f.err != nil {
		return "", f.err
	}
	if f.existing() {
		return ws.Env.Commit, nil
	}
	return ws.Receipt(versionStep, "commit")
}

// open finds the way to the remote.
func (f *flow) open(ctx context.Context, ws *pipeline.Workspace) (gitremote.Access, error) {
	if f.err != nil {
		return gitremote.Access{}, f.err
	}
	e, err := endpoint.Of(ws)
	if err != nil {
		return gitremote.Access{}, err
	}
	r := gitremote.Remote{URL: f.c.Remote, KeyFile: f.c.KeyFile}
	if f.c.KnownHosts != "" {
		user, err := repo.Open(f.o.RepoDir)
		if err != nil {
			return gitremote.Access{}, err
		}
		r.KnownHosts = filepath.Join(user.Root(), filepath.FromSlash(f.c.KnownHosts))
	}
	a, err := e.Git(ctx, r)
	if err == nil && a.Identity != "" {
		ws.Logf("going to %s as %s", f.c.Remote, a.Identity)
	}
	return a, err
}

// person is who makes the tag and the merge, and when.
func (f *flow) person(ws *pipeline.Workspace) (object.Signature, error) {
	p, err := repo.ParsePerson(f.o.Author)
	return object.Signature{Name: p.Name, Email: p.Mail, When: ws.Env.Time.UTC()}, err
}

// sign signs an object's bytes where release.yaml wants it.
func (f *flow) sign(ctx context.Context, ws *pipeline.Workspace, encode func(plumbing.EncodedObject) error) (string, error) {
	if f.o.Sign == nil {
		return "", nil
	}
	e, err := endpoint.Of(ws)
	if err != nil {
		return "", err
	}
	s, err := e.Signer(ctx, *f.o.Sign)
	if err != nil {
		return "", err
	}
	plain := &plumbing.MemoryObject{}
	if err := encode(plain); err != nil {
		return "", err
	}
	content, err := read(plain, carrier.MaxSize)
	if err != nil {
		return "", err
	}
	return s.Sign(ctx, content)
}

// trailer is the line of a message that says which run made it.
const trailer = "Slipway-Run: "

var marked = regexp.MustCompile(`(?m)^` + trailer + `([0-9A-Za-z._-]{1,128})$`)

// marker is the run that a message says it is of.
func marker(message string) string {
	if m := marked.FindStringSubmatch(message); m != nil {
		return m[1]
	}
	return ""
}

// truth compares the version that the source of truth has in a commit's tree with the planned one. It is nil where
// they are the same (the version in a file at the tag equals the tag's).
func (f *flow) truth(s *store, commit plumbing.Hash) error {
	if f.o.Source == tagSource {
		return nil // the tag's name is made of the version
	}
	c, err := object.GetCommit(s, commit)
	if err != nil {
		return fmt.Errorf("cannot read commit %s: %w", commit, err)
	}
	content, err := fileAt(s, c.TreeHash, f.o.Source)
	if err != nil {
		return err
	}
	found, _, err := carrier.Source(f.o.Source, content)
	if err != nil {
		return err
	}
	want, err := version.Parse(f.o.Version)
	if err != nil {
		return err
	}
	if found.Compare(want) != 0 {
		return fmt.Errorf("%s says version %s at tag %s", f.o.Source, found, f.tag)
	}
	return nil
}

// others lists the tags of other versions that lead to the same commit: one commit is one version.
func (f *flow) others(refs map[string]gitremote.Ref, commit string) (names []string) {
	form, err := repo.ParseTagForm(f.c.TagForm())
	if err != nil {
		return nil
	}
	for ref, to := range refs {
		name, ok := strings.CutPrefix(ref, "refs/tags/")
		if !ok || name == f.tag || to.Peeled != commit {
			continue
		}
		_, own := form.Version(name)
		_, plain := repo.TagForm{}.Version(name)
		if own || plain {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func shared(names []string) error {
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("the commit has the tag of another version, %s; one commit is one version", strings.Join(names, ", "))
}
