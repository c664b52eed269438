//go:build linux && !386 && !arm

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// A fork of a Go program has one thread and no runtime to speak of: between fork and exec nothing may be allocated, no
// stack may grow, nothing but system calls may be made. In exchange a whole start of this program is saved.

const (
	sysCloseRange = 436 // the same on all machines; ENOSYS before Linux 5.9 does no harm
	sigSetmask    = 2
	waitAll       = 0x40000000 // __WALL: for children without SIGCHLD, too
	fdsFrom       = 10         // descriptors are first moved out of the way of those that the helper has
)

// forking is all that is needed between fork and exec.
type forking struct {
	path       *byte
	argv, envv []*byte
	fds        [5]uintptr // what becomes the descriptors 0 to 4
	all, old   uint64     // signals
}

// detach starts this program again as nobody's child, with nothing but the two descriptors and null.
func detach(stage string, pipe, image uintptr) error {
	null, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/dev/null", Err: err}
	}
	defer syscall.Close(null)
	env := []string{stageVar + "=" + stage}
	for _, k := range []string{"PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "FUSERMOUNT_PROG", "NO_CLEANUP"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	f := &forking{all: ^uint64(0)}
	if f.path, err = syscall.BytePtrFromString("/proc/self/exe"); err != nil {
		return err
	}
	if f.argv, err = syscall.SlicePtrFromStrings(os.Args[:1]); err != nil {
		return err
	}
	if f.envv, err = syscall.SlicePtrFromStrings(env); err != nil {
		return err
	}
	for i, fd := range []uintptr{uintptr(null), uintptr(null), uintptr(null), pipe, image} {
		high, _, e := syscall.RawSyscall(syscall.SYS_FCNTL, fd, syscall.F_DUPFD_CLOEXEC, fdsFrom)
		if e != 0 {
			return fmt.Errorf("cannot duplicate a descriptor: %w", e)
		}
		defer syscall.Close(int(high))
		f.fds[i] = high
	}
	runtime.LockOSThread()
	pid, e := forkTwice(f)
	runtime.UnlockOSThread()
	if e != 0 {
		return fmt.Errorf("fork: %w", e)
	}
	var status syscall.WaitStatus
	for {
		if _, err = syscall.Wait4(int(pid), &status, waitAll, nil); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil && status.ExitStatus() != 0 {
		err = errors.New("fork failed")
	}
	return err
}

// forkTwice forks a process that forks the helper and ends.
//
//go:nosplit
//go:noinline
//go:norace
func forkTwice(f *forking) (uintptr, syscall.Errno) {
	// A signal would find the handlers of a runtime that is not there.
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetmask, uintptr(unsafe.Pointer(&f.all)), uintptr(unsafe.Pointer(&f.old)), 8, 0, 0)
	pid, _, e := syscall.RawSyscall6(syscall.SYS_CLONE, 0, 0, 0, 0, 0, 0) // no SIGCHLD at its end
	if e != 0 || pid != 0 {
		_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetmask, uintptr(unsafe.Pointer(&f.old)), 0, 8, 0, 0)
		return pid, e
	}
	pid, _, e = syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 || pid != 0 {
		exit(uintptr(e))
	}
	for i := range f.fds {
		if _, _, e := syscall.RawSyscall(syscall.SYS_DUP3, f.fds[i], uintptr(i), 0); e != 0 {
			exit(exitNoRun)
		}
	}
	_, _, _ = syscall.RawSyscall(sysCloseRange, uintptr(len(f.fds)), ^uintptr(0)>>32, 0)
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetmask, uintptr(unsafe.Pointer(&f.old)), 0, 8, 0, 0)
	_, _, _ = syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(f.path)), uintptr(unsafe.Pointer(&f.argv[0])), uintptr(unsafe.Pointer(&f.envv[0])))
	exit(exitNoRun) // the launcher finds nobody at the other end of the pipe
	return 0, 0
}

// exit ends the process as it is.
//
//go:nosplit
//go:norace
func exit(code uintptr) {
	for {
		_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT_GROUP, code, 0, 0)
	}
}
