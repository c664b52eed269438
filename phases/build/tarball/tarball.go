// Package tarball packs a bundle into NAME-VERSION-ARCH.tar.gz, with all files below one folder of the same name: as they
// are to lie below /usr, and in its folder etc those for /etc.
//
// The bytes depend on the bundle, the version and the time of the base commit, on nothing else: see
// [archive.WriteTarGz]. The bundle is streamed; no copy of it is made.
package tarball

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/pipeline"
)

// Kind is the kind of the artifacts.
const Kind = "tarball"

// Config is one tarball.
type Config struct {
	Name    string // of the package
	Bundle  string // what is packed
	Version string // X.Y.Z[-pre], for file and folder names
	Arch    string // GOARCH name
}

// Machine is the architecture's name in file names, as uname -m prints it; "" where it is unknown.
func Machine(goarch string) string {
	return map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[goarch]
}

// Top is the folder that the tarball holds everything in.
func (c Config) Top() string { return c.Name + "-" + c.Version + "-" + Machine(c.Arch) }

// File is the tarball's file name, which is its artifact's name.
func (c Config) File() string { return c.Top() + ".tar.gz" }

// StepID is the ID of the step that makes it.
func (c Config) StepID() string { return "build/tarball/" + c.Name + "/" + c.Arch }

// nameRE leaves out + and ~, which hosts of releases rename in file names.
var nameRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// Validate joins an error for each fault.
func (c Config) Validate() error {
	var errs []error
	if !nameRE.MatchString(c.Name) {
		errs = append(errs, fmt.Errorf("name: want letters, digits and . _ - for a file name, beginning with a letter or digit, found %q", c.Name))
	}
	if c.Bundle == "" {
		errs = append(errs, errors.New("bundle: want the name of the bundle to pack"))
	}
	return errors.Join(errs...)
}

// Step returns the step that makes the tarball.
func Step(c Config) pipeline.Step { return &step{c} }

type step struct{ Config }

func (s *step) Spec() pipeline.Spec {
	return pipeline.Spec{
		ID:      s.StepID(),
		Needs:   []string{bundle.StepID(s.Bundle, s.Arch)},
		Effect:  pipeline.Local,
		Inputs:  []string{"artifact:" + bundle.Artifact(s.Bundle, s.Arch)},
		Outputs: []string{s.File()},
		Params:  map[string]string{"top": s.Top(), "compression": "gzip:6"},
	}
}

func (s *step) Run(ctx context.Context, ws *pipeline.Workspace) (_ pipeline.Receipt, err error) {
	tree, dir, err := ws.Input(bundle.Artifact(s.Bundle, s.Arch))
	if err != nil {
		return nil, err
	}
	entries, err := archive.Tree(dir)
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
	ws.Logf("packing %d files and folders, %.1f MB", len(entries), float64(tree.Size)/1e6)
	return nil, archive.WriteTarGz(ctx, f, dir, s.Top(), entries, Time(&ws.Env))
}

// Time is the one time that packages hold: that of the base commit, in UTC and whole seconds.
func Time(env *pipeline.Env) time.Time { return env.Time.UTC().Truncate(time.Second) }
