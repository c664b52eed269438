package phases

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/aurweb"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/makepkg"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/phases/internal/rehearsal"
	"github.com/imrightguy/slipway/phases/rollback"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// shopYAML releases a program in three formats, each of which an AUR package installs. KEYS are more keys of each.
const shopYAML = `project: demo
version: {source: VERSION, author: "Release <release@example.org>"}
components:
  demo: {builder: prebuilt, path: demo.sh}
bundles:
  demo:
    contents:
      - {src: "component:demo/demo.sh", dst: bin/demo, file_info: {mode: 0755}}
      - {src: LICENSE, dst: share/licenses/demo/LICENSE}
      - {src: demo.conf, dst: /etc/demo.conf}
      - {src: demo.bash, dst: share/bash-completion/completions/demo}
packages:
  - {name: demo, format: tarball, bundle: demo}
  - {name: demo, format: deb, bundle: demo, maintainer: "Ada <ada@example.org>", description: "says which version it is\nThat is all that it does.", homepage: "https://example.org/", license: MIT, section: utils}
  - {name: demo, format: appimage, bundle: demo, description: "says which version it is"}
`

const shopAUR = "  - {name: %[1]s, format: aur, from: \"%[2]s\", maintainer: \"Ada <ada@example.org>\", license: MIT, homepage: \"https://example.org/\", " +
	"description: \"Says which version it is\", url: \"https://github.com/acme/demo/releases/download/v{{ .Version }}/\"%[3]s}\n"

// shop is a project, the world that it is released to, and its journals.
type shop struct {
	t      *testing.T
	dir    string
	keys   string // of each AUR package
	from   string // what each installs; "": what shopFrom says
	asks   string // what its program is started with; "": --version
	names  []string
	config *Config
	repo   *Repository
	world  *Rehearsal
	twins  string
}

var shopFrom = map[string]string{"demo-bin": "tarball:demo", "demo-deb-bin": "deb:demo", "demo-image-bin": "appimage:demo"}

// newShop makes a project that has the named AUR packages, and releases nothing.
func newShop(t *testing.T, keys string, names ...string) *shop {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	s := &shop{t: t, dir: filepath.Join(t.TempDir(), "demo"), keys: keys, names: names}
	s.must(os.Mkdir(s.dir, 0o755))
	s.git("init", "-q", "-b", "main")
	s.write("LICENSE", "MIT License\n\nCopyright (c) 2026 Ada\n")
	s.write("demo.conf", "a=b\n")
	s.write("demo.bash", "complete -W x demo\n")
	return s
}

func (s *shop) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) write(name, text string) {
	s.t.Helper()
	s.must(os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644))
}

func (s *shop) git(args ...string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "git", append([]string{"-C", s.dir, "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("git %q: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit makes a version the one at HEAD.
func (s *shop) commit(version string) {
	s.t.Helper()
	v, err := ParseVersion(version)
	s.must(err)
	s.write("VERSION", version+"\n")
	s.write("demo.sh", "#!/bin/sh\necho demo "+v.Release()+"\n")
	yaml := shopYAML
	for _, name := range s.names {
		yaml += fmt.Sprintf(shopAUR, name, cmp.Or(s.from, shopFrom[name]), s.keys)
	}
	yaml += "release:\n  git: {merge_into: main}\n  github: {owner: acme, repo: demo}\naur:\n"
	for _, name := range s.names {
		yaml += "  " + name + ": {remote: \"ssh://aur@aur.archlinux.org/" + name + ".git\", start: [[/usr/bin/demo, " + cmp.Or(s.asks, "--version") + "]]}\n"
	}
	s.write("release.yaml", yaml)
	s.git("add", "-A")
	s.git("commit", "-q", "--allow-empty", "-m", "feat: be version "+version)
	s.config, err = Load("release.yaml", []byte(yaml))
	s.must(err)
	s.must(s.config.Validate())
	s.repo, err = OpenRepository(s.dir)
	s.must(err)
}

func (s *shop) env() pipeline.Env {
	s.t.Helper()
	head, err := s.repo.Head()
	s.must(err)
	v, err := VersionAt(s.config, s.repo, head.ID)
	s.must(err)
	return pipeline.Env{Project: "demo", Version: v.String(), Commit: head.ID, Config: strings.Repeat("0", 64), Time: head.Time}
}

// unjudged is a phase without judges of the AUR's kind, which take seconds each.
type unjudged struct{ pipeline.Phase }

func (p unjudged) Plan(ctx context.Context, env *pipeline.Env) ([]pipeline.Step, error) {
	steps, err := p.Phase.Plan(ctx, env)
	if p.Name() != AUR {
		return steps, err
	}
	return gated(withoutJudges(steps), "gate/aur"), err
}

func withoutJudges(steps []pipeline.Step) []pipeline.Step {
	return slices.DeleteFunc(steps, func(s pipeline.Step) bool { return strings.Contains(s.Spec().ID, "/judge/") })
}

// gated puts a gate in the place of one, or at the end, that asks for all checks before it.
func gated(steps []pipeline.Step, id string) []pipeline.Step {
	at := slices.IndexFunc(steps, func(s pipeline.Step) bool { return s.Spec().ID == id })
	if at < 0 {
		at, steps = len(steps), append(steps, nil)
	}
	g, needs := gate.Gate{ID: id, Title: id}, []string{}
	for _, s := range steps[:at] {
		if sp := s.Spec(); len(sp.Checks) > 0 {
			needs = append(needs, sp.ID)
			for _, c := range sp.Checks {
				if !slices.ContainsFunc(g.Criteria, func(cr gate.Criterion) bool { return cr.Check == c }) {
					g.Criteria = append(g.Criteria, gate.Criterion{Title: c, Check: c})
				}
			}
		}
	}
	steps[at] = pipeline.NewGate(g, needs...)
	return steps
}

// run carries phases out with a journal in a folder of the release's.
func (s *shop) run(env pipeline.Env, beside string, all ...pipeline.Phase) (*Released, pipeline.Dirs, error) {
	s.t.Helper()
	v, err := ParseVersion(env.Version)
	s.must(err)
	plan, err := pipeline.NewPlan(s.t.Context(), env, all...)
	s.must(err)
	dir := filepath.Join(s.dir, ".slipway", v.Release(), beside)
	j, err := journal.Open(dir)
	s.must(err)
	defer j.Close()
	dirs := pipeline.Dirs{Dist: filepath.Join(s.dir, "dist", v.Release(), beside), Work: filepath.Join(dir, "work")}
	err = plan.Run(s.t.Context(), pipeline.Options{Journal: j, Dirs: dirs, Jobs: 2, Endpoints: s.world.Endpoints(plan.Digest), Verifier: s.world.Verifier()})
	r, readErr := ReadReleased(j)
	s.must(readErr)
	return r, dirs, err
}

// release releases a version.
func (s *shop) release(version string) *Released {
	s.t.Helper()
	s.commit(version)
	if s.world == nil {
		s.twins = s.t.TempDir()
		head, err := s.repo.Head()
		s.must(err)
		s.world, err = Rehearse(s.t.Context(), RehearsalOptions{Config: s.config, Repository: s.repo, Base: head, Version: version, Dir: s.twins, Twins: rehearsal.Options{}})
		s.must(err)
		s.t.Cleanup(func() { _ = s.world.Close() })
	} else {
		s.git("push", "-q", "--force", filepath.Join(s.twins, "origin.git"), "HEAD:refs/heads/main")
	}
	all, err := All(s.config, s.dir)
	s.must(err)
	for i, p := range all {
		all[i] = unjudged{p}
	}
	r, _, err := s.run(s.env(), "", all...)
	s.must(err)
	s.git("fetch", "-q", "--tags", filepath.Join(s.twins, "origin.git"), "main")
	s.git("reset", "-q", "--hard", "FETCH_HEAD")
	return r
}

// fixedPhase is a phase of steps that are there.
type fixedPhase struct {
	name  string
	steps []pipeline.Step
}

func (p fixedPhase) Name() string { return p.name }
func (p fixedPhase) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) {
	return p.steps, nil
}

// fix is what the AUR's level of a rollback is planned of.
func (s *shop) fix(bad *Released, to string) correctionOptions {
	s.t.Helper()
	older, err := ParseVersion(to)
	s.must(err)
	return correctionOptions{
		Config: s.config, Repository: s.repo, Env: bad.Plan.Env, Released: bad, Older: older, OlderTag: "v" + older.Release(),
	}
}

// correct plans and carries out the AUR's level of a rollback.
func (s *shop) correct(bad *Released, to string, epoch, judged bool) (*Released, pipeline.Dirs, error) {
	s.t.Helper()
	o := s.fix(bad, to)
	o.Epoch = epoch
	level, err := aurCorrection(s.t.Context(), o)
	if err != nil {
		return nil, pipeline.Dirs{}, err
	}
	before := level.Before
	if !judged {
		before = withoutJudges(before)
	}
	steps := gated(slices.Clone(before), rollback.GateID)
	steps = append(steps, level.First...)
	return s.run(bad.Plan.Env, "rollback-"+to+fmt.Sprint(epoch), fixedPhase{rollback.Name, steps})
}

// shown is the version that the AUR shows of a package.
func (s *shop) shown(name string) string {
	s.t.Helper()
	e := s.world.Endpoints("x")
	c, err := aurweb.New(aurweb.Options{BaseURL: "https://aur.archlinux.org", Transport: e.HTTP, Clock: &endpoint.Hurried{}})
	s.must(err)
	all, err := c.Info(s.t.Context(), name)
	s.must(err)
	return all[name].Version
}

// inAUR is a file at the tip of a package's repository.
func (s *shop) inAUR(name, file string) string {
	s.t.Helper()
	return s.at(name, "master", file)
}

// at is a file in a commit of a package's repository.
func (s *shop) at(name, commit, file string) string {
	s.t.Helper()
	return s.git("-C", filepath.Join(s.twins, "aur", name+".git"), "show", commit+":"+file)
}

func (s *shop) commits(name string) string {
	s.t.Helper()
	return s.git("-C", filepath.Join(s.twins, "aur", name+".git"), "rev-list", "--count", "master")
}

// TestCorrection: after a rollback the AUR has the older payload of a package of each kind under a version that pacman
// takes for newer; going back further works too, and the next release outranks it all.
func TestCorrection(t *testing.T) {
	t.Parallel()
	names := []string{"demo-bin", "demo-deb-bin", "demo-image-bin"}
	s := newShop(t, "", names...)
	s.release("0.9.0+1")
	s.write("demo.conf", "other=layout\n")
	s.release("1.0.0+5")
	bad := s.release("1.1.0+7")
	done, dirs, err := s.correct(bad, "1.0.0", false, false)
	s.must(err)
	for _, name := range names {
		if got := s.shown(name); got != "1.1.0+really1.0.0-1" {
			t.Errorf("%s: the AUR shows %s", name, got)
		}
		info := s.inAUR(name, ".SRCINFO")
		for _, want := range []string{"/releases/download/v1.0.0/demo", "backup = etc/demo.conf", "pkgver = 1.1.0+really1.0.0"} {
			if !strings.Contains(info, want) {
				t.Errorf("%s: want %q in\n%s", name, want, info)
			}
		}
		if n := s.commits(name); n != "4" {
			t.Errorf("%s has %s commits", name, n)
		}
		rec := done.Done["rollback/push/"+name]
		if rec.Receipt["version"] != "1.1.0+really1.0.0-1" || rec.Adopted || rec.Receipt[pipeline.Marker] != done.Run {
			t.Errorf("%+v", rec.Receipt)
		}
	}
	for _, file := range []string{"demo-1.0.0-x86_64.tar.gz", "demo_1.0.0_amd64.deb", "demo-1.0.0-x86_64.AppImage"} {
		if _, err := os.Stat(filepath.Join(dirs.Dist, file)); err != nil {
			t.Error(err)
		}
	}
	// Once more from another machine: it is there, file for file, and nothing is pushed.
	s.must(os.RemoveAll(filepath.Join(s.dir, ".slipway/1.1.0/rollback-1.0.0false")))
	again, _, err := s.correct(bad, "1.0.0", false, false)
	s.must(err)
	if !again.Done["rollback/push/demo-bin"].Adopted || s.commits("demo-bin") != "4" {
		t.Errorf("%s commits, %+v", s.commits("demo-bin"), again.Done["rollback/push/demo-bin"])
	}
	// Further back.
	_, _, err = s.correct(bad, "0.9.0", false, false)
	s.must(err)
	if got := s.shown("demo-deb-bin"); got != "1.1.0+really1.0.0+really0.9.0-1" {
		t.Errorf("the AUR shows %s", got)
	}
	s.release("1.1.1+8")
	for _, name := range names {
		if got := s.shown(name); got != "1.1.1-1" {
			t.Errorf("%s: the AUR shows %s", name, got)
		}
	}
}

// TestCorrection_Epoch: with an epoch the version is the older one, and the epoch is the published one's successor.
func TestCorrection_Epoch(t *testing.T) {
	t.Parallel()
	s := newShop(t, ", epoch: 2", "demo-bin")
	s.release("1.0.0")
	bad := s.release("1.1.0")
	_, _, err := s.correct(bad, "1.0.0", true, false)
	s.must(err)
	if got := s.shown("demo-bin"); got != "3:1.0.0-1" {
		t.Errorf("the AUR shows %s", got)
	}
	s.must(os.RemoveAll(filepath.Join(s.dir, ".slipway/1.1.0/rollback-1.0.0true")))
	again, _, err := s.correct(bad, "1.0.0", true, false)
	s.must(err)
	if got := s.shown("demo-bin"); got != "3:1.0.0-1" || !again.Done["rollback/push/demo-bin"].Adopted {
		t.Errorf("once more: the AUR shows %s", got)
	}
}

// TestCorrection_KeptBuild: where the build number is part of the version, the correction lies before the next build.
func TestCorrection_KeptBuild(t *testing.T) {
	t.Parallel()
	s := newShop(t, ", keep_build: true", "demo-bin")
	s.release("1.0.0+4")
	bad := s.release("1.1.0+5")
	_, _, err := s.correct(bad, "1.0.0", false, false)
	s.must(err)
	got := s.shown("demo-bin")
	if got != "1.1.0+5+really1.0.0+4-1" || pkgbuild.Vercmp(got, "1.1.0+5-1") <= 0 || pkgbuild.Vercmp(got, "1.1.0+6-1") >= 0 {
		t.Errorf("the AUR shows %s", got)
	}
}

// TestCorrection_Gone: where the older release's file is missing, or is another one, everything stops before the gate, and
// what else can be done is told.
func TestCorrection_Gone(t *testing.T) {
	t.Parallel()
	s := newShop(t, "", "demo-bin")
	s.release("1.0.0")
	bad := s.release("1.1.0")
	stops := func(to string, want ...string) {
		t.Helper()
		r, _, err := s.correct(bad, to, false, false)
		if err == nil {
			t.Fatal("it has gone on")
		}
		for _, w := range append(want, "--level github,git,hold", "next version") {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("want %q in %v", w, err)
			}
		}
		if _, passed := r.Done[rollback.GateID]; passed || s.shown("demo-bin") != "1.1.0-1" {
			t.Errorf("it has gone beyond the gate: %v", r.Done)
		}
	}
	stops("0.5.0", "there is no such file for the public (status 404)", "/v0.5.0/demo-0.5.0-x86_64.tar.gz")
	// Somebody has replaced the file, and left the sums: then also the sums.
	assets := s.asset("demo-1.0.0-x86_64.tar.gz")
	sums := s.asset("SHA256SUMS")
	text, err := os.ReadFile(assets)
	s.must(err)
	s.must(os.WriteFile(assets, append(text[:len(text)-1:len(text)-1], text[len(text)-1]^1), 0o644))
	stops("1.0.0", "it has SHA-256", "want SHA-256")
	s.must(os.WriteFile(sums, nil, 0o644))
	stops("1.0.0", "SHA256SUMS: it is empty")
}

// asset finds the file at GitHub's twin that is an asset of v1.0.0.
func (s *shop) asset(name string) (found string) {
	s.t.Helper()
	want, err := os.ReadFile(filepath.Join(s.dir, "dist", "1.0.0", name))
	s.must(err)
	s.must(filepath.WalkDir(filepath.Join(s.twins, ".twins"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if b, err := os.ReadFile(path); err == nil && string(b) == string(want) {
			found = path
		}
		return nil
	}))
	if found == "" {
		s.t.Fatalf("the twin does not have %s", name)
	}
	return found
}

// TestCorrection_Published: what is published decides. Somebody else's newer version is not taken for the bad one.
func TestCorrection_Published(t *testing.T) {
	t.Parallel()
	s := newShop(t, "", "demo-bin")
	s.release("1.0.0")
	bad := s.release("1.1.0")
	s.release("1.2.0")
	if _, _, err := s.correct(bad, "1.0.0", false, false); err == nil || !strings.Contains(err.Error(), "the AUR has demo-bin 1.2.0-1, and not 1.1.0") {
		t.Errorf("got %v", err)
	}
	s.config.AUR = nil
	if _, _, err := s.correct(bad, "1.0.0", false, false); err == nil || !strings.Contains(err.Error(), "demo-bin came into the AUR with the release, and the release.yaml that") {
		t.Errorf("got %v", err)
	}
}

// TestCorrection_Judged: the real makepkg and pacman: from the bad version as published `pacman -Syu` ends on the older
// payload, a new installation gets it, and the next version upgrades it.
func TestCorrection_Judged(t *testing.T) {
	t.Parallel()
	for _, tool := range append([]string{"bwrap", "repo-add"}, append(makepkg.BuildTools, makepkg.InstallTools...)...) {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	s := newShop(t, "", "demo-bin")
	s.release("1.0.0+3")
	bad := s.release("1.1.0+4")
	done, dirs, err := s.correct(bad, "1.0.0", false, true)
	if errors.Is(err, pipeline.ErrGate) {
		for _, e := range done.Done["rollback/judge/demo-bin"].Evidence {
			t.Log(e.Check, e.Verdict, e.Summary)
		}
	}
	s.must(err)
	found := map[string]string{}
	for _, e := range done.Done["rollback/judge/demo-bin"].Evidence {
		if e.Verdict != gate.Pass {
			t.Errorf("%s: %s", e.Check, e.Summary)
		}
		found[e.Check] = e.Found
	}
	if len(found) != 8 || !strings.Contains(found["aur-upgrade"], "pacman -Syu from 1.1.0-1 ends on 1.1.0+really1.0.0-1") {
		t.Errorf("%v", found)
	}
	// The next version, built by the real tools as well, is an upgrade of the correction.
	built := func(repo, sources string) string {
		t.Helper()
		r, err := makepkg.Build(t.Context(), makepkg.Options{Dir: repo, SrcDest: sources, PkgDest: t.TempDir(), Arch: "x86_64"})
		s.must(err)
		return r.Packages[0]
	}
	corrected := built(filepath.Join(dirs.Dist, "aur", "demo-bin"), dirs.Dist)
	s.release("1.1.1+5")
	next := built(filepath.Join(s.dir, "dist/1.1.1/aur/demo-bin"), filepath.Join(s.dir, "dist/1.1.1"))
	up, err := makepkg.Upgrade(t.Context(), corrected, next)
	s.must(err)
	if up.To != "1.1.1-1" {
		t.Errorf("%+v", up)
	}
}
