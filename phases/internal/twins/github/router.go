package github

import (
	"net/http"
	"net/url"
	"strings"
)

// router finds a handler by method and path. It is used in place of
// http.ServeMux because GitHub's paths overlap (/releases/{id}/assets and
// /releases/assets/{id}), and because paths must arrive as they were sent: no
// cleaning, no redirects. The first pattern that fits wins.
type router struct {
	routes []pattern
	// otherwise answers what fits no pattern; wrong methods too, as GitHub does.
	otherwise http.HandlerFunc
}

type pattern struct {
	method   string
	segments []string // literal, {name} for one segment, {name...} for the rest
	handler  http.HandlerFunc
}

func (rt *router) add(methodAndPath string, h http.HandlerFunc) {
	method, path, _ := strings.Cut(methodAndPath, " ")
	rt.routes = append(rt.routes, pattern{method, strings.Split(strings.TrimPrefix(path, "/"), "/"), h})
}

func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	got := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	for i, s := range got {
		plain, err := url.PathUnescape(s)
		if err != nil {
			rt.otherwise(w, r)
			return
		}
		got[i] = plain
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for _, p := range rt.routes {
		if values, ok := p.match(got); ok && p.method == method {
			for k, v := range values {
				r.SetPathValue(k, v)
			}
			p.handler(w, r)
			return
		}
	}
	rt.otherwise(w, r)
}

func (p pattern) match(got []string) (map[string]string, bool) {
	values := map[string]string{}
	for i, want := range p.segments {
		if i >= len(got) {
			return nil, false
		}
		name, wild := strings.CutPrefix(want, "{")
		name = strings.TrimSuffix(name, "}")
		switch rest, many := strings.CutSuffix(name, "..."); {
		case wild && many:
			values[rest] = strings.Join(got[i:], "/")
			return values, true
		case wild:
			values[name] = got[i]
		case want != got[i]:
			return nil, false
		}
	}
	return values, len(got) == len(p.segments)
}
