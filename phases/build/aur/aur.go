// Package aur writes the files of an Arch User Repository package that installs released packages: PKGBUILD, .SRCINFO, the
// LICENSE of these files themselves, and an install scriptlet where there is one.
//
// There is one model, and both PKGBUILD and .SRCINFO are printed from it: see package pkgbuild. The checksums are those
// of the artifacts that were made, and the addresses those where they will be published.
//
// # What users get
//
// The package holds what the bundle holds, whatever it is installed from. A bundle's top folder etc is /etc, and its files
// are the package's backup files, so that pacman leaves a user's changes to them alone; all else goes to /usr. Shell
// completions and user units go where pacman's packages have them (see [Place]), and the program's licence to a folder of
// its own.
//
// From a tarball and from a DEB all of that is laid out. What the DEB has besides, and only Debian needs (its changelog and
// copyright file, lintian's overrides), is taken away again.
//
// From an AppImage there is the AppImage itself, /opt/NAME/NAME.AppImage without the ending -bin, and a link to it in
// /usr/bin for each program of the bundle. What the system looks for outside of it (desktop entries, icons, manual pages,
// completions, user units, files of /etc, the licence) is taken out of it when the package is built: the AppImage unpacks
// these parts itself, for which it needs no FUSE and is run, on a machine of its architecture. An AppImage with the built-in
// runtime starts without FUSE too, but then unpacks itself first each time: fuse3 is an optional dependency.
package aur

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/imrightguy/slipway/phases/build/appimage"
	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/build/deb"
	"github.com/imrightguy/slipway/phases/build/tarball"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/pipeline"
)

// Kind is the kind of the artifacts.
const Kind = "aur"

// Config is one package of the Arch User Repository.
type Config struct {
	Name    string // pkgname; -bin for prebuilt programs
	Version string // X.Y.Z[-pre][+build]
	Project string

	// What it installs, one for each architecture, and all of one kind.
	Tarballs  []tarball.Config
	Debs      []deb.Config
	AppImages []appimage.Config

	PkgRel      string // "": 1
	Epoch       int    // 0 for none
	KeepBuild   bool   // the build number is part of the package's version
	Maintainer  string // "Name <address>"
	Description string // one line
	Homepage    string
	License     string // SPDX expression
	URL         string // address of what it installs as it will be published: see [Config.address]
	Install     string // path of the install scriptlet in the repository; "" for none
	Groups      []string

	Relations
	Provides  []string // "name" alone gets the package's version; nil with -bin: the plain name
	Conflicts []string // nil with -bin: the plain name
	Replaces  []string

	Arches map[string]Relations // what holds for one architecture only, by its GOARCH name
}

// Relations are the packages that a package needs, in pacman's form.
type Relations struct {
	// Depends lists what the programs need to run, as NAME or NAME>=VERSION.
	Depends []string `yaml:"depends,omitempty"`
	// OptDepends lists what may be useful beside it, as NAME: WHAT FOR.
	OptDepends []string `yaml:"optdepends,omitempty"`
	// MakeDepends lists what makepkg needs beside the group base-devel; prebuilt programs need nothing.
	MakeDepends []string `yaml:"makedepends,omitempty"`
	// CheckDepends lists what tests of the package need.
	CheckDepends []string `yaml:"checkdepends,omitempty"`
}

// A Source is a package that the AUR package installs, for one architecture.
type Source struct {
	Artifact string // its name, which is its file's name where it is published
	Step     string // that makes it
	Bundle   string // that it is made of
	Arch     string // GOARCH name
	Local    string // its name for makepkg, which looks for it in SRCDEST under this name
}

// Sources lists what is installed, in the order of the architectures.
func (c Config) Sources() []Source {
	var list []Source
	add := func(artifact, step, of, arch, kind string) {
		local := artifact
		if kind == "deb" { // one name for all architectures, but for the architecture as makepkg calls it
			local = c.local(arch)
		}
		list = append(list, Source{Artifact: artifact, Step: step, Bundle: of, Arch: arch, Local: local})
	}
	for _, t := range c.Tarballs {
		add(t.File(), t.StepID(), t.Bundle, t.Arch, "tarball")
	}
	for _, d := range c.Debs {
		add(d.File(), d.StepID(), d.Bundle, d.Arch, "deb")
	}
	for _, a := range c.AppImages {
		add(a.File(), a.StepID(), a.Bundle, a.Arch, "appimage")
	}
	return list
}

// Files are the names of the files that every package has, in the order in which they are printed.
var Files = []string{"PKGBUILD", ".SRCINFO", "LICENSE"}

// Scriptlet is the file name of the install scriptlet; "" where there is none.
func (c Config) Scriptlet() string {
	if c.Install == "" {
		return ""
	}
	return c.Name + ".install"
}

// FileNames are the names of all files of the package's repository.
func (c Config) FileNames() []string {
	names := append([]string{}, Files...)
	if c.Install != "" {
		names = append(names, c.Scriptlet())
	}
	return names
}

// Artifact is the name of the artifact that is a file of a package's repository.
func Artifact(name, file string) string { return "aur/" + name + "/" + file }

// StepID is the ID of the step that makes them.
func (c Config) StepID() string { return "build/aur/" + c.Name }

// Artifacts names all that the step makes.
func (c Config) Artifacts() []string {
	var names []string
	for _, f := range c.FileNames() {
		names = append(names, Artifact(c.Name, f))
	}
	return names
}

// Validate joins an error for each fault that can be seen before the packages are made. The address is the AUR's own.
func (c Config) Validate(env *pipeline.Env) error {
	m, err := c.model(env, func(Source) string { return strings.Repeat("1", 64) }, content{})
	if err == nil {
		err = pkgbuild.Validate(m)
	}
	return err
}

// Step returns the step that makes the files.
func Step(c Config) pipeline.Step { return &step{c} }

type step struct{ Config }

func (s *step) Spec() pipeline.Spec {
	sp := pipeline.Spec{ID: s.StepID(), Effect: pipeline.Local, Outputs: s.Artifacts(), Params: map[string]string{}}
	for _, from := range s.Sources() {
		sp.Needs = append(sp.Needs, from.Step, bundle.StepID(from.Bundle, from.Arch))
		sp.Inputs = append(sp.Inputs, "artifact:"+from.Artifact, "artifact:"+bundle.Artifact(from.Bundle, from.Arch))
	}
	if s.Install != "" {
		sp.Needs, sp.Inputs = append(sp.Needs, component.SourceStep), append(sp.Inputs, "artifact:"+component.Source)
	}
	if b, err := json.Marshal(s.Config); err == nil { // texts and numbers only: there is no error
		sp.Params["config"] = string(b)
	}
	return sp
}

func (s *step) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	m, err := s.Model(ws)
	if err != nil {
		return nil, err
	}
	var scriptlet []byte
	if s.Install != "" {
		if scriptlet, err = s.scriptlet(ctx, ws); err != nil {
			return nil, fmt.Errorf("install: %s: %w", s.Install, err)
		}
	}
	return nil, s.write(ws, &ws.Env, m, scriptlet)
}

// print makes the texts that every package has, by file name.
func (c Config) print(env *pipeline.Env, m *pkgbuild.Model) (map[string][]byte, error) {
	texts := map[string][]byte{"LICENSE": []byte(License(env, m.Maintainers[0]))}
	for name, print := range map[string]func(io.Writer, *pkgbuild.Model) error{"PKGBUILD": pkgbuild.PrintPKGBUILD, ".SRCINFO": pkgbuild.PrintSRCINFO} {
		var b bytes.Buffer
		if err := print(&b, m); err != nil {
			return nil, err
		}
		texts[name] = b.Bytes()
	}
	return texts, nil
}

// scriptlet reads the install scriptlet of the commit: a file that pacman can read, and bash too.
func (s *step) scriptlet(ctx context.Context, ws *pipeline.Workspace) (text []byte, err error) {
	_, dir, err := ws.Input(component.Source)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	f, err := root.Open(s.Install)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if text, err = io.ReadAll(io.LimitReader(f, pkgbuild.MaxFile+1)); err != nil {
		return nil, err
	}
	return text, checkScriptlet(ctx, text)
}

// checkScriptlet wants a text that pacman can read, and bash too.
func checkScriptlet(ctx context.Context, text []byte) error {
	if _, err := pkgbuild.ReadScriptlet(bytes.NewReader(text)); err != nil {
		return err
	}
	return bashReads(ctx, text)
}

// bashReads lets bash parse a script, which is not run. bash sees nothing of the environment, where functions and the
// name of a file to run first could stand.
func bashReads(ctx context.Context, text []byte) error {
	bash, err := exec.LookPath("bash")
	if err != nil {
		return fmt.Errorf("cannot be checked without bash: %w", err)
	}
	cmd := exec.CommandContext(ctx, bash, "--norc", "--noprofile", "-n")
	cmd.Env, cmd.Stdin = []string{"PATH=/nonexistent", "LC_ALL=C"}, bytes.NewReader(text)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.Exited() {
			return fmt.Errorf("bash cannot read it: %s", strings.ReplaceAll(strings.TrimSpace(stderr.String()), "\n", "; "))
		}
		return err
	}
	return nil
}
