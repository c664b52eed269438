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

	"github.com/imrightguy/slipway/phases/internal/carrier"
	"github.com/imrightguy/slipway/phases/internal/version"
)

// Survey reads the version from the source of truth and compares all carriers with it. Read gives a file's content by
// its path in the repository. Drifts are places that differ, and byte order marks where none may be; a file that
// is not there or cannot be understood is an error.
func Survey(cfg Config, read func(file string) ([]byte, error)) (v version.Version, drifts []carrier.Drift, err error) {
	for i, file := range cfg.files() {
		content, err := read(file)
		switch {
		case errors.Is(err, fs.ErrNotExist) && i == 0:
			return v, nil, fmt.Errorf("the source of truth %s does not exist", file)
		case errors.Is(err, fs.ErrNotExist):
			return v, nil, fmt.Errorf("the carrier %s does not exist; make it, or take it out of release.yaml", file)
		case err != nil:
			return v, nil, err
		}
		if i == 0 {
			if v, _, err = carrier.Source(file, content); err != nil {
				return v, nil, err
			}
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
	return Survey(cfg, func(file string) ([]byte, error) { return readFile(dir, file) })
}

// Change is what [Bump] did.
type Change struct {
	From   version.Version `json:"-"`
	To     version.Version `json:"-"`
	Places []carrier.Drift `json:"places"` // each with the old text as Found and the new one as Wanted
	Files  []string        `json:"files"`  // those that were written, in the configuration's order
}

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
	if c.From, _, err = carrier.Source(cfg.Source, olds[cfg.Source]); err != nil {
		return nil, err
	}
	if c.To = c.From; what != c.From.String() {
		if c.To, err = c.From.Bump(what); err != nil {
			return nil, err
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
