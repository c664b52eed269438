// Package release is the second phase of a release: from finished packages to a published release on GitHub, and the
// proof that everybody gets it.
//
//	release/notes           the notes
//	release/check/git       whether the remote lets in what comes, before anything is sent
//	release/check/github    likewise GitHub
//	release/branch          the version commit on a branch
//	release/draft           a draft
//	release/asset/NAME      its assets
//	release/inspect         what GitHub has of them
//	gate/release
//	release/tag             the annotated tag
//	release/publish         the point of no return
//	release/download        every asset as anybody downloads it, and the latest release
//	release/merge           the version commit in the branch that people work on
//	release/check/outcome   tag and merge as they stand
//	proof/release
//
// All before the gate can be taken back, so nothing irrevocable happens before people have approved what they can look
// at: the draft with its very assets. With tag: existing there is neither branch nor merge, and the tag is adopted;
// without merge_into there is no merge.
package release

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/phases/release/gitflow"
	"github.com/imrightguy/slipway/phases/release/github"
	"github.com/imrightguy/slipway/phases/release/notes"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/templates"
)

// Name is the phase's name.
const Name = "release"

// IDs of the phase's gate and proof, and their names where release.yaml gives none.
const (
	GateID     = "gate/" + Name
	GateTitle  = "Release Quality"
	ProofID    = "proof/" + Name
	ProofTitle = "Release Published"
)

// Config says where a release goes: release.yaml's key release.
type Config struct {
	// Git says how the release's commit, its tag and the merge reach the repository.
	Git gitflow.Config `yaml:"git,omitempty"`
	// GitHub says in which repository the release is published, and how.
	GitHub github.Config `yaml:"github" jsonschema:"required"`
	// Notes say what the notes of the release are made of.
	Notes notes.Config `yaml:"notes,omitempty"`
}

// Asset is a file that a step made and that is uploaded under the last part of its name.
type Asset = github.Asset

// Options are what the rest of the configuration decides about the phase.
type Options struct {
	RepoDir       string            // the repository's folder, or one inside it
	VersionSource string            // the file that is the version's source of truth, or "tag"
	Author        string            // "Name <mail>": of the tag and the merge
	Sign          *endpoint.Signing // nil: tag and merge are not signed
	Assets        []Asset           // in the order in which they are uploaded
	// Packages are what people install: the notes say how.
	Packages []templates.NotesPackage
	// Needs are the steps whose checks gate/release may read besides the phase's own; the last is gate/build.
	Needs []string
	// Checks are what Needs report.
	Checks []string
	// Prerelease and Latest are what the rules of the version's channel say.
	Prerelease, Latest bool
	// Older says that release.yaml lets a version become the latest release although a newer one is.
	Older bool
	// Gate makes gate/release as release.yaml has it, given the checks that are reported.
	Gate func(checks []string) (gate.Gate, error)
}

// Validate refuses a configuration that cannot work. The error joins one for each fault, which begins with its key as in
// release.yaml, such as "release.git.branch: ".
func (c Config) Validate() error {
	errs := slices.Concat(under("git", c.Git.Validate()), under("github", c.GitHub.Validate()), under("notes", c.Notes.Validate()))
	if c.Git.Remote != "" && c.GitHub.Owner != "" && c.GitHub.Repo != "" {
		host, repo := place(c.Git.Remote)
		switch page := hostOf(c.GitHub.Page()); {
		case host == page && !strings.EqualFold(repo, c.GitHub.Owner+"/"+c.GitHub.Repo):
			errs = append(errs, fmt.Errorf("release.git.remote: it is repository %.100q, and the release is published in %s", repo, c.GitHub.Owner+"/"+c.GitHub.Repo))
		case host != page && strings.HasPrefix(c.Git.Remote, "https://"):
			errs = append(errs, fmt.Errorf("release.git.remote: over https the token for %s would be shown to %.100q; want ssh://USER@HOST/PATH", page, host))
		}
	}
	return errors.Join(errs...)
}

// under puts a key before each fault.
func under(key string, err error) (errs []error) {
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for _, e := range all {
		if e != nil {
			errs = append(errs, fmt.Errorf("release.%s.%w", key, e))
		}
	}
	return errs
}

var scp = regexp.MustCompile(`^(?:[^@/]+@)?([^:/]+):([^/].*)$`)

// place is the host of a remote and the repository there, OWNER/REPO; "" where it cannot be told.
func place(remote string) (host, repo string) {
	if m := scp.FindStringSubmatch(remote); m != nil && !strings.Contains(remote, "://") {
		host, repo = m[1], m[2]
	} else if u, err := url.Parse(remote); err == nil {
		host, repo = u.Hostname(), u.Path
	}
	if host == "ssh.github.com" {
		host = "github.com" // ssh over the port of https
	}
	return strings.ToLower(host), strings.TrimSuffix(strings.Trim(repo, "/"), ".git")
}

func hostOf(page string) string {
	u, err := url.Parse(page)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// New returns the phase. The error joins one for each fault of the configuration.
func New(c Config, o Options) (pipeline.Phase, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if len(o.Needs) == 0 || o.Gate == nil {
		return nil, errors.New("release: there is no gate before it")
	}
	if c.Git.Remote == "" {
		c.Git.Remote = c.GitHub.Page() + ".git"
	}
	p := &phase{c, o}
	if _, err := p.hub("project", "1.0.0"); err != nil { // the names of assets, above all
		return nil, fmt.Errorf("release.github.%w", err)
	}
	return p, nil
}

type phase struct {
	c Config
	o Options
}

var _ pipeline.Phase = (*phase)(nil)

// Name is the phase's name.
func (*phase) Name() string { return Name }

// hub plans what is published of a version.
func (p *phase) hub(project, planned string) (*github.Release, error) {
	v, err := version.Parse(planned)
	if err != nil {
		return nil, err
	}
	tag, err := p.c.Git.TagOf(planned)
	if err != nil {
		return nil, err
	}
	return github.New(p.c.GitHub, github.Options{
		Project: project, Version: v.Release(), Tag: tag, Tagged: p.c.Git.Tag == gitflow.Existing,
		Assets: p.o.Assets, Prerelease: p.o.Prerelease, Latest: p.o.Latest, Older: p.o.Older,
	})
}

// notes says what the notes are told.
func (p *phase) notes(project string) notes.Options {
	o := notes.Options{
		RepoDir: p.o.RepoDir, Project: project, Page: p.c.GitHub.Page(), TagName: p.c.Git.TagForm(), Packages: p.o.Packages,
	}
	for _, a := range p.o.Assets {
		if name := path.Base(a.Artifact); name == sums {
			o.Sums = name
		}
	}
	return o
}

// sums is the file with the checksums of all packages, where the build makes one.
const sums = "SHA256SUMS"

// Plan lists the steps in the order of the package comment.
func (p *phase) Plan(_ context.Context, env *pipeline.Env) ([]pipeline.Step, error) {
	hub, err := p.hub(env.Project, env.Version)
	if err != nil {
		return nil, err
	}
	git := gitflow.Options{RepoDir: p.o.RepoDir, Version: env.Version, Source: p.o.VersionSource, Author: p.o.Author, Sign: p.o.Sign}
	existing, gateBuild := p.c.Git.Tag == gitflow.Existing, p.o.Needs[len(p.o.Needs)-1]

	g, err := p.o.Gate(append(slices.Clone(p.o.Checks), notes.Check, gitflow.CheckGit, github.Ready, github.Assets))
	if err != nil {
		return nil, err
	}
	g.ID = GateID

	steps := []pipeline.Step{
		notes.Step(p.c.Notes, p.notes(env.Project)),
		gitflow.Checks(p.c.Git, git, gateBuild),
		hub.Check(gateBuild),
	}
	sent := []string{gitflow.CheckID, github.CheckID, gateBuild}
	if !existing {
		steps = append(steps, branch{kept{gitflow.Branch(p.c.Git, git, sent...), hub}})
		sent = append(sent, gitflow.BranchID)
	}
	steps = append(steps, hub.Draft(sent...))
	steps = append(steps, hub.Assets()...)
	steps = append(steps,
		hub.Inspect(),
		pipeline.NewGate(g, append(slices.Clone(p.o.Needs), notes.ID, gitflow.CheckID, github.CheckID, github.InspectID)...),
		kept{gitflow.Tag(p.c.Git, git, GateID), hub},
		hub.Publish(GateID, gitflow.TagID),
		hub.Download(),
	)
	proof := gate.Gate{ID: ProofID, Title: ProofTitle, Criteria: []gate.Criterion{
		{Title: "Everybody can download every asset", Check: github.Public},
		{Title: "The latest release is as planned", Check: github.Latest},
		{Title: "The tag leads to the released commit", Check: gitflow.CheckTag},
	}}
	last := github.DownloadID
	if p.c.Git.MergeInto != "" {
		steps = append(steps, gitflow.Merge(p.c.Git, git, github.PublishID, github.DownloadID))
		last = gitflow.MergeID
		proof.Criteria = append(proof.Criteria, gate.Criterion{Title: "The release is merged into " + p.c.Git.MergeInto, Check: gitflow.CheckMerged})
	}
	return append(steps,
		gitflow.Outcome(p.c.Git, git, last),
		pipeline.NewGate(proof, github.DownloadID, gitflow.OutcomeID),
	), nil
}
