//go:build unix

package isolate

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/imrightguy/slipway/phases/internal/tool"
)

// A Display is an X server without a screen (Xvfb) for one program.
type Display struct {
	name, cookies string
	stop          context.CancelFunc
	ended         chan struct{}
}

const (
	displayStart = 20 * time.Second // until Xvfb has to be ready
	displayEnd   = 5 * time.Second  // from TERM, when it removes its lock and socket, to KILL
)

// displayNumber is what Xvfb writes when it is ready (Xserver(1), -displayfd).
var displayNumber = regexp.MustCompile(`^[0-9]{1,6}\n$`)

// NewDisplay starts a display whose files lie in dir, an existing folder. Only who can read them can open windows on
// it, and it listens on no network. A missing Xvfb is a [*tool.MissingError], one that does not start an
// [*UnavailableError]. Close ends it.
func NewDisplay(ctx context.Context, dir string) (*Display, error) {
	path, err := tool.Look("Xvfb")
	if err != nil {
		return nil, err
	}
	d := &Display{cookies: filepath.Join(dir, "Xauthority"), ended: make(chan struct{})}
	if err := os.WriteFile(d.cookies, cookie(), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "Xvfb.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	ready, number, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()

	alive, stop := context.WithCancel(ctx)
	d.stop = stop
	cmd := exec.CommandContext(alive, path, "-displayfd", "3", "-screen", "0", "1280x1024x24", "-nolisten", "tcp", "-noreset", "-auth", d.cookies)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = dir, append(tool.Inherit("PATH"), Quiet()...), log, log, []*os.File{number}
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(syscall.SIGTERM) }, displayEnd
	bind(cmd)
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // with which the server would die, see bind
		defer close(d.ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // ended by the signal
		}
	}()
	err = errors.Join(<-started, number.Close())
	if err == nil {
		_ = ready.SetReadDeadline(time.Now().Add(displayStart)) // pipes have deadlines
		var line string
		if line, err = bufio.NewReader(ready).ReadString('\n'); err == nil && !displayNumber.MatchString(line) {
			err = errors.New("it did not name a display")
		}
		d.name = ":" + strings.TrimSpace(line)
	}
	if err == nil {
		return d, nil
	}
	d.Close()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	said, _ := os.ReadFile(log.Name()) // the error stands without it
	return nil, &UnavailableError{fmt.Sprintf("Xvfb does not start (%v): %.300s", err, strings.Join(strings.Fields(strings.ToValidUTF8(string(said), "?")), " "))}
}

// Env are the variables that lead a program to the display, and keep toolkits from looking for another one or for a
// graphics card.
func (d *Display) Env() []string {
	return []string{
		"DISPLAY=" + d.name, "XAUTHORITY=" + d.cookies, "GDK_BACKEND=x11", "QT_QPA_PLATFORM=xcb", "XDG_SESSION_TYPE=x11",
		"LIBGL_ALWAYS_SOFTWARE=1", "NO_AT_BRIDGE=1", "GSETTINGS_BACKEND=memory",
	}
}

// Close ends the display and waits for that.
func (d *Display) Close() {
	d.stop()
	<-d.ended
}

// cookie is an Xauthority file with one secret that counts for every display (Xau(3): family 65535 is FamilyWild; then
// address, display number, name and data, each with its length in two bytes, high one first).
func cookie() []byte {
	secret := make([]byte, 16)
	rand.Read(secret)
	b := []byte{0xff, 0xff}
	for _, field := range [][]byte{nil, nil, []byte("MIT-MAGIC-COOKIE-1"), secret} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(field)))
		b = append(b, field...)
	}
	return b
}
