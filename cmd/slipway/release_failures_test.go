package main

import (
	"slices"
	"strings"
	"testing"
)

// A release stood public for hours without its assets. Whatever stops the uploads, and for however long: at no moment is
// there a public release that lacks one.
func TestFailure_003_NeverPublicWithoutItsAssets(t *testing.T) {
	x := newTemplate(t, variant{})
	trials(t, []string{
		"github/POST uploads:/** #3+: 401", "github/POST uploads:/** #2+: 502 after 10 bytes", "github/POST uploads:/** #4+: cut after 20 bytes",
		"github/GET downloads:/**: 503", "github/PATCH api:/repos/*/*/releases/* #1+: 500 though done",
	}, func(t *testing.T, fault string) {
		s := newStage(t, x)
		r := s.trial(x)
		s.faults(fault)
		for range 2 {
			code, said := r.run()
			if upload := strings.Contains(fault, "uploads"); code == 0 && upload {
				t.Errorf("it ends without uploads:\n%s", said)
			}
			states := s.World().GitHub.History(owner, project)
			if rel := states[len(states)-1].Releases; len(rel) != 1 || strings.Contains(fault, "uploads") && !rel[0].Draft {
				t.Errorf("releases %+v", rel)
			}
		}
		s.faults()
		r.ends()
		s.holds(r)
	})
}

// A PKGBUILD was pushed whose address did not exist yet. As long as nobody can download the assets, the AUR is not told
// of the version.
func TestFailure_004_TheAURNeverBeforeThePublic(t *testing.T) {
	needTools(t, judges...)
	x := newTemplate(t, variant{aur: true})
	s := newStage(t, x)
	r := s.trial(x)
	quiet := func(when string) {
		t.Helper()
		if history, err := s.World().AUR.History(aurName); err != nil || len(history) > 0 || slices.ContainsFunc(s.operations(), pushes) {
			t.Errorf("%s: %v, the AUR has %+v", when, err, history)
		}
	}
	s.faults("github/GET downloads:/**: 503")
	code, said := r.run()
	if code != 3 || !strings.Contains(said, "proof/release") {
		t.Errorf("nobody can download it: exit code %d\n%s", code, said)
	}
	quiet("nobody can download it")
	s.faults()
	if code, said := r.slipway("run", "--yes", "--phase", "release"); code != 0 {
		t.Fatalf("exit code %d\n%s", code, said)
	}
	s.faults("github/GET downloads:/**: 503")
	if code, said = r.run(); code != 3 || !strings.Contains(said, "aur/published") {
		t.Errorf("nobody can download it any more: exit code %d\n%s", code, said)
	}
	quiet("nobody can download it any more")
}

// operations are those that the twins have seen so far.
func (s *stage) operations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// pushes reports whether an operation is one that pushes to the AUR, or asks what a push would find.
func pushes(op string) bool {
	return strings.HasPrefix(op, "aur arrived") && strings.Contains(op, " receive-pack ")
}

// inOrder demands that the AUR was pushed to after the release was public and everything was downloaded.
func (s *stage) inOrder() {
	s.t.Helper()
	ops := s.operations()
	last := func(words ...string) int {
		for i, op := range slices.Backward(ops) {
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(op, w) }) {
				return i
			}
		}
		s.t.Errorf("no operation %v in\n%s", words, strings.Join(ops, "\n"))
		return -1
	}
	public, download, push := last("github handled", "PATCH"), last("github handled", " downloads "), slices.IndexFunc(ops, pushes)
	if push < 0 || push < public || push < download {
		s.t.Errorf("published %d, downloaded %d, pushed to the AUR %d of\n%s", public, download, push, strings.Join(ops, "\n"))
	}
}
