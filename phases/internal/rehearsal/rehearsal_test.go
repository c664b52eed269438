package rehearsal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/hub"
)

const version = "1.2.3"

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// staged is a world with a release in it, brought there without any of the steps.
type staged struct {
	*World
	dir  string // of the world
	want Want
}

func stage(t *testing.T) *staged {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	repo := t.TempDir()
	git(t, repo, "init", "-q", "-b", "main")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(repo, "VERSION"), []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		git(t, repo, "add", "-A")
		git(t, repo, "commit", "-q", "-m", text)
	}
	write("1.2.2")
	git(t, repo, "tag", "-a", "-m", "old", "v1.2.2")
	write(version)
	base := git(t, repo, "rev-parse", "HEAD")
	s := &staged{dir: t.TempDir()}
	var err error
	s.World, err = Start(t.Context(), Options{
		Dir: s.dir, Repository: repo, Branch: "main", Base: base, Tags: []string{"v1.2.2"}, Remote: "https://github.com/o/r.git", Owner: "o", Name: "r",
		AUR: map[string]string{"x-bin": "ssh://aur@aur.archlinux.org/x-bin.git"}, Roles: []string{"boss"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	origin := filepath.Join(s.dir, "origin.git")
	git(t, repo, "checkout", "-q", "-b", "release")
	git(t, repo, "commit", "-q", "--allow-empty", "-m", "release")
	commit := git(t, repo, "rev-parse", "HEAD")
	git(t, repo, "tag", "-a", "-m", "new", "v"+version)
	git(t, repo, "checkout", "-q", "main")
	git(t, repo, "merge", "-q", "--no-ff", "-m", "merge", "release")
	git(t, repo, "push", "-q", origin, "main", "release", "v"+version)

	asset := filepath.Join(t.TempDir(), "x.tar.gz")
	sum := sha256.Sum256([]byte("payload"))
	if err := os.WriteFile(asset, []byte("payload"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := s.client(t)
	rel, err := c.EnsureDraft(t.Context(), hub.Draft{Tag: "v" + version, Commit: commit, Title: "x", Marker: hub.Marker("run")})
	if err == nil {
		_, err = c.PutAsset(t.Context(), rel.ID, hub.File{Name: "x.tar.gz", Path: asset, Size: 7, SHA256: hex.EncodeToString(sum[:])}, nil)
	}
	if err == nil {
		_, err = c.Publish(t.Context(), rel.ID, hub.Publication{Title: "x", Body: hub.Marker("run"), Latest: true})
	}
	files := map[string]string{
		".SRCINFO": "pkgbase = x-bin\n\tpkgver = 1.2.3\n\tpkgrel = 1\n\tarch = x86_64\n\npkgname = x-bin\n",
		"PKGBUILD": "pkgname=x-bin\n",
	}
	if err == nil {
		_, err = s.AUR.Publish(t.Context(), owner, "x-bin", "new", files)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.want = Want{
		Version: version, Source: "VERSION", Commit: commit, Branch: "release", Tag: "v" + version, MergeInto: "main", Latest: true,
		Assets: map[string]string{"x.tar.gz": hex.EncodeToString(sum[:])}, AUR: map[string]Repo{"x-bin": {Version: "1.2.3-1", Files: map[string]string{}}},
	}
	for name, text := range files {
		sum := sha256.Sum256([]byte(text))
		s.want.AUR["x-bin"].Files[name] = hex.EncodeToString(sum[:])
	}
	return s
}

func (s *staged) client(t *testing.T) *hub.Client {
	t.Helper()
	c, err := s.Map.Endpoints().Hub("o", "r", "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestLook: a release that arrived whole is found so, and each thing that is not as it should be is found out, by itself.
func TestLook(t *testing.T) {
	s := stage(t)
	look := func(want Want) map[string]Arrival {
		t.Helper()
		all := map[string]Arrival{}
		for _, a := range s.Look(t.Context(), want) {
			all[a.What] = a
		}
		return all
	}
	whole := look(s.want)
	for what, a := range whole {
		if !a.OK {
			t.Errorf("%s: %s", what, a.Found)
		}
	}
	if len(whole) != 9 {
		t.Errorf("looked at %v", whole)
	}
	other := strings.Repeat("0", 40)
	for what, change := range map[string]func(*Want){
		"branch release":     func(w *Want) { w.Branch, w.Commit = "release", s.want.Commit[:39]+"x" },
		"version at the tag": func(w *Want) { w.Version = "1.2.4" },
		"branch main": func(w *Want) {
			w.Commit = git(t, filepath.Join(s.dir, "origin.git"), "commit-tree", "-m", "x", "HEAD^{tree}")
		},
		"release v1.2.3": func(w *Want) { w.Latest = false },
		"assets":         func(w *Want) { w.Assets = map[string]string{"x.tar.gz": other} },
		"AUR x-bin":      func(w *Want) { w.AUR = map[string]Repo{"x-bin": {Version: "1.2.3-1"}} },
		"AUR x-bin index": func(w *Want) {
			w.AUR = map[string]Repo{"x-bin": {Version: "1.2.3-2", Files: s.want.AUR["x-bin"].Files}}
		},
	} {
		want := s.want
		change(&want)
		found := look(want)
		if a := found[what]; a.OK || a.Found == "" {
			t.Errorf("%s: not found out: %+v", what, found)
		}
	}
	lost := s.want
	lost.Assets = map[string]string{"x.tar.gz": s.want.Assets["x.tar.gz"], "y": other}
	if a := look(lost)["assets"]; a.OK || !strings.Contains(a.Found, "y") {
		t.Errorf("a missing asset: %+v", a)
	}
	lost.Assets = nil
	if a := look(lost)["assets"]; a.OK || !strings.Contains(a.Found, "x.tar.gz") {
		t.Errorf("an asset too many: %+v", a)
	}
	dir := filepath.Join(s.dir, "origin.git")
	git(t, dir, "update-ref", "refs/tags/v"+version, s.want.Commit)
	if a := look(s.want)["tag v1.2.3"]; a.OK || !strings.Contains(a.Found, "lightweight") {
		t.Errorf("a lightweight tag: %+v", a)
	}
	git(t, dir, "update-ref", "-d", "refs/tags/v"+version)
	if a := look(s.want)["tag v1.2.3"]; a.OK {
		t.Errorf("no tag: %+v", a)
	}
	pack, err := filepath.Glob(filepath.Join(dir, "objects", s.want.Commit[:2], s.want.Commit[2:]))
	if err != nil || len(pack) != 1 {
		t.Fatalf("%v, %v", pack, err)
	}
	if err := os.Remove(pack[0]); err != nil {
		t.Fatal(err)
	}
	if a := look(s.want)["git remote"]; a.OK {
		t.Errorf("a repository with an object missing: %+v", a)
	}
}

// TestMap: the way to the twins leads nowhere else.
func TestMap(t *testing.T) {
	s := stage(t)
	e := s.Map.Endpoints()
	if _, err := e.Git(t.Context(), gitremote.Remote{URL: "https://example.org/x.git"}); err == nil || !strings.Contains(err.Error(), "no twin") {
		t.Errorf("another remote: %v", err)
	}
	a, err := e.Git(t.Context(), gitremote.Remote{URL: "https://github.com/o/r.git"})
	if err != nil {
		t.Fatal(err)
	}
	if refs, err := a.Refs(t.Context()); err != nil || refs["refs/tags/v1.2.2"].Hash == "" {
		t.Errorf("%v, %v", refs, err)
	}
	if _, err := s.Sign("nobody", nil); err == nil {
		t.Error("signed for a role that there is not")
	}
	signature, err := s.Sign("boss", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verifier().Verify("boss", []byte("x"), signature); err != nil {
		t.Error(err)
	}
	if _, err := s.Verifier().Verify("boss", []byte("y"), signature); err == nil {
		t.Error("a signature of something else counts")
	}
}

// TestClose: keys are gone in the end, and what arrived is there to be looked at.
func TestClose(t *testing.T) {
	s := stage(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"origin.git/HEAD", "github/o/r/releases.json", "github/o/r/releases/v1.2.3/x.tar.gz", "aur/x-bin.git/HEAD"} {
		if _, err := os.Stat(filepath.Join(s.dir, name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(s.dir, private)); err == nil {
		t.Error("keys are left")
	}
	s.World = &World{} // closed once
}

func TestFaults(t *testing.T) {
	names := FaultNames()
	if len(names) < 30 {
		t.Errorf("%d faults", len(names))
	}
	for _, name := range names {
		f, err := plan([]string{name})
		if err != nil || len(f.github)+len(f.git)+len(f.aur) == 0 {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	for _, name := range []string{"", "x", "github/x", "git/", "other/x"} {
		if _, err := plan([]string{name}); err == nil {
			t.Errorf("%q is a fault", name)
		}
	}
}

// TestStart_Fails: what cannot be staged leaves nothing running.
func TestStart_Fails(t *testing.T) {
	w, err := Start(context.Background(), Options{Dir: t.TempDir(), Repository: t.TempDir(), Branch: "main", Base: strings.Repeat("0", 40), Remote: "https://github.com/o/r.git"})
	if err == nil || w != nil || bytes.Contains([]byte(err.Error()), []byte("panic")) {
		t.Errorf("%v, %v", w, err)
	}
}
