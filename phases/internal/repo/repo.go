// Package repo reads a git repository, makes a release's commit beside it, and lays a commit's tree out as a folder.
//
// The user's repository is only ever read. New objects live in memory (see [Draft]) and leave as one pack; branches,
// the index and the working tree are never touched, and neither are hooks, filters or the machine's git settings. So
// the same commit makes the same commit, the same pack and the same folder on every machine.
//
// Reading goes through go-git's object storage, and around its repository type: that one refuses repositories with
// harmless extensions (a sparse checkout's worktreeConfig) and looks into alternates again for each object.
package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/config"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/filesystem/dotgit"
)

// Repo is an opened repository with a working tree. It is safe for concurrent use.
type Repo struct {
	root    string // of the working tree
	dot     string // its git folder
	common  string // the git folder that holds objects and branches; another one for an added worktree
	refs    *filesystem.Storage
	partial bool // objects may be missing on purpose

	mu      sync.Mutex
	objects *objects
}

// Commit is what a release wants to know of a commit.
type Commit struct {
	ID   string    // 40 hexadecimal digits
	Tree string    // likewise
	Time time.Time // the committer's, in UTC
}

// What can be wrong with a folder that should be a repository.
var (
	ErrNotFound = errors.New("not inside a git repository")
	ErrUnborn   = errors.New("the repository has no commit yet")
)

// Open opens the repository that dir lies in. The errors say what to do about a folder outside any repository, a bare
// one, and kinds of repository that cannot be read.
func Open(dir string) (*Repo, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	r := &Repo{}
	for at := dir; r.root == ""; at = filepath.Dir(at) {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			r.root = at
		} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errNotDir) {
			return nil, fmt.Errorf("cannot look for a git repository: %w", err)
		} else if isGitDir(at) {
			return nil, fmt.Errorf("cannot use %s: it is a bare repository or the inside of .git; go to a working tree", dir)
		} else if at == filepath.Dir(at) {
			return nil, fmt.Errorf("cannot use %s: %w; go to one, or make one with git init", dir, ErrNotFound)
		}
	}
	if r.dot, err = linked(filepath.Join(r.root, ".git")); err != nil {
		return nil, err
	}
	r.common = r.dot
	if b, err := os.ReadFile(filepath.Join(r.dot, "commondir")); err == nil {
		r.common = join(r.dot, strings.TrimSpace(string(b)))
	}
	if !isGitDir(r.common) {
		return nil, fmt.Errorf("cannot use %s: its .git is not a git repository", r.root)
	}
	if err := r.readConfig(); err != nil {
		return nil, err
	}
	r.refs = filesystem.NewStorage(dotgit.NewRepositoryFilesystem(osfs.New(r.dot), osfs.New(r.common)), cache.NewObjectLRU(0))
	if r.objects, err = openObjects(filepath.Join(r.common, "objects"), false); err != nil {
		return nil, err
	}
	return r, nil
}

// linked follows a .git file, as added worktrees and submodules have one (gitrepository-layout(5)).
func linked(dot string) (string, error) {
	info, err := os.Stat(dot)
	if err != nil {
		return "", err
	}
	if info.IsDir() {
		return dot, nil
	}
	b, err := os.ReadFile(dot)
	if err != nil {
		return "", err
	}
	to, ok := strings.CutPrefix(string(b), "gitdir: ")
	if !ok {
		return "", fmt.Errorf("cannot use %s: it does not name a git repository", dot)
	}
	to = join(filepath.Dir(dot), strings.TrimRight(to, "\r\n"))
	if _, err := os.Stat(to); err != nil {
		return "", fmt.Errorf("cannot use the repository that %s names (was it moved? try git worktree repair): %w", dot, err)
	}
	return to, nil
}

func join(base, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(base, path)
}

// isGitDir looks for what git looks for.
func isGitDir(dir string) bool {
	for _, name := range []string{"objects", "refs"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || !info.IsDir() {
			return false
		}
	}
	_, err := os.Lstat(filepath.Join(dir, "HEAD"))
	return err == nil
}

// readConfig refuses what cannot be read. It reads the repository's own settings, never the user's or the machine's.
func (r *Repo) readConfig() error {
	f, err := os.Open(filepath.Join(r.common, "config"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	c := config.New()
	if err := config.NewDecoder(f).Decode(c); err != nil {
		return fmt.Errorf("cannot read %s: %w", f.Name(), err)
	}
	for _, o := range c.Section("extensions").Options {
		switch key := strings.ToLower(o.Key); {
		case key == "objectformat" && !strings.EqualFold(o.Value, "sha1"):
			return fmt.Errorf("cannot use %s: its object format is %s; only sha1 can be read", r.root, o.Value)
		case key == "refstorage" && !strings.EqualFold(o.Value, "files"):
			return fmt.Errorf("cannot use %s: its branches are stored as %s; only files can be read (git refs migrate --ref-format=files)", r.root, o.Value)
		case key == "partialclone":
			r.partial = true
		}
	}
	for _, remote := range c.Section("remote").Subsections {
		r.partial = r.partial || strings.EqualFold(remote.Option("promisor"), "true")
	}
	return nil
}

// Root returns the absolute path of the working tree.
func (r *Repo) Root() string { return r.root }

// Shallow reports whether older history is missing. The commit itself and its tree are there nevertheless.
func (r *Repo) Shallow() (bool, error) {
	hashes, err := r.refs.Shallow()
	return len(hashes) > 0, err
}

// Head returns the commit that is checked out, on a branch or not. The error wraps [ErrUnborn] before the first one.
func (r *Repo) Head() (Commit, error) {
	ref, err := r.resolve(plumbing.HEAD)
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return Commit{}, fmt.Errorf("cannot use %s: %w; make the first one with git commit", r.root, ErrUnborn)
	} else if err != nil {
		return Commit{}, fmt.Errorf("cannot read HEAD of %s: %w", r.root, err)
	}
	return r.Commit(ref.String())
}

func (r *Repo) resolve(name plumbing.ReferenceName) (plumbing.Hash, error) {
	for range 10 {
		ref, err := r.refs.Reference(name)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		if ref.Type() == plumbing.HashReference {
			return ref.Hash(), nil
		}
		name = ref.Target()
	}
	return plumbing.ZeroHash, fmt.Errorf("%s refers to itself", name)
}

var fullID = regexp.MustCompile(`^[0-9a-f]{40}$`)

// Commit returns the commit of that ID, which must be whole: names and abbreviations mean different things on
// different machines.
func (r *Repo) Commit(id string) (Commit, error) {
	c, err := r.commit(id)
	if err != nil {
		return Commit{}, err
	}
	when := c.Committer.When.UTC()
	if when.Unix() < 0 || when.Year() > 9999 || c.Committer.When.IsZero() {
		return Commit{}, fmt.Errorf("cannot use commit %s: its time is not one between 1970 and 9999", id)
	}
	return Commit{ID: id, Tree: c.TreeHash.String(), Time: when}, nil
}

func (r *Repo) commit(id string) (*object.Commit, error) {
	if !fullID.MatchString(id) {
		return nil, fmt.Errorf("cannot read commit %q: want its whole ID, 40 hexadecimal digits", id)
	}
	content, err := r.read(plumbing.CommitObject, plumbing.NewHash(id))
	if err != nil {
		return nil, fmt.Errorf("cannot read commit %s: %w", id, err)
	}
	o := &plumbing.MemoryObject{}
	o.SetType(plumbing.CommitObject)
	_, _ = o.Write(content) // never fails
	c := &object.Commit{}
	if err := c.Decode(o); err != nil {
		return nil, fmt.Errorf("cannot read commit %s: %w", id, err)
	}
	return c, nil
}

// read returns a small object in full, after comparing it with its ID.
func (r *Repo) read(t plumbing.ObjectType, id plumbing.Hash) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, err := r.objects.read(t, id)
	if err != nil { // git may have packed the objects anew since they were opened
		if o, reopened := openObjects(filepath.Join(r.common, "objects"), false); reopened == nil {
			r.objects = o
			b, err = o.read(t, id)
		}
	}
	return b, r.explain(err)
}

// explain says why an object may be missing.
func (r *Repo) explain(err error) error {
	if errors.Is(err, plumbing.ErrObjectNotFound) && r.partial {
		return fmt.Errorf("%w: the repository is a partial clone; make a full one", err)
	}
	return err
}

// File returns the content of a file at a commit; path is slash-separated and relative to the root. The error wraps
// [fs.ErrNotExist] where there is none. Folders, links and submodules are not files.
func (r *Repo) File(commit, path string) ([]byte, error) {
	c, err := r.commit(commit)
	if err != nil {
		return nil, err
	}
	e, err := r.entry(c.TreeHash, path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %q at commit %.12s: %w", path, commit, err)
	}
	content, err := r.read(plumbing.BlobObject, e.id)
	if err != nil {
		return nil, fmt.Errorf("cannot read %q at commit %.12s: %w", path, commit, err)
	}
	return content, nil
}

// entry finds a regular file in a tree.
func (r *Repo) entry(tree plumbing.Hash, path string) (entry, error) {
	if !fs.ValidPath(path) || path == "." {
		return entry{}, errors.New("it is not a path inside the repository")
	}
	rest, more := path, true
	for more {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		content, err := r.read(plumbing.TreeObject, tree)
		if err != nil {
			return entry{}, err
		}
		entries, err := parseTree(content)
		if err != nil {
			return entry{}, err
		}
		i := slices.IndexFunc(entries, func(e entry) bool { return e.name == name })
		switch {
		case i < 0, more && entries[i].kind != folder:
			return entry{}, fs.ErrNotExist
		case !more && entries[i].kind != file && entries[i].kind != program:
			return entry{}, fmt.Errorf("it is a %s, not a file", entries[i].kind)
		case !more:
			return entries[i], nil
		}
		tree = entries[i].id
	}
	return entry{}, fs.ErrNotExist
}

// Tag is a tag that points at a commit.
type Tag struct {
	Name      string // without refs/tags/
	Annotated bool   // it is an object of its own, with a message
}

// TagsAt lists the tags of a commit by name. Nested tags are followed.
func (r *Repo) TagsAt(commit string) ([]Tag, error) {
	iter, err := r.refs.IterReferences()
	if err != nil {
		return nil, fmt.Errorf("cannot list the tags: %w", err)
	}
	var tags []Tag
	err = iter.ForEach(func(ref *plumbing.Reference) error {
		if !ref.Name().IsTag() || ref.Type() != plumbing.HashReference {
			return nil
		}
		tag, id := Tag{Name: ref.Name().Short()}, ref.Hash()
		for range 10 {
			content, err := r.read(plumbing.TagObject, id)
			if err != nil {
				break // not a tag object: the commit itself, or nothing of interest
			}
			line, _, _ := bytes.Cut(content, []byte("\n"))
			id, tag.Annotated = plumbing.NewHash(strings.TrimPrefix(string(line), "object ")), true
		}
		if id.String() == commit {
			tags = append(tags, tag)
		}
		return nil
	})
	slices.SortFunc(tags, func(a, b Tag) int { return strings.Compare(a.Name, b.Name) })
	return tags, err
}

// Dirty lists the tracked files that differ from HEAD, for a warning: a release is made of the commit and leaves them
// out. It asks the git program, and says so in the error where there is none.
func (r *Repo) Dirty(ctx context.Context) ([]string, error) {
	// Neither the index is refreshed on disk nor a monitor program of the repository's settings started.
	cmd := exec.CommandContext(ctx, "git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath="+os.DevNull,
		"status", "--porcelain=v1", "-z", "--untracked-files=no", "--no-renames")
	cmd.Dir = r.root
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") }), "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		message, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		return nil, fmt.Errorf("cannot ask git what has changed: %w: %s", err, message)
	}
	var files []string
	for line := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if len(line) > 3 { // "XY PATH"
			files = append(files, line[3:])
		}
	}
	return files, nil
}
