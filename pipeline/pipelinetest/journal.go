// Package pipelinetest tests phases and the engine: a journal in memory that can fail at any record, a snapshot of
// files, and the contract that every phase keeps.
package pipelinetest

import (
	"errors"
	"iter"
	"slices"
	"sync"

	"github.com/imrightguy/slipway/pipeline"
)

// ErrPowerCut is what a [Memory] journal returns once it has failed.
var ErrPowerCut = errors.New("power cut")

// Memory is a journal in memory. The zero value is empty and never fails.
type Memory struct {
	// Cut, where not nil, is asked before each record, by its number from 1. Where it says so the power is cut: the
	// record is kept if keep is true, Append fails, and so does every later one.
	Cut func(n int, r pipeline.Record) (cut, keep bool)

	mu      sync.Mutex
	records []pipeline.Record
	dead    bool
}

// Append keeps the record.
func (m *Memory) Append(r pipeline.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	keep := true
	if m.Cut != nil && !m.dead {
		m.dead, keep = m.Cut(len(m.records)+1, r)
		keep = keep || !m.dead
	} else if m.dead {
		return ErrPowerCut
	}
	if keep {
		m.records = append(m.records, r)
	}
	if m.dead {
		return ErrPowerCut
	}
	return nil
}

// Records yields a copy of what was kept.
func (m *Memory) Records() iter.Seq2[pipeline.Record, error] {
	all := m.All()
	return func(yield func(pipeline.Record, error) bool) {
		for _, r := range all {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// All returns a copy of what was kept.
func (m *Memory) All() []pipeline.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.records)
}

// Revive returns a journal that holds the same records and does not fail: the machine after the power is back.
func (m *Memory) Revive() *Memory { return &Memory{records: m.All()} }
