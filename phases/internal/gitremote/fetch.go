package gitremote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-git/go-billy/v5/memfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage"
	"github.com/go-git/go-git/v5/storage/memory"
)

// Ref is what a branch or tag leads to.
type Ref struct {
	Hash   string // 40 hexadecimal digits
	Peeled string // the commit that an annotated tag leads to; else Hash
}

// Refs lists the remote's refs by their full names; an empty repository has none. The error wraps [ErrNoRepository]
// where there is no repository.
func (a Access) Refs(ctx context.Context) (map[string]Ref, error) {
	c, err := a.begin(ctx, uploadPack)
	if err != nil {
		return nil, err
	}
	defer c.close()
	return c.refs(), nil
}

func (c *conversation) refs() map[string]Ref {
	refs := map[string]Ref{}
	for name, hash := range c.adv.References {
		if !strings.HasPrefix(name, "refs/") || hash.IsZero() {
			continue
		}
		r := Ref{hash.String(), hash.String()}
		if peeled, ok := c.adv.Peeled[name]; ok {
			r.Peeled = peeled.String()
		}
		refs[name] = r
	}
	return refs
}

// Wanted says what is to be fetched.
type Wanted struct {
	Refs   []string        // full names
	Haves  []plumbing.Hash // commits that are there with all that they lead to, so that it need not come again
	Depth  int             // commits of each line of history; 0: all
	Filter packp.Filter    // leaves objects out where the remote knows how; empty: none
	Limit  int64           // bytes of the pack; 0: any
}

// Fetch gets refs, with all that they lead to, into a store, and sets them there. The store's own refs say what need not
// come again. The error wraps [plumbing.ErrReferenceNotFound] where one of the refs is not there.
func (a Access) Fetch(ctx context.Context, s storage.Storer, refs ...string) error {
	haves, err := known(s)
	if err != nil {
		return err
	}
	return a.Get(ctx, s, Wanted{Refs: refs, Haves: haves})
}

// maxHaves is how many commits the remote is told of. It learns them at once, so that one question is enough over https.
const maxHaves = 256

// known lists the newest commits of the store's refs.
func known(s storage.Storer) (haves []plumbing.Hash, err error) {
	iter, err := s.IterReferences()
	if err != nil {
		return nil, err
	}
	seen := map[plumbing.Hash]bool{}
	var next []plumbing.Hash
	err = iter.ForEach(func(r *plumbing.Reference) error {
		if r.Type() == plumbing.HashReference {
			next = append(next, r.Hash())
		}
		return nil
	})
	for ; len(next) > 0 && len(haves) < maxHaves; next = next[1:] {
		if seen[next[0]] {
			continue
		}
		seen[next[0]] = true
		if t, err := object.GetTag(s, next[0]); err == nil {
			next = append(next, t.Target)
		} else if c, err := object.GetCommit(s, next[0]); err == nil {
			haves = append(haves, c.Hash)
			next = append(next, c.ParentHashes...)
		}
	}
	return haves, err
}

// Get is [Access.Fetch] for those who want only a part.
func (a Access) Get(ctx context.Context, s storage.Storer, w Wanted) error {
	c, err := a.begin(ctx, uploadPack)
	if err != nil {
		return err
	}
	defer c.close()
	var set []*plumbing.Reference
	var want []plumbing.Hash
	for _, name := range w.Refs {
		hash, ok := c.adv.References[name]
		if !ok || hash.IsZero() {
			return fmt.Errorf("%s has no %s: %w", a.shown(), name, plumbing.ErrReferenceNotFound)
		}
		set = append(set, plumbing.NewHashReference(plumbing.ReferenceName(name), hash))
		if s.HasEncodedObject(hash) != nil && !slices.Contains(want, hash) {
			want = append(want, hash)
		}
	}
	if len(want) > 0 {
		if err := c.fetch(s, want, w); err != nil {
			return fmt.Errorf("cannot fetch from %s: %w", a.shown(), c.watch.explain(err))
		}
	}
	for _, ref := range set {
		if err := s.SetReference(ref); err != nil {
			return err
		}
	}
	return nil
}

// fetch asks for the objects.
func (c *conversation) fetch(s storage.Storer, want []plumbing.Hash, w Wanted) error {
	q := packp.NewUploadPackRequest()
	q.Wants, q.Haves = want, slices.Clone(w.Haves)
	has := c.adv.Capabilities.Supports
	if !has(capability.Sideband64k) {
		return errors.New("the remote's git is too old: it has no side-band-64k")
	}
	caps := []capability.Capability{capability.Sideband64k}
	if has(capability.OFSDelta) {
		caps = append(caps, capability.OFSDelta)
	}
	if w.Depth > 0 {
		if !has(capability.Shallow) {
			return errors.New("the remote cannot leave history out")
		}
		q.Depth = packp.DepthCommits(w.Depth)
		caps = append(caps, capability.Shallow)
	}
	if w.Filter != "" && has(capability.Filter) {
		q.Filter = w.Filter
		caps = append(caps, capability.Filter)
	}
	for _, one := range caps {
		if err := q.Capabilities.Set(one); err != nil {
			return err
		}
	}
	if has(capability.Agent) {
		if err := q.Capabilities.Set(capability.Agent, agentName); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if err := errors.Join(q.UploadRequest.Encode(&b), q.UploadHaves.Encode(&b, false), pktline.NewEncoder(&b).EncodeString("done\n")); err != nil {
		return err
	}
	answer, err := c.ask(&b, int64(b.Len()))
	if err != nil {
		return err
	}
	defer answer.Close()
	shallow, rest, err := acknowledged(answer)
	if err != nil {
		return err
	}
	var r io.Reader = sideband.NewDemuxer(sideband.Sideband64k, rest)
	if w.Limit > 0 {
		r = &limited{r, w.Limit}
	}
	if err := packfile.UpdateObjectStorage(s, r); err != nil && !errors.Is(err, packfile.ErrEmptyPackfile) {
		return err
	}
	if len(shallow) > 0 {
		return s.SetShallow(shallow)
	}
	return nil
}

const agentName = "slipway"

// acknowledged reads the lines in front of the pack: where history ends, and which commits both sides have. A server says
// more than once that it has one where commits follow from each other, so only the pack's own channel ends them; rest
// begins there.
func acknowledged(r io.Reader) (shallow []plumbing.Hash, rest io.Reader, err error) {
	lines := pktline.NewScanner(r)
	for lines.Scan() {
		line := lines.Bytes()
		if len(line) > 0 && line[0] <= 3 {
			var b bytes.Buffer
			err := pktline.NewEncoder(&b).Encode(line)
			return shallow, io.MultiReader(&b, r), err
		}
		switch word, id, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " "); word {
		case "shallow":
			shallow = append(shallow, plumbing.NewHash(id))
		case "unshallow", "NAK", "ACK", "": // a flush ends the part about history
		default:
			return nil, nil, fmt.Errorf("the remote says %q where it should say what it has", printable(string(line)))
		}
	}
	if err := lines.Err(); err != nil {
		return nil, nil, err
	}
	return nil, nil, io.ErrUnexpectedEOF
}

// limited fails beyond a number of bytes.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, errors.New("there is more than such a repository can be")
	}
	return n, err
}

// maxClone is the largest pack that [Access.Clone] holds in memory, in bytes.
const maxClone = 64 << 20

// Clone gets the whole history of a branch into memory. Its working tree is empty until it is reset to the commit. The
// hash is zero where the branch, or everything, is missing; the repository's HEAD names the branch all the same.
func (a Access) Clone(ctx context.Context, branch string) (*git.Repository, plumbing.Hash, error) {
	s := memory.NewStorage()
	name := plumbing.NewBranchReferenceName(branch)
	r, err := git.InitWithOptions(s, memfs.New(), git.InitOptions{DefaultBranch: name})
	if err != nil {
		return nil, plumbing.ZeroHash, fmt.Errorf("cannot clone: %w", err)
	}
	err = a.Get(ctx, s, Wanted{Refs: []string{name.String()}, Limit: maxClone})
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return r, plumbing.ZeroHash, nil
	} else if err != nil {
		return nil, plumbing.ZeroHash, err
	}
	ref, err := s.Reference(name)
	if err != nil {
		return nil, plumbing.ZeroHash, err
	}
	return r, ref.Hash(), nil
}

// contains reports whether a commit is among the ancestors of another one, as far as the store has them.
func contains(s storer.EncodedObjectStorer, tip, commit plumbing.Hash) bool {
	seen, next := map[plumbing.Hash]bool{}, []plumbing.Hash{tip}
	for ; len(next) > 0; next = next[1:] {
		if next[0] == commit {
			return true
		}
		if seen[next[0]] {
			continue
		}
		seen[next[0]] = true
		if c, err := object.GetCommit(s, next[0]); err == nil {
			next = append(next, c.ParentHashes...)
		}
	}
	return false
}
