package gitflow

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/imrightguy/slipway/phases/build/version"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/gitsign"
	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

func need(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing", program)
		}
		t.Skipf("%s is missing", program)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func try(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.org",
		"GIT_AUTHOR_DATE=2025-06-29T21:50:00Z", "GIT_COMMITTER_DATE=2025-06-29T21:50:00Z", "GNUPGHOME=" + os.Getenv("GNUPGHOME"),
	}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func gitIn(t testing.TB, dir string, args ...string) string {
	t.Helper()
	out, err := try(dir, args...)
	if err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return out
}

func write(t testing.TB, name, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o700))
	must(t, os.WriteFile(name, []byte(text), 0o600))
}

// production is the remote that plans name; it is never dialled.
const production = "git@git.example.org:o/r.git"

// rig is a user's repository, its remote and a plan.
type rig struct {
	t       testing.TB
	dir     string
	user    string // the user's repository
	server  *gitd.Server
	c       Config
	o       Options
	source  version.Config
	env     pipeline.Env
	ends    *endpoint.Endpoints
	journal pipeline.Journal
	over    string // ssh or https
}

// template is a folder with the repositories user and remote/o/r.git, of which each rig has a copy: making them takes git
// longer than most tests.
var template string

func TestMain(m *testing.M) {
	var err error
	if template, err = os.MkdirTemp("", "gitflow"); err != nil {
		panic(err)
	}
	if _, err = exec.LookPath("git"); err == nil { // without it every test that has a rig skips or fails
		err = makeTemplate(template)
	} else {
		err = nil
	}
	code := 1
	if err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	if err := os.RemoveAll(template); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func makeTemplate(dir string) error {
	user, remote := filepath.Join(dir, "user"), filepath.Join(dir, "remote")
	if err := errors.Join(gitd.Init(remote, "o/r", "main"), os.MkdirAll(filepath.Join(user, "lib"), 0o700)); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main", "--template="},
		{"VERSION", "3.2.0\n"},
		{"version.json", `{"version":"3.2.0","git_commit":"x"}`},
		{"lib/a.txt", "a\nb\nc\nd\ne\n"},
		{"add", "-A"},
		{"commit", "-q", "-m", "work"},
		{"VERSION", "3.2.1\n"},
		{"version.json", `{"version":"3.2.1","git_commit":"x"}`},
		{"commit", "-q", "-a", "-m", "work"},
		{"push", "-q", filepath.Join(remote, "o", "r.git"), "HEAD:refs/heads/main"},
	} {
		if len(args) == 2 && args[0] != "add" {
			if err := os.WriteFile(filepath.Join(user, args[0]), []byte(args[1]), 0o600); err != nil {
				return err
			}
			continue
		}
		if out, err := try(user, args...); err != nil {
			return fmt.Errorf("git %q: %w\n%s", args, err, out)
		}
	}
	return nil
}

func newRig(t testing.TB, o gitd.Options) *rig {
	t.Helper()
	need(t, "git")
	r := &rig{t: t, dir: t.TempDir(), over: "https", journal: &pipelinetest.Memory{}}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(private, "")
	must(t, err)
	write(t, filepath.Join(r.dir, "key"), string(pem.EncodeToMemory(block)))
	signer, err := ssh.NewSignerFromKey(private)
	must(t, err)
	must(t, os.CopyFS(r.dir, os.DirFS(template)))
	o.Dir, r.user = filepath.Join(r.dir, "remote"), filepath.Join(r.dir, "user")
	o.Accounts = []gitd.Account{{Name: "o", Keys: []ssh.PublicKey{signer.PublicKey()}, Token: "token"}}
	r.server, err = gitd.Start(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { r.server.Close() })
	write(t, filepath.Join(r.dir, "known_hosts"), string(r.server.KnownHosts()))

	r.source = version.Config{Source: "VERSION", Carriers: []string{"version.json"}, Author: "Release Team <release@example.org>"}
	r.c = Config{Remote: production, MergeInto: "main"}
	r.o = Options{RepoDir: r.user, Version: "3.2.1", Source: "VERSION", Author: r.source.Author}
	r.env = pipeline.Env{
		Project: "app", Version: "3.2.1", Commit: gitIn(t, r.user, "rev-parse", "HEAD"), Config: strings.Repeat("0", 64),
		Time: time.Date(2025, 6, 29, 21, 50, 0, 0, time.UTC),
	}
	r.ends = &endpoint.Endpoints{
		Git: func(ctx context.Context, remote gitremote.Remote) (gitremote.Access, error) {
			if remote.URL != production {
				return gitremote.Access{}, errors.New("another remote was asked for: " + remote.URL)
			}
			remote = gitremote.Remote{URL: r.server.HTTPURL("o/r")}
			if r.over == "ssh" {
				remote = gitremote.Remote{URL: r.server.SSHURL("git", "o/r"), KnownHosts: filepath.Join(r.dir, "known_hosts"), KeyFile: "KEY"}
			}
			return gitremote.Open(ctx, remote, gitremote.Options{
				Getenv: func(string) string { return filepath.Join(r.dir, "key") },
				Token:  func() (string, string, error) { return "", "token", nil },
			})
		},
		Signer: func(ctx context.Context, s endpoint.Signing) (gitremote.Signer, error) {
			return gitsign.Open(ctx, gitsign.Key{Format: s.Format, Key: s.Key, KeyFile: s.KeyFile, Passphrase: s.Passphrase}, func(name string) string {
				return map[string]string{"KEY": filepath.Join(r.dir, "key"), "PGP": filepath.Join(r.dir, "pgp")}[name]
			})
		},
	}
	return r
}

// commit changes files of the user's repository.
func (r *rig) commit(files map[string]string) string {
	r.t.Helper()
	for name, text := range files {
		write(r.t, filepath.Join(r.user, name), text)
	}
	gitIn(r.t, r.user, "add", "-A")
	gitIn(r.t, r.user, "commit", "-q", "-m", "work")
	return gitIn(r.t, r.user, "rev-parse", "HEAD")
}

func (r *rig) bare() string { return filepath.Join(r.dir, "remote", "o", "r.git") }

// publish pushes past the server.
func (r *rig) publish(spec ...string) {
	r.t.Helper()
	gitIn(r.t, r.user, append([]string{"push", "-q", r.bare()}, spec...)...)
}

func (r *rig) remote(args ...string) string {
	r.t.Helper()
	return gitIn(r.t, r.bare(), args...)
}

// buildPhase makes the version commit.
type buildPhase struct{ r *rig }

func (buildPhase) Name() string { return "build" }

func (p buildPhase) Plan(_ context.Context, env *pipeline.Env) ([]pipeline.Step, error) {
	c := p.r.source
	c.Sign = p.r.o.Sign
	steps, err := version.Steps(c, env, p.r.user)
	return append(steps, pipeline.NewGate(gate.Gate{ID: "gate/build", Title: "B", Criteria: []gate.Criterion{{Title: "Version", Check: "version"}}}, version.ID)), err
}

// releasePhase is the order in which package release has the steps.
type releasePhase struct{ r *rig }

func (releasePhase) Name() string { return "release" }

func (p releasePhase) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) {
	c, o := p.r.c, p.r.o
	gates := func(id, title string, needs []string, checks ...string) pipeline.Step {
		g := gate.Gate{ID: id, Title: title}
		for _, check := range checks {
			g.Criteria = append(g.Criteria, gate.Criterion{Title: check, Check: check})
		}
		return pipeline.NewGate(g, needs...)
	}
	steps := []pipeline.Step{Checks(c, o, "gate/build")}
	before := []string{"gate/build", CheckID}
	if c.Tag != Existing {
		steps = append(steps, Branch(c, o, before...))
		before = append(before, BranchID)
	}
	steps = append(steps, gates("gate/release", "R", []string{CheckID}, CheckGit), Tag(c, o, append(before, "gate/release")...))
	seen, checks := []string{TagID}, []string{CheckTag}
	if c.MergeInto != "" {
		steps = append(steps, Merge(c, o, TagID, "gate/release"))
		seen, checks = append(seen, MergeID), append(checks, CheckMerged)
	}
	steps = append(steps, Outcome(c, o, seen...), gates("proof/release", "P", []string{OutcomeID}, checks...))
	return steps, nil
}

func (r *rig) plan() (*pipeline.Plan, pipeline.Options) {
	r.t.Helper()
	p, err := pipeline.NewPlan(context.Background(), r.env, buildPhase{r}, releasePhase{r})
	must(r.t, err)
	return p, pipeline.Options{Journal: r.journal, Dirs: dirs(r), Endpoints: r.ends, Jobs: 2}
}

func dirs(r *rig) pipeline.Dirs {
	return pipeline.Dirs{Dist: filepath.Join(r.dir, "dist"), Work: filepath.Join(r.dir, "work")}
}

func (r *rig) run() error {
	r.t.Helper()
	p, o := r.plan()
	return p.Run(r.t.Context(), o)
}

func (r *rig) unwind() error {
	r.t.Helper()
	p, o := r.plan()
	return p.Unwind(r.t.Context(), o)
}

// last is the newest record of a step.
func (r *rig) last(id string) (last pipeline.Record) {
	for rec := range r.journal.Records() {
		if rec.Step == id {
			last = rec
		}
	}
	return last
}

func (r *rig) receipt(id, key string) string { return r.last(id).Receipt[key] }

// evidence is what was found under a check last.
func (r *rig) evidence(check string) (found gate.Evidence) {
	for rec := range r.journal.Records() {
		for _, e := range rec.Evidence {
			if e.Check == check && rec.Step != "gate/release" && rec.Step != "proof/release" {
				found = e
			}
		}
	}
	return found
}

func (r *rig) fault(plan string) {
	r.t.Helper()
	faults, err := gitd.ParseFaults(plan)
	must(r.t, err)
	must(r.t, r.server.SetFaults(faults))
}

// right says what a finished release must have left: one branch, one annotated tag, one merge.
func (r *rig) right() {
	r.t.Helper()
	commit := r.receipt(version.ID, "commit")
	if got := r.remote("for-each-ref", "--format=%(refname) %(objecttype) %(objectname) %(*objectname)", "refs/heads/release", "refs/tags"); got != "refs/heads/release/v3.2.1 commit "+commit+" \nrefs/tags/v3.2.1 tag "+r.receipt(TagID, "object")+" "+commit {
		r.t.Errorf("want a branch and an annotated tag of %s, the remote has\n%s", commit, got)
	}
	if got := r.remote("rev-list", "--count", "--merges", "main"); got != "1" {
		r.t.Errorf("main has %s merges", got)
	}
	if got := r.remote("rev-parse", "main^2"); got != commit {
		r.t.Errorf("main merges %s", got)
	}
	if got := r.remote("show", "main:version.json"); !strings.Contains(got, r.env.Commit[:12]) {
		r.t.Errorf("main has version.json %s", got)
	}
	r.remote("fsck", "--strict")
}
