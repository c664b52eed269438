package aur

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/build/appimage"
	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/tarball"
	"github.com/imrightguy/slipway/phases/internal/archive"
)

// openLimits bound what is read of a released package, which may be one that others have made.
var openLimits = archive.Limits{Entries: 1 << 20, Bytes: 64 << 30}

// opened is what a PKGBUILD says of the files of the released package at a path, the i-th of those that are installed,
// and, of a DEB, the name of its data archive. It is the same as [Config.look] says of the bundle that it was made of.
func (c Config) opened(ctx context.Context, i int, file string) (f content, data string, err error) {
	in, err := os.Open(file)
	if err != nil {
		return f, "", err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	var entries, all []archive.Entry
	switch {
	case len(c.Tarballs) > 0:
		if all, err = archive.ReadTarGz(ctx, in, openLimits, nil); err == nil {
			entries, err = belowTop(all, c.Tarballs[i].Top())
		}
	case len(c.Debs) > 0:
		if data, err = dataMember(in); err != nil {
			return f, "", err
		}
		if _, err = in.Seek(0, io.SeekStart); err != nil {
			return f, "", err
		}
		var d *archive.Deb
		if d, err = archive.ReadDeb(ctx, in, openLimits, nil); err == nil {
			all = d.Entries
			entries = besideDebian(all, c.Debs[i].Name)
		}
	default:
		if all, err = appimage.Entries(ctx, in, openLimits); err == nil {
			entries = asBundle(all)
		}
	}
	if err == nil {
		err = distinct(entries)
	}
	if err != nil {
		return f, "", err
	}
	f = read(entries)
	switch {
	case len(c.AppImages) > 0:
		f.ofImage(c.AppImages[i].Name, entries)
		return f, "", nil
	case len(c.Debs) > 0:
		f.foreign = debianOnly(all, c.Debs[i].Name)
		if legal := copyright(c.Debs[i].Name); f.license == "" && slices.ContainsFunc(all, func(e archive.Entry) bool { return e.Path == legal }) {
			f.license = legal
		}
	}
	f.moved(entries)
	return f, data, nil
}

// belowTop lists what is in the one top folder of a tarball.
func belowTop(all []archive.Entry, top string) ([]archive.Entry, error) {
	var out []archive.Entry
	for _, e := range all {
		rest, ok := strings.CutPrefix(e.Path, top+"/")
		if !ok && e.Path != top {
			return nil, fmt.Errorf("it holds %q, and everything in it should lie below %q", e.Path, top)
		}
		if ok {
			e.Path = rest
			out = append(out, e)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there is nothing below %q in it", top)
	}
	return out, nil
}

// asBundle lists what was in the bundle of a package that has /usr and /etc, by its paths there.
func asBundle(all []archive.Entry) []archive.Entry {
	var out []archive.Entry
	for _, e := range all {
		if rest, ok := strings.CutPrefix(e.Path, "usr/"); ok {
			e.Path = rest
		} else if !bundle.InEtc(e.Path) {
			continue
		}
		out = append(out, e)
	}
	archive.Sort(out)
	return out
}

func copyright(name string) string { return "usr/share/doc/" + name + "/copyright" }

// isDebians reports whether a file is one that Debian wants beside what is installed: see package deb.
func isDebians(p, name string) bool {
	return p == copyright(name) || p == "usr/share/doc/"+name+"/changelog.Debian.gz" || strings.HasPrefix(p, "usr/share/lintian/")
}

// besideDebian is [asBundle] without what only Debian needs.
func besideDebian(all []archive.Entry, name string) []archive.Entry {
	return asBundle(slices.DeleteFunc(slices.Clone(all), func(e archive.Entry) bool { return isDebians(e.Path, name) }))
}

// debianOnly lists what only Debian needs: whole folders where nothing else is in them, topmost paths first.
func debianOnly(all []archive.Entry, name string) []string {
	kept := map[string]bool{"usr": true}
	for _, e := range all {
		if e.Mode.IsDir() || isDebians(e.Path, name) {
			continue
		}
		for p := path.Dir(e.Path); p != "."; p = path.Dir(p) {
			kept[p] = true
		}
	}
	var top []string
	for _, e := range all {
		if e.Mode.IsDir() || !isDebians(e.Path, name) {
			continue
		}
		p := e.Path
		for up := path.Dir(p); !kept[up] && up != "."; up = path.Dir(p) {
			p = up
		}
		top = append(top, p)
	}
	slices.Sort(top)
	return slices.Compact(top)
}

// dataMember is the name of the member of a DEB that begins with data.tar (deb(5): ar headers of 60 bytes, a name of 16
// bytes, from byte 48 the size in 10 decimal digits, bodies padded to even lengths).
func dataMember(r io.ReadSeeker) (string, error) {
	const magic, header = "!<arch>\n", 60
	head := make([]byte, header)
	if _, err := io.ReadFull(r, head[:len(magic)]); err != nil || string(head[:len(magic)]) != magic {
		return "", errors.New("it is not a Debian package")
	}
	for range 3 {
		if _, err := io.ReadFull(r, head); err != nil {
			break
		}
		name := strings.TrimRight(strings.TrimSuffix(strings.TrimRight(string(head[:16]), " "), "/"), " ")
		if strings.HasPrefix(name, "data.tar") {
			return name, nil
		}
		var size int64
		if _, err := fmt.Sscanf(string(head[48:58]), "%d", &size); err != nil || size < 0 {
			break
		}
		if _, err := r.Seek(size+size%2, io.SeekCurrent); err != nil {
			return "", err
		}
	}
	return "", errors.New("it has no data archive where a Debian package has it")
}

// checkArch refuses an AppImage that is made for another machine.
func (c Config) checkArch(i int, file string) (err error) {
	if len(c.AppImages) == 0 {
		return nil
	}
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	h, err := appimage.ReadHead(in)
	if err == nil && h.Arch != c.AppImages[i].Arch {
		err = fmt.Errorf("it is made for %q, want %s", h.Arch, tarball.Machine(c.AppImages[i].Arch))
	}
	return err
}
