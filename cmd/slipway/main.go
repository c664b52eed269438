// Command slipway takes a release of a repository down the slipway: build, release, publish, each behind a gate.
// "slipway help" tells how.
package main

import (
	"os"

	"github.com/imrightguy/slipway/cmd/slipway/internal/cli"
	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
)

var version string // set by the linker

func main() { os.Exit(cli.Main(process())) }

func process() cli.Process {
	return cli.Process{
		Args:    os.Args[1:],
		Streams: ui.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv},
		Version: version,
	}
}
