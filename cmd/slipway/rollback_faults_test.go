package main

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/imrightguy/slipway/phases"
)

// wrong lists what can go wrong at a rollback's requests, as an undisturbed one has made them from a moment on: at those
// that change something, and at the others.
func (p *past) wrong(t *testing.T, s *stage, from mark) (changing, looking []string) {
	t.Helper()
	known := stageWith(t, p.template, func(o *phases.RehearsalOptions) { o.Faults = phases.FaultNames() })
	s.mu.Lock()
	known.seen = slices.Clone(s.seen[from.at:])
	s.mu.Unlock()
	changes, n := map[string]bool{}, 0 // by the number of a request to GitHub
	for _, op := range known.seen {
		if f := strings.Fields(op); f[0] == "github" && f[1] == "arrived" {
			n++
			changes[fmt.Sprint(n)] = f[3] != "GET" && f[3] != "HEAD"
		}
	}
	for _, f := range known.each("https") {
		_, fault, _ := strings.Cut(f, " ")
		where, _, _ := strings.Cut(fault, ": ")
		at := where[strings.LastIndex(where, "#")+1:]
		if strings.HasPrefix(fault, "github/") && changes[strings.TrimSuffix(at, "+")] || strings.Contains(where, "receive-pack") {
			changing = append(changing, fault)
		} else {
			looking = append(looking, fault)
		}
	}
	return changing, looking
}

// faulty lets what can go wrong at the twins go wrong at each request of a rollback, one at a time and several together:
// the rollback ends right by itself, or it stops, says why, and tells where each channel stands, and a later one ends
// right.
func (p *past) faulty(t *testing.T, g *gated, want returned) {
	s := p.stage(t)
	r := s.trial(g.template)
	from := s.mark()
	if code, said := r.slipway(g.command()...); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	changing, looking := p.wrong(t, s, from)
	some := max(3, *faults)
	list, rnd := pick(t, changing, some)
	if some > len(list) {
		more, _ := pick(t, looking, (some-len(list))/2)
		for list = append(list, more...); len(list) < some; {
			var together []string
			for range 2 + rnd.IntN(4) {
				from := [][]string{changing, looking}[rnd.IntN(2)]
				if f := from[rnd.IntN(len(from))]; !strings.Contains(f, ": rival") {
					together = append(together, f)
				}
			}
			list = append(list, strings.Join(together, " & "))
		}
	}
	t.Logf("%d of %d faults at requests that change something and %d at others", len(list), len(changing), len(looking))
	var alone, stopped atomic.Int64
	t.Run("at", func(t *testing.T) {
		trials(t, list, func(t *testing.T, name string) {
			s := p.stage(t)
			r := s.trial(g.template)
			s.faults(strings.Split(name, " & ")...)
			code, said := r.slipway(g.command()...)
			r.orderly(code, said)
			if strings.Contains(name, ": rival") {
				if code != 5 {
					t.Errorf("exit code %d:\n%s", code, said)
				}
				return
			}
			defer func() {
				if t.Failed() {
					t.Logf("the first had said:\n%s", said)
				}
			}()
			if code == 0 {
				alone.Add(1)
			} else {
				stopped.Add(1)
				s.faults() // whoever asks now, asks a world that answers
				s.told(r, want.before)
				s.reported(r, want.before, true)
				s.faults(strings.Split(name, " & ")...)
				again, text := r.back()
				if r.orderly(again, text); code == 5 || again == 5 {
					t.Errorf("a fault is no conflict: %d\n%s\n%d\n%s", code, said, again, text)
				}
			}
			s.faults()
			if code, said := r.back(); code != 0 {
				t.Fatalf("exit code %d:\n%s", code, said)
			}
			s.ended(r, want)
		})
	})
	t.Logf("%d rollbacks ended right by themselves, %d stopped and a later one ended right", alone.Load(), stopped.Load())
}
