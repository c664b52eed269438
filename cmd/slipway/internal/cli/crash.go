//go:build crashtest

package cli

import (
	"encoding/json"
	"os"

	"github.com/imrightguy/slipway/cmd/slipway/internal/crash"
	"github.com/imrightguy/slipway/phases"
)

// twins is the environment variable that names a file with the map of the twins to reach in the world's place.
const twins = "SLIPWAY_TWINS"

func init() {
	wrapJournal = crash.Journal
	file := os.Getenv(twins)
	if file == "" {
		return
	}
	b, err := os.ReadFile(file)
	var m phases.TwinMap
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		panic(err)
	}
	world = m.Endpoints
}
