// Package inspect opens finished packages again, from disk, and compares what is in them with what they were made of.
//
// A package is read as a stranger's would be: see package archive. What it holds is evidence, good or bad; only where it
// cannot be looked at, because a disk fails for instance, is the verdict unknown.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/deb"
	"github.com/imrightguy/slipway/phases/build/tarball"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/check"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// The names of the checks.
const (
	Contents  = "contents"  // a package holds exactly the files of its bundle, and its version is the planned one
	Checksums = "checksums" // checksum files name the packages with their digests
	AUR       = "aur"       // PKGBUILD, .SRCINFO and the tarballs agree
)

// Tarball returns the step that inspects a tarball.
func Tarball(c tarball.Config) pipeline.Step {
	return check.Step(spec(c.File(), c.StepID(), c.Bundle, c.Arch), tarballCheck{c})
}

// Deb returns the step that inspects a Debian package.
func Deb(c deb.Config) pipeline.Step {
	return check.Step(spec(c.File(), c.StepID(), c.Bundle, c.Arch), debCheck{c})
}

// spec is that of a check of one file made of a bundle. With effect Local the evidence is kept while both are unchanged.
func spec(file, maker, of, goarch string) pipeline.Spec {
	return pipeline.Spec{
		ID:     "build/inspect/" + file,
		Needs:  []string{maker, bundle.StepID(of, goarch)},
		Effect: pipeline.Local,
		Inputs: []string{"artifact:" + file, "artifact:" + bundle.Artifact(of, goarch)},
	}
}

type tarballCheck struct{ tarball.Config }

func (tarballCheck) Name() string { return Contents }

func (c tarballCheck) Check(ctx context.Context, ws *pipeline.Workspace) (pipeline.Evidence, error) {
	in, err := inputs(ws, c.File(), bundle.Artifact(c.Bundle, c.Arch))
	if err != nil {
		return pipeline.Evidence{}, err
	}
	tree, err := archive.Tree(in[1].path)
	if err == nil {
		err = archive.Hash(ctx, in[1].path, tree)
	}
	if err != nil {
		return pipeline.Evidence{}, err
	}
	want := []archive.Entry{{Path: c.Top(), Mode: os.ModeDir | 0o755, ModTime: tarball.Time(&ws.Env)}}
	for _, e := range tree {
		e.Path, e.ModTime = c.Top()+"/"+e.Path, tarball.Time(&ws.Env)
		want = append(want, e)
	}
	r := report{subjects: in, expected: summary(want), passed: holds(c.File(), len(tree))}
	err = in[0].open(func(f io.Reader) error {
		got, err := archive.ReadTarGz(ctx, f, limits(want))
		r.differences(archive.Diff(want, got)...)
		return err
	})
	return r.evidence(err)
}

type debCheck struct{ deb.Config }

func (debCheck) Name() string { return Contents }

func (c debCheck) Check(ctx context.Context, ws *pipeline.Workspace) (pipeline.Evidence, error) {
	in, err := inputs(ws, c.File(), bundle.Artifact(c.Bundle, c.Arch))
	if err != nil {
		return pipeline.Evidence{}, err
	}
	layout, err := deb.Layout(c.Config, &ws.Env, in[1].path)
	if err == nil {
		err = deb.Hash(layout)
	}
	if err != nil {
		return pipeline.Evidence{}, err
	}
	var want []archive.Entry
	for _, f := range layout {
		want = append(want, f.Entry)
	}
	r := report{subjects: in, expected: fmt.Sprintf("%s %s for %s, %s", c.Config.Name, c.FullVersion(), c.Arch, summary(want)), passed: holds(c.File(), len(layout))}
	err = in[0].open(func(f io.Reader) error {
		got, err := archive.ReadDeb(ctx, f, limits(want))
		if err != nil {
			return err
		}
		for _, field := range []archive.Field{{Name: "Package", Value: c.Config.Name}, {Name: "Version", Value: c.FullVersion()}, {Name: "Architecture", Value: c.Arch}} {
			if found := got.Field(field.Name); found != field.Value {
				r.differences(fmt.Sprintf("%s is %q, want %q", field.Name, found, field.Value))
			}
		}
		r.differences(archive.Diff(controlFiles(got.Members, &ws.Env), got.Members)...)
		r.differences(archive.Diff(want, got.Entries)...)
		return nil
	})
	return r.evidence(err)
}

// controlFiles is what the control archive holds, no maintainer script among it. The content is looked at elsewhere: of
// the control file its fields, of md5sums every sum.
func controlFiles(got []archive.Entry, env *pipeline.Env) []archive.Entry {
	want := []archive.Entry{{Path: "control"}, {Path: "md5sums"}}
	for i := range want {
		want[i].Mode, want[i].ModTime = 0o644, tarball.Time(env)
		for _, e := range got {
			if e.Path == want[i].Path {
				want[i].Size, want[i].SHA256 = e.Size, e.SHA256
			}
		}
	}
	return want
}

// summary describes a tree in a few words that change with any of its names, modes and bytes.
func summary(entries []archive.Entry) string {
	return fmt.Sprintf("%d files, folders and links with listing %.16s", len(entries), archive.Digest(entries))
}

func holds(file string, entries int) string {
	return fmt.Sprintf("%s holds its %d files, folders and links", file, entries)
}

// limits allow what is expected, and a little more for a good message.
func limits(want []archive.Entry) archive.Limits {
	lim := archive.Limits{Entries: len(want) + 1000, Bytes: 16 << 20}
	for _, e := range want {
		lim.Bytes += e.Size
	}
	return lim
}

// input is an artifact as it lies on the disk.
type input struct {
	artifact pipeline.Artifact
	path     string
}

func inputs(ws *pipeline.Workspace, names ...string) ([]input, error) {
	var out []input
	for _, name := range names {
		a, path, err := ws.Input(name)
		if err != nil {
			return nil, err
		}
		out = append(out, input{a, path})
	}
	return out, nil
}

func (in input) open(read func(io.Reader) error) error {
	f, err := os.Open(in.path)
	if err != nil {
		return err
	}
	return errors.Join(read(f), f.Close())
}

// report collects differences.
type report struct {
	subjects []input
	expected string
	passed   string // one line for people
	shown    []string
	total    int
}

// How much evidence shows: the first differences, each cut to a length, and the number of all.
const (
	maxShown = 5
	maxText  = 240
)

func (r *report) differences(list ...string) {
	for _, d := range list {
		if r.total++; len(r.shown) < maxShown {
			r.shown = append(r.shown, line(d))
		}
	}
}

// evidence is the verdict. An error that is a [*archive.BadError] is a difference, any other one means that it could not
// be looked at.
func (r *report) evidence(err error) (pipeline.Evidence, error) {
	e := pipeline.Evidence{Verdict: gate.Pass, Expected: r.expected, Found: r.expected, Subjects: map[string]string{}}
	for _, s := range r.subjects {
		e.Subjects[s.artifact.Name] = s.artifact.SHA256
	}
	if is, ok := errors.AsType[*archive.BadError](err); ok {
		r.shown, r.total, err = []string{line(is.Why)}, 1, nil
	}
	if r.total > 0 {
		e.Verdict, e.Found = gate.Fail, strings.Join(r.shown, "; ")
		if more := r.total - len(r.shown); more > 0 {
			e.Found += fmt.Sprintf("; and %d more of %d differences", more, r.total)
		}
		e.Summary = fmt.Sprintf("%s: %s", r.subjects[0].artifact.Name, e.Found)
	} else {
		e.Summary = r.passed
	}
	return e, err
}

// line makes a short line of plain text of what may come out of a stranger's file.
func line(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "..."
	}
	return s
}
