package ipc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/broker"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/config"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/frame"
)

// client is one connection. serve is its reader; calls run in goroutines of
// their own and end when the connection does.
type client struct {
	s      *Server
	conn   net.Conn
	ctx    context.Context
	cancel context.CancelCauseFunc
	out    outbox
	v1     atomic.Bool // has not said HELLO
	stop   atomic.Bool // the daemon ends: nothing new is begun
	calls  atomic.Int32

	// Guarded by the server's lock, and written by serve alone.
	served  bool
	settled bool // has had the time to say HELLO
	role    string
	name    string
	topics  map[string]bool

	// Used by serve alone.
	slots chan struct{}
	tail  chan struct{} // closed when the last PROXY_REQUEST of the v1 kind is answered

	mu      sync.Mutex
	running map[string]context.CancelCauseFunc
}

// isApp reports whether the client can be the app: it says so, or it is of the
// kind that cannot say. The server's lock is held.
func (c *client) isApp() bool { return c.role == "app" }

func (c *client) serve() {
	verified, ok := c.s.admit(c.conn)
	if !ok {
		c.s.warn("a connection of another user was refused")
		return
	}
	lines := frame.NewReader(c.conn, MaxLine)
	first := true
	var settle *time.Timer
	if verified || c.s.Backend.AllowUnverified() {
		// From here on it gets what every client of the original got. It counts
		// as the app when it has had the time to say that it is none.
		c.enter("app", "", false)
		settle = time.AfterFunc(settleIn, c.settle)
		defer settle.Stop()
	}
	for {
		line, err := lines.Next()
		if err != nil {
			if errors.Is(err, frame.ErrTooLong) {
				c.s.warn("a line over the limit: connection closed")
			}
			return
		}
		if c.stop.Load() {
			<-c.ctx.Done()
			return
		}
		m, err := parse(line)
		if err != nil {
			c.s.warn("a line that is no JSON object: connection closed")
			return
		}
		command, _ := m.text("command", "")
		if first && command == "HELLO" {
			if !c.hello(m, verified) {
				return
			}
			lines.SetMax(MaxFrame)
			first = false
			continue
		}
		if first && !verified && !c.s.Backend.AllowUnverified() {
			return
		}
		if first {
			if settle != nil {
				settle.Stop()
			}
			c.settle()
		}
		first = false
		if !c.handle(command, m) {
			return
		}
	}
}

// enter makes the client one of those that are told things.
func (c *client) enter(role, name string, settled bool) {
	c.s.mu.Lock()
	c.served, c.settled, c.role, c.name = true, settled, role, name
	c.s.mu.Unlock()
	if settled {
		c.s.Backend.ClientsChanged()
	}
}

// settleIn is how long a silent client may still turn out not to be the app.
const settleIn = time.Second / 2

func (c *client) settle() {
	c.s.mu.Lock()
	was := c.settled
	c.settled = true
	c.s.mu.Unlock()
	if !was {
		c.s.Backend.ClientsChanged()
	}
}

func (c *client) hello(m message, verified bool) bool {
	_, isUnix := c.conn.(*net.UnixConn)
	_, has := m["token"]
	if !c.s.tokenOK(m) && (has || !isUnix || !verified) {
		c.s.warn("HELLO with a wrong token: connection closed")
		return false
	}
	if proto, ok := m.number("proto"); !ok || proto != Proto {
		c.s.warn("HELLO with an unknown protocol: connection closed")
		return false
	}
	id, ok := m.id()
	role, ok2 := m.text("role", "other")
	name, ok3 := m.text("client", "")
	if !ok || !ok2 || !ok3 || !slices.Contains([]string{"app", "cli", "other"}, role) || len(name) > 256 {
		return false
	}
	c.v1.Store(false)
	c.out.mu.Lock()
	c.out.joined = true
	c.out.mu.Unlock()
	c.enter(role, name, true)
	c.s.Log.Debug("hello", "client", name, "role", role)
	return c.answer(reply(id, "result", map[string]any{
		"proto": Proto, "server": "cloudtolocalllm-tray", "version": c.s.Version, "pid": c.s.PID,
		"max_frame": MaxFrame, "features": []string{"id", "stream", "settings", "subscribe"},
	}))
}

// answer waits for room, so that a client may ask faster than it reads for a while.
func (c *client) answer(line []byte) bool {
	_, err := c.out.send(c.ctx, line)
	return err == nil
}

// handle carries out one command. It returns false to end the connection.
func (c *client) handle(command string, m message) bool {
	id, ok := m.id()
	if !ok {
		if c.v1.Load() {
			id = "" // the original knew no ids and looked at none
		} else {
			return c.answer(c.failure("", errors.New("id must be an integer or a string of at most 64 bytes")))
		}
	}
	if c.v1.Load() {
		id = ""
	}
	b := c.s.Backend
	switch command {
	case "PING":
		return c.answer(reply(id, "status", "pong", "response", "PONG"))
	case "UPDATE_TOOLTIP":
		text, ok := m.text("text", "CloudToLocalLLM")
		if ok {
			b.SetTooltip(text)
		}
		return c.done(id, ok)
	case "UPDATE_ICON":
		state, ok := m.text("state", "idle")
		if ok {
			b.SetIcon(state)
		}
		return c.done(id, ok)
	case "AUTH_STATUS", "UPDATE_AUTH_STATUS":
		yes, ok := m.flag("authenticated")
		if ok {
			b.SetAuth(yes)
		}
		return c.done(id, ok)
	case "UPDATE_AUTH_TOKEN":
		token, ok := m.text("token", "")
		if !ok {
			return c.done(id, false)
		}
		var store func(context.Context) error
		return c.run(id, nil, func() { store = b.SetToken(config.Cloud, token) }, func(ctx context.Context) []byte {
			err := store(context.WithoutCancel(ctx)) // a client that leaves has logged in all the same
			if err != nil {
				c.s.Log.Warn("token not stored", "err", err)
			}
			switch {
			case id == "":
				return nil
			case err != nil:
				return c.failure(id, &broker.Error{Code: storageUnavailable, Text: "the token cannot be stored"})
			}
			return reply(id, "result", true)
		})
	case "GET_CONNECTION_STATUS":
		st := c.s.Broker.Status()
		return c.answer(reply(id, "status", struct {
			Local broker.Status `json:"local_ollama"`
			Cloud broker.Status `json:"cloud_proxy"`
		}{st[config.Local], st[config.Cloud]}))
	case "PROXY_REQUEST":
		return c.proxy(id, m)
	case "QUIT":
		if c.v1.Load() && b.V1QuitExits() {
			b.Shutdown()
		}
		return false
	}
	if c.v1.Load() {
		c.s.Log.Debug("unknown command")
		return true
	}
	return c.handleNew(command, id, m)
}

// handleNew carries out what only clients with HELLO know.
func (c *client) handleNew(command, id string, m message) bool {
	b := c.s.Backend
	switch command {
	case "PROXY_STREAM":
		return c.proxyStream(id, m)
	case "CANCEL":
		c.mu.Lock()
		stop := c.running[id]
		c.mu.Unlock()
		if stop != nil {
			stop(&broker.Error{Code: broker.Cancelled, Text: "cancelled"})
		}
		return true
	case "GET_SETTINGS":
		rev, doc, err := b.Settings()
		if err != nil {
			return c.answer(c.failure(id, err))
		}
		return c.answer(reply(id, "result", map[string]any{"revision": rev, "settings": doc}))
	case "SET_SETTINGS":
		rev, ok := m.number("revision")
		if _, has := m["revision"]; !ok || !has || rev < 0 || m["settings"] == nil {
			return c.answer(c.failure(id, errors.New("revision and settings are needed")))
		}
		patch := bytes.Clone(m["settings"])
		return c.later(id, func(context.Context) []byte {
			now, err := b.Patch(uint64(rev), patch)
			if errors.Is(err, config.ErrConflict) {
				return c.failure(id, &broker.Error{Code: conflict, Text: err.Error()})
			}
			if err != nil {
				return c.failure(id, err)
			}
			return reply(id, "result", map[string]any{"revision": now})
		})
	case "SUBSCRIBE":
		return c.subscribe(id, m)
	case "TEST_CONNECTION":
		name, ok := m.text("connection", "")
		if !ok || !slices.Contains(config.Names[:], name) {
			return c.answer(c.failure(id, errors.New("unknown connection")))
		}
		return c.later(id, func(ctx context.Context) []byte {
			begin := time.Now()
			st := c.s.Broker.Check(ctx, name)
			return reply(id, "result", map[string]any{"state": st.State, "latency_ms": time.Since(begin).Milliseconds(), "version": st.Version, "error_message": st.Error})
		})
	case "GET_DAEMON_STATUS":
		return c.answer(reply(id, "result", b.DaemonStatus()))
	case "OPEN_SETTINGS":
		url, err := b.OpenSettings()
		if err != nil {
			return c.answer(c.failure(id, err))
		}
		return c.answer(reply(id, "result", map[string]any{"url": url}))
	case "ROTATE_HTTP_KEY":
		path, err := b.RotateKey()
		if err != nil {
			return c.answer(c.failure(id, &broker.Error{Code: storageUnavailable, Text: err.Error()}))
		}
		return c.answer(reply(id, "result", map[string]any{"path": path}))
	case "SHUTDOWN":
		ok := c.answer(reply(id, "result", true))
		b.Shutdown()
		return ok
	}
	return c.answer(c.failure(id, &broker.Error{Code: unknownCommand, Text: "unknown command"}))
}

// done answers a command that the original never answered: only when asked by id.
func (c *client) done(id string, ok bool) bool {
	switch {
	case id == "":
		return true
	case !ok:
		return c.answer(c.failure(id, errors.New("a field has the wrong type")))
	}
	return c.answer(reply(id, "result", true))
}

func (c *client) subscribe(id string, m message) bool {
	var topics []string
	if json.Unmarshal(m["topics"], &topics) != nil {
		return c.answer(c.failure(id, errors.New("topics must be a list of names")))
	}
	snapshot := map[string]any{}
	set := map[string]bool{}
	for _, t := range topics {
		switch t {
		case "connections":
			snapshot[t] = c.s.Broker.Status()
		case "settings":
			rev, doc, err := c.s.Backend.Settings()
			if err != nil {
				return c.answer(c.failure(id, err))
			}
			snapshot[t] = map[string]any{"revision": rev, "settings": doc}
		case "tray":
			snapshot[t] = c.s.Backend.TrayStatus()
		default:
			return c.answer(c.failure(id, fmt.Errorf("unknown topic: %q", t)))
		}
		set[t] = true
	}
	c.s.mu.Lock()
	topicsNow := maps.Clone(c.topics)
	if topicsNow == nil {
		topicsNow = map[string]bool{}
	}
	maps.Copy(topicsNow, set)
	c.topics = topicsNow
	c.s.mu.Unlock()
	return c.answer(reply(id, "result", snapshot))
}

// slot takes one of the client's places for calls under way. A client with
// HELLO is told when there is none; one without waits, as it always had to.
func (c *client) slot(id string) (ok, goOn bool) {
	if c.slots == nil {
		c.slots = make(chan struct{}, MaxCalls)
	}
	select {
	case c.slots <- struct{}{}:
		return true, true
	default:
	}
	if !c.v1.Load() {
		return false, c.answer(c.failure(id, &broker.Error{Code: busy, Text: fmt.Sprintf("more than %d requests at once", MaxCalls)}))
	}
	select {
	case c.slots <- struct{}{}:
		return true, true
	case <-c.ctx.Done():
		return false, false
	}
}

// later runs f beside the reader and sends what it returns. The id is taken for
// as long, so that CANCEL finds it and nobody uses it twice.
func (c *client) later(id string, f func(context.Context) []byte) bool {
	return c.run(id, nil, nil, f)
}

// run does the same in full: before is called by the reader itself, so that
// what it does keeps the order of the lines; after delays the answer.
func (c *client) run(id string, after <-chan struct{}, before func(), f func(context.Context) []byte) bool {
	ok, goOn := c.slot(id)
	if !ok {
		return goOn
	}
	ctx, cancel := context.WithCancelCause(c.ctx)
	if id != "" {
		c.mu.Lock()
		if c.running[id] != nil {
			c.mu.Unlock()
			cancel(nil)
			<-c.slots
			return c.answer(c.failure(id, &broker.Error{Code: duplicateID, Text: "this id is in use"}))
		}
		if c.running == nil {
			c.running = map[string]context.CancelCauseFunc{}
		}
		c.running[id] = cancel
		c.mu.Unlock()
	}
	if before != nil {
		before()
	}
	c.calls.Add(1)
	slots := c.slots
	var turn chan struct{}
	if after != nil {
		turn = make(chan struct{})
		c.tail = turn
	}
	go func() {
		defer c.calls.Add(-1)
		defer func() { <-slots }()
		defer cancel(nil)
		if turn != nil {
			defer close(turn)
		}
		line := c.guarded(ctx, id, f)
		if id != "" {
			c.mu.Lock()
			delete(c.running, id)
			c.mu.Unlock()
		}
		if after != nil {
			<-after // its predecessor ends with the connection at the latest
		}
		if line != nil {
			c.last(line)
		}
	}()
	return true
}

// guarded answers for a call that panics.
func (c *client) guarded(ctx context.Context, id string, f func(context.Context) []byte) (line []byte) {
	line = c.failure(id, &broker.Error{Code: internal, Text: "internal error"})
	defer c.s.catch("call")
	return f(ctx)
}

// last sends a terminal message, also while the daemon is ending.
func (c *client) last(line []byte) {
	if c.stop.Load() {
		c.out.push(line)
		return
	}
	if _, err := c.out.send(c.ctx, line); err != nil && errors.Is(err, broker.ErrShuttingDown) {
		c.out.push(line)
	}
}

var closedAlready = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// call reads a proxy request's fields.
func (c *client) call(m message) (*broker.Call, error) {
	method, ok1 := m.text("method", http.MethodGet)
	path, ok2 := m.text("path", "/")
	via, ok3 := m.text("connection", "")
	if !ok1 || !ok2 || !ok3 {
		return nil, errors.New("method, path and connection must be strings")
	}
	if c.v1.Load() {
		via = ""
	}
	call := &broker.Call{Method: method, Path: path, Connection: via, Header: http.Header{}, Size: -1}
	if data := m["data"]; len(data) > 0 && string(data) != "null" && method != http.MethodGet && method != http.MethodHead {
		call.Body = bytes.NewReader(bytes.Clone(data))
		call.Size = int64(len(data))
		call.Header.Set("Content-Type", "application/json")
	}
	return call, nil
}

func (c *client) proxy(id string, m message) bool {
	call, err := c.call(m)
	if err != nil {
		return c.answer(c.failure(id, err))
	}
	limit := c.limit(call)
	if !c.v1.Load() {
		ms, ok := m.number("timeout_ms")
		if !ok || ms < 0 || ms > 24*3600*1000 {
			return c.answer(c.failure(id, errors.New("timeout_ms must be a number of milliseconds, a day at most")))
		}
		if ms > 0 {
			limit = time.Duration(ms) * time.Millisecond
		}
	}
	after := c.tail
	if !c.v1.Load() {
		after = nil
	} else if after == nil {
		after = closedAlready
	}
	return c.run(id, after, nil, func(ctx context.Context) []byte {
		ctx, cancel := context.WithTimeoutCause(ctx, limit, &broker.Error{Code: broker.Timeout, Text: "request timed out after " + seconds(limit, c.s.Second)})
		defer cancel()
		a, err := c.s.Broker.Do(ctx, call)
		if err != nil {
			return c.failure(id, err)
		}
		result, err := broker.Collect(a, call.Path)
		if err != nil {
			return c.failure(id, err)
		}
		if c.v1.Load() {
			return reply("", "result", result)
		}
		return reply(id, "result", result, "connection", a.Connection)
	})
}

// limit is the connection's timeout: 30 s unless its entry says otherwise.
func (c *client) limit(call *broker.Call) time.Duration {
	second := c.s.Second
	if second == 0 {
		second = time.Second
	}
	longest := 0
	for _, name := range config.Names {
		conf := c.s.Backend.Connection(name)
		if conf.Enabled && (call.Connection == "" || call.Connection == config.Auto || call.Connection == name) {
			longest = max(longest, conf.Timeout)
		}
	}
	if longest == 0 {
		longest = 30
	}
	return time.Duration(longest) * second
}

func seconds(d, second time.Duration) string {
	if second == 0 {
		second = time.Second
	}
	if d < second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%g s", float64(d)/float64(second))
}
