package published

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
	"strconv"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/internal/hub"
)

const (
	maxSize      = 4 << 30          // bytes of a source; GitHub takes assets of 2 GiB
	tries        = 5                // of one download
	wrongTries   = 2                // that may give wrong bytes
	firstPause   = 2 * time.Second  // it doubles
	longestPause = 60 * time.Second // also where a server asks for more
	idleTime     = time.Minute      // without a byte
	totalTime    = time.Hour        // one try
	maxRedirects = 10
)

// absent says that there is no such file for the public, and that asking again will not change it.
type absent struct{ error }

// busy says how long a server wants to be left alone.
type busy struct {
	error
	wait time.Duration
}

// wrong says that the bytes are not the ones that are wanted.
type wrong struct{ found string }

func (w *wrong) Error() string { return "it has SHA-256 " + w.found }

// checkURL refuses what is not a plain public address. A server on this machine's loopback may be asked without TLS.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return errors.New("it is not an address like https://example.org/file")
	case u.User != nil:
		return errors.New("it has a user or password in it")
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return fmt.Errorf("it begins with %s:// and not with https://", u.Scheme)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// downloader fetches public files as anybody does: without a credential, and following redirections.
type downloader struct {
	client *http.Client
	clock  hub.Clock
	logf   func(string, ...any)
	tick   func(bytes, total int64)
	ask    bool // whether there is such a file, and no more
}

func newDownloader(transport http.RoundTripper, clock hub.Clock) *downloader {
	d := &downloader{clock: clock, logf: func(string, ...any) {}, tick: func(int64, int64) {}, client: &http.Client{Transport: transport}}
	d.client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		r.Header.Del("Referer")
		if len(via) >= maxRedirects {
			return fmt.Errorf("%d redirections are too many", maxRedirects)
		}
		if err := checkURL(r.URL.String()); err != nil || r.URL.Scheme == "http" && via[0].URL.Host != r.URL.Host {
			return errors.New("it is redirected to an address that is not a public one over https")
		}
		return nil
	}
	return d
}

// get downloads until the bytes have the SHA-256, any where none is wanted, or gives up. to takes the bytes of one try;
// nil: they are only hashed. The error is an absent, a wrong, or says why nothing could be learned.
func (d *downloader) get(ctx context.Context, address, want string, to func() (io.WriteCloser, error)) (size int64, err error) {
	if err := checkURL(address); err != nil {
		return 0, absent{err}
	}
	mismatches := 0
	for try := 1; ; try++ {
		var found string
		size, found, err = d.once(ctx, address, to)
		if err == nil && (want == "" || found == want) {
			return size, nil
		}
		if err == nil {
			if mismatches++; mismatches == wrongTries {
				return size, &wrong{found}
			}
			err = &wrong{found}
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if _, final := errors.AsType[absent](err); final || try == tries {
			return size, err
		}
		wait := firstPause << (try - 1)
		if b, asked := errors.AsType[*busy](err); asked {
			wait = max(wait, b.wait)
		}
		wait = min(wait, longestPause)
		d.logf("downloading %s failed, it is tried again in %v: %v", plain(address), wait, err)
		if err := d.clock.Sleep(ctx, wait); err != nil {
			return 0, err
		}
	}
}

// plain is an address as messages show it: what stands behind ? may be a key.
func plain(address string) string {
	before, _, _ := strings.Cut(address, "?")
	return before
}

func (d *downloader) once(ctx context.Context, address string, to func() (io.WriteCloser, error)) (size int64, sum string, err error) {
	ctx, cancel := context.WithTimeout(ctx, totalTime)
	defer cancel()
	idle := time.AfterFunc(idleTime, cancel)
	defer idle.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, "", absent{errors.New("it is not an address")}
	}
	req.Header.Set("Accept-Encoding", "identity") // the bytes as they lie there
	req.Header.Set("User-Agent", "slipway")
	if d.ask {
		req.Header.Set("Range", "bytes=0-0") // not HEAD: the addresses that GitHub redirects to are signed for GET alone
	}
	resp, err := d.client.Do(req)
	if err != nil {
		if u, is := errors.AsType[*url.Error](err); is { // its address may hold a key after redirections
			err = u.Err
		}
		return 0, "", fmt.Errorf("the server was not reached: %w", err)
	}
	defer resp.Body.Close()
	if d.ask && (resp.StatusCode == http.StatusPartialContent || resp.StatusCode == http.StatusRequestedRangeNotSatisfiable) {
		return 0, "", nil // the second of an empty file, RFC 9110, section 15.5.17
	}
	if err := status(resp); err != nil || d.ask {
		return 0, "", err
	}
	length := resp.ContentLength // below zero where it is not said
	if length > maxSize {
		return 0, "", absent{fmt.Errorf("it has %d bytes, more than %d", length, int64(maxSize))}
	}
	hash := sha256.New()
	var w io.Writer = hash
	if to != nil {
		f, err := to()
		if err != nil {
			return 0, "", absent{err}
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		w = io.MultiWriter(hash, f)
	}
	body := &watched{resp.Body, func(n int64) { idle.Reset(idleTime); d.tick(n, max(0, length)) }, 0}
	n, err := io.CopyBuffer(w, io.LimitReader(body, maxSize+1), make([]byte, 256<<10))
	switch {
	case err != nil:
		return n, "", fmt.Errorf("the download broke off after %d bytes: %w", n, err)
	case n > maxSize:
		return n, "", absent{fmt.Errorf("it has more than %d bytes", int64(maxSize))}
	}
	return n, hex.EncodeToString(hash.Sum(nil)), nil
}

// status is the error of an answer without a file.
func status(resp *http.Response) error {
	err := fmt.Errorf("the server answered with status %d", resp.StatusCode)
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		return nil
	case code == http.StatusNotFound || code == http.StatusGone:
		return absent{fmt.Errorf("there is no such file for the public (status %d)", code)}
	case code == http.StatusUnauthorized:
		return absent{fmt.Errorf("the server wants a credential, which users do not have (status %d)", code)}
	case code == http.StatusForbidden || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code == http.StatusTooEarly || code >= 500:
		if s, bad := strconv.Atoi(resp.Header.Get("Retry-After")); bad == nil && s > 0 {
			return &busy{err, time.Duration(min(s, int(longestPause/time.Second))) * time.Second}
		}
		return err
	}
	return absent{err}
}

// watched tells of every read.
type watched struct {
	io.Reader
	tell func(sum int64)
	sum  int64
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if w.sum += int64(n); n > 0 {
		w.tell(w.sum)
	}
	return n, err
}
