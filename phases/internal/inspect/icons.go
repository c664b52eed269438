package inspect

import (
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// pngHead is the length of a PNG's signature and first chunk, in bytes.
const pngHead = 8 + 8 + 13 + 4

// maxPixels is the longest side of a picture that a desktop program has use for.
const maxPixels = 1 << 14

// depths are the bit depths that go with each colour type (PNG specification, third edition, 11.2.1).
var depths = map[byte][]byte{0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}

// pngSize reads width and height from the start of a PNG, and says what is wrong with it.
func pngSize(b []byte) (width, height uint32, err error) {
	if !strings.HasPrefix(string(b[:min(len(b), 8)]), "\x89PNG\r\n\x1a\n") {
		return 0, 0, fmt.Errorf("it is no PNG, it begins with %.20q", b[:min(len(b), 20)])
	}
	if len(b) < pngHead || binary.BigEndian.Uint32(b[8:]) != 13 || string(b[12:16]) != "IHDR" {
		return 0, 0, errors.New("it is a damaged PNG, its first chunk is no IHDR")
	}
	if crc32.ChecksumIEEE(b[12:29]) != binary.BigEndian.Uint32(b[29:]) {
		return 0, 0, errors.New("it is a damaged PNG, the checksum of its IHDR is wrong")
	}
	width, height = binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])
	if !slices.Contains(depths[b[25]], b[24]) || b[26] != 0 || b[27] != 0 || b[28] > 1 {
		return 0, 0, errors.New("it is a damaged PNG, its IHDR says what cannot be")
	}
	if width == 0 || height == 0 || width > maxPixels || height > maxPixels {
		return 0, 0, fmt.Errorf("it has %d x %d pixels, want 1 to %d", width, height, maxPixels)
	}
	return width, height, nil
}

// themed is the folder of an icon theme (Icon Theme Specification): WIDTHxHEIGHT, and a scale for dense screens.
var themed = regexp.MustCompile(`(?:^|/)share/icons/hicolor/([1-9][0-9]{0,3})x([1-9][0-9]{0,3})(?:@([1-9]))?/`)

// png judges the start of a file that is called .png.
func (l *look) png(p string, head []byte) {
	l.seen[seenIcons]++
	width, height, err := pngSize(head)
	if err != nil {
		l.fault(Icons, "%s: %v", p, err)
		return
	}
	m := themed.FindStringSubmatch(p)
	if m == nil {
		return
	}
	var n [3]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // digits, or none: 0
	}
	scale := max(n[2], 1)
	if int(width) != n[0]*scale || int(height) != n[1]*scale {
		l.fault(Icons, "%s has %d x %d pixels, want the %d x %d that its folder says", p, width, height, n[0]*scale, n[1]*scale)
	}
}

// svg judges the pictures that are called .svg.
func (l *look) svg() error {
	for i := range l.tree.Entries {
		e := &l.tree.Entries[i]
		if !e.Mode.IsRegular() || !strings.HasSuffix(strings.ToLower(e.Path), ".svg") || l.ignored(e.Path) {
			continue
		}
		l.seen[seenIcons]++
		f, err := l.tree.Open(*e)
		if err != nil {
			return fmt.Errorf("cannot open %s: %w", e.Path, err)
		}
		src := &source{r: f}
		fault := svgRoot(src)
		if err := errors.Join(src.err, f.Close()); err != nil {
			return fmt.Errorf("cannot read %s: %w", e.Path, err)
		}
		if fault != nil {
			l.fault(Icons, "%s: it is no SVG: %v", e.Path, fault)
		}
	}
	return nil
}

// source remembers an error from below, so that it is not taken for a fault of the file.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// svgRoot looks for the root element in the first bytes. Entities that a document defines itself are taken as they
// stand.
func svgRoot(r io.Reader) error {
	d := xml.NewDecoder(io.LimitReader(r, 64<<10))
	d.Strict = false
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return errors.New("it has no root element")
		}
		if err != nil {
			return fmt.Errorf("%.200q", err.Error())
		}
		switch t := token.(type) {
		case xml.StartElement:
			if t.Name.Local != "svg" {
				return fmt.Errorf("its root element is %.40q", t.Name.Local)
			}
			return nil
		case xml.CharData:
			if strings.Trim(string(t), " \t\r\n\ufeff") != "" {
				return fmt.Errorf("it begins with %.20q", t)
			}
		}
	}
}
