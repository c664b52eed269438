package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/imrightguy/slipway/cmd/slipway/internal/crash"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
)

// die runs the program until it is killed at a moment, which is "record N STEP EVENT" for after the N-th record that it
// writes, or "TWIN arrived +N" and "TWIN handled +N" for the N-th operation of a twin from now. It reports whether the
// moment came.
func (x *trial) die(s *stage, moment string, args ...string) bool {
	x.t.Helper()
	f := strings.Fields(moment)
	var n int
	if f[0] == "record" {
		x.env = []string{crash.Variable + "=" + f[1]}
		code, said := x.slipway(args...)
		if x.env = nil; code != -1 && code != 0 {
			x.t.Fatalf("exit code %d:\n%s", code, said)
		}
		return code == -1
	}
	if _, err := fmt.Sscanf(f[2], "+%d", &n); err != nil {
		x.t.Fatal(err)
	}
	victim, dead := s.dies(fmt.Sprintf("%s %s #%d", f[0], f[1], s.mark().seq[f[0]]+n))
	c := x.start(args...)
	victim <- c
	if code := c.wait(); code != -1 && code != 0 {
		x.t.Fatalf("exit code %d:\n%s", code, c.out.String())
	}
	return dead.Load()
}

// way is a way in which a release is rolled back.
type way struct {
	args      []string
	immutable bool // GitHub makes immutable releases
	want      returned
}

// ways are those that are tried; before is where main is.
func ways(before string) map[string]way {
	really := returned{before: before, aur: released + "+really0.0.9-1"}
	immutable, deleted, epoch := really, really, really
	immutable.immutable, deleted.deleted, deleted.untagged, epoch.aur = true, true, true, "1:0.0.9-1"
	return map[string]way{
		"plain":     {want: really},
		"epoch":     {args: []string{"--epoch"}, want: epoch},
		"immutable": {immutable: true, want: immutable},
		"delete":    {args: []string{"--delete", "--delete-tag"}, want: deleted},
	}
}

func (w way) stage(o *phases.RehearsalOptions) { o.Twins.Immutable = w.immutable }

// levels of a rollback, by what its journal and its twins say of a moment.
var levels = []struct{ name, in string }{
	{"aur", "/hello-bin "},
	{"aur", "proof/rollback/aur "},
	{"aur", "aur "},
	{"github", "/withdraw "},
	{"github", "/latest "},
	{"github", "/delete "},
	{"github", "github "},
	{"git", "/revert "},
	{"git", "/tag "},
	{"git", "git "},
	{"hold", "/hold "},
}

func levelOf(moment string) string {
	for _, l := range levels {
		if strings.Contains(" "+moment+" ", l.in) {
			return l.name
		}
	}
	return "end"
}

// TestCrash_Rollback disturbs rollbacks of a release that is on GitHub and in the AUR, in all that can happen to them.
// Each comes to its end sooner or later, tells until then where each channel stands, and makes each change once.
func TestCrash_Rollback(t *testing.T) {
	p := newPast(t)
	all := ways(gitIn(t, p.origin, "rev-parse", "main"))
	plain := all["plain"]
	g := p.gated(t, plain)
	t.Run("kills", func(t *testing.T) { p.kills(t, g, all) })
	t.Run("faults", func(t *testing.T) { p.faulty(t, g, plain.want) })
	t.Run("two at once", func(t *testing.T) { p.twoAtOnce(t, g, plain.want) })
	t.Run("beside a run", p.besideRun)
	t.Run("rival", func(t *testing.T) { p.rival(t, g, plain.want) })
}

// kills kills the real program (SIGKILL) while it rolls the release back: after every record of every level, and when a
// request has arrived at the AUR, GitHub or the git remote and nothing was done, or all was done and the answer has not
// left. Status says where each channel stands, and that is so; the next rollback ends it.
func (p *past) kills(t *testing.T, plain *gated, ways map[string]way) {
	by, all, some := map[string]*gated{"plain": plain}, []string(nil), map[string][]string{}
	for name, w := range ways {
		if name != "plain" && *crashes == 0 {
			continue
		}
		if by[name] == nil {
			by[name] = p.gated(t, w)
		}
		g := by[name]
		for i, rec := range g.records[g.passed:] {
			all = append(all, fmt.Sprintf("%s record %d %s %s ", name, i+1, rec.Step, rec.Event))
		}
		for _, moment := range g.mutating {
			some[name] = append(some[name], name+" "+moment)
		}
	}
	early := []string{}
	for i := range plain.passed {
		early = append(early, fmt.Sprintf("early record %d", i+1))
	}
	list := all
	switch {
	case *crashes == 0: // one of each level
		groups := map[string][]string{}
		for _, m := range append(all, some["plain"]...) {
			groups[levelOf(m)] = append(groups[levelOf(m)], m)
		}
		list = nil
		for _, group := range groups {
			one, _ := pick(t, group, 1)
			list = append(list, one...)
		}
	default:
		rest := append(slices.Concat(slices.Collect(maps.Values(some))...), early...)
		more, _ := pick(t, rest, *crashes)
		list = append(list, more...)
	}
	slices.Sort(list)
	t.Logf("%d of %d moments to die at", len(list), len(all)+len(early)+len(slices.Concat(slices.Collect(maps.Values(some))...)))
	var kills atomic.Int64
	t.Run("at", func(t *testing.T) {
		trials(t, list, func(t *testing.T, name string) {
			kind, moment, _ := strings.Cut(name, " ")
			x := p.template
			if kind == "early" {
				kind = "plain"
			} else {
				x = by[kind].template
			}
			w := ways[kind]
			s := p.stage(t, w.stage)
			r := s.trial(x)
			if !r.die(s, moment, by[kind].command()...) {
				t.Fatal("that moment did not come")
			}
			kills.Add(1)
			said := s.told(r, w.want.before)
			s.reported(r, w.want.before, false)
			code, text := r.back()
			if r.orderly(code, text); code != 0 {
				t.Fatalf("status said %v; then exit code %d:\n%s", said, code, text)
			}
			s.ended(r, w.want)
		})
	})
	t.Logf("%d kills", kills.Load())
}

// ended demands what must hold after a rollback's end: of the world, of what status and the report say of it, and that
// another rollback has nothing to do.
func (s *stage) ended(r *trial, want returned) {
	s.t.Helper()
	s.returned(want)
	for step, event := range s.told(r, want.before) {
		if event != pipeline.Done {
			s.t.Errorf("status says %q of %s", event, step)
		}
	}
	s.reported(r, want.before, true)
	records := len(backRecords(s.t, r))
	if code, said := r.back(); code != 0 || !strings.Contains(said, "0 steps done now") {
		s.t.Errorf("once more: %d\n%s", code, said)
	}
	if n := len(backRecords(s.t, r)); n != records {
		s.t.Errorf("once more wrote %d records", n-records)
	}
	s.returned(want)
	if left, err := filepath.Glob(filepath.Join(r.journalDir(), "rollback-1", "work/.tmp/*")); err != nil || len(left) > 0 {
		s.t.Errorf("left behind: %v %v", left, err)
	}
}
