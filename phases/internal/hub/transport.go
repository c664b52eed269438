package hub

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Bounds of an answer that is read whole: a page of 100 releases with notes of 125,000 characters, in any encoding.
const (
	maxAnswer  = 64 << 20
	maxFailure = 1 << 20
)

// A call is what the transport must know of a request beyond HTTP, and what it found out.
type call struct {
	// stream hands the body of a good answer on unread.
	stream bool
	// anonymous sends no token to anybody.
	anonymous bool
	// upload says that the request's body is a payload: an idle timeout in place of a deadline.
	upload bool
	// local is an error of the payload's own file.
	local atomic.Pointer[error]
	// touch is called with each part of the payload that goes out.
	touch atomic.Pointer[func(last bool)]

	sent      bool // something may have left
	requestID string
	err       *Error
}

type callKey struct{}

// transport carries out every request of a client.
type transport struct {
	base                                 http.RoundTripper
	clock                                Clock
	log                                  *slog.Logger
	token                                Token
	trusted                              map[string]bool // origins that are shown the token
	interval, maxWait, callTimeout, idle time.Duration
	tries                                int

	writing   chan struct{} // holds one: writes are serial
	lastWrite time.Time     // end of the last one; its holder's

	mu sync.Mutex
	// until is when requests may go on after a limit, without and with the token.
	until [2]time.Time
}

func isWrite(method string) bool { return method != http.MethodGet && method != http.MethodHead }

// redirect follows reads to other hosts, where they go without the token, and writes only within the trusted ones and
// only where the method and the body stay (307, 308): net/http makes other writes reads.
func (t *transport) redirect(next *http.Request, via []*http.Request) error {
	first, last := via[0], via[len(via)-1]
	switch {
	case len(via) > 10:
		return errors.New("too many redirects")
	case isWrite(first.Method) && (next.Method != first.Method || !t.trusted[origin(next.URL)]):
		return errors.New("refused to follow a redirect of a write: was the repository renamed?")
	case last.URL.Scheme == "https" && next.URL.Scheme != "https":
		return errors.New("refused to follow a redirect from https to " + next.URL.Scheme)
	}
	return nil
}

// failure is how one try ended.
type failure struct {
	*Error
	how  outcome
	wait time.Duration // of limited, by the server's word; 0: it gave none
}

type outcome int

const (
	final   outcome = iota // trying again would not help
	limited                // refused, nothing was done
	unsent                 // never left
	lost                   // nobody knows
)

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	k, ok := r.Context().Value(callKey{}).(*call)
	if !ok {
		k = &call{}
	}
	if r.Body != nil {
		defer r.Body.Close()
	}
	fail := func(e *Error) (*http.Response, error) { k.err = e; return nil, e }
	if isWrite(r.Method) {
		select {
		case t.writing <- struct{}{}:
			defer func() { <-t.writing }()
		case <-r.Context().Done():
			return fail(&Error{Op: operation(r), cause: r.Context().Err()})
		}
	}
	end := t.clock.Now().Add(t.maxWait)
	short := &backoff.ExponentialBackOff{InitialInterval: time.Second, RandomizationFactor: 0.2, Multiplier: 2, MaxInterval: time.Minute}
	long := &backoff.ExponentialBackOff{InitialInterval: time.Minute, Multiplier: 2, MaxInterval: 8 * time.Minute}
	for try := 1; ; try++ {
		if e := t.hold(r, k, end); e != nil {
			e.Tries = try - 1
			return fail(e)
		}
		resp, f := t.once(r, k, try)
		if isWrite(r.Method) {
			t.lastWrite = t.clock.Now()
		}
		if f == nil {
			return resp, nil
		}
		f.Tries = try
		t.log.LogAttrs(r.Context(), slog.LevelWarn, "request failed", slog.String("op", f.Op), slog.Int("status", f.Status),
			slog.String("request", f.RequestID), slog.Int("try", try), slog.String("error", f.Error.Error()))
		wait := f.wait
		switch {
		case f.how == limited && wait == 0:
			wait = long.NextBackOff()
		case f.how != limited:
			wait = max(short.NextBackOff(), wait)
		}
		if f.how == limited {
			f.kind = ErrLimited
			f.Until = t.block(r, k, wait)
		}
		again := f.how == limited || f.how == unsent || f.how == lost && !isWrite(r.Method)
		if !again || try >= t.tries || t.clock.Now().Add(wait).After(end) || r.Body != nil && r.GetBody == nil {
			return fail(f.giveUp(r.Method))
		}
		if f.how == limited {
			continue // hold waits
		}
		if err := t.clock.Sleep(r.Context(), wait); err != nil {
			f.cause = err
			return fail(f.giveUp(r.Method))
		}
	}
}

// giveUp names what it means that there is no further try.
func (f *failure) giveUp(method string) *Error {
	if f.kind == nil && f.how != final {
		f.kind = ErrUnavailable
		if f.how == lost && isWrite(method) {
			f.kind = ErrUnknown
		}
	}
	return f.Error
}

// hold waits for limits to end and for a write's turn.
func (t *transport) hold(r *http.Request, k *call, end time.Time) *Error {
	t.mu.Lock()
	until := t.until[t.who(r, k)]
	t.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/rate_limit") || !t.trusted[origin(r.URL)] {
		until = time.Time{} // free of limits, or none of theirs
	}
	now := t.clock.Now()
	if until.After(end) {
		return &Error{Op: operation(r), kind: ErrLimited, Until: until}
	}
	wait := until.Sub(now)
	if isWrite(r.Method) && !t.lastWrite.IsZero() {
		wait = max(wait, t.lastWrite.Add(t.interval).Sub(now))
	}
	if wait <= 0 {
		return nil
	}
	if wait > t.interval {
		t.log.LogAttrs(r.Context(), slog.LevelWarn, "waiting for a limit to end", slog.Duration("for", wait))
	}
	if err := t.clock.Sleep(r.Context(), wait); err != nil {
		return &Error{Op: operation(r), cause: err}
	}
	return nil
}

// who tells whose limits a request counts against: nobody's or the token's.
func (t *transport) who(r *http.Request, k *call) int {
	if t.token.Set() && !k.anonymous && t.trusted[origin(r.URL)] {
		return 1
	}
	return 0
}

// block keeps requests back for a while.
func (t *transport) block(r *http.Request, k *call, d time.Duration) time.Time {
	at := t.clock.Now().Add(d)
	t.mu.Lock()
	defer t.mu.Unlock()
	if who := t.who(r, k); at.After(t.until[who]) {
		t.until[who] = at
	}
	return at
}

// once sends a request.
func (t *transport) once(r *http.Request, k *call, try int) (*http.Response, *failure) {
	ctx, cancel := context.WithCancelCause(r.Context())
	q := r.Clone(ctx)
	if try > 1 && r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			cancel(nil)
			return nil, &failure{Error: &Error{Op: operation(r), cause: err}}
		}
		q.Body = body
	}
	q.Header.Del("Authorization")
	if t.who(r, k) == 1 {
		q.Header.Set("Authorization", "Bearer "+t.token.value())
	}
	limit := t.callTimeout
	if k.stream || k.upload {
		limit = t.idle
	}
	timer := time.AfterFunc(limit, func() { cancel(errStalled) })
	if k.upload {
		touch := func(last bool) {
			if last {
				timer.Reset(2 * t.idle)
			} else {
				timer.Reset(t.idle)
			}
		}
		k.touch.Store(&touch)
	}
	done := func() {
		timer.Stop()
		k.touch.Store(nil)
		cancel(nil)
	}
	k.sent, k.requestID = true, ""
	resp, err := t.base.RoundTrip(q)
	if err != nil {
		defer done()
		return nil, t.broken(ctx, r, k, 0, err)
	}
	k.requestID = clean(resp.Header.Get("X-GitHub-Request-Id"), t.token)
	limits := t.limits(r, k, resp)
	if k.stream && resp.StatusCode == http.StatusOK {
		timer.Reset(t.idle)
		resp.Body = &streamed{ReadCloser: resp.Body, touch: func() { timer.Reset(t.idle) }, done: done, ctx: ctx}
		return resp, nil
	}
	defer done()
	defer resp.Body.Close()
	good := resp.StatusCode >= 200 && resp.StatusCode < 300
	most := int64(maxFailure)
	if good {
		most = maxAnswer
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if good && err == nil {
		err = sound(resp, body, most)
	}
	if err != nil && (good || resp.StatusCode < 500) {
		return nil, t.broken(ctx, r, k, resp.StatusCode, err)
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if good || resp.StatusCode >= 300 && resp.StatusCode < 400 && resp.Header.Get("Location") != "" {
		return resp, nil
	}
	return nil, t.refused(r, k, resp, body, limits)
}

// sound tells whether a good answer is what the API gives: nothing, or JSON.
func sound(resp *http.Response, body []byte, most int64) error {
	if int64(len(body)) > most {
		return fmt.Errorf("the answer has more than %d bytes", most)
	}
	if len(body) == 0 && resp.StatusCode == http.StatusNoContent {
		return nil
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if !strings.HasSuffix(kind, "json") {
		return errors.New("the answer is no JSON: is a proxy in the way?")
	}
	if !json.Valid(body) {
		return errors.New("the answer is damaged JSON")
	}
	return nil
}

// broken sorts a failure without a whole answer.
func (t *transport) broken(ctx context.Context, r *http.Request, k *call, status int, err error) *failure {
	f := &failure{Error: &Error{Op: operation(r), Status: status, RequestID: k.requestID, cause: plain(err)}, how: lost}
	var dial *net.OpError
	var certificate *tls.CertificateVerificationError
	switch local := k.local.Swap(nil); {
	case local != nil:
		f.cause, f.how = *local, final
	case r.Context().Err() != nil: // ours or not, the caller wants no more
		f.cause, f.how = r.Context().Err(), final
		if isWrite(r.Method) {
			f.kind = ErrUnknown
		}
	case errors.Is(context.Cause(ctx), errStalled):
		f.cause = errStalled
	case errors.As(err, &certificate):
		f.how = final
	case errors.As(err, &dial) && dial.Op == "dial":
		f.how = unsent
	}
	f.cause = hidden{f.cause, t.token}
	return f
}

// hidden keeps the token out of a foreign error's text.
type hidden struct {
	error
	token Token
}

func (h hidden) Error() string { return clean(h.error.Error(), h.token) }
func (h hidden) Unwrap() error { return h.error }

// refused sorts an answer that is an error.
func (t *transport) refused(r *http.Request, k *call, resp *http.Response, body []byte, wait *time.Duration) *failure {
	f := &failure{Error: &Error{Op: operation(r), Status: resp.StatusCode, RequestID: k.requestID}}
	var answer struct {
		Message string          `json:"message"`
		Doc     string          `json:"documentation_url"`
		Errors  json.RawMessage `json:"errors"`
	}
	if json.Unmarshal(body, &answer) == nil {
		f.Message = clean(answer.Message, t.token)
		var list []struct{ Code, Message string }
		if json.Unmarshal(answer.Errors, &list) == nil { // sometimes plain texts
			for _, e := range list {
				if e.Code != "" {
					f.Codes = append(f.Codes, clean(e.Code, t.token))
				}
				if e.Message != "" {
					f.Message = strings.TrimPrefix(f.Message+": "+clean(e.Message, t.token), ": ")
				}
			}
		}
	}
	secondary := strings.HasSuffix(answer.Doc, "secondary-rate-limits") || strings.HasSuffix(answer.Doc, "#abuse-rate-limits")
	switch s := resp.StatusCode; {
	case s == http.StatusTooManyRequests, s == http.StatusForbidden && (wait != nil || secondary):
		f.how = limited
		if wait != nil {
			f.wait = *wait
		}
	case s >= 500 || s == http.StatusRequestTimeout:
		f.how = lost
		if wait != nil {
			f.wait = *wait
		}
	case s == http.StatusUnauthorized:
		f.kind = ErrUnauthorized
	case s == http.StatusForbidden:
		f.kind = ErrForbidden
	case s == http.StatusNotFound:
		f.kind = ErrNotFound
	case s == http.StatusUnprocessableEntity && strings.Contains(f.Message, "was used by an immutable release"):
		f.kind = ErrBurned
	case s == http.StatusUnprocessableEntity && strings.Contains(f.Message, "immutable release"):
		f.kind = ErrImmutable
	case s == http.StatusUnprocessableEntity && slices.Contains(f.Codes, "already_exists"):
		f.kind = ErrExists
	}
	return f
}

// streamed is the body of a download: each read is a sign of life.
type streamed struct {
	io.ReadCloser
	touch, done func()
	ctx         context.Context
}

func (s *streamed) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if n > 0 {
		s.touch()
	}
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(context.Cause(s.ctx), errStalled) {
		err = errStalled
	}
	return n, err
}

func (s *streamed) Close() error {
	defer s.done()
	return s.ReadCloser.Close()
}
