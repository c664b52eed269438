package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// What the proofs of the phases release and aur have in common: a small project whose build is done once and copied for
// each trial, a staged world for each, and what must hold of the world in the end.

const (
	owner, project = "example", "hello"
	released       = "0.1.0"
	tagName        = "v" + released
	tagRef         = "refs/tags/" + tagName
	aurName        = "hello-bin"
)

const releaseKeys = `
  - name: hello-bin
    format: aur
    from: hello
    maintainer: Ada <ada@example.org>
    license: MIT
    homepage: https://example.org/hello
    description: Program that greets
    url: https://github.com/example/hello/releases/download/v{{ .Version }}/
release:
  git: {merge_into: main%s}
  github: {owner: example, repo: hello, extra: [LICENSE]}
`

const aurKeys = "aur:\n  hello-bin: {key_file: AUR_KEY_FILE, remote: 'ssh://aur@aur.archlinux.org/hello-bin.git'}\n"

// variant says which project is released.
type variant struct {
	ssh  bool // the git remote is reached over ssh, else over https
	aur  bool // the package is published in the AUR
	sign bool // commits and tags are signed with an ssh key
}

func (v variant) String() string {
	name := "https"
	if v.ssh {
		name = "ssh"
	}
	if v.aur {
		name += "+aur"
	}
	return name
}

// crashtest builds the program with what only tests have, once: see package crash.
var crashtest = sync.OnceValues(func() (string, error) {
	program := filepath.Join(os.TempDir(), fmt.Sprintf("slipway-crashtest-%d", os.Getpid()))
	out, err := exec.Command("go", "build", "-tags", "crashtest", "-ldflags=-s -w", "-o", program, ".").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return program, err
})

// template is a repository whose release has got so far, to be copied.
type template struct {
	dir    string
	config *phases.Config
	base   phases.Commit
	repo   *phases.Repository
}

// newTemplate makes the repository and runs its build phase, where no key is needed for that.
func newTemplate(t *testing.T, v variant) *template {
	t.Helper()
	dir := filepath.Join(t.TempDir(), project)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(scripts, "hello"))); err != nil {
		t.Fatal(err)
	}
	remote := ""
	if v.ssh {
		remote = ", remote: 'git@github.com:example/hello.git', key_file: GIT_KEY_FILE"
	}
	file := filepath.Join(dir, "release.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = append(bytes.TrimRight(text, "\n"), fmt.Sprintf(releaseKeys, remote)...)
	if v.aur {
		text = append(text, aurKeys...)
	}
	if v.sign {
		text = append(text, "sign: {format: ssh, key_file: SIGN_KEY_FILE}\n"...)
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "feat: greet"}} {
		gitIn(t, dir, args...)
	}
	out := &template{dir: dir}
	out.open(t)
	if v.sign { // with the world's key
		return out
	}
	if code, said := (&trial{t: t, dir: dir}).slipway("run", "--phase", "build"); code != 0 {
		t.Fatalf("exit code %d: %s", code, said)
	}
	return out
}

func (x *template) open(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(x.dir, "release.yaml"))
	if err == nil {
		x.config, err = phases.Load("release.yaml", text)
	}
	if err == nil {
		err = x.config.Validate()
	}
	if err == nil {
		x.repo, err = phases.OpenRepository(x.dir)
	}
	if err == nil {
		x.base, err = x.repo.Head()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// gitIn runs the git program in a folder, without anything of the machine.
func gitIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull}
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		cmd.Env = append(cmd.Env, "GIT_"+who+"_NAME=A U Thor", "GIT_"+who+"_EMAIL=author@example.org", "GIT_"+who+"_DATE="+commitTime)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// stage is a staged world.
type stage struct {
	*phases.Rehearsal
	t    *testing.T
	dir  string
	file string // what a program is told of the twins
	Map  phases.TwinMap

	mu       sync.Mutex
	on       func(moment string, op any) // see operation
	seen     []string                    // "github arrived #1 GET api /...", "git arrived #1 upload-pack /...", "aur arrived #1 rpc /rpc..."
	baseline phases.Commit
}

// operation is what a hook of a twin is told: the moments are like "github arrived" and "aur handled", each operation of
// a twin is counted from 1.
func (s *stage) operation(twin, moment string, op any) {
	v := reflect.ValueOf(op)
	s.mu.Lock()
	n, known := int(v.FieldByName("Seq").Int()), ""
	for _, name := range []string{"Method", "Host", "Kind", "Service", "Path"} { // what each twin has of these
		if f := v.FieldByName(name); f.IsValid() {
			known += f.String() + " "
		}
	}
	what := fmt.Sprintf("%s %s #%d", twin, moment, n)
	s.seen = append(s.seen, what+" "+known)
	on := s.on
	s.mu.Unlock()
	if on != nil {
		on(what, op)
	}
}

// hear sets a hook of a twin, whose type of operations no other package can name.
func hear[T any](s *stage, hook *func(T), twin, moment string) {
	*hook = func(op T) { s.operation(twin, moment, op) }
}

// newStage stages the world that the template's release goes out to.
func newStage(t *testing.T, x *template, faults ...string) *stage {
	t.Helper()
	return stageOf(t, x, x.config, faults...)
}

// stageOf stages what a configuration asks for.
func stageOf(t *testing.T, x *template, c *phases.Config, faults ...string) *stage {
	t.Helper()
	return stageWith(t, x, func(o *phases.RehearsalOptions) { o.Config, o.Faults = c, faults })
}

// stageWith stages what a template's configuration asks for, and listens to all twins.
func stageWith(t *testing.T, x *template, change ...func(*phases.RehearsalOptions)) *stage {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir(), baseline: x.base}
	o := phases.RehearsalOptions{Config: x.config, Repository: x.repo, Base: x.base, Version: released, Dir: s.dir}
	hear(s, &o.Twins.GitHubArrived, "github", "arrived")
	hear(s, &o.Twins.GitHubHandled, "github", "handled")
	hear(s, &o.Twins.GitArrived, "git", "arrived")
	hear(s, &o.Twins.GitHandled, "git", "handled")
	hear(s, &o.Twins.AURArrived, "aur", "arrived")
	hear(s, &o.Twins.AURHandled, "aur", "handled")
	for _, f := range change {
		f(&o)
	}
	var err error
	if s.Rehearsal, err = phases.Rehearse(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.Map = s.World().Map
	s.file = filepath.Join(s.dir, "twins.json")
	s.tell()
	return s
}

// tell writes down where the twins are.
func (s *stage) tell() {
	s.t.Helper()
	b, err := json.Marshal(s.Map)
	if err == nil {
		err = os.WriteFile(s.file, b, 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// plan sets the faults of a twin, whose type no other package can name.
func plan[F any, P interface {
	*F
	encoding.TextUnmarshaler
}](set func([]F) error, lines ...string) error {
	list := make([]F, len(lines))
	for i, line := range lines {
		if err := P(&list[i]).UnmarshalText([]byte(line)); err != nil {
			return err
		}
	}
	return set(list)
}

// faults plans faults, given as "TWIN/LINE"; none ends all that are planned.
func (s *stage) faults(list ...string) {
	s.t.Helper()
	by := map[string][]string{}
	for _, f := range list {
		twin, line, _ := strings.Cut(f, "/")
		by[twin] = append(by[twin], line)
	}
	w := s.World()
	var errs []error
	if w.GitHub != nil {
		errs = append(errs, plan(w.GitHub.SetFaults, by["github"]...), plan(w.Git.SetFaults, by["git"]...))
	}
	if w.AUR != nil {
		errs = append(errs, plan(w.AUR.SetFaults, by["aur"]...))
	}
	if err := errors.Join(errs...); err != nil {
		s.t.Fatalf("%q: %v", list, err)
	}
}

// trial is a clone of a release manager, with a program that works in it.
type trial struct {
	t     *testing.T
	dir   string
	twins string   // file
	env   []string // more of the program's environment
}

// trial copies the template, for a program that reaches the staged world.
func (s *stage) trial(x *template) *trial {
	s.t.Helper()
	dir := filepath.Join(s.t.TempDir(), project)
	if out, err := exec.CommandContext(s.t.Context(), "cp", "-a", x.dir, dir).CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	return &trial{t: s.t, dir: dir, twins: s.file}
}

// child is a program under way.
type child struct {
	*exec.Cmd
	out  bytes.Buffer
	done chan struct{}
}

// start begins a program.
func (x *trial) start(args ...string) *child {
	x.t.Helper()
	program, err := crashtest()
	if err != nil {
		x.t.Fatal(err)
	}
	c := &child{Cmd: exec.CommandContext(x.t.Context(), program, append([]string{"-C", x.dir}, args...)...), done: make(chan struct{})}
	c.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(x.dir), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "TZ=UTC",
		"LANG=C.UTF-8", "TERM=dumb", "NO_COLOR=1", "TMPDIR=" + os.TempDir(), "SLIPWAY_TWINS=" + x.twins,
	}, x.env...)
	c.Stdout, c.Stderr = &c.out, &c.out
	if err := c.Start(); err != nil {
		x.t.Fatal(err)
	}
	return c
}

// wait waits for the end: the exit code, -1 where the program was killed.
func (c *child) wait() int {
	_ = c.Wait() // whatever it is, the state tells it
	close(c.done)
	return c.ProcessState.ExitCode()
}

// kill ends the program as a power cut would, and returns when nothing of it runs any more.
func (c *child) kill() {
	_ = c.Process.Kill()
	select {
	case <-c.done:
	case <-time.After(10 * time.Second):
	}
}

// slipway runs the program to its end.
func (x *trial) slipway(args ...string) (code int, said string) {
	x.t.Helper()
	c := x.start(args...)
	code = c.wait()
	return code, c.out.String()
}

// run runs the release to where it stops. Whatever the world did, the program ends in good order.
func (x *trial) run() (code int, said string) {
	x.t.Helper()
	code, said = x.slipway("run", "--yes", "--jobs", "2")
	x.orderly(code, said)
	return code, said
}

// orderly demands what holds of every end: a known exit code, and of an error a line that says so, and no stack.
func (x *trial) orderly(code int, said string) {
	x.t.Helper()
	if !slices.Contains([]int{0, 1, 3, 5, 6}, code) || code != 0 && !strings.Contains(said, "error: ") ||
		strings.Contains(said, "panic") || strings.Contains(said, "goroutine ") || strings.Contains(said, ".go:") {
		x.t.Errorf("exit code %d:\n%s", code, said)
	}
}

// ends demands that the next run takes the release to its end, and that another one has nothing to do.
func (x *trial) ends() {
	x.t.Helper()
	if code, said := x.run(); code != 0 {
		x.t.Fatalf("exit code %d:\n%s", code, said)
	}
	records := len(x.records())
	if code, text := x.run(); code != 0 || !strings.Contains(text, "nothing to do") {
		x.t.Errorf("another run: %d\n%s", code, text)
	}
	if more := len(x.records()) - records; more > 0 {
		x.t.Errorf("another run wrote %d records", more)
	}
	if left, err := filepath.Glob(filepath.Join(x.dir, ".slipway/*/work/.tmp/*")); err != nil || len(left) > 0 {
		x.t.Errorf("left behind: %v %v", left, err)
	}
}

func (x *trial) records() []pipeline.Record {
	x.t.Helper()
	return journalOf(x.t, x.dir)
}

// journalDir is where the journal lies.
func (x *trial) journalDir() string { return filepath.Join(x.dir, ".slipway", released) }

// receipt is what a step's last record says.
func (x *trial) receipt(step string) (r pipeline.Receipt) {
	for rec, err := range journal.Read(x.journalDir()).Records() {
		if err != nil {
			x.t.Fatal(err)
		}
		if rec.Step == step && rec.Event == pipeline.Done {
			r = rec.Receipt
		}
	}
	return r
}

// digests maps the files of a folder to their SHA-256.
func digests(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.IsDir() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = fmt.Sprintf("%x", sha256.Sum256(b))
	}
	return out
}

// assets are those that the release should have.
func (x *trial) assets() map[string]string {
	x.t.Helper()
	want := digests(x.t, filepath.Join(x.dir, "dist", released))
	delete(want, "notes.md")
	want["LICENSE"] = digests(x.t, x.dir)["LICENSE"]
	if len(want) != 4 {
		x.t.Fatalf("assets %v", want)
	}
	return want
}

// sorted are the keys and values of a map, for messages.
func sorted[K cmp.Ordered, V any](m map[K]V) (out []string) {
	for k, v := range m {
		out = append(out, fmt.Sprint(k, "=", v))
	}
	slices.Sort(out)
	return out
}

// needTools leaves the test out where a tool is missing; where CI=true it fails.
func needTools(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("needs %s: %v", tool, err)
			}
			t.Skipf("needs %s: %v", tool, err)
		}
	}
}
