package archive

import (
	"archive/tar"
	"context"
	"crypto/md5" //nolint:gosec // the format of md5sums in Debian packages; not for security
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/mholt/archiver/v4"
)

// Limits bound what is read from an archive, however small it is packed.
type Limits struct {
	Entries int   // files, folders and links
	Bytes   int64 // content of all files
}

// unpacked is the most that a tar archive within the limits can be long.
func (l Limits) unpacked() int64 {
	const perEntry, trailer = 16 << 10, 1 << 20 // header, extended header, padding; end of archive
	return l.Bytes + int64(l.Entries)*perEntry + trailer
}

// A BadError says that an archive is damaged or holds what no package of ours may hold. Other errors say that it could
// not be read.
type BadError struct{ Why string }

// Error is the reason.
func (e *BadError) Error() string { return e.Why }

func bad(format string, args ...any) error { return &BadError{fmt.Sprintf(format, args...)} }

// source remembers whether an error came from below, from the disk, or from what was read. The decompressor may read
// in a goroutine of its own.
type source struct {
	r   io.Reader
	err atomic.Pointer[error]
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err.Store(&err)
	}
	return n, err
}

// own keeps the errors of keep from being taken for damage. What it got from reading the archive is left to be judged.
func (s *source) own(keep Content) Content {
	if keep == nil {
		return nil
	}
	return func(e Entry, r io.Reader) error {
		in := &remember{r: r}
		err := keep(e, in)
		if err != nil && (in.err == nil || !errors.Is(err, in.err)) {
			s.err.Store(&err)
		}
		return err
	}
}

// remember keeps the first error of reading.
type remember struct {
	r   io.Reader
	err error
}

func (r *remember) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && r.err == nil {
		r.err = err
	}
	return n, err
}

// judge makes a BadError of an error that came neither from below nor from the context.
func (s *source) judge(ctx context.Context, err error) error {
	var is *BadError
	switch {
	case err == nil || errors.As(err, &is):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case s.err.Load() != nil:
		return *s.err.Load()
	}
	return bad("it is damaged: %v", err)
}

// Content is called for each file of an archive that is read, with what is in it; what it leaves unread is read after it.
// The Entry has no digest yet. An error that is not a [*BadError] has to be one of its own doing, like that of a disk.
type Content func(Entry, io.Reader) error

// ReadTarGz lists a gzip-compressed tar archive, sorted by path. Keep may be nil. Refused with a [*BadError]: damage anywhere in the
// stream, whatever follows the archive, other entries than files, folders and links, names and links that lead out,
// entries below a link, a path that is there twice, extended attributes, and more than the limits allow.
func ReadTarGz(ctx context.Context, r io.Reader, lim Limits, keep Content) ([]Entry, error) {
	src := &source{r: r}
	entries, _, err := readCompressed(ctx, src, gunzip, lim, tarOptions{content: src.own(keep)})
	return entries, src.judge(ctx, err)
}

// gunzip is not the multithreaded one: that (pgzip v1.2.6) accepts a stream which ends before its checksum.
var gunzip = archiver.Gz{}

type tarOptions struct {
	debian bool // names begin with ./, a root entry may be there, MD5 sums are wanted
	// content is called for each file where set, instead of only hashing it.
	content Content
}

// readCompressed reads the archive and then to the end of what it is compressed in, so that its checksum is verified.
func readCompressed(ctx context.Context, r io.Reader, c archiver.Decompressor, lim Limits, o tarOptions) (_ []Entry, md5s map[string]string, err error) {
	if c != nil {
		rc, err := c.OpenReader(r)
		if err != nil {
			return nil, nil, err
		}
		defer func() { err = errors.Join(err, rc.Close()) }()
		r = rc
	}
	limited := &io.LimitedReader{R: r, N: lim.unpacked()}
	tr := tarReader{lim: lim, o: o, seen: map[string]fs.FileMode{}, md5s: map[string]string{}}
	if err := tr.read(ctx, limited); err != nil {
		if limited.N <= 0 {
			err = bad("it unpacks to more than %d bytes", lim.unpacked())
		}
		return nil, nil, err
	}
	if err := onlyZeros(limited); err != nil {
		return nil, nil, err
	}
	if limited.N <= 0 {
		return nil, nil, bad("it unpacks to more than %d bytes", lim.unpacked())
	}
	return tr.entries, tr.md5s, tr.whole()
}

func onlyZeros(r io.Reader) error {
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			if b != 0 {
				return bad("something follows the end of the archive")
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

type tarReader struct {
	lim     Limits
	o       tarOptions
	total   int64
	entries []Entry
	seen    map[string]fs.FileMode
	md5s    map[string]string // by path
}

func (t *tarReader) read(ctx context.Context, r io.Reader) error {
	var first error // as it was given: archiver puts the entry's name before it, as it stands in the archive
	err := archiver.Tar{}.Extract(ctx, r, func(_ context.Context, f archiver.FileInfo) error {
		h, ok := f.Header.(*tar.Header)
		if !ok {
			return errors.New("no header")
		}
		first = t.entry(h, f)
		return first
	})
	if first != nil {
		return first
	}
	return err
}

func (t *tarReader) entry(h *tar.Header, f archiver.FileInfo) error {
	if len(t.entries) >= t.lim.Entries {
		return bad("it holds more than %d entries", t.lim.Entries)
	}
	name := h.Name
	if t.o.debian {
		name = strings.TrimPrefix(name, "./")
		if name == "" && h.Typeflag == tar.TypeDir {
			return nil
		}
	}
	if h.Typeflag == tar.TypeDir {
		name = strings.TrimSuffix(name, "/")
	}
	if err := CheckName(name); err != nil {
		return bad("%v", err)
	}
	if _, twice := t.seen[name]; twice {
		return bad("%q is there twice", name)
	}
	for _, key := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		if !slices.Contains([]string{"path", "linkpath", "size", "mtime"}, key) {
			return bad("%q has the extended attribute %q", name, key)
		}
	}
	e := Entry{Path: name, Mode: f.Mode(), UID: h.Uid, GID: h.Gid, ModTime: h.ModTime.UTC()}
	t.seen[name] = e.Mode
	switch h.Typeflag {
	case tar.TypeDir:
	case tar.TypeSymlink:
		e.Link = h.Linkname
		if err := CheckLink(name, e.Link); err != nil {
			return bad("%v", err)
		}
	case tar.TypeReg:
		e.Size = h.Size
		if t.total += h.Size; h.Size < 0 || t.total < 0 || t.total > t.lim.Bytes {
			return bad("its files hold more than %d bytes", t.lim.Bytes)
		}
		if err := t.content(&e, f); err != nil {
			return err
		}
	default:
		return bad("%q is neither file, folder nor symbolic link (type %q)", name, h.Typeflag)
	}
	t.entries = append(t.entries, e)
	return nil
}

func (t *tarReader) content(e *Entry, f archiver.FileInfo) (err error) {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	sum, old := sha256.New(), md5.New()
	var w io.Writer = sum
	if t.o.debian {
		w = io.MultiWriter(sum, old)
	}
	tee := io.TeeReader(r, w)
	if t.o.content != nil {
		if err := t.o.content(*e, tee); err != nil {
			return err
		}
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, tee, *buf); err != nil {
		return err
	}
	e.SHA256 = hex.EncodeToString(sum.Sum(nil))
	if t.o.debian {
		t.md5s[e.Path] = hex.EncodeToString(old.Sum(nil))
	}
	return nil
}

// whole checks what can only be seen when all entries are known.
func (t *tarReader) whole() error {
	for _, e := range t.entries {
		for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
			if mode, there := t.seen[dir]; there && !mode.IsDir() {
				return bad("%q lies below %q, which is not a folder", e.Path, dir)
			}
		}
	}
	Sort(t.entries)
	if err := CheckLinks(t.entries); err != nil {
		return bad("%v", err)
	}
	return nil
}
