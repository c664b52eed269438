// Package inspect opens finished packages again, from disk, and compares what is in them with what they were made of
// and with what release.yaml asks of it.
//
// A package is read as a stranger's would be: see package archive. What it holds is evidence, good or bad; only where it
// cannot be looked at, because a disk fails for instance, is the verdict unknown.
package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/internal/archive"
	content "github.com/imrightguy/slipway/phases/internal/inspect"
	"github.com/imrightguy/slipway/phases/internal/size"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// The names of the checks, beside those of package content checks, see [content.Checks].
const (
	Contents  = "contents"  // a package holds exactly the files of its bundle, and its version is the planned one
	Size      = "size"      // a package, or a bundle, is as large as it should be
	Checksums = "checksums" // checksum files name the packages with their digests
	AUR       = "aur"       // PKGBUILD, .SRCINFO and the packages agree
)

// Rules say what is asked of a bundle and of each package made of it.
type Rules struct {
	Bundle bundle.Config // its required and forbidden paths, and its rules
	Size   size.Band     // of the package's file
}

// Bundle returns the step that inspects a bundle, before anything is packed.
func Bundle(name, goarch string, cfg bundle.Config) pipeline.Step {
	tree := bundle.Artifact(name, goarch)
	s := newStep("bundle/"+name+"/"+goarch, goarch, Rules{Bundle: cfg}, bundle.StepID(name, goarch))
	s.read = func(_ context.Context, ws *pipeline.Workspace) (*reading, error) {
		in, err := inputs(ws, tree)
		if err != nil {
			return nil, err
		}
		entries, err := archive.Tree(in[0].path)
		if err != nil {
			return nil, err
		}
		rd := &reading{subjects: in, name: fmt.Sprintf("bundle %s for %s", name, goarch), tree: entries}
		rd.open = func(e archive.Entry) (content.File, error) { return openIn(in[0].path, e.Path) }
		return rd, nil
	}
	s.spec.Inputs = []string{"artifact:" + tree}
	s.spec.Checks = content.Checks()
	if cfg.Rules.Size != (size.Band{}) {
		s.spec.Checks = append(s.spec.Checks, Size)
	}
	return s
}

// newPackage is the step for one file made of a bundle.
func newPackage(file, maker, of, goarch string, r Rules) *step {
	s := newStep(file, goarch, r, maker, bundle.StepID(of, goarch))
	s.spec.Inputs = []string{"artifact:" + file, "artifact:" + bundle.Artifact(of, goarch)}
	s.spec.Checks = append([]string{Contents}, content.Checks()...)
	if r.Size != (size.Band{}) {
		s.spec.Checks = append(s.spec.Checks, Size)
	}
	r.Bundle.Rules.Size = size.Band{} // that is the bundle's own
	s.rules = r
	return s
}

func newStep(id, goarch string, r Rules, needs ...string) *step {
	params := map[string]string{}
	if b, err := json.Marshal(map[string]any{ // texts and numbers only: there is no error
		"required": r.Bundle.Required, "forbidden": r.Bundle.Forbidden, "rules": r.Bundle.Rules, "size": r.Size,
	}); err == nil {
		params["rules"] = string(b)
	}
	return &step{rules: r, arch: goarch, spec: pipeline.Spec{ID: "build/inspect/" + id, Needs: needs, Effect: pipeline.Local, Params: params}}
}

// step reports several checks of one subject. With effect Local the evidence is kept while it is unchanged.
type step struct {
	spec  pipeline.Spec
	arch  string
	rules Rules
	read  func(context.Context, *pipeline.Workspace) (*reading, error)
}

// reading is what was read of a bundle or package.
type reading struct {
	subjects []input
	name     string
	packed   *report                                   // what was found out while it was read; nil for a bundle
	tree     []archive.Entry                           // what it installs, as below /usr
	open     func(archive.Entry) (content.File, error) // of the tree
}

func (s *step) Spec() pipeline.Spec { return s.spec }

func (s *step) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	evidence, err := s.evidence(ctx, ws)
	if ctx.Err() != nil {
		return nil, ctx.Err() // interrupted, which says nothing about what was looked at
	}
	for _, name := range s.spec.Checks {
		e, ok := evidence[name]
		switch {
		case ok:
		case err != nil:
			e = pipeline.Evidence{Verdict: gate.Unknown, Summary: err.Error()}
		default:
			e = pipeline.Evidence{Verdict: gate.Unknown, Summary: "it cannot be looked at: see " + Contents}
		}
		e.Check = name
		ws.Report(e)
	}
	return nil, nil
}

// evidence by the names of checks, as much as there is.
func (s *step) evidence(ctx context.Context, ws *pipeline.Workspace) (map[string]pipeline.Evidence, error) {
	all := map[string]pipeline.Evidence{}
	rd, err := s.read(ctx, ws)
	if err != nil {
		return all, err
	}
	if rd.packed != nil {
		all[Contents] = rd.packed.evidence()
		file := rd.subjects[0]
		if s.rules.Size != (size.Band{}) {
			all[Size] = rd.result(content.Size(s.rules.Size, file.artifact.Name, file.artifact.Size))
		}
		if rd.open == nil { // damaged
			return all, nil
		}
	}
	v, err := version.Parse(ws.Env.Version)
	if err != nil {
		return all, err
	}
	results, err := content.Inspect(ctx, s.rules.Bundle.Rules, content.Tree{
		Name: rd.name, Arch: s.arch, Version: v, Entries: rd.tree, Open: rd.open,
		Required: s.rules.Bundle.Required, Forbidden: s.rules.Bundle.Forbidden,
	})
	if err != nil {
		return all, err
	}
	for _, r := range results {
		all[r.Check] = rd.result(r)
	}
	return all, nil
}

func (rd *reading) result(r content.Result) pipeline.Evidence {
	rep := report{subjects: rd.subjects, name: rd.name, expected: r.Expected, passed: r.Passed}
	rep.differences(r.Faults...)
	return rep.evidence()
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

// below lists what stands below prefix, which is cut off, or keeps its own folder where that is one of keep.
func below(entries []archive.Entry, prefix string, keep ...string) []archive.Entry {
	var out []archive.Entry
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Path, prefix+"/")
		for _, k := range keep {
			if e.Path == k || strings.HasPrefix(e.Path, k+"/") {
				rest, ok = e.Path, true
			}
		}
		if ok {
			e.Path = rest
			out = append(out, e)
		}
	}
	archive.Sort(out)
	return out
}
