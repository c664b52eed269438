package github

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"time"
)

// A Request is one line of the server's log: what came and what became of it.
type Request struct {
	Seq    int // from 1, in order of arrival over all hosts
	Host   string
	Method string
	Path   string // escaped, without the query
	// Status is 0 until the answer leaves, and when none ever left.
	Status int
	// ID is the X-GitHub-Request-Id of the answer.
	ID string
	// Fault is the planned fault that this request met.
	Fault string
	// Authorized tells that there was an Authorization header.
	Authorized bool
	Time       time.Time
}

// front stands before every host: log, request id, faults.
func (s *Server) front(h host, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.busy.RLock()
		defer s.busy.RUnlock()
		s.mu.Lock()
		log := Request{
			Seq: len(s.requests) + 1, Host: string(h), Method: r.Method, Path: r.URL.EscapedPath(),
			ID: requestID(), Authorized: r.Header.Get("Authorization") != "", Time: s.clock.Now(),
		}
		fault := s.strike(h, r)
		if fault != nil {
			log.Fault = fault.String()
		}
		s.requests = append(s.requests, log)
		s.mu.Unlock()
		if s.options.Arrived != nil {
			s.options.Arrived(log)
		}
		w.Header().Set("X-GitHub-Request-Id", log.ID)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if h == hostAPI {
			w.Header().Set("X-GitHub-Media-Type", "github.v3; format=json")
		}
		lw := &logged{ResponseWriter: w, done: func(status int) {
			s.mu.Lock()
			s.requests[log.Seq-1].Status = status
			now := s.requests[log.Seq-1]
			s.mu.Unlock()
			if s.options.Handled != nil {
				s.options.Handled(now)
			}
		}}
		if fault == nil {
			next.ServeHTTP(lw, r)
			return
		}
		s.inflict(fault, h, next, lw, r)
	})
}

// Requests returns the log so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// requestID has the shape of GitHub's.
func requestID() string {
	var b [16]byte
	rand.Read(b[:])
	return fmt.Sprintf("%04X:%05X:%07X:%07X:%08X", b[:2], b[2:5], b[5:8], b[8:12], b[12:])
}

// logged tells the log the status before the first byte leaves.
type logged struct {
	http.ResponseWriter
	done    func(status int)
	written bool
}

func (l *logged) WriteHeader(status int) {
	if !l.written {
		l.written = true
		l.done(status)
	}
	l.ResponseWriter.WriteHeader(status)
}

func (l *logged) Write(b []byte) (int, error) {
	if !l.written {
		l.WriteHeader(http.StatusOK)
	}
	return l.ResponseWriter.Write(b)
}

func (l *logged) Unwrap() http.ResponseWriter { return l.ResponseWriter }
