// Package appimage makes type-2 AppImages: an ELF head that can mount, with a squashfs image behind it. It needs no
// other program, downloads nothing, and gives the same bytes for the same input.
//
// [Build] does the whole of it. The parts stand in packages of their own: squashfs, elfsect, zsync, the runtime, the
// AppDir with its checks. [Step] makes one of a bundle; [Entries], [OpenFS] and [ReadHead] read one that came from
// anywhere.
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
	"os"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/build/appimage/elfsect"
	"github.com/imrightguy/slipway/phases/build/appimage/runtime"
	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
	"github.com/imrightguy/slipway/phases/build/appimage/zsync"
	"github.com/klauspost/compress/zstd"
)

// Options say what goes into an AppImage.
type Options struct {
	Arch    string           // as Go names it: amd64, arm64, and with a Runtime of your own 386 and arm
	AppDir  []squashfs.Entry // for example from squashfs.ScanDir or appdir.Assemble
	Time    time.Time        // of every file in it
	Runtime *Runtime         // nil: the built-in one

	Compression Compression
	Workers     int // 0: one for each processor; about 40 MB each with all but Fast and Gzip

	UpdateInformation string // for example "gh-releases-zsync|owner|repo|latest|Name-*x86_64.AppImage.zsync"
	Sign              Signer // nil: no signature
}

// Runtime is a head of your own, for example the official one.
type Runtime struct {
	Path   string
	SHA256 string // of the file, checked
}

// Signer signs the text of a digest: an armored detached signature, and the armored public key for it.
type Signer func(ctx context.Context, digest string) (signature, publicKey []byte, err error)

// Compression is a balance of size, time to make and time to start.
type Compression string

// The compressions. A start touches few bytes of many files, and each costs a whole block: so the default has smaller
// blocks than Small and is some 2 % larger.
const (
	Default Compression = ""      // zstd, best level, blocks of 256 KiB
	Small   Compression = "small" // zstd, best level, blocks of 1 MiB
	Fast    Compression = "fast"  // zstd, second level of four, blocks of 256 KiB
	Gzip    Compression = "gzip"  // for runtimes that know nothing else
)

func (c Compression) options() (squashfs.Options, error) {
	switch c {
	case Default, "default":
		return squashfs.Options{BlockSize: 256 << 10, Level: zstd.SpeedBestCompression}, nil
	case Small:
		return squashfs.Options{BlockSize: 1 << 20, Level: zstd.SpeedBestCompression}, nil
	case Fast:
		return squashfs.Options{BlockSize: 256 << 10, Level: zstd.SpeedDefault}, nil
	case Gzip:
		return squashfs.Options{BlockSize: 128 << 10, Compression: squashfs.Gzip}, nil
	}
	return squashfs.Options{}, fmt.Errorf("compression %q is not one of default, small, fast, gzip", string(c))
}

// Result tells what Build made.
type Result struct {
	Size          int64
	ImageOffset   int64
	RuntimeSHA256 string
	Image         squashfs.Stats
}

// machines are the architectures a type-2 runtime exists for.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "386": elf.EM_386, "arm": elf.EM_ARM}

// Machine is the ELF machine of an architecture.
func Machine(arch string) (elf.Machine, error) {
	m, ok := machines[arch]
	if !ok {
		return 0, fmt.Errorf("no AppImage can be made for architecture %q", arch)
	}
	return m, nil
}

// Check finds what is wrong with the options before any work is done.
func (o *Options) Check() error {
	if _, err := Machine(o.Arch); err != nil {
		return err
	}
	if _, err := o.Compression.options(); err != nil {
		return err
	}
	if o.Runtime != nil && len(o.Runtime.SHA256) != 2*sha256.Size {
		return errors.New("a runtime of your own needs its SHA-256")
	}
	return CheckUpdateInformation(o.UpdateInformation)
}

// CheckUpdateInformation refuses what appimagetool refuses. Empty is fine.
func CheckUpdateInformation(s string) error {
	if s == "" {
		return nil
	}
	fields := map[string]int{"zsync": 2, "gh-releases-zsync": 5, "pling-v1-zsync": 3}
	parts := strings.Split(s, "|")
	switch want := fields[parts[0]]; {
	case want == 0:
		return fmt.Errorf("update information %q begins with none of zsync|, gh-releases-zsync|, pling-v1-zsync|", s)
	case len(parts) != want:
		return fmt.Errorf("update information %q has %d fields, not %d", s, len(parts), want)
	case len(s) >= 1024:
		return fmt.Errorf("update information of %d bytes: 1,023 fit", len(s))
	case strings.ContainsAny(s, "\x00\r\n"):
		return fmt.Errorf("update information %q holds a control character", s)
	}
	for i, p := range parts {
		if p == "" {
			return fmt.Errorf("update information %q: field %d is empty", s, i+1)
		}
	}
	return nil
}

// Build writes an AppImage to an empty file.
func Build(ctx context.Context, f elfsect.File, o Options) (Result, error) {
	if err := o.Check(); err != nil {
		return Result{}, err
	}
	head, err := o.head()
	if err != nil {
		return Result{}, err
	}
	sum := sha256.Sum256(head)
	res := Result{RuntimeSHA256: hex.EncodeToString(sum[:]), ImageOffset: int64(len(head))}
	if _, err := f.WriteAt(head, 0); err != nil {
		return res, err
	}
	if o.UpdateInformation != "" {
		if err := elfsect.Set(f, elfsect.UpdateInfo, []byte(o.UpdateInformation)); err != nil {
			return res, err
		}
	}
	so, err := o.Compression.options()
	if err != nil {
		return res, err
	}
	so.Time, so.Workers = o.Time, o.Workers
	if res.Image, err = squashfs.Write(ctx, f, res.ImageOffset, o.AppDir, so); err != nil {
		return res, fmt.Errorf("cannot write the filesystem image: %w", err)
	}
	res.Size = res.ImageOffset + res.Image.Size
	if t, ok := f.(interface{ Truncate(int64) error }); ok { // what stood in the file before
		if err := t.Truncate(res.Size); err != nil {
			return res, err
		}
	}
	h := md5.New()
	if err := elfsect.HashWithout(h, f, res.Size, elfsect.Digest, elfsect.Signature, elfsect.SignatureKey); err != nil {
		return res, err
	}
	if err := elfsect.Set(f, elfsect.Digest, h.Sum(nil)); err != nil {
		return res, err
	}
	if o.Sign != nil {
		err = sign(ctx, f, res.Size, o.Sign)
	}
	return res, err
}

// Open opens the filesystem image of an AppImage of type 2, from wherever it comes.
func Open(r io.ReaderAt) (*squashfs.Reader, error) {
	offset, err := elfsect.ImageOffset(r)
	if err != nil {
		return nil, err
	}
	return squashfs.NewReader(r, offset)
}

// maxRuntime bounds a runtime in bytes; the official one has less than 1 MB.
const maxRuntime = 64 << 20

// head returns the runtime, checked.
func (o *Options) head() ([]byte, error) {
	m, err := Machine(o.Arch)
	if err != nil {
		return nil, err
	}
	if o.Runtime == nil {
		return runtime.For(o.Arch)
	}
	b, err := readLimited(o.Runtime.Path, maxRuntime)
	if err != nil {
		return nil, fmt.Errorf("cannot read the AppImage runtime: %w", err)
	}
	if sum := sha256.Sum256(b); !strings.EqualFold(hex.EncodeToString(sum[:]), o.Runtime.SHA256) {
		return nil, fmt.Errorf("AppImage runtime %s has SHA-256 %x, not %s", o.Runtime.Path, sum, o.Runtime.SHA256)
	}
	r := strings.NewReader(string(b))
	if err := elfsect.Check(r, uint16(m)); err != nil {
		return nil, fmt.Errorf("AppImage runtime %s: %w", o.Runtime.Path, err)
	}
	// The image goes where the runtime will look for it.
	offset, err := elfsect.ImageOffset(r)
	if err != nil {
		return nil, fmt.Errorf("AppImage runtime %s: %w", o.Runtime.Path, err)
	}
	if offset != int64(len(b)) {
		return nil, fmt.Errorf("AppImage runtime %s is %d bytes long, but its ELF part ends at %d", o.Runtime.Path, len(b), offset)
	}
	return b, nil
}

func readLimited(path string, limit int64) (b []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b, err = io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is longer than %d bytes", path, limit)
	}
	return b, err
}

// SigningDigest returns the text that an AppImage's signature covers.
func SigningDigest(r io.ReaderAt, size int64) (string, error) {
	h := sha256.New()
	err := elfsect.HashWithout(h, r, size, elfsect.Signature, elfsect.SignatureKey)
	return hex.EncodeToString(h.Sum(nil)), err
}

func sign(ctx context.Context, f elfsect.File, size int64, signer Signer) error {
	digest, err := SigningDigest(f, size)
	if err != nil {
		return err
	}
	signature, key, err := signer(ctx, digest)
	if err != nil {
		return fmt.Errorf("cannot sign the AppImage: %w", err)
	}
	if err := elfsect.Set(f, elfsect.Signature, signature); err != nil {
		return fmt.Errorf("cannot embed the signature (a smaller key gives a smaller one): %w", err)
	}
	if err := elfsect.Set(f, elfsect.SignatureKey, key); err != nil {
		return fmt.Errorf("cannot embed the public key: %w", err)
	}
	return nil
}

// WriteZsync writes the .zsync of a finished AppImage. Its name must match the pattern in the update information, and
// it must lie beside the AppImage, whose file name is name.
func WriteZsync(ctx context.Context, w io.Writer, r io.ReaderAt, size int64, name string, t time.Time) error {
	return zsync.Write(ctx, w, io.NewSectionReader(r, 0, size), size, zsync.Options{Filename: name, URL: name, Time: t})
}
