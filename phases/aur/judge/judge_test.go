package judge

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/sandbox"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// with is the payload with other files.
func with(more map[string]string) map[string]string {
	files := maps.Clone(payload)
	maps.Copy(files, more)
	return files
}

// TestStep judges a clean package with a version published before, twice: all evidence is the same.
func TestStep(t *testing.T) {
	t.Parallel()
	need(t)
	p := demo(t, "1.2.3", payload, "", "")
	p.o.Previous = demo(t, "1.2.2", with(map[string]string{"share/demo/old": "x"}), "", "").published(t)
	first := p.judge(t)
	first.want(t, map[string]string{Upgrade: "pass: pacman -Syu from 1.2.2-1 ends on 1.2.3-1, 0 altered files"})
	for name, e := range first {
		if len(e.Subjects) != 4 || !strings.HasPrefix(e.Tool, "makepkg ") {
			t.Errorf("%s: subjects %v, tool %q", name, e.Subjects, e.Tool)
		}
	}
	a, b := first.digests(), p.judge(t).digests()
	if len(a) < len(Checks())-1 || !maps.Equal(a, b) {
		t.Errorf("the evidence differs from run to run: %v, %v", a, b)
	}
}

// TestFaults plants a fault for every check into one package, and in another what cannot be seen.
func TestFaults(t *testing.T) {
	t.Parallel()
	need(t)
	p := demo(t, "1.2.3", with(map[string]string{"bin/crash": "#!/bin/sh\nkill -SEGV $$\n", "bin/plain": "no program"}), "sha256sums=('SKIP')", `
	date +%Z > "$pkgdir/usr/share/demo/now"; install -Dm644 /dev/null "$pkgdir/usr/local/x"; install -Dm644 /dev/null "$pkgdir/home/me/x"
	install -Dm4755 /dev/null "$pkgdir/usr/bin/su"; echo x > "$pkgdir/usr/share/demo/a.bak"; rm -r "$pkgdir/usr/share/licenses"; chmod 666 "$pkgdir/usr/share/demo/a.bak"`)
	p.files[".SRCINFO"] = strings.Replace(p.files[".SRCINFO"], "pkgrel = 1", "pkgrel = 2", 1)
	p.o.Start = [][]string{{"/usr/bin/demo"}, {"/usr/bin/crash"}, {"/usr/bin/plain"}, {"/usr/bin/missing"}, {"/usr/bin/ls"}}
	p.o.Previous = demo(t, "1.3.0", payload, "", "").published(t)
	v := p.judge(t)
	v.want(t, map[string]string{
		SRCINFO: `fail: line 4 is "\tpkgrel = 2\n", makepkg prints "\tpkgrel = 1\n"`, Sources: "fail: sha256sums is SKIP",
		Build:    "fail: two builds of the same files differ",
		Contents: "fail: with the rights of others",
		Start:    "fail: /usr/bin/crash: signal 11 ended it; /usr/bin/plain: ended with status 126",
		Upgrade:  "fail: pacman -Syu from 1.3.0-1 ends on 1.3.0-1, want 1.2.3-1: for pacman what is installed is newer",
	})
	for check, texts := range map[string][]string{
		Contents: {`"home" lies where`, `"usr/local" lies where`, "can be written by others", "a.bak is a backup copy"},
		Start:    {"/usr/bin/missing: ended with status 127: the package does not have it", "/usr/bin/ls: ended with status 127"},
	} {
		for _, text := range texts {
			if !strings.Contains(v[check].Found, text) {
				t.Errorf("%s: %q is not in %q", check, text, v[check].Found)
			}
		}
	}
	p = demo(t, "1.2.3", payload, "", "")
	p.sources = map[string]string{"other": "=x"}
	want := map[string]string{SRCINFO: "pass"}
	for _, name := range Checks()[1:] {
		want[name] = "unknown: none of this release's packages"
	}
	p.judge(t).want(t, want)
}

// TestFetch: what cannot be had of the version published before is unknown, and says why.
func TestFetch(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]func(context.Context, *pipeline.Workspace) (Published, error){
		"not looked for": nil,
		"no route": func(context.Context, *pipeline.Workspace) (Published, error) {
			return Published{}, errors.New("no route")
		},
		"gone": func(context.Context, *pipeline.Workspace) (Published, error) { return Published{Why: "gone"}, nil },
	} {
		j, p := &judges{Options: Options{Previous: f}, found: map[string]*finding{Upgrade: {}}}, &previous{}
		j.fetch(t.Context(), p)
		j.upgrade(t.Context(), p)
		if e := j.evidence(Upgrade); e.Verdict != gate.Unknown || !strings.Contains(e.Summary, want) {
			t.Errorf("%+v", e)
		}
	}
}

// TestFailure_015_PayloadVersion: the package says one version, what it installs another, behind a link.
func TestFailure_015_PayloadVersion(t *testing.T) {
	t.Parallel()
	need(t)
	const assets = "lib/demo/data/flutter_assets/"
	p := demo(t, "1.2.3", map[string]string{
		"bin/demo":                    "-> ../lib/demo/demo",
		"lib/demo/demo":               "#!/bin/sh\necho demo 1.0.3\n",
		"lib/demo/release.txt":        "version 1.0.3\n",
		assets + "version.json":       `{"app_name":"demo","version":"1.0.3","build_number":"1","package_name":"demo"}`,
		"share/licenses/demo/LICENSE": "MIT\n",
	}, "", "")
	p.judge(t).want(t, map[string]string{
		Contents: "fail: 1.0.3", // of version.json, which nobody had to name
		Start:    "fail: /usr/bin/demo --version: it says 1.0.3, want 1.2.3",
	})
}

// TestFailure_053_Scriptlets: PKGBUILDs as others write them. What build() wants to install from the network does not
// come. A scriptlet in the PKGBUILD never runs, and one beside it does not run here.
func TestFailure_053_Scriptlets(t *testing.T) {
	t.Parallel()
	need(t)
	p := demo(t, "1.2.3", payload, "build() {\n\tpip install --user requests\n}", "")
	if e := p.judge(t)[Build]; e.Verdict != gate.Fail || !strings.Contains(e.Found, "A failure occurred in build()") {
		t.Errorf("%+v", e)
	}
	p = demo(t, "1.2.3", payload, "post_install() {\n\ttouch canary\n}", "")
	p.files["demo-bin.install"] = "post_install() { touch /tmp/canary /canary canary; }\n"
	p.files["PKGBUILD"] = strings.Replace(p.files["PKGBUILD"], "options=", "install='demo-bin.install'\noptions=", 1)
	p.files[".SRCINFO"] = strings.Replace(p.files[".SRCINFO"], "\tarch =", "\tinstall = demo-bin.install\n\tarch =", 1)
	p.o.Previous = demo(t, "1.2.2", payload, "", "\treturn 3").published(t)
	p.judge(t).want(t, map[string]string{
		Build:   "fail: post_install() stands in the PKGBUILD, where pacman never runs it",
		Install: "unknown: install scriptlet", Remove: "unknown: install scriptlet",
		Upgrade: "unknown: cannot build the version published before",
	})
}

// TestFailure_060_CleanRoom: on the maintainer's machine makepkg passes, since it finds what lies there. Here it has the
// files that are pushed and the published bytes, nothing else. [TestStep] is the same package made well.
func TestFailure_060_CleanRoom(t *testing.T) {
	t.Parallel()
	need(t)
	p := demo(t, "1.2.3", payload, "", `	install -Dm644 "$startdir/../build/helper" "$pkgdir/usr/lib/demo/helper"`)
	v := p.judge(t)
	if e := v[Build]; e.Verdict != gate.Fail || !strings.Contains(e.Found, "helper") || !strings.Contains(e.Found, "No such file") {
		t.Errorf("%+v", e)
	}
	v.want(t, map[string]string{
		Build: "fail", Contents: "unknown: the package was not built", Install: "unknown: not built", Start: "unknown: not built",
		Upgrade: "unknown: not built", Remove: "unknown: not built",
	})
	p = demo(t, "1.2.3", payload, "", "") // the published bytes are not those of the PKGBUILD
	p.sources = demo(t, "1.2.3", with(map[string]string{"share/demo/new": "x"}), "", "").sources
	v = p.judge(t)
	for _, name := range []string{Sources, Build} {
		if e := v[name]; e.Verdict != gate.Fail || !strings.Contains(e.Found, "FAILED") {
			t.Errorf("%+v", e)
		}
	}
}

// TestMissing is not parallel: it takes all tools away.
func TestMissing(t *testing.T) {
	defer func(old []string) { sandbox.Path = old }(sandbox.Path)
	sandbox.Path = []string{t.TempDir()}
	want := map[string]string{}
	for _, name := range Checks() {
		want[name] = "unknown: install the Debian package makepkg"
	}
	demo(t, "1.2.3", payload, "", "").judge(t).want(t, want)
}

func TestTells(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"demo 1.2.3\n": true, "demo version v1.2.3 (go1.26)": true, "1.2.3+4": true, "demo 1.2.3.": true, "11.2.3": false, "1.2.30": false, "1.2.3-rc.1": false, "": false,
	} {
		if tells(text, "1.2.3+4") != want {
			t.Errorf("%q", text)
		}
	}
}
