package cli

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline/gate"
)

func (a *app) doctor() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check tools, keys, remotes and disk room before they are needed",
		Long: `Checks what a release will need: the tools that release.yaml requires, in their version ranges, the optional tools that
judge packages, the keys that you can approve with, the remotes (whom they take you for, whether you may write, their
host keys), and room on the disk. Nothing is changed, no secret is shown.

A credential that is not here is no fault, for another machine may publish; one that a remote refuses is.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.project()
			if err != nil {
				return err
			}
			d := a.examine(cmd.Context(), p)
			if err := a.ui.Show(d); err != nil {
				return err
			}
			if n := d.missing(); n > 0 {
				return exitf(exitFailed, "%s would keep a release from being made", ui.Count(n, "finding"))
			}
			return nil
		},
	}
}

// finding is one thing that was looked at.
type finding struct {
	Kind    string   `json:"kind"` // tool, judge, key, remote or disk
	Name    string   `json:"name"`
	OK      bool     `json:"ok"`
	Verdict string   `json:"verdict,omitempty"` // of a remote: pass, fail or unknown
	Needed  bool     `json:"needed"`            // a release cannot be made without
	Absent  bool     `json:"absent,omitempty"`  // there is no credential on this machine
	Found   string   `json:"found,omitempty"`
	Want    string   `json:"want,omitempty"`
	Hint    string   `json:"hint,omitempty"`
	Offered []string `json:"offered,omitempty"` // lines for known_hosts, with fingerprints before them: what a server shows

	verdict gate.Verdict
}

// diagnosis is all of it.
type diagnosis struct {
	Findings []finding `json:"findings"`
}

// missing counts what a release cannot do without: judges and keys it can.
func (d diagnosis) missing() (n int) {
	for _, f := range d.Findings {
		if !f.OK && f.Needed {
			n++
		}
	}
	return n
}

var kindTitles = []struct{ kind, title string }{
	{"tool", "Tools that release.yaml requires"},
	{"judge", "Tools that judge packages, used where release.yaml names them"},
	{"key", "Keys that you can approve with"},
	{"remote", "Remotes"},
	{"disk", "Disk"},
}

// Show lists the findings by kind.
func (d diagnosis) Show(p *ui.Page) {
	for _, k := range kindTitles {
		var rows []ui.Row
		for _, f := range d.Findings {
			if f.Kind != k.kind {
				continue
			}
			sign := p.Sign(f.OK, f.Needed)
			if f.Kind == "remote" && !f.Absent {
				sign = p.Verdict(f.verdict)
			}
			text := f.Found
			if f.Want != "" {
				text += "  wanted " + f.Want
			}
			if f.Hint != "" {
				text += "  (" + f.Hint + ")"
			}
			rows = append(rows, ui.Row{Sign: sign, Name: f.Name, Text: text, Full: !f.OK || f.Kind == "remote"})
		}
		if len(rows) == 0 {
			continue
		}
		p.Gap()
		p.Line(ui.Cell{Text: k.title, Style: ui.Bold})
		p.Rows("  ", rows...)
		for _, f := range d.Findings {
			if f.Kind == k.kind && len(f.Offered) > 0 {
				p.Line(ui.Cell{Text: "  what " + f.Name + " shows to anybody:"})
				for _, line := range f.Offered {
					p.Whole(ui.Cell{Text: "    " + line})
				}
			}
		}
	}
}

// room is the disk space below which a release is not begun with confidence, in bytes: work trees, packages and an
// archive of them for a product of some hundred megabytes.
const room = 1 << 30

func (a *app) examine(ctx context.Context, p *project) (d diagnosis) {
	for _, name := range slices.Sorted(maps.Keys(p.config.Requires)) {
		t := phases.ExamineTool(ctx, name, p.config.Requires[name])
		f := finding{Kind: "tool", Needed: true, Name: t.Name, OK: t.OK, Found: t.Found, Hint: t.Hint}
		if !t.OK {
			f.Want = t.Want
		}
		d.Findings = append(d.Findings, f)
	}
	seen := map[string]bool{}
	for _, j := range phases.ExamineJudges() {
		if seen[j.Name] {
			continue
		}
		seen[j.Name] = true
		f := finding{Kind: "judge", Name: j.Name, OK: j.Path != "", Found: j.Path}
		if !f.OK {
			f.Found, f.Hint = "missing", "apt-get install "+j.Debian
		}
		d.Findings = append(d.Findings, f)
	}
	if t, planned := phases.ExamineMerge(ctx, p.config); planned {
		f := finding{Kind: "tool", Needed: true, Name: "git for the merge", OK: t.OK, Found: t.Found, Hint: t.Hint}
		if !t.OK {
			f.Want = t.Want
		}
		d.Findings = append(d.Findings, f)
	}
	d.Findings = append(d.Findings, a.examineKeys(ctx, p)...)
	d.Findings = append(d.Findings, a.examineRemotes(ctx, p)...)
	want := p.config.Disk
	if want == 0 {
		want = room
	}
	r := phases.ExamineRoom(p.repo.Root(), want)
	f := finding{Kind: "disk", Needed: true, Name: "free", OK: r.OK, Found: r.Found}
	if !f.OK {
		f.Want, f.Hint = r.Want, a.command("clean")+" removes work files and old packages"
	}
	return diagnosis{append(d.Findings, f)}
}

// examineRemotes asks the remotes whom they take us for. What did not answer, and a credential that is not here, keep
// nothing from being released by another machine or later.
func (a *app) examineRemotes(ctx context.Context, p *project) (out []finding) {
	a.ui.Doing("asking the remotes")
	defer a.ui.Doing("")
	for _, r := range phases.ExamineRemotes(ctx, world(), p.config, p.repo) {
		f := finding{Kind: "remote", Name: r.Name, Verdict: r.Verdict.String(), verdict: r.Verdict, OK: r.Verdict == gate.Pass, Needed: r.Verdict == gate.Fail, Found: r.Found, Hint: r.Hint, Absent: r.Absent}
		for _, k := range r.Offered {
			f.Offered = append(f.Offered, k.Fingerprint+"  "+k.Line)
		}
		out = append(out, f)
	}
	return out
}

// examineKeys lists the approver roles that ssh-agent's keys would do for. Approvers count as they stand at HEAD.
func (a *app) examineKeys(ctx context.Context, p *project) (out []finding) {
	head, err := p.repo.Head()
	var text []byte
	if err == nil {
		text, err = p.repo.File(head.ID, p.file)
	}
	config := p.config
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []finding{{Kind: "key", Name: "approvers", Found: "unknown: " + p.file + " is not committed", Hint: "keys count once they are"}}
	case err == nil:
		config, err = phases.Load(p.file, text)
	}
	if err != nil {
		return []finding{{Kind: "key", Name: "approvers", Found: "unknown: " + firstLine(err.Error())}}
	}
	if len(config.Approvers) == 0 {
		return nil
	}
	approvers, err := phases.NewApprovers(config.Approvers)
	if err != nil {
		return []finding{{Kind: "key", Name: "approvers", Found: "unknown: " + err.Error()}}
	}
	keys, done, err := phases.AgentSigners(ctx)
	if err != nil {
		return []finding{{Kind: "key", Name: "ssh-agent", Found: err.Error(), Hint: "--key FILE works without it"}}
	}
	defer done.Close()
	for _, role := range slices.Sorted(maps.Keys(config.Approvers)) {
		f := finding{Kind: "key", Name: role}
		if key, err := approvers.Pick(role, keys); err == nil {
			f.OK, f.Found = true, phases.Fingerprint(key.PublicKey())
		} else {
			f.Found = "no key of it in ssh-agent"
		}
		out = append(out, f)
	}
	return out
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
