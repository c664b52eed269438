package squashfs

import (
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// refuseAttributes reports what would be lost silently: a program's file capabilities lie in an extended attribute,
// and an image made here has none.
func refuseAttributes(path string, fi fs.FileInfo) error {
	if !fi.Mode().IsRegular() || fi.Mode().Perm()&0o111 == 0 {
		return nil
	}
	if n, err := unix.Lgetxattr(path, "security.capability", nil); err == nil && n > 0 {
		return fmt.Errorf("%s: cannot store its file capabilities (setcap -r removes them)", path)
	}
	return nil
}
