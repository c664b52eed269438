//go:build linux || darwin

package cli

import "golang.org/x/sys/unix"

// freeBytes is the room that an ordinary user has on the file system of a folder.
func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
