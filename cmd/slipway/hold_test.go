package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/imrightguy/slipway/cmd/slipway/internal/crash"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// published tells whether the release is public.
func (s *stage) published() bool {
	for _, r := range s.World().GitHub.History(owner, project).Last().Releases {
		if r.Tag == tagName && !r.Draft {
			return true
		}
	}
	return false
}

// held demands that a run was stopped by a hold, and that its words say why and what to do; it returns the command.
func (x *trial) held(code, want int, said, reason string) {
	x.t.Helper()
	for _, words := range []string{"held since ", reason, "slipway hold " + released + " --lift --reason TEXT lifts it"} {
		if !strings.Contains(said, words) {
			x.t.Errorf("want %q in\n%s", words, said)
		}
	}
	if code != want {
		x.t.Errorf("exit code %d:\n%s", code, said)
	}
}

// TestHold: what one machine holds, another one does not publish, whether its gate has passed or not; once it is lifted,
// the same run goes on to its end.
func TestHold(t *testing.T) {
	needTools(t, "git")
	x := newTemplate(t, variant{})
	const reason = `it does "not" start; $(id)`
	hold := func(t *testing.T, r *trial, lift bool) {
		t.Helper()
		args := []string{"hold", released, "--yes", "--reason", reason}
		if lift {
			args = append(args, "--lift")
		}
		if code, said := r.slipway(args...); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, said)
		}
	}
	ends := func(t *testing.T, s *stage, r *trial) {
		t.Helper()
		if code, said := r.run(); code != 0 || !s.published() {
			t.Errorf("exit code %d, published: %v\n%s", code, s.published(), said)
		}
		s.always(r.assets())
	}
	t.Run("before the gate", func(t *testing.T) {
		s := newStage(t, x)
		one, two := s.trial(x), s.trial(x)
		hold(t, one, false)
		code, said := two.run()
		two.held(code, 3, said, reason)
		if code, said = two.slipway("status"); code != 0 || !strings.Contains(said, reason) {
			t.Errorf("status does not say it: %d\n%s", code, said)
		}
		if s.published() || strings.Contains(gitIn(t, filepath.Join(s.dir, "origin.git"), "tag"), tagName) {
			t.Error("it was published, or tagged")
		}
		hold(t, one, true)
		ends(t, s, two)
	})
	// A run that stopped behind the gate: what comes next, and cannot be taken back, is not done.
	s := newStage(t, x)
	probe := s.trial(x)
	before := len(probe.records())
	if code, said := probe.run(); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	done := func(step string) int {
		return 1 - before + slices.IndexFunc(probe.records(), func(rec pipeline.Record) bool { return rec.Step == step && rec.Event == pipeline.Done })
	}
	for _, last := range []string{"release/tag", "release/publish"} {
		t.Run("behind "+last, func(t *testing.T) {
			s := newStage(t, x)
			one, two := s.trial(x), s.trial(x)
			two.env = []string{crash.Variable + "=" + strconv.Itoa(done(last))}
			if code, said := two.slipway("run", "--yes", "--jobs", "2"); code != -1 {
				t.Fatalf("not killed: %d\n%s", code, said)
			}
			two.env = nil
			hold(t, one, false)
			code, said := two.run()
			two.held(code, 1, said, reason)
			if s.published() != (last == "release/publish") || s.origin("rev-list", "--merges", "main") != "" {
				t.Errorf("published: %v; main has got %s", s.published(), s.origin("log", "--format=%s", "main"))
			}
			hold(t, one, true)
			ends(t, s, two)
			if s.origin("rev-list", "--merges", "--count", "main") != "1" {
				t.Errorf("main has got %s", s.origin("log", "--format=%s", "main"))
			}
		})
	}
	t.Run("words", func(t *testing.T) {
		s := newStage(t, x)
		r := s.trial(x)
		for _, c := range []struct {
			args []string
			code int
			says string
		}{
			{[]string{"hold", "--lift"}, 2, "slipway hold 0.1.0 --reason TEXT --lift"},
			{[]string{"hold"}, 2, "slipway hold 0.1.0 --reason TEXT"},
			{[]string{"hold", "--reason", "a\nb"}, 2, "one line of text"},
			{[]string{"hold", "--reason", "a\x1b[31mb"}, 2, "one line of text"},
			{[]string{"hold", "../x", "--reason", "a"}, 2, "version"},
			{[]string{"hold", "--lift", "--reason", "none", "--yes"}, 3, "nobody holds 0.1.0, so there is no hold to lift\nslipway: hint: slipway hold 0.1.0 --reason TEXT holds it"},
			{[]string{"hold", "--lift", "--reason", "none", "--dry-run"}, 0, "Lift of a hold"},
			{[]string{"hold", "--reason", "first"}, 2, "goes on without asking"}, // it asks, and nobody answers
			{[]string{"hold", "--lift", "--reason", "second", "--yes"}, 3, "slipway hold 0.1.0 ends it as it was begun"},
			{[]string{"hold", "--yes"}, 0, "no release publishes it until slipway hold 0.1.0 --lift --reason TEXT"},
			{[]string{"hold", "--lift", "--reason", "second", "--yes"}, 0, "0.1.0 is not held any more"},
			{[]string{"hold", "--lift", "--reason", "second", "--yes"}, 0, "0.1.0 is not held any more"}, // the same again
			{[]string{"hold", "--lift", "--reason", "third", "--yes"}, 3, "nobody holds 0.1.0"},
		} {
			code, said := r.slipway(c.args...)
			if said = strings.ReplaceAll(said, " -C "+r.dir, ""); code != c.code || !strings.Contains(said, c.says) {
				t.Errorf("%q: %d, want %d and %q in\n%s", c.args, code, c.code, c.says, said)
			}
		}
		if began, err := filepath.Glob(filepath.Join(r.journalDir(), "hold-*")); err != nil || len(began) != 2 {
			t.Errorf("what was refused has begun, or was done twice: %v, %v", began, err)
		}
	})
	// Wherever the end of a hold is killed, the same command ends it, also where somebody else has lifted it meanwhile.
	t.Run("lift killed", func(t *testing.T) {
		s := newStage(t, x)
		one, two := s.trial(x), s.trial(x)
		lift := []string{"hold", released, "--lift", "--reason", "it was the network", "--yes"}
		here := func() bool { return s.origin("ls-tree", "--name-only", "main", ".slipway/holds/") != "" }
		for _, meanwhile := range []bool{false, true} {
			killed := 0
			for code := -1; code == -1; killed++ {
				hold(t, one, false)
				two.env = []string{crash.Variable + "=" + strconv.Itoa(killed+1)}
				code, _ = two.slipway(lift...)
				two.env = nil
				if meanwhile && here() {
					hold(t, one, true)
				} else if meanwhile {
					code, said := one.slipway("hold", released, "--lift", "--reason", "late", "--yes")
					if code != 3 || !strings.Contains(said, "nobody holds "+released) {
						t.Errorf("after %d records: exit code %d:\n%s", killed+1, code, said)
					}
				}
				if code, said := two.slipway(lift...); code != 0 || !strings.Contains(said, released+" is not held any more") || here() {
					t.Errorf("killed after %d records: exit code %d, held %v:\n%s", killed+1, code, here(), said)
				}
			}
			if killed < 6 { // after begin, look, gate, started and done, and not at all
				t.Errorf("the lift was killed %d times", killed-1)
			}
		}
	})
}

// TestHold_Approved: where a role has to sign, what it has signed stands in the file, for everybody to verify; what was
// signed for another reason does not.
func TestHold_Approved(t *testing.T) {
	needTools(t, "git", "ssh-keygen")
	x := newTemplate(t, variant{})
	key := x.approvedBy(t, "{rollback: {approve: lead}}")
	public := strings.TrimSpace(readText(t, key+".pub"))
	s := newStage(t, x)
	r := s.trial(x)
	for _, step := range []struct {
		args []string
		code int
	}{
		{[]string{"hold", "--reason", "frist", "--yes"}, 3},
		{[]string{"approve", "gate/hold", "--key", key}, 0},
		{[]string{"hold", "--reason", "first", "--amend", "--yes"}, 3}, // what was signed says another reason
		{[]string{"approve", "gate/hold", "--key", key}, 0},
		{[]string{"hold", "--yes"}, 0},
	} {
		if code, said := r.slipway(step.args...); code != step.code {
			t.Fatalf("%q: exit code %d, want %d:\n%s", step.args, code, step.code, said)
		}
	}
	var h struct{ Signed, Signature []byte }
	if err := json.Unmarshal([]byte(s.origin("show", "main:.slipway/holds/"+released+".json")), &h); err != nil {
		t.Fatal(err)
	}
	req, err := gate.ParseRequest(h.Signed)
	if err != nil || req.Kind != gate.Approval || req.Gate != "gate/hold" || req.Version != released {
		t.Errorf("the hold rests on %+v, %v", req, err)
	}
	last := ""
	for rec, err := range journal.Read(filepath.Join(r.journalDir(), "hold-1")).Records() {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Statement != nil {
			last = string(rec.Statement.Signed)
		}
	}
	if string(h.Signed) != last || last == "" {
		t.Errorf("the hold rests on\n%s\nand the last that was signed is\n%s", h.Signed, last)
	}
	// Anybody can verify it with OpenSSH alone.
	signed, allowed := filepath.Join(t.TempDir(), "signature"), filepath.Join(t.TempDir(), "allowed")
	for name, content := range map[string]string{signed: string(h.Signature), allowed: "lead " + public + "\n"} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	verify := exec.CommandContext(t.Context(), "ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "lead", "-n", "slipway-approval", "-s", signed)
	verify.Stdin = bytes.NewReader(h.Signed)
	if out, err := verify.CombinedOutput(); err != nil {
		t.Errorf("ssh-keygen: %v\n%s\n%s", err, out, h.Signature)
	}
}

// TestRollback_Signed: with sign: in release.yaml, what a rollback and a hold commit verifies with git, and so do the
// commits that lift it.
func TestRollback_Signed(t *testing.T) {
	needTools(t, "git", "ssh-keygen")
	x := newRollbackTemplate(t, false)
	file := filepath.Join(x.dir, "release.yaml")
	text := readText(t, file) + "sign: {format: ssh, key_file: SIGN_KEY_FILE}\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{".slipway", "dist"} {
		if err := os.RemoveAll(filepath.Join(x.dir, dir)); err != nil {
			t.Fatal(err)
		}
	}
	gitIn(t, x.dir, "commit", "-q", "-am", "build: sign")
	x.open(t)
	s, r := x.out(t)
	before := s.origin("rev-parse", "main")
	for _, args := range [][]string{
		{"rollback", released, "--yes", "--to", "0.0.9", "--reason", "it is slow"},
		{"hold", released, "--yes", "--lift", "--reason", "it was the network"},
	} {
		if code, said := r.slipway(args...); code != 0 {
			t.Fatalf("%q: exit code %d:\n%s", args, code, said)
		}
	}
	key, err := ssh.ParsePrivateKey([]byte(readText(t, s.Map.Signing["ssh"])))
	if err != nil {
		t.Fatal(err)
	}
	allowed := filepath.Join(t.TempDir(), "allowed")
	if err := os.WriteFile(allowed, append([]byte(`release@example.org namespaces="git" `), ssh.MarshalAuthorizedKey(key.PublicKey())...), 0o644); err != nil {
		t.Fatal(err)
	}
	commits := strings.Fields(s.origin("rev-list", before+"..main"))
	if len(commits) != 3 {
		t.Fatalf("main has got %v", s.origin("log", "--format=%s", before+"..main"))
	}
	for _, commit := range commits {
		s.origin("-c", "gpg.ssh.allowedSignersFile="+allowed, "verify-commit", commit) // fails the test where it does not
	}
	s.origin("fsck", "--strict")
}
