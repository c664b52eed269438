package correction

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/imrightguy/slipway/phases/aur/history"
	"github.com/imrightguy/slipway/phases/aur/remote"
	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
)

const sum = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// repository has a commit for each version, as [epoch:]pkgver-pkgrel; one that is "-" has no .SRCINFO. "BY:VERSION!SUM" is
// somebody's commit with another sum.
func repository(t testing.TB, versions ...string) (*git.Repository, plumbing.Hash) {
	t.Helper()
	r, err := git.Init(memory.NewStorage(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var tip plumbing.Hash
	for i, v := range versions {
		files := map[string][]byte{"PKGBUILD": fmt.Appendf(nil, "# %d\n", i)}
		v, own, _ := strings.Cut(v, "!")
		if own == "" {
			own = sum
		}
		if v != "-" {
			epoch, rest, has := strings.Cut(v, ":")
			if !has {
				epoch, rest = "", v
			}
			at := strings.LastIndex(rest, "-")
			text := "pkgbase = x\n\tpkgver = " + rest[:at] + "\n\tpkgrel = " + rest[at+1:] + "\n"
			if epoch != "" {
				text += "\tepoch = " + epoch + "\n"
			}
			files[".SRCINFO"] = []byte(text + "\tarch = any\n\tsource = x.gz::https://example.org/v" + rest[:at] + "/x.gz\n\tsha256sums = " + own + "\n\npkgname = x\n")
		}
		tree, err := history.Tree(r.Storer, files)
		if err == nil {
			tip, err = history.Commit(r.Storer, history.Change{Parent: tip, Tree: tree, Name: "A", Email: "a@example.org", Time: time.Unix(int64(i), 0), Version: "1-1", Run: "r"})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return r, tip
}

// TestNext: what is published decides, whoever published it; what users have is always outranked.
func TestNext(t *testing.T) {
	for _, c := range []struct {
		name, history string
		epoch         bool
		want          string // or the error
	}{
		{"as the journal pushed it", "3.2.0-1 3.2.1-1", false, "0:3.2.1+really3.2.0-1"},
		{"a newer pkgrel of somebody", "3.2.0-1 3.2.1-1 3.2.1-2", false, "0:3.2.1+really3.2.0-1"},
		{"a rival's commit under the same version", "3.2.0-1 3.2.1-1 3.2.1-1!b", false, "0:3.2.1+really3.2.0-1"},
		{"a commit without a .SRCINFO in between", "3.2.0-1 - 3.2.1-1", false, "0:3.2.1+really3.2.0-1"},
		{"a build number kept", "3.2.0+4-1 3.2.1+5-1", false, "0:3.2.1+5+really3.2.0-1"},
		{"an epoch of old", "2:3.2.0-1 2:3.2.1-1", false, "2:3.2.1+really3.2.0-1"},
		{"corrected already: it stays", "3.2.0-1 3.2.1-1 3.2.1+really3.2.0-3", false, "0:3.2.1+really3.2.0-3"},
		{"corrected to an even older one", "3.2.0-1 3.2.1-1 3.2.1+really3.1.0-1", false, "0:3.2.1+really3.1.0+really3.2.0-1"},
		{"put back by hand, which reaches nobody", "3.2.0-1 3.2.1-1 3.2.0-2", false, "0:3.2.1+really3.2.0-1"},
		{"put back by hand after a correction", "3.2.0-1 3.2.1-1 3.2.1+really3.2.0-1 3.2.0-1", false, "0:3.2.1+really3.2.0-1"},
		{"never there", "3.1.0-1 3.2.0-1", false, "the AUR has x 3.2.0-1, and not 3.2.1"},
		{"something newer", "3.2.0-1 3.2.1-1 3.2.2-1", false, "the AUR has x 3.2.2-1, and not 3.2.1"},
		{"something that only looks like it", "3.2.0-1 3.2.1-1 3.2.10-1", false, "and not 3.2.1"},
		{"with an epoch", "3.2.0-1 3.2.1-1", true, "1:3.2.0-1"},
		{"with an epoch on top of one", "2:3.2.0-1 2:3.2.1-1", true, "3:3.2.0-1"},
		{"with an epoch, once more: it stays", "3.2.0-1 3.2.1-1 1:3.2.0-1", true, "1:3.2.0-1"},
		{"with an epoch, put back by hand under the old one", "1:3.2.0-1 1:3.2.1-1 1:3.2.0-2", true, "2:3.2.0-1"},
		{"with an epoch, put back by hand", "3.2.0-1 3.2.1-1 3.2.0-1", true, "1:3.2.0-1"},
		{"with an epoch, never there", "1:3.1.0-1 1:3.2.0-1", true, "and not 3.2.1"},
		{"an epoch that is none", "3.2.0-1 99999999999999999999:3.2.1-1", false, "which no package can follow"},
	} {
		r, tip := repository(t, strings.Fields(c.history)...)
		s := step{Options{Package: subject.Package{Name: "x"}, Bad: "3.2.1", Good: "3.2.0", Epoch: c.epoch}}
		was, err := at(r, tip)
		var bad, now remote.Version
		if err == nil {
			bad, err = s.newestBad(r, tip)
		}
		if err == nil {
			now, err = s.next(was, bad)
		}
		got := now.Epoch + ":" + now.PkgVer + "-" + now.PkgRel
		switch {
		case err != nil && !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		case err == nil && got != c.want:
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		case err == nil:
			for v := range strings.FieldsSeq(c.history) { // whatever users have, they get this
				if v, _, _ = strings.Cut(v, "!"); v != "-" && pkgbuild.Vercmp(got, v) < 0 {
					t.Errorf("%s: %s does not follow %s", c.name, got, v)
				}
			}
		}
	}
}

// TestKnown: the sums are those of the newest commit that published the older version as itself.
func TestKnown(t *testing.T) {
	other := strings.Repeat("b", 64)
	for _, c := range []struct{ history, want string }{
		{"3.2.0-1 3.2.1-1", sum},
		{"3.2.0-1 3.2.0-2!" + other + " 3.2.1-1", other},
		{"3.2.0-1 3.2.1-1 3.2.1+really3.2.0-1!" + other, sum},
		{"3.2.0+really3.1.0-1!" + other + " 3.2.1-1", ""},
		{"3.1.0-1 3.2.1-1", ""},
	} {
		r, tip := repository(t, strings.Fields(c.history)...)
		s := step{Options{Bad: "3.2.1", Good: "3.2.0"}}
		sums, _, err := s.known(r, tip)
		if err != nil || sums["https://example.org/v3.2.0/x.gz"] != c.want {
			t.Errorf("%s: %v, %v", c.history, sums, err)
		}
	}
}

func TestBelow(t *testing.T) {
	const from = "https://github.com/o/r/releases/download/v3.2.1/"
	for address, want := range map[string]bool{
		from + "x.gz": true, "https://GitHub.com/O/r/releases/download/v3.2.1/x": true, "https://github.com/o/r/releases/download/v3%2E2.1/x": true,
		"https://github.com/o/r/releases/download/v3.2.10/x": false, "https://github.com/o/r/releases/download/v3.2.0/x": false, "https://example.org/x": false, "%zz": false,
	} {
		if got := below(address, from); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

// FuzzNext: whatever stands in an AUR repository, what is published follows it, or nothing is.
func FuzzNext(f *testing.F) {
	for _, v := range []string{"3.2.1", "3.2.1+5", "3.2.1+really3.2.0", "3.2.0", "3.2.1rc", "9", "3.2.1+", ""} {
		f.Add(v, "1", "", false)
		f.Add(v, "2", "1", true)
	}
	f.Fuzz(func(t *testing.T, pkgver, pkgrel, epoch string, raise bool) {
		was, err := remote.ReadVersion("pkgver = " + pkgver + "\npkgrel = " + pkgrel + "\nepoch = " + epoch + "\n")
		if err != nil {
			return
		}
		s := step{Options{Package: subject.Package{Name: "x"}, Bad: "3.2.1", Good: "3.2.0", Epoch: raise}}
		now, err := s.next(was, remote.Version{PkgVer: "3.2.1", PkgRel: "1"})
		if err != nil {
			return
		}
		if pkgbuild.Vercmp(now.String(), was.String()) < 0 || pkgbuild.Vercmp(now.String(), "3.2.1-1") < 0 {
			t.Fatalf("%s does not follow %s", now, was)
		}
	})
}
