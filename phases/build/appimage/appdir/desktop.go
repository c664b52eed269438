package appdir

import (
	"fmt"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/desktop"
)

// desktopEntry is the [Desktop Entry] group of a .desktop file.
type desktopEntry map[string]string

const mainGroup = desktop.Main

// parseDesktop reads a .desktop file, with the strictness of the specification.
func parseDesktop(b []byte) (desktopEntry, error) {
	e, err := desktop.Parse(b)
	if err != nil {
		return nil, err
	}
	return e.Keys(), nil
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
