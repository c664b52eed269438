// Package page serves the settings page: a small local web page, there only
// while somebody looks at it.
//
// The way in is a link that works once and for two minutes. Its token stands
// in the fragment, which browsers do not send; the page trades it for a cookie.
// Connections of other users are closed at accept, and requests of other sites
// are refused whatever they ask for.
package page

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/config"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/guard"
)

//go:embed assets/index.html
var index string

//go:embed assets/page.js
var script string

//go:embed assets/page.css
var style string

// Backend is what the page shows and changes.
type Backend interface {
	State() any
	Patch(revision uint64, patch []byte) (uint64, error)
	Test(ctx context.Context, name string) any
	SetToken(ctx context.Context, token string) error
	RotateKey() (path string, err error)
}

// Server is the page. The listener exists from the first link until nobody has
// asked for anything for a while.
type Server struct {
	Backend Backend
	Log     *slog.Logger
	Idle    time.Duration                // 10 minutes when zero
	LinkFor time.Duration                // 2 minutes when zero
	Same    func(net.Conn) (bool, error) // peer.Same when nil

	mu       sync.Mutex
	srv      *http.Server
	port     int
	links    map[string]time.Time
	sessions map[string]bool
	timer    *time.Timer
	viewers  int
	changed  chan struct{}
}

const maxBody = 256 << 10

// Link starts the page if need be and returns a new one-time link to it.
func (s *Server) Link() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srv == nil {
		if err := s.startLocked(); err != nil {
			return "", fmt.Errorf("cannot start the settings page: %w", err)
		}
	}
	for t, until := range s.links {
		if time.Now().After(until) {
			delete(s.links, t)
		}
	}
	if len(s.links) >= 16 {
		clear(s.links)
	}
	token, life := random(), s.LinkFor
	if life == 0 {
		life = 2 * time.Minute
	}
	s.links[token] = time.Now().Add(life)
	s.touchLocked()
	return fmt.Sprintf("http://127.0.0.1:%d/#%s", s.port, token), nil
}

// Port is where the page listens now; 0 means nowhere.
func (s *Server) Port() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.port
}

// Changed tells open pages that there is something new.
func (s *Server) Changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed != nil {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// Close ends the page.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopLocked()
}

func (s *Server) stopLocked() {
	if s.srv == nil {
		return
	}
	s.timer.Stop()
	_ = s.srv.Close()
	s.srv, s.port, s.links, s.sessions = nil, 0, nil, nil
}

func (s *Server) startLocked() error {
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.port = ln.Addr().(*net.TCPAddr).Port
	s.links, s.sessions, s.changed = map[string]time.Time{}, map[string]bool{}, make(chan struct{})
	srv := &http.Server{
		Handler:           s.handler(s.port),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		Protocols:         new(http.Protocols),
	}
	srv.Protocols.SetHTTP1(true)
	s.srv = srv
	s.timer = time.AfterFunc(s.idle(), func() { s.expire(srv) })
	go func() { _ = srv.Serve(guard.SameUser{Listener: ln, Same: s.Same}) }()
	return nil
}

func (s *Server) idle() time.Duration {
	if s.Idle == 0 {
		return 10 * time.Minute
	}
	return s.Idle
}

func (s *Server) expire(srv *http.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srv != srv {
		return
	}
	if s.viewers > 0 {
		s.touchLocked()
		return
	}
	s.stopLocked()
}

func (s *Server) touchLocked() {
	if s.timer != nil {
		s.timer.Reset(s.idle())
	}
}

func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func (s *Server) handler(port int) http.Handler {
	cookie := "cloudtolocalllm_" + strconv.Itoa(port) // cookies know no ports
	origins := []string{fmt.Sprintf("http://127.0.0.1:%d", port), fmt.Sprintf("http://localhost:%d", port)}
	static := map[string][2]string{"/": {"text/html; charset=utf-8", index}, "/page.js": {"text/javascript; charset=utf-8", script}, "/page.css": {"text/css; charset=utf-8", style}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if why := guard.Judge(r, port, origins); why != "" || crossSite(r) {
			http.Error(w, "refused", http.StatusForbidden)
			return
		}
		s.mu.Lock()
		s.touchLocked()
		s.mu.Unlock()
		if f, ok := static[r.URL.Path]; ok && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			h.Set("Content-Type", f[0])
			_, _ = io.WriteString(w, f[1])
			return
		}
		if r.URL.Path == "/session" && r.Method == http.MethodPost {
			s.session(w, r, cookie)
			return
		}
		if c, err := r.Cookie(cookie); err != nil || !s.open(c.Value) {
			http.Error(w, "open the page from the tray menu again", http.StatusUnauthorized)
			return
		}
		s.api(w, r)
	})
}

// crossSite refuses a page on another port of this machine, which a browser
// calls same-site.
func crossSite(r *http.Request) bool {
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site != "none" && site != "same-origin" {
			return true
		}
	}
	return false
}

// session trades a link's token for a cookie, once.
func (s *Server) session(w http.ResponseWriter, r *http.Request, cookie string) {
	var in struct {
		Token string `json:"token"`
	}
	if !body(w, r, &in) {
		return
	}
	s.mu.Lock()
	var until time.Time
	for t, u := range s.links {
		if subtle.ConstantTimeCompare([]byte(t), []byte(in.Token)) == 1 {
			until = u
			delete(s.links, t)
		}
	}
	session := ""
	if time.Now().Before(until) && len(s.sessions) < 64 {
		session = random()
		s.sessions[session] = true
	}
	s.mu.Unlock()
	if session == "" {
		http.Error(w, "this link has been used or is too old: open the page from the tray menu again", http.StatusForbidden)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: session, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) open(session string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.sessions {
		if subtle.ConstantTimeCompare([]byte(k), []byte(session)) == 1 {
			return true
		}
	}
	return false
}

// body reads a JSON body. The content type is one that no form can send.
func body(w http.ResponseWriter, r *http.Request, to any) bool {
	if r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, "the content type must be application/json", http.StatusUnsupportedMediaType)
		return false
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(to); err != nil {
		http.Error(w, "not the JSON that was expected", http.StatusBadRequest)
		return false
	}
	return true
}

func (s *Server) api(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /api/state":
		answer(w, s.Backend.State())
	case "GET /api/events":
		s.events(w, r)
	case "POST /api/settings":
		var in struct {
			Revision uint64          `json:"revision"`
			Settings json.RawMessage `json:"settings"`
		}
		if !body(w, r, &in) {
			return
		}
		rev, err := s.Backend.Patch(in.Revision, in.Settings)
		if err != nil {
			status := http.StatusBadRequest
			if errors.Is(err, config.ErrConflict) {
				status = http.StatusConflict
			}
			http.Error(w, err.Error(), status)
			return
		}
		answer(w, map[string]any{"revision": rev})
	case "POST /api/test":
		var in struct {
			Connection string `json:"connection"`
		}
		if !body(w, r, &in) {
			return
		}
		if in.Connection != config.Local && in.Connection != config.Cloud {
			http.Error(w, "unknown connection", http.StatusBadRequest)
			return
		}
		answer(w, s.Backend.Test(r.Context(), in.Connection))
	case "POST /api/token":
		var in struct {
			Token string `json:"token"`
		}
		if !body(w, r, &in) {
			return
		}
		if err := s.Backend.SetToken(r.Context(), in.Token); err != nil {
			http.Error(w, "the token cannot be stored", http.StatusInternalServerError)
			return
		}
		answer(w, true)
	case "POST /api/rotate":
		path, err := s.Backend.RotateKey()
		if err != nil {
			http.Error(w, "the key cannot be stored", http.StatusInternalServerError)
			return
		}
		answer(w, map[string]any{"path": path})
	default:
		http.Error(w, "not found", http.StatusNotFound)
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// events sends the state at once and after every change.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream")
	s.mu.Lock()
	if s.viewers >= 16 {
		s.mu.Unlock()
		http.Error(w, "too many pages", http.StatusServiceUnavailable)
		return
	}
	s.viewers++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.viewers--
		s.touchLocked()
		s.mu.Unlock()
	}()
	for {
		s.mu.Lock()
		next := s.changed
		s.mu.Unlock()
		b, err := json.Marshal(s.Backend.State())
		if err != nil {
			return
		}
		_ = out.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := fmt.Fprintf(w, "data: %s\n\n", b); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-next:
			time.Sleep(50 * time.Millisecond) // several changes, one picture
		case <-time.After(30 * time.Second): // also finds out who has gone
		case <-r.Context().Done():
			return
		}
	}
}
