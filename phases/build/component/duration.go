package component

import (
	"fmt"
	"regexp"
	"time"
)

// Duration is a length of time in release.yaml, written as Go writes it: 90s, 10m, 1h30m. Zero stands for one that was
// left out.
type Duration time.Duration

// durationRE is the pattern in the schema, too.
var durationRE = regexp.MustCompile(`^([0-9]+(ms|s|m|h))+$`)

// UnmarshalText reads a length of time above zero.
func (d *Duration) UnmarshalText(text []byte) error {
	t, err := time.ParseDuration(string(text))
	if err != nil || t <= 0 || !durationRE.Match(text) {
		return fmt.Errorf("want a time like 90s, 10m or 1h30m, found %.40q", text)
	}
	*d = Duration(t)
	return nil
}

// MarshalText writes it as it is read.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String is how Go writes it.
func (d Duration) String() string { return d.duration().String() }

func (d Duration) duration() time.Duration { return time.Duration(d) }
