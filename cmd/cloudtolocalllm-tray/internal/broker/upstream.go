package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/config"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/trust"
)

func itoa(n int) string { return strconv.Itoa(n) }

// clientFor returns the connection's HTTP client, made at its first use: the
// root certificates are loaded then, and only for https.
func (b *Broker) clientFor(u *upstream) (*http.Client, *url.URL, config.Connection, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if u.client == nil {
		dial := &net.Dialer{Timeout: b.pace.DialLimit}
		t := &http.Transport{
			DialContext:         dial.DialContext,
			TLSHandshakeTimeout: b.pace.DialLimit,
			DisableCompression:  true, // bytes pass as they are
			MaxIdleConnsPerHost: 32,   // a new TLS connection costs more than an idle one
			ReadBufferSize:      16 << 10,
			IdleConnTimeout:     30 * time.Second,
			Protocols:           new(http.Protocols),
		}
		t.Protocols.SetHTTP1(true)
		if !config.Loopback(u.base.Hostname()) {
			t.Proxy = http.ProxyFromEnvironment
		}
		if u.base.Scheme == "https" {
			t.TLSClientConfig = &tls.Config{RootCAs: trust.Roots(), MinVersion: tls.VersionTLS12}
		}
		u.client = &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return u.client, u.base, u.conf, u.generation
}

// join lays a call's path and query behind the base URL. What comes out has the
// base's host and lies under the base's path, or it is an error.
func join(base *url.URL, target string) (*url.URL, error) {
	bad := &Error{Code: BadRequest, Text: "bad path"}
	path, query, _ := strings.Cut(target, "?")
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.Contains(target, "#") {
		return nil, bad
	}
	for _, r := range target {
		if r <= ' ' || r == 0x7f || r == '\\' || r == '\uFFFD' {
			return nil, bad
		}
	}
	for decoded, i := path, 0; ; i++ { // an upstream may decode more than once
		if climbs(decoded) {
			return nil, bad
		}
		next, err := url.PathUnescape(decoded)
		if err != nil && i == 0 || i == 8 {
			return nil, bad
		}
		if err != nil || next == decoded {
			break
		}
		decoded = next
	}
	prefix := strings.TrimSuffix(base.EscapedPath(), "/")
	u, err := url.Parse(base.Scheme + "://" + base.Host + prefix + path)
	if err != nil {
		return nil, bad
	}
	u.RawQuery = query
	if u.Host != base.Host || u.Scheme != base.Scheme || u.User != nil || !strings.HasPrefix(u.EscapedPath(), prefix+"/") {
		return nil, bad
	}
	return u, nil
}

// climbs finds what could leave a path's prefix or confuse a server about it.
func climbs(path string) bool {
	for _, r := range path {
		if r < ' ' || r == 0x7f || r == '\\' {
			return true
		}
	}
	for s := range strings.SplitSeq(path, "/") {
		if s == "." || s == ".." || strings.HasPrefix(s, "..;") {
			return true
		}
	}
	return strings.Contains(path, "//")
}

// atCloud translates an Ollama path to the cloud's. Exact matches only; the
// query stays.
func atCloud(set config.BrokerSettings, target string) string {
	path, query, has := strings.Cut(target, "?")
	to, ok := set.CloudPaths[path]
	if !ok {
		to = strings.TrimSuffix(set.CloudPrefix, "/") + path
	}
	if has {
		to += "?" + query
	}
	return to
}

// drop are headers of a client that never reach an upstream.
var drop = map[string]bool{
	"Host": true, "Origin": true, "Referer": true, "Cookie": true, "Authorization": true, "Connection": true,
	"Keep-Alive": true, "Proxy-Authenticate": true, "Proxy-Authorization": true, "Proxy-Connection": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true, "Upgrade": true, "Content-Length": true, "Expect": true, "Forwarded": true, "X-Real-Ip": true, "X-Api-Key": true,
}

func passes(key string) bool {
	key = textproto.CanonicalMIMEHeaderKey(key)
	return !drop[key] && !strings.HasPrefix(key, "Sec-") && !strings.HasPrefix(key, "Proxy-") && !strings.HasPrefix(key, "X-Forwarded-")
}

// send makes one attempt over one connection, without deadline of its own.
// sent reports whether the body can have reached the upstream.
func (b *Broker) send(ctx context.Context, u *upstream, call *Call, body io.Reader, mapped bool) (resp *http.Response, sent bool, err error) {
	client, base, _, _ := b.clientFor(u)
	target := call.Path
	if mapped && u.name == config.Cloud {
		b.mu.Lock()
		set := b.set.Broker
		b.mu.Unlock()
		if _, err := join(base, target); err != nil { // judged before it is translated, too
			return nil, false, err
		}
		target = atCloud(set, target)
	}
	to, err := join(base, target)
	if err != nil {
		return nil, false, err
	}
	var wrote atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, call.Method, to.String(), body)
	if err != nil {
		return nil, false, &Error{Code: BadRequest, Text: "bad request"}
	}
	if call.Size >= 0 && body != nil && req.ContentLength == 0 {
		req.ContentLength = call.Size
	}
	hop := map[string]bool{}
	for _, v := range call.Header["Connection"] {
		for k := range strings.SplitSeq(v, ",") {
			hop[textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(k))] = true
		}
	}
	for k, v := range call.Header {
		if passes(k) && !hop[textproto.CanonicalMIMEHeaderKey(k)] {
			req.Header[k] = v
		}
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "cloudtolocalllm-tray")
	}
	if req.Header.Get("Accept-Encoding") == "" {
		req.Header["Accept-Encoding"] = nil // nothing asked for, nothing added
	}
	if token, _ := b.tokens.Token(u.name); token != "" {
		if base.Scheme == "https" || config.Loopback(base.Hostname()) {
			req.Header.Set("Authorization", "Bearer "+token)
		} else if u.name == config.Cloud {
			return nil, false, errors.New("a token is never sent over plain http: use https")
		}
	}
	resp, err = client.Do(req)
	if err != nil {
		return nil, wrote.Load(), bare(err)
	}
	if s := resp.StatusCode; s >= 300 && s < 400 && s != http.StatusNotModified {
		_ = resp.Body.Close()
		return nil, true, &Error{Code: UpstreamStatus, Text: "HTTP " + itoa(s) + ": a redirect is not followed", Status: s}
	}
	return resp, true, nil
}

// bare takes the URL off an error of the HTTP client.
func bare(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return err
}

// plain is an error's text without what does not concern a person.
func plain(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "Connection closed by the other side"
	}
	return bare(err).Error()
}
