package gitremote

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
)

// TestRoundTrip pushes to an empty repository, goes forward, tags, reads back and deletes.
func TestRoundTrip(t *testing.T) {
	both(t, gitd.Options{}, func(t *testing.T, w *world, a Access) {
		ctx := t.Context()
		refs, err := a.Refs(ctx)
		if err != nil || len(refs) != 0 {
			t.Fatalf("an empty repository has %v, %v", refs, err)
		}
		if r, hash, err := a.Clone(ctx, "main"); err != nil || r == nil || !hash.IsZero() {
			t.Fatalf("a clone of nothing is at %s, %v", hash, err)
		}
		must(t, a.CanPush(ctx))
		first := plumbing.NewHash(gitIn(t, w.local, "rev-parse", "HEAD"))
		if _, err := a.Push(ctx, w.store(), first, "refs/heads/main", plumbing.ZeroHash); err != nil {
			t.Fatal(err)
		}
		second := w.commit("two")
		if _, err := a.Push(ctx, w.store(), second, "refs/heads/main", first); err != nil {
			t.Fatal(err)
		}
		// Twice is fine.
		if _, err := a.Push(ctx, w.store(), second, "refs/heads/main", first); err != nil {
			t.Fatal(err)
		}
		gitIn(t, w.local, "tag", "-a", "-m", "x", "v1.0.0")
		tag := plumbing.NewHash(gitIn(t, w.local, "rev-parse", "v1.0.0"))
		if _, err := a.Push(ctx, w.store(), tag, "refs/tags/v1.0.0", plumbing.ZeroHash); err != nil {
			t.Fatal(err)
		}
		w.remote("fsck", "--strict", "--full")
		refs, err = a.Refs(ctx)
		want := map[string]Ref{
			"refs/heads/main":  {second.String(), second.String()},
			"refs/tags/v1.0.0": {tag.String(), second.String()},
		}
		if err != nil || fmt.Sprint(refs) != fmt.Sprint(want) {
			t.Errorf("refs %v, want %v, %v", refs, want, err)
		}
		r, hash, err := a.Clone(ctx, "main")
		if err != nil || hash != second {
			t.Fatalf("cloned %s, %v", hash, err)
		}
		c, err := r.CommitObject(hash)
		must(t, err)
		if f, err := c.File("deep/er/one"); err != nil || f.Size != 4 {
			t.Errorf("the clone lacks a file: %v", err)
		}
		if _, err := object.GetCommit(r.Storer, first); err != nil {
			t.Errorf("the clone lacks history: %v", err)
		}

		// Only what is new travels, and only as deep as was asked for.
		third := w.commit("three")
		if list, err := missing(w.store(), third, []plumbing.Hash{second}); err != nil || len(list) != 5 {
			t.Errorf("a commit with one more file two folders down is %d objects, %v", len(list), err)
		}
		if _, err := a.Push(ctx, w.store(), third, "refs/heads/main", second); err != nil {
			t.Fatal(err)
		}
		s := r.Storer.(*memory.Storage)
		before := len(s.Objects)
		must(t, a.Fetch(ctx, s, "refs/heads/main"))
		if got := len(s.Objects) - before; got != 5 {
			t.Errorf("fetching one commit more brought %d objects", got)
		}
		shallow := memory.NewStorage()
		must(t, a.Get(ctx, shallow, Wanted{Refs: []string{"refs/tags/v1.0.0"}, Depth: 1}))
		if len(shallow.Commits) != 1 || len(shallow.Tags) != 1 {
			t.Errorf("depth 1 has %d commits and %d tags", len(shallow.Commits), len(shallow.Tags))
		}
		if err := a.Fetch(ctx, s, "refs/heads/none"); !errors.Is(err, plumbing.ErrReferenceNotFound) {
			t.Errorf("a branch that is not there: %v", err)
		}

		if err := a.Delete(ctx, "refs/tags/v1.0.0", second); !errors.Is(err, ErrExists) {
			t.Errorf("deleting a tag that is another object: %v", err)
		}
		for range 2 { // gone is success
			if err := a.Delete(ctx, "refs/tags/v1.0.0", tag); err != nil {
				t.Error(err)
			}
		}
		if got := w.remote("tag", "-l"); got != "" {
			t.Errorf("tags %q are left", got)
		}
	})
}

// TestNeverForces: what is there is neither moved back nor replaced.
func TestNeverForces(t *testing.T) {
	both(t, gitd.Options{}, func(t *testing.T, w *world, a Access) {
		ctx := t.Context()
		first := plumbing.NewHash(gitIn(t, w.local, "rev-parse", "HEAD"))
		second := w.commit("two")
		gitIn(t, w.local, "checkout", "-q", "-b", "other", first.String())
		aside := w.commit("aside")
		push := func(from plumbing.Hash, ref string, old plumbing.Hash) error {
			_, err := a.Push(ctx, w.store(), from, ref, old)
			return err
		}
		must(t, push(second, "refs/heads/main", plumbing.ZeroHash))
		must(t, push(first, "refs/tags/v1", plumbing.ZeroHash))
		for name, c := range map[string]struct {
			err  error
			want error
		}{
			"a branch that is there":   {push(aside, "refs/heads/main", plumbing.ZeroHash), ErrExists},
			"another line of history":  {push(aside, "refs/heads/main", second), ErrNotFastForward},
			"backwards":                {push(first, "refs/heads/main", second), ErrNotFastForward},
			"somebody was quicker":     {push(second, "refs/heads/main", first), nil}, // it is there already
			"somebody was quicker (2)": {push(aside, "refs/heads/main", first), ErrNotFastForward},
			"a branch that is gone":    {push(second, "refs/heads/gone", first), ErrNotFastForward},
			"a tag that is there":      {push(second, "refs/tags/v1", plumbing.ZeroHash), ErrExists},
			"a tag forward":            {push(second, "refs/tags/v1", first), ErrExists},
		} {
			if !errors.Is(c.err, c.want) {
				t.Errorf("%s: %v, want %v", name, c.err, c.want)
			}
		}
		for _, ref := range []string{"main", "refs/heads/a..b", "refs/heads/", "HEAD", "refs/heads/-x\n"} {
			if err := push(second, ref, plumbing.ZeroHash); err == nil {
				t.Errorf("pushed to %q", ref)
			}
		}
		if got := w.remote("for-each-ref", "--format=%(refname) %(objectname)"); got != "refs/heads/main "+second.String()+"\nrefs/tags/v1 "+first.String() {
			t.Errorf("the remote has\n%s", got)
		}
	})
}

// TestRace: another push that comes between looking and pushing is noticed by what the remote has then.
func TestRace(t *testing.T) {
	var w *world
	var theirs plumbing.Hash
	o := gitd.Options{Update: func(_ context.Context, u *gitd.Update) error {
		if u.New != theirs.String() && !theirs.IsZero() {
			w.remote("update-ref", u.Ref, theirs.String())
		}
		return nil
	}}
	for _, way := range []func(*world) Access{(*world).ssh, (*world).https} {
		theirs = plumbing.ZeroHash
		w = newWorld(t, o)
		a := way(w)
		first := plumbing.NewHash(gitIn(t, w.local, "rev-parse", "HEAD"))
		gitIn(t, w.local, "checkout", "-q", "-b", "theirs")
		other := w.commit("theirs")
		gitIn(t, w.local, "checkout", "-q", "main")
		second := w.commit("two")
		for ref, hash := range map[string]plumbing.Hash{"refs/heads/main": first, "refs/heads/theirs": other} {
			if _, err := a.Push(t.Context(), w.store(), hash, ref, plumbing.ZeroHash); err != nil {
				t.Fatal(err)
			}
		}
		theirs = other
		if _, err := a.Push(t.Context(), w.store(), second, "refs/heads/main", first); !errors.Is(err, ErrNotFastForward) {
			t.Errorf("a branch that moved: %v", err)
		}
		if _, err := a.Push(t.Context(), w.store(), second, "refs/heads/new", plumbing.ZeroHash); !errors.Is(err, ErrExists) {
			t.Errorf("a branch that somebody else made: %v", err)
		}
	}
}

// TestRefused: the reasons for a refusal come over the sideband, and reach people without what a terminal obeys.
// A push that meets another one which holds the branch waits for what comes of it.
func TestLocked(t *testing.T) {
	t.Parallel()
	both(t, gitd.Options{}, func(t *testing.T, w *world, a Access) {
		s, one := w.store(), plumbing.NewHash(gitIn(t, w.local, "rev-parse", "HEAD"))
		two := w.commit("two")
		if _, err := a.Push(t.Context(), s, one, "refs/heads/main", plumbing.ZeroHash); err != nil {
			t.Fatal(err)
		}
		gitIn(t, w.local, "checkout", "-q", "-b", "theirs", one.String())
		theirs := w.commit("theirs")
		if _, err := a.Push(t.Context(), s, theirs, "refs/heads/theirs", plumbing.ZeroHash); err != nil {
			t.Fatal(err)
		}
		lock := write(t, filepath.Join(w.dir, "remote", "o", "r.git", "refs", "heads", "main.lock"), theirs.String()+"\n")
		through := make(chan error, 1)
		go func() { // what git does when it is through with a push
			time.Sleep(lockWait / 6)
			through <- os.Rename(lock, strings.TrimSuffix(lock, ".lock"))
		}()
		_, err := a.Push(t.Context(), s, two, "refs/heads/main", one)
		if !errors.Is(err, ErrNotFastForward) || !strings.Contains(err.Error(), theirs.String()) {
			t.Errorf("another one was at it: %v", err)
		}
		must(t, <-through)
		if at := w.remote("rev-parse", "refs/heads/main"); at != theirs.String() {
			t.Errorf("main is %s", at)
		}
		must(t, os.WriteFile(lock, nil, 0o600)) // left by a push that was cut off
		_, err = a.Push(t.Context(), s, w.commit("more"), "refs/heads/main", theirs)
		var refused *RefusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), lockedWords) {
			t.Errorf("the branch is held for good: %v", err)
		}
	})
}

func TestRefused(t *testing.T) {
	o := gitd.Options{Update: func(_ context.Context, u *gitd.Update) error {
		fmt.Fprintln(u.Messages, "warning: the sky is \x1b[31mred\x1b[0m")
		if strings.Contains(u.Ref, "bad") {
			fmt.Fprintln(u.Messages, "error: no file .SRCINFO")
			return errors.New("not today")
		}
		return nil
	}}
	both(t, o, func(t *testing.T, w *world, a Access) {
		head := plumbing.NewHash(gitIn(t, w.local, "rev-parse", "HEAD"))
		lines, err := a.Push(t.Context(), w.store(), head, "refs/heads/bad", plumbing.ZeroHash)
		var refused *RefusedError
		if !errors.As(err, &refused) || errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "no file .SRCINFO") {
			t.Errorf("declined: %v", err)
		}
		if text := strings.Join(lines, "\n"); !strings.Contains(text, "error: no file .SRCINFO") || strings.ContainsAny(text+err.Error(), "\x1b\r") {
			t.Errorf("messages %q", lines)
		}
		lines, err = a.Push(t.Context(), w.store(), head, "refs/heads/good", plumbing.ZeroHash)
		if err != nil || !strings.Contains(strings.Join(lines, "\n"), "warning: the sky is [31mred") {
			t.Errorf("accepted: %q, %v", lines, err)
		}
	})
}

// TestLost: after a cut nobody knows; a look tells, and a second attempt ends right.
func TestLost(t *testing.T) {
	for _, fault := range []string{"cut though done", "cut after 10 bytes", "cut"} {
		both(t, gitd.Options{}, func(t *testing.T, w *world, a Access) {
			ctx := t.Context()
			head := plumbing.NewHash(gitIn(t, w.local, "rev-parse", "HEAD"))
			w.fault("receive-pack o/r #1: " + fault)
			_, err := a.Push(ctx, w.store(), head, "refs/heads/main", plumbing.ZeroHash)
			if err == nil {
				t.Fatalf("%s: no error", fault)
			}
			if lost := errors.Is(err, ErrLost); !lost && fault == "cut though done" || lost && fault == "cut" {
				t.Errorf("%s: lost %t: %v", fault, lost, err)
			}
			if left := w.server.Pending(); len(left) > 0 && fault != "cut after 10 bytes" {
				t.Errorf("%v did not strike", left)
			}
			refs, err := a.Refs(ctx)
			must(t, err)
			if done := refs["refs/heads/main"].Hash != ""; done != (fault == "cut though done") {
				t.Errorf("%s: %v", fault, refs)
			}
			if _, err := a.Push(ctx, w.store(), head, "refs/heads/main", plumbing.ZeroHash); err != nil {
				t.Errorf("%s: again: %v", fault, err)
			}
			if got := w.remote("rev-parse", "main"); got != head.String() {
				t.Errorf("main is %s", got)
			}
		})
	}
}

// TestCutFetch: half an answer is an error, never half a repository.
func TestCutFetch(t *testing.T) {
	both(t, gitd.Options{}, func(t *testing.T, w *world, a Access) {
		head := plumbing.NewHash(gitIn(t, w.local, "rev-parse", "HEAD"))
		if _, err := a.Push(t.Context(), w.store(), head, "refs/heads/main", plumbing.ZeroHash); err != nil {
			t.Fatal(err)
		}
		w.fault("upload-pack o/r #1: cut after 200 bytes")
		if r, hash, err := a.Clone(t.Context(), "main"); err == nil {
			t.Errorf("cloned %s of %v", hash, r)
		}
		if left := w.server.Pending(); len(left) > 0 {
			t.Errorf("%v did not strike", left)
		}
	})
}

// TestTimes: every call ends with its context, and when nothing moves.
func TestTimes(t *testing.T) {
	both(t, gitd.Options{}, func(t *testing.T, w *world, a Access) {
		w.fault("* o/r: delay 1h")
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := a.Refs(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the context ended: %v", err)
		}
		a.idle = 300 * time.Millisecond
		if err := a.CanPush(t.Context()); !errors.Is(err, errIdle) {
			t.Errorf("nothing moved: %v", err)
		}
	})
}

func TestNoRepository(t *testing.T) {
	w := newWorld(t, gitd.Options{})
	for _, url := range []string{w.server.SSHURL("git", "o/none"), w.server.HTTPURL("o/none")} {
		a, err := Open(t.Context(), Remote{URL: url, KnownHosts: filepath.Join(w.dir, "known_hosts"), KeyFile: "KEY"}, w.options())
		must(t, err)
		if _, err := a.Refs(t.Context()); !errors.Is(err, ErrNoRepository) {
			t.Errorf("%s: %v", url, err)
		}
		if _, _, err := a.Clone(t.Context(), "main"); !errors.Is(err, ErrNoRepository) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestShallow: what a shallow clone lacks is said, unless the remote has it.
func TestShallow(t *testing.T) {
	w := newWorld(t, gitd.Options{})
	a := w.ssh()
	tip := w.commit("two")
	clone := filepath.Join(w.dir, "shallow")
	gitIn(t, w.dir, "clone", "-q", "--depth", "1", "file://"+w.local, clone)
	full := w.local
	w.local = clone
	if _, err := a.Push(t.Context(), w.store(), tip, "refs/heads/main", plumbing.ZeroHash); err == nil || !strings.Contains(err.Error(), "unshallow") {
		t.Errorf("without the history: %v", err)
	}
	w.local = full
	if _, err := a.Push(t.Context(), w.store(), tip, "refs/heads/main", plumbing.ZeroHash); err != nil {
		t.Fatal(err)
	}
	w.local = clone
	next := w.commit("three")
	if _, err := a.Push(t.Context(), w.store(), next, "refs/heads/main", tip); err != nil {
		t.Errorf("with a remote that has the history: %v", err)
	}
	w.remote("fsck", "--strict")
}

func TestNoSecrets(t *testing.T) {
	w := newWorld(t, gitd.Options{Before: func(s *gitd.Session) error { return errors.New("go away, " + s.User) }})
	o := w.options()
	o.Token = func() (string, string, error) { return "", "wrong-secret", nil }
	for _, url := range []string{w.server.HTTPURL("o/r"), w.server.HTTPURL("o/none")} {
		for _, options := range []Options{o, w.options()} {
			a, err := Open(t.Context(), Remote{URL: url}, options)
			must(t, err)
			_, err = a.Refs(t.Context())
			if err == nil {
				t.Error("no error")
			}
			if text := fmt.Sprintf("%v %+v %q %s", err, err, a.Identity, a.Auth); strings.Contains(text, "wrong-secret") || strings.Contains(text, token) {
				t.Errorf("a secret in %s", text)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(w.dir, "remote")); err != nil {
		t.Fatal(err)
	}
}
