package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/hub"
)

// errAbsent says that the public cannot have a file, and that asking again will not change it.
var errAbsent = errors.New("nobody can fetch it")

const (
	idleTime     = 30 * time.Second // without a byte
	maxRedirects = 10
	maxText      = 4 << 20 // bytes of what is kept, not only hashed
)

// fetcher downloads as anybody does: without a credential.
type fetcher struct {
	client *http.Client
	clock  hub.Clock
	seen   map[string]fetched // by address: what several things name is downloaded once
}

type fetched struct {
	Content
	err error
}

func newFetcher(e *endpoint.Endpoints) *fetcher {
	return &fetcher{clock: clock(e), seen: map[string]fetched{}, client: &http.Client{
		Transport: transport(e),
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			r.Header.Del("Referer")
			if len(via) >= maxRedirects {
				return fmt.Errorf("%d redirections are too many", maxRedirects)
			}
			return allowed(r.URL)
		},
	}}
}

// allowed refuses what is not a plain public address.
func allowed(u *url.URL) error {
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	switch {
	case u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("it is no address of the web")
	case u.User != nil:
		return errors.New("it has a user or password in it")
	case u.Scheme == "http" && !loopback:
		return errors.New("it begins with http:// and not with https://")
	}
	return nil
}

// hash downloads a file and hashes it, once.
func (f *fetcher) hash(ctx context.Context, address string) (Content, error) {
	if s, ok := f.seen[address]; ok {
		return s.Content, s.err
	}
	c, err := f.get(ctx, http.MethodGet, address, nil)
	f.seen[address] = fetched{c, err}
	return c, err
}

// text downloads a small file.
func (f *fetcher) text(ctx context.Context, address string) (string, error) {
	var b bytes.Buffer
	c, err := f.get(ctx, http.MethodGet, address, &b)
	if err == nil && c.Size > maxText {
		err = fmt.Errorf("it has more than %d bytes", maxText)
	}
	return b.String(), err
}

// there asks whether something answers at an address, without downloading it.
func (f *fetcher) there(ctx context.Context, address string) error {
	_, err := f.get(ctx, http.MethodHead, address, nil)
	if errors.Is(err, errNoHead) {
		_, err = f.get(ctx, http.MethodGet, address, io.Discard)
	}
	return err
}

// errNoHead is the error of a server that answers no HEAD.
var errNoHead = errors.New("it is not answered")

// get asks until there is an answer. keep takes the first maxText bytes and then no more are read; nil: all is hashed.
func (f *fetcher) get(ctx context.Context, method, address string, keep io.Writer) (c Content, err error) {
	u, err := url.Parse(address)
	if err == nil {
		err = allowed(u)
	}
	if err != nil {
		return c, fmt.Errorf("%w: %w", errAbsent, plain(err))
	}
	u.Fragment = ""
	for try := 1; ; try++ {
		c, err = f.once(ctx, method, u.String(), keep)
		if err == nil || try == tries || ctx.Err() != nil || errors.Is(err, errAbsent) || errors.Is(err, errNoHead) {
			return c, err
		}
		if b, ok := keep.(*bytes.Buffer); ok {
			b.Reset()
		}
		if f.clock.Sleep(ctx, time.Second<<try) != nil {
			return c, err
		}
	}
}

// plain takes the address out of an error of net/http: after redirections it may hold a key.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

func (f *fetcher) once(ctx context.Context, method, address string, keep io.Writer) (c Content, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	idle := time.AfterFunc(idleTime, cancel)
	defer idle.Stop()
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return c, fmt.Errorf("%w: %w", errAbsent, plain(err))
	}
	req.Header.Set("Accept-Encoding", "identity") // the bytes as they lie there
	req.Header.Set("User-Agent", "slipway")
	resp, err := f.client.Do(req)
	if err != nil {
		return c, fmt.Errorf("the server was not reached: %w", plain(err))
	}
	defer resp.Body.Close()
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
	case method == http.MethodHead && (code == http.StatusMethodNotAllowed || code == http.StatusForbidden || code == http.StatusNotImplemented):
		return c, errNoHead
	case code == http.StatusNotFound || code == http.StatusGone || code == http.StatusUnauthorized:
		return c, fmt.Errorf("%w: the server answers with status %d", errAbsent, code)
	default:
		return c, fmt.Errorf("the server answers with status %d", code)
	}
	if method == http.MethodHead {
		return c, nil
	}
	hash := sha256.New()
	var w io.Writer = hash
	body := io.Reader(resp.Body)
	if keep != nil {
		w, body = io.MultiWriter(hash, keep), io.LimitReader(body, maxText+1)
	}
	n, err := io.CopyBuffer(w, alive{body, idle}, make([]byte, 256<<10))
	if err != nil {
		return c, fmt.Errorf("the download broke off after %d bytes: %w", n, err)
	}
	return Content{Size: n, SHA256: hex.EncodeToString(hash.Sum(nil))}, nil
}

// alive puts off the end for as long as bytes come.
type alive struct {
	io.Reader
	idle *time.Timer
}

func (a alive) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if n > 0 {
		a.idle.Reset(idleTime)
	}
	return n, err
}

// shown is an address as messages show it: what stands behind ? may be a key.
func shown(address string) string {
	before, _, _ := strings.Cut(address, "?")
	return before
}
