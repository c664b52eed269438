package rehearsal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/makepkg"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/phases/internal/sandbox"
	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
)

// The names of what users have installed, one after the other.
const (
	HadOlder = "older" // the older version, while it was the newest
	HadBad   = "bad"   // the version that is rolled back
	HasBack  = "back"  // what is there after the rollback
	hasNext  = "next"  // the version after all that
)

// Users are people who install AUR packages: they clone, download and build with makepkg, each in a box.
type Users struct {
	w   *World
	dir string
	has map[string]map[string]*installed // by name of the state, then of the package

	looked bool
	unable error // why no package can be built on this machine
}

// able says why no package can be built and installed on this machine.
func (u *Users) able(ctx context.Context) error {
	if u.looked {
		return u.unable
	}
	u.looked = true
	if u.unable = sandbox.Need(slices.Concat(makepkg.BuildTools, makepkg.InstallTools, []string{"repo-add"})...); u.unable != nil {
		return u.unable
	}
	b, err := sandbox.New(ctx)
	if err != nil {
		u.unable = err
		return err
	}
	u.unable = errors.Join(b.Isolation.Err(), b.Close())
	return u.unable
}

// installed is a package as a user built it.
type installed struct {
	commit  string // of the AUR's repository
	dir     string // what it holds
	sources string // what was downloaded for it
	made    string // what was made of it
	version string // [epoch:]pkgver-pkgrel
	file    string // the package; "" where it could not be built here
	why     error  // it could not
}

// Users of the world; always the same.
func (w *World) Users() *Users {
	if w.users == nil {
		w.users = &Users{w: w, dir: filepath.Join(w.o.Dir, private, "users"), has: map[string]map[string]*installed{}}
	}
	return w.users
}

// Install builds every package that the AUR's twin has by now.
func (u *Users) Install(ctx context.Context, state string) error {
	u.has[state] = map[string]*installed{}
	for name := range u.w.o.AUR {
		commit, err := u.tip(ctx, name)
		if err != nil {
			return err
		}
		if commit == "" {
			continue // it was never published
		}
		at := filepath.Join(u.dir, state, name)
		i := &installed{commit: commit, dir: filepath.Join(at, "clone"), sources: filepath.Join(at, "sources"), made: filepath.Join(at, "made")}
		u.has[state][name] = i
		if err := u.clone(ctx, name, i); err != nil {
			return fmt.Errorf("cannot install %s as a user: %w", name, err)
		}
		if _, err := u.fetch(ctx, i, i.sources); err != nil {
			return fmt.Errorf("cannot install %s %s as a user: %w", name, i.version, err)
		}
		if err := u.build(ctx, i); err != nil {
			return fmt.Errorf("cannot install %s %s as a user: %w", name, i.version, err)
		}
	}
	return nil
}

func (u *Users) bare(name string) string { return filepath.Join(u.w.o.Dir, "aur", name+".git") }

// tip is the newest commit of a package; "" where there is none.
func (u *Users) tip(ctx context.Context, name string) (string, error) {
	if _, err := os.Stat(u.bare(name)); errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	var out strings.Builder
	err := gitd.Git(ctx, u.bare(name), nil, &out, "for-each-ref", "--format=%(objectname)", "refs/heads/master")
	return strings.TrimSpace(out.String()), err
}

// clone lays out what a commit of the AUR holds.
func (u *Users) clone(ctx context.Context, name string, i *installed) error {
	if err := os.MkdirAll(i.dir, 0o755); err != nil {
		return err
	}
	var tree strings.Builder
	if err := gitd.Git(ctx, u.bare(name), nil, &tree, "ls-tree", "-r", "-z", "--name-only", i.commit); err != nil {
		return err
	}
	for file := range strings.SplitSeq(strings.TrimSuffix(tree.String(), "\x00"), "\x00") {
		if !filepath.IsLocal(file) || strings.Contains(file, "/") {
			return fmt.Errorf("the AUR's repository holds %q", file)
		}
		var text strings.Builder
		if err := gitd.Git(ctx, u.bare(name), nil, &text, "cat-file", "blob", i.commit+":"+file); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(i.dir, file), []byte(text.String()), 0o644); err != nil {
			return err
		}
	}
	info, err := readInfo(i.dir)
	if err == nil {
		i.version = info.Version()
	}
	return err
}

func readInfo(dir string) (*pkgbuild.SRCINFO, error) {
	f, err := os.Open(filepath.Join(dir, ".SRCINFO"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return pkgbuild.ParseSRCINFO(f)
}

// fetch downloads the sources as anybody does, compares them with their sums, and counts them. Without a folder nothing is
// kept.
func (u *Users) fetch(ctx context.Context, i *installed, dir string) (links int, err error) {
	info, err := readInfo(i.dir)
	if err != nil {
		return 0, err
	}
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return 0, err
		}
	}
	for key, list := range info.Base {
		arch, isSource := strings.CutPrefix(key, "source")
		if !isSource {
			continue
		}
		sums := info.Base["sha256sums"+arch]
		for n, entry := range list {
			name, address, renamed := strings.Cut(entry, "::")
			if !renamed {
				name, address = path.Base(entry), entry
			}
			if !strings.Contains(address, "://") {
				continue // it lies in the repository
			}
			if n >= len(sums) || !filepath.IsLocal(name) || strings.Contains(name, "/") {
				return links, fmt.Errorf("source %q has no sum, or no name", entry)
			}
			to := ""
			if dir != "" {
				to = filepath.Join(dir, name)
			}
			if err := u.download(ctx, address, sums[n], to); err != nil {
				return links, fmt.Errorf("%s: %w", address, err)
			}
			links++
		}
	}
	return links, nil
}

// download gets a file; to may be "".
func (u *Users) download(ctx context.Context, address, sum, to string) (err error) {
	resp, err := u.get(ctx, address)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answers %s", resp.Status)
	}
	h := sha256.New()
	var out io.Writer = h
	if to != "" {
		f, err := os.Create(to)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out = io.MultiWriter(h, f)
	}
	if _, err := io.Copy(out, resp.Body); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return fmt.Errorf("it has SHA-256 %s, want %s", got, sum)
	}
	return nil
}

// get asks without any credential.
func (u *Users) get(ctx context.Context, address string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return (&http.Client{Transport: u.w.Map.Endpoints().HTTP}).Do(req)
}

// build makes the package. That it cannot be made here is no error.
func (u *Users) build(ctx context.Context, i *installed) error {
	if i.why = u.able(ctx); i.why != nil {
		return ctx.Err()
	}
	if err := os.MkdirAll(i.made, 0o755); err != nil {
		return err
	}
	info, err := readInfo(i.dir)
	if err != nil {
		return err
	}
	o := makepkg.Options{Dir: i.dir, SrcDest: i.sources, PkgDest: i.made, Contained: true}
	if archs := info.Base["arch"]; len(archs) > 0 && !slices.Contains(archs, "x86_64") && archs[0] != "any" {
		o.Arch = archs[0]
	}
	result, err := makepkg.Build(ctx, o)
	if cannot(err) {
		i.why = err
		return nil
	}
	if err != nil {
		return err
	}
	for _, file := range result.Packages {
		if !strings.Contains(filepath.Base(file), "-debug-") {
			i.file = file
		}
	}
	if i.file == "" {
		return errors.New("makepkg made no package")
	}
	if !filepath.IsAbs(i.file) {
		i.file = filepath.Join(i.made, filepath.Base(i.file))
	}
	return nil
}

// cannot says whether an error is about this machine, and not about a package.
func cannot(err error) bool {
	_, open := errors.AsType[*sandbox.OpenError](err)
	_, start := errors.AsType[*sandbox.StartError](err)
	return open || start || errors.Is(err, sandbox.ErrMissing)
}

// versionLines are the lines of a PKGBUILD that the next version changes.
var versionLines = regexp.MustCompile(`(?m)^(pkgver|pkgrel)=.*$`)

// next builds the package of a version to come: the PKGBUILD that is there by now, with another pkgver and pkgrel 1.
func (u *Users) next(ctx context.Context, name, pkgver string) (*installed, error) {
	back, at := u.has[HasBack][name], filepath.Join(u.dir, hasNext, name)
	i := &installed{dir: filepath.Join(at, "clone"), sources: back.sources, made: filepath.Join(at, "made")}
	if err := errors.Join(os.MkdirAll(at, 0o755), os.CopyFS(i.dir, os.DirFS(back.dir))); err != nil {
		return nil, err
	}
	file := filepath.Join(i.dir, "PKGBUILD")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if n := len(versionLines.FindAll(text, -1)); n != 2 {
		return nil, fmt.Errorf("the PKGBUILD has %d lines with pkgver and pkgrel, want 2", n)
	}
	text = versionLines.ReplaceAllFunc(text, func(line []byte) []byte {
		if bytes.HasPrefix(line, []byte("pkgrel")) {
			return []byte("pkgrel=1")
		}
		return []byte("pkgver=" + pkgbuild.Quote(pkgver))
	})
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return nil, err
	}
	return i, u.build(ctx, i)
}

// sameFiles compares what two packages install.
func (u *Users) sameFiles(ctx context.Context, a, b *installed) error {
	var lists [2]map[string]archive.Entry
	for n, i := range []*installed{a, b} {
		dir, err := os.MkdirTemp(u.dir, "opened-")
		if err != nil {
			return err
		}
		p, err := makepkg.Unpack(ctx, i.file, dir, archive.Limits{Entries: 200000, Bytes: 8 << 30})
		if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
			return err
		}
		lists[n] = map[string]archive.Entry{}
		for _, e := range p.Entries {
			lists[n][e.Path] = e
		}
	}
	var differ []string
	for file, e := range lists[0] {
		if f, ok := lists[1][file]; !ok || f.SHA256 != e.SHA256 || f.Mode != e.Mode || f.Link != e.Link {
			differ = append(differ, file)
		}
	}
	for file := range lists[1] {
		if _, ok := lists[0][file]; !ok {
			differ = append(differ, file)
		}
	}
	if slices.Sort(differ); len(differ) > 0 {
		return fmt.Errorf("%d files differ: %s", len(differ), strings.Join(differ[:min(3, len(differ))], ", "))
	}
	return nil
}
