// Package peer tells which user is at the other end of a local connection.
package peer

import (
	"errors"
	"net"
	"os"
)

// ErrUnknown says that this system, or this connection, does not tell.
var ErrUnknown = errors.New("cannot tell who the peer is")

// Same reports whether the peer of c runs as this process's user. An error
// means that it could not be found out, which is never a yes.
func Same(c net.Conn) (bool, error) {
	uid, err := UID(c)
	return err == nil && uid == os.Geteuid(), err
}

// UID returns the user id of the peer of a unix socket or a loopback TCP connection.
func UID(c net.Conn) (int, error) {
	switch c := c.(type) {
	case *net.UnixConn:
		return unixUID(c)
	case *net.TCPConn:
		return tcpUID(c.RemoteAddr(), c.LocalAddr())
	}
	return -1, ErrUnknown
}
