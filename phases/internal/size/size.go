// Package size reads amounts of bytes as people write them in release.yaml.
package size

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Bytes is an amount of bytes, written like 120MB (120,000,000) or 120MiB (125,829,120), or as a plain number.
type Bytes int64

var textRE = regexp.MustCompile(`^([0-9]{1,19})(?:\.([0-9]{1,3}))? ?(B|kB|KB|MB|GB|KiB|MiB|GiB)?$`)

var units = map[string]int64{
	"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
}

// Parse reads an amount.
func Parse(text string) (Bytes, error) {
	m := textRE.FindStringSubmatch(text)
	if m == nil || m[2] != "" && units[m[3]] == 1 {
		return 0, fmt.Errorf("want a size like 120MB or 64KiB, found %.40q", text)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if unit := units[m[3]]; err == nil && n <= math.MaxInt64/unit/2 {
		fraction, _ := strconv.ParseInt((m[2] + "000")[:3], 10, 64)
		return Bytes(n*unit + fraction*unit/1000), nil
	}
	return 0, fmt.Errorf("size %.40q is more than can be", text)
}

// UnmarshalYAML reads an amount, in quotes or not.
func (b *Bytes) UnmarshalYAML(text []byte) (err error) {
	s := strings.TrimSpace(string(text))
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		s = s[1 : len(s)-1]
	}
	*b, err = Parse(s)
	return err
}

// MarshalYAML writes the amount as it is read.
func (b Bytes) MarshalYAML() ([]byte, error) { return []byte(b.String()), nil }

// String writes the amount in the largest decimal unit that loses nothing.
func (b Bytes) String() string {
	for _, unit := range []string{"GB", "MB", "kB"} {
		if b != 0 && int64(b)%units[unit] == 0 {
			return strconv.FormatInt(int64(b)/units[unit], 10) + unit
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// Band is a range of sizes, both ends included.
type Band struct {
	// Min is the smallest size that will do.
	Min Bytes `yaml:"min,omitempty" jsonschema:"oneof_type=string;integer"`
	// Max is the largest size that will do. Left out: any.
	Max Bytes `yaml:"max,omitempty" jsonschema:"oneof_type=string;integer"`
}

// Validate refuses a band that nothing fits.
func (b Band) Validate() error {
	if b.Max != 0 && b.Max < b.Min {
		return fmt.Errorf("size: max %s is below min %s", b.Max, b.Min)
	}
	return nil
}

// Contains reports whether n bytes lie in the band.
func (b Band) Contains(n int64) bool { return n >= int64(b.Min) && (b.Max == 0 || n <= int64(b.Max)) }

// String describes the band for people.
func (b Band) String() string {
	switch {
	case b.Max == 0:
		return "at least " + b.Min.String()
	case b.Min == 0:
		return "at most " + b.Max.String()
	}
	return b.Min.String() + " to " + b.Max.String()
}
