package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/imrightguy/slipway/pipeline"
)

// there says which outward steps of an unfinished release others can see.
func (s *stage) there() map[string]bool {
	s.t.Helper()
	out := map[string]bool{}
	for _, r := range s.World().GitHub.History(owner, project).Last().Releases {
		out["release/draft"] = true
		if !r.Draft {
			out["release/publish"] = true
		}
		for _, a := range r.Assets {
			out["release/asset/"+a.Name] = a.State == "uploaded"
		}
	}
	refs := s.origin("for-each-ref", "--format=%(refname)")
	out["release/branch"] = strings.Contains(refs, "refs/heads/release/")
	out["release/tag"] = strings.Contains(refs, tagRef)
	return out
}

// toldUnwinding demands that status says of each outward step what is so, as far as anybody can know it.
func (s *stage) toldUnwinding(r *trial) {
	s.t.Helper()
	code, said := r.slipway("status", "--json")
	var status struct{ Steps []pipeline.StepState }
	if err := json.Unmarshal([]byte(said), &status); code != 0 || err != nil {
		s.t.Fatalf("%d, %v\n%s", code, err, said)
	}
	is := s.there()
	for _, st := range status.Steps {
		if id := st.Spec.ID; st.Spec.Effect.Outward() && (st.Last.Event == pipeline.Done) != is[id] && st.Last.Event != pipeline.Started {
			s.t.Errorf("status says %q of %s; others can see it: %v", st.Last.Event, id, is[id])
		}
	}
}

// nothing demands that nothing of the release is left at the remotes, but for what was there before.
func (s *stage) nothing(branch bool) {
	s.t.Helper()
	is := s.there()
	for id, there := range is {
		if there != (branch && id == "release/branch") {
			s.t.Errorf("%s is there: %v", id, there)
		}
	}
	if main := s.origin("rev-parse", "main"); main != s.baseline.ID {
		s.t.Errorf("main is %s", main)
	}
	s.origin("fsck", "--strict")
	for _, st := range s.World().GitHub.History(owner, project) {
		for _, r := range st.Releases {
			if !r.Draft {
				s.t.Errorf("state %d, after %s: the release is public", st.Seq, st.Cause)
			}
		}
	}
}

// arrived demands what holds after the end of a release that was partly taken back on its way: there is one of
// everything, and it was never public without all of it.
func (s *stage) arrived(r *trial) {
	s.t.Helper()
	want := r.assets()
	states := s.World().GitHub.History(owner, project)
	for _, st := range states {
		for _, rel := range st.Releases {
			got := map[string]string{}
			for _, a := range rel.Assets {
				got[a.Name] = a.SHA256
			}
			if !rel.Draft && (!maps.Equal(got, want) || st.Tags[tagName] == "") {
				s.t.Errorf("state %d, after %s: it was public with %v and tag %q", st.Seq, st.Cause, sorted(got), st.Tags[tagName])
			}
		}
	}
	if last := states.Last().Releases; len(last) != 1 || last[0].Draft || !last[0].Latest {
		s.t.Errorf("releases %+v", last)
	}
	s.git(r)
}

// TestCrash_Unwind kills the real program (SIGKILL) while it takes back a release that nobody has yet: after every record,
// and at every request that changes something. Status tells what is so; then another rollback takes the rest back, or a
// run releases it after all. What was there before the release stays.
func TestCrash_Unwind(t *testing.T) {
	needTools(t, "git")
	x := newTemplate(t, variant{})
	s := newStage(t, x)
	r := s.trial(x)
	begun := len(r.records())
	r.ends()
	after, branch := map[string]int{}, s.origin("rev-parse", "refs/heads/release/"+tagName)
	for i, rec := range r.records() {
		after[fmt.Sprint(rec.Step, " ", rec.Event)] = i + 1 - begun
	}
	origin := filepath.Join(s.dir, "origin.git")
	// half is a stage in which a release has got so far and was killed; with a branch that somebody else has made.
	half := func(t *testing.T, at string, adopted bool) (*stage, *trial) {
		t.Helper()
		s := newStage(t, x)
		if adopted {
			s.origin("fetch", "-q", origin, branch+":refs/heads/release/"+tagName)
		}
		r := s.trial(x)
		n := after[at]
		if adopted && n > 0 { // it is not begun, but found
			n--
		}
		if n <= 0 || !r.die(s, fmt.Sprintf("record %d", n), "run", "--yes", "--jobs", "2") {
			t.Fatalf("%q is no moment of a release", at)
		}
		return s, r
	}
	type start struct {
		at      string
		adopted bool
	}
	starts := map[string]start{
		"tagged": {at: "release/tag done"}, "adopted": {at: "release/tag done", adopted: true},
		"publishing": {at: "release/publish started"}, "uploading": {at: "release/asset/LICENSE started"},
	}
	var all []string
	for name, from := range starts {
		s, r := half(t, from.at, from.adopted)
		m, records := s.mark(), len(r.records())
		if code, said := r.slipway("rollback", "--yes"); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, said)
		}
		s.nothing(from.adopted)
		s.toldUnwinding(r)
		moments := s.mutating(m)
		for n := range len(r.records()) - records {
			moments = append(moments, fmt.Sprintf("record %d", n+1))
		}
		for _, moment := range moments {
			all = append(all, name+" "+moment+" rollback", name+" "+moment+" run")
		}
	}
	list, _ := pick(t, all, max(4, *crashes))
	t.Logf("%d of %d moments to die at", len(list), len(all))
	var kills atomic.Int64
	t.Run("at", func(t *testing.T) {
		trials(t, list, func(t *testing.T, name string) {
			kind, rest, _ := strings.Cut(name, " ")
			moment, then := rest[:strings.LastIndex(rest, " ")], rest[strings.LastIndex(rest, " ")+1:]
			from := starts[kind]
			s, r := half(t, from.at, from.adopted)
			if !r.die(s, moment, "rollback", "--yes") {
				t.Fatal("that moment did not come")
			}
			kills.Add(1)
			s.toldUnwinding(r)
			if then == "run" {
				r.ends()
				s.arrived(r)
				return
			}
			if code, said := r.slipway("rollback", "--yes"); code != 0 {
				t.Fatalf("exit code %d:\n%s", code, said)
			}
			s.nothing(from.adopted)
			s.toldUnwinding(r)
			records := len(r.records())
			if code, said := r.slipway("rollback", "--yes"); code != 0 || !from.adopted && !strings.Contains(said, "nothing to take back") {
				t.Errorf("once more: %d\n%s", code, said)
			}
			if n := len(r.records()); n != records {
				t.Errorf("once more wrote %d records", n-records)
			}
			s.nothing(from.adopted)
		})
	})
	t.Logf("%d kills", kills.Load())
}

// TestUnwind_Published: where it turns out that the release is public after all, nothing is taken back, and the command
// for users is named.
func TestUnwind_Published(t *testing.T) {
	needTools(t, "git")
	x := newTemplate(t, variant{})
	s := newStage(t, x)
	r := s.trial(x)
	r.ends()
	var publishing string
	for _, m := range s.mutating(mark{seq: map[string]int{}}) {
		if strings.HasPrefix(m, "github handled") {
			publishing = m // the newest
		}
	}
	s = newStage(t, x)
	r = s.trial(x)
	if !r.die(s, publishing, "run", "--yes", "--jobs", "2") {
		t.Fatalf("%s did not come", publishing)
	}
	before := s.there()
	if !before["release/publish"] {
		t.Fatalf("it is not public: %v", sorted(before))
	}
	code, said := r.slipway("rollback", "--yes")
	if r.orderly(code, said); code == 0 || !strings.Contains(said, "rollback "+released+" --to OLDER") {
		t.Errorf("exit code %d:\n%s", code, said)
	}
	if now := s.there(); !maps.Equal(now, before) {
		t.Errorf("%v were there, and now %v", sorted(before), sorted(now))
	}
	r.ends()
	s.holds(r)
}
