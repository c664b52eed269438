package squashfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"sync"
)

type fragment struct {
	start uint64
	word  uint32
}

// packer reads the files, has their blocks compressed by several workers and writes the results in the order of
// submission, so that the number of workers shows in the time only.
//
// All blocks live in a ring of slots that are used again and again: memory depends on the workers and the block size,
// not on the payload.
type packer struct {
	ctx      context.Context
	o        *Options
	out      func([]byte) (uint64, error)
	encoders []encoder
	jobs     chan *slot
	stop     func()

	ring []slot
	next int

	small      []byte // the fragment block being filled
	fragments  []fragment
	duplicates int

	seed          maphash.Seed
	first, second []byte // for comparing files
}

// slot is a block on its way: filled, compressed, written.
type slot struct {
	in, packed []byte
	err        error
	done       chan struct{}
	busy       bool
	finish     func(start uint64, word uint32)
}

func newPacker(ctx context.Context, o *Options) (*packer, error) {
	p := &packer{ctx: ctx, o: o, ring: make([]slot, 2*o.Workers+1), seed: maphash.MakeSeed()}
	for i := range p.ring {
		p.ring[i].done = make(chan struct{}, 1)
	}
	for range o.Workers {
		e, err := newEncoder(*o)
		if err != nil {
			return nil, err
		}
		p.encoders = append(p.encoders, e)
	}
	p.jobs = make(chan *slot, len(p.ring))
	var wg sync.WaitGroup
	for _, e := range p.encoders {
		wg.Go(func() {
			for s := range p.jobs {
				s.packed, s.err = e.encode(s.packed, s.in)
				s.done <- struct{}{}
			}
		})
	}
	p.stop = sync.OnceFunc(func() {
		close(p.jobs)
		wg.Wait()
	})
	return p, nil
}

// pack stores the content of every file.
func (p *packer) pack(all []*node) error {
	sameSize := map[int64]int{}
	for _, n := range all {
		if n.kind == typeFile {
			sameSize[n.size]++
		}
	}
	seen := map[uint64][]*node{} // by a hash of the content, which only narrows down what is compared
	empty := &fileData{fragment: noFragment}
	top := len(all) - 1 - len(all[len(all)-1].kids) // where the root's own files begin, which come last
	for i, n := range all {
		if i == top { // a start reads them first: they share no block with others, so that it need not unpack those
			if err := p.flushSmall(); err != nil {
				return err
			}
		}
		if n.kind != typeFile {
			continue
		}
		if n.size == 0 {
			n.data = empty
			continue
		}
		if sameSize[n.size] > 1 { // only then can it be a duplicate
			sum, err := p.hash(n)
			if err != nil {
				return err
			}
			first, err := p.findEqual(n, seen[sum])
			if err != nil {
				return err
			}
			if first != nil {
				n.data = first.data
				p.duplicates++
				continue
			}
			seen[sum] = append(seen[sum], n)
		}
		n.data = &fileData{fragment: noFragment}
		if err := p.store(n); err != nil {
			return err
		}
	}
	if err := p.flushSmall(); err != nil {
		return err
	}
	for range p.ring { // the oldest comes first
		if err := p.collect(); err != nil {
			return err
		}
		p.next = (p.next + 1) % len(p.ring)
	}
	return p.ctx.Err()
}

func (p *packer) hash(n *node) (uint64, error) {
	h := maphash.Hash{}
	h.SetSeed(p.seed)
	err := p.chunks(n, func(b []byte) (bool, error) {
		_, err := h.Write(b)
		return true, err
	})
	return h.Sum64(), err
}

// findEqual returns the candidate whose content equals n's, nil when there is none.
func (p *packer) findEqual(n *node, candidates []*node) (*node, error) {
	for _, c := range candidates {
		if c.size != n.size {
			continue
		}
		equal, err := p.equal(n, c)
		if equal || err != nil {
			return c, err
		}
	}
	return nil, nil
}

func (p *packer) equal(n, other *node) (equal bool, err error) {
	r, err := other.open()
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	equal = true
	err = p.chunks(n, func(b []byte) (bool, error) {
		c := p.second[:len(b)]
		if err := p.fill(other, r, c); err != nil {
			return false, err
		}
		equal = bytes.Equal(b, c)
		return equal, nil
	})
	return equal, err
}

// chunks hands a file's content to fn until fn has enough.
func (p *packer) chunks(n *node, fn func([]byte) (more bool, err error)) (err error) {
	r, err := n.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if p.first == nil {
		p.first, p.second = make([]byte, 64<<10), make([]byte, 64<<10)
	}
	for left := n.size; left > 0; {
		b := p.first[:min(left, int64(len(p.first)))]
		if err := p.fill(n, r, b); err != nil {
			return err
		}
		if more, err := fn(b); err != nil || !more {
			return err
		}
		left -= int64(len(b))
	}
	return p.ctx.Err()
}

func changed(n *node) error {
	return fmt.Errorf("%s: not %d bytes long any more", n.path(), n.size)
}

// store reads a file and hands its blocks to the workers, or puts it into the current fragment when it is small.
func (p *packer) store(n *node) (err error) {
	r, err := n.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if n.size < int64(p.o.BlockSize) {
		err = p.storeSmall(n, r)
	} else {
		err = p.storeBlocks(n, r)
	}
	if err != nil {
		return err
	}
	var more [1]byte
	if k, err := io.ReadFull(r, more[:]); k > 0 {
		return changed(n)
	} else if err != io.EOF {
		return err
	}
	return nil
}

func (p *packer) storeSmall(n *node, r io.Reader) error {
	if len(p.small)+int(n.size) > p.o.BlockSize {
		if err := p.flushSmall(); err != nil {
			return err
		}
	}
	if cap(p.small) < p.o.BlockSize {
		p.small = make([]byte, 0, p.o.BlockSize)
	}
	at := len(p.small)
	p.small = p.small[:at+int(n.size)]
	n.data.fragment, n.data.offset = uint32(len(p.fragments)), uint32(at)
	return p.fill(n, r, p.small[at:])
}

func (p *packer) fill(n *node, r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return changed(n)
	}
	return err
}

func (p *packer) flushSmall() error {
	if len(p.small) == 0 {
		return nil
	}
	s, err := p.slot()
	if err != nil {
		return err
	}
	s.in, p.small = p.small, s.in[:0]
	at := len(p.fragments)
	if at == math.MaxUint32 {
		return errors.New("more fragments than an image can hold")
	}
	p.fragments = append(p.fragments, fragment{})
	p.submit(s, func(start uint64, word uint32) { p.fragments[at] = fragment{start, word} })
	return nil
}

func (p *packer) storeBlocks(n *node, r io.Reader) error {
	d, bs := n.data, int64(p.o.BlockSize)
	count := (n.size + bs - 1) / bs
	d.words = make([]uint32, count)
	started := false
	for i := range d.words {
		s, err := p.slot()
		if err != nil {
			return err
		}
		if cap(s.in) < p.o.BlockSize {
			s.in = make([]byte, p.o.BlockSize)
		}
		s.in = s.in[:min(bs, n.size-int64(i)*bs)]
		if err := p.fill(n, r, s.in); err != nil {
			return err
		}
		if allZero(s.in) { // a hole: no bytes, size word 0
			d.sparse += uint64(len(s.in))
			continue
		}
		first := !started
		started = true
		p.submit(s, func(start uint64, word uint32) {
			if first {
				d.start = start
			}
			d.words[i] = word
		})
	}
	return nil
}

// slot returns the next slot of the ring, free to be filled.
func (p *packer) slot() (*slot, error) {
	if err := p.ctx.Err(); err != nil {
		return nil, err
	}
	err := p.collect()
	return &p.ring[p.next], err
}

func (p *packer) submit(s *slot, finish func(start uint64, word uint32)) {
	if s.packed == nil && p.o.Compression == Zstd {
		s.packed = make([]byte, 0, p.o.BlockSize+p.o.BlockSize/64+64)
	}
	s.busy, s.finish = true, finish
	p.next = (p.next + 1) % len(p.ring)
	p.jobs <- s
}

// collect waits for the next slot of the ring, when it is on its way, and writes it.
func (p *packer) collect() error {
	s := &p.ring[p.next]
	if !s.busy {
		return nil
	}
	<-s.done
	s.busy = false
	if s.err != nil {
		return s.err
	}
	data, word := s.packed, uint32(len(s.packed))
	if len(data) >= len(s.in) {
		data, word = s.in, uint32(len(s.in))|blockRaw
	}
	start, err := p.out(data)
	if err != nil {
		return err
	}
	s.finish(start, word)
	return nil
}

func allZero(b []byte) bool {
	var zeros [4096]byte
	for len(b) > len(zeros) {
		if !bytes.Equal(b[:len(zeros)], zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return bytes.Equal(b, zeros[:len(b)])
}
