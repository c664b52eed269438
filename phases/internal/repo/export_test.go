package repo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

func TestExport_EqualsCheckout(t *testing.T) {
	dir := fixture(t, sample)
	r := open(t, dir)
	c := head(t, r)
	// What git would convert or leave out is laid out as committed all the same.
	for _, conf := range [][2]string{{"core.autocrlf", "true"}, {"filter.x.smudge", "cat /etc/passwd"}} {
		git(t, dir, "config", conf[0], conf[1])
	}
	before := listing(t, filepath.Join(dir, ".git"))
	out := filepath.Join(t.TempDir(), "out")
	if err := r.Export(t.Context(), c.ID, out); err != nil {
		t.Fatal(err)
	}
	if listing(t, filepath.Join(dir, ".git")) != before {
		t.Error("the repository was written to")
	}
	git(t, dir, "config", "core.autocrlf", "false")
	git(t, dir, "config", "core.symlinks", "true")
	want := t.TempDir()
	git(t, dir, "checkout-index", "-a", "--prefix="+want+"/")
	if got, want := listing(t, out), listing(t, want); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// The judge: with the folder as its working tree and a fresh index, git sees no difference.
	git(t, dir, "read-tree", c.Tree)
	if status := git(t, dir, "--work-tree="+out, "status", "--porcelain"); status != "" {
		t.Errorf("git sees differences:\n%s", status)
	}
	err := filepath.Walk(out, func(p string, info os.FileInfo, err error) error {
		if err == nil && info.Mode()&os.ModeSymlink == 0 && !info.ModTime().Equal(c.Time) {
			t.Errorf("%s has time %s, want %s", p, info.ModTime(), c.Time)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := r.Export(t.Context(), c.ID, out); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("into a folder with something in it: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Export(cancelled, c.ID, filepath.Join(t.TempDir(), "out")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// treeLine is one line of a raw tree object.
func treeLine(mode, name, id string) string {
	raw, _ := hex.DecodeString(id)
	return mode + " " + name + "\x00" + string(raw)
}

// rawCommit makes a commit of a tree object that no git would write.
func rawCommit(t testing.TB, dir, tree string) string {
	t.Helper()
	id := gitIn(t, dir, tree, "hash-object", "-t", "tree", "-w", "--literally", "--stdin")
	return git(t, dir, "commit-tree", "-m", "x", id)
}

func TestExport_Refused(t *testing.T) {
	dir := fixture(t, map[string]string{"f": "content", "d/g": "content"})
	blob, sub := git(t, dir, "rev-parse", "HEAD:f"), git(t, dir, "rev-parse", "HEAD:d")
	put := func(s string) string { return gitIn(t, dir, s, "hash-object", "-w", "--stdin") }
	file := func(name string) string { return treeLine("100644", name, blob) }
	to := func(name, target string) string { return treeLine("120000", name, put(target)) }
	pointer := "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
	for _, c := range []struct{ name, tree, why string }{
		{"dot", file("."), `"/.": the name stands for a folder`},
		{"dot dot", treeLine("40000", "..", sub), "stands for a folder"},
		{"dot git", file(".git"), ".git"},
		{"dot GIT", treeLine("40000", ".GIT", sub), ".git"},
		{"dot git dot", file(".git. "), ".git"},
		{"git tilde", file("GIT~1"), ".git"},
		{"hfs", file(".g\u200cit"), ".git"},
		{"ntfs stream", file(".git::$INDEX_ALLOCATION"), ".git"},
		{"slash", file("a/b"), `malformed: name "a/b"`},
		{"climbing", file("../../evil"), "malformed"},
		{"absolute", file("/etc/evil"), "malformed"},
		{"empty name", file(""), "malformed"},
		{"twice", file("a") + file("a"), "malformed"},
		{"file and folder", file("a") + treeLine("40000", "a", sub), "malformed"},
		{"newline", file("a\nb"), "control character"},
		{"escape", file("a\x1b[2Jb"), "control character"},
		{"backslash", file(`a\b`), "backslash"},
		{"latin 1", file("a\xe4"), "not UTF-8"},
		{"long", file(strings.Repeat("x", 256)), "255"},
		{"mode", treeLine("100777", "a", blob), `mode "100777"`},
		{"device", treeLine("20666", "a", blob), "mode"},
		{"padded mode", treeLine("040000", "d", sub), "mode"},
		{"truncated", file("a")[:20], "malformed"},
		{"submodule", treeLine("160000", "vendor/"[:6], strings.Repeat("12", 20)), `"vendor" is a submodule`},
		{"blob as folder", treeLine("40000", "d", blob), "not found"},
		{"folder as blob", treeLine("100644", "d", sub), `"d": blob ` + sub},
		{"missing", treeLine("100644", "lost", strings.Repeat("12", 20)), `"lost"`},
		{"missing folder", treeLine("40000", "lost", strings.Repeat("12", 20)), `"lost"`},
		{"pointer", treeLine("100644", "big.bin", put(pointer)), `"big.bin": it is a pointer of Git LFS`},
		{"old pointer", treeLine("100755", "big.bin", put(strings.Replace(pointer, "git-lfs.github", "hawser.github", 1))), "Git LFS"},
		{"encrypted", treeLine("100644", "key", put("\x00GITCRYPT\x00abc")), "git-crypt"},
		{"dangling", to("l", "nothing"), `symbolic link "l" to "nothing" leads nowhere`},
		{"dangling through file", file("f") + to("l", "f/x"), "leads nowhere"},
		{"dangling slash", file("f") + to("l", "f/"), "leads nowhere"},
		{"no target", to("l", ""), "leads nowhere"},
		{"escaping", to("l", "../../etc/passwd"), "leads out of the tree"},
		{"absolute link", to("l", "/etc/passwd"), "leads out of the tree"},
		{"out and back", file("f") + to("l", "../"+filepath.Base(dir)+"/f"), "leads out of the tree"},
		{"circle", to("a", "b") + to("b", "a"), "leads in a circle"},
		{"itself", to("a", "a"), "leads in a circle"},
		{"through another", treeLine("40000", "d", sub) + to("e", "d/..") + to("l", "e/.."), "leads out of the tree"},
		{"link with newline", to("l", "a\nb"), "not a usable path"},
		{"link latin 1", to("l", "a\xe4"), "not a usable path"},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := rawCommit(t, dir, c.tree)
			out := filepath.Join(t.TempDir(), "out")
			err := open(t, dir).Export(t.Context(), id, out)
			if err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%v; want an error with %q", err, c.why)
			} else if strings.ContainsAny(err.Error(), "\n\r\x1b\x00") {
				t.Errorf("the error is not one line: %q", err)
			}
		})
	}
	t.Run("nothing is written before the names are known", func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "out")
		_ = open(t, dir).Export(t.Context(), rawCommit(t, dir, file("a")+file("b\n")), out)
		if _, err := os.Stat(out); err == nil {
			t.Error("the folder is there")
		}
	})
}

func TestExport_Unusual(t *testing.T) {
	dir := fixture(t, map[string]string{"f": "content"})
	blob := git(t, dir, "rev-parse", "HEAD:f")
	empty := gitIn(t, dir, "", "hash-object", "-t", "tree", "-w", "--stdin")
	notPointer := gitIn(t, dir, "version https://git-lfs.github.com/spec/v1 is what a pointer begins with\n", "hash-object", "-w", "--stdin")
	for name, tree := range map[string]string{
		"an empty tree":             "",
		"an empty folder":           treeLine("40000", "d", empty),
		"the mode of early gits":    treeLine("100664", "f", blob),
		"names that are only odd":   treeLine("100644", ".gitignore", blob) + treeLine("100644", "con", blob) + treeLine("100644", "a:b", blob) + treeLine("100644", "...", blob),
		"a text about LFS":          treeLine("100644", "f", notPointer),
		"a longest name":            treeLine("100644", strings.Repeat("x", 255), blob),
		"a tree in no order":        treeLine("100644", "z", blob) + treeLine("100644", "a", blob),
		"names that differ by case": treeLine("100644", "A", blob) + treeLine("100644", "a", blob),
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, "case") && runtime.GOOS != "linux" {
				t.Skip("the file system may fold case")
			}
			out := filepath.Join(t.TempDir(), "out")
			if err := open(t, dir).Export(t.Context(), rawCommit(t, dir, tree), out); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestExport_Damaged: an object whose content is not what its name says is never laid out.
func TestExport_Damaged(t *testing.T) {
	dir := fixture(t, map[string]string{"f": "content of f\n", "g": "content of g\n"})
	for _, pack := range glob(t, dir, ".git/objects/pack/*.pack") {
		tmp := filepath.Join(t.TempDir(), "pack")
		if err := os.Rename(pack, tmp); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(strings.TrimSuffix(pack, "pack") + "idx")
		content, _ := os.ReadFile(tmp)
		gitIn(t, dir, string(content), "unpack-objects", "-q")
	}
	loose := func(name string) string {
		id := git(t, dir, "rev-parse", "HEAD:"+name)
		return filepath.Join(dir, ".git/objects", id[:2], id[2:])
	}
	f, err := os.ReadFile(loose("f"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"of another": f, "cut": f[:len(f)/2], "empty": {}, "noise": []byte("noise")} {
		_ = os.Remove(loose("g"))
		if err := os.WriteFile(loose("g"), content, 0o666); err != nil {
			t.Fatal(err)
		}
		r := open(t, dir)
		err := r.Export(t.Context(), head(t, r).ID, filepath.Join(t.TempDir(), "out"))
		if err == nil || !strings.Contains(err.Error(), `"g"`) {
			t.Errorf("%s: %v; want an error that names g", name, err)
		}
		if b, err := r.File(head(t, r).ID, "g"); err == nil {
			t.Errorf("%s: read %q", name, b)
		}
	}
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestExport_PartialClone(t *testing.T) {
	dir := fixture(t, sample)
	git(t, dir, "config", "uploadpack.allowFilter", "true")
	clone := filepath.Join(t.TempDir(), "clone")
	git(t, dir, "clone", "-q", "--no-checkout", "--filter=blob:none", "file://"+dir, clone)
	r := open(t, clone)
	err := r.Export(t.Context(), head(t, r).ID, filepath.Join(t.TempDir(), "out"))
	if err == nil || !strings.Contains(err.Error(), "partial clone") {
		t.Errorf("%v; want an error that says why", err)
	}
}

// TestExport_Streams lays out files much larger than the memory that may be used: loose, packed, and packed as a delta.
func TestExport_Streams(t *testing.T) {
	const size = 16 << 20
	defer debug.SetGCPercent(debug.SetGCPercent(10)) // so that garbage counts for little
	dir := fixture(t, map[string]string{"f": "x"})
	random := rand.NewChaCha8([32]byte{1})
	big := make([]byte, size)
	_, _ = random.Read(big)
	add := func() {
		if err := os.WriteFile(filepath.Join(dir, "big.bin"), big, 0o666); err != nil {
			t.Fatal(err)
		}
		git(t, dir, "-c", "core.compression=0", "add", "big.bin")
		git(t, dir, "commit", "-q", "-m", "big")
	}
	add()
	export := func(name string, most int64) {
		t.Helper()
		r := open(t, dir)
		c := head(t, r)
		out := filepath.Join(t.TempDir(), "out")
		stop, peak := make(chan struct{}), make(chan uint64)
		runtime.GC()
		var start runtime.MemStats
		runtime.ReadMemStats(&start)
		go func() {
			var m runtime.MemStats
			var most uint64
			for {
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
				select {
				case <-stop:
					peak <- most
					return
				case <-time.After(2 * time.Millisecond):
				}
			}
		}()
		err := r.Export(t.Context(), c.ID, out)
		close(stop)
		if used := int64(<-peak) - int64(start.HeapAlloc); used > most {
			t.Errorf("%s: %d MiB in use", name, used>>20)
		}
		runtime.KeepAlive(big)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := git(t, dir, "hash-object", filepath.Join(out, "big.bin")); got != git(t, dir, "rev-parse", "HEAD:big.bin") {
			t.Errorf("%s: the content differs", name)
		}
	}
	export("loose", size/2)
	git(t, dir, "-c", "core.compression=0", "repack", "-q", "-a", "-d")
	export("packed", size/2)
	// The second version is made of the first one's parts, the last of them first, so that the delta goes back.
	big = slices.Concat(big[size/2:], big[:size/2-1<<20], []byte("the end"))
	add()
	git(t, dir, "-c", "core.compression=0", "repack", "-q", "-a", "-d", "-f")
	if !strings.Contains(git(t, dir, "verify-pack", "-v", glob(t, dir, ".git/objects/pack/*.idx")[0]), "chain length = 1") {
		t.Error("there is no delta in the pack")
	}
	export("a delta or its base", size/2)
	git(t, dir, "reset", "-q", "--hard", "HEAD~1")
	big = nil
	export("the other one", size/2)
}

// TestFollow_AsTheKernel compares with the operating system, over random trees of folders and links.
func TestFollow_AsTheKernel(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	accepted, refused := 0, 0
	for round := range 60 {
		outer := t.TempDir()
		root := filepath.Join(outer, "o", "p")
		x := &exporter{known: map[string]kind{"": folder}, targets: map[string]string{}}
		for _, d := range []string{"a", "a/b", "c"} {
			x.known[d] = folder
			if err := os.MkdirAll(filepath.Join(root, d), 0o777); err != nil {
				t.Fatal(err)
			}
		}
		x.known["a/f"] = file
		if err := os.WriteFile(filepath.Join(root, "a/f"), nil, 0o666); err != nil {
			t.Fatal(err)
		}
		parts := []string{"a", "b", "c", "f", "..", "..", ".", "", "l0", "l1", "l2", "l3", "p", "x"}
		for i := range 6 {
			var target []string
			for range 1 + random.IntN(4) {
				target = append(target, parts[random.IntN(len(parts))])
			}
			at := []string{"", "a/", "a/b/", "c/"}[random.IntN(4)] + fmt.Sprint("l", i)
			text := strings.Trim(strings.Join(target, "/"), "/")
			if text == "" {
				text = "."
			}
			x.known[at], x.targets[at] = link, text
			if err := os.Symlink(text, filepath.Join(root, at)); err != nil {
				t.Fatal(err)
			}
		}
		for at, target := range x.targets {
			err := x.follow(at)
			real, kernel := filepath.EvalSymlinks(filepath.Join(root, at))
			switch {
			case err == nil:
				accepted++
				if kernel != nil || real != root && !strings.HasPrefix(real, root+"/") {
					t.Errorf("seed %d, round %d: %s -> %s accepted; the kernel says %s, %v; %v", seed, round, at, target, real, kernel, x.targets)
				}
			case strings.Contains(err.Error(), "out of the tree"):
				refused++
			default:
				refused++
				if _, kernel := os.Stat(filepath.Join(root, at)); kernel == nil {
					t.Errorf("seed %d, round %d: %s -> %s refused: %v; the kernel finds it; %v", seed, round, at, target, err, x.targets)
				}
			}
		}
	}
	if accepted < 30 || refused < 30 {
		t.Errorf("seed %d: %d accepted and %d refused tell little", seed, accepted, refused)
	}
}

// FuzzTree: whatever a tree object holds, reading it ends well, and every name that is let through is one plain name.
func FuzzTree(f *testing.F) {
	id := strings.Repeat("12", 20)
	for _, s := range []string{"", treeLine("100644", "a", id), treeLine("40000", "d", id) + treeLine("120000", "l", id), treeLine("160000", ".git", id), "100644 a", "100644 \x00", " \x00" + strings.Repeat("x", 20)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := parseTree(b)
		if err != nil {
			return
		}
		var again strings.Builder
		for _, e := range entries {
			modes := map[kind][]string{file: {"100644", "100664"}, program: {"100755"}, folder: {"40000"}, link: {"120000"}, module: {"160000"}}[e.kind]
			i := slices.IndexFunc(modes, func(m string) bool { return strings.HasPrefix(string(b[again.Len():]), m+" ") })
			if i < 0 {
				t.Fatalf("%q is read as a %s", b[again.Len():], e.kind)
			}
			again.WriteString(treeLine(modes[i], e.name, e.id.String()))
			if checkName(e.name) == nil && (filepath.Base(e.name) != e.name || !filepath.IsLocal(e.name) || strings.EqualFold(e.name, ".git")) {
				t.Fatalf("name %q is let through", e.name)
			}
		}
		if again.String() != string(b) {
			t.Fatalf("%q is read as %q", b, again.String())
		}
		tree := plumbing.ComputeHash(plumbing.TreeObject, b)
		o := &plumbing.MemoryObject{}
		o.SetType(plumbing.TreeObject)
		_, _ = o.Write(b)
		x := &exporter{objects: &objects{}, fresh: map[plumbing.Hash]plumbing.EncodedObject{tree: o}, known: map[string]kind{"": folder}, targets: map[string]string{}}
		if err := x.survey(t.Context(), tree, ""); err == nil {
			_ = x.checkLinks()
		}
	})
}

// FuzzDelta compares with go-git's own, which holds base and outcome in memory.
func FuzzDelta(f *testing.F) {
	f.Add([]byte("0123456789"), []byte("\x0a\x06\x91\x02\x03\x03abc"))
	f.Add([]byte("0123456789"), []byte("\x0a\x05\x91\x08\x02\x91\x01\x02\x01x"))
	f.Add([]byte(""), []byte("\x00\x01\x01x"))
	f.Add(make([]byte, 70000), []byte("\xf0\xa2\x04\x80\x80\x04\x80"))
	f.Fuzz(func(t *testing.T, base, delta []byte) {
		var got bytes.Buffer
		err := applyDelta(&got, bytes.NewReader(base), int64(len(base)), bufio.NewReader(bytes.NewReader(delta)))
		want, wantErr := packfile.PatchDelta(base, delta)
		if err == nil && wantErr == nil && !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("%q, want %q", got.Bytes(), want)
		}
		// go-git refuses empty bases and very short deltas.
		if err == nil && wantErr != nil && len(delta) >= 4 && len(base) > 0 {
			t.Fatalf("taken, but go-git says %v", wantErr)
		}
	})
}
