package history

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// trailer begins the line of a commit's message that says which run made it.
const trailer = "Slipway-Run: "

// Change is a commit that publishes files.
type Change struct {
	Parent      plumbing.Hash // zero: the first of the repository
	Tree        plumbing.Hash
	Name, Email string // of author and committer
	Time        time.Time
	Version     string // [epoch:]pkgver-pkgrel
	Run         string // the run's ID
}

// Commit stores the commit and returns its name.
func Commit(s storer.EncodedObjectStorer, c Change) (plumbing.Hash, error) {
	subject := "Update to " + c.Version
	commit := &object.Commit{TreeHash: c.Tree}
	if c.Parent.IsZero() {
		subject = "Initial import of " + c.Version
	} else {
		commit.ParentHashes = []plumbing.Hash{c.Parent}
	}
	for _, text := range []string{c.Version, c.Run, c.Name, c.Email} {
		if text == "" || strings.ContainsAny(text, "\x00\r\n<>") {
			return plumbing.ZeroHash, fmt.Errorf("cannot commit with %q in the commit's message or author", text)
		}
	}
	who := object.Signature{Name: c.Name, Email: c.Email, When: c.Time.UTC()}
	commit.Author, commit.Committer = who, who
	commit.Message = subject + "\n\n" + trailer + c.Run + "\n"
	o := s.NewEncodedObject()
	if err := commit.Encode(o); err != nil {
		return plumbing.ZeroHash, fmt.Errorf("cannot make a commit: %w", err)
	}
	return s.SetEncodedObject(o)
}

// Marker is the ID of the run that made a commit, by the last line of its message; "" where it was made otherwise.
func Marker(message string) string {
	lines := strings.Split(strings.TrimRight(message, "\n"), "\n")
	if id, ok := strings.CutPrefix(lines[len(lines)-1], trailer); ok {
		return strings.TrimSpace(id)
	}
	return ""
}

// maxWalk bounds the commits that are looked at.
const maxWalk = 10000

// Find looks, from the tip back along first parents to base, for a commit of the run with this tree. Zero: there is none.
func Find(r *git.Repository, tip, base, tree plumbing.Hash, run string) (plumbing.Hash, error) {
	for range maxWalk {
		if tip.IsZero() || tip == base {
			return plumbing.ZeroHash, nil
		}
		c, err := r.CommitObject(tip)
		if err != nil {
			return plumbing.ZeroHash, fmt.Errorf("cannot read commit %s: %w", tip, err)
		}
		if c.TreeHash == tree && Marker(c.Message) == run {
			return tip, nil
		}
		if len(c.ParentHashes) == 0 {
			return plumbing.ZeroHash, nil
		}
		tip = c.ParentHashes[0]
	}
	return plumbing.ZeroHash, errors.New("the history has too many commits to look at")
}

// Describe is a commit in one line, for people: its name, author and first line.
func Describe(r *git.Repository, commit plumbing.Hash) string {
	c, err := r.CommitObject(commit)
	if err != nil {
		return commit.String()
	}
	first, _, _ := strings.Cut(c.Message, "\n")
	return fmt.Sprintf("%.12s by %s: %s", commit, visible(c.Author.Name), short(visible(first), 100))
}

func short(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "..."
	}
	return s
}
