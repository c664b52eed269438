package phases

import (
	"os"
	"strings"
	"testing"
)

// TestREADME: the release.yaml in README.md is right.
func TestREADME(t *testing.T) {
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "```yaml\n")
	text, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("README.md has no release.yaml")
	}
	c, err := loaded([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	plan(t, c, "3.2.1+1")
}
