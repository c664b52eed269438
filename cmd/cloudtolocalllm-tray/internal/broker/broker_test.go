package broker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/broker"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/config"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/rig"
)

type tokens struct {
	sync.Mutex
	m map[string]string
}

func (k *tokens) Token(name string) (string, bool) {
	k.Lock()
	defer k.Unlock()
	return k.m[name], true
}

// quick runs on a clock a hundred times as fast.
var quick = broker.Pace{
	CheckLimit: 5 * time.Second, RetryFirst: 10 * time.Millisecond, RetryMost: 50 * time.Millisecond, TagsEvery: 50 * time.Millisecond,
	Second: 10 * time.Millisecond, DialLimit: time.Second, FirstRoundIn: 5 * time.Second,
}

type world struct {
	*broker.Broker
	store *config.Store
	keys  *tokens
	set   func(patch string)
}

func newWorld(t *testing.T, local, cloud string) *world {
	t.Helper()
	store, err := config.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{store: store, keys: &tokens{m: map[string]string{config.Cloud: "secret-cloud-token"}}}
	w.set = func(patch string) {
		t.Helper()
		if _, err := store.Patch(store.Now().Revision, []byte(patch)); err != nil {
			t.Fatal(err)
		}
	}
	conn := func(url string) string {
		if url == "" {
			return `{"enabled":false}`
		}
		return fmt.Sprintf(`{"enabled":true,"api_base_url":%q}`, url)
	}
	w.set(fmt.Sprintf(`{"broker":{"header_timeout_s":500},"connections":{"local_ollama":%s,"cloud_proxy":%s}}`, conn(local), conn(cloud)))
	w.Broker = broker.New(store.Now(), w.keys, quick, slog.New(slog.NewTextHandler(io.Discard, nil)))
	store.Listen(w.Configure)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { w.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

func (w *world) wait(t *testing.T, name, state string) {
	t.Helper()
	rig.Until(t, name+" to be "+state, func() bool { return w.Status()[name].State == state })
}

func chatCall() *broker.Call {
	body := `{"model":"llama3:8b","stream":false}`
	return &broker.Call{Method: "POST", Path: "/api/chat", Body: bytes.NewReader([]byte(body)), Size: int64(len(body)), Header: http.Header{"Content-Type": {"application/json"}}}
}

func (w *world) served(t *testing.T, c *broker.Call) (by string, err error) {
	t.Helper()
	a, err := w.Do(t.Context(), c)
	if err != nil {
		return "", err
	}
	_, err = broker.Collect(a, c.Path)
	return a.Connection, err
}

func TestFailoverAndBack(t *testing.T) {
	t.Parallel()
	o, c := rig.NewOllama(t), rig.NewCloud(t, false)
	w := newWorld(t, o.URL, c.URL)
	w.wait(t, config.Local, broker.Connected)
	w.wait(t, config.Cloud, broker.Connected)
	expect := func(want string) {
		t.Helper()
		if by, err := w.served(t, chatCall()); by != want || err != nil {
			t.Errorf("served by %q (%v), want %s", by, err, want)
		}
	}
	expect(config.Local)
	o.Kill()
	expect(config.Cloud) // this very call, before any health check
	o.Revive(t)
	w.wait(t, config.Local, broker.Connected)
	expect(config.Local)
	for _, status := range []int32{502, 503, 504} {
		o.Fail.Store(status)
		expect(config.Cloud)
		o.Fail.Store(0)
		w.wait(t, config.Local, broker.Connected)
	}
	o.Fail.Store(500) // an answer, though a bad one
	if _, err := w.served(t, chatCall()); err == nil {
		t.Error("a 500 was passed over")
	}
	o.Fail.Store(0)
	w.wait(t, config.Local, broker.Connected)
	// What changes state is not made twice.
	o.Fail.Store(503)
	pull := chatCall()
	pull.Path = "/api/pull"
	if by, err := w.served(t, pull); by == config.Cloud || err == nil {
		t.Errorf("a pull went to %s as well, %v", by, err)
	}
	o.Fail.Store(0)
	w.wait(t, config.Local, broker.Connected)
	// A body too large to keep goes out once.
	o.Fail.Store(503)
	big := chatCall()
	big.Body, big.Size = io.LimitReader(rigZeros{}, broker.MaxReplay+10), broker.MaxReplay+10
	if by, err := w.served(t, big); by == config.Cloud || err == nil {
		t.Errorf("%s %v", by, err)
	}
}

type rigZeros struct{}

func (rigZeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestModes(t *testing.T) {
	t.Parallel()
	o, c := rig.NewOllama(t), rig.NewCloud(t, false)
	w := newWorld(t, o.URL, c.URL)
	w.wait(t, config.Local, broker.Connected)
	w.wait(t, config.Cloud, broker.Connected)
	for mode, want := range map[string]string{config.Auto: config.Local, config.LocalOnly: config.Local, config.PreferCloud: config.Cloud, config.CloudOnly: config.Cloud} {
		w.set(fmt.Sprintf(`{"broker":{"mode":%q}}`, mode))
		if by, err := w.served(t, chatCall()); by != want || err != nil {
			t.Errorf("%s: %s %v", mode, by, err)
		}
	}
	w.set(`{"broker":{"mode":"local_only"}}`)
	before := len(c.Seen())
	o.Kill()
	call := chatCall()
	if by, err := w.served(t, call); err == nil {
		t.Errorf("a prompt left the machine to %s", by)
	}
	call = chatCall()
	call.Connection = config.Cloud
	var e *broker.Error
	if _, err := w.served(t, call); !errors.As(err, &e) || e.Code != broker.NoConnection {
		t.Error(err)
	}
	for _, s := range c.Seen()[before:] {
		if s.Path != "/health" {
			t.Errorf("the cloud was asked for %s", s.Path)
		}
	}
}

func TestAMissingModelIsAnAnswerUnlessAnotherHasIt(t *testing.T) {
	t.Parallel()
	o, c := rig.NewOllama(t), rig.NewCloud(t, false)
	w := newWorld(t, o.URL, c.URL)
	w.wait(t, config.Local, broker.Connected)
	w.wait(t, config.Cloud, broker.Connected)
	body := `{"model":"none"}`
	call := &broker.Call{Method: "POST", Path: "/api/chat", Body: bytes.NewReader([]byte(body)), Size: int64(len(body))}
	before := len(c.Seen())
	var e *broker.Error
	if _, err := w.served(t, call); !errors.As(err, &e) || e.Status != 404 {
		t.Error(err)
	}
	for _, s := range c.Seen()[before:] {
		if strings.Contains(s.Path, "chat") {
			t.Error("the call went on to the cloud")
		}
	}
	// The cloud first, and it lacks what the local one lists.
	c.Missing.Store(true)
	w.set(`{"broker":{"mode":"prefer_cloud"}}`)
	if by, err := w.served(t, chatCall()); by != config.Local || err != nil {
		t.Errorf("%s %v", by, err)
	}
}

func TestTokenStaysWhereItBelongs(t *testing.T) {
	t.Parallel()
	o, c := rig.NewOllama(t), rig.NewCloud(t, false)
	w := newWorld(t, o.URL, c.URL+"/base")
	w.wait(t, config.Local, broker.Connected)
	rig.Until(t, "the cloud", func() bool { return len(c.Seen()) > 0 })
	call := chatCall()
	for k, v := range map[string]string{"Authorization": "Bearer client", "Origin": "http://evil", "Referer": "x", "Cookie": "x", "Sec-Fetch-Site": "x", "X-Forwarded-For": "x", "Proxy-Authorization": "x", "Connection": "X-Hop", "X-Hop": "x", "X-Fine": "y"} {
		call.Header.Set(k, v)
	}
	if _, err := w.served(t, call); err != nil {
		t.Fatal(err)
	}
	h := o.Seen()[len(o.Seen())-1].Header
	for _, k := range []string{"Authorization", "Origin", "Referer", "Cookie", "Sec-Fetch-Site", "X-Forwarded-For", "Proxy-Authorization", "X-Hop"} {
		if h.Get(k) != "" {
			t.Errorf("%s reached the upstream", k)
		}
	}
	if h.Get("X-Fine") != "y" {
		t.Error("a harmless header was lost")
	}
	for _, s := range c.Seen() {
		if s.Header.Get("Authorization") != "Bearer secret-cloud-token" {
			t.Error("the cloud lacks its token")
		}
	}
	// A redirect gets nothing, and is not passed on.
	c.Redirect.Store(true)
	w.set(`{"broker":{"mode":"cloud_only"}}`)
	w.TokenChanged(config.Cloud)
	w.wait(t, config.Cloud, broker.Failed)
	if s := w.Status()[config.Cloud].Error; !strings.Contains(s, "redirect") {
		t.Error(s)
	}
	// Plain http to another machine never carries a token.
	w.set(`{"connections":{"cloud_proxy":{"api_base_url":"http://192.0.2.1"}}}`)
	rig.Until(t, "the refusal", func() bool { return strings.Contains(w.Status()[config.Cloud].Error, "plain http") })
}

func TestRecoveryAndPushes(t *testing.T) {
	t.Parallel()
	o := rig.NewOllama(t)
	w := newWorld(t, o.URL, "")
	var mu sync.Mutex
	var states []string
	w.Listen(func(name string, was, is broker.Status) {
		mu.Lock()
		defer mu.Unlock()
		if name == config.Local && was.State != is.State {
			states = append(states, is.State)
		}
	})
	w.wait(t, config.Local, broker.Connected)
	if st := w.Status()[config.Local]; st.Version != "0.9.0" || len(st.Models) != 1 || st.LastCheck == 0 {
		t.Errorf("%+v", st)
	}
	o.Kill()
	w.wait(t, config.Local, broker.Disconnected)
	if st := w.Status()[config.Local]; st.Version != "" || len(st.Models) != 0 || st.Error != "Connection refused" {
		t.Errorf("%+v", st)
	}
	if s, best := w.Summary(); s != "error" || best != "" {
		t.Error(s, best)
	}
	o.Set(func() { o.Models = []string{"new:1"} })
	o.Revive(t)
	w.wait(t, config.Local, broker.Connected)
	rig.Until(t, "the new model", func() bool { m := w.Status()[config.Local].Models; return len(m) == 1 && m[0] == "new:1" })
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(states, " "); !strings.HasSuffix(got, "connected disconnected connected") {
		t.Error(got)
	}
}

func TestIdleTimeoutAndHeaderTimeout(t *testing.T) {
	t.Parallel()
	var gone atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/version", "/api/tags":
			fmt.Fprint(w, "{}")
		case "/silent":
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			gone.Add(1)
		default:
			fmt.Fprint(w, "some")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			gone.Add(1)
		}
	}))
	defer srv.Close()
	w := newWorld(t, srv.URL, "")
	w.wait(t, config.Local, broker.Connected)
	w.set(`{"broker":{"idle_timeout_s":20,"header_timeout_s":20}}`)
	var e *broker.Error
	a, err := w.Do(t.Context(), &broker.Call{Method: "GET", Path: "/half"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(a.Body); !errors.As(err, &e) || e.Code != broker.Timeout {
		t.Error(err)
	}
	_ = a.Body.Close()
	if _, err := w.Do(t.Context(), &broker.Call{Method: "GET", Path: "/silent"}); !errors.As(err, &e) || e.Code != broker.Timeout {
		t.Error(err)
	}
	rig.Until(t, "the upstream to see both ends", func() bool { return gone.Load() == 2 })
	rig.Until(t, "no stream to be left", func() bool { n, _ := w.Streams(); return n == 0 })
	w.wait(t, config.Local, broker.Connected) // slow is not dead
}

func TestCancelReachesTheUpstream(t *testing.T) {
	t.Parallel()
	o := rig.NewOllama(t)
	o.Set(func() { o.Lines, o.Pause = 1000, 10*time.Millisecond })
	w := newWorld(t, o.URL, "")
	w.wait(t, config.Local, broker.Connected)
	ctx, cancel := context.WithCancel(t.Context())
	body := `{"model":"llama3:8b"}`
	a, err := w.Do(ctx, &broker.Call{Method: "POST", Path: "/api/chat", Body: strings.NewReader(body), Size: int64(len(body))})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = a.Body.Read(make([]byte, 10))
	cancel()
	var e *broker.Error
	if _, err := io.ReadAll(a.Body); !errors.As(err, &e) || e.Code != broker.Cancelled {
		t.Error(err)
	}
	rig.Until(t, "the upstream to see it", func() bool { return o.Dropped.Load() > 0 })
	_ = a.Body.Close()
}

func TestToolCallsAndThinkingAreJoined(t *testing.T) {
	t.Parallel()
	lines := `{"model":"m","message":{"role":"assistant","content":"","thinking":"a"},"done":false}
{"model":"m","message":{"role":"assistant","content":"x","thinking":"b"},"done":false}
nonsense
{"model":"m","message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f"}}]},"done":false}
{"model":"m","message":{"role":"assistant","content":"y"},"done":true,"total_duration":5}`
	raw, err := broker.Collect(&broker.Answer{Status: 200, Header: http.Header{"Content-Type": {"application/x-ndjson"}}, Body: io.NopCloser(strings.NewReader(lines))}, "/api/chat?x=1")
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	_ = json.Unmarshal(raw, &got)
	m := got["message"].(map[string]any)
	if m["content"] != "xy" || m["thinking"] != "ab" || len(m["tool_calls"].([]any)) != 1 || got["total_duration"] != 5.0 || got["done"] != true {
		t.Errorf("%s", raw)
	}
	big := io.NopCloser(io.LimitReader(rigZeros{}, broker.MaxAnswer+10))
	var e *broker.Error
	if _, err := broker.Collect(&broker.Answer{Status: 200, Header: http.Header{}, Body: big}, "/"); !errors.As(err, &e) || e.Code != broker.TooLarge {
		t.Error(err)
	}
}
