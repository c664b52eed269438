//go:build linux && !386 && !arm

package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sort"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
)

// filesystem answers the kernel out of an image. A node's number is its inode's reference, so that nothing has to be
// remembered or forgotten: 1 is the root, any other is the reference + 2.
type filesystem struct {
	fuse.RawFileSystem
	r        *squashfs.Reader
	uid, gid uint32

	mu     sync.Mutex
	inodes map[uint64]*squashfs.Inode
	dirs   map[uint64][]squashfs.Dirent
}

// Nothing ever changes, so the kernel may keep what it learns; these bound what is kept here.
const (
	forever     = 1 << 30 // seconds
	inodesKept  = 1024
	foldersKept = 64
)

func newFilesystem(r *squashfs.Reader) *filesystem {
	return &filesystem{
		RawFileSystem: fuse.NewDefaultRawFileSystem(), r: r, uid: uint32(os.Getuid()), gid: uint32(os.Getgid()),
		inodes: map[uint64]*squashfs.Inode{}, dirs: map[uint64][]squashfs.Dirent{},
	}
}

func (f *filesystem) String() string { return fuseType }

func nodeID(ref uint64) uint64 { return ref + 2 }

func (f *filesystem) inode(id uint64) (*squashfs.Inode, fuse.Status) {
	return kept(f, f.inodes, inodesKept, id, func() (*squashfs.Inode, error) {
		if id == fuse.FUSE_ROOT_ID {
			return f.r.Root()
		}
		return f.r.Inode(id - 2)
	})
}

func (f *filesystem) folder(id uint64) ([]squashfs.Dirent, fuse.Status) {
	n, st := f.inode(id)
	if st != fuse.OK {
		return nil, st
	}
	if !n.Mode.IsDir() {
		return nil, fuse.ENOTDIR
	}
	return kept(f, f.dirs, foldersKept, id, func() ([]squashfs.Dirent, error) { return f.r.ReadDir(n) })
}

func kept[T any](f *filesystem, m map[uint64]T, limit int, id uint64, read func() (T, error)) (T, fuse.Status) {
	f.mu.Lock()
	v, ok := m[id]
	f.mu.Unlock()
	if ok {
		return v, fuse.OK
	}
	v, err := read()
	if err != nil {
		return v, fuse.EIO
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
	return v, fuse.OK
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

func (f *filesystem) attributes(n *squashfs.Inode, a *fuse.Attr) {
	t := uint64(n.Time)
	a.Ino, a.Mode, a.Nlink = uint64(n.Number), kindBits(n.Mode)|uint32(n.Mode.Perm()), n.Links
	a.Size, a.Blocks, a.Blksize = uint64(n.Size), (uint64(n.Size)+511)/512, f.r.Superblock().BlockSize
	a.Mtime, a.Ctime, a.Atime = t, t, t
	a.Uid, a.Gid = f.uid, f.gid
}

func (f *filesystem) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	list, st := f.folder(h.NodeId)
	if st != fuse.OK {
		return st
	}
	out.EntryValid, out.AttrValid = forever, forever
	i := sort.Search(len(list), func(i int) bool { return list[i].Name >= name })
	if i == len(list) || list[i].Name != name {
		out.NodeId = 0 // and the kernel remembers that there is none
		return fuse.OK
	}
	id := nodeID(list[i].Ref)
	n, st := f.inode(id)
	if st != fuse.OK {
		return st
	}
	out.NodeId, out.Generation = id, 1
	f.attributes(n, &out.Attr)
	return fuse.OK
}

func (f *filesystem) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, st := f.inode(in.NodeId)
	if st == fuse.OK {
		out.AttrValid = forever
		f.attributes(n, &out.Attr)
	}
	return st
}

func (f *filesystem) Readlink(_ <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	n, st := f.inode(h.NodeId)
	if st == fuse.OK && n.Mode.Type() != fs.ModeSymlink {
		st = fuse.EINVAL
	}
	if st != fuse.OK {
		return nil, st
	}
	return []byte(n.Target), fuse.OK
}

func (f *filesystem) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if in.Flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		return fuse.EROFS
	}
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	return fuse.OK
}

func (f *filesystem) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	n, st := f.inode(in.NodeId)
	if st != fuse.OK {
		return nil, st
	}
	k, err := f.r.ReadAt(n, buf[:min(len(buf), int(in.Size))], int64(in.Offset))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fuse.EIO
	}
	return fuse.ReadResultData(buf[:k]), fuse.OK
}

func (f *filesystem) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_CACHE_DIR
	_, st := f.folder(in.NodeId)
	return st
}

func (f *filesystem) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	list, st := f.folder(in.NodeId)
	if st != fuse.OK {
		return st
	}
	for i := in.Offset; i < uint64(len(list)); i++ {
		e := list[i]
		if !out.AddDirEntry(fuse.DirEntry{Name: e.Name, Mode: kindBits(e.Mode), Ino: uint64(e.Number), Off: i + 1}) {
			break
		}
	}
	return fuse.OK
}

func (f *filesystem) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	sb := f.r.Superblock()
	out.Bsize, out.Frsize, out.NameLen = sb.BlockSize, sb.BlockSize, 255
	out.Blocks = (sb.BytesUsed + uint64(sb.BlockSize) - 1) / uint64(sb.BlockSize)
	out.Files = uint64(sb.Inodes)
	return fuse.OK
}
