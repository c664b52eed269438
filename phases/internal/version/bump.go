package version

import (
	"fmt"
	"strings"
)

// stamp is the length of a build number that is a point in time, YYYYMMDDHHMM.
const stamp = len("202506291750")

// Bump returns the next version: "major", "minor", "patch" or "build", or a version that is newer than v.
//
// Of 3.2.1, minor is 3.3.0. A prerelease is finished rather than stepped over: patch of 3.2.1-rc.1 is 3.2.1. "build"
// counts the build number on and keeps its width: 008 becomes 009, 999 becomes 1000, none becomes 1.
//
// Where v has a build number the next version has one too. It begins anew at 1, as wide as before (3.2.1+007 becomes
// 3.2.2+001), unless it is a time stamp of twelve digits or more: that counts on, since a lower one would look older.
// A version written out in what with a build number keeps that one.
func (v Version) Bump(what string) (Version, error) {
	part := strings.Split(v.Core, ".")
	if len(part) != 3 {
		return Version{}, fmt.Errorf("cannot bump %q, which is not a version", v.Core)
	}
	next := Version{Build: v.nextBuild()}
	switch what {
	case "build":
		next = Version{v.Core, v.Pre, "1"}
		if v.Build != "" {
			next.Build = increment(v.Build)
		}
		return next, nil
	case "patch":
		if v.Pre == "" {
			part[2] = increment(part[2])
		}
	case "minor":
		if v.Pre == "" || part[2] != "0" {
			part[1], part[2] = increment(part[1]), "0"
		}
	case "major":
		if v.Pre == "" || part[1] != "0" || part[2] != "0" {
			part[0], part[1], part[2] = increment(part[0]), "0", "0"
		}
	default:
		w, err := Parse(what)
		if err != nil {
			return Version{}, fmt.Errorf("cannot bump to %q: want major, minor, patch, build or a version: %w", what, err)
		}
		if w.Build == "" {
			w.Build = next.Build
		}
		if w.Compare(v) <= 0 {
			return Version{}, fmt.Errorf("cannot bump to %s: it is not newer than %s", w, v)
		}
		return w, nil
	}
	next.Core = strings.Join(part, ".")
	return next, nil
}

// nextBuild is the build number of the next release.
func (v Version) nextBuild() string {
	switch {
	case v.Build == "":
		return ""
	case len(v.Build) >= stamp:
		return increment(v.Build)
	}
	return strings.Repeat("0", len(v.Build)-1) + "1"
}

// increment adds one to a decimal number of any length and keeps its width where the sum fits.
func increment(n string) string {
	b := []byte(n)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] <= '9' {
			return string(b)
		}
		b[i] = '0'
	}
	return "1" + string(b)
}
