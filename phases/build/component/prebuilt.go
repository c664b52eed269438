package component

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"

	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/pipeline"
)

var sha256RE = regexp.MustCompile(`^[0-9a-f]{64}$`)

// checkPrebuilt lists the faults of a configuration for builder prebuilt.
func (c Config) checkPrebuilt() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case c.URL == "":
		if err := CheckSource(c.Path); err != nil {
			bad("path: %w", err)
		}
		if c.Timeout != 0 {
			bad("timeout: copying a path of the repository has none")
		}
	case c.Path != "":
		bad("url: want path or url, not both")
	case c.SHA256 == "":
		bad("sha256: want the digest of the file at url")
	}
	if c.URL != "" {
		if err := checkURL(c.URL); err != nil {
			bad("url: %w", err)
		}
	}
	if c.SHA256 != "" && !sha256RE.MatchString(c.SHA256) {
		bad("sha256: want 64 lower-case hexadecimal digits, found %q", c.SHA256)
	}
	if c.SHA256 != "" && len(c.Targets()) > 1 {
		bad("sha256: one digest cannot hold for %d architectures; make a component for each", len(c.Targets()))
	}
	return errs
}

// prebuilt takes a file, or all that is in a folder, from the repository.
type prebuilt struct{ path, sha256 string }

func (p prebuilt) params() map[string]string {
	return map[string]string{"builder": Prebuilt, "path": p.path, "sha256": p.sha256}
}

func (p prebuilt) build(ctx context.Context, ws *pipeline.Workspace, source, out string) (_ pipeline.Receipt, err error) {
	root, err := os.OpenRoot(source)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	info, err := root.Stat(filepath.FromSlash(p.path))
	if err != nil {
		return nil, fmt.Errorf("cannot find path %q in the repository: is it committed? %w", p.path, err)
	}
	if info.IsDir() {
		return nil, p.tree(ctx, ws, root, out)
	}
	name := path.Base(p.path)
	if err := archive.CheckName(name); err != nil {
		return nil, err
	}
	mode := os.FileMode(0o644)
	if info.Mode()&0o100 != 0 {
		mode = 0o755
	}
	if err := archive.CopyFile(root, p.path, filepath.Join(out, name), mode); err != nil || p.sha256 == "" {
		return nil, err
	}
	made := []archive.Entry{{Path: name, Mode: mode, Size: info.Size()}}
	if err := archive.Hash(ctx, out, made); err != nil {
		return nil, err
	}
	if made[0].SHA256 != p.sha256 {
		return nil, fmt.Errorf("%q has SHA-256 %s, release.yaml wants %s", p.path, made[0].SHA256, p.sha256)
	}
	return nil, nil
}

func (p prebuilt) tree(ctx context.Context, ws *pipeline.Workspace, root *os.Root, out string) error {
	if p.sha256 != "" {
		return fmt.Errorf("%q is a folder, which has no sha256: leave the key out, or name one file", p.path)
	}
	below, err := root.OpenRoot(filepath.FromSlash(p.path))
	if err != nil {
		return err
	}
	entries, err := archive.List(below.FS())
	if err == nil {
		var done int64
		err = archive.CopyTree(ctx, below, out, entries, func(n int64) { done += n; ws.Tick(done, 0) })
	}
	return errors.Join(err, below.Close())
}
