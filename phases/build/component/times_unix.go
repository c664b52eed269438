//go:build unix

package component

import (
	"time"

	"golang.org/x/sys/unix"
)

// setTime sets the times of a file, a folder or a link itself.
func setTime(path string, t time.Time) error {
	at := unix.NsecToTimespec(t.UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
}
