// Package judge proves an AUR package before it is pushed, by Arch's own tools and in a sandbox:
//
//	aur-srcinfo    makepkg prints the .SRCINFO that is there, byte for byte
//	aur-sources    makepkg verifies the sources against the PKGBUILD's sums; no sum is skipped
//	aur-build      makepkg builds the package, twice, the same bytes both times
//	aur-contents   the package, opened again, is the planned version and carries it; it holds nothing that no package
//	               should, belongs to root, and has its licence
//	aur-install    pacman installs it into an empty root, and no file differs from the package
//	aur-start      its programs start, and those that are asked for their version tell the planned one
//	aur-upgrade    `pacman -Syu` takes a system that has the version published before to this one
//	aur-remove     removing it leaves nothing behind
//
// What makepkg reads are the files that are to be pushed and the sources under their local names, nothing else: no file
// of this machine, and no network. That the bytes of the sources are the published ones is what the step aur/published
// has shown.
//
// A PKGBUILD is a program, also one that was published before, and so is what it installs: all of them run in boxes of
// package sandbox, without root rights, with limits, and nothing of them is left. What a tool refuses is fail, in its own
// words. What could not be seen, for want of a tool, of a sandbox, of a library, or because it took too long, is unknown
// with the reason. Neither dependencies are resolved nor install scriptlets run.
//
// What is said here of the tools holds for makepkg and pacman 6.0.2.
package judge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/makepkg"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/phases/internal/sandbox"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// The names of the checks.
const (
	SRCINFO  = "aur-srcinfo"
	Sources  = "aur-sources"
	Build    = "aur-build"
	Contents = "aur-contents"
	Install  = "aur-install"
	Start    = "aur-start"
	Upgrade  = "aur-upgrade"
	Remove   = "aur-remove"
)

// Checks lists them in the order in which they are reported.
func Checks() []string {
	return []string{SRCINFO, Sources, Build, Contents, Install, Start, Upgrade, Remove}
}

// Tools lists the programs that the judges need.
func Tools() []string {
	return append(append([]string{"bwrap", "setpriv", "tar", "repo-add"}, makepkg.BuildTools...), "pacman")
}

// Source is an artifact that the package may install, and the step that makes it.
type Source struct{ Artifact, Step string }

// Options say what is judged.
type Options struct {
	Phase   string   // whose step it is; "": aur
	Name    string   // of the AUR repository
	Files   []string // artifacts aur/NAME/FILE: all that is to be pushed
	Sources []Source // the release's packages among which the PKGBUILD's sources are, found by their SHA-256
	Needs   []string // steps that the files need, beside those of the Sources and PHASE/published/NAME

	// Payload is the version that the installed files carry. Empty: the release's.
	Payload string
	// Versions are patterns of package glob for files, as below /usr, or etc/NAME, that must carry it. Flutter's version.json files and
	// files called VERSION always must.
	Versions []string
	// Start are programs of the package to start, each with its arguments, like /usr/bin/NAME --version. One with the
	// only argument --version must print the Payload's version, if it prints any.
	Start [][]string
	// Previous finds the package that is published now. Nil: it is not looked for, and the check is unknown.
	Previous func(ctx context.Context, ws *pipeline.Workspace) (Published, error)
	// Limit is how long the whole may take. Zero: ten minutes.
	Limit time.Duration
}

// Published is a package as it stands in the AUR.
type Published struct {
	None    bool   // nothing was published before
	Files   string // a folder with its files
	Sources string // a folder with its sources, by local name
	Why     string // why its sources could not be had, where that is so; the check is unknown then
}

// StepID is the ID of the step that judges a package in the phase aur.
func StepID(name string) string { return subject.Package{Name: name}.StepID("judge") }

// Step returns the step that makes all the checks.
func Step(o Options) pipeline.Step { return &step{o} }

type step struct{ Options }

// limit is how long the judges may take together. A package of a hundred megabytes takes them about a minute.
const limit = 10 * time.Minute

func (s *step) Spec() pipeline.Spec {
	of := subject.Package{Phase: s.Phase, Name: s.Name}
	sp := pipeline.Spec{
		ID: of.StepID("judge"), Effect: pipeline.Local, Needs: append([]string{of.StepID("published")}, s.Needs...),
		Checks: Checks(), Params: map[string]string{"package": s.Name, "payload": s.Payload},
	}
	seen := map[string]bool{}
	for _, n := range sp.Needs {
		seen[n] = true
	}
	for _, f := range s.Files {
		sp.Inputs = append(sp.Inputs, "artifact:"+f)
	}
	for _, src := range s.Options.Sources {
		sp.Inputs = append(sp.Inputs, "artifact:"+src.Artifact)
		if src.Step != "" && !seen[src.Step] {
			seen[src.Step] = true
			sp.Needs = append(sp.Needs, src.Step)
		}
	}
	for key, v := range map[string]any{"start": s.Options.Start, "versions": s.Versions} {
		if b, err := json.Marshal(v); err == nil { // texts only: there is no error
			sp.Params[key] = string(b)
		}
	}
	return sp
}

func (s *step) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	most := s.Limit
	if most == 0 {
		most = limit
	}
	timed, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("it was not done after %v", most))
	defer cancel()
	j := &judges{Options: s.Options, ws: ws, found: map[string]*finding{}, subjects: map[string]string{}}
	for _, name := range Checks() {
		j.found[name] = &finding{expected: j.expected(name)}
	}
	j.tool = versionOf(timed)
	j.judge(timed)
	if ctx.Err() != nil {
		return nil, ctx.Err() // interrupted, which says nothing about what was looked at
	}
	for _, name := range Checks() {
		ws.Report(j.evidence(name))
	}
	return nil, nil
}

// judges is one run of the step. Each check has a finding of its own, which only one goroutine writes.
type judges struct {
	Options
	ws       *pipeline.Workspace
	tool     string
	subjects map[string]string
	paths    []string // of this machine, which no evidence shows
	found    map[string]*finding

	dir     string // everything temporary
	files   string // what is to be pushed
	printed string // makepkg's .SRCINFO
	srcinfo *pkgbuild.SRCINFO
	built   string // the finished package
	size    int64  // of all inputs, bytes
}

// expected is what a check wants to see, in words that are the same whatever it sees.
func (j *judges) expected(name string) string {
	return map[string]string{
		SRCINFO:  ".SRCINFO is what makepkg prints, byte for byte",
		Sources:  "makepkg verifies every source, without network",
		Build:    "makepkg builds the package, the same bytes twice",
		Contents: "the planned version in clean files of root's, with a licence",
		Install:  "pacman installs it into an empty root, 0 altered files",
		Start:    "the programs start",
		Upgrade:  "pacman -Syu ends on this version, 0 altered files",
		Remove:   "removing it leaves nothing",
	}[name]
}

// judge makes the checks. What one cannot see for want of another's outcome is unknown with that reason.
func (j *judges) judge(ctx context.Context) {
	if err := j.prepare(); err != nil {
		j.unknown(err, Checks()...)
		return
	}
	if err := sandbox.Need(append(makepkg.BuildTools, "setpriv", "bwrap", "tar")...); err != nil {
		j.unknown(err, Checks()...)
		return
	}
	if !j.print(ctx) {
		j.unknown(errors.New("makepkg could not read the PKGBUILD"), Checks()[1:]...)
		return
	}
	laid, err := j.lay(ctx)
	if err != nil {
		j.unknown(err, Checks()[1:]...)
		return
	}
	old := &previous{}
	// Each makepkg takes little more than one processor; what is smaller goes beside.
	together(
		func() { j.verify(ctx, laid) },
		func() { j.build(ctx, laid) },
		func() { j.fetch(ctx, old) },
	)
	if j.built == "" {
		j.unknown(errors.New("the package was not built"), Contents, Install, Start, Upgrade, Remove)
		return
	}
	together(
		func() { j.contents(ctx) },
		func() { j.install(ctx) },
		func() { j.start(ctx) },
		func() { j.upgrade(ctx, old) },
	)
}

// together runs functions side by side and waits for all.
func together(all ...func()) {
	var wg sync.WaitGroup
	for _, f := range all {
		wg.Go(f)
	}
	wg.Wait()
}

// prepare makes folders and copies what is to be pushed.
func (j *judges) prepare() error {
	tmp, err := j.ws.Temp()
	if err != nil {
		return err
	}
	j.dir, j.files = tmp, filepath.Join(tmp, "files")
	j.paths = append(j.paths, tmp)
	for _, d := range []string{"files", "old", "built", "again"} {
		if err := os.Mkdir(filepath.Join(tmp, d), 0o755); err != nil {
			return err
		}
	}
	for _, name := range j.Options.Files {
		a, from, err := j.ws.Input(name)
		if err != nil {
			return err
		}
		j.subjects[name] = a.SHA256
		j.size += a.Size
		rel, ok := strings.CutPrefix(name, "aur/"+j.Name+"/")
		if !ok || !filepath.IsLocal(rel) {
			return fmt.Errorf("%q is no file of the package %s", name, j.Name)
		}
		to := filepath.Join(j.files, rel)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := sandbox.CopyFile(from, to, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// step of the judges that could not be made.
func (j *judges) unknown(err error, checks ...string) {
	for _, name := range checks {
		if f := j.found[name]; f.err == nil {
			f.err = err
		}
	}
}

func (j *judges) evidence(name string) pipeline.Evidence {
	f := j.found[name]
	e := pipeline.Evidence{Check: name, Verdict: gate.Pass, Expected: f.expected, Found: f.expected, Subjects: j.subjects, Tool: j.tool}
	if f.saw != "" {
		e.Found = f.saw
	}
	about := "aur/" + j.Name + ": "
	switch {
	case f.total > 0: // what was found stands, whatever could not be looked at after it
		e.Verdict, e.Found = gate.Fail, strings.Join(f.faults, "; ")
		if more := f.total - len(f.faults); more > 0 {
			e.Found += fmt.Sprintf("; and %d more of %d faults", more, f.total)
		}
		e.Summary = about + e.Found
	case f.err != nil:
		e.Verdict, e.Found, e.Summary = gate.Unknown, "", about+j.clean(f.err.Error())
	default:
		e.Summary = about + strings.TrimSuffix(e.Found+"; "+f.note, "; ")
	}
	return e
}
