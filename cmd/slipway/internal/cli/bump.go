package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
)

func (a *app) bump() *cobra.Command {
	return &cobra.Command{
		Use:   "bump major | minor | patch | build | X.Y.Z[+BUILD]",
		Short: "Write the next version into the source of truth and all carriers",
		Long: `Raises the version in the source of truth and writes it into all files that carry it; where one of them cannot be
written, into none. The version that is there already is written into carriers that have drifted.`,
		Example:   "  slipway bump patch\n  slipway bump 3.2.1+1",
		ValidArgs: []string{"major", "minor", "patch", "build"},
		Args:      exactly("major, minor, patch, build or a version"),
		RunE:      func(_ *cobra.Command, args []string) error { return a.doBump(args[0]) },
	}
}

// bumped is what was written.
type bumped struct {
	From string `json:"from"`
	To   string `json:"to"`
	*phases.Change
	next string
}

// Show lists the places.
func (b bumped) Show(p *ui.Page) {
	if len(b.Files) == 0 {
		p.Printf("%s is everywhere already\n", b.To)
		return
	}
	p.Printf("%s %s %s\n", b.From, p.Arrow(), b.To)
	var rows [][]ui.Cell
	for _, c := range b.Places {
		found := c.Found
		if found == "" {
			found = "nothing"
		}
		rows = append(rows, []ui.Cell{{Text: fmt.Sprintf("%s:%d", c.File, c.Line)}, {Text: c.What}, {Text: found + " " + p.Arrow() + " " + c.Wanted}})
	}
	p.Table("  ", rows...)
	p.Whole(ui.Cell{Text: "Next: ", Style: ui.Bold}, ui.Cell{Text: b.next})
}

func (a *app) doBump(what string) error {
	p, err := a.project()
	if err != nil {
		return err
	}
	change, err := phases.Bump(p.config, p.repo.Root(), what)
	if is, ok := errors.AsType[*phases.NextError](err); ok {
		return usage(a.command("bump", "--help")+" tells more", "%w", is.Why)
	}
	if err != nil {
		return err
	}
	return a.ui.Show(bumped{From: change.From.String(), To: change.To.String(), Change: change, next: "look at git diff, then commit"})
}
