package judge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/internal/makepkg"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/phases/internal/sandbox"
)

// How long one act of makepkg may take. Reading takes it two seconds, building what is prebuilt some ten for a hundred
// megabytes.
const (
	readTime  = time.Minute
	buildTime = 4 * time.Minute
)

// print compares makepkg's .SRCINFO with the file, and says whether makepkg can read the PKGBUILD at all.
func (j *judges) print(ctx context.Context) bool {
	out, err := makepkg.Run(ctx, makepkg.Options{Dir: j.files, Args: []string{"--printsrcinfo"}, Contained: true, Timeout: readTime})
	if tail, is := refused(err); is {
		j.lines(SRCINFO, "makepkg --printsrcinfo: ", tail, isError)
		return false
	} else if err != nil {
		j.unknown(err, SRCINFO)
		return false
	}
	j.printed = out.Stdout
	file, err := os.ReadFile(filepath.Join(j.files, ".SRCINFO"))
	switch {
	case errors.Is(err, os.ErrNotExist):
		j.fault(SRCINFO, "there is no .SRCINFO")
	case err != nil:
		j.unknown(err, SRCINFO)
	default:
		if d := firstDifference(out.Stdout, string(file)); d != "" {
			j.fault(SRCINFO, ".SRCINFO %s", d)
		}
	}
	j.srcinfo, err = pkgbuild.ParseSRCINFO(strings.NewReader(out.Stdout))
	if err != nil {
		j.fault(SRCINFO, "what makepkg prints is no .SRCINFO: %v", err)
		return false
	}
	return true
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
	return fmt.Sprintf("line %d is %.120q, makepkg prints %.120q", at+1, got[at], want[at])
}

// laid is what makepkg gets as its sources, one folder for each architecture.
type laid struct {
	arches []string
	dir    map[string]string
}

// target is the architecture that the package is built for: x86_64 where there is that, whatever this machine is, so that
// the evidence is the same everywhere.
func (l laid) target() string {
	if slices.Contains(l.arches, "x86_64") {
		return "x86_64"
	}
	return l.arches[0]
}

// source is one that a PKGBUILD names: makepkg takes what lies in SRCDEST under its local name.
type source struct{ local, sum string }

// lay lays the release's packages where makepkg looks for the sources that have their sums. A source whose bytes are not
// among them stays unproven.
func (j *judges) lay(ctx context.Context) (laid, error) {
	base := j.srcinfo.Base
	l := laid{dir: map[string]string{}}
	for _, a := range base["arch"] {
		if a == "any" {
			a = "x86_64"
		}
		l.arches = append(l.arches, a)
	}
	if len(l.arches) == 0 {
		return l, errors.New("the PKGBUILD has no architecture")
	}
	for _, arch := range l.arches {
		dir := filepath.Join(j.dir, "sources", arch)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return l, err
		}
		l.dir[arch] = dir
		for _, suffix := range []string{"", "_" + arch} {
			sources := base["source"+suffix]
			sums := base["sha256sums"+suffix]
			for i, text := range sources {
				s, remote := localName(text)
				if !remote {
					continue
				}
				if i < len(sums) {
					s.sum = sums[i]
				}
				if err := j.put(dir, s); err != nil {
					return l, err
				}
			}
		}
	}
	return l, ctx.Err()
}

// localName splits a source as makepkg does: NAME::ADDRESS, or an address that ends with the name. One without an address
// lies beside the PKGBUILD.
func localName(text string) (s source, remote bool) {
	name, url, named := strings.Cut(text, "::")
	if !named {
		url = text
	}
	if !strings.Contains(url, "://") {
		return s, false
	}
	if !named {
		url, _, _ = strings.Cut(url, "#")
		name = path.Base(url)
	}
	return source{local: name}, true
}

// put lays one source: the package with that sum, or else the one of that name, which makepkg will refuse then.
func (j *judges) put(dir string, s source) error {
	if s.local == "" || s.local != filepath.Base(s.local) || s.local == "." || s.local == ".." {
		j.fault(Sources, "the source %q has no name of its own", s.local)
		return nil
	}
	from := ""
	for _, o := range j.Options.Sources {
		a, path, err := j.ws.Input(o.Artifact)
		if err != nil {
			return err
		}
		if a.SHA256 == s.sum {
			from = path
			j.note(a.Name, a.SHA256, a.Size)
			break
		}
		if filepath.Base(a.Name) == s.local {
			from = path
			j.note(a.Name, a.SHA256, a.Size)
		}
	}
	if from == "" {
		return fmt.Errorf("the source %s is none of this release's packages, and there is no network here", s.local)
	}
	to := filepath.Join(dir, s.local)
	if os.Link(from, to) == nil {
		return nil
	}
	if _, err := os.Lstat(to); err == nil {
		return nil // named twice
	}
	return sandbox.CopyFile(from, to, 0o644)
}

func (j *judges) note(name, sum string, size int64) {
	if _, known := j.subjects[name]; !known {
		j.subjects[name] = sum
		j.size += size
	}
}

// skipped is a checksum that is none, in what makepkg prints for .SRCINFO.
var skipped = regexp.MustCompile(`(?m)^\t([a-z0-9]+sums(?:_[a-z0-9_]+)?) = SKIP$`)

// verify lets makepkg compare the sources of every architecture with their sums.
func (j *judges) verify(ctx context.Context, l laid) {
	for _, m := range skipped.FindAllStringSubmatch(j.printed, -1) {
		j.fault(Sources, "%s is SKIP: makepkg would verify nothing", m[1])
	}
	all := make([]func(), 0, len(l.arches))
	outcomes := make([]error, len(l.arches))
	for i, arch := range l.arches {
		all = append(all, func() {
			_, outcomes[i] = makepkg.Run(ctx, makepkg.Options{
				Dir: j.files, SrcDest: l.dir[arch], Arch: arch, Contained: true, Timeout: readTime,
				Args: []string{"--verifysource", "--nodeps", "--noconfirm"},
			})
		})
	}
	together(all...)
	for i, err := range outcomes {
		if tail, is := refused(err); is {
			j.lines(Sources, "makepkg --verifysource for "+l.arches[i]+": ", tail, isError)
		} else if err != nil {
			j.unknown(err, Sources)
		}
	}
}

// build builds the package twice, side by side, in different time zones: nothing else may decide the bytes but what is
// given.
func (j *judges) build(ctx context.Context, l laid) {
	var made [2]makepkg.Result
	var errs [2]error
	one := func(i int, dest, zone string) func() {
		return func() {
			made[i], errs[i] = makepkg.Build(ctx, makepkg.Options{
				Dir: j.files, SrcDest: l.dir[l.target()], PkgDest: filepath.Join(j.dir, dest), Arch: l.target(),
				Contained: true, Timeout: buildTime, Env: []string{"TZ=" + zone},
			})
		}
	}
	together(one(0, "built", "UTC"), one(1, "again", "Pacific/Auckland"))
	for i, err := range errs {
		if tail, is := refused(err); is {
			j.lines(Build, "makepkg: ", tail, isError)
			return
		} else if err != nil {
			j.unknown(err, Build)
			return
		}
		if n := len(made[i].Packages); n != 1 {
			j.fault(Build, "makepkg made %d packages, want one", n)
			return
		}
	}
	j.built = made[0].Packages[0]
	same, err := sameFile(j.built, made[1].Packages[0])
	if err != nil {
		j.unknown(err, Build)
	} else if !same {
		j.fault(Build, "two builds of the same files differ")
	}
	j.found[Build].note = "dependencies are not looked at"
	for _, f := range misplaced(filepath.Join(j.files, "PKGBUILD")) {
		j.fault(Build, "%s() stands in the PKGBUILD, where pacman never runs it", f)
	}
}

// scriptlet is a function of an install scriptlet (PKGBUILD(5)) that a line begins to define.
var scriptlet = regexp.MustCompile(`(?m)^[ \t]*(?:function[ \t]+)?((?:pre|post)_(?:install|upgrade|remove))[ \t]*(?:\(|\{)`)

// misplaced lists the functions of an install scriptlet in a PKGBUILD.
func misplaced(file string) (names []string) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	for _, m := range scriptlet.FindAllSubmatch(text, -1) {
		names = append(names, string(m[1]))
	}
	return names
}

// sameFile compares two files, without holding them in memory.
func sameFile(a, b string) (same bool, err error) {
	x, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer x.Close()
	y, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer y.Close()
	var bufs [2][1 << 16]byte
	for {
		n, errX := readFull(x, bufs[0][:])
		m, errY := readFull(y, bufs[1][:])
		if errX != nil || errY != nil {
			return false, errors.Join(errX, errY)
		}
		if !bytes.Equal(bufs[0][:n], bufs[1][:m]) {
			return false, nil
		}
		if n == 0 {
			return true, nil
		}
	}
}

// isError picks makepkg's errors and those of the programs that it runs. The rest tells the time and what goes well.
func isError(line string) bool {
	return strings.HasPrefix(line, "==> ERROR: ") || strings.HasSuffix(line, " ... FAILED") || strings.HasSuffix(line, " ... NOT FOUND") ||
		!strings.HasPrefix(line, "==>") && !strings.HasPrefix(line, "->") && strings.Contains(line, ": ")
}
