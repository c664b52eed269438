//go:build linux && !386 && !arm

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// stageVar tells a re-executed copy of this program what to do as the helper: "WANT OFFSET NAME".
const stageVar = "APPIMAGE_SLIPWAY_STAGE"

// What is wanted of the helper.
const (
	wantAny     = "any" // mount, else extract
	wantMount   = "mount"
	wantExtract = "extract"
)

// Descriptors of the helper.
const (
	fdPipe  = 3 // write end; the application holds the read end
	fdImage = 4
)

// Answers of the helper: a kind, a length of four bytes, and a text.
const (
	saidReady  = 'R' // the folder
	saidReason = 'W' // why it was not mounted; comes before saidReady
	saidFailed = 'E' // why there is no folder
)

// helper is the launcher's view of it.
type helper struct {
	pipe   int // read end
	dir    string
	reason string // set when the folder is an unpacked copy although mounting was wanted
}

// startHelper starts a helper and waits for its answer.
func (img *image) startHelper(want string) (*helper, error) {
	var p [2]int
	if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("cannot make a pipe: %w", err)
	}
	h := &helper{pipe: p[0]}
	err := detach(fmt.Sprintf("%s %d %s", want, img.offset, mountName(img.arg0)), uintptr(p[1]), img.file.Fd())
	syscall.Close(p[1]) // the other side alone holds it now, so that its end shows
	if err != nil {
		return nil, fmt.Errorf("cannot start the helper: %w", err)
	}
	return h, h.listen()
}

func (h *helper) listen() error {
	for {
		kind, text, err := readAnswer(h.pipe)
		if err != nil {
			return fmt.Errorf("the helper ended early: %w", err)
		}
		switch kind {
		case saidReady:
			h.dir = text
			return nil
		case saidReason:
			h.reason = text
		default:
			return errors.New(text)
		}
	}
}

// keep lets the pipe's read end live on in AppRun, out of the way of scripts that use low numbers.
func (h *helper) keep() error {
	for _, low := range []uintptr{200, 0} {
		if _, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(h.pipe), syscall.F_DUPFD, low); e == 0 {
			return nil
		}
	}
	_, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(h.pipe), syscall.F_SETFD, 0)
	if e != 0 {
		return fmt.Errorf("cannot keep the pipe open: %w", e)
	}
	return nil
}

// end lets the helper take everything away and waits until it has: its folder is gone then.
func (h *helper) end() error {
	syscall.Close(h.pipe)
	for range 200 {
		if _, err := os.Lstat(h.dir); errors.Is(err, os.ErrNotExist) {
			return nil
		}
		sleep(10)
	}
	return fmt.Errorf("%s is still there", h.dir)
}

func readAnswer(fd int) (byte, string, error) {
	var head [5]byte
	if err := readFull(fd, head[:]); err != nil {
		return 0, "", err
	}
	n := binary.LittleEndian.Uint32(head[1:])
	if n > 1<<16 {
		return 0, "", errors.New("a garbled answer")
	}
	b := make([]byte, n)
	err := readFull(fd, b)
	return head[0], string(b), err
}

func readFull(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := syscall.Read(fd, b)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return err
		case n == 0:
			return errors.New("no answer")
		default:
			b = b[n:]
		}
	}
	return nil
}

// sayReady gives the answer that the launcher waits for. Only then the helper leaves the user's session: the kernel
// schedules a new one as a group of its own, and the start would wait for it on a busy machine.
func sayReady(dir string) error {
	say(saidReady, dir)
	if _, err := syscall.Setsid(); err != nil {
		return fmt.Errorf("cannot leave the session: %w", err)
	}
	return nil
}

func say(kind byte, text string) {
	b := binary.LittleEndian.AppendUint32([]byte{kind}, uint32(len(text)))
	b = append(b, text...)
	for len(b) > 0 {
		n, err := syscall.Write(fdPipe, b)
		if err != nil && err != syscall.EINTR {
			return // nobody listens any more, which the helper notices by other means
		}
		b = b[max(n, 0):]
	}
}

// runStage is what the helper does.
func runStage(stage string) {
	parts := strings.SplitN(stage, " ", 3)
	if len(parts) != 3 {
		os.Exit(exitFailed)
	}
	syscall.CloseOnExec(fdPipe)
	syscall.CloseOnExec(fdImage)
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
	debug.SetGCPercent(50)
	offset, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		os.Exit(exitFailed)
	}
	if err := os.Chdir("/"); err != nil {
		os.Exit(exitFailed)
	}
	if err := serve(parts[0], os.NewFile(fdImage, "image"), offset, parts[2]); err != nil {
		say(saidFailed, reasonOf(err))
		os.Exit(exitNoRun)
	}
}

func serve(want string, file *os.File, offset int64, name string) error {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	released := make(chan struct{})
	go func() {
		waitReleased()
		close(released)
	}()
	if want != wantExtract {
		m, err := mountImage(file, offset, name)
		if err == nil {
			sidErr := sayReady(m.dir)
			swept := make(chan struct{})
			go func() {
				removeDeadMounts()
				close(swept)
			}()
			select {
			case <-term:
			case <-released:
			}
			err := errors.Join(sidErr, m.end())
			<-swept
			return err
		}
		if want == wantMount {
			return fmt.Errorf("cannot mount: %w", err)
		}
		say(saidReason, reasonOf(err))
	}
	dir, err := extractPrivately(file, offset, released)
	if err != nil {
		return err
	}
	err = sayReady(dir.path)
	if isSet("NO_CLEANUP") {
		return err
	}
	<-released // a TERM for the whole session reaches the application as well; the folder goes when that is gone
	return errors.Join(err, dir.remove())
}

// waitReleased returns when the last holder of the pipe's read end is gone. It polls the bare number: an *os.File
// around it would be closed by the garbage collector.
func waitReleased() {
	type pollfd struct {
		fd              int32
		events, revents int16
	}
	for {
		p := pollfd{fd: fdPipe}
		n, _, e := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, 0, 0, 0, 0)
		if e == syscall.EINTR { // n is no count then
			continue
		}
		if n > 0 || e != 0 {
			return
		}
	}
}
