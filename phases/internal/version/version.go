// Package version is the one grammar of a release's version, and the forms in which other systems write it.
//
// A version is X.Y.Z[-PRE][+BUILD], a subset of Semantic Versioning 2.0.0 that survives the way into file names, git
// tags, Debian and pacman versions without being changed:
//
//   - X, Y and Z are decimal digits without leading zeros;
//   - PRE is dot-separated identifiers of ASCII letters and digits and begins with a letter (a hyphen would end the
//     upstream part of a Debian version, and "3.2.1-1" is how packages write a revision, not a prerelease);
//   - BUILD is one or more digits. It is kept as written and compared as digits: 008 is the number 8, not an octal one.
//
// Everything else is refused, with what is wrong and where: placeholders that nobody replaced, a "v" in front, spaces.
package version

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Version is a version in its parts. The zero value is no version; others come from [Parse].
type Version struct {
	Core  string // "3.2.1"
	Pre   string // "rc.1"; empty for none
	Build string // "1", "001", "202506291750": digits as written; empty for none
}

// longest bounds what Parse reads; the longest file name that a release makes of it must fit into 255 bytes.
const longest = 100

var (
	number     = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)
	identifier = regexp.MustCompile(`^[0-9A-Za-z]+$`)
	digits     = regexp.MustCompile(`^[0-9]+$`)
)

// Parse reads X.Y.Z[-PRE][+BUILD]. The error quotes the text, says what is wrong with it and what is wanted.
func Parse(s string) (Version, error) {
	v, err := parse(s)
	if err != nil {
		if len(s) > longest {
			s = s[:longest] + "..."
		}
		return Version{}, fmt.Errorf("%q is not a version: %w", s, err)
	}
	return v, nil
}

func parse(s string) (v Version, err error) {
	switch {
	case s == "":
		return v, errors.New("it is empty; want X.Y.Z or X.Y.Z+BUILD")
	case len(s) > longest:
		return v, fmt.Errorf("it is longer than %d bytes", longest)
	case strings.TrimSpace(s) != s:
		return v, errors.New("it begins or ends with white space")
	case s[0] == 'v' || s[0] == 'V':
		return v, errors.New("leave out the leading v, which belongs to tags only")
	}
	core, build, hasBuild := strings.Cut(s, "+")
	core, pre, hasPre := strings.Cut(core, "-")
	parts := strings.Split(core, ".")
	if len(parts) != 3 {
		return v, fmt.Errorf("%q has %d numbers; want three, X.Y.Z", core, len(parts))
	}
	for _, p := range parts {
		if !number.MatchString(p) {
			if digits.MatchString(p) {
				return v, fmt.Errorf("the number %q has a leading zero", p)
			}
			return v, fmt.Errorf("%q is not a number", p)
		}
	}
	if hasPre {
		for id := range strings.SplitSeq(pre, ".") {
			switch {
			case id == "":
				return v, errors.New("the prerelease after the hyphen has an empty part")
			case !identifier.MatchString(id):
				return v, fmt.Errorf("the prerelease part %q holds something other than letters and digits; want for example -rc.1", id)
			case digits.MatchString(id) && !number.MatchString(id):
				return v, fmt.Errorf("the prerelease number %q has a leading zero", id)
			}
		}
		if pre[0] <= '9' {
			return v, fmt.Errorf("the prerelease %q begins with a digit, like a package's revision; want for example -rc.1", pre)
		}
	}
	if hasBuild && !digits.MatchString(build) {
		if strings.Contains(strings.ToUpper(build), "PLACEHOLDER") || strings.ContainsAny(build, "{}$@%") {
			return v, fmt.Errorf("the build number %q is a placeholder that was never replaced", build)
		}
		return v, fmt.Errorf("the build number %q is not a number; want digits, for example +1", build)
	}
	return Version{core, pre, build}, nil
}

// String returns the whole version, as Parse reads it.
func (v Version) String() string {
	if v.Build == "" {
		return v.Release()
	}
	return v.Release() + "+" + v.Build
}

// Release returns the version without its build number: the one in names of files, folders, branches and tags.
func (v Version) Release() string {
	if v.Pre == "" {
		return v.Core
	}
	return v.Core + "-" + v.Pre
}

// Prerelease reports whether the version stands before the release of its numbers.
func (v Version) Prerelease() bool { return v.Pre != "" }

// Deb returns the upstream part of a Debian version, without revision and build number: 3.2.1-rc.1 becomes
// 3.2.1~rc.1, since a tilde sorts before the end (deb-version(7)).
func (v Version) Deb() string {
	if v.Pre == "" {
		return v.Core
	}
	return v.Core + "~" + v.Pre
}

// Pkgver returns the pkgver of a PKGBUILD, without build number: 3.2.1-rc.1 becomes 3.2.1rc1. Pacman's vercmp(8) sorts
// letters joined to the last number before the end, and what a dot or an underscore sets apart after it.
func (v Version) Pkgver() string { return v.Core + strings.ReplaceAll(v.Pre, ".", "") }

// Compare returns -1, 0 or 1 as v is older than, as old as, or newer than w: by the numbers, then by the rules of
// Semantic Versioning for prereleases (none is newest; numbers before words), then by the build number as digits, of
// which none is oldest. Builds 1 and 001 are equal.
func (v Version) Compare(w Version) int {
	a, b := strings.Split(v.Core, "."), strings.Split(w.Core, ".")
	for i := range min(len(a), len(b)) {
		if c := compareDigits(a[i], b[i]); c != 0 {
			return c
		}
	}
	if c := comparePre(v.Pre, w.Pre); c != 0 {
		return c
	}
	if (v.Build == "") != (w.Build == "") {
		return cmp.Compare(len(v.Build), len(w.Build))
	}
	return compareDigits(v.Build, w.Build)
}

func comparePre(v, w string) int {
	if v == "" || w == "" {
		return cmp.Compare(len(w), len(v)) // the one without is newer
	}
	a, b := strings.Split(v, "."), strings.Split(w, ".")
	for i := range min(len(a), len(b)) {
		an, bn := digits.MatchString(a[i]), digits.MatchString(b[i])
		c := strings.Compare(a[i], b[i])
		if an && bn {
			c = compareDigits(a[i], b[i])
		} else if an != bn {
			c = 1
			if an {
				c = -1
			}
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// compareDigits compares decimal numbers of any length, leading zeros or not.
func compareDigits(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// SameBuild reports whether two build numbers are the same number, however many zeros stand in front.
func SameBuild(a, b string) bool {
	return digits.MatchString(a) && digits.MatchString(b) && compareDigits(a, b) == 0 || a == b
}
