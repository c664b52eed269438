package version

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/carrier"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

func need(t testing.TB, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing", tool)
		}
		t.Skipf("%s is missing", tool)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.org",
		"GIT_AUTHOR_DATE=2025-06-01T10:00:00+0200", "GIT_COMMITTER_DATE=2025-06-29T23:50:00+0200",
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// app is a repository in which every form of carrier says 3.2.1+1.
var app = map[string]string{
	"pubspec.yaml":                "name: app\r\nversion: 3.2.1+1 # truth\r\n",
	"assets/version.json":         "{\n  \"version\":  \"3.2.1\",\n  \"build_number\": \"1\",\n  \"build_date\": \"2025-01-01T00:00:00Z\",\n  \"git_commit\": \"latest\"\n}\n",
	"lib/config/app_config.dart":  "class C {\n  static const String appVersion = '3.2.1';\n}\n",
	"lib/shared/lib/version.dart": "class V {\n  static const String mainAppVersion = '3.2.1';\n  static const int mainAppBuildNumber = 1;\n  static const String buildTimestamp = 'BUILD_TIME_PLACEHOLDER';\n  static const String gitCommitHash = 'unknown';\n}\n",
	"lib/shared/pubspec.yaml":     "name: shared\nversion: 3.2.1+1\n",
	"aur-package/PKGBUILD":        "pkgname=app\npkgver=3.2.1\npkgrel=1\n",
	"aur-package/.SRCINFO":        "pkgbase = app\n\tpkgver = 3.2.1\n",
	"deb/DEBIAN/control":          "Package: app\nVersion: 3.2.1-1\n",
	"installers/app.iss":          "\ufeff#define MyAppVersion \"3.2.1\"\r\n",
	"VERSION":                     "3.2.1\n",
	"run.sh":                      "#!/bin/sh\n",
}

var appConfig = Config{Source: "pubspec.yaml", Author: "Release Team <release@example.org>", Carriers: []string{
	"assets/version.json", "lib/config/app_config.dart", "lib/shared/lib/version.dart", "lib/shared/pubspec.yaml", "aur-package/PKGBUILD",
	"aur-package/.SRCINFO", "deb/DEBIAN/control", "installers/app.iss", "VERSION",
}}

func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		must(t, os.MkdirAll(filepath.Dir(p), 0o777))
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		must(t, os.WriteFile(p, []byte(text), mode))
	}
}

// fixture makes a repository of app with some files changed; an empty text takes a file away.
func fixture(t testing.TB, changes map[string]string) string {
	t.Helper()
	need(t, "git")
	dir := t.TempDir()
	git(t, dir, "init", "-q", "-b", "main")
	write(t, dir, app)
	for name, text := range changes {
		if text == "" {
			must(t, os.Remove(filepath.Join(dir, filepath.FromSlash(name))))
			delete(changes, name)
		}
	}
	write(t, dir, changes)
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "-m", "work")
	return dir
}

func env(t testing.TB, dir string) pipeline.Env {
	t.Helper()
	return pipeline.Env{
		Project: "app", Version: "3.2.1+1", Commit: git(t, dir, "rev-parse", "HEAD"), Config: strings.Repeat("0", 64),
		Time: time.Date(2025, 6, 29, 21, 50, 0, 0, time.UTC),
	}
}

// phase is the step and a gate that asks for its evidence.
type phase struct {
	cfg Config
	dir string
}

func (phase) Name() string { return "build" }

func (p phase) Plan(_ context.Context, e *pipeline.Env) ([]pipeline.Step, error) {
	steps, err := Steps(p.cfg, e, p.dir)
	return append(steps, pipeline.NewGate(gate.Gate{ID: "gate/build", Title: "Build", Criteria: []gate.Criterion{{Title: "Version", Check: Check}}}, ID)), err
}

// outcome is what a run left.
type outcome struct {
	dirs    pipeline.Dirs
	receipt pipeline.Receipt
	made    map[string]pipeline.Artifact
	check   pipeline.Evidence
	gate    gate.Verdict
}

func run(t testing.TB, cfg Config, dir string, e pipeline.Env) (out outcome, err error) {
	t.Helper()
	p, err := pipeline.NewPlan(t.Context(), e, phase{cfg, dir})
	if err != nil {
		return out, err
	}
	tmp := t.TempDir()
	out.dirs = pipeline.Dirs{Dist: filepath.Join(tmp, "dist"), Work: filepath.Join(tmp, "work")}
	j := new(pipelinetest.Memory)
	o := pipeline.Options{Journal: j, Dirs: out.dirs}
	err = p.Run(t.Context(), o)
	s, serr := p.Survey(o)
	must(t, serr)
	last := s.Steps[0].Last
	out.receipt, out.made, out.gate = last.Receipt, map[string]pipeline.Artifact{}, s.Steps[1].Gate.Verdict
	for _, a := range last.Artifacts {
		out.made[a.Name] = a
	}
	if len(last.Evidence) == 1 {
		out.check = last.Evidence[0]
	}
	return out, err
}

func TestStep(t *testing.T) {
	dir := fixture(t, nil)
	e := env(t, dir)
	// Neither what is not committed nor what was committed later counts.
	write(t, dir, map[string]string{"VERSION": "9.9.9\n", "untracked": "x"})
	git(t, dir, "commit", "-q", "-a", "-m", "later")
	write(t, dir, map[string]string{"pubspec.yaml": "version: 8.8.8\n"})
	before := pipelinetest.Snapshot(t, dir)
	out, err := run(t, appConfig, dir, e)
	must(t, err)
	after := pipelinetest.Snapshot(t, dir)
	for name, was := range before {
		if after[name] != was {
			t.Errorf("%s was changed", name)
		}
	}
	if len(after) != len(before) {
		t.Error("the repository has other files than before")
	}
	if out.check.Verdict != gate.Pass || out.gate != gate.Pass || !strings.Contains(out.check.Summary, "3.2.1+1") || len(out.check.Subjects) != 10 {
		t.Errorf("evidence %+v, gate %s", out.check, out.gate)
	}
	if r := out.receipt; r["version"] != "3.2.1+1" || r["branch"] != "release/v3.2.1" || len(r["commit"]) != 40 || len(r["tree"]) != 40 {
		t.Errorf("receipt %v", r)
	}

	// git takes the pack, finds nothing wrong, and checks out the same tree.
	bare := filepath.Join(t.TempDir(), "bare")
	git(t, dir, "clone", "-q", "--mirror", "--no-local", dir, bare)
	pack, err := os.Open(out.dirs.Path(Pack))
	must(t, err)
	defer pack.Close()
	take := exec.Command("git", "index-pack", "--stdin", "--strict")
	take.Dir, take.Stdin = bare, pack
	if msg, err := take.CombinedOutput(); err != nil {
		t.Fatalf("git index-pack: %v %s", err, msg)
	}
	commit := out.receipt["commit"]
	git(t, bare, "fsck", "--strict", commit)
	if got, want := git(t, bare, "log", "-1", "--format=%an <%ae> %at|%cn <%ce> %ct|%P|%T|%B|%G?", commit),
		fmt.Sprintf("Release Team <release@example.org> 1751233800|Release Team <release@example.org> 1751233800|%s|%s|Release v3.2.1\n|N", e.Commit, out.receipt["tree"]); got != want {
		t.Errorf("commit %q, want %q", got, want)
	}
	checkout := t.TempDir()
	git(t, bare, "--work-tree="+checkout, "checkout", "-q", "-f", commit, "--", ".")
	if got, want := pipelinetest.Snapshot(t, out.dirs.Path(Source)), pipelinetest.Snapshot(t, checkout); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("checkout %v, want %v", got, want)
	}
	if got := git(t, bare, "diff", "--stat=200", e.Commit, commit); !strings.Contains(got, "2 files changed, 4 insertions(+), 4 deletions(-)") {
		t.Errorf("the commit changes more or less than the stamps:\n%s", got)
	}

	var stamped map[string]string
	text, err := os.ReadFile(filepath.Join(out.dirs.Path(Source), "assets/version.json"))
	must(t, err)
	must(t, json.Unmarshal(text, &stamped))
	if stamped["git_commit"] != e.Commit[:12] || stamped["build_date"] != "2025-06-29T21:50:00Z" || stamped["build_number"] != "1" {
		t.Errorf("stamped %v", stamped)
	}
}

// TestStep_Contract is the engine's own suite for phases.
func TestStep_Contract(t *testing.T) {
	dir := fixture(t, nil)
	pipelinetest.Contract(t, pipelinetest.Subject{
		Env: env(t, dir), Watch: []string{dir},
		Phases:  func() []pipeline.Phase { return []pipeline.Phase{phase{appConfig, dir}} },
		Options: func() pipeline.Options { return pipeline.Options{} },
	})
}

// TestStep_TwoMachines: clones of different shapes in different places make the same artifacts.
func TestStep_TwoMachines(t *testing.T) {
	dir := fixture(t, nil)
	first, err := run(t, appConfig, dir, env(t, dir))
	must(t, err)
	shapes := map[string]func(to string){
		"clone with other settings": func(to string) {
			git(t, dir, "clone", "-q", "--no-local", dir, to)
			git(t, to, "config", "user.name", "Somebody")
			git(t, to, "config", "user.email", "somebody@example.org")
			git(t, to, "config", "commit.gpgsign", "true")
			git(t, to, "config", "core.autocrlf", "true")
			git(t, to, "gc", "-q")
		},
		"added worktree":  func(to string) { git(t, dir, "worktree", "add", "-q", "--detach", to) },
		"shallow clone":   func(to string) { git(t, dir, "clone", "-q", "--depth=1", "file://"+dir, to) },
		"borrowing clone": func(to string) { git(t, dir, "clone", "-q", "--shared", "--no-checkout", dir, to) },
	}
	for name, make := range shapes {
		t.Run(name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "some where", "else")
			must(t, os.MkdirAll(filepath.Dir(to), 0o777))
			make(to)
			t.Setenv("TZ", "Asia/Kathmandu")
			t.Setenv("GIT_AUTHOR_NAME", "Evil")
			t.Setenv("GIT_COMMITTER_DATE", "2001-01-01T00:00:00Z")
			again, err := run(t, appConfig, to, env(t, to))
			must(t, err)
			if fmt.Sprint(again.receipt, again.made, again.check) != fmt.Sprint(first.receipt, first.made, first.check) {
				t.Errorf("%v %v %v\nwant\n%v %v %v", again.receipt, again.made, again.check, first.receipt, first.made, first.check)
			}
		})
	}
}

// TestStep_NoStamps: a repository whose carriers hold nothing of the commit has a release commit too.
func TestStep_NoStamps(t *testing.T) {
	dir := fixture(t, nil)
	e := env(t, dir)
	e.Version = "3.2.1"
	out, err := run(t, Config{Source: "VERSION", Author: "R <r@example.org>"}, dir, e)
	must(t, err)
	if out.receipt["tree"] != git(t, dir, "rev-parse", "HEAD^{tree}") || out.receipt["commit"] == e.Commit || out.check.Verdict != gate.Pass {
		t.Errorf("%v %v", out.receipt, out.check)
	}
}

// TestGate_Version plants the version failures that real releases had, by their numbers in the list of failures: each
// is stopped with a message that names file, line, found and wanted. Without it the same repository passes (TestStep).
func TestGate_Version(t *testing.T) {
	bom := "\ufeff"
	for _, c := range []struct {
		name    string
		changes map[string]string
		why     []string
	}{
		{"012_CarriersDisagree", map[string]string{
			"assets/version.json":        strings.Replace(app["assets/version.json"], "3.2.1", "2.1.1", 1),
			"lib/config/app_config.dart": "const appVersion = '2.1.1';\n",
			"aur-package/PKGBUILD":       "pkgname=x\n# comment\npkgver=2.1.2\n",
		}, []string{
			`assets/version.json:2: version is "2.1.1", wanted "3.2.1"`, `lib/config/app_config.dart:1: version is "2.1.1", wanted "3.2.1"`,
			`aur-package/PKGBUILD:3: version is "2.1.2", wanted "3.2.1"`, "slipway bump 3.2.1+1", "slipway check",
		}},
		{"013_NoSourceOfTruth", map[string]string{"pubspec.yaml": ""}, []string{"the source of truth pubspec.yaml does not exist"}},
		{"066_VersionOfAnotherRelease", map[string]string{"pubspec.yaml": "version: 3.2.0+1\n"}, []string{"pubspec.yaml says version 3.2.0+1", "the plan is for 3.2.1+1"}},
		{"022_Placeholder", map[string]string{"pubspec.yaml": "version: 3.2.1+BUILD_TIME_PLACEHOLDER\n"}, []string{"pubspec.yaml:1:", "placeholder"}},
		{
			"023_ConstantUnset",
			map[string]string{"lib/shared/lib/version.dart": strings.Replace(app["lib/shared/lib/version.dart"], "= 1;", "= BUILD_NUMBER_PLACEHOLDER;", 1)},
			[]string{"lib/shared/lib/version.dart, line 3", "mainAppBuildNumber"},
		},
		{
			"024_BuildNumbersDisagree",
			map[string]string{"assets/version.json": strings.Replace(app["assets/version.json"], `"1"`, `"202506291750"`, 1)},
			[]string{`assets/version.json:3: build number is "202506291750", wanted "1"`},
		},
		{"021_ByteOrderMark", map[string]string{"assets/version.json": bom + app["assets/version.json"]}, []string{"assets/version.json:1: byte order mark"}},
		{"021_ByteOrderMarkInSource", map[string]string{"pubspec.yaml": bom + app["pubspec.yaml"]}, []string{"pubspec.yaml:1: byte order mark"}},
		{
			"067_CarriageReturnInString",
			map[string]string{"assets/version.json": strings.Replace(app["assets/version.json"], "latest", "latest\r", 1)},
			[]string{"assets/version.json, line 5", "byte ", `'\r'`},
		},
		{"010_EmptySRCINFO", map[string]string{"aur-package/.SRCINFO": "\n"}, []string{"aur-package/.SRCINFO", "no version"}},
		{"010_StaleSRCINFO", map[string]string{"aur-package/.SRCINFO": "pkgbase = x\n\tpkgver = 2.0.0.r1\n"}, []string{`aur-package/.SRCINFO:2: version is "2.0.0.r1"`}},
		{"052_ControlOfSizes", map[string]string{"deb/DEBIAN/control": "Installed-Size: 1\nInstalled-Size: 1\n"}, []string{"deb/DEBIAN/control", "no version"}},
		{"052_ControlVersion", map[string]string{"deb/DEBIAN/control": "Version: 3.2.0-1\n"}, []string{`deb/DEBIAN/control:1: version is "3.2.0", wanted "3.2.1"`}},
		{"055_HardCoded", map[string]string{"installers/app.iss": "#define MyAppVersion \"2.0.0\"\r\n"}, []string{`installers/app.iss:1: version is "2.0.0"`}},
		{"CarrierMissing", map[string]string{"VERSION": ""}, []string{"the carrier VERSION does not exist", "release.yaml"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := fixture(t, c.changes)
			out, err := run(t, appConfig, dir, env(t, dir))
			if err == nil {
				t.Fatal("it went through")
			}
			for _, why := range c.why {
				if !strings.Contains(err.Error(), why) {
					t.Errorf("%v does not say %q", err, why)
				}
			}
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("the error is not one line: %q", err)
			}
			if out.gate == gate.Pass {
				t.Error("the gate passes")
			}
			for _, name := range []string{Source, Pack} {
				if _, err := os.Lstat(out.dirs.Path(name)); err == nil {
					t.Errorf("%s is there", name)
				}
			}
		})
	}
}

func TestGate_061_Gitlink(t *testing.T) {
	dir := fixture(t, nil)
	git(t, dir, "update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("12", 20)+",aur-repo")
	git(t, dir, "commit", "-q", "-m", "orphan")
	if _, err := run(t, appConfig, dir, env(t, dir)); err == nil || !strings.Contains(err.Error(), `"aur-repo" is a submodule`) {
		t.Errorf("%v", err)
	}
}

func TestStep_Refused(t *testing.T) {
	dir := fixture(t, nil)
	e := env(t, dir)
	e.Time = e.Time.Add(time.Second)
	if _, err := run(t, appConfig, dir, e); err == nil || !strings.Contains(err.Error(), "the plan says") {
		t.Errorf("another time: %v", err)
	}
	e = env(t, dir)
	e.Commit = strings.Repeat("12", 20)
	if _, err := run(t, appConfig, dir, e); err == nil || !strings.Contains(err.Error(), "cannot read commit") {
		t.Errorf("another commit: %v", err)
	}
	if _, err := run(t, appConfig, t.TempDir(), env(t, dir)); err == nil || !strings.Contains(err.Error(), "git init") {
		t.Errorf("no repository: %v", err)
	}
	must(t, os.Remove(filepath.Join(dir, "VERSION")))
	must(t, os.Symlink("run.sh", filepath.Join(dir, "VERSION")))
	git(t, dir, "commit", "-q", "-a", "-m", "link")
	if _, err := run(t, appConfig, dir, env(t, dir)); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a carrier that is a link: %v", err)
	}
}

func TestConfig_Validate(t *testing.T) {
	const author = "R <r@example.org>"
	must(t, appConfig.Validate())
	for _, c := range []struct {
		cfg Config
		why string
	}{
		{Config{Author: author}, "no source"},
		{Config{Source: "README.md", Author: author}, "form is not known"},
		{Config{Source: "../VERSION", Author: author}, "not the path"},
		{Config{Source: "/VERSION", Author: author}, "not the path"},
		{Config{Source: "a\n/VERSION", Author: author}, "not the path"},
		{Config{Source: `a\VERSION`, Author: author}, "not the path"},
		{Config{Source: ".git/VERSION", Author: author}, "git's own"},
		{Config{Source: "x/.GIT/VERSION", Author: author}, "git's own"},
		{Config{Source: "VERSION", Carriers: []string{"VERSION"}, Author: author}, "twice"},
		{Config{Source: "VERSION", Carriers: []string{""}, Author: author}, "a carrier has no name"},
		{Config{Source: "VERSION"}, "Name <mail>"},
		{Config{Source: "VERSION", Author: "x <a@b>\ncommitter y"}, "Name <mail>"},
	} {
		if err := c.cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%+v: %v; want an error with %q", c.cfg, err, c.why)
		}
		if _, err := Steps(c.cfg, &pipeline.Env{Version: "1.0.0"}, "."); err == nil {
			t.Errorf("%+v can be planned", c.cfg)
		}
	}
	if _, err := Steps(appConfig, &pipeline.Env{Version: "v1"}, "."); err == nil {
		t.Error("a version that is none can be planned")
	}
}

// TestSteps_Params: whatever decides the outcome is in the Spec, so that changing it makes the step again.
func TestSteps_Params(t *testing.T) {
	spec := func(cfg Config, e pipeline.Env, dir string) string {
		steps, err := Steps(cfg, &e, dir)
		must(t, err)
		return gate.Sum(steps[0].Spec())
	}
	cfg, e := Config{Source: "VERSION", Carriers: []string{"a/VERSION"}, Author: "R <r@example.org>"}, pipeline.Env{Version: "1.0.0", Commit: "c"}
	seen := []string{spec(cfg, e, "/a")}
	if spec(cfg, e, "/b") != seen[0] {
		t.Error("the repository's place is in the Spec")
	}
	for _, change := range []func(*Config, *pipeline.Env){
		func(c *Config, _ *pipeline.Env) { c.Source = "b/VERSION" },
		func(c *Config, _ *pipeline.Env) { c.Carriers = nil },
		func(c *Config, _ *pipeline.Env) { c.Author = "S <r@example.org>" },
		func(_ *Config, e *pipeline.Env) { e.Version = "1.0.0+1" },
		func(_ *Config, e *pipeline.Env) { e.Commit = "d" },
	} {
		c, e := cfg, e
		change(&c, &e)
		if got := spec(c, e, "/a"); slices.Contains(seen, got) {
			t.Errorf("%+v, %+v has the Spec of another", c, e)
		} else {
			seen = append(seen, got)
		}
	}
}

// TestEvidence plants faults in a finished checkout: the check must not believe what was meant to be written.
func TestEvidence(t *testing.T) {
	v, err := version.Parse("3.2.1+1")
	must(t, err)
	stamp := carrier.Stamp{BuildDate: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), Commit: "0123456789ab"}
	s := &step{cfg: appConfig}
	good := map[string]string{
		"assets/version.json":         strings.Replace(app["assets/version.json"], "latest", stamp.Commit, 1),
		"lib/shared/lib/version.dart": strings.NewReplacer("BUILD_TIME_PLACEHOLDER", "2025-01-01T00:00:00Z", "unknown", stamp.Commit).Replace(app["lib/shared/lib/version.dart"]),
	}
	for _, c := range []struct {
		name, file, text string
		verdict          gate.Verdict
		found            string
	}{
		{"as it should be", "", "", gate.Pass, "3.2.1+1 in pubspec.yaml"},
		{"version", "VERSION", "3.2.0\n", gate.Fail, `VERSION:1: version is "3.2.0", wanted "3.2.1"`},
		{"source", "pubspec.yaml", "version: 3.2.0+1\n", gate.Fail, `pubspec.yaml:1: version is "3.2.0+1", wanted "3.2.1+1"`},
		{"stamp", "assets/version.json", app["assets/version.json"], gate.Fail, `commit is "latest", wanted "0123456789ab"`},
		{"unreadable form", "aur-package/PKGBUILD", "pkgver=$(x)", gate.Fail, "computed"},
		{"missing", "aur-package/PKGBUILD", "", gate.Unknown, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := t.TempDir()
			write(t, tree, app)
			write(t, tree, good)
			if c.text != "" {
				write(t, tree, map[string]string{c.file: c.text})
			} else if c.file != "" {
				must(t, os.Remove(filepath.Join(tree, c.file)))
			}
			e := s.evidence(tree, v, stamp)
			if e.Verdict != c.verdict || !strings.Contains(e.Found, c.found) || e.Summary == "" || e.Check != Check {
				t.Errorf("%+v", e)
			}
			if (e.Found == e.Expected) != (e.Verdict == gate.Pass) {
				t.Errorf("found %q, expected %q, %s", e.Found, e.Expected, e.Verdict)
			}
		})
	}
}
