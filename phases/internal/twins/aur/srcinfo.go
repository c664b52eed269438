package aur

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// A Parser is one of the two readers of .SRCINFO that the AUR's server has. Which one runs is a setting of the server
// that nobody outside sees.
type Parser string

// The parsers. Default is the lenient one, python-srcinfo (aurweb with alpm-parser = 0): it takes any key, the last
// value of a single field wins, an array has each value once. Strict stands for the ALPM parser (alpm-parser = 1): it
// also looks at keys and values.
const (
	Default Parser = "default"
	Strict  Parser = "strict"
)

// SRCINFO is what a parser read: the base section and one section for each package.
type SRCINFO struct {
	Base     Section
	Packages []Package
}

// Package is one pkgname section: the fields that it overrides.
type Package struct {
	Name string
	Section
}

// Section maps a key to its values; a single field has one, the last that was given. A key that is there without values
// was written with an empty one, which in a package's section empties an array of the base.
type Section map[string][]string

// A LineError is a line of a .SRCINFO that a parser refuses.
type LineError struct {
	Line    int // from 1
	Message string
}

func (e LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Message) }

// arrays are the keys that may be given many times; all but some of them also with _ARCH behind.
var arrays = map[string]bool{
	"pkgname": false, "arch": false, "groups": false, "license": false, "noextract": false, "options": false, "backup": false, "validpgpkeys": false,
	"source": true, "depends": true, "makedepends": true, "checkdepends": true, "optdepends": true,
	"provides": true, "conflicts": true, "replaces": true,
	"cksums": true, "md5sums": true, "sha1sums": true, "sha224sums": true, "sha256sums": true, "sha384sums": true, "sha512sums": true, "b2sums": true,
}

// isArray tells whether a key is an array, and splits off the architecture.
func isArray(key string) (name, arch string, ok bool) {
	if _, ok := arrays[key]; ok {
		return key, "", true
	}
	name, arch, found := strings.Cut(key, "_")
	return name, arch, found && arch != "" && arrays[name]
}

// ParseSRCINFO reads a .SRCINFO as the server does. What a parser reads in spite of errors is returned with them.
func ParseSRCINFO(text string, p Parser) (*SRCINFO, []LineError) {
	s := &SRCINFO{Base: Section{}}
	var errs []LineError
	now := s.Base
	index := map[string]int{}    // of a package
	seen := map[[2]string]bool{} // key and value, in the section
	inPackage := false
	for i, line := range splitLines(text) {
		refuse := func(format string, a ...any) { errs = append(errs, LineError{i + 1, fmt.Sprintf(format, a...)}) }
		line = strings.TrimLeftFunc(line, unicode.IsSpace)
		if line == "" || line[0] == '#' {
			continue
		}
		// The first = that has something before it.
		eq := strings.IndexByte(line[1:], '=') + 1
		if eq == 0 {
			refuse("failed to parse line: %s", quoteLine(line))
			continue
		}
		key, value := strings.TrimRight(line[:eq], " "), strings.TrimSpace(line[eq+1:])
		if p == Strict {
			checkLine(now, inPackage, key, value, refuse)
		}
		switch key {
		case "pkgbase":
			if _, twice := s.Base["pkgbase"]; twice {
				refuse("pkgbase declared more than once")
			} else if inPackage {
				refuse("pkgbase declared after pkgname")
			}
		case "pkgname":
			inPackage, now = true, Section{}
			clear(seen)
			if at, again := index[value]; again {
				s.Packages[at].Section = now // the later section replaces the earlier
			} else {
				index[value] = len(s.Packages)
				s.Packages = append(s.Packages, Package{value, now})
			}
			continue
		case "":
			continue
		}
		if _, _, array := isArray(key); !array {
			now[key] = []string{value}
			continue
		}
		if once := [2]string{key, value}; value != "" && !seen[once] {
			seen[once] = true
			now[key] = append(now[key], value)
		} else if now[key] == nil {
			now[key] = []string{}
		}
	}
	if p == Strict && len(errs) == 0 {
		errs = checkWhole(s)
	}
	return s, errs
}

// Name is the pkgbase; false where there is none.
func (s *SRCINFO) Name() (string, bool) { return s.Base.single("pkgbase") }

// Merged is a package's section over the base's.
func (s *SRCINFO) Merged(p Package) Section {
	m := Section{}
	for _, from := range []Section{s.Base, p.Section} {
		maps.Copy(m, from)
	}
	m["pkgname"] = []string{p.Name}
	return m
}

func (s Section) single(key string) (string, bool) {
	v, ok := s[key]
	if !ok || len(v) == 0 {
		return "", ok
	}
	return v[len(v)-1], true
}

// all returns an array with those of the architectures behind it, in the order of arch.
func (s Section) all(key string) []string {
	list := slices.Clone(s[key])
	for _, arch := range s["arch"] {
		list = append(list, s[key+"_"+arch]...)
	}
	return list
}

// version is [epoch:]pkgver-pkgrel as the database has it; the epoch only when above zero.
func (s Section) version() string {
	ver, _ := s.single("pkgver")
	rel, _ := s.single("pkgrel")
	epoch, _ := s.single("epoch")
	if epoch = strings.TrimLeft(epoch, "0"); epoch != "" {
		return epoch + ":" + ver + "-" + rel
	}
	return ver + "-" + rel
}

// splitLines cuts text as Python's str.splitlines does, which ends a line at more than line feeds.
func splitLines(text string) []string {
	var lines []string
	start := 0
	for i, r := range text {
		if i < start {
			continue // the line feed of a CR LF
		}
		switch r {
		case '\n', '\v', '\f', '\r', 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029:
			lines = append(lines, text[start:i])
			start = i + len(string(r))
			if r == '\r' && strings.HasPrefix(text[start:], "\n") {
				start++
			}
		}
	}
	if start < len(text) {
		lines = append(lines, text[start:])
	}
	return lines
}

// quoteLine writes a line as Python's repr does, near enough for a message.
func quoteLine(s string) string {
	q := strconv.Quote(s)
	q = strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		return `"` + q + `"`
	}
	return "'" + strings.ReplaceAll(q, "'", `\'`) + "'"
}
