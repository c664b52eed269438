// Package cli is the command line: one file for each command, which asks the engine and the phases and leaves all
// printing to package ui.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
)

// Process is what the command line gets from the system it runs on.
type Process struct {
	ui.Streams
	Args    []string                                // without the program's name
	Version string                                  // of the program; empty where it was not built for a release
	Journal func(pipeline.Journal) pipeline.Journal // of tests: wraps every journal that is written; nil for none
	World   func() *phases.Endpoints                // of tests: how the remotes are reached; nil for the world itself
}

// wrapJournal is what a program built for tests puts around every journal that is written.
var wrapJournal = func(j pipeline.Journal) pipeline.Journal { return j }

// app is one invocation.
type app struct {
	Process
	ui   *ui.UI
	dir  string // -C
	file string // -f, as given; empty for release.yaml at the repository's root
	now  func() time.Time

	again string // what to do after an interrupt; empty: run carries on
}

// Main runs one command and returns the exit code.
func Main(p Process) int {
	if p.Journal == nil {
		p.Journal = wrapJournal
	}
	if p.World != nil {
		world = p.World
	}
	a := &app{Process: p, ui: ui.New(p.Streams), now: time.Now}
	a.ui.JSON = slices.Contains(p.Args, "--json") // also for an error in the arguments
	ctx, release := interruptible()
	defer release()
	err := a.root().ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if errors.Is(err, context.Canceled) && context.Cause(ctx) != nil {
		err = context.Cause(ctx)
	}
	code, hint := exit(err)
	if code == exitInterrupted {
		hint = cmp.Or(a.again, a.command("run")+" carries on from here")
	}
	if !a.ui.JSON {
		err = explained(err)
	}
	a.ui.Error(err, code, hint)
	return code
}

// interruptible returns a context that the first interrupt or termination ends in good order. The second one is the
// system's to handle: it kills.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			signal.Stop(signals)
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel(nil) }
}

const about = `Slipway takes a release of a repository from its source to packages, through gates that nothing unproven passes.

  slipway init      writes a release.yaml for this repository
  slipway plan      shows every step, and does nothing
  slipway rehearse  carries the plan out against twins of all remotes on this machine, and looks at what arrived
  slipway run       carries the plan out, to the next gate that waits or to the end; killed anywhere, it carries on
  slipway why       tells what blocks, who can unblock it, and with which command
  slipway verify    looks at what was published from outside, as a user would

Exit codes:
`

// root assembles the commands.
func (a *app) root() *cobra.Command {
	version := false
	root := &cobra.Command{
		Use:           "slipway",
		Short:         "A release and packaging pipeline",
		Long:          about + exitTable(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := "slipway help lists the commands"
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = "did you mean slipway " + strings.Join(near, " or slipway ") + "?"
			}
			return usage(hint, "there is no command %q", args[0])
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if version {
				return a.ui.Show(a.build())
			}
			return cmd.Help()
		},
	}
	root.Flags().BoolVar(&version, "version", false, "print the version, as the command does")
	root.SetArgs(a.Args)
	root.SetIn(a.In)
	root.SetOut(printer{a.ui})
	root.SetErr(printer{a.ui})
	root.SuggestionsMinimumDistance = 2
	flags := root.PersistentFlags()
	flags.StringVarP(&a.dir, "directory", "C", ".", "work in this folder")
	flags.StringVarP(&a.file, "file", "f", "", "the release's configuration (default release.yaml at the repository's root)")
	flags.BoolVar(&a.ui.JSON, "json", a.ui.JSON, "print JSON: one object, or one on each line")
	flags.BoolVarP(&a.ui.Verbose, "verbose", "v", false, "show more")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(cmd.CommandPath()+" --help shows the flags", "%w", err)
	})
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(a.initialise(), a.check(), a.bump(), a.doctor(), a.plan(), a.run(), a.rehearse(), a.verify(), a.notes(), a.status(), a.why(), a.approve(),
		a.attest(), a.waive(), a.rollback(), a.hold(), a.state(), a.clean(), a.version(), a.schema(), a.completion())
	return root
}

// printer lets cobra print its help and completions through the ui.
type printer struct{ ui *ui.UI }

func (p printer) Write(b []byte) (int, error) { return len(b), p.ui.Raw(b) }

// exactly demands n arguments, which it names.
func exactly(names ...string) cobra.PositionalArgs {
	return between(len(names), names...)
}

// between demands at least so many arguments, and no more than there are names.
func between(least int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		hint := cmd.CommandPath() + " --help tells more"
		switch {
		case len(args) < least:
			return usage(hint, "%s needs %s", cmd.CommandPath(), strings.Join(names[len(args):least], " and "))
		case len(args) > len(names):
			return usage(hint, "%s does not take %q", cmd.CommandPath(), args[len(names)])
		}
		return nil
	}
}

// command is a command line that the user can paste, with the global flags of this one.
func (a *app) command(words ...string) string {
	line := []string{"slipway"}
	if a.dir != "." {
		line = append(line, "-C", ui.Quote(a.dir))
	}
	if a.file != "" {
		line = append(line, "-f", ui.Quote(a.file))
	}
	for _, w := range words {
		line = append(line, ui.Quote(w))
	}
	return strings.Join(line, " ")
}

// path takes a path from the command line, which is relative to the folder of -C.
func (a *app) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(a.dir, name)
}

var errNotBegun = errors.New("this release has not begun")

func (a *app) notBegun() error {
	return withHint(errNotBegun, "%s", a.command("run"))
}

// exitf is an error with an exit code.
func exitf(code int, format string, args ...any) error {
	return &coded{fmt.Errorf(format, args...), code, ""}
}
