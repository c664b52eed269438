//go:build !unix

package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// lock makes the lock file for this process alone. Where the system cannot lock, a file left by a killed process must
// be removed by hand.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: remove %s if no run is under way", ErrLocked, path)
	}
	return f, err
}
