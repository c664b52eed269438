package appdir

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
)

// App says what an AppDir is made of.
type App struct {
	ID      string           // names the desktop entry, the AppStream file and, without a Desktop, the icon
	Version string           // becomes X-AppImage-Version
	Bundle  []squashfs.Entry // a tree as below /usr, which goes under usr/; its folder etc goes to the root
	Exec    string           // what AppRun starts, in the bundle: "bin/app"

	// What is nil is looked for in the bundle.
	AppRun    []byte // a script of your own
	Desktop   []byte // else share/applications/ID.desktop
	Icon      []byte // PNG or SVG; else the largest up to 256 x 256 under share/icons/hicolor, or share/pixmaps
	AppStream []byte // else share/metainfo/ID.appdata.xml or ID.metainfo.xml

	// Console says that this is a program for terminals, which need not have an icon: without one it gets [PlainIcon].
	Console bool

	// Shortcuts are paths of the bundle that are reachable at the AppDir's root as well, where the bundle has them:
	// "bin/tray" becomes a link to usr/bin/tray, and "bin" one to usr/bin.
	Shortcuts []string
}

// appRun starts a program of the bundle. It sets no library path: children of the application would inherit it, and the
// bundle's programs find their libraries by $ORIGIN. The runtime starts it as $APPDIR/AppRun; otherwise APPDIR may be
// that of another AppImage, which this one was started from.
const appRun = `#!/bin/sh
case $0 in
"$APPDIR/AppRun") here=$APPDIR called=${ARGV0##*/} ;;
*) here=$(dirname "$(readlink -f "$0")") called= ;;
esac
PATH="$here/usr/bin:$PATH"
XDG_DATA_DIRS="$here/usr/share:${XDG_DATA_DIRS:-/usr/local/share:/usr/share}"
export PATH XDG_DATA_DIRS
%sexec "$here/usr/%s" "$@"
`

// others is the part of AppRun by which a link to the AppImage with the name of another of its programs starts that.
const others = `case $called in
%s) exec "$here/usr/bin/$called" "$@" ;;
esac
`

// plainName is a file name that needs no quoting in a script.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+-]*$`)

// script is AppRun.
func (a *App) script(ix index) ([]byte, error) {
	if a.AppRun != nil {
		return a.AppRun, nil
	}
	if e, err := ix.resolve(path.Join("usr", a.Exec)); a.Exec == "" || err != nil || !e.Mode.IsRegular() {
		return nil, fmt.Errorf("the bundle has no program %q for AppRun to start", a.Exec)
	}
	if strings.ContainsAny(a.Exec, "\"\\$`\n") {
		return nil, fmt.Errorf("program %q cannot stand in a script", a.Exec)
	}
	var names []string
	for _, p := range a.programs(ix) {
		if p != path.Clean(a.Exec) && plainName.MatchString(path.Base(p)) {
			names = append(names, path.Base(p))
		}
	}
	choice := ""
	if len(names) > 0 {
		choice = fmt.Sprintf(others, strings.Join(names, " | "))
	}
	return fmt.Appendf(nil, appRun, choice, path.Clean(a.Exec)), nil
}

// programs lists what lies in the bundle's folder bin and can be started, sorted.
func (a *App) programs(ix index) []string {
	var list []string
	for _, e := range a.Bundle {
		if path.Dir(e.Path) != "bin" {
			continue
		}
		if to, err := ix.resolve(path.Join("usr", e.Path)); err == nil && to.Mode.IsRegular() && to.Mode&0o111 != 0 {
			list = append(list, e.Path)
		}
	}
	slices.Sort(list)
	return list
}

// place is where a path of the bundle goes.
func place(p string) string {
	if p == "etc" || strings.HasPrefix(p, "etc/") { // in a package that is /etc, not /usr/etc
		return p
	}
	return path.Join("usr", p)
}

// Assemble lays out an AppDir. It changes nothing on disk and does not judge: Check does.
func Assemble(a App) ([]squashfs.Entry, error) {
	if a.ID == "" || strings.ContainsAny(a.ID, "/\x00") {
		return nil, fmt.Errorf("%q cannot name a desktop entry", a.ID)
	}
	if strings.ContainsAny(a.Version, "\r\n") || !utf8.ValidString(a.Version) {
		return nil, fmt.Errorf("version %q cannot stand in a desktop entry", a.Version)
	}
	list := []squashfs.Entry{{Path: ".", Mode: fs.ModeDir | 0o755}}
	for _, e := range a.Bundle {
		if e.Path != "." {
			e.Path = place(e.Path)
			list = append(list, e)
		}
	}
	ix := newIndex(list)
	script, err := a.script(ix)
	if err != nil {
		return nil, err
	}
	list = append(list, content("AppRun", 0o755, script))

	desktop := a.Desktop
	if desktop == nil {
		if desktop, err = ix.content("usr/share/applications/" + a.ID + ".desktop"); err != nil {
			return nil, err
		}
	}
	list = append(list, content(a.ID+".desktop", 0o644, setVersion(desktop, a.Version)))

	iconName := a.ID
	if d, err := parseDesktop(desktop); err == nil && d["Icon"] != "" {
		iconName = d["Icon"]
	}
	icon, ext, err := a.icon(ix, iconName)
	if err != nil {
		return nil, err
	}
	list = append(list, content(iconName+ext, 0o644, icon))
	list = append(list, squashfs.Entry{Path: ".DirIcon", Mode: fs.ModeSymlink | 0o777, Target: iconName + ext})

	const metainfo = "usr/share/metainfo/"
	switch want := metainfo + a.ID + ".appdata.xml"; {
	case ix[want] != nil:
	case a.AppStream != nil:
		list = append(list, content(want, 0o644, a.AppStream))
	case ix[metainfo+a.ID+".metainfo.xml"] != nil: // the name that AppImage tools look for
		list = append(list, squashfs.Entry{Path: want, Mode: fs.ModeSymlink | 0o777, Target: a.ID + ".metainfo.xml"})
	}
	for _, p := range a.Shortcuts {
		if ix[path.Join("usr", p)] == nil {
			continue
		}
		up := strings.Repeat("../", strings.Count(path.Clean(p), "/"))
		list = append(list, squashfs.Entry{Path: path.Clean(p), Mode: fs.ModeSymlink | 0o777, Target: up + path.Join("usr", p)})
	}
	return list, nil
}

func (ix index) content(p string) ([]byte, error) {
	e, err := ix.resolve(p)
	if err != nil {
		return nil, fmt.Errorf("the bundle has no %s: it %w", strings.TrimPrefix(p, "usr/"), err)
	}
	if !e.Mode.IsRegular() {
		return nil, fmt.Errorf("%s is not a file", p)
	}
	return read(e, 16<<20)
}

// icon returns the icon and its extension.
func (a *App) icon(ix index, name string) ([]byte, string, error) {
	if a.Icon != nil {
		if strings.HasPrefix(string(a.Icon), "\x89PNG") {
			return a.Icon, ".png", nil
		}
		return a.Icon, ".svg", nil
	}
	for _, dir := range iconFolders(ix) {
		for _, ext := range iconTypes {
			p := path.Join(dir, name+ext)
			if ix[p] == nil {
				continue
			}
			b, err := ix.content(p)
			return b, ext, err
		}
	}
	if a.Console {
		b, err := PlainIcon()
		return b, ".png", err
	}
	return nil, "", fmt.Errorf("the bundle has no icon %s under share/icons/hicolor or share/pixmaps", name)
}

// iconFolders lists where icons may lie, the best first: 256 pixels, smaller ones, any size, larger ones.
func iconFolders(ix index) []string {
	const hicolor = "usr/share/icons/hicolor"
	type sized struct {
		dir  string
		rank int
	}
	var list []sized
	for p := range ix {
		if ok, err := path.Match(hicolor+"/*/apps", p); !ok || err != nil {
			continue
		}
		var w, h int
		rank := 1000 // scalable
		if n, _ := fmt.Sscanf(path.Base(path.Dir(p)), "%dx%d", &w, &h); n == 2 {
			rank = 256 - w
			if w > 256 {
				rank = 2000 + w
			}
		}
		list = append(list, sized{p, rank})
	}
	slices.SortFunc(list, func(a, b sized) int {
		if a.rank != b.rank {
			return a.rank - b.rank
		}
		return strings.Compare(a.dir, b.dir)
	})
	var dirs []string
	for _, s := range list {
		dirs = append(dirs, s.dir)
	}
	return append(dirs, "usr/share/pixmaps")
}
