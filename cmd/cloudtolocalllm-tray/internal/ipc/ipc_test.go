package ipc

import (
	"bytes"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// A reader that stalls is given up; what is pushed at it never waits.
func TestOutboxGivesUp(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp4", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan struct{})
	o := &outbox{conn: s, deadline: 200 * time.Millisecond, onFail: func() { close(failed) }}
	line := append(bytes.Repeat([]byte("x"), 64<<10), '\n')
	for range 1000 {
		o.push(line) // would block for ever if it waited
	}
	select {
	case <-failed:
	case <-time.After(20 * time.Second):
		t.Fatal("it was not given up")
	}
	if _, err := o.send(t.Context(), line); err == nil {
		t.Error("a line was taken after the end")
	}
}

func TestMessage(t *testing.T) {
	for _, bad := range []string{"", "x", "[]", "7", `"x"`, "null", "{", "{}x", `{"a":}`} {
		if m, err := parse([]byte(bad)); err == nil {
			t.Errorf("%q became %v", bad, m)
		}
	}
	m, err := parse([]byte(`{"command":"A","Command":"B","n":7,"b":true,"s":5,"id":"ä"}`))
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := m.text("command", ""); s != "A" {
		t.Error("keys are not exact")
	}
	if _, ok := m.text("s", ""); ok {
		t.Error("a number was taken for a text")
	}
	if b, ok := m.flag("b"); !b || !ok {
		t.Error("flag")
	}
	for raw, want := range map[string]string{`1`: "1", `-5`: "-5", `"x"`: `"x"`, `"\u00e4"`: `"ä"`, `null`: "", `1.5`: "!", `{}`: "!", `[1]`: "!", `true`: "!", `99999999999999999999`: "!", `"` + strings.Repeat("x", 65) + `"`: "!", `"` + strings.Repeat("x", 64) + `"`: `"` + strings.Repeat("x", 64) + `"`} {
		got, ok := message{"id": json.RawMessage(raw)}.id()
		if want == "!" && ok || want != "!" && (got != want || !ok) {
			t.Errorf("id %s: %q %v", raw, got, ok)
		}
	}
}

func TestReplyIsOneLine(t *testing.T) {
	b := reply(`"i"`, "error", "a\nb<c>", "n", 5, "raw", json.RawMessage(`{"x":1}`))
	if string(b) != `{"id":"i","error":"a\nb<c>","n":5,"raw":{"x":1}}`+"\n" {
		t.Errorf("%q", b)
	}
}

func FuzzWholeRunes(f *testing.F) {
	f.Add([]byte("ä€😀"))
	f.Add([]byte{0xf0, 0x9f})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := wholeRunes(b)
		if n > len(b) || len(b)-n >= utf8.UTFMax {
			t.Fatalf("%d of %d", n, len(b))
		}
		if utf8.Valid(b) && n != len(b) {
			t.Fatalf("%q was cut at %d", b, n)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"command":"PING","id":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if err != nil {
			return
		}
		id, ok := m.id()
		if ok && id != "" && !json.Valid([]byte(id)) {
			t.Fatalf("id %q", id)
		}
		if s, ok := m.text("command", ""); ok {
			line := reply(id, "error", s)
			if bytes.Count(line, []byte("\n")) != 1 || ok && id != "" && !json.Valid(line) {
				t.Fatalf("%q", line)
			}
		}
	})
}
