package repo

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/filesystem/dotgit"
)

// objects is a read-only object store with its alternates. It is not safe for concurrent use.
type objects struct{ stores []*filesystem.ObjectStorage }

// large is the size from which on contents are streamed instead of being held.
const large = 1 << 20

// openObjects opens an objects folder and those that it borrows from (objects/info/alternates). With keep the packs
// stay open until close.
func openObjects(dir string, keep bool) (*objects, error) {
	o, seen := &objects{}, map[string]bool{}
	var add func(dir string, depth int) error
	add = func(dir string, depth int) error {
		if seen[dir] {
			return nil
		}
		if seen[dir] = true; depth > 5 || filepath.Base(dir) != "objects" {
			return fmt.Errorf("cannot read alternate objects in %s", dir)
		}
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() {
			return fmt.Errorf("cannot read objects in %s: there is no such folder", dir)
		}
		o.stores = append(o.stores, filesystem.NewObjectStorageWithOptions(dotgit.New(osfs.New(filepath.Dir(dir))),
			cache.NewObjectLRU(32*cache.MiByte), filesystem.Options{KeepDescriptors: keep, LargeObjectThreshold: large}))
		b, err := os.ReadFile(filepath.Join(dir, "info", "alternates"))
		if err != nil {
			return nil
		}
		for line := range strings.Lines(string(b)) {
			if line = strings.TrimRight(line, "\r\n"); line != "" && line[0] != '#' {
				if err := add(join(dir, line), depth+1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return o, add(dir, 0)
}

func (o *objects) close() {
	for _, s := range o.stores {
		s.Close()
	}
}

// get finds an object of that type.
func (o *objects) get(t plumbing.ObjectType, id plumbing.Hash) (plumbing.EncodedObject, error) {
	for _, s := range o.stores {
		obj, err := s.EncodedObject(t, id)
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("object %s is damaged: %w", id, err)
		}
		if obj.Type() != t {
			continue
		}
		return obj, nil
	}
	return nil, fmt.Errorf("%s %s: %w", t, id, plumbing.ErrObjectNotFound)
}

// read returns an object in full, after comparing it with its ID. Blobs beyond what a text file can be are refused.
func (o *objects) read(t plumbing.ObjectType, id plumbing.Hash) ([]byte, error) {
	obj, err := o.get(t, id)
	if err != nil {
		return nil, err
	}
	if t == plumbing.BlobObject && obj.Size() > 64*large {
		return nil, fmt.Errorf("it is %d bytes large", obj.Size())
	}
	var b bytes.Buffer
	err = o.copy(&b, obj, id, "")
	return b.Bytes(), err
}

// copy streams an object's content and compares it with its ID. A large one that is packed as a delta is put together
// from a base in a temporary file in the folder tmp.
func (o *objects) copy(w io.Writer, obj plumbing.EncodedObject, id plumbing.Hash, tmp string) error {
	h := &counter{Hasher: plumbing.NewHasher(obj.Type(), obj.Size())}
	if err := o.content(io.MultiWriter(w, h), obj, id, tmp, 0); err != nil {
		return fmt.Errorf("object %s: %w", id, err)
	}
	if h.n != obj.Size() || h.Sum() != id {
		return fmt.Errorf("object %s is damaged: its content has another ID", id)
	}
	return nil
}

type counter struct {
	plumbing.Hasher
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.Hasher.Write(p)
}

// maxChain is the longest chain of deltas that is followed; git makes 50, or 250 when asked to be aggressive, and
// 4095 at most.
const maxChain = 4095

// content streams an object. Of large objects packed as deltas go-git holds the whole base in memory, and where a delta
// goes back in its base its stream is not right (v5.19.3, packfile.ReaderFromDelta), so these are put together here.
func (o *objects) content(w io.Writer, obj plumbing.EncodedObject, id plumbing.Hash, tmp string, depth int) error {
	if obj.Size() > large {
		for _, s := range o.stores {
			raw, err := s.DeltaObject(plumbing.AnyObject, id)
			if errors.Is(err, plumbing.ErrObjectNotFound) {
				continue
			} else if err != nil {
				return err
			}
			if delta, ok := raw.(plumbing.DeltaObject); ok {
				return o.patched(w, obj.Type(), delta, tmp, depth)
			}
			break
		}
	}
	r, err := obj.Reader()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}

// patched streams the object that a delta makes of its base.
func (o *objects) patched(w io.Writer, t plumbing.ObjectType, delta plumbing.DeltaObject, tmp string, depth int) error {
	if depth > maxChain {
		return errors.New("it is a delta of a delta, without end")
	}
	base, err := o.get(t, delta.BaseHash())
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(tmp, "delta-base-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := o.content(f, base, delta.BaseHash(), tmp, depth+1); err != nil {
		return err
	}
	r, err := delta.Reader()
	if err != nil {
		return err
	}
	defer r.Close()
	return applyDelta(w, f, base.Size(), bufio.NewReader(r))
}

// errDelta is the error for a delta that is not one.
var errDelta = errors.New("a delta is damaged")

// applyDelta writes what a delta makes of its base (gitformat-pack(5), "Deltified representation"): two sizes, then
// commands to copy from the base or to insert bytes.
func applyDelta(w io.Writer, base io.ReaderAt, size int64, delta *bufio.Reader) error {
	if from, err := binary.ReadUvarint(delta); err != nil || from != uint64(size) {
		return errDelta
	}
	left, err := binary.ReadUvarint(delta)
	if err != nil {
		return errDelta
	}
	for left > 0 {
		command, err := delta.ReadByte()
		if err != nil || command == 0 {
			return errDelta
		}
		n := uint64(command)
		from := io.Reader(delta)
		if command&0x80 != 0 {
			var at uint64
			if at, n, err = copyCommand(command, delta); err != nil {
				return err
			}
			if at+n > uint64(size) {
				return errDelta
			}
			from = io.NewSectionReader(base, int64(at), int64(n))
		}
		if n > left {
			return errDelta
		}
		if _, err := io.CopyN(w, from, int64(n)); errors.Is(err, io.EOF) {
			return errDelta
		} else if err != nil {
			return err
		}
		left -= n
	}
	if _, err := delta.ReadByte(); err != io.EOF {
		return errDelta
	}
	return nil
}

// copyCommand reads offset and size, whose bytes are there where the command's bits say so.
func copyCommand(command byte, delta io.ByteReader) (at, n uint64, err error) {
	for i := range 7 {
		if command&(1<<i) == 0 {
			continue
		}
		b, err := delta.ReadByte()
		if err != nil {
			return 0, 0, errDelta
		}
		if i < 4 {
			at |= uint64(b) << (8 * i)
		} else {
			n |= uint64(b) << (8 * (i - 4))
		}
	}
	if n == 0 {
		n = 0x10000
	}
	return at, n, nil
}
