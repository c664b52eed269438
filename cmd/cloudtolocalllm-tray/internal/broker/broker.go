// Package broker makes the calls: it knows the connections there are, keeps an
// eye on each, and sends every call over the best one.
//
// A call goes to the first usable connection in the order the settings give.
// When that one fails before it has answered anything, the call goes to the
// next; after the first byte it never does. Nothing in a call can change the
// host it goes to, and a token goes to its own connection alone.
package broker

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/config"
)

// The states of a connection, in the protocol's words.
const (
	Disconnected = "disconnected"
	Connecting   = "connecting"
	Connected    = "connected"
	Failed       = "error"
)

// Status is what is known of one connection.
type Status struct {
	State     string   `json:"state"`
	LastCheck float64  `json:"last_check"`
	Error     string   `json:"error_message"`
	Version   string   `json:"version"`
	Models    []string `json:"models"`
}

// The codes of an Error.
const (
	BadRequest     = "bad_request"
	TooLarge       = "too_large"
	Timeout        = "timeout"
	NoConnection   = "no_connection"
	UpstreamStatus = "upstream_status"
	UpstreamLost   = "upstream_lost"
	Cancelled      = "cancelled"
	ShuttingDown   = "shutting_down"
)

// Error is a failed call, in words for a person and a code for a program.
type Error struct {
	Code   string
	Text   string
	Status int
}

func (e *Error) Error() string { return e.Text }

// ErrShuttingDown is the cause of calls that end because the daemon ends.
var ErrShuttingDown error = &Error{Code: ShuttingDown, Text: "the daemon is shutting down"}

// Pace is how often and how long; tests run on a faster one.
type Pace struct {
	CheckLimit   time.Duration // one health check
	RetryFirst   time.Duration // the first wait after a failed check
	RetryMost    time.Duration // the longest
	TagsEvery    time.Duration // how often models are listed while all is well
	Second       time.Duration // what a second of the settings lasts
	DialLimit    time.Duration
	FirstRoundIn time.Duration // how long a call waits for the very first check
}

// RealPace is the pace of the real world.
var RealPace = Pace{
	CheckLimit: 5 * time.Second, RetryFirst: time.Second, RetryMost: time.Minute, TagsEvery: time.Minute,
	Second: time.Second, DialLimit: 5 * time.Second, FirstRoundIn: 6 * time.Second,
}

// Tokens is where tokens come from.
type Tokens interface {
	Token(name string) (token string, known bool)
}

// Broker holds the connections.
type Broker struct {
	log    *slog.Logger
	pace   Pace
	tokens Tokens
	now    func() time.Time

	// OnIdle is called when the last stream has ended. It must not block.
	OnIdle func()

	mu        sync.Mutex
	set       config.Settings
	upstreams map[string]*upstream
	listeners []func(name string, was, is Status)
	streams   int
	total     uint64

	tell sync.Mutex // keeps the listeners' calls in the order of the changes
}

// upstream is one connection and the client for it. A change of its settings
// replaces client, base and generation; what an older generation still reports is dropped.
type upstream struct {
	name       string
	conf       config.Connection
	base       *url.URL
	client     *http.Client
	generation int
	status     Status
	tagsAt     time.Time
	flight     *flight
	wake       chan struct{}
}

// flight is a health check under way; whoever wants one meanwhile waits for it.
type flight struct {
	generation int
	cancel     context.CancelFunc
	done       chan struct{}
}

// New makes a broker with these settings. Run starts the health checks.
func New(snap config.Snapshot, tokens Tokens, pace Pace, log *slog.Logger) *Broker {
	b := &Broker{log: log, pace: pace, tokens: tokens, now: time.Now, upstreams: map[string]*upstream{}}
	for _, name := range config.Names {
		b.upstreams[name] = &upstream{name: name, wake: make(chan struct{}, 1), status: Status{State: Disconnected, Models: []string{}}}
	}
	b.Configure(snap)
	return b
}

// Listen calls f after each change of a status (other than last_check alone), in order. f must not block.
func (b *Broker) Listen(f func(name string, was, is Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listeners = append(b.listeners, f)
}

// Configure takes new settings. Connections that changed are checked at once.
func (b *Broker) Configure(snap config.Snapshot) {
	b.mu.Lock()
	b.set = snap.Settings
	var changed []string
	for _, name := range config.Names {
		u, conf := b.upstreams[name], snap.Connections[name]
		if u.base != nil && reflect.DeepEqual(u.conf, conf) {
			continue
		}
		base, err := config.Endpoint(conf.BaseURL)
		if err != nil { // the store has checked it
			b.log.Error("bad base URL", "connection", name, "err", err)
			continue
		}
		u.conf, u.base = conf, base
		if u.client != nil {
			u.client.CloseIdleConnections()
			u.client = nil
		}
		b.renewLocked(u)
		changed = append(changed, name)
	}
	b.mu.Unlock()
	for _, name := range changed {
		b.reset(name)
	}
}

// TokenChanged checks a connection again because its token is another.
func (b *Broker) TokenChanged(name string) {
	b.mu.Lock()
	if u := b.upstreams[name]; u != nil {
		b.renewLocked(u)
	}
	b.mu.Unlock()
	b.reset(name)
}

func (b *Broker) renewLocked(u *upstream) {
	u.generation++
	u.tagsAt = time.Time{}
	if u.flight != nil {
		u.flight.cancel()
		u.flight = nil
	}
}

// reset forgets what was known and wakes the health check.
func (b *Broker) reset(name string) {
	b.update(name, 0, func(u *upstream) {
		s := Status{State: Disconnected, Models: []string{}}
		if u.conf.Enabled {
			s.State = Connecting
		}
		u.status = s
	})
	b.Wake(name)
}

// Wake has a connection checked now.
func (b *Broker) Wake(name string) {
	b.mu.Lock()
	u := b.upstreams[name]
	b.mu.Unlock()
	if u == nil {
		return
	}
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// update changes one status and tells the listeners. A generation other than 0
// must still be the connection's.
func (b *Broker) update(name string, generation int, f func(*upstream)) {
	b.tell.Lock()
	defer b.tell.Unlock()
	b.mu.Lock()
	u := b.upstreams[name]
	if generation != 0 && u.generation != generation {
		b.mu.Unlock()
		return
	}
	was := u.status
	f(u)
	if u.status.Models == nil {
		u.status.Models = []string{}
	}
	is := u.status
	fs := b.listeners
	b.mu.Unlock()
	if was.State == is.State && was.Error == is.Error && was.Version == is.Version && slices.Equal(was.Models, is.Models) {
		return
	}
	if was.State != is.State {
		b.log.Info("connection", "name", name, "state", is.State, "was", was.State, "reason", is.Error)
	}
	for _, l := range fs {
		l(name, was, is)
	}
}

// Status returns what is known of every connection.
func (b *Broker) Status() map[string]Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := map[string]Status{}
	for name, u := range b.upstreams {
		m[name] = u.status
	}
	return m
}

// Summary is the state of everything: connected when a call would find a
// connection, error when an enabled one fails and none works, else idle; and
// the connection that would be taken.
func (b *Broker) Summary() (state, best string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	state = "idle"
	for _, name := range order(b.set.Broker.Mode) {
		u := b.upstreams[name]
		if !u.conf.Enabled {
			continue
		}
		switch u.status.State {
		case Connected:
			return "connected", name
		case Failed:
			state = "error"
		case Disconnected:
			if u.status.Error != noToken && u.status.LastCheck != 0 {
				state = "error"
			}
		}
	}
	return state, ""
}

// Streams returns how many answers are being read now, and the calls so far.
func (b *Broker) Streams() (now int, total uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.streams, b.total
}

func order(mode string) []string {
	switch mode {
	case config.LocalOnly:
		return []string{config.Local}
	case config.CloudOnly:
		return []string{config.Cloud}
	case config.PreferCloud:
		return []string{config.Cloud, config.Local}
	}
	return []string{config.Local, config.Cloud}
}

// candidates lists the connections a call may use, best first. When none is
// known to work, those allowed are checked now, so that an Ollama started a
// moment ago is found.
func (b *Broker) candidates(ctx context.Context, want string) ([]*upstream, error) {
	b.mu.Lock()
	names := order(b.set.Broker.Mode)
	b.mu.Unlock()
	if want != "" && want != config.Auto {
		if !slices.Contains(config.Names[:], want) {
			return nil, &Error{Code: BadRequest, Text: "unknown connection"}
		}
		if !slices.Contains(names, want) {
			return nil, &Error{Code: NoConnection, Text: "the settings do not allow this connection"}
		}
		names = []string{want}
	}
	if us := b.usable(names); len(us) > 0 {
		return us, nil
	}
	var wait sync.WaitGroup
	ctx, cancel := context.WithTimeout(ctx, b.pace.FirstRoundIn)
	defer cancel()
	for _, name := range names {
		wait.Go(func() {
			if b.Check(ctx, name).State == Connected {
				cancel() // one is enough; the other check goes on by itself
			}
		})
	}
	wait.Wait()
	if us := b.usable(names); len(us) > 0 {
		return us, nil
	}
	return nil, &Error{Code: NoConnection, Text: "No available connections"}
}

func (b *Broker) usable(names []string) (us []*upstream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range names {
		if u := b.upstreams[name]; u.conf.Enabled && u.status.State == Connected {
			us = append(us, u)
		}
	}
	return us
}

// ended turns the end of a context into the Error its cause stands for.
func ended(ctx context.Context) *Error {
	if e, ok := errors.AsType[*Error](context.Cause(ctx)); ok {
		return e
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &Error{Code: Timeout, Text: "request timed out"}
	}
	return &Error{Code: Cancelled, Text: "cancelled"}
}
