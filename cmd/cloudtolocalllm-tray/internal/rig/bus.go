package rig

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/godbus/dbus/v5"
)

// Bus is a private session bus: the real dbus-daemon.
type Bus struct {
	Address string
	cmd     *exec.Cmd
}

// NewBus starts a bus at a socket in the home's runtime directory and tells the
// home of it. The address stays the same when it is started again.
func (h *Home) NewBus() *Bus {
	h.tb.Helper()
	b := &Bus{Address: "unix:path=" + filepath.Join(h.Run, "session")}
	h.Env = append(h.Env, "DBUS_SESSION_BUS_ADDRESS="+b.Address)
	b.Start(h)
	h.tb.Cleanup(b.Kill)
	return b
}

// Start starts the bus.
func (b *Bus) Start(h *Home) {
	h.tb.Helper()
	_ = os.Remove(filepath.Join(h.Run, "session"))
	b.cmd = exec.CommandContext(context.Background(), "dbus-daemon", "--session", "--nofork", "--print-address", "--address="+b.Address)
	b.cmd.Env = h.Environ()
	out, err := b.cmd.StdoutPipe()
	if err == nil {
		err = b.cmd.Start()
	}
	if err != nil {
		h.tb.Fatalf("cannot start dbus-daemon: %v", err)
	}
	if !bufio.NewScanner(out).Scan() {
		h.tb.Fatalf("dbus-daemon says nothing")
	}
}

// Kill ends the bus without asking.
func (b *Bus) Kill() {
	if b.cmd != nil && b.cmd.Process != nil {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
	}
}

// Connect opens a connection for a test.
func (b *Bus) Connect(t TB) *dbus.Conn {
	t.Helper()
	c, err := dbus.Connect(b.Address)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Watcher is a panel's part of the tray protocol, and nothing more.
type Watcher struct {
	conn  *dbus.Conn
	mu    sync.Mutex
	items []string
}

// NewWatcher takes the watcher's name on the bus.
func (b *Bus) NewWatcher(t TB) *Watcher {
	t.Helper()
	w := &Watcher{conn: b.Connect(t)}
	if err := w.conn.Export(watcherObject{w}, "/StatusNotifierWatcher", "org.kde.StatusNotifierWatcher"); err != nil {
		t.Fatalf("%v", err)
	}
	if r, err := w.conn.RequestName("org.kde.StatusNotifierWatcher", dbus.NameFlagDoNotQueue); err != nil || r != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("watcher: %v %v", r, err)
	}
	return w
}

type watcherObject struct{ w *Watcher }

// RegisterStatusNotifierItem notes an item as panels do: by who sent it.
func (o watcherObject) RegisterStatusNotifierItem(sender dbus.Sender, path string) *dbus.Error {
	o.w.mu.Lock()
	defer o.w.mu.Unlock()
	o.w.items = append(o.w.items, string(sender)+path)
	return nil
}

// Item waits for an item and returns its object.
func (w *Watcher) Item(t TB) dbus.BusObject {
	t.Helper()
	var last string
	Until(t, "an item to register", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.items) > 0 {
			last = w.items[len(w.items)-1]
		}
		return last != ""
	})
	i := strings.IndexByte(last, '/')
	return w.conn.Object(last[:i], dbus.ObjectPath(last[i:]))
}

// Close gives the name back, as a panel that ends.
func (w *Watcher) Close() { _ = w.conn.Close() }
