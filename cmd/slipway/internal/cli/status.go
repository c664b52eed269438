package cli

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/pipeline"
)

func (a *app) status() *cobra.Command {
	var markdown bool
	var version string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the release stands",
		Long: `Shows on one screen how the release stands: phases, steps, gates with their criteria and the evidence behind each.

--markdown writes the same as a deployment tracker, in which nothing is ticked that no evidence stands behind.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, again, err := a.stands(cmd.Context(), version)
			if err != nil {
				return err
			}
			s, err := a.survey(r)
			if err != nil {
				return err
			}
			back := a.recovery(cmd.Context(), r)
			if markdown {
				return a.tracker(r, s, back)
			}
			v, err := a.withAgain(a.standing(r, s, back), again)
			if err != nil {
				return err
			}
			return a.ui.Show(v)
		},
	}
	cmd.Flags().StringVar(&version, "version", "", versionFlag)
	cmd.Flags().BoolVar(&markdown, "markdown", false, "write the deployment tracker")
	return cmd
}

func (a *app) standing(r *release, s *pipeline.Survey, back *recovery) ui.Status {
	e := r.plan.Env
	v := ui.Status{Project: e.Project, Version: e.Version, Commit: e.Commit, Plan: r.plan.Digest, Run: s.Run, Steps: s.Steps}
	if s.Old != nil {
		v.Differs = ui.Diff(s.Old, r.plan)
	}
	v.Blocks = a.blocks(r, s, "")
	v.Next = a.next(s, v.Blocks)
	if back != nil { // what it left undone is not to be done any more
		v.Steps = append(slices.Clone(v.Steps), back.survey.Steps...)
		v.Blocks = a.blocks(back.r, back.survey, "")
		v.Next = a.next(back.survey, v.Blocks)
		v.Recovery = &back.Recovery
	}
	return v
}
