package repo

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
)

// kind is what a tree's entry is.
type kind string

const (
	file    kind = "file"
	program kind = "program" // a file that may be executed
	folder  kind = "folder"
	link    kind = "symbolic link"
	module  kind = "submodule"
)

// kinds are the modes that git writes (fsck's badFilemode), and 100664 of its earliest versions.
var kinds = map[string]kind{"100644": file, "100664": file, "100755": program, "40000": folder, "120000": link, "160000": module}

// entry is one line of a tree object.
type entry struct {
	kind kind
	name string
	id   plumbing.Hash
	at   int // where the ID stands in the object
}

// parseTree reads a tree object: mode, space, name, NUL, 20 bytes of ID, again and again.
func parseTree(b []byte) (entries []entry, err error) {
	seen := map[string]bool{}
	for at := 0; at < len(b); {
		mode, rest, ok := bytes.Cut(b[at:], []byte(" "))
		name, rest, ok2 := bytes.Cut(rest, []byte{0})
		if !ok || !ok2 || len(rest) < 20 {
			return nil, errors.New("a tree object is malformed")
		}
		e := entry{kind: kinds[string(mode)], name: string(name), at: at + len(mode) + 1 + len(name) + 1}
		copy(e.id[:], rest)
		at = e.at + 20
		switch {
		case e.kind == "":
			return nil, fmt.Errorf("%q has mode %q, which is not one of git's", e.name, mode)
		case e.name == "" || strings.Contains(e.name, "/") || seen[e.name]:
			return nil, fmt.Errorf("a tree object is malformed: name %q", e.name)
		}
		seen[e.name] = true
		entries = append(entries, e)
	}
	return entries, nil
}

// checkName refuses names that file systems, or people reading a log, take for something else.
func checkName(name string) error {
	switch {
	case name == "." || name == "..":
		return errors.New("the name stands for a folder")
	case !utf8.ValidString(name):
		return errors.New("the name is not UTF-8")
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }):
		return errors.New("the name holds a control character or a backslash")
	case len(name) > 255:
		return errors.New("the name is longer than 255 bytes")
	case isDotGit(name):
		return errors.New("some file systems take the name for .git")
	}
	return nil
}

// ignorable are the code points that HFS+ leaves out when it compares names (git's utf8.c, next_hfs_char).
const ignorable = "\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u206a\u206b\u206c\u206d\u206e\u206f\ufeff"

// isDotGit reports whether a file system could take a name for .git: in any case, with code points that HFS+ ignores,
// and on NTFS with spaces, dots or a stream's name behind it, or in its short form git~1.
func isDotGit(name string) bool {
	name = strings.ToLower(strings.Map(func(r rune) rune {
		if strings.ContainsRune(ignorable, r) {
			return -1
		}
		return r
	}, name))
	name, _, _ = strings.Cut(name, ":")
	name = strings.TrimRight(name, " .")
	return name == ".git" || name == "git~1"
}
