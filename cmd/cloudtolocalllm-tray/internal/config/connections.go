package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// The two connections there are.
const (
	Local = "local_ollama"
	Cloud = "cloud_proxy"
)

// Names lists the connections in the order of the original's file.
var Names = [2]string{Local, Cloud}

// Connection is one entry of connection_config.json: the original's seven keys,
// and whatever else stood there, which is kept and never used.
type Connection struct {
	Type      string `json:"connection_type"`
	Host      string `json:"host"`
	Port      int    `json:"port"`
	BaseURL   string `json:"api_base_url"`
	AuthToken string `json:"auth_token"`
	Timeout   int    `json:"timeout"`
	Enabled   bool   `json:"enabled"`

	extra map[string]json.RawMessage
}

func defaultConnection(name string) Connection {
	if name == Cloud {
		return Connection{Type: Cloud, Host: "api.cloudtolocalllm.online", Port: 443, BaseURL: "https://api.cloudtolocalllm.online", Timeout: 30}
	}
	return Connection{Type: Local, Host: "localhost", Port: 11434, BaseURL: "http://localhost:11434", Timeout: 30, Enabled: true}
}

// Endpoint checks a base URL: http or https, a host, perhaps a path; no user,
// query or fragment.
func Endpoint(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("api_base_url is not a URL")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("api_base_url must begin with http:// or https://")
	case u.Hostname() == "":
		return nil, fmt.Errorf("api_base_url names no host")
	case u.User != nil:
		return nil, fmt.Errorf("api_base_url must not hold a user or password")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("api_base_url must not hold a query or fragment")
	case strings.ContainsAny(u.Path, "\\") || hasDots(u.Path):
		return nil, fmt.Errorf("api_base_url holds a path that climbs")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return nil, fmt.Errorf("api_base_url holds a bad port")
		}
	}
	return u, nil
}

func hasDots(path string) bool {
	for s := range strings.SplitSeq(path, "/") {
		if s == "." || s == ".." {
			return true
		}
	}
	return false
}

// Loopback reports whether a host name can only mean this machine.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

func (c *Connection) setBaseURL(raw string) error {
	u, err := Endpoint(raw)
	if err != nil {
		return err
	}
	c.BaseURL, c.Host = raw, u.Hostname()
	switch p := u.Port(); {
	case p != "":
		c.Port, _ = strconv.Atoi(p)
	case u.Scheme == "https":
		c.Port = 443
	default:
		c.Port = 80
	}
	return nil
}

func (c *Connection) validate() error {
	if _, err := Endpoint(c.BaseURL); err != nil {
		return err
	}
	if c.Timeout < 1 || c.Timeout > 3600 {
		return fmt.Errorf("timeout must be 1 to 3600 seconds")
	}
	return nil
}

var entryKeys = [...]string{"connection_type", "host", "port", "api_base_url", "auth_token", "timeout", "enabled"}

// parseConnections reads the original's file. What it cannot use it says in
// problems, and the defaults stand for it; damaged says that bytes would be
// lost if the file were written again.
func parseConnections(raw []byte) (conns map[string]Connection, extra map[string]json.RawMessage, problems []string, damaged bool) {
	conns = map[string]Connection{Local: defaultConnection(Local), Cloud: defaultConnection(Cloud)}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")), &top); err != nil || top == nil {
		return conns, nil, []string{"connection_config.json is not a JSON object: defaults are used"}, true
	}
	for name, entry := range top {
		if name != Local && name != Cloud {
			if extra == nil {
				extra = map[string]json.RawMessage{}
			}
			extra[name] = entry
			problems = append(problems, fmt.Sprintf("connection_config.json: unknown key %q is kept and not used", name))
			continue
		}
		c := defaultConnection(name)
		var keys map[string]json.RawMessage
		if err := json.Unmarshal(entry, &keys); err != nil || keys == nil {
			problems, damaged = append(problems, fmt.Sprintf("connection_config.json: %s is not an object: defaults are used", name)), true
			continue
		}
		fields := map[string]any{
			"connection_type": &c.Type, "host": &c.Host, "port": &c.Port, "api_base_url": &c.BaseURL,
			"auth_token": &c.AuthToken, "timeout": &c.Timeout, "enabled": &c.Enabled,
		}
		for key, value := range keys {
			to, known := fields[key]
			if !known {
				if c.extra == nil {
					c.extra = map[string]json.RawMessage{}
				}
				c.extra[key] = value
				problems = append(problems, fmt.Sprintf("connection_config.json: unknown key %q in %s is kept and not used", key, name))
				continue
			}
			if err := json.Unmarshal(value, to); err != nil {
				problems, damaged = append(problems, fmt.Sprintf("connection_config.json: %s in %s has the wrong type: the default is used", key, name)), true
			}
		}
		def := defaultConnection(name)
		c.Type = name
		if c.BaseURL == "" { // the original's default depends on host and port
			c.BaseURL = def.BaseURL
		}
		if _, err := Endpoint(c.BaseURL); err != nil {
			problems, damaged = append(problems, fmt.Sprintf("connection_config.json: %s: %v: the default is used", name, err)), true
			c.BaseURL = def.BaseURL
		}
		if c.Timeout < 1 || c.Timeout > 3600 {
			problems = append(problems, fmt.Sprintf("connection_config.json: %s: timeout must be 1 to 3600 seconds: 30 is used", name))
			c.Timeout = def.Timeout
		}
		conns[name] = c
	}
	return conns, extra, problems, damaged
}

// printConnections writes the seven keys, in the original's order and with its
// indent, and what was unknown behind them.
func printConnections(conns map[string]Connection, extra map[string]json.RawMessage) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, name := range Names {
		c := conns[name]
		values := [...]any{c.Type, c.Host, c.Port, c.BaseURL, c.AuthToken, c.Timeout, c.Enabled}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:{", name)
		for j, key := range entryKeys {
			v, err := json.Marshal(values[j])
			if err != nil {
				return nil, err
			}
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "%q:%s", key, v)
		}
		if err := printExtra(&b, c.extra); err != nil {
			return nil, err
		}
		b.WriteByte('}')
	}
	if err := printExtra(&b, extra); err != nil {
		return nil, err
	}
	b.WriteByte('}')
	var out bytes.Buffer
	if err := json.Indent(&out, b.Bytes(), "", "  "); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func printExtra(b *bytes.Buffer, extra map[string]json.RawMessage) error {
	if len(extra) == 0 {
		return nil
	}
	m, err := json.Marshal(extra) // sorted, so the file does not change by itself
	if err != nil {
		return err
	}
	b.WriteByte(',')
	b.Write(m[1 : len(m)-1])
	return nil
}

// HostPort is where the connection's host listens.
func (c *Connection) HostPort() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }
