// Package correction decides under which version an older payload is published again after a bad release: pacman never
// goes back by itself, so the package's version has to rise while what it installs is older.
//
//	3.2.1-1 is bad, 3.2.0 was good      3.2.1+really3.2.0-1, which 3.2.2-1 follows
//	with the build numbers kept         3.2.1+1-1 becomes 3.2.1+1+really3.2.0+4-1, which 3.2.1+2-1 follows for pacman
//	gone back before                    3.2.1+really3.2.0-1 becomes 3.2.1+really3.2.0+really3.1.0-1
//	with an epoch                       1:3.2.0-1, which only versions with that epoch or a higher one follow, for ever
//	and from there further back         1:3.2.0+really3.1.0-1
//	others have committed on top of it  3.2.1+really3.2.0-1 becomes 3.2.1+really3.2.0-2
//
// What is published decides, not what release.yaml says. The history of the AUR repository is read, and the bad release
// must be there. The greatest version counts that users of it can have, of the bad release or of a correction, not the tip
// alone: where others have put the bad release back behind a correction, 3.2.1-2 after 3.2.1+really3.2.0-1, the next one
// has to follow both. Where the history knows the older version, the payload must still be what users got then.
package correction

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/imrightguy/slipway/phases/aur/published"
	"github.com/imrightguy/slipway/phases/aur/remote"
	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/pipeline"
)

// The keys of the receipt, as the step that makes the PKGBUILD reads them.
const (
	KeyPkgVer = "pkgver"
	KeyPkgRel = "pkgrel"
	KeyEpoch  = "epoch" // a number; 0 for none
)

// Options say what is gone back from, and to.
type Options struct {
	Package subject.Package
	Bad     string // pkgver of the bad release, without its build number
	Good    string // pkgver of the older one
	Epoch   bool   // raise the epoch instead
	Sources []Source
	Needs   []string // steps that fetch the sources
	Instead string   // what else can be done
}

// Source is a file of the older release.
type Source struct{ Artifact, URL string }

// StepID is the ID of the step for a package.
func StepID(p subject.Package) string { return p.StepID("version") }

// Step returns the step that decides. Its receipt says the version, in the parts of a PKGBUILD.
func Step(o Options) pipeline.Step { return step{o} }

type step struct{ Options }

func (s step) Spec() pipeline.Spec {
	sp := pipeline.Spec{ID: StepID(s.Package), Needs: s.Needs, Params: s.Package.Where()}
	sp.Params["bad"], sp.Params["good"], sp.Params["epoch"] = s.Bad, s.Good, strconv.FormatBool(s.Epoch)
	for _, src := range s.Sources {
		sp.Inputs = append(sp.Inputs, "artifact:"+src.Artifact)
	}
	return sp
}

// gitTime is how long a look at the repository may take.
const gitTime = 5 * time.Minute

func (s step) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	e, err := endpoint.Of(ws)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, gitTime)
	defer cancel()
	access, err := s.Package.Access(ctx, e)
	if err != nil {
		return nil, err
	}
	r, tip, err := access.Clone(ctx, subject.Branch)
	if err != nil {
		return nil, fmt.Errorf("cannot look at the AUR repository: %w", err)
	}
	was, err := remote.At(r, tip)
	if err != nil {
		return nil, fmt.Errorf("cannot tell what version of %s is published: %w; %s", s.Package.Name, err, s.Instead)
	}
	all, err := remote.All(r, tip)
	if err != nil {
		return nil, err
	}
	now, err := s.next(all)
	if _, covered := errors.AsType[coveredError](err); err != nil && !covered {
		err = fmt.Errorf("%w; %s", err, s.Instead)
	}
	if err != nil {
		return nil, err
	}
	if err := s.unchanged(ws, all); err != nil {
		return nil, fmt.Errorf("%w; %s", err, s.Instead)
	}
	ws.Logf("%s has %s, which %s follows", s.Package.Name, was.Version, now)
	return pipeline.Receipt{KeyPkgVer: now.PkgVer, KeyPkgRel: now.PkgRel, KeyEpoch: now.Epoch, "published": was.String()}, nil
}

// coveredError says which release users have to be brought back from, where that was corrected to this one.
type coveredError string

func (e coveredError) Error() string { return string(e) }

// word is what stands between a bad version and the older one that it holds in truth.
const word = "+really"

// next is the version with the older payload that follows all that users of the bad release can have, by what was
// published, the tip first. Where that is the tip, and a run of Slipway has made it, it stays.
func (s step) next(all []remote.Published) (now remote.Version, err error) {
	tip := all[0]
	bad := remote.Greatest(all, func(p remote.Published) bool { return s.isBad(p.PkgVer) })
	// What our runs have published above it although it is older was gone back to with an epoch.
	raised := map[[2]string]bool{}
	for _, p := range all {
		if bad != nil && p.Ours && pkgbuild.Vercmp(p.String(), bad.String()) > 0 && pkgbuild.Vercmp(p.PkgVer, s.Bad) < 0 {
			raised[[2]string{p.Epoch, p.PkgVer}] = true
		}
	}
	theirs := func(p remote.Published) bool { return s.isBad(p.PkgVer) || raised[[2]string{p.Epoch, p.PkgVer}] }
	from := tip
	if p := remote.Greatest(all, theirs); p != nil && pkgbuild.Vercmp(p.String(), tip.String()) > 0 {
		from = *p
	}
	var epoch int64
	if from.Epoch != "" {
		if epoch, err = strconv.ParseInt(from.Epoch, 10, 32); err != nil {
			return now, fmt.Errorf("%s has epoch %s, which no package can follow", s.Package.Name, from.Epoch)
		}
	}
	now = remote.Version{PkgRel: "1", Epoch: strconv.FormatInt(epoch, 10)}
	switch {
	case strings.HasSuffix(from.PkgVer, word+s.Good) && theirs(from) && !s.Epoch, bad != nil && s.isGood(from.PkgVer):
		now.PkgVer, now.PkgRel = from.PkgVer, from.PkgRel
		if !tip.Ours || from.Commit != tip.Commit { // with other content, which is replaced
			if now.PkgRel = pkgbuild.NextPkgRel(from.PkgRel); !whole.MatchString(now.PkgRel) {
				return now, fmt.Errorf("%s has pkgrel %s, which no package can follow", s.Package.Name, from.PkgRel)
			}
		}
	case !theirs(from) && from.Ours && s.isBad(inTruth(from.PkgVer)):
		first, _, _ := strings.Cut(from.PkgVer, "+")
		return now, coveredError(fmt.Sprintf("%[1]s %[2]s gives users %[3]s: slipway rollback %[4]s --to OLDER brings them back; then this one with --level github,hold",
			s.Package.Name, from.Version, s.Bad, first))
	case !theirs(from):
		return now, fmt.Errorf("the AUR has %s %s, and not %s: there is nothing of that release to correct, or somebody else has published since", s.Package.Name, tip.Version, s.Bad)
	case s.Epoch:
		now.PkgVer, now.Epoch = s.Good, strconv.FormatInt(epoch+1, 10)
	case !s.isBad(from.PkgVer) && pkgbuild.Vercmp(s.Good, from.PkgVer) > 0: // not as far back as before
		now.PkgVer = s.Good
	default:
		now.PkgVer, err = pkgbuild.Really(from.PkgVer, s.Good)
	}
	return now, err
}

// inTruth is the older version that a pkgver with a word holds; "" where it holds none.
func inTruth(pkgver string) string {
	i := strings.LastIndex(pkgver, word)
	if i < 0 {
		return ""
	}
	return pkgver[i+len(word):]
}

// whole is a pkgrel that is one.
var whole = regexp.MustCompile(`^[0-9]+$`)

// isBad tells that a pkgver is of the release that is gone back from, also where an older payload was put under it.
func (s step) isBad(pkgver string) bool {
	return pkgver == s.Bad || strings.HasPrefix(pkgver, s.Bad+"+")
}

// isGood tells that a pkgver is the older version as itself.
func (s step) isGood(pkgver string) bool {
	return pkgver == s.Good || strings.HasPrefix(pkgver, s.Good+"+") && !strings.HasPrefix(pkgver, s.Good+word)
}

// unchanged compares the sources with what the repository's history says of the older version, and says where it cannot.
func (s step) unchanged(ws *pipeline.Workspace, all []remote.Published) error {
	sums, commit := s.known(all)
	compared := 0
	for _, src := range s.Sources {
		a, _, err := ws.Input(src.Artifact)
		if err != nil {
			return err
		}
		want := sums[src.URL]
		if want != "" {
			compared++
		}
		if want != "" && want != a.SHA256 {
			return fmt.Errorf("%s is not what it was when %s was published: it has SHA-256 %s, and the AUR commit %s wanted %s",
				src.Artifact, s.Good, a.SHA256, commit.String()[:12], want)
		}
	}
	switch {
	case sums == nil:
		ws.Logf("the AUR's history of %s does not know %s: nothing can be compared with what users got then", s.Package.Name, s.Good)
	case compared == 0:
		ws.Logf("nothing can be compared with what users of %s got then: the AUR commit %.12s downloads from no address that is the same", s.Good, commit)
	}
	return nil
}

// known finds the newest commit that published the older version as itself, and the sums of its sources by address; nil
// where there is none.
func (s step) known(all []remote.Published) (sums map[string]string, commit plumbing.Hash) {
	for _, p := range all {
		if p.PkgVer != s.Good && (!strings.HasPrefix(p.PkgVer, s.Good+"+") || strings.Contains(p.PkgVer, word)) {
			continue
		}
		text, err := p.SRCINFO()
		if err != nil {
			continue
		}
		info, err := pkgbuild.ParseSRCINFO(strings.NewReader(text))
		if err != nil {
			continue // a commit of others'
		}
		list, _ := published.Sources(info)
		sums = map[string]string{}
		for _, src := range list {
			sums[src.URL] = src.SHA256
		}
		return sums, p.Commit
	}
	return nil, commit
}
