package github

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/hub"
	twin "github.com/imrightguy/slipway/phases/internal/twins/github"
	"github.com/imrightguy/slipway/phases/internal/twins/github/apicheck"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// A release is rehearsed here with a build phase in small and a tag made over the API; everything else is what ships.

const (
	owner   = "octo"
	repo    = "app"
	tagName = "v1.2.3"
	secret  = "ghp_plantedPLANTEDplanted0123456789abcd"
)

// script is what a release is made of. It crosses processes as JSON.
type script struct {
	Commit     string
	Files      map[string]string // artifacts, by name
	Docs       map[string]string // of the checkout
	Extra      []string
	Notes      string
	Config     Config
	Prerelease bool
	Latest     bool
	Older      bool
}

func newScript(commit string) script {
	return script{
		Commit: commit, Latest: true, Notes: "## Fixed\n\n- the thing & \"more\"\n",
		Files: map[string]string{
			"app-1.2.3-x86_64.tar.gz": strings.Repeat("tarball ", 400), "app_1.2.3_amd64.deb": strings.Repeat("deb ", 500),
			"SHA256SUMS": strings.Repeat("sums ", 300),
		},
		Docs: map[string]string{"docs/INSTALL.md": strings.Repeat("read me\n", 300), "LICENSE": "MIT\n"}, Extra: []string{"docs/INSTALL.md"},
		Config: Config{Owner: owner, Repo: repo},
	}
}

// want are the assets by name, with their SHA-256.
func (s script) want() map[string]string {
	all := map[string]string{}
	for name, content := range s.Files {
		all[path.Base(name)] = sum(content)
	}
	for _, d := range s.Extra {
		all[path.Base(d)] = sum(s.Docs[d])
	}
	return all
}

func sum(content string) string {
	h := sha256.Sum256([]byte(content))
	return hex.EncodeToString(h[:])
}

func (s script) release() (*Release, error) {
	o := Options{Project: "App", Version: "1.2.3", Tag: tagName, Prerelease: s.Prerelease, Latest: s.Latest, Older: s.Older}
	for _, name := range slices.Sorted(maps.Keys(s.Files)) {
		o.Assets = append(o.Assets, Asset{name, "build/pkg/" + path.Base(name)})
	}
	c := s.Config
	c.Extra = s.Extra
	return New(c, o)
}

func (s script) env() pipeline.Env {
	return pipeline.Env{Project: "App", Version: "1.2.3", Commit: s.Commit, Time: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
}

func (s script) plan(ctx context.Context) (*pipeline.Plan, error) {
	return pipeline.NewPlan(ctx, s.env(), phase{"build", s.build}, phase{"release", s.steps})
}

type phase struct {
	name string
	list func() ([]pipeline.Step, error)
}

func (p phase) Name() string { return p.name }
func (p phase) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) {
	return p.list()
}

func (s script) build() ([]pipeline.Step, error) {
	list := []pipeline.Step{step{pipeline.Spec{ID: versionStep, Effect: pipeline.Local, Outputs: []string{sourceTree}, Params: s.Docs}, func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
		dir, err := ws.Create(pipeline.Artifact{Name: sourceTree, Kind: pipeline.KindTree})
		for name, content := range s.Docs {
			if err == nil {
				err = os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755)
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644)
			}
		}
		return pipeline.Receipt{"commit": s.Commit}, err
	}}}
	needs := []string{versionStep}
	for _, name := range slices.Sorted(maps.Keys(s.Files)) {
		id := "build/pkg/" + path.Base(name)
		needs = append(needs, id)
		list = append(list, step{pipeline.Spec{ID: id, Effect: pipeline.Local, Outputs: []string{name}, Params: map[string]string{"content": sum(s.Files[name])}}, func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
			return nil, write(ws, name, s.Files[name])
		}})
	}
	list = append(list, step{pipeline.Spec{ID: "build/check", Needs: needs, Effect: pipeline.Local, Checks: []string{"tests"}}, func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
		ws.Report(pipeline.Evidence{Check: "tests", Verdict: gate.Pass})
		return nil, nil
	}})
	return append(list, pipeline.NewGate(gate.Gate{ID: "gate/build", Title: "Build", Criteria: []gate.Criterion{{Title: "tests", Check: "tests"}}}, append(needs, "build/check")...)), nil
}

func write(ws *pipeline.Workspace, name, content string) error {
	to, err := ws.Create(pipeline.Artifact{Name: name})
	if err != nil {
		return err
	}
	return os.WriteFile(to, []byte(content), 0o644)
}

func (s script) steps() ([]pipeline.Step, error) {
	r, err := s.release()
	if err != nil {
		return nil, err
	}
	list := []pipeline.Step{step{pipeline.Spec{ID: notesStep, Needs: []string{versionStep}, Effect: pipeline.Local, Outputs: []string{notesFile}, Params: map[string]string{"text": s.Notes}}, func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
		return nil, write(ws, notesFile, s.Notes)
	}}}
	list = append(list, r.Check("gate/build"), r.Draft(CheckID, "gate/build"))
	list = append(list, r.Assets()...)
	list = append(list, r.Inspect(),
		pipeline.NewGate(gate.Gate{ID: "gate/release", Title: "Release", Criteria: []gate.Criterion{{Title: "ready", Check: Ready}, {Title: "assets", Check: Assets}}}, "gate/build", CheckID, InspectID),
		tagStep{step{spec: pipeline.Spec{ID: "release/tag", Needs: []string{"gate/release", versionStep}, Inputs: []string{"receipt:" + versionStep + ".commit"}, Effect: pipeline.Remote, Target: "tag"}}},
		r.Publish("gate/release", "release/tag"), r.Download(),
		pipeline.NewGate(gate.Gate{ID: "proof/release", Title: "Proof", Criteria: []gate.Criterion{{Title: "public", Check: Public}, {Title: "latest", Check: Latest}}}, DownloadID))
	return list, nil
}

type step struct {
	spec pipeline.Spec
	run  func(context.Context, *pipeline.Workspace) (pipeline.Receipt, error)
}

func (s step) Spec() pipeline.Spec { return s.spec }
func (s step) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	return s.run(ctx, ws)
}

// tagStep makes the annotated tag over the API. It retries nothing: no faults are planned for its requests.
type tagStep struct{ step }

func (tagStep) api(ctx context.Context, ws *pipeline.Workspace, method, to string, in, out any) (int, error) {
	e, err := endpoint.Of(ws)
	if err != nil {
		return 0, err
	}
	b, err := json.Marshal(in)
	if err != nil {
		return 0, err
	}
	q, err := http.NewRequestWithContext(ctx, method, "https://api.github.com/repos/"+owner+"/"+repo+"/git/"+to, bytes.NewReader(b))
	if err != nil {
		return 0, err
	}
	if method == http.MethodGet {
		q.Body, q.ContentLength = nil, 0
	}
	q.Header.Set("Authorization", "Bearer "+secret)
	q.Header.Set("Content-Type", "application/json")
	resp, err := e.HTTP.RoundTrip(q)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && out != nil && resp.StatusCode < 300 {
		err = json.Unmarshal(body, out)
	}
	return resp.StatusCode, err
}

func (s tagStep) Probe(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	var refs []struct{ Object struct{ SHA string } }
	if status, err := s.api(ctx, ws, "GET", "matching-refs/tags/"+tagName, nil, &refs); err != nil || status != 200 {
		return nil, fmt.Errorf("cannot look for the tag: %d %w", status, err)
	}
	if len(refs) == 0 {
		return nil, nil
	}
	var tag struct{ Message string }
	if _, err := s.api(ctx, ws, "GET", "tags/"+refs[0].Object.SHA, nil, &tag); err != nil {
		return nil, err
	}
	if !strings.Contains(tag.Message, ws.Run) {
		return nil, fmt.Errorf("tag %s: %w", tagName, pipeline.ErrConflict)
	}
	return pipeline.Receipt{pipeline.Marker: ws.Run}, nil
}

func (s tagStep) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	commit, err := ws.Receipt(versionStep, "commit")
	if err != nil {
		return nil, err
	}
	var tag struct{ SHA string }
	if status, err := s.api(ctx, ws, "POST", "tags", map[string]string{"tag": tagName, "message": "Slipway-Run: " + ws.Run, "object": commit, "type": "commit"}, &tag); err != nil || status != 201 {
		return nil, fmt.Errorf("tag object: %d %w", status, err)
	}
	status, err := s.api(ctx, ws, "POST", "refs", map[string]string{"ref": "refs/tags/" + tagName, "sha": tag.SHA}, nil)
	if err != nil || status != 201 {
		return nil, fmt.Errorf("tag: %d %w", status, err)
	}
	return pipeline.Receipt{pipeline.Marker: ws.Run}, nil
}

func (s tagStep) Undo(ctx context.Context, ws *pipeline.Workspace, _ pipeline.Receipt) error {
	_, err := s.api(ctx, ws, "DELETE", "refs/tags/"+tagName, nil, nil)
	return err
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

// A stage is a twin with a script.
type stage struct {
	script
	t       *testing.T
	twin    *twin.Server
	memory  *twin.Memory
	clock   *jumpClock
	http    http.RoundTripper
	tokenOf func() string
}

func maintainer() twin.Token {
	return twin.Token{Value: secret, Login: "octo", Rights: twin.Maintainer()}
}

func newStage(t *testing.T, change ...func(*twin.Options)) *stage {
	t.Helper()
	s := &stage{t: t, memory: twin.NewMemory(), clock: &jumpClock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}}
	by := twin.Signature{Name: "octo", Email: "octo@example.invalid", When: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)}
	s.script = newScript(s.memory.Add("main", "first", by, map[string]string{"README.md": "one\n"}))
	s.tokenOf = func() string { return secret }
	o := twin.Options{
		Dir: t.TempDir(), Public: true, Clock: s.clock, Limits: twin.Limits{PerHour: -1, WritesPerMinute: -1, WritesPerHour: -1},
		Repositories: []twin.Repository{{Owner: owner, Name: repo, Refs: s.memory}}, Tokens: []twin.Token{maintainer()},
	}
	for _, f := range change {
		f(&o)
	}
	var err error
	if s.twin, err = twin.Start(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.twin.Close() })
	api, uploads := "https://api.github.com/", "https://uploads.github.com/"
	s.http = s.twin.Transport()
	if o.Enterprise == "" { // the description's paths begin at the host's root
		if s.http, err = apicheck.New(api, uploads, s.http, func(err error) { t.Error(err) }); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// quick leaves the check of exchanges out under the race detector, where it takes most of the time: for tests that do a
// release again and again.
func (s *stage) quick() *stage {
	if race {
		s.http = s.twin.Transport()
	}
	return s
}

// A manager is somebody with a journal who runs the release.
type manager struct {
	*stage
	journal pipeline.Journal
	dirs    pipeline.Dirs
	seen    func(pipeline.Record)
}

func (s *stage) manager() *manager {
	dir := s.t.TempDir()
	return &manager{s, &pipelinetest.Memory{}, pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")}, nil}
}

func (s *stage) endpoints() *endpoint.Endpoints {
	return &endpoint.Endpoints{
		HTTP: s.http, Clock: s.clock, Pace: -1, Patience: 2 * time.Minute,
		Token: func() (hub.Token, error) { return hub.NewToken(s.tokenOf(), "GITHUB_TOKEN") },
	}
}

func (m *manager) options() pipeline.Options {
	return pipeline.Options{Journal: m.journal, Dirs: m.dirs, Endpoints: m.endpoints(), Jobs: 2, Observe: m.seen}
}

func (m *manager) run() error {
	m.t.Helper()
	p, err := m.plan(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	return p.Run(m.t.Context(), m.options())
}

func (m *manager) unwind() error {
	m.t.Helper()
	p, err := m.plan(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	return p.Unwind(m.t.Context(), m.options())
}

// evidence returns the newest evidence of a check.
func (m *manager) evidence(check string) (e pipeline.Evidence) {
	m.t.Helper()
	for r, err := range m.journal.Records() {
		if err != nil {
			m.t.Fatal(err)
		}
		for _, some := range r.Evidence {
			if some.Check == check && r.Event == pipeline.Done && !strings.Contains(r.Step, "gate/") && !strings.HasPrefix(r.Step, "proof/") {
				e = some
			}
		}
	}
	return e
}

// receipt returns a value of a step's newest receipt.
func (m *manager) receipt(id, key string) (value string) {
	for r := range m.journal.Records() {
		if r.Step == id && r.Receipt != nil {
			value = r.Receipt[key]
		}
	}
	return value
}

// ended checks that the world holds exactly the release.
func (s *stage) ended() {
	s.t.Helper()
	s.always()
	last := s.twin.History(owner, repo).Last()
	if len(last.Releases) != 1 {
		s.t.Fatalf("there are %d releases", len(last.Releases))
	}
	rel := last.Releases[0]
	if rel.Draft || rel.Tag != tagName || rel.Latest != s.Latest || rel.Prerelease != s.Prerelease || len(rel.Assets) != len(s.want()) {
		s.t.Fatalf("the release is %+v", rel)
	}
	if !strings.HasPrefix(rel.Body, s.Notes+"\n<!-- slipway ") {
		s.t.Errorf("its body is %q", rel.Body)
	}
	if _, ok := last.Tags[tagName]; !ok || len(last.Tags) != 1 {
		s.t.Errorf("tags are %v", last.Tags)
	}
}

// always checks what must hold at every moment.
func (s *stage) always() {
	s.t.Helper()
	if err := s.twin.History(owner, repo).Always(twin.Complete(tagName, s.want())); err != nil {
		s.t.Error(err)
	}
}
