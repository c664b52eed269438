package gitflow

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/imrightguy/slipway/phases/build/version"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// finish runs a release, lets plant change the remote before the outcome is looked at, and returns the evidence.
func finish(t *testing.T, plant func(r *rig)) (*rig, gate.Evidence) {
	t.Helper()
	r := newRig(t, gitd.Options{})
	p, o := r.plan()
	o.Observe = func(rec pipeline.Record) {
		if rec.Step == MergeID && rec.Event == pipeline.Done {
			plant(r)
		}
	}
	if err := p.Run(t.Context(), o); !errors.Is(err, pipeline.ErrGate) {
		t.Errorf("the proof passed: %v", err)
	}
	return r, r.evidence(CheckTag)
}

// retag makes the remote's tag anew, annotated, of another commit.
func (r *rig) retag(commit string) {
	gitIn(r.t, r.bare(), "tag", "-f", "-a", "-m", "x", "v3.2.1", commit)
}

// TestFailure_011_TagOneReleaseBehind: the version at the tag equals the tag's name, before the push and after it.
func TestFailure_011_TagOneReleaseBehind(t *testing.T) {
	r, e := finish(t, func(r *rig) { r.retag(r.env.Commit + "~1") })
	if e.Verdict != gate.Fail || !strings.Contains(e.Found, "VERSION says version 3.2.0 at tag v3.2.1") {
		t.Errorf("%+v", e)
	}
	r.remote("update-ref", "refs/tags/v3.2.1", r.receipt(TagID, "object"))
	must(t, r.run())
	r.right()

	// People have tagged the commit before.
	r = newRig(t, gitd.Options{})
	r.c = Config{Remote: production, Tag: Existing}
	gitIn(t, r.user, "tag", "-a", "-m", "x", "v3.2.1", "HEAD~1")
	r.publish("v3.2.1")
	if err := r.run(); !errors.Is(err, pipeline.ErrGate) {
		t.Errorf("a tag of the commit before: %v", err)
	}

	// The commit itself says another version: nothing is pushed.
	r = newRig(t, gitd.Options{})
	r.source.Source, r.source.Carriers = "version.json", nil
	r.env.Commit = r.commit(map[string]string{"VERSION": "3.2.0\n"})
	r.publish("HEAD:refs/heads/main")
	if err := r.run(); !errors.Is(err, pipeline.ErrGate) {
		t.Errorf("a commit of another version: %v", err)
	}
	if e := r.evidence(CheckGit); e.Verdict != gate.Fail || !strings.Contains(e.Found, "VERSION says version 3.2.0") {
		t.Errorf("%+v", e)
	}
	if got := r.remote("tag", "-l"); got != "" {
		t.Errorf("tagged %s", got)
	}
}

// TestFailure_013_NoSource: the source of truth must exist at the tag.
func TestFailure_013_NoSource(t *testing.T) {
	r, e := finish(t, func(r *rig) {
		tree := r.remote("mktree", "--missing")
		r.retag(r.remote("commit-tree", "-m", "empty", tree))
	})
	if e.Verdict != gate.Fail || !strings.Contains(e.Found, "VERSION does not exist") {
		t.Errorf("%+v", e)
	}
	r.remote("update-ref", "refs/tags/v3.2.1", r.receipt(TagID, "object"))
	must(t, r.run())
}

// TestFailure_014_LightweightTag: nobody knows who made one.
func TestFailure_014_LightweightTag(t *testing.T) {
	r, e := finish(t, func(r *rig) { r.remote("update-ref", "refs/tags/v3.2.1", r.receipt(version.ID, "commit")) })
	if e.Verdict != gate.Fail || !strings.Contains(e.Found, "lightweight") {
		t.Errorf("%+v", e)
	}
	r.remote("update-ref", "refs/tags/v3.2.1", r.receipt(TagID, "object"))
	must(t, r.run())

	// One that is there before is a conflict, not something to adopt, and is left as it is.
	r = newRig(t, gitd.Options{})
	must(t, r.runUntil(t, version.ID))
	commit := r.receipt(version.ID, "commit")
	must(t, r.runUntil(t, BranchID))
	r.remote("update-ref", "refs/tags/v3.2.1", commit)
	if err := r.run(); err == nil {
		t.Error("it was adopted")
	}
	if got := r.remote("cat-file", "-t", "refs/tags/v3.2.1"); got != "commit" {
		t.Errorf("the tag is a %s now", got)
	}
}

// TestFailure_063_PublishedTagNeverMoves: neither the check nor the step touches a tag of another commit.
func TestFailure_063_PublishedTagNeverMoves(t *testing.T) {
	r := newRig(t, gitd.Options{})
	r.retag("main~1")
	was := r.remote("rev-parse", "v3.2.1")
	if err := r.run(); !errors.Is(err, pipeline.ErrGate) || !strings.Contains(r.evidence(CheckGit).Found, "never moved") {
		t.Errorf("at the gate: %v", err)
	}
	if got := r.remote("rev-parse", "v3.2.1"); got != was {
		t.Error("the tag moved")
	}
	// The gate is behind when somebody tags.
	r = newRig(t, gitd.Options{})
	p, o := r.plan()
	o.Observe = func(rec pipeline.Record) {
		if rec.Step == "gate/release" && rec.Event == pipeline.Done {
			r.retag("main~1")
			was = r.remote("rev-parse", "v3.2.1")
		}
	}
	if err := p.Run(t.Context(), o); !errors.Is(err, pipeline.ErrConflict) {
		t.Errorf("at the step: %v", err)
	}
	if got := r.remote("rev-parse", "v3.2.1"); got != was {
		t.Error("the tag moved")
	}
	r.remote("tag", "-d", "v3.2.1")
	must(t, r.run())
	r.right()
}

// TestFailure_068_OneVersionOneCommit: no other version's tag is of the same commit. Tags of other kinds may be.
func TestFailure_068_OneVersionOneCommit(t *testing.T) {
	r, e := finish(t, func(r *rig) { r.remote("tag", "v3.2.2", r.receipt(version.ID, "commit")) })
	if e.Verdict != gate.Fail || !strings.Contains(e.Found, "v3.2.2") {
		t.Errorf("%+v", e)
	}
	r.remote("tag", "-d", "v3.2.2")
	r.remote("tag", "nightly", r.receipt(version.ID, "commit"))
	must(t, r.run())

	r = newRig(t, gitd.Options{})
	must(t, r.runUntil(t, BranchID))
	gitIn(t, r.bare(), "tag", "-a", "-m", "x", "v3.2.2", "release/v3.2.1")
	if err := r.run(); err == nil {
		t.Error("tagged beside another version's tag")
	}
	if got := r.remote("tag", "-l"); got != "v3.2.2" {
		t.Errorf("tags %s", got)
	}
}

// TestMergedProof: a branch that was moved away from the release does not pass.
func TestMergedProof(t *testing.T) {
	r, _ := finish(t, func(r *rig) { r.remote("update-ref", "refs/heads/main", r.env.Commit) })
	if e := r.evidence(CheckMerged); e.Verdict != gate.Fail || !strings.Contains(e.Found, "does not contain") {
		t.Errorf("%+v", e)
	}
	if e := r.evidence(CheckTag); e.Verdict != gate.Pass {
		t.Errorf("%+v", e)
	}
	r.remote("update-ref", "refs/heads/main", r.receipt(MergeID, "merge"))
	must(t, r.run())
}

// TestSigned_SSH lets git verify commit, tag and merge.
func TestSigned_SSH(t *testing.T) {
	need(t, "ssh-keygen")
	r := newRig(t, gitd.Options{})
	raw, err := os.ReadFile(filepath.Join(r.dir, "key"))
	must(t, err)
	key, err := ssh.ParsePrivateKey(raw)
	must(t, err)
	public := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey())))
	r.o.Sign = &endpoint.Signing{Format: "ssh", Key: public, KeyFile: "KEY"}
	must(t, r.run())
	r.right()
	allowed := filepath.Join(r.dir, "allowed")
	write(t, allowed, `release@example.org namespaces="git" `+public+"\n")
	for _, args := range [][]string{{"verify-commit", "release/v3.2.1"}, {"tag", "-v", "v3.2.1"}, {"verify-commit", "main"}} {
		if out := r.remote(append([]string{"-c", "gpg.ssh.allowedSignersFile=" + allowed}, args...)...); !strings.Contains(out, `Good "git" signature for release@example.org`) {
			t.Errorf("git %v: %s", args, out)
		}
	}
	// The same once more is the same.
	commit, tree := r.receipt(version.ID, "commit"), r.receipt(version.ID, "tree")
	r2 := newRig(t, gitd.Options{})
	write(t, filepath.Join(r2.dir, "key"), string(raw))
	r2.o.Sign, r2.over = r.o.Sign, "https"
	must(t, r2.run())
	if r2.receipt(version.ID, "commit") != commit || r2.receipt(version.ID, "tree") != tree {
		t.Error("an Ed25519 signature is another one the second time")
	}
	// Without a signer there is no unsigned commit instead.
	r3 := newRig(t, gitd.Options{})
	r3.o.Sign = &endpoint.Signing{Format: "ssh", Key: public, KeyFile: "OTHER"}
	if err := r3.run(); err == nil || !strings.Contains(err.Error(), "cannot sign") {
		t.Errorf("without the key: %v", err)
	}
}

// TestSigned_OpenPGP lets git and gpg verify.
func TestSigned_OpenPGP(t *testing.T) {
	need(t, "gpg")
	home := t.TempDir()
	t.Setenv("GNUPGHOME", home)
	t.Cleanup(func() {
		if out, err := exec.Command("gpgconf", "--kill", "all").CombinedOutput(); err != nil {
			t.Logf("gpgconf: %v %s", err, out)
		}
	})
	gpg := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "gpg", append([]string{"--batch", "--pinentry-mode", "loopback", "--passphrase", ""}, args...)...).Output()
		if err != nil {
			t.Fatalf("gpg %v: %v", args, err)
		}
		return string(out)
	}
	gpg("--quick-generate-key", "Release Team <release@example.org>", "ed25519", "sign", "never")
	var print string
	for line := range strings.SplitSeq(gpg("--with-colons", "--list-secret-keys"), "\n") {
		if f := strings.Split(line, ":"); f[0] == "fpr" && print == "" {
			print = f[9]
		}
	}
	r := newRig(t, gitd.Options{})
	write(t, filepath.Join(r.dir, "pgp"), gpg("--armor", "--export-secret-keys"))
	r.o.Sign = &endpoint.Signing{Format: "openpgp", Key: print, KeyFile: "PGP"}
	must(t, r.run())
	r.right()
	for _, args := range [][]string{{"verify-commit", "release/v3.2.1"}, {"tag", "-v", "v3.2.1"}, {"verify-commit", "main"}} {
		if out := r.remote(args...); !strings.Contains(out, "Good signature from") {
			t.Errorf("git %v: %s", args, out)
		}
	}
}
