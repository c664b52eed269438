package aur

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/deb"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/glob"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/pipeline"
)

// content is what a PKGBUILD says of single files of what it installs.
type content struct {
	license string   // path in the package of the program's licence, which pacman's packages have in a folder of their own; "" for none
	etc     bool     // whether there is something for /etc
	backup  []string // files for /etc, sorted; links are none
	moves   []pkgbuild.Action
	foreign []string             // topmost paths that only Debian needs, sorted
	out     []pkgbuild.Extracted // what an AppImage has to give away
	links   []string             // programs of an AppImage, by name
}

// places are the folders in which packages made for several distributions have completions and user units, and those in
// which the packages of Arch have them, both as below /usr.
var places = [][2]string{
	{"share/zsh/vendor-completions/", "share/zsh/site-functions/"}, // Debian's
	{"share/fish/completions/", "share/fish/vendor_completions.d/"},
	{"etc/bash_completion.d/", "share/bash-completion/completions/"},
	{"share/systemd/user/", "lib/systemd/user/"},
}

// Place is where a path of a bundle goes in the package: "share/zsh/vendor-completions/_demo" to
// "usr/share/zsh/site-functions/_demo", and "etc/demo.conf" to "etc/demo.conf".
func Place(p string) string {
	for _, to := range places {
		if rest, ok := strings.CutPrefix(p, to[0]); ok && rest != "" {
			return "usr/" + to[1] + rest
		}
	}
	return laid(p)
}

// laid is where tarball and DEB lay a path of a bundle.
func laid(p string) string {
	if bundle.InEtc(p) {
		return p
	}
	return "usr/" + p
}

// read looks at the files of a bundle.
func read(entries []archive.Entry) content {
	f := content{license: licenseIn(entries)}
	for _, e := range entries {
		if !bundle.InEtc(e.Path) {
			continue
		}
		f.etc = true
		if e.Mode.IsRegular() && Place(e.Path) == e.Path {
			f.backup = append(f.backup, e.Path)
		}
	}
	return f
}

// licenseIn finds the program's licence.
func licenseIn(entries []archive.Entry) string {
	for _, pattern := range []string{"share/licenses/*/*", "share/doc/*/LICENSE*", "share/doc/*/COPYING*"} {
		for _, e := range entries {
			if e.Mode.IsRegular() && glob.Match(pattern, e.Path) {
				return laid(e.Path)
			}
		}
	}
	return ""
}

// moved puts the files of the folders of places where they belong, and takes the folders away that are left empty.
func (f *content) moved(entries []archive.Entry) {
	for _, e := range entries {
		if from, to := laid(e.Path), Place(e.Path); from != to && !e.Mode.IsDir() {
			f.moves = append(f.moves, pkgbuild.Move{From: "/" + from, To: "/" + to})
		}
	}
	for _, p := range emptied(entries) {
		f.moves = append(f.moves, pkgbuild.Remove{Path: "/" + p})
	}
}

// distinct wants each path of the package to come from one place of the bundle.
func distinct(entries []archive.Entry) error {
	from := map[string]string{}
	for _, e := range entries {
		to := Place(e.Path)
		if before, taken := from[to]; taken && !e.Mode.IsDir() {
			return fmt.Errorf("the bundle has %q and %q, which are both %q in the package", before, e.Path, to)
		}
		from[to] = e.Path
	}
	return nil
}

// emptied lists the topmost folders that held moved files and hold nothing now, sorted.
func emptied(entries []archive.Entry) []string {
	lost, kept := map[string]bool{}, map[string]bool{}
	above := func(p string, of map[string]bool) {
		for p = path.Dir(p); p != "."; p = path.Dir(p) {
			of[p] = true
		}
	}
	for _, e := range entries {
		if e.Mode.IsDir() {
			continue
		}
		if from, to := laid(e.Path), Place(e.Path); from != to {
			above(from, lost)
			above(to, kept)
		} else {
			above(from, kept)
		}
	}
	var top []string
	for p := range lost {
		if up := path.Dir(p); !kept[p] && (up == "." || kept[up]) {
			top = append(top, p)
		}
	}
	slices.Sort(top)
	return top
}

// ofDeb adds what a DEB has and its bundle does not.
func (f *content) ofDeb(c deb.Config, env *pipeline.Env, dir string, entries []archive.Entry) error {
	layout, err := deb.Layout(c, env, dir)
	if err != nil {
		return err
	}
	ours := map[string]bool{"usr": true}
	for _, e := range entries {
		ours[laid(e.Path)] = true
	}
	for _, e := range layout {
		p := e.Path
		if ours[p] || ours[strings.TrimSuffix(p, ".gz")] && strings.HasPrefix(p, "usr/share/man/") {
			continue
		}
		if n := len(f.foreign); n > 0 && strings.HasPrefix(p, f.foreign[n-1]+"/") {
			continue
		}
		f.foreign = append(f.foreign, p)
	}
	if legal := "usr/share/doc/" + c.Name + "/copyright"; f.license == "" && slices.ContainsFunc(layout, func(e deb.File) bool { return e.Path == legal }) {
		f.license = legal
	}
	return nil
}

// visible are the files of a bundle that the system looks for outside of an AppImage.
var visible = []string{
	"share/applications/*.desktop", "share/icons/**", "share/pixmaps/*", "share/metainfo/*.xml", "share/mime/packages/*.xml", "share/man/**",
	"share/info/*", "share/bash-completion/completions/*", "share/zsh/site-functions/*", "share/zsh/vendor-completions/*",
	"share/fish/vendor_completions.d/*", "share/fish/completions/*", "share/dbus-1/services/*", "lib/systemd/user/**", "share/systemd/user/**",
	"share/licenses/**", "etc/**",
}

// ofImage adds what an AppImage gives away, and its programs. name is the one that it is called by where the bundle has
// no folder bin.
func (f *content) ofImage(name string, entries []archive.Entry) {
	for _, e := range entries {
		program := path.Dir(e.Path) == "bin" && !e.Mode.IsDir() && e.Mode&0o111 != 0
		switch {
		case program:
			f.links = append(f.links, path.Base(e.Path))
		case e.Mode.IsDir():
		case laid(e.Path) == f.license || slices.ContainsFunc(visible, func(pattern string) bool { return glob.Match(pattern, e.Path) }):
			mode := fs.FileMode(0o644)
			if e.Mode.IsRegular() && e.Mode&0o111 != 0 {
				mode = 0o755
			}
			f.out = append(f.out, pkgbuild.Extracted{From: laid(e.Path), To: "/" + Place(e.Path), Mode: mode})
		}
	}
	if f.links == nil {
		f.links = []string{name}
	}
}

// agree wants the bundles of all architectures to have the same of what a PKGBUILD says once.
func (f content) agree(g content) error {
	switch {
	case f.license != g.license:
		return fmt.Errorf("the bundles of its architectures have their licences in different places (%q and %q)", f.license, g.license)
	case f.etc != g.etc || !slices.Equal(f.backup, g.backup):
		return fmt.Errorf("the bundles of its architectures have different files in /etc (%q and %q), and a PKGBUILD has one list of them", f.backup, g.backup)
	case !slices.Equal(f.foreign, g.foreign):
		return fmt.Errorf("the DEBs of its architectures have different files that only Debian needs (%q and %q)", f.foreign, g.foreign)
	case !slices.Equal(f.links, g.links) || !slices.Equal(f.out, g.out):
		return fmt.Errorf("the bundles of its architectures differ in programs or in what the desktop looks for (%q and %q)", f.links, g.links)
	case !reflect.DeepEqual(f.moves, g.moves):
		return errors.New("the bundles of its architectures have different completions or user units")
	}
	return nil
}

// Installed lists the files and links, without folders and sorted, that the finished package has for one architecture,
// given its bundle in dir. makepkg compresses manual and info pages.
func (c Config) Installed(env *pipeline.Env, goarch, dir string) ([]string, error) {
	i := slices.IndexFunc(c.Sources(), func(s Source) bool { return s.Arch == goarch })
	if i < 0 {
		return nil, fmt.Errorf("the package is not made for %s", goarch)
	}
	entries, err := archive.Tree(dir)
	if err != nil {
		return nil, err
	}
	of, err := c.look(i, env, dir)
	if err != nil {
		return nil, err
	}
	var list []string
	if len(c.AppImages) > 0 {
		list = append(list, strings.TrimPrefix(c.imagePath(), "/"))
		for _, name := range of.links {
			list = append(list, "usr/bin/"+name)
		}
		for _, f := range of.out {
			list = append(list, strings.TrimPrefix(f.To, "/"))
		}
	} else {
		for _, e := range entries {
			if !e.Mode.IsDir() {
				list = append(list, Place(e.Path))
			}
		}
	}
	if own := "usr/share/licenses/" + c.Name + "/"; of.license != "" && !strings.HasPrefix(of.license, own) {
		list = append(list, own+path.Base(of.license))
	}
	for i, p := range list {
		if (strings.HasPrefix(p, "usr/share/man/") || strings.HasPrefix(p, "usr/share/info/")) && !compressedRE.MatchString(p) {
			list[i] = p + ".gz"
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// compressedRE are the endings that makepkg's zipman leaves alone.
var compressedRE = regexp.MustCompile(`\.(?:gz|bz2|xz|zst|lzma|Z)$`)
