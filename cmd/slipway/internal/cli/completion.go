package cli

import (
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// shells are those that completions can be written for.
var shells = map[string]func(root *cobra.Command, w io.Writer) error{
	"bash":       func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) },
	"zsh":        func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) },
	"fish":       func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
	"powershell": func(root *cobra.Command, w io.Writer) error { return root.GenPowerShellCompletionWithDesc(w) },
}

func (a *app) completion() *cobra.Command {
	names := slices.Sorted(maps.Keys(shells))
	return &cobra.Command{
		Use:       "completion SHELL",
		Short:     "Print completions for a shell: " + strings.Join(names, ", "),
		Long:      "Prints a script that teaches a shell to complete slipway's commands and flags.",
		Example:   "  source <(slipway completion bash)\n  slipway completion fish >~/.config/fish/completions/slipway.fish",
		ValidArgs: names,
		Args:      exactly("a shell"),
		RunE: func(cmd *cobra.Command, args []string) error {
			write, ok := shells[args[0]]
			if !ok {
				return usage("one of "+strings.Join(names, ", "), "there are no completions for %q", args[0])
			}
			return write(cmd.Root(), printer{a.ui})
		},
	}
}
