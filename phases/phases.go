// Package phases reads release.yaml and makes of it the phases of a release.
//
//	release.yaml --Load--> Config --Validate--> --All--> []pipeline.Phase --pipeline.NewPlan--> plan
//
// A release.yaml holds values, not programs. It is read strictly: bounded in size and depth before the YAML library
// sees it, without the parts of YAML that one value can hide behind (aliases, tags, merge keys), every key known, every
// value of the type that is wanted. All faults are told at once, each with its line and column, an excerpt and, where
// there is one, a remedy; see [Error].
//
// Each step's package owns its own part of the configuration; [Config] puts them together, and the JSON schema of
// [Schema] is made of the same types and their comments.
package phases

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"

	"github.com/imrightguy/slipway/phases/build"
	"github.com/imrightguy/slipway/phases/release/gitflow"
	"github.com/imrightguy/slipway/pipeline"
)

// Load reads a release.yaml; name is what errors call the file. The error is an [Errors].
func Load(name string, content []byte) (*Config, error) {
	s := &source{name: name, at: map[string]place{}}
	root, err := s.read(content)
	if err != nil {
		return nil, err
	}
	d := &decoder{faults{source: s}}
	c := &Config{src: s}
	if root == nil {
		d.fail(place{}, "slipway init writes one", "it is empty")
	} else {
		d.value(root, reflect.ValueOf(c).Elem(), "")
	}
	if err := d.errs.or(); err != nil {
		return nil, err
	}
	return c, nil
}

// All returns the phases of a release in order, for the repository in repoDir.
func All(c *Config, repoDir string) ([]pipeline.Phase, error) {
	repoDir, err := filepath.Abs(repoDir)
	if err != nil {
		return nil, fmt.Errorf("cannot find the repository: %w", err)
	}
	b, err := build.New(c.build(), repoDir)
	if err != nil {
		return nil, err
	}
	all := []pipeline.Phase{b}
	if c.Release != nil {
		all = append(all, releasePhase{outward{c, b, repoDir}})
	}
	if len(c.AUR) > 0 {
		all = append(all, aurPhase{outward{c, b, repoDir}})
	}
	return all, nil
}

// build is the part of the configuration that the build phase knows. The maps are its own.
func (c *Config) build() build.Config {
	v := c.Version
	v.Sign, v.Tagged = c.Sign, c.Release != nil && c.Release.Git.Tag == gitflow.Existing
	return build.Config{
		Version: v, Components: maps.Clone(c.Components), Bundles: maps.Clone(c.Bundles), Packages: c.Packages, Gate: c.Gates.Build,
		Requires: maps.Clone(c.Requires), Disk: c.Disk, Checks: maps.Clone(c.Checks), Judges: c.Judges,
	}
}
