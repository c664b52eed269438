package build

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/build/appimage"
	"github.com/imrightguy/slipway/phases/build/aur"
	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/command"
	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/build/deb"
	"github.com/imrightguy/slipway/phases/build/inspect"
	"github.com/imrightguy/slipway/phases/build/judge"
	"github.com/imrightguy/slipway/phases/build/requirement"
	"github.com/imrightguy/slipway/phases/build/source"
	"github.com/imrightguy/slipway/phases/build/tarball"
	"github.com/imrightguy/slipway/phases/build/version"
	content "github.com/imrightguy/slipway/phases/internal/inspect"
	"github.com/imrightguy/slipway/phases/internal/size"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// Config is all that the build phase knows of a project.
type Config struct {
	Version    version.Config
	Components map[string]component.Config
	Bundles    map[string]bundle.Config
	Packages   []Package
	Requires   map[string]requirement.Config // programs, by the names that messages call them
	Disk       size.Bytes                    // room that has to be there
	Checks     map[string]Check
	Judges     []string    // see package judge
	Gate       *GateConfig // nil: all checks that are planned, and nobody's approval
}

// Package is one package of release.yaml: one file for each architecture of its bundle, or the files of one AUR
// repository. Field names are nfpm's, Debian's and the AUR's; each format takes those that concern it.
type Package struct {
	// Name of the package, and the first part of its file's name.
	Name string `yaml:"name" jsonschema:"required"`
	// Format is tarball, deb, appimage or aur.
	Format string `yaml:"format" jsonschema:"required,enum=tarball,enum=deb,enum=appimage,enum=aur"`
	// Bundle names the bundle that is packed. Formats tarball, deb and appimage.
	Bundle string `yaml:"bundle,omitempty"`
	// Size is how large the file may be, like {min: 120MB, max: 130MB}. Formats tarball, deb and appimage.
	Size size.Band `yaml:"size,omitempty"`
	// From is what an AUR package installs: tarball, deb or appimage, or the name of such a package where there are several;
	// a name that packages of several formats have stands for the tarball, and FORMAT:NAME for any. Format aur.
	From string `yaml:"from,omitempty"`
	// Maintainer is "Name <address>". Formats deb and aur.
	Maintainer string `yaml:"maintainer,omitempty"`
	// Description: the first line is a synopsis that does not begin with the name; a DEB also needs some sentences after
	// it. Formats deb, aur and appimage.
	Description string `yaml:"description,omitempty"`
	// Homepage of the project. Formats deb and aur.
	Homepage string `yaml:"homepage,omitempty"`
	// License is an SPDX expression. Formats deb and aur.
	License string `yaml:"license,omitempty"`
	// Copyright says who holds it, as in 2026 Jane Doe; left out: the lines of the bundle's licence that say so. Format deb.
	Copyright string `yaml:"copyright,omitempty"`
	// Section of the Debian archive, like utils or net. Format deb.
	Section string `yaml:"section,omitempty"`
	// Priority in Debian's terms. Left out: optional. Format deb.
	Priority string `yaml:"priority,omitempty" jsonschema:"enum=required,enum=important,enum=standard,enum=optional"`
	// Compression of the data: gzip:1 to gzip:9, or xz; left out: gzip:6. Of an AppImage: small, fast or gzip; left out: a
	// balance of size and time to start. Formats deb and appimage.
	Compression string `yaml:"compression,omitempty"`
	// Revision of the packaging, raised when only the packaging changed. Left out: 1. Format deb.
	Revision int `yaml:"revision,omitempty" jsonschema:"minimum=1"`
	// PkgRel is the release of the packaging, 1 or 1.1. Left out: 1. Format aur.
	PkgRel string `yaml:"pkgrel,omitempty" jsonschema:"oneof_type=string;integer"`
	// Epoch outranks the version in comparisons, for ever; avoid it. Formats deb and aur.
	Epoch int `yaml:"epoch,omitempty" jsonschema:"minimum=0"`
	// KeepBuild keeps the build number in the version of an AUR package: 3.2.1+7 instead of 3.2.1. It must then be kept in
	// each release, for without it the next one could be older. Format aur.
	KeepBuild bool `yaml:"keep_build,omitempty"`
	// URL is where what an AUR package installs will be published: a folder with a slash at the end, or a whole address;
	// {{ .Version }} and {{ .Arch }} (x86_64, aarch64; of a DEB amd64, arm64) are filled in. Format aur.
	URL string `yaml:"url,omitempty"`
	// Depends lists what it needs, in the words of the format. Formats deb and aur.
	Depends []string `yaml:"depends,omitempty"`
	// Recommends lists what is usually wanted beside it. Format deb.
	Recommends []string `yaml:"recommends,omitempty"`
	// Suggests lists what may be useful beside it. Format deb.
	Suggests []string `yaml:"suggests,omitempty"`
	// OptDepends lists what may be useful beside it, as NAME: WHAT FOR. Format aur.
	OptDepends []string `yaml:"optdepends,omitempty"`
	// MakeDepends lists what makepkg needs beside the group base-devel; prebuilt programs need nothing. Format aur.
	MakeDepends []string `yaml:"makedepends,omitempty"`
	// CheckDepends lists what tests of the package need. Format aur.
	CheckDepends []string `yaml:"checkdepends,omitempty"`
	// Arches holds the relations of one architecture only, by amd64 or arm64: {arm64: {depends: [mesa]}}. Format aur.
	Arches map[string]aur.Relations `yaml:"arches,omitempty"`
	// Groups lists the groups of packages that it belongs to. Format aur.
	Groups []string `yaml:"groups,omitempty"`
	// Install is the path in the repository of the install scriptlet, with functions like post_install that pacman calls.
	// Most packages need none: pacman itself refreshes what it knows of icons, desktop entries and file types. Format aur.
	Install string `yaml:"install,omitempty"`
	// Conflicts lists what cannot be installed beside it. Left out of an AUR package -bin: the plain name. Formats deb and aur.
	Conflicts []string `yaml:"conflicts,omitempty"`
	// Breaks lists older packages that it takes files over from. Format deb.
	Breaks []string `yaml:"breaks,omitempty"`
	// Replaces lists packages whose place it takes. Formats deb and aur.
	Replaces []string `yaml:"replaces,omitempty"`
	// Provides lists names that it also goes by. Left out of an AUR package -bin: the plain name. Formats deb and aur.
	Provides []string `yaml:"provides,omitempty"`
	// UpdateInformation says where updaters look for the next version, like
	// gh-releases-zsync|OWNER|REPOSITORY|latest|NAME-*{{ .Arch }}.AppImage.zsync; a .zsync file is made with it. Format
	// appimage.
	UpdateInformation string `yaml:"update_information,omitempty"`
	// Runtime is an AppImage runtime of your own, for one architecture. Left out: the built-in one. Format appimage.
	Runtime *appimage.RuntimeConfig `yaml:"runtime,omitempty"`
	// Sign says with what key it is signed. Left out: it is not. Format appimage.
	Sign *appimage.SignConfig `yaml:"sign,omitempty"`
	// Desktop is the path of the desktop entry in the bundle. Left out: the only one. Format appimage.
	Desktop string `yaml:"desktop,omitempty"`
	// Icon is the path of the icon in the bundle, PNG or SVG. Left out: the one that the desktop entry names. Format appimage.
	Icon string `yaml:"icon,omitempty"`
	// Program is the path in the bundle of what it starts. Left out: what the desktop entry starts. Format appimage.
	Program string `yaml:"program,omitempty"`
	// Categories of the desktop entry that is made for a program for terminals. Left out: Utility. Format appimage.
	Categories []string `yaml:"categories,omitempty"`
}

// The formats.
const (
	FormatTarball  = "tarball"
	FormatDeb      = "deb"
	FormatAppImage = "appimage"
	FormatAUR      = "aur"
)

// Formats lists them.
var Formats = []string{FormatTarball, FormatDeb, FormatAppImage, FormatAUR}

// foreign lists the keys that are set and do not concern the package's format, if that is one of ours.
func (p Package) foreign() []string {
	if !slices.Contains(Formats, p.Format) {
		return nil
	}
	both, debOnly, aurOnly, appImageOnly := []string{FormatDeb, FormatAUR}, []string{FormatDeb}, []string{FormatAUR}, []string{FormatAppImage}
	files := []string{FormatTarball, FormatDeb, FormatAppImage}
	var keys []string
	for _, f := range []struct {
		key     string
		set     bool
		formats []string
	}{
		{"bundle", p.Bundle != "", files},
		{"size", p.Size != size.Band{}, files},
		{"from", p.From != "", aurOnly},
		{"maintainer", p.Maintainer != "", both},
		{"description", p.Description != "", []string{FormatDeb, FormatAUR, FormatAppImage}},
		{"update_information", p.UpdateInformation != "", appImageOnly},
		{"runtime", p.Runtime != nil, appImageOnly},
		{"sign", p.Sign != nil, appImageOnly},
		{"desktop", p.Desktop != "", appImageOnly},
		{"icon", p.Icon != "", appImageOnly},
		{"program", p.Program != "", appImageOnly},
		{"categories", p.Categories != nil, appImageOnly},
		{"homepage", p.Homepage != "", both},
		{"license", p.License != "", both},
		{"copyright", p.Copyright != "", debOnly},
		{"section", p.Section != "", debOnly},
		{"priority", p.Priority != "", debOnly},
		{"compression", p.Compression != "", []string{FormatDeb, FormatAppImage}},
		{"revision", p.Revision != 0, debOnly},
		{"pkgrel", p.PkgRel != "", aurOnly},
		{"epoch", p.Epoch != 0, both},
		{"keep_build", p.KeepBuild, aurOnly},
		{"url", p.URL != "", aurOnly},
		{"depends", p.Depends != nil, both},
		{"recommends", p.Recommends != nil, debOnly},
		{"suggests", p.Suggests != nil, debOnly},
		{"optdepends", p.OptDepends != nil, aurOnly},
		{"makedepends", p.MakeDepends != nil, aurOnly},
		{"checkdepends", p.CheckDepends != nil, aurOnly},
		{"arches", p.Arches != nil, aurOnly},
		{"groups", p.Groups != nil, aurOnly},
		{"install", p.Install != "", aurOnly},
		{"conflicts", p.Conflicts != nil, both},
		{"breaks", p.Breaks != nil, debOnly},
		{"replaces", p.Replaces != nil, both},
		{"provides", p.Provides != nil, both},
	} {
		if f.set && !slices.Contains(f.formats, p.Format) {
			keys = append(keys, f.key)
		}
	}
	return keys
}

// Check is one check of the project's own: of texts and files of the commit, or a program that is run.
type Check struct {
	Texts source.Config  `yaml:",inline"`
	Run   command.Config `yaml:",inline"`
}

// isCommand reports whether a program is run.
func (c Check) isCommand() bool { return len(c.Run.Command) > 0 }

// validate joins an error for each fault that can be seen without the bundles.
func (c Check) validate() error {
	switch {
	case !c.isCommand() && !reflect.DeepEqual(c.Run, command.Config{}):
		return errors.New("command: want a program and its arguments, or nothing but source, texts and paths")
	case !c.isCommand():
		return c.Texts.Validate()
	case !reflect.DeepEqual(c.Texts, source.Config{}):
		return errors.New("command: a check runs a program or looks at texts and paths: make two of it")
	}
	return c.Run.Validate()
}

// archesOf are the architectures of the bundle that a check runs in, if any.
func (c Config) archesOf(check Check) ([]string, error) {
	if check.Run.Bundle == "" {
		return nil, nil
	}
	b, ok := c.Bundles[check.Run.Bundle]
	if !ok {
		return nil, fmt.Errorf("bundle %q is not among the bundles", check.Run.Bundle)
	}
	arches, err := b.Targets(c.Components)
	if err == nil && check.Run.Arch != "" && !slices.Contains(arches, check.Run.Arch) {
		err = fmt.Errorf("arch: bundle %q is not made for %q", check.Run.Bundle, check.Run.Arch)
	}
	return arches, err
}

// Reported lists the checks that the plan will have, those first whose failures explain others.
func (c Config) Reported() []string {
	var checks []string
	if len(c.Requires) > 0 || c.Disk > 0 {
		checks = append(checks, requirement.Check)
	}
	checks = append(checks, version.Check)
	sized, files, repositories := false, false, false
	for _, b := range c.Bundles {
		sized = sized || b.Rules.Size != size.Band{}
	}
	for _, p := range c.Packages {
		sized = sized || p.Size != size.Band{}
		files = files || slices.Contains([]string{FormatTarball, FormatDeb, FormatAppImage}, p.Format)
		repositories = repositories || p.Format == FormatAUR
	}
	if files {
		checks = append(checks, inspect.Contents, inspect.Checksums)
	}
	if len(c.Bundles) > 0 {
		checks = append(checks, content.Checks()...)
	}
	if sized {
		checks = append(checks, inspect.Size)
	}
	if repositories {
		checks = append(checks, inspect.AUR)
	}
	return slices.Concat(checks, slices.Sorted(maps.Keys(c.Checks)), c.Judges)
}

// GateConfig is what a gate asks, in release.yaml.
type GateConfig struct {
	// Title is the gate's name in the tracker.
	Title string `yaml:"title,omitempty"`
	// Approve is the role whose approval it needs. Left out: nobody's.
	Approve string `yaml:"approve,omitempty"`
	// Criteria are what it asks. Left out: every check that the plan has.
	Criteria []Criterion `yaml:"criteria,omitempty"`
}

// Criterion is one thing that a gate asks: a check by its name, or a statement that a person of a role signs.
type Criterion struct {
	// Check is the name of a check, all of whose evidence must pass.
	Check string `yaml:"check,omitempty"`
	// Attest is a statement for a person to sign.
	Attest string `yaml:"attest,omitempty"`
	// By is the role of the person who attests.
	By string `yaml:"by,omitempty"`
	// Title is what people read. Left out: the name of the check, or the statement.
	Title string `yaml:"title,omitempty"`
}

// Gate is the gate of a phase, with a criterion for each of the checks where the configuration has none.
func (c *GateConfig) Gate(id, title string, checks []string) (gate.Gate, error) {
	if c == nil {
		c = &GateConfig{}
	}
	g := gate.Gate{ID: id, Title: c.Title, Approve: c.Approve}
	if g.Title == "" {
		g.Title = title
	}
	for i, cr := range c.Criteria {
		if (cr.Attest == "") != (cr.By == "") {
			return g, fmt.Errorf("criteria[%d]: attest: and by: go together, a statement and the role that signs it", i)
		}
		if (cr.Attest == "") == (cr.Check == "") {
			return g, fmt.Errorf("criteria[%d]: want check, or attest and by", i)
		}
		if cr.Attest != "" && cr.Title != "" {
			return g, fmt.Errorf("criteria[%d]: a statement is its own title: what stands there is what is signed", i)
		}
		if cr.Check != "" && !slices.Contains(checks, cr.Check) {
			return g, fmt.Errorf("criteria[%d]: nothing in the plan reports check %q; want one of %s", i, cr.Check, strings.Join(checks, ", "))
		}
		title := cr.Title
		if title == "" {
			title = cr.Check + cr.Attest
		}
		g.Criteria = append(g.Criteria, gate.Criterion{Title: title, Check: cr.Check, Attest: cr.By})
	}
	if len(c.Criteria) == 0 {
		for _, name := range checks {
			g.Criteria = append(g.Criteria, gate.Criterion{Title: name, Check: name})
		}
	}
	return g, nil
}

// Validate joins an error for each fault that can be seen without the repository and the version.
func (c Config) Validate() error {
	var errs []error
	in := func(where string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", where, err))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Components)) {
		in("components."+name, errors.Join(component.CheckName(name), c.Components[name].Validate()))
		if !slices.ContainsFunc(slices.Collect(maps.Values(c.Bundles)), func(b bundle.Config) bool { return slices.Contains(b.Components(), name) }) {
			in("components."+name, errors.New("no bundle takes anything from it"))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Bundles)) {
		b := c.Bundles[name]
		err := errors.Join(component.CheckName(name), b.Validate())
		if err == nil {
			_, err = b.Targets(c.Components)
		}
		in("bundles."+name, err)
		if !slices.ContainsFunc(c.Packages, func(p Package) bool { return p.Bundle == name }) {
			in("bundles."+name, errors.New("no package is made of it"))
		}
	}
	if len(c.Packages) == 0 {
		in("packages", errors.New("want at least one package"))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Requires)) {
		in("requires."+name, c.Requires[name].Validate(name))
	}
	taken := Config{Bundles: c.Bundles, Packages: c.Packages, Requires: c.Requires, Disk: c.Disk, Judges: judge.Known()}.Reported()
	for _, name := range slices.Sorted(maps.Keys(c.Checks)) {
		err := errors.Join(component.CheckName(name), c.Checks[name].validate())
		if err == nil {
			_, err = c.archesOf(c.Checks[name])
		}
		if slices.Contains(taken, name) {
			err = errors.Join(err, errors.New("it is the name of a check that there is already"))
		}
		in("checks."+name, err)
	}
	in("judges", judge.Validate(c.Judges))
	for i, name := range c.Judges {
		of := map[judge.Subject]string{judge.Debs: FormatDeb, judge.AURs: FormatAUR}[judge.Of(name)]
		if of != "" && !slices.ContainsFunc(c.Packages, func(p Package) bool { return p.Format == of }) {
			in(fmt.Sprintf("judges[%d]", i), fmt.Errorf("%s has nothing to judge: there is no package of format %s", name, of))
		}
	}
	for i, p := range c.Packages {
		in(fmt.Sprintf("packages[%d]", i), c.checkPackage(i, p))
	}
	return errors.Join(errs...)
}

func (c Config) checkPackage(i int, p Package) error {
	var errs []error
	if slices.IndexFunc(c.Packages, func(q Package) bool { return q.Name == p.Name && q.Format == p.Format }) != i {
		errs = append(errs, fmt.Errorf("there is another %s named %q", p.Format, p.Name))
	}
	for _, key := range p.foreign() {
		errs = append(errs, fmt.Errorf("%s is not a key of format %s", key, p.Format))
	}
	if _, ok := c.Bundles[p.Bundle]; p.Bundle != "" && !ok {
		errs = append(errs, fmt.Errorf("bundle %q is not among the bundles", p.Bundle))
	}
	errs = append(errs, p.Size.Validate())
	switch p.Format {
	case FormatAppImage:
		errs = append(errs, p.appImage().Validate())
	case FormatTarball:
		errs = append(errs, tarball.Config{Name: p.Name, Bundle: p.Bundle}.Validate())
	case FormatDeb:
		errs = append(errs, p.deb().Validate())
	case FormatAUR:
		if _, err := c.from(p); err != nil {
			errs = append(errs, err)
		}
	default:
		errs = append(errs, fmt.Errorf("format: want tarball, deb, appimage or aur, found %q", p.Format))
	}
	return errors.Join(errs...)
}

// from finds the package that an AUR package installs. A name alone means a tarball before a DEB or an AppImage.
func (c Config) from(p Package) (Package, error) {
	if p.From == "" {
		return Package{}, errors.New("from: want tarball, deb or appimage, or the name of a package of these formats")
	}
	formats, name := []string{FormatTarball, FormatDeb, FormatAppImage}, p.From
	if format, of, cut := strings.Cut(p.From, ":"); cut && slices.Contains(formats, format) {
		formats, name = []string{format}, of
	}
	for _, format := range formats {
		var found []Package
		for _, q := range c.Packages {
			if q.Format == format && (p.From == format || name == q.Name) {
				found = append(found, q)
			}
		}
		switch {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return Package{}, fmt.Errorf("from: there are several %s packages; name one of them instead of %q", format, p.From)
		}
	}
	if slices.Contains(formats, p.From) {
		return Package{}, fmt.Errorf("from: there is no %s package", p.From)
	}
	return Package{}, fmt.Errorf("from: there is no tarball package %q, nor a DEB or AppImage of that name", p.From)
}

// deb is the part of the configuration that makes a DEB, without version and architecture.
func (p Package) deb() deb.Config {
	c := deb.Config{
		Name: p.Name, Bundle: p.Bundle, Revision: p.Revision, Epoch: p.Epoch, Section: p.Section, Priority: p.Priority,
		Maintainer: p.Maintainer, Description: p.Description, Homepage: p.Homepage, License: p.License, Copyright: p.Copyright,
		Compression: p.Compression, Depends: p.Depends, Recommends: p.Recommends, Suggests: p.Suggests, Conflicts: p.Conflicts,
		Breaks: p.Breaks, Replaces: p.Replaces, Provides: p.Provides,
	}
	if c.Revision == 0 {
		c.Revision = 1
	}
	return c
}

// appImage is the part of the configuration that makes an AppImage, without version and architecture.
func (p Package) appImage() appimage.Config {
	return appimage.Config{
		Name: p.Name, Bundle: p.Bundle, Compression: appimage.Compression(p.Compression), Runtime: p.Runtime, UpdateInformation: p.UpdateInformation,
		Sign: p.Sign, Desktop: p.Desktop, Icon: p.Icon, Program: p.Program, Description: p.Description, Categories: p.Categories,
	}
}

// aur is the part of the configuration that makes an AUR package, without version and what it installs.
func (p Package) aur() aur.Config {
	return aur.Config{
		Name: p.Name, PkgRel: p.PkgRel, Epoch: p.Epoch, KeepBuild: p.KeepBuild, Maintainer: p.Maintainer, Description: p.Description,
		Homepage: p.Homepage, License: p.License, URL: p.URL, Install: p.Install, Groups: p.Groups,
		Relations: aur.Relations{Depends: p.Depends, OptDepends: p.OptDepends, MakeDepends: p.MakeDepends, CheckDepends: p.CheckDepends},
		Provides:  p.Provides, Conflicts: p.Conflicts, Replaces: p.Replaces, Arches: p.Arches,
	}
}
