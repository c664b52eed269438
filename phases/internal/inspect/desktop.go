package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/desktop"
)

// Where desktop entries and units lie.
var (
	entries = []string{"share/applications/**/*.desktop", "etc/xdg/autostart/*.desktop"}
	units   = []string{"lib/systemd/user/*.service", "lib/systemd/system/*.service"}
)

// system are programs that every system has and no bundle brings.
var system = map[string]bool{
	"env": true, "sh": true, "bash": true, "true": true, "false": true, "sleep": true, "kill": true, "test": true, "mkdir": true, "rm": true,
	"systemctl": true, "xdg-open": true, "gtk-launch": true, "gapplication": true, "dbus-send": true, "gdbus": true, "busctl": true,
}

// desktop looks at the files that start programs.
func (l *look) desktop() error {
	icons := l.icons()
	for _, p := range l.matching(entries...) {
		l.seen[seenDesktop]++
		b, large, err := l.content(p, desktop.MaxSize)
		if err != nil {
			return err
		}
		if large {
			l.fault(Desktop, "%s is larger than %d bytes", p, desktop.MaxSize)
			continue
		}
		e, err := desktop.Parse(b)
		if err != nil {
			l.fault(Desktop, "%s: %v", p, err)
			continue
		}
		for _, problem := range e.Problems() {
			l.fault(Desktop, "%s: %s", p, problem)
		}
		l.entry(p, e, icons)
	}
	for _, p := range l.matching(units...) {
		l.seen[seenDesktop]++
		b, large, err := l.content(p, maxUnit)
		if err != nil {
			return err
		}
		if large {
			l.fault(Desktop, "%s is larger than %d bytes", p, maxUnit)
			continue
		}
		l.unit(p, b)
	}
	return nil
}

// icons are the names of the icons that the tree brings: of themes, and those that need none (Icon Theme Specification).
func (l *look) icons() map[string]bool {
	names := map[string]bool{}
	for i := range l.tree.Entries {
		e := &l.tree.Entries[i]
		if !strings.HasPrefix(e.Path, "share/icons/") && !strings.HasPrefix(e.Path, "share/pixmaps/") {
			continue
		}
		ext := path.Ext(e.Path)
		if ext == ".png" || ext == ".svg" || ext == ".svgz" || ext == ".xpm" {
			if e.Mode.IsRegular() || e.Mode&fs.ModeSymlink != 0 && l.file(e.Path) != nil {
				names[strings.TrimSuffix(path.Base(e.Path), ext)] = true
			}
		}
	}
	return names
}

// entry judges what a desktop entry names.
func (l *look) entry(p string, e *desktop.Entry, icons map[string]bool) {
	start := func(key, value string) {
		if value == "" {
			return
		}
		words, err := desktop.Words(value)
		if err == nil {
			err = l.program(words)
		}
		if err != nil {
			l.fault(Desktop, "%s: %s=%.200q: %v", p, key, value, err)
		}
	}
	if e.Get("Type") == "Application" {
		start("Exec", e.Get("Exec"))
		if try := e.Get("TryExec"); try != "" {
			if err := l.program([]string{try}); err != nil {
				l.fault(Desktop, "%s: TryExec=%.200q: %v", p, try, err)
			}
		}
		for _, name := range e.Actions() {
			start("Exec", e.Action(name, "Exec"))
		}
	}
	icon := e.Get("Icon")
	switch below, ok := installed(icon); {
	case icon == "":
	case strings.HasPrefix(icon, "/"):
		if !ok || l.file(below) == nil {
			l.fault(Desktop, "%s: Icon=%.200q is not in the tree", p, icon)
		}
	case !icons[icon] && !icons[strings.TrimSuffix(icon, path.Ext(icon))]:
		l.fault(Desktop, "%s: Icon=%.200q: no icon of this name lies in share/icons or share/pixmaps", p, icon)
	}
}

// installed is where in the tree a path of a system lies.
func installed(p string) (string, bool) {
	p = path.Clean(p)
	for from, to := range map[string]string{"/usr/": "", "/bin/": "bin/", "/sbin/": "sbin/", "/lib/": "lib/", "/etc/": "etc/"} {
		if rest, ok := strings.CutPrefix(p, from); ok {
			return to + rest, true
		}
	}
	return "", false
}

// program finds the program of a command in the tree, behind env(1) too.
func (l *look) program(words []string) error {
	if len(words) == 0 || words[0] == "" {
		return errors.New("it starts nothing")
	}
	name := words[0]
	var places []string
	switch below, ok := installed(name); {
	case ok:
		places = []string{below}
	case strings.HasPrefix(name, "/"):
		return fmt.Errorf("%.200q lies outside of /usr, where no package puts it", name)
	case strings.Contains(name, "/"):
		return fmt.Errorf("%.200q is neither a name nor a path from the root", name)
	default:
		places = []string{"bin/" + name, "sbin/" + name, "games/" + name}
	}
	for _, p := range places {
		if e := l.file(p); e != nil {
			if mode := bits(e.Mode); mode&0o111 == 0 {
				return fmt.Errorf("%s has mode %04o, want 0755", e.Path, mode)
			}
			return nil
		}
	}
	if base := path.Base(name); !system[base] {
		return fmt.Errorf("program %.200q is not in the tree, want %s", name, places[0])
	} else if base != "env" {
		return nil
	}
	for i, word := range words[1:] {
		if !strings.HasPrefix(word, "-") && !strings.Contains(word, "=") {
			return l.program(words[1+i:])
		}
	}
	return errors.New("env starts nothing")
}
