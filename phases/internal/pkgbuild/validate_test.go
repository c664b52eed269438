package pkgbuild

import (
	"io/fs"
	"strings"
	"testing"
)

// TestValidate plants one fault at a time. Each must be named with its field and value.
func TestValidate(t *testing.T) {
	must(t, Validate(desktop()))
	long := strings.Repeat("x", 256)
	for want, edit := range map[string]func(m *Model){
		`maintainers: want at least one, found ""`:          func(m *Model) { m.Maintainers = nil },
		`maintainers[0]: want no control character U+000A`:  func(m *Model) { m.Maintainers[0] = "a\ntouch canary" },
		`maintainers[0]: want a name with single spaces`:    func(m *Model) { m.Maintainers[0] = " a" },
		`maintainers[0]: want the address written as`:       func(m *Model) { m.Maintainers[0] = "a <a@b.c>" },
		`groups[0]: want a name of a-z, 0-9`:                func(m *Model) { m.Groups = []string{"a b"} },
		`checkdepends[0]: want a package name`:              func(m *Model) { m.CheckDepends = Plains("$(id)") },
		`package[0].from: want a clean path`:                func(m *Model) { m.Package[0] = Move{"usr/x", "/usr/y"} },
		`package[0].to: want a path of letters, d`:          func(m *Model) { m.Package[0] = Move{"/usr/x", "/usr/$(id)"} },
		`package[0].image: want a clean path`:               func(m *Model) { m.Package[0] = Extract{"x", []Extracted{{"a", "/a", 0o644}}} },
		`package[0].files: want at least one`:               func(m *Model) { m.Package[0] = Extract{"/x", nil} },
		`package[0].files[0].from: want a clean relative`:   func(m *Model) { m.Package[0] = Extract{"/x", []Extracted{{"../a", "/a", 0o644}}} },
		`package[0].files[0].from: want a clean relative p`: func(m *Model) { m.Package[0] = Extract{"/x", []Extracted{{"a*", "/a", 0o644}}} },
		`package[0].files[0].to: want a path of letters`:    func(m *Model) { m.Package[0] = Extract{"/x", []Extracted{{"a", "/a b", 0o644}}} },
		`package[0].files[0].mode: want permission bits`:    func(m *Model) { m.Package[0] = Extract{"/x", []Extracted{{"a", "/a", 0o4755}}} },
		`pkgname: want a name of a-z, 0-9`:                  func(m *Model) { m.PkgName = "Cloud" },
		`pkgname: want at most 255 characters`:              func(m *Model) { m.PkgName = long },
		`pkgname: want a name of a-z, 0-9 and`:              func(m *Model) { m.PkgName = "" },
		`pkgbase: want a name of a-z, 0-9`:                  func(m *Model) { m.PkgBase = "a b" },
		`pkgver: want a value, found ""`:                    func(m *Model) { m.PkgVer = "" },
		`pkgver: want a version of letters`:                 func(m *Model) { m.PkgVer = "3.2.1-1" },
		`pkgver: want a version of letters, digits`:         func(m *Model) { m.PkgVer = "3.2.1~rc1" },
		`pkgrel: want a release like 1 or 1.1, found "0"`:   func(m *Model) { m.PkgRel = "0" },
		`pkgrel: want a value`:                              func(m *Model) { m.PkgRel = "" },
		`epoch: want zero or more, found "-1"`:              func(m *Model) { m.Epoch = -1 },
		`payload version: want letters, digits`:             func(m *Model) { m.PayloadVer = "3/2" },
		`pkgdesc: want a value`:                             func(m *Model) { m.PkgDesc = " \t " },
		`pkgdesc: want no control character U+000A`:         func(m *Model) { m.PkgDesc = "a\nb" },
		`pkgdesc: want no control character U+0000`:         func(m *Model) { m.PkgDesc = "a\x00b" },
		`pkgdesc: want no control character U+000D`:         func(m *Model) { m.PkgDesc = "a\r" },
		`pkgdesc: want no control character U+001B`:         func(m *Model) { m.PkgDesc = "\x1b[31m" },
		`pkgdesc: want no control character U+0085`:         func(m *Model) { m.PkgDesc = "a\u0085" },
		`pkgdesc: want no control character U+007F`:         func(m *Model) { m.PkgDesc = "a\x7f" },
		`package[0].top: want no architecture where it is`: func(m *Model) {
			m.Arch, m.Sources[0].Arch = []string{"any"}, ""
			m.Package[0] = Unpack{Source: m.Sources[0].Name, Top: Text{Arch}, To: "/usr"}
		},
		`pkgdesc: want no white space U+3000`:               func(m *Model) { m.PkgDesc = "a\u3000b" },
		`pkgdesc: want no invisible character U+202E`:       func(m *Model) { m.PkgDesc = "a\u202eb" },
		`pkgdesc: want no bytes that are not UTF-8`:         func(m *Model) { m.PkgDesc = "a\xffb" },
		`pkgdesc: want at most 255 characters`:              func(m *Model) { m.PkgDesc = long },
		`url: want a value`:                                 func(m *Model) { m.URL = "" },
		`url: want an address that begins with https`:       func(m *Model) { m.URL = "ftp://example.org" },
		`url: want an address of the characters`:            func(m *Model) { m.URL = "https://example.org/a b" },
		`url: want an address that begins with https:// or`: func(m *Model) { m.URL = "https://user:pw@example.org" },
		`url: want at most 8000 characters`:                 func(m *Model) { m.URL = "https://e.org/" + strings.Repeat("x", 8000) },
		`license: want at least one`:                        func(m *Model) { m.License = nil },
		`license[0]: want an SPDX expression`:               func(m *Model) { m.License = []string{"custom:x y"} },
		`license[1]: want each value once, found "MIT"`:     func(m *Model) { m.License = []string{"MIT", "MIT"} },
		`arch: want at least one`:                           func(m *Model) { m.Arch = nil },
		`arch[1]: want an architecture like x86_64`:         func(m *Model) { m.Arch = append(m.Arch, "x-y") },
		`arch: want any alone, found "x86_64 any"`:          func(m *Model) { m.Arch = append(m.Arch, "any") },
		`arch[1]: want each value once`:                     func(m *Model) { m.Arch = append(m.Arch, "x86_64") },
		`relations for i686: want an architecture of`:       func(m *Model) { m.ArchRelations = map[string]Relations{"i686": {Depends: Plains("x")}} },
		`depends[0]: want a package name, or name`:          func(m *Model) { m.Depends = Plains(" gtk3") },
		`depends[1]: want a version like 1.2`:               func(m *Model) { m.Depends = Plains("gtk3", "glib>=1-2-3") },
		`depends[0]: want a package name, or name, op`:      func(m *Model) { m.Depends = Plains("") },
		`depends[0]: want no architecture where it is`:      func(m *Model) { m.Depends = []Text{{Lit("x-"), Arch}} },
		`depends[0]: want a part to be a literal or a`:      func(m *Model) { m.Depends = []Text{{Part{Literal: "x", Ref: refVersion}}} },
		`depends[0]: want a known reference`:                func(m *Model) { m.Depends = []Text{{Part{Ref: "home"}}} },
		`provides[0]: want no other operator than =`:        func(m *Model) { m.Provides = []Text{{Lit("x>="), Version}} },
		`conflicts_x86_64[0]: want a package name`:          func(m *Model) { m.ArchRelations = map[string]Relations{"x86_64": {Conflicts: Plains("$(id)")}} },
		`optdepends[0]: want a description after`:           func(m *Model) { m.OptDepends = Plains("ollama: ") },
		`optdepends[0]: want a package name`:                func(m *Model) { m.OptDepends = Plains("ollama:runtime") },
		`options[0]: want an option of makepkg`:             func(m *Model) { m.Options = []string{"!stripe"} },
		`install: want a plain file name`:                   func(m *Model) { m.Install = "a/b.install" },
		`backup[0]: want a clean path of a file`:            func(m *Model) { m.Backup = []string{"/etc/x"} },
		`backup[1]: want a clean path of a file`:            func(m *Model) { m.Backup = []string{"etc/x", "etc/../x"} },
		`validpgpkeys[0]: want a full fingerprint`:          func(m *Model) { m.ValidPGPKeys = []string{"79BE3E4300411886"} },

		`sources: want at least one`:                            func(m *Model) { m.Sources = nil },
		`sources[0].arch: want an architecture of the package`:  func(m *Model) { m.Sources[0].Arch = "i686" },
		`sources[0].name: want a file name of letters`:          func(m *Model) { m.Sources[0].Name = Text{Lit("-a"), Payload} },
		`sources[0].name: want a file name of letters, digits`:  func(m *Model) { m.Sources[0].Name = Text{Lit("a/../b"), Payload} },
		`sources[0].name: want the version in the name of`:      func(m *Model) { m.Sources[0].Name = Plain("latest.tar.gz") },
		`sources[1].name: want another name than each other`:    func(m *Model) { m.Sources = append(m.Sources, m.Sources[0]) },
		`sources[0].url: want an address that begins with http`: func(m *Model) { m.Sources[0].URL = Plain("http://example.org/x") },
		`sources[0].url: want an address that begins with`:      func(m *Model) { m.Sources[0].URL = Plain("git+https://example.org/x") },
		`sources[0].url: want an address of the characters`:     func(m *Model) { m.Sources[0].URL = Plain("https://example.org/\"$(id)\"") },
		`sources[0]: want at most 8000 characters`:              func(m *Model) { m.Sources[0].URL = Plain("https://e.org/" + strings.Repeat("x", 7970)) },
		`sources[0].sha256: want the SHA-256 of the file`:       func(m *Model) { m.Sources[0].SHA256 = "SKIP" },
		`sources[0].sha256: want the SHA-256 of the fil`:        func(m *Model) { m.Sources[0].SHA256 = someSum + "  cloudtolocalllm.tar.gz" },
		`sources[0].sha256: want the SHA-256 of the fi`:         func(m *Model) { m.Sources[0].SHA256 = strings.ToUpper(someSum) },
		`sources[0].sha256: want the SHA-256 of the f`:          func(m *Model) { m.Sources[0].SHA256 = sha256OfNothing },
		`sources[0].sha256: want the SHA-256 of the `:           func(m *Model) { m.Sources[0].SHA256 = sha256Zero },
		`sources[1]: want a source that package() takes`: func(m *Model) {
			m.Sources = append(m.Sources, Source{Name: Plain("unused"), SHA256: someSum})
		},
		`sources[0]: want the payload's version, which differs`: func(m *Model) {
			m.PayloadVer = "3.2.0"
			m.Sources[0].URL = Text{Lit("https://example.org/"), Version}
		},

		`package: want at least one`:                             func(m *Model) { m.Package = nil },
		`package[0]: want an action`:                             func(m *Model) { m.Package[0] = nil },
		`package[0].source: want the name of a source for`:       func(m *Model) { m.Package[0] = Unpack{Source: Plain("other.tar.gz"), To: "/usr"} },
		`package[0].source: want the name of a source for aarch`: func(m *Model) { m.Arch = append(m.Arch, "aarch64") },
		`package[0].to: want a clean path that begins with a`:    func(m *Model) { m.Package[0] = Unpack{Source: m.Sources[0].Name, To: "usr"} },
		`package[0].to: want a clean path that begins with`:      func(m *Model) { m.Package[0] = Unpack{Source: m.Sources[0].Name, To: "/usr/../etc"} },
		`package[0].to: want a path of letters, digits`:          func(m *Model) { m.Package[0] = Unpack{Source: m.Sources[0].Name, To: "/$(id)"} },
		`package[0].to: want a path of letters`:                  func(m *Model) { m.Package[0] = Unpack{Source: m.Sources[0].Name, To: "/usr/-rf"} },
		`package[0].top: want a relative path of plain`: func(m *Model) {
			m.Package[0] = Unpack{Source: m.Sources[0].Name, Top: Plain("a*b"), To: "/usr"}
		},
		`package[0].strip: top says already what is dropped`: func(m *Model) {
			m.Package[0] = Unpack{Source: m.Sources[0].Name, Top: Plain("a"), Strip: 1, To: "/usr"}
		},
		`package[0].strip: want zero or more`: func(m *Model) { m.Package[0] = Unpack{Source: m.Sources[0].Name, Strip: -1, To: "/"} },
		`package[0].data: want data.tar.gz`: func(m *Model) {
			m.Package[0] = UnpackDeb{Source: m.Sources[0].Name, Data: "data.tar.*"}
		},
		`package[0].mode: want permission bits`: func(m *Model) {
			m.Package[0] = InstallFile{Source: m.Sources[0].Name, To: "/x", Mode: 0o755 | fs.ModeSetuid}
		},
		`package[0].mode: want permission bits like`: func(m *Model) {
			m.Package[0] = InstallFile{Source: m.Sources[0].Name, To: "/x", Mode: 0o155}
		},
		`package[1].from: want a path of letters`: func(m *Model) { m.Package[1] = InstallLicense{From: "/a b"} },
		`package[1].at: want a clean path`:        func(m *Model) { m.Package[1] = Symlink{At: "x", To: "/y"} },
		`package[1].to: want a clean path`:        func(m *Model) { m.Package[1] = Symlink{At: "/x", To: "../y"} },
		`package[1].path: want a clean path`:      func(m *Model) { m.Package[1] = Remove{Path: "/usr/"} },
	} {
		m := desktop()
		edit(m)
		if err := Validate(m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

// TestValidate_Joined wants every fault, not the first one.
func TestValidate_Joined(t *testing.T) {
	err := Validate(&Model{})
	if err == nil {
		t.Fatal("takes an empty model")
	}
	for _, field := range []string{"maintainers", "pkgname", "pkgver", "pkgrel", "pkgdesc", "url", "arch", "license", "sources", "package"} {
		if !strings.Contains("\n"+err.Error(), "\n"+field+":") {
			t.Errorf("%s is not named in\n%v", field, err)
		}
	}
}

// TestValidate_Pointer: an action may come as a pointer too.
func TestValidate_Pointer(t *testing.T) {
	m := desktop()
	m.Package[0] = &Unpack{Source: Plain("other.tar.gz"), To: "/usr"}
	if err := Validate(m); err == nil || !strings.Contains(err.Error(), "package[0].source") {
		t.Errorf("got %v", err)
	}
}

func TestLicenseProblem(t *testing.T) {
	for v, ok := range map[string]bool{
		"MIT": true, "GPL-2.0+": true, "LicenseRef-x": true, "DocumentRef-a:LicenseRef-b": true, "MIT OR Apache-2.0": true,
		"(MIT)": true, "(MIT OR (A AND B)) AND C": true, "GPL-2.0-only WITH Classpath-exception-2.0": true,
		"": false, "OR": false, "MIT OR": false, "MIT MIT": false, "(MIT": false, "MIT)": false, "()": false, "custom:x": false,
		"MIT,Apache": false, "MIT  OR A": false, " MIT": false, "(MIT) WITH x": false, "MIT/X11": false, "$(id)": false,
	} {
		if got := licenseProblem(v); (got == "") != ok {
			t.Errorf("%q: %q, want ok %v", v, got, ok)
		}
	}
}
