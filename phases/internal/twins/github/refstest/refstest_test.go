package refstest

import (
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/twins/github"
)

func TestMemory(t *testing.T) {
	Test(t, func(t *testing.T) github.Refs {
		m := github.NewMemory()
		at := func(day int) github.Signature {
			return github.Signature{Name: "a", Email: "a@example.invalid", When: time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC)}
		}
		first := m.Add("main", "one", at(1), map[string]string{"a": "1\n"})
		if err := m.Create(t.Context(), "refs/heads/side", first); err != nil {
			t.Fatal(err)
		}
		m.Add("main", "two", at(2), map[string]string{"a": "2\n"})
		m.Add("side", "three", at(3), map[string]string{"side.txt": "3\n"})
		return m
	})
}
