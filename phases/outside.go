package phases

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/imrightguy/slipway/phases/build/version"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/phases/release/gitflow"
	"github.com/imrightguy/slipway/phases/verify"
	"github.com/imrightguy/slipway/pipeline"
)

// Finding is one thing that was looked at from outside: see package verify.
type Finding = verify.Finding

// Verify looks at a version from outside. done are what the version's steps have done, by their IDs, where there is a
// journal of it; say, which may be nil, is told what is being looked at.
func Verify(ctx context.Context, e *Endpoints, c *Config, r *Repository, v Version, done map[string]pipeline.Record, say func(string)) ([]Finding, error) {
	w, err := outside(c, r, v)
	if err != nil {
		return nil, err
	}
	if receipt := done[version.ID].Receipt; done["release/publish"].Receipt != nil && receipt != nil {
		w.Commit = receipt["commit"]
		w.Assets = map[string]verify.Content{}
	}
	for id, rec := range done {
		if name, ok := strings.CutPrefix(id, "release/asset/"); ok && w.Assets != nil {
			size, err := strconv.ParseInt(rec.Receipt["size"], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("cannot read what was uploaded as %s: %w", name, err)
			}
			w.Assets[name] = verify.Content{Size: size, SHA256: rec.Receipt["sha256"]}
		}
	}
	for i, p := range w.AUR {
		w.AUR[i].Version = done["aur/push/"+p.Name].Receipt["version"]
	}
	return verify.Look(ctx, e, w, say), nil
}

// Standing is what stands where a step would act: see package verify.
type Standing = verify.Standing

// Before looks where the outward steps of a plan would act, before anything of the release is made.
func Before(ctx context.Context, e *Endpoints, c *Config, r *Repository, plan *pipeline.Plan) (map[string]Standing, error) {
	v, err := ParseVersion(plan.Env.Version)
	if err != nil || c.Release == nil {
		return nil, err
	}
	w, err := outside(c, r, v)
	if err != nil {
		return nil, err
	}
	if c.Release.Git.Tag == gitflow.Existing {
		w.Commit = plan.Env.Commit
	}
	return verify.Before(ctx, e, w, plan.Specs), nil
}

// outside is what release.yaml says of where a version is published.
func outside(c *Config, r *Repository, v Version) (w verify.Release, err error) {
	git := c.Release.Git
	form, err := repo.ParseTagForm(git.TagForm())
	if err != nil {
		return w, err
	}
	page := c.Release.GitHub.Page()
	w = verify.Release{
		Version: v, Owner: c.Release.GitHub.Owner, Repo: c.Release.GitHub.Repo, BaseURL: c.Release.GitHub.BaseURL, Page: page,
		Remote:    gitremote.Remote{URL: cmp.Or(git.Remote, page+".git"), KeyFile: git.KeyFile, KnownHosts: inside(r.Root(), git.KnownHosts)},
		TagForm:   form,
		MergeInto: git.MergeInto, Odd: c.Channels.Prerelease.Latest || c.Channels.OlderThanLatest.Latest,
	}
	if w.Tag, err = git.TagOf(v.String()); err != nil {
		return w, err
	}
	if c.Version.Source != version.Tag {
		w.Source = c.Version.Source
	}
	for name, a := range c.AUR {
		if v.Prerelease() && !c.Channels.Prerelease.AUR {
			break
		}
		p := verify.Package{Name: name, Remote: gitremote.Remote{
			URL: cmp.Or(a.Remote, "ssh://aur@aur.archlinux.org/"+name+".git"), KeyFile: a.KeyFile, KnownHosts: inside(r.Root(), a.KnownHosts),
		}}
		w.AUR = append(w.AUR, p)
	}
	slices.SortFunc(w.AUR, func(a, b verify.Package) int { return strings.Compare(a.Name, b.Name) })
	return w, nil
}

// inside is the path of a file of the repository; "" stays "".
func inside(root, file string) string {
	if file == "" {
		return ""
	}
	return filepath.Join(root, filepath.FromSlash(path.Clean(file)))
}
