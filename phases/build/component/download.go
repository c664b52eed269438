package component

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/tool"
	"github.com/imrightguy/slipway/pipeline"
)

// An HTTPClient is what [pipeline.Workspace].Endpoints may have, to say which client fetches files. Its cookies and its
// rule for redirections are not used.
type HTTPClient interface{ HTTPClient() *http.Client }

const (
	downloadLimit   = 4 << 30          // bytes of a file that is fetched
	downloadTries   = 5                // in all
	firstPause      = time.Second      // between tries; the next are longer
	longestPause    = 30 * time.Second // also of what a server asks for
	maxRedirects    = 10
	headerTimeout   = time.Minute // until a server begins to answer
	downloadTimeout = tool.DefaultTimeout
)

// checkURL refuses addresses that are not https, and those that hold a password. A server on this machine's loopback
// may be asked without TLS: nobody listens in between.
func checkURL(text string) error {
	text = unfilled(text)
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return errors.New("want an address like https://example.org/file")
	case u.User != nil:
		return errors.New("want an address without user and password")
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return fmt.Errorf("want an address that begins with https://, found %q", u.Scheme+"://"+u.Host)
	case u.Fragment != "":
		return errors.New("want an address without a fragment (#)")
	}
	if name := path.Base(u.Path); name == "." || name == "/" || strings.HasSuffix(u.Path, "/") {
		return errors.New("want the address of a file: its path ends in no name")
	} else if err := archive.CheckName(name); err != nil {
		return err
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// download takes one file from the web. It is written while it comes, and its digest decides.
type download struct {
	url, sha256 string
	timeout     time.Duration // of all tries together; zero: the default
	limit       int64         // bytes; zero: downloadLimit
	pause       time.Duration // zero: firstPause
}

func (d download) check() error {
	if err := checkURL(d.url); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	return nil
}

func (d download) params() map[string]string {
	return map[string]string{"builder": Prebuilt, "url": d.url, "sha256": d.sha256}
}

// client is the given one or one with patience of its own, without cookies, and following redirections to https or to
// the same server on the loopback only.
func (d download) client(endpoints any) *http.Client {
	c := &http.Client{}
	if e, ok := endpoints.(HTTPClient); ok && e.HTTPClient() != nil {
		*c = *e.HTTPClient()
	} else if t, ok := http.DefaultTransport.(*http.Transport); ok {
		t = t.Clone()
		t.ResponseHeaderTimeout = headerTimeout
		c.Transport = t
	}
	c.Jar = nil
	c.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		r.Header.Del("Referer")
		switch {
		case len(via) >= maxRedirects:
			return fmt.Errorf("%d redirections are too many", maxRedirects)
		case r.URL.User != nil:
			return errors.New("it is redirected to an address with a password")
		case r.URL.Scheme == "https":
			return nil
		case r.URL.Scheme == "http" && via[0].URL.Scheme == "http" && r.URL.Host == via[0].URL.Host && loopback(r.URL.Hostname()):
			return nil
		}
		return fmt.Errorf("it is redirected to %s://%s, which is not https", r.URL.Scheme, r.URL.Host)
	}
	return c
}

// at is the address as messages show it: what stands behind ? may be a key.
func (d download) at() string {
	before, _, _ := strings.Cut(d.url, "?")
	return before
}

func (d download) build(ctx context.Context, ws *pipeline.Workspace, _, out string) (pipeline.Receipt, error) {
	u, err := url.Parse(d.url)
	if err != nil {
		return nil, fmt.Errorf("cannot fetch %s: it is no address", d.at())
	}
	limit, pause, timeout := d.limit, d.pause, d.timeout
	if limit == 0 {
		limit = downloadLimit
	}
	if pause == 0 {
		pause = firstPause
	}
	if timeout == 0 {
		timeout = downloadTimeout
	}
	timed, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	client := d.client(ws.Endpoints)
	defer client.CloseIdleConnections()
	file := filepath.Join(out, path.Base(u.Path))
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = pause, max(pause, longestPause)
	tries := 0
	_, err = backoff.Retry(timed, func() (struct{}, error) {
		tries++
		return struct{}{}, d.fetch(timed, client, ws, file, limit)
	}, backoff.WithBackOff(waits), backoff.WithMaxTries(downloadTries), backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, wait time.Duration) {
			ws.Logf("fetching %s failed, it is tried again in %v: %v", d.at(), wait.Round(time.Second), err)
		}))
	switch {
	case err == nil:
		return nil, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case timed.Err() != nil:
		return nil, fmt.Errorf("cannot fetch %s: it was not there after %v", d.at(), timeout)
	case tries > 1:
		return nil, fmt.Errorf("cannot fetch %s, tried %d times: %w", d.at(), tries, err)
	}
	return nil, fmt.Errorf("cannot fetch %s: %w", d.at(), err)
}

// fetch tries once. Errors that another try would not mend are permanent.
func (d download) fetch(ctx context.Context, client *http.Client, ws *pipeline.Workspace, file string, limit int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return backoff.Permanent(err)
	}
	req.Header.Set("Accept-Encoding", "identity") // the bytes as they lie there
	req.Header.Set("User-Agent", "slipway")
	resp, err := client.Do(req)
	if err != nil {
		return lost(err)
	}
	defer resp.Body.Close()
	if err := status(resp.StatusCode, resp.Header); err != nil {
		return err
	}
	length, kind := resp.ContentLength, resp.Header.Get("Content-Type")
	if length > limit {
		return backoff.Permanent(fmt.Errorf("it has %d bytes, more than %d", length, limit))
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return backoff.Permanent(err)
	}
	hash := sha256.New()
	w := &progress{tick: func(n int64) { ws.Tick(n, max(0, length)) }}
	n, err := io.Copy(io.MultiWriter(storing{f}, hash, w), io.LimitReader(resp.Body, limit+1))
	mode := os.FileMode(0o644)
	if w.executable() {
		mode = 0o755
	}
	switch bad := errors.Join(f.Chmod(mode), f.Close()); {
	case errors.As(err, new(*storeError)) || err == nil && bad != nil:
		return backoff.Permanent(errors.Join(err, bad))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the answer broke off after %d bytes", n)
	case err != nil:
		return lost(err)
	case n > limit:
		return backoff.Permanent(fmt.Errorf("it has more than %d bytes", limit))
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != d.sha256 {
		if w.page() || strings.HasPrefix(kind, "text/html") {
			return backoff.Permanent(fmt.Errorf("the server answered with a web page instead of the file (SHA-256 %s, release.yaml wants %s)", got, d.sha256))
		}
		return backoff.Permanent(fmt.Errorf("it has SHA-256 %s, release.yaml wants %s", got, d.sha256))
	}
	return nil
}

// lost says why a server was not reached, without the address: after redirections it may hold a key.
func lost(err error) error {
	refused, timedOut := false, false
	if u, ok := errors.AsType[*url.Error](err); ok {
		timedOut = u.Timeout()
		err, refused = u.Err, strings.HasPrefix(u.Err.Error(), "it is redirected") || strings.HasSuffix(u.Err.Error(), "are too many")
	}
	err = errors.New(tool.NewRedactor().Text(err.Error()))
	if refused && !timedOut {
		return backoff.Permanent(err)
	}
	return err
}

// status is the error for an answer without a file: permanent where asking again will not help.
func status(code int, header http.Header) error {
	switch {
	case code == http.StatusOK:
		return nil
	case code == http.StatusNotFound || code == http.StatusGone:
		return backoff.Permanent(fmt.Errorf("there is no such file (status %d)", code))
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return backoff.Permanent(fmt.Errorf("the server refuses it (status %d); no credentials are sent", code))
	case code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable:
		busy := fmt.Errorf("the server is busy (status %d)", code)
		if s, err := strconv.Atoi(header.Get("Retry-After")); err == nil && s > 0 {
			return &later{busy, backoff.RetryAfter(min(s, int(longestPause/time.Second)))}
		}
		return busy
	case code >= 500 || code == http.StatusRequestTimeout || code == http.StatusTooEarly:
		return fmt.Errorf("the server failed (status %d)", code)
	default:
		return backoff.Permanent(fmt.Errorf("the server answered with status %d", code))
	}
}

// later is an error with a wish when to ask again.
type later struct {
	error
	wish error
}

func (e *later) Unwrap() error { return e.wish }

// A storeError says that the file could not be written, which is not the server's fault.
type storeError struct{ error }

func (e *storeError) Unwrap() error { return e.error }

type storing struct{ f *os.File }

func (s storing) Write(p []byte) (int, error) {
	n, err := s.f.Write(p)
	if err != nil {
		err = &storeError{err}
	}
	return n, err
}

// progress counts bytes, and keeps the first ones.
type progress struct {
	n    int64
	head []byte
	tick func(int64)
}

func (w *progress) Write(p []byte) (int, error) {
	if rest := 64 - len(w.head); rest > 0 {
		w.head = append(w.head, p[:min(rest, len(p))]...)
	}
	w.n += int64(len(p))
	w.tick(w.n)
	return len(p), nil
}

// executable reports whether the file is a program: the web does not say.
func (w *progress) executable() bool {
	return strings.HasPrefix(string(w.head), "\x7fELF") || strings.HasPrefix(string(w.head), "#!")
}

func (w *progress) page() bool {
	head := strings.ToLower(strings.TrimSpace(string(w.head)))
	return strings.HasPrefix(head, "<!doctype html") || strings.HasPrefix(head, "<html")
}
