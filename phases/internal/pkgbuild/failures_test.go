package pkgbuild

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What went wrong in real releases, by its number: each fault is planted into files that are right, and found.

// plant changes one of the files of a repository, and wants the finding of a rule; without the fault there is none.
func plant(t *testing.T, m *Model, file, rule, message string, edit func(text string) string) {
	t.Helper()
	files := repository(t, m)
	if found := Lint(m.pkgBase(), files); len(found) > 0 {
		t.Fatalf("without the fault: %v", found)
	}
	before := string(files[file])
	after := edit(before)
	if after == before {
		t.Fatal("nothing was planted")
	}
	files[file] = []byte(after)
	found := Lint(m.pkgBase(), files)
	if !slices.ContainsFunc(found, func(f Finding) bool { return f.Rule == rule && strings.Contains(f.Message, message) }) {
		t.Errorf("want %s: %q, found %v", rule, message, found)
	}
}

func swap(old, with string) func(string) string {
	return func(text string) string { return strings.Replace(text, old, with, 1) }
}

// TestFailure_006_NameInSumField: the field of the checksum held a line of a checksum file.
func TestFailure_006_NameInSumField(t *testing.T) {
	const want = "want the SHA-256 of the file in 64 lower-case hexadecimal digits"
	for _, bad := range []string{someSum + " cloudtolocalllm.tar.gz", strings.ToUpper(someSum), someSum[1:], someSum + "0", "SKIP", "PLACEHOLDER_SHA256", sha256OfNothing, sha256Zero} {
		plant(t, desktop(), srcinfoName, "sha256sums", want, swap(someSum, bad))
		m := desktop()
		m.Sources[0].SHA256 = bad
		if err := Validate(m); err == nil || !strings.Contains(err.Error(), "sources[0].sha256: "+want) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	plant(t, desktop(), srcinfoName, "srcinfo-syntax", "white space that makepkg would have folded", swap(someSum, someSum+"  cloudtolocalllm.tar.gz"))
}

// TestFailure_008_OldSumOfNewVersion: a script raised pkgver, with it the address, and left the sum.
func TestFailure_008_OldSumOfNewVersion(t *testing.T) {
	old, err := desktop().SRCINFO()
	must(t, err)
	m := desktop()
	m.PkgVer = "3.2.2"
	raised, err := m.SRCINFO()
	must(t, err)
	found := raised.OldSums(old)
	if len(found) != 1 || !strings.Contains(found[0], "sha256sums_x86_64: \"cloudtolocalllm-3.2.2-x86_64.tar.gz::") || !strings.Contains(found[0], "has the sum "+someSum+", which is that of the published \"cloudtolocalllm-3.2.1-") {
		t.Errorf("found %q", found)
	}
	m.Sources[0].SHA256 = strings.Repeat("ab", 32)
	right, err := m.SRCINFO()
	must(t, err)
	// The same payload again, under a raised pkgrel, and a source that is not of the version at all.
	again := desktop()
	again.PkgRel = "2"
	packaging, err := again.SRCINFO()
	must(t, err)
	for _, s := range []*SRCINFO{right, packaging, old} {
		if found := s.OldSums(old); found != nil {
			t.Errorf("%s: found %q", s.Version(), found)
		}
	}
	if found := right.OldSums(nil); found != nil {
		t.Errorf("found %q", found)
	}
}

// TestFailure_010_SRCINFOBehindPKGBUILD: .SRCINFO was not made anew, in 41 of 59 commits.
func TestFailure_010_SRCINFOBehindPKGBUILD(t *testing.T) {
	for name := range forms() {
		m := forms()[name]
		files := repository(t, m)
		m.PkgRel = "77"
		files[pkgbuildName] = repository(t, m)[pkgbuildName]
		if found := Lint(m.pkgBase(), files); len(found) != 1 || found[0].Rule != "drift" || !strings.Contains(found[0].Message, "pkgrel") {
			t.Errorf("%s: found %v", name, found)
		}
	}
	plant(t, desktop(), srcinfoName, "drift", `pkgver: want ["3.2.1"], found ["2.0.0.r1.gabc"]`, swap("pkgver = 3.2.1", "pkgver = 2.0.0.r1.gabc"))
	plant(t, desktop(), srcinfoName, "srcinfo-syntax", "does not contain a pkgbase (is the file empty?)", func(string) string { return "" })
}

// TestFailure_031_BuildToolInDepends: Flutter, and much else that builds programs, was needed to run one.
func TestFailure_031_BuildToolInDepends(t *testing.T) {
	if !slices.IsSorted(buildTools) {
		t.Error("the list is not sorted")
	}
	for _, tool := range []string{
		"flutter", "flutter>=3.24", "flutter-bin", "dart", "go", "cmake>=3.20", "ninja", "git", "base-devel", "python-pip", "pyinstaller",
		"python-pyinstaller", "gcc", "make", "npm", "rust=1:1.80-1", "meson",
	} {
		plant(t, desktop(), srcinfoName, "build-tool", fmt.Sprintf("depends names %q, which builds programs and does not run them", tool), swap("depends = gtk3", "depends = "+tool))
	}
	two := forms()["two-architectures"]
	plant(t, two, srcinfoName, "build-tool", `depends_aarch64 names "cmake"`, swap("depends_aarch64 = mesa", "depends_aarch64 = cmake"))
	for _, runs := range []string{"python", "python>=3.10", "gcc-libs", "nodejs", "glibc", "go-md2man", "libgit2", "dartium", "makefile", "python-gobject", "?"} {
		if BuildTool(runs) {
			t.Errorf("%s runs programs", runs)
		}
	}
	// Where it belongs there is no finding, and python is needed by what declares it only.
	m := desktop()
	m.MakeDepends = Plains("flutter", "cmake")
	m.OptDepends = Plains("git: to fetch")
	if found := Lint(m.PkgName, repository(t, m)); len(found) > 0 {
		t.Errorf("found %v", found)
	}
	for name, m := range variants() {
		if s := m.unchecked(); slices.ContainsFunc(s.Base["depends"], func(d string) bool { return strings.HasPrefix(d, "python") }) {
			t.Errorf("%s: python was added", name)
		}
	}
}

// TestFailure_053_FromGitHead: a PKGBUILD that built the head of a branch, checked no sum, ran pip, and had scriptlets in
// itself, where they never run.
func TestFailure_053_FromGitHead(t *testing.T) {
	m := desktop()
	plant(t, m, srcinfoName, "source", "want an address that begins with https://", swap("https://github.com/imrightguy/CloudToLocalLLM/releases", "git+https://github.com/imrightguy/CloudToLocalLLM.git#releases"))
	plant(t, m, srcinfoName, "sha256sums", `found "SKIP"`, swap(someSum, "SKIP"))
	for _, edit := range []func(string) string{
		swap("package() {", "build() {\n\tpip install --user pystray\n}\n\npackage() {"),
		swap("\tbsdtar", "\tpip install --user pystray\n\tbsdtar"),
		swap("\tbsdtar", "\tsystemctl --user enable x\n\tbsdtar"),
		swap("pkgver='3.2.1'", "pkgver=$(git describe --tags)"),
		func(s string) string { return s + "\npost_install() {\n\tupdate-desktop-database\n}\n" },
		func(s string) string { return s + "pkgver() {\n\tgit describe\n}\n" },
	} {
		plant(t, m, pkgbuildName, "pkgbuild-grammar", "want", edit)
	}
	plant(t, forms()["everything"], "cloudtolocalllm-bin.install", "scriptlet", "build is not called by pacman", func(string) string { return "build() {\n\tmake\n}\n" })
	plant(t, forms()["everything"], "cloudtolocalllm-bin.install", "scriptlet", "want nothing but functions", func(s string) string { return "gtk-update-icon-cache\n" + s })
}

// TestFailure_054_TailOfArray: a regular expression replaced the first line of a list of several and left the rest.
func TestFailure_054_TailOfArray(t *testing.T) {
	m := forms()["everything"]
	for _, c := range []struct{ old, with string }{
		{"sha256sums_x86_64=(\n\t'" + someSum + "'\n", "sha256sums_x86_64=('" + someSum + "')\n"},
		{"sha256sums_x86_64=(\n\t'" + someSum + "'\n", "sha256sums_x86_64=(\n\t'" + someSum + "')\n"},
		{"\t'" + someSum + "'\n)\n", "\t'" + someSum + "'\n"},
		{"optdepends=(\n", "optdepends=('x')\n"},
	} {
		plant(t, m, pkgbuildName, "pkgbuild-grammar", "want", swap(c.old, c.with))
	}
	// Ours is not edited but printed: with more and with fewer values it is read back as it was meant.
	for n := range 6 {
		m := desktop()
		m.OptDepends = nil
		for i := range n {
			m.OptDepends = append(m.OptDepends, Plain(fmt.Sprintf("a-rather-long-name-%d: so that a list is broken into lines", i)))
		}
		p, s := print(t, m)
		read, err := ReadPKGBUILD(strings.NewReader(p))
		must(t, err)
		var b bytes.Buffer
		must(t, read.Print(&b))
		if b.String() != s {
			t.Errorf("reads as\n%s\nwant\n%s", &b, s)
		}
	}
}
