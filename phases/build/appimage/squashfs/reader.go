package squashfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"sync"
)

// Reader reads an image. It is safe for use by several goroutines.
//
// An image may come from anyone: every length and position is checked before memory is spent on it, and what an image
// claims is believed only as far as its own bytes bear it out.
type Reader struct {
	r    io.ReaderAt
	off  int64
	sb   Superblock
	dec  decoder
	meta cache[metaBlock]
	data cache[[]byte]
}

// Bounds on what one inode may make the reader hold in memory.
const (
	maxBlocks   = 1 << 22 // blocks of one file
	maxListing  = 1 << 28 // bytes of one folder's listing
	metaCached  = 128
	bytesCached = 8 << 20
)

// NewReader opens the image that begins at offset off of r.
func NewReader(r io.ReaderAt, off int64) (*Reader, error) {
	b := make([]byte, superSize)
	if _, err := r.ReadAt(b, off); err != nil {
		return nil, fmt.Errorf("cannot read the superblock: %w", noEOF(err))
	}
	sb, err := decodeSuperblock(b)
	if err != nil {
		return nil, err
	}
	if off < 0 || sb.BytesUsed > uint64(math.MaxInt64-off) {
		return nil, corrupt("%d bytes used", sb.BytesUsed)
	}
	rd := &Reader{r: r, off: off, sb: sb}
	if rd.dec, err = newDecoder(sb.Compression); err != nil {
		return nil, err
	}
	rd.meta.limit = metaCached
	rd.data.limit = max(4, bytesCached/int(sb.BlockSize))
	return rd, nil
}

// Superblock returns the image's head.
func (r *Reader) Superblock() Superblock { return r.sb }

// noEOF keeps an image that ends too early from looking like the regular end of a file.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrCorrupt)
	}
	return err
}

// readAt fills b from a position of the image.
func (r *Reader) readAt(b []byte, pos uint64) error {
	if pos > r.sb.BytesUsed || uint64(len(b)) > r.sb.BytesUsed-pos {
		return corrupt("position %d lies outside", pos)
	}
	n, err := r.r.ReadAt(b, r.off+int64(pos))
	if n == len(b) {
		return nil
	}
	return noEOF(err)
}

// metaBlock is an unpacked metadata block and the position of the next.
type metaBlock struct {
	data []byte
	next uint64
}

func (r *Reader) metaAt(pos uint64) (metaBlock, error) {
	return r.meta.get(pos, func() (metaBlock, error) {
		var head [2]byte
		if err := r.readAt(head[:], pos); err != nil {
			return metaBlock{}, err
		}
		v := binary.LittleEndian.Uint16(head[:])
		size := int(v &^ metaRaw)
		if size == 0 || size > metaSize {
			return metaBlock{}, corrupt("a metadata block of %d bytes", size)
		}
		b := make([]byte, size)
		if err := r.readAt(b, pos+2); err != nil {
			return metaBlock{}, err
		}
		if v&metaRaw == 0 {
			out, err := r.dec.decode(make([]byte, 0, metaSize), b)
			if err != nil {
				return metaBlock{}, err
			}
			b = out
		}
		if len(b) == 0 {
			return metaBlock{}, corrupt("an empty metadata block")
		}
		return metaBlock{b, pos + 2 + uint64(size)}, nil
	})
}

// metaCursor reads on through metadata blocks up to end, where the next table begins.
type metaCursor struct {
	r   *Reader
	pos uint64
	off int
	end uint64
}

func (r *Reader) cursor(table, end, block uint64, off uint16) *metaCursor {
	return &metaCursor{r: r, pos: table + block, off: int(off), end: end}
}

// read returns n bytes. It is called with small n only, or in a loop that consumes as much.
func (c *metaCursor) read(n int) ([]byte, error) {
	out := make([]byte, 0, n)
	for {
		if c.pos >= c.end {
			return nil, corrupt("metadata runs into the next table")
		}
		m, err := c.r.metaAt(c.pos)
		if err != nil {
			return nil, err
		}
		if c.off > len(m.data) {
			return nil, corrupt("an offset of %d in a metadata block of %d bytes", c.off, len(m.data))
		}
		k := min(len(m.data)-c.off, n-len(out))
		out = append(out, m.data[c.off:c.off+k]...)
		c.off += k
		if len(out) == n {
			return out, nil
		}
		c.pos, c.off = m.next, 0
	}
}

// Inode is a file, folder or link of the image.
type Inode struct {
	Ref    uint64      // its reference, unique in the image
	Number uint32      // its inode number, unique in an honest image
	Mode   fs.FileMode // kind and permission bits, with setuid, setgid and sticky
	Time   uint32      // seconds since 1970
	Links  uint32
	Size   int64  // of a regular file; of a link the length of its target
	Target string // of a link

	uid, gid             uint16 // indexes of the id table
	fragment, fragOffset uint32
	words                []uint32
	starts               []uint64
	dirBlock             uint32
	dirOffset            uint16
	dirSize              uint32
}

// Root returns the root folder.
func (r *Reader) Root() (*Inode, error) {
	n, err := r.Inode(r.sb.Root)
	if err == nil && !n.Mode.IsDir() {
		err = corrupt("the root is not a folder")
	}
	return n, err
}

// fixedPart is the length of what follows an inode's common part, before any list.
var fixedPart = [...]uint8{typeDir: 16, typeLongDir: 24, typeFile: 16, typeLongFile: 40, typeSymlink: 8, typeLongLink: 8}

// Inode reads the inode at a reference.
func (r *Reader) Inode(ref uint64) (*Inode, error) {
	le := binary.LittleEndian
	if ref>>48 != 0 {
		return nil, corrupt("inode reference %#x", ref)
	}
	c := r.cursor(r.sb.InodeTable, r.sb.DirTable, ref>>16, uint16(ref))
	b, err := c.read(16)
	if err != nil {
		return nil, err
	}
	n := &Inode{
		Ref: ref, Mode: modeBits(le.Uint16(b[2:])), Time: le.Uint32(b[8:]), Number: le.Uint32(b[12:]), Links: 1,
		uid: le.Uint16(b[4:]), gid: le.Uint16(b[6:]),
	}
	kind := le.Uint16(b)
	if kind < typeDir || kind > typeLongLink || (kind > typeSymlink && kind < typeLongDir) {
		return nil, corrupt("inode type %d is not a file, folder or link", kind)
	}
	if b, err = c.read(int(fixedPart[kind])); err != nil {
		return nil, err
	}
	switch kind {
	case typeDir:
		n.dirBlock, n.Links, n.dirSize, n.dirOffset = le.Uint32(b), le.Uint32(b[4:]), uint32(le.Uint16(b[8:])), le.Uint16(b[10:])
	case typeLongDir:
		n.Links, n.dirSize, n.dirBlock, n.dirOffset = le.Uint32(b), le.Uint32(b[4:]), le.Uint32(b[8:]), le.Uint16(b[18:])
	case typeFile:
		n.fragment, n.fragOffset = le.Uint32(b[4:]), le.Uint32(b[8:])
		return n, r.readBlockList(c, n, uint64(le.Uint32(b)), uint64(le.Uint32(b[12:])))
	case typeLongFile:
		n.Links, n.fragment, n.fragOffset = le.Uint32(b[24:]), le.Uint32(b[28:]), le.Uint32(b[32:])
		return n, r.readBlockList(c, n, le.Uint64(b), le.Uint64(b[8:]))
	case typeSymlink, typeLongLink:
		n.Links = le.Uint32(b)
		size := le.Uint32(b[4:])
		if size == 0 || size > maxTarget {
			return nil, corrupt("a link target of %d bytes", size)
		}
		if b, err = c.read(int(size)); err != nil {
			return nil, err
		}
		n.Mode |= fs.ModeSymlink
		n.Target, n.Size = string(b), int64(size)
		return n, nil
	}
	n.Mode |= fs.ModeDir
	if n.dirSize > maxListing {
		return nil, corrupt("a folder of %d bytes", n.dirSize)
	}
	return n, nil
}

// modeBits makes Go's permission bits of Unix's.
func modeBits(m uint16) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	for _, bit := range [...]struct {
		unix uint16
		mode fs.FileMode
	}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}} {
		if m&bit.unix != 0 {
			mode |= bit.mode
		}
	}
	return mode
}

func (r *Reader) readBlockList(c *metaCursor, n *Inode, start, size uint64) error {
	bs := uint64(r.sb.BlockSize)
	count := size / bs
	if n.fragment == noFragment && size%bs != 0 {
		count++
	}
	if count > maxBlocks {
		return corrupt("a file of %d bytes", size)
	}
	if n.fragment != noFragment && n.fragment >= r.sb.Fragments {
		return corrupt("fragment %d of %d", n.fragment, r.sb.Fragments)
	}
	n.Size = int64(size)
	for at := start; count > 0; {
		some := min(count, 256) // a false count costs no more memory than the image has metadata
		b, err := c.read(int(some) * 4)
		if err != nil {
			return err
		}
		for ; len(b) > 0; b = b[4:] {
			word := binary.LittleEndian.Uint32(b)
			length := uint64(word &^ blockRaw)
			if length > bs || at+length > r.sb.BytesUsed || at > r.sb.BytesUsed {
				return corrupt("a data block of %d bytes at %d", length, at)
			}
			n.words = append(n.words, word)
			n.starts = append(n.starts, at)
			at += length
		}
		count -= some
	}
	return nil
}

// ReadAt reads from a regular file's content, like an [io.ReaderAt].
func (r *Reader) ReadAt(n *Inode, p []byte, off int64) (int, error) {
	if !n.Mode.IsRegular() {
		return 0, fs.ErrInvalid
	}
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	bs := int64(r.sb.BlockSize)
	done := 0
	for done < len(p) {
		at := off + int64(done)
		if at >= n.Size {
			return done, io.EOF
		}
		block, within := at/bs, at%bs
		want := min(bs, n.Size-block*bs) // the block's length
		b, err := r.fileBlock(n, int(block), int(want))
		if err != nil {
			return done, err
		}
		if b == nil {
			k := min(int64(len(p)-done), want-within)
			clear(p[done : done+int(k)])
			done += int(k)
			continue
		}
		done += copy(p[done:], b[within:])
	}
	return done, nil
}

// Hole tells whether the block that holds position off is stored as a hole, and where the block ends.
func (r *Reader) Hole(n *Inode, off int64) (hole bool, end int64) {
	bs := int64(r.sb.BlockSize)
	block := off / bs
	return block < int64(len(n.words)) && n.words[block]&^blockRaw == 0, min((block+1)*bs, n.Size)
}

// fileBlock returns a file's block of the given length, nil for a hole.
func (r *Reader) fileBlock(n *Inode, block, want int) ([]byte, error) {
	if block < len(n.words) {
		if n.words[block]&^blockRaw == 0 {
			return nil, nil
		}
		b, err := r.dataBlock(n.starts[block], n.words[block])
		if err == nil && len(b) != want {
			err = corrupt("a data block of %d bytes instead of %d", len(b), want)
		}
		return b, err
	}
	f, err := r.fragment(n.fragment)
	if err != nil {
		return nil, err
	}
	b, err := r.dataBlock(f.start, f.word)
	if err != nil {
		return nil, err
	}
	if int64(n.fragOffset)+int64(want) > int64(len(b)) {
		return nil, corrupt("a fragment of %d bytes is too short", len(b))
	}
	return b[n.fragOffset:][:want], nil
}

func (r *Reader) dataBlock(pos uint64, word uint32) ([]byte, error) {
	return r.data.get(pos<<1|uint64(word>>24&1), func() ([]byte, error) {
		size := word &^ blockRaw
		if size == 0 || size > r.sb.BlockSize {
			return nil, corrupt("a data block of %d bytes", size)
		}
		b := make([]byte, size)
		if err := r.readAt(b, pos); err != nil {
			return nil, err
		}
		if word&blockRaw != 0 {
			return b, nil
		}
		return r.dec.decode(make([]byte, 0, r.sb.BlockSize), b)
	})
}

// fragment looks a fragment up in its two-level table.
func (r *Reader) fragment(i uint32) (fragment, error) {
	const size = 16
	if i >= r.sb.Fragments {
		return fragment{}, corrupt("fragment %d of %d", i, r.sb.Fragments)
	}
	var b [8]byte
	if err := r.readAt(b[:], r.sb.FragTable+uint64(i)*size/metaSize*8); err != nil {
		return fragment{}, err
	}
	m, err := r.metaAt(binary.LittleEndian.Uint64(b[:]))
	if err != nil {
		return fragment{}, err
	}
	at := int(uint64(i) * size % metaSize)
	if at+size > len(m.data) {
		return fragment{}, corrupt("fragment table too short")
	}
	return fragment{binary.LittleEndian.Uint64(m.data[at:]), binary.LittleEndian.Uint32(m.data[at+8:])}, nil
}

// cache keeps the most recently used results; two callers who want the same wait for one reading.
type cache[T any] struct {
	limit int
	mu    sync.Mutex
	m     map[uint64]*cached[T]
	clock uint64
}

type cached[T any] struct {
	once sync.Once
	used uint64
	v    T
	err  error
}

func (c *cache[T]) get(key uint64, read func() (T, error)) (T, error) {
	c.mu.Lock()
	if c.m == nil {
		c.m = map[uint64]*cached[T]{}
	}
	e := c.m[key]
	if e == nil {
		if len(c.m) >= c.limit {
			c.evict()
		}
		e = &cached[T]{}
		c.m[key] = e
	}
	c.clock++
	e.used = c.clock
	c.mu.Unlock()
	e.once.Do(func() { e.v, e.err = read() })
	if e.err != nil { // the next caller tries again
		c.mu.Lock()
		if c.m[key] == e {
			delete(c.m, key)
		}
		c.mu.Unlock()
	}
	return e.v, e.err
}

func (c *cache[T]) evict() {
	var oldest uint64
	least := uint64(math.MaxUint64)
	for k, e := range c.m {
		if e.used < least {
			oldest, least = k, e.used
		}
	}
	delete(c.m, oldest)
}
