package origin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
)

// Rules are what a push must not do.
type Rules struct {
	// Locked tells whether a tag, without "refs/tags/", must stay where it is: [github.Server.TagLocked].
	Locked func(tag string) bool
	// Protected are branches, without "refs/heads/", that are neither forced nor deleted.
	Protected []string
}

// Update judges one ref, for Options.Update of package gitd. What the client reads has the form of GitHub's texts: GH006
// of protected branches is often quoted, the line for locked tags is unconfirmed.
func (r Rules) Update(_ context.Context, u *gitd.Update) error {
	gone := u.New == plumbing.ZeroHash.String()
	if tag, ok := strings.CutPrefix(u.Ref, "refs/tags/"); ok && r.Locked != nil && r.Locked(tag) {
		return fmt.Errorf("error: GH013: Repository rule violations found for %s.\n- Cannot update this tag: it belongs to an immutable release.", u.Ref) //nolint:revive // the server's text
	}
	branch, ok := strings.CutPrefix(u.Ref, "refs/heads/")
	if !ok || !slices.Contains(r.Protected, branch) {
		return nil
	}
	refuse := func(why string) error {
		return fmt.Errorf("error: GH006: Protected branch update failed for %s.\nerror: %s", u.Ref, why)
	}
	switch {
	case gone:
		return refuse("Cannot delete a protected branch")
	case u.Old == plumbing.ZeroHash.String():
		return nil
	}
	forward, err := descends(u.Store, u.Old, u.New)
	if err != nil {
		return err
	}
	if !forward {
		return refuse("Cannot force-push to a protected branch")
	}
	return nil
}
