package pkgbuild

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestLint_Clean(t *testing.T) {
	for name, m := range forms() {
		if fs := Lint(m.pkgBase(), repository(t, m)); len(fs) > 0 {
			t.Errorf("%s: %v", name, fs)
		}
	}
	rng := seeded(t)
	for range 100 {
		m := randomModel(rng)
		if fs := Lint(m.pkgBase(), repository(t, m)); len(fs) > 0 {
			t.Fatalf("%v in\n%s", fs, repository(t, m)[pkgbuildName])
		}
	}
}

// TestLint plants one fault for each rule, in the words of the server where it has some.
func TestLint(t *testing.T) {
	edit := func(name, old, with string) func(f map[string][]byte) {
		return func(f map[string][]byte) {
			t.Helper()
			if !bytes.Contains(f[name], []byte(old)) {
				t.Fatalf("%q is not in %s", old, name)
			}
			f[name] = bytes.Replace(f[name], []byte(old), []byte(with), 1)
		}
	}
	both := func(old, with string) func(f map[string][]byte) {
		return func(f map[string][]byte) {
			edit(pkgbuildName, old, with)(f)
			edit(srcinfoName, strings.ReplaceAll(old, "'", ""), strings.ReplaceAll(with, "'", ""))(f)
		}
	}
	add := func(name, text string) func(f map[string][]byte) {
		return func(f map[string][]byte) { f[name] = []byte(text) }
	}
	remove := func(name string) func(f map[string][]byte) {
		return func(f map[string][]byte) { delete(f, name) }
	}
	sum := "sha256sums_x86_64 = " + someSum
	for _, c := range []struct {
		rule, message string
		plant         func(f map[string][]byte)
	}{
		{"missing-file", "missing .SRCINFO", remove(srcinfoName)},
		{"missing-file", "missing PKGBUILD", remove(pkgbuildName)},
		{"missing-file", "missing install file: cloudtolocalllm-bin.install", remove("cloudtolocalllm-bin.install")},
		{"missing-file", "missing changelog file: news", edit(srcinfoName, "\tarch =", "\tchangelog = news\n\tarch =")},
		{"missing-file", "missing source file: a.patch", edit(srcinfoName, "\tsource_x86_64 =", "\tsource_x86_64 = a.patch\n\tsource_x86_64 =")},
		{"source", "file name of letters", edit(srcinfoName, "\tsource_x86_64 =", "\tsource_x86_64 = a/b.patch\n\tsource_x86_64 =")},
		{"source", "https://", edit(srcinfoName, "https://example.org/it", "http://example.org/it")},
		{"license-file", "no licence of their own", remove(licenseName)},
		{"license-file", "name of a licence", add("LICENSES/x", "")},
		{"subdirectory", "the repository must not contain subdirectories", add("src/main.c", "")},
		{"subdirectory", "the repository must not contain subdirectories", add("keys/pgp/x.gpg", "")},
		{"blob-size", "maximum blob size (250.00KiB) exceeded", add("x.tar.gz", strings.Repeat("x", MaxFile+1))},
		{"blob-size", "maximum blob size (250.00KiB) exceeded", add(srcinfoName, strings.Repeat("#\n", MaxFile))},
		{"extra-file", "nothing in .SRCINFO asks for this file", add("PKGBUILD.bak", "")},
		{"extra-file", "nothing in .SRCINFO asks for this file", add(".gitignore", "")},
		{"srcinfo-syntax", "does not contain a pkgbase (is the file empty?)", add(srcinfoName, "")},
		{"srcinfo-syntax", "missing mandatory field: pkgver", edit(srcinfoName, "\tpkgver = 3.2.1\n", "")},
		{"srcinfo-syntax", "missing mandatory field: arch", edit(srcinfoName, "\tarch = x86_64\n", "")},
		{"srcinfo-syntax", "missing pkgname entry", edit(srcinfoName, "\npkgname = cloudtolocalllm-bin\n", "")},
		{"srcinfo-syntax", "want a whole number without leading zeros", edit(srcinfoName, "epoch = 3", "epoch = 3a")},
		{"canonical", "not as makepkg writes it", edit(srcinfoName, "\tpkgver = 3.2.1\n\tpkgrel = 2.1\n", "\tpkgrel = 2.1\n\tpkgver = 3.2.1\n")},
		{"canonical", "not as makepkg writes it", edit(srcinfoName, "pkgbase", "# comment\npkgbase")},
		{"pkgbase", "invalid pkgbase: other, expected cloudtolocalllm-suite-bin", both("cloudtolocalllm-suite-bin", "other")},
		{"x86_64", "the AUR wants x86_64 supported", func(f map[string][]byte) {
			f[srcinfoName] = bytes.ReplaceAll(f[srcinfoName], []byte("x86_64"), []byte("armv7h"))
		}},
		{"pkgdesc", "want at most 255 characters", edit(srcinfoName, "pkgdesc = ", "pkgdesc = "+strings.Repeat("x", 255))},
		{"depends", "want a package name", edit(srcinfoName, "depends = gtk3", "depends = gtk3 (>= 3)")},
		// Failure 31: Flutter as a runtime dependency.
		{"build-tool", `depends names "flutter>=3", which builds programs`, edit(srcinfoName, "depends = gtk3", "depends = flutter>=3")},
		{"provides", "want no other operator than =", edit(srcinfoName, "cloudtolocalllm=3.2.1", "cloudtolocalllm>=3.2.1")},
		{"license", "want an SPDX expression", edit(srcinfoName, "license = LicenseRef-Own", "license = custom:own")},
		{"options", "want an option of makepkg", edit(srcinfoName, "!strip", "!stripe")},
		{"backup", "want a clean path", edit(srcinfoName, "backup = etc/", "backup = /etc/")},
		{"validpgpkeys", "want a full fingerprint", edit(srcinfoName, "ABAF11C65A2970B130ABE3C4", "")},
		{"sha256sums", "want the SHA-256 of the file", edit(srcinfoName, sum, "sha256sums_x86_64 = SKIP")},
		{"checksum", "source_x86_64 has 2 entries, sha256sums_x86_64 has 1", edit(srcinfoName, "\t"+sum+"\n", "")},
		{"checksum", "sha256sums without source", edit(srcinfoName, "\tvalidpgpkeys", "\tsha256sums = "+someSum+"\n\tvalidpgpkeys")},
		{"checksum", "md5sums_x86_64: want sha256sums only", edit(srcinfoName, "\t"+sum, "\tmd5sums_x86_64 = x\n\t"+sum)},
		// Failure 10 of the first user's history: .SRCINFO behind PKGBUILD.
		{"drift", `pkgver: want ["3.2.1"], found ["3.0.3"]`, edit(srcinfoName, "pkgver = 3.2.1", "pkgver = 3.0.3")},
		{"drift", `install: want ["cloudtolocalllm-bin.install"], found []`, edit(srcinfoName, "\tinstall = cloudtolocalllm-bin.install\n", "")},
		{"maintainer", "a comment with the maintainer", edit(pkgbuildName, "# Maintainer", "# Author")},
		{"pkgbuild-grammar", "want a quoted value", edit(pkgbuildName, "pkgver='3.2.1'", "pkgver=$(git describe)")},
		{"pkgbuild-grammar", "want a command of ours", edit(pkgbuildName, "\tbsdtar", "\tpip install --user x\n\tbsdtar")},
		// Failure 53: scriptlets inside the PKGBUILD never run.
		{"pkgbuild-grammar", "want nothing after package()", edit(pkgbuildName, "\n}\n", "\n}\npost_install() {\n}\n")},
	} {
		files := repository(t, forms()["everything"])
		c.plant(files)
		found := Lint("cloudtolocalllm-suite-bin", files)
		if !slices.ContainsFunc(found, func(f Finding) bool { return f.Rule == c.rule && strings.Contains(f.Message, c.message) }) {
			t.Errorf("%s: want %q, found %v", c.rule, c.message, found)
		}
	}
}

func TestFinding_String(t *testing.T) {
	files := repository(t, desktop())
	files[srcinfoName] = bytes.Replace(files[srcinfoName], []byte("\tpkgrel = 1"), []byte("\tpkgrel = x"), 1)
	found := Lint("cloudtolocalllm-bin", files)
	if want := `.SRCINFO:4: pkgrel: want a release like 1 or 1.1, found "x" (srcinfo-syntax)`; len(found) != 1 || found[0].String() != want {
		t.Errorf("got %v, want %s", found, want)
	}
}

// TestLint_Keys allows public keys where signatures are checked.
func TestLint_Keys(t *testing.T) {
	files := repository(t, forms()["everything"])
	files["keys/pgp/ABAF11C65A2970B130ABE3C479BE3E4300411886.asc"] = nil
	if found := Lint("cloudtolocalllm-suite-bin", files); len(found) > 0 {
		t.Errorf("found %v", found)
	}
	files = repository(t, desktop())
	files["keys/pgp/x.asc"] = nil
	if found := Lint("cloudtolocalllm-bin", files); len(found) != 1 || found[0].Rule != "extra-file" {
		t.Errorf("found %v", found)
	}
}
