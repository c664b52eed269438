// Package zsync writes the .zsync file beside a large file, from which zsync clients fetch only what changed.
package zsync

import (
	"bufio"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"golang.org/x/crypto/md4" //nolint:staticcheck // the format's own checksum; SHA-1 of the whole file is checked as well
)

// Options are the fields of the head that cannot be computed.
type Options struct {
	Filename string    // the name the client gives the file
	URL      string    // where the file lies, may be relative to the .zsync file
	Time     time.Time // the file's time
}

// largeFile is the size from which blocks are 4,096 bytes long instead of 2,048, as zsyncmake has it.
const largeFile = 100_000_000

// Write reads a file of the given size from r and writes its .zsync to w. Block sums and head are those of zsyncmake
// 0.6.2 without its look inside gzip files.
func Write(ctx context.Context, w io.Writer, r io.Reader, size int64, o Options) error {
	for _, s := range []string{o.Filename, o.URL} {
		if s == "" || strings.ContainsAny(s, "\r\n") {
			return fmt.Errorf("%q cannot stand in a .zsync head", s)
		}
	}
	if size <= 0 {
		return errors.New("an empty file has no .zsync")
	}
	bs := int64(2048)
	if size >= largeFile {
		bs = 4096
	}
	seq, weak, strong := hashLengths(size, bs)
	whole := sha1.New()
	sums := make([]byte, 0, (size+bs-1)/bs*int64(weak+strong))
	src := bufio.NewReaderSize(r, 1<<20)
	block := make([]byte, bs)
	digest := md4.New()
	var buf [md4.Size]byte
	left := size
	for i := 0; left > 0; i++ {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		n := min(bs, left)
		if _, err := io.ReadFull(src, block[:n]); err != nil {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				return fmt.Errorf("the file ends before %d bytes", size)
			}
			return err
		}
		left -= n
		if _, err := whole.Write(block[:n]); err != nil {
			return err
		}
		clear(block[n:]) // both sums of the last block take zeros behind it
		sum := rsum(block)
		sums = append(sums, sum[len(sum)-weak:]...)
		digest.Reset()
		if _, err := digest.Write(block); err != nil {
			return err
		}
		sums = append(sums, digest.Sum(buf[:0])[:strong]...)
	}
	if _, err := src.ReadByte(); err != io.EOF {
		return fmt.Errorf("the file goes on behind %d bytes", size)
	}
	_, err := fmt.Fprintf(w, "zsync: 0.6.2\nFilename: %s\nMTime: %s\nBlocksize: %d\nLength: %d\nHash-Lengths: %d,%d,%d\nURL: %s\nSHA-1: %x\n\n",
		o.Filename, o.Time.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"), bs, size, seq, weak, strong, o.URL, whole.Sum(nil))
	if err != nil {
		return err
	}
	_, err = w.Write(sums)
	return err
}

// hashLengths says how many blocks in a row a client compares, and how many bytes of the weak and of the strong sum
// are stored: enough that false matches are rare in a file of this size.
func hashLengths(size, bs int64) (seq, weak, strong int) {
	seq = 1
	if size > bs {
		seq = 2
	}
	bits := math.Log2(float64(size))
	blocks := math.Log2(float64(1 + size/bs))
	per := float64(seq) * 8
	weak = int(math.Ceil((bits + math.Log2(float64(bs)) - 8.6) / per))
	weak = min(max(weak, 2), 4)
	strong = max(int(math.Ceil((20+bits+blocks)/per)), int((7.9+20+blocks)/8))
	return seq, weak, min(strong, md4.Size)
}

// rsum is rsync's rolling sum over a block: big-endian the sum of the bytes, then of the bytes weighted by their
// distance from the end.
func rsum(b []byte) [4]byte {
	var x, y uint16
	for _, c := range b {
		x += uint16(c)
		y += x
	}
	return [4]byte{byte(x >> 8), byte(x), byte(y >> 8), byte(y)}
}
