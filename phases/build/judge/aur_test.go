package judge

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/build/aur"
	"github.com/imrightguy/slipway/phases/build/tarball"
	"github.com/imrightguy/slipway/phases/internal/makepkg"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

func tarballs(arches ...string) []tarball.Config {
	var out []tarball.Config
	for _, a := range arches {
		out = append(out, tarball.Config{Name: "demo", Bundle: "demo", Version: "1.2.3", Arch: a})
	}
	return out
}

var aurTree = map[string]string{
	"bin/demo":                        "#!/bin/sh\necho demo\n",
	"share/man/man1/demo.1":           ".TH DEMO 1\n",
	"share/licenses/demo/LICENSE":     "MIT\n",
	"share/demo/$(touch canary)":      "x",
	"share/demo/`touch canary` '\" *": "y",
}

// judgeAUR makes the tarballs and the files of an AUR package by the real steps, has them changed, and lets them be
// judged.
func judgeAUR(t *testing.T, name string, edit func(files map[string]string), more ...map[string]string) pipeline.Evidence {
	t.Helper()
	files := aurTree
	if len(more) > 0 {
		files = more[0]
	}
	c := aurConfig()
	var steps []pipeline.Step
	for _, b := range c.Tarballs {
		steps = append(steps, treeFor(b.Arch, files), tarball.Step(b))
	}
	if edit == nil {
		return judged(t, append(steps, aur.Step(c), AUR(name, c))...)
	}
	_, dirs, err := runSteps(t.Context(), t, append(slices.Clone(steps), aur.Step(c))...)
	must(t, err)
	made := map[string]string{}
	for _, f := range aur.Files {
		text, err := os.ReadFile(dirs.Path(aur.Artifact(c.Name, f)))
		must(t, err)
		made[f] = string(text)
	}
	before := maps.Clone(made)
	if edit(made); maps.Equal(before, made) {
		t.Fatal("nothing was changed")
	}
	changed := given{id: c.StepID(), files: map[string]string{}}
	for f, text := range made {
		changed.files[aur.Artifact(c.Name, f)] = text
	}
	return judged(t, append(steps, changed, AUR(name, c))...)
}

func TestMakepkg(t *testing.T) {
	t.Parallel()
	need(t, Makepkg)
	for name, c := range map[string]struct {
		edit    func(map[string]string)
		verdict gate.Verdict
		want    []string
	}{
		"clean": {nil, gate.Pass, []string{"package built"}},
		"srcinfo and no sum": {
			func(f map[string]string) {
				f[".SRCINFO"] = replace(f[".SRCINFO"], "pkgrel = 1", "pkgrel = 2")
				skipSum(f)
			}, gate.Fail,
			[]string{`pkgrel = 2\n", makepkg prints "\tpkgrel = 1\n"`, "sha256sums_x86_64 is SKIP: makepkg would verify nothing"},
		},
		"sum of the other architecture": {
			func(f map[string]string) { breakSum(f, "sha256sums_aarch64") }, gate.Fail,
			[]string{"makepkg --verifysource for aarch64: ", "... FAILED"},
		},
		"package fails": {
			func(f map[string]string) {
				f["PKGBUILD"] = replace(f["PKGBUILD"], "package() {\n", "package() {\n\tfalse || return 3\n")
			}, gate.Fail,
			[]string{"ERROR: A failure occurred in package()"},
		},
		"no PKGBUILD": {func(f map[string]string) { f["PKGBUILD"] = "if\n" }, gate.Fail, []string{"makepkg --printsrcinfo: "}},
		"hostile": {func(f map[string]string) {
			f["PKGBUILD"] += "\ntouch canary /tmp/canary \"$HOME/../../canary\" 2>/dev/null; { echo x > /dev/tcp/127.0.0.1/9 && pkgdesc=reached; } 2>/dev/null || true\n"
		}, gate.Pass, nil}, // it is a program and may do what it wants in its box
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wants(t, judgeAUR(t, Makepkg, c.edit), c.verdict, c.want...)
			noCanary(t)
		})
	}
}

func sum(files map[string]string, array string) string {
	_, rest, _ := strings.Cut(files["PKGBUILD"], array+"=(")
	_, rest, _ = strings.Cut(rest, "'")
	value, _, _ := strings.Cut(rest, "'")
	return value
}

// breakSum gives one architecture a wrong checksum, in both files.
func breakSum(files map[string]string, array string) {
	old := array + "=('" + sum(files, array) + "')"
	if !strings.Contains(files["PKGBUILD"], old) {
		panic(files["PKGBUILD"])
	}
	files["PKGBUILD"] = replace(files["PKGBUILD"], old, array+"=('"+strings.Repeat("0", 64)+"')")
	line := array + " = "
	before, after, _ := strings.Cut(files[".SRCINFO"], line)
	files[".SRCINFO"] = before + line + strings.Repeat("0", 64) + after[64:]
}

func skipSum(files map[string]string) {
	for f := range files {
		files[f] = replace(files[f], sum(files, "sha256sums_x86_64"), "SKIP")
	}
}

func TestPacman(t *testing.T) {
	t.Parallel()
	need(t, Pacman)
	inPackage := func(text string) func(map[string]string) {
		return func(f map[string]string) {
			i := strings.LastIndex(f["PKGBUILD"], "}")
			f["PKGBUILD"] = f["PKGBUILD"][:i] + "\t" + text + "\n}\n"
		}
	}
	for name, c := range map[string]struct {
		edit    func(map[string]string)
		verdict gate.Verdict
		want    []string
	}{
		"clean": {nil, gate.Pass, []string{"nothing left"}},
		"missing and more": {
			inPackage(`rm "$pkgdir/usr/bin/demo"; install -Dm644 /dev/null "$pkgdir/opt/more"`), gate.Fail,
			[]string{`"usr/bin/demo" is missing`, `"opt/more" is not of the bundle`},
		},
		"in the way": {inPackage(`install -d "$pkgdir/var/log"; ln -s x "$pkgdir/var/lib"`), gate.Fail, []string{"pacman: "}},
		"not built":  {inPackage("false"), gate.Fail, []string{"makepkg: ", "ERROR: A failure occurred in package()"}},
		"scriptlet": {func(f map[string]string) {
			f["PKGBUILD"] = "install=LICENSE\n" + f["PKGBUILD"]
			f["LICENSE"] = "post_install() { touch /tmp/canary; }\n"
		}, gate.Fail, []string{"it has an install scriptlet"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wants(t, judgeAUR(t, Pacman, c.edit), c.verdict, c.want...)
			noCanary(t)
		})
	}
}

func TestCompareFiles(t *testing.T) {
	t.Parallel()
	want := []string{"etc/demo.conf", "usr/bin/demo", "usr/share/man/man1/demo.1.gz"}
	files := []string{"etc/", "etc/demo.conf", "usr/", "usr/bin/", "usr/bin/demo", "usr/share/man/man1/demo.1.gz"}
	if got := compareFiles(want, files); got != nil {
		t.Errorf("got %q", got)
	}
	if got := compareFiles(want, append(files[2:], "usr/x")); !slices.Equal(got, []string{`"etc/demo.conf" is missing`, `"usr/x" is not of the bundle`}) {
		t.Errorf("got %q", got)
	}
}

func TestFirstDifference(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ printed, file, want string }{
		{"a\nb\n", "a\nb\n", ""},
		{"a\nb\n", "a\nc\n", `line 2 is "c\n", makepkg prints "b\n"`},
		{"a\n", "a\n\n", `line 2 is "\n", makepkg prints ""`},
		{"a\n", "a", `line 1 is "a", makepkg prints "a\n"`},
		{"a\n", "", `line 1 is "", makepkg prints "a\n"`},
		{"a\n", "a\r\n", `line 1 is "a\r\n", makepkg prints "a\n"`},
	} {
		if got := firstDifference(c.printed, c.file); got != c.want {
			t.Errorf("%q, %q: got %q", c.printed, c.file, got)
		}
	}
}

// TestInstalled plants reports of pacman that are not those of a clean package.
func TestInstalled(t *testing.T) {
	t.Parallel()
	clean := makepkg.Report{Name: "demo-bin", Version: "2:1.2.3-4", Files: []string{"usr/", "usr/bin/", "usr/bin/demo"}, Total: 3}
	c := aurConfig()
	c.Epoch, c.PkgRel = 2, "4"
	for want, change := range map[string]func(*makepkg.Report){
		"": func(*makepkg.Report) {},
		"installed demo-bin 1.2.3-4, want demo-bin 2:1.2.3-4": func(r *makepkg.Report) { r.Version = "1.2.3-4" },
		"installed demo 2:1.2.3-4":                            func(r *makepkg.Report) { r.Name = "demo" },
		"1 of 3 files altered":                                func(r *makepkg.Report) { r.Altered = 1 },
		"it holds no files":                                   func(r *makepkg.Report) { r.Total = 0 },
		`"usr/bin" is left after the removal`:                 func(r *makepkg.Report) { r.Leftovers = []string{"usr/bin"} },
		"install scriptlet":                                   func(r *makepkg.Report) { r.Scriptlet = true },
		`"usr/bin/demo" is missing`:                           func(r *makepkg.Report) { r.Files = r.Files[:2] },
	} {
		got, r := clean, &report{}
		change(&got)
		must(t, aurJudge{c}.installed(r, got, []string{"usr/bin/demo"}))
		if found := strings.Join(r.faults, "; "); (found == "") != (want == "") || !strings.Contains(found, want) {
			t.Errorf("want %q, got %q", want, found)
		}
	}
}
