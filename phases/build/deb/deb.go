// Package deb makes a Debian package of a bundle.
//
// The control file is nfpm's, used as a library, with the version and its revision given to it; the file name is our own
// (nfpm's puts the revision in, which hosts of releases then rename). The data archive is not nfpm's, which compresses on
// one processor and holds all of it in memory: it is streamed, see [write].
//
// The bundle's top folder etc is /etc, and its files are conffiles: dpkg leaves a user's changes to them alone. All else
// is below /usr. What Debian wants of every package and a bundle does not have is made here: the copyright file, the changelog,
// compressed manual pages, and lintian overrides for statically linked programs; so that lintian finds nothing.
//
// Format facts are those of deb(5), deb-control(5), Debian Policy 4.6.2 and lintian 2.116.
package deb

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strconv"

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/tarball"
	"github.com/imrightguy/slipway/pipeline"
)

// Kind is the kind of the artifacts.
const Kind = "deb"

// DefaultCompression of the data archive. Level 6 takes a third of the time of level 9 for 1 % of size.
const DefaultCompression = "gzip:6"

// Config is one Debian package.
type Config struct {
	Name     string // of the package
	Bundle   string // what is packed, below /usr
	Version  string // X.Y.Z[-pre], for the file name
	Upstream string // upstream part of the package's version: X.Y.Z[~pre]
	Revision int    // of the packaging, from 1
	Epoch    int    // 0 for none
	Arch     string // GOARCH name, which Debian uses too

	Section     string
	Priority    string // "": optional
	Maintainer  string // "Name <address>"
	Description string // the first line is the synopsis, the rest the extended description
	Homepage    string
	License     string // SPDX expression
	Copyright   string // who holds it; "": the lines of the licence's text that say so
	Compression string // gzip:1 to gzip:9, or xz; "": DefaultCompression

	Depends, Recommends, Suggests, Conflicts, Breaks, Replaces, Provides []string // in Debian's form
}

// FullVersion is the package's version: [epoch:]upstream-revision. The revision is always there; without one it would
// be a package native to Debian (Policy 5.6.12).
func (c Config) FullVersion() string {
	v := c.Upstream + "-" + strconv.Itoa(c.Revision)
	if c.Epoch > 0 {
		v = strconv.Itoa(c.Epoch) + ":" + v
	}
	return v
}

// File is the package's file name, which is its artifact's name.
func (c Config) File() string { return c.Name + "_" + c.Version + "_" + c.Arch + ".deb" }

// StepID is the ID of the step that makes it.
func (c Config) StepID() string { return "build/deb/" + c.Name + "/" + c.Arch }

// Step returns the step that makes the package.
func Step(c Config) pipeline.Step { return &step{c} }

type step struct{ Config }

func (s *step) Spec() pipeline.Spec {
	params := map[string]string{"version": s.FullVersion()}
	if b, err := json.Marshal(s.Config); err == nil { // texts and numbers only: there is no error
		params["config"] = string(b)
	}
	return pipeline.Spec{
		ID:      s.StepID(),
		Needs:   []string{bundle.StepID(s.Bundle, s.Arch)},
		Effect:  pipeline.Local,
		Inputs:  []string{"artifact:" + bundle.Artifact(s.Bundle, s.Arch)},
		Outputs: []string{s.File()},
		Params:  params,
	}
}

func (s *step) Run(ctx context.Context, ws *pipeline.Workspace) (_ pipeline.Receipt, err error) {
	tree, dir, err := ws.Input(bundle.Artifact(s.Bundle, s.Arch))
	if err != nil {
		return nil, err
	}
	layout, err := Layout(s.Config, &ws.Env, dir)
	if err != nil {
		return nil, err
	}
	tmp, err := ws.Temp()
	if err != nil {
		return nil, err
	}
	path, err := ws.Create(pipeline.Artifact{Name: s.File(), Kind: Kind, OS: "linux", Arch: s.Arch})
	if err != nil {
		return nil, err
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	ws.Logf("packing %d files and folders, %.1f MB", len(layout), float64(tree.Size)/1e6)
	return nil, write(ctx, f, s.Config, layout, tarball.Time(&ws.Env), tmp)
}

func (c Config) priority() string {
	if c.Priority == "" {
		return "optional"
	}
	return c.Priority
}

func (c Config) compression() string {
	if c.Compression == "" {
		return DefaultCompression
	}
	return c.Compression
}
