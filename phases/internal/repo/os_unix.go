//go:build !windows

package repo

import "syscall"

// errNotDir is the error for a path that goes through a file.
var errNotDir error = syscall.ENOTDIR
