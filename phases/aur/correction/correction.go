// Package correction decides under which version an older payload is published again after a bad release: pacman never
// goes back by itself, so the package's version has to rise while what it installs is older.
//
//	3.2.1-1 is bad, 3.2.0 was good      3.2.1+really3.2.0-1, which 3.2.2-1 follows
//	with the build number kept          3.2.1+1-1 becomes 3.2.1+1+really3.2.0-1, which 3.2.1+2-1 follows
//	gone back before                    3.2.1+really3.2.0-1 becomes 3.2.1+really3.2.0+really3.1.0-1
//	with an epoch                       1:3.2.0-1, which only versions with that epoch or a higher one follow, for ever
//
// What is published decides, not what release.yaml says: the tip of the AUR repository is read, and the bad release must
// be there. Where the repository's history knows the older version, the payload must still be what users got then.
package correction

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"github.com/imrightguy/slipway/phases/aur/history"
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
	was, err := at(r, tip)
	if err != nil {
		return nil, fmt.Errorf("cannot tell what version of %s is published: %w; %s", s.Package.Name, err, s.Instead)
	}
	bad, err := s.newestBad(r, tip)
	if err != nil {
		return nil, err
	}
	now, err := s.next(was, bad)
	if err != nil {
		return nil, fmt.Errorf("%w; %s", err, s.Instead)
	}
	if err := s.unchanged(ws, r, tip); err != nil {
		return nil, fmt.Errorf("%w; %s", err, s.Instead)
	}
	ws.Logf("%s has %s, which %s follows", s.Package.Name, was, now)
	return pipeline.Receipt{KeyPkgVer: now.PkgVer, KeyPkgRel: now.PkgRel, KeyEpoch: now.Epoch, "published": was.String()}, nil
}

// at is the version that a commit publishes.
func at(r *git.Repository, commit plumbing.Hash) (v remote.Version, err error) {
	if commit.IsZero() {
		return v, errors.New("its AUR repository is empty")
	}
	text, err := srcinfo(r, commit)
	if err == nil {
		v, err = remote.ReadVersion(text)
	}
	return v, err
}

func srcinfo(r *git.Repository, commit plumbing.Hash) (string, error) {
	files, err := history.Files(r, commit)
	if err != nil {
		return "", err
	}
	f := files[".SRCINFO"]
	if f.Size == 0 {
		return "", errors.New("there is no .SRCINFO")
	}
	return f.Text(subject.MaxFile)
}

// word is what stands between a bad version and the older one that it holds in truth.
const word = "+really"

// next is the version that follows the published one with the older payload. Where that is what is published, it stays.
// Bad is the newest version of the bad release that ever was published, zero for none: somebody may have put the older
// version back as it was, which reaches nobody who has the bad one.
func (s step) next(was, bad remote.Version) (now remote.Version, err error) {
	from := was
	there := s.isGood(was.PkgVer)
	if reverted := there && bad.PkgVer != "" && pkgbuild.Vercmp(was.String(), bad.String()) < 0; reverted {
		from, there = bad, false
	}
	epoch := 0
	if from.Epoch != "" {
		if epoch, err = strconv.Atoi(from.Epoch); err != nil || epoch < 0 {
			return now, fmt.Errorf("%s has epoch %s, which no package can follow", s.Package.Name, from.Epoch)
		}
	}
	now = remote.Version{PkgRel: "1", Epoch: strconv.Itoa(epoch)}
	theirs := s.isBad(from.PkgVer)
	switch {
	case strings.HasSuffix(from.PkgVer, word+s.Good) && theirs && !s.Epoch, there && s.Epoch && epoch > 0 && bad.PkgVer != "":
		now.PkgVer, now.PkgRel = from.PkgVer, from.PkgRel
		return now, nil
	case !theirs:
		return now, fmt.Errorf("the AUR has %s %s, and not %s: there is nothing of that release to correct, or somebody else has published since", s.Package.Name, was, s.Bad)
	case s.Epoch:
		now.PkgVer, now.Epoch = s.Good, strconv.Itoa(epoch+1)
		return now, nil
	}
	now.PkgVer, err = pkgbuild.Really(from.PkgVer, s.Good)
	return now, err
}

// isBad tells that a pkgver is of the release that is gone back from, also where an older payload was put under it.
func (s step) isBad(pkgver string) bool {
	return pkgver == s.Bad || strings.HasPrefix(pkgver, s.Bad+"+")
}

// isGood tells that a pkgver is the older version as itself.
func (s step) isGood(pkgver string) bool {
	return pkgver == s.Good || strings.HasPrefix(pkgver, s.Good+"+") && !strings.HasPrefix(pkgver, s.Good+word)
}

// newestBad is the newest version of the bad release in a repository's history; zero where there is none.
func (s step) newestBad(r *git.Repository, tip plumbing.Hash) (bad remote.Version, err error) {
	return bad, each(r, tip, func(_ plumbing.Hash, v remote.Version, _ string) error {
		if !s.isBad(v.PkgVer) {
			return nil
		}
		bad = v
		return storer.ErrStop
	})
}

// each looks at the commits of a repository that have a version, newest first, with their .SRCINFO.
func each(r *git.Repository, tip plumbing.Hash, look func(plumbing.Hash, remote.Version, string) error) error {
	log, err := r.Log(&git.LogOptions{From: tip})
	if err != nil {
		return fmt.Errorf("cannot read the history of the AUR repository: %w", err)
	}
	defer log.Close()
	err = log.ForEach(func(c *object.Commit) error {
		text, err := srcinfo(r, c.Hash)
		if err != nil {
			return nil //nolint:nilerr // a commit of others' that has no readable one
		}
		v, err := remote.ReadVersion(text)
		if err != nil {
			return nil //nolint:nilerr // likewise
		}
		return look(c.Hash, v, text)
	})
	if err != nil {
		return fmt.Errorf("cannot read the history of the AUR repository: %w", err)
	}
	return nil
}

// unchanged compares the sources with what the repository's history says of the older version.
func (s step) unchanged(ws *pipeline.Workspace, r *git.Repository, tip plumbing.Hash) error {
	sums, commit, err := s.known(r, tip)
	if err != nil || sums == nil {
		return err
	}
	for _, src := range s.Sources {
		a, _, err := ws.Input(src.Artifact)
		if err != nil {
			return err
		}
		if want := sums[src.URL]; want != "" && want != a.SHA256 {
			return fmt.Errorf("%s is not what it was when %s was published: it has SHA-256 %s, and the AUR commit %s wanted %s",
				src.Artifact, s.Good, a.SHA256, commit.String()[:12], want)
		}
	}
	return nil
}

// known finds the newest commit that published the older version as itself, and the sums of its sources by address; nil
// where there is none.
func (s step) known(r *git.Repository, tip plumbing.Hash) (sums map[string]string, at plumbing.Hash, err error) {
	err = each(r, tip, func(commit plumbing.Hash, v remote.Version, text string) error {
		if v.PkgVer != s.Good && (!strings.HasPrefix(v.PkgVer, s.Good+"+") || strings.Contains(v.PkgVer, word)) {
			return nil
		}
		info, err := pkgbuild.ParseSRCINFO(strings.NewReader(text))
		if err != nil {
			return nil //nolint:nilerr // a commit of others'
		}
		list, _ := published.Sources(info)
		sums, at = map[string]string{}, commit
		for _, src := range list {
			sums[src.URL] = src.SHA256
		}
		return storer.ErrStop
	})
	return sums, at, err
}
