package github

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// public are the roots that the world knows a GitHub by, each with what stands for it here. The first of a host is the
// one that answers name.
type public []struct {
	root string
	host host
}

var githubCom = public{
	{"https://api.github.com/", hostAPI},
	{"https://uploads.github.com/", hostUploads},
	{"https://github.com/", hostWeb},
	{"https://codeload.github.com/", hostWeb},
	{"https://objects.githubusercontent.com/", hostDownloads},
	{"https://release-assets.githubusercontent.com/", hostDownloads},
}

// enterprise are the roots of a GitHub Enterprise server ("Getting started with the REST API" of its documentation).
// That downloads come from a host of their own is so with subdomain isolation; its name is unconfirmed.
func enterprise(name string) public {
	return public{
		{"https://" + name + "/api/v3/", hostAPI},
		{"https://" + name + "/api/uploads/", hostUploads},
		{"https://" + name + "/", hostWeb},
		{"https://media." + name + "/", hostDownloads},
	}
}

// public returns the roots that answers name, nil for the listeners' own.
func (s *Server) public() public {
	switch {
	case s.options.Enterprise != "":
		return enterprise(s.options.Enterprise)
	case s.options.Public:
		return githubCom
	}
	return nil
}

// shown is the root of a host, with a slash at its end, as answers name it.
func (s *Server) shown(h host) string {
	for _, p := range s.public() {
		if p.host == h {
			return p.root
		}
	}
	return s.urls[h] + "/"
}

// Listeners maps the roots of production's URLs, such as "https://api.github.com/", to those of this server: what
// [Transport] needs, in another process too.
func (s *Server) Listeners() map[string]string {
	roots := s.public()
	if roots == nil {
		roots = githubCom
	}
	all := map[string]string{}
	for _, p := range roots {
		all[p.root] = s.urls[p.host] + "/"
	}
	return all
}

// Transport carries requests for GitHub's own hosts to this server's listeners; see the function of that name. It may be
// used by many at once, until [Server.Close].
func (s *Server) Transport() http.RoundTripper { return carrier{s.Listeners(), s.carrier} }

// Transport carries requests whose URLs begin with one of the roots to the listener that stands for it, the longest root
// first; others are errors that name the host. A client that knows production's URLs works with it and a server with
// [Options].Public unchanged, redirects to other hosts included.
func Transport(listeners map[string]string) http.RoundTripper {
	return carrier{maps.Clone(listeners), wire()}
}

// wire is a connection to loopback.
func wire() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy, t.WriteBufferSize, t.ReadBufferSize = nil, 128<<10, 128<<10
	return t
}

type carrier struct {
	listeners map[string]string
	base      *http.Transport
}

// RoundTrip implements [http.RoundTripper].
func (c carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	to, err := c.listener(r.URL)
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	q := r.Clone(r.Context())
	q.URL, q.Host = to, ""
	resp, err := c.base.RoundTrip(q)
	if resp != nil {
		resp.Request = r // whoever resolves a redirect must see the host that was asked
	}
	return resp, err
}

// listener is where a request to a URL goes.
func (c carrier) listener(u *url.URL) (*url.URL, error) {
	asked := u.Scheme + "://" + strings.TrimSuffix(strings.ToLower(u.Host), ":443") + u.EscapedPath()
	best := ""
	for root := range c.listeners {
		if strings.HasPrefix(asked, root) && len(root) > len(best) {
			best = root
		}
	}
	if best == "" {
		return nil, fmt.Errorf("cannot reach %s://%s: the GitHub twin does not stand for it", u.Scheme, u.Host)
	}
	to, err := url.Parse(c.listeners[best] + asked[len(best):])
	if err == nil {
		to.RawQuery = u.RawQuery
	}
	return to, err
}
