// Package channel decides which channels a version goes to.
//
// A prerelease, and a version older than the newest one that is released, would reach people who did not ask for it:
// whoever follows "latest", and every user of the AUR, where there is one version at a time. Both are left out unless
// release.yaml asks for them; what is left out is not planned. The decision follows from release.yaml, the version and
// the repository's tags alone, without the tag of the version itself, so that it is the same before and after the
// release was tagged.
package channel

import (
	"fmt"

	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/phases/internal/version"
)

// Config says where versions go that are not simply the newest.
type Config struct {
	// Prerelease is for versions like 3.2.1-rc.1.
	Prerelease Rule `yaml:"prerelease,omitempty"`
	// OlderThanLatest is for versions older than the newest version tag that is no prerelease.
	OlderThanLatest Rule `yaml:"older_than_latest,omitempty"`
}

// Rule says which channels such a version goes to all the same.
type Rule struct {
	// AUR publishes it in the Arch User Repository, where it replaces what is there.
	AUR bool `yaml:"aur,omitempty"`
	// Latest makes it the release that people get who ask for the latest one. A prerelease is an ordinary release on
	// GitHub then, where no prerelease can be the latest.
	Latest bool `yaml:"latest,omitempty"`
}

// Decision says where a version goes.
type Decision struct {
	AUR        bool     // to the Arch User Repository
	Latest     bool     // it becomes the latest release
	Prerelease bool     // it is marked as a prerelease; never together with Latest
	Why        []string // a sentence for each rule that applied
}

// Decide decides for a version, X.Y.Z[-PRE][+BUILD]. The tags are those of the local repository; that of the version
// itself does not count.
func Decide(c Config, planned string, tags []repo.VersionTag) (Decision, error) {
	v, err := version.Parse(planned)
	if err != nil {
		return Decision{}, fmt.Errorf("cannot decide on channels: %w", err)
	}
	d := Decision{AUR: true, Latest: true}
	if v.Prerelease() {
		d.apply(c.Prerelease, v.Release()+" is a prerelease")
	}
	var newest repo.VersionTag
	for _, t := range tags {
		if t.Version.Release() == v.Release() || t.Version.Prerelease() {
			continue
		}
		if c := t.Version.Compare(newest.Version); newest.Name == "" || c > 0 || c == 0 && t.Name < newest.Name {
			newest = t
		}
	}
	if newest.Name != "" && v.Compare(newest.Version) < 0 {
		d.apply(c.OlderThanLatest, fmt.Sprintf("%s is older than %s (tag %s)", v.Release(), newest.Version.Release(), newest.Name))
	}
	d.Prerelease = v.Prerelease() && !d.Latest
	return d, nil
}

// apply takes the version out of the channels that the rule does not name.
func (d *Decision) apply(r Rule, what string) {
	d.AUR = d.AUR && r.AUR
	d.Latest = d.Latest && r.Latest
	switch {
	case r.AUR && r.Latest:
		what += "; release.yaml publishes it everywhere all the same"
	case r.AUR:
		what += `: it does not become "latest"; release.yaml publishes it in the AUR`
	case r.Latest:
		what += `: it is left out of the AUR; release.yaml makes it "latest"`
	default:
		what += `: it is left out of the AUR and does not become "latest"`
	}
	d.Why = append(d.Why, what)
}
