package judge

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/build/aur"
	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/deb"
	"github.com/imrightguy/slipway/phases/internal/check"
	"github.com/imrightguy/slipway/phases/internal/sandbox"
	"github.com/imrightguy/slipway/phases/internal/tool"
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

// need skips a test whose tool is missing; where CI is set that is a failure, for a judge that is not there must be
// noticed.
func need(t *testing.T, judges ...string) {
	t.Helper()
	for _, p := range Examine() {
		if !slices.Contains(judges, p.Judge) || p.Path != "" {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing", p.Name)
		}
		t.Skipf("%s is missing", p.Name)
	}
	if !slices.Contains(judges, Makepkg) && !slices.Contains(judges, Pacman) {
		return
	}
	b, err := sandbox.New(t.Context())
	must(t, err)
	must(t, b.Close())
	if err := b.Isolation.Err(); err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	} else if err != nil {
		t.Skip(err)
	}
}

// given stands for a step that makes artifacts: files by content, or trees by their files.
type given struct {
	id    string
	files map[string]string            // artifact to content
	trees map[string]map[string]string // artifact to files: content, or "-> target" for a link
}

func (g given) Spec() pipeline.Spec {
	sp := pipeline.Spec{ID: g.id, Effect: pipeline.Local}
	for name := range g.files {
		sp.Outputs = append(sp.Outputs, name)
	}
	for name := range g.trees {
		sp.Outputs = append(sp.Outputs, name)
	}
	slices.Sort(sp.Outputs)
	return sp
}

func (g given) Run(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	for name, text := range g.files {
		p, err := ws.Create(pipeline.Artifact{Name: name, Kind: "file"})
		if err == nil {
			err = os.WriteFile(p, []byte(text), 0o644)
		}
		if err != nil {
			return nil, err
		}
	}
	for name, files := range g.trees {
		dir, err := ws.Create(pipeline.Artifact{Name: name, Kind: pipeline.KindTree})
		if err == nil {
			err = plant(dir, files)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// plant writes files; what begins with #! may be executed.
func plant(dir string, files map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			if err := os.Symlink(to, p); err != nil {
				return err
			}
			continue
		}
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := errors.Join(os.WriteFile(p, []byte(text), mode), os.Chmod(p, mode)); err != nil {
			return err
		}
	}
	return nil
}

type phase []pipeline.Step

func (phase) Name() string { return "build" }

func (p phase) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) { return p, nil }

// run runs steps, the judge the last of them, and answers with its state and the folder of the artifacts.
func runSteps(ctx context.Context, t *testing.T, steps ...pipeline.Step) (pipeline.StepState, pipeline.Dirs, error) {
	t.Helper()
	plan, err := pipeline.NewPlan(t.Context(), pipeline.Env{Project: "demo", Version: "1.2.3", Commit: strings.Repeat("ab", 20), Time: time.Date(2026, 11, 21, 20, 30, 40, 0, time.UTC)}, phase(steps))
	must(t, err)
	dir := t.TempDir()
	j, err := journal.Open(dir)
	must(t, err)
	defer j.Close()
	o := pipeline.Options{Journal: j, Dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")}}
	runErr := plan.Run(ctx, o)
	s, err := plan.Survey(o)
	must(t, err)
	return s.Steps[len(s.Steps)-1], o.Dirs, runErr
}

// judged is the evidence of the last step.
func judged(t *testing.T, steps ...pipeline.Step) pipeline.Evidence {
	t.Helper()
	s, dirs, err := runSteps(t.Context(), t, steps...)
	must(t, err)
	if len(s.Last.Evidence) != 1 {
		t.Fatalf("want one evidence, got %+v", s.Last)
	}
	e := s.Last.Evidence[0]
	for what, text := range map[string]string{"expected": e.Expected, "found": e.Found, "summary": e.Summary} {
		for _, not := range []string{os.TempDir(), dirs.Dist, "/slipway", "\x1b", "\n", "2026"} {
			if strings.Contains(text, not) {
				t.Errorf("%s shows %q: %q", what, not, text)
			}
		}
	}
	for _, in := range s.Spec.Inputs {
		name := strings.TrimPrefix(in, "artifact:")
		if e.Verdict != gate.Unknown && len(e.Subjects[name]) != 64 {
			t.Errorf("%s is no subject of the evidence: %v", name, e.Subjects)
		}
	}
	return e
}

// wants compares a verdict and what was found: every text of want is in it.
func wants(t *testing.T, e pipeline.Evidence, v gate.Verdict, want ...string) {
	t.Helper()
	found := e.Found
	if v == gate.Unknown {
		found = e.Summary
	}
	for _, w := range want {
		if !strings.Contains(found, w) {
			t.Errorf("%q is not in %q", w, found)
		}
	}
	if e.Verdict != v {
		t.Errorf("verdict %s, want %s: %+v", e.Verdict, v, e)
	}
	if v == gate.Pass && e.Found != e.Expected {
		t.Errorf("passed, but found %q where %q was expected", e.Found, e.Expected)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	must(t, Validate(Known()))
	must(t, Validate(nil))
	for text, want := range map[string]string{
		"lintain": `did you mean "lintian"?`, "desktop-validate": `did you mean "desktop-file-validate"?`,
		"pac-man": `did you mean "pacman"?`, "appstream": `did you mean "appstreamcli"?`, "LINTIAN": `did you mean "lintian"?`,
		"namcap": `unknown judge "namcap": there are lintian, dpkg`, "": `unknown judge ""`, "-\x1b": `unknown judge "-\x1b"`,
	} {
		if err := Validate([]string{"dpkg", text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	if err := Validate([]string{"dpkg", "pacman", "dpkg"}); err == nil || err.Error() != `judge "dpkg" is listed twice` {
		t.Errorf("got %v", err)
	}
}

// TestSteps: each judge has a step with an ID of its own, which reads only what it judges.
func TestSteps(t *testing.T) {
	t.Parallel()
	for _, name := range Known() {
		var s pipeline.Step
		switch Of(name) {
		case Debs:
			s = Deb(name, debConfig())
		case Bundles:
			s = Bundle(name, "demo", "amd64")
		case AURs:
			s = AUR(name, aurConfig())
		default:
			t.Fatalf("%s judges nothing", name)
		}
		sp := s.Spec()
		of := map[Subject]string{Debs: "demo_1.2.3_amd64.deb", Bundles: "demo/amd64", AURs: "demo-bin"}[Of(name)]
		if sp.ID != "build/judge/"+name+"/"+of || sp.Effect != pipeline.Local || !slices.Equal(sp.Checks, []string{name}) || len(sp.Outputs) != 0 || len(sp.Inputs) == 0 {
			t.Errorf("%+v", sp)
		}
	}
	if Of("namcap") != "" {
		t.Error("namcap judges something")
	}
}

// TestMissing is not parallel: it takes all tools away. What cannot be judged is unknown, and says what to install.
func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	defer func(old []string) { sandbox.Path = old }(sandbox.Path)
	var file string
	if path, err := exec.LookPath("/usr/bin/dpkg-deb"); err == nil {
		file = makeDeb(t, path, nil)
	}
	sandbox.Path = []string{t.TempDir()}
	for name, want := range map[string]string{
		Lintian: "install the Debian package lintian", Dpkg: "install the Debian package dpkg",
		Desktop: "install the Debian package desktop-file-utils", AppStream: "install the Debian package appstream",
		Makepkg: "install the Debian package makepkg", Pacman: "install the Debian package makepkg",
	} {
		t.Run(name, func(t *testing.T) {
			var e pipeline.Evidence
			switch Of(name) {
			case Debs:
				if file == "" {
					need(t, Dpkg)
				}
				e = judged(t, given{id: debConfig().StepID(), files: map[string]string{debConfig().File(): file}}, Deb(name, debConfig()))
			case Bundles:
				e = judged(t, tree(desktopFiles), Bundle(name, "demo", "amd64"))
			case AURs:
				e = judgeAUR(t, name, nil)
			}
			wants(t, e, gate.Unknown, want)
		})
	}
	for _, p := range Examine() {
		if p.Path != "" || p.Debian == "" || Of(p.Judge) == "" {
			t.Errorf("%+v", p)
		}
	}
}

func TestExamine(t *testing.T) {
	t.Parallel()
	need(t, Known()...)
	var judges []string
	for _, p := range Examine() {
		if !filepath.IsAbs(p.Path) || p.Debian == "" {
			t.Errorf("%+v", p)
		}
		judges = append(judges, p.Judge)
	}
	if got := slices.Compact(judges); !slices.Equal(got, Known()) {
		t.Errorf("examined %q", got)
	}
}

// TestInterrupted: an interrupt says nothing about what was judged.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	need(t, Desktop)
	ctx, cancel := context.WithCancel(t.Context())
	s, _, err := runSteps(ctx, t, tree(desktopFiles), meanwhile{Bundle(Desktop, "demo", "amd64"), cancel})
	if !errors.Is(err, context.Canceled) || len(s.Last.Evidence) != 0 || s.Last.Event == pipeline.Done {
		t.Errorf("got %v, %+v", err, s.Last)
	}
}

// meanwhile does something when a step begins.
type meanwhile struct {
	pipeline.Step
	do func()
}

func (m meanwhile) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	m.do()
	return m.Step.Run(ctx, ws)
}

// TestWrongSubject: a judge that is asked for something else does not pass it.
func TestWrongSubject(t *testing.T) {
	t.Parallel()
	wants(t, judged(t, tree(desktopFiles), Bundle(Lintian, "demo", "amd64")), gate.Unknown, "lintian does not judge this")
}

// TestReport_Unknown: only a tool's refusal is a fault; one that could not be run, or was killed, is not.
func TestReport_Unknown(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		&sandbox.MissingError{Tool: "makepkg", Package: "makepkg"}, &sandbox.StartError{Tool: "pacman", Why: "a signal ended it"},
		&sandbox.OpenError{Reason: "bwrap does not work here"}, &tool.TimeoutError{Program: "lintian", Limit: time.Minute}, fs.ErrPermission,
	} {
		if _, is := refused(err); is {
			t.Errorf("%v is taken for a refusal", err)
		}
		r := &report{about: "x", expected: "y"}
		if e, got := r.evidence(err); got == nil || e.Found != "" {
			t.Errorf("%v gives %+v, %v", err, e, got)
		}
	}
	if tail, is := refused(&tool.ExitError{Program: "makepkg", Code: 4, Tail: "x"}); !is || tail != "x" {
		t.Error("a refusal is not seen")
	}
}

// TestLimit: a judge that does not end is unknown, whatever was found until then.
func TestLimit(t *testing.T) {
	t.Parallel()
	j := judge{Lintian, 20 * time.Millisecond, func(ctx context.Context, _ *pipeline.Workspace, r *report) error {
		r.fault("something")
		<-ctx.Done()
		return nil
	}}
	wants(t, judged(t, check.Step(pipeline.Spec{ID: "build/judge/lintian/x", Effect: pipeline.Local}, j)), gate.Unknown, "it was not done after 20ms")
}

// FuzzClean: whatever a tool prints becomes one short line of plain text.
func FuzzClean(f *testing.F) {
	f.Add("E: demo: \x1b[31mtag\u202e /tmp/slipway-box-123/root/x\r\n", "/tmp/x")
	f.Add(strings.Repeat("é", 300), "/")
	f.Add("/a/slipway-box-1/slipway-box-2//slipway/x", "")
	f.Fuzz(func(t *testing.T, text, dir string) {
		r := &report{paths: []string{dir}}
		got := r.clean(text)
		if len(got) > maxText+3 || strings.ContainsFunc(got, func(c rune) bool { return c < ' ' || c == '\u202e' || c == 0x7f }) || strings.ToValidUTF8(got, "") != got {
			t.Errorf("%q gives %q", text, got)
		}
	})
}

func debConfig() deb.Config {
	return deb.Config{Name: "demo", Bundle: "demo", Version: "1.2.3", Upstream: "1.2.3", Revision: 1, Arch: "amd64"}
}

func aurConfig() aur.Config {
	return aur.Config{
		Name: "demo-bin", Tarballs: tarballs("amd64", "arm64"), Version: "1.2.3", Project: "demo", Maintainer: "Demo Release <release@demo.example>",
		Description: "Say the version and end", Homepage: "https://demo.example/", License: "MIT", URL: "https://demo.example/releases/v{{ .Version }}/",
	}
}

// tree is a step that makes the bundle demo.
func tree(files map[string]string) pipeline.Step {
	return treeFor("amd64", files)
}

func treeFor(goarch string, files map[string]string) pipeline.Step {
	return given{id: bundle.StepID("demo", goarch), trees: map[string]map[string]string{bundle.Artifact("demo", goarch): files}}
}
