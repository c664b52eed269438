package gitflow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/imrightguy/slipway/phases/internal/carrier"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/phases/internal/tool"
	"github.com/imrightguy/slipway/pipeline"
)

// store is a temporary bare repository. What it does not hold itself it borrows from the user's one, which is only read.
// go-git's own way to borrow reads the indexes of all packs again for each object.
type store struct {
	*filesystem.Storage
	dir  string
	user *repo.Repo // nil: nothing is borrowed
}

// newStore makes an empty store that borrows nothing.
func newStore(ws *pipeline.Workspace, name string) (*store, error) {
	temp, err := ws.Temp()
	if err != nil {
		return nil, err
	}
	s := &store{}
	if s.dir, err = os.MkdirTemp(temp, name+"-"); err != nil {
		return nil, err
	}
	s.Storage = filesystem.NewStorage(osfs.New(s.dir), cache.NewObjectLRUDefault())
	if _, err := git.Init(s.Storage, nil); err != nil {
		return nil, fmt.Errorf("cannot make a temporary repository: %w", err)
	}
	return s, nil
}

// workshop makes a store that holds the release's commit and borrows from the user's repository.
func (f *flow) workshop(ws *pipeline.Workspace) (*store, error) {
	s, err := newStore(ws, "workshop")
	if err != nil {
		return nil, err
	}
	if s.user, err = repo.Open(f.o.RepoDir); err != nil {
		return nil, err
	}
	if f.existing() {
		return s, nil
	}
	_, path, err := ws.Input(versionPack)
	if err != nil {
		return nil, err
	}
	pack, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer pack.Close()
	if err := packfile.UpdateObjectStorage(s.Storage, pack); err != nil {
		return nil, fmt.Errorf("cannot read the version commit: %w", err)
	}
	return s, nil
}

// haves are what need not be fetched: the base commit, if all that it leads to is here.
func (s *store) haves(ws *pipeline.Workspace) ([]plumbing.Hash, error) {
	shallow, err := s.user.Shallow()
	if err != nil || shallow {
		return nil, err
	}
	base := plumbing.NewHash(ws.Env.Commit)
	haves, seen := []plumbing.Hash{}, map[plumbing.Hash]bool{}
	// The remote may not know the base commit, but some commit before it.
	for next := []plumbing.Hash{base}; len(next) > 0 && len(haves) < 256; next = next[1:] {
		c, err := object.GetCommit(s, next[0])
		if err != nil {
			return nil, fmt.Errorf("cannot read the history of commit %s: %w", base, err)
		}
		if !seen[c.Hash] {
			seen[c.Hash] = true
			haves = append(haves, c.Hash)
			next = append(next, c.ParentHashes...)
		}
	}
	return haves, nil
}

// deepen gets the commits that a shallow user's repository lacks, so that what the remote has already is known: of the
// branch that is merged into, or of all where there is none.
func (f *flow) deepen(ctx context.Context, a gitremote.Access, s *store) error {
	shallow, err := s.user.Shallow()
	if err != nil || !shallow {
		return err
	}
	refs, err := a.Refs(ctx)
	if err != nil {
		return err
	}
	var heads []string
	for name := range refs {
		if strings.HasPrefix(name, "refs/heads/") && (f.c.MergeInto == "" || name == f.mergeRef()) {
			heads = append(heads, name)
		}
	}
	slices.Sort(heads)
	return a.Get(ctx, s, gitremote.Wanted{Refs: heads, Filter: packp.FilterTreeDepth(0)})
}

// EncodedObject finds an object here, or in the user's repository.
func (s *store) EncodedObject(t plumbing.ObjectType, id plumbing.Hash) (plumbing.EncodedObject, error) {
	o, err := s.Storage.EncodedObject(t, id)
	if errors.Is(err, plumbing.ErrObjectNotFound) && s.user != nil {
		return s.user.Object(t, id)
	}
	return o, err
}

// HasEncodedObject looks for an object here, and in the user's repository.
func (s *store) HasEncodedObject(id plumbing.Hash) error {
	err := s.Storage.HasEncodedObject(id)
	if err != nil && s.user != nil && s.user.Has(id) {
		return nil
	}
	return err
}

// EncodedObjectSize is the size of an object here, or in the user's repository, in bytes.
func (s *store) EncodedObjectSize(id plumbing.Hash) (int64, error) {
	o, err := s.EncodedObject(plumbing.AnyObject, id)
	if err != nil {
		return 0, err
	}
	return o.Size(), nil
}

// add puts an object into the store.
func (s *store) add(encode func(plumbing.EncodedObject) error) (plumbing.Hash, error) {
	o := s.NewEncodedObject()
	if err := encode(o); err != nil {
		return plumbing.ZeroHash, err
	}
	return s.SetEncodedObject(o)
}

// read returns an object's content, if it is not larger than limit bytes.
func read(o plumbing.EncodedObject, limit int64) ([]byte, error) {
	if o.Size() > limit {
		return nil, fmt.Errorf("it is %d bytes large", o.Size())
	}
	r, err := o.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, limit))
}

// fileAt is the content of a file in a tree, of at most [carrier.MaxSize] bytes. The error wraps [fs.ErrNotExist] where there
// is no such file.
func fileAt(s *store, tree plumbing.Hash, path string) ([]byte, error) {
	t, err := object.GetTree(s, tree)
	if err != nil {
		return nil, fmt.Errorf("cannot read tree %s: %w", tree, err)
	}
	e, err := t.FindEntry(path)
	switch {
	case errors.Is(err, object.ErrEntryNotFound), errors.Is(err, object.ErrDirectoryNotFound):
		return nil, fmt.Errorf("the source of truth %s does not exist there: %w", path, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	case e.Mode != filemode.Regular && e.Mode != filemode.Executable && e.Mode != filemode.Deprecated:
		return nil, fmt.Errorf("cannot read %s: it is no file", path)
	}
	o, err := s.EncodedObject(plumbing.BlobObject, e.Hash)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	content, err := read(o, carrier.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return content, nil
}

// conflict says that two lines of history cannot be merged without a person.
type conflict struct{ files []string }

// maxNamed is how many files of a conflict are named.
const maxNamed = 20

// Error names the files, the first ones.
func (c *conflict) Error() string {
	shown, more := c.files, ""
	if len(shown) > maxNamed {
		shown, more = shown[:maxNamed], fmt.Sprintf(" and %d more files", len(c.files)-maxNamed)
	}
	var names []string
	for _, file := range shown {
		names = append(names, fmt.Sprintf("%.200q", file))
	}
	return "both sides have changed " + strings.Join(names, ", ") + more
}

// errOldGit says that git cannot merge without a working tree.
var errOldGit = errors.New("merging needs git 2.38 or newer")

var gitVersion = regexp.MustCompile(`^git version (\d+)\.(\d+)`)

// mergeTree merges two commits and returns the tree, whose objects are in the store then. It asks the git program
// (git-merge-tree(1), --write-tree), which sees neither settings nor hooks. The error is a *conflict, a
// *[tool.MissingError] or errOldGit where a person has to do something.
func (s *store) mergeTree(ctx context.Context, ours, theirs plumbing.Hash) (plumbing.Hash, error) {
	out, err := s.git(ctx, "--version")
	if err != nil {
		return plumbing.ZeroHash, err
	}
	m := gitVersion.FindStringSubmatch(out)
	if m == nil {
		return plumbing.ZeroHash, fmt.Errorf("%w; this one says %q", errOldGit, out)
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	if major < 2 || major == 2 && minor < 38 {
		return plumbing.ZeroHash, fmt.Errorf("%w; this one is %s.%s", errOldGit, m[1], m[2])
	}
	out, err = s.git(ctx, "merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", ours.String(), theirs.String())
	var exit *tool.ExitError
	fields := strings.Split(strings.TrimRight(out, "\x00"), "\x00")
	switch {
	case errors.As(err, &exit) && exit.Code == 1 && len(fields) > 1:
		return plumbing.ZeroHash, &conflict{files: fields[1:]}
	case err != nil:
		return plumbing.ZeroHash, fmt.Errorf("cannot merge: %w", err)
	case !plumbing.IsHash(fields[0]):
		return plumbing.ZeroHash, fmt.Errorf("cannot merge: git says %.100q", out)
	}
	return plumbing.NewHash(fields[0]), nil
}

// git runs the git program on the store, with nothing of the machine's settings, and returns what it prints.
func (s *store) git(ctx context.Context, args ...string) (string, error) {
	path, err := tool.Look("git")
	if err != nil {
		return "", err
	}
	env := append(tool.Inherit("PATH", "SYSTEMROOT", "TMPDIR"), "HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir, "LC_ALL=C", "GIT_DIR="+s.dir,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_ATTR_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_NO_LAZY_FETCH=1")
	if s.user != nil {
		env = append(env, "GIT_ALTERNATE_OBJECT_DIRECTORIES="+quote(s.user.Objects()))
	}
	var out strings.Builder
	_, err = tool.Run(ctx, tool.Command{Argv: append([]string{path}, args...), Dir: s.dir, Env: env, Stdout: &out, Timeout: 10 * time.Minute})
	return out.String(), err
}

// quote writes a path as git reads it in a list of paths (git(1), GIT_ALTERNATE_OBJECT_DIRECTORIES): in C's quotes.
func quote(path string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(path) {
		switch c := path[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String() + `"`
}
