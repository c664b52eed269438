package mainline

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

func gitIn(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.org",
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

const production = "https://git.example.org/o/r.git"

// rig is a user's repository, and the remote one behind a server.
type rig struct {
	t          *testing.T
	user, bare string
	branch     Branch
	ends       *endpoint.Endpoints
}

func newRig(t *testing.T, before func(*gitd.Session) error) *rig {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	r := &rig{t: t, user: filepath.Join(dir, "user"), bare: filepath.Join(dir, "remote", "o", "r.git")}
	for name, text := range map[string]string{"VERSION": "1\n", "a/b/c.txt": "c\n", "a/d.txt": "d\n", "a.txt": "a\n", "a-b": "x\n"} {
		write(t, filepath.Join(r.user, name), text)
	}
	gitIn(t, r.user, "init", "-q", "-b", "main")
	gitIn(t, r.user, "add", "-A")
	gitIn(t, r.user, "commit", "-q", "-m", "begin")
	if err := gitd.Init(filepath.Join(dir, "remote"), "o/r", "main"); err != nil {
		t.Fatal(err)
	}
	gitIn(t, r.user, "push", "-q", r.bare, "main")
	s, err := gitd.Start(t.Context(), gitd.Options{Dir: filepath.Join(dir, "remote"), Accounts: []gitd.Account{{Name: "o", Token: "token"}}, Before: before})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r.branch = Branch{
		Remote: gitremote.Remote{URL: production}, Name: "main", RepoDir: r.user, Base: gitIn(t, r.user, "rev-parse", "HEAD"),
		Author: "Ada <ada@example.org>", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	r.ends = &endpoint.Endpoints{Git: func(ctx context.Context, _ gitremote.Remote) (gitremote.Access, error) {
		return gitremote.Open(ctx, gitremote.Remote{URL: s.HTTPURL("o/r")}, gitremote.Options{Token: func() (string, string, error) { return "", "token", nil }})
	}}
	return r
}

// in runs something as a step of a run does.
func (r *rig) in(act func(ctx context.Context, ws *pipeline.Workspace) error) error {
	r.t.Helper()
	p, err := pipeline.NewPlan(r.t.Context(), pipeline.Env{Project: "p", Version: "1.0.0", Commit: r.branch.Base}, phase{act})
	if err != nil {
		r.t.Fatal(err)
	}
	dir := r.t.TempDir()
	return p.Run(r.t.Context(), pipeline.Options{
		Journal: new(pipelinetest.Memory), Endpoints: r.ends, Jobs: 1, Dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")},
	})
}

type phase struct {
	act func(context.Context, *pipeline.Workspace) error
}

func (phase) Name() string { return "x" }
func (p phase) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) {
	return []pipeline.Step{p}, nil
}
func (p phase) Spec() pipeline.Spec { return pipeline.Spec{ID: "x/y", Checks: []string{"c"}} }
func (p phase) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	ws.Report(gate.Evidence{Check: "c", Verdict: gate.Pass})
	return nil, p.act(ctx, ws)
}

// TestCommit changes, adds and removes files at all depths; git agrees on the trees, and everything else stays.
func TestCommit(t *testing.T) {
	r := newRig(t, nil)
	err := r.in(func(ctx context.Context, ws *pipeline.Workspace) error {
		hash, err := r.branch.Commit(ctx, ws, "Change things", func(tip *Tip) (map[string]File, error) {
			was, err := tip.Store.At(tip.Commit.TreeHash, "a/d.txt")
			return map[string]File{
				"VERSION": {Content: []byte("2\n")}, "a/b/c.txt": {}, "new/deep/er.txt": {Content: []byte("n")}, "copy": was, "nothing/here": {},
			}, err
		})
		if err != nil {
			return err
		}
		tip, err := r.branch.Look(ctx, ws)
		if err != nil {
			return err
		}
		if made, err := tip.Made(ws.Run, "Change things", r.branch.Base); err != nil || made != hash || tip.Commit.Hash.String() != hash {
			t.Errorf("made %s, %v; want %s", made, err, hash)
		}
		if made, err := tip.Made("another", "Change things", r.branch.Base); err != nil || made != "" {
			t.Errorf("another run made %s, %v", made, err)
		}
		changes, err := tip.Store.Diff(plumbing.NewHash(gitIn(t, r.bare, "rev-parse", "main~1^{tree}")), tip.Commit.TreeHash)
		if err != nil || len(changes) != 4 || changes["a/b/c.txt"].Is.ID != plumbing.ZeroHash || changes["copy"].Is.Mode != filemode.Regular {
			t.Errorf("%v, %v", changes, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := gitIn(t, r.bare, "diff", "--name-status", "main~1", "main"), "M\tVERSION\nD\ta/b/c.txt\nA\tcopy\nA\tnew/deep/er.txt"; got != want {
		t.Errorf("git sees\n%s\nwant\n%s", got, want)
	}
	gitIn(t, r.bare, "fsck", "--strict")
	if gitIn(t, r.bare, "rev-parse", "main~1") != r.branch.Base {
		t.Error("the branch was not moved forward")
	}
}

// TestCommit_Moves: the branch moves between looking and pushing; what is changed is asked again, and nobody's work is
// lost.
func TestCommit_Moves(t *testing.T) {
	r := newRig(t, nil)
	asked := 0
	err := r.in(func(ctx context.Context, ws *pipeline.Workspace) error {
		_, err := r.branch.Commit(ctx, ws, "Ours", func(*Tip) (map[string]File, error) {
			if asked++; asked == 1 {
				write(t, filepath.Join(r.user, "theirs"), "theirs\n")
				gitIn(t, r.user, "add", "-A")
				gitIn(t, r.user, "commit", "-q", "-m", "Theirs")
				gitIn(t, r.user, "push", "-q", r.bare, "main")
			}
			return map[string]File{"ours": {Content: []byte("ours\n")}}, nil
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if log := gitIn(t, r.bare, "log", "--format=%s", "main"); log != "Ours\nTheirs\nbegin" || asked != 2 {
		t.Errorf("asked %d times: %q", asked, log)
	}
}

// TestCommit_Refused: hostile paths make no commit.
func TestCommit_Refused(t *testing.T) {
	r := newRig(t, nil)
	for _, path := range []string{"../x", "a/../x", ".git/config", "a/.GIT/x", "/x", ""} {
		err := r.in(func(ctx context.Context, ws *pipeline.Workspace) error {
			_, err := r.branch.Commit(ctx, ws, "No", func(*Tip) (map[string]File, error) { return map[string]File{path: {Content: []byte("x")}}, nil })
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "git allows no such name") {
			t.Errorf("%q: %v", path, err)
		}
	}
	if gitIn(t, r.bare, "rev-parse", "main") != r.branch.Base {
		t.Error("the branch has moved")
	}
}

// TestCommit_Untouched: what fails before the push has changed nothing, for certain.
func TestCommit_Untouched(t *testing.T) {
	no := errors.New("not so")
	for name, c := range map[string]struct {
		change func(*rig)
		err    error
		want   string
	}{
		"nobody can look":         {func(r *rig) { r.branch.Name = "gone" }, nil, "reference not found"},
		"nothing can be changed":  {func(*rig) {}, no, "not so"},
		"nobody can sign":         {func(r *rig) { r.branch.Sign = &endpoint.Signing{Format: "ssh"} }, nil, "cannot sign: no key"},
		"the author is no person": {func(r *rig) { r.branch.Author = "nobody" }, nil, "cannot commit to main"},
	} {
		r := newRig(t, nil)
		r.ends.Signer = func(context.Context, endpoint.Signing) (gitremote.Signer, error) {
			return nil, errors.New("cannot sign: no key")
		}
		c.change(r)
		err := r.in(func(ctx context.Context, ws *pipeline.Workspace) error {
			_, err := r.branch.Commit(ctx, ws, "No", func(*Tip) (map[string]File, error) { return map[string]File{"x": {Content: []byte("x")}}, c.err })
			return err
		})
		if !errors.Is(err, pipeline.ErrUntouched) || !strings.Contains(err.Error(), c.want) || c.err != nil && !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		}
		if gitIn(t, r.bare, "rev-parse", "main") != r.branch.Base {
			t.Errorf("%s: the branch has moved", name)
		}
	}
}

// TestCommit_InTheWay: a file where a folder is needed is somebody's work, and stays; what becomes a file again, or a folder,
// does.
func TestCommit_InTheWay(t *testing.T) {
	r := newRig(t, nil)
	put := func(files map[string]File) error {
		return r.in(func(ctx context.Context, ws *pipeline.Workspace) error {
			_, err := r.branch.Commit(ctx, ws, "Put", func(*Tip) (map[string]File, error) { return files, nil })
			return err
		})
	}
	if err := put(map[string]File{"a.txt/b": {Content: []byte("x")}}); !errors.Is(err, pipeline.ErrConflict) || !strings.Contains(err.Error(), "a.txt is there and no folder, so that b cannot lie in it") {
		t.Errorf("got %v", err)
	}
	for range 20 {
		several := map[string]File{"VERSION/a": {Content: []byte("x")}, "a.txt/d": {Content: []byte("x")}, "VERSION/c": {Content: []byte("x")}, "a.txt/b": {Content: []byte("x")}}
		if err := put(several); err == nil || !strings.Contains(err.Error(), "VERSION is there and no folder, so that a cannot") {
			t.Fatalf("another one is named: %v", err)
		}
	}
	if gitIn(t, r.bare, "rev-parse", "main") != r.branch.Base {
		t.Error("the branch has moved")
	}
	for _, c := range []struct {
		files map[string]File
		want  string
	}{
		{map[string]File{"a.txt": {}, "a.txt/b": {Content: []byte("x")}}, "VERSION a-b a.txt/b a/b/c.txt a/d.txt"},
		{map[string]File{"a.txt": {Content: []byte("y")}, "a.txt/b": {}}, "VERSION a-b a.txt a/b/c.txt a/d.txt"},
	} {
		if err := put(c.files); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(strings.Fields(gitIn(t, r.bare, "ls-tree", "-r", "--name-only", "main")), " "); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	gitIn(t, r.bare, "fsck", "--strict")
}

func TestMarker(t *testing.T) {
	for message, want := range map[string]string{
		"x\n\nSlipway-Run: a1\n": "a1", "x\n\nSlipway-Run: forged\n\nSlipway-Run: a1\n": "a1", "x Slipway-Run: a1\n": "", "Slipway-Run: a b\n": "", "": "",
	} {
		if got := Marker(message); got != want {
			t.Errorf("%q: %q, want %q", message, got, want)
		}
	}
}
