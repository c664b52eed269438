package phases

import (
	"fmt"

	"github.com/imrightguy/slipway/phases/build/version"
	"github.com/imrightguy/slipway/phases/internal/carrier"
)

// Change is what [Bump] did.
type Change = version.Change

// VersionIn reads the version that the source of truth says. Content gives what files hold, by slash-separated path.
func VersionIn(c *Config, content func(path string) ([]byte, error)) (Version, error) {
	text, err := content(c.Version.Source)
	if err != nil {
		return Version{}, fmt.Errorf("cannot find out the version: %w", err)
	}
	v, _, err := carrier.Source(c.Version.Source, text)
	return v, err
}

// DriftIn compares the source of truth with all carriers in the working tree in folder root. The drift is where they
// differ; a carrier that cannot be read is an error.
func DriftIn(c *Config, root string) (Version, []Drift, error) { return version.Drift(root, c.Version) }

// Bump writes the next version into the source of truth and all carriers in the working tree in folder root, into all or
// into none. What is "major", "minor", "patch", "build" or a version; the one that is there mends drift.
func Bump(c *Config, root, what string) (*Change, error) { return version.Bump(root, c.Version, what) }
