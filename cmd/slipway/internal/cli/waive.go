package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

func (a *app) waive() *cobra.Command {
	var f signFlags
	var reason, expires string
	cmd := &cobra.Command{
		Use:   "waive GATE CRITERION",
		Short: "Sign that a criterion need not hold, why, and until when",
		Long: `Signs that a criterion which did not pass is waived, for exactly what was seen, and records it. The gate's approver can.

Until is a time (2006-01-02T15:04:05Z), a day (2006-01-02, to its end in UTC) or a span from now (36h, 7d).`,
		Example: `  slipway waive gate/build "Package size" --reason "grown by the new codec, agreed" --expires 7d --key ~/.ssh/id_ed25519`,
		Args:    between(0, "a gate", "a criterion"),
		RunE: func(cmd *cobra.Command, args []string) error {
			hint := cmd.CommandPath() + " --help tells more"
			s := signing{kind: gate.Waiver, signFlags: f, gate: argument(args, 0), criterion: argument(args, 1), reason: strings.TrimSpace(reason)}
			if f.imported == "" && f.request == "" {
				switch {
				case len(args) < 2:
					return usage(hint, "waive needs a gate and the title of a criterion")
				case s.reason == "":
					return usage(hint, "a waiver needs a --reason")
				case expires == "":
					return usage(hint, "a waiver needs an end: --expires")
				}
				var err error
				if s.expires, err = until(expires, a.now()); err != nil {
					return err
				}
			}
			return a.sign(cmd.Context(), s)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who come later")
	cmd.Flags().StringVar(&expires, "expires", "", "until when it counts")
	f.register(cmd, "statement")
	return cmd
}

// waiver is the request of a waiver.
func (a *app) waiver(s *pipeline.Survey, want signing) (gate.Request, error) {
	g, c, err := a.criterion(s, want.gate, want.criterion)
	switch {
	case err != nil:
		return gate.Request{}, err
	case g.Approve == "":
		return gate.Request{}, refused("", "%s has no approver, and only one can waive its criteria", g.ID)
	case c.Waived != "":
		return gate.Request{}, refused("", "criterion %q of %s is waived already, by %s: %s", c.Title, g.ID, c.By, c.Waived)
	case c.Verdict == gate.Pass:
		return gate.Request{}, refused("", "criterion %q of %s has passed: there is nothing to waive", c.Title, g.ID)
	}
	return g.Waived(c, want.reason, want.expires), nil
}

// until reads the end of a waiver.
func until(text string, now time.Time) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		if t, err = time.Parse(time.DateOnly, text); err == nil {
			t = t.AddDate(0, 0, 1)
		}
	}
	if err != nil {
		span, spanErr := time.ParseDuration(text)
		if days, ok := strings.CutSuffix(text, "d"); spanErr != nil && ok {
			var n int
			if n, spanErr = strconv.Atoi(days); spanErr == nil && n > 36500 {
				spanErr = strconv.ErrRange
			}
			span = time.Duration(n) * 24 * time.Hour
		}
		if t, err = now.Add(span), spanErr; err != nil {
			return t, usage("a day (2006-01-02), a time (2006-01-02T15:04:05Z) or a span (36h, 7d)", "cannot read --expires %q", text)
		}
	}
	if t.Year() > 9999 || !t.Truncate(time.Second).After(now) {
		return t, usage("", "cannot use --expires %q: a waiver has to end in the future, and before the year 10000", text)
	}
	return t, nil
}
