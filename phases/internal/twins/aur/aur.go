// Package aur is a stand-in for the Arch User Repository: its git server behind ssh with the rules of its door and of
// its update hook, its database, and the RPC over HTTP that shows it. Rehearsals publish to it, and tests.
//
//	s, err := aur.Start(ctx, aur.Options{Dir: dir, Accounts: []aur.Account{{Name: "releaser", Keys: keys}}})
//	defer s.Close()
//	s.SSHURL("name-bin")  // ssh://aur@127.0.0.1:PORT/name-bin.git, in place of ssh://aur@aur.archlinux.org/name-bin.git
//	s.KnownHosts()        // its three host keys
//	s.Transport()         // carries requests for https://aur.archlinux.org/
//
// The git program speaks the protocol (package gitd), so a refusal reaches a client as it does in life: on the sideband,
// with the server's own words. Version and Maintainer in the RPC come from what was pushed; nothing is said that was not
// done. A plan of faults ([ParseFaults]) makes chosen operations go wrong, [Server.History] keeps every state of master
// that was ever observable.
//
// # What it rests on
//
// Rules, their order and their texts are those of aurweb (aurweb/git/serve.py, auth.py, update.py, update_legacy.py,
// update_common.py; aurweb/rpc.py and routers/rpc.py), read in its sources of 2022 to 2026; the default parser behaves as
// python-srcinfo does. Nothing of it was copied, and nothing was tried against the real server: what the sources that
// could be read do not show is listed in CHECKLIST.md and marked "unconfirmed" where it is coded. The parser is on purpose
// not the one that the publishing side has, so that each keeps the other honest.
package aur

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
	"github.com/imrightguy/slipway/phases/internal/twins/github"
)

// Root is the AUR's own address, which [Server.Transport] stands for.
const Root = "https://aur.archlinux.org/"

// Options say what a [Server] holds and how it behaves. Functions are called by many at once and may use the server, but
// not Close it.
type Options struct {
	Dir      string // repositories are Dir/NAME.git; it is made when missing
	Accounts []Account
	// Parser is which of the server's two readers of .SRCINFO runs; Default when empty.
	Parser Parser
	// Blacklist are names that nobody may use, Official maps a package of the distribution to the repository that has it.
	Blacklist []string
	Official  map[string]string
	// Licenses are the SPDX ids that files in LICENSES/ may be called after; some common ones when nil.
	Licenses []string
	// Lag is how long the RPC goes on with the old answer after each push.
	Lag Lag
	// RPCLimit is how many calls of the RPC an address may make in 86400 seconds: 0 is the server's 4000, negative no limit.
	RPCLimit int
	Faults   []Fault
	// Rival makes the commit of the fault "rival": given the files of the tip (none for a new package) it returns those
	// of the rival's commit. When nil the rival raises pkgrel, or makes a small package.
	Rival func(name string, files map[string]string) map[string]string
	// Arrived is called with each operation before anything is done, Handled when it is done and the client is not told yet.
	Arrived, Handled func(Request)
	// Clock is the system's when nil.
	Clock github.Clock
}

// An Account is somebody who may come in by ssh.
type Account struct {
	Name  string
	Keys  []ssh.PublicKey
	Staff bool // package maintainers: may push everywhere, and are only warned of names
	// Suspended accounts are not let in: their keys are unknown. It counts when the server starts.
	Suspended bool
	// Unverified: the e-mail address is not, so nothing may be written.
	Unverified bool
	// Banned: the address that the account comes from may not use ssh.
	Banned bool
}

// A Request is one operation of a client in the server's log.
type Request struct {
	Seq     int // from 1, in order of arrival
	Time    time.Time
	Kind    string   // "git", "command" or "rpc"
	Account string   // of git over ssh and of commands
	Service string   // of git: "receive-pack" or "upload-pack"; of commands the first word
	Names   []string // the repository, or the packages that the RPC was asked for
	Path    string   // as the client wrote it; of the RPC with the query
	Status  int      // of the RPC; 0 when no answer left
	Fault   string   // the planned fault that it met
}

// A Server is a running AUR. Its methods may be called at any time by many.
type Server struct {
	options  Options
	clock    github.Clock
	git      *gitd.Server
	web      *http.Server
	webURL   string
	wire     *http.Transport        // to loopback
	proxy    *httputil.ReverseProxy // to the git server
	serving  sync.WaitGroup
	closing  sync.Once
	closeErr error

	mu          sync.Mutex // guards everything below
	accounts    map[string]*Account
	maintenance bool
	lag         Lag
	db          database
	histories   map[string]History
	accepted    map[string]*push // by repository and new tip: the hook let it through, the ref is still to move
	faults      []*armed
	requests    []*Request
	gitSeq      map[int]*Request // by gitd's number
	calls       map[string]*rate // by address
}

// keyTypes are the sorts of keys that accounts may have (aurweb, conf/config.defaults, valid-keytypes).
var keyTypes = []string{
	"ssh-rsa", "ssh-dss", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-ed25519",
	"sk-ssh-ecdsa@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com", "sk-ssh-ed25519@openssh.com",
}

// commonLicenses are SPDX ids for a server that was given none.
var commonLicenses = []string{
	"0BSD", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC-BY-4.0",
	"CC-BY-SA-4.0", "CC0-1.0", "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later", "ISC", "LGPL-2.1-only",
	"LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later", "MIT", "MPL-2.0", "OFL-1.1", "Unlicense", "Zlib",
}

// Start makes an AUR and lets it listen on loopback until ctx ends or [Server.Close] is called. Repositories that are in
// Dir already have no entry in the database: they are what deleted packages leave.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Parser == "" {
		o.Parser = Default
	}
	if o.Parser != Default && o.Parser != Strict {
		return nil, fmt.Errorf("cannot start the AUR: parser %q is none of %s, %s", o.Parser, Default, Strict)
	}
	if o.Licenses == nil {
		o.Licenses = commonLicenses
	}
	s := &Server{
		options: o, clock: o.Clock, lag: o.Lag, accounts: map[string]*Account{}, histories: map[string]History{},
		accepted: map[string]*push{}, gitSeq: map[int]*Request{}, calls: map[string]*rate{},
	}
	if s.clock == nil {
		s.clock = systemClock{}
	}
	var known []gitd.Account
	for _, a := range o.Accounts {
		if a.Name == "" || s.accounts[a.Name] != nil {
			return nil, fmt.Errorf("cannot start the AUR: account %q has no name of its own", a.Name)
		}
		for _, k := range a.Keys {
			if !slices.Contains(keyTypes, k.Type()) {
				return nil, fmt.Errorf("cannot start the AUR: account %s has a key of type %s, which the AUR does not take", a.Name, k.Type())
			}
		}
		s.accounts[a.Name] = &a
		if !a.Suspended {
			known = append(known, gitd.Account{Name: a.Name, Keys: a.Keys})
		}
	}
	own, foreign, err := armFaults(o.Faults)
	if err != nil {
		return nil, err
	}
	s.faults = own
	if s.git, err = gitd.Start(ctx, gitd.Options{
		Dir: o.Dir, Accounts: known, Branch: "master", Shell: welcome(known), Faults: foreign, Clock: o.Clock,
		Before: s.before, Update: s.update, Updated: s.updated, Command: s.command, Arrived: s.gitArrived, Handled: s.gitHandled,
	}); err != nil {
		return nil, err
	}
	if err := s.listen(ctx); err != nil {
		return nil, errors.Join(err, s.git.Close())
	}
	return s, nil
}

func (s *Server) listen(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("cannot serve the RPC: %w", err)
	}
	gitURL, err := url.Parse(strings.TrimSuffix(s.git.HTTPURL("x"), "/x.git"))
	if err != nil {
		return fmt.Errorf("cannot serve the RPC: %w", err)
	}
	s.wire = http.DefaultTransport.(*http.Transport).Clone()
	// On a connection of its own a request that is cut is an error; net/http asks again when it was one that waited.
	s.wire.Proxy, s.wire.DisableKeepAlives = nil, true
	s.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(gitURL) }, Transport: s.wire, FlushInterval: -1,
		// What breaks behind breaks in front.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     log.New(io.Discard, "", 0),
	}
	s.webURL = "http://" + l.Addr().String() + "/"
	s.web = &http.Server{Handler: http.HandlerFunc(s.serveHTTP), ReadHeaderTimeout: time.Minute, BaseContext: func(net.Listener) context.Context { return ctx }}
	s.web.SetKeepAlivesEnabled(false)
	s.serving.Go(func() { _ = s.web.Serve(l) })
	context.AfterFunc(ctx, func() { s.Close() })
	return nil
}

// Close ends every connection and waits for what is being served. The repositories stay. It may be called more than once.
func (s *Server) Close() error {
	s.closing.Do(func() {
		s.wire.CloseIdleConnections()
		s.closeErr = errors.Join(s.web.Close(), s.git.Close())
		s.serving.Wait()
	})
	return s.closeErr
}

// SSHURL is the address of a repository over ssh; whether there is one does not matter.
func (s *Server) SSHURL(name string) string { return s.git.SSHURL("aur", name) }

// HTTPURL is the address of a repository for reading without an account; in production Root and NAME.git.
func (s *Server) HTTPURL(name string) string { return s.git.HTTPURL(name) }

// RPCURL is where the RPC listens, in place of [Root].
func (s *Server) RPCURL() string { return s.webURL }

// KnownHosts returns the content of a known_hosts file with the host keys.
func (s *Server) KnownHosts() []byte { return s.git.KnownHosts() }

// HostKeys returns the public host keys.
func (s *Server) HostKeys() []ssh.PublicKey { return s.git.HostKeys() }

// ChangeHostKey replaces a host key for the connections to come; kind is a key type as known_hosts has it.
func (s *Server) ChangeHostKey(kind string) error { return s.git.ChangeHostKey(kind) }

// Listeners maps [Root] to where it is served, for a client in another process.
func (s *Server) Listeners() map[string]string { return map[string]string{Root: s.webURL} }

// Transport carries requests for [Root] to the listener. A request for any other host is an error that names it.
func (s *Server) Transport() http.RoundTripper { return carrier{s.webURL, s.wire} }

type carrier struct {
	to   string
	base http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (c carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	rest, ok := strings.CutPrefix(r.URL.Scheme+"://"+strings.TrimSuffix(strings.ToLower(r.URL.Host), ":443")+"/", Root)
	if !ok || rest != "" {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, fmt.Errorf("cannot reach %s://%s: the AUR's twin does not stand for it", r.URL.Scheme, r.URL.Host)
	}
	to, err := url.Parse(c.to + strings.TrimPrefix(r.URL.EscapedPath(), "/"))
	if err != nil {
		return nil, fmt.Errorf("cannot reach %s: %w", r.URL.Redacted(), err)
	}
	to.RawQuery = r.URL.RawQuery
	q := r.Clone(r.Context())
	q.URL, q.Host = to, ""
	resp, err := c.base.RoundTrip(q)
	if resp != nil {
		resp.Request = r // whoever resolves a redirect must see the host that was asked
	}
	return resp, err
}

// Requests returns the log of all operations so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Request
	for _, r := range s.requests {
		list = append(list, *r)
	}
	return list
}

// Export copies the bare repositories to a folder, as dir/NAME.git; there must be none yet. For the server's own folder
// it does nothing. No push may be under way.
func (s *Server) Export(dir string) error {
	from, err := filepath.Abs(s.options.Dir)
	if err != nil {
		return fmt.Errorf("cannot export: %w", err)
	}
	to, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("cannot export: %w", err)
	}
	if from == to {
		return nil
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("cannot export: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasSuffix(e.Name(), ".git") {
			continue
		}
		if err := os.CopyFS(filepath.Join(to, e.Name()), os.DirFS(filepath.Join(from, e.Name()))); err != nil {
			return fmt.Errorf("cannot export %s: %w", e.Name(), err)
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
