package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/internal/isolate"
	"github.com/imrightguy/slipway/phases/internal/tool"
	"github.com/imrightguy/slipway/pipeline"
)

// A place is a private copy of a tree, with the folders that belong to a run.
type place struct {
	top     string // all of it that may be large
	dir     string // where the program runs
	bin     string // the bundle's programs; "" for a checkout
	runtime string // a short path, for sockets
}

// newPlace copies a tree. A bundle becomes usr, with what it has for /etc beside it.
func newPlace(ws *pipeline.Workspace, original string, isBundle bool) (_ *place, err error) {
	tmp, err := ws.Temp()
	if err != nil {
		return nil, err
	}
	p := &place{top: filepath.Join(tmp, "place")}
	if p.runtime, err = os.MkdirTemp("", "slipway-run-"); err != nil { // mode 0700
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	p.dir = filepath.Join(p.top, "checkout")
	if isBundle {
		p.dir, p.bin = filepath.Join(p.top, "usr"), filepath.Join(p.top, "usr", "bin")
	}
	for _, dir := range []string{filepath.Join(p.top, "home"), filepath.Join(p.runtime, "tmp")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	if err := os.CopyFS(p.dir, os.DirFS(original)); err != nil {
		return nil, fmt.Errorf("cannot copy what it runs in: %w", err)
	}
	if isBundle {
		if err := os.Rename(filepath.Join(p.dir, "etc"), filepath.Join(p.top, "etc")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return p, nil
}

// close removes all of it. Programs leave folders that cannot be written to, go's module cache for one; and what was
// killed a moment ago may still have written.
func (p *place) close() (err error) {
	for wait := time.Duration(0); wait < 2*time.Second; wait += 100 * time.Millisecond {
		time.Sleep(wait)
		err = nil
		for _, dir := range []string{p.top, p.runtime} {
			_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error { // what matters is said below
				if err == nil && d.IsDir() {
					_ = os.Chmod(path, 0o700)
				}
				return nil
			})
			err = errors.Join(err, os.RemoveAll(dir))
		}
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("cannot remove what the program left: %w", err)
}

// unfitError says why the program in the tree cannot be started.
type unfitError struct{ why string }

func (e *unfitError) Error() string { return e.why }

// find finds the program, and says where in words for the evidence. One that is not installed is a
// [*tool.MissingError]; one that should lie in the tree and does not is a fault of the tree.
func (p *place) find(program string) (path, where string, err error) {
	tree := "the checkout"
	if p.bin != "" {
		tree = "the bundle"
	}
	if !strings.Contains(program, "/") {
		if p.bin != "" {
			path := filepath.Join(p.bin, program)
			if _, err := os.Lstat(path); err == nil {
				return path, "bin/" + program + " of " + tree, fit(path, "bin/"+program, tree)
			}
		}
		path, err := tool.Look(program)
		return path, program + " of the machine", err
	}
	path = filepath.Join(p.dir, filepath.FromSlash(program))
	return path, program + " of " + tree, fit(path, program, tree)
}

func fit(path, program, tree string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &unfitError{fmt.Sprintf("%s has no %q", tree, program)}
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return &unfitError{fmt.Sprintf("%q of %s is not a file", program, tree)}
	case runtime.GOOS != "windows" && info.Mode()&0o111 == 0:
		return &unfitError{fmt.Sprintf("%q of %s is not executable", program, tree)}
	}
	return nil
}

// env is the whole environment. Folders that a program keeps for its user are new and empty, so that nothing of the
// user's has a say.
func (p *place) env(c Config) []string {
	path := os.Getenv("PATH")
	env := isolate.Quiet()
	if p.bin != "" {
		path = p.bin + string(os.PathListSeparator) + path
		share := filepath.Join(p.dir, "share")
		env = append(env, "XDG_DATA_DIRS="+share+":/usr/local/share:/usr/share", "XDG_CONFIG_DIRS="+filepath.Join(p.top, "etc", "xdg")+":/etc/xdg")
	}
	env = append(env, "PATH="+path, "HOME="+filepath.Join(p.top, "home"), "XDG_RUNTIME_DIR="+p.runtime)
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		env = append(env, name+"="+filepath.Join(p.runtime, "tmp"))
	}
	env = append(env, tool.Inherit(isolate.System...)...)
	env = append(env, tool.Inherit(c.Pass...)...)
	for name, value := range c.Env {
		env = append(env, name+"="+value)
	}
	return env
}
