package squashfs

import (
	"bytes"
	"fmt"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// encoder compresses one block at a time; the result depends on the block alone.
type encoder interface {
	encode(dst, src []byte) ([]byte, error)
}

type zstdEncoder struct{ *zstd.Encoder }

func (z zstdEncoder) encode(dst, src []byte) ([]byte, error) { return z.EncodeAll(src, dst[:0]), nil }

type zlibEncoder struct {
	w   *zlib.Writer
	buf *bytes.Buffer
}

func (z zlibEncoder) encode(dst, src []byte) ([]byte, error) {
	z.buf.Reset()
	z.w.Reset(z.buf)
	if _, err := z.w.Write(src); err != nil {
		return nil, err
	}
	if err := z.w.Close(); err != nil {
		return nil, err
	}
	return append(dst[:0], z.buf.Bytes()...), nil
}

func newEncoder(o Options) (encoder, error) {
	switch o.Compression {
	case Gzip:
		buf := new(bytes.Buffer)
		w, err := zlib.NewWriterLevel(buf, zlib.BestCompression)
		return zlibEncoder{w, buf}, err
	case Zstd:
		// One frame for each block, its size in the head, no checksum: what the kernel, squashfuse and unsquashfs read.
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(o.Level), zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderCRC(false), zstd.WithWindowSize(max(o.BlockSize, zstd.MinWindowSize)), zstd.WithSingleSegment(true),
			zstd.WithLowerEncoderMem(true))
		return zstdEncoder{e}, err
	}
	return nil, fmt.Errorf("cannot write with %v", o.Compression)
}
