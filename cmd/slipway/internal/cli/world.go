package cli

import (
	"os"
	"path/filepath"

	"github.com/imrightguy/slipway/phases"
)

// world is how the remotes are reached: a variable, so that a program built for tests can reach twins.
var world = func() *phases.Endpoints {
	home, _ := os.UserHomeDir() // where there is none, no file of the user's is looked at
	return phases.System(os.Getenv, home)
}

// endpoints are the ways out of a run of a release.
func (r *release) endpoints() *phases.Endpoints {
	e := world()
	e.Plan = r.plan.Digest
	e.Rehearsed = func(kind string) ([]byte, error) { return readUpTo(filepath.Join(r.dir, kind+".json"), maxStatement) }
	return e
}
