package makepkg

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/imrightguy/slipway/phases/internal/archive"
)

// A Package is what was read of a finished package, a tar archive that zstd compressed (makepkg(8), PKGEXT).
type Package struct {
	Info    Info
	Install bool            // it has an install scriptlet, .INSTALL
	Entries []archive.Entry // sorted by path; owners as the archive has them
	Faults  []string        // what no package should hold, one line each: these entries were left out
}

// Info is a .PKGINFO file: the values of each key, in order.
type Info map[string][]string

// Get is the first value of a key, or empty.
func (i Info) Get(key string) string {
	if v := i[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// maxInfo is the largest .PKGINFO in bytes that is read.
const maxInfo = 1 << 20

// ParseInfo reads a .PKGINFO file: lines "key = value" and comments that begin with #. The order of keys means nothing.
func ParseInfo(r io.Reader) (Info, error) {
	out := Info{}
	lines := bufio.NewScanner(io.LimitReader(r, maxInfo+1))
	lines.Buffer(nil, maxInfo)
	total := 0
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if total += len(line) + 1; total > maxInfo {
			return nil, fmt.Errorf("it is larger than %d bytes", maxInfo)
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, ok := strings.Cut(line, " = ")
		if !ok || key == "" || strings.ContainsAny(key, " \t") || strings.Contains(line, "\r") {
			return nil, fmt.Errorf("line %d is %.100q, want KEY = VALUE", n, line)
		}
		out[key] = append(out[key], value)
	}
	return out, lines.Err()
}

// aside are the files of a package that are not installed.
var aside = map[string]bool{".PKGINFO": true, ".BUILDINFO": true, ".MTREE": true, ".INSTALL": true, ".CHANGELOG": true}

// Unpack reads the package at file and lays what it installs into the folder dir, which must exist, with the archive's
// permission bits but for those of other users. Nothing leads out of that folder, whatever is in the archive. An
// *archive.BadError says that it is no package, or holds more than lim.
func Unpack(ctx context.Context, file, dir string, lim archive.Limits) (_ *Package, err error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	z, err := zstd.NewReader(in, zstd.WithDecoderMaxMemory(256<<20), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	u := &unpacker{ctx: ctx, root: root, lim: lim, at: map[string]int{}}
	if err := u.read(tar.NewReader(z)); err != nil {
		return nil, err
	}
	archive.Sort(u.p.Entries)
	return &u.p, nil
}

type unpacker struct {
	ctx  context.Context
	root *os.Root
	lim  archive.Limits
	at   map[string]int // path to index in p.Entries
	p    Package
	info bool
}

func bad(format string, args ...any) error {
	return &archive.BadError{Why: fmt.Sprintf(format, args...)}
}

func (u *unpacker) read(tr *tar.Reader) error {
	for n := 0; ; n++ {
		if err := u.ctx.Err(); err != nil {
			return err
		}
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return bad("it is no package: %v", err)
		}
		if n >= u.lim.Entries {
			return bad("it holds more than %d entries", u.lim.Entries)
		}
		if err := u.entry(h, tr); err != nil {
			return err
		}
	}
	if !u.info {
		return bad("it has no .PKGINFO")
	}
	return nil
}

func (u *unpacker) entry(h *tar.Header, body io.Reader) error {
	name := strings.TrimSuffix(strings.TrimPrefix(h.Name, "./"), "/")
	if u.lim.Bytes -= h.Size; h.Size < 0 || u.lim.Bytes < 0 {
		return bad("what it holds is too large")
	}
	switch {
	case name == ".PKGINFO" && h.Typeflag == tar.TypeReg:
		info, err := ParseInfo(body)
		if err != nil {
			return bad("its .PKGINFO is wrong: %v", err)
		}
		u.info, u.p.Info = true, info
		return nil
	case aside[name]:
		u.p.Install = u.p.Install || name == ".INSTALL"
		return nil
	}
	if err := archive.CheckName(name); err != nil {
		u.fault("%q: %v", h.Name, err)
		return nil
	}
	if _, twice := u.at[name]; twice {
		u.fault("%q is there twice", name)
		return nil
	}
	e := archive.Entry{Path: name, Mode: fs.FileMode(h.Mode).Perm(), UID: h.Uid, GID: h.Gid}
	if h.Mode&0o7000 != 0 {
		u.fault("%q has mode %04o: it runs with the rights of others", name, h.Mode&0o7777)
	}
	err := u.put(&e, h, body)
	if err != nil && u.ctx.Err() == nil {
		var path *fs.PathError
		var link *os.LinkError
		if !errors.As(err, &path) && !errors.As(err, &link) {
			return err
		}
		u.fault("%q cannot be unpacked: %v", name, errors.Unwrap(err)) // without a path of this machine
		return nil
	}
	if err == nil && e.Path != "" {
		u.at[name] = len(u.p.Entries)
		u.p.Entries = append(u.p.Entries, e)
	}
	return err
}

// put lays one entry into the folder. It empties e.Path of what it leaves out.
func (u *unpacker) put(e *archive.Entry, h *tar.Header, body io.Reader) error {
	if dir := path.Dir(e.Path); dir != "." {
		if err := u.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		e.Mode |= fs.ModeDir
		return u.root.MkdirAll(e.Path, 0o755)
	case tar.TypeSymlink:
		e.Mode, e.Link = fs.ModeSymlink|0o777, h.Linkname
		return u.root.Symlink(h.Linkname, e.Path)
	case tar.TypeLink: // of a file before it
		i, ok := u.at[strings.TrimPrefix(h.Linkname, "./")]
		if !ok || !u.p.Entries[i].Mode.IsRegular() {
			u.fault("%q is a hard link to %q, which is no file before it", e.Path, h.Linkname)
			e.Path = ""
			return nil
		}
		to := u.p.Entries[i]
		e.Mode, e.Size, e.SHA256 = to.Mode, to.Size, to.SHA256
		return u.root.Link(to.Path, e.Path)
	case tar.TypeReg:
		mode := fs.FileMode(0o644)
		if e.Mode&0o111 != 0 {
			mode = 0o755
		}
		out, err := u.root.OpenFile(e.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err != nil {
			return err
		}
		sum := sha256.New()
		n, err := io.Copy(io.MultiWriter(out, sum), body)
		if err = errors.Join(err, out.Chmod(mode), out.Close()); err != nil {
			return err
		}
		e.Size, e.SHA256 = n, hex.EncodeToString(sum.Sum(nil))
		return nil
	}
	u.fault("%q is neither a file nor a folder nor a link", e.Path)
	e.Path = ""
	return nil
}

// fault notes one; there may be as many as entries.
func (u *unpacker) fault(format string, args ...any) {
	if len(u.p.Faults) < 100 {
		u.p.Faults = append(u.p.Faults, fmt.Sprintf(format, args...))
	}
}

// Started is how one program began and ended.
type Started struct {
	Argv   []string
	Output string // the end of what it printed
	Status int
	Why    string // why it could not be seen whether it starts; then Status says nothing
}
