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

// walk looks at the commits that a tip's history has, itself included, until look says that it is enough. Base, and what
// only base leads to, is left out. All parents count: who pulls before he pushes makes a merge of which what the AUR had
// is the second one.
func walk(r *git.Repository, tip, base plumbing.Hash, look func(*object.Commit) (enough bool)) error {
	seen := map[plumbing.Hash]bool{plumbing.ZeroHash: true, base: true}
	for next := []plumbing.Hash{tip}; len(next) > 0; {
		id := next[0]
		next = next[1:]
		if seen[id] {
			continue
		}
		if seen[id] = true; len(seen) > maxWalk {
			return errors.New("the history has too many commits to look at")
		}
		c, err := r.CommitObject(id)
		if err != nil {
			return fmt.Errorf("cannot read commit %s: %w", id, err)
		}
		if look(c) {
			return nil
		}
		next = append(next, c.ParentHashes...)
	}
	return nil
}

// Find looks, from the tip back to base, for a commit of the run with this tree. Zero: there is none.
func Find(r *git.Repository, tip, base, tree plumbing.Hash, run string) (found plumbing.Hash, err error) {
	err = walk(r, tip, base, func(c *object.Commit) bool {
		if c.TreeHash == tree && Marker(c.Message) == run {
			found = c.Hash
		}
		return !found.IsZero()
	})
	return found, err
}

// Above counts the commits that stand on top of one: those that the tip's history has, and its own has not. Has is false
// where the tip's history does not have the commit at all.
func Above(r *git.Repository, tip, commit plumbing.Hash) (n int, has bool, err error) {
	all, below := map[plumbing.Hash]bool{}, 0
	err = walk(r, tip, plumbing.ZeroHash, func(c *object.Commit) bool {
		all[c.Hash] = true
		return false
	})
	if err != nil || !all[commit] {
		return 0, false, err
	}
	err = walk(r, commit, plumbing.ZeroHash, func(*object.Commit) bool {
		below++
		return false
	})
	return len(all) - below, err == nil, err
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
