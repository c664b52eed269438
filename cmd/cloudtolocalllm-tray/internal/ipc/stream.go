package ipc

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/broker"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/frame"
)

// proxyStream begins a call whose answer is passed on as it comes. It ends with
// one done or one error, never both.
func (c *client) proxyStream(id string, m message) bool {
	if id == "" {
		return c.answer(c.failure("", errors.New("PROXY_STREAM needs an id")))
	}
	call, err := c.call(m)
	if err != nil {
		return c.answer(c.failure(id, err))
	}
	return c.later(id, func(ctx context.Context) []byte {
		a, err := c.s.Broker.Do(ctx, call)
		if err != nil {
			return c.failure(id, err)
		}
		defer a.Body.Close()
		if a.Status < 200 || a.Status > 299 {
			return c.failure(id, broker.FromStatus(a))
		}
		kind := a.Header.Get("Content-Type")
		if _, err := c.pass(ctx, a, reply(id, "start", map[string]any{"connection": a.Connection, "http_status": a.Status, "content_type": kind})); err != nil {
			return c.failure(id, err)
		}
		if broker.NDJSON(kind) {
			err = c.chunks(ctx, id, a)
		} else {
			err = c.texts(ctx, id, a)
		}
		if err != nil {
			return c.failure(id, err)
		}
		return reply(id, "done", true)
	})
}

// pauser is an answer whose idle clock can stand still.
type pauser interface {
	Pause()
	Resume()
}

// pass hands one line to the client and waits for room: a slow reader slows its
// own upstream, and is not the upstream's fault.
func (c *client) pass(ctx context.Context, a *broker.Answer, line []byte) (kept bool, err error) {
	if p, ok := a.Body.(pauser); ok {
		p.Pause()
		defer p.Resume()
	}
	kept, err = c.out.send(ctx, line)
	var e *broker.Error
	if err != nil && !errors.As(err, &e) {
		err = &broker.Error{Code: broker.Cancelled, Text: "cancelled"}
	}
	return kept, err
}

// chunks passes NDJSON on, line by line. What is no JSON is skipped.
func (c *client) chunks(ctx context.Context, id string, a *broker.Answer) error {
	lines := frame.NewReader(a.Body, MaxFrame).Grow(32 << 10)
	before, after := `{"id":`+id+`,"chunk":`, "}\n"
	var out []byte
	for {
		line, err := lines.Next()
		if errors.Is(err, io.EOF) {
			line = lines.Rest()
		} else if errors.Is(err, frame.ErrTooLong) {
			return &broker.Error{Code: broker.TooLarge, Text: "a line of the answer is longer than 8 MiB"}
		} else if err != nil {
			return err
		}
		if len(line) > 0 && json.Valid(line) {
			out = append(out, before...)
			out = append(out, line...)
			out = append(out, after...)
		}
		// What has come together leaves together, in whole lines.
		if len(out) > 0 && (errors.Is(err, io.EOF) || !lines.Buffered() || len(out) > batch/2) {
			kept, err := c.pass(ctx, a, out)
			if err != nil {
				return err
			}
			if out = out[:0]; kept || cap(out) > 2*batch {
				out = nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
}

// texts passes anything else on, never cutting a character in two.
func (c *client) texts(ctx context.Context, id string, a *broker.Answer) error {
	buf := make([]byte, 16<<10)
	kept := 0
	for {
		n, err := a.Body.Read(buf[kept:])
		n += kept
		whole := n
		if err == nil {
			whole = wholeRunes(buf[:n])
		}
		if whole > 0 {
			if _, perr := c.pass(ctx, a, reply(id, "text", string(buf[:whole]))); perr != nil {
				return perr
			}
		}
		kept = copy(buf, buf[whole:n])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// wholeRunes returns how many bytes of b end with a whole character. What is no
// UTF-8 at all is taken as it is.
func wholeRunes(b []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		last := b[len(b)-i]
		if utf8.RuneStart(last) {
			if last >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-i:]) {
				return len(b) - i
			}
			break
		}
	}
	return len(b)
}
