package inspect

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/internal/carrier"
	"github.com/imrightguy/slipway/phases/internal/version"
)

// stamped are the files that carry a version in every tree: that of Flutter (app_name, version, build_number,
// package_name), that of the application among its assets (version, build_number, build_date, git_commit), and VERSION.
var stamped = []string{"**/flutter_assets/version.json", "**/flutter_assets/assets/version.json", "VERSION", "VERSION.txt"}

// someDate stands for the build date, which is not known here: what is found is looked at for its form.
var someDate = time.Date(2025, time.June, 29, 21, 50, 0, 0, time.UTC)

// versions compares what files say with the planned version.
func (l *look) versions() error {
	for _, pattern := range l.rules.Versions {
		if len(l.matching(pattern)) == 0 {
			l.fault(Versions, "nothing matches %q, which must carry the version", pattern)
		}
	}
	for _, p := range l.matching(slices.Concat(l.rules.Versions, stamped)...) {
		l.seen[seenVersions]++
		b, large, err := l.content(p, carrier.MaxSize)
		if err != nil {
			return err
		}
		if large {
			l.fault(Versions, "%s is larger than %d bytes, want version %s", p, carrier.MaxSize, l.tree.Version)
			continue
		}
		for _, fault := range carried(p, b, l.tree.Version) {
			l.fault(Versions, "%s", fault)
		}
	}
	return nil
}

// carried says what is wrong with a file that carries the version.
func carried(p string, b []byte, v version.Version) (faults []string) {
	if carrier.Known(p) != nil {
		if !mentions(b, v.Release()) {
			return []string{fmt.Sprintf("%s does not name version %s", p, v.Release())}
		}
		return nil
	}
	drifts, err := carrier.Check(p, b, v, carrier.Stamp{BuildDate: someDate})
	if err != nil {
		return []string{err.Error()} // which names the file
	}
	for _, d := range drifts {
		if d.What == "build date" {
			if _, err := time.Parse(time.RFC3339, d.Found); err != nil || !strings.HasSuffix(d.Found, "Z") {
				faults = append(faults, fmt.Sprintf("%s:%d: build date is %.80q, wanted a time in UTC like %s", p, d.Line, d.Found, someDate.Format(time.RFC3339)))
			}
			continue
		}
		if d.What != "build number" || !version.SameBuild(d.Found, d.Wanted) {
			faults = append(faults, d.String())
		}
	}
	return faults
}

// prerelease is what makes an earlier version of the one before it.
var prerelease = regexp.MustCompile(`^-(?:alpha|beta|dev|pre|rc)`)

// mentions reports whether a text names a version as a word of its own: 1.2.3 is not named by 11.2.3 or 1.2.3.4.
func mentions(b []byte, v string) bool {
	text := string(b)
	for from := 0; ; {
		i := strings.Index(text[from:], v)
		if i < 0 {
			return false
		}
		i += from
		end := i + len(v)
		before := i == 0 || !wordly(text[i-1]) && (text[i-1] != '.' || i == 1 || !digit(text[i-2]))
		after := end == len(text) || !wordly(text[end]) && (text[end] != '.' || end+1 == len(text) || !digit(text[end+1])) && !prerelease.MatchString(text[end:])
		if (before || i > 0 && text[i-1] == 'v') && after {
			return true
		}
		from = i + 1
	}
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func wordly(c byte) bool { return digit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
