package main

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/cmd/slipway/internal/crash"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

var crashes = flag.Int("crash", 0, "how many processes TestCrash kills at random moments; 0 leaves it out")

const crashRelease = `
  - name: hello
    format: deb
    bundle: hello
    section: utils
    maintainer: Ada <ada@example.org>
    license: MIT
    homepage: https://example.org/hello
    description: |
      program that greets
      It says hello in a friendly way, every time it is started.
  - name: hello-bin
    format: aur
    from: tarball
    maintainer: Ada <ada@example.org>
    license: MIT
    homepage: https://example.org/hello
    description: Program that greets
    url: https://example.org/v{{ .Version }}/
`

const crashProgram = `package main

import "fmt"

func main() { fmt.Println("hello") }
`

// TestCrash kills the real program (SIGKILL): after every record of a build, and at random moments of it. Each time the
// next run ends with the same packages, byte for byte, and a whole journal; another run then does nothing.
func TestCrash(t *testing.T) {
	if *crashes == 0 {
		t.Skip("takes minutes: make crash runs it")
	}
	program, err := crashtest()
	if err != nil {
		t.Fatal(err)
	}
	template := crashRepo(t)
	fresh := func() string {
		dir := filepath.Join(t.TempDir(), "repo")
		if out, err := exec.CommandContext(t.Context(), "cp", "-a", template, dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return dir
	}
	start := func(dir string, after int) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), program, "-C", dir, "run")
		if after > 0 {
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", crash.Variable, after))
		}
		cmd.Stdout, cmd.Stderr = new(strings.Builder), new(strings.Builder)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	killed := func(cmd *exec.Cmd) bool {
		err := cmd.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == -1 {
			return true
		}
		if err != nil {
			t.Fatalf("%v\n%s%s", err, cmd.Stdout, cmd.Stderr)
		}
		return false
	}

	first := fresh()
	began := time.Now()
	if killed(start(first, 0)) {
		t.Fatal("killed by somebody else")
	}
	took, want := time.Since(began), packages(t, first)
	records := journalOf(t, first)
	t.Logf("a build takes %v, %d records, %d files", took.Round(time.Millisecond), len(records), len(want))
	whole := func(dir, when string) {
		t.Helper()
		if killed(start(dir, 0)) {
			t.Fatal("killed by somebody else")
		}
		if got := packages(t, dir); !maps.Equal(got, want) {
			t.Errorf("%s: packages\n%v\nwant\n%v", when, got, want)
		}
		rs := journalOf(t, dir)
		if last := rs[len(rs)-1]; last.Event != pipeline.Done || last.Step != "gate/build" {
			t.Errorf("%s: the journal ends with %s %s", when, last.Event, last.Step)
		}
		if killed(start(dir, 0)) {
			t.Fatal("killed by somebody else")
		}
		if again := journalOf(t, dir); len(again) != len(rs) {
			t.Errorf("%s: another run wrote %d records", when, len(again)-len(rs))
		}
		if left, err := filepath.Glob(filepath.Join(dir, ".slipway/*/work/.tmp/*")); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %v %v", when, left, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}
	kills := 0
	for n := 1; n <= len(records); n++ {
		dir := fresh()
		if !killed(start(dir, n)) {
			t.Fatalf("record %d: not killed", n)
		}
		kills++
		whole(dir, fmt.Sprintf("killed after record %d", n))
	}
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	for random := 0; random < *crashes; {
		dir := fresh()
		for range 1 + rnd.IntN(6) { // several times on the way
			cmd := start(dir, 0)
			timer := time.AfterFunc(time.Duration(rnd.Int64N(int64(took))), func() { cmd.Process.Kill() })
			dead := killed(cmd)
			timer.Stop()
			if !dead {
				break
			}
			random, kills = random+1, kills+1
		}
		whole(dir, fmt.Sprintf("seed %d, %d kills", seed, random))
	}
	t.Logf("%d kills: every release ended whole", kills)
}

// crashRepo makes a repository whose release builds a Go program for two architectures and packs it in all formats.
func crashRepo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(scripts, "hello"))); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(dir, "release.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(config), "{builder: prebuilt, path: hello.sh}", "{builder: go, package: ., arch: [amd64, arm64]}", 1)
	text = strings.Replace(text, "component:hello/hello.sh", "component:hello/hello", 1)
	if text = strings.TrimSpace(text) + crashRelease; !strings.Contains(text, "builder: go") || !strings.Contains(text, "component:hello/hello,") && !strings.Contains(text, `component:hello/hello"`) {
		t.Fatalf("the story's release.yaml has another form:\n%s", text)
	}
	for name, text := range map[string]string{"release.yaml": text, "main.go": crashProgram, "go.mod": "module example.org/hello\n\ngo 1.26\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "Begin"}} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	return dir
}

// packages maps each file below dist to its digest.
func packages(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	root := os.DirFS(filepath.Join(dir, "dist"))
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(root, path)
		out[path] = fmt.Sprintf("%x", sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if names := slices.Sorted(maps.Keys(out)); len(names) < 10 {
		t.Fatalf("only %v were made", names)
	}
	return out
}

func journalOf(t *testing.T, dir string) (out []pipeline.Record) {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(dir, ".slipway", "*", journal.FileName))
	if err != nil || len(dirs) != 1 {
		t.Fatal("journals:", dirs, err)
	}
	for r, err := range journal.Read(filepath.Dir(dirs[0])).Records() {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}
