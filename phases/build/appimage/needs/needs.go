// Package needs finds what the programs and libraries of a bundle take from the system they run on: libraries that are
// not in the bundle, and the newest glibc and libstdc++ symbols.
//
// Libraries that a program opens by itself (dlopen: plug-ins, GTK modules, FFI) are invisible here.
package needs

import (
	"bytes"
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
)

// Limits are what a bundle may ask of a system.
type Limits struct {
	GLIBC       string   // the newest symbol version allowed, "2.31"; empty: any
	GLIBCXX     string   // likewise of libstdc++, "3.4.28"
	Host        []string // libraries to be found on the system besides the usual ones
	LibraryPath []string // folders of the tree that AppRun puts into LD_LIBRARY_PATH
}

// Report is what a bundle needs.
type Report struct {
	Files   int               // programs and libraries
	Host    map[string]string // library of the system: the first file that needs it
	Missing []Missing         // neither in the bundle nor on every system
	GLIBC   Version           // the newest needed; RELR counts as 2.36
	GLIBCXX Version
}

// Missing is a library that would not be found.
type Missing struct{ File, Library string }

// Version is a symbol version and the file that needs it.
type Version struct{ Version, File string }

// object is an ELF file of the bundle.
type object struct {
	path     string
	program  bool // it has an interpreter
	class    elf.Class
	soname   string
	needed   []string
	runpath  []string
	rpath    []string
	versions []elf.DynamicVersionNeed
}

const maxObject = 1 << 30

// Of reads every ELF file of a tree and follows its needs as the dynamic linker would.
func Of(entries []squashfs.Entry, l Limits) (*Report, error) {
	t := tree{objects: map[string]*object{}, links: map[string]string{}, path: l.LibraryPath}
	for i := range entries {
		e := &entries[i]
		switch {
		case e.Mode.Type() == fs.ModeSymlink:
			t.links[e.Path] = e.Target
		case e.Mode.IsRegular():
			o, err := readObject(e)
			if err != nil {
				return nil, fmt.Errorf("cannot read %s: %w", e.Path, err)
			}
			if o != nil {
				t.objects[e.Path] = o
			}
		}
	}
	r := &Report{Files: len(t.objects), Host: map[string]string{}}
	host := map[string]bool{}
	for _, list := range [][]string{System, l.Host} {
		for _, so := range list {
			host[so] = true
		}
	}
	roots := t.sorted()
	loaded := map[*object]bool{}
	missing := map[Missing]bool{}
	// Programs first; then what none of them loads by name, as plug-ins are.
	for _, programs := range []bool{true, false} {
		for _, o := range roots {
			if o.program != programs || loaded[o] {
				continue
			}
			for _, m := range t.load(o, loaded) {
				if host[m.Library] {
					if r.Host[m.Library] == "" {
						r.Host[m.Library] = m.File
					}
				} else if !missing[m] {
					missing[m] = true
					r.Missing = append(r.Missing, m)
				}
			}
		}
	}
	slices.SortFunc(r.Missing, func(a, b Missing) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Library, b.Library)) })
	for _, o := range roots {
		for _, need := range o.versions {
			if r.Host[need.Name] == "" { // the bundle brings its own
				continue
			}
			for _, dep := range need.Needs {
				raise(&r.GLIBC, "GLIBC_", dep.Dep, o.path)
				raise(&r.GLIBCXX, "GLIBCXX_", dep.Dep, o.path)
			}
		}
	}
	return r, nil
}

// relr is what a file with packed relocations asks for instead of a number: a glibc that knows them.
const relr = "GLIBC_ABI_DT_RELR"

func raise(v *Version, prefix, symbol, file string) {
	if symbol == relr && prefix == "GLIBC_" {
		symbol = "GLIBC_2.36"
	}
	n, ok := strings.CutPrefix(symbol, prefix)
	if ok && isVersion(n) && (v.Version == "" || compare(n, v.Version) > 0) {
		*v = Version{n, file}
	}
}

func isVersion(s string) bool {
	for p := range strings.SplitSeq(s, ".") {
		if _, err := strconv.Atoi(p); err != nil {
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
			m, _ = strconv.Atoi(x[i]) // isVersion has looked at it
		}
		if i < len(y) {
			n, _ = strconv.Atoi(y[i]) // likewise
		}
		if m != n {
			return m - n
		}
	}
	return 0
}

// Check compares a report with the limits and returns one line for each thing wrong.
func (r *Report) Check(l Limits) ([]string, error) {
	var problems []string
	for _, m := range r.Missing {
		problems = append(problems, fmt.Sprintf("%s needs %s, which is neither in the bundle nor on every system", m.File, m.Library))
	}
	for _, c := range []struct {
		name, limit string
		found       Version
	}{{"GLIBC", l.GLIBC, r.GLIBC}, {"GLIBCXX", l.GLIBCXX, r.GLIBCXX}} {
		switch {
		case c.limit == "":
		case !isVersion(c.limit):
			return nil, fmt.Errorf("%s limit %q is no version", c.name, c.limit)
		case c.found.Version != "" && compare(c.found.Version, c.limit) > 0:
			problems = append(problems, fmt.Sprintf("%s needs %s_%s, newer than %s", c.found.File, c.name, c.found.Version, c.limit))
		}
	}
	return problems, nil
}

func readObject(e *squashfs.Entry) (o *object, err error) {
	if e.Size < 52 || e.Open == nil {
		return nil, nil
	}
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	at, ok := r.(io.ReaderAt)
	if ok {
		var head [4]byte
		if _, err := at.ReadAt(head[:], 0); err != nil || string(head[:]) != elf.ELFMAG {
			return nil, err
		}
	} else {
		head := make([]byte, 4)
		if _, err := io.ReadFull(r, head); err != nil || string(head) != elf.ELFMAG {
			return nil, err
		}
		if e.Size > maxObject {
			return nil, fmt.Errorf("an ELF file of %d bytes", e.Size)
		}
		rest, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		at = bytes.NewReader(append(head, rest...))
	}
	f, err := elf.NewFile(at)
	if err != nil {
		return nil, err
	}
	if f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return nil, nil // an object file, a core dump
	}
	o = &object{path: e.Path, class: f.Class}
	for _, p := range f.Progs {
		o.program = o.program || p.Type == elf.PT_INTERP
	}
	dyn := func(tag elf.DynTag) []string {
		s, derr := f.DynString(tag)
		if derr != nil {
			err = errors.Join(err, derr)
		}
		return s
	}
	if f.SectionByType(elf.SHT_DYNAMIC) == nil {
		return o, nil // static
	}
	o.needed = dyn(elf.DT_NEEDED)
	for _, s := range dyn(elf.DT_SONAME) {
		o.soname = s
	}
	for _, s := range dyn(elf.DT_RUNPATH) {
		o.runpath = append(o.runpath, strings.Split(s, ":")...)
	}
	for _, s := range dyn(elf.DT_RPATH) {
		o.rpath = append(o.rpath, strings.Split(s, ":")...)
	}
	if err == nil {
		o.versions, err = f.DynamicVersionNeeds()
	}
	return o, err
}

// tree is the bundle as the dynamic linker sees it.
type tree struct {
	objects map[string]*object
	links   map[string]string
	path    []string
}

func (t *tree) sorted() []*object {
	list := make([]*object, 0, len(t.objects))
	for _, o := range t.objects {
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b *object) int { return strings.Compare(a.path, b.path) })
	return list
}

// find returns the object at a path, through symbolic links in it.
func (t *tree) find(p string) *object {
	for range 40 {
		if o := t.objects[p]; o != nil {
			return o
		}
		moved := false
		for q := p; q != "." && q != "/"; q = path.Dir(q) {
			if target, ok := t.links[q]; ok {
				if path.IsAbs(target) {
					return nil
				}
				p, moved = path.Join(path.Dir(q), target, strings.TrimPrefix(p[len(q):], "/")), true
				break
			}
		}
		if !moved {
			return nil
		}
	}
	return nil
}

// load follows a root's needs breadth first, as the dynamic linker does: what is loaded under a name already serves
// everyone; else RPATH of the object and of those that loaded it, unless it has a RUNPATH, the library path, RUNPATH.
func (t *tree) load(root *object, loaded map[*object]bool) (missing []Missing) {
	type item struct {
		o  *object
		up *item
	}
	names := map[string]bool{}
	here := map[*object]bool{root: true}
	loaded[root] = true
	for queue := []*item{{o: root}}; len(queue) > 0; queue = queue[1:] {
		it := queue[0]
		for _, so := range it.o.needed {
			if names[so] {
				continue
			}
			var dirs []string
			if len(it.o.runpath) == 0 {
				for up := it; up != nil; up = up.up {
					if len(up.o.runpath) == 0 {
						dirs = append(dirs, expand(up.o, up.o.rpath)...)
					}
				}
			}
			dirs = append(append(dirs, t.path...), expand(it.o, it.o.runpath)...)
			found := t.search(dirs, so, root.class)
			if found == nil {
				missing = append(missing, Missing{it.o.path, so})
				continue
			}
			names[so] = true
			if found.soname != "" {
				names[found.soname] = true
			}
			if !here[found] {
				here[found], loaded[found] = true, true
				queue = append(queue, &item{found, it})
			}
		}
	}
	return missing
}

func (t *tree) search(dirs []string, so string, class elf.Class) *object {
	for _, d := range dirs {
		if o := t.find(path.Join(d, so)); o != nil && o.class == class {
			return o
		}
	}
	return nil
}

// expand puts an object's folder in the place of $ORIGIN. Other absolute folders lie outside of the bundle.
func expand(o *object, list []string) (dirs []string) {
	for _, d := range list {
		d = strings.ReplaceAll(d, "${ORIGIN}", "$ORIGIN")
		if rest, ok := strings.CutPrefix(d, "$ORIGIN"); ok {
			dirs = append(dirs, path.Join(path.Dir(o.path), rest))
		}
	}
	return dirs
}
