package origin

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
	"github.com/imrightguy/slipway/phases/internal/twins/github"
	"github.com/imrightguy/slipway/phases/internal/twins/github/refstest"
)

// need finds git, or skips; where CI is "true" it fails.
func need(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("git"); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("git is not installed")
	}
	t.Skip("git is not installed")
}

// git runs the client program in a folder.
func git(t testing.TB, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=N", "GIT_AUTHOR_EMAIL=n@example.invalid", "GIT_COMMITTER_NAME=N", "GIT_COMMITTER_EMAIL=n@example.invalid",
		"GIT_AUTHOR_DATE=1700000000 +0000", "GIT_COMMITTER_DATE=1700000000 +0000",
	}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func must(t testing.TB, dir string, args ...string) string {
	t.Helper()
	out, err := git(t, dir, args...)
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return out
}

func put(t testing.TB, dir, name, content string) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, dir, "add", "-A")
	must(t, dir, "commit", "-q", "-m", "add "+name)
	return must(t, dir, "rev-parse", "HEAD")
}

// local makes a working repository: main with two commits and tags on the first, side with one of its own.
func local(t testing.TB) string {
	t.Helper()
	need(t)
	dir := t.TempDir()
	must(t, dir, "init", "-q", "-b", "main")
	put(t, dir, "a.txt", "a\n")
	must(t, dir, "tag", "-a", "v0.1", "-m", "first")
	must(t, dir, "tag", "light")
	must(t, dir, "checkout", "-q", "-b", "side")
	put(t, dir, "side.txt", "side\n")
	must(t, dir, "checkout", "-q", "main")
	put(t, dir, "b.txt", "b\n")
	return dir
}

// made is the copy of main, with side pushed to it.
func made(t testing.TB, from string, tags ...string) *Repository {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "o", "r.git")
	if err := Make(t.Context(), dir, from, "main", must(t, from, "rev-parse", "main"), tags...); err != nil {
		t.Fatal(err)
	}
	must(t, from, "push", "-q", dir, "side")
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if out, err := git(t, dir, "fsck", "--strict", "--full", "--no-dangling"); err != nil || out != "" {
			t.Errorf("fsck: %v\n%s", err, out)
		}
	})
	return r
}

func TestRefs(t *testing.T) {
	from := local(t)
	refstest.Test(t, func(t *testing.T) github.Refs { return made(t, from) })
}

// TestRefsPacked is the same after git has packed refs and objects: both are looked up anew each time.
func TestRefsPacked(t *testing.T) {
	from := local(t)
	refstest.Test(t, func(t *testing.T) github.Refs {
		r := made(t, from)
		must(t, r.Dir(), "pack-refs", "--all")
		must(t, r.Dir(), "repack", "-adq")
		return r
	})
}

func TestMakeCopiesWhatIsAskedFor(t *testing.T) {
	from := local(t)
	parent := must(t, from, "rev-parse", "main~1")
	dir := filepath.Join(t.TempDir(), "r.git")
	if err := Make(t.Context(), dir, from, "trunk", parent, "v0.1", "light"); err != nil {
		t.Fatal(err)
	}
	got := must(t, dir, "for-each-ref", "--format=%(refname) %(objecttype) %(objectname)")
	want := fmt.Sprintf("refs/heads/trunk commit %s\nrefs/tags/light commit %s\nrefs/tags/v0.1 tag %s", parent, parent, must(t, from, "rev-parse", "refs/tags/v0.1"))
	if got != want {
		t.Errorf("refs\n%s\nwant\n%s", got, want)
	}
	if head := must(t, dir, "symbolic-ref", "HEAD"); head != "refs/heads/trunk" {
		t.Errorf("HEAD is %s", head)
	}
	if out, err := git(t, dir, "cat-file", "-e", must(t, from, "rev-parse", "main")); err == nil {
		t.Errorf("a later commit was copied: %s", out)
	}
	for name, err := range map[string]error{
		"unknown tag":    Make(t.Context(), filepath.Join(t.TempDir(), "r.git"), from, "main", parent, "none"),
		"unknown commit": Make(t.Context(), filepath.Join(t.TempDir(), "r.git"), from, "main", strings.Repeat("a", 40)),
		"short commit":   Make(t.Context(), filepath.Join(t.TempDir(), "r.git"), from, "main", parent[:7]),
		"hostile branch": Make(t.Context(), filepath.Join(t.TempDir(), "r.git"), from, "a b\ndelete refs/heads/x", parent),
		"option":         Make(t.Context(), filepath.Join(t.TempDir(), "r.git"), from, "main", "--upload-pack=touch x"),
		"no suffix":      Make(t.Context(), filepath.Join(t.TempDir(), "r"), from, "main", parent),
		"no repository":  Make(t.Context(), filepath.Join(t.TempDir(), "r.git"), t.TempDir(), "main", parent),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestOpenRefusesOthers(t *testing.T) {
	from := local(t)
	for _, dir := range []string{from, t.TempDir(), filepath.Join(from, "none")} {
		if _, err := Open(dir); err == nil {
			t.Errorf("%s was opened", dir)
		}
	}
}

func TestHostileNames(t *testing.T) {
	r := made(t, local(t))
	ctx := t.Context()
	tip, err := r.Get(ctx, "refs/heads/main")
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"--all", "-d", "refs/heads/../x", "refs/heads/*", "refs/heads/m?in", "HEAD", "refs/heads/", "refs/heads/a\nb", "", "refs/heads/[m]ain"} {
		if o, err := r.Get(ctx, ref); !errors.Is(err, github.ErrNotFound) {
			t.Errorf("Get(%q): %+v, %v", ref, o, err)
		}
		if err := r.Create(ctx, ref, tip.SHA); err == nil {
			t.Errorf("Create(%q) worked", ref)
		}
		if err := r.Delete(ctx, ref); !errors.Is(err, github.ErrNotFound) {
			t.Errorf("Delete(%q): %v", ref, err)
		}
	}
	odd := "refs/heads/-x'$(id)`id`\"&;é"
	if err := r.Create(ctx, odd, tip.SHA); err != nil {
		t.Error(err)
	}
	if o, err := r.Get(ctx, odd); err != nil || o != tip {
		t.Errorf("odd: %+v, %v", o, err)
	}
	if _, err := os.Stat(filepath.Join(r.Dir(), "HEAD")); err != nil {
		t.Error(err)
	}
}

func TestCompareAgainstGit(t *testing.T) {
	from := local(t)
	must(t, from, "checkout", "-q", "side")
	put(t, from, "c.txt", "1\n2\n3\n")
	must(t, from, "merge", "-q", "--no-ff", "-m", "merge", "main")
	must(t, from, "rm", "-q", "a.txt")
	put(t, from, "c.txt", "1\n3\n4\n5\n")
	r := made(t, from)
	base, head := must(t, from, "rev-parse", "main~1"), must(t, from, "rev-parse", "side")
	c, err := r.Compare(t.Context(), base, head)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	position := map[string]int{}
	for i, a := range c.Ahead {
		got = append(got, a.SHA)
		position[a.SHA] = i + 1
		for _, p := range a.Parents {
			if p != base && position[p] == 0 {
				t.Errorf("%s stands before its parent %s", a.SHA, p)
			}
		}
	}
	want := strings.Fields(must(t, from, "rev-list", base+".."+head))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("ahead %v, want %v", got, want)
	}
	var numstat []string
	for _, f := range c.Files {
		numstat = append(numstat, fmt.Sprintf("%d\t%d\t%s", f.Additions, f.Deletions, f.Name))
	}
	if w := must(t, from, "diff", "--numstat", "--no-renames", base, head); strings.Join(numstat, "\n") != w {
		t.Errorf("files\n%s\nwant\n%s", strings.Join(numstat, "\n"), w)
	}
	// A history without a common ancestor.
	must(t, from, "checkout", "-q", "--orphan", "other")
	other := put(t, from, "o.txt", "o")
	must(t, from, "push", "-q", r.Dir(), "other")
	if _, err := r.Compare(t.Context(), base, other); !errors.Is(err, github.ErrNoCommonAncestor) {
		t.Errorf("error %v", err)
	}
}

func TestSignedTagObjectIsKeptAsItIs(t *testing.T) {
	r := made(t, local(t))
	ctx := t.Context()
	target, err := r.Get(ctx, "refs/heads/main")
	if err != nil {
		t.Fatal(err)
	}
	want := github.Tag{
		Name: "v9", Message: "text\n\nSlipway-Run: x\n", Target: target, Tagger: github.Signature{Name: "N", Email: "n@example.invalid", When: time.Unix(1700000000, 0)},
		PGPSignature: "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n",
	}
	tag, err := r.CreateTagObject(ctx, want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.TagObject(ctx, tag.SHA)
	if err != nil || got.Message != want.Message || got.PGPSignature != want.PGPSignature {
		t.Errorf("tag %+v, %v", got, err)
	}
	if text := must(t, r.Dir(), "cat-file", "tag", tag.SHA); !strings.HasSuffix(text, "text\n\nSlipway-Run: x\n"+strings.TrimSpace(want.PGPSignature)) {
		t.Errorf("git reads\n%s", text)
	}
}

func TestArchive(t *testing.T) {
	r := made(t, local(t))
	tip, _ := r.Get(t.Context(), "refs/heads/main")
	var out, again bytes.Buffer
	for _, w := range []io.Writer{&out, &again} {
		if err := r.Archive(t.Context(), w, tip.SHA, "r-1/"); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(out.Bytes(), again.Bytes()) {
		t.Error("two archives differ")
	}
	z, err := gzip.NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if err != nil {
			break
		}
		if h.Typeflag == tar.TypeReg {
			names = append(names, h.Name)
		}
	}
	if !slices.Equal(names, []string{"r-1/a.txt", "r-1/b.txt"}) {
		t.Errorf("archive has %v", names)
	}
	if err := r.Archive(t.Context(), io.Discard, "--remote=x", ""); !errors.Is(err, github.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}

// TestRace moves one ref from many sides: every change is made by exactly one.
func TestRace(t *testing.T) {
	r := made(t, local(t))
	tip, _ := r.Get(t.Context(), "refs/heads/main")
	var wg sync.WaitGroup
	var mu sync.Mutex
	created := 0
	for range 8 {
		wg.Go(func() {
			err := r.Create(context.Background(), "refs/tags/v1", tip.SHA)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				created++
			} else if !errors.Is(err, github.ErrExists) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if created != 1 {
		t.Errorf("created %d times", created)
	}
}

// world is GitHub's twin and a git server over one repository.
func world(t *testing.T, from string) (*github.Server, *gitd.Server, *Repository, func(method, path, body string) int) {
	t.Helper()
	dir := t.TempDir()
	repo := filepath.Join(dir, "o", "r.git")
	if err := Make(t.Context(), repo, from, "main", must(t, from, "rev-parse", "main")); err != nil {
		t.Fatal(err)
	}
	r, err := Open(repo)
	if err != nil {
		t.Fatal(err)
	}
	hub, err := github.Start(t.Context(), github.Options{
		Dir: t.TempDir(), Limits: github.Limits{WritesPerMinute: -1, WritesPerHour: -1, PerHour: -1},
		Repositories: []github.Repository{{Owner: "o", Name: "r", Refs: r, Immutable: true}},
		Tokens:       []github.Token{{Value: "t", Login: "o", Rights: github.Maintainer()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hub.Close() })
	rules := Rules{Locked: func(tag string) bool { return hub.TagLocked("o", "r", tag) }, Protected: []string{"main"}}
	s, err := gitd.Start(t.Context(), gitd.Options{Dir: dir, Accounts: []gitd.Account{{Name: "o", Token: "t"}}, Update: rules.Update})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Observe("o/r", "start"); err != nil {
		t.Fatal(err)
	}
	r.Changed = func(cause string) {
		if err := s.Observe("o/r", cause); err != nil {
			t.Error(err)
		}
	}
	call := func(method, path, body string) int {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), method, strings.TrimSuffix(hub.URL(), "/")+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", "Bearer t")
		a, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		return a.StatusCode
	}
	return hub, s, r, call
}

// TestOneRepositoryTwoDoors pushes through git, publishes through the API, fetches through git.
func TestOneRepositoryTwoDoors(t *testing.T) {
	from := local(t)
	hub, s, _, call := world(t, from)
	url := strings.Replace(s.HTTPURL("o/r"), "http://", "http://o:t@", 1)
	tip := put(t, from, "c.txt", "c\n")
	must(t, from, "push", "-q", url, "HEAD:refs/heads/release/v1")
	if status := call("GET", "/repos/o/r/git/ref/heads/release/v1", ""); status != 200 {
		t.Errorf("the pushed branch: status %d", status)
	}
	if status := call("POST", "/repos/o/r/releases", `{"tag_name":"v1","target_commitish":"release/v1"}`); status != 201 {
		t.Fatalf("publishing: status %d", status)
	}
	if got := must(t, from, "ls-remote", url, "refs/tags/v1"); got != tip+"\trefs/tags/v1" {
		t.Errorf("the tag that publishing made: %q, want a lightweight one on %s", got, tip)
	}
	var causes []string
	for _, state := range s.History("o/r") {
		causes = append(causes, state.Cause)
	}
	if len(causes) != 3 || causes[0] != "start" || !strings.HasPrefix(causes[1], "push ") || causes[2] != "create refs/tags/v1" {
		t.Errorf("history %q", causes)
	}
	if !hub.TagLocked("o", "r", "v1") {
		t.Fatal("the tag is not locked")
	}
	// The tag of an immutable release stays.
	for _, args := range [][]string{{"push", "-f", url, "main~1:refs/tags/v1"}, {"push", url, ":refs/tags/v1"}} {
		out, err := git(t, from, args...)
		if err == nil || !strings.Contains(out, "remote: - Cannot update this tag: it belongs to an immutable release.") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	if got := must(t, from, "ls-remote", url, "refs/tags/v1"); !strings.HasPrefix(got, tip) {
		t.Errorf("the tag moved: %s", got)
	}
	must(t, from, "push", "-q", url, "main~1:refs/tags/free", "main~1:refs/heads/side")
	must(t, from, "push", "-q", "-f", url, "main:refs/tags/free", "side:refs/heads/side")
	must(t, from, "push", "-q", url, ":refs/tags/free")
}

func TestProtectedBranch(t *testing.T) {
	from := local(t)
	_, s, r, _ := world(t, from)
	url := strings.Replace(s.HTTPURL("o/r"), "http://", "http://o:t@", 1)
	before, _ := r.Get(t.Context(), "refs/heads/main")
	out, err := git(t, from, "push", "-f", url, "side:main")
	if err == nil || !strings.Contains(out, "remote: error: GH006: Protected branch update failed for refs/heads/main.") || !strings.Contains(out, "remote: error: Cannot force-push to a protected branch") {
		t.Errorf("forced: %v\n%s", err, out)
	}
	// git itself would let HEAD's branch be deleted when HEAD names another one.
	must(t, r.Dir(), "symbolic-ref", "HEAD", "refs/heads/other")
	if out, err := git(t, from, "push", url, ":main"); err == nil || !strings.Contains(out, "Cannot delete a protected branch") {
		t.Errorf("deleted: %v\n%s", err, out)
	}
	if now, err := r.Get(t.Context(), "refs/heads/main"); err != nil || now != before {
		t.Errorf("main is %+v, %v", now, err)
	}
	tip := put(t, from, "d.txt", "d\n")
	must(t, from, "push", "-q", url, "main")
	if now, err := r.Get(t.Context(), "refs/heads/main"); err != nil || now.SHA != tip {
		t.Errorf("main is %+v, %v", now, err)
	}
}
