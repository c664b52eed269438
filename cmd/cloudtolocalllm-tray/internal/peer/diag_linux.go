package peer

import (
	"encoding/binary"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// The kernel's socket diagnosis, as far as we need it.
const (
	diagByFamily = 20
	reqLen       = 16 + 56 // nlmsghdr, inet_diag_req_v2
	msgLen       = 72      // inet_diag_msg
	stateListen  = 10
)

// asking lets questions take turns. The kernel answers at once, and a crowd
// that arrives together would else leave as many threads behind as asked together.
var asking sync.Mutex

// diag asks the kernel for the one socket with these ends: no table is read, so
// it costs the same however many connections there are. ok is false where the
// kernel or a sandbox does not answer such questions.
func diag(remote, local netip.AddrPort) (uid int, inode uint32, ok bool) {
	asking.Lock()
	defer asking.Unlock()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, 0, false
	}
	defer unix.Close(fd)
	tv := unix.Timeval{Sec: 1}
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
	ne, be := binary.NativeEndian, binary.BigEndian
	var q [reqLen]byte
	ne.PutUint32(q[0:], reqLen)
	ne.PutUint16(q[4:], diagByFamily)
	ne.PutUint16(q[6:], unix.NLM_F_REQUEST)
	q[16], q[17] = unix.AF_INET, unix.IPPROTO_TCP
	ne.PutUint32(q[20:], 0xffffffff) // any state
	putEnds(q[24:], remote, local, be)
	ne.PutUint32(q[24+40:], 0xffffffff) // no cookie
	ne.PutUint32(q[24+44:], 0xffffffff)
	if err := unix.Sendto(fd, q[:], 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, 0, false
	}
	var a [512]byte
	n, from, err := unix.Recvfrom(fd, a[:], 0)
	if nl, isNL := from.(*unix.SockaddrNetlink); err != nil || n < 16 || !isNL || nl.Pid != 0 {
		return 0, 0, false
	}
	if ne.Uint16(a[4:]) != diagByFamily {
		if ne.Uint16(a[4:]) == unix.NLMSG_ERROR && n >= 20 && int32(ne.Uint32(a[16:])) == -int32(unix.ENOENT) {
			return 0, 0, true // it has looked, and there is none
		}
		return 0, 0, false
	}
	if n < 16+msgLen {
		return 0, 0, false
	}
	m := a[16:]
	var ends [36]byte
	putEnds(ends[:], remote, local, be)
	if m[1] == stateListen || string(m[4:12]) != string(ends[:8]) || string(m[24:28]) != string(ends[20:24]) {
		return 0, 0, true // a listener on the peer's port, or somebody else's socket
	}
	return int(ne.Uint32(m[64:])), ne.Uint32(m[68:]), true
}

// putEnds writes an inet_diag_sockid: ports, then source and destination.
func putEnds(b []byte, src, dst netip.AddrPort, be binary.ByteOrder) {
	be.PutUint16(b[0:], src.Port())
	be.PutUint16(b[2:], dst.Port())
	s, d := src.Addr().As4(), dst.Addr().As4()
	copy(b[4:], s[:])
	copy(b[20:], d[:])
}
