package rig

import (
	"os"
	"os/exec"
)

// Skipper is a test that can be left out.
type Skipper interface {
	Helper()
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Need leaves a test out where a tool is missing, and fails it where CI=true,
// so that nothing is left out in silence.
func Need(t Skipper, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			Missing(t, tool+" is not installed")
		}
	}
}

// NeedRoot does the same for what only root can do.
func NeedRoot(t Skipper) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "a second uid needs root")
	}
}

// Missing skips, or fails where CI=true.
func Missing(t Skipper, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("cannot run this test in CI: %s", why)
	}
	t.Skipf("%s", why)
}
