package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// kept demands that the bad release is public, whole, with a notice, and not the latest.
func (s *stage) kept(when string) {
	s.t.Helper()
	found := 0
	for _, r := range s.World().GitHub.History(owner, project).Last().Releases {
		if r.Tag == tagName || r.Tag == olderTag {
			found++
		}
		if r.Tag == tagName && (r.Draft || !r.Prerelease || r.Latest || len(r.Assets) != 4 || strings.Count(r.Body, "[!CAUTION]") != 1) {
			s.t.Errorf("%s: draft %v, prerelease %v, latest %v, %d assets, %q", when, r.Draft, r.Prerelease, r.Latest, len(r.Assets), r.Body)
		}
		if r.Tag == olderTag && !r.Latest {
			s.t.Errorf("%s: the older release is not the latest", when)
		}
	}
	if found != 2 {
		s.t.Errorf("%s: %d releases of the two", when, found)
	}
}

// isDraft tells whether the bad release, which has to be there, is one.
func (s *stage) isDraft() bool {
	s.t.Helper()
	for _, r := range s.World().GitHub.History(owner, project).Last().Releases {
		if r.Tag == tagName {
			return r.Draft
		}
	}
	s.t.Errorf("there is no release %s", tagName)
	return false
}

// TestRollback_KeptForTheAUR: a release whose files the AUR's package installs is not taken from the public before the AUR
// gives users another one: whoever upgrades would get an error in the place of a program.
func TestRollback_KeptForTheAUR(t *testing.T) {
	p := newPast(t)
	t.Run("left out", func(t *testing.T) {
		s := p.stage(t)
		r := s.trial(p.template)
		for _, c := range []struct{ args, says string }{
			{"--level github --delete", "hello-bin in the AUR downloads the files of release v0.1.0, so it cannot be deleted: roll back level aur with it"},
			{"--level github,git --delete-tag", "GitHub makes a draft of a release whose tag is deleted: roll back level aur with it"},
		} {
			if code, said := r.back(strings.Fields(c.args)...); code != 2 || !strings.Contains(said, c.says) {
				t.Errorf("%s: %d, want %q in\n%s", c.args, code, c.says, said)
			}
		}
		tag := gitIn(t, r.dir, "rev-parse", olderTag)
		gitIn(t, r.dir, "tag", "-d", olderTag)
		if code, said := r.back(); code != 2 || !strings.Contains(said, "no older version is known here") || !strings.Contains(said, "git fetch --tags, or name one with --to") {
			t.Errorf("without tags: %d\n%s", code, said)
		}
		gitIn(t, r.dir, "update-ref", "refs/tags/"+olderTag, tag)
		if _, err := os.Stat(filepath.Join(r.journalDir(), "rollback-1")); err == nil {
			t.Error("a refused rollback has begun")
		}
		if code, said := r.back("--level", "github", "--dry-run"); code != 0 || !strings.Contains(said, "it stays public, a prerelease with a notice; the latest release is 0.0.9") || !strings.Contains(said, "hello-bin in the AUR downloads its files") {
			t.Errorf("%d\n%s", code, said)
		}
		code, said := r.back("--level", "github", "--reason", "it is slow")
		if code != 0 || !strings.Contains(said, "the release is public, with a notice: hello-bin in the AUR downloads its files") {
			t.Fatalf("%d\n%s", code, said)
		}
		s.kept("left out")
		report := readText(t, filepath.Join(r.journalDir(), "rollback-1", "postmortem.md"))
		for _, want := range []string{"it is public, with a notice on its page", "since hello-bin in the AUR needs them", "hello-bin 0.1.0-1 is what the AUR has: nothing replaces it yet"} {
			if !strings.Contains(report, want) {
				t.Errorf("want %q in\n%s", want, report)
			}
		}
		// Another one that says the same finds it said; then users are brought back, and nothing needs it any more.
		if code, said := r.back("--level", "github,hold", "--reason", "it is slow"); code != 0 {
			t.Fatalf("%d\n%s", code, said)
		}
		s.kept("said twice")
		if code, said := r.back("--level", "aur"); code != 0 {
			t.Fatalf("%d\n%s", code, said)
		}
		if s.isDraft() {
			t.Error("level aur has withdrawn the release")
		}
		if code, said := r.back("--level", "github"); code != 0 {
			t.Fatalf("%d\n%s", code, said)
		}
		if !s.isDraft() {
			t.Error("the release is public, and nothing needs it any more")
		}
		s.replaced(r)
	})
	t.Run("followed", p.followed)
	t.Run("by hand", p.byHand)
	t.Run("other options", p.otherOptions)
	t.Run("declined", p.declined)
	t.Run("carried on", p.carriedOn)
	t.Run("never arrived", p.neverArrived)
	t.Run("put back by somebody", func(t *testing.T) {
		s := p.stage(t)
		r := s.trial(p.template)
		// The plan says it: the AUR first, then a look whether anything is needed any more, then the rest.
		code, said := r.back("--dry-run", "--reason", "the settings do not open")
		at := 0
		for _, step := range []string{"gate/rollback", "push/hello-bin", "readback/hello-bin", "moved/hello-bin", "proof/rollback/aur", "latest", "withdraw", "revert", "hold", "outcome", "proof/rollback "} {
			i := strings.Index(said[at:], " "+step)
			if i < 0 {
				t.Fatalf("%d: want %s behind what comes before it in\n%s", code, step, said)
			}
			at += i
		}
		t.Log(said)
		bare := filepath.Join(s.dir, "aur", aurName+".git")
		bad, good := gitIn(t, bare, "rev-parse", "master"), ""
		s.mu.Lock()
		s.on = func(moment string, _ any) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if strings.HasPrefix(moment, "aur handled") && good == "" && strings.Contains(s.seen[len(s.seen)-1], "receive-pack") {
				good = gitIn(t, bare, "rev-parse", "master")
				gitIn(t, bare, "update-ref", "refs/heads/master", gitIn(t, bare, "commit-tree", "-p", good, "-m", "back", bad+"^{tree}"))
			}
		}
		s.mu.Unlock()
		code, said = r.back()
		if code != 3 || !strings.Contains(said, "proof/rollback/aur") || !strings.Contains(said, "hello-bin 0.1.0-1 downloads https://github.com/example/hello/releases/download/v0.1.0/") {
			t.Errorf("%d\n%s", code, said)
		}
		if s.isDraft() || good == "" {
			t.Error("the release is a draft, and the AUR installs it")
		}
		for rec, err := range journal.Read(filepath.Join(r.journalDir(), "rollback-1")).Records() {
			if err != nil || rec.Step == "rollback/withdraw" && rec.Event != pipeline.Failed {
				t.Errorf("%s %s, %v", rec.Step, rec.Event, err)
			}
		}
		// Whoever did that takes it back. What has begun goes on with the version that it began with, whatever tags are here.
		gitIn(t, r.dir, "tag", "-d", olderTag)
		gitIn(t, bare, "update-ref", "refs/heads/master", good)
		if code, said := r.back(); code != 0 {
			t.Fatalf("%d\n%s", code, said)
		}
		if !s.isDraft() {
			t.Error("the release is public")
		}
	})
}

func readText(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
