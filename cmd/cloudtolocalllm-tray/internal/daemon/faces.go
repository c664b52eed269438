package daemon

import (
	"context"
	"path/filepath"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/config"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/icon"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/ipc"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/page"
)

// ipcBackend is the daemon as the protocol sees it.
type ipcBackend struct{ d *daemon }

var _ ipc.Backend = ipcBackend{}

func (b ipcBackend) SetTooltip(text string) {
	b.d.mu.Lock()
	b.d.tooltip = cut(text, 200)
	b.d.mu.Unlock()
	poke(b.d.refresh)
}

// cut shortens what a panel has to show.
func cut(s string, runes int) string {
	if r := []rune(s); len(r) > runes {
		return string(r[:runes]) + "…"
	}
	return s
}

func (b ipcBackend) SetIcon(state string) {
	b.d.mu.Lock()
	switch b.d.iconOverride = state; state {
	case icon.Connected, icon.Error:
	default:
		b.d.iconOverride = icon.Idle
	}
	b.d.mu.Unlock()
	poke(b.d.refresh)
}

func (b ipcBackend) SetAuth(yes bool) {
	b.d.mu.Lock()
	b.d.authenticated = yes
	b.d.mu.Unlock()
	poke(b.d.refresh)
}

func (b ipcBackend) SetToken(name, token string) func(context.Context) error {
	return b.d.setToken(name, token)
}

func (b ipcBackend) Settings() (uint64, map[string]any, error) {
	rev, doc, err := b.d.store.View()
	if err != nil {
		return 0, nil, err
	}
	return rev, b.d.withSecrets(doc), nil
}

// withSecrets shows that secrets are there, and where, never what they are.
func (d *daemon) withSecrets(doc map[string]any) map[string]any {
	conns, _ := doc["connections"].(map[string]any)
	for _, name := range config.Names {
		if c, ok := conns[name].(map[string]any); ok {
			c["auth_token"] = d.secret(name)
		}
	}
	return doc
}

func (d *daemon) secret(name string) map[string]any {
	token, _ := d.vault.Token(name)
	where, problem := d.vault.Storage(name)
	s := map[string]any{"set": token != "", "storage": where}
	if problem != "" {
		s["problem"] = problem
	}
	return s
}

func (b ipcBackend) Patch(revision uint64, patch []byte) (uint64, error) {
	return b.d.store.Patch(revision, patch)
}

func (b ipcBackend) Connection(name string) config.Connection {
	return b.d.store.Now().Connections[name]
}

func (b ipcBackend) V1QuitExits() bool {
	return b.d.store.Now().Settings.IPC.V1Quit == "exit"
}

func (b ipcBackend) AllowUnverified() bool {
	return b.d.store.Now().Settings.IPC.AllowUnverifiedV1
}

func (b ipcBackend) ClientsChanged() { poke(b.d.refresh) }

func (b ipcBackend) Shutdown() { b.d.stop() }

func (b ipcBackend) OpenSettings() (string, error) { return b.d.page.Link() }

func (b ipcBackend) RotateKey() (string, error) { return b.d.http.Rotate() }

func (b ipcBackend) TrayStatus() map[string]any { return b.d.trayStatus() }

func (b ipcBackend) DaemonStatus() map[string]any { return b.d.status() }

func (d *daemon) httpStatus() map[string]any {
	port, auth, problem := d.http.Status()
	return map[string]any{"port": port, "auth": auth, "problem": problem, "key_file": d.http.KeyPath()}
}

// status is what GET_DAEMON_STATUS and the shell's status show.
func (d *daemon) status() map[string]any {
	clients, app := d.ipc.Clients()
	now, total := d.broker.Streams()
	state, best := d.broker.Summary()
	n := d.store.Now()
	d.mu.Lock()
	panics, old := d.panics, d.legacy
	d.mu.Unlock()
	problems := n.Problems
	if problems == nil {
		problems = []string{}
	}
	if old == nil {
		old = []string{}
	}
	return map[string]any{
		"version": d.opts.Version, "pid": d.disco.PID, "uptime_s": int(time.Since(d.began).Seconds()), "port": d.disco.Port, "socket": d.disco.Socket,
		"state": state, "best": best, "connections": d.broker.Status(), "tray": d.trayStatus(), "token": d.secret(config.Cloud),
		"clients": clients, "app_connected": app, "streams": now, "calls": total, "http": d.httpStatus(), "settings_page_port": d.page.Port(),
		"settings_revision": n.Revision, "problems": problems, "left_by_the_original": old, "panics": panics + int(d.ipc.Panics()),
		"config_dir": filepath.Dir(d.http.KeyPath()),
	}
}

// pageBackend is the daemon as the settings page sees it.
type pageBackend struct{ d *daemon }

var _ page.Backend = pageBackend{}

func (b pageBackend) State() any {
	rev, doc, err := b.d.store.View()
	if err != nil {
		doc = map[string]any{}
	}
	_, best := b.d.broker.Summary()
	return map[string]any{
		"revision": rev, "settings": doc, "connections": b.d.broker.Status(), "problems": b.d.store.Now().Problems,
		"daemon": map[string]any{"version": b.d.opts.Version, "best": best, "tray": b.d.trayStatus(), "token": b.d.secret(config.Cloud), "http": b.d.httpStatus()},
	}
}

func (b pageBackend) Patch(revision uint64, patch []byte) (uint64, error) {
	return b.d.store.Patch(revision, patch)
}

func (b pageBackend) Test(ctx context.Context, name string) any {
	begin := time.Now()
	st := b.d.broker.Check(ctx, name)
	return map[string]any{"state": st.State, "latency_ms": time.Since(begin).Milliseconds(), "version": st.Version, "error_message": st.Error}
}

func (b pageBackend) SetToken(ctx context.Context, token string) error {
	return b.d.setToken(config.Cloud, token)(context.WithoutCancel(ctx))
}

func (b pageBackend) RotateKey() (string, error) { return b.d.http.Rotate() }
