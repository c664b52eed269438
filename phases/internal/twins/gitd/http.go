package gitd

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// serveHTTP answers the smart HTTP protocol, gitprotocol-http(5). There is no dumb one.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		return
	}
	defer s.wg.Done()
	session := &Session{Protocol: "http"}
	listing := r.Method == http.MethodGet
	if listing {
		session.Service, _ = strings.CutPrefix(r.URL.Query().Get("service"), "git-")
		path, ok := strings.CutSuffix(r.URL.Path, "/info/refs")
		if !ok {
			session.Service = ""
		}
		session.Path = path
	} else if i := strings.LastIndex(r.URL.Path, "/git-"); i >= 0 && r.Method == http.MethodPost {
		session.Path, session.Service = r.URL.Path[:i], r.URL.Path[i+len("/git-"):]
		if r.Header.Get("Content-Type") != "application/x-git-"+session.Service+"-request" {
			http.Error(w, "not a request of git", http.StatusUnsupportedMediaType)
			return
		}
	}
	if !slices.Contains([]string{ReceivePack, UploadPack}, session.Service) {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	w.Header().Set("Cache-Control", "no-cache, max-age=0, must-revalidate")
	user, password, given := r.BasicAuth()
	if given {
		var ok bool
		session.User = user
		if session.Account, ok = s.byToken(password); !ok {
			unauthorized(w)
			return
		}
	} else if session.Service == ReceivePack {
		unauthorized(w)
		return
	}
	op := s.newOperation(session)
	// Not the request's: a client that goes away does not stop git between two refs.
	ctx := withProtocol(s.ctx, r.Header.Get("Git-Protocol"))
	// Where the twin asks for an account, the request without one is not counted: the client comes again.
	admitted := op.admit()
	if errors.Is(admitted, ErrAuth) {
		unauthorized(w)
		return
	}
	key := strings.Join([]string{session.Account, session.Service, session.Repository}, "\n")
	if listing {
		op.fault = s.choose(session.Service, session.Repository)
		s.mu.Lock()
		delete(s.waiting, key)
		if op.fault != nil {
			s.waiting[key] = op.fault
		}
		s.mu.Unlock()
	} else {
		s.mu.Lock()
		op.fault = s.waiting[key]
		s.mu.Unlock()
	}
	s.arrive(op)
	if listing && !op.before(ctx) {
		panic(http.ErrAbortHandler) // net/http closes the connection
	}
	switch {
	case op.refused():
		http.Error(w, "Permission to "+session.Repository+suffix+" denied to "+session.Account+".", http.StatusForbidden)
	case errors.Is(admitted, errMissing):
		http.Error(w, "Repository not found.", http.StatusNotFound)
	case admitted != nil:
		http.Error(w, admitted.Error(), http.StatusForbidden)
	case listing:
		op.list(ctx, w)
	default:
		op.post(ctx, w, r)
	}
	if op.isCut() {
		panic(http.ErrAbortHandler)
	}
}

func unauthorized(w http.ResponseWriter) {
	// The client comes again on a new connection: on one that was used before, libcurl repeats by itself a request that
	// meets a planned cut.
	w.Header().Set("Connection", "close")
	w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
	http.Error(w, "Authentication required.", http.StatusUnauthorized)
}

// list answers GET info/refs. What a fault does to a whole operation it does to the requests that follow.
func (op *operation) list(ctx context.Context, w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/x-git-"+op.session.Service+"-advertisement")
	fault := op.fault
	op.fault = nil
	defer func() { op.fault = fault }()
	if op.session.Service == ReceivePack || protocolOf(ctx) != "version=2" {
		head := "# service=git-" + op.session.Service + "\n"
		fmt.Fprintf(w, "%04x%s0000", len(head)+4, head)
	}
	op.run(ctx, w, []string{"--stateless-rpc", "--advertise-refs"}, strings.NewReader(""), w)
}

// post answers POST git-upload-pack and git-receive-pack.
func (op *operation) post(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	// receive-pack may speak before it has read everything.
	_ = http.NewResponseController(w).EnableFullDuplex()
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, "the body is not gzip", http.StatusBadRequest)
			return
		}
		body = z
	}
	w.Header().Set("Content-Type", "application/x-git-"+op.session.Service+"-result")
	in, out := op.streams(ctx, body, w, false)
	if op.run(ctx, w, []string{"--stateless-rpc"}, in, out) {
		op.done()
	}
}

// run lets git answer. A failure after git has spoken is an answer that breaks off, as from git's own http-backend.
func (op *operation) run(ctx context.Context, w http.ResponseWriter, flags []string, in io.Reader, out io.Writer) bool {
	var said counter
	status, err := op.git(ctx, flags, in, io.MultiWriter(&said, out), io.Discard)
	if err == nil && status == 0 {
		return true
	}
	if said == 0 && !op.isCut() {
		w.Header().Set("Content-Type", "text/plain")
		http.Error(w, "git failed", http.StatusInternalServerError)
	}
	return false
}

// counter counts bytes.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
