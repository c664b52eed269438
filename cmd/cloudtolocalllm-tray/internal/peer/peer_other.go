//go:build !linux

package peer

import "net"

// Supported says whether a TCP peer's user can be looked up here.
const Supported = false

func unixUID(*net.UnixConn) (int, error) { return -1, ErrUnknown }

func tcpUID(net.Addr, net.Addr) (int, error) { return -1, ErrUnknown }
