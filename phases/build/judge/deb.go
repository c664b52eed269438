package judge

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
	"regexp"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/build/deb"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/sandbox"
	"github.com/imrightguy/slipway/phases/internal/tool"
	"github.com/imrightguy/slipway/pipeline"
)

type debJudge struct{ deb.Config }

// lintian counts tags of the severities error (E:) and warning (W:). Those that the package overrides are not printed.
// The profile is Debian's on every machine, and no configuration is read. It ends with 2 where there are such tags, and
// with another status where it could not look.
func (j debJudge) lintian(ctx context.Context, ws *pipeline.Workspace, r *report) error {
	r.about, r.expected = j.File(), "no tags of severity error or warning"
	file, err := r.input(ws, j.File())
	if err != nil {
		return err
	}
	if err := r.look(ctx, ws, Lintian); err != nil {
		return err
	}
	argv := []string{
		Lintian, "--no-cfg", "--ignore-lintian-env", "--no-user-dirs", "--profile", "debian", "--color", "never",
		"--tag-display-limit", "0", "--fail-on", "error,warning",
	}
	if os.Geteuid() == 0 {
		argv = append(argv, "--allow-root")
	}
	out, err := run(ctx, ws, filepath.Dir(file), append(argv, "./"+filepath.Base(file))...)
	if exit, is := errors.AsType[*tool.ExitError](err); err != nil && (!is || exit.Code < 0) {
		return err
	}
	counts := func(line string) bool { return strings.HasPrefix(line, "E: ") || strings.HasPrefix(line, "W: ") }
	for line := range strings.Lines(out.Tail) {
		if counts(line) {
			r.lines("", out.Tail, counts)
			return nil
		}
	}
	return err
}

// memberFiles are the files of a control archive of which none is a program: deb-control(5), deb-md5sums(5),
// deb-conffiles(5), deb-shlibs(5), deb-symbols(5), deb-triggers(5).
var memberFiles = []string{"control", "md5sums", "conffiles", "shlibs", "symbols", "triggers"}

// debLimits bound what is read of a package.
var debLimits = archive.Limits{Entries: 1 << 20, Bytes: 64 << 30}

// admin is where dpkg keeps its records, below its root. It is joined here, since lintian takes a program that holds the
// whole text for one that reads the system's records.
var admin = path.Join("var", "lib", "dpkg")

func (j debJudge) dpkg(ctx context.Context, ws *pipeline.Workspace, r *report) (err error) {
	r.about, r.expected = j.File(), "installed, verified, upgraded, removed and purged, nothing left"
	file, err := r.input(ws, j.File())
	if err != nil {
		return err
	}
	d, err := readDeb(ctx, file)
	if bad, ok := errors.AsType[*archive.BadError](err); ok {
		r.fault("%s", bad.Why)
		return nil
	} else if err != nil {
		return err
	}
	if !j.harmless(d, r) {
		return nil
	}
	if err := sandbox.Need(dpkgTools...); err != nil {
		return err
	}
	r.version(ctx, ws, Dpkg, sandbox.Look("dpkg"))
	b, err := sandbox.New(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	r.paths = append(r.paths, b.Outside())
	for _, name := range []string{"info", "updates", "triggers"} {
		if err := os.MkdirAll(b.Outside("root", admin, name), 0o755); err != nil {
			return err
		}
	}
	for _, name := range []string{"status", "available"} {
		if err := os.WriteFile(b.Outside("root", admin, name), nil, 0o644); err != nil {
			return err
		}
	}
	if err := sandbox.CopyFile(file, b.Outside("package.deb"), 0o644); err != nil {
		return err
	}
	if err := b.HandOver(); err != nil {
		return err
	}
	return (&debRoot{Box: b, deb: d, r: r, name: j.Config.Name}).all(ctx)
}

func readDeb(ctx context.Context, file string) (_ *archive.Deb, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return archive.ReadDeb(ctx, f, debLimits, nil)
}

// harmless says whether a package may be given to dpkg. Its maintainer scripts would be run as programs of this machine.
func (j debJudge) harmless(d *archive.Deb, r *report) bool {
	for _, m := range d.Members {
		if !slices.Contains(memberFiles, m.Path) {
			r.fault("it has the maintainer script or unknown control file %q, which dpkg is not given to run here", m.Path)
		}
	}
	for _, f := range []archive.Field{{Name: "Package", Value: j.Config.Name}, {Name: "Version", Value: j.FullVersion()}} {
		if found := d.Field(f.Name); found != f.Value {
			r.fault("%s is %q, want %q", f.Name, found, f.Value)
		}
	}
	for _, e := range d.Entries {
		if e.Path == admin || strings.HasPrefix(e.Path, admin+"/") {
			if !e.Mode.IsDir() || e.Path != admin {
				r.fault("it holds %q, where dpkg keeps its records", e.Path)
			}
		}
	}
	return r.total == 0
}

// debRoot is an empty root and the package that goes into it.
type debRoot struct {
	*sandbox.Box
	deb  *archive.Deb
	r    *report
	name string

	conffiles map[string]bool
}

// progress matches what dpkg prints of acts that go well, and of none in particular.
var progress = regexp.MustCompile(`^(?:Selecting previously|\(Reading database|Preparing to unpack|Unpacking |Setting up |Removing |Purging |Processing triggers|Errors were encountered|dpkg: warning: |[a-z0-9.+-]+$)`)

// all stops at the first act that dpkg refuses.
func (d *debRoot) all(ctx context.Context) error {
	for _, act := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"installation", func(ctx context.Context) error { return d.dpkg(ctx, "-i", d.Inside("package.deb")) }},
		{"verification", d.verify},
		{"upgrade over itself", func(ctx context.Context) error { return d.dpkg(ctx, "-i", d.Inside("package.deb")) }},
		{"verification after the upgrade", d.verify},
		{"installed files", d.compare},
		{"removal", func(ctx context.Context) error { return d.dpkg(ctx, "-r", d.name) }},
		{"after the removal", func(context.Context) error { return d.left(d.conffiles) }},
		{"purge", d.purge},
		{"after the purge", func(context.Context) error { return d.left(nil) }},
	} {
		err := act.do(ctx)
		if tail, is := refused(err); is {
			d.r.lines(act.what+": ", tail, func(line string) bool { return !progress.MatchString(line) })
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", act.what, err)
		}
		if d.r.total > 0 {
			return nil
		}
	}
	return nil
}

// command is dpkg's command line. The host's configuration, seen where there is no sandbox, may leave out documents.
func (d *debRoot) command(args ...string) sandbox.Command {
	argv := []string{
		"dpkg", "--root=" + d.Inside("root"), "--log=" + d.Inside("tmp/dpkg.log"), "--path-include=/*",
		"--force-depends", "--force-bad-path", "--force-architecture", "--force-unsafe-io",
	}
	boxed := d.Isolation.Sandbox != ""
	if !boxed {
		argv = append(argv, "--force-not-root")
	}
	return sandbox.Command{
		Argv: append(argv, args...), Dir: "home", AsRoot: boxed,
		Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"},
	}
}

func (d *debRoot) dpkg(ctx context.Context, args ...string) error {
	_, err := d.Run(ctx, d.command(args...))
	return err
}

// verify asks dpkg for what differs from the package's sums, and for what it thinks is installed.
func (d *debRoot) verify(ctx context.Context) error {
	out, err := d.Run(ctx, d.command("--verify", d.name))
	if _, is := refused(err); err != nil && !is {
		return err
	}
	for line := range strings.Lines(out.Stdout) {
		d.r.fault("dpkg --verify: %s", line)
	}
	if err != nil {
		return err
	}
	out, err = d.Run(ctx, sandbox.Command{
		Argv: []string{"dpkg-query", "--admindir=" + d.Inside("root/"+admin), "-W", "-f=${Package} ${Version} ${Status}\n"}, Dir: "home",
	})
	if err != nil {
		return err
	}
	if want := d.name + " " + d.deb.Field("Version") + " install ok installed\n"; out.Stdout != want {
		d.r.fault("dpkg says %q, want %q", out.Stdout, want)
	}
	return nil
}

// compare looks at each file that the package lists, and for files that it does not.
func (d *debRoot) compare(ctx context.Context) (err error) {
	root, err := os.OpenRoot(d.Outside("root"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	listed := map[string]bool{}
	for _, e := range d.deb.Entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		listed[e.Path] = true
		why, err := differs(root, e)
		if err != nil {
			return err
		}
		if why != "" {
			d.r.fault("%q %s", e.Path, why)
		}
	}
	return errors.Join(d.left(listed), d.readConffiles())
}

// differs says in what an installed file differs from its entry; "" for nothing.
func differs(root *os.Root, e archive.Entry) (string, error) {
	info, err := root.Lstat(e.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "is not installed", nil
	case err != nil:
		return "", err
	case info.Mode().Type() != e.Mode.Type():
		return fmt.Sprintf("is installed as %v, want %v", info.Mode(), e.Mode), nil
	case e.Mode&fs.ModeSymlink != 0:
		if to, err := root.Readlink(e.Path); err != nil || to != e.Link {
			return fmt.Sprintf("leads to %q, want %q", to, e.Link), err
		}
		return "", nil
	case info.Mode().Perm() != e.Mode.Perm():
		return fmt.Sprintf("is installed with mode %04o, want %04o", info.Mode().Perm(), e.Mode.Perm()), nil
	case e.Mode.IsDir():
		return "", nil
	}
	f, err := root.Open(e.Path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	if err = errors.Join(err, f.Close()); err == nil && hex.EncodeToString(h.Sum(nil)) != e.SHA256 {
		return "is installed with other content", nil
	}
	return "", err
}

// readConffiles remembers the files that a removal leaves for a purge: deb-conffiles(5).
func (d *debRoot) readConffiles() error {
	lists, err := filepath.Glob(d.Outside("root", admin, "info", "*.conffiles"))
	if err != nil {
		return err
	}
	d.conffiles = map[string]bool{}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			if _, file, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "/"); ok && fs.ValidPath(file) {
				d.conffiles[file] = true
			}
		}
	}
	return nil
}

// left finds what is in the root beside dpkg's records and what may be there, with the folders that this lies in.
func (d *debRoot) left(may map[string]bool) error {
	ok := map[string]bool{}
	for name := range may {
		for ; name != "."; name = path.Dir(name) {
			ok[name] = true
		}
	}
	for name := admin; name != "."; name = path.Dir(name) {
		ok[name] = true
	}
	return fs.WalkDir(os.DirFS(d.Outside("root")), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == admin:
			return fs.SkipDir
		case name != "." && !ok[name]:
			d.r.fault("%q is there and should not be", name)
			if e.IsDir() {
				return fs.SkipDir
			}
		}
		return nil
	})
}

// purge: dpkg has nothing to do where the removal left no conffiles, and says so.
func (d *debRoot) purge(ctx context.Context) error {
	out, err := d.Run(ctx, d.command("-P", d.name))
	if _, is := refused(err); is && (strings.Contains(out.Tail, "ignoring request to") || strings.Contains(out.Tail, "which isn't installed")) {
		return nil
	}
	return err
}
