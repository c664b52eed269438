// Package disk keeps the daemon's files private and whole.
//
// Every file is written under a temporary name and renamed, so a reader sees
// the old bytes or the new ones, whatever kills the writer. Every file is 0600
// in a 0700 directory, whatever the umask says.
package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// ErrLocked says that another daemon of this user holds the lock.
var ErrLocked = errors.New("another daemon is running")

// MaxFile bounds what the daemon reads of any file of its own.
const MaxFile = 1 << 20

// Private makes dir with mode 0700, or takes it over: it must be a real
// directory and ours; a mode that lets others in is mended.
func Private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the directory: %w", err)
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("cannot look at the directory: %w", err)
	}
	if !fi.IsDir() {
		return fmt.Errorf("cannot use %s: not a directory (a link is refused too)", dir)
	}
	if !ours(fi) {
		return fmt.Errorf("cannot use %s: it belongs to another user", dir)
	}
	if fi.Mode().Perm() != 0o700 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("cannot close the directory to others: %w", err)
		}
	}
	return nil
}

// Tighten closes files of an older daemon (mode 0644) to others. A file that is
// missing, not ours or not a plain file is left alone.
func Tighten(paths ...string) {
	for _, p := range paths {
		fi, err := os.Lstat(p)
		if err == nil && fi.Mode().IsRegular() && ours(fi) && fi.Mode().Perm()&0o077 != 0 {
			_ = os.Chmod(p, 0o600)
		}
	}
}

// Write replaces path durably.
func Write(path string, data []byte) error { return write(path, data, true) }

// WriteRun replaces path without waiting for the disk: for files that mean
// nothing after the daemon's end, such as the port file.
func WriteRun(path string, data []byte) error { return write(path, data, false) }

func write(path string, data []byte, durable bool) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
			err = fmt.Errorf("cannot write %s: %w", path, err)
		}
	}()
	if err = f.Chmod(0o600); err != nil && !errors.Is(err, errors.ErrUnsupported) && !onWindows {
		return err
	}
	if _, err = f.Write(data); err != nil {
		return err
	}
	if durable {
		if err = f.Sync(); err != nil {
			return err
		}
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	if durable {
		syncDir(filepath.Dir(path))
	}
	return nil
}

// Read reads a file of at most MaxFile bytes.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return limited(f)
}

// ReadSecret reads a file that holds a secret. A file of another owner, or one
// that others can read or write, is refused.
func ReadSecret(path string) ([]byte, error) {
	f, err := openNoFollow(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || !ours(fi) {
		return nil, fmt.Errorf("cannot trust %s: it belongs to another user or is no plain file", path)
	}
	if !onWindows && fi.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("cannot trust %s: others can open it (mode %04o, want 0600)", path, fi.Mode().Perm())
	}
	return limited(f)
}

func limited(f *os.File) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(b) > MaxFile {
		err = fmt.Errorf("cannot read %s: larger than %d bytes", f.Name(), MaxFile)
	}
	return b, err
}

// RemoveIf removes path if it still holds want, so that nobody else's file goes.
func RemoveIf(path string, want []byte) {
	if b, err := Read(path); err == nil && bytes.Equal(b, want) {
		_ = os.Remove(path)
	}
}
