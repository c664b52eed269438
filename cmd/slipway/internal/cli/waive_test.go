package cli

import (
	"errors"
	"testing"
	"time"
)

func TestUntil(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 500, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-03-01":                time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), // to the end of the day
		"2026-04-01T10:00:00+02:00": time.Date(2026, 4, 1, 8, 0, 0, 0, time.UTC),
		"36h":                       time.Date(2026, 3, 3, 0, 0, 0, 500, time.UTC),
		"7d":                        time.Date(2026, 3, 8, 12, 0, 0, 500, time.UTC),
		"90s":                       time.Date(2026, 3, 1, 12, 1, 30, 500, time.UTC),
	} {
		if got, err := until(text, now); err != nil || !got.Equal(want) {
			t.Errorf("until(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "soon", "2026-02-28", "-1h", "0d", "-7d", "0s", "1ns", "99999999999d", "9223372036854775807d", "2026-13-01", "1e9d", "10000000h", "d", "7 d"} {
		got, err := until(text, now)
		var c *coded
		if err == nil || !errors.As(err, &c) || c.code != exitUsage {
			t.Errorf("until(%q) = %v, %v; want a usage error", text, got, err)
		}
	}
}

func FuzzUntil(f *testing.F) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f.Add("7d")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := until(text, now); err == nil && (!got.After(now) || got.Year() > 9999) {
			t.Errorf("until(%q) = %v", text, got)
		}
	})
}
