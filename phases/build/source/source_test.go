//go:build unix

package source

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/build/version"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

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

// write makes files; those whose text begins with #! and whose name ends in .sh are executable.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		must(t, os.MkdirAll(filepath.Dir(p), 0o777))
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") && strings.HasSuffix(name, ".sh") {
			mode = 0o755
		}
		must(t, os.WriteFile(p, []byte(text), mode))
		must(t, os.Chmod(p, mode))
	}
}

// app is what the checks below pass.
var app = map[string]string{
	"VERSION":                  "3.2.1\n",
	"pubspec.yaml":             "name: app\nversion: 3.2.1+1\n",
	"lib/main.dart":            "import 'dart:async';\nvoid main() {}\n",
	"lib/screens/tray.dart":    "void showSettings() { Navigator.push(settingsScreen); }\n",
	"scripts/deploy.sh":        "#!/bin/sh\nexit 0\n",
	"scripts/lib.sh":           "# read by others\nlog() { echo \"$1\"; }\n",
	"assets/icon.bin":          strings.Repeat("\x00", 1000),
	"naïve name (1)/'q'.dart":  "x\n",
	"package-lock.json":        "{}\n",
	"scripts/packaging/aur.py": "VERSION = read()\n",
}

// run commits app with changes, after which prepare may do more, and makes the release's checkout and the check of it.
func run(t *testing.T, c Config, changes map[string]string, prepare func(dir string)) (pipeline.Evidence, error) {
	t.Helper()
	must(t, c.Validate())
	dir := t.TempDir()
	git(t, dir, "init", "-q", "-b", "main")
	write(t, dir, app)
	write(t, dir, changes)
	if prepare != nil {
		prepare(dir)
	}
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "-m", "work")
	e := pipeline.Env{Project: "app", Version: "3.2.1", Commit: git(t, dir, "rev-parse", "HEAD"), Config: strings.Repeat("0", 64), Time: time.Date(2025, 6, 29, 21, 50, 0, 0, time.UTC)}
	plan, err := pipeline.NewPlan(t.Context(), e, phase{c, dir})
	must(t, err)
	tmp := t.TempDir()
	o := pipeline.Options{Journal: new(pipelinetest.Memory), Dirs: pipeline.Dirs{Dist: filepath.Join(tmp, "dist"), Work: filepath.Join(tmp, "work")}}
	runErr := plan.Run(t.Context(), o)
	s, err := plan.Survey(o)
	must(t, err)
	if last := s.Steps[1].Last; len(last.Evidence) == 1 {
		return last.Evidence[0], runErr
	}
	return pipeline.Evidence{}, runErr
}

type phase struct {
	Config
	dir string
}

func (phase) Name() string { return "build" }

func (p phase) Plan(_ context.Context, e *pipeline.Env) ([]pipeline.Step, error) {
	steps, err := version.Steps(version.Config{Source: "VERSION", Author: "R <r@example.org>"}, e, p.dir)
	g := gate.Gate{ID: "gate/build", Title: "Build", Criteria: []gate.Criterion{{Title: "Sources", Check: "sources"}}}
	return append(steps, Step("sources", p.Config), pipeline.NewGate(g, ID("sources"))), err
}

// stops expects the gate to stop with the fault planted, and to pass without it.
func stops(t *testing.T, c Config, changes map[string]string, prepare func(dir string), want ...string) {
	t.Helper()
	if e, err := run(t, c, nil, nil); err != nil || e.Verdict != gate.Pass {
		t.Errorf("false alarm: %v, %+v", err, e)
	}
	e, err := run(t, c, changes, prepare)
	if err == nil || e.Verdict != gate.Fail {
		t.Errorf("not stopped: %v, %+v", err, e)
	}
	if got := strings.Split(e.Found, "; "); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if e.Subjects["work/source"] == "" || strings.Contains(e.Expected+e.Found+e.Summary, "\n") {
		t.Errorf("%+v", e)
	}
}

func TestGate_028_ScriptModes(t *testing.T) {
	t.Parallel()
	c := Config{Executable: []string{"scripts/*.sh"}}
	stops(t, c, map[string]string{"scripts/verify.sh": "#!/bin/bash\n"}, func(dir string) {
		must(t, os.Chmod(filepath.Join(dir, "scripts/verify.sh"), 0o644))
	}, "scripts/verify.sh: it is not executable (mode 0644 in the commit): git update-index --chmod=+x scripts/verify.sh")
	stops(t, c, map[string]string{"scripts/deploy.sh": "#!/bin/sh\r\nexit 0\r\n", "scripts/z.sh": "\ufeff#!/bin/sh\n"}, nil,
		"scripts/deploy.sh:1: the #! line ends with a carriage return, so its interpreter is not found",
		"scripts/z.sh: it is not executable (mode 0644 in the commit): git update-index --chmod=+x scripts/z.sh",
		"scripts/z.sh:1: a byte order mark stands before #!, so it cannot be started")
	stops(t, c, nil, func(dir string) { must(t, os.Remove(filepath.Join(dir, "scripts/deploy.sh"))) },
		`no script or program in the commit matches "scripts/*.sh"`)
}

func TestGate_032_MaxFile(t *testing.T) {
	t.Parallel()
	stops(t, Config{MaxFile: 1000}, map[string]string{"assets/icon.bin": strings.Repeat("\x00", 1001)}, nil,
		"assets/icon.bin: it has 1001 bytes, more than 1kB")
	if e, err := run(t, Config{MaxFile: 1000, Source: []string{"lib/**"}}, map[string]string{"assets/icon.bin": strings.Repeat("\x00", 1001)}, nil); err != nil {
		t.Errorf("a file that is not asked for: %v, %+v", err, e)
	}
}

func TestGate_033_Hidden(t *testing.T) {
	t.Parallel()
	// The file lies in the folder, but .gitignore hides it from the commit.
	stops(t, Config{Required: []string{"lib/main.dart", "lib/screens/*.dart", "pubspec.yaml"}}, map[string]string{".gitignore": "lib/\n"}, nil,
		`nothing in the commit matches "lib/screens/*.dart": files that are there without being tracked may be hidden by .gitignore`,
		"lib/main.dart: it is not in the commit: where you have it, add it, and git check-ignore -v lib/main.dart tells whether .gitignore hides it")
	// A file that was never added is there for everybody but git.
	e, err := run(t, Config{Required: []string{"lib/late.dart"}}, nil, func(dir string) {
		write(t, dir, map[string]string{"lib/late.dart": "x", ".git/info/exclude": "lib/late.dart\n"})
	})
	if err == nil || !strings.Contains(e.Found, "lib/late.dart: it is not in the commit") {
		t.Errorf("%v, %+v", err, e)
	}
}

func TestGate_043_LockFile(t *testing.T) {
	t.Parallel()
	stops(t, Config{Required: []string{"package-lock.json"}}, nil, func(dir string) { must(t, os.Remove(filepath.Join(dir, "package-lock.json"))) },
		"package-lock.json: it is not in the commit: where you have it, add it, and git check-ignore -v package-lock.json tells whether .gitignore hides it")
}

func TestGate_044_Imports(t *testing.T) {
	t.Parallel()
	stops(t, Config{Source: []string{"lib/**/*.dart"}, ForbiddenText: []string{"import 'dart:html'", `import "dart:html"`}},
		map[string]string{"lib/screens/web.dart": "// web\nimport 'dart:async';\nimport 'dart:html';\n", "web/only.dart": "import 'dart:html';\n"}, nil,
		`lib/screens/web.dart:3: "import 'dart:html'" is forbidden`)
}

func TestGate_055_HardCodedVersion(t *testing.T) {
	t.Parallel()
	stops(t, Config{Source: []string{"scripts/**"}, ForbiddenText: []string{`VERSION="2.0.0"`, `VERSION="3.0.2"`}},
		map[string]string{"scripts/packaging/deb.sh": "#!/bin/sh\nVERSION=\"2.0.0\"\nAPPVERSION=\"3.0.2\"\n"}, nil,
		`scripts/packaging/deb.sh:2: "VERSION=\"2.0.0\"" is forbidden`, `scripts/packaging/deb.sh:3: "VERSION=\"3.0.2\"" is forbidden`)
}

// TestGate_061_Gitlink: the checkout is refused, and where one was made all the same its empty folder is found.
func TestGate_061_Gitlink(t *testing.T) {
	t.Parallel()
	c := Config{Required: []string{"VERSION"}}
	if e, err := run(t, c, nil, nil); err != nil || e.Verdict != gate.Pass {
		t.Errorf("false alarm: %v, %+v", err, e)
	}
	_, err := run(t, c, nil, func(dir string) {
		sub := filepath.Join(dir, "aur-repo")
		must(t, os.Mkdir(sub, 0o777))
		git(t, sub, "init", "-q")
		write(t, sub, map[string]string{"PKGBUILD": "x"})
		git(t, sub, "add", "-A")
		git(t, sub, "commit", "-q", "-m", "sub")
	})
	if err == nil || !strings.Contains(err.Error(), `"aur-repo" is a submodule`) {
		t.Errorf("%v", err)
	}
	dir := t.TempDir()
	write(t, dir, app)
	must(t, os.MkdirAll(filepath.Join(dir, "x/aur-repo"), 0o755))
	faults, _, err := Look(t.Context(), dir, c)
	if err != nil || len(faults) != 1 || faults[0].String() != "x/aur-repo: it is a submodule without its files: git rm --cached x/aur-repo, and add the files themselves" {
		t.Errorf("%v, %v", faults, err)
	}
}

func TestGate_062_Junk(t *testing.T) {
	t.Parallel()
	must(t, Config{Forbidden: Junk}.Validate())
	stops(t, Config{Forbidden: Junk}, map[string]string{"pubspec.yaml.backup": "x", "lib/main.dart.build-backup": "x", "backups/a/b": "x", "lib/x~": "x"}, nil,
		`backups: it is in the commit, and "**/backups" is forbidden`,
		`lib/main.dart.build-backup: it is in the commit, and "**/*.build-backup" is forbidden`,
		`lib/x~: it is in the commit, and "**/*~" is forbidden`,
		`pubspec.yaml.backup: it is in the commit, and "**/*.backup" is forbidden`)
}

// TestGate_066_SettingsLauncher is the branch whose tracker ticked all of it.
func TestGate_066_SettingsLauncher(t *testing.T) {
	t.Parallel()
	stops(t, Config{
		Source: []string{"lib/**"}, ForbiddenText: []string{"_launchTraySettings", "cloudtolocalllm-settings"}, RequiredText: []string{"settingsScreen"},
		Required: []string{"pubspec.yaml"}, Forbidden: []string{"**/cloudtolocalllm-settings"},
	}, map[string]string{
		"lib/screens/tray.dart":         "class Tray {\n  void _launchTraySettings() {\n    run('cloudtolocalllm-settings');\n  }\n}\n",
		"bin/cloudtolocalllm-settings":  "x",
		"docs/about-the-old-days.md":    "_launchTraySettings is gone\n",
		"apps/main/pubspec.yaml":        "version: 3.2.0+001\n",
		"apps/main/pubspec.yaml.backup": "version: 3.2.1+1\n",
	}, func(dir string) { must(t, os.Remove(filepath.Join(dir, "pubspec.yaml"))) },
		`"settingsScreen" stands in no file that matches ["lib/**"]`,
		`bin/cloudtolocalllm-settings: it is in the commit, and "**/cloudtolocalllm-settings" is forbidden`,
		`lib/screens/tray.dart:2: "_launchTraySettings" is forbidden`,
		`lib/screens/tray.dart:3: "cloudtolocalllm-settings" is forbidden`,
		"pubspec.yaml: it is not in the commit: where you have it, add it, and git check-ignore -v pubspec.yaml tells whether .gitignore hides it")
}

// TestLook_Hostile: names and texts that a shell or a terminal would act on come back quoted, in one line.
func TestLook_Hostile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"$(touch x)\n.dart": "a\n\nneedle `x`\n", "-rf": "needle `x`", "a b:1": strings.Repeat("needle `x`\n", 10)})
	must(t, os.Symlink("/etc/passwd", filepath.Join(dir, "link")))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "broken")))
	faults, n, err := Look(t.Context(), dir, Config{ForbiddenText: []string{"needle `x`", "root:"}, Required: []string{"-x/'q", "link"}})
	must(t, err)
	var got []string
	for _, f := range faults {
		got = append(got, f.String())
	}
	want := []string{
		`"$(touch x)\n.dart":3: "needle ` + "`x`" + `" is forbidden`,
		`-rf:1: "needle ` + "`x`" + `" is forbidden`,
		`-x/'q: it is not in the commit: where you have it, add it, and git check-ignore -v './-x/'\''q' tells whether .gitignore hides it`,
		`"a b:1": "needle ` + "`x`" + `" is forbidden, and stands there 7 times more`,
		`"a b:1":1: "needle ` + "`x`" + `" is forbidden`, `"a b:1":2: "needle ` + "`x`" + `" is forbidden`, `"a b:1":3: "needle ` + "`x`" + `" is forbidden`,
	}
	if n != 5 || !slices.Equal(got, want) {
		t.Errorf("%d files, got\n%s\nwant\n%s", n, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, _, err := Look(t.Context(), filepath.Join(dir, "nowhere"), Config{}); err == nil {
		t.Error("a folder that is not there is looked at")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Look(ctx, dir, Config{}); err == nil {
		t.Error("it goes on after an interrupt")
	}
}

func TestConfig_Validate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{}, "want something to look for"},
		{Config{Source: []string{"**"}}, "source: want required_text"},
		{Config{Required: []string{"/etc"}}, "required[0]: want a pattern"},
		{Config{Forbidden: []string{"a/../b"}}, "forbidden[0]: want a pattern"},
		{Config{Executable: []string{"a[", "b"}}, "executable[0]: want a pattern"},
		{Config{Required: []string{"a", "a"}}, "stands there twice"},
		{Config{ForbiddenText: []string{""}}, "forbidden_text[0]: want a text"},
		{Config{ForbiddenText: []string{" \t"}}, "forbidden_text[0]: want a text"},
		{Config{RequiredText: []string{"a\nb"}}, "required_text[0]: want a text within one line"},
		{Config{RequiredText: []string{strings.Repeat("x", 501)}}, "required_text[0]: want a text within one line"},
		{Config{RequiredText: []string{"x", "x"}}, "stands there twice"},
		{Config{RequiredText: []string{"x"}, ForbiddenText: []string{"x"}}, "required and forbidden"},
		{Config{MaxFile: -1}, "max_file: want a size"},
	} {
		if err := c.config.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v", c.config, err)
		}
	}
	if a, b := Step("x", Config{Required: []string{"a"}}).Spec(), Step("x", Config{Forbidden: []string{"a"}}).Spec(); fmt.Sprint(a) == fmt.Sprint(b) || a.ID != "build/check/x" || !slices.Equal(a.Checks, []string{"x"}) {
		t.Errorf("%+v", a)
	}
}

// FuzzTexts compares with a search that has all of the file at hand.
func FuzzTexts(f *testing.F) {
	f.Add([]byte("a\nneedle\nb needle"), "needle", 5)
	f.Add([]byte("aaaa\naaa"), "aa", 1)
	f.Fuzz(func(t *testing.T, content []byte, text string, chunk int) {
		if (Config{ForbiddenText: []string{text}}).Validate() != nil || chunk < 1 || chunk > 1000 {
			return
		}
		s := newSearch(Config{ForbiddenText: []string{text}, RequiredText: []string{text}})
		s.chunk = chunk
		if err := s.texts(bytes.NewReader(content), "x"); err != nil {
			t.Fatal(err)
		}
		there := bytes.Contains(content, []byte(text))
		if s.seen[0] != there || (len(s.faults) > 0) != there {
			t.Fatalf("found %v in %q: %v", text, content, s.faults)
		}
		lines := bytes.Split(content, []byte("\n"))
		for _, fault := range s.faults {
			if fault.Line > len(lines) || fault.Line > 0 && !bytes.Contains(lines[fault.Line-1], []byte(text)) {
				t.Errorf("line %d of %q does not hold %q", fault.Line, content, text)
			}
		}
		if there && !bytes.Contains(lines[s.faults[0].Line-1], []byte(text)) {
			t.Errorf("first: %v", s.faults)
		}
	})
}

// FuzzProgram: whatever a file begins with, looking at it ends well.
func FuzzProgram(f *testing.F) {
	f.Add([]byte("#!/bin/sh\r\n"), uint32(0o644))
	f.Add([]byte("\xef\xbb\xbf#!"), uint32(0o755))
	f.Add([]byte("\x7fELF"), uint32(0o600))
	f.Fuzz(func(t *testing.T, head []byte, mode uint32) {
		s := newSearch(Config{})
		program, err := s.program(bytes.NewReader(head), "x", os.FileMode(mode))
		if err != nil || program != (bytes.HasPrefix(head, []byte("#!")) || bytes.HasPrefix(head, []byte("\ufeff#!")) || bytes.HasPrefix(head, []byte("\x7fELF"))) {
			t.Errorf("%q: %v, %v", head, program, err)
		}
		if program && os.FileMode(mode).Perm() != 0o755 && len(s.faults) == 0 {
			t.Errorf("%q with mode %o passes", head, mode)
		}
	})
}
