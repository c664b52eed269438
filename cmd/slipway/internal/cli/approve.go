package cli

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// maxStatement bounds what is read of a request or a signature, in bytes.
const maxStatement = 16 << 20

func (a *app) approve() *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use:   "approve [GATE]",
		Short: "Sign for a gate that waits",
		Long: `Signs the request of the gate that waits, with a key file or with the approver's key in ssh-agent, and records it.

Elsewhere, without this release's journal: --request shows and signs a copy of request.json, and --import takes the
signature in here. So does one made by: ssh-keygen -Y sign -n slipway-approval -f KEY request.json`,
		Example: `  slipway approve gate/build --key ~/.ssh/id_ed25519
  slipway approve --request request.json --out request.json.sig
  slipway approve --import request.json.sig`,
		Args: between(0, "a gate"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.sign(cmd.Context(), signing{kind: gate.Approval, signFlags: f, gate: argument(args, 0)})
		},
	}
	f.register(cmd, "signature")
	return cmd
}

// argument is the i-th argument, or nothing.
func argument(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

// find returns how the named gate stands: "gate/build" or "build".
func (a *app) find(s *pipeline.Survey, name string) (gate.State, error) {
	var known []string
	for _, st := range s.Steps {
		if st.Gate == nil {
			continue
		}
		if st.Gate.ID == name || st.Gate.ID == "gate/"+name {
			return *st.Gate, nil
		}
		known = append(known, st.Gate.ID)
	}
	return gate.State{}, usage("the plan has "+strings.Join(known, ", "), "there is no gate %q", name)
}

// approval is the request of an approval. Without a name it is that of the gate that waits for one.
func (a *app) approval(r *release, s *pipeline.Survey, name string) (gate.Request, error) {
	if name == "" {
		gates := waiting(s)
		if len(gates) == 0 {
			return gate.Request{}, refused(a.signs(r, "why")+" tells what blocks", "no gate waits for an approval")
		}
		name = gates[0].ID
	}
	g, err := a.find(s, name)
	switch {
	case err != nil:
		return gate.Request{}, err
	case g.Closed:
		return gate.Request{}, refused("", "%s is closed: something has gone through it already", g.ID)
	case g.Approve == "":
		return gate.Request{}, refused("", "%s asks nobody to approve it", g.ID)
	case g.By != "" && len(g.Blocks) == 0:
		return gate.Request{}, refused(a.goOn(r)+" goes on", "%s is approved already, by %s", g.ID, g.By)
	case !wantsApproval(g):
		b := g.Blocks[0]
		return gate.Request{}, refused(a.signs(r, "why", g.ID)+" tells who can unblock it", "%s is not ready to be approved: %s: %s", g.ID, b.What, b.Why)
	}
	return g.Request, nil
}

// statement finds what a detached signature of an approval was made for: the request as it is now, or the one in
// request.json, which may be older, so that it can be said what has changed since.
func (a *app) statement(r *release, want gate.Request, signature []byte) gate.Statement {
	now := gate.Statement{Signed: want.Bytes(), Signature: signature}
	if _, err := r.verifier.Verify(want.Role, now.Signed, signature); err == nil {
		return now
	}
	kept, err := readUpTo(filepath.Join(r.dir, "request.json"), maxStatement)
	if err != nil {
		return now
	}
	if _, err := r.verifier.Verify(want.Role, kept, signature); err != nil {
		return now
	}
	return gate.Statement{Signed: kept, Signature: signature}
}

// signed is what a command that signs has done.
type signed struct {
	Kind      string   `json:"kind"`
	Gate      string   `json:"gate"`
	Criterion string   `json:"criterion,omitempty"`
	By        string   `json:"by,omitempty"`
	Files     []string `json:"files,omitempty"` // written instead of the journal
	Next      []string `json:"next,omitempty"`
}

// Show tells what was done and what comes next.
func (s signed) Show(p *ui.Page) {
	of := s.Gate
	if s.Criterion != "" {
		of += ", " + s.Criterion
	}
	if len(s.Files) > 0 {
		p.Printf("%s of %s written to %s; nothing is recorded yet\n", s.Kind, of, s.Files)
	} else {
		p.Printf("%s of %s recorded, signed by %s\n", s.Kind, of, s.By)
	}
	for i, n := range s.Next {
		p.Whole(ui.Cell{Text: [2]string{"Next: ", "      "}[min(i, 1)], Style: ui.Bold}, ui.Cell{Text: n})
	}
}
