package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// another is somebody else's machine, with the state of the release.
func (x *trial) another() *trial {
	x.t.Helper()
	y := &trial{t: x.t, dir: filepath.Join(x.t.TempDir(), project), twins: x.twins}
	copyTree(x.t, x.dir, y.dir)
	return y
}

// advised demands that who did not get through is told what can be done.
func (x *trial) advised(code int, said string) {
	x.t.Helper()
	x.orderly(code, said)
	if code != 0 && !strings.Contains(said, "hint: ") && !strings.Contains(said, "look at it, then run again") {
		x.t.Errorf("exit code %d, and nothing says what to do:\n%s", code, said)
	}
}

// twoAtOnce lets two people roll the same release back from two machines, in the AUR too. Each change is made once,
// whoever makes it; both come to an end.
func (p *past) twoAtOnce(t *testing.T, g *gated, want returned) {
	rounds := []string{"one journal and a copy of it"}
	if *crashes > 0 { // each has its own judges
		rounds = append(rounds, "a journal each")
	}
	for n := range *crashes / 10 {
		rounds = append(rounds, fmt.Sprintf("%s, once more %d", rounds[n%2], n))
	}
	for i, round := range rounds { // each has two programs
		t.Run(round, func(t *testing.T) {
			s, own := p.stage(t), i%2 == 1
			x := s.trial(g.template)
			if own {
				x = s.trial(p.template)
			}
			y := x.another()
			one, two := x.start(g.command()...), y.start(g.command()...)
			x.advised(one.wait(), one.out.String())
			y.advised(two.wait(), two.out.String())
			for _, r := range []*trial{x, y} {
				s.told(r, want.before)
				if code, said := r.back(); code != 0 {
					t.Fatalf("exit code %d:\n%s\nbefore that they had said:\n%s\n%s", code, said, one.out.String(), two.out.String())
				}
				s.ended(r, want)
			}
			for _, step := range []string{"rollback/push/" + aurName, "rollback/withdraw", "rollback/revert", "rollback/hold"} {
				ours := 0
				for _, rec := range append(backRecords(t, x), backRecords(t, y)...) {
					if rec.Step == step && rec.Event == pipeline.Done && rec.Receipt[pipeline.Marker] == rec.Run {
						ours++
					}
				}
				if own && ours != 1 { // the other has found it
					t.Errorf("%d have done %s", ours, step)
				}
			}
		})
	}
}

// TestRollback_OneJournal: beside a rollback under way in the same folder, another one waits its turn.
func TestRollback_OneJournal(t *testing.T) {
	needTools(t, "git")
	s, r := newRollbackTemplate(t, false).out(t)
	before := s.origin("rev-parse", "main")
	if code, said := r.back(); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	j, err := journal.Open(filepath.Join(r.journalDir(), "rollback-1"))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if code, said := r.back(); code != 6 {
		t.Errorf("beside another one: %d\n%s", code, said)
	}
	s.rolledBack(before)
}

// publishing is a clone of the release whose journal has come to where it is published in the AUR.
func (p *past) publishing(t *testing.T) *template {
	t.Helper()
	x := &template{dir: filepath.Join(t.TempDir(), project)}
	copyTree(t, p.dir, x.dir)
	cutBehind(t, filepath.Join(x.dir, ".slipway", released), "gate/aur", pipeline.Done)
	x.open(t)
	return x
}

// cutBehind takes out of the journal in a folder what came after the last record of a step that says so, as if the program
// had been killed there.
func cutBehind(t *testing.T, dir, step string, event pipeline.Event) {
	t.Helper()
	at, n := 0, 0
	for rec, err := range journal.Read(dir).Records() {
		if err != nil {
			t.Fatal(err)
		}
		if n++; rec.Step == step && rec.Event == event {
			at = n
		}
	}
	if at == 0 {
		t.Fatalf("%s is not %s", step, event)
	}
	file := filepath.Join(dir, journal.FileName)
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, bytes.Join(bytes.SplitAfter(text, []byte("\n"))[:at], nil), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// unhurt demands that what the AUR offers can be installed: each file that it downloads is in a public release, with the
// bytes that it wants.
func (s *stage) unhurt() (offered string) {
	s.t.Helper()
	history, err := s.World().AUR.History(aurName)
	if err != nil {
		s.t.Fatal(err)
	}
	offered = history.Last().Version
	public := map[string]string{} // SHA-256 by tag and name
	for _, r := range s.World().GitHub.History(owner, project).Last().Releases {
		for _, a := range r.Assets {
			if !r.Draft && a.State == "uploaded" {
				public[r.Tag+"/"+a.Name] = a.SHA256
			}
		}
	}
	srcinfo := gitIn(s.t, filepath.Join(s.dir, "aur", aurName+".git"), "show", "master:.SRCINFO")
	sources, sums, remote := valuesOf(srcinfo, "source"), valuesOf(srcinfo, "sha256sums"), 0
	for i, source := range sources {
		_, file, is := strings.Cut(source, "https://github.com/"+owner+"/"+project+"/releases/download/")
		if !is {
			continue
		}
		if remote++; i >= len(sums) || public[file] != sums[i] {
			s.t.Errorf("the AUR offers %s, and nobody can download %s: SHA-256 %q, want %q", offered, file, public[file], sums)
		}
	}
	if remote == 0 {
		s.t.Errorf("the AUR offers %s, which downloads nothing: %q", offered, sources)
	}
	return offered
}

// besideRun: one machine has released to GitHub and goes on to the AUR when another rolls the release back. Whoever comes
// too late is told, and no user is offered what is not there.
func (p *past) besideRun(t *testing.T) {
	x := p.publishing(t)
	t.Run("the rollback is faster", func(t *testing.T) {
		p := *p
		p.unpublished = true
		s := p.stage(t)
		running := s.trial(x)
		back := running.another()
		if code, said := back.back(); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, said)
		}
		code, said := running.run()
		if running.advised(code, said); code == 0 || !strings.Contains(said, "held") {
			t.Errorf("exit code %d:\n%s", code, said)
		}
		if offered := s.unhurt(); offered != "0.0.9-1" {
			t.Errorf("the AUR offers %s", offered)
		}
	})
	t.Run("the run is faster", func(t *testing.T) {
		s := p.stage(t) // what it has pushed is there
		back := s.trial(x)
		code, said := back.back()
		back.advised(code, said)
		s.unhurt()
		if strings.Contains(s.origin("log", "--format=%s", "main"), "Hold ") == (code != 0) {
			t.Errorf("exit code %d, and main has got %s:\n%s", code, s.origin("log", "--format=%s", "main"), said)
		}
	})
	t.Run("at once", func(t *testing.T) {
		p := *p
		p.unpublished = true
		s := p.stage(t)
		running := s.trial(x)
		back := running.another()
		one, two := running.start("run", "--yes"), back.start("rollback", released, "--yes")
		running.advised(one.wait(), one.out.String())
		back.advised(two.wait(), two.out.String())
		if s.unhurt(); t.Failed() {
			t.Logf("%s\n%s", one.out.String(), two.out.String())
		}
	})
}

// rival: somebody else has published in the AUR since the gate has passed. Their commit stays and is shown, nothing of the
// rollback is done before people have looked; then it comes to its end.
func (p *past) rival(t *testing.T, g *gated, want returned) {
	s := p.stage(t)
	r := s.trial(g.template)
	s.faults("aur/receive-pack ** #1: rival")
	code, said := r.slipway(g.command()...)
	if r.advised(code, said); code != 5 || !strings.Contains(said, "+pkgrel='2'") {
		t.Errorf("exit code %d:\n%s", code, said)
	}
	for step, event := range s.told(r, want.before) {
		if event == pipeline.Done {
			t.Errorf("%s is done", step)
		}
	}
	s.reported(r, want.before, true)
	if got := s.unhurt(); got != released+"-2" {
		t.Errorf("the AUR offers %s", got)
	}
	// Once people have looked, the gate is asked about what is there now.
	for n := 0; code == 5 && n < 3; n++ {
		code, said = r.back()
		r.advised(code, said)
	}
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	want.rival = released + "-2"
	s.ended(r, want)
}
