package rehearsal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// What a rehearsal that is not kept takes place in, in the folder for temporary files: a folder, and beside it a file that
// is locked as long as the process lives.
const (
	folderPrefix = "slipway-rehearsal-"
	lockSuffix   = ".lock"
)

// Folder makes an empty folder for a rehearsal that nobody keeps, which remove removes. Those of this user whose process
// was killed are removed first: there are throw-away keys in them, and packages.
func Folder() (dir string, remove func() error, err error) {
	tmp := os.TempDir()
	sweep(tmp)
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot make a folder for the rehearsal: %w", err)
		}
	}()
	for range 100 { // another process may take a file for an abandoned one before it is locked
		lock, err := os.CreateTemp(tmp, folderPrefix+"*"+lockSuffix)
		if err != nil {
			return "", nil, err
		}
		dir, held := strings.TrimSuffix(lock.Name(), lockSuffix), hold(lock)
		if held {
			err = os.Mkdir(dir, 0o700)
		}
		if held && err == nil {
			return dir, func() error { return errors.Join(os.RemoveAll(dir), release(lock)) }, nil
		}
		if err = errors.Join(err, release(lock)); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", nil, err
		}
	}
	return "", nil, fmt.Errorf("somebody takes every folder in %s", tmp)
}

// release gives a lock up, and removes its file.
func release(lock *os.File) error {
	err := os.Remove(lock.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, lock.Close())
}

// sweep removes folders whose process is gone. What cannot be removed stays: it is not this rehearsal's concern.
func sweep(tmp string) {
	locks, err := filepath.Glob(filepath.Join(tmp, folderPrefix+"*"+lockSuffix))
	if err != nil { // a pattern of its own making in the name of the folder
		return
	}
	for _, name := range locks {
		lock := abandoned(name)
		if lock == nil {
			continue
		}
		if os.RemoveAll(strings.TrimSuffix(name, lockSuffix)) == nil {
			_ = os.Remove(name) // or the next one does
		}
		_ = lock.Close()
	}
}
