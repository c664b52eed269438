package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRollback_Depends: who is brought back gets the older package as a whole: what it depends on and what pacman runs for
// it, and not those of the bad one with the older program. Where they cannot be had, people are told before anything begins.
func TestRollback_Depends(t *testing.T) {
	needTools(t, append([]string{"git", "ssh", "ssh-keygen"}, judges...)...)
	x := newRollbackTemplate(t, true)
	key := filepath.Join(t.TempDir(), "lead")
	x.repackage(t, key)
	p := x.past(t)
	s := p.stage(t)
	r := s.trial(x)
	// Scriptlets are not run by the judges, so somebody answers for them.
	answered := func(gate, version string, said string) {
		t.Helper()
		for _, check := range []string{"aur-install", "aur-remove", "aur-upgrade"} {
			if code, text := r.slipway("waive", gate, check, "--reason", "read", "--expires", "7d", "--key", key, "--version", version); code != 0 {
				t.Fatalf("exit code %d:\n%s\nafter\n%s", code, text, said)
			}
		}
		if code, text := r.slipway("approve", gate, "--key", key, "--version", version); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, text)
		}
	}
	_, said := r.run()
	answered("gate/aur", released, said)
	if code, said := r.run(); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	bare := filepath.Join(s.dir, "aur", aurName+".git")
	in := func(commit, file string) string { return gitIn(t, bare, "show", commit+":"+file) }
	// What pacman reads of a package, but for its version.
	reads := func(commit string) (lines []string) {
		for line := range strings.Lines(in(commit, ".SRCINFO")) {
			if f := strings.Fields(line); len(f) > 0 && f[0] != "pkgver" && f[0] != "provides" {
				lines = append(lines, strings.Join(f, " "))
			}
		}
		return lines
	}
	if info := in("master", ".SRCINFO"); !strings.Contains(info, "depends = new-library") || !strings.Contains(in("master", "hello-bin.install"), "new") {
		t.Fatalf("%s is\n%s", released, info)
	}
	tag := gitIn(t, r.dir, "rev-parse", olderTag)
	gitIn(t, r.dir, "tag", "-d", olderTag)
	if code, said := r.back("--to", "0.0.9", "--dry-run"); code != 0 || !strings.Contains(said, "left out: aur as 0.0.9 had it: no tag v0.0.9 is in this clone: git fetch --tags") ||
		!strings.Contains(said, "hello-bin gets the older program with the dependencies, conflicts and install scriptlet of "+released) {
		t.Errorf("without the tag: %d\n%s", code, said)
	}
	gitIn(t, r.dir, "update-ref", "refs/tags/"+olderTag, tag)
	_, said = r.back("--to", "0.0.9")
	answered("gate/rollback", released, said)
	code, more := r.back()
	if said += more; code != 0 || strings.Contains(said, "had it") {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	if got, want := strings.Join(reads("master"), "\n"), strings.Join(reads("master~2"), "\n"); got != want || !strings.Contains(got, "\ndepends = old-library\n") {
		t.Errorf("the AUR has\n%s\nand had\n%s", got, want)
	}
	for _, file := range []string{"hello-bin.install", "LICENSE"} {
		if got, want := in("master", file), in("master~2", file); got != want {
			t.Errorf("%s is\n%s\nand was\n%s", file, got, want)
		}
	}
	if info := in("master", ".SRCINFO"); !strings.Contains(info, "pkgver = "+released+"+really0.0.9\n") || !strings.Contains(info, "provides = hello="+released+"+really0.0.9\n") || strings.Contains(info, "new-") {
		t.Errorf("the AUR has\n%s", info)
	}
	// It goes on as it was begun, also where the tag is gone since.
	gitIn(t, r.dir, "tag", "-d", olderTag)
	if code, said := r.back(); code != 0 || !strings.Contains(said, "0 steps done now") {
		t.Errorf("once more: %d\n%s", code, said)
	}
}

// repackage makes the history anew, so that each version has dependencies and an install scriptlet of its own. Whoever has
// the key, which is made, may answer for the gates.
func (x *template) repackage(t *testing.T, key string) {
	t.Helper()
	base, err := os.ReadFile(filepath.Join(x.dir, "release.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lead", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	base = append(base, fmt.Sprintf("gates: {aur: {approve: lead}, rollback: {approve: lead}}\napprovers: {lead: [%q]}\n", strings.TrimSpace(readText(t, key+".pub")))...)
	for _, dir := range []string{".slipway", "dist"} {
		if err := os.RemoveAll(filepath.Join(x.dir, dir)); err != nil {
			t.Fatal(err)
		}
	}
	gitIn(t, x.dir, "checkout", "-q", "--orphan", "anew")
	for _, v := range []struct{ version, what, keys string }{
		{"0.0.9", "old", "conflicts: [old-rival]"},
		{released, "new", "provides: [hello, new-name]"},
	} {
		line := fmt.Sprintf("\n    from: hello\n    install: pkg/%[1]s.install\n    depends: [%[1]s-library]\n    %[2]s\n", v.what, v.keys)
		text := bytes.Replace(base, []byte("\n    from: hello\n"), []byte(line), 1)
		if bytes.Equal(text, base) {
			t.Fatal("release.yaml has no AUR package")
		}
		if err := os.MkdirAll(filepath.Join(x.dir, "pkg"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{
			"release.yaml": string(text), "pkg/" + v.what + ".install": "post_install() {\n  echo " + v.what + "\n}\n",
			"VERSION": v.version + "\n", "app.json": fmt.Sprintf("{\"version\": %q, \"git_commit\": \"development\"}\n", v.version),
		} {
			if err := os.WriteFile(filepath.Join(x.dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		gitIn(t, x.dir, "add", "-A")
		gitIn(t, x.dir, "commit", "-q", "-m", "feat: be packaged as "+v.version)
		if v.version != released {
			gitIn(t, x.dir, "tag", "-f", "-a", "-m", v.version, "v"+v.version)
			gitIn(t, x.dir, "rm", "-q", "pkg/"+v.what+".install")
		}
	}
	gitIn(t, x.dir, "branch", "-q", "-M", "main")
	x.open(t)
	if code, said := (&trial{t: t, dir: x.dir}).slipway("run", "--phase", "build"); code != 0 {
		t.Fatalf("exit code %d: %s", code, said)
	}
}
