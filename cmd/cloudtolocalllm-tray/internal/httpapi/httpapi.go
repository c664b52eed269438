// Package httpapi is the broker as an Ollama: any Ollama client whose base URL
// is this endpoint has local and cloud, failover and streams.
//
// It is off until enabled, listens on loopback alone, and judges Host, Origin,
// fetch headers and key before it looks at anything else.
package httpapi

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"mime"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/broker"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/config"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/disk"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/guard"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/peer"
)

// Server is the endpoint. Configure starts, stops and moves it.
type Server struct {
	Broker *broker.Broker
	Dir    string // where the key lies
	Log    *slog.Logger
	Same   func(net.Conn) (bool, error) // peer.Same when nil

	mu      sync.Mutex
	set     config.HTTPSettings
	key     string
	srv     *http.Server
	port    int
	problem string
	end     context.CancelCauseFunc
}

// KeyPath is the file that holds the key a client must send.
func (s *Server) KeyPath() string { return filepath.Join(s.Dir, "http_key") }

// Configure follows the settings.
func (s *Server) Configure(set config.HTTPSettings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.set
	s.set = set
	if s.srv != nil && (!set.Enabled || set.Port != was.Port) {
		s.stopLocked(nil)
	}
	if !set.Enabled {
		s.problem = ""
		return
	}
	if s.srv == nil {
		if err := s.startLocked(); err != nil {
			s.problem = err.Error()
			s.Log.Warn("http endpoint does not start", "err", err)
			return
		}
		s.problem = ""
	}
}

// Status tells where the endpoint listens; port 0 means nowhere.
func (s *Server) Status() (port int, auth, problem string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.port, s.set.Auth, s.problem
}

// Rotate makes a new key; the old one is worth nothing from then on.
func (s *Server) Rotate() (path string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.KeyPath(), s.newKeyLocked()
}

func (s *Server) newKeyLocked() error {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails
	key := hex.EncodeToString(b[:])
	if err := disk.Write(s.KeyPath(), []byte(key+"\n")); err != nil {
		return err
	}
	s.key = key
	return nil
}

func (s *Server) startLocked() error {
	raw, err := disk.ReadSecret(s.KeyPath())
	if s.key = strings.TrimSpace(string(raw)); err != nil || len(s.key) < 32 {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.Log.Warn("the endpoint's key is not trusted: a new one is made", "err", err)
		}
		if err := s.newKeyLocked(); err != nil {
			return err
		}
	}
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.set.Port)))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	s.port, s.end = ln.Addr().(*net.TCPAddr).Port, cancel
	srv := &http.Server{
		Handler:           s.handler(s.port),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		Protocols:         new(http.Protocols),
	}
	srv.Protocols.SetHTTP1(true)
	s.srv = srv
	go func() { _ = srv.Serve(limited{ln, s.Same, make(chan struct{}, 512), make(chan struct{}, 32)}) }()
	s.Log.Info("http endpoint", "port", s.port, "auth", s.set.Auth)
	return nil
}

func (s *Server) stopLocked(cause error) {
	if s.srv == nil {
		return
	}
	s.end(cause)
	_ = s.srv.Close()
	s.srv, s.port = nil, 0
}

// Close ends the endpoint and every call it carries.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set.Enabled = false
	s.stopLocked(broker.ErrShuttingDown)
}

type connKey struct{}

// limited bounds how many connections there are at once. Other users, who may
// have been given the key, have few places, and cannot take ours.
type limited struct {
	net.Listener
	check        func(net.Conn) (bool, error)
	ours, others chan struct{}
}

func (l limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		check := l.check
		if check == nil {
			check = peer.Same
		}
		same, err := check(c)
		same = same && err == nil
		slots := l.others
		if same {
			slots = l.ours
		}
		select {
		case slots <- struct{}{}:
			return &counted{Conn: c, slots: slots, same: same}, nil
		default:
			_ = c.Close()
		}
	}
}

type counted struct {
	net.Conn
	slots chan struct{}
	once  sync.Once
	same  bool // the peer is our own user
}

func (c *counted) Close() error {
	c.once.Do(func() { <-c.slots })
	return c.Conn.Close()
}

func (s *Server) handler(port int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		set, key := s.set, s.key
		s.mu.Unlock()
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if why := guard.Judge(r, port, set.Origins); why != "" {
			refuse(w, http.StatusForbidden, why)
			return
		}
		if !s.known(r, set, key) {
			h.Set("WWW-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, "the endpoint's key is needed: it is in "+filepath.Base(s.KeyPath())+" in the configuration directory")
			return
		}
		if !slices.Contains(broker.Methods, r.Method) {
			refuse(w, http.StatusMethodNotAllowed, "method not allowed")
			return
		}
		path := r.URL.EscapedPath()
		root := path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead)
		if !root && !strings.HasPrefix(path, "/api/") && !strings.HasPrefix(path, "/v1/") {
			refuse(w, http.StatusNotFound, "not found")
			return
		}
		if r.ContentLength != 0 && (r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodDelete) && !typeOK(path, r.Header.Get("Content-Type")) {
			refuse(w, http.StatusUnsupportedMediaType, "the content type must be application/json")
			return
		}
		s.forward(w, r)
	})
}

// typeOK refuses what a form or a simple cross-site request can send.
func typeOK(path, kind string) bool {
	t, _, _ := mime.ParseMediaType(kind)
	return t == "application/json" || t == "application/octet-stream" && strings.HasPrefix(path, "/api/blobs/")
}

func (s *Server) known(r *http.Request, set config.HTTPSettings, key string) bool {
	if got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && key != "" &&
		subtle.ConstantTimeCompare([]byte(strings.TrimSpace(got)), []byte(key)) == 1 {
		return true
	}
	if set.Auth != "same_user" || guard.Browser(r) {
		return false
	}
	c, _ := r.Context().Value(connKey{}).(*counted)
	return c != nil && c.same
}

func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": why})
}

// forward passes a call on and its answer back, as it comes.
func (s *Server) forward(w http.ResponseWriter, r *http.Request) {
	target := r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	call := &broker.Call{Method: r.Method, Path: target, Header: r.Header, Size: r.ContentLength}
	if r.ContentLength != 0 {
		call.Body = r.Body
	}
	a, err := s.Broker.Do(r.Context(), call)
	if err != nil {
		var e *broker.Error
		errors.As(err, &e)
		refuse(w, statusFor(e), err.Error())
		return
	}
	defer a.Body.Close()
	h := w.Header()
	maps.Copy(h, a.Header)
	h.Set("X-Cloudtolocalllm-Connection", a.Connection)
	w.WriteHeader(a.Status)
	if r.Method == http.MethodHead {
		return
	}
	if err := pump(w, a.Body); err != nil {
		panic(http.ErrAbortHandler) // the client must not take a torn answer for a whole one
	}
}

// writeLimit is how long a client may leave one piece unread.
const writeLimit = time.Minute

// pump flushes after each read: what an upstream has sent is with the client.
func pump(w http.ResponseWriter, body io.Reader) error {
	out := http.NewResponseController(w)
	p, _ := body.(interface {
		Pause()
		Resume()
	})
	buf := make([]byte, 32<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if p != nil {
				p.Pause()
			}
			_ = out.SetWriteDeadline(time.Now().Add(writeLimit)) // for this piece, not for the stream
			_, werr := w.Write(buf[:n])
			if werr == nil {
				werr = out.Flush()
			}
			if p != nil {
				p.Resume()
			}
			if werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func statusFor(e *broker.Error) int {
	if e == nil {
		return http.StatusBadGateway
	}
	switch e.Code {
	case broker.BadRequest:
		return http.StatusBadRequest
	case broker.Timeout:
		return http.StatusGatewayTimeout
	case broker.NoConnection, broker.ShuttingDown:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadGateway
}
