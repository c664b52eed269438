// Package refstest is the contract of the twin's git side: every implementation
// of github.Refs passes it. Tests import it, the product does not.
package refstest

import (
	"errors"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/twins/github"
)

// Test checks an implementation. fresh gives a repository whose branch main
// has at least two commits and which has a branch "side" that left main at the
// first of them with one commit of its own, adding the file "side.txt".
func Test(t *testing.T, fresh func(t *testing.T) github.Refs) {
	ctx := t.Context()
	missing := "00000000000000000000000000000000000000aa"
	start := func(t *testing.T) (r github.Refs, main github.Object, parent string) {
		t.Helper()
		r = fresh(t)
		main, err := r.Get(ctx, "refs/heads/main")
		if err != nil || main.Type != "commit" || len(main.SHA) != 40 {
			t.Fatalf("main is %+v, %v", main, err)
		}
		c, err := r.Commit(ctx, main.SHA)
		if err != nil || c.SHA != main.SHA || len(c.Parents) != 1 || len(c.Tree) != 40 || c.Committer.When.IsZero() {
			t.Fatalf("commit %+v, %v", c, err)
		}
		return r, main, c.Parents[0]
	}
	is := func(t *testing.T, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
	}

	t.Run("refs", func(t *testing.T) {
		r, main, parent := start(t)
		is(t, r.Create(ctx, "refs/heads/a/b", parent), nil)
		is(t, r.Create(ctx, "refs/heads/a/b", parent), github.ErrExists)
		is(t, r.Create(ctx, "refs/heads/a/c", missing), github.ErrNotFound)
		is(t, r.Create(ctx, "refs/heads/a/c", "no object name"), github.ErrNotFound)
		is(t, r.Update(ctx, "refs/heads/a/b", main.SHA, false), nil)
		is(t, r.Update(ctx, "refs/heads/a/b", parent, false), github.ErrNotFastForward)
		is(t, r.Update(ctx, "refs/heads/a/b", parent, true), nil)
		is(t, r.Update(ctx, "refs/heads/a/b", missing, true), github.ErrNotFound)
		is(t, r.Update(ctx, "refs/heads/none", main.SHA, true), github.ErrNotFound)
		list, err := r.List(ctx, "refs/heads/")
		var names []string
		for _, ref := range list {
			names = append(names, ref.Name)
		}
		if err != nil || len(names) != 3 || names[0] != "refs/heads/a/b" || names[1] != "refs/heads/main" || names[2] != "refs/heads/side" || list[0].SHA != parent {
			t.Errorf("refs %v, %v", list, err)
		}
		_, err = r.Get(ctx, "refs/heads/a")
		is(t, err, github.ErrNotFound)
		is(t, r.Delete(ctx, "refs/heads/a/b"), nil)
		is(t, r.Delete(ctx, "refs/heads/a/b"), github.ErrNotFound)
		_, err = r.Get(ctx, "refs/heads/a/b")
		is(t, err, github.ErrNotFound)
	})

	t.Run("tags", func(t *testing.T) {
		r, main, _ := start(t)
		when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		want := github.Tag{Name: "v1", Message: "text\n", Tagger: github.Signature{Name: "N", Email: "n@example.invalid", When: when}, Target: main}
		tag, err := r.CreateTagObject(ctx, want)
		if err != nil || len(tag.SHA) != 40 {
			t.Fatalf("tag %+v, %v", tag, err)
		}
		got, err := r.TagObject(ctx, tag.SHA)
		if err != nil || got.Name != "v1" || got.Message != want.Message || got.Target != main || !got.Tagger.When.Equal(when) || got.Tagger.Email != want.Tagger.Email || got.SHA != tag.SHA {
			t.Errorf("tag %+v, %v", got, err)
		}
		if o, err := r.Object(ctx, tag.SHA); err != nil || o != (github.Object{SHA: tag.SHA, Type: "tag"}) {
			t.Errorf("object %+v, %v", o, err)
		}
		is(t, r.Create(ctx, "refs/tags/v1", tag.SHA), nil)
		if o, err := r.Get(ctx, "refs/tags/v1"); err != nil || o.SHA != tag.SHA || o.Type != "tag" {
			t.Errorf("ref %+v, %v", o, err)
		}
		_, err = r.TagObject(ctx, main.SHA)
		is(t, err, github.ErrNotFound)
		_, err = r.Commit(ctx, tag.SHA)
		is(t, err, github.ErrNotFound)
		_, err = r.Object(ctx, missing)
		is(t, err, github.ErrNotFound)
		want.Target.SHA = missing
		_, err = r.CreateTagObject(ctx, want)
		is(t, err, github.ErrNotFound)
	})

	t.Run("compare", func(t *testing.T) {
		r, main, parent := start(t)
		side, err := r.Get(ctx, "refs/heads/side")
		if err != nil {
			t.Fatal(err)
		}
		c, err := r.Compare(ctx, main.SHA, side.SHA)
		if err != nil || c.MergeBase != parent || len(c.Ahead) != 1 || c.Ahead[0].SHA != side.SHA || c.Behind != 1 {
			t.Errorf("comparison %+v, %v", c, err)
		}
		if len(c.Files) != 1 || c.Files[0].Name != "side.txt" || c.Files[0].Status != "added" || len(c.Files[0].SHA) != 40 {
			t.Errorf("files %+v", c.Files)
		}
		if c, err := r.Compare(ctx, main.SHA, main.SHA); err != nil || c.MergeBase != main.SHA || len(c.Ahead)+c.Behind+len(c.Files) != 0 {
			t.Errorf("with itself: %+v, %v", c, err)
		}
		_, err = r.Compare(ctx, main.SHA, missing)
		is(t, err, github.ErrNotFound)
	})
}
