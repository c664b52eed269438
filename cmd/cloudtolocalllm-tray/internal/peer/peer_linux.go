package peer

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Supported says whether a TCP peer's user can be looked up here.
const Supported = true

func unixUID(c *net.UnixConn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	var cred *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); cerr != nil {
		return -1, cerr
	}
	if err != nil {
		return -1, err
	}
	return int(cred.Uid), nil
}

// scan is the one buffer for reading the tables: look-ups take turns, so that
// a flood of connections costs time and no memory.
var scan struct {
	sync.Mutex
	buf [32 << 10]byte
}

// tcpUID finds the socket whose local end is the peer's and whose remote end is
// ours: by asking for it, or in the kernel's table. One with inode 0 belongs to a socket nobody holds
// any more and shows uid 0: it counts as not found. /proc/self/net is there
// even where ProcSubset=pid hides /proc/net.
func tcpUID(remote, local net.Addr) (int, error) {
	r, err := addrPort(remote)
	if err != nil {
		return -1, err
	}
	l, err := addrPort(local)
	if err != nil {
		return -1, err
	}
	if !r.Addr().IsLoopback() {
		return -1, ErrUnknown
	}
	if r.Addr().Is4() && l.Addr().Is4() {
		if uid, inode, ok := diag(r, l); ok {
			if inode == 0 {
				return -1, ErrUnknown
			}
			return uid, nil
		}
	}
	return fromTables(r, l)
}

// fromTables does without netlink, which a sandbox may forbid.
func fromTables(r, l netip.AddrPort) (int, error) {
	scan.Lock()
	defer scan.Unlock()
	if r.Addr().Is4() {
		if uid, err := lookup("/proc/self/net/tcp", hexAddr(r, false)+" "+hexAddr(l, false)); err == nil {
			return uid, nil
		}
	}
	// A program with a dual-stack socket stands in the other table, by its mapped address.
	return lookup("/proc/self/net/tcp6", hexAddr(r, true)+" "+hexAddr(l, true))
}

func addrPort(a net.Addr) (netip.AddrPort, error) {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, ErrUnknown
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

// hexAddr prints an address as the kernel does: each 32-bit word in host order.
func hexAddr(ap netip.AddrPort, six bool) string {
	var b []byte
	if six {
		a := ap.Addr().As16()
		b = a[:]
	} else {
		a := ap.Addr().As4()
		b = a[:]
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	return string(bytes.ToUpper([]byte(hex.EncodeToString(b)))) + fmt.Sprintf(":%04X", ap.Port())
}

func lookup(table, ends string) (int, error) {
	f, err := os.Open(table)
	if err != nil {
		return -1, err
	}
	defer f.Close()
	return find(f, []byte(ends), scan.buf[:])
}

// find reads a table in pieces and returns the uid of the row with these ends.
func find(r io.Reader, ends, buf []byte) (int, error) {
	n := 0
	for {
		m, err := r.Read(buf[n:])
		n += m
		rest := buf[:n]
		for {
			row, after, ok := bytes.Cut(rest, []byte{'\n'})
			if !ok {
				break
			}
			rest = after
			if !bytes.Contains(row, ends) {
				continue
			}
			f := bytes.Fields(row)
			if len(f) < 10 || string(f[1])+" "+string(f[2]) != string(ends) || string(f[9]) == "0" {
				continue
			}
			return strconv.Atoi(string(f[7]))
		}
		n = copy(buf, rest)
		if err == io.EOF || (err == nil && m == 0) {
			return -1, ErrUnknown
		}
		if err != nil {
			return -1, err
		}
		if n == len(buf) {
			return -1, ErrUnknown // a row longer than the buffer: not a table we know
		}
	}
}
