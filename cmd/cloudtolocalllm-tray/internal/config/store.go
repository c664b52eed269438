// Package config holds the settings: the original's connection_config.json,
// read as it is and written in its own form, and settings.json for what the
// original had no key for. Both are watched: an edit from outside is taken in,
// and a save goes on top of it.
package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/disk"
)

// ErrConflict says that a change was made to an older revision than ours.
var ErrConflict = errors.New("the settings have changed: read them again")

// Snapshot is the settings at one moment. It is never changed.
type Snapshot struct {
	Revision    uint64
	Settings    Settings
	Connections map[string]Connection
	Problems    []string // what could not be used, in words for a person
}

// Store keeps both files and their copy in memory in step.
type Store struct {
	dir string

	mu          sync.Mutex
	now         Snapshot
	extra       map[string]json.RawMessage
	connProblem []string
	setProblem  []string
	connBad     bool
	setBad      bool
	connStamp   stamp
	setStamp    stamp
	listeners   []func(Snapshot)

	tell sync.Mutex // keeps the calls of listeners in order
}

// Open reads the settings in dir, and makes connection_config.json when there
// is none. An unreadable file is kept as .bad before anything overwrites it.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir}
	s.now.Settings = defaultSettings()
	s.now.Connections = map[string]Connection{Local: defaultConnection(Local), Cloud: defaultConnection(Cloud)}
	if _, err := s.loadLocked(); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(s.connPath()); errors.Is(err, fs.ErrNotExist) {
		b, err := printConnections(s.now.Connections, nil)
		if err != nil {
			return nil, err
		}
		if err := disk.WriteRun(s.connPath(), b); err != nil { // nothing is lost if it is: a start never waits for the disk
			return nil, err
		}
		s.connStamp = stampOf(s.connPath())
	}
	return s, nil
}

func (s *Store) connPath() string { return filepath.Join(s.dir, "connection_config.json") }
func (s *Store) setPath() string  { return filepath.Join(s.dir, "settings.json") }

// Now returns the settings.
func (s *Store) Now() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// View returns the document a client sees, without secrets.
func (s *Store) View() (revision uint64, doc map[string]any, err error) {
	n := s.Now()
	b, err := json.Marshal(n.view())
	if err == nil {
		err = decode(b, &doc)
	}
	return n.Revision, doc, err
}

// Listen calls f after every change, with the settings as they are then. f must not block.
func (s *Store) Listen(f func(Snapshot)) {
	s.mu.Lock()
	s.listeners = append(s.listeners, f)
	s.mu.Unlock()
}

// Reload takes in what was changed outside, and reports whether anything was.
func (s *Store) Reload() (bool, error) {
	s.tell.Lock()
	defer s.tell.Unlock()
	s.mu.Lock()
	changed, err := s.loadLocked()
	s.mu.Unlock()
	if changed {
		s.announce()
	}
	return changed, err
}

// Patch lays a partial document over the settings and saves. All or nothing:
// an unknown key, a bad value or an older revision changes nothing.
func (s *Store) Patch(revision uint64, patch []byte) (uint64, error) {
	return s.change(&revision, func(n Snapshot) (Snapshot, error) { return n.patched(patch) })
}

// Edit changes connections by code, on top of whatever was edited outside.
func (s *Store) Edit(f func(map[string]Connection)) error {
	_, err := s.change(nil, func(n Snapshot) (Snapshot, error) {
		n.Connections = maps.Clone(n.Connections)
		f(n.Connections)
		return n, nil
	})
	return err
}

func (s *Store) change(revision *uint64, f func(Snapshot) (Snapshot, error)) (uint64, error) {
	s.tell.Lock()
	defer s.tell.Unlock()
	s.mu.Lock()
	outside, err := s.loadLocked() // an outside edit since the last look counts as newer
	if err == nil && revision != nil && *revision != s.now.Revision {
		err = ErrConflict
	}
	saved := false
	if err == nil {
		saved, err = s.applyLocked(f)
	}
	rev := s.now.Revision
	s.mu.Unlock()
	if outside || saved {
		s.announce()
	}
	return rev, err
}

func (s *Store) applyLocked(f func(Snapshot) (Snapshot, error)) (bool, error) {
	was := s.now
	next, err := f(was)
	if err != nil {
		return false, err
	}
	conns := !reflect.DeepEqual(was.Connections, next.Connections)
	sets := !reflect.DeepEqual(was.Settings, next.Settings)
	if !conns && !sets {
		return false, nil
	}
	next.Revision++
	if conns {
		if err := s.saveConnLocked(next.Connections); err != nil {
			return false, err
		}
	}
	if err := s.saveSetLocked(next.Settings, next.Revision); err != nil { // the revision lives here
		if conns {
			err = errors.Join(err, s.saveConnLocked(was.Connections))
		}
		return false, err
	}
	s.now.Revision, s.now.Settings, s.now.Connections = next.Revision, next.Settings, next.Connections
	s.now.Problems = slices.Concat(s.connProblem, s.setProblem)
	return true, nil
}

func (s *Store) announce() {
	s.mu.Lock()
	n, fs := s.now, s.listeners
	s.mu.Unlock()
	for _, f := range fs {
		f(n)
	}
}

// loadLocked reads what has changed on disk since we looked or wrote.
func (s *Store) loadLocked() (changed bool, err error) {
	was := s.now
	next := s.now
	if raw, st, ok, err := readIfNew(s.connPath(), s.connStamp); err != nil {
		return false, err
	} else if ok {
		s.connStamp = st
		next.Connections, s.extra, s.connProblem, s.connBad = parseConnections(raw)
		slices.Sort(s.connProblem)
	}
	if raw, st, ok, err := readIfNew(s.setPath(), s.setStamp); err != nil {
		return false, err
	} else if ok {
		s.setStamp = st
		var rev uint64
		next.Settings, rev, s.setProblem, s.setBad = parseSettings(raw)
		next.Revision = max(next.Revision, rev)
	}
	next.Problems = slices.Concat(s.connProblem, s.setProblem)
	if changed = !reflect.DeepEqual(was, next); changed {
		if was.Revision == next.Revision {
			next.Revision++
		}
		s.now = next
	}
	return changed, nil
}

func (s *Store) saveConnLocked(conns map[string]Connection) error {
	b, err := printConnections(conns, s.extra)
	if err != nil {
		return fmt.Errorf("cannot print the settings: %w", err)
	}
	if err := keepBad(s.connPath(), s.connBad); err != nil {
		return err
	}
	if err := disk.Write(s.connPath(), b); err != nil {
		return err
	}
	s.connBad, s.connStamp = false, stampOf(s.connPath())
	return nil
}

func (s *Store) saveSetLocked(set Settings, revision uint64) error {
	b, err := printSettings(set, revision)
	if err != nil {
		return fmt.Errorf("cannot print the settings: %w", err)
	}
	if err := keepBad(s.setPath(), s.setBad); err != nil {
		return err
	}
	if err := disk.Write(s.setPath(), b); err != nil {
		return err
	}
	s.setBad, s.setStamp = false, stampOf(s.setPath())
	return nil
}

// keepBad copies a damaged file aside before it is overwritten.
func keepBad(path string, bad bool) error {
	if !bad {
		return nil
	}
	b, err := disk.Read(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("cannot keep the damaged file: %w", err)
	}
	return disk.Write(path+".bad", b)
}

// stamp tells one version of a file from another without reading it.
type stamp struct {
	mod  time.Time
	size int64
	info os.FileInfo
}

func stampOf(path string) stamp {
	fi, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{fi.ModTime(), fi.Size(), fi}
}

func (a stamp) same(b stamp) bool {
	if a.info == nil || b.info == nil {
		return a.info == b.info
	}
	return a.mod.Equal(b.mod) && a.size == b.size && os.SameFile(a.info, b.info)
}

// readIfNew reads a file whose stamp differs. A missing file changes nothing:
// the settings in memory stand and the next save writes them.
func readIfNew(path string, known stamp) (raw []byte, st stamp, isNew bool, err error) {
	st = stampOf(path)
	if st.info == nil || st.same(known) {
		return nil, known, false, nil
	}
	raw, err = disk.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, known, false, nil
	}
	if err != nil {
		return nil, known, false, fmt.Errorf("cannot read the settings: %w", err)
	}
	return bytes.Clone(raw), st, true, nil
}
