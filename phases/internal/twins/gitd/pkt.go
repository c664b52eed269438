package gitd

import (
	"bytes"
	"io"
	"strconv"
)

// Packet lines, gitprotocol-common(5): four hex digits with the length of the whole line, then the payload; "0000" is a
// flush, lengths 1 to 3 are other marks without a payload.

// pktLength reads a length, or -1.
func pktLength(head []byte) int {
	n, err := strconv.ParseUint(string(head[:4]), 16, 16)
	if err != nil {
		return -1
	}
	return int(n)
}

// reportGate passes on what receive-pack says, in whole packet lines, and calls report before the first byte of the
// status report: a packet on sideband 1, or the line "unpack ..." to clients without a sideband.
type reportGate struct {
	w      io.Writer
	advert bool // the listing of refs, up to a flush, comes first
	report func()
	held   []byte
	raw    bool // no packet lines: passed on as they come
}

func (g *reportGate) Write(p []byte) (int, error) {
	g.held = append(g.held, p...)
	for len(g.held) > 0 {
		n := len(g.held)
		if !g.raw {
			if n < 4 {
				return len(p), nil
			}
			length := pktLength(g.held)
			switch {
			case length < 0:
				g.raw = true
			case length < 4:
				n = 4
				g.advert = g.advert && length != 0
			case n < length:
				return len(p), nil
			default:
				n = length
				if !g.advert && (bytes.HasPrefix(g.held[4:n], []byte{1}) || bytes.HasPrefix(g.held[4:n], []byte("unpack "))) {
					g.report()
				}
			}
		}
		if _, err := g.w.Write(g.held[:n]); err != nil {
			return 0, err
		}
		g.held = g.held[n:]
	}
	return len(p), nil
}

// packReader finds where the list of commands of a push ends and breaks off some bytes into what follows, the pack.
type packReader struct {
	r      io.Reader
	left   int64
	cut    func()
	head   []byte // of a packet line that is not complete
	skip   int    // payload of the packet line
	inPack bool
}

func (k *packReader) Read(p []byte) (int, error) {
	if k.inPack {
		if k.left <= 0 {
			k.cut()
			return 0, io.ErrUnexpectedEOF
		}
		n, err := k.r.Read(p[:min(int64(len(p)), k.left)])
		k.left -= int64(n)
		return n, err
	}
	n, err := k.r.Read(p)
	n = k.scan(p[:n])
	if k.inPack && k.left <= 0 {
		err = nil // the end that was read with it is not ours: the next read breaks off
	}
	return n, err
}

// scan follows the commands and returns how many of the bytes may be passed on.
func (k *packReader) scan(p []byte) int {
	for i := 0; i < len(p); {
		if k.skip > 0 {
			step := min(k.skip, len(p)-i)
			k.skip -= step
			i += step
			continue
		}
		k.head = append(k.head, p[i])
		i++
		if len(k.head) < 4 {
			continue
		}
		length := pktLength(k.head)
		k.head = k.head[:0]
		switch {
		case length > 4:
			k.skip = length - 4
		case length <= 0: // a flush; no packet lines at all count as a pack too
			k.inPack = true
			rest := min(int64(len(p)-i), k.left)
			k.left -= rest
			return i + int(rest)
		}
	}
	return len(p)
}
