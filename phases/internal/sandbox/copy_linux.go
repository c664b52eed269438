package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// CopyTree copies regular files and folders. Links and everything else are refused: this
// process may be root, and what it copies becomes readable to the judged program.
func CopyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && d.Name() == ".git" && rel != ".":
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		case !d.Type().IsRegular():
			return fmt.Errorf("cannot copy %s: neither a file nor a folder", path)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return CopyFile(path, filepath.Join(to, rel), 0o644|info.Mode().Perm()&0o111)
	})
}

// CopyFile copies a regular file; to appears whole or not at all.
func CopyFile(from, to string, mode os.FileMode) (err error) {
	// The file may be the judged program's work: no link is followed, no pipe waited for.
	in, err := os.OpenFile(from, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if info, err := in.Stat(); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("cannot copy %s: not a regular file", from)
	}
	out, err := os.CreateTemp(filepath.Dir(to), ".slipway-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Chmod(mode), out.Close()); err == nil {
		err = os.Rename(out.Name(), to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(out.Name()))
	}
	return nil
}
