// Package apicheck validates HTTP exchanges with GitHub, or with its twin,
// against GitHub's OpenAPI description. Tests put a [Checker] under their
// client; the product does not import it.
//
// The description is that of npm package @octokit/openapi 23.0.2 (MIT, licence
// beside it), cut by the program in prune to the operations the twin serves.
//
// # Exceptions
//
// These, and no others, are let through; [Checker.Exceptions] counts them.
//
//   - upload content type: uploads with another type than
//     application/octet-stream, the only one described; GitHub takes any.
//   - starter: the state of an unfinished asset, which the schema's prose knows
//     and its enumeration lacks.
//   - undescribed status: error statuses an operation has no answer for, such as
//     403 for limits, 429 and 502. JSON bodies must have the shape of
//     basic-error all the same.
//   - undescribed body: 422 of an upload, which is described without a body.
//   - legacy refs: GET /git/refs and /git/refs/..., which GitHub serves and
//     describes no longer.
//   - bytes: 200 with the content of an asset, where JSON is described.
//
// Refs, tags and comparisons with slashes in their names are one path parameter
// in the description; they are looked up with the slashes replaced.
package apicheck

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

//go:embed testdata/api.github.com.json.gz
var description []byte

// loaded is the description with a router over it.
type loaded struct {
	doc    *openapi3.T
	router routers.Router
}

// load reads the description once for all checkers of a process.
var load = sync.OnceValues(func() (loaded, error) {
	z, err := gzip.NewReader(bytes.NewReader(description))
	if err != nil {
		return loaded{}, err
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		return loaded{}, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		return loaded{}, err
	}
	doc.Servers = nil // hosts are checked here, routes go by path
	router, err := legacy.NewRouter(doc, openapi3.DisableExamplesValidation(), openapi3.DisableSchemaPatternValidation())
	return loaded{doc, router}, err
})

// Operations lists what the description has, as "METHOD path", sorted.
func Operations() ([]string, error) {
	l, err := load()
	if err != nil {
		return nil, fmt.Errorf("cannot load GitHub's description: %w", err)
	}
	var list []string
	for path, item := range l.doc.Paths.Map() {
		for method := range item.Operations() {
			list = append(list, method+" "+path)
		}
	}
	slices.Sort(list)
	return list, nil
}

// A Checker is an http.RoundTripper that passes requests on and reports those
// exchanges that GitHub's description does not allow. Requests to other hosts
// than API and uploads pass unchecked. It may be used by many at once.
type Checker struct {
	api, uploads *url.URL
	base         http.RoundTripper
	report       func(error)
	router       routers.Router

	mu         sync.Mutex
	checked    map[string]int
	exceptions map[string]int
}

// New makes a checker for servers at two base URLs. report is called with each
// violation, from the goroutine of the request.
func New(api, uploads string, base http.RoundTripper, report func(error)) (*Checker, error) {
	c := &Checker{base: base, report: report, checked: map[string]int{}, exceptions: map[string]int{}}
	l, err := load()
	if err != nil {
		return nil, fmt.Errorf("cannot load GitHub's description: %w", err)
	}
	c.router = l.router
	if c.api, err = url.Parse(api); err != nil {
		return nil, err
	}
	c.uploads, err = url.Parse(uploads)
	return c, err
}

// Checked counts the exchanges that were validated, by "METHOD path" of the
// description.
func (c *Checker) Checked() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.checked)
}

// Exceptions counts what was let through, by the names in the package comment.
func (c *Checker) Exceptions() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.exceptions)
}

type knowingly struct{}

// Knowingly marks requests that break the description on purpose, to see what
// the server says. Such a request must break it; its answer is checked as ever.
func Knowingly(ctx context.Context) context.Context {
	return context.WithValue(ctx, knowingly{}, true)
}

// RoundTrip implements http.RoundTripper.
func (c *Checker) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != c.api.Host && r.URL.Host != c.uploads.Host {
		return c.base.RoundTrip(r)
	}
	say := func(what string, err error) {
		c.report(fmt.Errorf("%s %s: %s: %w", r.Method, r.URL.RequestURI(), what, err))
	}
	in, err := c.route(r)
	if err != nil && !errors.Is(err, errLegacy) {
		// What the description lacks may be asked for, and must be 404.
		response, failed := c.base.RoundTrip(r)
		if failed == nil && response.StatusCode != http.StatusNotFound && response.StatusCode < 500 {
			say("route", err)
		}
		return response, failed
	}
	if in == nil {
		c.except("legacy refs")
		return c.base.RoundTrip(r)
	}
	uploading := in.Route.Operation.Servers != nil && len(*in.Route.Operation.Servers) > 0
	if uploading != (r.URL.Host == c.uploads.Host) {
		say("host", errors.New("the other host serves this"))
	}
	sent, err := c.request(r, in, uploading)
	if err != nil {
		return nil, err
	}
	if deliberate := r.Context().Value(knowingly{}) != nil; sent != nil && !deliberate {
		say("request", sent)
	} else if sent == nil && deliberate {
		say("request", errors.New("marked as wrong, and the description allows it"))
	}
	response, err := c.base.RoundTrip(r)
	if err != nil {
		return response, err
	}
	if err := c.response(response, in); err != nil {
		say("response", err)
	}
	c.mu.Lock()
	c.checked[r.Method+" "+in.Route.Path]++
	c.mu.Unlock()
	return response, nil
}

func (c *Checker) except(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exceptions[name]++
}

var (
	manySegments = regexp.MustCompile(`^(/repos/[^/]+/[^/]+/(?:git/ref|git/refs|git/matching-refs|releases/tags|compare|tarball))/(.+)$`)
	legacyRefs   = regexp.MustCompile(`^/repos/[^/]+/[^/]+/git/refs(/.*)?$`)
	errLegacy    = errors.New("not described any more")
)

// route finds the operation of a request, working on a copy of it.
func (c *Checker) route(r *http.Request) (*openapi3filter.RequestValidationInput, error) {
	q := r.Clone(r.Context())
	q.Body = nil
	q.URL.RawPath = ""
	if m := manySegments.FindStringSubmatch(q.URL.Path); m != nil {
		q.URL.Path = m[1] + "/" + strings.ReplaceAll(m[2], "/", "_")
	}
	if r.Method == http.MethodGet && legacyRefs.MatchString(r.URL.Path) {
		return nil, errLegacy
	}
	route, params, err := c.router.FindRoute(q)
	if err != nil {
		return nil, err
	}
	return &openapi3filter.RequestValidationInput{
		Request: q, PathParams: params, Route: route,
		Options: &openapi3filter.Options{
			MultiError: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
			IncludeResponseStatus: true, SkipSettingDefaults: true,
		},
	}, nil
}

// request validates what is sent. Bodies that are not JSON are free by the
// description and are not read, so that large uploads pass.
func (c *Checker) request(r *http.Request, in *openapi3filter.RequestValidationInput, uploading bool) (violation, err error) {
	q := in.Request
	if uploading {
		if q.Header.Get("Content-Type") != "application/octet-stream" {
			c.except("upload content type")
			q.Header.Set("Content-Type", "application/octet-stream")
		}
		q.Body = io.NopCloser(strings.NewReader("x"))
	} else if r.Body != nil {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body.Close()
		r.Body = io.NopCloser(bytes.NewReader(raw))
		q.Body = io.NopCloser(bytes.NewReader(raw))
	}
	return openapi3filter.ValidateRequest(r.Context(), in), nil
}

// response validates an answer. JSON is read whole and put back.
func (c *Checker) response(response *http.Response, in *openapi3filter.RequestValidationInput) error {
	kind := response.Header.Get("Content-Type")
	if response.StatusCode == http.StatusNotModified {
		return nil
	}
	if strings.HasPrefix(kind, "application/octet-stream") && response.StatusCode < 300 {
		c.except("bytes")
		return nil
	}
	raw, err := io.ReadAll(response.Body)
	response.Body.Close()
	response.Body = io.NopCloser(io.MultiReader(bytes.NewReader(raw), broken{err}))
	if err != nil {
		return nil // a body that breaks off is no matter of shape
	}
	described := in.Route.Operation.Responses.Status(response.StatusCode)
	if response.StatusCode >= 400 {
		noBody := described != nil && described.Value != nil && len(described.Value.Content) == 0
		if described == nil || noBody {
			c.except(map[bool]string{true: "undescribed body", false: "undescribed status"}[noBody])
			return errorShape(response.StatusCode, kind, raw)
		}
	}
	if bytes.Contains(raw, []byte(`"state":"starter"`)) {
		c.except("starter")
		raw = bytes.ReplaceAll(raw, []byte(`"state":"starter"`), []byte(`"state":"open"`))
	}
	return openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: response.StatusCode, Header: response.Header,
		Body: io.NopCloser(bytes.NewReader(raw)), Options: in.Options,
	})
}

// errorShape holds for errors whose body the description leaves open.
func errorShape(status int, kind string, raw []byte) error {
	if len(raw) == 0 || (status >= 502 && status <= 504 && strings.HasPrefix(kind, "text/html")) {
		return nil
	}
	var body struct {
		Message *string `json:"message"`
		Errors  []struct{ Resource, Code, Field *string }
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return fmt.Errorf("status %d: %w", status, err)
	}
	if body.Message == nil {
		return fmt.Errorf("status %d without a message", status)
	}
	for _, e := range body.Errors {
		if e.Resource == nil || e.Code == nil || e.Field == nil {
			return fmt.Errorf("status %d with an incomplete entry in errors", status)
		}
	}
	return nil
}

// broken ends a body the way it ended.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	return 0, io.EOF
}
