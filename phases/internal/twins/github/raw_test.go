package github

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// rawRequest writes bytes to a server, closes its side and returns the answer.
func rawRequest(t *testing.T, base, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", parseURL(t, base).Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	raw, _ := io.ReadAll(conn)
	return strings.ToValidUTF8(string(raw), "?")
}
