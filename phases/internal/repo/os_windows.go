package repo

import "io/fs"

// errNotDir is the error for a path that goes through a file: here it is "does not exist".
var errNotDir = fs.ErrNotExist
