package rehearsal

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/hub"
)

// need skips a test whose programs are missing; where CI is set that is a failure.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing", tool)
		}
		t.Skipf("%s is missing", tool)
	}
}

// twice is a world in which 1.2.2 and then 1.2.3 were released with an AUR package x-bin, without any of the steps.
type twice struct {
	*World
	t        *testing.T
	commit   string
	releases map[string]hub.Release
}

const recipe = `pkgname=x-bin
pkgver=%[1]s
pkgrel=1
pkgdesc='A text'
arch=(any)
license=(MIT)
source=('%[2]s')
sha256sums=('%[3]s')
package() { install -Dm644 "$srcdir/x-%[4]s.txt" "$pkgdir/usr/share/x/text"; }
`

const recipeInfo = `pkgbase = x-bin
	pkgdesc = A text
	pkgver = %[1]s
	pkgrel = 1
	arch = any
	license = MIT
	source = %[2]s
	sha256sums = %[3]s

pkgname = x-bin
`

func stageTwice(t *testing.T) *twice {
	t.Helper()
	need(t, "git", "makepkg", "pacman", "repo-add", "bwrap", "setpriv", "dpkg")
	repo := t.TempDir()
	git(t, repo, "init", "-q", "-b", "main")
	for _, v := range []string{"1.2.2", "1.2.3"} {
		git(t, repo, "commit", "-q", "--allow-empty", "-m", v)
		git(t, repo, "tag", "-a", "-m", v, "v"+v)
	}
	commit := git(t, repo, "rev-parse", "HEAD")
	w, err := Start(t.Context(), Options{
		Dir: t.TempDir(), Repository: repo, Branch: "main", Base: commit, Tags: []string{"v1.2.2", "v1.2.3"},
		Remote: "https://github.com/o/r.git", Owner: "o", Name: "r", AUR: map[string]string{"x-bin": "ssh://aur@aur.archlinux.org/x-bin.git"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return &twice{World: w, t: t, commit: commit, releases: map[string]hub.Release{}}
}

// payload is the content of a version's only file.
func payload(v string) string { return "the text of " + v + "\n" }

func (w *twice) client() *hub.Client {
	w.t.Helper()
	c, err := w.Map.Endpoints().Hub("o", "r", "")
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// release publishes a version on GitHub.
func (w *twice) release(v string) {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "x-"+v+".txt")
	if err := os.WriteFile(file, []byte(payload(v)), 0o644); err != nil {
		w.t.Fatal(err)
	}
	sum, c := sha256.Sum256([]byte(payload(v))), w.client()
	rel, err := c.EnsureDraft(w.t.Context(), hub.Draft{Tag: "v" + v, Commit: w.commit, Title: v, Marker: hub.Marker("run-" + v)})
	if err == nil {
		_, err = c.PutAsset(w.t.Context(), rel.ID, hub.File{Name: filepath.Base(file), Path: file, Size: int64(len(payload(v))), SHA256: hex.EncodeToString(sum[:])}, nil)
	}
	if err == nil {
		rel, err = c.Publish(w.t.Context(), rel.ID, hub.Publication{Title: v, Body: hub.Marker("run-" + v), Latest: true})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.releases[v] = rel
}

// push publishes a package in the AUR that installs the payload of a version.
func (w *twice) push(pkgver, of string) {
	w.t.Helper()
	sum := sha256.Sum256([]byte(payload(of)))
	source := fmt.Sprintf("https://github.com/o/r/releases/download/v%[1]s/x-%[1]s.txt", of)
	files := map[string]string{
		"PKGBUILD": fmt.Sprintf(recipe, pkgver, source, hex.EncodeToString(sum[:]), of),
		".SRCINFO": fmt.Sprintf(recipeInfo, pkgver, source, hex.EncodeToString(sum[:])),
	}
	if _, err := w.AUR.Publish(w.t.Context(), owner, "x-bin", pkgver, files); err != nil {
		w.t.Fatal(err)
	}
}

func (w *twice) install(state string) {
	w.t.Helper()
	if err := w.Users().Install(w.t.Context(), state); err != nil {
		w.t.Fatal(err)
	}
	if i := w.Users().has[state]["x-bin"]; i.file == "" {
		w.t.Fatalf("nothing could be built here: %v", i.why)
	}
}

// byWhat lists what was found by what was looked for.
func byWhat(list []Arrival) map[string]Arrival {
	all := map[string]Arrival{}
	for _, a := range list {
		all[a.What] = a
	}
	return all
}

// TestCameBack: users who were brought back are found so, and each thing that would hurt them is found out by itself.
func TestCameBack(t *testing.T) {
	w := stageTwice(t)
	want := Return{
		Older: "1.2.2", OlderTag: "v1.2.2", Bad: "1.2.3", BadTag: "v1.2.3", Next: "1.2.4", Withdrawn: true, AUR: true,
		HasDeb: true, Deb: map[string]string{"1.2.2": "1.2.2", "1.2.3": "1.2.3", "next": "1.2.4"},
	}
	w.release("1.2.2")
	w.push("1.2.2", "1.2.2")
	w.install(HadOlder)
	w.release("1.2.3")
	w.push("1.2.3", "1.2.3")
	w.install(HadBad)

	came := func(want Return) map[string]Arrival {
		t.Helper()
		list, not, err := w.CameBack(t.Context(), want)
		if err != nil || len(not) > 0 {
			t.Fatalf("%q, %v", not, err)
		}
		return byWhat(list)
	}
	bad := func(all map[string]Arrival, what, found string) {
		t.Helper()
		if a, ok := all[what]; !ok || a.OK || !strings.Contains(a.Found, found) {
			t.Errorf("%s: want %q not found out, in %+v", what, found, all)
		}
	}
	// Nothing was rolled back.
	onPage := want
	onPage.AUR, onPage.Deb = false, map[string]string{"1.2.2": "1.2.2", "1.2.3": "1.2.3", "next": "1.2.3"}
	all := came(onPage)
	bad(all, "the latest release", `"v1.2.3"`)
	bad(all, "release v1.2.3", "everybody sees it")
	bad(all, "apt goes on from 1.2.3 to 1.2.3", "does not take")

	if _, err := w.client().Withdraw(t.Context(), w.releases["1.2.3"].ID); err != nil {
		t.Fatal(err)
	}
	w.push("1.2.3+really1.2.2", "1.2.2")
	all = came(want)
	var looked []string
	for what, a := range all {
		looked = append(looked, what)
		if !a.OK {
			t.Errorf("%s: %s", what, a.Found)
		}
	}
	slices.Sort(looked)
	if expected := []string{
		"AUR x-bin has a newer version", "AUR x-bin index", "AUR x-bin, a new installation", "AUR x-bin, links of 1.2.2-1 in its history",
		"AUR x-bin, pacman -Syu from 1.2.3-1", "AUR x-bin, the next version after the rollback", "AUR x-bin, the next version from 1.2.3-1",
		"AUR x-bin, what it installs", "apt goes on from 1.2.3 to 1.2.4", "apt stays with 1.2.3 by itself",
		"release v1.2.3", "the latest release",
	}; !slices.Equal(looked, expected) {
		t.Errorf("looked at %q, want %q", looked, expected)
	}

	had := w.Users().has
	older, wrong, is := had[HadOlder]["x-bin"], had[HadBad]["x-bin"], had[HasBack]["x-bin"]
	look := func(f func(*back)) map[string]Arrival {
		b := &back{look: look{w: w.World, ctx: t.Context()}, u: w.Users(), want: want}
		f(b)
		return byWhat(b.out)
	}
	// What a revert to the older PKGBUILD would do to users.
	bad(look(func(b *back) { b.upgrade("up", wrong, older) }), "up", "it ends with 1.2.3-1")
	// The correction installs the bad files.
	if err := w.Users().sameFiles(t.Context(), older, wrong); err == nil || !strings.Contains(err.Error(), "usr/share/x/text") {
		t.Errorf("two payloads are the same: %v", err)
	}
	other := *is
	other.version = "1.2.3-2"
	bad(look(func(b *back) { b.fresh("x", &other) }), "x, a new installation", "want 1.2.3-2")
	bad(look(func(b *back) { b.index("x-bin", &other) }), "AUR x-bin index", is.version)

	// The older version's file is gone.
	if _, err := w.client().Withdraw(t.Context(), w.releases["1.2.2"].ID); err != nil {
		t.Fatal(err)
	}
	bad(came(want), "what the AUR has after the rollback", "404")
	if _, err := w.Users().fetch(t.Context(), older, ""); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a link that is gone resolves: %v", err)
	}
	// The next version is older for pacman.
	had[HasBack]["x-bin"] = is
	if err := os.RemoveAll(filepath.Join(w.Users().dir, hasNext)); err != nil {
		t.Fatal(err)
	}
	if next, err := w.Users().next(t.Context(), "x-bin", "1.2.1"); err != nil {
		t.Error(err)
	} else {
		next.version = "1.2.1-1"
		bad(look(func(b *back) { b.upgrade("next", is, next) }), "next", "it ends with 1.2.3+really1.2.2-1")
	}
}
