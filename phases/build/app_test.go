//go:build linux

package build

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"image"
	"image/png"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/command"
	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/build/requirement"
	"github.com/imrightguy/slipway/phases/build/source"
	"github.com/imrightguy/slipway/phases/build/version"
	"github.com/imrightguy/slipway/phases/internal/inspect"
	"github.com/imrightguy/slipway/phases/internal/size"
)

// Where the application's files lie, in the repository and in its bundle.
const (
	flutterStamp = "prebuilt/app/data/flutter_assets/version.json"
	assetStamp   = "prebuilt/app/data/flutter_assets/assets/version.json"
	program      = "prebuilt/app/cloudtolocalllm"
	engine       = "prebuilt/app/lib/libflutter_linux_gtk.so"
	trayProgram  = "prebuilt/tray/cloudtolocalllm-tray"
	trayUnit     = "tray/cloudtolocalllm-tray.service"
	desktopEntry = "linux/cloudtolocalllm.desktop"
	appIcon      = "linux/icons/cloudtolocalllm-64.png"
	smallIcon    = "linux/icons/cloudtolocalllm-32.png"
	versionDart  = "lib/shared/lib/version.dart"
	inAssets     = "lib/cloudtolocalllm/data/flutter_assets/"
)

// tray is a program that starts and stays, in the place of the real one.
const tray = `#!/bin/sh
case "${1-}" in
--help) echo "usage: cloudtolocalllm-tray [--daemon] [--port N]" ;;
"" | --daemon) echo ready; exec sleep 60 ;;
*) echo "unknown flag $1" >&2; exit 2 ;;
esac
`

// appFiles is an application whose parts are built already, as the first one that slipway releases lays them out.
func appFiles() map[string]string {
	return map[string]string{
		"pubspec.yaml":               "name: cloudtolocalllm\nversion: 3.2.1+1\n",
		"assets/version.json":        stampJSON("3.2.1", "1"),
		"lib/main.dart":              "import 'screens/settings_screen.dart';\n\nvoid main() {}\n",
		"lib/config/app_config.dart": "class AppConfig {\n  static const String appVersion = '3.2.1';\n}\n",
		versionDart: "class Version {\n  static const String mainAppVersion = '3.2.1';\n  static const int mainAppBuildNumber = 1;\n" +
			"  static const String buildTimestamp = 'unknown';\n  static const String gitCommitHash = 'unknown';\n}\n",
		"lib/screens/settings_screen.dart": "class SettingsScreen {}\n",
		"aur-package/PKGBUILD":             "pkgname=cloudtolocalllm\npkgver=3.2.1\npkgrel=1\n",
		"aur-package/.SRCINFO":             "pkgbase = cloudtolocalllm\n\tpkgver = 3.2.1\n",
		"packaging/deb/DEBIAN/control":     "Package: cloudtolocalllm\nVersion: 3.2.1\nInstalled-Size: 100\n",
		"installers/windows/app.iss":       "#define MyAppVersion \"3.2.1\"\n",
		"package.json":                     "{\"name\": \"api-backend\", \"dependencies\": {\"jwks-rsa\": \"3.1.0\"}}\n",
		"package-lock.json":                "{\"packages\": {\"node_modules/jwks-rsa\": {\"version\": \"3.1.0\"}}}\n",
		"scripts/build.sh":                 "#!/bin/bash\nset -euo pipefail\necho \"would build in $1\"\n",
		"scripts/deploy.sh":                "#!/bin/sh\necho up to date\n",
		trayUnit:                           "[Unit]\nDescription=Tray of CloudToLocalLLM\n\n[Service]\nType=exec\nExecStart=/usr/bin/cloudtolocalllm-tray\n\n[Install]\nWantedBy=graphical-session.target\n",
		desktopEntry:                       "[Desktop Entry]\nType=Application\nName=CloudToLocalLLM\nComment=Manage language models\nExec=cloudtolocalllm\nIcon=cloudtolocalllm\nCategories=Network;\n",
		appIcon:                            picture(64),
		smallIcon:                          picture(32),
		"README.md":                        "# CloudToLocalLLM 3.2.1\n",
		"LICENSE":                          sourceFiles["LICENSE"],
		"sums/icon.sha256":                 strings.Repeat("ab", 32) + "  icon.png\n",
		program:                            object{needs: []string{"libflutter_linux_gtk.so", "libc.so.6"}, runpath: "$ORIGIN/lib"}.String(),
		engine:                             object{library: true, needs: []string{"libgtk-3.so.0"}}.String(),
		"prebuilt/app/data/icudtl.dat":     "\x00\x01\x02",
		flutterStamp:                       `{"app_name":"cloudtolocalllm","version":"3.2.1","build_number":"1","package_name":"cloudtolocalllm"}`,
		assetStamp:                         stampJSON("3.2.1", "1"),
		trayProgram:                        tray,
	}
}

func stampJSON(v, build string) string {
	return "{\n  \"version\": \"" + v + "\",\n  \"build_number\": \"" + build + "\",\n  \"build_date\": \"2025-06-29T21:50:00Z\",\n  \"git_commit\": \"unknown\"\n}\n"
}

// appConfig is how the application is released; with everything, requirements and programs to be run too.
func appConfig(t *testing.T, everything bool) Config {
	t.Helper()
	c := Config{
		Version: version.Config{Source: "pubspec.yaml", Author: "Release <release@cloudtolocalllm.example>", Carriers: []string{
			"assets/version.json", "lib/config/app_config.dart", versionDart, "aur-package/PKGBUILD", "aur-package/.SRCINFO",
			"packaging/deb/DEBIAN/control", "installers/windows/app.iss",
		}},
		Components: map[string]component.Config{
			"app":  {Builder: component.Prebuilt, Path: "prebuilt/app"},
			"tray": {Builder: component.Prebuilt, Path: trayProgram},
		},
		Bundles: map[string]bundle.Config{"desktop": {
			Contents: []bundle.Content{
				{Src: "component:app/", Dst: "lib/cloudtolocalllm", Type: "tree"},
				{Src: "../lib/cloudtolocalllm/cloudtolocalllm", Dst: "bin/cloudtolocalllm", Type: "symlink"},
				{Src: "component:tray/cloudtolocalllm-tray", Dst: "bin/", FileInfo: bundle.FileInfo{Mode: 0o755}},
				{Src: trayUnit, Dst: "lib/systemd/user/"},
				{Src: desktopEntry, Dst: "share/applications/"},
				{Src: smallIcon, Dst: "share/icons/hicolor/32x32/apps/cloudtolocalllm.png"},
				{Src: appIcon, Dst: "share/icons/hicolor/64x64/apps/cloudtolocalllm.png"},
				{Src: "sums/icon.sha256", Dst: "share/cloudtolocalllm/"},
				{Src: "README.md", Dst: "share/doc/cloudtolocalllm/"},
				{Src: "LICENSE", Dst: "share/doc/cloudtolocalllm/"},
			},
			Required:  []string{"bin/cloudtolocalllm", "bin/cloudtolocalllm-tray", "lib/cloudtolocalllm/lib/*.so"},
			Forbidden: []string{"**/cloudtolocalllm-settings", "**/*enhanced-tray*"},
			Rules: inspect.Rules{
				ForbiddenText: []string{"_launchTraySettings"}, MaxFile: 100e3, Host: inspect.Host{Profile: inspect.GTK3},
				Executable: []string{"bin/*"}, Size: size.Band{Max: 1e6},
			},
		}},
		Packages: []Package{
			{Name: "cloudtolocalllm", Format: FormatTarball, Bundle: "desktop", Size: size.Band{Min: 100, Max: 200e3}},
			{
				Name: "cloudtolocalllm", Format: FormatDeb, Bundle: "desktop", Section: "net", Maintainer: "Release <release@cloudtolocalllm.example>",
				Homepage: "https://cloudtolocalllm.example/", License: "MIT", Description: "manage language models\nIt talks to language models on this machine and elsewhere.", Size: size.Band{Max: 200e3},
			},
			{Name: "CloudToLocalLLM", Format: FormatAppImage, Bundle: "desktop"},
			{
				Name: "cloudtolocalllm-bin", Format: FormatAUR, From: "tarball", Maintainer: "Release <release@cloudtolocalllm.example>",
				License: "MIT", Homepage: "https://cloudtolocalllm.example/", Description: "Manage language models", Depends: []string{"gtk3"},
				URL: "https://cloudtolocalllm.example/v{{ .Version }}/",
			},
		},
		Checks: map[string]Check{
			"tracked": {Texts: source.Config{
				Required:  []string{"pubspec.yaml", "lib/screens/*.dart", "package-lock.json"},
				Forbidden: append([]string{"**/cloudtolocalllm-settings"}, source.Junk...), Executable: []string{"scripts/*.sh"}, MaxFile: 100e3,
			}},
			"no-launcher": {Texts: source.Config{
				Source:        []string{"lib/**", "scripts/**", "aur-package/**", "packaging/**"},
				ForbiddenText: []string{"_launchTraySettings", "cloudtolocalllm-settings"},
			}},
			"platforms":   {Texts: source.Config{Source: []string{"lib/**/*.dart"}, ForbiddenText: []string{"import 'dart:html'"}}},
			"no-literals": {Texts: source.Config{Source: []string{"scripts/**"}, ForbiddenText: []string{"VERSION=\"2.", "VERSION=\"3."}}},
		},
	}
	if !everything {
		return c
	}
	flutter, err := filepath.Abs(filepath.Join("..", "..", "testdata", "bin", "flutter"))
	must(t, err)
	c.Requires = map[string]requirement.Config{
		"flutter":       {Range: ">=3.24", Command: []string{flutter, "--version"}, Pattern: `Flutter ([0-9.]+)`},
		"flutter-build": {Command: []string{flutter, "build", "linux", "--help"}, Flags: []string{"--release", "--build-number"}},
	}
	c.Disk = 1e3
	c.Checks["dry-run"] = Check{Run: command.Config{Command: []string{"bash", "scripts/build.sh", "--dry-run"}, Output: []string{"would build"}}}
	c.Checks["deploy"] = Check{Run: command.Config{Command: []string{"scripts/deploy.sh"}, Timeout: component.Duration(time.Second)}}
	c.Checks["smoke"] = Check{Run: command.Config{
		Command: []string{"cloudtolocalllm-tray"}, Bundle: "desktop", Arch: "amd64", Output: []string{"ready"},
		RunsFor: component.Duration(100 * time.Millisecond), Timeout: component.Duration(2 * time.Second),
	}}
	return c
}

// picture is a PNG of so many pixels each way.
func picture(pixels int) string {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, pixels, pixels))); err != nil {
		panic(err)
	}
	return b.String()
}

// object is an ELF file of which there is only what the dynamic linker reads: enough for what looks at it, and nothing
// to run.
type object struct {
	library bool
	needs   []string
	runpath string
}

func (o object) String() string {
	names := []byte{0}
	name := func(s string) uint64 {
		names = append(append(names, s...), 0)
		return uint64(len(names) - len(s) - 1)
	}
	var dynamic []uint64
	for _, so := range o.needs {
		dynamic = append(dynamic, uint64(elf.DT_NEEDED), name(so))
	}
	if o.runpath != "" {
		dynamic = append(dynamic, uint64(elf.DT_RUNPATH), name(o.runpath))
	}
	const head, programs = 64, 3 * 56
	at := uint64(head + programs + len(names))
	dynamic = append(dynamic, uint64(elf.DT_STRTAB), head+programs, uint64(elf.DT_STRSZ), uint64(len(names)), 0, 0)
	end := at + uint64(8*len(dynamic))
	first := elf.PT_INTERP // what makes a program of it
	if o.library {
		first = elf.PT_NOTE
	}
	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: head, Ehsize: head, Phentsize: 56, Phnum: 3}
	copy(h.Ident[:], elf.ELFMAG+"\x02\x01\x01")
	var b []byte
	for _, part := range []any{
		h,
		elf.Prog64{Type: uint32(first), Off: head + programs, Filesz: 1},
		elf.Prog64{Type: uint32(elf.PT_LOAD), Filesz: end, Memsz: end},
		elf.Prog64{Type: uint32(elf.PT_DYNAMIC), Off: at, Vaddr: at, Filesz: end - at},
		names,
		dynamic,
	} {
		var err error
		if b, err = binary.Append(b, binary.LittleEndian, part); err != nil {
			panic(err)
		}
	}
	return string(b)
}

// commitAll makes a repository of files; what begins with #! and the program may be executed, unless modes says
// otherwise. Index is given to git update-index before the commit.
func commitAll(t *testing.T, dir string, files map[string]string, modes map[string]fs.FileMode, index ...string) (id string, at time.Time) {
	t.Helper()
	need(t, "git")
	for _, name := range slices.Sorted(maps.Keys(files)) {
		p := filepath.Join(dir, filepath.FromSlash(name))
		mode, said := modes[name]
		if !said {
			mode = 0o644
			if strings.HasPrefix(files[name], "#!") || name == program {
				mode = 0o755
			}
		}
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		must(t, os.WriteFile(p, []byte(files[name]), mode))
		must(t, os.Chmod(p, mode))
	}
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = []string{
			"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@b.c",
			"GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@b.c", "GIT_AUTHOR_DATE=2026-11-21T22:30:40+02:00", "GIT_COMMITTER_DATE=2026-11-21T22:30:40+02:00",
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q", "-b", "release/v3.2.1", "--template=")
	git("add", "-A")
	if len(index) > 0 {
		git(append([]string{"update-index"}, index...)...)
	}
	git("commit", "-q", "-m", "CloudToLocalLLM 3.2.1")
	return git("rev-parse", "HEAD"), baseTime // in UTC what git was told in another zone
}
