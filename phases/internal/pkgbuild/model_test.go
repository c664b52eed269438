package pkgbuild

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/makepkg"
)

const someSum = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"

// desktop is the first user's package: a tarball whose only folder goes under /usr.
func desktop() *Model {
	name := Text{Lit("cloudtolocalllm-"), Payload, Lit("-x86_64.tar.gz")}
	return &Model{
		Maintainers: []string{"Release Team <release at example dot org>"},
		PkgName:     "cloudtolocalllm-bin",
		PkgVer:      "3.2.1",
		PkgRel:      "1",
		PkgDesc:     "Manage and run local language models",
		URL:         "https://github.com/imrightguy/CloudToLocalLLM",
		License:     []string{"MIT"},
		Arch:        []string{"x86_64"},
		Relations: Relations{
			Depends:    Plains("gtk3", "glibc>=2.31"),
			OptDepends: Plains("ollama: local model runtime"),
			Provides:   []Text{{Lit("cloudtolocalllm="), Version}},
			Conflicts:  Plains("cloudtolocalllm"),
		},
		Options: []string{"!strip", "!debug"},
		Sources: []Source{{
			Arch: "x86_64",
			Name: name,
			URL: Text{
				Lit("https://github.com/imrightguy/CloudToLocalLLM/releases/download/v"), Payload,
				Lit("/cloudtolocalllm-"), Payload, Lit("-x86_64.tar.gz"),
			},
			SHA256: someSum,
		}},
		Package: []Action{
			Unpack{Source: name, Top: Text{Lit("cloudtolocalllm-"), Payload, Lit("-x86_64")}, To: "/usr"},
			InstallLicense{From: "/usr/share/doc/cloudtolocalllm/LICENSE"},
		},
	}
}

// forms are models of every kind, by name. Each call makes new ones.
func forms() map[string]*Model {
	deb := desktop()
	deb.Relations.Provides = nil
	deb.Sources[0].Name = Text{Lit("cloudtolocalllm_"), Payload, Lit("_amd64.deb")}
	deb.Sources[0].URL = Text{Lit("https://example.org/v"), Payload, Lit("/cloudtolocalllm_"), Payload, Lit("_amd64.deb")}
	deb.Package = []Action{
		UnpackDeb{Source: deb.Sources[0].Name, Data: "data.tar.gz"},
		InstallLicense{From: "/usr/share/doc/cloudtolocalllm/copyright"},
		Remove{Path: "/usr/share/lintian"},
	}

	image := desktop()
	image.Sources[0].Name = Text{Lit("CloudToLocalLLM-"), Payload, Lit("-x86_64.AppImage")}
	image.Sources[0].URL = Text{Lit("https://example.org/CloudToLocalLLM-"), Payload, Lit("-x86_64.AppImage")}
	image.Sources = append(image.Sources, Source{Name: Plain("COPYING"), SHA256: someSum})
	image.Package = []Action{
		InstallFile{Source: image.Sources[0].Name, To: "/opt/cloudtolocalllm/cloudtolocalllm.AppImage", Mode: 0o755},
		Symlink{At: "/usr/bin/cloudtolocalllm", To: "/opt/cloudtolocalllm/cloudtolocalllm.AppImage"},
		InstallFile{Source: Plain("COPYING"), To: "/usr/share/licenses/cloudtolocalllm-bin/COPYING", Mode: 0o644},
	}

	// The name of a file has the architecture in it, so that package() is one text for both.
	two := desktop()
	two.Arch = []string{"x86_64", "aarch64"}
	file := Text{Lit("cloudtolocalllm-"), Payload, Lit("-"), Arch, Lit(".tar.gz")}
	two.Sources = nil
	for i, arch := range two.Arch {
		two.Sources = append(two.Sources, Source{
			Arch: arch, Name: file, URL: append(Text{Lit("https://example.org/"), Payload, Lit("/")}, file...),
			SHA256: strings.Replace(someSum, "5", fmt.Sprint(i), 1),
		})
	}
	two.Package = []Action{Unpack{Source: file, Top: Text{Lit("cloudtolocalllm-"), Payload, Lit("-"), Arch}, To: "/usr"}}
	two.ArchRelations = map[string]Relations{
		"aarch64": {Depends: Plains("mesa"), OptDepends: Plains("rpi:  for  one board")},
		"x86_64":  {Conflicts: []Text{{Lit("cloudtolocalllm-"), Arch, Lit("<"), Version}}},
	}

	// After a rollback the package packs an older payload under a higher version.
	rollback := desktop()
	rollback.PkgVer, rollback.PayloadVer = "3.2.1+really3.2.0", "3.2.0"

	prerelease := desktop()
	prerelease.PkgVer, prerelease.PayloadVer = "3.2.1rc1", "3.2.1-rc.1"

	everything := desktop()
	everything.PkgBase, everything.PkgRel, everything.Epoch = "cloudtolocalllm-suite-bin", "2.1", 3
	everything.PkgDesc = "\t It's \"$HOME\"  and `id`; $(id) \\ !! 模型 \\n  "
	everything.License = []string{"MIT AND (Apache-2.0 OR GPL-3.0-or-later WITH GCC-exception-3.1)", "LicenseRef-Own"}
	everything.MakeDepends = Plains("squashfs-tools")
	everything.Replaces = []Text{{Lit("cloudtolocalllm-desktop<="), Version}}
	everything.Backup = []string{"etc/cloudtolocalllm.conf", "etc/it's $HOME.conf"}
	everything.Install = "cloudtolocalllm-bin.install"
	everything.ValidPGPKeys = []string{"ABAF11C65A2970B130ABE3C479BE3E4300411886"}
	everything.OptDepends = Plains(
		"ollama: local model runtime", "firefox:  sign in;  it's \"optional\"", "1:bad", "a>=1:2-3:\tan epoch", "b")[:2]
	everything.OptDepends = append(everything.OptDepends, Plains("a>=1:2-3:\tan epoch", "b")...)
	everything.Sources = append(everything.Sources, Source{
		Arch: "x86_64", Name: Text{Lit("cloudtolocalllm-"), Payload, Lit("-x86_64.tar.gz.sig")},
		URL: Text{Lit("https://example.org/it's;$HOME&("), Payload, Lit(")!*,~.sig?a=b#c")}, SHA256: someSum,
	})
	everything.Package = []Action{Unpack{Source: everything.Sources[0].Name, Strip: 1, To: "/"}}

	anyArch := desktop()
	anyArch.Arch = []string{"any"}
	anyArch.Sources[0].Arch = ""

	return map[string]*Model{
		"tarball": desktop(), "deb": deb, "appimage": image, "two-architectures": two, "rollback": rollback,
		"prerelease": prerelease, "everything": everything, "any": anyArch,
	}
}

// hostile is what careless quoting would run, cut or change.
var hostile = []string{
	"$(touch canary)", "`touch canary`", "'; touch canary; '", "\"; touch canary; \"", "'\"'\"'; touch canary #", "$'\\ntouch canary'",
	"${HOME}", "$pkgname", "${pkgver}", "$((1+1))", "!!", "!-1", "\\", "\\\\", "\\'", "\\\"", "'", "''", "'''", "\"", "\"\"", "`", "#", "# no",
	")", "(", "))", "}", "{a,b}", "~", "*", "?", "[a]", "<(touch canary)", "> canary", "| touch canary", "& touch canary &", ";", "&&", "\t",
	"  ", " \t ", "%s", "%n%d", "-n", "--", "=", "==", "::", "%%", "é", "模型", "👩‍💻", "\u00ad", "a\u0301", "EOF", "\\x00", "\\n", "$", "$$", "\\$",
	"package() { touch canary; }", "source=(x)", "[[ -e / ]]", "@", "@Q}", "${a@Q}", "é'é", "/", "//", "..", "key = value",
}

// randomModel makes a valid model of random parts.
func randomModel(rng *rand.Rand) *Model {
	pick := func(words []string) string { return words[rng.IntN(len(words))] }
	nasty := func() string {
		s := pick([]string{"a", "", "word "})
		for range rng.IntN(6) {
			s += pick(hostile) + pick([]string{"", " ", "  ", "x"})
		}
		if Fold(s) == "" {
			s += "."
		}
		if r := []rune(s); len(r) > 200 {
			s = string(r[:200]) + "."
		}
		return s
	}
	url := func() string {
		s := "https://example.org/"
		for range rng.IntN(5) {
			s += pick([]string{"a", "'", "$", "(", ")", "*", "!", ";", "&", "~", "%20", "?q=$(id)", "''", ",", "@", "+", "[", "]"})
		}
		return s
	}
	relation := func(name string) Text {
		t := Text{Lit(name + pick([]string{"", "-x", ".2", "+plus", "_u"}))}
		switch rng.IntN(4) {
		case 0:
			t = append(t, Lit("="), Version)
		case 1:
			t = append(t, Lit("=1:2.3_4-5.6"))
		}
		return t
	}
	relations := func(n int, prefix string) (list []Text) {
		for i := range rng.IntN(n) {
			list = append(list, relation(fmt.Sprintf("%s%d", prefix, i)))
		}
		return list
	}
	optional := func(n int) (list []Text) {
		for i := range rng.IntN(n) {
			t := relation(fmt.Sprintf("opt%d", i))
			if rng.IntN(3) > 0 {
				t = append(t, Lit(pick([]string{": ", ":\t", ":  "})+nasty()))
			}
			list = append(list, t)
		}
		return list
	}

	all := forms()
	m := all[pick(slices.Sorted(maps.Keys(all)))]
	m.Maintainers = nil
	for range rng.IntN(3) + 1 {
		m.Maintainers = append(m.Maintainers, strings.ReplaceAll(Fold(nasty()), "@", " at ")+".")
		m.Maintainers[len(m.Maintainers)-1] = Fold(m.Maintainers[len(m.Maintainers)-1])
	}
	m.PkgName = pick([]string{"a", "0ad", "x-bin", "lib.c++_x-bin"})
	m.PkgBase = pick([]string{"", "", "base", m.PkgName})
	m.PkgRel, m.Epoch = pick([]string{"1", "7", "1.1"}), max(0, rng.IntN(6)-2)
	if m.PayloadVer == "" {
		m.PkgVer = pick([]string{"1", "3.2.1", "3.2.1+1", "1_a", "0.0.1rc10"})
	}
	m.PkgDesc, m.URL = nasty(), url()
	m.Groups, m.CheckDepends = nil, relations(3, "check")
	for i := range rng.IntN(3) {
		m.Groups = append(m.Groups, fmt.Sprintf("group%d", i))
	}
	m.MakeDepends, m.Depends, m.OptDepends = relations(3, "make"), relations(9, "dep"), optional(8)
	m.Provides, m.Conflicts, m.Replaces = relations(3, "prov"), relations(3, "conf"), relations(3, "repl")
	m.Backup = nil
	for i := range rng.IntN(3) {
		part := strings.NewReplacer("/", "_", "..", "_").Replace(nasty())
		m.Backup = append(m.Backup, "etc/"+Fold(part)+fmt.Sprint(i))
	}
	return m
}

func print(t testing.TB, m *Model) (pkgbuild, srcinfo string) {
	t.Helper()
	var p, s bytes.Buffer
	must(t, PrintPKGBUILD(&p, m))
	must(t, PrintSRCINFO(&s, m))
	return p.String(), s.String()
}

// must ends the test on an error. A missing judge skips it on a developer's machine and
// fails it where CI is set.
func must(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, makepkg.ErrMissing) && os.Getenv("CI") != "true":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

func TestText(t *testing.T) {
	m := &Model{PkgVer: "1rc1", PayloadVer: "1-rc.1"}
	text := Text{Lit("a-"), Payload, Lit("-"), Arch, Lit("-"), Version}
	if got, want := m.expand(text, "x"), "a-1-rc.1-x-1rc1"; got != want {
		t.Errorf("expand: %q, want %q", got, want)
	}
	if got, want := m.resolve(text, "x").quote(), `'a-1-rc.1-x-'"${pkgver}"`; got != want {
		t.Errorf("quote: %s, want %s", got, want)
	}
	m.PayloadVer = ""
	if got, want := m.resolve(text, "x").quote(), `'a-'"${pkgver}"'-x-'"${pkgver}"`; got != want {
		t.Errorf("quote: %s, want %s", got, want)
	}
	if got := (Text{}).quote(); got != "''" {
		t.Errorf("empty text is %s", got)
	}
}

func TestModelVersion(t *testing.T) {
	for want, m := range map[string]Model{
		"3.2.1-1":   {PkgVer: "3.2.1", PkgRel: "1"},
		"2:1rc1-12": {PkgVer: "1rc1", PkgRel: "12", Epoch: 2},
	} {
		if got := m.Version(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
