//go:build !linux && !darwin

package files

import "io/fs"

// appendIdentity has nothing to add here: size, mode and modification time must do.
func appendIdentity(line []byte, _ fs.FileInfo) []byte { return line }
