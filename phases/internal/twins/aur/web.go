package aur

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
)

// serveHTTP stands for aur.archlinux.org: the RPC, and repositories for reading. There are no pages.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case strings.HasSuffix(first, ".git"):
		s.proxy.ServeHTTP(w, r)
		return
	case first != "rpc":
		http.NotFound(w, r)
		return
	case r.URL.Path == "/rpc" || r.URL.Path == "/rpc/":
	case r.URL.Path == "/rpc/v5/info" || strings.HasPrefix(r.URL.Path, "/rpc/v") && strings.Contains(r.URL.Path, "/info"):
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"detail":"Not Found"}`)) // the client may have gone
		return
	}
	path := r.URL.Path
	if r.URL.RawQuery != "" {
		path += "?" + r.URL.RawQuery
	}
	l := s.arrive(Request{Kind: RPC, Path: path})
	// The answer is made whole before any of it leaves.
	a := &answer{header: http.Header{}, status: http.StatusOK}
	s.serveRPC(a, r, l)
	s.mu.Lock()
	if !a.cut {
		l.Status = a.status
	}
	s.mu.Unlock()
	s.handle(l)
	if a.cut {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // the client may have gone
}

// An answer is held back until it is complete.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
	cut    bool
}

// Header, WriteHeader and Write implement [http.ResponseWriter].
func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

// spoil lets a call meet its fault; true when there is an answer, or none.
func (s *Server) spoil(w *answer, r *http.Request, q *query, f *Fault) bool {
	page := func(status int, title string) bool {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		w.body.WriteString("<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title + "</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")
		return true
	}
	switch f.Effect {
	case Delay:
		return s.clock.Sleep(r.Context(), f.Delay) != nil
	case Cut:
		w.cut = true
		return true
	case Fail:
		return page(f.Status, http.StatusText(f.Status))
	case Page:
		return page(http.StatusOK, "The AUR is down for maintenance")
	case TooMany:
		writeJSON(w, http.StatusTooManyRequests, marshal(q.refusal("Rate limit reached")))
		return true
	}
	writeJSON(w, http.StatusOK, marshal(q.refusal(f.text())))
	return true
}

// arrive begins an entry of the log.
func (s *Server) arrive(r Request) *Request {
	s.mu.Lock()
	r.Seq, r.Time = len(s.requests)+1, s.clock.Now()
	entry := &r
	s.requests = append(s.requests, entry)
	now := r
	s.mu.Unlock()
	if s.options.Arrived != nil {
		s.options.Arrived(now)
	}
	return entry
}

// handle ends it.
func (s *Server) handle(r *Request) {
	s.mu.Lock()
	now := *r
	s.mu.Unlock()
	if s.options.Handled != nil {
		s.options.Handled(now)
	}
}

// note writes down the fault that an operation met.
func (s *Server) note(r *Request, f *Fault) {
	if f == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Fault = f.String()
}

// mark does so for git, whose operations are known by service and repository: the newest without a fault.
func (s *Server) mark(f *Fault, service, repository string) {
	if f == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range slices.Backward(s.requests) {
		if r.Kind == "git" && r.Service == service && slices.Contains(r.Names, repository) {
			if r.Fault == "" {
				r.Fault = f.String()
			}
			return
		}
	}
}

func (s *Server) gitArrived(e gitd.Event) {
	r := s.arrive(Request{Kind: "git", Account: e.Account, Service: e.Service, Names: []string{e.Repository}, Path: e.Path, Fault: e.Fault})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gitSeq[e.Seq] = r
}

func (s *Server) gitHandled(e gitd.Event) {
	s.mu.Lock()
	r := s.gitSeq[e.Seq]
	delete(s.gitSeq, e.Seq)
	s.mu.Unlock()
	if r != nil {
		s.handle(r)
	}
}
