package github

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// Memory is a [Refs] without a git repository: refs, commits, tags and files in
// memory. Object names are git's own (SHA-1 of the object as git stores it).
type Memory struct {
	mu      sync.Mutex
	refs    map[string]string
	commits map[string]Commit
	tags    map[string]Tag
	files   map[string]map[string]string // commit to path to content
}

var (
	_ Refs     = (*Memory)(nil)
	_ Archiver = (*Memory)(nil)
)

// NewMemory returns an empty repository.
func NewMemory() *Memory {
	return &Memory{
		refs: map[string]string{}, commits: map[string]Commit{},
		tags: map[string]Tag{}, files: map[string]map[string]string{},
	}
}

// Add makes a commit on a branch, which it creates when missing: the files of
// the branch with those given put over them, an empty content removing one.
// It returns the commit's name.
func (m *Memory) Add(branch, message string, by Signature, files map[string]string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	ref := "refs/heads/" + branch
	tree := map[string]string{}
	c := Commit{Author: by, Committer: by, Message: message}
	if parent, ok := m.refs[ref]; ok {
		c.Parents = []string{parent}
		maps.Copy(tree, m.files[parent])
	}
	for name, content := range files {
		if content == "" {
			delete(tree, name)
		} else {
			tree[name] = content
		}
	}
	c.Tree = treeName(tree, "")
	c.SHA = objectName("commit", commitText(c))
	m.commits[c.SHA], m.files[c.SHA], m.refs[ref] = c, tree, c.SHA
	return c.SHA
}

// Get implements [Refs].
func (m *Memory) Get(_ context.Context, ref string) (Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sha, ok := m.refs[ref]
	if !ok {
		return Object{}, fmt.Errorf("%s: %w", ref, ErrNotFound)
	}
	return m.object(sha)
}

// List implements [Refs].
func (m *Memory) List(_ context.Context, prefix string) ([]Ref, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []Ref
	for _, name := range slices.Sorted(maps.Keys(m.refs)) {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		o, err := m.object(m.refs[name])
		if err != nil {
			return nil, err
		}
		list = append(list, Ref{Name: name, Object: o})
	}
	return list, nil
}

// Create implements [Refs].
func (m *Memory) Create(_ context.Context, ref, sha string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.object(sha); err != nil {
		return err
	}
	if _, ok := m.refs[ref]; ok {
		return fmt.Errorf("%s: %w", ref, ErrExists)
	}
	m.refs[ref] = sha
	return nil
}

// Update implements [Refs].
func (m *Memory) Update(_ context.Context, ref, sha string, force bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.refs[ref]
	if !ok {
		return fmt.Errorf("%s: %w", ref, ErrNotFound)
	}
	if _, err := m.object(sha); err != nil {
		return err
	}
	if !force && !m.ancestors(sha)[old] {
		return fmt.Errorf("%s: %w", ref, ErrNotFastForward)
	}
	m.refs[ref] = sha
	return nil
}

// Delete implements [Refs].
func (m *Memory) Delete(_ context.Context, ref string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.refs[ref]; !ok {
		return fmt.Errorf("%s: %w", ref, ErrNotFound)
	}
	delete(m.refs, ref)
	return nil
}

// Object implements [Refs]. Trees and blobs are not kept as objects.
func (m *Memory) Object(_ context.Context, sha string) (Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.object(sha)
}

func (m *Memory) object(sha string) (Object, error) {
	if _, ok := m.commits[sha]; ok {
		return Object{SHA: sha, Type: "commit"}, nil
	}
	if _, ok := m.tags[sha]; ok {
		return Object{SHA: sha, Type: "tag"}, nil
	}
	return Object{}, fmt.Errorf("object %q: %w", sha, ErrNotFound)
}

// Commit implements [Refs].
func (m *Memory) Commit(_ context.Context, sha string) (Commit, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.commits[sha]
	if !ok {
		return Commit{}, fmt.Errorf("commit %q: %w", sha, ErrNotFound)
	}
	return c, nil
}

// TagObject implements [Refs].
func (m *Memory) TagObject(_ context.Context, sha string) (Tag, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.tags[sha]
	if !ok {
		return Tag{}, fmt.Errorf("tag %q: %w", sha, ErrNotFound)
	}
	return t, nil
}

// CreateTagObject implements [Refs].
func (m *Memory) CreateTagObject(_ context.Context, t Tag) (Tag, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, err := m.object(t.Target.SHA)
	if err != nil {
		return Tag{}, err
	}
	if t.Target.Type != o.Type {
		return Tag{}, fmt.Errorf("%s %q: %w", t.Target.Type, t.Target.SHA, ErrNotFound)
	}
	t.SHA = objectName("tag", fmt.Sprintf("object %s\ntype %s\ntag %s\ntagger %s\n\n%s",
		o.SHA, o.Type, t.Name, signatureText(t.Tagger), ended(t.Message)))
	m.tags[t.SHA] = t
	return t, nil
}

// Compare implements [Refs].
func (m *Memory) Compare(_ context.Context, base, head string) (Comparison, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, sha := range []string{base, head} {
		if _, ok := m.commits[sha]; !ok {
			return Comparison{}, fmt.Errorf("commit %q: %w", sha, ErrNotFound)
		}
	}
	inBase, inHead := m.ancestors(base), m.ancestors(head)
	var c Comparison
	// The merge base is the first commit that both have, walking back from head.
	for queue := []string{head}; len(queue) > 0; queue = queue[1:] {
		if inBase[queue[0]] {
			c.MergeBase = queue[0]
			break
		}
		queue = append(queue, m.commits[queue[0]].Parents...)
	}
	if c.MergeBase == "" {
		return Comparison{}, ErrNoCommonAncestor
	}
	for sha := range inHead {
		if !inBase[sha] {
			c.Ahead = append(c.Ahead, m.commits[sha])
		}
	}
	sort.Slice(c.Ahead, func(i, j int) bool {
		a, b := c.Ahead[i], c.Ahead[j]
		if m.ancestors(b.SHA)[a.SHA] != m.ancestors(a.SHA)[b.SHA] {
			return m.ancestors(b.SHA)[a.SHA]
		}
		return a.SHA < b.SHA
	})
	for sha := range inBase {
		if !inHead[sha] {
			c.Behind++
		}
	}
	c.Files = changes(m.files[c.MergeBase], m.files[head])
	return c, nil
}

// Archive implements [Archiver].
func (m *Memory) Archive(_ context.Context, w io.Writer, sha, prefix string) error {
	m.mu.Lock()
	c, ok := m.commits[sha]
	files := m.files[sha]
	m.mu.Unlock()
	if !ok {
		return fmt.Errorf("commit %q: %w", sha, ErrNotFound)
	}
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		err := t.WriteHeader(&tar.Header{
			Name: prefix + name, Mode: 0o664, Size: int64(len(files[name])),
			ModTime: c.Committer.When, Typeflag: tar.TypeReg,
		})
		if err != nil {
			return err
		}
		if _, err := io.WriteString(t, files[name]); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	return z.Close()
}

// ancestors holds a commit and everything before it; the peeled commit of a tag.
func (m *Memory) ancestors(sha string) map[string]bool {
	seen := map[string]bool{}
	for queue := []string{sha}; len(queue) > 0; queue = queue[1:] {
		if seen[queue[0]] {
			continue
		}
		seen[queue[0]] = true
		if t, ok := m.tags[queue[0]]; ok {
			queue = append(queue, t.Target.SHA)
		}
		queue = append(queue, m.commits[queue[0]].Parents...)
	}
	return seen
}

// changes compares two trees file by file; lines are counted whole.
func changes(from, to map[string]string) []FileChange {
	names := maps.Clone(from)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, to)
	var list []FileChange
	for _, name := range slices.Sorted(maps.Keys(names)) {
		a, inFrom := from[name]
		b, inTo := to[name]
		f := FileChange{Name: name, SHA: objectName("blob", b), Additions: strings.Count(b, "\n"), Deletions: strings.Count(a, "\n")}
		switch {
		case !inTo:
			f.Status, f.SHA = "removed", objectName("blob", a)
		case !inFrom:
			f.Status = "added"
		case a != b:
			f.Status = "modified"
		default:
			continue
		}
		list = append(list, f)
	}
	return list
}

// objectName is the SHA-1 of an object as git stores it (gitformat-loose):
// type, space, length, NUL, content.
func objectName(kind, content string) string {
	h := sha1.Sum([]byte(fmt.Sprintf("%s %d\x00%s", kind, len(content), content)))
	return hex.EncodeToString(h[:])
}

func commitText(c Commit) string {
	var b strings.Builder
	fmt.Fprintf(&b, "tree %s\n", c.Tree)
	for _, p := range c.Parents {
		fmt.Fprintf(&b, "parent %s\n", p)
	}
	fmt.Fprintf(&b, "author %s\ncommitter %s\n\n%s", signatureText(c.Author), signatureText(c.Committer), ended(c.Message))
	return b.String()
}

func signatureText(s Signature) string {
	return fmt.Sprintf("%s <%s> %d +0000", s.Name, s.Email, s.When.Unix())
}

func ended(message string) string { return strings.TrimSuffix(message, "\n") + "\n" }

// treeName is the name of the tree object over the files below a folder.
// Entries are sorted by name, a folder's as if it ended with a slash.
func treeName(files map[string]string, below string) string {
	entries := map[string]string{} // sort key to entry
	for name, content := range files {
		rest, ok := strings.CutPrefix(name, below)
		if !ok {
			continue
		}
		dir, _, nested := strings.Cut(rest, "/")
		mode, key, sha := "100644", dir, ""
		if nested {
			if _, done := entries[dir+"/"]; done {
				continue
			}
			mode, key, sha = "40000", dir+"/", treeName(files, below+dir+"/")
		} else {
			sha = objectName("blob", content)
		}
		raw, _ := hex.DecodeString(sha) // of our own making
		entries[key] = fmt.Sprintf("%s %s\x00%s", mode, dir, raw)
	}
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		b.WriteString(entries[key])
	}
	return objectName("tree", b.String())
}

// firstCommit fills a repository that was given none.
func firstCommit(branch string, when time.Time) *Memory {
	m := NewMemory()
	m.Add(branch, "Initial commit", Signature{Name: "twin", Email: "twin@example.invalid", When: when}, map[string]string{"README.md": "# twin\n"})
	return m
}
