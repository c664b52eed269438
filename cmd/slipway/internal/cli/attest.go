package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

func (a *app) attest() *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use:   "attest GATE CRITERION",
		Short: "Sign that a criterion holds which no machine can check",
		Long: `Signs that a criterion holds, and records it.

With --out the statement goes to a file and its signature to FILE.sig, for --import on the machine that has the journal;
with --unsigned the statement alone, to be signed by: ssh-keygen -Y sign -n slipway-approval -f KEY FILE`,
		Example: `  slipway attest gate/build "architecture corrections verified" --key ~/.ssh/id_ed25519
  slipway attest gate/build "architecture corrections verified" --out a.json
  slipway attest --import a.json`,
		Args: between(0, "a gate", "a criterion"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 && f.imported == "" && f.request == "" {
				return usage(cmd.CommandPath()+" --help tells more", "attest needs a gate and the title of a criterion")
			}
			return a.sign(cmd.Context(), signing{kind: gate.Attestation, signFlags: f, gate: argument(args, 0), criterion: argument(args, 1)})
		},
	}
	f.register(cmd, "statement")
	return cmd
}

// attestation is the request of an attestation.
func (a *app) attestation(s *pipeline.Survey, name, title string) (gate.Request, error) {
	g, c, err := a.criterion(s, name, title)
	switch {
	case err != nil:
		return gate.Request{}, err
	case c.Attest == "":
		return gate.Request{}, refused("", "criterion %q of %s is checked by a machine (%s): nobody can attest it", c.Title, g.ID, c.Check)
	case c.Verdict == gate.Pass && c.Waived == "":
		return gate.Request{}, refused("", "criterion %q of %s is attested already, by %s", c.Title, g.ID, c.By)
	}
	return g.Attested(c), nil
}

// criterion finds a criterion of a gate that is still open.
func (a *app) criterion(s *pipeline.Survey, name, title string) (gate.State, gate.CriterionState, error) {
	g, err := a.find(s, name)
	if err != nil {
		return g, gate.CriterionState{}, err
	}
	if g.Closed {
		return g, gate.CriterionState{}, refused("", "%s is closed: something has gone through it already", g.ID)
	}
	known := []string{"its criteria are:"}
	for _, c := range g.Criteria {
		if c.Title == title {
			return g, c, nil
		}
		known = append(known, c.Title)
	}
	return g, gate.CriterionState{}, usage(strings.Join(known, "\n"), "%s has no criterion %q", g.ID, title)
}
