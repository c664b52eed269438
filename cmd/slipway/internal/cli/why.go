package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

func (a *app) why() *cobra.Command {
	version := ""
	cmd := &cobra.Command{
		Use:   "why [STEP or GATE]",
		Short: "Tell what blocks, who can unblock it, and with which command",
		Long: `Tells what keeps a step, a gate or the whole release from going on. Each block has a kind:

  missing   it has not run, or has reported nothing
  failed    a step or a check failed
  unknown   a check could not look, or a step was cut off; unknown never passes
  waiting   a person has to sign
  conflict  something else is there already
  held      somebody holds the release

and so do the statements that were refused, with the reason.`,
		Example: "  slipway why\n  slipway why gate/build",
		Args:    between(0, "a step or gate"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.addressed(cmd.Context(), argument(args, 0), version)
			if err != nil {
				return err
			}
			s, err := a.survey(r)
			if err != nil {
				return err
			}
			of := argument(args, 0)
			if of == phases.RollbackPhase || of == phases.HoldPhase { // all of it
				of = ""
			}
			return a.showWhy(r, s, of)
		},
	}
	cmd.Flags().StringVar(&version, "version", "", versionFlag)
	return cmd
}

func (a *app) showWhy(r *release, s *pipeline.Survey, of string) error {
	if of != "" && !slices.ContainsFunc(s.Steps, func(st pipeline.StepState) bool { return st.Spec.ID == of }) {
		hint := a.command("plan") + " lists the steps"
		for _, st := range s.Steps {
			if strings.HasSuffix(st.Spec.ID, "/"+of) {
				hint = "did you mean " + st.Spec.ID + "?"
			}
		}
		return usage(hint, "there is no step %q", of)
	}
	v := ui.Why{Of: of, Blocks: a.blocks(r, s, of)}
	if g := unpassed(s, of); g != "" && len(v.Blocks) == 0 {
		v.Blocks = []ui.Block{{Block: gate.Block{Kind: "missing", Step: g, Why: "all that it asks for is there, and it has not passed yet"}, Command: a.goOn(r)}}
	}
	if s.Old != nil {
		v.Blocks = append([]ui.Block{{
			Block:   gate.Block{Kind: "conflict", Step: "plan", Why: "the journal has another plan:\n" + strings.Join(ui.Diff(s.Old, r.plan), "\n")},
			Command: a.asItIsNow(r),
		}}, v.Blocks...)
	}
	for _, st := range s.Steps {
		if st.Gate != nil && (of == "" || st.Spec.ID == of) {
			v.Refused = append(v.Refused, st.Gate.Refused...)
		}
	}
	v.Done = len(v.Blocks) == 0
	return a.ui.Show(v)
}

// asItIsNow is the command that goes on with the plan as it is now, where the journal has another one.
func (a *app) asItIsNow(r *release) string {
	if len(r.goOn) > 0 && r.goOn[0] == phases.RollbackPhase { // it does so by itself where that can be
		return a.goOn(r)
	}
	return a.goOn(r, "--amend")
}

// unpassed is the first gate that has not passed: of what a step needs, or of all where none is named; "" where there is
// none.
func unpassed(s *pipeline.Survey, of string) string {
	wanted := map[string]bool{of: true}
	for _, st := range slices.Backward(s.Steps) {
		for _, n := range st.Spec.Needs {
			wanted[n] = wanted[n] || wanted[st.Spec.ID]
		}
	}
	for _, st := range s.Steps {
		if st.Gate != nil && !st.Gate.Closed && st.Last.Event != pipeline.Done && (of == "" || wanted[st.Spec.ID]) {
			return st.Spec.ID
		}
	}
	return ""
}
