package squashfs

import (
	"bytes"
	"compress/zlib"
	"io"

	"github.com/klauspost/compress/zstd"
)

// decoder unpacks a block into dst, whose capacity is the most the block may hold.
type decoder interface {
	decode(dst, src []byte) ([]byte, error)
}

func newDecoder(c Compression) (decoder, error) {
	if c == Gzip {
		return zlibDecoder{}, nil
	}
	// The largest window of an honest image is its block size; the limits keep others from asking for more memory.
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(4), zstd.WithDecoderLowmem(true),
		zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(MaxBlockSize), zstd.WithDecoderMaxWindow(8<<20), zstd.IgnoreChecksum(true))
	return zstdDecoder{d}, err
}

type zstdDecoder struct{ *zstd.Decoder }

func (z zstdDecoder) decode(dst, src []byte) ([]byte, error) {
	out, err := z.DecodeAll(src, dst)
	if err != nil {
		return nil, corrupt("%v", err)
	}
	return out, nil
}

type zlibDecoder struct{}

func (zlibDecoder) decode(dst, src []byte) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(src))
	if err != nil {
		return nil, corrupt("%v", err)
	}
	out := dst[:cap(dst)]
	for n := 0; ; {
		if n == len(out) {
			var more [1]byte
			if k, err := io.ReadFull(z, more[:]); k > 0 {
				return nil, corrupt("a block unpacks to more than %d bytes", n)
			} else if err != io.EOF {
				return nil, corrupt("%v", err)
			}
			return out, nil
		}
		k, err := z.Read(out[n:])
		n += k
		if err == io.EOF {
			return out[:n], nil
		}
		if err != nil {
			return nil, corrupt("%v", err)
		}
	}
}
