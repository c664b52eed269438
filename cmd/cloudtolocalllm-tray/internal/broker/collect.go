package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"strings"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/frame"
)

// MaxAnswer bounds an answer that is collected into one line.
const MaxAnswer = 8 << 20

// NDJSON reports whether a content type says one JSON value a line.
func NDJSON(contentType string) bool {
	t, _, _ := mime.ParseMediaType(contentType)
	return t == "application/x-ndjson" || t == "application/jsonl" || t == "application/x-jsonlines" || t == "application/ndjson"
}

// Collect reads an answer to its end and returns it as one JSON value. A
// failed call is an *Error whose text is the original's "HTTP n: body". NDJSON
// is joined into the object Ollama would have sent with stream:false.
func Collect(a *Answer, path string) (json.RawMessage, error) {
	defer a.Body.Close()
	if a.Status < 200 || a.Status > 299 {
		return nil, FromStatus(a)
	}
	if NDJSON(a.Header.Get("Content-Type")) {
		return join1(a.Body, path)
	}
	body, err := io.ReadAll(io.LimitReader(a.Body, MaxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(body) > MaxAnswer {
		return nil, tooLarge()
	}
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return json.RawMessage("null"), nil
	}
	if json.Valid(body) {
		var one bytes.Buffer // a line must not hold a line break
		if err := json.Compact(&one, body); err == nil {
			return one.Bytes(), nil
		}
	}
	return json.Marshal(strings.ToValidUTF8(string(body), "\uFFFD"))
}

func tooLarge() error { return &Error{Code: TooLarge, Text: "the answer is larger than 8 MiB"} }

// FromStatus makes the error of an answer that is none.
func FromStatus(a *Answer) *Error {
	body, _ := io.ReadAll(io.LimitReader(a.Body, 64<<10))
	text := strings.ToValidUTF8(strings.TrimSpace(string(body)), "\uFFFD")
	return &Error{Code: UpstreamStatus, Text: "HTTP " + itoa(a.Status) + ": " + text, Status: a.Status}
}

// Reason is what an upstream itself says in an error's text, if it says anything.
func (e *Error) Reason() string {
	_, body, ok := strings.Cut(e.Text, ": ")
	if !ok || e.Code != UpstreamStatus {
		return e.Text
	}
	var v struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal([]byte(body), &v) != nil || len(v.Error) == 0 {
		return e.Text
	}
	var s string
	if json.Unmarshal(v.Error, &s) == nil && s != "" {
		return s
	}
	var o struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(v.Error, &o) == nil && o.Message != "" {
		return o.Message
	}
	return e.Text
}

// join1 reads NDJSON and joins the fragments of chat and generate; of anything
// else the last object is taken. An error object wins.
func join1(r io.Reader, path string) (json.RawMessage, error) {
	path, _, _ = strings.Cut(path, "?")
	var last map[string]json.RawMessage
	var content, thinking, response strings.Builder
	var message map[string]json.RawMessage
	var calls []json.RawMessage
	var raw json.RawMessage
	total := 0
	lines := frame.NewReader(r, MaxAnswer)
	for {
		line, err := lines.Next()
		if errors.Is(err, io.EOF) {
			line = lines.Rest()
		} else if errors.Is(err, frame.ErrTooLong) {
			return nil, tooLarge()
		} else if err != nil {
			return nil, err
		}
		if total += len(line); total > MaxAnswer {
			return nil, tooLarge()
		}
		var o map[string]json.RawMessage
		if len(line) > 0 && json.Unmarshal(line, &o) == nil && o != nil { // what cannot be parsed is skipped, as by the original
			if e, ok := o["error"]; ok {
				var text string
				if json.Unmarshal(e, &text) != nil {
					text = string(e)
				}
				return nil, &Error{Code: UpstreamStatus, Text: text}
			}
			last, raw = o, bytes.Clone(line)
			switch path {
			case "/api/chat":
				var m map[string]json.RawMessage
				if json.Unmarshal(o["message"], &m) == nil && m != nil {
					addText(&content, m["content"])
					addText(&thinking, m["thinking"])
					var c []json.RawMessage
					if json.Unmarshal(m["tool_calls"], &c) == nil {
						calls = append(calls, c...)
					}
					if message == nil {
						message = m
					}
				}
			case "/api/generate":
				addText(&response, o["response"])
				addText(&thinking, o["thinking"])
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
	}
	if last == nil {
		return json.RawMessage("null"), nil
	}
	switch {
	case path == "/api/chat" && message != nil:
		message["content"] = text(content.String())
		if thinking.Len() > 0 {
			message["thinking"] = text(thinking.String())
		}
		if len(calls) > 0 {
			message["tool_calls"] = list(calls)
		}
		m, err := json.Marshal(message)
		if err != nil {
			return nil, err
		}
		last["message"] = m
	case path == "/api/generate" && last["response"] != nil:
		last["response"] = text(response.String())
		if thinking.Len() > 0 {
			last["thinking"] = text(thinking.String())
		}
	default:
		var one bytes.Buffer
		if err := json.Compact(&one, raw); err != nil {
			return nil, err
		}
		return one.Bytes(), nil
	}
	return json.Marshal(last)
}

func addText(to *strings.Builder, raw json.RawMessage) {
	var s string
	if len(raw) > 0 && json.Unmarshal(raw, &s) == nil {
		to.WriteString(s)
	}
}

func text(s string) json.RawMessage {
	b, _ := json.Marshal(s) // a string always prints
	return b
}

func list(of []json.RawMessage) json.RawMessage {
	b, _ := json.Marshal(of) // taken from valid JSON
	return b
}
