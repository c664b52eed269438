//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/rig"
)

// quiet starts a daemon without connections.
func quiet(t *testing.T) *rig.Daemon {
	t.Helper()
	h := rig.NewHome(t)
	h.Connections("", "")
	return h.Start("--headless")
}

// local starts a daemon with a healthy Ollama.
func local(t *testing.T) (*rig.Daemon, *rig.Ollama) {
	t.Helper()
	o := rig.NewOllama(t)
	h := rig.NewHome(t)
	h.Connections(o.URL, "")
	d := h.Start("--headless")
	d.WaitState("local_ollama", "connected")
	return d, o
}

func login(c *rig.Client, token string) {
	c.Say(fmt.Sprintf(`{"command":"UPDATE_AUTH_TOKEN","token":%q}`, token))
}

// The original never answered anybody, and a shipped script looked for PONG.
func TestBug_01_PingIsAnswered(t *testing.T) {
	t.Parallel()
	c := quiet(t).Dial()
	c.Say(`{"command": "PING"}`)
	line, err := c.Line()
	if err != nil || !strings.Contains(line, `"status":"pong"`) || !strings.Contains(line, "PONG") || strings.Contains(line, "command") {
		t.Fatalf("%q %v", line, err)
	}
}

func TestBug_02_RepliesAreToldFromPushes(t *testing.T) {
	t.Parallel()
	d, o := local(t)
	o.Set(func() { o.Pause = 20 * time.Millisecond })
	o.Set(func() { o.Lines = 20 })
	c := d.Hello("app")
	c.Say(stream(1, "/api/chat"))
	c.Say(stream(`"two"`, "/api/generate"))
	pushes, over := d.Hello("other"), make(chan struct{})
	go func() {
		defer close(over)
		for i := range 20 {
			// Each login and logout changes the cloud's state, if it is waited for: one that is taken back at once
			// is nothing to tell anybody of.
			for _, token := range []string{"x", ""} {
				id := fmt.Sprintf(`"%d%s"`, i, token)
				pushes.Say(fmt.Sprintf(`{"command":"UPDATE_AUTH_TOKEN","id":%s,"token":%q}`, id, token))
				pushes.Answer(id)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	defer func() { <-over }()
	got, ends := map[string]int{}, map[string]int{}
	sawPush := false
	for ends["1"] == 0 || ends[`"two"`] == 0 || !sawPush {
		c.Next("message", func(m rig.Message) bool {
			switch {
			case m["command"] != nil:
				sawPush = true
				if m["id"] != nil {
					t.Errorf("a push with an id")
				}
			case m["chunk"] != nil:
				got[string(m["id"])]++
			case m["done"] != nil || m["error"] != nil:
				ends[string(m["id"])]++
				if m["error"] != nil {
					t.Errorf("%s", m["error"])
				}
			}
			return true
		})
	}
	if got["1"] != 20 || got[`"two"`] != 20 || ends["1"] != 1 || ends[`"two"`] != 1 {
		t.Errorf("chunks %v, ends %v", got, ends)
	}
}

func TestBug_03_HTTPPostRunsNothing(t *testing.T) {
	t.Parallel()
	d := quiet(t)
	for _, first := range []string{"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n\r\n", "[1]\n", "\"x\"\n", "7\n", "{\"command\":\n", "\x16\x03\x01\n"} {
		c := d.Dial()
		c.Say(first + `{"command":"UPDATE_AUTH_TOKEN","token":"planted"}` + "\n" + `{"command":"PING"}`)
		if said := c.Gone(); said != "" {
			t.Errorf("after %q it said %q", first, said)
		}
	}
	if out, _ := d.Shell("status", "--json"); !strings.Contains(out, `"set":false`) {
		t.Errorf("a token was planted: %s", out)
	}
}

func TestBug_04_ModesWhateverTheUmask(t *testing.T) {
	t.Parallel()
	for _, mask := range []int{0o022, 0} {
		o := rig.NewOllama(t)
		h := rig.NewHome(t)
		// What the original left: everything open, the token inside.
		h.Write("connection_config.json", fmt.Sprintf(`{"local_ollama":{"connection_type":"local_ollama","api_base_url":%q,"enabled":true},
			"cloud_proxy":{"connection_type":"cloud_proxy","host":"","port":443,"api_base_url":"https://127.0.0.1:1","auth_token":"old-secret","timeout":30,"enabled":true}}`, o.URL), 0o644)
		h.Write("tray.log", "old\n", 0o644)
		_ = os.Chmod(h.Config(""), 0o755)
		d := h.StartAs(func(c *exec.Cmd) {
			c.Path, c.Args = "/bin/sh", append([]string{"sh", "-c", fmt.Sprintf(`umask %04o; exec "$0" "$@"`, mask), c.Path}, c.Args[1:]...)
		}, "--headless")
		rig.Until(t, "the token to move", func() bool {
			b, _ := os.ReadFile(h.Config("connection_config.json"))
			return !bytes.Contains(b, []byte("old-secret"))
		})
		if out, code := h.Shell("set", "http.enabled=true", "http.port="+strconv.Itoa(freePort(t))); code != 0 {
			t.Fatal(out)
		}
		for _, root := range []string{h.Config(""), h.Run} {
			_ = filepath.Walk(root, func(p string, fi os.FileInfo, err error) error {
				want := os.FileMode(0o600)
				if err == nil && fi.IsDir() {
					want = 0o700
				}
				if err == nil && fi.Mode().Perm() != want {
					t.Errorf("umask %04o: %s is %v", mask, p, fi.Mode())
				}
				return nil
			})
		}
		if b, _ := os.ReadFile(h.Config("tokens.json")); !bytes.Contains(b, []byte("old-secret")) {
			t.Errorf("the token is lost: %s", b)
		}
		if strings.Contains(h.Log()+d.Stderr.String(), "old-secret") {
			t.Error("the token is in the log")
		}
	}
}

func TestBug_05_NoWayOutOfTheBaseURL(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	stolen := ""
	thief, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = thief.Close() })
	go func() {
		for {
			c, err := thief.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			stolen = c.RemoteAddr().String()
			mu.Unlock()
			_ = c.Close()
		}
	}()
	cloud := rig.NewCloud(t, false)
	h := rig.NewHome(t)
	h.Connections("", cloud.URL+"/prefix")
	d := h.Start("--headless")
	c := d.Dial()
	login(c, cloud.Token)
	rig.Until(t, "the cloud to be asked", func() bool { return len(cloud.Seen()) > 0 })
	evil := thief.Addr().String()
	for _, p := range []string{"@" + evil + "/x", "//" + evil + "/x", "/../../x", "/%2e%2e/x", "/a/%252e%252e/%252e%252e/x", `/\` + evil, "/a\\..\\x", "http://" + evil + "/", "/a\u0000b", "/a b", "/x#y", "/%zz", "", "x", "/./x", "/..;/x", "/a%5c..%5cb", "/a%0d%0aHost:x"} {
		b, _ := json.Marshal(p)
		c.Say(fmt.Sprintf(`{"command":"PROXY_REQUEST","path":%s}`, b))
		if m := c.Reply(); m["error"] == nil {
			t.Errorf("path %q was let through: %v", p, m)
		}
	}
	for _, s := range cloud.Seen() {
		if !strings.HasPrefix(s.Path, "/prefix/") {
			t.Errorf("left the prefix: %s", s.Path)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if stolen != "" {
		t.Error("the thief was called")
	}
}

func TestBug_05_RedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	d, _ := local(t)
	c := d.Dial()
	c.Say(`{"command":"PROXY_REQUEST","path":"/api/away"}`)
	if m := c.Reply(); !strings.Contains(string(m["error"]), "redirect is not followed") {
		t.Errorf("%s", m["error"])
	}
}

func TestBug_06_CharactersInPieces(t *testing.T) {
	t.Parallel()
	d, o := local(t)
	c := d.Dial()
	line := []byte(`{"command":"PROXY_REQUEST","method":"POST","path":"/api/chat","data":{"model":"llama3:8b","stream":false,"p":"ä€😀"}}` + "\r\n")
	at := bytes.IndexByte(line, 0xc3)
	for i := at; i < at+10; i++ {
		for _, part := range [][]byte{line[:i], line[i:]} {
			if _, err := c.Write(part); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Millisecond)
		}
		if m := c.Reply(); m["result"] == nil {
			t.Fatalf("cut at %d: %v", i, m)
		}
	}
	for _, s := range o.Seen() {
		if !strings.Contains(s.Body, "ä€😀") {
			t.Errorf("%q", s.Body)
		}
	}
}

func TestBug_07_EndlessLine(t *testing.T) {
	t.Parallel()
	d := quiet(t)
	for _, c := range []*rig.Client{d.Dial(), d.Hello("other")} {
		before := rss(t, d.Cmd.Process.Pid)
		piece := bytes.Repeat([]byte("x"), 1<<20)
		sent := 0
		_ = c.SetWriteDeadline(time.Now().Add(rig.Patience))
		_, err := c.Write([]byte(`{"command":"`))
		for ; err == nil && sent < 1<<30; sent += len(piece) {
			_, err = c.Write(piece)
		}
		if err == nil {
			t.Fatal("a line of 1 GB was read to its end")
		}
		// 8 MiB are allowed after HELLO, doubled while they grow, and sockets hold some.
		if after := rss(t, d.Cmd.Process.Pid); after > before+48<<10 {
			t.Errorf("memory went from %d to %d kB over a line of %d bytes", before, after, sent)
		}
	}
	c := d.Dial()
	c.Say(`{"command":"PING"}`)
	c.Reply()
}

func TestBug_08_AStalledReaderStallsNobody(t *testing.T) {
	t.Parallel()
	d, _ := local(t)
	var stalled []*rig.Client
	for range 4 {
		s := d.Dial()
		s.Say(`{"command":"PING"}`)
		stalled = append(stalled, s)
	}
	asks := d.Dial()
	_ = asks.SetWriteDeadline(time.Now().Add(rig.Patience))
	go func() { // asks for ever and reads nothing
		for {
			if _, err := asks.Write([]byte(strings.Repeat(`{"command":"GET_CONNECTION_STATUS"}`+"\n", 1000))); err != nil {
				return
			}
		}
	}()
	good, other := d.Dial(), d.Dial()
	var work sync.WaitGroup
	work.Go(func() {
		for i := range 100 {
			login(other, strconv.Itoa(i))
			login(other, "")
		}
		other.Say(`{"command":"PING"}`)
		other.Reply()
	})
	for range 200 { // Next parses every line
		good.Say(`{"command":"PROXY_REQUEST","path":"/api/tags"}`)
		if m := good.Reply(); m["result"] == nil {
			t.Fatalf("%v", m)
		}
	}
	work.Wait()
	_ = stalled
}

func TestBug_09_TokenIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	cloud := rig.NewCloud(t, false)
	h := rig.NewHome(t)
	h.Connections("", cloud.URL)
	d := h.Start("--headless")
	c := d.Dial()
	login(c, cloud.Token)
	m := c.Next("push", func(m rig.Message) bool {
		return string(m["connection_type"]) == `"cloud_proxy"` && strings.Contains(string(m["status"]), `"state":"connected"`)
	})
	if strings.Contains(string(m["status"]), "last_check") {
		t.Error("a push holds last_check")
	}
	login(c, "")
	c.Next("push", func(m rig.Message) bool {
		return string(m["connection_type"]) == `"cloud_proxy"` && strings.Contains(string(m["status"]), `"state":"disconnected"`)
	})
	rig.Until(t, "the token to go", func() bool { // what stays is word of the logout
		b, _ := os.ReadFile(h.Config("tokens.json"))
		return !bytes.Contains(b, []byte(cloud.Token))
	})
}

func TestBug_10_PingDuringAHangingCall(t *testing.T) {
	t.Parallel()
	d, o := local(t)
	o.Hang.Store(true)
	v1, hello := d.Dial(), d.Hello("other")
	v1.Say(`{"command":"PROXY_REQUEST","method":"POST","path":"/api/show","data":{}}`)
	hello.Say(`{"command":"PROXY_REQUEST","id":5,"method":"POST","path":"/api/show","data":{}}`)
	for _, c := range []*rig.Client{v1, hello} {
		for range 3 {
			c.Say(`{"command":"PING","id":9}`)
			if m := c.Reply(); string(m["status"]) != `"pong"` {
				t.Fatalf("%v", m)
			}
			c.Say(`{"command":"GET_CONNECTION_STATUS","id":9}`)
			if m := c.Reply(); m["status"] == nil || m["error"] != nil {
				t.Fatalf("%v", m)
			}
		}
	}
	hello.Say(`{"command":"CANCEL","id":5}`)
	if m := hello.Answer("5"); string(m["code"]) != `"cancelled"` {
		t.Fatalf("%v", m)
	}
	rig.Until(t, "the upstream to see the end", func() bool { return o.Dropped.Load() > 0 })
}

func TestBug_11_TwentyStartsOneDaemon(t *testing.T) {
	t.Parallel()
	h := rig.NewHome(t)
	h.Connections("", "")
	d := h.Start("--headless")
	before, _ := os.ReadFile(h.Config("tray_port"))
	disco := h.Discovery()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if out, code := h.Shell("--headless"); code != 0 {
				t.Errorf("exit %d: %s", code, out)
			}
		})
	}
	all.Wait()
	after, _ := os.ReadFile(h.Config("tray_port"))
	if !bytes.Equal(before, after) || h.Discovery() != disco || !d.Alive() {
		t.Errorf("port file %s, then %s", before, after)
	}
	if bytes.ContainsAny(after, "\n ") {
		t.Errorf("port file is %q", after)
	}
	d.Kill() // and now without a farewell
	again := h.Start("--headless")
	c := again.Dial()
	c.Say(`{"command":"PING"}`)
	c.Reply()
	if code := again.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit %d", code)
	}
	for _, p := range []string{h.Config("tray_port"), h.Run + "/cloudtolocalllm/ipc.json", h.Run + "/cloudtolocalllm/ipc.sock"} {
		if _, err := os.Lstat(p); err == nil {
			t.Errorf("%s stays behind", p)
		}
	}
}

func TestBug_11_TwentyColdStarts(t *testing.T) {
	t.Parallel()
	h := rig.NewHome(t)
	h.Connections("", "")
	rig.Binary(t)
	var all []*exec.Cmd
	for range 20 {
		c := exec.Command(rig.Binary(t), "--headless")
		c.Env = h.Environ()
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	ended := make(chan *exec.Cmd, len(all))
	for _, c := range all {
		go func() { _ = c.Wait(); ended <- c }()
	}
	for range 19 { // the losers
		select {
		case c := <-ended:
			if c.ProcessState.ExitCode() != 0 {
				t.Errorf("exit %d", c.ProcessState.ExitCode())
			}
		case <-time.After(rig.Patience):
			t.Fatal("more than one runs")
		}
	}
	rig.Until(t, "the winner to answer", func() bool { _, code := h.Shell("status"); return code == 0 })
	if out, code := h.Shell("stop"); code != 0 {
		t.Errorf("%s", out)
	}
	<-ended
}

func TestBug_12_OutsideEditsAreKept(t *testing.T) {
	t.Parallel()
	d, o := local(t)
	other := rig.NewOllama(t)
	h := d.Home
	b, _ := os.ReadFile(h.Config("connection_config.json"))
	h.Write("connection_config.json", strings.Replace(string(b), o.URL, other.URL, 1), 0o600)
	c := d.Dial()
	login(c, "tok") // a save right after the edit
	rig.Until(t, "the edit to count", func() bool {
		b, _ := os.ReadFile(h.Config("connection_config.json"))
		return bytes.Contains(b, []byte(other.URL)) && bytes.Contains(b, []byte(`"enabled": true`)) && bytes.Count(b, []byte(`"enabled": true`)) == 2
	})
	_ = d.Cmd.Process.Signal(syscall.SIGHUP)
	c.Say(`{"command":"PROXY_REQUEST","path":"/v1/models"}`)
	c.Reply()
	rig.Until(t, "the new upstream to be used", func() bool {
		c.Say(`{"command":"PROXY_REQUEST","path":"/v1/models"}`)
		c.Reply()
		return len(other.Seen()) > 0
	})
}

func TestBug_12_KilledWhileItSaves(t *testing.T) {
	t.Parallel()
	h := rig.NewHome(t)
	h.Connections("", "")
	for i := range 12 {
		d := h.Start("--headless")
		c := d.Dial()
		_ = c.SetWriteDeadline(time.Now().Add(rig.Patience))
		go func() {
			for j := range 1000 {
				if _, err := fmt.Fprintf(c, `{"command":"UPDATE_AUTH_TOKEN","token":"%d"}`+"\n"+`{"command":"UPDATE_AUTH_TOKEN","token":""}`+"\n", j); err != nil {
					return
				}
			}
		}()
		time.Sleep(time.Duration(i*3) * time.Millisecond)
		d.Kill()
		for _, name := range []string{"connection_config.json", "settings.json", "tokens.json"} {
			b, err := os.ReadFile(h.Config(name))
			if err == nil && !json.Valid(b) {
				t.Fatalf("%s is torn: %q", name, b)
			}
		}
	}
}

func TestBug_15_TermDuringStreams(t *testing.T) {
	t.Parallel()
	d, o := local(t)
	o.Set(func() { o.Lines, o.Pause = 10000, 10*time.Millisecond })
	c := d.Hello("other")
	for i := range 5 {
		c.Say(stream(i+1, "/api/chat"))
	}
	for range 10 {
		c.Next("chunk", func(m rig.Message) bool { return m["chunk"] != nil })
	}
	_ = d.Cmd.Process.Signal(syscall.SIGTERM)
	ends := map[string]string{}
	for len(ends) < 5 {
		c.Next("end", func(m rig.Message) bool {
			if m["error"] != nil {
				ends[string(m["id"])] += string(m["code"])
			}
			return m["error"] != nil
		})
	}
	for id, code := range ends {
		if code != `"shutting_down"` {
			t.Errorf("%s ended with %s", id, code)
		}
	}
	if code := d.Wait(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestBug_15_TermTwice(t *testing.T) {
	t.Parallel()
	d := quiet(t)
	_ = d.Cmd.Process.Signal(syscall.SIGTERM)
	_ = d.Cmd.Process.Signal(syscall.SIGTERM)
	if code := d.Wait(); code != 0 && code != 1 { // 1: the second signal was quicker than the end
		t.Errorf("exit %d", code)
	}
	if s := d.Stderr.String(); strings.Contains(s, "panic") || strings.Contains(s, "goroutine") {
		t.Error(s)
	}
}

func TestBug_16_StreamsOutliveTheTimeout(t *testing.T) {
	t.Parallel()
	o := rig.NewOllama(t)
	o.Set(func() { o.Lines, o.Pause = 15, 150*time.Millisecond }) // more than two seconds
	h := rig.NewHome(t)
	h.Write("connection_config.json", fmt.Sprintf(`{"local_ollama":{"connection_type":"local_ollama","api_base_url":%q,"timeout":1,"enabled":true}}`, o.URL), 0o600)
	d := h.Start("--headless")
	d.WaitState("local_ollama", "connected")
	c := d.Hello("other")
	c.Say(stream(1, "/api/chat"))
	if m := c.Next("end", func(m rig.Message) bool { return m["done"] != nil || m["error"] != nil }); m["error"] != nil {
		t.Errorf("%s", m["error"])
	}
	// The same entry's timeout does hold for a request.
	v1 := d.Dial()
	v1.Say(fmt.Sprintf(`{"command":"PROXY_REQUEST","method":"POST","path":"/api/chat","data":%s}`, chat))
	if m := v1.Reply(); string(m["error"]) != `"request timed out after 1 s"` {
		t.Errorf("%v", m)
	}
}

func TestBug_17_ADeadHostDelaysNobody(t *testing.T) {
	t.Parallel()
	cloud := rig.NewCloud(t, false)
	h := rig.NewHome(t)
	h.Connections(rig.BlackHole(t), cloud.URL)
	h.Write("tokens.json", fmt.Sprintf(`{"cloud_proxy":%q}`, cloud.Token), 0o600)
	d := h.Start("--headless", "--debug")
	c := d.Dial()
	rig.Until(t, "an answer by the cloud", func() bool {
		c.Say(`{"command":"PROXY_REQUEST","method":"POST","path":"/api/chat","data":{"secret":"prompt"}}`)
		return strings.Contains(string(c.Reply()["result"]), "from the cloud")
	})
	log := h.Log() + d.Stderr.String()
	for _, never := range []string{"secret", "prompt", cloud.Token, "from the cloud"} {
		if strings.Contains(log, never) {
			t.Errorf("the log holds %q", never)
		}
	}
}

func TestBug_19_PlainTextHealth(t *testing.T) {
	t.Parallel()
	cloud := rig.NewCloud(t, false)
	h := rig.NewHome(t)
	h.Connections("", cloud.URL)
	h.Write("tokens.json", fmt.Sprintf(`{"cloud_proxy":%q}`, cloud.Token), 0o600)
	d := h.Start("--headless")
	d.WaitState("cloud_proxy", "connected")
	c := d.Dial()
	c.Say(`{"command":"GET_CONNECTION_STATUS"}`)
	if m := c.Reply(); !strings.Contains(string(m["status"]), `"version":"Cloud Bridge"`) {
		t.Errorf("%s", m["status"])
	}
	if c.Say(`{"command":"PROXY_REQUEST","path":"/api/version"}`); !strings.Contains(string(c.Reply()["result"]), "bridge") {
		t.Error("the path was not translated")
	}
}

func TestBug_20_NoBusNoDisplay(t *testing.T) {
	t.Parallel()
	h := rig.NewHome(t)
	h.Connections("", "")
	d := h.Start() // not headless: it would like a tray
	rig.Until(t, "the tray to give up for now", func() bool { out, _ := h.Shell("status"); return strings.Contains(out, "tray      no_bus") })
	c := d.Dial()
	login(c, "tok") // asks the keyring as well
	c.Say(`{"command":"PING"}`)
	c.Reply()
	rig.Until(t, "the token to be stored", func() bool { _, err := os.Stat(h.Config("tokens.json")); return err == nil })
	if left := processesOf(h); len(left) != 1 {
		t.Errorf("left running: %v", left)
	}
	if code := d.Stop(syscall.SIGINT); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// processesOf lists the processes with this home, such as a bus started on the way.
func processesOf(h *rig.Home) (found []string) {
	envs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, p := range envs {
		b, err := os.ReadFile(p)
		if err == nil && bytes.Contains(b, []byte("HOME="+h.Dir+"\x00")) {
			exe, _ := os.Readlink(filepath.Join(filepath.Dir(p), "exe"))
			found = append(found, exe)
		}
	}
	return found
}

func TestBug_23_NothingStaleAfterAFailure(t *testing.T) {
	t.Parallel()
	d, o := local(t)
	sub := d.Hello("other")
	sub.Say(`{"command":"SUBSCRIBE","id":1,"topics":["connections"]}`)
	if m := sub.Answer("1"); !strings.Contains(string(m["result"]), "llama3:8b") {
		t.Errorf("%s", m["result"])
	}
	o.Kill()
	c := d.Dial()
	c.Say(`{"command":"PROXY_REQUEST","path":"/v1/models"}`)
	if m := c.Reply(); m["error"] == nil || string(m["error"]) == `""` {
		t.Errorf("%v", m)
	}
	d.WaitState("local_ollama", "disconnected")
	c.Say(`{"command":"GET_CONNECTION_STATUS"}`)
	if m := c.Reply(); strings.Contains(string(m["status"]), "llama3") || strings.Contains(string(m["status"]), "0.9.0") || !strings.Contains(string(m["status"]), "Connection refused") {
		t.Errorf("%s", m["status"])
	}
	sub.Next("event", func(m rig.Message) bool { return m["event"] != nil && strings.Contains(string(m["data"]), "refused") })
	o.Revive(t)
	c.Say(`{"command":"PROXY_REQUEST","path":"/v1/models"}`) // found without waiting for the next check
	if m := c.Reply(); m["result"] == nil {
		t.Errorf("%v", m)
	}
}

func TestBug_24_ATimeoutSaysSoAndEndsTheCall(t *testing.T) {
	t.Parallel()
	d, o := local(t)
	o.Hang.Store(true)
	c := d.Hello("other")
	c.Say(`{"command":"PROXY_REQUEST","id":1,"method":"POST","path":"/api/show","data":{},"timeout_ms":200}`)
	m := c.Answer("1")
	if string(m["error"]) != `"request timed out after 200 ms"` || string(m["code"]) != `"timeout"` {
		t.Errorf("%v", m)
	}
	rig.Until(t, "the upstream to see the end", func() bool { return o.Dropped.Load() > 0 })
}

func TestBug_25_WhatCountsAsSuccess(t *testing.T) {
	t.Parallel()
	d, o := local(t)
	v1, hello := d.Dial(), d.Hello("other")
	for _, c := range []struct{ method, path, data, want, code string }{
		{"GET", "/api/tags", "", `"result":`, ""},
		{"GET", "/", "", `"result":"Ollama is running"`, ""},
		{"POST", "/api/created", "", `"result":null`, ""},
		{"DELETE", "/api/delete", `{"model":"x"}`, `"result":null`, ""},
		{"HEAD", "/api/tags", "", `"result":null`, ""},
		{"POST", "/api/chat", chat, `"content":"0 ä€😀 1 ä€😀 2 ä€😀 "`, ""},
		{"POST", "/api/generate", `{"model":"llama3:8b"}`, `"response":"0 ä€😀 1 ä€😀 2 ä€😀 "`, ""},
		{"POST", "/api/pull", `{"model":"x"}`, `"result":{"status":"success"}`, ""},
		{"POST", "/api/fail", `{"model":"x"}`, `"error":"no such model"`, "upstream_status"},
		{"POST", "/api/cut", "", `"error":"the connection was lost`, "upstream_lost"},
		{"PATCH", "/api/tags", "", `"error":"Unsupported method: PATCH"`, "bad_request"},
		{"POST", "/api/chat", `{"model":"none"}`, `not found`, "upstream_status"},
	} {
		if c.data == "" {
			c.data = "null"
		}
		for _, k := range []*rig.Client{v1, hello} {
			k.Say(fmt.Sprintf(`{"command":"PROXY_REQUEST","id":3,"method":%q,"path":%q,"data":%s}`, c.method, c.path, c.data))
			m := k.Reply()
			b, _ := json.Marshal(m)
			var plain bytes.Buffer
			_ = json.Indent(&plain, b, "", "")
			text := strings.NewReplacer("\n", "", `": `, `":`).Replace(plain.String())
			if !strings.Contains(text, c.want) {
				t.Errorf("%s %s: %s", c.method, c.path, text)
			}
			if k == v1 && (m["id"] != nil || m["code"] != nil || m["connection"] != nil || len(m) != 1) {
				t.Errorf("a v1 reply with more than the original's: %s", text)
			}
			if k == hello && (string(m["id"]) != "3" || strings.Trim(string(m["code"]), `"`) != c.code) {
				t.Errorf("%s %s: %s", c.method, c.path, text)
			}
		}
	}
	v1.Say(`{"command":"PROXY_REQUEST","method":"POST","path":"/api/chat","data":{"model":"none"}}`)
	if e := string(v1.Reply()["error"]); !strings.HasPrefix(e, `"HTTP 404: `) {
		t.Errorf("the original's text is another: %s", e)
	}
	for _, s := range o.Seen() {
		if s.Header.Get("Authorization") != "" || s.Header.Get("Accept-Encoding") != "" {
			t.Errorf("headers %v", s.Header)
		}
	}
}

func TestBug_26_QuitOfTheAppLeavesTheDaemon(t *testing.T) {
	t.Parallel()
	d := quiet(t)
	a, b := d.Dial(), d.Dial()
	a.Say(`{"command":"QUIT"}`)
	if said := a.Gone(); said != "" {
		t.Errorf("%q", said)
	}
	b.Say(`{"command":"PING"}`)
	b.Reply()
	if out, code := d.Shell("set", "ipc.v1_quit=exit"); code != 0 {
		t.Fatal(out)
	}
	b.Say(`{"command":"QUIT"}`)
	if code := d.Wait(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func rss(t *testing.T, pid int) (kB int) { t.Helper(); return memory(t, pid, "VmRSS:") }

// memory is a line of /proc/PID/status.
func memory(t *testing.T, pid int, what string) (kB int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(b)) {
		if f := strings.Fields(l); len(f) > 1 && f[0] == what {
			kB, _ = strconv.Atoi(f[1])
		}
	}
	return kB
}

func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}
