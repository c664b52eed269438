// Command bench measures the compiled daemon and prints its figures beside
// those that were promised for the original. It asserts nothing: what is good
// enough is for the reader to say.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/rig"
)

// bench stands in for a test.
type bench struct{ cleanups []func() }

func (b *bench) Helper() {}

func (b *bench) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (b *bench) Fatalf(format string, args ...any) {
	b.Logf("bench: error: "+format, args...)
	b.clean()
	os.Exit(1)
}

func (b *bench) Cleanup(f func()) { b.cleanups = append(b.cleanups, f) }

func (b *bench) TempDir() string {
	d, err := os.MkdirTemp("", "bench-")
	if err != nil {
		b.Fatalf("%v", err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(d) })
	return d
}

func (b *bench) clean() {
	for _, f := range slices.Backward(b.cleanups) {
		f()
	}
	b.cleanups = nil
}

type row struct{ what, goal, seed, found string }

var rows []row

func report(what, goal, seed, format string, args ...any) {
	r := row{what, goal, seed, fmt.Sprintf(format, args...)}
	rows = append(rows, r)
	fmt.Fprintf(os.Stderr, "%s: %s\n", r.what, r.found)
}

func main() {
	soak := flag.Duration("soak", 10*time.Minute, "how long the soak lasts; 0: none")
	idle := flag.Duration("idle", time.Minute, "how long the idle daemon is watched")
	only := flag.String("only", "", "the parts to measure, by name: size start plain tls added crowd soak; all when empty")
	flag.Parse()
	b := &bench{}
	defer rig.RemoveBinary()
	for _, part := range []struct {
		name string
		f    func(*bench)
	}{{"size", size}, {"start", start}, {"plain", func(b *bench) { plain(b, *idle) }}, {"tls", tls}, {"added", added}, {"crowd", crowd}, {"soak", func(b *bench) { soaked(b, *soak) }}} {
		if *only == "" || strings.Contains(*only, part.name) {
			part.f(b)
			b.clean()
		}
	}
	width := [3]int{}
	for _, r := range rows {
		for i, s := range []string{r.what, r.goal, r.seed} {
			width[i] = max(width[i], len([]rune(s)))
		}
	}
	fmt.Printf("%-*s  %-*s  %-*s  %s\n", width[0], "figure", width[1], "goal", width[2], "seed (2.x original)", "measured")
	for _, r := range rows {
		fmt.Printf("%-*s  %-*s  %-*s  %s\n", width[0], r.what, width[1], r.goal, width[2], r.seed, r.found)
	}
	fmt.Printf("on %d cores, %s/%s; MB are 10^6 bytes, memory of /proc/PID/status in kB\n", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
}

func size(b *bench) {
	fi, err := os.Stat(rig.Binary(b))
	if err != nil {
		b.Fatalf("%v", err)
	}
	report("executable", "<= 9 MB", "15 MB (was 111 to 116)", "%.2f MB", float64(fi.Size())/1e6)
}

func start(b *bench) {
	h := rig.NewHome(b)
	var took []time.Duration
	for range 15 {
		began := time.Now()
		d := h.Start("--headless")
		took = append(took, time.Since(began))
		d.Kill()
	}
	slices.Sort(took)
	report("start to port file, median / worst of 15", "<= 50 ms", "< 2 s", "%.1f / %.1f ms (polled each 2 ms)", ms(took[7]), ms(took[14]))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func memory(pid int) (rss, anon int) {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for l := range strings.Lines(string(raw)) {
		f := strings.Fields(l)
		if len(f) > 1 && f[0] == "VmRSS:" {
			rss, _ = strconv.Atoi(f[1])
		}
		if len(f) > 1 && f[0] == "RssAnon:" {
			anon, _ = strconv.Atoi(f[1])
		}
	}
	return rss, anon
}

func cpu(pid int) float64 {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	f := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	u, _ := strconv.Atoi(f[11])
	s, _ := strconv.Atoi(f[12])
	return float64(u+s) / 100
}

// full starts a daemon with everything on: bus, tray item, endpoint, both connections.
func full(b *bench, cloud *rig.Cloud, more ...string) (*rig.Daemon, *rig.Ollama) {
	h := rig.NewHome(b)
	h.Env = append(h.Env, more...)
	bus := h.NewBus()
	w := bus.NewWatcher(b)
	o := rig.NewOllama(b)
	h.Connections(o.URL, cloud.URL)
	h.Write("tokens.json", fmt.Sprintf(`{"cloud_proxy":%q}`, cloud.Token), 0o600)
	h.Write("settings.json", fmt.Sprintf(`{"schema":1,"revision":1,"http":{"enabled":true,"port":%d,"auth":"same_user"}}`, freePort(b)), 0o600)
	d := h.Start()
	w.Item(b)
	d.WaitState("local_ollama", "connected")
	d.WaitState("cloud_proxy", "connected")
	return d, o
}

func freePort(b *bench) int {
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatalf("%v", err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// ask makes an HTTP request; a body is JSON.
func ask(method, url, body string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return http.DefaultClient.Do(r)
}

func plain(b *bench, idle time.Duration) {
	d, _ := full(b, rig.NewCloud(b, false))
	pid := d.Cmd.Process.Pid
	time.Sleep(15 * time.Second)
	before := cpu(pid)
	time.Sleep(idle)
	used := cpu(pid) - before
	rss, anon := memory(pid)
	report("memory idle, plain HTTP, tray and endpoint on", "<= 10000 kB", "< 10 MB", "%d kB (anonymous %d)", rss, anon)
	report(fmt.Sprintf("CPU idle over %v", idle), "<= 0.1 %", "< 1 %", "%.2f s = %.3f %%", used, 100*used/idle.Seconds())
}

func tls(b *bench) {
	cloud := rig.NewCloud(b, true)
	bundle, _ := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	file := filepath.Join(b.TempDir(), "roots.pem")
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cloud.Certificate().Raw})
	if err := os.WriteFile(file, append(bundle, own...), 0o600); err != nil {
		b.Fatalf("%v", err)
	}
	d, _ := full(b, cloud, "SSL_CERT_FILE="+file)
	pid := d.Cmd.Process.Pid
	time.Sleep(40 * time.Second)
	rss, anon := memory(pid)
	report("memory idle, one connection over verified TLS", "near 10 MB", "< 10 MB", "%d kB (anonymous %d, %d roots)", rss, anon, strings.Count(string(bundle), "BEGIN"))
	// 20 answers at once over TLS, each of some seconds.
	if out, code := d.Shell("set", "broker.mode=cloud_only"); code != 0 {
		b.Fatalf("%s", out)
	}
	cloud.Lines, cloud.Pause = 100, 50*time.Millisecond
	var slow sync.WaitGroup
	for range 20 {
		c := d.Hello("other")
		slow.Go(func() {
			for i := range 2 {
				c.Say(fmt.Sprintf(`{"command":"PROXY_STREAM","id":%d,"method":"POST","path":"/api/chat","data":{"model":"x"}}`, i+1))
				c.Next("done", func(m rig.Message) bool { return string(m["id"]) == strconv.Itoa(i+1) && m["done"] != nil })
			}
		})
	}
	most := 0
	over := make(chan struct{})
	go func() { slow.Wait(); close(over) }()
	for running := true; running; {
		select {
		case <-over:
			running = false
		case <-time.After(20 * time.Millisecond):
			r, _ := memory(pid)
			most = max(most, r)
		}
	}
	report("memory with TLS and 20 streams at once, peak", "<= 15000 kB", "< 15 MB total", "%d kB", most)
	b.clean()
}

// added measures what the daemon costs on the way: first byte and throughput.
func added(b *bench) {
	const line = `{"model":"llama3:8b","created_at":"2026-01-01T00:00:00.000000Z","message":{"role":"assistant","content":" word"},"done":false}` + "\n"
	const lines = 300000
	srv := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		switch r.URL.Path {
		case "/api/version":
			_, _ = io.WriteString(w, `{"version":"1"}`)
		case "/api/tags":
			_, _ = io.WriteString(w, `{"models":[]}`)
		case "/api/chat": // as an Ollama: each line is flushed
			f := w.(http.Flusher)
			for range lines {
				_, _ = io.WriteString(w, line)
				f.Flush()
			}
		default:
			_, _ = io.WriteString(w, line)
			w.(http.Flusher).Flush()
		}
	})}
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatalf("%v", err)
	}
	go func() { _ = srv.Serve(ln) }()
	b.Cleanup(func() { _ = srv.Close() })
	up := "http://" + ln.Addr().String()
	h := rig.NewHome(b)
	h.Connections(up, "")
	port := freePort(b)
	h.Write("settings.json", fmt.Sprintf(`{"schema":1,"revision":1,"http":{"enabled":true,"port":%d,"auth":"same_user"}}`, port), 0o600)
	d := h.Start("--headless")
	d.WaitState("local_ollama", "connected")
	via := fmt.Sprintf("http://127.0.0.1:%d", port)
	rig.Until(b, "the endpoint", func() bool {
		r, err := ask(http.MethodGet, via+"/", "")
		if err == nil {
			_ = r.Body.Close()
		}
		return err == nil
	})
	first := func(base string) time.Duration {
		var all []time.Duration
		for range 400 {
			began := time.Now()
			r, err := ask(http.MethodPost, base+"/api/show", `{"model":"x"}`)
			if err != nil {
				b.Fatalf("%v", err)
			}
			var one [1]byte
			_, _ = r.Body.Read(one[:])
			all = append(all, time.Since(began))
			_, _ = io.Copy(io.Discard, r.Body)
			_ = r.Body.Close()
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	first(via)
	direct, through := first(up), first(via)
	c := d.Hello("other")
	var all []time.Duration
	for i := range 400 {
		began := time.Now()
		c.Say(fmt.Sprintf(`{"command":"PROXY_STREAM","id":%d,"method":"POST","path":"/api/show","data":{"model":"x"}}`, i+1))
		c.Next("chunk", func(m rig.Message) bool { return m["chunk"] != nil })
		all = append(all, time.Since(began))
		c.Next("done", func(m rig.Message) bool { return m["done"] != nil })
	}
	slices.Sort(all)
	report("added to the first byte, median of 400", "<= 1 ms", "-", "%.2f ms by HTTP, %.2f ms by IPC (direct: %.2f ms)", ms(through-direct), ms(all[200]-direct), ms(direct))

	load := func(base string) float64 {
		began := time.Now()
		r, err := ask(http.MethodPost, base+"/api/chat", `{"model":"x"}`)
		if err != nil {
			b.Fatalf("%v", err)
		}
		n, _ := io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
		return float64(n) / 1e6 / time.Since(began).Seconds()
	}
	ipc := func(id int) float64 {
		began := time.Now()
		c.Say(fmt.Sprintf(`{"command":"PROXY_STREAM","id":%d,"method":"POST","path":"/api/chat","data":{"model":"x"}}`, id))
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		r := bufio.NewReaderSize(c.Conn, 64<<10)
		for {
			l, err := r.ReadSlice('\n')
			if err != nil {
				b.Fatalf("%v", err)
			}
			if len(l) < 40 && bytes.HasSuffix(l, []byte(`"done":true}`+"\n")) {
				break
			}
		}
		return float64(len(line)*lines) / 1e6 / time.Since(began).Seconds()
	}
	var ds, hs, is []float64
	for i := range 5 {
		ds, hs, is = append(ds, load(up)), append(hs, load(via)), append(is, ipc(10000+i))
	}
	for _, s := range [][]float64{ds, hs, is} {
		sort.Float64s(s)
	}
	report("throughput of one stream, flushed by line, median of 5", ">= 0.8 of direct", "-", "%.2f by HTTP, %.2f by IPC (direct: %.0f MB/s)", hs[2]/ds[2], is[2]/ds[2], ds[2])
}

// crowd lets 1,000 clients come, work and leave, twice. Before is measured when
// the daemon has been idle for longer than any of its rounds takes, as after is.
func crowd(b *bench) {
	h := rig.NewHome(b)
	h.Connections("", "")
	d := h.Start("--headless")
	pid := d.Cmd.Process.Pid
	time.Sleep(16 * time.Second)
	rss, anon := memory(pid)
	series := []string{fmt.Sprintf("%d kB (anonymous %d)", rss, anon)}
	for i := range 2 {
		visit(b, d, i == 0)
		time.Sleep(16 * time.Second)
		rss, anon = memory(pid)
		series = append(series, fmt.Sprintf("%d (%d)", rss, anon))
	}
	report("memory before 1,000 clients, after them, after 1,000 more", "back", "-", "%s", strings.Join(series, ", "))
}

func visit(b *bench, d *rig.Daemon, say bool) {
	var cs []*rig.Client
	began := time.Now()
	for range 1000 {
		c := d.Dial()
		c.Say(`{"command":"PING"}`)
		c.Reply()
		cs = append(cs, c)
	}
	joined := time.Since(began)
	with, _ := memory(d.Cmd.Process.Pid)
	var n atomic.Int64
	stop := time.Now().Add(5 * time.Second)
	var all sync.WaitGroup
	for _, c := range cs[:16] {
		all.Go(func() {
			r := bufio.NewReader(c.Conn)
			for time.Now().Before(stop) {
				c.Say(`{"command":"PING"}`)
				if _, err := r.ReadSlice('\n'); err != nil {
					return
				}
				n.Add(1)
			}
		})
	}
	all.Wait()
	for _, c := range cs {
		_ = c.Close()
	}
	if say {
		report("1,000 clients held", "1,000", "-", "%d, each answered; joined in %.1f s; %d kB then", len(cs), joined.Seconds(), with)
		report("PINGs a second, 16 of 1,000 clients, one at a time each", ">= 10,000", "0 (never answered)", "%.0f", float64(n.Load())/5)
	}
}

// soaked lets clients work while the local upstream comes and goes.
func soaked(b *bench, long time.Duration) {
	if long == 0 {
		return
	}
	cloud := rig.NewCloud(b, false)
	d, o := full(b, cloud)
	pid := d.Cmd.Process.Pid
	end := time.Now().Add(long)
	var calls, failed, failovers atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			c := d.Hello("other")
			for i := 1; time.Now().Before(end); i++ {
				c.Say(fmt.Sprintf(`{"command":"PROXY_STREAM","id":%d,"method":"POST","path":"/api/chat","data":{"model":"llama3:8b"}}`, i))
				for {
					m := c.Answer(strconv.Itoa(i))
					if m["start"] != nil && strings.Contains(string(m["start"]), "cloud") {
						failovers.Add(1)
					}
					if m["error"] != nil {
						failed.Add(1)
					}
					if m["done"] != nil || m["error"] != nil {
						break
					}
				}
				calls.Add(1)
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	all.Go(func() {
		for time.Now().Before(end) {
			time.Sleep(7 * time.Second)
			o.Kill()
			time.Sleep(3 * time.Second)
			o.Revive(b)
		}
	})
	var series []int
	for time.Now().Before(end) {
		time.Sleep(long / 10)
		rss, _ := memory(pid)
		series = append(series, rss)
	}
	all.Wait()
	time.Sleep(8 * time.Second)
	rss, anon := memory(pid)
	s, _ := json.Marshal(series)
	report(fmt.Sprintf("soak of %v with failovers", long), "no growth", "-", "%d calls, %d by the cloud, %d failed in mid-answer; kB at each tenth %s, at rest %d (anonymous %d)", calls.Load(), failovers.Load(), failed.Load(), s, rss, anon)
}
