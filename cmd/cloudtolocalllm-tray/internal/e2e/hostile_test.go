//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/rig"
)

// hostile is what the second uid runs: it says lines to a port and prints what
// comes back.
func hostile(args []string) {
	c, err := net.Dial("tcp4", "127.0.0.1:"+args[0])
	if err != nil {
		fmt.Print("no connection")
		return
	}
	_, _ = io.WriteString(c, strings.Join(args[1:], "\n")+"\n")
	_ = c.SetReadDeadline(time.Now().Add(rig.Patience))
	b, err := io.ReadAll(c)
	fmt.Printf("%s", b)
	var e net.Error
	if errors.As(err, &e) && e.Timeout() {
		fmt.Print("the connection stays open")
	}
}

// asNobody runs this test program as another user.
func asNobody(t *testing.T, args ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The test binary lies in a folder that only we can enter.
	dir, err := os.MkdirTemp("", "hostile-") //nolint:usetesting // another user enters it, and t.TempDir lies in a folder that only we can enter
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	_ = os.Chmod(dir, 0o755)
	// Copied by another program: a file that we write ourselves is busy for as
	// long as a child that another test forks holds our descriptors.
	if out, err := exec.Command("install", "-m", "755", self, filepath.Join(dir, "neighbour")).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	cmd := exec.Command(filepath.Join(dir, "neighbour"), append([]string{"hostile"}, args...)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestBug_03_AnotherUserGainsNothing(t *testing.T) {
	t.Parallel()
	rig.NeedRoot(t)
	d := quiet(t)
	mine := d.Dial()
	port := strconv.Itoa(d.Port)
	for _, lines := range [][]string{
		{`{"command":"PING"}`},
		{`{"command":"UPDATE_AUTH_TOKEN","token":"planted"}`, `{"command":"PING"}`},
		{fmt.Sprintf(`{"command":"HELLO","id":1,"proto":1,"token":%q,"role":"app"}`, d.Discovery().Token), `{"command":"SHUTDOWN","id":2}`},
		{`{"command":"QUIT"}`},
	} {
		if out := asNobody(t, append([]string{port}, lines...)...); out != "" {
			t.Errorf("%q was answered with %q", lines, out)
		}
	}
	mine.Say(`{"command":"PING"}`)
	mine.Reply()
	if out, _ := d.Shell("status", "--json"); !strings.Contains(out, `"set":false`) {
		t.Errorf("a token was planted: %s", out)
	}
	// The settings page, even with the link in hand.
	link, _ := d.Shell("settings", "--print")
	at := strings.TrimPrefix(link, "http://127.0.0.1:")
	pagePort, token, _ := strings.Cut(strings.TrimSpace(at), "/#")
	if out := asNobody(t, pagePort, "POST /session HTTP/1.1\r", "Host: 127.0.0.1:"+pagePort+"\r", "Content-Type: application/json\r",
		fmt.Sprintf("Content-Length: %d\r", len(token)+12), "\r", fmt.Sprintf(`{"token":%q}`, token)); out != "" {
		t.Errorf("the settings page answered %q", out)
	}
	// The endpoint without a key, where the same user needs none.
	httpPort := freePort(t)
	if out, code := d.Shell("set", "http.enabled=true", "http.auth=same_user", fmt.Sprintf("http.port=%d", httpPort)); code != 0 {
		t.Fatal(out)
	}
	if out := asNobody(t, strconv.Itoa(httpPort), "GET / HTTP/1.1\r", fmt.Sprintf("Host: 127.0.0.1:%d\r", httpPort), "Connection: close\r", "\r"); !strings.HasPrefix(out, "HTTP/1.1 401") {
		t.Errorf("the endpoint answered %q", out)
	}
}

func TestHello_WrongTokenOrProtocol(t *testing.T) {
	t.Parallel()
	d := quiet(t)
	good := d.Discovery().Token
	for _, hello := range []string{
		`{"command":"HELLO","id":1,"proto":1,"token":"wrong","role":"app"}`, `{"command":"HELLO","id":1,"proto":1,"role":"app"}`,
		fmt.Sprintf(`{"command":"HELLO","id":1,"proto":2,"token":%q}`, good), fmt.Sprintf(`{"command":"HELLO","id":1,"token":%q}`, good), fmt.Sprintf(`{"command":"HELLO","id":1,"proto":1,"token":[%q]}`, good),
	} {
		c := d.Dial()
		c.Say(hello)
		c.Say(`{"command":"PING"}`)
		if said := c.Gone(); said != "" {
			t.Errorf("%s: %q", hello, said)
		}
	}
	for _, command := range []string{"GET_SETTINGS", "SHUTDOWN", "PROXY_STREAM", "GET_DAEMON_STATUS", "OPEN_SETTINGS"} { // not for v1 clients
		c := d.Dial()
		c.Say(fmt.Sprintf(`{"command":%q,"id":1}`, command))
		c.Say(`{"command":"PING"}`)
		if m := c.Reply(); string(m["status"]) != `"pong"` {
			t.Errorf("%s: %v", command, m)
		}
	}
}

func TestHello_UnixSocketNeedsNoToken(t *testing.T) {
	t.Parallel()
	d := quiet(t)
	conn, err := net.Dial("unix", d.Discovery().Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, `{"command":"HELLO","id":1,"proto":1,"client":"x","role":"cli"}`+"\n")
	b := make([]byte, 4096)
	n, err := conn.Read(b)
	if err != nil || !strings.Contains(string(b[:n]), `"max_frame":8388608`) {
		t.Errorf("%q %v", b[:n], err)
	}
}

// A page in a real browser posts to the port, to the endpoint under a foreign
// name, and to the settings page.
func TestBug_03_ABrowserPageGainsNothing(t *testing.T) {
	rig.Need(t, "chromium")
	h := rig.NewHome(t)
	o := rig.NewOllama(t)
	h.Connections(o.URL, "")
	httpPort := freePort(t)
	h.Write("settings.json", fmt.Sprintf(`{"schema":1,"revision":1,"http":{"enabled":true,"port":%d,"auth":"same_user"}}`, httpPort), 0o600)
	d := h.Start("--headless")
	d.WaitState("local_ollama", "connected")
	link, _ := h.Shell("settings", "--print")
	link, token, _ := strings.Cut(strings.TrimSpace(link), "#")
	var report atomic.Value
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/report" {
			b, _ := io.ReadAll(r.Body)
			report.Store(string(b))
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><script>
const steal = '\n{"command":"UPDATE_AUTH_TOKEN","token":"planted"}\n{"command":"PING"}\n';
async function tryIt(name, url, o) {
  try { const r = await fetch(url, o); return name + ": " + (r.type === "opaque" ? "opaque" : r.status + " " + (await r.text())); }
  catch (e) { return name + ": refused"; }
}
(async () => {
  const out = [];
  out.push(await tryIt("port", "http://127.0.0.1:%[1]d/", {method: "POST", mode: "no-cors", body: steal}));
  out.push(await tryIt("port2", "http://localhost:%[1]d/", {method: "POST", mode: "no-cors", body: steal}));
  out.push(await tryIt("chat", "http://127.0.0.1:%[2]d/api/chat", {method: "POST", mode: "no-cors", body: '{"model":"llama3:8b"}'}));
  out.push(await tryIt("chatjson", "http://127.0.0.1:%[2]d/api/chat", {method: "POST", headers: {"Content-Type": "application/json"}, body: '{"model":"llama3:8b"}'}));
  out.push(await tryIt("rebound", "http://evil.test:%[2]d/api/chat", {method: "POST", mode: "no-cors", body: '{"model":"llama3:8b"}'}));
  out.push(await tryIt("session", "%[3]ssession", {method: "POST", mode: "no-cors", body: '{"token":"%[4]s"}'}));
  out.push(await tryIt("state", "%[3]sapi/state", {credentials: "include"}));
  const ws = new WebSocket("ws://127.0.0.1:%[1]d/");
  await new Promise(r => { ws.onerror = ws.onclose = ws.onopen = r; setTimeout(r, 3000); });
  await fetch("/report", {method: "POST", body: out.join("\n")});
  document.title = "done";
})();
</script>`, d.Port, httpPort, link, token)
	}))
	defer srv.Close()
	stop := chromium(t, srv.URL+"/", "--host-resolver-rules=MAP evil.test 127.0.0.1")
	rig.Until(t, "the page's report", func() bool { return report.Load() != nil })
	stop()
	got := report.Load().(string)
	t.Log(got)
	if strings.Contains(got, "200 ") || strings.Contains(got, "message") || strings.Contains(got, "pong") {
		t.Errorf("the page has read something:\n%s", got)
	}
	if out, _ := h.Shell("status", "--json"); !strings.Contains(out, `"set":false`) {
		t.Errorf("a token was planted: %s", out)
	}
	if seen := o.Seen(); len(seen) > 0 {
		t.Errorf("the page has reached the upstream: %v", seen)
	}
	// The link the page had was not spent either: it is refused before it is looked at.
	r, err := http.Post(link+"session", "application/json", strings.NewReader(fmt.Sprintf(`{"token":%q}`, token)))
	if err != nil || r.StatusCode != http.StatusNoContent {
		t.Errorf("%v %v", r, err)
	}
}

// A name that now leads here, as after DNS rebinding: the browser's own request
// to it is same-origin, so Host is what gives it away.
func TestRebinding_EveryServerLooksAtHost(t *testing.T) {
	t.Parallel()
	d, _ := local(t)
	httpPort := freePort(t)
	if out, code := d.Shell("set", "http.enabled=true", "http.auth=same_user", fmt.Sprintf("http.port=%d", httpPort)); code != 0 {
		t.Fatal(out)
	}
	link, _ := d.Shell("settings", "--print")
	page, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(link), "http://127.0.0.1:"), "/")
	for _, port := range []string{strconv.Itoa(httpPort), page} {
		for _, c := range []struct{ head, want string }{
			{"Host: 127.0.0.1:" + port, "200"},
			{"Host: localhost:" + port, "200"},
			{"Host: evil.test:" + port, "403"},
			{"Host: 127.0.0.1", "403"},
			{"Host: ", "403"},
			{"Host: 127.0.0.1.evil.test:" + port, "403"},
			{"Host: 127.0.0.1:" + port + "\r\nOrigin: http://evil.test", "403"},
			{"Host: 127.0.0.1:" + port + "\r\nOrigin: null", "403"},
			{"Host: 127.0.0.1:" + port + "\r\nSec-Fetch-Site: cross-site", "403"},
			{"Host: 127.0.0.1:" + port + "\r\nSec-Fetch-Site: same-site", "403"},
		} {
			for _, method := range []string{"GET", "HEAD"} {
				conn, err := net.Dial("tcp4", "127.0.0.1:"+port)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(conn, "%s / HTTP/1.1\r\n%s\r\nConnection: close\r\n\r\n", method, c.head)
				_ = conn.SetReadDeadline(time.Now().Add(rig.Patience))
				b, _ := io.ReadAll(conn)
				_ = conn.Close()
				if !strings.HasPrefix(string(b), "HTTP/1.1 "+c.want) {
					t.Errorf("%s %q: %.60q, want %s", method, c.head, b, c.want)
				}
				if strings.Contains(string(b), "Access-Control") {
					t.Errorf("CORS headers: %s", b)
				}
			}
		}
	}
}

// program writes a script that can be run.
func program(t *testing.T, path, text string) {
	t.Helper()
	c := exec.Command("sh", "-c", `cat > "$0" && chmod 755 "$0"`, path)
	c.Stdin = strings.NewReader(text)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
}

// chromium shows a page until stop is called.
func chromium(t *testing.T, url string, args ...string) (stop func()) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("chromium", append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-dev-shm-usage", "--user-data-dir=" + dir, "--remote-debugging-port=0",
	}, append(args, url)...)...)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // its whole group, which we made
			<-done
			time.Sleep(100 * time.Millisecond) // its children let go of the folder
		}
	}
	t.Cleanup(stop)
	return stop
}
