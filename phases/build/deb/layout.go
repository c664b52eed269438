package deb

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
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

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/tarball"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/pipeline"
)

// File is one entry of the package.
type File struct {
	archive.Entry        // SHA256 is set for texts made here only; others have it after [Hash]
	source        string // where a file's content lies
	text          []byte // its content where it is made here
}

// manRE is a manual page of Policy 12.1: man1 to man9, in English or in a folder for a language.
var manRE = regexp.MustCompile(`^share/man/([^/]+/)?man[1-9]/[^/]+\.[1-9][a-z0-9+]*$`)

// Content says where the content of a file is: at a path on the disk, or in the text that was made here.
func (f File) Content() (path string, text []byte) { return f.source, f.text }

// Conffiles lists the configuration files of a package, which are its files in /etc: their paths, without the slash in
// front. Links are none (Policy 10.7.3 has them for files only).
func Conffiles(list []File) []string {
	var paths []string
	for _, f := range list {
		if f.Mode.IsRegular() && bundle.InEtc(f.Path) {
			paths = append(paths, f.Path)
		}
	}
	return paths
}

// maxPage bounds manual pages and licences, which are read as a whole.
const maxPage = 16 << 20

// Layout lists what the package made of the bundle in dir holds, sorted by path: the bundle's files below usr/ and
// etc/, manual pages compressed as gzip -9n does, and under usr/share what Debian wants, unless the bundle has it.
func Layout(c Config, env *pipeline.Env, dir string) ([]File, error) {
	entries, err := archive.Tree(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, errors.New("the bundle is empty")
	}
	l := &layout{cfg: c, env: env, dir: dir, entries: entries, at: map[string]File{}}
	l.put(File{Entry: archive.Entry{Path: "usr", Mode: fs.ModeDir | 0o755}})
	for _, e := range entries {
		if err := l.bundled(e); err != nil {
			return nil, err
		}
	}
	if err := l.documents(); err != nil {
		return nil, err
	}
	out := make([]File, 0, len(l.at))
	for _, f := range l.at {
		f.ModTime = tarball.Time(env)
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

type layout struct {
	cfg     Config
	env     *pipeline.Env
	dir     string
	entries []archive.Entry // of the bundle
	at      map[string]File // by path in the package
	static  []string        // statically linked programs, paths in the package
	legal   []string        // licence texts, paths in the bundle
}

func (l *layout) put(f File) { l.at[f.Path] = f }

func (l *layout) has(p string) bool { _, ok := l.at[p]; return ok }

// made adds a file with a text, and the folders above it.
func (l *layout) made(p string, text []byte) {
	sum := sha256.Sum256(text)
	l.put(File{Entry: archive.Entry{Path: p, Mode: 0o644, Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:])}, text: text})
	for dir := path.Dir(p); !l.has(dir); dir = path.Dir(dir) {
		l.put(File{Entry: archive.Entry{Path: dir, Mode: fs.ModeDir | 0o755}})
	}
}

// bundled adds one entry of the bundle.
func (l *layout) bundled(e archive.Entry) error {
	file := filepath.Join(l.dir, filepath.FromSlash(e.Path))
	page := manRE.MatchString(e.Path) && !e.Mode.IsDir()
	inBundle := e.Path
	if !bundle.InEtc(e.Path) {
		e.Path = "usr/" + e.Path
	}
	if page {
		e.Path += ".gz"
	}
	switch {
	case page && e.Mode&fs.ModeSymlink != 0: // to another page, which is compressed too
		e.Link += ".gz"
	case page:
		text, err := readSmall(file)
		if err != nil {
			return err
		}
		if l.has(e.Path) {
			return fmt.Errorf("the bundle has the manual page %q both compressed and not", inBundle)
		}
		l.made(e.Path, Gzip(text))
		return nil
	case e.Mode.IsRegular():
		if static, err := isStatic(file); err != nil {
			return err
		} else if static {
			l.static = append(l.static, e.Path)
		}
		if isLicense(inBundle) {
			l.legal = append(l.legal, inBundle)
		}
	}
	if l.has(e.Path) {
		return fmt.Errorf("the bundle has the manual page %q both compressed and not", inBundle)
	}
	l.put(File{Entry: e, source: file})
	return nil
}

func readSmall(file string) (_ []byte, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b, err := io.ReadAll(io.LimitReader(f, maxPage+1))
	if len(b) > maxPage {
		err = fmt.Errorf("%s is larger than %d bytes", filepath.Base(file), maxPage)
	}
	return b, err
}

// Gzip compresses as gzip -9n does: no name and no time in the header.
func Gzip(text []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(text)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		panic(err) // the level is valid, and a buffer takes everything
	}
	return b.Bytes()
}

// isStatic reports what lintian's statically-linked-binary does: an ELF program, neither a shared object nor
// position-independent, that needs no library.
func isStatic(file string) (_ bool, err error) {
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	e, err := elf.NewFile(f)
	if err != nil {
		return false, nil //nolint:nilerr // not an ELF file, or one that lintian will not understand either
	}
	if e.Type != elf.ET_EXEC {
		return false, nil
	}
	libs, err := e.ImportedLibraries()
	return err == nil && len(libs) == 0, nil
}

// licenseRE is the names by which lintian's extra-license-file knows a licence.
var licenseRE = regexp.MustCompile(`(?i)^(copying|licen[cs]e|l?gpl|bsd|artistic)[v0-9._-]*(\..*)?$`)

func isLicense(p string) bool {
	return licenseRE.MatchString(path.Base(p)) && (strings.HasPrefix(p, "share/licenses/") || strings.HasPrefix(p, "share/doc/"))
}

// Hash reads the files that are not made here and fills in their digests.
func Hash(list []File) error {
	buf := make([]byte, 1<<18)
	for i := range list {
		f := &list[i]
		if !f.Mode.IsRegular() || f.text != nil {
			continue
		}
		in, err := os.Open(f.source)
		if err != nil {
			return err
		}
		hash := sha256.New()
		n, err := io.CopyBuffer(hash, struct{ io.Reader }{in}, buf)
		if err = errors.Join(err, in.Close()); err != nil {
			return err
		}
		if n != f.Size {
			return fmt.Errorf("%q changed while it was read", f.Path)
		}
		f.SHA256 = hex.EncodeToString(hash.Sum(nil))
	}
	return nil
}
