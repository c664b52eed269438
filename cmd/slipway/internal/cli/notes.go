package cli

import (
	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/phases"
)

func (a *app) notes() *cobra.Command {
	return &cobra.Command{
		Use:   "notes",
		Short: "Print the release notes as they will be published",
		Long: `Prints the release notes as they will stand on the release's page: from the commits since the version before, from the
changelog, or from a file, as release.notes in release.yaml says. They are made of the commit, not of the working tree.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := a.release(cmd.Context(), false)
			if err != nil {
				return err
			}
			if r.config.Release == nil {
				return usage("add release to "+r.file, "there is no release phase, and so there are no notes")
			}
			text, err := phases.Notes(cmd.Context(), r.config, r.repo, r.plan.Env)
			if err != nil {
				return err
			}
			if a.ui.JSON {
				return a.ui.Object(releaseNotes{Version: r.plan.Env.Version, Notes: text})
			}
			return a.ui.Raw([]byte(text))
		},
	}
}

// releaseNotes are the notes of a version, in Markdown.
type releaseNotes struct {
	Version string `json:"version"`
	Notes   string `json:"notes"`
}
