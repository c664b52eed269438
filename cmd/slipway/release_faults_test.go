package main

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/imrightguy/slipway/phases"
)

var faults = flag.Int("faults", 0, "how many releases TestFaults disturbs; 0 leaves it out")

// texts are faults in their written form.
func texts[F fmt.Stringer](list []F) (out []string) {
	for _, f := range list {
		out = append(out, f.String())
	}
	return out
}

// effects are what a twin can do wrong by name: "CALLS: EFFECT", CALLS being "#" for one operation and "#+" for all from
// one on, by what it is done to: the method and host of a request, or the service.
func effects(lines []string) map[string][]string {
	out := map[string][]string{}
	for _, line := range lines {
		where, effect, _ := strings.Cut(line, ": ")
		w := strings.Fields(where)
		calls := "#"
		if last := w[len(w)-1]; strings.HasSuffix(last, "+") {
			calls = "#+"
		}
		on := w[0]
		if on == "GET" || on == "POST" || on == "PATCH" {
			host, _, _ := strings.Cut(w[1], ":")
			on += " " + host
		}
		for _, known := range []struct{ on, effect string }{{on, calls + ": " + effect}, {on, "#+: " + effect}} {
			if !slices.Contains(out[known.on], known.effect) {
				out[known.on] = append(out[known.on], known.effect)
			}
			if strings.HasPrefix(effect, "late") || strings.HasPrefix(effect, "renamed") || strings.HasPrefix(effect, "rival") {
				break // all from one on makes no sense of these
			}
		}
	}
	return out
}

// at writes an effect down for the n-th operation that matches.
func at(match string, n int, effect string) string {
	if rest, ok := strings.CutPrefix(effect, "#+"); ok {
		return fmt.Sprintf("%s #%d+%s", match, n, rest)
	}
	return fmt.Sprintf("%s #%d%s", match, n, strings.TrimPrefix(effect, "#"))
}

// each returns every fault of every twin, at each operation of the undisturbed release that the stage has seen.
func (s *stage) each(kind string) (all []string) {
	s.t.Helper()
	w := s.World()
	known := map[string]map[string][]string{}
	if w.GitHub != nil {
		known["github"], known["git"] = effects(texts(w.GitHub.Pending())), effects(texts(w.Git.Pending()))
	}
	if w.AUR != nil {
		known["aur"] = effects(texts(w.AUR.Pending()))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	count := map[string]int{}
	add := func(twin, match string, n int, list []string) {
		for _, e := range list {
			all = append(all, kind+" "+twin+"/"+at(match, n, e))
		}
	}
	for _, op := range s.seen {
		f := strings.Fields(op) // TWIN MOMENT #N ...
		if f[1] != "arrived" {
			continue
		}
		twin, rest := f[0], f[3:]
		count[twin]++
		if twin == "github" {
			for on, list := range known[twin] {
				method, host, _ := strings.Cut(on, " ")
				for _, e := range list {
					_, effect, _ := strings.Cut(e, ": ")
					word := strings.Fields(effect)[0]
					makes := slices.Contains([]string{"late", "stale", "digest", "renamed", "422"}, word)
					if makes && (method != rest[0] || host != rest[1]) || word == "flipped" && rest[1] != "downloads" {
						continue // nothing is made that could be so; TLS and its own syntax guard JSON
					}
					add(twin, "* /**", count[twin], []string{e})
				}
			}
			continue
		}
		service := rest[0]
		if twin == "aur" { // KIND SERVICE PATH; of the RPC no service
			if rest[0] == "rpc" {
				service = "rpc"
			} else {
				service = rest[1]
			}
		}
		count[twin+service]++
		add(twin, service+" **", count[twin+service], known[twin][service])
		if service == "receive-pack" || service == "upload-pack" {
			add(twin, service+" **", count[twin+service], known[twin]["*"])
		}
		if service != "rpc" && kind != "https" {
			count[twin+"connect"]++
			add(twin, "connect **", count[twin+"connect"], known[twin]["connect"])
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestFaults lets each thing that a twin can do wrong happen at each operation of a release, one at a time, and several
// together: the release ends right by itself, or it stops and says why, and a later run ends right. There is one of
// everything, and nothing half done was ever public.
func TestFaults(t *testing.T) {
	if *faults == 0 {
		t.Skip("takes minutes: make faults runs it")
	}
	names := map[string][]string{} // all that are known, by twin
	for _, name := range phases.FaultNames() {
		twin, _, _ := strings.Cut(name, "/")
		names[twin] = append(names[twin], name)
	}
	plans := map[string]*template{}
	by := map[string][]string{}
	published := newAURTemplate(t)
	for _, kind := range []string{"https", "ssh", "aur"} {
		var s, known *stage
		var r *trial
		if kind == "aur" {
			s, known = published.stage(t), published.stage(t, names["aur"]...)
			r = s.trial(published.template)
		} else {
			x := newTemplate(t, variant{ssh: kind == "ssh"})
			s, known = newStage(t, x), newStage(t, x, append(names["github"], names["git"]...)...)
			r = s.trial(x)
			plans[kind] = x
		}
		r.ends()
		known.seen = s.seen
		for _, f := range known.each(kind) {
			if kind != "ssh" || strings.HasPrefix(f, "ssh git/") { // the rest is the same
				by[kind] = append(by[kind], f)
			}
		}
		t.Logf("%s: %d faults", kind, len(by[kind]))
	}
	// GitHub and git over https with ssh have many more operations than the AUR: a sample has some of each.
	var list []string
	left := *faults * 4 / 5
	for i, kind := range []string{"aur", "ssh", "https"} {
		some, _ := pick(t, by[kind], left/(3-i))
		list, left = append(list, some...), left-len(some)
	}
	_, rnd := pick(t, nil, 0)
	for len(list) < *faults {
		kind := []string{"https", "ssh", "aur"}[rnd.IntN(3)]
		together := kind
		for range 2 + rnd.IntN(4) {
			from := by[kind]
			if kind == "ssh" && rnd.IntN(2) == 0 {
				from = by["https"] // those of GitHub
			}
			f := strings.SplitN(from[rnd.IntN(len(from))], " ", 2)[1]
			if !strings.Contains(f, ": rival") { // a story of its own
				together += " & " + f
			}
		}
		list = append(list, strings.Replace(together, " & ", " ", 1))
	}
	var alone, stopped, idle atomic.Int64
	t.Run("at", func(t *testing.T) {
		trials(t, list, func(t *testing.T, name string) {
			kind, plan, _ := strings.Cut(name, " ")
			var s *stage
			var r *trial
			if kind == "aur" {
				s = published.stage(t)
				r = s.trial(published.template)
			} else {
				s = newStage(t, plans[kind])
				r = s.trial(plans[kind])
			}
			planned := strings.Split(plan, " & ")
			s.faults(planned...)
			code, said := r.run()
			if strings.Contains(plan, ": rival") {
				s.rivals(r, code, said)
				return
			}
			if code == 5 || code == 6 {
				t.Errorf("a fault is no conflict: exit code %d\n%s", code, said)
			}
			if len(planned) == 1 && len(s.Unstruck()) > 0 { // what cuts a push off in its pack, at one that only looks
				idle.Add(1)
			}
			if alone.Add(1); code != 0 {
				alone.Add(-1)
				stopped.Add(1)
				if code, said = r.run(); code == 5 {
					t.Errorf("a fault is no conflict: exit code %d\n%s", code, said)
				}
				s.faults()
			}
			defer func() {
				if t.Failed() {
					t.Logf("the run before had said:\n%s", said)
				}
			}()
			r.ends()
			if kind == "aur" {
				s.holdsAUR(r)
			} else {
				s.holds(r)
			}
		})
	})
	t.Logf("%d releases ended right by themselves, %d stopped and a later run ended right; %d faults did not strike", alone.Load(), stopped.Load(), idle.Load())
	if alone.Load() == 0 || stopped.Load() == 0 || idle.Load() > int64(len(list)/5) {
		t.Error("that is no sample")
	}
}

// rivals demands what holds after somebody else's commit has come first: it stays, and it is said.
func (s *stage) rivals(r *trial, code int, said string) {
	s.t.Helper()
	if code != 5 {
		s.t.Errorf("exit code %d:\n%s", code, said)
	}
	if code, said = r.run(); code != 5 {
		s.t.Errorf("again: exit code %d:\n%s", code, said)
	}
	history, err := s.World().AUR.History(aurName)
	if err != nil || len(history) != 1 {
		s.t.Errorf("history %+v, %v", history, err)
	}
	// From here on the gate asks about what is there now: there is a way on.
	if code, said = r.run(); code != 3 && code != 0 {
		s.t.Errorf("once more: exit code %d:\n%s", code, said)
	}
}
