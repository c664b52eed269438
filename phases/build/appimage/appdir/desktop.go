package appdir

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// desktopEntry is the [Desktop Entry] group of a .desktop file.
type desktopEntry map[string]string

const mainGroup = "Desktop Entry"

// parseDesktop reads a .desktop file, with the strictness of the specification: the main group first, each key once.
func parseDesktop(b []byte) (desktopEntry, error) {
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("it is not UTF-8")
	}
	groups := map[string]bool{}
	group := ""
	entry := desktopEntry{}
	seen := map[string]bool{}
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.TrimSpace(line) == "" || line[0] == '#':
			continue
		case line[0] == '[':
			name, ok := strings.CutSuffix(line[1:], "]")
			if !ok || name == "" || strings.ContainsAny(name, "[]") {
				return nil, fmt.Errorf("line %d: %q is no group header", n, line)
			}
			if len(groups) == 0 && name != mainGroup {
				return nil, fmt.Errorf("line %d: the first group is not [%s]", n, mainGroup)
			}
			if groups[name] {
				return nil, fmt.Errorf("line %d: a second group [%s]", n, name)
			}
			groups[name], group = true, name
			clear(seen)
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		k, v = strings.TrimSpace(k), strings.TrimSpace(v)
		if !ok || k == "" || group == "" {
			return nil, fmt.Errorf("line %d: %q is no key=value of a group", n, line)
		}
		if seen[k] {
			return nil, fmt.Errorf("line %d: a second %s", n, k)
		}
		seen[k] = true
		if group == mainGroup {
			entry[k] = v
		}
	}
	if !groups[mainGroup] {
		return nil, fmt.Errorf("it has no group [%s]", mainGroup)
	}
	return entry, nil
}

// check finds what appimagetool and desktop-file-validate would refuse.
func (d desktopEntry) check() (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, k := range []string{"Type", "Name", "Exec", "Icon", "Categories"} {
		if d[k] == "" {
			say("it has no %s", k)
		}
	}
	if t := d["Type"]; t != "" && t != "Application" {
		say("its Type is %s, not Application", t)
	}
	if c := d["Categories"]; c != "" && !strings.HasSuffix(c, ";") {
		say("its Categories %q do not end with a semicolon", c)
	}
	if i := d["Icon"]; strings.Contains(i, "/") {
		say("its Icon %q is a path, not a name", i)
	} else if ext := i[max(strings.LastIndexByte(i, '.'), 0):]; ext == ".png" || ext == ".svg" || ext == ".xpm" {
		say("its Icon %q has an extension, which a name has not", i)
	}
	return problems
}

// setVersion puts X-AppImage-Version into the main group, in place of one that is there.
func setVersion(b []byte, version string) []byte {
	const key = "X-AppImage-Version"
	var out strings.Builder
	group := ""
	done := version == ""
	put := func() {
		if !done {
			fmt.Fprintf(&out, "%s=%s\n", key, version)
			done = true
		}
	}
	blank := "" // held back, so that the key comes before the empty lines at a group's end
	for line := range strings.Lines(string(b)) {
		text := strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(text, "[") {
			if group == mainGroup {
				put()
			}
			group = strings.Trim(text, "[]")
		}
		if k, _, ok := strings.Cut(text, "="); ok && group == mainGroup && strings.TrimSpace(k) == key && version != "" {
			continue
		}
		if strings.TrimSpace(text) == "" {
			blank += "\n"
			continue
		}
		out.WriteString(blank + text + "\n")
		blank = ""
	}
	if group == mainGroup {
		put()
	}
	return []byte(out.String())
}
