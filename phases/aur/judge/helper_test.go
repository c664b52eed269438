package judge

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/sandbox"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// need skips a test where a tool or the sandbox is missing; where CI is set that is a failure.
func need(t *testing.T) {
	t.Helper()
	err := sandbox.Need(Tools()...)
	if err == nil {
		var b *sandbox.Box
		b, err = sandbox.New(t.Context())
		must(t, err)
		must(t, b.Close())
		err = b.Isolation.Err()
	}
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	} else if err != nil {
		t.Skip(err)
	}
}

// given stands for a step that makes files.
type given struct {
	id    string
	files map[string]string // artifact to the file that it is a copy of, or to "=" and its content
}

func (g given) Spec() pipeline.Spec {
	return pipeline.Spec{ID: g.id, Effect: pipeline.Local, Outputs: slices.Sorted(maps.Keys(g.files))}
}

func (g given) Run(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	for name, from := range g.files {
		p, err := ws.Create(pipeline.Artifact{Name: name, Kind: "file"})
		if err != nil {
			return nil, err
		}
		if text, ok := strings.CutPrefix(from, "="); ok {
			err = os.WriteFile(p, []byte(text), 0o644)
		} else {
			err = sandbox.CopyFile(from, p, 0o644)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

type phase struct {
	name  string
	steps []pipeline.Step
}

func (p phase) Name() string { return p.name }

func (p phase) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) { return p.steps, nil }

// verdicts is what the step reported, by check.
type verdicts map[string]pipeline.Evidence

// pkg is a package to be judged: its files and the release's packages by name.
type pkg struct {
	files   map[string]string
	sources map[string]string // as in given
	o       Options
}

// judge runs the step behind steps that make what it reads.
func (p pkg) judge(t *testing.T) verdicts {
	t.Helper()
	o := p.o
	o.Name = "demo-bin"
	files, sources := given{id: "build/aur/demo-bin", files: map[string]string{}}, given{id: "build/tarball", files: p.sources}
	for name, text := range p.files {
		files.files["aur/demo-bin/"+name] = "=" + text
		o.Files = append(o.Files, "aur/demo-bin/"+name)
	}
	slices.Sort(o.Files)
	for _, name := range slices.Sorted(maps.Keys(p.sources)) {
		o.Sources = append(o.Sources, Source{name, "build/tarball"})
	}
	o.Needs = append(o.Needs, "build/aur/demo-bin")
	env := pipeline.Env{Project: "demo", Version: "1.2.3", Commit: strings.Repeat("ab", 20), Time: time.Date(2026, 11, 21, 20, 30, 40, 0, time.UTC)}
	plan, err := pipeline.NewPlan(t.Context(), env, phase{"build", []pipeline.Step{files, sources}},
		phase{"aur", []pipeline.Step{given{id: "aur/published/demo-bin"}, Step(o)}})
	must(t, err)
	dir := t.TempDir()
	j, err := journal.Open(dir)
	must(t, err)
	defer j.Close()
	po := pipeline.Options{Journal: j, Dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")}}
	must(t, plan.Run(t.Context(), po))
	s, err := plan.Survey(po)
	must(t, err)
	last := s.Steps[len(s.Steps)-1]
	out := verdicts{}
	for _, e := range last.Last.Evidence {
		out[e.Check] = e
		for what, text := range map[string]string{"expected": e.Expected, "found": e.Found, "summary": e.Summary} {
			for _, not := range []string{os.TempDir() + "/", dir, "/slipway/", "slipway-box", "\x1b", "\n", "2026"} {
				if strings.Contains(text, not) {
					t.Errorf("%s: %s shows %q: %q", e.Check, what, not, text)
				}
			}
		}
	}
	if len(out) != len(Checks()) {
		t.Errorf("reported %d checks: %v", len(out), out)
	}
	noCanary(t)
	return out
}

// want compares verdicts: every check that is not named must have passed.
func (v verdicts) want(t *testing.T, wanted map[string]string) {
	t.Helper()
	for _, name := range Checks() {
		e := v[name]
		w, text, _ := strings.Cut(wanted[name], ": ")
		if w == "" {
			w = "pass"
		}
		found := e.Found
		if e.Verdict == gate.Unknown {
			found = e.Summary
		}
		if e.Verdict.String() != w || !strings.Contains(found, text) {
			t.Errorf("%s: want %s %q, got %s, expected %q, found %q, summary %q", name, w, text, e.Verdict, e.Expected, e.Found, e.Summary)
		}
	}
}

func (v verdicts) digests() map[string]string {
	out := map[string]string{}
	for name, e := range v {
		out[name] = e.Digest()
	}
	return out
}

// noCanary: nothing in what was judged reached this machine.
func noCanary(t *testing.T) {
	t.Helper()
	for _, dir := range []string{".", os.TempDir(), "/var/tmp"} {
		if _, err := os.Lstat(filepath.Join(dir, "canary")); err == nil {
			t.Errorf("something was written into %s", dir)
		}
	}
}

// tarball packs files below one folder; what begins with #! may be run.
func tarball(t *testing.T, top string, files map[string]string) string {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := &tar.Header{Name: top + "/" + name, Mode: 0o644, Size: int64(len(files[name]))}
		if to, ok := strings.CutPrefix(files[name], "-> "); ok {
			h.Typeflag, h.Linkname, h.Size, h.Mode = tar.TypeSymlink, to, 0, 0o777
		}
		if strings.HasPrefix(files[name], "#!") {
			h.Mode = 0o755
		}
		must(t, tw.WriteHeader(h))
		if h.Typeflag != tar.TypeSymlink {
			_, err := tw.Write([]byte(files[name]))
			must(t, err)
		}
	}
	must(t, errors.Join(tw.Close(), zw.Close()))
	return buf.String()
}

var payload = map[string]string{
	"bin/demo":                        "#!/bin/sh\necho demo 1.2.3\n",
	"share/licenses/demo/LICENSE":     "MIT\n",
	"share/demo/$(touch canary)":      "x",
	"share/demo/`touch canary` '\" *": "y",
}

const unpack = `	install -dm755 "${pkgdir}/usr"
	bsdtar -xf "${srcdir}/demo-${pkgver}-x86_64.tar.gz" -C "${pkgdir}/usr" --no-same-owner --strip-components=1
	install -Dm644 "${pkgdir}/usr/share/licenses/demo/LICENSE" "${pkgdir}/usr/share/licenses/${pkgname}/LICENSE"
`

// demo is a package that installs a tarball of the payload, with more text in its PKGBUILD before package() and in it.
func demo(t *testing.T, version string, files map[string]string, before, inside string) pkg {
	t.Helper()
	ball := tarball(t, "demo-"+version+"-x86_64", files)
	name := "demo-" + version + "-x86_64.tar.gz"
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(ball)))
	p := pkg{sources: map[string]string{name: "=" + ball}}
	p.files = map[string]string{
		"LICENSE": "Permission to use, copy, modify\n",
		"PKGBUILD": `# Maintainer: Demo <demo at example dot org>
pkgname='demo-bin'
pkgver='` + version + `'
pkgrel='1'
pkgdesc='Say the version'
arch=('x86_64')
url='https://demo.example/'
license=('MIT')
provides=('demo='"${pkgver}")
conflicts=('demo')
options=('!strip' '!debug')
noextract=('demo-'"${pkgver}"'-x86_64.tar.gz')
source=('demo-'"${pkgver}"'-x86_64.tar.gz::https://demo.example/v'"${pkgver}"'/demo-'"${pkgver}"'-x86_64.tar.gz')
sha256sums=('` + sum + `')
` + before + `
package() {
` + unpack + inside + `
}
`,
		".SRCINFO": strings.ReplaceAll(`pkgbase = demo-bin
	pkgdesc = Say the version
	pkgver = VERSION
	pkgrel = 1
	url = https://demo.example/
	arch = x86_64
	license = MIT
	provides = demo=VERSION
	conflicts = demo
	noextract = demo-VERSION-x86_64.tar.gz
	options = !strip
	options = !debug
	source = demo-VERSION-x86_64.tar.gz::https://demo.example/vVERSION/demo-VERSION-x86_64.tar.gz
	sha256sums = SUM

pkgname = demo-bin
`, "VERSION", version),
	}
	p.files[".SRCINFO"] = strings.ReplaceAll(p.files[".SRCINFO"], "SUM", sum)
	p.o.Start = [][]string{{"/usr/bin/demo", "--version"}}
	p.o.Previous = func(context.Context, *pipeline.Workspace) (Published, error) { return Published{None: true}, nil }
	return p
}

// published makes a package what stands in the AUR.
func (p pkg) published(t *testing.T) func(context.Context, *pipeline.Workspace) (Published, error) {
	t.Helper()
	out := Published{Files: t.TempDir(), Sources: t.TempDir()}
	for name, text := range p.files {
		must(t, os.WriteFile(filepath.Join(out.Files, name), []byte(text), 0o644))
	}
	for name, text := range p.sources {
		must(t, os.WriteFile(filepath.Join(out.Sources, name), []byte(strings.TrimPrefix(text, "=")), 0o644))
	}
	return func(context.Context, *pipeline.Workspace) (Published, error) { return out, nil }
}
