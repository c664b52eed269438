package correction

import (
	"fmt"
	"slices"
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
		v, foreign := strings.CutSuffix(v, "?")
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
		if err == nil && foreign {
			tip, err = byHand(r, tip)
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
		name, history string // "> VERSION" at its end is where to, if it is not 3.2.0
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
		{"corrected, and somebody has put a commit on top of it", "3.2.0-1 3.2.1-1 3.2.1+really3.2.0-1 3.2.1+really3.2.0-2.1?", false, "0:3.2.1+really3.2.0-3"},
		{"with an epoch before: it stays", "3.2.0-1 3.2.1-1 1:3.2.0-1", false, "1:3.2.0-1"},
		{"with an epoch before, and somebody's commit on top", "3.2.0-1 3.2.1-1 1:3.2.0-1 1:3.2.0-1?", false, "1:3.2.0-2"},
		{"with an epoch before, and further back", "3.2.0-1 3.2.1-1 1:3.2.0.5-1", false, "1:3.2.0.5+really3.2.0-1"},
		{"with an epoch before, further back by another one", "3.2.0-1 3.2.1-1 1:3.2.0.5-1", true, "2:3.2.0-1"},
		{"somebody's own epoch", "3.2.0-1 3.2.1-1 1:3.2.0.5-1?", false, "and not 3.2.1"},
		{"corrected to an even older one", "3.2.0-1 3.2.1-1 3.2.1+really3.1.0-1", false, "0:3.2.1+really3.1.0+really3.2.0-1"},
		{"put back by hand, which reaches nobody", "3.2.0-1 3.2.1-1 3.2.0-2", false, "0:3.2.1+really3.2.0-1"},
		{"put back by hand after a correction", "3.2.0-1 3.2.1-1 3.2.1+really3.2.0-1 3.2.0-1", false, "0:3.2.1+really3.2.0-2"},
		{"the bad one put back behind a correction", "3.2.0-1 3.2.1-1 3.2.1+really3.2.0-3 3.2.1-2?", false, "0:3.2.1+really3.2.0-4"},
		{"likewise, and further back", "3.1.0-1 3.2.0-1 3.2.1-1 3.2.1+really3.2.0-1 3.2.1-2? > 3.1.0", false, "0:3.2.1+really3.2.0+really3.1.0-1"},
		{"likewise, and not as far back", "3.1.0-1 3.2.0-1 3.2.1-1 3.2.1+really3.2.0+really3.1.0-1 3.2.1-2?", false, "0:3.2.1+really3.2.0+really3.1.0+really3.2.0-1"},
		{"likewise, after a correction of somebody's", "3.1.0-1 3.2.0-1 3.2.1-1 3.2.1+really3.2.0-1? 3.2.1-2? > 3.1.0", false, "0:3.2.1+really3.2.0+really3.1.0-1"},
		{"the bad one put back without its epoch", "3.2.0-1 3.2.1-1 1:3.2.0-1 3.2.1-2?", false, "1:3.2.0-2"},
		{"likewise, and further back", "3.1.0-1 3.2.0-1 3.2.1-1 1:3.2.0-1 3.2.1-2? > 3.1.0", false, "1:3.2.0+really3.1.0-1"},
		{"likewise, and further back by another one", "3.1.0-1 3.2.0-1 3.2.1-1 1:3.2.0-1 3.2.1-2? > 3.1.0", true, "2:3.1.0-1"},
		{"the older one put back without its epoch", "3.2.0-1 3.2.1-1 1:3.2.0-1 3.2.0-2?", false, "1:3.2.0-2"},
		{"with an epoch before, and not as far back", "3.1.0-1 3.2.0-1 3.2.1-1 1:3.1.0-1", false, "1:3.2.0-1"},
		{"somebody's commit on top of one with an epoch, and further back", "3.1.0-1 3.2.0-1 3.2.1-1 1:3.2.0-1 1:3.2.0-2? > 3.1.0", false, "1:3.2.0+really3.1.0-1"},
		{"another one put back, which reaches nobody", "3.1.0-1 3.2.0-1 3.2.1-1 3.1.0-2?", false, "0:3.2.1+really3.2.0-1"},
		{"a pkgrel that is none", `3.2.0-1 3.2.1-1 3.2.1+really3.2.0-"?`, false, `pkgrel ", which no package can follow`},
		{"never there", "3.1.0-1 3.2.0-1", false, "the AUR has x 3.2.0-1, and not 3.2.1"},
		{"corrected to the bad one", "3.2.0-1 3.2.1-1 3.2.2-1 3.2.2+really3.2.1-1", false, "x 3.2.2+really3.2.1-1 gives users 3.2.1: slipway rollback 3.2.2 --to OLDER brings them back; then this one with --level github,hold"},
		{"corrected to the bad one, with build numbers", "3.2.0-1 3.2.1+4-1 3.2.2+5-1 3.2.2+5+really3.2.1+4-2", true, "slipway rollback 3.2.2 --to OLDER"},
		{"corrected to the bad one by others", "3.2.0-1 3.2.1-1 3.2.2-1 3.2.2+really3.2.1-1?", false, "there is nothing of that release to correct"},
		{"corrected to another one", "3.2.0-1 3.2.1-1 3.2.2-1 3.2.2+really3.2.1+really3.2.10-1", false, "there is nothing of that release to correct"},
		{"something newer", "3.2.0-1 3.2.1-1 3.2.2-1", false, "the AUR has x 3.2.2-1, and not 3.2.1"},
		{"something that only looks like it", "3.2.0-1 3.2.1-1 3.2.10-1", false, "and not 3.2.1"},
		{"with an epoch", "3.2.0-1 3.2.1-1", true, "1:3.2.0-1"},
		{"with an epoch on top of one", "2:3.2.0-1 2:3.2.1-1", true, "3:3.2.0-1"},
		{"with an epoch, once more: it stays", "3.2.0-1 3.2.1-1 1:3.2.0-1", true, "1:3.2.0-1"},
		{"with an epoch, put back by hand under the old one", "1:3.2.0-1 1:3.2.1-1 1:3.2.0-2", true, "2:3.2.0-1"},
		{"with an epoch, put back by hand", "3.2.0-1 3.2.1-1 3.2.0-1", true, "1:3.2.0-1"},
		{"with an epoch, never there", "1:3.1.0-1 1:3.2.0-1", true, "and not 3.2.1"},
		{"an epoch that would turn over", "3.2.0-1 9223372036854775807:3.2.1-1", true, "which no package can follow"},
		{"an epoch that is none", "3.2.0-1 99999999999999999999:3.2.1-1", false, "which no package can follow"},
	} {
		history, good, other := strings.Cut(c.history, " > ")
		if !other {
			good = "3.2.0"
		}
		r, tip := repository(t, strings.Fields(history)...)
		s := step{Options{Package: subject.Package{Name: "x"}, Bad: "3.2.1", Good: good, Epoch: c.epoch}}
		all, err := remote.All(r, tip)
		if err != nil {
			t.Fatal(err)
		}
		now, err := s.next(all)
		got := now.Epoch + ":" + now.PkgVer + "-" + now.PkgRel
		switch {
		case err != nil && !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		case err == nil && got != c.want:
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		case err == nil:
			for v := range strings.FieldsSeq(history) { // whatever users have, they get this
				if v, _, _ = strings.Cut(strings.TrimSuffix(v, "?"), "!"); v != "-" && pkgbuild.Vercmp(got, v) < 0 {
					t.Errorf("%s: %s does not follow %s", c.name, got, v)
				}
			}
		}
	}
}

// byHand makes a commit of people's of a release's.
func byHand(r *git.Repository, commit plumbing.Hash) (plumbing.Hash, error) {
	c, err := r.CommitObject(commit)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	c.Message = "By hand\n"
	o := r.Storer.NewEncodedObject()
	if err := c.Encode(o); err != nil {
		return plumbing.ZeroHash, err
	}
	return r.Storer.SetEncodedObject(o)
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
		all, err := remote.All(r, tip)
		sums, _ := s.known(all)
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
	for address, want := range map[string]bool{
		from + "x.gz": true, "http://github.com/before/it-was-renamed/releases/download/v3.2.1/x": true, "https://proxy.example.org/https://github.com/o/r/releases/download/V3.2.1/x": true,
		"https://github.com/o/r/releases/download/v3.2.10/x": false, "https://example.org/v3.2.1/x": false, "": false,
	} {
		if got := alike(address, from); got != want {
			t.Errorf("alike: %s: %v", address, got)
		}
	}
}

// FuzzNext: whatever stands in an AUR repository, what is published follows all that users of the bad release can have,
// or nothing is. A version with a question mark is a commit of others.
func FuzzNext(f *testing.F) {
	for _, v := range []string{
		"3.2.1-1", "3.2.1+5-1", "3.2.1+really3.2.0-1", "3.2.0-1", "3.2.1rc-1", "9-1", "3.2.1+-1", "", "3.2.1-1 1:3.2.0-1 3.2.1-2?", "3.2.1-1 3.2.1+really3.2.0-2 3.2.1-3?",
		"3.2.1-1 1:3.1.0-1 3.2.0-1", "3.2.1-1 1:3.2.0.1-1 1:3.2.0.1-2?", "3.2.1-1 3.2.1+really3.2.0-x? 3.2.0-1",
	} {
		f.Add(v, false)
		f.Add(v, true)
	}
	f.Fuzz(func(t *testing.T, history string, raise bool) {
		var all []remote.Published
		for v := range strings.FieldsSeq(history) {
			v, foreign := strings.CutSuffix(v, "?")
			epoch, v, has := strings.Cut(v, ":")
			if !has {
				epoch, v = "", epoch
			}
			pkgver, pkgrel, _ := strings.Cut(v, "-")
			is, err := remote.ReadVersion("pkgver = " + pkgver + "\npkgrel = " + pkgrel + "\nepoch = " + epoch + "\n")
			if err == nil {
				all = slices.Insert(all, 0, remote.Published{Version: is, Commit: plumbing.NewHash(fmt.Sprintf("%040x", len(all)+1)), Ours: !foreign})
			}
		}
		if len(all) == 0 {
			return
		}
		s := step{Options{Package: subject.Package{Name: "x"}, Bad: "3.2.1", Good: "3.2.0", Epoch: raise}}
		now, err := s.next(all)
		if err != nil {
			return
		}
		isBad := func(p remote.Published) bool { return p.PkgVer == "3.2.1" || strings.HasPrefix(p.PkgVer, "3.2.1+") }
		bad := slices.ContainsFunc(all, isBad)
		for i, p := range all {
			raised := bad && p.Ours && pkgbuild.Vercmp(p.PkgVer, "3.2.1") < 0
			for _, b := range all {
				raised = raised && (!isBad(b) || pkgbuild.Vercmp(p.String(), b.String()) > 0)
			}
			theirs := i == 0 || isBad(p) || raised
			if order := pkgbuild.Vercmp(now.String(), p.String()); theirs && (order < 0 || order == 0 && (i > 0 || !p.Ours)) {
				t.Fatalf("%s does not follow %s", now, p.Version)
			}
		}
	})
}
