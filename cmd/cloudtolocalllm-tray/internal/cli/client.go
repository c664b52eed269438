// Package cli is the daemon's program seen from a shell: the daemon itself, and
// commands that speak to a daemon that runs.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/daemon"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/frame"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/ipc"
)

// client speaks to the running daemon, one request at a time.
type client struct {
	conn  net.Conn
	lines *frame.Reader
	id    int
}

const patience = 15 * time.Second

// dial finds the daemon and says HELLO. A daemon that left its files behind
// when it was killed counts as not running.
func dial(version string) (*client, error) {
	d, err := daemon.Discover()
	if err != nil {
		return nil, err
	}
	var conn net.Conn
	ctx, dialer := context.Background(), net.Dialer{Timeout: time.Second}
	if d.Socket != "" {
		conn, err = dialer.DialContext(ctx, "unix", d.Socket)
	}
	if conn == nil {
		conn, err = dialer.DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(d.Port)))
	}
	if err != nil {
		return nil, daemon.ErrNotRunning
	}
	c := &client{conn: conn, lines: frame.NewReader(conn, ipc.MaxFrame)}
	if _, err := c.ask("HELLO", map[string]any{"proto": ipc.Proto, "token": d.Token, "client": "shell/" + version, "role": "cli"}); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) Close() { _ = c.conn.Close() }

// ask sends a command and returns its result.
func (c *client) ask(command string, fields map[string]any) (json.RawMessage, error) {
	c.id++
	m := map[string]any{"command": command, "id": c.id}
	maps.Copy(m, fields)
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	if _, err := c.conn.Write(append(b, '\n')); err != nil {
		return nil, fmt.Errorf("cannot reach the daemon: %w", err)
	}
	for {
		line, err := c.lines.Next()
		if err != nil {
			return nil, errors.New("the daemon closed the connection")
		}
		var r struct {
			ID     int             `json:"id"`
			Result json.RawMessage `json:"result"`
			Error  string          `json:"error"`
			Code   string          `json:"code"`
		}
		if json.Unmarshal(line, &r) != nil || r.ID != c.id {
			continue // a push
		}
		if r.Code != "" {
			return nil, errors.New(r.Error)
		}
		return r.Result, nil
	}
}
