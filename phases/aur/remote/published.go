package remote

import (
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/imrightguy/slipway/phases/aur/history"
	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
)

// Published is what a commit of an AUR repository has given to users.
type Published struct {
	Version
	Commit  plumbing.Hash
	Ours    bool // made by a run of Slipway
	srcinfo history.File
}

// SRCINFO reads the text of its .SRCINFO.
func (p Published) SRCINFO() (string, error) { return p.srcinfo.Text(subject.MaxFile) }

// At is what a commit publishes.
func At(r *git.Repository, commit plumbing.Hash) (Published, error) {
	if commit.IsZero() {
		return Published{}, errors.New("its AUR repository is empty")
	}
	c, err := r.CommitObject(commit)
	if err != nil {
		return Published{}, fmt.Errorf("cannot read commit %s: %w", commit, err)
	}
	return of(r, c)
}

func of(r *git.Repository, c *object.Commit) (p Published, err error) {
	files, err := history.Files(r, c.Hash)
	if err != nil {
		return p, err
	}
	p.Commit, p.Ours, p.srcinfo = c.Hash, history.Marker(c.Message) != "", files[".SRCINFO"]
	if p.srcinfo.Size == 0 {
		return p, errors.New("there is no .SRCINFO")
	}
	text, err := p.SRCINFO()
	if err == nil {
		p.Version, err = ReadVersion(text)
	}
	return p, err
}

// All lists what a repository has published, newest first, without the commits of others that have no version which can
// be read.
func All(r *git.Repository, tip plumbing.Hash) (all []Published, err error) {
	log, err := r.Log(&git.LogOptions{From: tip})
	if err != nil {
		return nil, fmt.Errorf("cannot read the history of the AUR repository: %w", err)
	}
	defer log.Close()
	if err := log.ForEach(func(c *object.Commit) error {
		if p, err := of(r, c); err == nil {
			all = append(all, p)
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("cannot read the history of the AUR repository: %w", err)
	}
	return all, nil
}

// Greatest is what pacman takes for the newest of those that is says; of equal ones the first. Nil: there is none.
func Greatest(all []Published, is func(Published) bool) (top *Published) {
	for i, p := range all {
		if is(p) && (top == nil || pkgbuild.Vercmp(p.String(), top.String()) > 0) {
			top = &all[i]
		}
	}
	return top
}
