// Package origin is the git side of a twin of GitHub: one bare repository that a git server ([gitd]) serves and that the
// twin itself reads and changes ([github.Refs]), so that a tag which publishing makes can be fetched, and a branch that
// was pushed can be released.
//
// Refs are read and changed by the git program, whose lock files both sides obey; every call looks anew. Objects are read
// with go-git. [Rules] is what such a server refuses: to move the tag of an immutable release, to force a protected
// branch.
package origin

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
	"github.com/imrightguy/slipway/phases/internal/twins/github"
)

// A Repository is a bare repository. Its methods may be called by many at once.
type Repository struct {
	// Changed, when set, is told after a ref was changed through this value, and what was done: for the history of
	// [gitd.Server.Observe]. Set it before the first call.
	Changed func(cause string)

	dir string
}

var (
	_ github.Refs     = (*Repository)(nil)
	_ github.Archiver = (*Repository)(nil)
)

// Open returns the bare repository in a folder.
func Open(dir string) (*Repository, error) {
	r := &Repository{dir: dir}
	var out bytes.Buffer
	if err := r.git(context.Background(), nil, &out, "rev-parse", "--is-bare-repository"); err != nil {
		return nil, fmt.Errorf("cannot open repository %s: %w", dir, err)
	}
	if strings.TrimSpace(out.String()) != "true" {
		return nil, fmt.Errorf("cannot open repository %s: it is not bare", dir)
	}
	return r, nil
}

// Make makes the bare repository dir, whose name ends in ".git", from a local one: a branch, which HEAD names, at a
// commit with its whole history, and tags as they are there. Nothing else is copied, and the local one is only read.
func Make(ctx context.Context, dir, fromRepo, branch, commit string, tags ...string) error {
	fail := func(err error) error { return fmt.Errorf("cannot copy %s to %s: %w", fromRepo, dir, err) }
	name, ok := strings.CutSuffix(filepath.Base(dir), ".git")
	if !ok {
		return fail(errors.New("the name does not end in .git"))
	}
	if !plumbing.IsHash(commit) {
		return fail(fmt.Errorf("%q is no commit's full name", commit))
	}
	refs := map[string]string{"refs/heads/" + branch: commit}
	for _, t := range tags {
		ref := "refs/tags/" + t
		hash, err := resolve(ctx, fromRepo, ref)
		if err != nil {
			return fail(err)
		}
		refs[ref] = hash
	}
	var want, updates strings.Builder
	for ref, hash := range refs {
		if err := plumbing.ReferenceName(ref).Validate(); err != nil {
			return fail(fmt.Errorf("%q: %w", ref, err))
		}
		fmt.Fprintln(&want, hash)
		fmt.Fprintf(&updates, "create %s %s\n", ref, hash)
	}
	if err := gitd.Init(filepath.Dir(dir), name, branch); err != nil {
		return err
	}
	// One git packs what the commits lead to, the other one unpacks it and checks that nothing is missing.
	pr, pw := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := gitd.Git(ctx, fromRepo, strings.NewReader(want.String()), pw, "pack-objects", "--revs", "--stdout", "--quiet", "--delta-base-offset")
		pw.CloseWithError(err)
		packed <- err
	}()
	err := gitd.Git(ctx, dir, pr, io.Discard, "index-pack", "--stdin", "--strict", "--check-self-contained-and-connected")
	pr.CloseWithError(errors.New("the reader has gone"))
	if e := <-packed; e != nil {
		return fail(e)
	}
	if err != nil {
		return fail(err)
	}
	if err := gitd.Git(ctx, dir, strings.NewReader(updates.String()), nil, "update-ref", "--stdin"); err != nil {
		return fail(err)
	}
	return nil
}

// resolve finds what a full ref name points at.
func resolve(ctx context.Context, dir, ref string) (string, error) {
	var out bytes.Buffer
	err := gitd.Git(ctx, dir, nil, &out, "rev-parse", "--verify", "--quiet", "--end-of-options", ref)
	if err != nil {
		return "", fmt.Errorf("%q: %w", ref, github.ErrNotFound)
	}
	return strings.TrimSpace(out.String()), nil
}

// Dir is where the repository lies.
func (r *Repository) Dir() string { return r.dir }

func (r *Repository) git(ctx context.Context, stdin io.Reader, stdout io.Writer, args ...string) error {
	return gitd.Git(ctx, r.dir, stdin, stdout, append([]string{"--git-dir=."}, args...)...)
}

// refs lists what a pattern of git-for-each-ref(1) finds.
func (r *Repository) refs(ctx context.Context, pattern string) (list []github.Ref, err error) {
	var out bytes.Buffer
	if err := r.git(ctx, nil, &out, "for-each-ref", "--format=%(objectname) %(objecttype) %(refname)", pattern); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(&out)
	for lines.Scan() {
		f := strings.SplitN(lines.Text(), " ", 3)
		if len(f) != 3 {
			return nil, fmt.Errorf("cannot read refs: unexpected line %q", lines.Text())
		}
		list = append(list, github.Ref{Name: f[2], Object: github.Object{SHA: f[0], Type: f[1]}})
	}
	return list, lines.Err()
}

// plain tells whether git takes a text for a ref's full name and nothing else, be it an option or a pattern. Whether it
// is well formed, git says itself.
func plain(ref string) bool {
	return strings.HasPrefix(ref, "refs/") && !strings.ContainsFunc(ref, func(c rune) bool {
		return c <= ' ' || c == 0x7f || strings.ContainsRune(`*?[\`, c)
	})
}

// Get implements [github.Refs].
func (r *Repository) Get(ctx context.Context, ref string) (github.Object, error) {
	missing := fmt.Errorf("%q: %w", ref, github.ErrNotFound)
	if !plain(ref) {
		return github.Object{}, missing
	}
	list, err := r.refs(ctx, ref)
	if err != nil {
		return github.Object{}, err
	}
	for _, f := range list { // the pattern also finds what is below the name
		if f.Name == ref {
			return f.Object, nil
		}
	}
	return github.Object{}, missing
}

// List implements [github.Refs].
func (r *Repository) List(ctx context.Context, prefix string) ([]github.Ref, error) {
	all, err := r.refs(ctx, "refs/")
	var list []github.Ref
	for _, f := range all {
		if strings.HasPrefix(f.Name, prefix) {
			list = append(list, f)
		}
	}
	return list, err
}

const none = "0000000000000000000000000000000000000000"

// change moves a ref from one value to another; it fails when the ref is not as expected.
func (r *Repository) change(ctx context.Context, cause, ref, to, from string) error {
	// The name stands on the command line after the options end, so nothing in it is read as one.
	args := []string{"update-ref", "--no-deref", "-d", "--", ref, from}
	if to != none {
		args = []string{"update-ref", "--no-deref", "--", ref, to, from}
	}
	if err := r.git(ctx, nil, nil, args...); err != nil {
		return err
	}
	if r.Changed != nil {
		r.Changed(cause + " " + ref)
	}
	return nil
}

// Create implements [github.Refs].
func (r *Repository) Create(ctx context.Context, ref, sha string) error {
	if _, err := r.Object(ctx, sha); err != nil {
		return err
	}
	if !plain(ref) {
		return fmt.Errorf("cannot create %q: it is no name of a ref", ref)
	}
	exists := fmt.Errorf("%s: %w", ref, github.ErrExists)
	if _, err := r.Get(ctx, ref); err == nil {
		return exists
	} else if !errors.Is(err, github.ErrNotFound) {
		return err
	}
	err := r.change(ctx, "create", ref, sha, none)
	if err != nil {
		if _, found := r.Get(ctx, ref); found == nil { // somebody was faster
			return exists
		}
	}
	return err
}

// Update implements [github.Refs].
func (r *Repository) Update(ctx context.Context, ref, sha string, force bool) error {
	// A push may move the ref between the look and the change; then the look counts for nothing.
	for {
		old, err := r.Get(ctx, ref)
		if err != nil {
			return err
		}
		if _, err := r.Object(ctx, sha); err != nil {
			return err
		}
		if !force {
			s := r.store()
			if ok, err := descends(s, old.SHA, sha); err != nil {
				return err
			} else if !ok {
				return fmt.Errorf("%s: %w", ref, github.ErrNotFastForward)
			}
		}
		err = r.change(ctx, "update", ref, sha, old.SHA)
		if err == nil {
			return nil
		}
		if now, look := r.Get(ctx, ref); look == nil && now == old {
			return err
		}
	}
}

// Delete implements [github.Refs].
func (r *Repository) Delete(ctx context.Context, ref string) error {
	for {
		old, err := r.Get(ctx, ref)
		if err != nil {
			return err
		}
		err = r.change(ctx, "delete", ref, none, old.SHA)
		if err == nil {
			return nil
		}
		if now, look := r.Get(ctx, ref); look == nil && now == old {
			return err
		}
	}
}

// store opens the repository's objects as they are now.
func (r *Repository) store() *filesystem.Storage {
	return filesystem.NewStorage(osfs.New(r.dir, osfs.WithBoundOS()), cache.NewObjectLRUDefault())
}

// Archive implements [github.Archiver].
func (r *Repository) Archive(ctx context.Context, w io.Writer, sha, prefix string) error {
	if _, err := r.Commit(ctx, sha); err != nil {
		return err
	}
	z := gzip.NewWriter(w)
	if err := r.git(ctx, nil, z, "archive", "--format=tar", "--prefix="+prefix, sha); err != nil {
		return err
	}
	return z.Close()
}
