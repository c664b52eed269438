package aur

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/build/tarball"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline"
)

var (
	maintainerRE = regexp.MustCompile(`^([^<>@]*[^<>@ ]) <([^@<>\s]+)@([^@<>\s]+)>$`)
	plainRE      = regexp.MustCompile(`^[a-zA-Z0-9@_+][a-zA-Z0-9@._+-]*$`)
)

// Model describes the package that installs the released packages as they were made. The workspace must have them and
// their bundles as inputs.
func (c Config) Model(ws *pipeline.Workspace) (*pkgbuild.Model, error) {
	sums := map[Source]string{}
	var of content
	for i, from := range c.Sources() {
		a, _, err := ws.Input(from.Artifact)
		if err != nil {
			return nil, err
		}
		sums[from] = a.SHA256
		_, dir, err := ws.Input(bundle.Artifact(from.Bundle, from.Arch))
		if err != nil {
			return nil, err
		}
		found, err := c.look(i, &ws.Env, dir)
		if err == nil && i > 0 {
			err = found.agree(of)
		}
		if err != nil {
			return nil, err
		}
		of = found
	}
	return c.model(&ws.Env, func(s Source) string { return sums[s] }, of)
}

// look reads the bundle of a source.
func (c Config) look(i int, env *pipeline.Env, dir string) (content, error) {
	entries, err := archive.Tree(dir)
	if err == nil {
		err = distinct(entries)
	}
	if err != nil {
		return content{}, err
	}
	f := read(entries)
	switch {
	case len(c.AppImages) > 0:
		f.ofImage(c.AppImages[i].Name, entries)
		return f, nil
	case len(c.Debs) > 0:
		err = f.ofDeb(c.Debs[i], env, dir, entries)
	}
	f.moved(entries)
	return f, err
}

func (c Config) model(env *pipeline.Env, sum func(Source) string, of content) (*pkgbuild.Model, error) {
	pkgver, err := pkgbuild.PkgVer(c.Version, c.KeepBuild)
	if err != nil {
		return nil, err
	}
	who := maintainerRE.FindStringSubmatch(c.Maintainer)
	if who == nil {
		return nil, fmt.Errorf("maintainer: want Name <address@host>, found %q", c.Maintainer)
	}
	sources := c.Sources()
	if len(sources) == 0 {
		return nil, errors.New("from: there is no package to install")
	}
	if err := c.sameVersion(); err != nil {
		return nil, err
	}
	if c.Install != "" && (path.Clean(c.Install) != c.Install || c.Install == "." || !filepath.IsLocal(c.Install)) {
		return nil, fmt.Errorf("install: want a clean path in the repository, found %q", c.Install)
	}
	desc, _, _ := strings.Cut(strings.TrimSpace(c.Description), "\n")
	m := &pkgbuild.Model{
		Maintainers: []string{fmt.Sprintf("%s <%s at %s>", who[1], who[2], strings.ReplaceAll(who[3], ".", " dot "))},
		PkgName:     c.Name, PkgVer: pkgver, PkgRel: c.PkgRel, Epoch: c.Epoch, PayloadVer: c.payload(),
		PkgDesc: pkgbuild.Fold(desc), URL: c.Homepage, License: []string{c.License}, Groups: c.Groups,
		Backup: of.backup, Options: []string{"!strip", "!debug"}, Install: c.Scriptlet(),
	}
	if m.PkgRel == "" {
		m.PkgRel = "1"
	}
	file := c.localName()
	for _, s := range sources {
		arch := tarball.Machine(s.Arch)
		url, err := c.address(env, s)
		if err != nil {
			return nil, fmt.Errorf("url: %w", err)
		}
		m.Arch = append(m.Arch, arch)
		m.Sources = append(m.Sources, pkgbuild.Source{Arch: arch, Name: file, URL: url, SHA256: sum(s)})
	}
	if err := c.relations(m); err != nil {
		return nil, err
	}
	m.Package = c.actions(file, of)
	return m, nil
}

// sameVersion wants what is installed to be of the release that the package says it is.
func (c Config) sameVersion() error {
	v, err := version.Parse(c.Version)
	if err != nil {
		return err
	}
	var versions []string
	for _, t := range c.Tarballs {
		versions = append(versions, t.Version)
	}
	for _, d := range c.Debs {
		versions = append(versions, d.Version)
	}
	for _, a := range c.AppImages {
		versions = append(versions, a.Version)
	}
	for _, of := range versions {
		if of != v.Release() {
			return fmt.Errorf("from: it installs version %s, and the package would say %s", of, v.Release())
		}
	}
	return nil
}

// payload is the version of what is installed, as its file's name has it.
func (c Config) payload() string {
	switch {
	case len(c.Tarballs) > 0:
		return c.Tarballs[0].Version
	case len(c.Debs) > 0:
		return c.Debs[0].Version
	case len(c.AppImages) > 0:
		return c.AppImages[0].Version
	}
	return ""
}

// stem gives the beginning and the ending of the names of what is installed.
func (c Config) stem() (name, ending string) {
	switch {
	case len(c.Tarballs) > 0:
		return c.Tarballs[0].Name, ".tar.gz"
	case len(c.Debs) > 0:
		return c.Debs[0].Name, ".deb"
	case len(c.AppImages) > 0:
		return c.AppImages[0].Name, ".AppImage"
	}
	return "", ""
}

// localName is the name of a source, NAME-VERSION-MACHINE and its ending, which has the architecture as makepkg calls it,
// so that package() is one text for all.
func (c Config) localName() pkgbuild.Text {
	name, ending := c.stem()
	return pkgbuild.Text{pkgbuild.Lit(name + "-"), pkgbuild.Payload, pkgbuild.Lit("-"), pkgbuild.Arch, pkgbuild.Lit(ending)}
}

// local is the same for one architecture.
func (c Config) local(goarch string) string {
	name, ending := c.stem()
	return name + "-" + c.payload() + "-" + tarball.Machine(goarch) + ending
}

// actions are those of package().
func (c Config) actions(file pkgbuild.Text, of content) []pkgbuild.Action {
	var list []pkgbuild.Action
	switch {
	case len(c.Tarballs) > 0:
		top := pkgbuild.Text{pkgbuild.Lit(c.Tarballs[0].Name + "-"), pkgbuild.Payload, pkgbuild.Lit("-"), pkgbuild.Arch}
		list = append(list, pkgbuild.Unpack{Source: file, Top: top, To: "/usr"})
		if of.etc {
			etc := append(slices.Clone(top), pkgbuild.Lit("/"+bundle.Etc))
			list = append(list, pkgbuild.Remove{Path: "/usr/" + bundle.Etc}, pkgbuild.Unpack{Source: file, Top: etc, To: "/" + bundle.Etc})
		}
	case len(c.Debs) > 0:
		data := "data.tar.gz"
		if strings.HasPrefix(c.Debs[0].Compression, "xz") {
			data = "data.tar.xz"
		}
		list = append(list, pkgbuild.UnpackDeb{Source: file, Data: data})
	case len(c.AppImages) > 0:
		return c.image(file, of)
	}
	list = append(list, of.moves...)
	if of.license != "" && !strings.HasPrefix(of.license, "usr/share/licenses/"+c.Name+"/") {
		list = append(list, pkgbuild.InstallLicense{From: "/" + of.license})
	}
	for _, p := range of.foreign {
		list = append(list, pkgbuild.Remove{Path: "/" + p})
	}
	return list
}

// imagePath is where an AppImage is installed.
func (c Config) imagePath() string {
	plain := strings.TrimSuffix(c.Name, "-bin")
	return "/opt/" + plain + "/" + plain + ".AppImage"
}

// image are the actions for an AppImage.
func (c Config) image(file pkgbuild.Text, of content) []pkgbuild.Action {
	at := c.imagePath()
	list := []pkgbuild.Action{pkgbuild.InstallFile{Source: file, To: at, Mode: 0o755}}
	for _, name := range of.links {
		list = append(list, pkgbuild.Symlink{At: "/usr/bin/" + name, To: at})
	}
	if len(of.out) > 0 {
		list = append(list, pkgbuild.Extract{Image: at, Files: of.out})
	}
	if of.license != "" && !strings.HasPrefix(of.license, "usr/share/licenses/"+c.Name+"/") {
		list = append(list, pkgbuild.InstallLicense{From: "/" + of.license})
	}
	return list
}

// fuse is what an AppImage is mounted with; without it the built-in runtime unpacks the AppImage.
const fuse = "fuse3: start without unpacking the program first"

// relations fills in the relations to other packages.
func (c Config) relations(m *pkgbuild.Model) error {
	plain, bin := strings.CutSuffix(c.Name, "-bin")
	provides, conflicts := c.Provides, c.Conflicts
	if bin && provides == nil {
		provides = []string{plain}
	}
	if bin && conflicts == nil {
		conflicts = []string{plain}
	}
	m.Relations = c.Relations.texts()
	for _, p := range provides {
		text := pkgbuild.Plain(p)
		if plainRE.MatchString(p) {
			text = pkgbuild.Text{pkgbuild.Lit(p + "="), pkgbuild.Version}
		}
		m.Provides = append(m.Provides, text)
	}
	m.Conflicts, m.Replaces = pkgbuild.Plains(conflicts...), pkgbuild.Plains(c.Replaces...)
	if len(c.AppImages) > 0 && c.AppImages[0].Runtime == nil &&
		!slices.ContainsFunc(slices.Concat(c.Depends, c.OptDepends), func(d string) bool { return strings.HasPrefix(d, "fuse") }) {
		m.OptDepends = append(m.OptDepends, pkgbuild.Plain(fuse))
	}
	for _, goarch := range slices.Sorted(maps.Keys(c.Arches)) {
		machine := tarball.Machine(goarch)
		if !slices.Contains(m.Arch, machine) {
			return fmt.Errorf("arches: it is not made for %q: want one of %s as a Go program calls it (amd64, arm64)", goarch, strings.Join(m.Arch, ", "))
		}
		if m.ArchRelations == nil {
			m.ArchRelations = map[string]pkgbuild.Relations{}
		}
		m.ArchRelations[machine] = c.Arches[goarch].texts()
	}
	return nil
}

func (r Relations) texts() pkgbuild.Relations {
	return pkgbuild.Relations{
		Depends: pkgbuild.Plains(r.Depends...), OptDepends: pkgbuild.Plains(r.OptDepends...),
		MakeDepends: pkgbuild.Plains(r.MakeDepends...), CheckDepends: pkgbuild.Plains(r.CheckDepends...),
	}
}

// mark stands for the version while the fields of an address are filled in. No text of release.yaml can hold it.
const mark = "\x00"

// address is where a source will be published. In release.yaml it is either its whole address, or that of the folder it
// is in, with a slash at the end. Where {{ .Version }} stands the PKGBUILD refers to its own version; {{ .Arch }} is the
// architecture as the file's name has it: amd64 and arm64 in those of a DEB, x86_64 and aarch64 in others.
func (c Config) address(env *pipeline.Env, s Source) (pkgbuild.Text, error) {
	if strings.Contains(c.URL, mark) {
		return nil, errors.New("want no control characters")
	}
	name, ending := c.stem()
	text, arch, between := c.URL, tarball.Machine(s.Arch), "-"
	if len(c.Debs) > 0 {
		arch, between = s.Arch, "_"
	}
	if strings.HasSuffix(text, "/") {
		text += name + between + "{{ .Version }}" + between + "{{ .Arch }}" + ending
	}
	text, err := component.ExpandWith(text, env, arch, mark)
	if err != nil {
		return nil, err
	}
	if path.Ext(text) == "" || !strings.Contains(text, "://") {
		return nil, fmt.Errorf("want the address of what it installs, or of its folder with a slash at the end, found %q", c.URL)
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
