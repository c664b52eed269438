package appimage

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/build/appimage/elfsect"
	"github.com/imrightguy/slipway/phases/build/appimage/runtime"
	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
	"github.com/imrightguy/slipway/phases/internal/archive"
)

func bad(format string, args ...any) error {
	return &archive.BadError{Why: fmt.Sprintf(format, args...)}
}

// source tells errors of the disk from those of what is on it.
type source struct {
	r   io.ReaderAt
	err error
}

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

func (s *source) judge(err error) error {
	var is *archive.BadError
	switch {
	case err == nil || errors.As(err, &is) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case s.err != nil:
		return s.err
	}
	return bad("%v", err)
}

// Entries lists what a finished AppImage holds, sorted by path, as other packages are read: it is refused with an
// [*archive.BadError] for damage, for names and links that lead out, for extended attributes, for what follows the
// filesystem image, and for more than the limits allow. Nothing is unpacked to disk.
func Entries(ctx context.Context, r io.ReaderAt, lim archive.Limits) ([]archive.Entry, error) {
	src := &source{r: r}
	list, err := entries(ctx, src, lim)
	return list, src.judge(err)
}

func entries(ctx context.Context, r io.ReaderAt, lim archive.Limits) ([]archive.Entry, error) {
	offset, err := elfsect.ImageOffset(r)
	if err != nil {
		return nil, err
	}
	img, err := squashfs.NewReader(r, offset)
	if err != nil {
		return nil, err
	}
	if img.HasAttributes() {
		return nil, bad("it has extended attributes")
	}
	if err := checkEnd(r, offset, int64(img.Superblock().BytesUsed)); err != nil {
		return nil, err
	}
	var list []archive.Entry
	total := int64(0)
	buf := make([]byte, 1<<18)
	err = img.Walk(func(p string, n *squashfs.Inode) error {
		if err := ctx.Err(); err != nil || p == "." {
			return err
		}
		if len(list) >= lim.Entries {
			return bad("it holds more than %d entries", lim.Entries)
		}
		if err := archive.CheckName(p); err != nil {
			return err
		}
		uid, gid, err := img.Owner(n)
		if err != nil {
			return err
		}
		e := archive.Entry{Path: p, Mode: n.Mode, Link: n.Target, UID: int(uid), GID: int(gid), ModTime: time.Unix(int64(n.Time), 0).UTC()}
		if n.Mode.IsRegular() {
			e.Size = n.Size
			if e.Size > lim.Bytes-total {
				return bad("its files hold more than %d bytes", lim.Bytes)
			}
			total += e.Size
			if e.SHA256, err = hashInode(ctx, img, n, buf); err != nil {
				return fmt.Errorf("%q: %w", p, err)
			}
		}
		list = append(list, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	archive.Sort(list)
	return list, archive.CheckLinks(list)
}

func hashInode(ctx context.Context, img *squashfs.Reader, n *squashfs.Inode, buf []byte) (string, error) {
	h := sha256.New()
	for at := int64(0); at < n.Size; {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		k, err := img.ReadAt(n, buf[:min(int64(len(buf)), n.Size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		h.Write(buf[:k])
		at += int64(k)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// checkEnd refuses what follows the filesystem image: only zeros do, up to a multiple of 4,096 bytes.
func checkEnd(r io.ReaderAt, offset, used int64) error {
	const align = 4096
	b := make([]byte, align+1)
	n, err := r.ReadAt(b, offset+used)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if want := int((align - used%align) % align); n > want || strings.Trim(string(b[:n]), "\x00") != "" {
		return bad("something follows the filesystem image")
	}
	return nil
}

// OpenFS opens the content of an AppImage as a file system that follows no links; open files are [io.ReaderAt] and
// [io.Seeker], too. Damage shows as an [*archive.BadError] here, and as an error that wraps [squashfs.ErrCorrupt] where
// files are read.
func OpenFS(r io.ReaderAt) (fs.ReadLinkFS, error) {
	src := &source{r: r}
	img, err := Open(src)
	if err != nil {
		return nil, src.judge(err)
	}
	return img.FS(), nil
}

// Head is what the ELF part of an AppImage says.
type Head struct {
	Arch              string // as Go names it; "" for a machine without AppImages
	Offset            int64  // of the filesystem image, in bytes
	RuntimeSHA256     string // of the part before the image with its four sections empty: that of the runtime it was made with
	UpdateInformation string
	Signature         string // armored; "" without
	SignatureKey      string // armored; "" without
	Digest            string // MD5 as it is written there, in hexadecimal; all zeros without
}

// ReadHead reads the ELF part. A file that is no AppImage of type 2 gives an [*archive.BadError].
func ReadHead(r io.ReaderAt) (Head, error) {
	src := &source{r: r}
	h, err := readHead(src)
	return h, src.judge(err)
}

func readHead(r io.ReaderAt) (h Head, err error) {
	var b [20]byte
	if _, err := r.ReadAt(b[:], 0); err != nil {
		return h, fmt.Errorf("no ELF file: %w", err)
	}
	machine := uint16(b[18]) | uint16(b[19])<<8
	if err := elfsect.Check(r, machine); err != nil {
		return h, err
	}
	for arch, m := range machines {
		if m == elf.Machine(machine) {
			h.Arch = arch
		}
	}
	if h.Offset, err = elfsect.ImageOffset(r); err != nil {
		return h, err
	}
	if h.Offset > maxRuntime {
		return h, bad("its filesystem image begins at %d, behind the largest runtime", h.Offset)
	}
	sum := sha256.New()
	if err := elfsect.HashWithout(sum, r, h.Offset, elfsect.Digest, elfsect.UpdateInfo, elfsect.Signature, elfsect.SignatureKey); err != nil {
		return h, err
	}
	h.RuntimeSHA256 = hex.EncodeToString(sum.Sum(nil))
	for _, s := range []struct {
		name string
		to   *string
	}{{elfsect.UpdateInfo, &h.UpdateInformation}, {elfsect.Signature, &h.Signature}, {elfsect.SignatureKey, &h.SignatureKey}} {
		if *s.to, err = elfsect.Text(r, s.name); err != nil {
			return h, err
		}
	}
	at, err := elfsect.Find(r, elfsect.Digest)
	if err != nil {
		return h, err
	}
	digest := make([]byte, md5.Size)
	if _, err := r.ReadAt(digest, at.Offset); err != nil {
		return h, err
	}
	h.Digest = hex.EncodeToString(digest)
	return h, nil
}

// CheckHead says in what the ELF part of a finished AppImage of size bytes differs from what was asked for: architecture,
// runtime, update information, digest, and whether there is a signature.
func (c Config) CheckHead(r io.ReaderAt, size int64) ([]string, error) {
	src := &source{r: r}
	h, err := readHead(src)
	if err != nil {
		return nil, src.judge(err)
	}
	var out []string
	differ := func(what, got, want string) {
		if got != want {
			out = append(out, fmt.Sprintf("%s %q, want %q", what, got, want))
		}
	}
	differ("architecture", h.Arch, c.Arch)
	want, err := c.builtIn()
	if err != nil {
		return nil, err
	}
	if c.Runtime != nil {
		want = strings.ToLower(c.Runtime.SHA256)
	}
	differ("SHA-256 of the runtime", h.RuntimeSHA256, want)
	update, err := c.Update()
	if err != nil {
		return nil, err
	}
	differ("update information", h.UpdateInformation, update)
	sum := md5.New()
	if err := elfsect.HashWithout(sum, src, size, elfsect.Digest, elfsect.Signature, elfsect.SignatureKey); err != nil {
		return nil, src.judge(err)
	}
	differ("digest", h.Digest, hex.EncodeToString(sum.Sum(nil)))
	if signed := h.Signature != "" && h.SignatureKey != ""; signed != (c.Sign != nil) {
		out = append(out, fmt.Sprintf("signed: %v, want %v", signed, c.Sign != nil))
	}
	return out, nil
}

// builtIn is the digest of the built-in runtime, "" where another is used.
func (c Config) builtIn() (string, error) {
	if c.Runtime != nil {
		return "", nil
	}
	rec, err := runtime.Recorded()
	return rec.SHA256[c.Arch], err
}
