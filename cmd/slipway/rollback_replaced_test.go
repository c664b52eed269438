package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/imrightguy/slipway/pipeline"
)

// What the AUR has by the time a release is rolled back need not be what the release has pushed there.

// cutOff runs the program until a request, such as "receive-pack" or "PATCH /repos/o/r/releases/1", has arrived at a twin,
// and kills it there; nothing of the request is done.
func (x *trial) cutOff(s *stage, twin, request string, args ...string) {
	x.t.Helper()
	var dead atomic.Bool
	victim := make(chan *child, 1)
	s.listenTo(func(what string, op any) {
		is := ""
		for _, name := range []string{"Method", "Service", "Path"} {
			if f := reflect.ValueOf(op).FieldByName(name); f.IsValid() {
				is += f.String() + " "
			}
		}
		if strings.HasPrefix(what, twin+" arrived") && strings.HasPrefix(is, request+" ") && dead.CompareAndSwap(false, true) {
			(<-victim).kill()
		}
	})
	defer s.listenTo(nil)
	c := x.start(args...)
	victim <- c
	if code := c.wait(); code != -1 || !dead.Load() {
		x.t.Fatalf("exit code %d:\n%s", code, c.out.String())
	}
}

// comaintained puts a commit of somebody else on the AUR's branch: the files as they are there, but for what the pairs of
// old and new text say.
func (s *stage) comaintained(pairs ...string) {
	s.t.Helper()
	bare, clone := filepath.Join(s.dir, "aur", aurName+".git"), filepath.Join(s.t.TempDir(), "clone")
	gitIn(s.t, s.dir, "clone", "-q", bare, clone)
	for _, name := range []string{"PKGBUILD", ".SRCINFO"} {
		file := filepath.Join(clone, name)
		was := readText(s.t, file)
		text := strings.NewReplacer(pairs...).Replace(was)
		if text == was {
			s.t.Fatalf("%s has none of %q:\n%s", name, pairs, was)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	gitIn(s.t, clone, "commit", "-q", "-am", "by a co-maintainer")
	s.toAUR(clone, "HEAD")
}

// replaced: a co-maintainer has committed on top of a correction. The same correction once more has to follow that, also
// for those who have theirs already. There is no main branch any more, which keeps nobody from it.
func (s *stage) replaced(r *trial) {
	s.t.Helper()
	s.comaintained("pkgrel = 1", "pkgrel = 2", "pkgrel='1'", "pkgrel='2'", "Program that greets", "Program that bites")
	s.origin("branch", "-m", "main", "trunk")
	code, said := r.back("--to", older, "--reason", "it bites")
	r.refused(code, said, "there is no branch main")
	if offered := s.unhurt(); offered != released+"+really0.0.9-2" {
		s.t.Errorf("refused, and the AUR offers %s", offered)
	}
	code, said = r.back(r.levelsNamed(said, "aur,github")...)
	r.must(code, said)
	if offered := s.unhurt(); offered != released+"+really0.0.9-3" {
		s.t.Errorf("the AUR offers %s", offered)
	}
	bare := filepath.Join(s.dir, "aur", aurName+".git")
	if text := gitIn(s.t, bare, "show", "master:PKGBUILD"); strings.Contains(text, "bites") || gitIn(s.t, bare, "rev-list", "--count", "master") != "5" {
		s.t.Errorf("the AUR has\n%s", text)
	}
}

// followed: the next version is in the AUR already, so that nobody's package downloads from the one that is rolled back.
func (p *past) followed(t *testing.T) {
	const next = "0.1.1"
	s := p.stage(t)
	r := s.trial(p.template)
	var files []string
	for _, file := range p.assets {
		to := filepath.Join(t.TempDir(), strings.ReplaceAll(filepath.Base(file), released, next))
		copyTree(t, file, to)
		files = append(files, to)
	}
	s.publish(made{Tag: "v" + next}, files)
	s.comaintained(released, next)
	code, said := r.back("--to", older, "--reason", "it is slow")
	r.refused(code, said, next+"-1", "--level github,git,hold")
	code, said = r.back(advice(said)...)
	if r.must(code, said); strings.Contains(said, "is public") || strings.Contains(said, "gives users "+released) {
		t.Error(said)
	}
	if offered := s.unhurt(); offered != next+"-1" || !s.isDraft() {
		t.Errorf("the AUR offers %s, and the release is a draft: %v", offered, s.isDraft())
	}
	s.latest("v" + next)
	report := readText(t, filepath.Join(r.journalDir(), "rollback-1", "postmortem.md"))
	if strings.Contains(report, "since hello-bin in the AUR needs them") || strings.Contains(report, "nothing replaces it yet") || !strings.Contains(report, "does not give anybody hello-bin 0.1.0-1 any more") {
		t.Error(report)
	}
}

// byHand: somebody was faster, and has taken the release from the public by hand while the AUR needs it. What is said in
// the end is what is so.
func (p *past) byHand(t *testing.T) {
	for _, gone := range []bool{false, true} {
		s := p.stage(t)
		r := s.trial(p.template)
		if id := fmt.Sprint(p.release.ID); gone {
			s.call(http.MethodDelete, "https://api.github.com/"+releasesURL+"/"+id, "", nil)
		} else {
			s.edit(id, `{"draft": true}`)
		}
		code, said := r.back("--to", older, "--level", "github,git,hold")
		r.must(code, said, "nobody can install that now; level aur mends it")
		_, end, _ := strings.Cut(said, "steps done now")
		if want := map[bool]string{false: "draft", true: "gone"}[gone]; strings.Contains(end, "is public") || !strings.Contains(end, want) {
			t.Errorf("want %q at the end of\n%s", want, said)
		}
	}
}

// carriedOn: a rollback was cut off when it was about to withdraw the release, before the AUR had it. Somebody else has let
// the version go, and published it in the AUR. What was begun cannot go on like that: nobody could install what the AUR
// offers. Another one, which knows that, brings everybody back.
func (p *past) carriedOn(t *testing.T) {
	q := *p
	q.unpublished = true
	s := q.stage(t)
	here := s.trial(p.publishing(t))
	there := here.another()
	withdrawing := fmt.Sprintf("PATCH /%s/%d", releasesURL, p.release.ID)
	s.faults("github/" + withdrawing + ": cut")
	here.cutOff(s, "github", withdrawing, "rollback", released, "--to", older, "--reason", "it is slow", "--yes")
	s.faults()
	last := backRecords(t, here)[len(backRecords(t, here))-1]
	if last.Step != "rollback/withdraw" || last.Event != pipeline.Started || s.isDraft() {
		t.Fatalf("%s %s; the release is a draft: %v", last.Step, last.Event, s.isDraft())
	}
	file := filepath.Join(t.TempDir(), "state")
	for _, args := range [][]string{
		{"hold", released, "--lift", "--reason", "it was the network", "--yes"}, {"run", "--yes"}, {"state", "save", file},
	} {
		code, said := there.slipway(args...)
		there.must(code, said)
	}
	if offered := s.unhurt(); offered != released+"-1" {
		t.Fatalf("the AUR offers %s", offered)
	}
	code, said := here.slipway("state", "load", file)
	here.must(code, said)
	code, said = here.back()
	here.must(code, said, "rollback-1 cannot go on: ", "rollback-2 takes its place")
	if offered := s.unhurt(); offered != released+"+really0.0.9-1" || !s.isDraft() || here.rollbacks() != 2 {
		t.Errorf("the AUR offers %s; the release is a draft: %v; %d rollbacks\n%s", offered, s.isDraft(), here.rollbacks(), said)
	}
	s.origin("cat-file", "-e", "main:.slipway/holds/"+released+".json")
}

// neverArrived: a push to the AUR was cut off, and nothing of it has arrived. The AUR needs no correction, and nothing of
// the release.
func (p *past) neverArrived(t *testing.T) {
	q := *p
	q.unpublished = true
	s := q.stage(t)
	r := s.trial(p.publishing(t))
	s.faults("aur/receive-pack ** #1: cut")
	r.cutOff(s, "aur", "receive-pack", "run", "--yes")
	s.faults()
	if last := r.records()[len(r.records())-1]; last.Step != "aur/push/"+aurName || last.Event != pipeline.Started {
		t.Fatalf("%s %s", last.Step, last.Event)
	}
	code, said := r.back("--to", older)
	r.must(code, said, "aur/push/"+aurName+" was begun, and nothing of it has arrived", "(github, git, hold)")
	if offered := s.unhurt(); offered != older+"-1" || !s.isDraft() {
		t.Errorf("the AUR offers %s; the release is a draft: %v", offered, s.isDraft())
	}
	if i := slices.IndexFunc(backRecords(t, r), func(rec pipeline.Record) bool { return strings.HasPrefix(rec.Step, "rollback/push/") }); i >= 0 {
		t.Error("the AUR was corrected")
	}
}
