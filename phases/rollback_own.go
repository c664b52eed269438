package phases

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/imrightguy/slipway/phases/aur"
	buildaur "github.com/imrightguy/slipway/phases/build/aur"
	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/pipeline"
)

// ErrNotHere is what the error of [NewRollback] wraps where a rollback has begun with a commit that this clone does not
// have: what is missing is that commit, and the rollback goes on where it is.
var ErrNotHere = errors.New("this clone does not have it")

// own is what the release.yaml of the older version's own tag says of its AUR packages. The older program needs what it
// needed then: other dependencies, another scriptlet and other files may be why the newer one is bad.
type own struct {
	config  *Config
	release pipeline.Env // as far as packages are made of it
	made    map[string]buildaur.Config
}

var commitRE = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// own reads it, and fills in the payload and what it is made from. It is nil where it cannot be had, and MadeFrom says
// why then; a rollback that has begun with it goes on with nothing else.
func (o *correctionOptions) own(ctx context.Context) (*own, error) {
	if o.MadeFrom != "" && !commitRE.MatchString(o.MadeFrom) {
		return nil, o.settle(nil, "")
	}
	begun := o.MadeFrom != ""
	if !begun {
		commit, err := o.tagged()
		if err != nil {
			o.MadeFrom = firstLine(err)
			return nil, o.settle(nil, "")
		}
		// A tag can be moved by more people than the branch, and says of nobody's review: what it adds to the history that the
		// release was made of is not read.
		shared, err := o.Repository.Shared(ctx, commit, o.Env.Commit)
		if err == nil && shared == "" {
			err = fmt.Errorf("tag %s is no part of the history of %s", o.OlderTag, o.Env.Version)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			o.MadeFrom = firstLine(err)
			return nil, o.settle(nil, "")
		}
		o.MadeFrom = shared
	}
	out, err := o.ownAt(ctx, o.MadeFrom)
	switch {
	case err == nil:
		return out, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case begun:
		return nil, fmt.Errorf("its packages were begun with the release.yaml of %s at commit %s: %w", o.OlderTag, repo.Short(o.MadeFrom), err)
	}
	o.MadeFrom = firstLine(err)
	return nil, o.settle(nil, "")
}

// tagged is the commit of the older version's tag.
func (o *correctionOptions) tagged() (string, error) {
	form, err := repo.ParseTagForm(o.Config.Release.Git.TagForm())
	if err != nil {
		return "", err
	}
	bad, err := ParseVersion(o.Env.Version)
	if err != nil {
		return "", err
	}
	tags, err := o.Repository.VersionTags(form, bad)
	if err != nil {
		return "", err
	}
	for _, t := range tags {
		if t.Name == o.OlderTag {
			return t.Commit, nil
		}
	}
	return "", fmt.Errorf("no tag %s is in this clone: git fetch --tags, then the same with --to %s --amend", o.OlderTag, o.Older.Release())
}

// ownAt reads the release.yaml of a commit. The error wraps [ErrNotHere] where the commit is missing.
func (o *correctionOptions) ownAt(ctx context.Context, commit string) (*own, error) {
	at, err := o.Repository.Commit(commit)
	if err != nil {
		return nil, fmt.Errorf("%w: git fetch --tags (%w)", ErrNotHere, err)
	}
	config := o.Config
	if !config.olderToo {
		name := "release.yaml"
		if config.src != nil {
			name = config.src.name
		}
		text, err := o.Repository.File(commit, name)
		if err != nil {
			return nil, err
		}
		if config, err = Load(name, text); err != nil {
			return nil, fmt.Errorf("this slipway cannot read the release.yaml of that time: %w", err)
		}
	}
	if err := o.settle(config, commit); err != nil {
		return nil, err
	}
	out := &own{config: config, release: pipeline.Env{Project: config.Project, Version: o.Payload, Commit: commit, Time: at.Time}}
	if out.made, err = aurConfigs(ctx, config, o.Repository, &out.release); err != nil {
		return nil, fmt.Errorf("this slipway cannot use the release.yaml of that time: %w", err)
	}
	return out, nil
}

// settle fills in the version that the older release's files carry, where it is not known yet: with the build number that
// its source of truth has at its commit, where these are here.
func (o *correctionOptions) settle(c *Config, commit string) error {
	if o.Payload != "" {
		_, err := ParseVersion(o.Payload)
		return err
	}
	if c == nil { // the source of truth is where it is today, most likely
		c = o.Config
		var err error
		if commit, err = o.tagged(); err != nil {
			o.Payload = o.Older.String()
			return nil //nolint:nilerr // without the tag the version is the one that was asked for
		}
	}
	o.Payload = o.Older.String()
	if at, err := o.tagged(); err == nil { // the version commit may not have been merged
		commit = at
	}
	if v, err := VersionAt(c, o.Repository, commit); err == nil && v.Release() == o.Older.Release() {
		o.Payload = v.String()
	}
	return nil
}

// firstLine is what an error says, in one line.
func firstLine(err error) string {
	text, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	return text
}

// recipe is how the older version had a package. The error says why that cannot be had.
func (o *own) recipe(ctx context.Context, r *Repository, name string) (buildaur.Config, error) {
	of, makes := o.made[name]
	if !makes {
		return of, errors.New("its release.yaml makes no such AUR package")
	}
	if of.Install == "" {
		return of, nil
	}
	text, err := r.File(o.release.Commit, of.Install)
	if err == nil {
		_, err = buildaur.NewRender(ctx, buildaur.Render{Config: of, Scriptlet: text})
	}
	return of, err
}

// judged is how a package is published, with what was looked for in the older version: a program that came later is not
// there.
func (o *own) judged(name string, c aur.Config) aur.Config {
	c.Start, c.Versions = nil, nil
	if was, published := o.config.AUR[name]; published && was.Validate(name) == nil {
		c.Start, c.Versions = was.Start, was.Versions
	}
	return c
}
