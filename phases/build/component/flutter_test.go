package component

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/version"
)

// standIn puts a flutter into PATH that writes what flutter writes, as far as the builder looks at it: a bundle in the
// project, files of its own in the project, and its answer about itself. The lines run before that.
func standIn(t *testing.T, lines string) {
	t.Helper()
	dir := t.TempDir()
	text := `#!/bin/sh
set -eu
if [ "$*" = "--version --machine" ]; then
	echo 'Welcome to {Flutter}!'
	echo '{"frameworkVersion":"3.24.5","channel":"stable","frameworkRevision":"dec2ee5c1f","dartSdkVersion":"3.5.4","flutterRoot":"/opt/flutter"}'
	exit 0
fi
test -f pubspec.yaml
case $(uname -m) in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; esac
mkdir -p .dart_tool linux/flutter
echo generated >linux/flutter/generated_plugins.cmake
out=build/linux/$arch/release/bundle
` + lines + `
mkdir -p $out/data/flutter_assets $out/lib
printf '\177ELF' >$out/app; chmod 755 $out/app
>$out/lib/libapp.so
for a in "$@"; do printf '%s\n' "$a"; done >$out/data/flutter_assets/arguments
`
	must(t, os.WriteFile(filepath.Join(dir, "flutter"), []byte(text), 0o755))
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

var app = map[string]string{"pubspec.yaml": "name: app\nversion: 1.2.3+4\n", "lib/main.dart": "void main() {}\n"}

func here(t *testing.T) Config {
	t.Helper()
	if runtime.GOOS != Linux {
		t.Skip("flutter builds for linux on linux only")
	}
	return Config{Builder: Flutter, Arch: []string{runtime.GOARCH}}
}

func TestFlutter(t *testing.T) {
	cfg := here(t)
	standIn(t, `test "$PUB_CACHE" = "/some where/cache"; test "$HOME" = /some/home; test "$CI" = true; test -z "${CALLERS:-}"; test "$TZ" = UTC`)
	for name, value := range map[string]string{"PUB_CACHE": "/some where/cache", "HOME": "/some/home", "CALLERS": "1", "TZ": "Asia/Tokyo"} {
		t.Setenv(name, value)
	}
	cfg.Flags = []string{"--target=lib/a b.dart", "--obfuscate"}
	cfg.DartDefine = []string{"GREETING=$(reboot) {{ .Version }}", "EMPTY="}
	dir := t.TempDir()
	dirs, err := build(t, dir, cfg, app)
	must(t, err)
	tree := dirs.Path(Artifact("demo", runtime.GOARCH))
	entries, err := archive.Tree(tree)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Path)
	}
	if got := strings.Join(names, " "); got != "app data data/flutter_assets data/flutter_assets/arguments lib lib/libapp.so" {
		t.Errorf("got %s", got)
	}
	got, err := os.ReadFile(filepath.Join(tree, "data/flutter_assets/arguments"))
	must(t, err)
	want := "build\nlinux\n--release\n--build-name=1.2.3\n--build-number=4\n--dart-define=GREETING=$(reboot) 1.2.3\n--dart-define=EMPTY=\n--target=lib/a b.dart\n--obfuscate\n"
	if string(got) != want {
		t.Errorf("flutter was told\n%s", got)
	}
	text, err := os.ReadFile(filepath.Join(dir, "work", "journal.jsonl"))
	if want := `"receipt":{"channel":"stable","dart":"3.5.4","flutter":"3.24.5","revision":"dec2ee5c1f"}`; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("%v, no %s in the journal:\n%s", err, want, text)
	}
}

func TestFlutter_Fails(t *testing.T) {
	cfg := here(t)
	t.Setenv("APP_API_KEY", "hunter22hunter22")
	for name, c := range map[string]struct {
		lines string
		edit  func(*Config)
		want  []string
	}{
		"does not compile": {`echo 'lib/main.dart:1:1: Error: nope'; exit 1`, nil, []string{"flutter ended with status 1", "lib/main.dart:1:1: Error: nope"}},
		"unknown flag":     {`echo "Could not find an option named \"$5\"." >&2; exit 64`, nil, []string{"flutter ended with status 64", "Could not find an option"}},
		"hangs":            {`sleep 300`, func(c *Config) { c.Timeout = Duration(400 * time.Millisecond) }, []string{"flutter was killed after 400ms"}},
		"makes nothing":    {`exit 0`, nil, []string{`flutter build ended well, but it made nothing at "build/linux/`}},
		"another place":    {`out=build/linux/other/release/bundle`, nil, []string{"it made nothing at"}},
		"link out":         {`mkdir -p $out; ln -s ../../../../../lib/main.dart $out/x`, nil, []string{`link "x" points to "../../../../../lib/main.dart", which is outside`}},
		"into checkout":    {`echo x >../../../../source/pubspec.yaml`, nil, []string{"flutter wrote into the checkout of the release"}},
		"secret":           {`echo "key hunter22hunter22"; exit 1`, nil, []string{"key [hidden]"}},
	} {
		t.Run(name, func(t *testing.T) {
			standIn(t, c.lines)
			cfg := cfg
			if c.edit != nil {
				c.edit(&cfg)
			}
			dirs, err := build(t, t.TempDir(), cfg, app)
			if err == nil {
				t.Fatal("it did not fail")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("got %v, want %q", err, w)
				}
			}
			if strings.Contains(err.Error(), "hunter22") {
				t.Errorf("shows too much: %v", err)
			}
			if _, err := os.Lstat(dirs.Path(Artifact("demo", runtime.GOARCH))); err == nil {
				t.Error("something is left under the final name")
			}
		})
	}
}

// TestFlutter_Here: flutter cannot build for another machine, and says so before it is looked for.
func TestFlutter_Here(t *testing.T) {
	cfg := here(t)
	t.Setenv("PATH", t.TempDir())
	if _, err := build(t, t.TempDir(), cfg, app); err == nil || !strings.Contains(err.Error(), `cannot find the program "flutter": install it`) {
		t.Errorf("got %v", err)
	}
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	cfg.Arch = []string{other}
	if _, err := build(t, t.TempDir(), cfg, app); err == nil || !strings.Contains(err.Error(), "cannot build for linux/"+other+" on linux/"+runtime.GOARCH) {
		t.Errorf("got %v", err)
	}
}

func TestFlutter_Argv(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"3.2.1+1":      "flutter build linux --release --build-name=3.2.1 --build-number=1",
		"3.1.3+001":    "flutter build linux --release --build-name=3.1.3 --build-number=001",
		"3.2.1":        "flutter build linux --release --build-name=3.2.1",
		"3.2.1-rc.1+7": "flutter build linux --release --build-name=3.2.1-rc.1 --build-number=7",
	} {
		v, err := version.Parse(text)
		must(t, err)
		if got := strings.Join(flutter{version: v}.argv(), " "); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
	if a, b := (flutter{goarch: "amd64"}).bundle(), (flutter{goarch: "arm64"}).bundle(); a != "build/linux/x64/release/bundle" || b != "build/linux/arm64/release/bundle" {
		t.Errorf("got %s and %s", a, b)
	}
}

// FuzzMachineVersion: whatever flutter prints, its version is found or that is said.
func FuzzMachineVersion(f *testing.F) {
	f.Add([]byte(`{"frameworkVersion":"3.24.5"}`))
	f.Add([]byte("banner {\n{} {\"a\":1} {\"frameworkVersion\":\"1\"} tail"))
	f.Add([]byte(`{{{{`))
	f.Fuzz(func(t *testing.T, out []byte) {
		v, err := readMachineVersion(out)
		if (err == nil) == (v.Framework == "") {
			t.Errorf("%q: %+v, %v", out, v, err)
		}
	})
}
