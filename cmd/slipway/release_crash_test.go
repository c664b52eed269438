package main

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imrightguy/slipway/cmd/slipway/internal/crash"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// two lets two trials run at a time, each with at most two programs.
var two = make(chan struct{}, 2)

// trials runs trials side by side, each by its name.
func trials(t *testing.T, names []string, try func(t *testing.T, name string)) {
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			two <- struct{}{}
			defer func() { <-two }()
			try(t, name)
		})
	}
}

// pick takes n of the names, and tells how they were chosen.
func pick(t *testing.T, names []string, n int) (list []string, rnd *rand.Rand) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd = rand.New(rand.NewPCG(seed, 1))
	list = slices.Clone(names)
	rnd.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	list = list[:min(n, len(list))]
	slices.Sort(list)
	return list, rnd
}

// judges are the tools that a package has to please before it goes to the AUR.
var judges = []string{"makepkg", "pacman", "bwrap", "bsdtar"}

// aurTemplate is a release that is out and whose package has passed the gate of the AUR phase; the world that it went
// out to stands, and each trial gets an AUR of its own.
type aurTemplate struct {
	*template
	world *stage
}

// newAURTemplate makes one. What it takes the judges to look at the package, is spent here and not in each trial.
func newAURTemplate(t *testing.T) *aurTemplate {
	t.Helper()
	needTools(t, judges...)
	x := newTemplate(t, variant{aur: true})
	world := newStage(t, x)
	r := world.trial(x)
	r.ends()
	world.holds(r)
	world.holdsAUR(r)
	world.inOrder()
	at, found := 0, false
	for i, rec := range r.records() {
		if rec.Step == "gate/aur" && rec.Event == pipeline.Done {
			at, found = i+1, true
		}
	}
	if !found {
		t.Fatal("gate/aur has not passed")
	}
	file := filepath.Join(r.journalDir(), journal.FileName)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	if err := os.WriteFile(file, bytes.Join(lines[:at], nil), 0o644); err != nil { // as if it had been killed there
		t.Fatal(err)
	}
	out := &aurTemplate{&template{dir: r.dir}, world}
	out.open(t)
	return out
}

// stage stages an AUR beside the world that has the release.
func (x *aurTemplate) stage(t *testing.T, faults ...string) *stage {
	t.Helper()
	c := *x.config
	c.Release = nil
	s := stageOf(t, x.template, &c, faults...)
	m := x.world.Map
	hosts, git := maps.Clone(m.Hosts), maps.Clone(m.Git)
	maps.Copy(hosts, s.Map.Hosts)
	maps.Copy(git, s.Map.Git)
	s.Map.Hosts, s.Map.Git, s.Map.Token = hosts, git, m.Token
	s.tell()
	return s
}

// dies lets the next program of a trial die at an operation of a twin: it is gone before the twin goes on.
func (s *stage) dies(at string) (victim chan<- *child, dead *atomic.Bool) {
	who := make(chan *child, 1)
	dead = new(atomic.Bool)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = func(what string, _ any) {
		if what == at && dead.CompareAndSwap(false, true) {
			(<-who).kill()
		}
	}
	return who, dead
}

// moments are where a program can die: after each record from one on, and at each operation of a twin that was seen.
func moments(s *stage, from, records int) (list []string) {
	for n := 1; n <= records-from; n++ {
		list = append(list, fmt.Sprintf("record %d", n))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, what := range s.seen {
		f := strings.Fields(what)
		list = append(list, strings.Join(f[:3], " "))
	}
	return list
}

// dieAt runs the release until it is killed at a moment. It reports whether that moment came.
func (x *trial) dieAt(s *stage, moment string) bool {
	x.t.Helper()
	var n int
	if _, err := fmt.Sscanf(moment, "record %d", &n); err == nil {
		x.env = []string{fmt.Sprintf("%s=%d", crash.Variable, n)}
		code, said := x.slipway("run", "--yes", "--jobs", "2")
		if x.env = nil; code != -1 && code != 0 {
			x.t.Fatalf("exit code %d:\n%s", code, said)
		}
		return code == -1
	}
	victim, dead := s.dies(moment)
	c := x.start("run", "--yes", "--jobs", "2")
	victim <- c
	if code := c.wait(); code != -1 && code != 0 {
		x.t.Fatalf("exit code %d:\n%s", code, c.out.String())
	}
	return dead.Load()
}

// dieIn runs the release and kills it after a time.
func (x *trial) dieIn(d time.Duration) bool {
	x.t.Helper()
	c := x.start("run", "--yes", "--jobs", "2")
	timer := time.AfterFunc(d, func() { _ = c.Process.Kill() })
	defer timer.Stop()
	code := c.wait()
	if code != -1 && code != 0 {
		x.t.Fatalf("exit code %d:\n%s", code, c.out.String())
	}
	return code == -1
}

// TestCrash_Release kills the real program (SIGKILL) while it releases: after every record, when a request has arrived at
// GitHub, the git remote or the AUR and nothing was done, when all was done and the answer has not left, and at random
// moments. The next run takes the release to its end, and there is one of everything.
func TestCrash_Release(t *testing.T) {
	if *crashes == 0 {
		t.Skip("takes minutes: make crash runs it")
	}
	plans := map[string]*template{}
	var all []string
	for _, v := range []variant{{}, {ssh: true}} {
		x := newTemplate(t, v)
		s := newStage(t, x)
		r := s.trial(x)
		before := len(r.records())
		r.ends()
		s.holds(r)
		plans[v.String()] = x
		for _, m := range moments(s, before, len(r.records())) {
			if v.ssh && !strings.HasPrefix(m, "git ") { // the rest is the same
				continue
			}
			all = append(all, v.String()+" "+m)
		}
	}
	published := newAURTemplate(t)
	s := published.stage(t)
	r := s.trial(published.template)
	before := len(r.records())
	r.ends()
	s.holdsAUR(r)
	for _, m := range moments(s, before, len(r.records())) {
		all = append(all, "aur "+m)
	}
	t.Logf("%d moments to die at", len(all))
	list, rnd := pick(t, all, max(*crashes*3/4, *crashes-len(all)))
	for i := range *crashes - len(list) {
		kind := []string{"https", "ssh", "aur"}[rnd.IntN(3)]
		list = append(list, fmt.Sprintf("%s random %d %d %d", kind, i, rnd.IntN(900), rnd.IntN(900)))
	}
	var kills, missed atomic.Int64
	t.Run("at", func(t *testing.T) {
		trials(t, list, func(t *testing.T, name string) {
			kind, moment, _ := strings.Cut(name, " ")
			var s *stage
			var r *trial
			if kind == "aur" {
				s = published.stage(t)
				r = s.trial(published.template)
			} else {
				s = newStage(t, plans[kind])
				r = s.trial(plans[kind])
			}
			died := func(dead bool) {
				if dead {
					kills.Add(1)
				} else {
					missed.Add(1)
				}
			}
			var i, first, second int
			if _, err := fmt.Sscanf(moment, "random %d %d %d", &i, &first, &second); err == nil {
				died(r.dieIn(time.Duration(first) * time.Millisecond))
				died(r.dieIn(time.Duration(second) * time.Millisecond))
			} else {
				dead := r.dieAt(s, moment)
				if died(dead); !dead {
					t.Logf("%s did not come", moment)
				}
			}
			r.ends()
			if kind == "aur" {
				s.holdsAUR(r)
			} else {
				s.holds(r)
			}
		})
	})
	t.Logf("%d kills, %d ends before the kill", kills.Load(), missed.Load())
	if kills.Load() < int64(*crashes)*3/4 {
		t.Errorf("only %d kills", kills.Load())
	}
}
