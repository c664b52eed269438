// Package hub is the client of GitHub's releases, and of GitHub Enterprise's: drafts, assets, publishing, downloads.
//
// It rests on three rules.
//
// # One transport
//
// Every request passes one [http.RoundTripper], which knows one vocabulary of waiting and trying again: Retry-After in
// seconds or as a date, x-ratelimit-reset, secondary limits, failing servers, dropped connections. Tries and the total
// wait are bounded. Writes go out one at a time, a second apart. The token is sent to the API and upload hosts alone.
//
// # Look before doing again
//
// A read is tried again by itself. A write is not, unless the server refused it or it never left: when its answer is
// lost the error is [ErrUnknown], and whoever asked must look what is there. [Client.EnsureDraft], [Client.PutAsset],
// [Client.Publish], [Client.Withdraw], [Client.DeleteAsset] and [Client.DeleteDraft] do that: they look, decide, act
// and look again, so that calling them twice, or after a crash, ends as calling them once.
//
// # Bytes are compared, not believed
//
// An asset is the same when it is whole and its size and SHA-256 are; where the server gives no digest, its bytes are
// fetched and hashed. Payloads are streamed.
//
// Statuses and fields are those of GitHub's OpenAPI description (npm package @octokit/openapi 23.0.2).
package hub

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"
)

// GitHub's own hosts.
const (
	DefaultBaseURL   = "https://api.github.com/"
	DefaultUploadURL = "https://uploads.github.com/"
)

// A Clock tells the time and lets it pass. Waits between tries use it; deadlines of a single try run in real time.
type Clock interface {
	Now() time.Time
	// Sleep returns after d, or earlier with ctx's error.
	Sleep(ctx context.Context, d time.Duration) error
}

// Options say which repository a [Client] works on, and how. Zero durations and numbers take the default named.
type Options struct {
	Owner, Repo string
	// BaseURL is the root of the API, [DefaultBaseURL] when empty; of GitHub Enterprise "https://HOST/api/v3/". Plain
	// http is for loopback only.
	BaseURL string
	// UploadURL is the root for uploads. When empty it follows from BaseURL.
	UploadURL string
	Token     Token
	// Transport carries requests out; [http.DefaultTransport] with larger buffers when nil.
	Transport http.RoundTripper
	Clock     Clock        // the system's when nil
	Log       *slog.Logger // failed tries and waits go there; nowhere when nil
	UserAgent string       // "slipway" when empty
	// WriteInterval is the least time between two writes, 1 s as GitHub's guidelines ask; negative: none.
	WriteInterval time.Duration
	// Tries bounds how often one request is sent, 5.
	Tries int
	// MaxWait bounds the waiting of one call, 15 min. A limit that ends later is an error at once.
	MaxWait time.Duration
	// CallTimeout bounds one try of a call without a payload, 30 s.
	CallTimeout time.Duration
	// IdleTimeout is how long a transfer may stand still, 60 s. After the last byte of an upload the server has twice
	// that to answer.
	IdleTimeout time.Duration
}

// A Client works on the releases of one repository. It may be used by many at once.
type Client struct {
	api   *github.Client
	http  *http.Client
	t     *transport
	clock Clock
	path  string // "repos/OWNER/REPO/"
	tries int
	// perPage is how much one page of a listing holds: 100, the most that GitHub gives.
	perPage int
}

var (
	ownerRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$`)
	repoRE  = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)
)

// New makes a client. It sends nothing.
func New(o Options) (*Client, error) {
	if !ownerRE.MatchString(o.Owner) || !repoRE.MatchString(o.Repo) || strings.Trim(o.Repo, ".") == "" {
		return nil, fmt.Errorf("cannot use repository %.100q: want OWNER/REPO", o.Owner+"/"+o.Repo)
	}
	base, err := root(cmp.Or(o.BaseURL, DefaultBaseURL))
	if err != nil {
		return nil, err
	}
	upload, err := root(cmp.Or(o.UploadURL, uploadsOf(base)))
	if err != nil {
		return nil, err
	}
	c := &Client{clock: o.Clock, path: "repos/" + o.Owner + "/" + o.Repo + "/", perPage: 100, tries: cmp.Or(max(o.Tries, 0), 5)}
	if c.clock == nil {
		c.clock = SystemClock
	}
	c.t = &transport{
		base: o.Transport, clock: c.clock, log: o.Log, token: o.Token,
		trusted:  map[string]bool{origin(base): true, origin(upload): true},
		interval: max(cmp.Or(o.WriteInterval, time.Second), 0), tries: c.tries,
		maxWait: cmp.Or(o.MaxWait, 15*time.Minute), callTimeout: cmp.Or(o.CallTimeout, 30*time.Second),
		idle: cmp.Or(o.IdleTimeout, time.Minute), writing: make(chan struct{}, 1),
	}
	if c.t.log == nil {
		c.t.log = slog.New(slog.DiscardHandler)
	}
	if c.t.base == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.WriteBufferSize, own.ReadBufferSize = 128<<10, 128<<10
		c.t.base = own
	}
	c.http = &http.Client{Transport: c.t, CheckRedirect: c.t.redirect}
	c.api = github.NewClient(c.http)
	c.api.BaseURL, c.api.UploadURL, c.api.UserAgent = base, upload, cmp.Or(o.UserAgent, "slipway")
	return c, nil
}

// root reads the root URL of a server.
func root(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("cannot use the API's address: want https://HOST/api/v3/")
	case u.User != nil:
		return nil, errors.New("cannot use the API's address: it holds a user or a password; give the token in GITHUB_TOKEN")
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return nil, fmt.Errorf("cannot use %s://%s: a token goes over https only", u.Scheme, u.Host)
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// uploadsOf tells where uploads go when only the API's root is known: "uploads." in place of "api." at github.com and
// SUB.ghe.com, "/api/uploads/" in place of "/api/v3/" at an enterprise server.
func uploadsOf(base *url.URL) string {
	u := *base
	if host, ok := strings.CutPrefix(u.Host, "api."); ok {
		u.Host = "uploads." + host
	} else if p, ok := strings.CutSuffix(u.Path, "/api/v3/"); ok {
		u.Path = p + "/api/uploads/"
	}
	return u.String()
}

// origin is what must be equal for two URLs to be of one server.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// SystemClock is the computer's own clock.
var SystemClock Clock = systemClock{}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// do sends a request to a path below the API's root and reads the answer into out.
func (c *Client) do(ctx context.Context, method, path string, in, out any) (*github.Response, error) {
	req, err := c.api.NewRequest(method, path, in)
	if err != nil {
		return nil, plain(err)
	}
	return c.send(ctx, req, &call{}, out)
}

// send carries out a request through the library and returns our own errors alone: the library's hold URLs.
func (c *Client) send(ctx context.Context, req *http.Request, k *call, out any) (*github.Response, error) {
	resp, err := c.api.Do(context.WithValue(ctx, callKey{}, k), req, out)
	if err == nil {
		return resp, nil
	}
	if k.err != nil {
		return nil, k.err
	}
	e := &Error{Op: operation(req), cause: plain(err)}
	if resp != nil {
		e.Status, e.RequestID = resp.StatusCode, k.requestID
	}
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		e.cause = errors.New("the answer has values of wrong types")
	}
	if k.sent && isWrite(req.Method) {
		e.kind = ErrUnknown
	}
	return nil, e
}

// plain takes the URL off an error: it may hold a signature.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// pause waits before looking or trying again: 1 s in round 0, doubling up to 30 s.
func (c *Client) pause(ctx context.Context, round int) error {
	return c.clock.Sleep(ctx, min(time.Second<<min(round, 5), 30*time.Second))
}
