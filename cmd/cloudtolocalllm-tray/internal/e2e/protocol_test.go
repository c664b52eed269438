//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/rig"
)

// Many calls of a v1 client run beside each other; their replies keep the order.
func TestV1_RepliesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	d, o := local(t)
	c := d.Dial()
	var want []string
	for i := range 80 { // more than may run at once
		path := "/api/tags"
		switch i % 3 {
		case 1:
			path = "/api/nothing"
		case 2:
			path = fmt.Sprintf("/..%d/../x", i)
		}
		want = append(want, map[int]string{0: "models", 1: "HTTP 404", 2: "bad path"}[i%3])
		c.Say(fmt.Sprintf(`{"command":"PROXY_REQUEST","path":%q}`, path))
	}
	for i, w := range want {
		m := c.Reply()
		if s := string(m["result"]) + string(m["error"]); !strings.Contains(s, w) {
			t.Fatalf("reply %d is %s, want %s", i, s, w)
		}
	}
	_ = o
}

func TestHello_IdsAndLimits(t *testing.T) {
	t.Parallel()
	d, o := local(t)
	o.Set(func() { o.Lines, o.Pause = 100000, 50_000_000 })
	c := d.Hello("other")
	for i := range 32 {
		c.Say(stream(i+1, "/api/chat"))
		c.Next("start", func(m rig.Message) bool { return m["start"] != nil })
	}
	c.Say(stream(5, "/api/chat"))
	if m := c.Next("refusal", func(m rig.Message) bool { return m["error"] != nil }); string(m["code"]) != `"busy"` {
		t.Errorf("%v", m)
	}
	c.Say(`{"command":"CANCEL","id":1}`)
	c.Say(`{"command":"CANCEL","id":1}`) // harmless
	c.Say(`{"command":"CANCEL","id":999}`)
	if m := c.Next("end", func(m rig.Message) bool { return m["error"] != nil }); string(m["id"]) != "1" || string(m["code"]) != `"cancelled"` {
		t.Errorf("%v", m)
	}
	rig.Until(t, "a place", func() bool {
		c.Say(stream(2, "/api/chat"))
		m := c.Next("refusal", func(m rig.Message) bool { return m["error"] != nil })
		return string(m["code"]) == `"duplicate_id"`
	})
	c.Say(`{"command":"NONSENSE","id":"x"}`)
	if m := c.Answer(`"x"`); string(m["code"]) != `"unknown_command"` {
		t.Errorf("%v", m)
	}
	c.Say(`{"command":"UPDATE_TOOLTIP","id":40,"text":"t"}`)
	if m := c.Answer("40"); string(m["result"]) != "true" {
		t.Errorf("%v", m)
	}
	before := o.Dropped.Load()
	_ = c.Close() // a lost client ends its calls
	rig.Until(t, "the upstream to see it", func() bool { return o.Dropped.Load() >= before+31 })
}

func TestHello_SettingsAndSubscriptions(t *testing.T) {
	t.Parallel()
	d := quiet(t)
	a, b := d.Hello("app"), d.Hello("other")
	b.Say(`{"command":"SUBSCRIBE","id":1,"topics":["settings","tray","connections"]}`)
	if m := b.Answer("1"); !strings.Contains(string(m["result"]), `"mode":"auto"`) || !strings.Contains(string(m["result"]), `"state":"off"`) {
		t.Errorf("%s", m["result"])
	}
	a.Say(`{"command":"GET_SETTINGS","id":1}`)
	var doc struct {
		Revision int
		Settings map[string]any
	}
	if err := json.Unmarshal(a.Answer("1")["result"], &doc); err != nil {
		t.Fatal(err)
	}
	set := func(c *rig.Client, id int, rev int, patch string) rig.Message {
		t.Helper()
		c.Say(fmt.Sprintf(`{"command":"SET_SETTINGS","id":%d,"revision":%d,"settings":%s}`, id, rev, patch))
		return c.Answer(fmt.Sprint(id))
	}
	if m := set(a, 2, doc.Revision, `{"broker":{"mode":"local_only"}}`); m["error"] != nil {
		t.Fatalf("%s", m["error"])
	}
	b.Next("event", func(m rig.Message) bool {
		return string(m["event"]) == `"settings"` && strings.Contains(string(m["data"]), "local_only")
	})
	if m := set(b, 3, doc.Revision, `{"broker":{"mode":"auto"}}`); string(m["code"]) != `"conflict"` {
		t.Errorf("%v", m)
	}
	if m := set(a, 4, doc.Revision+1, `{"broker":{"mode":"auto"},"x":1}`); string(m["code"]) != `"bad_request"` {
		t.Errorf("%v", m)
	}
	a.Say(`{"command":"UPDATE_AUTH_TOKEN","id":5,"token":"very-secret"}`)
	if m := a.Answer("5"); string(m["result"]) != "true" {
		t.Errorf("%v", m)
	}
	for i, command := range []string{"GET_SETTINGS", "GET_DAEMON_STATUS", "GET_CONNECTION_STATUS"} {
		a.Say(fmt.Sprintf(`{"command":%q,"id":%d}`, command, 10+i))
		m := a.Answer(fmt.Sprint(10 + i))
		all, _ := json.Marshal(m)
		if strings.Contains(string(all), "very-secret") {
			t.Errorf("%s tells the token", command)
		}
	}
	if strings.Contains(d.Log(), "very-secret") {
		t.Error("the log tells the token")
	}
	a.Say(`{"command":"SHUTDOWN","id":20}`)
	if m := a.Answer("20"); string(m["result"]) != "true" {
		t.Errorf("%v", m)
	}
	if code := d.Wait(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// SSE passes as text, and no character is ever in two pieces.
func TestHello_TextStreams(t *testing.T) {
	t.Parallel()
	d, _ := local(t)
	c := d.Hello("other")
	c.Say(stream(1, "/v1/chat/completions"))
	text := ""
	for done := false; !done; {
		c.Next("piece", func(m rig.Message) bool {
			if m["error"] != nil {
				t.Fatalf("%s", m["error"])
			}
			var s string
			_ = json.Unmarshal(m["text"], &s)
			text += s
			done = m["done"] != nil
			return true
		})
	}
	if text != "data: {\"x\":\"ä€😀\"}\n\ndata: [DONE]\n\n" {
		t.Errorf("%q", text)
	}
	c.Say(`{"command":"PROXY_STREAM","id":2,"method":"POST","path":"/api/cut","data":{}}`)
	if m := c.Next("end", func(m rig.Message) bool { return m["error"] != nil || m["done"] != nil }); string(m["code"]) != `"upstream_lost"` {
		t.Errorf("%v", m)
	}
}

// A thousand clients are held, and each is answered.
func TestManyClients(t *testing.T) {
	d := quiet(t)
	var all []*rig.Client
	for range 1000 {
		all = append(all, d.Dial())
	}
	for _, c := range all {
		c.Say(`{"command":"PING"}`)
	}
	for _, c := range all {
		c.Reply()
	}
	if out, _ := d.Shell("status"); !strings.Contains(out, "clients   1001") {
		t.Error(out)
	}
}

// What a crowd of clients took is given back when they have left, but for what the runtime keeps of goroutines and sockets
// to use again (measured: 2 kB for each client there has been at once): a second crowd takes nothing more.
func TestMemory_BackAfterACrowd(t *testing.T) {
	t.Parallel()
	d := quiet(t)
	pid := d.Cmd.Process.Pid
	time.Sleep(4 * time.Second) // the start is tidied up after, too
	anon := func() int { return memory(t, pid, "RssAnon:") }
	before := anon()
	crowd := func() (most int) {
		var all []*rig.Client
		for range 500 {
			c := d.Dial()
			c.Say(`{"command":"PING"}`)
			c.Reply()
			all = append(all, c)
		}
		most = anon()
		for _, c := range all {
			_ = c.Close()
		}
		return most
	}
	most := crowd()
	if most < before+3000 {
		t.Fatalf("500 clients took %d kB: nothing to give back", most-before)
	}
	back := func(limit int) func() bool { return func() bool { return anon() <= limit } }
	rig.Until(t, fmt.Sprintf("the memory to be back: %d kB before, %d with the clients", before, most), back(before+2000))
	first := anon()
	crowd()
	rig.Until(t, fmt.Sprintf("the memory to be back after a second crowd: %d kB after the first", first), back(first+500))
}
