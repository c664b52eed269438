package judge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/tool"
	"github.com/imrightguy/slipway/pipeline"
)

type treeJudge struct{ artifact string }

// desktop has every desktop entry of a bundle validated: of menus (Desktop Menu Specification) and of autostart. An
// error ends the tool with 1. Version 0.26 does not miss Exec where Type is Application.
func (j treeJudge) desktop(ctx context.Context, ws *pipeline.Workspace, r *report) error {
	isError := func(line string) bool { return strings.Contains(line, ": error: ") }
	return j.each(ctx, ws, r, Desktop, "desktop entries", ".desktop", []string{"share/applications", "etc/xdg/autostart"},
		[]string{Desktop}, func(file, out string, status int) {
			if status == 0 && !strings.Contains(out, ": error: ") {
				return
			}
			r.lines("", strings.ReplaceAll(out, "./"+file, file), isError)
		})
}

// appstream has all AppStream metadata of a bundle validated. Errors (E:) and warnings (W:) count; infos (I:) and
// pedantic hints do not, as the tool itself has it, which ends with 3 then. The network is not asked.
func (j treeJudge) appstream(ctx context.Context, ws *pipeline.Workspace, r *report) error {
	counts := func(line string) bool { return strings.HasPrefix(line, "E: ") || strings.HasPrefix(line, "W: ") }
	return j.each(ctx, ws, r, AppStream, "metadata files", ".xml", []string{"share/metainfo", "share/appdata"},
		[]string{AppStream, "validate", "--no-net"}, func(file, out string, status int) {
			bad := status != 0
			for line := range strings.Lines(out) {
				bad = bad || counts(line)
			}
			if bad {
				r.lines(file+": ", out, counts)
			}
		})
}

// each runs a tool on the files of a bundle that have an ending and lie in one of some folders. The tool is given
// relative paths, so that none is taken for an option or shows where this is.
func (j treeJudge) each(ctx context.Context, ws *pipeline.Workspace, r *report, name, what, ext string, folders, argv []string, judge func(file, out string, status int)) error {
	r.about = j.artifact
	dir, err := r.input(ws, j.artifact)
	if err != nil {
		return err
	}
	r.paths = append(r.paths, dir)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	files, err := find(root, ext, folders)
	if err != nil {
		return err
	}
	r.expected = fmt.Sprintf("%s without errors: %d", what, len(files))
	if len(files) == 0 {
		r.expected = "no " + what + " to judge"
		return nil
	}
	if err := r.look(ctx, ws, name); err != nil {
		return err
	}
	for _, file := range files {
		if info, err := root.Stat(file); err != nil || !info.Mode().IsRegular() {
			r.fault("%s is not a file of the bundle, or leads out of it", file)
			continue
		}
		out, err := run(ctx, ws, dir, append(slices.Clip(argv), "./"+file)...)
		exit, is := errors.AsType[*tool.ExitError](err)
		switch {
		case !is && err != nil:
			return err
		case is && exit.Code < 0:
			return fmt.Errorf("%s was ended by a signal", name)
		case is:
			judge(file, out.Tail, exit.Code)
		default:
			judge(file, out.Tail, 0)
		}
	}
	return nil
}

// find lists what is in the folders and has the ending, links among it. A folder may itself be a link.
func find(root *os.Root, ext string, folders []string) ([]string, error) {
	var files []string
	for _, folder := range folders {
		err := fs.WalkDir(root.FS(), folder, func(name string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && name == folder {
				return fs.SkipAll
			}
			if err == nil && !d.IsDir() && path.Ext(name) == ext {
				files = append(files, name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}
