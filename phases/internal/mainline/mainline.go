// Package mainline puts one commit at a time on a branch that people work on, at a remote: some files changed or
// removed, everything else as it is there by then.
//
// It never forces and never resets. When the branch moves in the meantime, what is to be changed is asked again of the
// new tip. Objects that the user's repository has are borrowed from it; it is only read. A commit bears the run that made
// it in a trailer, by which a run that was cut off knows it again.
package mainline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/pipeline"
)

// Branch is a branch at a remote, and who commits to it.
type Branch struct {
	Remote  gitremote.Remote
	Name    string            // without refs/heads/
	RepoDir string            // the user's repository, or a folder in it
	Base    string            // a commit that the user's repository has, with its history
	Author  string            // "Name <mail>"
	Time    time.Time         // of the commits, where the branch's newest is not newer
	Sign    *endpoint.Signing // nil: commits are not signed
}

// Ref is the branch's full name.
func (b Branch) Ref() string { return "refs/heads/" + b.Name }

// Target is the branch as plans name it.
func (b Branch) Target() string { return b.Remote.URL + " " + b.Ref() }

// Params are what decides about the commits, for a Spec.
func (b Branch) Params() map[string]string {
	p := map[string]string{"author": b.Author, "branch": b.Name}
	if b.Sign != nil {
		p["sign"] = strings.TrimSpace(b.Sign.Format + " " + b.Sign.Key)
	}
	return p
}

// File is a file of a tree. The zero value is none.
type File struct {
	Mode filemode.FileMode
	ID   plumbing.Hash
	// Content is what is to be written, in place of ID; Mode is that of a plain file then.
	Content []byte
}

// Tip is the branch as it is at the remote.
type Tip struct {
	Commit *object.Commit
	Store  *Store

	access gitremote.Access
}

// Access finds the way to the remote.
func (b Branch) Access(ctx context.Context, ws *pipeline.Workspace) (gitremote.Access, error) {
	e, err := endpoint.Of(ws)
	if err != nil {
		return gitremote.Access{}, err
	}
	return e.Git(ctx, b.Remote)
}

// Look fetches the branch, into a store of its own.
func (b Branch) Look(ctx context.Context, ws *pipeline.Workspace) (*Tip, error) {
	a, err := b.Access(ctx, ws)
	if err != nil {
		return nil, err
	}
	temp, err := ws.Temp()
	if err != nil {
		return nil, err
	}
	s, err := newStore(temp, b.RepoDir)
	if err != nil {
		return nil, err
	}
	haves, err := s.haves(b.Base)
	if err != nil {
		return nil, err
	}
	if err := a.Get(ctx, s, gitremote.Wanted{Refs: []string{b.Ref()}, Haves: haves}); err != nil {
		return nil, fmt.Errorf("cannot look at branch %s: %w", b.Name, err)
	}
	ref, err := s.Reference(plumbing.ReferenceName(b.Ref()))
	if err != nil {
		return nil, err
	}
	c, err := object.GetCommit(s, ref.Hash())
	if err != nil {
		return nil, fmt.Errorf("cannot look at branch %s: %w", b.Name, err)
	}
	return &Tip{Commit: c, Store: s, access: a}, nil
}

// Since lists the commits of the branch that a commit does not lead to, newest first.
func (t *Tip) Since(commit string) ([]*object.Commit, error) {
	return gitremote.Ahead(t.Store, t.Commit.Hash, []plumbing.Hash{plumbing.NewHash(commit)})
}

// Contains reports whether a commit is part of the branch's history; base is one before it.
func (t *Tip) Contains(commit, base string) (bool, error) {
	list, err := t.Since(base)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(list, func(c *object.Commit) bool { return c.Hash.String() == commit }), nil
}

// Trailer begins the line of a message that says which run made the commit.
const Trailer = "Slipway-Run: "

var marked = regexp.MustCompile(`(?m)^` + Trailer + `([0-9A-Za-z._-]{1,128})$`)

// Marker is the run that a message says it is of; "" for none. The last such line counts: those before it are text.
func Marker(message string) string {
	all := marked.FindAllStringSubmatch(message, -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1][1]
}

// Made finds a run's commit with that first line among those after base. The hash is "" where there is none.
func (t *Tip) Made(run, subject, base string) (string, error) {
	list, err := t.Since(base)
	if err != nil {
		return "", err
	}
	for _, c := range list {
		if first, _, _ := strings.Cut(c.Message, "\n"); first == subject && Marker(c.Message) == run {
			return c.Hash.String(), nil
		}
	}
	return "", nil
}

// ErrCalm is the error of a branch that moved again and again.
var ErrCalm = errors.New("it has moved again and again in the meantime; run again when it is calm")

// tries is how often the branch may move between looking at it and pushing to it.
const tries = 5

// Commit puts a commit on the branch. Change says for a tip which files become what; with none, nothing is committed and
// the hash is "". The message gets the run's trailer. The error wraps [pipeline.ErrUntouched] where nothing was taken of
// it, for certain.
func (b Branch) Commit(ctx context.Context, ws *pipeline.Workspace, message string, change func(*Tip) (map[string]File, error)) (hash string, err error) {
	for range tries {
		t, made, err := b.prepare(ctx, ws, message, change)
		if err != nil {
			return "", fmt.Errorf("%w (%w)", err, pipeline.ErrUntouched)
		}
		if made.IsZero() {
			return "", nil
		}
		lines, err := t.access.Push(ctx, t.Store, made, b.Ref(), t.Commit.Hash)
		for _, line := range lines {
			ws.Logf("remote: %s", line)
		}
		if err == nil {
			return made.String(), nil
		}
		if !errors.Is(err, gitremote.ErrNotFastForward) {
			return "", advise(b.Name, err)
		}
		ws.Logf("%s has moved on, looking again", b.Name)
	}
	return "", fmt.Errorf("cannot commit to %s: %w (%w)", b.Name, ErrCalm, pipeline.ErrUntouched)
}

// prepare makes the commit, here; zero where nothing is to be changed.
func (b Branch) prepare(ctx context.Context, ws *pipeline.Workspace, message string, change func(*Tip) (map[string]File, error)) (t *Tip, made plumbing.Hash, err error) {
	if t, err = b.Look(ctx, ws); err != nil {
		return nil, made, err
	}
	files, err := change(t)
	if err != nil || len(files) == 0 {
		return t, made, err
	}
	if made, err = b.make(ctx, ws, t, message, files); err != nil {
		err = fmt.Errorf("cannot commit to %s: %w", b.Name, err)
	}
	return t, made, err
}

// advise adds what a person can do about a branch that takes no pushes.
func advise(branch string, err error) error {
	if _, declined := errors.AsType[*gitremote.RefusedError](err); declined {
		return fmt.Errorf("%w; where %s is protected, let the one who releases push to it (%w)", err, branch, pipeline.ErrUntouched)
	}
	return err
}

func (b Branch) make(ctx context.Context, ws *pipeline.Workspace, t *Tip, message string, files map[string]File) (plumbing.Hash, error) {
	p, err := repo.ParsePerson(b.Author)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	when := b.Time.UTC()
	if newest := t.Commit.Committer.When.UTC(); newest.After(when) {
		when = newest
	}
	who := object.Signature{Name: p.Name, Email: p.Mail, When: when}
	files = maps.Clone(files)
	for path, f := range files {
		if f.Content != nil {
			f.Mode = filemode.Regular
			if f.ID, err = t.Store.blob(f.Content); err != nil {
				return plumbing.ZeroHash, err
			}
			files[path] = f
		}
	}
	tree, err := t.Store.replant(t.Commit.TreeHash, files)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	if tree.IsZero() {
		if tree, err = t.Store.add((&object.Tree{}).Encode); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	c := &object.Commit{
		Author: who, Committer: who, TreeHash: tree, ParentHashes: []plumbing.Hash{t.Commit.Hash},
		Message: strings.TrimRight(message, "\n") + "\n\n" + Trailer + ws.Run + "\n",
	}
	if c.PGPSignature, err = b.signature(ctx, ws, c); err != nil {
		return plumbing.ZeroHash, err
	}
	return t.Store.add(c.Encode)
}

// CanSign says why commits cannot be signed on this machine, where release.yaml wants that.
func (b Branch) CanSign(ctx context.Context, ws *pipeline.Workspace) error {
	_, err := b.signer(ctx, ws)
	return err
}

// signer is nil where commits are not signed.
func (b Branch) signer(ctx context.Context, ws *pipeline.Workspace) (gitremote.Signer, error) {
	if b.Sign == nil {
		return nil, nil
	}
	e, err := endpoint.Of(ws)
	if err != nil {
		return nil, err
	}
	return e.Signer(ctx, *b.Sign)
}

// signature signs a commit where release.yaml wants it.
func (b Branch) signature(ctx context.Context, ws *pipeline.Workspace, c *object.Commit) (string, error) {
	s, err := b.signer(ctx, ws)
	if err != nil || s == nil {
		return "", err
	}
	plain := &plumbing.MemoryObject{}
	if err := c.EncodeWithoutSignature(plain); err != nil {
		return "", err
	}
	content, err := read(plain, 1<<20)
	if err != nil {
		return "", err
	}
	return s.Sign(ctx, content)
}
