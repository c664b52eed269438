package readback

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/imrightguy/slipway/phases/aur/push"
	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	aurtwin "github.com/imrightguy/slipway/phases/internal/twins/aur"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

const pkg = "hello-bin"

// tree are the files of a package: a version, and pairs of names and texts of others.
func tree(version string, others ...string) map[string]string {
	pkgver, pkgrel, _ := strings.Cut(version, "-")
	files := map[string]string{
		"PKGBUILD": "# " + version + "\n",
		".SRCINFO": "pkgbase = " + pkg + "\n\tpkgdesc = Says hello\n\tpkgver = " + pkgver + "\n\tpkgrel = " + pkgrel +
			"\n\turl = https://example.org\n\tarch = any\n\tlicense = MIT\n\npkgname = " + pkg + "\n",
	}
	for i := 0; i < len(others); i += 2 {
		files[others[i]] = others[i+1]
	}
	return files
}

// steps is a phase of any steps.
type steps struct {
	name string
	list []pipeline.Step
}

func (p steps) Name() string                                                 { return p.name }
func (p steps) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) { return p.list, nil }

// made writes the files, and says which commit has them.
type made struct {
	spec    pipeline.Spec
	files   map[string]string
	receipt pipeline.Receipt
}

func (s made) Spec() pipeline.Spec { return s.spec }

func (s made) Run(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	for name, text := range s.files {
		path, err := ws.Create(pipeline.Artifact{Name: name, Kind: "aur"})
		if err == nil {
			err = os.WriteFile(path, []byte(text), 0o666)
		}
		if err != nil {
			return nil, err
		}
	}
	return s.receipt, nil
}

// server is a running AUR.
type server struct {
	t *testing.T
	*aurtwin.Server
	dir string
}

func start(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir()}
	var err error
	if s.Server, err = aurtwin.Start(context.WithoutCancel(t.Context()), aurtwin.Options{Dir: s.dir}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func (s *server) publish(files map[string]string) string {
	s.t.Helper()
	commit, err := s.Publish(s.t.Context(), "somebody", pkg, "An update", files)
	if err != nil {
		s.t.Fatal(err)
	}
	return commit
}

// set moves the branch by hand, which no push can.
func (s *server) set(commit string) {
	s.t.Helper()
	r, err := git.PlainOpen(filepath.Join(s.dir, pkg+".git"))
	if err == nil {
		err = r.Storer.SetReference(plumbing.NewHashReference(subject.Ref, plumbing.NewHash(commit)))
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// readBack runs the step for files that were pushed as a commit. It returns what it reports by check, and how often the
// index was waited for.
func (s *server) readBack(files map[string]string, commit string) (map[string]gate.Evidence, int) {
	s.t.Helper()
	p := subject.Package{Name: pkg, Remote: gitremote.Remote{URL: "ssh://aur@aur.archlinux.org/" + pkg + ".git"}, Step: "build/aur/" + pkg}
	build := made{spec: pipeline.Spec{ID: p.Step, Effect: pipeline.Local, Params: map[string]string{}}, files: map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file := "aur/" + pkg + "/" + name
		p.Files, build.files[file] = append(p.Files, file), files[name]
		build.spec.Params[file] = fmt.Sprintf("%x", sha256.Sum256([]byte(files[name])))
	}
	build.spec.Outputs = p.Files
	pushed := made{spec: pipeline.Spec{ID: push.ID(p), Needs: []string{p.Step}}, receipt: pipeline.Receipt{push.KeyCommit: commit}}
	plan, err := pipeline.NewPlan(s.t.Context(), pipeline.Env{Project: "hello", Version: "1.2.3", Commit: strings.Repeat("ab", 20), Config: strings.Repeat("cd", 32)},
		steps{"build", []pipeline.Step{build}}, steps{"aur", []pipeline.Step{pushed, Step(p)}})
	if err != nil {
		s.t.Fatal(err)
	}
	journal, dir, waits := new(pipelinetest.Memory), s.t.TempDir(), 0
	if err := plan.Run(s.t.Context(), pipeline.Options{
		Journal: journal, Dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")},
		Endpoints: &endpoint.Endpoints{
			HTTP: s.Transport(), Clock: &endpoint.Hurried{}, Patience: 10e9,
			Git: func(ctx context.Context, _ gitremote.Remote) (gitremote.Access, error) {
				return gitremote.Open(ctx, gitremote.Remote{URL: s.HTTPURL(pkg)}, gitremote.Options{})
			},
		},
		Observe: func(r pipeline.Record) {
			if strings.Contains(r.Text, "is asked again") {
				waits++
			}
		},
	}); err != nil {
		s.t.Fatal(err)
	}
	found := map[string]gate.Evidence{}
	for _, r := range journal.All() {
		for _, e := range r.Evidence {
			found[e.Check] = e
		}
	}
	return found, waits
}

// TestOnTop: what others commit on top of ours is told, and does not undo the proof that ours was published. What they
// offer to users counts where it is older.
func TestOnTop(t *testing.T) {
	ours := tree("1.2.3-1")
	for _, c := range []struct {
		name  string
		above []map[string]string // by others, on top of ours
		set   string              // where the branch is set to then
		want  []string            // verdict and part of the summary, for each check
	}{
		{"ours alone", nil, "", []string{"pass is OURS", "pass the 2 approved files", "pass the AUR shows 1.2.3-1"}},
		{"the same version", []map[string]string{tree("1.2.3-1", "notes", "x")}, "", []string{
			"pass has OURS, and 1 commit of others on top of it, the newest ", `pass the 2 approved files at commit SHORT; what stands on top of it differs: "notes" is too many`,
			"pass the AUR shows 1.2.3-1",
		}},
		{"other files, and the approved ones again", []map[string]string{tree("1.2.3-2", "notes", "x"), ours}, "", []string{
			"pass 2 commits of others on top of it, the newest ", "pass at commit SHORT", "pass the AUR shows 1.2.3-1",
		}},
		{"the next version", []map[string]string{tree("1.2.4-1")}, "", []string{
			"pass 1 commit of others", `pass "PKGBUILD" is another one`, "pass the AUR shows 1.2.4-1, which others have published on top of 1.2.3-1",
		}},
		{"an older version", []map[string]string{tree("1.2.2-2")}, "", []string{
			"pass 1 commit of others", `pass "PKGBUILD" is another one`, "fail the AUR shows 1.2.2-2, which others have put on top of 1.2.3-1 although it is older",
		}},
		{"ours taken off the branch", []map[string]string{tree("1.2.4-1")}, "FIRST", []string{
			"fail does not have OURS in its history", `fail ".SRCINFO" is another one, "PKGBUILD" is another one`, "fail the AUR shows 1.2.4-1, which is newer than 1.2.3-1",
		}},
		{"an index that knows more than the branch", []map[string]string{tree("1.2.4-1")}, "OURS", []string{
			"pass is OURS", "pass the 2 approved files", "fail the AUR shows 1.2.4-1, which is newer than 1.2.3-1",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t)
			first, commit := s.publish(tree("1.2.2-1")), s.publish(ours)
			for _, files := range c.above {
				s.publish(files)
			}
			names := strings.NewReplacer("FIRST", first, "OURS", commit, "SHORT", commit[:12])
			if c.set != "" {
				s.set(names.Replace(c.set))
			}
			found, waits := s.readBack(ours, commit)
			for i, check := range Checks {
				verdict, text, _ := strings.Cut(names.Replace(c.want[i]), " ")
				if e := found[check]; fmt.Sprint(e.Verdict) != verdict || !strings.Contains(e.Summary, text) {
					t.Errorf("%s: %+v, want %s", check, e, c.want[i])
				}
			}
			if waits > 0 {
				t.Errorf("waited %d times for the index", waits)
			}
		})
	}
	s := start(t)
	commit := s.publish(ours)
	if found, _ := s.readBack(tree("1.2.3-1", "LICENSE", "0BSD\n"), commit); found[CheckClone].Found != `"LICENSE" is missing` {
		t.Errorf("another tree than what was approved: %+v", found[CheckClone])
	}
}
