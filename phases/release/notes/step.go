package notes

import (
	"context"
	"fmt"
	"os"

	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline"
)

// What the step is called and makes.
const (
	ID       = "release/notes"
	Artifact = "notes.md"
	Kind     = "notes"
	Check    = "notes"
)

// versionStep makes the release's commit.
const versionStep = "build/version"

type step struct {
	c Config
	o Options
}

// Step returns the step that writes the notes. They are made again when the release's commit is another one.
func Step(c Config, o Options) pipeline.Step { return step{c, o} }

// Spec leaves faults of the configuration to Run.
func (s step) Spec() pipeline.Spec {
	p, err := params(s.c, s.o)
	if err != nil {
		p = map[string]string{"notes": err.Error()} // never: texts, truth values and lists of them
	}
	return pipeline.Spec{
		ID: ID, Effect: pipeline.Local, Needs: []string{versionStep}, Inputs: []string{"receipt:" + versionStep + ".commit"},
		Outputs: []string{Artifact}, Checks: []string{Check}, Params: p,
	}
}

// Run writes the notes of the base commit. What a reader would complain about is evidence; what cannot be read, or is
// not there, is an error.
func (s step) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	v, err := version.Parse(ws.Env.Version)
	if err != nil {
		return nil, err
	}
	r, err := repo.Open(s.o.RepoDir)
	if err != nil {
		return nil, err
	}
	n, err := compose(ctx, r, s.c, s.o, ws.Env.Version, ws.Env.Commit)
	if err != nil {
		return nil, err
	}
	path, err := ws.Create(pipeline.Artifact{Name: Artifact, Kind: Kind})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, []byte(n.text), 0o666); err != nil {
		return nil, fmt.Errorf("cannot write the notes: %w", err)
	}
	ws.Report(evidence(n, v))
	return pipeline.Receipt{"since": n.since}, nil
}
