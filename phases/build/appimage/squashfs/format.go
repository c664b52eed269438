// Package squashfs writes and reads squashfs 4.0 images in pure Go.
//
// [Write] turns a list of entries into an image on an [io.WriterAt], at any offset, with several workers whose number
// does not change a byte. [NewReader] opens an image from an untrusted source: whatever its bytes say, it answers with
// data or with an error.
//
// What an image made here holds: directories, regular files and symbolic links with their permission bits, one fixed
// time, owner 0/0. No devices, no extended attributes, no hard links (equal files are stored once anyway).
package squashfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
)

// Order in the file: superblock, data and fragment blocks, inode table, directory table, fragment table, export
// table, id table, zeros up to a multiple of 4,096. All numbers are little-endian, all positions count from the start
// of the image.
const (
	magic        = 0x73717368
	superSize    = 96
	metaSize     = 8192    // unpacked size of a metadata block
	metaRaw      = 0x8000  // metadata header: stored as it is
	blockRaw     = 1 << 24 // data size word: stored as it is
	noFragment   = 0xffffffff
	noXattr      = 0xffffffff
	noTable      = ^uint64(0)
	imageAlign   = 4096
	maxName      = 255
	maxTarget    = 65535
	dirRun       = 256 // most entries behind one directory header
	dirSizeExtra = 3   // a listing's size is recorded with 3 bytes for "." and ".."

	// MinBlockSize and MaxBlockSize bound the block size, a power of two.
	MinBlockSize = 4 << 10
	MaxBlockSize = 1 << 20
)

// Superblock flags.
const (
	flagDuplicates = 0x0040
	flagExport     = 0x0080
	flagNoXattrs   = 0x0200
	flagOptions    = 0x0400
)

// Compression is a compressor's number in the superblock.
type Compression uint16

// The compressors this package knows.
const (
	Gzip Compression = 1 // zlib streams
	Zstd Compression = 6
)

func (c Compression) String() string {
	switch c {
	case Gzip:
		return "gzip"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("compression %d", uint16(c))
}

// Inode types on disk; the basic three are also the types of directory entries.
const (
	typeDir      = 1
	typeFile     = 2
	typeSymlink  = 3
	typeLongDir  = 8
	typeLongFile = 9
	typeLongLink = 10
)

// ErrCorrupt is what every error about an image's content wraps.
var ErrCorrupt = errors.New("corrupt squashfs image")

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// Superblock is the head of an image.
type Superblock struct {
	Inodes      uint32
	Time        uint32 // seconds since 1970
	BlockSize   uint32
	Fragments   uint32
	Compression Compression
	Flags       uint16
	IDs         uint16
	Root        uint64 // inode reference
	BytesUsed   uint64 // without the padding
	IDTable     uint64
	XattrTable  uint64
	InodeTable  uint64
	DirTable    uint64
	FragTable   uint64
	ExportTable uint64
}

func (s *Superblock) encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, superSize)
	b = le.AppendUint32(b, magic)
	b = le.AppendUint32(b, s.Inodes)
	b = le.AppendUint32(b, s.Time)
	b = le.AppendUint32(b, s.BlockSize)
	b = le.AppendUint32(b, s.Fragments)
	b = le.AppendUint16(b, uint16(s.Compression))
	b = le.AppendUint16(b, uint16(log2(s.BlockSize)))
	b = le.AppendUint16(b, s.Flags)
	b = le.AppendUint16(b, s.IDs)
	b = le.AppendUint16(b, 4)
	b = le.AppendUint16(b, 0)
	for _, v := range []uint64{s.Root, s.BytesUsed, s.IDTable, s.XattrTable, s.InodeTable, s.DirTable, s.FragTable, s.ExportTable} {
		b = le.AppendUint64(b, v)
	}
	return b
}

func decodeSuperblock(b []byte) (Superblock, error) {
	le := binary.LittleEndian
	if le.Uint32(b) != magic {
		return Superblock{}, corrupt("no squashfs magic")
	}
	s := Superblock{
		Inodes:      le.Uint32(b[4:]),
		Time:        le.Uint32(b[8:]),
		BlockSize:   le.Uint32(b[12:]),
		Fragments:   le.Uint32(b[16:]),
		Compression: Compression(le.Uint16(b[20:])),
		Flags:       le.Uint16(b[24:]),
		IDs:         le.Uint16(b[26:]),
		Root:        le.Uint64(b[32:]),
		BytesUsed:   le.Uint64(b[40:]),
		IDTable:     le.Uint64(b[48:]),
		XattrTable:  le.Uint64(b[56:]),
		InodeTable:  le.Uint64(b[64:]),
		DirTable:    le.Uint64(b[72:]),
		FragTable:   le.Uint64(b[80:]),
		ExportTable: le.Uint64(b[88:]),
	}
	switch {
	case le.Uint16(b[28:]) != 4 || le.Uint16(b[30:]) != 0:
		return s, corrupt("version %d.%d, not 4.0", le.Uint16(b[28:]), le.Uint16(b[30:]))
	case !validBlockSize(int64(s.BlockSize)) || uint16(log2(s.BlockSize)) != le.Uint16(b[22:]):
		return s, corrupt("block size %d", s.BlockSize)
	case s.Inodes == 0:
		return s, corrupt("no inodes")
	case s.BytesUsed < superSize || s.BytesUsed > 1<<62:
		return s, corrupt("%d bytes used", s.BytesUsed)
	case s.InodeTable < superSize || s.InodeTable > s.DirTable || s.DirTable > s.BytesUsed:
		return s, corrupt("tables out of order")
	case s.Fragments > 0 && (s.FragTable < s.DirTable || s.FragTable > s.BytesUsed):
		return s, corrupt("fragment table out of the image")
	case s.Compression != Gzip && s.Compression != Zstd:
		return s, fmt.Errorf("squashfs image uses %v, which this reader does not know", s.Compression)
	}
	return s, nil
}

func validBlockSize(n int64) bool {
	return n >= MinBlockSize && n <= MaxBlockSize && n&(n-1) == 0
}

func log2(n uint32) int {
	i := 0
	for n > 1 {
		n >>= 1
		i++
	}
	return i
}

// kindOf gives the basic inode type for a mode, 0 for one that an image made here cannot hold.
func kindOf(m fs.FileMode) uint16 {
	switch m.Type() {
	case 0:
		return typeFile
	case fs.ModeDir:
		return typeDir
	case fs.ModeSymlink:
		return typeSymlink
	}
	return 0
}
