//go:build unix

package build

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/build/version"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// TestBuild_Repository builds from a real repository, through the real build/version: what is committed counts, not what
// lies in the folder.
func TestBuild_Repository(t *testing.T) {
	t.Parallel()
	need(t, "git")
	cfg := prebuiltConfig()
	cfg.Version = version.Config{Source: "VERSION", Author: "Demo Release <release@demo.example>"}
	p := newProject(t, cfg, sourceFiles)
	must(t, os.WriteFile(filepath.Join(p.repo, "VERSION"), []byte("1.2.3+4\n"), 0o644))
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = p.repo
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@b.c",
			"GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@b.c", "GIT_AUTHOR_DATE=2026-11-21T21:30:40+01:00", "GIT_COMMITTER_DATE=2026-11-21T21:30:40+01:00")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q", "-b", "main")
	git("add", ".")
	git("commit", "-q", "-m", "Begin")
	p.env.Commit = git("rev-parse", "HEAD")
	p.env.Time = time.Date(2026, 11, 21, 20, 30, 40, 0, time.UTC)
	must(t, os.WriteFile(filepath.Join(p.repo, "README.md"), []byte("not committed\n"), 0o644))
	p.real = true
	s, err := p.run(t.Context())
	must(t, err)
	if e := evidence(t, s, "build/version"); e.Check != "version" || e.Verdict != gate.Pass {
		t.Errorf("got %+v", e)
	}
	b, err := os.ReadFile(filepath.Join(p.path("work/bundle/demo/amd64"), "share/doc/demo/README.md"))
	if err != nil || string(b) != sourceFiles["README.md"] {
		t.Errorf("got %q, %v", b, err)
	}
	// The same bytes come out as from the plain copy of the files.
	other := newProject(t, prebuiltConfig(), sourceFiles)
	_, err = other.run(t.Context())
	must(t, err)
	for _, name := range []string{"demo-1.2.3-x86_64.tar.gz", "demo_1.2.3_amd64.deb", "SHA256SUMS"} {
		a, err := os.ReadFile(p.path(name))
		must(t, err)
		b, err := os.ReadFile(other.path(name))
		must(t, err)
		if string(a) != string(b) {
			t.Errorf("%s differs", name)
		}
	}
}
