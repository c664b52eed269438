package aur

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/aur/history"
	"github.com/imrightguy/slipway/phases/aur/judge"
	"github.com/imrightguy/slipway/phases/aur/published"
	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/pipeline"
)

// previous finds the package as it is published now, with its sources: what users upgrade from.
func previous(s subject.Package) func(context.Context, *pipeline.Workspace) (judge.Published, error) {
	return func(ctx context.Context, ws *pipeline.Workspace) (judge.Published, error) {
		e, err := endpoint.Of(ws)
		if err != nil {
			return judge.Published{}, err
		}
		access, err := s.Access(ctx, e)
		if err != nil {
			return judge.Published{}, err
		}
		r, tip, err := access.Clone(ctx, subject.Branch)
		if err != nil || tip.IsZero() {
			return judge.Published{None: err == nil}, err
		}
		files, err := history.Files(r, tip)
		if err != nil {
			return judge.Published{}, err
		}
		tmp, err := ws.Temp()
		if err != nil {
			return judge.Published{}, err
		}
		dir, err := os.MkdirTemp(tmp, "published-")
		if err != nil {
			return judge.Published{}, err
		}
		out := judge.Published{Files: filepath.Join(dir, "files"), Sources: filepath.Join(dir, "sources")}
		for _, sub := range []string{dir, out.Files, out.Sources} {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				return judge.Published{}, err
			}
		}
		if err := lay(files, out.Files); err != nil {
			return judge.Published{}, err
		}
		out.Why = fetch(ctx, e, ws, files[".SRCINFO"], out.Sources)
		return out, ctx.Err()
	}
}

// lay writes the files of a commit that others may have made: plain files of its root alone, and small ones.
func lay(files map[string]history.File, dir string) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !files[name].Mode.IsRegular() || files[name].Size > subject.MaxFile || archive.CheckName(name) != nil || strings.Contains(name, "/") {
			continue
		}
		text, err := files[name].Text(subject.MaxFile)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)
		}
		if err != nil {
			return fmt.Errorf("cannot lay out the published %q: %w", name, err)
		}
	}
	return nil
}

// fetch downloads the sources of a published .SRCINFO under their local names. It returns why they could not all be had.
func fetch(ctx context.Context, e *endpoint.Endpoints, ws *pipeline.Workspace, f history.File, dir string) (why string) {
	if f.Size == 0 {
		return "what is published has no .SRCINFO"
	}
	text, err := f.Text(subject.MaxFile)
	var info *pkgbuild.SRCINFO
	if err == nil {
		info, err = pkgbuild.ParseSRCINFO(strings.NewReader(text))
	}
	if err != nil {
		return "the published .SRCINFO cannot be read: " + err.Error()
	}
	sources, faults := published.Sources(info)
	if len(faults) > 0 {
		return "what is published names sources that cannot be verified: " + faults[0]
	}
	for _, src := range sources {
		if archive.CheckName(src.Name) != nil || strings.Contains(src.Name, "/") {
			return fmt.Sprintf("what is published keeps a source under the name %q", src.Name)
		}
		if err := published.Download(ctx, e, ws, src, filepath.Join(dir, src.Name)); err != nil {
			return err.Error()
		}
	}
	return ""
}
