package deb

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	nfpmdeb "github.com/goreleaser/nfpm/v2/deb"

	"github.com/imrightguy/slipway/phases/internal/archive"
)

// controlArchive is control.tar.gz: the control file, md5sums, and conffiles where there are some.
func (c Config) controlArchive(ctx context.Context, layout []File, sums []byte, mtime time.Time) ([]byte, error) {
	control, err := c.control(ctx, layout, mtime)
	if err != nil {
		return nil, err
	}
	var conffiles strings.Builder
	for _, p := range Conffiles(layout) {
		conffiles.WriteString("/" + p + "\n")
	}
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, f := range []struct {
		name string
		text []byte
	}{{"control", control}, {"md5sums", sums}, {"conffiles", []byte(conffiles.String())}} {
		if f.name == "conffiles" && len(f.text) == 0 {
			continue
		}
		file := File{Entry: archive.Entry{Path: f.name, Mode: 0o644, Size: int64(len(f.text))}}
		err := tw.WriteHeader(header(file, mtime))
		if err == nil {
			_, err = tw.Write(f.text)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot pack %s: %w", f.name, err)
		}
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	return Gzip(b.Bytes()), nil
}

// control is the control file of the package that nfpm makes of no files at all, with the size of the real ones.
func (c Config) control(ctx context.Context, layout []File, mtime time.Time) ([]byte, error) {
	var b bytes.Buffer
	if err := nfpmdeb.Default.Package(c.info(mtime), &b); err != nil {
		return nil, fmt.Errorf("nfpm cannot make the control file: %w", err)
	}
	made, err := archive.ReadDeb(ctx, &b, archive.Limits{}, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot read what nfpm made: %w", err)
	}
	size := slices.IndexFunc(made.Control, func(f archive.Field) bool { return f.Name == "Installed-Size" })
	if size < 0 {
		return nil, errors.New("nfpm's control file has no Installed-Size")
	}
	made.Control[size].Value = strconv.FormatInt(installedSize(layout), 10)
	return archive.PrintControl(made.Control)
}

// installedSize is in KiB, estimated as deb-substvars(5) says: files rounded up, and one for each other entry.
func installedSize(layout []File) int64 {
	const kib = 1024
	var total int64
	for _, f := range layout {
		if f.Mode.IsRegular() {
			total += (f.Size + kib - 1) / kib
		} else {
			total++
		}
	}
	return total
}

// info describes the package to nfpm.
func (c Config) info(mtime time.Time) *nfpm.Info {
	info := &nfpm.Info{
		Name: c.Name, Arch: c.Arch, Platform: "linux",
		Version: c.Upstream, Release: strconv.Itoa(c.Revision), VersionSchema: "none",
		Section: c.Section, Priority: c.priority(), Maintainer: c.Maintainer, Description: c.description(), Homepage: c.Homepage,
		MTime: mtime, DisableGlobbing: true,
		Overridables: nfpm.Overridables{
			Depends: c.Depends, Recommends: c.Recommends, Suggests: c.Suggests, Conflicts: c.Conflicts,
			Replaces: c.Replaces, Provides: c.Provides,
			Deb: nfpm.Deb{Compression: "none", Breaks: c.Breaks},
		},
	}
	if c.Epoch > 0 {
		info.Epoch = strconv.Itoa(c.Epoch)
	}
	return nfpm.WithDefaults(info)
}
