package files

import (
	"errors"
	"os"
	"path/filepath"
)

// Install moves a finished file or folder into place and makes the folders above it. What stood there before goes
// away as a whole, by way of the unused path trash; at no time is there anything incomplete under the final name.
func Install(from, to, trash string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	err := os.Rename(from, to)
	if err == nil {
		return nil
	}
	if _, missing := os.Lstat(to); missing != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(trash), os.Rename(to, trash)); err != nil { // a folder cannot be renamed onto
		return err
	}
	return errors.Join(os.Rename(from, to), os.RemoveAll(trash))
}
