package gitremote

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage"
)

// Push creates a ref (old is zero) or moves a branch forward from old. It never forces, and never moves a tag. A ref
// that is from already is success. The messages are what the remote's hooks said, as the lines of git's "remote:".
//
// The error wraps [ErrExists] or [ErrNotFastForward] where the ref is something else than old, a *[RefusedError] where
// the remote declined, and [ErrLost] where nobody knows: after that, look.
func (a Access) Push(ctx context.Context, s storage.Storer, from plumbing.Hash, ref string, old plumbing.Hash) (messages []string, err error) {
	if err := plumbing.ReferenceName(ref).Validate(); err != nil || !strings.HasPrefix(ref, "refs/") || from.IsZero() {
		return nil, fmt.Errorf("cannot push: %q is not the full name of a branch or tag", ref)
	}
	if !old.IsZero() && !strings.HasPrefix(ref, "refs/heads/") {
		return nil, fmt.Errorf("cannot push: %w: only a branch moves, and %s is none", ErrExists, ref)
	}
	c, err := a.begin(ctx, receivePack)
	if err != nil {
		return nil, err
	}
	defer c.close()
	now := c.adv.References[ref]
	switch {
	case now == from:
		return nil, nil
	case now != old:
		return nil, moved(a.shown(), ref, now, old)
	case !old.IsZero() && !contains(s, from, old):
		return nil, fmt.Errorf("cannot push to %s: %w: %s does not follow %s", a.shown(), ErrNotFastForward, from, old)
	}
	var have []plumbing.Hash
	for _, hash := range c.adv.References {
		have = append(have, hash)
	}
	send, err := missing(s, from, have)
	if err != nil {
		return nil, fmt.Errorf("cannot push to %s: %w", a.shown(), err)
	}
	pack, size, err := spool(s, send)
	if err != nil {
		return nil, fmt.Errorf("cannot push to %s: %w", a.shown(), err)
	}
	defer os.Remove(pack.Name())
	defer pack.Close()
	return a.update(ctx, c, packp.Command{Name: plumbing.ReferenceName(ref), Old: old, New: from}, pack, size)
}

// Delete deletes a ref while it is old. What is gone already is success; the error wraps [ErrExists] where the ref is
// something else by now.
func (a Access) Delete(ctx context.Context, ref string, old plumbing.Hash) error {
	if old.IsZero() {
		return errors.New("cannot delete: nobody says what the ref should be")
	}
	c, err := a.begin(ctx, receivePack)
	if err != nil {
		return err
	}
	defer c.close()
	now := c.adv.References[ref]
	switch {
	case now.IsZero():
		return nil
	case now != old:
		return fmt.Errorf("cannot delete %s at %s: %w: it is %s, not %s", ref, a.shown(), ErrExists, now, old)
	case !c.adv.Capabilities.Supports(capability.DeleteRefs):
		return fmt.Errorf("cannot delete %s at %s: %w", ref, a.shown(), &RefusedError{[]string{"it lets nobody delete branches and tags"}})
	}
	_, err = a.update(ctx, c, packp.Command{Name: plumbing.ReferenceName(ref), Old: old}, nil, 0)
	if errors.Is(err, ErrLost) || err == nil {
		return err
	}
	if refs, looked := a.Refs(ctx); looked == nil && refs[ref].Hash == "" {
		return nil
	}
	return err
}

func moved(url, ref string, now, old plumbing.Hash) error {
	switch {
	case old.IsZero():
		return fmt.Errorf("cannot push to %s: %w: %s is %s", url, ErrExists, ref, now)
	case now.IsZero():
		return fmt.Errorf("cannot push to %s: %w: %s was %s and is gone", url, ErrNotFastForward, ref, old)
	}
	return fmt.Errorf("cannot push to %s: %w: %s is %s, no longer %s", url, ErrNotFastForward, ref, now, old)
}

// update sends one command, and the pack unless it deletes, and reads what became of it.
func (a Access) update(ctx context.Context, c *conversation, command packp.Command, pack io.Reader, size int64) (messages []string, err error) {
	u := packp.NewReferenceUpdateRequest()
	u.Commands = []*packp.Command{&command}
	has := c.adv.Capabilities.Supports
	if !has(capability.ReportStatus) {
		return nil, fmt.Errorf("cannot push to %s: its git does not say what became of a push", a.shown())
	}
	caps := []capability.Capability{capability.ReportStatus}
	if has(capability.Sideband64k) {
		caps = append(caps, capability.Sideband64k)
	}
	if command.Action() == packp.Delete {
		caps = append(caps, capability.DeleteRefs)
	}
	for _, one := range caps {
		if err := u.Capabilities.Set(one); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	if err := u.Encode(&b); err != nil {
		return nil, fmt.Errorf("cannot push to %s: %w", a.shown(), err)
	}
	size += int64(b.Len())
	request := io.Reader(&b)
	if pack != nil {
		request = io.MultiReader(&b, pack)
	}
	said := &head{}
	report, err := c.report(request, size, said)
	c.close()
	messages = append(said.lines(), c.lines()...)
	var sure *definite
	switch {
	case errors.As(err, &sure):
		return messages, fmt.Errorf("cannot push to %s: %w", a.shown(), sure.error)
	case err != nil:
		if len(messages) > 0 {
			err = fmt.Errorf("%w (%s)", err, strings.Join(messages, "; "))
		}
		return messages, fmt.Errorf("cannot push to %s: %w: %w", a.shown(), ErrLost, err)
	case report.UnpackStatus != "ok":
		return messages, fmt.Errorf("cannot push to %s: %w", a.shown(), &RefusedError{append(messages, "it could not take the objects: "+printable(report.UnpackStatus))})
	}
	for _, status := range report.CommandStatuses {
		if status.ReferenceName != command.Name || status.Status == "ok" {
			continue
		}
		// The remote compared the ref with what it was when we looked; another one may have been quicker.
		if now, yes := a.overtaken(ctx, command, strings.Contains(strings.Join(messages, " ")+status.Status, lockedWords)); yes {
			return messages, moved(a.shown(), string(command.Name), now, command.Old)
		}
		return messages, fmt.Errorf("cannot push to %s: %w", a.shown(), &RefusedError{append(messages, fmt.Sprintf("%s: %s", command.Name, printable(status.Status)))})
	}
	return messages, nil
}

// lockedWords are what git says of a ref that another process holds at the moment (refs/files-backend.c, git 2.39).
const lockedWords = "cannot lock ref"

// overtaken looks whether a ref is another one than a refused command has taken it for. Where the remote says that the
// ref was locked, another push is at it and not through yet: it gets some seconds.
func (a Access) overtaken(ctx context.Context, command packp.Command, locked bool) (now plumbing.Hash, yes bool) {
	for wait := lockWait / 32; ; wait *= 2 {
		refs, err := a.Refs(ctx)
		if err != nil {
			return plumbing.ZeroHash, false
		}
		if hash := refs[string(command.Name)].Hash; hash != hex(command.Old) {
			return plumbing.NewHash(hash), true
		}
		if !locked || wait > lockWait/2 {
			return plumbing.ZeroHash, false
		}
		select {
		case <-ctx.Done():
			return plumbing.ZeroHash, false
		case <-time.After(wait):
		}
	}
}

// lockWait is about how long a push that holds a ref is waited for.
const lockWait = 3 * time.Second

// hex is a hash as Ref has it: empty for none.
func hex(h plumbing.Hash) string {
	if h.IsZero() {
		return ""
	}
	return h.String()
}

func (c *conversation) report(request io.Reader, size int64, said *head) (*packp.ReportStatus, error) {
	answer, err := c.ask(request, size)
	if err != nil {
		return nil, c.watch.explain(err)
	}
	defer answer.Close()
	r := io.Reader(answer)
	if c.adv.Capabilities.Supports(capability.Sideband64k) {
		d := sideband.NewDemuxer(sideband.Sideband64k, answer)
		d.Progress = said
		r = d
	}
	report := packp.NewReportStatus()
	if err := report.Decode(r); err != nil {
		return nil, c.watch.explain(err)
	}
	// What hooks say after the report is worth reading, what may go wrong then is not: the report stands.
	_, _ = io.Copy(io.Discard, io.LimitReader(r, 1<<20))
	return report, nil
}

// spool writes a pack into a temporary file, so that it is complete before the remote hears of it.
func spool(s storer.EncodedObjectStorer, objects []plumbing.Hash) (*os.File, int64, error) {
	f, err := os.CreateTemp("", "slipway-push-")
	if err != nil {
		return nil, 0, err
	}
	_, err = packfile.NewEncoder(f, s, false).Encode(objects, 0)
	size := int64(0)
	if err == nil {
		size, err = f.Seek(0, io.SeekCurrent)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		os.Remove(f.Name())
		return nil, 0, fmt.Errorf("cannot pack the objects: %w", err)
	}
	return f, size, nil
}

// missing lists the objects that somebody with have lacks of what tip leads to. It may list a few more.
func missing(s storer.EncodedObjectStorer, tip plumbing.Hash, have []plumbing.Hash) (send []plumbing.Hash, err error) {
	for range 10 { // tags of tags
		tag, err := object.GetTag(s, tip)
		if err != nil {
			break
		}
		if !slices.Contains(have, tip) {
			send = append(send, tip)
		}
		tip = tag.Target
	}
	commits, err := Ahead(s, tip, have)
	if err != nil {
		return nil, err
	}
	sent := map[plumbing.Hash]bool{}
	for _, c := range commits {
		send = append(send, c.Hash)
		var olds []plumbing.Hash
		for _, parent := range c.ParentHashes {
			if p, err := object.GetCommit(s, parent); err == nil {
				olds = append(olds, p.TreeHash)
			}
		}
		if err := fresh(s, c.TreeHash, olds, sent, &send); err != nil {
			return nil, err
		}
	}
	return send, nil
}

// fresh lists the objects of a tree that do not stand in the same place of one of the old trees.
func fresh(s storer.EncodedObjectStorer, tree plumbing.Hash, olds []plumbing.Hash, sent map[plumbing.Hash]bool, send *[]plumbing.Hash) error {
	if sent[tree] || slices.Contains(olds, tree) {
		return nil
	}
	sent[tree] = true
	*send = append(*send, tree)
	t, err := object.GetTree(s, tree)
	if err != nil {
		return fmt.Errorf("tree %s: %w", tree, err)
	}
	below := map[string][]plumbing.Hash{}
	for _, old := range olds {
		if o, err := object.GetTree(s, old); err == nil {
			for _, e := range o.Entries {
				below[e.Name] = append(below[e.Name], e.Hash)
			}
		}
	}
	for _, e := range t.Entries {
		switch {
		case e.Mode == filemode.Submodule || sent[e.Hash] || slices.Contains(below[e.Name], e.Hash):
		case e.Mode == filemode.Dir:
			if err := fresh(s, e.Hash, below[e.Name], sent, send); err != nil {
				return err
			}
		default:
			sent[e.Hash] = true
			*send = append(*send, e.Hash)
		}
	}
	return nil
}

// Ahead lists the commits that tip leads to and none of have does. It goes back in time, newest first, from both, and
// stops when all that is left is had.
func Ahead(s storer.EncodedObjectStorer, tip plumbing.Hash, have []plumbing.Hash) ([]*object.Commit, error) {
	had, seen := map[plumbing.Hash]bool{}, map[plumbing.Hash]bool{}
	q := &queue{}
	add := func(hash plumbing.Hash, has bool) error {
		first := !seen[hash]
		if has && !had[hash] {
			had[hash] = true
			first = true // its ancestors are to be marked as well
		}
		if !first {
			return nil
		}
		seen[hash] = true
		c, err := object.GetCommit(s, hash)
		if err != nil {
			if had[hash] {
				return nil // what the remote alone has
			}
			return fmt.Errorf("commit %s is neither here nor there (is this a shallow clone? git fetch --unshallow gets the rest): %w", hash, err)
		}
		heap.Push(q, c)
		return nil
	}
	for _, hash := range have {
		for range 10 {
			tag, err := object.GetTag(s, hash)
			if err != nil {
				break
			}
			hash = tag.Target
		}
		if err := add(hash, true); err != nil {
			return nil, err
		}
	}
	if err := add(tip, false); err != nil {
		return nil, err
	}
	var found []*object.Commit
	listed := map[plumbing.Hash]bool{}
	for q.Len() > 0 && q.wanted(had) {
		c := heap.Pop(q).(*object.Commit)
		if !had[c.Hash] && !listed[c.Hash] {
			listed[c.Hash] = true
			found = append(found, c)
		}
		for _, parent := range c.ParentHashes {
			if err := add(parent, had[c.Hash]); err != nil {
				return nil, err
			}
		}
	}
	return slices.DeleteFunc(found, func(c *object.Commit) bool { return had[c.Hash] }), nil
}

// queue holds commits, newest first.
type queue []*object.Commit

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].Committer.When.After(q[j].Committer.When) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

// Push is for package heap.
func (q *queue) Push(c any) { *q = append(*q, c.(*object.Commit)) }

// Pop is for package heap.
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// wanted reports whether a commit in the queue is one that nobody is known to have.
func (q queue) wanted(had map[plumbing.Hash]bool) bool {
	return slices.ContainsFunc(q, func(c *object.Commit) bool { return !had[c.Hash] })
}

// CanPush asks whether the remote would take a push of us, and changes nothing.
func (a Access) CanPush(ctx context.Context) error {
	c, err := a.begin(ctx, receivePack)
	if err != nil {
		return err
	}
	c.close()
	return nil
}
