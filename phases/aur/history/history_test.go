package history

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"
)

// The trees and commits are those that the git program makes.
func TestObjects(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	files := map[string][]byte{"PKGBUILD": []byte("a\n"), ".SRCINFO": []byte("b\n"), "keys/pgp/x.asc": []byte("c"), "keys.txt": {}, "keys-x": []byte("d")}
	dir := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=A B", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=A B",
			"GIT_COMMITTER_EMAIL=a@example.org", "GIT_AUTHOR_DATE=1700000000 +0000", "GIT_COMMITTER_DATE=1700000000 +0000",
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("init", "-q", "-b", "master")
	for name, b := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run("add", "-A")
	run("commit", "-q", "-m", "Initial import of 1-1\n\nSlipway-Run: abc")
	s := memory.NewStorage()
	tree, err := Tree(s, files)
	if err != nil {
		t.Fatal(err)
	}
	if want := run("rev-parse", "HEAD^{tree}"); tree.String() != want {
		t.Errorf("tree %s, git makes %s", tree, want)
	}
	change := Change{Tree: tree, Name: "A B", Email: "a@example.org", Time: time.Unix(1.7e9, 0).In(time.FixedZone("x", 3600)), Version: "1-1", Run: "abc"}
	id, err := Commit(s, change)
	if err != nil {
		t.Fatal(err)
	}
	if want := run("rev-parse", "HEAD"); id.String() != want {
		t.Errorf("commit %s, git makes %s", id, want)
	}
	r, err := git.Init(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	there, err := Files(r, id)
	if err != nil || len(there) != len(files) {
		t.Fatalf("%v %v", there, err)
	}
	if d, err := Diff(there, Wanted(files)); err != nil || d != "" {
		t.Errorf("%q %v", d, err)
	}
	// On top of it: found again by its marker and its tree, and by nothing else.
	change.Parent = id
	if change.Tree, err = Tree(s, map[string][]byte{"PKGBUILD": []byte("b\n")}); err != nil {
		t.Fatal(err)
	}
	top, err := Commit(s, change)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		base, tree, want plumbing.Hash
		run              string
	}{
		{id, change.Tree, top, "abc"},
		{plumbing.ZeroHash, tree, id, "abc"},
		{id, tree, plumbing.ZeroHash, "abc"},
		{plumbing.ZeroHash, tree, plumbing.ZeroHash, "abcd"},
		{top, change.Tree, plumbing.ZeroHash, "abc"},
	} {
		if got, err := Find(r, top, c.base, c.tree, c.run); err != nil || got != c.want {
			t.Errorf("%+v: %s %v", c, got, err)
		}
	}
	// Somebody who has pulled before he pushed: what the AUR had is the second parent of a merge, after a commit of his own.
	child := func(parents ...plumbing.Hash) plumbing.Hash {
		t.Helper()
		c := &object.Commit{TreeHash: tree, Message: fmt.Sprintln(parents), ParentHashes: parents}
		o := s.NewEncodedObject()
		if err := c.Encode(o); err != nil {
			t.Fatal(err)
		}
		id, err := s.SetEncodedObject(o)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	aside := child(id)
	merged := child(child(aside, top))
	if got, err := Find(r, merged, id, change.Tree, "abc"); err != nil || got != top {
		t.Errorf("behind a merge: %s %v", got, err)
	}
	for _, c := range []struct {
		tip, commit plumbing.Hash
		n           int
		has         bool
	}{
		{top, top, 0, true},
		{top, id, 1, true},
		{id, top, 0, false},
		{aside, top, 0, false},
		{merged, top, 3, true},
		{merged, aside, 3, true},
		{merged, id, 4, true},
		{plumbing.ZeroHash, id, 0, false},
		{top, plumbing.ZeroHash, 0, false},
	} {
		if n, has, err := Above(r, c.tip, c.commit); err != nil || n != c.n || has != c.has {
			t.Errorf("%+v: %d %v %v", c, n, has, err)
		}
	}
	lost := child(plumbing.NewHash("1234"))
	if _, _, err := Above(r, lost, id); err == nil {
		t.Error("a history that is not all there was counted")
	}
	if _, err := Find(r, lost, id, tree, "abc"); err == nil {
		t.Error("a history that is not all there was searched")
	}
	if got := Describe(r, top); !strings.HasSuffix(got, " by A B: Update to 1-1") {
		t.Errorf("%q", got)
	}
}

func TestRefused(t *testing.T) {
	s := memory.NewStorage()
	for _, name := range []string{"", "..", "a/../b", ".git", ".GIT/config", "/x", "a//b", "a/", `a\b`, "a\x00b"} {
		if _, err := Tree(s, map[string][]byte{name: nil}); err == nil {
			t.Errorf("%q was committed", name)
		}
	}
	if _, err := Tree(s, map[string][]byte{"a": nil, "a/b": nil}); err == nil {
		t.Error("a file and a folder of one name were committed")
	}
	good := Change{Name: "A", Email: "a@b", Version: "1", Run: "r"}
	for _, change := range []func(*Change){
		func(c *Change) { c.Version = "1\n\nSlipway-Run: x" }, func(c *Change) { c.Run = "" }, func(c *Change) { c.Name = "A <x>" }, func(c *Change) { c.Email = "" },
	} {
		c := good
		change(&c)
		if _, err := Commit(s, c); err == nil {
			t.Errorf("%+v was committed", c)
		}
	}
	for text, want := range map[string]string{"a\n\nSlipway-Run: x\n": "x", "Slipway-Run: x": "x", "a\nSlipway-Run: x\nb\n": "", "": "", "a\n\nSlipway-Run: \n": ""} {
		if got := Marker(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// What people are shown is bounded, and every character of it can be seen.
func TestDiff(t *testing.T) {
	old := Wanted(map[string][]byte{"a": []byte("one\ntwo\n"), "gone": []byte("x\n"), "bin": {0, 1}, "same": []byte("s")})
	want := Wanted(map[string][]byte{
		"a": []byte("one\n2 \x1b[31m \u202ered\n"), "bin": {0, 2}, "same": []byte("s"), "big": []byte(strings.Repeat("y\n", maxShown)), "new\nname": []byte("n\n"),
	})
	d, err := Diff(old, want)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"-two\n", `+2 \x1b[31m \u202ered`, "-x\n", "--- bin: 2 bytes, afterwards 2 bytes (binary)", "--- big: nothing, afterwards 131072 bytes", `new\nname`, "+n"} {
		if !strings.Contains(d+"\n", text) {
			t.Errorf("%q is missing in\n%s", text, d)
		}
	}
	if strings.Contains(d, "same") || strings.ContainsAny(d, "\x1b\u202e") {
		t.Errorf("%q", d)
	}
	many := map[string][]byte{"a": []byte(strings.Repeat("z\n", 3000) + strings.Repeat("w", 5000) + "\n")}
	if d, err = Diff(nil, Wanted(many)); err != nil || strings.Count(d, "\n") != maxLines || !strings.HasSuffix(d, "more lines") {
		t.Errorf("%d lines, %v", strings.Count(d, "\n"), err)
	}
}

func FuzzDiff(f *testing.F) {
	f.Add("one\ntwo\n", "one\n2")
	f.Add("", "\x1b]0;x\a")
	f.Add("a\r\n", "\xff")
	f.Fuzz(func(t *testing.T, a, b string) {
		d, err := Diff(Wanted(map[string][]byte{"f": []byte(a)}), Wanted(map[string][]byte{"f": []byte(b)}))
		if err != nil || !utf8.ValidString(d) || (d == "") != (a == b) {
			t.Fatalf("%q %v", d, err)
		}
		for line := range strings.Lines(d) {
			if line = strings.TrimSuffix(line, "\n"); visible(line) != line || utf8.RuneCountInString(line) > maxWidth+3 {
				t.Fatalf("%q", line)
			}
		}
	})
}
