package github

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"
)

// What [Refs] answer; the twin turns them into statuses.
var (
	// ErrNotFound says that no ref or object has that name.
	ErrNotFound = errors.New("not found")
	// ErrExists says that a ref is there already.
	ErrExists = errors.New("reference already exists")
	// ErrNotFastForward says that an update would lose commits.
	ErrNotFastForward = errors.New("update is not a fast forward")
	// ErrNoCommonAncestor says that two commits have no history in common.
	ErrNoCommonAncestor = errors.New("no common ancestor")
)

// Refs is the git side of a repository. [Memory] keeps it in memory; a git
// server over the same repository implements it to share its refs with the
// twin. Methods are called one at a time for each repository by the twin, but
// the other user of the repository may act between two calls.
type Refs interface {
	// Get returns what a full ref name ("refs/tags/v1") points at, or ErrNotFound.
	Get(ctx context.Context, ref string) (Object, error)
	// List returns the refs whose full name starts with prefix, sorted by name.
	List(ctx context.Context, prefix string) ([]Ref, error)
	// Create makes a ref: ErrExists, or ErrNotFound for an unknown object.
	Create(ctx context.Context, ref, sha string) error
	// Update moves a ref: ErrNotFound (ref), ErrNotFastForward unless forced.
	// An unknown object is ErrNotFound too.
	Update(ctx context.Context, ref, sha string, force bool) error
	// Delete removes a ref, or ErrNotFound.
	Delete(ctx context.Context, ref string) error
	// Object tells the type of an object, or ErrNotFound.
	Object(ctx context.Context, sha string) (Object, error)
	// Commit returns a commit, or ErrNotFound.
	Commit(ctx context.Context, sha string) (Commit, error)
	// TagObject returns an annotated tag's object, or ErrNotFound.
	TagObject(ctx context.Context, sha string) (Tag, error)
	// CreateTagObject stores a tag object without a ref and returns it with its
	// SHA; ErrNotFound for an unknown target.
	CreateTagObject(ctx context.Context, t Tag) (Tag, error)
	// Compare returns what head has that base has not; ErrNotFound,
	// ErrNoCommonAncestor. Both are commits.
	Compare(ctx context.Context, base, head string) (Comparison, error)
}

// An Archiver is a [Refs] that can also give the source tarball of a commit.
// Without it GET /tarball/{ref} is 404.
type Archiver interface {
	// Archive writes a gzipped tar of the commit's tree, every name below prefix.
	Archive(ctx context.Context, w io.Writer, sha, prefix string) error
}

// An Object is the target of a ref or a tag.
type Object struct {
	SHA  string // 40 hex digits
	Type string // commit, tag, tree or blob
}

// A Ref is a full name and its target.
type Ref struct {
	Name string
	Object
}

// A Signature is a name with a time, as commits and tags carry.
type Signature struct {
	Name, Email string
	When        time.Time
}

// A Commit is what the twin shows of one.
type Commit struct {
	SHA, Tree         string
	Parents           []string
	Author, Committer Signature
	Message           string
}

// A Tag is an annotated tag's object.
type Tag struct {
	SHA, Name, Message string
	Tagger             Signature
	Target             Object
	// PGPSignature is the armored signature of the object, also an SSH one.
	PGPSignature string
}

// A Comparison is the difference of two commits, seen from their merge base.
type Comparison struct {
	MergeBase string
	Ahead     []Commit // oldest first, without the base
	Behind    int
	Files     []FileChange // sorted by name
}

// A FileChange is one file of a [Comparison].
type FileChange struct {
	Name, SHA, Status    string // SHA of the blob; added, removed or modified
	Additions, Deletions int    // lines
}

// wellFormed tells whether a full ref name obeys git-check-ref-format(1).
func wellFormed(ref string) bool {
	if !strings.HasPrefix(ref, "refs/") || strings.Count(ref, "/") < 2 || len(ref) > 1024 {
		return false
	}
	if strings.Contains(ref, "..") || strings.Contains(ref, "@{") || strings.Contains(ref, "//") || strings.HasSuffix(ref, ".") {
		return false
	}
	for part := range strings.SplitSeq(ref, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return !strings.ContainsFunc(ref, func(r rune) bool {
		return r <= ' ' || r == 0x7f || strings.ContainsRune(`~^:?*[\`, r)
	})
}

// peel follows tag objects to what they stand for in the end.
func peel(ctx context.Context, refs Refs, o Object) (Object, error) {
	for range 16 {
		if o.Type != "tag" {
			return o, nil
		}
		t, err := refs.TagObject(ctx, o.SHA)
		if err != nil {
			return Object{}, err
		}
		o = t.Target
	}
	return Object{}, errors.New("tags of tags without end")
}

// isSHA tells whether s is a full object name.
func isSHA(s string) bool {
	return len(s) == 40 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'f')
	})
}

// resolve finds the commit of a branch, a tag, a full ref or a SHA, as
// target_commitish and the ends of a comparison may be.
func resolve(ctx context.Context, refs Refs, commitish string) (string, error) {
	for _, name := range []string{commitish, "refs/heads/" + commitish, "refs/tags/" + commitish} {
		if !wellFormed(name) {
			continue
		}
		o, err := refs.Get(ctx, name)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err == nil {
			o, err = peel(ctx, refs, o)
		}
		if err == nil && o.Type != "commit" {
			return "", ErrNotFound
		}
		return o.SHA, err
	}
	if !isSHA(commitish) {
		return "", ErrNotFound
	}
	c, err := refs.Commit(ctx, commitish)
	return c.SHA, err
}
