// Package ipc speaks with clients: the original's JSON lines over loopback TCP,
// and the same with ids, streams, settings and subscriptions for those that say
// HELLO. A unix socket carries both.
//
// Each connection has one reader, and a writer only while something waits to be
// written. A client can hold up itself, never another: calls run beside each
// other, pushes never wait, and who does not read is dropped.
package ipc

import (
	"context"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/broker"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/config"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/peer"
)

// The protocol's limits.
const (
	Proto      = 1
	MaxClients = 2048
	MaxLine    = 1 << 20 // before HELLO, and for clients that never say it
	MaxFrame   = 8 << 20 // after HELLO
	MaxCalls   = 32      // under way for one client
	pushModels = 16 << 10
	crowd      = 16 // clients whose leaving is worth tidying up after
)

// Backend is what the protocol needs of the daemon around it. None of these may
// call back into the server while it waits for them.
type Backend interface {
	SetTooltip(text string)
	SetIcon(state string)
	SetAuth(authenticated bool)
	// SetToken takes a token at once, in the order of the calls, and returns
	// what stores it, which may take its time.
	SetToken(name, token string) (store func(context.Context) error)
	Settings() (revision uint64, doc map[string]any, err error)
	Patch(revision uint64, patch []byte) (uint64, error)
	Connection(name string) config.Connection
	V1QuitExits() bool
	AllowUnverified() bool
	DaemonStatus() map[string]any
	TrayStatus() map[string]any
	OpenSettings() (url string, err error)
	RotateKey() (path string, err error)
	ClientsChanged()
	Shutdown()
}

// Server holds the connections.
type Server struct {
	Backend Backend
	Broker  *broker.Broker
	Token   string // of HELLO, new at every start
	Version string
	PID     int
	Log     *slog.Logger

	WriteDeadline time.Duration                // 5 s when zero
	Same          func(net.Conn) (bool, error) // peer.Same when nil
	Second        time.Duration                // what a second of a timeout lasts
	Thinned       func()                       // called when more than half of a crowd has left; nil: nobody cares

	mu      sync.Mutex
	clients map[*client]struct{}
	most    int // clients at once, since Thinned was last called
	lns     []net.Listener
	closing bool
	done    sync.WaitGroup
	panics  atomic.Uint64

	said struct { // what was logged about peers, and when
		sync.Mutex
		at map[string]time.Time
	}
}

// warn logs what a peer did wrong, once a minute: nobody fills the log from outside.
func (s *Server) warn(msg string) {
	s.said.Lock()
	defer s.said.Unlock()
	if s.said.at == nil {
		s.said.at = map[string]time.Time{}
	}
	if time.Since(s.said.at[msg]) < time.Minute {
		return
	}
	s.said.at[msg] = time.Now()
	s.Log.Warn(msg)
}

// Serve accepts connections on ln until it is closed.
func (s *Server) Serve(ln net.Listener) {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		_ = ln.Close()
		return
	}
	s.lns = append(s.lns, ln)
	s.mu.Unlock()
	pause := 5 * time.Millisecond
	for {
		c, err := ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			s.Log.Warn("cannot accept a connection", "err", err) // out of descriptors, most likely
			time.Sleep(pause)
			pause = min(2*pause, time.Second)
			continue
		}
		pause = 5 * time.Millisecond
		s.accept(c)
	}
}

func (s *Server) accept(conn net.Conn) {
	s.mu.Lock()
	if s.closing || len(s.clients) >= MaxClients {
		full := !s.closing
		s.mu.Unlock()
		_ = conn.Close()
		if full {
			s.warn("too many clients: a connection was refused")
		}
		return
	}
	if s.clients == nil {
		s.clients = map[*client]struct{}{}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	c := &client{s: s, conn: conn, ctx: ctx, cancel: cancel}
	c.v1.Store(true)
	c.out = outbox{conn: conn, deadline: s.WriteDeadline, onFail: func() { cancel(errClosed) }}
	if c.out.deadline == 0 {
		c.out.deadline = 5 * time.Second
	}
	s.clients[c] = struct{}{}
	s.most = max(s.most, len(s.clients))
	s.done.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.done.Done()
		defer s.drop(c)
		defer s.catch("client")
		c.serve()
	}()
}

func (s *Server) drop(c *client) {
	s.mu.Lock()
	delete(s.clients, c)
	thinned := s.most >= crowd && len(s.clients) < s.most/2
	if thinned {
		s.most = len(s.clients)
	}
	served := c.served
	s.mu.Unlock()
	if thinned && s.Thinned != nil {
		s.Thinned()
	}
	if !c.stop.Load() { // else Close ends it, when the last words are out
		c.cancel(errClosed)
		c.out.fail()
	}
	if served {
		s.Backend.ClientsChanged()
	}
}

// catch keeps one client's bug from being everybody's.
func (s *Server) catch(where string) {
	if p := recover(); p != nil {
		s.panics.Add(1)
		s.Log.Error("panic caught", "in", where, "panic", p)
	}
}

// Panics counts what catch has caught.
func (s *Server) Panics() uint64 { return s.panics.Load() }

// Clients returns how many clients there are, and whether one of them is the app.
func (s *Server) Clients() (n int, app bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		if c.served {
			n++
			app = app || c.isApp() && c.settled
		}
	}
	return n, app
}

// Command sends one of the tray's commands to every client that may be the app,
// and returns how many there were.
func (s *Server) Command(name string) int {
	line := reply("", "command", name)
	n := 0
	for _, c := range s.all(func(c *client) bool { return c.isApp() }) {
		c.out.push(line)
		n++
	}
	return n
}

func (s *Server) all(which func(*client) bool) (cs []*client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		if c.served && which(c) {
			cs = append(cs, c)
		}
	}
	return cs
}

// ConnectionChanged tells clients of a change: those of the original's kind of
// a change of state alone, subscribers of every change.
func (s *Server) ConnectionChanged(name string, was, is broker.Status) {
	if was.State != is.State {
		models, left := is.Models, pushModels
		for i, m := range models { // the original's client loses a line that arrives in two pieces
			if left -= len(m) + 4; left < 0 {
				models = models[:i]
				break
			}
		}
		line := reply("", "command", "CONNECTION_STATUS_CHANGED", "connection_type", name, "status", struct {
			State   string   `json:"state"`
			Error   string   `json:"error_message"`
			Version string   `json:"version"`
			Models  []string `json:"models"`
		}{is.State, is.Error, is.Version, models})
		for _, c := range s.all(func(c *client) bool { return c.isApp() }) {
			c.out.push(line)
		}
	}
	s.Publish("connections", map[string]any{"connection": name, "status": is})
}

// Publish sends an event to those who subscribed to its topic.
func (s *Server) Publish(topic string, data any) {
	cs := s.all(func(c *client) bool { return c.topics[topic] })
	if len(cs) == 0 {
		return
	}
	line := reply("", "event", topic, "data", data)
	for _, c := range cs {
		c.out.push(line)
	}
}

// Close stops accepting, ends every call with shutting_down, and waits for what
// is still to be written, no longer than ctx allows.
func (s *Server) Close(ctx context.Context) {
	s.mu.Lock()
	s.closing = true
	for _, ln := range s.lns {
		_ = ln.Close()
	}
	cs := make([]*client, 0, len(s.clients))
	for c := range s.clients {
		cs = append(cs, c)
	}
	s.mu.Unlock()
	for _, c := range cs {
		c.stop.Store(true)
		c.cancel(broker.ErrShuttingDown)
		_ = c.conn.SetReadDeadline(time.Now())
	}
	for ctx.Err() == nil {
		waiting := false
		for _, c := range cs {
			waiting = waiting || c.calls.Load() > 0 || !c.out.empty()
		}
		if !waiting {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Millisecond):
		}
	}
	for _, c := range cs {
		c.out.fail()
	}
	idle := make(chan struct{})
	go func() { s.done.Wait(); close(idle) }()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// admit decides about a peer: our own user on this machine, told by the kernel.
func (s *Server) admit(conn net.Conn) (verified, ok bool) {
	same := s.Same
	if same == nil {
		same = peer.Same
	}
	yes, err := same(conn)
	if err == nil {
		return yes, yes
	}
	if _, isUnix := conn.(*net.UnixConn); isUnix || peer.Supported {
		return false, false // a system that tells has not told: a no
	}
	return false, true // HELLO with the token is the way in
}

func (s *Server) tokenOK(m message) bool {
	t, ok := m.text("token", "")
	return ok && subtle.ConstantTimeCompare([]byte(t), []byte(s.Token)) == 1 && s.Token != ""
}
