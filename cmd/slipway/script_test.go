package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/imrightguy/slipway/cmd/slipway/internal/cli"
	"github.com/imrightguy/slipway/cmd/slipway/internal/crash"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline/journal"
)

func TestMain(m *testing.M) {
	testscript.Main(cleaning{m}, map[string]func(){"slipway": func() {
		p := process()
		p.Journal, p.World = crash.Journal, worldOf
		os.Exit(cli.Main(p))
	}})
}

// cleaning removes the programs that tests have built for all of them, when the last one has ended.
type cleaning struct{ *testing.M }

func (m cleaning) Run() int {
	code := m.M.Run()
	for _, name := range []string{"crashtest", "fixture"} {
		_ = os.Remove(filepath.Join(os.TempDir(), fmt.Sprintf("slipway-%s-%d", name, os.Getpid())))
	}
	return code
}

// scripts holds the stories. It is absolute, since stories change folders.
var scripts = func() string {
	dir, err := filepath.Abs(filepath.Join("..", "..", "testdata", "script"))
	if err != nil {
		panic(err)
	}
	return dir
}()

// The stories: each begins with what a user wanted. -testwork keeps their folders.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 scripts,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("GOLDEN") != "",
		Setup:               setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "need": need, "repo": repo, "commit": commit, "lock": lock, "tmpfs": tmpfs, "readonly": readonly,
			"jsonlines": jsonLines, "same": same, "approvers": approvers, "absent": absent, "hello": hello, "listen": listen, "fixture": fixture,
			"twins": twins, "draft": draft,
		},
	})
}

// setup gives a story an environment that has nothing of the machine: no identity, no settings of git, no agent.
func setup(env *testscript.Env) error {
	env.Values[theTest{}] = env.T()
	env.Values[theTwins{}] = map[string]*phases.Rehearsal{}
	for _, kv := range [][2]string{
		{"HOME", filepath.Join(env.WorkDir, "home")},
		{"GIT_CONFIG_NOSYSTEM", "1"},
		{"GIT_CONFIG_GLOBAL", os.DevNull},
		{"LANG", "C.UTF-8"},
		{"LC_ALL", ""},
		{"TERM", "dumb"},
		{"SSH_AUTH_SOCK", ""},
		{"GITHUB_ACTIONS", ""},
		{"NO_COLOR", ""},
		{"TZ", "UTC"},
		{"KEYS", filepath.Join(scripts, "..", "keys")},
		{crash.Variable, ""},
		{staged, ""},
		{"GORACE", "atexit_sleep_ms=0"}, // without it the race detector makes every program wait a second at its end
	} {
		env.Setenv(kv[0], kv[1])
	}
	return os.MkdirAll(filepath.Join(env.WorkDir, "home"), 0o755)
}

// exits CODE COMMAND [ARGS...] runs a command that ends with this exit code. "killed" is the code of one that was.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGS...]")
	}
	want := -1
	if args[0] != "killed" {
		var err error
		want, err = strconv.Atoi(args[0])
		ts.Check(err)
	}
	got := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s ended with exit code %d, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}

// need TOOL... skips the story where a tool is missing; where CI=true it fails.
func need(ts *testscript.TestScript, neg bool, args []string) {
	for _, tool := range args {
		if _, err := exec.LookPath(tool); err != nil {
			lacking(ts, fmt.Sprintf("needs %s: %v", tool, err))
		}
	}
}

// lacking skips the story, or fails it where CI=true.
func lacking(ts *testscript.TestScript, why string) {
	if os.Getenv("CI") == "true" {
		ts.Fatalf("%s", why)
	}
	ts.Value(theTest{}).(testscript.T).Skip(why)
}

type theTest struct{}

// commitTime is when all commits of stories are made.
const commitTime = "2026-01-02T03:04:05Z"

func git(ts *testscript.TestScript, dir string, args ...string) string {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	for _, kv := range []string{"HOME", "PATH", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_GLOBAL"} {
		cmd.Env = append(cmd.Env, kv+"="+ts.Getenv(kv))
	}
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		cmd.Env = append(cmd.Env, "GIT_"+who+"_NAME=A U Thor", "GIT_"+who+"_EMAIL=author@example.org", "GIT_"+who+"_DATE="+commitTime)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		ts.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// hello DIR [FILE...] lays out the small project that the stories release, with the files added to its release.yaml.
func hello(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.CopyFS(dir, os.DirFS(filepath.Join(scripts, "hello"))))
	for _, file := range args[1:] {
		appendTo(ts, filepath.Join(dir, "release.yaml"), ts.ReadFile(file))
	}
}

func appendTo(ts *testscript.TestScript, path, text string) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	ts.Check(err)
	_, err = f.WriteString(text)
	ts.Check(errors.Join(err, f.Close()))
}

// repo DIR makes a git repository of a folder, with all that is in it in one commit.
func repo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: repo DIR")
	}
	dir := ts.MkAbs(args[0])
	git(ts, dir, "init", "-q", "-b", "main")
	commit(ts, false, []string{args[0], "Begin"})
}

// commit DIR MESSAGE commits all that is in a folder.
func commit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: commit DIR MESSAGE")
	}
	dir := ts.MkAbs(args[0])
	git(ts, dir, "add", "-A")
	git(ts, dir, "commit", "-q", "--allow-empty", "-m", args[1])
}

// lock DIR holds the lock of a journal until the story ends.
func lock(ts *testscript.TestScript, neg bool, args []string) {
	j, err := journal.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Defer(func() { j.Close() })
}

// jsonlines FILE demands that every line of a file, stdout or stderr is a JSON object.
func jsonLines(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile(args[0])
	if text == "" {
		ts.Fatalf("%s is empty", args[0])
	}
	for line := range strings.Lines(text) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			ts.Fatalf("%s: %v in %q", args[0], err, line)
		}
	}
}

// same DIR1 DIR2 demands that two folders hold the same files with the same contents.
func same(ts *testscript.TestScript, neg bool, args []string) {
	read := func(dir string) map[string][]byte {
		files := map[string][]byte{}
		ts.Check(filepath.WalkDir(ts.MkAbs(dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(ts.MkAbs(dir), path)
			if err == nil {
				files[rel], err = os.ReadFile(path)
			}
			return err
		}))
		return files
	}
	a, b := read(args[0]), read(args[1])
	if len(a) == 0 {
		ts.Fatalf("%s is empty", args[0])
	}
	for name := range a {
		if !bytes.Equal(a[name], b[name]) {
			ts.Fatalf("%s differs in %s", name, args[1])
		}
	}
	if len(a) != len(b) {
		ts.Fatalf("%s has %d files, %s has %d", args[0], len(a), args[1], len(b))
	}
}

// approvers RELEASE.YAML ROLE=KEY.pub... makes keys and adds their owners to a configuration as approvers.
func approvers(ts *testscript.TestScript, neg bool, args []string) {
	text := "approvers:\n"
	for _, arg := range args[1:] {
		role, key, ok := strings.Cut(arg, "=")
		if !ok {
			ts.Fatalf("usage: approvers FILE ROLE=KEY...")
		}
		path := ts.MkAbs(key)
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", filepath.Base(key), "-f", path).CombinedOutput(); err != nil {
			ts.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
		public, err := os.ReadFile(path + ".pub")
		ts.Check(err)
		text += fmt.Sprintf("  %s: [%q]\n", role, strings.TrimSpace(string(public)))
	}
	appendTo(ts, ts.MkAbs(args[0]), text)
}

// absent GLOB... demands that nothing of that name is there, hidden files included.
func absent(ts *testscript.TestScript, neg bool, args []string) {
	for _, pattern := range args {
		found, err := filepath.Glob(ts.MkAbs(pattern))
		ts.Check(err)
		if len(found) > 0 {
			ts.Fatalf("found %s", strings.Join(found, ", "))
		}
	}
}

// listen VARIABLE serves something on a port of the loopback interface until the story ends.
func listen(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	ts.Defer(func() { _ = server.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Setenv(args[0], port)
}

// makeFixture builds the program that makes the first user's repository, once.
var makeFixture = sync.OnceValues(func() (string, error) {
	root := filepath.Join(scripts, "..", "..")
	program := filepath.Join(os.TempDir(), fmt.Sprintf("slipway-fixture-%d", os.Getpid()))
	cmd := exec.Command("go", "build", "-o", program, "./phases/internal/fixture/make")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build the fixture's maker: %w\n%s", err, out)
	}
	return program, nil
})

// fixture DIR [VARIANT] makes the first user's repository with a small payload and no judges, and puts the stand-in for
// flutter first in PATH.
func fixture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: fixture DIR [VARIANT]")
	}
	program, err := makeFixture()
	ts.Check(err)
	cmd := exec.Command(program, append([]string{"-payload", "200000", "-no-judges", ts.MkAbs(args[0])}, args[1:]...)...)
	cmd.Dir = scripts
	if out, err := cmd.CombinedOutput(); err != nil {
		ts.Fatalf("cannot make the fixture: %v\n%s", err, out)
	}
	bin, err := filepath.Abs(filepath.Join(scripts, "..", "bin"))
	ts.Check(err)
	ts.Setenv("PATH", bin+string(filepath.ListSeparator)+ts.Getenv("PATH"))
}

// tmpfs DIR SIZE puts a small file system at a folder, until the story ends.
func tmpfs(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	mount(ts, dir, "-t", "tmpfs", "-o", "size="+args[1], "none", dir)
}

// readonly DIR makes a folder read-only, for root too, until the story ends.
func readonly(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	mount(ts, dir, "--bind", dir, dir)
	if out, err := exec.Command("mount", "-o", "remount,ro,bind", dir).CombinedOutput(); err != nil {
		ts.Fatalf("cannot make %s read-only: %v\n%s", dir, err, out)
	}
}

func mount(ts *testscript.TestScript, dir string, args ...string) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		lacking(ts, "mounting needs Linux and root")
	}
	if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
		lacking(ts, fmt.Sprintf("cannot mount: %v: %s", err, out))
	}
	ts.Defer(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			ts.Logf("cannot unmount %s: %v: %s", dir, err, out)
		}
	})
}
