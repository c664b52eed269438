package pkgbuild

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// An Action is one thing that package() does. The set is closed; a new form of payload is
// a new action.
type Action interface {
	source() (name Text, takes bool) // the source it takes, by local name
	problems(m *Model) []problem     // beside those of the source
	commands(m *Model) []string      // lines of package()
}

// Unpack lays the content of an archive, a tarball for instance, under a folder.
type Unpack struct {
	Source Text
	// Top is the folder in the archive whose content is taken; a package is not built
	// from an archive without it. Empty: the whole archive is taken.
	Top Text
	// Strip is the number of leading folders to drop where Top is not said.
	Strip int
	To    string // "/usr", "/opt/name", or "/"
}

// UnpackDeb lays the content of a Debian package where that package would have it.
type UnpackDeb struct {
	Source Text
	Data   string // name of its data archive: data.tar.gz, data.tar.xz or data.tar.zst
}

// InstallFile installs a source as it is: an AppImage, an icon, a licence.
type InstallFile struct {
	Source Text
	To     string      // "/opt/name/name.AppImage"
	Mode   fs.FileMode // 0o755 or 0o644
}

// InstallLicense copies a file that an earlier action laid into the package to the folder
// where Arch packages have their licences.
type InstallLicense struct {
	From string // "/usr/share/doc/name/LICENSE"
}

// Symlink makes a symbolic link in the package.
type Symlink struct {
	At string // "/usr/bin/name"
	To string // "/opt/name/name.AppImage"
}

// Move puts a file or folder that an earlier action laid into the package elsewhere in it.
type Move struct {
	From string // "/usr/share/zsh/vendor-completions/_name"
	To   string // "/usr/share/zsh/site-functions/_name"
}

// Remove takes away a file or folder that an earlier action laid into the package, for
// instance what only Debian needs. The build fails where it is not there.
type Remove struct {
	Path string
}

func (a Unpack) source() (Text, bool)       { return a.Source, true }
func (a UnpackDeb) source() (Text, bool)    { return a.Source, true }
func (a InstallFile) source() (Text, bool)  { return a.Source, true }
func (InstallLicense) source() (Text, bool) { return nil, false }
func (Symlink) source() (Text, bool)        { return nil, false }
func (Move) source() (Text, bool)           { return nil, false }
func (Remove) source() (Text, bool)         { return nil, false }

func (a Unpack) problems(m *Model) []problem {
	ps := pathProblem("to", a.To)
	ps = append(ps, m.referenceProblems("top", a.Top, true)...)
	for _, arch := range m.Arch {
		if top := m.expand(a.Top, arch); len(a.Top) > 0 && pathProblem("top", "/"+top) != nil {
			ps = append(ps, problem{"top", top, "want a relative path of plain characters"})
		}
	}
	switch {
	case a.Strip < 0:
		ps = append(ps, problem{"strip", fmt.Sprint(a.Strip), "want zero or more"})
	case a.Strip > 0 && len(a.Top) > 0:
		ps = append(ps, problem{"strip", fmt.Sprint(a.Strip), "top says already what is dropped"})
	}
	return ps
}

func (a UnpackDeb) problems(*Model) []problem {
	if !slices.Contains([]string{"data.tar", "data.tar.gz", "data.tar.xz", "data.tar.zst"}, a.Data) {
		return []problem{{"data", a.Data, "want data.tar.gz, data.tar.xz, data.tar.zst or data.tar"}}
	}
	return nil
}

func (a InstallFile) problems(*Model) []problem {
	ps := pathProblem("to", a.To)
	if a.Mode&^0o777 != 0 || a.Mode&0o400 == 0 {
		ps = append(ps, problem{"mode", a.Mode.String(), "want permission bits like 0644 or 0755"})
	}
	return ps
}

func (a InstallLicense) problems(*Model) []problem { return pathProblem("from", a.From) }
func (a Remove) problems(*Model) []problem         { return pathProblem("path", a.Path) }

func (a Symlink) problems(*Model) []problem {
	return append(pathProblem("at", a.At), pathProblem("to", a.To)...)
}

func (a Move) problems(*Model) []problem {
	return append(pathProblem("from", a.From), pathProblem("to", a.To)...)
}

// pathProblem wants an absolute, clean path of characters that mean nothing in double quotes.
func pathProblem(field, p string) []problem {
	switch {
	case !strings.HasPrefix(p, "/") || path.Clean(p) != p:
		return []problem{{field, p, "want a clean path that begins with a slash"}}
	case strings.Trim(p, pathChars) != "" || strings.Contains(p, "/-"):
		return []problem{{field, p, "want a path of letters, digits and . _ + @ = - only, no part of it beginning with -"}}
	}
	return nil
}

const (
	lower    = "abcdefghijklmnopqrstuvwxyz"
	digits   = "0123456789"
	alnum    = lower + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + digits
	nameMark = alnum + "._+@=-" // characters of a file name that mean nothing to bash and bsdtar

	pathChars = nameMark + "/"
)

func (a Unpack) commands(m *Model) []string {
	tar := m.bsdtar(`"${srcdir}/`+m.path(a.Source)+`"`, a.To)
	switch {
	case len(a.Top) > 0:
		depth := strings.Count(m.expand(a.Top, m.Arch[0]), "/") + 1
		tar += fmt.Sprintf(` --strip-components=%d "%s"`, depth, m.path(a.Top))
	case a.Strip > 0:
		tar += fmt.Sprintf(" --strip-components=%d", a.Strip)
	}
	if a.To == "/" {
		return []string{tar}
	}
	return []string{"install -dm755 " + inPackage(a.To), tar}
}

func (a UnpackDeb) commands(m *Model) []string {
	return []string{
		`bsdtar -xf "${srcdir}/` + m.path(a.Source) + `" -C "${srcdir}" --no-same-owner "` + a.Data + `"`,
		m.bsdtar(`"${srcdir}/`+a.Data+`"`, "/"),
	}
}

func (a InstallFile) commands(m *Model) []string {
	return []string{fmt.Sprintf(`install -Dm%03o "${srcdir}/%s" %s`, a.Mode.Perm(), m.path(a.Source), inPackage(a.To))}
}

func (a InstallLicense) commands(*Model) []string {
	return []string{`install -Dm644 ` + inPackage(a.From) + ` "${pkgdir}/usr/share/licenses/${pkgname}/` + path.Base(a.From) + `"`}
}

func (a Symlink) commands(*Model) []string {
	return []string{`install -dm755 ` + inPackage(path.Dir(a.At)), `ln -s "` + a.To + `" ` + inPackage(a.At)}
}

func (a Move) commands(*Model) []string {
	return []string{`install -dm755 ` + inPackage(path.Dir(a.To)), `mv ` + inPackage(a.From) + ` ` + inPackage(a.To)}
}

func (a Remove) commands(*Model) []string { return []string{"rm -r " + inPackage(a.Path)} }

func (m *Model) bsdtar(archive, to string) string {
	return "bsdtar -xf " + archive + " -C " + inPackage(to) + " --no-same-owner"
}

// inPackage is a path of the package as a word of package().
func inPackage(p string) string { return `"${pkgdir}` + strings.TrimSuffix(p, "/") + `"` }

// path prints a checked text between the double quotes of package(). The architecture is
// known when there is only one; else it is makepkg's to say.
func (m *Model) path(t Text) string {
	arch := "${CARCH}"
	if len(m.Arch) == 1 {
		arch = m.Arch[0]
	}
	var s strings.Builder
	for _, p := range m.resolve(t, arch) {
		if p.Ref == refVersion {
			s.WriteString("${pkgver}")
		} else {
			s.WriteString(p.Literal)
		}
	}
	return s.String()
}
