package daemon

import (
	"context"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/config"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/launch"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/tray"
)

// The menu's entries. An id means the same entry for as long as the daemon runs.
const (
	idState = int32(iota + 1)
	idVersion
	idLine1
	idShow
	idHide
	idLine2
	idTest
	idLine3
	idQuitApp
	idLaunch
	idLine4
	idSettings
	idStatus
	idLine5
	idQuit
)

var title = map[string]string{config.Local: "Local Ollama", config.Cloud: "Cloud Proxy"}

// menuFacts is all the menu depends on.
type menuFacts struct {
	best, version string
	app, auth     bool
}

// menu lists the entries, in the original's order and wording. do maps ids to
// what they set off.
func menu(f menuFacts, do map[int32]func()) []tray.Entry {
	var m []tray.Entry
	add := func(id int32, label string) { m = append(m, tray.Entry{ID: id, Label: label, Click: do[id]}) }
	note := func(id int32, label string) { m = append(m, tray.Entry{ID: id, Label: label, Disabled: true}) }
	if f.best == "" {
		note(idState, "No connections available")
	} else {
		note(idState, "Connected via "+title[f.best])
		note(idVersion, "Version: "+f.version)
	}
	add(idLine1, "")
	if f.app {
		add(idShow, "Show CloudToLocalLLM")
		add(idHide, "Hide to Tray")
		add(idLine2, "")
		if f.auth {
			add(idTest, "Ollama Test")
			add(idLine3, "")
		}
		add(idQuitApp, "Quit Application")
	} else {
		add(idLaunch, "Launch CloudToLocalLLM")
	}
	add(idLine4, "")
	add(idSettings, "Daemon Settings")
	add(idStatus, "Connection Status")
	add(idLine5, "")
	add(idQuit, "Quit Tray Daemon")
	return m
}

// setMenu looks at the world and sets the menu. It runs when something has
// changed and when the menu is about to open; the list of processes is looked
// through only then.
func (d *daemon) setMenu() { d.setMenuFor(d.appRuns()) }

func (d *daemon) appRuns() bool {
	_, app := d.ipc.Clients()
	return app || launch.Running()
}

func (d *daemon) setMenuFor(app bool) {
	_, best := d.broker.Summary()
	f := menuFacts{best: best, app: app}
	if best != "" {
		f.version = d.broker.Status()[best].Version
	}
	d.mu.Lock()
	f.auth = d.authenticated
	d.mu.Unlock()
	for _, name := range config.Names {
		token, _ := d.vault.Token(name)
		f.auth = f.auth || token != ""
	}
	command := func(name string) func() { return func() { d.command(name) } }
	d.tray.SetMenu(menu(f, map[int32]func(){
		idShow: command("SHOW"), idHide: command("HIDE"), idTest: command("OLLAMA_TEST"), idQuitApp: command("QUIT"), idLaunch: d.launch,
		idSettings: func() { d.orPage("DAEMON_SETTINGS") }, idStatus: func() { d.orPage("CONNECTION_STATUS") }, idQuit: d.stop,
	}))
}

// command sends a command to the app. An app that runs without having
// connected is started again, which brings it to the front.
func (d *daemon) command(name string) {
	if d.ipc.Command(name) == 0 && name == "SHOW" {
		d.launch()
	}
}

func (d *daemon) orPage(name string) {
	if d.ipc.Command(name) > 0 {
		return
	}
	link, err := d.page.Link()
	if err == nil {
		err = launch.Open(link)
	}
	if err != nil {
		d.log.Warn("cannot show the settings page", "err", err)
	}
}

func (d *daemon) launch() {
	path, err := launch.Find()
	if err == nil {
		err = launch.Start(path)
	}
	if err != nil {
		d.log.Warn("cannot start the app", "err", err)
	}
}

// clicked is a click on the icon.
func (d *daemon) clicked() {
	if d.ipc.Command("SHOW") == 0 {
		d.launch()
	}
}

// showTray keeps the item there while the settings want it, and sets it over
// when something has changed. It runs apart from everything else: a bus that
// hangs holds up nothing but the icon.
func (d *daemon) showTray(ctx context.Context) {
	d.mu.Lock()
	d.legacy = legacy()
	old := d.legacy
	d.mu.Unlock()
	for _, p := range old {
		d.log.Warn("left by an older CloudToLocalLLM, and in the way of this daemon's own: remove it", "file", p)
	}
	var cancel context.CancelFunc
	var gone chan struct{}
	app, looked := false, time.Time{}
	for {
		want := !d.opts.Headless && d.store.Now().Settings.Tray.Enabled
		if want && cancel == nil {
			var tctx context.Context
			tctx, cancel = context.WithCancel(ctx)
			gone = make(chan struct{})
			go func() {
				defer close(gone)
				defer func() {
					if p := recover(); p != nil {
						d.caught("tray", p)
					}
				}()
				d.tray.Run(tctx)
			}()
		}
		if !want && cancel != nil {
			cancel()
			<-gone
			cancel = nil
		}
		if want {
			_, connected := d.ipc.Clients()
			if !connected && (app || looked.IsZero() || time.Since(looked) > lookEvery) { // processes are not looked through at each push
				app, looked = launch.Running(), time.Now()
			}
			d.setLook()
			d.setMenuFor(connected || app)
		}
		select {
		case <-ctx.Done():
			if cancel != nil {
				cancel()
				<-gone
			}
			return
		case <-d.refresh:
		}
	}
}

func (d *daemon) setLook() {
	state, best := d.broker.Summary()
	d.mu.Lock()
	defer d.mu.Unlock()
	look := tray.Look{Icon: state, Tooltip: d.tooltip, Colour: d.store.Now().Settings.Tray.Icons}
	if d.iconOverride != "" {
		look.Icon = d.iconOverride
	}
	if best != "" && d.tooltip == "CloudToLocalLLM" {
		look.Tooltip = "CloudToLocalLLM: connected via " + title[best]
	}
	d.tray.SetLook(look)
}

func (d *daemon) trayStatus() map[string]any {
	state := d.tray.State()
	if d.opts.Headless || !d.store.Now().Settings.Tray.Enabled {
		state = tray.Off
	}
	shown, _ := d.broker.Summary()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.iconOverride != "" {
		shown = d.iconOverride
	}
	return map[string]any{"state": state, "icon": shown}
}

func (d *daemon) trayChanged() {
	d.page.Changed()
	go d.ipc.Publish("tray", d.trayStatus())
}
