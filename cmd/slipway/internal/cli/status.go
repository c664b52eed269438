package cli

import (
	"context"
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
			r, v, err := a.stands(cmd.Context(), version)
			if err != nil {
				return err
			}
			if markdown {
				return a.tracker(r, v)
			}
			return a.ui.Show(v)
		},
	}
	cmd.Flags().StringVar(&version, "version", "", versionFlag)
	cmd.Flags().BoolVar(&markdown, "markdown", false, "write the deployment tracker")
	return cmd
}

// stands is how a release stands with all that lies beside it, as the journals have it.
func (a *app) stands(ctx context.Context, version string) (*release, ui.Status, error) {
	r, again, err := a.shownOf(ctx, version)
	if err != nil {
		return nil, ui.Status{}, err
	}
	s, err := a.survey(r)
	if err != nil {
		return nil, ui.Status{}, err
	}
	released, damage, err := readable(r)
	if err != nil {
		return nil, ui.Status{}, err
	}
	for _, d := range damage {
		a.ui.Warn("%v; left out", d)
	}
	v, err := a.withAgain(a.standing(r, s, nil), again)
	if err != nil {
		return nil, ui.Status{}, err
	}
	v = a.withBack(v, a.recovery(ctx, r, released))
	v.Hold = holding(released)
	return r, v, nil
}

// standing is how a release stands by its own journal, and by that of its rollback; nil for none.
func (a *app) standing(r *release, s *pipeline.Survey, back *recovery) ui.Status {
	e := r.plan.Env
	v := ui.Status{Project: e.Project, Version: e.Version, Commit: e.Commit, Plan: r.plan.Digest, Run: s.Run, Steps: s.Steps}
	if s.Old != nil {
		v.Differs = ui.Diff(s.Old, r.plan)
	}
	v.Blocks = a.blocks(r, s, "")
	v.Next = a.next(r, s, v.Blocks)
	return a.withBack(v, back)
}

// withBack adds a rollback to a release's status. What the release and its republications left undone is not to be done
// any more.
func (a *app) withBack(v ui.Status, back *recovery) ui.Status {
	if back == nil {
		return v
	}
	v.Recovery, v.Blocks, v.Next = &back.Recovery, nil, nil
	if back.r != nil {
		v.Steps = append(slices.Clone(v.Steps), back.survey.Steps...)
		v.Blocks = a.blocks(back.r, back.survey, "")
		v.Next = a.next(back.r, back.survey, v.Blocks)
	}
	return v
}
