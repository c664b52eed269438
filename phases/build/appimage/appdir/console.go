package appdir

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
)

// Console describes a program for terminals, from which a desktop entry can be made.
type Console struct {
	Name       string   // what menus would show, and the icon's name
	Comment    string   // one line; "" for none
	Program    string   // file name of the program
	Categories []string // of the Desktop Menu Specification; nil: Utility
}

// Entry makes the desktop entry that every AppImage has to have: Terminal says that the program wants one, NoDisplay
// keeps it out of menus, where it would open a window that closes at once, and ConsoleOnly is the menu specification's
// category for such programs.
func (c Console) Entry() ([]byte, error) {
	categories := c.Categories
	if len(categories) == 0 {
		categories = []string{"Utility"}
	}
	for _, name := range categories {
		if !categoryName(name) {
			return nil, fmt.Errorf("category %q: want letters and digits, as in Utility", name)
		}
	}
	if !slices.Contains(categories, "ConsoleOnly") {
		categories = append(slices.Clone(categories), "ConsoleOnly")
	}
	for _, s := range []string{c.Name, c.Comment, c.Program} {
		if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
			return nil, fmt.Errorf("%q cannot stand in a desktop entry", s)
		}
	}
	if c.Name == "" || !plainName.MatchString(c.Program) {
		return nil, fmt.Errorf("program %q, named %q: want a file name of letters, digits and . _ + - for a desktop entry", c.Program, c.Name)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[%s]\nType=Application\nName=%s\n", mainGroup, escape(c.Name))
	if c.Comment != "" {
		fmt.Fprintf(&b, "Comment=%s\n", escape(c.Comment))
	}
	fmt.Fprintf(&b, "Exec=%s\nIcon=%s\nTerminal=true\nNoDisplay=true\nCategories=%s;\n", c.Program, escape(c.Name), strings.Join(categories, ";"))
	return []byte(b.String()), nil
}

// escape writes a text as the Desktop Entry Specification's value of type string.
func escape(s string) string {
	s = strings.ReplaceAll(s, `\`, `\\`)
	if strings.HasPrefix(s, " ") {
		s = `\s` + s[1:]
	}
	return s
}

func categoryName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}

// DesktopEntries lists the desktop entries of a bundle, sorted.
func DesktopEntries(bundle []squashfs.Entry) []string {
	var list []string
	for _, e := range bundle {
		if ok, err := path.Match("share/applications/*.desktop", e.Path); ok && err == nil && !e.Mode.IsDir() {
			list = append(list, e.Path)
		}
	}
	slices.Sort(list)
	return list
}

// Content returns what is in a file of a bundle; links are followed inside of it.
func Content(bundle []squashfs.Entry, p string) ([]byte, error) {
	e, err := newIndex(bundle).resolve(p)
	if err != nil {
		return nil, fmt.Errorf("the bundle has no %s: it %w", p, err)
	}
	if !e.Mode.IsRegular() {
		return nil, fmt.Errorf("%s is not a file", p)
	}
	const limit = 16 << 20
	if e.Size > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", p, limit)
	}
	return read(e, limit)
}

// Program returns the path in the bundle of what a desktop entry starts: bin/NAME for a bare name, and for a path below
// /usr what stands behind that.
func Program(desktop []byte) (string, error) {
	d, err := parseDesktop(desktop)
	if err != nil {
		return "", err
	}
	exec := d["Exec"]
	word, _, _ := strings.Cut(exec, " ")
	if rest, ok := strings.CutPrefix(exec, `"`); ok {
		word, _, _ = strings.Cut(rest, `"`)
	}
	if word == "" {
		return "", errors.New("it has no Exec")
	}
	switch rest, below := strings.CutPrefix(word, "/usr/"); {
	case below:
		word = rest
	case !strings.Contains(word, "/"):
		word = "bin/" + word
	default:
		return "", fmt.Errorf("its Exec starts %q, which is neither a name nor a path below /usr", word)
	}
	return path.Clean(word), nil
}

// PlainIcon draws an icon of 256 x 256 pixels for a program that has none: the prompt of a terminal.
func PlainIcon() ([]byte, error) {
	const size, radius = 256, 40
	img := image.NewPaletted(image.Rect(0, 0, size, size), color.Palette{
		color.NRGBA{}, color.NRGBA{0x26, 0x32, 0x38, 0xff}, color.NRGBA{0xec, 0xef, 0xf1, 0xff},
	})
	// near tells whether a point lies within d of the line from (ax, ay) to (bx, by), in whole numbers: floating-point
	// arithmetic differs between processors.
	near := func(x, y, ax, ay, bx, by, d int) bool {
		vx, vy, wx, wy := bx-ax, by-ay, x-ax, y-ay
		dot, length := vx*wx+vy*wy, vx*vx+vy*vy
		switch {
		case dot <= 0:
			return wx*wx+wy*wy <= d*d
		case dot >= length:
			return (x-bx)*(x-bx)+(y-by)*(y-by) <= d*d
		}
		cross := vx*wy - vy*wx
		return cross*cross <= d*d*length
	}
	for y := range size {
		for x := range size {
			cx, cy := min(max(x, radius), size-1-radius), min(max(y, radius), size-1-radius)
			if (x-cx)*(x-cx)+(y-cy)*(y-cy) > radius*radius {
				continue
			}
			c := uint8(1)
			if near(x, y, 60, 76, 112, 128, 11) || near(x, y, 112, 128, 60, 180, 11) || near(x, y, 132, 180, 196, 180, 11) {
				c = 2
			}
			img.SetColorIndex(x, y, c)
		}
	}
	var b bytes.Buffer
	err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, img)
	return b.Bytes(), err
}
