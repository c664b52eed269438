package judge

import (
	"slices"

	"github.com/imrightguy/slipway/phases/internal/makepkg"
	"github.com/imrightguy/slipway/phases/internal/sandbox"
	"github.com/imrightguy/slipway/phases/internal/tool"
)

// The programs that judges in a sandbox need. dpkg, which runs nothing of a package, can do without bwrap.
var (
	dpkgTools    = []string{"dpkg", "dpkg-deb", "dpkg-query", "tar", "bash", "setpriv"}
	makepkgTools = append(slices.Clone(makepkg.BuildTools), "setpriv", "bwrap")
)

// Program is a program that a judge needs.
type Program struct {
	Judge  string
	Name   string
	Path   string // where it was found; "" where it was not
	Debian string // the Debian package that brings it
}

// Examine looks for all that the judges need, in the order of [Known].
func Examine() []Program {
	var out []Program
	for _, k := range known {
		for _, name := range k.tools {
			p := Program{Judge: k.name, Name: name, Debian: debian(name)}
			if slices.Contains(k.open, name) {
				if path, err := tool.Look(name); err == nil {
					p.Path = path
				}
			} else {
				p.Path = sandbox.Look(name)
			}
			out = append(out, p)
		}
	}
	return out
}

// debian is the package that brings a program.
func debian(name string) string {
	switch name {
	case Lintian:
		return "lintian"
	case Desktop:
		return "desktop-file-utils"
	case AppStream:
		return "appstream"
	}
	return sandbox.Debian(name)
}
