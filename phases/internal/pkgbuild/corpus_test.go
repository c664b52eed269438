package pkgbuild

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/makepkg"
)

// variants are the forms, each with something else about it: with them there are over forty models.
func variants() map[string]*Model {
	all := forms()
	add := func(name, form string, edit func(m *Model)) {
		m := forms()[form]
		edit(m)
		all[form+", "+name] = m
	}
	add("epoch", "tarball", func(m *Model) { m.Epoch = 1 })
	add("large epoch", "deb", func(m *Model) { m.Epoch, m.PkgRel = 20260102, "12.34" })
	add("build number kept", "tarball", func(m *Model) { m.PkgVer, m.PayloadVer = "3.2.1+202506291750", "3.2.1" })
	add("rollback with build number", "tarball", func(m *Model) { m.PkgVer, m.PayloadVer = "3.2.1+1+really3.2.0+1", "3.2.0" })
	add("underscore in pkgver", "tarball", func(m *Model) { m.PkgVer = "3_2.1a" })
	add("pkgbase", "deb", func(m *Model) { m.PkgBase = "suite" })
	add("same pkgbase", "deb", func(m *Model) { m.PkgBase = m.PkgName })
	add("odd name", "tarball", func(m *Model) { m.PkgName = "0lib.c++_x-bin" })
	add("groups", "two-architectures", func(m *Model) { m.Groups = []string{"ai", "desktop-tools"} })
	add("build relations", "two-architectures", func(m *Model) {
		m.MakeDepends, m.CheckDepends = Plains("squashfs-tools>=4.6"), Plains("dbus", "xorg-server-xvfb")
		m.ArchRelations["x86_64"] = Relations{MakeDepends: Plains("nasm"), CheckDepends: Plains("qemu-user"), Provides: []Text{{Lit("a-"), Arch, Lit("="), Version}}}
		m.ArchRelations["aarch64"] = Relations{Replaces: Plains("old-arm<2"), Conflicts: Plains("other"), OptDepends: Plains("x: it's  y")}
	})
	add("three architectures", "two-architectures", func(m *Model) {
		m.Arch = []string{"aarch64", "riscv64", "x86_64"}
		s := m.Sources[0]
		s.Arch = "riscv64"
		m.Sources = append(m.Sources, s)
	})
	add("no relations", "tarball", func(m *Model) { m.Relations = Relations{} })
	add("many relations", "tarball", func(m *Model) {
		for i := range 60 {
			m.Depends = append(m.Depends, Plain(fmt.Sprintf("dep%d>=1:%d.0-1", i, i)))
		}
	})
	add("operators", "deb", func(m *Model) {
		m.Depends, m.Conflicts, m.Provides = Plains("a<1", "b<=2", "c=3", "d>=4-5", "e>6:7", "@f", "_g", "+h"), Plains("i<1"), Plains("lib.so=1-64")
	})
	add("backup", "tarball", func(m *Model) {
		m.Backup = []string{"etc/a b.conf", "etc/ü/$x`y`.conf", "etc/'q'\".conf", "usr/lib/x.conf"}
	})
	add("scriptlet", "appimage", func(m *Model) { m.Install = "cloudtolocalllm-bin.install" })
	add("licences", "deb", func(m *Model) {
		m.License = []string{"MIT", "GPL-3.0-or-later WITH Classpath-exception-2.0", "(A OR B) AND C"}
	})
	add("keys", "tarball", func(m *Model) {
		m.ValidPGPKeys = []string{"ABAF11C65A2970B130ABE3C479BE3E4300411886", strings.Repeat("0123456789ABCDEF", 4)}
	})
	add("all options", "tarball", func(m *Model) {
		m.Options = nil
		for i, o := range options {
			if o == "ccache" || o == "distcc" { // which makepkg then looks for
				i = 1
			}
			m.Options = append(m.Options, strings.Repeat("!", i%2)+o)
		}
	})
	add("moved and removed", "deb", func(m *Model) {
		m.Package = append(m.Package, Move{"/usr/share/zsh/vendor-completions/_x", "/usr/share/zsh/site-functions/_x"}, Remove{"/usr/share/zsh/vendor-completions"})
	})
	add("extracted", "appimage", func(m *Model) {
		m.Package = append(m.Package, Extract{"/opt/cloudtolocalllm/cloudtolocalllm.AppImage", []Extracted{
			{"usr/share/applications/x.desktop", "/usr/share/applications/x.desktop", 0o644},
			{"usr/share/icons/hicolor/48x48/apps/x.png", "/usr/share/icons/hicolor/48x48/apps/x.png", 0o644},
			{"usr/share/icons/hicolor/64x64/apps/x.png", "/usr/share/icons/hicolor/64x64/apps/x.png", 0o644},
			{"etc/x.conf", "/etc/x.conf", 0o755},
		}})
	})
	for i, text := range []string{
		"It's \"quoted\" `here` and $(there)", "\ttabs\t\tand  spaces ", "模型 naïve 👩‍💻 a\u0301", "* ? [a] {b,c} ~ !! # ; & | < > % \\n \\", "key = value :: x",
		"'", "''''", "\"'\"'\"", "${pkgver} $pkgname", "-n", strings.Repeat("长", 255), "\u00ad\u200d|",
	} {
		add(fmt.Sprintf("text %d", i), "tarball", func(m *Model) {
			m.PkgDesc, m.OptDepends = text, Plains("x: "+text, "y>=1: "+text)
		})
	}
	return all
}

// corpusFile is one of the hand-written PKGBUILDs of testdata/srcinfo, and the .SRCINFO beside it: of the same content,
// but some as older tools and people write it, with comments, empty lines and the keys in another order.
type corpusFile struct{ name, pkgbuild, srcinfo string }

func corpus(t testing.TB) (files []corpusFile) {
	t.Helper()
	names, err := filepath.Glob("testdata/srcinfo/*.PKGBUILD")
	must(t, err)
	for _, path := range names {
		p, err := os.ReadFile(path)
		must(t, err)
		name := strings.TrimSuffix(path, ".PKGBUILD")
		s, err := os.ReadFile(name + ".SRCINFO")
		must(t, err)
		files = append(files, corpusFile{filepath.Base(name), string(p), string(s)})
	}
	return files
}

// TestCorpus_Size: as many as are promised.
func TestCorpus_Size(t *testing.T) {
	if n := len(variants()); n < 40 {
		t.Errorf("%d models", n)
	}
	if n := len(corpus(t)); n < 40 {
		t.Errorf("%d hand-written files", n)
	}
	odd := 0
	for _, f := range corpus(t) {
		if strings.Contains(f.srcinfo, "#") || strings.Contains(f.srcinfo, "\n\n\n") || strings.HasPrefix(f.srcinfo, "\n") {
			odd++
		}
	}
	if odd < 8 {
		t.Errorf("%d of them are not as makepkg writes them", odd)
	}
}

// normal is the .SRCINFO as our parser and printer have it.
func (f corpusFile) normal(t testing.TB) string {
	t.Helper()
	s, err := ParseSRCINFO(strings.NewReader(f.srcinfo))
	if err != nil {
		t.Fatalf("%s: %v", f.name, err)
	}
	var b bytes.Buffer
	must(t, s.Print(&b))
	return b.String()
}

// TestCorpus_Normal: what is normal once stays so.
func TestCorpus_Normal(t *testing.T) {
	for _, f := range corpus(t) {
		once := f.normal(t)
		if twice := (corpusFile{f.name, "", once}).normal(t); once != twice {
			t.Errorf("%s: first\n%s\nthen\n%s", f.name, once, twice)
		}
	}
}

// printCorpus asks makepkg's own library for the .SRCINFO of the PKGBUILD in each folder, each followed by NUL. Unlike
// printAll it has makepkg look for overrides in the text of the package functions, which takes most of its time.
const printCorpus = `
shopt -s extglob
for lib in /usr/share/makepkg/*.sh; do source "$lib"; done
IGNOREARCH=1 CARCH=x86_64 startdir=$PWD
for dir in */; do (
	cd "$dir" && source ./PKGBUILD && pkgbase=${pkgbase:-$pkgname} BUILDFILE=$PWD/PKGBUILD
	write_srcinfo_content 2>&1; printf '\0'
); done`

// printReal asks the real program, two at a time.
const printReal = `
printf '%s\0' */ | xargs -0 -n 1 -P 2 bash -c 'cd "$0" && makepkg --printsrcinfo >out 2>err </dev/null || cat err >>out'
for dir in */; do cat "$dir/out"; printf '\0'; done`

// ask lays PKGBUILDs with the files that they name beside them, and answers with what a script says of each.
func ask(t *testing.T, script string, pkgbuilds []string) []string {
	t.Helper()
	dir := t.TempDir()
	for i, text := range pkgbuilds {
		sub := filepath.Join(dir, fmt.Sprintf("%03d", i))
		must(t, os.MkdirAll(sub, 0o755))
		must(t, os.WriteFile(filepath.Join(sub, "PKGBUILD"), []byte(text), 0o644))
		for _, name := range []string{"demo.install", "NEWS", "app.install", "one.install", "one.log", "b.log", "cloudtolocalllm-bin.install"} {
			must(t, os.WriteFile(filepath.Join(sub, name), []byte("post_install() { :; }\n"), 0o644))
		}
	}
	r, err := makepkg.Script(t.Context(), makepkg.Options{Dir: dir}, script)
	must(t, err)
	said := strings.Split(strings.TrimSuffix(r.Stdout, "\x00"), "\x00")
	if len(said) != len(pkgbuilds) {
		t.Fatalf("%d answers for %d files: %s", len(said), len(pkgbuilds), r.Output)
	}
	return said
}

// TestCorpus_Makepkg: makepkg's own functions make of the hand-written PKGBUILDs what our parser and printer make of the
// .SRCINFO files beside them, byte for byte.
func TestCorpus_Makepkg(t *testing.T) {
	t.Parallel()
	var texts []string
	files := corpus(t)
	for _, f := range files {
		texts = append(texts, f.pkgbuild)
	}
	for i, said := range ask(t, printCorpus, texts) {
		if want := files[i].normal(t); said != want {
			t.Errorf("%s: makepkg has\n%s\nwe have\n%s", files[i].name, said, want)
		}
	}
}

// TestCorpus_Program asks the real makepkg about models and hand-written files: about all of them where SLIPWAY_LONG is
// set, else about one of each, others each time.
func TestCorpus_Program(t *testing.T) {
	t.Parallel()
	rng := seeded(t)
	var names, texts, want []string
	all := variants()
	models := slices.Sorted(maps.Keys(all))
	files := corpus(t)
	rng.Shuffle(len(models), func(i, j int) { models[i], models[j] = models[j], models[i] })
	rng.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	if os.Getenv("SLIPWAY_LONG") == "" {
		models, files = models[:1], files[:1]
	}
	for _, name := range models {
		p, s := print(t, all[name])
		names, texts, want = append(names, name), append(texts, p), append(want, s)
	}
	for _, f := range files {
		names, texts, want = append(names, f.name), append(texts, f.pkgbuild), append(want, f.normal(t))
	}
	for i, said := range ask(t, printReal, texts) {
		if said != want[i] {
			t.Errorf("%s: makepkg has\n%s\nwe have\n%s", names[i], said, want[i])
		}
	}
}
