package pkgbuild

import (
	"slices"
	"strings"
)

// buildTools are packages that build programs and that nobody needs to run one, by their names in Arch and in the AUR
// (archlinux.org/packages and aur.archlinux.org/packages), sorted. Those that come as -bin or -git are the same.
//
// What may be either is not among them: python, nodejs and java run programs, gcc-libs and libtool hold libraries, and a
// program may call python-setuptools. Whoever declares these is believed, and nothing here adds them.
var buildTools = []string{
	"autoconf", "automake", "base-devel", "bazel", "bison", "cargo", "clang", "cmake", "dart", "devtools", "fakeroot", "flex", "flutter", "flutter-beta",
	"flutter-stable", "fvm", "gcc", "gcc-go", "git", "go", "gradle", "m4", "make", "maven", "meson", "namcap", "nasm", "ninja", "npm", "patch", "pkgconf",
	"pnpm", "pyinstaller", "python-build", "python-flit-core", "python-hatchling", "python-installer", "python-pip", "python-pipx", "python-poetry",
	"python-poetry-core", "python-pyinstaller", "python-wheel", "rust", "rustup", "scons", "yarn", "yasm",
}

// BuildTool says whether a dependency, as in "cmake>=3.20", is one on a tool that builds programs. Such a tool belongs
// into makedepends, or nowhere where the package is made of prebuilt files.
func BuildTool(dependency string) bool {
	m := relationRE.FindStringSubmatch(dependency)
	if m == nil {
		return false
	}
	name := strings.TrimSuffix(strings.TrimSuffix(m[1], "-bin"), "-git")
	_, found := slices.BinarySearch(buildTools, name)
	return found
}
