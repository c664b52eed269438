package repo

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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

// gitEnv is an environment in which the machine's settings count for nothing.
func gitEnv(extra ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.org",
		"GIT_AUTHOR_DATE=2025-06-01T10:00:00+0200", "GIT_COMMITTER_DATE=2025-06-29T23:50:00+0200", "LC_ALL=C",
	}, extra...)
}

// try runs git in dir.
func try(dir, stdin string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, gitEnv(), strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return errs.String(), err
	}
	return out.String(), nil
}

func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	return gitIn(t, dir, "", args...)
}

func gitIn(t testing.TB, dir, stdin string, args ...string) string {
	t.Helper()
	out, err := try(dir, stdin, args...)
	if err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(out)
}

// fixture makes a repository with the files given as path and content; "x:path" may be executed, "l:path" is a link.
func fixture(t testing.TB, files map[string]string) string {
	t.Helper()
	need(t, "git")
	dir := t.TempDir()
	git(t, dir, "init", "-q", "-b", "main")
	commit(t, dir, files)
	return dir
}

func commit(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	var in strings.Builder
	in.WriteString("commit refs/heads/main\ncommitter C <c@example.org> 1751233800 +0200\ndata 5\nwork\n\n")
	if _, err := try(dir, "", "rev-parse", "-q", "--verify", "main"); err == nil {
		in.WriteString("from refs/heads/main^0\n")
	}
	for name, content := range files {
		mode, path := "100644", name
		if kind, rest, ok := strings.Cut(name, ":"); ok {
			mode, path = map[string]string{"x": "100755", "l": "120000"}[kind], rest
		}
		path = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(path)
		fmt.Fprintf(&in, "M %s inline \"%s\"\ndata %d\n%s\n", mode, path, len(content), content)
	}
	gitIn(t, dir, in.String(), "fast-import", "--quiet")
	git(t, dir, "reset", "-q", "--hard", "main")
}

func open(t testing.TB, dir string) *Repo {
	t.Helper()
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func head(t testing.TB, r *Repo) Commit {
	t.Helper()
	c, err := r.Head()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// listing describes a folder: kind and permissions, path, content or target.
func listing(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(p string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		text := ""
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			text = string(content)
		case info.Mode()&os.ModeSymlink != 0:
			b.WriteString("link " + rel + " ")
			text, err = os.Readlink(p)
			b.WriteString(text + "\n")
			return err
		}
		b.WriteString(info.Mode().String() + " " + rel + " " + text + "\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var sample = map[string]string{
	"VERSION":             "0.1.0\n",
	"x:run.sh":            "#!/bin/sh\n",
	"lib/a/b/c.txt":       "c\r\n",
	"lib/a/version.json":  "{}",
	"lib/a.txt":           "beside the folder a\n", // sorts before a/ in git's order
	"lib/empty":           "",
	"l:lib/link":          "a/b/c.txt",
	"l:up":                "lib/a",
	"l:lib/a/far":         "../../up/b",
	"l:here":              ".",
	"ünïcode name 'q\" $": "x",
	"-rf":                 "a name like an option",
	"$(touch evil)`id`":   "a name like a command",
}

var who = Person{"Slipway Release", "release@slipway.example"}
