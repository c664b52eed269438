package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/imrightguy/slipway/pipeline/files"
)

// Dirs says where a release keeps its files.
type Dirs = files.Dirs

// Workspace is all that a running step may touch.
type Workspace struct {
	Env       Env
	Run       string // the run's ID: the marker of outward acts
	Endpoints any    // how remotes are reached: phases.Endpoints, unknown to the engine

	spec     Spec
	dirs     Dirs
	root     string              // temporary folder of this step, made on demand, removed when it ends
	inputs   map[string]Artifact // by name
	receipts map[string]Receipt  // by step
	observe  func(Record)
	mu       sync.Mutex
	made     map[string]Artifact
	evidence []Evidence
}

// Spec returns the step's own Spec.
func (ws *Workspace) Spec() Spec { return ws.spec }

// Temp returns a folder for temporary files, removed when the step ends.
func (ws *Workspace) Temp() (string, error) {
	dir := filepath.Join(ws.root, "tmp")
	return dir, os.MkdirAll(dir, 0o777)
}

// Create declares one of the Spec's outputs and returns the temporary path to write it to: a file, or a folder where
// Kind is [KindTree]. The engine moves it into place, complete, when Run returns without error. SHA256 and Size are
// filled in then.
func (ws *Workspace) Create(a Artifact) (path string, err error) {
	if !slices.Contains(ws.spec.Outputs, a.Name) {
		return "", fmt.Errorf("cannot make artifact %q, which the plan does not name", a.Name)
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if has(ws.made, a.Name) {
		return "", fmt.Errorf("cannot make artifact %q twice", a.Name)
	}
	ws.made[a.Name] = a
	path = ws.tempPath(a.Name)
	return path, os.MkdirAll(filepath.Dir(path), 0o777)
}

func (ws *Workspace) tempPath(name string) string {
	return filepath.Join(ws.root, "out", filepath.FromSlash(name))
}

// Input returns an artifact that the Spec's Inputs refer to, and the path where it lies.
func (ws *Workspace) Input(name string) (Artifact, string, error) {
	if !slices.Contains(ws.spec.Inputs, "artifact:"+name) {
		return Artifact{}, "", fmt.Errorf("cannot read artifact %q, which the plan does not name as an input", name)
	}
	a, ok := ws.inputs[name]
	if !ok {
		return Artifact{}, "", fmt.Errorf("cannot read artifact %q: it has not been made", name)
	}
	return a, ws.dirs.Path(name), nil
}

// Receipt returns the value under key of a step's receipt that the Spec's Inputs refer to.
func (ws *Workspace) Receipt(step, key string) (string, error) {
	if !slices.Contains(ws.spec.Inputs, "receipt:"+step+"."+key) && !slices.Contains(ws.spec.Inputs, "receipt:"+step) {
		return "", fmt.Errorf("cannot read receipt %q of step %s, which the plan does not name as an input", key, step)
	}
	value, ok := ws.receipts[step][key]
	if !ok {
		return "", fmt.Errorf("step %s left no %q in its receipt", step, key)
	}
	return value, nil
}

// Report adds evidence. Its Check must be one of the Spec's Checks.
func (ws *Workspace) Report(e Evidence) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.evidence = append(ws.evidence, e)
}

// Logf tells observers what is going on, in one line.
func (ws *Workspace) Logf(format string, args ...any) {
	ws.observe(Record{Event: Progress, Step: ws.spec.ID, Text: fmt.Sprintf(format, args...)})
}

// Tick tells observers how many bytes of how many are through; total is 0 where unknown.
func (ws *Workspace) Tick(bytes, total int64) {
	ws.observe(Record{Event: Progress, Step: ws.spec.ID, Bytes: bytes, Total: total})
}
