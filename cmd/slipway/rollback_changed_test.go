package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/pipeline"
)

// TestRollback_Changed: what people have done to a release before, or to a rollback behind it, is seen, said and not
// trampled on; what it has nothing to do with goes on.
func TestRollback_Changed(t *testing.T) {
	needTools(t, "git")
	x := newRollbackTemplate(t, false)
	for name, test := range map[string]func(*testing.T){
		"made anew": x.madeAnew, "over": x.over, "lifted": x.lifted, "nightly": x.nightly, "tag moved": x.tagMoved, "protected": x.protected,
		"renamed": x.renamed, "behind": x.behind, "cut off": x.publishCutOff, "anew behind latest": x.anewBehindLatest,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// refused demands that a command was refused with these words, and that something says what can be done.
func (x *trial) refused(code int, said string, words ...string) {
	x.t.Helper()
	if x.advised(code, said); code == 0 {
		x.t.Errorf("it was not refused:\n%s", said)
	}
	for _, text := range words {
		if !strings.Contains(said, text) {
			x.t.Errorf("want %q in\n%s", text, said)
		}
	}
}

// levelsNamed are the arguments of the command that a refusal names, which has to have these levels.
func (x *trial) levelsNamed(said, levels string) []string {
	x.t.Helper()
	args := advice(said)
	if at := slices.Index(args, "--level"); at < 0 || args[at+1] != levels {
		x.t.Fatalf("the command that is named has %q, want --level %s:\n%s", args, levels, said)
	}
	return args
}

// must demands that a command has come to its end, with these words.
func (x *trial) must(code int, said string, words ...string) {
	x.t.Helper()
	if code != 0 {
		x.t.Fatalf("exit code %d:\n%s", code, said)
	}
	for _, text := range words {
		if !strings.Contains(said, text) {
			x.t.Errorf("want %q in\n%s", text, said)
		}
	}
}

// rollbacks is how many rollbacks have begun.
func (x *trial) rollbacks() int { return newest(x.journalDir(), "rollback") }

// edit changes a release on its page.
func (s *stage) edit(id, body string) {
	s.t.Helper()
	s.call(http.MethodPatch, "https://api.github.com/"+releasesURL+"/"+id, body, nil)
}

// shown is all that others see at the remotes.
func (s *stage) shown() string {
	s.t.Helper()
	list := []string{s.origin("for-each-ref")}
	for _, r := range s.World().GitHub.History(owner, project).Last().Releases {
		list = append(list, fmt.Sprintf("%d %s draft=%v latest=%v assets=%d %q", r.ID, r.Tag, r.Draft, r.Latest, len(r.Assets), r.Body))
	}
	return strings.Join(list, "\n")
}

// madeAnew: people have taken the release away, and published another one under its tag. That one is nobody's to withdraw
// but theirs; and nothing may call the version gone as long as everybody can download it.
func (x *template) madeAnew(t *testing.T) {
	for _, gone := range []bool{true, false} {
		t.Run(map[bool]string{true: "gone", false: "draft"}[gone], func(t *testing.T) {
			s, r := x.out(t)
			id := r.receipt("release/draft")["id"]
			if gone {
				s.call(http.MethodDelete, "https://api.github.com/"+releasesURL+"/"+id, "", nil)
			} else {
				s.edit(id, `{"draft": true}`)
			}
			anew := s.publish(made{Tag: tagName}, []string{filepath.Join(r.dir, "LICENSE")})
			before := s.shown()
			code, said := r.back("--to", older)
			r.refused(code, said, fmt.Sprintf("somebody has made release %s anew, and it is public (id %d)", tagName, anew), "delete it on its page", "--level")
			if after := s.shown(); after != before {
				t.Errorf("refused, and it was\n%s\nand is\n%s", before, after)
			}
			code, said = r.back("--to", older, "--level", "git,hold", "--amend")
			r.must(code, said)
			if strings.Contains(said, "is gone") {
				t.Error(said)
			}
			// They do as they were told.
			s.call(http.MethodDelete, fmt.Sprintf("https://api.github.com/%s/%d", releasesURL, anew), "", nil)
			code, said = r.back("--to", older, "--level", "github")
			r.must(code, said)
			for _, rel := range s.World().GitHub.History(owner, project).Last().Releases {
				if rel.Tag == tagName && (gone || !rel.Draft) || rel.Tag == olderTag && !rel.Latest {
					t.Errorf("release %d %s: draft %v, latest %v", rel.ID, rel.Tag, rel.Draft, rel.Latest)
				}
			}
		})
	}
}

// over: a rollback that is over is looked at when it is asked for again. What somebody has undone of it is told, and done
// again where the options say that this is meant; a hold that was lifted is not, and is not called one.
func (x *template) over(t *testing.T) {
	s, r := x.out(t)
	options := []string{"--to", older, "--reason", "it is slow"}
	code, said := r.back(options...)
	r.must(code, said, released+" is held; ")
	nothing := func(words ...string) {
		t.Helper()
		before, n := s.shown(), r.rollbacks()
		for _, args := range [][]string{nil, options} {
			code, said := r.back(args...)
			r.must(code, said, append(words, "0 steps done now")...)
			if held := strings.Contains(said, released+" is held"); held != (len(words) == 0) {
				t.Errorf("it is called held: %v\n%s", held, said)
			}
		}
		if after := s.shown(); after != before || r.rollbacks() != n {
			t.Errorf("%d rollbacks and now %d; it was\n%s\nand is\n%s", n, r.rollbacks(), before, after)
		}
	}
	nothing()
	id := r.receipt("release/draft")["id"]
	for n, args := range [][]string{nil, options} {
		s.edit(id, `{"draft": false, "make_latest": "true"}`)
		changed := fmt.Sprintf("rollback-%d is over, and what it did has been changed since: ", n+1)
		if args == nil {
			before := s.shown()
			code, said := r.back()
			r.refused(code, said, changed, fmt.Sprintf("does it again, as rollback-%d", n+2))
			if after := s.shown(); after != before || r.rollbacks() != n+1 {
				t.Errorf("refused; %d rollbacks, it was\n%s\nand is\n%s", r.rollbacks(), before, after)
			}
			args = advice(said)
		}
		code, said := r.back(args...)
		r.must(code, said, changed, fmt.Sprintf("rollback-%d does it again", n+2))
		if !s.isDraft() || r.rollbacks() != n+2 {
			t.Errorf("%d rollbacks; the release is a draft: %v\n%s", r.rollbacks(), s.isDraft(), said)
		}
		nothing()
	}
	code, said = r.slipway("hold", released, "--lift", "--reason", "it was the network", "--yes")
	r.must(code, said)
	nothing("nobody holds " + released)
}

// lifted: a rollback was killed behind its hold, and somebody else has lifted that meanwhile. Who has put it back gets on.
func (x *template) lifted(t *testing.T) {
	s, here := x.out(t)
	there := here.another()
	code, said := here.back("--to", older)
	here.must(code, said)
	cutBehind(t, filepath.Join(here.journalDir(), "rollback-1"), "rollback/hold", pipeline.Done)
	code, said = there.slipway("hold", released, "--lift", "--reason", "it was the network", "--yes")
	there.must(code, said)
	code, said = here.back()
	here.refused(code, said, "somebody has lifted the hold meanwhile", " hold "+released+" --reason TEXT")
	code, said = here.slipway("hold", released, "--reason", "it was not", "--yes")
	here.must(code, said)
	code, said = here.back()
	here.must(code, said, released+" is held; ")
	if here.rollbacks() != 1 || s.origin("log", "-1", "--format=%s", "main") != "Hold "+released {
		t.Errorf("%d rollbacks, and main has got\n%s", here.rollbacks(), s.origin("log", "--format=%s", "main"))
	}
}

// nightly: there is a release that is no version. GitHub would make it the latest when the bad one is withdrawn.
func (x *template) nightly(t *testing.T) {
	s, r := x.out(t)
	s.publish(made{Tag: "nightly"}, []string{filepath.Join(r.dir, "LICENSE")})
	s.edit(r.receipt("release/draft")["id"], `{"make_latest": "true"}`)
	before := s.World().GitHub.History(owner, project).Last().Seq
	code, said := r.back("--to", older)
	r.must(code, said)
	for _, st := range s.World().GitHub.History(owner, project) {
		for _, rel := range st.Releases {
			if st.Seq > before && rel.Tag == "nightly" && rel.Latest {
				t.Errorf("after %s the latest release is %s", st.Cause, rel.Tag)
			}
		}
	}
	s.latest(olderTag)
}

// latest demands which release is the latest.
func (s *stage) latest(want string) {
	s.t.Helper()
	found := false
	for _, rel := range s.World().GitHub.History(owner, project).Last().Releases {
		found = found || rel.Tag == want
		if rel.Latest != (rel.Tag == want) {
			s.t.Errorf("release %s: latest %v", rel.Tag, rel.Latest)
		}
	}
	if !found {
		s.t.Errorf("there is no release %s", want)
	}
}

// tagMoved: somebody has moved the tag. It stands in the way of deleting it, and of nothing else, but is told.
func (x *template) tagMoved(t *testing.T) {
	s, r := x.out(t)
	s.origin("tag", "-f", "-a", "-m", "moved", tagName, "main^")
	moved := s.origin("rev-parse", tagRef)
	told := "tag " + tagName + " is " + moved
	before := s.shown()
	code, said := r.back("--to", older, "--delete-tag")
	r.refused(code, said, told, "--delete-tag")
	if after := s.shown(); after != before {
		t.Errorf("refused, and it was\n%s\nand is\n%s", before, after)
	}
	code, said = r.back("--to", older, "--level", "hold", "--amend")
	r.must(code, said, told)
	code, said = r.back("--to", older)
	r.must(code, said, told)
	if now := s.origin("rev-parse", tagRef); now != moved || !s.isDraft() {
		t.Errorf("the tag is %s, and was %s; the release is a draft: %v", now, moved, s.isDraft())
	}
	s.origin("cat-file", "-e", "main:.slipway/holds/"+released+".json")
}

// protected: the main branch takes no pushes. What pushes to it can be left out, as nothing of it was done.
func (x *template) protected(t *testing.T) {
	s, r := x.out(t)
	before := s.origin("rev-parse", "main")
	s.faults("git/receive-pack ** #1+: declined protected branch hook declined")
	code, said := r.back("--to", older, "--reason", "it is slow")
	r.refused(code, said, "rollback/revert", "protected branch hook declined")
	code, said = r.back(r.levelsNamed(said, "github")...)
	r.must(code, said)
	if now := s.origin("rev-parse", "main"); now != before || !s.isDraft() {
		t.Errorf("main is %s, and was %s; the release is a draft: %v", now, before, s.isDraft())
	}
	// Once it takes them, the rest.
	s.faults()
	code, said = r.back("--to", older, "--reason", "it is slow")
	r.must(code, said)
	if log := s.origin("log", "--format=%s", before+"..main"); log != "Hold "+released+"\nRevert release "+tagName {
		t.Errorf("main has got %q", log)
	}
}

// renamed: there is no main branch any more, so that nobody can hold anything there; who has the bad version is helped
// all the same.
func (x *template) renamed(t *testing.T) {
	s, r := x.out(t)
	s.origin("branch", "-m", "main", "trunk")
	before := s.shown()
	code, said := r.back("--to", older)
	r.refused(code, said, "there is no branch main")
	if after := s.shown(); after != before {
		t.Errorf("refused, and it was\n%s\nand is\n%s", before, after)
	}
	code, said = r.back(r.levelsNamed(said, "github")...)
	r.must(code, said)
	if !s.isDraft() {
		t.Error("the release is public")
	}
}

// behind: another machine has carried the release on, which the journal here does not know. Nothing is taken back that
// people have, or had; and what was withdrawn is not published again.
func (x *template) behind(t *testing.T) {
	s, b := x.out(t)
	a := b.another()
	cutBehind(t, a.journalDir(), "release/tag", pipeline.Done)
	for _, why := range []string{"release " + tagName + " is public", "release " + tagName + " was public, and a rollback has withdrawn it"} {
		before := s.shown()
		stale := a.another() // each time as it was
		code, said := stale.slipway("rollback", released, "--yes")
		stale.refused(code, said, "the release was carried on elsewhere: "+why, " state save FILE", " state load FILE")
		if after := s.shown(); after != before {
			t.Errorf("refused, and it was\n%s\nand is\n%s", before, after)
		}
		if s.isDraft() {
			break
		}
		code, said = b.back("--to", older, "--level", "github")
		b.must(code, said)
		stale = a.another()
		if code, said = stale.run(); code == 0 || !s.isDraft() {
			t.Errorf("exit code %d, and the release is a draft: %v\n%s", code, s.isDraft(), said)
		}
		stale.refused(code, said, "a rollback has withdrawn it", " state load FILE")
		// Who does as he is told is as far as the other one.
		file := filepath.Join(t.TempDir(), "state")
		code, said = b.slipway("state", "save", file)
		b.must(code, said)
		if code, said = stale.slipway("state", "load", file); code == 4 && strings.Contains(said, "to take the archive's after all, move ") {
			if err := os.Rename(stale.journalDir(), filepath.Join(t.TempDir(), released)); err != nil {
				t.Fatal(err)
			}
			code, said = stale.slipway("state", "load", file)
		}
		stale.must(code, said)
		code, said = stale.back()
		stale.must(code, said, "0 steps done now")
	}
}

// publishCutOff: the release was killed when it had published, and the rollback when it had withdrawn that. What is not
// public any more was public all the same.
func (x *template) publishCutOff(t *testing.T) {
	s, r := x.out(t)
	cutBehind(t, r.journalDir(), "release/publish", pipeline.Started)
	before := s.origin("rev-parse", "main")
	code, said := r.back("--to", older, "--level", "github,hold")
	r.must(code, said)
	cutBehind(t, filepath.Join(r.journalDir(), "rollback-1"), "rollback/withdraw", pipeline.Done)
	for range 2 {
		code, said = r.back()
		r.must(code, said, "is rolled back to "+older)
		if r.rollbacks() != 1 || strings.Contains(said, "nothing of it has arrived") {
			t.Errorf("%d rollbacks:\n%s", r.rollbacks(), said)
		}
	}
	if !s.isDraft() || s.origin("rev-parse", "main") == before {
		t.Error("the release is public, or nobody holds it")
	}
}

// anewBehindLatest: behind the gate somebody makes the release anew. That level can be left out, and the rest is done.
func (x *template) anewBehindLatest(t *testing.T) {
	s, r := x.out(t)
	id := r.receipt("release/draft")["id"]
	s.faults("github/PATCH /" + releasesURL + "/" + id + " #1+: 500")
	code, said := r.back("--to", older)
	r.refused(code, said)
	s.faults()
	s.call(http.MethodDelete, "https://api.github.com/"+releasesURL+"/"+id, "", nil)
	s.publish(made{Tag: tagName}, []string{filepath.Join(r.dir, "LICENSE")})
	code, said = r.back()
	r.refused(code, said, "rollback-2 takes its place", "somebody has made release "+tagName+" anew")
	code, said = r.back(r.levelsNamed(said, "git,hold")...)
	r.must(code, said, "(git, hold)")
}
