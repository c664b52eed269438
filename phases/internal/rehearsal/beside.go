package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
)

// Aside is a repository of a rehearsal's own: all that the user's repository has, and a commit with an annotated tag.
type Aside struct {
	Dir        string    // that it is made in; it must not be there
	Repository string    // the user's
	Pack       io.Reader // of the commit's objects that the user's does not have
	Commit     string
	Tag        string // one of the user's of that name is replaced
	Author     string // of the tag, "Name <mail>"
	Time       time.Time
}

// Beside makes the repository. It borrows objects from the user's, which is only read.
func Beside(ctx context.Context, a Aside) error {
	for _, text := range []string{a.Tag, a.Author} {
		if text == "" || strings.ContainsAny(text, "\n\x00") {
			return fmt.Errorf("cannot make a tag of %.100q", text)
		}
	}
	err := gitd.Git(ctx, filepath.Dir(a.Dir), nil, nil, "clone", "--quiet", "--shared", "--no-checkout", "--", a.Repository, a.Dir)
	if err == nil {
		err = gitd.Git(ctx, a.Dir, a.Pack, io.Discard, "index-pack", "--stdin", "--strict")
	}
	var tag strings.Builder
	if err == nil {
		text := fmt.Sprintf("object %s\ntype commit\ntag %s\ntagger %s %d +0000\n\n%s, for a rehearsal\n", a.Commit, a.Tag, a.Author, a.Time.Unix(), a.Tag)
		err = gitd.Git(ctx, a.Dir, strings.NewReader(text), &tag, "mktag")
	}
	if err == nil {
		err = gitd.Git(ctx, a.Dir, nil, nil, "update-ref", "refs/tags/"+a.Tag, strings.TrimSpace(tag.String()))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot make a repository for the older version: %w", err), ctx.Err())
	}
	return nil
}
