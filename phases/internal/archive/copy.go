package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// CopyFile copies the file at path from below a folder to a new file with exactly these permission bits, whatever the
// umask is. Links on the way are followed as long as they stay below the folder.
func CopyFile(from *os.Root, path, to string, mode fs.FileMode) (err error) {
	in, err := from.Open(filepath.FromSlash(path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%q is not a file", path)
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, in) // in the kernel where it can
	if err = errors.Join(err, out.Chmod(mode.Perm()), out.Close()); err != nil {
		return err
	}
	if n != info.Size() {
		return fmt.Errorf("%q changed while it was read", path)
	}
	return nil
}

// CopyTree copies listed entries from below one folder to another, with the permission bits of the list. Folders that
// are not in the list are made where something lies in them. Tick is told the bytes copied after each file.
func CopyTree(ctx context.Context, from *os.Root, to string, entries []Entry, tick func(bytes int64)) error {
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := PutEntry(from, e.Path, to, e); err != nil {
			return err
		}
		tick(e.Size)
	}
	return nil
}

// PutEntry makes entry e below folder to; the content of a file is taken from the path below from.
func PutEntry(from *os.Root, path, to string, e Entry) error {
	target := filepath.Join(to, filepath.FromSlash(e.Path))
	if e.Mode.IsDir() {
		return mkdir(to, target)
	}
	if err := mkdir(to, filepath.Dir(target)); err != nil {
		return err
	}
	if e.Mode&fs.ModeSymlink != 0 {
		return os.Symlink(filepath.FromSlash(e.Link), target)
	}
	return CopyFile(from, path, target, e.Mode)
}

// mkdir makes a folder and those between it and root, each with mode 0755 whatever the umask is.
func mkdir(root, dir string) error {
	if info, err := os.Lstat(dir); err == nil && info.IsDir() {
		return nil
	}
	if dir != root {
		if err := mkdir(root, filepath.Dir(dir)); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}
