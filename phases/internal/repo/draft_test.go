package repo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/pipeline/files"
)

func pack(t testing.TB, d *Draft) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := d.Pack(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// land lets git take a pack into a clone, as a receiving side would: strictly.
func land(t testing.TB, dir string, content []byte) (clone string) {
	t.Helper()
	clone = filepath.Join(t.TempDir(), "clone")
	git(t, dir, "clone", "-q", "--no-local", "--mirror", dir, clone)
	gitIn(t, clone, string(content), "index-pack", "--strict", "--stdin")
	return clone
}

func TestDraft_JudgedByGit(t *testing.T) {
	dir := fixture(t, sample)
	git(t, dir, "commit", "-q", "--allow-empty", "-m", "second")
	before := listing(t, filepath.Join(dir, ".git"))
	r := open(t, dir)
	base := head(t, r)
	_, err := r.Draft(base.ID, map[string][]byte{
		"lib/a/version.json": []byte(`{"version":"0.1.0"}`), "VERSION": []byte("0.1.0\n"), "x": nil,
	}, who, "Release v0.1.0\n")
	if err == nil {
		t.Error("a file that is not there was changed")
	}
	d, err := r.Draft(base.ID, map[string][]byte{"lib/a/version.json": []byte(`{"version":"0.1.0"}`), "run.sh": []byte("#!/bin/sh\n:\n"), "VERSION": []byte("0.1.0\n")}, who, "Release v0.1.0\n")
	if err != nil {
		t.Fatal(err)
	}
	content := pack(t, d)
	clone := land(t, dir, content)
	if out, err := try(clone, "", "fsck", "--strict", "--full", d.ID); err != nil {
		t.Errorf("git fsck: %s", out)
	}
	want := fmt.Sprintf("tree %s\nparent %s\nauthor Slipway Release <release@slipway.example> %d +0000\ncommitter Slipway Release <release@slipway.example> %[3]d +0000\n\nRelease v0.1.0",
		d.Tree, base.ID, base.Time.Unix())
	if got := git(t, clone, "cat-file", "commit", d.ID); got != want {
		t.Errorf("the commit is\n%s\nwant\n%s", got, want)
	}
	if got, want := git(t, clone, "diff-tree", "-r", "--name-status", base.ID, d.ID), "M\tlib/a/version.json\nM\trun.sh"; got != want {
		t.Errorf("git diff-tree:\n%s\nwant\n%s", got, want)
	}
	// git makes the same tree of the same changes.
	if err := os.WriteFile(filepath.Join(dir, "lib/a/version.json"), []byte(`{"version":"0.1.0"}`), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "run.sh"), []byte("#!/bin/sh\n:\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	if listing(t, filepath.Join(dir, ".git")) != before {
		t.Error("the repository was written to")
	}
	git(t, dir, "commit", "-q", "-a", "-m", "by git")
	if got := git(t, dir, "rev-parse", "HEAD^{tree}"); got != d.Tree {
		t.Errorf("git makes tree %s, we made %s", got, d.Tree)
	}
	// The pack holds the new objects alone, and the clone's export is the draft's.
	idx := filepath.Join(t.TempDir(), "x.pack")
	if err := os.WriteFile(idx, content, 0o666); err != nil {
		t.Fatal(err)
	}
	git(t, clone, "index-pack", idx)
	var got []string
	for line := range strings.SplitSeq(git(t, clone, "verify-pack", "-v", idx), "\n") {
		if f := strings.Fields(line); len(f) >= 4 && len(f[0]) == 40 {
			got = append(got, f[1])
		}
	}
	slices.Sort(got)
	if want := []string{"blob", "blob", "commit", "tree", "tree", "tree"}; !slices.Equal(got, want) {
		t.Errorf("the pack holds %v, want %v", got, want)
	}
	out, checkout := filepath.Join(t.TempDir(), "out"), t.TempDir()
	if err := d.Export(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	git(t, clone, "--work-tree="+checkout, "checkout", "-q", "-f", d.ID, "--", ".")
	if got, want := listing(t, out), listing(t, checkout); got != want {
		t.Errorf("exported\n%s\ngit checks out\n%s", got, want)
	}
}

// TestDraft_Nothing: what changes nothing makes a commit with the same tree, and a pack of that one object.
func TestDraft_Nothing(t *testing.T) {
	dir := fixture(t, sample)
	r := open(t, dir)
	base := head(t, r)
	d, err := r.Draft(base.ID, map[string][]byte{"VERSION": []byte("0.1.0\n")}, who, "Release v0.1.0\n")
	if err != nil {
		t.Fatal(err)
	}
	if d.Tree != base.Tree || d.ID == base.ID || !d.Time.Equal(base.Time) {
		t.Errorf("%+v on %+v", d.Commit, base)
	}
	content := pack(t, d)
	if n := content[11]; !bytes.HasPrefix(content, []byte("PACK\x00\x00\x00\x02\x00\x00\x00")) || n != 1 {
		t.Errorf("the pack has %d objects", n)
	}
	land(t, dir, content)
}

// TestDraft_KeepsOddTrees: what git would write differently stays as it is beside the change.
func TestDraft_KeepsOddTrees(t *testing.T) {
	dir := fixture(t, map[string]string{"f": "content", "version.json": "{}"})
	blob, version := git(t, dir, "rev-parse", "HEAD:f"), git(t, dir, "rev-parse", "HEAD:version.json")
	id := rawCommit(t, dir, treeLine("100644", "version.json", version)+treeLine("100664", "f", blob))
	r := open(t, dir)
	d, err := r.Draft(id, map[string][]byte{"version.json": []byte("{ }")}, who, "x\n")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	o := d.fresh[d.order[1]]
	if err := r.objects.copy(&b, o, o.Hash(), ""); err != nil {
		t.Fatal(err)
	}
	want := treeLine("100644", "version.json", gitIn(t, dir, "{ }", "hash-object", "--stdin")) + treeLine("100664", "f", blob)
	if b.String() != want {
		t.Errorf("tree %q, want %q", b.String(), want)
	}
}

const childVar = "SLIPWAY_REPO_TEST_CHILD"

// TestMain lets the test binary play another machine.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childVar); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child makes a draft in the repository and prints all that may be compared.
func child(dir string) error {
	r, err := Open(dir)
	if err != nil {
		return err
	}
	c, err := r.Head()
	if err != nil {
		return err
	}
	d, err := r.Draft(c.ID, map[string][]byte{"lib/a/version.json": []byte("{ }"), "VERSION": []byte("0.2.0\n")}, who, "Release v0.2.0\n")
	if err != nil {
		return err
	}
	h := sha256.New()
	if err := d.Pack(h); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	out := filepath.Join(tmp, "out")
	if err := d.Export(context.Background(), out); err != nil {
		return err
	}
	sum, err := files.Path(out)
	if err != nil {
		return err
	}
	modes := sha256.New()
	err = filepath.Walk(out, func(p string, info os.FileInfo, err error) error {
		if err == nil && info.Mode()&os.ModeSymlink == 0 {
			rel, _ := filepath.Rel(out, p)
			fmt.Fprintln(modes, info.Mode(), rel, info.ModTime().Unix())
		}
		return err
	})
	fmt.Printf("commit %s\ntree %s\npack %x\nsource %s\nmodes %x\n", d.ID, d.Tree, h.Sum(nil), sum.SHA256, modes.Sum(nil))
	return err
}

// TestDraft_SameOnEveryMachine: two clones in different places and of different shapes, with other users, settings
// that sign, time zones, languages and umasks make the same commit, pack and folder.
func TestDraft_SameOnEveryMachine(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell to set the umask")
	}
	dir := fixture(t, sample)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	play := func(dir, umask string, env ...string) string {
		t.Helper()
		cmd := exec.Command("sh", "-c", "umask "+umask+`; exec "$0"`, self)
		cmd.Dir = t.TempDir()
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir(), childVar + "=" + dir}, env...)
		var errs strings.Builder
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, errs.String())
		}
		return string(out)
	}
	first := play(dir, "022", "TZ=UTC", "LANG=C", "HOME=/nonexistent")
	if !strings.Contains(first, "commit ") || !strings.Contains(first, "modes ") {
		t.Fatalf("the child says %q", first)
	}

	home := t.TempDir()
	settings := "[user]\n\tname = Someone Else\n\temail = else@example.org\n\tsigningKey = ABCD\n[commit]\n\tgpgSign = true\n[gpg]\n\tprogram = /bin/false\n[core]\n\tautocrlf = true\n\tfileMode = false\n[init]\n\tdefaultBranch = other\n"
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(settings), 0o666); err != nil {
		t.Fatal(err)
	}
	clone := filepath.Join(t.TempDir(), "some where else")
	git(t, dir, "clone", "-q", "--no-local", dir, clone)
	config, err := os.ReadFile(filepath.Join(clone, ".git/config"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(clone, ".git/config"), append(config, settings...), 0o666); err != nil {
		t.Fatal(err)
	}
	// This clone holds the new objects already.
	gitIn(t, clone, "{ }", "hash-object", "-w", "--stdin")
	gitIn(t, clone, "0.2.0\n", "hash-object", "-w", "--stdin")
	git(t, clone, "-c", "commit.gpgSign=false", "gc", "-q")
	second := play(clone, "077", "TZ=Asia/Kathmandu", "LANG=tr_TR.UTF-8", "LC_ALL=tr_TR.UTF-8", "HOME="+home, "XDG_CONFIG_HOME="+home,
		"GIT_AUTHOR_NAME=Evil", "GIT_COMMITTER_DATE=2001-01-01T00:00:00Z", "GIT_DIR=/nonexistent", "GIT_OBJECT_DIRECTORY=/nonexistent", "SOURCE_DATE_EPOCH=1")
	if second != first {
		t.Errorf("one machine:\n%sanother:\n%s", first, second)
	}
	if third := play(dir, "000", "TZ=America/St_Johns"); third != first {
		t.Errorf("one machine:\n%sanother:\n%s", first, third)
	}
}

func TestParsePerson(t *testing.T) {
	for s, want := range map[string]Person{
		"Slipway Release <release@slipway.example>": {"Slipway Release", "release@slipway.example"},
		"Jürgen O'Neil, Jr. <j@x>":                  {"Jürgen O'Neil, Jr.", "j@x"},
	} {
		if p, err := ParsePerson(s); err != nil || p != want {
			t.Errorf("ParsePerson(%q) = %+v, %v", s, p, err)
		}
	}
	for _, s := range []string{"", "x", "<x@y>", " <x@y>", "x <>", "x <a b>", "x <a@b> ", "x\ny <a@b>", "x <a@b>\ncommitter evil <e@e> 0 +0000", "x> <a@b>", "x <a@b>>", "x\x00 <a@b>", "\xff <a@b>", "x  <a@b>"} {
		if p, err := ParsePerson(s); err == nil {
			t.Errorf("ParsePerson(%q) = %+v; want an error", s, p)
		}
	}
}

func TestShort(t *testing.T) {
	id := hex.EncodeToString(bytes.Repeat([]byte{0xab}, 20))
	if Short(id) != "abababababab" || Short("ab") != "ab" {
		t.Error(Short(id), Short("ab"))
	}
}
