package squashfs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Options say how an image is written. The zero value is a working default; Workers alone never changes a byte.
type Options struct {
	Time        time.Time // of every file and of the image; the zero Time means 1970
	Compression Compression
	Level       zstd.EncoderLevel // of Zstd; Gzip always uses its best level
	BlockSize   int
	Workers     int // compressors at work side by side; 0 means one for each processor
}

func (o *Options) setDefaults() error {
	if o.Time.IsZero() {
		o.Time = time.Unix(0, 0)
	}
	if t := o.Time.Unix(); t < 0 || t > math.MaxUint32 {
		return fmt.Errorf("time %v does not fit into an image", o.Time)
	}
	if o.Compression == 0 {
		o.Compression = Zstd
	}
	if o.Level == 0 {
		o.Level = zstd.SpeedBestCompression
	}
	if o.BlockSize == 0 {
		o.BlockSize = 128 << 10
	}
	if !validBlockSize(int64(o.BlockSize)) {
		return fmt.Errorf("block size %d is not a power of two between %d and %d", o.BlockSize, MinBlockSize, MaxBlockSize)
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	return nil
}

// Stats tell what Write did.
type Stats struct {
	Size       int64 // of the image, with its padding
	Inodes     int
	Duplicates int // files whose content was there already
	Fragments  int // blocks of small files
}

// Write writes an image of the entries to w, its first byte at offset off. Entries may come in any order.
func Write(ctx context.Context, w io.WriterAt, off int64, entries []Entry, o Options) (Stats, error) {
	if err := o.setDefaults(); err != nil {
		return Stats{}, err
	}
	root, err := buildTree(entries)
	if err != nil {
		return Stats{}, err
	}
	all, err := numberNodes(root)
	if err != nil {
		return Stats{}, err
	}
	p, err := newPacker(ctx, &o)
	if err != nil {
		return Stats{}, err
	}
	defer p.stop()
	iw := &imageWriter{w: w, off: off, pos: superSize, o: &o, all: all}
	p.out = iw.write
	if err := p.pack(all); err != nil {
		return Stats{}, err
	}
	p.stop()
	iw.enc, iw.fragments = p.encoders[0], p.fragments
	if err := iw.writeTables(root); err != nil {
		return Stats{}, err
	}
	return Stats{Size: iw.pos, Inodes: len(all), Duplicates: p.duplicates, Fragments: len(p.fragments)}, nil
}

// imageWriter writes what follows the data: inodes, listings and the tables, and at last the superblock.
type imageWriter struct {
	w         io.WriterAt
	off, pos  int64
	o         *Options
	enc       encoder
	all       []*node
	fragments []fragment
	inodes    *metaWriter
	dirs      *metaWriter
}

// write appends b and returns where it went.
func (w *imageWriter) write(b []byte) (uint64, error) {
	at := w.pos
	if _, err := w.w.WriteAt(b, w.off+at); err != nil {
		return 0, err
	}
	w.pos += int64(len(b))
	return uint64(at), nil
}

func (w *imageWriter) writeTables(root *node) error {
	sb := Superblock{
		Inodes:      uint32(len(w.all)),
		Time:        uint32(w.o.Time.Unix()),
		BlockSize:   uint32(w.o.BlockSize),
		Fragments:   uint32(len(w.fragments)),
		Compression: w.o.Compression,
		Flags:       flagDuplicates | flagExport | flagNoXattrs,
		IDs:         1,
		XattrTable:  noTable,
	}
	w.inodes, w.dirs = &metaWriter{enc: w.enc}, &metaWriter{enc: w.enc}
	if err := w.emitChildren(root); err != nil {
		return err
	}
	if err := w.emit(root, sb.Inodes+1); err != nil {
		return err
	}
	sb.Root = root.ref
	var err error
	if sb.InodeTable, err = w.meta(w.inodes); err != nil {
		return err
	}
	if sb.DirTable, err = w.meta(w.dirs); err != nil {
		return err
	}
	le := binary.LittleEndian
	sb.FragTable = uint64(w.pos) // of an empty table: where it would stand
	if len(w.fragments) > 0 {
		var b []byte
		for _, f := range w.fragments {
			b = le.AppendUint64(b, f.start)
			b = le.AppendUint32(b, f.word)
			b = le.AppendUint32(b, 0)
		}
		if sb.FragTable, err = w.table(b); err != nil {
			return err
		}
	}
	refs := make([]byte, 0, 8*len(w.all))
	for _, n := range w.all {
		refs = le.AppendUint64(refs, n.ref)
	}
	if sb.ExportTable, err = w.table(refs); err != nil {
		return err
	}
	if sb.IDTable, err = w.table([]byte{0, 0, 0, 0}); err != nil {
		return err
	}
	sb.BytesUsed = uint64(w.pos)
	if r := w.pos % imageAlign; r != 0 {
		if _, err := w.write(make([]byte, imageAlign-r)); err != nil {
			return err
		}
	}
	_, err = w.w.WriteAt(sb.encode(), w.off)
	return err
}

// emitChildren writes the inodes below n, a folder's own children in one piece, and then n's listing.
func (w *imageWriter) emitChildren(n *node) error {
	for _, k := range n.kids {
		if k.kind == typeDir {
			if err := w.emitChildren(k); err != nil {
				return err
			}
		}
	}
	for _, k := range n.kids {
		if err := w.emit(k, n.number); err != nil {
			return err
		}
	}
	return w.emitListing(n)
}

// emit writes one inode and notes its reference.
func (w *imageWriter) emit(n *node, parent uint32) error {
	le := binary.LittleEndian
	block, offset, err := w.inodes.where()
	if err != nil {
		return err
	}
	n.ref = uint64(block)<<16 | uint64(offset)
	head := func(kind uint16) []byte {
		b := le.AppendUint16(nil, kind)
		b = le.AppendUint16(b, n.perm)
		b = le.AppendUint16(b, 0) // uid
		b = le.AppendUint16(b, 0) // gid
		b = le.AppendUint32(b, uint32(w.o.Time.Unix()))
		return le.AppendUint32(b, n.number)
	}
	switch n.kind {
	case typeSymlink:
		b := head(typeSymlink)
		b = le.AppendUint32(b, 1)
		b = le.AppendUint32(b, uint32(len(n.target)))
		return w.inodes.write(append(b, n.target...))
	case typeDir:
		return w.inodes.write(dirInode(head, n, parent))
	}
	d := n.data
	var b []byte
	if d.start > math.MaxUint32 || n.size > math.MaxUint32 || d.sparse > 0 {
		b = head(typeLongFile)
		b = le.AppendUint64(b, d.start)
		b = le.AppendUint64(b, uint64(n.size))
		b = le.AppendUint64(b, d.sparse)
		b = le.AppendUint32(b, 1) // links
		b = le.AppendUint32(b, d.fragment)
		b = le.AppendUint32(b, d.offset)
		b = le.AppendUint32(b, noXattr)
	} else {
		b = head(typeFile)
		b = le.AppendUint32(b, uint32(d.start))
		b = le.AppendUint32(b, d.fragment)
		b = le.AppendUint32(b, d.offset)
		b = le.AppendUint32(b, uint32(n.size))
	}
	for _, word := range d.words {
		b = le.AppendUint32(b, word)
	}
	return w.inodes.write(b)
}

func dirInode(head func(uint16) []byte, n *node, parent uint32) []byte {
	le := binary.LittleEndian
	links := uint32(2)
	for _, k := range n.kids {
		if k.kind == typeDir {
			links++
		}
	}
	l := &n.list
	if l.size <= math.MaxUint16 && len(l.index) == 0 {
		b := head(typeDir)
		b = le.AppendUint32(b, l.block)
		b = le.AppendUint32(b, links)
		b = le.AppendUint16(b, uint16(l.size))
		b = le.AppendUint16(b, l.offset)
		return le.AppendUint32(b, parent)
	}
	b := head(typeLongDir)
	b = le.AppendUint32(b, links)
	b = le.AppendUint32(b, l.size)
	b = le.AppendUint32(b, l.block)
	b = le.AppendUint32(b, parent)
	b = le.AppendUint16(b, uint16(len(l.index)))
	b = le.AppendUint16(b, l.offset)
	b = le.AppendUint32(b, noXattr)
	for _, x := range l.index {
		b = le.AppendUint32(b, x.pos)
		b = le.AppendUint32(b, x.block)
		b = le.AppendUint32(b, uint32(len(x.name)-1))
		b = append(b, x.name...)
	}
	return b
}

// emitListing writes a folder's entries: runs of a head and up to 256 entries whose inodes share a metadata block.
// A listing that runs over several metadata blocks gets an index, so that a lookup need not read them all.
func (w *imageWriter) emitListing(n *node) error {
	le := binary.LittleEndian
	block, offset, err := w.dirs.where()
	if err != nil {
		return err
	}
	l := &n.list
	l.block, l.offset = block, offset
	size, indexed := uint64(0), uint64(0) // indexed: the last metadata block, counted from the listing's first
	for rest := n.kids; len(rest) > 0; {
		first := rest[0]
		if at := (uint64(l.offset) + size) / metaSize; at > indexed && len(l.index) < math.MaxUint16 {
			block, _, err := w.dirs.where()
			if err != nil {
				return err
			}
			l.index = append(l.index, indexEntry{uint32(size), block, first.name})
			indexed = at
		}
		run := 0
		for run < len(rest) && run < dirRun && rest[run].ref>>16 == first.ref>>16 &&
			int64(rest[run].number)-int64(first.number) <= math.MaxInt16 {
			run++
		}
		var b []byte
		b = le.AppendUint32(b, uint32(run-1))
		b = le.AppendUint32(b, uint32(first.ref>>16))
		b = le.AppendUint32(b, first.number)
		for _, k := range rest[:run] {
			b = le.AppendUint16(b, uint16(k.ref))
			b = le.AppendUint16(b, uint16(k.number-first.number))
			b = le.AppendUint16(b, k.kind)
			b = le.AppendUint16(b, uint16(len(k.name)-1))
			b = append(b, k.name...)
		}
		if err := w.dirs.write(b); err != nil {
			return err
		}
		size += uint64(len(b))
		rest = rest[run:]
	}
	if size+dirSizeExtra > math.MaxUint32 {
		return fmt.Errorf("%s: more entries than a folder can hold", n.path())
	}
	l.size = uint32(size + dirSizeExtra)
	return nil
}

// meta writes a finished sequence of metadata blocks.
func (w *imageWriter) meta(m *metaWriter) (uint64, error) {
	if err := m.flush(); err != nil {
		return 0, err
	}
	return w.write(m.out)
}

// table writes metadata blocks and behind them their positions, to which the superblock points.
func (w *imageWriter) table(raw []byte) (uint64, error) {
	m := &metaWriter{enc: w.enc}
	if err := m.write(raw); err != nil {
		return 0, err
	}
	base, err := w.meta(m)
	if err != nil {
		return 0, err
	}
	var index []byte
	for _, p := range m.starts {
		index = binary.LittleEndian.AppendUint64(index, base+p)
	}
	return w.write(index)
}

// metaWriter packs a byte stream into metadata blocks.
type metaWriter struct {
	enc    encoder
	cur    []byte   // the block being filled
	out    []byte   // finished blocks
	starts []uint64 // their positions in out
	buf    []byte
}

// where returns the position of the next byte: its block's start and its offset in the unpacked block.
func (m *metaWriter) where() (uint32, uint16, error) {
	if len(m.out) > math.MaxUint32 {
		return 0, 0, errors.New("more metadata than an image can hold")
	}
	return uint32(len(m.out)), uint16(len(m.cur)), nil
}

func (m *metaWriter) write(b []byte) error {
	for len(b) > 0 {
		n := min(metaSize-len(m.cur), len(b))
		m.cur = append(m.cur, b[:n]...)
		b = b[n:]
		if len(m.cur) == metaSize {
			if err := m.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *metaWriter) flush() error {
	if len(m.cur) == 0 {
		return nil
	}
	m.starts = append(m.starts, uint64(len(m.out)))
	var err error
	if m.buf, err = m.enc.encode(m.buf, m.cur); err != nil {
		return err
	}
	head, data := uint16(len(m.buf)), m.buf
	if len(data) >= len(m.cur) {
		head, data = uint16(len(m.cur))|metaRaw, m.cur
	}
	m.out = append(binary.LittleEndian.AppendUint16(m.out, head), data...)
	m.cur = m.cur[:0]
	return nil
}
