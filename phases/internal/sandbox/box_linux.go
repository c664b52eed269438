package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/imrightguy/slipway/phases/internal/tool"
)

const (
	nobody     = 65534      // the user that root becomes
	innerUser  = "1000"     // the user inside the sandbox
	innerRoot  = "0"        // the same, where pacman wants to be root
	insideRoot = "/slipway" // where the box lies inside the sandbox: no path of the host gets into a package
	maxOutput  = 8 << 20    // bytes of standard output taken of one command
)

// A Box is one private folder in which tools run, and the way they are kept in it.
type Box struct {
	Isolation Isolation // how
	root      string
	bwrap     string // its path, or empty
	strict    bool   // it can keep programs from making name spaces of their own
	uid, gid  int
	runs      int
}

// New makes an empty box, with the folders home and tmp. Close removes it.
func New(ctx context.Context) (*Box, error) {
	b := &Box{uid: os.Geteuid(), gid: os.Getegid()}
	if b.uid == 0 {
		b.uid, b.gid = nobody, nobody
	}
	root, err := os.MkdirTemp("", "slipway-box-")
	if err != nil {
		return nil, err
	}
	b.root = root
	if err := b.open(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Box) open(ctx context.Context) error {
	for _, name := range []string{"home", "tmp"} {
		if err := os.Mkdir(b.Outside(name), 0o755); err != nil {
			return err
		}
	}
	if err := b.reachable(); err != nil {
		return err
	}
	if err := b.HandOver(); err != nil {
		return err
	}
	b.Isolation.UID = b.uid
	reason, err := b.tryBwrap(ctx)
	if err != nil {
		return err
	}
	if b.Isolation.Reason = reason; reason == "" {
		b.Isolation.Sandbox = "bwrap"
	}
	return nil
}

// Close removes the box with all that is in it.
func (b *Box) Close() error {
	// A tool may have left folders without the write bit; RemoveAll as their owner fails on those.
	err := filepath.WalkDir(b.root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(b.root))
}

// Outside is the path of a file of the box as this process sees it.
func (b *Box) Outside(elem ...string) string {
	return filepath.Join(append([]string{b.root}, elem...)...)
}

// Inside is the same path as the tools see it. A trailing slash is kept.
func (b *Box) Inside(name string) string {
	root := insideRoot
	if b.bwrap == "" {
		root = b.root
	}
	return root + "/" + name
}

// reachable makes sure that the unprivileged user can walk down to the box.
func (b *Box) reachable() error {
	if b.uid == os.Geteuid() {
		return nil
	}
	for dir := filepath.Dir(b.root); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode()&0o001 == 0 {
			return fmt.Errorf("cannot let user %d work in %s: %s is closed to others; set TMPDIR to an open folder", b.uid, b.root, dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// HandOver gives every file of the box to the unprivileged user.
func (b *Box) HandOver() error {
	if b.uid == os.Geteuid() {
		return nil
	}
	return filepath.WalkDir(b.root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, b.uid, b.gid)
	})
}

// found is what was found out about bwrap: why it does not work, and whether it can be strict.
type found struct {
	reason string
	strict bool
}

// sandboxes remembers it by user.
var sandboxes struct {
	sync.Mutex
	found map[int]found
}

// tryBwrap finds out whether bwrap works for the box's user. The answer is the reason
// why not, or empty; an error means that the context ended first.
func (b *Box) tryBwrap(ctx context.Context) (reason string, err error) {
	path := Look("bwrap")
	if path == "" {
		return "bwrap is not installed (Debian package bubblewrap)", nil
	}
	sandboxes.Lock()
	defer sandboxes.Unlock()
	f, known := sandboxes.found[b.uid]
	if !known {
		for _, strict := range []bool{true, false} {
			b.bwrap, b.strict = path, strict
			out, err := b.Run(ctx, Command{Argv: []string{"true"}, Dir: "home", Scratch: 1 << 20})
			if ctx.Err() != nil {
				return "", context.Cause(ctx)
			}
			if f = (found{strict: strict}); err == nil {
				break
			}
			if f.reason = "bwrap does not work here: " + strings.TrimSpace(out.Tail); out.Tail == "" {
				f.reason += err.Error()
			}
		}
		if sandboxes.found == nil {
			sandboxes.found = map[int]found{}
		}
		sandboxes.found[b.uid] = f
	}
	b.bwrap, b.strict = "", f.strict
	if f.reason == "" {
		b.bwrap = path
	}
	return f.reason, nil
}

// Run runs one command in the box and waits for it, or kills its whole process group
// when the context ends. It is not for several goroutines at once.
func (b *Box) Run(ctx context.Context, c Command) (Output, error) {
	if c.Root != "" && (b.bwrap == "" || c.Scratch <= 0) {
		return Output{}, &OpenError{b.Isolation.Reason}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	env := append([]string{
		"PATH=/usr/bin:/bin",
		"HOME=" + b.Inside("home"),
		"TMPDIR=" + b.Inside("tmp"),
		"LC_ALL=C.UTF-8",
	}, c.Env...)
	b.runs++
	started := fmt.Sprintf("tmp/.started-%d", b.runs)
	argv, err := b.argv(c, env, started)
	if err != nil {
		return Output{}, err
	}
	stdout := &printed{flooded: func() { cancel(errFlood) }}
	sink := io.Writer(stdout)
	inMemory := b.bwrap != "" && c.Scratch > 0
	begun := func() bool {
		_, err := os.Lstat(b.Outside(started))
		return err == nil
	}
	kept := func() error { return nil }
	if inMemory {
		if c.Keep != "" {
			sink, kept = b.keeper(c)
		}
		m := &marked{to: sink}
		sink, begun = m, func() bool { return m.seen }
	}
	r, err := tool.Run(ctx, tool.Command{Argv: argv, Dir: b.Outside(), Env: env, Stdout: sink, Timeout: c.Timeout})
	keptErr := kept()
	out := Output{stdout.String(), r.Tail}
	if c.Keep != "" {
		out.Stdout = ""
	}
	var exit *tool.ExitError
	var late *tool.TimeoutError
	switch {
	case errors.Is(context.Cause(ctx), errFlood):
		return out, &StartError{Tool: c.Argv[0], Why: fmt.Sprintf("it printed more than %d bytes", maxOutput)}
	case ctx.Err() != nil:
		return out, fmt.Errorf("cannot finish %s: %w", c.Argv[0], context.Cause(ctx))
	case errors.As(err, &late):
		return out, &StartError{Tool: c.Argv[0], Why: fmt.Sprintf("it was not done after %v", c.Timeout)}
	case errors.As(err, &exit):
		if err := reached(begun(), c.Argv[0], exit); err != nil {
			return out, err
		}
		exit.Program = c.Argv[0]
		return out, exit
	case err != nil:
		return out, fmt.Errorf("cannot run %s: %w", c.Argv[0], err)
	case keptErr != nil:
		return out, fmt.Errorf("cannot take what %s made: %w", c.Argv[0], keptErr)
	}
	return out, nil
}

// reached says whether it was the program that ended so, and by its own will. Statuses 125 to 127 are those of what
// starts it, those from 128 on stand for signals (bash(1), EXIT STATUS).
func reached(started bool, program string, exit *tool.ExitError) error {
	switch {
	case !started:
		return &StartError{Tool: program, Why: "what starts it says: " + strings.TrimSpace(exit.Tail)}
	case exit.Code < 0 || exit.Code >= 128:
		return &StartError{program, "a signal ended it", exit.Code}
	case exit.Code >= 125:
		return &StartError{program, fmt.Sprintf("status %d: %s", exit.Code, strings.TrimSpace(exit.Tail)), exit.Code}
	}
	return nil
}
