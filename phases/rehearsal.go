package phases

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"path"
	"strings"

	"github.com/imrightguy/slipway/phases/build/version"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/phases/internal/rehearsal"
	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/phases/release/gitflow"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// Rehearsal is twins of all remotes that a configuration names, on this machine.
type Rehearsal struct {
	o     RehearsalOptions
	world *rehearsal.World
}

// RehearsalFolder makes an empty folder for a rehearsal that nobody keeps, which remove removes. Those of killed rehearsals
// of this user are removed first.
func RehearsalFolder() (dir string, remove func() error, err error) { return rehearsal.Folder() }

// RehearsalOptions say which release is rehearsed.
type RehearsalOptions struct {
	Config     *Config
	Repository *Repository
	Base       Commit
	Version    string   // X.Y.Z[-pre][+build]
	Dir        string   // an existing folder, for what arrives
	Faults     []string // see [FaultNames]
	// Twins are further options of tests: hooks, settings. What the configuration says is filled in.
	Twins rehearsal.Options
}

// Rehearse stages the twins. They stand until Close is called.
func Rehearse(ctx context.Context, o RehearsalOptions) (*Rehearsal, error) {
	w := o.Twins
	w.Dir, w.Repository, w.Base, w.Faults = o.Dir, o.Repository.Root(), o.Base.ID, o.Faults
	for role := range o.Config.Approvers {
		w.Roles = append(w.Roles, role)
	}
	if c := o.Config.Release; c != nil {
		v, err := ParseVersion(o.Version)
		if err != nil {
			return nil, err
		}
		w.Remote, w.Owner, w.Name, w.Branch = cmp.Or(c.Git.Remote, c.GitHub.Page()+".git"), c.GitHub.Owner, c.GitHub.Repo, c.Git.MergeInto
		if c.GitHub.BaseURL != "" {
			u, err := url.Parse(c.GitHub.BaseURL)
			if err != nil {
				return nil, err
			}
			w.Enterprise = u.Host
		}
		if w.Branch == "" {
			w.Branch = "main"
		}
		form, err := repo.ParseTagForm(c.Git.TagForm())
		if err != nil {
			return nil, err
		}
		tags, err := o.Repository.VersionTags(form, v)
		if err != nil {
			return nil, err
		}
		for _, t := range tags {
			w.Tags = append(w.Tags, t.Name)
		}
		if c.Git.Tag == gitflow.Existing { // people have pushed it
			own, err := c.Git.TagOf(o.Version)
			if err != nil {
				return nil, err
			}
			w.Tags = append(w.Tags, own)
		}
	}
	w.AUR = map[string]string{}
	for name, c := range o.Config.AUR {
		w.AUR[name] = cmp.Or(c.Remote, "ssh://aur@aur.archlinux.org/"+name+".git")
	}
	world, err := rehearsal.Start(ctx, w)
	if err != nil {
		return nil, err
	}
	return &Rehearsal{o, world}, nil
}

// World is the staged world.
func (r *Rehearsal) World() *rehearsal.World { return r.world }

// Endpoints lead to the twins, for a run of the plan with that digest.
func (r *Rehearsal) Endpoints(plan string) *Endpoints {
	e := r.world.Map.Endpoints()
	e.Plan = plan
	return e
}

// Verifier counts what Sign signs.
func (r *Rehearsal) Verifier() gate.Verifier { return r.world.Verifier() }

// Sign signs a statement with the throw-away key of a role.
func (r *Rehearsal) Sign(role string, statement []byte) ([]byte, error) {
	return r.world.Sign(role, statement)
}

// Unstruck lists the planned faults that never came about.
func (r *Rehearsal) Unstruck() []string { return r.world.Unstruck() }

// Close ends the twins. What arrived stays in the folder.
func (r *Rehearsal) Close() error { return r.world.Close() }

// Arrived looks at what a run has left at the twins, past the code that brought it there.
func (r *Rehearsal) Arrived(ctx context.Context, plan *pipeline.Plan, s *pipeline.Survey, dirs pipeline.Dirs) ([]Arrival, error) {
	want := rehearsal.Want{Version: plan.Env.Version, Assets: map[string]string{}, AUR: map[string]rehearsal.Repo{}}
	for _, st := range s.Steps {
		id := st.Spec.ID
		switch {
		case id == version.ID && st.Last.Receipt != nil:
			want.Commit = st.Last.Receipt["commit"]
		case strings.HasPrefix(id, "release/asset/"):
			want.Assets[strings.TrimPrefix(id, "release/asset/")] = st.Last.Receipt["sha256"]
		case id == "release/branch":
			want.Branch = st.Last.Receipt["branch"]
		case id == "release/tag":
			want.Tag = st.Last.Receipt["tag"]
		case id == "release/merge":
			want.MergeInto = st.Last.Receipt["branch"]
		case id == "release/publish":
			want.Latest = st.Spec.Params["latest"] == "true"
		case strings.HasPrefix(id, "aur/push/"):
			want.AUR[strings.TrimPrefix(id, "aur/push/")] = rehearsal.Repo{Files: map[string]string{}}
		}
	}
	if r.o.Config.Version.Source != version.Tag {
		want.Source = r.o.Config.Version.Source
	}
	for _, st := range s.Steps {
		for _, a := range st.Last.Artifacts {
			name, ours := strings.CutPrefix(path.Dir(a.Name), "aur/")
			pkg, published := want.AUR[name]
			if !ours || !published {
				continue
			}
			pkg.Files[path.Base(a.Name)] = a.SHA256
			if path.Base(a.Name) == ".SRCINFO" {
				var err error
				if pkg.Version, err = publishedVersion(dirs.Path(a.Name)); err != nil {
					return nil, err
				}
			}
			want.AUR[name] = pkg
		}
	}
	return r.world.Look(ctx, want), nil
}

// publishedVersion reads [epoch:]pkgver-pkgrel out of a .SRCINFO.
func publishedVersion(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := pkgbuild.ParseSRCINFO(f)
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %w", file, err)
	}
	return info.Version(), nil
}
