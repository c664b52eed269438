package judge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/makepkg"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
)

// readFull fills a buffer as far as the reader has something.
func readFull(r io.Reader, buf []byte) (int, error) {
	n, err := io.ReadFull(r, buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}

var errScriptlet = errors.New("it has an install scriptlet or hooks for pacman, and these are not run here")

func pacmanError(line string) bool {
	return strings.HasPrefix(line, "error: ") || strings.Contains(line, "exists in filesystem")
}

// install lets pacman install the package into an empty root and remove it.
func (j *judges) install(ctx context.Context) {
	r, err := makepkg.InstallRemove(ctx, j.built)
	if tail, is := refused(err); is {
		j.lines(Install, "pacman: ", tail, pacmanError)
		j.unknown(errors.New("it was not installed"), Remove)
		return
	} else if err != nil {
		j.unknown(err, Install, Remove)
		return
	}
	if r.Scriptlet {
		j.unknown(errScriptlet, Install, Remove)
		return
	}
	if want := j.srcinfo.Version(); r.Name != j.pkgname() || r.Version != want {
		j.fault(Install, "pacman installed %s %s, want %s %s", r.Name, r.Version, j.pkgname(), want)
	}
	if r.Altered > 0 {
		j.fault(Install, "pacman -Qkk: %d of %d files altered", r.Altered, r.Total)
	}
	if r.Total == 0 {
		j.fault(Install, "it holds no files")
	}
	j.found[Install].note = "dependencies are not resolved"
	for _, name := range r.Leftovers {
		j.fault(Remove, "%q is left after the removal", name)
	}
}

func (j *judges) pkgname() string {
	if len(j.srcinfo.Packages) == 0 {
		return j.Name
	}
	return j.srcinfo.Packages[0].PkgName
}

// start starts the programs of the package.
func (j *judges) start(ctx context.Context) {
	f := j.found[Start]
	if len(j.Options.Start) == 0 {
		f.expected = "no program is named to be started"
		return
	}
	started, err := makepkg.Start(ctx, j.built, j.room(), j.Options.Start...)
	if err != nil {
		j.unknown(err, Start)
		return
	}
	var names []string
	for _, s := range started {
		name := strings.Join(s.Argv, " ")
		names = append(names, name)
		switch {
		case s.Why != "":
			j.unknown(fmt.Errorf("%s: %s", name, s.Why), Start)
		case s.Status > 128:
			j.fault(Start, "%s: signal %d ended it", name, s.Status-128)
		case s.Status != 0:
			j.fault(Start, "%s: ended with status %d: %s", name, s.Status, lastLine(s.Output))
		case len(s.Argv) == 2 && s.Argv[1] == "--version":
			if got := versionText.FindString(s.Output); got != "" && !tells(s.Output, j.payload()) {
				j.fault(Start, "%s: it says %s, want %s", name, got, j.payload())
			}
		}
	}
	f.expected = "the programs start: " + strings.Join(names, ", ")
}

// payload is the version that the installed files carry.
func (j *judges) payload() string {
	if j.Payload != "" {
		return j.Payload
	}
	return j.ws.Env.Version
}

// tells reports whether a text names a version, with its build number or without, as a word of its own.
func tells(text, version string) bool {
	plain, _, _ := strings.Cut(version, "+")
	for _, word := range strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(" \t\r\n,;:()[]\"'/", c) }) {
		word = strings.TrimPrefix(strings.TrimSuffix(word, "."), "v")
		if word == version || word == plain || strings.HasPrefix(word, plain+"+") {
			return true
		}
	}
	return false
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return "it printed nothing"
}

// previous is the package that is published now.
type previous struct {
	none  bool
	built string
	err   error
}

// fetch gets the package that is published now, and builds it.
func (j *judges) fetch(ctx context.Context, p *previous) {
	if j.Previous == nil {
		p.err = errors.New("the version published before was not looked for")
		return
	}
	pub, err := j.Previous(ctx, j.ws)
	switch {
	case err != nil:
		p.err = fmt.Errorf("cannot get the version published before: %w", err)
		return
	case pub.None:
		p.none = true
		return
	case pub.Why != "":
		p.err = fmt.Errorf("cannot get the version published before: %s", pub.Why)
		return
	}
	arch := "x86_64"
	if file, err := os.Open(filepath.Join(pub.Files, ".SRCINFO")); err == nil {
		info, err := pkgbuild.ParseSRCINFO(file)
		file.Close()
		if err == nil && !slices.Contains(info.Base["arch"], arch) && len(info.Base["arch"]) > 0 && info.Base["arch"][0] != "any" {
			arch = info.Base["arch"][0]
		}
	}
	r, err := makepkg.Build(ctx, makepkg.Options{
		Dir: pub.Files, SrcDest: pub.Sources, PkgDest: filepath.Join(j.dir, "old"), Arch: arch, Contained: true, Timeout: buildTime,
	})
	if tail, is := refused(err); is {
		err = errors.New(lastLine(tail))
	} else if err == nil && len(r.Packages) != 1 {
		err = fmt.Errorf("makepkg made %d packages", len(r.Packages))
	}
	if err != nil {
		p.err = fmt.Errorf("cannot build the version published before: %w", err)
		return
	}
	p.built = r.Packages[0]
}

// upgrade lets pacman upgrade from that package to this one, as users do.
func (j *judges) upgrade(ctx context.Context, p *previous) {
	f := j.found[Upgrade]
	switch {
	case p.none:
		f.saw = "nothing was published before"
		return
	case p.err != nil:
		j.unknown(p.err, Upgrade)
		return
	}
	r, err := makepkg.Upgrade(ctx, p.built, j.built)
	if tail, is := refused(err); is {
		j.lines(Upgrade, "pacman: ", tail, pacmanError)
		return
	} else if err != nil {
		j.unknown(err, Upgrade)
		return
	}
	switch {
	case r.Scriptlet:
		j.unknown(errScriptlet, Upgrade)
		return
	case r.To != j.srcinfo.Version():
		why := ""
		if strings.Contains(r.Said, "is newer than") {
			why = ": for pacman what is installed is newer, so users would stay on it"
		}
		j.fault(Upgrade, "pacman -Syu from %s ends on %s, want %s%s", r.From, r.To, j.srcinfo.Version(), why)
	}
	if r.Altered > 0 {
		j.fault(Upgrade, "pacman -Qkk after the upgrade from %s: %d of %d files altered", r.From, r.Altered, r.Total)
	}
	f.saw = fmt.Sprintf("pacman -Syu from %s ends on %s, 0 altered files", r.From, r.To)
}
