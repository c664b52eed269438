package appimage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/build/tarball"
	"github.com/imrightguy/slipway/pipeline"
)

// maxWorkers bounds the compressors, and with them the memory: some 40 MB each.
const maxWorkers = 4

// Keys of the step's receipt.
const (
	ReceiptRuntime = "runtime" // SHA-256 of the runtime that the AppImage begins with
	ReceiptOffset  = "offset"  // where the filesystem image begins, in bytes
)

// Step returns the step that makes the AppImage and its update data.
func Step(c Config) pipeline.Step { return &step{c} }

type step struct{ Config }

func (s *step) Spec() pipeline.Spec {
	sp := pipeline.Spec{
		ID:      s.StepID(),
		Needs:   []string{bundle.StepID(s.Bundle, s.Arch)},
		Effect:  pipeline.Local,
		Inputs:  []string{"artifact:" + bundle.Artifact(s.Bundle, s.Arch)},
		Outputs: s.Outputs(),
		Params:  map[string]string{},
	}
	if s.Runtime != nil {
		sp.Needs, sp.Inputs = append(sp.Needs, component.SourceStep), append(sp.Inputs, "artifact:"+component.Source)
	}
	if b, err := json.Marshal(s.Config); err == nil { // texts only: there is no error
		sp.Params["config"] = string(b)
	}
	if h, err := s.builtIn(); err == nil && h != "" { // another Slipway may bring another one
		sp.Params["runtime"] = h
	}
	return sp
}

func (s *step) Run(ctx context.Context, ws *pipeline.Workspace) (_ pipeline.Receipt, err error) {
	tree, dir, err := ws.Input(bundle.Artifact(s.Bundle, s.Arch))
	if err != nil {
		return nil, err
	}
	o, err := s.options(ws, dir)
	if err != nil {
		return nil, err
	}
	path, err := ws.Create(pipeline.Artifact{Name: s.File(), Kind: Kind, OS: "linux", Arch: s.Arch})
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Chmod(0o755); err != nil { // whatever the umask is: it is a program
		return nil, err
	}
	ws.Logf("packing %d files and folders, %.1f MB", len(o.AppDir)-1, float64(tree.Size)/1e6)
	res, err := Build(ctx, f, o)
	if err != nil {
		return nil, err
	}
	ws.Logf("%.1f MB, %.1f MB of it runtime; %d files were there already", float64(res.Size)/1e6, float64(res.ImageOffset)/1e6, res.Image.Duplicates)
	if s.UpdateInformation != "" {
		if err := s.zsync(ctx, ws, f, res.Size); err != nil {
			return nil, err
		}
	}
	return pipeline.Receipt{ReceiptRuntime: res.RuntimeSHA256, ReceiptOffset: strconv.FormatInt(res.ImageOffset, 10)}, nil
}

// options are those of [Build].
func (s *step) options(ws *pipeline.Workspace, dir string) (o Options, err error) {
	o = Options{Arch: s.Arch, Time: tarball.Time(&ws.Env), Compression: s.Compression, Workers: min(runtime.GOMAXPROCS(0), maxWorkers)}
	if o.AppDir, err = s.appDir(dir); err != nil {
		return o, err
	}
	warnings, err := s.check(o.AppDir)
	if err != nil {
		return o, err
	}
	for _, w := range warnings {
		ws.Logf("%s", w)
	}
	if o.UpdateInformation, err = s.Update(); err != nil {
		return o, err
	}
	if s.Runtime != nil {
		_, source, err := ws.Input(component.Source)
		if err != nil {
			return o, err
		}
		o.Runtime = &Runtime{Path: filepath.Join(source, filepath.FromSlash(s.Runtime.Path)), SHA256: s.Runtime.SHA256}
	}
	if s.Sign != nil {
		if o.Sign, err = s.Sign.signer(o.Time, os.Getenv); err != nil {
			return o, err
		}
	}
	return o, nil
}

func (s *step) zsync(ctx context.Context, ws *pipeline.Workspace, f *os.File, size int64) (err error) {
	path, err := ws.Create(pipeline.Artifact{Name: s.ZsyncFile(), Kind: KindZsync, OS: "linux", Arch: s.Arch})
	if err != nil {
		return err
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := WriteZsync(ctx, out, f, size, s.File(), tarball.Time(&ws.Env)); err != nil {
		return fmt.Errorf("cannot write %s: %w", s.ZsyncFile(), err)
	}
	return nil
}
