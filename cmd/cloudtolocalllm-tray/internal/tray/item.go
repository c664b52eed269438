//go:build linux || freebsd || openbsd || netbsd || dragonfly

package tray

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/godbus/dbus/v5"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/bus"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/icon"
)

const (
	ifItem   = "org.kde.StatusNotifierItem"
	ifMenu   = "com.canonical.dbusmenu"
	ifProps  = "org.freedesktop.DBus.Properties"
	watcher  = "org.kde.StatusNotifierWatcher"
	pathItem = dbus.ObjectPath("/StatusNotifierItem")
	pathMenu = dbus.ObjectPath("/StatusNotifierItem/menu")

	portal     = "org.freedesktop.portal.Desktop"
	portalPath = dbus.ObjectPath("/org/freedesktop/portal/desktop")
	ifPortal   = "org.freedesktop.portal.Settings"
)

// ID names the item to panels; it never changes.
const ID = "cloudtolocalllm-tray"

// item is a StatusNotifierItem. What is set while there is no bus is shown as
// soon as there is one.
type item struct {
	title string
	act   Actions
	queue chan func()

	mu     sync.Mutex
	look   Look
	menu   []Entry
	rev    uint32
	conn   *dbus.Conn
	state  string
	scheme uint32 // the desktop's: 0 unknown, 1 dark, 2 light
	drawn  map[string][]icon.Pixmap
}

// New makes an item with this title.
func New(title string, act Actions) Tray {
	return &item{title: title, act: act, rev: 1, state: NoBus, queue: make(chan func(), 32), look: Look{Icon: icon.Idle, Colour: "auto"}}
}

func (t *item) State() string { t.mu.Lock(); defer t.mu.Unlock(); return t.state }

func (t *item) setState(s string) {
	t.mu.Lock()
	was := t.state
	t.state = s
	t.mu.Unlock()
	if was != s {
		t.act.Log("tray", "state", s)
		t.act.Changed()
	}
}

func (t *item) SetLook(l Look) {
	t.mu.Lock()
	was := t.look
	t.look = l
	c := t.conn
	t.mu.Unlock()
	if c == nil || was == l {
		return
	}
	if was.Icon != l.Icon || was.Colour != l.Colour {
		_ = c.Emit(pathItem, ifItem+".NewIcon")
		_ = c.Emit(pathItem, ifItem+".NewStatus", "Active")
	}
	if was.Tooltip != l.Tooltip {
		_ = c.Emit(pathItem, ifItem+".NewTitle")
		_ = c.Emit(pathItem, ifItem+".NewToolTip")
	}
}

func (t *item) SetMenu(m []Entry) {
	t.mu.Lock()
	if slices.EqualFunc(t.menu, m, func(a, b Entry) bool { return a.ID == b.ID && a.Label == b.Label && a.Disabled == b.Disabled }) {
		t.mu.Unlock()
		return
	}
	t.menu = m
	t.rev++
	rev, c := t.rev, t.conn
	t.mu.Unlock()
	if c != nil {
		_ = c.Emit(pathMenu, ifMenu+".LayoutUpdated", rev, int32(0))
	}
}

// Run keeps the item on the bus: it connects again when the bus dies and
// registers again when a panel starts.
func (t *item) Run(ctx context.Context) {
	var work sync.WaitGroup
	work.Go(func() { t.work(ctx) })
	defer work.Wait()
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval, pause.Multiplier, pause.RandomizationFactor = time.Second, time.Minute, 2, 0.1
	pause.Reset()
	last := ""
	for ctx.Err() == nil {
		began := time.Now()
		err := t.session(ctx)
		t.mu.Lock()
		t.conn = nil
		t.mu.Unlock()
		if ctx.Err() != nil {
			break
		}
		t.setState(NoBus)
		if time.Since(began) > time.Minute {
			pause.Reset()
		}
		wait := pause.NextBackOff()
		if err.Error() != last { // said once, then tried again quietly
			last = err.Error()
			t.act.Log("no session bus for the tray", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	t.setState(Off)
}

// work runs what the person at the panel sets off, one thing at a time.
func (t *item) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-t.queue:
			func() {
				defer func() {
					if p := recover(); p != nil {
						t.act.Panic(p)
					}
				}()
				f()
			}()
		}
	}
}

func (t *item) do(f func()) {
	if f == nil {
		return
	}
	select {
	case t.queue <- f:
	default: // somebody hammers on the icon
	}
}

var errGone = errors.New("the bus has gone")

func (t *item) session(ctx context.Context) error {
	address := bus.Address()
	if address == "" {
		return errors.New("no bus address")
	}
	// A connection of our own: the shared one would start a bus where there is none.
	c, err := dbus.Connect(address, dbus.WithContext(ctx))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := errors.Join(c.Export(itemObject{t}, pathItem, ifItem), c.Export(properties{t}, pathItem, ifProps),
		c.Export(menuObject{t}, pathMenu, ifMenu), c.Export(properties{t}, pathMenu, ifProps)); err != nil {
		return err
	}
	if _, err := c.RequestName(fmt.Sprintf("%s-%d-1", ifItem, os.Getpid()), dbus.NameFlagDoNotQueue); err != nil {
		return err
	}
	signals := make(chan *dbus.Signal, 16)
	c.Signal(signals)
	if err := c.AddMatchSignal(dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, watcher)); err != nil {
		return err
	}
	_ = c.AddMatchSignal(dbus.WithMatchInterface(ifPortal), dbus.WithMatchMember("SettingChanged"), dbus.WithMatchArg(0, "org.freedesktop.appearance"))
	t.mu.Lock()
	t.conn = c
	t.mu.Unlock()
	t.register(ctx, c)
	t.askScheme(ctx, c)
	for {
		select {
		case s, ok := <-signals:
			if !ok || s == nil {
				return errGone
			}
			switch {
			case s.Name == "org.freedesktop.DBus.NameOwnerChanged" && len(s.Body) == 3:
				if owner, _ := s.Body[2].(string); owner != "" {
					t.register(ctx, c)
				} else {
					t.setState(Waiting)
				}
			case s.Name == ifPortal+".SettingChanged" && len(s.Body) == 3:
				if key, _ := s.Body[1].(string); key == "color-scheme" {
					t.setScheme(c, s.Body[2])
				}
			}
		case <-c.Context().Done():
			return errGone
		}
	}
}

func (t *item) register(ctx context.Context, c *dbus.Conn) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := c.Object(watcher, "/StatusNotifierWatcher").CallWithContext(ctx, watcher+".RegisterStatusNotifierItem", dbus.FlagNoAutoStart, string(pathItem)).Err
	if err != nil {
		t.setState(Waiting)
		return
	}
	t.setState(Registered)
}

// askScheme learns whether the desktop is dark, from a portal that runs
// already; none is started for it.
func (t *item) askScheme(ctx context.Context, c *dbus.Conn) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var v dbus.Variant
	err := c.Object(portal, portalPath).CallWithContext(ctx, ifPortal+".Read", dbus.FlagNoAutoStart, "org.freedesktop.appearance", "color-scheme").Store(&v)
	if err == nil {
		t.setScheme(c, v)
	}
}

func (t *item) setScheme(c *dbus.Conn, v any) {
	for {
		inner, ok := v.(dbus.Variant)
		if !ok {
			break
		}
		v = inner.Value()
	}
	n, ok := v.(uint32)
	if !ok {
		return
	}
	t.mu.Lock()
	was := t.scheme
	t.scheme = n
	t.mu.Unlock()
	if was != n {
		_ = c.Emit(pathItem, ifItem+".NewIcon")
	}
}

// pixmapsLocked draws the state in the colour that stands out: light unless the
// desktop, or the settings, say light panels. Drawn once for each.
func (t *item) pixmapsLocked() []icon.Pixmap {
	dark := t.look.Colour == "dark" || t.look.Colour == "auto" && t.scheme == 2
	key, colour := t.look.Icon+"/light", icon.Light
	if dark {
		key, colour = t.look.Icon+"/dark", icon.Dark
	}
	if t.drawn == nil {
		t.drawn = map[string][]icon.Pixmap{}
	}
	if len(t.drawn) > 6 {
		clear(t.drawn)
	}
	if t.drawn[key] == nil {
		t.drawn[key] = icon.Draw(t.look.Icon, colour)
	}
	return t.drawn[key]
}

// themeName is the icon's name in the icon theme, or "" where it is not
// installed: the panel then takes the pixmap, whose colour we choose.
func themeName(state string) string {
	switch state {
	case icon.Connected, icon.Error:
	default:
		state = icon.Idle
	}
	name := ID + "-" + state + "-symbolic"
	dirs := []string{os.Getenv("XDG_DATA_HOME")}
	if dirs[0] == "" {
		dirs[0] = filepath.Join(os.Getenv("HOME"), ".local/share")
	}
	more := os.Getenv("XDG_DATA_DIRS")
	if more == "" {
		more = "/usr/local/share:/usr/share"
	}
	for _, d := range append(dirs, strings.Split(more, ":")...) {
		if !filepath.IsAbs(d) {
			continue
		}
		if _, err := os.Stat(filepath.Join(d, "icons/hicolor/symbolic/apps", name+".svg")); err == nil {
			return name
		}
	}
	return ""
}

type tooltip struct {
	Icon  string
	Pix   []icon.Pixmap
	Title string
	Text  string
}

type itemObject struct{ t *item }

func (o itemObject) Activate(x, y int32) *dbus.Error { o.t.do(o.t.act.Click); return nil }

func (o itemObject) SecondaryActivate(x, y int32) *dbus.Error { return nil }

func (o itemObject) ContextMenu(x, y int32) *dbus.Error { return nil }

func (o itemObject) Scroll(delta int32, orientation string) *dbus.Error { return nil }

type properties struct{ t *item }

func (p properties) all(iface string) map[string]dbus.Variant {
	t, v := p.t, dbus.MakeVariant
	t.mu.Lock()
	defer t.mu.Unlock()
	switch iface {
	case ifItem: // every property there is: at least one panel drops an item that lacks one
		name := ""
		if t.look.Colour == "auto" {
			name = themeName(t.look.Icon)
		}
		return map[string]dbus.Variant{
			"Id": v(ID), "Title": v(t.title), "Category": v("ApplicationStatus"), "Status": v("Active"), "WindowId": v(int32(0)),
			"IconName": v(name), "IconPixmap": v(t.pixmapsLocked()), "IconThemePath": v(""),
			"OverlayIconName": v(""), "OverlayIconPixmap": v([]icon.Pixmap{}),
			"AttentionIconName": v(""), "AttentionIconPixmap": v([]icon.Pixmap{}), "AttentionMovieName": v(""),
			"ToolTip": v(tooltip{Title: t.title, Text: t.look.Tooltip, Pix: []icon.Pixmap{}}), "ItemIsMenu": v(false), "Menu": v(pathMenu),
		}
	case ifMenu:
		return map[string]dbus.Variant{"Version": v(uint32(3)), "TextDirection": v("ltr"), "Status": v("normal"), "IconThemePath": v([]string{})}
	}
	return map[string]dbus.Variant{}
}

func (p properties) GetAll(iface string) (map[string]dbus.Variant, *dbus.Error) {
	return p.all(iface), nil
}

func (p properties) Get(iface, name string) (dbus.Variant, *dbus.Error) {
	if v, ok := p.all(iface)[name]; ok {
		return v, nil
	}
	return dbus.Variant{}, dbus.NewError("org.freedesktop.DBus.Error.UnknownProperty", []any{name})
}

func (p properties) Set(iface, name string, _ dbus.Variant) *dbus.Error {
	return dbus.NewError("org.freedesktop.DBus.Error.PropertyReadOnly", []any{name})
}

type menuObject struct{ t *item }

type node struct {
	ID       int32
	Props    map[string]dbus.Variant
	Children []dbus.Variant
}

type idProps struct {
	ID    int32
	Props map[string]dbus.Variant
}

type event struct {
	ID   int32
	Name string
	Data dbus.Variant
	Time uint32
}

func (e Entry) props(names []string) map[string]dbus.Variant {
	v := dbus.MakeVariant
	p := map[string]dbus.Variant{"type": v("separator")}
	if e.Label != "" { // an underscore marks an access key: two of them are one
		p = map[string]dbus.Variant{"label": v(strings.ReplaceAll(e.Label, "_", "__")), "enabled": v(!e.Disabled)}
	}
	if len(names) > 0 {
		for k := range p {
			if !slices.Contains(names, k) {
				delete(p, k)
			}
		}
	}
	return p
}

func (o menuObject) GetLayout(parent, depth int32, names []string) (uint32, node, *dbus.Error) {
	o.t.mu.Lock()
	defer o.t.mu.Unlock()
	n := node{ID: parent, Props: map[string]dbus.Variant{}, Children: []dbus.Variant{}}
	if parent == 0 {
		n.Props["children-display"] = dbus.MakeVariant("submenu")
	}
	for _, e := range o.t.menu {
		if parent == 0 && depth != 0 {
			n.Children = append(n.Children, dbus.MakeVariant(node{e.ID, e.props(names), []dbus.Variant{}}))
		}
		if parent == e.ID {
			n.Props = e.props(names)
		}
	}
	return o.t.rev, n, nil
}

func (o menuObject) GetGroupProperties(ids []int32, names []string) ([]idProps, *dbus.Error) {
	o.t.mu.Lock()
	defer o.t.mu.Unlock()
	r := []idProps{}
	for _, e := range o.t.menu {
		if len(ids) == 0 || slices.Contains(ids, e.ID) {
			r = append(r, idProps{e.ID, e.props(names)})
		}
	}
	return r, nil
}

func (o menuObject) GetProperty(id int32, name string) (dbus.Variant, *dbus.Error) {
	o.t.mu.Lock()
	defer o.t.mu.Unlock()
	for _, e := range o.t.menu {
		if v, ok := e.props(nil)[name]; ok && e.ID == id {
			return v, nil
		}
	}
	return dbus.MakeVariant(""), nil
}

func (o menuObject) Event(id int32, name string, _ dbus.Variant, _ uint32) *dbus.Error {
	if name != "clicked" {
		return nil
	}
	o.t.mu.Lock()
	var f func()
	for _, e := range o.t.menu {
		if e.ID == id && !e.Disabled {
			f = e.Click
		}
	}
	o.t.mu.Unlock()
	o.t.do(f)
	return nil
}

func (o menuObject) EventGroup(events []event) ([]int32, *dbus.Error) {
	for _, e := range events {
		_ = o.Event(e.ID, e.Name, e.Data, e.Time)
	}
	return []int32{}, nil
}

// AboutToShow is the moment to look whether the app runs. The answer says
// whether the menu is another now.
func (o menuObject) AboutToShow(id int32) (bool, *dbus.Error) { return o.t.opening(), nil }

func (o menuObject) AboutToShowGroup(ids []int32) (updates, errs []int32, _ *dbus.Error) {
	if o.t.opening() {
		return []int32{0}, []int32{}, nil
	}
	return []int32{}, []int32{}, nil
}

func (t *item) opening() bool {
	t.mu.Lock()
	was := t.rev
	t.mu.Unlock()
	done := make(chan struct{})
	t.do(func() { defer close(done); t.act.Opening() })
	select {
	case <-done:
	case <-time.After(200 * time.Millisecond): // the panel waits for us
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rev != was
}
