package judge

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/inspect"
	"github.com/imrightguy/slipway/phases/internal/makepkg"
	"github.com/imrightguy/slipway/phases/internal/version"
)

// maxEntries is how many files, folders and links a package may have.
const maxEntries = 200000

// room is how much a package may hold, in bytes, unpacked: as much as the box has in which it was built.
func (j *judges) room() int64 { return 1<<29 + 16*j.size }

// tops are the folders at the root that packages may have files in; bin, lib and sbin are links of the system's, and
// everything else belongs to the machine or its users (Arch package guidelines, "Directories").
var tops = []string{"etc", "opt", "srv", "usr", "var"}

// strange are folders in which no package may have files.
var strange = []string{"usr/local", "var/run", "var/lock", "var/tmp", "var/lib/pacman", "var/cache/pacman", "usr/share/libalpm/hooks"}

// contents opens the finished package again.
func (j *judges) contents(ctx context.Context) {
	dir := filepath.Join(j.dir, "opened")
	if err := os.Mkdir(dir, 0o755); err != nil {
		j.unknown(err, Contents)
		return
	}
	p, err := makepkg.Unpack(ctx, j.built, dir, archive.Limits{Entries: maxEntries, Bytes: j.room()})
	if bad, is := errors.AsType[*archive.BadError](err); is {
		j.fault(Contents, "%v", bad)
		return
	} else if err != nil {
		j.unknown(err, Contents)
		return
	}
	for _, f := range p.Faults {
		j.fault(Contents, "%s", f)
	}
	for _, w := range []struct{ key, want string }{
		{"pkgname", j.pkgname()}, {"pkgbase", j.srcinfo.PkgBase}, {"pkgver", j.srcinfo.Version()},
	} {
		if got := p.Info.Get(w.key); got != w.want {
			j.fault(Contents, ".PKGINFO: %s is %.100q, want %q", w.key, got, w.want)
		}
	}
	j.layout(p)
	j.carried(ctx, p, dir)
}

// layout looks at names, owners and modes.
func (j *judges) layout(p *makepkg.Package) {
	licence, files, told := false, 0, "\x00" // of a folder that is told, what is in it is not
	own := "usr/share/licenses/" + j.pkgname() + "/"
	for _, e := range p.Entries {
		top, _, _ := strings.Cut(e.Path, "/")
		if !strings.HasPrefix(e.Path, told+"/") && (!slices.Contains(tops, top) || slices.Contains(strange, e.Path)) {
			told = e.Path
			j.fault(Contents, "%q lies where packages have no files", e.Path)
		}
		if e.UID != 0 || e.GID != 0 {
			j.fault(Contents, "%q belongs to user %d and group %d, want root", e.Path, e.UID, e.GID)
		}
		switch {
		case e.Mode&fs.ModeSymlink != 0:
			if strings.HasPrefix(e.Link, "/slipway/") || strings.HasPrefix(e.Link, "/box/") {
				j.fault(Contents, "%q leads to the folder that it was built in", e.Path)
			}
		case e.Mode.Perm()&0o022 != 0:
			j.fault(Contents, "%q can be written by others (mode %04o)", e.Path, e.Mode.Perm())
		}
		if e.Mode.IsRegular() {
			files++
			licence = licence || strings.HasPrefix(e.Path, own) && e.Size > 0
		}
	}
	if files == 0 {
		j.fault(Contents, "it holds no files")
	}
	if !licence && !common(j.srcinfo.Base["license"]) {
		j.fault(Contents, "there is no licence in %s", own)
	}
}

// common reports whether Arch has the text of every licence in its own package licenses, so that packages bring none: the
// texts which are the same for everybody. MIT, BSD, ISC and zlib name their owners.
func common(licences []string) bool {
	for _, l := range licences {
		known := false
		for _, prefix := range []string{"AGPL", "Apache", "Artistic", "BSL-1.0", "CC0", "CC-BY", "CDDL", "EPL", "EUPL", "GFDL", "GPL", "LGPL", "MPL", "Unlicense", "WTFPL"} {
			known = known || strings.HasPrefix(l, prefix)
		}
		if !known {
			return false
		}
	}
	return len(licences) > 0
}

// carried inspects the installed files for the version that they carry, and for what editors, crashes and version control
// leave behind.
func (j *judges) carried(ctx context.Context, p *makepkg.Package, dir string) {
	planned, err := version.Parse(j.payload())
	if err != nil {
		j.unknown(err, Contents)
		return
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		j.unknown(err, Contents)
		return
	}
	defer root.Close()
	at := map[string]string{} // path below /usr to the path as installed
	tree := inspect.Tree{
		Name: "the installed package", Arch: "amd64", Version: planned,
		Open: func(e archive.Entry) (inspect.File, error) { return root.Open(at[e.Path]) },
	}
	for _, e := range p.Entries {
		installed := e.Path
		if e.Path = strings.TrimPrefix(e.Path, "usr/"); e.Path == "usr" || at[e.Path] != "" {
			continue
		}
		at[e.Path] = installed
		tree.Entries = append(tree.Entries, e)
	}
	rules := inspect.Rules{Versions: j.Versions}
	results, err := inspect.Inspect(ctx, rules, tree)
	if err != nil {
		j.unknown(err, Contents)
		return
	}
	for _, r := range results {
		if r.Check != inspect.Versions && r.Check != inspect.Paths {
			continue
		}
		for _, f := range r.Faults {
			j.fault(Contents, "%s", f)
		}
	}
}
