package remote

import (
	"errors"
	"strings"
	"testing"

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
		{"theirs, nameless", known{packages: of("x", "you")}, gate.Fail, "this account may not"},
		{"theirs and others', nameless", known{packages: of("x", "you", "z")}, gate.Unknown, "set maintainer:"},
		{"named in release.yaml", known{wanted: "me", packages: of("x", "you", "me")}, gate.Pass, "me may push"},
		{"another key", known{wanted: "me", account: aurweb.Account{Name: "you"}}, gate.Fail, "release.yaml wants me"},
		{"orphan", known{account: aurweb.Account{Name: "me"}, packages: of("x", "")}, gate.Fail, "orphaned"},
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
