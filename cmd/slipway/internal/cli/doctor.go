package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
)

func (a *app) doctor() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check tools, keys and disk room before they are needed",
		Long: `Checks what a release will need: the tools that release.yaml requires, in their version ranges, the optional tools that
judge packages, the keys that you can approve with, and room on the disk. Nothing is changed, no secret is shown.`,
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
	Kind  string `json:"kind"` // tool, judge, key or disk
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Found string `json:"found,omitempty"`
	Want  string `json:"want,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// diagnosis is all of it.
type diagnosis struct {
	Findings []finding `json:"findings"`
}

// missing counts what a release cannot do without: judges and keys it can.
func (d diagnosis) missing() (n int) {
	for _, f := range d.Findings {
		if !f.OK && (f.Kind == "tool" || f.Kind == "disk") {
			n++
		}
	}
	return n
}

var kindTitles = []struct{ kind, title string }{
	{"tool", "Tools that release.yaml requires"},
	{"judge", "Tools that judge packages, used where release.yaml names them"},
	{"key", "Keys that you can approve with"},
	{"disk", "Disk"},
}

// Show lists the findings by kind.
func (d diagnosis) Show(p *ui.Page) {
	for _, k := range kindTitles {
		var rows [][]ui.Cell
		for _, f := range d.Findings {
			if f.Kind != k.kind {
				continue
			}
			sign := p.Sign(f.OK, f.Kind == "tool" || f.Kind == "disk")
			text := f.Found
			if f.Want != "" {
				text += "  wanted " + f.Want
			}
			if f.Hint != "" {
				text += "  (" + f.Hint + ")"
			}
			rows = append(rows, []ui.Cell{sign, {Text: f.Name}, {Text: text}})
		}
		if len(rows) > 0 {
			p.Gap()
			p.Line(ui.Cell{Text: k.title, Style: ui.Bold})
			p.Table("  ", rows...)
		}
	}
}

// judges are the programs that distributions judge packages with, and the Debian package that has each.
var judges = []struct{ name, debian string }{
	{"dpkg-deb", "dpkg"},
	{"lintian", "lintian"},
	{"makepkg", "makepkg"},
	{"pacman", "pacman-package-manager"},
	{"bsdtar", "libarchive-tools"},
	{"fakeroot", "fakeroot"},
	{"bwrap", "bubblewrap"},
	{"zstd", "zstd"},
	{"desktop-file-validate", "desktop-file-utils"},
	{"appstreamcli", "appstream"},
	{"unsquashfs", "squashfs-tools"},
	{"zsync", "zsync"},
}

// room is the disk space below which a release is not begun with confidence, in bytes: work trees, packages and an
// archive of them for a product of some hundred megabytes.
const room = 1 << 30

func (a *app) examine(ctx context.Context, p *project) (d diagnosis) {
	for _, name := range slices.Sorted(maps.Keys(p.config.Requires)) {
		d.Findings = append(d.Findings, examineTool(ctx, name, p.config.Requires[name]))
	}
	for _, j := range judges {
		f := finding{Kind: "judge", Name: j.name}
		if path, err := exec.LookPath(j.name); err == nil {
			f.OK, f.Found = true, path
		} else {
			f.Found, f.Hint = "missing", "apt-get install "+j.debian
		}
		d.Findings = append(d.Findings, f)
	}
	d.Findings = append(d.Findings, a.examineKeys(ctx, p)...)
	f := finding{Kind: "disk", Name: "free"}
	if free, err := freeBytes(p.repo.Root()); err != nil {
		f.OK, f.Found = true, "unknown: "+err.Error()
	} else {
		f.OK, f.Found = free >= room, ui.Bytes(free)
		if !f.OK {
			f.Want, f.Hint = ui.Bytes(room), a.command("clean")+" removes work files and old packages"
		}
	}
	return diagnosis{append(d.Findings, f)}
}

// toolName is what a program may be called that is looked for in PATH.
var toolName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)

// versionText finds the first version in what a program says of itself.
var versionText = regexp.MustCompile(`\d+\.\d+(\.\d+)?`)

// toolTimeout is what a program gets to say its version. Some make their caches first.
const toolTimeout = 20 * time.Second

// examineTool asks a program for its version and compares that with the range.
func examineTool(ctx context.Context, name, want string) finding {
	f := finding{Kind: "tool", Name: name, Want: want}
	if !toolName.MatchString(name) {
		f.Found = "is not the name of a program"
		return f
	}
	wanted, err := semver.NewConstraint(want)
	if err != nil {
		f.Found = "the range cannot be read: " + err.Error()
		return f
	}
	path, err := exec.LookPath(name)
	if err != nil {
		f.Found, f.Hint = "missing", "install it, or add its folder to PATH"
		return f
	}
	arg := "--version"
	if name == "go" {
		arg = "version"
	}
	ctx, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, arg)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	text := versionText.FindString(string(out))
	switch {
	case text == "" && err != nil:
		f.Found = fmt.Sprintf("%s %s did not tell its version: %v", name, arg, err)
	case text == "":
		f.Found = fmt.Sprintf("%s %s did not tell its version", name, arg)
	default:
		found, err := semver.NewVersion(text)
		if f.Found = text; err == nil && wanted.Check(found) {
			f.OK, f.Want = true, ""
		}
	}
	return f
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
