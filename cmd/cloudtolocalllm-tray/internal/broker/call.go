package broker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/config"
)

// MaxReplay is how much of a body is kept for another try; a larger one goes
// out once.
const MaxReplay = 1 << 20

// Call is what a client wants done.
type Call struct {
	Method     string
	Path       string // with its query, as at an Ollama
	Header     http.Header
	Body       io.Reader // nil: none
	Size       int64     // of Body; -1: unknown
	Connection string    // "" or "auto": the settings decide
}

// Answer is what came back. Body must be closed.
type Answer struct {
	Connection string
	Status     int
	Header     http.Header
	Body       io.ReadCloser
}

// Methods are those a call may have.
var Methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead}

// Changes reports whether a call changes the state of its upstream, so that it
// must not be made twice.
func changes(path string) bool {
	path, _, _ = strings.Cut(path, "?")
	for _, p := range [...]string{"/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete", "/api/blobs"} {
		if path == p || strings.HasPrefix(path, p+"/") {
			return true
		}
	}
	return false
}

// Do makes a call over the best connection and returns when the answer has
// begun. Until then a failure moves it to the next connection. The answer's
// body ends with an *Error when ctx ends, when the upstream goes away, or when
// nothing has come for as long as the settings allow.
func (b *Broker) Do(ctx context.Context, call *Call) (*Answer, error) {
	if !slices.Contains(Methods, call.Method) {
		return nil, &Error{Code: BadRequest, Text: "Unsupported method: " + call.Method}
	}
	if _, err := join(&probe, call.Path); err != nil {
		return nil, err
	}
	candidates, err := b.candidates(ctx, call.Connection)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ended(ctx)
		}
		return nil, err
	}
	body, replay, whole, err := buffered(call.Body)
	if err != nil {
		return nil, &Error{Code: BadRequest, Text: "cannot read the request's body"}
	}
	once := changes(call.Path)
	var last error
	for i, u := range candidates {
		more := i+1 < len(candidates)
		if i > 0 && whole {
			body = replay()
		}
		answer, sent, err := b.attempt(ctx, u, call, body)
		again := more && whole && !(once && sent) // a next try is possible
		switch {
		case err == nil && again && b.elsewhere(answer, call, replay, candidates[i+1:]):
			_ = answer.Body.Close()
			last = &Error{Code: UpstreamStatus, Text: "HTTP " + itoa(answer.Status), Status: answer.Status}
			b.log.Info("call moves on", "from", u.name, "status", answer.Status)
		case err == nil:
			return answer, nil
		case ctx.Err() != nil:
			return nil, ended(ctx)
		default:
			var e *Error
			if errors.As(err, &e) && e.Code != Timeout { // an answer that we do not pass on, not a failure to get one
				return nil, err
			}
			b.log.Info("call failed", "connection", u.name, "moves_on", again, "err", plain(err))
			if last = err; !again {
				return nil, lost(err)
			}
		}
	}
	return nil, lost(last)
}

var probe = *must("http://x")

func must(raw string) *url.URL {
	u, err := config.Endpoint(raw)
	if err != nil {
		panic(err)
	}
	return u
}

func lost(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: UpstreamLost, Text: plain(err)}
}

// elsewhere reports whether an answer is one that another connection may
// better: the upstream is overloaded or gone, or lacks a model that another is
// known to have.
func (b *Broker) elsewhere(a *Answer, call *Call, replay func() io.Reader, others []*upstream) bool {
	switch a.Status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		b.Wake(a.Connection)
		return true
	case http.StatusNotFound:
	default:
		return false
	}
	if call.Body == nil {
		return false
	}
	var want struct {
		Model string `json:"model"`
		Name  string `json:"name"`
	}
	raw, err := io.ReadAll(replay())
	if err != nil || json.Unmarshal(raw, &want) != nil {
		return false
	}
	if want.Model == "" {
		want.Model = want.Name
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, u := range others {
		for _, m := range u.status.Models {
			if want.Model != "" && (m == want.Model || m == want.Model+":latest") {
				return true
			}
		}
	}
	return false
}

// buffered keeps a body of up to MaxReplay for another try.
func buffered(r io.Reader) (body io.Reader, replay func() io.Reader, whole bool, err error) {
	none := func() io.Reader { return nil }
	if r == nil {
		return nil, none, true, nil
	}
	if b, ok := r.(*bytes.Reader); ok && b.Size() <= MaxReplay {
		raw := make([]byte, b.Len())
		if _, err := io.ReadFull(b, raw); err != nil {
			return nil, none, false, err
		}
		again := func() io.Reader { return bytes.NewReader(raw) }
		return again(), again, true, nil
	}
	first, err := io.ReadAll(io.LimitReader(r, MaxReplay+1))
	if err != nil {
		return nil, none, false, err
	}
	if len(first) <= MaxReplay {
		again := func() io.Reader { return bytes.NewReader(first) }
		return again(), again, true, nil
	}
	return io.MultiReader(bytes.NewReader(first), r), none, false, nil
}

// attempt makes the call over one connection: the answer must begin within the
// header timeout and then never be silent for longer than the idle timeout.
func (b *Broker) attempt(ctx context.Context, u *upstream, call *Call, body io.Reader) (*Answer, bool, error) {
	b.mu.Lock()
	headers, idle := time.Duration(b.set.Broker.HeaderTimeout)*b.pace.Second, time.Duration(b.set.Broker.IdleTimeout)*b.pace.Second
	generation := u.generation
	b.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(headers, func() {
		cancel(&Error{Code: Timeout, Text: "no answer within " + headers.String()})
	})
	resp, sent, err := b.send(ctx, u, call, body, true)
	if !timer.Stop() && err == nil { // it fired in the last moment
		_ = resp.Body.Close()
		err = ended(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			e := ended(ctx)
			err = e
			if e.Code == Timeout {
				b.Wake(u.name) // slow is not dead: the health check decides
			}
		} else if e := (*Error)(nil); !errors.As(err, &e) {
			b.failed(u, generation, err)
		}
		cancel(nil)
		return nil, sent, err
	}
	b.mu.Lock()
	b.streams++
	b.total++
	b.mu.Unlock()
	s := &stream{b: b, u: u, generation: generation, ctx: ctx, cancel: cancel, body: resp.Body, idle: idle}
	s.timer = time.AfterFunc(idle, func() {
		cancel(&Error{Code: Timeout, Text: "no data for " + idle.String()})
	})
	h := http.Header{}
	for k, v := range resp.Header {
		if passes(k) && !strings.HasPrefix(k, "Access-Control-") && k != "Set-Cookie" && k != "Www-Authenticate" && k != "Server" && k != "Alt-Svc" {
			h[k] = v
		}
	}
	if resp.ContentLength >= 0 && call.Method != http.MethodHead {
		h.Set("Content-Length", itoa(int(resp.ContentLength)))
	}
	return &Answer{Connection: u.name, Status: resp.StatusCode, Header: h, Body: s}, true, nil
}

// stream is the body of an answer.
type stream struct {
	b          *Broker
	u          *upstream
	generation int
	ctx        context.Context
	cancel     context.CancelCauseFunc
	body       io.ReadCloser
	idle       time.Duration
	timer      *time.Timer
	once       sync.Once
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	if n > 0 {
		s.timer.Reset(s.idle)
	}
	if err == nil || err == io.EOF {
		return n, err
	}
	s.timer.Stop()
	if s.ctx.Err() != nil {
		return n, ended(s.ctx)
	}
	s.b.Wake(s.u.name)
	return n, &Error{Code: UpstreamLost, Text: "the connection was lost in the middle of the answer: " + plain(err)}
}

// Pause stops the clock of the idle timeout while the reader waits for its own client.
func (s *stream) Pause() { s.timer.Stop() }

// Resume starts it again.
func (s *stream) Resume() { s.timer.Reset(s.idle) }

// Close ends the call at the upstream if it has not ended.
func (s *stream) Close() error {
	s.once.Do(func() {
		s.timer.Stop()
		s.cancel(context.Canceled)
		_ = s.body.Close()
		s.b.mu.Lock()
		s.b.streams--
		last, f := s.b.streams == 0, s.b.OnIdle
		s.b.mu.Unlock()
		if last && f != nil {
			f()
		}
	})
	return nil
}
