package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imrightguy/slipway/cmd/slipway/internal/crash"
)

// action is one thing that happens in a schedule.
type action struct {
	on      int      // whose machine: 0 is the first, 1 the second
	do      string   // run, back, hold, lift, copy, carry or people
	args    []string // more arguments of the program
	trouble string   // "record N", "TWIN MOMENT N", "faults A & B", or none
}

func (a action) String() string {
	who := []string{"A", "B"}[a.on]
	text := map[string]string{
		"run": "run", "back": "rollback " + released, "hold": "hold " + released, "lift": "hold " + released + " --lift", "copy": "gets a copy of the other one's clone",
		"carry": "state save on the other machine, state load", "people": "somebody pushes to main and drafts a release",
	}[a.do]
	out := strings.TrimSpace(who + ": " + text + " " + strings.Join(a.args, " "))
	if a.trouble != "" {
		out += "   [" + a.trouble + "]"
	}
	return out
}

// schedule is what happens in one world.
type schedule struct {
	seed    uint64
	kind    kind
	actions []action
	goal    string // run or back: with which command it is brought to rest
}

func (s schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; at rest by %s\n", s.kind, s.goal)
	for i, a := range s.actions {
		fmt.Fprintf(&b, "  %d %s\n", i+1, a)
	}
	return b.String()
}

// choose takes one of a list.
func choose[T any](rnd *rand.Rand, list ...T) T { return list[rnd.IntN(len(list))] }

// effectsOf are what goes wrong in schedules, by twin; N stands for a number. A rival's commit is a story of its own.
var effectsOf = map[string][]string{
	"github": {
		"* /** #N: 502", "* /** #N: 500 though done", "* /** #N: cut", "* /** #N: cut though done", "* /** #N+: 502", "* /** #N: 429 retry-after 1s",
		"* /** #N: 403 secondary", "* /** #N: 401", "PATCH /repos/*/*/releases/*: cut though done", "PATCH /repos/*/*/releases/*: 502", "DELETE /** #1: cut though done",
		"DELETE /** #1: 502", "POST /repos/*/*/releases #1: late 2 calls", "POST uploads:/** #N: cut after 10 bytes", "POST uploads:/** #N: 502 though done",
		"GET downloads:/** #N: truncated after 10 bytes",
	},
	"git": {
		"receive-pack ** #N: cut", "receive-pack ** #N: cut though done", "receive-pack ** #N: declined pre-receive hook declined", "upload-pack ** #N: cut",
		"upload-pack ** #N+: refused", "receive-pack ** #N+: refused",
	},
	"aur": {
		"receive-pack ** #1: cut", "receive-pack ** #1: cut though done", "upload-pack ** #N: cut", "connect ** #N: refused", "receive-pack ** #1: declined hook",
		"receive-pack ** #1: maintenance", "rpc ** #1+: 502", "rpc ** #1: cut",
	},
}

// newSchedule makes the schedule of a seed.
func newSchedule(seed uint64, aur bool) schedule {
	rnd := rand.New(rand.NewPCG(seed, 7))
	s := schedule{seed: seed, kind: kind{aur: aur && seed&1 == 0, immutable: seed&2 != 0}, goal: choose(rnd, "run", "back")}
	n, on, two := 3+rnd.IntN(8), 0, false
	for len(s.actions) < n {
		a := action{on: on}
		switch p := rnd.IntN(100); {
		case p < 40 || len(s.actions) == 0 && p < 90: // before, there is little to roll back
			a.do = "run"
		case p < 70:
			a.do = "back"
			if rnd.IntN(3) > 0 {
				a.args = s.rollback(rnd)
			}
		case p < 76:
			a.do = "hold"
		case p < 82:
			a.do = "lift"
		case p < 87:
			a.do = "people"
		default:
			a.do, on = choose(rnd, "copy", "carry", "go over"), 1-on
			if a.do == "go over" && two { // with whatever it had
				continue
			} else if a.do == "go over" {
				a.do = "copy"
			}
			a.on, two = on, true
		}
		if a.do == "hold" || a.do == "lift" {
			a.args = []string{"--reason", "it is slow"}
		}
		if slices.Contains([]string{"run", "back", "hold", "lift"}, a.do) {
			a.trouble = s.trouble(rnd, a.do)
		}
		s.actions = append(s.actions, a)
	}
	return s
}

// rollback are the options of a rollback of what is out.
func (s schedule) rollback(rnd *rand.Rand) []string {
	args := []string{"--to", older, "--reason", "it is slow"}
	if rnd.IntN(3) == 0 {
		var levels []string
		for _, l := range []string{"aur", "github", "git", "hold"} {
			if rnd.IntN(2) == 0 && (l != "aur" || s.kind.aur) {
				levels = append(levels, l)
			}
		}
		if len(levels) > 0 {
			args = append(args, "--level", strings.Join(levels, ","))
		}
	}
	for _, o := range []struct {
		flag string
		in   int
	}{{"--epoch", 8}, {"--delete", 5}, {"--delete-tag", 10}, {"--amend", 6}} {
		if rnd.IntN(o.in) == 0 && (o.flag != "--epoch" || s.kind.aur) {
			args = append(args, o.flag)
		}
	}
	return args
}

// trouble is what comes between.
func (s schedule) trouble(rnd *rand.Rand, do string) string {
	twins := []string{"github", "git"}
	if s.kind.aur {
		twins = append(twins, "aur")
	}
	most := map[string]int{"run": 36, "back": 20, "hold": 5, "lift": 5}[do]
	early := func(n int) int { return 1 + min(rnd.IntN(n), rnd.IntN(n)) } // it may have got far already
	switch p := rnd.IntN(10); {
	case p < 2:
		return ""
	case p < 5:
		return fmt.Sprintf("record %d", early(most))
	case p < 8:
		twin := choose(rnd, twins...)
		return fmt.Sprintf("%s %s %d", twin, choose(rnd, "arrived", "handled"), early(map[string]int{"github": 30, "git": 10, "aur": 6}[twin]))
	}
	var list []string
	for range 1 + rnd.IntN(2) {
		twin := choose(rnd, twins...)
		effect := choose(rnd, effectsOf[twin]...)
		list = append(list, twin+"/"+strings.Replace(effect, "#N", fmt.Sprintf("#%d", 1+rnd.IntN(map[bool]int{true: 25, false: 5}[twin == "github"])), 1))
	}
	return "faults " + strings.Join(list, " & ")
}

// deed is what an action came to.
type deed struct {
	action
	begun, ended time.Time
	code         int
	said         string
	killed       bool
}

// stagehand carries a schedule out.
type stagehand struct {
	*grounds
	schedule
	t        *testing.T
	s        *stage
	machines [2]*trial
	deeds    []deed
	wrong    []string
	people   int
	lastHand int
	ending   string // released, rolled back or unwound
}

// fault notes that something is as it must not be.
func (h *stagehand) fault(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(h.wrong, text) {
		h.wrong = append(h.wrong, text)
	}
}

// act does one thing, and demands what holds of every answer.
func (h *stagehand) act(a action) *deed {
	if a.on == 1 && h.machines[1] == nil && a.do != "copy" && a.do != "carry" {
		a.on = 0
	}
	if a.on == 0 && (a.do == "copy" || a.do == "carry") && h.machines[1] == nil {
		a.on = 1
	}
	h.deeds = append(h.deeds, deed{action: a, begun: time.Now()})
	d := &h.deeds[len(h.deeds)-1]
	defer func() { d.ended = time.Now() }()
	switch a.do {
	case "people":
		h.others()
		return d
	case "copy":
		h.copy(a.on)
		h.lastHand = a.on
		return d
	case "carry":
		h.carry(d)
	default:
		h.program(d)
	}
	h.lastHand = a.on
	h.orderly(d)
	h.readable(d)
	return d
}

// program runs the program on a machine, with what comes between.
func (h *stagehand) program(d *deed) {
	r := h.machines[d.on]
	args := append([]string{"run", "--yes", "--jobs", "2"}, d.args...)
	switch d.do {
	case "run":
		h.judged.seed(h.t, byRun, r.journalDir(), nil)
	case "back":
		args = append([]string{"rollback", released, "--yes", "--jobs", "2"}, d.args...)
		h.judged.seedRollback(h.t, r, d.args...)
	case "hold":
		args = append([]string{"hold", released, "--yes"}, d.args...)
	case "lift":
		args = append([]string{"hold", released, "--lift", "--yes"}, d.args...)
	}
	how, rest, _ := strings.Cut(d.trouble, " ")
	switch how {
	case "":
	case "record":
		r.env = []string{crash.Variable + "=" + rest}
	case "faults":
		h.s.faults(strings.Split(rest, " & ")...)
	default:
		h.dieAt(d, r, args)
		return
	}
	d.code, d.said = r.slipway(args...)
	d.killed = d.code == -1
	r.env = nil
	h.s.faults()
}

// dieAt runs the program until a twin has got or done so many requests.
func (h *stagehand) dieAt(d *deed, r *trial, args []string) {
	var twin, moment string
	var n int
	if _, err := fmt.Sscanf(d.trouble, "%s %s %d", &twin, &moment, &n); err != nil {
		h.t.Fatalf("%q: %v", d.trouble, err)
	}
	var mu sync.Mutex
	victim, count := make(chan *child, 1), 0
	hook := func(what string, _ any) {
		if !strings.HasPrefix(what, twin+" "+moment+" ") {
			return
		}
		mu.Lock()
		count++
		now := count == n
		mu.Unlock()
		if now {
			(<-victim).kill()
		}
	}
	h.s.listenTo(hook)
	c := r.start(args...)
	victim <- c
	d.code = c.wait()
	h.s.listenTo(nil)
	d.said, d.killed = c.out.String(), d.code == -1
}

// listenTo lets a function hear of all that the twins do.
func (s *stage) listenTo(f func(string, any)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = f
}

// others push a commit of their own, and keep a draft of theirs.
func (h *stagehand) others() {
	h.people++
	bare, clone := filepath.Join(h.s.dir, "origin.git"), filepath.Join(h.t.TempDir(), "clone")
	gitIn(h.t, h.s.dir, "clone", "-q", "-b", "main", bare, clone)
	name := fmt.Sprintf("NEWS-%d", h.people)
	if err := os.WriteFile(filepath.Join(clone, name), []byte("theirs\n"), 0o644); err != nil {
		h.t.Fatal(err)
	}
	gitIn(h.t, clone, "add", "-A")
	gitIn(h.t, clone, "commit", "-q", "-m", "feat: "+name)
	gitIn(h.t, clone, "push", "-q", bare, "HEAD:main")
	if err := h.s.World().Git.Observe("origin", "others"); err != nil {
		h.t.Fatal(err)
	}
	h.s.call("POST", "https://api.github.com/repos/"+owner+"/"+project+"/releases", fmt.Sprintf(`{"tag_name": "nightly-%d", "draft": true}`, h.people), nil)
}

// copy gives a machine what the other one has by now.
func (h *stagehand) copy(to int) {
	from := h.machines[1-to]
	dir := filepath.Join(h.t.TempDir(), project)
	if out, err := exec.CommandContext(h.t.Context(), "cp", "-a", from.dir, dir).CombinedOutput(); err != nil {
		h.t.Fatalf("%v: %s", err, out)
	}
	h.machines[to] = &trial{t: h.t, dir: dir, twins: from.twins}
}

// carry does so with the program.
func (h *stagehand) carry(d *deed) {
	from := h.machines[1-d.on]
	if h.machines[d.on] == nil {
		h.machines[d.on] = h.s.clone(h.template)
	}
	file := filepath.Join(h.t.TempDir(), "state")
	if d.code, d.said = from.slipway("state", "save", file); d.code != 0 {
		return
	}
	var said string
	d.code, said = h.machines[d.on].slipway("state", "load", file)
	d.said += said
}

// instead is how a refusal of arguments says itself which ones to give.
var instead = regexp.MustCompile(`slipway: hint: |[:;,] (leave|add|roll back|name|or) |: --level `)

// orderly demands of every end that it is one of those that the program knows, and that an error says what can be done.
func (h *stagehand) orderly(d *deed) {
	_, failed, _ := strings.Cut(d.said, "slipway: error: ")
	switch {
	case d.killed && d.trouble != "" && !strings.HasPrefix(d.trouble, "faults"):
		return
	case d.code < 0 || d.code > 6:
		h.fault("%s: exit code %d", d.action, d.code)
	case d.code != 0 && failed == "":
		h.fault("%s: exit code %d without an error", d.action, d.code)
	case d.code == 2 && instead.MatchString(failed):
	case d.code > 1 && !strings.Contains(failed, "slipway: hint: "):
		h.fault("%s: exit code %d, and nothing says what can be done", d.action, d.code)
	}
	for _, bad := range []string{"panic", "goroutine ", ".go:", "%!"} {
		if strings.Contains(d.said, bad) {
			h.fault("%s: says %q", d.action, bad)
		}
	}
}
