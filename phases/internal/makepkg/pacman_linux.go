package makepkg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/sandbox"
	"github.com/imrightguy/slipway/phases/internal/tool"
)

// qkkSummary is the line that ends `pacman -Qkk NAME`. It begins with the package's name.
var qkkSummary = regexp.MustCompile(`(?m)^\S+: (\d+) total files, (\d+) altered files?$`)

// noScriptlet is the line of `pacman -Qi` that says so.
var noScriptlet = regexp.MustCompile(`(?m)^Install Script +: No$`)

// bookkeeping lists what pacman itself leaves in a root.
var bookkeeping = []string{"var/lib/pacman", "var/cache/pacman", "var/log/pacman.log", "hooks", "gnupg"}

// InstallRemove installs a package into an empty root, lets pacman compare every file with
// the package, removes it again and looks for what is left. Dependencies are not resolved
// and install scriptlets are not run. An error means that a step could not be carried out;
// what the steps found is in the report.
func InstallRemove(ctx context.Context, pkgfile string) (_ Report, err error) {
	if err := sandbox.Need("pacman", "bash"); err != nil {
		return Report{}, err
	}
	b, err := sandbox.New(ctx)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	p := &pacman{Box: b, report: Report{Isolation: b.Isolation}}
	err = p.installRemove(ctx, pkgfile)
	p.report.Output = p.log.String()
	return p.report, err
}

type pacman struct {
	*sandbox.Box
	report Report
	log    strings.Builder
}

func (p *pacman) installRemove(ctx context.Context, pkgfile string) error {
	for _, name := range append([]string{"var/log"}, bookkeeping...) {
		if strings.HasSuffix(name, ".log") {
			continue
		}
		if err := os.MkdirAll(p.Outside("root", name), 0o755); err != nil {
			return err
		}
	}
	// The name is the caller's, and pacman takes words with :// for addresses.
	if err := sandbox.CopyFile(pkgfile, p.Outside("package"+packageExt), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(p.Outside("pacman.conf"), []byte(p.conf()), 0o644); err != nil {
		return err
	}
	if err := p.HandOver(); err != nil {
		return err
	}

	file := p.Inside("package" + packageExt)
	out, err := p.pacman(ctx, "-Qp", file)
	if err != nil {
		return err
	}
	words := strings.Fields(out)
	if len(words) != 2 {
		return fmt.Errorf("cannot read name and version from %q", out)
	}
	p.report.Name, p.report.Version = words[0], words[1]
	if out, err = p.pacman(ctx, "-Qip", file); err != nil {
		return err
	}
	if p.report.Scriptlet = !noScriptlet.MatchString(out); p.report.Scriptlet {
		return nil
	}
	if out, err = p.pacman(ctx, "-Qlpq", file); err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		path := strings.TrimSuffix(line, "\n")
		p.report.Files = append(p.report.Files, strings.TrimPrefix(strings.TrimPrefix(path, p.Inside("root")), "/"))
	}
	slices.Sort(p.report.Files)

	if _, err = p.pacman(ctx, "-U", "-dd", "--noscriptlet", file); err != nil {
		return err
	}
	if out, err = p.pacman(ctx, "-Q"); err != nil {
		return err
	}
	if got, want := strings.TrimSpace(out), p.report.Name+" "+p.report.Version; got != want {
		return fmt.Errorf("pacman says %q is installed, want %q", got, want)
	}
	if err := p.compare(ctx); err != nil {
		return err
	}
	if _, err = p.pacman(ctx, "-R", "-dd", "--noscriptlet", p.report.Name); err != nil {
		return err
	}
	return p.findLeftovers()
}

// compare asks pacman whether each installed file equals the package's record of it.
// pacman ends with 1 where files are altered: that is a finding, not an error. The summary
// is on its standard output, what is altered on the other.
func (p *pacman) compare(ctx context.Context) error {
	out, err := p.pacman(ctx, "-Qkk", p.report.Name)
	if exit := (*tool.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return err
	}
	m := qkkSummary.FindStringSubmatch(out)
	if m == nil {
		return errors.Join(fmt.Errorf("cannot find pacman's summary in %q", out), err)
	}
	if p.report.Total, err = strconv.Atoi(m[1]); err != nil {
		return err
	}
	p.report.Altered, err = strconv.Atoi(m[2])
	return err
}

func (p *pacman) findLeftovers() error {
	root := p.Outside("root")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if rel == "." || slices.ContainsFunc(bookkeeping, func(b string) bool { return strings.HasPrefix(b, rel+"/") }) {
			return nil
		}
		if slices.Contains(bookkeeping, rel) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		p.report.Leftovers = append(p.report.Leftovers, rel)
		return nil
	})
	slices.Sort(p.report.Leftovers)
	return err
}

func (p *pacman) pacman(ctx context.Context, args ...string) (string, error) {
	argv := append([]string{"pacman", "--config", p.Inside("pacman.conf"), "--noconfirm", "--color", "never"}, args...)
	out, err := p.Run(ctx, sandbox.Command{Argv: argv, Dir: "home", AsRoot: true})
	fmt.Fprintf(&p.log, "$ pacman %s\n%s", strings.Join(args, " "), out.Tail)
	return out.Stdout, err
}

func (p *pacman) conf() string {
	in := func(name string) string { return p.Inside("root/" + name) }
	return "[options]\n" +
		"RootDir = " + in("") + "\n" +
		"DBPath = " + in("var/lib/pacman/") + "\n" +
		"CacheDir = " + in("var/cache/pacman/") + "\n" +
		"LogFile = " + in("var/log/pacman.log") + "\n" +
		"GPGDir = " + in("gnupg/") + "\n" +
		"HookDir = " + in("hooks/") + "\n" +
		"Architecture = auto x86_64 aarch64\n" +
		"SigLevel = Never\nLocalFileSigLevel = Never\n"
}
