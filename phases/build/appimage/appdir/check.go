package appdir

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"image/png"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
)

// Problem is something wrong with an AppDir.
type Problem struct {
	Path    string // empty when it concerns the whole
	Text    string
	Warning bool // worth telling, but the AppImage works
}

func (p Problem) String() string {
	s := p.Text
	if p.Path != "" {
		s = p.Path + ": " + s
	}
	if p.Warning {
		s = "warning: " + s
	}
	return s
}

// Rules say what Check asks for beyond what every AppImage needs.
type Rules struct {
	Machine          elf.Machine // of every program and library; EM_NONE: whatever they agree on
	RequireAppStream bool        // its absence is an error, not a warning
}

type checker struct {
	ix       index
	problems []Problem
}

func (c *checker) say(p, format string, args ...any) {
	c.problems = append(c.problems, Problem{Path: p, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) warn(p, format string, args ...any) {
	c.problems = append(c.problems, Problem{Path: p, Text: fmt.Sprintf(format, args...), Warning: true})
}

// Check finds what appimagetool refuses, and what it should. The result is in a fixed order; it is empty when all is
// well. An error means that a file could not be read.
func Check(entries []squashfs.Entry, rules Rules) ([]Problem, error) {
	c := &checker{ix: newIndex(entries)}
	c.appRun()
	desktop, name, err := c.desktop()
	if err != nil {
		return nil, err
	}
	if err := c.icons(desktop["Icon"]); err != nil {
		return nil, err
	}
	if name != "" {
		c.appStream(strings.TrimSuffix(name, ".desktop"), rules.RequireAppStream)
	}
	sorted := slices.Clone(entries)
	slices.SortFunc(sorted, func(a, b squashfs.Entry) int { return strings.Compare(a.Path, b.Path) })
	var first *squashfs.Entry // of the programs
	machine := rules.Machine
	for i := range sorted {
		e := &sorted[i]
		switch e.Mode.Type() {
		case fs.ModeSymlink:
			if _, err := c.ix.resolve(e.Path); err != nil {
				c.say(e.Path, "the link %v", err)
			}
		case 0:
			if e.Mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
				c.say(e.Path, "it is setuid or setgid, which an AppImage cannot carry")
			}
			m, err := machineOf(e)
			if err != nil {
				return nil, fmt.Errorf("cannot read %s: %w", e.Path, err)
			}
			switch {
			case m == elf.EM_NONE || m == machine:
			case machine == elf.EM_NONE:
				machine, first = m, e
			case first != nil:
				c.say(e.Path, "it is made for %v, but %s for %v", m, first.Path, machine)
			default:
				c.say(e.Path, "it is made for %v, but the AppImage for %v", m, machine)
			}
		case fs.ModeDir:
		default:
			c.say(e.Path, "a file of type %v cannot be stored", e.Mode.Type())
		}
	}
	return c.problems, nil
}

func (c *checker) appRun() {
	if c.ix["AppRun"] == nil {
		c.say("AppRun", "missing: it is what an AppImage starts")
		return
	}
	switch e, err := c.ix.resolve("AppRun"); {
	case err != nil: // told with the other links
	case !e.Mode.IsRegular() || e.Mode.Perm()&0o111 == 0:
		c.say("AppRun", "not an executable file")
	}
}

// desktop checks the one desktop entry at the root.
func (c *checker) desktop() (desktopEntry, string, error) {
	var names []string
	for p := range c.ix {
		if strings.HasSuffix(p, ".desktop") && !strings.Contains(p, "/") {
			names = append(names, p)
		}
	}
	slices.Sort(names)
	switch {
	case len(names) == 0:
		c.say("", "no desktop entry at the root of the AppDir")
		return nil, "", nil
	case len(names) > 1:
		c.say("", "more than one desktop entry at the root of the AppDir: %s", strings.Join(names, ", "))
		return nil, "", nil
	}
	name := names[0]
	e, err := c.ix.resolve(name)
	if err != nil {
		return nil, name, nil // told with the other links
	}
	b, err := read(e, 1<<20)
	if err != nil {
		return nil, "", fmt.Errorf("cannot read %s: %w", name, err)
	}
	d, err := parseDesktop(b)
	if err != nil {
		c.say(name, "%v", err)
		return nil, name, nil
	}
	for _, p := range d.check() {
		c.say(name, "%s", p)
	}
	return d, name, nil
}

var iconTypes = []string{".png", ".svg", ".xpm"}

func (c *checker) icons(name string) error {
	if name != "" && !strings.Contains(name, "/") {
		found := ""
		for _, ext := range iconTypes {
			if c.ix[name+ext] != nil {
				found = name + ext
				break
			}
		}
		if found == "" {
			c.say("", "no icon %s.png, .svg or .xpm at the root of the AppDir", name)
		} else if err := c.icon(found); err != nil {
			return err
		}
	}
	if c.ix[".DirIcon"] == nil {
		c.say(".DirIcon", "missing: file managers show it")
		return nil
	}
	return c.icon(".DirIcon")
}

// icon looks at the content of a PNG, by its name or by what it is.
func (c *checker) icon(p string) error {
	e, err := c.ix.resolve(p)
	if err != nil {
		return nil // told with the other links
	}
	b, err := read(e, 4<<20)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", p, err)
	}
	isPNG := bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n"))
	if strings.HasSuffix(e.Path, ".png") && !isPNG {
		c.say(p, "not a PNG image")
		return nil
	}
	if !isPNG {
		if len(b) == 0 {
			c.say(p, "an empty icon")
		}
		return nil
	}
	cfg, err := png.DecodeConfig(bytes.NewReader(b))
	switch {
	case err != nil:
		c.say(p, "a damaged PNG image: %v", err)
	case cfg.Width != cfg.Height:
		c.warn(p, "%d x %d pixels, not square", cfg.Width, cfg.Height)
	case cfg.Width < 48:
		c.warn(p, "only %d x %d pixels; 256 x 256 is the rule", cfg.Width, cfg.Height)
	}
	return nil
}

func (c *checker) appStream(id string, require bool) {
	want := path.Join("usr/share/metainfo", id+".appdata.xml")
	if c.ix[want] != nil {
		return
	}
	text := "missing: software centres read it"
	if other := path.Join("usr/share/metainfo", id+".metainfo.xml"); c.ix[other] != nil {
		text = "missing: AppImage tools do not see " + other
	}
	c.problems = append(c.problems, Problem{Path: want, Text: text, Warning: !require})
}

// machineOf tells what machine an ELF file is made for, EM_NONE for any other file.
func machineOf(e *squashfs.Entry) (elf.Machine, error) {
	if e.Size < 20 {
		return elf.EM_NONE, nil
	}
	b, err := read(e, 20)
	if err != nil || len(b) < 20 || !bytes.HasPrefix(b, []byte(elf.ELFMAG)) {
		return elf.EM_NONE, err
	}
	if elf.Data(b[elf.EI_DATA]) == elf.ELFDATA2MSB {
		return elf.Machine(binary.BigEndian.Uint16(b[18:])), nil
	}
	return elf.Machine(binary.LittleEndian.Uint16(b[18:])), nil
}
