package github

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A History is every state of a repository's releases and tags that was ever
// observable, in order. Between two entries nothing changed (by this server).
type History []State

// A State is how a repository stood after one change.
type State struct {
	Seq      int // from 1
	Time     time.Time
	Cause    string // the request: method, path, request id
	Releases []*ReleaseState
	// Tags are all tags and what their refs point at (a tag object or a commit).
	Tags map[string]string
}

// A ReleaseState is one release in a [State]. It is shared between states in
// which it does not differ: look, do not write.
type ReleaseState struct {
	ID                           int64
	Tag                          string
	Draft, Prerelease, Immutable bool
	Latest                       bool
	Body                         string
	Assets                       []AssetState
}

// An AssetState is one asset in a [ReleaseState].
type AssetState struct {
	ID     int64
	Name   string
	State  string // "uploaded" or "starter"
	Size   int64
	SHA256 string // hex, of the bytes that arrived
}

// History returns what was recorded for a repository; nil for an unknown one.
func (s *Server) History(owner, name string) History {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(owner, name)
	if r == nil {
		return nil
	}
	s.settle(r)
	return slices.Clone(History(r.history))
}

// Last is the state now.
func (h History) Last() State { return h[len(h)-1] }

// Always asks f about each state and returns its first error, with the number
// of the state and what caused it.
func (h History) Always(f func(State) error) error {
	for _, s := range h {
		if err := f(s); err != nil {
			return fmt.Errorf("state %d (%s): %w", s.Seq, s.Cause, err)
		}
	}
	return nil
}

// Complete is for [History.Always]: whenever the tag's release is published,
// it has exactly these assets (name to hex SHA-256), whole, and there is one
// such release.
func Complete(tag string, assets map[string]string) func(State) error {
	return func(s State) error {
		published := 0
		for _, rel := range s.Releases {
			if rel.Tag != tag || rel.Draft {
				continue
			}
			if published++; published > 1 {
				return fmt.Errorf("two published releases of %s", tag)
			}
			got := map[string]bool{}
			for _, a := range rel.Assets {
				want, planned := assets[a.Name]
				switch {
				case !planned:
					return fmt.Errorf("published release %d has %q, which is not planned", rel.ID, a.Name)
				case a.State != uploaded:
					return fmt.Errorf("published release %d has %q in state %s", rel.ID, a.Name, a.State)
				case a.SHA256 != want:
					return fmt.Errorf("published release %d has %q with SHA-256 %s, want %s", rel.ID, a.Name, a.SHA256, want)
				}
				got[a.Name] = true
			}
			for name := range assets {
				if !got[name] {
					return fmt.Errorf("published release %d lacks %q", rel.ID, name)
				}
			}
		}
		return nil
	}
}

// record keeps the present state. It runs after every change, under the lock.
func (s *Server) record(r *repository, cause string) {
	state := State{Seq: len(r.history) + 1, Time: s.clock.Now(), Cause: cause, Tags: map[string]string{}}
	latest := r.latestRelease()
	for _, rel := range r.releases {
		now := ReleaseState{
			ID: rel.id, Tag: rel.tag, Draft: rel.draft, Prerelease: rel.prerelease, Immutable: rel.immutable, Latest: rel == latest,
		}
		if rel.body != nil {
			now.Body = *rel.body
		}
		for _, a := range rel.assets {
			now.Assets = append(now.Assets, AssetState{a.id, a.name, a.state, a.size, a.sha256})
		}
		old := r.seen[rel.id]
		if old == nil || !equalRelease(*old, now) {
			old = &now
			r.seen[rel.id] = old
		}
		state.Releases = append(state.Releases, old)
	}
	if refs, err := r.Refs.List(context.Background(), "refs/tags/"); err == nil {
		for _, t := range refs {
			state.Tags[t.Name[len("refs/tags/"):]] = t.SHA
		}
	}
	r.history = append(r.history, state)
}

func equalRelease(a, b ReleaseState) bool {
	same := slices.Equal(a.Assets, b.Assets)
	a.Assets, b.Assets = nil, nil
	return same && a.ID == b.ID && a.Tag == b.Tag && a.Draft == b.Draft && a.Prerelease == b.Prerelease &&
		a.Immutable == b.Immutable && a.Latest == b.Latest && a.Body == b.Body
}

func (c *call) cause() string { return c.r.Method + " " + c.r.URL.Path + " " + c.id }
