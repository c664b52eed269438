package pkgbuild

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if got != string(want) {
		t.Errorf("differs from %s:\n%s", path, got)
	}
}

func TestPrint(t *testing.T) {
	for name, m := range forms() {
		t.Run(name, func(t *testing.T) {
			p, s := print(t, m)
			golden(t, name+".PKGBUILD", p)
			golden(t, name+".SRCINFO", s)
			if p2, s2 := print(t, forms()[name]); p != p2 || s != s2 {
				t.Error("prints otherwise the second time")
			}
		})
	}
}

// TestPrint_RefusesInvalid makes sure that nothing at all is written.
func TestPrint_RefusesInvalid(t *testing.T) {
	m := desktop()
	m.PkgDesc = "two\nlines"
	var b bytes.Buffer
	if err := PrintPKGBUILD(&b, m); err == nil || b.Len() > 0 {
		t.Errorf("PKGBUILD: %v, wrote %q", err, &b)
	}
	if err := PrintSRCINFO(&b, m); err == nil || b.Len() > 0 {
		t.Errorf(".SRCINFO: %v, wrote %q", err, &b)
	}
}

// TestGrammar looks at the printed text itself: what stands outside of single quotes.
func TestGrammar(t *testing.T) {
	for name, m := range forms() {
		p, _ := print(t, m)
		top, body, ok := strings.Cut(p, "\npackage() {\n")
		if !ok {
			t.Fatalf("%s: no package()", name)
		}
		for line := range strings.Lines(top) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			if rest := outsideSingleQuotes(t, line); strings.Trim(strings.NewReplacer(`"'"`, "", `"${pkgver}"`, "").Replace(rest),
				"abcdefghijklmnopqrstuvwxyz0123456789_=() \t\n") != "" {
				t.Errorf("%s: outside of single quotes stands %q", name, rest)
			}
		}
		vars := []string{"${pkgdir}", "", "${srcdir}", "", "${pkgname}", "", "${pkgver}", ""}
		if len(m.Arch) > 1 {
			vars = append(vars, "${CARCH}", "")
		}
		if rest := strings.NewReplacer(vars...).Replace(body); strings.ContainsAny(rest, "$`\\'!*?[]<>|&;~#") {
			t.Errorf("%s: package() holds more than paths: %q", name, rest)
		}
	}
}

// outsideSingleQuotes cuts out what is in single quotes, but leaves "'" as it is.
func outsideSingleQuotes(t *testing.T, line string) string {
	var rest string
	for i := 0; i < len(line); i++ {
		switch {
		case strings.HasPrefix(line[i:], `"'"`):
			rest += `"'"`
			i += 2
		case line[i] == '\'':
			n := strings.IndexByte(line[i+1:], '\'')
			if n < 0 {
				t.Fatalf("open quote in %q", line)
			}
			i += n + 1
		default:
			rest += string(line[i])
		}
	}
	return rest
}

// TestReadPKGBUILD reads printed files back, the fixed ones and random ones.
func TestReadPKGBUILD(t *testing.T) {
	models := slices.Collect(maps.Values(variants()))
	rng := seeded(t)
	for range 200 {
		models = append(models, randomModel(rng))
	}
	for _, m := range models {
		p, s := print(t, m)
		read, err := ReadPKGBUILD(strings.NewReader(p))
		if err != nil {
			t.Fatalf("%v in\n%s", err, p)
		}
		var b bytes.Buffer
		must(t, read.Print(&b))
		if b.String() != s {
			t.Fatalf("read back:\n%s\nwant:\n%s", &b, s)
		}
	}
}

func TestReadPKGBUILD_Refuses(t *testing.T) {
	good, _ := print(t, desktop())
	if _, err := ReadPKGBUILD(strings.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, with, want string }{
		{"pkgver='3.2.1'", `pkgver="3.2.1"`, `line 3: want a quoted value, found "\"3.2.1\""`},
		{"pkgver='3.2.1'", "pkgver=3.2.1", "line 3: want a quoted value"},
		{"pkgver='3.2.1'", "pkgver=$(git describe)", "line 3: want a quoted value"},
		{"pkgver='3.2.1'", "pkgver='3.2.1'; rm x", "line 3: want the line to end after pkgver"},
		{"pkgver='3.2.1'", "pkgver='3.2.1'$HOME", "line 3: want the line to end after pkgver"},
		{"pkgver='3.2.1'", "pkgver='3.2.1", "want the line to end after pkgver"},
		{"license=('MIT')", "license=('MIT", "want a quoted value"},
		{"pkgver='3.2.1'", "pkgver=('3.2.1')", "want pkgver to be a list: false"},
		{"arch=('x86_64')", "arch='x86_64'", "want arch to be a list: true"},
		{"arch=('x86_64')", "arch=()", "arch has no value"},
		{"arch=('x86_64')", "arch=('x86_64' any)", "want a quoted value"},
		{"arch=('x86_64')", "arch=('x86_64')\narch=('x86_64')", "arch is assigned twice"},
		{"pkgname='", "pkgname='x'\npkgname='", "pkgname is assigned twice"},
		{"pkgdesc='Manage", "pkgdesc='Manage\n", "control character U+000A in pkgdesc"},
		{"pkgname='cloudtolocalllm-bin'", "pkgname=\"${pkgver}\"", "pkgver is used before it is known"},
		{"pkgname='cloudtolocalllm-bin'\n", "", "want pkgname"},
		{"\npackage() {\n", "\nbuild() {\n", "want an assignment"},
		{"\npackage() {\n", "\npackage(){\n", "want an assignment"},
		{"}\n", "}\npkgdesc='x'\n", "want nothing after package()"},
		{"}\n", "}\npackage() {\n}\n", "want nothing after package()"},
		{"}\n", "", "want a command of ours in package(), found \"\""},
		{"\tinstall -Dm644", "\tcurl", "want a command of ours"},
		{"\tinstall -Dm644", "\tinstall -Dm644 $(id)", "want a command of ours"},
		{"\tinstall -Dm644", "\t\"${srcdir}/x\" --appimage-extract \"usr/share\"\n\tinstall -Dm644", "want a command of ours"},
		{"\tinstall -Dm644", "\t\"${pkgdir}/x\" --appimage-extract\n\tinstall -Dm644", "want a command of ours"},
		{"\tinstall -Dm644", "\t\"${pkgdir}/x\" --daemon \"usr/share\"\n\tinstall -Dm644", "want a command of ours"},
		{"\tinstall -Dm644", "\t\"${pkgdir}/x\" --appimage-extract \"usr/share\"; id\n\tinstall -Dm644", "want a command of ours"},
		{"\tinstall -Dm644", "\tinstall -Dm644 \"$(id)\"", "want a command of ours"},
		{"\tinstall -Dm644", "\tinstall -Dm644 \"${HOME}\"", "want a command of ours"},
		{"\tinstall -Dm644", "\trm -rf / ; install -Dm644", "want a command of ours"},
		{"options=('!strip' '!debug')", "secret='x'", "secret: not a key"},
		{"options=('!strip' '!debug')", "source_i686=('x')", "source_i686: not a key"},
		{"pkgdesc='", "pkgdesc='\r", "line 5: carriage return"},
		{"pkgdesc='", "pkgdesc='\xff", "line 5: not UTF-8"},
		{"# Maintainer", "\ufeff# Maintainer", "line 1: byte order mark"},
	} {
		text := strings.Replace(good, c.old, c.with, 1)
		if text == good {
			t.Fatalf("%q is not in the PKGBUILD", c.old)
		}
		if _, err := ReadPKGBUILD(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q for %q: got %v, want %s", c.with, c.old, err, c.want)
		}
	}
	if _, err := ReadPKGBUILD(strings.NewReader("pkgname='x'\n")); err == nil {
		t.Error("takes a PKGBUILD without package()")
	}
}
