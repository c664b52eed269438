package repo

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// Change is a commit as people wrote it.
type Change struct {
	ID      string    // 40 hexadecimal digits
	Parents int       // 0 for the first commit, more than 1 for a merge
	Time    time.Time // the committer's, in UTC
	Author  Person
	Subject string // the message's first paragraph, as one line; UTF-8
	Body    string // the rest, with \n at line ends and without space around it; UTF-8. It ends where the first 256 KiB of the commit end
}

// Range is a part of the history: the commits that Until reaches and Since does not, as in git log SINCE..UNTIL. Both
// are whole IDs; without Since it is all that Until reaches.
type Range struct {
	Since, Until string
	// FirstParent follows the first parent of merges only: the commits of the branch itself. What Since reaches is left
	// out by whichever parent.
	FirstParent bool
}

// History yields the commits of a range, those without a child in it first, otherwise newest first, and where times are
// equal by ID: git log --date-order. Times decide the order only, never what belongs to the range. The error comes last;
// it wraps [ErrShallow] where history that matters is missing.
//
// Only IDs and times are held in memory; the texts are read again when their turn comes.
func (r *Repo) History(ctx context.Context, in Range) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		fail := func(err error) { yield(Change{}, fmt.Errorf("cannot read the history: %w", err)) }
		w, err := r.walk(ctx)
		if err != nil {
			fail(err)
			return
		}
		defer w.objects.close()
		nodes, err := w.collect(in)
		if err != nil {
			fail(err)
			return
		}
		for _, id := range sorted(nodes) {
			content, err := w.read(id)
			if err != nil {
				fail(err)
				return
			}
			c, err := parseChange(content)
			if err != nil {
				fail(fmt.Errorf("commit %s: %w", id, err))
				return
			}
			c.ID = id.String()
			if !yield(c, nil) {
				return
			}
		}
	}
}

// Reached returns the first of the tags that a commit reaches; ok is false where it reaches none. A tag whose commit is
// not in the history but whose commit's only parent is counts too: it marks a release that was made beside the branch.
// The error wraps [ErrShallow] where the history ends before this is known.
func (r *Repo) Reached(ctx context.Context, commit string, tags []VersionTag) (tag VersionTag, ok bool, err error) {
	if len(tags) == 0 {
		return tag, false, nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot look for the version before: %w", err)
		}
	}()
	w, err := r.walk(ctx)
	if err != nil {
		return tag, false, err
	}
	defer w.objects.close()
	at := map[plumbing.Hash][]int{} // the tags that a commit stands for
	for i, t := range tags {
		id := plumbing.NewHash(t.Commit)
		at[id] = append(at[id], i)
		n, err := w.node(id)
		if err != nil {
			return tag, false, err
		}
		if len(n.parents) == 1 {
			at[n.parents[0]] = append(at[n.parents[0]], i)
		}
	}
	best := len(tags)
	err = w.reach(commit, func(id plumbing.Hash, _ node) bool {
		for _, i := range at[id] {
			best = min(best, i)
		}
		return best > 0
	})
	if best == len(tags) || err != nil {
		return tag, false, err
	}
	return tags[best], true, nil
}

// Shared finds the newest commit that both reach, each itself included: the first one itself where the second contains it.
// It is "" where they share nothing. Of several the one with the highest time is taken, and of these that with the highest
// ID. The error wraps [ErrShallow] where history that matters is missing.
func (r *Repo) Shared(ctx context.Context, commit, with string) (shared string, err error) {
	w, err := r.walk(ctx)
	if err != nil {
		return "", fmt.Errorf("cannot read the history: %w", err)
	}
	defer w.objects.close()
	known := map[plumbing.Hash]bool{}
	err = w.reach(with, func(id plumbing.Hash, _ node) bool {
		known[id] = true
		return true
	})
	if known[plumbing.NewHash(commit)] {
		return commit, nil // what is missing lies behind it
	}
	var best int64
	if err == nil {
		err = w.reach(commit, func(id plumbing.Hash, n node) bool {
			if name := id.String(); known[id] && (shared == "" || n.time > best || n.time == best && name > shared) {
				shared, best = name, n.time
			}
			return true
		})
	}
	if err != nil {
		return "", fmt.Errorf("cannot read the history: %w", err)
	}
	return shared, nil
}

// node is a commit's place in the history.
type node struct {
	parents []plumbing.Hash
	time    int64 // the committer's, in seconds since 1970
}

// walker reads many commits. It lives as long as one call.
type walker struct {
	ctx     context.Context
	repo    *Repo
	objects *objects
	cut     map[plumbing.Hash]bool // commits whose parents are missing
}

func (r *Repo) walk(ctx context.Context) (*walker, error) {
	cut, err := r.refs.Shallow()
	if err != nil {
		return nil, err
	}
	w := &walker{ctx: ctx, repo: r, cut: map[plumbing.Hash]bool{}}
	for _, id := range cut {
		w.cut[id] = true
	}
	w.objects, err = openObjects(filepath.Join(r.common, "objects"), true)
	return w, err
}

func (w *walker) read(id plumbing.Hash) ([]byte, error) {
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	b, err := w.objects.start(plumbing.CommitObject, id)
	if errors.Is(err, plumbing.ErrObjectNotFound) { // git may have packed the objects anew meanwhile
		if o, reopened := openObjects(filepath.Join(w.repo.common, "objects"), true); reopened == nil {
			w.objects.close()
			w.objects = o
			b, err = o.start(plumbing.CommitObject, id)
		}
	}
	return b, w.repo.explain(err)
}

func (w *walker) node(id plumbing.Hash) (node, error) {
	content, err := w.read(id)
	if err != nil {
		return node{}, err
	}
	n, err := parseNode(content)
	if err != nil {
		return n, fmt.Errorf("commit %s: %w", id, err)
	}
	return n, nil
}

// reach visits all that a commit reaches, in no order that matters, until visit says no. The error is [ErrShallow]
// where it was all that the clone has, and not all that there is.
func (w *walker) reach(from string, visit func(plumbing.Hash, node) bool) (err error) {
	if !fullID.MatchString(from) {
		return fmt.Errorf("cannot read commit %q: want its whole ID, 40 hexadecimal digits", from)
	}
	todo := []plumbing.Hash{plumbing.NewHash(from)}
	seen := map[plumbing.Hash]struct{}{todo[0]: {}}
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		n, e := w.node(id)
		if e != nil {
			return e
		}
		if !visit(id, n) {
			return nil
		}
		if w.cut[id] && len(n.parents) > 0 {
			err = ErrShallow
			continue
		}
		for _, p := range n.parents {
			if _, ok := seen[p]; !ok {
				seen[p] = struct{}{}
				todo = append(todo, p)
			}
		}
	}
	return err
}

// collect finds the commits of a range.
func (w *walker) collect(in Range) (map[plumbing.Hash]node, error) {
	if !fullID.MatchString(in.Until) {
		return nil, fmt.Errorf("cannot read commit %q: want its whole ID, 40 hexadecimal digits", in.Until)
	}
	known := map[plumbing.Hash]struct{}{}
	if in.Since != "" {
		err := w.reach(in.Since, func(id plumbing.Hash, _ node) bool {
			known[id] = struct{}{}
			return true
		})
		// That the older history goes on where a shallow clone ends does not matter. That the newer one does is seen below.
		if err != nil && !errors.Is(err, ErrShallow) {
			return nil, err
		}
	}
	nodes := map[plumbing.Hash]node{}
	todo := []plumbing.Hash{plumbing.NewHash(in.Until)}
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if _, ok := known[id]; ok {
			continue
		}
		if _, ok := nodes[id]; ok {
			continue
		}
		n, err := w.node(id)
		if err != nil {
			return nil, err
		}
		if w.cut[id] && len(n.parents) > 0 {
			return nil, ErrShallow
		}
		if in.FirstParent && len(n.parents) > 1 {
			n.parents = n.parents[:1]
		}
		nodes[id] = n
		todo = append(todo, n.parents...)
	}
	return nodes, nil
}

// sorted puts children before their parents and otherwise the newest first.
func sorted(nodes map[plumbing.Hash]node) []plumbing.Hash {
	children := make(map[plumbing.Hash]int, len(nodes))
	for _, n := range nodes {
		for _, p := range n.parents {
			children[p]++
		}
	}
	ready := &queue{nodes: nodes}
	for id := range nodes {
		if children[id] == 0 {
			ready.ids = append(ready.ids, id)
		}
	}
	heap.Init(ready)
	order := make([]plumbing.Hash, 0, len(nodes))
	for ready.Len() > 0 {
		id := heap.Pop(ready).(plumbing.Hash)
		order = append(order, id)
		for _, p := range nodes[id].parents {
			if children[p]--; children[p] == 0 {
				if _, in := nodes[p]; in {
					heap.Push(ready, p)
				}
			}
		}
	}
	return order
}

// queue is a heap of commits, the newest on top.
type queue struct {
	ids   []plumbing.Hash
	nodes map[plumbing.Hash]node
}

func (q *queue) Len() int      { return len(q.ids) }
func (q *queue) Swap(i, j int) { q.ids[i], q.ids[j] = q.ids[j], q.ids[i] }
func (q *queue) Push(x any)    { q.ids = append(q.ids, x.(plumbing.Hash)) }

func (q *queue) Less(i, j int) bool {
	a, b := q.ids[i], q.ids[j]
	if t, u := q.nodes[a].time, q.nodes[b].time; t != u {
		return t > u
	}
	return bytes.Compare(a[:], b[:]) < 0
}

func (q *queue) Pop() any {
	last := q.ids[len(q.ids)-1]
	q.ids = q.ids[:len(q.ids)-1]
	return last
}

// header yields the header lines of a commit (git's commit.c, parse_commit_buffer): key and value, without those that
// continue a line; and returns where the message begins.
func header(content []byte, each func(key, value []byte) error) (message []byte, err error) {
	for len(content) > 0 {
		line, rest, _ := bytes.Cut(content, []byte("\n"))
		content = rest
		if len(line) == 0 {
			break
		}
		if key, value, ok := bytes.Cut(line, []byte(" ")); ok && len(key) > 0 {
			if err := each(key, value); err != nil {
				return nil, err
			}
		}
	}
	return content, nil
}

func parseNode(content []byte) (n node, err error) {
	_, err = header(content, func(key, value []byte) error {
		switch string(key) {
		case "parent":
			if !fullID.Match(value) {
				return errors.New("it is damaged: a parent is not an ID")
			}
			n.parents = append(n.parents, plumbing.NewHash(string(value)))
		case "committer":
			_, n.time = parseIdent(value)
		}
		return nil
	})
	return n, err
}

func parseChange(content []byte) (c Change, err error) {
	message, err := header(content, func(key, value []byte) error {
		switch string(key) {
		case "parent":
			c.Parents++
		case "author":
			c.Author, _ = parseIdent(value)
		case "committer":
			_, at := parseIdent(value)
			c.Time = time.Unix(at, 0).UTC()
		}
		return nil
	})
	text := strings.ReplaceAll(strings.ToValidUTF8(string(message), "\ufffd"), "\r\n", "\n")
	text = strings.TrimSpace(text)
	subject, body := text, ""
	for at := 0; at < len(text); { // up to the first empty line, or one of white space only
		line, _, _ := strings.Cut(text[at:], "\n")
		if strings.TrimSpace(line) == "" {
			subject, body = text[:at], text[at:]
			break
		}
		at += len(line) + 1
	}
	c.Subject = strings.Join(strings.Fields(subject), " ")
	c.Body = strings.TrimSpace(body)
	return c, err
}

// parseIdent reads "Name <mail> SECONDS ZONE". What cannot be read is left empty.
func parseIdent(value []byte) (p Person, at int64) {
	text := strings.ToValidUTF8(string(value), "\ufffd")
	open, end := strings.Index(text, "<"), strings.LastIndex(text, ">")
	if open < 0 || end < open {
		return Person{Name: strings.TrimSpace(text)}, 0
	}
	p = Person{strings.TrimSpace(text[:open]), strings.TrimSpace(text[open+1 : end])}
	if fields := strings.Fields(text[end+1:]); len(fields) > 0 {
		at, _ = strconv.ParseInt(fields[0], 10, 64) // a time that is none is the oldest
	}
	return p, at
}
