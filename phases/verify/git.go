package verify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/imrightguy/slipway/phases/internal/carrier"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/phases/internal/repo"
)

const (
	dialTime = 20 * time.Second
	gitTime  = 5 * time.Minute // for all that is fetched of one repository
)

// open finds a way to read a repository: as anybody over https, else as release.yaml has it.
func (l *looker) open(ctx context.Context, public string, configured gitremote.Remote) (a gitremote.Access, refs map[string]gitremote.Ref, err error) {
	var errs []error
	for _, r := range []gitremote.Remote{{URL: public}, configured} {
		if r.URL == "" || r.URL == public && len(errs) > 0 {
			continue
		}
		a, err := l.e.Git(ctx, r)
		if errors.Is(err, hub.ErrNoToken) {
			a, err = gitremote.Open(ctx, r, gitremote.Options{HTTP: l.e.HTTP, Dial: dialTime})
		}
		if err == nil {
			refs, err = a.Refs(ctx)
		}
		if errors.Is(err, gitremote.ErrAuth) && r.URL == public && a.Auth != nil { // a token that is refused: nobody needs one
			a.Auth = nil
			refs, err = a.Refs(ctx)
		}
		if err == nil || ctx.Err() != nil {
			return a, refs, err
		}
		errs = append(errs, err)
	}
	return a, nil, errors.Join(errs...)
}

// git looks at the tag, at the version that it leads to, and at the branch that contains it.
func (l *looker) git(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, gitTime)
	defer cancel()
	what := "tag " + l.Tag
	a, refs, err := l.open(ctx, l.Page+".git", l.Remote)
	if err != nil {
		l.unknown(what, err)
		return
	}
	ref, there := refs["refs/tags/"+l.Tag]
	if !there {
		l.fail(what, "there is no such tag at %s", l.Page)
		return
	}
	var wrong []string
	kind := "annotated"
	if ref.Hash == ref.Peeled {
		kind = "lightweight"
		wrong = append(wrong, "it is lightweight: not an annotated one")
	}
	if l.Commit != "" && ref.Peeled != l.Commit {
		wrong = append(wrong, fmt.Sprintf("it leads to commit %.12s, released was %.12s", ref.Peeled, l.Commit))
	}
	if others := l.others(refs, ref.Peeled); len(others) > 0 {
		wrong = append(wrong, "its commit has the tag of another version, "+strings.Join(others, ", "))
	}
	l.settle(what, wrong, nil, "%s, of commit %.12s", kind, ref.Peeled)
	l.truth(ctx, a)
	if l.MergeInto != "" {
		l.merged(ctx, a, refs, plumbing.NewHash(ref.Peeled))
	}
}

// others lists the tags of other versions at a commit.
func (l *looker) others(refs map[string]gitremote.Ref, commit string) (names []string) {
	for full, to := range refs {
		name, isTag := strings.CutPrefix(full, "refs/tags/")
		if !isTag || name == l.Tag || to.Peeled != commit {
			continue
		}
		_, own := l.TagForm.Version(name)
		_, common := repo.TagForm{}.Version(name)
		if own || common {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// store fetches something into a temporary repository, which done removes.
func (l *looker) store(ctx context.Context, a gitremote.Access, w gitremote.Wanted) (s *filesystem.Storage, done func(), err error) {
	dir, err := os.MkdirTemp("", "slipway-verify-")
	if err != nil {
		return nil, func() {}, err
	}
	done = func() { os.RemoveAll(dir) }
	s = filesystem.NewStorage(osfs.New(dir), cache.NewObjectLRUDefault())
	if _, err = git.Init(s, nil); err == nil {
		err = a.Get(ctx, s, w)
	}
	return s, done, err
}

// truth compares the version that the source of truth says at the tag.
func (l *looker) truth(ctx context.Context, a gitremote.Access) {
	if l.Source == "" {
		return // the tag's name is made of the version
	}
	const what = "version at the tag"
	ref := "refs/tags/" + l.Tag
	s, done, err := l.store(ctx, a, gitremote.Wanted{Refs: []string{ref}, Depth: 1, Filter: packp.FilterBlobLimit(carrier.MaxSize+1, packp.BlobLimitPrefixNone)})
	defer done()
	var text string
	if err == nil {
		text, err = fileAt(s, ref, l.Source)
	}
	if errors.Is(err, object.ErrFileNotFound) {
		l.fail(what, "there is no %s", l.Source)
		return
	} else if err != nil {
		l.unknown(what, err)
		return
	}
	v, _, err := carrier.Source(l.Source, []byte(text))
	switch {
	case err != nil:
		l.fail(what, "%v", err)
	case v.Release() != l.Version.Release(), l.Version.Build != "" && v.Build != l.Version.Build:
		l.fail(what, "%s says %s, not %s", l.Source, v, l.Version)
	default:
		l.pass(what, "%s says %s", l.Source, v)
	}
}

// fileAt reads a file of the commit that a tag leads to.
func fileAt(s *filesystem.Storage, ref, path string) (string, error) {
	r, err := s.Reference(plumbing.ReferenceName(ref))
	if err != nil {
		return "", err
	}
	id := r.Hash()
	for range 10 { // a tag may be of a tag
		tag, err := object.GetTag(s, id)
		if err != nil {
			break
		}
		id = tag.Target
	}
	c, err := object.GetCommit(s, id)
	if err != nil {
		return "", err
	}
	f, err := c.File(path)
	if err != nil {
		return "", err
	}
	return f.Contents()
}

// merged says whether the branch contains the commit. Of the branch only those commits are fetched that come after it.
func (l *looker) merged(ctx context.Context, a gitremote.Access, refs map[string]gitremote.Ref, commit plumbing.Hash) {
	what := "branch " + l.MergeInto
	full := "refs/heads/" + l.MergeInto
	tip, there := refs[full]
	if !there {
		l.fail(what, "there is none")
		return
	}
	if tip.Hash == commit.String() {
		l.pass(what, "it ends with the release")
		return
	}
	s, done, err := l.store(ctx, a, gitremote.Wanted{Refs: []string{full}, Haves: []plumbing.Hash{commit}, Filter: packp.FilterTreeDepth(0)})
	defer done()
	if err != nil {
		l.unknown(what, err)
		return
	}
	seen := map[plumbing.Hash]bool{}
	for next := []plumbing.Hash{plumbing.NewHash(tip.Hash)}; len(next) > 0; next = next[1:] {
		if next[0] == commit {
			l.pass(what, "it contains the release")
			return
		}
		if c, err := object.GetCommit(s, next[0]); err == nil && !seen[c.Hash] {
			seen[c.Hash] = true
			next = append(next, c.ParentHashes...)
		}
	}
	l.fail(what, "it does not contain the release's commit %.12s", commit)
}
