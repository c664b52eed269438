package isolate

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/tool"
)

// enclose returns what to put before a program to isolate it, after trying that out.
func enclose(ctx context.Context, c Command) ([]string, error) {
	path, err := tool.Look("bwrap")
	if err != nil {
		return nil, &UnavailableError{"bwrap is not installed (Debian package bubblewrap)"}
	}
	argv := []string{
		path, "--dev-bind", "/", "/", "--proc", "/proc", "--unshare-pid", "--die-with-parent", "--new-session",
	}
	if !c.Network {
		argv = append(argv, "--unshare-net") // bwrap brings loopback up itself
		if info, err := os.Stat("/run"); err == nil && info.IsDir() {
			argv = append(argv, "--tmpfs", "/run")
			for _, dir := range programs {
				argv = append(argv, "--ro-bind-try", dir, dir)
			}
		}
	}
	for _, dir := range c.ReadOnly {
		argv = append(argv, "--ro-bind", dir, dir)
	}
	argv = append(argv, "--bind", c.Dir, c.Dir, "--chdir", c.Dir, "--") // Dir may lie in what was hidden
	_, err = tool.Run(ctx, tool.Command{Argv: append(slices.Clip(argv), merged[0], "-c", ":"), Dir: c.Dir, Env: c.Env, Timeout: probeTime})
	if exit, ok := errors.AsType[*tool.ExitError](err); ok {
		return nil, &UnavailableError{"bwrap does not work here: " + strings.Join(strings.Fields(exit.Tail), " ")}
	}
	return argv, err
}

// programs are folders below /run that hold programs and no sockets (NixOS).
var programs = []string{"/run/current-system", "/run/wrappers", "/run/opengl-driver"}
