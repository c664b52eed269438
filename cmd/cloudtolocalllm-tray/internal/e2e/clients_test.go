//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/rig"
)

// dart behaves as the original's client does: each piece of the stream is
// decoded by itself, a line in two pieces is lost, and one bad line loses the
// rest of its piece. A key "command" that is no string is an exception.
type dart struct {
	net.Conn
	commands chan map[string]any
	broken   chan string
}

func (d *dart) listen() {
	buf := make([]byte, 64<<10)
	for {
		n, err := d.Read(buf)
		if err != nil {
			close(d.commands)
			return
		}
		for line := range strings.SplitSeq(string(buf[:n]), "\n") {
			if strings.TrimSpace(line) == "" {
				continue
			}
			var m map[string]any
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				d.broken <- line
				break
			}
			if c, has := m["command"]; has {
				_ = c.(string)
				d.commands <- m
			}
		}
	}
}

// The app starts the daemon, sleeps 2.0 s, reads the port file once, connects.
func TestDart_TheOriginalsClient(t *testing.T) {
	t.Parallel()
	o := rig.NewOllama(t)
	o.Set(func() { o.Models = nil })
	for i := range 2000 { // a list that would not fit one piece
		o.Set(func() { o.Models = append(o.Models, fmt.Sprintf("model-with-a-long-name-%04d:latest", i)) })
	}
	h := rig.NewHome(t)
	h.Connections(o.URL, "")
	bin := rig.Binary(t)
	cmd := exec.Command(bin, "--port", "0")
	cmd.Env = h.Environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	time.Sleep(2 * time.Second)
	raw, err := os.ReadFile(h.Config("tray_port"))
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	d := &dart{conn, make(chan map[string]any, 100), make(chan string, 100)}
	go d.listen()
	say := func(v map[string]any) {
		b, _ := json.Marshal(v)
		_, _ = conn.Write(append(b, '\n'))
	}
	say(map[string]any{"command": "PING"})
	say(map[string]any{"command": "UPDATE_TOOLTIP", "text": "CloudToLocalLLM"})
	say(map[string]any{"command": "UPDATE_ICON", "state": "idle"})
	say(map[string]any{"command": "AUTH_STATUS", "authenticated": false})
	o.Kill()
	say(map[string]any{"command": "PROXY_REQUEST", "path": "/v1/models"})
	wait := func(state string) {
		t.Helper()
		for {
			select {
			case m := <-d.commands:
				st, _ := m["status"].(map[string]any)
				if m["command"] == "CONNECTION_STATUS_CHANGED" && m["connection_type"] == "local_ollama" && st["state"] == state {
					for _, k := range []string{"error_message", "version", "models"} {
						if _, ok := st[k]; !ok {
							t.Errorf("%s is missing", k)
						}
					}
					return
				}
			case <-time.After(rig.Patience):
				t.Fatalf("no push of %s", state)
			}
		}
	}
	wait("disconnected")
	o.Revive(t)
	say(map[string]any{"command": "PROXY_REQUEST", "path": "/v1/models"})
	wait("connected")
	for len(d.broken) > 0 {
		if line := <-d.broken; strings.Contains(line, "CONNECTION_STATUS_CHANGED") {
			t.Errorf("a push arrived in pieces: %.80s", line)
		}
	}
	say(map[string]any{"command": "GET_CONNECTION_STATUS"}) // a reply of this length is lost on it, and nothing else
	say(map[string]any{"command": "QUIT"})                  // the app exits
	for range d.commands {
	}
	if out, code := h.Shell("status"); code != 0 {
		t.Errorf("the daemon went with the app: %s", out)
	}
}

// The npm package of Ollama, pointed at the endpoint.
func TestNpm_OllamaClient(t *testing.T) {
	t.Parallel()
	rig.Need(t, "node", "npm")
	dir := t.TempDir()
	npm := exec.Command("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "ollama@0.6.3")
	npm.Dir = dir
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"private":true}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := npm.CombinedOutput(); err != nil {
		rig.Missing(t, fmt.Sprintf("npm cannot install ollama: %v %s", err, out))
	}
	cloud := rig.NewCloud(t, false)
	d, o := local(t)
	o.Set(func() { o.Pause, o.Lines = 20*time.Millisecond, 30 })
	port := freePort(t)
	if out, code := d.Shell("set", "http.enabled=true", fmt.Sprintf("http.port=%d", port), "connections.cloud_proxy.api_base_url="+cloud.URL, "connections.cloud_proxy.enabled=true"); code != 0 {
		t.Fatal(out)
	}
	login(d.Dial(), cloud.Token)
	d.WaitState("cloud_proxy", "connected")
	key, err := os.ReadFile(d.Config("http_key"))
	if err != nil {
		t.Fatal(err)
	}
	script := `
import { Ollama } from "ollama";
const host = "http://127.0.0.1:` + strconv.Itoa(port) + `";
const own = new Ollama({ host, headers: { Authorization: "Bearer ` + strings.TrimSpace(string(key)) + `" } });
const out = {};
out.models = (await own.list()).models.map(m => m.name);
const messages = [{ role: "user", content: "hi" }];
let chunks = 0, text = "", first = 0, last = 0;
for await (const c of await own.chat({ model: "llama3:8b", messages, stream: true })) { chunks++; text += c.message.content; last = Date.now(); first ||= last; }
out.chunks = chunks; out.text = text; out.spread = last - first;
out.whole = (await own.chat({ model: "llama3:8b", messages })).message.content;
try { await own.chat({ model: "none", messages }); } catch (e) { out.missing = String(e.message); }
let seen = 0;
try { for await (const c of await own.chat({ model: "llama3:8b", messages, stream: true })) if (++seen === 3) own.abort(); } catch (e) { out.aborted = e.name; }
await own.delete({ model: "llama3:8b" });
try { await new Ollama({ host }).list(); } catch (e) { out.keyless = e.status_code ?? String(e); }
try { await new Ollama({ host, headers: { Authorization: "Bearer wrong" } }).list(); } catch (e) { out.wrong = e.status_code ?? String(e); }
console.log(JSON.stringify(out));
`
	if err := os.WriteFile(filepath.Join(dir, "try.mjs"), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func() map[string]any {
		t.Helper()
		node := exec.Command("node", "try.mjs")
		node.Dir = dir
		raw, err := node.CombinedOutput()
		raw = bytes.TrimSpace(raw)
		var out map[string]any
		if err != nil || json.Unmarshal(raw[bytes.LastIndexByte(raw, '\n')+1:], &out) != nil { // the package prints lines of its own
			t.Fatalf("%v %s", err, raw)
		}
		return out
	}
	out := run()
	t.Log(out)
	if fmt.Sprint(out["models"]) != "[llama3:8b]" || out["chunks"] != 30.0 || !strings.Contains(out["text"].(string), "29 ä€😀") || out["whole"] != "hello" ||
		!strings.Contains(fmt.Sprint(out["missing"]), "not found") || out["aborted"] != "AbortError" || out["keyless"] != 401.0 || out["wrong"] != 401.0 {
		t.Errorf("%v", out)
	}
	if out["spread"].(float64) < 100 {
		t.Error("the stream came in one piece")
	}
	rig.Until(t, "the upstream to see the abort", func() bool { return o.Dropped.Load() > 0 })
	for _, s := range o.Seen() {
		if a := s.Header.Get("Authorization"); a != "" {
			t.Errorf("a token reached the local upstream")
		}
	}
	// The local Ollama is overloaded: the call goes to the cloud before its first byte.
	o.Fail.Store(503)
	req, _ := http.NewRequest("POST", fmt.Sprintf("http://127.0.0.1:%d/api/chat", port), strings.NewReader(chat))
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(key)))
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	r, err := http.DefaultClient.Do(req)
	if err != nil || r.StatusCode != 200 || r.Header.Get("X-Cloudtolocalllm-Connection") != "cloud_proxy" {
		t.Errorf("%v %v", r, err)
	}
	for _, s := range cloud.Seen() {
		if s.Header.Get("Authorization") != "Bearer "+cloud.Token {
			t.Errorf("the cloud saw %q", s.Header.Get("Authorization"))
		}
	}
	// A new key: the old one is worth nothing.
	if out, code := d.Shell("rotate-key"); code != 0 {
		t.Fatal(out)
	}
	again := req.Clone(t.Context())
	again.Body, _ = req.GetBody()
	if r, err := http.DefaultClient.Do(again); err != nil || r.StatusCode != 401 {
		t.Errorf("%v %v", r, err)
	}
}

// The settings page in a real browser: it shows, tests, saves, and lives.
func TestPage_InChromium(t *testing.T) {
	rig.Need(t, "chromium")
	cloud := rig.NewCloud(t, false)
	d, _ := local(t)
	if out, code := d.Shell("set", "connections.cloud_proxy.api_base_url="+cloud.URL); code != 0 {
		t.Fatal(out)
	}
	link, code := d.Shell("settings", "--print")
	if code != 0 {
		t.Fatal(link)
	}
	dir := t.TempDir()
	out := shots(t, "page.png")
	stop := chromium(t, "about:blank", "--window-size=1000,1250", "--user-data-dir="+dir)
	defer stop()
	var ws string
	rig.Until(t, "the browser", func() bool {
		b, err := os.ReadFile(filepath.Join(dir, "DevToolsActivePort"))
		if err != nil {
			return false
		}
		port, _, whole := strings.Cut(string(b), "\n") // it is not written in one go
		if !whole {
			return false
		}
		r, err := http.Get("http://127.0.0.1:" + port + "/json/list")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		var tabs []struct {
			Type string
			WS   string `json:"webSocketDebuggerUrl"`
		}
		_ = json.NewDecoder(r.Body).Decode(&tabs)
		for _, tab := range tabs {
			if tab.Type == "page" {
				ws = tab.WS
			}
		}
		return ws != ""
	})
	tab := newTab(t, ws)
	tab.call("Page.enable", nil)
	tab.call("Page.navigate", map[string]any{"url": strings.TrimSpace(link)})
	until := func(js string) {
		t.Helper()
		rig.Until(t, js, func() bool { time.Sleep(30 * time.Millisecond); return tab.eval(js) == "true" })
	}
	until(`document.querySelector("[data-connection=local_ollama] .state .text")?.textContent.includes("Connected · version 0.9.0 · 1 model")`)
	until(`location.hash === "" && !location.href.includes("#")`)
	until(`document.cookie === ""`) // HttpOnly
	tab.eval(`document.querySelector("[data-connection=local_ollama] .test").click()`)
	until(`document.querySelector("[data-connection=local_ollama] .result").textContent.startsWith("Works")`)
	// Log in from the page; the live status follows.
	tab.eval(`document.querySelector("#token").value = "` + cloud.Token + `"; document.querySelector("#set-token").click()`)
	until(`document.querySelector("[data-connection=cloud_proxy] .state .text").textContent.includes("Connected · version Cloud Bridge")`)
	until(`document.querySelector("#token").value === "" && !document.documentElement.outerHTML.includes("` + cloud.Token + `")`)
	// Change something and save it.
	tab.eval(`const f = document.querySelector("#form"); f.elements.mode.value = "local_only"; f.elements.http_enabled.checked = true; f.elements.http_port.value = ` + strconv.Itoa(freePort(t)) + `; f.dispatchEvent(new Event("input")); f.requestSubmit()`)
	until(`document.querySelector("#saved").textContent === "Saved."`)
	until(`document.querySelector("#http-where").textContent.startsWith("Listening")`)
	if mode, _ := d.Shell("get", "broker.mode"); strings.TrimSpace(mode) != "local_only" {
		t.Errorf("mode is %q", mode)
	}
	// A change from elsewhere appears by itself.
	if out, code := d.Shell("set", "broker.mode=prefer_cloud"); code != 0 {
		t.Fatal(out)
	}
	until(`document.querySelector("#form").elements.mode.value === "prefer_cloud"`)
	if v := tab.eval(`document.documentElement.scrollWidth <= document.documentElement.clientWidth`); v != "true" {
		t.Error("the page is wider than its window")
	}
	var shot struct{ Data []byte }
	_ = json.Unmarshal(tab.call("Page.captureScreenshot", map[string]any{"format": "png"}), &shot)
	img, err := png.Decode(bytes.NewReader(shot.Data))
	if err != nil {
		t.Fatal(err)
	}
	_ = os.WriteFile(out, shot.Data, 0o644)
	colours := map[any]bool{}
	for y := 0; y < img.Bounds().Dy(); y += 3 {
		for x := 0; x < img.Bounds().Dx(); x += 3 {
			colours[img.At(x, y)] = true
		}
	}
	if len(colours) < 20 {
		t.Errorf("the picture has %d colours only", len(colours))
	}
	// The link works once; a page without a session sees nothing.
	tab.call("Network.clearBrowserCookies", nil)
	tab.call("Page.navigate", map[string]any{"url": "about:blank"})
	tab.call("Page.navigate", map[string]any{"url": strings.TrimSpace(link)})
	until(`document.querySelector("#summary")?.textContent.includes("has been used")`)
	if tab.eval(`document.querySelector("#form").hidden`) != "true" {
		t.Error("a used link shows the settings")
	}
}

// Every command of the shell, and its exit codes.
func TestShell(t *testing.T) {
	t.Parallel()
	h := rig.NewHome(t)
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"--version", 0, "cloudtolocalllm-tray " + rig.Version()},
		{"--help", 0, "--headless"},
		{"-h", 0, "usage:"},
		{"--nonsense", 2, "usage:"},
		{"--port x", 2, "usage:"},
		{"--port 70000", 2, "usage:"},
		{"nonsense", 2, "unknown command"},
		{"status", 3, "not running"},
		{"stop", 0, "not running"},
		{"get", 1, "not running"},
		{"--debug extra", 2, "unexpected"},
	} {
		if out, code := h.Shell(strings.Fields(c.args)...); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit %d, %q", c.args, code, out)
		}
	}
	h.Connections("", "")
	h.Start("--port", "0", "--daemon", "--headless")
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"status", 0, "running"},
		{"status extra", 2, "unexpected"},
		{"get broker.mode", 0, "auto"},
		{"get no.such", 1, "no such"},
		{"set broker.mode=cloud_only log.level=debug", 0, "saved"},
		{"get log.level", 0, "debug"},
		{"set broker.mode=sideways", 1, "must be one of"},
		{"set broker.nonsense=1", 1, "nonsense"},
		{"set", 2, "KEY=VALUE"},
		{"test local_ollama", 1, "disconnected"},
		{"test nothing", 1, "unknown connection"},
		{"set connections.local_ollama.auth_token=x", 1, "auth_token"},
		{"set http.origins=[\"x\"]", 1, "origins"},
		{"settings --print", 0, "http://127.0.0.1:"},
		{"stop", 0, "stopped"},
		{"status", 3, "not running"},
	} {
		if out, code := h.Shell(strings.Fields(c.args)...); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit %d, %q", c.args, code, out)
		}
	}
}
