package verify

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	gittransport "github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/imrightguy/slipway/phases/aur/published"
	"github.com/imrightguy/slipway/phases/internal/aurweb"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
)

// aur looks at a package: what the index shows, what the repository's newest commit says, and whether its sources are
// what it says they are.
func (l *looker) aur(ctx context.Context, p Package) {
	what := "AUR " + p.Name
	host, err := hostOf(p.Remote.URL)
	if err != nil {
		l.unknown(what, err)
		return
	}
	tip, err := l.tip(ctx, host, p)
	if errors.Is(err, gitremote.ErrNoRepository) || errors.Is(err, errEmpty) {
		l.fail(what, "there is no such package: %v", err)
		return
	} else if err != nil {
		l.unknown(what, err)
	}
	if tip == nil {
		l.index(ctx, host, p.Name, "")
		return
	}
	fits, newer := l.fits(p, tip)
	switch {
	case fits:
		l.pass(what, "its newest commit is of %s", tip.Version())
	case newer:
		l.pass(what, "it has gone on to %s", tip.Version())
	default:
		l.fail(what, "its newest commit is of %s, not of %s", tip.Version(), l.Version)
	}
	l.index(ctx, host, p.Name, tip.Version())
	if !fits && newer {
		return // another release's
	}
	sources, faults := published.Sources(tip)
	for _, fault := range faults {
		l.fail(what+" sources", "%s", fault)
	}
	for _, src := range sources {
		l.say(src.Name)
		c, err := l.fetch.hash(ctx, src.URL)
		name := what + " " + src.Name
		switch {
		case errors.Is(err, errAbsent):
			l.fail(name, "%s: %v", shown(src.URL), err)
		case err != nil:
			l.unknown(name, fmt.Errorf("%s: %w", shown(src.URL), err))
		case c.SHA256 != src.SHA256:
			l.fail(name, "%s has SHA-256 %.12s, the PKGBUILD wants %.12s", shown(src.URL), c.SHA256, src.SHA256)
		default:
			l.pass(name, "%d bytes, SHA-256 %.12s, as the PKGBUILD wants", c.Size, c.SHA256)
		}
	}
	if home := tip.Base.First("url"); home != "" {
		l.link(ctx, what+" url", home)
	}
}

// fits says whether a package is of the release's version, and of the packaging that was made or a later one; newer, that
// it is of a later version.
func (l *looker) fits(p Package, tip *pkgbuild.SRCINFO) (fits, newer bool) {
	pkgver := tip.Base.First("pkgver")
	for _, keep := range []bool{false, true} {
		want, err := pkgbuild.PkgVer(l.Version.String(), keep)
		if err != nil {
			continue
		}
		fits = fits || pkgver == want
		newer = newer || pkgbuild.Vercmp(pkgver, want) > 0
	}
	if p.Version != "" {
		made := pkgbuild.Vercmp(tip.Version(), p.Version)
		return made == 0 || made > 0 && fits, made > 0
	}
	return fits, newer
}

// index compares the version that the AUR shows. tip is "" where it is not known.
func (l *looker) index(ctx context.Context, host, name, tip string) {
	what := "AUR " + name + " index"
	index, err := aurweb.New(aurweb.Options{BaseURL: "https://" + host, Transport: l.e.HTTP, Clock: clock(l.e)})
	var known map[string]aurweb.Package
	if err == nil {
		known, err = index.Info(ctx, name)
	}
	at, there := known[name]
	switch {
	case err != nil:
		l.unknown(what, err)
	case !there:
		l.fail(what, "it does not show the package")
	case tip == "":
		l.unknown(what, fmt.Errorf("it shows %s; what the repository has is not known", at.Version))
	case at.Version != tip:
		l.unknown(what, fmt.Errorf("it shows %s and not yet %s: it follows late", at.Version, tip))
	default:
		l.pass(what, "it shows %s", at.Version)
	}
}

// maxAUR bounds what is fetched of a package's repository, in bytes: its files are small by the AUR's own rules.
const maxAUR = 64 << 20

var errEmpty = errors.New("it has no branch master")

// tip reads the .SRCINFO of the newest commit.
func (l *looker) tip(ctx context.Context, host string, p Package) (*pkgbuild.SRCINFO, error) {
	ctx, cancel := context.WithTimeout(ctx, gitTime)
	defer cancel()
	const ref = "refs/heads/master"
	a, refs, err := l.open(ctx, "https://"+host+"/"+p.Name+".git", p.Remote)
	if err != nil {
		return nil, err
	}
	if refs[ref].Hash == "" {
		return nil, errEmpty
	}
	s, done, err := l.store(ctx, a, gitremote.Wanted{Refs: []string{ref}, Depth: 1, Limit: maxAUR})
	defer done()
	if err != nil {
		return nil, err
	}
	r, err := git.Open(s, nil)
	if err != nil {
		return nil, err
	}
	c, err := object.GetCommit(r.Storer, plumbing.NewHash(refs[ref].Hash))
	if err != nil {
		return nil, err
	}
	f, err := c.File(".SRCINFO")
	if err != nil {
		return nil, fmt.Errorf("its newest commit has no .SRCINFO: %w", err)
	}
	if f.Size > pkgbuild.MaxFile {
		return nil, fmt.Errorf("its .SRCINFO has %d bytes", f.Size)
	}
	text, err := f.Contents()
	if err != nil {
		return nil, err
	}
	info, err := pkgbuild.ParseSRCINFO(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("cannot read its .SRCINFO: %w", err)
	}
	return info, nil
}

// hostOf is the host of a git remote.
func hostOf(remote string) (string, error) {
	e, err := gittransport.NewEndpoint(remote)
	if err != nil || e.Host == "" || e.Protocol == "file" {
		return "", fmt.Errorf("cannot tell the host of %q", remote)
	}
	return (&url.URL{Host: e.Host}).Hostname(), nil
}
