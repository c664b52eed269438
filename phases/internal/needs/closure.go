package needs

import (
	"context"
	"debug/elf"
	"path"
	"slices"
	"strings"
)

// Closure follows the needs of a tree's objects. Links are the tree's symbolic links, with their targets. Only
// programs and shared libraries count; errors are the context's.
func Closure(ctx context.Context, objects []*Object, links map[string]string, l Limits) (*Report, error) {
	t := tree{objects: map[string]*Object{}, links: links, path: l.LibraryPath}
	var roots []*Object
	for _, o := range objects {
		if o.Type == elf.ET_EXEC || o.Type == elf.ET_DYN {
			t.objects[o.Path] = o
			roots = append(roots, o)
		}
	}
	slices.SortFunc(roots, func(a, b *Object) int { return strings.Compare(a.Path, b.Path) })
	r := &Report{Files: len(roots), Host: map[string]string{}}
	host := map[string]bool{}
	for _, list := range [][]string{System, l.Host} {
		for _, so := range list {
			host[so] = true
		}
	}
	names := t.names()
	loaded := map[*Object]bool{}
	type key struct{ file, library string }
	missing := map[key]bool{}
	// Programs first; then what none of them loads by name, as plug-ins are.
	for _, programs := range []bool{true, false} {
		for _, o := range roots {
			if o.Program != programs || loaded[o] {
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			for _, m := range t.load(o, loaded) {
				if host[m.Library] {
					if r.Host[m.Library] == "" {
						r.Host[m.Library] = m.File
					}
				} else if k := (key{m.File, m.Library}); !missing[k] {
					missing[k] = true
					m.Elsewhere = names[m.Library]
					r.Missing = append(r.Missing, m)
				}
			}
		}
	}
	sortMissing(r.Missing)
	for _, o := range roots {
		for _, need := range o.versions {
			if r.Host[need.library] == "" { // the tree brings its own
				continue
			}
			raise(&r.GLIBC, "GLIBC_", need.symbol, o.Path)
			raise(&r.GLIBCXX, "GLIBCXX_", need.symbol, o.Path)
		}
	}
	return r, nil
}

// tree is the files as the dynamic linker sees them.
type tree struct {
	objects map[string]*Object
	links   map[string]string
	path    []string
}

// names are the places of libraries by the last part of their paths, the first in order.
func (t *tree) names() map[string]string {
	names := map[string]string{}
	note := func(p string) {
		if old, ok := names[path.Base(p)]; !ok || p < old {
			names[path.Base(p)] = p
		}
	}
	for p := range t.objects {
		note(p)
	}
	for p := range t.links {
		if t.find(p) != nil {
			note(p)
		}
	}
	return names
}

// find returns the object at a path, through symbolic links in it.
func (t *tree) find(p string) *Object {
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
func (t *tree) load(root *Object, loaded map[*Object]bool) (missing []Missing) {
	type item struct {
		o  *Object
		up *item
	}
	names := map[string]bool{}
	here := map[*Object]bool{root: true}
	loaded[root] = true
	for queue := []*item{{o: root}}; len(queue) > 0; queue = queue[1:] {
		it := queue[0]
		for _, so := range it.o.Needed {
			if names[so] {
				continue
			}
			var dirs []string
			if len(it.o.RunPath) == 0 {
				for up := it; up != nil; up = up.up {
					if len(up.o.RunPath) == 0 {
						dirs = append(dirs, expand(up.o, up.o.RPath)...)
					}
				}
			}
			dirs = append(append(dirs, t.path...), expand(it.o, it.o.RunPath)...)
			found := t.search(dirs, so, root)
			if found == nil {
				missing = append(missing, Missing{File: it.o.Path, Library: so, Looked: dirs})
				continue
			}
			names[so] = true
			if found.Soname != "" {
				names[found.Soname] = true
			}
			if !here[found] {
				here[found], loaded[found] = true, true
				queue = append(queue, &item{found, it})
			}
		}
	}
	return missing
}

// search passes over libraries for other machines, as the dynamic linker does.
func (t *tree) search(dirs []string, so string, root *Object) *Object {
	for _, d := range dirs {
		if o := t.find(path.Join(d, so)); o != nil && o.Class == root.Class && o.Machine == root.Machine {
			return o
		}
	}
	return nil
}

// expand puts an object's folder in the place of $ORIGIN. Other absolute folders lie outside of the tree, whose place
// on a system differs from package to package.
func expand(o *Object, list []string) (dirs []string) {
	for _, d := range list {
		d = strings.ReplaceAll(d, "${ORIGIN}", "$ORIGIN")
		if rest, ok := strings.CutPrefix(d, "$ORIGIN"); ok {
			dirs = append(dirs, path.Join(path.Dir(o.Path), rest))
		}
	}
	return dirs
}
