package phases

import (
	"fmt"
	"path"

	"github.com/imrightguy/slipway/phases/internal/carrier"
)

// VersionIn reads the version that the source of truth says. Content gives what files hold, by slash-separated path.
func VersionIn(c *Config, content func(path string) ([]byte, error)) (Version, error) {
	text, err := content(c.Version.Source)
	if err != nil {
		return Version{}, fmt.Errorf("cannot find out the version: %w", err)
	}
	v, _, err := carrier.Source(c.Version.Source, text)
	return v, err
}

// DriftIn compares the source of truth with all carriers. The drift is where they differ; a carrier that cannot be read
// is an error.
func DriftIn(c *Config, content func(path string) ([]byte, error)) (v Version, drift []Drift, err error) {
	if v, err = VersionIn(c, content); err != nil {
		return v, nil, err
	}
	for _, file := range c.Version.Carriers {
		text, err := content(file)
		if err != nil {
			return v, nil, fmt.Errorf("cannot read %s: %w", path.Clean(file), err)
		}
		found, err := carrier.Check(file, text, v, carrier.Stamp{})
		if err != nil {
			return v, nil, err
		}
		drift = append(drift, found...)
	}
	return v, drift, nil
}
