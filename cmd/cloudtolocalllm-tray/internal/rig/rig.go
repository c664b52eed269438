// Package rig is what the tests and the benchmark drive the compiled daemon
// with: a private home for it, stand-in upstreams that behave as the real ones
// do, and clients of either kind.
package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// TB is what a test has and the benchmark stands in for.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Cleanup(func())
	TempDir() string
}

// Patience is how long something may take that takes milliseconds on a machine
// that has nothing else to do.
const Patience = 20 * time.Second

var build struct {
	sync.Once
	path string
	err  error
}

// Binary is the program as it is packaged: the one CLOUDTOLOCALLLM_TRAY names,
// or one built here, once for each process.
func Binary(t TB) string {
	t.Helper()
	build.Do(func() {
		if p := os.Getenv("CLOUDTOLOCALLLM_TRAY"); p != "" {
			build.path, build.err = filepath.Abs(p)
			return
		}
		dir, err := os.MkdirTemp("", "tray-build-")
		if err != nil {
			build.err = err
			return
		}
		_ = os.Chmod(dir, 0o755) // other users run it too
		build.path = filepath.Join(dir, "cloudtolocalllm-tray")
		cmd := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-buildvcs=false", "-tags", "nethttpomithttp2", "-ldflags", "-s -w -X main.version="+builtVersion, "-o", build.path,
			"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			build.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if build.err != nil {
		t.Fatalf("cannot build the daemon: %v", build.err)
	}
	return build.path
}

// Version is what the program says its version is; "" where the packaged one is tested, which may have any.
func Version() string {
	if os.Getenv("CLOUDTOLOCALLLM_TRAY") != "" {
		return ""
	}
	return builtVersion
}

const builtVersion = "4.0.0-test"

// RemoveBinary deletes what Binary has built.
func RemoveBinary() {
	if build.path != "" && os.Getenv("CLOUDTOLOCALLLM_TRAY") == "" {
		_ = os.RemoveAll(filepath.Dir(build.path))
	}
}

// Home is a user's home and runtime directory.
type Home struct {
	Dir, Run string
	Env      []string // more, or other, variables
	tb       TB
}

// NewHome makes an empty home without bus and display.
func NewHome(t TB) *Home {
	t.Helper()
	dir, err := os.MkdirTemp("", "tray-") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &Home{Dir: filepath.Join(dir, "home"), Run: filepath.Join(dir, "run"), tb: t}
	for _, d := range []string{h.Dir, h.Run} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatalf("%v", err)
		}
	}
	return h
}

// Config is the path of a file in the configuration directory.
func (h *Home) Config(name string) string { return filepath.Join(h.Dir, ".cloudtolocalllm", name) }

// Write puts a file into the configuration directory.
func (h *Home) Write(name, text string, mode os.FileMode) {
	h.tb.Helper()
	_ = os.MkdirAll(h.Config(""), 0o700)
	if err := os.WriteFile(h.Config(name), []byte(text), mode); err != nil {
		h.tb.Fatalf("%v", err)
	}
	_ = os.Chmod(h.Config(name), mode)
}

// Environ is the environment programs of this home run in.
func (h *Home) Environ() []string {
	return append([]string{
		"HOME=" + h.Dir, "XDG_RUNTIME_DIR=" + h.Run, "PATH=" + os.Getenv("PATH"), "XDG_CONFIG_HOME=" + h.Dir + "/.config",
		"XDG_DATA_HOME=" + h.Dir + "/.local/share", "XDG_CACHE_HOME=" + h.Dir + "/.cache",
	}, h.Env...)
}

// Connections writes connection_config.json with these base URLs; an empty one
// switches its connection off.
func (h *Home) Connections(local, cloud string) {
	h.tb.Helper()
	entry := func(name, url string) string {
		if url == "" {
			return fmt.Sprintf(`%q:{"connection_type":%q,"host":"localhost","port":1,"api_base_url":"http://127.0.0.1:1","auth_token":"","timeout":30,"enabled":false}`, name, name)
		}
		return fmt.Sprintf(`%q:{"connection_type":%q,"host":"localhost","port":1,"api_base_url":%q,"auth_token":"","timeout":30,"enabled":true}`, name, name, url)
	}
	h.Write("connection_config.json", "{"+entry("local_ollama", local)+","+entry("cloud_proxy", cloud)+"}", 0o600)
}

// Daemon is a running program.
type Daemon struct {
	*Home
	Cmd    *exec.Cmd
	Port   int
	Stderr *Buffer
	ended  chan struct{}
	err    error
}

// Buffer collects output.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *Buffer) Write(p []byte) (int, error) { b.mu.Lock(); defer b.mu.Unlock(); return b.b.Write(p) }

func (b *Buffer) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.b.String() }

// Start runs the daemon and waits for its port file. It is ended with the test.
func (h *Home) Start(args ...string) *Daemon {
	h.tb.Helper()
	return h.StartAs(nil, args...)
}

// StartAs does the same after prepare has had its way with the command.
func (h *Home) StartAs(prepare func(*exec.Cmd), args ...string) *Daemon {
	h.tb.Helper()
	_ = os.Remove(h.Config("tray_port"))
	d := &Daemon{Home: h, Cmd: exec.CommandContext(context.Background(), Binary(h.tb), args...), Stderr: &Buffer{}, ended: make(chan struct{})}
	d.Cmd.Env, d.Cmd.Stderr, d.Cmd.Dir = h.Environ(), d.Stderr, h.Dir
	if prepare != nil {
		prepare(d.Cmd)
	}
	if err := d.Cmd.Start(); err != nil {
		h.tb.Fatalf("cannot start the daemon: %v", err)
	}
	go func() { d.err = d.Cmd.Wait(); close(d.ended) }()
	h.tb.Cleanup(d.Kill)
	Until(h.tb, "the port file", func() bool {
		select {
		case <-d.ended:
			h.tb.Fatalf("the daemon ended: %v %s", d.err, d.Stderr)
		default:
		}
		b, err := os.ReadFile(h.Config("tray_port"))
		if err != nil {
			return false
		}
		d.Port, err = strconv.Atoi(string(b))
		return err == nil
	})
	return d
}

// Kill ends the daemon without asking.
func (d *Daemon) Kill() {
	_ = d.Cmd.Process.Kill()
	<-d.ended
}

// Stop sends a signal and returns the exit code.
func (d *Daemon) Stop(sig syscall.Signal) int {
	d.tb.Helper()
	_ = d.Cmd.Process.Signal(sig)
	return d.Wait()
}

// Wait returns the exit code.
func (d *Daemon) Wait() int {
	d.tb.Helper()
	select {
	case <-d.ended:
	case <-time.After(Patience):
		d.tb.Fatalf("the daemon does not end")
	}
	return d.Cmd.ProcessState.ExitCode()
}

// Alive reports whether the daemon runs.
func (d *Daemon) Alive() bool {
	select {
	case <-d.ended:
		return false
	default:
		return true
	}
}

// Shell runs one of the program's commands and returns what it printed.
func (h *Home) Shell(args ...string) (out string, code int) {
	h.tb.Helper()
	cmd := exec.CommandContext(context.Background(), Binary(h.tb), args...)
	cmd.Env, cmd.Dir = h.Environ(), h.Dir
	b, err := cmd.CombinedOutput()
	var e *exec.ExitError
	if err != nil && !errors.As(err, &e) {
		h.tb.Fatalf("%v", err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// Discovery is ipc.json.
type Discovery struct {
	Port     int
	Socket   string
	PID      int
	Token    string
	HTTPPort int `json:"http_port"`
}

// Discovery reads ipc.json.
func (h *Home) Discovery() Discovery {
	h.tb.Helper()
	var d Discovery
	Until(h.tb, "ipc.json", func() bool {
		b, err := os.ReadFile(filepath.Join(h.Run, "cloudtolocalllm/ipc.json"))
		return err == nil && json.Unmarshal(b, &d) == nil
	})
	return d
}

// Log is what the daemon has logged.
func (h *Home) Log() string {
	b, _ := os.ReadFile(h.Config("tray.log"))
	return string(b)
}

// Until waits for something to become true.
func Until(t TB, what string, f func() bool) {
	t.Helper()
	end := time.Now().Add(Patience)
	for !f() {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Client is a connection that speaks lines.
type Client struct {
	net.Conn
	tb  TB
	buf []byte
}

// Message is a line of the daemon.
type Message map[string]json.RawMessage

// Dial connects as the original's client does.
func (d *Daemon) Dial() *Client {
	d.tb.Helper()
	c, err := (&net.Dialer{Timeout: Patience}).DialContext(context.Background(), "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(d.Port)))
	if err != nil {
		d.tb.Fatalf("%v", err)
	}
	d.tb.Cleanup(func() { _ = c.Close() })
	return &Client{Conn: c, tb: d.tb}
}

// Hello connects over TCP and says HELLO.
func (d *Daemon) Hello(role string) *Client {
	d.tb.Helper()
	c := d.Dial()
	c.Say(fmt.Sprintf(`{"command":"HELLO","id":0,"proto":1,"token":%q,"client":"rig","role":%q}`, d.Discovery().Token, role))
	c.Answer("0")
	return c
}

// Say sends a line.
func (c *Client) Say(line string) {
	c.tb.Helper()
	_ = c.SetWriteDeadline(time.Now().Add(Patience))
	if _, err := c.Write([]byte(line + "\n")); err != nil {
		c.tb.Fatalf("cannot send: %v", err)
	}
}

// Line returns the next line.
func (c *Client) Line() (string, error) {
	for {
		if i := bytes.IndexByte(c.buf, '\n'); i >= 0 {
			line := string(c.buf[:i])
			c.buf = c.buf[i+1:]
			return line, nil
		}
		_ = c.SetReadDeadline(time.Now().Add(Patience))
		more := make([]byte, 64<<10)
		n, err := c.Read(more)
		c.buf = append(c.buf, more[:n]...)
		if err != nil {
			return string(c.buf), err
		}
	}
}

// Next returns the next message for which ok is true.
func (c *Client) Next(what string, ok func(Message) bool) Message {
	c.tb.Helper()
	for {
		line, err := c.Line()
		if err != nil {
			c.tb.Fatalf("no %s: %v %q", what, err, line)
		}
		var m Message
		if err := json.Unmarshal([]byte(line), &m); err != nil || m == nil {
			c.tb.Fatalf("not an object: %q", line)
		}
		if ok(m) {
			return m
		}
	}
}

// Answer returns the next message with this id.
func (c *Client) Answer(id string) Message {
	c.tb.Helper()
	return c.Next("answer to "+id, func(m Message) bool { return string(m["id"]) == id })
}

// Reply returns the next message that is no push.
func (c *Client) Reply() Message {
	c.tb.Helper()
	return c.Next("reply", func(m Message) bool { return m["command"] == nil && m["event"] == nil })
}

// Gone waits until the daemon has closed the connection, and returns what it
// said before that.
func (c *Client) Gone() string {
	c.tb.Helper()
	var all strings.Builder
	for {
		line, err := c.Line()
		if err != nil {
			var n net.Error
			if errors.As(err, &n) && n.Timeout() {
				c.tb.Fatalf("the connection stays open")
			}
			return all.String() + line
		}
		all.WriteString(line + "\n")
	}
}

// WaitState waits until a connection is in a state.
func (d *Daemon) WaitState(name, state string) {
	d.tb.Helper()
	c := d.Dial()
	defer c.Close()
	Until(d.tb, name+" to be "+state, func() bool {
		c.Say(`{"command":"GET_CONNECTION_STATUS"}`)
		m := c.Reply()
		var st map[string]struct{ State string }
		_ = json.Unmarshal(m["status"], &st)
		return st[name].State == state
	})
}
