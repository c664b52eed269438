package notes

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/templates"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; look at the difference after go test -update\n%s", path, got)
	}
}

// need skips where a tool is missing, and fails in CI, where none may be.
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

func git(t testing.TB, dir, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.org", "GIT_COMMITTER_DATE=2025-06-29T23:50:00+0200"}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, errs.String())
	}
	return strings.TrimSpace(out.String())
}

// commit is one commit to be made: on the one before, or on the parents given by number from 1.
type commit struct {
	message string
	parents []int
	files   map[string]string
	tags    []string
}

// history makes a repository of commits. {N} in a message stands for the ID of commit N.
func history(t testing.TB, commits ...commit) (dir string, ids []string) {
	t.Helper()
	need(t, "git")
	dir = t.TempDir()
	git(t, dir, "", "init", "-q", "-b", "main")
	for i, c := range commits {
		message := c.message
		for k, id := range ids {
			message = strings.ReplaceAll(message, fmt.Sprintf("{%d}", k+1), id)
		}
		var in strings.Builder
		fmt.Fprintf(&in, "commit refs/heads/b%d\ncommitter Ada <ada@example.org> %d +0200\ndata %d\n%s\n", i+1, 1_750_000_000+i*60, len(message), message)
		parents := c.parents
		if parents == nil && i > 0 {
			parents = []int{i}
		}
		for k, p := range parents {
			fmt.Fprintf(&in, "%s %s\n", []string{"from", "merge"}[min(k, 1)], ids[p-1])
		}
		for name, content := range c.files {
			fmt.Fprintf(&in, "M 100644 inline %s\ndata %d\n%s\n", name, len(content), content)
		}
		in.WriteString("\n")
		git(t, dir, in.String(), "fast-import", "--quiet")
		ids = append(ids, git(t, dir, "", "rev-parse", fmt.Sprintf("b%d", i+1)))
		for _, tag := range c.tags {
			git(t, dir, "", "tag", "-a", "-m", tag, tag, ids[i])
		}
	}
	git(t, dir, "", "update-ref", "refs/heads/main", ids[len(ids)-1])
	return dir, ids
}

func open(t testing.TB, dir string) *repo.Repo {
	t.Helper()
	r, err := repo.Open(dir)
	must(t, err)
	return r
}

func ver(t testing.TB, s string) version.Version {
	t.Helper()
	v, err := version.Parse(s)
	must(t, err)
	return v
}

// options are those of a product with every kind of package.
var options = Options{
	Project: "cloudtolocalllm", Page: "https://github.com/octo/cat", Sums: "SHA256SUMS",
	Packages: []templates.NotesPackage{{Format: "deb", Name: "cloudtolocalllm", File: "cloudtolocalllm_3.2.1-1_amd64.deb"}, {Format: "aur", Name: "cloudtolocalllm-desktop"}},
}
