package aur

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

const (
	master = "refs/heads/master"
	zero   = "0000000000000000000000000000000000000000"
	// maxBlob is the size in bytes that a file in a repository may have (aurweb, conf/config.defaults, max-blob-size).
	maxBlob = 256000
	// maxSRCINFO is what the twin reads of a .SRCINFO; the server reads it whole before it looks at sizes.
	maxSRCINFO = 1 << 20
)

// namePattern is what repositories and packages are called (aurweb, conf/config.defaults, repo-regex). Python's $ also
// matches before a line feed at the end; no name gets here with one.
var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.+_-]*$`)

// A hook is one run of the update hook (aurweb, aurweb/git/update.py and update_legacy.py of 2026).
type hook struct {
	out        io.Writer // the client's sideband
	parser     Parser
	licenses   []string
	repository string
	privileged bool
	names      names
}

// names is what the hook asks the database.
type names struct {
	blacklist map[string]bool
	official  map[string]string                  // package to the repository that has it
	taken     func(pkgbase, pkgname string) bool // by another pkgbase
}

// errDeclined is returned once the reason was written.
var errDeclined = errors.New("hook declined")

func (h *hook) die(format string, a ...any) error {
	fmt.Fprintf(h.out, "error: "+format+"\n", a...)
	return errDeclined
}

func (h *hook) dieCommit(id plumbing.Hash, format string, a ...any) error {
	fmt.Fprintf(h.out, "error: The following error occurred when parsing commit\nerror: %s:\nerror: %s\n", id, fmt.Sprintf(format, a...))
	return errDeclined
}

// crash stands for an exception that the hook does not catch. The frames in between are left out.
func (h *hook) crash(exception string) error {
	fmt.Fprintf(h.out, "Traceback (most recent call last):\n%s\n", exception)
	return errDeclined
}

// check applies every rule in the server's order and returns what the new tip's .SRCINFO says.
func (h *hook) check(store storer.EncodedObjectStorer, ref, from, to string) (*SRCINFO, error) {
	if ref != master {
		return nil, h.die("pushing to a branch other than master is restricted")
	}
	if to == zero {
		return nil, h.crash("KeyError: 'object not found - no match for id (" + zero + ")'")
	}
	tip, err := object.GetCommit(store, plumbing.NewHash(to))
	if err != nil {
		return nil, h.crash("ValueError: the new tip is no commit")
	}
	added, forward, err := history(store, from, tip)
	if err != nil {
		return nil, fmt.Errorf("cannot read the history: %w", err)
	}
	if !forward {
		return nil, h.die("denying non-fast-forward (you should pull first)")
	}
	s, id, err := h.readSRCINFO(store, tip)
	if err != nil {
		return nil, err
	}
	if err := h.checkMetadata(tip, s); err != nil {
		return nil, err
	}
	for _, c := range added {
		if err := h.checkCommit(store, c); err != nil {
			return nil, err
		}
	}
	if from != zero && from != to {
		if id == srcinfoOf(store, from) {
			fmt.Fprintln(h.out, "warning: .SRCINFO unchanged. The package database will not be updated!")
		}
	}
	return s, h.checkNames(s)
}

// history lists the commits of tip that from has not, parents first, and tells whether from is one of tip's own.
func history(store storer.EncodedObjectStorer, from string, tip *object.Commit) (added []*object.Commit, forward bool, err error) {
	old := map[plumbing.Hash]bool{}
	if from != zero {
		c, err := object.GetCommit(store, plumbing.NewHash(from))
		if err != nil {
			return nil, false, err
		}
		if err := object.NewCommitPreorderIter(c, nil, nil).ForEach(func(c *object.Commit) error {
			old[c.Hash] = true
			return nil
		}); err != nil {
			return nil, false, err
		}
	}
	forward = from == zero || from == tip.Hash.String()
	// Depth first with a stack of its own: a pushed history may be long.
	seen, open := map[plumbing.Hash]bool{}, []*object.Commit{tip}
	for len(open) > 0 {
		c := open[len(open)-1]
		if old[c.Hash] || seen[c.Hash] {
			forward = forward || c.Hash.String() == from
			open = open[:len(open)-1]
			continue
		}
		ready := true
		for _, p := range slices.Backward(c.ParentHashes) {
			forward = forward || p.String() == from
			if old[p] || seen[p] {
				continue
			}
			parent, err := object.GetCommit(store, p)
			if err != nil {
				return nil, false, err
			}
			open, ready = append(open, parent), false
		}
		if ready {
			seen[c.Hash] = true
			added = append(added, c)
			open = open[:len(open)-1]
		}
	}
	return added, forward, nil
}

func srcinfoOf(store storer.EncodedObjectStorer, commit string) plumbing.Hash {
	c, err := object.GetCommit(store, plumbing.NewHash(commit))
	if err != nil {
		return plumbing.ZeroHash
	}
	t, err := c.Tree()
	if err != nil {
		return plumbing.ZeroHash
	}
	e, err := t.FindEntry(".SRCINFO")
	if err != nil {
		return plumbing.ZeroHash
	}
	return e.Hash
}

func (h *hook) readSRCINFO(store storer.EncodedObjectStorer, tip *object.Commit) (*SRCINFO, plumbing.Hash, error) {
	tree, err := tip.Tree()
	if err != nil {
		return nil, plumbing.ZeroHash, fmt.Errorf("cannot read the tree of %s: %w", tip.Hash, err)
	}
	e, err := tree.FindEntry(".SRCINFO")
	if err != nil {
		return nil, plumbing.ZeroHash, h.dieCommit(tip.Hash, "missing .SRCINFO")
	}
	text, err := readBlob(store, e.Hash)
	if err != nil {
		return nil, e.Hash, h.crash("AttributeError: .SRCINFO is no file")
	}
	if !utf8.ValidString(text) {
		return nil, e.Hash, h.crash("UnicodeDecodeError: 'utf-8' codec can't decode byte: invalid start byte")
	}
	s, errs := ParseSRCINFO(text, h.parser)
	switch {
	case len(errs) == 0:
		return s, e.Hash, nil
	case h.parser == Strict:
		return nil, e.Hash, h.dieCommit(tip.Hash, "%s", errs[0])
	}
	fmt.Fprintf(h.out, "error: The following errors occurred when parsing .SRCINFO in commit\nerror: %s:\n", tip.Hash)
	for _, e := range errs {
		fmt.Fprintf(h.out, "error: %s\n", e)
	}
	return nil, e.Hash, errDeclined
}

func readBlob(store storer.EncodedObjectStorer, id plumbing.Hash) (string, error) {
	b, err := object.GetBlob(store, id)
	if err != nil {
		return "", err
	}
	r, err := b.Reader()
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxSRCINFO))
	return string(data), err
}

// checkMetadata is what the .SRCINFO of the new tip must say, package by package.
func (h *hook) checkMetadata(tip *object.Commit, s *SRCINFO) error {
	tree, err := tip.Tree()
	if err != nil {
		return fmt.Errorf("cannot read the tree of %s: %w", tip.Hash, err)
	}
	fail := func(format string, a ...any) error { return h.dieCommit(tip.Hash, format, a...) }
	base, ok := s.Name()
	if !ok {
		return fail("invalid .SRCINFO, does not contain a pkgbase (is the file empty?)")
	}
	if !namePattern.MatchString(base) {
		return fail("invalid pkgbase: %s", base)
	}
	if len(s.Packages) == 0 {
		return fail("missing pkgname entry")
	}
	for _, p := range s.Packages {
		m := s.Merged(p)
		for _, field := range []string{"pkgver", "pkgrel", "pkgname"} {
			if _, ok := m.single(field); !ok {
				return fail("missing mandatory field: %s", field)
			}
		}
		if epoch, ok := m.single("epoch"); ok && !decimal.MatchString(epoch) {
			return fail("invalid epoch: %s", epoch)
		}
		if !namePattern.MatchString(p.Name) {
			return fail("invalid package name: %s", p.Name)
		}
		for _, f := range []struct {
			field string
			limit int
		}{{"pkgname", 255}, {"pkgdesc", 255}, {"url", 8000}} {
			if v, ok := m.single(f.field); ok && utf8.RuneCountInString(v) > f.limit {
				return fail("%s field too long: %s", f.field, v)
			}
		}
		for _, field := range []string{"install", "changelog"} {
			if v, ok := m.single(field); ok && !inTree(tree, v) {
				return fail("missing %s file: %s", field, v)
			}
		}
		if _, ok := m["arch"]; !ok {
			return h.crash("KeyError: 'arch'")
		}
		for _, source := range m.all("source") {
			switch {
			case utf8.RuneCountInString(source) > 8000:
				return fail("source entry too long: %s", source)
			case strings.Contains(source, "://"), strings.Contains(source, "lp:"):
			case !inTree(tree, source):
				return fail("missing source file: %s", source)
			}
		}
	}
	return nil
}

func inTree(t *object.Tree, path string) bool {
	if path == "" {
		return false
	}
	_, err := t.FindEntry(path)
	return err == nil
}

// checkNames is what the database has to say.
func (h *hook) checkNames(s *SRCINFO) error {
	base, _ := s.Name()
	if base != h.repository {
		return h.die("invalid pkgbase: %s, expected %s", base, h.repository)
	}
	// Staff is only warned.
	warnOrDie := h.die
	if h.privileged {
		warnOrDie = func(format string, a ...any) error {
			fmt.Fprintf(h.out, "warning: "+format+"\n", a...)
			return nil
		}
	}
	if h.names.blacklist[base] {
		if err := warnOrDie("pkgbase is blacklisted: %s", base); err != nil {
			return err
		}
	}
	for _, p := range s.Packages {
		if h.names.blacklist[p.Name] {
			if err := warnOrDie("package is blacklisted: %s", p.Name); err != nil {
				return err
			}
		}
		if repo, ok := h.names.official[p.Name]; ok {
			if err := warnOrDie("package already provided by [%s]: %s", repo, p.Name); err != nil {
				return err
			}
		}
		if h.names.taken(base, p.Name) {
			return h.die("cannot overwrite package: %s", p.Name)
		}
	}
	return nil
}
