// Package source makes checks of the sources that a release is built from: texts that have to stand there or must not,
// paths that have to be tracked or must not, scripts that can be started, files that are not too large.
//
// What is looked at is the clean checkout of the release's commit, never the folder that somebody works in. So a file
// that .gitignore hides, or that nobody has added, is simply not there.
//
// Every check of this kind also finds what is left of a submodule: git lays it out as an empty folder, and keeps no
// other empty folders. (Laying out the version commit refuses submodules before that; this does not depend on it.)
package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/internal/check"
	"github.com/imrightguy/slipway/phases/internal/glob"
	"github.com/imrightguy/slipway/phases/internal/size"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// Config is a check of the sources. Patterns are those of bundles: * and ? within a folder, ** for any folders.
type Config struct {
	// Source are patterns of the files whose texts and sizes are looked at. Left out: all files.
	Source []string `yaml:"source,omitempty"`
	// RequiredText lists texts each of which has to stand in one of these files at least.
	RequiredText []string `yaml:"required_text,omitempty"`
	// ForbiddenText lists texts that must stand in none of these files.
	ForbiddenText []string `yaml:"forbidden_text,omitempty"`
	// MaxFile is the size that none of these files may exceed, like 50MB.
	MaxFile size.Bytes `yaml:"max_file,omitempty" jsonschema:"oneof_type=string;integer"`
	// Required are patterns of paths each of which has to match a file, link or folder of the commit.
	Required []string `yaml:"required,omitempty"`
	// Forbidden are patterns of paths that must match nothing in the commit.
	Forbidden []string `yaml:"forbidden,omitempty"`
	// Executable are patterns of scripts and programs. Those of the files matched that begin with #! or are ELF programs
	// have to be executable, and there has to be one for each pattern.
	Executable []string `yaml:"executable,omitempty"`
}

// Junk are patterns of what editors, merges, file managers and people leave behind, for use as Forbidden.
var Junk = []string{
	"**/*.backup", "**/*.build-backup", "**/*.bak", "**/*.orig", "**/*.rej", "**/*~", "**/*.swp", "**/.*.swo", "**/#*#",
	"**/.DS_Store", "**/Thumbs.db", "**/desktop.ini", "**/backups", "**/*.pyc", "**/__pycache__", "**/nohup.out",
}

const maxText = 500 // bytes of a text that is looked for

// Validate joins an error for each fault.
func (c Config) Validate() error {
	var errs []error
	for _, list := range []struct {
		key      string
		patterns []string
	}{{"source", c.Source}, {"required", c.Required}, {"forbidden", c.Forbidden}, {"executable", c.Executable}} {
		for i, p := range list.patterns {
			if err := glob.Check(p); err != nil {
				errs = append(errs, fmt.Errorf("%s[%d]: %w", list.key, i, err))
			} else if slices.Index(list.patterns, p) != i {
				errs = append(errs, fmt.Errorf("%s[%d]: %q stands there twice", list.key, i, p))
			}
		}
	}
	for _, list := range []struct {
		key   string
		texts []string
	}{{"required_text", c.RequiredText}, {"forbidden_text", c.ForbiddenText}} {
		for i, text := range list.texts {
			switch {
			case strings.TrimSpace(text) == "":
				errs = append(errs, fmt.Errorf("%s[%d]: want a text", list.key, i))
			case len(text) > maxText || strings.ContainsAny(text, "\n\r\x00"):
				errs = append(errs, fmt.Errorf("%s[%d]: want a text within one line, of at most %d bytes", list.key, i, maxText))
			case slices.Index(list.texts, text) != i:
				errs = append(errs, fmt.Errorf("%s[%d]: %q stands there twice", list.key, i, text))
			}
		}
	}
	for _, text := range c.RequiredText {
		if slices.Contains(c.ForbiddenText, text) {
			errs = append(errs, fmt.Errorf("%q is required and forbidden", text))
		}
	}
	switch {
	case c.MaxFile < 0:
		errs = append(errs, errors.New("max_file: want a size"))
	case !c.reads() && len(c.Source) > 0:
		errs = append(errs, errors.New("source: want required_text, forbidden_text or max_file with it"))
	case !c.reads() && len(c.Required)+len(c.Forbidden)+len(c.Executable) == 0:
		errs = append(errs, errors.New("want something to look for: required, forbidden, executable, max_file, required_text or forbidden_text"))
	}
	return errors.Join(errs...)
}

func (c Config) reads() bool { return len(c.RequiredText)+len(c.ForbiddenText) > 0 || c.MaxFile > 0 }

// ID is the ID of the step that makes the check called name.
func ID(name string) string { return "build/check/" + name }

// Step returns the step that makes the check called name.
func Step(name string, c Config) pipeline.Step {
	params, err := json.Marshal(c)
	if err != nil { // texts and a number only
		panic(err)
	}
	return check.Step(pipeline.Spec{
		ID: ID(name), Needs: []string{component.SourceStep}, Effect: pipeline.Local,
		Inputs: []string{"artifact:" + component.Source}, Params: map[string]string{"source": string(params)},
	}, look{name, c})
}

type look struct {
	name string
	Config
}

func (l look) Name() string { return l.name }

func (l look) Check(ctx context.Context, ws *pipeline.Workspace) (pipeline.Evidence, error) {
	a, dir, err := ws.Input(component.Source)
	if err != nil {
		return pipeline.Evidence{}, err
	}
	faults, files, err := Look(ctx, dir, l.Config)
	if err != nil {
		return pipeline.Evidence{}, fmt.Errorf("cannot read the sources: %w", err)
	}
	e := pipeline.Evidence{
		Verdict: gate.Pass, Expected: l.String(), Found: "as expected", Subjects: map[string]string{component.Source: a.SHA256},
		Summary: fmt.Sprintf("%d files looked at", files),
	}
	if len(faults) == 0 {
		return e, nil
	}
	e.Verdict, e.Summary = gate.Fail, faults[0].String()
	if len(faults) > 1 {
		e.Summary += fmt.Sprintf(" (and %d more)", len(faults)-1)
	}
	var shown []string
	for _, f := range faults {
		ws.Logf("%s", f)
		if len(shown) < maxShown {
			shown = append(shown, f.String())
		}
	}
	if len(faults) > maxShown {
		shown = append(shown, fmt.Sprintf("%d more", len(faults)-maxShown))
	}
	e.Found = strings.Join(shown, "; ")
	return e, nil
}

const maxShown = 20 // faults in the evidence

// String describes what is expected.
func (c Config) String() string {
	var parts []string
	add := func(what string, list []string) {
		if len(list) > 0 {
			parts = append(parts, fmt.Sprintf("%s %q", what, list))
		}
	}
	add("tracked", c.Required)
	add("not tracked", c.Forbidden)
	add("executable", c.Executable)
	add("text", c.RequiredText)
	add("no text", c.ForbiddenText)
	if c.MaxFile > 0 {
		parts = append(parts, "files of at most "+c.MaxFile.String())
	}
	if c.reads() && len(c.Source) > 0 {
		parts = append(parts, fmt.Sprintf("in %q", c.Source))
	}
	return strings.Join(append(parts, "no submodules"), ", ")
}

// Fault is one thing that is wrong.
type Fault struct {
	Path string // with slashes; empty where it is about none
	Line int    // from 1; 0 where it is about the whole file
	What string
}

// String is "PATH:LINE: WHAT", in one line.
func (f Fault) String() string {
	where := f.Path
	if q := fmt.Sprintf("%q", where); q != `"`+where+`"` || strings.ContainsAny(where, " :") {
		where = q
	}
	switch {
	case f.Path == "":
		return f.What
	case f.Line > 0:
		return fmt.Sprintf("%s:%d: %s", where, f.Line, f.What)
	}
	return where + ": " + f.What
}

// Look looks at a folder, and returns the faults sorted by path and line, and the number of files it knows. An error
// says that it could not look.
func Look(ctx context.Context, dir string, c Config) (faults []Fault, files int, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, 0, err
	}
	defer root.Close()
	s := newSearch(c)
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil || path == "." {
			return err
		}
		if !d.IsDir() {
			files++
		}
		return s.entry(root, path, d)
	})
	if err != nil {
		return nil, files, err
	}
	s.missing()
	slices.SortStableFunc(s.faults, func(a, b Fault) int {
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
	return s.faults, files, nil
}
