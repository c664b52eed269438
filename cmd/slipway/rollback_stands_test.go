package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/pipeline"
)

// returned says what must hold of the world when a rollback has come to its end.
type returned struct {
	before    string // where main was
	aur       string // version that the AUR shows; "" where the release never got there
	rival     string // version that somebody else has published in between
	immutable bool
	deleted   bool // the release
	untagged  bool
}

// rolledBack demands what must hold of the world in the end, where nothing is in the AUR; before is where main was.
func (s *stage) rolledBack(before string) {
	s.t.Helper()
	s.returned(returned{before: before})
}

// returned demands what must hold of the world in the end: each channel is where the rollback brings it, and each change
// was made once.
func (s *stage) returned(want returned) {
	s.t.Helper()
	found := false
	states := s.World().GitHub.History(owner, project)
	last := states.Last()
	for _, r := range last.Releases {
		if r.Tag == olderTag && (r.Draft || !r.Latest) {
			s.t.Errorf("release %s: draft %v, latest %v", r.Tag, r.Draft, r.Latest)
		}
		if r.Tag != tagName {
			continue
		}
		found = true
		if r.Draft == want.immutable || r.Latest || len(r.Assets) != 4 || want.immutable != strings.HasPrefix(r.Body, "> [!CAUTION]\n") {
			s.t.Errorf("release %s: draft %v, latest %v, %d assets: %s", r.Tag, r.Draft, r.Latest, len(r.Assets), r.Body)
		}
		if n := strings.Count(r.Body, "<!-- slipway "); n != 2 { // of the release, and of the rollback
			s.t.Errorf("release %s has %d markers: %s", r.Tag, n, r.Body)
		}
	}
	if found == want.deleted {
		s.t.Errorf("release %s is there: %v", tagName, found)
	}
	if log := s.origin("log", "--format=%s", want.before+"..main"); log != "Hold "+released+"\nRevert release "+tagName {
		s.t.Errorf("main has got %q", log)
	}
	s.origin("merge-base", "--is-ancestor", want.before, "main")
	if text := s.origin("show", "main:app.json"); !strings.Contains(text, "development") {
		s.t.Errorf("main's app.json is %q", text)
	}
	if tags := s.origin("tag", "--list", tagName); (tags == "") != want.untagged {
		s.t.Errorf("tags %q", tags)
	} else if tags != "" && s.origin("cat-file", "-t", tagRef) != "tag" {
		s.t.Errorf("%s is no annotated tag", tagRef)
	}
	s.origin("cat-file", "-e", "main:.slipway/holds/"+released+".json")
	s.origin("fsck", "--strict")
	if want.aur != "" {
		s.returnedInAUR(want.aur, want.rival)
	}
}

// returnedInAUR demands that the AUR has got one commit more, of the older payload, and that no user of it was ever
// offered sources which are not there.
func (s *stage) returnedInAUR(version, rival string) {
	s.t.Helper()
	w := s.World()
	history, err := w.AUR.History(aurName)
	if err != nil {
		s.t.Fatal(err)
	}
	var versions []string
	for _, st := range history {
		versions = append(versions, st.Version)
	}
	want := slices.DeleteFunc([]string{"0.0.9-1", released + "-1", rival, version}, func(v string) bool { return v == "" })
	if !slices.Equal(versions, want) {
		s.t.Errorf("the AUR has served %v, want %v", versions, want)
	}
	bare := filepath.Join(s.dir, "aur", aurName+".git")
	if n := gitIn(s.t, bare, "rev-list", "--count", "--all"); n != fmt.Sprint(len(want)) {
		s.t.Errorf("%s commits in the AUR", n)
	}
	gitIn(s.t, bare, "fsck", "--strict")
	srcinfo := gitIn(s.t, bare, "show", "master:.SRCINFO")
	for _, key := range []string{"source", "sha256sums"} {
		if now, older := valuesOf(srcinfo, key), valuesOf(gitIn(s.t, bare, "show", fmt.Sprintf("master~%d:.SRCINFO", len(want)-1)), key); !slices.Equal(now, older) || len(now) == 0 {
			s.t.Errorf("%s is %v, and was %v", key, now, older)
		}
	}
	was := false
	for _, st := range w.GitHub.History(owner, project) {
		public := false
		for _, r := range st.Releases {
			public = public || r.Tag == tagName && !r.Draft
		}
		if was && !public && st.Time.Before(history.Last().Time) {
			s.t.Errorf("%s was withdrawn at %s, and the AUR had its package until %s", tagName, st.Time, history.Last().Time)
		}
		was = public
	}
}

// valuesOf are the values of a key of a .SRCINFO, in its order.
func valuesOf(srcinfo, key string) (out []string) {
	for line := range strings.Lines(srcinfo) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), " = "); ok && strings.HasPrefix(k, key) {
			out = append(out, v)
		}
	}
	return out
}

// standing is where the channels stand, by the steps of a rollback that bring them there.
func (s *stage) standing(before string) map[string]bool {
	s.t.Helper()
	out := map[string]bool{"rollback/withdraw": true, "rollback/delete": true}
	for _, r := range s.World().GitHub.History(owner, project).Last().Releases {
		switch r.Tag {
		case tagName:
			out["rollback/delete"] = false
			out["rollback/withdraw"] = r.Draft || strings.HasPrefix(r.Body, "> [!CAUTION]\n")
		case olderTag:
			out["rollback/latest"] = r.Latest
		}
	}
	log := s.origin("log", "--format=%s", before+"..main")
	out["rollback/revert"] = strings.Contains(log, "Revert release "+tagName)
	out["rollback/hold"] = s.origin("ls-tree", "--name-only", "main", ".slipway/holds/") != ""
	out["rollback/tag"] = s.origin("tag", "--list", tagName) == ""
	if aur := s.World().AUR; aur != nil {
		history, err := aur.History(aurName)
		if err != nil {
			s.t.Fatal(err)
		}
		out["rollback/push/"+aurName] = strings.Contains(history.Last().Version, "0.0.9") && len(history) > 2
	}
	return out
}

// told demands that status says where each channel stands, and that this is so. It returns what it says of each step.
func (s *stage) told(r *trial, before string) map[string]pipeline.Event {
	s.t.Helper()
	code, said := r.slipway("status", "--version", released, "--json")
	var status struct {
		Steps    []pipeline.StepState
		Next     []string
		Recovery *struct{ Name, State string }
	}
	if err := json.Unmarshal([]byte(said), &status); code != 0 || err != nil {
		s.t.Fatalf("%d, %v\n%s", code, err, said)
	}
	if status.Recovery == nil || status.Recovery.Name != "rollback-1" {
		s.t.Fatalf("status knows no rollback:\n%s", said)
	}
	is, says := s.standing(before), map[string]pipeline.Event{}
	_, text := r.slipway("status", "--version", released)
	for _, st := range status.Steps {
		id := st.Spec.ID
		if !strings.HasPrefix(id, "rollback/") || !st.Spec.Effect.Outward() {
			continue
		}
		says[id] = st.Last.Event
		now, known := is[id]
		switch {
		case !known:
			s.t.Errorf("there is no look at %s", id)
		case st.Last.Event == pipeline.Done && !now:
			s.t.Errorf("status says that %s is done, and it is not", id)
		case st.Last.Event == "" && now:
			s.t.Errorf("status says that %s is to be done, and it is", id)
		}
		if !strings.Contains(text, strings.TrimPrefix(id, "rollback/")) {
			s.t.Errorf("status does not speak of %s:\n%s", id, text)
		}
	}
	if over := status.Recovery.State == "rolled back"; over == (len(status.Next) > 0) {
		s.t.Errorf("status says %q, and next %q", status.Recovery.State, status.Next)
	}
	return says
}

// reported demands that the report of a rollback says of no level what is not so. Where the program was not killed, there
// is one.
func (s *stage) reported(r *trial, before string, is bool) {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.journalDir(), "rollback-1", "postmortem.md"))
	if errors.Is(err, fs.ErrNotExist) && !is {
		return
	}
	if err != nil {
		s.t.Fatal(err)
	}
	now := s.standing(before)
	levels := 0
	for line := range strings.Lines(string(b)) {
		f := strings.Split(line, "|")
		if len(f) != 6 {
			continue
		}
		level, state := strings.TrimSpace(f[1]), f[2]
		steps := map[string][]string{
			"aur": {"rollback/push/" + aurName}, "github": {"rollback/withdraw", "rollback/latest"}, "git": {"rollback/revert"}, "hold": {"rollback/hold"},
		}[level]
		if steps == nil {
			continue
		}
		levels++
		all := !slices.ContainsFunc(steps, func(step string) bool { return !now[step] })
		if strings.Contains(state, "✅") && !all || strings.Contains(state, "🔲") && now[steps[0]] {
			s.t.Errorf("the report says of level %s %q, and this is so: %v", level, state, sorted(now))
		}
	}
	if levels == 0 {
		s.t.Errorf("the report has no levels:\n%s", b)
	}
}
