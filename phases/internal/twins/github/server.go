// Package github is a stand-in for GitHub: a server with real state and real
// bytes that answers as api.github.com, uploads.github.com, github.com and the
// host of release downloads do. Rehearsals publish to it, and tests.
//
// What it holds is the truth of its own: an asset's size and digest are
// computed from the bytes that arrived, drafts are hidden from those who may
// not push, publishing makes the missing tag, an immutable release burns its
// tag name. State lives in memory, asset bytes in files of one folder.
//
//	s, err := github.Start(ctx, github.Options{
//		Dir:          dir,
//		Repositories: []github.Repository{{Owner: "o", Name: "r"}},
//		Tokens:       []github.Token{{Value: "t", Login: "o", Rights: github.Maintainer()}},
//	})
//	defer s.Close()
//	client.BaseURL, client.UploadURL = s.URL(), s.UploadURL()
//
// or, with Options.Public, a client that knows production's URLs alone and s.Transport() under it.
//
// A plan of faults ([ParseFaults]) makes chosen requests go wrong the way they
// do in life. [Server.History] keeps every state that was ever observable, and
// [Server.Export] writes what is held to a folder.
//
// # What it rests on
//
// Shapes and statuses come from GitHub's OpenAPI description (npm package
// @octokit/openapi 23.0.2); package apicheck validates every exchange of the
// tests against it. Recorded exchanges (@octokit/fixtures 23.1.2) are replayed
// in a test. Behaviour that neither shows, and that was taken from public
// issue threads or from memory, is marked "unconfirmed" where it is coded.
package github

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A Clock tells the time and lets time pass. Tests give one that jumps.
type Clock interface {
	// Now is the time that answers carry and that limits are measured with.
	Now() time.Time
	// Sleep returns after d, or earlier with ctx's error. Faults use it.
	Sleep(ctx context.Context, d time.Duration) error
}

// Options say what a [Server] holds and how it behaves.
type Options struct {
	// Dir is the folder for asset bytes. It is made when missing; what
	// [Server.Close] leaves in it are the assets that were not deleted.
	Dir string
	// Clock is the system's when nil.
	Clock        Clock
	Repositories []Repository
	Tokens       []Token
	Faults       []Fault
	Limits       Limits
	// DirectDownloads answers a download by asset id with the bytes, status
	// 200, in place of a redirect to another host. GitHub may do either.
	DirectDownloads bool
	// Public makes answers name GitHub's own URLs, such as https://api.github.com/, in place of those the server listens
	// on. Clients reach them by [Server.Transport].
	Public bool
	// Enterprise is the name of a GitHub Enterprise server, which answers then name as Public does github.com.
	Enterprise string
	// Arrived, when set, is called with each request before anything is done,
	// by many at once. It may use the server.
	Arrived func(Request)
	// Handled, when set, is called when a request has had its effect and
	// before the first byte of the answer leaves. The status is known.
	Handled func(Request)
}

// A Repository is what a server holds at the start.
type Repository struct {
	Owner, Name string
	// DefaultBranch is "main" when empty.
	DefaultBranch string
	Private       bool
	// Refs is the git side; a [Memory] with one commit when nil.
	Refs Refs
	// Immutable is the repository's setting "immutable releases",
	// ImmutableByOwner the organisation's, which the repository cannot undo.
	Immutable, ImmutableByOwner bool
	// WorkflowRule makes a release whose target changes .github/workflows
	// against the default branch need the workflows right.
	WorkflowRule bool
	Workflows    []Workflow
}

// host is one of the names that GitHub serves under.
type host string

// The four hosts. In a fault's pattern they stand before the path: "uploads:/**".
const (
	hostAPI       host = "api"       // api.github.com
	hostUploads   host = "uploads"   // uploads.github.com
	hostWeb       host = "web"       // github.com and codeload.github.com
	hostDownloads host = "downloads" // release-assets.githubusercontent.com
)

var hosts = []host{hostAPI, hostUploads, hostWeb, hostDownloads}

// A Server is a running twin. Its methods may be called at any time by many.
type Server struct {
	options Options
	clock   Clock
	urls    map[host]string
	servers []*http.Server
	secret  [32]byte
	serving sync.WaitGroup
	close   func() error
	carrier *http.Transport // of Transport
	// busy is held for reading by each request, so that Close can wait.
	busy sync.RWMutex

	mu       sync.Mutex // guards everything below
	repos    []*repository
	tokens   []*Token
	limits   *limiter
	faults   []*armed
	requests []Request
	lastID   int64
}

// Start makes a server and lets it listen on loopback until ctx ends or
// [Server.Close] is called.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Dir == "" {
		return nil, errors.New("cannot start the GitHub twin: no folder for assets")
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "assets"), 0o755); err != nil {
		return nil, fmt.Errorf("cannot start the GitHub twin: %w", err)
	}
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	s := &Server{options: o, clock: o.Clock, urls: map[host]string{}, lastID: 999}
	s.limits = newLimiter(o.Limits)
	s.carrier = wire()
	rand.Read(s.secret[:])
	for i := range o.Tokens {
		t := o.Tokens[i]
		s.tokens = append(s.tokens, &t)
	}
	for _, r := range o.Repositories {
		if err := s.addRepository(r); err != nil {
			return nil, err
		}
	}
	if err := s.SetFaults(o.Faults); err != nil {
		return nil, err
	}
	if err := s.listen(ctx); err != nil {
		return nil, fmt.Errorf("cannot start the GitHub twin: %w", err)
	}
	return s, nil
}

// listen opens one listener for each host. Clients drop a token when a redirect
// leads to another host, and for Go's the port is no part of the host, so each
// has an address of its own in 127.0.0.0/8. macOS has 127.0.0.1 alone: there
// the downloads are "localhost", which is another name, and the rest share one.
func (s *Server) listen(ctx context.Context) error {
	routes := map[host]http.Handler{
		hostAPI: s.apiRoutes(), hostUploads: s.uploadRoutes(), hostWeb: s.webRoutes(), hostDownloads: s.downloadRoutes(),
	}
	var listeners []net.Listener
	var lc net.ListenConfig
	for i, h := range hosts {
		name := fmt.Sprintf("127.0.0.%d", i+1)
		l, err := lc.Listen(ctx, "tcp4", name+":0")
		if err != nil && i > 0 {
			name = "127.0.0.1"
			if h == hostDownloads {
				name = "localhost"
			}
			l, err = lc.Listen(ctx, "tcp4", "127.0.0.1:0")
		}
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
			return err
		}
		listeners = append(listeners, l)
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return err
		}
		s.urls[h] = "http://" + net.JoinHostPort(name, port)
	}
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	for i, h := range hosts {
		srv := &http.Server{
			Handler:           s.front(h, routes[h]),
			ReadHeaderTimeout: time.Minute,
			MaxHeaderBytes:    64 << 10,
			BaseContext:       func(net.Listener) context.Context { return base },
			ErrorLog:          log.New(io.Discard, "", 0),
		}
		s.servers = append(s.servers, srv)
		s.serving.Go(func() { _ = srv.Serve(listeners[i]) }) // ends with ErrServerClosed
	}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	s.close = sync.OnceValue(func() error {
		stop()
		cancel()
		s.carrier.CloseIdleConnections()
		var errs []error
		for _, srv := range s.servers {
			errs = append(errs, srv.Close())
		}
		s.serving.Wait()
		s.busy.Lock() // requests under way have lost their connection
		defer s.busy.Unlock()
		return errors.Join(errs...)
	})
	return nil
}

// Close ends the listeners and every open connection and waits for the requests
// under way. Asset bytes stay in the folder. It may be called more than once,
// but not by a hook of [Options].
func (s *Server) Close() error { return s.close() }

// URL is the base of the API, with a slash at its end.
func (s *Server) URL() string { return s.urls[hostAPI] + "/" }

// UploadURL is the base for uploads, with a slash at its end.
func (s *Server) UploadURL() string { return s.urls[hostUploads] + "/" }

// WebURL is the base of what stands for github.com, with a slash at its end.
func (s *Server) WebURL() string { return s.urls[hostWeb] + "/" }

// DownloadURL is the base of the host that downloads are redirected to, with a
// slash at its end.
func (s *Server) DownloadURL() string { return s.urls[hostDownloads] + "/" }

// nextID gives numbers that are never used twice, whatever is deleted.
func (s *Server) nextID() int64 { s.lastID++; return s.lastID }

// now has whole seconds, as GitHub's times have.
func (s *Server) now() time.Time { return s.clock.Now().UTC().Truncate(time.Second) }

// find is case-insensitive, as GitHub is about owners and repositories.
func (s *Server) find(owner, name string) *repository {
	for _, r := range s.repos {
		if strings.EqualFold(r.Owner, owner) && strings.EqualFold(r.Name, name) {
			return r
		}
	}
	return nil
}

// systemClock is the default Clock.
type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
