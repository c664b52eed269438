// Package archive writes trees of files into archives, the same bytes wherever that is done, and reads finished
// packages back without trusting them.
//
// Everything is a list of [Entry]: [Tree] makes one of a folder, [ReadTarGz] and [ReadDeb] make one of a package, and
// [Diff] says in what two of them differ. Nothing is ever unpacked to disk.
//
// Archives are written and decompressed through github.com/mholt/archiver/v4. Of what it would take from the file
// system nothing is left to it: names, modes, owners, times and order come from the list.
package archive

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
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Entry is one file, folder or symbolic link.
type Entry struct {
	Path   string      // relative, clean, with slashes; see [CheckName]
	Mode   fs.FileMode // kind (none, [fs.ModeDir] or [fs.ModeSymlink]) and permission bits
	Size   int64       // bytes; of a file
	Link   string      // target; of a symbolic link
	SHA256 string      // hexadecimal, of a file's content; of a [Tree] only after [Hash]

	// What archives say besides; a [Tree] leaves them empty.
	UID, GID int
	ModTime  time.Time // zero: not looked at by [Diff]
}

// Limits of names and link targets in bytes: those of Linux.
const (
	maxSegment = 255
	maxPath    = 4095
)

// CheckName refuses a path that is not relative and clean, or that the formats or their tools cannot carry: dpkg and
// pacman keep lists of files with one path on each line.
func CheckName(p string) error {
	switch {
	case !utf8.ValidString(p):
		return fmt.Errorf("name %q is not valid UTF-8", p)
	case p == "." || !fs.ValidPath(p):
		return fmt.Errorf("name %q is not a clean relative path", p)
	case strings.ContainsFunc(p, unicode.IsControl):
		return fmt.Errorf("name %q holds a line break or another control character, which package managers cannot keep", p)
	case strings.Contains(p, `\`):
		return fmt.Errorf("name %q holds a backslash, which package managers read in different ways", p)
	case strings.ContainsFunc(p, decomposed):
		return fmt.Errorf("name %+q holds a letter and its mark as two characters, which bsdtar and pacman join: rename it (Unicode form NFC)", p)
	case len(p) > 1 && p[1] == ':':
		return fmt.Errorf("name %q begins like a drive, which bsdtar and pacman leave out", p)
	case len(p) > maxPath:
		return fmt.Errorf("name %.40q... is longer than %d bytes", p, maxPath)
	}
	for segment := range strings.SplitSeq(p, "/") {
		if len(segment) > maxSegment {
			return fmt.Errorf("name %.40q... is longer than %d bytes", segment, maxSegment)
		}
	}
	return nil
}

// decomposed reports whether a character joins with the one before it when libarchive reads a name (it makes Unicode
// form NFC of names in extended headers): marks of Latin, Greek and Cyrillic, of Arabic and of kana, and Hangul jamo.
// A few of them stand alone in NFC, too; names with these are refused without need.
func decomposed(r rune) bool {
	return r >= 0x300 && r <= 0x36f || r >= 0x653 && r <= 0x655 || r == 0x3099 || r == 0x309a || r >= 0x1161 && r <= 0x11ff
}

// CheckLink refuses a symbolic link at path p whose target cannot be carried or leads out of the tree as it is written.
// Whether other links on the way lead out is for [CheckLinks] to say.
func CheckLink(p, target string) error {
	switch {
	case target == "":
		return fmt.Errorf("link %q has no target", p)
	case !utf8.ValidString(target) || strings.ContainsFunc(target, unicode.IsControl) || strings.Contains(target, `\`):
		return fmt.Errorf("link %q points to %q, which package managers cannot keep", p, target)
	case len(target) > maxPath:
		return fmt.Errorf("link %q has a target of more than %d bytes", p, maxPath)
	case strings.HasPrefix(target, "/"):
		return fmt.Errorf("link %q points to %q; want a target relative to the link's folder", p, target)
	case leads(path.Join(path.Dir(p), target)):
		return fmt.Errorf("link %q points to %q, which is outside", p, target)
	}
	return nil
}

func leads(p string) bool { return p == ".." || strings.HasPrefix(p, "../") }

// maxHops is how many links Linux follows for one path.
const maxHops = 40

// CheckLinks follows every symbolic link of a tree and refuses those that lead out of it, to nothing, or in a circle.
func CheckLinks(entries []Entry) error {
	byPath := make(map[string]*Entry, len(entries))
	for i := range entries {
		byPath[entries[i].Path] = &entries[i]
	}
	for _, e := range entries {
		if e.Mode&fs.ModeSymlink == 0 {
			continue
		}
		if err := CheckLink(e.Path, e.Link); err != nil {
			return err
		}
		if err := follow(byPath, e); err != nil {
			return err
		}
	}
	return nil
}

// follow walks as the kernel does: one name at a time, with .. meaning the folder that was really come to.
func follow(byPath map[string]*Entry, link Entry) error {
	at, hops := path.Dir(link.Path), 0
	rest := strings.Split(link.Link, "/")
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			if at == "." {
				return fmt.Errorf("link %q points to %q, which is outside", link.Path, link.Link)
			}
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, name)
		e := byPath[next]
		switch {
		case e == nil:
			return fmt.Errorf("link %q points to %q, which is not there", link.Path, link.Link)
		case e.Mode&fs.ModeSymlink != 0:
			if hops++; hops > maxHops {
				return fmt.Errorf("link %q points to %q and goes in a circle", link.Path, link.Link)
			}
			if strings.HasPrefix(e.Link, "/") {
				return fmt.Errorf("link %q points to %q, which is outside", link.Path, link.Link)
			}
			rest = append(strings.Split(e.Link, "/"), rest...)
		case len(rest) > 0 && !e.Mode.IsDir():
			return fmt.Errorf("link %q points to %q, which goes through a file", link.Path, link.Link)
		default:
			at = next
		}
	}
	return nil
}

// Tree lists what is in a folder as [List] does, and refuses links that lead out of it or to nothing.
func Tree(dir string) ([]Entry, error) {
	entries, err := List(os.DirFS(dir))
	if err != nil {
		return nil, err
	}
	return entries, CheckLinks(entries)
}

// List lists what is in a file system, sorted by path in bytes, its root left out. Permission bits are those of a
// package: 0755 for folders and for files that their owner may execute, 0644 for other files, 0777 for links; so no
// umask shows. Names that cannot be packaged and anything else than files, folders and links are errors. Links are not
// followed.
func List(fsys fs.FS) ([]Entry, error) {
	var entries []Entry
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == "." {
			return err
		}
		e, err := entry(fsys, p, d)
		entries = append(entries, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	Sort(entries)
	return entries, nil
}

// Stat looks at one file, folder or link as [List] does. Its Path is p.
func Stat(fsys fs.FS, p string) (Entry, error) {
	info, err := fs.Lstat(fsys, p)
	if err != nil {
		return Entry{}, err
	}
	return entry(fsys, p, fs.FileInfoToDirEntry(info))
}

func entry(fsys fs.FS, p string, d fs.DirEntry) (Entry, error) {
	e := Entry{Path: p}
	if err := CheckName(p); err != nil {
		return e, err
	}
	info, err := d.Info()
	if err != nil {
		return e, err
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		e.Mode = fs.ModeDir | 0o755
	case mode&fs.ModeSymlink != 0:
		e.Mode = fs.ModeSymlink | 0o777
		e.Link, err = fs.ReadLink(fsys, p)
	case mode.IsRegular():
		e.Mode, e.Size = 0o644, info.Size()
		if mode&0o100 != 0 {
			e.Mode = 0o755
		}
	default:
		err = fmt.Errorf("%q is neither file, folder nor link", p)
	}
	return e, err
}

// Sort orders entries by path, byte by byte, so that a folder comes before what is in it.
func Sort(entries []Entry) {
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
}

// Hash reads the files of a [Tree] and fills in their digests. A file that no longer has its size is an error.
func Hash(ctx context.Context, dir string, entries []Entry) error {
	buf := make([]byte, 1<<18)
	for i := range entries {
		e := &entries[i]
		if !e.Mode.IsRegular() {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := os.Open(filepath.Join(dir, filepath.FromSlash(e.Path)))
		if err != nil {
			return err
		}
		hash := sha256.New()
		n, err := io.CopyBuffer(hash, struct{ io.Reader }{f}, buf)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		if n != e.Size {
			return fmt.Errorf("%q changed while it was read", e.Path)
		}
		e.SHA256 = hex.EncodeToString(hash.Sum(nil))
	}
	return nil
}
