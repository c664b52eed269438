package makepkg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/imrightguy/slipway/phases/internal/tool"
)

// toolPath is where tools are looked for, here and inside the sandbox.
var toolPath = []string{"/usr/bin", "/bin"}

// debianPackage names the package to install for each tool that a box may need.
var debianPackage = map[string]string{
	"bash":     "bash",
	"bsdtar":   "libarchive-tools",
	"fakeroot": "fakeroot",
	"file":     "file",
	"find":     "findutils",
	"gzip":     "gzip",
	"makepkg":  "makepkg",
	"pacman":   "pacman-package-manager",
	"setpriv":  "util-linux",
	"unshare":  "util-linux",
	"zstd":     "zstd",
}

// need answers with a *MissingError for the first tool that is not there.
func need(tools ...string) error {
	for _, tool := range tools {
		if lookUp(tool) == "" {
			return &MissingError{Tool: tool, Package: debianPackage[tool]}
		}
	}
	return nil
}

func lookUp(tool string) string {
	for _, dir := range toolPath {
		path := filepath.Join(dir, tool)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

const (
	nobody     = 65534      // the user that root becomes
	innerUser  = "1000"     // the user inside the sandbox
	innerRoot  = "0"        // the same, where pacman wants to be root
	insideRoot = "/slipway" // where the box lies inside the sandbox: no path of the host gets into a package
	maxOutput  = 8 << 20    // bytes of standard output taken of one command
)

// A box is one private folder in which tools run, and the way they are kept in it.
type box struct {
	root      string
	bwrap     string // its path, or empty
	uid, gid  int
	isolation Isolation
}

func newBox(ctx context.Context) (*box, error) {
	b := &box{uid: os.Geteuid(), gid: os.Getegid()}
	if b.uid == 0 {
		b.uid, b.gid = nobody, nobody
	}
	root, err := os.MkdirTemp("", "slipway-makepkg-")
	if err != nil {
		return nil, err
	}
	b.root = root
	if err := b.open(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *box) open(ctx context.Context) error {
	for _, name := range []string{"home", "tmp"} {
		if err := os.Mkdir(b.outside(name), 0o755); err != nil {
			return err
		}
	}
	if err := b.reachable(); err != nil {
		return err
	}
	if err := b.handOver(); err != nil {
		return err
	}
	b.isolation.UID = b.uid
	reason, err := b.tryBwrap(ctx)
	if err != nil {
		return err
	}
	if b.isolation.Reason = reason; reason == "" {
		b.isolation.Sandbox = "bwrap"
	}
	return nil
}

func (b *box) close() error {
	// A tool may have left folders without the write bit; RemoveAll as their owner fails on those.
	err := filepath.WalkDir(b.root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(b.root))
}

// outside is the path of a file of the box as this process sees it.
func (b *box) outside(elem ...string) string {
	return filepath.Join(append([]string{b.root}, elem...)...)
}

// inside is the same path as the tools see it. A trailing slash is kept.
func (b *box) inside(name string) string {
	root := insideRoot
	if b.bwrap == "" {
		root = b.root
	}
	return root + "/" + name
}

// reachable makes sure that the unprivileged user can walk down to the box.
func (b *box) reachable() error {
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

// handOver gives every file of the box to the unprivileged user.
func (b *box) handOver() error {
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
func (b *box) tryBwrap(ctx context.Context) (reason string, err error) {
	path := lookUp("bwrap")
	if path == "" {
		return "bwrap is not installed (Debian package bubblewrap)", nil
	}
	sandboxes.Lock()
	defer sandboxes.Unlock()
	reason, known := sandboxes.reason[b.uid]
	if !known {
		b.bwrap = path
		out, err := b.run(ctx, command{argv: []string{"true"}, dir: "home"})
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if err != nil {
			reason = "bwrap does not work here: " + strings.TrimSpace(out.tail)
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

// A command is a program to run in the box.
type command struct {
	argv   []string
	dir    string   // relative to the box
	env    []string // beside PATH, HOME, TMPDIR and the locale
	asRoot bool     // as root of a user name space, which pacman asks for
}

// limits keep a runaway PKGBUILD from taking the machine along: processor seconds, and
// size of a file in blocks of 1024 bytes. The number of processes is counted by user, so
// it can be limited only where that user is nobody's but ours.
const (
	limits     = `ulimit -t 600 -f 4194304 || exit 125; `
	userLimits = `ulimit -u 400 || exit 125; `
)

type output struct{ stdout, tail string }

// run runs one command in the box and waits for it, or kills its whole process group
// when the context ends.
func (b *box) run(ctx context.Context, c command) (output, error) {
	env := append([]string{
		"PATH=/usr/bin:/bin",
		"HOME=" + b.inside("home"),
		"TMPDIR=" + b.inside("tmp"),
		"LC_ALL=C.UTF-8",
	}, c.env...)
	dropped := b.uid != os.Geteuid()
	script := limits
	if dropped {
		script += userLimits
	}
	argv := append([]string{"bash", "--norc", "--noprofile", "-c", script + `exec "$@"`, "bash"}, c.argv...)
	switch {
	case b.bwrap != "":
		argv = append(b.bwrapArgs(c, env), argv...)
	case c.asRoot:
		argv = append([]string{"unshare", "--map-root-user"}, argv...)
	}
	if dropped {
		argv = append([]string{"setpriv", fmt.Sprintf("--reuid=%d", b.uid), fmt.Sprintf("--regid=%d", b.gid), "--clear-groups", "--"}, argv...)
	}
	if argv[0] = lookUp(argv[0]); argv[0] == "" {
		return output{}, need("setpriv", "unshare", "bash")
	}

	var stdout capped
	r, err := tool.Run(ctx, tool.Command{Argv: argv, Dir: b.outside(c.dir), Env: env, Stdout: &stdout})
	out := output{stdout.String(), r.Tail}
	var exit *tool.ExitError
	switch {
	case ctx.Err() != nil:
		return out, fmt.Errorf("cannot finish %s: %w", c.argv[0], context.Cause(ctx))
	case errors.As(err, &exit):
		exit.Program = c.argv[0]
		return out, exit
	case err != nil:
		return out, fmt.Errorf("cannot run %s: %w", c.argv[0], err)
	case stdout.full:
		return out, fmt.Errorf("%s printed more than %d bytes", c.argv[0], maxOutput)
	}
	return out, nil
}

// bwrapArgs shows the tools /usr, a few files of /etc and the box, nothing else, and
// gives them name spaces of their own for everything, the network included.
func (b *box) bwrapArgs(c command, env []string) []string {
	user := innerUser
	if c.asRoot {
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
	args = append(args, "--bind", b.root, insideRoot, "--chdir", b.inside(c.dir), "--clearenv")
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

// copyTree copies regular files and folders. Links and everything else are refused: this
// process may be root, and what it copies becomes readable to the judged program.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && d.Name() == ".git" && rel != ".":
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		case !d.Type().IsRegular():
			return fmt.Errorf("cannot copy %s: neither a file nor a folder", path)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return copyFile(path, filepath.Join(to, rel), 0o644|info.Mode().Perm()&0o111)
	})
}

// copyFile copies a regular file; to appears whole or not at all.
func copyFile(from, to string, mode os.FileMode) (err error) {
	// The file may be the judged program's work: no link is followed, no pipe waited for.
	in, err := os.OpenFile(from, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if info, err := in.Stat(); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("cannot copy %s: not a regular file", from)
	}
	out, err := os.CreateTemp(filepath.Dir(to), ".slipway-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Chmod(mode), out.Close()); err == nil {
		err = os.Rename(out.Name(), to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(out.Name()))
	}
	return nil
}
