package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// Diff says in what got differs from want, both sorted by path: one line for each difference, sorted, with paths
// quoted. Times are compared where want has one.
func Diff(want, got []Entry) []string {
	var out []string
	for len(want) > 0 || len(got) > 0 {
		switch {
		case len(got) == 0 || len(want) > 0 && want[0].Path < got[0].Path:
			out = append(out, fmt.Sprintf("%q is missing", want[0].Path))
			want = want[1:]
		case len(want) == 0 || got[0].Path < want[0].Path:
			out = append(out, fmt.Sprintf("%q is not expected", got[0].Path))
			got = got[1:]
		default:
			if d := diffEntry(want[0], got[0]); d != "" {
				out = append(out, fmt.Sprintf("%q: %s", want[0].Path, d))
			}
			want, got = want[1:], got[1:]
		}
	}
	return out
}

func diffEntry(want, got Entry) string {
	var ds []string
	differ := func(what string, differs bool, g, w any) {
		if differs {
			ds = append(ds, fmt.Sprintf("%s %v, want %v", what, g, w))
		}
	}
	differ("it is a", kind(want) != kind(got), kind(got), kind(want))
	differ("mode", want.Mode&^fs.ModeType != got.Mode&^fs.ModeType, octal(got), octal(want))
	differ("size", want.Size != got.Size, got.Size, want.Size)
	differ("target", want.Link != got.Link, quoted(got.Link), quoted(want.Link))
	differ("SHA-256", want.SHA256 != got.SHA256 && want.Size == got.Size, short(got.SHA256), short(want.SHA256))
	differ("owner", want.UID != got.UID || want.GID != got.GID, owner(got), owner(want))
	differ("time", !want.ModTime.IsZero() && !want.ModTime.Equal(got.ModTime),
		got.ModTime.UTC().Format(time.RFC3339Nano), want.ModTime.UTC().Format(time.RFC3339Nano))
	return strings.Join(ds, "; ")
}

func kind(e Entry) string {
	switch {
	case e.Mode.IsDir():
		return "folder"
	case e.Mode&fs.ModeSymlink != 0:
		return "link"
	case e.Mode.IsRegular():
		return "file"
	}
	return "special file"
}

func octal(e Entry) string {
	mode := uint32(e.Mode.Perm())
	for _, bit := range []struct {
		mode  fs.FileMode
		octal uint32
	}{{fs.ModeSetuid, 0o4000}, {fs.ModeSetgid, 0o2000}, {fs.ModeSticky, 0o1000}} {
		if e.Mode&bit.mode != 0 {
			mode |= bit.octal
		}
	}
	return fmt.Sprintf("%04o", mode)
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

func owner(e Entry) string { return fmt.Sprintf("%d/%d", e.UID, e.GID) }

func short(digest string) string { return fmt.Sprintf("%.12s", digest) }

// Listing prints entries, one on each line: kind and mode, size, path, and the target of a link.
func Listing(entries []Entry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%-6s %s %9d %s", kind(e), octal(e), e.Size, e.Path)
		if e.Link != "" {
			b.WriteString(" -> " + e.Link)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Digest is the SHA-256, in hexadecimal, of all that is known of the entries but for owners and times.
func Digest(entries []Entry) string {
	h := sha256.New()
	for _, e := range entries {
		fmt.Fprintf(h, "%s %s %d %s %q %q\n", kind(e), octal(e), e.Size, e.SHA256, e.Path, e.Link)
	}
	return hex.EncodeToString(h.Sum(nil))
}
