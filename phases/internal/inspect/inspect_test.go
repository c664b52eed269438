package inspect

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/size"
)

const (
	flutter = "lib/cloudtolocalllm/data/flutter_assets/version.json"
	own     = "lib/cloudtolocalllm/data/flutter_assets/assets/version.json"
	entryAt = "share/applications/cloudtolocalllm.desktop"
	unitAt  = "lib/systemd/user/cloudtolocalllm-tray.service"
	iconAt  = "share/icons/hicolor/128x128/apps/cloudtolocalllm.png"
)

func flutterJSON(version, build string) string {
	return fmt.Sprintf(`{"app_name":"cloudtolocalllm","version":%q,"build_number":%q,"package_name":"cloudtolocalllm"}`, version, build)
}

func ownJSON(version string) string {
	return fmt.Sprintf("{\n  \"version\": %q,\n  \"build_number\": \"1\",\n  \"build_date\": \"2025-06-29T17:50:00Z\",\n  \"git_commit\": \"abcdef0\"\n}\n", version)
}

const goodEntry = "[Desktop Entry]\nType=Application\nName=CloudToLocalLLM\nExec=cloudtolocalllm %U\nIcon=cloudtolocalllm\nCategories=Network;\n"

const goodUnit = "[Unit]\nDescription=Tray\n\n[Service]\nType=exec\nExecStart=/usr/bin/cloudtolocalllm-tray\nRestart=on-failure\n\n[Install]\nWantedBy=graphical-session.target\n"

// good is a bundle with nothing wrong, in which files can be put in the place of others.
func good(instead ...file) Tree {
	files := []file{
		{path: "bin/cloudtolocalllm", link: "../lib/cloudtolocalllm/cloudtolocalllm"},
		{path: "bin/cloudtolocalllm-tray", body: elfFile(program{}), mode: 0o755},
		{path: "lib/cloudtolocalllm/cloudtolocalllm", body: elfFile(program{needed: []string{"libflutter_linux_gtk.so", "libgtk-3.so.0"}, runpath: "$ORIGIN/lib", glibc: "2.31"}), mode: 0o755},
		{path: "lib/cloudtolocalllm/lib/libflutter_linux_gtk.so", body: elfFile(program{library: true, soname: "libflutter_linux_gtk.so", needed: []string{"libepoxy.so.0"}})},
		{path: "lib/cloudtolocalllm/data/icudtl.dat", body: "\x00\x01"},
		{path: flutter, body: flutterJSON("3.2.1", "1")},
		{path: own, body: ownJSON("3.2.1")},
		{path: "share/doc/cloudtolocalllm/README.md", body: "# CloudToLocalLLM 3.2.1\n"},
		{path: entryAt, body: goodEntry},
		{path: unitAt, body: goodUnit},
		{path: iconAt, body: pngFile(128, 128)},
		{path: "share/icons/hicolor/scalable/apps/cloudtolocalllm.svg", body: `<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "b">]><svg xmlns="&ns;"><g/></svg>`},
	}
	for _, f := range instead {
		if i := slices.IndexFunc(files, func(o file) bool { return o.path == f.path }); i >= 0 {
			files[i] = f
		} else {
			files = append(files, f)
		}
	}
	return treeOf(files...)
}

// without leaves files out.
func without(t Tree, paths ...string) Tree {
	t.Entries = slices.DeleteFunc(slices.Clone(t.Entries), func(e archive.Entry) bool { return slices.Contains(paths, e.Path) })
	return t
}

var flutterRules = Rules{Host: Host{Profile: GTK3}}

func TestInspect_Passes(t *testing.T) {
	t.Parallel()
	tree := good()
	tree.Required, tree.Forbidden = []string{"bin/cloudtolocalllm", "**/*.so"}, []string{"**/cloudtolocalllm-settings"}
	r := flutterRules
	r.Executable, r.Glibc, r.MaxFile, r.ForbiddenText = []string{"bin/*"}, "2.31", 100e6, []string{"_launchTraySettings"}
	r.Size = size.Band{Min: 1, Max: 1e6}
	results, err := Inspect(t.Context(), r, tree)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, res := range results {
		names = append(names, res.Check)
		if len(res.Faults) > 0 || !strings.HasPrefix(res.Passed, tree.Name) {
			t.Errorf("%+v", res)
		}
	}
	if want := append(Checks(), SizeCheck); !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	again, err := Inspect(t.Context(), r, tree)
	if err != nil || !reflect.DeepEqual(again, results) {
		t.Errorf("a second time: %+v, %v", again, err)
	}
	r.Size.Min = 1e5
	if got := faults(t, r, tree, SizeCheck); len(got) != 1 || !strings.Contains(got[0], "want 100kB to 1MB") {
		t.Errorf("got %q", got)
	}
}

func TestInspect_001_StaleVersions(t *testing.T) {
	t.Parallel()
	planted(t, flutterRules, Versions, good(), good(file{path: flutter, body: flutterJSON("3.0.1", "1")}), flutter+":1", `"3.0.1"`, `"3.2.1"`)
	planted(t, flutterRules, Versions, good(), good(file{path: own, body: ownJSON("3.0.0")}), own+":2", `"3.0.0"`)
	planted(t, flutterRules, Versions, good(), good(file{path: "VERSION", body: "3.0.0\n"}), "VERSION:1", `"3.0.0"`)
	planted(t, flutterRules, Versions, good(), good(file{path: flutter, body: flutterJSON("3.2.1", "2")}), "build number", `"2"`)
	if got := faults(t, flutterRules, good(file{path: flutter, body: flutterJSON("3.2.1", "001")}), Versions); len(got) != 0 {
		t.Errorf("build number 001 is 1: %q", got)
	}
	r := flutterRules
	r.Versions = []string{"share/doc/*/PACKAGE_INFO"}
	info := func(text string) Tree { return good(file{path: "share/doc/x/PACKAGE_INFO", body: text}) }
	planted(t, r, Versions, info("Version: v3.2.1."), info("Version: 13.2.1 3.2.1.5 3.2.1-rc.1 3.2.10"), "PACKAGE_INFO", "does not name version 3.2.1")
	planted(t, r, Versions, info("cloudtolocalllm-3.2.1-x86_64"), good(), `nothing matches "share/doc/*/PACKAGE_INFO"`)
}

func TestInspect_059_LocalTime(t *testing.T) {
	t.Parallel()
	for _, date := range []string{"2025-06-29T23:50:00+02:00", "2025-06-29T21:50:00+00:00", "2025-06-29 21:50:00", "202506292350", "unknown", ""} {
		body := strings.Replace(ownJSON("3.2.1"), "2025-06-29T17:50:00Z", date, 1)
		planted(t, flutterRules, Versions, good(), good(file{path: own, body: body}), own+":4", fmt.Sprintf("build date is %q, wanted a time in UTC like 2025-06-29T21:50:00Z", date))
	}
	for _, date := range []string{"2025-06-29T21:50:00Z", "2024-02-29T00:00:00.123Z"} {
		if got := faults(t, flutterRules, good(file{path: own, body: strings.Replace(ownJSON("3.2.1"), "2025-06-29T17:50:00Z", date, 1)}), Versions); len(got) != 0 {
			t.Errorf("%s: %q", date, got)
		}
	}
}

func TestInspect_015_OldPayloadBehindLink(t *testing.T) {
	t.Parallel()
	behind := func(version string) Tree {
		tree := good(
			file{path: "lib/cloudtolocalllm/data/flutter_assets", link: "../../old/assets"},
			file{path: "lib/old/assets/version.json", body: flutterJSON(version, "1")},
		)
		tree.Entries = slices.DeleteFunc(tree.Entries, func(e archive.Entry) bool { // what the link stands in the place of
			return strings.Contains(e.Path, "flutter_assets") && e.Link == ""
		})
		return tree
	}
	planted(t, flutterRules, Versions, behind("3.2.1"), behind("3.0.3"), flutter, `"3.0.3"`)
	linked := func(version string) Tree {
		return good(file{path: own, link: "../../../../old.json"}, file{path: "lib/old.json", body: ownJSON(version)})
	}
	planted(t, flutterRules, Versions, linked("3.2.1"), linked("3.0.3"), own, `"3.0.3"`)
}

func TestInspect_018_TwoVersions(t *testing.T) {
	t.Parallel()
	at := func(second string) Tree {
		tree := good(file{path: flutter, body: flutterJSON("3.6.9", "1")}, file{path: own, body: ownJSON(second)})
		tree.Version.Core = "3.6.9"
		return tree
	}
	planted(t, flutterRules, Versions, at("3.6.9"), at("3.6.8"), own, `"3.6.8"`, `"3.6.9"`)
}

func TestInspect_067_DamagedJSON(t *testing.T) {
	t.Parallel()
	planted(t, flutterRules, Versions, good(), good(file{path: own, body: strings.Replace(ownJSON("3.2.1"), "abcdef0", "abc\rdef0", 1)}), own, "line 5", "not JSON: byte")
	planted(t, flutterRules, Versions, good(), good(file{path: own, body: strings.Repeat("[", 1<<19)}), own, "not JSON")
	planted(t, flutterRules, Versions, good(), good(file{path: own, body: strings.Repeat(" ", 1<<20) + "{}"}), own, "larger than")
}

func TestInspect_019_MissingLibrariesAndModes(t *testing.T) {
	t.Parallel()
	so, main := "lib/cloudtolocalllm/lib/libflutter_linux_gtk.so", "lib/cloudtolocalllm/cloudtolocalllm"
	planted(t, flutterRules, Libraries, good(), without(good(), so), main, "libflutter_linux_gtk.so", "put it into the bundle")
	planted(t, flutterRules, Modes, good(), good(file{path: main, body: elfFile(program{})}), main, "0644", "want 0755")
	if got := faults(t, Rules{}, good(), Libraries); len(got) != 2 || !strings.Contains(got[0], "host: gtk3") {
		t.Errorf("without GTK: %q", got)
	}
	r := Rules{Host: Host{Libraries: []string{"libgtk-3.so.0", "libepoxy.so.0"}}}
	if got := faults(t, r, good(), Libraries); len(got) != 0 {
		t.Errorf("with listed libraries: %q", got)
	}
}

func TestInspect_020_RunpathElsewhere(t *testing.T) {
	t.Parallel()
	app := elfFile(program{needed: []string{"libx.so"}, runpath: "$ORIGIN/lib"})
	at := func(dir string) Tree {
		return treeOf(file{path: "bin/app", body: app, mode: 0o755}, file{path: dir + "/libx.so", body: elfFile(program{library: true})})
	}
	planted(t, Rules{}, Libraries, at("bin/lib"), at("lib"), "bin/app", "libx.so", "lib/libx.so", "it looks in bin/lib", "$ORIGIN/../lib")
}

func TestInspect_Libraries(t *testing.T) {
	t.Parallel()
	planted(t, Rules{}, Libraries, treeOf(file{path: "bin/a", body: elfFile(program{}), mode: 0o755}),
		treeOf(file{path: "bin/a", body: elfFile(program{machine: elf.EM_AARCH64}), mode: 0o755}), "bin/a", "EM_AARCH64", "EM_X86_64 (amd64)")
	planted(t, Rules{Glibc: "2.31"}, Libraries, treeOf(file{path: "bin/a", body: elfFile(program{glibc: "2.31"}), mode: 0o755}),
		treeOf(file{path: "bin/a", body: elfFile(program{glibc: "2.38"}), mode: 0o755}), "bin/a needs GLIBC_2.38", "2.31")
	planted(t, Rules{}, Libraries, good0(), treeOf(file{path: "lib/x.so", body: elf.ELFMAG + "rubbish"}), "lib/x.so", "not a valid ELF file")
	planted(t, Rules{}, Paths, good0(), treeOf(file{path: "lib/x", body: elfFile(program{core: true})}), "lib/x", "core dump")
	if got := faults(t, Rules{Ignore: []string{"**/testdata/**"}}, treeOf(file{path: "lib/testdata/x.so", body: elf.ELFMAG + "rubbish"}), Libraries); len(got) != 0 {
		t.Errorf("ignored: %q", got)
	}
}

// good0 has nothing in it that could be wrong.
func good0() Tree { return treeOf(file{path: "share/x", body: "x"}) }

func TestInspect_032_FileTooLarge(t *testing.T) {
	t.Parallel()
	planted(t, Rules{MaxFile: 3}, Paths, treeOf(file{path: "lib/x", body: "123"}), treeOf(file{path: "lib/x", body: "1234"}), "lib/x has 4 bytes, want at most 3")
}

func TestInspect_052_Modes(t *testing.T) {
	t.Parallel()
	tray := "bin/cloudtolocalllm-tray"
	planted(t, flutterRules, Modes, good(), good(file{path: tray, body: elfFile(program{}), mode: 0o644}), tray, "0644", "want 0755")
	script := func(mode fs.FileMode) Tree { return treeOf(file{path: "bin/run", body: "#!/bin/sh\n", mode: mode}) }
	planted(t, Rules{}, Modes, script(0o755), script(0o644), "bin/run", "a script", "0644")
	for _, mode := range []fs.FileMode{0o775, 0o600, 0o666, 0o755 | fs.ModeSetuid, 0o777} {
		planted(t, Rules{}, Modes, good0(), treeOf(file{path: "share/x", mode: mode}), "share/x", fmt.Sprintf("%04o", bits(mode)), "want 0644 or 0755")
	}
	r := Rules{Executable: []string{"bin/*"}}
	plain := func(mode fs.FileMode) Tree { return treeOf(file{path: "bin/x", body: "x", mode: mode}) }
	planted(t, r, Modes, plain(0o755), plain(0o644), "bin/x", "want 0755")
	planted(t, r, Modes, plain(0o755), good0(), `nothing matches "bin/*"`)
	linked := func(mode fs.FileMode) Tree {
		return treeOf(file{path: "bin/x", link: "../lib/x"}, file{path: "lib/x", mode: mode})
	}
	planted(t, r, Modes, linked(0o755), linked(0o644), "lib/x", "want 0755")
	planted(t, r, Modes, plain(0o755), treeOf(file{path: "bin/x", link: "x"}), "bin/x", "leads to no file")
	closed := good0()
	closed.Entries[0].Mode = fs.ModeDir | 0o700
	planted(t, Rules{}, Modes, good0(), closed, "folder share", "0700")
}

func TestInspect_062_Junk(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"a.backup", "a.build-backup", "a.bak", "a.orig", "a.rej", "a~", ".a.swp", ".DS_Store", "Thumbs.db", "__MACOSX/a", ".git/config",
		"x/.svn/a", "x/.hg/a", "x/__pycache__/a.pyc",
	} {
		planted(t, Rules{}, Paths, good0(), treeOf(file{path: "lib/app/" + name, body: "x"}), "lib/app/", "does not belong here")
		if got := faults(t, Rules{Ignore: []string{"lib/**"}}, treeOf(file{path: "lib/app/" + name, body: "x"}), Paths); len(got) != 0 {
			t.Errorf("%s is not ignored: %q", name, got)
		}
	}
	many := treeOf(file{path: "x/.git/a"}, file{path: "x/.git/b"}, file{path: "x/.git/c/d"})
	if got := faults(t, Rules{}, many, Paths); len(got) != 1 {
		t.Errorf("one folder: %q", got)
	}
	if got := faults(t, Rules{}, treeOf(file{path: "lib/core"}, file{path: "lib/original"}, file{path: "lib/a.gitignore"}), Paths); len(got) != 0 {
		t.Errorf("not junk: %q", got)
	}
}

func TestInspect_RequiredAndForbidden(t *testing.T) {
	t.Parallel()
	with := func(paths ...string) Tree {
		var files []file
		for _, p := range paths {
			files = append(files, file{path: p})
		}
		tree := treeOf(files...)
		tree.Required, tree.Forbidden = []string{"lib/**/*.so"}, []string{"**/cloudtolocalllm-settings", "secret.key", "share/old/*"}
		return tree
	}
	planted(t, Rules{}, Paths, with("lib/a/x.so"), with("lib/a/x.txt"), `nothing matches "lib/**/*.so"`)
	planted(t, Rules{}, Paths, with("lib/x.so"), with("lib/x.so/folder"), `nothing matches`) // a folder of that name
	planted(t, Rules{}, Paths, with("lib/x.so"), with("lib/x.so", "bin/cloudtolocalllm-settings"), "bin/cloudtolocalllm-settings is forbidden")
	planted(t, Rules{}, Paths, with("lib/x.so"), with("lib/x.so", "lib/deep/secret.key"), "lib/deep/secret.key is forbidden")
	nameless := with("lib/x.so", "share/old/dir/file")
	nameless.Entries = slices.DeleteFunc(nameless.Entries, func(e archive.Entry) bool { return e.Mode.IsDir() }) // archives need not name folders
	planted(t, Rules{}, Paths, with("lib/x.so"), nameless, "share/old/dir is forbidden")
}

func TestInspect_Hostile(t *testing.T) {
	t.Parallel()
	// Files of 4 GB that are nothing but a beginning: reads are bounded, and so is memory.
	var read int64
	tree := treeOf()
	heads := map[string]string{
		"lib/a.so": elfFile(program{library: true}), "share/a.png": pngFile(1, 1), entryAt: "[Desktop Entry]\n", unitAt: "[Unit]\n", own: "{", "share/a.svg": "<!--",
		"share/a.txt": strings.Repeat("a", headSize),
	}
	for p, head := range heads {
		tree.Entries = append(tree.Entries, archive.Entry{Path: p, Mode: 0o644, Size: 4 << 30})
		tree.Open = func(e archive.Entry) (File, error) {
			return &sparse{head: heads[e.Path], size: e.Size, read: &read}, nil
		}
		_ = head
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	results, err := Inspect(t.Context(), Rules{}, tree)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 256<<20 {
		t.Errorf("%d bytes were allocated", grown)
	}
	if read > 3<<30 {
		t.Errorf("%d bytes were read", read)
	}
	all := fmt.Sprint(results)
	for _, want := range []string{"too large to be searched", entryAt + " is larger", unitAt + " is larger", own + " is larger", "no SVG"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in %s", want, all)
		}
	}
	// Links in circles, and many faults.
	tree = treeOf(file{path: "a", link: "b"}, file{path: "b", link: "a"}, file{path: "c", link: "../../.."}, file{path: "d", link: "."}, file{path: "share/applications", link: "../d/share"})
	for i := range 3000 {
		tree.Entries = append(tree.Entries, archive.Entry{Path: fmt.Sprintf("%d.bak", i), Mode: fs.ModeSymlink, Link: "d/d/d"})
	}
	if got := faults(t, Rules{}, tree, Paths); len(got) != maxFaults+1 || got[maxFaults] != "and 2000 more" {
		t.Errorf("%d faults, the last %q", len(got), got[len(got)-1])
	}
	// What cannot be read is an error, not a fault.
	tree = good0()
	tree.Open = func(archive.Entry) (File, error) { return nil, os.ErrPermission }
	if _, err := Inspect(t.Context(), Rules{}, tree); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "share/x") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Inspect(ctx, Rules{}, good()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	var r Rules
	text := `
forbidden_text: ["_launchTraySettings"]
size: {min: 1MB, max: 200MB}
max_file: 100MB
executable: ["bin/*"]
host: gtk3
glibc: "2.31"
versions: ["lib/app/version.json"]
ignore: ["**/testdata/**"]
`
	if err := yaml.UnmarshalWithOptions([]byte(text), &r, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	want := Rules{
		ForbiddenText: []string{"_launchTraySettings"}, Size: size.Band{Min: 1e6, Max: 200e6}, MaxFile: 100e6, Executable: []string{"bin/*"},
		Host: Host{Profile: GTK3}, Glibc: "2.31", Versions: []string{"lib/app/version.json"}, Ignore: []string{"**/testdata/**"},
	}
	if !reflect.DeepEqual(r, want) || r.Validate() != nil || (Rules{}).Validate() != nil {
		t.Errorf("got %+v, %v", r, r.Validate())
	}
	for want, bad := range map[string]Rules{
		"forbidden_text[0]: want 3 to 500 bytes": {ForbiddenText: []string{"ab"}},
		"forbidden_text[1]":                      {ForbiddenText: []string{"abc", strings.Repeat("x", 501)}},
		"size: max":                              {Size: size.Band{Min: 2, Max: 1}},
		"host: want system or gtk3":              {Host: Host{Profile: "gtk4"}},
		"host: libraries":                        {Host: Host{Libraries: []string{"../x"}}},
		"glibc: want a version":                  {Glibc: "new"},
		"executable[0]":                          {Executable: []string{"/bin/x"}},
		"versions[0]":                            {Versions: []string{""}},
		"ignore[0]":                              {Ignore: []string{"a**"}},
	} {
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	var h Host
	for _, text := range []string{"gtk3", `"gtk3"`, "'gtk3'\n"} {
		if err := h.UnmarshalYAML([]byte(text)); err != nil || h.Profile != GTK3 || h.String() != "gtk3" {
			t.Errorf("%s: %+v, %v", text, h, err)
		}
	}
	for _, text := range []string{"gtk4", `""`, "$(id)"} {
		if err := h.UnmarshalYAML([]byte(text)); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
	if got := (Host{Libraries: []string{"liba.so"}}).String(); got != "system, liba.so" {
		t.Errorf("got %s", got)
	}
}

// folder is a tree on disk.
func folder(t testing.TB, dir string) Tree {
	t.Helper()
	entries, err := archive.List(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	return Tree{
		Name: "a folder", Arch: runtime.GOARCH, Entries: entries,
		Open: func(e archive.Entry) (File, error) { return os.Open(filepath.Join(dir, filepath.FromSlash(e.Path))) },
	}
}

// BenchmarkInspect looks at the folder that the environment names, or at this system's libraries.
func BenchmarkInspect(b *testing.B) {
	dir := os.Getenv("INSPECT_DIR")
	if dir == "" {
		dir = "/usr/lib/systemd"
	}
	tree := folder(b, dir)
	var total int64
	for _, e := range tree.Entries {
		total += e.Size
	}
	rules := Rules{Ignore: []string{"**/testdata/**"}, ForbiddenText: []string{"_launchTraySettings"}}
	b.SetBytes(total)
	b.ReportMetric(float64(len(tree.Entries)), "entries")
	for b.Loop() {
		if _, err := Inspect(b.Context(), rules, tree); err != nil {
			b.Fatal(err)
		}
	}
}

func TestInspect_LongLinks(t *testing.T) {
	t.Parallel()
	chain := func(n int) Tree {
		files := []file{{path: "bin/0", body: "x", mode: 0o755}}
		for i := range n {
			files = append(files, file{path: fmt.Sprintf("bin/%d", i+1), link: fmt.Sprint(i)})
		}
		return treeOf(files...)
	}
	planted(t, Rules{Executable: []string{"bin/*"}}, Modes, chain(maxHops), chain(maxHops+1), "bin/41", "leads to no file")
}
