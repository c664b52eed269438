package pkgbuild

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// ErrPublished is matched, with errors.Is, by the error of [Newer] where the published .SRCINFO says all that the
// candidate's does. Where the other files are equal too there is nothing to publish.
var ErrPublished = errors.New("it is published already")

// A Setting is a key of the package in release.yaml and the value that it has to have.
type Setting struct{ Key, Value string }

func (s Setting) String() string { return s.Key + ": " + s.Value }

// NotNewerError says that pacman would not take a candidate for an upgrade of what is published.
type NotNewerError struct {
	Candidate string // [epoch:]pkgver-pkgrel
	Published string
	Why       string
	// Set is what makes it one: in release.yaml, all of it.
	Set []Setting
	// Same says that the two files do not differ.
	Same bool
}

func (e *NotNewerError) Error() string {
	set := make([]string, len(e.Set))
	for i, s := range e.Set {
		set[i] = s.String()
	}
	return fmt.Sprintf("%s is not newer for pacman than the published %s: %s: set %s", e.Candidate, e.Published, e.Why, strings.Join(set, " and "))
}

// Is makes the error match [ErrPublished] where nothing differs.
func (e *NotNewerError) Is(target error) bool { return target == ErrPublished && e.Same }

// Newer makes sure that pacman takes the candidate for an upgrade of what is published, and that an epoch is never lost.
// Without anything published every candidate is newer. Otherwise the error is a [*NotNewerError], which names the values
// to set in release.yaml:
//
//   - the same version with other content: the next pkgrel;
//   - a published epoch that the candidate does not have: that epoch, for without it no version of the candidate would
//     ever be newer;
//   - a pkgver that was published with its build number: keep_build;
//   - an older pkgver: a higher version, or the next epoch, which outranks every version and must then stay for ever.
func Newer(candidate, published *SRCINFO) error {
	if published == nil {
		return nil
	}
	if candidate.PkgBase != published.PkgBase {
		return fmt.Errorf("cannot compare the versions of %q and %q, which are not one package", candidate.PkgBase, published.PkgBase)
	}
	c, p := versionOf(candidate), versionOf(published)
	if Vercmp(c.String(), p.String()) > 0 {
		return nil
	}
	e := &NotNewerError{Candidate: c.String(), Published: p.String()}
	diff := published.Diff(candidate)
	if e.Same = len(diff) == 0; e.Same {
		e.Why = "it is the same, and only other files can differ"
		e.Set = c.settings(release{c.epoch, c.pkgver, NextPkgRel(p.pkgrel)})
		return e
	}
	want := c
	var why []string
	if Vercmp(epochOnly(c), epochOnly(p)) < 0 {
		want.epoch = p.epoch
		why = append(why, fmt.Sprintf("the published package has epoch %s, which can never be dropped again", p.epoch))
	}
	switch order := Vercmp(want.pkgver, p.pkgver); {
	case Vercmp(want.String(), p.String()) > 0: // with the epoch it is newer
	case order == 0 && c.String() == p.String():
		why = append(why, fmt.Sprintf("the same version is published with other content (%s)", fields(diff)))
		want.pkgrel = NextPkgRel(p.pkgrel)
	case order == 0:
		why = append(why, "it is an earlier release of the packaging, and one below the published may not come after it")
		if Vercmp(c.pkgrel, p.pkgrel) == 0 {
			why[len(why)-1] = "the two compare as equal"
		}
		want.pkgrel = NextPkgRel(p.pkgrel)
	default:
		older := fmt.Sprintf("pkgver %s is older than %s", want.pkgver, p.pkgver)
		if built := builtRE.FindStringSubmatch(p.pkgver); built != nil && built[1] == want.pkgver {
			e.Why = strings.Join(append(why, older+", which was published with its build number kept, and counts the builds on from there"), ", and ")
			e.Set = append(c.settings(want), Setting{"keep_build", "true"})
			return e
		}
		want.epoch = increment(p.epoch)
		why = append(why, older+", so users would stay where they are; release a version above it, which costs nothing; "+
			"or raise the epoch, which outranks every version, shows in each version from now on and must then stay for ever")
	}
	e.Why, e.Set = strings.Join(why, ", and "), c.settings(want)
	return e
}

// builtRE is a pkgver with a build number at its end.
var builtRE = regexp.MustCompile(`^(.*)\+[0-9]+$`)

// A release is a full version in its parts.
type release struct{ epoch, pkgver, pkgrel string }

func versionOf(s *SRCINFO) release {
	epoch := s.Base.First("epoch")
	if epoch == "" {
		epoch = "0"
	}
	return release{epoch, s.Base.First("pkgver"), s.Base.First("pkgrel")}
}

func (r release) String() string {
	if r.epoch == "0" {
		return fullVersion("", r.pkgver, r.pkgrel)
	}
	return fullVersion(r.epoch, r.pkgver, r.pkgrel)
}

// epochOnly is a version that differs from others by its epoch.
func epochOnly(r release) string { return r.epoch + ":0" }

// settings lists in what the wanted version differs from r.
func (r release) settings(want release) []Setting {
	var set []Setting
	if want.epoch != r.epoch {
		set = append(set, Setting{"epoch", want.epoch})
	}
	if want.pkgrel != r.pkgrel {
		set = append(set, Setting{"pkgrel", want.pkgrel})
	}
	return set
}

// NextPkgRel is the whole number above a pkgrel like 1 or 1.1.
func NextPkgRel(v string) string {
	whole, _, _ := strings.Cut(v, ".")
	return increment(whole)
}

// increment adds one to a decimal number of any length.
func increment(v string) string {
	b := []byte(v)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] <= '9' {
			return string(b)
		}
		b[i] = '0'
	}
	return "1" + string(b)
}

// fields names what differs, the first few.
func fields(ds []Difference) string {
	var names []string
	for i, d := range ds {
		if i == 3 {
			names = append(names, strconv.Itoa(len(ds)-i)+" more")
			break
		}
		name := d.Field
		if name == "" {
			name = d.Section
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// Really is the pkgver under which a good payload is published again after a bad one: 3.2.1+really3.2.0. It is newer than
// the bad one and older than every version that can come after it, with a build number kept (3.2.1+1+really3.2.0+1 comes
// before 3.2.1+2) and without. Both are pkgvers as [PkgVer] makes them, or as this function did.
//
// The error names what keeps such a version from existing: a good one that is not older than the bad one, and a bad one
// that ends with a letter (3.2.1rc, after which 3.2.1rc1 would come too late).
func Really(bad, good string) (pkgver string, err error) {
	for _, v := range []string{bad, good} {
		if msg := pkgverProblem(v); msg != "" {
			return "", fmt.Errorf("cannot go back from %q to %q: %s, found %q", bad, good, msg, v)
		}
	}
	switch {
	case Vercmp(good, bad) >= 0:
		return "", fmt.Errorf("cannot go back from %q to %q, which is not older", bad, good)
	case strings.IndexByte(digits, bad[len(bad)-1]) < 0:
		return "", fmt.Errorf("cannot go back from %q: want a version that ends with a digit, or what comes next would be older", bad)
	}
	return bad + "+really" + good, nil
}
