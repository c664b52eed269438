package phases

import "github.com/imrightguy/slipway/phases/build/version"

// Change is what [Bump] did.
type Change = version.Change

// NextError says that [Bump] was asked for a version that does not follow.
type NextError = version.NextError

// VersionAt reads the version that the source of truth says at a commit.
func VersionAt(c *Config, r *Repository, commit string) (Version, error) {
	return version.Read(c.Version, version.At(r, commit))
}

// DriftIn compares the source of truth with all carriers in the working tree in folder root. The drift is where they
// differ; a carrier that cannot be read is an error.
func DriftIn(c *Config, root string) (Version, []Drift, error) { return version.Drift(root, c.Version) }

// Bump writes the next version into the source of truth and all carriers in the working tree in folder root, into all or
// into none. What is "major", "minor", "patch", "build" or a version; the one that is there mends drift.
func Bump(c *Config, root, what string) (*Change, error) { return version.Bump(root, c.Version, what) }
