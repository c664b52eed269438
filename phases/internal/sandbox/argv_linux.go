package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// What keeps a runaway program from taking the machine along. Of each process: seconds on a processor, the size of a file
// and of its own memory (RLIMIT_DATA, which does not count what is only reserved) in blocks of 1024 bytes. Should the
// machine run out of memory, the kernel takes these processes first (proc(5), oom_score_adj).
const limits = `ulimit -t 600 -f 4194304 -d 4194304 -c 0 || exit 125; echo 1000 2>/dev/null >/proc/self/oom_score_adj || :; `

// The number of processes is counted by user, so outside of a sandbox it can be limited only where that user is nobody's
// but ours. All boxes that are open at a time share that number.
const (
	userLimit  = `ulimit -u 2000 || exit 125; `
	innerLimit = `ulimit -u 256 || exit 125; `
)

// ownCount says whether the kernel counts processes in each user name space on its own, as Linux does since 5.14: then
// every box can have a limit, whoever the user is.
var ownCount = sync.OnceValue(func() bool {
	var u unix.Utsname
	var major, minor int
	if unix.Uname(&u) != nil {
		return false
	}
	n, _ := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return n == 2 && (major > 5 || major == 5 && minor >= 14)
})

const (
	boxBelow  = "/box"      // where the box can be read by a program that works on a copy
	hostBelow = "/host"     // where the system's files are while a Root stands in their place
	beginning = "started\n" // printed before such a program, so that what fails earlier is told from its own failure
	smallTmp  = "67108864"  // bytes of /tmp and /dev/shm, each
)

// rooted are the folders of a Root that a program sees.
var rooted = []string{"usr", "opt", "etc", "var", "srv"}

const (
	plainStart = `: >"$1" || exit 125; shift; exec "$@"` // what fails before the file is there is not the tool
	copyAll    = `cp -R -- /box/. "$1"`
	copyEmpty  = `cp -R -- /box/home /box/tmp "$1"` // what is used is the Root
	copyStart  = ` && cd -- "$2" || exit 125; shift 2; unset OLDPWD; echo started; `
	copyExec   = `exec "$@"`
	// Whatever the program left running is killed before its files are taken.
	copyKeep = `k=$1; shift; "$@" >&2; s=$?; kill -KILL -- -1 2>/dev/null; [ $s = 0 ] || exit $s; [ -d "/slipway/$k" ] || { echo "$k is gone" >&2; exit 2; }; exec tar -C /slipway -cf - -- "$k"`
)

// argv is what runs a command: as the unprivileged user, with limits, in the sandbox.
func (b *Box) argv(c Command, env []string, started string) ([]string, error) {
	dropped := b.uid != os.Geteuid()
	outer := limits
	if dropped {
		outer += userLimit
	}
	bash := func(shell, script string, argv ...string) []string {
		return append([]string{shell, "--norc", "--noprofile", "-c", script, "bash"}, argv...)
	}
	var argv []string
	switch {
	case b.bwrap == "":
		argv = append(bash("bash", `cd -- "$1" || exit 125; shift; unset OLDPWD; `+outer+plainStart, b.Outside(c.Dir), b.Inside(started)), c.Argv...)
		if c.AsRoot {
			argv = append([]string{"unshare", "--map-root-user"}, argv...)
		}
	default:
		inner, shell, lay := "", "bash", copyAll
		if ownCount() {
			inner = innerLimit
		}
		if c.Root != "" {
			shell, lay = hostBelow+"/usr/bin/bash", copyEmpty
		}
		switch {
		case c.Scratch <= 0:
			argv = bash(shell, inner+plainStart, b.Inside(started))
		case c.Keep != "":
			argv = bash(shell, inner+lay+copyStart+copyKeep, insideRoot, b.Inside(c.Dir), c.Keep)
		default:
			argv = bash(shell, inner+lay+copyStart+copyExec, insideRoot, b.Inside(c.Dir))
		}
		argv = append(append(b.bwrapArgs(c, env), argv...), c.Argv...)
		argv = append(bash("bash", outer+`exec "$@"`), argv...)
	}
	if dropped {
		argv = append([]string{"setpriv", fmt.Sprintf("--reuid=%d", b.uid), fmt.Sprintf("--regid=%d", b.gid), "--clear-groups", "--"}, argv...)
	}
	if argv[0] = Look(argv[0]); argv[0] == "" {
		return nil, Need("setpriv", "unshare", "bash")
	}
	return argv, nil
}

// bwrapArgs shows the tools /usr, a few files of /etc and the box, nothing else, and
// gives them name spaces of their own for everything, the network included.
func (b *Box) bwrapArgs(c Command, env []string) []string {
	user := innerUser
	if c.AsRoot {
		user = innerRoot
	}
	args := []string{b.bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--uid", user, "--gid", user, "--hostname", "slipway"}
	if b.strict {
		args = append(args, "--unshare-user", "--disable-userns")
	}
	system := ""
	if c.Root != "" {
		system = hostBelow
		for _, dir := range rooted {
			args = append(args, "--ro-bind-try", b.Outside(c.Root, dir), "/"+dir)
		}
	}
	for _, name := range []string{"/usr", "/etc/alternatives", "/etc/ld.so.cache"} {
		args = append(args, "--ro-bind-try", name, system+name)
	}
	args = append(args, "--proc", "/proc", "--dev", "/dev", "--size", smallTmp, "--tmpfs", "/dev/shm", "--remount-ro", "/dev", "--size", smallTmp, "--tmpfs", "/tmp")
	for _, dir := range []string{"/bin", "/sbin", "/lib", "/lib64"} {
		if to, err := os.Readlink(dir); err == nil {
			args = append(args, "--symlink", to, dir)
		} else {
			args = append(args, "--ro-bind-try", dir, dir)
		}
	}
	if c.Scratch > 0 {
		args = append(args, "--ro-bind", b.root, boxBelow, "--size", fmt.Sprint(c.Scratch), "--tmpfs", insideRoot)
	} else {
		args = append(args, "--bind", b.root, insideRoot, "--chdir", b.Inside(c.Dir))
	}
	args = append(args, "--remount-ro", "/", "--clearenv")
	for _, kv := range env {
		key, value, _ := strings.Cut(kv, "=")
		args = append(args, "--setenv", key, value)
	}
	return append(args, "--")
}

// Merge adds to a folder of the box, which is to be a [Command].Root, links to what the system has in /usr beside it, so
// that programs find the system's libraries and programs. What is there already stays.
func (b *Box) Merge(name string) error {
	if err := os.MkdirAll(b.Outside(name, "etc"), 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(b.Outside(name)) // what lies in it may lead anywhere
	if err != nil {
		return err
	}
	defer root.Close()
	for _, file := range []string{"etc/alternatives", "etc/ld.so.cache"} {
		if _, err := root.Lstat(file); err != nil {
			if err := root.Symlink(hostBelow+"/"+file, file); err != nil {
				return err
			}
		}
	}
	return merge(root, "usr")
}

func merge(root *os.Root, dir string) error {
	if err := root.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	have, err := os.ReadDir("/" + dir)
	if err != nil {
		return err
	}
	for _, e := range have {
		name := filepath.Join(dir, e.Name())
		info, err := root.Lstat(name)
		switch {
		case err != nil:
			err = root.Symlink(hostBelow+"/"+name, name)
		case info.IsDir() && e.IsDir():
			err = merge(root, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
