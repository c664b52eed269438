package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

// sandboxes remembers, by user, why bwrap does not work, or that it does.
var sandboxes struct {
	sync.Mutex
	reason map[int]string
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
	reason, known := sandboxes.reason[b.uid]
	if !known {
		b.bwrap = path
		out, err := b.Run(ctx, Command{Argv: []string{"true"}, Dir: "home"})
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if err != nil {
			reason = "bwrap does not work here: " + strings.TrimSpace(out.Tail)
			if out.Tail == "" {
				reason += err.Error()
			}
		}
		if sandboxes.reason == nil {
			sandboxes.reason = map[int]string{}
		}
		sandboxes.reason[b.uid] = reason
	}
	b.bwrap = ""
	if reason == "" {
		b.bwrap = path
	}
	return reason, nil
}

// limits keep a runaway PKGBUILD from taking the machine along: processor seconds, and
// size of a file in blocks of 1024 bytes. The number of processes is counted by user, so
// it can be limited only where that user is nobody's but ours.
const (
	limits     = `ulimit -t 600 -f 4194304 || exit 125; `
	userLimits = `ulimit -u 400 || exit 125; `
	start      = `: >"$1" || exit 125; shift; exec "$@"` // what fails before the file is there is not the tool
)

// Run runs one command in the box and waits for it, or kills its whole process group
// when the context ends. It is not for several goroutines at once.
func (b *Box) Run(ctx context.Context, c Command) (Output, error) {
	env := append([]string{
		"PATH=/usr/bin:/bin",
		"HOME=" + b.Inside("home"),
		"TMPDIR=" + b.Inside("tmp"),
		"LC_ALL=C.UTF-8",
	}, c.Env...)
	dropped := b.uid != os.Geteuid()
	script := limits
	if dropped {
		script += userLimits
	}
	b.runs++
	started := fmt.Sprintf("tmp/.started-%d", b.runs)
	argv := append([]string{"bash", "--norc", "--noprofile", "-c", script + start, "bash", b.Inside(started)}, c.Argv...)
	switch {
	case b.bwrap != "":
		argv = append(b.bwrapArgs(c, env), argv...)
	case c.AsRoot:
		argv = append([]string{"unshare", "--map-root-user"}, argv...)
	}
	if dropped {
		argv = append([]string{"setpriv", fmt.Sprintf("--reuid=%d", b.uid), fmt.Sprintf("--regid=%d", b.gid), "--clear-groups", "--"}, argv...)
	}
	if argv[0] = Look(argv[0]); argv[0] == "" {
		return Output{}, Need("setpriv", "unshare", "bash")
	}

	var stdout capped
	r, err := tool.Run(ctx, tool.Command{Argv: argv, Dir: b.Outside(c.Dir), Env: env, Stdout: &stdout})
	out := Output{stdout.String(), r.Tail}
	var exit *tool.ExitError
	switch {
	case ctx.Err() != nil:
		return out, fmt.Errorf("cannot finish %s: %w", c.Argv[0], context.Cause(ctx))
	case errors.As(err, &exit):
		if err := b.reached(started, c.Argv[0], exit); err != nil {
			return out, err
		}
		exit.Program = c.Argv[0]
		return out, exit
	case err != nil:
		return out, fmt.Errorf("cannot run %s: %w", c.Argv[0], err)
	case stdout.full:
		return out, fmt.Errorf("%s printed more than %d bytes", c.Argv[0], maxOutput)
	}
	return out, nil
}

// reached says whether it was the program that ended so, and by its own will. Statuses 125 to 127 are those of what
// starts it, those from 128 on stand for signals (bash(1), EXIT STATUS).
func (b *Box) reached(started, program string, exit *tool.ExitError) error {
	_, err := os.Lstat(b.Outside(started))
	switch {
	case err != nil:
		return &StartError{program, "what starts it says: " + strings.TrimSpace(exit.Tail)}
	case exit.Code < 0 || exit.Code >= 128:
		return &StartError{program, "a signal ended it"}
	case exit.Code >= 125:
		return &StartError{program, fmt.Sprintf("status %d: %s", exit.Code, strings.TrimSpace(exit.Tail))}
	}
	return nil
}

// bwrapArgs shows the tools /usr, a few files of /etc and the box, nothing else, and
// gives them name spaces of their own for everything, the network included.
func (b *Box) bwrapArgs(c Command, env []string) []string {
	user := innerUser
	if c.AsRoot {
		user = innerRoot
	}
	args := []string{
		"bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--uid", user, "--gid", user,
		"--hostname", "slipway", "--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
		"--ro-bind-try", "/etc/alternatives", "/etc/alternatives", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache",
	}
	for _, dir := range []string{"/bin", "/sbin", "/lib", "/lib64"} {
		if to, err := os.Readlink(dir); err == nil {
			args = append(args, "--symlink", to, dir)
		} else {
			args = append(args, "--ro-bind-try", dir, dir)
		}
	}
	args = append(args, "--bind", b.root, insideRoot, "--chdir", b.Inside(c.Dir), "--clearenv")
	for _, kv := range env {
		key, value, _ := strings.Cut(kv, "=")
		args = append(args, "--setenv", key, value)
	}
	return append(args, "--")
}

// capped is a buffer that stops keeping at maxOutput and remembers it.
type capped struct {
	bytes.Buffer
	full bool
}

func (w *capped) Write(p []byte) (int, error) {
	if room := maxOutput - w.Len(); len(p) > room {
		w.full = true
		w.Buffer.Write(p[:room])
		return len(p), nil
	}
	return w.Buffer.Write(p)
}
