package judge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/build/aur"
	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/tarball"
	"github.com/imrightguy/slipway/phases/internal/makepkg"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/phases/internal/sandbox"
	"github.com/imrightguy/slipway/pipeline"
)

type aurJudge struct{ aur.Config }

// target is what is installed on the architecture that the package is built for.
func (j aurJudge) target() aur.Source {
	sources := j.Sources()
	for _, s := range sources {
		if tarball.Machine(s.Arch) == "x86_64" {
			return s
		}
	}
	return sources[0]
}

// laid is a folder with the files of the package, one for each architecture with what it wants from the
// network, and one for what is built.
type laid struct{ files, sources, built string }

func (l laid) source(s aur.Source) string {
	return filepath.Join(l.sources, tarball.Machine(s.Arch))
}

func (j aurJudge) lay(ctx context.Context, ws *pipeline.Workspace, r *report) (l laid, err error) {
	if len(j.Sources()) == 0 {
		return l, errors.New("the package installs nothing")
	}
	tmp, err := ws.Temp()
	if err != nil {
		return l, err
	}
	r.paths = append(r.paths, tmp)
	l = laid{filepath.Join(tmp, "files"), filepath.Join(tmp, "sources"), filepath.Join(tmp, "built")}
	for _, dir := range []string{l.files, l.sources, l.built} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return l, err
		}
	}
	for _, f := range j.FileNames() {
		from, err := r.input(ws, aur.Artifact(j.Name, f))
		if err == nil {
			err = put(from, filepath.Join(l.files, f))
		}
		if err != nil {
			return l, err
		}
	}
	for _, s := range j.Sources() {
		from, err := r.input(ws, s.Artifact)
		if err == nil {
			err = os.Mkdir(l.source(s), 0o755)
		}
		if err == nil {
			err = put(from, filepath.Join(l.source(s), s.Local))
		}
		if err != nil {
			return l, err
		}
	}
	return l, ctx.Err()
}

// put links a file to where it will only be read, or copies it where that cannot be.
func put(from, to string) (err error) {
	if os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// makepkg runs the three acts of makepkg. A PKGBUILD is a program: where there is no sandbox it is not run.
func (j aurJudge) makepkg(ctx context.Context, ws *pipeline.Workspace, r *report) error {
	r.about, r.expected = "aur/"+j.Name, ".SRCINFO as makepkg prints it, sources verified, package built"
	l, err := j.lay(ctx, ws, r)
	if err != nil {
		return err
	}
	if err := sandbox.Need(makepkgTools...); err != nil {
		return err
	}
	r.version(ctx, ws, Makepkg, sandbox.Look("makepkg"))
	if read, err := srcinfo(ctx, r, l); err != nil || !read {
		return err
	}
	for _, s := range j.Sources() {
		if err := verify(ctx, r, l, s); err != nil {
			return err
		}
	}
	if r.total > 0 {
		return nil
	}
	_, err = j.build(ctx, r, l)
	return err
}

// srcinfo says whether makepkg can read the PKGBUILD at all.
func srcinfo(ctx context.Context, r *report, l laid) (bool, error) {
	out, err := makepkg.Run(ctx, makepkg.Options{Dir: l.files, Args: []string{"--printsrcinfo"}, Contained: true})
	if tail, is := refused(err); is {
		r.lines("makepkg --printsrcinfo: ", tail, isError)
		return false, nil
	} else if err != nil {
		return false, err
	}
	file, err := os.ReadFile(filepath.Join(l.files, ".SRCINFO"))
	if err != nil {
		return false, err
	}
	if d := firstDifference(out.Stdout, string(file)); d != "" {
		r.fault(".SRCINFO %s", d)
	}
	for _, m := range skipped.FindAllStringSubmatch(out.Stdout, -1) {
		r.fault("%s is SKIP: makepkg would verify nothing", m[1])
	}
	return true, nil
}

// firstDifference says in which line a file is not what makepkg prints; "" where they are equal, byte for byte.
func firstDifference(printed, file string) string {
	if printed == file {
		return ""
	}
	want, got := strings.SplitAfter(printed, "\n"), strings.SplitAfter(file, "\n")
	at := 0
	for at < min(len(want), len(got))-1 && want[at] == got[at] {
		at++
	}
	return fmt.Sprintf("line %d is %q, makepkg prints %q", at+1, got[at], want[at])
}

// skipped is a checksum that is none, in what makepkg prints for .SRCINFO.
var skipped = regexp.MustCompile(`(?m)^\t([a-z0-9]+sums(?:_[a-z0-9_]+)?) = SKIP$`)

// verify lets makepkg compare what is installed on one architecture with its checksum.
func verify(ctx context.Context, r *report, l laid, s aur.Source) error {
	machine := tarball.Machine(s.Arch)
	_, err := makepkg.Run(ctx, makepkg.Options{
		Dir: l.files, SrcDest: l.source(s), Arch: machine, Contained: true,
		Args: []string{"--verifysource", "--nodeps", "--noconfirm"},
	})
	if tail, is := refused(err); is {
		r.lines("makepkg --verifysource for "+machine+": ", tail, isError)
		return nil
	}
	return err
}

// build answers with the finished package; "" where makepkg refused.
func (j aurJudge) build(ctx context.Context, r *report, l laid) (string, error) {
	t := j.target()
	out, err := makepkg.Build(ctx, makepkg.Options{
		Dir: l.files, SrcDest: l.source(t), PkgDest: l.built, Arch: tarball.Machine(t.Arch), Contained: true,
	})
	if tail, is := refused(err); is {
		r.lines("makepkg: ", tail, isError)
		return "", nil
	} else if err != nil {
		return "", err
	}
	if len(out.Packages) != 1 {
		r.fault("makepkg made %d packages, want one", len(out.Packages))
		return "", nil
	}
	return out.Packages[0], nil
}

// isError picks makepkg's errors and those of the programs that it runs. The rest tells the time and what goes well.
func isError(line string) bool {
	return strings.HasPrefix(line, "==> ERROR: ") || strings.HasSuffix(line, " ... FAILED") || strings.HasSuffix(line, " ... NOT FOUND") ||
		!strings.HasPrefix(line, "==>") && !strings.HasPrefix(line, "->") && strings.Contains(line, ": ")
}

// pacman installs what makepkg builds into an empty root and removes it. Install scriptlets are not run, so a package
// that has one is refused.
func (j aurJudge) pacman(ctx context.Context, ws *pipeline.Workspace, r *report) error {
	r.about, r.expected = "aur/"+j.Name, "installed with the files of the bundle, verified and removed, nothing left"
	l, err := j.lay(ctx, ws, r)
	if err != nil {
		return err
	}
	tree, err := r.input(ws, bundle.Artifact(j.target().Bundle, j.target().Arch))
	if err != nil {
		return err
	}
	if err := sandbox.Need(append(slices.Clone(makepkgTools), makepkg.InstallTools...)...); err != nil {
		return err
	}
	r.version(ctx, ws, Pacman, sandbox.Look("pacman"))
	built, err := j.build(ctx, r, l)
	if err != nil || built == "" {
		return err
	}
	report, err := makepkg.InstallRemove(ctx, built)
	if tail, is := refused(err); is {
		r.lines("pacman: ", tail, func(line string) bool {
			return strings.HasPrefix(line, "error: ") || strings.Contains(line, "exists in filesystem")
		})
		return nil
	} else if err != nil {
		return err
	}
	files, err := j.Config.Installed(&ws.Env, j.target().Arch, tree)
	if err != nil {
		return err
	}
	return j.installed(r, report, files)
}

// installed judges what pacman reported.
func (j aurJudge) installed(r *report, got makepkg.Report, files []string) error {
	if got.Scriptlet {
		r.fault("it has an install scriptlet, which is not run here")
		return nil
	}
	pkgver, err := pkgbuild.PkgVer(j.Version, j.KeepBuild)
	if err != nil {
		return err
	}
	want := pkgver + "-" + or1(j.PkgRel)
	if j.Epoch > 0 {
		want = fmt.Sprintf("%d:%s", j.Epoch, want)
	}
	if got.Name != j.Name || got.Version != want {
		r.fault("pacman installed %s %s, want %s %s", got.Name, got.Version, j.Name, want)
	}
	if got.Altered > 0 {
		r.fault("pacman -Qkk: %d of %d files altered", got.Altered, got.Total)
	}
	if got.Total == 0 {
		r.fault("it holds no files")
	}
	for _, name := range got.Leftovers {
		r.fault("%q is left after the removal", name)
	}
	for _, d := range compareFiles(files, got.Files) {
		r.fault("%s", d)
	}
	return nil
}

// or1 is the release of the packaging.
func or1(pkgrel string) string {
	if pkgrel == "" {
		return "1"
	}
	return pkgrel
}

// compareFiles says in what the files of a package differ from those that it should have, without folders.
func compareFiles(want, files []string) []string {
	var out []string
	for _, p := range want {
		if !slices.Contains(files, p) {
			out = append(out, fmt.Sprintf("%q is missing", p))
		}
	}
	for _, f := range files {
		if !strings.HasSuffix(f, "/") && !slices.Contains(want, f) {
			out = append(out, fmt.Sprintf("%q is not of the bundle", f))
		}
	}
	return out
}
