//go:build linux && !386 && !arm

package main

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"sort"
	"sync"
	"syscall"

	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
)

// filesystem answers the kernel out of an image. A node's number is its inode's reference, so that nothing has to be
// remembered or forgotten: 1 is the root, any other is the reference + 2.
type filesystem struct {
	r        *squashfs.Reader
	uid, gid uint32

	mu     sync.Mutex
	inodes map[uint64]*squashfs.Inode
	dirs   map[uint64][]squashfs.Dirent
}

// Nothing ever changes, so the kernel may keep what it learns; these bound what is kept here.
const (
	rootNode    = 1
	forever     = 1 << 30 // seconds
	inodesKept  = 1024
	foldersKept = 64
)

func newFilesystem(r *squashfs.Reader) *filesystem {
	return &filesystem{
		r: r, uid: uint32(os.Getuid()), gid: uint32(os.Getgid()),
		inodes: map[uint64]*squashfs.Inode{}, dirs: map[uint64][]squashfs.Dirent{},
	}
}

func (f *filesystem) inode(id uint64) (*squashfs.Inode, syscall.Errno) {
	return kept(f, f.inodes, inodesKept, id, func() (*squashfs.Inode, error) {
		if id == rootNode {
			return f.r.Root()
		}
		return f.r.Inode(id - 2)
	})
}

func (f *filesystem) folder(id uint64) ([]squashfs.Dirent, syscall.Errno) {
	n, err := f.inode(id)
	if err != 0 {
		return nil, err
	}
	if !n.Mode.IsDir() {
		return nil, syscall.ENOTDIR
	}
	return kept(f, f.dirs, foldersKept, id, func() ([]squashfs.Dirent, error) { return f.r.ReadDir(n) })
}

func kept[T any](f *filesystem, m map[uint64]T, limit int, id uint64, read func() (T, error)) (T, syscall.Errno) {
	f.mu.Lock()
	v, ok := m[id]
	f.mu.Unlock()
	if ok {
		return v, 0
	}
	v, err := read()
	if err != nil {
		return v, syscall.EIO
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(m) >= limit {
		for k := range m {
			delete(m, k)
			break
		}
	}
	m[id] = v
	return v, 0
}

func kindBits(m fs.FileMode) uint32 {
	switch m.Type() {
	case fs.ModeDir:
		return syscall.S_IFDIR
	case fs.ModeSymlink:
		return syscall.S_IFLNK
	}
	return syscall.S_IFREG
}

// attributes writes a struct fuse_attr: inode number, size, blocks, three times u64, their nanoseconds, mode, links,
// owner, group, device, block size, flags u32.
func (f *filesystem) attributes(n *squashfs.Inode, p []byte) {
	le := binary.LittleEndian
	clear(p[:attrSize])
	for i, v := range [...]uint64{uint64(n.Number), uint64(n.Size), (uint64(n.Size) + 511) / 512, uint64(n.Time), uint64(n.Time), uint64(n.Time)} {
		le.PutUint64(p[8*i:], v)
	}
	for i, v := range [...]uint32{kindBits(n.Mode) | uint32(n.Mode.Perm()), n.Links, f.uid, f.gid, 0, f.r.Superblock().BlockSize} {
		le.PutUint32(p[60+4*i:], v)
	}
}

// lookup writes a struct fuse_entry_out: node, generation, how long the name and the attributes hold, attributes.
func (f *filesystem) lookup(dir uint64, name string, p []byte) (int, syscall.Errno) {
	const size = 40 + attrSize
	list, err := f.folder(dir)
	if err != 0 {
		return 0, err
	}
	le := binary.LittleEndian
	clear(p[:size])
	le.PutUint64(p[16:], forever)
	le.PutUint64(p[24:], forever)
	i := sort.Search(len(list), func(i int) bool { return list[i].Name >= name })
	if i == len(list) || list[i].Name != name {
		return size, 0 // node 0: the kernel remembers that there is none
	}
	id := list[i].Ref + 2
	n, err := f.inode(id)
	if err != 0 {
		return 0, err
	}
	le.PutUint64(p, id)
	le.PutUint64(p[8:], 1)
	f.attributes(n, p[40:])
	return size, 0
}

func (f *filesystem) getattr(id uint64, p []byte) (int, syscall.Errno) {
	n, err := f.inode(id)
	if err != 0 {
		return 0, err
	}
	clear(p[:16])
	binary.LittleEndian.PutUint64(p, forever)
	f.attributes(n, p[16:])
	return 16 + attrSize, 0
}

func (f *filesystem) readlink(id uint64, p []byte) (int, syscall.Errno) {
	n, err := f.inode(id)
	if err == 0 && n.Mode.Type() != fs.ModeSymlink {
		err = syscall.EINVAL
	}
	if err == 0 && len(n.Target) >= 4096 { // the kernel takes a page of it
		err = syscall.ENAMETOOLONG
	}
	if err != 0 {
		return 0, err
	}
	return copy(p, n.Target), 0
}

func (f *filesystem) read(id, off uint64, p []byte) (int, syscall.Errno) {
	n, errno := f.inode(id)
	if errno != 0 {
		return 0, errno
	}
	if off > math.MaxInt64 {
		return 0, syscall.EINVAL
	}
	k, err := f.r.ReadAt(n, p, int64(off))
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, syscall.EIO
	}
	return k, 0
}

// readdir writes as many struct fuse_dirent as there is room for: inode number, position of the next u64, length of the
// name, kind u32, the name, zeros up to a multiple of 8.
func (f *filesystem) readdir(id, off uint64, p []byte) (int, syscall.Errno) {
	list, err := f.folder(id)
	if err != 0 {
		return 0, err
	}
	le := binary.LittleEndian
	at := 0
	for i := off; i < uint64(len(list)); i++ {
		e := &list[i]
		end := (at + 24 + len(e.Name) + 7) &^ 7
		if end > len(p) {
			break
		}
		le.PutUint64(p[at:], uint64(e.Number))
		le.PutUint64(p[at+8:], i+1)
		le.PutUint32(p[at+16:], uint32(len(e.Name)))
		le.PutUint32(p[at+20:], kindBits(e.Mode)>>12)
		clear(p[at+24+copy(p[at+24:], e.Name) : end])
		at = end
	}
	return at, 0
}

// statfs writes a struct fuse_kstatfs: blocks, free ones twice, files, free ones u64, block size, length of names,
// fragment size u32.
func (f *filesystem) statfs(p []byte) int {
	sb := f.r.Superblock()
	le := binary.LittleEndian
	clear(p[:80])
	le.PutUint64(p, (sb.BytesUsed+uint64(sb.BlockSize)-1)/uint64(sb.BlockSize))
	le.PutUint64(p[24:], uint64(sb.Inodes))
	le.PutUint32(p[40:], sb.BlockSize)
	le.PutUint32(p[44:], 255)
	le.PutUint32(p[48:], sb.BlockSize)
	return 80
}

// prefetch reads what the kernel will ask for first: AppRun, and with it most of what lies beside it.
func (f *filesystem) prefetch() {
	list, err := f.folder(rootNode)
	if err != 0 {
		return
	}
	i := sort.Search(len(list), func(i int) bool { return list[i].Name >= "AppRun" })
	if i == len(list) || list[i].Name != "AppRun" {
		return
	}
	var b [1]byte
	_, _ = f.read(list[i].Ref+2, 0, b[:]) // an error comes again when the kernel asks
}
