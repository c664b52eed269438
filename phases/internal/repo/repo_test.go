package repo

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestOpen_Forms(t *testing.T) {
	dir := fixture(t, sample)
	want := git(t, dir, "rev-parse", "HEAD")
	check := func(t *testing.T, at, root string) {
		t.Helper()
		r := open(t, at)
		if real, _ := filepath.EvalSymlinks(root); r.Root() != root && r.Root() != real {
			t.Errorf("root is %s, want %s", r.Root(), root)
		}
		c := head(t, r)
		if c.ID != want || c.Tree != git(t, dir, "rev-parse", want+"^{tree}") {
			t.Errorf("head is %+v, want %s", c, want)
		}
		if !c.Time.Equal(time.Date(2025, 6, 29, 21, 50, 0, 0, time.UTC)) || c.Time.Location() != time.UTC {
			t.Errorf("time is %s", c.Time)
		}
		for name, content := range sample {
			if kind, path, ok := strings.Cut(name, ":"); !ok || kind == "x" {
				if !ok {
					path = name
				}
				if got, err := r.File(c.ID, path); err != nil || string(got) != content {
					t.Errorf("%s: %q, %v; want %q", path, got, err, content)
				}
			}
		}
		out := filepath.Join(t.TempDir(), "out")
		if err := r.Export(t.Context(), c.ID, out); err != nil {
			t.Error(err)
		}
	}
	t.Run("root", func(t *testing.T) { check(t, dir, dir) })
	t.Run("folder inside", func(t *testing.T) { check(t, filepath.Join(dir, "lib", "a"), dir) })
	t.Run("packed", func(t *testing.T) {
		clone := filepath.Join(t.TempDir(), "clone")
		git(t, dir, "clone", "-q", "--no-local", dir, clone)
		git(t, clone, "gc", "-q", "--aggressive")
		if _, err := os.Stat(filepath.Join(clone, ".git", "packed-refs")); err != nil {
			t.Fatal(err)
		}
		check(t, clone, clone)
	})
	t.Run("added worktree", func(t *testing.T) {
		tree := filepath.Join(t.TempDir(), "tree")
		git(t, dir, "worktree", "add", "-q", "-b", "side", tree)
		check(t, filepath.Join(tree, "lib"), tree)
		git(t, dir, "pack-refs", "--all")
		check(t, tree, tree)
	})
	t.Run("worktree elsewhere than main", func(t *testing.T) {
		tree := filepath.Join(t.TempDir(), "tree")
		git(t, dir, "worktree", "add", "-q", "-b", "other", tree)
		git(t, tree, "commit", "-q", "--allow-empty", "-m", "further")
		if got := head(t, open(t, tree)).ID; got != git(t, tree, "rev-parse", "HEAD") || got == want {
			t.Errorf("head of the worktree is %s", got)
		}
	})
	t.Run("detached", func(t *testing.T) {
		clone := filepath.Join(t.TempDir(), "clone")
		git(t, dir, "clone", "-q", dir, clone)
		git(t, clone, "checkout", "-q", "--detach")
		check(t, clone, clone)
	})
	t.Run("borrowing", func(t *testing.T) {
		clone := filepath.Join(t.TempDir(), "clone")
		git(t, dir, "clone", "-q", "--shared", dir, clone)
		check(t, clone, clone)
		second := filepath.Join(filepath.Dir(clone), "second")
		git(t, dir, "clone", "-q", "--shared", clone, second)
		if err := os.WriteFile(filepath.Join(second, ".git/objects/info/alternates"), []byte("# comment\n../../../clone/.git/objects\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		check(t, second, second)
	})
	t.Run("shallow", func(t *testing.T) {
		clone := filepath.Join(t.TempDir(), "clone")
		git(t, dir, "clone", "-q", "--depth=1", "file://"+dir, clone)
		check(t, clone, clone)
		if shallow, err := open(t, clone).Shallow(); err != nil || !shallow {
			t.Errorf("Shallow() = %v, %v", shallow, err)
		}
		if shallow, err := open(t, dir).Shallow(); err != nil || shallow {
			t.Errorf("Shallow() = %v, %v", shallow, err)
		}
	})
	t.Run("sparse", func(t *testing.T) {
		clone := filepath.Join(t.TempDir(), "clone")
		git(t, dir, "clone", "-q", dir, clone)
		git(t, clone, "sparse-checkout", "set", "lib")
		git(t, clone, "config", "remote.other.prune", "true") // a remote without address
		check(t, clone, clone)
	})
	t.Run("packed anew while open", func(t *testing.T) {
		clone := filepath.Join(t.TempDir(), "clone")
		git(t, dir, "clone", "-q", "--no-local", dir, clone)
		r := open(t, clone)
		c := head(t, r)
		git(t, clone, "commit", "-q", "--allow-empty", "-m", "x")
		git(t, clone, "repack", "-q", "-a", "-d")
		if _, err := r.File(c.ID, "lib/a/b/c.txt"); err != nil {
			t.Error(err)
		}
	})
}

func TestOpen_Refused(t *testing.T) {
	need(t, "git")
	fails := func(name, why string, make func(t *testing.T, dir string) string) {
		t.Run(name, func(t *testing.T) {
			r, err := Open(make(t, t.TempDir()))
			if err == nil {
				_, err = r.Head()
			}
			if err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%v; want an error with %q", err, why)
			}
		})
	}
	fails("no repository", "git init", func(t *testing.T, dir string) string { return dir })
	fails("no folder", "git init", func(t *testing.T, dir string) string { return filepath.Join(dir, "x", "y") })
	fails("a file", "git init", func(t *testing.T, dir string) string {
		f := filepath.Join(dir, "f")
		_ = os.WriteFile(f, nil, 0o666)
		return f
	})
	fails("bare", "bare repository", func(t *testing.T, dir string) string { git(t, dir, "init", "-q", "--bare"); return dir })
	fails("inside .git", "inside of .git", func(t *testing.T, dir string) string {
		git(t, dir, "init", "-q")
		return filepath.Join(dir, ".git", "objects")
	})
	fails("unborn", "git commit", func(t *testing.T, dir string) string { git(t, dir, "init", "-q"); return dir })
	fails("sha256", "sha256", func(t *testing.T, dir string) string {
		git(t, dir, "init", "-q", "--object-format=sha256")
		git(t, dir, "commit", "-q", "--allow-empty", "-m", "x")
		return dir
	})
	fails("reftable", "reftable", func(t *testing.T, dir string) string {
		git(t, dir, "init", "-q")
		git(t, dir, "config", "core.repositoryformatversion", "1")
		git(t, dir, "config", "extensions.refStorage", "reftable")
		return dir
	})
	fails("empty .git", "not a git repository", func(t *testing.T, dir string) string {
		_ = os.Mkdir(filepath.Join(dir, ".git"), 0o777)
		return dir
	})
	fails("moved worktree", "git worktree repair", func(t *testing.T, dir string) string {
		_ = os.WriteFile(filepath.Join(dir, ".git"), []byte("gitdir: /nowhere/x\n"), 0o666)
		return dir
	})
	fails("a .git file of something else", "does not name", func(t *testing.T, dir string) string {
		_ = os.WriteFile(filepath.Join(dir, ".git"), []byte("hello\n"), 0o666)
		return dir
	})
	fails("lost alternate", "no such folder", func(t *testing.T, dir string) string {
		git(t, dir, "init", "-q")
		_ = os.WriteFile(filepath.Join(dir, ".git/objects/info/alternates"), []byte("/nowhere/objects\n"), 0o666)
		return dir
	})
	fails("HEAD of nonsense", "HEAD", func(t *testing.T, dir string) string {
		git(t, dir, "init", "-q")
		_ = os.WriteFile(filepath.Join(dir, ".git/HEAD"), []byte("ref: HEAD\n"), 0o666)
		return dir
	})
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v is not ErrNotFound", err)
	}
}

func TestFile_Refused(t *testing.T) {
	dir := fixture(t, sample)
	r := open(t, dir)
	c := head(t, r)
	for path, why := range map[string]string{
		"nothing": "not exist", "lib/nothing": "not exist", "VERSION/x": "not exist", "lib": "folder", "up": "symbolic link", "up/b": "not exist",
		"../x": "not a path", "/etc/passwd": "not a path", ".": "not a path", "": "not a path", "lib//a.txt": "not a path",
	} {
		if b, err := r.File(c.ID, path); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("File(%q) = %q, %v; want an error with %q", path, b, err, why)
		}
	}
	if _, err := r.File(c.ID, "nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not ErrNotExist", err)
	}
	for _, id := range []string{"", "HEAD", "main", c.ID[:12], strings.ToUpper(c.ID), "--all", strings.Repeat("0", 40), c.Tree} {
		if _, err := r.Commit(id); err == nil || !strings.Contains(err.Error(), "cannot read commit") {
			t.Errorf("Commit(%q): %v", id, err)
		}
	}
}

func TestTagsAt(t *testing.T) {
	dir := fixture(t, sample)
	first := git(t, dir, "rev-parse", "HEAD")
	git(t, dir, "tag", "v0.0.9")
	git(t, dir, "commit", "-q", "--allow-empty", "-m", "x")
	git(t, dir, "tag", "v0.1.0-light")
	git(t, dir, "tag", "-a", "-m", "x", "v0.1.0")
	git(t, dir, "tag", "-a", "-m", "x", "nested/v0.1.0", "v0.1.0")
	git(t, dir, "tag", "a-tree", "HEAD^{tree}")
	for range 2 {
		r := open(t, dir)
		tags, err := r.TagsAt(head(t, r).ID)
		if want := []Tag{{"nested/v0.1.0", true}, {"v0.1.0", true}, {"v0.1.0-light", false}}; err != nil || !slices.Equal(tags, want) {
			t.Errorf("%v, %v; want %v", tags, err, want)
		}
		if tags, err := r.TagsAt(first); err != nil || !slices.Equal(tags, []Tag{{"v0.0.9", false}}) {
			t.Errorf("%v, %v", tags, err)
		}
		git(t, dir, "gc", "-q") // again with packed refs
	}
}

func TestDirty(t *testing.T) {
	dir := fixture(t, sample)
	r := open(t, dir)
	if files, err := r.Dirty(t.Context()); err != nil || len(files) > 0 {
		t.Errorf("clean: %q, %v", files, err)
	}
	// What the repository's own settings name is not started, and the index not written.
	evil := filepath.Join(t.TempDir(), "evil")
	hook := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\ntouch "+evil+"\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	git(t, dir, "config", "core.fsmonitor", hook)
	index, _ := os.ReadFile(filepath.Join(dir, ".git/index"))
	for name, content := range map[string]string{"VERSION": "0.1.0\n\n", "ünïcode name 'q\" $": "y", "untracked": "x", "lib/empty": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.Remove(filepath.Join(dir, "-rf"))
	files, err := r.Dirty(t.Context())
	if want := []string{"-rf", "VERSION", "ünïcode name 'q\" $"}; err != nil || !slices.Equal(files, want) {
		t.Errorf("%q, %v; want %q", files, err, want)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, ".git/index")); string(after) != string(index) {
		t.Error("the index was written")
	}
	if _, err := os.Stat(evil); err == nil {
		t.Error("the monitor program was started")
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := r.Dirty(t.Context()); err == nil {
		t.Error("without git nothing is known, and no error says so")
	}
}
