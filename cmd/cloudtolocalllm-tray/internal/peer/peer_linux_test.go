package peer

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
)

func pair(t *testing.T, network, addr string) (client, server net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	client, err = net.Dial(network, net.JoinHostPort(addr, port))
	if err != nil {
		t.Fatal(err)
	}
	server, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close(); _ = server.Close() })
	return client, server
}

func TestBothWaysAgree(t *testing.T) {
	_, server := pair(t, "tcp4", "127.0.0.1")
	r, _ := addrPort(server.RemoteAddr())
	l, _ := addrPort(server.LocalAddr())
	uid, inode, ok := diag(r, l)
	if !ok {
		t.Log("no socket diagnosis here")
	} else if uid != os.Geteuid() || inode == 0 {
		t.Errorf("netlink: uid %d inode %d", uid, inode)
	}
	if uid, err := fromTables(r, l); err != nil || uid != os.Geteuid() {
		t.Errorf("tables: %d %v", uid, err)
	}
	if same, err := Same(server); !same || err != nil {
		t.Errorf("%v %v", same, err)
	}
	// Ends that nobody has.
	other := netip.AddrPortFrom(r.Addr(), r.Port()^1)
	if uid, inode, _ := diag(other, l); inode != 0 {
		t.Errorf("uid %d", uid)
	}
	if uid, err := fromTables(other, l); err == nil {
		t.Errorf("uid %d", uid)
	}
}

// A listener on the peer's port is not the peer.
func TestListenerIsNotThePeer(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r, _ := addrPort(ln.Addr())
	l := netip.MustParseAddrPort("127.0.0.1:9")
	if _, inode, _ := diag(r, l); inode != 0 {
		t.Error("taken for it")
	}
}

func TestClosedPeerIsUnknown(t *testing.T) {
	client, server := pair(t, "tcp4", "127.0.0.1")
	_ = client.Close()
	if same, _ := Same(server); same {
		t.Error("a socket nobody holds was taken for ours")
	}
}

func TestHalfClosedPeerIsKnown(t *testing.T) {
	client, server := pair(t, "tcp4", "127.0.0.1")
	_ = client.(*net.TCPConn).CloseWrite()
	if same, err := Same(server); !same {
		t.Error(err)
	}
}

func TestDualStackSocket(t *testing.T) {
	client, server := pair(t, "tcp", "::ffff:127.0.0.1")
	_ = client
	if same, err := Same(server); !same {
		t.Error(err)
	}
}

func TestFindReadsInPieces(t *testing.T) {
	const ends = "0100007F:1F90 0100007F:C350"
	row := func(uid, inode string) string {
		return "   0: " + ends + " 01 00000000:00000000 00:00000000 00000000 " + uid + " 0 " + inode + " 1 0 20 4 30 10 -1\n"
	}
	head := "  sl  local_address rem_address ...\n" + strings.Repeat("   9: 0100007F:0001 0100007F:0002 01 0:0 00:0 0 77 0 5 1\n", 50)
	for _, c := range []struct {
		table string
		uid   int
	}{{head + row("1000", "42"), 1000}, {head + row("0", "0") + row("1000", "42"), 1000}, {head + row("0", "0"), -1}, {head, -1}, {"", -1}, {strings.Repeat("x", 1000), -1}} {
		for _, size := range []int{150, 200, 4096} {
			if uid, _ := find(strings.NewReader(c.table), []byte(ends), make([]byte, size)); uid != c.uid {
				t.Errorf("buffer %d: %d, want %d", size, uid, c.uid)
			}
		}
	}
}

func TestUnixPeer(t *testing.T) {
	dir := t.TempDir()
	ln, err := net.Listen("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if same, err := Same(s); !same {
		t.Error(err)
	}
}
