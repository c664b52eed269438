package ipc

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/broker"
)

// message is one line of a client: an object, looked at key by key, because
// the original's keys are exact and Go's decoder is not.
type message map[string]json.RawMessage

// parse returns an error for anything but a JSON object.
func parse(line []byte) (message, error) {
	if len(line) == 0 || line[0] != '{' {
		return nil, errors.New("not a JSON object")
	}
	var m message
	if err := json.Unmarshal(line, &m); err != nil {
		return nil, err
	}
	return m, nil
}

// text returns a string, or def when the key is absent or null. ok is false for another type.
func (m message) text(key, def string) (s string, ok bool) {
	raw, has := m[key]
	if !has || string(raw) == "null" {
		return def, true
	}
	if json.Unmarshal(raw, &s) != nil {
		return def, false
	}
	return s, true
}

func (m message) flag(key string) (b, ok bool) {
	raw, has := m[key]
	if !has || string(raw) == "null" {
		return false, true
	}
	err := json.Unmarshal(raw, &b)
	return b, err == nil
}

func (m message) number(key string) (n int64, ok bool) {
	raw, has := m[key]
	if !has || string(raw) == "null" {
		return 0, true
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	return n, err == nil
}

// id returns the id as it was written, "" when there is none. Integers and
// strings of up to 64 bytes will do.
func (m message) id() (string, bool) {
	raw, has := m["id"]
	if !has || string(raw) == "null" {
		return "", true
	}
	if raw[0] == '"' {
		var s string
		if json.Unmarshal(raw, &s) != nil || len(s) > 64 {
			return "", false
		}
		b, err := json.Marshal(s) // one spelling for one id
		return string(b), err == nil
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return "", false
	}
	return strconv.FormatInt(n, 10), true
}

// reply prints an answer: the id first when there is one, then pairs of key and
// value. No reply ever has the key "command".
func reply(id string, pairs ...any) []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	if id != "" {
		b.WriteString(`"id":`)
		b.WriteString(id)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		b.WriteString(pairs[i].(string))
		b.WriteString(`":`)
		appendJSON(&b, pairs[i+1])
	}
	b.WriteString("}\n")
	return b.Bytes()
}

func appendJSON(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case json.RawMessage:
		b.Write(v)
		return
	case bool:
		b.WriteString(strconv.FormatBool(v))
		return
	case int:
		b.WriteString(strconv.Itoa(v))
		return
	}
	at := b.Len()
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		b.Truncate(at)
		b.WriteString("null")
		return
	}
	b.Truncate(b.Len() - 1) // the encoder's line break
}

// codes that are this protocol's own, beside the broker's.
const (
	unknownCommand     = "unknown_command"
	duplicateID        = "duplicate_id"
	conflict           = "conflict"
	storageUnavailable = "storage_unavailable"
	busy               = "busy"
	internal           = "internal"
)

// failure prints an error. A client without HELLO gets the original's shape,
// the text alone.
func (c *client) failure(id string, err error) []byte {
	var e *broker.Error
	if !errors.As(err, &e) {
		e = &broker.Error{Code: broker.BadRequest, Text: err.Error()}
	}
	if c.v1.Load() {
		return reply("", "error", e.Text)
	}
	if e.Status != 0 {
		return reply(id, "error", e.Reason(), "code", e.Code, "http_status", e.Status)
	}
	return reply(id, "error", e.Text, "code", e.Code)
}
