package github

import (
	"errors"
	"io"
)

// sparse writes a file and leaves holes where whole blocks of zeros would stand, so that a large empty file costs no
// disk.
type sparse struct {
	file interface {
		io.WriteSeeker
		Truncate(size int64) error
	}
	size int64
	hole bool
}

func (s *sparse) Write(b []byte) (int, error) {
	s.hole = allZero(b)
	if s.hole {
		_, err := s.file.Seek(int64(len(b)), io.SeekCurrent)
		s.size += int64(len(b))
		return len(b), err
	}
	n, err := s.file.Write(b)
	s.size += int64(n)
	return n, err
}

// finish gives the file its length when it ends with a hole.
func (s *sparse) finish() error {
	if !s.hole {
		return nil
	}
	if err := s.file.Truncate(s.size); err != nil {
		return errors.Join(errors.New("cannot keep the asset"), err)
	}
	return nil
}

var blank [128 << 10]byte

func allZero(b []byte) bool {
	return len(b) <= len(blank) && string(b) == string(blank[:len(b)])
}
