package remote

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/imrightguy/slipway/phases/aur/history"
	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/aurweb"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// What others have published is read as the AUR reads it.
func TestReadVersion(t *testing.T) {
	for text, want := range map[string]string{
		"pkgbase = a\n\tpkgver = 1\n\tpkgrel = 2\n\npkgname = a\n\tpkgver = 9\n": "1-2",
		"pkgbase = a\r\n  pkgver=1\r\n  pkgver = 1.1\r\n pkgrel= 2\r\nepoch = 3": "3:1.1-2",
		"pkgver = 1\npkgrel = 1\nepoch = 00\n":                                   "1-1",
		"pkgver = 1\n":                                                           "",
		"":                                                                       "",
		"pkgver = 1-2\npkgrel = 1\n":                                             "",
		"pkgver = $(id) x\npkgrel = 1\n":                                         "",
		"pkgver = 1\npkgrel = 1\nepoch = -1\n":                                   "",
		"pkgname = a\npkgver = 1\npkgrel = 1\n":                                  "",
		"pkgver = 1\npkgrel = 1\nepoch = 1" + string(rune(0x661)):                "",
	} {
		v, err := ReadVersion(text)
		if got := v.String(); (err == nil) != (want != "") || err == nil && (got != want || v.info("a").Version() != want) {
			t.Errorf("%q: %q %v, want %q", text, got, err, want)
		}
	}
}

func FuzzReadVersion(f *testing.F) {
	f.Add("pkgver = 1\npkgrel = 2\nepoch = 3\n")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := ReadVersion(text)
		if err != nil {
			return
		}
		full := v.String()
		if pkgbuild.Vercmp(full, full) != 0 || strings.ContainsAny(full, " \n\x1b") || v.info("a").Version() != full {
			t.Errorf("%q", full)
		}
	})
}

func TestJudge(t *testing.T) {
	of := func(base, maintainer string, co ...string) map[string]aurweb.Package {
		return map[string]aurweb.Package{"x": {Name: "x", PackageBase: base, Maintainer: maintainer, CoMaintainers: co, Version: "1-1"}}
	}
	none := errors.New("down")
	for _, c := range []struct {
		name    string
		k       known
		verdict gate.Verdict
		says    string
	}{
		{"free", known{}, gate.Pass, "the first push makes it"},
		{"free with history", known{history: true}, gate.Pass, "deleted package"},
		{"ours", known{account: aurweb.Account{Packages: []string{"x"}}, packages: of("x", "me")}, gate.Pass, "maintains"},
		{"ours, not shown yet", known{account: aurweb.Account{Packages: []string{"x"}}}, gate.Pass, "maintains"},
		{"co-maintained", known{account: aurweb.Account{Name: "me"}, packages: of("x", "you", "me")}, gate.Pass, "me may push"},
		{"theirs", known{account: aurweb.Account{Name: "me"}, packages: of("x", "you")}, gate.Fail, "belongs to you"},
		{"theirs, nameless", known{packages: of("x", "you")}, gate.Fail, "this account may not push it: ask to become a co-maintainer or use that account's key, or take another name"},
		{"theirs and others', nameless", known{packages: of("x", "you", "z")}, gate.Unknown, "set maintainer:"},
		{"named in release.yaml", known{wanted: "me", packages: of("x", "you", "me")}, gate.Pass, "me may push"},
		{"another key", known{wanted: "me", account: aurweb.Account{Name: "you"}}, gate.Fail, "release.yaml wants me"},
		{"orphan", known{account: aurweb.Account{Name: "me"}, packages: of("x", "")}, gate.Fail, "orphaned"},
		{"deleted, in a rollback", known{history: true, goesBack: true, account: aurweb.Account{Name: "me"}}, gate.Fail, "leave level aur out (--level github,git,hold); where it was pushed for the first time just now, run again when the AUR shows it; or roll back without it: --without x"},
		{"orphan, in a rollback", known{goesBack: true, account: aurweb.Account{Name: "me"}, packages: of("x", "")}, gate.Fail, "ask for it on x's page of the AUR; or roll back without it: --without x"},
		{"theirs, in a rollback", known{goesBack: true, account: aurweb.Account{Name: "me"}, packages: of("x", "you")}, gate.Fail, "or use that account's key; or roll back without it: --without x"},
		{"taken name, in a rollback", known{goesBack: true, account: aurweb.Account{Name: "me"}, packages: of("y", "me")}, gate.Fail, "take the name; or roll back without it: --without x"},
		{"ours, in a rollback", known{history: true, goesBack: true, account: aurweb.Account{Name: "me"}, packages: of("x", "me")}, gate.Pass, "may push"},
		{"ours and not shown yet, in a rollback", known{history: true, goesBack: true, account: aurweb.Account{Packages: []string{"x"}}}, gate.Pass, "maintains"},
		{"taken name", known{account: aurweb.Account{Packages: []string{"x"}}, packages: of("y", "me")}, gate.Fail, "belongs to package base y"},
		{"index down", known{noIndex: none, account: aurweb.Account{Packages: []string{"x"}}}, gate.Unknown, "down"},
		{"door down", known{noOne: none}, gate.Unknown, "down"},
		{"door down, named", known{noOne: gitremote.ErrAuth, wanted: "me", packages: of("x", "me")}, gate.Unknown, "let us in"},
		{"no door, named", known{noOne: aurweb.ErrNoDoor, wanted: "me", packages: of("x", "me")}, gate.Pass, "me may push"},
		{"no door", known{noOne: aurweb.ErrNoDoor}, gate.Unknown, "only over ssh"},
	} {
		c.k.name = "x"
		if ev := c.k.judge(); ev.Verdict != c.verdict || !strings.Contains(ev.Summary, c.says) {
			t.Errorf("%s: %+v", c.name, ev)
		}
	}
}

// repository has a commit for each version, the last one the tip; a version with a question mark is others'.
func repository(t testing.TB, versions ...string) (r *git.Repository, tip plumbing.Hash) {
	t.Helper()
	r, err := git.Init(memory.NewStorage(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range versions {
		v, foreign := strings.CutSuffix(v, "?")
		tree, err := history.Tree(r.Storer, offering(v))
		if err != nil {
			t.Fatal(err)
		}
		c := &object.Commit{TreeHash: tree, Message: "Update\n\nSlipway-Run: r\n", Author: object.Signature{When: time.Unix(int64(i), 0)}}
		if foreign {
			c.Message = "By hand\n"
		}
		if i > 0 {
			c.ParentHashes = []plumbing.Hash{tip}
		}
		o := r.Storer.NewEncodedObject()
		if err := c.Encode(o); err != nil {
			t.Fatal(err)
		}
		if tip, err = r.Storer.SetEncodedObject(o); err != nil {
			t.Fatal(err)
		}
	}
	return r, tip
}

// offering are the files that publish a version; of one that is "-" there is no .SRCINFO.
func offering(version string) map[string][]byte {
	files := map[string][]byte{"PKGBUILD": []byte("# " + version + "\n")}
	if version != "-" {
		pkgver, pkgrel, _ := strings.Cut(version, "-")
		text := "pkgbase = x\n\tpkgver = " + pkgver + "\n\tpkgrel = " + pkgrel + "\n"
		if epoch, rest, has := strings.Cut(pkgver, ":"); has {
			text = "pkgbase = x\n\tpkgver = " + rest + "\n\tpkgrel = " + pkgrel + "\n\tepoch = " + epoch + "\n"
		}
		files[".SRCINFO"] = []byte(text + "\tarch = any\n\npkgname = x\n")
	}
	return files
}

// A rollback's version has to follow all that our runs have published, not the tip alone; a release's only the tip, as it
// always has been.
func TestNewer(t *testing.T) {
	for _, c := range []struct {
		history, candidate string
		verdict            gate.Verdict
		says               string
		release            gate.Verdict
	}{
		{"3.2.0-1 3.2.1-1", "3.2.1+really3.2.0-1", gate.Pass, "is newer than 3.2.1-1, which is published\n", gate.Pass},
		{"3.2.1-1 3.2.1+really3.2.0-1 3.2.1-2?", "3.2.1+really3.1.0-1", gate.Fail, "who has 3.2.1+really3.2.0-1 of commit ", gate.Pass},
		{"3.2.1-1 3.2.1+really3.2.0-1 3.2.1-2?", "3.2.1+really3.2.0-1", gate.Fail, "--epoch, which outranks every version", gate.Pass},
		{"3.2.1-1 3.2.1+really3.2.0-1 3.2.1-2?", "3.2.1+really3.2.0+really3.1.0-1", gate.Pass, "is newer than 3.2.1-2, which is published\n", gate.Pass},
		{"3.2.1-1 1:3.2.0-1 3.2.1-2?", "3.2.1+really3.2.0-1", gate.Fail, "who has 1:3.2.0-1 of commit ", gate.Pass},
		{"3.2.1-1 3.2.2-1? - 3.2.1-2?", "3.2.1+really3.2.0-1", gate.Pass, "; who has 3.2.2-1 of commit ", gate.Pass},
		{"3.2.1-1 3.2.1+really3.2.0-1", "3.2.1+really3.2.0-1", gate.Pass, "is published already", gate.Pass},
		{"3.2.1-1 3.2.1+really3.2.0-1 3.2.1-2? 3.2.1+really3.2.0-1?", "3.2.1+really3.2.0-1", gate.Pass, "is published already", gate.Pass},
		{"3.2.1-1 3.2.1+really3.2.0-2 3.2.1+really3.2.0-1?", "3.2.1+really3.2.0-1", gate.Fail, "who has 3.2.1+really3.2.0-2 of commit ", gate.Pass},
		{"3.2.1-1 3.2.2-1?", "3.2.1+really3.2.0-1", gate.Fail, "roll back to another version", gate.Fail},
	} {
		r, tip := repository(t, strings.Fields(c.history)...)
		files := offering(c.candidate)
		info, err := pkgbuild.ParseSRCINFO(bytes.NewReader(files[".SRCINFO"]))
		if err != nil {
			t.Fatal(err)
		}
		content := &subject.Content{Files: files, Info: info}
		for phase, want := range map[string]gate.Verdict{"rollback": c.verdict, "": c.release, subject.Phase: c.release} {
			ev := step{subject.Package{Name: "x", Phase: phase}, nil}.compare(r, tip, content)
			if ev.Verdict != want || phase == "rollback" && !strings.Contains(ev.Summary, c.says) {
				t.Errorf("phase %q, %s after %s: %+v", phase, c.candidate, c.history, ev)
			}
			if phase == "rollback" && strings.Contains(ev.Summary, "release.yaml") {
				t.Errorf("what release.yaml cannot change: %s", ev.Summary)
			}
		}
	}
}

// What cannot be read of a history is unknown, and what others have written wrongly is passed over.
func TestAll(t *testing.T) {
	r, tip := repository(t, "1-1", "-", "3:2-1?", "2-1")
	all, err := All(r, tip)
	if err != nil || len(all) != 3 || all[0].Commit != tip || !all[0].Ours || all[1].Ours || all[1].String() != "3:2-1" {
		t.Errorf("%v %v", all, err)
	}
	if p := Greatest(all, func(p Published) bool { return p.Ours }); p == nil || p.String() != "2-1" {
		t.Errorf("%v", p)
	}
	if p := Greatest(all, func(Published) bool { return false }); p != nil {
		t.Errorf("%v", p)
	}
	if text, err := all[2].SRCINFO(); err != nil || !strings.Contains(text, "pkgver = 1\n") {
		t.Errorf("%q %v", text, err)
	}
	if _, err := At(r, plumbing.ZeroHash); err == nil {
		t.Error("an empty repository has a version")
	}
	lost := &object.Commit{TreeHash: plumbing.NewHash("1234"), ParentHashes: []plumbing.Hash{plumbing.NewHash("5678")}}
	o := r.Storer.NewEncodedObject()
	if err := lost.Encode(o); err != nil {
		t.Fatal(err)
	}
	id, err := r.Storer.SetEncodedObject(o)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := All(r, id); err == nil {
		t.Errorf("half a history: %v", all)
	}
}
