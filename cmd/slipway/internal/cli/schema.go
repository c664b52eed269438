package cli

import (
	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/phases"
)

func (a *app) schema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON schema of release.yaml",
		Long:  "Prints the JSON schema of release.yaml, which editors use to complete and explain its keys.",
		Args:  exactly(),
		RunE: func(*cobra.Command, []string) error {
			b, err := phases.Schema()
			if err != nil {
				return err
			}
			return a.ui.Raw(b)
		},
	}
}
