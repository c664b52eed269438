//go:build linux && !386 && !arm

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
)

// maxRead is the largest request: one block of the usual size.
const maxRead = 128 << 10

const (
	fuseType    = "appimage"
	mountPrefix = ".mount_"
	umountLazy  = 2 | 8 // MNT_DETACH | UMOUNT_NOFOLLOW
)

func tempDir() string {
	if t := os.Getenv("TMPDIR"); filepath.IsAbs(t) {
		return t
	}
	return "/tmp"
}

// mountName is the readable part of a mount point's name.
func mountName(arg0 string) string {
	b := strings.NewReplacer("*", "_", "/", "_").Replace(filepath.Base(arg0)) // os.MkdirTemp puts its random part at a star
	return b[:min(len(b), 6)]
}

// mounted is a mounted image with the server behind it.
type mounted struct {
	dir    string
	served chan struct{}
}

func mountImage(file *os.File, offset int64, name string) (*mounted, error) {
	r, err := squashfs.NewReader(file, offset)
	if err != nil {
		return nil, err
	}
	if _, err := r.Root(); err != nil {
		return nil, err
	}
	files := newFilesystem(r)
	go files.prefetch()
	if err := syscall.Access("/dev/fuse", 0); err != nil {
		return nil, &os.PathError{Op: "stat", Path: "/dev/fuse", Err: err}
	}
	dir, err := os.MkdirTemp(tempDir(), mountPrefix+name) // 0700
	if err != nil {
		return nil, err
	}
	fd, err := openMount(dir)
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	srv, err := newServer(fd, files)
	if err != nil {
		return nil, errors.Join(err, unmount(dir), os.Remove(dir))
	}
	m := &mounted{dir, make(chan struct{})}
	go func() {
		srv.serve()
		close(m.served)
	}()
	return m, nil
}

// end detaches the mount, and serves on for those who still have files of it open.
func (m *mounted) end() error {
	err := errors.Join(unmount(m.dir), os.Remove(m.dir))
	if err == nil {
		<-m.served
	}
	return err
}

// openMount mounts a FUSE filesystem and returns its descriptor: directly where that is allowed, else with fusermount.
func openMount(dir string) (int, error) {
	prog := os.Getenv("FUSERMOUNT_PROG")
	if prog == "" {
		if fd, err := mountDirectly(dir); err == nil {
			return fd, nil
		}
		for _, p := range []string{"fusermount3", "fusermount"} {
			if found, err := exec.LookPath(p); err == nil {
				prog = found
				break
			}
		}
	}
	if prog == "" {
		return -1, errors.New("no fusermount3 in the PATH")
	}
	return mountWith(prog, dir)
}

func mountDirectly(dir string) (int, error) {
	fd, err := syscall.Open("/dev/fuse", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	opts := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,max_read=%d", fd, os.Geteuid(), os.Getegid(), maxRead)
	err = syscall.Mount(fuseType, dir, "fuse."+fuseType, syscall.MS_RDONLY|syscall.MS_NOSUID|syscall.MS_NODEV, opts)
	if err != nil {
		syscall.Close(fd)
		return -1, err
	}
	return fd, nil
}

// mountWith has the setuid program mount and receives the descriptor over a socket.
func mountWith(prog, dir string) (int, error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	remote := os.NewFile(uintptr(pair[1]), "remote")
	defer syscall.Close(pair[0])
	c := exec.Command(prog, "-o", fmt.Sprintf("ro,nosuid,nodev,fsname=%s,subtype=%s,max_read=%d", fuseType, fuseType, maxRead), "--", dir) //nolint:noctx // nothing cancels a mount
	c.Env = append(os.Environ(), "_FUSE_COMMFD=3")
	c.ExtraFiles = []*os.File{remote}
	out := new(bytes.Buffer)
	c.Stderr = out
	err = c.Run()
	remote.Close()
	if err != nil {
		return -1, fmt.Errorf("%s: %s", filepath.Base(prog), strings.TrimSpace(out.String()+" ("+err.Error()+")"))
	}
	oob := make([]byte, syscall.CmsgSpace(4))
	_, n, _, _, err := syscall.Recvmsg(pair[0], make([]byte, 1), oob, syscall.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	msgs, err := syscall.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) != 1 {
		return -1, fmt.Errorf("%s handed over no descriptor", filepath.Base(prog))
	}
	fds, err := syscall.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return -1, fmt.Errorf("%s handed over no descriptor", filepath.Base(prog))
	}
	return fds[0], nil
}

// unmount detaches a mount, also one that is in use.
func unmount(dir string) error {
	err := syscall.Unmount(dir, umountLazy)
	if err == nil {
		return nil
	}
	progs := []string{"fusermount3", "fusermount"}
	if p := os.Getenv("FUSERMOUNT_PROG"); p != "" {
		progs = []string{p}
	}
	for _, p := range progs {
		if e := exec.Command(p, "-u", "-z", "--", dir).Run(); e == nil { //nolint:noctx // nothing cancels an unmount
			return nil
		}
	}
	return fmt.Errorf("cannot unmount %s: %w", dir, err)
}

// removeDeadMounts takes away what a helper of this user's that was killed left behind.
func removeDeadMounts() {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	prefix := filepath.Join(tempDir(), mountPrefix)
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 4 || f[2] != "fuse."+fuseType || !strings.Contains(","+f[3]+",", fmt.Sprintf(",user_id=%d,", os.Geteuid())) {
			continue
		}
		dir := unescapeMount(f[1])
		var st syscall.Statfs_t
		if !strings.HasPrefix(dir, prefix) || syscall.Statfs(dir, &st) != syscall.ENOTCONN {
			continue
		}
		if unmount(dir) == nil {
			os.Remove(dir)
		}
	}
}

var unescapeMount = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace

func sleep(ms int) { time.Sleep(time.Duration(ms) * time.Millisecond) }
