package makepkg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/sandbox"
)

// packageExt is the ending of the packages that our makepkg.conf asks for.
const packageExt = ".pkg.tar.zst"

// Run runs makepkg with o.Args on a copy of o.Dir.
func Run(ctx context.Context, o Options) (Result, error) {
	if err := sandbox.Need("makepkg", "bash"); err != nil {
		return Result{}, err
	}
	return run(ctx, o, append([]string{"makepkg"}, o.Args...))
}

// PrintSRCINFO answers with what makepkg prints as the .SRCINFO of the PKGBUILD in dir,
// in Result.Stdout.
func PrintSRCINFO(ctx context.Context, dir string) (Result, error) {
	return Run(ctx, Options{Dir: dir, Args: []string{"--printsrcinfo"}})
}

// Build builds the package of the PKGBUILD in o.Dir. Dependencies are not looked at: an
// evidence made from the result must say that they remain unproven.
func Build(ctx context.Context, o Options) (Result, error) {
	if err := sandbox.Need(BuildTools[2:]...); err != nil {
		return Result{}, err
	}
	o.Args = append([]string{"--force", "--nodeps", "--noconfirm"}, o.Args...)
	r, err := Run(ctx, o)
	if err == nil && o.PkgDest != "" && len(r.Packages) == 0 {
		err = fmt.Errorf("makepkg made no %s file", packageExt)
	}
	return r, err
}

// Script runs a bash script the way Run runs makepkg: on a copy of o.Dir, as the
// unprivileged user, in the sandbox. makepkg's own library functions can be asked so.
func Script(ctx context.Context, o Options, script string, args ...string) (Result, error) {
	if err := sandbox.Need("bash"); err != nil {
		return Result{}, err
	}
	return run(ctx, o, append([]string{"bash", "--norc", "--noprofile", "-c", script, "bash"}, args...))
}

func run(ctx context.Context, o Options, argv []string) (_ Result, err error) {
	b, err := sandbox.New(ctx)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	r := Result{Isolation: b.Isolation}
	if o.Contained {
		if err := b.Isolation.Err(); err != nil {
			return r, err
		}
	}
	if err := prepare(b, o); err != nil {
		return r, err
	}
	space, err := scratch(b)
	if err != nil {
		return r, err
	}
	c := sandbox.Command{Argv: argv, Dir: "build", Env: append(makepkgEnv(b, o), o.Env...), Scratch: space, Timeout: o.Timeout}
	if o.PkgDest != "" {
		c.Keep = "pkg"
	}
	out, err := b.Run(ctx, c)
	r.Stdout, r.Output = out.Stdout, out.Tail
	if err != nil || o.PkgDest == "" {
		return r, err
	}
	r.Packages, err = collect(b, o.PkgDest)
	return r, err
}

// scratch is how much the programs in a box may write, in bytes: room for sources that unpack to some ten times their
// size, and the packages made of them.
func scratch(b *sandbox.Box) (int64, error) {
	space := int64(1) << 29
	err := filepath.WalkDir(b.Outside(), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			space += 16 * info.Size()
		}
		return err
	})
	return space, err
}

// prepare lays the caller's files and the configuration into the box.
func prepare(b *sandbox.Box, o Options) error {
	for _, name := range []string{"build", "src", "pkg", "work", "bin", "db/local"} {
		if err := os.MkdirAll(b.Outside(name), 0o755); err != nil {
			return err
		}
	}
	if err := sandbox.CopyTree(o.Dir, b.Outside("build")); err != nil {
		return err
	}
	if o.SrcDest != "" {
		if err := sandbox.CopyTree(o.SrcDest, b.Outside("src")); err != nil {
			return err
		}
	}
	arch := o.Arch
	if arch == "" {
		arch = "x86_64"
	}
	if strings.Trim(arch, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return fmt.Errorf("cannot build for architecture %q", arch)
	}
	files := map[string]string{
		"makepkg.conf": makepkgConf(arch),
		"pacman.conf":  "[options]\nArchitecture = " + arch + "\nDBPath = " + b.Inside("db/") + "\n",
		// makepkg asks pacman what is installed. The answer is always: nothing.
		"bin/pacman": "#!/bin/bash\nexec /usr/bin/pacman --config " + b.Inside("pacman.conf") + " \"$@\"\n",
	}
	for name, text := range files {
		mode := os.FileMode(0o644)
		if strings.HasPrefix(name, "bin/") {
			mode = 0o755
		}
		if err := os.WriteFile(b.Outside(name), []byte(text), mode); err != nil {
			return err
		}
	}
	return b.HandOver()
}

func makepkgEnv(b *sandbox.Box, o Options) []string {
	date := int64(315532800) // 1 January 1980
	if !o.SourceDate.IsZero() {
		date = o.SourceDate.Unix()
	}
	return []string{
		"MAKEPKG_CONF=" + b.Inside("makepkg.conf"),
		"PACMAN=" + b.Inside("bin/pacman"),
		"BUILDDIR=" + b.Inside("work"),
		"SRCDEST=" + b.Inside("src"),
		"PKGDEST=" + b.Inside("pkg"),
		"SRCPKGDEST=" + b.Inside("pkg"),
		"LOGDEST=" + b.Inside("work"),
		"SOURCE_DATE_EPOCH=" + strconv.FormatInt(date, 10),
	}
}

// makepkgConf differs from the distributions' files in three points: nothing is ever
// downloaded, nothing in the payload is changed (no strip), and there is no compiler setup.
func makepkgConf(arch string) string {
	return `DLAGENTS=('file::/bin/false %o %u' 'ftp::/bin/false %o %u' 'http::/bin/false %o %u' 'https::/bin/false %o %u')
VCSCLIENTS=()
CARCH='` + arch + `'
CHOST='` + arch + `-pc-linux-gnu'
INTEGRITY_CHECK=(sha256)
BUILDENV=(!distcc !color !ccache check !sign)
OPTIONS=(!strip docs libtool staticlibs emptydirs zipman purge !debug !lto)
MAN_DIRS=({usr{,/local}{,/share},opt/*}/{man,info})
DOC_DIRS=(usr/{,local/}{,share/}{doc,gtk-doc} opt/*/{doc,gtk-doc})
PURGE_TARGETS=(usr/{,share}/info/dir .packlist *.pod)
COMPRESSZST=(zstd -c -q -T0 -)
COMPRESSGZ=(gzip -c -f -n)
PKGEXT='` + packageExt + `'
SRCEXT='.src.tar.gz'
PACKAGER='slipway <noreply@example.org>'
`
}

// collect copies the finished packages out of the box. The folder is the judged program's: links that lead out of it are
// not followed.
func collect(b *sandbox.Box, dest string) (_ []string, err error) {
	root, err := os.OpenRoot(b.Outside())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	entries, err := fs.ReadDir(root.FS(), "pkg")
	if err != nil {
		return nil, err
	}
	var packages []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), packageExt) {
			continue
		}
		if !e.Type().IsRegular() {
			return nil, fmt.Errorf("cannot take %s: not a regular file", e.Name())
		}
		to := filepath.Join(dest, e.Name())
		if err := archive.CopyFile(root, "pkg/"+e.Name(), to, 0o644); err != nil {
			return nil, err
		}
		packages = append(packages, to)
	}
	slices.Sort(packages)
	return packages, nil
}
