// Package guard keeps web pages out of the daemon's HTTP servers.
//
// A browser sends requests to this machine for any page it shows, with the
// user's own rights. What a page cannot forge is the Host it was resolved to,
// its Origin and the Sec-Fetch headers, so these are judged before anything
// else, for every method and path.
package guard

import (
	"net"
	"net/http"
	"slices"
	"strconv"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/peer"
)

// Judge says why a request is refused, or "". port is the one we listen on;
// origins are those allowed by name.
func Judge(r *http.Request, port int, origins []string) string {
	if !hostOK(r.Host, port) {
		return "wrong Host"
	}
	if o, has := r.Header["Origin"]; has {
		if len(o) != 1 || o[0] == "null" || !slices.Contains(origins, o[0]) {
			return "foreign Origin"
		}
	}
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site == "none" || site == "same-origin" {
			continue
		}
		if len(r.Header["Origin"]) == 1 { // an allowed page on another port is not the same origin
			continue
		}
		return "request of another site"
	}
	return ""
}

// hostOK accepts this machine's names with our port, and nothing else: under
// DNS rebinding a page's own name arrives here.
func hostOK(host string, port int) bool {
	name, p, err := net.SplitHostPort(host)
	if err != nil || p != strconv.Itoa(port) {
		return false
	}
	return name == "localhost" || name == "127.0.0.1" || name == "::1"
}

// Browser reports whether a request bears what only browsers send.
func Browser(r *http.Request) bool {
	for _, k := range [...]string{"Origin", "Referer", "Cookie", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Ch-Ua"} {
		if _, has := r.Header[k]; has {
			return true
		}
	}
	return false
}

// SameUser is a listener that closes what comes from another user at once.
type SameUser struct {
	net.Listener
	Same func(net.Conn) (bool, error) // peer.Same when nil
}

// Accept returns the next connection of our own user.
func (l SameUser) Accept() (net.Conn, error) {
	same := l.Same
	if same == nil {
		same = peer.Same
	}
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if ok, err := same(c); ok || err != nil && !peer.Supported {
			return c, nil
		}
		_ = c.Close()
	}
}
