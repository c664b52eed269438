package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/glob"
)

// layout is the tree as it will be, with where each part of it comes from.
type layout struct {
	at     map[string]item // by path
	sorted []archive.Entry
	roots  map[string]*os.Root
}

type item struct {
	entry  archive.Entry
	root   *os.Root // of a file: where it lies
	source string   // and its path there
	src    string   // what release.yaml says, for messages
}

// open opens a folder that contents are taken from. Nothing outside of it can be reached by way of links.
func (l *layout) open(dir string) (*os.Root, error) {
	if root, ok := l.roots[dir]; ok {
		return root, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if l.roots == nil {
		l.roots = map[string]*os.Root{}
	}
	l.roots[dir] = root
	return root, nil
}

func (l *layout) close() error {
	var errs []error
	for _, root := range l.roots {
		errs = append(errs, root.Close())
	}
	return errors.Join(errs...)
}

// add lays out one content, whose source is rel below root.
func (l *layout) add(c Content, root *os.Root, rel string) error {
	dst := strings.TrimSuffix(c.place(), "/")
	if c.Type == typeSymlink {
		return l.put(dst, item{entry: archive.Entry{Mode: fs.ModeSymlink | 0o777, Link: c.Src}, src: c.Src})
	}
	if c.Type == typeTree {
		return l.tree(c, root, strings.TrimSuffix(rel, "/"), dst)
	}
	info, err := root.Lstat(filepath.FromSlash(rel))
	if errors.Is(err, fs.ErrNotExist) && glob.HasMeta(rel) {
		return l.pattern(c, root, rel, dst)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cannot find src %q: is it committed, or made by its component?", c.Src)
	case err != nil:
		return fmt.Errorf("cannot read src %q: %w", c.Src, err)
	case info.IsDir():
		return fmt.Errorf("src %q is a folder: say type: tree", c.Src)
	}
	if strings.HasSuffix(c.Dst, "/") {
		dst = path.Join(dst, path.Base(rel))
	}
	return l.file(c, root, rel, dst)
}

// file lays out one file, or a link as a link.
func (l *layout) file(c Content, root *os.Root, source, dst string) error {
	e, err := archive.Stat(root.FS(), source)
	if err != nil {
		return err
	}
	if c.FileInfo.Mode != 0 && e.Mode.IsRegular() {
		e.Mode = fs.FileMode(c.FileInfo.Mode)
	}
	return l.put(dst, item{entry: e, root: root, source: source, src: c.Src})
}

// tree lays out all that is in a folder.
func (l *layout) tree(c Content, root *os.Root, rel, dst string) error {
	fsys := root.FS()
	if rel != "" {
		info, err := root.Stat(filepath.FromSlash(rel))
		if err != nil {
			return fmt.Errorf("cannot read src %q: %w", c.Src, err)
		}
		if !info.IsDir() {
			return fmt.Errorf("src %q is not a folder: leave type out", c.Src)
		}
		if fsys, err = fs.Sub(fsys, rel); err != nil {
			return err
		}
	}
	entries, err := archive.List(fsys)
	if err != nil {
		return fmt.Errorf("cannot list src %q: %w", c.Src, err)
	}
	if len(entries) == 0 {
		return fmt.Errorf("src %q is an empty folder", c.Src)
	}
	for _, e := range entries {
		source := path.Join(rel, e.Path)
		if c.FileInfo.Mode != 0 && e.Mode.IsRegular() {
			e.Mode = fs.FileMode(c.FileInfo.Mode)
		}
		if err := l.put(path.Join(dst, e.Path), item{entry: e, root: root, source: source, src: c.Src}); err != nil {
			return err
		}
	}
	return nil
}

// pattern lays out the files that match, below dst as they lie below the part of the pattern without * ? and [...].
func (l *layout) pattern(c Content, root *os.Root, pattern, dst string) error {
	below := glob.Fixed(pattern)
	found := false
	err := fs.WalkDir(root.FS(), below, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !glob.Match(pattern, p) {
			return err
		}
		found = true
		return l.file(c, root, p, path.Join(dst, strings.TrimPrefix(strings.TrimPrefix(p, below), "/")))
	})
	if errors.Is(err, fs.ErrNotExist) || err == nil && !found {
		return fmt.Errorf("no file matches src %q: is it committed, or made by its component?", c.Src)
	}
	return err
}

// put gives a place to one entry, and folders to those above it.
func (l *layout) put(p string, it item) error {
	if err := archive.CheckName(p); err != nil {
		return err
	}
	if InEtc(p) && strings.ContainsFunc(p, unicode.IsSpace) {
		return fmt.Errorf("name %q holds a space, which package managers do not keep for files of /etc", p)
	}
	it.entry.Path = p
	switch old, there := l.at[p]; {
	case there && old.entry.Mode.IsDir() && it.entry.Mode.IsDir():
		return nil
	case there:
		return fmt.Errorf("%q comes from src %q and from src %q: want one source for one dst", p, old.src, it.src)
	}
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		old, there := l.at[dir]
		if there && !old.entry.Mode.IsDir() {
			return fmt.Errorf("%q of src %q would lie below %q, which src %q makes a file or link", p, it.src, dir, old.src)
		}
		if there {
			break
		}
		l.at[dir] = item{entry: archive.Entry{Path: dir, Mode: fs.ModeDir | 0o755}, src: it.src}
	}
	l.at[p], l.sorted = it, nil
	return nil
}

// entries lists the tree, sorted.
func (l *layout) entries() []archive.Entry {
	if l.sorted == nil {
		for _, it := range l.at {
			l.sorted = append(l.sorted, it.entry)
		}
		archive.Sort(l.sorted)
	}
	return l.sorted
}

// copy makes the tree in a new folder.
func (l *layout) copy(ctx context.Context, out string, tick func(done, total int64)) error {
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	var done, total int64
	for _, e := range l.entries() {
		total += e.Size
	}
	for _, e := range l.entries() {
		if err := ctx.Err(); err != nil {
			return err
		}
		it := l.at[e.Path]
		if err := archive.PutEntry(it.root, it.source, out, e); err != nil {
			return fmt.Errorf("cannot copy %q to %q: %w", it.src, e.Path, err)
		}
		done += e.Size
		tick(done, total)
	}
	return nil
}
