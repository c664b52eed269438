package version

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/carrier"
	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/phases/internal/version"
)

// A Tree is what versions are read from: a commit, or a working tree.
type Tree struct {
	File func(path string) ([]byte, error) // content of a file, by its path in the repository
	Tags func() ([]repo.Tag, error)        // tags of the commit; asked for a source that is [Tag] only
}

// At is the tree of a commit.
func At(r *repo.Repo, commit string) Tree {
	return Tree{
		File: func(file string) ([]byte, error) { return r.File(commit, file) },
		Tags: func() ([]repo.Tag, error) { return r.TagsAt(commit) },
	}
}

// Read reads the version from the source of truth.
func Read(cfg Config, t Tree) (v version.Version, err error) {
	if cfg.Source == Tag {
		tags, err := t.Tags()
		if err != nil {
			return v, err
		}
		return tagged(tags)
	}
	content, err := t.File(cfg.Source)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return v, fmt.Errorf("the source of truth %s does not exist: %w", cfg.Source, err)
	case err != nil:
		return v, fmt.Errorf("cannot read the source of truth: %w", err)
	}
	v, _, err = carrier.Source(cfg.Source, content)
	return v, err
}

// tagged is the version that the tags of a commit say: of one annotated tag like v1.2.3.
func tagged(tags []repo.Tag) (found version.Version, err error) {
	name := ""
	for _, tag := range tags {
		text, ok := strings.CutPrefix(tag.Name, "v")
		v, err := version.Parse(text)
		switch {
		case !ok || err != nil:
			continue // of another kind
		case !tag.Annotated:
			return v, fmt.Errorf("tag %s is lightweight, so nobody knows who made it: make an annotated one (git tag -a)", tag.Name)
		case name != "":
			return v, fmt.Errorf("tags %s and %s are of one commit, which cannot be two versions", name, tag.Name)
		}
		found, name = v, tag.Name
	}
	if name == "" {
		return found, errors.New("the commit has no tag like v1.2.3, and release.yaml takes the version from there: git tag -a v1.2.3 makes one")
	}
	return found, nil
}

// Survey reads the version from the source of truth and compares all carriers with it. Drifts are places that differ,
// and byte order marks where none may be; a file that is not there or cannot be understood is an error.
func Survey(cfg Config, t Tree) (v version.Version, drifts []carrier.Drift, err error) {
	if v, err = Read(cfg, t); err != nil {
		return v, nil, err
	}
	for _, file := range cfg.files() {
		content, err := t.File(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return v, nil, fmt.Errorf("the carrier %s does not exist; make it, or take it out of release.yaml", file)
		case err != nil:
			return v, nil, err
		}
		found, err := carrier.Check(file, content, v, carrier.Stamp{})
		if err != nil {
			return v, nil, err
		}
		drifts = append(drifts, found...)
	}
	return v, drifts, nil
}

// writer returns the function that writes a version into one of the files.
func writer(cfg Config, file string) func(string, []byte, version.Version, carrier.Stamp) ([]byte, error) {
	if file == cfg.Source {
		return carrier.WriteSource
	}
	return carrier.Write
}

// Drift is [Survey] for the working tree in folder root.
func Drift(root string, cfg Config) (version.Version, []carrier.Drift, error) {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return version.Version{}, nil, err
	}
	defer dir.Close()
	return Survey(cfg, Tree{
		File: func(file string) ([]byte, error) { return readFile(dir, file) },
		Tags: func() ([]repo.Tag, error) { return headTags(root) },
	})
}

// headTags are the tags of the commit that is checked out.
func headTags(root string) ([]repo.Tag, error) {
	r, err := repo.Open(root)
	if err != nil {
		return nil, err
	}
	head, err := r.Head()
	if err != nil {
		return nil, err
	}
	return r.TagsAt(head.ID)
}

// Change is what [Bump] did.
type Change struct {
	From   version.Version `json:"-"`
	To     version.Version `json:"-"`
	Places []carrier.Drift `json:"places"` // each with the old text as Found and the new one as Wanted
	Files  []string        `json:"files"`  // those that were written, in the configuration's order
}

// NextError says that there is no such next version.
type NextError struct{ Why error }

// Error is the reason.
func (e *NextError) Error() string { return e.Why.Error() }

// Unwrap returns the reason.
func (e *NextError) Unwrap() error { return e.Why }

// Bump writes the next version into the source of truth and its carriers, in the working tree in folder root. What is
// "major", "minor", "patch", "build" or a version; the version that is there already is written into the carriers
// that say something else. Either all files are written or none; their modes stay.
func Bump(root string, cfg Config, what string) (*Change, error) {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	olds, news := map[string][]byte{}, map[string][]byte{}
	for _, file := range cfg.files() {
		if olds[file], err = readFile(dir, file); err != nil {
			return nil, fmt.Errorf("cannot bump: %w", err)
		}
	}
	c := &Change{}
	if cfg.Source == Tag { // which stands nowhere yet
		if c.To, err = version.Parse(what); err != nil {
			return nil, &NextError{fmt.Errorf("the version is that of a tag, so say the next one in full, like 1.2.3: %w", err)}
		}
		c.From = c.To
	} else if c.From, _, err = carrier.Source(cfg.Source, olds[cfg.Source]); err != nil {
		return nil, err
	} else if c.To = c.From; what != c.From.String() {
		if c.To, err = c.From.Bump(what); err != nil {
			return nil, &NextError{err}
		}
	}
	for _, file := range cfg.files() {
		if news[file], err = writer(cfg, file)(file, olds[file], c.To, carrier.Stamp{}); err != nil {
			return nil, err
		}
		if bytes.Equal(olds[file], news[file]) {
			delete(news, file)
			continue
		}
		c.Files = append(c.Files, file)
		changed, err := carrier.Changes(file, olds[file], news[file])
		if err != nil {
			return nil, err
		}
		c.Places = append(c.Places, changed...)
	}
	return c, replace(dir, olds, news)
}

// readFile reads a regular file below the folder, without following a link.
func readFile(dir *os.Root, file string) ([]byte, error) {
	info, err := dir.Lstat(filepath.FromSlash(file))
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", file)
	case info.Size() > carrier.MaxSize:
		return nil, fmt.Errorf("%s is larger than %d bytes", file, carrier.MaxSize)
	}
	return dir.ReadFile(filepath.FromSlash(file))
}

// replace puts new contents in the place of old ones: all beside them first, durably, then each by renaming. Where one
// cannot take its place, those that have get their old content back.
func replace(dir *os.Root, olds, news map[string][]byte) (err error) {
	files := slices.Sorted(maps.Keys(news))
	defer func() {
		for _, file := range files {
			_ = dir.Remove(beside(file)) // none is left where all went well
		}
	}()
	for _, file := range files {
		if err := stage(dir, file, news[file]); err != nil {
			return fmt.Errorf("cannot write %s: %w; nothing was changed", file, err)
		}
	}
	for i, file := range files {
		err := dir.Rename(beside(file), filepath.FromSlash(file))
		if err == nil {
			continue
		}
		err = fmt.Errorf("cannot write %s: %w", file, err)
		for _, done := range files[:i] {
			if back := errors.Join(stage(dir, done, olds[done]), dir.Rename(beside(done), filepath.FromSlash(done))); back != nil {
				err = errors.Join(err, fmt.Errorf("cannot put %s back as it was: %w", done, back))
			}
		}
		return err
	}
	return nil
}

// stage writes a file's content beside it, with its mode.
func stage(dir *os.Root, file string, content []byte) error {
	info, err := dir.Lstat(filepath.FromSlash(file))
	if err != nil {
		return err
	}
	if err := dir.Remove(beside(file)); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a run that was killed
		return err
	}
	f, err := dir.OpenFile(beside(file), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Chmod(info.Mode().Perm()), f.Sync(), f.Close())
}

// beside names the temporary file for another one, in its folder.
func beside(file string) string {
	return filepath.FromSlash(path.Join(path.Dir(file), "."+path.Base(file)+".slipway-new"))
}
