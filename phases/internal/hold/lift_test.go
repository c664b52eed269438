package hold

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/mainline"
	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// rig is a user's repository, and the remote one behind a server.
type rig struct {
	t      *testing.T
	bare   string
	branch mainline.Branch
	ends   *endpoint.Endpoints
}

func (r *rig) git(dir string, args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=A", "-c", "user.email=a@example.org"}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func newRig(t *testing.T) *rig {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	user, remote := filepath.Join(dir, "user"), filepath.Join(dir, "remote")
	r := &rig{t: t, bare: filepath.Join(remote, "o", "r.git")}
	if err := os.Mkdir(user, 0o755); err != nil {
		t.Fatal(err)
	}
	r.git(user, "init", "-q", "-b", "main")
	r.git(user, "commit", "-q", "--allow-empty", "-m", "begin")
	if err := gitd.Init(remote, "o/r", "main"); err != nil {
		t.Fatal(err)
	}
	r.git(user, "push", "-q", r.bare, "main")
	s, err := gitd.Start(t.Context(), gitd.Options{Dir: remote, Accounts: []gitd.Account{{Name: "o", Token: "token"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r.branch = mainline.Branch{
		Remote: gitremote.Remote{URL: "https://git.example.org/o/r.git"}, Name: "main", RepoDir: user, Base: r.git(user, "rev-parse", "HEAD"),
		Author: "Ada <ada@example.org>", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	r.ends = &endpoint.Endpoints{
		Git: func(ctx context.Context, _ gitremote.Remote) (gitremote.Access, error) {
			return gitremote.Open(ctx, gitremote.Remote{URL: s.HTTPURL("o/r")}, gitremote.Options{Token: func() (string, string, error) { return "", "token", nil }})
		},
		Signer: func(context.Context, endpoint.Signing) (gitremote.Signer, error) {
			return nil, errors.New("cannot sign: there is no ssh-agent")
		},
	}
	return r
}

// act holds the version, or lets it go, as a run with that journal; between is what happens when its gate has passed.
func (r *rig) act(j pipeline.Journal, lifts bool, reason string, between func()) error {
	r.t.Helper()
	p, err := pipeline.NewPlan(r.t.Context(), pipeline.Env{Project: "p", Version: "3.2.1", Commit: r.branch.Base}, Phase(Options{Branch: r.branch, Version: "3.2.1", Reason: reason}, lifts, ""))
	if err != nil {
		r.t.Fatal(err)
	}
	dir := r.t.TempDir()
	return p.Run(r.t.Context(), pipeline.Options{
		Journal: j, Endpoints: r.ends, Jobs: 1, Dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")},
		Confirm: func(context.Context, pipeline.Spec) error {
			if between != nil {
				between()
			}
			return nil
		},
	})
}

// must is act by somebody else, whose journal nobody else has.
func (r *rig) must(lifts bool, reason string) {
	r.t.Helper()
	if err := r.act(new(pipelinetest.Memory), lifts, reason, nil); err != nil {
		r.t.Fatal(err)
	}
}

// held is the reason for which the branch holds the version; "" for none.
func (r *rig) held() string {
	r.t.Helper()
	if r.git(r.bare, "ls-tree", "--name-only", "main", ".slipway/holds/3.2.1.json") == "" {
		return ""
	}
	h, err := Parse([]byte(r.git(r.bare, "show", "main:.slipway/holds/3.2.1.json")))
	if err != nil {
		r.t.Fatal(err)
	}
	return h.Reason
}

// killed is a journal whose process dies before it can write that the version was let go.
type killed struct{ pipeline.Journal }

func (k killed) Append(rec pipeline.Record) error {
	if rec.Step == ChangeID && rec.Event == pipeline.Done {
		return errors.New("killed")
	}
	return k.Journal.Append(rec)
}

// TestLift_Killed: whoever goes on with a lift that was done already takes nobody's later hold away.
func TestLift_Killed(t *testing.T) {
	r := newRig(t)
	r.must(false, "it is slow")
	var j pipelinetest.Memory
	if err := r.act(killed{&j}, true, "it was the network", nil); err == nil || r.held() != "" {
		t.Fatalf("%v; held: %q", err, r.held())
	}
	r.must(false, "it eats the home folder")
	if err := r.act(&j, true, "it was the network", nil); err != nil || r.held() != "it eats the home folder" {
		t.Errorf("%v; held: %q", err, r.held())
	}
}

// TestLift_HeldAnew: a hold that was placed behind the gate is not lifted before the gate was asked about it.
func TestLift_HeldAnew(t *testing.T) {
	r := newRig(t)
	r.must(false, "it is slow")
	var j pipelinetest.Memory
	err := r.act(&j, true, "mended", func() {
		r.must(true, "no")
		r.must(false, "it eats the home folder")
	})
	if !errors.Is(err, pipeline.ErrConflict) || !errors.Is(err, pipeline.ErrUntouched) || !strings.Contains(err.Error(), "it eats the home folder") {
		t.Errorf("got %v", err)
	}
	if r.held() != "it eats the home folder" {
		t.Fatalf("held: %q", r.held())
	}
	if err := r.act(&j, true, "mended", nil); err != nil || r.held() != "" {
		t.Errorf("once more: %v; held: %q", err, r.held())
	}
}

// TestPhase_CannotSign: that is known before anybody is asked to approve.
func TestPhase_CannotSign(t *testing.T) {
	r := newRig(t)
	r.branch.Sign = &endpoint.Signing{Format: "ssh"}
	if err := r.act(new(pipelinetest.Memory), false, "it is slow", nil); !errors.Is(err, pipeline.ErrGate) || !strings.Contains(err.Error(), "cannot sign: there is no ssh-agent") {
		t.Errorf("got %v", err)
	}
}

// TestPhase_Asks: who signs sees which version, what becomes of it and why.
func TestPhase_Asks(t *testing.T) {
	for lifts, want := range map[bool]string{false: "hold 3.2.1: it is slow", true: "let 3.2.1 go: it is slow"} {
		p, err := pipeline.NewPlan(t.Context(), pipeline.Env{Project: "p", Version: "3.2.1"}, Phase(Options{Branch: mainline.Branch{Name: "main"}, Version: "3.2.1", Reason: "it is slow"}, lifts, ""))
		if err != nil {
			t.Fatal(err)
		}
		s, err := p.Survey(pipeline.Options{Journal: new(pipelinetest.Memory), Jobs: 1, Dirs: pipeline.Dirs{Dist: t.TempDir(), Work: t.TempDir()}})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Steps[1].Gate.Criteria[0].Title; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
