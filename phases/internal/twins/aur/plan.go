package aur

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
)

// armed is a fault with its count of matching operations.
type armed struct {
	Fault
	seen, struck int
}

// armFaults parts a plan into this package's faults and gitd's.
func armFaults(faults []Fault) (own []*armed, foreign []gitd.Fault, err error) {
	for _, f := range faults {
		if f.Git != nil {
			foreign = append(foreign, *f.Git)
			continue
		}
		if f.From == 0 {
			f.From = 1
		}
		if err := f.check(); err != nil {
			return nil, nil, fmt.Errorf("cannot plan fault %q: %w", f, err)
		}
		own = append(own, &armed{Fault: f})
	}
	return own, foreign, nil
}

// SetFaults replaces the plan; counting starts anew.
func (s *Server) SetFaults(faults []Fault) error {
	own, foreign, err := armFaults(faults)
	if err != nil {
		return err
	}
	if err := s.git.SetFaults(foreign); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = own
	return nil
}

// Pending returns the faults of the plan that have not struck yet: a test of faults that leaves some here has tested
// less than it says.
func (s *Server) Pending() []Fault {
	var list []Fault
	s.mu.Lock()
	for _, a := range s.faults {
		if a.struck == 0 {
			list = append(list, a.Fault)
		}
	}
	s.mu.Unlock()
	for _, g := range s.git.Pending() {
		list = append(list, Fault{Git: &g})
	}
	return list
}

// strike counts an operation with every fault that it matches, of those with one of the effects, and returns the first
// whose turn it is.
func (s *Server) strike(service string, names []string, effects ...Effect) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hit *armed
	for _, a := range s.faults {
		if !slices.Contains(effects, a.Effect) || !a.matches(service, names) {
			continue
		}
		a.seen++
		if hit == nil && a.seen >= a.From && (a.To == 0 || a.seen <= a.To) {
			hit = a
		}
	}
	if hit == nil {
		return nil
	}
	hit.struck++
	f := hit.Fault
	return &f
}

// named are plans for rehearsals beside those of package gitd: one failure each that a publication must survive or stop
// at with a clear error.
var named = map[string]string{
	"aur-banned":        "receive-pack ** #1: banned",
	"aur-hook-unknown":  "receive-pack ** #1: declined error: package sources must be signed since last week",
	"aur-hook-warns":    "receive-pack ** #1: says warning: .SRCINFO format 2 will be required soon",
	"aur-maintenance":   "* ** #1: maintenance",
	"aur-rival":         "receive-pack ** #1: rival",
	"aur-rival-in-hook": "receive-pack ** #1: rival in hook",
	"aur-rpc-429":       "rpc ** #1: 429",
	"aur-rpc-502":       "rpc ** #1: 502",
	"aur-rpc-cut":       "rpc ** #1: cut",
	"aur-rpc-error":     "rpc ** #1: error Please try again later.",
	"aur-rpc-late":      "receive-pack ** #1: late 3 calls",
	"aur-rpc-page":      "rpc ** #1: page",
	"aur-unverified":    "receive-pack ** #1: unverified",
}

// FaultNames lists the names that [NamedFaults] knows, sorted: the AUR's and those of package gitd.
func FaultNames() []string {
	return slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Keys(named)), gitd.FaultNames())))
}

// NamedFaults returns the plan with a name.
func NamedFaults(name string) ([]Fault, error) {
	if plan, ok := named[name]; ok {
		return ParseFaults(plan)
	}
	list, err := gitd.NamedFaults(name)
	if err != nil {
		return nil, fmt.Errorf("cannot find fault %q: there are %s", name, strings.Join(FaultNames(), ", "))
	}
	var all []Fault
	for _, g := range list {
		all = append(all, Fault{Git: &g})
	}
	return all, nil
}
