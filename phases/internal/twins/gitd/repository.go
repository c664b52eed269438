package gitd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

const suffix = ".git"

// component is one part of a repository's path: what GitHub and the AUR allow, and nothing that a file system, a shell
// or an option parser takes for something else.
var component = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+-]*$`)

// clean turns a path as a client writes it into a repository's, or "".
func clean(path string) string {
	path = strings.TrimSuffix(strings.Trim(path, "/"), suffix)
	if len(path) > 1024 {
		return ""
	}
	for part := range strings.SplitSeq(path, "/") {
		if len(part) > 200 || !component.MatchString(part) || strings.HasSuffix(part, suffix) {
			return ""
		}
	}
	return path
}

// folder is where a repository lies.
func folder(dir, path string) string {
	return filepath.Join(dir, filepath.FromSlash(path)+suffix)
}

// exists tells whether a repository is there.
func exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "HEAD"))
	return err == nil
}

// Init makes the bare repository DIR/PATH.git whose HEAD is a branch that does not exist yet. One that is there is left
// as it is.
func Init(dir, path, branch string) error {
	name := clean(path)
	if name == "" {
		return fmt.Errorf("cannot make repository %q: the name cannot be served", path)
	}
	to := folder(dir, name)
	if exists(to) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("cannot make repository %q: %w", name, err)
	}
	// Another session may make the same one at the same time: whoever renames first has made it.
	made, err := os.MkdirTemp(filepath.Dir(to), ".new-*")
	if err != nil {
		return fmt.Errorf("cannot make repository %q: %w", name, err)
	}
	defer os.RemoveAll(made)
	ctx := context.Background()
	if err := Git(ctx, made, nil, nil, "init", "--quiet", "--bare", "--template="); err != nil {
		return err
	}
	if err := Git(ctx, made, nil, nil, "symbolic-ref", "HEAD", "refs/heads/"+branch); err != nil {
		return err
	}
	if err := os.Rename(made, to); err != nil && !exists(to) {
		return fmt.Errorf("cannot make repository %q: %w", name, err)
	}
	return nil
}

// store opens a repository with go-git, as it is now.
func store(dir string) (*filesystem.Storage, error) {
	if !exists(dir) {
		return nil, errors.New("no such repository")
	}
	return filesystem.NewStorage(osfs.New(dir, osfs.WithBoundOS()), cache.NewObjectLRUDefault()), nil
}
