package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
)

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Long:  "Prints the version of this program, the Go version it was built with, and with -v the modules in it.",
		Args:  exactly(),
		RunE:  func(*cobra.Command, []string) error { return a.ui.Show(a.build()) },
	}
}

func (a *app) build() build {
	v := build{Version: a.Version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Module = info.Main.Path
		for _, m := range info.Deps {
			v.Modules = append(v.Modules, m.Path+" "+m.Version)
		}
	}
	if v.Version == "" {
		v.Version = "development"
	}
	return v
}

// build is what this program was made of.
type build struct {
	Version string   `json:"version"`
	Go      string   `json:"go"`
	OS      string   `json:"os"`
	Arch    string   `json:"arch"` // GOARCH
	Module  string   `json:"module,omitempty"`
	Modules []string `json:"modules,omitempty"`
}

// Show prints it in a line, and with -v the modules.
func (b build) Show(p *ui.Page) {
	p.Printf("slipway %s (%s, %s/%s)\n", b.Version, b.Go, b.OS, b.Arch)
	if p.All() {
		for _, m := range b.Modules {
			p.Printf("  %s\n", m)
		}
	}
}
