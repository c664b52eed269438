package hub

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
)

// MaxAsset is the most that GitHub takes for one asset, in bytes: it says "size must be less than or equal to
// 2147483648".
const MaxAsset = 2 << 30

// A File is what becomes an asset.
type File struct {
	Name   string // the asset's, see [CheckName]
	Path   string
	Size   int64  // bytes
	SHA256 string // lower-case hex
}

func (f File) check() error {
	if err := CheckName(f.Name); err != nil {
		return err
	}
	switch {
	case f.Size <= 0:
		return fmt.Errorf("cannot upload %s: it is empty, which GitHub refuses", f.Name)
	case f.Size > MaxAsset:
		return fmt.Errorf("cannot upload %s: it has more than 2 GiB, which GitHub refuses", f.Name)
	case !isSHA256(f.SHA256):
		return fmt.Errorf("cannot upload %s: its SHA-256 is not known", f.Name)
	}
	return nil
}

// opener returns a function that opens the file anew for each try. A try that was given up may read on for a moment
// beside the next one; it reports no more then.
func (f File) opener(k *call, progress func(int64)) func() (io.ReadCloser, error) {
	var mu sync.Mutex
	begun := 0
	return func() (io.ReadCloser, error) {
		file, err := os.Open(f.Path)
		if err != nil {
			return nil, err
		}
		info, err := file.Stat()
		if err == nil && (!info.Mode().IsRegular() || info.Size() != f.Size) {
			err = fmt.Errorf("%s: %w", f.Path, ErrChanged)
		}
		if err != nil {
			file.Close()
			return nil, err
		}
		mine := 0
		return &payload{file: file, plan: f, hash: sha256.New(), went: func(sent int64, err error) {
			mu.Lock()
			defer mu.Unlock()
			if mine == 0 {
				begun++
				mine = begun
			}
			if mine != begun {
				return
			}
			if err != nil {
				k.local.Store(&err)
				return
			}
			if touch := k.touch.Load(); touch != nil {
				(*touch)(sent == f.Size)
			}
			if progress != nil {
				progress(sent)
			}
		}}, nil
	}
}

// payload is the file on its way. It keeps its last bytes back when all of them are not the planned ones, so that
// wrong bytes never arrive whole.
type payload struct {
	file *os.File
	plan File
	hash hash.Hash
	sent int64
	went func(sent int64, err error)
}

func (p *payload) Read(b []byte) (int, error) {
	left := p.plan.Size - p.sent
	if left == 0 {
		return 0, io.EOF
	}
	n, err := p.file.Read(b[:min(int64(len(b)), left)])
	p.hash.Write(b[:n])
	p.sent += int64(n)
	changed := errors.Is(err, io.EOF) && p.sent < p.plan.Size
	if p.sent == p.plan.Size {
		changed, err = hex.EncodeToString(p.hash.Sum(nil)) != p.plan.SHA256, nil
	}
	if changed {
		n, err = 0, fmt.Errorf("%s: %w", p.plan.Path, ErrChanged)
	}
	p.went(p.sent, err)
	return n, err
}

func (p *payload) Close() error { return p.file.Close() }
