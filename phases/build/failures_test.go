//go:build linux

package build

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/isolate"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// failure is something that went wrong in a real release, planted into one that passes.
type failure struct {
	number     int    // in the list of what went wrong
	what       string // in the name of the test
	everything bool   // requirements are looked at and programs are run, too
	plant      func(*planting)

	stops string   // the step that ends the run before anything is packed; "": all is built, and the gate refuses it
	fails []string // what fails at the gate: these checks and no others
	// damaged says that a package cannot be read to its end, so that what is in it is unknown besides.
	damaged bool
	says    []string // texts of the error or of the evidence, all of them
}

// planting is a release before it begins.
type planting struct {
	t     *testing.T
	cfg   Config
	files map[string]string
	modes map[string]fs.FileMode
	index []string // for git update-index
	env   func(*pipeline.Env)
	// spoil changes what a step made.
	step  string
	spoil func(name string, b []byte) []byte
}

// replace changes a file of the repository.
func (p *planting) replace(file, old, text string) {
	p.t.Helper()
	if !strings.Contains(p.files[file], old) {
		p.t.Fatalf("%s does not hold %q", file, old)
	}
	p.files[file] = strings.ReplaceAll(p.files[file], old, text)
}

// made changes one file that a step made.
func (p *planting) made(step, file string, edit func(b []byte) []byte) {
	p.step = step
	p.spoil = func(name string, b []byte) []byte {
		if name == file {
			return edit(b)
		}
		return b
	}
}

// bundle changes what goes into the bundle.
func (p *planting) bundle(edit func(*bundleConfig)) {
	b := p.cfg.Bundles["desktop"]
	b.Contents = slices.Clone(b.Contents)
	edit(&b)
	p.cfg.Bundles["desktop"] = b
}

// release makes a release of the application with something planted, or with nothing.
func release(t *testing.T, dir string, everything bool, plant func(*planting)) (*project, *pipeline.Survey, error) {
	t.Helper()
	in := &planting{t: t, cfg: appConfig(t, everything), files: appFiles(), modes: map[string]fs.FileMode{}}
	if plant != nil {
		plant(in)
	}
	p := projectIn(t, dir, in.cfg, nil)
	must(t, os.MkdirAll(p.repo, 0o755))
	p.env.Project, p.env.Version, p.real = "cloudtolocalllm", "3.2.1+1", true
	p.env.Commit, p.env.Time = commitAll(t, p.repo, in.files, in.modes, in.index...)
	if in.env != nil {
		in.env(&p.env)
	}
	if in.spoil != nil {
		good, _ := sound(t, everything)
		p.wrap = func(ph pipeline.Phase) pipeline.Phase { return faulty{ph, in.step, good, in.spoil} }
	}
	s, err := p.run(t.Context())
	return p, s, err
}

var soundOnes [2]struct {
	once sync.Once
	p    *project
	s    *pipeline.Survey
	err  error
}

// sound is the release without any failure, made once: its gate passes.
func sound(t *testing.T, everything bool) (*project, *pipeline.Survey) {
	t.Helper()
	one, name := &soundOnes[0], "sound"
	if everything {
		one, name = &soundOnes[1], "sound-everything"
	}
	one.once.Do(func() { one.p, one.s, one.err = release(t, filepath.Join(shared.dir, name), everything, nil) })
	must(t, one.err)
	return one.p, one.s
}

// isolated skips where programs cannot be kept from the network; in CI what is needed for it has to be installed.
func isolated(t *testing.T) {
	t.Helper()
	_, err := isolate.Run(t.Context(), isolate.Command{Argv: []string{"/bin/true"}, Dir: t.TempDir()})
	if not, ok := errors.AsType[*isolate.UnavailableError](err); ok {
		if os.Getenv("CI") == "true" && strings.Contains(not.Why, "not installed") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	must(t, err)
}

// promised are the numbers of the failures that the build phase has to stop.
var promised = []int{
	1, 6, 7, 8, 9, 10, 12, 13, 15, 18, 19, 20, 21, 22, 23, 24, 26, 27, 28, 31, 32, 33, 35, 36, 43, 44, 47, 51, 52, 53, 54, 55, 56, 57, 59, 61, 62, 65, 66, 67,
}

func failures() []failure {
	return slices.Concat(versionFailures, contentFailures, packageFailures, scriptFailures)
}

// TestGate_Failures plants what went wrong in real releases, one after the other and through the whole phase: the right
// gate stops it with the right message, and nothing else gives alarm. Without it the same release passes ([sound]).
func TestGate_Failures(t *testing.T) {
	t.Parallel()
	for _, n := range promised {
		if !slices.ContainsFunc(failures(), func(f failure) bool { return f.number == n }) {
			t.Errorf("failure %d is not planted", n)
		}
	}
	sound(t, false)
	for _, f := range failures() {
		t.Run(f.what, func(t *testing.T) {
			t.Parallel()
			if f.everything {
				isolated(t)
			}
			sound(t, f.everything)
			p, s, err := release(t, t.TempDir(), f.everything, f.plant)
			if err == nil {
				t.Fatal("it passes")
			}
			said := err.Error()
			if f.stops != "" {
				stopsBefore(t, p, s, err, f.stops)
			} else {
				said += refuses(t, s, err, f.fails, f.damaged)
			}
			for _, text := range f.says {
				if !strings.Contains(said, text) {
					t.Errorf("nothing says %q", text)
				}
			}
			if t.Failed() {
				t.Log(said)
			}
		})
	}
}

// stopsBefore proves that a run ended at a step, and that nothing was packed; where the step is one that looks before
// anything is built, nothing was built either.
func stopsBefore(t *testing.T, p *project, s *pipeline.Survey, err error, step string) {
	t.Helper()
	if errors.Is(err, pipeline.ErrGate) {
		t.Errorf("the gate was reached: %v", err)
	}
	builds := strings.HasPrefix(step, "build/component/")
	for _, ss := range s.Steps {
		switch id := ss.Spec.ID; {
		case id == step && ss.Last.Event != pipeline.Failed:
			t.Errorf("step %s ended otherwise: %s", id, ss.Last.Event)
		case ss.Gate != nil && ss.Gate.Verdict == gate.Pass:
			t.Error("the gate passes")
		case !builds && ss.Last.Event == pipeline.Done && id != "build/version" && id != "build/requirements" && !strings.HasPrefix(id, "build/check/"):
			t.Errorf("step %s was done", id)
		}
	}
	if made, err := filepath.Glob(filepath.Join(p.dirs().Dist, "*")); err != nil || len(made) > 0 {
		t.Errorf("there is %q, %v", made, err)
	}
	if _, err := os.Lstat(p.path("work/bundle")); err == nil {
		t.Error("there is a bundle")
	}
}

// unseen is why the content of a damaged package is unknown.
const unseen = "it cannot be looked at: see contents"

// refuses proves that the gate failed for some checks and no others, and returns what these found.
func refuses(t *testing.T, s *pipeline.Survey, err error, checks []string, damaged bool) string {
	t.Helper()
	var stopped *pipeline.GateError
	if !errors.As(err, &stopped) {
		t.Fatalf("the gate was not reached: %v", err)
	}
	var failed []string
	var said strings.Builder
	for _, ss := range s.Steps {
		for _, e := range ss.Last.Evidence {
			switch {
			case ss.Gate != nil || e.Verdict == gate.Pass:
			case e.Verdict == gate.Fail:
				failed = append(failed, e.Check)
				said.WriteString("\n" + e.Check + ": " + e.Summary + "\n" + e.Found)
			case !damaged || e.Summary != unseen:
				t.Errorf("%s: %s is unknown: %s", ss.Spec.ID, e.Check, e.Summary)
			}
		}
	}
	slices.Sort(failed)
	if failed = slices.Compact(failed); !slices.Equal(failed, slices.Sorted(slices.Values(checks))) {
		t.Errorf("checks %q failed, want %q", failed, checks)
	}
	var blocked []string
	for _, b := range stopped.State.Blocks {
		switch {
		case b.Kind == "failed":
			blocked = append(blocked, b.What)
		case !damaged || b.Why != unseen:
			t.Errorf("blocked: %+v", b)
		}
	}
	slices.Sort(blocked)
	if !slices.Equal(blocked, failed) {
		t.Errorf("the gate names %q, the evidence %q", blocked, failed)
	}
	return said.String()
}

// settledBy is the check that is settled by a step that ends the run where something is wrong.
var settledBy = map[string]string{"version": "build/version", "requirements": "build/requirements"}

// TestGate_065_EveryCheckFails: there is no check in the phase that is not proved to fail when it should. Each is made to
// fail by one of the failures, or by TestGate_065_EveryJudgeFails.
func TestGate_065_EveryCheckFails(t *testing.T) {
	t.Parallel()
	cfg := appConfig(t, true)
	failing := map[string]bool{}
	for _, f := range failures() {
		for _, name := range f.fails {
			failing[name] = true
		}
		failing[f.stops] = true
	}
	_, s := sound(t, true)
	var reported []string
	for _, ss := range s.Steps {
		reported = append(reported, ss.Spec.Checks...)
	}
	slices.Sort(reported)
	reported = slices.Compact(reported)
	if want := slices.Sorted(slices.Values(cfg.Reported())); !slices.Equal(reported, want) {
		t.Errorf("the plan reports %q, the configuration says %q", reported, want)
	}
	for _, name := range reported {
		if !failing[name] && !failing[settledBy[name]] {
			t.Errorf("nothing proves that check %q can fail", name)
		}
	}
	// The checks of what a bundle and a package hold fail for packages, too, not for the bundle alone.
	inside := map[string]bool{}
	for _, f := range failures() {
		p := &planting{t: t, cfg: appConfig(t, f.everything), files: appFiles(), modes: map[string]fs.FileMode{}}
		if f.plant(p); p.spoil != nil {
			for _, name := range f.fails {
				inside[name] = true
			}
		}
	}
	for _, name := range []string{"contents", "paths", "text", "modes", "libraries", "versions", "icons", "desktop", "size", "checksums", "aur"} {
		if !inside[name] {
			t.Errorf("nothing proves that check %q fails for what is in a finished package", name)
		}
	}
}

// with is a copy of a map with something put in.
func with[V any](m map[string]V, name string, v V) map[string]V {
	m = maps.Clone(m)
	m[name] = v
	return m
}
