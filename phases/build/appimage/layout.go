package appimage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/imrightguy/slipway/phases/build/appimage/appdir"
	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
	"github.com/imrightguy/slipway/phases/build/tarball"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/pipeline"
)

// Expected lists what the AppImage of a bundle must hold, sorted, with digests: the bundle below usr/ and what the
// AppDir has besides. [archive.Diff] compares it with [Entries].
func Expected(ctx context.Context, c Config, env *pipeline.Env, bundleDir string) ([]archive.Entry, error) {
	entries, err := c.appDir(bundleDir)
	if err != nil {
		return nil, err
	}
	var list []archive.Entry
	seen := map[string]bool{".": true}
	add := func(e archive.Entry) {
		e.ModTime = tarball.Time(env)
		list = append(list, e)
		seen[e.Path] = true
	}
	for i := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e := &entries[i]
		if e.Path == "." {
			continue
		}
		out := archive.Entry{Path: e.Path, Mode: e.Mode, Link: e.Target}
		if e.Mode.IsRegular() {
			out.Size = e.Size
			if out.SHA256, err = digest(e); err != nil {
				return nil, err
			}
		}
		add(out)
	}
	for _, e := range list { // folders that no entry names
		for p := path.Dir(e.Path); !seen[p]; p = path.Dir(p) {
			add(archive.Entry{Path: p, Mode: fs.ModeDir | 0o755})
		}
	}
	archive.Sort(list)
	return list, nil
}

func digest(e *squashfs.Entry) (_ string, err error) {
	h := sha256.New()
	if e.Open != nil {
		r, err := e.Open()
		if err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		if n, err := io.Copy(h, r); err != nil {
			return "", err
		} else if n != e.Size {
			return "", fmt.Errorf("%q changed while it was read", e.Path)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// appDir lays the AppDir of a bundle out.
func (c Config) appDir(bundleDir string) ([]squashfs.Entry, error) {
	tree, err := archive.Tree(bundleDir)
	if err != nil {
		return nil, err
	}
	files := make([]squashfs.Entry, 0, len(tree))
	for _, e := range tree {
		f := squashfs.Entry{Path: e.Path, Mode: e.Mode, Size: e.Size, Target: e.Link}
		if e.Mode.IsRegular() {
			name := filepath.Join(bundleDir, filepath.FromSlash(e.Path))
			f.Open = func() (io.ReadCloser, error) { return os.Open(name) }
		}
		files = append(files, f)
	}
	app := appdir.App{Version: c.Version, Bundle: files, Exec: c.Program, Shortcuts: []string{"bin"}}
	if err := c.desktop(&app); err != nil {
		return nil, err
	}
	if c.Icon != "" {
		if app.Icon, err = appdir.Content(files, c.Icon); err != nil {
			return nil, fmt.Errorf("icon: %w", err)
		}
	}
	return appdir.Assemble(app)
}

// desktop finds the desktop entry or makes one, and the program that AppRun starts.
func (c Config) desktop(app *appdir.App) error {
	found := appdir.DesktopEntries(app.Bundle)
	entry := c.Desktop
	switch {
	case entry != "":
	case len(found) == 1:
		entry = found[0]
	case len(found) > 1:
		return fmt.Errorf("the bundle has several desktop entries (%s): say with desktop which one is the AppImage's", strings.Join(found, ", "))
	default:
		return c.console(app)
	}
	app.ID = strings.TrimSuffix(path.Base(entry), ".desktop")
	var err error
	if app.Desktop, err = appdir.Content(app.Bundle, entry); err != nil {
		return fmt.Errorf("desktop: %w", err)
	}
	if app.Exec != "" {
		return nil
	}
	if app.Exec, err = appdir.Program(app.Desktop); err != nil {
		return fmt.Errorf("%s: %w; say with program what the AppImage starts", entry, err)
	}
	if !has(app.Bundle, app.Exec) {
		return fmt.Errorf("%s starts %s, which the bundle does not have; say with program what the AppImage starts", entry, app.Exec)
	}
	return nil
}

// console makes the AppDir of a program for terminals.
func (c Config) console(app *appdir.App) error {
	app.ID, app.Console = c.Name, true
	if app.Exec == "" {
		var programs []string
		for _, e := range app.Bundle {
			if path.Dir(e.Path) == "bin" && !e.Mode.IsDir() {
				programs = append(programs, e.Path)
			}
		}
		switch {
		case has(app.Bundle, "bin/"+c.Name):
			app.Exec = "bin/" + c.Name
		case len(programs) == 1:
			app.Exec = programs[0]
		default:
			return fmt.Errorf("the bundle has no desktop entry, no bin/%s and %d programs in bin: say with program what the AppImage starts", c.Name, len(programs))
		}
	}
	comment, _, _ := strings.Cut(strings.TrimSpace(c.Description), "\n")
	var err error
	app.Desktop, err = appdir.Console{Name: c.Name, Comment: comment, Program: path.Base(app.Exec), Categories: c.Categories}.Entry()
	return err
}

func has(entries []squashfs.Entry, p string) bool {
	for i := range entries {
		if entries[i].Path == p {
			return true
		}
	}
	return false
}

// check refuses an AppDir with faults, and returns what is only worth telling.
func (c Config) check(entries []squashfs.Entry) (warnings []string, err error) {
	m, err := Machine(c.Arch)
	if err != nil {
		return nil, err
	}
	problems, err := appdir.Check(entries, appdir.Rules{Machine: m})
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, p := range problems {
		if p.Warning {
			warnings = append(warnings, p.String())
		} else {
			errs = append(errs, errors.New(p.String()))
		}
	}
	return warnings, errors.Join(errs...)
}
