//go:build linux

package e2e

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/rig"
)

// tab is one page of a browser, spoken to over a WebSocket: the DevTools
// protocol, as far as the tests need it.
type tab struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	id   int
}

func newTab(t *testing.T, ws string) *tab {
	t.Helper()
	u, err := url.Parse(ws)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	key := make([]byte, 16)
	_, _ = rand.Read(key)
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", u.Path, u.Host, base64.StdEncoding.EncodeToString(key))
	b := &tab{t: t, conn: conn, r: bufio.NewReader(conn)}
	_ = conn.SetReadDeadline(time.Now().Add(rig.Patience))
	for {
		line, err := b.r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(line) == "" {
			return b
		}
	}
}

func (b *tab) call(method string, params any) json.RawMessage {
	b.t.Helper()
	b.id++
	if params == nil {
		params = map[string]any{}
	}
	msg, _ := json.Marshal(map[string]any{"id": b.id, "method": method, "params": params})
	head := []byte{0x81, 0x80 | 126, 0, 0, 0, 0, 0, 0} // a mask of zeros
	binary.BigEndian.PutUint16(head[2:], uint16(len(msg)))
	if _, err := b.conn.Write(append(head, msg...)); err != nil {
		b.t.Fatal(err)
	}
	for {
		var m struct {
			ID     int
			Result json.RawMessage
			Error  any
		}
		if err := json.Unmarshal(b.message(), &m); err == nil && m.ID == b.id {
			if m.Error != nil {
				b.t.Fatalf("%s: %v", method, m.Error)
			}
			return m.Result
		}
	}
}

func (b *tab) message() (all []byte) {
	b.t.Helper()
	_ = b.conn.SetReadDeadline(time.Now().Add(rig.Patience))
	for {
		var head [2]byte
		if _, err := io.ReadFull(b.r, head[:]); err != nil {
			b.t.Fatal(err)
		}
		n := uint64(head[1] & 0x7f)
		if n >= 126 {
			ext := make([]byte, map[uint64]int{126: 2, 127: 8}[n])
			_, _ = io.ReadFull(b.r, ext)
			n = 0
			for _, x := range ext {
				n = n<<8 | uint64(x)
			}
		}
		part := make([]byte, n)
		if _, err := io.ReadFull(b.r, part); err != nil {
			b.t.Fatal(err)
		}
		all = append(all, part...)
		if head[0]&0x80 != 0 {
			return all
		}
	}
}

// eval returns what JavaScript gives, as JSON.
func (b *tab) eval(js string) string {
	b.t.Helper()
	var r struct {
		Result struct {
			Value       json.RawMessage
			Description string
		}
	}
	_ = json.Unmarshal(b.call("Runtime.evaluate", map[string]any{"expression": js, "returnByValue": true}), &r)
	if r.Result.Description != "" {
		b.t.Logf("%s: %s", js, r.Result.Description)
	}
	return string(r.Result.Value)
}
