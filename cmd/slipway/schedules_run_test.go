package main

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var (
	schedules = flag.Int("schedules", 4, "how many schedules TestSchedules makes up")
	firstSeed = flag.Uint64("seed", 0, "the seed of its first schedule; 0 takes the time")
)

// TestSchedules lets things happen to a release in an order that nobody thought of: it runs, is killed (after a record,
// or when a twin has got a request or answered it), meets faults, goes on, is unwound or rolled back, which is killed
// too, is held and let go, on two machines of which one may be behind, while others push. Whatever happened, no state of
// the world could hurt anybody (see stagehand.always), and a few plain commands bring it to rest: released, rolled back,
// or unwound, each whole.
//
// A failure shows the schedule and what each command said; -seed S -schedules 1 does it again.
func TestSchedules(t *testing.T) {
	needTools(t, "git")
	aur := true // worlds with an AUR are left out where its judges cannot be asked
	for _, tool := range append([]string{"ssh", "vercmp"}, judges...) {
		t.Run("needs "+tool, func(t *testing.T) {
			defer func() { aur = aur && !t.Skipped() }()
			needTools(t, tool)
		})
	}
	if t.Failed() {
		return
	}
	seed := *firstSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) >> 10
	}
	var list []schedule
	var names []string
	ways := map[bool][]string{}
	for i := range uint64(*schedules) {
		s := newSchedule(seed+i, aur)
		list, names = append(list, s), append(names, fmt.Sprint(s.seed))
		ways[s.kind.aur] = append(ways[s.kind.aur], s.judgedBy()...)
	}
	on := map[bool]*grounds{}
	for with, w := range ways {
		on[with] = newGrounds(t, with)
		on[with].judge(t, w)
	}
	var total tally
	var shrunk atomic.Bool
	began := time.Now()
	t.Run("seed", func(t *testing.T) {
		trials(t, names, func(t *testing.T, name string) {
			s := list[slices.Index(names, name)]
			h := on[s.kind.aur].perform(t, s)
			total.add(h)
			if len(h.wrong) == 0 {
				return
			}
			t.Errorf("%s\n%s", strings.Join(h.wrong, "\n"), h.story())
			if shrunk.CompareAndSwap(false, true) {
				t.Logf("what is left of it fails alike:\n%s", on[s.kind.aur].shrink(t, s, h.wrong[0]))
			}
		})
	})
	t.Logf("from seed %d: %s, %v", seed, &total, time.Since(began).Round(time.Second))
}

// judgedBy lists the ways in which the schedule asks for AUR packages; one that is none where there is no AUR.
func (s schedule) judgedBy() (ways []string) {
	if !s.kind.aur {
		return []string{""}
	}
	ways = []string{byRun, byRollback} // its end may ask for one
	for _, a := range s.actions {
		if slices.Contains(a.args, "--epoch") {
			ways = append(ways, byEpoch)
		}
	}
	return ways
}

// tally counts what has happened.
type tally struct{ schedules, actions, kills, faults, backs, refusals, released, rolled, unwound atomic.Int64 }

func (c *tally) add(h *stagehand) {
	c.schedules.Add(1)
	for _, d := range h.deeds {
		c.actions.Add(1)
		switch {
		case d.killed:
			c.kills.Add(1)
		case d.code != 0:
			c.refusals.Add(1)
		}
		if strings.HasPrefix(d.trouble, "faults") {
			c.faults.Add(1)
		}
		if d.do == "back" {
			c.backs.Add(1)
		}
	}
	map[string]*atomic.Int64{"released": &c.released, "rolled back": &c.rolled, "unwound": &c.unwound, "": new(atomic.Int64)}[h.ending].Add(1)
}

func (c *tally) String() string {
	return fmt.Sprintf("%d schedules of %d actions (%d kills, %d with faults, %d rollbacks, %d errors and refusals) ended with %d releases, %d rolled back, %d unwound",
		c.schedules.Load(), c.actions.Load(), c.kills.Load(), c.faults.Load(), c.backs.Load(), c.refusals.Load(), c.released.Load(), c.rolled.Load(), c.unwound.Load())
}

// perform carries a schedule out and looks at what has become of the world.
func (x *grounds) perform(t *testing.T, s schedule) *stagehand {
	t.Helper()
	h := &stagehand{grounds: x, schedule: s, t: t, s: x.stage(t, s.kind.immutable)}
	h.machines[0] = h.s.trial(x.template)
	since := time.Now()
	for _, a := range s.actions {
		h.act(a)
	}
	h.rest()
	h.whole(h.always(since))
	return h
}

// story is the schedule with what was said.
func (h *stagehand) story() string {
	var b strings.Builder
	fmt.Fprintf(&b, "-seed %d -schedules 1: %s", h.seed, h.schedule)
	for i, d := range h.deeds {
		said := strings.Split(strings.TrimSpace(d.said), "\n")
		if most := 25; len(said) > most {
			said = append([]string{"..."}, said[len(said)-most:]...)
		}
		fmt.Fprintf(&b, "%d %s: exit code %d after %v\n    %s\n", i+1, d.action, d.code, d.ended.Sub(d.begun).Round(time.Millisecond), strings.Join(said, "\n    "))
	}
	return b.String()
}

// shrink leaves actions out as long as the same goes wrong.
func (x *grounds) shrink(t *testing.T, s schedule, wrong string) string {
	alike := func(a string) string { // without what differs from world to world
		_, what, ok := strings.Cut(a, ": ")
		if !ok {
			what = a
		}
		return fmt.Sprintf("%.40s", what)
	}
	end := time.Now().Add(2 * time.Minute)
	for i := len(s.actions) - 1; i >= 0 && time.Now().Before(end); i-- {
		less := s
		less.actions = slices.Delete(slices.Clone(s.actions), i, i+1)
		h := x.perform(t, less)
		if slices.ContainsFunc(h.wrong, func(w string) bool { return alike(w) == alike(wrong) }) {
			s = less
		}
	}
	return s.String()
}
