package phases

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/carrier"
	"github.com/imrightguy/slipway/templates"
)

// programName matches what can be a program's file name wherever it is put: in YAML, in packages and in launchers.
var programName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_+-]*(\.[A-Za-z0-9_+-]+)*$`)

// isProgram reports whether a name can be a program's.
func isProgram(name string) bool { return len(name) < maxKey && programName.MatchString(name) }

// atLeast makes a range of the lowest version that a range of another language names.
func atLeast(pattern string) func(string) string {
	find := byLine(pattern)
	return func(text string) string {
		if v := find(text); v != "" {
			return ">=" + v
		}
		return ""
	}
}

const lowest = `["']?[ \t]*(?:>=|\^|~)?[ \t]*([0-9]{1,4}(?:\.[0-9]{1,4}){0,2})`

var (
	flutterRange = atLeast(`(?ms)^environment:.*?^[ \t]+flutter:[ \t]*` + lowest)
	flutterName  = byLine(`(?m)^name:[ \t]*["']?([^\s"'#]+)`)
	binaryName   = byLine(`(?m)^[ \t]*set\(BINARY_NAME[ \t]+"([^"\n]+)"\)`)
	rustRange    = atLeast(`(?m)^rust-version[ \t]*=[ \t]*` + lowest)
	rustName     = byLine(`(?ms)^\[package\][^\[]*?^name[ \t]*=[ \t]*["']([^"'\n]+)["']`)
	rustBin      = byLine(`(?ms)^\[\[bin\]\][^\[]*?^name[ \t]*=[ \t]*["']([^"'\n]+)["']`)
	pythonRange  = atLeast(`(?m)^requires-python[ \t]*=[ \t]*` + lowest)
	pythonNeeds  = byLine(`(?ms)^\[project\].*?^dependencies[ \t]*=[ \t]*\[\s*([^\s\]])`)
	pythonScript = regexp.MustCompile(`(?ms)^\[project\.scripts\][^\[]*?^["']?([A-Za-z0-9._-]+)["']?[ \t]*=[ \t]*["']([A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*)["']`)
)

// fillFlutter builds the application and puts it into a folder of its own, with a link where people look for programs:
// Flutter finds its data beside the file that the link leads to.
func fillFlutter(f folder, text string, r *templates.Release) {
	program := flutterName(text)
	if cmake, ok := f.read("linux/CMakeLists.txt"); !ok {
		r.Todo = append(r.Todo, "components: linux/CMakeLists.txt is not there; flutter create --platforms=linux . makes it")
	} else if name := binaryName(cmake); name != "" {
		program = name
	}
	if !isProgram(program) {
		program = r.Project
		r.Todo = append(r.Todo, "components: the program's name is not known; it is BINARY_NAME in linux/CMakeLists.txt")
	}
	r.Components = []templates.ReleaseComponent{{Name: r.Project, Builder: "flutter", Program: program, Tree: true}}
	need := flutterRange(text)
	if need == "" {
		need = ">=3.0"
	}
	r.Requires = append(r.Requires, [2]string{"flutter", need})
	f.desktop(r, program)
}

// fillRust builds one program with cargo, for a target that is named, so that it is never another machine's.
func fillRust(f folder, text string, r *templates.Release) {
	name := rustBin(text)
	if name == "" && f.has("src/main.rs") {
		name = rustName(text)
	}
	if !isProgram(name) {
		fillPrebuilt(f, text, r)
		return
	}
	const target = "x86_64-unknown-linux-gnu"
	c := templates.ReleaseComponent{
		Name: r.Project, Builder: "command", Program: name, Pass: []string{"HOME", "CARGO_HOME", "RUSTUP_HOME"},
		Command: []string{"cargo", "build", "--release", "--locked", "--bin=" + name, "--target=" + target, "--target-dir=out"},
		Output:  "out/" + target + "/release/" + name,
		Notes:   []string{"For arm64, make a component of its own for the target aarch64-unknown-linux-gnu."},
	}
	if !f.has("Cargo.lock") {
		r.Todo = append(r.Todo, "components: Cargo.lock is not there, which --locked wants; commit it, so that the same crates are built every time")
	}
	need := rustRange(text)
	if need == "" {
		need = ">=1.70"
	}
	r.Requires = append(r.Requires, [2]string{"cargo", need})
	r.Components = []templates.ReleaseComponent{c}
	f.desktop(r, name)
}

// fillNode installs the package as npm would for its users: the files that it publishes, what it depends on, and its
// programs.
func fillNode(f folder, text string, r *templates.Release) {
	var p struct {
		Name    string
		Bin     any
		Engines struct{ Node string }
	}
	if json.Unmarshal([]byte(text), &p) != nil {
		fillPrebuilt(f, text, r)
		return
	}
	program := ""
	switch bin := p.Bin.(type) {
	case string:
		program = path.Base(p.Name)
	case map[string]any:
		for name := range bin {
			if program == "" || name < program {
				program = name
			}
		}
	}
	if !isProgram(program) {
		fillPrebuilt(f, text, r)
		return
	}
	r.Components = []templates.ReleaseComponent{{
		Name: r.Project, Builder: "command", Program: program, Tree: true, Made: "bin/" + program, Output: "installed",
		Command: []string{"npm", "install", "--global", "--install-links", "--omit=dev", "--no-audit", "--no-fund", "--prefix=installed", "."},
		Notes: []string{
			"This takes what npm would publish. Versions of what it depends on are fixed by npm-shrinkwrap.json only, which",
			"npm shrinkwrap makes of package-lock.json. Where something has to be built first, run it from a file of the",
			"repository: command: [node, scripts/release.js]",
		},
	}}
	if !f.has("npm-shrinkwrap.json") {
		r.Todo = append(r.Todo, "components: npm-shrinkwrap.json is not there; without it each build takes the newest versions that fit")
	}
	need := atLeast(`^` + lowest)(p.Engines.Node)
	if need == "" {
		need = ">=18"
	}
	r.Requires = append(r.Requires, [2]string{"node", need}, [2]string{"npm", ">=7"})
	r.Todo = append(r.Todo, "depends: the packages need nodejs on the machine where they are installed")
	f.desktop(r, program)
}

// fillPython freezes the program with PyInstaller where the repository is made for that, or makes one file of the
// modules below src, which a Python on the target machine runs.
func fillPython(f folder, text string, r *templates.Release) {
	need := pythonRange(text)
	if need == "" {
		need = ">=3.9"
	}
	python := [2]string{"python3", need}
	if spec, name, tree := f.spec(); spec != "" {
		c := templates.ReleaseComponent{
			Name: r.Project, Builder: "command", Program: name, Tree: tree, Output: "dist/" + name, Pass: []string{"HOME", "VIRTUAL_ENV"},
			Command: []string{"pyinstaller", "--clean", "--noconfirm", "--distpath=dist", "--workpath=work", spec},
			Notes:   []string{"PyInstaller builds for the machine that it runs on only."},
		}
		r.Requires = append(r.Requires, python, [2]string{"pyinstaller", ">=6.0"})
		r.Components = []templates.ReleaseComponent{c}
		f.desktop(r, name)
		return
	}
	m := pythonScript.FindStringSubmatch(text)
	if m == nil || !isProgram(m[1]) || !f.has("src/"+strings.ReplaceAll(strings.SplitN(m[2], ":", 2)[0], ".", "/")+".py") {
		fillPrebuilt(f, text, r)
		return
	}
	r.Components = []templates.ReleaseComponent{{
		Name: r.Project, Builder: "command", Program: m[1], Made: m[1] + ".pyz", Output: m[1] + ".pyz",
		Command: []string{"python3", "-m", "zipapp", "src", "--output=" + m[1] + ".pyz", "--python=/usr/bin/env python3", "--main=" + m[2], "--compress"},
		Notes:   []string{"One file with all modules below src, without what they depend on."},
	}}
	r.Requires = append(r.Requires, python)
	r.Todo = append(r.Todo, "depends: the packages need python3 on the machine where they are installed")
	if pythonNeeds(text) != "" {
		r.Todo = append(r.Todo, "depends: dependencies of pyproject.toml are not in the program; name the packages that have them")
	}
	f.desktop(r, m[1])
}

var (
	specName   = byLine(`(?m)\bname[ \t]*=[ \t]*["']([^"'\n]+)["']`)
	collecting = regexp.MustCompile(`(?m)^[a-z_]+[ \t]*=[ \t]*COLLECT\(`)
)

// spec finds the file that PyInstaller works by, at the root: its name, that of what it makes, and whether that is a
// folder.
func (f folder) spec() (file, name string, tree bool) {
	entries, _ := fs.ReadDir(f.root.FS(), ".")
	for _, e := range entries {
		stem, ok := strings.CutSuffix(e.Name(), ".spec")
		if !ok || !isProgram(stem) {
			continue
		}
		text, _ := f.read(e.Name())
		if name := specName(text); strings.Contains(text, "Analysis(") && isProgram(name) {
			return e.Name(), name, collecting.MatchString(text)
		}
	}
	return "", "", false
}

// Where desktop entries and icons usually lie.
var (
	desktopFolders = []string{"linux", "packaging/linux", "packaging", "data", "assets", "share/applications", "."}
	iconFolders    = []string{"linux/icons", "linux", "packaging/linux", "packaging", "data/icons", "data", "assets/icons", "assets/icon", "assets/images", "assets", "icons", "."}
	iconSizes      = []int{16, 22, 24, 32, 48, 64, 96, 128, 256, 512} // those of the theme hicolor
	desktopExec    = byLine(`(?m)^Exec[ \t]*=[ \t]*(\S.*)`)
	desktopIcon    = byLine(`(?m)^Icon[ \t]*=[ \t]*([A-Za-z0-9._-]+)[ \t]*\r?$`)
)

// desktop adds a desktop entry and icons, where the repository has them.
func (f folder) desktop(r *templates.Release, program string) {
	icon := program
	for _, dir := range desktopFolders {
		name := f.firstIn(dir, ".desktop", func(name string) bool { text, _ := f.read(name); return desktopExec(text) != "" })
		if name == "" {
			continue
		}
		text, _ := f.read(name)
		if named := desktopIcon(text); isProgram(named) {
			icon = named
		}
		r.Contents = append(r.Contents, templates.ReleaseContent{Src: name, Dst: "share/applications/" + path.Base(name)})
		break
	}
	if len(r.Contents) == 0 && r.Kind != "Flutter" {
		return // a program for the terminal
	}
	if len(r.Contents) == 0 {
		r.Todo = append(r.Todo, fmt.Sprintf("contents: no desktop entry was found; without one menus do not show the program: linux/%s.desktop", program))
	}
	seen := map[int]bool{}
	for _, dir := range iconFolders {
		f.firstIn(dir, ".png", func(name string) bool {
			about := strings.ToLower(strings.TrimSuffix(path.Base(name), ".png"))
			text, _ := f.read(name)
			size := pngSize(text)
			named := strings.Contains(about, "icon") || strings.Contains(about, strings.ToLower(icon)) || path.Base(dir) == "icons"
			if named && slices.Contains(iconSizes, size) && !seen[size] {
				seen[size] = true
				r.Contents = append(r.Contents, templates.ReleaseContent{Src: name, Dst: fmt.Sprintf("share/icons/hicolor/%dx%d/apps/%s.png", size, size, icon)})
			}
			return false
		})
	}
	if len(seen) == 0 {
		r.Todo = append(r.Todo, "contents: no icon was found: a square PNG of 128 or 256 pixels for share/icons/hicolor/128x128/apps/"+icon+".png")
	}
}

// maxEntries bounds how many entries of folders are looked at.
const maxEntries = 20_000

// firstIn returns the first regular file in a folder, by name, that has the ending and pleases; "" where there is none.
func (f folder) firstIn(dir, ending string, pleases func(name string) bool) string {
	entries, _ := fs.ReadDir(f.root.FS(), dir)
	for _, e := range entries[:min(len(entries), maxEntries)] {
		name := path.Join(dir, e.Name())
		if e.Type().IsRegular() && strings.HasSuffix(name, ending) && plainPath.MatchString(name) && pleases(name) {
			return name
		}
	}
	return ""
}

// plainPath matches paths that need no thought in YAML and in patterns.
var plainPath = regexp.MustCompile(`^[A-Za-z0-9_.@+-][A-Za-z0-9_.@+ -]*(/[A-Za-z0-9_.@+ -]+)*$`)

// pngSize is the width of a square PNG image in pixels; 0 of anything else (PNG specification, 5.2 and 11.2.2).
func pngSize(text string) int {
	const head = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
	if len(text) < len(head)+8 || !strings.HasPrefix(text, head) {
		return 0
	}
	width, height := binary.BigEndian.Uint32([]byte(text[len(head):])), binary.BigEndian.Uint32([]byte(text[len(head)+4:]))
	if width != height || width > 1<<16 {
		return 0
	}
	return int(width)
}

// notOurs are folders with what was fetched or made, or with examples.
var notOurs = []string{"build", "dist", "node_modules", "vendor", "third_party", "target", "out", "testdata", "test", "tests", "example", "examples", "venv", "coverage"}

// How many files the search for carriers takes, and how deep in folders.
const (
	maxCarriers = 40
	maxFolders  = 6
)

// carriers finds the files that repeat the version. Of files whose form says little only those count that say the same
// version; of those that are there to say it, one that says another is told.
func (f folder) carriers(r *templates.Release) {
	text, ok := f.read(r.Source)
	if !ok {
		return
	}
	v, _, err := carrier.Source(r.Source, []byte(text))
	if err != nil {
		return
	}
	looked := 0
	_ = fs.WalkDir(f.root.FS(), ".", func(name string, d fs.DirEntry, err error) error { // a folder that cannot be read is left out
		if looked++; looked > maxEntries || len(r.Carriers) >= maxCarriers {
			return fs.SkipAll
		}
		if err != nil || d.IsDir() {
			hidden := strings.HasPrefix(d.Name(), ".") && name != "."
			if err != nil || hidden || slices.Contains(notOurs, d.Name()) || strings.Count(name, "/") >= maxFolders {
				return fs.SkipDir
			}
			return nil
		}
		base := path.Base(name)
		if name == r.Source || !d.Type().IsRegular() || !plainPath.MatchString(name) || carrier.Known(name) != nil ||
			strings.HasSuffix(base, ".json") && base != "version.json" && name != "package.json" {
			return nil
		}
		text, ok := f.read(name)
		if !ok {
			return nil
		}
		found, err := carrier.Read(name, []byte(text))
		if err != nil {
			return nil
		}
		switch drifts, err := carrier.Check(name, []byte(text), v, carrier.Stamp{}); {
		case err == nil && len(drifts) == 0:
			r.Carriers = append(r.Carriers, name)
		case base == "version.json" || base == "app_config.dart" || base == "PKGBUILD" || base == ".SRCINFO":
			r.Todo = append(r.Todo, fmt.Sprintf("carriers: %s says %.40q and %s says %s; where it means this product, put it right and list it", name, found.Version, r.Source, v))
		}
		return nil
	})
}
