package inspect

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/imrightguy/slipway/phases/build/appimage"
	"github.com/imrightguy/slipway/phases/build/deb"
	"github.com/imrightguy/slipway/phases/build/tarball"
	"github.com/imrightguy/slipway/phases/internal/archive"
	content "github.com/imrightguy/slipway/phases/internal/inspect"
	"github.com/imrightguy/slipway/pipeline"
)

// Tarball returns the step that inspects a tarball.
func Tarball(c tarball.Config, r Rules) pipeline.Step {
	s := newPackage(c.File(), c.StepID(), c.Bundle, c.Arch, r)
	s.read = func(ctx context.Context, ws *pipeline.Workspace) (*reading, error) {
		in, err := inputs(ws, s.files()...)
		if err != nil {
			return nil, err
		}
		tree, err := archive.Tree(in[1].path)
		if err == nil {
			err = archive.Hash(ctx, in[1].path, tree)
		}
		if err != nil {
			return nil, err
		}
		known := contents{}
		want := []archive.Entry{{Path: c.Top(), Mode: os.ModeDir | 0o755, ModTime: tarball.Time(&ws.Env)}}
		for _, e := range tree {
			known.file(e, in[1].path)
			e.Path, e.ModTime = c.Top()+"/"+e.Path, tarball.Time(&ws.Env)
			want = append(want, e)
		}
		rd := &reading{subjects: in, name: c.File(), packed: &report{subjects: in, expected: summary(want), passed: holds(c.File(), len(tree))}}
		var got []archive.Entry
		err = in[0].open(func(f io.Reader) (err error) {
			got, err = archive.ReadTarGz(ctx, f, limits(want), nil)
			return err
		})
		return rd.unpacked(err, want, got, below(got, c.Top()), known, func(keep archive.Content) error {
			return in[0].open(func(f io.Reader) error {
				_, err := archive.ReadTarGz(ctx, f, limits(want), keep)
				return err
			})
		}, ws)
	}
	return s
}

// Deb returns the step that inspects a Debian package.
func Deb(c deb.Config, r Rules) pipeline.Step {
	s := newPackage(c.File(), c.StepID(), c.Bundle, c.Arch, r)
	s.read = func(ctx context.Context, ws *pipeline.Workspace) (*reading, error) {
		in, err := inputs(ws, s.files()...)
		if err != nil {
			return nil, err
		}
		layout, err := deb.Layout(c, &ws.Env, in[1].path)
		if err == nil {
			err = deb.Hash(layout)
		}
		if err != nil {
			return nil, err
		}
		known := contents{}
		var want []archive.Entry
		for _, f := range layout {
			want = append(want, f.Entry)
			known.layout(f)
		}
		rd := &reading{subjects: in, name: c.File(), packed: &report{
			subjects: in, expected: fmt.Sprintf("%s %s for %s, %s", c.Name, c.FullVersion(), c.Arch, summary(want)), passed: holds(c.File(), len(layout)),
		}}
		got := &archive.Deb{}
		err = in[0].open(func(f io.Reader) error {
			d, err := archive.ReadDeb(ctx, f, limits(want), nil)
			if err == nil {
				got = d
			}
			return err
		})
		for _, field := range []archive.Field{{Name: "Package", Value: c.Name}, {Name: "Version", Value: c.FullVersion()}, {Name: "Architecture", Value: c.Arch}} {
			if found := got.Field(field.Name); found != field.Value {
				rd.packed.differences(fmt.Sprintf("%s is %q, want %q", field.Name, found, field.Value))
			}
		}
		rd.packed.differences(archive.Diff(controlFiles(layout, got.Members, &ws.Env), got.Members)...)
		if found, want := strings.Join(got.Conffiles, " "), strings.Join(deb.Conffiles(layout), " "); found != want {
			rd.packed.differences(fmt.Sprintf("conffiles are %q, want %q", found, want))
		}
		return rd.unpacked(err, want, got.Entries, below(got.Entries, "usr", "etc"), known, func(keep archive.Content) error {
			return in[0].open(func(f io.Reader) error {
				_, err := archive.ReadDeb(ctx, f, limits(want), keep)
				return err
			})
		}, ws)
	}
	return s
}

// AppImage returns the step that inspects an AppImage.
func AppImage(c appimage.Config, r Rules) pipeline.Step {
	s := newPackage(c.File(), c.StepID(), c.Bundle, c.Arch, r)
	s.read = func(ctx context.Context, ws *pipeline.Workspace) (*reading, error) {
		in, err := inputs(ws, s.files()...)
		if err != nil {
			return nil, err
		}
		want, err := appimage.Expected(ctx, c, &ws.Env, in[1].path)
		if err != nil {
			return nil, err
		}
		known := contents{}
		for _, e := range below(want, "usr") {
			known.file(e, in[1].path)
		}
		rd := &reading{subjects: in, name: c.File(), packed: &report{
			subjects: in, expected: fmt.Sprintf("an AppImage of %s for %s, %s", c.Version, c.Arch, summary(want)), passed: holds(c.File(), len(want)),
		}}
		f, err := os.Open(in[0].path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		faults, err := c.CheckHead(f, in[0].artifact.Size)
		var got []archive.Entry
		if err == nil {
			rd.packed.differences(faults...)
			got, err = appimage.Entries(ctx, f, limits(want))
		}
		return rd.unpacked(err, want, got, below(got, "usr"), known, func(keep archive.Content) error { return each(f, got, keep) }, ws)
	}
	return s
}

// each hands the files of an AppImage to keep.
func each(f io.ReaderAt, entries []archive.Entry, keep archive.Content) error {
	fsys, err := appimage.OpenFS(f)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Mode.IsRegular() {
			continue
		}
		file, err := fsys.Open(e.Path)
		if err != nil {
			return err
		}
		if err := errors.Join(keep(e, file), file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// controlFiles is what the control archive holds, no maintainer script among it. The content is looked at elsewhere: of
// the control file its fields, of md5sums every sum.
func controlFiles(layout []deb.File, got []archive.Entry, env *pipeline.Env) []archive.Entry {
	want := []archive.Entry{{Path: "control"}, {Path: "md5sums"}}
	if conffiles := deb.Conffiles(layout); len(conffiles) > 0 {
		want = append([]archive.Entry{{Path: "conffiles"}}, want...)
	}
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

// files are the step's package and its bundle.
func (s *step) files() []string {
	var names []string
	for _, in := range s.spec.Inputs {
		names = append(names, in[len("artifact:"):])
	}
	return names
}

// unpacked is the reading of a package of which the archive gave got instead of want, or err. An error that is an
// [*archive.BadError] is a difference, any other one means that it could not be looked at.
//
// Contents are opened by their digest: what has that of a file of the bundle is that file. What has another one is
// written out of the package by again.
func (rd *reading) unpacked(err error, want, got, tree []archive.Entry, known contents, again func(archive.Content) error, ws *pipeline.Workspace) (*reading, error) {
	if is, ok := errors.AsType[*archive.BadError](err); ok {
		rd.packed.only(is.Why)
		return rd, nil
	}
	if err != nil {
		return nil, err
	}
	rd.packed.differences(archive.Diff(want, got)...)
	rd.tree, rd.open = tree, known.open
	strange := map[int64]bool{} // sizes of what is not known; digests are known only after a file was read
	for _, e := range tree {
		if _, ok := known[e.SHA256]; e.Mode.IsRegular() && !ok {
			strange[e.Size] = true
		}
	}
	if len(strange) == 0 {
		return rd, nil
	}
	tmp, err := ws.Temp()
	if err != nil {
		return nil, err
	}
	return rd, again(func(e archive.Entry, r io.Reader) error {
		if !strange[e.Size] {
			return nil
		}
		f, err := os.CreateTemp(tmp, "")
		if err != nil {
			return err
		}
		hash := sha256.New()
		_, err = io.Copy(io.MultiWriter(f, hash), r)
		name, digest := f.Name(), hex.EncodeToString(hash.Sum(nil))
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		if known[digest] != nil {
			return os.Remove(name)
		}
		known[digest] = func() (content.File, error) { return os.Open(name) }
		return nil
	})
}

// contents opens files by the SHA-256 of what is in them.
type contents map[string]func() (content.File, error)

func (c contents) open(e archive.Entry) (content.File, error) {
	if open := c[e.SHA256]; open != nil {
		return open()
	}
	return nil, fmt.Errorf("cannot find the content of %q", e.Path)
}

// file knows a file of the folder dir.
func (c contents) file(e archive.Entry, dir string) {
	if e.Mode.IsRegular() {
		c[e.SHA256] = func() (content.File, error) { return openIn(dir, e.Path) }
	}
}

// layout knows a file of a Debian package.
func (c contents) layout(f deb.File) {
	if !f.Mode.IsRegular() {
		return
	}
	c[f.SHA256] = func() (content.File, error) {
		source, text := f.Content()
		if text != nil {
			return textFile{bytes.NewReader(text)}, nil
		}
		return os.Open(source)
	}
}

// textFile is a file that was never on a disk.
type textFile struct{ *bytes.Reader }

// Close has nothing to do.
func (textFile) Close() error { return nil }

func openIn(dir, name string) (content.File, error) {
	return os.Open(filepath.Join(dir, filepath.FromSlash(name)))
}
