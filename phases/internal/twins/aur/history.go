package aur

import (
	"fmt"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// A History is every state of a repository's master that was ever observable, in order.
type History []State

// A State is where master stood after one change.
type State struct {
	Seq     int // from 1
	Time    time.Time
	Cause   string // whose push it was
	Commit  string
	Tree    string
	Version string // [epoch:]pkgver-pkgrel of the first package; empty where the .SRCINFO has none
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

// History returns every state of a repository's master; none for a name without a repository or without a push.
func (s *Server) History(name string) (History, error) {
	var list History
	for _, g := range s.git.History(name) {
		commit, ok := g.Refs[master]
		if !ok || commit == list.Last().Commit {
			continue
		}
		state := State{Seq: len(list) + 1, Time: g.Time, Cause: g.Cause, Commit: commit}
		store := s.store(name)
		c, err := object.GetCommit(store, plumbing.NewHash(commit))
		if err != nil {
			return nil, fmt.Errorf("cannot read %s of %s: %w", commit, name, err)
		}
		state.Tree = c.TreeHash.String()
		if t, err := c.Tree(); err == nil {
			if e, err := t.FindEntry(".SRCINFO"); err == nil {
				if text, err := readBlob(store, e.Hash); err == nil {
					if info, _ := ParseSRCINFO(text, Default); len(info.Packages) > 0 {
						state.Version = info.Merged(info.Packages[0]).version()
					}
				}
			}
		}
		list = append(list, state)
	}
	return list, nil
}

// A Record is what the database has of a pkgbase, whatever the RPC shows yet.
type Record struct {
	Name          string
	Maintainer    string // empty for an orphan
	Submitter     string
	CoMaintainers []string
	Packages      []string // pkgnames, in the order of the .SRCINFO
	Version       string
	Modified      time.Time
}

// Record returns the database's entry of a pkgbase; false where there is none.
func (s *Server) Record(name string) (Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.db.find(name)
	if b == nil {
		return Record{}, false
	}
	r := Record{Name: b.name, Maintainer: b.maintainer, Submitter: b.submitter, CoMaintainers: slices.Clone(b.comaintainers)}
	if b.now != nil {
		r.Modified = b.now.modified
		for _, e := range b.now.packages {
			r.Packages = append(r.Packages, e.Name)
			r.Version = e.merged.version()
		}
	}
	return r, true
}

// SetMaintainer makes an account, or nobody (an empty name), the maintainer of a pkgbase, and others its co-maintainers.
func (s *Server) SetMaintainer(name, account string, comaintainers ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.db.find(name)
	if b == nil {
		return fmt.Errorf("cannot set the maintainer of %s: package base not found", name)
	}
	b.maintainer, b.comaintainers = account, slices.Clone(comaintainers)
	return nil
}

// Delete takes a pkgbase out of the database. Its repository stays, as on the real server.
func (s *Server) Delete(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.db.bases)
	s.db.bases = slices.DeleteFunc(s.db.bases, func(b *base) bool { return b.name == name })
	if len(s.db.bases) == n {
		return fmt.Errorf("cannot delete %s: package base not found", name)
	}
	return nil
}

// SetMaintenance turns the maintenance mode of the ssh door on or off.
func (s *Server) SetMaintenance(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.maintenance = on
}

// SetLag changes how long the RPC goes on with the old answer, for the pushes to come.
func (s *Server) SetLag(l Lag) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = l
}

// SetFlags changes an account's flags; being suspended and the keys stay as they were when the server started.
func (s *Server) SetFlags(name string, staff, unverified, banned bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[name]
	if a == nil {
		return fmt.Errorf("cannot set the flags of %s: unknown user", name)
	}
	a.Staff, a.Unverified, a.Banned = staff, unverified, banned
	return nil
}
