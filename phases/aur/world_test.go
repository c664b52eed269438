package aur

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"golang.org/x/crypto/ssh"

	"github.com/imrightguy/slipway/phases/aur/history"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	aurtwin "github.com/imrightguy/slipway/phases/internal/twins/aur"
	hubtwin "github.com/imrightguy/slipway/phases/internal/twins/github"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

const (
	pkg      = "hello-bin"
	author   = "Release Team <release@example.org>"
	token    = "ghp_planted"
	payload  = "the tarball of "
	released = "1.2.3"
)

// wiring says where the twins are, also to another process.
type wiring struct {
	Listeners       map[string]string
	Git             map[string]string // production URL to the twin's
	Key, KnownHosts string            // files
	Patience        time.Duration
}

// endpoints lead to the twins alone.
func (w wiring) endpoints() *endpoint.Endpoints {
	return &endpoint.Endpoints{
		HTTP: hubtwin.Transport(w.Listeners), Clock: &endpoint.Hurried{}, Patience: w.Patience,
		Token: func() (hub.Token, error) { return hub.Token{}, errors.New("nobody needs a token here") },
		Git: func(ctx context.Context, r gitremote.Remote) (gitremote.Access, error) {
			url, ok := w.Git[r.URL]
			if !ok {
				return gitremote.Access{}, fmt.Errorf("there is no twin of %s", r.URL)
			}
			return gitremote.Open(ctx, gitremote.Remote{URL: url, KnownHosts: w.KnownHosts, KeyFile: "KEY"}, gitremote.Options{
				Getenv: func(name string) string { return map[string]string{"KEY": w.Key}[name] },
			})
		},
	}
}

// product is what is released: data, so that another process makes the very same.
type product struct {
	Name, Version, PkgRel string
	Epoch                 int
	Depends               []string
	Extra                 map[string]string // other files of the AUR repository
}

func (p product) tarball() string { return "hello-" + p.Version + "-x86_64.tar.gz" }
func (p product) bytes() []byte   { return []byte(strings.Repeat(payload+p.Version+"\n", 1000)) }
func (p product) env() pipeline.Env {
	return pipeline.Env{
		Project: "hello", Version: p.Version, Commit: strings.Repeat("ab", 20), Config: strings.Repeat("cd", 32),
		Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

func (p product) files() (map[string][]byte, error) {
	file := pkgbuild.Text{pkgbuild.Lit("hello-"), pkgbuild.Payload, pkgbuild.Lit("-x86_64.tar.gz")}
	m := &pkgbuild.Model{
		Maintainers: []string{"Release Team <release at example dot org>"}, PkgName: p.Name, PkgVer: p.Version, PkgRel: p.PkgRel, Epoch: p.Epoch,
		PkgDesc: "Says hello, 'quoted' and $(not run)", URL: "https://example.org/hello", License: []string{"MIT"}, Arch: []string{"x86_64"},
		Options: []string{"!strip", "!debug"},
		Sources: []pkgbuild.Source{{
			Arch: "x86_64", Name: file, SHA256: fmt.Sprintf("%x", sha256.Sum256(p.bytes())),
			URL: append(pkgbuild.Text{pkgbuild.Lit("https://github.com/o/r/releases/download/v"), pkgbuild.Payload, pkgbuild.Lit("/")}, file...),
		}},
		Package: []pkgbuild.Action{pkgbuild.Unpack{Source: file, Strip: 1, To: "/usr"}},
	}
	m.Depends = pkgbuild.Plains(p.Depends...)
	var b, info bytes.Buffer
	if err := errors.Join(pkgbuild.PrintPKGBUILD(&b, m), pkgbuild.PrintSRCINFO(&info, m)); err != nil {
		return nil, err
	}
	files := map[string][]byte{"PKGBUILD": b.Bytes(), ".SRCINFO": info.Bytes(), "LICENSE": []byte("0BSD\n")}
	for name, text := range p.Extra {
		files[name] = []byte(text)
	}
	return files, nil
}

func (p product) artifacts(t testing.TB) (names []string) {
	t.Helper()
	files, err := p.files()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range slices.Sorted(maps.Keys(files)) {
		names = append(names, "aur/"+p.Name+"/"+f)
	}
	return names
}

// maker is a local step that writes files.
type maker struct {
	id    string
	files map[string][]byte // by artifact
}

func (m maker) Spec() pipeline.Spec {
	sp := pipeline.Spec{ID: m.id, Effect: pipeline.Local, Outputs: slices.Sorted(maps.Keys(m.files)), Params: map[string]string{}}
	for name, b := range m.files {
		sp.Params[name] = fmt.Sprintf("%x", sha256.Sum256(b))
	}
	return sp
}

func (m maker) Run(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	for name, b := range m.files {
		path, err := ws.Create(pipeline.Artifact{Name: name, Kind: "aur"})
		if err == nil {
			err = os.WriteFile(path, b, 0o666)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// build is the phase before: it makes the files of the products.
type build []product

func (build) Name() string { return "build" }

func (b build) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) {
	var steps []pipeline.Step
	for _, p := range b {
		m, err := p.render("build/aur/" + p.Name)
		if err != nil {
			return nil, err
		}
		steps = append(steps, m)
	}
	return steps, nil
}

func (p product) render(id string) (pipeline.Step, error) {
	files, err := p.files()
	out := map[string][]byte{}
	for name, b := range files {
		out["aur/"+p.Name+"/"+name] = b
	}
	return maker{id, out}, err
}

// anyCheck is a gate that asks for all checks and nobody's approval.
func anyCheck(checks []string) (gate.Gate, error) {
	g := gate.Gate{ID: GateID, Title: GateTitle}
	for _, c := range checks {
		g.Criteria = append(g.Criteria, gate.Criterion{Title: c, Check: c})
	}
	return g, nil
}

func phasesOf(t testing.TB, products ...product) []pipeline.Phase {
	t.Helper()
	return phasesWith(t, Config{}, products...)
}

func phasesWith(t testing.TB, c Config, products ...product) []pipeline.Phase {
	t.Helper()
	o := Options{RepoDir: "/", Author: author, Gate: anyCheck}
	for _, p := range products {
		o.Packages = append(o.Packages, Package{Name: p.Name, Config: c, Step: "build/aur/" + p.Name, Files: p.artifacts(t)})
	}
	phase, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return []pipeline.Phase{build(products), phase}
}

// world is the twins, and one release's folder.
type world struct {
	t testing.TB
	wiring
	hub *hubtwin.Server
	aur *aurtwin.Server
	dir string
}

// newWorld starts the twins: the account "us" may come into the AUR, "them" too.
func newWorld(t testing.TB, change ...func(*aurtwin.Options)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	w.Key, w.KnownHosts, w.Patience = filepath.Join(w.dir, "key"), filepath.Join(w.dir, "known_hosts"), time.Minute
	w.write(w.Key, pem.EncodeToMemory(block))
	o := aurtwin.Options{Dir: filepath.Join(w.dir, "aur"), Accounts: []aurtwin.Account{{Name: "us", Keys: []ssh.PublicKey{signer.PublicKey()}}, {Name: "them"}}}
	for _, f := range change {
		f(&o)
	}
	if w.aur, err = aurtwin.Start(context.WithoutCancel(t.Context()), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.aur.Close() })
	w.write(w.KnownHosts, w.aur.KnownHosts())
	memory := hubtwin.NewMemory()
	memory.Add("main", "first", hubtwin.Signature{Name: "o", Email: "o@example.org", When: time.Unix(1e9, 0)}, map[string]string{"README.md": "hello\n"})
	if w.hub, err = hubtwin.Start(context.WithoutCancel(t.Context()), hubtwin.Options{
		Dir: filepath.Join(w.dir, "hub"), Public: true,
		Repositories: []hubtwin.Repository{{Owner: "o", Name: "r", Refs: memory}},
		Tokens:       []hubtwin.Token{{Value: token, Login: "o", Rights: hubtwin.Maintainer()}},
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.hub.Close() })
	w.Listeners = w.hub.Listeners()
	maps.Copy(w.Listeners, w.aur.Listeners())
	w.Git = map[string]string{}
	for _, name := range []string{pkg, "other-bin"} {
		w.Git["ssh://aur@aur.archlinux.org/"+name+".git"] = w.aur.SSHURL(name)
	}
	return w
}

func (w *world) write(path string, content []byte) {
	w.t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// client is the release manager's at GitHub.
func (w *world) client() *hub.Client {
	w.t.Helper()
	secret, err := hub.NewToken(token, "test")
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := hub.New(hub.Options{Owner: "o", Repo: "r", Token: secret, Transport: hubtwin.Transport(w.Listeners), WriteInterval: -1, Clock: &endpoint.Hurried{}})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// publish makes the GitHub release of a product, with its tarball.
func (w *world) publish(p product) {
	w.t.Helper()
	ctx, c := w.t.Context(), w.client()
	draft, err := c.EnsureDraft(ctx, hub.Draft{Tag: "v" + p.Version, Commit: "main", Title: p.Version, Marker: hub.Marker(p.Version)})
	if err != nil {
		w.t.Fatal(err)
	}
	path := filepath.Join(w.dir, p.tarball())
	w.write(path, p.bytes())
	if _, err := c.PutAsset(ctx, draft.ID, hub.File{
		Name: p.tarball(), Path: path, Size: int64(len(p.bytes())), SHA256: fmt.Sprintf("%x", sha256.Sum256(p.bytes())),
	}, nil); err != nil {
		w.t.Fatal(err)
	}
	if _, err := c.Publish(ctx, draft.ID, hub.Publication{Title: p.Version, Body: "notes\n" + hub.Marker(p.Version), Latest: true}); err != nil {
		w.t.Fatal(err)
	}
}

// faults sets the AUR's plan.
func (w *world) faults(lines string) {
	w.t.Helper()
	faults, err := aurtwin.ParseFaults(lines)
	if err == nil {
		err = w.aur.SetFaults(faults)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// release is one machine's part in a release: a journal and folders.
type release struct {
	w        *world
	journal  pipeline.Journal
	dirs     pipeline.Dirs
	phases   []pipeline.Phase
	env      pipeline.Env
	observed []pipeline.Record
}

func (w *world) release(products ...product) *release {
	w.t.Helper()
	dir := w.t.TempDir()
	return &release{
		w: w, journal: new(pipelinetest.Memory), dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")},
		phases: phasesOf(w.t, products...), env: products[0].env(),
	}
}

func (r *release) options() pipeline.Options {
	return pipeline.Options{Journal: r.journal, Dirs: r.dirs, Endpoints: r.w.endpoints(), Jobs: 1, Observe: func(rec pipeline.Record) { r.observed = append(r.observed, rec) }}
}

func (r *release) plan() *pipeline.Plan {
	r.w.t.Helper()
	p, err := pipeline.NewPlan(r.w.t.Context(), r.env, r.phases...)
	if err != nil {
		r.w.t.Fatal(err)
	}
	return p
}

func (r *release) run() error { return r.plan().Run(r.w.t.Context(), r.options()) }

// ends runs a release that must succeed.
func (r *release) ends() {
	r.w.t.Helper()
	if err := r.run(); err != nil {
		r.w.t.Fatal(err)
	}
}

// last is the newest record of a step.
func (r *release) last(step string) (found pipeline.Record) {
	for rec, err := range r.journal.Records() {
		if err == nil && rec.Step == step {
			found = rec
		}
	}
	return found
}

// evidence is what a step reported under a check.
func (r *release) evidence(step, check string) pipeline.Evidence {
	r.w.t.Helper()
	for _, e := range r.last(step).Evidence {
		if e.Check == check {
			return e
		}
	}
	r.w.t.Fatalf("%s has reported no %s: %+v", step, check, r.last(step))
	return pipeline.Evidence{}
}

// commits lists the commits of a package's master in the AUR, newest first, each with its tree's files.
func (w *world) commits(name string) (out []*object.Commit) {
	w.t.Helper()
	r, err := git.PlainOpen(filepath.Join(w.dir, "aur", name+".git"))
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	ref, err := r.Reference("refs/heads/master", true)
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	it, err := r.Log(&git.LogOptions{From: ref.Hash()})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := it.ForEach(func(c *object.Commit) error { out = append(out, c); return nil }); err != nil {
		w.t.Fatal(err)
	}
	return out
}

// once fails unless the package has exactly n commits, none of them without a change, and the newest holds the files.
func (w *world) once(n int, p product) {
	w.t.Helper()
	cs := w.commits(p.Name)
	if len(cs) != n {
		w.t.Fatalf("%d commits, want %d: %v", len(cs), n, cs)
	}
	for i, c := range cs[:max(0, n-1)] {
		if c.TreeHash == cs[i+1].TreeHash {
			w.t.Errorf("an empty commit: %v", c)
		}
	}
	want, err := p.files()
	if err != nil || n == 0 {
		return
	}
	got := map[string][]byte{}
	tree, err := cs[0].Tree()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := tree.Files().ForEach(func(f *object.File) error {
		text, err := f.Contents()
		got[f.Name] = []byte(text)
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	if !maps.EqualFunc(got, want, bytes.Equal) {
		w.t.Errorf("the AUR has %q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// foreign commits files to master of a bare repository, made when missing, as somebody else's work.
func foreign(t testing.TB, dir string, files map[string][]byte) plumbing.Hash {
	t.Helper()
	r, err := git.PlainOpen(dir)
	if errors.Is(err, git.ErrRepositoryNotExists) {
		r, err = git.PlainInitWithOptions(dir, &git.PlainInitOptions{Bare: true, InitOptions: git.InitOptions{DefaultBranch: "refs/heads/master"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	tree, err := history.Tree(r.Storer, files)
	if err != nil {
		t.Fatal(err)
	}
	who := object.Signature{Name: "Somebody Else", Email: "else@example.org", When: time.Unix(1.7e9, 0)}
	c := &object.Commit{Author: who, Committer: who, Message: "theirs\n", TreeHash: tree}
	if ref, err := r.Reference("refs/heads/master", true); err == nil {
		c.ParentHashes = []plumbing.Hash{ref.Hash()}
	}
	o := r.Storer.NewEncodedObject()
	if err := c.Encode(o); err != nil {
		t.Fatal(err)
	}
	id, err := r.Storer.SetEncodedObject(o)
	if err == nil {
		err = r.Storer.SetReference(plumbing.NewHashReference("refs/heads/master", id))
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}
