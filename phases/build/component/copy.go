package component

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/tool"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/files"
)

// A private is a copy of the checkout for one program to write in, with a home and a folder for temporary files beside
// it. The engine removes all of it when the step ends.
type private struct {
	ws           *pipeline.Workspace
	source, out  string // the checkout, and where the component is wanted
	digest       string // of the checkout
	dir          string // the copy
	home, tmp    string
	carriedBytes int64
}

// newPrivate copies the checkout: all that is in it, whatever its names are. Modes are 0755 and 0644, whatever the umask
// is, and every time is that of the commit, so that no program sees when or in which order things were copied.
func newPrivate(ctx context.Context, ws *pipeline.Workspace, source, out string) (*private, error) {
	a, _, err := ws.Input(Source)
	if err != nil {
		return nil, err
	}
	base, err := ws.Temp()
	if err != nil {
		return nil, err
	}
	p := &private{ws: ws, source: source, out: out, digest: a.SHA256}
	p.dir, p.home, p.tmp = filepath.Join(base, "source"), filepath.Join(base, "home"), filepath.Join(base, "tmp")
	for _, dir := range []string{p.dir, p.home, p.tmp} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
	}
	ws.Logf("copies the commit")
	if err := p.fill(ctx); err != nil {
		return nil, fmt.Errorf("cannot copy the commit: %w", err)
	}
	return p, nil
}

func (p *private) fill(ctx context.Context) (err error) {
	root, err := os.OpenRoot(p.source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	var made []string // files and folders, each folder before what is in it
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil || name == "." {
			return err
		}
		to := filepath.Join(p.dir, filepath.FromSlash(name))
		switch info, err := d.Info(); {
		case err != nil:
			return err
		case info.IsDir():
			made = append(made, to)
			return errors.Join(os.Mkdir(to, 0o755), os.Chmod(to, 0o755))
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := root.Readlink(filepath.FromSlash(name))
			if err != nil {
				return err
			}
			return errors.Join(os.Symlink(target, to), setTime(to, p.ws.Env.Time))
		default:
			mode := fs.FileMode(0o644)
			if info.Mode()&0o100 != 0 {
				mode = 0o755
			}
			made = append(made, to)
			p.carriedBytes += info.Size()
			p.ws.Tick(p.carriedBytes, 0)
			return archive.CopyFile(root, name, to, mode)
		}
	})
	if err != nil {
		return err
	}
	for _, to := range slices.Backward(made) {
		if err := setTime(to, p.ws.Env.Time); err != nil {
			return err
		}
	}
	return nil
}

// environment is what every program in the copy gets. A search for a repository of git ends at the copy: what is found
// further up is the one that the user works in.
func (p *private) environment() []string {
	return []string{
		"HOME=" + p.home, "TMPDIR=" + p.tmp, "TMP=" + p.tmp, "TEMP=" + p.tmp, "GIT_CEILING_DIRECTORIES=" + filepath.Dir(p.dir),
		"LC_ALL=C.UTF-8", "TZ=UTC", "SOURCE_DATE_EPOCH=" + strconv.FormatInt(p.ws.Env.Time.Unix(), 10),
	}
}

// run runs a program in the copy. Afterwards it makes sure that the checkout is as it was, and that nothing was put
// where the component will be.
func (p *private) run(ctx context.Context, argv, env, secrets []string, timeout time.Duration) error {
	place := filepath.Dir(p.tmp)
	tool.EndStrays(place) // of a run that was killed: what it started would write here
	_, err := tool.Run(ctx, tool.Command{Argv: argv, Dir: p.dir, Env: env, Secrets: secrets, Timeout: timeout})
	tool.EndStrays(place)
	name := filepath.Base(argv[0])
	if now, bad := files.Path(p.source); bad != nil || now.SHA256 != p.digest {
		return errors.Join(fmt.Errorf("%s wrote into the checkout of the release, %q: it may write in its own copy only; the checkout is made again on the next run", name, Source), err)
	}
	if err != nil {
		return err
	}
	made, err := os.ReadDir(p.out)
	if err == nil && len(made) > 0 {
		err = fmt.Errorf("%s wrote %q into the folder of the component: it may write in its own copy only", name, made[0].Name())
	}
	return err
}

// take moves to the component what the program made at a path in the copy: a file, or all that is in a folder. Links on
// the way are not followed out of the copy. Links in a folder must stay in it and point to something.
func (p *private) take(ctx context.Context, output string) (err error) {
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	info, err := root.Stat(filepath.FromSlash(output))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("it made nothing at %q", output)
	}
	if err != nil {
		return fmt.Errorf("cannot take %q: %w", output, err)
	}
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("it made %q, which is neither file nor folder", output)
		}
		name := path.Base(output)
		if err := archive.CheckName(name); err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if info.Mode()&0o100 != 0 {
			mode = 0o755
		}
		return archive.CopyFile(root, output, filepath.Join(p.out, name), mode)
	}
	below, err := root.OpenRoot(filepath.FromSlash(output))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, below.Close()) }()
	entries, err := archive.List(below.FS())
	if err != nil {
		return fmt.Errorf("cannot take folder %q: %w", output, err)
	}
	if len(entries) == 0 {
		return fmt.Errorf("it left the folder %q empty", output)
	}
	if err := archive.CheckLinks(entries); err != nil {
		return fmt.Errorf("cannot take folder %q: %w", output, err)
	}
	var done int64
	return archive.CopyTree(ctx, below, p.out, entries, func(n int64) { done += n; p.ws.Tick(done, 0) })
}
