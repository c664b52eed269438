package phases

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/pipeline"
)

const outwardYAML = `project: hello
about: {type: minor, summary: Says hello, lead: A U Thor}
version: {source: VERSION, author: "Release <release@example.org>"}
components:
  hello: {builder: prebuilt, path: hello.sh}
bundles:
  hello:
    contents:
      - {src: "component:hello/hello.sh", dst: bin/hello, file_info: {mode: 0755}}
packages:
  - {name: hello, format: tarball, bundle: hello}
  - name: hello-bin
    format: aur
    from: hello
    maintainer: Ada <ada@example.org>
    license: MIT
    homepage: https://example.org/hello
    description: Program that greets
    url: https://github.com/acme/hello/releases/download/v{{ .Version }}/
release:
  git: {merge_into: main, remote: 'git@github.com:acme/hello.git', known_hosts: hosts, key_file: KEY}
  github: {owner: acme, repo: hello, extra: [VERSION]}
aur:
  hello-bin: {key_file: KEY, known_hosts: hosts, remote: 'AUR_REMOTE'}
gates:
  release: {criteria: [{title: rehearsed, check: rehearsal}]}
`

func outwardConfig(t *testing.T, aurRemote string) *Config {
	t.Helper()
	c, err := Load("release.yaml", []byte(strings.ReplaceAll(outwardYAML, "AUR_REMOTE", aurRemote)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTokenIsNotForTheAUR: git over https is shown the token for GitHub.
func TestTokenIsNotForTheAUR(t *testing.T) {
	t.Parallel()
	if err := outwardConfig(t, "ssh://aur@aur.archlinux.org/hello-bin.git").Validate(); err != nil {
		t.Error(err)
	}
	err := outwardConfig(t, "https://aur.archlinux.org/hello-bin.git").Validate()
	if err == nil || !strings.Contains(err.Error(), "aur.hello-bin.remote: the AUR takes pushes over ssh alone") {
		t.Errorf("error %v", err)
	}
}

// TestPlanIsTheSameEverywhere: in clones in other folders, with other settings, and after the release's own tag and those
// of later versions were fetched.
func TestPlanIsTheSameEverywhere(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	top := t.TempDir()
	git := func(dir, date string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + top, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_DATE=" + date, "GIT_COMMITTER_DATE=" + date,
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org",
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	const remote, now, later = "ssh://aur@aur.archlinux.org/hello-bin.git", "2026-03-01T12:00:00+02:00", "2026-03-02T12:00:00Z"
	first := filepath.Join(top, "first")
	for name, text := range map[string]string{"VERSION": "1.2.3\n", "hello.sh": "#!/bin/sh\necho hello\n", "hosts": ""} {
		if err := os.MkdirAll(first, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(first, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git(first, now, "init", "-q", "-b", "main")
	git(first, now, "add", "-A")
	git(first, now, "commit", "-q", "-m", "feat: greet")
	git(first, now, "tag", "-a", "-m", "x", "v1.0.0")
	c := outwardConfig(t, remote)
	r, err := OpenRepository(first)
	if err != nil {
		t.Fatal(err)
	}
	base, err := r.Head()
	if err != nil {
		t.Fatal(err)
	}
	plan := func(dir string) *pipeline.Plan {
		t.Helper()
		all, err := All(outwardConfig(t, remote), dir)
		if err != nil {
			t.Fatal(err)
		}
		p, err := pipeline.NewPlan(t.Context(), pipeline.Env{Project: c.Project, Version: "1.2.3", Commit: base.ID, Time: base.Time}, all...)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	want := plan(first)
	for _, sp := range want.Specs {
		for key, value := range sp.Params {
			if strings.Contains(value, top) {
				t.Errorf("%s: %s names a folder of this machine", sp.ID, key)
			}
		}
	}
	second := filepath.Join(top, "an ödd", "place")
	git(top, now, "clone", "-q", first, second)
	git(second, now, "gc", "-q")
	git(second, now, "config", "user.name", "somebody else")
	t.Setenv("HOME", second)
	t.Setenv("TZ", "Asia/Kathmandu")
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	t.Setenv("GITHUB_TOKEN", "of somebody else")
	if got := plan(second); got.Digest != want.Digest {
		t.Error("a clone has another plan")
	}
	// The release's own commit bears the base commit's time.
	git(second, now, "commit", "-q", "--allow-empty", "-m", "Release v1.2.3")
	git(second, now, "tag", "-a", "-m", "x", "v1.2.3")
	git(second, later, "commit", "-q", "--allow-empty", "-m", "Release v1.3.0")
	git(second, later, "tag", "-a", "-m", "x", "v1.3.0")
	if got := plan(filepath.Join(second, ".")); got.Digest != want.Digest {
		t.Error("after the release, and after the next one, the plan is another one")
	}
}
