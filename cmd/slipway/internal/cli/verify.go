package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
)

func (a *app) verify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify [VERSION]",
		Short: "Look at a published release from outside, as a user would",
		Long: `Looks at a published version from outside: the release's page, every asset (downloaded without a token and hashed), the
latest release, the tag and the version that it leads to, the branch that contains it, the AUR's packages and their
sources, the links of the notes. Nothing is changed, and no rights are needed; a token only raises limits.

VERSION is the one at HEAD where it is left out. Where this machine has its journal, assets are compared with what was
made; elsewhere with the release's own SHA256SUMS and *.sha256. Exit code 3: something does not hold, or could not be
looked at.`,
		Example: "  slipway verify\n  slipway verify 3.2.0\n  slipway verify --json | jq '.findings[] | select(.verdict != \"pass\")'",
		Args:    between(0, "VERSION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.doVerify(cmd.Context(), strings.Join(args, ""))
		},
	}
}

func (a *app) doVerify(ctx context.Context, wanted string) error {
	p, err := a.project()
	if err != nil {
		return err
	}
	if p.config.Release == nil {
		return usage("add release to "+p.file, "there is no release phase, and so nothing is published")
	}
	v, err := a.versionOf(p, wanted)
	if err != nil {
		return err
	}
	done, err := doneSteps(journal.Read(filepath.Join(p.repo.Root(), ".slipway", v.Release())))
	if err != nil {
		return err
	}
	findings, err := phases.Verify(ctx, world(), p.config, p.repo, v, done, a.ui.Doing)
	a.ui.Doing("")
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	out := verified{Project: p.config.Project, Version: v.Release(), Findings: findings}
	if err := a.ui.Show(out); err != nil {
		return err
	}
	failed, unknown := out.count()
	switch {
	case failed > 0 && unknown > 0:
		return exitf(exitGate, "%s not hold, and %s could not be looked at", do(failed), ui.Count(unknown, "other"))
	case failed > 0:
		return exitf(exitGate, "%s not hold", do(failed))
	case unknown > 0:
		return &coded{fmt.Errorf("%s could not be looked at", ui.Count(unknown, "thing")), exitGate, "look again later: " + a.command("verify", v.Release())}
	}
	return nil
}

func do(n int) string {
	if n == 1 {
		return "1 thing does"
	}
	return ui.Count(n, "thing") + " do"
}

// versionOf reads a version from the command line; without one it is that at HEAD. The build number is known of that at
// HEAD alone.
func (a *app) versionOf(p *project, wanted string) (v phases.Version, err error) {
	head, err := p.repo.Head()
	if err == nil {
		v, err = phases.VersionAt(p.config, p.repo, head.ID)
	}
	if wanted == "" {
		if err != nil {
			return v, p.withoutVersion(err)
		}
		return v, nil
	}
	named, parseErr := phases.ParseVersion(strings.TrimPrefix(wanted, "v"))
	if parseErr != nil {
		return v, usage("", "%w", parseErr)
	}
	if err == nil && named.Build == "" && named.Release() == v.Release() {
		return v, nil
	}
	return named, nil
}

// doneSteps are the newest outcomes of the steps of a journal that are done, by their IDs. No journal has none.
func doneSteps(j pipeline.Journal) (map[string]pipeline.Record, error) {
	done := map[string]pipeline.Record{}
	for rec, err := range j.Records() {
		if err != nil {
			return nil, err
		}
		switch {
		case rec.Step == "":
		case rec.Event == pipeline.Done:
			done[rec.Step] = rec
		case rec.Event == pipeline.Undone:
			delete(done, rec.Step)
		}
	}
	return done, nil
}

// verified is what was seen of a version.
type verified struct {
	Project  string           `json:"project"`
	Version  string           `json:"version"`
	Findings []phases.Finding `json:"findings"`
}

func (v verified) count() (failed, unknown int) {
	for _, f := range v.Findings {
		switch f.Verdict {
		case gate.Pass:
		case gate.Fail:
			failed++
		default:
			unknown++
		}
	}
	return failed, unknown
}

// Show lists the findings.
func (v verified) Show(p *ui.Page) {
	p.Line(ui.Cell{Text: v.Project + " " + v.Version, Style: ui.Bold}, ui.Cell{Text: "  as anybody sees it"})
	var rows []ui.Row
	for _, f := range v.Findings {
		rows = append(rows, ui.Row{Sign: p.Verdict(f.Verdict), Name: f.What, Text: f.Found, Full: !f.OK()})
	}
	p.Rows("  ", rows...)
	if failed, unknown := v.count(); failed+unknown == 0 {
		p.Gap()
		p.Printf("all is as it should be: %s\n", ui.Count(len(v.Findings), "finding"))
	}
}
