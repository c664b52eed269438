// Package gitd is a git server for twins: ssh and smart HTTP on loopback, in this process, over bare repositories in a
// folder. The git program itself speaks the protocol, so what a client meets is the real thing; accounts, rules and
// faults are ours.
//
//	s, err := gitd.Start(ctx, gitd.Options{Dir: dir, Accounts: []gitd.Account{{Name: "o", Keys: keys, Token: "t"}}})
//	defer s.Close()
//	s.SSHURL("git", "o/r") // ssh://git@127.0.0.1:PORT/o/r.git
//	s.HTTPURL("o/r")       // http://127.0.0.1:PORT/o/r.git
//
// The order of a push: Options.Arrived, a planned fault, Options.Before, git takes the objects, Options.Update for each
// ref, the refs change, Options.Updated, Options.Handled, the client is told. Reading needs no account over HTTP unless
// Before says [ErrAuth]; over ssh every session has one.
//
// A plan of faults ([ParseFaults]) makes chosen operations go wrong; [Server.History] keeps every state of a repository's
// refs that was ever observable.
//
// # What it rests on
//
// The wire: gitprotocol-pack(5), gitprotocol-http(5), gitprotocol-common(5), RFC 4254 sections 6.5 and 6.10. Hooks:
// githooks(5), "update" and "reference-transaction" (git 2.28 and later). Measured with git 2.39.5: the objects of a push
// are out of quarantine when the update hook is asked, so what a declined push brought stays in the repository without a
// ref, as it does on servers that judge in that hook.
package gitd

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/storer"
	"golang.org/x/crypto/ssh"

	"github.com/imrightguy/slipway/phases/internal/twins/github"
)

// ErrAuth is for Options.Before: the operation needs an account. Over HTTP it becomes status 401.
var ErrAuth = errors.New("authentication required")

// The services a session may ask for.
const (
	ReceivePack = "receive-pack" // a push
	UploadPack  = "upload-pack"  // a clone, a fetch, a listing of refs
)

// Options say what a Server serves and how it behaves. Functions are called by many at once and may use the server, but
// not Close it.
type Options struct {
	Dir      string // repositories are Dir/PATH.git, PATH like "owner/name" or "name"
	Accounts []Account
	// Branch is what HEAD names in repositories that Session.Create makes; "master" when empty.
	Branch string
	// Shell is what an ssh session without a command reads before it ends with status 1.
	Shell string
	// Before is asked before git starts. The text of its error goes to the client and nothing else happens: over ssh to
	// stderr with exit status 1, over HTTP as the body of status 403.
	Before func(s *Session) error
	// Update is asked for each ref that a push would change, when the new objects are readable. An error declines that
	// ref; its text goes to the client's sideband.
	Update func(ctx context.Context, u *Update) error
	// Updated is told what a push has changed, before the client is. Store and Messages are nil.
	Updated func(s *Session, us []Update)
	// Command takes other ssh commands than git's; argv is never empty.
	Command func(s *Session, argv []string, stdout, stderr io.Writer) (status int, handled bool)
	Faults  []Fault
	// Arrived is called with each operation before anything is done, Handled when it is done and the client is not told
	// yet. Over HTTP an operation begins with the listing of refs; Handled is called at the end of each request.
	Arrived, Handled func(Event)
	// Clock is the system's when nil. Faults and the history use it.
	Clock github.Clock
}

// An Account is somebody who may come in.
type Account struct {
	Name  string
	Keys  []ssh.PublicKey // for ssh
	Token string          // the password for HTTP, with any user name; empty: none
}

// A Session is one operation of a client.
type Session struct {
	Account    string // who it is; empty over HTTP without credentials
	User       string // the user name of the ssh connection or of the HTTP credentials
	Path       string // the repository as the client wrote it
	Repository string // PATH of Dir/PATH.git; empty when Path is no name that can be served
	Service    string // ReceivePack or UploadPack, empty for another command
	Protocol   string // "ssh" or "http"
	Exists     bool   // the repository is there
	// Create makes the repository when it is missing.
	Create func() error
}

// An Update is one ref that a push changes.
type Update struct {
	Repository, Account, Ref string
	Old, New                 string        // 40 hex digits; all zero: no such ref before, or after
	Store                    storer.Storer // the repository with the new objects, freshly opened
	Messages                 io.Writer     // lines for the client's sideband
}

// An Event is one operation of a client in the server's log.
type Event struct {
	Seq                                          int // from 1, in order of arrival
	Account, Path, Repository, Service, Protocol string
	Fault                                        string   // the planned fault that was chosen for it
	Updates                                      []Update // what it has changed so far
	Time                                         time.Time
}

// A Server is a running git server. Its methods may be called at any time by many.
type Server struct {
	o     Options
	clock github.Clock
	git   *program
	hooks string // folder of the hook scripts
	keys  keyring

	ssh, web net.Listener
	http     *http.Server
	ctx      context.Context
	stop     context.CancelFunc
	wg       sync.WaitGroup
	closing  sync.Once
	closed   chan struct{}
	closeErr error

	mu      sync.Mutex
	ending  bool
	conns   map[net.Conn]struct{}
	faults  []*armed
	waiting map[string]*strike // faults of HTTP operations between two requests
	events  int
	repos   map[string]*repository
}

// Start makes a server and lets it listen on loopback until ctx ends or [Server.Close] is called.
func Start(ctx context.Context, o Options) (*Server, error) {
	git, err := findGit()
	if err != nil {
		return nil, err
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, fmt.Errorf("cannot serve %s: %w", o.Dir, err)
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot serve %s: %w", o.Dir, err)
	}
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	s := &Server{
		o: o, clock: o.Clock, git: git, closed: make(chan struct{}),
		conns: map[net.Conn]struct{}{}, waiting: map[string]*strike{}, repos: map[string]*repository{},
	}
	if err := s.SetFaults(o.Faults); err != nil {
		return nil, err
	}
	if err := s.keys.fill(); err != nil {
		return nil, err
	}
	if s.hooks, err = writeHooks(ctx); err != nil {
		return nil, err
	}
	s.ctx, s.stop = context.WithCancel(ctx)
	if err := s.listen(); err != nil {
		s.Close()
		return nil, err
	}
	context.AfterFunc(ctx, func() { s.Close() })
	return s, nil
}

func (s *Server) listen() error {
	var lc net.ListenConfig
	for _, l := range []*net.Listener{&s.ssh, &s.web} {
		var err error
		if *l, err = lc.Listen(s.ctx, "tcp", "127.0.0.1:0"); err != nil {
			return fmt.Errorf("cannot serve git: %w", err)
		}
	}
	s.http = &http.Server{
		Handler: http.HandlerFunc(s.serveHTTP), ReadHeaderTimeout: time.Minute,
		BaseContext: func(net.Listener) context.Context { return s.ctx }, ErrorLog: discardLog(),
	}
	s.wg.Go(func() { _ = s.http.Serve(s.web) })
	s.wg.Go(s.acceptSSH)
	return nil
}

// Close ends the listeners, every connection and every git process and waits for them. The repositories stay. It may be
// called more than once.
func (s *Server) Close() error {
	s.closing.Do(func() {
		s.stop()
		s.mu.Lock()
		s.ending = true
		s.mu.Unlock()
		if s.http != nil {
			s.closeErr = s.http.Close()
		}
		for _, l := range []net.Listener{s.ssh, s.web} {
			if l != nil {
				l.Close()
			}
		}
		s.mu.Lock()
		for c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
		if err := os.RemoveAll(s.hooks); err != nil {
			s.closeErr = errors.Join(s.closeErr, err)
		}
		close(s.closed)
	})
	<-s.closed
	return s.closeErr
}

// begin counts something that Close waits for; false when the server is closing.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return false
	}
	s.wg.Add(1)
	return true
}

// SSHURL is the address of a repository over ssh; user is what the twin's hosts call theirs, "git" or "aur".
func (s *Server) SSHURL(user, path string) string {
	return "ssh://" + user + "@" + s.ssh.Addr().String() + "/" + path + suffix
}

// HTTPURL is the address of a repository over HTTP.
func (s *Server) HTTPURL(path string) string {
	return "http://" + s.web.Addr().String() + "/" + path + suffix
}

// SSHAddr is where ssh listens, as "127.0.0.1:PORT".
func (s *Server) SSHAddr() string { return s.ssh.Addr().String() }

// byKey finds the account with a key.
func (s *Server) byKey(key ssh.PublicKey) (string, bool) {
	raw := key.Marshal()
	for _, a := range s.o.Accounts {
		for _, k := range a.Keys {
			if subtle.ConstantTimeCompare(k.Marshal(), raw) == 1 {
				return a.Name, true
			}
		}
	}
	return "", false
}

// byToken finds the account with a token.
func (s *Server) byToken(token string) (string, bool) {
	for _, a := range s.o.Accounts {
		if a.Token != "" && subtle.ConstantTimeCompare([]byte(a.Token), []byte(token)) == 1 {
			return a.Name, true
		}
	}
	return "", false
}

// arrive begins an event.
func (s *Server) arrive(op *operation) {
	s.mu.Lock()
	s.events++
	op.seq, op.began = s.events, s.clock.Now()
	s.mu.Unlock()
	if s.o.Arrived != nil {
		s.o.Arrived(op.event())
	}
}

// handle ends it.
func (s *Server) handle(op *operation) {
	if s.o.Handled != nil {
		s.o.Handled(op.event())
	}
}

func (op *operation) event() Event {
	e := Event{
		Seq: op.seq, Account: op.session.Account, Path: op.session.Path, Repository: op.session.Repository,
		Service: op.session.Service, Protocol: op.session.Protocol, Time: op.began,
	}
	if op.fault != nil {
		e.Fault = op.fault.String()
	}
	op.mu.Lock()
	e.Updates = slices.Clone(op.changed)
	op.mu.Unlock()
	return e
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
