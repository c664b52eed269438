// Package inspect looks at the content of a tree of files as it lies below /usr: a bundle on disk, or what is inside a
// finished package that was opened again.
//
//	paths      required files are there, forbidden ones and what editors, version control and crashes leave are not,
//	           and no file is too large
//	text       no placeholder that nobody replaced, no forbidden text (in programs, too), no byte order mark
//	modes      0644 or 0755, and 0755 for what is to be started
//	libraries  every program and library is made for the right machine, finds the libraries that it names where they
//	           really lie, and asks for no newer C library than is allowed
//	versions   every file that carries the version carries the planned one
//	icons      pictures are what their names say, and as large
//	desktop    desktop entries and systemd units start programs that are there
//
// Nothing of the tree is trusted or run. Files are streamed; what must be held in memory has a bound, and what is
// larger is a fault.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/glob"
	"github.com/imrightguy/slipway/phases/internal/needs"
	"github.com/imrightguy/slipway/phases/internal/size"
	"github.com/imrightguy/slipway/phases/internal/version"
)

// The names of the checks.
const (
	Paths     = "paths"
	Text      = "text"
	Modes     = "modes"
	Libraries = "libraries"
	Versions  = "versions"
	Icons     = "icons"
	Desktop   = "desktop"
	SizeCheck = "size" // of the whole, see [Size]
)

// Checks lists the checks that every tree is put to, in the order of their results.
func Checks() []string { return []string{Paths, Text, Modes, Libraries, Versions, Icons, Desktop} }

// Tree is what is looked at.
type Tree struct {
	Name    string          // for messages: "bundle desktop for amd64", "cloudtolocalllm_3.2.1_amd64.deb"
	Arch    string          // architecture in Go's words, "amd64"
	Version version.Version // the planned one
	Entries []archive.Entry // below /usr; etc/ stands for /etc
	Open    func(archive.Entry) (File, error)

	Required  []string // patterns of package glob; each must match something else than a folder
	Forbidden []string // likewise; each must match nothing, and without a slash no name at any depth
}

// File is a file that is open. Reading begins at its start.
type File interface {
	io.Reader
	io.ReaderAt
	io.Closer
}

// Result is what one check found.
type Result struct {
	Check    string
	Expected string   // what was looked for
	Passed   string   // what was found when nothing is wrong
	Faults   []string // one line each, with path, what was found and what is wanted; none: it passed
}

// maxFaults is how many faults a check tells one by one.
const maxFaults = 1000

// Inspect puts a tree to all checks and returns their results in the order of [Checks]; that of the whole tree's size
// comes after them if the rules ask for one. An error means that something could not be read.
func Inspect(ctx context.Context, r Rules, t Tree) ([]Result, error) {
	l := &look{ctx: ctx, rules: r, tree: t, at: make(map[string]*archive.Entry, len(t.Entries)), results: map[string]*Result{}}
	t.Entries = slices.Clone(t.Entries)
	archive.Sort(t.Entries)
	l.tree.Entries = t.Entries
	for _, name := range Checks() {
		l.results[name] = &Result{Check: name}
	}
	total := int64(0)
	for i := range t.Entries {
		e := &t.Entries[i]
		l.at[e.Path] = e
		if e.Mode.IsRegular() {
			total += e.Size
			l.count++
		}
	}
	l.links()
	for _, run := range []func() error{l.paths, l.read, l.modes, l.libraries, l.versions, l.svg, l.desktop} {
		if err := run(); err != nil {
			return nil, err
		}
	}
	l.describe()
	var out []Result
	for _, name := range Checks() {
		res := l.results[name]
		if more := len(res.Faults) - maxFaults; more > 0 {
			res.Faults = append(res.Faults[:maxFaults], fmt.Sprintf("and %d more", more))
		}
		out = append(out, *res)
	}
	if r.Size != (size.Band{}) {
		out = append(out, Size(r.Size, t.Name, total))
	}
	return out, nil
}

// Size compares the size of a file or tree in bytes with what it should be.
func Size(b size.Band, name string, n int64) Result {
	r := Result{Check: SizeCheck, Expected: b.String(), Passed: fmt.Sprintf("%s has %d bytes", name, n)}
	if !b.Contains(n) {
		r.Faults = []string{fmt.Sprintf("%s has %d bytes, want %s", name, n, b)}
	}
	return r
}

// look is one inspection.
type look struct {
	ctx     context.Context
	rules   Rules
	tree    Tree
	at      map[string]*archive.Entry
	through []link // folders that a link leads to
	count   int    // files
	results map[string]*Result

	objects []*needs.Object
	scripts map[string]bool // files that begin with #!
	texts   int             // files that are text
	seen    [3]int          // version files, pictures, entries and units
}

// What look.seen counts.
const (
	seenVersions = iota
	seenIcons
	seenDesktop
)

// link is a symbolic link to a folder of the tree.
type link struct{ path, target string }

// maxThrough is how many links to folders are followed.
const maxThrough = 100

func (l *look) links() {
	for i := range l.tree.Entries {
		e := &l.tree.Entries[i]
		if e.Mode&fs.ModeSymlink == 0 || len(l.through) == maxThrough {
			continue
		}
		if p, ok := l.resolve(e.Path); ok && (l.at[p] == nil || l.at[p].Mode.IsDir()) {
			l.through = append(l.through, link{e.Path, p})
		}
	}
}

func (l *look) fault(check, format string, args ...any) {
	r := l.results[check]
	r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
}

// ignored reports whether a file is data that is not looked into.
func (l *look) ignored(p string) bool { return matches(l.rules.Ignore, p) }

func matches(patterns []string, p string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return glob.Match(pattern, p) })
}

// maxHops is how many links Linux follows for one path.
const maxHops = 40

// resolve follows links as the kernel does, to a file or to a folder, which need not have an entry of its own.
func (l *look) resolve(p string) (string, bool) {
	at, hops := ".", 0
	rest := strings.Split(p, "/")
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			if at == "." {
				return "", false
			}
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, name)
		e := l.at[next]
		if e == nil || e.Mode&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if hops++; hops > maxHops || strings.HasPrefix(e.Link, "/") {
			return "", false
		}
		rest = append(strings.Split(e.Link, "/"), rest...)
	}
	return at, true
}

// file is the regular file at a path, through links; nil if there is none.
func (l *look) file(p string) *archive.Entry {
	if q, ok := l.resolve(p); ok {
		if e := l.at[q]; e != nil && e.Mode.IsRegular() {
			return e
		}
	}
	return nil
}

// matching lists the files that match a pattern, with the names that links to folders give them.
func (l *look) matching(patterns ...string) []string {
	found := map[string]bool{}
	for i := range l.tree.Entries {
		e := &l.tree.Entries[i]
		if e.Mode.IsDir() {
			continue
		}
		names := []string{e.Path}
		for _, k := range l.through {
			if rest, ok := strings.CutPrefix(e.Path, k.target+"/"); ok {
				names = append(names, k.path+"/"+rest)
			}
		}
		for _, p := range names {
			if matches(patterns, p) && l.file(p) != nil {
				found[p] = true
			}
		}
	}
	list := make([]string, 0, len(found))
	for p := range found {
		if !l.ignored(p) && !l.ignored(l.file(p).Path) {
			list = append(list, p)
		}
	}
	slices.Sort(list)
	return list
}

// content reads a whole small file.
func (l *look) content(p string, limit int64) (b []byte, large bool, err error) {
	e := l.file(p)
	if e.Size > limit {
		return nil, true, nil
	}
	f, err := l.tree.Open(*e)
	if err != nil {
		return nil, false, fmt.Errorf("cannot open %s: %w", p, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if b, err = io.ReadAll(io.LimitReader(f, limit+1)); err != nil {
		return nil, false, fmt.Errorf("cannot read %s: %w", p, err)
	}
	return b, int64(len(b)) > limit, nil
}

// describe says what was looked for and what a pass means.
func (l *look) describe() {
	set := func(check, expected, format string, args ...any) {
		l.results[check].Expected, l.results[check].Passed = expected, l.tree.Name+": "+fmt.Sprintf(format, args...)
	}
	of := func(n int, one string) string {
		if n == 1 {
			return "1 " + one
		}
		return fmt.Sprintf("%d %ss", n, one)
	}
	large := ""
	if l.rules.MaxFile > 0 {
		large = ", no file above " + l.rules.MaxFile.String()
	}
	set(Paths, fmt.Sprintf("%s met, %s absent, no leftovers%s", of(len(l.tree.Required), "required pattern"), of(len(l.tree.Forbidden), "forbidden pattern"), large),
		"all that is required and nothing unwanted, in %s", of(l.count, "file"))
	set(Text, "no placeholder, no byte order mark, none of "+of(len(l.rules.ForbiddenText), "forbidden text"),
		"nothing unwanted, in %s (%d text)", of(l.count, "file"), l.texts)
	set(Modes, "0644 or 0755, and 0755 for programs and scripts", "modes are as they should be, of %s", of(l.count, "file"))
	limit := ""
	if l.rules.Glibc != "" {
		limit = ", GLIBC_" + l.rules.Glibc + " or older"
	}
	set(Libraries, fmt.Sprintf("made for %s, each library in the tree or on a system with %s%s", l.tree.Arch, l.rules.Host, limit),
		"nothing is missing, in %s", of(len(l.objects), "ELF file"))
	set(Versions, "version "+l.tree.Version.String(), "version %s, in %s", l.tree.Version, of(l.seen[seenVersions], "file"))
	set(Icons, "pictures of the form and size that their names say", "pictures are what their names say, in %s", of(l.seen[seenIcons], "file"))
	set(Desktop, "desktop entries and systemd units are valid and start programs of the tree", "all are valid, in %s", of(l.seen[seenDesktop], "file"))
}
