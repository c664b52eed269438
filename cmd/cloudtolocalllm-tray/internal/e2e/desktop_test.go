//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/rig"
)

const (
	ifItem = "org.kde.StatusNotifierItem"
	ifMenu = "com.canonical.dbusmenu"
)

type menuItem struct {
	id      int32
	label   string
	enabled bool
}

// menuOf reads the menu over the bus, as a panel does.
func menuOf(t *testing.T, item dbus.BusObject, conn *dbus.Conn) (rev uint32, items []menuItem) {
	t.Helper()
	menu := conn.Object(item.Destination(), "/StatusNotifierItem/menu")
	var opened bool
	if err := menu.Call(ifMenu+".AboutToShow", 0, int32(0)).Store(&opened); err != nil {
		t.Fatal(err)
	}
	var root struct {
		ID    int32
		Props map[string]dbus.Variant
		Kids  []dbus.Variant
	}
	if err := menu.Call(ifMenu+".GetLayout", 0, int32(0), int32(-1), []string{}).Store(&rev, &root); err != nil {
		t.Fatal(err)
	}
	for _, k := range root.Kids {
		f := k.Value().([]any)
		p := f[1].(map[string]dbus.Variant)
		it := menuItem{id: f[0].(int32)}
		if l, ok := p["label"]; ok {
			it.label, it.enabled = l.Value().(string), p["enabled"].Value().(bool)
		}
		items = append(items, it)
	}
	return rev, items
}

func labels(items []menuItem) string {
	var s []string
	for _, i := range items {
		switch {
		case i.label == "":
			s = append(s, "-")
		case !i.enabled:
			s = append(s, "("+i.label+")")
		default:
			s = append(s, i.label)
		}
	}
	return strings.Join(s, "|")
}

func clickOn(t *testing.T, item dbus.BusObject, conn *dbus.Conn, items []menuItem, label string) {
	t.Helper()
	i := slices.IndexFunc(items, func(m menuItem) bool { return m.label == label })
	if i < 0 {
		t.Fatalf("no entry %q in %s", label, labels(items))
	}
	if err := conn.Object(item.Destination(), "/StatusNotifierItem/menu").Call(ifMenu+".Event", 0, items[i].id, "clicked", dbus.MakeVariant(int32(0)), uint32(0)).Err; err != nil {
		t.Fatal(err)
	}
}

// Both menus, with the wording of the original, and a revision that grows.
func TestBug_13_14_MenuFollowsTheWorld(t *testing.T) {
	t.Parallel()
	rig.Need(t, "dbus-daemon")
	h := rig.NewHome(t)
	bus := h.NewBus()
	w := bus.NewWatcher(t)
	conn := bus.Connect(t)
	o := rig.NewOllama(t)
	h.Connections(o.URL, "")
	d := h.Start()
	item := w.Item(t)
	d.WaitState("local_ollama", "connected")
	var rev uint32
	expect := func(want string) []menuItem {
		t.Helper()
		var items []menuItem
		var now uint32
		rig.Until(t, want, func() bool { now, items = menuOf(t, item, conn); return labels(items) == want })
		if now <= rev {
			t.Errorf("revision %d after %d", now, rev)
		}
		rev = now
		return items
	}
	head, tail := "(Connected via Local Ollama)|(Version: 0.9.0)|-|", "|-|Daemon Settings|Connection Status|-|Quit Tray Daemon"
	expect(head + "Launch CloudToLocalLLM" + tail) // only the daemon runs, and it is not the app
	app := d.Dial()
	app.Say(`{"command":"PING"}`)
	app.Reply()
	expect(head + "Show CloudToLocalLLM|Hide to Tray|-|Quit Application" + tail)
	app.Say(`{"command":"AUTH_STATUS","authenticated":true}`)
	items := expect(head + "Show CloudToLocalLLM|Hide to Tray|-|Ollama Test|-|Quit Application" + tail)
	for label, command := range map[string]string{"Show CloudToLocalLLM": "SHOW", "Hide to Tray": "HIDE", "Ollama Test": "OLLAMA_TEST", "Quit Application": "QUIT", "Daemon Settings": "DAEMON_SETTINGS", "Connection Status": "CONNECTION_STATUS"} {
		clickOn(t, item, conn, items, label)
		app.Next(command, func(m rig.Message) bool { return string(m["command"]) == fmt.Sprintf("%q", command) })
	}
	if err := item.Call(ifItem+".Activate", 0, int32(1), int32(1)).Err; err != nil {
		t.Fatal(err)
	}
	app.Next("SHOW", func(m rig.Message) bool { return string(m["command"]) == `"SHOW"` })
	app.Say(`{"command":"UPDATE_AUTH_STATUS","authenticated":false}`)
	expect(head + "Show CloudToLocalLLM|Hide to Tray|-|Quit Application" + tail)
	o.Kill()
	app.Say(`{"command":"PROXY_REQUEST","path":"/v1/models"}`)
	expect("(No connections available)|-|Show CloudToLocalLLM|Hide to Tray|-|Quit Application" + tail)
	if status, _ := d.Shell("status"); !strings.Contains(status, "tray      registered, icon error") {
		t.Error(status)
	}
	app.Say(`{"command":"UPDATE_ICON","state":"connected"}`) // counts until something changes
	app.Say(`{"command":"UPDATE_TOOLTIP","text":"a tip"}`)
	rig.Until(t, "the tip", func() bool {
		v, err := item.GetProperty(ifItem + ".ToolTip")
		return err == nil && strings.Contains(v.String(), "a tip")
	})
	if status, _ := d.Shell("status"); !strings.Contains(status, "icon connected") {
		t.Error(status)
	}
	_ = app.Close()
	items = expect("(No connections available)|-|Launch CloudToLocalLLM" + tail)
	clickOn(t, item, conn, items, "Quit Tray Daemon")
	if code := d.Wait(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestTray_EveryProperty(t *testing.T) {
	t.Parallel()
	rig.Need(t, "dbus-daemon")
	h := rig.NewHome(t)
	bus := h.NewBus()
	w := bus.NewWatcher(t)
	h.Connections("", "")
	h.Start()
	item := w.Item(t)
	var all map[string]dbus.Variant
	if err := item.Call("org.freedesktop.DBus.Properties.GetAll", 0, ifItem).Store(&all); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"Id", "Title", "Category", "Status", "IconName", "IconPixmap", "IconThemePath", "AttentionIconName", "AttentionIconPixmap", "OverlayIconName", "ToolTip", "ItemIsMenu", "Menu", "WindowId"} {
		if _, ok := all[p]; !ok {
			t.Errorf("%s is missing", p)
		}
	}
	if n := len(all["IconPixmap"].Value().([][]any)); n != 5 {
		t.Errorf("%d sizes", n)
	}
	if all["ItemIsMenu"].Value() != false || all["IconName"].Value() != "" {
		t.Errorf("%v %v", all["ItemIsMenu"], all["IconName"])
	}
	// With the theme's icons installed their name is given.
	dir := filepath.Join(h.Dir, ".local/share/icons/hicolor/symbolic/apps")
	_ = os.MkdirAll(dir, 0o755)
	_ = os.WriteFile(filepath.Join(dir, "cloudtolocalllm-tray-idle-symbolic.svg"), nil, 0o644)
	if v, err := item.GetProperty(ifItem + ".IconName"); err != nil || v.Value() != "cloudtolocalllm-tray-idle-symbolic" {
		t.Errorf("%v %v", v, err)
	}
}

// It starts without a panel; then one comes and goes, twice, then the bus itself dies and comes back. Clients are served all
// the time, and the icon returns.
func TestFailure_36_APanelThatComesAndGoes(t *testing.T) {
	t.Parallel()
	rig.Need(t, "dbus-daemon")
	h := rig.NewHome(t)
	bus := h.NewBus()
	h.Connections("", "")
	d := h.Start()
	state := func(want string) {
		t.Helper()
		rig.Until(t, want, func() bool { out, _ := d.Shell("status"); return strings.Contains(out, "tray      "+want) })
		c := d.Dial()
		defer c.Close()
		c.Say(`{"command":"UPDATE_ICON","state":"error"}`)
		c.Say(`{"command":"PING"}`)
		c.Reply()
	}
	state("waiting")
	for range 2 {
		w := bus.NewWatcher(t)
		w.Item(t)
		state("registered")
		w.Close()
		state("waiting")
	}
	bus.Kill()
	state("no_bus")
	bus.Start(h)
	bus.NewWatcher(t).Item(t)
	state("registered")
	if out, _ := d.Shell("status", "--json"); !strings.Contains(out, `"panics":0`) {
		t.Error(out)
	}
}

// A planted ./cloudtolocalllm is not run, neither for the menu nor for the click.
func TestBug_27_NothingFromTheCurrentDirectory(t *testing.T) {
	t.Parallel()
	rig.Need(t, "dbus-daemon")
	h := rig.NewHome(t)
	bus := h.NewBus()
	w := bus.NewWatcher(t)
	h.Connections("", "")
	script := "#!/bin/sh\ntouch " + h.Dir + "/planted-ran\n"
	for _, name := range []string{"cloudtolocalllm", "xdg-open"} {
		program(t, filepath.Join(h.Dir, name), script)
	}
	h.Start() // its current directory is the home
	item := w.Item(t)
	if err := item.Call(ifItem+".Activate", 0, int32(1), int32(1)).Err; err != nil {
		t.Fatal(err)
	}
	rig.Until(t, "word of it", func() bool { return strings.Contains(h.Log(), "cannot start the app") })
	// In its own place it is run, as a process that is no child in our session.
	good := filepath.Join(h.Dir, ".local/bin")
	_ = os.MkdirAll(good, 0o755)
	program(t, filepath.Join(good, "cloudtolocalllm"), "#!/bin/sh\nps -o sid= -p $$ > "+h.Dir+"/ran\n")
	if err := item.Call(ifItem+".Activate", 0, int32(1), int32(1)).Err; err != nil {
		t.Fatal(err)
	}
	rig.Until(t, "the app to start", func() bool { b, _ := os.ReadFile(h.Dir + "/ran"); return len(bytes.TrimSpace(b)) > 0 })
	if _, err := os.Stat(h.Dir + "/planted-ran"); err == nil {
		t.Error("the planted program ran")
	}
}

const panelConfig = `<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0"><property name="configver" type="int" value="2"/>
 <property name="panels" type="array"><value type="int" value="1"/><property name="dark-mode" type="bool" value="true"/>
  <property name="panel-1" type="empty"><property name="position" type="string" value="p=6;x=0;y=0"/><property name="length" type="uint" value="100"/>
   <property name="position-locked" type="bool" value="true"/><property name="size" type="uint" value="48"/><property name="icon-size" type="uint" value="32"/>
   <property name="plugin-ids" type="array"><value type="int" value="1"/></property></property></property>
 <property name="plugins" type="empty"><property name="plugin-1" type="string" value="systray">
  <property name="icon-size" type="int" value="32"/><property name="square-icons" type="bool" value="true"/></property></property></channel>`

// shots is where pictures go when somebody wants to see them.
func shots(t *testing.T, name string) string {
	if dir := os.Getenv("TRAY_SHOTS"); dir != "" {
		return filepath.Join(dir, name)
	}
	return filepath.Join(t.TempDir(), name)
}

// A real panel shows the icon in each state, and the menu.
func TestPanel_RealPixels(t *testing.T) {
	rig.Need(t, "dbus-daemon", "Xvfb", "xfce4-panel", "import", "xdotool")
	h := rig.NewHome(t)
	xml := filepath.Join(h.Dir, ".config/xfce4/xfconf/xfce-perchannel-xml")
	for _, d := range []string{xml, h.Dir + "/.local/share", h.Dir + "/.cache"} {
		_ = os.MkdirAll(d, 0o700)
	}
	if err := os.WriteFile(filepath.Join(xml, "xfce4-panel.xml"), []byte(panelConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	// A display of our own; the server tells its number.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	x := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "800x300x24", "-nolisten", "tcp")
	x.ExtraFiles = []*os.File{w}
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Process.Kill(); _ = x.Wait() })
	_ = w.Close()
	number := make([]byte, 16)
	n, err := r.Read(number)
	if err != nil {
		t.Fatal(err)
	}
	h.Env = append(h.Env, "DISPLAY=:"+strings.TrimSpace(string(number[:n])))
	h.NewBus()
	start := func(name string, args ...string) *exec.Cmd {
		t.Helper()
		c := exec.Command(name, args...)
		c.Env = h.Environ()
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
		return c
	}
	panel := start("xfce4-panel", "--disable-wm-check")
	o := rig.NewOllama(t)
	h.Connections("", "")
	d := h.Start()
	state := func(want string) {
		t.Helper()
		rig.Until(t, want, func() bool { out, _ := d.Shell("status"); return strings.Contains(out, "tray      "+want) })
	}
	state("registered, icon idle")
	shot := func(name string) image.Image {
		t.Helper()
		path := shots(t, name)
		c := exec.Command("import", "-window", "root", "png:"+path)
		c.Env = h.Environ()
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		img, err := png.Decode(f)
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	// The icon is 32 pixels wide around 24,24. Light: drawn. Dark: the panel.
	light := func(img image.Image, x, y int) bool {
		return color.GrayModel.Convert(img.At(8+x, 8+y)).(color.Gray).Y > 180
	}
	// Inside the cloud's body: hollow, filled, filled with a cut mark.
	looks := map[string]func(image.Image) bool{
		"idle": func(i image.Image) bool { return !light(i, 16, 14) && light(i, 4, 17) && light(i, 16, 25) },
		"connected": func(i image.Image) bool {
			return light(i, 22, 14) && light(i, 16, 10) && light(i, 16, 17) && light(i, 16, 25)
		},
		"error": func(i image.Image) bool {
			return light(i, 22, 14) && !light(i, 16, 10) && !light(i, 16, 17) && light(i, 16, 25)
		},
	}
	see := func(want string) {
		t.Helper()
		rig.Until(t, "the panel to show "+want, func() bool {
			time.Sleep(100 * time.Millisecond)
			img := shot(want + ".png")
			for name, f := range looks {
				if f(img) != (name == want) {
					return false
				}
			}
			return true
		})
	}
	see("idle")
	c := d.Hello("other")
	set := func(patch string) {
		t.Helper()
		c.Say(`{"command":"GET_SETTINGS","id":1}`)
		var res struct{ Revision int }
		_ = json.Unmarshal(c.Answer("1")["result"], &res)
		c.Say(fmt.Sprintf(`{"command":"SET_SETTINGS","id":2,"revision":%d,"settings":%s}`, res.Revision, patch))
		if m := c.Answer("2"); m["error"] != nil {
			t.Fatalf("%s", m["error"])
		}
	}
	set(fmt.Sprintf(`{"connections":{"local_ollama":{"enabled":true,"api_base_url":%q}}}`, o.URL))
	see("connected")
	o.Kill()
	c.Say(`{"command":"TEST_CONNECTION","id":3,"connection":"local_ollama"}`)
	c.Answer("3")
	see("error")
	o.Revive(t)
	c.Say(`{"command":"TEST_CONNECTION","id":4,"connection":"local_ollama"}`)
	c.Answer("4")
	see("connected")
	// The menu opens on a right click.
	before := shot("before.png")
	run := exec.Command("xdotool", "mousemove", "24", "24", "click", "3")
	run.Env = h.Environ()
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	rig.Until(t, "the menu", func() bool {
		time.Sleep(200 * time.Millisecond)
		img, changed := shot("menu.png"), 0
		for y := 60; y < 300; y += 2 {
			for x := 0; x < 300; x += 2 {
				if img.At(x, y) != before.At(x, y) {
					changed++
				}
			}
		}
		return changed > 1000
	})
	run = exec.Command("xdotool", "key", "Escape")
	run.Env = h.Environ()
	_ = run.Run()
	// The panel dies and another starts.
	_ = panel.Process.Kill()
	state("waiting")
	start("xfce4-panel", "--disable-wm-check")
	state("registered")
	see("connected")
}

// The real keyring: the token goes there, stays there over a restart, and a
// file of an earlier run moves in.
func TestKeyring_Real(t *testing.T) {
	rig.Need(t, "dbus-daemon", "gnome-keyring-daemon", "secret-tool")
	h := rig.NewHome(t)
	bus := h.NewBus()
	_ = os.MkdirAll(h.Dir+"/.local/share/keyrings", 0o700)
	h.Connections("", "")
	h.Write("tokens.json", `{"cloud_proxy":"from-the-file"}`, 0o600)
	ring := exec.Command("gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets")
	ring.Env, ring.Stdin = h.Environ(), strings.NewReader("testpw")
	if err := ring.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ring.Process.Kill(); _ = ring.Wait() })
	conn := bus.Connect(t)
	rig.Until(t, "the login keyring", func() bool {
		var path dbus.ObjectPath
		err := conn.Object("org.freedesktop.secrets", "/org/freedesktop/secrets").Call("org.freedesktop.Secret.Service.ReadAlias", dbus.FlagNoAutoStart, "default").Store(&path)
		return err == nil && len(path) > 1
	})
	d := h.Start("--headless")
	stored := func(want string) {
		t.Helper()
		rig.Until(t, want+" in the keyring", func() bool {
			c := exec.Command("secret-tool", "lookup", "service", "cloudtolocalllm", "username", "cloud_proxy")
			c.Env = h.Environ()
			out, _ := c.Output()
			return string(out) == want
		})
	}
	stored("from-the-file")
	rig.Until(t, "the file to go", func() bool { _, err := os.Stat(h.Config("tokens.json")); return err != nil })
	rig.Until(t, "the status to say so", func() bool { out, _ := d.Shell("status"); return strings.Contains(out, "token     in secret-service") })
	c := d.Dial()
	login(c, "from-the-app")
	stored("from-the-app")
	if code := d.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit %d", code)
	}
	d = h.Start("--headless")
	rig.Until(t, "the token to be found again", func() bool { out, _ := d.Shell("status"); return strings.Contains(out, "token     in secret-service") })
	c = d.Dial()
	login(c, "")
	stored("")
	if b, err := os.ReadFile(h.Config("tokens.json")); err == nil {
		t.Errorf("a file: %s", b)
	}
	if strings.Contains(h.Log(), "from-the") {
		t.Error("a token is in the log")
	}
	// Without the keyring's service the file serves, and the status says so.
	_ = ring.Process.Kill()
	_ = ring.Wait()
	login(c, "third")
	rig.Until(t, "the file", func() bool { b, _ := os.ReadFile(h.Config("tokens.json")); return strings.Contains(string(b), "third") })
	rig.Until(t, "the status to say so", func() bool { out, _ := d.Shell("status"); return strings.Contains(out, "token     in file") })
}
