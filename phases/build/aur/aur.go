// Package aur writes the files of an Arch User Repository package that installs the released tarballs: PKGBUILD,
// .SRCINFO and the LICENSE of these files themselves.
//
// There is one model, and both PKGBUILD and .SRCINFO are printed from it: see package pkgbuild. The checksums are those
// of the artifacts that were made, and the addresses those where they will be published.
//
// A tarball's top folder etc is /etc, and its files are the package's backup files, so that pacman leaves a user's
// changes to them alone. All else goes to /usr.
package aur

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/build/tarball"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/glob"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/pipeline"
)

// Kind is the kind of the artifacts.
const Kind = "aur"

// Config is one package of the Arch User Repository.
type Config struct {
	Name     string           // pkgname; -bin for prebuilt programs
	Tarballs []tarball.Config // what it installs, one for each architecture
	Version  string           // X.Y.Z[-pre][+build]
	Project  string

	PkgRel      string   // "": 1
	Epoch       int      // 0 for none
	Maintainer  string   // "Name <address>"
	Description string   // one line
	Homepage    string   //
	License     string   // SPDX expression
	URL         string   // address of the tarballs as they will be published: see [Config.address]
	Depends     []string // in pacman's form, name>=1.2
	OptDepends  []string // "name: what for"
	Provides    []string // "name" alone gets the package's version; nil with -bin: the plain name
	Conflicts   []string // nil with -bin: the plain name
	Replaces    []string
}

// Files are the names of the files that are made, in the order in which they are printed.
var Files = []string{"PKGBUILD", ".SRCINFO", "LICENSE"}

// Artifact is the name of one of the Files.
func Artifact(name, file string) string { return "aur/" + name + "/" + file }

// StepID is the ID of the step that makes them.
func (c Config) StepID() string { return "build/aur/" + c.Name }

// Artifacts names all that the step makes.
func (c Config) Artifacts() []string {
	var names []string
	for _, f := range Files {
		names = append(names, Artifact(c.Name, f))
	}
	return names
}

var (
	maintainerRE = regexp.MustCompile(`^([^<>@]*[^<>@ ]) <([^@<>\s]+)@([^@<>\s]+)>$`)
	plainRE      = regexp.MustCompile(`^[a-zA-Z0-9@_+][a-zA-Z0-9@._+-]*$`)
)

// Validate joins an error for each fault that can be seen before the tarballs are made. The address is the AUR's own.
func (c Config) Validate(env *pipeline.Env) error {
	m, err := c.model(env, func(tarball.Config) string { return strings.Repeat("1", 64) }, files{})
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
	for _, t := range s.Tarballs {
		sp.Needs = append(sp.Needs, t.StepID(), bundle.StepID(t.Bundle, t.Arch))
		sp.Inputs = append(sp.Inputs, "artifact:"+t.File(), "artifact:"+bundle.Artifact(t.Bundle, t.Arch))
	}
	if b, err := json.Marshal(s.Config); err == nil { // texts and numbers only: there is no error
		sp.Params["config"] = string(b)
	}
	return sp
}

func (s *step) Run(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	m, err := s.Model(ws)
	if err != nil {
		return nil, err
	}
	var texts [3]bytes.Buffer
	if err := pkgbuild.PrintPKGBUILD(&texts[0], m); err != nil {
		return nil, err
	}
	if err := pkgbuild.PrintSRCINFO(&texts[1], m); err != nil {
		return nil, err
	}
	texts[2].WriteString(License(&ws.Env, m.Maintainers[0]))
	for i, file := range Files {
		path, err := ws.Create(pipeline.Artifact{Name: Artifact(s.Name, file), Kind: Kind})
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, texts[i].Bytes(), 0o666); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// Model describes the package that installs the tarballs as they were made. The workspace must have the tarballs and
// their bundles as inputs.
func (c Config) Model(ws *pipeline.Workspace) (*pkgbuild.Model, error) {
	sums := map[string]string{}
	var of files
	for i, t := range c.Tarballs {
		a, _, err := ws.Input(t.File())
		if err != nil {
			return nil, err
		}
		sums[t.File()] = a.SHA256
		_, dir, err := ws.Input(bundle.Artifact(t.Bundle, t.Arch))
		if err != nil {
			return nil, err
		}
		found, err := filesIn(dir)
		switch {
		case err != nil:
			return nil, err
		case i > 0 && found.license != of.license:
			return nil, fmt.Errorf("the bundles of its architectures have their licences in different places (%q and %q)", of.license, found.license)
		case i > 0 && (found.etc != of.etc || !slices.Equal(found.backup, of.backup)):
			return nil, fmt.Errorf("the bundles of its architectures have different files in /etc (%q and %q), and a PKGBUILD has one list of them", of.backup, found.backup)
		}
		of = found
	}
	return c.model(&ws.Env, func(t tarball.Config) string { return sums[t.File()] }, of)
}

// files are what a PKGBUILD says of single files of a bundle.
type files struct {
	license string   // path of the program's licence, which pacman's packages have in a folder of their own; "" for none
	etc     bool     // whether there is something for /etc
	backup  []string // files for /etc, sorted; links are none
}

func filesIn(dir string) (files, error) {
	entries, err := archive.Tree(dir)
	if err != nil {
		return files{}, err
	}
	f := files{license: licenseIn(entries)}
	for _, e := range entries {
		if !bundle.InEtc(e.Path) {
			continue
		}
		f.etc = true
		if e.Mode.IsRegular() {
			f.backup = append(f.backup, e.Path)
		}
	}
	return f, nil
}

func licenseIn(entries []archive.Entry) string {
	for _, pattern := range []string{"share/licenses/*/*", "share/doc/*/LICENSE*", "share/doc/*/COPYING*"} {
		for _, e := range entries {
			if e.Mode.IsRegular() && glob.Match(pattern, e.Path) {
				return e.Path
			}
		}
	}
	return ""
}

func (c Config) model(env *pipeline.Env, sum func(tarball.Config) string, of files) (*pkgbuild.Model, error) {
	pkgver, err := pkgbuild.PkgVer(c.Version, false)
	if err != nil {
		return nil, err
	}
	who := maintainerRE.FindStringSubmatch(c.Maintainer)
	if who == nil {
		return nil, fmt.Errorf("maintainer: want Name <address@host>, found %q", c.Maintainer)
	}
	if len(c.Tarballs) == 0 {
		return nil, errors.New("from: there is no tarball to install")
	}
	desc, _, _ := strings.Cut(strings.TrimSpace(c.Description), "\n")
	m := &pkgbuild.Model{
		Maintainers: []string{fmt.Sprintf("%s <%s at %s>", who[1], who[2], strings.ReplaceAll(who[3], ".", " dot "))},
		PkgName:     c.Name, PkgVer: pkgver, PkgRel: c.PkgRel, Epoch: c.Epoch, PayloadVer: c.Tarballs[0].Version,
		PkgDesc: pkgbuild.Fold(desc), URL: c.Homepage, License: []string{c.License},
		Backup: of.backup, Options: []string{"!strip", "!debug"},
	}
	if m.PkgRel == "" {
		m.PkgRel = "1"
	}
	c.relations(m)
	top := pkgbuild.Text{pkgbuild.Lit(c.Tarballs[0].Name + "-"), pkgbuild.Payload, pkgbuild.Lit("-"), pkgbuild.Arch}
	file := append(slices.Clone(top), pkgbuild.Lit(".tar.gz"))
	for _, t := range c.Tarballs {
		arch := tarball.Machine(t.Arch)
		url, err := c.address(env, arch)
		if err != nil {
			return nil, fmt.Errorf("url: %w", err)
		}
		m.Arch = append(m.Arch, arch)
		m.Sources = append(m.Sources, pkgbuild.Source{Arch: arch, Name: file, URL: url, SHA256: sum(t)})
	}
	m.Package = []pkgbuild.Action{pkgbuild.Unpack{Source: file, Top: top, To: "/usr"}}
	if of.etc {
		m.Package = append(m.Package, pkgbuild.Remove{Path: "/usr/" + bundle.Etc},
			pkgbuild.Unpack{Source: file, Top: append(slices.Clone(top), pkgbuild.Lit("/"+bundle.Etc)), To: "/" + bundle.Etc})
	}
	if own := "share/licenses/" + c.Name + "/"; of.license != "" && !strings.HasPrefix(of.license, own) {
		m.Package = append(m.Package, pkgbuild.InstallLicense{From: "/usr/" + of.license})
	}
	return m, nil
}

// relations fills in the relations to other packages.
func (c Config) relations(m *pkgbuild.Model) {
	plain, bin := strings.CutSuffix(c.Name, "-bin")
	provides, conflicts := c.Provides, c.Conflicts
	if bin && provides == nil {
		provides = []string{plain}
	}
	if bin && conflicts == nil {
		conflicts = []string{plain}
	}
	for _, p := range provides {
		text := pkgbuild.Plain(p)
		if plainRE.MatchString(p) {
			text = pkgbuild.Text{pkgbuild.Lit(p + "="), pkgbuild.Version}
		}
		m.Provides = append(m.Provides, text)
	}
	m.Depends, m.OptDepends = pkgbuild.Plains(c.Depends...), pkgbuild.Plains(c.OptDepends...)
	m.Conflicts, m.Replaces = pkgbuild.Plains(conflicts...), pkgbuild.Plains(c.Replaces...)
}

// mark stands for the version while the fields of an address are filled in. No text of release.yaml can hold it.
const mark = "\x00"

// address is where the tarball for a machine will be published. In release.yaml it is either the tarball's whole
// address, or that of the folder it is in, with a slash at the end. Where {{ .Version }} stands the PKGBUILD refers to
// its own version.
func (c Config) address(env *pipeline.Env, machine string) (pkgbuild.Text, error) {
	if strings.Contains(c.URL, mark) {
		return nil, errors.New("want no control characters")
	}
	text := c.URL
	if strings.HasSuffix(text, "/") {
		text += c.Tarballs[0].Name + "-{{ .Version }}-{{ .Arch }}.tar.gz"
	}
	text, err := component.ExpandWith(text, env, machine, mark)
	if err != nil {
		return nil, err
	}
	if path.Ext(text) == "" || !strings.Contains(text, "://") {
		return nil, fmt.Errorf("want the address of the tarball, or of its folder with a slash at the end, found %q", c.URL)
	}
	var out pkgbuild.Text
	for i, part := range strings.Split(text, mark) {
		if i > 0 {
			out = append(out, pkgbuild.Payload)
		}
		if part != "" {
			out = append(out, pkgbuild.Lit(part))
		}
	}
	return out, nil
}

// License is the 0BSD licence of the packaging files, which the AUR asks for.
func License(env *pipeline.Env, holder string) string {
	name, _, _ := strings.Cut(holder, " <")
	return fmt.Sprintf(zeroBSD, tarball.Time(env).Year(), name)
}

// zeroBSD is the text that SPDX has under 0BSD.
const zeroBSD = `Copyright (C) %d by %s

Permission to use, copy, modify, and/or distribute this software for any
purpose with or without fee is hereby granted.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH
REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY
AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM
LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR
OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR
PERFORMANCE OF THIS SOFTWARE.
`
