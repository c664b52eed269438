package gitd

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// A History is every state of a repository's refs that was ever observable, in order.
type History []State

// A State is how a repository's refs stood after one change.
type State struct {
	Seq   int // from 1
	Time  time.Time
	Cause string            // which push changed what, or what [Server.Observe] was told
	Refs  map[string]string // full name to object name
}

// Last is the newest state, or none.
func (h History) Last() State {
	if len(h) == 0 {
		return State{}
	}
	return h[len(h)-1]
}

// Always asks f about each state and returns its first error, with the number of the state and what caused it.
func (h History) Always(f func(State) error) error {
	for _, s := range h {
		if err := f(s); err != nil {
			return fmt.Errorf("state %d (%s): %w", s.Seq, s.Cause, err)
		}
	}
	return nil
}

// A repository is what the server remembers of one. Its lock is held while git changes refs.
type repository struct {
	mu      sync.Mutex
	states  History
	last    []byte
	listing error
}

func (s *Server) repository(name string) *repository {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.repos[name]
	if r == nil {
		r = &repository{}
		s.repos[name] = r
	}
	return r
}

// History returns what was recorded for a repository, from when the server first looked at it: at a session, or at
// [Server.Observe].
func (s *Server) History(path string) History {
	r := s.repository(clean(path))
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.states)
}

// Observe records the refs of a repository as they are, when they differ from what was last seen. Those who change refs
// without a push call it before and after.
func (s *Server) Observe(path, cause string) error {
	name := clean(path)
	if name == "" || !exists(folder(s.o.Dir, name)) {
		return fmt.Errorf("cannot look at repository %q: %w", path, errMissing)
	}
	return s.repository(name).observe(s, name, cause)
}

func (r *repository) observe(s *Server, name, cause string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record(s, name, cause)
	return r.listing
}

// record is for those who hold the lock.
func (r *repository) record(s *Server, name, cause string) {
	var list bytes.Buffer
	r.listing = Git(context.WithoutCancel(s.ctx), folder(s.o.Dir, name), nil, &list, "for-each-ref", "--format=%(objectname) %(refname)")
	if r.listing != nil || (len(r.states) > 0 && bytes.Equal(list.Bytes(), r.last)) {
		return
	}
	r.last = list.Bytes()
	refs := map[string]string{}
	for line := range strings.Lines(list.String()) {
		hash, ref, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		refs[ref] = hash
	}
	r.states = append(r.states, State{Seq: len(r.states) + 1, Time: s.clock.Now(), Cause: cause, Refs: maps.Clone(refs)})
}
