//go:build !unix

package disk

import (
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

const onWindows = true

func ours(os.FileInfo) bool { return true } // the profile directory's own list decides

func openNoFollow(path string) (*os.File, error) { return os.Open(path) }

func syncDir(string) {}

// Lock takes the daemon's lock without waiting.
func Lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the lock: %w", err)
	}
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &windows.Overlapped{})
	if err != nil {
		_ = f.Close()
		if err == windows.ERROR_LOCK_VIOLATION {
			return nil, ErrLocked
		}
		return nil, fmt.Errorf("cannot take the lock: %w", err)
	}
	return f, nil
}
