package requirement

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/Masterminds/semver/v3"
)

// TestParseVersion reads what programs really print.
func TestParseVersion(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"go version go1.26.3 linux/amd64":    "1.26.3",
		"go version go1.27rc2 darwin/arm64":  "1.27rc2",
		"git version 2.39.5 (Apple Git-154)": "2.39.5",
		"git version 2.45.1.windows.1":       "2.45.1",
		"Python 3.11.2":                      "3.11.2",
		"Python 3.13.0rc1":                   "3.13.0rc1",
		"Python 3.12.0a7+":                   "3.12.0a7",
		"v20.20.2":                           "20.20.2",
		"11.19.1":                            "11.19.1",
		"6.3.0":                              "6.3.0",
		"2.30":                               "2.30",
		"GNU Make 4.3\nBuilt for x86_64-pc-linux-gnu\nCopyright (C) 1988-2020": "4.3",
		"cargo 1.95.0 (f2d3ce0bd 2026-03-21)":                                  "1.95.0",
		"rustc 1.77.0-nightly (abc 2023-12-28)":                                "1.77.0-nightly",
		"Dart SDK version: 3.5.3 (stable) (Wed Sep 11 16:22:47 2024) on \"x\"": "3.5.3",
		"3.24.0-0.2.pre": "3.24.0-0.2.pre",
		"Flutter 3.25.0-1.0.pre.12 • channel master • https://example.org": "3.25.0-1.0.pre.12",
		"OpenSSL 3.0.15 3 Sep 2024 (Library: OpenSSL 3.0.15 3 Sep 2024)":   "3.0.15",
		"OpenSSL 1.1.1b":                          "1.1.1",
		"openjdk version \"17.0.9\" 2023-10-17":   "17.0.9",
		"java version \"1.8.0_392\"":              "1.8.0",
		"jq-1.6":                                  "1.6",
		"Chromium 120.0.6099.109 built on Debian": "120.0.6099.109",
		"ldd (Debian GLIBC 2.36-9+deb12u8) 2.36":  "2.36",
		"tool 12.2.0-14ubuntu4":                   "12.2.0",
		"tool 2.0.0-beta.1":                       "2.0.0-beta.1",
		"tool 2.0.0~rc1":                          "2.0.0~rc1",
		"tool 2.0.0-RC2":                          "2.0.0-RC2",
		"less 590 (PCRE2 regular expressions)":    "590",
		"systemd 252 (252.22-1~deb12u1)":          "252.22",
		"0.0.0-unknown":                           "0.0.0",
		"1.2.3 \xff\xfe":                          "1.2.3",
		"\x1b[1mtool\x1b[0m 1.2.3":                "1.2.3",
		"tool 008.009":                            "008.009",
		"":                                        "",
		"no version here":                         "",
		"99999999999999999999.1":                  "",
		"commit 1a2b3c":                           "",
	} {
		v, ok := ParseVersion(clean(text))
		if v.Text != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", text, v.Text, ok, want)
		}
	}
}

func TestVersion_In(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version, text string
		want          bool
	}{
		{"3.24.3", ">=3.24", true},
		{"3.22.1", ">=3.24", false},
		{"3.10.0", ">=3.9", true},
		{"2.30", ">=2.30", true},
		{"2.30", ">= 2.30.1", false},
		{"590", ">=500", true},
		{"008.009", ">=8.8", true},
		{"120.0.6099.109", ">=120 <121", true},
		{"12.2.0-14", ">=12.2.0", true}, // a distribution's revision is no prerelease
		// A prerelease of something newer is newer; one of the wanted version itself comes before it.
		{"3.25.0-0.1.pre", ">=3.24", true},
		{"3.24.0-0.2.pre", ">=3.24", false},
		{"3.24.0-0.2.pre", ">=3.23", true},
		{"3.24.0-0.2.pre", "~3.24", false},
		{"3.24.1-0.2.pre", "~3.24", true},
		{"3.24.1-0.2.pre", "^3", true},
		{"4.0.0-beta.1", "<4", false}, // which it is not, whatever the order says
		{"4.0.0-beta.1", "^3.24", false},
		{"3.13.0rc1", ">=3.13", false},
		{"3.13.0rc1", "*", true},
		{"1.77.0-nightly", ">=1.70", true},
		// Who names a prerelease gets the order of prereleases.
		{"3.24.0-0.2.pre", ">=3.24.0-0.1.pre", true},
		{"3.24.0-0.2.pre", ">=3.24.0-0.3.pre", false},
		{"3.24.0", ">=3.24.0-0.3.pre", true},
		{"1.27rc10", ">=1.27.0-rc.9", true},
		{"4.0.0-beta.1", ">=4.0.0-alpha.1 <4.0.0", true},
	} {
		v, ok := ParseVersion(c.version)
		if !ok {
			t.Fatal(c.version)
		}
		wanted, err := Config{Range: c.text}.wanted()
		if err != nil {
			t.Fatal(err)
		}
		if got := v.In(wanted, c.text); got != c.want {
			t.Errorf("%s in %s: got %v", c.version, c.text, got)
		}
	}
}

func TestHasFlag(t *testing.T) {
	t.Parallel()
	help := "Usage: flutter build web [arguments]\n-h, --help     Print this.\n    --release  Build a release.\n" +
		"    --[no-]tree-shake-icons    (defaults to on)\n    --dart-define=<foo=bar>\n-o[FILE]\n\x1b[1m--bold\x1b[0m  \n--o\bov\bve\ber  x\n  --web-renderer-x, --my-profile"
	for flag, want := range map[string]bool{
		"--help": true, "-h": true, "--release": true, "--tree-shake-icons": true, "--no-tree-shake-icons": true, "--dart-define": true,
		"--bold": true, "--over": true, "-o": true, "--web-renderer": false, "--profile": false, "-profile": false, "--rel": false, "build": true,
		"--no-release": false, "--": false, "": false, "--wasm": false, "arguments": true,
	} {
		if got := HasFlag(help, flag); got != want {
			t.Errorf("%s: got %v", flag, got)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add("git version 2.39.5 (Apple Git-154)", ">=2.30")
	f.Add("3.24.0-0.2.pre", "~3.24 || ^4.0.0-beta")
	f.Add("3.13.0rc1", "*")
	f.Fuzz(func(t *testing.T, s, in string) {
		v, ok := ParseVersion(clean(s))
		if ok && (v.Text == "" || len(v.Text) > 300 || !utf8.ValidString(v.Text) || strings.ContainsAny(v.Text, "\n\x1b ")) {
			t.Errorf("%q: got %q", s, v.Text)
		}
		if !ok {
			return
		}
		if v.Pre != "" {
			if _, err := semver.StrictNewVersion(semver.New(v.Major, v.Minor, v.Patch, identifiers(v.Pre), "").String()); err != nil {
				t.Errorf("%q: prerelease %q: %v", s, v.Pre, err)
			}
		}
		if wanted, err := (Config{Range: in}).wanted(); err == nil {
			v.In(wanted, in)
		}
	})
}

func FuzzHasFlag(f *testing.F) {
	f.Add("  --[no-]tree-shake-icons  x", "--no-tree-shake-icons")
	f.Add("--web-renderer-x", "--web-renderer")
	f.Fuzz(func(t *testing.T, help, flag string) {
		if !flagRE.MatchString(flag) || !utf8.ValidString(flag) {
			return
		}
		if HasFlag(help, flag) && !strings.Contains(negatable.ReplaceAllString(clean(help), "--${1} --no-${1}"), flag) {
			t.Errorf("%q is not in %q", flag, help)
		}
		if clean(flag) == flag && !negatable.MatchString(flag) && !HasFlag("x "+flag+" y", flag) {
			t.Errorf("%q is not found", flag)
		}
	})
}
