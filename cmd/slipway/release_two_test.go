package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imrightguy/slipway/cmd/slipway/internal/crash"
	"github.com/imrightguy/slipway/pipeline"
)

// clone is a release manager's own clone: no journal in it yet.
func (s *stage) clone(x *template) *trial {
	s.t.Helper()
	r := s.trial(x)
	for _, dir := range []string{".slipway", "dist"} {
		if err := os.RemoveAll(filepath.Join(r.dir, dir)); err != nil {
			s.t.Fatal(err)
		}
	}
	return r
}

// told demands that a release manager was told that somebody else is releasing.
func (x *trial) told(code int, said string) {
	x.t.Helper()
	x.orderly(code, said)
	if code != 5 {
		x.t.Errorf("the other one was told with exit code %d:\n%s", code, said)
	}
}

// steps back: what the loser of two takes back is not the winner's, so the winner's release ends right, and stays so.
func (x *trial) stepsBack() {
	x.t.Helper()
	code, said := x.slipway("rollback", "--yes")
	x.orderly(code, said)
	if code != 0 {
		x.t.Errorf("rollback of the loser: exit code %d:\n%s", code, said)
	}
}

// TestTwoManagers lets two release managers begin the same release, each in a clone and with a journal of their own: one
// of them releases it, the other is told, and neither does harm to the other's work, not by taking back their own either.
func TestTwoManagers(t *testing.T) {
	x := newTemplate(t, variant{})
	s := newStage(t, x)
	first := s.clone(x)
	first.ends()
	s.holds(first)
	after := map[string]int{} // records until an outward step is done, or gone out to
	for i, r := range first.records() {
		if strings.HasPrefix(r.Step, "release/") && (r.Event == pipeline.Done || r.Event == pipeline.Started) {
			after[fmt.Sprintf("%s %s", r.Step, r.Event)] = i + 1
		}
	}

	var names []string
	for _, at := range []string{
		"release/branch started", "release/branch done", "release/draft started", "release/draft done", "release/asset/LICENSE done",
		"release/inspect done", "release/tag started", "release/tag done", "release/publish started", "release/publish done", "release/merge started",
	} {
		if after[at] == 0 {
			t.Fatalf("no record %s in %v", at, sorted(after))
		}
		names = append(names, at)
	}
	if *crashes == 0 {
		names = []string{"release/branch done", "release/draft done", "release/tag done", "release/publish done"}
	}
	t.Run("in turn", func(t *testing.T) {
		trials(t, names, func(t *testing.T, at string) { // one has got so far when the other begins and goes to the end
			s := newStage(t, x)
			a, b := s.clone(x), s.clone(x)
			a.env = []string{fmt.Sprintf("%s=%d", crash.Variable, after[at])}
			if code, said := a.slipway("run", "--yes", "--jobs", "2"); code != -1 {
				t.Fatalf("exit code %d:\n%s", code, said)
			}
			a.env = nil
			winner, loser := a, b
			code, said := b.run()
			if code == 0 { // what a had done so far is nobody's, or everybody's
				winner, loser = b, a
				code, said = a.run()
			}
			loser.told(code, said)
			loser.stepsBack()
			winner.ends()
			s.holds(winner)
		})
	})
	rounds := []string{"1", "2", "3"}
	for n := 4; n <= *crashes/10; n++ {
		rounds = append(rounds, fmt.Sprint(n))
	}
	t.Run("at once", func(t *testing.T) {
		for _, round := range rounds { // each has two programs
			t.Run(round, func(t *testing.T) {
				s := newStage(t, x)
				seed := uint64(time.Now().UnixNano())
				t.Logf("seed %d", seed)
				rnd := rand.New(rand.NewPCG(seed, 1))
				var mu sync.Mutex
				s.on = func(string, any) {
					mu.Lock()
					d := rnd.IntN(15)
					mu.Unlock()
					time.Sleep(time.Duration(d) * time.Millisecond)
				}
				a, b := s.clone(x), s.clone(x)
				ca, cb := a.start("run", "--yes"), b.start("run", "--yes")
				codeA, codeB := ca.wait(), cb.wait()
				winner, loser, code, said := a, b, codeB, cb.out.String()
				if codeA != 0 {
					winner, loser, code, said = b, a, codeA, ca.out.String()
				}
				if codeA != 0 && codeB != 0 {
					t.Errorf("nobody wins: %d\n%s\n%d\n%s", codeA, ca.out.String(), codeB, cb.out.String())
				}
				loser.told(code, said)
				loser.stepsBack()
				winner.ends()
				s.holds(winner)
			})
		}
	})
	t.Run("one journal", func(t *testing.T) {
		s := newStage(t, x)
		here, goOn := make(chan bool), make(chan bool)
		var once sync.Once
		s.on = func(what string, _ any) {
			if what == "github arrived #9" {
				once.Do(func() { close(here); <-goOn })
			}
		}
		a := s.clone(x)
		c := a.start("run", "--yes")
		select {
		case <-here:
		case <-time.After(time.Minute):
			t.Error("it does not get there")
		}
		for _, args := range [][]string{{"run", "--yes"}, {"rollback", "--yes"}} {
			code, said := a.slipway(args...)
			if a.orderly(code, said); code != 6 {
				t.Errorf("%v beside a run: exit code %d:\n%s", args, code, said)
			}
		}
		close(goOn)
		if code := c.wait(); code != 0 {
			t.Errorf("exit code %d:\n%s", code, c.out.String())
		}
		a.ends()
		s.holds(a)
	})
}
