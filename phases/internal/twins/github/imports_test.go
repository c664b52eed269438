package github

import (
	"os/exec"
	"strings"
	"testing"
)

// TestProductImports keeps the checker and its library out of the product.
func TestProductImports(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), need(t, "go"), "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); strings.Contains(line, "kin-openapi") || strings.Contains(line, "google/go-github") || strings.HasSuffix(line, "/apicheck") {
			t.Errorf("the twin needs %s", line)
		}
	}
}
