// Package needs finds what the programs and libraries of a tree take from the system they run on: libraries that are
// not in the tree, and the newest glibc and libstdc++ symbols.
//
// [Read] reads one ELF file, [Closure] follows the needs of many as ld.so(8) does, and [Of] does both for a list of
// files. Libraries that a program opens by itself (dlopen: plug-ins, GTK modules, FFI) are invisible here.
package needs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// File is one file, folder or symbolic link of a tree.
type File struct {
	Path string      // relative, with slashes, as "lib/app/app"
	Mode fs.FileMode // its kind
	Size int64       // bytes; of a regular file
	Link string      // target; of a symbolic link
	Open func() (Content, error)
}

// Content is a file that is open.
type Content interface {
	io.ReaderAt
	io.Closer
}

// Limits are what a tree may ask of a system.
type Limits struct {
	GLIBC       string   // the newest symbol version allowed, "2.31"; empty: any
	GLIBCXX     string   // likewise of libstdc++, "3.4.28"
	Host        []string // libraries to be found on the system besides those of [System]
	LibraryPath []string // folders of the tree that will be in LD_LIBRARY_PATH
}

// Report is what a tree needs.
type Report struct {
	Files   int               // programs and libraries
	Host    map[string]string // library of the system: the first file that needs it
	Missing []Missing         // neither to be found in the tree nor on every system
	Damaged []Damaged         // begins like an ELF file and is none; only of [Of]
	GLIBC   Version           // the newest needed; RELR counts as 2.36
	GLIBCXX Version
}

// Missing is a library that would not be found.
type Missing struct {
	File, Library string
	Looked        []string // the folders of the tree in which the dynamic linker looks for it
	Elsewhere     string   // where in the tree it lies instead; empty: nowhere
}

// String says it in one line.
func (m Missing) String() string {
	looked := "it has no RUNPATH into the tree"
	if len(m.Looked) > 0 {
		looked = "it looks in " + strings.Join(m.Looked, ", ")
	}
	if m.Elsewhere != "" {
		return fmt.Sprintf("%s needs %s and will not find it at %s: %s", m.File, m.Library, m.Elsewhere, looked)
	}
	return fmt.Sprintf("%s needs %s, which is neither in the tree nor on every system", m.File, m.Library)
}

// Damaged is a file that begins like an ELF file and is none.
type Damaged struct {
	File string
	Err  error
}

// Version is a symbol version and the file that needs it.
type Version struct{ Version, File string }

// Of reads every ELF file of a tree and follows its needs as the dynamic linker would.
func Of(ctx context.Context, files []File, l Limits) (*Report, error) {
	var objects []*Object
	var bad []Damaged
	links := map[string]string{}
	for i := range files {
		f := &files[i]
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if f.Mode.Type() == fs.ModeSymlink {
			links[f.Path] = f.Link
		}
		if !f.Mode.IsRegular() || f.Size < header32 {
			continue
		}
		switch o, err := f.read(); {
		case errors.Is(err, ErrDamaged):
			bad = append(bad, Damaged{f.Path, err})
		case err != nil:
			return nil, fmt.Errorf("cannot read %s: %w", f.Path, err)
		case o != nil:
			objects = append(objects, o)
		}
	}
	r, err := Closure(ctx, objects, links, l)
	if err == nil {
		r.Damaged = bad
	}
	return r, err
}

func (f *File) read() (_ *Object, err error) {
	c, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return Read(f.Path, c)
}

// Check compares a report with the limits and returns one line for each thing wrong.
func (r *Report) Check(l Limits) ([]string, error) {
	var problems []string
	for _, d := range r.Damaged {
		problems = append(problems, fmt.Sprintf("%s: %v", d.File, d.Err))
	}
	for _, m := range r.Missing {
		problems = append(problems, m.String())
	}
	for _, c := range []struct {
		name, limit string
		found       Version
	}{{"GLIBC", l.GLIBC, r.GLIBC}, {"GLIBCXX", l.GLIBCXX, r.GLIBCXX}} {
		switch {
		case c.limit == "":
		case !IsVersion(c.limit):
			return nil, fmt.Errorf("%s limit %q is no version", c.name, c.limit)
		case c.found.Version != "" && compare(c.found.Version, c.limit) > 0:
			problems = append(problems, fmt.Sprintf("%s needs %s_%s, newer than %s", c.found.File, c.name, c.found.Version, c.limit))
		}
	}
	return problems, nil
}

// relr is what a file with packed relocations asks for instead of a number: a glibc that knows them.
const relr = "GLIBC_ABI_DT_RELR"

func raise(v *Version, prefix, symbol, file string) {
	if symbol == relr && prefix == "GLIBC_" {
		symbol = "GLIBC_2.36"
	}
	n, ok := strings.CutPrefix(symbol, prefix)
	if ok && IsVersion(n) && (v.Version == "" || compare(n, v.Version) > 0) {
		*v = Version{n, file}
	}
}

// IsVersion reports whether s is numbers with dots between them, as "2.31".
func IsVersion(s string) bool {
	for p := range strings.SplitSeq(s, ".") {
		if _, err := strconv.ParseUint(p, 10, 31); err != nil {
			return false
		}
	}
	return true
}

// compare compares versions number by number.
func compare(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		var m, n int
		if i < len(x) {
			m, _ = strconv.Atoi(x[i]) // IsVersion has looked at it
		}
		if i < len(y) {
			n, _ = strconv.Atoi(y[i]) // likewise
		}
		if m != n {
			return cmp.Compare(m, n)
		}
	}
	return 0
}

// sortMissing orders by file, then library.
func sortMissing(list []Missing) {
	slices.SortFunc(list, func(a, b Missing) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Library, b.Library)) })
}
