package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
)

// Export lays the tree of a commit out in dir, which must be empty or not there: what a clean checkout would hold,
// byte for byte as committed (no line-end conversion, no filters, no export attributes). Files are 0644 or 0755 and
// folders 0755 whatever the umask, and all but links bear the commit's time.
//
// What would make a tree that is not whole, or not the same everywhere, is an error that names it: submodules, pointer
// files of Git LFS, files that git-crypt has encrypted, links that lead nowhere or out of the tree, and names that file systems
// take for something else.
func (r *Repo) Export(ctx context.Context, commit, dir string) error {
	c, err := r.Commit(commit)
	if err != nil {
		return err
	}
	return r.export(ctx, nil, c, dir)
}

// item is a file or link to be written.
type item struct {
	path string
	entry
}

// export writes the tree of c; fresh holds objects that the repository does not have.
func (r *Repo) export(ctx context.Context, fresh map[plumbing.Hash]plumbing.EncodedObject, c Commit, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return err
	}
	o, err := openObjects(filepath.Join(r.common, "objects"), true)
	if err != nil {
		return err
	}
	defer o.close()
	x := &exporter{objects: o, dir: filepath.Join(r.common, "objects"), tmp: filepath.Dir(dir), fresh: fresh, known: map[string]kind{"": folder}, targets: map[string]string{}}
	err = x.survey(ctx, plumbing.NewHash(c.Tree), "")
	if err == nil {
		err = x.checkLinks()
	}
	if err == nil {
		err = x.write(ctx, dir, c.Time)
	}
	if err != nil {
		return fmt.Errorf("cannot lay out commit %.12s: %w", c.ID, r.explain(err))
	}
	return nil
}

type exporter struct {
	objects *objects
	dir     string // where they lie
	tmp     string // folder for temporary files
	fresh   map[plumbing.Hash]plumbing.EncodedObject
	folders []string          // parents first
	files   []item            //
	known   map[string]kind   // all of the tree, by path
	targets map[string]string // of links, by path
}

func (x *exporter) get(t plumbing.ObjectType, id plumbing.Hash) (plumbing.EncodedObject, error) {
	if obj, ok := x.fresh[id]; ok {
		return obj, nil
	}
	return x.objects.get(t, id)
}

func (x *exporter) read(t plumbing.ObjectType, id plumbing.Hash) ([]byte, error) {
	obj, err := x.get(t, id)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = x.objects.copy(&b, obj, id, x.tmp)
	return b.Bytes(), err
}

// maxPath and maxDepth bound what a tree may ask of a file system.
const (
	maxPath  = 4000
	maxDepth = 200
	maxLink  = 4000
)

// survey walks the trees and refuses what cannot be laid out, before anything is written.
func (x *exporter) survey(ctx context.Context, tree plumbing.Hash, at string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(at) > maxPath || strings.Count(at, "/") > maxDepth {
		return fmt.Errorf("%q... is too deep a folder", at[:80])
	}
	content, err := x.read(plumbing.TreeObject, tree)
	if err != nil {
		return fmt.Errorf("folder %q: %w", at, err)
	}
	entries, err := parseTree(content)
	if err != nil {
		return fmt.Errorf("folder %q: %w", at, err)
	}
	for _, e := range entries {
		name := path.Join(at, e.name)
		if err := checkName(e.name); err != nil {
			return fmt.Errorf("%q: %w", at+"/"+e.name, err)
		}
		x.known[name] = e.kind
		switch e.kind {
		case module:
			return fmt.Errorf("%q is a submodule; a release needs its files in the repository itself", name)
		case folder:
			x.folders = append(x.folders, name)
			if err := x.survey(ctx, e.id, name); err != nil {
				return err
			}
		case link:
			target, err := x.read(plumbing.BlobObject, e.id)
			if err != nil {
				return fmt.Errorf("%q: %w", name, err)
			}
			x.targets[name] = string(target)
		default:
			x.files = append(x.files, item{name, e})
		}
	}
	return nil
}

// checkLinks follows every link inside the tree.
func (x *exporter) checkLinks() error {
	for _, name := range slices.Sorted(maps.Keys(x.targets)) {
		target := x.targets[name]
		if len(target) > maxLink || !utf8.ValidString(target) || strings.ContainsAny(target, "\x00\n\r") {
			return fmt.Errorf("symbolic link %q: its target is not a usable path", name)
		}
		if err := x.follow(name); err != nil {
			return fmt.Errorf("symbolic link %q to %q %w", name, target, err)
		}
	}
	return nil
}

// follow resolves a path as the kernel would, but in the tree.
func (x *exporter) follow(name string) error {
	at, todo, hops := "", strings.Split(name, "/"), 0
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if at == "" {
				return errors.New("leads out of the tree")
			}
			if at = path.Dir(at); at == "." {
				at = ""
			}
			continue
		}
		next := path.Join(at, part)
		switch k := x.known[next]; {
		case k == "":
			return errors.New("leads nowhere")
		case k == link:
			target := x.targets[next]
			if hops++; hops > 40 {
				return errors.New("leads in a circle")
			}
			if target == "" {
				return errors.New("leads nowhere")
			}
			if path.IsAbs(target) || filepath.IsAbs(target) {
				return errors.New("leads out of the tree")
			}
			todo = append(strings.Split(target, "/"), todo...)
		case k != folder && len(todo) > 0:
			return errors.New("leads nowhere")
		default:
			at = next
		}
	}
	return nil
}

// How the work is shared: each reader has an object store of its own, since one is not safe for concurrent use, and takes
// as many files at a time as usually lie beside each other in a pack.
const (
	maxReaders = 4
	portion    = 64
)

// write makes folders, then files, then links, so that nothing is ever written through a link.
func (x *exporter) write(ctx context.Context, dir string, when time.Time) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if there, err := os.ReadDir(dir); err != nil || len(there) > 0 {
		return errors.Join(err, fmt.Errorf("folder %s is not empty", dir))
	}
	if err := os.Chmod(dir, 0o755); err != nil { // here and below: the umask had its say before
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range x.folders {
		if err := clash(name, root.Mkdir(name, 0o755)); err != nil {
			return err
		}
		if err := root.Chmod(name, 0o755); err != nil {
			return err
		}
	}
	if err := x.writeFiles(ctx, root, when); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(x.targets)) {
		if err := clash(name, root.Symlink(filepath.FromSlash(x.targets[name]), name)); err != nil {
			return err
		}
	}
	for _, name := range slices.Backward(x.folders) {
		if err := root.Chtimes(name, when, when); err != nil {
			return err
		}
	}
	return root.Chtimes(".", when, when)
}

// writeFiles writes the files on all processors.
func (x *exporter) writeFiles(ctx context.Context, root *os.Root, when time.Time) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	portions := make(chan []item)
	var wg sync.WaitGroup
	for n := range min(maxReaders, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			objects := x.objects
			if n > 0 {
				var err error
				if objects, err = openObjects(x.dir, true); err != nil {
					cancel(err)
					return
				}
				defer objects.close()
			}
			for files := range portions {
				for _, it := range files {
					if ctx.Err() != nil {
						break
					}
					if err := x.writeFile(root, objects, it, when); err != nil {
						cancel(fmt.Errorf("%q: %w", it.path, err))
					}
				}
			}
		})
	}
send:
	for files := range slices.Chunk(x.files, portion) {
		select {
		case portions <- files:
		case <-ctx.Done():
			break send
		}
	}
	close(portions)
	wg.Wait()
	return context.Cause(ctx)
}

// writeFile writes one file; a large one is streamed.
func (x *exporter) writeFile(root *os.Root, objects *objects, it item, when time.Time) error {
	obj, fresh := x.fresh[it.id]
	if !fresh {
		var err error
		if obj, err = objects.get(plumbing.BlobObject, it.id); err != nil {
			return err
		}
	}
	head := &sniffer{}
	err := create(root, it, when, func(w io.Writer) error { return objects.copy(io.MultiWriter(head, w), obj, it.id, x.tmp) })
	return errors.Join(err, checkContent(head.b, obj.Size()))
}

// sniffer keeps the beginning of what goes through it.
type sniffer struct{ b []byte }

func (s *sniffer) Write(p []byte) (int, error) {
	s.b = append(s.b, p[:min(len(p), 1024-min(1024, len(s.b)))]...)
	return len(p), nil
}

// checkContent refuses what stands in the repository for a file that is elsewhere: a pointer of Git LFS (specification:
// docs/spec.md of git-lfs, smaller than 1024 bytes) or a file that git-crypt has encrypted.
func checkContent(head []byte, size int64) error {
	for _, spec := range []string{"version https://git-lfs.github.com/spec/", "version https://hawser.github.com/spec/"} {
		if size < 1024 && bytes.HasPrefix(head, []byte(spec)) && bytes.Contains(head, []byte("\noid sha256:")) {
			return errors.New("it is a pointer of Git LFS, not the file; a release needs the file in the repository itself")
		}
	}
	if bytes.HasPrefix(head, []byte("\x00GITCRYPT\x00")) {
		return errors.New("it is encrypted by git-crypt; a release needs the file itself")
	}
	return nil
}

// create writes one new file.
func create(root *os.Root, it item, when time.Time, fill func(io.Writer) error) error {
	mode := os.FileMode(0o644)
	if it.kind == program {
		mode = 0o755
	}
	f, err := root.OpenFile(it.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return clash(it.path, err)
	}
	err = fill(f)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Chtimes(it.path, when, when)
	}
	return err
}

// clash explains why a name of a fresh tree can be taken.
func clash(name string, err error) error {
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%q: this file system takes its name for another one's in the tree (upper and lower case, or accents)", name)
	}
	return err
}
