package pkgbuild

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/version"
)

// prereleaseRE is what keeps its order without the dot: one word and perhaps a number.
// 1.0.0-rc.1.2 would become 1.0.0rc12, newer than 1.0.0rc2.
var prereleaseRE = regexp.MustCompile(`^[a-zA-Z]+(\.?(0|[1-9][0-9]*))?$`)

// PkgVer maps a project's version X.Y.Z[-pre][+build], see package version, to a pkgver:
// 3.2.1+1 becomes 3.2.1, or stays 3.2.1+1 with keepBuild; 3.2.1-rc.1 becomes 3.2.1rc1,
// which pacman sorts below 3.2.1. Any separator before rc would make it the newer of the
// two. Prereleases that would not keep their order are refused. The choice of keepBuild
// must not change between releases without a look at [Vercmp].
func PkgVer(text string, keepBuild bool) (string, error) {
	v, err := version.Parse(text)
	if err != nil {
		return "", err
	}
	if v.Pre != "" && !prereleaseRE.MatchString(v.Pre) {
		return "", fmt.Errorf("cannot make a pkgver of %q: want a prerelease of one word and a number like -rc.1, found %q", text, v.Pre)
	}
	pkgver := v.Pkgver()
	if keepBuild && v.Build != "" {
		pkgver += "+" + v.Build
	}
	return pkgver, nil
}

// Vercmp compares two versions [epoch:]pkgver[-pkgrel] as the program vercmp(8) of pacman
// 6.0.2 does and answers -1, 0 or +1. Where one of the two has no pkgrel, pkgrel does not count.
func Vercmp(a, b string) int {
	epochA, verA, relA := splitVersion(a)
	epochB, verB, relB := splitVersion(b)
	if c := compareSegments(epochA, epochB); c != 0 {
		return c
	}
	if c := compareSegments(verA, verB); c != 0 {
		return c
	}
	if relA == "" || relB == "" {
		return 0
	}
	// The hyphen makes an empty pkgrel differ from none.
	return compareSegments(relA[1:], relB[1:])
}

// splitVersion cuts off the epoch, digits before the first colon, and the pkgrel, which
// comes with its hyphen.
func splitVersion(v string) (epoch, pkgver, pkgrel string) {
	epoch = "0"
	if n := len(v) - len(strings.TrimLeft(v, digits)); n < len(v) && v[n] == ':' {
		if n > 0 {
			epoch = v[:n]
		}
		v = v[n+1:]
	}
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		return epoch, v[:i], v[i:]
	}
	return epoch, v, ""
}

// A segment is a run of digits or of letters, with the separators before it.
type segment struct {
	separators int
	text       string // empty: nothing but separators were left
}

func (s segment) numeric() bool { return s.text[0] <= '9' }

// nextSegment takes the next segment off v.
func nextSegment(v string) (s segment, rest string) {
	rest = strings.TrimLeftFunc(v, func(r rune) bool { return r > '~' || !strings.ContainsRune(alnum, r) })
	s.separators = len(v) - len(rest)
	class := strings.TrimRight(alnum, digits) // letters
	if rest != "" && rest[0] <= '9' {
		class = digits
	}
	tail := strings.TrimLeft(rest, class)
	s.text = rest[:len(rest)-len(tail)]
	return s, tail
}

// compareSegments compares two versions without epoch and pkgrel, segment by segment.
func compareSegments(a, b string) int {
	if a == b {
		return 0
	}
	for a != "" && b != "" {
		var sa, sb segment
		sa, a = nextSegment(a)
		sb, b = nextSegment(b)
		if sa.text == "" || sb.text == "" {
			return compareEnds(sa.text, sb.text)
		}
		if sa.separators != sb.separators {
			return cmp.Compare(sa.separators, sb.separators)
		}
		if sa.numeric() != sb.numeric() {
			if sa.numeric() {
				return 1
			}
			return -1
		}
		if c := compareText(sa, sb); c != 0 {
			return c
		}
	}
	return compareEnds(a, b)
}

// compareText compares two segments of one kind: numbers of any size, or words byte by byte.
func compareText(a, b segment) int {
	if !a.numeric() {
		return strings.Compare(a.text, b.text)
	}
	x, y := strings.TrimLeft(a.text, "0"), strings.TrimLeft(b.text, "0")
	if c := cmp.Compare(len(x), len(y)); c != 0 {
		return c
	}
	return strings.Compare(x, y)
}

// compareEnds decides where at least one version has come to its end: more is newer, but
// a letter next makes it older, so that 1.0rc1 is older than 1.0.
func compareEnds(a, b string) int {
	letter := func(s string) bool { return s != "" && strings.IndexByte(alnum, s[0]) >= 0 && s[0] > '9' }
	switch {
	case a == "" && b == "":
		return 0
	case letter(a) || a == "" && !letter(b):
		return -1
	}
	return 1
}
