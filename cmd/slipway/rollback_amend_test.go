package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// approvedBy has a role sign for a gate of the release: the key is made, and its owner is the role lead from here on.
func (x *template) approvedBy(t *testing.T, gates string) (key string) {
	t.Helper()
	key = filepath.Join(t.TempDir(), "lead")
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lead", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	file := filepath.Join(x.dir, "release.yaml")
	text := readText(t, file) + fmt.Sprintf("gates: %s\napprovers: {lead: [%q]}\n", gates, strings.TrimSpace(readText(t, key+".pub")))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{".slipway", "dist"} {
		if err := os.RemoveAll(filepath.Join(x.dir, dir)); err != nil {
			t.Fatal(err)
		}
	}
	gitIn(t, x.dir, "commit", "-q", "-am", "build: somebody approves")
	x.open(t)
	return key
}

// TestRollback_Approved: what was approved is done, and nothing else. Other options behind the gate are another rollback,
// which somebody has to approve anew.
func TestRollback_Approved(t *testing.T) {
	needTools(t, "git", "ssh-keygen")
	x := newRollbackTemplate(t, false)
	key := x.approvedBy(t, "{rollback: {approve: lead}}")
	s, r := x.out(t)
	stands := func(when string) {
		t.Helper()
		if s.origin("tag", "-l", tagName) == "" || !s.isDraft() {
			t.Errorf("%s: the tag is gone, or the release is no draft", when)
		}
	}
	code, said := r.back("--to", older, "--reason", "it is slow")
	r.waits(code, said)
	r.approve(t, key, "gate/rollback")
	s.faults("git/receive-pack ** #1+: declined protected branch hook declined")
	code, said = r.back()
	r.refused(code, said, "protected branch")
	s.faults()
	stands("approved")
	deleting := []string{"--to", older, "--delete", "--delete-tag", "--reason", "it is slow"}
	code, said = r.back(deleting...)
	r.differs(code, said)
	stands("without --amend")
	code, said = r.slipway(append([]string{"rollback", released, "--yes", "--amend"}, deleting...)...)
	r.waits(code, said)
	if !strings.Contains(said, "rollback-1 cannot go on: it was begun with other options, and others see what it did; what it did stays done, and rollback-2 takes its place") || r.rollbacks() != 2 {
		t.Errorf("%d rollbacks:\n%s", r.rollbacks(), said)
	}
	stands("not approved")
	code, said = r.back()
	r.waits(code, said)
	stands("not approved, again")
	r.approve(t, key, "gate/rollback")
	code, said = r.back()
	r.must(code, said, "is rolled back to "+older)
	if s.origin("tag", "-l", tagName) != "" || strings.Contains(s.shown(), " "+tagName+" ") {
		t.Errorf("approved, and there still:\n%s", s.shown())
	}
}

// differs demands that other options were refused, and that there is a way to have them.
func (x *trial) differs(code int, said string) {
	x.t.Helper()
	if code != 4 || !strings.Contains(said, "goes on as it was begun") || !strings.Contains(said, "with the options as they are now, another one takes its place, with a gate of its own: ") {
		x.t.Errorf("exit code %d:\n%s", code, said)
	}
}

// waits demands that a gate waits for somebody.
func (x *trial) waits(code int, said string) {
	x.t.Helper()
	if code != 3 || !strings.Contains(said, "waiting") {
		x.t.Fatalf("exit code %d:\n%s", code, said)
	}
}

// approve signs for a gate.
func (x *trial) approve(t *testing.T, key, gate string) {
	t.Helper()
	if code, said := x.slipway("approve", gate, "--key", key, "--version", released); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
}

// otherOptions: the correction is in the AUR, and somebody wants another one. That is another rollback, behind the same
// judges and a gate of its own, and it comes to its end.
func (p *past) otherOptions(t *testing.T) {
	s := p.stage(t)
	r := s.trial(p.template)
	s.faults("github/PATCH /** #1+: 500")
	code, said := r.back("--reason", "it is slow")
	r.refused(code, said)
	s.faults()
	if offered := s.unhurt(); offered != released+"+really0.0.9-1" {
		t.Errorf("the AUR offers %s", offered)
	}
	code, said = r.back("--epoch", "--to", older, "--reason", "it is slow")
	r.differs(code, said)
	code, said = r.back(advice(said)...)
	r.must(code, said, "rollback-2 takes its place", "is rolled back to "+older)
	if offered := s.unhurt(); offered != "1:0.0.9-1" || r.rollbacks() != 2 {
		t.Errorf("the AUR offers %s, %d rollbacks", offered, r.rollbacks())
	}
}

// declined: the AUR takes the correction of nobody. That level can be left out; the release is not the latest any more,
// and stays public for those who install it from the AUR.
func (p *past) declined(t *testing.T) {
	s := p.stage(t)
	r := s.trial(p.template)
	s.faults("aur/receive-pack ** #1+: declined error: package already provided by [extra]/hello")
	for _, args := range [][]string{{"--reason", "it is slow"}, nil} {
		code, said := r.back(args...)
		r.refused(code, said, "an official package has this name")
	}
	code, said := r.back("--to", older, "--level", "github,git,hold", "--reason", "it is slow")
	if code != 4 || !strings.Contains(said, "goes on as it was begun") {
		t.Errorf("exit code %d:\n%s", code, said)
	}
	code, said = r.back(r.levelsNamed(said, "github,git,hold")...)
	r.must(code, said, "with a notice")
	s.faults()
	s.kept("declined")
}
