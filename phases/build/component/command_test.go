package component

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/archive"
)

// TestMain makes the test program itself a program that builders run, for what a shell script cannot do.
func TestMain(m *testing.M) {
	if os.Getenv("COMPONENT_TEST_SOCKET") != "" {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: "dist/socket", Net: "unix"})
		if err == nil {
			l.SetUnlinkOnClose(false)
			err = l.Close()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// script is a repository with one program, scripts/build.
func script(lines string) map[string]string {
	return map[string]string{"scripts/build": "#!/bin/sh\nset -eu\n" + lines + "\n", "data/a": "a\n", "data/link": "-> a", "VERSION": "1.2.3+4\n"}
}

func run(args ...string) Config {
	return Config{Builder: Command, Command: append([]string{"scripts/build"}, args...), Output: "dist"}
}

// listing builds, and lists what was made.
func listing(t *testing.T, cfg Config, content map[string]string) string {
	t.Helper()
	dirs, err := build(t, t.TempDir(), cfg, content)
	must(t, err)
	entries, err := archive.Tree(dirs.Path(Artifact("demo", "amd64")))
	must(t, err)
	return archive.Listing(entries)
}

// fails builds what must fail with errors that say all that is wanted, and sees to it that nothing is left and nothing
// of an earlier success is lost.
func fails(t *testing.T, cfg Config, content map[string]string, want ...string) string {
	t.Helper()
	dirs, err := build(t, t.TempDir(), cfg, content)
	if err == nil {
		t.Fatal("it did not fail")
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got %v\nwant %q", err, w)
		}
	}
	if _, err := os.Lstat(dirs.Path(Artifact("demo", "amd64"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something is left under the final name: %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(dirs.Work, ".tmp", "*", "*"))
	if len(left) > 0 {
		t.Errorf("left %q", left)
	}
	return err.Error()
}

func TestCommand(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg   Config
		lines string
		want  string
	}{
		"folder":     {run(), `mkdir -p dist/sub; cp data/a dist/sub/; ln -s sub/a dist/link; printf 123 >dist/build; chmod +x dist/build`, "file   0755         3 build\nlink   0777         0 link -> sub/a\nfolder 0755         0 sub\nfile   0644         2 sub/a\n"},
		"file":       {Config{Builder: Command, Command: []string{"./scripts/build"}, Output: "dist/one"}, `mkdir dist; echo 1 >dist/one; chmod 711 dist/one; echo 2 >dist/two`, "file   0755         2 one\n"},
		"arguments":  {run("$(reboot)", "a b", "`x`", "-c", "{{ .Version }} {{ .Arch }} {{ .Project }}", ""), `mkdir dist; printf '%s|' "$@" >dist/args; test "$(cat dist/args)" = '$(reboot)|a b|` + "`x`" + `|-c|1.2.3 amd64 demo||'; rm dist/args; >dist/ok`, "file   0644         0 ok\n"},
		"strange":    {run(), `mkdir dist; >"dist/a b"; >"dist/\$(x)'\"\` + "`" + `"; >dist/ünïcödé; >dist/-rf`, "file   0644         0 $(x)'\"`\nfile   0644         0 -rf\nfile   0644         0 a b\nfile   0644         0 ünïcödé\n"},
		"link to it": {run(), `mkdir -p real; >real/x; ln -s real dist`, "file   0644         0 x\n"},
		"elsewhere":  {run(), `mkdir dist; >dist/x; rm -rf data VERSION; echo evil >scripts/build; >"$HOME/x"; >"$TMPDIR/x"; >../x`, "file   0644         0 x\n"},
		"umask":      {run(), `umask 077; mkdir dist; >dist/x`, "file   0644         0 x\n"},
		"no git":     {run(), `mkdir dist; >dist/x; if git rev-parse --show-toplevel; then exit 9; fi`, "file   0644         0 x\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := script(c.lines)
			if got := listing(t, c.cfg, content); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

// TestCommand_Environment: what a command sees is written out, and nothing of the caller's comes through unasked.
func TestCommand_Environment(t *testing.T) {
	for name, value := range map[string]string{"CALLERS": "1", "WANTED": "two words", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Tokyo", "HOME": "/nowhere/at/all", "EMPTY": ""} {
		t.Setenv(name, value)
	}
	content := script(`mkdir dist; env | cut -d= -f1 | sort | tr '\n' ' ' >dist/names
test "$HOME" != /nowhere/at/all; test -d "$HOME"; test -d "$TMPDIR"
echo "$FIXED $WANTED $LC_ALL $TZ $SOURCE_DATE_EPOCH" >dist/values
find . -newermt @1000000001 ! -path './dist*' ! -path . >dist/times
find . ! -newermt @999999999 >>dist/times
ls -l scripts/build VERSION | cut -c1-10 >dist/modes`)
	cfg := run()
	cfg.Env, cfg.Pass = map[string]string{"FIXED": "$(x) {{ .Version }}", "TZ": "Europe/Rome"}, []string{"WANTED", "EMPTY", "NOT_SET"}
	dirs, err := build(t, t.TempDir(), cfg, content)
	must(t, err)
	for file, want := range map[string]string{
		"names":  "EMPTY FIXED GIT_CEILING_DIRECTORIES HOME LC_ALL PATH PWD SOURCE_DATE_EPOCH TEMP TMP TMPDIR TZ WANTED ",
		"values": "$(x) 1.2.3 two words C.UTF-8 Europe/Rome 1000000000\n",
		"times":  "",
		"modes":  "-rw-r--r--\n-rwxr-xr-x\n",
	} {
		got, err := os.ReadFile(filepath.Join(dirs.Path(Artifact("demo", "amd64")), file))
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, want %q, %v", file, got, want, err)
		}
	}
	cfg = run()
	cfg.Pass = []string{"HOME"}
	if got := listing(t, cfg, script(`mkdir dist; test "$HOME" = /nowhere/at/all; >dist/x`)); got != "file   0644         0 x\n" {
		t.Errorf("HOME was not passed: %s", got)
	}
}

func TestCommand_Fails(t *testing.T) {
	const secret = "hunter22hunter22"
	t.Setenv("PRIVATE_THING", secret)
	for name, c := range map[string]struct {
		lines string
		edit  func(*Config)
		want  []string
	}{
		"status":          {`echo before; echo why >&2; exit 7`, nil, []string{"build/component/demo/amd64: build ended with status 7", "before\nwhy"}},
		"secret":          {`echo "the key is $PRIVATE_THING" >&2; exit 1`, func(c *Config) { c.Pass = []string{"PRIVATE_THING"} }, []string{"the key is [hidden]"}},
		"secret name":     {`mkdir dist; ln -s "/$PRIVATE_THING" dist/x`, func(c *Config) { c.Pass = []string{"PRIVATE_THING"} }, []string{"[hidden]"}},
		"hangs":           {`sleep 300 & sleep 300`, func(c *Config) { c.Timeout = Duration(300 * time.Millisecond) }, []string{"build was killed after 300ms"}},
		"nothing":         {`:`, nil, []string{`build ended well, but it made nothing at "dist"`}},
		"empty folder":    {`mkdir dist`, nil, []string{`it left the folder "dist" empty`}},
		"through a file":  {`>dist`, func(c *Config) { c.Output = "dist/x" }, []string{`cannot take "dist/x"`}},
		"pipe":            {`mkdir dist; mkfifo dist/pipe`, nil, []string{`"pipe" is neither file, folder nor link`}},
		"pipe itself":     {`mkfifo dist`, nil, []string{`it made "dist", which is neither file nor folder`}},
		"absolute link":   {`mkdir dist; ln -s /etc/passwd dist/x`, nil, []string{`link "x" points to "/etc/passwd"; want a target relative`}},
		"link out":        {`mkdir dist; ln -s ../data/a dist/x`, nil, []string{`link "x" points to "../data/a", which is outside`}},
		"link to nothing": {`mkdir dist; ln -s y dist/x`, nil, []string{`link "x" points to "y", which is not there`}},
		"link in circle":  {`mkdir dist; ln -s y dist/x; ln -s x dist/y`, nil, []string{"goes in a circle"}},
		"output link out": {`ln -s / dist`, nil, []string{`cannot take "dist"`, "path escapes from parent"}},
		"line break":      {"mkdir dist; >\"dist/a\nb\"", nil, []string{`name "a\nb" holds a line break`}},
		"not UTF-8":       {`mkdir dist; >"$(printf 'dist/a\377')"`, nil, []string{`name "a\xff" is not valid UTF-8`}},
		"backslash":       {`mkdir dist; >'dist/a\b'`, nil, []string{"holds a backslash"}},
		"into the place":  {`mkdir dist; >dist/x; for d in ../../out/work/component/demo/amd64; do >$d/planted; done`, nil, []string{`build wrote "planted" into the folder of the component`}},
		"into checkout":   {`mkdir dist; >dist/x; echo 9 >../../../../source/VERSION`, nil, []string{`build wrote into the checkout of the release`}},
		"not executable":  {`:`, func(c *Config) { c.Command[0] = "./VERSION" }, []string{`cannot run "./VERSION"`, "git update-index --chmod=+x"}},
		"not there":       {`:`, func(c *Config) { c.Command[0] = "scripts/nope" }, []string{`cannot find the program "scripts/nope" in the repository`}},
		"a folder":        {`:`, func(c *Config) { c.Command[0] = "./scripts" }, []string{"no executable file"}},
		"not installed":   {`:`, func(c *Config) { c.Command[0] = "no-such-program-here" }, []string{`cannot find the program "no-such-program-here": install it`}},
		"only here":       {`:`, func(c *Config) { c.Command[0] = "build" }, []string{`cannot find the program "build"`}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := run()
			if c.edit != nil {
				c.edit(&cfg)
			}
			if got := fails(t, cfg, script(c.lines), c.want...); strings.Contains(got, secret) || strings.Contains(got, "300ms\n") {
				t.Errorf("shows too much: %s", got)
			}
		})
	}
}

// TestCommand_Socket: a program that leaves a socket behind.
func TestCommand_Socket(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	dir := t.TempDir()
	must(t, os.Symlink(self, filepath.Join(dir, "listener")))
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	cfg := Config{Builder: Command, Command: []string{"listener"}, Output: "dist", Env: map[string]string{"COMPONENT_TEST_SOCKET": "1"}}
	fails(t, cfg, map[string]string{"dist/.keep": ""}, `"socket" is neither file, folder nor link`)
}

// TestCommand_Again: after a failure the next run begins afresh, with a checkout that is as it was.
func TestCommand_Again(t *testing.T) {
	t.Parallel()
	content := script(`mkdir dist; cp VERSION dist/
test -e "$MARK" || { >"$MARK"; echo 9 >../../../../source/VERSION; }`)
	dir, cfg := t.TempDir(), run()
	cfg.Env = map[string]string{"MARK": filepath.Join(dir, "mark")}
	if _, err := build(t, dir, cfg, content); err == nil || !strings.Contains(err.Error(), "wrote into the checkout") {
		t.Fatalf("got %v", err)
	}
	dirs, err := build(t, dir, cfg, nil)
	must(t, err)
	if got, err := os.ReadFile(filepath.Join(dirs.Path(Artifact("demo", "amd64")), "VERSION")); err != nil || string(got) != content["VERSION"] {
		t.Errorf("built of %q, %v", got, err)
	}
}

// TestCommand_Plan: the plan says what is run, one text at a time, and nothing of this machine.
func TestCommand_Plan(t *testing.T) {
	t.Setenv("KEY", "hunter22hunter22")
	cfg := run("a b", "{{ .Version }}")
	cfg.Env, cfg.Pass = map[string]string{"B": "2", "A": "{{ .Arch }}"}, []string{"KEY"}
	steps, err := Steps("demo", cfg, &env)
	must(t, err)
	got := steps[0].Spec().Params
	want := map[string]string{"builder": "command", "command": `["scripts/build","a b","1.2.3"]`, "output": "dist", "env": `{"A":"amd64","B":"2"}`, "pass": `["KEY"]`}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %q, want %q", k, got[k], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
}
