//go:build linux && !386 && !arm

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
)

// extractHere is --appimage-extract.
func (img *image) extractHere(patterns []string) error {
	const dir = "squashfs-root"
	pattern := ""
	if len(patterns) > 0 {
		pattern = patterns[0]
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return fmt.Errorf("%q is not a shell pattern", pattern)
	}
	r, err := squashfs.NewReader(img.file, img.offset)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) {
		if fi, err := os.Lstat(dir); err != nil || !fi.IsDir() {
			return errors.Join(fmt.Errorf("%s exists and is not a folder", dir), err)
		}
	} else if err != nil {
		return err
	}
	x := &extractor{r: r, match: func(p string) bool { return matches(pattern, p) }}
	x.each = func(p string) { fmt.Println(path.Join(dir, p)) }
	return x.into(dir)
}

// matches tells whether a pattern matches a path or a folder above it.
func matches(pattern, p string) bool {
	if pattern == "" {
		return true
	}
	for ; p != "."; p = path.Dir(p) {
		if ok, err := path.Match(pattern, p); ok && err == nil {
			return true
		}
	}
	return false
}

// extractor unpacks an image below a folder and never outside of it: os.Root refuses to follow links that lead out,
// files are made new, and the reader refuses names such as "..".
type extractor struct {
	r       *squashfs.Reader
	match   func(string) bool
	each    func(string)
	private bool            // keep folders removable by their owner
	stop    <-chan struct{} // give up when closed
}

var errReleased = errors.New("nobody waits for it any more")

func (x *extractor) into(dir string) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	type folder struct {
		path string
		n    *squashfs.Inode
	}
	var folders []folder
	made := map[string]bool{".": true}
	buf := make([]byte, 1<<20)
	err = x.r.Walk(func(p string, n *squashfs.Inode) error {
		select {
		case <-x.stop:
			return errReleased
		default:
		}
		if p == "." {
			if x.private {
				folders = append(folders, folder{p, n})
			}
			return nil
		}
		if x.match != nil && !x.match(p) {
			return nil
		}
		if up := path.Dir(p); !made[up] { // above the first match
			if err := root.MkdirAll(up, 0o755); err != nil {
				return err
			}
			made[up] = true
		}
		if x.each != nil {
			x.each(p)
		}
		switch {
		case n.Mode.IsDir():
			folders = append(folders, folder{p, n})
			made[p] = true
			return makeFolder(root, p)
		case n.Mode.IsRegular():
			return x.file(root, p, n, buf)
		}
		if err := removeOld(root, p); err != nil {
			return err
		}
		return root.Symlink(n.Target, p)
	})
	for i := len(folders) - 1; i >= 0 && err == nil; i-- { // the innermost first, so that none is closed too early
		f := folders[i]
		mode := f.n.Mode.Perm()
		if x.private {
			mode |= 0o700
		}
		if f.path == "." {
			mode = 0o700
		}
		t := time.Unix(int64(f.n.Time), 0)
		if err = root.Chtimes(f.path, t, t); err == nil {
			err = root.Chmod(f.path, mode)
		}
	}
	return err
}

func makeFolder(root *os.Root, p string) error {
	err := root.Mkdir(p, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	fi, err := root.Lstat(p)
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		return fmt.Errorf("%s exists and is not a folder", p)
	}
	return root.Chmod(p, 0o700)
}

func removeOld(root *os.Root, p string) error {
	if err := root.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (x *extractor) file(root *os.Root, p string, n *squashfs.Inode, buf []byte) error {
	if err := removeOld(root, p); err != nil {
		return err
	}
	f, err := root.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = x.content(f, n, buf)
	if err == nil {
		err = f.Chmod(n.Mode.Perm())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	t := time.Unix(int64(n.Time), 0)
	return root.Chtimes(p, t, t)
}

func (x *extractor) content(f *os.File, n *squashfs.Inode, buf []byte) error {
	for at := int64(0); at < n.Size; {
		hole, end := x.r.Hole(n, at)
		if hole {
			at = end
			continue
		}
		k, err := x.r.ReadAt(n, buf[:min(int64(len(buf)), end-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if _, err := f.WriteAt(buf[:k], at); err != nil {
			return err
		}
		at += int64(k)
	}
	return f.Truncate(n.Size)
}

// privateDir is an unpacked copy to run from.
type privateDir struct {
	path string
	lock *os.File // held while the copy is in use
}

const (
	privatePrefix = "appimage-run-"
	keptPrefix    = "appimage-kept-" // NO_CLEANUP
	stNoExec      = 8
)

// extractPrivately unpacks into a new folder that only this user can enter, in the first place that is writable, allows
// programs to run and has room.
func extractPrivately(file *os.File, offset int64, stop <-chan struct{}) (*privateDir, error) {
	r, err := squashfs.NewReader(file, offset)
	if err != nil {
		return nil, err
	}
	var reasons []string
	for _, base := range extractionBases() {
		d, err := newPrivateDir(base)
		if err == nil {
			if err = (&extractor{r: r, private: true, stop: stop}).into(d.path); err == nil {
				return d, nil
			}
			err = errors.Join(err, d.remove())
		}
		if errors.Is(err, squashfs.ErrCorrupt) || errors.Is(err, errReleased) {
			return nil, fmt.Errorf("cannot unpack: %w", err)
		}
		reasons = append(reasons, fmt.Sprintf("%s: %s", base, reasonOf(err)))
	}
	return nil, fmt.Errorf("cannot unpack anywhere (%s); set TMPDIR or XDG_CACHE_HOME to a folder with room where programs may run",
		strings.Join(reasons, "; "))
}

func extractionBases() []string {
	var list []string
	add := func(p string) {
		if slices.Contains(list, p) {
			return
		}
		if filepath.IsAbs(p) {
			list = append(list, p)
		}
	}
	if c := os.Getenv("XDG_CACHE_HOME"); c != "" {
		add(c)
	} else if h := os.Getenv("HOME"); h != "" {
		add(filepath.Join(h, ".cache"))
	}
	add(os.Getenv("XDG_RUNTIME_DIR"))
	add(os.Getenv("TMPDIR"))
	add("/tmp")
	return list
}

func newPrivateDir(base string) (*privateDir, error) {
	if err := os.Mkdir(base, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(base, &st); err != nil {
		return nil, err
	}
	if st.Flags&stNoExec != 0 {
		return nil, errors.New("mounted noexec")
	}
	removeAbandoned(base)
	prefix := privatePrefix
	if isSet("NO_CLEANUP") {
		prefix = keptPrefix
	}
	dir, err := os.MkdirTemp(base, prefix) // 0700
	if err != nil {
		return nil, err
	}
	fi, err := os.Lstat(dir)
	if err == nil {
		if s, ok := fi.Sys().(*syscall.Stat_t); !fi.IsDir() || fi.Mode().Perm() != 0o700 || !ok || int(s.Uid) != os.Geteuid() {
			err = fmt.Errorf("%s is not private", dir)
		}
	}
	d := &privateDir{path: dir}
	if err == nil {
		d.lock, err = lockDir(dir)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	return d, nil
}

func (d *privateDir) remove() error {
	return errors.Join(os.RemoveAll(d.path), d.lock.Close())
}

func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// removeAbandoned takes away copies whose helper was killed: nobody holds their lock.
func removeAbandoned(base string) {
	list, err := filepath.Glob(filepath.Join(escapeGlob(base), privatePrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range list {
		fi, err := os.Lstat(dir)
		if err != nil || time.Since(fi.ModTime()) < time.Minute {
			continue
		}
		s, ok := fi.Sys().(*syscall.Stat_t)
		if !ok || int(s.Uid) != os.Geteuid() || !fi.IsDir() {
			continue
		}
		if f, err := lockDir(dir); err == nil {
			os.RemoveAll(dir)
			f.Close()
		}
	}
}

var escapeGlob = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace
