package github

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"

	twin "github.com/imrightguy/slipway/phases/internal/twins/github"
	"github.com/imrightguy/slipway/pipeline"
)

// long says that everything is to be tried, not a sample.
func long() bool { return os.Getenv("SLIPWAY_LONG") == "1" }

var object = regexp.MustCompile(`/[0-9a-f]{40}$`)

// faults are all that the twin can do wrong by name, at each request of an undisturbed release, one at a time.
func faults(t *testing.T) []twin.Fault {
	t.Helper()
	s := newStage(t)
	if err := s.manager().run(); err != nil {
		t.Fatal(err)
	}
	var all []twin.Fault
	seen := map[string]int{}
	for _, r := range s.twin.Requests() {
		path := object.ReplaceAllString(r.Path, "/*") // a tag's object names the run
		key := r.Method + r.Host + path
		seen[key]++
		if strings.Contains(path, "/git/matching-refs/") || strings.Contains(path, "/git/") && r.Method == "POST" {
			continue // the tag is made by the test
		}
		for _, name := range twin.FaultNames() {
			named, err := twin.NamedFaults(name)
			if err != nil {
				t.Fatal(err)
			}
			f := named[0]
			f.Method, f.Host, f.Path, f.From = r.Method, r.Host, path, seen[key]
			if f.To != 0 {
				f.To = f.From
			}
			write := r.Method != "GET"
			switch f.Effect {
			case twin.Late, twin.Stale, twin.Undigested, twin.Renamed, twin.Exists:
				if !write {
					continue // nothing is made
				}
			case twin.Flip:
				if r.Host != "downloads" {
					continue // no JSON: TLS and its own syntax guard that
				}
			}
			all = append(all, f)
		}
	}
	return all
}

// survive runs the release with faults until they are over, and demands a right end.
func survive(t *testing.T, plan []twin.Fault) (byItself bool) {
	t.Helper()
	s := newStage(t).quick()
	if err := s.twin.SetFaults(plan); err != nil {
		t.Fatal(err)
	}
	m := s.manager()
	err := m.run()
	if pending := s.twin.Pending(); len(plan) == 1 && len(pending) > 0 {
		t.Errorf("the fault did not strike")
	}
	s.always()
	if err == nil {
		s.ended()
		return true
	}
	if text := err.Error(); strings.Contains(text, secret) || strings.ContainsAny(strings.ReplaceAll(text, "\n", ""), "\r\x00\x1b") || len(text) > 4000 {
		t.Errorf("no error for people: %q", text)
	}
	if errors.Is(err, pipeline.ErrConflict) {
		t.Errorf("a fault is no conflict: %v", err)
	}
	if err := s.twin.SetFaults(nil); err != nil {
		t.Fatal(err)
	}
	if again := m.run(); again != nil {
		t.Errorf("stopped with: %v\nand a later run with: %v", err, again)
		return false
	}
	s.ended()
	return false
}

// TestOneFaultAtATime strikes each request of a release in each way: the run ends right by itself, or stops and a later
// one ends right; no release without all its assets is ever published.
func TestOneFaultAtATime(t *testing.T) {
	all := faults(t)
	most := 50
	if long() {
		most = len(all)
	}
	alone := 0
	for _, k := range rand.New(rand.NewPCG(1, 2)).Perm(len(all))[:min(most, len(all))] {
		f := all[k]
		t.Run(strings.ReplaceAll(f.String(), "/", "|"), func(t *testing.T) {
			if survive(t, []twin.Fault{f}) {
				alone++
			}
		})
	}
	t.Logf("%d of %d faults tried, %d of them healed by themselves", min(most, len(all)), len(all), alone)
}

// TestManyFaultsAtOnce strikes a release several times.
func TestManyFaultsAtOnce(t *testing.T) {
	all := faults(t)
	runs := 8
	if long() {
		runs = 500
	}
	for seed := range runs {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 7))
			var plan []twin.Fault
			for range 2 + r.IntN(6) {
				plan = append(plan, all[r.IntN(len(all))])
			}
			survive(t, plan)
		})
	}
}
