package pkgbuild

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Extract takes single files out of an AppImage that an earlier action has installed: what the desktop looks for outside
// of it. The AppImage unpacks them itself, which it does without FUSE (--appimage-extract, AppImage specification,
// "Type 2 image format" and the behaviour of every runtime of that type). So it runs where the package is built, which
// has to be a machine of its architecture.
type Extract struct {
	Image string // "/opt/name/name.AppImage", its path in the package
	Files []Extracted
}

// An Extracted file is one that an AppImage holds.
type Extracted struct {
	From string      // its path in the image: "usr/share/applications/name.desktop"
	To   string      // its path in the package: "/usr/share/applications/name.desktop"
	Mode fs.FileMode // 0o755 or 0o644
}

// extractDir is where an AppImage unpacks itself to, below the working directory. makepkg calls package() in srcdir.
const extractDir = "squashfs-root"

func (Extract) source() (Text, bool) { return nil, false }

func (a Extract) problems(*Model) []problem {
	ps := pathProblem("image", a.Image)
	if len(a.Files) == 0 {
		ps = append(ps, problem{"files", "", "want at least one"})
	}
	for i, f := range a.Files {
		at := index("files", i)
		if pathProblem("", "/"+f.From) != nil {
			ps = append(ps, problem{at + ".from", f.From, "want a clean relative path of letters, digits and . _ + @ = - only"})
		}
		ps = append(ps, pathProblem(at+".to", f.To)...)
		if f.Mode&^0o777 != 0 || f.Mode&0o400 == 0 {
			ps = append(ps, problem{at + ".mode", f.Mode.String(), "want permission bits like 0644 or 0755"})
		}
	}
	return ps
}

func (a Extract) commands(*Model) []string {
	var lines []string
	for _, p := range a.parts() {
		lines = append(lines, inPackage(a.Image)+` --appimage-extract "`+p+`"`)
	}
	for _, f := range a.Files {
		lines = append(lines, fmt.Sprintf(`install -Dm%03o "${srcdir}/%s/%s" %s`, f.Mode.Perm(), extractDir, f.From, inPackage(f.To)))
	}
	return lines
}

// parts are the folders of the image that hold the files, at most three deep: few runs of the AppImage, and none of them
// unpacks the application.
func (a Extract) parts() []string {
	var parts []string
	for _, f := range a.Files {
		p := path.Clean(f.From)
		if names := strings.Split(p, "/"); len(names) > 3 {
			p = path.Join(names[:3]...)
		}
		parts = append(parts, p)
	}
	slices.Sort(parts)
	return slices.Compact(parts)
}
