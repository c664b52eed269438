//go:build linux && !386 && !arm

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"syscall"
)

// The part of the kernel's protocol (linux/fuse.h, version 7) that a read-only filesystem needs. It is spoken here
// directly, because a library for all of it is a third of the program and of its start.
const (
	fuseMajor = 7
	fuseMinor = 31 // what is said to be understood; nothing newer is used

	inHeader  = 40 // length, opcode u32, unique, node u64, uid, gid, pid, padding u32
	outHeader = 16 // length u32, error i32, unique u64
	attrSize  = 88

	opLookup      = 1
	opForget      = 2
	opGetattr     = 3
	opReadlink    = 5
	opOpen        = 14
	opRead        = 15
	opStatfs      = 17
	opRelease     = 18
	opInit        = 26
	opOpendir     = 27
	opReaddir     = 28
	opReleasedir  = 29
	opInterrupt   = 36
	opDestroy     = 38
	opBatchForget = 42

	initAsyncRead     = 1 << 0  // pages may be asked for side by side
	initParallelDirs  = 1 << 18 // so may lookups and listings of one folder
	initNoOpen        = 1 << 17 // ENOSYS to OPEN means: never ask
	initCacheSymlinks = 1 << 23
	initNoOpendir     = 1 << 24

	openKeepCache = 1 << 1
	openCacheDir  = 1 << 3

	// The kernel sends nothing longer than this: names, and no content to write.
	requestSize = 16 << 10
	maxWrite    = 4096
	// requests at work side by side
	workers = 4
)

// server answers requests of the kernel.
type server struct {
	fd       int
	fs       *filesystem
	noOpen   bool
	noOpenD  bool
	finished sync.WaitGroup
}

// newServer answers the kernel's first request, with which the two agree on the protocol.
func newServer(fd int, fs *filesystem) (*server, error) {
	s := &server{fd: fd, fs: fs}
	req, out := make([]byte, requestSize), make([]byte, 256)
	for {
		b, err := s.receive(req)
		if err != nil {
			return nil, fmt.Errorf("cannot read from /dev/fuse: %w", err)
		}
		n, err := s.init(b, out)
		if n > 0 {
			if e := s.send(b, out[:n]); e != nil {
				return nil, fmt.Errorf("cannot answer the kernel: %w", e)
			}
		}
		if err == nil {
			return s, nil
		} else if !errors.Is(err, errAgain) {
			return nil, err
		}
	}
}

var errAgain = errors.New("the kernel asks again")

// init fills in the answer to the first request and returns its length.
func (s *server) init(b, out []byte) (int, error) {
	le := binary.LittleEndian
	if len(b) < inHeader+16 || le.Uint32(b[4:]) != opInit {
		return 0, errors.New("the kernel does not begin with INIT")
	}
	major, minor, readahead, flags := le.Uint32(b[inHeader:]), le.Uint32(b[inHeader+4:]), le.Uint32(b[inHeader+8:]), le.Uint32(b[inHeader+12:])
	clear(out)
	p := out[outHeader:]
	le.PutUint32(p, fuseMajor)
	le.PutUint32(p[4:], fuseMinor)
	switch {
	case major > fuseMajor: // it will come back with ours
		return outHeader + 24, errAgain
	case major < fuseMajor || minor < 12:
		return 0, fmt.Errorf("the kernel speaks FUSE %d.%d", major, minor)
	}
	s.noOpen, s.noOpenD = flags&initNoOpen != 0, flags&initNoOpendir != 0
	le.PutUint32(p[8:], readahead)
	le.PutUint32(p[12:], flags&(initAsyncRead|initParallelDirs|initNoOpen|initCacheSymlinks|initNoOpendir))
	le.PutUint16(p[16:], 16) // requests in the background
	le.PutUint16(p[18:], 12) // from which on it counts as congested
	le.PutUint32(p[20:], maxWrite)
	if minor < 23 {
		return outHeader + 24, nil
	}
	le.PutUint32(p[24:], 1) // times are exact to the nanosecond: they are whole seconds
	return outHeader + 64, nil
}

// receive reads a request. The error is ENODEV when the filesystem is unmounted.
func (s *server) receive(buf []byte) ([]byte, error) {
	for {
		n, err := syscall.Read(s.fd, buf)
		switch {
		case err == syscall.EINTR || err == syscall.EAGAIN || err == syscall.ENOENT: // ENOENT: the request was withdrawn
		case err != nil:
			return nil, err
		case n < inHeader:
			return nil, errors.New("a request of too few bytes")
		default:
			return buf[:n], nil
		}
	}
}

// send gives an answer, whose head is filled in here; that of an error is set already.
func (s *server) send(req, out []byte) error {
	le := binary.LittleEndian
	le.PutUint32(out, uint32(len(out)))
	copy(out[8:16], req[8:16])
	for {
		_, err := syscall.Write(s.fd, out)
		if err == syscall.EINTR {
			continue
		}
		if err == syscall.ENOENT { // nobody waits for it any more
			return nil
		}
		return err
	}
}

// serve answers until the filesystem is unmounted and nobody uses it any more.
func (s *server) serve() {
	for range workers {
		s.finished.Go(func() {
			req, out := make([]byte, requestSize), make([]byte, outHeader+maxRead)
			for {
				b, err := s.receive(req)
				if err != nil {
					return
				}
				if n := s.answer(b, out); n > 0 {
					_ = s.send(b, out[:n]) // where it failed because of an unmount, the next read fails as well
				}
			}
		})
	}
	s.finished.Wait()
}

// answer fills in the answer to a request and returns its length, 0 when none is wanted.
func (s *server) answer(b, out []byte) int {
	le := binary.LittleEndian
	op, node, arg := le.Uint32(b[4:]), le.Uint64(b[16:]), b[inHeader:]
	n, err := 0, syscall.Errno(0)
	p := out[outHeader:]
	switch op {
	case opForget, opBatchForget, opInterrupt:
		return 0
	case opLookup:
		n, err = s.fs.lookup(node, cString(arg), p)
	case opGetattr:
		n, err = s.fs.getattr(node, p)
	case opReadlink:
		n, err = s.fs.readlink(node, p)
	case opOpen:
		if s.noOpen {
			err = syscall.ENOSYS
			break
		}
		n = opened(p, openKeepCache)
	case opOpendir:
		if s.noOpenD {
			err = syscall.ENOSYS
			break
		}
		n = opened(p, openKeepCache|openCacheDir)
	case opRead, opReaddir:
		if len(arg) < 20 {
			err = syscall.EINVAL
			break
		}
		off, size := le.Uint64(arg[8:]), min(int(le.Uint32(arg[16:])), len(p))
		if op == opRead {
			n, err = s.fs.read(node, off, p[:size])
		} else {
			n, err = s.fs.readdir(node, off, p[:size])
		}
	case opStatfs:
		n = s.fs.statfs(p)
	case opRelease, opReleasedir, opDestroy:
	default:
		err = syscall.ENOSYS
	}
	if err != 0 {
		n = 0
	}
	le.PutUint32(out[4:], uint32(-int32(err)))
	return outHeader + n
}

func opened(p []byte, flags uint32) int {
	clear(p[:16])
	binary.LittleEndian.PutUint32(p[8:], flags)
	return 16
}

// cString is a text up to its zero byte.
func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
