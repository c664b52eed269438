//go:build !unix

package component

import (
	"io/fs"
	"os"
	"time"
)

// setTime sets the times of a file or a folder. Those of a link stay: there is no portable way.
func setTime(path string, t time.Time) error {
	if info, err := os.Lstat(path); err != nil || info.Mode()&fs.ModeSymlink != 0 {
		return err
	}
	return os.Chtimes(path, t, t)
}
