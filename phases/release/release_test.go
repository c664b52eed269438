package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	stepversion "github.com/imrightguy/slipway/phases/build/version"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
	twin "github.com/imrightguy/slipway/phases/internal/twins/github"
	"github.com/imrightguy/slipway/phases/internal/twins/github/apicheck"
	"github.com/imrightguy/slipway/phases/internal/twins/origin"
	"github.com/imrightguy/slipway/phases/release/gitflow"
	"github.com/imrightguy/slipway/phases/release/github"
	"github.com/imrightguy/slipway/phases/release/notes"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

const (
	secret = "ghp_plantedPLANTEDplanted0123456789abcd"
	author = "Octo Cat <octo@example.com>"
)

// world is the user's repository, the remote one, and GitHub over it.
type world struct {
	t      *testing.T
	dir    string // the user's repository
	bare   string
	git    *gitd.Server
	twin   *twin.Server
	clock  *jumpClock
	http   http.RoundTripper
	config Config
	change func(*Options)
	env    pipeline.Env
	files  map[string]string
}

// jumpClock stands still but for sleeping, which takes no real time.
type jumpClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *jumpClock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *jumpClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return ctx.Err()
}

// long says that everything is to be tried, not a sample.
func long() bool { return os.Getenv("SLIPWAY_LONG") == "1" }

// need skips a test where a program is missing, but not in CI.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "git", args...)
	c.Dir = dir
	c.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=o", "GIT_AUTHOR_EMAIL=o@example.com",
		"GIT_COMMITTER_NAME=o", "GIT_COMMITTER_EMAIL=o@example.com", "GIT_AUTHOR_DATE=2026-03-01T00:00:00Z", "GIT_COMMITTER_DATE=2026-03-01T00:00:00Z",
	}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func newWorld(t *testing.T) *world {
	t.Helper()
	need(t, "git")
	w := &world{t: t, dir: t.TempDir(), clock: &jumpClock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}}
	run(t, w.dir, "init", "-q", "-b", "main")
	for name, content := range map[string]string{"VERSION": "1.2.3\n", "LICENSE": "MIT\n", "docs/INSTALL.md": strings.Repeat("read me\n", 200)} {
		to := filepath.Join(w.dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run(t, w.dir, "add", ".")
	run(t, w.dir, "commit", "-q", "-m", "fix: the thing")
	w.env = pipeline.Env{Project: "App", Version: "1.2.3", Commit: run(t, w.dir, "rev-parse", "HEAD"), Time: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	w.files = map[string]string{
		"app-1.2.3-x86_64.tar.gz": strings.Repeat("tarball ", 400), "app_1.2.3_amd64.deb": strings.Repeat("deb ", 500),
		"SHA256SUMS": strings.Repeat("sums ", 300),
	}
	w.config = Config{Git: gitflow.Config{MergeInto: "main"}, GitHub: github.Config{Owner: "octo", Repo: "app", Extra: []string{"docs/INSTALL.md"}}}
	return w
}

// open lets the world begin, as the user's repository is now.
func (w *world) open(tags ...string) *world {
	w.t.Helper()
	t, root := w.t, w.t.TempDir()
	w.bare = filepath.Join(root, "git", "octo", "app.git")
	if err := os.MkdirAll(filepath.Dir(w.bare), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := origin.Make(t.Context(), w.bare, w.dir, "main", w.env.Commit, tags...); err != nil {
		t.Fatal(err)
	}
	refs, err := origin.Open(w.bare)
	if err != nil {
		t.Fatal(err)
	}
	w.twin, err = twin.Start(t.Context(), twin.Options{
		Dir: filepath.Join(root, "github"), Public: true, Clock: w.clock, Limits: twin.Limits{PerHour: -1, WritesPerMinute: -1, WritesPerHour: -1},
		Repositories: []twin.Repository{{Owner: "octo", Name: "app", Refs: refs}},
		Tokens:       []twin.Token{{Value: secret, Login: "octo", Rights: twin.Maintainer()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.twin.Close() })
	w.git, err = gitd.Start(t.Context(), gitd.Options{Dir: filepath.Join(root, "git"), Accounts: []gitd.Account{{Name: "octo", Token: secret}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.git.Close() })
	w.http, err = apicheck.New("https://api.github.com/", "https://uploads.github.com/", w.twin.Transport(), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) endpoints() *endpoint.Endpoints {
	return &endpoint.Endpoints{
		HTTP: w.http, Clock: w.clock, Pace: -1, Patience: 2 * time.Minute,
		Token: func() (hub.Token, error) { return hub.NewToken(secret, "GITHUB_TOKEN") },
		Git: func(_ context.Context, r gitremote.Remote) (gitremote.Access, error) {
			if r.URL != "https://github.com/octo/app.git" {
				return gitremote.Access{}, fmt.Errorf("cannot reach %s", r.URL)
			}
			return gitremote.Access{URL: w.git.HTTPURL("octo/app"), Auth: &githttp.BasicAuth{Username: "octo", Password: secret}, Identity: "octo"}, nil
		},
	}
}

// small is a build phase in small: the real step build/version, and packages.
type small struct{ *world }

func (small) Name() string { return "build" }

func (s small) Plan(_ context.Context, env *pipeline.Env) ([]pipeline.Step, error) {
	list, err := stepversion.Steps(stepversion.Config{Source: "VERSION", Author: author}, env, s.dir)
	needs := []string{stepversion.ID}
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		list = append(list, file{name, s.files[name]})
		needs = append(needs, "build/pkg/"+name)
	}
	g := gate.Gate{ID: "gate/build", Title: "Build", Criteria: []gate.Criterion{{Title: "version", Check: stepversion.Check}}}
	return append(list, pipeline.NewGate(g, needs...)), err
}

type file struct{ name, content string }

func (f file) Spec() pipeline.Spec {
	return pipeline.Spec{ID: "build/pkg/" + f.name, Effect: pipeline.Local, Outputs: []string{f.name}}
}

func (f file) Run(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	to, err := ws.Create(pipeline.Artifact{Name: f.name})
	if err != nil {
		return nil, err
	}
	return nil, os.WriteFile(to, []byte(f.content), 0o644)
}

func (w *world) options() Options {
	o := Options{
		RepoDir: w.dir, VersionSource: "VERSION", Author: author, Needs: []string{stepversion.ID, "gate/build"}, Checks: []string{stepversion.Check},
		Latest: true, Gate: everyCheck,
	}
	for _, name := range slices.Sorted(maps.Keys(w.files)) {
		o.Assets = append(o.Assets, Asset{Artifact: name, Step: "build/pkg/" + name})
	}
	if w.change != nil {
		w.change(&o)
	}
	return o
}

func everyCheck(checks []string) (gate.Gate, error) {
	g := gate.Gate{Title: GateTitle}
	for _, c := range checks {
		g.Criteria = append(g.Criteria, gate.Criterion{Title: c, Check: c})
	}
	return g, nil
}

func (w *world) phases() []pipeline.Phase {
	w.t.Helper()
	p, err := New(w.config, w.options())
	if err != nil {
		w.t.Fatal(err)
	}
	return []pipeline.Phase{small{w}, p}
}

// A manager is somebody with a journal who runs the release.
type manager struct {
	*world
	plan *pipeline.Plan
	o    pipeline.Options
}

func (w *world) manager() *manager {
	w.t.Helper()
	p, err := pipeline.NewPlan(w.t.Context(), w.env, w.phases()...)
	if err != nil {
		w.t.Fatal(err)
	}
	dir := w.t.TempDir()
	return &manager{w, p, pipeline.Options{
		Journal: new(pipelinetest.Memory), Endpoints: w.endpoints(), Jobs: 2,
		Dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")},
	}}
}

func (m *manager) run() error { return m.plan.Run(m.t.Context(), m.o) }

// assets by name, with their SHA-256, from what the journal has of them.
func (m *manager) assets() map[string]string {
	all := map[string]string{}
	for r := range m.o.Journal.Records() {
		if name, ok := strings.CutPrefix(r.Step, github.AssetID); ok && r.Event == pipeline.Done {
			all[name] = r.Receipt["sha256"]
		}
	}
	return all
}

// ended looks at the remote as a stranger would, with git.
func (m *manager) ended(merged bool) {
	m.t.Helper()
	history := m.twin.History("octo", "app")
	if err := history.Always(twin.Complete("v1.2.3", m.assets())); err != nil {
		m.t.Error(err)
	}
	last := history.Last()
	if len(last.Releases) != 1 || last.Releases[0].Draft || len(last.Releases[0].Assets) != len(m.files)+1 {
		m.t.Fatalf("releases: %+v", last.Releases)
	}
	if kind := run(m.t, m.bare, "cat-file", "-t", "v1.2.3"); kind != "tag" {
		m.t.Errorf("the tag is a %s", kind)
	}
	if v := run(m.t, m.bare, "show", "v1.2.3:VERSION"); v != "1.2.3" {
		m.t.Errorf("at the tag the version is %s", v)
	}
	if merged {
		run(m.t, m.bare, "merge-base", "--is-ancestor", "v1.2.3^{commit}", "main")
	}
	if got := run(m.t, m.bare, "tag", "--list"); got != "v1.2.3" {
		m.t.Errorf("tags: %s", got)
	}
}

func TestWholePhase(t *testing.T) {
	w := newWorld(t).open()
	m := w.manager()
	if err := m.run(); err != nil {
		t.Fatal(err)
	}
	m.ended(true)
	records, all := 0, fmt.Sprint(m.plan.Specs)
	for r := range m.o.Journal.Records() {
		records++
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		all += string(b)
	}
	for _, never := range []string{secret, "127.0.0.", w.dir, w.bare} {
		if strings.Contains(all, never) {
			t.Errorf("%q stands in plan or journal", never)
		}
	}
	if err := m.run(); err != nil {
		t.Fatal(err)
	}
	for range m.o.Journal.Records() {
		records--
	}
	if records != 0 {
		t.Errorf("a second run wrote %d records", -records)
	}
}

// TestOrder is the order that the issue promises: nothing irrevocable before the gate, and everything after it needs it.
func TestOrder(t *testing.T) {
	w := newWorld(t)
	ids := func() (all []string) {
		for _, sp := range w.manager().plan.Specs {
			if pipeline.PhaseOf(sp.ID) == Name {
				all = append(all, strings.TrimPrefix(sp.ID, "release/")+map[bool]string{true: "!"}[sp.Effect == pipeline.Permanent])
			}
		}
		return all
	}
	const assets = "asset/SHA256SUMS asset/app-1.2.3-x86_64.tar.gz asset/app_1.2.3_amd64.deb asset/INSTALL.md inspect gate/release tag publish! download "
	for name, c := range map[string]struct {
		change func()
		want   string
	}{
		"merge":    {func() {}, "notes check/git check/github branch draft " + assets + "merge! check/outcome proof/release"},
		"no merge": {func() { w.config.Git.MergeInto = "" }, "notes check/git check/github branch draft " + assets + "check/outcome proof/release"},
		"existing": {func() { w.config.Git = gitflow.Config{Tag: gitflow.Existing} }, "notes check/git check/github draft " + assets + "check/outcome proof/release"},
	} {
		before := w.config
		c.change()
		if got := strings.Join(ids(), " "); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
		w.config = before
	}
	specs := w.manager().plan.Specs
	for _, id := range []string{gitflow.TagID, github.PublishID} {
		i := slices.IndexFunc(specs, func(sp pipeline.Spec) bool { return sp.ID == id })
		if !slices.Contains(specs[i].Needs, GateID) {
			t.Errorf("%s does not need the gate itself", id)
		}
	}
}

func TestExistingTag(t *testing.T) {
	w := newWorld(t)
	run(t, w.dir, "tag", "-a", "-m", "by hand", "v1.2.3")
	w.config.Git = gitflow.Config{Tag: gitflow.Existing}
	w.open("v1.2.3")
	before := run(t, w.bare, "rev-parse", "v1.2.3")
	m := w.manager()
	if err := m.run(); err != nil {
		t.Fatal(err)
	}
	m.ended(false)
	if got := run(t, w.bare, "rev-parse", "v1.2.3"); got != before {
		t.Error("the tag was moved")
	}
	if got := run(t, w.bare, "for-each-ref", "--format=%(refname)", "refs/heads"); got != "refs/heads/main" {
		t.Errorf("branches are %s", got)
	}
	if err := m.plan.Unwind(t.Context(), m.o); !errors.Is(err, pipeline.ErrPermanent) {
		t.Error(err)
	}
	m.ended(false)
}

func TestContract(t *testing.T) {
	var w *world
	reset := func() { w = newWorld(t).open() }
	reset()
	env, dir, crashes := w.env, w.dir, 4
	if long() {
		crashes = 0 // all
	}
	pipelinetest.Contract(t, pipelinetest.Subject{
		Env: env, Phases: func() []pipeline.Phase { return w.phases() }, Reset: reset, Crashes: crashes, Watch: []string{dir},
		Options: func() pipeline.Options { return pipeline.Options{Endpoints: w.endpoints(), Jobs: 2} },
	})
}

// TestTwoManagersAtOnce start at the same moment, with branch, tag and merge: one gets through, the other is told so.
func TestTwoManagersAtOnce(t *testing.T) {
	rounds := 2
	if long() {
		rounds = 40
	}
	for range rounds {
		w := newWorld(t).open()
		both := []*manager{w.manager(), w.manager()}
		errs := make([]error, 2)
		var wg sync.WaitGroup
		for k, m := range both {
			wg.Go(func() { errs[k] = m.run() })
		}
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("both ended alike: %v", errs)
		}
		for k, m := range both {
			if errs[k] == nil {
				continue
			}
			if !errors.Is(errs[k], pipeline.ErrConflict) {
				t.Errorf("the loser's error: %v", errs[k])
			}
			if err := m.plan.Unwind(t.Context(), m.o); err != nil && !errors.Is(err, pipeline.ErrConflict) {
				t.Errorf("the loser's unwinding: %v", err)
			}
			both[1-k].ended(true)
			if branch := run(t, w.bare, "rev-parse", "release/v1.2.3"); branch != run(t, w.bare, "rev-parse", "v1.2.3^{commit}") {
				t.Errorf("the branch is at %s", branch)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"good":          {func(*Config) {}, nil},
		"ssh":           {func(c *Config) { c.Git.Remote = "git@github.com:octo/app.git" }, nil},
		"ssh over 443":  {func(c *Config) { c.Git.Remote = "ssh://git@ssh.github.com:443/Octo/App.git" }, nil},
		"elsewhere":     {func(c *Config) { c.Git.Remote = "ssh://git@git.example.com/mirror.git" }, nil},
		"other owner":   {func(c *Config) { c.Git.Remote = "git@github.com:octoo/app.git" }, []string{`release.git.remote: it is repository "octoo/app"`}},
		"other repo":    {func(c *Config) { c.Git.Remote = "https://github.com/octo/ap" }, []string{"release.git.remote: "}},
		"every section": {func(c *Config) { c.Git.Branch, c.GitHub.Owner, c.Notes.From = "a b", "", "../x" }, []string{"release.git.branch: ", "release.github.owner: ", "release.notes.from: "}},
		"two of one":    {func(c *Config) { c.GitHub.Owner, c.GitHub.Repo = "", "" }, []string{"release.github.owner: ", "release.github.repo: "}},
	} {
		cfg := Config{Git: gitflow.Config{MergeInto: "main"}, GitHub: github.Config{Owner: "octo", Repo: "app"}, Notes: notes.Config{}}
		c.change(&cfg)
		err := cfg.Validate()
		if (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, part := range c.want {
			if err == nil || !slices.ContainsFunc(strings.Split(err.Error(), "\n"), func(line string) bool { return strings.HasPrefix(line, part) }) {
				t.Errorf("%s: %v, want a line that begins with %q", name, err, part)
			}
		}
		if _, err := New(cfg, Options{}); err == nil {
			t.Errorf("%s: a phase without gate and assets", name)
		}
	}
}

// FuzzPlace reads remotes as people write them: nothing panics, and what names a repository is told from its mirror.
func FuzzPlace(f *testing.F) {
	for _, s := range []string{"", "git@github.com:octo/app.git", "https://github.com/octo/app", "ssh://git@ssh.github.com:443/octo/app.git", "://", "a:b", "%zz", "[::1]:x/y"} {
		f.Add(s, "octo", "app")
	}
	f.Fuzz(func(t *testing.T, remote, owner, repo string) {
		place(remote)
		if (github.Config{Owner: owner, Repo: repo}).Validate() != nil {
			return
		}
		for _, form := range []string{"git@github.com:%s/%s.git", "https://github.com/%s/%s.git", "https://github.com/%s/%s/", "ssh://git@GitHub.com/%s/%s.git"} {
			if host, at := place(fmt.Sprintf(form, owner, repo)); host != "github.com" || at != owner+"/"+strings.TrimSuffix(repo, ".git") {
				t.Errorf("%s: %s %s", fmt.Sprintf(form, owner, repo), host, at)
			}
		}
	})
}
