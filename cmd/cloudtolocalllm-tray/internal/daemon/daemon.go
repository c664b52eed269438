// Package daemon puts the parts together and gives them a life: one daemon for
// each user, a port file within milliseconds, a clean end.
//
// The order of a start: directory, lock, settings, listener, accept loop,
// ipc.json, and last the port file. Tray, keyring, health checks and the HTTP
// endpoint start after that and can delay none of it.
package daemon

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/broker"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/config"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/disk"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/httpapi"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/ipc"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/lean"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/page"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/tray"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/vault"
)

// Options are the command line's.
type Options struct {
	Port     int
	Debug    bool
	Headless bool
	Version  string
	Stderr   io.Writer
}

// The exit codes of the daemon.
const (
	exitOK     = 0
	exitFailed = 1
)

const (
	grace     = 2 * time.Second // for the last words at the end
	lookEvery = 10 * time.Second
)

// daemon is everything at once; each part knows only its own.
type daemon struct {
	opts  Options
	log   *slog.Logger
	file  *logFile
	level *slog.LevelVar

	store  *config.Store
	vault  *vault.Vault
	broker *broker.Broker
	ipc    *ipc.Server
	http   *httpapi.Server
	page   *page.Server
	tray   tray.Tray

	began   time.Time
	runDir  string
	disco   Discovery
	written struct {
		sync.Mutex
		ipc []byte
	}

	stop     context.CancelFunc
	refresh  chan struct{} // the tray has to be looked over
	vaultAsk chan struct{} // the keyring has to be asked again
	idle     chan struct{} // the last stream has ended, or a crowd of clients has left

	mu            sync.Mutex
	tooltip       string
	iconOverride  string
	authenticated bool
	loadErr       error
	legacy        []string
	panics        int
}

// Run is the daemon from start to end. It returns the exit code.
func Run(o Options) int {
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	dir, err := ConfigDir()
	if err == nil {
		err = disk.Private(dir)
	}
	if err != nil {
		fmt.Fprintf(o.Stderr, "cloudtolocalllm-tray: error: %v\n", err)
		return exitFailed
	}
	lock, err := disk.Lock(filepath.Join(dir, "daemon.lock"))
	if errors.Is(err, disk.ErrLocked) {
		fmt.Fprintln(o.Stderr, "cloudtolocalllm-tray: already running")
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(o.Stderr, "cloudtolocalllm-tray: error: %v\n", err)
		return exitFailed
	}
	defer lock.Close()
	d := &daemon{opts: o, began: time.Now(), level: new(slog.LevelVar), refresh: make(chan struct{}, 1), vaultAsk: make(chan struct{}, 1), idle: make(chan struct{}, 1), tooltip: "CloudToLocalLLM"}
	d.openLog(dir)
	if err := d.run(dir); err != nil {
		d.log.Error("the daemon cannot start", "err", err)
		fmt.Fprintf(o.Stderr, "cloudtolocalllm-tray: error: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// openLog writes to tray.log, to stderr as well with --debug, and under
// systemd to stderr alone, which is the journal.
func (d *daemon) openLog(dir string) {
	to := d.opts.Stderr
	if os.Getenv("JOURNAL_STREAM") == "" {
		d.file = openLog(filepath.Join(dir, "tray.log"))
		to = d.file
		if d.opts.Debug {
			to = io.MultiWriter(d.file, d.opts.Stderr)
		}
	}
	d.log = slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: d.level}))
}

func (d *daemon) setLevel(s config.Settings) {
	if d.opts.Debug {
		d.level.Set(slog.LevelDebug)
		return
	}
	d.level.Set(level(s.Log.Level))
}

func (d *daemon) run(dir string) error {
	debug.SetGCPercent(50)         // a small heap is worth the little work
	debug.SetMemoryLimit(64 << 20) // below the unit's MemoryMax: rather collect than be killed
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	d.stop = stop
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt, syscall.SIGHUP)
	defer signal.Stop(signals)

	disk.Tighten(filepath.Join(dir, "connection_config.json"), filepath.Join(dir, "tray_port"), filepath.Join(dir, "settings.json"))
	var err error
	if d.store, err = config.Open(dir); err != nil {
		return err
	}
	now := d.store.Now()
	d.setLevel(now.Settings)
	d.vault = vault.New(dir, d.log)
	d.vault.Late = func() { poke(d.vaultAsk) }
	d.broker = broker.New(now, d.vault, broker.RealPace, d.log)
	d.broker.OnIdle = func() { poke(d.idle) }
	d.http = &httpapi.Server{Broker: d.broker, Dir: dir, Log: d.log}
	d.page = &page.Server{Backend: pageBackend{d}, Log: d.log}
	d.tray = tray.New("CloudToLocalLLM", tray.Actions{Click: d.clicked, Opening: d.setMenu, Changed: d.trayChanged, Log: d.log.Info, Panic: func(p any) {
		d.caught("tray action", p)
	}})
	var token [32]byte
	_, _ = rand.Read(token[:]) // never fails
	d.disco = Discovery{PID: os.Getpid(), Proto: ipc.Proto, Token: hex.EncodeToString(token[:])}
	d.ipc = &ipc.Server{Backend: ipcBackend{d}, Broker: d.broker, Token: d.disco.Token, Version: d.opts.Version, PID: d.disco.PID, Log: d.log, Thinned: func() { poke(d.idle) }}

	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(d.opts.Port)))
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	d.disco.Port = ln.Addr().(*net.TCPAddr).Port
	go d.ipc.Serve(ln)
	runDir, hold, _ := openRunDir(dir)
	if hold != nil {
		defer hold.Close()
	}
	d.runDir = runDir
	if sock, err := listenUnix(filepath.Join(runDir, "ipc.sock")); err != nil {
		d.log.Warn("no unix socket", "err", err)
	} else {
		d.disco.Socket = sock.Addr().String()
		go d.ipc.Serve(sock)
	}
	if err := d.writeDiscovery(); err != nil {
		return err
	}
	port := []byte(strconv.Itoa(d.disco.Port))
	portFile := filepath.Join(dir, "tray_port")
	if err := disk.WriteRun(portFile, port); err != nil {
		return err
	}
	d.log.Info("ready", "version", d.opts.Version, "port", d.disco.Port, "pid", d.disco.PID)

	// From here on clients are served, whatever becomes of the rest.
	d.broker.Listen(d.connectionChanged)
	d.store.Listen(d.settingsChanged)
	var parts sync.WaitGroup
	d.part(&parts, "health", func() { d.broker.Run(ctx) })
	d.part(&parts, "tray", func() { d.showTray(ctx) })
	d.part(&parts, "vault", func() { d.keepTokens(ctx) })
	d.part(&parts, "watch", func() { d.watch(ctx) })
	d.part(&parts, "memory", func() { d.tidy(ctx) })
	d.http.Configure(now.Settings.HTTP)
	_ = d.writeDiscovery()

	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case s := <-signals:
			if s == syscall.SIGHUP {
				d.hangup()
				continue
			}
			running = false
		}
	}
	go func() { // a second signal does not wait
		for s := range signals {
			if s != syscall.SIGHUP {
				os.Exit(exitFailed)
			}
		}
	}()
	d.log.Info("ending")
	stop()
	d.written.Lock() // nothing writes it again
	disk.RemoveIf(portFile, port)
	disk.RemoveIf(filepath.Join(d.runDir, "ipc.json"), d.written.ipc)
	d.written.Unlock()
	last, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	d.ipc.Close(last)
	d.http.Close()
	d.page.Close()
	over := make(chan struct{})
	go func() { parts.Wait(); close(over) }()
	select {
	case <-over:
	case <-last.Done():
	}
	d.log.Info("ended")
	return nil
}

// part runs one part of the daemon, whose failure stays its own.
func (d *daemon) part(all *sync.WaitGroup, name string, f func()) {
	all.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				d.caught(name, p)
			}
		}()
		f()
	})
}

func (d *daemon) caught(where string, p any) {
	d.mu.Lock()
	d.panics++
	d.mu.Unlock()
	d.log.Error("panic caught", "in", where, "panic", p, "stack", string(debug.Stack()))
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func listenUnix(path string) (net.Listener, error) {
	_ = os.Remove(path) // we hold the directory's lock, so it is nobody's
	ln, err := new(net.ListenConfig).Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = ln.Close()
		return nil, err
	}
	return ln, nil
}

// writeDiscovery writes ipc.json, again when the HTTP endpoint's port is another.
func (d *daemon) writeDiscovery() error {
	d.written.Lock()
	defer d.written.Unlock()
	port, _, _ := d.http.Status()
	d.disco.HTTPPort = port
	b, err := json.Marshal(d.disco)
	if err != nil {
		return err
	}
	if string(b) == string(d.written.ipc) {
		return nil
	}
	if err := disk.WriteRun(filepath.Join(d.runDir, "ipc.json"), b); err != nil {
		return err
	}
	d.written.ipc = b
	return nil
}

// watch takes in what is edited outside.
func (d *daemon) watch(ctx context.Context) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if _, err := d.store.Reload(); err != nil {
				d.log.Warn("cannot read the settings again", "err", err)
			}
		}
	}
}

func (d *daemon) hangup() {
	if d.file != nil {
		d.file.Reopen()
	}
	d.log.Info("reading the settings again")
	if _, err := d.store.Reload(); err != nil {
		d.log.Warn("cannot read the settings again", "err", err)
	}
	poke(d.vaultAsk)
	for _, name := range config.Names {
		d.broker.Wake(name)
	}
}

func (d *daemon) settingsChanged(n config.Snapshot) {
	d.setLevel(n.Settings)
	for _, p := range n.Problems {
		d.log.Warn(p)
	}
	d.broker.Configure(n)
	d.http.Configure(n.Settings.HTTP)
	if err := d.writeDiscovery(); err != nil {
		d.log.Warn("cannot write ipc.json", "err", err)
	}
	for _, c := range n.Connections {
		if c.AuthToken != "" { // somebody put one into the file again
			poke(d.vaultAsk)
		}
	}
	poke(d.refresh)
	d.page.Changed()
	if rev, doc, err := d.store.View(); err == nil {
		d.ipc.Publish("settings", map[string]any{"revision": rev, "settings": d.withSecrets(doc)})
	}
}

func (d *daemon) connectionChanged(name string, was, is broker.Status) {
	if was.State != is.State {
		d.mu.Lock()
		d.iconOverride = "" // the client's word counts until something happens
		d.mu.Unlock()
	}
	d.ipc.ConnectionChanged(name, was, is)
	poke(d.refresh)
	d.page.Changed()
}

// keepTokens asks the keyring, moves a token of the original's file there, and
// asks again while there is no keyring.
func (d *daemon) keepTokens(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.vaultAsk:
		case <-t.C:
		}
		before := map[string]string{}
		for _, name := range config.Names {
			before[name], _ = d.vault.Token(name)
		}
		err := d.vault.Load(ctx, config.Names[:]...)
		d.mu.Lock()
		d.loadErr = err
		d.mu.Unlock()
		d.adopt(ctx)
		for _, name := range config.Names {
			if now, _ := d.vault.Token(name); now != before[name] {
				d.broker.TokenChanged(name)
			}
		}
		d.broker.Wake(config.Cloud) // "no token" is now known, or is not
		poke(d.refresh)
		d.page.Changed()
		where, _ := d.vault.Storage(config.Cloud)
		switch {
		case errors.Is(err, vault.ErrNoKeyring), err == nil && where == vault.File:
			t.Reset(time.Minute)
		default:
			t.Reset(24 * time.Hour) // a locked keyring is not asked again by itself: each time a person would be
		}
	}
}

// adopt takes tokens out of connection_config.json, where the original kept them.
func (d *daemon) adopt(ctx context.Context) {
	for name, c := range d.store.Now().Connections {
		if c.AuthToken == "" {
			continue
		}
		if err := d.vault.Set(ctx, name, c.AuthToken); err != nil {
			d.log.Warn("the token stays in connection_config.json", "err", err)
			continue
		}
		token := c.AuthToken
		if err := d.store.Edit(func(cs map[string]config.Connection) {
			if c := cs[name]; c.AuthToken == token {
				c.AuthToken = ""
				cs[name] = c
			}
		}); err != nil {
			d.log.Warn("cannot blank the token in connection_config.json", "err", err)
			continue
		}
		where, _ := d.vault.Storage(name)
		d.log.Info("token moved out of connection_config.json", "connection", name, "to", where)
	}
}

// setToken is a login, or with "" a logout.
func (d *daemon) setToken(name, token string) (store func(context.Context) error) {
	save := d.vault.Begin(name, token)
	return func(ctx context.Context) error {
		err := d.store.Edit(func(cs map[string]config.Connection) {
			c := cs[name]
			now, _ := d.vault.Token(name) // a later login may be under way already
			c.AuthToken, c.Enabled = "", now != ""
			cs[name] = c
		})
		d.broker.TokenChanged(name)
		poke(d.refresh)
		err = errors.Join(err, save(ctx))
		d.page.Changed()
		return err
	}
}

// tidy gives memory back after the work is done, once it has been quiet for a moment.
func (d *daemon) tidy(ctx context.Context) {
	t := time.NewTimer(3 * time.Second) // once after the start
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.idle:
			t.Reset(2 * time.Second)
		case <-t.C:
			if n, _ := d.broker.Streams(); n == 0 {
				lean.Trim()
			}
		}
	}
}
