package cli

import (
	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
)

func (a *app) check() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check release.yaml, and the version in all files that carry it",
		Long: `Reads release.yaml in the working tree, with every fault's line and column, and compares the version in all files that
carry it with the source of truth.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.project()
			if err != nil {
				return err
			}
			v, drift, err := phases.DriftIn(p.config, p.repo.Root())
			if err != nil {
				return p.withoutVersion(err)
			}
			head, err := p.repo.Head()
			if err != nil {
				return usage("", "%w", err)
			}
			if _, err := p.plan(cmd.Context(), v, head); err != nil {
				return err
			}
			c := checked{File: p.file, Project: p.config.Project, Version: v.String(), Source: p.config.Version.Source, Drift: drift, carriers: len(p.config.Version.Carriers)}
			if err := a.ui.Show(c); err != nil {
				return err
			}
			if len(drift) > 0 {
				verb := "do"
				if len(drift) == 1 {
					verb = "does"
				}
				return withHint(exitf(exitFailed, "%s %s not agree with %s", ui.Count(len(drift), "place"), verb, c.Source),
					"%s writes it into all of them", a.command("bump", v.String()))
			}
			return nil
		},
	}
}

// checked is what was found.
type checked struct {
	File    string         `json:"file"`
	Project string         `json:"project"`
	Version string         `json:"version"`
	Source  string         `json:"source"`
	Drift   []phases.Drift `json:"drift"`

	carriers int
}

// Show tells it.
func (c checked) Show(p *ui.Page) {
	p.Line(p.Sign(true, true), ui.Cell{Text: " " + c.File + " is right"})
	if len(c.Drift) == 0 {
		p.Line(p.Sign(true, true), ui.Cell{Text: " " + c.Project + " " + c.Version + " in " + c.Source + " and " + ui.Count(c.carriers, "carrier")})
	}
	for _, d := range c.Drift {
		p.Line(p.Sign(false, true), ui.Cell{Text: " " + d.String()})
	}
}
