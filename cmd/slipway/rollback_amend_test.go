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

// TestRollback_Approved: what was approved is done, and nothing else. Other options behind the gate have to be approved anew.
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
	if code != 4 || !strings.Contains(said, "goes on as it was begun") || !strings.Contains(said, "with the options as they are now") {
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

// TestRollback_AURDown: the release waits for the AUR, which lets nobody in, and turns out bad. It is taken from the latest
// all the same; since nobody can tell what the AUR has, it stays public until that can be asked.
func TestRollback_AURDown(t *testing.T) {
	needTools(t, append([]string{"git"}, judges...)...)
	x := newRollbackTemplate(t, true)
	p := x.past(t)
	s := p.stage(t)
	r := s.trial(x)
	s.faults("aur/connect ** #1+: refused", "aur/rpc ** #1+: 502")
	code, said := r.run()
	r.refused(code, said, "gate/aur did not pass")
	code, said = r.back("--to", older, "--reason", "it is slow")
	r.refused(code, said, "where that cannot wait, --without hello-bin leaves the release public, with a notice")
	if args := advice(said); !strings.Contains(strings.Join(args, " "), "--without hello-bin") {
		t.Errorf("%q is named in\n%s", args, said)
	}
	code, said = r.back(advice(said)...)
	r.must(code, said, "is rolled back to "+older, "hello-bin: the AUR is not waited for")
	s.kept("down")
	s.faults()
	code, said = r.back("--level", "github,hold")
	r.must(code, said)
	if !s.isDraft() {
		t.Error("the AUR does not have it, and it is public")
	}
}

// secondPackage is another one in the AUR, of the same program.
const secondPackage = `
  - name: hello-two-bin
    format: aur
    from: hello
    maintainer: Ada <ada@example.org>
    license: MIT
    homepage: https://example.org/hello
    description: Program that greets too
    url: https://github.com/example/hello/releases/download/v{{ .Version }}/
release:
`

// twoPackages makes the history anew, in which each version has two packages in the AUR.
func (x *template) twoPackages(t *testing.T) {
	t.Helper()
	text := readText(t, filepath.Join(x.dir, "release.yaml"))
	text = strings.Replace(text, "\nrelease:\n", secondPackage, 1)
	text = strings.Replace(text, aurKeys, aurKeys+"  hello-two-bin: {key_file: AUR_KEY_FILE, remote: 'ssh://aur@aur.archlinux.org/hello-two-bin.git'}\n", 1)
	for _, dir := range []string{".slipway", "dist"} {
		if err := os.RemoveAll(filepath.Join(x.dir, dir)); err != nil {
			t.Fatal(err)
		}
	}
	gitIn(t, x.dir, "checkout", "-q", "--orphan", "anew")
	for _, v := range []string{"0.0.9", released} {
		for name, text := range map[string]string{
			"release.yaml": text, "VERSION": v + "\n", "app.json": fmt.Sprintf("{\"version\": %q, \"git_commit\": \"development\"}\n", v),
		} {
			if err := os.WriteFile(filepath.Join(x.dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		gitIn(t, x.dir, "add", "-A")
		gitIn(t, x.dir, "commit", "-q", "-m", "feat: be packaged twice as "+v)
		if v != released {
			gitIn(t, x.dir, "tag", "-f", "-a", "-m", v, "v"+v)
		}
	}
	gitIn(t, x.dir, "branch", "-q", "-M", "main")
	x.open(t)
	if code, said := (&trial{t: t, dir: x.dir}).slipway("run", "--phase", "build"); code != 0 {
		t.Fatalf("exit code %d: %s", code, said)
	}
}

// TestRollback_TwoPackages: of two packages one cannot be corrected, which is seen before the gate or behind it. The other
// one is all the same, by the command that is named, and the release stays public for those who install the first.
func TestRollback_TwoPackages(t *testing.T) {
	needTools(t, append([]string{"git"}, judges...)...)
	x := newRollbackTemplate(t, true)
	x.twoPackages(t)
	p := x.past(t)
	for name, stop := range map[string]func(s *stage){
		"orphaned": func(s *stage) {
			if err := s.World().AUR.SetMaintainer("hello-two-bin", ""); err != nil {
				t.Fatal(err)
			}
		},
		"declined behind the first": func(s *stage) {
			s.faults("aur/receive-pack *two* #1+: declined error: package already provided by [extra]/hello")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := p.stage(t)
			r := s.trial(x)
			if code, said := r.run(); code != 0 {
				t.Fatalf("exit code %d:\n%s", code, said)
			}
			stop(s)
			code, said := r.back("--to", older, "--reason", "it is slow")
			r.refused(code, said)
			args := advice(said)
			if !strings.Contains(strings.Join(args, " "), "--without hello-two-bin") {
				t.Fatalf("%q is named in\n%s", args, said)
			}
			code, said = r.back(args...)
			r.must(code, said, "is rolled back to "+older, "with a notice")
			s.kept(name)
			for pkg, want := range map[string]string{aurName: released + "+really0.0.9-1", "hello-two-bin": released + "-1"} {
				if rec, _ := s.World().AUR.Record(pkg); rec.Version != want {
					t.Errorf("the AUR offers %s %s, want %s", pkg, rec.Version, want)
				}
			}
		})
	}
	t.Run("republished", func(t *testing.T) {
		s := p.stage(t)
		r := s.trial(x)
		if code, said := r.run(); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, said)
		}
		file := filepath.Join(r.dir, "release.yaml")
		was := readText(t, file)
		raise := func(one, two string) {
			t.Helper()
			parts := strings.Split(was, "\n    from: hello\n")
			if len(parts) != 3 {
				t.Fatal(was)
			}
			text := parts[0] + "\n    from: hello\n    pkgrel: " + one + "\n" + parts[1] + "\n    from: hello\n    pkgrel: " + two + "\n" + parts[2]
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			gitIn(t, r.dir, "commit", "-q", "-am", "fix: be packaged better")
		}
		raise("2", "2")
		s.faults("aur/receive-pack *two* #1+: declined error: not today")
		code, said := r.slipway("run", "--phase", "aur", "--yes")
		r.refused(code, said, "not today")
		s.faults()
		raise("2", "3")
		if code, said = r.slipway("run", "--phase", "aur", "--yes"); code != 4 || !strings.Contains(said, "run --phase aur --amend") {
			t.Errorf("exit code %d:\n%s", code, said)
		}
		code, said = r.slipway("run", "--phase", "aur", "--amend", "--yes")
		r.must(code, said, "aur-1 has published some of it as it was: that stays done, and aur-2 takes its place, with a gate of its own")
		for pkg, want := range map[string]string{aurName: released + "-2", "hello-two-bin": released + "-3"} {
			if rec, _ := s.World().AUR.Record(pkg); rec.Version != want {
				t.Errorf("the AUR offers %s %s, want %s", pkg, rec.Version, want)
			}
		}
		code, said = r.slipway("run", "--phase", "aur", "--yes")
		r.must(code, said)
	})
}
