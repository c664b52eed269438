package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Seen is a request that reached an upstream.
type Seen struct {
	Method, Path, Host, Body string
	Header                   http.Header
}

// Ollama behaves as an Ollama does towards the broker.
type Ollama struct {
	*httptest.Server
	Models  []string
	Version string
	Pause   time.Duration // between the lines of a chat
	Lines   int           // of a chat
	Hang    atomic.Bool   // accept and say nothing
	Fail    atomic.Int32  // answer with this status
	Dropped atomic.Int32  // calls whose client went away

	mu   sync.Mutex
	seen []Seen
	addr string
}

// NewOllama starts one on a free port.
func NewOllama(t TB) *Ollama {
	o := &Ollama{Models: []string{"llama3:8b"}, Version: "0.9.0", Lines: 3}
	o.start(t, "127.0.0.1:0")
	t.Cleanup(o.Kill)
	return o
}

func (o *Ollama) start(t TB, addr string) {
	o.Server = httptest.NewUnstartedServer(http.HandlerFunc(o.serve))
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", addr)
	if err != nil {
		t.Fatalf("%v", err)
	}
	_ = o.Listener.Close()
	o.Listener = ln
	o.addr = ln.Addr().String()
	o.Server.Start()
}

// Kill takes it off the network at once.
func (o *Ollama) Kill() {
	o.CloseClientConnections()
	_ = o.Listener.Close()
	go o.Close()
}

// Revive starts it again on the same port.
func (o *Ollama) Revive(t TB) { o.start(t, o.addr) }

// Set changes the fields of one that runs.
func (o *Ollama) Set(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

// Seen returns the requests so far, health checks left out.
func (o *Ollama) Seen() []Seen {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Seen(nil), o.seen...)
}

func (o *Ollama) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	o.mu.Lock()
	models, version, lines, pause := o.Models, o.Version, o.Lines, o.Pause
	o.mu.Unlock()
	if r.URL.Path != "/api/version" && r.URL.Path != "/api/tags" {
		o.mu.Lock()
		o.seen = append(o.seen, Seen{r.Method, r.RequestURI, r.Host, string(body), r.Header.Clone()})
		o.mu.Unlock()
	}
	if o.Hang.Load() {
		<-r.Context().Done()
		o.Dropped.Add(1)
		return
	}
	if s := o.Fail.Load(); s != 0 {
		http.Error(w, `{"error":"told to fail"}`, int(s))
		return
	}
	// A real Ollama refuses foreign hosts and origins.
	if host, _, _ := net.SplitHostPort(r.Host); host != "127.0.0.1" && host != "localhost" || r.Header.Get("Origin") != "" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	say := func(v any) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_ = json.NewEncoder(w).Encode(v)
	}
	var in struct {
		Model  string
		Stream *bool
	}
	_ = json.Unmarshal(body, &in)
	switch path := r.URL.Path; {
	case path == "/":
		fmt.Fprint(w, "Ollama is running")
	case path == "/api/version":
		say(map[string]any{"version": version})
	case path == "/api/tags":
		var m []map[string]any
		for _, n := range models {
			m = append(m, map[string]any{"name": n, "model": n})
		}
		say(map[string]any{"models": m})
	case path == "/api/chat" || path == "/api/generate":
		if !strings.Contains(strings.Join(models, " "), in.Model) {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			w.WriteHeader(http.StatusNotFound)
			say(map[string]any{"error": "model '" + in.Model + "' not found"})
			return
		}
		piece := func(text string, done bool) map[string]any {
			if path == "/api/generate" {
				return map[string]any{"model": in.Model, "response": text, "done": done}
			}
			return map[string]any{"model": in.Model, "message": map[string]any{"role": "assistant", "content": text}, "done": done}
		}
		if in.Stream != nil && !*in.Stream {
			say(piece("hello", true))
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		e := json.NewEncoder(w)
		for i := range lines {
			if r.Context().Err() != nil {
				o.Dropped.Add(1)
				return
			}
			_ = e.Encode(piece(fmt.Sprintf("%d ä€😀 ", i), i == lines-1))
			w.(http.Flusher).Flush()
			if pause > 0 && i < lines-1 {
				select {
				case <-time.After(pause):
				case <-r.Context().Done():
					o.Dropped.Add(1)
					return
				}
			}
		}
	case path == "/api/cut": // dies in the middle of a line
		w.Header().Set("Content-Type", "application/x-ndjson")
		fmt.Fprint(w, "{\"a\":1}\n{\"b\":")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case path == "/api/pull":
		w.Header().Set("Content-Type", "application/x-ndjson")
		fmt.Fprint(w, "{\"status\":\"pulling\"}\nnot json\n{\"status\":\"success\"}\n")
	case path == "/api/fail":
		w.Header().Set("Content-Type", "application/x-ndjson")
		fmt.Fprint(w, "{\"status\":\"pulling\"}\n{\"error\":\"no such model\"}\n{\"status\":\"x\"}\n")
	case path == "/api/delete" && r.Method == http.MethodDelete:
	case path == "/api/created":
		w.WriteHeader(http.StatusCreated)
	case path == "/api/away":
		http.Redirect(w, r, "http://127.0.0.1:1/stolen", http.StatusFound)
	case path == "/v1/chat/completions":
		w.Header().Set("Content-Type", "text/event-stream")
		for _, b := range []byte("data: {\"x\":\"ä€😀\"}\n\ndata: [DONE]\n\n") { // each byte by itself
			_, _ = w.Write([]byte{b})
			w.(http.Flusher).Flush()
		}
	case path == "/v1/models":
		say(map[string]any{"data": []any{}})
	default:
		w.WriteHeader(http.StatusNotFound)
		say(map[string]any{"error": "not found"})
	}
}

// Cloud behaves as the cloud proxy does: a plain-text health, a bearer token,
// an Ollama behind a prefix.
type Cloud struct {
	*httptest.Server
	Token    string
	Redirect atomic.Bool
	Missing  atomic.Bool // it has none of the models
	Answers  string
	Lines    int
	Pause    time.Duration

	mu   sync.Mutex
	seen []Seen
}

// NewCloud starts one; with tls it has a certificate of httptest's.
func NewCloud(t TB, tls bool) *Cloud {
	c := &Cloud{Token: "secret-cloud-token", Answers: "from the cloud"}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(c.serve))
	if tls {
		c.StartTLS()
	} else {
		c.Start()
	}
	t.Cleanup(func() { c.CloseClientConnections(); go c.Close() })
	return c
}

// Seen returns the requests so far, health checks too.
func (c *Cloud) Seen() []Seen {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Seen(nil), c.seen...)
}

func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	c.seen = append(c.seen, Seen{r.Method, r.RequestURI, r.Host, string(body), r.Header.Clone()})
	c.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+c.Token {
		http.Error(w, `{"error":"unauthorized"}`, http.StatusUnauthorized)
		return
	}
	if c.Redirect.Load() {
		http.Redirect(w, r, "http://127.0.0.1:1/stolen", http.StatusTemporaryRedirect)
		return
	}
	switch path := r.URL.Path; {
	case path == "/health":
		fmt.Fprint(w, "healthy")
	case c.Missing.Load():
		w.WriteHeader(http.StatusNotFound)
	case path == "/api/proxy/status":
		fmt.Fprint(w, `{"version":"bridge"}`)
	case path == "/api/ollama/api/chat":
		w.Header().Set("Content-Type", "application/x-ndjson")
		for range c.Lines {
			_ = json.NewEncoder(w).Encode(map[string]any{"message": map[string]any{"role": "assistant", "content": "."}, "done": false})
			w.(http.Flusher).Flush()
			time.Sleep(c.Pause)
		}
		for _, s := range []string{c.Answers, " 2"} {
			_ = json.NewEncoder(w).Encode(map[string]any{"message": map[string]any{"role": "assistant", "content": s}, "done": s == " 2"})
			w.(http.Flusher).Flush()
		}
	default:
		fmt.Fprint(w, `{"via":"cloud"}`)
	}
}

// BlackHole accepts connections and never says anything.
func BlackHole(t TB) (url string) {
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
		}
	}()
	return "http://" + ln.Addr().String()
}
