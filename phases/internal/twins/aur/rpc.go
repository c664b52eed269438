package aur

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxResults is how many records one answer may have (aurweb, conf/config.defaults, max_rpc_results).
const maxResults = 5000

// rateWindow and rateLimit are how often an address may ask (aurweb, conf/config.defaults, [ratelimit]).
const (
	rateWindow = 86400 * time.Second
	rateLimit  = 4000
)

// A query is one call of the RPC, version 5.
type query struct {
	version *int // nil: none given
	kind    string
	hasKind bool
	by      string
	args    []string
	odd     string // what the twin does not know: the answer is 501
}

// parseQuery reads path and raw query as aurweb's routers/rpc.py does; false where FastAPI answers 422.
func parseQuery(path, raw string) (q query, ok bool) {
	q = query{by: "name-desc"}
	values, _ := url.ParseQuery(raw)
	last := func(key string) (string, bool) {
		v := values[key]
		if len(v) == 0 {
			return "", false
		}
		return v[len(v)-1], true
	}
	number := func(s string) bool {
		n, err := strconv.Atoi(s)
		q.version = &n
		return err == nil
	}
	q.args = queryArgs(raw)
	if rest, inPath := strings.CutPrefix(path, "/rpc/v"); inPath {
		version, rest, _ := strings.Cut(rest, "/")
		if !number(version) {
			return q, false
		}
		var name string
		q.kind, name, _ = strings.Cut(rest, "/")
		q.hasKind = true
		if raw == "" && name != "" {
			q.args = []string{name}
		}
	} else {
		if v, given := last("v"); given && !number(v) {
			return q, false
		}
		q.kind, q.hasKind = last("type")
		if by, given := last("by"); given {
			q.by = by
		}
	}
	if _, given := last("callback"); given {
		q.odd = "callback"
	}
	switch q.kind {
	case "search", "msearch", "suggest", "suggest-pkgbase":
		q.odd = "type " + q.kind
	}
	return q, true
}

// queryArgs are the names that are asked for. When the last parameter of the two is arg=, it alone counts; else the
// arg[]= from the end back to the first that is none. The query is unescaped before it is cut, and a plus stays one.
func queryArgs(raw string) (args []string) {
	lastKey := ""
	for _, part := range slices.Backward(strings.Split(unquote(raw), "&")) {
		key, value, ok := strings.Cut(part, "=")
		if !ok || key != "arg" && key != "arg[]" {
			continue
		}
		switch {
		case lastKey == "":
			lastKey = key
			args = append(args, value)
			if key == "arg" {
				return args
			}
		case key != lastKey:
			return args
		default:
			args = append(args, value)
		}
	}
	return args
}

// unquote replaces what is escaped and leaves what only looks so.
func unquote(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return strings.ToValidUTF8(b.String(), "\ufffd")
}

// serveRPC answers one call. It is asked for /rpc, /rpc/ and /rpc/v5/info.
func (s *Server) serveRPC(w *answer, r *http.Request, l *Request) {
	if r.Method != http.MethodGet {
		http.Error(w, "the twin answers GET only", http.StatusNotImplemented)
		return
	}
	if r.URL.Path == "/rpc" && r.URL.RawQuery == "" {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintln(w, "<!DOCTYPE html><title>AurJson</title><p>The documentation of the RPC stands here.</p>")
		return
	}
	q, ok := parseQuery(r.URL.Path, r.URL.RawQuery)
	if !ok {
		writeJSON(w, http.StatusUnprocessableEntity, []byte(`{"detail":[{"type":"int_parsing","loc":["query","v"],"msg":"Input should be a valid integer, unable to parse string as an integer"}]}`))
		return
	}
	s.mu.Lock()
	l.Names = q.args
	s.mu.Unlock()
	f := s.strike(RPC, q.args, Answer, Fail, TooMany, Page, Cut, Delay)
	if s.note(l, f); f != nil && s.spoil(w, r, &q, f) {
		return
	}
	if s.limited(r.RemoteAddr) {
		writeJSON(w, http.StatusTooManyRequests, marshal(q.refusal("Rate limit reached")))
		return
	}
	if q.odd != "" {
		http.Error(w, "the twin does not know "+q.odd, http.StatusNotImplemented)
		return
	}
	content := marshal(s.respond(&q))
	etag := fmt.Sprintf("%x", md5.Sum(content))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("ETag", `"`+etag+`"`)
	if strings.Trim(r.Header.Get("If-None-Match"), "\t\n\r\" ") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.body.Write(content)
}

func writeJSON(w *answer, status int, content []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.body.Write(content)
}

// respond returns the object that is sent; its keys are sorted by encoding/json.
func (s *Server) respond(q *query) map[string]any {
	bys := []string{
		"name-desc", "name", "maintainer", "depends", "makedepends", "optdepends", "checkdepends", "provides", "conflicts", "replaces",
		"groups", "submitter", "keywords", "comaintainers",
	}
	switch {
	case q.version == nil:
		return q.refusal("Please specify an API version.")
	case *q.version != 5:
		return q.refusal("Invalid version specified.")
	case !slices.Contains(bys, q.by):
		return q.refusal("Incorrect by field specified.")
	case !q.hasKind:
		return q.refusal("No request type/data specified.")
	case q.kind != "info" && q.kind != "multiinfo":
		return q.refusal("Incorrect request type specified.")
	case len(q.args) == 0:
		return q.refusal("No request type/data specified.")
	}
	results := []map[string]any{}
	s.mu.Lock()
	for _, f := range s.db.look(s.clock.Now(), func(name string) bool { return slices.Contains(q.args, name) }) {
		results = append(results, f.info())
	}
	s.mu.Unlock()
	if len(results) > maxResults {
		return q.refusal("Too many package results.")
	}
	return map[string]any{"version": 5, "type": "multiinfo", "resultcount": len(results), "results": results}
}

// refusal is an error, which the RPC sends with status 200.
func (q *query) refusal(text string) map[string]any {
	return map[string]any{"version": q.version, "type": "error", "resultcount": 0, "results": []any{}, "error": text}
}

func marshal(v any) []byte {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // maps of strings and numbers
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

// limited counts a call of an address.
func (s *Server) limited(remote string) bool {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	limit := s.options.RPCLimit
	if limit == 0 {
		limit = rateLimit
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	c := s.calls[host]
	if c == nil || now.Sub(c.start) > rateWindow {
		c = &rate{start: now}
		s.calls[host] = c
	}
	c.n++
	return limit > 0 && c.n > limit
}

type rate struct {
	start time.Time
	n     int
}
