// Command cloudtolocalllm-tray is the system tray and connection broker that
// CloudToLocalLLM ships: one static program, independent of the app.
package main

import (
	"os"
	"runtime"
	"runtime/debug"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/cli"
)

// version is set by the linker; a build of module@version knows it by itself.
var version = "dev"

func main() {
	runtime.MemProfileRate = 0 // nobody reads this profile, and its samples would stay in memory
	if info, ok := debug.ReadBuildInfo(); ok && version == "dev" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		version = info.Main.Version
	}
	os.Exit(cli.Main(os.Args[1:], version, os.Stdout, os.Stderr))
}
