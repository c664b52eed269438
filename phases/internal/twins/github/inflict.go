package github

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// armed is a fault with its count of matching requests.
type armed struct {
	Fault
	seen, struck int
}

// SetFaults replaces the plan; counting starts anew.
func (s *Server) SetFaults(faults []Fault) error {
	var list []*armed
	for _, f := range faults {
		if f.From == 0 {
			f.From = 1
		}
		if err := f.check(); err != nil {
			return fmt.Errorf("cannot plan fault %q: %w", f, err)
		}
		list = append(list, &armed{Fault: f})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = list
	return nil
}

// Pending returns the faults of the plan that have not struck yet: a test of
// faults that leaves some here has tested less than it says.
func (s *Server) Pending() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Fault
	for _, a := range s.faults {
		if a.struck == 0 {
			list = append(list, a.Fault)
		}
	}
	return list
}

// strike counts a request with every fault it matches and returns the first
// whose turn it is.
func (s *Server) strike(h host, r *http.Request) *Fault {
	var hit *armed
	for _, a := range s.faults {
		if !a.matches(h, r) {
			continue
		}
		a.seen++
		if hit == nil && a.seen >= a.From && (a.To == 0 || a.seen <= a.To) {
			hit = a
		}
	}
	if hit == nil {
		return nil
	}
	hit.struck++
	f := hit.Fault
	return &f
}

// faultKey carries those faults that the handlers themselves carry out.
type faultKey struct{}

var errPlanned = errors.New("the connection broke, as planned")

// inflict lets a request meet its fault.
func (s *Server) inflict(f *Fault, h host, next http.Handler, w *logged, r *http.Request) {
	answer := func(do func(c *call) reply) {
		c := newCall(s, h, w, r, docsURL)
		c.send(c.locked(func() reply {
			if c.token, _ = c.authorization(r); h == hostAPI {
				used, perHour := c.limits.window(c)
				rateHeaders(w.Header(), perHour, used)
			}
			return do(c)
		}))
	}
	switch f.Effect {
	case Fail, Cut:
		switch {
		case f.Done:
			next.ServeHTTP(&nowhere{w.Header().Clone()}, r)
		case f.Bytes >= 0:
			// The handler sees a body that breaks off.
			r.Body = &brokenBody{ReadCloser: r.Body, left: f.Bytes}
			next.ServeHTTP(&nowhere{w.Header().Clone()}, r)
		}
		if f.Effect == Cut {
			w.done(0)
			panic(http.ErrAbortHandler) // net/http closes the connection
		}
		errorPage(w, f.Status)
	case Exists:
		answer(func(c *call) reply {
			bad := c.invalid(fieldError{Resource: "ReleaseAsset", Code: "already_exists", Field: "name"})
			bad.value.(map[string]any)["request_id"] = c.id
			return bad
		})
	case Secondary, TooMany:
		answer(func(c *call) reply {
			status := http.StatusForbidden
			if f.Effect == TooMany {
				status = http.StatusTooManyRequests
			}
			bad := c.secondary(status)
			bad.header = retryAfter(f, s.clock.Now())
			return bad
		})
	case Primary:
		answer(func(c *call) reply {
			bad := c.exceeded()
			reset := s.clock.Now().Add(f.Delay)
			bad.header = http.Header{
				"X-Ratelimit-Limit": {"5000"}, "X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Used": {"5000"},
				"X-Ratelimit-Reset": {strconv.FormatInt(reset.Unix(), 10)}, "X-Ratelimit-Resource": {"core"},
			}
			return *bad
		})
	case Unauthorized:
		answer(func(c *call) reply { return c.failure(http.StatusUnauthorized, "Bad credentials") })
	case Truncate:
		next.ServeHTTP(&truncated{ResponseWriter: w, left: f.Bytes}, r)
	case Flip:
		next.ServeHTTP(&flipped{ResponseWriter: w, at: f.Bytes}, r)
	case SlowRead:
		r.Body = &slowBody{ReadCloser: r.Body, s: s, ctx: r.Context(), rate: f.Bytes}
		next.ServeHTTP(w, r)
	case SlowWrite:
		next.ServeHTTP(&slowWriter{ResponseWriter: w, s: s, ctx: r.Context(), rate: f.Bytes}, r)
	case Delay:
		if s.clock.Sleep(r.Context(), f.Delay) != nil {
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
	default: // Late, Stale, Undigested, Renamed
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), faultKey{}, f)))
	}
}

// errorPage answers what a proxy before GitHub answers: HTML, not JSON, for 502 to
// 504; other failures come from GitHub itself.
func errorPage(w http.ResponseWriter, status int) {
	w.Header().Set("Connection", "close")
	text := fmt.Sprintf(`{"message":"Server Error","status":"%d"}`, status)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if status >= 502 && status <= 504 {
		w.Header().Set("Content-Type", "text/html")
		text = fmt.Sprintf("<html>\n<head><title>%d %s</title></head>\n<body><h1>Unicorn!</h1></body>\n</html>\n", status, http.StatusText(status))
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func retryAfter(f *Fault, now time.Time) http.Header {
	switch {
	case !f.HasDelay:
		return nil
	case f.Date:
		return http.Header{"Retry-After": {now.Add(f.Delay).UTC().Format(http.TimeFormat)}}
	}
	return http.Header{"Retry-After": {strconv.FormatInt(int64(f.Delay.Round(time.Second)/time.Second), 10)}}
}

// nowhere swallows an answer.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) WriteHeader(int)             {}
func (n *nowhere) Write(b []byte) (int, error) { return len(b), nil }

// brokenBody breaks off after some bytes, and at its end when it has fewer: the
// handler never sees it whole.
type brokenBody struct {
	io.ReadCloser
	left int64
}

func (b *brokenBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errPlanned
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = errPlanned
	}
	return n, err
}

// truncated lets some bytes through and closes the connection, so that the
// client has less than Content-Length said.
type truncated struct {
	http.ResponseWriter
	left int64
}

func (t *truncated) Write(b []byte) (int, error) {
	if int64(len(b)) < t.left {
		t.left -= int64(len(b))
		return t.ResponseWriter.Write(b)
	}
	_, _ = t.ResponseWriter.Write(b[:t.left])
	_ = http.NewResponseController(t.ResponseWriter).Flush() // the bytes before the end
	panic(http.ErrAbortHandler)
}

// flipped inverts the lowest bit of one byte.
type flipped struct {
	http.ResponseWriter
	at int64
}

func (f *flipped) Write(b []byte) (int, error) {
	if f.at >= 0 && f.at < int64(len(b)) {
		b = append([]byte(nil), b...)
		b[f.at] ^= 1
	}
	f.at -= int64(len(b))
	return f.ResponseWriter.Write(b)
}

// slowBody reads rate bytes a second, in parts of a tenth.
type slowBody struct {
	io.ReadCloser
	s    *Server
	ctx  context.Context
	rate int64
}

func (b *slowBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), max(1, b.rate/10))])
	if pause := b.s.clock.Sleep(b.ctx, spend(n, b.rate)); pause != nil && err == nil {
		err = pause
	}
	return n, err
}

// slowWriter writes rate bytes a second, in parts of a tenth.
type slowWriter struct {
	http.ResponseWriter
	s    *Server
	ctx  context.Context
	rate int64
}

func (w *slowWriter) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		part := b[done:min(len(b), done+int(max(1, w.rate/10)))]
		n, err := w.ResponseWriter.Write(part)
		done += n
		if err != nil {
			return done, err
		}
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		if err := w.s.clock.Sleep(w.ctx, spend(n, w.rate)); err != nil {
			return done, err
		}
	}
	return done, nil
}

func spend(n int, rate int64) time.Duration {
	return time.Duration(float64(n) / float64(rate) * float64(time.Second))
}

// A lag hides something from a number of looks, or until a time.
type lag struct {
	calls int
	until time.Time
}

func (f *Fault) lag(now time.Time) lag {
	if f.HasDelay {
		return lag{until: now.Add(f.Delay)}
	}
	return lag{calls: f.Calls}
}

// hides counts one look.
func (l *lag) hides(now time.Time) bool {
	if l.calls > 0 {
		l.calls--
		return true
	}
	return now.Before(l.until)
}
