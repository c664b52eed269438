package github

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxJSON is what a JSON body may have; a release's notes are at most 125,000
// characters at GitHub.
const maxJSON = 1 << 20

const docsURL = "https://docs.github.com/rest"

// A call is one request on its way through the server.
type call struct {
	*Server
	r     *http.Request
	w     http.ResponseWriter
	id    string // X-GitHub-Request-Id
	host  host
	fault *Fault // which the handler itself carries out; see faults.go
	token *Token
	repo  *repository
	doc   string // documentation_url of errors
	body  []byte
}

// A reply is a status with a value that becomes JSON. A nil value is no body.
type reply struct {
	status int
	value  any
	header http.Header
}

// A route is one operation of the API.
type route struct {
	pattern string // method and path, see router
	doc     string // below docsURL
	right   Right
	level   Level
	// do has the server's lock and the repository, and returns without
	// having touched the network.
	do func(*call) reply
}

// operation makes a route's handler. Everything common to JSON operations
// happens here: token, limits, repository, rights, body, ETag, lock.
func (s *Server) operation(h host, rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := newCall(s, h, w, r, docsURL+rt.doc)
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxJSON))
			if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
				c.send(c.failure(http.StatusRequestEntityTooLarge, "Payload too large"))
				return
			} else if err != nil {
				c.send(c.failure(http.StatusBadRequest, "Problems reading the body"))
				return
			}
			c.body = body
		}
		c.send(c.locked(func() reply {
			if bad := c.enter(rt.right, rt.level); bad != nil {
				return *bad
			}
			return rt.do(c)
		}))
	}
}

func newCall(s *Server, h host, w http.ResponseWriter, r *http.Request, doc string) *call {
	c := &call{Server: s, r: r, w: w, host: h, doc: doc, id: w.Header().Get("X-GitHub-Request-Id")}
	c.fault, _ = r.Context().Value(faultKey{}).(*Fault)
	return c
}

func (c *call) locked(f func() reply) reply {
	c.mu.Lock()
	defer c.mu.Unlock()
	return f()
}

// enter checks what every operation needs and finds token and repository. The
// order is GitHub's as far as it shows: bad token, limit, repository, right.
func (c *call) enter(right Right, level Level) *reply {
	bad := func(r reply) *reply { return &r }
	token, ok := c.authorization(c.r)
	if !ok {
		return bad(c.failure(http.StatusUnauthorized, "Bad credentials"))
	}
	c.token = token
	if token != nil && token.Kind == Classic {
		c.w.Header().Set("X-OAuth-Scopes", token.scopes())
	}
	if over := c.limit(); over != nil {
		return over
	}
	if c.r.PathValue("owner") == "" {
		return nil // not about a repository
	}
	c.repo = c.find(c.r.PathValue("owner"), c.r.PathValue("repo"))
	if c.repo == nil || !token.sees(c.repo) {
		return bad(c.notFound())
	}
	if right != "" && level > None {
		c.w.Header().Set("X-Accepted-GitHub-Permissions", string(right)+"="+map[Level]string{Read: "read", Write: "write"}[level])
	}
	if !token.may(c.repo, right, level) {
		return bad(c.refused())
	}
	c.settle(c.repo)
	return nil
}

// refused answers a request whose token lacks a right.
func (c *call) refused() reply {
	switch {
	case c.token == nil:
		return c.failure(http.StatusUnauthorized, "Requires authentication")
	case c.token.Kind == Classic:
		return c.notFound()
	case c.token.Kind == Installation:
		return c.failure(http.StatusForbidden, "Resource not accessible by integration")
	}
	return c.failure(http.StatusForbidden, "Resource not accessible by personal access token")
}

func (c *call) failure(status int, message string) reply {
	return reply{status: status, value: map[string]any{
		"message": message, "documentation_url": c.doc, "status": strconv.Itoa(status),
	}}
}

func (c *call) notFound() reply { return c.failure(http.StatusNotFound, "Not Found") }

// A fieldError is one entry of a 422's "errors". Codes: missing, missing_field,
// invalid, already_exists, unprocessable, custom (which has a message).
type fieldError struct {
	Resource string `json:"resource"`
	Code     string `json:"code"`
	Field    string `json:"field"`
	Message  string `json:"message,omitempty"`
}

func (c *call) invalid(errs ...fieldError) reply {
	return reply{status: http.StatusUnprocessableEntity, value: map[string]any{
		"message": "Validation Failed", "errors": errs, "documentation_url": c.doc,
	}}
}

// broken answers an error of the git side that no rule foresees.
func (c *call) broken(error) reply {
	return c.failure(http.StatusInternalServerError, "Server Error")
}

// parse reads the JSON body into v. Wrong types are 422 and bad JSON is 400, as
// at GitHub; texts unconfirmed.
func (c *call) parse(v any) *reply {
	if len(bytes.TrimSpace(c.body)) == 0 {
		c.body = []byte("{}")
	}
	err := json.Unmarshal(c.body, v)
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		r := c.failure(http.StatusUnprocessableEntity, "Invalid request.\n\nFor '"+wrong.Field+"', "+wrong.Value+" is not a "+wrong.Type.String()+".")
		return &r
	}
	r := c.failure(http.StatusBadRequest, "Problems parsing JSON")
	return &r
}

// number reads a path value that must be an id; others are 404.
func (c *call) number(name string) int64 {
	n, err := strconv.ParseInt(c.r.PathValue(name), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// send writes a reply. A GET that was answered before gets 304 by its ETag,
// which does not count against the limit.
func (c *call) send(r reply) {
	h := c.w.Header()
	maps.Copy(h, r.header)
	if r.value == nil {
		c.w.WriteHeader(r.status)
		return
	}
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(r.value); err != nil {
		http.Error(c.w, "{}", http.StatusInternalServerError)
		return
	}
	body := bytes.TrimRight(buf.Bytes(), "\n")
	h.Set("Content-Type", "application/json; charset=utf-8")
	if r.status == http.StatusOK && c.r.Method == http.MethodGet {
		sum := sha256.Sum256(body)
		tag := `W/"` + hex.EncodeToString(sum[:]) + `"`
		h.Set("ETag", tag)
		h.Set("Cache-Control", "private, max-age=60, s-maxage=60")
		if matches(c.r.Header.Get("If-None-Match"), tag) {
			c.locked(func() reply { c.limits.giveBack(c); return reply{} })
			h.Del("Content-Type")
			c.w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(r.status)
	_, _ = c.w.Write(body) // the client may be gone
}

// matches compares entity tags weakly (RFC 9110, section 8.8.3.2).
func matches(header, tag string) bool {
	for t := range strings.SplitSeq(header, ",") {
		if t = strings.TrimSpace(t); t == "*" || strings.TrimPrefix(t, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

// stamp is a time as GitHub writes it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (c *call) ctx() context.Context { return c.r.Context() }
