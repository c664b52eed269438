//go:build linux || darwin

package requirement

import "golang.org/x/sys/unix"

// Free is the room that an ordinary user has on the file system of a folder, in bytes.
func Free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
