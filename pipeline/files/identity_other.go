//go:build !linux && !darwin

package files

import "io/fs"

// identity has nothing to add here: size, mode and modification time must do.
func identity(fs.FileInfo) string { return "" }
