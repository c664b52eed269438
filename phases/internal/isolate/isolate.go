// Package isolate runs a project's own programs: cut off from the network, with a display of their own where they want
// one, and without anything of them left when they end.
//
// On Linux bwrap (package bubblewrap; what is said here holds for 0.8.0) puts the program into name spaces of its own.
// It sees the file system as its user does, and
//
//   - of the network a loopback interface that leads nowhere else; /run is empty then, where the sockets of services lie
//     that would act on the network in its place,
//   - no process but those that it started, all of which end with it,
//   - no terminal that it could ask anything on.
//
// Where there is no bwrap, or the kernel does not let it, a program that must not reach the network is not run at all:
// [*UnavailableError].
package isolate

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/imrightguy/slipway/phases/internal/tool"
)

// Command is a program to run.
type Command struct {
	Argv     []string      // the program, an absolute path, and its arguments
	Dir      string        // where it runs; absolute
	Env      []string      // the whole environment; see [Quiet]
	Network  bool          // it may reach the network
	Contain  bool          // it is not run where it could leave programs behind, whether it may reach the network or not
	ReadOnly []string      // absolute paths of folders that it must not write to; kept where there is bwrap
	Timeout  time.Duration // zero: [tool.DefaultTimeout]
	Stdout   io.Writer     // gets both its outputs as they come (on Windows its standard output only); nil: nobody does
}

// UnavailableError says why a program cannot be isolated here.
type UnavailableError struct{ Why string }

// Error tells the reason.
func (e *UnavailableError) Error() string { return "cannot isolate the program: " + e.Why }

// Run runs a program and waits for it. Its errors are those of [tool.Run], and [*UnavailableError] where nothing was
// run. When ctx ends the program and all that it started is killed, and the error is the cause of that.
func Run(ctx context.Context, c Command) (tool.Result, error) {
	if len(c.Argv) == 0 {
		return tool.Result{}, errors.New("cannot run a program without a name")
	}
	wrap, err := enclose(ctx, c)
	if _, not := errors.AsType[*UnavailableError](err); not && c.Network && !c.Contain {
		wrap, err = nil, nil
	}
	if err != nil {
		return tool.Result{}, err
	}
	r, err := tool.Run(ctx, tool.Command{Argv: slices.Concat(wrap, merged, c.Argv), Dir: c.Dir, Env: c.Env, Stdout: c.Stdout, Timeout: c.Timeout})
	if exit, ok := errors.AsType[*tool.ExitError](err); ok {
		exit.Program = base(c.Argv[0])
	}
	if late, ok := errors.AsType[*tool.TimeoutError](err); ok {
		late.Program = base(c.Argv[0])
	}
	return r, err
}

// Quiet are variables that keep programs from asking anybody anything, and from decorating what they print. The last
// resort of a program that wants a password, a helper that asks for it, is one that fails.
func Quiet() []string {
	env := []string{
		"CI=true", "LC_ALL=C.UTF-8", "TZ=UTC", "TERM=dumb", "NO_COLOR=1", "PAGER=cat", "GIT_PAGER=cat",
		"DEBIAN_FRONTEND=noninteractive", "GIT_TERMINAL_PROMPT=0", "GCM_INTERACTIVE=never", "PIP_NO_INPUT=1", "NPM_CONFIG_YES=false",
		"GIT_SSH_COMMAND=ssh -o BatchMode=yes", "SSH_ASKPASS_REQUIRE=never",
	}
	for _, name := range []string{"SUDO_ASKPASS", "SSH_ASKPASS", "GIT_ASKPASS"} {
		env = append(env, name+"="+refuse)
	}
	return env
}

// System are the names of variables that programs need to start at all on some system, whatever they do.
var System = []string{"SystemRoot", "SystemDrive", "ComSpec", "PATHEXT", "WINDIR"}
